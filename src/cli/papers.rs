//! What is made of the command line besides help: manual pages, completions for shells, an example of the
//! configuration file.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clap::{Args, Command};
use clap_complete::Shell;
use clap_mangen::Man;

use super::config;
use super::exit::{Failure, print};

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  fanlight completions bash > ~/.local/share/bash-completion/completions/fanlight
  fanlight completions zsh > \"${fpath[1]}/_fanlight\"
  fanlight completions fish > ~/.config/fish/completions/fanlight.fish")]
pub(super) struct CompletionsArgs {
    /// For which shell
    shell: Shell,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  fanlight man | man -l -                    read the first of them
  fanlight man ~/.local/share/man/man1       write all of them, for `man fanlight-view`")]
pub(super) struct ManArgs {
    /// Where to write a page each for the program and its verbs; without it the program's own is printed
    #[arg(value_name = "DIR")]
    folder: Option<PathBuf>,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  fanlight config > ~/.config/fanlight/config.toml")]
pub(super) struct ConfigArgs {}

pub(super) fn completions(args: &CompletionsArgs) -> Result<(), Failure> {
    let mut text = Vec::new();
    clap_complete::generate(args.shell, &mut config::command(), "fanlight", &mut text);
    whole(&text)
}

pub(super) fn example() -> Result<(), Failure> {
    print(config::example().trim_end())
}

pub(super) fn man(args: &ManArgs) -> Result<(), Failure> {
    let mut command = config::command().disable_help_subcommand(true);
    command.build();
    let Some(folder) = &args.folder else { return whole(&page(command)?) };
    fs::create_dir_all(folder).map_err(|error| cant_write(folder, error))?;
    let verbs: Vec<_> = command.get_subcommands().cloned().collect();
    for verb in verbs {
        let name = format!("fanlight-{}", verb.get_name());
        // A page is called as its file is, and the usage stays as it is typed.
        write(folder, &name, verb.display_name(name.clone()))?;
    }
    write(folder, "fanlight", command)
}

fn write(folder: &Path, name: &str, command: Command) -> Result<(), Failure> {
    let path = folder.join(format!("{name}.1"));
    fs::write(&path, page(command)?).map_err(|error| cant_write(&path, error))
}

fn cant_write(path: &Path, error: io::Error) -> Failure {
    Failure::failed(format!("can't write {}", path.display()), error)
}

fn page(command: Command) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    Man::new(command).render(&mut text)?;
    // What stands below the help is laid out as it is to be.
    let text = String::from_utf8_lossy(&text).replace(".SH EXTRA\n", ".SH NOTES\n.nf\n");
    Ok(text.replace("\n.SH VERSION\n", "\n.fi\n.SH VERSION\n").into_bytes())
}

/// Prints it as it is.
fn whole(text: &[u8]) -> Result<(), Failure> {
    match io::stdout().lock().write_all(text) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::failed("can't write to the standard output", error))
        }
        _ => Ok(()),
    }
}
