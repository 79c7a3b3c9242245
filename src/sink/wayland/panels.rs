//! What the viewer itself says in its window.

use std::fs;

use rustix::net::sockopt::socket_peercred;

use super::WaylandSink;
use super::window::Slot;
use crate::text::Panel;

impl WaylandSink {
    /// Calls the window this from now on.
    pub fn set_title(&mut self, title: &str) {
        if let Some(window) = &mut self.state.window {
            window.set_title((&self.state.globals, &self.qh), title);
        }
    }

    /// What the title bar says besides, before all else; or nothing.
    pub fn set_notice(&mut self, notice: Option<String>) {
        if let Some(window) = &mut self.state.window {
            window.set_notice((&self.state.globals, &self.qh), notice);
        }
    }

    /// Whether the title bar says that the guest is muted.
    pub fn set_muted(&mut self, muted: bool) {
        if let Some(window) = &mut self.state.window {
            window.set_muted((&self.state.globals, &self.qh), muted);
        }
    }

    /// Shows this in the window's corner from now on, above the picture, or nothing. What is shown already is
    /// neither painted nor sent again.
    pub fn set_hud(&mut self, panel: Option<Panel>) {
        self.set_panel(Slot::Hud, panel);
    }

    /// Shows this in the middle of the window from now on, over the picture, which is dimmed, or nothing. Where there
    /// never was a picture the window is opened for it. The title bar says its note.
    pub fn set_status(&mut self, panel: Option<Panel>) {
        self.set_panel(Slot::Status, panel);
    }

    /// Whether the compositor has said that nobody can see the window.
    pub fn is_hidden(&self) -> bool {
        self.state.hidden
    }

    /// The program at the other end of the socket, as the kernel knows it: mostly the compositor. `None` where it
    /// doesn't, as between containers.
    pub fn peer(&self) -> Option<String> {
        let peer = socket_peercred(&self.queue).ok()?;
        let name = fs::read_to_string(format!("/proc/{}/comm", peer.pid.as_raw_pid())).ok()?;
        Some(name.trim_end().to_owned())
    }

    fn set_panel(&mut self, slot: Slot, panel: Option<Panel>) {
        if let Some(window) = &mut self.state.window {
            window.set_panel(&self.state.globals, &self.qh, slot, panel);
        }
    }
}
