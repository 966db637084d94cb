//! Settings of the lake, of rolls and their files, and of resources.

use super::setting::{DAY, HOUR, INSPECT, Kind, LANDING, SECOND, SERVE, Setting, TABLES};
use crate::config::value::{GIB, KIB, MIB, TIB};

const LAKE_SECTION: &str = "Lake";
const FILES: &str = "Rolls and files";
const RESOURCES: &str = "Resources";

/// The setting `lake`.
pub(crate) const LAKE: Setting = Setting {
    key: "lake",
    value_name: "LAKE",
    kind: Kind::Text,
    default: Some("./data/lake"),
    example: "s3://bucket/prefix",
    commands: LANDING | INSPECT | TABLES,
    heading: LAKE_SECTION,
    help: "Land files here: a directory, s3://bucket/prefix, gs://bucket/prefix or \
           az://container/prefix.",
    more: "Credentials come from the usual variables of the cloud (AWS_ACCESS_KEY_ID, …) or from \
           the [storage] table of the file.",
};

/// The setting `store_timeout`.
pub(crate) const STORE_TIMEOUT: Setting = Setting {
    key: "store_timeout",
    value_name: "DURATION",
    kind: Kind::Duration { least_ms: SECOND, most_ms: HOUR },
    default: Some("30s"),
    example: "30s",
    commands: LANDING | TABLES,
    heading: LAKE_SECTION,
    help: "Give up on one request to an object store after this long; it is then tried again.",
    more: "",
};

/// The setting `table`.
pub(crate) const TABLE: Setting = Setting {
    key: "table",
    value_name: "NAME",
    kind: Kind::Text,
    default: Some("user_sessions"),
    example: "user_sessions",
    commands: LANDING | TABLES,
    heading: LAKE_SECTION,
    help: "Name of the table: its directory under the lake.",
    more: "1 to 64 of a-z, 0-9 and _, not beginning with _.",
};

/// The setting `schema`.
pub(crate) const SCHEMA: Setting = Setting {
    key: "schema",
    value_name: "FILE",
    kind: Kind::Text,
    default: None,
    example: "examples/orders.avsc",
    commands: LANDING | TABLES,
    heading: LAKE_SECTION,
    help: "Take the table's columns from this Avro schema.",
    more: "Without it, the built-in schema of the table is used.",
};

/// The setting `partition`.
pub(crate) const PARTITION: Setting = Setting {
    key: "partition",
    value_name: "TEMPLATE",
    kind: Kind::Text,
    default: Some("date={startTime:%Y-%m-%d}"),
    example: "tenant={tenantId}/date={startTime:%Y-%m-%d}",
    commands: LANDING | TABLES,
    heading: LAKE_SECTION,
    help: "Directories below the table: {column} for text, {column:FORMAT} for a time (UTC, \
           strftime).",
    more: "The default of a table without startTime is that of its start_time, if it has one.",
};

/// The setting `table_format`.
pub(crate) const TABLE_FORMAT: Setting = Setting {
    key: "table_format",
    value_name: "FORMAT",
    kind: Kind::Text,
    default: Some("plain"),
    example: "delta",
    commands: LANDING | TABLES,
    heading: LAKE_SECTION,
    help: "Land files alone (plain), or files that a Delta log in the table's directory names (delta) or \
           the snapshots of an Iceberg table in a REST catalog (iceberg).",
    more: "A plain table becomes such a table with all that has landed when serve starts with its format. \
           iceberg needs the address of the catalog: [catalog] in the file, or SESSIONLAKE_CATALOG_URI.",
};

/// The setting `flat_tables`.
pub(crate) const FLAT_TABLES: Setting = Setting {
    key: "flat_tables",
    value_name: "TABLES",
    kind: Kind::Names,
    default: None,
    example: "user_actions,user_events,user_errors,user_properties",
    commands: LANDING | TABLES,
    heading: LAKE_SECTION,
    help: "Land these flat tables as well, with commas between: a row for each action, event, error or \
           property of the sessions.",
    more: "user_actions, user_events, user_errors and user_properties; those of another table t are \
           t_actions and so on. docs/flat-tables.md describes them.",
};

/// The setting `flat_columns`.
pub(crate) const FLAT_COLUMNS: Setting = Setting {
    key: "flat_columns",
    value_name: "COLUMNS",
    kind: Kind::Names,
    default: Some(
        "startTime,userType,applicationType,internalUserId,userId,country,region,city,browserFamily,\
         browserMajorVersion,osFamily,osVersion,device,appVersion,bounce,newUser,userExperienceScore,\
         hasError",
    ),
    example: "startTime,userType,country",
    commands: LANDING | TABLES,
    heading: LAKE_SECTION,
    help: "Repeat these columns of the session in every row of its flat tables, with commas between.",
    more: "country is sessionCountry there. The keys and startTime are always there.",
};

