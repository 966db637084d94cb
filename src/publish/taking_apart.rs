//! Taking apart rolls that cannot be made: the memory of failures, in the state directory.
//!
//! # Promises
//! 1. A body of which no roll can be made stops no other: it is found and set aside, by the decisions of
//!    [`super::suspects`], also when the process dies of it at every start.
//! 2. A decision is durable before an engine acts on it, and stays the same until the body has landed
//!    in quarantine. From its roll's seal on it is in the seal as well.
//! 3. Nothing is written while all goes well, but for the first start and the first commit of a process
//!    that finds bodies waiting.
//!
//! ```text
//! <state>/suspects.json  {"version":1,"node":"…","starts":2,"plan":{…},"set_aside":{"7":"…"}}
//! ```
//! # Failure modes
//! * The file cannot be written: nothing is decided, and the roll is tried again as it was.
//! * The file is lost: bodies that were set aside in a roll that is not sealed are tried anew.
//! * A body that is set aside and whose entry cannot be written either keeps its roll waiting, with the
//!   error in readiness. The same goes for a roll that is sealed and fails when its files are finished.

use std::fmt::{self, Write as _};
use std::io::Write as _;
use std::path::Path;

use anyhow::Context as _;
use parking_lot::Mutex;

use super::state_file::StateFile;
use super::suspects::{self, Failure, Plan, Suspects, Verdict};
use crate::error_text;
use crate::record::{Seq, SeqRange};
use crate::roll::care::{self, Care, RollFailure, SetAside, Work, WorkRecord};
use crate::roll::disk_space::free_bytes;

/// Name of the file.
pub(super) const NAME: &str = "suspects.json";
/// Most characters of the reason for which a body is set aside.
const REASON_CHARACTERS: usize = 200;
/// Room that a roll needs whatever is in it.
const LEAST_ROOM: u64 = 16 << 20;
/// Room that a roll may need for a byte of its bodies.
const ROOM_FACTOR: u64 = 4;
/// Most bytes that are written to find out whether there is room.
const MOST_TRIED: u64 = 32 << 20;

/// The memory of failures, and its file.
pub(crate) struct TakingApart {
    file: StateFile,
    state: Mutex<State>,
}

/// The decision on a roll that could not be made.
#[derive(Debug)]
pub(super) struct Decision {
    /// The decision, as a sentence.
    pub(super) text: String,
    /// Other rolls are made of its bodies: the next attempt is not the same.
    pub(super) is_divided: bool,
    /// A body that is set aside.
    pub(super) set_aside: Option<Seq>,
}

/// The context of the error of such a roll.
#[derive(Debug)]
pub(super) struct TakenApart {
    pub(super) text: String,
    pub(super) is_divided: bool,
}

impl fmt::Display for TakenApart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

struct State {
    now: Suspects,
    /// The content of the file; empty if there is none.
    stored: Suspects,
    /// This process has been counted as a start.
    is_started: bool,
}

impl TakingApart {
    /// Reads the memory of the node `node`.
    ///
    /// # Errors
    /// The file cannot be read, or is of a later version.
    pub(super) fn open(file: StateFile, node: &str) -> anyhow::Result<TakingApart> {
        let path = file.path();
        let failed = || {
            format!(
                "cannot read {}, which has the bodies that are to be set aside; without it they are \
                 tried anew",
                path.display()
            )
        };
        let new = Suspects::of(node);
        let stored: Suspects = match file.read().with_context(failed)? {
            Some(bytes) => serde_json::from_slice(&bytes).with_context(failed)?,
            None => new.clone(),
        };
        anyhow::ensure!(
            stored.version <= suspects::VERSION,
            "{} was written by a newer version of this program; use that version",
            path.display()
        );
        // The numbers of another journal are of other bodies.
        let now = if stored.node == node { stored.clone() } else { new };
        Ok(TakingApart { file, state: Mutex::new(State { now, stored, is_started: false }) })
    }

    /// Takes note that this process begins to land the bodies `waiting`, once. Returns a body that is
    /// set aside by it.
    pub(super) fn start(&self, waiting: SeqRange, sealed: Option<SeqRange>) -> Option<Seq> {
        let mut state = self.state.lock();
        if std::mem::replace(&mut state.is_started, true) || waiting.last < waiting.first {
            return None;
        }
        let before = state.now.clone();
        let verdict = state.now.started(waiting, sealed);
        self.decide(&mut state, before, verdict)
    }

    /// Decides on a roll that could not be made in the directory `staging`, on a disk of which
    /// `reserve_bytes` are for others.
    pub(super) fn failed(
        &self,
        failure: &RollFailure,
        staging: &Path,
        reserve_bytes: u64,
    ) -> Decision {
        let RollFailure { range, at, is_of_decoder, is_sealed, source_bytes, .. } = *failure;
        let room = source_bytes.saturating_mul(ROOM_FACTOR).saturating_add(LEAST_ROOM);
        let has_room = is_of_decoder || has_room(staging, room, reserve_bytes);
        let why = error_text::one_line(failure.cause.as_ref());
        let why = error_text::bounded(&why, REASON_CHARACTERS);
        let failure = Failure { range, at, is_of_decoder, is_sealed, has_room, why };
        let mut state = self.state.lock();
        let before = state.now.clone();
        let verdict = state.now.failed(&failure);
        let set_aside = self.decide(&mut state, before, verdict);
        let is_divided = verdict != Verdict::Again;
        Decision { text: text(verdict, state.now.plan(), &failure), is_divided, set_aside }
    }

