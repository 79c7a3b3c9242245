//! Names of `org.qemu.Display1` and of D-Bus itself.

pub(super) const BUS_NAME: &str = "org.qemu";
pub(super) const VM_PATH: &str = "/org/qemu/Display1/VM";
pub(super) const VM: &str = "org.qemu.Display1.VM";
pub(super) const CONSOLE_PATH: &str = "/org/qemu/Display1/Console_";
pub(super) const CONSOLE: &str = "org.qemu.Display1.Console";
pub(super) const KEYBOARD: &str = "org.qemu.Display1.Keyboard";
pub(super) const MOUSE: &str = "org.qemu.Display1.Mouse";
/// Since QEMU 8.1.
pub(super) const MULTI_TOUCH: &str = "org.qemu.Display1.MultiTouch";
pub(super) const AUDIO_PATH: &str = "/org/qemu/Display1/Audio";
pub(super) const AUDIO: &str = "org.qemu.Display1.Audio";
/// What QEMU calls on us, over other private connections.
pub(super) const AUDIO_OUT_PATH: &str = "/org/qemu/Display1/AudioOutListener";
pub(super) const AUDIO_OUT: &str = "org.qemu.Display1.AudioOutListener";
pub(super) const AUDIO_IN_PATH: &str = "/org/qemu/Display1/AudioInListener";
pub(super) const AUDIO_IN: &str = "org.qemu.Display1.AudioInListener";
/// Both ends have one.
pub(super) const CLIPBOARD_PATH: &str = "/org/qemu/Display1/Clipboard";
pub(super) const CLIPBOARD: &str = "org.qemu.Display1.Clipboard";

/// The guest's graphics device has no such thing.
pub(super) const UNSUPPORTED: &str = "org.qemu.Display1.Error.Unsupported";

/// What QEMU calls on us, over the private connection.
pub(super) const LISTENER_PATH: &str = "/org/qemu/Display1/Listener";
pub(super) const LISTENER: &str = "org.qemu.Display1.Listener";
/// Since QEMU 9.2.
pub(super) const MAP: &str = "org.qemu.Display1.Listener.Unix.Map";
/// Since QEMU 10.1.
pub(super) const DMABUF2: &str = "org.qemu.Display1.Listener.Unix.ScanoutDMABUF2";

pub(super) const DBUS: &str = "org.freedesktop.DBus";
pub(super) const DBUS_PATH: &str = "/org/freedesktop/DBus";
pub(super) const PROPERTIES: &str = "org.freedesktop.DBus.Properties";
pub(super) const PEER: &str = "org.freedesktop.DBus.Peer";
pub(super) const INTROSPECTABLE: &str = "org.freedesktop.DBus.Introspectable";

pub(super) const INVALID_ARGS: &str = "org.freedesktop.DBus.Error.InvalidArgs";
pub(super) const UNKNOWN_METHOD: &str = "org.freedesktop.DBus.Error.UnknownMethod";
pub(super) const UNKNOWN_OBJECT: &str = "org.freedesktop.DBus.Error.UnknownObject";
pub(super) const UNKNOWN_INTERFACE: &str = "org.freedesktop.DBus.Error.UnknownInterface";
pub(super) const UNKNOWN_PROPERTY: &str = "org.freedesktop.DBus.Error.UnknownProperty";
pub(super) const FAILED: &str = "org.freedesktop.DBus.Error.Failed";
