//! The test machine.
fn main() {}
