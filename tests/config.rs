//! The configuration file, the environment, and what is made of the command line: the program from outside.
#![cfg(all(feature = "cli", feature = "wayland"))]

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};

use tempfile::TempDir;

/// A home with this configuration.
struct Home {
    folder: TempDir,
}

impl Home {
    fn with(config: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join(".config/fanlight")).unwrap();
        let home = Self { folder };
        fs::write(home.file(), config).unwrap();
        home
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join(".config/fanlight/config.toml")
    }

    fn run(&self, args: &[&str], env: &[(&str, &str)]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_fanlight"))
            .args(args)
            .env_clear()
            .env("HOME", self.folder.path())
            .envs(env.iter().copied())
            .output()
            .expect("the program starts")
    }

    /// The exit code and what was said of `fanlight view`, where there is nothing to be seen.
    fn view(&self, args: &[&str], env: &[(&str, &str)]) -> (Option<i32>, String) {
        let output = self.run(&[&["view"], args].concat(), env);
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    }

    /// Asserts that it says one sentence with all of `words`, and ends as misused.
    fn refuses(&self, args: &[&str], words: &[&str]) {
        let (code, said) = self.view(args, &[]);
        assert_eq!(code, Some(2), "{said}");
        assert_eq!(said.trim_end().lines().count(), 1, "{said}");
        for word in words {
            assert!(said.contains(word), "it does not say \"{word}\": {said}");
        }
    }
}

/// What there is to be said where nothing is wrong but that there is no bus.
const NO_BUS: &str = "session bus";

#[test]
fn the_wrong_line_is_named_and_what_would_be_right() {
    let wrong = |config: &str, words: &[&str]| {
        let home = Home::with(config);
        let file = home.file();
        home.refuses(&[], &[&[file.to_str().unwrap()], words].concat());
    };
    wrong("# fine\n\nscael = \"fit\"\n", &["line 3:", "\"scael\"", "did you mean \"scale\"?"]);
    wrong("zzz = 1", &["line 1:", "\"zzz\"", "present, ", "scale, "]);
    wrong("config = \"/x\"", &["no setting \"config\""]);
    wrong("[view]\nscale = \"fit\"", &["line 1:", "no setting \"view\""]);
    wrong(
        "reconnect = true\nscale = \"2:1\"",
        &["line 2:", "\"2:1\"", "fit, integer, 1:1, stretch"],
    );
    wrong("ack-deadline = 0", &["line 1:", "ack-deadline", "1..=1000"]);
    wrong("ack-deadline = [\n1]", &["line 1:", "ack-deadline", "one text or number"]);
    wrong("present = true", &["\"present\" takes", "\"direct\""]);
    wrong("reconnect = \"yes\"", &["\"reconnect\" takes true or false"]);
    wrong("hotkey = \"grab=f1\"\nscale = 1", &["line 2:", "\"1\""]);
    wrong("\nhotkey = [\"grab=ctrl+alt+f1\", \"foo=f2\"]", &["line 2:", "unknown hotkey \"foo\""]);
    wrong("hotkey = [true]", &["\"hotkey\" takes a list of texts"]);
    wrong("scale = \n", &["line 1:", "not TOML"]);
    wrong("scale = \"fit\"\nscale = \"fit\"\n", &["line 2:", "not TOML"]);
}

#[test]
fn a_named_file_has_to_be_there_and_the_usual_one_needs_not() {
    let home = Home::with("scale = 7");
    let other = home.folder.path().join("other.toml");
    home.refuses(&["--config", other.to_str().unwrap()], &["other.toml", "can't read"]);
    fs::write(&other, "scale = 8").unwrap();
    home.refuses(&["--config", other.to_str().unwrap()], &["other.toml, line 1", "\"8\""]);
    let (_, said) = home.view(&[], &[("FANLIGHT_CONFIG", other.to_str().unwrap())]);
    assert!(said.contains("other.toml, line 1"), "{said}");
    let (_, said) = home.view(&[], &[("XDG_CONFIG_HOME", "/nowhere")]);
    assert!(said.contains(NO_BUS), "{said}");
    fs::remove_file(home.file()).unwrap();
    assert!(home.view(&[], &[]).1.contains(NO_BUS));
}

/// Seen by what a screen's name is: the file's is checked, so it is there; what is typed is another.
#[test]
fn what_is_typed_beats_the_environment_and_that_the_file() {
    // Of a wrong hotkey all that matters is who said it.
    let home = Home::with("stats = true\nhotkey = \"grab=f1\"\nack-deadline = 30\n");
    // F1 is taken twice only if the file's grab is heeded.
    let clash = "F1 would be for grab and";
    let said = |args: &[&str], env: &[(&str, &str)]| home.view(args, env).1;
    assert!(said(&[], &[]).contains(NO_BUS));
    let more = said(&["--hotkey", "hud=f1"], &[]);
    assert!(more.contains(NO_BUS), "what is typed takes the place of the file's: {more}");
    let env = [("FANLIGHT_HOTKEY", "foo=f1")];
    assert!(said(&[], &env).contains("unknown hotkey \"foo\""));
    assert!(said(&["--hotkey", "bar=f1"], &env).contains("unknown hotkey \"bar\""));
    let both = said(&["--hotkey", "grab=f1", "--hotkey", "hud=f1"], &env);
    assert!(both.contains(clash), "{both}");
    // The environment is checked as what is typed is.
    let (code, wrong) = home.view(&[], &[("FANLIGHT_SCALE", "2:1")]);
    assert!(code == Some(2) && wrong.contains("2:1"), "{wrong}");
}

