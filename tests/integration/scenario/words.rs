//! Lines into words: comments, quotes, hexadecimal, seconds.

/// The line without its comment; a semicolon within quotes or after a backslash is none.
pub(super) fn without_comment(line: &str) -> &str {
    let (mut quoted, mut escaped) = (false, false);
    for (at, c) in line.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => quoted = !quoted,
            ';' if !quoted => return line[..at].trim(),
            _ => {}
        }
    }
    line.trim()
}

/// Splits at white space outside quotes; a quoted word keeps its quotes.
pub(super) fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut quoted = false;
    for c in line.chars() {
        quoted ^= c == '"';
        if c.is_whitespace() && !quoted {
            words.extend((!word.is_empty()).then(|| std::mem::take(&mut word)));
        } else {
            word.push(c);
        }
    }
    words.extend((!word.is_empty()).then_some(word));
    words
}

/// A word without its quotes.
pub(super) fn unquote(word: &str) -> String {
    word.trim_matches('"').to_owned()
}

/// Octets from hexadecimal digits; white space between them is for the reader.
pub(super) fn unhex(text: &str) -> Result<Vec<u8>, String> {
    let digits: Vec<u8> = text.bytes().filter(|octet| !octet.is_ascii_whitespace()).collect();
    let pair = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    let octets: Option<Vec<u8>> = digits.chunks(2).map(|two| pair(two).filter(|_| two.len() == 2)).collect();
    octets.ok_or_else(|| format!("not hexadecimal: {text}"))
}

/// Lower-case hexadecimal digits.
pub(super) fn hex(octets: &[u8]) -> String {
    octets.iter().map(|octet| format!("{octet:02x}")).collect()
}

/// `+60s`, `-5s`, `60`.
pub(super) fn seconds(text: &str) -> Result<i64, String> {
    let number = text.trim_start_matches('+').trim_end_matches('s');
    number.parse().map_err(|_| format!("\"{text}\" is no number of seconds; write it like +60s"))
}
