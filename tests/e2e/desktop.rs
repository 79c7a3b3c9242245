//! What a desktop learns of Fanlight before it runs, judged by the desktop's own programs, which the test
//! machine has.

use std::process::Command;

use fanlight_stage::rundir::RunDir;
use fanlight_stage::{Context, Error, Result};

/// By the names that they are installed as.
const FILES: [(&str, &str); 2] = [
    ("fanlight.desktop", include_str!("../../data/fanlight.desktop")),
    ("fanlight.metainfo.xml", include_str!("../../data/fanlight.metainfo.xml")),
];

/// The project has no domain to be named after, and no page there, which is no fault.
const NO_DOMAIN: &str = "--override=cid-desktopapp-is-not-rdns=info,url-homepage-missing=info";

pub(crate) fn files() -> Result<()> {
    let dir = RunDir::new()?;
    for (name, text) in FILES {
        let path = dir.path().join(name);
        std::fs::write(&path, text).context(format!("writing {}", path.display()))?;
    }
    let judges = [
        vec!["desktop-file-validate", "fanlight.desktop"],
        vec!["appstreamcli", "validate", "--no-net", NO_DOMAIN, "fanlight.metainfo.xml"],
    ];
    for judge in judges {
        let mut command = Command::new(judge[0]);
        command.args(&judge[1..]).current_dir(dir.path());
        let output = command.output().context(format!("starting {}", judge[0]))?;
        let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        println!("{judge:?}: {said}");
        if !output.status.success() {
            return Err(Error::new(format!("{judge:?} ends with {}: {said}", output.status)));
        }
    }
    Ok(())
}
