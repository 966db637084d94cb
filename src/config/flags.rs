//! Settings from flags, as clap arguments.

use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Command};

use super::list::{self, Kind, SETTINGS, Setting};

/// The settings that were given as flags to a command; `COMMANDS` is the command's bit in
/// [`Setting::commands`]. The arguments are made from the list of settings.
#[derive(Clone, Debug, Default)]
pub(crate) struct Flags<const COMMANDS: u8> {
    given: Vec<(&'static Setting, String)>,
}

impl<const COMMANDS: u8> Flags<COMMANDS> {
    /// Returns the text of the flag of `setting`, if it was given.
    pub(crate) fn get(&self, setting: &Setting) -> Option<String> {
        let found = self.given.iter().find(|(given, _)| given.key == setting.key);
        found.map(|(_, text)| text.clone())
    }

    /// Returns the first flag that was given and is none of `settings`, as it is written.
    pub(crate) fn first_beside(&self, settings: &[&Setting]) -> Option<String> {
        let is_other = |given: &Setting| settings.iter().all(|setting| setting.key != given.key);
        self.given.iter().find(|(given, _)| is_other(given)).map(|(given, _)| given.flag())
    }

    fn settings() -> impl Iterator<Item = &'static Setting> {
        SETTINGS.iter().copied().filter(|setting| setting.commands & COMMANDS != 0)
    }

    /// Returns the id of clap's argument. The argument LAKE of a command that looks at a lake may have the
    /// name of the key.
    fn id(setting: &Setting) -> &'static str {
        let is_lake = COMMANDS == list::INSPECT && setting.key == list::LAKE.key;
        if is_lake { "lake_flag" } else { setting.key }
    }
}

/// Returns a setting as a clap argument. Clap takes the text of the flag and shows help; it neither
/// reads the environment nor fills in defaults, which [`Layers`](super::layers::Layers) do.
fn argument(setting: &'static Setting) -> Arg {
    let more = if setting.more.is_empty() { String::new() } else { format!(" {}", setting.more) };
    let default = match (setting.kind, setting.default) {
        (Kind::Switch, _) | (_, None | Some("")) => String::new(),
        // With blanks, a terminal of 80 columns can break the line.
        (Kind::Names, Some(default)) => format!("[default: {}]", default.replace(',', ", ")),
        (_, Some(default)) => format!("[default: {default}]"),
    };
    let short = format!("{} {default}", setting.help.trim_end_matches('.'));
    let long = format!("{}{more}\n\n[env: {}]\n{default}", setting.help, setting.variable());
    let arg = Arg::new(setting.key)
        .long(setting.flag().trim_start_matches('-').to_owned())
        .value_name(setting.value_name)
        .help(short.trim_end().to_owned())
        .long_help(long.trim_end().to_owned())
        .help_heading(setting.heading)
        .action(ArgAction::Set)
        // So that a negative number meets the setting's own check, not "unexpected argument".
        .allow_negative_numbers(true);
    match setting.kind {
        // `--flag` alone is on; `--flag=false` outranks a file that says true.
        Kind::Switch | Kind::SwitchOr(_) => {
            arg.num_args(0..=1).require_equals(true).default_missing_value("true")
        }
        _ => arg,
    }
}

impl<const COMMANDS: u8> clap::Args for Flags<COMMANDS> {
    fn augment_args(command: Command) -> Command {
        // Beside an argument LAKE, the flag is for those who know it from other commands.
        let is_lake = |own: &Arg| {
            let names = own.get_value_names().unwrap_or_default();
            names.iter().any(|name| name.starts_with(list::LAKE.value_name))
        };
        let has_lake = command.get_positionals().any(is_lake);
        let argument = |setting: &'static Setting| {
            let is_hidden = has_lake && setting.key == list::LAKE.key;
            argument(setting).id(Self::id(setting)).hide(is_hidden)
        };
        Self::settings().map(argument).fold(command, Command::arg)
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl<const COMMANDS: u8> clap::FromArgMatches for Flags<COMMANDS> {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut given = Vec::new();
        for setting in Self::settings() {
            let id = Self::id(setting);
            if matches.value_source(id) == Some(ValueSource::CommandLine)
                && let Some(text) = matches.get_one::<String>(id)
            {
                given.push((setting, text.clone()));
            }
        }
        Ok(Flags { given })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}
