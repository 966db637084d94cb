//! Faults of bodies in tests: a decoder that panics, an encoder that fails, a process that dies of a
//! body. They stand for defects of this program that nobody knows of, so no disk or store has them.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;

use super::decode_workers::Part;
use crate::record::Body;

/// A step of a roll.
pub(crate) enum Step<'a> {
    /// A body is decoded, wholly or on from where it was left.
    Decode(&'a Body),
    /// A part is taken into the open roll.
    Push(&'a Part),
    /// The files of the roll are finished.
    Finish,
}

/// The fault of a step, by panic or error, if it has one. A part for which it returns true makes the
/// end of its roll a step as well.
pub(crate) type Fault = dyn Fn(Step<'_>) -> anyhow::Result<bool> + Send + Sync;

static FAULTS: Mutex<BTreeMap<String, Arc<Fault>>> = Mutex::new(BTreeMap::new());

/// Sets the faults of the node `node`, whose name no other test has.
pub(crate) fn set(node: &str, fault: Arc<Fault>) {
    FAULTS.lock().insert(node.to_owned(), fault);
}

fn meet(node: &str, step: Step<'_>) -> anyhow::Result<bool> {
    let fault = FAULTS.lock().get(node).cloned();
    fault.map_or(Ok(false), |fault| fault(step))
}

pub(crate) fn decoding(node: &str, body: &Body) -> anyhow::Result<()> {
    meet(node, Step::Decode(body)).map(drop)
}

pub(super) fn pushed(node: &str, part: &Part) -> anyhow::Result<bool> {
    meet(node, Step::Push(part))
}

pub(super) fn finished(node: &str) -> anyhow::Result<()> {
    meet(node, Step::Finish).map(drop)
}
