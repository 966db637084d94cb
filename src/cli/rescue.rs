//! The command `sessionlake rescue`.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;

use super::{Outcome, manual, out};
use crate::journal::{BodyCipher, RealDisk, Rescued, rescue};
use crate::privacy::Key;
use crate::record::{Body, Form, SeqRange};

/// Read what is whole of a segment of a journal.
///
/// Reads one file of a state directory (*.seg, *.seg.damaged), changes nothing, and writes the bodies
/// that are whole as NDJSON, a file for each table, for sessionlake import. Tells which bodies are
/// whole, which are damaged, and which had landed by what the file itself says: these are left out.
///
/// Not for a file that --skip-damaged has just set aside: its whole bodies are still in the journal,
/// and land from there. For a state directory that no server will use again, and for files that an
/// earlier version has set aside.
///
/// Exit code 1 if a body is damaged: what is whole is written all the same.
#[derive(Debug, clap::Args)]
#[command(after_long_help = manual!("\
  sessionlake rescue --into rescued \\
      state/00000000000000000001.seg.damaged
      Write rescued/….user_sessions.ndjson."))]
pub(super) struct Args {
    /// The segment.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Write into this directory, which must be there; nothing in it is written over.
    #[arg(long, value_name = "DIR", default_value = ".")]
    into: PathBuf,
    /// The secret that serve had, if the journal is encrypted.
    #[arg(long, value_name = "FILE")]
    privacy_key: Option<PathBuf>,
}

/// The files that are written, by table.
struct Files<'a> {
    args: &'a Args,
    by_table: BTreeMap<String, (PathBuf, BufWriter<File>, u64)>,
}

pub(super) fn run(args: &Args) -> Outcome {
    let cipher = match &args.privacy_key {
        Some(path) => {
            let key = Key::read(path).map_err(|why| super::Failure::Usage(why.into()))?;
            let cipher = BodyCipher::derived(|purpose| key.derive(purpose));
            Some(cipher.context("the privacy key cannot be used")?)
        }
        None => None,
    };
    let mut files = Files { args, by_table: BTreeMap::new() };
    let take = |body: Body| files.write(&body);
    let rescued: Rescued = rescue::<anyhow::Error>(&RealDisk, &args.file, cipher.as_ref(), take)?;
    let mut text = report(&args.file, &rescued);
    for (path, mut file, bodies) in files.by_table.into_values() {
        let synced = file.flush().and_then(|()| file.get_ref().sync_all());
        synced.with_context(|| format!("cannot write {}", path.display()))?;
        // Writing to a String cannot fail.
        let _ = writeln!(text, "written  {bodies} bodies to {}", path.display());
    }
    out::write(&text)?;
    let is_whole = rescued.damaged.is_empty() && rescued.unknown_at_end == 0;
    Ok(if is_whole { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

impl Files<'_> {
    fn write(&mut self, body: &Body) -> anyhow::Result<()> {
        if !self.by_table.contains_key(&*body.table) {
            let name = self.args.file.file_name().unwrap_or_default().to_string_lossy();
            let path = self.args.into.join(format!("{name}.{}.ndjson", body.table));
            let file = File::create_new(&path)
                .with_context(|| format!("cannot make {}", path.display()))?;
            let entry = (path, BufWriter::new(file), 0);
            self.by_table.insert(body.table.to_string(), entry);
        }
        let Some((path, file, bodies)) = self.by_table.get_mut(&*body.table) else { return Ok(()) };
        *bodies += 1;
        write_lines(file, body).with_context(|| format!("cannot write {}", path.display()))
    }
}

/// Writes the documents of a body, the last one with its line feed.
fn write_lines(file: &mut impl std::io::Write, body: &Body) -> std::io::Result<()> {
    match body.form {
        Form::Ndjson => {
            file.write_all(&body.bytes)?;
            if body.bytes.ends_with(b"\n") { Ok(()) } else { file.write_all(b"\n") }
        }
        // Every second line is a document: the others say what is to be done with them.
        Form::Elasticsearch => {
            let lines = body.bytes.split(|byte| *byte == b'\n');
            let lines = lines.filter(|line| !crate::bulk_action::is_blank(line));
            for line in lines.skip(1).step_by(2) {
                file.write_all(line)?;
                file.write_all(b"\n")?;
            }
            Ok(())
        }
    }
}

fn report(path: &Path, rescued: &Rescued) -> String {
    let mut text = format!("{} of node {}\n", path.display(), rescued.node);
    for (what, ranges) in [("whole", &rescued.whole), ("damaged", &rescued.damaged)] {
        for SeqRange { first, last } in ranges {
            let _ = writeln!(text, "{what:<8} bodies {first} to {last}");
        }
    }
    if rescued.unknown_at_end > 0 {
        let most = rescued.unknown_at_end;
        let _ = writeln!(text, "unknown  at most {most} bodies at the end");
    }
    if rescued.landed_to.0 > 0 {
        let _ = writeln!(text, "landed   bodies up to {}: not written", rescued.landed_to);
    }
    text
}
