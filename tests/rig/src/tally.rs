//! What test programs print, summed up.

use std::fmt::{self, Display};

#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) passed: usize,
    pub(crate) failed: Vec<String>,
    /// Names and reasons.
    pub(crate) skipped: Vec<(String, String)>,
}

impl Tally {
    pub(crate) fn add(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed.extend(other.failed);
        self.skipped.extend(other.skipped);
    }
}

impl Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} passed, {} failed, {} skipped",
            self.passed,
            self.failed.len(),
            self.skipped.len()
        )
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Passed,
    Failed,
    Ignored,
}

/// Reads the lines of one test program: `test NAME ... ok|FAILED|ignored[, REASON]` as libtest prints them, and
/// `SKIP NAME: REASON`, with which a test that did run says that it could do nothing here. `WHY NAME: REASON` says at once why
/// one fails. `REPORT TEXT` is for whoever watches.
#[derive(Debug, Default)]
pub(crate) struct Reader {
    verdicts: Vec<(String, Verdict, String)>,
    skips: Vec<(String, String)>,
    reasons: Vec<(String, String)>,
    /// A test whose verdict comes at the end of a later line, because it printed something in between.
    open: Option<String>,
    /// Whether the program came to its last line.
    finished: bool,
}

impl Reader {
    /// Takes a line, and says what it means when it is a verdict or a report.
    pub(crate) fn line(&mut self, line: &str) -> Option<String> {
        if line.starts_with("test result: ") {
            self.finished = true;
            return None;
        }
        let (name, rest) =
            match line.strip_prefix("test ").and_then(|test| test.split_once(" ... ")) {
                // Some runners put the verdicts below each other.
                Some((name, rest)) => {
                    (Some(name.trim_end().trim_end_matches(" - should panic").to_owned()), rest)
                }
                None => (None, line),
            };
        for (word, list) in [("SKIP ", &mut self.skips), ("WHY ", &mut self.reasons)] {
            if let Some((name, why)) =
                rest.strip_prefix(word).and_then(|said| said.split_once(": "))
            {
                list.push((name.to_owned(), why.trim_end().to_owned()));
            }
        }
        let Some((verdict, reason)) = verdict(rest) else {
            self.open = name.or(self.open.take());
            let said = rest.strip_prefix("REPORT ").or_else(|| rest.strip_prefix("WHY "));
            return said.map(|text| text.trim_end().to_owned());
        };
        let name = name.or_else(|| self.open.take())?;
        self.open = None;
        let said = format!("{name} ... {}", rest.trim_end());
        self.verdicts.push((name, verdict, reason.to_owned()));
        Some(said)
    }

    /// The sum. A program that failed without a failed test, or that broke off, is a failure by itself.
    pub(crate) fn finish(self, program: &str, ended_well: bool) -> Tally {
        let mut tally = Tally::default();
        for (name, verdict, reason) in self.verdicts {
            // The last part of a test's path is enough for its own words about it.
            let skip = self
                .skips
                .iter()
                .find(|skip| name == skip.0 || name.ends_with(&format!("::{}", skip.0)));
            match (verdict, skip) {
                (Verdict::Passed, None) => tally.passed += 1,
                (Verdict::Passed, Some((_, reason))) => tally.skipped.push((name, reason.clone())),
                (Verdict::Ignored, skip) => {
                    let reason = skip.map_or(reason, |skip| skip.1.clone());
                    tally
                        .skipped
                        .push((name, if reason.is_empty() { "ignored".into() } else { reason }));
                }
                (Verdict::Failed, _) => {
                    let why = self.reasons.iter().find(|why| why.0 == name);
                    let why = why.map_or_else(String::new, |why| format!(": {}", why.1));
                    tally.failed.push(format!("{program}: {name}{why}"));
                }
            }
        }
        if !self.finished {
            let test = self.open.map_or_else(String::new, |test| format!(", in {test}"));
            tally.failed.push(format!("{program}: ended before its last test{test}"));
        } else if !ended_well && tally.failed.is_empty() {
            tally.failed.push(format!("{program}: failed, though none of its tests did"));
        }
        tally
    }
}

fn verdict(text: &str) -> Option<(Verdict, &str)> {
    let (word, reason) = text.split_once(", ").unwrap_or((text, ""));
    match word.trim_end() {
        // With a time when the program was asked for it: `ok <0.1s>`.
        "ok" => Some((Verdict::Passed, "")),
        timed if timed.starts_with("ok <") => Some((Verdict::Passed, "")),
        failed if failed == "FAILED" || failed.starts_with("FAILED <") => {
            Some((Verdict::Failed, ""))
        }
        "ignored" => Some((Verdict::Ignored, reason.trim_end())),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, ended_well: bool) -> Tally {
        let mut reader = Reader::default();
        text.lines().for_each(|line| drop(reader.line(line)));
        reader.finish("program", ended_well)
    }

    #[test]
    fn verdicts_are_summed() {
        let text = "running 5 tests\ntest a::b ... ok\ntest c - should panic ... ok\ntest d ... ignored\n\
            test e ... ignored, needs a GPU\ntest f ... FAILED\n\ntest result: FAILED. 2 passed; 1 failed\n";
        let tally = read(text, false);
        assert_eq!(tally.passed, 2);
        assert_eq!(tally.failed, ["program: f"]);
        let skipped = [("d".into(), "ignored".into()), ("e".into(), "needs a GPU".into())];
        assert_eq!(tally.skipped, skipped);
        assert_eq!(tally.to_string(), "2 passed, 1 failed, 2 skipped");
    }

    #[test]
    fn a_test_that_says_skip_did_not_pass() {
        let after = "test a::b ... ok\ntest c ... ok\nSKIP b: no /dev/udmabuf\ntest result: ok.\n";
        let tally = read(after, true);
        assert_eq!(
            (tally.passed, tally.skipped),
            (1, vec![("a::b".into(), "no /dev/udmabuf".into())])
        );
        let amid = "test b ... SKIP b: no weston: too bad\nok\ntest result: ok.\n";
        assert_eq!(read(amid, true).skipped, [("b".into(), "no weston: too bad".into())]);
    }

    #[test]
    fn output_of_a_test_does_not_hide_its_verdict() {
        let tally = read("test a ... hello\nmore\nok\ntest b ... ok\nok\ntest result: ok.\n", true);
        assert_eq!(tally, Tally { passed: 2, ..Tally::default() });
    }

    #[test]
    fn reports_are_passed_on() {
        let mut reader = Reader::default();
        assert_eq!(reader.line("test a ... REPORT 3 frames\n"), Some("3 frames".to_owned()));
        assert_eq!(reader.line("ok"), Some("a ... ok".to_owned()));
    }

    #[test]
    fn why_a_test_failed_is_said_at_once_and_in_the_sum() {
        let mut reader = Reader::default();
        assert_eq!(reader.line("test a ... WHY a: no GPU: none\n"), Some("a: no GPU: none".into()));
        assert_eq!(reader.line("FAILED"), Some("a ... FAILED".to_owned()));
        assert_eq!(reader.line("test result: FAILED."), None);
        assert_eq!(reader.finish("program", false).failed, ["program: a: no GPU: none"]);
    }

    #[test]
    fn a_program_that_breaks_off_is_a_failure() {
        assert_eq!(
            read("test a ... ok\ntest b ... ", true).failed,
            ["program: ended before its last test, in b"]
        );
        assert_eq!(read("", true).failed.len(), 1);
        let failed = read("test a ... ok\ntest result: ok.\n", false).failed;
        assert_eq!(failed, ["program: failed, though none of its tests did"]);
    }
}
