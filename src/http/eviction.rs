//! The connections that are closed when there is no room for another one.
//!
//! Room is made by those who hold the most: by the widest networks that have the most connections,
//! within them by the narrower ones, then by their peers. A pure function of the open connections.
//!
//! - Those without a request go first, the longest idle before others, and none that was opened or
//!   used a moment ago ([`GRACE`]; [`GRACE_OF_MANY`] for a peer with more than a quarter of all, and
//!   for networks with more than twice as many as the newcomer's).
//! - Those with a request (a body that comes slowly, an answer that is not read) only make room for
//!   a newcomer of a network with less than half as many, after [`GRACE_OF_REQUEST`], the longest
//!   first.
//! - A newcomer takes no room of networks that have fewer connections than its own.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::time::Duration;

use crate::peers::{Network, Peer};

/// The least idle time of a connection that is closed to make room.
const GRACE: Duration = Duration::from_secs(1);
/// The same for those who have many.
const GRACE_OF_MANY: Duration = Duration::from_millis(100);
/// The least time that a request has, if its network has more than twice as many connections as the
/// one that it makes room for.
const GRACE_OF_REQUEST: Duration = Duration::from_millis(250);

/// The idle connections of a network are left alone if so many times as many of another have requests
/// that would make room.
const FEW: usize = 8;

/// An open connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct Candidate {
    pub(super) number: u64,
    pub(super) peer: Peer,
    pub(super) usage: Usage,
}

/// The time for which a connection has had no request, or its oldest one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Usage {
    Idle(Duration),
    Busy(Duration),
}

/// The connections that make room for a newcomer.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Victims {
    pub(super) numbers: Vec<u64>,
    /// There are connections that make room for the newcomer now, or a tenth of a second later.
    pub(super) worth_waiting: bool,
}

/// Returns at most `most` connections to close. Without a newcomer only idle ones are.
pub(super) fn victims(open: &[Candidate], newcomer: Option<Peer>, most: usize) -> Victims {
    let shares = shares(open, newcomer);
    let mut found = Vec::new();
    let mut worth_waiting = false;
    for candidate in open {
        let Some(share) = shares.get(&candidate.peer) else { continue };
        let (time, grace) = match candidate.usage {
            Usage::Idle(_) if share.weight == Weight::Lighter => continue,
            Usage::Idle(idle) => (idle, if share.is_large { GRACE_OF_MANY } else { GRACE }),
            Usage::Busy(busy) if share.weight == Weight::Heavier => (busy, GRACE_OF_REQUEST),
            Usage::Busy(_) => continue,
        };
        // Others wait to be accepted behind a newcomer that waits.
        worth_waiting |= time >= grace || share.is_large;
        if time >= grace {
            let is_idle = matches!(candidate.usage, Usage::Idle(_));
            found.push((is_idle, share.held, time, candidate.number));
        }
    }
    // An idle one is enough, and a request is cut for want of any, or in place of an idle one whose
    // network has next to nothing.
    let busy = found.iter().filter(|(idle, ..)| !idle).map(|(_, [widest, ..], ..)| *widest);
    let busy = busy.max().unwrap_or_default();
    found.retain(|(idle, [widest, ..], ..)| !idle || widest * FEW >= busy);
    let idle = found.iter().any(|(idle, ..)| *idle);
    found.retain(|(is_idle, ..)| *is_idle == idle);
    found.sort_unstable_by(|a, b| b.cmp(a));
    let numbers = found.into_iter().take(most).map(|(.., number)| number).collect();
    Victims { numbers, worth_waiting }
}

/// The connections of a network, compared with those of the newcomer's network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Weight {
    Lighter,
    Comparable,
    Heavier,
}

/// The connections of a peer and its networks.
struct Share {
    /// Those of its networks, the widest first. The last is repeated for IPv4.
    held: [usize; 3],
    weight: Weight,
    /// It is of a heavier network than the newcomer, or has more than a quarter of all.
    is_large: bool,
}

/// Returns the share of each peer.
fn shares(open: &[Candidate], newcomer: Option<Peer>) -> HashMap<Peer, Share> {
    let mut peers: HashMap<Peer, usize> = HashMap::new();
    for candidate in open {
        *peers.entry(candidate.peer).or_default() += 1;
    }
    let mut networks: HashMap<Network, usize> = HashMap::new();
    for (peer, held) in &peers {
        for network in peer.networks() {
            *networks.entry(network).or_default() += held;
        }
    }
    let held = |network| networks.get(&network).copied().unwrap_or_default();
    let share = |(peer, of_peer): (Peer, usize)| {
        let mut all = [of_peer; 3];
        for (to, network) in all.iter_mut().zip(peer.networks()) {
            *to = held(network);
        }
        // The widest networks that the two do not share are compared.
        let weight = newcomer.map_or(Weight::Comparable, |newcomer| {
            let mut pairs = peer.networks().zip(newcomer.networks());
            let differ = pairs.find(|(network, of_newcomer)| network != of_newcomer);
            differ.map_or(Weight::Comparable, |(one, other)| Weight::of(held(one), held(other)))
        });
        let is_large = weight == Weight::Heavier || of_peer * 4 > open.len();
        (peer, Share { held: all, weight, is_large })
    };
    peers.into_iter().map(share).collect()
}

