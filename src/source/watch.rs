//! Which consoles there are, while they come and go.

use std::os::fd::BorrowedFd;
use std::sync::Arc;

use super::mailbox::Mailbox;
use super::{Bus, ConsoleInfo, Opened, Options, SourceError, Uri, libvirt, qemu};

/// Tells which consoles there are. Windows of consoles that it told of may need it: it is dropped after
/// what they opened.
pub trait Watch: Send {
    /// Readable when [`poll`](Self::poll) may have something.
    fn fd(&self) -> BorrowedFd<'_>;
    /// What there is since the last call; never blocks.
    fn poll(&mut self) -> Option<Seen>;
}

/// What a [`Watch`] tells.
#[derive(Clone, Debug)]
pub enum Seen {
    /// These are there now, and no others.
    Consoles(Vec<Present>),
    /// Nothing more can be seen, and why. The last one.
    Lost(String),
}

/// A console that is there.
#[derive(Clone, Debug)]
pub struct Present {
    /// The same as long as the console is there, also where what names it best becomes another; of all
    /// consoles that one [`Watch`] tells of only its own.
    pub id: String,
    /// What is known of it.
    pub console: ConsoleInfo,
    /// Its connection, where there can be only one.
    pub(super) link: Option<qemu::Link>,
}

impl Present {
    /// Whether all consoles of its virtual machine are shown over one connection.
    pub fn is_shared(&self) -> bool {
        self.link.is_some()
    }

    /// Opens it. Blocks for `options.time_limit` at most.
    ///
    /// # Errors
    /// As [`open`](super::open).
    pub fn open(&self, options: &Options) -> Result<Opened, SourceError> {
        match &self.link {
            Some(link) => qemu::open_linked(link, &self.console, options),
            None => super::open(&self.console.uri, options),
        }
    }
}

/// Watches the consoles that `uri` leads to (see [`list`](super::list)): on a message bus those of every
/// virtual machine or of the one that it names. The first list is there at once. Blocks for
/// `options.time_limit` at most.
///
/// # Errors
/// If nothing can be reached there, or there is none.
pub fn watch(uri: &Uri, options: &Options) -> Result<Box<dyn Watch>, SourceError> {
    match uri {
        #[cfg(feature = "wire")]
        Uri::Scanout { path, console } => super::wire::watch(path, *console, options),
        #[cfg(not(feature = "wire"))]
        Uri::Scanout { .. } => Err(SourceError::NotBuilt),
        Uri::Qemu { .. } | Uri::Qmp { .. } => {
            qemu::watch(qemu::Target::Uri(uri.clone()), qemu::AtFirst::Some, options)
        }
        Uri::Libvirt { .. } => libvirt::watch(uri, options),
        Uri::Demo(_) => watch_demo(uri),
    }
}

/// Watches the consoles of every virtual machine on a bus, where there may be none yet. Else as [`watch`].
///
/// # Errors
/// If the bus can't be reached.
pub fn watch_bus(bus: &Bus, options: &Options) -> Result<Box<dyn Watch>, SourceError> {
    let uri = Uri::Qemu { bus: bus.clone(), vm: None, console: None };
    qemu::watch(qemu::Target::Uri(uri), qemu::AtFirst::Any, options)
}

/// It has one console, which is made by who opens it.
fn watch_demo(uri: &Uri) -> Result<Box<dyn Watch>, SourceError> {
    let console = ConsoleInfo {
        uri: uri.clone(),
        vm: "demo".to_owned(),
        uuid: String::new(),
        console: 0,
        head: 0,
        label: "demo".to_owned(),
        kind: "Graphic".to_owned(),
        width: 0,
        height: 0,
        backend: "the demo inside this process".to_owned(),
    };
    let seen = Posted::new()?;
    seen.post(Seen::Consoles(vec![Present { id: "demo".to_owned(), console, link: None }]));
    Ok(Box::new(seen))
}

/// What another thread sees; only the latest waits.
#[derive(Clone, Debug)]
pub(super) struct Posted(Arc<Mailbox<Seen>>);

impl Posted {
    pub(super) fn new() -> Result<Self, SourceError> {
        let failed = |source| SourceError::System { what: "an eventfd", source };
        Ok(Self(Arc::new(Mailbox::new().map_err(failed)?)))
    }

    pub(super) fn post(&self, seen: Seen) {
        self.0.push(seen, |last, newer| {
            *last = newer;
            None
        });
    }
}

impl Watch for Posted {
    fn fd(&self) -> BorrowedFd<'_> {
        use std::os::fd::AsFd;
        (*self.0).as_fd()
    }

    fn poll(&mut self) -> Option<Seen> {
        self.0.pop()
    }
}
