//! The drawing and the reading back alone, with textures that are uploaded: all that it needs is EGL.

use glow::NativeTexture;

use super::*;
use crate::convert::cpu::visible_damage;
use crate::sys::Mapping;

// What OpenGL ES calls BGRA8, and channels of sixteen bits, which are extensions.
const BGRA: u32 = 0x80e1;
const R16: u32 = 0x822a;
const RG16: u32 = 0x822c;
const RGBA16: u32 = 0x805b;

/// A context, where there is EGL. That its driver refuses a shader of ours is no reason to skip anything.
pub(super) fn context() -> Result<(Context, Painter), String> {
    let context = Context::new(Display::open(Place::Nowhere)?)?;
    let current = context.enter()?;
    let painter = Painter::new(|name| current.find(name)).unwrap_or_else(|why| panic!("{why}"));
    drop(current);
    Ok((context, painter))
}

/// What a plane is as a texture: how it is kept, which channels come in which type, and which of
/// them is red, green and blue.
struct Channels {
    internal: u32,
    format: u32,
    kind: u32,
    order: [u32; 3],
}

/// The textures of a format, and how they are sampled.
fn channels(format: Format) -> (Kind, Vec<Channels>) {
    const RGB_ORDER: [u32; 3] = [glow::RED, glow::GREEN, glow::BLUE];
    const BGR_ORDER: [u32; 3] = [glow::BLUE, glow::GREEN, glow::RED];
    use glow::{ALPHA, BLUE, GREEN, RED, RG, RGB, RGBA, UNSIGNED_BYTE, UNSIGNED_SHORT};
    let channels = |internal, format, kind| Channels { internal, format, kind, order: RGB_ORDER };
    let bytes = |order| Channels { order, ..channels(glow::RGBA8, RGBA, UNSIGNED_BYTE) };
    let three = |order| Channels { order, ..channels(glow::RGB8, RGB, UNSIGNED_BYTE) };
    let tens = |order| {
        let kind = glow::UNSIGNED_INT_2_10_10_10_REV;
        Channels { order, ..channels(glow::RGB10_A2, RGBA, kind) }
    };
    let sixteens = |order| Channels { order, ..channels(RGBA16, RGBA, UNSIGNED_SHORT) };
    let one = match format {
        Format::XRGB8888 | Format::ARGB8888 => channels(BGRA, BGRA, UNSIGNED_BYTE),
        Format::XBGR8888 | Format::ABGR8888 => bytes(RGB_ORDER),
        Format::RGBX8888 | Format::RGBA8888 => bytes([ALPHA, BLUE, GREEN]),
        Format::BGRX8888 | Format::BGRA8888 => bytes([GREEN, BLUE, ALPHA]),
        Format::RGB888 => three(BGR_ORDER),
        Format::BGR888 => three(RGB_ORDER),
        Format::RGB565 => channels(glow::RGB565, RGB, glow::UNSIGNED_SHORT_5_6_5),
        Format::XRGB2101010 | Format::ARGB2101010 => tens(BGR_ORDER),
        Format::XBGR2101010 | Format::ABGR2101010 => tens(RGB_ORDER),
        Format::XRGB16161616 | Format::ARGB16161616 => sixteens(BGR_ORDER),
        Format::XBGR16161616 | Format::ABGR16161616 => sixteens(RGB_ORDER),
        Format::NV12 => {
            let luma = channels(glow::R8, RED, UNSIGNED_BYTE);
            let chroma = channels(glow::RG8, RG, UNSIGNED_BYTE);
            return (Kind::Planes { deep: false }, vec![luma, chroma]);
        }
        Format::P010 => {
            let luma = channels(R16, RED, UNSIGNED_SHORT);
            let chroma = channels(RG16, RG, UNSIGNED_SHORT);
            return (Kind::Planes { deep: true }, vec![luma, chroma]);
        }
        Format::YUYV => return (Kind::Yuyv, vec![bytes(RGB_ORDER)]),
        other => panic!("{other} is no texture"),
    };
    (Kind::Plain, vec![one])
}

/// Uploads the planes of a guest's, each to a unit of its own, as textures of one kind.
fn upload(painter: &Painter, guest: &Guest) -> (Kind, Vec<NativeTexture>) {
    let layout = guest.view.layout;
    let mut bytes = vec![0; guest.storage.size as usize];
    let map = Mapping::new(&guest.storage.fds[0], guest.storage.size).unwrap();
    assert!(map.read(0, &mut bytes));
    let (kind, channels) = channels(layout.format);
    let mut textures = Vec::new();
    let samples = layout.format.samples();
    for (unit, (channels, samples)) in channels.iter().zip(samples).enumerate().rev() {
        let Plane { offset, stride } = layout.planes[unit];
        let data = glow::PixelUnpackData::Slice(Some(&bytes[offset as usize..]));
        let width = layout.size.width.div_ceil(samples.across) as i32;
        let height = samples.rows(layout.size.height) as i32;
        let row = (stride / samples.bytes) as i32;
        let Channels { internal, format, kind: of, order: [red, green, blue] } = *channels;
        let (internal, gl) = (internal as i32, painter.gl());
        // SAFETY: the callers have made a context current; `bytes` has all rows of the texture.
        unsafe {
            gl.active_texture(glow::TEXTURE0 + unit as u32);
            textures.push(painter.texture(kind).unwrap());
            gl.pixel_store_i32(glow::UNPACK_ALIGNMENT, 1);
            gl.pixel_store_i32(glow::UNPACK_ROW_LENGTH, row);
            let target = glow::TEXTURE_2D;
            gl.tex_image_2d(target, 0, internal, width, height, 0, format, of, data);
            for (channel, from) in [
                (glow::TEXTURE_SWIZZLE_R, red),
                (glow::TEXTURE_SWIZZLE_G, green),
                (glow::TEXTURE_SWIZZLE_B, blue),
            ] {
                gl.tex_parameter_i32(target, channel, from as i32);
            }
            assert_eq!(gl.get_error(), glow::NO_ERROR, "{}", layout.format);
        }
    }
    (kind, textures)
}

