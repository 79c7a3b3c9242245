//! `fanlight diff`: whether two pictures are the same; and what `dump --expect` shares with it.

use std::path::{Path, PathBuf};

use clap::Args;

use super::exit::Failure;
use super::whole;
use crate::capture::{Likeness, Picture, PictureFormat, read_picture};
use crate::frame::Rect;

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  fanlight diff wanted.png screen.png                      is it the same?
  fanlight diff wanted.png screen.png --tolerance 8        nearly?
  fanlight diff wanted.png screen.png -o diff.png          and where not?

Exit code 0 where they are alike, 4 where they differ, also where FILE can't be written then.")]
pub(super) struct DiffArgs {
    /// What it should look like: PNG, QOI, PPM or WebP
    wanted: PathBuf,
    /// What it looks like
    got: PathBuf,
    #[command(flatten)]
    likeness: LikenessArgs,
    /// Where they differ, write both beside each other there, and the differences in red
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// How much a picture has to be like another.
#[derive(Debug, Args)]
pub(super) struct LikenessArgs {
    /// By how much each of red, green and blue may differ, of 255
    #[arg(long, value_name = "N", default_value_t = 0)]
    tolerance: u8,
    /// A picture of the same size: what is black in it may look like anything
    #[arg(long, value_name = "FILE")]
    mask: Option<PathBuf>,
}

impl LikenessArgs {
    /// With the mask, which is read.
    pub(super) fn read(&self) -> Result<Likeness, Failure> {
        let mask = self.mask.as_deref().map(read_picture).transpose()?;
        Ok(Likeness { tolerance: self.tolerance, mask })
    }
}

pub(super) fn run(args: &DiffArgs) -> Result<(), Failure> {
    let wanted = Wanted::read(&args.wanted, args.likeness.read()?, None)?;
    let got = read_picture(&args.got)?;
    wanted.check(&got, &args.got.display().to_string(), args.output.as_deref())
}

/// A picture that another should be like.
#[derive(Debug)]
pub(super) struct Wanted {
    path: PathBuf,
    picture: Picture,
    likeness: Likeness,
}

impl Wanted {
    /// One of all of a screen, or of `part`, for which a mask of all of it is good, too.
    pub(super) fn read(
        path: &Path,
        mut likeness: Likeness,
        part: Option<Rect>,
    ) -> Result<Self, Failure> {
        let picture = read_picture(path)?;
        if let (Some(part), Some(mask)) = (part, &mut likeness.mask)
            && mask.size != picture.size
            && let Some(covered) = mask.crop(part).filter(|part| part.size == picture.size)
        {
            *mask = covered;
        }
        likeness.suits(&picture).map_err(Failure::usage)?;
        Ok(Self { path: path.to_owned(), picture, likeness })
    }

    /// Fails where `got`, which is called `name`, isn't like it; `marked` is where that is shown.
    pub(super) fn check(
        &self,
        got: &Picture,
        name: &str,
        marked: Option<&Path>,
    ) -> Result<(), Failure> {
        let Some(difference) = self.likeness.difference(&self.picture, got) else { return Ok(()) };
        let failure =
            Failure::different(format!("{name} is not like {}: {difference}", self.path.display()));
        Err(match marked {
            Some(path) => marked_in(failure, &self.likeness.marked(&self.picture, got), path),
            None => failure,
        })
    }
}

/// Says where it is marked what differs; that it can't be shown makes it no other failure.
pub(super) fn marked_in(failure: Failure, marked: &Picture, path: &Path) -> Failure {
    let format = PictureFormat::of(path).unwrap_or(PictureFormat::Png);
    match whole::write(path, |out| format.write(marked, out)) {
        Ok(()) => failure.with(&format!(" (marked in {})", path.display())),
        Err(unwritten) => failure.with(&format!("; {unwritten}")),
    }
}
