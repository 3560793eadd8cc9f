//! JSON read strictly and quietly: the building blocks of [`super::notice`].
//!
//! serde's messages quote the value they stumble over (`invalid type: string "…"`), and whether a notice is secret is not
//! known before it is read. So nothing of the file gets into a message here except an unknown key that cannot be a domain
//! name; the place says the rest.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, Visitor};

/// Longest unknown key that is shown.
const KEY_SHOWN: usize = 40;
const DUPLICATE_KEY: &str = "a key appears twice in one object";

/// A string that remembers where it stands, unless it was written with escapes.
#[derive(Debug)]
pub(super) struct Text<'a>(pub(super) Cow<'a, str>);

impl Text<'_> {
    /// The octet of `source` at which it starts.
    pub(super) fn offset(&self, source: &str) -> Option<usize> {
        let Cow::Borrowed(text) = self.0 else { return None };
        let offset = (text.as_ptr() as usize).checked_sub(source.as_ptr() as usize)?;
        (offset <= source.len()).then_some(offset)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextVisitor;
        impl<'de> Visitor<'de> for TextVisitor {
            type Value = Text<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }
            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Borrowed(text)))
            }
            fn visit_str<E>(self, text: &str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Owned(text.to_owned())))
            }
        }
        deserializer.deserialize_str(TextVisitor)
    }
}

/// A struct written as an object. Derived code alone would also take an array of the fields in their order.
#[derive(Debug)]
pub(super) struct Object<T>(pub(super) T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ObjectVisitor<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for ObjectVisitor<T> {
            type Value = Object<T>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Object<T>, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map)).map(Object)
            }
        }
        deserializer.deserialize_map(ObjectVisitor(PhantomData))
    }
}

/// An object of strings with free keys, none of them twice.
#[derive(Debug, Default)]
pub(super) struct Strings(pub(super) BTreeMap<String, String>);

impl<'de> Deserialize<'de> for Strings {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct StringsVisitor;
        impl<'de> Visitor<'de> for StringsVisitor {
            type Value = Strings;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Strings, A::Error> {
                let mut all = BTreeMap::new();
                while let Some((key, Text(value))) = map.next_entry::<String, Text<'de>>()? {
                    if all.insert(key, value.into_owned()).is_some() {
                        return Err(A::Error::custom(DUPLICATE_KEY));
                    }
                }
                Ok(Strings(all))
            }
        }
        deserializer.deserialize_map(StringsVisitor)
    }
}

/// What an error of serde_json says, in words that repeat no value of the file.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Complaint {
    pub(super) code: &'static str,
    pub(super) message: String,
    pub(super) hint: Option<String>,
}

impl Complaint {
    fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), hint: None }
    }
}

/// Rewrites an error of serde_json.
pub(super) fn complaint(error: &serde_json::Error) -> Complaint {
    let whole = error.to_string();
    let message = whole.rsplit_once(" at line ").map_or(whole.as_str(), |(message, _place)| message);
    if !error.is_data() {
        return Complaint::new("syntax", format!("not JSON: {message}")); // the parser's own words, all of them constant
    }
    if let Some(rest) = message.strip_prefix("unknown field `") {
        return unknown_key(rest);
    }
    if let Some(key) = message.strip_prefix("duplicate field ") {
        return Complaint::new("duplicate-key", format!("the key {key} appears twice in one object"));
    }
    if message == DUPLICATE_KEY {
        return Complaint::new("duplicate-key", DUPLICATE_KEY);
    }
    match message.rsplit_once(", expected ") {
        Some((_value, "u64")) => Complaint::new("type", "expected a whole number, 0 or more"),
        Some((_value, "a sequence")) => Complaint::new("type", "expected an array"),
        Some((_value, expected)) => Complaint::new("type", format!("expected {expected}")),
        None => Complaint::new("type", "this value cannot stand here"),
    }
}

