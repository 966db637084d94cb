//! Documents back from a lake.
