//! The nouns of the house: what a picture is made of. No behaviour lives here but arithmetic.

mod damage;
mod format;
mod picture;

use std::os::fd::OwnedFd;

pub use format::{Format, Modifier, Samples};
pub use picture::Picture;

/// One announcement of a storage with a layout. Ids strictly increase over the life of the process
/// and are never reused, so an id of an earlier connection can't be taken for one of this.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BufferId(pub u64);

/// One finished frame that a backend told us of. Strictly increasing, never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UpdateId(pub u64);

/// Which memory it is, however many fds lead to it.
///
/// The kernel never reuses a dma-buf's inode number while an fd of it is open, which is why
/// everything that remembers a `StorageId` also holds an fd.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StorageId {
    /// `st_dev` of the first plane's fd.
    pub dev: u64,
    /// `st_ino` of the first plane's fd.
    pub ino: u64,
    /// 0 when all planes lie in that one file, else a digest of the other planes' inodes.
    pub others: u64,
}

/// What kind of memory a storage is, as `sys::classify` found it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Memory {
    /// A dma-buf; `exporter` is `exp_name` of its fdinfo ("udmabuf", "i915", …).
    DmaBuf {
        /// The kernel module that made it.
        exporter: String,
    },
    /// A memfd or another regular file in memory.
    Memfd {
        /// Sealed with F_SEAL_SHRINK, and not of huge pages, so that a mapping of it can't fault.
        shrink_sealed: bool,
    },
}

/// Memory that holds pixels, and the fds that keep it alive.
#[derive(Debug)]
pub struct Storage {
    /// Which memory it is.
    pub id: StorageId,
    /// What kind of memory it is.
    pub memory: Memory,
    /// Bytes in the first plane's file.
    pub size: u64,
    /// One fd a distinct file: a plane whose index is past the end lies in the first. Owned here.
    pub fds: Vec<OwnedFd>,
}

/// Width and height in pixels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Size {
    /// Pixels across.
    pub width: u32,
    /// Pixels down.
    pub height: u32,
}

/// How large a picture is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SizeHint {
    /// In pixels of the screen that it will be on; neither is zero.
    pub size: Size,
    /// How large that is in millimetres, where it is known.
    pub mm: Option<Size>,
}

/// A rectangle in pixels, from the top left corner.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Rect {
    /// Left edge.
    pub x: u32,
    /// Top edge.
    pub y: u32,
    /// Pixels across.
    pub width: u32,
    /// Pixels down.
    pub height: u32,
}

/// Most planes a DRM framebuffer has.
pub const PLANES_MAX: usize = 4;

/// Where one plane of a buffer begins and how long its rows are, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Plane {
    /// From the start of the plane's file.
    pub offset: u32,
    /// From one row to the next.
    pub stride: u32,
}

/// How a storage is to be read: together with a [`StorageId`] the key of every import.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Layout {
    /// The whole buffer, also what isn't visible.
    pub size: Size,
    /// What a pixel is.
    pub format: Format,
    /// How pixels lie. A source resolves [`Modifier::INVALID`] where it can.
    pub modifier: Modifier,
    /// The planes; those from `plane_count` on are zero.
    pub planes: [Plane; PLANES_MAX],
    /// How many planes there are: 1 to [`PLANES_MAX`].
    pub plane_count: u8,
}

/// How the rows of a buffer relate to the screen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Transform {
    /// The first row in memory is the top of the picture.
    #[default]
    Normal,
    /// The first row in memory is the bottom of the picture.
    Flipped,
}

/// How a guest goes from frame to frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Swap {
    /// It never draws into what it shows.
    Flip,
    /// It draws into what it shows.
    InPlace,
}

/// Most rectangles that [`Damage`] tells apart.
pub const DAMAGE_MAX: usize = 16;

/// What changed, in pixels of the buffer (also of its invisible part), as the rows lie in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(clippy::large_enum_variant, reason = "a box would be an allocation a frame")]
pub enum Damage {
    /// Everything.
    Whole,
    /// These rectangles, and no more than [`DAMAGE_MAX`]; past that they grow together.
    Rects {
        /// The first `count` of these.
        rects: [Rect; DAMAGE_MAX],
        /// How many rectangles there are.
        count: u8,
    },
}

