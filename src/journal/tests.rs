//! The promises of the journal, one test a promise or a crash shape.

mod append;
mod bit_flips;
mod compressed;
mod crash;
mod direct;
mod directory;
mod encrypted;
pub(crate) mod fake;
pub(crate) mod fuzz;
mod group_commit;
mod handed;
mod model;
mod read;
mod replay;

mod rescue;
mod retry;
mod rolls;
mod rotation;
mod salvage;
mod salvage_rolls;
mod search;
mod versions;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::control::Control;
use super::*;
use crate::clock::ManualClock;
use crate::record::{Body, Micros};
use fake::FakeDisk;

/// A journal on a fake disk with a clock that stands still.
struct Bench {
    disk: Arc<FakeDisk>,
    clock: Arc<ManualClock>,
    options: Options,
    runtime: tokio::runtime::Runtime,
}

impl Bench {
    fn new() -> Bench {
        Bench::with(|_| {})
    }

    fn with(change: impl FnOnce(&mut Options)) -> Bench {
        let mut options = Options::new("/state/journal");
        // So that a body's text says how many bytes it takes.
        options.compress_from_bytes = None;
        change(&mut options);
        Bench {
            disk: Arc::new(FakeDisk::default()),
            clock: Arc::new(ManualClock::at(Micros(1_000_000_000))),
            options,
            runtime: tokio::runtime::Builder::new_current_thread()
                .enable_time()
                .build()
                .expect("a runtime"),
        }
    }

    fn try_open(&self) -> Result<(Journal, Recovery), JournalError> {
        Journal::open(self.disk.clone(), self.clock.clone(), self.options.clone())
    }

    fn open(&self) -> (Journal, Recovery) {
        self.try_open().expect("the journal opens")
    }

    /// Encrypts new bodies from the next start on, or only decrypts.
    fn encrypt(&mut self, secret: u8, encrypt: bool) {
        self.options.cipher = Some(cipher(secret));
        self.options.encrypt = encrypt;
    }

    fn skip_damaged(&self) -> Result<(Journal, Recovery), JournalError> {
        let options = Options { skip_damaged: true, ..self.options.clone() };
        Journal::open(self.disk.clone(), self.clock.clone(), options)
    }

    fn try_append(
        &self,
        journal: &Journal,
        text: impl AsRef<[u8]>,
    ) -> Result<Receipt, AppendError> {
        self.runtime.block_on(journal.append(body(text)))
    }

    /// Appends a body that must be new, and returns its number.
    fn append(&self, journal: &Journal, text: impl AsRef<[u8]>) -> u64 {
        let receipt = self.try_append(journal, text).expect("the body is taken");
        assert!(!receipt.duplicate);
        receipt.seq.0
    }

    /// The last segment's path.
    fn last_segment(&self) -> PathBuf {
        self.segments().pop().expect("there is a segment")
    }

    fn segments(&self) -> Vec<PathBuf> {
        let mut names = self.disk.list(&self.options.dir).expect("the directory is listed");
        names.retain(|name| name.ends_with(".seg"));
        names.sort();
        names.iter().map(|name| self.options.dir.join(name)).collect()
    }
}

fn cipher(secret: u8) -> BodyCipher {
    let key = |purpose: &[u8]| {
        let secret = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, &[secret; 32]);
        let mac = aws_lc_rs::hmac::sign(&secret, purpose);
        *mac.as_ref().first_chunk().expect("32 bytes")
    };
    BodyCipher::derived(key).expect("keys of the right length")
}

fn body(text: impl AsRef<[u8]>) -> NewBody {
    NewBody {
        table: Arc::from("user_sessions"),
        form: Form::Ndjson,
        first_line: 1,
        bytes: Bytes::copy_from_slice(text.as_ref()),
    }
}

/// All bodies that are durable now, from `from` on.
fn read_from(journal: &Journal, from: u64) -> Vec<Body> {
    let mut reader = journal.reader(Seq(from));
    let mut bodies = Vec::new();
    while let Next::Body(body) = reader.next(Duration::ZERO).expect("it reads") {
        bodies.push(body);
    }
    bodies
}

fn texts(journal: &Journal, from: u64) -> Vec<String> {
    let text = |body: Body| String::from_utf8(body.bytes.to_vec()).expect("text");
    read_from(journal, from).into_iter().map(text).collect()
}

fn seal(roll: u64, first: u64, last: u64) -> Seal {
    let range = SeqRange { first: Seq(first), last: Seq(last) };
    Seal { roll: Roll(roll), range, settings: format!("settings of {roll}").into_bytes() }
}

fn path_of(error: &JournalError) -> &Path {
    match error {
        JournalError::Damaged { path, .. } => path,
        other => panic!("not damage: {other}"),
    }
}
