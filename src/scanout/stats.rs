//! What happened, counted: the figures behind `--stats`.

/// Counters of one scanout. All only grow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Counts {
    /// Frames committed to a sink.
    pub frames: u64,
    /// Updates that the guest drew into another storage than the one before.
    pub flips: u64,
    /// Updates that the guest drew into the same storage as the one before.
    pub in_place: u64,
    /// Announcements that took the place of another buffer.
    pub replacements: u64,
    /// Imports that sinks were asked for.
    pub imports: u64,
    /// Announcements of a storage that was already known.
    pub cache_hits: u64,
    /// Updates that were not for the current buffer.
    pub refused_updates: u64,
    /// Acks sent at the deadline although a reader was left.
    pub forced_acks: u64,
    /// Copies made when the guest, which draws in place, might have been drawing again: of a frame that
    /// could not be shown before its ack, because the sink held all it had or nobody looked.
    pub unguarded_copies: u64,
    /// Frames that were not shown because a sink held all it had.
    pub dropped_frames: u64,
    /// Bytes that were written to copy guest memory.
    pub bytes_copied: u64,
}
