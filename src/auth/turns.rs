//! The turns of passwords to be verified, since each costs a core for a while.
//!
//! - Few passwords are verified at a time, and few wait ([`MAX_WAITING`]).
//! - Peers that have sent a right password before come first, and are not held up by the rest.
//! - Of the others, [`GUESSES_PER_SECOND`] are verified in a second, however many addresses they come
//!   from; one that turns out to be right does not count. So a guesser with a network of
//!   machines guesses no faster than one with a few.
//! - Networks take turns: first those that had none, or not for the longest time. Among equals the
//!   last that came is first, since with too many of them the first ones time out in any case.
//!
//! Whose turn is next is a pure function of those that wait ([`Waiter::rank`]).

use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::oneshot;

use crate::peers::{Network, Peer};

/// The most passwords that wait.
const MAX_WAITING: usize = 256;
/// Wrong passwords of peers without a right one before, in a second, and at once.
pub(super) const GUESSES_PER_SECOND: f64 = 10.0;
pub(super) const GUESSES_AT_ONCE: f64 = 20.0;
/// Networks whose last turn is remembered; those without one are taken to have had none.
const MAX_NETWORKS: usize = 4096;
/// The interval at which one that waits looks whether it may be guessed again.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// The turns of passwords to be verified.
#[derive(Debug)]
pub(super) struct Turns {
    // A lock, held to look through those that wait.
    queue: Mutex<Queue>,
}

#[derive(Debug)]
struct Queue {
    free: usize,
    next: u64,
    waiting: Vec<Waiter>,
    /// The guesses that may be made now, and the time at which they were counted.
    guesses: f64,
    counted_at: Instant,
    /// The number of the last turn of a network.
    last_turns: HashMap<Network, u64>,
}

#[derive(Debug)]
struct Waiter {
    number: u64,
    peer: Peer,
    /// The peer has sent a right password before.
    is_proven: bool,
    give: oneshot::Sender<Turn>,
}

/// A turn, given back when it is dropped.
#[derive(Debug)]
pub(super) struct Turn {
    turns: Arc<Turns>,
    is_guess: bool,
    /// The receiver has gone before it got it.
    is_void: bool,
}

/// Removes from the queue one that waits no longer.
struct Waiting<'a> {
    turns: &'a Turns,
    number: u64,
}

impl Turns {
    /// Creates turns of which `at_once` are given at a time.
    pub(super) fn new(at_once: usize) -> Arc<Turns> {
        Arc::new(Turns {
            queue: Mutex::new(Queue {
                free: at_once.max(1),
                next: 1,
                waiting: Vec::new(),
                guesses: GUESSES_AT_ONCE,
                counted_at: Instant::now(),
                last_turns: HashMap::new(),
            }),
        })
    }

    /// Waits for the turn of `peer`. Returns `None` if too many wait that come before it.
    ///
    /// # Cancel safety
    /// Dropping the future leaves the queue.
    pub(super) async fn wait(self: &Arc<Self>, peer: Peer, is_proven: bool) -> Option<Turn> {
        let (give, mut turn) = oneshot::channel();
        let number = self.queue.lock().enter(peer, is_proven, give);
        let _waiting = Waiting { turns: self, number };
        loop {
            self.give_next(Instant::now());
            tokio::select! {
                biased;
                turn = &mut turn => return turn.ok(),
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
        }
    }

    #[cfg(test)]
    pub(super) fn guesses_left(&self) -> f64 {
        self.queue.lock().guesses
    }

    /// Gives the turns that are free.
    fn give_next(self: &Arc<Self>, now: Instant) {
        let mut queue = self.queue.lock();
        while let Some((waiter, is_guess)) = queue.take_next(now) {
            let turn = Turn { turns: Arc::clone(self), is_guess, is_void: false };
            if let Err(mut turn) = waiter.give.send(turn) {
                turn.is_void = true;
                queue.give_back(is_guess);
            }
        }
    }
}

impl Queue {
    /// Enters one that waits, in place of the last if too many do. Returns its number.
    fn enter(&mut self, peer: Peer, is_proven: bool, give: oneshot::Sender<Turn>) -> u64 {
        let number = self.next;
        self.next += 1;
        self.waiting.push(Waiter { number, peer, is_proven, give });
        if self.waiting.len() > MAX_WAITING {
            let ranks = self.waiting.iter().enumerate();
            let last = ranks.max_by_key(|(_, waiter)| waiter.rank(&self.last_turns));
            if let Some((last, _)) = last {
                self.waiting.swap_remove(last);
            }
        }
        number
    }

