//! `fanlight list`: the consoles that can be seen from here.

use clap::Args;
use serde_json::json;

use super::exit::{Failure, print};
use crate::source::{self, ConsoleInfo, Uri};

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  fanlight list                           what is on the session bus
  fanlight list qemu+unix:/run/bus.sock   what is on another bus
  fanlight list qemu:my-vm                what this virtual machine has
  fanlight list qmp:/run/vm/qmp.sock      what the one behind this QMP socket has
  fanlight list scanout:/run/vm.sock      what this backend has
  fanlight list --json | jq -r '.[].uri'  for scripts

Exit code 2 if there is no virtual machine.")]
pub(super) struct ListArgs {
    /// Where to look: qemu:, qemu:NAME-or-UUID, qemu+unix:/path/to/bus.sock, qmp:/path/to/qmp.sock, libvirt:DOMAIN, scanout:/path/to.sock
    #[arg(value_name = "URI", default_value = "qemu:")]
    uri: String,
    /// Print an array of objects: uri, name, uuid, console, label, type, width, height (null where not known), backend
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &ListArgs) -> Result<(), Failure> {
    let uri: Uri = args.uri.parse().map_err(Failure::usage)?;
    let consoles = source::list(&uri, &source::Options::default())?;
    if args.json {
        let list: Vec<_> = consoles.iter().map(as_json).collect();
        return print(serde_json::Value::from(list));
    }
    let mut rows = vec![["URI", "NAME", "LABEL", "TYPE", "SIZE"].map(str::to_owned)];
    rows.extend(consoles.iter().map(|console| {
        [
            console.uri.to_string(),
            console.vm.clone(),
            console.label.clone(),
            console.kind.clone(),
            size(console).map_or("-".to_owned(), |(width, height)| format!("{width}x{height}")),
        ]
    }));
    table(&rows).into_iter().try_for_each(print)
}

/// A backend of guest-scanout-v1 says it only to who watches.
fn size(console: &ConsoleInfo) -> Option<(u32, u32)> {
    (console.width > 0).then_some((console.width, console.height))
}

fn as_json(console: &ConsoleInfo) -> serde_json::Value {
    json!({
        "uri": console.uri.to_string(),
        "name": console.vm,
        "uuid": console.uuid,
        "console": console.console,
        "label": console.label,
        "type": console.kind,
        "width": size(console).map(|(width, _)| width),
        "height": size(console).map(|(_, height)| height),
        "backend": console.backend,
    })
}

/// Rows with their columns below each other.
fn table<const N: usize>(rows: &[[String; N]]) -> Vec<String> {
    let width = |i: usize| rows.iter().map(|row| row[i].chars().count()).max().unwrap_or(0);
    let widths: Vec<_> = (0..N).map(width).collect();
    let line = |row: &[String; N]| {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}  "));
        cells.collect::<String>().trim_end().to_owned()
    };
    rows.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_stand_below_each_other() {
        let rows = [["a", "bcd"], ["wxyz", "é"]].map(|row| row.map(str::to_owned));
        assert_eq!(table(&rows), ["a     bcd", "wxyz  é"]);
    }
}
