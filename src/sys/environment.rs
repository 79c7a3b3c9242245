//! The environment that programs inherit.

use std::ffi::OsString;
use std::{env, fs};

/// Takes a variable out of the environment, so that no program that is started later has it. Where this
/// process has more than one thread it is only read, because another may be reading too.
pub fn take_variable(name: &str) -> Option<OsString> {
    let value = env::var_os(name)?;
    let threads = fs::read_dir("/proc/self/task").map_or(usize::MAX, Iterator::count);
    if threads == 1 {
        // SAFETY: there is no other thread that could read or write the environment meanwhile.
        unsafe { env::remove_var(name) };
    }
    Some(value)
}
