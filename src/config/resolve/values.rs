//! Single values: numbers in a range, words of a choice, short names, addresses, times, sizes.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::ops::{Range, RangeInclusive};
use std::time::Duration;

use jiff::Timestamp;

use crate::config::diagnostic::Reporter;
use crate::config::spec::{Size, Spanned};
use crate::config::suggest;
use crate::model::{Network, NetworkError};

/// Resolves what may be left out: the outer `None` is a mistake, the inner one absence.
pub(super) fn optional<W, T>(written: Option<W>, resolve: impl FnOnce(W) -> Option<T>) -> Option<Option<T>> {
    written.map_or(Some(None), |written| resolve(written).map(Some))
}

/// A number in a range that fits its type.
pub(super) fn number<T: TryFrom<i64>>(
    written: &Spanned<i64>,
    what: &str,
    range: RangeInclusive<i64>,
    report: &mut Reporter<'_>,
) -> Option<T> {
    let fits = range.contains(written.as_ref()).then(|| T::try_from(*written.as_ref()).ok()).flatten();
    if fits.is_none() {
        report.error(written.span(), format!("{what} is {}", written.as_ref())).hint(format!(
            "write a number from {} to {}",
            range.start(),
            range.end()
        ));
    }
    fits
}

/// Warns of keys that are written and do nothing, and why.
pub(super) fn unused(keys: &[(&str, Option<Range<usize>>)], why: &str, hint: &str, report: &mut Reporter<'_>) {
    for (key, place) in keys {
        if let Some(place) = place {
            report.warning(place.clone(), format!("{key} does nothing {why}")).hint(hint);
        }
    }
}

/// One word of a choice.
pub(super) fn word<T: Copy>(
    written: &Spanned<String>,
    what: &str,
    choice: &[(&str, T)],
    report: &mut Reporter<'_>,
) -> Option<T> {
    let word = written.as_ref().as_str();
    let found = choice.iter().find(|(name, _)| *name == word).map(|(_, value)| *value);
    if found.is_none() {
        report
            .error(written.span(), format!("unknown {what} {word:?}"))
            .hint(suggest::hint(word, choice.iter().map(|(name, _)| *name)));
    }
    found
}

/// The same where the key may be left out.
pub(super) fn word_or<T: Copy>(
    written: Option<&Spanned<String>>,
    what: &str,
    choice: &[(&str, T)],
    default: T,
    report: &mut Reporter<'_>,
) -> Option<T> {
    written.map_or(Some(default), |written| word(written, what, choice, report))
}

/// The id of an authority, or a category: what can stand in a metric label, a file name and a URL without quoting.
pub(super) fn short_name<'a>(written: &'a Spanned<String>, what: &str, report: &mut Reporter<'_>) -> Option<&'a str> {
    let name = written.as_ref().as_str();
    let fits = |octet: &u8| octet.is_ascii_lowercase() || octet.is_ascii_digit() || *octet == b'-';
    if (1..=63).contains(&name.len()) && name.as_bytes().iter().all(fits) && !name.starts_with('-') {
        return Some(name);
    }
    report
        .error(written.span(), format!("{name:?} cannot be {what}"))
        .hint("write 1 to 63 of a-z, 0-9 and \"-\", not starting with \"-\"");
    None
}

/// Text for people and records: something must be there, and no control characters.
pub(super) fn text<'a>(written: &'a Spanned<String>, what: &str, report: &mut Reporter<'_>) -> Option<&'a str> {
    let text = written.as_ref().trim();
    let wrong = if text.is_empty() {
        "is empty"
    } else if text.chars().any(char::is_control) {
        "holds a line break or another control character"
    } else {
        return Some(text);
    };
    report.error(written.span(), format!("{what} {wrong}")).hint("write a line of text");
    None
}

/// An address to listen on; the port must be written, for there are too many to guess.
pub(super) fn socket_address(
    written: &Spanned<String>,
    usual_port: u16,
    report: &mut Reporter<'_>,
) -> Option<SocketAddr> {
    let text = written.as_ref().as_str();
    let hint = match text.parse::<SocketAddr>() {
        Ok(address) if address.ip().to_canonical() == address.ip() => return Some(address),
        Ok(mapped) => format!("write \"{}\"", SocketAddr::new(mapped.ip().to_canonical(), mapped.port())),
        Err(_) => without_port(text, usual_port),
    };
    report.error(written.span(), format!("{text:?} is not an address and port to listen on")).hint(hint);
    None
}

fn without_port(text: &str, usual_port: u16) -> String {
    match text.trim_matches(['[', ']']).parse::<IpAddr>() {
        Ok(ip) => format!("write the port too: \"{}\"", SocketAddr::new(ip, usual_port)),
        Err(_) => format!("write it like \"127.0.0.1:{usual_port}\" or \"[::1]:{usual_port}\""),
    }
}

