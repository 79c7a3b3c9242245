//! What `fanlight view` says in its window.

#[path = "../support/box_font.rs"]
mod box_font;

use std::os::fd::OwnedFd;
use std::sync::mpsc::{Sender, TryRecvError, channel};
use std::thread::{self, JoinHandle};

use fanlight::frame::{BufferId, Format, Layout, Modifier, Plane, Rect, Transform};
use fanlight::serve::{ConsoleId, Kind, Memory, Options, Server as Backend};
use fanlight::sys;
use rustix::event::{PollFd, PollFlags, poll};
use tempfile::TempDir;

use super::*;

const F12: u32 = 88;

/// The home of a user who has installed a font.
fn home() -> TempDir {
    let home = tempfile::tempdir().unwrap();
    let fonts = home.path().join(".local/share/fonts");
    std::fs::create_dir_all(&fonts).unwrap();
    std::fs::write(fonts.join("AdwaitaSans-Regular.ttf"), box_font::bytes()).unwrap();
    home
}

impl View {
    /// Waits until there are so many surfaces above the picture; answers what is shown meanwhile.
    fn says(&mut self, count: usize) {
        let answered = &mut self.answered;
        self.compositor.wait("words above the picture", |server| {
            answer(server, answered);
            (server.surfaces.panels().len() == count).then_some(())
        });
    }

    /// Commits of what is above the picture.
    fn said(&self) -> usize {
        self.compositor.with(|server| {
            server.surfaces.panels().iter().map(|(surface, _)| surface.commits.len()).sum()
        })
    }
}

/// A backend whose guest does what the test says, on a thread of its own.
struct Guest {
    told: Option<Sender<Do>>,
    waker: OwnedFd,
    served: Option<JoinHandle<()>>,
}

enum Do {
    Draw,
    Disable,
}

impl Guest {
    fn serve(socket: &Path) -> Self {
        let mut backend = Backend::bind(socket, "still", "", Options::default()).unwrap();
        let console = backend.add_console(Kind::Graphic, "screen").unwrap();
        let buffer = picture(&mut backend, console);
        let (tell, told) = channel();
        let (wake, waker) = rustix::pipe::pipe().unwrap();
        let served = thread::spawn(move || {
            loop {
                match told.try_recv() {
                    Ok(Do::Draw) => {
                        let whole = Rect { x: 0, y: 0, width: SIZE.width, height: SIZE.height };
                        backend.scanout(console, buffer, whole, Transform::Normal).unwrap();
                    }
                    Ok(Do::Disable) => backend.disable(console).unwrap(),
                    Err(TryRecvError::Disconnected) => return,
                    Err(TryRecvError::Empty) => {
                        let fds = &mut [
                            PollFd::new(&backend, PollFlags::IN),
                            PollFd::new(&wake, PollFlags::IN),
                        ];
                        poll(fds, None).unwrap();
                        if !fds[1].revents().is_empty() {
                            let _ = rustix::io::read(&wake, &mut [0; 1]);
                        }
                        backend.dispatch().unwrap();
                    }
                }
            }
        });
        Self { told: Some(tell), waker, served: Some(served) }
    }

    fn tell(&self, what: Do) {
        self.told.as_ref().unwrap().send(what).unwrap();
        rustix::io::write(&self.waker, b"w").unwrap();
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        self.told = None;
        let _ = rustix::io::write(&self.waker, b"w");
        self.served.take().unwrap().join().unwrap();
    }
}

const SIZE: Size = Size { width: 64, height: 48 };

fn picture(backend: &mut Backend, console: ConsoleId) -> BufferId {
    let mut planes = [Plane::default(); _];
    planes[0].stride = SIZE.width * 4;
    let (format, modifier) = (Format::XRGB8888, Modifier::LINEAR);
    let layout = Layout { size: SIZE, format, modifier, planes, plane_count: 1 };
    let bytes = u64::from(SIZE.width * SIZE.height * 4);
    let memory = sys::own_memfd("guest", sys::page_align(bytes)).unwrap();
    backend.add_buffer(console, layout, Memory::Planes(vec![memory])).unwrap()
}

