//! `import`: files through the same engine as `serve`, with the lake as the log of rolls.
//!
//! The files of a command are one import: their rows share rolls, so that many small files do not
//! become many small objects. A file is identified by its content, whatever its name and packing
//! (`inputs`), and belongs to one import, which has claimed it (`claims`); an import is known by its
//! manifest (`manifest`). A file without any line is left out: nothing identifies it. Files that cannot
//! become rows, or only rows of nulls, are refused by name while planning (`planner`, `examine`), and
//! the others land; what can be read only once has landed by then, and is an error too.
//!
//! An interrupted import goes on when its files are given again: chunks are cut at the same places
//! (`chunker`), a roll that was sealed is made again of the same chunks, and rolls with a receipt are
//! left alone. Seals say of which files a roll is, so that each file is in the lake or not by itself
//! (`extent`): a file that cannot be read to its end stops nothing, and its rest lands when it is given
//! again. An input that can be read only once (standard input, a pipe) is an import of its own and
//! identified by nothing: interrupted, it begins anew, and doubles. A file whose content has changed
//! between hashing and landing is an error, and not done.
//!
//! Lines of the quarantine that are landed again (`replay`) are an import too, and so is each body that
//! was set aside whole (`whole_body`).
//!
//! One process at a time lands an import: on one machine by a lock (`staging`), across machines by
//! the claims, manifests and seals in the lake, each of which only one process can create. What the
//! start reads of the lake does not grow with the imports that it has seen (`index`).

mod boundary;
mod chunk_source;
mod chunker;
mod claims;
mod content_hash;
mod documents;
mod examine;
mod extent;
mod files;
mod importer;
mod index;
mod inputs;
mod landing;
mod manifest;
mod options;
mod planned;
mod planner;
mod reader;
mod replay;
mod report;
mod seals;
mod staging;
mod standing;
#[cfg(test)]
mod tests;
mod whole_body;

use anyhow::{Context as _, ensure};

use self::importer::{Importer, Run};
use self::report::Report;
use self::staging::Staging;

pub use documents::{Read, read_documents};
pub use importer::GivenUp;
pub use options::{Input, Options};
pub use replay::{Replay, Replayed};

/// Opens the file at `path`; gzip and zstd are inflated.
///
/// # Errors
/// The file cannot be read; the error names it.
pub fn open_sample(path: &std::path::Path) -> anyhow::Result<Box<dyn std::io::Read + Send>> {
    let file = reader::open(path)?;
    reader::decompress(Box::new(file)).with_context(|| format!("cannot read {}", path.display()))
}

/// Imports the files of `options`. Blocks until all of them have landed, and prints progress and a
/// summary unless the options are `quiet`.
///
/// # Errors
/// A file that cannot be read, is of a format that is not taken, gives no row or was imported before,
/// after all others have landed; the lake. What has landed before the error stays.
pub fn import(options: Options) -> anyhow::Result<()> {
    let runtime = runtime()?;
    let importer = Importer::open(options, runtime.handle().clone())?;
    Staging::sweep(&importer.options.lake.location);
    let failed = land_all(&importer)?;
    ensure!(failed.is_empty(), "{}", failed.join("\n  "));
    Ok(())
}

/// Ends the interrupted import `node` for good: its rows that have landed stay, and its files are no
/// longer asked for.
///
/// # Errors
/// There is no such import, or it is under way; the lake.
pub fn give_up(options: Options, node: &str) -> anyhow::Result<GivenUp> {
    let runtime = runtime()?;
    Importer::open(options, runtime.handle().clone())?.give_up(node)
}

/// Plans for files that another process has given back while this one planned for them.
const ROUNDS: usize = 4;

/// Lands the inputs of the options. Returns what has not landed, each with the reason.
fn land_all(importer: &Importer) -> anyhow::Result<Vec<String>> {
    let quiet = importer.options.quiet;
    let mut inputs: Vec<Input> = importer.options.inputs.clone();
    let (mut failed, mut refused, mut known) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let plan = planner::plan(importer, &inputs)?;
        report::print_empty(&plan.empty, quiet)?;
        refused.extend(plan.refused);
        known.extend(plan.known);
        inputs.clear();
        for planned in plan.imports {
            let report = Report::new(&planned.inputs(), quiet);
            let node = planned.node.clone();
            match importer.run(planned, &report) {
                Ok(run) => {
                    failed.extend(summarise(importer, &node, &run, report)?);
                    refused.extend(run.failed);
                    inputs.extend(run.retry);
                }
                // The files of the other imports have nothing to do with it.
                Err(error) => failed.push(format!("{error:#}")),
            }
        }
        if inputs.is_empty() {
            break;
        }
    }
    refused.extend(inputs.iter().map(|input| {
        let name = report::name(input);
        format!("{name}: other processes begin to import it all the time; give it again")
    }));
    if !refused.is_empty() {
        failed.push(format!(
            "not imported, and not remembered as imported:\n  {}",
            refused.join("\n  ")
        ));
    }
    if !known.is_empty() {
        failed.push(format!(
            "imported before, and left out: {}. To have the rows twice, give --again",
            known.join(", ")
        ));
    }
    Ok(failed)
}

/// Prints the summary of an import. Returns the files of which no line became a row.
fn summarise(
    importer: &Importer,
    node: &str,
    run: &Run,
    report: Report,
) -> anyhow::Result<Vec<String>> {
    let Some(manifest) = &run.manifest else { return Ok(Vec::new()) };
    let receipts = importer.manifests.receipts(node)?;
    report.done(&manifest.files, &receipts)?;
    // Files were looked at when they were planned; what can be read only once was not.
    let in_vain =
        receipts.iter().any(|roll| roll.rejects > 0) && receipts.iter().all(|r| r.rows == 0);
    let names = manifest.files.iter().map(|file| &file.name).filter(|_| in_vain);
    let mut failed: Vec<String> =
        names.map(|name| format!("no line of {name} became a row")).collect();
    let rows: u64 = receipts.iter().map(|roll| roll.rows).sum();
    if rows > 0 && receipts.iter().map(|roll| roll.unmatched).sum::<u64>() == rows {
        let names = manifest.files.iter().map(|file| file.name.as_str());
        let why = examine::unmatched_reason(rows, &importer.options.table.name);
        failed.extend(names.map(|name| format!("{name} has landed, but {why}")));
    }
    Ok(failed)
}

fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.enable_all().build().context("cannot start the asynchronous runtime")
}
