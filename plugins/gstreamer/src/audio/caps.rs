//! What QEMU calls a format of samples, and what GStreamer does.

use fanlight::sound::Format;

/// Most channels and frames a second that [`Format::is_possible`] lets through.
const CHANNELS_MAX: i32 = 8;
const RATE_MAX: i32 = 384_000;
/// All that QEMU may say; what it says by default comes first.
const FORMATS: [&str; 12] = [
    "S16LE", "S16BE", "U8", "S8", "U16LE", "U16BE", "S32LE", "S32BE", "U32LE", "U32BE", "F32LE",
    "F32BE",
];
/// As long as the guest has said nothing, and downstream has no other wish.
const DEFAULT: Format =
    Format { bits: 16, signed: true, float: false, big_endian: false, rate: 48_000, channels: 2 };

/// All that may come.
pub(super) fn template() -> gst::Caps {
    gst::Caps::builder("audio/x-raw")
        .field("format", gst::List::new(FORMATS))
        .field("layout", "interleaved")
        .field("rate", gst::IntRange::new(1, RATE_MAX))
        .field("channels", gst::IntRange::new(1, CHANNELS_MAX))
        .build()
}

/// What such samples are called.
pub(super) fn of(format: &Format) -> gst::Caps {
    let sign = match (format.float, format.signed) {
        (true, _) => 'F',
        (false, true) => 'S',
        (false, false) => 'U',
    };
    let order = match (format.bits, format.big_endian) {
        (8, _) => "",
        (_, true) => "BE",
        (_, false) => "LE",
    };
    let mut caps = gst::Caps::builder("audio/x-raw")
        .field("format", format!("{sign}{}{order}", format.bits))
        .field("layout", "interleaved")
        .field("rate", i32::try_from(format.rate).unwrap_or(RATE_MAX))
        .field("channels", i32::from(format.channels));
    // With one or two channels nobody asks where they are.
    if format.channels > 2 {
        caps = caps.field("channel-mask", gst::Bitmask::new(places(format.channels)));
    }
    caps.build()
}

/// Front left and right, front centre, low frequencies, rear left and right, side left and right: as the viewer tells
/// the sound server.
fn places(channels: u8) -> u64 {
    let all = [0, 1, 2, 3, 4, 5, 10, 11];
    all.iter().take(channels.into()).fold(0, |mask, place| mask | 1 << place)
}

/// What `caps`, which are fixed, mean.
fn parse(caps: &gst::CapsRef) -> Option<Format> {
    let all = caps.structure(0)?;
    let name = all.get::<&str>("format").ok()?;
    let number = name.get(1..)?.trim_end_matches(['L', 'B', 'E']);
    let format = Format {
        bits: number.parse().ok()?,
        signed: !name.starts_with('U'),
        float: name.starts_with('F'),
        big_endian: name.ends_with("BE"),
        rate: u32::try_from(all.get::<i32>("rate").ok()?).ok()?,
        channels: u8::try_from(all.get::<i32>("channels").ok()?).ok()?,
    };
    format.is_possible().then_some(format)
}

/// What silence is sent in before the guest has a voice: what downstream wants, next to [`DEFAULT`].
pub(super) fn silence(downstream: &gst::Caps) -> Option<Format> {
    let mut caps = downstream.intersect_with_mode(&template(), gst::CapsIntersectMode::First);
    caps.truncate();
    {
        let all = caps.make_mut().structure_mut(0)?;
        all.fixate_field_str("format", "S16LE");
        all.fixate_field_nearest_int("rate", 48_000);
        all.fixate_field_nearest_int("channels", i32::from(DEFAULT.channels));
    }
    caps.fixate();
    parse(&caps)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_format_has_caps_in_the_template() {
        gst::init().unwrap();
        let mut names = Vec::new();
        for (bits, float) in [(8, false), (16, false), (32, false), (32, true)] {
            for signed in [true, false] {
                for big_endian in [true, false] {
                    for channels in 1..=8 {
                        let format =
                            Format { bits, float, signed, big_endian, channels, rate: 44_100 };
                        let caps = of(&format);
                        assert!(caps.is_fixed() && caps.is_subset(&template()), "{caps}");
                        let known = parse(&caps).unwrap();
                        // Neither says anything of a byte; floats have their sign.
                        let same = Format {
                            big_endian: big_endian && bits > 8,
                            signed: signed || float,
                            ..format
                        };
                        assert_eq!(known, same, "{caps}");
                        names.push(caps.structure(0).unwrap().get::<String>("format").unwrap());
                    }
                }
            }
        }
        names.sort();
        names.dedup();
        let mut all = FORMATS.to_vec();
        all.sort_unstable();
        assert_eq!(names, all);
    }

    #[test]
    fn silence_is_what_downstream_wants() {
        gst::init().unwrap();
        assert_eq!(silence(&gst::Caps::new_any()), Some(DEFAULT));
        let caps = "audio/x-raw, format={F32LE, S16BE}, rate=44100, channels=[3, 8]";
        let caps: gst::Caps = caps.parse().unwrap();
        let format = silence(&caps).unwrap();
        assert_eq!((format.rate, format.channels), (44_100, 3));
        assert!(of(&format).can_intersect(&caps), "{format:?}");
        assert_eq!(silence(&"video/x-raw".parse().unwrap()), None);
    }
}
