//! The one module that knows every station.
//!
//! * [`serve`]: receiver and journal in front, the engine behind, until a signal.
//! * [`import`]: files instead of a receiver, the lake instead of the journal.
//! * `engine`: bodies in sequence order → decode (threads) → batch → encode → the lander.
//! * `feeding`: the thread that cuts bodies into jobs.
//! * `decoding`: the threads that decode, part by part.
//! * `open_roll`: what the open roll holds; finishing it.
//! * `files`: its Parquet files, and ending many of them side by side.
//! * `rejects`: its quarantine files.
//! * `spill`: rows of the open roll that wait on disk.
//! * `landing`: everything behind the journal of `serve`; begins the engine anew when it fails.
//! * `land`: seal → upload → receipt → committed, one roll after the other.
//! * `again`: a roll that is made again with bodies missing, held against what is in the lake.
//! * `tables`: what a table is landed by, and how a seal remembers it.
//!
//! A roll is sealed before anything of it has its final name. A roll that was sealed and not
//! committed is made again from the journal, with the settings in the seal, under the same names.
//! The engine keeps nothing that is not in the journal: when it fails (a full staging disk, say)
//! it is thrown away and begun anew from there.

mod again;
mod decoding;
mod engine;
mod feeding;
mod files;
mod import;
mod land;
mod landing;
mod open_roll;
mod rejects;
mod serve;
mod spill;
mod tables;
#[cfg(test)]
mod tests;

pub use import::{Replay, Replayed, give_up, import};
pub use serve::serve;
