//! Directly or by a copy, and why.

/// Flips in a row after which a guest counts as one that flips.
pub(super) const FLIPS_TO_TRUST: u32 = 2;

/// What the user asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Present {
    /// Direct where nothing tears, else a copy.
    #[default]
    Auto,
    /// Direct wherever the sink takes it; guests that draw in place may tear.
    Direct,
    /// Always a copy.
    Copy,
}

/// How a frame reaches the sink.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mode {
    /// The guest's own memory.
    Direct,
    /// Memory of ours.
    Copy,
}

/// Why it is done so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Why {
    /// The user wanted it.
    Asked,
    /// The guest flips between buffers.
    Flips,
    /// The guest draws into the buffer that is shown.
    InPlace,
    /// The kernel makes readers wait for the guest.
    Fenced,
    /// The sink can't take the guest's memory.
    Refused,
    /// The CPU can't read the guest's memory.
    Unreadable,
    /// The sink lately released a frame past the deadline.
    Late,
    /// Nobody can see it.
    Hidden,
    /// Too much memory is held already.
    Crowded,
    /// The backend is gone.
    Lost,
    /// The guest's memory is about to be replaced.
    Leaving,
}

impl Mode {
    /// As figures say it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Copy => "copy",
        }
    }
}

impl Why {
    /// As figures say it.
    pub fn words(self) -> &'static str {
        match self {
            Self::Asked => "asked for",
            Self::Flips => "the guest flips between buffers",
            Self::InPlace => "the guest draws in place",
            Self::Fenced => "the driver fences its writes",
            Self::Refused => "the guest's memory can't be shown as it is",
            Self::Unreadable => "the CPU can't read the guest's memory",
            Self::Late => "frames were released too late",
            Self::Hidden => "nobody can see it",
            Self::Crowded => "too many buffers are held",
            Self::Lost => "the virtual machine is gone",
            Self::Leaving => "the guest's memory is about to be replaced",
        }
    }
}

/// What of the guest matters here.
#[derive(Clone, Copy, Debug)]
pub(super) struct Guest {
    /// It never draws into what it shows, as far as one can tell.
    pub(super) flips: bool,
    /// The last update was in the same storage as the one before it.
    pub(super) in_place: bool,
    pub(super) crowded: bool,
    pub(super) lost: bool,
    /// Its memory is about to be replaced.
    pub(super) leaving: bool,
}
