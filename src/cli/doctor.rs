//! `fanlight doctor`: what this machine can do for the viewer, and what to do about what it can't.

mod compositor;
mod drm;
mod kernel;
mod machines;
mod program;
mod report;

use clap::Args;
use serde_json::{Value, json};

use super::exit::{Failure, print};
use crate::source::Uri;

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  fanlight doctor                             all that matters here
  fanlight doctor qmp:/run/vm.sock            and whether this virtual machine can be seen
  fanlight doctor --json | jq '.findings[] | select(.verdict == \"warn\")'

ok: nothing to do. info: something is not there that not everybody wants. warn: it works, but not as well
as it could. fail: view or dump can't work. Exit code 1 if something fails. What helps against a warn or a fail
stands below it: commands, or after a # what no command does.

Nothing is changed, and no guest is watched.")]
pub(super) struct DoctorArgs {
    /// Also look at this virtual machine: qemu:NAME-or-UUID, qmp:/path/to/qmp.sock, libvirt:DOMAIN, scanout:/path/to.sock
    #[arg(value_name = "URI")]
    uri: Option<String>,
    /// Print an object: fanlight (the version), works, and findings, an array of objects: subject, check, verdict, says,
    /// means and remedy (null where there is nothing to say); a remedy's lines are commands, or begin with #
    #[arg(long)]
    json: bool,
}

/// How serious a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Ok,
    Info,
    Warn,
    Fail,
}

impl Verdict {
    fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Info => "info",
            Self::Warn => "warn",
            Self::Fail => "fail",
        }
    }
}

/// What one check has found.
#[derive(Debug)]
struct Finding {
    /// Its name, for scripts.
    check: &'static str,
    verdict: Verdict,
    /// What is.
    says: String,
    /// What that means for the user.
    means: Option<String>,
    /// What can be done about it: commands, a line each; a line that begins with # says what no command does.
    remedy: Option<String>,
}

impl Finding {
    fn new(check: &'static str, verdict: Verdict, says: impl Into<String>) -> Self {
        Self { check, verdict, says: says.into(), means: None, remedy: None }
    }

    fn ok(check: &'static str, says: impl Into<String>) -> Self {
        Self::new(check, Verdict::Ok, says)
    }

    fn info(check: &'static str, says: impl Into<String>) -> Self {
        Self::new(check, Verdict::Info, says)
    }

    /// There is always something to be done about these.
    fn warn(check: &'static str, says: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::new(check, Verdict::Warn, says).remedy(remedy)
    }

    fn fail(check: &'static str, says: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::new(check, Verdict::Fail, says).remedy(remedy)
    }

    fn means(self, means: impl Into<String>) -> Self {
        Self { means: Some(means.into()), ..self }
    }

    fn remedy(self, remedy: impl Into<String>) -> Self {
        Self { remedy: Some(remedy.into()), ..self }
    }

    fn as_json(&self, subject: &str) -> Value {
        let Self { check, verdict, says, means, remedy } = self;
        let verdict = verdict.word();
        json!({
            "subject": subject, "check": check, "verdict": verdict,
            "says": says, "means": means, "remedy": remedy,
        })
    }
}

/// Looks at one subject.
type Check<'a> = &'a dyn Fn() -> Vec<Finding>;

pub(super) fn run(args: &DoctorArgs) -> Result<(), Failure> {
    let uri: Option<Uri> =
        args.uri.as_ref().map(|uri| uri.parse().map_err(Failure::usage)).transpose()?;
    let subjects: [(&str, &str, Check<'_>); 5] = [
        ("kernel", "Kernel", &kernel::check),
        ("gpu", "GPU", &drm::check),
        ("compositor", "Compositor", &compositor::check),
        ("machines", "Virtual machines", &|| machines::check(uri.as_ref())),
        ("programs", "Other programs", &program::check),
    ];
    let mut all = Vec::new();
    let mut works = true;
    let mut out = report::Out::new();
    for (subject, heading, check) in subjects {
        let findings = check();
        works &= findings.iter().all(|finding| finding.verdict != Verdict::Fail);
        if args.json {
            all.extend(findings.iter().map(|finding| finding.as_json(subject)));
        } else {
            print(out.subject(heading, &findings).trim_end())?;
        }
    }
    if args.json {
        let version = env!("CARGO_PKG_VERSION");
        print(json!({ "fanlight": version, "works": works, "findings": all }))?;
    }
    if works { Ok(()) } else { Err(Failure::found()) }
}
