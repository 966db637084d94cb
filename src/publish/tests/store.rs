//! An object store in memory that fails as real ones do.
//!
//! Outcomes of a call: it works; it is refused (500, 503, 429) and nothing has happened; it has
//! happened and the answer is lost; it is given up and happens later, when the roll may have been put
//! again; it has happened and the answer is that the object exists already; the store goes away for
//! some calls; the process dies before or after it.

use std::collections::BTreeMap;
use std::fmt;
use std::panic::resume_unwind;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{FutureExt as _, StreamExt as _, TryStreamExt as _};
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, ObjectStoreExt as _, PutMode, PutMultipartOptions, PutOptions, PutPayload,
    PutResult, Result, UploadPart,
};
use parking_lot::{Mutex, MutexGuard};

use crate::journal::tests::fake::FakeDisk;
use crate::lake::denied_listing;
use crate::search::Dice;

/// Counts of faults so far.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Faults {
    pub(crate) calls: u64,
    pub(crate) refused: u64,
    pub(crate) lost_answers: u64,
    pub(crate) late: u64,
    pub(crate) exists: u64,
    pub(crate) away: u64,
    pub(crate) deaths: u64,
    /// Uploads in parts that a living process neither completed nor aborted.
    pub(crate) leaked: u64,
}

impl Faults {
    pub(crate) fn all(&self) -> u64 {
        self.refused + self.lost_answers + self.late + self.exists + self.away
    }
}

struct State {
    dice: Dice,
    /// One call in so many goes wrong; 0: none.
    one_in: u64,
    /// Calls until the store is back.
    away: u64,
    /// The process dies at this call, and its disk with it.
    dies: Option<(u64, Arc<FakeDisk>)>,
    dead: bool,
    late: Vec<(Path, PutPayload, PutMode)>,
    /// Objects that are not there, and listings, are answered 403, as by S3 to who may not list.
    hides: bool,
    /// Objects that another process puts right before the first call with this in its path.
    meanwhile: Option<(String, Vec<(Path, PutPayload)>)>,
    /// Objects that are there are not replaced (403), as by Google without the right to delete.
    keeps: bool,
    /// Another process puts this over the identity when a fence is put.
    identity_at_fence: Option<&'static str>,
    /// Puts are refused.
    takes_no_puts: bool,
    faults: Faults,
}

/// The outcome of a call.
enum Turn {
    Works,
    Refused,
    AnswerLost,
    Late,
    Exists,
    DiesAfter,
}

/// See the module. Clones are the same store.
#[derive(Clone)]
pub(crate) struct FakeStore {
    pub(crate) objects: Arc<InMemory>,
    state: Arc<Mutex<State>>,
}

impl FakeStore {
    pub(crate) fn new(seed: u64) -> FakeStore {
        let state = State {
            dice: Dice(seed),
            one_in: 0,
            away: 0,
            dies: None,
            dead: false,
            late: Vec::new(),
            hides: false,
            meanwhile: None,
            keeps: false,
            identity_at_fence: None,
            takes_no_puts: false,
            faults: Faults::default(),
        };
        FakeStore { objects: Arc::default(), state: Arc::new(Mutex::new(state)) }
    }

