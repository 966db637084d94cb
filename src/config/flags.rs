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
    pub(super) fn get(&self, setting: &Setting) -> Option<String> {
        let found = self.given.iter().find(|(given, _)| given.key == setting.key);
        found.map(|(_, text)| text.clone())
    }

    /// Returns the first flag that was given, as it is written.
    pub(crate) fn first(&self) -> Option<String> {
        self.given.first().map(|(setting, _)| setting.flag())
    }

    fn settings() -> impl Iterator<Item = &'static Setting> {
        SETTINGS.iter().copied().filter(|setting| setting.commands & COMMANDS != 0)
    }

    /// Returns true for the lake of a command that has an argument for it. The hidden flag is for
    /// those who know it from other commands.
    fn has_an_argument(setting: &Setting) -> bool {
        COMMANDS == list::INSPECT && setting.key == list::LAKE.key
    }

    /// Returns the id of clap's argument. The argument LAKE may have the name of the key.
    fn id(setting: &Setting) -> &'static str {
        if Self::has_an_argument(setting) { "lake_flag" } else { setting.key }
    }
}

/// Returns a setting as a clap argument. Clap takes the text of the flag and shows help; it neither
/// reads the environment nor fills in defaults, which [`Layers`](super::layers::Layers) do.
fn argument(setting: &'static Setting) -> Arg {
    let more = if setting.more.is_empty() { String::new() } else { format!(" {}", setting.more) };
    let default = match (setting.kind, setting.default) {
        (Kind::Switch, _) | (_, None | Some("")) => String::new(),
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
        Kind::Switch => arg.num_args(0..=1).require_equals(true).default_missing_value("true"),
        _ => arg,
    }
}

impl<const COMMANDS: u8> clap::Args for Flags<COMMANDS> {
    fn augment_args(command: Command) -> Command {
        let argument =
            |setting| argument(setting).id(Self::id(setting)).hide(Self::has_an_argument(setting));
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
