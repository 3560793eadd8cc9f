//! [`not_after`] and [`is_self_issued`]: the end of a certificate and whether it is its own issuer (RFC 5280 §4.1.2), which
//! rustls does not tell. A walk to a few fields of our own certificate; nothing is believed because of them.

use jiff::Timestamp;

const SEQUENCE: u8 = 0x30;
const VERSION: u8 = 0xa0;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;

/// When a certificate in DER ends; `None` if it is none.
pub(super) fn not_after(der: &[u8]) -> Option<Timestamp> {
    let (_, mut rest) = issuer(der)?;
    let mut validity = Elements(rest.of(SEQUENCE)?);
    validity.next()?; // not before
    let (tag, text) = validity.next()?;
    time(tag, std::str::from_utf8(text).ok()?)
}

/// Whether a certificate in DER names itself as its issuer, so that no other leads to it.
pub(super) fn is_self_issued(der: &[u8]) -> bool {
    let subject = |(issuer, mut rest): (&[u8], Elements<'_>)| {
        rest.next()?; // validity
        Some(rest.of(SEQUENCE)? == issuer)
    };
    issuer(der).and_then(subject).unwrap_or_default()
}

/// The issuer, and what comes behind it.
fn issuer(der: &[u8]) -> Option<(&[u8], Elements<'_>)> {
    let mut certificate = Elements(Elements(der).of(SEQUENCE)?);
    let mut signed = Elements(certificate.of(SEQUENCE)?);
    if signed.0.first() == Some(&VERSION) {
        signed.next()?;
    }
    signed.next()?; // serial number
    signed.next()?; // algorithm
    Some((signed.of(SEQUENCE)?, signed))
}

/// RFC 5280 §4.1.2.5.1: two digits of a year mean 1950 to 2049.
fn time(tag: u8, text: &str) -> Option<Timestamp> {
    let digits = text.strip_suffix('Z').filter(|digits| digits.bytes().all(|octet| octet.is_ascii_digit()))?;
    let (year, rest) = match (tag, digits.len()) {
        (UTC_TIME, 12) => {
            let (year, rest) = digits.split_at(2);
            (format!("{}{year}", if year < "50" { "20" } else { "19" }), rest)
        }
        (GENERALIZED_TIME, 14) => (digits[..4].to_owned(), &digits[4..]),
        _ => return None,
    };
    if year == "9999" {
        return Some(Timestamp::MAX); // it has no end
    }
    let [month, day, hour, minute, second] = [0, 2, 4, 6, 8].map(|at| &rest[at..at + 2]);
    format!("{year}-{month}-{day}T{hour}:{minute}:{second}Z").parse().ok()
}

/// DER (X.690 §8.1), one element after the other.
struct Elements<'a>(&'a [u8]);

impl<'a> Elements<'a> {
    /// The next one's content, if it has this tag.
    fn of(&mut self, wanted: u8) -> Option<&'a [u8]> {
        self.next().filter(|(tag, _)| *tag == wanted).map(|(_, content)| content)
    }
}

impl<'a> Iterator for Elements<'a> {
    type Item = (u8, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let (&[tag, short], rest) = self.0.split_first_chunk()?;
        let (length, rest) = match usize::from(short) {
            length @ 0..=0x7f => (length, rest),
            long @ 0x81..=0x84 => {
                let (octets, rest) = rest.split_at_checked(long - 0x80)?;
                (octets.iter().fold(0, |length, octet| length << 8 | usize::from(*octet)), rest)
            }
            _ => return None,
        };
        let (content, rest) = rest.split_at_checked(length)?;
        self.0 = rest;
        Some((tag, content))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_of_two_forms() {
        let utc = |text| time(UTC_TIME, text).map(|time| time.to_string());
        assert_eq!(utc("261128080000Z").as_deref(), Some("2026-11-28T08:00:00Z"));
        assert_eq!(utc("991231235959Z").as_deref(), Some("1999-12-31T23:59:59Z"));
        let general = |text| time(GENERALIZED_TIME, text).map(|time| time.to_string());
        assert_eq!(general("20510101000000Z").as_deref(), Some("2051-01-01T00:00:00Z"));
        assert_eq!(time(GENERALIZED_TIME, "99991231235959Z"), Some(Timestamp::MAX));
        for odd in ["", "Z", "2611280800Z", "261128080000", "26112808000éZ", "261328080000Z", "20261128080000Z"] {
            assert_eq!(utc(odd), None, "{odd}");
        }
    }

    #[test]
    fn what_is_no_certificate_has_no_end() {
        for odd in [&b""[..], b"\x30", b"\x30\x03\x30\x01", b"\x30\x80", b"\x30\x84\xff\xff\xff\xff", b"\x02\x01\x00"] {
            assert_eq!((not_after(odd), is_self_issued(odd)), (None, false), "{odd:?}");
        }
    }
}
