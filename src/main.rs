//! Parse, run, print the error chain, exit.

use std::process::ExitCode;

use sessionlake::cli;
use sessionlake::config::Environment;

fn main() -> ExitCode {
    match cli::run(std::env::args_os(), &Environment::new(std::env::vars_os())) {
        Ok(code) => code,
        Err(failure) => {
            eprintln!("error: {failure}");
            for cause in failure.causes() {
                eprintln!("  caused by: {cause}");
            }
            failure.exit_code()
        }
    }
}
