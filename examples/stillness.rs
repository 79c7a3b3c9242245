//! The smallest test of a guest: types a command, and says what the screen looks like once it is done.
//!
//! `cargo run --example stillness -- qemu:my-vm`

use std::error::Error;
use std::time::Duration;

use fanlight::capture::{Capture, CaptureOptions, Condition, hash};
use fanlight::frame::Input;

/// `l`, `s` and Enter, by their places on a keyboard: `KEY_L`, `KEY_S`, `KEY_ENTER`.
const COMMAND: [u32; 3] = [38, 31, 28];
const PATIENCE: Duration = Duration::from_secs(60);

fn main() -> Result<(), Box<dyn Error>> {
    let uri = std::env::args().nth(1).ok_or("usage: stillness URI")?;
    let mut guest = Capture::open(&uri.parse()?, &CaptureOptions::default())?;
    // There is a prompt, and nothing moves but its cursor.
    guest.wait_stable(Duration::from_millis(500), PATIENCE)?;
    for code in COMMAND {
        guest.send(&Input::Key { code, pressed: true });
        guest.send(&Input::Key { code, pressed: false });
    }
    guest.wait(&Condition::change(), PATIENCE, None)?;
    let screen = guest.wait_stable(Duration::from_millis(500), PATIENCE)?;
    println!("{}x{} {}", screen.size.width, screen.size.height, hash(&screen));
    Ok(())
}
