//! The lake that is verified while a server runs.

use super::*;

use crate::cli;

const EVERY: Duration = Duration::from_millis(100);

/// Settings with rolls of a tenth of a second, and a verification as often.
fn verifying(dir: &TempDir) -> Settings {
    let settings = settings(dir);
    Settings { roll_age: EVERY, verify_every: Some(EVERY), ..settings }
}

/// Verifies the lake of `server` once it takes bodies, as `serve` does.
pub(super) fn watch(settings: Settings, server: &Server) -> Option<AbortOnDropHandle<()>> {
    let (watch, readiness) = (cli::verifying::watch(&settings, server)?, server.readiness());
    Some(AbortOnDropHandle::new(tokio::spawn(async move {
        while readiness.stage() != Stage::Running {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        watch.run().await;
    })))
}

impl Running {
    /// What verification says is off.
    fn off(&self) -> Option<String> {
        let trouble = self.readiness.trouble().into_iter();
        trouble.filter(|(part, _)| *part == "verify").map(|(_, why)| why).next()
    }

    async fn until(&self, what: &str, is_so: impl Fn(&Running) -> bool) {
        let began = Instant::now();
        while !is_so(self) {
            assert!(began.elapsed() < SOON, "{what}: {:?}", self.readiness.trouble());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

/// The times of the last run and of the last one that went well.
fn times(dir: &TempDir) -> (u64, u64) {
    let text = std::fs::read_to_string(dir.path().join("state/last-verify")).unwrap_or_default();
    let mut times = text.split_whitespace().map(|time| time.parse().unwrap());
    (times.next().unwrap_or(0), times.next().unwrap_or(0))
}

async fn landed(dir: &TempDir, rolls: usize) {
    while receipts(dir).len() < rolls {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_gone_or_damaged_is_trouble_until_it_is_mended() {
    let dir = tempfile::tempdir().unwrap();
    let server = Running::start(verifying(&dir)).await;
    server.until("an empty lake is well", |_| times(&dir).1 > 0).await;
    assert_eq!(server.put("{\"id\":\"a\"}\n").await, 200);
    landed(&dir, 1).await;
    let well = times(&dir).1;
    server.until("it is well", |_| times(&dir).1 > well).await;
    let lake = dir.path().join("lake");
    let file = lake.join(&receipts(&dir)[0].tables[0].files[0].path);
    let bytes = std::fs::read(&file).unwrap();
    std::fs::remove_file(&file).unwrap();
    server.until("it is gone", |server| server.off().is_some()).await;
    let why = server.off().unwrap();
    assert!(
        why.starts_with("1 thing is off in the lake: visits/") && why.contains("--since 2"),
        "{why}"
    );
    std::fs::write(&file, b"PAR1").unwrap();
    server.until("it is broken", |server| !server.off().unwrap().contains("not there")).await;
    std::fs::write(&file, bytes).unwrap();
    server.until("it is mended", |server| server.off().is_none()).await;
    assert_eq!(server.readiness.check(), Ok(()));
    // The last roll with its receipt leaves no gap.
    let receipt = files(&lake).into_iter().find(|name| name.starts_with("_receipts/")).unwrap();
    let receipt = lake.join(receipt);
    let bytes = std::fs::read(&receipt).unwrap();
    std::fs::write(&receipt, b"{").unwrap();
    server.until("it is broken", |server| server.off().is_some()).await;
    std::fs::write(&receipt, bytes).unwrap();
    server.until("it is mended", |server| server.off().is_none()).await;
    std::fs::remove_file(&receipt).unwrap();
    server.until("it is gone", |server| server.off().is_some()).await;
    assert!(server.off().unwrap().contains("has landed the roll, and its receipt is not there"));
    server.ended().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lake_that_is_away_could_not_be_verified_and_is_not_damaged() {
    let dir = tempfile::tempdir().unwrap();
    let server = Running::start(verifying(&dir)).await;
    assert_eq!(server.put("{\"id\":\"a\"}\n").await, 200);
    landed(&dir, 1).await;
    server.until("it is well", |_| times(&dir).1 > 0).await;
    let (lake, away) = (dir.path().join("lake"), dir.path().join("away"));
    std::fs::rename(&lake, &away).unwrap();
    // As a mount point is without its file system.
    for is_empty in [false, true] {
        if is_empty {
            std::fs::create_dir(&lake).unwrap();
        }
        // One that has begun before may end well after.
        tokio::time::sleep(EVERY * 2).await;
        let (ran, well) = times(&dir);
        server.until("it has run", |_| times(&dir).0 > ran).await;
        assert_eq!((times(&dir).1, server.off()), (well, None));
    }
    std::fs::remove_dir(&lake).unwrap();
    std::fs::rename(&away, &lake).unwrap();
    let (_, well) = times(&dir);
    server.until("it is well again", |_| times(&dir).1 > well).await;
    server.ended().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn rolls_that_land_meanwhile_are_no_damage() {
    let dir = tempfile::tempdir().unwrap();
    let millisecond = Duration::from_millis(1);
    let settings = Settings { verify_every: Some(millisecond), ..verifying(&dir) };
    let server = Running::start(Settings { roll_age: millisecond * 20, ..settings }).await;
    let (began, mut runs, mut last) = (Instant::now(), 0, 0);
    for number in 0.. {
        if runs >= 10 && began.elapsed() > Duration::from_secs(3) {
            break;
        }
        let body = format!("{{\"id\":\"{number}\"}}\n{{broken\n");
        let request = server.client.put(format!("http://{}/visits", server.address)).body(body);
        assert_eq!(request.send().await.unwrap().status(), 200);
        assert_eq!(server.off(), None);
        let (ran, well) = times(&dir);
        assert_eq!(ran, well, "the last one is well");
        runs += i32::from(ran > last);
        last = ran;
        assert!(began.elapsed() < SOON);
        tokio::time::sleep(millisecond).await;
    }
    server.ended().await.unwrap();
    assert!(receipts(&dir).len() > 5);
}
