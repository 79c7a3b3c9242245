//! What is said of a console, and the element that shows it.

use fanlight::source::ConsoleInfo;
use gst::glib;
use gst::prelude::*;
use gst::subclass::prelude::*;

use crate::caps;
use crate::log::CAT;

/// What it is, in GStreamer's words.
const CLASS: &str = "Source/Video";
const ELEMENT: &str = "fanlightsrc";

/// All that is known of it is in its properties.
#[derive(Debug, Default)]
pub struct Console;

#[glib::object_subclass]
impl ObjectSubclass for Console {
    const NAME: &'static str = "GstFanlightDevice";
    type Type = super::Console;
    type ParentType = gst::Device;
}

impl ObjectImpl for Console {}
impl GstObjectImpl for Console {}

impl DeviceImpl for Console {
    fn create_element(&self, name: Option<&str>) -> Result<gst::Element, gst::LoggableError> {
        let properties = self.obj().properties();
        let uri = properties.as_ref().and_then(|known| known.get::<&str>("uri").ok());
        gst::ElementFactory::make(ELEMENT)
            .property("uri", uri.unwrap_or_default())
            .name_if_some(name)
            .build()
            .map_err(|error| gst::loggable_error!(CAT, "no {ELEMENT}: {error}"))
    }
}

impl super::Console {
    /// `others`: its virtual machine has consoles besides.
    pub(super) fn new(info: &ConsoleInfo, others: bool) -> Self {
        glib::Object::builder()
            .property("display-name", display_name(info, others))
            .property("device-class", CLASS)
            .property("caps", caps::template())
            .property("properties", properties(info))
            .build()
    }
}

/// As the viewer's window is called.
fn display_name(info: &ConsoleInfo, others: bool) -> String {
    let name = if info.vm.is_empty() { "QEMU".to_owned() } else { plain(&info.vm) };
    match info.console {
        0 if !others => name,
        // People count from one.
        number => format!("{name} ({})", u64::from(number) + 1),
    }
}

fn properties(info: &ConsoleInfo) -> gst::Structure {
    let known = gst::Structure::builder("fanlight-proplist")
        .field("device.api", "fanlight")
        .field("uri", info.uri.to_string())
        .field("vm", plain(&info.vm))
        .field("uuid", plain(&info.uuid))
        .field("console", info.console)
        .field("head", info.head)
        .field("label", plain(&info.label))
        .field("backend", plain(&info.backend))
        // A guest's further heads show nothing until a viewer says how large they are wanted.
        .field("dark", info.head > 0 && info.is_dark());
    if info.width == 0 {
        return known.build();
    }
    known.field("width", info.width).field("height", info.height).build()
}

/// What others have named, without what would move a terminal's cursor or end a string.
fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info() -> ConsoleInfo {
        ConsoleInfo {
            uri: "qemu:two%20words?console=0".parse().unwrap(),
            vm: "two words".to_owned(),
            uuid: "an id".to_owned(),
            console: 0,
            head: 0,
            label: "VGA".to_owned(),
            kind: "Graphic".to_owned(),
            width: 1280,
            height: 800,
            backend: "QEMU on the session bus".to_owned(),
        }
    }

    #[test]
    fn it_is_called_as_its_window_would_be() {
        let named = |vm: &str, console, others| {
            display_name(&ConsoleInfo { vm: vm.to_owned(), console, ..info() }, others)
        };
        assert_eq!(named("a", 0, false), "a");
        assert_eq!(named("a", 0, true), "a (1)");
        assert_eq!(named("a", 1, false), "a (2)");
        assert_eq!(named("", 0, false), "QEMU");
        assert_eq!(named("a\0\x1b[2J", 0, false), "a??[2J");
    }

    #[test]
    fn its_properties_say_all_that_is_known() {
        gst::init().unwrap();
        let known = properties(&info());
        assert_eq!(known.get::<&str>("uri").unwrap(), "qemu:two%20words?console=0");
        assert_eq!(known.get::<&str>("vm").unwrap(), "two words");
        assert_eq!(known.get::<u32>("width").unwrap(), 1280);
        assert!(!known.get::<bool>("dark").unwrap());
        let second = ConsoleInfo { head: 1, width: 640, height: 480, ..info() };
        assert!(properties(&second).get::<bool>("dark").unwrap());
        // A backend that says it only to who watches.
        let unknown = ConsoleInfo { width: 0, height: 0, ..info() };
        assert!(!properties(&unknown).has_field("width"));
    }
}
