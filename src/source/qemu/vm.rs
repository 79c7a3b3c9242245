//! Which virtual machines and consoles there are, and which one is meant.

use std::collections::HashMap;
use std::time::Duration;

use zbus::{Connection, Error, OwnedVariant, fdo};

use super::names::{BUS_NAME, CONSOLE, CONSOLE_PATH, DBUS, DBUS_PATH, PROPERTIES, VM, VM_PATH};
use crate::source::{Bus, ConsoleInfo, SourceError, Uri};

/// A virtual machine as it describes itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Vm {
    /// Its unique name on the bus; `None` on a p2p connection.
    pub(super) owner: Option<String>,
    pub(super) name: String,
    pub(super) uuid: String,
    pub(super) consoles: Vec<Console>,
}

impl Vm {
    /// Whether it is that name, UUID or unique name on the bus.
    pub(super) fn is_called(&self, wanted: &str) -> bool {
        self.name == wanted
            || self.uuid.eq_ignore_ascii_case(wanted)
            || self.owner.as_deref() == Some(wanted)
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Console {
    pub(super) id: u32,
    pub(super) label: String,
    pub(super) kind: String,
    pub(super) head: u32,
    pub(super) width: u32,
    pub(super) height: u32,
}

/// Most consoles that a virtual machine is asked about.
const CONSOLES_MAX: usize = 64;

pub(super) type Properties = HashMap<String, OwnedVariant>;

/// The virtual machine at the other end of a p2p connection, or at `owner`.
pub(super) async fn vm(bus: &Connection, owner: Option<String>) -> zbus::Result<Vm> {
    let to = owner.as_deref();
    let of_vm = properties(bus, to, VM_PATH, VM).await?;
    let ids: Vec<u32> = get(&of_vm, "ConsoleIDs")?;
    let mut consoles = Vec::new();
    for id in ids.into_iter().take(CONSOLES_MAX) {
        let of = properties(bus, to, &console_path(id), CONSOLE).await?;
        consoles.push(Console {
            id,
            label: get(&of, "Label")?,
            kind: get(&of, "Type")?,
            head: get(&of, "Head")?,
            width: get(&of, "Width")?,
            height: get(&of, "Height")?,
        });
    }
    consoles.sort_by_key(|console| console.id);
    Ok(Vm { name: get(&of_vm, "Name")?, uuid: get(&of_vm, "UUID")?, consoles, owner })
}

pub(super) fn console_path(id: u32) -> String {
    format!("{CONSOLE_PATH}{id}")
}

/// Who is a QEMU on a bus: later ones queue for the name of the first.
pub(super) async fn owners(bus: &Connection) -> zbus::Result<Vec<String>> {
    let call = bus.call_method(Some(DBUS), DBUS_PATH, Some(DBUS), "ListQueuedOwners", &BUS_NAME);
    match call.await {
        Ok(reply) => reply.body().deserialize(),
        Err(Error::FDO(error)) if matches!(*error, fdo::Error::NameHasNoOwner(_)) => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

/// Every virtual machine on a bus. One that doesn't answer is left out with a warning.
pub(super) async fn vms(bus: &Connection) -> zbus::Result<Vec<Vm>> {
    let mut vms = Vec::new();
    for owner in owners(bus).await? {
        match vm(bus, Some(owner.clone())).await {
            Ok(vm) => vms.push(vm),
            Err(error) => tracing::warn!(%owner, %error, "a QEMU on the bus does not answer"),
        }
    }
    Ok(vms)
}

pub(super) async fn properties(
    bus: &Connection,
    to: Option<&str>,
    path: &str,
    interface: &str,
) -> zbus::Result<Properties> {
    let reply = bus.call_method(to, path, Some(PROPERTIES), "GetAll", &interface).await?;
    reply.body().deserialize()
}

pub(super) fn get<T>(properties: &Properties, name: &str) -> zbus::Result<T>
where
    T: TryFrom<OwnedVariant, Error: Into<Error>>,
{
    let value = properties.get(name).ok_or(Error::MissingField)?;
    value.try_clone()?.try_into().map_err(Into::into)
}

/// The virtual machine that is meant.
pub(super) fn choose_vm<'a>(
    vms: &'a [Vm],
    wanted: Option<&str>,
    bus: &Bus,
) -> Result<&'a Vm, SourceError> {
    let matching: Vec<&Vm> = match wanted {
        None => vms.iter().collect(),
        Some(wanted) => vms.iter().filter(|vm| vm.is_called(wanted)).collect(),
    };
    match (matching.as_slice(), wanted) {
        ([one], _) => Ok(one),
        ([], Some(wanted)) if !vms.is_empty() => Err(SourceError::NoSuchVm {
            wanted: wanted.to_owned(),
            present: vms.iter().map(|vm| describe(vms, vm, bus)).collect(),
        }),
        ([], _) => Err(SourceError::NoVm(bus_name(bus))),
        (several, _) => {
            Err(SourceError::SeveralVms(several.iter().map(|vm| describe(vms, vm, bus)).collect()))
        }
    }
}

/// The console that is meant: without a number the first graphic one.
pub(super) fn choose_console(vm: &Vm, wanted: Option<u32>) -> Result<&Console, SourceError> {
    match wanted {
        None => vm
            .consoles
            .iter()
            .find(|console| console.kind == "Graphic")
            .ok_or(SourceError::NoGraphicConsole),
        Some(wanted) => vm.consoles.iter().find(|console| console.id == wanted).ok_or_else(|| {
            let describe =
                |console: &Console| format!("{} ({}, {})", console.id, console.kind, console.label);
            SourceError::NoSuchConsole {
                wanted,
                present: vm.consoles.iter().map(describe).collect(),
            }
        }),
    }
}

/// All consoles, or the one that is meant.
pub(super) fn choose_consoles(vm: &Vm, wanted: Option<u32>) -> Result<&[Console], SourceError> {
    match wanted {
        None => Ok(&vm.consoles),
        wanted => choose_console(vm, wanted).map(std::slice::from_ref),
    }
}

fn describe(vms: &[Vm], vm: &Vm, bus: &Bus) -> String {
    format!("{} (name \"{}\", UUID {})", uri(vms, vm, bus, None), vm.name, vm.uuid)
}

/// Where a bus is, for sentences.
pub(super) fn bus_name(bus: &Bus) -> String {
    match bus {
        Bus::Session => "the session bus".to_owned(),
        Bus::Unix(path) => format!("the bus at {}", path.display()),
    }
}

/// What names `vm` among `vms`: its name, else its UUID, else its unique name on the bus.
fn uri(vms: &[Vm], vm: &Vm, bus: &Bus, console: Option<u32>) -> Uri {
    let alone = |same: &dyn Fn(&Vm) -> bool| vms.iter().filter(|other| same(other)).count() == 1;
    let name = if !vm.name.is_empty() && alone(&|other| other.name == vm.name) {
        vm.name.clone()
    } else if alone(&|other| other.uuid == vm.uuid) {
        vm.uuid.clone()
    } else {
        vm.owner.clone().unwrap_or_default()
    };
    Uri::Qemu { bus: bus.clone(), vm: Some(name), console }
}

/// What is known of a console of a VM on a bus.
pub(super) fn info(vms: &[Vm], vm: &Vm, console: &Console, bus: &Bus) -> ConsoleInfo {
    describe_console(
        vm,
        console,
        uri(vms, vm, bus, Some(console.id)),
        format!("QEMU on {}", bus_name(bus)),
    )
}

pub(super) fn describe_console(
    vm: &Vm,
    console: &Console,
    uri: Uri,
    backend: String,
) -> ConsoleInfo {
    ConsoleInfo {
        uri,
        vm: vm.name.clone(),
        uuid: vm.uuid.clone(),
        console: console.id,
        head: console.head,
        label: console.label.clone(),
        kind: console.kind.clone(),
        width: console.width,
        height: console.height,
        backend,
    }
}

/// What an error of zbus means to the user.
pub(super) fn failed(error: &Error, limit: Duration) -> SourceError {
    match error {
        Error::InputOutput(error) if error.kind() == std::io::ErrorKind::TimedOut => {
            SourceError::TimedOut(limit)
        }
        other => SourceError::Dbus(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NIL: &str = "00000000-0000-0000-0000-000000000000";

    fn vm(owner: &str, name: &str, uuid: &str) -> Vm {
        let console = |id, kind: &str| Console {
            id,
            label: "VGA".into(),
            kind: kind.into(),
            head: 0,
            width: 1,
            height: 1,
        };
        let consoles = vec![console(0, "Text"), console(1, "Graphic"), console(2, "Graphic")];
        Vm { owner: Some(owner.into()), name: name.into(), uuid: uuid.into(), consoles }
    }

    fn choose<'a>(vms: &'a [Vm], wanted: Option<&str>) -> Result<&'a Vm, SourceError> {
        choose_vm(vms, wanted, &Bus::Session)
    }

    #[test]
    fn the_only_one_needs_no_name() {
        assert_eq!(choose(&[vm(":1.1", "a", NIL)], None).unwrap().name, "a");
    }

    #[test]
    fn none_and_several_are_usage_errors_that_say_what_to_do() {
        let error = choose(&[], None).unwrap_err();
        assert!(error.is_usage() && error.to_string().contains("-display dbus"), "{error}");
        let error = choose(&[vm(":1.1", "a", "u1"), vm(":1.2", "b", "u2")], None).unwrap_err();
        assert!(error.is_usage());
        let text = error.to_string();
        assert!(text.contains("qemu:a (name \"a\", UUID u1), qemu:b"), "{text}");
    }

    #[test]
    fn name_uuid_and_unique_name_choose() {
        let vms = [vm(":1.1", "a", "AB-1"), vm(":1.2", "b", "AB-2")];
        for wanted in ["b", "ab-2", ":1.2"] {
            assert_eq!(choose(&vms, Some(wanted)).unwrap().name, "b", "{wanted}");
        }
        let error = choose(&vms, Some("c")).unwrap_err();
        assert!(error.is_usage() && error.to_string().contains("\"c\""), "{error}");
    }

    #[test]
    fn twins_are_told_apart_by_what_differs() {
        let vms = [vm(":1.1", "QEMU", NIL), vm(":1.2", "QEMU", NIL)];
        let text = choose(&vms, Some("QEMU")).unwrap_err().to_string();
        assert!(text.contains("qemu::1.1 ") && text.contains("qemu::1.2 "), "{text}");
        let again: Uri = uri(&vms, &vms[1], &Bus::Session, None).to_string().parse().unwrap();
        let Uri::Qemu { vm: Some(name), .. } = again else { panic!("{again}") };
        assert_eq!(choose(&vms, Some(&name)).unwrap(), &vms[1]);
    }

    #[test]
    fn the_first_graphic_console_is_meant() {
        let vm = vm(":1.1", "a", NIL);
        assert_eq!(choose_console(&vm, None).unwrap().id, 1);
        assert_eq!(choose_console(&vm, Some(0)).unwrap().id, 0);
        let error = choose_console(&vm, Some(9)).unwrap_err();
        assert!(error.to_string().contains("0 (Text, VGA), 1 (Graphic, VGA)"), "{error}");
        let bare = Vm { consoles: Vec::new(), ..vm };
        assert!(matches!(choose_console(&bare, None), Err(SourceError::NoGraphicConsole)));
    }
}
