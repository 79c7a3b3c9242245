//! A compositor inside the test, on a thread of its own: it does nothing but write down what the
//! client does, and say what the test wants said. What no client should do makes it panic.

/// Implements `Dispatch` for objects with that data.
macro_rules! dispatch {
    ($interface:ty, $data:ty, |$state:ident, $resource:ident, $request:ident, $udata:ident, $init:ident| $body:expr) => {
        impl Dispatch<$interface, $data> for Server {
            fn request(
                $state: &mut Self,
                _: &Client,
                $resource: &$interface,
                $request: <$interface as Resource>::Request,
                $udata: &$data,
                _: &DisplayHandle,
                $init: &mut DataInit<'_, Self>,
            ) {
                $body
            }
        }
    };
}

#[path = "compositor_buffers.rs"]
pub mod buffers;
#[path = "compositor_data.rs"]
pub mod data;
#[path = "compositor_desktop.rs"]
pub mod desktop;
#[path = "compositor_dmabuf.rs"]
pub mod dmabuf;
#[path = "compositor_seat.rs"]
pub mod seat;
#[path = "compositor_surfaces.rs"]
pub mod surfaces;
#[path = "compositor_sync.rs"]
pub mod sync;
#[path = "compositor_xdg.rs"]
pub mod xdg;

use std::net::Shutdown;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use fanlight::frame::{Format, Modifier};
use rustix::event::{EventfdFlags, PollFd, PollFlags, eventfd, poll};
use wayland_protocols::wp::content_type::v1::server::wp_content_type_manager_v1::WpContentTypeManagerV1;
use wayland_protocols::wp::cursor_shape::v1::server::wp_cursor_shape_manager_v1::WpCursorShapeManagerV1;
use wayland_protocols::wp::fractional_scale::v1::server::wp_fractional_scale_manager_v1::WpFractionalScaleManagerV1;
use wayland_protocols::wp::idle_inhibit::zv1::server::zwp_idle_inhibit_manager_v1::ZwpIdleInhibitManagerV1;
use wayland_protocols::wp::keyboard_shortcuts_inhibit::zv1::server::zwp_keyboard_shortcuts_inhibit_manager_v1::ZwpKeyboardShortcutsInhibitManagerV1;
use wayland_protocols::wp::linux_dmabuf::zv1::server::zwp_linux_dmabuf_v1::ZwpLinuxDmabufV1;
use wayland_protocols::wp::linux_drm_syncobj::v1::server::wp_linux_drm_syncobj_manager_v1::WpLinuxDrmSyncobjManagerV1;
use wayland_protocols::wp::pointer_constraints::zv1::server::zwp_pointer_constraints_v1::ZwpPointerConstraintsV1;
use wayland_protocols::wp::relative_pointer::zv1::server::zwp_relative_pointer_manager_v1::ZwpRelativePointerManagerV1;
use wayland_protocols::wp::single_pixel_buffer::v1::server::wp_single_pixel_buffer_manager_v1::WpSinglePixelBufferManagerV1;
use wayland_protocols::wp::tearing_control::v1::server::wp_tearing_control_manager_v1::WpTearingControlManagerV1;
use wayland_protocols::wp::viewporter::server::wp_viewporter::WpViewporter;
use wayland_protocols::xdg::activation::v1::server::xdg_activation_v1::XdgActivationV1;
use wayland_protocols::xdg::decoration::zv1::server::zxdg_decoration_manager_v1::ZxdgDecorationManagerV1;
use wayland_protocols::xdg::shell::server::xdg_wm_base::XdgWmBase;
use wayland_protocols::xdg::toplevel_icon::v1::server::xdg_toplevel_icon_manager_v1::XdgToplevelIconManagerV1;
use wayland_server::backend::ClientData;
use wayland_server::protocol::wl_compositor::WlCompositor;
use wayland_server::protocol::wl_data_device_manager::WlDataDeviceManager;
use wayland_protocols::xdg::xdg_output::zv1::server::zxdg_output_manager_v1::ZxdgOutputManagerV1;
use wayland_server::protocol::wl_output::WlOutput;
use wayland_server::protocol::wl_seat::WlSeat;
use wayland_server::protocol::wl_shm::WlShm;
use wayland_server::protocol::wl_subcompositor::WlSubcompositor;
use wayland_server::{Client, DataInit, Display, DisplayHandle, GlobalDispatch, New, Resource};

use dmabuf::{Answer, Pair};

/// Longer than anything here takes; past it the test fails.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// What the compositor is like.
#[derive(Clone, Debug)]
pub struct Script {
    /// Globals that it hasn't got.
    pub without: &'static [&'static str],
    /// Version of linux-dmabuf.
    pub dmabuf: u32,
    /// What it takes as dma-bufs.
    pub pairs: Vec<Pair>,
    /// How it answers `create`.
    pub answer: Answer,
    /// The device that it says to work with, a `dev_t`.
    pub device: u64,
    /// The size in the first configure; zero leaves it to the client.
    pub size: (i32, i32),
    /// Names of its screens.
    pub screens: &'static [&'static str],
    /// Logical sizes of its screens, if it says them.
    pub logical: &'static [(i32, i32)],
    /// What it says of a surface's scale at once, in 120ths; zero is nothing.
    pub scale: u32,
    /// Version of wl_compositor, and so of its surfaces.
    pub compositor: u32,
    /// Version of its seat.
    pub seat: u32,
    /// Whether it draws windows' frames itself, where it can be asked to.
    pub frames: bool,
    /// Whether it has explicit sync.
    pub syncobj: bool,
    /// Whether it has a clipboard.
    pub clipboard: bool,
    /// It says and reads no more from the first window on.
    pub mute: bool,
}

