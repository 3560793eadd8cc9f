//! Checks the structure of a document against the tables of `keys`, before serde reads a value: serde's errors know
//! neither the table, nor the other keys, nor what is planned.

use toml::de::{DeTable, DeValue};

use super::diagnostic::{Reporter, Span};
use super::keys::{ALL, DIRECTORY, Key, Kind, LIST, PULL, ROOT, SOURCE_KINDS, SOURCE_KINDS_LATER, Table};
use super::suggest;

/// The version this program reads.
const VERSION: &str = "1";

/// Reports every key that is unknown, missing, not built or of the wrong shape. Without a `version` that is ours
/// nothing else is looked at: the keys of another version are not ours to judge.
pub(super) fn check(root: &DeTable<'_>, report: &mut Reporter<'_>) {
    if version(root, report) {
        table_keys(&ROOT, root, None, report);
    }
}

fn version(root: &DeTable<'_>, report: &mut Reporter<'_>) -> bool {
    let hint = format!("version = {VERSION}");
    match root.get("version") {
        None => report.error(None, "missing key \"version\"").hint(format!("write at the top: {hint}")),
        Some(written) => match written.as_ref() {
            DeValue::Integer(number) if number.as_str() == VERSION && number.radix() == 10 => return true,
            DeValue::Integer(number) => {
                report
                    .error(written.span(), format!("version {number} of the configuration is not known"))
                    .hint(format!("this release reads {hint}"));
            }
            _ => report.error(written.span(), "\"version\" is a number").hint(format!("write {hint}")),
        },
    }
    false
}

fn table_keys(table: &Table, written: &DeTable<'_>, place: Option<Span>, report: &mut Reporter<'_>) {
    for (name, value) in written {
        match table.keys.iter().find(|key| key.name == name.as_ref()) {
            Some(key) => key_shape(table, key, name.span(), value, report),
            None => unknown(table, name.as_ref(), name.span(), report),
        }
    }
    for key in table.keys {
        if let (Some(example), None) = (key.required, written.get(key.name)) {
            report
                .error(place.clone(), format!("missing key {:?} in {}", key.name, table.name))
                .hint(format!("write {example}"));
        }
    }
}

type Value<'i> = toml::Spanned<DeValue<'i>>;

fn key_shape(table: &Table, key: &Key, name: Span, value: &Value<'_>, report: &mut Reporter<'_>) {
    match (&key.kind, value.as_ref()) {
        (Kind::NotBuilt, _) => refuse_not_built(report, name, &format!("{:?} in {}", key.name, table.name)),
        (Kind::Value, DeValue::Datetime(time)) => {
            report.error(value.span(), "a time is written in quotes").hint(format!("write \"{time}\""));
        }
        (Kind::Value, _) => {}
        (Kind::Table(inner), DeValue::Table(written)) => table_keys(inner, written, Some(value.span()), report),
        (Kind::Tables(inner), DeValue::Array(written)) => {
            each_table(written, inner.name, report, |table, place, report| table_keys(inner, table, place, report));
        }
        (Kind::Sources, DeValue::Array(written)) => each_table(written, "[[source]]", report, source_keys),
        (Kind::Table(inner), _) => wrong_shape(report, value.span(), key.name, inner.name),
        (Kind::Tables(inner), _) => wrong_shape(report, value.span(), key.name, inner.name),
        (Kind::Sources, _) => wrong_shape(report, value.span(), key.name, "[[source]]"),
    }
}

fn each_table(
    written: &[Value<'_>],
    name: &str,
    report: &mut Reporter<'_>,
    check: impl Fn(&DeTable<'_>, Option<Span>, &mut Reporter<'_>),
) {
    for value in written {
        match value.as_ref() {
            DeValue::Table(table) => check(table, Some(value.span()), report),
            _ => report
                .error(value.span(), format!("every {name} is a table"))
                .hint(format!("write {name} above its keys")),
        }
    }
}

fn source_keys(written: &DeTable<'_>, place: Option<Span>, report: &mut Reporter<'_>) {
    let Some(kind) = written.get("kind") else {
        report
            .error(place, "missing key \"kind\" in [[source]]")
            .hint("write kind = \"directory\" (notices as files) or kind = \"list\" (names under a standing notice)");
        return;
    };
    match kind.as_ref().as_str() {
        Some("directory") => table_keys(&DIRECTORY, written, place, report),
        Some("list") => table_keys(&LIST, written, place, report),
        Some("pull") => table_keys(&PULL, written, place, report),
        Some(later) if SOURCE_KINDS_LATER.contains(&later) => {
            refuse_not_built(report, kind.span(), &format!("source kind {later:?}"));
        }
        Some(other) => {
            report.error(kind.span(), format!("unknown source kind {other:?}")).hint(suggest::hint(other, SOURCE_KINDS))
        }
        None => report.error(kind.span(), "\"kind\" is text").hint("write kind = \"directory\" or kind = \"list\""),
    }
}

/// The one wording for what is documented but does nothing yet.
pub(super) fn refuse_not_built(report: &mut Reporter<'_>, place: Span, what: &str) {
    report.error(place, format!("{what} is not built yet")).hint("remove it: this release would not act on it");
}

fn wrong_shape(report: &mut Reporter<'_>, place: Span, key: &str, name: &str) {
    let (message, hint) = if name.starts_with("[[") {
        (format!("{key:?} is a list of tables"), format!("write {name}, with two brackets: there can be several"))
    } else if name.starts_with('[') {
        (format!("{key:?} is one table"), format!("write {name} once, its keys below it"))
    } else {
        (format!("{key:?} is one table"), format!("write {key} = {{ … }}"))
    };
    report.error(place, message).hint(hint);
}

fn unknown(table: &Table, name: &str, place: Span, report: &mut Reporter<'_>) {
    let near = suggest::nearest(name, table.keys.iter().map(|key| key.name));
    let elsewhere: Vec<_> =
        ALL.into_iter().filter(|other| other.built().any(|known| known == name)).map(|other| other.name).collect();
    let hint = match near {
        Some(near) => format!("did you mean {near:?}?"),
        None if elsewhere.is_empty() => suggest::hint(name, table.built()),
        None => format!("{name:?} belongs in {}", elsewhere.join(" or ")),
    };
    report.error(place, format!("unknown key {name:?} in {}", table.name)).hint(hint);
}
