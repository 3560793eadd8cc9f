//! `[[feed]]`: what is published of an authority's signed notices, and with which key. The key is read here.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::{Context, authority, path_of, values};
use crate::config::spec::{self, Spanned};
use crate::feed::Config;
use crate::model::Authority;
use crate::verify::jose::{Jwk, PrivateKey};
use crate::verify::keyring::Keyring;

/// How long a checkpoint is good where nothing is written.
const VALIDITY: Duration = Duration::from_secs(86_400);

pub(super) fn all(
    written: &[spec::Feed],
    authorities: &[Authority],
    keyring: &Arc<Keyring>,
    state: &Path,
    has_web: bool,
    cx: &mut Context<'_, '_>,
) -> Vec<Config> {
    let mut all: Vec<Config> = Vec::with_capacity(written.len());
    for one in written {
        let authority = authority::find(&one.authority, authorities, cx.report).map(|authority| authority.id.clone());
        let key = key(&one.key, cx);
        let notices = path_of(&one.notices, cx);
        let range = Duration::from_secs(60)..=Duration::from_secs(31 * 86_400);
        let validity = one.validity.as_ref();
        let validity = validity.map_or(Some(VALIDITY), |text| values::duration(text, "validity", range, cx.report));
        let (Some(authority), Some(key), Some(notices), Some(validity)) = (authority, key, notices, validity) else {
            continue;
        };
        if all.iter().any(|feed| feed.authority == authority) {
            cx.report
                .error(one.authority.span(), format!("\"{authority}\" has a feed already"))
                .hint("remove one of the two");
            continue;
        }
        if keyring.signers(&authority) == 0 {
            cx.report
                .error(
                    one.authority.span(),
                    format!("authority \"{authority}\" has no keys: no notice can be published"),
                )
                .hint("write keys = [\"keys/authority.jwk\"] in its [[authority]]");
        }
        let state = state.join("published").join(authority.as_str());
        all.push(Config { authority, key: Arc::new(key), keyring: keyring.clone(), notices, validity, state });
    }
    if let Some(first) = written.first().filter(|_| !has_web) {
        let key = [("[[feed]]", Some(first.authority.span()))];
        values::unused(&key, "without [web] listen", "write [web] and listen = \"127.0.0.1:8053\"", cx.report);
    }
    all
}

fn key(written: &Spanned<String>, cx: &mut Context<'_, '_>) -> Option<PrivateKey> {
    let path = path_of(written, cx)?;
    let read =
        (cx.env.read_secret)(&path).and_then(|text| match Jwk::read(&text).map_err(|error| error.to_string())?.pop() {
            Some(Jwk::Private(key)) => Ok(*key),
            _ => Err("it is no private key".to_owned()),
        });
    let key = read.inspect_err(|error| {
        cx.report
            .error(written.span(), format!("the key in {} cannot be used: {error}", path.display()))
            .hint("make one for the feed alone: pagar keys generate; nodes get its public half");
    });
    key.ok()
}
