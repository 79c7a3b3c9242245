//! Locks whose data is whole whatever happens to who holds them.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Also after a panic under it: what it guards is never half changed where one can happen.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
