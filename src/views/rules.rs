//! How the parts of a session become one row, column by column.
//!
//! Parts stand in the order of `partNumber` (null first), then of `startTime`, then as they were
//! received. A column of a built-in schema has its line in [`RULES`]; a column that has none goes by its
//! type: booleans by [`Rule::Any`], lists by [`Rule::Joined`], maps by [`Rule::Merged`], others by
//! [`Rule::Last`].

use crate::schema::{Field, Kind};

/// The way of a column's values of several parts to one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rule {
    /// All parts have the same, by which they belong together.
    Key,
    /// The smallest.
    First,
    /// The greatest.
    Greatest,
    /// The sum.
    Sum,
    /// True if one is true.
    Any,
    /// True if all are true.
    All,
    /// That of the last part that has one.
    Last,
    /// Lists one after the other, in the order of parts.
    Joined,
    /// The entries of all maps; of equal keys, that of the last part.
    Merged,
    /// From the first start to the last end in ms; of a single part what was exported.
    Span,
}

/// The rule of each column of `user_sessions`.
pub(super) const RULES: &[(&str, Rule)] = &[
    ("tenantId", Rule::Key),
    ("userSessionId", Rule::Key),
    ("partNumber", Rule::Greatest),
    ("startTime", Rule::First),
    ("endTime", Rule::Greatest),
    ("duration", Rule::Span),
    ("internalUserId", Rule::Last),
    ("userId", Rule::Last),
    ("userType", Rule::Last),
    ("applicationType", Rule::Last),
    // A session in parts is no bounce because its last part has one action.
    ("bounce", Rule::All),
    ("newUser", Rule::Any),
    ("userActionCount", Rule::Sum),
    ("totalErrorCount", Rule::Sum),
    ("totalLicenseCreditCount", Rule::Sum),
    ("matchingConversionGoals", Rule::Joined),
    ("matchingConversionGoalsCount", Rule::Sum),
    ("ip", Rule::Last),
    ("continent", Rule::Last),
    ("country", Rule::Last),
    ("region", Rule::Last),
    ("city", Rule::Last),
    ("isp", Rule::Last),
    ("clientType", Rule::Last),
    ("browserType", Rule::Last),
    ("browserFamily", Rule::Last),
    ("browserMajorVersion", Rule::Last),
    ("browserMonitorId", Rule::Last),
    ("browserMonitorName", Rule::Last),
    ("osFamily", Rule::Last),
    ("osVersion", Rule::Last),
    ("manufacturer", Rule::Last),
    ("device", Rule::Last),
    ("rootedOrJailbroken", Rule::Any),
    ("carrier", Rule::Last),
    ("networkTechnology", Rule::Last),
    ("connectionType", Rule::Last),
    ("appVersion", Rule::Last),
    ("screenHeight", Rule::Last),
    ("screenWidth", Rule::Last),
    ("screenOrientation", Rule::Last),
    ("displayResolution", Rule::Last),
    ("clientTimeOffset", Rule::Last),
    ("hasCrash", Rule::Any),
    ("crashGroupId", Rule::Last),
    ("hasError", Rule::Any),
    ("hasSessionReplay", Rule::Any),
    ("replayStart", Rule::First),
    ("replayEnd", Rule::Greatest),
    ("reasonForNoSessionReplay", Rule::Last),
    ("reasonForNoSessionReplayMobile", Rule::Last),
    ("numberOfRageClicks", Rule::Sum),
    ("numberOfRageTaps", Rule::Sum),
    ("userExperienceScore", Rule::Last),
    ("endReason", Rule::Last),
    ("stringProperties", Rule::Joined),
    ("longProperties", Rule::Joined),
    ("doubleProperties", Rule::Joined),
    ("dateProperties", Rule::Joined),
    ("stringTags", Rule::Merged),
    ("numTags", Rule::Merged),
    ("dateTags", Rule::Merged),
    ("userActions", Rule::Joined),
    ("events", Rule::Joined),
    ("errors", Rule::Joined),
    ("syntheticEvents", Rule::Joined),
];

/// Returns the rule of a column.
pub(super) fn rule(field: &Field) -> Rule {
    let named = RULES.iter().find(|(name, rule)| *name == field.name && fits(*rule, &field.kind));
    if let Some((_, rule)) = named {
        return *rule;
    }
    match field.kind {
        Kind::Boolean => Rule::Any,
        Kind::List(_) => Rule::Joined,
        Kind::Map(_) => Rule::Merged,
        Kind::String | Kind::Long | Kind::Double | Kind::TimestampMillis | Kind::Struct(_) => {
            Rule::Last
        }
    }
}

/// Returns true if a rule is for values of this type; a schema of one's own may have another one.
fn fits(rule: Rule, kind: &Kind) -> bool {
    match rule {
        Rule::Key | Rule::Last => true,
        Rule::First | Rule::Greatest => matches!(kind, Kind::Long | Kind::TimestampMillis),
        Rule::Sum | Rule::Span => *kind == Kind::Long,
        Rule::Any | Rule::All => *kind == Kind::Boolean,
        Rule::Joined => matches!(kind, Kind::List(_)),
        Rule::Merged => matches!(kind, Kind::Map(_)),
    }
}
