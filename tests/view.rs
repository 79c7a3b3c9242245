//! `fanlight view` from outside: the program, a backend that comes and goes, and a compositor within the
//! test at the other end of its socket.
#![cfg(all(feature = "cli", feature = "wayland", feature = "demo"))]
#![allow(missing_docs, missing_debug_implementations, unreachable_pub)]

#[path = "support/compositor.rs"]
#[allow(dead_code)]
mod compositor;
#[cfg(feature = "audio")]
#[path = "support/fake_audio.rs"]
mod fake_audio;
#[path = "support/fake_qemu.rs"]
mod fake_qemu;
#[cfg(feature = "audio")]
#[path = "support/fake_sound.rs"]
mod fake_sound;
#[path = "view/reconnects.rs"]
mod reconnects;
#[path = "view/said.rs"]
mod said;
#[cfg(feature = "audio")]
#[path = "view/sound.rs"]
mod sound;

use std::io::{BufRead, BufReader, Read};
use std::os::fd::AsRawFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};

use compositor::surfaces::Attached;
use compositor::{Compositor, Script, Server};
use fanlight::demo::{Demo, Settings, oracle};
use fanlight::frame::Size;
use rustix::io::{FdFlags, fcntl_setfd};

const TITLE: &str = "demo – Fanlight";
/// From who started the program.
const TOKEN: &str = "a token";
const RECONNECTING: &str = "demo – Fanlight (reconnecting…)";

/// The program and its compositor.
struct View {
    child: Child,
    compositor: Compositor,
    /// Commits that were answered.
    answered: usize,
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
        Self::start_at(Path::new("/nonexistent"), args)
    }

    /// The program of a user who is at home there.
    fn start_at(home: &Path, args: &[&str]) -> Self {
        Self::start_over(Compositor::start(Script::default()), home, args, &[])
    }

    /// The same with that compositor, at the other end of the socket, and with more in its environment.
    fn start_over(
        (compositor, stream): (Compositor, UnixStream),
        home: &Path,
        args: &[&str],
        environment: &[(&str, &str)],
    ) -> Self {
        // The program inherits this one, by its number.
        fcntl_setfd(&stream, FdFlags::empty()).unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_fanlight"))
            .arg("view")
            .args(args)
            .env_clear()
            .env("HOME", home)
            .env("XDG_ACTIVATION_TOKEN", TOKEN)
            .env("WAYLAND_SOCKET", stream.as_raw_fd().to_string())
            .envs(environment.iter().copied())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts");
        Self { child, compositor, answered: 0 }
    }

    /// Waits for so many more frames, and does for each what a compositor does.
    fn frames(&mut self, count: usize) {
        let until = self.answered + count;
        let answered = &mut self.answered;
        self.compositor.wait("frames", |server| {
            answer(server, answered);
            (*answered >= until).then_some(())
        });
    }

    /// Waits until the window is called that; answers what is shown meanwhile.
    fn called(&mut self, title: &str) {
        let answered = &mut self.answered;
        self.compositor.wait(title, |server| {
            if server.surfaces.main.is_some() {
                answer(server, answered);
            }
            (server.surfaces.title == title).then_some(())
        });
    }

    /// The user presses these keys together, and lifts them.
    fn press(&self, keys: &[u32]) {
        self.compositor.with(|server| {
            keys.iter().for_each(|key| server.key(*key, true));
            keys.iter().rev().for_each(|key| server.key(*key, false));
        });
    }

    fn was_blank(&self) -> bool {
        self.compositor.with(|server| {
            server.surfaces.shown().iter().any(|commit| commit.attached == Attached::Null)
        })
    }

    fn close(&self) {
        self.compositor.with(|server| server.surfaces.toplevel.as_ref().unwrap().close());
    }

    fn ends(mut self) -> (ExitStatus, String) {
        let mut said = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        (self.child.wait().unwrap(), said)
    }
}

/// Says of every commit since the last call that it was shown, and gives back what it took the place of.
fn answer(server: &mut Server, answered: &mut usize) {
    if server.surfaces.main.is_none() || server.surfaces.surfaces.len() < 2 {
        return;
    }
    let Server { surfaces, .. } = server;
    let shown = surfaces.shown();
    for i in *answered..shown.len() {
        if shown[i].attached != Attached::Null {
            shown[i].frame.as_ref().expect("each picture asks for a frame").done(0);
        }
        if let Some(before) = i.checked_sub(1)
            && let Attached::Buffer(buffer) = shown[before].attached
            && shown[i].attached != shown[before].attached
        {
            surfaces.buffers[buffer].buffer.release();
        }
    }
    *answered = shown.len();
    // It may say nothing more before it has heard this.
    server.display.flush_clients().unwrap();
}

fn demo(socket: &Path) -> Demo {
    let size = Size { width: 128, height: 96 };
    Demo::serve(&Settings { size, ..Settings::default() }, socket).unwrap()
}

/// The user keeps the window and its picture, sees in its title what is going on, and the guest again
/// when it is back, as often as that happens. Without it a restart of the VM would close the window.
#[test]
fn a_window_outlives_its_virtual_machine_and_shows_the_next_one() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("vm.sock");
    let uri = format!("scanout:{}", socket.display());
    let mut guest = demo(&socket);
    let mut view = View::start(&[&uri, "--reconnect"]);
    view.called(TITLE);
    for _ in 0..2 {
        view.frames(5);
        drop(guest);
        view.called(RECONNECTING);
        guest = demo(&socket);
        view.called(TITLE);
    }
    view.frames(5);
    assert!(!view.was_blank());
    let used = view.compositor.with(|server| server.desktop.activated.clone());
    assert_eq!(used.iter().map(|(token, _)| token.as_str()).collect::<Vec<_>>(), [TOKEN]);
    view.close();
    let (status, said) = view.ends();
    assert_eq!(status.code(), Some(0), "{said}");
    assert!(said.contains("waiting for it to come back"), "{said}");
}