    /// Takes the next that may have a turn now, and whether its password counts as a guess.
    fn take_next(&mut self, now: Instant) -> Option<(Waiter, bool)> {
        if self.free == 0 {
            return None;
        }
        let since = now.saturating_duration_since(self.counted_at).as_secs_f64();
        self.guesses = (self.guesses + since * GUESSES_PER_SECOND).min(GUESSES_AT_ONCE);
        self.counted_at = now;
        let may_guess = self.guesses >= 1.0;
        let able = self.waiting.iter().enumerate().filter(|(_, w)| w.is_proven || may_guess);
        let (at, _) = able.min_by_key(|(_, waiter)| waiter.rank(&self.last_turns))?;
        let waiter = self.waiting.swap_remove(at);
        self.free -= 1;
        if !waiter.is_proven {
            self.guesses -= 1.0;
        }
        if self.last_turns.len() >= MAX_NETWORKS {
            let mut turns: Vec<u64> = self.last_turns.values().copied().collect();
            let (_, kept, _) = turns.select_nth_unstable(MAX_NETWORKS / 2);
            let kept = *kept;
            self.last_turns.retain(|_, turn| *turn > kept);
        }
        let turn = self.next;
        self.next += 1;
        self.last_turns.extend(waiter.peer.networks().map(|network| (network, turn)));
        let is_guess = !waiter.is_proven;
        Some((waiter, is_guess))
    }

