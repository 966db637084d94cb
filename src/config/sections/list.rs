//! The one list of sections and their keys.
//!
//! Error messages, the reference in docs/settings.md and `examples/sessionlake.toml` are made from it.

pub(crate) use super::catalog_keys::CATALOG;
pub(crate) use super::key::{Key, KeyKind, SectionList};

/// Every section, in the order of reference and example.
pub(crate) const SECTIONS: &[&SectionList] =
    &[&ENDPOINT, &TABLES, &PRIVACY, &PROPERTIES, &CATALOG, &STORAGE];

/// The section `[[endpoint]]`.
pub(crate) const ENDPOINT: SectionList = SectionList {
    name: "endpoint",
    repeated: true,
    help: "A path that takes bodies. There may be any number of them; with one, the setting path \
           describes none, and a key that is not given is as the setting of its name says.",
    keys: &[
        Key {
            name: "name",
            kind: KeyKind::Text,
            default: "the path, with `-` for `/`",
            example: "\"sessions\"",
            help: "Label of the endpoint's metrics: 1 to 64 letters, digits and -_.",
            note: "label of its metrics",
        },
        Key {
            name: "path",
            kind: KeyKind::Text,
            default: "the setting `path`; `\"/\"` with the form elasticsearch",
            example: "\"/export/events\"",
            help: "Path that takes bodies; with the form elasticsearch, all paths below it too.",
            note: "",
        },
        Key {
            name: "methods",
            kind: KeyKind::Texts,
            default: "`[\"PUT\", \"POST\"]`",
            example: "[\"PUT\", \"POST\"]",
            help: "Methods that are taken.",
            note: "",
        },
        Key {
            name: "form",
            kind: KeyKind::Text,
            default: "`\"ndjson\"`",
            example: "\"elasticsearch\"",
            help: "Form of bodies: ndjson, one document a line; or elasticsearch, /_bulk and the \
                   requests that its clients make around it.",
            note: "or elasticsearch: /_bulk and what clients ask around it",
        },
        Key {
            name: "table",
            kind: KeyKind::Text,
            default: "the setting `table`",
            example: "\"user_sessions\"",
            help: "Table of the documents.",
            note: "",
        },
        Key {
            name: "indices",
            kind: KeyKind::Pairs,
            default: "",
            example: "{ \"sessions-*\" = \"user_sessions\" }",
            help: "Tables by index name, for the form elasticsearch only. The longest name that \
                   fits is taken, and table for an index that none fits.",
            note: "without it, all go to `table`",
        },
        Key {
            name: "auth",
            kind: KeyKind::Texts,
            default: "all kinds with the setting `credentials`, `\"none\"` without",
            example: "[\"basic\", \"token\", \"oauth2\", \"jwt\"]",
            help: "Kinds of credentials that are taken, or \"none\" alone to ask for none.",
            note: "or \"none\"",
        },
        Key {
            name: "allow",
            kind: KeyKind::Texts,
            default: "everybody in the file of credentials",
            example: "[\"exporter\"]",
            help: "Names in the file of credentials that may send.",
            note: "names in the file of credentials",
        },
        Key {
            name: "scope",
            kind: KeyKind::Text,
            default: "",
            example: "\"sessions.write\"",
            help: "Scope that OAuth 2.0 tokens must have.",
            note: "that OAuth 2.0 tokens must have",
        },
        Key {
            name: "peers",
            kind: KeyKind::Texts,
            default: "all",
            example: "[\"10.0.0.0/8\", \"::1\"]",
            help: "Addresses and networks that may send.",
            note: "who may come, by address",
        },
        Key {
            name: "body_limit",
            kind: KeyKind::Text,
            default: "the setting `body_limit`",
            example: "\"32MiB\"",
            help: "Most bytes of a body as sent.",
            note: "",
        },
        Key {
            name: "inflated_limit",
            kind: KeyKind::Text,
            default: "the setting `inflated_limit`, not below `body_limit`",
            example: "\"256MiB\"",
            help: "Most bytes of a body once decompressed.",
            note: "",
        },
        Key {
            name: "requests_per_second",
            kind: KeyKind::Text,
            default: "none",
            example: "200",
            help: "Most requests of one peer in a second, besides the setting's limit.",
            note: "of one peer",
        },
    ],
    examples: &[
        &[
            ("name", "\"sessions\""),
            ("path", "\"/export/events\""),
            ("methods", "[\"PUT\", \"POST\"]"),
            ("form", "\"ndjson\""),
            ("table", "\"user_sessions\""),
            ("auth", "[\"basic\", \"token\", \"oauth2\", \"jwt\"]"),
            ("allow", "[\"exporter\"]"),
            ("scope", "\"sessions.write\""),
            ("peers", "[\"10.0.0.0/8\", \"::1\"]"),
            ("body_limit", "\"32MiB\""),
            ("inflated_limit", "\"256MiB\""),
            ("requests_per_second", "200"),
        ],
        &[
            ("path", "\"/elastic\""),
            ("form", "\"elasticsearch\""),
            ("indices", "{ \"sessions-*\" = \"user_sessions\" }"),
        ],
    ],
};

