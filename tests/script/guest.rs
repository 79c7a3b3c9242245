//! Guests whose screens change as the script types.

use std::fs;
use std::os::fd::AsFd;
use std::path::Path;
use std::process::{Child, Stdio};
use std::rc::Rc;

use fanlight::capture::PictureFormat;
use fanlight::frame::{Format, Picture, Size};
use fanlight::sys::own_memfd;
use zbus::Fd;

use crate::fake_qemu::{Bus, DMABUF2, Did, FakeQemu, FakeVm, LISTENER, VM};
use crate::{Ended, Folder, ended, grey};

const SIZE: Size = Size { width: 64, height: 48 };
const X8R8G8B8: u32 = 0x2002_0888;
/// What QEMU calls the key Return.
const RETURN: i64 = 28;

/// A script that runs, and the guest that it runs with.
pub(crate) struct Guest {
    bus: Rc<Bus>,
    pub(crate) child: Child,
    qemu: Option<FakeQemu>,
}

impl Guest {
    pub(crate) fn start(folder: &Folder, vm: FakeVm, args: &[&str]) -> Self {
        let bus = Rc::new(Bus::with(vec![vm]));
        let child = folder.start(&[&["test.fan", &bus.uri()], args].concat());
        let qemu = Some(bus.qemus.next());
        Self { bus, child, qemu }
    }

    /// Its first picture.
    pub(crate) fn shows(&mut self, grey: u8) {
        let Size { width, height } = SIZE;
        let picture = pixels(grey);
        let body = (width, height, width * 4, X8R8G8B8, &picture[..]);
        self.qemu.as_mut().unwrap().call(LISTENER, "Scanout", &body).unwrap();
    }

    /// One that nobody can read.
    fn shows_unreadable(&mut self) {
        unreadable(self.qemu.as_mut().unwrap());
    }

    /// Another one.
    pub(crate) fn draws(&mut self, grey: u8) {
        let Size { width, height } = SIZE;
        let picture = pixels(grey);
        let (width, height) = (width as i32, height as i32);
        let body = (0, 0, width, height, 4 * width as u32, X8R8G8B8, &picture[..]);
        self.qemu.as_mut().unwrap().call(LISTENER, "Update", &body).unwrap();
    }

    /// What the user did next: the method and its numbers.
    pub(crate) fn did(&self) -> Did {
        self.bus.qemus.did()
    }

    /// Takes what is typed until Return is up again; how many keys went down.
    fn line(&self) -> usize {
        let mut pressed = 0;
        loop {
            match self.did() {
                (released, RETURN, 0) if released == "Keyboard.Release" => return pressed,
                (how, ..) => pressed += usize::from(how == "Keyboard.Press"),
            }
        }
    }

    pub(crate) fn dies(&mut self) {
        self.qemu.take().unwrap().kill();
    }

    pub(crate) fn ends(self) -> Ended {
        ended(self.child.wait_with_output().unwrap())
    }
}

/// Announces memory that lies as some GPU has it.
fn unreadable(qemu: &mut FakeQemu) {
    let Size { width, height } = SIZE;
    let memory = own_memfd("guest", u64::from(width * height * 4)).unwrap();
    let (fds, offsets, strides) = (vec![Fd::from(memory.as_fd())], vec![0_u32], vec![width * 4]);
    let (fourcc, modifier) = (Format::XRGB8888.0, 0x0100_0000_0000_0002_u64);
    let body = (
        fds, 0_u32, 0_u32, width, height, offsets, strides, 1_u32, fourcc, width, height, modifier,
        false,
    );
    qemu.call(DMABUF2, "ScanoutDMABUF2", &body).unwrap();
    qemu.send(LISTENER, "UpdateDMABUF", &(0_i32, 0_i32, width as i32, height as i32));
}

fn pixels(grey: u8) -> Vec<u8> {
    vec![grey; (SIZE.width * SIZE.height * 4) as usize]
}

fn save(path: &Path, grey: u8) {
    let picture = Picture { size: SIZE, pixels: pixels(grey) };
    PictureFormat::Png.write(&picture, fs::File::create(path).unwrap()).unwrap();
}

#[test]
fn the_example_logs_in_and_switches_the_guest_off() {
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/login.fan");
    let folder = Folder::with(&fs::read_to_string(example).unwrap());
    let mut guest = Guest::start(&folder, VM, &[]);
    guest.shows(10);
    assert_eq!(guest.line(), "root\n".len());
    guest.draws(20);
    assert_eq!(guest.line(), "correct horse\n".len());
    guest.draws(30);
    guest.line();
    guest.draws(40);
    assert_eq!(guest.line(), "poweroff\n".len());
    guest.dies();
    guest.ends().succeeds();
    assert_eq!(grey(&folder.path("logged-in.png")), 40);
    assert_eq!(folder.files(), ["logged-in.png", "test.fan"]);
}

/// The guest answers to Return's going down, before it is up again: without it `wait change` would wait for ever.
#[test]
fn what_changes_while_something_is_typed_is_a_change() {
    let folder = Folder::with("wait stable:1ms\npace 300ms\nkey Return\nwait change\nkey Return");
    let mut guest = Guest::start(&folder, VM, &[]);
    guest.shows(10);
    assert_eq!(guest.did().0, "Keyboard.Press");
    guest.draws(20);
    guest.line();
    assert_eq!(guest.line(), 1);
    guest.ends().succeeds();
}

