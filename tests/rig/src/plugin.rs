//! The plugin: it is built against the root's GStreamer, so its checks and its tests run in the root too, without a VM.

use crate::cache;
use crate::compile::{Chroot, products};
use crate::error::{Context as _, Error, Result};
use crate::machine::CHECKOUT;
use crate::progress::{self, Log};
use crate::root::Root;
use crate::suite::{Suite, or_failure};
use crate::tally::Tally;
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};

pub(crate) const PACKAGE: &str = "gst-plugin-fanlight";
/// Where its sources are in the checkout.
const SOURCES: &str = "plugins/gstreamer";
/// The file that GStreamer loads.
const FILE: &str = "libgstfanlight.so";
/// Its folder, in cargo's target folder for the root. It is alone there, because GStreamer looks at all that is in one.
const FOLDER: &str = "gstreamer-1.0";

/// With what GStreamer finds it, in the chroot and in the VM. What plugins there are is kept between runs, because to
/// look at all of them takes an emulated machine long.
pub(crate) const ENVIRONMENT: [(&str, &str); 2] = [
    ("GST_PLUGIN_PATH", "/fanlight/target/rig/gstreamer-1.0"),
    ("GST_REGISTRY", "/fanlight/target/rig/gstreamer.registry"),
];
/// What its tests have instead: the plugin is linked into them. A warning of GLib's ends them.
const TESTS: [(&str, &str); 2] =
    [("G_DEBUG", "fatal-warnings"), ("GST_REGISTRY", "/fanlight/target/rig/tests.registry")];

/// Builds the plugin and its examples, and has GStreamer load it; returns what cargo said.
pub(crate) fn build(cargo: &Chroot, log: &Log) -> Result<String> {
    let arguments = ["build", "--package", PACKAGE, "--lib", "--examples"];
    let messages = cargo.run("building the GStreamer plugin", &arguments, &[], log)?;
    install(&messages)?;
    let mut variables = cargo.variables();
    variables.extend(ENVIRONMENT);
    let mut command = cargo.command(&variables, ["gst-inspect-1.0", "fanlight"]);
    progress::step("loading it", &mut command, log)?;
    Ok(messages)
}

/// Builds its bench, with everything that a release has; returns what cargo said.
pub(crate) fn build_bench(cargo: &Chroot, log: &Log) -> Result<String> {
    let arguments = ["bench", "--package", PACKAGE, "--bench", "*", "--no-run"];
    cargo.run("building the plugin's bench", &arguments, &[], log)
}

/// Puts the plugin where GStreamer looks for it.
fn install(messages: &str) -> Result<()> {
    let built = messages.lines().find_map(library);
    let built = built.ok_or_else(|| Error::new(format!("cargo built no {FILE}")))?;
    let folder = cache::target()?.join(FOLDER);
    fs::create_dir_all(&folder).context(|| format!("creating {}", folder.display()))?;
    let (new, place) = (folder.join("new"), folder.join(FILE));
    let _ = fs::remove_file(&new);
    // With its time, by which GStreamer knows whether it is another; and none sees half of it.
    let built = cache::checkout()?.join(built);
    fs::hard_link(&built, &new)
        .and_then(|()| fs::rename(&new, &place))
        .context(|| format!("linking {} to {}", built.display(), place.display()))?;
    // Nothing is renamed where it was that file already.
    let _ = fs::remove_file(&new);
    Ok(())
}

/// The plugin's file below the checkout, if a line of cargo's says that it made it.
fn library(line: &str) -> Option<PathBuf> {
    let message: Value = serde_json::from_str(line).ok()?;
    let files = message["filenames"].as_array()?.iter().filter_map(Value::as_str).map(Path::new);
    let file = files.into_iter().find(|file| file.ends_with(FILE))?;
    Some(file.strip_prefix(CHECKOUT).ok()?.to_owned())
}

impl Suite {
    /// Clippy, documentation, package and tests of the plugin, in the root.
    pub(crate) fn plugin(&self) -> Result<Tally> {
        let tests = match &self.filter {
            Some(filter) => mentions(&cache::checkout()?.join(SOURCES), filter)?,
            None => true,
        };
        let checks = ["clippy-plugin", "doc-plugin", "package-plugin"].map(|name| self.wants(name));
        let mut tally = Tally::default();
        if !tests && checks == [false; 3] {
            return Ok(tally);
        }
        let root = Root::ready()?;
        let log = Log::new("plugin")?;
        let cargo = Chroot::ready(root.path(), &log)?;
        if checks[0] {
            tally.add(or_failure("clippy-plugin", clippy(&cargo)));
        }
        if checks[1] {
            tally.add(or_failure("doc-plugin", doc(&cargo)));
        }
        if checks[2] {
            tally.add(if self.long {
                or_failure("package-plugin", package(&cargo))
            } else {
                skipped("package-plugin", "only with --long")
            });
        }
        if tests {
            tally.add(self.tests(&cargo, &log)?);
        }
        log.discard();
        Ok(tally)
    }

