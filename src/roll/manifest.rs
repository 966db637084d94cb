//! The manifest of a finished roll.
//!
//! It is made once, when the files of the roll are finished in the staging directory. The names of
//! objects, the receipt and the redo of a sealed roll derive from it and from nothing else. Objects of
//! the roll that stand in the lake already replace those of its staging files, with their own sizes
//! and statistics.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::care::SetAside;
use super::quarantine_writer::{RejectLines, StagedRejects};
use crate::columnar::statistics::FileStatistics;
use crate::decode::Counts;
use crate::dedup::LeftOut;
use crate::encode::EncodedFile;
use crate::fields;
use crate::lake::{
    FileReceipt, LostBodies, QuarantineReceipt, RECEIPT_VERSION, Receipt, TableReceipt, names,
};
use crate::record::{BodiesDigest, Roll, SeqRange};
use crate::table::hive_path::{PartitionValues, hive_path, values_of_path};
use crate::table::{Spec, TableId, Tables, Template};

/// Memory for the statistics of a roll, in bytes. Files past it have none: a committer that needs
/// them reads the footers.
pub(super) const STATISTICS_BYTES: usize = 32 << 20;

/// A finished roll: its files by table, in the order of the tables' names.
#[derive(Clone, Debug)]
pub(crate) struct Manifest {
    pub(crate) node: Arc<str>,
    pub(crate) roll: Roll,
    pub(crate) range: SeqRange,
    /// Documents, broken lines and action lines. Derived rows are not in it, and rows that are left out
    /// are only among the lines.
    pub(crate) counts: Counts,
    pub(crate) tables: Vec<TableManifest>,
    /// Digest of its bodies; none once some that it was sealed with are gone.
    pub(crate) bodies: Option<BodiesDigest>,
    /// Bodies that were set aside.
    pub(crate) set_aside: SetAside,
    /// Rows that are left out, to be sealed; empty for a roll that is sealed.
    pub(crate) left_out: LeftOut,
    statistics: StatisticsBudget,
}

/// Memory for statistics of files, shared by threads: a roll of 10,000 files has hundreds of
/// megabytes of them.
#[derive(Debug, Default)]
pub(crate) struct StatisticsBudget {
    taken_bytes: AtomicUsize,
}

impl StatisticsBudget {
    /// Takes the memory of `statistics`. Returns `None` when there is not enough.
    pub(crate) fn keep(&self, statistics: FileStatistics) -> Option<FileStatistics> {
        let bytes = statistics.memory_bytes();
        let before = self.taken_bytes.fetch_add(bytes, Ordering::Relaxed);
        (before.saturating_add(bytes) <= STATISTICS_BYTES).then_some(statistics)
    }
}

impl Clone for StatisticsBudget {
    fn clone(&self) -> StatisticsBudget {
        StatisticsBudget { taken_bytes: self.taken_bytes.load(Ordering::Relaxed).into() }
    }
}

/// Files of one table.
#[derive(Clone, Debug)]
pub(crate) struct TableManifest {
    pub(crate) name: Arc<str>,
    /// Fingerprint of the schema.
    pub(crate) schema: String,
    pub(crate) partition: Template,
    /// Hive path of the overflow partition; none where that is the one of nulls.
    overflow: Option<String>,
    /// True when the rows come from another table and not from documents.
    pub(crate) derived: bool,
    /// True when the receipt has the statistics of its files.
    has_statistics: bool,
    /// Rows that are left out, since they equal others.
    doubled: u64,
    pub(crate) files: Vec<DataFile>,
    pub(crate) quarantine: Option<QuarantineFile>,
    /// Counts of fields without a column.
    pub(crate) fields: Option<fields::Counts>,
}

/// A Parquet file.
#[derive(Clone, Debug)]
pub(crate) struct DataFile {
    /// Name of the object, relative to the lake.
    pub(crate) name: String,
    /// Hive path of the partition; empty for a table without partitions.
    pub(crate) partition: String,
    /// Values of the partition, one for each segment of the template.
    pub(crate) values: PartitionValues,
    /// True for the overflow file, of rows whose own partitions the roll has not opened: `values` are
    /// not theirs.
    pub(crate) overflow: bool,
    pub(crate) rows: u64,
    pub(crate) bytes: u64,
    /// Statistics of the columns; none when those of the roll take too much memory.
    pub(crate) statistics: Option<FileStatistics>,
    pub(crate) origin: Origin,
}

