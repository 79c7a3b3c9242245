//! Which keys are the viewer's own, and what they do.

use std::fmt;
use std::str::FromStr;

use crate::typing::names::{self, MODIFIERS, modifier_at};

/// What a hotkey does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Gives the guest every key and, where its mouse is relative, the pointer; or takes them back.
    Grab,
    /// Makes the window as large as the screen, or lets it be as before.
    Fullscreen,
    /// Shows or hides what is known of the picture.
    Hud,
    /// Writes the guest's picture into a file.
    Screenshot,
    /// Lets the guest be heard or not.
    Mute,
}

/// Each action, what it is called, and its keys where nobody wants others.
const ACTIONS: [(Action, &str, &str); 5] = [
    (Action::Grab, "grab", "ctrl+alt+g"),
    (Action::Fullscreen, "fullscreen", "f11"),
    (Action::Hud, "hud", "f12"),
    (Action::Screenshot, "screenshot", "ctrl+alt+s"),
    (Action::Mute, "mute", "ctrl+alt+m"),
];

impl Action {
    fn name(self) -> &'static str {
        ACTIONS[self as usize].1
    }
}

impl FromStr for Action {
    type Err = HotkeyError;

    fn from_str(text: &str) -> Result<Self, HotkeyError> {
        let found = ACTIONS.iter().find(|(_, name, _)| name.eq_ignore_ascii_case(text.trim()));
        found.map(|(action, ..)| *action).ok_or_else(|| HotkeyError::Action(text.trim().to_owned()))
    }
}

/// Which of [`MODIFIERS`], a bit each, whichever of two keys they are on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Mods(u8);

impl Mods {
    pub(super) const CTRL_ALT: Self = Self(0b11);

    pub(super) fn contain(self, others: Self) -> bool {
        self.0 & others.0 == others.0
    }
}

/// The modifiers' keys that are down, each for itself.
#[derive(Debug, Default)]
pub(super) struct Down([Mods; 2]);

impl Down {
    pub(super) fn key(&mut self, code: u32, pressed: bool) {
        for (at, (_, keys)) in MODIFIERS.iter().enumerate() {
            for (side, _) in self.0.iter_mut().zip(keys).filter(|(_, key)| **key == code) {
                let bit = 1 << at;
                side.0 = if pressed { side.0 | bit } else { side.0 & !bit };
            }
        }
    }

    pub(super) fn mods(&self) -> Mods {
        Mods(self.0[0].0 | self.0[1].0)
    }
}

/// One key, and the modifiers that are down with it; no others are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hotkey {
    pub(super) mods: Mods,
    pub(super) code: u32,
}

impl FromStr for Hotkey {
    type Err = HotkeyError;

    /// As `ctrl+alt+g`, in whatever case: modifiers, and last a key by its place on the keyboard, as
    /// evdev calls it.
    fn from_str(text: &str) -> Result<Self, HotkeyError> {
        let mut mods = Mods::default();
        let mut words = text.split('+').map(str::trim).peekable();
        while let Some(word) = words.next() {
            match (modifier_at(word), words.peek()) {
                (Some(_), None) => return Err(HotkeyError::NoKey(text.to_owned())),
                (Some(at), Some(_)) => mods.0 |= 1 << at,
                (None, Some(_)) => return Err(HotkeyError::Modifier(word.to_owned())),
                (None, None) => {
                    let code = names::code(word);
                    let code = code.ok_or_else(|| HotkeyError::Key(word.to_owned()))?;
                    return Ok(Self { mods, code });
                }
            }
        }
        Err(HotkeyError::NoKey(text.to_owned()))
    }
}

impl fmt::Display for Hotkey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, (name, _)) in MODIFIERS.iter().enumerate() {
            if self.mods.contain(Mods(1 << at)) {
                write!(f, "{name}+")?;
            }
        }
        // None is made of those without a name.
        let name = names::name(self.code).unwrap_or("?");
        write!(f, "{}{}", &name[..1], name[1..].to_ascii_lowercase())
    }
}

/// The hotkey of each action, where it has one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hotkeys([Option<Hotkey>; ACTIONS.len()]);

impl Default for Hotkeys {
    fn default() -> Self {
        Self(ACTIONS.map(|(_, _, keys)| keys.parse().ok()))
    }
}

