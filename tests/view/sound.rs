//! Whether `fanlight view` lets a guest be heard: a fake QEMU plays, and a fake sound server hears.

use tempfile::TempDir;

use super::reconnects::paint;
use super::*;
use crate::fake_audio::{FakeAudio, OUT, STEREO};
use crate::fake_qemu::{Bus, FakeQemu, FakeVm, VM};
use crate::fake_sound::Server;

const TITLE: &str = "fake – Fanlight";
const MUTED: &str = "fake – Fanlight (muted)";
/// Ctrl, Alt and M.
const MUTE: [u32; 3] = [29, 56, 50];

struct Stage {
    view: View,
    audio: FakeAudio,
    server: UnixListener,
    _qemu: FakeQemu,
    _bus: Bus,
    _folder: TempDir,
}

impl Stage {
    fn start(flags: &[&str]) -> Self {
        let bus = Bus::with(vec![FakeVm { audio: true, ..VM }]);
        let folder = tempfile::tempdir().unwrap();
        let server = UnixListener::bind(folder.path().join("native")).unwrap();
        let address = format!("unix:{}/native", folder.path().display());
        let (compositor, stream) = Compositor::start(Script::default());
        // Nothing is asked of QEMU's sound before there is a window, and so before somebody answers for it.
        compositor.listen(false);
        // The cookie of who runs the tests is nobody's business.
        let environment = [("PULSE_SERVER", address.as_str()), ("PULSE_COOKIE", "/dev/null")];
        let uri = bus.uri();
        let args = [&[uri.as_str()], flags].concat();
        let home = Path::new("/nonexistent");
        let mut view = View::start_over((compositor, stream), home, &args, &environment);
        let audio = FakeAudio::at(bus.qemus.connection());
        view.compositor.listen(true);
        let mut qemu = bus.qemus.next();
        paint(&mut qemu, 10);
        view.shows(10);
        view.compositor.with(|server| server.focus(&[]));
        Self { view, audio, server, _qemu: qemu, _bus: bus, _folder: folder }
    }
}

/// The title says so, and nobody has to guess why nothing is heard.
#[test]
fn what_is_muted_is_not_heard_and_the_title_says_so() {
    let mut stage = Stage::start(&["--mute"]);
    stage.view.called(MUTED);
    let mut out = stage.audio.registered(OUT);
    out.call(OUT, "Init", &STEREO).unwrap();
    let mut play = |sample: u8| out.call(OUT, "Write", &(1_u64, &[sample; 400][..])).unwrap();
    play(1);
    stage.view.press(&MUTE);
    stage.view.called(TITLE);
    play(2);
    let mut server = Server::at(stage.server.accept().unwrap().0);
    server.accept(400);
    assert_eq!(server.samples(400), [2; 400], "what was muted is heard by nobody");
    stage.view.press(&MUTE);
    stage.view.called(MUTED);
    server.expect_end();
}

/// Who wants nothing of the guest's sound gets nothing of it by a hotkey either.
#[test]
fn without_audio_qemu_is_never_asked_for_sound() {
    let mut stage = Stage::start(&["--no-audio"]);
    stage.view.press(&MUTE);
    stage.view.press(&MUTE);
    stage.view.called(TITLE);
    stage.view.close();
    let (status, said) = stage.view.ends();
    assert_eq!(status.code(), Some(0), "{said}");
    assert!(!stage.audio.was_called());
}

/// Nothing has to be asked for to hear the guest; the user isn't heard.
#[test]
fn a_guest_is_heard_and_hears_nobody() {
    let stage = Stage::start(&[]);
    let mut out = stage.audio.registered(OUT);
    out.call(OUT, "Init", &STEREO).unwrap();
    out.call(OUT, "Write", &(1_u64, &[3_u8; 400][..])).unwrap();
    let mut server = Server::at(stage.server.accept().unwrap().0);
    server.accept(400);
    assert_eq!(server.samples(400), [3; 400]);
    stage.view.close();
    let (status, said) = stage.view.ends();
    assert_eq!(status.code(), Some(0), "{said}");
    assert!(!stage.audio.was_called(), "it asks for what the guest records");
}
