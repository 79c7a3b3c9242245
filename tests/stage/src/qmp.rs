//! A client of QEMU's machine protocol.

use std::collections::VecDeque;
use std::io::Write;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use fanlight_guests::Image;
use serde_json::{Value, json};

use crate::error::{Context, Error, Result};
use crate::picture;
use crate::wait::{Deadline, Lines};

/// How long QEMU, slow as it may be under emulation, may take for an answer.
const ANSWER_SECONDS: u64 = 60;

/// A connection that is ready for commands.
#[derive(Debug)]
pub struct Qmp {
    lines: Lines,
    /// Events that nobody has asked for yet, oldest first.
    events: VecDeque<Value>,
    /// Where screendumps go on their way.
    scratch: PathBuf,
    version: String,
}

impl Qmp {
    /// Greets QEMU on a fresh connection.
    ///
    /// # Errors
    /// If QEMU does not answer as it should.
    pub fn new(stream: UnixStream, scratch: PathBuf) -> Result<Self> {
        let events = VecDeque::new();
        let mut qmp = Self { lines: Lines::new(stream), events, scratch, version: String::new() };
        let greeting = qmp.receive(Deadline::seconds(ANSWER_SECONDS))?;
        let number = |part: &str| greeting["QMP"]["version"]["qemu"][part].as_u64();
        let (Some(major), Some(minor), Some(micro)) =
            (number("major"), number("minor"), number("micro"))
        else {
            return Err(Error::new(format!("no greeting of QEMU: {greeting}")));
        };
        qmp.version = format!("{major}.{minor}.{micro}");
        qmp.execute("qmp_capabilities", &json!({}))?;
        Ok(qmp)
    }

    /// QEMU's version, such as "10.0.2".
    #[must_use]
    pub fn version(&self) -> &str {
        &self.version
    }

    /// Has QEMU do a command; what it returns.
    ///
    /// # Errors
    /// What QEMU says against it, or that it does not answer.
    pub fn execute(&mut self, command: &str, arguments: &Value) -> Result<Value> {
        let request = json!({ "execute": command, "arguments": arguments });
        // In one write: QEMU obeys before the end of the line.
        let line = format!("{request}\n");
        self.lines.stream().write_all(line.as_bytes()).context(format!("sending `{command}`"))?;
        let deadline = Deadline::seconds(ANSWER_SECONDS);
        loop {
            let mut answer = self.receive(deadline)?;
            if answer.get("event").is_some() {
                self.events.push_back(answer);
            } else if let Some(error) = answer.get("error") {
                return Err(Error::new(format!("QEMU refuses `{command}`: {}", error["desc"])));
            } else if let Some(value) = answer.get_mut("return") {
                return Ok(value.take());
            } else {
                return Err(Error::new(format!("QEMU answers `{command}` with {answer}")));
            }
        }
    }

    /// Waits for the next event of this name; its data.
    ///
    /// # Errors
    /// If none comes in time.
    pub fn wait_event(&mut self, name: &str, deadline: Deadline) -> Result<Value> {
        loop {
            let event = match self.events.pop_front() {
                Some(event) => event,
                None => self.receive(deadline)?,
            };
            if event["event"] == name {
                return Ok(event["data"].clone());
            }
        }
    }

    /// QEMU's own picture of its first console.
    ///
    /// # Errors
    /// If QEMU has none, or it can't be read.
    pub fn screendump(&mut self) -> Result<Image> {
        let path = self.scratch.join("screendump.ppm");
        self.execute("screendump", &json!({ "filename": path }))?;
        picture::load(&path)
    }

    /// Halts the guest's processors.
    ///
    /// # Errors
    /// As [`Qmp::execute`].
    pub fn stop(&mut self) -> Result<()> {
        self.execute("stop", &json!({})).map(drop)
    }

    /// Lets the guest's processors go on.
    ///
    /// # Errors
    /// As [`Qmp::execute`].
    pub fn cont(&mut self) -> Result<()> {
        self.execute("cont", &json!({})).map(drop)
    }

