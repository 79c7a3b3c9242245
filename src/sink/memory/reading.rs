//! Who reads a guest's memory: the CPU, and a GPU what that can't.

use super::ReadBy;
use crate::convert::blit::{BlitError, OpenReadback, Readback, readback};
use crate::convert::cpu::{self, CopyError, Readers, View};
use crate::frame::{Damage, Storage, StorageId};

/// Reads by the CPU, because it can read all that isn't laid out for a GPU, and makes a GPU wait for
/// nobody.
#[derive(Debug)]
pub(super) struct Reading {
    readers: Readers,
    open: OpenReadback,
    /// Looked for when it is needed first, because its driver takes a while to start: what was found, or
    /// why nothing was.
    gpu: Option<Result<Box<dyn Readback>, BlitError>>,
}

impl Default for Reading {
    fn default() -> Self {
        Self::with(readback)
    }
}

impl Reading {
    fn with(open: OpenReadback) -> Self {
        Self { readers: Readers::default(), open, gpu: None }
    }

    /// Copies what changed of the visible picture, as [`cpu::copy`] does it, or says what both lack.
    pub(super) fn copy(
        &mut self,
        storage: &Storage,
        view: &View,
        damage: &Damage,
        out: &mut [u8],
        out_stride: usize,
    ) -> Result<(u64, ReadBy), String> {
        let by_cpu = cpu::can_read(&view.layout)
            .and_then(|()| self.readers.of(storage))
            .and_then(|reader| cpu::copy(reader, view, damage, out, out_stride));
        let lacks = match by_cpu {
            Ok(bytes) => return Ok((bytes, ReadBy::Cpu)),
            // It ends where it ends, for whomever.
            Err(error @ CopyError::Short) => return Err(error.to_string()),
            Err(error) => error,
        };
        let open = self.open;
        let by_gpu = match self.gpu.get_or_insert_with(open) {
            Ok(gpu) => gpu.read(storage, view, damage, out, out_stride),
            Err(error) => Err(error.clone()),
        };
        by_gpu.map(|bytes| (bytes, ReadBy::Gpu)).map_err(|error| {
            let reason = format!("{lacks}, and {error}");
            if matches!(error, BlitError::Draw(_)) {
                // What fails at that isn't asked again.
                self.gpu = Some(Err(error));
            }
            reason
        })
    }