/// The one of `known` that was most likely meant by `word`.
pub(super) fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    known
        .into_iter()
        .map(|candidate| (strsim::jaro_winkler(word, candidate), candidate))
        .filter(|(likeness, _)| *likeness > 0.75)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, candidate)| candidate)
}

/// `rest` is "key`, expected one of `a`, `b`"; the part after the key is constant.
fn unknown_key(rest: &str) -> Complaint {
    let (key, expected) = rest.rsplit_once("`, expected ").unwrap_or((rest, ""));
    let may_be_shown = key.len() <= KEY_SHOWN
        && key.bytes().all(|octet| octet.is_ascii_alphanumeric() || matches!(octet, b'_' | b'-'));
    let message = if may_be_shown { format!("unknown key \"{key}\"") } else { "unknown key".to_owned() };
    let mut complaint = Complaint::new("unknown-key", message);
    let known = expected.split('`').skip(1).step_by(2);
    complaint.hint = nearest(key, known).map(|meant| format!("did you mean \"{meant}\"?"));
    complaint
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only the errors are looked at")]
    struct Sample<'a> {
        #[serde(borrow)]
        effective_at: Option<Text<'a>>,
        count: Option<u64>,
        inner: Option<Vec<Object<Self>>>,
        words: Option<Strings>,
    }

    #[test]
    fn no_value_gets_into_a_message() {
        for (source, code, message) in [
            (r#""bad.example""#, "type", "expected an object"),
            (r#"["bad.example"]"#, "type", "expected an object"),
            (r#"{"inner": [["bad.example"]]}"#, "type", "expected an object"),
            (r#"{"inner": ["bad.example, expected bad.example"]}"#, "type", "expected an object"),
            (r#"{"inner": "bad.example"}"#, "type", "expected an array"),
            (r#"{"count": "bad.example"}"#, "type", "expected a whole number, 0 or more"),
            (r#"{"count": -1}"#, "type", "expected a whole number, 0 or more"),
            (r#"{"effective_at": 5}"#, "type", "expected a string"),
            (r#"{"words": {"bad.example": 5}}"#, "type", "expected a string"),
            (r#"{"bad.example": 5}"#, "unknown-key", "unknown key"),
            (r#"{"x`, expected `bad.example": 5}"#, "unknown-key", "unknown key"),
            (r#"{"effectiv_at": 5}"#, "unknown-key", "unknown key \"effectiv_at\""),
            (r#"{"count": 5, "count": 5}"#, "duplicate-key", "the key `count` appears twice in one object"),
            (r#"{"words": {"bad.example": "", "bad.example": ""}}"#, "duplicate-key", DUPLICATE_KEY),
            (r#"{"words": {"#, "syntax", "not JSON: EOF while parsing an object"),
        ] {
            let error = serde_json::from_str::<Object<Sample<'_>>>(source).unwrap_err();
            let complaint = complaint(&error);
            assert_eq!((complaint.code, complaint.message.as_str()), (code, message), "{source}");
            assert!(!complaint.hint.unwrap_or_default().contains("bad"), "{source}");
        }
    }

    #[test]
    fn the_nearest_key_is_suggested() {
        let error = serde_json::from_str::<Object<Sample<'_>>>(r#"{"effectiv_at": 5}"#).unwrap_err();
        assert_eq!(complaint(&error).hint.as_deref(), Some("did you mean \"effective_at\"?"));
        assert_eq!(nearest("zzz", ["effective_at", "count"]), None);
    }

    #[test]
    fn a_string_knows_where_it_stands_unless_it_has_escapes() {
        let source = r#"["plain", "esc\u0061ped"]"#;
        let texts: Vec<Text<'_>> = serde_json::from_str(source).unwrap();
        assert_eq!(texts[0].offset(source), Some(2));
        assert_eq!((texts[1].0.as_ref(), texts[1].offset(source)), ("escaped", None));
    }
}