    fn tests(&self, cargo: &Chroot, log: &Log) -> Result<Tally> {
        let arguments = ["test", "--package", PACKAGE, "--tests", "--no-run"];
        let messages = cargo.run("building the plugin's tests", &arguments, &[], log)?;
        let package = format!("{CHECKOUT}/{SOURCES}");
        let mut variables = cargo.variables();
        variables.extend(TESTS);
        variables.extend(self.long_variable());
        variables.push(("CARGO_MANIFEST_DIR", &package));
        let mut tally = Tally::default();
        for program in products(&messages).into_iter().filter(|product| product.test) {
            let mut argv = vec![program.executable.as_str()];
            argv.extend(self.arguments());
            let command = cargo.command_in(&package, &variables, argv);
            tally.add(or_failure(&program.name, self.run_here(&program.name, command, false)));
        }
        let mut argv = vec!["cargo", "test", "--doc", "--package", PACKAGE, "--locked", "--"];
        argv.extend(self.arguments());
        let command = cargo.command(&variables, argv);
        let name = "doc tests of the plugin";
        tally.add(or_failure(name, self.run_here(name, command, true)));
        Ok(tally)
    }
}

fn clippy(cargo: &Chroot) -> Result<Tally> {
    let Some(program) = cargo.tool("cargo-clippy") else {
        let reason = "this toolchain has no cargo-clippy: `rustup component add` brings it";
        return Ok(skipped("clippy-plugin", reason));
    };
    // By itself, because cargo would take the one of its home, which is rustup's.
    let arguments = ["clippy", "--package", PACKAGE, "--all-targets", "--locked", "--"];
    let argv = [program.as_str()].into_iter().chain(arguments).chain(["-D", "warnings"]);
    check("clippy-plugin", cargo, &cargo.variables(), argv)
}

fn doc(cargo: &Chroot) -> Result<Tally> {
    let argv =
        ["cargo", "doc", "--package", PACKAGE, "--no-deps", "--document-private-items", "--locked"];
    let mut variables = cargo.variables();
    variables.push(("RUSTDOCFLAGS", "-D warnings"));
    check("doc-plugin", cargo, &variables, argv)
}

/// Installs it as the README says, but below a folder of its own, as packages are made, and has GStreamer load it from
/// there.
fn package(cargo: &Chroot) -> Result<Tally> {
    let log = Log::new("package-plugin")?;
    // So that none of an earlier run is taken for it.
    let folder = cache::target()?.join("package");
    if folder.exists() {
        cache::remove(&folder)?;
    }
    let below = format!("{CHECKOUT}/target/rig/package");
    let libraries = "/usr/lib/x86_64-linux-gnu";
    let install = ["cargo", "cinstall", "--package", PACKAGE, "--locked", "--prefix=/usr"];
    let folders = [format!("--libdir={libraries}"), format!("--destdir={below}")];
    let argv = install.into_iter().chain(folders.iter().map(String::as_str));
    progress::step("package-plugin", &mut cargo.command(&cargo.variables(), argv), &log)?;
    let plugins = format!("{below}{libraries}/{FOLDER}");
    let mut variables = cargo.variables();
    variables.extend([
        ("GST_PLUGIN_PATH", plugins.as_str()),
        ("GST_REGISTRY", "/fanlight/target/rig/package.registry"),
    ]);
    let mut command = cargo.command(&variables, ["gst-inspect-1.0", "fanlightsrc"]);
    progress::step("loading what was packaged", &mut command, &log)?;
    log.discard();
    Ok(Tally { passed: 1, ..Tally::default() })
}

fn skipped(name: &str, reason: &str) -> Tally {
    Tally { skipped: vec![(name.into(), reason.into())], ..Tally::default() }
}

fn check<'a>(
    name: &str,
    cargo: &Chroot,
    variables: &[(&str, &str)],
    argv: impl IntoIterator<Item = &'a str>,
) -> Result<Tally> {
    let log = Log::new(name)?;
    progress::step(name, &mut cargo.command(variables, argv), &log)?;
    log.discard();
    Ok(Tally { passed: 1, ..Tally::default() })
}

/// Whether a test below `folder` may have `filter` in its name. To know it for certain they'd have to be built.
fn mentions(folder: &Path, filter: &str) -> Result<bool> {
    // Of a path it's the test's own name that its file has.
    let word = filter.rsplit("::").find(|word| !word.is_empty()).unwrap_or(filter);
    for entry in fs::read_dir(folder).context(|| format!("reading {}", folder.display()))? {
        let path = entry.context(|| format!("reading {}", folder.display()))?.path();
        let named = path.file_name().is_some_and(|name| name.to_string_lossy().contains(word));
        let found = if path.is_dir() {
            named || mentions(&path, filter)?
        } else {
            named || fs::read_to_string(&path).is_ok_and(|text| text.contains(word))
        };
        if found {
            return Ok(true);
        }
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_plugins_file_is_taken_from_cargos_messages() {
        let line = r#"{"reason":"compiler-artifact","filenames":["/fanlight/target/rig/debug/libgstfanlight.so","/fanlight/target/rig/debug/libgstfanlight.rlib"]}"#;
        assert_eq!(library(line), Some("target/rig/debug/libgstfanlight.so".into()));
        assert_eq!(library(r#"{"filenames":["/fanlight/target/rig/debug/x.rlib"]}"#), None);
        assert_eq!(library("not json"), None);
    }

    #[test]
    fn tests_are_looked_for_by_their_names_and_their_files() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
        for filter in ["tests_are_looked_for", "plugin::tests::tests_are_looked_for", "plugin"] {
            assert!(mentions(&folder, filter).unwrap(), "{filter}");
        }
        let nowhere = ["no_such", "_test_at_all"].concat();
        assert!(!mentions(&folder, &nowhere).unwrap());
    }

    #[test]
    fn gstreamer_looks_where_the_plugin_is_put() {
        assert_eq!(ENVIRONMENT[0].1, format!("{CHECKOUT}/target/rig/{FOLDER}"));
    }
}