/// F12 shows it and takes it away, and it is redrawn by the second, not by the frame.
#[test]
fn what_happens_is_said_in_a_corner() {
    let home = home();
    let socket = home.path().join("vm.sock");
    let _guest = demo(&socket);
    let uri = format!("scanout:{}", socket.display());
    let mut view = View::start_at(home.path(), &[&uri, "--hud"]);
    view.says(1);
    let (shown, said) = (view.answered, view.said());
    view.frames(20);
    assert!(view.said() - said <= (view.answered - shown) / 5, "{} in 20 frames", view.said());
    view.compositor.with(|server| server.focus(&[]));
    view.press(&[F12]);
    view.says(0);
    view.frames(2);
    view.press(&[F12]);
    view.says(1);
    view.close();
    assert_eq!(view.ends().0.code(), Some(0));
}

/// A guest that shows nothing has a window all the same, which says so until there is a picture.
#[test]
fn a_guest_that_is_dark_is_said_to_be() {
    const DARK: &str = "still – Fanlight (display off)";
    let home = home();
    let socket = home.path().join("vm.sock");
    let guest = Guest::serve(&socket);
    let uri = format!("scanout:{}", socket.display());
    let mut view = View::start_at(home.path(), &[&uri]);
    view.called(DARK);
    for _ in 0..2 {
        view.says(2);
        guest.tell(Do::Draw);
        view.called("still – Fanlight");
        view.says(0);
        guest.tell(Do::Disable);
        view.called(DARK);
    }
    view.close();
    let (status, said) = view.ends();
    assert_eq!(status.code(), Some(0), "{said}");
}

/// Over the last picture, which is dimmed; and it is gone when the guest is back.
#[test]
fn a_guest_that_is_awaited_is_said_to_be() {
    let home = home();
    let socket = home.path().join("vm.sock");
    let uri = format!("scanout:{}", socket.display());
    let guest = demo(&socket);
    let mut view = View::start_at(home.path(), &[&uri, "--reconnect"]);
    view.frames(2);
    drop(guest);
    view.called(RECONNECTING);
    view.says(2);
    let _guest = demo(&socket);
    view.called(TITLE);
    view.says(0);
    view.frames(2);
    assert!(!view.was_blank());
}

/// The user can still read what was last on the screen; scripts learn the same as without.
#[test]
fn a_window_stays_open_over_the_end_of_its_virtual_machine() {
    let home = home();
    let socket = home.path().join("vm.sock");
    let uri = format!("scanout:{}", socket.display());
    let guest = demo(&socket);
    let mut view = View::start_at(home.path(), &[&uri, "--keep-open"]);
    view.frames(2);
    drop(guest);
    view.called("demo – Fanlight (VM ended)");
    view.says(2);
    assert!(!view.was_blank());
    view.close();
    let (status, said) = view.ends();
    assert_eq!(status.code(), Some(1), "{said}");
    assert!(said.contains("fanlight: the virtual machine demo is gone: "), "{said}");
}

/// A kiosk's compositor may know no layout: what that costs is said, without anybody asking for it.
#[test]
fn a_compositor_without_a_keymap_is_said() {
    let mut view = View::start(&["demo:"]);
    view.frames(2);
    view.compositor.with(|server| {
        server.focus(&[]);
        server.keymap(false);
    });
    view.frames(2);
    view.close();
    let (status, said) = view.ends();
    assert_eq!(status.code(), Some(0), "{said}");
    assert!(said.contains("has no keymap") && said.contains("Caps Lock"), "{said}");
}

/// Who asks for what this build hasn't got is told what has it.
#[cfg(not(feature = "audio"))]
#[test]
fn a_build_without_sound_says_so_to_who_asks_for_it() {
    let asked = |args: &[&str]| {
        let mut view = View::start(args);
        view.frames(2);
        view.compositor.with(|server| server.focus(&[]));
        if args.len() == 1 {
            view.press(&[29, 56, 50]);
        }
        view.close();
        let (status, said) = view.ends();
        assert_eq!(status.code(), Some(0), "{said}");
        assert!(said.contains("needs the feature `audio`"), "{said}");
        said
    };
    assert!(asked(&["demo:", "--microphone"]).contains("--microphone does nothing"));
    assert!(asked(&["demo:"]).contains("the hotkey `mute` does nothing"));
}
