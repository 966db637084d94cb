//! The rules that requests are judged by, which can be replaced while the receiver runs.
//!
//! # Promises
//! - *One request, one set of rules.* A request takes the rules that are in force when its head has been
//!   read, and is judged by them to its end, however long its body takes: its endpoint may be gone by then.
//! - *Replaced as a whole.* There is no moment with the endpoints of one set and the limits of another.
//! - *A limit that stays as it is goes on counting*: a peer that has used up its rate has not got a new one.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::RwLock;

use crate::metrics as names;

use super::admission::Admission;
use super::body_budget::BodyBudget;
use super::endpoint::Endpoint;
use super::options::{Access, Options, SMALL_BODY_MEMORY_BYTES};
use super::refusal_reason::Reason;

/// A set of rules.
#[derive(Debug)]
pub(super) struct RequestRules {
    pub(super) endpoints: Arc<[Endpoint]>,
    pub(super) admission: Admission,
    pub(super) body_timeout: Duration,
}

/// The rules in force, and the memory for bodies that they need. Clones share them.
#[derive(Clone)]
pub struct LiveRules {
    inner: Arc<Inner>,
}

struct Inner {
    // Held to copy or to replace one pointer.
    rules: RwLock<Arc<RequestRules>>,
    budget: Arc<BodyBudget>,
    options: Options,
    access: Access,
}

impl std::fmt::Debug for LiveRules {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LiveRules").finish_non_exhaustive()
    }
}

impl LiveRules {
    /// Makes the rules of `options`.
    #[must_use]
    pub fn new(options: Options, access: Access) -> LiveRules {
        let limit = options.memory_bytes();
        set_limit(limit);
        let budget = BodyBudget::new(limit).with_small_bodies(SMALL_BODY_MEMORY_BYTES);
        let rules = RwLock::new(Arc::new(rules(&options, &access, None)));
        LiveRules { inner: Arc::new(Inner { rules, budget: Arc::new(budget), options, access }) }
    }

    /// Puts the endpoints, rates and time of a body of `options` in force for requests from now on. Their
    /// other options stay as they were at the start.
    pub fn replace(&self, options: &Options) {
        set_limit(self.inner.budget.raise_to(options.memory_bytes()));
        for endpoint in &options.endpoints {
            names::start_endpoint(&endpoint.name, Reason::ALL.map(Reason::label));
        }
        let mut current = self.inner.rules.write();
        *current = Arc::new(rules(options, &self.inner.access, Some(&current)));
    }

    /// Returns the endpoints in force.
    #[must_use]
    pub fn endpoints(&self) -> Arc<[Endpoint]> {
        Arc::clone(&self.current().endpoints)
    }

    pub(super) fn current(&self) -> Arc<RequestRules> {
        Arc::clone(&self.inner.rules.read())
    }

    pub(super) fn budget(&self) -> Arc<BodyBudget> {
        Arc::clone(&self.inner.budget)
    }

    /// Returns the options of the start.
    pub(super) fn options(&self) -> &Options {
        &self.inner.options
    }

    pub(super) fn access(&self) -> &Access {
        &self.inner.access
    }
}

fn rules(options: &Options, access: &Access, before: Option<&RequestRules>) -> RequestRules {
    RequestRules {
        endpoints: options.endpoints.as_slice().into(),
        admission: Admission::new(
            options,
            access.auth.clone(),
            before.map(|before| (&*before.endpoints, &before.admission)),
        ),
        body_timeout: options.body_timeout,
    }
}

fn set_limit(bytes: u64) {
    let whole = bytes + SMALL_BODY_MEMORY_BYTES;
    metrics::gauge!(names::BODY_MEMORY_LIMIT_BYTES).set(whole as f64);
}
