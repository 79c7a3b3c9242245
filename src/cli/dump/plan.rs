//! What was asked for, checked before the guest is touched.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::super::diff::Wanted;
use super::super::exit::Failure;
use super::super::whole;
use super::files::Files;
use super::format::Format;
use super::manifest::Manifest;
use super::pace::{Every, VIDEO};
use super::{DumpArgs, Frames};
use crate::capture::{CaptureOptions, Condition, Likeness, Picture, WhenFull};
use crate::frame::Rect;
use crate::source::Uri;

/// How long a guest is held back until its frame is read and there is room for it: QEMU waits a second.
const HOLD: Duration = Duration::from_millis(900);

pub(super) struct Plan {
    pub(super) uri: Uri,
    pub(super) options: CaptureOptions,
    pub(super) waits: Vec<Condition>,
    pub(super) every: Every,
    /// What counts as a change.
    pub(super) change: Condition,
    pub(super) frames: Frames,
    pub(super) files: Option<Files>,
    pub(super) expected: Option<Expected>,
    /// Made, and empty.
    pub(super) manifest: Option<Manifest>,
    /// Whether the standard output is taken.
    pub(super) stdout: bool,
}

impl Plan {
    pub(super) fn make(args: &DumpArgs) -> Result<Self, Failure> {
        let uri = args.uri.parse().map_err(Failure::usage)?;
        let output = args.output.as_deref();
        let format = output.and_then(|output| Format::asked(output, args.format));
        let video = format.is_some_and(Format::is_video);
        let frames = args.frames.unwrap_or(if video { Frames::All } else { Frames::Some(1) });
        let many = frames != Frames::Some(1);
        let files = output.map(|output| Files::new(output, many, args.format)).transpose()?;
        let likeness = args.likeness.read()?;
        let masked = |condition: Condition| match &likeness.mask {
            Some(mask) => condition.masked(mask.clone()),
            None => condition,
        };
        let waits = args.wait.iter().map(|text| {
            let condition = masked(Condition::parse(text)?);
            condition.suits().map_err(Failure::usage)?;
            Ok(condition)
        });
        let waits = waits.collect::<Result<Vec<_>, Failure>>()?;
        let change = Condition::change();
        let change = masked(args.crop.map_or(change.clone(), |crop| change.within(crop)));
        let expected = Expected::read(args, likeness)?;
        let stdout = Self::stdout(args, files.as_ref())?;
        let options = CaptureOptions {
            ack_deadline: match args.drop {
                true => args.common.ack_deadline(),
                false => args.common.ack_deadline().max(HOLD),
            },
            cursor: args.cursor,
            when_full: if args.drop { WhenFull::Drop } else { WhenFull::Wait },
            ..CaptureOptions::default()
        };
        let every = args.every.unwrap_or(if video { Every::Time(VIDEO) } else { Every::Update });
        // The last thing: what was in it before is gone then.
        let manifest = args.manifest.as_deref().map(Manifest::create).transpose()?;
        Ok(Self { uri, options, waits, every, change, frames, files, expected, manifest, stdout })
    }

    /// Whether the standard output is taken; no two may have it.
    fn stdout(args: &DumpArgs, files: Option<&Files>) -> Result<bool, Failure> {
        let manifest = args.manifest.as_deref().is_some_and(|path| path.as_os_str() == "-");
        let uses = [
            ("-o -", files.is_some_and(Files::is_stdout)),
            ("--manifest -", manifest),
            ("--hash", args.hash),
        ];
        let mut uses = uses.into_iter().filter(|(_, used)| *used).map(|(name, _)| name);
        match (uses.next(), uses.next()) {
            (Some(one), Some(other)) => Err(Failure::wrong(&format!(
                "{one} and {other} both go to the standard output: name a file for one of them"
            ))),
            (one, _) => Ok(one.is_some()),
        }
    }
}

/// What the last frame should look like, and where it is shown where it doesn't.
pub(super) struct Expected {
    wanted: Wanted,
    marked: PathBuf,
}

impl Expected {
    fn read(args: &DumpArgs, likeness: Likeness) -> Result<Option<Self>, Failure> {
        let Some(path) = args.expect.as_deref() else { return Ok(None) };
        let wanted = Wanted::read(path, likeness, args.crop)?;
        let marked = marked(args.output.as_deref(), path);
        whole::check(&marked)?;
        Ok(Some(Self { wanted, marked }))
    }

    pub(super) fn check(&self, last: &Picture, crop: Option<Rect>) -> Result<(), Failure> {
        let cropped = crop.and_then(|crop| last.crop(crop));
        let last = cropped.as_ref().unwrap_or(last);
        self.wanted.check(last, "the guest's screen", Some(&self.marked))
    }
}

/// Where differences are shown: beside what is written, else here.
fn marked(output: Option<&Path>, wanted: &Path) -> PathBuf {
    let output = output.filter(|output| output.as_os_str() != "-");
    let folder = output.and_then(Path::parent).unwrap_or(Path::new(""));
    let stem = output.unwrap_or(wanted).file_stem().unwrap_or_default();
    // Of many there is one that is looked at.
    let stem = stem.to_string_lossy().split('%').next().unwrap_or_default().to_owned();
    folder.join(format!("{}-diff.png", stem.trim_end_matches('-')))
}