    /// Makes a decision durable. One that cannot be is taken back.
    fn decide(&self, state: &mut State, before: Suspects, verdict: Verdict) -> Option<Seq> {
        if let Err(error) = self.save(state) {
            let path = self.file.path();
            tracing::warn!("cannot write {}: {error}", path.display());
            state.now = before;
            return None;
        }
        match verdict {
            Verdict::SetAside(seq) => Some(seq),
            Verdict::Divide | Verdict::Again => None,
        }
    }

    /// Takes note of the commit of a roll whose last body is `last`.
    pub(super) fn committed(&self, last: Seq) {
        let mut state = self.state.lock();
        state.now.committed(last);
        self.save_if_possible(&mut state);
    }

    /// Takes note that an engine has ended, whatever it was at.
    pub(super) fn ended(&self) {
        self.ends();
    }

    /// Returns the care that the next engine takes, besides the bodies that `sealed` sets aside.
    pub(super) fn care(&self, sealed: SetAside) -> Care<'_> {
        let state = self.state.lock();
        let mut set_aside = state.now.set_aside();
        set_aside.extend(sealed);
        let suspects = state.now.plan().map(|plan| care::Suspects {
            until: Seq(plan.until),
            roll_bodies: plan.roll_bodies,
            job_bodies: plan.job_bodies(),
            record: plan.recorded.then_some(self as &dyn WorkRecord),
        });
        Care { set_aside, decides: true, suspects }
    }

    /// Writes the file if it says something else than the memory. One is not needed for nothing.
    fn save(&self, state: &mut State) -> std::io::Result<()> {
        if state.now == state.stored || (state.now.is_empty() && state.stored.is_empty()) {
            return Ok(());
        }
        let mut text = serde_json::to_vec(&state.now)?;
        text.push(b'\n');
        self.file.write(&text)?;
        state.stored = state.now.clone();
        Ok(())
    }

    /// Writes the file for the sake of later starts, which go without if need be.
    fn save_if_possible(&self, state: &mut State) {
        if let Err(error) = self.save(state) {
            tracing::debug!("cannot write {}: {error}", self.file.path().display());
        }
    }
}

impl WorkRecord for TakingApart {
    fn begins(&self, work: Work) {
        let mut state = self.state.lock();
        state.now.works(Some(work));
        self.save_if_possible(&mut state);
    }

    fn ends(&self) {
        let mut state = self.state.lock();
        state.now.works(None);
        self.save_if_possible(&mut state);
    }
}

/// Returns the decision as a sentence for log and readiness.
fn text(verdict: Verdict, plan: Option<Plan>, failure: &Failure) -> String {
    let mut text = String::new();
    // Writing to a String cannot fail.
    let _ = match (verdict, plan) {
        (Verdict::SetAside(seq), _) => write!(text, "body {seq} is set aside"),
        (Verdict::Divide, Some(plan)) => {
            write!(text, "the roll is taken apart, into rolls of {} bodies", plan.roll_bodies)
        }
        _ if !failure.has_room => write!(text, "there is no room for a roll, whatever is in it"),
        _ => write!(text, "it is tried again"),
    };
    text
}

/// Tells whether a roll that needs `room` bytes could be made in `staging`, so that a roll that fails
/// there does so because of what is in it.
fn has_room(staging: &Path, room: u64, reserve_bytes: u64) -> bool {
    // A system that does not say how much is free still fails writes to a full disk.
    let free = free_bytes(staging).unwrap_or(u64::MAX);
    free >= room.saturating_add(reserve_bytes) && write_some(staging, room.min(MOST_TRIED)).is_ok()
}

/// Writes `bytes` to a file of `staging` and removes it.
fn write_some(staging: &Path, bytes: u64) -> std::io::Result<()> {
    let path = staging.join("room");
    let write = || {
        let (mut file, block) = (std::fs::File::create(&path)?, vec![0x5a; 1 << 20]);
        (0..bytes.div_ceil(1 << 20)).try_for_each(|_| file.write_all(&block))
    };
    let written = write();
    let removed = std::fs::remove_file(&path);
    written.and(removed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_is_what_can_be_written() {
        let dir = tempfile::tempdir().unwrap();
        assert!(has_room(dir.path(), 3 << 20, 0));
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
        assert!(!has_room(dir.path(), 3 << 20, u64::MAX), "the reserve is for others");
        assert!(!has_room(&dir.path().join("gone"), 3 << 20, 0));
    }
}
