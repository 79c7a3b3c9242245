//! Tests in a process of their own: they count what the process has, or take from it what others need.

use std::process::Command;

const ALONE: &str = "FANLIGHT_TEST_ALONE";

/// Runs `test` in a process of its own. `module` and `name` are the calling test's.
pub(crate) fn alone(module: &str, name: &str, test: impl FnOnce()) {
    alone_with(module, name, &[], test);
}

/// The same with these variables in its environment.
pub(crate) fn alone_with(
    module: &str,
    name: &str,
    environment: &[(&str, &str)],
    test: impl FnOnce(),
) {
    if std::env::var_os(ALONE).is_some() {
        return test();
    }
    // Tests are named without their crate.
    let path = match module.split_once("::") {
        Some((_, module)) => format!("{module}::{name}"),
        None => name.to_owned(),
    };
    let me = std::env::current_exe().unwrap();
    let mut command = Command::new(me);
    command.args(["--exact", &path, "--nocapture"]).env(ALONE, "1");
    let output = command.envs(environment.iter().copied()).output().unwrap();
    let [said, complained] = [&output.stdout, &output.stderr].map(|s| String::from_utf8_lossy(s));
    // That it was skipped counts where it is read.
    let lines = said.lines().chain(complained.lines());
    lines.filter(|line| line.starts_with("SKIP ")).for_each(|line| println!("{line}"));
    // Marked, so that its verdict isn't read as one of ours.
    let lines = said.lines().chain(complained.lines()).map(|line| format!("| {line}\n"));
    let good = output.status.success() && said.contains("1 passed");
    assert!(good, "{path}:\n{}", lines.collect::<String>());
}

/// Open fds of this process, and its mappings of files; others are the allocator's business.
pub(crate) fn open_now() -> (usize, usize) {
    let fds = std::fs::read_dir("/proc/self/fd").unwrap().count();
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    let inode = |line: &&str| line.split_whitespace().nth(4).is_some_and(|inode| inode != "0");
    (fds, maps.lines().filter(inode).count())
}
