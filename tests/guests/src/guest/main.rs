//! The Linux guest: shows numbered frames through kernel mode setting, and does what a test tells
//! it over the first serial port (see `fanlight_guests::line`).
//!
//! It is the guest's process 1, started by its init script when the test says [`Command::Start`], with the size that this
//! names as its only argument. It must be linked statically.

mod console;
mod hotplug;
mod input;
mod modules;
mod player;
mod screen;
mod serial;

use std::process::ExitCode;

use fanlight_guests::line::{Command, Report, parse_size};

use crate::input::Input;
use crate::player::Player;
use crate::serial::Serial;

/// What can go wrong is told to the test in one sentence.
type Result<T> = std::result::Result<T, String>;

fn main() -> ExitCode {
    let mut serial = match Serial::open("/dev/ttyS0") {
        Ok(serial) => serial,
        Err(why) => {
            eprintln!("fanlight-guest: {why}");
            return ExitCode::FAILURE;
        }
    };
    let result = run(&mut serial);
    if let Err(why) = &result {
        serial.report(&Report::Failed(why.clone()));
    }
    power_off(&mut serial);
    ExitCode::from(u8::from(result.is_err()))
}

/// Serves commands until one switches the machine off.
fn run(serial: &mut Serial) -> Result<()> {
    let mut player = Player::new(wanted_size()?);
    let mut input = Input::default();
    let (width, height) = player.size()?;
    serial.report(&Report::Ready { width, height });
    loop {
        serial.wait(&player, &input)?;
        for line in serial.lines()? {
            match line.parse::<Command>() {
                Ok(Command::Poweroff) => {
                    serial.report(&Report::Ok);
                    return Ok(());
                }
                Ok(command) => match obey(&mut player, &mut input, command) {
                    Ok(reports) => reports.iter().for_each(|report| serial.report(report)),
                    Err(why) => serial.report(&Report::Failed(why)),
                },
                Err(unknown) => serial.report(&Report::Failed(unknown.to_string())),
            }
        }
        match player.turn() {
            Ok(reports) => reports.iter().for_each(|report| serial.report(report)),
            Err(why) => {
                player.stop();
                serial.report(&Report::Failed(why));
            }
        }
        match input.turn() {
            Ok(reports) => reports.iter().for_each(|report| serial.report(report)),
            Err(why) => {
                input.close();
                serial.report(&Report::Failed(why));
            }
        }
    }
}

/// Does one command; what it says in return.
fn obey(player: &mut Player, input: &mut Input, command: Command) -> Result<Vec<Report>> {
    match command {
        Command::Ping | Command::Poweroff => {}
        Command::Start(_) => return Err("it has started already".to_owned()),
        Command::Text(text) => {
            player.close()?;
            console::show(&text)?;
        }
        Command::Login => {
            // What is typed is the console's.
            input.close();
            player.close()?;
            console::log_in()?;
        }
        Command::Flip { frames, hold_ms } => return player.start(frames, hold_ms),
        Command::Still(frame) => return player.still(frame),
        Command::Stop => return player.settle(),
        Command::Mode { width, height } => player.set_size(width, height)?,
        Command::Follow => return player.follow(),
        Command::Second(frame) => return player.second(frame),
        Command::Cursor(place) => player.point(place)?,
        Command::Load(module) => modules::load(&module)?,
        Command::Unload(module) => {
            // A device that is open can't go.
            input.close();
            modules::unload(&module)?;
        }
        Command::Listen => return input.listen(),
    }
    Ok(vec![Report::Ok])
}

/// The size that was asked for.
fn wanted_size() -> Result<Option<(u32, u32)>> {
    let Some(size) = std::env::args().nth(1) else { return Ok(None) };
    parse_size(&size).map(Some).ok_or_else(|| format!("{size} is no WIDTHxHEIGHT"))
}

/// Switches the machine off; does not return where that works.
fn power_off(serial: &mut Serial) {
    serial.drain();
    rustix::fs::sync();
    if let Err(why) = rustix::system::reboot(rustix::system::RebootCommand::PowerOff) {
        eprintln!("fanlight-guest: the machine can't be switched off: {why}");
    }
}
