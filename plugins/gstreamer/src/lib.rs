//! A virtual machine's screen in any GStreamer pipeline.
//!
//! `fanlightsrc` is one more sink on the session that the viewer has (see the crate `fanlight`):
//!
//! ```text
//!   source ──► session ──► sink ──► mailbox ──► create() ──► pipeline
//!              (the thread of `worker`)         (the streaming thread)
//!                 ▲                                              │
//!                 └──────────── inbox ◄── memory comes home ─────┘
//! ```
//!
//! `fanlightaudiosrc` listens to what the machine plays, over a connection of its own.

mod audio;
mod caps;
mod cursor;
pub mod device;
mod end;
mod inbox;
mod lock;
mod log;
mod mailbox;
mod memory;
mod meta;
mod navigation;
mod pad;
mod settings;
mod sink;
mod src;
mod stats;
mod stream;
mod worker;

use std::sync::OnceLock;

use fanlight::convert::blit::{self, OpenBlitter};
use fanlight::sys::Classify;

pub use audio::FanlightAudioSrc;
pub use meta::FRAME_META;
pub use settings::{AckMode, CursorMode, OnDisconnect, PresentMode};
pub use src::FanlightSrc;

static CLASSIFY: OnceLock<Classify> = OnceLock::new();

/// Lets a test say what kind of memory an fd is ("this memfd is a dma-buf"), for the whole process, before any element
/// starts.
#[doc(hidden)]
pub fn classify_with(classify: Classify) {
    let _ = CLASSIFY.set(classify);
}

fn classify() -> Classify {
    CLASSIFY.get().copied().unwrap_or(fanlight::sys::classify)
}

static OPEN_BLITTER: OnceLock<OpenBlitter> = OnceLock::new();

/// Lets a test pass another GPU than the host's, for the whole process, before any element starts.
#[doc(hidden)]
pub fn blit_with(open: OpenBlitter) {
    let _ = OPEN_BLITTER.set(open);
}

fn open_blitter() -> OpenBlitter {
    OPEN_BLITTER.get().copied().unwrap_or(blit::gpu)
}

/// What GStreamer asks a plugin for. The macro calls C, and documents nothing.
#[allow(unsafe_code, missing_docs)]
mod entry {
    fn register(plugin: &gst::Plugin) -> Result<(), gst::glib::BoolError> {
        crate::meta::register();
        crate::src::register(plugin)?;
        crate::device::register(plugin)?;
        crate::audio::register(plugin)
    }

    gst::plugin_define!(
        fanlight,
        env!("CARGO_PKG_DESCRIPTION"),
        register,
        concat!(env!("CARGO_PKG_VERSION"), "-", env!("COMMIT_ID")),
        "MIT/X11",
        env!("CARGO_PKG_NAME"),
        env!("CARGO_PKG_NAME"),
        env!("CARGO_PKG_NAME"),
        env!("BUILD_REL_DATE")
    );
}

pub use entry::plugin_register_static;
