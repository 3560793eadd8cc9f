//! `POST /v1/cache/flush?name=[&subtree=true]`: the cache forgets a name, whether the answer was good, bad or stale.
//!
//! The one endpoint that changes something, though nothing that upstreams would not bring back. A page in a browser on
//! this machine must not be able to empty the cache, so what a browser sends is refused
//! ([`guard::not_from_a_page`]).

use std::fmt;
use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::{MethodRouter, post};
use serde::{Deserialize, Serialize};

use crate::control::explain;
use crate::web::guard;
use crate::web::problem::Problem;

/// Forgets a canonical wire name and, if told so, the names below it; returns how many entries it was. This layer does
/// not know the data plane, so whoever joins the two brings it.
#[derive(Clone)]
pub struct Flush(Arc<Forget>);

type Forget = dyn Fn(&[u8], bool) -> u64 + Send + Sync;

impl Flush {
    /// What carries it out.
    pub fn new(flush: impl Fn(&[u8], bool) -> u64 + Send + Sync + 'static) -> Self {
        Self(Arc::new(flush))
    }
}

impl fmt::Debug for Flush {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Flush")
    }
}

/// What was forgotten: the answer of the endpoint.
#[derive(Debug, Deserialize, Serialize)]
pub struct Flushed {
    /// The name, canonical.
    pub name: String,
    /// Whether the names below it were meant too.
    pub subtree: bool,
    /// How many entries it was: answers, denials and failures.
    pub flushed: u64,
}

pub(in crate::web) fn route(flush: Flush) -> MethodRouter {
    post(forget).with_state(flush)
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Parameters {
    name: String,
    #[serde(default)]
    subtree: bool,
}

async fn forget(
    State(Flush(flush)): State<Flush>,
    headers: HeaderMap,
    parameters: Result<Query<Parameters>, QueryRejection>,
) -> Result<Json<Flushed>, Problem> {
    guard::not_from_a_page(&headers)?;
    let Query(Parameters { name, subtree }) = parameters.map_err(|rejection| bad(rejection.body_text()).hint(USAGE))?;
    let name = explain::asked(&name).map_err(|error| bad(format!("name: {error}")).hint(USAGE))?;
    let wire = name.as_wire().to_vec();
    // it looks at every entry: not on the thread that serves everybody else
    let flushed = tokio::task::spawn_blocking(move || flush(&wire, subtree)).await;
    let flushed = flushed.map_err(|_| Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "the cache was not flushed"))?;
    tracing::info!(flushed, "cache flushed on request"); // without the name: it may be anybody's
    Ok(Json(Flushed { name: name.to_string(), subtree, flushed }))
}

const USAGE: &str = "POST /v1/cache/flush?name=www.example.com, and &subtree=true for the names below it";

fn bad(detail: impl Into<String>) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, detail)
}

#[cfg(test)]
mod tests {
    use axum::body::{Body, to_bytes};
    use axum::http::Request;
    use axum::http::header::HOST;
    use serde_json::{Value, json};
    use tower::ServiceExt;

    use super::*;

    async fn post(query: &str, header: Option<(&str, &str)>) -> (StatusCode, Value) {
        let flush = Flush::new(|name, subtree| {
            assert_eq!(name, b"\x03www\x07example\x00");
            if subtree { 7 } else { 1 }
        });
        let mut request = Request::builder().method("POST").uri(format!("/{query}")).header(HOST, "localhost");
        if let Some((name, value)) = header {
            request = request.header(name, value);
        }
        let router = axum::Router::new().route("/", route(flush));
        let (parts, body) = router.oneshot(request.body(Body::empty()).unwrap()).await.unwrap().into_parts();
        (parts.status, serde_json::from_slice(&to_bytes(body, 1 << 20).await.unwrap()).unwrap())
    }

    #[tokio::test]
    async fn a_name_is_flushed_and_the_count_comes_back() {
        let (status, body) = post("?name=WWW.example.", None).await;
        assert_eq!(status, StatusCode::OK);
        assert_eq!(body, json!({ "name": "www.example.", "subtree": false, "flushed": 1 }));
        assert_eq!(post("?name=www.example&subtree=true", None).await.1["flushed"], 7);
        assert_eq!(post("?name=www.example", Some(("sec-fetch-site", "none"))).await.0, StatusCode::OK);
    }

    #[tokio::test]
    async fn a_page_in_a_browser_flushes_nothing() {
        for header in [
            ("origin", "http://localhost:8053"),
            ("origin", "null"),
            ("sec-fetch-site", "cross-site"),
            ("sec-fetch-site", "same-origin"),
        ] {
            let (status, body) = post("?name=other.example", Some(header)).await;
            assert_eq!((status, &body["status"]), (StatusCode::FORBIDDEN, &403.into()), "{header:?}");
        }
    }

    #[tokio::test]
    async fn a_name_is_required_and_nothing_is_guessed() {
        for query in ["", "?name=", "?name=a..b", "?name=www.example&subtree=yes", "?name=www.example&tree=true"] {
            let (status, body) = post(query, None).await;
            assert_eq!(status, StatusCode::BAD_REQUEST, "{query}");
            assert!(body["hint"].is_string(), "{query}");
        }
    }
}
