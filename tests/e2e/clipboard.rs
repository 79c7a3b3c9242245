//! What is copied on a real desktop is pasted in a guest, and back: with a QEMU that is a fake, because no
//! guest grabs, asks and refuses at will, and with a real one. Who copies and pastes on the desktop are
//! programs that people use for it.

#[path = "clipboard/agent.rs"]
mod agent;
#[path = "clipboard/desk.rs"]
mod desk;
#[path = "../support/fake_clipboard.rs"]
#[allow(dead_code)]
mod fake_clipboard;
#[path = "../support/fake_qemu.rs"]
#[allow(missing_docs, missing_debug_implementations, unreachable_pub)]
mod fake_qemu;
#[path = "clipboard/real.rs"]
pub(crate) mod real;

use fanlight_stage::child::Output;
use fanlight_stage::viewer::Viewer;
use fanlight_stage::{Context, Error, Result};

use crate::stills::soon;
use desk::Desk;
use fake_clipboard::{FakeClipboard, Pasted, TEXT};
use fake_qemu::{FakeQemu, FakeQemus};

/// Longest text that passes.
const LONGEST: usize = 1 << 20;
/// Letters of one byte to four, and such of several letters.
const TEXTS: [&str; 3] =
    ["plain", "Grüße, ’s ist ÄÖÜß\n\tzweite Zeile\n", "👩‍🚀 is an 🧑 with a 🚀; 日本語, العربية"];
/// What the guest is told of a program that takes longer than it can wait.
const LATE: &str = "took too long";

/// A text of `length` bytes, every third letter of which takes two.
fn long(length: usize) -> String {
    let mut text = "abü\n".repeat(length / 5);
    text.extend(std::iter::repeat_n('.', length - text.len()));
    text
}

/// Texts may be long.
fn differs<T: std::fmt::Debug>(what: &str, is: &T, due: &T) -> String {
    let [is, due] = [is, due].map(|one| format!("{one:?}").chars().take(200).collect::<String>());
    format!("fails: {what} is {is}, and due was {due}")
}

/// A guest that is a fake, in a viewer on a desktop; the viewer goes first.
struct Stage {
    viewer: Viewer,
    guest: FakeClipboard,
    /// Of the last grab.
    number: u32,
    qemus: FakeQemus,
    qemu: FakeQemu,
    desk: Desk,
}

impl Stage {
    fn start(name: &str, arguments: &[&str]) -> Result<Self> {
        let desk = Desk::start()?;
        let socket = desk.dir.path().join("fake-bus");
        let qemus = fake_qemu::bus(&socket, vec![fake_qemu::VM]);
        let viewer = desk.view(name, &format!("qemu+unix:{}", socket.display()), arguments)?;
        let connection = qemus.connection();
        connection.set_unique_name(fake_qemu::VM.owner).context("taking a name on the bus")?;
        let guest = FakeClipboard::at(connection);
        let mut qemu = qemus.next();
        let (width, height, format) = (320_u32, 200_u32, 0x2002_0888_u32);
        let pixels = vec![0x60_u8; (width * height * 4) as usize];
        let scanout = (width, height, width * 4, format, &pixels[..]);
        let shown = qemu.call(fake_qemu::LISTENER, "Scanout", &scanout);
        shown.map_err(|(name, text)| Error::new(format!("no picture: {name}: {text}")))?;
        desk.focused(fake_qemu::VM.name)?;
        Ok(Self { viewer, guest, number: 0, qemus, qemu, desk })
    }

    fn same<T: PartialEq + std::fmt::Debug>(&self, what: &str, is: &T, due: &T) -> Result<()> {
        if is == due {
            return Ok(());
        }
        Err(self.viewer.failure(&differs(what, is, due)))
    }

    /// The next call is a grab, the first since the last.
    fn grabbed(&mut self) -> Result<()> {
        self.number += 1;
        self.same("the grab", &self.guest.grabbed(), &self.number)
    }

    fn passes_to_guest(&mut self, text: &str) -> Result<()> {
        self.desk.copy(text)?;
        self.grabbed()?;
        let mut pasted = self.guest_pastes();
        // It is offered again when it came too late.
        while pasted.as_ref().is_err_and(|error| error.contains(LATE)) {
            self.grabbed()?;
            pasted = self.guest_pastes();
        }
        self.same(
            "what the guest pasted",
            &pasted,
            &Ok((TEXT.to_owned(), text.as_bytes().to_vec())),
        )
    }

    fn guest_pastes(&self) -> Pasted {
        self.guest.guest_pastes().join().expect("an answer")
    }

