//! What is offered downstream: ways to read the same bytes, the ones that copy nothing first.

use fanlight::frame::{Format, Layout, Modifier, Rect, Size, Transform};
use gst::Fraction;
use gst_video::VideoFormat;

/// Frames a second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Rate {
    /// So many exactly; `None`: as many as the guest makes.
    pub(crate) fixed: Option<Fraction>,
    /// At most.
    pub(crate) max: Option<Fraction>,
}

/// What a frame rate is where downstream takes no variable one, and nobody has said it.
const USUAL_RATE: Fraction = Fraction::new_raw(30, 1);
const VARIABLE: Fraction = Fraction::new_raw(0, 1);

/// How a frame's bytes are to be read, apart from what caps say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Picture {
    pub(crate) size: Size,
    /// Where it is within a whole of which downstream has to show only this part; `None`: it is the whole.
    pub(crate) part: Option<Part>,
    /// What a pixel is; [`VideoFormat::DmaDrm`] where GStreamer has no name for it.
    pub(crate) format: VideoFormat,
    /// Of each plane, in bytes.
    pub(crate) offsets: [usize; 4],
    pub(crate) strides: [i32; 4],
    pub(crate) planes: usize,
    /// The first row is the bottom of the picture.
    pub(crate) flipped: bool,
}

/// Where a picture is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Part {
    /// Of the memory.
    pub(crate) of: Size,
    pub(crate) x: u32,
    pub(crate) y: u32,
}

impl Picture {
    /// Of a copy: rows of XRGB8888 without gaps, upright.
    pub(crate) fn copied(size: Size) -> Self {
        let stride = i32::try_from(size.width * 4).unwrap_or(i32::MAX);
        Self {
            size,
            part: None,
            format: VideoFormat::Bgrx,
            offsets: [0; 4],
            strides: [stride, 0, 0, 0],
            planes: 1,
            flipped: false,
        }
    }

    /// Whether rows don't lie one after the other from the beginning, as who reads only caps takes for granted.
    pub(crate) fn has_gaps(&self) -> bool {
        let usual = Self::copied(self.size);
        (self.strides, self.offsets) != (usual.strides, usual.offsets)
    }

    /// Of a guest's own memory; `None` where its rows are too long.
    pub(crate) fn direct(layout: &Layout, visible: &Rect, transform: Transform) -> Option<Self> {
        let whole = (visible.width, visible.height) == (layout.size.width, layout.size.height);
        let linear = layout.modifier == Modifier::LINEAR && layout.plane_count == 1;
        let planes = usize::from(layout.plane_count);
        let mut offsets = layout.planes.map(|plane| plane.offset as usize);
        let mut strides = [0; 4];
        for (stride, plane) in strides.iter_mut().zip(layout.planes) {
            *stride = i32::try_from(plane.stride).ok()?;
        }
        let mut part = None;
        match pixel_bytes(layout.format).filter(|_| linear) {
            _ if whole => {}
            // Of rows that lie one after the other a part begins later, and that is all.
            Some(pixel) => {
                offsets[0] += visible.y as usize * layout.planes[0].stride as usize
                    + visible.x as usize * pixel;
            }
            None => part = Some(Part { of: layout.size, x: visible.x, y: visible.y }),
        }
        let format = gst_video::dma_drm_fourcc_to_format(layout.format.0);
        let size = Size { width: visible.width, height: visible.height };
        let flipped = transform == Transform::Flipped;
        let format = format.unwrap_or(VideoFormat::DmaDrm);
        Some(Self { size, part, format, offsets, strides, planes, flipped })
    }
}

fn pixel_bytes(format: Format) -> Option<usize> {
    let four = [Format::XRGB8888, Format::ARGB8888, Format::XBGR8888, Format::ABGR8888];
    if four.contains(&format) { Some(4) } else { (format == Format::RGB565).then_some(2) }
}

