//! The guest's cursor, as backends send it.

use std::os::fd::{AsFd, OwnedFd};

use super::console::Fault;
use crate::frame::{Cursor, Memory, Size};
use crate::protocol::CURSOR_SIDE_MAX;
use crate::sys;

/// Reads its picture out of memory of the backend's.
pub(super) fn read_cursor(
    memfd: &OwnedFd,
    size: Size,
    hotspot: (i32, i32),
) -> Result<Cursor, Fault> {
    let Size { width, height } = size;
    if ![width, height].iter().all(|side| (1..=CURSOR_SIDE_MAX).contains(side)) {
        return Err(format!("it sent a cursor of {width}x{height} pixels"));
    }
    // What is no file in memory could make us wait.
    let found = sys::classify(memfd.as_fd()).map_err(|error| error.to_string())?;
    if !matches!(found.memory, Memory::Memfd { .. }) {
        return Err("it sent a cursor that is no memfd".to_owned());
    }
    let mut pixels = vec![0; 4 * width as usize * height as usize];
    let mut at = 0;
    while at < pixels.len() {
        match rustix::io::pread(memfd, &mut pixels[at..], at as u64) {
            Ok(0) | Err(_) => return Err("it sent a cursor with too few pixels".to_owned()),
            Ok(count) => at += count,
        }
    }
    Ok(Cursor { size, hotspot, pixels })
}
