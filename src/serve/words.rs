//! What a server's author says and hears.

use std::os::fd::OwnedFd;
use std::time::Duration;

use super::memory::{GuestMemory, MakeDmaBuf};
use crate::frame::Size;
use crate::sys;

/// One console of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConsoleId(pub u32);

/// Who is at the other end of a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Credentials {
    /// Process, when it connected.
    pub pid: i32,
    /// Effective user.
    pub uid: u32,
    /// Effective group.
    pub gid: u32,
}

impl Credentials {
    /// The rule of [`Options::default`]: the user that this process runs as, and root.
    pub fn same_user_or_root(&self) -> bool {
        self.uid == 0 || self.uid == rustix::process::geteuid().as_raw()
    }
}

/// How a server goes about its work.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Who may connect.
    pub allow: fn(&Credentials) -> bool,
    /// An update counts as answered after this.
    pub answer_limit: Duration,
    /// So long [`invalidate_begin`](super::Server::invalidate_begin) waits for viewers.
    pub invalidate_limit: Duration,
    /// Makes dma-bufs of guest memory.
    pub make_dma_buf: MakeDmaBuf,
    /// Whether updates are proven fresh. Switched off only to show that a test notices.
    pub check_freshness: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            allow: Credentials::same_user_or_root,
            answer_limit: Duration::from_secs(1),
            invalidate_limit: Duration::from_millis(50),
            make_dma_buf: sys::create_udmabuf_list,
            check_freshness: true,
        }
    }
}

/// What a console is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A display of the guest's.
    Graphic,
    /// A text console of the backend's.
    Text,
}

/// How a guest draws.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Swap {
    /// Never into what is shown.
    Flip,
    /// Into what is shown.
    InPlace,
}

/// Where a buffer's pixels are.
#[derive(Debug)]
pub enum Memory {
    /// dma-bufs (or memfds sealed against shrinking), one a plane, or one for all. The author
    /// answers for their being fresh.
    Planes(Vec<OwnedFd>),
    /// Guest RAM; all planes lie in it. The server makes the dma-buf, and a new one when needed.
    Guest(GuestMemory),
}

/// How an update was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// By all viewers (or there is none): once the fences have signalled, the guest may go on.
    Acked,
    /// At least one didn't show it: say the scanout again, with a whole update.
    Refused,
    /// [`Options::answer_limit`] passed; somebody may still read.
    TimedOut,
}

/// What a viewer's user did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GuestInput {
    /// A key, by Linux evdev code, and whether it went down.
    Key(u32, bool),
    /// The pointer is at this pixel of the visible picture.
    PointerAt(u32, u32),
    /// The pointer moved.
    PointerBy(i32, i32),
    /// A pointer button, by Linux evdev code, and whether it went down.
    Button(u32, bool),
    /// The wheel turned: 120ths of a notch, to the right and down.
    Wheel(i32, i32),
    /// A finger, by its number, came to or moved to a pixel of the visible picture.
    TouchAt {
        /// 0 to 15.
        finger: u32,
        /// From the left.
        x: u32,
        /// From the top.
        y: u32,
        /// Whether it came just now.
        down: bool,
    },
    /// A finger was lifted.
    TouchUp(u32),
    /// All fingers are void.
    TouchCancel,
}

/// What viewers say.
#[derive(Debug)]
pub enum Event {
    /// So many viewers watch the console now.
    Watched(ConsoleId, usize),
    /// An update is answered. Exactly one for each.
    Answered {
        /// Where.
        console: ConsoleId,
        /// What [`Server::update`](super::Server::update) returned.
        frame: u32,
        /// How.
        answer: Answer,
        /// Wait until each of these sync_files is readable before the guest goes on.
        fences: Vec<OwnedFd>,
    },
    /// Pages may be replaced now: nobody reads them, or (false) the limit has passed.
    Invalidated(ConsoleId, bool),
    /// A viewer would like this many pixels, at this refresh rate in thousandths of a hertz (0: any).
    SizeHint(ConsoleId, Size, u32),
    /// A user did something.
    Input(ConsoleId, GuestInput),
}
