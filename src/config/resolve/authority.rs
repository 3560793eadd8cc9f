//! `[[authority]]`: ids, kinds, keys, categories; and finding the authority that something else names. Key files are
//! read here, so that one that cannot be used is found before anything is believed or refused by it.

use std::path::PathBuf;

use super::{Context, path_of, values};
use crate::config::diagnostic::Reporter;
use crate::config::spec::{self, Spanned};
use crate::config::suggest;
use crate::model::{Authority, AuthorityId, AuthorityKind, Category};
use crate::verify::keyring::Keyring;

const KINDS: [(&str, AuthorityKind); 2] =
    [("statutory", AuthorityKind::Statutory), ("operator", AuthorityKind::Operator)];

/// Every authority with a usable id, and their keys. One with another mistake stays in, or each source that names it
/// would seem wrong too.
pub(super) fn all(written: &[spec::Authority], cx: &mut Context<'_, '_>) -> (Vec<Authority>, Keyring) {
    let mut all: Vec<Authority> = Vec::with_capacity(written.len());
    let mut keyring = Keyring::default();
    for one in written {
        let Some(id) = values::short_name(&one.id, "the id of an authority", cx.report) else { continue };
        if all.iter().any(|known| known.id.as_str() == id) {
            cx.report
                .error(one.id.span(), format!("authority {id:?} is configured twice"))
                .hint("give it another id, or write both in one table");
            continue;
        }
        let mut authority = Authority {
            id: AuthorityId::new(id),
            kind: values::word_or(one.kind.as_ref(), "kind of authority", &KINDS, AuthorityKind::Statutory, cx.report)
                .unwrap_or_default(),
            name: name(one, id, cx.report),
            keys: Vec::new(),
            required_signatures: signatures(one, cx.report),
            categories: categories(one, cx.report),
            test: one.test.unwrap_or(false),
        };
        keyring.admit(&authority);
        authority.keys = key_files(one, &authority, &mut keyring, cx);
        all.push(authority);
    }
    (all, keyring)
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

/// Puts the keys of every file on the ring, and says of what will not do.
fn key_files(
    written: &spec::Authority,
    authority: &Authority,
    keyring: &mut Keyring,
    cx: &mut Context<'_, '_>,
) -> Vec<PathBuf> {
    let keys: Vec<_> = written.keys.iter().flat_map(Spanned::as_ref).collect();
    let files: Vec<_> = keys.iter().filter_map(|key| key_file(key, authority, keyring, cx)).collect();
    if files.len() == keys.len() {
        enough_keys(written, authority, keyring, cx.report); // otherwise it is not known how many there will be
    }
    files
}

pub(super) fn key_file(
    written: &Spanned<String>,
    authority: &Authority,
    keyring: &mut Keyring,
    cx: &mut Context<'_, '_>,
) -> Option<PathBuf> {
    let path = path_of(written, cx)?;
    let text = (cx.env.read_key)(&path).map_err(|error| {
        cx.report
            .error(written.span(), format!("key file {} cannot be read: {error}", path.display()))
            .hint("relative paths are relative to the configuration file");
    });
    let file = path.display().to_string();
    keyring
        .add(&authority.id, &file, &text.ok()?)
        .map_err(|error| {
            cx.report.error(written.span(), format!("key file {file} cannot be used: {error}")).hint(error.hint());
        })
        .ok()?;
    for (key, _) in keyring.keys(&authority.id).filter(|(_, from)| *from == file) {
        if let Err(outside) = key.window().check(cx.env.now) {
            cx.report
                .warning(written.span(), format!("the key {:?} in {file} {outside}", key.kid()))
                .hint("what it signs does not count; ask the authority which key it signs with");
        }
    }
    Some(path)
}

/// Nobody may take what is written about signatures for a protection that is not there, or require what cannot be.
fn enough_keys(written: &spec::Authority, authority: &Authority, keyring: &Keyring, report: &mut Reporter<'_>) {
    let signers = keyring.signers(&authority.id);
    let Some(required) = written.required_signatures.as_ref().filter(|number| *number.as_ref() > 0) else { return };
    if signers == 0 {
        let key = [("required_signatures", Some(required.span()))];
        values::unused(&key, "without keys", "write keys = [\"keys/authority.jwk\"], or remove it", report);
    } else if authority.required_signatures as usize > signers {
        let (required_signatures, id) = (authority.required_signatures, &authority.id);
        let message =
            format!("{required_signatures} signatures are required and authority \"{id}\" has {signers} keys");
        report.error(required.span(), message).hint("no notice could be good: add the other signers' key files");
    }
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
