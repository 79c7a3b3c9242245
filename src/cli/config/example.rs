//! A configuration file with all that can be set, as a comment each.

use clap::{Arg, ArgAction};

use super::settings::flag_values;
use super::{CONFIGURED, command, needs_value, settings};

const HEAD: &str = "\
# Fanlight's configuration: $XDG_CONFIG_HOME/fanlight/config.toml, usually ~/.config/fanlight/config.toml.
# All settings are flags of `fanlight view`; `fanlight dump` and `script` heed those that they have too. Whatever
# is typed, or is in the environment (FANLIGHT_PRESENT, …), takes precedence. Below each setting has its default.
";

/// Its text.
pub(in crate::cli) fn example() -> String {
    let mut command = command();
    command.build();
    let view = command.find_subcommand(CONFIGURED[0]).expect("it is a verb");
    let about = |arg: &Arg| {
        let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
        let words = Some(flag_values(arg)).filter(|words| !words.is_empty());
        let words = words.map(|words| format!(": {words}")).unwrap_or_default();
        let name = arg.get_long().expect("a setting has a name");
        format!("\n# {help}{words}\n#{name} = {}\n", default(arg))
    };
    HEAD.to_owned() + &settings(view).map(about).collect::<String>()
}

/// What a setting is where nobody says.
fn default(arg: &Arg) -> String {
    let default = arg.get_default_values().first().map(|value| value.to_string_lossy());
    match (default, arg.get_action()) {
        (_, ArgAction::Append) => "[]".to_owned(),
        (Some(number), _) if number.parse::<f64>().is_ok() => number.into_owned(),
        (Some(word), action) if action.takes_values() => format!("\"{word}\""),
        (None, _) if needs_value(arg) => {
            flag_values(arg).split(", ").next().unwrap_or("\"\"").to_owned()
        }
        _ => "false".to_owned(),
    }
}
