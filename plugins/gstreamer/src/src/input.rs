//! Input from downstream, on its way to the guest.

use fanlight::frame::Size;
use gst::prelude::*;

use super::imp::FanlightSrc;
use crate::inbox::News;
use crate::lock::lock;
use crate::navigation::Translator;

impl FanlightSrc {
    /// Whether the event was input, and is dealt with. From any thread.
    pub(super) fn take_event(&self, event: &gst::EventRef) -> bool {
        if event.type_() == gst::EventType::FlushStart {
            self.let_go();
        }
        let is_input =
            matches!(event.type_(), gst::EventType::Navigation | gst::EventType::CustomUpstream);
        let Some(running) = self.running().filter(|_| is_input) else { return false };
        let (layout, view_only) = {
            let settings = lock(&self.settings);
            (settings.keymap.clone(), settings.view_only)
        };
        if view_only {
            return false;
        }
        let guest = running.ways.habits.of(self.size());
        // Held until it is told, so that what two threads send doesn't get mixed up.
        let mut translator = lock(&self.translator);
        let translator = translator.get_or_insert_with(|| Translator::new(&layout));
        let Some(inputs) = translator.event(event, guest) else { return false };
        for input in inputs {
            running.worker.tell(News::Input(input));
        }
        true
    }

    /// Nothing stays down in the guest.
    pub(super) fn let_go(&self) {
        let mut translator = lock(&self.translator);
        let (Some(translator), Some(running)) = (translator.as_mut(), self.running()) else {
            return;
        };
        for input in translator.release_all() {
            running.worker.tell(News::Input(input));
        }
    }

    /// Of the picture that downstream has.
    fn size(&self) -> Size {
        let caps = self.pad().current_caps();
        let structure = caps.as_ref().and_then(|caps| caps.structure(0));
        let side = |name| {
            let side = structure.and_then(|s| s.get::<i32>(name).ok());
            side.and_then(|side| u32::try_from(side).ok()).unwrap_or(0)
        };
        Size { width: side("width"), height: side("height") }
    }
}
