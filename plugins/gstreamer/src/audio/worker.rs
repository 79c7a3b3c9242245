//! The thread that has the connection: listens to the virtual machine, and again where that is wanted.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use fanlight::sound::Heard;
use fanlight::source::{Options, Uri, listen};
use gst::glib;
use gst::prelude::*;

use super::FanlightAudioSrc;
use super::mailbox::Mailbox;
use crate::end::End;
use crate::log;
use crate::settings::OnDisconnect;

/// Between two attempts to reach it again.
const DELAY_MIN: Duration = Duration::from_millis(250);
const DELAY_MAX: Duration = Duration::from_secs(5);

enum News {
    /// The virtual machine is gone, and why.
    Lost(String),
    Stop,
}

/// Listens until this is dropped.
#[derive(Debug)]
pub(super) struct Worker {
    news: Sender<News>,
    opening: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Worker {
    /// Starts; what becomes of it the mailbox says.
    pub(super) fn start(
        uri: Uri,
        on_disconnect: OnDisconnect,
        mailbox: Arc<Mailbox>,
        element: glib::WeakRef<FanlightAudioSrc>,
    ) -> std::io::Result<Self> {
        let (news, told) = channel();
        let opening = Arc::new(AtomicBool::new(true));
        let job = Job {
            uri,
            on_disconnect,
            mailbox,
            element,
            news: news.clone(),
            opening: Arc::clone(&opening),
        };
        let name = "fanlight-audio".to_owned();
        let thread = thread::Builder::new().name(name).spawn(move || job.run(&told))?;
        Ok(Self { news, opening, thread: Some(thread) })
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.news.send(News::Stop);
        // To open may take seconds, and nobody is to wait for that: the thread ends by itself then.
        if !self.opening.load(Ordering::SeqCst)
            && let Some(thread) = self.thread.take()
        {
            // What it died of was printed.
            let _ = thread.join();
        }
    }
}

struct Job {
    uri: Uri,
    on_disconnect: OnDisconnect,
    mailbox: Arc<Mailbox>,
    element: glib::WeakRef<FanlightAudioSrc>,
    news: Sender<News>,
    opening: Arc<AtomicBool>,
}

impl Job {
    fn run(self, told: &Receiver<News>) {
        let _log = log::on_this_thread();
        let again = self.on_disconnect == OnDisconnect::Reconnect;
        let mut delay = DELAY_MIN;
        loop {
            self.opening.store(true, Ordering::SeqCst);
            // Whoever stops it tells so before he looks at the flag.
            if stops(told, Duration::ZERO) {
                return;
            }
            let listening = listen(&self.uri, &Options::default(), self.ear());
            self.opening.store(false, Ordering::SeqCst);
            match listening {
                Ok(listening) => {
                    delay = DELAY_MIN;
                    self.mailbox.set_connected(true);
                    let Ok(News::Lost(reason)) = told.recv() else { return };
                    drop(listening);
                    tracing::warn!(reason, "the virtual machine is gone");
                    match End::lost(&reason, self.on_disconnect) {
                        Some(end) => return self.mailbox.end(end),
                        None => self.mailbox.set_connected(false),
                    }
                }
                Err(error) if again => {
                    tracing::info!(%error, "the virtual machine is not there yet");
                    self.mailbox.set_connected(false);
                }
                Err(error) => return self.mailbox.end(End::refused(&error)),
            }
            if stops(told, delay) {
                return;
            }
            delay = (2 * delay).min(DELAY_MAX);
        }
    }

    /// What hears the guest, on the connection's own thread.
    fn ear(&self) -> impl FnMut(Heard<'_>) + Send + 'static {
        let (mailbox, element) = (Arc::clone(&self.mailbox), self.element.clone());
        let news = self.news.clone();
        move |heard| {
            let element = element.upgrade();
            let now = element.as_ref().and_then(ElementExtManual::current_running_time);
            if mailbox.hear(&heard, now)
                && let Some(element) = element
            {
                let message = gst::message::Latency::builder().src(&element).build();
                // Without a bus nobody wants to know.
                let _ = element.post_message(message);
            }
            if let Heard::Lost(reason) = heard {
                // The thread may have ended.
                let _ = news.send(News::Lost(reason));
            }
        }
    }
}

/// Waits so long; whether it is told to stop.
fn stops(told: &Receiver<News>, wait: Duration) -> bool {
    let until = Instant::now() + wait;
    loop {
        match told.recv_timeout(until.saturating_duration_since(Instant::now())) {
            Ok(News::Lost(_)) => {}
            Ok(News::Stop) | Err(RecvTimeoutError::Disconnected) => return true,
            Err(RecvTimeoutError::Timeout) => return false,
        }
    }
}
