//! `[[authority]]`: ids, kinds, keys, categories; and finding the authority that something else names.

use super::{Context, path_of, values};
use crate::config::diagnostic::Reporter;
use crate::config::spec::{self, Spanned};
use crate::config::suggest;
use crate::model::{Authority, AuthorityId, AuthorityKind, Category};

const KINDS: [(&str, AuthorityKind); 2] =
    [("statutory", AuthorityKind::Statutory), ("operator", AuthorityKind::Operator)];

/// Every authority with a usable id. One with another mistake stays in, or each source that names it would seem wrong
/// too.
pub(super) fn all(written: &[spec::Authority], cx: &mut Context<'_, '_>) -> Vec<Authority> {
    let mut all: Vec<Authority> = Vec::with_capacity(written.len());
    for one in written {
        let Some(id) = values::short_name(&one.id, "the id of an authority", cx.report) else { continue };
        if all.iter().any(|known| known.id.as_str() == id) {
            cx.report
                .error(one.id.span(), format!("authority {id:?} is configured twice"))
                .hint("give it another id, or write both in one table");
            continue;
        }
        let authority = Authority {
            id: AuthorityId::new(id),
            kind: values::word_or(one.kind.as_ref(), "kind of authority", &KINDS, AuthorityKind::Statutory, cx.report)
                .unwrap_or_default(),
            name: name(one, id, cx.report),
            keys: key_files(one, cx),
            required_signatures: signatures(one, cx.report),
            categories: categories(one, cx.report),
        };
        believed_without(one, cx.report);
        all.push(authority);
    }
    all
}

/// The authority that `written` names.
pub(super) fn find<'a>(
    written: &Spanned<String>,
    authorities: &'a [Authority],
    report: &mut Reporter<'_>,
) -> Option<&'a Authority> {
    let id = written.as_ref().as_str();
    let found = authorities.iter().find(|known| known.id.as_str() == id);
    if found.is_none() {
        let hint = match suggest::nearest(id, authorities.iter().map(|known| known.id.as_str())) {
            Some(near) => format!("did you mean {near:?}?"),
            None => format!("add [[authority]] with id = {id:?}"),
        };
        report.error(written.span(), format!("authority {id:?} is not configured")).hint(hint);
    }
    found
}

fn name(written: &spec::Authority, id: &str, report: &mut Reporter<'_>) -> String {
    let name = written.name.as_ref().map(|name| values::text(name, "the name of the authority", report));
    name.flatten().unwrap_or(id).to_owned()
}

fn key_files(written: &spec::Authority, cx: &mut Context<'_, '_>) -> Vec<std::path::PathBuf> {
    let keys = written.keys.iter().flat_map(Spanned::as_ref);
    keys.filter_map(|key| key_file(key, cx)).collect()
}

/// Nobody may take what is written about signatures for a protection.
fn believed_without(written: &spec::Authority, report: &mut Reporter<'_>) {
    let keys = [
        ("keys", written.keys.as_ref().map(Spanned::span)),
        ("required_signatures", written.required_signatures.as_ref().map(Spanned::span)),
    ];
    let why = format!("yet: notices of {:?} are believed without signatures", written.id.as_ref());
    values::unused(&keys, &why, "restrict who may write its sources", report);
}

fn key_file(written: &Spanned<String>, cx: &mut Context<'_, '_>) -> Option<std::path::PathBuf> {
    let path = path_of(written, cx)?;
    if !(cx.env.is_file)(&path) {
        cx.report
            .error(written.span(), format!("key file {} is not there", path.display()))
            .hint("relative paths are relative to the configuration file");
    }
    Some(path)
}

fn signatures(written: &spec::Authority, report: &mut Reporter<'_>) -> u32 {
    let number = written.required_signatures.as_ref();
    number.and_then(|number| values::number(number, "required_signatures", 1..=100, report)).unwrap_or(1)
}

fn categories(written: &spec::Authority, report: &mut Reporter<'_>) -> Option<Vec<Category>> {
    let words = written.categories.as_ref()?;
    if words.as_ref().is_empty() {
        report
            .warning(words.span(), format!("authority {:?} may order nothing", written.id.as_ref()))
            .hint("leave the key out to let it order every category");
    }
    let category = |word| values::short_name(word, "a category", report).map(Category::new);
    Some(words.as_ref().iter().filter_map(category).collect())
}
