//! Whether the guest is heard, and hears, as the user wants it.

use tracing::warn;

use super::ViewArgs;
use crate::frame::Sound;
use crate::session::Session;
use crate::sink::wayland::WaylandSink;

/// Whether this build can let anybody hear anything.
const HAS_SOUND: bool = cfg!(feature = "audio");

/// Lets the guest be heard, and hear, as far as that is wanted.
pub(super) fn begin(session: &mut Session<WaylandSink>, args: &ViewArgs) {
    if args.microphone() != Sound::Off {
        say_what_lacks("--microphone");
    }
    set(session, args.sound(), args.microphone());
}

/// Mutes the guest, and for the guest the user; or no longer.
pub(super) fn toggle(session: &mut Session<WaylandSink>) {
    say_what_lacks("the hotkey `mute`");
    let (sound, microphone) = (toggled(session.sound()), toggled(session.microphone()));
    set(session, sound, microphone);
}

fn set(session: &mut Session<WaylandSink>, sound: Sound, microphone: Sound) {
    session.set_sound(sound);
    session.set_microphone(microphone);
    session.sink().set_muted(HAS_SOUND && [sound, microphone].contains(&Sound::Muted));
}

/// Who began without either goes on so.
fn toggled(sound: Sound) -> Sound {
    match sound {
        Sound::Off => Sound::Off,
        Sound::On => Sound::Muted,
        Sound::Muted => Sound::On,
    }
}

fn say_what_lacks(asked: &str) {
    if !HAS_SOUND {
        warn!(
            "{asked} does nothing: this build has no sound, which needs the feature `audio` \
             (cargo build --release --features full)"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::{Cli, Verb};
    use clap::Parser;

    #[test]
    fn the_hotkey_mutes_and_takes_that_back_and_never_begins_with_what_nobody_asked_for() {
        assert_eq!(toggled(Sound::On), Sound::Muted);
        assert_eq!(toggled(Sound::Muted), Sound::On);
        assert_eq!(toggled(Sound::Off), Sound::Off);
    }

    /// What a command line says of the guest's sound, and of the user's.
    fn asked(flags: &[&str]) -> Option<(Sound, Sound)> {
        let line = ["fanlight", "view"].iter().chain(flags);
        match Cli::try_parse_from(line).ok()?.verb {
            Verb::View(args) => Some((args.sound(), args.microphone())),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn nobody_is_recorded_who_did_not_ask_for_it() {
        assert_eq!(asked(&[]), Some((Sound::On, Sound::Off)));
        assert_eq!(asked(&["--mute"]), Some((Sound::Muted, Sound::Off)));
        assert_eq!(asked(&["--no-audio"]), Some((Sound::Off, Sound::Off)));
        assert_eq!(asked(&["--microphone"]), Some((Sound::On, Sound::On)));
        assert_eq!(asked(&["--microphone", "--mute"]), Some((Sound::Muted, Sound::Muted)));
        // Who wants nothing of it and something of it is asked which.
        assert_eq!(asked(&["--no-audio", "--mute"]), None);
        assert_eq!(asked(&["--no-audio", "--microphone"]), None);
    }
}
