//! What every compositor of the stage has.

/// A running compositor that takes clients.
pub trait Compositor {
    /// What a client's environment must have.
    fn environment(&self) -> [(&'static str, String); 2];
}