/// Formats of the same bytes. A screen has no holes, whatever its guest leaves in the alpha byte, so the one without
/// comes first; the one with alpha is there for who knows only that, as VA-API's drivers do.
fn aliases(format: Format) -> [Option<Format>; 2] {
    let pairs = [[Format::XRGB8888, Format::ARGB8888], [Format::XBGR8888, Format::ABGR8888]];
    match pairs.into_iter().find(|pair| pair.contains(&format)) {
        Some(pair) => pair.map(Some),
        None => [Some(format), None],
    }
}

/// What a guest's own memory can be offered as.
pub(crate) fn direct(layout: &Layout, size: Size, rate: Rate) -> gst::Caps {
    let mut caps = gst::Caps::new_empty();
    let (modifier, formats) = (layout.modifier, aliases(layout.format));
    let all = caps.get_mut().expect("nobody else has it");
    // GStreamer has no words for a modifier that isn't said.
    if modifier != Modifier::INVALID {
        let drm = formats
            .into_iter()
            .flatten()
            .map(|format| gst_video::dma_drm_fourcc_to_string(format.0, modifier.0).to_string());
        let structure = raw(size, rate)
            .field("format", "DMA_DRM")
            .field("drm-format", gst::List::new(drm))
            .build();
        let features = gst::CapsFeatures::new([gst_allocators::CAPS_FEATURE_MEMORY_DMABUF]);
        all.append_structure_full(structure, Some(features));
    }
    if modifier == Modifier::LINEAR && layout.plane_count == 1 {
        let known = formats.into_iter().flatten();
        let known: Vec<_> = known
            .filter_map(|format| gst_video::dma_drm_fourcc_to_format(format.0).ok())
            .map(|format| format.to_str().as_str())
            .collect();
        if !known.is_empty() {
            let structure = raw(size, rate).field("format", gst::List::new(known)).build();
            all.append_structure(structure);
        }
    }
    caps
}

/// The modifiers with which `peer` may take what a GPU has drawn: XRGB8888, or the same bytes with alpha.
pub(crate) fn modifiers(peer: &gst::CapsRef) -> Vec<Modifier> {
    let mut found = Vec::new();
    let mut add = |modifier: Modifier| {
        // GStreamer has no words for one that isn't said.
        if modifier != Modifier::INVALID && !found.contains(&modifier) {
            found.push(modifier);
        }
    };
    for structure in peer.iter() {
        let Ok(formats) = structure.value("drm-format") else {
            // Any, or memory that is none of a dma-buf's.
            add(Modifier::LINEAR);
            continue;
        };
        let mut take = |text: &gst::glib::SendValue| {
            let parsed = text.get::<&str>().map(gst_video::dma_drm_fourcc_from_str);
            if let Ok(Ok((fourcc, modifier))) = parsed
                && aliases(Format::XRGB8888).contains(&Some(Format(fourcc)))
            {
                add(Modifier(modifier));
            }
        };
        match formats.get::<gst::List>() {
            Ok(list) => list.iter().for_each(take),
            Err(_) => take(formats),
        }
    }
    found
}

/// What a copy is offered as.
pub(crate) fn copied(size: Size, rate: Rate) -> gst::Caps {
    let structure = raw(size, rate).field("format", VideoFormat::Bgrx.to_str().as_str()).build();
    gst::Caps::builder_full().structure(structure).build()
}

fn raw(size: Size, rate: Rate) -> gst::structure::Builder {
    let side = |length: u32| i32::try_from(length).unwrap_or(i32::MAX);
    let most = rate.max.unwrap_or(Fraction::new(i32::MAX, 1));
    let builder = gst::Structure::builder("video/x-raw")
        .field("width", side(size.width))
        .field("height", side(size.height))
        .field("pixel-aspect-ratio", Fraction::new(1, 1))
        .field("interlace-mode", "progressive")
        .field_if_some("max-framerate", rate.max);
    match rate.fixed {
        Some(rate) => builder.field("framerate", rate),
        None => builder.field("framerate", gst::FractionRange::new(VARIABLE, most)),
    }
}

