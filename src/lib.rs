//! A window into a virtual machine.