/// And what was a change once is none again.
#[test]
fn each_change_is_waited_for_once() {
    let script = "wait stable:1ms\nkey Return\nwait change\nwait change within 200ms";
    let folder = Folder::with(script);
    let mut guest = Guest::start(&folder, VM, &[]);
    guest.shows(10);
    guest.line();
    guest.draws(20);
    guest.ends().fails(3, &["test.fan:4: the screen did not change within 0.2 s"]);
    assert_eq!(grey(&folder.path("test-line4.png")), 20);
}

#[test]
fn a_picture_that_does_not_come_is_marked() {
    let folder = Folder::with("wait match:login.png:5 within 300ms");
    save(&folder.path("login.png"), 100);
    let mut guest = Guest::start(&folder, VM, &[]);
    guest.shows(94);
    let words = "test.fan:1: the screen did not look like login.png within 0.3 s: 3072 pixels differ, by up to 6 of 255, \
        in 64x48 at 0,0 (marked in test-line1-diff.png); what is on the screen is in test-line1.png";
    guest.ends().fails(3, &[words]);
    assert_eq!(grey(&folder.path("test-line1.png")), 94);
    assert!(folder.path("test-line1-diff.png").exists());

    let mut guest = Guest::start(&folder, VM, &[]);
    guest.shows(95);
    guest.ends().succeeds();
}

#[test]
fn a_screen_that_is_not_as_expected_ends_the_script() {
    let folder = Folder::with(
        "wait stable:1ms\nexpect login.png tolerance 5\nexpect login.png mask all.png\nexpect login.png\ntype a",
    );
    save(&folder.path("login.png"), 100);
    save(&folder.path("all.png"), 0);
    let mut guest = Guest::start(&folder, VM, &[]);
    guest.shows(97);
    let words = [
        "test.fan:4: the guest's screen is not like login.png: 3072 pixels differ",
        "(marked in test-line4-diff.png); what is on the screen is in test-line4.png",
    ];
    let bus = Rc::clone(&guest.bus);
    guest.ends().fails(4, &words);
    // The next that is typed is another script's.
    Folder::with("key f1").run(&["test.fan", &bus.uri()]).succeeds();
    assert_eq!(bus.qemus.did(), ("Keyboard.Press".to_owned(), 59, 0));
}

/// How large the screen is then is known only when it is there.
#[test]
fn a_mask_that_is_not_for_the_screen_is_said() {
    let folder = Folder::with("wait stable:1ms mask small.png within 200ms");
    let small = Picture::black(Size { width: 4, height: 4 });
    let file = fs::File::create(folder.path("small.png")).unwrap();
    PictureFormat::Png.write(&small, file).unwrap();
    let mut guest = Guest::start(&folder, VM, &[]);
    guest.shows(10);
    let words =
        "within 0.2 s: the mask is 4x4, but the screen 64x48: make one of the screen's size";
    guest.ends().fails(3, &["test.fan:1: the screen was not still", words]);
}

/// A screen whose memory is laid out for a GPU, where there is none that reads it.
#[test]
fn what_can_not_be_read_is_said_with_what_both_lack() {
    let words = [
        "the guest's screen can't be read: the CPU can't read memory laid out as modifier 0x0100000000000002, only a GPU \
         can, and ",
        "GPU",
    ];
    let lines =
        ["wait stable:1ms within 300ms", "wait change within 300ms", "expect a.png", "dump b.png"];
    for line in lines {
        let script = format!("timeout 1s\nwait stable:1ms\nkey a\npause 1s\n{line}");
        let folder = Folder::with(&script);
        save(&folder.path("a.png"), 10);
        let mut guest = Guest::start(&folder, VM, &[]);
        // What was there before is nothing to go by.
        guest.shows(10);
        assert_eq!(guest.did().0, "Keyboard.Press");
        guest.shows_unreadable();
        let ended = guest.ends();
        ended.fails(1, &words);
        let before = "; what was on the screen before is in test-line5.png";
        assert!(ended.said.ends_with(before), "{ended:?}");
        assert_eq!(folder.files(), ["a.png", "test-line5.png", "test.fan"]);
    }
    // A dump says the same.
    let folder = Folder::with("");
    let bus = Bus::with(vec![VM]);
    let mut command = folder.fanlight();
    command.args(["dump", &bus.uri(), "--timeout", "300ms", "-o", "a.png"]);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    unreadable(&mut bus.qemus.next());
    ended(child.wait_with_output().unwrap()).fails(1, &words);
    assert_eq!(folder.files(), ["test.fan"]);
}

#[test]
fn a_guest_that_ends_too_early_is_said_with_its_last_picture() {
    let folder = Folder::with("wait stable:1ms\ntype a\nwait change");
    let mut guest = Guest::start(&folder, VM, &[]);
    guest.shows(70);
    assert_eq!(
        (guest.did().0, guest.did().0),
        ("Keyboard.Press".into(), "Keyboard.Release".into())
    );
    guest.dies();
    guest.ends().fails(1, &["test.fan:3: the virtual machine is gone", "is in test-line3.png"]);
    assert_eq!(grey(&folder.path("test-line3.png")), 70);
}

#[test]
fn a_guest_that_does_not_end_is_said() {
    let folder = Folder::with("wait gone within 100ms");
    let mut guest = Guest::start(&folder, VM, &[]);
    guest.shows(70);
    guest.ends().fails(3, &["test.fan:1: the virtual machine did not end within 0.1 s"]);
}
