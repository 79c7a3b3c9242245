//! `fanlight view` with several windows: a compositor within the test for each, and virtual machines that
//! come and go.
#![cfg(all(feature = "cli", feature = "wayland", feature = "demo"))]
#![allow(missing_docs, missing_debug_implementations, unreachable_pub)]

#[path = "support/compositor.rs"]
#[allow(dead_code)]
mod compositor;
#[path = "support/fake_qemu.rs"]
mod fake_qemu;

use std::io::Read;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use compositor::{Compositor, Script};
use fake_qemu::{Bus, FakeVm, VM};
use fanlight::serve::{Kind, Options, Server};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tempfile::TempDir;

const PATIENCE: Duration = Duration::from_secs(20);

/// A virtual machine with two heads.
const TWO_HEADS: FakeVm = FakeVm { name: "two", consoles: &["Graphic", "Graphic", "Text"], ..VM };
const OTHER: FakeVm = FakeVm { owner: ":1.8", name: "other", uuid: "another", ..VM };

/// The program, and the socket at which each of its windows connects.
struct View {
    child: Child,
    desktop: UnixListener,
    _folder: TempDir,
}

impl Drop for View {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl View {
    fn start(args: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let desktop = UnixListener::bind(folder.path().join("desktop")).unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_fanlight"))
            .arg("view")
            .args(args)
            .env_clear()
            .env("XDG_RUNTIME_DIR", folder.path())
            .env("WAYLAND_DISPLAY", "desktop")
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts");
        Self { child, desktop, _folder: folder }
    }

    /// The next window that opens.
    fn window(&self) -> Compositor {
        let mut fds = [PollFd::new(&self.desktop, PollFlags::IN)];
        let limit = Timespec::try_from(PATIENCE).unwrap();
        assert_eq!(poll(&mut fds, Some(&limit)).unwrap(), 1, "no window opens");
        Compositor::over(Script::default(), self.desktop.accept().unwrap().0)
    }

    /// So many, with what they are called, in order of that.
    fn windows(&self, count: usize) -> Vec<(String, Compositor)> {
        let mut windows: Vec<_> = (0..count)
            .map(|_| {
                let window = self.window();
                (title(&window), window)
            })
            .collect();
        windows.sort_by(|a, b| a.0.cmp(&b.0));
        windows
    }

    fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, signal).unwrap();
    }

    /// What it ends with, and what it said on stdout and stderr.
    fn ends(mut self) -> (ExitStatus, String, String) {
        let (mut out, mut said) = (String::new(), String::new());
        self.child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        self.child.stdout.take().unwrap().read_to_string(&mut out).unwrap();
        (self.child.wait().unwrap(), out, said)
    }
}

fn title(window: &Compositor) -> String {
    window.wait("a title", |server| {
        let titled = server.surfaces.toplevel.is_some() && !server.surfaces.title.is_empty();
        titled.then(|| server.surfaces.title.clone())
    })
}

fn close(window: &Compositor) {
    window.with(|server| server.surfaces.toplevel.as_ref().unwrap().close());
    window.wait("the end of the window", |server| server.gone.then_some(()));
}

fn titles(windows: &[(String, Compositor)]) -> Vec<&str> {
    windows.iter().map(|(title, _)| title.as_str()).collect()
}

/// Each head has a window, told apart by its title; what isn't a picture has none. One that is closed
/// leaves the others, and the program ends with the last.
#[test]
fn every_head_has_a_window_of_its_own() {
    let bus = Bus::with(vec![TWO_HEADS]);
    let view = View::start(&[&bus.uri(), "--all"]);
    let windows = view.windows(2);
    assert_eq!(titles(&windows), ["two (1) – Fanlight", "two (2) – Fanlight"]);
    let mut heads = bus.listeners(2);
    let registered: Vec<_> = heads.iter().map(|head| head.registered.1).collect();
    assert_eq!(registered, [0, 1]);
    close(&windows[0].1);
    heads[0].wait_closed();
    // The other goes on.
    assert!(heads[1].answers());
    close(&windows[1].1);
    let (status, _, said) = view.ends();
    assert_eq!((status.code(), said.as_str()), (Some(0), ""));
}