/// The section `[[tables]]`.
pub(crate) const TABLES: SectionList = SectionList {
    name: "tables",
    repeated: true,
    help: "A table besides that of the setting table, for endpoints to name. There may be any \
           number of them.",
    keys: &[
        Key {
            name: "name",
            kind: KeyKind::Text,
            default: "",
            example: "\"orders\"",
            help: "Name of the table: its directory under the lake.",
            note: "",
        },
        Key {
            name: "schema",
            kind: KeyKind::Text,
            default: "the built-in schema of the table",
            example: "\"examples/orders.avsc\"",
            help: "Avro schema of its columns.",
            note: "",
        },
        Key {
            name: "partition",
            kind: KeyKind::Text,
            default: "no directories; of the built-in tables of Grail, `date={start_time:%Y-%m-%d}`",
            example: "\"date={at:%Y-%m-%d}\"",
            help: "Directories below the table, as the setting partition has them.",
            note: "without it, no directories below the table",
        },
        Key {
            name: "format",
            kind: KeyKind::Text,
            default: "the setting `table_format`",
            example: "\"iceberg\"",
            help: "Format of the table: plain, delta or iceberg, which needs [catalog].",
            note: "plain, delta or iceberg",
        },
        Key {
            name: "dedup",
            kind: KeyKind::Text,
            default: "the setting `dedup`",
            example: "\"off\"",
            help: "Time within which one of equal documents lands; off for all of them.",
            note: "a time as in the setting dedup, or off",
        },
        Key {
            name: "promote",
            kind: KeyKind::Text,
            default: "the setting `promote`",
            example: "\"auto\"",
            help: "Make columns of fields that have none: auto or off.",
            note: "or off",
        },
    ],
    examples: &[&[
        ("name", "\"orders\""),
        ("schema", "\"examples/orders.avsc\""),
        ("partition", "\"date={at:%Y-%m-%d}\""),
        ("format", "\"iceberg\""),
        ("dedup", "\"off\""),
        ("promote", "\"auto\""),
    ]],
};

/// The section `[properties]`.
pub(crate) const PROPERTIES: SectionList = SectionList {
    name: "properties",
    repeated: false,
    help: "Properties that become columns of sessions and of actions, prop_ and the key, by key: \
           string, long, double or date. The lists of properties stay as they are.",
    keys: &[
        Key {
            name: "plan",
            kind: KeyKind::Text,
            default: "no column",
            example: "\"string\"",
            help: "The first text property of that key, or else the tag, as prop_plan.",
            note: "",
        },
        Key {
            name: "basket",
            kind: KeyKind::Text,
            default: "no column",
            example: "\"double\"",
            help: "The first double property of that key as prop_basket.",
            note: "",
        },
    ],
    examples: &[&[("plan", "\"string\""), ("basket", "\"double\"")]],
};

