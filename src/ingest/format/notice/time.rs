//! Times: RFC 3339 with an offset.

use jiff::Timestamp;

/// RFC 3339 and nothing else of what jiff would read: no week dates, no time zone names, no local time.
pub(super) fn rfc3339(text: &str) -> Result<Timestamp, &'static str> {
    const NOT_A_TIME: &str = "is not a time in RFC 3339 format";
    let digits = |range: std::ops::Range<usize>| text.as_bytes()[range].iter().all(u8::is_ascii_digit);
    let (Some(date_time), Some(rest)) = (text.get(..19), text.get(19..)) else { return Err(NOT_A_TIME) };
    let separators = [4, 7, 10, 13, 16].map(|at| date_time.as_bytes()[at]);
    let shape_is_right = [0..4, 5..7, 8..10, 11..13, 14..16, 17..19].into_iter().all(digits)
        && matches!(separators, [b'-', b'-', b'T' | b't', b':', b':']);
    if !shape_is_right {
        return Err(NOT_A_TIME);
    }
    let offset =
        rest.strip_prefix('.').map_or(rest, |fraction| fraction.trim_start_matches(|c: char| c.is_ascii_digit()));
    match offset.as_bytes() {
        [] => return Err("is a local time; the offset from UTC is missing"),
        [b'Z' | b'z'] => {}
        [b'+' | b'-', a, b, b':', c, d] if [a, b, c, d].into_iter().all(u8::is_ascii_digit) => {}
        _ => return Err(NOT_A_TIME),
    }
    text.parse().map_err(|_| "is not a time that exists")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_rfc_3339_is_a_time() {
        let nine = "2026-11-01T01:00:00Z".parse().unwrap();
        for text in ["2026-11-01T09:00:00+08:00", "2026-11-01t01:00:00z", "2026-11-01T01:00:00.000Z"] {
            assert_eq!(rfc3339(text), Ok(nine), "{text}");
        }
        for (text, reason) in [
            ("2026-11-01T09:00:00", "offset"),
            ("2026-11-01T09:00:00.5", "offset"),
            ("2026-02-30T09:00:00Z", "exists"),
            ("2026-11-01T09:00:00.Z", "exists"),
            ("2026-11-01T25:00:00Z", "exists"),
            ("2026-11-01T09:00Z", "RFC 3339"),
            ("2026-11-01 09:00:00Z", "RFC 3339"),
            ("2026-W44-7T09:00:00Z", "RFC 3339"),
            ("20261101T090000Z", "RFC 3339"),
            ("2026-11-01T09:00:00+08", "RFC 3339"),
            ("2026-11-01T09:00:00+08:00[Asia/Kuala_Lumpur]", "RFC 3339"),
            ("\u{fc}026-11-01T09:00:00Z", "RFC 3339"),
            ("", "RFC 3339"),
        ] {
            assert!(rfc3339(text).unwrap_err().contains(reason), "{text}");
        }
    }
}
