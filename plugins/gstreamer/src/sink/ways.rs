//! What the sink and the element have between them.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use fanlight::session::Present;
use gst::glib;

use crate::caps::{self, Picture, Rate};
use crate::cursor::Cursors;
use crate::inbox::Inbox;
use crate::lock::lock;
use crate::mailbox::Mailbox;
use crate::navigation::Habits;
use crate::settings::AckMode;

/// What downstream takes, as it was when somebody last asked.
#[derive(Debug, Default)]
pub(crate) struct Downstream(Mutex<Option<Takes>>);

/// What downstream takes.
#[derive(Clone, Debug)]
pub(crate) struct Takes {
    pub(crate) caps: gst::Caps,
    /// Whether it looks where rows begin and end (`GstVideoMeta`) in memory that has no feature of its own.
    pub(crate) video_meta: bool,
    /// Whether it shows only the part of a dma-buf that it is told to (`GstVideoCropMeta`).
    pub(crate) crop_meta: bool,
}

impl Takes {
    /// Whether downstream, which takes frames of these caps, can make the picture of them; if not, why.
    pub(crate) fn can_read(
        &self,
        caps: &gst::CapsRef,
        picture: &Picture,
    ) -> Result<(), &'static str> {
        let dmabuf = caps::is_dmabuf(caps);
        if picture.part.is_some() && !(dmabuf && self.crop_meta) {
            return Err("only a part of it is visible, which downstream can't cut out");
        }
        if picture.has_gaps() && !dmabuf && !self.video_meta {
            return Err("its rows have gaps, which downstream can't skip");
        }
        Ok(())
    }
}

impl Downstream {
    pub(crate) fn get(&self) -> Option<Takes> {
        lock(&self.0).clone()
    }

    /// Whether that is another than before.
    pub(crate) fn set(&self, takes: Takes) -> bool {
        let mut now = lock(&self.0);
        let same = now.as_ref().is_some_and(|now| {
            (now.video_meta, now.crop_meta) == (takes.video_meta, takes.crop_meta)
                && now.caps.is_strictly_equal(&takes.caps)
        });
        *now = Some(takes);
        !same
    }
}

/// What the sink and the element share.
#[derive(Clone, Debug)]
pub(crate) struct Ways {
    pub(crate) inbox: Arc<Inbox>,
    pub(crate) mailbox: Arc<Mailbox>,
    pub(crate) downstream: Arc<Downstream>,
    pub(crate) cursors: Arc<Cursors>,
    pub(crate) habits: Arc<Habits>,
    /// Whose name is on messages to the user.
    pub(crate) element: glib::WeakRef<gst::Element>,
}

impl Ways {
    pub(crate) fn new(inbox: Inbox, element: glib::WeakRef<gst::Element>) -> Self {
        Self {
            inbox: Arc::new(inbox),
            mailbox: Arc::default(),
            downstream: Arc::default(),
            cursors: Arc::default(),
            habits: Arc::default(),
            element,
        }
    }
}

/// How frames are made.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Manner {
    pub(crate) rate: Rate,
    pub(crate) ack: AckMode,
    pub(crate) present: Present,
    pub(crate) ack_deadline: Duration,
    /// Frames may wait this long in the mailbox before that means that downstream is stuck.
    pub(crate) paced: bool,
}

/// What the worker is told besides.
#[derive(Debug)]
pub(crate) enum Wish {
    Present(Present),
    /// The source may be there, or back.
    Open,
    Stats(std::sync::mpsc::SyncSender<Option<fanlight::session::Stats>>),
}
