//! `import`: files through the same engine as `serve`, with the lake as the log of rolls.
//!
//! The files of a command are one import: their rows share rolls, so that many small files do not
//! become many small objects. A file is identified by its content, whatever its name and packing; an
//! import by its files (`manifest`). A file without any line is left out: nothing identifies it. A file
//! of which no line is a row, or every row null in all columns, is refused while it is planned; what can be
//! read only once has landed by then, and is an error too. An interrupted import goes on exactly as it began when its
//! files are given again: chunks are cut at the same places (`chunker`), a roll that was sealed is
//! made again of the same chunks, and rolls with a receipt are left alone. An input that can be read
//! only once (standard input, a pipe) is an import of its own and identified by nothing: interrupted,
//! it begins anew, and doubles. A file whose content has changed between hashing and landing is an
//! error, and its import is not done.
//!
//! Lines of the quarantine that are landed again (`replay`) are an import too.
//!
//! One process at a time lands an import: on one machine by a lock (`staging`), across machines by
//! the manifests and seals in the lake, each of which only one process can create.

mod boundary;
mod chunk_source;
mod chunker;
mod content_hash;
mod examine;
mod importer;
mod manifest;
mod options;
mod planner;
mod reader;
mod replay;
mod report;
mod staging;
#[cfg(test)]
mod tests;

use anyhow::{Context as _, ensure};

use self::chunk_source::{Files, Origin};
use self::importer::Importer;
use self::planner::PlannedImport;
use self::report::Report;

pub use options::{Input, Options};
pub use replay::{Replay, Replayed};

/// Imports the files of `options`. Blocks until all of them have landed, and prints progress and a
/// summary unless the options are `quiet`.
///
/// # Errors
/// A file that cannot be read, is of a format that is not taken, gives no row or was imported before,
/// after all others have landed; the lake. What has landed before the error stays.
pub fn import(options: Options) -> anyhow::Result<()> {
    let runtime = runtime()?;
    let importer = Importer::open(options, runtime.handle().clone())?;
    let plan = planner::plan(&importer.options, &importer.manifests, &importer.tables)?;
    report::print_empty(&plan.empty, importer.options.quiet)?;
    let mut failed = Vec::new();
    for PlannedImport { node, manifest, new, inputs } in plan.imports {
        let report = Report::new(&inputs, importer.options.quiet);
        let contents = manifest.files.iter().map(|file| file.content.clone());
        let inputs = inputs.into_iter().zip(contents).collect();
        let origin = Origin::Files(Files::new(inputs, report.bar()));
        let manifest = importer.run(&node, manifest, new, origin, &report)?;
        let receipts = importer.manifests.receipts(&node)?;
        report.done(&manifest.files, &receipts)?;
        // Files were looked at when they were planned; what can be read only once was not.
        if receipts.iter().any(|roll| roll.rejects > 0) && receipts.iter().all(|r| r.rows == 0) {
            let names = manifest.files.iter().map(|file| file.name.as_str());
            failed.extend(names.map(|name| format!("no line of {name} became a row")));
        }
        let rows: u64 = receipts.iter().map(|roll| roll.rows).sum();
        if rows > 0 && receipts.iter().map(|roll| roll.unmatched).sum::<u64>() == rows {
            let names = manifest.files.iter().map(|file| file.name.as_str());
            let why = examine::unmatched_reason(rows, &importer.options.table.name);
            failed.extend(names.map(|name| format!("{name} has landed, but {why}")));
        }
    }
    if !plan.refused.is_empty() {
        failed.push(format!(
            "not imported, and not remembered as imported:\n  {}",
            plan.refused.join("\n  ")
        ));
    }
    if !plan.known.is_empty() {
        failed.push(format!(
            "imported before, and left out: {}. To have the rows twice, give --again",
            plan.known.join(", ")
        ));
    }
    ensure!(failed.is_empty(), "{}", failed.join("\n"));
    Ok(())
}

/// Ends the interrupted import `node` for good: its rows that have landed stay, and its files are no
/// longer asked for. Returns their names.
///
/// # Errors
/// There is no such import, or it is under way; the lake.
pub fn give_up(options: Options, node: &str) -> anyhow::Result<Vec<String>> {
    let runtime = runtime()?;
    Importer::open(options, runtime.handle().clone())?.give_up(node)
}

fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.enable_all().build().context("cannot start the asynchronous runtime")
}
