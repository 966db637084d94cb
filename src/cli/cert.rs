//! The command `sessionlake cert`.

use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};

use super::{Outcome, manual, out};
use crate::tls;

/// Make a self-signed certificate, to try TLS out.
///
/// Writes cert.pem and key.pem (readable by this user only) to a directory. No client trusts such
/// a certificate unless it is told to: use one of an authority for anything but a trial. Files that
/// are there are not overwritten.
#[derive(Debug, clap::Args)]
#[command(after_long_help = manual!("\
  sessionlake cert --self-signed tls
  sessionlake serve --tls-cert tls/cert.pem \\
      --tls-key tls/key.pem
  curl --cacert tls/cert.pem -T sessions.ndjson \\
      https://localhost:3000/export/events"))]
pub(super) struct Args {
    /// Write cert.pem and key.pem here.
    #[arg(long, value_name = "DIR", required = true)]
    self_signed: PathBuf,
    /// A name or address that the certificate is for; may be given several times.
    #[arg(
        long = "name",
        value_name = "NAME",
        default_values = ["localhost", "127.0.0.1", "::1"],
        value_parser = name
    )]
    names: Vec<String>,
}

/// Checks a name, which has to be one that a client could ask for.
fn name(text: &str) -> Result<String, String> {
    match text.is_empty() || text.contains(|c: char| c.is_whitespace() || c.is_control()) {
        true => Err("a name is one such as lake.example, without spaces".to_owned()),
        false => Ok(text.to_owned()),
    }
}

pub(super) fn run(args: &Args) -> Outcome {
    let (cert, key) = tls::self_signed(args.names.clone()).context("cannot make a certificate")?;
    let dir = &args.self_signed;
    fs::create_dir_all(dir).with_context(|| format!("cannot make {}", dir.display()))?;
    let (cert_path, key_path) = (dir.join("cert.pem"), dir.join("key.pem"));
    // Both, before one of them is written.
    refuse_existing(&cert_path)?;
    refuse_existing(&key_path)?;
    write(&key_path, &key, 0o600)?;
    write(&cert_path, &cert, 0o644)?;
    let (cert, key) = (cert_path.display(), key_path.display());
    out::print(&format!("{cert}\n{key}\nuse them: --tls-cert {cert} --tls-key {key}\n"))
}

/// Refuses a file that exists.
fn refuse_existing(path: &Path) -> anyhow::Result<()> {
    let path_shown = path.display();
    ensure!(
        !path.exists(),
        "{path_shown} is there already: give another directory, or move it away"
    );
    Ok(())
}

/// Writes a new file with these permissions.
fn write(path: &Path, text: &str, mode: u32) -> anyhow::Result<()> {
    let open = File::options().write(true).create_new(true).mode(mode).open(path);
    open.and_then(|mut file| file.write_all(text.as_bytes()))
        .with_context(|| format!("cannot write {}", path.display()))
}
