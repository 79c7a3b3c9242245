//! `fanlight script`: does to a guest what a file says, and sees whether the guest does as it should.

mod evidence;
mod parse;
mod run;
mod steps;
mod words;

use std::fs;
use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::Args;
use tracing::info;

use super::dump::time;
use super::exit::Failure;
use super::stats::Reporter;
use super::{Common, Signals, URIS};
use crate::capture::{Capture, CaptureOptions, parse_duration};
use crate::source::Uri;
use evidence::Evidence;
use run::Runner;
use steps::{Manner, Step};

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  fanlight script login.fan qemu:my-vm              do what login.fan says
  fanlight script install.fan qmp:/run/vm.sock --timeout 10min --evidence out
  fanlight script login.fan --check                 is it a script, and is all there that it names?
  echo 'type \"root\\n\"' | fanlight script - --layout 'de(nodeadkeys)'

A line of a script is a verb and what follows it; # begins a comment. A text with blanks is in
quotes, and may hold \\n (the key Return), \\t (Tab), \\\" and \\\\.

  type \"TEXT\"                 types it
  key KEYS…                   presses keys and lifts them, one after the other: key down down enter
  hold KEYS…                  holds keys down until they are released
  release [KEYS…]             releases these, or all
  move X,Y                    moves the pointer to that pixel
  click [BUTTON] [X,Y]        clicks there, or where it is; BUTTON is left, middle or right
  doubleclick [BUTTON] [X,Y]  the same, twice
  drag [BUTTON] X,Y X,Y       from the first to the second
  scroll N                    turns the wheel so many notches towards the user; -N: away
  wait change                 until the screen isn't as before the last line that did something
  wait stable:500ms           until it has been still so long, but for a blinking cursor
  wait match:FILE[:TOLERANCE] until it looks like the picture in FILE
  wait region:X,Y,W,H[:…]     one of these three for a part of the screen
  wait gone                   until the virtual machine has ended
    mask FILE                 after one of these: what is black in FILE may look like anything
    within TIME               and: no longer than this, whatever --timeout says
  expect FILE [tolerance N] [mask FILE]   fails unless the screen looks like that now
  dump FILE                   writes the screen into a file
  pause TIME                  does nothing for so long
  print \"TEXT\"                says it on the standard output
  layout NAME, timeout TIME, pace TIME    as --layout, --timeout and --pace, from here on

Keys are called as the layout has them (a, plus, Return, EuroSign), else as evdev calls their places
(enter, f11, pageup, kpenter, rightctrl), after modifiers: ctrl, alt, altgr, shift, super, as in
ctrl+alt+delete. A TIME is 500ms, 2s or 1min. Files are looked for beside the script, and read
before the guest is touched.

A line that fails ends the script, with a sentence that says which. What was on the screen is then
in NAME-lineN.png beside the script, and how that differs from what it should be in
NAME-lineN-diff.png. Exit code 2 for what is no script, 3 where something was waited for in vain, 4
where the screen is not what it should be.")]
pub(super) struct ScriptArgs {
    /// The script, or - for the standard input
    #[arg(value_name = "FILE")]
    file: PathBuf,
    #[arg(value_name = "URI", default_value = "qemu:", help = format!("Whose keyboard, pointer and screen: {URIS}"))]
    uri: String,
    #[command(flatten)]
    common: Common,
    /// The guest's keyboard layout, as XKB calls it: us, de(nodeadkeys)
    #[arg(long, value_name = "NAME", default_value = "us")]
    layout: String,
    /// How long each wait may take
    #[arg(long, value_name = "TIME", default_value = "1min", value_parser = time)]
    timeout: Duration,
    /// How much time is between what is pressed and lifted; a guest loses keys that come too fast
    #[arg(long, value_name = "TIME", default_value = "30ms", value_parser = parse_duration)]
    pace: Duration,
    /// Where pictures of what went wrong are kept, instead of beside the script
    #[arg(long, value_name = "DIR")]
    evidence: Option<PathBuf>,
    /// Only say whether it could be run
    #[arg(long)]
    check: bool,
}

pub(super) fn run(args: &ScriptArgs) -> Result<(), Failure> {
    let signals = Signals::new()?;
    let uri: Uri = args.uri.parse().map_err(Failure::usage)?;
    let (file, text) = read(&args.file)?;
    let folder = args.file.parent().unwrap_or(Path::new(""));
    let lines = parse::parse(&text)
        .map_err(|wrong| Failure::wrong(&wrong.what).at(&format!("{file}:{}", wrong.line)))?;
    let manner = Manner {
        folder: folder.to_owned(),
        layout: args.layout.clone(),
        timeout: args.timeout,
        pace: args.pace,
    };
    let steps = steps::prepare(lines, manner, &file)?;
    if args.check {
        return Ok(());
    }
    let evidence = Evidence::new(&file, args.evidence.as_deref().unwrap_or(folder))?;
    let options =
        CaptureOptions { ack_deadline: args.common.ack_deadline(), ..CaptureOptions::default() };
    let guest = Capture::open(&uri, &options)?;
    let mut reporter = Reporter::new(args.common.stats, &guest.console().uri);
    let start = Instant::now();
    let mut runner = Runner::new(guest, signals.fd(), evidence)?;
    let chatty = io::stderr().is_terminal();
    for step in &steps {
        let Step { line, said, .. } = step;
        info!("{file}:{line}: {said}");
        if chatty {
            eprintln!("{:7.1} s  {file}:{line}: {said}", start.elapsed().as_secs_f32());
        }
        runner.step(step)?;
        reporter.report(&runner.stats(), false)?;
    }
    reporter.report(&runner.stats(), true)
}

/// What the script is called, and its text.
fn read(path: &Path) -> Result<(String, String), Failure> {
    let is_stdin = path.as_os_str() == "-";
    let (name, text) = if is_stdin {
        ("stdin".to_owned(), io::read_to_string(io::stdin().lock()))
    } else {
        (path.display().to_string(), fs::read_to_string(path))
    };
    let text =
        text.map_err(|error| Failure::wrong(&format!("can't read the script {name}: {error}")))?;
    Ok((name, text))
}
