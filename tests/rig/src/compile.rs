//! Builds this checkout in the chroot, against the root's libraries, with the host's toolchain and crates.

use crate::cache;
use crate::crates;
use crate::error::{Context as _, Error, Result};
use crate::machine::CHECKOUT;
use crate::plugin;
use crate::progress::{self, Log};
use crate::sandbox::Sandbox;
use serde_json::Value;
use std::env;
use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The features of the program beyond its default ones.
const FEATURES: &str = "full";
/// The target of the guests' own programs: with libc in them, because nothing else is in their initramfs.
const GUEST_TARGET: &str = "x86_64-unknown-linux-gnu";

/// Everything that the tests start, built.
#[derive(Debug)]
pub(crate) struct Built {
    /// The end-to-end tests, as the VM sees them.
    pub(crate) e2e: Option<String>,
}

/// A program that cargo made.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Product {
    /// The name of its target.
    pub(crate) name: String,
    /// Whether it is its target's tests.
    pub(crate) test: bool,
    pub(crate) executable: String,
    /// The Cargo.toml of its package.
    pub(crate) manifest: String,
}

/// Builds the program, the plugin, the guests, the stage and the end-to-end tests, and lets the stage prepare the guests' images.
pub(crate) fn build(root: &Path) -> Result<Built> {
    let log = Log::new("build")?;
    let cargo = Chroot::ready(root, &log)?;
    // In one go, and whatever for: what the tests need gives crates more features, and a second go would build them again.
    let mut arguments = vec!["build", "--package", "fanlight", "--package", "fanlight-stage"];
    arguments.extend(["--features", FEATURES, "--bins", "--test", "e2e"]);
    let what = "building fanlight, the stage and the end-to-end tests";
    let messages = cargo.run(what, &arguments, &[], &log)?;
    // By itself, with the features that it has when it is installed.
    let of_the_plugin = plugin::build(&cargo, &log)?;
    crates::keep(root, &cargo.toolchain, &[&messages, &of_the_plugin], &log)?;
    let products = products(&messages);
    let guests = ["build", "--package", "fanlight-guests", "--target", GUEST_TARGET];
    let linked_in = [("RUSTFLAGS", "-C target-feature=+crt-static")];
    cargo.run("building the guests' programs", &guests, &linked_in, &log)?;
    let stage = format!("{CHECKOUT}/target/rig/debug/stage");
    let mut command = cargo.command(&cargo.variables(), [&stage, "prepare"]);
    progress::step("preparing the guests' images", &mut command, &log)?;
    log.discard();
    let e2e = products.into_iter().find(|product| product.test && product.name == "e2e");
    Ok(Built { e2e: e2e.map(|product| product.executable) })
}

/// Builds the benches, with everything that a release has; returns where the VM sees them.
pub(crate) fn build_benches(root: &Path) -> Result<Vec<String>> {
    let log = Log::new("benches")?;
    let cargo = Chroot::new(root)?;
    cargo.fetch(&log)?;
    let arguments =
        ["bench", "--package", "fanlight", "--bench", "*", "--no-run", "--features", FEATURES];
    let messages = cargo.run("building the benches", &arguments, &[], &log)?;
    let of_the_plugin = plugin::build_bench(&cargo, &log)?;
    log.discard();
    // The program is built too, because a bench might want to start it.
    let benches = products(&messages).into_iter().chain(products(&of_the_plugin));
    Ok(benches.filter(|product| product.test).map(|product| product.executable).collect())
}

/// Builds the program that the self-check runs in the VM.
pub(crate) fn build_selfcheck(root: &Path, log: &Log) -> Result<()> {
    let cargo = Chroot::new(root)?;
    cargo.fetch(log)?;
    let arguments = ["build", "--package", "fanlight-rig", "--bin", "selfcheck"];
    cargo.run("building the self-check", &arguments, &[], log).map(drop)
}

/// Cargo in the root.
#[derive(Debug)]
pub(crate) struct Chroot {
    sandbox: Sandbox,
    toolchain: PathBuf,
}

impl Chroot {
    fn new(root: &Path) -> Result<Self> {
        let checkout = cache::checkout()?;
        cache::target()?;
        let toolchain = toolchain()?;
        let sandbox = Sandbox::new(root)
            .bind(&checkout, CHECKOUT)
            .bind(&cargo_home()?, "/cargo")
            .bind_read_only(&toolchain, "/toolchain");
        Ok(Self { sandbox, toolchain })
    }

    /// With the crates that it needs, and those that others have built.
    pub(crate) fn ready(root: &Path, log: &Log) -> Result<Self> {
        let cargo = Self::new(root)?;
        cargo.fetch(log)?;
        crates::lend(root, &cargo.toolchain, log)?;
        Ok(cargo)
    }

    /// A program of the toolchain, as the chroot sees it; none where the toolchain hasn't it.
    pub(crate) fn tool(&self, name: &str) -> Option<String> {
        let there = self.toolchain.join("bin").join(name).exists();
        there.then(|| format!("/toolchain/bin/{name}"))
    }

