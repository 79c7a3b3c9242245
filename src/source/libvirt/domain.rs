//! What libvirt's description of a domain says of its display.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

use quick_xml::events::{BytesStart, Event};
use quick_xml::{Reader, XmlVersion};

use crate::source::uri::decode;

/// A domain, as far as it matters here.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Domain {
    pub(super) uuid: String,
    /// Only domains that run have an id.
    pub(super) running: bool,
    /// The first of its D-Bus displays.
    pub(super) display: Option<Display>,
}

/// How a D-Bus display is reached.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Display {
    /// By the bus at this address; it is empty where libvirt doesn't tell it.
    Bus(String),
    /// By a socket that is handed to QEMU.
    Peer,
}

impl Domain {
    pub(super) fn parse(xml: &str) -> Result<Self, String> {
        let mut reader = Reader::from_str(xml);
        let mut domain = Self::default();
        // The elements around the place, none of which is deeper than what is looked for.
        let mut path: Vec<String> = Vec::new();
        let mut depth = 0_u32;
        loop {
            let event = reader.read_event().map_err(|error| error.to_string())?;
            let around: Vec<&str> = path.iter().map(String::as_str).collect();
            let wanted = depth as usize == path.len();
            match &event {
                Event::Start(element) | Event::Empty(element) => {
                    if wanted {
                        domain.element(&around, element)?;
                    }
                    if matches!(event, Event::Start(_)) {
                        if wanted && path.len() < 2 {
                            let name = element.name();
                            path.push(String::from_utf8_lossy(name.as_ref()).into_owned());
                        }
                        depth += 1;
                    }
                }
                Event::Text(text) if wanted && around == ["domain", "uuid"] => {
                    domain.uuid = String::from_utf8_lossy(text).trim().to_owned();
                }
                Event::End(_) => {
                    // The reader has checked that it is the end of what was begun.
                    depth -= 1;
                    path.truncate(depth as usize);
                }
                Event::Eof => break,
                _ => {}
            }
        }
        if depth > 0 {
            return Err("it ends in the middle".to_owned());
        }
        if domain.uuid.is_empty() {
            return Err("it is no <domain> with a <uuid>".to_owned());
        }
        Ok(domain)
    }

    fn element(&mut self, around: &[&str], element: &BytesStart<'_>) -> Result<(), String> {
        let name = element.name();
        match (around, name.as_ref()) {
            ([], b"domain") => self.running = attribute(element, "id")?.is_some(),
            (["domain", "devices"], b"graphics") if self.display.is_none() => {
                if attribute(element, "type")?.as_deref() != Some("dbus") {
                    return Ok(());
                }
                let peer = attribute(element, "p2p")?;
                self.display = Some(if peer.is_some_and(|p2p| p2p == "yes" || p2p == "on") {
                    Display::Peer
                } else {
                    Display::Bus(attribute(element, "address")?.unwrap_or_default())
                });
            }
            _ => {}
        }
        Ok(())
    }
}

fn attribute(element: &BytesStart<'_>, name: &str) -> Result<Option<String>, String> {
    let found = element.try_get_attribute(name).map_err(|error| error.to_string())?;
    let value = found.map(|found| {
        let value = found.decoded_and_normalized_value(XmlVersion::Implicit1_0, element.decoder());
        value.map(std::borrow::Cow::into_owned).map_err(|error| error.to_string())
    });
    value.transpose()
}