/// One commit of one sink, counted by the machine; strictly increasing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CommitId(pub u64);

/// What a sink imports: a storage read in one way. `slot` tells apart the (at most two) handles that
/// it makes of the same thing, so that each release belongs to one commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ImportId {
    /// The memory.
    pub storage: StorageId,
    /// How to read it.
    pub layout: Layout,
    /// 0 or 1.
    pub slot: u8,
}

/// How many picture buffers of its own a sink copies into, at most.
pub const TARGETS: usize = 3;

/// A guest's mouse cursor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor {
    /// Size of the picture.
    pub size: Size,
    /// Which pixel of it points.
    pub hotspot: (i32, i32),
    /// Premultiplied blue, green, red, alpha; rows top to bottom, `4 * width` bytes each.
    pub pixels: Vec<u8>,
}

/// What a user does, on its way to the guest.
#[derive(Clone, Debug, PartialEq)]
pub enum Input {
    /// A key, by Linux evdev code.
    Key {
        /// `KEY_*`.
        code: u32,
        /// Down, or up.
        pressed: bool,
    },
    /// The pointer is at this pixel of the visible picture.
    PointerAt {
        /// From the left.
        x: u32,
        /// From the top.
        y: u32,
    },
    /// A pointer button, by Linux evdev code.
    Button {
        /// `BTN_*`.
        code: u32,
        /// Down, or up.
        pressed: bool,
    },
    /// The pointer moved by so many pixels, for guests whose pointer knows no place.
    PointerBy {
        /// To the right.
        dx: i32,
        /// Down.
        dy: i32,
    },
    /// The wheel turned; [`NOTCH`] is one notch.
    Wheel {
        /// To the right.
        dx: i32,
        /// Down: towards the user.
        dy: i32,
    },
    /// A finger on a touch screen.
    Touch {
        /// Below [`FINGERS_MAX`]; the same until it is lifted.
        finger: u32,
        /// What it does.
        how: Touch,
    },
}

/// Most fingers that are told apart.
pub const FINGERS_MAX: u32 = 10;

/// What a finger does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Touch {
    /// It comes down at this pixel of the visible picture.
    Down {
        /// From the left.
        x: u32,
        /// From the top.
        y: u32,
    },
    /// It is at this pixel now.
    Motion {
        /// From the left.
        x: u32,
        /// From the top.
        y: u32,
    },
    /// It is lifted.
    Up,
    /// It is gone, and what it did wasn't meant; so are all others.
    Cancel,
}

/// Which locks of a keyboard are on, as its LEDs say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Leds {
    /// Num Lock.
    pub num: bool,
    /// Caps Lock.
    pub caps: bool,
}

/// How a guest's pointer is told where to go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Pointing {
    /// To a place: [`Input::PointerAt`].
    #[default]
    Absolute,
    /// By a distance: [`Input::PointerBy`].
    Relative,
}

/// Whether a guest is heard, or hears.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sound {
    /// Nobody asks for it.
    #[default]
    Off,
    /// It isn't, for now.
    Muted,
    /// It is.
    On,
}

/// What one clipboard, the host's or the guest's, has to do with the other. Only text passes, and only
/// when somebody pastes it.
#[derive(Debug)]
pub enum Clipboard {
    /// A text was copied there, in place of what was there before.
    Offered,
    /// No text is there any more.
    Withdrawn,
    /// Somebody there pastes: the other's text is to be written here, as UTF-8, and this closed. Closed
    /// without a word it says that there is none. Whoever reads may never do so.
    Wanted(OwnedFd),
}

/// One notch of a wheel. Finer wheels say less at a time.
pub const NOTCH: i32 = 120;

/// What the user's attention can leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Device {
    /// Its keys are held no more.
    Keyboard,
    /// Its buttons are held no more.
    Pointer,
    /// No finger is on it any more.
    Touch,
}
