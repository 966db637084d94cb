//! Reading a lake: what is in it, whether every line is accounted for, and documents out of it.

pub mod inspect;
pub mod sample;
pub mod verify;
