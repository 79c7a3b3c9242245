//! The device provider, on a bus with fake QEMUs that come and go.
#![allow(missing_docs, missing_debug_implementations, unreachable_pub)]

#[path = "../../../tests/support/alone.rs"]
#[allow(dead_code)]
mod alone;
#[path = "../../../tests/support/fake_qemu.rs"]
mod fake_qemu;

use std::sync::Once;

use fake_qemu::{Bus, FakeVm, VM};
use fanlight::serve::{Kind, Options, Server};
use gst::glib;
use gst::prelude::*;
use gstfanlight::device::DeviceProvider;

const TWO_HEADS: FakeVm = FakeVm { name: "two", consoles: &["Graphic", "Graphic", "Text"], ..VM };
const OTHER: FakeVm = FakeVm { owner: ":1.8", name: "other", uuid: "another", ..VM };
/// Of the same name as [`VM`].
const TWIN: FakeVm = FakeVm { owner: ":1.9", uuid: "a third", ..VM };

fn init() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        gst::init().unwrap();
        gstfanlight::plugin_register_static().unwrap();
    });
}

fn provider(uri: &str) -> DeviceProvider {
    init();
    glib::Object::builder().property("uri", uri).build()
}

/// What the provider tells next: what happened, and what the device is called and opened by.
fn next(bus: &gst::Bus) -> (&'static str, String, String) {
    use gst::MessageType as Type;
    let types = [Type::DeviceAdded, Type::DeviceRemoved, Type::DeviceChanged];
    let message = bus.timed_pop_filtered(gst::ClockTime::from_seconds(60), &types);
    let message = message.expect("the provider tells nothing");
    let (what, device) = match message.view() {
        gst::MessageView::DeviceAdded(added) => ("added", added.device()),
        gst::MessageView::DeviceRemoved(removed) => ("removed", removed.device()),
        gst::MessageView::DeviceChanged(changed) => ("changed", changed.device_changed().0),
        other => panic!("{other:?}"),
    };
    (what, device.display_name().into(), uri_of(&device))
}

fn uri_of(device: &gst::Device) -> String {
    device.properties().unwrap().get("uri").unwrap()
}

fn names(devices: impl IntoIterator<Item = gst::Device>) -> Vec<String> {
    let mut names: Vec<_> =
        devices.into_iter().map(|device| device.display_name().into()).collect();
    names.sort();
    names
}

#[test]
fn consoles_come_and_go_with_virtual_machines() {
    let mut bus = Bus::with(Vec::new());
    let provider = provider(&bus.uri());
    let told = provider.bus();
    provider.start().unwrap();
    assert_eq!(names(provider.devices()), [""; 0]);
    for _ in 0..2 {
        bus.comes(VM);
        let uri = format!("{}?name=fake&console=0", bus.uri());
        assert_eq!(next(&told), ("added", "fake".to_owned(), uri.clone()));
        assert_eq!(names(provider.devices()), ["fake"]);
        bus.goes(&VM, Vec::new());
        assert_eq!(next(&told), ("removed", "fake".to_owned(), uri));
        assert_eq!(names(provider.devices()), [""; 0]);
    }
    provider.stop();
}

/// Of a console that goes by another name because of one that came, the old name would open nothing.
#[test]
fn what_names_a_console_is_kept_true() {
    let mut bus = Bus::with(vec![VM]);
    let provider = provider(&bus.uri());
    let told = provider.bus();
    provider.start().unwrap();
    assert_eq!(next(&told).2, format!("{}?name=fake&console=0", bus.uri()));
    bus.comes(TWIN);
    let uri = |vm: &FakeVm| format!("{}?name={}&console=0", bus.uri(), vm.uuid.replace(' ', "%20"));
    assert_eq!(next(&told), ("changed", "fake".to_owned(), uri(&VM)));
    assert_eq!(next(&told), ("added", "fake".to_owned(), uri(&TWIN)));
    let mut uris: Vec<_> = provider.devices().iter().map(uri_of).collect();
    uris.sort();
    assert_eq!(uris, [uri(&VM), uri(&TWIN)]);
    provider.stop();
}

/// Each head is a device, told apart by its name; what isn't a picture is none.
#[test]
fn it_probes_without_being_started() {
    let bus = Bus::with(vec![TWO_HEADS, OTHER]);
    let devices: Vec<_> = provider(&bus.uri()).devices().into_iter().collect();
    assert_eq!(names(devices.clone()), ["other", "two (1)", "two (2)"]);
    for device in devices {
        assert!(device.has_classes("Source/Video"));
        let known = device.properties().unwrap();
        let is_second = device.display_name() == "two (2)";
        assert_eq!(known.get::<bool>("dark").unwrap(), is_second, "{known}");
    }
    let nobody = Bus::with(Vec::new());
    assert_eq!(names(provider(&nobody.uri()).devices()), [""; 0]);
}

