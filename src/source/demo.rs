//! `demo:`: a simulated guest inside this process, seen as any other backend is.

use std::os::fd::BorrowedFd;

use super::{Opened, Options, SourceError, Uri, wire};
use crate::demo::{Demo, Settings};
use crate::frame::{Input, SizeHint, StorageId};
use crate::port::{Source, SourceEvent};

/// The demo's console. The demo ends with it.
struct DemoSource {
    // Hung up before the demo is waited for.
    source: Box<dyn Source + Send>,
    _demo: Demo,
}

impl Source for DemoSource {
    fn fd(&self) -> BorrowedFd<'_> {
        self.source.fd()
    }

    fn poll(&mut self) -> Option<SourceEvent> {
        self.source.poll()
    }

    fn send(&mut self, input: &Input) {
        self.source.send(input);
    }

    fn resize(&mut self, hint: &SizeHint) {
        self.source.resize(hint);
    }

    fn retired(&mut self, storage: StorageId) {
        self.source.retired(storage);
    }
}

/// Starts a demo and opens its console.
pub(super) fn open(settings: &Settings, options: &Options) -> Result<Opened, SourceError> {
    let demo = Demo::start(settings)?;
    if !demo.shows_dma_bufs() {
        tracing::warn!("{}", Demo::NO_DMA_BUFS);
    }
    let failed = |source| SourceError::System { what: "a socket", source };
    let stream = demo.connect().map_err(failed)?;
    let mut opened = wire::open_stream(stream, "demo".as_ref(), None, options)?;
    opened.console.uri = Uri::Demo(*settings);
    opened.console.backend = "the demo inside this process".to_owned();
    opened.source = Box::new(DemoSource { source: opened.source, _demo: demo });
    Ok(opened)
}