    /// The same objects, as another process comes to them.
    pub(crate) fn over(objects: Arc<InMemory>, seed: u64) -> FakeStore {
        FakeStore { objects, ..FakeStore::new(seed) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A process that dies leaves it whole.
        self.state.lock()
    }

    /// One call in so many goes wrong from now on; 0: none.
    pub(crate) fn inject_faults(&self, one_in: u64) {
        self.state().one_in = one_in;
    }

    /// The next calls are refused.
    pub(crate) fn go_away(&self, calls: u64) {
        self.state().away = calls;
    }

    /// Answers 403 for objects that are not there, and for listings, from now on.
    pub(crate) fn hide_what_is_missing(&self) {
        self.state().hides = true;
    }

    /// Another process puts `objects` right before the first get, head or list whose path has `path` in
    /// it.
    pub(crate) fn put_meanwhile(&self, path: &str, objects: Vec<(Path, PutPayload)>) {
        self.state().meanwhile = Some((path.to_owned(), objects));
    }

    async fn meanwhile(&self, path: Option<&Path>) {
        let path = path.map_or("", |path| path.as_ref());
        let due = self.state().meanwhile.take_if(|(at, _)| path.contains(&**at));
        for (path, payload) in due.into_iter().flat_map(|(_, objects)| objects) {
            let _ = self.objects.put(&path, payload).await;
        }
    }

    /// Answers 403 for puts over objects that are there from now on.
    pub(crate) fn keep_what_is_there(&self) {
        self.state().keeps = true;
    }

    /// Has another process put `text` over the identity when the next fence is put, as a store without
    /// conditions lets it.
    pub(crate) fn replace_identity_at_fence(&self, text: &'static str) {
        self.state().identity_at_fence = Some(text);
    }

    /// Refuses puts from now on, or takes them again.
    pub(crate) fn refuse_puts(&self, refuse: bool) {
        self.state().takes_no_puts = refuse;
    }

    /// The process dies at the n-th call from here, and `disk` with it.
    pub(crate) fn die_at(&self, nth: Option<u64>, disk: &Arc<FakeDisk>) {
        self.state().dies = nth.map(|nth| (nth, Arc::clone(disk)));
    }

    /// The process dies now.
    pub(crate) fn die(&self) {
        self.state().dead = true;
    }

    pub(crate) fn is_dead(&self) -> bool {
        self.state().dead
    }

    /// Another process comes to the store.
    pub(crate) fn next_process(&self) {
        let mut state = self.state();
        (state.dead, state.dies) = (false, None);
    }

    pub(crate) fn faults(&self) -> Faults {
        self.state().faults
    }

    /// Carries out every call that was given up.
    pub(crate) async fn settle(&self) {
        let late = std::mem::take(&mut self.state().late);
        for (path, payload, mode) in late {
            // Refused when another attempt has created it meanwhile.
            let _ = self.objects.put_opts(&path, payload, mode.into()).await;
        }
    }

    async fn turn(&self) -> Turn {
        let (turn, late, wait) = {
            let mut state = self.state();
            if state.dead {
                drop(state);
                // The end of the process, without a word from the panic hook.
                resume_unwind(Box::new("the process is dead"));
            }
            state.faults.calls += 1;
            let due = !state.late.is_empty() && state.dice.one_in(3);
            let late = due.then(|| {
                let among = state.late.len() as u64;
                let at = state.dice.below(among) as usize;
                state.late.swap_remove(at)
            });
            let wait = state.dice.one_in(8);
            (state.draw(), late, wait)
        };
        if let Some((path, payload, mode)) = late {
            let _ = self.objects.put_opts(&path, payload, mode.into()).await;
        }
        if wait {
            tokio::task::yield_now().await;
        }
        turn.unwrap_or_else(|| resume_unwind(Box::new("the process dies")))
    }

    async fn put_with(
        &self,
        path: &Path,
        payload: PutPayload,
        mode: PutMode,
        turn: Turn,
    ) -> Result<PutResult> {
        let put = || self.objects.put_opts(path, payload.clone(), mode.clone().into());
        match turn {
            Turn::Works => put().await,
            Turn::Refused => Err(refused()),
            Turn::AnswerLost => {
                let _ = put().await;
                Err(generic("operation timed out"))
            }
            Turn::Late => {
                self.state().late.push((path.clone(), payload, mode));
                Err(generic("operation timed out"))
            }
            Turn::Exists => {
                let _ = put().await;
                Err(Error::AlreadyExists { path: path.to_string(), source: "409".into() })
            }
            Turn::DiesAfter => {
                let _ = put().await;
                resume_unwind(Box::new("the process dies"))
            }
        }
    }
}

impl State {
    /// `None`: the process dies before the call.
    fn draw(&mut self) -> Option<Turn> {
        if let Some((calls, disk)) = &mut self.dies {
            *calls -= 1;
            if *calls == 0 {
                disk.turn_off();
                (self.dead, self.dies) = (true, None);
                self.faults.deaths += 1;
                return self.dice.one_in(2).then_some(Turn::DiesAfter);
            }
        }
        if self.away > 0 {
            self.away -= 1;
            self.faults.away += 1;
            return Some(Turn::Refused);
        }
        if self.one_in == 0 || !self.dice.one_in(self.one_in) {
            return Some(Turn::Works);
        }
        Some(match self.dice.below(9) {
            0..3 => {
                self.faults.refused += 1;
                Turn::Refused
            }
            3 | 4 => {
                self.faults.lost_answers += 1;
                Turn::AnswerLost
            }
            5 | 6 => {
                self.faults.late += 1;
                Turn::Late
            }
            7 => {
                self.faults.exists += 1;
                Turn::Exists
            }
            _ => {
                self.away = self.dice.below(20);
                self.faults.refused += 1;
                Turn::Refused
            }
        })
    }
}

/// Returns the bytes of every object of `store`, by name.
pub(crate) fn objects(store: &InMemory) -> BTreeMap<String, Bytes> {
    futures::executor::block_on(async {
        let listed: Vec<_> = store.list(None).try_collect().await.expect("memory");
        let mut all = BTreeMap::new();
        for object in listed {
            let got = store.get(&object.location).await.expect("memory");
            all.insert(object.location.to_string(), got.bytes().await.expect("memory"));
        }
        all
    })
}

fn generic(what: &'static str) -> Error {
    Error::Generic { store: "fake", source: what.into() }
}

fn refused() -> Error {
    generic("503 Slow Down")
}

impl fmt::Debug for FakeStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FakeStore")
    }
}