    /// The guest copies something, and the viewer has heard of it.
    fn guest_copies(&mut self) -> Result<()> {
        self.number += 1;
        self.guest.guest_copies(self.number, &[TEXT]);
        // Answered when all that came before is done.
        let acked = self.qemu.call(fake_qemu::LISTENER, "UpdateDMABUF", &(0, 0, 1, 1));
        acked.map(drop).map_err(|(name, text)| Error::new(format!("no ack: {name}: {text}")))
    }

    /// What a program of the host's pastes while the guest has copied this.
    fn host_pastes(&mut self, text: &str) -> Result<String> {
        let mut child = self.desk.paste()?;
        let request = self.guest.called("Request");
        self.guest.answer(&request, &(TEXT, text.as_bytes()));
        child.wait(soon())?;
        child.output(Output::Out)
    }

    fn passes_to_host(&mut self, text: &str) -> Result<()> {
        self.guest_copies()?;
        self.desk.tap()?;
        self.desk.await_guests(true)?;
        self.same("what was asked for before anybody pasted", &self.guest.is_called(), &false)?;
        let pasted = self.host_pastes(text)?;
        self.same("what the host pasted", &pasted, &text.to_owned())
    }

    /// Whether the viewer has said so to its user.
    fn says(&mut self, part: &str) -> Result<()> {
        let said = |line: &str| line.contains(part).then_some(());
        self.viewer.child().wait_line(Output::Err, soon(), said)
    }
}

/// What the desktop has goes to the guest when that pastes; each copy is told it once.
pub(crate) fn to_the_guest() -> Result<()> {
    let mut stage = Stage::start("view-to-guest", &[])?;
    stage.guest.registered();
    let long = long(LONGEST);
    for text in TEXTS.into_iter().chain([&long[..]]) {
        stage.passes_to_guest(text)?;
    }
    stage.desk.copy(&(long + "."))?;
    stage.grabbed()?;
    let deadline = soon();
    let refused = loop {
        let refused = stage.guest_pastes().err().unwrap_or_default();
        let waits = [LATE, "still being read"].iter().any(|reason| refused.contains(reason));
        if !waits || deadline.left().is_zero() {
            break refused;
        }
    };
    let reason = format!("longer than {LONGEST} bytes");
    stage.same(&format!("{refused:?}"), &refused.contains(&reason), &true)?;
    stage.says(&reason)?;
    // A picture is none of the guest's.
    stage.desk.copy_as("image/png", "no text")?;
    stage.guest.answer(&stage.guest.called("Release"), &());
    stage.passes_to_guest("text again")?;
    stage.desk.clear()?;
    stage.guest.answer(&stage.guest.called("Release"), &());
    let refused = stage.guest_pastes().err().unwrap_or_default();
    stage.same(&refused, &refused.contains("nothing of that kind"), &true)?;
    stage.viewer.finish(soon()).map(drop)
}

/// What the guest has copied is there to paste on the desktop, and the guest is asked for it only then.
pub(crate) fn to_the_host() -> Result<()> {
    let mut stage = Stage::start("view-to-host", &[])?;
    stage.guest.registered();
    // More than a pipe holds; an emulated machine takes too long over the longest.
    let long = long(128 << 10);
    for text in TEXTS.into_iter().chain([&long[..]]) {
        stage.passes_to_host(text)?;
    }
    // Of all that nothing came back as if somebody on the desktop had copied it: the next is the next.
    stage.passes_to_guest("the host's")?;
    // Another window has the keyboard; what the guest copies meanwhile waits.
    let other = stage.desk.view("view-other", "demo:", &[])?;
    stage.desk.focused("demo")?;
    stage.guest_copies()?;
    stage.desk.sway.command("[title=\"^fake.*\"] focus")?;
    stage.desk.await_guests(true)?;
    let pasted = stage.host_pastes("from behind")?;
    stage.same("what the host pasted", &pasted, &"from behind".to_owned())?;
    // Nor does the guest's own come back when the window gets the keyboard again.
    stage.passes_to_guest("the host's again")?;
    stage.passes_to_host("the guest's again")?;
    stage.guest.tell("Release", &0_u32);
    stage.desk.await_guests(false)?;
    other.finish(soon())?;
    stage.viewer.finish(soon()).map(drop)
}

/// The guest hears nothing of what is copied, not even that it could.
pub(crate) fn off() -> Result<()> {
    let mut stage = Stage::start("view-no-clipboard", &["--no-clipboard"])?;
    stage.desk.copy("a secret")?;
    let deadline = soon();
    while stage.desk.kinds()?.is_empty() && !deadline.left().is_zero() {}
    // The window is told of a copy before a key that is pressed later.
    stage.desk.tap()?;
    while stage.qemus.did().0 != "Keyboard.Press" {}
    stage.same("what the guest was told", &stage.guest.is_called(), &false)?;
    stage.viewer.finish(soon()).map(drop)
}
