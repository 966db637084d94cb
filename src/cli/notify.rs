//! Messages to a service manager, by the protocol of systemd's `sd_notify`: datagrams to the socket that
//! `NOTIFY_SOCKET` names. Without it nothing is sent.
//!
//! | message | when |
//! |---|---|
//! | `READY=1` | once, when the server takes bodies for the first time |
//! | `STATUS=` | at each look, once a second or more often, that finds another sentence of state |
//! | `EXTEND_TIMEOUT_USEC=` | every 5 s of a start and of a stop, which take as long as the journal and the lake need |
//! | `WATCHDOG=1` | at half of `WATCHDOG_USEC`, while the server's own loop runs |
//! | `STOPPING=1` | once, at the first signal to stop |
//!
//! A message that cannot be sent is lost: a server does not end because nobody listens. The watchdog is
//! not fed while the runtime or the server's loop stands still. A disk or a store that hangs does not
//! stop these: a restart would not mend it, and is no answer to it.

use std::convert::Infallible;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::{Duration, Instant};

use crate::config::Environment;
use crate::status::{Readiness, Stage};

/// The interval of messages about a start or a stop, and the time that each of them asks for.
const EXTEND_EVERY: Duration = Duration::from_secs(5);
const EXTEND_BY: Duration = Duration::from_secs(30);
/// The longest interval at which the state is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The service manager, if there is one.
#[derive(Debug, Default)]
pub(super) struct Notifier {
    socket: Option<(UnixDatagram, SocketAddr)>,
    watchdog: Option<Duration>,
}

impl Notifier {
    /// Finds the service manager by the variables of the process.
    pub(super) fn of(environment: &Environment) -> Notifier {
        let address = environment.foreign("NOTIFY_SOCKET").and_then(address);
        let socket = address.and_then(|address| Some((UnixDatagram::unbound().ok()?, address)));
        if let Some((socket, _)) = &socket {
            // A manager that does not read must not hold the server up.
            let _ = socket.set_nonblocking(true);
        }
        let number = |name| environment.foreign(name)?.to_str()?.parse::<u64>().ok();
        let is_ours = number("WATCHDOG_PID").is_none_or(|pid| pid == u64::from(std::process::id()));
        let watchdog = number("WATCHDOG_USEC").filter(|usec| *usec > 0 && is_ours);
        Notifier { socket, watchdog: watchdog.map(Duration::from_micros) }
    }

    /// Tells of the server's state. Never returns.
    ///
    /// # Cancel safety
    /// Dropped, nothing more is told.
    pub(super) async fn run(&self, readiness: &Readiness) -> Infallible {
        let half = self.watchdog.map(|watchdog| watchdog / 2);
        let tick = half.map_or(LOOK_EVERY, |half| (half / 2).min(LOOK_EVERY));
        let mut told = Told::default();
        let mut fed: Option<(Instant, u64)> = None;
        loop {
            for message in told.news(readiness, Instant::now()) {
                self.send(&message);
            }
            if let Some(half) = half {
                let beats = readiness.beats();
                // The next look would come too late.
                let is_due = fed.is_none_or(|(at, _)| at.elapsed() + tick > half);
                if is_due && fed.is_none_or(|(_, before)| before != beats) {
                    self.send("WATCHDOG=1");
                    fed = Some((Instant::now(), beats));
                }
            }
            // A stop may take less than a tick.
            tokio::select! {
                () = tokio::time::sleep(tick) => {}
                () = readiness.next_stage() => {}
            }
        }
    }

    fn send(&self, message: &str) {
        if let Some((socket, address)) = &self.socket {
            let _ = socket.send_to_addr(message.as_bytes(), address);
        }
    }
}

/// Returns the address of a socket: a path, or after an `@` a name without one.
fn address(name: &OsStr) -> Option<SocketAddr> {
    match name.as_bytes().split_first() {
        Some((b'@', name)) => abstract_address(name),
        Some((b'/', _)) => SocketAddr::from_pathname(name).ok(),
        _ => None,
    }
}

/// Returns the address of a socket that has a name and no path.
#[cfg(target_os = "linux")]
fn abstract_address(name: &[u8]) -> Option<SocketAddr> {
    use std::os::linux::net::SocketAddrExt as _;
    SocketAddr::from_abstract_name(name).ok()
}

#[cfg(not(target_os = "linux"))]
fn abstract_address(_: &[u8]) -> Option<SocketAddr> {
    None
}

/// The messages that were sent already.
#[derive(Debug, Default)]
struct Told {
    is_ready: bool,
    is_stopping: bool,
    status: String,
    extended: Option<Instant>,
}

