//! `[ledger] key_file`: read here, so that a key that cannot be used is found before anything is stored.

use super::{Context, path_of};
use crate::config::spec::Spanned;
use crate::ledger::seal::Key;

pub(super) fn key(written: &Spanned<String>, cx: &mut Context<'_, '_>) -> Option<Key> {
    let path = path_of(written, cx)?;
    let read = (cx.env.read_secret)(&path);
    let key = read.and_then(|text| Key::from_text(&text).ok_or_else(|| "it has not 64 hexadecimal digits".to_owned()));
    key.inspect_err(|error| {
        cx.report
            .error(written.span(), format!("the key in {} cannot be used: {error}", path.display()))
            .hint("make it with: openssl rand -hex 32 | install -m 640 -g pagar /dev/stdin FILE");
    })
    .ok()
}
