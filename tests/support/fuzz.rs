//! Runs a target on its corpus, and then on what it makes of that, for a second (half a minute with
//! FANLIGHT_LONG). An input that fails goes into the corpus, so that the next run begins with it.

use std::fs;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::PathBuf;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

/// Longest input that is made; what is found by other means may be longer.
const INPUT_MAX: usize = 512;
/// Longer than any input takes on any machine.
const HANGS: Duration = Duration::from_secs(60);

/// Runs `test` on the inputs in `tests/fuzz/corpus/TARGET`, and on others.
pub(crate) fn run(target: &str, test: fn(&[u8])) {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let folder = root.join("tests/fuzz/corpus").join(target);
    let mut files: Vec<_> = fs::read_dir(&folder).unwrap().map(|e| e.unwrap().path()).collect();
    files.sort();
    let corpus: Vec<_> = files.iter().map(|path| fs::read(path).unwrap()).collect();
    assert!(!corpus.is_empty(), "{} is empty", folder.display());
    let watchdog = watchdog(target);
    let attempt = |input: &[u8], name: &str| {
        watchdog.send(input.to_vec()).unwrap();
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| test(input))) {
            eprintln!("{target} fails on {name}: \"{}\"", input.escape_ascii());
            resume_unwind(panic);
        }
    };
    for (path, input) in files.iter().zip(&corpus) {
        attempt(input, &path.display().to_string());
    }
    let long = std::env::var_os("FANLIGHT_LONG").is_some();
    let end = Instant::now() + Duration::from_secs(if long { 30 } else { 1 });
    let mut random = Random(RandomState::new().build_hasher().finish() | 1);
    let mut count = 0_u64;
    while Instant::now() < end {
        let input = random.input(&corpus);
        let found = folder.join(format!("found-{:016x}", random.0));
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| attempt(&input, "a new input"))) {
            let kept = fs::write(&found, &input);
            eprintln!("it is kept in {}: {kept:?}", found.display());
            resume_unwind(panic);
        }
        count += 1;
    }
    println!("{target}: {} inputs of the corpus, {count} others", corpus.len());
}

/// Ends the program when an input takes too long; it is told of each.
fn watchdog(target: &str) -> Sender<Vec<u8>> {
    let (tell, told) = channel::<Vec<u8>>();
    let target = target.to_owned();
    thread::spawn(move || {
        let mut last = Vec::new();
        loop {
            match told.recv_timeout(HANGS) {
                Ok(input) => last = input,
                Err(RecvTimeoutError::Disconnected) => return,
                Err(RecvTimeoutError::Timeout) => {
                    eprintln!("{target} hangs on \"{}\"", last.escape_ascii());
                    std::process::abort();
                }
            }
        }
    });
    tell
}

/// xorshift64: good enough to choose with, and never 0.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() >> 16) as usize % end.max(1)
    }

    /// Most are text: that is where the meaning is.
    fn byte(&mut self) -> u8 {
        if self.below(8) == 0 { self.next() as u8 } else { b' ' + self.below(95) as u8 }
    }

    /// An input of the corpus, changed in a few places; now and then one of nothing but chance.
    fn input(&mut self, corpus: &[Vec<u8>]) -> Vec<u8> {
        if self.below(8) == 0 {
            return (0..self.below(INPUT_MAX)).map(|_| self.byte()).collect();
        }
        let mut input = corpus[self.below(corpus.len())].clone();
        for _ in 0..=self.below(6) {
            let at = self.below(input.len() + 1);
            let length = self.below(9).min(input.len() - at);
            match self.below(6) {
                0 => {
                    let new: Vec<_> = (0..=self.below(4)).map(|_| self.byte()).collect();
                    drop(input.splice(at..at + length.min(new.len()), new));
                }
                1 => {
                    let new: Vec<_> = (0..=self.below(4)).map(|_| self.byte()).collect();
                    drop(input.splice(at..at, new));
                }
                2 => drop(input.drain(at..at + length)),
                3 => {
                    let again = input[at..at + length].repeat(1 + self.below(8));
                    drop(input.splice(at..at, again));
                }
                4 => {
                    let other = &corpus[self.below(corpus.len())];
                    let from = self.below(other.len());
                    let to = from + self.below(other.len() - from + 1);
                    drop(input.splice(at..at, other[from..to].iter().copied()));
                }
                _ => {
                    if let Some(byte) = input.get_mut(at) {
                        *byte ^= 1 << self.below(8);
                    }
                }
            }
        }
        input.truncate(INPUT_MAX);
        input
    }
}
