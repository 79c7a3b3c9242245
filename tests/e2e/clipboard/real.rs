//! Both ways through a real QEMU, to which a guest's agent talks.

use fanlight_stage::child::Output;
use fanlight_stage::guests::Guests;
use fanlight_stage::qemu::{Guest, Qemu, Setup};
use fanlight_stage::viewer::Viewer;
use fanlight_stage::{Error, Result};
use rustix::process::Signal;

use super::agent::{self, Agent, Told};
use super::desk::Desk;
use super::{TEXTS, differs, long};
use crate::stills::soon;

/// All of it; the viewer goes first.
struct Stage {
    viewer: Viewer,
    agent: Agent,
    /// Of the last grab.
    number: u32,
    qemu: Qemu,
    desk: Desk,
}

impl Stage {
    fn start() -> Result<Self> {
        let desk = Desk::start()?;
        let socket = desk.dir.path().join("qtest");
        let setup = Setup::new("agent", Guest::Firmware).on(&desk.bus);
        let qemu = agent::machine(setup, &socket).start(&Guests::find()?, &desk.dir)?;
        let agent = Agent::start(&socket, soon())?;
        let viewer = desk.view("view-agent", "qemu:agent", &[])?;
        desk.focused("agent")?;
        Ok(Self { viewer, agent, number: 0, qemu, desk })
    }

    fn failure(&self, what: &str, is: &Told, due: &Told) -> Error {
        let said = self.viewer.failure(&differs(what, is, due));
        Error::new(format!("{said}\n{}", self.qemu.failure("is what it talks to")))
    }

    fn same(&self, what: &str, is: &Told, due: &Told) -> Result<()> {
        if is == due { Ok(()) } else { Err(self.failure(what, is, due)) }
    }

    /// QEMU tells the agent next that the host has a text, for the first time since the last.
    fn offered(&mut self) -> Result<()> {
        self.number += 1;
        let told = self.agent.told()?;
        self.same("what the guest is told", &told, &Told::Offered(self.number))
    }

    /// What the guest gets that pastes.
    fn pasted(&mut self) -> Result<Told> {
        self.agent.pastes()?;
        let mut told = self.agent.told()?;
        // It is offered again when it came too late.
        while told == Told::Offered(self.number + 1) {
            self.number += 1;
            self.agent.pastes()?;
            told = self.agent.told()?;
        }
        Ok(told)
    }

    fn passes_to_guest(&mut self, text: &str) -> Result<()> {
        self.desk.copy(text)?;
        self.offered()?;
        let pasted = self.pasted()?;
        self.same("what the guest pasted", &pasted, &Told::Text(text.to_owned()))
    }

    fn passes_to_host(&mut self, text: &str) -> Result<()> {
        self.number += 1;
        self.agent.copies(self.number)?;
        self.desk.tap()?;
        self.desk.await_guests(true)?;
        let mut child = self.desk.paste()?;
        let told = self.agent.told()?;
        self.same("what the guest is told", &told, &Told::Wanted)?;
        self.agent.gives(text)?;
        child.wait(soon())?;
        let pasted = Told::Text(child.output(Output::Out)?);
        self.same("what the host pasted", &pasted, &Told::Text(text.to_owned()))
    }
}

pub(crate) fn both_ways() -> Result<()> {
    let mut stage = Stage::start()?;
    let several_chunks = long(5000);
    let texts = || TEXTS.into_iter().chain([&several_chunks[..]]);
    for text in texts() {
        stage.passes_to_guest(text)?;
    }
    for text in texts() {
        stage.passes_to_host(text)?;
    }
    stage.agent.clears()?;
    stage.desk.await_guests(false)?;
    // Nothing came back meanwhile: the next grab is the next.
    stage.desk.copy("the host's")?;
    stage.number += 1;
    let told = loop {
        match stage.agent.told()? {
            // QEMU tells who withdraws something that it is withdrawn.
            Told::Withdrawn => {}
            told => break told,
        }
    };
    stage.same("what the guest is told", &told, &Told::Offered(stage.number))?;
    // A program that takes longer than QEMU can stand still is heard all the same, when it has said it.
    stage.desk.copy("slow")?;
    stage.offered()?;
    stage.desk.copier().signal(Signal::STOP)?;
    stage.agent.pastes()?;
    stage
        .viewer
        .child()
        .wait_line(Output::Err, soon(), |line| line.contains("took too long").then_some(()))?;
    stage.desk.copier().signal(Signal::CONT)?;
    stage.offered()?;
    let pasted = stage.pasted()?;
    stage.same("what the guest pasted", &pasted, &Told::Text("slow".to_owned()))?;
    stage.desk.clear()?;
    let told = stage.agent.told()?;
    stage.same("what the guest is told", &told, &Told::Withdrawn)?;
    stage.viewer.finish(soon()).map(drop)
}
