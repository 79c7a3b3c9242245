//! `cargo rig test`: the house's checks and the workspace's tests on the host, the plugin's in the root, then the end-to-end tests in the VM.

use crate::cache;
use crate::compile::{self, products};
use crate::error::{Context as _, Error, Result};
use crate::kvm::Accel;
use crate::machine::{Job, Machine};
use crate::plugin;
use crate::progress::{self, Log, say};
use crate::root::Root;
use crate::tally::{Reader, Tally};
use std::env;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

/// A bound on each program of tests on the host.
const HOST_LIMIT: Duration = Duration::from_secs(20 * 60);
/// A bound on all end-to-end tests, which have their own.
const LIMIT: Duration = Duration::from_secs(55 * 60);
const LONG_LIMIT: Duration = Duration::from_secs(3 * 60 * 60);

#[derive(Debug)]
pub(crate) struct Suite {
    pub(crate) long: bool,
    pub(crate) filter: Option<String>,
}

/// All that there is to test on the host; none of it needs more than Rust to be built.
const FEATURES: &str = "fanlight/full";

/// Whether the code is in good order: name, cargo's arguments, the component that it needs.
const CHECKS: [(&str, &[&str], Option<&str>); 3] = [
    ("fmt", &["fmt", "--all", "--check"], Some("cargo-fmt")),
    (
        "clippy",
        &[
            "clippy",
            "--workspace",
            "--exclude",
            plugin::PACKAGE,
            "--all-targets",
            "--features",
            FEATURES,
            "--locked",
            "--",
            "-D",
            "warnings",
        ],
        Some("cargo-clippy"),
    ),
    (
        "doc",
        &[
            "doc",
            "--workspace",
            "--exclude",
            plugin::PACKAGE,
            "--no-deps",
            "--document-private-items",
            "--features",
            FEATURES,
            "--locked",
        ],
        None,
    ),
];

impl Suite {
    /// Runs it and returns the sum. What can't be run at all is a failure too, and the rest goes on.
    pub(crate) fn run(&self) -> Tally {
        let mut tally = Tally::default();
        for (name, arguments, component) in CHECKS {
            if self.wants(name) {
                tally.add(or_failure(name, check(name, arguments, component)));
            }
        }
        let programs = match host_programs() {
            Ok(programs) => programs,
            Err(error) => {
                tally.add(or_failure("the workspace's tests", Err(error)));
                return tally;
            }
        };
        for program in programs.iter().filter(|program| program.name != "e2e") {
            let command = program.command(&self.arguments());
            tally.add(or_failure(&program.name, self.run_here(&program.name, command, false)));
        }
        tally.add(or_failure("doc tests", self.doc_tests()));
        tally.add(or_failure("the plugin's tests", self.plugin()));
        if let Some(e2e) = programs.iter().find(|program| program.name == "e2e") {
            tally.add(or_failure(
                "e2e",
                self.matches_any(e2e)
                    .and_then(|any| if any { self.in_machine() } else { Ok(Tally::default()) }),
            ));
        }
        tally
    }

    pub(crate) fn wants(&self, name: &str) -> bool {
        self.filter.as_ref().is_none_or(|filter| name.contains(filter))
    }

    pub(crate) fn arguments(&self) -> Vec<&str> {
        // What a passing test says is shown too: it may say that it was skipped.
        self.filter.as_deref().into_iter().chain(["--show-output"]).collect()
    }

    /// Whether a program has a test that the filter names: the VM needn't boot for none.
    fn matches_any(&self, program: &Program) -> Result<bool> {
        let mut arguments = self.arguments();
        arguments.push("--list");
        let output = program
            .command(&arguments)
            .output()
            .context(|| format!("listing the tests of {}", program.name))?;
        Ok(String::from_utf8_lossy(&output.stdout).lines().any(|line| line.ends_with(": test")))
    }

    fn doc_tests(&self) -> Result<Tally> {
        let mut command = cargo();
        command.args(["test", "--doc", "--workspace", "--exclude", plugin::PACKAGE]);
        command.args(["--features", FEATURES, "--locked", "--"]);
        command.args(self.arguments());
        self.run_here("doc tests", command, true)
    }

