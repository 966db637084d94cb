//! The command `sessionlake passwd`.

use std::io::{BufRead as _, IsTerminal as _};

use anyhow::{Context as _, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};

use super::{Outcome, manual, out};
use crate::auth;

/// Make the hash of a password, or a token, for the file of credentials.
///
/// Reads a password from standard input (without showing it, at a terminal) and prints its Argon2id
/// hash, for password_hash and secret_hash. With --token, makes up a token and prints it and its
/// hash, for token_hash: the token is nowhere else.
#[derive(Debug, clap::Args)]
#[command(after_long_help = manual!("\
  sessionlake passwd
      Ask for a password, print its hash.

  sessionlake passwd --token
      Make up a token."))]
pub(super) struct Args {
    /// Make up a token, and print it with its hash.
    #[arg(long)]
    token: bool,
}

pub(super) fn run(args: &Args) -> Outcome {
    if args.token {
        let mut bytes = [0; 32];
        getrandom::fill(&mut bytes).map_err(|error| anyhow::anyhow!("no random token: {error}"))?;
        let token = URL_SAFE_NO_PAD.encode(bytes);
        let hash = auth::token_hash(&token);
        return out::print(&format!("token      = \"{token}\"\ntoken_hash = \"{hash}\"\n"));
    }
    let password = read()?;
    out::print(&format!("{}\n", auth::password::hash(&password)?))
}

/// Reads a line from standard input, without showing it at a terminal.
fn read() -> anyhow::Result<String> {
    let stdin = std::io::stdin();
    let shown = match stdin.is_terminal() {
        true => {
            eprint!("Password: ");
            let shown = tcgetattr(&stdin).context("the terminal")?;
            let mut hidden = shown.clone();
            hidden.local_modes.remove(LocalModes::ECHO);
            tcsetattr(&stdin, OptionalActions::Flush, &hidden).context("the terminal")?;
            Some(shown)
        }
        false => None,
    };
    let mut line = String::new();
    let read = stdin.lock().read_line(&mut line);
    if let Some(shown) = shown {
        let _ = tcsetattr(&stdin, OptionalActions::Flush, &shown);
        eprintln!();
    }
    read.context("cannot read the password")?;
    let password = line.trim_end_matches(['\r', '\n']);
    ensure!(!password.is_empty(), "the password is empty");
    Ok(password.to_owned())
}
