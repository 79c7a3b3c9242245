//! Finds a font and opens it.

use std::collections::VecDeque;
use std::env;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use cosmic_text::FontSystem;
use cosmic_text::fontdb::{Database, Family, Query, Source};

use super::TextError;

/// Names the file of a font to write with: [`find_font`], or what a test passes in its place.
pub type FindFont = fn() -> Option<PathBuf>;

/// What is easy to read in small sizes; the first one that is installed is taken. Names of files, so
/// that none has to be opened to look for it.
const PREFERRED: &[&str] = &[
    "adwaitasans-regular",
    "inter-regular",
    "intervariable",
    "notosans-regular",
    "notosans[wght]",
    "notosans[wdth,wght]",
    "cantarell-vf",
    "cantarell-regular",
    "ubuntusans[wdth,wght]",
    "ubuntu[wdth,wght]",
    "ubuntu-r",
    "roboto-regular",
    "opensans-regular",
    "sourcesans3-regular",
    "ibmplexsans-regular",
    "dejavusans",
    "liberationsans-regular",
    "freesans",
    "notosansmono-regular",
    "dejavusansmono",
    "liberationmono-regular",
];

/// What lies deeper, or in more folders, isn't looked at: links can lead round in circles.
const DEPTH_MAX: u8 = 6;
const FOLDERS_MAX: usize = 4096;

/// The file of the font that is best to read among those that are installed. Where none has a known
/// name, whatever fontconfig's files say is the system's sans-serif.
pub fn find_font() -> Option<PathBuf> {
    by_name(folders()).or_else(by_configuration)
}

/// Where fonts are installed.
fn folders() -> Vec<PathBuf> {
    let set = |name: &str| env::var_os(name).filter(|value| !value.is_empty());
    let home = set("HOME").map(PathBuf::from);
    let in_home = |path: &str| home.as_ref().map(|home| home.join(path));
    let own = set("XDG_DATA_HOME").map(PathBuf::from).or_else(|| in_home(".local/share"));
    let shared = set("XDG_DATA_DIRS").unwrap_or_else(|| "/usr/local/share:/usr/share".into());
    let shared: Vec<_> = env::split_paths(&shared).collect();
    let named = own.into_iter().chain(shared).map(|folder| folder.join("fonts"));
    let other = [in_home(".fonts"), Some("/run/current-system/sw/share/X11/fonts".into())];
    named.chain(other.into_iter().flatten()).filter(|folder| folder.is_absolute()).collect()
}

/// The most preferred of the fonts in these folders and what is in them.
pub(super) fn by_name(folders: Vec<PathBuf>) -> Option<PathBuf> {
    let mut folders: VecDeque<_> = folders.into_iter().map(|folder| (folder, 0)).collect();
    let mut best: Option<(usize, PathBuf)> = None;
    for _ in 0..FOLDERS_MAX {
        let Some((folder, depth)) = folders.pop_front() else { break };
        let Ok(entries) = fs::read_dir(folder) else { continue };
        for entry in entries.flatten() {
            let path = entry.path();
            let is_folder = match entry.file_type() {
                Ok(kind) if kind.is_symlink() => path.is_dir(),
                kind => kind.is_ok_and(|kind| kind.is_dir()),
            };
            if is_folder && depth < DEPTH_MAX {
                folders.push_back((path, depth + 1));
            } else if let Some(rank) = rank(&path)
                && best.as_ref().is_none_or(|(other, _)| rank < *other)
            {
                best = Some((rank, path));
            }
        }
    }
    best.map(|(_, path)| path)
}

fn rank(path: &Path) -> Option<usize> {
    let is = |wanted: &str| {
        path.extension().and_then(OsStr::to_str).is_some_and(|e| e.eq_ignore_ascii_case(wanted))
    };
    let name = path.file_stem()?.to_str()?;
    let known = || PREFERRED.iter().position(|known| known.eq_ignore_ascii_case(name));
    if ["ttf", "otf", "ttc"].into_iter().any(is) { known() } else { None }
}

/// Opens every font of the system for a moment.
fn by_configuration() -> Option<PathBuf> {
    let mut fonts = Database::new();
    fonts.load_system_fonts();
    let families = [Family::SansSerif, Family::Monospace, Family::Serif];
    let found = families
        .into_iter()
        .find_map(|family| fonts.query(&Query { families: &[family], ..Query::default() }));
    let face = found.and_then(|id| fonts.face(id)).or_else(|| fonts.faces().next())?;
    match &face.source {
        Source::File(path) | Source::SharedFile(path, _) => Some(path.clone()),
        Source::Binary(_) => None,
    }
}

/// One font, and the name of its family.
pub(super) fn open(find: FindFont) -> Result<(FontSystem, String), TextError> {
    let path = find().ok_or(TextError::NoFont)?;
    let bad = || TextError::BadFont { path: path.display().to_string() };
    let mut fonts = Database::new();
    fonts.load_font_file(&path).map_err(|_| bad())?;
    let face = fonts.faces().next().ok_or_else(bad)?;
    let family = face.families.first().map(|(name, _)| name.clone()).ok_or_else(bad)?;
    tracing::debug!(path = %path.display(), family, "the font for text in the window");
    // What it doesn't have is shown as a box.
    Ok((FontSystem::new_with_locale_and_db("en".into(), fonts), family))
}
