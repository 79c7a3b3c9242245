//! The Linux guest as it is when its kernel has booted and its drivers are not loaded yet: kept in a file, from which every
//! machine goes on.
//!
//! Where all is emulated, by an emulated processor, that boot took ten minutes, and now and then stood still; here, before
//! the test machine runs, it takes seconds. The guest has not touched its adapter yet, so how it is shown (`gl`, `blob`) is
//! each machine's own.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::Path;
use std::sync::Arc;

use crate::error::{Context, Result};
use crate::guests::Guests;
use crate::prepare::replace;
use crate::qemu::{Guest, Setup, program_version};
use crate::rundir::RunDir;
use crate::wait::Deadline;

/// How often it is tried: emulated, a kernel now and then stands still.
const TRIES: usize = 3;

/// Boots the guest of these images, and keeps its state beside them; not where that is there already.
pub(crate) fn keep(folder: &Path, dir: &Arc<RunDir>) -> Result<()> {
    let guests = Guests::unfinished(folder);
    let (state, note) = (guests.state(), folder.join("linux.state.of"));
    let made_of = made_of(&guests, dir)?;
    if state.exists() && std::fs::read_to_string(&note).is_ok_and(|known| known == made_of) {
        return Ok(());
    }
    if !(1..TRIES).any(|_| boot(&guests, dir).is_ok()) {
        boot(&guests, dir)?;
    }
    replace(&note, made_of.as_bytes())
}

fn boot(guests: &Guests, dir: &Arc<RunDir>) -> Result<()> {
    let mut qemu = Setup::new("booting", Guest::Linux(None)).boots_itself().start(guests, dir)?;
    qemu.booted()?;
    let partial = guests.state().with_extension("partial");
    qemu.qmp.save(&partial, Deadline::seconds(120))?;
    let state = guests.state();
    std::fs::rename(&partial, &state).context(format!("writing {}", state.display()))
}

/// What a state can't be gone on from with another of: the images, QEMU, and how this program starts it.
fn made_of(guests: &Guests, dir: &Arc<RunDir>) -> Result<String> {
    let mut hasher = DefaultHasher::new();
    program_version(dir)?.hash(&mut hasher);
    let myself = std::env::current_exe().context("finding this program")?;
    for file in [myself, guests.kernel(), guests.initramfs()] {
        let content = std::fs::read(&file).context(format!("reading {}", file.display()))?;
        content.hash(&mut hasher);
    }
    Ok(format!("{:016x}\n", hasher.finish()))
}
