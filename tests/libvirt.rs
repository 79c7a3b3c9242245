//! `libvirt:DOMAIN` from outside: the program, and a **stand-in** for virsh, which is this very test
//! program under that name. It says what virsh 9.0.0 said of real domains of QEMU 7.2 (`virsh dumpxml`, in
//! `libvirt/`), and behind it is the fake QEMU. No libvirt is asked here.
#![allow(missing_docs, missing_debug_implementations, unreachable_pub)]

#[path = "support/fake_qemu.rs"]
mod fake_qemu;

use std::fs;
use std::io::{BufRead, BufReader, IoSlice, IoSliceMut, Write};
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::fs::symlink;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::{Command, ExitCode, Output, Stdio};
use std::thread;

use fake_qemu::{FakeVm, LISTENER, VM};
use libtest_mimic::{Arguments, Failed, Trial};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};
use serde_json::{Value, json};
use tempfile::TempDir;

/// What virsh said of a domain that runs: of its display on libvirt's own bus, on another one, and for peers; of one that
/// doesn't run; and of one that has no D-Bus display.
const BUS: &str = include_str!("libvirt/bus.xml");
const ADDRESS: &str = include_str!("libvirt/address.xml");
const PEER: &str = include_str!("libvirt/peer.xml");
const OFF: &str = include_str!("libvirt/off.xml");
const VNC: &str = include_str!("libvirt/vnc.xml");

/// The folder with a stand-in's domains and its monitor.
const FOLDER: &str = "FANLIGHT_STAND_IN";

fn main() -> ExitCode {
    let mut args: Vec<String> = std::env::args().collect();
    if Path::new(&args[0]).ends_with("virsh") {
        return stand_in(&args.split_off(1));
    }
    let trials = [
        ("a_display_on_a_bus_is_found", a_display_on_a_bus_is_found as fn()),
        ("a_display_for_peers_is_handed_a_socket", a_display_for_peers_is_handed_a_socket),
        ("another_libvirt_can_be_named", another_libvirt_can_be_named),
        ("each_mistake_is_a_sentence_with_what_helps", each_mistake_is_a_sentence_with_what_helps),
    ];
    let run = |test: fn()| {
        move || -> Result<(), Failed> {
            test();
            Ok(())
        }
    };
    let trials = trials.map(|(name, test)| Trial::test(name, run(test)));
    libtest_mimic::run(&Arguments::from_args(), trials.into()).exit_code()
}

