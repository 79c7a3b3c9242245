//! How the desktop wants frames to look. It is asked over D-Bus, and may not answer: nothing waits for it.

use std::collections::HashMap;

use zbus::OwnedVariant;
use zbus::connection::Builder;

use crate::text::Colour;

const PORTAL: &str = "org.freedesktop.portal.Desktop";
const PATH: &str = "/org/freedesktop/portal/desktop";
const SETTINGS: &str = "org.freedesktop.portal.Settings";
const APPEARANCE: &str = "org.freedesktop.appearance";
const WINDOWS: &str = "org.gnome.desktop.wm.preferences";
const PREFERS_DARK: u32 = 1;

/// A button of the title bar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Button {
    /// Puts the window away.
    Minimize,
    /// Makes it as large as it can be, and as it was before.
    Maximize,
    /// Ends it.
    Close,
}

/// The buttons on one side, from the left to the right.
pub type Buttons = [Option<Button>; 3];

/// How frames are to look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Look {
    /// Light on dark.
    pub dark: bool,
    /// What is on the left, and what on the right.
    pub buttons: [Buttons; 2],
}

impl Default for Look {
    fn default() -> Self {
        let all = [Button::Minimize, Button::Maximize, Button::Close].map(Some);
        Self { dark: false, buttons: [[None; 3], all] }
    }
}

/// Finds out how frames are to look, however long that takes: [`find_look`], or what a test passes in its place.
pub type FindLook = fn() -> Option<Look>;

/// What the desktop's portal says, if there is one.
pub fn find_look() -> Option<Look> {
    let said = zbus::block_on(async {
        let bus = Builder::session().build().await?;
        let wanted = (&[APPEARANCE, WINDOWS][..],);
        let call = bus.call_method(Some(PORTAL), PATH, Some(SETTINGS), "ReadAll", &wanted);
        call.await?.body().deserialize::<Settings>()
    });
    match said {
        Ok(settings) => Some(look(&settings)),
        Err(error) => {
            tracing::debug!(%error, "the desktop doesn't say how frames are to look");
            None
        }
    }
}

type Settings = HashMap<String, HashMap<String, OwnedVariant>>;

fn look(settings: &Settings) -> Look {
    let get = |space: &str, key: &str| settings.get(space)?.get(key)?.try_clone().ok();
    let scheme = get(APPEARANCE, "color-scheme").and_then(|scheme| u32::try_from(scheme).ok());
    let layout = get(WINDOWS, "button-layout").and_then(|layout| String::try_from(layout).ok());
    let buttons = layout.as_deref().and_then(buttons);
    Look { dark: scheme == Some(PREFERS_DARK), buttons: buttons.unwrap_or(Look::default().buttons) }
}

/// As GNOME writes them: what is on the left, a colon, what is on the right. `None` where nothing is known of that.
fn buttons(layout: &str) -> Option<[Buttons; 2]> {
    let mut sides = [[None; 3]; 2];
    for (side, names) in sides.iter_mut().zip(layout.split(':')) {
        let known = names.split(',').filter_map(|name| match name.trim() {
            "minimize" => Some(Button::Minimize),
            "maximize" => Some(Button::Maximize),
            "close" => Some(Button::Close),
            _ => None,
        });
        side.iter_mut().zip(known).for_each(|(place, button)| *place = Some(button));
    }
    sides.iter().flatten().any(Option::is_some).then_some(sides)
}

/// What a title bar is painted with.
#[derive(Clone, Copy, Debug)]
pub(super) struct Colours {
    pub(super) ground: Colour,
    pub(super) line: Colour,
    pub(super) text: Colour,
    pub(super) button: Colour,
    pub(super) hovered: Colour,
    pub(super) icon: Colour,
}

impl Colours {
    pub(super) fn of(dark: bool, active: bool) -> Self {
        let grey = |level: u8| [level, level, level, 255];
        let of = |[ground, line, text, button, hovered, icon]: [u8; 6]| Self {
            ground: grey(ground),
            line: grey(line),
            text: grey(text),
            button: grey(button),
            hovered: grey(hovered),
            icon: grey(icon),
        };
        match (dark, active) {
            (false, true) => of([235, 205, 46, 217, 202, 46]),
            (false, false) => of([250, 223, 150, 240, 217, 150]),
            (true, true) => of([48, 24, 255, 70, 88, 255]),
            (true, false) => of([36, 20, 145, 48, 62, 145]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buttons_are_where_the_desktop_has_them() {
        use Button::{Close, Maximize, Minimize};
        assert_eq!(buttons("appmenu:close"), Some([[None; 3], [Some(Close), None, None]]));
        let left = [Some(Close), Some(Minimize), Some(Maximize)];
        assert_eq!(buttons("close,minimize,maximize:"), Some([left, [None; 3]]));
        // More than there is room for, and nothing that is known.
        assert_eq!(
            buttons("close,close,close,close:maximize"),
            Some([[Some(Close); 3], [Some(Maximize), None, None]])
        );
        assert_eq!(buttons("appmenu:"), None);
        assert_eq!(buttons(""), None);
    }
}
