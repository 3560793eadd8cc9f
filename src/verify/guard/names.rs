//! Files of protected names: how they are written, and those that come with the program.
//!
//! One name a line; `name` protects that name, `*.name` the name and everything below it. `#` begins a comment, empty lines
//! are nothing. Such a file is the operator's own word, so one line that is no name spoils it: a slip must not leave
//! unprotected what somebody believes to be protected.

use std::fmt;

use crate::model::{DnsName, NameError};

/// The names that are protected unless `[guard] defaults = false`, with the reason of each group.
const SHIPPED: &str = include_str!("../../../config/protected.names");

/// Names by which clients find this resolver and what stands before it; their answers are made here.
const RESOLVER: &str = "
*.resolver.arpa     # designation of encrypted resolvers (RFC 9462)
*.ipv4only.arpa     # discovery of NAT64 (RFC 7050, RFC 8880)
*.localhost         # RFC 6761
";

/// Mistakes of one file that are reported; the others are like them.
const MISTAKES: usize = 20;

/// A line of such a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Protected {
    /// The name.
    pub name: DnsName,
    /// How far the protection reaches.
    pub reach: Reach,
}

impl Protected {
    /// The name and everything below it.
    pub const fn subtree(name: DnsName) -> Self {
        Self { name, reach: Reach::Subtree }
    }
}

impl fmt::Display for Protected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.reach {
            Reach::Name => self.name.fmt(f),
            Reach::Subtree => write!(f, "*.{}", self.name),
        }
    }
}

/// How far a protection reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// The name itself: what stands below it may be listed.
    Name,
    /// The name and everything below it.
    Subtree,
}

/// A line that protects nothing, and what to write instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// From 1.
    pub line: usize,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub hint: &'static str,
}

/// Reads a file of protected names, or says what is wrong with it: with the first lines, if it is with many.
pub fn parse(text: &str) -> Result<Vec<Protected>, Vec<Mistake>> {
    let (mut names, mut mistakes) = (Vec::new(), Vec::new());
    let text = text.strip_prefix('\u{feff}').unwrap_or(text); // editors on Windows write it
    for (line, written) in (1..).zip(text.lines()) {
        let word = written.split('#').next().unwrap_or_default().trim();
        if word.is_empty() {
            continue;
        }
        match protected(word) {
            Ok(name) => names.push(name),
            Err((message, hint)) => mistakes.push(Mistake { line, message, hint }),
        }
        if mistakes.len() == MISTAKES {
            break;
        }
    }
    if mistakes.is_empty() { Ok(names) } else { Err(mistakes) }
}

/// The names that come with the program.
pub fn shipped() -> Vec<Protected> {
    parse(SHIPPED).unwrap_or_default() // a test proves that it can be read
}

/// Names of every resolver, which no configuration can give up.
pub(super) fn resolver() -> impl Iterator<Item = Protected> {
    parse(RESOLVER).unwrap_or_default().into_iter()
}

fn protected(word: &str) -> Result<Protected, (String, &'static str)> {
    let (text, reach) = match word.strip_prefix("*.") {
        Some(rest) => (rest, Reach::Subtree),
        None => (word, Reach::Name),
    };
    if let Some(hint) = mistaken_for_a_name(text) {
        return Err((format!("{word:?} is not a name"), hint));
    }
    match DnsName::from_text(text) {
        Ok(name) if name.is_root() => {
            Err((format!("{word:?} would protect every name"), "write a name below the root, or none"))
        }
        Ok(name) => Ok(Protected { name, reach }),
        Err(NameError::WhiteSpace) => {
            Err((format!("{word:?} has more than one word"), "write one name a line; \"#\" begins a comment"))
        }
        Err(error) => Err((format!("{word:?} is not a name: {error}"), "write it like ocsp.example or *.example")),
    }
}

/// What DNS names could hold, but what nobody means here.
fn mistaken_for_a_name(text: &str) -> Option<&'static str> {
    if text.contains('*') {
        Some("\"*.\" may only begin the line: it stands for everything below the name")
    } else if text.contains(['/', ':', '@']) {
        Some("write the bare name of the host, without https:// and without a path")
    } else if text.parse::<std::net::IpAddr>().is_ok() {
        Some("write a name: addresses are not listed, so they need no protection")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Vec<String> {
        parse(text).unwrap().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_line_is_a_name_or_a_subtree() {
        let text = "\u{feff}# our own\r\nOCSP.Example # its CA\r\n\r\n  *.portal.example.  \n*.bücher.example\n#end";
        assert_eq!(read(text), ["ocsp.example.", "*.portal.example.", "*.xn--bcher-kva.example."]);
        assert_eq!(read(""), [] as [String; 0]);
    }

    #[test]
    fn a_line_that_is_no_name_spoils_the_file_and_is_named() {
        for (line, message, hint) in [
            ("a b.example", "\"a b.example\" has more than one word", "one name a line"),
            ("https://a.example/", "\"https://a.example/\" is not a name", "bare name"),
            ("a.example:443", "\"a.example:443\" is not a name", "bare name"),
            ("192.0.2.1", "\"192.0.2.1\" is not a name", "addresses"),
            ("2001:db8::1", "\"2001:db8::1\" is not a name", "bare name"),
            ("*", "\"*\" is not a name", "may only begin"),
            ("a.*.example", "\"a.*.example\" is not a name", "may only begin"),
            ("*example", "\"*example\" is not a name", "may only begin"),
            (".", "\".\" would protect every name", "below the root"),
            ("*..", "\"*..\" would protect every name", "below the root"),
            ("a..example", "\"a..example\" is not a name: the name has an empty label", "like ocsp.example"),
            ("\u{1b}[31m", "\"\\u{1b}[31m\" has more than one word", "one name a line"),
        ] {
            let mistakes = parse(&format!("# a comment\ngood.example\n{line}\n")).unwrap_err();
            assert_eq!((mistakes.len(), mistakes[0].line), (1, 3), "{line}");
            assert_eq!(mistakes[0].message, message);
            assert!(mistakes[0].hint.contains(hint), "{line}: {}", mistakes[0].hint);
        }
    }

    #[test]
    fn another_file_altogether_is_not_reported_line_by_line() {
        assert_eq!(parse(&"0.0.0.0 a.example\n".repeat(1_000)).unwrap_err().len(), MISTAKES);
    }

    #[test]
    fn what_comes_with_the_program_can_be_read_and_gives_reasons() {
        assert!(parse(RESOLVER).unwrap().len() == 3);
        let shipped = parse(SHIPPED).unwrap();
        assert!((100..1_000).contains(&shipped.len()), "{}", shipped.len());
        let mut seen = std::collections::HashSet::new();
        for one in &shipped {
            assert!(one.name.label_count() > 1 || one.reach == Reach::Subtree, "{one} is refused anyway");
            assert!(seen.insert(one.to_string()), "{one} stands there twice");
        }
        // every group of lines follows its comment
        for group in SHIPPED.split("\n\n").filter(|group| !group.trim().is_empty()) {
            assert!(group.trim_start().starts_with("# "), "without a reason: {group}");
        }
    }
}
