//! A fake GPU: it does what the test says and draws by the CPU.

use std::cell::RefCell;

use fanlight::convert::blit::{Blit, Blitter, Target};
use fanlight::convert::cpu::{self, Reader, View};
use fanlight::sys::OwnMapping;
use rustix::event::{EventfdFlags, eventfd};

use super::*;

/// What the fake is to do, and what it was asked for.
#[derive(Debug, Default)]
pub(crate) struct Orders {
    /// Blits are complete when the test says so.
    pub(crate) fenced: bool,
    pub(crate) refuses_memory: bool,
    pub(crate) breaks: bool,
    /// No targets but linear ones are made.
    pub(crate) only_linear: bool,
    /// The modifier of its targets, where it isn't the first that is offered.
    pub(crate) makes: Option<Modifier>,
    pub(crate) targets: Vec<(u8, Size, Vec<Modifier>)>,
    pub(crate) drawn: Vec<Damage>,
    pub(crate) fence: Option<OwnedFd>,
    pub(crate) dropped: Vec<u8>,
    pub(crate) forgotten: Vec<StorageId>,
}

thread_local! {
    static ORDERS: RefCell<Orders> = RefCell::default();
}

pub(crate) fn orders<T>(with: impl FnOnce(&mut Orders) -> T) -> T {
    ORDERS.with_borrow_mut(with)
}

#[derive(Debug, Default)]
pub(crate) struct Fake {
    imported: Vec<(StorageId, Storage)>,
    targets: [Option<(OwnedFd, u32)>; 3],
}

impl Blitter for Fake {
    fn name(&self) -> &str {
        "a fake"
    }

    fn import(&mut self, storage: &Storage, _: &Layout) -> Result<(), BlitError> {
        if orders(|orders| orders.refuses_memory) {
            return Err(BlitError::Import("it is told to refuse".into()));
        }
        // As memory that the CPU reads without asking the kernel.
        let (id, size) = (storage.id, storage.size);
        let fds = vec![storage.fds[0].try_clone().unwrap()];
        let memory = Memory::Memfd { shrink_sealed: true };
        self.imported.push((id, Storage { id, memory, size, fds }));
        Ok(())
    }

    fn modifier(&mut self, _: &Storage, _: &Layout) -> Result<Modifier, BlitError> {
        unreachable!("the compositor gets what the guest says")
    }

    fn target(
        &mut self,
        slot: u8,
        size: Size,
        modifiers: &[Modifier],
    ) -> Result<Target, BlitError> {
        let stride = (size.width * 4).next_multiple_of(256);
        let fd = own_memfd("target", u64::from(stride * size.height)).unwrap();
        self.targets[usize::from(slot)] = Some((fd.try_clone().unwrap(), stride));
        let modifier = orders(|orders| {
            orders.targets.push((slot, size, modifiers.to_vec()));
            orders.makes.or(modifiers.first().copied())
        });
        if orders(|orders| orders.only_linear) && modifiers != [Modifier::LINEAR] {
            return Err(BlitError::Target("it is told to be linear".to_owned()));
        }
        let modifier = modifier.ok_or_else(|| BlitError::Target("nothing is offered".into()))?;
        let mut layout = layout(size);
        (layout.modifier, layout.planes[0].stride) = (modifier, stride);
        Ok(Target { layout, fds: vec![fd] })
    }

    fn drop_target(&mut self, slot: u8) {
        orders(|orders| orders.dropped.push(slot));
    }

    fn blit(
        &mut self,
        slot: u8,
        storage: StorageId,
        view: &View,
        damage: &Damage,
    ) -> Result<Blit, BlitError> {
        if orders(|orders| orders.breaks) {
            return Err(BlitError::Draw("it is told to break".to_owned()));
        }
        let (_, memory) = self.imported.iter().rfind(|(id, _)| *id == storage).unwrap();
        let (fd, stride) = self.targets[usize::from(slot)].as_ref().unwrap();
        let bytes = u64::from(stride * view.size().height);
        let mut out = OwnMapping::new(fd, bytes).unwrap();
        let reader = Reader::open(memory).unwrap();
        cpu::copy(&reader, view, damage, out.bytes_mut(), *stride as usize).unwrap();
        Ok(orders(|orders| {
            orders.drawn.push(*damage);
            if !orders.fenced {
                return Blit::Done;
            }
            let fence = eventfd(0, EventfdFlags::CLOEXEC).unwrap();
            orders.fence = Some(fence.try_clone().unwrap());
            Blit::When(fence)
        }))
    }

    fn forget(&mut self, storage: StorageId) {
        orders(|orders| orders.forgotten.push(storage));
    }
}
