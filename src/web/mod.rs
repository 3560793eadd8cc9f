//! The HTTP face: what the program says about itself, on a listener of its own.
//!
//! ```text
//! listen (connections, their limits) -> guard (Host, headers) -> router --+-- /metrics     metrics
//!                                                                         +-- /healthz     health
//!                                                                         +-- /readyz      health
//!                                                                         +-- /v1/check    api::check
//!                                                                         +-- /v1/policy   api::policy
//!                                                                         +-- /v1/preview  api::preview
//!                                                                         +-- /v1/cache/.. api::cache
//!                                                                         +-- anything     problem (404, 405)
//! ```
//!
//! One endpoint a file, each with no more state than it needs; a new one is a file and a line in `router`. Errors are
//! problems (RFC 9457). Two change something: `POST /v1/cache/flush`, which upstreams make good again, and
//! `POST /v1/preview`, after which queries are counted for a while. Other writing requests come with their callers
//! (`[[web.client]]`).
//!
//! # Who may call
//!
//! There are no credentials yet, so the configuration allows loopback listeners only, and whoever has an account on the
//! machine may read. A browser on the machine is the one way in from outside: a page elsewhere can point a name of its
//! own at 127.0.0.1 (DNS rebinding) and read the answers as its own. `guard` therefore refuses every `Host` but
//! loopback, no answer carries a CORS header, and what changes something is refused to whatever a browser sends.
//!
//! Persons who lift or approve are heard on a socket of its own, where the kernel says who asks: [`operator`].
//!
//! # What bounds it
//!
//! The control plane shares its runtime with this listener, and the data plane its machine; neither may notice a slow
//! or hostile client. `listen` bounds connections, their header, idle time and life. One endpoint reads a body, a preview's
//! candidate of 16 MiB at most. Three cause other work: `/readyz`, whose probes run once a second however often it is
//! asked; a flush of the cache, which looks at every entry on a thread of its own; and a preview, of which there is one at
//! a time.

pub mod api;
mod guard;
pub mod health;
mod listen;
mod metrics;
pub mod operator;
mod problem;

use std::sync::Arc;

use axum::Router;
use axum::middleware::from_fn;
use axum::routing::get;
use tokio::net::TcpListener;

use crate::control;
use crate::observe::Metrics;

/// What the endpoints read.
#[derive(Clone, Debug)]
pub struct State {
    /// The policy in force.
    pub control: control::Handle,
    /// The counts.
    pub metrics: Arc<Metrics>,
    /// The data plane's sockets.
    pub health: health::Health,
    /// How the cache is told to forget a name.
    pub flush: api::cache::Flush,
}

/// Serves until `shutdown`, then lets the requests under way finish, two seconds at most.
pub async fn serve(listener: TcpListener, state: State, shutdown: impl Future<Output = ()>) {
    listen::run(listener, router(state), listen::Limits::DEFAULT, shutdown).await;
}

fn router(state: State) -> Router {
    let State { control, metrics, health, flush } = state;
    let ready = health::State { control: control.clone(), metrics: metrics.clone(), health };
    Router::new()
        .route("/", get(async || INDEX))
        .route("/metrics", metrics::route(metrics))
        .route("/healthz", health::alive())
        .route("/readyz", health::ready(ready))
        .route("/v1/check", api::check::route(control.clone()))
        .route("/v1/cache/flush", api::cache::route(flush))
        .route("/v1/preview", api::preview::route(control.clone()))
        .route("/v1/policy", api::policy::route(control))
        .fallback(problem::not_found)
        .method_not_allowed_fallback(problem::wrong_method)
        .layer(from_fn(guard::check))
}

