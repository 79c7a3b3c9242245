//! How loud the guest has it.

use fanlight::sound::Format;

/// As it was played.
const FULL: u8 = 255;

/// Makes samples as loud as the guest wants each channel: `volume` is QEMU's, 255 is as they are; of what isn't said the
/// last that is said holds.
pub(super) fn apply(format: &Format, volume: &[u8], samples: &mut [u8]) {
    if volume.iter().all(|&volume| volume == FULL) {
        return;
    }
    let size = usize::from(format.bits / 8);
    let gains: Vec<f64> = (0..usize::from(format.channels))
        .map(|channel| gain(volume.get(channel).or(volume.last()).copied().unwrap_or(FULL)))
        .collect();
    for (sample, gain) in samples.chunks_exact_mut(size).zip(gains.iter().cycle()) {
        scale(format, sample, *gain);
    }
}

/// As a sound server has it, so that what is recorded is as loud as what the viewer plays.
fn gain(volume: u8) -> f64 {
    (f64::from(volume) / f64::from(FULL)).powi(3)
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
fn scale(format: &Format, sample: &mut [u8], gain: f64) {
    // The lowest byte last, and those that aren't there zero.
    let mut bytes = [0; 4];
    bytes[4 - sample.len()..].copy_from_slice(sample);
    if !format.big_endian {
        bytes[4 - sample.len()..].reverse();
    }
    let was = u32::from_be_bytes(bytes);
    let scaled = if format.float {
        (f32::from_bits(was) * gain as f32).to_bits()
    } else {
        let middle = 1_i64 << (format.bits - 1);
        let range = 1_i64 << format.bits;
        let of = i64::from(was);
        let signed = match format.signed {
            true if of >= middle => of - range,
            true => of,
            false => of - middle,
        };
        let scaled = (signed as f64 * gain).round() as i64;
        (scaled + if format.signed { 0 } else { middle }) as u32
    };
    bytes = scaled.to_be_bytes();
    if !format.big_endian {
        bytes[4 - sample.len()..].reverse();
    }
    sample.copy_from_slice(&bytes[4 - sample.len()..]);
}

#[cfg(test)]
mod tests {
    use super::*;

    const MONO: Format =
        Format { bits: 16, signed: true, float: false, big_endian: false, rate: 8000, channels: 1 };

    fn applied(format: Format, volume: &[u8], samples: &[u8]) -> Vec<u8> {
        let mut samples = samples.to_vec();
        apply(&format, volume, &mut samples);
        samples
    }

    #[test]
    fn what_is_as_loud_as_it_was_stays_as_it_is() {
        let all: Vec<u8> = (0..=255).collect();
        assert_eq!(applied(MONO, &[], &all), all);
        assert_eq!(applied(MONO, &[255, 255], &all), all);
    }

    #[test]
    fn each_channel_has_its_own() {
        let stereo = Format { channels: 2, ..MONO };
        let samples: Vec<u8> =
            [1000_i16, 1000, -8, -8].iter().flat_map(|s| s.to_le_bytes()).collect();
        let quiet: Vec<u8> = [1000_i16, 0, -8, 0].iter().flat_map(|s| s.to_le_bytes()).collect();
        assert_eq!(applied(stereo, &[255, 0], &samples), quiet);
        assert_eq!(applied(stereo, &[0], &samples), [0; 8]);
    }

    /// At half the volume an eighth is left, whatever the format.
    #[test]
    fn every_format_is_scaled() {
        let half = [128];
        let gain = gain(128);
        let near = |got: f64, was: f64| assert!((got - was * gain).abs() <= 0.5, "{got} of {was}");
        for value in [i16::MIN, -1000, 0, 5, i16::MAX] {
            let le = applied(MONO, &half, &value.to_le_bytes());
            near(i16::from_le_bytes([le[0], le[1]]).into(), value.into());
            let be = applied(Format { big_endian: true, ..MONO }, &half, &value.to_be_bytes());
            near(i16::from_be_bytes([be[0], be[1]]).into(), value.into());
            let unsigned = Format { signed: false, ..MONO };
            let of = (i32::from(value) + 32768) as u16;
            let u = applied(unsigned, &half, &of.to_le_bytes());
            near(f64::from(u16::from_le_bytes([u[0], u[1]])) - 32768.0, value.into());
        }
        for value in [i32::MIN, -70_000, 1, i32::MAX] {
            let le = applied(Format { bits: 32, ..MONO }, &half, &value.to_le_bytes());
            near(i32::from_le_bytes(le.try_into().unwrap()).into(), value.into());
        }
        let byte = Format { bits: 8, ..MONO };
        near(f64::from(applied(byte, &half, &[0x80])[0] as i8), -128.0);
        near(f64::from(applied(Format { signed: false, ..byte }, &half, &[255])[0]) - 128.0, 127.0);
        let float = Format { bits: 32, float: true, ..MONO };
        let le = applied(float, &half, &0.5_f32.to_le_bytes());
        let got = f32::from_le_bytes(le.try_into().unwrap());
        assert!((f64::from(got) - 0.5 * gain).abs() < 1e-6, "{got}");
    }
}
