//! The long search. It runs when `SESSIONLAKE_SHAPES_MINUTES` says for how long.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::evolve::{Dice, child};
use crate::receiver::{Cost, measure};
use crate::shape::Shape;
use crate::{Shares, Usual, corpus, line, now_ms};

/// Bytes of a body at which shapes are compared.
const SIZE: usize = 2_000_000;
/// Bytes at which the worst are tried again: what grows faster than its bytes shows here.
const LARGE: usize = 48_000_000;
/// Steps between such trials.
const STEPS_BETWEEN_LARGE: u64 = 25;
/// Shapes that have children, by what they cost.
const PARENTS: usize = 10;

struct Tried {
    shape: Shape,
    shares: Shares,
    /// The shape of the corpus that it comes from: each of them has one place.
    family: usize,
    large: bool,
}

fn minutes() -> Option<f64> {
    std::env::var("SESSIONLAKE_SHAPES_MINUTES").ok().map(|text| text.parse().expect("minutes"))
}

fn seed() -> u64 {
    std::env::var("SESSIONLAKE_SEARCH_SEED").map_or(1, |text| text.parse().expect("a number"))
}

#[test]
fn the_search_finds_no_shape_beyond_the_bounds() {
    let Some(minutes) = minutes() else {
        println!(
            "not searched: tests/run shapes searches for an hour (SESSIONLAKE_SHAPES_MINUTES)"
        );
        return;
    };
    let mut search = Search::new();
    println!("usual: {:?}", search.usual);
    for (family, shape) in corpus().into_iter().enumerate() {
        search.evaluate(shape, family, SIZE);
    }
    let until = Instant::now() + Duration::from_secs_f64(minutes * 60.0);
    while Instant::now() < until {
        search.step();
    }
    search.report();
    let found = search.found;
    assert!(found.is_empty(), "{} shapes beyond a bound:\n{}", found.len(), found.join("\n"));
}

struct Search {
    dice: Dice,
    usual: Usual,
    /// The worst of each family, by what it costs: CPU, disk, memory.
    worst: [BTreeMap<usize, Tried>; 3],
    steps: u64,
    found: Vec<String>,
}

impl Search {
    fn new() -> Search {
        let usual = Usual::measure();
        Search {
            dice: Dice(seed() << 32),
            usual,
            worst: Default::default(),
            steps: 0,
            found: Vec::new(),
        }
    }

    /// One child of some of the worst; now and then one of the worst as a large body.
    fn step(&mut self) {
        self.steps += 1;
        if self.steps.is_multiple_of(STEPS_BETWEEN_LARGE) {
            return self.try_large();
        }
        let (parent, family) = self.pick();
        let (other, _) = self.pick();
        let child = child(&mut self.dice, &parent, &other);
        self.evaluate(child, family, SIZE);
        if self.steps.is_multiple_of(100) {
            self.report();
        }
    }

    /// Returns one of the worst, the very worst most often.
    fn pick(&mut self) -> (Shape, usize) {
        let by = self.dice.below(3);
        let mut all: Vec<&Tried> = self.worst[by].values().collect();
        all.sort_by(|a, b| share(&b.shares, by).total_cmp(&share(&a.shares, by)));
        // Any family now and then: what costs little may be a step from what costs much.
        let most = if self.dice.one_in(4) { all.len() } else { PARENTS.min(all.len()) };
        let at = self.dice.below(most).min(self.dice.below(most));
        (all[at].shape.clone(), all[at].family)
    }

    fn try_large(&mut self) {
        for by in 0..3 {
            let next = self.worst[by].values_mut().filter(|tried| !tried.large);
            let worst = next.max_by(|a, b| share(&a.shares, by).total_cmp(&share(&b.shares, by)));
            if let Some(tried) = worst {
                tried.large = true;
                let (shape, family) = (tried.shape.clone(), tried.family);
                self.evaluate(shape, family, LARGE);
            }
        }
    }

    fn evaluate(&mut self, shape: Shape, family: usize, size: usize) {
        let body = shape.body(size, now_ms());
        if body.is_empty() {
            return;
        }
        let mut cost = measure(shape.form, shape.setup, &body);
        let mut shares = self.shares(&cost, &shape, body.len());
        let is_wrong =
            |cost: &Cost, shares: &Shares| !cost.landed || !shares.beyond(1.0).is_empty();
        if is_wrong(&cost, &shares) {
            // Something else may have had the machine.
            cost = measure(shape.form, shape.setup, &body);
            let again = self.shares(&cost, &shape, body.len());
            shares.cpu = shares.cpu.min(again.cpu);
        }
        if is_wrong(&cost, &shares) {
            let text = format!("{} bytes: {}", body.len(), line(&shape, &cost, &shares));
            println!("FOUND {text}");
            self.found.push(text);
        }
        if size != SIZE {
            return;
        }
        for by in 0..3 {
            let place = self.worst[by].get(&family);
            if place.is_none_or(|there| share(&there.shares, by) < share(&shares, by)) {
                let tried = Tried { shape: shape.clone(), shares, family, large: false };
                self.worst[by].insert(family, tried);
            }
        }
    }

    fn shares(&self, cost: &Cost, shape: &Shape, body_bytes: usize) -> Shares {
        Shares::of(cost, shape.setup, body_bytes, self.usual)
    }

    fn report(&self) {
        println!("{} steps, {} beyond a bound", self.steps, self.found.len());
        for (by, name) in ["CPU", "disk", "memory"].into_iter().enumerate() {
            let mut all: Vec<&Tried> = self.worst[by].values().collect();
            all.sort_by(|a, b| share(&b.shares, by).total_cmp(&share(&a.shares, by)));
            for Tried { shape, shares, .. } in all.into_iter().take(5) {
                println!("  {name} {:.2}: {shape}", share(shares, by));
            }
        }
    }
}

fn share(shares: &Shares, by: usize) -> f64 {
    [shares.cpu, shares.disk, shares.memory][by]
}
