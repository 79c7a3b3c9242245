//! In a real desktop at several scales: a pixel of the guest's is a pixel of the screen's, and a Linux
//! guest follows the size of its window.

use fanlight_stage::guests::{Guests, Paint};
use fanlight_stage::line::{Command, Report};
use fanlight_stage::qemu::{Guest, Setup};
use fanlight_stage::sway::{self, Sway, Windows};
use fanlight_stage::viewer::Viewer;
use fanlight_stage::wait::Deadline;
use fanlight_stage::{Error, Image, Rect, Result, pattern, picture};

use crate::linux::{Linux, lend};
use crate::stills::{bus, soon};

/// In device pixels; whole at each scale, because screenshots have whole logical pixels only.
const SCREEN: (u32, u32) = (1200, 960);

/// Waits until the desktop shows all of `parts`: where.
fn await_parts(sway: &mut Sway, what: &str, parts: &[&Image]) -> Result<Vec<Rect>> {
    let deadline = soon();
    loop {
        let shot = sway.screenshot()?;
        let place = |part: &&Image| {
            let (x, y) = shot.find(part)?;
            Some(Rect { x, y, width: part.width(), height: part.height() })
        };
        let found: Option<Vec<_>> = parts.iter().map(place).collect();
        match found {
            Some(places) => return Ok(places),
            None if deadline.left().is_zero() => {
                let dir = fanlight_stage::rundir::RunDir::new()?;
                dir.keep();
                picture::save(&shot, &dir.path().join("shot.png"))?;
                let windows = sway.windows()?;
                let (shot, parts) = (dir.path().display(), parts.len());
                let what = format!("{what}: not all of {parts} pictures are in {shot}/shot.png");
                return Err(Error::new(format!("{what}; the windows: {windows:?}")));
            }
            None => {}
        }
    }
}

/// A window that has its guest's size, moved from scale to scale.
pub(crate) fn exact() -> Result<()> {
    let (dir, bus) = bus()?;
    let paint = Paint { frames: 1, ..Paint::default() };
    let setup = Setup::new("paint", Guest::Paint(paint)).on(&bus).gl(true);
    let mut qemu = setup.start(&Guests::find()?, &dir)?;
    qemu.line.done(soon())?;
    let known = qemu.qmp.screendump()?;
    let mut sway = sway::Setup::new(SCREEN, Windows::Floating).start(&dir)?;
    let viewer = Viewer::start("view-exact", "qemu:paint", &[], (&bus, &sway), &dir)?;
    viewer.wait_count("frames", 1, soon())?;
    for scale in ["1", "1.25", "1.5", "2", "1"] {
        sway.command(&format!("output HEADLESS-1 scale {scale}"))?;
        let places = await_parts(&mut sway, &format!("at scale {scale}"), &[&known])?;
        println!("at scale {scale} the guest's {:?}", places[0]);
    }
    viewer.finish(soon())?;
    // Much larger than the guest, and all the same no pixel of it is another's.
    let arguments = ["--scale", "1:1", "--fullscreen", "--no-resize"];
    let viewer = Viewer::start("view-1-to-1", "qemu:paint", &arguments, (&bus, &sway), &dir)?;
    for scale in ["2", "1.25", "1.5", "1"] {
        sway.command(&format!("output HEADLESS-1 scale {scale}"))?;
        await_parts(&mut sway, &format!("fullscreen at scale {scale}"), &[&known])?;
    }
    viewer.finish(soon())?;
    Ok(())
}

/// What a guest that follows its screens says of them.
enum Change {
    /// So many are connected now.
    Screens(u32),
    /// The first one's mode, in which a frame will be shown.
    Mode((u32, u32)),
}

fn change(linux: &mut Linux, deadline: Deadline) -> Result<Change> {
    linux.qemu.line.wait(deadline, |report| match report {
        Report::Screens(count) => Some(Change::Screens(*count)),
        Report::Mode { width, height } => Some(Change::Mode((*width, *height))),
        _ => None,
    })
}

/// The frame that is shown in a mode that was told of.
fn shown(linux: &mut Linux, size: (u32, u32)) -> Result<u32> {
    linux.size = size;
    linux.qemu.line.done(soon())
}

