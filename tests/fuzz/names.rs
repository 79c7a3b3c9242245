//! Names of sources: any text is a name or a sentence that says why it is none.

use fanlight::source::Uri;

#[test]
fn names() {
    crate::fuzz::run("names", parse);
}

pub(crate) fn parse(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    let text = text.trim_end_matches('\n');
    match text.parse::<Uri>() {
        Ok(uri) => {
            let printed = uri.to_string();
            assert_eq!(printed.parse(), Ok(uri), "{text} as {printed}");
            assert!(printed.is_ascii(), "{printed}");
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}
