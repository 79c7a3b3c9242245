//! What the tests start: a bus, QEMU, a compositor.
