//! Tests of the decoder as a whole.
