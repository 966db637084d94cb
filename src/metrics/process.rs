//! Metrics of the process, by the names that every Prometheus client has for them.
//!
//! They are read from `/proc` when they are asked for. On a system without it there are none.

use std::fmt::Write as _;
use std::fs;

use rustix::param::{clock_ticks_per_second, page_size};
use rustix::process::{Resource, getrlimit};

/// Name, kind and help of the metrics of the process.
pub(super) const ALL: [(&str, &str, &str); 7] = [
    ("process_cpu_seconds_total", "counter", "Processor time of the process, user and system"),
    ("process_resident_memory_bytes", "gauge", "Memory of the process that is in RAM"),
    ("process_virtual_memory_bytes", "gauge", "Address space of the process"),
    ("process_start_time_seconds", "gauge", "Time of the start of the process, Unix time"),
    ("process_threads", "gauge", "Threads of the process"),
    ("process_open_fds", "gauge", "Open files and sockets of the process"),
    ("process_max_fds", "gauge", "The most files and sockets that it may open"),
];

/// Renders them as Prometheus text.
pub(super) fn render(out: &mut String) {
    let values = values().unwrap_or_default();
    for ((name, kind, help), value) in ALL.iter().zip(values) {
        if let Some(value) = value {
            let _ = write!(out, "# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}\n\n");
        }
    }
}

/// Returns the values in the order of [`ALL`].
fn values() -> Option<[Option<f64>; 7]> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    // The second field is the program's name, in parentheses, and may hold anything.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    // Numbers of fields are those of proc(5), counted from 1; the third is the first here.
    let field = |number: usize| fields.get(number - 3)?.parse::<f64>().ok();
    let ticks = clock_ticks_per_second() as f64;
    let cpu = field(14).zip(field(15)).map(|(user, system)| (user + system) / ticks);
    let started = field(22).zip(boot_time()).map(|(ticks_on, boot)| boot + ticks_on / ticks);
    let open = fs::read_dir("/proc/self/fd").ok().map(|entries| entries.count() as f64 - 1.0);
    let most = getrlimit(Resource::Nofile).current.map(|most| most as f64);
    let resident = field(24).map(|pages| pages * page_size() as f64);
    Some([cpu, resident, field(23), started, field(20), open, most])
}

/// Returns the time at which the system started, Unix time.
fn boot_time() -> Option<f64> {
    let stat = fs::read_to_string("/proc/stat").ok()?;
    stat.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use crate::clock::{Clock as _, SystemClock};

    #[test]
    fn values_of_this_process_are_plausible() {
        let values = values().unwrap().map(Option::unwrap);
        let [cpu, resident, address_space, started, threads, open, most] = values;
        assert!((0.0..1e6).contains(&cpu), "{cpu}");
        assert!(resident > 1e6 && address_space >= resident, "{resident} {address_space}");
        let now = SystemClock.now().0 as f64 / 1e6;
        assert!((now - 86_400.0 * 30.0..now + 5.0).contains(&started), "{started} {now}");
        assert!(threads >= 1.0 && open >= 3.0 && most >= open, "{threads} {open} {most}");
        let mut text = String::new();
        render(&mut text);
        assert_eq!(text.matches("# TYPE process_").count(), ALL.len());
    }
}