/// A head besides the first is dark until a viewer says how large its picture is wanted: without that its
/// window would show QEMU's sign for ever.
#[test]
fn a_dark_head_is_switched_on() {
    let bus = Bus::with(vec![TWO_HEADS]);
    let view = View::start(&[&bus.uri(), "--all", "--no-resize"]);
    let windows = view.windows(2);
    let heads = bus.listeners(2);
    let wanted = heads[1].wanted();
    assert_eq!((wanted.console, wanted.info), (1, (0, 0, 0, 0, 1280, 800)));
    wanted.answer(None);
    assert!(!heads[0].is_wanted(), "the first head has a size");
    windows.iter().for_each(|(_, window)| close(window));
    assert_eq!(view.ends().0.code(), Some(0));
}

/// The bus says of a second QEMU only that somebody has come. It is found all the same, and its window goes
/// when it does; the first stays.
#[test]
fn windows_come_and_go_with_virtual_machines() {
    let mut bus = Bus::with(vec![VM]);
    let view = View::start(&[&bus.uri(), "--all"]);
    let first = view.window();
    assert_eq!(title(&first), "fake – Fanlight");
    let mut head = bus.listeners(1).remove(0);
    for _ in 0..2 {
        bus.comes(OTHER);
        let second = view.window();
        assert_eq!(title(&second), "other – Fanlight");
        let listeners = bus.listeners(1);
        assert_eq!(listeners[0].registered.0, OTHER.owner);
        bus.goes(&OTHER, listeners);
        second.wait("the end of the window", |server| server.gone.then_some(()));
        assert!(head.answers());
    }
    close(&first);
    let (status, _, said) = view.ends();
    assert_eq!(status.code(), Some(1), "the worst of them: {said}");
    assert!(said.contains("fanlight: the virtual machine other is gone: "), "{said}");
}

/// What the user has closed isn't opened again by what happens elsewhere on the bus.
#[test]
fn a_closed_window_stays_closed_while_its_console_is_there() {
    let mut bus = Bus::with(vec![VM, OTHER]);
    let view = View::start(&[&bus.uri(), "--all"]);
    let windows = view.windows(2);
    let heads = bus.listeners(2);
    close(&windows[0].1);
    let third = FakeVm { owner: ":1.9", name: "third", uuid: "a third", ..VM };
    bus.comes(third);
    let window = view.window();
    assert_eq!(title(&window), "third – Fanlight");
    close(&window);
    close(&windows[1].1);
    assert_eq!(view.ends().0.code(), Some(0));
    drop(heads);
}

/// Windows of named virtual machines; scripts see whose figures they read.
#[test]
fn several_can_be_named_and_their_figures_told_apart() {
    let bus = Bus::with(vec![VM, OTHER]);
    let [fake, other] = ["fake", "other"].map(|name| format!("{}?name={name}", bus.uri()));
    for (flag, whose) in
        [("--stats=json", ["\"console\":\"", "\"console\":\""]), ("--stats", ["", ""])]
    {
        let view = View::start(&[&fake, &other, flag]);
        let windows = view.windows(2);
        assert_eq!(titles(&windows), ["fake – Fanlight", "other – Fanlight"]);
        let heads = bus.listeners(2);
        view.signal(rustix::process::Signal::TERM);
        let (status, out, said) = view.ends();
        assert_eq!(status.code(), Some(0), "{said}");
        for (uri, before) in [&fake, &other].into_iter().zip(whose) {
            let line = format!("{before}{uri}&console=0");
            assert!(out.lines().any(|l| l.contains(&line)), "{line} in {out}");
        }
        drop((windows, heads));
    }
}

/// One that can't be shown is said, and costs the other nothing but the exit code.
#[test]
fn the_exit_code_is_the_worst_of_all() {
    let bus = Bus::with(vec![VM]);
    let [fake, nobody] = ["fake", "nobody"].map(|name| format!("{}?name={name}", bus.uri()));
    let view = View::start(&[&fake, &nobody]);
    let window = view.window();
    let head = bus.listeners(1);
    title(&window);
    close(&window);
    let (status, _, said) = view.ends();
    assert_eq!(status.code(), Some(2), "{said}");
    assert!(said.contains("no virtual machine is called \"nobody\""), "{said}");
    drop(head);
}

