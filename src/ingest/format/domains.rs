//! Lists of one name a line.

use std::path::Path;

use super::lines::{Line, Listed, Reader};
use crate::model::{Scope, Sensitivity};

/// Reads a list. Names of a secret list get into no message.
pub fn parse(bytes: &[u8], file: &Path, scope: Scope, sensitivity: Sensitivity) -> Listed {
    let mut reader = reader(file, scope, sensitivity);
    reader.read(bytes);
    reader.finish()
}

/// Reads a list piece by piece.
pub fn reader(file: &Path, scope: Scope, sensitivity: Sensitivity) -> Reader<'_> {
    Reader::new(read_line, file, scope, sensitivity)
}

fn read_line(line: &mut Line<'_, '_>) {
    let mut words = line.words();
    let Some(name) = words.next() else { return };
    match words.next() {
        None => line.name(name),
        Some(second) => {
            let hint = "write one name a line; set format = \"hosts\" for lines with an address first";
            line.refuse(second, "syntax", "there is more than one word on the line".to_owned(), Some(hint.to_owned()));
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::lines::Verdict;
    use super::*;
    use crate::model::name::wire_to_text;

    fn read(text: &str, sensitivity: Sensitivity) -> Listed {
        parse(text.as_bytes(), Path::new("phishing.domains"), Scope::Exact, sensitivity)
    }

    #[test]
    fn one_name_a_line() {
        let listed =
            read("\u{feff}# Title\r\n\r\nBad.Example.\r\n\t bücher.example # why\nlast.example", Sensitivity::Public);
        let names: Vec<_> = listed.targets.iter().map(|(wire, _)| wire_to_text(&wire)).collect();
        assert_eq!(names, ["bad.example.", "xn--bcher-kva.example.", "last.example."]);
        assert_eq!((listed.good, listed.bad, listed.verdict()), (3, 0, Verdict::List));
    }

    #[test]
    fn bad_lines_are_refused_as_in_a_notice() {
        let long = format!("{}.example", "a".repeat(64));
        for (text, code) in [
            ("https://a.example/", "url"),
            ("192.0.2.1", "address"),
            ("*.a.example", "wildcard"),
            (".", "root"),
            ("com", "tld"),
            ("localhost", "tld"),
            (long.as_str(), "name"),
            ("a..example", "name"),
            ("a\0.example", "name"),
            ("0.0.0.0 a.example", "syntax"),
        ] {
            let listed = read(text, Sensitivity::Public);
            assert_eq!(listed.problems[0].code, code, "{text:?}");
            assert_eq!((listed.targets.len(), listed.verdict()), (0, Verdict::Broken), "{text:?}");
        }
        let listed = parse(b"a.example\n\xff.example\n", Path::new("x"), Scope::Exact, Sensitivity::Public);
        assert_eq!((listed.problems[0].code, listed.problems[0].line, listed.good), ("encoding", Some(2), 1));
    }

    #[test]
    fn the_first_bad_lines_are_reported_and_the_rest_counted() {
        let text = "ok.example\n".repeat(100) + &"http://bad.example/\n".repeat(50);
        let listed = read(&text, Sensitivity::Public);
        assert_eq!((listed.good, listed.bad, listed.problems.len()), (100, 50, 21));
        assert_eq!(listed.problems[0].line, Some(101));
        assert_eq!(listed.problems[20].message, "and 30 more bad lines");
    }

    #[test]
    fn an_error_page_is_not_a_list() {
        let page = "<!DOCTYPE html>\n<html><head><title>502 Bad Gateway</title></head>\n<body>\n<p>See www.example.com\n\
                    </p>\nstatus.example.com\n</body></html>\n";
        assert_eq!(read(page, Sensitivity::Public).verdict(), Verdict::Broken);
        assert_eq!(read("# only a comment\n\n", Sensitivity::Public).verdict(), Verdict::Empty);
    }

    #[test]
    fn a_secret_list_is_not_quoted() {
        let listed = read(
            "https://bad.example/\n*.bad.example\nbad.example@x\nbad..example\nbad.example x\n",
            Sensitivity::Secret,
        );
        assert_eq!(listed.problems.len(), 5);
        for problem in listed.problems {
            assert!(!problem.to_string().contains("bad"), "{problem}");
        }
    }

    proptest! {
        #[test]
        fn pieces_of_a_file_say_what_the_whole_says(
            text in "\u{feff}?([a-c]{1,3}\\.example|[a#.\r \t]{0,3}|https://x/|\n){0,40}",
            cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..8),
        ) {
            let whole = read(&text, Sensitivity::Public);
            let mut cuts: Vec<_> = cuts.iter().map(|cut| cut.index(text.len() + 1)).collect();
            cuts.sort_unstable();
            let mut reader = reader(Path::new("phishing.domains"), Scope::Exact, Sensitivity::Public);
            let mut from = 0;
            for cut in cuts {
                reader.read(&text.as_bytes()[from..cut]);
                from = cut;
            }
            reader.read(&text.as_bytes()[from..]);
            let pieces = reader.finish();
            prop_assert_eq!(pieces.targets, whole.targets);
            prop_assert_eq!((pieces.good, pieces.bad, pieces.problems), (whole.good, whole.bad, whole.problems));
        }

        #[test]
        fn never_panics(bytes: Vec<u8>) {
            parse(&bytes, Path::new("x"), Scope::Exact, Sensitivity::Public);
        }
    }
}
