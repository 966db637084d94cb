//! The real program with a body of a shape: what it took until the body had landed and the program
//! had ended.

use std::collections::HashSet;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::shape::{Form, Setup};

/// The time until a body has to have landed, on a machine that does other things as well.
const PATIENCE: Duration = Duration::from_secs(240);
/// Ticks of a processor's time a second, which are the same on every Linux.
const TICKS_PER_S: f64 = 100.0;

/// The cost of receiving and landing a body, without that of the start.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Cost {
    /// The answer's status; 0 for none.
    pub(crate) status: u16,
    /// Time on a processor, in the program and in the system.
    pub(crate) cpu_s: f64,
    /// Most resident memory since the start.
    pub(crate) peak_bytes: u64,
    /// Most bytes of files besides the journal at a time: staging and lake.
    pub(crate) disk_bytes: u64,
    /// Data files in the lake, in the end.
    pub(crate) files: usize,
    /// True if all has landed and the program has ended in order.
    pub(crate) landed: bool,
}

/// Room in the memory of the system from which on lakes are there.
const ROOM_BYTES: u64 = 1 << 30;

/// Returns a folder, in the memory of the system if there is room. On a disk, a file costs by what others did
/// before: for each file that is made, ext4 passes over the inodes that were removed in the last minutes, and
/// all tests together remove tens of thousands.
fn folder() -> TempDir {
    let memory = Path::new("/dev/shm");
    let room = rustix::fs::statvfs(memory).map_or(0, |of| of.f_bavail * of.f_frsize);
    let in_memory = if room >= ROOM_BYTES { TempDir::new_in(memory).ok() } else { None };
    in_memory.unwrap_or_else(|| TempDir::new().expect("a folder"))
}

/// Sends the body to a program of its own.
pub(crate) fn measure(form: Form, setup: Setup, body: &[u8]) -> Cost {
    let folder = folder();
    let mut running = Running::start(folder.path(), setup);
    let before_s = running.cpu_s();
    let path = match form {
        Form::Ndjson => "/plain",
        Form::Elasticsearch => "/elastic/_bulk",
    };
    let (stop, pid) = (AtomicBool::new(false), running.child.id());
    let mut cost = Cost::default();
    std::thread::scope(|scope| {
        let watch = scope.spawn(|| watch(pid, folder.path(), &stop));
        cost.status = send(running.port, path, body);
        running.terminate();
        let ended = running.wait_for_end();
        stop.store(true, Ordering::Relaxed);
        cost.cpu_s = running.cpu_s() - before_s;
        (cost.peak_bytes, cost.disk_bytes) = watch.join().expect("the watch");
        cost.files = data_files(&folder.path().join("lake"));
        cost.landed = ended && running.child.wait().expect("its end").success();
    });
    if !cost.landed {
        let log = fs::read_to_string(folder.path().join("log")).unwrap_or_default();
        eprintln!("{}", log.get(log.len().saturating_sub(2_000)..).unwrap_or(&log));
    }
    cost
}

/// A program that runs; it is ended with this.
struct Running {
    child: Child,
    port: u16,
}

