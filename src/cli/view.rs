//! `fanlight view`: guests in windows.

mod args;
mod head;
mod heads;
mod sound;

pub(super) use args::ViewArgs;

use super::Signals;
use super::exit::Failure;
use super::pick;
use crate::source;
use head::Head;
use heads::Heads;

pub(super) fn run(args: &ViewArgs) -> Result<(), Failure> {
    let signals = Signals::new()?;
    let window = args.window()?;
    let mut uris = args.uris()?;
    if args.all || uris.len() > 1 {
        return Heads::new(args, window, &signals)?.run(uris);
    }
    let mut uri = uris.remove(0);
    let limits = source::Options::default();
    let opened = match source::open(&uri, &limits) {
        Ok(opened) => opened,
        Err(error) => {
            uri = pick::instead(&uri, error, &signals)?;
            source::open(&uri, &limits)?
        }
    };
    Head::open(args, &window, &uri, opened, false, &signals)?.with_sound(args).run()
}
