//! What the root is made of, as data, so that a root made otherwise has another name.

/// The release of Debian.
pub(crate) const SUITE: &str = "trixie";
/// Packages, one a line, `#` begins a comment.
const PACKAGES: &str = include_str!("../recipe/packages");
/// Apt's choice between the release and its backports.
pub(crate) const PREFERENCES: &str = include_str!("../recipe/preferences");
/// Paths that dpkg leaves out.
const EXCLUDE: &str = include_str!("../recipe/exclude");
/// Run on the empty root, before apt.
pub(crate) const SETUP: &str = include_str!("../recipe/setup.sh");
/// Run on the full root.
pub(crate) const FINISH: &str = include_str!("../recipe/finish.sh");
/// How `root` and the self-check go about it; counted up by hand when they change what a root is.
const EDITION: &str = "1";

pub(crate) fn packages() -> impl Iterator<Item = &'static str> {
    lines(PACKAGES)
}

pub(crate) fn excludes() -> impl Iterator<Item = &'static str> {
    lines(EXCLUDE)
}

fn lines(text: &str) -> impl Iterator<Item = &str> {
    text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'))
}

/// The name of the root that this recipe makes.
pub(crate) fn hash() -> String {
    let packages: Vec<_> = packages().collect();
    let excludes: Vec<_> = excludes().collect();
    hash_of(&[SUITE, &packages.join(" "), PREFERENCES, &excludes.join(" "), SETUP, FINISH, EDITION])
}

/// FNV-1a, 64 bit: the same on every machine and with every compiler.
pub(crate) fn hash_of(parts: &[&str]) -> String {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for part in parts {
        // 0xff is in no UTF-8 text, so parts can't run into each other.
        for byte in part.bytes().chain([0xff]) {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
    format!("{hash:016x}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hash_is_fnv_1a() {
        // The published value for "a" is af63dc4c8601ec8c; one more step takes the end mark in.
        let a = (0xaf63_dc4c_8601_ec8c_u64 ^ 0xff).wrapping_mul(0x0100_0000_01b3);
        assert_eq!(hash_of(&["a"]), format!("{a:016x}"));
    }

    #[test]
    fn every_part_counts_and_parts_do_not_run_together() {
        assert_ne!(hash_of(&["ab", "c"]), hash_of(&["a", "bc"]));
        assert_ne!(hash_of(&["a", "b"]), hash_of(&["b", "a"]));
        assert_eq!(hash(), hash());
    }

    #[test]
    fn comments_are_no_packages() {
        assert!(packages().any(|package| package == "weston"));
        assert!(packages().all(|package| !package.contains([' ', '#', ','])));
    }
}
