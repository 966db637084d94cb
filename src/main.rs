//! Parse, run, print what went wrong, exit.

use std::process::ExitCode;

use sessionlake::cli;
use sessionlake::config::Environment;

fn main() -> ExitCode {
    match cli::run(std::env::args_os(), &Environment::new(std::env::vars_os())) {
        Ok(code) => code,
        Err(failure) => {
            eprint!("{}", failure.report());
            failure.exit_code()
        }
    }
}
