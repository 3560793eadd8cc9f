//! What text may name a target, in every format: a plain domain name. URLs, addresses and wildcards are refused with a
//! code and never widened to something the DNS could block (DESIGN §5: Austria 2022, Italy 2024).
//!
//! A name may hold any octet (RFC 2181 §11), but octets other than letters, digits, `-` and `_` must be written as escapes:
//! an unescaped `@`, `<` or `^` is a mistake, an e-mail address, an error page or another format, and not a name.

use std::net::{IpAddr, SocketAddr};

use crate::model::name::{MAX_LABEL, MAX_NAME, labels};
use crate::model::{DnsName, NameError};
use crate::verify::guard;

/// Longest piece of a refused text that is shown.
const SHOWN: usize = 80;

/// Why a text is no target. Nothing in it repeats the text, except [`Refused::bare`].
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Refused {
    /// Stable word, see [`crate::ingest::Problem::code`].
    pub(super) code: &'static str,
    what: String,
    hint: Option<&'static str>,
    /// The name that was probably meant.
    bare: Option<DnsName>,
}

impl Refused {
    fn new(code: &'static str, what: impl Into<String>, hint: Option<&'static str>) -> Self {
        Self { code, what: what.into(), hint, bare: None }
    }

    /// The message; `text` is in it unless it is `None`, as it must be for a secret notice.
    pub(super) fn message(&self, text: Option<&str>) -> String {
        match text {
            Some(text) => format!("{} {}", shown(text), self.what),
            None => format!("the name {}", self.what),
        }
    }

    /// What to do instead; the bare name is in it only if names may be shown.
    pub(super) fn hint(&self, names_may_be_shown: bool) -> Option<String> {
        let hint = self.hint?.to_owned();
        match &self.bare {
            Some(bare) if names_may_be_shown => {
                let bare = bare.to_string();
                Some(format!("{hint}: \"{}\"", bare.trim_end_matches('.')))
            }
            _ => Some(hint),
        }
    }
}

/// What stands for an octet of a plain name in its canonical form; 0 for the others.
const PLAIN: [u8; 256] = {
    let (mut plain, mut octet) = ([0; 256], 0);
    while octet < 256 {
        let (word, lower) = (octet as u8, (octet as u8).to_ascii_lowercase());
        if word.is_ascii_alphanumeric() || matches!(word, b'-' | b'_') {
            plain[octet] = lower;
        }
        octet += 1;
    }
    plain
};

/// The wire octets of what nearly every target is, letters and digits in two labels or more, without an allocation.
/// `None` says nothing of the text: [`read`] does.
pub(super) fn read_plain<'w>(text: &[u8], wire: &'w mut [u8; MAX_NAME]) -> Option<&'w [u8]> {
    let text = text.strip_suffix(b".").unwrap_or(text);
    let (mut start, mut labels, mut number) = (0, 0, true);
    let wire = wire.get_mut(..text.len() + 2)?;
    for (at, octet) in text.iter().chain(b".").enumerate() {
        if *octet == b'.' {
            let len = at - start;
            (1..=MAX_LABEL).contains(&len).then_some(())?;
            wire[start] = len as u8;
            (start, labels) = (at + 1, labels + 1);
            continue;
        }
        let plain = PLAIN[usize::from(*octet)];
        (plain != 0).then_some(())?;
        number &= plain.is_ascii_digit();
        wire[at + 1] = plain;
    }
    wire[start] = 0;
    (labels > 1 && !number).then_some(wire)
}

/// Reads the name of a target.
pub(super) fn read(text: &str) -> Result<DnsName, Refused> {
    if let Some(odd) = first_odd(text) {
        return Err(refuse_odd(text, odd));
    }
    let name = DnsName::from_text(text).map_err(|error| refuse_name(&error))?;
    // Mapping may bring in what was just ruled out: full-width solidus, asterisk, digits.
    if !text.is_ascii() && !labels(name.as_wire()).flatten().all(|&octet| is_plain(octet)) {
        return Err(refuse_name(&NameError::BadIdn));
    }
    if is_dotted_number(name.as_wire()) {
        return Err(refuse_address());
    }
    match guard::check(name.as_wire()) {
        Ok(()) => Ok(name),
        Err(refusal) => Err(Refused::new(refusal.code(), format!("is refused: {refusal}"), None)),
    }
}

/// A piece of the file, fit to be printed: quoted, escaped and not endless.
pub(super) fn shown(text: &str) -> String {
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{:?}...", &text[..end]),
        None => format!("{text:?}"),
    }
}

fn is_plain(octet: u8) -> bool {
    octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'_')
}

/// The first unescaped character that cannot be part of a plain name.
fn first_odd(text: &str) -> Option<char> {
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match character {
            '\\' => {
                characters.next();
            }
            '.' => {}
            _ if character.is_ascii() && !is_plain(character as u8) => return Some(character),
            _ => {}
        }
    }
    None
}

fn refuse_odd(text: &str, odd: char) -> Refused {
    if is_address(text) {
        return refuse_address();
    }
    if text.contains(['/', ':']) {
        let hint = Some("if the whole host is meant, the authority must order it by its bare name");
        let mut refused = Refused::new("url", "is a URL; the DNS can only block whole names", hint);
        refused.bare = host_of(text).and_then(|host| read(host).ok());
        return refused;
    }
    if text.contains('*') {
        let hint = Some("write the name without \"*.\" and with scope \"subtree\"");
        return Refused::new("wildcard", "is a wildcard", hint);
    }
    if odd.is_ascii_whitespace() || odd.is_ascii_control() {
        return refuse_name(&NameError::WhiteSpace);
    }
    let what = format!("is not a domain name: it contains {odd:?}");
    Refused::new("name", what, Some("write \\DDD for an octet that really is in the name"))
}

