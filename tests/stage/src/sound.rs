//! A real sound server without a device: PulseAudio, whose speaker can be listened to, and whose microphone hears
//! what it is told to.

use std::fs::File;
use std::io::Read;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;

use crate::child::{Child, Output, run};
use crate::error::{Context, Result};
use crate::ready::spawn_ready;
use crate::rundir::RunDir;
use crate::wait::{Deadline, Watch, readable};

/// Samples a second, of what is listened to and what is spoken.
pub const RATE: u32 = 48_000;
/// How much of what was played is looked at.
pub const SECONDS: u32 = 4;

/// A running PulseAudio. Dropping it kills it.
#[derive(Debug)]
pub struct SoundServer {
    // What uses it goes first.
    speaks: Option<Child>,
    child: Child,
    folder: PathBuf,
    dir: Arc<RunDir>,
}

/// Everything that is played from when it was made. Dropping it ends that.
#[derive(Debug)]
pub struct Recording {
    child: Child,
}

impl SoundServer {
    /// Starts it; it takes clients when this returns.
    ///
    /// # Errors
    /// If PulseAudio is missing or does not start; with the end of its log.
    pub fn start(dir: &Arc<RunDir>) -> Result<Self> {
        // A folder of its own: it writes where it likes.
        let folder = dir.path().join("pulse");
        std::fs::create_dir(&folder).context(format!("making {}", folder.display()))?;
        let socket = folder.join("native");
        let protocol = format!("module-native-protocol-unix socket={}", socket.display());
        let mut command = Command::new("pulseaudio");
        command.args(["-n", "--daemonize=no", "--use-pid-file=no", "--exit-idle-time=-1"]);
        for name in ["speaker", "microphone"] {
            let sink = format!("module-null-sink sink_name={name} rate={RATE}");
            command.args(["--load", &sink]);
        }
        command.args(["--load", &format!("{protocol} auth-anonymous=1")]);
        command.env("HOME", &folder).env("XDG_RUNTIME_DIR", &folder);
        let deadline = Deadline::seconds(60);
        let child = spawn_ready("pulseaudio", "pulseaudio", command, dir, deadline)?;
        let server = Self { speaks: None, child, folder, dir: Arc::clone(dir) };
        for (what, which) in [("sink", "speaker"), ("source", "microphone.monitor")] {
            let mut command = server.client("pactl");
            command.args([&format!("set-default-{what}"), which]);
            run(&format!("pactl-{what}"), "pulseaudio-utils", command, dir, deadline)?;
        }
        Ok(server)
    }

    /// Where it is, for `PULSE_SERVER`.
    #[must_use]
    pub fn address(&self) -> String {
        format!("unix:{}/native", self.folder.display())
    }

    /// Listens to the speaker.
    ///
    /// # Errors
    /// If `parec` is missing.
    pub fn listen(&self) -> Result<Recording> {
        let mut command = self.client("parec");
        command.args(["--device=speaker.monitor", "--format=s16le", "--channels=1"]);
        command.arg(format!("--rate={RATE}")).arg("--latency-msec=20");
        Ok(Recording { child: Child::spawn("parec", "pulseaudio-utils", command, &self.dir)? })
    }

    /// Speaks into the microphone: a tone, for a minute, or until it speaks again.
    ///
    /// # Errors
    /// If `pacat` is missing.
    pub fn speak(&mut self, hertz: u32) -> Result<()> {
        let sample = |n: u32| {
            let phase = f64::from(n) * f64::from(hertz) / f64::from(RATE);
            ((std::f64::consts::TAU * phase).sin() * 12_000.0) as i16
        };
        let tone: Vec<u8> = (0..60 * RATE).flat_map(|n| sample(n).to_le_bytes()).collect();
        let file = self.folder.join("tone");
        std::fs::write(&file, tone).context("writing a tone")?;
        let mut command = self.client("pacat");
        command.args(["--playback", "--device=microphone", "--format=s16le", "--channels=1"]);
        // As a microphone does, it says what it says at once; otherwise two seconds at a time.
        command.arg(format!("--rate={RATE}")).arg("--latency-msec=20").arg(file);
        self.speaks = Some(Child::spawn("pacat", "pulseaudio-utils", command, &self.dir)?);
        Ok(())
    }

    /// A failure, with the end of its log.
    #[must_use]
    pub fn failure(&self, what: &str) -> crate::Error {
        self.child.failure(what)
    }

    fn client(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.env("PULSE_SERVER", self.address()).env("HOME", &self.folder);
        command
    }
}

impl Recording {
    /// Waits until `enough` has a value for the last seconds that were played, as many as `SECONDS`.
    ///
    /// # Errors
    /// If it hasn't before the deadline.
    pub fn wait<T>(&self, deadline: Deadline, enough: impl Fn(&[i16]) -> Option<T>) -> Result<T> {
        let path = self.child.path(Output::Out);
        let watch = Watch::new(&path)?;
        let mut file = File::open(&path).context(format!("opening {}", path.display()))?;
        let (mut bytes, mut new) = (Vec::new(), 0);
        loop {
            watch.clear()?;
            new += file.read_to_end(&mut bytes).context("reading a recording")?;
            // Whole seconds are looked at, and an emulated machine has better to do than that all the time.
            if new >= 2 * RATE as usize {
                new = 0;
                let too_many = bytes.len().saturating_sub(2 * (RATE * SECONDS) as usize);
                bytes.drain(..too_many.next_multiple_of(2));
                let samples = bytes.as_chunks::<2>().0;
                let samples: Vec<_> = samples.iter().map(|&two| i16::from_le_bytes(two)).collect();
                if let Some(value) = enough(&samples) {
                    return Ok(value);
                }
            }
            let in_time = !deadline.left().is_zero();
            match readable(&[watch.fd(), self.child.ended()], deadline)?.filter(|_| in_time) {
                Some(0) => {}
                Some(_) => return Err(self.child.failure("ended")),
                None => return Err(self.child.failure("did not hear in time what was waited for")),
            }
        }
    }
}