    pub(super) fn forget(&mut self, storage: StorageId) {
        self.readers.forget(storage);
        if let Some(Ok(gpu)) = &mut self.gpu {
            gpu.forget(storage);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;
    use crate::frame::{Format, Layout, Modifier, PLANES_MAX, Plane, Rect, Size, Transform};
    use crate::sys::{classify, own_memfd, storage};

    const TILED: Modifier = Modifier(0x0100_0000_0000_0002);

    /// What the fake GPU does, and what it was asked for.
    #[derive(Default)]
    struct Orders {
        opened: u32,
        read: u32,
        forgotten: Vec<StorageId>,
        fails: Option<BlitError>,
    }

    thread_local! {
        static ORDERS: RefCell<Orders> = RefCell::default();
    }

    /// A fake: it fills the picture with sevens, or fails as it is told.
    #[derive(Debug)]
    struct Fake;

    impl Readback for Fake {
        fn read(
            &mut self,
            _: &Storage,
            _: &View,
            _: &Damage,
            out: &mut [u8],
            _: usize,
        ) -> Result<u64, BlitError> {
            ORDERS.with_borrow_mut(|orders| {
                orders.read += 1;
                orders.fails.clone().map_or(Ok(()), Err)
            })?;
            out.fill(7);
            Ok(out.len() as u64)
        }

        fn forget(&mut self, storage: StorageId) {
            ORDERS.with_borrow_mut(|orders| orders.forgotten.push(storage));
        }
    }

    fn fake() -> Result<Box<dyn Readback>, BlitError> {
        ORDERS.with_borrow_mut(|orders| orders.opened += 1);
        Ok(Box::new(Fake))
    }

    fn none() -> Result<Box<dyn Readback>, BlitError> {
        ORDERS.with_borrow_mut(|orders| orders.opened += 1);
        Err(BlitError::Open("there is no render node".to_owned()))
    }

    fn guest(format: Format, modifier: Modifier) -> (Storage, View) {
        let mut planes = [Plane::default(); PLANES_MAX];
        planes[0].stride = 64;
        let size = Size { width: 4, height: 2 };
        let layout = Layout { size, format, modifier, planes, plane_count: 1 };
        let visible = Rect { x: 0, y: 0, width: 4, height: 2 };
        let memory = own_memfd("guest", 4096).unwrap();
        let view = View { layout, visible, transform: Transform::Normal };
        (storage(vec![memory], classify).unwrap(), view)
    }

    fn copy(reading: &mut Reading, (storage, view): &(Storage, View)) -> Result<[u8; 32], String> {
        let mut out = [1; 32];
        reading.copy(storage, view, &Damage::Whole, &mut out, 16).map(|(bytes, by)| {
            let drawn = if out == [7; 32] { ReadBy::Gpu } else { ReadBy::Cpu };
            assert_eq!((bytes, by), (32, drawn));
            out
        })
    }

    #[test]
    fn only_what_the_cpu_cannot_read_is_read_by_the_gpu() {
        let mut reading = Reading::with(fake);
        let plain = guest(Format::XRGB8888, Modifier::LINEAR);
        assert_eq!(copy(&mut reading, &plain), Ok([0; 32]));
        assert_eq!(ORDERS.take().opened, 0);
        let tiled = guest(Format::XRGB8888, TILED);
        let unknown = guest(Format(u32::from_le_bytes(*b"AR12")), Modifier::LINEAR);
        for guest in [&tiled, &unknown, &tiled] {
            assert_eq!(copy(&mut reading, guest), Ok([7; 32]));
            assert_eq!(copy(&mut reading, &plain), Ok([0; 32]));
        }
        reading.forget(tiled.0.id);
        let orders = ORDERS.take();
        assert_eq!((orders.opened, orders.read), (1, 3));
        assert_eq!(orders.forgotten, [tiled.0.id]);
    }

    #[test]
    fn what_both_lack_is_said() {
        let tiled = guest(Format::XRGB8888, TILED);
        let cpu =
            "the CPU can't read memory laid out as modifier 0x0100000000000002, only a GPU can";
        let mut reading = Reading::with(none);
        for _ in 0..2 {
            let gpu = "no GPU makes the copies: there is no render node";
            assert_eq!(copy(&mut reading, &tiled), Err(format!("{cpu}, and {gpu}")));
        }
        assert_eq!(ORDERS.take().opened, 1, "one that isn't there isn't looked for again");

        // No modifier that both know; other memory may be better.
        let mut reading = Reading::with(fake);
        let refusal = "its driver knows no XR24 with modifier 0x0100000000000002, but with linear";
        ORDERS.set(Orders { fails: Some(BlitError::Import(refusal.into())), ..Orders::default() });
        let gpu = format!("the GPU can't read the guest's memory: {refusal}");
        assert_eq!(copy(&mut reading, &tiled), Err(format!("{cpu}, and {gpu}")));
        ORDERS.set(Orders::default());
        assert_eq!(copy(&mut reading, &tiled), Ok([7; 32]));

        // A format that neither knows.
        let unknown = guest(Format(u32::from_le_bytes(*b"NONE")), Modifier::LINEAR);
        let mut reading = Reading::with(none);
        let error = copy(&mut reading, &unknown).unwrap_err();
        let cpu = "the CPU can't read pixels of format NONE";
        assert_eq!(error, format!("{cpu}, and no GPU makes the copies: there is no render node"));
    }

    #[test]
    fn a_gpu_that_broke_is_not_asked_again() {
        let tiled = guest(Format::XRGB8888, TILED);
        let mut reading = Reading::with(fake);
        let broken = BlitError::Draw("it took more than 500 ms".to_owned());
        ORDERS.set(Orders { fails: Some(broken), ..Orders::default() });
        for _ in 0..3 {
            let error = copy(&mut reading, &tiled).unwrap_err();
            assert!(error.ends_with("and the GPU could not draw: it took more than 500 ms"));
        }
        assert_eq!(ORDERS.take().read, 1);
    }

    #[test]
    fn memory_that_ends_too_early_is_nothing_for_the_gpu() {
        let (storage, mut view) = guest(Format::XRGB8888, Modifier::LINEAR);
        view.layout.planes[0].offset = 8192;
        let mut reading = Reading::with(fake);
        let error = copy(&mut reading, &(storage, view)).unwrap_err();
        assert_eq!(error, CopyError::Short.to_string());
        assert_eq!(ORDERS.take().opened, 0);
    }
}
