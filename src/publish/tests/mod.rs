//! Everything behind the receiver, on a disk and a store that break.

mod apart;
mod doubles;
mod engine;
mod events;
mod formats;
mod harness;
mod identity;
mod landed;
mod lines;
mod partitions;
mod promotion;
mod regressions;
mod search;
mod stop;
pub(crate) mod store;
mod upgrade;
mod visible;