/// The socket of a D-Bus address, which may name several ways.
pub(super) fn socket(address: &str) -> Option<PathBuf> {
    address.split(';').find_map(|way| {
        let path = way.strip_prefix("unix:")?.split(',').find_map(|p| p.strip_prefix("path="))?;
        Some(PathBuf::from(OsString::from_vec(decode(path)?))).filter(|path| path.is_absolute())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What virsh really says is in `tests/libvirt`; this is what it might.
    fn xml(attributes: &str, devices: &str) -> String {
        format!(
            "<domain type='kvm'{attributes}>\n  <name>vm</name>\n  \
             <uuid>5b2f7c7e-8a3e-4f3f-9d8a-0f1e2d3c4b5a</uuid>\n  <metadata>\n    \
             <devices><graphics type='dbus' p2p='yes'/></devices>\n  </metadata>\n  <devices>\n    \
             <disk type='file'><source file='/a&amp;b'/></disk>\n    {devices}\n  </devices>\n</domain>\n"
        )
    }

    fn display(devices: &str) -> Option<Display> {
        Domain::parse(&xml(" id='3'", devices)).unwrap().display
    }

    #[test]
    fn what_virsh_said_of_real_domains_is_understood() {
        let at = |path: &str| Some(Display::Bus(format!("unix:path=/run/user/1000/{path}")));
        for (xml, running, display) in [
            (
                include_str!("../../../tests/libvirt/bus.xml"),
                true,
                at("libvirt/qemu/run/dbus/2-vm-dbus.sock"),
            ),
            (include_str!("../../../tests/libvirt/address.xml"), true, at("bus")),
            (include_str!("../../../tests/libvirt/peer.xml"), true, Some(Display::Peer)),
            (include_str!("../../../tests/libvirt/off.xml"), false, Some(Display::Peer)),
            (include_str!("../../../tests/libvirt/vnc.xml"), true, None),
        ] {
            let uuid = "5b2f7c7e-8a3e-4f3f-9d8a-0f1e2d3c4b5a".to_owned();
            assert_eq!(Domain::parse(xml), Ok(Domain { uuid, running, display }));
        }
    }

    #[test]
    fn the_display_is_found_where_it_belongs() {
        assert_eq!(display("<graphics type='dbus' p2p='yes'/>"), Some(Display::Peer));
        assert_eq!(display("<graphics type='dbus' p2p='on'><gl/></graphics>"), Some(Display::Peer));
        let address = "unix:path=/run/libvirt/qemu/dbus/1-vm-dbus.sock";
        let bus = format!(
            "<graphics type='vnc' port='5900'/><graphics type='dbus' address='{address}'>\
             <gl enable='yes'/></graphics>"
        );
        assert_eq!(display(&bus), Some(Display::Bus(address.to_owned())));
        assert_eq!(display("<graphics type='dbus'/>"), Some(Display::Bus(String::new())));
        assert_eq!(display("<graphics type='spice'/>"), None, "what <metadata> says is no device");
        let inside = "<hostdev><graphics type='dbus' p2p='yes'/></hostdev>";
        assert_eq!(display(inside), None);
    }

    #[test]
    fn only_what_runs_has_an_id() {
        let domain = Domain::parse(&xml(" id='3'", "")).unwrap();
        assert!(domain.running);
        assert_eq!(domain.uuid, "5b2f7c7e-8a3e-4f3f-9d8a-0f1e2d3c4b5a");
        assert!(!Domain::parse(&xml("", "")).unwrap().running);
    }

    #[test]
    fn what_is_no_domain_is_refused() {
        for text in
            ["", "hello", "<network><uuid>1</uuid></network>", "<domain><uuid>1", "<domain></a>"]
        {
            let parsed = Domain::parse(text);
            assert!(parsed.is_err(), "{text}: {parsed:?}");
        }
        let entity = xml(" id='1'", "<graphics type='dbus' address='&file;'/>");
        assert!(Domain::parse(&entity).is_err());
        let deep = "<a>".repeat(100_000);
        assert!(Domain::parse(&deep).is_err());
    }

    #[test]
    fn an_address_leads_to_its_socket() {
        for (address, path) in [
            ("unix:path=/run/a", Some("/run/a")),
            ("unix:path=/run/a%20b,guid=12", Some("/run/a b")),
            ("tcp:host=localhost,port=1;unix:guid=12,path=/run/b", Some("/run/b")),
            ("unix:abstract=/tmp/a", None),
            ("unix:path=bus", None),
            ("", None),
        ] {
            assert_eq!(socket(address), path.map(PathBuf::from), "{address}");
        }
    }
}
