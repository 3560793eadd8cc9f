//! [`DnsName`]: a domain name in its canonical form, the only form in which names are stored and compared.
//!
//! Canonical means: uncompressed wire format (RFC 1035 §3.1), ASCII letters in lower case (RFC 4343), every other octet as
//! it is (RFC 2181 §11), the root label included. A dotted string is for people; nothing is ever matched on one.
//!
//! The free functions at the end work on canonical wire names in place, for code that must not allocate.

use std::fmt;
use std::str::FromStr;

/// Longest name in octets, the root label included (RFC 1035 §2.3.4).
pub const MAX_NAME: usize = 255;
/// Longest label in octets (RFC 1035 §2.3.4).
pub const MAX_LABEL: usize = 63;
/// Most labels a name can have, the root label not counted: 127 of one octet each.
pub const MAX_LABELS: usize = 127;

/// A domain name: canonical lower-case wire labels.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DnsName(Box<[u8]>);

/// Why a text or a wire image is not a domain name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Nothing, or nothing but white space.
    #[error("the name is empty")]
    Empty,
    /// `a..b`, or a leading dot.
    #[error("the name has an empty label")]
    EmptyLabel,
    /// RFC 1035 §2.3.4.
    #[error("a label has {0} octets; at most {MAX_LABEL} are allowed")]
    LabelTooLong(usize),
    /// RFC 1035 §2.3.4.
    #[error("the name has more than {MAX_NAME} octets")]
    TooLong,
    /// RFC 1035 §5.1: a backslash takes three decimal digits up to 255, or one other character.
    #[error("bad escape: write \\DDD (000 to 255) or \\ and one character")]
    BadEscape,
    /// UTS 46 refuses the text, or escapes stand beside letters outside ASCII.
    #[error("the internationalised name cannot be converted to A-labels")]
    BadIdn,
    /// White space or a control character written as such.
    #[error("the name contains white space or a control character")]
    WhiteSpace,
    /// Wire image: compression, a reserved label type, or octets missing or left over.
    #[error("the octets are not an uncompressed name")]
    BadWire,
}

impl DnsName {
    /// The root, `.`.
    pub fn root() -> Self {
        Self(Box::new([0]))
    }

    /// Reads presentation format: a trailing dot is optional, `\.` and `\DDD` are escapes (RFC 1035 §5.1), letters outside
    /// ASCII become A-labels (UTS 46, non-transitional), upper case becomes lower. A text is always a full name.
    ///
    /// Underscores and any escaped octet are legal: this is the DNS, not host-name syntax.
    pub fn from_text(text: &str) -> Result<Self, NameError> {
        if text.is_empty() {
            return Err(NameError::Empty);
        }
        if text == "." {
            return Ok(Self::root());
        }
        if text.is_ascii() {
            return from_ascii(text.as_bytes());
        }
        if text.contains('\\') {
            return Err(NameError::BadIdn);
        }
        let ascii = idna::uts46::Uts46::new()
            .to_ascii(
                text.as_bytes(),
                idna::AsciiDenyList::EMPTY,
                idna::uts46::Hyphens::Allow,
                idna::uts46::DnsLength::Ignore,
            )
            .map_err(|_| NameError::BadIdn)?;
        from_ascii(ascii.as_bytes())
    }

    /// Takes an uncompressed wire name of exactly these octets and puts it into lower case.
    pub fn from_wire(wire: &[u8]) -> Result<Self, NameError> {
        if wire.len() > MAX_NAME {
            return Err(NameError::TooLong);
        }
        if wire_len(wire) != Some(wire.len()) {
            return Err(NameError::BadWire);
        }
        Ok(Self(wire.to_ascii_lowercase().into()))
    }

    /// The canonical wire octets, the root label included.
    pub fn as_wire(&self) -> &[u8] {
        &self.0
    }

    /// Whether this is the root.
    pub fn is_root(&self) -> bool {
        self.0.len() == 1
    }

    /// Labels, the root label not counted: `www.example.` has two.
    pub fn label_count(&self) -> usize {
        labels(&self.0).count()
    }

    /// The name one label up; the root has none.
    pub fn parent(&self) -> Option<Self> {
        parent(&self.0).map(|rest| Self(rest.into()))
    }

    /// Whether this name is `ancestor` or stands below it.
    pub fn is_at_or_below(&self, ancestor: &Self) -> bool {
        is_at_or_below(&self.0, &ancestor.0)
    }
}

