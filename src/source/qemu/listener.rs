//! Our side of `org.qemu.Display1.Listener`: every call answered by hand, in the order received.
//!
//! QEMU's main loop stands still while it waits for `GetAll` and `ScanoutMap`, so everything is
//! answered at once, except `UpdateDMABUF`: its reply is the ack, and waits for the session's verdict.

use std::collections::HashMap;
use std::future::poll_fn;
use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;

use futures_core::Stream;
use zbus::message::{Flags, Type};
use zbus::{Connection, Message, MessageStream, Variant};

use super::acks::Acks;
use super::names::{
    DMABUF2, FAILED, INTROSPECTABLE, INVALID_ARGS, LISTENER, LISTENER_PATH, MAP, PEER, PROPERTIES,
    UNKNOWN_INTERFACE, UNKNOWN_METHOD, UNKNOWN_OBJECT, UNKNOWN_PROPERTY,
};
use super::pixels::{self, Pixels};
use super::screen::{Letter, Screen};
use crate::frame::{Format, Layout, Modifier, PLANES_MAX, Plane, Rect, Size, Transform};
use crate::port::{Ack, Verdict};
use crate::source::mailbox::Mailbox;

/// What `Listener.Interfaces` says.
const OPTIONAL: [&str; 2] = [MAP, DMABUF2];

const XML: &str = concat!(
    "<node><interface name=\"org.qemu.Display1.Listener\">",
    "<property name=\"Interfaces\" type=\"as\" access=\"read\"/></interface>",
    "<interface name=\"org.qemu.Display1.Listener.Unix.Map\"/>",
    "<interface name=\"org.qemu.Display1.Listener.Unix.ScanoutDMABUF2\"/></node>"
);