/// A time with its offset: without one, midnight would mean eight hours more or less.
pub(super) fn time(written: &Spanned<String>, what: &str, report: &mut Reporter<'_>) -> Option<Timestamp> {
    let text = written.as_ref().as_str();
    let time = text.parse().ok();
    if time.is_none() {
        report
            .error(written.span(), format!("{what} {text:?} is not a time with its offset (RFC 3339)"))
            .hint("write it like \"2027-01-01T00:00:00+08:00\", or with Z for UTC");
    }
    time
}

/// A length of time in a range.
pub(super) fn duration(
    written: &Spanned<String>,
    what: &str,
    range: RangeInclusive<Duration>,
    report: &mut Reporter<'_>,
) -> Option<Duration> {
    duration_at(written.as_ref(), written.span(), what, range, report)
}

/// The same where the place of the text is that of the table around it.
pub(super) fn duration_at(
    text: &str,
    place: Range<usize>,
    what: &str,
    range: RangeInclusive<Duration>,
    report: &mut Reporter<'_>,
) -> Option<Duration> {
    let duration = duration_of(text).filter(|duration| range.contains(duration));
    if duration.is_none() {
        let (from, to) = (in_words(*range.start()), in_words(*range.end()));
        report
            .error(place, format!("{what} is {text:?}"))
            .hint(format!("write a time from {from} to {to}, like \"1.5s\", with ms, s, m, h or d"));
    }
    duration
}

fn in_words(duration: Duration) -> String {
    let seconds = duration.as_secs_f64();
    if seconds >= 86_400.0 { format!("{}d", seconds / 86_400.0) } else { format!("{seconds}s") }
}

fn duration_of(text: &str) -> Option<Duration> {
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let seconds = match unit.trim() {
        "ms" => 0.001,
        "s" => 1.0,
        "m" => 60.0,
        "h" => 3_600.0,
        "d" => 86_400.0,
        _ => return None,
    };
    Duration::try_from_secs_f64(number.parse::<f64>().ok()? * seconds).ok()
}

/// A network in CIDR notation, or one address.
pub(super) fn network(written: &Spanned<String>, report: &mut Reporter<'_>) -> Option<Network> {
    match written.as_ref().parse() {
        Ok(network) => Some(network),
        Err(error) => {
            let hint = match &error {
                NetworkError::Syntax => "write it like \"192.0.2.0/24\", \"2001:db8::/32\" or one address".to_owned(),
                NetworkError::HostBits { network, .. } => format!("did you mean {network:?}?"),
            };
            report.error(written.span(), format!("{:?}: {error}", written.as_ref())).hint(hint);
            None
        }
    }
}

/// Whether a network is the whole of its family: only that holds both the first and the last address.
pub(super) fn is_everybody(network: &Network) -> bool {
    let whole = [
        [Ipv4Addr::UNSPECIFIED, Ipv4Addr::BROADCAST].map(IpAddr::from),
        [Ipv6Addr::UNSPECIFIED, Ipv6Addr::from_bits(u128::MAX)].map(IpAddr::from),
    ];
    whole.iter().any(|ends| ends.iter().all(|end| network.contains(*end)))
}

/// A number of bytes, plain or with a binary unit.
pub(super) fn size(written: &Spanned<Size>, what: &str, report: &mut Reporter<'_>) -> Option<u64> {
    let bytes = match written.as_ref() {
        Size::Bytes(bytes) => u64::try_from(*bytes).ok(),
        Size::Text(text) => bytes_of(text),
    };
    if bytes.is_none() {
        report
            .error(written.span(), format!("{what} is not a size"))
            .hint("write \"256MiB\", with KiB, MiB or GiB, or a number of bytes");
    }
    bytes
}

fn bytes_of(text: &str) -> Option<u64> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let factor = match unit.trim() {
        "" | "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_units() {
        for (text, milliseconds) in [
            ("10s", Some(10_000)),
            ("1.8s", Some(1_800)),
            ("250 ms", Some(250)),
            ("2m", Some(120_000)),
            ("1h", Some(3_600_000)),
            ("1d", Some(86_400_000)),
            ("10", None),
            ("s", None),
            (".s", None),
            ("1.2.3s", None),
            ("-1s", None),
            ("1e9d", None),
            ("1w", None),
            ("", None),
            ("99999999999999999999999d", None),
        ] {
            assert_eq!(duration_of(text), milliseconds.map(Duration::from_millis), "{text}");
        }
    }

    #[test]
    fn sizes_have_binary_units() {
        for (text, bytes) in [
            ("0", Some(0)),
            ("1024", Some(1024)),
            ("64 KiB", Some(65_536)),
            ("256MiB", Some(268_435_456)),
            ("1GiB", Some(1 << 30)),
            ("256MB", None),
            ("MiB", None),
            ("-1", None),
            ("1.5GiB", None),
            ("", None),
            ("99999999999999999999", None),
            ("18446744073709551615GiB", None),
        ] {
            assert_eq!(bytes_of(text), bytes, "{text}");
        }
    }
}
