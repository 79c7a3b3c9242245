//! guest-scanout-v1: how a backend shows its guest to a viewer. `protocol/guest-scanout-v1.xml` is the
//! specification; this is what wayland-scanner makes of it, for both ends.
// What is generated explains itself in the XML, and contains the tables that libwayland would want.
#![allow(unsafe_code, missing_docs, missing_debug_implementations, unreachable_pub)]
#![allow(non_camel_case_types, non_upper_case_globals, unused_imports, dead_code)]
#![allow(clippy::all, clippy::undocumented_unsafe_blocks, rust_2018_idioms)]
#![allow(clippy::semicolon_if_nothing_returned)]

/// Name of the global.
pub const MANAGER: &str = "guest_scanout_manager_v1";
/// The version that this speaks.
pub const VERSION: u32 = 1;
/// Most buffers of a console that aren't destroyed.
pub const BUFFERS_MAX: usize = 64;
/// Most rectangles before an update.
pub const DAMAGE_EVENTS_MAX: usize = 64;
/// Most updates that have no answer.
pub const UPDATES_MAX: usize = 256;
/// Longest side of a cursor, in pixels.
pub const CURSOR_SIDE_MAX: u32 = 512;
/// Longest side of a size hint, in pixels.
pub const SIDE_MAX: u32 = 16_384;
/// Longest string, in bytes.
pub const STRING_MAX: usize = 1024;

/// The viewer's end.
#[cfg(feature = "wire")]
pub mod client {
    use wayland_client;
    use wayland_client::protocol::*;

    pub mod __interfaces {
        use wayland_client::protocol::__interfaces::*;
        wayland_scanner::generate_interfaces!("src/protocol/guest-scanout-v1.xml");
    }
    use self::__interfaces::*;

    wayland_scanner::generate_client_code!("src/protocol/guest-scanout-v1.xml");
}

/// The backend's end.
#[cfg(feature = "serve")]
pub mod server {
    use wayland_server;
    use wayland_server::protocol::*;

    pub mod __interfaces {
        use wayland_server::protocol::__interfaces::*;
        wayland_scanner::generate_interfaces!("src/protocol/guest-scanout-v1.xml");
    }
    use self::__interfaces::*;

    wayland_scanner::generate_server_code!("src/protocol/guest-scanout-v1.xml");
}
