//! The settings of a configuration file, each checked as if it were typed.

use std::error::Error;
use std::ffi::OsString;
use std::fmt::Write;
use std::io;
use std::path::Path;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, ArgAction, Command};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::{needs_value, settings as flags};
use crate::cli::exit::Failure;
use crate::sink::wayland::Hotkeys;

/// What a file says.
#[derive(Debug)]
pub(super) struct Settings(Vec<Setting>);

/// What it says of one flag.
#[derive(Debug)]
pub(super) struct Setting {
    pub(super) name: String,
    /// `None`: the flag alone.
    values: Vec<Option<String>>,
}

/// What is wrong in a file, and in which line.
#[derive(Debug)]
pub(super) struct Wrong {
    line: usize,
    what: String,
}

impl Wrong {
    pub(super) fn in_file(self, path: &Path) -> Failure {
        let Self { line, what } = self;
        Failure::usage(io::Error::other(format!("{}, line {line}: {what}", path.display())))
    }
}

impl Setting {
    /// As it would be typed.
    pub(super) fn args(&self) -> impl Iterator<Item = OsString> {
        self.values.iter().map(|value| as_typed(&self.name, value.as_deref()).into())
    }
}

fn as_typed(name: &str, value: Option<&str>) -> String {
    value.map_or_else(|| format!("--{name}"), |value| format!("--{name}={value}"))
}

impl Settings {
    /// Reads a file's text; the settings are the flags of `view`.
    pub(super) fn parse(text: &str, view: &Command) -> Result<Self, Wrong> {
        let line = |at: usize| 1 + text[..at.min(text.len())].matches('\n').count();
        let table = DeTable::parse(text).map_err(|error| {
            let at = error.span().map_or(0, |span| span.start);
            Wrong { line: line(at), what: format!("this is not TOML: {}", error.message()) }
        })?;
        let mut settings = Vec::new();
        for (key, value) in table.get_ref() {
            let wrong = |what, at: usize| Wrong { line: line(at), what };
            let name = key.get_ref().as_ref();
            let Some(arg) = flags(view).find(|arg| arg.get_long() == Some(name)) else {
                return Err(wrong(unknown(name, view), key.span().start));
            };
            let values = values(arg, value).map_err(|what| wrong(what, value.span().start))?;
            check(view, name, &values).map_err(|what| wrong(what, value.span().start))?;
            settings.push(Setting { name: name.to_owned(), values });
        }
        Ok(Self(settings))
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Setting> {
        self.0.iter()
    }
}

/// What is said of a key that is no setting.
fn unknown(name: &str, view: &Command) -> String {
    let mut what = format!("there is no setting \"{name}\"");
    // What it is like is for clap to say, as it does of what is typed.
    let typed = view.clone().no_binary_name(true).try_get_matches_from([as_typed(name, None)]);
    let like = typed.err().and_then(|error| match error.get(ContextKind::SuggestedArg) {
        Some(ContextValue::String(like)) => Some(like.trim_start_matches("--").to_owned()),
        _ => None,
    });
    match like.filter(|like| flags(view).any(|arg| arg.get_long() == Some(like))) {
        Some(like) => write!(what, "; did you mean \"{like}\"?"),
        None => {
            let all: Vec<_> = flags(view).filter_map(Arg::get_long).collect();
            write!(what, "; there are: {}", all.join(", "))
        }
    }
    .expect("a string takes anything");
    what
}

/// What of a flag a file asks for; nothing for `false`.
fn values(arg: &Arg, value: &Spanned<DeValue<'_>>) -> Result<Vec<Option<String>>, String> {
    let name = arg.get_long().unwrap_or_default();
    let takes = |what: &str| Err(format!("\"{name}\" takes {what}"));
    match (value.get_ref(), arg.get_action()) {
        (DeValue::Boolean(on), _) if !needs_value(arg) => {
            Ok(on.then_some(None).into_iter().collect())
        }
        (_, action) if !action.takes_values() => takes("true or false"),
        (DeValue::Array(list), ArgAction::Append) => list
            .iter()
            .map(|value| text(value).map(Some).ok_or(()))
            .collect::<Result<_, _>>()
            .or_else(|()| takes("a list of texts")),
        (DeValue::Array(_) | DeValue::Table(_) | DeValue::Boolean(_) | DeValue::Datetime(_), _) => {
            let like = flag_values(arg);
            takes(&if like.is_empty() { "one text or number".to_owned() } else { like })
        }
        _ => Ok(vec![text(value)]),
    }
}

fn text(value: &Spanned<DeValue<'_>>) -> Option<String> {
    match value.get_ref() {
        DeValue::String(text) => Some(text.to_string()),
        DeValue::Integer(number) if number.radix() == 10 => Some(number.as_str().to_owned()),
        DeValue::Float(number) => Some(number.as_str().to_owned()),
        _ => None,
    }
}

/// The words that a flag takes, if they can be counted.
pub(super) fn flag_values(arg: &Arg) -> String {
    if !arg.get_action().takes_values() {
        return String::new();
    }
    let words: Vec<_> =
        arg.get_possible_values().iter().map(|value| format!("\"{}\"", value.get_name())).collect();
    words.join(", ")
}

/// Whether the program would take it if it were typed.
fn check(view: &Command, name: &str, values: &[Option<String>]) -> Result<(), String> {
    let typed = values.iter().map(|value| as_typed(name, value.as_deref()));
    if let Err(error) = view.clone().no_binary_name(true).try_get_matches_from(typed) {
        return Err(refusal(name, &error));
    }
    // What only the viewer knows.
    if name == "hotkey" {
        let all = values.iter().flatten().map(String::as_str);
        Hotkeys::changed(all).map_err(|error| error.to_string())?;
    }
    Ok(())
}

fn refusal(name: &str, error: &clap::Error) -> String {
    let value = match error.get(ContextKind::InvalidValue) {
        Some(ContextValue::String(value)) => value.as_str(),
        _ => "",
    };
    let mut what = format!("\"{value}\" is no value for \"{name}\"");
    let reason = match (error.kind(), error.get(ContextKind::ValidValue), error.source()) {
        (ErrorKind::InvalidValue, Some(ContextValue::Strings(all)), _) => {
            format!("it takes {}", all.join(", "))
        }
        (_, _, Some(reason)) => reason.to_string(),
        (kind, ..) => kind.to_string(),
    };
    write!(what, ": {reason}").expect("a string takes anything");
    what
}