/// A quarantine file.
#[derive(Clone, Debug)]
pub(crate) struct QuarantineFile {
    /// Name of the object, relative to the lake.
    pub(crate) name: String,
    /// Lines of its entries.
    pub(crate) entries: u64,
    /// The same by the code of their defect, as far as this attempt has made them.
    pub(crate) by_code: RejectLines,
    pub(crate) bytes: u64,
    pub(crate) origin: Origin,
}

/// The source of an object's bytes.
#[derive(Clone, Debug)]
pub(crate) enum Origin {
    /// A staging file, which is to be put.
    Staged(PathBuf),
    /// The lake, where the object stands: it is not put again. The staging file is of no use.
    Standing(Option<PathBuf>),
}

impl Origin {
    /// Returns the staging file, to be put or not.
    fn staging(&self) -> Option<&Path> {
        match self {
            Origin::Staged(path) => Some(path),
            Origin::Standing(path) => path.as_deref(),
        }
    }

    fn stand(&mut self) {
        let staging = self.staging().map(Path::to_owned);
        *self = Origin::Standing(staging);
    }
}

/// The index of an object in a manifest.
#[derive(Clone, Copy, Debug)]
pub(crate) enum ObjectId {
    Data { table: usize, file: usize },
    Quarantine { table: usize },
}

/// An object that is to be put: its name, and its staging file.
#[derive(Clone, Debug)]
pub(crate) struct Upload {
    pub(crate) id: ObjectId,
    pub(crate) name: String,
    pub(crate) staging: PathBuf,
}

/// The facts of an object that stands in the lake, as the lake has them.
#[derive(Clone, Debug)]
pub(crate) struct Standing {
    /// Rows of a data file, or entries of a quarantine file.
    pub(crate) rows: u64,
    pub(crate) bytes: u64,
    /// Statistics of a data file.
    pub(crate) statistics: Option<FileStatistics>,
}

impl Manifest {
    /// Begins the manifest of a roll of `tables`, without files. `counts` are those of documents.
    pub(crate) fn new(
        node: Arc<str>,
        roll: Roll,
        range: SeqRange,
        counts: Counts,
        tables: &Tables,
    ) -> Manifest {
        let table = |spec: &Spec| TableManifest {
            name: Arc::clone(&spec.name),
            schema: spec.schema.fingerprint.clone(),
            partition: spec.partition.clone(),
            overflow: overflow(spec),
            derived: spec.rows.is_derived(),
            has_statistics: spec.format.has_statistics(),
            doubled: 0,
            files: Vec::new(),
            quarantine: None,
            fields: None,
        };
        let tables = tables.specs().iter().map(table).collect();
        let statistics = StatisticsBudget::default();
        Manifest {
            node,
            roll,
            range,
            counts,
            tables,
            bodies: None,
            set_aside: SetAside::new(),
            left_out: LeftOut::default(),
            statistics,
        }
    }

    /// Adds a data file of a table: that of the partition with the Hive path `partition`.
    pub(crate) fn add_file(
        &mut self,
        table: TableId,
        partition: String,
        values: PartitionValues,
        overflow: bool,
        encoded: EncodedFile,
    ) {
        let statistics = encoded.statistics.and_then(|statistics| self.statistics.keep(statistics));
        let Some(table) = self.tables.get_mut(table.index()) else { return };
        table.files.push(DataFile {
            name: names::data(&table.name, &partition, &self.node, self.roll),
            partition,
            values,
            overflow,
            rows: encoded.rows,
            bytes: encoded.bytes,
            statistics,
            origin: Origin::Staged(encoded.path),
        });
    }

    /// Adds the quarantine file of a table.
    pub(crate) fn add_quarantine(&mut self, table: TableId, staged: StagedRejects) {
        let Some(table) = self.tables.get_mut(table.index()) else { return };
        table.quarantine = Some(QuarantineFile {
            name: names::quarantine(&table.name, &self.node, self.roll),
            entries: staged.lines.values().sum(),
            by_code: staged.lines,
            bytes: staged.bytes,
            origin: Origin::Staged(staged.path),
        });
    }

