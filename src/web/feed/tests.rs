//! The routes of a feed: conditional requests, who may see what, and what is said before there is something to give.

use std::fs;
use std::time::{Duration, Instant};

use axum::body::{Body, to_bytes};
use axum::http::Request;
use axum::http::header::RETRY_AFTER;
use serde_json::{Value, json};
use tower::ServiceExt;

use super::*;
use crate::feed::{self, Config};
use crate::model::{Authority, AuthorityKind, Role};
use crate::observe::Metrics;
use crate::verify::checkpoint::Checkpoint;
use crate::verify::jose::{Alg, PrivateKey, jws};
use crate::verify::keyring::Keyring;

struct Fixture {
    _dir: tempfile::TempDir,
    feeds: Feeds,
    ring: Arc<Keyring>,
}

fn key(kid: &str) -> PrivateKey {
    PrivateKey::generate(Some(kid), Alg::EdDsa, Default::default()).unwrap()
}

fn ring(key: &PrivateKey) -> Arc<Keyring> {
    let id = AuthorityId::new("mcmc");
    let (kind, keys) = (AuthorityKind::Statutory, Vec::new());
    let authority = Authority {
        id: id.clone(),
        kind,
        name: "mcmc".into(),
        keys,
        required_signatures: 1,
        categories: None,
        test: false,
    };
    let mut ring = Keyring::new(&[authority]);
    ring.add(&id, "x.jwk", &key.public().to_jwk().to_string()).unwrap();
    Arc::new(ring)
}

fn notice(sequence: u64, sensitivity: &str) -> Value {
    json!({
        "version": 1, "id": format!("N-{sequence}"), "sequence": sequence, "authority": "mcmc", "kind": "restrict",
        "legal_basis": { "power": "CMA 1998 s.263(2)" }, "category": "scam", "action": "nodata",
        "sensitivity": sensitivity, "issued_at": "2026-11-01T09:00:00+08:00",
        "targets": [{ "item": "1", "name": format!("n{sequence}.example"), "scope": "exact" }],
    })
}

fn shown(headers: &HeaderMap, name: axum::http::HeaderName) -> &str {
    headers[name].to_str().unwrap()
}

impl Fixture {
    /// A feed with a public notice, 1, and a secret one, 2.
    async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (signer, own) = (key("mcmc"), key("feed"));
        let ring = ring(&own);
        let config = Config {
            authority: AuthorityId::new("mcmc"),
            key: Arc::new(own),
            keyring: self::ring(&signer),
            notices: dir.path().to_owned(),
            validity: Duration::from_secs(3600),
            state: dir.path().join("state"),
        };
        for (sequence, sensitivity) in [(1, "public"), (2, "secret")] {
            let octets = jws::compact(notice(sequence, sensitivity).to_string().as_bytes(), &signer);
            fs::write(dir.path().join(format!("{sequence}.jws")), octets).unwrap();
        }
        let feeds = feed::start(&[config], &Metrics::new("0", "0").unwrap().feeds).unwrap();
        let fixture = Self { _dir: dir, feeds, ring };
        let since = Instant::now();
        let ready = || fixture.feeds.edition("mcmc").flatten().is_some_and(|edition| edition.notice(2).is_some());
        while !ready() {
            assert!(since.elapsed() < Duration::from_secs(10));
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        fixture
    }

    async fn ask(&self, path: &str, at_hand: Option<&str>, caller: Option<Caller>) -> (StatusCode, HeaderMap, Vec<u8>) {
        let mut request = Request::builder().uri(format!("/v1/feed/{path}")).body(Body::empty()).unwrap();
        if let Some(tag) = at_hand {
            request.headers_mut().insert(IF_NONE_MATCH, tag.parse().unwrap());
        }
        request.extensions_mut().insert(caller.unwrap_or_else(Caller::local));
        let (parts, body) = route(self.feeds.clone()).oneshot(request).await.unwrap().into_parts();
        (parts.status, parts.headers, to_bytes(body, 1 << 20).await.unwrap().to_vec())
    }

    async fn status(&self, path: &str, caller: Option<Caller>) -> u16 {
        self.ask(path, None, caller).await.0.as_u16()
    }
}

