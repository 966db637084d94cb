//! Drift of the format, as of a later exporter or a broken one: fields that no schema has, and
//! values of the wrong type. Never in the fields of a session's id.

/// Number of kinds of drift; a session has at most one.
pub(super) const KINDS: u32 = 10;

/// A new text field of the session.
pub(super) const NEW_FIELD: u32 = 0;
/// A new object of the session.
pub(super) const NEW_OBJECT: u32 = 1;
/// A new field of the first user action.
pub(super) const NEW_ACTION_FIELD: u32 = 2;
/// `duration` as text.
pub(super) const TEXT_DURATION: u32 = 3;
/// `bounce` as a number.
pub(super) const NUMBER_BOUNCE: u32 = 4;
/// `userActionCount` with a fraction.
pub(super) const FRACTION_COUNT: u32 = 5;
/// `screenWidth` as text.
pub(super) const TEXT_WIDTH: u32 = 6;
/// `networkTime` of the first user action as text.
pub(super) const TEXT_NETWORK: u32 = 7;
/// `endTime` as an ISO date.
pub(super) const ISO_END: u32 = 8;
/// `events` as an object.
pub(super) const OBJECT_EVENTS: u32 = 9;