fn from_ascii(text: &[u8]) -> Result<DnsName, NameError> {
    let mut wire = Vec::with_capacity(text.len() + 2);
    let mut start = 0; // where the current label's length octet stands
    wire.push(0);
    let mut octets = text.iter().copied();
    let mut ended = false; // a dot closed the last label
    while let Some(octet) = octets.next() {
        ended = false;
        match octet {
            b'.' => {
                close_label(&mut wire, start)?;
                start = wire.len();
                wire.push(0);
                ended = true;
            }
            b'\\' => wire.push(unescape(&mut octets)?.to_ascii_lowercase()),
            b' ' | 0..=31 | 127 => return Err(NameError::WhiteSpace),
            _ => wire.push(octet.to_ascii_lowercase()),
        }
        if wire.len() > MAX_NAME + 1 {
            return Err(NameError::TooLong);
        }
    }
    if !ended {
        close_label(&mut wire, start)?;
        wire.push(0);
    }
    if wire.len() > MAX_NAME {
        return Err(NameError::TooLong);
    }
    Ok(DnsName(wire.into()))
}

fn close_label(wire: &mut [u8], start: usize) -> Result<(), NameError> {
    match wire.len() - start - 1 {
        0 => Err(NameError::EmptyLabel),
        len @ 1..=MAX_LABEL => {
            wire[start] = len as u8;
            Ok(())
        }
        len => Err(NameError::LabelTooLong(len)),
    }
}

fn unescape(octets: &mut impl Iterator<Item = u8>) -> Result<u8, NameError> {
    let first = octets.next().ok_or(NameError::BadEscape)?;
    if !first.is_ascii_digit() {
        return Ok(first);
    }
    let mut value = u32::from(first - b'0');
    for _ in 0..2 {
        let digit = octets.next().filter(u8::is_ascii_digit).ok_or(NameError::BadEscape)?;
        value = value * 10 + u32::from(digit - b'0');
    }
    u8::try_from(value).map_err(|_| NameError::BadEscape)
}

impl fmt::Display for DnsName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_wire(f, &self.0)
    }
}

impl fmt::Debug for DnsName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DnsName({self})")
    }
}

impl FromStr for DnsName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        Self::from_text(text)
    }
}

//------ WireName ----------------------------------------------------------------------------------------------------------

/// Canonical wire octets by value: read from where names stand coded, without an allocation.
#[derive(Clone)]
pub struct WireName {
    octets: [u8; MAX_NAME],
    len: u8,
}

impl WireName {
    /// What `write` writes and says the length of; nothing if it says nothing.
    pub(crate) fn from_fn(write: impl FnOnce(&mut [u8; MAX_NAME]) -> Option<usize>) -> Self {
        let mut octets = [0; MAX_NAME];
        let len = write(&mut octets).map_or(0, |len| len.min(MAX_NAME)) as u8;
        Self { octets, len }
    }

    /// Of octets that are a name.
    pub(crate) fn of(wire: &[u8]) -> Self {
        Self::from_fn(|octets| {
            octets.get_mut(..wire.len())?.copy_from_slice(wire);
            Some(wire.len())
        })
    }
}

impl std::ops::Deref for WireName {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.octets[..usize::from(self.len)]
    }
}

impl PartialEq for WireName {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl Eq for WireName {}

impl fmt::Debug for WireName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_wire(f, self)
    }
}

//------ names in place ----------------------------------------------------------------------------------------------------

/// Octets of the uncompressed name at the start of `wire`, the root label included; `None` if it is compressed, of a
/// reserved label type, cut short, or longer than [`MAX_NAME`].
pub fn wire_len(wire: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        let len = usize::from(*wire.get(at)?);
        at += 1 + len;
        if len == 0 {
            return (at <= MAX_NAME).then_some(at);
        }
        if len > MAX_LABEL || at >= MAX_NAME {
            return None;
        }
    }
}

/// The labels of a valid uncompressed name, leftmost first, the root label left out.
pub fn labels(wire: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = wire;
    std::iter::from_fn(move || {
        let (&len, tail) = rest.split_first()?;
        let label = tail.get(..usize::from(len))?;
        rest = &tail[label.len()..];
        (len != 0).then_some(label)
    })
}

/// The wire name one label up; `None` for the root.
pub fn parent(wire: &[u8]) -> Option<&[u8]> {
    match wire.first() {
        None | Some(0) => None,
        Some(&len) => wire.get(1 + usize::from(len)..),
    }
}

/// Whether canonical `name` is `ancestor` or stands below it.
pub fn is_at_or_below(name: &[u8], ancestor: &[u8]) -> bool {
    let mut rest = Some(name);
    while let Some(here) = rest {
        if here.len() <= ancestor.len() {
            return here == ancestor;
        }
        rest = parent(here);
    }
    false
}