impl Running {
    fn start(folder: &Path, setup: Setup) -> Running {
        fs::write(folder.join("settings.toml"), settings(folder, setup)).expect("the settings");
        let log = fs::File::create(folder.join("log")).expect("a log");
        let mut command = Command::new(program());
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("SESSIONLAKE_") {
                command.env_remove(name);
            }
        }
        let command = command
            .args(["serve", "--config", "settings.toml"])
            .current_dir(folder)
            .env("NO_COLOR", "1")
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a log"))
            .stderr(log);
        let child = command.spawn().expect("the program starts");
        let mut running = Running { child, port: 0 };
        let deadline = Instant::now() + PATIENCE;
        while running.port == 0 {
            let said = fs::read_to_string(folder.join("log")).unwrap_or_default();
            let port = said.split("http://127.0.0.1:").nth(1);
            let port = port.and_then(|text| text.split(|c: char| !c.is_ascii_digit()).next());
            running.port = port.and_then(|text| text.parse().ok()).unwrap_or(0);
            let ended = running.child.try_wait().expect("its state").is_some();
            assert!(!ended && Instant::now() < deadline, "it does not start: {said}");
            sleep(Duration::from_millis(5));
        }
        running
    }

    /// Returns the time on a processor so far, also of a process that has ended.
    fn cpu_s(&self) -> f64 {
        let stat =
            fs::read_to_string(format!("/proc/{}/stat", self.child.id())).expect("its state");
        let fields: Vec<&str> =
            stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
        let ticks = |at: usize| fields[at].parse::<f64>().expect("a number");
        (ticks(11) + ticks(12)) / TICKS_PER_S
    }

    fn terminate(&self) {
        let ended = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status();
        assert!(ended.expect("kill").success());
    }

    /// Waits until it has ended, and leaves its figures to be read. False if it did not in time.
    fn wait_for_end(&mut self) -> bool {
        let deadline = Instant::now() + PATIENCE;
        let state = format!("/proc/{}/stat", self.child.id());
        loop {
            let stat = fs::read_to_string(&state).expect("its state");
            if stat.rsplit(')').next().is_some_and(|rest| rest.starts_with(" Z")) {
                return true;
            }
            if Instant::now() > deadline {
                let _ = self.child.kill();
                return false;
            }
            sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Returns the program: the one of this build, unless the environment names another.
fn program() -> PathBuf {
    std::env::var_os("SESSIONLAKE_TEST_BIN")
        .map_or_else(|| env!("CARGO_BIN_EXE_sessionlake").into(), PathBuf::from)
}

/// Returns the settings. Only what a test needs, what the setup is about, and bodies that may come
/// without encoding at the size that they may have with one.
fn settings(folder: &Path, setup: Setup) -> String {
    let [state, lake] = ["state", "lake"].map(|name| format!("{:?}", folder.join(name)));
    let mut text = format!(
        "listen = \"127.0.0.1:0\"\nstate = {state}\nlake = {lake}\nbody_limit = \"256MiB\"\n\
         drain_timeout = \"1h\"\nbody_timeout = \"1h\"\nroll_age = \"1h\"\n"
    );
    match setup {
        Setup::Plain => {}
        Setup::Sealed => {
            fs::write(folder.join("key"), "a secret of more than thirty-two bytes, for a test")
                .expect("a key");
            let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
            fs::set_permissions(folder.join("key"), mode).expect("a mode");
            text += &format!("privacy_key = {:?}\n", folder.join("key"));
        }
        Setup::ByCountry => text += "partition = \"land={country}/date={startTime:%Y-%m-%d}\"\n",
    }
    text += "[[endpoint]]\nname = \"plain\"\npath = \"/plain\"\n[[endpoint]]\nname = \"elastic\"\n\
             path = \"/elastic\"\nform = \"elasticsearch\"\n";
    if setup == Setup::Sealed {
        text += "[privacy]\nip = \"truncate\"\nuserId = \"hash\"\n\
                 \"userActions.targetUrl\" = \"drop\"\n\"stringProperties.email\" = \"hash\"\n";
    }
    text
}

/// Sends a body and returns the status of the answer, or 0.
fn send(port: u16, path: &str, body: &[u8]) -> u16 {
    let answer = || {
        let mut socket = TcpStream::connect(("127.0.0.1", port))?;
        socket.set_read_timeout(Some(PATIENCE))?;
        let length = body.len();
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-ndjson\r\n\
             Content-Length: {length}\r\nConnection: close\r\n\r\n"
        );
        socket.write_all(head.as_bytes())?;
        // Where it is refused before it has come as a whole, the answer says so.
        let _ = socket.write_all(body);
        let mut answer = Vec::new();
        let _ = socket.read_to_end(&mut answer);
        std::io::Result::Ok(answer)
    };
    let answer = answer().unwrap_or_default();
    let status = answer.get(9..12).and_then(|digits| std::str::from_utf8(digits).ok());
    status.and_then(|digits| digits.parse().ok()).unwrap_or(0)
}

/// Returns the most memory of the process, and the most bytes of files, until it is stopped.
fn watch(pid: u32, folder: &Path, stop: &AtomicBool) -> (u64, u64) {
    let (mut memory, mut disk) = (0, 0);
    let folders = ["lake", "state/.sessionlake-staging"].map(|name| folder.join(name));
    loop {
        let last = stop.load(Ordering::Relaxed);
        let began = Instant::now();
        memory = memory.max(peak_bytes(pid).unwrap_or(0));
        disk = disk.max(bytes_below(&folders));
        if last {
            return (memory, disk);
        }
        sleep((began.elapsed() * 4).max(Duration::from_millis(5)));
    }
}

fn peak_bytes(pid: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    Some(line.split_whitespace().nth(1)?.parse::<u64>().ok()? << 10)
}

/// Returns the bytes of the files below some folders. A file with two names, as one that is landed from
/// the staging directory may have, counts once. What goes meanwhile is not counted.
fn bytes_below(folders: &[PathBuf]) -> u64 {
    let mut waiting = folders.to_vec();
    let mut seen = HashSet::new();
    let mut bytes = 0;
    while let Some(folder) = waiting.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            match entry.metadata() {
                Ok(found) if found.is_dir() => waiting.push(entry.path()),
                Ok(found) if seen.insert(found.ino()) => bytes += found.len(),
                _ => {}
            }
        }
    }
    bytes
}

fn data_files(folder: &Path) -> usize {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let files = |entry: fs::DirEntry| match entry.path() {
        path if path.is_dir() => data_files(&path),
        path => usize::from(path.extension().is_some_and(|extension| extension == "parquet")),
    };
    entries.map(files).sum()
}