/// Who has set a flag for good can do without it once.
#[test]
fn a_flag_that_is_set_is_taken_back() {
    // That several windows can't share one connection is said before anything else.
    let socket = ("WAYLAND_SOCKET", "9");
    let all = |config: &str, args: &[&str], env: &[(&str, &str)]| {
        let (_, said) = Home::with(config).view(args, &[env, &[socket]].concat());
        let all = said.contains("several windows");
        assert!(all || said.contains(NO_BUS), "{said}");
        all
    };
    let (file, yes, no) = ("all = true", ("FANLIGHT_ALL", "yes"), ("FANLIGHT_ALL", "no"));
    assert!(all(file, &[], &[]));
    assert!(!all(file, &["--all=no"], &[]));
    assert!(!all(file, &[], &[no]));
    assert!(all("", &[], &[yes]));
    assert!(!all("", &["--all=no"], &[yes]));
    assert!(all("all = false", &["--all=yes"], &[no]));
    assert!(!all("all = false", &[], &[]));
}

#[test]
fn the_example_names_every_setting_and_is_right() {
    let output = Home::with("").run(&["config"], &[]);
    let example = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0));
    for setting in ["present", "scale", "ack-deadline", "reconnect", "hotkey", "all", "stats"] {
        assert!(example.contains(&format!("\n#{setting} = ")), "{setting}: {example}");
    }
    assert!(!example.contains("#config") && !example.contains("#help"), "{example}");
    // As it is it says nothing; with all that it shows, nothing but the defaults.
    for config in [example.clone(), example.replace("\n#", "\n").replace("\n ", "\n# ")] {
        let (code, said) = Home::with(&config).view(&[], &[]);
        assert!(code == Some(1) && said.contains(NO_BUS), "{said}: {config}");
    }
}

/// Verbs and flags as help names them.
fn verbs_and_flags() -> (Vec<String>, Vec<String>) {
    let help = |args: &[&str]| {
        let output = Home::with("").run(args, &[]);
        String::from_utf8(output.stdout).unwrap()
    };
    let main = help(&["--help"]);
    let commands = main.split("Commands:\n").nth(1).unwrap().split("\n\n").next().unwrap();
    let verbs: Vec<_> = commands
        .lines()
        .filter_map(|line| line.strip_prefix("  ")?.split_whitespace().next())
        .filter(|verb| *verb != "help" && !verb.starts_with('-'))
        .map(str::to_owned)
        .collect();
    assert!(verbs.contains(&"view".to_owned()), "{verbs:?}");
    let mut flags = Vec::new();
    for verb in &verbs {
        let text = help(&[verb, "--help"]);
        let options = text.split("\nOptions:\n").nth(1).unwrap();
        for line in options.lines().filter(|line| line.trim_start().starts_with('-')) {
            let words = line.split([' ', ',', '[', '=', '.']).find(|word| word.starts_with("--"));
            flags.extend(words.map(str::to_owned));
        }
    }
    assert!(flags.contains(&"--reconnect".to_owned()), "{flags:?}");
    (verbs, flags)
}

#[test]
fn shells_complete_every_verb_and_flag() {
    let (verbs, flags) = verbs_and_flags();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let output = Home::with("").run(&["completions", shell], &[]);
        let text = String::from_utf8(output.stdout).unwrap();
        assert_eq!(output.status.code(), Some(0));
        for word in verbs.iter().chain(&flags) {
            // fish writes `-l name`.
            let name = word.trim_start_matches('-');
            assert!(text.contains(name), "{shell} does not know {word}");
        }
    }
}

#[test]
fn manual_pages_tell_of_every_verb_and_flag() {
    let (verbs, flags) = verbs_and_flags();
    let home = Home::with("");
    let folder = home.folder.path().join("man");
    let output = home.run(&["man", folder.to_str().unwrap()], &[]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let read = |name: &str| fs::read_to_string(folder.join(name)).unwrap();
    let main = read("fanlight.1");
    assert_eq!(String::from_utf8(home.run(&["man"], &[]).stdout).unwrap(), main);
    let mut all = String::new();
    for verb in &verbs {
        assert!(main.contains(&format!("fanlight\\-{verb}(1)")), "{verb}: {main}");
        let page = read(&format!("fanlight-{verb}.1"));
        assert!(page.contains(&format!("fanlight {verb}")), "{verb}: {page}");
        all += &page;
    }
    let all = all.replace("\\-", "-");
    for flag in &flags {
        assert!(all.contains(flag.as_str()), "{flag}");
    }
    let file = home.file();
    let output = home.run(&["man", file.to_str().unwrap()], &[]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
}