    fn give_back(&mut self, is_guess: bool) {
        self.free += 1;
        if is_guess {
            self.guesses = (self.guesses + 1.0).min(GUESSES_AT_ONCE);
        }
    }
}

impl Waiter {
    /// Returns the rank among those that wait; the least is next.
    fn rank(&self, last_turns: &HashMap<Network, u64>) -> (bool, Vec<u64>, Reverse<u64>) {
        let last = |network| last_turns.get(&network).copied().unwrap_or_default();
        (!self.is_proven, self.peer.networks().map(last).collect(), Reverse(self.number))
    }
}

impl Turn {
    /// Records that the password was right: it was no guess.
    pub(super) fn was_right(&mut self) {
        if std::mem::take(&mut self.is_guess) {
            let mut queue = self.turns.queue.lock();
            queue.guesses = (queue.guesses + 1.0).min(GUESSES_AT_ONCE);
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if !self.is_void {
            self.turns.queue.lock().give_back(false);
            self.turns.give_next(Instant::now());
        }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.turns.queue.lock().waiting.retain(|waiter| waiter.number != self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(text: &str) -> Peer {
        Peer::of(text.parse().unwrap())
    }

    /// A queue in which the peers wait, in this order; an address with a `!` is proven.
    fn queue(waiting: &[&str]) -> Queue {
        let turns = Arc::into_inner(Turns::new(1)).unwrap();
        let mut queue = turns.queue.into_inner();
        for text in waiting {
            enter(&mut queue, text);
        }
        queue
    }

    fn enter(queue: &mut Queue, text: &str) {
        let (give, _) = oneshot::channel();
        queue.enter(peer(text.trim_end_matches('!')), text.ends_with('!'), give);
    }

    /// The peers in the order of their turns, each given back before the next.
    fn order(queue: &mut Queue, now: Instant) -> Vec<Peer> {
        let mut order = Vec::new();
        while let Some((waiter, _)) = queue.take_next(now) {
            order.push(waiter.peer);
            queue.give_back(false);
        }
        order
    }

    #[test]
    fn who_is_proven_comes_first_and_networks_take_turns() {
        let waiting =
            ["10.0.0.1", "10.0.0.2", "10.0.0.3", "192.0.2.1", "198.51.100.1!", "10.0.0.4!"];
        let mut queue = queue(&waiting);
        let now = Instant::now();
        let expected =
            ["10.0.0.4", "198.51.100.1", "192.0.2.1", "10.0.0.3", "10.0.0.2", "10.0.0.1"];
        assert_eq!(order(&mut queue, now), expected.map(peer));
        for again in ["10.0.0.5", "192.0.2.1", "192.0.2.2", "203.0.113.1"] {
            enter(&mut queue, again);
        }
        // That of 192.0.2.0/24 was before the last of 10.0.0.0/24.
        let expected = ["203.0.113.1", "192.0.2.2", "10.0.0.5", "192.0.2.1"];
        assert_eq!(order(&mut queue, now), expected.map(peer));
    }

    #[test]
    fn guesses_are_so_many_in_a_second_from_however_many_addresses() {
        let addresses: Vec<_> = (0..200).map(|n| format!("10.{n}.0.1")).collect();
        let mut queue = queue(&addresses.iter().map(String::as_str).collect::<Vec<_>>());
        let now = Instant::now();
        assert_eq!(order(&mut queue, now).len(), GUESSES_AT_ONCE as usize);
        assert_eq!(order(&mut queue, now + Duration::from_secs(1)).len(), 10);
        enter(&mut queue, "192.0.2.1!");
        assert_eq!(order(&mut queue, now + Duration::from_secs(1)), [peer("192.0.2.1")]);
        assert_eq!(order(&mut queue, now + Duration::from_secs(60)).len(), 20);
    }

    #[test]
    fn so_many_wait_and_a_crowd_pushes_nobody_out_but_its_own() {
        let crowd = (0..MAX_WAITING).map(|n| format!("10.0.{}.{}", n / 250, n % 250));
        let crowd: Vec<_> = crowd.collect();
        let mut queue = queue(&crowd.iter().map(String::as_str).collect::<Vec<_>>());
        let now = Instant::now();
        assert!(queue.take_next(now).is_some());
        queue.give_back(false);
        enter(&mut queue, "192.0.2.1");
        enter(&mut queue, "198.51.100.1!");
        enter(&mut queue, "10.0.0.7");
        assert_eq!(queue.waiting.len(), MAX_WAITING);
        assert!(queue.waiting.iter().any(|waiter| waiter.peer == peer("192.0.2.1")));
        let (next, _) = queue.take_next(now).unwrap();
        assert_eq!(next.peer, peer("198.51.100.1"));
    }

    #[tokio::test]
    async fn turns_that_are_dropped_or_not_taken_are_given_to_the_next() {
        let turns = Turns::new(1);
        let (one, other) = (peer("10.0.0.1"), peer("192.0.2.1"));
        let first = turns.wait(one, false).await.unwrap();
        let waits = tokio::time::timeout(LOOK_EVERY / 5, turns.wait(other, false)).await;
        assert!(waits.is_err());
        assert!(turns.queue.lock().waiting.is_empty());
        let second = tokio::spawn({
            let turns = Arc::clone(&turns);
            async move { turns.wait(other, false).await }
        });
        tokio::task::yield_now().await;
        drop(first);
        let mut second = second.await.unwrap().unwrap();
        let guesses = turns.queue.lock().guesses;
        second.was_right();
        second.was_right();
        assert!((turns.queue.lock().guesses - guesses - 1.0).abs() < 0.01);
        drop(second);
        assert_eq!(turns.queue.lock().free, 1);
    }
}
