//! The command `sessionlake completions`.

use clap_complete::{Shell, generate};

use super::{Outcome, command, manual, out};

/// Print completions for a shell.
///
/// The packages have them for bash, zsh and fish in place already.
#[derive(Debug, clap::Args)]
#[command(after_long_help = manual!("\
  sessionlake completions bash > ~/.local/share/bash-completion/completions/sessionlake"))]
pub(super) struct Args {
    /// The shell that is to read them.
    #[arg(value_enum)]
    shell: Shell,
}

pub(super) fn run(args: &Args) -> Outcome {
    out::print(&text(args.shell))
}

fn text(shell: Shell) -> String {
    let mut script = Vec::new();
    generate(shell, &mut command(), "sessionlake", &mut script);
    String::from_utf8_lossy(&script).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_shell_completes_commands_and_their_flags() {
        for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
            let text = text(shell);
            assert!(text.contains("quarantine") && text.contains("roll-age"), "{shell}");
        }
    }
}