fn refuse_name(error: &NameError) -> Refused {
    Refused::new("name", format!("is not a domain name: {error}"), None)
}

fn refuse_address() -> Refused {
    Refused::new("address", "is an IP address; the DNS can only block names", None)
}

/// An address in any of its spellings: bare, in brackets, with a port, a zone or a prefix length.
fn is_address(text: &str) -> bool {
    let prefix = text.split_once('/').filter(|(_, length)| length.parse::<u8>().is_ok());
    let text = prefix.map_or(text, |(address, _)| address);
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    let bare = bare.split_once('%').map_or(bare, |(address, _zone)| address);
    bare.parse::<IpAddr>().is_ok() || text.parse::<SocketAddr>().is_ok()
}

/// `192.0.2.1` and everything else that resolvers' clients read as an address, such as `127.1`.
fn is_dotted_number(wire: &[u8]) -> bool {
    wire.len() > 1 && labels(wire).nth(1).is_some() && labels(wire).flatten().all(u8::is_ascii_digit)
}

fn host_of(url: &str) -> Option<&str> {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = rest.split(['/', '?', '#']).next()?;
    let host = authority.rsplit('@').next()?;
    Some(host.split_once(':').map_or(host, |(host, _port)| host))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_are_taken_as_written() {
        for (text, canonical) in [
            ("Bad.Example", "bad.example."),
            ("bad.example.", "bad.example."),
            ("bücher.example", "xn--bcher-kva.example."),
            ("_dmarc.a-b.example", "_dmarc.a-b.example."),
            ("a\\.b.example", "a\\.b.example."),
            ("\\064.example", "\\@.example."),
            ("\\042.example", "*.example."),
            ("1.0.0.127.in-addr.arpa", "1.0.0.127.in-addr.arpa."),
            ("0.0.0.a", "0.0.0.a."),
        ] {
            assert_eq!(read(text).unwrap().to_string(), canonical, "{text}");
        }
    }

    #[test]
    fn everything_else_is_refused_under_its_code() {
        let long_label = format!("{}.example", "a".repeat(64));
        let long_name = ["a".repeat(62).as_str(); 5].join(".");
        for (text, code) in [
            ("https://bad.example/page", "url"),
            ("bad.example/page", "url"),
            ("bad.example:8080", "url"),
            ("//bad.example", "url"),
            ("http://192.0.2.1/", "url"),
            ("*.bad.example/x", "url"),
            ("192.0.2.1", "address"),
            ("192.0.2.1.", "address"),
            ("127.1", "address"),
            ("１９２.０.２.１", "address"),
            ("192.0.2.1:80", "address"),
            ("192.0.2.0/24", "address"),
            ("2001:db8::1", "address"),
            ("[2001:db8::1]", "address"),
            ("[2001:db8::1]:443", "address"),
            ("2001:db8::/32", "address"),
            ("fe80::1%eth0", "address"),
            ("*.bad.example", "wildcard"),
            ("*", "wildcard"),
            ("a.*.example", "wildcard"),
            ("", "name"),
            (" ", "name"),
            ("bad example.com", "name"),
            ("bad.example\r", "name"),
            ("..", "name"),
            (".bad.example", "name"),
            ("bad..example", "name"),
            (long_label.as_str(), "name"),
            (long_name.as_str(), "name"),
            ("bad\\256.example", "name"),
            ("bad.example\\", "name"),
            ("xn--\u{fc}.example", "name"),
            ("bad\u{ff0f}path.example", "name"),
            ("me@bad.example", "name"),
            ("||bad.example^", "name"),
            ("<p>", "name"),
            (".", "root"),
            ("my", "tld"),
            ("localhost", "tld"),
            ("123", "tld"),
        ] {
            assert_eq!(read(text).map_err(|refused| refused.code), Err(code), "{text:?}");
        }
    }

    #[test]
    fn a_url_is_not_widened_but_its_host_is_suggested() {
        let text = "https://user@bad.example:8443/page?x#y";
        let refused = read(text).unwrap_err();
        assert!(refused.hint(true).unwrap().ends_with(": \"bad.example\""));
        assert!(!refused.hint(false).unwrap().contains("bad.example"));
        assert!(refused.message(Some(text)).starts_with("\"https://user@bad"));
        assert!(!refused.message(None).contains("bad.example"));
    }

    proptest! {
        #[test]
        fn the_plain_way_says_what_the_other_does(text in "([A-Za-z0-9_-]{0,12}\\.|[0-9]{1,3}\\.|a{62,64}\\.|[*ü\\\\ ]){0,6}[A-Za-z0-9_.-]{0,4}") {
            let mut wire = [0xaa; MAX_NAME];
            if let Some(wire) = read_plain(text.as_bytes(), &mut wire) {
                let name = read(&text).unwrap();
                prop_assert_eq!(name.as_wire(), wire);
            } else if let Ok(name) = read(&text) {
                prop_assert!(!text.is_ascii() || text.contains('\\'), "{} is plain", name);
            }
        }
    }

    #[test]
    fn what_is_shown_has_an_end_and_no_control_characters() {
        assert_eq!(shown("a\u{1b}b"), "\"a\\u{1b}b\"");
        assert_eq!(shown(&"ü".repeat(10_000)).chars().count(), SHOWN + 5);
    }
}
