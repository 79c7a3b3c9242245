//! What was typed, and what the environment and the configuration file say besides.
//!
//! Nothing is named here that can be set: the settings are the flags of `fanlight view` as clap knows them,
//! so that a new flag is a new setting, checked in the same way.

mod example;
mod settings;

use std::env;
use std::ffi::OsString;
use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use clap::builder::{FalseyValueParser, ValueRange};
use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Command, CommandFactory, FromArgMatches};

use super::Cli;
use super::exit::Failure;
pub(super) use example::example;
use settings::{Setting, Settings};

/// The verbs that can be configured; their settings are the flags of the first.
const CONFIGURED: [&str; 3] = ["view", "dump", "script"];

/// Flags that are no settings.
const NO_SETTINGS: [&str; 4] = ["config", "help", "version", "verbose"];

/// The program's command line, with what the environment may say of it.
pub(super) fn command() -> Command {
    let of_environment = |arg: Arg| {
        let Some(name) = variable(&arg) else { return arg };
        // One sentence about all of them is enough.
        let arg = arg.env(name).hide_env(true);
        match arg.get_action() {
            ArgAction::SetTrue => arg.value_parser(FalseyValueParser::new()),
            _ => arg,
        }
    };
    let mut command = Cli::command();
    for verb in CONFIGURED {
        command = command.mut_subcommand(verb, |of_verb| of_verb.mut_args(of_environment));
    }
    command
}

/// The variable that stands for a flag.
fn variable(arg: &Arg) -> Option<String> {
    let long = arg.get_long().filter(|long| !matches!(*long, "help" | "version"))?;
    Some(format!("FANLIGHT_{}", long.to_uppercase().replace('-', "_")))
}

/// The flags that are settings.
fn settings(of_verb: &Command) -> impl Iterator<Item = &Arg> {
    let is_setting = |arg: &&Arg| arg.get_long().is_some_and(|long| !NO_SETTINGS.contains(&long));
    of_verb.get_arguments().filter(is_setting)
}

/// Whether it is never a flag alone.
fn needs_value(arg: &Arg) -> bool {
    let least = |count: ValueRange| count.min_values() > 0;
    arg.get_action().takes_values() && arg.get_num_args().is_none_or(least)
}

/// Reads the command line; what it leaves open the environment says, else the configuration file. Ends the
/// process where that is a mistake of clap's to tell, or help.
pub(super) fn parse() -> Result<Cli, Failure> {
    let mut command = command();
    let mut typed: Vec<OsString> = env::args_os().collect();
    let verb = typed.iter().skip(1).position(|arg| CONFIGURED.iter().any(|verb| arg == verb));
    let refused = verb.map(|verb| take_refused(&command, &mut typed, verb + 1)).unwrap_or_default();
    // Of what is taken back the environment has no say either.
    let unset = |arg: Arg| match arg.get_long() {
        Some(name) if refused.iter().any(|refused| refused == name) => arg.env(None),
        _ => arg,
    };
    for verb in CONFIGURED {
        command = command.mut_subcommand(verb, |of_verb| of_verb.mut_args(unset));
    }
    let mut matches = read(&command, &typed);
    if let Some(at) = verb
        && let Some((verb, of_verb)) = matches.subcommand()
        && CONFIGURED.contains(&verb)
        && let Some((path, text)) =
            file(of_verb.get_one::<PathBuf>("config").map(PathBuf::as_path))?
    {
        let view = command.find_subcommand(CONFIGURED[0]).expect("it is a verb");
        let all = Settings::parse(&text, view).map_err(|wrong| wrong.in_file(&path))?;
        let known = command.find_subcommand(verb).expect("it was typed");
        let open = |setting: &&Setting| {
            !refused.contains(&setting.name) && is_open(known, of_verb, &setting.name)
        };
        let more: Vec<_> = all.iter().filter(open).flat_map(Setting::args).collect();
        typed.splice(at + 2..at + 2, more);
        matches = read(&command, &typed);
    }
    Cli::from_arg_matches(&matches).map_err(|error| error.exit())
}

fn read(command: &Command, typed: &[OsString]) -> ArgMatches {
    command.clone().try_get_matches_from(typed).unwrap_or_else(|error| error.exit())
}

/// Whether nobody but the configuration file says what this is to be.
fn is_open(known: &Command, matches: &ArgMatches, name: &str) -> bool {
    let Some(arg) = settings(known).find(|arg| arg.get_long() == Some(name)) else { return false };
    let source = matches.value_source(arg.get_id().as_str());
    !matches!(source, Some(ValueSource::CommandLine | ValueSource::EnvVariable))
}

/// `--reconnect=no` says that a flag isn't given, whoever else says that it is; `--reconnect=yes` is the
/// flag. Takes them out or makes them so, and returns the names of the first kind.
fn take_refused(command: &Command, typed: &mut Vec<OsString>, from: usize) -> Vec<String> {
    let known = command.find_subcommand(&typed[from]).expect("it is a verb");
    let is_flag =
        |name: &str| settings(known).any(|arg| arg.get_long() == Some(name) && !needs_value(arg));
    let mut refused = Vec::new();
    let mut end = false;
    let mut kept = Vec::with_capacity(typed.len());
    for (i, arg) in typed.drain(..).enumerate() {
        end |= arg == "--";
        let flag = arg.to_str().and_then(|arg| arg.strip_prefix("--")?.split_once('='));
        match flag {
            Some((name, "no")) if i > from && !end && is_flag(name) => {
                refused.push(name.to_owned());
            }
            Some((name, "yes")) if i > from && !end && is_flag(name) => {
                kept.push(format!("--{name}").into());
            }
            _ => kept.push(arg),
        }
    }
    *typed = kept;
    refused
}

/// The configuration file and its text: the one that was named, else the user's, if there is one.
fn file(named: Option<&Path>) -> Result<Option<(PathBuf, String)>, Failure> {
    let Some(path) = named.map(Path::to_owned).or_else(usual) else { return Ok(None) };
    match fs::read_to_string(&path) {
        Ok(text) => Ok(Some((path, text))),
        Err(error) if named.is_none() && error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => {
            let sentence = format!("can't read the configuration file {}: {error}", path.display());
            Err(Failure::usage(io::Error::other(sentence)))
        }
    }
}

/// Where the user's is.
fn usual() -> Option<PathBuf> {
    let folder = |name| env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let config = folder("XDG_CONFIG_HOME").or_else(|| Some(folder("HOME")?.join(".config")))?;
    Some(config.join("fanlight/config.toml"))
}
