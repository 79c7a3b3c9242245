//! The guest's voices, and which of them is heard: of those that play the one that began last. QEMU mixes what its guest's
//! devices play, so that there is seldom another.

use fanlight::sound::{Format, Heard};

use super::gain;

/// All there are; those that began last are last.
#[derive(Debug, Default)]
pub(super) struct Voices(Vec<Voice>);

#[derive(Debug)]
struct Voice {
    number: u64,
    format: Format,
    running: bool,
    muted: bool,
    volume: Vec<u8>,
}

/// What becomes of samples.
#[derive(Debug, PartialEq)]
pub(super) enum Played {
    /// They are heard, so and in that format.
    Samples(Format, Vec<u8>),
    /// Another voice is.
    Ignored,
}

impl Voices {
    /// `None` where no samples came.
    pub(super) fn hear(&mut self, heard: &Heard<'_>) -> Option<Played> {
        match *heard {
            Heard::Voice { voice, format } => {
                self.end(voice);
                let (running, muted) = (true, false);
                self.0.push(Voice { number: voice, format, running, muted, volume: Vec::new() });
            }
            Heard::Running { voice, running } => {
                let at = self.0.iter().position(|known| known.number == voice)?;
                if running && !self.0[at].running {
                    let voice = self.0.remove(at);
                    self.0.push(voice);
                    self.0.last_mut()?.running = true;
                } else {
                    self.0[at].running = running;
                }
            }
            Heard::Muted { voice, muted } => self.find(voice)?.muted = muted,
            Heard::Volume { voice, volume } => {
                let known = self.find(voice)?;
                let channels = usize::from(known.format.channels);
                known.volume = volume.iter().copied().take(channels).collect();
            }
            Heard::Samples { voice, samples, .. } => return self.play(voice, samples),
            Heard::Ended { voice } => self.end(voice),
            Heard::Lost(_) => self.0.clear(),
        }
        None
    }

    /// The format of the one that is heard, if one plays.
    pub(super) fn format(&self) -> Option<Format> {
        self.0.iter().rfind(|voice| voice.running).map(|voice| voice.format)
    }

    pub(super) fn count(&self) -> usize {
        self.0.len()
    }

    fn find(&mut self, number: u64) -> Option<&mut Voice> {
        self.0.iter_mut().find(|voice| voice.number == number)
    }

    fn end(&mut self, number: u64) {
        self.0.retain(|voice| voice.number != number);
    }

    fn play(&self, number: u64, samples: &[u8]) -> Option<Played> {
        // One that says that it rests is heard too, if no other is.
        let heard = self.0.iter().rfind(|voice| voice.running);
        let heard = heard.or(self.0.iter().find(|voice| voice.number == number));
        let Some(voice) = heard.filter(|voice| voice.number == number) else {
            return Some(Played::Ignored);
        };
        if voice.muted {
            return Some(Played::Samples(voice.format, voice.format.silence(samples.len())));
        }
        let mut samples = samples.to_vec();
        gain::apply(&voice.format, &voice.volume, &mut samples);
        Some(Played::Samples(voice.format, samples))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    const BYTES: Format =
        Format { bits: 8, signed: false, float: false, big_endian: false, rate: 8000, channels: 1 };

    fn play(voices: &mut Voices, voice: u64) -> Played {
        let samples = Heard::Samples { voice, samples: &[1, 2], at: Instant::now() };
        voices.hear(&samples).unwrap()
    }

    #[test]
    fn the_voice_that_began_last_is_heard() {
        let mut voices = Voices::default();
        assert_eq!(play(&mut voices, 1), Played::Ignored);
        for voice in [1, 2] {
            assert_eq!(voices.hear(&Heard::Voice { voice, format: BYTES }), None);
        }
        let heard = Played::Samples(BYTES, vec![1, 2]);
        assert_eq!(
            (play(&mut voices, 1), play(&mut voices, 2)),
            (Played::Ignored, Played::Samples(BYTES, vec![1, 2]))
        );
        voices.hear(&Heard::Running { voice: 2, running: false });
        assert_eq!(
            (play(&mut voices, 2), play(&mut voices, 1)),
            (Played::Ignored, Played::Samples(BYTES, vec![1, 2]))
        );
        voices.hear(&Heard::Running { voice: 1, running: false });
        assert_eq!(voices.format(), None);
        assert_eq!(play(&mut voices, 2), heard, "none says that it plays");
        voices.hear(&Heard::Running { voice: 2, running: true });
        voices.hear(&Heard::Running { voice: 1, running: true });
        assert_eq!(play(&mut voices, 2), Played::Ignored);
        voices.hear(&Heard::Ended { voice: 1 });
        assert_eq!(play(&mut voices, 2), heard);
        assert_eq!((voices.format(), voices.count()), (Some(BYTES), 1));
        voices.hear(&Heard::Lost(String::new()));
        assert_eq!((voices.format(), voices.count()), (None, 0));
    }

    #[test]
    fn what_is_muted_is_silent_and_takes_its_time() {
        let mut voices = Voices::default();
        voices.hear(&Heard::Voice { voice: 1, format: BYTES });
        voices.hear(&Heard::Muted { voice: 1, muted: true });
        assert_eq!(play(&mut voices, 1), Played::Samples(BYTES, vec![0x80, 0x80]));
        voices.hear(&Heard::Muted { voice: 1, muted: false });
        voices.hear(&Heard::Volume { voice: 1, volume: &[0; 300] });
        assert_eq!(play(&mut voices, 1), Played::Samples(BYTES, vec![0x80, 0x80]));
    }
}