/// Draws what a guest has over a cleared picture, and reads all of that back.
fn drawn(painter: &Painter, guest: &Guest, damage: &Damage) -> Vec<[u8; 4]> {
    let gl = painter.gl();
    let (kind, textures) = upload(painter, guest);
    let size = guest.view.size();
    let well = Well::new(painter, size).unwrap();
    let canvas = well.canvas();
    // SAFETY: the callers have made a context current, and all is its.
    unsafe {
        gl.bind_framebuffer(glow::FRAMEBUFFER, Some(canvas.framebuffer));
        gl.disable(glow::SCISSOR_TEST);
        gl.clear_color(0.0, 1.0, 0.0, 1.0);
        gl.clear(glow::COLOR_BUFFER_BIT);
    }
    painter.draw(kind, canvas, &guest.view, damage).unwrap();
    let whole = Rect { x: 0, y: 0, width: size.width, height: size.height };
    let row = size.width as usize * OUT_PIXEL;
    let mut pixels = vec![0; row * size.height as usize];
    well.fill(painter, [whole].into_iter()).unwrap();
    well.empty(painter, [whole].into_iter(), &mut pixels, row).unwrap();
    well.delete(painter);
    for texture in textures {
        // SAFETY: as above.
        unsafe { gl.delete_texture(texture) };
    }
    pixels.as_chunks().0.to_vec()
}

#[test]
fn every_shader_compiles() {
    let name = "every_shader_compiles";
    // Making a painter compiles all that its driver can have.
    match context() {
        Err(reason) => skip(name, &reason),
        Ok((_, painter)) if !painter.draws(Kind::External) => {
            skip(name, "all do but external.frag, for which the driver has no textures");
        }
        Ok(_) => {}
    }
}

#[test]
fn pixels_are_those_that_the_cpu_copies() {
    let (context, painter) = match context() {
        Ok(made) => made,
        Err(reason) => return skip("pixels_are_those_that_the_cpu_copies", &reason),
    };
    let _current = context.enter().unwrap();
    // Rows end after so many pixels more; 48 bytes are a whole number of any.
    for padding in [0, 48] {
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
    for format in [Format::ARGB8888, Format::YUYV] {
        let seen = (WHOLE, Transform::Normal);
        let guest = Guest::new(format, SIZE, 0, |row| row, seen);
        let drawn = drawn(&painter, &guest, &Damage::Whole);
        assert!(drawn.iter().all(|pixel| pixel[3] == 0xff));
    }
}

/// What isn't damaged is neither read nor written, and what is between rows isn't either.
#[test]
fn only_damage_is_read_back() {
    let name = "only_damage_is_read_back";
    let (context, painter) = match context() {
        Ok(made) => made,
        Err(reason) => return skip(name, &reason),
    };
    let _current = context.enter().unwrap();
    let guest = Guest::plain(0, 512);
    let (kind, _) = upload(&painter, &guest);
    let well = Well::new(&painter, SIZE).unwrap();
    painter.draw(kind, well.canvas(), &guest.view, &Damage::Whole).unwrap();
    let row = SIZE.width as usize * OUT_PIXEL;
    for damage in damages() {
        let mut out = BEFORE.repeat((row / OUT_PIXEL + 1) * SIZE.height as usize);
        let rects = || visible_damage(&guest.view, &damage);
        let area: u32 = rects().map(|rect| rect.width * rect.height).sum();
        well.fill(&painter, rects()).unwrap();
        let bytes = well.empty(&painter, rects(), &mut out, row + OUT_PIXEL).unwrap();
        assert_eq!(bytes, u64::from(area) * OUT_PIXEL as u64);
        let rows = out.chunks(row + OUT_PIXEL);
        assert!(rows.clone().all(|with_gap| with_gap[row..] == BEFORE));
        let pixels: Vec<_> = rows.flat_map(|row| row.as_chunks().0[..70].to_vec()).collect();
        guest.assert_drawn(&damage, &pixels);
    }
}

#[test]
fn pictures_that_are_too_large_are_not_read_back() {
    let name = "pictures_that_are_too_large_are_not_read_back";
    let (context, painter) = match context() {
        Ok(made) => made,
        Err(reason) => return skip(name, &reason),
    };
    let _current = context.enter().unwrap();
    let longest = painter.edge_max();
    for (width, height) in [(longest + 1, 1), (1, u32::MAX)] {
        let error = Well::new(&painter, Size { width, height }).unwrap_err();
        assert_eq!(error, format!("a side would be longer than {longest} pixels"));
    }
}
