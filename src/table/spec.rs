//! The specification of one table.

use std::sync::Arc;

use super::file_names::FileNames;
use super::hive_path::PathRules;
use super::partition::Template;
use super::partition_limits::{OutsideWindow, PartitionLimits, TimeWindow};
use super::privacy_rules::Rules;
use super::revision::Revision;
use crate::schema::TableSchema;

/// The limit of lines and documents of a new table, in bytes.
pub const LINE_LIMIT_BYTES: u64 = 8 << 20;

/// Everything that decides what the files of a table contain and which partitions they are in.
#[derive(Clone, Debug)]
pub struct Spec {
    /// Name: `[a-z0-9_]{1,64}`, not beginning with `_`. The table's directory in the lake.
    pub name: Arc<str>,
    /// Columns.
    pub schema: Arc<TableSchema>,
    /// Partition template, of columns of the schema.
    pub partition: Template,
    /// Table format that files are committed in.
    pub format: Format,
    /// Treatment of personal data.
    pub privacy: Rules,
    /// Origin of the rows.
    pub rows: Rows,
    /// Rules by which documents become rows, and values become paths.
    pub revision: Revision,
    /// The most bytes of a line or document that may become a row. `None`, for seals of earlier
    /// revisions, is no limit.
    pub line_limit_bytes: Option<u64>,
    /// File names that the lake tells apart.
    pub file_names: FileNames,
    /// Limits on the partitions that bodies may open.
    pub partition_limits: PartitionLimits,
    /// The time within which a row that equals an earlier one is left out, in milliseconds. `None`: no
    /// row is.
    pub dedup_window_ms: Option<u64>,
}

impl Spec {
    /// Specifies a table of plain files whose rows are documents, without privacy rules, by the latest
    /// [`Revision`].
    #[must_use]
    pub fn new(name: impl Into<Arc<str>>, schema: Arc<TableSchema>, partition: Template) -> Spec {
        Spec {
            name: name.into(),
            schema,
            partition,
            format: Format::Plain,
            privacy: Rules::default(),
            rows: Rows::Documents,
            revision: Revision::LATEST,
            line_limit_bytes: Some(LINE_LIMIT_BYTES),
            file_names: FileNames::Exact,
            partition_limits: PartitionLimits::RECEIVED,
            dedup_window_ms: None,
        }
    }

    /// Returns the window outside of which times put a row into quarantine; none if no row is put there.
    #[must_use]
    pub fn quarantined_outside(&self) -> Option<TimeWindow> {
        let PartitionLimits { outside_window, .. } = self.partition_limits;
        let window = self.partition_limits.time_window();
        let window = window.filter(|_| outside_window == OutsideWindow::Quarantine)?;
        Some(TimeWindow { columns: self.partition.time_columns().collect(), window })
    }

    /// Returns the rules by which the values of its partitions become paths.
    #[must_use]
    pub fn path_rules(&self) -> PathRules {
        PathRules { revision: self.revision, file_names: self.file_names }
    }
}

/// The table format that files are committed in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// Parquet files by partition, and nothing besides.
    #[default]
    Plain,
    /// A Delta table: the files are those of a plain one, and a log names them.
    Delta,
    /// An Iceberg table: the files are those of a plain one, and snapshots in a catalog name them.
    Iceberg,
}

impl Format {
    /// Returns the name in settings and seals.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Format::Plain => "plain",
            Format::Delta => "delta",
            Format::Iceberg => "iceberg",
        }
    }

    /// Parses the name in settings and seals.
    ///
    /// # Errors
    /// The name is not one of a format that this version writes. The text follows the name: `is no …`.
    pub fn parse(name: &str) -> Result<Format, String> {
        match name {
            "plain" => Ok(Format::Plain),
            "delta" => Ok(Format::Delta),
            "iceberg" => Ok(Format::Iceberg),
            _ => Err("is no table format that this version writes: plain, delta and iceberg are"
                .to_owned()),
        }
    }

    /// Tells whether receipts have the statistics of files, since commits need them.
    #[must_use]
    pub fn has_statistics(self) -> bool {
        self != Format::Plain
    }

    /// Returns words for a table of this format: `a Delta table`. Those for a plain one are `plain`.
    #[must_use]
    pub fn phrase(self) -> &'static str {
        match self {
            Format::Plain => "plain",
            Format::Delta => "a Delta table",
            Format::Iceberg => "an Iceberg table",
        }
    }

    /// Checks that a table of this format can have these columns and partitions.
    ///
    /// # Errors
    /// A partition column has the name of a column. Readers of a Delta table would take its values for the
    /// column's, which those of rows in the overflow partition are not, and Iceberg has no such table.
    /// Nor has it one that is partitioned by parts of times or of texts.
    pub fn check(self, schema: &TableSchema, partition: &Template) -> Result<(), String> {
        if self == Format::Plain {
            return Ok(());
        }
        if let Some(name) = partition.ambiguous(schema) {
            return Err(format!(
                "{name} is a column of the table, and readers of {} cannot tell a partition column of \
                 the same name from it: give that another name, as in {name}_part={{…}}",
                self.phrase()
            ));
        }
        match self {
            Format::Iceberg => partition.transforms().map(drop),
            Format::Plain | Format::Delta => Ok(()),
        }
    }
}

/// The origin of a table's rows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Rows {
    /// A row is a received document.
    #[default]
    Documents,
    /// A row is an element of a list column of another table. Such rows are derived: accounting
    /// counts documents only.
    Exploded {
        /// Name of the table that has the column.
        parent: Arc<str>,
        /// Name of its list column.
        column: String,
    },
    /// A row is an entry of a list of properties of another table, or of one in its user actions
    /// ([`super::flat`]). Such rows are derived as well.
    Properties {
        /// Name of the table that has the lists.
        parent: Arc<str>,
    },
}

impl Rows {
    /// Returns true when the rows come from another table and not from documents.
    #[must_use]
    pub fn is_derived(&self) -> bool {
        self.parent().is_some()
    }

    /// Returns the name of the table that the rows come from, unless they are documents.
    #[must_use]
    pub fn parent(&self) -> Option<&Arc<str>> {
        match self {
            Rows::Documents => None,
            Rows::Exploded { parent, .. } | Rows::Properties { parent } => Some(parent),
        }
    }
}