impl Linux {
    fn follows(&mut self) -> Result<()> {
        let mut sway = sway::Setup::new(SCREEN, Windows::Floating).start(&self.dir)?;
        self.qemu.line.still(41, soon())?;
        let viewer =
            Viewer::start("view-resized", "qemu:linux", &[], (&self.bus, &sway), &self.dir)?;
        viewer.wait_count("frames", 1, soon())?;
        self.qemu.line.tell(&Command::Follow, soon())?;
        // The window's size, the desktop's scale, and what the guest is to make of it.
        let wanted = [((720, 560), "1", (720, 560)), ((600, 440), "1.5", (900, 660))];
        for ((width, height), scale, device) in wanted {
            sway.command(&format!("output HEADLESS-1 scale {scale}"))?;
            let resize = format!("[app_id=\".*\"] resize set {width} px {height} px");
            sway.command(&resize)?;
            sway.command("[app_id=\".*\"] move position center")?;
            let frame = loop {
                let Change::Mode(size) = change(self, soon())? else { continue };
                let frame = shown(self, size)?;
                // The scale alone is a change too.
                if size == device {
                    break frame;
                }
                println!("on the way to {device:?}: {size:?}");
            };
            let known = pattern::expected(frame, device.0, device.1);
            let places = await_parts(&mut sway, &format!("resized at scale {scale}"), &[&known])?;
            println!("at scale {scale} the guest's {:?}", places[0]);
        }
        viewer.finish(soon())?;
        Ok(())
    }

    /// Two heads, two windows beside each other, each as large as its half of the screen.
    fn heads(&mut self) -> Result<()> {
        let mut sway = sway::Setup::new(SCREEN, Windows::Tiled).start(&self.dir)?;
        self.qemu.line.still(51, soon())?;
        self.qemu.line.tell(&Command::Follow, soon())?;
        let viewer = Viewer::start(
            "view-all",
            "qemu:linux",
            &["--all", "-v"],
            (&self.bus, &sway),
            &self.dir,
        )?;
        // Beside each other, or one above the other: each window's half. The guest's kernel misses what
        // it is told while it looks at what it was told before (under load; virtio-gpu takes the event
        // back afterwards), and QEMU tells nothing twice: then it is asked for the other halves.
        let ways = [
            (None, (SCREEN.0 / 2, SCREEN.1)),
            (Some("layout splitv"), (SCREEN.0, SCREEN.1 / 2)),
            (Some("layout splith"), (SCREEN.0 / 2, SCREEN.1)),
        ];
        let (mut screens, mut ways) = (0, ways.into_iter());
        let (half, frame) = loop {
            let Some((command, half)) = ways.next() else {
                let known = format!("{screens} screens, {:?}", self.size);
                return Err(viewer.failure(&format!("has no two heads in their sizes: {known}")));
            };
            command.map_or(Ok(()), |command| sway.command(command))?;
            if let Some(frame) = self.taken(half, &mut screens)? {
                break (half, frame);
            }
            println!("the guest hasn't taken {half:?}; it has {screens} screens, {:?}", self.size);
        };
        self.qemu.line.tell(&Command::Second(77), soon())?;
        let known = [frame, 77].map(|frame| pattern::expected(frame, half.0, half.1));
        await_parts(&mut sway, "two heads", &[&known[0], &known[1]])?;
        let titles: Vec<_> = sway.windows()?.into_iter().map(|window| window.title).collect();
        println!("the windows: {titles:?}");
        if titles.len() != 2 || titles[0] == titles[1] {
            return Err(Error::new(format!("two heads, and these windows: {titles:?}")));
        }
        viewer.finish(soon())?;
        Ok(())
    }

    /// Waits until the guest has two screens, told of in any order, and the first of them has this size:
    /// its frame, if that comes to be.
    fn taken(&mut self, size: (u32, u32), screens: &mut u32) -> Result<Option<u32>> {
        let mut frame = None;
        while *screens != 2 || frame.is_none() {
            match change(self, Deadline::seconds(40)) {
                Ok(Change::Screens(count)) => *screens = count,
                Ok(Change::Mode(mode)) => frame = Some(shown(self, mode)?).filter(|_| mode == size),
                Err(_) => return Ok(None),
            }
        }
        Ok(frame)
    }
}

/// Lends the guest, and gives it its own mode back.
fn with_linux(test: impl FnOnce(&mut Linux) -> Result<()>) -> Result<()> {
    let mut linux = lend()?;
    let (width, height) = linux.size;
    let tested = test(&mut linux);
    linux.qemu.line.tell(&Command::Mode { width, height }, soon())?;
    linux.size = (width, height);
    // It has that mode with its next frame, and no window of another test's is to come before.
    linux.qemu.line.still(1, soon())?;
    tested
}

pub(crate) fn follows() -> Result<()> {
    with_linux(Linux::follows)
}

pub(crate) fn heads() -> Result<()> {
    with_linux(Linux::heads)
}