    /// Runs a program of tests here, not in the VM; one that may hold none at all (`optional`) needn't say how it ended.
    pub(crate) fn run_here(
        &self,
        name: &str,
        mut command: Command,
        optional: bool,
    ) -> Result<Tally> {
        let log = Log::new(&name.replace([' ', '/'], "-"))?;
        command.envs(self.long_variable());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log.append()?);
        let mut child = progress::spawn(&mut command)?;
        let out = child.stdout.take().ok_or_else(|| Error::new("no output to read"))?;
        // Who asks for some wants to see which they are.
        let mut lines = Lines::new(log.append()?, self.filter.is_some());
        let ended = thread::scope(|scope| {
            scope.spawn(|| io::copy(&mut BufReader::new(out), &mut lines));
            let ended = progress::wait(&mut child, Some(HOST_LIMIT));
            if !matches!(ended, Ok(Some(_))) {
                let _ = child.kill();
            }
            ended
        })?;
        let Some(status) = ended else {
            return Err(log.failure(format!("not done after {}", progress::clock(HOST_LIMIT))));
        };
        let Lines { reader, empty, .. } = lines;
        if optional && empty && status.success() {
            log.discard();
            return Ok(Tally::default());
        }
        report(name, reader.finish(name, status.success()), log)
    }

    fn in_machine(&self) -> Result<Tally> {
        let root = Root::ready()?;
        let built = compile::build(root.path())?;
        let program =
            built.e2e.ok_or_else(|| Error::new("cargo built no program for tests/e2e.rs"))?;
        let log = Log::new("e2e")?;
        let accel = Accel::best(root.path())?;
        say("end-to-end tests in the VM");
        let limit = if self.long { LONG_LIMIT } else { LIMIT };
        let machine = Machine {
            root: root.path(),
            accel,
            limit: Some(limit),
            out: None,
            name: "e2e-machine",
        };
        let mut job = Job::new([program.as_str()].into_iter().chain(self.arguments()));
        if let Some((name, value)) = self.long_variable() {
            job = job.variable(name, value);
        }
        let mut lines = Lines::new(log.append()?, true);
        let status = machine.run(&job, &mut lines, &mut log.append()?);
        if let Err(error) = &status {
            // What was tested up to here counts; that it broke off is a failure.
            say(error);
        }
        report("e2e", lines.reader.finish("e2e", status.is_ok_and(|status| status == 0)), log)
    }

    pub(crate) fn long_variable(&self) -> Option<(&'static str, &'static str)> {
        self.long.then_some(("FANLIGHT_LONG", "1"))
    }
}

pub(crate) fn or_failure(name: &str, tally: Result<Tally>) -> Tally {
    tally.unwrap_or_else(|error| {
        say(format!("{name}: {error}"));
        Tally { failed: vec![name.into()], ..Tally::default() }
    })
}

fn cargo() -> Command {
    Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

fn check(name: &str, arguments: &[&str], component: Option<&str>) -> Result<Tally> {
    let cargo_path = PathBuf::from(env::var_os("CARGO").unwrap_or_default());
    if let Some(component) = component
        && !cargo_path.with_file_name(component).exists()
    {
        let reason = format!("this toolchain has no {component}: `rustup component add` brings it");
        return Ok(Tally { skipped: vec![(name.into(), reason)], ..Tally::default() });
    }
    let log = Log::new(name)?;
    let mut command = cargo();
    command.args(arguments).current_dir(cache::checkout()?).env("RUSTDOCFLAGS", "-D warnings");
    progress::step(name, &mut command, &log)?;
    log.discard();
    Ok(Tally { passed: 1, ..Tally::default() })
}

/// Says how a program of tests went, and keeps its log when it went badly.
fn report(name: &str, tally: Tally, log: Log) -> Result<Tally> {
    if tally != Tally::default() {
        say(format!("{name}: {tally}"));
    }
    if tally.failed.is_empty() {
        log.discard();
    } else {
        say(log.failure(format!("{name} failed:")));
    }
    Ok(tally)
}

/// A program of tests on the host.
#[derive(Debug)]
struct Program {
    name: String,
    path: PathBuf,
    /// The folder of its package, from which cargo would run it.
    package: PathBuf,
}

impl Program {
    fn command<S: AsRef<OsStr>>(&self, arguments: &[S]) -> Command {
        let mut command = Command::new(&self.path);
        command.args(arguments).current_dir(&self.package).env("CARGO_MANIFEST_DIR", &self.package);
        command
    }
}

fn host_programs() -> Result<Vec<Program>> {
    let log = Log::new("host-tests")?;
    let mut command = cargo();
    command.args([
        "test",
        "--workspace",
        "--exclude",
        plugin::PACKAGE,
        "--features",
        FEATURES,
        "--no-run",
        "--locked",
        "--message-format=json-render-diagnostics",
    ]);
    command.current_dir(cache::checkout()?);
    let messages =
        progress::step_with_output("building the workspace's tests", &mut command, &log)?;
    log.discard();
    let programs =
        products(&messages).into_iter().filter(|product| product.test).map(|product| Program {
            name: product.name.clone(),
            path: product.executable.into(),
            package: Path::new(&product.manifest).parent().unwrap_or(Path::new(".")).into(),
        });
    Ok(programs.collect())
}

/// Lines of a program of tests, read and logged as they come.
struct Lines {
    reader: Reader,
    log: File,
    /// Whether each verdict is said at once.
    aloud: bool,
    rest: Vec<u8>,
    empty: bool,
}

impl Lines {
    fn new(log: File, aloud: bool) -> Self {
        Self { reader: Reader::default(), log, aloud, rest: Vec::new(), empty: true }
    }
}

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.log.write_all(bytes)?;
        self.rest.extend(bytes);
        while let Some(end) = self.rest.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.rest.drain(..=end).collect();
            self.empty = false;
            let verdict = self.reader.line(String::from_utf8_lossy(&line).trim_end());
            if let Some(verdict) = verdict.filter(|_| self.aloud) {
                say(format!("  {verdict}"));
            }
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.log.flush()
    }
}
