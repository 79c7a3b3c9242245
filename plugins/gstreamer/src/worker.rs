//! The session's thread: opens the virtual machine, runs its session, and opens it again where that is wanted.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, mpsc};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use fanlight::session::{Options, Session, Stats};
use fanlight::source::{self, Opened, Retry, SourceError, Uri};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::end::{End, Kind};
use crate::inbox::News;
use crate::log;
use crate::settings::{AckMode, OnDisconnect};
use crate::sink::{GstSink, Manner, Ways, Wish};

/// How long somebody waits for figures: the session's thread never waits for anybody.
const ANSWER: Duration = Duration::from_secs(1);

/// Runs until this is dropped.
#[derive(Debug)]
pub(crate) struct Worker {
    ways: Ways,
    thread: Option<JoinHandle<()>>,
}

impl Worker {
    /// Starts; what becomes of it the mailbox says.
    pub(crate) fn start(
        uri: Uri,
        options: source::Options,
        on_disconnect: OnDisconnect,
        ways: Ways,
        manner: Manner,
    ) -> std::io::Result<Self> {
        let job = Job { uri, options, on_disconnect, ways: ways.clone(), manner };
        let thread = thread::Builder::new().name("fanlight".to_owned()).spawn(move || job.run())?;
        Ok(Self { ways, thread: Some(thread) })
    }

    pub(crate) fn tell(&self, news: News) {
        self.ways.inbox.tell(news);
    }

    /// What the session did so far; `None` before it has one.
    pub(crate) fn stats(&self) -> Option<Stats> {
        let (to, answer) = mpsc::sync_channel(1);
        self.tell(News::Stats(to));
        answer.recv_timeout(ANSWER).ok().flatten()
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.tell(News::Stop);
        if let Some(thread) = self.thread.take() {
            // What it died of was printed.
            let _ = thread.join();
        }
    }
}

/// What became of opening the source, and when there is something to do though nobody is woken.
type Step = (Option<Result<Opened, SourceError>>, Option<Duration>);

struct Job {
    uri: Uri,
    options: source::Options,
    on_disconnect: OnDisconnect,
    ways: Ways,
    manner: Manner,
}

impl Job {
    fn run(self) {
        let _log = log::on_this_thread();
        let inbox = Arc::clone(&self.ways.inbox);
        let wake = Arc::new(move || inbox.tell(News::Opened));
        let mut retry = Retry::open(self.uri.clone(), self.options, wake);
        let Some(first) = self.first(|| (retry.step(), retry.due_in())) else { return };
        let mut config = Options::default().config;
        config.ack_deadline = self.manner.ack_deadline;
        config.first_grace = FIRST_FRAME_GRACE;
        config.await_release = self.manner.ack == AckMode::Release;
        if self.manner.ack == AckMode::Deadline {
            config.ack_after = self.manner.ack_deadline;
        }
        let options = Options { present: self.manner.present, config };
        let sink = GstSink::new(self.ways.clone(), self.manner);
        let mut session = Session::new(first.source, sink, options);
        while session.closed().is_none() {
            let fence = session.sink().fence();
            if let Err(error) = session.turn(retry.due_in(), fence.as_ref().map(OwnedFd::as_fd)) {
                let what = "the system refuses to wait for the virtual machine".to_owned();
                return self.ways.mailbox.end(End::Failed(Kind::Lost, what, error.to_string()));
            }
            while let Some(wish) = session.sink().take_wish() {
                match wish {
                    Wish::Present(present) => {
                        session.sink().set_present(present);
                        session.set_present(present);
                    }
                    // Looked at below.
                    Wish::Open => {}
                    Wish::Stats(to) => {
                        // Who asked may have given up.
                        let _ = to.send(Some(session.stats()));
                    }
                }
            }
            if let Some(reason) = session.lost()
                && retry.is_up()
            {
                tracing::warn!(reason, "the virtual machine is gone");
                match End::lost(reason, self.on_disconnect) {
                    Some(end) => self.ways.mailbox.end(end),
                    None => retry.lost(),
                }
            }
            match retry.step() {
                Some(Ok(Opened { source, .. })) => {
                    tracing::info!("the virtual machine is back");
                    session.reconnect(source);
                }
                Some(Err(error)) => tracing::info!(%error, "the virtual machine is not back yet"),
                None => {}
            }
        }
    }

    /// Waits until the source is open; `None`: it can't be, or the element stops. `step` says what became of opening it, and
    /// when to look again at the latest.
    fn first(&self, mut step: impl FnMut() -> Step) -> Option<Opened> {
        let mut later = Vec::new();
        let opened = loop {
            while let Some(news) = self.ways.inbox.take() {
                match news {
                    News::Stop => return None,
                    // There are none yet.
                    News::Stats(to) => drop(to.send(None)),
                    // Nobody is there who could get it.
                    News::Input(_) => {}
                    // It is looked at after this: what came between a look and this would wake nobody.
                    News::Opened => {}
                    other => later.push(other),
                }
            }
            let (step, due) = step();
            match step {
                Some(Ok(opened)) => break opened,
                Some(Err(error)) if self.on_disconnect == OnDisconnect::Reconnect => {
                    tracing::info!(%error, "the virtual machine is not there yet");
                }
                Some(Err(error)) => {
                    self.ways.mailbox.end(End::refused(&error));
                    return None;
                }
                None => {}
            }
            let mut fds = [PollFd::new(&*self.ways.inbox, PollFlags::IN)];
            let due = due.and_then(|due| Timespec::try_from(due).ok());
            // A signal is as good a reason to look as any.
            let _ = poll(&mut fds, due.as_ref());
        };
        self.ways.inbox.put_back(later);
        Some(opened)
    }
}

/// How long what was found at the start waits for an update: a QEMU that nobody has watched may begin with something that
/// isn't the guest's screen, and a picture of it would be that.
const FIRST_FRAME_GRACE: Duration = Duration::from_millis(200);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inbox::Inbox;
    use crate::mailbox::Taken;

    /// Without: what is told between a look and the wait wakes nobody.
    #[test]
    fn what_becomes_of_opening_is_noticed_whenever_it_is_told() {
        gst::init().unwrap();
        let ways = Ways::new(Inbox::new().unwrap(), gst::glib::WeakRef::new());
        let (inbox, mailbox) = (Arc::clone(&ways.inbox), Arc::clone(&ways.mailbox));
        let (uri, options) = ("demo:".parse().unwrap(), source::Options::default());
        let job = Job {
            uri,
            options,
            on_disconnect: OnDisconnect::Error,
            ways,
            manner: Manner::default(),
        };
        let mut looks = 0;
        let (ended, end) = mpsc::channel();
        thread::spawn(move || {
            let opened = job.first(|| {
                looks += 1;
                if looks > 1 {
                    return (Some(Err(SourceError::NoGraphicConsole)), None);
                }
                inbox.tell(News::Opened);
                (None, None)
            });
            ended.send(opened.is_none()).unwrap();
        });
        assert_eq!(end.recv_timeout(Duration::from_secs(30)), Ok(true));
        assert!(matches!(mailbox.take(&Default::default(), || false), Taken::End(_)));
    }
}
