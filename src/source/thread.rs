//! Threads of sources.

use std::io;
use std::thread::{Builder, JoinHandle};

use tracing::dispatcher;

/// Starts a thread. What it says in the log goes where that of whoever starts it goes: a program may have
/// more than one log.
pub(super) fn spawn<T: Send + 'static>(
    name: &str,
    work: impl FnOnce() -> T + Send + 'static,
) -> io::Result<JoinHandle<T>> {
    let log = dispatcher::get_default(Clone::clone);
    Builder::new().name(name.to_owned()).spawn(move || dispatcher::with_default(&log, work))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    use tracing::span::{Attributes, Id, Record};
    use tracing::{Event, Metadata, Subscriber};

    use super::spawn;

    /// Counts what is said.
    struct Log(Arc<AtomicU32>);

    impl Subscriber for Log {
        fn enabled(&self, _: &Metadata<'_>) -> bool {
            true
        }

        fn new_span(&self, _: &Attributes<'_>) -> Id {
            Id::from_u64(1)
        }

        fn record(&self, _: &Id, _: &Record<'_>) {}

        fn record_follows_from(&self, _: &Id, _: &Id) {}

        fn event(&self, _: &Event<'_>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }

        fn enter(&self, _: &Id) {}

        fn exit(&self, _: &Id) {}
    }

    #[test]
    fn what_a_thread_says_goes_where_the_words_of_its_starter_go() {
        let said = Arc::new(AtomicU32::new(0));
        let _log = tracing::subscriber::set_default(Log(Arc::clone(&said)));
        let outer = spawn("outer", || spawn("inner", || tracing::info!("a word")));
        outer.unwrap().join().unwrap().unwrap().join().unwrap();
        assert_eq!(said.load(Ordering::SeqCst), 1);
    }
}
