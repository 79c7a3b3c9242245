//! In a real desktop at several scales: a pixel of the guest's is a pixel of the screen's, and a Linux
//! guest follows the size of its window. What FANLIGHT_PICTURES names gets the README's picture of it.

use std::path::Path;

use fanlight_stage::guests::{Guests, Paint};
use fanlight_stage::line::{Command, Report};
use fanlight_stage::qemu::{Guest, Setup};
use fanlight_stage::sway::{self, Sway, Windows};
use fanlight_stage::viewer::Viewer;
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
    for scale in ["1.5", "1"] {
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

fn change(linux: &mut Linux) -> Result<Change> {
    linux.qemu.line.wait(soon(), |report| match report {
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
                let Change::Mode(size) = change(self)? else { continue };
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
        let viewer =
            Viewer::start("view-all", "qemu:linux", &["--all"], (&self.bus, &sway), &self.dir)?;
        // Each window's half. The second screen may be told of before that or after.
        let half = (SCREEN.0 / 2, SCREEN.1);
        let (mut screens, mut frame) = (0, None);
        let frame = loop {
            if let (2, Some(frame)) = (screens, frame) {
                break frame;
            }
            match change(self)? {
                Change::Screens(count) => screens = count,
                Change::Mode(size) => frame = Some(shown(self, size)?).filter(|_| size == half),
            }
        };
        self.qemu.line.tell(&Command::Second(77), soon())?;
        let known = [frame, 77].map(|frame| pattern::expected(frame, half.0, half.1));
        await_parts(&mut sway, "two heads", &[&known[0], &known[1]])?;
        if let Some(folder) = std::env::var_os("FANLIGHT_PICTURES") {
            picture::save(&sway.screenshot()?, &Path::new(&folder).join("two-heads.png"))?;
        }
        let titles: Vec<_> = sway.windows()?.into_iter().map(|window| window.title).collect();
        println!("the windows: {titles:?}");
        if titles.len() != 2 || titles[0] == titles[1] {
            return Err(Error::new(format!("two heads, and these windows: {titles:?}")));
        }
        viewer.finish(soon())?;
        Ok(())
    }
}

/// Lends the guest, and gives it its own mode back.
fn with_linux(test: impl FnOnce(&mut Linux) -> Result<()>) -> Result<()> {
    let mut linux = lend()?;
    let (width, height) = linux.size;
    let tested = test(&mut linux);
    linux.qemu.line.tell(&Command::Mode { width, height }, soon())?;
    linux.size = (width, height);
    tested
}

pub(crate) fn follows() -> Result<()> {
    with_linux(Linux::follows)
}

pub(crate) fn heads() -> Result<()> {
    with_linux(Linux::heads)
}
