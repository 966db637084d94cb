//! Iceberg tables (format version 2) in a REST catalog: the parts of a commit.
//!
//! A roll has landed once its receipt is in the lake. A commit makes the files of rolls visible: it
//! writes a manifest that lists them, a manifest list that has it beside the manifests that were there,
//! and asks the catalog to make a snapshot of that list the current one, provided that the snapshot
//! which was read still is.
//!
//! * [`schema`]: schemas with field ids, as the catalog has them, and the name mapping.
//! * [`partition`]: partition specs of templates, and the partition of a file.
//! * [`metrics`]: counts and bounds of a file by field id.
//! * [`manifest`]: manifest files. [`manifest_list`]: lists of them, written and read.
//! * [`avro`]: the encoding of both.
//! * [`rest`]: the catalog. [`addresses`]: where objects are.
//! * [`table`]: commits. [`view`]: the contents of a table.
//!
//! # Promise
//! What is written here is true of every row of a file, or is not written: a bound or a partition value
//! that is too narrow loses rows in silence. Nothing is deleted; no file of a roll is read. The mark of a
//! node is a property of the table, set in the commit that adds the files ([`mark_of`]): one in a
//! snapshot's summary is gone with the snapshot.
//!
//! # Files without field ids
//! Data files are encoded before their table is asked, and a lake may be older than its table, so they
//! carry no field ids. Readers find their columns by the table's name mapping
//! (`schema.name-mapping.default`), which is set with every schema.
//!
//! # Own code
//! The `iceberg` crate brings 93 crates, a second arrow and a second HTTP client; its retries commit
//! twice after a conflict that echoes its own commit, its REST client has no TLS, and neither can be
//! replaced. `apache-avro` brings 19, and finds fields by name, where writers have changed names; two
//! fixed record types and a reader of small files are some 400 lines here.
//!
//! Format: <https://iceberg.apache.org/spec/>.

mod addresses;
mod avro;
mod manifest;
mod manifest_list;
mod metrics;
mod partition;
mod rest;
mod schema;
pub(crate) mod table;
mod view;

pub(crate) use self::rest::Catalog;
pub(crate) use self::table::IcebergTable;
pub(crate) use self::view::IcebergView;

/// The table property with the id of the lake whose rolls the table has.
const LAKE: &str = "sessionlake.lake";

/// Begin of the names of the table properties that mark rolls.
const MARK: &str = "sessionlake.roll.";

pub use self::rest::{Credentials, Keys, OAuth2, Options};

/// Returns the name of the table property that marks the rolls of `node`: the number of the last one
/// that the table has.
fn mark_of(node: &str) -> String {
    format!("{MARK}{node}")
}

/// Returns the node whose rolls a property marks.
fn node_of(property: &str) -> Option<&str> {
    property.strip_prefix(MARK)
}
