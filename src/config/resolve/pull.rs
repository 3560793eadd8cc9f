//! `[[source]]` of kind `pull`: where a feed is, whose, and how its server is known. The files it names are read here,
//! so that one that cannot be used is found before the feed is asked.

use std::ops::RangeInclusive;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::{Context, authority, path_of, values};
use crate::config::spec::{self, Spanned};
use crate::http::{self, Access};
use crate::ingest::Kind;
use crate::ingest::pull::Feed;
use crate::model::Authority;
use crate::verify::checkpoint::Hash;
use crate::verify::keyring::Keyring;

/// From one look to the next where nothing is written.
const INTERVAL: Duration = Duration::from_secs(60);
/// What may be written: no order is to wait longer, and an alert counts on a sign of life every five minutes.
const INTERVALS: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(120);

pub(super) fn feed(
    written: &spec::Pull,
    authorities: &[Authority],
    keyring: &Keyring,
    state: &Path,
    cx: &mut Context<'_, '_>,
) -> Option<Kind> {
    let url = url(&written.url, cx);
    let authority = authority::find(&written.authority, authorities, cx.report);
    let keys = authority.and_then(|authority| keys(written, authority, keyring, cx));
    let interval = written
        .interval
        .as_ref()
        .map_or(Some(INTERVAL), |interval| values::duration(interval, "interval", INTERVALS, cx.report));
    let access = access(written, cx);
    let (url, authority, access) = (url?, authority?.id.clone(), access?);
    if let Err(error) = (cx.env.try_access)(&url, &access) {
        cx.report
            .error(written.url.span(), format!("the feed cannot be asked: {error}"))
            .hint("relative paths are relative to the configuration file");
    }
    let known_by = Hash::of(url.as_bytes()).to_string();
    let memory = state.join("feeds").join(format!("{authority}-{}", &known_by[..16]));
    Some(Kind::Pull(Arc::new(Feed { url, authority, keyring: Arc::new(keys?), access, interval: interval?, memory })))
}

/// What its parts are below.
fn url(written: &Spanned<String>, cx: &mut Context<'_, '_>) -> Option<String> {
    let text = written.as_ref().as_str();
    let checked = match http::check_url(text) {
        Ok(()) if text.contains(['?', '#']) => Err(format!("{text:?} has more behind its path")),
        other => other.map_err(|error| error.to_string()),
    };
    if let Err(message) = checked {
        cx.report.error(written.span(), message).hint("write url = \"https://feed.authority.example/v1/feed/mcmc/\"");
        return None;
    }
    Some(format!("{}/", text.trim_end_matches('/')))
}

/// The keys of its checkpoints: its own, or the authority's. One signature is enough, since it puts nothing in force.
fn keys(written: &spec::Pull, authority: &Authority, keyring: &Keyring, cx: &mut Context<'_, '_>) -> Option<Keyring> {
    if keyring.signers(&authority.id) == 0 {
        cx.report
            .error(
                written.authority.span(),
                format!("authority \"{}\" has no keys to verify notices with", authority.id),
            )
            .hint("write keys = [\"keys/authority.jwk\"] in its [[authority]]");
        return None;
    }
    let Some(own) = &written.keys else { return Some(keyring.for_one(&authority.id)) };
    let mut ring = Keyring::new(&[Authority { required_signatures: 1, ..authority.clone() }]);
    let read: Vec<_> = own.as_ref().iter().map(|key| authority::key_file(key, authority, &mut ring, cx)).collect();
    if own.as_ref().is_empty() {
        cx.report.error(own.span(), "no key can sign the feed").hint("leave keys out if the authority's own keys do");
        return None;
    }
    read.iter().all(Option::is_some).then_some(ring)
}

fn access(written: &spec::Pull, cx: &mut Context<'_, '_>) -> Option<Access> {
    let mut path = |written: Option<&Spanned<String>>| values::optional(written, |written| path_of(written, cx));
    let [ca, token, certificate, key] =
        [&written.ca, &written.token_file, &written.certificate, &written.certificate_key]
            .map(Option::as_ref)
            .map(&mut path);
    let is_plain = written.url.as_ref().starts_with("http://");
    if is_plain {
        let keys = [
            ("ca", written.ca.as_ref().map(Spanned::span)),
            ("system_ca", written.system_ca.as_ref().map(Spanned::span)),
            ("certificate", written.certificate.as_ref().map(Spanned::span)),
            ("certificate_key", written.certificate_key.as_ref().map(Spanned::span)),
        ];
        values::unused(&keys, "with http://", "write https://, or remove it", cx.report);
    }
    let system = written.system_ca.as_ref().is_some_and(|system| *system.as_ref());
    if !is_plain && system == written.ca.is_some() {
        let message = match system {
            true => "ca and system_ca exclude each other",
            false => "it is not said whose word counts for who the server is",
        };
        cx.report
            .error(written.url.span(), message)
            .hint("write ca = \"tls/authority-ca.pem\", the authority's own, or system_ca = true");
        return None;
    }
    let certificate = match (certificate?, key?) {
        (Some(certificate), Some(key)) => Some((certificate, key)),
        (None, None) => None,
        _ => {
            let place = written.certificate.as_ref().or(written.certificate_key.as_ref()).map(Spanned::span);
            cx.report.error(place, "certificate and certificate_key go together").hint("write both, or neither");
            return None;
        }
    };
    Some(Access { ca: ca?, certificate, token: token? })
}
