//! The four layers, messages, and everything that is made from the lists.

mod catalog;
mod layers;
mod listening;
mod messages;
mod reference;
mod sections;
mod together;

use clap::{Args as _, FromArgMatches as _};

use super::list::SERVE;
use super::*;

fn flags<const C: u8>(typed: &[&str]) -> Flags<C> {
    let command = Flags::<C>::augment_args(clap::Command::new("test"));
    let arguments = std::iter::once("test").chain(typed.iter().copied());
    let matches = command.try_get_matches_from(arguments).unwrap();
    Flags::from_arg_matches(&matches).unwrap()
}

fn environment(variables: &[(&str, &str)]) -> Environment {
    Environment::new(variables.iter().copied())
}

/// Loads the settings of `serve` with these flags, these variables, and a file with this text.
fn load(
    typed: &[&str],
    variables: &[(&str, &str)],
    text: Option<&str>,
) -> Result<Loaded<server::Settings>, Error> {
    let dir = tempfile::tempdir().unwrap();
    let mut typed: Vec<&str> = typed.to_vec();
    let path = dir.path().join("sessionlake.toml");
    let config;
    if let Some(text) = text {
        std::fs::write(&path, text).unwrap();
        config = format!("--config={}", path.display());
        typed.push(&config);
    }
    serve(&flags::<SERVE>(&typed), &environment(variables))
}

/// Returns the message about a file with this text, without the directory of the file.
fn complaint(text: &str) -> String {
    let said = load(&[], &[], Some(text)).unwrap_err().to_string();
    let at = said.find("sessionlake.toml").unwrap_or(0);
    let list = if said.starts_with("the configuration has") { said.find(":\n") } else { None };
    let head = list.map_or("", |end| &said[..=end]);
    let mut lines = String::from(head);
    for line in said[if head.is_empty() { at } else { head.len() }..].lines() {
        lines.push_str(line.find("sessionlake.toml").map_or(line, |at| &line[at..]));
        lines.push('\n');
    }
    lines.trim_end().to_owned()
}