/// The setting `line_limit`.
pub(crate) const LINE_LIMIT: Setting = Setting {
    key: "line_limit",
    value_name: "SIZE",
    kind: Kind::Size { least: KIB, most: 256 * MIB },
    default: Some("8MiB"),
    example: "8MiB",
    commands: LANDING,
    heading: LAKE_SECTION,
    help: "Put a line or document with more bytes than this in quarantine, whole and unparsed.",
    more: "Not above a quarter of memory. Of documents in a row or in an array, each may have so \
           many.",
};

/// The setting `dedup`.
pub(crate) const DEDUP: Setting = Setting {
    key: "dedup",
    value_name: "DURATION",
    kind: Kind::Text,
    default: Some("off"),
    example: "24h",
    commands: LANDING,
    heading: LAKE_SECTION,
    help: "Land one of equal documents of this long, and leave the others out.",
    more: "Equal are those whose rows are, with tenantId, userSessionId and startTime. Receipts count those \
           that are left out; docs/dedup.md says what holds.",
};

/// The setting `dedup_max_rows`.
pub(crate) const DEDUP_MAX_ROWS: Setting = Setting {
    key: "dedup_max_rows",
    value_name: "N",
    kind: Kind::Count { least: 1_000, most: 1_000_000_000, word: None },
    default: Some("10000000"),
    example: "50000000",
    commands: SERVE,
    heading: LAKE_SECTION,
    help: "Remember at most so many rows for dedup, the latest ones, in the state directory.",
    more: "A row takes about 120 bytes of disk there, and twice that for a moment.",
};

/// The setting `max_partitions`.
pub(crate) const MAX_PARTITIONS: Setting = Setting {
    key: "max_partitions",
    value_name: "N",
    kind: Kind::Count { least: 1, most: 10_000, word: None },
    default: Some("1000"),
    example: "1000",
    commands: SERVE,
    heading: LAKE_SECTION,
    help: "Open at most this many partitions of a table in a roll, of which one body opens a quarter, \
           and one more for every 64 KiB.",
    more: "Rows of others are in the overflow partition (date=0001-01-01). Partitions of the last \
           day are always opened; of a template with text, the first two of a body.",
};

/// The setting `time_window`.
pub(crate) const TIME_WINDOW: Setting = Setting {
    key: "time_window",
    value_name: "DURATION",
    kind: Kind::Duration { least_ms: DAY, most_ms: 36_525 * DAY },
    default: Some("30days"),
    example: "1year",
    commands: SERVE,
    heading: LAKE_SECTION,
    help: "Take times of a partition up to this long before their receipt for late data, and all \
           others, or more than a day after it, for far ones.",
    more: "Of far times a body opens 8 partitions, a roll 32, and one more for every 64 KiB. import \
           takes any time.",
};

/// The setting `outside_window`.
pub(crate) const OUTSIDE_WINDOW: Setting = Setting {
    key: "outside_window",
    value_name: "WHERE",
    kind: Kind::Text,
    default: Some("overflow"),
    example: "quarantine",
    commands: SERVE,
    heading: LAKE_SECTION,
    help: "Put rows of far times into their own partitions as long as they are few (overflow), or all \
           of them into quarantine (quarantine).",
    more: "",
};

/// The setting `promote`.
pub(crate) const PROMOTE: Setting = Setting {
    key: "promote",
    value_name: "WHEN",
    kind: Kind::Text,
    default: Some("off"),
    example: "auto",
    commands: SERVE,
    heading: LAKE_SECTION,
    help: "Make a column of a field that has none once promote_after sessions had it with one type (auto), \
           or never (off).",
    more: "At most 100 columns a table. A column stays, whatever is configured later; rows from before \
           keep the value in _extra.",
};

/// The setting `promote_after`.
pub(crate) const PROMOTE_AFTER: Setting = Setting {
    key: "promote_after",
    value_name: "N",
    kind: Kind::Count { least: 1, most: 1_000_000_000, word: None },
    default: Some("1000"),
    example: "1000",
    commands: SERVE,
    heading: LAKE_SECTION,
    help: "Make a column of a field once this many sessions had it since the start, if promote says so.",
    more: "",
};

/// The setting `roll_age`.
pub(crate) const ROLL_AGE: Setting = Setting {
    key: "roll_age",
    value_name: "DURATION",
    kind: Kind::Duration { least_ms: SECOND, most_ms: DAY },
    default: Some("60s"),
    example: "60s",
    commands: SERVE,
    heading: FILES,
    help: "Write files once their oldest row is this old.",
    more: "",
};

