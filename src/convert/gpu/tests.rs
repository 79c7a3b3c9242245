//! What is drawn is what the CPU copies. The drawing is tested wherever there is EGL, with textures
//! that were uploaded; importing and all the rest where the driver takes memfds for dma-bufs.

mod drawing;

use std::os::fd::BorrowedFd;

use super::painter::Kind;
use super::*;
use crate::convert::cpu::{self, Reader};
use crate::frame::{DAMAGE_MAX, Transform};
use crate::sys::{OwnMapping, classify, storage};

const SIZE: Size = Size { width: 70, height: 40 };
const WHOLE: Rect = Rect { x: 0, y: 0, width: 70, height: 40 };
const CROP: Rect = Rect { x: 5, y: 3, width: 41, height: 29 };
const FORMATS: [Format; 5] =
    [Format::XRGB8888, Format::ARGB8888, Format::XBGR8888, Format::ABGR8888, Format::RGB565];
/// What is in a target before anything is drawn: green.
const BEFORE: [u8; 4] = [0, 0xff, 0, 0xff];

fn pixel_bytes(format: Format) -> u32 {
    if format == Format::RGB565 { 2 } else { 4 }
}

/// A guest's picture, in a memfd.
struct Guest {
    memory: OwnMapping,
    /// As what the CPU reads.
    storage: Storage,
    /// As what the GPU imports.
    dmabuf: Storage,
    view: View,
}

impl Guest {
    fn new(format: Format, offset: u32, stride: u32, visible: Rect, transform: Transform) -> Self {
        let bytes = page_align(u64::from(offset + stride * SIZE.height));
        let fd = own_memfd("guest", bytes).unwrap();
        let mut memory = OwnMapping::new(&fd, bytes).unwrap();
        // Noise, so that a pixel from the wrong place is a wrong pixel.
        let mut seed = 0x2545_f491_u32;
        for byte in memory.bytes_mut() {
            seed = seed.wrapping_mul(0x0019_660d).wrapping_add(0x3c6e_f35f);
            *byte = (seed >> 24) as u8;
        }
        let mut planes = [Plane::default(); PLANES_MAX];
        planes[0] = Plane { offset, stride };
        let modifier = Modifier::LINEAR;
        let layout = Layout { size: SIZE, format, modifier, planes, plane_count: 1 };
        let storage = storage(vec![fd.try_clone().unwrap()], classify).unwrap();
        let (id, size, fds) = (storage.id, storage.size, vec![fd]);
        let dmabuf =
            Storage { id, size, fds, memory: Memory::DmaBuf { exporter: "udmabuf".into() } };
        Self { memory, storage, dmabuf, view: View { layout, visible, transform } }
    }

    /// What the CPU copies of it, over what is there before.
    fn copied(&self, damage: &Damage) -> Vec<[u8; 4]> {
        let Size { width, height } = self.view.size();
        let mut out = BEFORE.repeat((width * height) as usize);
        let reader = Reader::open(&self.storage).unwrap();
        cpu::copy(&reader, &self.view, damage, &mut out, width as usize * OUT_PIXEL).unwrap();
        out.as_chunks().0.to_vec()
    }

    /// Fails unless `drawn` has the colours that the CPU copies.
    fn assert_drawn(&self, damage: &Damage, drawn: &[[u8; 4]]) {
        let width = self.view.visible.width as usize;
        // Widening five bits rounds there and repeats bits here.
        let exact = self.view.layout.format != Format::RGB565;
        let copied = self.copied(damage);
        assert_eq!(copied.len(), drawn.len());
        for (index, (want, have)) in copied.iter().zip(drawn).enumerate() {
            let near = (0..3).all(|c| want[c].abs_diff(have[c]) <= u8::from(!exact));
            assert!(
                near,
                "{have:?} in place of {want:?} at {},{} of {:?}, {damage:?}",
                index % width,
                index / width,
                self.view
            );
        }
    }
}

/// Every format, with and without padding, offset, crop and flip.
fn guests(stride_of: impl Fn(u32) -> u32) -> Vec<Guest> {
    let mut guests = Vec::new();
    for format in FORMATS {
        for visible in [WHOLE, CROP] {
            for transform in [Transform::Normal, Transform::Flipped] {
                for offset in [0, 4096] {
                    let stride = stride_of(SIZE.width * pixel_bytes(format));
                    guests.push(Guest::new(format, offset, stride, visible, transform));
                }
            }
        }
    }
    guests
}

