//! What the program says where there is a bus, and sometimes a QEMU on it.

use std::process::{Command, Output};

use fanlight_stage::guests::{Guests, Paint};
use fanlight_stage::qemu::{Guest, Setup};
use fanlight_stage::viewer::{self, fanlight};
use fanlight_stage::{Error, Result, pattern};

use crate::stills::{bus, dumped, same, soon};

fn output(mut command: Command) -> Result<Output> {
    command.output().map_err(|error| Error::new(format!("can't start the program: {error}")))
}

/// Fails unless the program ends with this code and one sentence that says all of `words`.
fn says(command: Command, code: i32, words: &[&str]) -> Result<()> {
    let output = output(command)?;
    let said = String::from_utf8_lossy(&output.stderr);
    let wanted = words.iter().all(|word| said.contains(word));
    if output.status.code() == Some(code) && said.trim_end().lines().count() == 1 && wanted {
        return Ok(());
    }
    Err(Error::new(format!("wanted {words:?} and code {code}, got {}: {said}", output.status)))
}

fn still() -> Guest {
    Guest::Paint(Paint { hold_ms: 0, frames: 1, ..Paint::default() })
}

pub(crate) fn peer_to_peer() -> Result<()> {
    let (dir, bus) = bus()?;
    let mut qemu = Setup::new("p2p", still()).peer_to_peer().start(&Guests::find()?, &dir)?;
    let frame = qemu.line.done(soon())?;
    // Has QEMU look at its screen (see `several`).
    qemu.qmp.screendump()?;
    let uri = format!("qmp:{}", qemu.qmp_socket().display());
    let known = pattern::expected(frame, 640, 480);
    same("dump and pattern", &dumped(&uri, &bus, &dir)?, &known)?;
    // A second client takes the place of the first.
    same("dump and pattern", &dumped(&uri, &bus, &dir)?, &known)
}

pub(crate) fn list() -> Result<()> {
    let (dir, bus) = bus()?;
    let uuid = "6f2c8a52-5f0e-4f6c-9a55-1f5b7d1c0001";
    let setup = Setup::new("named", still()).uuid(uuid).on(&bus);
    let mut qemu = setup.start(&Guests::find()?, &dir)?;
    qemu.line.done(soon())?;
    let list = viewer::list(&bus, &dir)?;
    let console = &list[0];
    let good = console["name"] == "named"
        && console["uuid"] == uuid
        && console["type"] == "Graphic"
        && console["width"] == 640
        && console["height"] == 480;
    if !good {
        return Err(Error::new(format!("the list says {list}")));
    }
    // By what the list calls it, by its name, by its UUID, and as the only one.
    let known = qemu.qmp.screendump()?;
    let uri = console["uri"].as_str().unwrap_or_default().to_owned();
    for uri in [&uri, "qemu:named", &format!("qemu:{uuid}"), "qemu:"] {
        same(uri, &dumped(uri, &bus, &dir)?, &known)?;
    }
    let mut table = fanlight(&bus);
    table.arg("list");
    let table = output(table)?;
    let text = String::from_utf8_lossy(&table.stdout);
    if text.lines().count() == 2 && text.contains("qemu:named") && text.contains("640x480") {
        return Ok(());
    }
    Err(Error::new(format!("the table is {text}")))
}

pub(crate) fn no_qemu() -> Result<()> {
    let (_dir, bus) = bus()?;
    for verb in ["view", "list"] {
        let mut command = fanlight(&bus);
        command.arg(verb);
        says(command, 2, &["no QEMU", "-display dbus"])?;
    }
    Ok(())
}

pub(crate) fn several() -> Result<()> {
    let (dir, bus) = bus()?;
    let guests = Guests::find()?;
    let mut one = Setup::new("one", still()).on(&bus).start(&guests, &dir)?;
    let mut two = Setup::new("two", still()).on(&bus).start(&guests, &dir)?;
    for vm in [&mut one, &mut two] {
        vm.line.done(soon())?;
        // Has QEMU look at its screen: with nobody connected it doesn't, and under emulation its
        // first look may take longer than a dump waits for an update.
        vm.qmp.screendump()?;
    }
    let mut command = fanlight(&bus);
    command.arg("view");
    says(command, 2, &["2 virtual machines", "one", "two"])?;
    let mut command = fanlight(&bus);
    command.args(["view", "qemu:three"]);
    says(command, 2, &["three", "one", "two"])?;
    // Each by its name, also the queued owner.
    let known = pattern::expected(1, 640, 480);
    same("the first", &dumped("qemu:one", &bus, &dir)?, &known)?;
    same("the second", &dumped("qemu:two", &bus, &dir)?, &known)
}

pub(crate) fn no_wayland() -> Result<()> {
    let (dir, bus) = bus()?;
    let mut qemu = Setup::new("paint", still()).on(&bus).start(&Guests::find()?, &dir)?;
    qemu.line.done(soon())?;
    let mut command = fanlight(&bus);
    command.arg("view").env_remove("WAYLAND_DISPLAY");
    says(command, 1, &["WAYLAND_DISPLAY", "fanlight dump"])?;
    let mut command = fanlight(&bus);
    command.arg("view").env("XDG_RUNTIME_DIR", dir.path()).env("WAYLAND_DISPLAY", "nobody");
    says(command, 1, &["no compositor", "nobody"])
}

pub(crate) fn timeout() -> Result<()> {
    let (dir, bus) = bus()?;
    let mut qemu = Setup::new("paint", still()).on(&bus).start(&Guests::find()?, &dir)?;
    qemu.line.done(soon())?;
    let folder = dir.path().join("frames");
    std::fs::create_dir(&folder).map_err(|error| Error::new(error.to_string()))?;
    let mut command = fanlight(&bus);
    // The guest rests: there is one frame, and then no further update.
    command.args(["dump", "qemu:paint", "-n", "200", "--timeout", "1.5", "-o"]);
    command.arg(folder.join("f.png"));
    says(command, 3, &["no further frame", "--timeout"])?;
    let mut names: Vec<_> = std::fs::read_dir(&folder)
        .map_err(|error| Error::new(error.to_string()))?
        .filter_map(|entry| Some(entry.ok()?.file_name().to_string_lossy().into_owned()))
        .collect();
    names.sort();
    let whole = names.iter().all(|n| fanlight_stage::picture::is_whole_png(&folder.join(n)));
    if names.first().is_some_and(|name| name == "f-0001.png") && whole {
        return Ok(());
    }
    Err(Error::new(format!("left behind: {names:?}")))
}
