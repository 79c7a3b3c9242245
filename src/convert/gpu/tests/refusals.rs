//! What can't be done is said in a sentence that names what lacks.

use super::*;

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
    let odd = Guest::plain(0, 280);
    refused(&odd, "280 bytes long, no multiple of 256");

    let mut tiled = Guest::plain(0, 512);
    tiled.view.layout.modifier = Modifier(0x0100_0000_0000_0002);
    refused(&tiled, "knows no XR24 with modifier 0x0100000000000002, but with linear");

    let mut unknown = Guest::plain(0, 512);
    unknown.view.layout.format = Format(u32::from_le_bytes(*b"NONE"));
    refused(&unknown, "knows no NONE with modifier linear, nor with any other");

    // The last row of chroma isn't there.
    let seen = (WHOLE, Transform::Normal);
    let mut cut = Guest::new(Format::NV12, SIZE, 0, |_| 512, seen);
    cut.view.layout.planes[1].offset += 4096;
    refused(&cut, "plane 1 ends at byte");

    let mut short = Guest::plain(0, 512);
    short.view.layout.planes[0].offset = 4096;
    refused(&short, "ends at byte 24576 of memory that has 20480");

    let mut plain = Guest::plain(0, 512);
    plain.dmabuf.memory = Memory::Memfd { shrink_sealed: true };
    refused(&plain, "no dma-buf");
}

#[test]
fn what_is_not_to_be_read_back_is_said() {
    let Some(mut stage) = Stage::open("what_is_not_to_be_read_back_is_said") else { return };
    let mut tiled = Guest::plain(0, 512);
    tiled.view.layout.modifier = Modifier(0x0100_0000_0000_0002);
    let mut out = BEFORE.repeat(70 * 40);
    let error = stage.gpu.read(&tiled.dmabuf, &tiled.view, &Damage::Whole, &mut out, 280);
    assert!(matches!(error, Err(BlitError::Import(_))), "{error:?}");
    let mut outside = Guest::plain(0, 512);
    outside.view.visible.x = 1;
    let error = stage.gpu.read(&outside.dmabuf, &outside.view, &Damage::Whole, &mut out, 280);
    assert!(matches!(error, Err(BlitError::Draw(_))), "{error:?}");
    assert!(out.as_chunks().0.iter().all(|pixel| *pixel == BEFORE));
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

#[test]
fn how_memory_is_laid_out_only_its_own_gpu_says() {
    let name = "how_memory_is_laid_out_only_its_own_gpu_says";
    let Some(mut stage) = Stage::open(name) else { return };
    let guest = Guest::plain(0, 512);
    let layout = Layout { modifier: Modifier::INVALID, ..guest.view.layout };
    let error = stage.gpu.modifier(&guest.dmabuf, &layout).unwrap_err();
    assert!(error.to_string().contains("is no GPU that could know it"), "{error}");
    let error = stage.gpu.modifier(&guest.storage, &layout).unwrap_err();
    assert!(error.to_string().contains("it is no dma-buf"), "{error}");
}
