//! The memory that the system lets this process have: the limit of its control group, of either version.
//!
//! A process that needs more is killed, without a word in its own log. So a start compares its budgets
//! with the limit, and says what does not fit. Limits of processors need nothing of that kind: the
//! standard library's number of cores, from which all thread pools take theirs, heeds them.
//!
//! A limit that cannot be found out counts as none.

use std::fs;
use std::path::{Path, PathBuf};

/// The least memory for which the program is made. Below it, few large bodies at a time can end it.
pub(crate) const FLOOR_BYTES: u64 = 512 << 20;
/// Limits from here on are none: version 1 writes its lack of one as a large number.
const NONE_FROM: u64 = 1 << 60;

/// Returns the memory limit of this process in bytes, if it has one.
pub(crate) fn memory_limit() -> Option<u64> {
    let groups = fs::read_to_string("/proc/self/cgroup").ok()?;
    limit_in(Path::new("/sys/fs/cgroup"), &groups)
}

/// Returns the least limit of the groups that a process is in, and of those above them. `groups` is the
/// text of its `/proc/<pid>/cgroup`.
fn limit_in(root: &Path, groups: &str) -> Option<u64> {
    let lines = groups.lines().filter_map(|line| {
        let (_, rest) = line.split_once(':')?;
        rest.split_once(':')
    });
    let limits = lines.flat_map(|(controllers, path)| {
        let (at, file) = match controllers.split(',').any(|name| name == "memory") {
            true => (root.join("memory"), "memory.limit_in_bytes"),
            false if controllers.is_empty() => (root.to_owned(), "memory.max"),
            false => return Vec::new(),
        };
        // Within a container the path may be that outside: what is not there is passed over, and the
        // root of the mount is the container's group.
        let within = at.join(path.trim_start_matches('/'));
        let groups = within.ancestors().take_while(|group| group.starts_with(&at));
        groups.filter_map(|group| limit_of(group.join(file))).collect()
    });
    limits.min()
}

fn limit_of(file: PathBuf) -> Option<u64> {
    let bytes: u64 = fs::read_to_string(file).ok()?.trim().parse().ok()?;
    (bytes < NONE_FROM).then_some(bytes)
}

/// Budgets of memory, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Budgets {
    /// That of rows (the setting `memory`).
    pub(crate) rows_bytes: u64,
    /// That of bodies that are being received.
    pub(crate) bodies_bytes: u64,
}

/// Returns budgets for a process with a limit below the floor; `None` for one that the usual budgets are
/// made for.
///
/// Half of the limit is left for what they do not count: the program itself, encoders, the journal's copies,
/// and memory that the allocator keeps. Below the least of the settings it is less.
pub(crate) fn budgets(limit_bytes: u64) -> Option<Budgets> {
    (limit_bytes < FLOOR_BYTES).then(|| Budgets {
        rows_bytes: (limit_bytes / 4).max(64 << 20),
        bodies_bytes: (limit_bytes / 4).max(32 << 20),
    })
}

/// Returns what does not fit in a limit of memory, and what to do, if something does not: `rows_bytes`
/// is the budget of rows (the setting `memory`), `bodies_bytes` that of bodies that are being received.
pub(crate) fn misfit(limit_bytes: u64, rows_bytes: u64, bodies_bytes: u64) -> Option<String> {
    let (limit, rows, bodies) = (limit_bytes >> 20, rows_bytes >> 20, bodies_bytes >> 20);
    let needed = rows + bodies;
    if limit < needed {
        let fits = limit.saturating_sub(bodies).max(64);
        return Some(format!(
            "the system ends this process past {limit} MiB of memory (the limit of its control group), \
             and its budgets can come to {needed} MiB: {rows} for rows (memory), {bodies} for bodies \
             that are being received; raise the limit, or lower memory (to {fits}MiB) and the senders' \
             max_connections and body_limit"
        ));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(root: &Path, file: &str, text: &str) {
        let path = root.join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    #[test]
    fn the_least_limit_up_to_the_root_counts_in_either_version() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        assert_eq!(limit_in(root, "0::/pod/one\n"), None);
        put(root, "pod/one/memory.max", "max\n");
        assert_eq!(limit_in(root, "0::/pod/one\n"), None);
        put(root, "pod/memory.max", "1073741824\n");
        assert_eq!(limit_in(root, "0::/pod/one\n"), Some(1 << 30));
        put(root, "pod/one/memory.max", "536870912\n");
        assert_eq!(limit_in(root, "0::/pod/one\n"), Some(512 << 20));
        // A namespace whose path means nothing here.
        put(root, "memory.max", "268435456\n");
        assert_eq!(limit_in(root, "0::/../elsewhere\n"), Some(256 << 20));

        let one = tempfile::tempdir().unwrap();
        let groups = "4:cpu,cpuacct:/a\n3:hugetlb,memory:/a/b\n0::/\n";
        put(one.path(), "memory/memory.limit_in_bytes", "9223372036854771712\n");
        assert_eq!(limit_in(one.path(), groups), None);
        put(one.path(), "memory/a/b/memory.limit_in_bytes", "314572800\n");
        assert_eq!(limit_in(one.path(), groups), Some(300 << 20));
        assert_eq!(limit_in(one.path(), "nonsense"), None);
    }

    #[test]
    fn budgets_that_do_not_fit_are_told_with_figures_and_advice() {
        let (mib, gib) = (1 << 20, 1 << 30);
        assert_eq!(misfit(512 * mib, 256 * mib, 256 * mib), None);
        assert_eq!(misfit(4 * gib, 256 * mib, 256 * mib), None);
        let said = misfit(300 * mib, 256 * mib, 256 * mib).unwrap();
        assert!(said.contains("past 300 MiB") && said.contains("can come to 512 MiB"), "{said}");
        assert!(said.contains("lower memory (to 64MiB)"), "{said}");
        let said = misfit(2 * gib, 2 * gib, 256 * mib).unwrap();
        assert!(said.contains("lower memory (to 1792MiB)"), "{said}");
    }
}
