//! What is drawn is what the CPU copies. The drawing is tested wherever there is EGL, with textures
//! that were uploaded; importing and all the rest where the driver takes memfds for dma-bufs.

mod drawing;
mod guest;
mod refusals;

use std::os::fd::BorrowedFd;

use super::painter::Kind;
use super::*;
use crate::convert::cpu::FORMATS;
use crate::frame::Transform;
use crate::sys::OwnMapping;
use guest::{BEFORE, CROP, Guest, SIZE, WHOLE, damages, guests, skip};

/// Blits, and what is in the targets then.
struct Stage {
    gpu: Gpu,
    target: Target,
}

/// The memfd itself, which Mesa's software renderer takes as well.
fn memfd(bytes: u64) -> io::Result<OwnedFd> {
    own_memfd("target", bytes)
}

impl Stage {
    /// `None` where this machine has none, said.
    fn open(name: &str) -> Option<Self> {
        let opened = drawing::context()
            .and_then(|_| Gpu::software(memfd).map_err(|reason| reason.to_string()));
        let mut gpu = opened.map_err(|reason| skip(name, &reason)).ok()?;
        let target = gpu.target(0, SIZE, &[Modifier::LINEAR]).unwrap();
        Some(Self { gpu, target })
    }

    fn resize(&mut self, size: Size) {
        self.target = self.gpu.target(0, size, &[Modifier::LINEAR]).unwrap();
    }

    fn fd(&self) -> BorrowedFd<'_> {
        self.target.fds[0].as_fd()
    }

    /// The target's bytes.
    fn bytes(&self) -> OwnMapping {
        let Layout { size, planes, .. } = self.target.layout;
        let bytes = u64::from(planes[0].stride * size.height);
        OwnMapping::new(&self.fd(), bytes).unwrap()
    }

    fn clear(&self) {
        for pixel in self.bytes().bytes_mut().as_chunks_mut().0 {
            *pixel = BEFORE;
        }
    }

    fn blit(&mut self, guest: &Guest, damage: &Damage) -> Result<(), BlitError> {
        self.gpu.import(&guest.dmabuf, &guest.view.layout)?;
        if let Blit::When(fence) = self.gpu.blit(0, guest.storage.id, &guest.view, damage)? {
            use rustix::event::{PollFd, PollFlags, poll};
            assert_eq!(poll(&mut [PollFd::new(&fence, PollFlags::IN)], None), Ok(1));
        }
        Ok(())
    }

    fn draw_external(&self, guest: &Guest, damage: &Damage) {
        let (gpu, bound) = (&self.gpu, Kind::External.target());
        let fd_of = |_| guest.dmabuf.fds[0].as_fd();
        let image = gpu.context.display().image(&guest.view.layout, fd_of).unwrap();
        let _current = gpu.context.enter().unwrap();
        let texture = gpu.painter.texture(Kind::External).unwrap();
        let framebuffer = gpu.slots[0].as_ref().unwrap().framebuffer;
        let canvas = Canvas { framebuffer, blue_first: false };
        // SAFETY: the context is current, image and texture are alive, and all is finished before
        // the target is read.
        unsafe {
            gpu.painter.gl().bind_texture(bound, Some(texture));
            (gpu.images.texture)(bound, image.handle());
            gpu.painter.draw(Kind::External, canvas, &guest.view, damage).unwrap();
            gpu.painter.gl().finish();
            gpu.painter.gl().delete_texture(texture);
        }
    }

    fn drawn(&self) -> Vec<[u8; 4]> {
        let Layout { size, planes, .. } = self.target.layout;
        let mut bytes = self.bytes();
        let rows = bytes.bytes_mut().chunks(planes[0].stride as usize);
        let pixels = rows.flat_map(|row| row.as_chunks().0[..size.width as usize].to_vec());
        pixels.collect()
    }
}

/// What Mesa's software renderer reads in all versions that import anything.
fn must_be_known(format: Format) -> bool {
    matches!(
        format,
        Format::XRGB8888
            | Format::ARGB8888
            | Format::XBGR8888
            | Format::ABGR8888
            | Format::RGB565
            | Format::NV12
            | Format::YUYV
    )
}

/// The guests whose memory the driver reads; says of which formats it doesn't.
fn known_guests(gpu: &mut Gpu, name: &str) -> Vec<Guest> {
    let mut guests = guests(|row| row.next_multiple_of(256));
    for format in FORMATS {
        let guest = guests.iter().find(|guest| guest.view.layout.format == format).unwrap();
        let Err(error) = gpu.import(&guest.dmabuf, &guest.view.layout) else { continue };
        assert!(!must_be_known(format), "{error}");
        skip(name, &error.to_string());
        guests.retain(|guest| guest.view.layout.format != format);
    }
    guests
}

#[test]
fn imported_memory_is_drawn_into_memory_of_ours_as_the_cpu_copies_it() {
    let name = "imported_memory_is_drawn_into_memory_of_ours_as_the_cpu_copies_it";
    let Some(mut stage) = Stage::open(name) else { return };
    for guest in known_guests(&mut stage.gpu, name) {
        stage.resize(guest.view.size());
        for damage in damages() {
            stage.clear();
            stage.blit(&guest, &damage).unwrap();
            guest.assert_drawn(&damage, &stage.drawn());
        }
    }
}

#[test]
fn imported_memory_is_read_back_as_the_cpu_copies_it() {
    let name = "imported_memory_is_read_back_as_the_cpu_copies_it";
    let Some(mut stage) = Stage::open(name) else { return };
    for guest in known_guests(&mut stage.gpu, name) {
        let Size { width, height } = guest.view.size();
        for damage in damages() {
            let mut out = BEFORE.repeat((width * height) as usize);
            let stride = width as usize * OUT_PIXEL;
            let read = stage.gpu.read(&guest.dmabuf, &guest.view, &damage, &mut out, stride);
            read.unwrap();
            guest.assert_drawn(&damage, out.as_chunks().0);
        }
    }
}