/// A D-Bus error: its name, and a sentence.
pub(super) type Refusal = (&'static str, String);

/// What to do about a call.
pub(super) enum Answer {
    /// Reply with this.
    Now(Result<Message, zbus::Error>),
    /// The reply is owed.
    Later,
}

/// Serves QEMU until the connection ends.
pub(super) struct Listener {
    screen: Screen,
    mailbox: Arc<Mailbox<Letter>>,
    acks: Arc<Acks>,
    /// The last refusal that was logged: a guest that is refused sixty times a second is so once.
    logged: String,
}

/// What happened next.
enum Next {
    Settled(Message, Verdict),
    Received(Message),
    Ended(Option<zbus::Error>),
}

impl Listener {
    pub(super) fn new(screen: Screen, mailbox: Arc<Mailbox<Letter>>, acks: Arc<Acks>) -> Self {
        Self { screen, mailbox, acks, logged: String::new() }
    }

    /// Returns when `stream` has ended, with the error that ended it if there was one.
    pub(super) async fn serve(mut self, mut stream: MessageStream) -> Option<zbus::Error> {
        let connection = Connection::from(&stream);
        loop {
            let (call, answer) = match self.next(&mut stream).await {
                Next::Ended(error) => return error,
                Next::Settled(call, verdict) => {
                    let reply = match verdict {
                        Verdict::Done => done(&call),
                        Verdict::Refused => {
                            refuse(&call, FAILED, "the update was not for the current buffer")
                        }
                    };
                    (call, Answer::Now(reply))
                }
                Next::Received(call) if call.message_type() == Type::MethodCall => {
                    let answer = self.handle(&call);
                    (call, answer)
                }
                Next::Received(_) => continue,
            };
            let Answer::Now(reply) = answer else { continue };
            if call.primary_header().flags().contains(Flags::NO_REPLY_EXPECTED) {
                continue;
            }
            let sent = match reply {
                Ok(reply) => connection.send(&reply).await,
                Err(error) => Err(error),
            };
            if let Err(error) = sent {
                // If that is the end of the connection, then the stream ends too.
                tracing::debug!(%error, "a reply could not be sent");
            }
        }
    }

    /// Verdicts go first: a guest waits for them. Calls are left in the socket while the session
    /// doesn't keep up.
    async fn next(&self, stream: &mut MessageStream) -> Next {
        poll_fn(|cx| {
            if let Poll::Ready((call, verdict)) = self.acks.poll_settled(cx) {
                return Poll::Ready(Next::Settled(call, verdict));
            }
            if self.mailbox.poll_room(cx).is_pending() {
                return Poll::Pending;
            }
            Pin::new(&mut *stream).poll_next(cx).map(|received| match received {
                Some(Ok(message)) => Next::Received(message),
                Some(Err(error)) => Next::Ended(Some(error)),
                None => Next::Ended(None),
            })
        })
        .await
    }

    fn handle(&mut self, call: &Message) -> Answer {
        let header = call.header();
        let path = header.path().map_or("", |path| path.as_str());
        let interface = header.interface().map_or("", |name| name.as_str());
        let member = header.member().map_or("", |name| name.as_str());
        let result = match (interface, member) {
            (PEER, "Ping") => Ok(()),
            _ if path != LISTENER_PATH => {
                Err((UNKNOWN_OBJECT, format!("there is no object {path}: only {LISTENER_PATH}")))
            }
            (PROPERTIES, "GetAll") => return Answer::Now(get_all(call)),
            (PROPERTIES, "Get") => return Answer::Now(get(call)),
            (INTROSPECTABLE, "Introspect") => {
                return Answer::Now(Message::method_return(&header).build(&XML));
            }
            (LISTENER, "UpdateDMABUF") => match self.update_dmabuf(call) {
                Ok(()) => return Answer::Later,
                Err(refusal) => Err(refusal),
            },
            (LISTENER, "Scanout") => self.scanout(call),
            (LISTENER, "Update") => self.update(call),
            (LISTENER, "ScanoutDMABUF") => self.scanout_dmabuf(call),
            (DMABUF2, "ScanoutDMABUF2") => self.scanout_dmabuf2(call),
            (MAP, "ScanoutMap") => self.scanout_map(call),
            (MAP, "UpdateMap") => self.update_map(call),
            (LISTENER, "Disable") => arguments::<()>(call).map(|()| self.screen.disable()),
            (LISTENER, "MouseSet") => {
                arguments(call).map(|(x, y, on)| self.screen.move_cursor(x, y, on))
            }
            (LISTENER, "CursorDefine") => self.define_cursor(call),
            _ => Err((UNKNOWN_METHOD, format!("there is no method {interface}.{member}"))),
        };
        Answer::Now(match result {
            Ok(()) => done(call),
            Err((name, text)) => {
                if member.starts_with("Scanout") {
                    // What follows is for what was refused, not for what was there before.
                    self.screen.forget_picture();
                }
                if self.logged != text {
                    tracing::warn!(%member, reason = %text, "a call of QEMU's is refused");
                }
                let reply = refuse(call, name, &text);
                self.logged = text;
                reply
            }
        })
    }

    fn scanout(&mut self, call: &Message) -> Result<(), Refusal> {
        let body = call.body();
        let (width, height, stride, pixman, bytes): (u32, u32, u32, u32, &[u8]) =
            body.deserialize().map_err(invalid)?;
        let format = pixels::format(pixman).map_err(failed)?;
        let size = Size { width, height };
        self.screen.paint_all(&Pixels { size, stride, format, bytes }).map_err(failed)
    }

    fn update(&mut self, call: &Message) -> Result<(), Refusal> {
        let body = call.body();
        let (x, y, width, height, stride, pixman, bytes): (i32, i32, i32, i32, u32, u32, &[u8]) =
            body.deserialize().map_err(invalid)?;
        let format = pixels::format(pixman).map_err(failed)?;
        let size = Size {
            width: u32::try_from(width).unwrap_or(0),
            height: u32::try_from(height).unwrap_or(0),
        };
        self.screen.paint_part(x, y, &Pixels { size, stride, format, bytes }).map_err(failed)
    }

    fn scanout_dmabuf(&mut self, call: &Message) -> Result<(), Refusal> {
        let (fd, width, height, stride, fourcc, modifier, bottom_up): (
            zbus::OwnedFd,
            u32,
            u32,
            u32,
            u32,
            u64,
            bool,
        ) = arguments(call)?;
        let size = Size { width, height };
        let layout = one_plane(size, Format(fourcc), Modifier(modifier), 0, stride);
        self.announce_whole(fd, layout, transform(bottom_up))
    }

    fn scanout_dmabuf2(&mut self, call: &Message) -> Result<(), Refusal> {
        type Arguments = (
            Vec<zbus::OwnedFd>,
            u32,
            u32,
            u32,
            u32,
            Vec<u32>,
            Vec<u32>,
            u32,
            u32,
            u32,
            u32,
            u64,
            bool,
        );
        let (
            fds,
            x,
            y,
            width,
            height,
            offsets,
            strides,
            count,
            fourcc,
            backing_width,
            backing_height,
            modifier,
            bottom_up,
        ): Arguments = arguments(call)?;
        let planes = usize::try_from(count).unwrap_or(usize::MAX);
        if planes == 0 || planes > PLANES_MAX {
            return Err(failed(format!("the buffer has {count} planes: 1 to {PLANES_MAX} can be")));
        }
        // One fd is for all planes; of others it couldn't be told which plane they are for.
        let for_each = fds.len() <= 1 || fds.len() >= planes;
        let too_many = fds.len() > PLANES_MAX;
        if offsets.len() < planes || strides.len() < planes || !for_each || too_many {
            return Err(failed(format!(
                "{count} planes, but {} offsets, {} strides and {} file descriptors",
                offsets.len(),
                strides.len(),
                fds.len()
            )));
        }
        let size = Size { width: backing_width, height: backing_height };
        let mut layout = one_plane(size, Format(fourcc), Modifier(modifier), 0, 0);
        layout.plane_count = planes as u8; // At most PLANES_MAX, as checked above.
        for (plane, (&offset, &stride)) in
            layout.planes.iter_mut().zip(offsets.iter().zip(&strides)).take(planes)
        {
            *plane = Plane { offset, stride };
        }
        // More fds than planes: those past the end belong to nothing.
        let fds: Vec<OwnedFd> = fds.into_iter().take(planes).map(OwnedFd::from).collect();
        let visible = Rect { x, y, width, height };
        self.screen.announce(fds, layout, visible, transform(bottom_up)).map_err(failed)
    }

    fn scanout_map(&mut self, call: &Message) -> Result<(), Refusal> {
        let (fd, offset, width, height, stride, pixman): (zbus::OwnedFd, u32, u32, u32, u32, u32) =
            arguments(call)?;
        let format = pixels::format(pixman).map_err(failed)?;
        let layout = one_plane(Size { width, height }, format, Modifier::LINEAR, offset, stride);
        self.announce_whole(fd, layout, Transform::Normal)
    }

    /// Announces a buffer in one file, all of it visible.
    fn announce_whole(
        &mut self,
        fd: zbus::OwnedFd,
        layout: Layout,
        up: Transform,
    ) -> Result<(), Refusal> {
        let Size { width, height } = layout.size;
        let visible = Rect { x: 0, y: 0, width, height };
        self.screen.announce(vec![fd.into()], layout, visible, up).map_err(failed)
    }

    fn update_map(&mut self, call: &Message) -> Result<(), Refusal> {
        let (x, y, width, height): (i32, i32, i32, i32) = arguments(call)?;
        self.expect_picture()?;
        self.screen.update([x, y, width, height], Ack::none());
        Ok(())
    }

    fn update_dmabuf(&mut self, call: &Message) -> Result<(), Refusal> {
        let (x, y, width, height): (i32, i32, i32, i32) = arguments(call)?;
        self.expect_picture()?;
        let ack = self
            .acks
            .owe(call.clone())
            .ok_or_else(|| failed("too many updates wait for their reply".to_owned()))?;
        self.screen.update([x, y, width, height], ack);
        Ok(())
    }

    fn expect_picture(&self) -> Result<(), Refusal> {
        if self.screen.has_picture() {
            return Ok(());
        }
        Err(failed("there is no scanout that the update could be for".to_owned()))
    }

    fn define_cursor(&mut self, call: &Message) -> Result<(), Refusal> {
        let body = call.body();
        let (width, height, hot_x, hot_y, bytes): (i32, i32, i32, i32, &[u8]) =
            body.deserialize().map_err(invalid)?;
        self.screen.define_cursor((width, height), (hot_x, hot_y), bytes).map_err(failed)
    }
}

/// QEMU's `y0_top` means the opposite of its name: with it, the first row is the lowest.
fn transform(y0_top: bool) -> Transform {
    if y0_top { Transform::Flipped } else { Transform::Normal }
}

fn one_plane(size: Size, format: Format, modifier: Modifier, offset: u32, stride: u32) -> Layout {
    let mut planes = [Plane::default(); PLANES_MAX];
    planes[0] = Plane { offset, stride };
    Layout { size, format, modifier, planes, plane_count: 1 }
}

pub(super) fn arguments<T>(call: &Message) -> Result<T, Refusal>
where
    T: for<'d> zbus::wire::DynamicDeserialize<'d>,
{
    call.body().deserialize().map_err(invalid)
}

// By value, as `map_err` wants them.
#[allow(clippy::needless_pass_by_value)]
pub(super) fn invalid(error: zbus::Error) -> Refusal {
    (INVALID_ARGS, error.to_string())
}

pub(super) fn failed(text: String) -> Refusal {
    (FAILED, text)
}

pub(super) fn done(call: &Message) -> Result<Message, zbus::Error> {
    Message::method_return(&call.header()).build(&())
}

pub(super) fn refuse(call: &Message, name: &str, text: &str) -> Result<Message, zbus::Error> {
    Message::error(&call.header(), name).build(&text)
}

fn get_all(call: &Message) -> Result<Message, zbus::Error> {
    let body = call.body();
    let interface: &str = match body.deserialize() {
        Ok(interface) => interface,
        Err(error) => return refuse(call, INVALID_ARGS, &error.to_string()),
    };
    let mut properties: HashMap<&str, Variant<'_>> = HashMap::new();
    if interface == LISTENER {
        properties.insert("Interfaces", Variant::new(&OPTIONAL[..]));
    } else if !OPTIONAL.contains(&interface) {
        return refuse(call, UNKNOWN_INTERFACE, &format!("there is no interface {interface}"));
    }
    Message::method_return(&call.header()).build(&properties)
}

fn get(call: &Message) -> Result<Message, zbus::Error> {
    let body = call.body();
    match body.deserialize::<(&str, &str)>() {
        Ok((LISTENER, "Interfaces")) => {
            Message::method_return(&call.header()).build(&Variant::new(&OPTIONAL[..]))
        }
        Ok((interface, name)) => {
            refuse(call, UNKNOWN_PROPERTY, &format!("there is no property {interface}.{name}"))
        }
        Err(error) => refuse(call, INVALID_ARGS, &error.to_string()),
    }
}
