//! The memory that all request bodies share.
//!
//! A budget counted in blocks, so that a body asks once every 64 KiB and not for every chunk. Bytes
//! are reserved before they are kept, and given back when the body is durable or refused. Bodies
//! wait for one another in order; one that waits too long is refused, which also frees what it
//! holds, so that two half-read bodies cannot wait for each other for ever.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::metrics::BODY_MEMORY_BYTES;

/// What is reserved at a time.
pub(super) const BLOCK_BYTES: u64 = 64 << 10;

/// How long a body waits for memory before it is refused: well within a sender's 30 s.
const PATIENCE: Duration = Duration::from_secs(4);

/// The budget.
#[derive(Debug)]
pub(super) struct Memory {
    blocks: Arc<Semaphore>,
    patience: Duration,
}

/// The budget could not be had in time.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct NoMemory;

/// What one body holds of the budget. Dropping it gives it back.
#[derive(Debug)]
pub(super) struct Reserved {
    memory: Arc<Memory>,
    blocks: u32,
    held: Option<OwnedSemaphorePermit>,
}

impl Memory {
    /// A budget of `bytes`, rounded up to whole blocks.
    pub(super) fn new(bytes: u64) -> Self {
        Memory::with_patience(bytes, PATIENCE)
    }

    pub(super) fn with_patience(bytes: u64, patience: Duration) -> Self {
        let blocks = usize::try_from(bytes.div_ceil(BLOCK_BYTES)).unwrap_or(usize::MAX);
        let blocks = blocks.min(Semaphore::MAX_PERMITS);
        Memory { blocks: Arc::new(Semaphore::new(blocks)), patience }
    }

    /// A reservation of nothing yet.
    pub(super) fn reserve_nothing(self: &Arc<Self>) -> Reserved {
        Reserved { memory: Arc::clone(self), blocks: 0, held: None }
    }

    #[cfg(test)]
    pub(super) fn free_bytes(&self) -> u64 {
        self.blocks.available_permits() as u64 * BLOCK_BYTES
    }
}

impl Reserved {
    /// Holds at least `bytes` in all. Never gives back.
    ///
    /// # Errors
    /// [`NoMemory`] when the rest cannot be had within the patience of the budget. What was held is
    /// still held.
    ///
    /// # Cancel safety
    /// A dropped future leaves the reservation as it was.
    pub(super) async fn grow_to(&mut self, bytes: u64) -> Result<(), NoMemory> {
        let wanted = u32::try_from(bytes.div_ceil(BLOCK_BYTES)).map_err(|_| NoMemory)?;
        if wanted <= self.blocks {
            return Ok(());
        }
        let more = wanted - self.blocks;
        let blocks = Arc::clone(&self.memory.blocks).acquire_many_owned(more);
        let Ok(Ok(permit)) = tokio::time::timeout(self.memory.patience, blocks).await else {
            return Err(NoMemory);
        };
        metrics::gauge!(BODY_MEMORY_BYTES).increment(bytes_of(more));
        self.blocks = wanted;
        match &mut self.held {
            Some(held) => held.merge(permit),
            held @ None => *held = Some(permit),
        }
        Ok(())
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        if self.blocks > 0 {
            metrics::gauge!(BODY_MEMORY_BYTES).decrement(bytes_of(self.blocks));
        }
    }
}

fn bytes_of(blocks: u32) -> f64 {
    f64::from(blocks) * BLOCK_BYTES as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn holds_whole_blocks_and_gives_them_back() {
        let memory = Arc::new(Memory::new(4 * BLOCK_BYTES));
        let mut one = memory.reserve_nothing();
        assert_eq!(one.grow_to(1).await, Ok(()));
        assert_eq!(memory.free_bytes(), 3 * BLOCK_BYTES);
        assert_eq!(one.grow_to(BLOCK_BYTES).await, Ok(()));
        assert_eq!(memory.free_bytes(), 3 * BLOCK_BYTES);
        assert_eq!(one.grow_to(3 * BLOCK_BYTES + 1).await, Ok(()));
        assert_eq!(memory.free_bytes(), 0);
        drop(one);
        assert_eq!(memory.free_bytes(), 4 * BLOCK_BYTES);
    }

    #[tokio::test]
    async fn who_waits_too_long_is_refused_and_who_waits_a_little_is_served() {
        let memory = Arc::new(Memory::with_patience(BLOCK_BYTES, Duration::from_millis(100)));
        let mut one = memory.reserve_nothing();
        let mut two = memory.reserve_nothing();
        assert_eq!(one.grow_to(1).await, Ok(()));
        assert_eq!(two.grow_to(1).await, Err(NoMemory));

        let later = async {
            tokio::time::sleep(Duration::from_millis(20)).await;
            drop(one);
        };
        let (got, ()) = tokio::join!(two.grow_to(1), later);
        assert_eq!(got, Ok(()));
    }

    #[tokio::test]
    async fn more_than_there_is_cannot_be_had() {
        let memory = Arc::new(Memory::with_patience(BLOCK_BYTES, Duration::from_millis(10)));
        let mut one = memory.reserve_nothing();
        assert_eq!(one.grow_to(BLOCK_BYTES + 1).await, Err(NoMemory));
        assert_eq!(one.grow_to(u64::MAX).await, Err(NoMemory));
        assert_eq!(memory.free_bytes(), BLOCK_BYTES);
    }
}
