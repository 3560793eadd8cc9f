//! JSON as JOSE wants it read: of two members of one name both are refused (RFC 7515 §4 and §5.2, RFC 7517 §4), objects
//! have a bounded number of members, nesting is bounded, and no message repeats a value, since a payload may be secret.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt;

use serde::de::{Deserialize, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use super::shown;

/// Most members of an object that is looked into; more than any key, header or notice has.
const MOST_MEMBERS: usize = 64;

/// What keeps a text from being read, in words that repeat no value of it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} (line {line}, column {column})")]
pub struct Complaint {
    /// What is wrong.
    pub what: String,
    /// Line, from 1.
    pub line: usize,
    /// Column in octets, from 1.
    pub column: usize,
}

/// Reads all of a text.
pub(super) fn read<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T, Complaint> {
    serde_json::from_str(text).map_err(|error| complaint(&error))
}

/// Reads the members of an object with everything below them; for short texts, since it takes many times their size.
pub(in crate::verify) fn object(text: &str) -> Result<Map<String, Value>, Complaint> {
    match read(text)? {
        Strict(Value::Object(members)) => Ok(members),
        _ => Err(Complaint { what: "expected an object".to_owned(), line: 1, column: 1 }),
    }
}

/// Without the byte order mark that some editors write.
pub(super) fn without_mark(octets: &[u8]) -> &[u8] {
    octets.strip_prefix(b"\xef\xbb\xbf").unwrap_or(octets)
}

fn complaint(error: &serde_json::Error) -> Complaint {
    let whole = error.to_string();
    let message = whole.rsplit_once(" at line ").map_or(whole.as_str(), |(message, _place)| message);
    let what = match message.rsplit_once(", expected ") {
        _ if !error.is_data() => format!("not JSON: {message}"), // the parser's own words, all of them constant
        Some((_value, expected)) => format!("expected {expected}"),
        None => message.to_owned(), // of this file
    };
    Complaint { what, line: error.line().max(1), column: error.column().max(1) }
}

/// Hands every member of an object to `member`, which has to read its value.
pub(super) fn each<'de, A: MapAccess<'de>>(
    mut map: A,
    mut member: impl FnMut(&str, &mut A) -> Result<(), A::Error>,
) -> Result<(), A::Error> {
    let mut seen = BTreeSet::new();
    while let Some(Text(name)) = map.next_key::<Text<'de>>()? {
        if seen.len() == MOST_MEMBERS {
            return Err(A::Error::custom(format_args!("an object has more than {MOST_MEMBERS} members")));
        }
        if seen.contains(&name) {
            return Err(A::Error::custom(format_args!("the member {} stands twice", shown(&name))));
        }
        member(&name, &mut map)?;
        seen.insert(name);
    }
    Ok(())
}

/// A string, copied only where it is written with escapes.
#[derive(Debug)]
pub(super) struct Text<'a>(pub(super) Cow<'a, str>);

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

/// The names of an object's members, whose values are not looked at.
#[derive(Debug, Default)]
pub(super) struct Names(pub(super) Vec<String>);

impl<'de> Deserialize<'de> for Names {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NamesVisitor;
        impl<'de> Visitor<'de> for NamesVisitor {
            type Value = Names;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Names, A::Error> {
                let mut names = Vec::new();
                each(map, |name, map| {
                    names.push(name.to_owned());
                    map.next_value::<IgnoredAny>().map(drop)
                })?;
                Ok(Names(names))
            }
        }
        deserializer.deserialize_map(NamesVisitor)
    }
}

/// Any value without repeated members at any depth.
struct Strict(Value);

impl<'de> Deserialize<'de> for Strict {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(StrictVisitor).map(Self)
    }
}

struct StrictVisitor;

impl<'de> Visitor<'de> for StrictVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut all = Vec::new();
        while let Some(Strict(item)) = items.next_element()? {
            all.push(item);
        }
        Ok(all.into())
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Value, A::Error> {
        let mut all = Map::new();
        each(map, |name, map| {
            let Strict(value) = map.next_value()?;
            all.insert(name.to_owned(), value);
            Ok(())
        })?;
        Ok(all.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_read_as_serde_json_reads_them() {
        let text = r#"{"a": [null, true, -1, 18446744073709551615, 1.5, "x\u0041", {"a": {}}], "b": []}"#;
        assert_eq!(Value::Object(object(text).unwrap()), serde_json::from_str::<Value>(text).unwrap());
    }

    #[test]
    fn repeated_members_are_refused_at_any_depth_and_however_they_are_written() {
        for text in [r#"{"a": 1, "a": 1}"#, r#"{"b": [{"a": 1, "a": 2}]}"#, r#"{"a": 1, "\u0061": 2}"#] {
            assert!(object(text).unwrap_err().what.contains("\"a\" stands twice"), "{text}");
        }
        assert!(read::<Names>(r#"{"a": 1, "a": 2}"#).is_err());
    }

    #[test]
    fn members_and_depth_are_bounded() {
        let members = |count: usize| {
            let all: Vec<_> = (0..count).map(|n| format!("\"{n}\": 0")).collect();
            format!("{{{}}}", all.join(","))
        };
        assert_eq!(object(&members(MOST_MEMBERS)).unwrap().len(), MOST_MEMBERS);
        assert!(object(&members(MOST_MEMBERS + 1)).unwrap_err().what.contains("more than 64 members"));
        let deep = format!("{{\"a\": {}{}}}", "[".repeat(200), "]".repeat(200));
        assert!(object(&deep).unwrap_err().what.contains("recursion limit"));
    }

    #[test]
    fn no_value_gets_into_a_message() {
        for text in [r#""bad""#, r#"["bad"]"#, "1", r#"{"a": bad}"#, "{\"a\": \"bad", r#"{} "bad""#] {
            let complaint = object(text).unwrap_err();
            assert!(!complaint.to_string().contains("bad"), "{text}: {complaint}");
        }
        assert_eq!(read::<Text<'_>>("5").unwrap_err().what, "expected a string");
        assert_eq!(object("\n {\"a\" 1}").unwrap_err().to_string(), "not JSON: expected `:` (line 2, column 7)");
    }
}
