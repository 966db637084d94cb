//! Settings of the journal, and of personal data.

use super::setting::{DAY, Kind, LANDING, SERVE, Setting};
use crate::config::value::{GIB, KIB, MIB, TIB};

const JOURNAL: &str = "Journal";
const PRIVACY: &str = "Personal data";

/// The setting `state`.
pub(crate) const STATE: Setting = Setting {
    key: "state",
    value_name: "DIR",
    kind: Kind::Text,
    default: Some("./data/state"),
    example: "/var/lib/sessionlake",
    commands: SERVE,
    heading: JOURNAL,
    help: "Keep the journal in this directory, on a local disk that honours fsync.",
    more: "Not inside the lake. One process at a time can use it.",
};

/// The setting `node`.
pub(crate) const NODE: Setting = Setting {
    key: "node",
    value_name: "PREFIX",
    kind: Kind::Text,
    default: Some(""),
    example: "eu-1",
    commands: SERVE,
    heading: JOURNAL,
    help: "Begin the name of this node, and so of its files, with this.",
    more: "Up to 32 of a-z, 0-9 and -. The rest of the name is chosen at random for each new \
           journal.",
};

/// The setting `journal_quota`.
pub(crate) const JOURNAL_QUOTA: Setting = Setting {
    key: "journal_quota",
    value_name: "SIZE",
    kind: Kind::Size { least: MIB, most: 1024 * TIB },
    default: Some("10GiB"),
    example: "10GiB",
    commands: SERVE,
    heading: JOURNAL,
    help: "Refuse (503) new bodies while the journal holds this much that has not landed.",
    more: "Not below journal_segment, nor twice inflated_limit.",
};

/// The setting `journal_segment`.
pub(crate) const JOURNAL_SEGMENT: Setting = Setting {
    key: "journal_segment",
    value_name: "SIZE",
    kind: Kind::Size { least: 64 * KIB, most: 4 * GIB },
    default: Some("64MiB"),
    example: "64MiB",
    commands: SERVE,
    heading: JOURNAL,
    help: "Begin a new file of the journal after this many bytes.",
    more: "",
};

/// The setting `journal_compression`.
pub(crate) const JOURNAL_COMPRESSION: Setting = Setting {
    key: "journal_compression",
    value_name: "auto|BOOL",
    kind: Kind::SwitchOr("auto"),
    default: Some("auto"),
    example: "true",
    commands: SERVE,
    heading: JOURNAL,
    help: "Compress bodies of 4 KiB to 8 MiB in the journal (zstd): always, never, or with auto as \
           needed.",
    more: "Sessions take an eighth of the space then, and a quarter more of the processor. They need \
           it while the disk does not keep up, or while more than an eighth of journal_quota has not \
           landed. Bodies are compressed before they are encrypted.",
};

/// The setting `disk_reserve`.
pub(crate) const DISK_RESERVE: Setting = Setting {
    key: "disk_reserve",
    value_name: "SIZE",
    kind: Kind::Size { least: 0, most: 1024 * TIB },
    default: Some("1GiB"),
    example: "1GiB",
    commands: SERVE,
    heading: JOURNAL,
    help: "Refuse (503) new bodies while the disk of the journal has less than this free.",
    more: "Rolls end early before their files take it; below a quarter of it nothing lands.",
};

/// The setting `retry_window`.
pub(crate) const RETRY_WINDOW: Setting = Setting {
    key: "retry_window",
    value_name: "DURATION",
    kind: Kind::Duration { least_ms: 0, most_ms: DAY },
    default: Some("10min"),
    example: "10min",
    commands: SERVE,
    heading: JOURNAL,
    help: "Take a body equal to one of the last this long for a retry, and store it once.",
    more: "0s stores every body.",
};

/// The setting `skip_damaged`.
pub(crate) const SKIP_DAMAGED: Setting = Setting {
    key: "skip_damaged",
    value_name: "BOOL",
    kind: Kind::Switch,
    default: Some("false"),
    example: "true",
    commands: SERVE,
    heading: JOURNAL,
    help: "Start although the journal is damaged in the middle: set damaged segments aside.",
    more: "Whole bodies in them are kept and land; what is lost is named in the log and in receipts.",
};

/// The setting `privacy_key`.
pub(crate) const PRIVACY_KEY: Setting = Setting {
    key: "privacy_key",
    value_name: "FILE",
    kind: Kind::Text,
    default: None,
    example: "privacy.key",
    commands: LANDING,
    heading: PRIVACY,
    help: "The secret (32 bytes or more, any text) that hashes columns and seals rejected lines, \
           as the [privacy] table of the file asks.",
    more: "Keep it: with another one, equal values no longer have equal hashes.",
};

/// The setting `encrypt_journal`.
pub(crate) const ENCRYPT_JOURNAL: Setting = Setting {
    key: "encrypt_journal",
    value_name: "BOOL",
    kind: Kind::Switch,
    default: Some("false"),
    example: "true",
    commands: SERVE,
    heading: PRIVACY,
    help: "Encrypt bodies in the journal (AES-256-GCM) with a key made from privacy_key.",
    more: "Bodies that are there already stay as they are until they have landed; privacy_key \
           opens them.",
};
