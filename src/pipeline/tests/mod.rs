//! The way behind the receiver, on a disk and a store that break.

mod engine;
mod named;
mod search;
mod store;
mod world;
