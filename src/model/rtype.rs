//! Record types by name, for people: `AAAA`, `TYPE65`, `65`.

use hickory_proto::rr::RecordType;

/// Reads a mnemonic in any case, `TYPEnnn` (RFC 3597 §5) or a number.
pub fn parse(text: &str) -> Result<u16, String> {
    let upper = text.to_ascii_uppercase();
    if let Ok(number) = upper.strip_prefix("TYPE").unwrap_or(&upper).parse() {
        return Ok(number);
    }
    let known = upper.parse::<RecordType>().map(u16::from);
    known.map_err(|_| format!("{text:?} is not a record type: write a mnemonic like AAAA, or TYPE65"))
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn types_are_read_in_every_spelling() {
        assert_eq!(["aaaa", "HTTPS", "TYPE65", "type64", "255", "ANY"].map(|t| parse(t).unwrap()), [28, 65, 65, 64, 255, 255]);
        assert!(parse("nonsense").is_err());
    }
}