    /// Sets the counts of the fields that a table has no column for.
    pub(crate) fn add_fields(&mut self, table: TableId, fields: Option<fields::Counts>) {
        let Some(table) = self.tables.get_mut(table.index()) else { return };
        table.fields = fields;
    }

    /// Adds rows of a table that are left out.
    pub(crate) fn add_doubled(&mut self, table: TableId, rows: u64) {
        if let Some(table) = self.tables.get_mut(table.index()) {
            table.doubled += rows;
        }
    }

    /// Returns the number of rows that are left out.
    fn doubled(&self) -> u64 {
        self.tables.iter().filter(|table| !table.derived).map(|table| table.doubled).sum()
    }

    /// Returns the number of data files.
    pub(crate) fn file_count(&self) -> usize {
        self.tables.iter().map(|table| table.files.len()).sum()
    }

    /// Returns the bytes of all data files.
    pub(crate) fn file_bytes(&self) -> u64 {
        self.tables.iter().flat_map(|table| &table.files).map(|file| file.bytes).sum()
    }

    /// Returns the lines of a table in quarantine by the code of their defect, if all are of this attempt.
    pub(crate) fn rejects_by_code(&self, table: &str) -> Option<&RejectLines> {
        let table = self.tables.iter().find(|of| &*of.name == table)?;
        let file = table.quarantine.as_ref()?;
        (file.by_code.values().sum::<u64>() == file.entries).then_some(&file.by_code)
    }

    /// Lists the objects that are to be put.
    pub(crate) fn uploads(&self) -> Vec<Upload> {
        let mut uploads = Vec::new();
        let mut add = |id, name: &String, origin: &Origin| {
            if let Origin::Staged(staging) = origin {
                uploads.push(Upload { id, name: name.clone(), staging: staging.clone() });
            }
        };
        for (at, table) in self.tables.iter().enumerate() {
            for (file, data) in table.files.iter().enumerate() {
                add(ObjectId::Data { table: at, file }, &data.name, &data.origin);
            }
            if let Some(quarantine) = &table.quarantine {
                add(ObjectId::Quarantine { table: at }, &quarantine.name, &quarantine.origin);
            }
        }
        uploads
    }

    /// Iterates over all staging files, also of objects that stand in the lake.
    pub(crate) fn staging_files(&self) -> impl Iterator<Item = &Path> {
        let data = self.tables.iter().flat_map(|table| &table.files).map(|file| &file.origin);
        let rejects = self.tables.iter().flat_map(|table| &table.quarantine);
        data.chain(rejects.map(|file| &file.origin)).filter_map(Origin::staging)
    }

    /// Returns the rows of a data file, or the entries of a quarantine file.
    pub(crate) fn rows_of(&self, id: ObjectId) -> u64 {
        match id {
            ObjectId::Data { table, file } => {
                self.tables.get(table).and_then(|t| t.files.get(file)).map_or(0, |file| file.rows)
            }
            ObjectId::Quarantine { table } => {
                let table = self.tables.get(table);
                table.and_then(|t| t.quarantine.as_ref()).map_or(0, |file| file.entries)
            }
        }
    }

    /// Takes the facts of an object that stands in the lake in place of those of its staging file,
    /// and does not put it.
    pub(crate) fn keep_standing(&mut self, id: ObjectId, standing: Standing) {
        let statistics =
            standing.statistics.and_then(|statistics| self.statistics.keep(statistics));
        match id {
            ObjectId::Data { table, file } => {
                let table = self.tables.get_mut(table);
                if let Some(file) = table.and_then(|table| table.files.get_mut(file)) {
                    (file.rows, file.bytes) = (standing.rows, standing.bytes);
                    file.statistics = statistics;
                    file.origin.stand();
                }
            }
            ObjectId::Quarantine { table } => {
                let table = self.tables.get_mut(table);
                if let Some(file) = table.and_then(|table| table.quarantine.as_mut()) {
                    (file.entries, file.bytes) = (standing.rows, standing.bytes);
                    file.origin.stand();
                }
            }
        }
    }

