//! What the compositor offers, and whether it takes what QEMU sends.

use std::time::Duration;

use super::Finding;
use crate::frame::{Format, Modifier};
use crate::sink::wayland::{Survey, WaylandError};

/// How long it may take to answer.
const LIMIT: Duration = Duration::from_secs(3);

/// Without these there is no window: each with its oldest version that does.
const NEEDED: [(&str, u32); 4] =
    [("wl_compositor", 4), ("wl_subcompositor", 1), ("wl_shm", 1), ("xdg_wm_base", 1)];

/// What is lost without the others.
const WANTED: [(&str, &str); 16] = [
    ("wl_seat", "No key and no pointer reaches the guest."),
    ("wp_viewporter", "Nothing is scaled or cropped, so that each frame is copied."),
    ("wp_fractional_scale_manager_v1", "Pictures are blurred at scales like 1.5."),
    ("wp_linux_drm_syncobj_manager_v1", "Implicit sync is used, which works with most drivers."),
    (
        "zwp_pointer_constraints_v1",
        "A guest whose mouse is relative can't have the pointer for itself.",
    ),
    ("zwp_relative_pointer_manager_v1", "A guest whose mouse is relative can't be steered."),
    (
        "zwp_keyboard_shortcuts_inhibit_manager_v1",
        "The compositor's own shortcuts never reach the guest, also when the keyboard is grabbed.",
    ),
    ("wp_cursor_shape_manager_v1", "The pointer is the compositor's default."),
    ("zwp_idle_inhibit_manager_v1", "The screen may be locked while a guest is fullscreen."),
    ("zxdg_decoration_manager_v1", "The window draws its own title bar."),
    ("xdg_activation_v1", "A new window may open behind others."),
    (
        "wl_data_device_manager",
        "Nothing that is copied in the guest can be pasted here, and none the other way.",
    ),
    (
        "wp_single_pixel_buffer_manager_v1",
        "The black beside the picture takes a little memory more.",
    ),
    ("wp_tearing_control_manager_v1", "--tearing changes nothing."),
    ("wp_content_type_manager_v1", "--content changes nothing."),
    (
        "xdg_toplevel_icon_manager_v1",
        "The window has the icon of its desktop entry, where that is installed.",
    ),
];

/// Where there is no compositor, or none that will do.
const START: &str =
    "weston   # or another for desktops: sway, GNOME, KDE Plasma; Debian: sudo apt install weston";

const NEWER: &str = "# Use a newer version of the compositor, or another: weston, sway, GNOME and KDE Plasma have it.";

/// Where the CPU draws, or a GPU that takes little.
const BY_GPU: &str =
    "WLR_RENDERER=gles2 sway   # weston --renderer=gl: the compositor drawn by a GPU";

const DMABUF: &str = "zwp_linux_dmabuf_v1";

/// What QEMU's guests draw in.
const FORMATS: [Format; 4] =
    [Format::XRGB8888, Format::ARGB8888, Format::XBGR8888, Format::ABGR8888];

pub(super) fn check() -> Vec<Finding> {
    match Survey::take(LIMIT) {
        Ok(survey) => judge(&survey),
        Err(error) => {
            let remedy = match error {
                WaylandError::NoDisplay => format!("ls \"$XDG_RUNTIME_DIR\"/wayland-*\n{START}"),
                _ => START.to_owned(),
            };
            let finding = Finding::fail("wayland", error.to_string(), remedy);
            vec![finding.means("view has no window; dump works without one.")]
        }
    }
}

fn judge(survey: &Survey) -> Vec<Finding> {
    let mut findings = Vec::new();
    let names = |mut all: Vec<String>| {
        all.sort();
        all.join(", ")
    };
    let lacks: Vec<_> = NEEDED
        .iter()
        .filter(|(name, least)| survey.version(name).is_none_or(|v| v < *least))
        .collect();
    findings.push(if lacks.is_empty() {
        let named =
            |(name, _): &(&str, u32)| format!("{name} {}", survey.version(name).unwrap_or(0));
        Finding::ok(
            "wayland",
            format!("a window can be opened: {}", names(NEEDED.iter().map(named).collect())),
        )
    } else {
        let named = |(name, least): &&(&str, u32)| format!("{name} (version {least} or later)");
        let says = format!("the compositor has no {}", names(lacks.iter().map(named).collect()));
        let means = "It is none for desktops: view has no window there; dump works without one.";
        Finding::fail("wayland", says, START).means(means)
    });
    findings.extend(dmabufs(survey));
    let (has, lacks): (Vec<_>, Vec<_>) =
        WANTED.iter().partition(|(name, _)| survey.version(name).is_some());
    let named = |(name, _): &(&str, &str)| format!("{name} {}", survey.version(name).unwrap_or(0));
    if !has.is_empty() {
        let says = format!("also has {}", names(has.into_iter().map(named).collect()));
        findings.push(Finding::ok("protocols", says));
    }
    for (name, lost) in lacks {
        let says = format!("no {name}");
        let finding = match *name {
            "wl_seat" | "wp_viewporter" => Finding::warn("protocols", says, NEWER),
            _ => Finding::info("protocols", says),
        };
        findings.push(finding.means(*lost));
    }
    findings
}

fn dmabufs(survey: &Survey) -> Vec<Finding> {
    let copied = "Each frame is copied.";
    let Some(version) = survey.version(DMABUF) else {
        return vec![
            Finding::warn("linux-dmabuf", format!("no {DMABUF}"), BY_GPU)
                .means(format!("{copied} Compositors have it where they draw with a GPU.")),
        ];
    };
    if version < 3 {
        let says = format!("{DMABUF} is only version {version}");
        return vec![
            Finding::warn("linux-dmabuf", says, NEWER).means(format!("Needs version 3. {copied}")),
        ];
    }
    let taken = |format: &Format| survey.takes(*format, Modifier::LINEAR);
    let words = |formats: Vec<&Format>| {
        formats.into_iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
    };
    let (takes, refuses): (Vec<_>, Vec<_>) = FORMATS.iter().partition(|format| taken(format));
    let mut findings = Vec::new();
    if !takes.is_empty() {
        let says = format!("{DMABUF} {version} takes linear {}", words(takes));
        findings.push(Finding::ok("formats", says));
    }
    if !refuses.is_empty() {
        let says = format!("{DMABUF} {version} takes no linear {}", words(refuses));
        let means = format!("Where a guest draws in one of these: {}", copied.to_lowercase());
        findings.push(Finding::warn("formats", says, BY_GPU).means(means));
    }
    findings
}