/// Writes a wire name in presentation format with its trailing dot; octets that would be misread are escaped
/// (RFC 1035 §5.1).
pub fn write_wire(f: &mut impl fmt::Write, wire: &[u8]) -> fmt::Result {
    if parent(wire).is_none() {
        return f.write_char('.');
    }
    for label in labels(wire) {
        for &octet in label {
            match octet {
                b'.' | b'\\' | b'"' | b';' | b'(' | b')' | b'@' | b'$' => write!(f, "\\{}", octet as char)?,
                0x21..=0x7e => f.write_char(octet as char)?,
                _ => write!(f, "\\{octet:03}")?,
            }
        }
        f.write_char('.')?;
    }
    Ok(())
}

/// A wire name as text, for messages.
pub fn wire_to_text(wire: &[u8]) -> String {
    let mut text = String::new();
    let _ = write_wire(&mut text, wire);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wire(text: &str) -> Vec<u8> {
        DnsName::from_text(text).unwrap().as_wire().to_vec()
    }

    #[test]
    fn case_and_trailing_dot_do_not_matter() {
        assert_eq!(wire("WWW.Example.COM"), b"\x03www\x07example\x03com\x00");
        assert_eq!(wire("www.example.com."), wire("WWW.example.COM"));
        assert_eq!(wire("."), b"\x00");
    }

    #[test]
    fn letters_outside_ascii_become_a_labels() {
        assert_eq!(wire("Bücher.example"), wire("xn--bcher-kva.example"));
        assert_eq!(wire("例え。テスト"), wire("xn--r8jz45g.xn--zckzah"));
        assert_eq!(DnsName::from_text("b\u{fc}\\.x"), Err(NameError::BadIdn));
    }

    #[test]
    fn any_octet_can_be_written() {
        assert_eq!(wire("a\\.b.c"), b"\x03a.b\x01c\x00");
        assert_eq!(wire("\\000\\255.x"), b"\x02\x00\xff\x01x\x00");
        assert_eq!(wire("\\065.x"), b"\x01a\x01x\x00", "an escaped upper-case letter is still a letter");
        assert_eq!(wire("_dmarc.x"), b"\x06_dmarc\x01x\x00");
        for text in ["\\000\\255.x.", "a\\.b.c.", "\\\\.\\;x."] {
            assert_eq!(DnsName::from_text(text).unwrap().to_string(), text);
        }
    }

    #[test]
    fn what_is_no_name_is_refused_with_its_reason() {
        use NameError::*;
        let long = format!("{}.example", "a".repeat(64));
        let name_256 = format!("{}.aa", ["a".repeat(62).as_str(); 4].join("."));
        for (text, error) in [
            ("", Empty),
            ("..", EmptyLabel),
            (".example", EmptyLabel),
            ("a..b", EmptyLabel),
            (long.as_str(), LabelTooLong(64)),
            (name_256.as_str(), TooLong),
            ("a\\", BadEscape),
            ("a\\25", BadEscape),
            ("a\\256", BadEscape),
            ("a b", WhiteSpace),
            ("a\r", WhiteSpace),
        ] {
            assert_eq!(DnsName::from_text(text), Err(error), "{text:?}");
        }
        let name_255 = format!("{}.a", ["a".repeat(62).as_str(); 4].join("."));
        assert_eq!(wire(&name_255).len(), 255);
    }

    #[test]
    fn wire_names_are_checked() {
        assert_eq!(DnsName::from_wire(b"\x01A\x00").unwrap().as_wire(), b"\x01a\x00");
        for bad in [&b""[..], b"\x01a", b"\x01a\x00\x00", b"\xc0\x0c", b"\x40a\x00", b"\x02a\x00"] {
            assert_eq!(DnsName::from_wire(bad), Err(NameError::BadWire), "{bad:?}");
        }
    }

    #[test]
    fn ancestry_goes_by_labels_not_by_text() {
        let name = |t| DnsName::from_text(t).unwrap();
        assert!(name("a.b.example").is_at_or_below(&name("b.example")));
        assert!(name("b.example").is_at_or_below(&name("b.example")));
        assert!(!name("ab.example").is_at_or_below(&name("b.example")));
        assert!(!name("example").is_at_or_below(&name("b.example")));
        assert!(name("x").is_at_or_below(&DnsName::root()));
        // the octets of `1b` end in the octets of `b`'s wire form; the labels do not
        assert!(!DnsName::from_wire(b"\x03a\x01b\x00").unwrap().is_at_or_below(&name("b")));
    }
}
