//! The Linux guest.
fn main() {}
