//! What a session has the window do.

use std::os::fd::{AsFd, BorrowedFd};

use super::connect::wire_reason;
use super::imports::Shape;
use super::shown::Shown;
use super::{State, WaylandSink, targets, would_block};
use crate::convert::cpu::visible_damage;
use crate::frame::{Clipboard, Cursor, Damage, Leds, Pointing, Rect, Size, StorageId, Transform};
use crate::port::{Buffer, CommitId, ImportId, Sink, SinkEvent};
use crate::sink::late::Late;

impl Sink for WaylandSink {
    fn fd(&self) -> Option<BorrowedFd<'_>> {
        Some(self.wait.as_fd())
    }

    fn poll(&mut self) -> Option<SinkEvent> {
        if self.state.events.is_empty() && !self.state.closed {
            self.pump();
            self.copy_late();
            self.state.release_signalled();
            self.state.finish_copy(&self.qh);
            self.flush();
        }
        self.state.events.pop_front()
    }

    fn flush(&mut self) {
        if self.state.closed {
            return;
        }
        let full = match self.connection.0.flush() {
            Ok(()) => false,
            Err(error) if would_block(&error) => true,
            Err(error) => return self.state.close(Some(wire_reason(&error))),
        };
        if let Err(error) = self.wait.for_room(self.queue.as_fd(), full) {
            self.state.close(Some(format!("the compositor can't be waited for: {error}")));
        }
    }

    fn import(&mut self, import: ImportId, buffer: &Buffer) {
        let State { globals, offer, imports, events, .. } = &mut self.state;
        let answer = if globals.viewporter.is_none() {
            let reason = "the compositor can't crop (it has no wp_viewporter)".to_owned();
            Some(SinkEvent::Refused { import, reason })
        } else {
            imports.import(import, buffer, globals.dmabuf.as_ref(), offer, &self.qh)
        };
        events.extend(answer);
    }

    fn show(&mut self, commit: CommitId, import: ImportId, buffer: &Buffer, damage: &Damage) {
        let State { globals, imports, releases, window, .. } = &mut self.state;
        let (Some(window), Some(lease)) = (window, imports.lease(import)) else {
            return tracing::error!(?import, "shown without having been imported");
        };
        releases.expect(window.picture(), lease, commit, &buffer.storage.fds, &self.qh);
        let Size { width, height } = buffer.layout.size;
        let whole = Rect { x: 0, y: 0, width, height };
        let (rects, count) = match damage {
            Damage::Whole => (&[whole][..], 1),
            Damage::Rects { rects, count } => (&rects[..], usize::from(*count)),
        };
        let damage = rects.iter().copied().take(count);
        window.present((globals, &self.qh), commit, &lease.buffer, Shape::of(buffer), damage);
        self.shown = Some(Shown { copy: None, buffer: Some(buffer.clone()) });
        self.state.fit_cursor(&self.qh);
    }

    fn copy(&mut self, target: u8, buffer: &Buffer, damage: &Damage) {
        let late = Late::new(target, buffer, damage);
        // What can't be waited for is copied all the same, where the kernel waits.
        self.late = late.filter(|late| late.fd().is_some_and(|fd| self.wait.add(fd).is_ok()));
        if self.late.is_none() {
            self.copy_now(target, buffer, damage);
        }
    }

    fn show_copy(&mut self, commit: CommitId, target: u8, buffer: &Buffer, damage: &Damage) {
        let State { globals, targets, releases, window, .. } = &mut self.state;
        let (Some(window), Some(lease)) = (window, targets.lease(target)) else {
            return tracing::error!(target, "shown without having been copied into");
        };
        releases.expect(window.picture(), lease, commit, &[], &self.qh);
        let view = targets::view(buffer);
        let size = view.size();
        let shape = Shape { size, whole: size, origin: None, transform: Transform::Normal };
        let damage = visible_damage(&view, damage);
        window.present((globals, &self.qh), commit, &lease.buffer, shape, damage);
        self.shown = Some(Shown { copy: Some(target), buffer: Some(buffer.clone()) });
        self.state.fit_cursor(&self.qh);
    }

    fn blank(&mut self) {
        if let Some(window) = &mut self.state.window {
            window.blank(&self.state.globals, &self.qh);
            self.state.fit_cursor(&self.qh);
        }
        self.shown = None;
    }

    fn set_cursor(&mut self, cursor: Option<&Cursor>) {
        self.state.define_cursor(cursor, &self.qh);
    }

    fn move_cursor(&mut self, x: i32, y: i32, visible: bool) {
        self.state.move_cursor((x, y), visible, &self.qh);
    }

    fn set_pointing(&mut self, pointing: Pointing) {
        self.state.set_pointing(pointing, &self.qh);
    }

    fn set_leds(&mut self, leds: Option<Leds>) {
        self.state.set_leds(leds);
    }

    fn clipboard(&mut self, happened: Clipboard) {
        self.state.guest_copied(happened, &self.qh);
    }

    fn forget(&mut self, storage: StorageId) {
        if let Some(shown) = &mut self.shown {
            shown.buffer.take_if(|buffer| buffer.storage.id == storage);
        }
        self.state.imports.forget(storage);
        self.state.targets.forget(storage);
    }
}
