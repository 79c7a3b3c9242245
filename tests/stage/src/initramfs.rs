//! The Linux guest's initial file system: a cpio archive ("newc") that is the same every time.

/// An archive under construction.
#[derive(Debug, Default)]
pub(crate) struct Archive {
    bytes: Vec<u8>,
    entries: u32,
}

const FOLDER: u32 = 0o040_755;
const PROGRAM: u32 = 0o100_755;
const LINK: u32 = 0o120_777;

impl Archive {
    /// Adds a folder; the one that it is in must be there already.
    pub(crate) fn folder(&mut self, path: &str) {
        self.entry(path, FOLDER, &[]);
    }

    /// Adds a file that can be run.
    pub(crate) fn file(&mut self, path: &str, content: &[u8]) {
        self.entry(path, PROGRAM, content);
    }

    /// Adds another name for what is at `target`.
    pub(crate) fn link(&mut self, path: &str, target: &str) {
        self.entry(path, LINK, target.as_bytes());
    }

    /// The whole archive.
    pub(crate) fn finish(mut self) -> Vec<u8> {
        self.entries = 0;
        self.entry("TRAILER!!!", 0, &[]);
        self.bytes
    }

    /// One entry: 13 numbers of 8 hexadecimal digits, the name, the content, each padded to 4.
    fn entry(&mut self, path: &str, mode: u32, content: &[u8]) {
        let links = if mode == FOLDER { 2 } else { 1 };
        let inode = self.entries;
        self.entries += 1;
        let size = u32::try_from(content.len()).expect("files of a guest are under 4 GiB");
        let name = u32::try_from(path.len() + 1).expect("names are short");
        self.bytes.extend_from_slice(b"070701");
        // Inode, mode, owner, group, links, time, size, device twice, name, checksum.
        for number in [inode, mode, 0, 0, links, 0, size, 0, 0, 0, 0, name, 0] {
            self.bytes.extend_from_slice(format!("{number:08x}").as_bytes());
        }
        self.bytes.extend_from_slice(path.as_bytes());
        self.bytes.push(0);
        self.pad();
        self.bytes.extend_from_slice(content);
        self.pad();
    }

    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_archive_is_laid_out_as_the_kernel_reads_it() {
        let mut archive = Archive::default();
        archive.folder("dev");
        archive.file("init", b"hello");
        archive.link("sh", "hello");
        let bytes = archive.finish();
        let mut names = Vec::new();
        let mut at = 0;
        while at < bytes.len() {
            assert_eq!(&bytes[at..at + 6], b"070701");
            let field = |n: usize| {
                let digits = std::str::from_utf8(&bytes[at + 6 + n * 8..at + 14 + n * 8]);
                usize::from_str_radix(digits.expect("text"), 16).expect("digits")
            };
            let (size, name) = (field(6), field(11));
            let text = &bytes[at + 110..at + 110 + name - 1];
            names.push((String::from_utf8_lossy(text).into_owned(), field(1), size));
            at = (at + 110 + name).next_multiple_of(4);
            if size > 0 {
                assert_eq!(&bytes[at..at + size], b"hello");
            }
            at = (at + size).next_multiple_of(4);
        }
        let want = [
            ("dev", 0o040_755, 0),
            ("init", 0o100_755, 5),
            ("sh", 0o120_777, 5),
            ("TRAILER!!!", 0, 0),
        ];
        assert_eq!(names, want.map(|(name, mode, size)| (name.to_owned(), mode, size)));
    }
}