impl Weight {
    /// Compares `held` connections with those that the newcomer's network would have.
    fn of(held: usize, of_newcomer: usize) -> Weight {
        match held.cmp(&of_newcomer) {
            Ordering::Less => Weight::Lighter,
            _ if held > 2 * (of_newcomer + 1) => Weight::Heavier,
            _ => Weight::Comparable,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(text: &str) -> Peer {
        Peer::of(text.parse().unwrap())
    }

    fn idle(seconds: f64) -> Usage {
        Usage::Idle(Duration::from_secs_f64(seconds))
    }

    fn busy(seconds: f64) -> Usage {
        Usage::Busy(Duration::from_secs_f64(seconds))
    }

    fn open(connections: &[(&str, Usage)]) -> Vec<Candidate> {
        let numbered = connections.iter().zip(1..);
        numbered
            .map(|((address, usage), number)| Candidate {
                number,
                peer: peer(address),
                usage: *usage,
            })
            .collect()
    }

    #[track_caller]
    fn assert_victims(
        connections: &[(&str, Usage)],
        newcomer: Option<&str>,
        most: usize,
        expected: &[u64],
    ) {
        let found = victims(&open(connections), newcomer.map(peer), most);
        assert_eq!(found.numbers, expected);
    }

    #[test]
    fn the_longest_idle_of_the_peer_that_has_the_most_makes_room() {
        let connections = [
            ("192.0.2.1", idle(50.0)),
            ("192.0.2.2", idle(2.0)),
            ("192.0.2.2", idle(3.0)),
            ("192.0.2.2", busy(4.0)),
        ];
        assert_victims(&connections, None, 1, &[3]);
        assert_victims(&connections, None, 9, &[3, 2, 1]);
    }

    #[test]
    fn a_network_of_many_peers_makes_room_before_a_peer_that_has_some() {
        let connections = [
            ("10.0.0.1", idle(2.0)),
            ("10.0.0.2", idle(3.0)),
            ("10.0.0.3", idle(4.0)),
            ("192.0.2.1", idle(50.0)),
            ("192.0.2.1", idle(60.0)),
        ];
        assert_victims(&connections, Some("198.51.100.1"), 3, &[3, 2, 1]);
        let v6 = [
            ("2001:db8:1:100::1", idle(2.0)),
            ("2001:db8:1:101::1", idle(3.0)),
            ("2001:db8:1:200::1", idle(4.0)),
            ("2001:db8:2::1", idle(50.0)),
        ];
        assert_victims(&v6, Some("192.0.2.1"), 9, &[2, 1, 3, 4]);
    }

    #[test]
    fn who_came_a_moment_ago_is_spared() {
        assert_victims(&[("10.0.0.1", idle(0.2)); 8], None, 1, &[8]);
        let addresses: Vec<_> = (0..8).map(|n| format!("10.0.{n}.1")).collect();
        let mut connections: Vec<_> = addresses.iter().map(|a| (a.as_str(), idle(0.2))).collect();
        assert_victims(&connections, None, 8, &[]);
        connections.push(("10.0.9.1", idle(1.0)));
        assert_victims(&connections, None, 8, &[9]);
        assert_victims(&[("10.0.0.1", idle(0.05))], None, 1, &[]);
        let fresh = open(&[("10.0.0.1", idle(0.05)); 4]);
        assert!(victims(&fresh, Some(peer("192.0.2.1")), 1).worth_waiting);
        let of_many = open(&connections);
        assert!(!victims(&of_many[..8], Some(peer("192.0.2.1")), 1).worth_waiting);
    }

    #[test]
    fn requests_make_room_only_for_who_has_much_less() {
        let mut connections = vec![("10.0.0.1", busy(0.3)), ("10.0.0.2", busy(0.5))];
        connections.push(("10.0.0.2", busy(0.2)));
        assert_victims(&connections, Some("192.0.2.1"), 9, &[2, 1]);
        assert_victims(&connections, Some("10.0.0.1"), 9, &[]);
        assert_victims(&connections, Some("10.0.0.2"), 9, &[]);
        assert_victims(&connections, None, 9, &[]);
        connections.push(("192.0.2.1", busy(9.0)));
        assert_victims(&connections, Some("192.0.2.1"), 9, &[]);
        assert!(!victims(&open(&connections), Some(peer("192.0.2.1")), 9).worth_waiting);
        connections.push(("198.51.100.1", idle(2.0)));
        assert_victims(&connections, Some("203.0.113.1"), 9, &[5]);
        connections.extend([("10.0.0.3", busy(0.1)); 6]);
        assert_victims(&connections, Some("203.0.113.1"), 1, &[2]);
    }

    #[test]
    fn a_crowd_takes_no_room_of_who_has_less() {
        let mut connections = vec![("10.0.0.1", busy(9.0)); 8];
        connections.push(("192.0.2.1", idle(70.0)));
        assert_victims(&connections, Some("10.0.0.1"), 9, &[]);
        assert_victims(&connections, Some("192.0.2.2"), 9, &[9]);
        connections.push(("10.0.0.2", idle(2.0)));
        assert_victims(&connections, Some("10.0.0.3"), 9, &[10]);
    }
}