/// The setting `overdue_after`.
pub(crate) const OVERDUE_AFTER: Setting = Setting {
    key: "overdue_after",
    value_name: "DURATION",
    kind: Kind::Duration { least_ms: SECOND, most_ms: 30 * DAY },
    default: None,
    example: "15min",
    commands: SERVE,
    heading: FILES,
    help: "Report trouble once a body has waited this long to land.",
    more: "Above roll_age; without it, three times roll_age and 5 minutes. /health/ready stays 200, \
           since bodies are taken for as long as the journal has room.",
};

/// The setting `verify_every`.
pub(crate) const VERIFY_EVERY: Setting = Setting {
    key: "verify_every",
    value_name: "DURATION",
    kind: Kind::Duration { least_ms: 0, most_ms: 30 * DAY },
    default: Some("0s"),
    example: "1h",
    commands: SERVE,
    heading: FILES,
    help: "Verify the lake this often, as `sessionlake verify --since` does, and show the verdict as \
           metrics; 0s does not.",
    more: "It runs beside receiving at a low priority. Damage is trouble; /health/ready stays 200.",
};

/// The setting `verify_window`.
pub(crate) const VERIFY_WINDOW: Setting = Setting {
    key: "verify_window",
    value_name: "DURATION",
    kind: Kind::Duration { least_ms: SECOND, most_ms: 366 * DAY },
    default: None,
    example: "2d",
    commands: SERVE,
    heading: FILES,
    help: "Look at what has landed within this time, on any node, at each verification.",
    more: "Not below twice verify_every; without it, twice verify_every and at least 24 hours.",
};

/// The setting `roll_bytes`.
pub(crate) const ROLL_BYTES: Setting = Setting {
    key: "roll_bytes",
    value_name: "SIZE",
    kind: Kind::Size { least: MIB, most: 64 * GIB },
    default: Some("128MiB"),
    example: "128MiB",
    commands: LANDING,
    heading: FILES,
    help: "Write files once they would hold this many bytes of Parquet.",
    more: "",
};

/// The setting `roll_rows`.
pub(crate) const ROLL_ROWS: Setting = Setting {
    key: "roll_rows",
    value_name: "N",
    kind: Kind::Count { least: 1, most: 1_000_000_000_000, word: Some("none") },
    default: Some("none"),
    example: "1000000",
    commands: LANDING,
    heading: FILES,
    help: "Write files once they would hold this many rows; none for no such limit.",
    more: "",
};

/// The setting `compression`.
pub(crate) const COMPRESSION: Setting = Setting {
    key: "compression",
    value_name: "CODEC",
    kind: Kind::Text,
    default: Some("zstd:1"),
    example: "zstd:3",
    commands: LANDING,
    heading: FILES,
    help: "Compress pages with zstd:LEVEL (1 to 22), snappy, lz4 or none.",
    more: "",
};

/// The setting `encodings`.
pub(crate) const ENCODINGS: Setting = Setting {
    key: "encodings",
    value_name: "WHICH",
    kind: Kind::Text,
    default: Some("delta"),
    example: "plain",
    commands: LANDING,
    heading: FILES,
    help: "Encode numbers and texts by their differences where that is smaller (delta), or in the way \
           that readers of before 2022 know as well (plain), such as Spark up to 3.2; files are then larger. \
           With split, numbers may be stored byte by byte too, which fewer readers know; files are then smaller.",
    more: "",
};

/// The setting `row_group_bytes`.
pub(crate) const ROW_GROUP_BYTES: Setting = Setting {
    key: "row_group_bytes",
    value_name: "SIZE",
    kind: Kind::Size { least: MIB, most: GIB },
    default: Some("128MiB"),
    example: "128MiB",
    commands: LANDING,
    heading: FILES,
    help: "Close a row group once it takes this much memory.",
    more: "Not above memory.",
};

/// The setting `memory`.
pub(crate) const MEMORY: Setting = Setting {
    key: "memory",
    value_name: "SIZE",
    kind: Kind::Size { least: 64 * MIB, most: TIB },
    default: Some("256MiB"),
    example: "256MiB",
    commands: LANDING,
    heading: RESOURCES,
    help: "Hold at most this many bytes of rows that are not written yet.",
    more: "The process takes more than that: requests, stacks and caches come on top.",
};

/// The setting `decode_threads`.
pub(crate) const DECODE_THREADS: Setting = Setting {
    key: "decode_threads",
    value_name: "N",
    kind: Kind::Count { least: 1, most: 1024, word: Some("auto") },
    default: Some("auto"),
    example: "4",
    commands: LANDING,
    heading: RESOURCES,
    help: "Decode with this many threads; auto for one a core.",
    more: "",
};