impl Hotkeys {
    /// The usual ones, changed by words as `grab=scrolllock` or `hud=none`: then the key is the guest's.
    /// Of several for one action the last counts.
    ///
    /// # Errors
    /// If there is no such action or key, or two actions have the same.
    pub fn changed<'a>(by: impl IntoIterator<Item = &'a str>) -> Result<Self, HotkeyError> {
        let mut all = Self::default();
        for word in by {
            let (action, keys) =
                word.split_once('=').ok_or_else(|| HotkeyError::Form(word.to_owned()))?;
            let (action, keys): (Action, _) = (action.parse()?, keys.trim());
            let none = keys.eq_ignore_ascii_case("none");
            all.0[action as usize] = if none { None } else { Some(keys.parse()?) };
        }
        for (action, ..) in ACTIONS {
            if let Some(hotkey) = all.of(action)
                && let Some(other) = all.action(hotkey).filter(|other| *other != action)
            {
                let actions = [other.name(), action.name()];
                return Err(HotkeyError::Twice { hotkey, actions });
            }
        }
        Ok(all)
    }

    /// The keys for that; `None`: there are none.
    pub fn of(&self, action: Action) -> Option<Hotkey> {
        self.0[action as usize]
    }

    /// What those keys are for.
    pub(super) fn action(&self, hotkey: Hotkey) -> Option<Action> {
        let found = ACTIONS.iter().find(|(action, ..)| self.of(*action) == Some(hotkey));
        found.map(|(action, ..)| *action)
    }
}

/// What is wrong with a hotkey.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HotkeyError {
    /// It isn't `ACTION=KEYS`.
    #[error("a hotkey is given as ACTION=KEYS, for example grab=ctrl+alt+g, not as \"{0}\"")]
    Form(String),
    /// There is no such action.
    #[error("unknown hotkey \"{0}\"; there are: {list}", list = ACTIONS.map(|(_, name, _)| name).join(", "))]
    Action(String),
    /// There is no such modifier.
    #[error("unknown modifier \"{0}\"; there are: {list}", list = names::modifiers())]
    Modifier(String),
    /// There is no such key.
    #[error(
        "unknown key \"{0}\"; keys have the names of evdev without KEY_, for example a, f11, pageup, \
         kpenter, scrolllock, rightctrl"
    )]
    Key(String),
    /// Nothing but modifiers.
    #[error(
        "\"{0}\" has modifiers but no key: add one, or name the modifier's own key, for example rightctrl"
    )]
    NoKey(String),
    /// One for two actions.
    #[error("{hotkey} would be for {} and {}; give one of them another key, or none", actions[0], actions[1])]
    Twice {
        /// The keys.
        hotkey: Hotkey,
        /// What both would be for.
        actions: [&'static str; 2],
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_usual_ones_are_in_the_table_in_its_order() {
        for (at, (action, name, keys)) in ACTIONS.into_iter().enumerate() {
            assert_eq!((action as usize, name.parse()), (at, Ok(action)));
            assert_eq!(Hotkeys::default().of(action), Some(keys.parse().unwrap()));
        }
        assert_eq!(Hotkeys::changed([]), Ok(Hotkeys::default()));
    }

    #[test]
    fn they_are_said_as_they_are_read() {
        for (read, said) in [
            ("ctrl+alt+g", "Ctrl+Alt+G"),
            (" SHIFT + ctrl+ F11", "Ctrl+Shift+F11"),
            ("meta+altgr+escape", "AltGr+Super+Esc"),
            ("scrolllock", "Scrolllock"),
            ("rightctrl", "Rightctrl"),
            ("1", "1"),
        ] {
            let hotkey: Hotkey = read.parse().unwrap();
            assert_eq!((hotkey.to_string(), said.parse()), (said.to_owned(), Ok(hotkey)));
        }
    }

    #[test]
    fn they_can_be_changed_swapped_and_freed() {
        let all = Hotkeys::changed(["hud=f11", "fullscreen=F12", "Grab = none"]).unwrap();
        assert_eq!(all.of(Action::Grab), None);
        assert_eq!(all.action("f12".parse().unwrap()), Some(Action::Fullscreen));
        assert_eq!(all.action("f11".parse().unwrap()), Some(Action::Hud));
        let last = Hotkeys::changed(["grab=f1", "grab=f2"]).unwrap();
        assert_eq!(last.of(Action::Grab), Some("f2".parse().unwrap()));
    }

    #[test]
    fn what_is_wrong_is_said_with_what_would_be_right() {
        for (word, says) in [
            ("grab", "ACTION=KEYS"),
            (
                "foo=f1",
                "unknown hotkey \"foo\"; there are: grab, fullscreen, hud, screenshot, mute",
            ),
            ("=f1", "unknown hotkey \"\""),
            ("grab=hyper+g", "unknown modifier \"hyper\"; there are: ctrl, alt"),
            ("grab=ctrl+foo", "unknown key \"foo\""),
            ("grab=", "unknown key \"\""),
            ("grab=ctrl+", "unknown key \"\""),
            ("grab=ctrl+alt", "no key"),
            ("grab=f11", "F11 would be for grab and fullscreen"),
        ] {
            let error = Hotkeys::changed([word]).unwrap_err().to_string();
            assert!(error.contains(says), "{word}: {error}");
        }
    }
}
