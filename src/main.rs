//! The program: runs the command of the arguments, prints its failure, and exits with its code.

use std::io::Write as _;
use std::process::ExitCode;

use sessionlake::cli;
use sessionlake::config::Environment;

fn main() -> ExitCode {
    match cli::run(std::env::args_os(), &Environment::new(std::env::vars_os())) {
        Ok(code) => code,
        Err(failure) => {
            // The exit code says it as well when nobody reads standard error.
            let _ = write!(std::io::stderr(), "{}", failure.report());
            failure.exit_code()
        }
    }
}