    /// Adds a data file that stands in the lake and that this attempt has not made. Returns false
    /// when `partition` is none of the table's template: the object is not of this roll.
    pub(crate) fn add_standing_file(
        &mut self,
        table: usize,
        partition: &str,
        standing: Standing,
    ) -> bool {
        let statistics =
            standing.statistics.and_then(|statistics| self.statistics.keep(statistics));
        let Some(table) = self.tables.get_mut(table) else { return false };
        let Some(values) = values_of_path(&table.partition, partition) else { return false };
        table.files.push(DataFile {
            name: names::data(&table.name, partition, &self.node, self.roll),
            partition: partition.to_owned(),
            values,
            overflow: table.overflow.as_deref() == Some(partition),
            rows: standing.rows,
            bytes: standing.bytes,
            statistics,
            origin: Origin::Standing(None),
        });
        true
    }

    /// Adds the quarantine file of a table, which stands in the lake and which this attempt has not
    /// made.
    pub(crate) fn add_standing_quarantine(&mut self, table: usize, standing: &Standing) {
        let (node, roll) = (Arc::clone(&self.node), self.roll);
        let Some(table) = self.tables.get_mut(table) else { return };
        table.quarantine = Some(QuarantineFile {
            name: names::quarantine(&table.name, &node, roll),
            entries: standing.rows,
            by_code: RejectLines::new(),
            bytes: standing.bytes,
            origin: Origin::Standing(None),
        });
    }

    /// Counts lines again by the files, some of which stand in the lake and have lines that this
    /// attempt did not see.
    pub(crate) fn recount(&mut self) {
        let documents = self.tables.iter().filter(|table| !table.derived);
        let rows = documents.flat_map(|table| &table.files).map(|file| file.rows).sum();
        let rejects = self.tables.iter().flat_map(|table| &table.quarantine);
        let rejects = rejects.map(|file| file.entries).sum();
        self.counts =
            Counts { lines: rows + rejects + self.doubled(), rows, rejects, ..self.counts };
    }

    /// Writes the receipt. `lost` are the bodies of the range, or right before it, that are gone.
    ///
    /// Statistics are not in the receipts of plain tables: nothing reads them there, and a roll of
    /// 10,000 files would have a receipt of some 50 MB. Commits of other formats need them.
    pub(crate) fn receipt(&self, lost: &[SeqRange]) -> Receipt {
        let tables = self.tables.iter().map(TableManifest::receipt);
        let tables = tables.filter(|table| {
            !table.files.is_empty() || table.quarantine.is_some() || table.doubled > 0
        });
        let lost = lost.iter();
        Receipt {
            version: RECEIPT_VERSION,
            node: self.node.to_string(),
            roll: self.roll.0,
            first_seq: self.range.first.0,
            last_seq: self.range.last.0,
            lines: self.counts.lines,
            rows: self.counts.rows,
            rejects: self.counts.rejects,
            actions: self.counts.actions,
            unmatched: self.counts.unmatched,
            doubled: self.doubled(),
            bodies: self.bodies.map(|digest| digest.to_string()),
            lost: lost
                .map(|lost| LostBodies { first_seq: lost.first.0, last_seq: lost.last.0 })
                .collect(),
            tables: tables.collect(),
        }
    }
}

/// Returns the Hive path of a table's overflow partition, unless rows with nulls are there as well.
fn overflow(spec: &Spec) -> Option<String> {
    let values = spec.partition.overflow_values(spec.revision);
    let own = values.iter().any(Option::is_some);
    own.then(|| hive_path(&spec.partition, &values, spec.path_rules()))
}

impl TableManifest {
    fn receipt(&self) -> TableReceipt {
        let file = |file: &DataFile| FileReceipt {
            path: file.name.clone(),
            partition: file.partition.clone(),
            partition_values: self
                .partition
                .names()
                .zip(&*file.values)
                .map(|(name, value)| (name.to_owned(), value.clone()))
                .collect(),
            overflow: file.overflow,
            rows: file.rows,
            bytes: file.bytes,
            statistics: self.has_statistics.then(|| file.statistics.clone()).flatten(),
        };
        TableReceipt {
            table: self.name.to_string(),
            schema: self.schema.clone(),
            partition_template: self.partition.as_str().to_owned(),
            derived: self.derived,
            doubled: self.doubled,
            files: self.files.iter().map(file).collect(),
            quarantine: self.quarantine.as_ref().map(|file| QuarantineReceipt {
                path: file.name.clone(),
                entries: file.entries,
                bytes: file.bytes,
            }),
            fields: self.fields.clone(),
        }
    }
}

#[cfg(test)]
mod tests;
