//! Which consoles there are.

use std::os::unix::net::UnixStream;
use std::time::Duration;

use super::link::{connect, peer};
use super::vm::{self, failed};
use super::{Target, of_peer, on_thread, through_qmp};
use crate::source::{ConsoleInfo, Options, SourceError, Uri};

/// Lists every console that `target` leads to.
pub(in crate::source) fn list(
    target: Target,
    options: &Options,
) -> Result<Vec<ConsoleInfo>, SourceError> {
    let limit = options.time_limit;
    let (list, _thread) = on_thread(limit, move |tell| {
        let target = through_qmp(target, limit);
        async move {
            tell(match target {
                Ok(Target::Stream(stream, uri)) => list_peer(stream, &uri, limit).await,
                Ok(Target::Uri(uri)) => list_bus(&uri, limit).await,
                Ok(Target::Linked(_, console)) => Ok(vec![console]),
                Err(error) => Err(error),
            });
        }
    })?;
    Ok(list)
}

/// The consoles of every virtual machine on a bus, or of the one that is named.
async fn list_bus(uri: &Uri, limit: Duration) -> Result<Vec<ConsoleInfo>, SourceError> {
    let Uri::Qemu { bus, vm: wanted, console } = uri else { unreachable!("{uri} is not for here") };
    let connection = connect(bus, limit).await?;
    let vms = vm::vms(&connection).await.map_err(|error| failed(&error, limit))?;
    if vms.is_empty() {
        return Err(SourceError::NoVm(vm::bus_name(bus)));
    }
    let listed = match (wanted.as_deref(), console) {
        (None, None) => &vms[..],
        (wanted, _) => std::slice::from_ref(vm::choose_vm(&vms, wanted, bus)?),
    };
    let mut all = Vec::new();
    for vm in listed {
        let consoles = vm::choose_consoles(vm, *console)?;
        all.extend(consoles.iter().map(|console| vm::info(&vms, vm, console, bus)));
    }
    Ok(all)
}

/// The consoles of the one virtual machine at the other end.
async fn list_peer(
    stream: UnixStream,
    uri: &Uri,
    limit: Duration,
) -> Result<Vec<ConsoleInfo>, SourceError> {
    let (_link, vm) = peer(stream, limit).await?;
    let consoles = vm::choose_consoles(&vm, uri.console())?;
    Ok(consoles.iter().map(|console| of_peer(&vm, console, uri)).collect())
}
