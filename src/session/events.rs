//! What the source and the sink tell, and what becomes of it.

use std::rc::Rc;

use tracing::{debug, info, warn};

use super::{FENCING_EXPORTERS, SINK, Session};
use crate::frame::{Memory, UpdateId};
use crate::port::{Announcement, Buffer, Sink, SinkEvent, SourceEvent};
use crate::scanout::{Announced, Input};

impl<K: Sink> Session<K> {
    pub(super) fn source_event(&mut self, event: SourceEvent) {
        match event {
            SourceEvent::Scanout(announcement) => self.announced(announcement),
            SourceEvent::Update { buffer, damage, ack } => {
                let update = UpdateId(self.next_update);
                self.next_update += 1;
                let owed = ack.is_owed();
                let now = self.now();
                self.acks.insert(update, (ack, now));
                self.handle_at(now, Input::Update { update, buffer, damage, owed });
                if !owed {
                    self.acks.remove(&update);
                }
            }
            SourceEvent::Replaced(buffer) => self.handle(Input::Replaced(buffer)),
            SourceEvent::Invalidate => self.handle(Input::Invalidate),
            SourceEvent::Swap(swap) => self.handle(Input::Swap(swap)),
            SourceEvent::Disabled => self.handle(Input::Disabled),
            SourceEvent::Cursor(cursor) => self.sink.set_cursor(Some(&cursor)),
            SourceEvent::CursorAt { x, y, visible } => self.sink.move_cursor(x, y, visible),
            SourceEvent::Leds(leds) => self.sink.set_leds(Some(leds)),
            SourceEvent::Pointing(pointing) => self.sink.set_pointing(pointing),
            SourceEvent::Clipboard(happened) => self.sink.clipboard(happened),
            SourceEvent::Lost(reason) => self.lose(reason),
        }
    }

    fn announced(&mut self, announcement: Announcement) {
        let Announcement { buffer, storage, layout, visible, transform } = announcement;
        debug!(?buffer, storage = ?storage.id, memory = ?storage.memory, ?layout, ?visible, "scanout");
        let fenced = match &storage.memory {
            Memory::DmaBuf { exporter } => FENCING_EXPORTERS.contains(&exporter.as_str()),
            Memory::Memfd { .. } => false,
        };
        // Memory that is known keeps the fds, and with them the mappings, that it came with first;
        // unless it has grown.
        let id = storage.id;
        let storage = match self.storages.get(&id).filter(|known| known.size >= storage.size) {
            Some(known) => Rc::clone(known),
            None => Rc::new(storage),
        };
        self.storages.insert(id, Rc::clone(&storage));
        self.current = Some(Buffer { id: buffer, storage, layout, visible, transform });
        let announced = Announced { buffer, storage: id, layout, visible, transform, fenced };
        self.handle(Input::Scanout(announced));
    }

    pub(super) fn sink_event(&mut self, event: SinkEvent) {
        match event {
            SinkEvent::Imported(import) => self.handle(Input::Imported(SINK, import)),
            SinkEvent::Refused { import, reason } => {
                info!(reason, "the guest's memory can't be shown as it is");
                self.handle(Input::Refused(SINK, import));
            }
            SinkEvent::OffersChanged => self.handle(Input::OffersChanged(SINK)),
            SinkEvent::Redraw => self.handle(Input::Redraw(SINK)),
            SinkEvent::Copied { target, bytes } => {
                self.handle(Input::Copied(SINK, target, bytes));
            }
            SinkEvent::CopyFailed { target, reason } => {
                warn!(reason, "the guest's picture can't be copied");
                self.handle(Input::CopyFailed(SINK, target));
            }
            SinkEvent::Released(commit) => self.handle(Input::Released(SINK, commit)),
            SinkEvent::Presented(commit) => {
                self.time_presented(commit);
                self.handle(Input::Presented(SINK, commit));
            }
            SinkEvent::Hidden(hidden) => self.handle(Input::Hidden(SINK, hidden)),
            SinkEvent::Resized(hint) => self.resize.want(hint, self.now()),
            SinkEvent::Input(input) => self.pass_on(&input),
            SinkEvent::Left(device) => self.let_go(device),
            // The turn that it ends is all that it is for.
            SinkEvent::Wanted => {}
            SinkEvent::Clipboard(happened) => self.tell_guest(happened),
            SinkEvent::Closed(reason) => {
                self.let_go_of_all();
                self.closed = Some(reason);
                self.handle(Input::Detach(SINK));
            }
        }
    }
}
