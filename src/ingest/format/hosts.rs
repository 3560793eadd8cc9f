//! Lists in the syntax of hosts(5): an address, then one or more names. The address is required and not used: what a
//! listed name is answered with is the notice's business.

use std::net::IpAddr;
use std::path::Path;

use super::lines::{Line, Listed, Reader};
use crate::model::{Scope, Sensitivity};

/// What hosts files list for the machine itself. Nobody means to block these; they are passed over in silence.
const OWN_NAMES: [&str; 17] = [
    "0.0.0.0",
    "broadcasthost",
    "ip6-allhosts",
    "ip6-allnodes",
    "ip6-allrouters",
    "ip6-localhost",
    "ip6-localnet",
    "ip6-loopback",
    "ip6-mcastprefix",
    "local",
    "localhost",
    "localhost.localdomain",
    "localhost4",
    "localhost4.localdomain4",
    "localhost6",
    "localhost6.localdomain6",
    "loopback",
];

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
    let Some(first) = words.next() else { return };
    if !is_address(first) {
        let hint = "hosts lines are \"0.0.0.0 name\"; set format = \"domains\" for a list of bare names";
        return line.refuse(
            first,
            "syntax",
            "the line does not begin with an address".to_owned(),
            Some(hint.to_owned()),
        );
    }
    let mut names = 0;
    for word in words {
        names += 1;
        if !is_own_name(word) {
            line.name(word);
        }
    }
    if names == 0 {
        line.refuse(first, "syntax", "no name follows the address".to_owned(), None);
    }
}

fn is_address(word: &[u8]) -> bool {
    if matches!(word, b"0.0.0.0" | b"127.0.0.1" | b"::" | b"::1") {
        return true; // what nearly every line has, without the parser
    }
    let Ok(text) = std::str::from_utf8(word) else { return false };
    let bare = text.split_once('%').map_or(text, |(address, _zone)| address); // fe80::1%lo0 on macOS
    bare.parse::<IpAddr>().is_ok()
}

fn is_own_name(word: &[u8]) -> bool {
    // Every one of them begins with one of these; most names do not.
    matches!(word.first().map(u8::to_ascii_lowercase), Some(b'0' | b'b' | b'i' | b'l'))
        && OWN_NAMES.iter().any(|own| word.eq_ignore_ascii_case(own.as_bytes()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::lines::Verdict;
    use super::*;
    use crate::model::name::wire_to_text;

    fn read(text: &str) -> Listed {
        parse(text.as_bytes(), Path::new("scam.hosts"), Scope::Subtree, Sensitivity::Public)
    }

    fn names(listed: &Listed) -> Vec<String> {
        listed.targets.iter().map(|(wire, _)| wire_to_text(&wire)).collect()
    }

    #[test]
    fn any_address_and_several_names_a_line() {
        let listed = read(
            "\u{feff}# Title\r\n\r\n0.0.0.0 a.example\r\n127.0.0.1\tB.example  www.b.example # why\n::1 c.example\n\
             :: d.example#x\n  192.0.2.1 e.example\nfe80::1%lo0 f.example",
        );
        let expected =
            ["a.example.", "b.example.", "www.b.example.", "c.example.", "d.example.", "e.example.", "f.example."];
        assert_eq!(names(&listed), expected);
        assert_eq!((listed.good, listed.bad, listed.problems.len()), (6, 0, 0));
        assert!(listed.targets.iter().all(|(_, scope)| scope == Scope::Subtree));
    }

    #[test]
    fn a_machines_own_names_are_passed_over() {
        let text = OWN_NAMES.map(|own| format!("127.0.0.1 {} \n", own.to_uppercase())).concat();
        let listed = read(&text);
        assert_eq!((listed.targets.len(), listed.problems.len(), listed.verdict()), (0, 0, Verdict::Empty));
        assert_eq!(names(&read("127.0.0.1 localhost a.example")), ["a.example."]);
    }

    #[test]
    fn bad_lines_are_reported_with_their_place_and_the_rest_proceeds() {
        let listed = read(
            "0.0.0.0 ok.example\n\n a.example\n0.0.0.0\n0.0.0.0 ü.example *.b.example\n0.0.0.0 com\n::1 x.example\n::1 y.example",
        );
        let found: Vec<_> = listed.problems.iter().map(|p| (p.line.unwrap(), p.column.unwrap(), p.code)).collect();
        assert_eq!(found, [(3, 2, "syntax"), (4, 1, "syntax"), (5, 19, "wildcard"), (6, 9, "tld")]);
        assert_eq!((listed.good, listed.bad, listed.verdict()), (4, 4, Verdict::List));
    }

    proptest! {
        #[test]
        fn never_panics(bytes: Vec<u8>) {
            parse(&bytes, Path::new("x"), Scope::Exact, Sensitivity::Secret);
        }

        #[test]
        fn never_panics_on_what_looks_like_a_list(text in "([0-9a-z.:/%#*\\\\ü \t\r\n]|0\\.0\\.0\\.0 ){0,200}") {
            parse(text.as_bytes(), Path::new("x"), Scope::Exact, Sensitivity::Public);
        }
    }
}
