//! Record types by name, for people: `AAAA`, `TYPE65`, `65`.

use hickory_proto::rr::RecordType;

/// Reads a mnemonic in any case, `TYPEnnn` (RFC 3597 §5) or a number.
pub fn parse(text: &str) -> Option<u16> {
    let text = text.to_ascii_uppercase();
    let number = text.strip_prefix("TYPE").unwrap_or(&text);
    if number.bytes().all(|octet| octet.is_ascii_digit()) {
        return number.parse().ok();
    }
    text.parse().ok().map(|known: RecordType| known.into())
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn types_are_read_as_people_write_them() {
        let types = ["a", "AAAA", "HTTPS", "type65", "65", "ANY", "DS", "TYPE65535", "0"].map(parse);
        assert_eq!(types, [1, 28, 65, 65, 65, 255, 43, 65_535, 0].map(Some));
        for bad in ["", "TYPE", "TYPEX", "TYPE-1", "+1", "65536", "nonsense", "A A"] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }
}