    /// A command in the checkout.
    pub(crate) fn command<S: AsRef<OsStr>>(
        &self,
        variables: &[(&str, &str)],
        argv: impl IntoIterator<Item = S>,
    ) -> Command {
        self.command_in(CHECKOUT, variables, argv)
    }

    /// A command in a folder of the chroot's.
    pub(crate) fn command_in<S: AsRef<OsStr>>(
        &self,
        folder: &str,
        variables: &[(&str, &str)],
        argv: impl IntoIterator<Item = S>,
    ) -> Command {
        let enter = "cd \"$1\" && shift && exec \"$@\"";
        let mut command = self.sandbox.command(variables, ["/bin/sh", "-c", enter, "sh", folder]);
        command.args(argv);
        command
    }

    pub(crate) fn variables(&self) -> Vec<(&'static str, &'static str)> {
        vec![
            ("PATH", "/toolchain/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"),
            ("CARGO_HOME", "/cargo"),
            ("CARGO_NET_OFFLINE", "true"),
            ("CARGO_TARGET_DIR", "/fanlight/target/rig"),
            // Emulated, unoptimised code is too slow; the checks of a debug build are wanted all the same.
            ("CARGO_PROFILE_DEV_OPT_LEVEL", "1"),
            ("CARGO_TERM_COLOR", "never"),
        ]
    }

    /// The chroot reaches no network, so the host gets the crates.
    fn fetch(&self, log: &Log) -> Result<()> {
        let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        command.args(["fetch", "--locked"]).current_dir(cache::checkout()?);
        progress::step("fetching crates", &mut command, log)
    }

    /// Runs cargo in the chroot: what it says, as JSON lines.
    pub(crate) fn run(
        &self,
        what: &str,
        arguments: &[&str],
        more: &[(&str, &str)],
        log: &Log,
    ) -> Result<String> {
        let mut variables = self.variables();
        variables.extend(more);
        let mut argv = vec!["cargo"];
        argv.extend(arguments);
        argv.extend(["--locked", "--message-format=json-render-diagnostics"]);
        let mut command = self.command(&variables, argv);
        progress::step_with_output(what, &mut command, log)
    }
}

/// The executables that cargo's messages name.
pub(crate) fn products(messages: &str) -> Vec<Product> {
    let product = |line: &str| {
        let message: Value = serde_json::from_str(line).ok()?;
        Some(Product {
            name: message["target"]["name"].as_str()?.into(),
            test: message["profile"]["test"].as_bool()?,
            executable: message["executable"].as_str()?.into(),
            manifest: message["manifest_path"].as_str()?.into(),
        })
    };
    messages.lines().filter_map(product).collect()
}

fn cargo_home() -> Result<PathBuf> {
    let home = env::var_os("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(|| env::var_os("HOME").map(|home| PathBuf::from(home).join(".cargo")))
        .ok_or_else(|| {
            Error::new("neither CARGO_HOME nor HOME is set, so cargo's crates can't be found")
        })?;
    home.canonicalize().context(|| format!("finding cargo's home {}", home.display()))
}

/// The toolchain that runs the rig. Rust's own ones run on any Linux; a distribution's needs its distribution.
fn toolchain() -> Result<PathBuf> {
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = Command::new(rustc).args(["--print", "sysroot"]).stderr(Stdio::inherit()).output();
    let output = output.context(|| "asking rustc for its folder")?;
    let path = PathBuf::from(String::from_utf8_lossy(&output.stdout).trim());
    if !output.status.success() || path == Path::new("/usr") || !path.join("bin/cargo").exists() {
        return Err(Error::new(format!(
            "the toolchain in {} can't be used in the root: install one with rustup, and run the rig with it",
            path.display()
        )));
    }
    Ok(path)
}

/// A shell in the chroot instead of the VM.
pub(crate) fn shell(root: &Path) -> Result<u8> {
    let cargo = Chroot::new(root)?;
    let term = env::var("TERM").unwrap_or_else(|_| "dumb".into());
    let mut variables = cargo.variables();
    variables.push(("TERM", &term));
    variables.extend(plugin::ENVIRONMENT);
    let status = cargo
        .command(&variables, ["bash"])
        .status()
        .map_err(|error: io::Error| Error::new(format!("starting the shell: {error}")))?;
    Ok(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(crate::error::FAILED))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn executables_are_taken_from_cargos_messages() {
        let messages = r#"{"reason":"compiler-artifact","target":{"name":"fanlight"},"profile":{"test":false},"executable":null}
{"reason":"compiler-artifact","manifest_path":"/p/Cargo.toml","target":{"name":"e2e"},"profile":{"test":true},"executable":"/t/e2e-1"}
not json
{"reason":"build-finished","success":true}"#;
        let [name, executable, manifest] = ["e2e", "/t/e2e-1", "/p/Cargo.toml"].map(str::to_owned);
        assert_eq!(products(messages), [Product { name, test: true, executable, manifest }]);
    }
}