/// The section `[privacy]`.
pub(crate) const PRIVACY: SectionList = SectionList {
    name: "privacy",
    repeated: false,
    help: "Actions on personal data before it lands, by column: keep, drop, hash or truncate \
           (addresses). A column within another is one quoted key. Needs the setting privacy_key.",
    keys: &[
        Key {
            name: "ip",
            kind: KeyKind::Text,
            default: "`\"keep\"`",
            example: "\"truncate\"",
            help: "Of an address in a column, only the network lands.",
            note: "",
        },
        Key {
            name: "userId",
            kind: KeyKind::Text,
            default: "`\"keep\"`",
            example: "\"hash\"",
            help: "Of a text in a column, only a keyed hash lands.",
            note: "",
        },
        Key {
            name: "\"userActions.targetUrl\"",
            kind: KeyKind::Text,
            default: "`\"keep\"`",
            example: "\"drop\"",
            help: "Of a column within another, nothing lands.",
            note: "",
        },
        Key {
            name: "\"stringProperties.email\"",
            kind: KeyKind::Text,
            default: "`\"keep\"`",
            example: "\"hash\"",
            help: "Of one property, only a keyed hash lands.",
            note: "",
        },
    ],
    examples: &[&[
        ("ip", "\"truncate\""),
        ("userId", "\"hash\""),
        ("\"userActions.targetUrl\"", "\"drop\""),
        ("\"stringProperties.email\"", "\"hash\""),
    ]],
};

/// The section `[storage]`.
pub(crate) const STORAGE: SectionList = SectionList {
    name: "storage",
    repeated: false,
    help: "Options of the object store that the lake is in, for what the variables of the cloud \
           (AWS_REGION, AWS_ACCESS_KEY_ID, …) do not say already: these, and the other keys of \
           the object_store crate. It comes last in the file: a key after it belongs to it.",
    keys: &[
        Key {
            name: "aws_endpoint",
            kind: KeyKind::Secret,
            default: "",
            example: "\"http://127.0.0.1:9000\"",
            help: "URL of an S3-compatible store.",
            note: "",
        },
        Key {
            name: "allow_http",
            kind: KeyKind::Secret,
            default: "`false`",
            example: "true",
            help: "Allow requests without TLS.",
            note: "",
        },
        Key {
            name: "path_style",
            kind: KeyKind::Secret,
            default: "`true`",
            example: "true",
            help: "Name the bucket in the path and not in the host name.",
            note: "",
        },
        Key {
            name: "aws_region",
            kind: KeyKind::Secret,
            default: "",
            example: "\"eu-central-1\"",
            help: "Region of the bucket.",
            note: "",
        },
        Key {
            name: "aws_access_key_id",
            kind: KeyKind::Secret,
            default: "",
            example: "\"…\"",
            help: "Name of the access key.",
            note: "",
        },
        Key {
            name: "aws_secret_access_key",
            kind: KeyKind::Secret,
            default: "",
            example: "\"…\"",
            help: "Secret of the access key.",
            note: "",
        },
    ],
    examples: &[&[
        ("aws_endpoint", "\"http://127.0.0.1:9000\""),
        ("allow_http", "true"),
        ("path_style", "true"),
        ("aws_region", "\"eu-central-1\""),
        ("aws_access_key_id", "\"…\""),
        ("aws_secret_access_key", "\"…\""),
    ]],
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_is_in_an_example_and_explained() {
        for section in SECTIONS {
            let shown: Vec<&str> =
                section.examples.iter().flat_map(|keys| *keys).map(|(name, _)| *name).collect();
            for key in section.keys {
                assert!(shown.contains(&key.name), "{}.{}", section.name, key.name);
                assert!(key.help.ends_with('.'), "{}.{}", section.name, key.name);
            }
            assert!(shown.iter().all(|name| section.key(name).is_some()), "{}", section.name);
        }
    }
}