impl Told {
    /// Returns the messages that are due.
    fn news(&mut self, readiness: &Readiness, now: Instant) -> Vec<String> {
        let (stage, mut news) = (readiness.stage(), Vec::new());
        match stage {
            Stage::Running if !self.is_ready => {
                self.is_ready = true;
                news.push("READY=1".to_owned());
            }
            Stage::Stopping(_) if !self.is_stopping => {
                self.is_stopping = true;
                news.push("STOPPING=1".to_owned());
            }
            _ => {}
        }
        let is_due = self.extended.is_none_or(|at| now.duration_since(at) >= EXTEND_EVERY);
        if stage == Stage::Running {
            self.extended = None;
        } else if is_due {
            self.extended = Some(now);
            news.push(format!("EXTEND_TIMEOUT_USEC={}", EXTEND_BY.as_micros()));
        }
        let status = readiness.sentence();
        if status != self.status {
            news.push(format!("STATUS={status}"));
            self.status = status;
        }
        news
    }
}

#[cfg(test)]
mod tests {
    use std::os::linux::net::SocketAddrExt as _;

    use super::*;

    fn environment(pairs: &[(&str, &str)]) -> Environment {
        Environment::new(pairs.iter().copied())
    }

    /// Longer than anything here takes.
    const SOON: Duration = Duration::from_secs(30);

    /// Returns the next message that is none to the watchdog, and the number of those before it.
    async fn heard(socket: &UnixDatagram) -> (String, usize) {
        let (until, mut fed, mut buffer) = (Instant::now() + SOON, 0, [0; 4096]);
        while Instant::now() < until {
            match socket.recv(&mut buffer) {
                Ok(len) if buffer.starts_with(b"WATCHDOG=1") && len == 10 => fed += 1,
                Ok(len) => return (String::from_utf8(buffer[..len].to_vec()).unwrap(), fed),
                Err(_) => tokio::time::sleep(Duration::from_millis(2)).await,
            }
        }
        panic!("nothing was heard");
    }

    #[tokio::test]
    async fn a_life_is_told_to_sockets_of_either_kind() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notify");
        let name = format!("sessionlake-test-{}", std::process::id());
        let addresses = [
            (path.to_str().unwrap().to_owned(), SocketAddr::from_pathname(&path).unwrap()),
            (format!("@{name}"), SocketAddr::from_abstract_name(&name).unwrap()),
        ];
        for (variable, address) in addresses {
            let socket = UnixDatagram::bind_addr(&address).unwrap();
            socket.set_nonblocking(true).unwrap();
            let pid = std::process::id().to_string();
            let notifier = Notifier::of(&environment(&[
                ("NOTIFY_SOCKET", &variable),
                ("WATCHDOG_USEC", "40000"),
                ("WATCHDOG_PID", &pid),
            ]));
            let readiness = Readiness::new();
            readiness.set_stage(Stage::Starting("replaying the journal: 37 %".into()));
            let life = async {
                let said = async |expected: &str| {
                    let (message, fed) = heard(&socket).await;
                    assert_eq!(message, expected);
                    fed
                };
                said("EXTEND_TIMEOUT_USEC=30000000").await;
                said("STATUS=starting: replaying the journal: 37 %").await;
                // Nothing beats.
                tokio::time::sleep(Duration::from_millis(200)).await;
                readiness.set_stage(Stage::Running);
                assert_eq!(said("READY=1").await, 1, "fed once, and not without a beat");
                said("STATUS=takes bodies").await;
                for _ in 0..20 {
                    readiness.beat();
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                readiness.set_stage(Stage::Stopping("2 bodies wait".into()));
                let fed = said("STOPPING=1").await;
                assert!((3..=22).contains(&fed), "{fed} in 400 ms or more, each 20 ms");
                said("EXTEND_TIMEOUT_USEC=30000000").await;
                said("STATUS=stopping: 2 bodies wait").await;
            };
            tokio::select! {
                () = life => {}
                never = notifier.run(&readiness) => match never {},
            }
        }
    }

    #[test]
    fn nobody_is_told_without_a_socket_and_no_watchdog_of_another_process_is_fed() {
        let none = Notifier::of(&environment(&[]));
        assert!(none.socket.is_none() && none.watchdog.is_none());
        none.send("READY=1");
        let other = Notifier::of(&environment(&[
            ("NOTIFY_SOCKET", "relative"),
            ("WATCHDOG_USEC", "100"),
            ("WATCHDOG_PID", "1"),
        ]));
        assert!(other.socket.is_none() && other.watchdog.is_none());
        let away = Notifier::of(&environment(&[("NOTIFY_SOCKET", "/nowhere/at/all")]));
        away.send("READY=1");
    }

    #[test]
    fn a_long_start_asks_for_time_again_and_again() {
        let (readiness, began) = (Readiness::new(), Instant::now());
        readiness.set_stage(Stage::Starting("opening".into()));
        let mut told = Told::default();
        let mut asked = 0;
        for second in 0..20 {
            let news = told.news(&readiness, began + Duration::from_secs(second));
            asked += news.iter().filter(|news| news.starts_with("EXTEND_TIMEOUT_USEC=")).count();
        }
        assert_eq!(asked, 4);
    }
}