    /// Resets the machine, also one that was started with `-no-reboot`.
    ///
    /// # Errors
    /// As [`Qmp::execute`].
    pub fn system_reset(&mut self) -> Result<()> {
        self.execute("set-action", &json!({ "reboot": "reset" }))?;
        self.execute("system_reset", &json!({})).map(drop)
    }

    /// Stops the machine and writes its state to this file.
    ///
    /// # Errors
    /// As [`Qmp::execute`]; also if it isn't written in time.
    pub fn save(&mut self, file: &Path, deadline: Deadline) -> Result<()> {
        let events = json!({ "capabilities": [{ "capability": "events", "state": true }] });
        self.execute("migrate-set-capabilities", &events)?;
        self.execute("migrate", &json!({ "uri": format!("file:{}", file.display()) }))?;
        loop {
            match self.wait_event("MIGRATION", deadline)?["status"].as_str() {
                Some("completed") => return Ok(()),
                Some("failed") => return Err(Error::new("QEMU could not save the machine")),
                _ => {}
            }
        }
    }

    /// Lets a machine that was started with `-incoming defer` go on from this file.
    ///
    /// # Errors
    /// As [`Qmp::execute`]; also if it doesn't run in time.
    pub fn load(&mut self, file: &Path, deadline: Deadline) -> Result<()> {
        let from = json!({ "uri": format!("file:{}", file.display()) });
        self.execute("migrate-incoming", &from)?;
        self.wait_event("RESUME", deadline).map(drop)
    }

    /// Ends QEMU.
    ///
    /// # Errors
    /// As [`Qmp::execute`].
    pub fn quit(&mut self) -> Result<()> {
        self.execute("quit", &json!({})).map(drop)
    }

    /// Presses and lets go a key, such as "ret", of the guest's keyboard.
    ///
    /// # Errors
    /// As [`Qmp::execute`].
    pub fn send_key(&mut self, key: &str) -> Result<()> {
        let keys = json!({ "keys": [{ "type": "qcode", "data": key }] });
        self.execute("send-key", &keys).map(drop)
    }

    fn receive(&mut self, deadline: Deadline) -> Result<Value> {
        let line = self.lines.next(deadline).context("QMP")?;
        let line = line.ok_or_else(|| Error::new("QEMU did not answer on QMP in time"))?;
        serde_json::from_str(&line).context(format!("reading QMP's {line:?}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{BufRead, BufReader};

    /// A QEMU that answers each line with the next of `answers`.
    fn fake(answers: &'static [&'static str]) -> UnixStream {
        let (ours, theirs) = UnixStream::pair().expect("a socket pair");
        std::thread::spawn(move || {
            let mut lines = BufReader::new(theirs.try_clone().expect("a clone")).lines();
            for (number, answer) in answers.iter().enumerate() {
                if number > 0 {
                    lines.next();
                }
                (&theirs).write_all(answer.as_bytes()).expect("written");
            }
        });
        ours
    }

    const GREETING: &str =
        "{\"QMP\":{\"version\":{\"qemu\":{\"major\":11,\"minor\":1,\"micro\":3}}}}\r\n";

    #[test]
    fn events_between_answers_are_kept() {
        let stream = fake(&[
            GREETING,
            "{\"return\":{}}\r\n",
            "{\"event\":\"STOP\",\"data\":{\"a\":1}}\r\n{\"return\":7}\r\n",
        ]);
        let mut qmp = Qmp::new(stream, PathBuf::new()).expect("greeted");
        assert_eq!(qmp.version(), "11.1.3");
        assert_eq!(qmp.execute("x", &json!({})).expect("answered"), 7);
        let event = qmp.wait_event("STOP", Deadline::seconds(5)).expect("kept");
        assert_eq!(event["a"], 1);
    }

    #[test]
    fn a_refusal_and_an_end_are_errors() {
        let stream =
            fake(&[GREETING, "{\"return\":{}}\r\n", "{\"error\":{\"desc\":\"no such\"}}\r\n"]);
        let mut qmp = Qmp::new(stream, PathBuf::new()).expect("greeted");
        let refusal = qmp.execute("x", &json!({})).expect_err("refused");
        assert!(refusal.to_string().contains("no such"), "{refusal}");
        assert!(qmp.wait_event("STOP", Deadline::seconds(5)).is_err());
    }
}