#[test]
fn a_device_makes_the_element_that_shows_it() {
    let bus = Bus::with(vec![VM]);
    let provider = provider(&bus.uri());
    let device = provider.devices().into_iter().next().unwrap();
    let element = device.create_element(Some("screen")).unwrap();
    assert_eq!(element.factory().unwrap().name(), "fanlightsrc");
    assert_eq!((element.name().as_str(), element.property("uri")), ("screen", uri_of(&device)));
    let (caps, all) = (device.caps().unwrap(), element.static_pad("src").unwrap().query_caps(None));
    assert_eq!(caps, all);
}

/// As an application does it.
#[test]
fn a_monitor_finds_them() {
    init();
    let mut bus = Bus::with(vec![VM]);
    let factory = gst::DeviceProviderFactory::find("fanlightdeviceprovider").unwrap();
    let provider = factory.get().unwrap();
    provider.set_property("uri", bus.uri());
    let monitor = gst::DeviceMonitor::new();
    monitor.add_filter(Some("Source/Video"), None).unwrap();
    assert!(monitor.providers().iter().any(|name| name == "fanlightdeviceprovider"));
    monitor.start().unwrap();
    assert_eq!(names(monitor.devices()), ["fake"]);
    bus.comes(OTHER);
    let told = monitor.bus();
    while next(&told).1 != "other" {}
    assert_eq!(names(monitor.devices()), ["fake", "other"]);
    bus.goes(&VM, Vec::new());
    assert_eq!(next(&told).0, "removed");
    monitor.stop();
}

#[test]
fn one_that_can_not_look_says_so_and_shows_nothing() {
    for uri in ["qemu+unix:/nowhere/bus.sock", "vbox:vm"] {
        let provider = provider(uri);
        assert!(provider.start().is_err(), "{uri}");
        assert_eq!(names(provider.devices()), [""; 0]);
    }
}

/// Consoles of a backend are as good; they go when it does.
#[test]
fn a_backend_of_guest_scanout_is_watched_too() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("vm.sock");
    let mut server = Server::bind(&path, "wire", "", Options::default()).unwrap();
    server.add_console(Kind::Graphic, "screen").unwrap();
    let provider = provider(&format!("scanout:{}", path.display()));
    let told = provider.bus();
    let (stop, mut stopped) = std::io::pipe().unwrap();
    std::thread::scope(|scope| {
        let serving = scope.spawn(move || serve(&mut server, &stop));
        provider.start().unwrap();
        assert_eq!(next(&told).0, "added");
        std::io::Write::write_all(&mut stopped, b"x").unwrap();
        serving.join().unwrap();
        assert_eq!(next(&told).0, "removed");
    });
    provider.stop();
}

/// Until it is told to stop.
fn serve(server: &mut Server, stop: &std::io::PipeReader) {
    use rustix::event::{PollFd, PollFlags, poll};
    loop {
        let fds = &mut [PollFd::new(server, PollFlags::IN), PollFd::new(stop, PollFlags::IN)];
        poll(fds, None).unwrap();
        if !fds[1].revents().is_empty() {
            return;
        }
        server.dispatch().unwrap();
        while server.next_event().is_some() {}
    }
}

/// What wakes threads of ours, of which there are none without. The fake's end of each connection is in
/// this process too, and ends when it has found out that we are gone.
fn eventfds() -> usize {
    let fds = std::fs::read_dir("/proc/self/fd").unwrap().map(|entry| entry.unwrap().path());
    let links = fds.filter_map(|fd| std::fs::read_link(fd).ok());
    links.filter(|link| link.to_string_lossy().contains("[eventfd]")).count()
}

/// Threads of ours. One that was joined is seen for a moment still.
fn threads() -> usize {
    let threads = std::fs::read_dir("/proc/self/task").unwrap();
    let names = threads
        .filter_map(|entry| std::fs::read_to_string(entry.unwrap().path().join("comm")).ok());
    names.filter(|name| name.starts_with("fanlight-")).count()
}

#[test]
fn nothing_is_left_of_a_hundred_starts() {
    alone::alone(module_path!(), "nothing_is_left_of_a_hundred_starts", || {
        let bus = Bus::with(vec![VM]);
        let provider = provider(&bus.uri());
        let before = eventfds();
        for _ in 0..100 {
            provider.start().unwrap();
            assert!(eventfds() > before && threads() > 0);
            assert_eq!(names(provider.devices()), ["fake"]);
            provider.stop();
            assert_eq!(eventfds(), before);
        }
        // Also where nobody stops it, but for what it has told, which holds it.
        provider.start().unwrap();
        assert_eq!(next(&provider.bus()).0, "added");
        drop(provider);
        assert_eq!(eventfds(), before);
        assert!(threads() < 10, "{} threads are left", threads());
    });
}
