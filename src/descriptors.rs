//! Limits of the process: of descriptors (open files and sockets), with the connections that fit in it,
//! and none of its memory on disk.
//!
//! A process usually starts with a soft limit of 1,024 and a hard one that is far above. Beyond the
//! soft limit nothing can be opened: no connection, and no segment, staging file or request to the
//! lake either. So a command that serves raises the soft limit first, and takes only so many
//! connections that [`RESERVED`] descriptors are left for everything else.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Descriptors kept for journal, staging files, the lake, credentials and the runtime.
pub(crate) const RESERVED: u64 = 128;
/// The fewest connections that are taken, whatever the limit is.
pub(crate) const LEAST_CONNECTIONS: usize = 16;
/// The highest soft limit that is asked for. A hard limit may be a billion, or none.
const MOST: u64 = 1 << 20;
/// The highest soft limit that every macOS accepts, where a hard limit of none means less.
const SURE: u64 = 10_240;

/// Turns core dumps off: the memory of a process has keys, passwords and the bodies of senders in it. A
/// debugger of the same user may not look either; one of root may. What the system refuses is left.
pub(crate) fn no_core_dumps() {
    let Rlimit { maximum, .. } = getrlimit(Resource::Core);
    let _ = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum });
    // A handler that dumps are piped to is run whatever the limit is.
    #[cfg(target_os = "linux")]
    let _ = rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable);
}

/// Raises the soft limit to the hard one, as far as the system lets it. Returns the soft limit.
pub(crate) fn raise() -> u64 {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let soft = current.unwrap_or(MOST);
    for wanted in [maximum.unwrap_or(MOST).min(MOST), SURE] {
        let raised = Rlimit { current: Some(wanted), maximum };
        if wanted > soft && setrlimit(Resource::Nofile, raised).is_ok() {
            return wanted;
        }
    }
    soft
}

/// Returns how many of the `wanted` connections fit in the limit of descriptors `limit`, beside
/// `spare` connections of the receiver's own and the [`RESERVED`] descriptors; at least
/// [`LEAST_CONNECTIONS`].
#[must_use]
pub(crate) fn connections(wanted: usize, spare: usize, limit: u64) -> usize {
    let left = limit.saturating_sub(RESERVED).saturating_sub(spare as u64);
    let fit = usize::try_from(left).unwrap_or(usize::MAX).max(LEAST_CONNECTIONS);
    wanted.min(fit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_leave_descriptors_for_the_rest() {
        assert_eq!(connections(1024, 32, 1 << 20), 1024, "as configured");
        assert_eq!(connections(1024, 32, 1024), 864);
        assert_eq!(connections(1024, 32, 256), 96);
        assert_eq!(connections(1024, 32, 64), LEAST_CONNECTIONS);
        assert_eq!(connections(8, 32, 64), 8);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn there_are_no_core_dumps() {
        no_core_dumps();
        assert_eq!(getrlimit(Resource::Core).current, Some(0));
        let dumpable = rustix::process::dumpable_behavior().unwrap();
        assert_eq!(dumpable, rustix::process::DumpableBehavior::NotDumpable);
    }

    #[test]
    fn raising_twice_changes_nothing_more() {
        let raised = raise();
        assert!(raised >= getrlimit(Resource::Nofile).current.unwrap_or(raised));
        assert_eq!(raise(), raised);
    }
}
