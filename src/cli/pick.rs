//! Asks at the terminal which of several virtual machines is meant.

use std::io::{self, IsTerminal};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;

use super::Signals;
use super::exit::Failure;
use crate::source::{self, ConsoleInfo, Options, SourceError, Uri};

/// Longest answer that is read at once.
const ANSWER_MAX: usize = 256;

/// What to open, now that `error` came of opening `uri`: where several virtual machines are there and
/// somebody sits at a terminal, the one that is chosen.
pub(super) fn instead(uri: &Uri, error: SourceError, signals: &Signals) -> Result<Uri, Failure> {
    let asked = matches!(error, SourceError::SeveralVms(_))
        && io::stdin().is_terminal()
        && io::stderr().is_terminal();
    if !asked {
        return Err(error.into());
    }
    // They can be told apart by their names only where no name was asked for.
    let Ok(mut consoles) = source::list(uri, &Options::default()) else { return Err(error.into()) };
    consoles.retain(|console| console.kind == "Graphic");
    choose(&mut consoles, signals)?.ok_or_else(|| error.into())
}

/// The one that is chosen; `None` for none of them.
fn choose(consoles: &mut Vec<ConsoleInfo>, signals: &Signals) -> Result<Option<Uri>, Failure> {
    let count = consoles.len();
    eprint!("{}", menu(consoles));
    loop {
        eprint!("Which one? [1-{count}, or q] ");
        let Some(answer) = line(signals)? else {
            eprintln!();
            return Ok(None);
        };
        match answer.trim() {
            "q" => return Ok(None),
            answer => match answer.parse::<usize>() {
                Ok(number @ 1..) if number <= count => {
                    return Ok(Some(consoles.swap_remove(number - 1).uri));
                }
                _ => eprintln!("Type a number from 1 to {count} and Enter, or q for none."),
            },
        }
    }
}

fn menu(consoles: &[ConsoleInfo]) -> String {
    let wide = consoles.iter().map(|console| plain(&console.vm).chars().count()).max().unwrap_or(0);
    let line = |(i, console): (usize, &ConsoleInfo)| {
        let ConsoleInfo { uri, vm, label, width, height, .. } = console;
        let (vm, label) = (plain(vm), plain(label));
        format!("{:4}  {vm:wide$}  {label} {width}x{height}  {uri}\n", i + 1)
    };
    let lines: String = consoles.iter().enumerate().map(line).collect();
    format!("Several virtual machines are here:\n{lines}")
}

/// What a virtual machine is called, without what would move the cursor.
fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}

/// The next line that is typed; `None` at the end, or when a signal came.
fn line(signals: &Signals) -> Result<Option<String>, Failure> {
    let stdin = io::stdin();
    loop {
        let mut fds = [
            PollFd::new(&stdin, PollFlags::IN),
            PollFd::from_borrowed_fd(signals.fd(), PollFlags::IN),
        ];
        match poll(&mut fds, None) {
            Ok(_) => {}
            Err(Errno::INTR) => continue,
            Err(error) => return Err(io::Error::from(error).into()),
        }
        if !fds[1].revents().is_empty() {
            return Ok(None);
        }
        // A terminal gives one line at a time.
        let mut answer = [0; ANSWER_MAX];
        return match rustix::io::read(&stdin, &mut answer) {
            Ok(0) | Err(Errno::IO) => Ok(None),
            Ok(got) => Ok(Some(String::from_utf8_lossy(&answer[..got]).into_owned())),
            Err(Errno::INTR) => continue,
            Err(error) => Err(io::Error::from(error).into()),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_menu_moves_no_cursor() {
        let info = ConsoleInfo {
            uri: "qemu:a".parse().unwrap(),
            vm: "a\x1b[2J\nb".to_owned(),
            uuid: String::new(),
            console: 0,
            head: 0,
            label: "VGA".to_owned(),
            kind: "Graphic".to_owned(),
            width: 640,
            height: 480,
            backend: String::new(),
        };
        let menu = menu(&[info]);
        assert_eq!(
            menu,
            "Several virtual machines are here:\n   1  a?[2J?b  VGA 640x480  qemu:a\n"
        );
    }
}