fn damages() -> [Damage; 3] {
    let mut rects = [Rect::default(); DAMAGE_MAX];
    rects[0] = Rect { x: 7, y: 4, width: 9, height: 5 };
    // Partly outside of the crop, and partly outside of everything.
    rects[1] = Rect { x: 30, y: 20, width: 500, height: 3 };
    [Damage::Whole, Damage::Rects { rects, count: 2 }, Damage::NONE]
}

fn skip(name: &str, reason: &str) {
    println!("SKIP {name}: {reason}");
}

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
        let mut gpu =
            Gpu::software(memfd).map_err(|reason| skip(name, &reason.to_string())).ok()?;
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

    fn drawn(&self) -> Vec<[u8; 4]> {
        let Layout { size, planes, .. } = self.target.layout;
        let mut bytes = self.bytes();
        let rows = bytes.bytes_mut().chunks(planes[0].stride as usize);
        let pixels = rows.flat_map(|row| row.as_chunks().0[..size.width as usize].to_vec());
        pixels.collect()
    }
}

#[test]
fn imported_memory_is_drawn_into_memory_of_ours_as_the_cpu_copies_it() {
    let name = "imported_memory_is_drawn_into_memory_of_ours_as_the_cpu_copies_it";
    let Some(mut stage) = Stage::open(name) else { return };
    for guest in guests(|row| row.next_multiple_of(256)) {
        stage.resize(guest.view.size());
        for damage in damages() {
            stage.clear();
            stage.blit(&guest, &damage).unwrap();
            guest.assert_drawn(&damage, &stage.drawn());
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
    let guest = Guest::new(Format::XRGB8888, 4096, 512, CROP, Transform::Flipped);
    stage.resize(guest.view.size());
    for damage in damages() {
        stage.clear();
        let (gpu, bound) = (&stage.gpu, Kind::External.target());
        let fd_of = |_| guest.dmabuf.fds[0].as_fd();
        let image = gpu.context.display().image(&guest.view.layout, fd_of).unwrap();
        let _current = gpu.context.enter().unwrap();
        let texture = gpu.painter.texture(Kind::External).unwrap();
        let framebuffer = gpu.slots[0].as_ref().unwrap().framebuffer;
        // SAFETY: the context is current, image and texture are alive, and all is finished before
        // the target is read.
        unsafe {
            gpu.painter.gl().bind_texture(bound, Some(texture));
            (gpu.images.texture)(bound, image.handle());
            gpu.painter.draw(Kind::External, framebuffer, &guest.view, &damage).unwrap();
            gpu.painter.gl().finish();
            gpu.painter.gl().delete_texture(texture);
        }
        guest.assert_drawn(&damage, &stage.drawn());
    }
}

#[test]
fn what_the_guest_draws_later_is_seen() {
    let Some(mut stage) = Stage::open("what_the_guest_draws_later_is_seen") else { return };
    let mut guest = Guest::new(Format::XRGB8888, 0, 512, WHOLE, Transform::Normal);
    stage.blit(&guest, &Damage::Whole).unwrap();
    guest.assert_drawn(&Damage::Whole, &stage.drawn());
    for colour in [0x11, 0x77] {
        guest.memory.bytes_mut().fill(colour);
        stage.blit(&guest, &Damage::Whole).unwrap();
        assert!(stage.drawn().iter().all(|pixel| pixel[..3] == [colour; 3]));
    }
}

#[test]
fn refusals_name_what_was_refused() {
    let Some(mut stage) = Stage::open("refusals_name_what_was_refused") else { return };
    let mut refused = |guest: &Guest, why: &str| {
        for _ in 0..2 {
            let error = stage.blit(guest, &Damage::Whole).unwrap_err();
            assert!(matches!(error, BlitError::Import(_)), "{error}");
            assert!(error.to_string().contains(why), "{error}");
        }
    };
    let odd = Guest::new(Format::XRGB8888, 0, 280, WHOLE, Transform::Normal);
    refused(&odd, "280 bytes long, no multiple of 256");

    let mut tiled = Guest::new(Format::XRGB8888, 0, 512, WHOLE, Transform::Normal);
    tiled.view.layout.modifier = Modifier(0x0100_0000_0000_0002);
    refused(&tiled, "knows no XR24 with modifier 0x0100000000000002");

    let mut short = Guest::new(Format::XRGB8888, 0, 512, WHOLE, Transform::Normal);
    short.view.layout.planes[0].offset = 4096;
    refused(&short, "ends at byte 24576 of memory that has 20480");

    let mut plain = Guest::new(Format::XRGB8888, 0, 512, WHOLE, Transform::Normal);
    plain.dmabuf.memory = Memory::Memfd { shrink_sealed: true };
    refused(&plain, "no dma-buf");
}

#[test]
fn nothing_is_drawn_of_what_was_forgotten_or_into_a_target_of_another_size() {
    let name = "nothing_is_drawn_of_what_was_forgotten_or_into_a_target_of_another_size";
    let Some(mut stage) = Stage::open(name) else { return };
    let guest = Guest::new(Format::XRGB8888, 0, 512, WHOLE, Transform::Normal);
    stage.blit(&guest, &Damage::Whole).unwrap();
    stage.gpu.forget(guest.storage.id);
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
    let guests: Vec<_> =
        (0..40).map(|_| Guest::new(Format::XRGB8888, 0, 512, WHOLE, Transform::Normal)).collect();
    for guest in guests.iter().chain(&guests[..1]) {
        stage.clear();
        stage.blit(guest, &Damage::Whole).unwrap();
        guest.assert_drawn(&Damage::Whole, &stage.drawn());
    }
    let kept = guests.iter().filter(|guest| stage.gpu.imports.has(guest.storage.id)).count();
    assert_eq!(kept, 16);
}

#[test]
fn targets_are_only_what_the_compositor_takes() {
    let Some(mut stage) = Stage::open("targets_are_only_what_the_compositor_takes") else { return };
    let tiled = [Modifier(0x0100_0000_0000_0002), Modifier::INVALID];
    let error = stage.gpu.target(1, SIZE, &tiled).unwrap_err();
    assert!(matches!(error, BlitError::Target(_)), "{error}");
    let error = stage.gpu.target(1, Size { width: 1 << 20, height: 1 }, &[Modifier::LINEAR]);
    assert!(error.unwrap_err().to_string().contains("longer than"));
}

#[test]
fn what_is_no_drm_node_is_no_gpu() {
    // Mesa has a software renderer for any device at all.
    let error = Gpu::of_node(Path::new("/dev/null"), Renderer::Hardware).unwrap_err();
    assert!(matches!(error, BlitError::Open(_)), "{error}");
    if let Ok(mut gpu) = Gpu::of_node(Path::new("/dev/null"), Renderer::Any) {
        assert!(is_software(gpu.name()), "{}", gpu.name());
        assert!(error.to_string().contains("is no GPU"), "{error}");
        for modifiers in [&[][..], &[Modifier::LINEAR, Modifier(0x0100_0000_0000_0002)]] {
            let error = gpu.target(0, SIZE, modifiers).unwrap_err().to_string();
            assert!(error.contains("libgbm makes none of 70x40 pixels of XR24"), "{error}");
        }
    }
    let error = Gpu::of_node(Path::new("/dev/none"), Renderer::Any).unwrap_err().to_string();
    let said = ["/dev/none can't be opened", "libgbm.so.1 can't be loaded"];
    assert!(said.iter().any(|said| error.contains(said)), "{error}");
}

/// Real nodes, and memory of nobody's GPU: its rows lie one after the other, so no driver may say that they don't.
#[test]
fn gbm_is_asked_how_memory_is_laid_out() {
    let name = "gbm_is_asked_how_memory_is_laid_out";
    let guest = Guest::new(Format::XRGB8888, 0, 512, WHOLE, Transform::Normal);
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
fn how_memory_is_laid_out_only_its_own_gpu_says() {
    let name = "how_memory_is_laid_out_only_its_own_gpu_says";
    let Some(mut stage) = Stage::open(name) else { return };
    let guest = Guest::new(Format::XRGB8888, 0, 512, WHOLE, Transform::Normal);
    let layout = Layout { modifier: Modifier::INVALID, ..guest.view.layout };
    let error = stage.gpu.modifier(&guest.dmabuf, &layout).unwrap_err();
    assert!(error.to_string().contains("is no GPU that could know it"), "{error}");
    let error = stage.gpu.modifier(&guest.storage, &layout).unwrap_err();
    assert!(error.to_string().contains("it is no dma-buf"), "{error}");
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
