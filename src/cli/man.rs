//! The command `sessionlake man`.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use super::{Outcome, command, manual, out};

/// Write the manual pages to a directory, a page for each command.
///
/// The packages have them in place already: man sessionlake, man sessionlake-serve.
#[derive(Debug, clap::Args)]
#[command(after_long_help = manual!("\
  sessionlake man ~/.local/share/man/man1
      sessionlake.1, sessionlake-serve.1, ..."))]
pub(super) struct Args {
    /// Write them here. Those that are there are replaced.
    dir: PathBuf,
}

pub(super) fn run(args: &Args) -> Outcome {
    write(&args.dir)?;
    out::print(&format!("{}\n", args.dir.display()))
}

fn write(dir: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(dir).with_context(|| format!("cannot make {}", dir.display()))?;
    clap_mangen::generate_to(command(), dir)
        .with_context(|| format!("cannot write manual pages to {}", dir.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_command_that_is_shown_has_a_page_with_its_flags() {
        let dir = tempfile::tempdir().unwrap();
        write(&dir.path().join("man1")).unwrap();
        let mut names: Vec<_> = fs::read_dir(dir.path().join("man1"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        for of in command().get_subcommands().filter(|of| !of.is_hide_set()) {
            let name = format!("sessionlake-{}.1", of.get_name());
            assert!(names.contains(&name), "{name} is not in {names:?}");
        }
        assert!(!names.contains(&"sessionlake-config-reference.1".to_owned()));
        let serve = fs::read_to_string(dir.path().join("man1/sessionlake-serve.1")).unwrap();
        assert!(serve.contains("roll\\-age"), "{serve}");
    }
}
