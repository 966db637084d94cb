//! Tells the program which compiler it was built with.

use std::env;
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = Command::new(rustc).arg("--version").output();
    let version = output.ok().and_then(|output| String::from_utf8(output.stdout).ok());
    // "rustc 1.95.0 (hash date)"
    let number = version.as_deref().and_then(|version| version.split_whitespace().nth(1));
    println!("cargo::rustc-env=SESSIONLAKE_RUSTC={}", number.unwrap_or("unknown"));
}
