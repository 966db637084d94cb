//! Locks that a panic does not close.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Waits for what is under `mutex`. For where a panic leaves whole values under the lock.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