/// The first of `offers` that `peer` takes, as one format.
fn choose(offers: &gst::Caps, peer: &gst::Caps) -> Option<gst::Caps> {
    let mut both = offers.intersect_with_mode(peer, gst::CapsIntersectMode::First);
    if both.is_empty() {
        return None;
    }
    both.truncate();
    {
        let structure = both.make_mut().structure_mut(0)?;
        let takes_any = structure.value("framerate").ok().is_some_and(|rate| {
            rate.get::<gst::FractionRange>().is_ok_and(|range| range.min() == VARIABLE)
        });
        let wanted = if takes_any { VARIABLE } else { USUAL_RATE };
        if structure.value("framerate").is_ok_and(|rate| rate.get::<Fraction>().is_err()) {
            structure.fixate_field_nearest_fraction("framerate", wanted);
        }
    }
    both.fixate();
    Some(both)
}

/// What is offered, and what became of that.
#[derive(Clone, Debug)]
pub(crate) struct Agreed {
    pub(crate) offers: gst::Caps,
    /// One format of these.
    pub(crate) caps: gst::Caps,
}

impl Agreed {
    /// # Errors
    /// With the offers, where `peer` takes none of them.
    pub(crate) fn new(offers: gst::Caps, peer: &gst::Caps) -> Result<Self, gst::Caps> {
        match choose(&offers, peer) {
            Some(caps) => Ok(Self { offers, caps }),
            None => Err(offers),
        }
    }

    /// Agrees once more; says whether that worked. Else it stays as it was.
    pub(crate) fn again(&mut self, peer: &gst::Caps) -> bool {
        choose(&self.offers, peer).map(|caps| self.caps = caps).is_some()
    }
}

/// Whether these caps are of dma-bufs that only who knows them can read.
pub(crate) fn is_dmabuf(caps: &gst::CapsRef) -> bool {
    caps.features(0).is_some_and(|f| f.contains(gst_allocators::CAPS_FEATURE_MEMORY_DMABUF))
}

/// The frame rate of fixed caps; `None` where it varies.
pub(crate) fn fixed_rate(caps: &gst::CapsRef) -> Option<Fraction> {
    let rate = caps.structure(0)?.get::<Fraction>("framerate").ok()?;
    (rate.numer() > 0).then_some(rate)
}

/// All that the element may ever produce.
pub(crate) fn template() -> gst::Caps {
    let formats = ["BGRx", "BGRA", "RGBx", "RGBA", "RGB16", "BGR10x2_LE", "BGR10A2_LE"];
    let any = |builder: gst::structure::Builder| {
        builder
            .field("width", gst::IntRange::new(1, i32::MAX))
            .field("height", gst::IntRange::new(1, i32::MAX))
            .field("framerate", gst::FractionRange::new(VARIABLE, Fraction::new(i32::MAX, 1)))
            .build()
    };
    let builder = || gst::Structure::builder("video/x-raw");
    let features = gst::CapsFeatures::new([gst_allocators::CAPS_FEATURE_MEMORY_DMABUF]);
    gst::Caps::builder_full()
        .structure_with_features(any(builder().field("format", "DMA_DRM")), features)
        .structure(any(builder().field("format", gst::List::new(formats))))
        .build()
}

#[cfg(test)]
mod tests {
    use super::*;
    use fanlight::frame::{PLANES_MAX, Plane};
    use gst::prelude::*;

    fn layout(format: Format, modifier: Modifier) -> Layout {
        gst::init().unwrap();
        let mut planes = [Plane::default(); PLANES_MAX];
        planes[0] = Plane { offset: 64, stride: 512 };
        Layout { size: SIZE, format, modifier, planes, plane_count: 1 }
    }

    const SIZE: Size = Size { width: 100, height: 50 };
    const TILED: Modifier = Modifier(0x0100_0000_0000_0002);

    fn offers(format: Format, modifier: Modifier) -> Vec<String> {
        let caps = direct(&layout(format, modifier), SIZE, Rate::default());
        let said = |(structure, features): (&gst::StructureRef, &gst::CapsFeaturesRef)| {
            let format = structure.value("drm-format").or_else(|_| structure.value("format"));
            format!("{features} {}", format.unwrap().serialize().unwrap())
        };
        caps.iter_with_features().map(said).collect()
    }