const INDEX: &str = concat!(
    "Pagar ",
    env!("CARGO_PKG_VERSION"),
    "\n\n\
     GET /v1/check?name=&type=&client=  what a name is answered with, and why\n\
     GET /v1/policy                     the policy in force and its sources\n\
     POST /v1/cache/flush?name=&subtree= forget what is cached of a name\n\
     POST /v1/preview?seconds=          count what a notice in the body would block\n\
     GET /v1/preview                    what has been counted; DELETE ends it\n\
     GET /metrics                       for Prometheus\n\
     GET /healthz                       200 while the process runs\n\
     GET /readyz                        200 while a policy is in force and the DNS sockets answer\n"
);

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use arc_swap::ArcSwap;
    use axum::body::{Body, to_bytes};
    use axum::http::header::{ALLOW, CONTENT_TYPE, HOST};
    use axum::http::{HeaderMap, Method, Request, StatusCode};
    use serde_json::Value;
    use tower::ServiceExt;

    use super::*;
    use crate::control::Handle;
    use crate::model::{AuthorityKind, Exemption, Network, Scope};
    use crate::policy::compile::tests::{notice, snapshot};
    use crate::policy::store::store;

    /// Over a policy with one notice in force and one scheduled.
    pub(super) fn state() -> State {
        let listings = [
            (notice("mcmc", "N-1", 1, None), AuthorityKind::Statutory, 0, &[("bad.example", Scope::Subtree)][..]),
            (
                notice("mcmc", "N-2", 5_000_000_000, None),
                AuthorityKind::Statutory,
                0,
                &[("later.example", Scope::Exact)],
            ),
        ];
        let (_, policy) = store(snapshot(&listings, 100));
        let exempt = Exemption {
            networks: ["192.0.2.0/28".parse::<Network>().unwrap()].into_iter().collect(),
            reason: "order 7".into(),
            until: jiff::Timestamp::MAX,
        };
        let exempt = [exempt].into_iter().collect();
        State {
            control: Handle::new(policy, Arc::new(ArcSwap::default()), Arc::new(ArcSwap::from_pointee(exempt))),
            metrics: Arc::new(Metrics::new("0", "0").unwrap()),
            health: health::Health::new(Instant::now(), Vec::new()),
            flush: api::cache::Flush::new(|_, _| 0),
        }
    }

    pub(super) async fn request(method: Method, host: &str, path: &str) -> (StatusCode, HeaderMap, String) {
        let request = Request::builder().method(method).uri(path).header(HOST, host).body(Body::empty()).unwrap();
        let (parts, body) = router(state()).oneshot(request).await.unwrap().into_parts();
        let body = to_bytes(body, 1 << 20).await.unwrap();
        (parts.status, parts.headers, String::from_utf8(body.into()).unwrap())
    }

    pub(super) async fn get(path: &str) -> (StatusCode, HeaderMap, String) {
        request(Method::GET, "127.0.0.1:8053", path).await
    }

    /// The body of an error, checked to be a problem.
    pub(super) async fn problem(path: &str) -> (StatusCode, Value) {
        let (status, headers, body) = get(path).await;
        assert_eq!(headers[CONTENT_TYPE], "application/problem+json");
        let body: Value = serde_json::from_str(&body).unwrap();
        assert_eq!(body["status"], status.as_u16());
        (status, body)
    }

    #[tokio::test]
    async fn the_index_names_every_endpoint_and_each_is_there() {
        let (status, _, index) = get("/").await;
        assert_eq!(status, StatusCode::OK);
        let paths: Vec<_> =
            index.lines().filter_map(|line| line.strip_prefix("GET ")?.split([' ', '?']).next()).collect();
        assert_eq!(paths.len(), 6);
        for path in paths {
            let (status, _, body) = get(path).await;
            // before there is a preview it says so
            assert!(status != StatusCode::NOT_FOUND || path == "/v1/preview" && body.contains("preview"), "{path}");
        }
        assert!(index.contains("POST /v1/cache/flush?name="));
        assert_eq!(request(Method::POST, "localhost", "/v1/cache/flush?name=a.example").await.0, StatusCode::OK);
        assert_eq!(get("/v1/cache/flush?name=a.example").await.0, StatusCode::METHOD_NOT_ALLOWED);
    }

    #[tokio::test]
    async fn an_unknown_path_and_a_wrong_method_are_problems() {
        let (status, body) = problem("/v1/chekc").await;
        assert_eq!((status, body["title"].as_str()), (StatusCode::NOT_FOUND, Some("Not Found")));
        let (status, headers, body) = request(Method::POST, "localhost", "/v1/check").await;
        assert_eq!(status, StatusCode::METHOD_NOT_ALLOWED);
        assert_eq!(headers[ALLOW], "GET,HEAD");
        assert_eq!(headers[CONTENT_TYPE], "application/problem+json");
        assert!(body.contains("POST"), "{body}");
    }

    #[tokio::test]
    async fn every_answer_forbids_sniffing_and_storing() {
        for path in ["/", "/metrics", "/v1/policy", "/nothing"] {
            let (_, headers, _) = get(path).await;
            assert_eq!(headers["x-content-type-options"], "nosniff", "{path}");
            assert_eq!(headers["cache-control"], "no-store", "{path}");
        }
    }
}
