//! Broken configuration files: complaints, never a panic.
//!
//! `SESSIONLAKE_SEARCH_STEPS=10000000 cargo test --release fuzz -- --nocapture` makes the long run.

use super::{file, reference};
use crate::search::{Dice, inputs, mutate};

/// Files that every test run makes.
const FILES: u64 = 20_000;

const WORDS: [&str; 12] = [
    "roll_age = ",
    "\"1h\"",
    "[storage]\n",
    "lake = \"s3://b/p\"\n",
    "= 9999999999999999999\n",
    "\"\"\"",
    "= [",
    "{ a = ",
    "journal_quota = \"1e9GiB\"\n",
    "# ",
    "decode_threads = \"auto\"\n",
    "\u{feff}",
];

#[test]
fn fuzz_files() {
    let files = inputs(FILES);
    let example = reference::example();
    let lines: Vec<&str> = example.lines().filter(|line| !line.starts_with('#')).collect();
    let mut dice = Dice(4);
    let (mut well, mut complaints) = (0_u64, 0_u64);
    for _ in 0..files {
        let mut text = String::new();
        for _ in 0..dice.below(6) {
            text.push_str(lines[dice.below(lines.len() as u64) as usize]);
            text.push('\n');
            if dice.one_in(4) {
                text.push_str(WORDS[dice.below(WORDS.len() as u64) as usize]);
            }
        }
        let mut bytes = text.into_bytes();
        if !dice.one_in(8) {
            mutate(&mut dice, &mut bytes);
        }
        let text = String::from_utf8_lossy(&bytes);
        let read = file::parse(&text, "f.toml");
        for problem in &read.problems {
            assert!(!problem.to_string().is_empty());
        }
        well += u64::from(read.problems.is_empty());
        complaints += read.problems.len() as u64;
    }
    let deep = format!("a = {}", "[".repeat(100_000));
    assert!(!file::parse(&deep, "f.toml").problems.is_empty());
    let deep = format!("{}a = 1", "a.".repeat(100_000));
    assert!(!file::parse(&deep, "f.toml").problems.is_empty());
    println!("{files} files, {well} without a complaint, {complaints} complaints");
    assert!(well > 0 && complaints > 0);
}