    #[test]
    fn memory_is_offered_as_it_is_then_as_what_any_element_reads() {
        let linear = [
            "memory:DMABuf { (string)XR24, (string)AR24 }",
            "memory:SystemMemory { (string)BGRx, (string)BGRA }",
        ];
        assert_eq!(offers(Format::XRGB8888, Modifier::LINEAR), linear);
        assert_eq!(offers(Format::ARGB8888, Modifier::LINEAR), linear);
        let tiled =
            "memory:DMABuf { (string)XB24:0x0100000000000002, (string)AB24:0x0100000000000002 }";
        assert_eq!(offers(Format::ABGR8888, TILED), [tiled]);
        assert!(offers(Format::XRGB8888, Modifier::INVALID).is_empty());
    }

    #[test]
    fn the_first_that_both_know_is_taken_with_one_rate() {
        let offers = direct(&layout(Format::XRGB8888, TILED), SIZE, Rate::default());
        let peer = |text: &str| text.parse::<gst::Caps>().unwrap();
        let va =
            peer("video/x-raw(memory:DMABuf),format=DMA_DRM,drm-format=AR24:0x0100000000000002");
        let chosen = choose(&offers, &va).unwrap();
        let chosen = chosen.structure(0).unwrap();
        assert_eq!(chosen.get::<&str>("drm-format"), Ok("AR24:0x0100000000000002"));
        assert_eq!(chosen.get("framerate"), Ok(Fraction::new(0, 1)));
        assert!(choose(&offers, &peer("video/x-raw,format=I420")).is_none());
        let copies = copied(SIZE, Rate::default());
        let rate = |text| fixed_rate(&choose(&copies, &peer(text)).unwrap());
        assert_eq!(rate("video/x-raw"), None);
        assert_eq!(rate("video/x-raw,framerate=25/1"), Some(Fraction::new(25, 1)));
        assert_eq!(rate("video/x-raw,framerate=[1/1,60/1]"), Some(Fraction::new(30, 1)));
    }

    #[test]
    fn a_gpu_may_draw_into_what_downstream_takes_of_the_same_bytes() {
        gst::init().unwrap();
        let said = |text: &str| modifiers(&text.parse::<gst::Caps>().unwrap());
        let dmabuf = |formats: &str| {
            said(&format!("video/x-raw(memory:DMABuf),format=DMA_DRM,drm-format={formats}"))
        };
        assert_eq!(dmabuf("{XR24:0x0100000000000002,NV12,XR24}"), [TILED, Modifier::LINEAR]);
        assert_eq!(dmabuf("AR24:0x0100000000000002"), [TILED]);
        assert_eq!(dmabuf("{AB24:0x0100000000000002,NV12:0x0100000000000002}"), []);
        assert_eq!(said("video/x-raw(memory:DMABuf)"), [Modifier::LINEAR]);
        assert_eq!(said("video/x-raw,format=BGRx"), [Modifier::LINEAR]);
    }

    #[test]
    fn a_visible_part_of_linear_memory_begins_later_and_of_tiled_memory_is_told() {
        let part = Rect { x: 3, y: 2, width: 10, height: 20 };
        let linear = layout(Format::XRGB8888, Modifier::LINEAR);
        let picture = Picture::direct(&linear, &part, Transform::Normal).unwrap();
        assert_eq!((picture.offsets[0], picture.strides[0]), (64 + 2 * 512 + 3 * 4, 512));
        assert_eq!((picture.size, picture.part), (Size { width: 10, height: 20 }, None));
        let tiled = layout(Format::XRGB8888, TILED);
        let picture = Picture::direct(&tiled, &part, Transform::Normal).unwrap();
        assert_eq!((picture.size, picture.offsets[0]), (Size { width: 10, height: 20 }, 64));
        assert_eq!(picture.part, Some(Part { of: SIZE, x: 3, y: 2 }));
        let whole = Rect { x: 0, y: 0, width: 100, height: 50 };
        let picture = Picture::direct(&tiled, &whole, Transform::Flipped).unwrap();
        assert!(picture.flipped && picture.part.is_none());
    }
}
