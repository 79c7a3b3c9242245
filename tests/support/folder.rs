//! A folder of a test's own, in which the program runs.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// Gone with the test.
pub(crate) struct Folder(tempfile::TempDir);

impl Folder {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// What is in it, in order.
    pub(crate) fn files(&self) -> Vec<String> {
        let names = fs::read_dir(self.0.path()).unwrap();
        let mut names: Vec<_> =
            names.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    /// The program, without anything of this environment.
    pub(crate) fn fanlight(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_fanlight"));
        command.current_dir(self.0.path()).env_clear().stdin(Stdio::null());
        // That there are no dma-bufs here has nothing to do with it.
        command.env("FANLIGHT_LOG", "error");
        command
    }
}
