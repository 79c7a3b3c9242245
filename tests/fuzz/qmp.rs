//! QMP from a socket that says anything.

use std::io::Write;
use std::net::Shutdown;
use std::os::unix::net::UnixListener;
use std::time::Duration;

use fanlight::source::{self, Options, SourceError, Uri};

use crate::tape::Tape;

const GREETING: &str = r#"{"QMP":{"version":{},"capabilities":["oob"]}}"#;
const EVENT: &str = r#"{"event":"RESUME","data":{}}"#;

#[test]
fn qmp() {
    crate::fuzz::run("qmp", act);
}

/// All that it says is there before it is asked, so that nobody waits.
pub(crate) fn act(input: &[u8]) {
    let mut tape = Tape::new(input);
    let mut lines = Vec::new();
    while let Some(op) = tape.op(b"greExblnz") {
        match op {
            b'g' => lines.extend(GREETING.bytes()),
            b'r' => lines.extend(br#"{"return":{}}"#),
            b'e' => lines.extend(EVENT.bytes()),
            b'E' => lines.extend(format!("{EVENT}\n").repeat(1001).bytes()),
            b'x' => lines.extend(br#"{"error":{"class":"GenericError","desc":"no such thing"}}"#),
            b'b' => lines.extend(br#"{"error":7}"#),
            b'l' => lines.extend(std::iter::repeat_n(b'[', tape.number() as usize % (1 << 22))),
            b'n' => lines.push(b'\n'),
            _ => {
                let count = tape.choose(200);
                lines.extend(tape.raw(count));
            }
        }
        if op != b'z' && op != b'l' {
            lines.push(b'\n');
        }
        if lines.len() > 1 << 23 {
            break;
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("qmp");
    let listener = UnixListener::bind(&path).unwrap();
    let answer = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        // The viewer may have hung up over the first line.
        let _ = stream.write_all(&lines);
        let _ = stream.shutdown(Shutdown::Write);
        // Until it has hung up.
        let _ = std::io::copy(&mut stream, &mut std::io::sink());
    });
    let options = Options { time_limit: Duration::from_secs(20), ..Options::default() };
    let error = source::open(&Uri::Qmp { path, console: None }, &options).unwrap_err();
    assert!(!matches!(error, SourceError::TimedOut(_) | SourceError::QmpBusy { .. }), "{error}");
    assert!(!error.to_string().is_empty());
    answer.join().unwrap();
}
