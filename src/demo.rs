//! A simulated guest: something to look at without a virtual machine, and something to test with.
//!
//! It has RAM (a memfd), draws pictures into scattered pages of it, and shows them by
//! guest-scanout-v1 to whoever connects; its [modes](Mode) do to its RAM what guests and balloons do.
//! Each frame says by itself which it is: [`oracle`]. `demo:` opens one inside the viewer, `fanlight
//! demo` serves one at a socket; a test suite has [`Demo`]:
//!
//! ```no_run
//! # #[cfg(feature = "demo")] fn f() -> Result<(), Box<dyn std::error::Error>> {
//! use std::time::Duration;
//! use fanlight::demo::{Demo, Settings};
//!
//! let demo = Demo::serve(&Settings::default(), "/tmp/vm.sock".as_ref())?;
//! demo.handle().wait(Duration::from_secs(10), |progress| progress.acked >= 100);
//! demo.finish()?;
//! # Ok(()) }
//! ```

#[cfg(feature = "demo")]
mod canvas;
#[cfg(feature = "demo")]
mod guest;
pub mod oracle;
#[cfg(feature = "demo")]
mod painter;
#[cfg(feature = "demo")]
mod progress;
#[cfg(feature = "demo")]
mod ram;
#[cfg(feature = "demo")]
mod run;
#[cfg(feature = "demo")]
mod scenery;
mod settings;

#[cfg(feature = "demo")]
pub use progress::{Announced, Handle, Progress};
#[cfg(feature = "demo")]
pub use run::{Demo, DemoError};
pub use settings::{
    Mode, Settings, SettingsError, parse_buffers, parse_fps, parse_size, parse_switch,
};
