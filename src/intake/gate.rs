//! The gate of an intake that opens later than its sources.

use std::sync::{Arc, OnceLock};

use super::{Intake, Refusal};

/// The intake of a source that answers before the journal is open. Until [`open`](Self::open) every
/// body is refused, and nothing of it is kept. Clones share it.
#[derive(Clone, Default)]
pub struct Gate {
    intake: Arc<OnceLock<Intake>>,
}

impl Gate {
    /// Lets bodies in. Opening it again changes nothing.
    pub fn open(&self, intake: Intake) {
        let _ = self.intake.set(intake);
    }

    /// Returns the intake.
    ///
    /// # Errors
    /// [`Refusal::Starting`]: it is not open yet.
    pub fn intake(&self) -> Result<&Intake, Refusal> {
        self.intake.get().ok_or(Refusal::Starting)
    }
}

impl From<Intake> for Gate {
    fn from(intake: Intake) -> Gate {
        Gate { intake: Arc::new(intake.into()) }
    }
}
