//! What a desktop learns of Fanlight before it runs: its entry, its description, its icon, judged by the
//! desktop's own programs. Where they aren't installed it is skipped.
#![allow(missing_docs)]

use std::path::Path;
use std::process::{Command, ExitCode};

use libtest_mimic::{Arguments, Failed, Trial};

const ENTRY: &str = "data/fanlight.desktop";
const METAINFO: &str = "data/fanlight.metainfo.xml";
const ICON: &str = "data/fanlight.svg";
/// The project has no domain to be named after, and no page there, which is no fault.
const NO_DOMAIN: &str = "--override=cid-desktopapp-is-not-rdns=info,url-homepage-missing=info";
/// Before AppStream 1.0 nobody asked for a page, or knows what that is.
const NO_DOMAIN_BEFORE: &str = "--override=cid-desktopapp-is-not-rdns=info";

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let trials = [
        judged("the_desktop_entry_is_valid", "desktop-file-validate", &[&[ENTRY]]),
        judged(
            "the_metainfo_is_valid",
            "appstreamcli",
            &[
                &["validate", "--no-net", NO_DOMAIN, METAINFO],
                &["validate", "--no-net", NO_DOMAIN_BEFORE, METAINFO],
            ],
        ),
        Trial::test("they_name_the_same_program_and_icon", same),
    ];
    libtest_mimic::run(&arguments, trials.into()).exit_code()
}

/// Whether a program is content, where it is installed; in one of the ways in which its versions are asked.
fn judged(name: &'static str, program: &'static str, ways: &'static [&'static [&str]]) -> Trial {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let there = std::env::split_paths(&path).any(|folder| folder.join(program).is_file());
    if !there {
        println!("SKIP {name}: {program} is not installed");
    }
    let run = move || {
        let mut said = String::new();
        for way in ways {
            let folder = env!("CARGO_MANIFEST_DIR");
            let judge = Command::new(program).args(*way).current_dir(folder).output()?;
            if judge.status.success() {
                return Ok(());
            }
            said += &String::from_utf8_lossy(&[judge.stdout, judge.stderr].concat());
        }
        Err(said.into())
    };
    Trial::test(name, run).with_ignored_flag(!there)
}

/// A window finds its entry and its icon by the name that it says: that of the files.
fn same() -> Result<(), Failed> {
    let read = |file| std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file));
    let (entry, metainfo) = (read(ENTRY)?, read(METAINFO)?);
    for line in ["Icon=fanlight", "Exec=fanlight view", "StartupWMClass=fanlight"] {
        assert!(entry.lines().any(|found| found == line), "no {line}");
    }
    for element in [r#"<launchable type="desktop-id">fanlight.desktop<"#, "<id>fanlight<"] {
        assert!(metainfo.contains(element), "no {element}");
    }
    assert!(read(ICON)?.contains("</svg>"));
    #[cfg(feature = "wayland")]
    assert_eq!(fanlight::sink::wayland::WindowOptions::default().app_id, "fanlight");
    Ok(())
}