impl Default for Script {
    fn default() -> Self {
        Self {
            without: &[],
            dmabuf: 3,
            pairs: vec![(Format::XRGB8888.0, Modifier::LINEAR.0)],
            answer: Answer::Created,
            device: 0,
            size: (0, 0),
            screens: &["TEST-1"],
            logical: &[],
            scale: 120,
            compositor: 6,
            seat: 9,
            frames: true,
            syncobj: false,
            clipboard: false,
            mute: false,
        }
    }
}

/// Everything that was seen and that can be answered.
#[derive(Debug)]
pub struct Server {
    pub script: Script,
    pub display: DisplayHandle,
    pub client: Client,
    /// Another handle of the client's socket.
    pub socket: UnixStream,
    pub surfaces: surfaces::Surfaces,
    pub dmabuf: dmabuf::Dmabuf,
    pub sync: sync::Sync,
    pub desktop: desktop::Desktop,
    pub seat: seat::Seat,
    pub data: data::Data,
    /// The client has gone.
    pub gone: bool,
    /// It reads nothing; see [`Compositor::listen`].
    pub deaf: bool,
}

impl Server {
    /// Ends the connection without a word.
    pub fn hang_up(&self) {
        self.socket.shutdown(Shutdown::Both).unwrap();
    }
}

/// The test's hold on the compositor; it ends with it.
#[derive(Debug)]
pub struct Compositor {
    shared: Arc<Shared>,
    stop: Option<UnixStream>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    server: Mutex<Server>,
    changed: Condvar,
    /// Wakes it.
    turn: OwnedFd,
    /// For who waits with poll(2): counts what the client did.
    news: OwnedFd,
}

impl Compositor {
    /// Starts it, with one client at the other end of the socket.
    pub fn start(script: Script) -> (Self, UnixStream) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        (Self::over(script, ours), theirs)
    }

    /// Starts it at this end of the client's socket.
    pub fn over(script: Script, ours: UnixStream) -> Self {
        let mut display = Display::<Server>::new().unwrap();
        let handle = display.handle();
        globals(&handle, &script);
        let socket = ours.try_clone().unwrap();
        let client = handle.clone().insert_client(ours, Arc::new(NoData)).unwrap();
        let server = Server {
            script,
            display: handle,
            client,
            socket,
            surfaces: surfaces::Surfaces::default(),
            dmabuf: dmabuf::Dmabuf::default(),
            sync: sync::Sync::default(),
            desktop: desktop::Desktop::default(),
            seat: seat::Seat::default(),
            data: data::Data::default(),
            gone: false,
            deaf: false,
        };
        let news = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK).unwrap();
        let turn = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK).unwrap();
        let (server, changed) = (Mutex::new(server), Condvar::new());
        let shared = Arc::new(Shared { server, changed, turn, news });
        let (stop, stopped) = UnixStream::pair().unwrap();
        let thread = thread::spawn({
            let shared = Arc::clone(&shared);
            move || serve(&mut display, &shared, &stopped)
        });
        Self { shared, stop: Some(stop), thread: Some(thread) }
    }

    fn lock(&self) -> MutexGuard<'_, Server> {
        self.shared.server.lock().expect("the compositor found something wrong (see above)")
    }

    /// Readable after the client has done something, until it is read.
    #[allow(dead_code, reason = "each test crate uses its own part")]
    pub fn news(&self) -> BorrowedFd<'_> {
        self.shared.news.as_fd()
    }

    /// As if the client had done something.
    #[allow(dead_code, reason = "each test crate uses its own part")]
    pub fn nudge(&self) {
        rustix::io::write(&self.shared.news, &1_u64.to_ne_bytes()).unwrap();
    }

    /// Looks at the server or makes it say something.
    pub fn with<T>(&self, f: impl FnOnce(&mut Server) -> T) -> T {
        let mut server = self.lock();
        let value = f(&mut server);
        server.display.flush_clients().unwrap();
        value
    }

    /// Whether it reads what the client says.
    #[allow(dead_code, reason = "each test crate uses its own part")]
    pub fn listen(&self, listens: bool) {
        self.lock().deaf = !listens;
        rustix::io::write(&self.shared.turn, &1_u64.to_ne_bytes()).unwrap();
    }

    /// Waits until the client has done something.
    pub fn wait<T>(&self, what: &str, mut f: impl FnMut(&mut Server) -> Option<T>) -> T {
        let until = Instant::now() + PATIENCE;
        let mut server = self.lock();
        loop {
            if let Some(value) = f(&mut server) {
                server.display.flush_clients().unwrap();
                return value;
            }
            let left = until.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "waited in vain for {what}: {server:#?}");
            server = self
                .shared
                .changed
                .wait_timeout(server, left)
                .expect("the compositor found something wrong (see above)")
                .0;
        }
    }
}

