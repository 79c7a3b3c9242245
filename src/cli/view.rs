//! `fanlight view`: a guest in a window.

mod args;
mod head;

pub(super) use args::ViewArgs;

use super::Signals;
use super::exit::Failure;
use super::pick;
use crate::source;
use head::Head;

pub(super) fn run(args: &ViewArgs) -> Result<(), Failure> {
    let signals = Signals::new()?;
    let window = args.window()?;
    let mut uri = args.common.uri()?;
    let limits = source::Options::default();
    let opened = match source::open(&uri, &limits) {
        Ok(opened) => opened,
        Err(error) => {
            uri = pick::instead(&uri, error, &signals)?;
            source::open(&uri, &limits)?
        }
    };
    Head::open(args, &window, &uri, opened, &signals)?.run()
}
