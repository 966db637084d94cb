//! The fan-out of events.

use std::sync::Arc;

use super::events::RollEvent;
use crate::clock::{Clock, SystemClock};
use crate::record::Micros;

/// A receiver of events.
pub trait Observer: Send + Sync {
    /// Takes note of an event that happened at `at`.
    ///
    /// Called on the thread that makes or publishes the roll, which waits for the return: an
    /// implementation neither blocks nor panics. Calls for different rolls may run at the same time.
    fn observe(&self, at: Micros, event: &RollEvent);
}

/// Hands every event to each of its observers, in the order they were given. A clone is two
/// reference counts.
#[derive(Clone)]
pub struct Observers {
    clock: Arc<dyn Clock>,
    // Never changed once made, so that no lock is held while an observer runs.
    observers: Arc<[Arc<dyn Observer>]>,
}

impl Observers {
    /// Makes a fan-out to `observers`; events are stamped with the time of `clock`.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>, observers: Vec<Arc<dyn Observer>>) -> Observers {
        Observers { clock, observers: observers.into() }
    }

    /// Makes a fan-out to nobody.
    #[must_use]
    pub fn none() -> Observers {
        Observers::new(Arc::new(SystemClock), Vec::new())
    }

    /// Hands `event` to every observer, and returns when all of them have taken it.
    pub fn emit(&self, event: &RollEvent) {
        let now = self.clock.now();
        for observer in &*self.observers {
            observer.observe(now, event);
        }
    }
}

impl std::fmt::Debug for Observers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Observers").field("count", &self.observers.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use parking_lot::Mutex;

    use super::*;
    use crate::clock::ManualClock;
    use crate::record::Roll;

    /// Keeps all events, each with the name of the observer that took it.
    type Seen = Arc<Mutex<Vec<(&'static str, Micros, RollEvent)>>>;

    struct Keeps(&'static str, Seen);

    impl Observer for Keeps {
        fn observe(&self, at: Micros, event: &RollEvent) {
            self.1.lock().push((self.0, at, event.clone()));
        }
    }

    #[test]
    fn every_observer_gets_every_event_in_order_with_the_time() {
        let seen = Seen::default();
        let clock = Arc::new(ManualClock::at(Micros(5)));
        let observers = Observers::new(
            clock.clone(),
            vec![Arc::new(Keeps("a", seen.clone())), Arc::new(Keeps("b", seen.clone()))],
        );
        let (one, two) = (RollEvent::Opened { roll: Roll(1) }, RollEvent::Landed { roll: Roll(1) });
        observers.emit(&one);
        clock.advance(2);
        observers.clone().emit(&two);
        let expected = [
            ("a", Micros(5), one.clone()),
            ("b", Micros(5), one),
            ("a", Micros(7), two.clone()),
            ("b", Micros(7), two),
        ];
        assert_eq!(*seen.lock(), expected);
    }

    #[test]
    fn an_observer_may_emit_itself() {
        struct Answers(Seen, Mutex<Option<Observers>>);
        impl Observer for Answers {
            fn observe(&self, at: Micros, event: &RollEvent) {
                self.0.lock().push(("", at, event.clone()));
                let once = self.1.lock().take();
                if let Some(observers) = once {
                    observers.emit(&RollEvent::Landed { roll: Roll(1) });
                }
            }
        }
        let seen = Seen::default();
        let answers = Arc::new(Answers(seen.clone(), Mutex::default()));
        let observers = Observers::new(Arc::new(SystemClock), vec![answers.clone()]);
        *answers.1.lock() = Some(observers.clone());
        observers.emit(&RollEvent::Opened { roll: Roll(1) });
        assert_eq!(seen.lock().len(), 2);
    }
}
