//! The drawing alone, with textures that are uploaded: all that it needs is EGL.

use super::*;

const BGRA: u32 = 0x80e1;

/// A context, where there is EGL.
fn context() -> Result<(Context, Painter), String> {
    let context = Context::new(Display::open(Place::Nowhere)?)?;
    let current = context.enter()?;
    let painter = Painter::new(|name| current.find(name))?;
    drop(current);
    Ok((context, painter))
}

/// Uploads what a guest has, and draws it over a cleared target.
fn drawn(painter: &Painter, guest: &Guest, damage: &Damage) -> Vec<[u8; 4]> {
    let gl = painter.gl();
    let Size { width, height } = guest.view.size();
    let (width, height) = (width as i32, height as i32);
    let layout = guest.view.layout;
    let bytes = {
        let mut bytes = vec![0; guest.storage.size as usize];
        let map = crate::sys::Mapping::new(&guest.storage.fds[0], guest.storage.size).unwrap();
        assert!(map.read(0, &mut bytes));
        bytes.split_off(layout.planes[0].offset as usize)
    };
    let (internal, format, kind) = match layout.format {
        Format::XRGB8888 | Format::ARGB8888 => (BGRA, BGRA, glow::UNSIGNED_BYTE),
        Format::RGB565 => (glow::RGB565, glow::RGB, glow::UNSIGNED_SHORT_5_6_5),
        _ => (glow::RGBA8, glow::RGBA, glow::UNSIGNED_BYTE),
    };
    let texture = painter.texture(Kind::Plain).unwrap();
    let mut pixels = vec![0; (width * height * 4) as usize];
    // SAFETY: the callers have made a context current; `bytes` has all rows of the texture, and
    // `pixels` room for all of the target.
    unsafe {
        gl.bind_texture(glow::TEXTURE_2D, Some(texture));
        let row = layout.planes[0].stride / pixel_bytes(layout.format);
        gl.pixel_store_i32(glow::UNPACK_ALIGNMENT, 1);
        gl.pixel_store_i32(glow::UNPACK_ROW_LENGTH, row as i32);
        let data = glow::PixelUnpackData::Slice(Some(&bytes));
        let (w, h) = (SIZE.width as i32, SIZE.height as i32);
        gl.tex_image_2d(glow::TEXTURE_2D, 0, internal as i32, w, h, 0, format, kind, data);
        let renderbuffer = gl.create_renderbuffer().unwrap();
        gl.bind_renderbuffer(glow::RENDERBUFFER, Some(renderbuffer));
        gl.renderbuffer_storage(glow::RENDERBUFFER, glow::RGBA8, width, height);
        let framebuffer = gl.create_framebuffer().unwrap();
        gl.bind_framebuffer(glow::FRAMEBUFFER, Some(framebuffer));
        let at = glow::COLOR_ATTACHMENT0;
        gl.framebuffer_renderbuffer(glow::FRAMEBUFFER, at, glow::RENDERBUFFER, Some(renderbuffer));
        assert_eq!(
            gl.check_framebuffer_status(glow::FRAMEBUFFER),
            glow::FRAMEBUFFER_COMPLETE,
            "framebuffer"
        );
        gl.disable(glow::SCISSOR_TEST);
        gl.clear_color(0.0, 1.0, 0.0, 1.0);
        gl.clear(glow::COLOR_BUFFER_BIT);
        assert_eq!(gl.get_error(), glow::NO_ERROR);
        painter.draw(Kind::Plain, framebuffer, &guest.view, damage).unwrap();
        gl.bind_framebuffer(glow::FRAMEBUFFER, Some(framebuffer));
        let out = glow::PixelPackData::Slice(Some(&mut pixels));
        gl.read_pixels(0, 0, width, height, glow::RGBA, glow::UNSIGNED_BYTE, out);
        gl.delete_framebuffer(framebuffer);
        gl.delete_renderbuffer(renderbuffer);
        gl.delete_texture(texture);
        assert_eq!(gl.get_error(), glow::NO_ERROR);
    }
    pixels
        .as_chunks()
        .0
        .iter()
        .map(|&[red, green, blue, alpha]| [blue, green, red, alpha])
        .collect()
}

#[test]
fn pixels_are_those_that_the_cpu_copies() {
    let (context, painter) = match context() {
        Ok(made) => made,
        Err(reason) => return skip("pixels_are_those_that_the_cpu_copies", &reason),
    };
    let _current = context.enter().unwrap();
    for padding in [0, 8, 212] {
        for guest in guests(|row| row + padding) {
            for damage in damages() {
                guest.assert_drawn(&damage, &drawn(&painter, &guest, &damage));
            }
        }
    }
}

#[test]
fn what_is_drawn_is_opaque() {
    let (context, painter) = match context() {
        Ok(made) => made,
        Err(reason) => return skip("what_is_drawn_is_opaque", &reason),
    };
    let _current = context.enter().unwrap();
    let guest = Guest::new(Format::ARGB8888, 0, 280, WHOLE, Transform::Normal);
    let drawn = drawn(&painter, &guest, &Damage::Whole);
    assert!(drawn.iter().all(|pixel| pixel[3] == 0xff));
}
