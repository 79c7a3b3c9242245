//! A guest that beeps and records, and a sound server that hears and says nothing else.

use fanlight_stage::child::Output;
use fanlight_stage::guests::Guests;
use fanlight_stage::line::Report;
use fanlight_stage::qemu::{Guest, Qemu, Setup};
use fanlight_stage::rundir::RunDir;
use fanlight_stage::sound::{RATE, SoundServer};
use fanlight_stage::viewer::Viewer;
use fanlight_stage::weston::{Renderer, Shell, Weston};
use fanlight_stage::{Context, Error, Result, pipeline};

use crate::stills::{bus, soon};

/// What the guest's speaker plays.
const BEEP: f64 = 440.0;

/// Bytes before the samples of a file of `wavenc`'s.
const HEAD: usize = 44;

/// All of it; the viewer goes first.
struct Scene {
    viewer: Viewer,
    server: SoundServer,
    qemu: Qemu,
    _weston: Weston,
    _bus: fanlight_stage::bus::Bus,
    _dir: std::sync::Arc<RunDir>,
}

impl Scene {
    fn start(name: &str, arguments: &[&str]) -> Result<Self> {
        let (dir, bus) = bus()?;
        let server = SoundServer::start(&dir)?;
        let mut qemu = Setup::new("sound", Guest::Sound).on(&bus).start(&Guests::find()?, &dir)?;
        qemu.line.wait(soon(), |report| (*report == Report::Ok).then_some(()))?;
        let weston = Weston::start(Shell::Kiosk, Renderer::Pixman, (720, 400), &dir)?;
        let address = server.address();
        let environment = [("PULSE_SERVER", address.as_str())];
        let peers = (&bus, &weston);
        let viewer = Viewer::start_with(name, "qemu:sound", arguments, &environment, peers, &dir)?;
        Ok(Self { viewer, server, qemu, _weston: weston, _bus: bus, _dir: dir })
    }
}

/// The longest part of it that is a tone of that frequency without a gap: where its sign changes.
fn longest_tone(samples: &[i16], hertz: f64) -> Vec<usize> {
    let half = f64::from(RATE) / hertz / 2.0;
    let changes = (1..samples.len()).filter(|&i| (samples[i - 1] < 0) != (samples[i] < 0));
    let (mut longest, mut now) = (Vec::new(), Vec::<usize>::new());
    for at in changes {
        // A sample to either side: the sign changes between two.
        let fits = now.last().is_none_or(|&last| ((at - last) as f64 - half).abs() <= 2.0);
        if !fits {
            now.clear();
        }
        now.push(at);
        if now.len() > longest.len() {
            longest.clone_from(&now);
        }
    }
    longest
}

/// The user hears the guest's speaker: its tone, a quarter of a second without a gap. (Where all is emulated
/// nobody plays as fast as time passes.)
pub(crate) fn beep() -> Result<()> {
    let scene = Scene::start("view-beep", &[])?;
    let recording = scene.server.listen()?;
    let tone = recording.wait(soon(), |samples| {
        let tone = longest_tone(samples, BEEP);
        let length = tone.last()? - tone[0];
        (length >= RATE as usize / 4).then_some(tone)
    })?;
    is_beep(&tone)
}

/// A quarter of a second of the speaker's tone, at least.
fn is_beep(tone: &[usize]) -> Result<()> {
    let (Some(first), Some(last)) = (tone.first(), tone.last()) else {
        return Err(Error::new("no tone is heard"));
    };
    let seconds = (last - first) as f64 / f64::from(RATE);
    let hertz = (tone.len() - 1) as f64 / 2.0 / seconds;
    println!("heard {hertz:.2} Hz for {seconds:.2} s");
    if seconds >= 0.25 && (hertz - BEEP).abs() < 2.0 {
        return Ok(());
    }
    Err(Error::new(format!(
        "the speaker plays {BEEP} Hz, and {hertz} Hz are heard for {seconds} s"
    )))
}

/// What the guest's speaker plays is recorded by a pipeline, from the first sample to the last, and is the same tone.
pub(crate) fn record() -> Result<()> {
    let (dir, bus) = bus()?;
    let mut qemu = Setup::new("sound", Guest::Sound).on(&bus).start(&Guests::find()?, &dir)?;
    qemu.line.wait(soon(), |report| (*report == Report::Ok).then_some(()))?;
    let file = dir.path().join("beep.wav");
    // What a slow machine plays too late is waited for.
    let description = format!(
        "-e fanlightaudiosrc uri=qemu:sound tolerance=1000000000 num-buffers=400 ! audioconvert ! audioresample \
         ! audio/x-raw,format=S16LE,rate={RATE},channels=1 ! wavenc ! filesink location={}",
        file.display()
    );
    let environment = [("DBUS_SESSION_BUS_ADDRESS", bus.address().to_owned())];
    pipeline::launch("record-beep", &description, &environment, &dir, soon())?;
    let bytes = std::fs::read(&file).context("reading what was recorded")?;
    let (head, samples) = bytes.split_at_checked(HEAD).ok_or_else(|| Error::new("no WAV"))?;
    let length = u32::from_le_bytes([head[40], head[41], head[42], head[43]]);
    if &head[36..40] != b"data" || length as usize != samples.len() {
        return Err(Error::new(format!(
            "{length} bytes are said to be in it, not {}",
            samples.len()
        )));
    }
    let samples: Vec<i16> =
        samples.chunks_exact(2).map(|bytes| i16::from_le_bytes([bytes[0], bytes[1]])).collect();
    is_beep(&longest_tone(&samples, BEEP))
}

/// The guest hears the user, and while he says nothing, nothing.
pub(crate) fn microphone() -> Result<()> {
    let mut scene = Scene::start("view-microphone", &["--microphone", "-vv"])?;
    // Until somebody listens for it, QEMU's guest records what lies in QEMU's memory.
    scene.viewer.child().wait_line(Output::Err, soon(), |line| {
        (line.contains("the guest has a voice") && line.contains("Record")).then_some(())
    })?;
    let heard = scene.qemu.line.hear(soon())?;
    if heard != 0 {
        return Err(Error::new(format!("of silence the guest heard {heard} changes of sign")));
    }
    let (hertz, seconds) = (500, 65536.0 / 48_000.0);
    scene.server.speak(hertz)?;
    let most = 2.0 * f64::from(hertz) * seconds;
    let deadline = soon();
    // Until the server has found its microphone there is silence.
    loop {
        let heard = f64::from(scene.qemu.line.hear(soon())?);
        println!("heard {heard} changes of sign of {most:.0}");
        // What was lost on the way leaves joints.
        if heard > most * 1.2 {
            return Err(Error::new(format!("the guest heard {heard} changes of sign of {most}")));
        }
        if heard > most * 0.6 {
            return Ok(());
        }
        if deadline.left().is_zero() {
            return Err(scene.server.failure("was not heard by the guest"));
        }
    }
}
