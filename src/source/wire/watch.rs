//! Which consoles a backend has, as it says.

use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};

use super::{WireSource, ask, connect, infos, numbered};
use crate::source::{ConsoleInfo, Options, Present, Seen, SourceError, Watch};

/// A connection that asks for no picture.
struct WireWatch {
    source: WireSource,
    path: PathBuf,
    /// The one that matters; `None`: all.
    number: Option<u32>,
    first: Option<Vec<ConsoleInfo>>,
    over: bool,
}

/// Watches the consoles behind a socket, or the one of that number.
pub(in crate::source) fn watch(
    path: &Path,
    number: Option<u32>,
    options: &Options,
) -> Result<Box<dyn Watch>, SourceError> {
    let (source, consoles) = ask(connect(path)?, path, options)?;
    // What was asked about isn't news.
    source.link.changed();
    let consoles = match number {
        Some(number) => vec![numbered(consoles, number)?],
        None if consoles.is_empty() => return Err(SourceError::NoConsole(path.to_owned())),
        None => consoles,
    };
    let (path, first) = (path.to_owned(), Some(consoles));
    Ok(Box::new(WireWatch { source, path, number, first, over: false }))
}

impl Watch for WireWatch {
    fn fd(&self) -> BorrowedFd<'_> {
        self.source.link.ready()
    }

    fn poll(&mut self) -> Option<Seen> {
        if self.over {
            return None;
        }
        let mut newest = self.first.take();
        if newest.is_none() {
            self.source.read();
            newest = self.source.link.changed().map(|(vm, uuid, consoles)| {
                let mut consoles = infos(&self.path, &vm, &uuid, consoles);
                consoles.retain(|console| self.number.is_none_or(|n| n == console.console));
                consoles
            });
        }
        if let Some(consoles) = newest {
            let present = |console: ConsoleInfo| Present {
                id: console.console.to_string(),
                console,
                link: None,
            };
            return Some(Seen::Consoles(consoles.into_iter().map(present).collect()));
        }
        self.source.link.flush();
        let reason = self.source.link.fault()?;
        self.over = true;
        Some(Seen::Lost(reason))
    }
}