/// While nothing is there to be shown the window still listens: without it it could only be killed.
#[test]
fn a_window_that_waits_for_its_virtual_machine_can_be_closed() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("vm.sock");
    let uri = format!("scanout:{}", socket.display());
    for signal in [false, true] {
        let guest = demo(&socket);
        let mut view = View::start(&[&uri, "--reconnect"]);
        view.frames(2);
        drop(guest);
        view.called(RECONNECTING);
        if signal {
            let pid = rustix::process::Pid::from_child(&view.child);
            rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
        } else {
            view.close();
        }
        let (status, said) = view.ends();
        assert_eq!(status.code(), Some(0), "{said}");
    }
}

/// Without the flag the program says why it ends, and scripts see that it has.
#[test]
fn without_reconnect_the_end_of_the_virtual_machine_is_the_end() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("vm.sock");
    let guest = demo(&socket);
    let mut view = View::start(&[&format!("scanout:{}", socket.display())]);
    view.frames(2);
    drop(guest);
    let (status, said) = view.ends();
    assert_eq!(status.code(), Some(1), "{said}");
    let last = said.lines().last().unwrap();
    assert!(last.starts_with("fanlight: the virtual machine demo is gone: "), "{said}");
}

/// What the user has then is one whole frame of a guest that never stands still, in the guest's pixels, where
/// the user keeps pictures.
#[test]
fn a_screenshot_is_a_whole_frame_in_the_users_folder() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join(".config");
    std::fs::create_dir(&config).unwrap();
    std::fs::write(config.join("user-dirs.dirs"), "XDG_PICTURES_DIR=\"$HOME/Bilder\"\n").unwrap();
    let socket = folder.path().join("vm.sock");
    let _guest = demo(&socket);
    let uri = format!("scanout:{}", socket.display());
    let mut view = View::start_at(folder.path(), &[&uri, "-v"]);
    view.frames(5);
    view.compositor.with(|server| {
        server.focus(&[]);
        // Ctrl, Alt, S, and S again.
        for (code, pressed) in [(29, true), (56, true), (31, true), (31, false), (31, true)] {
            server.key(code, pressed);
        }
    });
    view.called("demo – Fanlight (screenshot saved in Bilder)");
    let mut said = BufReader::new(view.child.stderr.take().unwrap()).lines();
    for _ in 0..2 {
        let told =
            said.find_map(|line| Some(line.unwrap().split_once("screenshot is in ")?.1.to_owned()));
        let file = told.expect("it says where it is");
        let file = Path::new(file.trim_end());
        assert_eq!(file.parent(), Some(folder.path().join("Bilder").as_path()));
        let name = file.file_name().unwrap().to_str().unwrap();
        assert!(name.starts_with("demo 2") && name.ends_with(".png"), "{name}");
        let file = BufReader::new(std::fs::File::open(file).unwrap());
        let mut reader = png::Decoder::new(file).read_info().unwrap();
        let mut rgb = vec![0; reader.output_buffer_size().unwrap()];
        let info = reader.next_frame(&mut rgb).unwrap();
        let size = Size { width: info.width, height: info.height };
        assert_eq!(size, Size { width: 128, height: 96 });
        let blue = |x: u32, y: u32| rgb[3 * (y * size.width + x) as usize + 2];
        oracle::read(size, blue).unwrap_or_else(|mixed| panic!("{mixed}"));
    }
    // And then it is called as before.
    view.called(TITLE);
}

/// A kiosk's compositor, say: what it lacks, and what can be done without.
#[test]
fn a_compositor_without_windows_is_said() {
    let script = Script { without: &["xdg_wm_base"], ..Script::default() };
    let (_compositor, stream) = Compositor::start(script);
    fcntl_setfd(&stream, FdFlags::empty()).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_fanlight"))
        .args(["view", "demo:"])
        .env_clear()
        .env("WAYLAND_SOCKET", stream.as_raw_fd().to_string())
        .output()
        .expect("the program starts");
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    let last = said.lines().last().unwrap();
    for words in ["fanlight: ", "does not offer xdg_wm_base version 1", "`fanlight dump`"] {
        assert!(last.contains(words), "{said}");
    }
}

/// The desktop may hang, and what programs it has to be asked with: the window comes all the same, with a frame around it.
#[test]
fn a_desktop_that_hangs_keeps_no_window_away() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["dbus-send", "fc-match", "gdbus", "gsettings"] {
        let path = folder.path().join(name);
        std::fs::write(&path, "#!/bin/sh\nexec sleep infinity\n").unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
    }
    // Nobody ever answers there.
    let bus = folder.path().join("bus");
    let _listens = UnixListener::bind(&bus).unwrap();
    let (compositor, stream) = Compositor::start(Script { frames: false, ..Script::default() });
    fcntl_setfd(&stream, FdFlags::empty()).unwrap();
    let child = Command::new(env!("CARGO_BIN_EXE_fanlight"))
        .args(["view", "demo:"])
        .env_clear()
        .env("PATH", folder.path())
        .env("DBUS_SESSION_BUS_ADDRESS", format!("unix:path={}", bus.display()))
        .env("WAYLAND_SOCKET", stream.as_raw_fd().to_string())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let mut view = View { child, compositor, answered: 0 };
    view.frames(2);
    view.compositor.wait("a frame", |server| (server.surfaces.frame().len() == 5).then_some(()));
    view.close();
    let (status, said) = view.ends();
    assert_eq!(status.code(), Some(0), "{said}");
}