/// What virsh would do: `dumpxml` and `qemu-monitor-command`.
fn stand_in(args: &[String]) -> ExitCode {
    let folder = std::env::var(FOLDER).unwrap();
    let folder = Path::new(&folder);
    let (connect, args) = match args.split_first() {
        Some((first, rest)) if first.starts_with("--connect=") => (first.as_str(), rest),
        _ => ("", args),
    };
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args[..] {
        ["dumpxml", "--domain", domain] => {
            let name = format!("{domain}{}.xml", connect.replace('/', "_"));
            match fs::read_to_string(folder.join(name)) {
                Ok(xml) => print!("{xml}"),
                Err(_) => {
                    eprintln!("error: failed to get domain '{domain}'");
                    return ExitCode::FAILURE;
                }
            }
        }
        ["qemu-monitor-command", "--domain", "vm", "--pass-fds", "0", command] => {
            println!("{}", ask_monitor(folder, command, true));
        }
        ["qemu-monitor-command", "--domain", "vm", command] => {
            println!("{}", ask_monitor(folder, command, false));
        }
        _ => {
            eprintln!("error: unknown command: {args:?}");
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

fn ask_monitor(folder: &Path, command: &str, with_stdin: bool) -> String {
    let mut socket = UnixStream::connect(folder.join("monitor.sock")).unwrap();
    let stdin = std::io::stdin();
    let fds = [std::os::fd::AsFd::as_fd(&stdin)];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    if with_stdin {
        ancillary.push(SendAncillaryMessage::ScmRights(&fds));
    }
    sendmsg(&socket, &[IoSlice::new(b"!")], &mut ancillary, SendFlags::empty()).unwrap();
    writeln!(socket, "{command}").unwrap();
    let mut reply = String::new();
    BufReader::new(socket).read_line(&mut reply).unwrap();
    reply.trim().to_owned()
}

/// QEMU's monitor, as libvirt has it open: one answer for each command, in their order.
fn monitor(
    folder: &Path,
    answers: Vec<Value>,
) -> thread::JoinHandle<(Vec<Value>, Option<OwnedFd>)> {
    let listener = UnixListener::bind(folder.join("monitor.sock")).unwrap();
    thread::spawn(move || {
        let mut passed = None;
        let commands = answers.into_iter().map(|answer| {
            let (mut socket, _) = listener.accept().unwrap();
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
            let mut ancillary = RecvAncillaryBuffer::new(&mut space);
            let mut byte = [0];
            let mut bytes = [IoSliceMut::new(&mut byte)];
            recvmsg(&socket, &mut bytes, &mut ancillary, RecvFlags::CMSG_CLOEXEC).unwrap();
            for message in ancillary.drain() {
                if let RecvAncillaryMessage::ScmRights(mut fds) = message {
                    passed = fds.next();
                }
            }
            let mut command = String::new();
            BufReader::new(&socket).read_line(&mut command).unwrap();
            writeln!(socket, "{answer}").unwrap();
            serde_json::from_str(&command).unwrap()
        });
        (commands.collect(), passed)
    })
}

/// A folder with a virsh in it, and a description of each of these domains.
fn folder(domains: &[(&str, &str)]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    symlink(std::env::current_exe().unwrap(), folder.path().join("virsh")).unwrap();
    for (name, xml) in domains {
        fs::write(folder.path().join(format!("{name}.xml")), xml).unwrap();
    }
    folder
}

/// The same domain with its display on another bus.
fn on(xml: &str, address: &str) -> String {
    let recorded = xml.split("address='").find(|rest| rest.starts_with("unix:path=")).unwrap();
    xml.replace(recorded.split('\'').next().unwrap(), address)
}

fn fanlight(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_fanlight"));
    command.env_clear().env("PATH", folder).env(FOLDER, folder).stdin(Stdio::null());
    command
}

fn succeeds(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn listed(folder: &Path, uri: &str) -> Value {
    let output = fanlight(folder).args(["list", "--json", uri]).output().unwrap();
    serde_json::from_str(&succeeds(&output)).unwrap()
}

/// Beside another one on the same bus.
fn a_display_on_a_bus_is_found() {
    let other = FakeVm { owner: ":1.8", name: "other", uuid: "another", ..VM };
    let place = tempfile::tempdir().unwrap();
    let bus = place.path().join("bus.sock");
    let address = format!("unix:path={}", bus.display());
    let [own, another] = [BUS, ADDRESS].map(|xml| on(xml, &address));
    let folder = folder(&[("own", &own), ("another", &another)]);
    let _qemus = fake_qemu::bus(&bus, vec![other, VM]);
    for domain in ["own", "another"] {
        let list = listed(folder.path(), &format!("libvirt:{domain}"));
        assert_eq!(list.as_array().unwrap().len(), 1, "{list}");
        assert_eq!(list[0]["uri"], format!("libvirt:{domain}?console=0"));
        assert_eq!(list[0]["uuid"], VM.uuid);
        assert_eq!(list[0]["backend"], format!("QEMU of libvirt's domain {domain}"));
    }
}

/// A frame comes through it, so it is a socket of ours that QEMU got.
fn a_display_for_peers_is_handed_a_socket() {
    let folder = folder(&[("vm", PEER)]);
    let ok = json!({"return": {}, "id": "libvirt-42"});
    let monitor = monitor(folder.path(), vec![ok.clone(), ok]);
    let png = folder.path().join("a.png");
    let dump = fanlight(folder.path())
        .args(["dump", "libvirt:vm", "-o"])
        .arg(&png)
        .stderr(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let (commands, passed) = monitor.join().unwrap();
    let name = commands[0]["arguments"]["fdname"].as_str().unwrap();
    assert_eq!(commands[0]["execute"], "getfd");
    let client = json!({"protocol": "@dbus-display", "fdname": name});
    assert_eq!(commands[1], json!({"execute": "add_client", "arguments": client}));
    let qemus = fake_qemu::p2p_over(passed.unwrap().into(), VM);
    let mut qemu = qemus.next();
    let x8r8g8b8 = 0x2002_0888_u32;
    qemu.call(LISTENER, "Scanout", &(4_u32, 2_u32, 16_u32, x8r8g8b8, vec![7_u8; 32])).unwrap();
    succeeds(&dump.wait_with_output().unwrap());
    let file = BufReader::new(fs::File::open(&png).unwrap());
    let info = png::Decoder::new(file).read_info().unwrap();
    assert_eq!((info.info().width, info.info().height), (4, 2));
}

fn another_libvirt_can_be_named() {
    let folder = folder(&[("vm", PEER)]);
    let named = folder.path().join("vm--connect=qemu:___system.xml");
    fs::rename(folder.path().join("vm.xml"), named).unwrap();
    let refusal = json!({"error": {"class": "GenericError", "desc": "no D-Bus here"}});
    let monitor = monitor(folder.path(), vec![refusal]);
    // It was found there, and only there.
    let args = ["list", "libvirt:vm?connect=qemu:///system"];
    fails(&fanlight(folder.path()).args(args).output().unwrap(), 1, &["no D-Bus here", "p2p"]);
    monitor.join().unwrap();
    let args = ["list", "libvirt:vm?connect=qemu:///session"];
    fails(&fanlight(folder.path()).args(args).output().unwrap(), 2, &["no domain \"vm\""]);
}

/// Asserts the exit code, and that stderr is one sentence that says all of `words`.
fn fails(output: &Output, code: i32, words: &[&str]) {
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{stderr}");
    assert_eq!(stderr.trim_end().lines().count(), 1, "{stderr}");
    for word in words {
        assert!(stderr.contains(word), "it does not say \"{word}\": {stderr}");
    }
}

fn each_mistake_is_a_sentence_with_what_helps() {
    let [tcp, gone] =
        ["tcp:host=a,port=1", "unix:path=/nowhere/bus.sock"].map(|address| on(BUS, address));
    let broken = &PEER[..PEER.len() / 2];
    let domains = [("off", OFF), ("vnc", VNC), ("tcp", &tcp), ("gone", &gone), ("broken", broken)];
    let folder = folder(&domains);
    let folder = folder.path();
    for (uri, code, words) in [
        ("libvirt:", 2, &["libvirt:my-vm"][..]),
        ("libvirt:none", 2, &["\"none\"", "virsh list --all", "connect=qemu:///system"]),
        ("libvirt:off", 1, &["not running", "virsh start off"]),
        ("libvirt:vnc", 1, &["<graphics type='dbus' p2p='yes'/>", "virsh edit vnc"]),
        ("libvirt:tcp", 1, &["tcp:host=a", "virsh edit tcp"]),
        ("libvirt:gone", 1, &["/nowhere/bus.sock"]),
        ("libvirt:broken", 1, &["no description of a domain"]),
    ] {
        for verb in [&["view", uri][..], &["list", uri]] {
            fails(&fanlight(folder).args(verb).output().unwrap(), code, words);
        }
    }
    let empty = tempfile::tempdir().unwrap();
    let output = fanlight(empty.path()).args(["list", "libvirt:vm"]).output().unwrap();
    fails(&output, 1, &["no program virsh", "libvirt-clients"]);
}