#[tokio::test]
async fn what_is_published_is_served_with_what_it_is_known_by() {
    let fixture = Fixture::new().await;
    let (status, headers, body) = fixture.ask("mcmc/checkpoint", None, None).await;
    assert_eq!((status, shown(&headers, CONTENT_TYPE)), (StatusCode::OK, "application/jose+json"));
    let now = jiff::Timestamp::now();
    let checkpoint = Checkpoint::read(&body, &fixture.ring, &AuthorityId::new("mcmc"), now).unwrap();
    let tag = headers[ETAG].to_str().unwrap().to_owned();
    assert!(tag.starts_with('"') && tag.len() == 66, "{tag}");
    assert_eq!(headers[CACHE_CONTROL], "private, no-cache");
    let page = &checkpoint.says.pages[0];
    let (status, headers, body) = fixture.ask(&format!("mcmc/pages/{}", page.sha256), None, None).await;
    assert_eq!((status, shown(&headers, CONTENT_TYPE)), (StatusCode::OK, "application/json"));
    assert_eq!(headers[ETAG], format!("\"{}\"", page.sha256));
    assert!(headers[CACHE_CONTROL].to_str().unwrap().contains("immutable"));
    let entries = page.read(&body).unwrap();
    let (status, headers, body) = fixture.ask("mcmc/notices/1", None, None).await;
    assert_eq!((status, shown(&headers, CONTENT_TYPE)), (StatusCode::OK, "application/jose"));
    assert_eq!(headers[ETAG], format!("\"{}\"", entries[0].envelope));
    assert_eq!(body.len() as u64, entries[0].size);
}

#[tokio::test]
async fn what_is_at_hand_is_not_sent_again() {
    let fixture = Fixture::new().await;
    for path in ["mcmc/checkpoint", "mcmc/notices/1"] {
        let tag = fixture.ask(path, None, None).await.1[ETAG].to_str().unwrap().to_owned();
        for at_hand in [tag.clone(), format!("W/{tag}"), format!("\"x\", {tag}"), "*".to_owned()] {
            let (status, headers, body) = fixture.ask(path, Some(&at_hand), None).await;
            assert_eq!((status, body.len()), (StatusCode::NOT_MODIFIED, 0), "{at_hand}");
            assert_eq!(headers[ETAG].to_str().unwrap(), tag);
        }
        assert_eq!(fixture.ask(path, Some("\"x\""), None).await.0, StatusCode::OK);
    }
}

#[tokio::test]
async fn what_is_not_there_is_a_problem() {
    let fixture = Fixture::new().await;
    for path in ["court/checkpoint", "mcmc/notices/3", "mcmc/notices/x", "mcmc/notices/-1", "mcmc/pages/x"] {
        let (status, headers, _) = fixture.ask(path, None, None).await;
        assert_eq!(
            (status, shown(&headers, CONTENT_TYPE)),
            (StatusCode::NOT_FOUND, "application/problem+json"),
            "{path}"
        );
    }
}

#[tokio::test]
async fn secret_notices_and_other_authorities_are_for_those_who_may() {
    let fixture = Fixture::new().await;
    let viewer = Caller { role: Role::Viewer, is_known: true, ..Caller::local() };
    let of = |authority: &str| Caller {
        role: Role::Authority,
        authority: Some(AuthorityId::new(authority)),
        ..viewer.clone()
    };
    let trusted = Caller { secret: true, ..viewer.clone() };
    assert_eq!(fixture.status("mcmc/notices/2", None).await, 403, "nobody knows who it is");
    assert_eq!(fixture.status("mcmc/notices/2", Some(viewer.clone())).await, 403);
    assert_eq!(fixture.status("mcmc/notices/2", Some(trusted)).await, 200);
    for path in ["mcmc/checkpoint", "mcmc/notices/1"] {
        assert_eq!(fixture.status(path, Some(viewer.clone())).await, 200);
        assert_eq!(fixture.status(path, Some(of("mcmc"))).await, 200);
        assert_eq!(fixture.status(path, Some(of("court"))).await, 403);
    }
}

#[tokio::test]
async fn before_the_first_edition_one_is_to_come_again() {
    let dir = tempfile::tempdir().unwrap();
    let config = Config {
        authority: AuthorityId::new("mcmc"),
        key: Arc::new(key("feed")),
        keyring: ring(&key("mcmc")),
        notices: dir.path().join("not there"),
        validity: Duration::from_secs(3600),
        state: dir.path().join("state"),
    };
    let feeds = feed::start(&[config], &Metrics::new("0", "0").unwrap().feeds).unwrap();
    let fixture = Fixture { _dir: dir, feeds, ring: ring(&key("feed")) };
    let (status, headers, _) = fixture.ask("mcmc/checkpoint", None, None).await;
    assert_eq!((status, shown(&headers, RETRY_AFTER)), (StatusCode::SERVICE_UNAVAILABLE, "5"));
}