impl fmt::Display for FakeStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FakeStore")
    }
}

#[async_trait]
impl ObjectStore for FakeStore {
    async fn put_opts(
        &self,
        path: &Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> Result<PutResult> {
        let turn = self.turn().await;
        let (keeps, refuses) = {
            let state = self.state();
            (state.keeps, state.takes_no_puts)
        };
        if path.as_ref().contains("_nodes/") {
            let other = self.state().identity_at_fence.take();
            if let Some(text) = other {
                self.objects.put(&Path::from("lake/_lake.json"), text.into()).await?;
            }
        }
        if refuses {
            return Err(refused());
        }
        if keeps && options.mode != PutMode::Create && self.objects.head(path).await.is_ok() {
            return Err(Error::PermissionDenied { path: path.to_string(), source: "403".into() });
        }
        self.put_with(path, payload, options.mode, turn).await
    }

    async fn put_multipart_opts(
        &self,
        path: &Path,
        _: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        match self.turn().await {
            Turn::Works => Ok(Box::new(Upload {
                store: self.clone(),
                path: path.clone(),
                begun: 0,
                ended: false,
                parts: Arc::default(),
            })),
            Turn::DiesAfter => resume_unwind(Box::new("the process dies")),
            _ => Err(refused()),
        }
    }

    async fn get_opts(&self, path: &Path, options: GetOptions) -> Result<GetResult> {
        self.meanwhile(Some(path)).await;
        match self.turn().await {
            Turn::Works => match self.objects.get_opts(path, options).await {
                Err(Error::NotFound { path, source }) if self.state().hides => {
                    Err(Error::PermissionDenied { path, source })
                }
                got => got,
            },
            Turn::DiesAfter => resume_unwind(Box::new("the process dies")),
            _ => Err(refused()),
        }
    }

    fn delete_stream(
        &self,
        paths: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        self.objects.delete_stream(paths)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let (store, prefix) = (self.clone(), prefix.cloned());
        let turn = async move {
            store.meanwhile(prefix.as_ref()).await;
            match store.turn().await {
                Turn::Works if store.state().hides => Err(denied_listing()),
                Turn::Works => Ok(store.objects.list(prefix.as_ref())),
                _ => Err(refused()),
            }
        };
        turn.into_stream().try_flatten().boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.meanwhile(prefix).await;
        let hides = self.state().hides;
        match hides {
            true => Err(denied_listing()),
            false => self.objects.list_with_delimiter(prefix).await,
        }
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.objects.copy_opts(from, to, options).await
    }
}

/// An upload in parts. Nothing of it is there before it is complete.
#[derive(Debug)]
struct Upload {
    store: FakeStore,
    path: Path,
    begun: usize,
    /// It was asked to be completed or aborted.
    ended: bool,
    parts: Arc<Mutex<Vec<(usize, PutPayload)>>>,
}

impl Drop for Upload {
    fn drop(&mut self) {
        let mut state = self.store.state();
        state.faults.leaked += u64::from(!self.ended && !state.dead);
    }
}

#[async_trait]
impl MultipartUpload for Upload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        let (store, parts, number) = (self.store.clone(), Arc::clone(&self.parts), self.begun);
        self.begun += 1;
        async move {
            // On a task of its own, where a death is not heard: the next call dies.
            if store.state().dead {
                return Err(generic("connection reset by peer"));
            }
            let turn = std::panic::AssertUnwindSafe(store.turn()).catch_unwind().await;
            match turn {
                Ok(Turn::Works | Turn::DiesAfter) => {
                    parts.lock().push((number, data));
                    Ok(())
                }
                _ => Err(generic("connection reset by peer")),
            }
        }
        .boxed()
    }

    async fn complete(&mut self) -> Result<PutResult> {
        self.ended = true;
        let turn = self.store.turn().await;
        let mut parts = std::mem::take(&mut *self.parts.lock());
        parts.sort_by_key(|(number, _)| *number);
        assert_eq!(parts.len(), self.begun, "completed with a part that was not put");
        let whole: PutPayload = parts.into_iter().flat_map(|(_, payload)| payload).collect();
        self.store.put_with(&self.path, whole, PutMode::Overwrite, turn).await
    }

    async fn abort(&mut self) -> Result<()> {
        self.ended = true;
        match self.store.turn().await {
            Turn::Works => Ok(()),
            _ => Err(refused()),
        }
    }
}
