//! What is wanted of a window, and what it is made with.

use std::time::Duration;

use super::fit::Fit;
use super::frame::{FindLook, find_look};
use super::hotkeys::Hotkeys;
use super::sync::{OpenTimelines, kernel_timelines};
use super::targets::MakeUdmabuf;
use crate::convert::blit::{OpenBlitter, gpu};
use crate::frame::Size;
use crate::sys::create_udmabuf;
use crate::text::{FindFont, find_font};

/// What a guest mostly shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    /// Pictures that stand still.
    Photo,
    /// Films: no frame is to be left out.
    Video,
    /// Games: the newest frame is to be shown as soon as it can be.
    Game,
}

/// What the window is to be like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WindowOptions {
    /// What its title bar says.
    pub title: String,
    /// By which the desktop finds its entry and its settings; and what its icon is called.
    pub app_id: String,
    /// The desktop's word that the user has asked for this window (`XDG_ACTIVATION_TOKEN`), so that it may
    /// come to the front.
    pub activation: Option<String>,
    /// Its first size, in logical pixels; `None`: that of the picture, also when that changes, until
    /// the user gives it another. The compositor may choose another.
    pub size: Option<Size>,
    /// Whether it begins as large as the screen.
    pub fullscreen: bool,
    /// On which screen then, by the name of its connector, as "DP-1"; `None`: the compositor chooses.
    pub output: Option<String>,
    /// How the picture fills it.
    pub fit: Fit,
    /// Whether the guest is told how large it is ([`Resized`](crate::port::SinkEvent::Resized)).
    pub resize_guest: bool,
    /// Whether frames may be shown while the screen is being drawn: sooner, and torn.
    pub tearing: bool,
    /// What the guest mostly shows, for compositors and screens that treat that in a way of its own.
    pub content: Option<Content>,
    /// Nothing that the user does reaches the guest.
    pub view_only: bool,
    /// Which keys are the viewer's own; all others are the guest's.
    pub hotkeys: Hotkeys,
    /// Whether texts pass between the compositor's clipboard and the guest's; never with `view_only`.
    pub clipboard: bool,
    /// How long the compositor may take until there is a window.
    pub time_limit: Duration,
}

impl Default for WindowOptions {
    fn default() -> Self {
        let name = || "fanlight".to_owned();
        Self {
            title: name(),
            app_id: name(),
            activation: None,
            size: None,
            fullscreen: false,
            output: None,
            fit: Fit::Aspect,
            resize_guest: true,
            tearing: false,
            content: None,
            view_only: false,
            hotkeys: Hotkeys::default(),
            clipboard: true,
            time_limit: Duration::from_secs(10),
        }
    }
}

/// Where a window gets what it needs besides its compositor; tests pass others.
#[derive(Clone, Copy, Debug)]
pub struct Means {
    /// What makes dma-bufs of our own memory.
    pub make_udmabuf: MakeUdmabuf,
    /// What finds a maker of timelines.
    pub open_timelines: OpenTimelines,
    /// What finds a GPU to copy with.
    pub open_blitter: OpenBlitter,
    /// What finds a font to write with.
    pub find_font: FindFont,
    /// What finds out how the desktop wants the window's frame to look.
    pub find_look: FindLook,
}

impl Default for Means {
    fn default() -> Self {
        Self {
            make_udmabuf: create_udmabuf,
            open_timelines: kernel_timelines,
            open_blitter: gpu,
            find_font,
            find_look,
        }
    }
}
