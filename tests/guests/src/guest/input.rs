//! What is done with the machine's input devices, as the kernel says it (evdev).

use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};

use fanlight_guests::line::{Event, Report};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::time::Timespec;

use crate::Result;

/// The kernel's kinds of events.
mod kind {
    pub(super) const SYN: u16 = 0;
    pub(super) const KEY: u16 = 1;
    pub(super) const REL: u16 = 2;
    pub(super) const ABS: u16 = 3;
    pub(super) const REP: u16 = 0x14;
}

/// That events were lost.
const SYN_DROPPED: u16 = 3;
/// How long until a key repeats, and how often then.
const REPEATS: [u16; 2] = [0, 1];

/// `struct input_event`: time (two longs), kind, code, value.
const EVENT: usize = 24;

/// The devices that are listened to.
#[derive(Debug, Default)]
pub(crate) struct Input {
    devices: Vec<File>,
}

impl Input {
    /// Opens all that there are, for us alone: the kernel's console would obey Ctrl+Alt+Delete.
    pub(crate) fn listen(&mut self) -> Result<Vec<Report>> {
        self.close();
        let mut reports = vec![Report::Ok];
        for number in 0..32 {
            let path = format!("/dev/input/event{number}");
            let mut device = match File::options().read(true).write(true).open(&path) {
                Ok(device) => device,
                Err(e) if e.kind() == ErrorKind::NotFound => continue,
                Err(e) => return Err(format!("{path} can't be opened: {e}")),
            };
            // That a key is held long is said once.
            for code in REPEATS {
                let never = event(kind::REP, code, 0);
                device.write_all(&never).map_err(|e| format!("{path} can't be written: {e}"))?;
            }
            grab(&device).map_err(|e| format!("{path} can't be grabbed: {e}"))?;
            let name = format!("/sys/class/input/event{number}/device/name");
            let name = std::fs::read_to_string(&name).map_err(|e| format!("{name}: {e}"))?;
            let (number, name) = (self.devices.len() as u32, name.trim().to_owned());
            reports.push(Report::Device { number, name });
            self.devices.push(device);
        }
        if self.devices.is_empty() {
            return Err("there is no input device under /dev/input (evdev isn't loaded?)".into());
        }
        reports.push(Report::Done);
        Ok(reports)
    }

    /// Listens to none any more.
    pub(crate) fn close(&mut self) {
        self.devices.clear();
    }

    /// What becomes readable when something was done.
    pub(crate) fn devices(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.devices.iter().map(AsFd::as_fd)
    }

    /// What was done since the last call.
    pub(crate) fn turn(&mut self) -> Result<Vec<Report>> {
        let mut reports = Vec::new();
        for (number, device) in (0..).zip(&mut self.devices) {
            let mut fds = [PollFd::new(device, PollFlags::IN)];
            match poll(&mut fds, Some(&Timespec::default())) {
                Ok(0) | Err(rustix::io::Errno::INTR) => continue,
                Ok(_) => {}
                Err(e) => return Err(format!("poll failed: {e}")),
            }
            let mut bytes = [0; 64 * EVENT];
            // The kernel gives whole events only.
            let count = device.read(&mut bytes).map_err(|e| format!("an input device: {e}"))?;
            for event in bytes[..count].chunks_exact(EVENT) {
                reports.extend(report(number, event)?);
            }
        }
        Ok(reports)
    }
}

fn report(device: u32, event: &[u8]) -> Result<Option<Report>> {
    let short = |at: usize| u16::from_ne_bytes([event[at], event[at + 1]]);
    let (kind, code) = (short(16), short(18));
    let value = i32::from_ne_bytes([event[20], event[21], event[22], event[23]]);
    match kind {
        kind::SYN if code == SYN_DROPPED => Err("events of an input device were lost".to_owned()),
        kind::KEY | kind::REL | kind::ABS => {
            Ok(Some(Report::Event(Event { device, kind, code, value })))
        }
        _ => Ok(None),
    }
}

fn event(kind: u16, code: u16, value: i32) -> [u8; EVENT] {
    let mut bytes = [0; EVENT];
    bytes[16..18].copy_from_slice(&kind.to_ne_bytes());
    bytes[18..20].copy_from_slice(&code.to_ne_bytes());
    bytes[20..].copy_from_slice(&value.to_ne_bytes());
    bytes
}

/// Nobody else in the guest gets its events, as long as it is open.
#[allow(unsafe_code, reason = "an ioctl that has no safe wrapper")]
fn grab(device: &File) -> rustix::io::Result<()> {
    use rustix::ioctl::{IntegerSetter, ioctl, opcode};
    const EVIOCGRAB: rustix::ioctl::Opcode = opcode::write::<i32>(b'E', 0x90);
    // SAFETY: EVIOCGRAB takes an integer and reads no memory.
    unsafe { ioctl(device, IntegerSetter::<EVIOCGRAB>::new_usize(1)) }
}
