//! Rules that tests break on purpose, to see that the checks would find it. Outside of tests of this
//! crate nothing can be broken, and asking costs nothing.

/// What is done wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Mutation {
    /// An update is acked when it comes.
    AckAtOnce,
    /// An update is acked when its frame is on the screen.
    AckWhenPresented,
    /// An update of any buffer counts as one of the current.
    UpdateOfAnyBuffer,
    /// Readers are counted by buffer: a storage that is announced anew has none.
    ReadersByBuffer,
    /// A release ends every commit up to the one it is for.
    ReleaseOfAnyCommit,
    /// Memory is let go although it is read.
    RetireWhileHeld,
    /// A copy under way reads nothing.
    CopyIsNoReader,
    /// A copy is shown although its buffer was overtaken.
    ShowOvertakenCopy,
    /// What changed in one buffer is what changed in another.
    DamageOfAnotherBuffer,
    /// A target lacks only what changed last.
    TargetsForgetDamage,
    /// No deadline ever comes.
    NoDeadline,
    /// A replaced storage is as good as before.
    CommitReplaced,
    /// What is about to be replaced counts as replaced already.
    InvalidAsReplaced,
    /// A copy is shown although its pages went before it was complete.
    ShowLateCopy,
    /// What is read when the guest may be drawing again is not counted.
    HideUnguarded,
}

/// What is broken in one machine: nothing, outside of tests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Seeded(#[cfg(test)] Option<Mutation>);

impl Seeded {
    #[cfg(test)]
    pub(super) fn with(mutation: Option<Mutation>) -> Self {
        Self(mutation)
    }

    #[cfg(test)]
    pub(super) fn has(self, mutation: Mutation) -> bool {
        self.0 == Some(mutation)
    }

    #[cfg(not(test))]
    pub(super) fn has(self, _: Mutation) -> bool {
        false
    }
}