#[test]
fn all_of_nothing_is_an_error() {
    let bus = Bus::with(Vec::new());
    let (status, _, said) = View::start(&[&bus.uri(), "--all"]).ends();
    assert_eq!(status.code(), Some(2), "{said}");
    assert!(said.contains("no QEMU is on the bus"), "{said}");
    let bus = Bus::with(vec![FakeVm { consoles: &["Text"], ..VM }]);
    let (status, _, said) = View::start(&[&bus.uri(), "--all"]).ends();
    assert_eq!(status.code(), Some(1), "{said}");
    assert!(said.contains("no graphic console"), "{said}");
}

/// A backend of guest-scanout-v1 with consoles that come and go, on a thread of its own.
fn while_serving<T>(mut server: Server, f: impl FnOnce(&dyn Fn(Change)) -> T) -> T {
    let (change, changes) = std::sync::mpsc::channel::<Change>();
    let (wake, woken) = std::os::unix::net::UnixStream::pair().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            loop {
                let fds =
                    &mut [PollFd::new(&server, PollFlags::IN), PollFd::new(&woken, PollFlags::IN)];
                poll(fds, None).unwrap();
                server.dispatch().unwrap();
                while server.next_event().is_some() {}
                let _ =
                    rustix::net::recv(&woken, &mut [0; 64][..], rustix::net::RecvFlags::DONTWAIT);
                loop {
                    match changes.try_recv() {
                        Ok(change) => change(&mut server),
                        Err(std::sync::mpsc::TryRecvError::Empty) => break,
                        Err(std::sync::mpsc::TryRecvError::Disconnected) => return,
                    }
                }
            }
        });
        let value = f(&|then: Change| {
            change.send(then).unwrap();
            rustix::io::write(&wake, b"w").unwrap();
        });
        drop(change);
        rustix::io::write(&wake, b"w").unwrap();
        value
    })
}

type Change = Box<dyn FnOnce(&mut Server) + Send>;

fn serve(path: &Path) -> Server {
    Server::bind(path, "wire", "", Options::default()).unwrap()
}

/// A console that the backend takes away closes its window and is no failure; a new one gets a window.
#[test]
fn windows_come_and_go_with_consoles() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("vm.sock");
    let mut server = serve(&path);
    let first = server.add_console(Kind::Graphic, "first").unwrap();
    while_serving(server, |change| {
        let view = View::start(&[&format!("scanout:{}", path.display()), "--all"]);
        let window = view.window();
        assert_eq!(title(&window), "wire – Fanlight");
        change(Box::new(|server| {
            server.add_console(Kind::Text, "monitor").unwrap();
            server.add_console(Kind::Graphic, "second").unwrap();
        }));
        let second = view.window();
        let called = title(&second);
        assert!(called.starts_with("wire (") && called.ends_with(") – Fanlight"), "{called}");
        change(Box::new(move |server| server.remove_console(first).unwrap()));
        window.wait("the end of the window", |server| server.gone.then_some(()));
        close(&second);
        let (status, _, said) = view.ends();
        assert_eq!((status.code(), said.as_str()), (Some(0), ""));
    });
}

/// With --reconnect windows wait for their backend, and what it has besides when it is back is seen as well.
#[test]
fn windows_outlive_their_backend_and_others_join_them() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("vm.sock");
    let mut server = serve(&path);
    server.add_console(Kind::Graphic, "first").unwrap();
    let uri = format!("scanout:{}", path.display());
    let (view, window) = while_serving(server, |_| {
        let view = View::start(&[&uri, "--all", "--reconnect"]);
        let window = view.window();
        assert_eq!(title(&window), "wire – Fanlight");
        (view, window)
    });
    let called = |what: &str| {
        window.wait(what, |server| server.surfaces.title.contains(what).then_some(()));
    };
    called("(reconnecting…)");
    let mut server = serve(&path);
    server.add_console(Kind::Graphic, "first").unwrap();
    server.add_console(Kind::Graphic, "second").unwrap();
    while_serving(server, |_| {
        let second = view.window();
        assert_eq!(title(&second), "wire (2) – Fanlight");
        close(&window);
        close(&second);
        assert_eq!(view.ends().0.code(), Some(0));
    });
}
