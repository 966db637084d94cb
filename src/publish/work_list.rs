//! Work on many objects of a store that may fail for some of them.

use std::future::Future;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures::StreamExt as _;
use parking_lot::Mutex;

use super::error::PublishError;

/// Failures in a row after which the store is taken to be unreachable, and the items that are left
/// are not tried.
const AWAY: usize = 4;

/// Items, and the results of those that are done. An attempt works on the items that are left, so
/// that many items get done although each attempt fails for some.
#[derive(Debug)]
pub(super) struct WorkList<I, T> {
    left: Mutex<Vec<I>>,
    done: Mutex<Vec<T>>,
}

impl<I: Clone, T> WorkList<I, T> {
    pub(super) fn new(items: Vec<I>) -> WorkList<I, T> {
        WorkList { left: Mutex::new(items), done: Mutex::default() }
    }

    /// Works on the items that are left, `at_once` at a time. Every call of `work` has ended on
    /// return: two attempts never work on one item at a time.
    ///
    /// # Errors
    /// The worst error of an item; its item and the others that failed are left.
    pub(super) async fn attempt<F, R>(&self, at_once: usize, work: F) -> Result<(), PublishError>
    where
        F: Fn(I) -> R,
        R: Future<Output = Result<T, PublishError>>,
    {
        let items = std::mem::take(&mut *self.left.lock());
        let failing = AtomicUsize::new(0);
        let one = |item: I| {
            let (failing, working) = (&failing, work(item.clone()));
            async move {
                if failing.load(Ordering::Relaxed) >= AWAY {
                    return Err((item, None));
                }
                match working.await {
                    Ok(done) => {
                        failing.store(0, Ordering::Relaxed);
                        Ok(done)
                    }
                    Err(error) => {
                        failing.fetch_add(1, Ordering::Relaxed);
                        Err((item, Some(error)))
                    }
                }
            }
        };
        let mut results = futures::stream::iter(items).map(one).buffer_unordered(at_once.max(1));
        let mut worst: Option<PublishError> = None;
        while let Some(result) = results.next().await {
            match result {
                Ok(done) => self.done.lock().push(done),
                Err((item, error)) => {
                    self.left.lock().push(item);
                    worst = [worst, error].into_iter().flatten().max_by_key(PublishError::kind);
                }
            }
        }
        worst.map_or(Ok(()), Err)
    }

    /// Returns the results.
    pub(super) fn into_results(self) -> Vec<T> {
        std::mem::take(&mut *self.done.lock())
    }
}