impl Drop for Compositor {
    fn drop(&mut self) {
        drop(self.stop.take());
        let ended = self.thread.take().unwrap().join();
        if !thread::panicking() {
            ended.expect("the compositor found something wrong (see above)");
        }
    }
}

fn serve(display: &mut Display<Server>, shared: &Shared, stopped: &UnixStream) {
    let lock = || shared.server.lock().unwrap_or_else(PoisonError::into_inner);
    loop {
        let deaf = lock().deaf;
        let mut fds = [
            PollFd::new(stopped, PollFlags::IN),
            PollFd::new(&shared.turn, PollFlags::IN),
            PollFd::from_borrowed_fd(display.as_fd(), PollFlags::IN),
        ];
        poll(&mut fds[..if deaf { 2 } else { 3 }], None).unwrap();
        let stop = !fds[0].revents().is_empty();
        // Where nobody called this fails.
        let _ = rustix::io::read(&shared.turn, &mut [0; 8]);
        {
            // What the client's last words were is judged too.
            let mut server = lock();
            if server.deaf && !stop {
                continue;
            }
            display.dispatch_clients(&mut server).unwrap();
            if server.deaf && !stop {
                continue;
            }
            display.flush_clients().unwrap();
            let handle = server.display.backend_handle();
            server.gone = handle.get_client_data(server.client.id()).is_err();
        }
        shared.changed.notify_all();
        rustix::io::write(&shared.news, &1_u64.to_ne_bytes()).unwrap();
        if stop {
            return;
        }
    }
}

#[derive(Debug)]
struct NoData;

impl ClientData for NoData {}

fn globals(handle: &DisplayHandle, script: &Script) {
    fn offer<I>(handle: &DisplayHandle, script: &Script, version: u32)
    where
        I: Resource + 'static,
        Server: GlobalDispatch<I, ()>,
    {
        if !script.without.contains(&I::interface().name) {
            handle.create_global::<Server, I, ()>(version, ());
        }
    }
    offer::<WlCompositor>(handle, script, script.compositor);
    offer::<WlSubcompositor>(handle, script, 1);
    offer::<WlShm>(handle, script, 1);
    offer::<XdgWmBase>(handle, script, 6);
    offer::<ZxdgDecorationManagerV1>(handle, script, 1);
    for name in 0..script.screens.len() {
        handle.create_global::<Server, WlOutput, usize>(4, name);
    }
    if !script.logical.is_empty() {
        offer::<ZxdgOutputManagerV1>(handle, script, 3);
    }
    offer::<WpViewporter>(handle, script, 1);
    offer::<WpSinglePixelBufferManagerV1>(handle, script, 1);
    offer::<WpFractionalScaleManagerV1>(handle, script, 1);
    offer::<WpContentTypeManagerV1>(handle, script, 1);
    offer::<WpTearingControlManagerV1>(handle, script, 1);
    offer::<ZwpIdleInhibitManagerV1>(handle, script, 1);
    offer::<XdgToplevelIconManagerV1>(handle, script, 1);
    offer::<XdgActivationV1>(handle, script, 1);
    offer::<ZwpLinuxDmabufV1>(handle, script, script.dmabuf);
    offer::<WlSeat>(handle, script, script.seat);
    offer::<WpCursorShapeManagerV1>(handle, script, 1);
    offer::<ZwpKeyboardShortcutsInhibitManagerV1>(handle, script, 1);
    offer::<ZwpPointerConstraintsV1>(handle, script, 1);
    offer::<ZwpRelativePointerManagerV1>(handle, script, 1);
    if script.clipboard {
        offer::<WlDataDeviceManager>(handle, script, 3);
    }
    if script.syncobj {
        offer::<WpLinuxDrmSyncobjManagerV1>(handle, script, 1);
    }
}

macro_rules! plain_globals {
    ($($interface:ty),*) => {$(
        impl GlobalDispatch<$interface, ()> for Server {
            fn bind(
                _: &mut Self,
                _: &DisplayHandle,
                _: &Client,
                resource: New<$interface>,
                (): &(),
                init: &mut DataInit<'_, Self>,
            ) {
                init.init(resource, ());
            }
        }
    )*};
}

plain_globals!(
    WlCompositor,
    WlSubcompositor,
    WlShm,
    WlDataDeviceManager,
    XdgWmBase,
    ZxdgDecorationManagerV1,
    WpViewporter,
    WpSinglePixelBufferManagerV1,
    WpFractionalScaleManagerV1,
    ZxdgOutputManagerV1,
    WpContentTypeManagerV1,
    WpTearingControlManagerV1,
    ZwpIdleInhibitManagerV1,
    XdgActivationV1,
    WpLinuxDrmSyncobjManagerV1,
    WpCursorShapeManagerV1,
    ZwpKeyboardShortcutsInhibitManagerV1,
    ZwpPointerConstraintsV1,
    ZwpRelativePointerManagerV1
);
