//! `POST /v1/cache/flush?name=[&subtree=true]`: the cache forgets a name, whether the answer was good, bad or stale.
//!
//! For operators. It changes nothing that upstreams would not bring back.

use std::fmt;
use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::routing::{MethodRouter, post};
use serde::{Deserialize, Serialize};

use crate::control::explain;
use crate::model::Caller;
use crate::web::auth::{self, OPERATORS};
use crate::web::problem::{Code, Problem};

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
    caller: Caller,
    parameters: Result<Query<Parameters>, QueryRejection>,
) -> Result<Json<Flushed>, Problem> {
    auth::require(&caller, OPERATORS)?;
    let Query(Parameters { name, subtree }) = parameters.map_err(|rejection| bad(rejection.body_text()).hint(USAGE))?;
    let name = explain::asked(&name).map_err(|error| bad(format!("name: {error}")).hint(USAGE))?;
    let wire = name.as_wire().to_vec();
    // it looks at every entry: not on the thread that serves everybody else
    let flushed = tokio::task::spawn_blocking(move || flush(&wire, subtree)).await;
    let flushed = flushed.map_err(|_| Problem::new(Code::Internal, "the cache was not flushed"))?;
    tracing::info!(flushed, "cache flushed on request"); // without the name: it may be anybody's
    Ok(Json(Flushed { name: name.to_string(), subtree, flushed }))
}

const USAGE: &str = "POST /v1/cache/flush?name=www.example.com, and &subtree=true for the names below it";

fn bad(detail: impl Into<String>) -> Problem {
    Problem::new(Code::Parameters, detail)
}

#[cfg(test)]
mod tests {
    use axum::Extension;
    use axum::body::{Body, to_bytes};
    use axum::http::{Request, StatusCode};
    use serde_json::{Value, json};
    use tower::ServiceExt;

    use super::*;
    use crate::model::Role;

    async fn post(query: &str, caller: Caller) -> (StatusCode, Value) {
        let flush = Flush::new(|name, subtree| {
            assert_eq!(name, b"\x03www\x07example\x00");
            if subtree { 7 } else { 1 }
        });
        let request = Request::builder().method("POST").uri(format!("/{query}")).body(Body::empty()).unwrap();
        let router = axum::Router::new().route("/", route(flush)).layer(Extension(caller));
        let (parts, body) = router.oneshot(request).await.unwrap().into_parts();
        (parts.status, serde_json::from_slice(&to_bytes(body, 1 << 20).await.unwrap()).unwrap())
    }

    #[tokio::test]
    async fn a_name_is_flushed_and_the_count_comes_back() {
        let (status, body) = post("?name=WWW.example.", Caller::local()).await;
        assert_eq!(status, StatusCode::OK);
        assert_eq!(body, json!({ "name": "www.example.", "subtree": false, "flushed": 1 }));
        assert_eq!(post("?name=www.example&subtree=true", Caller::local()).await.1["flushed"], 7);
    }

    #[tokio::test]
    async fn only_an_operator_flushes() {
        for role in [Role::Viewer, Role::Authority] {
            let (status, body) = post("?name=www.example", Caller { role, ..Caller::local() }).await;
            assert_eq!((status, &body["code"]), (StatusCode::FORBIDDEN, &"role".into()));
        }
    }

    #[tokio::test]
    async fn a_name_is_required_and_nothing_is_guessed() {
        for query in ["", "?name=", "?name=a..b", "?name=www.example&subtree=yes", "?name=www.example&tree=true"] {
            let (status, body) = post(query, Caller::local()).await;
            assert_eq!(status, StatusCode::BAD_REQUEST, "{query}");
            assert!(body["hint"].is_string(), "{query}");
        }
    }
}