/// Some drivers read even such memory only as an external texture. Mesa's doesn't insist on it.
#[test]
fn external_textures_are_drawn_as_the_cpu_copies_them() {
    let name = "external_textures_are_drawn_as_the_cpu_copies_them";
    let Some(mut stage) = Stage::open(name) else { return };
    if !stage.gpu.painter.draws(Kind::External) {
        return skip(name, "the driver has no shaders for them");
    }
    // Luma and chroma the driver makes colours of, here.
    for format in [Format::XRGB8888, Format::NV12, Format::YUYV] {
        let seen = (CROP, Transform::Flipped);
        let guest = Guest::new(format, SIZE, 4096, |row| row.next_multiple_of(256), seen);
        stage.resize(guest.view.size());
        for damage in damages() {
            stage.clear();
            stage.draw_external(&guest, &damage);
            guest.assert_drawn(&damage, &stage.drawn());
        }
    }
}

#[test]
fn what_the_guest_draws_later_is_seen() {
    let Some(mut stage) = Stage::open("what_the_guest_draws_later_is_seen") else { return };
    let mut guest = Guest::plain(0, 512);
    stage.blit(&guest, &Damage::Whole).unwrap();
    guest.assert_drawn(&Damage::Whole, &stage.drawn());
    for colour in [0x11, 0x77] {
        guest.memory.bytes_mut().fill(colour);
        stage.blit(&guest, &Damage::Whole).unwrap();
        assert!(stage.drawn().iter().all(|pixel| pixel[..3] == [colour; 3]));
    }
}

#[test]
fn nothing_is_drawn_of_what_was_forgotten_or_into_a_target_of_another_size() {
    let name = "nothing_is_drawn_of_what_was_forgotten_or_into_a_target_of_another_size";
    let Some(mut stage) = Stage::open(name) else { return };
    let guest = Guest::plain(0, 512);
    stage.blit(&guest, &Damage::Whole).unwrap();
    Blitter::forget(&mut stage.gpu, guest.storage.id);
    let blit = |stage: &mut Stage| {
        let drawn = stage.gpu.blit(0, guest.storage.id, &guest.view, &Damage::Whole);
        drawn.unwrap_err().to_string()
    };
    assert!(blit(&mut stage).contains("wasn't imported"));
    stage.gpu.import(&guest.dmabuf, &guest.view.layout).unwrap();
    stage.resize(Size { width: 71, height: 40 });
    assert!(blit(&mut stage).contains("no target"));
    stage.gpu.drop_target(0);
    assert!(blit(&mut stage).contains("no target"));
}

#[test]
fn imports_are_bounded_and_come_back() {
    let Some(mut stage) = Stage::open("imports_are_bounded_and_come_back") else { return };
    let guests: Vec<_> = (0..40).map(|_| Guest::plain(0, 512)).collect();
    for guest in guests.iter().chain(&guests[..1]) {
        stage.clear();
        stage.blit(guest, &Damage::Whole).unwrap();
        guest.assert_drawn(&Damage::Whole, &stage.drawn());
    }
    let kept = guests.iter().filter(|guest| stage.gpu.imports.has(guest.storage.id)).count();
    assert_eq!(kept, 16);
}

/// Real nodes, and memory of nobody's GPU: its rows lie one after the other, so no driver may say that they don't.
#[test]
fn gbm_is_asked_how_memory_is_laid_out() {
    let name = "gbm_is_asked_how_memory_is_laid_out";
    let guest = Guest::plain(0, 512);
    let dmabuf = match create_udmabuf(guest.storage.fds[0].as_fd(), 0, guest.storage.size) {
        Ok(dmabuf) => dmabuf,
        Err(error) => return skip(name, &format!("there are no udmabufs ({error})")),
    };
    let nodes = render_nodes(None).unwrap_or_default();
    if nodes.is_empty() {
        return skip(name, "there is no render node");
    }
    for node in nodes {
        let layout = Layout { modifier: Modifier::INVALID, ..guest.view.layout };
        let asked = gbm::Device::open(&node)
            .and_then(|device| device.modifier(&layout, |_| dmabuf.as_fd()));
        println!("{}: {asked:?}", node.display());
        if let Ok(modifier) = asked {
            assert!([Modifier::LINEAR, Modifier::INVALID].contains(&modifier), "{modifier}");
        }
    }
}

#[test]
fn software_is_known_by_its_name() {
    for software in [
        "llvmpipe (LLVM 19.1.7, 256 bits)",
        "softpipe",
        "zink Vulkan 1.4(llvmpipe (LLVM 19.1.7, 256 bits) (MESA_LLVMPIPE))",
        "virgl (LLVMPIPE (LLVM 15.0.6, 256 bits))",
    ] {
        assert!(is_software(software), "{software}");
    }
    for hardware in ["Mesa Intel(R) Iris(R) Xe Graphics", "AMD Radeon 780M (radeonsi)", "NVIDIA L4"]
    {
        assert!(!is_software(hardware), "{hardware}");
    }
}

#[test]
fn what_is_seen_lies_within_the_memory() {
    assert!(within(WHOLE, SIZE));
    assert!(within(CROP, SIZE));
    for outside in [
        Rect { x: 1, ..WHOLE },
        Rect { y: u32::MAX, ..WHOLE },
        Rect { width: 0, ..WHOLE },
        Rect { height: 41, ..WHOLE },
    ] {
        assert!(!within(outside, SIZE), "{outside:?}");
    }
}
