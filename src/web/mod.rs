//! The HTTP face: what the program says about itself, on a listener of its own.
//!
//! ```text
//! listen (connections, their limits) -> guard (Host, pages, headers) --+-- /healthz, /readyz  health
//!                                                                      +-- /openapi.json     openapi
//!                                                                      +-- /metrics          metrics (here, or a reader)
//!                                                                      +-- auth (who calls)
//!                                                                      |     +-- /v1/check    api::check
//!                                                                      |     +-- /v1/policy   api::policy
//!                                                                      |     +-- /v1/preview  api::preview
//!                                                                      |     +-- /v1/cache/.. api::cache
//!                                                                      |     +-- /v1/notices  api::notices
//!                                                                      |     +-- /v1/ledger   api::ledger
//!                                                                      |     +-- /v1/overrides api::overrides
//!                                                                      |     +-- /v1/feed/..  feed
//!                                                                      +-- anything          problem (404, 405)
//! ```
//!
//! One endpoint a file, each with no more state than it needs; a new one is a file and a line in `router`. Errors are
//! problems (RFC 9457) with stable words, all in the table of [`problem`].
//!
//! # Who may call
//!
//! Where no `[[web.client]]` is configured there are loopback listeners only, and whoever has an account on the machine may
//! read, and forward what authorities have signed. Where there are clients, each shows a token or a certificate and is a
//! viewer, an authority or an operator: [`auth`]. An endpoint of `restricted` has a [`Caller`](crate::model::Caller)
//! before it runs, and says itself which roles it is for. `/`, `/healthz`, `/readyz` and `/openapi.json` are open;
//! `/metrics` is for programs on this machine, and for readers. What pages in browsers may do is the affair of [`guard`].
//!
//! Persons who lift or approve are heard on a socket of its own as well, where the kernel says who asks: [`operator`].
//!
//! What clients change is said in the log, `target` [`audit::TARGET`], and every request is counted: [`audit`].
//!
//! # What bounds it
//!
//! The control plane shares its runtime with this listener, and the data plane its machine; neither may notice a slow
//! or hostile client.
//!
//! | who | may take | bounded in |
//! |---|---|---|
//! | all connections | 256 at a time, 64 of an address elsewhere; 64 KiB of header each, 10 s for it, 300 s of life | `listen` |
//! | all bodies | 48 MiB at a time; 16 MiB each, 10 s between two pieces, 60 s for all | `body` |
//! | a client | 100 requests a second, 500 at once | `auth` |
//! | an address | 20 wrong tokens a minute | `auth` |
//!
//! Three endpoints cause other work: `/readyz`, whose probes run once a second however often it is asked; a flush of the
//! cache, which looks at every entry on a thread of its own; and a preview, of which there is one at a time.

pub mod api;
mod audit;
mod auth;
mod body;
mod feed;
mod guard;
pub mod health;
mod listen;
mod metrics;
mod openapi;
pub mod operator;
mod places;
mod problem;
mod tls;

use std::sync::Arc;

use axum::middleware::{from_fn, from_fn_with_state};
use axum::routing::get;
use axum::{Extension, Router};
use tokio::net::TcpListener;

pub use auth::Access;
pub use tls::Tls;

use crate::control::{self, Desk};
use crate::feed::Feeds;
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
    /// Where orders are handed in and asked for.
    pub desk: Desk,
    /// How people's decisions are carried out.
    pub operators: api::overrides::Operators,
    /// Who may call.
    pub access: Access,
    /// The certificate it is served with, if any.
    pub tls: Tls,
    /// What is published for other nodes.
    pub feeds: Feeds,
}

/// Serves until `shutdown`, then lets the requests under way finish, two seconds at most.
pub async fn serve(listener: TcpListener, state: State, shutdown: impl Future<Output = ()>) {
    let (tls, metrics, limits) = (state.tls.clone(), state.metrics.clone(), listen::Limits::DEFAULT);
    let server = listen::Server { router: router(state), tls: tls.clone(), metrics, limits };
    tokio::select! {
        () = listen::run(listener, server, shutdown) => {}
        () = tls.watch() => {}
    }
}

fn router(state: State) -> Router {
    let State { control, metrics, health, flush, desk, operators, feeds, access, tls: _ } = state;
    let ready = health::State { control: control.clone(), metrics: metrics.clone(), health };
    let for_readers = from_fn_with_state(access.clone(), auth::local_or_reader);
    let restricted = restricted(control, desk, flush, feeds, operators)
        .route_layer(from_fn(audit::record))
        .route_layer(from_fn_with_state(access.clone(), auth::identify)); // the last is the first to see a request
    let counted = metrics.clone();
    Router::new()
        .route("/", get(async || INDEX))
        .route("/healthz", health::alive())
        .route("/readyz", health::ready(ready))
        .route("/openapi.json", openapi::route(access.clone()))
        .route("/metrics", metrics::route(metrics).layer(for_readers))
        .merge(restricted)
        .fallback(problem::not_found)
        .method_not_allowed_fallback(problem::wrong_method)
        .layer(from_fn_with_state(access, guard::check))
        .layer(Extension(body::Room::default()))
        .layer(from_fn_with_state(counted, audit::count))
}

/// What is answered to known callers only.
fn restricted(
    control: control::Handle,
    desk: Desk,
    flush: api::cache::Flush,
    feeds: Feeds,
    operators: api::overrides::Operators,
) -> Router {
    Router::new()
        .route("/v1/overrides", api::overrides::route(operators))
        .route("/v1/check", api::check::route(control.clone()))
        .route("/v1/cache/flush", api::cache::route(flush))
        .route("/v1/preview", api::preview::route(control.clone()))
        .route("/v1/policy", api::policy::route(control))
        .route("/v1/notices", api::notices::route(desk.clone()))
        .route("/v1/notices/{id}", api::notices::one(desk.clone()))
        .route("/v1/notices/{id}/receipt", api::notices::receipt(desk.clone()))
        .route("/v1/receipts", api::receipts::route(desk.clone()))
        .route("/v1/ledger", api::ledger::route(desk))
        .merge(feed::route(feeds))
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
     POST /v1/notices                   hand a signed order in; ?dry_run=true says what it would change\n\
     GET /v1/notices?state=&authority=  the notices; /v1/notices/{id} one, /v1/notices/{id}/receipt its receipt\n\
     GET /v1/receipts?notice=&format=   what became of several orders: json, csv, html\n\
     GET /v1/ledger?from=               records and their hashes\n\
     GET /v1/overrides                  what waits for people; POST lifts a name, or approves\n\
     GET /openapi.json                  all of this for programs (OpenAPI 3.1)\n\
     GET /metrics                       for Prometheus\n\
     GET /v1/feed/AUTHORITY/checkpoint  what is published of an authority's notices, if it has a [[feed]] here\n\
     GET /healthz                       200 while the process runs\n\
     GET /readyz                        200 while a policy is in force and the DNS sockets answer\n"
);

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use arc_swap::ArcSwap;
    use axum::body::{Body, to_bytes};
    use axum::http::header::{ALLOW, AUTHORIZATION, CONTENT_TYPE, HOST};
    use axum::http::request::Builder;
    use axum::http::{HeaderMap, Method, Request, StatusCode};
    use serde_json::Value;
    use sha2::{Digest, Sha256};
    use tower::ServiceExt;

    use super::*;
    use crate::control::Handle;
    use crate::control::command::OperatorReply;
    use crate::model::{AuthorityId, AuthorityKind, Caller, Client, Credential, Exemption, Network, Role, Scope};
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
        let metrics = Arc::new(Metrics::new("0", "0").unwrap());
        let access = Access::new(Vec::new(), metrics.clone());
        State {
            control: Handle::new(policy, Arc::new(ArcSwap::default()), Arc::new(ArcSwap::from_pointee(exempt))),
            metrics: metrics.clone(),
            health: health::Health::new(Instant::now(), Vec::new()),
            flush: api::cache::Flush::new(|_, _| 0),
            feeds: Feeds::default(),
            desk: Desk::unattended(),
            operators: api::overrides::Operators(Arc::new(|_| OperatorReply::List(Vec::new()))),
            tls: Tls::new(access.clone(), metrics),
            access,
        }
    }

    /// The same, where a client of each role is configured whose name and token are the role's.
    pub(super) fn clients() -> State {
        let state = state();
        let client = |role: Role| Client {
            caller: Caller {
                name: role.as_str().into(),
                role,
                authority: (role == Role::Authority).then(|| AuthorityId::new("mcmc")),
                secret: false,
                is_known: true,
            },
            credential: Credential::Token(Sha256::digest(role.as_str()).into()),
        };
        state.access.set_clients([Role::Viewer, Role::Authority, Role::Operator].map(client).to_vec());
        state
    }

    /// A request with this token.
    pub(super) fn authorised(method: &str, path: &str, token: &str) -> Builder {
        Request::builder().method(method).uri(path).header(AUTHORIZATION, format!("Bearer {token}"))
    }

    /// Sends a request from this machine.
    pub(super) async fn send(state: State, request: Request<Body>) -> (StatusCode, HeaderMap, String) {
        send_from("127.0.0.1:4711", state, request).await
    }

    /// Sends it from elsewhere.
    pub(super) async fn send_from(
        address: &str,
        state: State,
        mut request: Request<Body>,
    ) -> (StatusCode, HeaderMap, String) {
        request.extensions_mut().insert(listen::Peer { address: address.parse().unwrap(), certificate: None });
        let (parts, body) = router(state).oneshot(request).await.unwrap().into_parts();
        let body = to_bytes(body, 1 << 20).await.unwrap();
        (parts.status, parts.headers, String::from_utf8(body.into()).unwrap())
    }

    pub(super) async fn request(method: Method, host: &str, path: &str) -> (StatusCode, HeaderMap, String) {
        let request = Request::builder().method(method).uri(path).header(HOST, host).body(Body::empty()).unwrap();
        send(state(), request).await
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
        assert_eq!(paths.len(), 12);
        for path in paths {
            let (status, _, body) = get(path).await;
            // before there is a preview or a feed it says so
            let says_so = path == "/v1/preview" && body.contains("preview") || body.contains("nothing is published");
            assert!(status != StatusCode::NOT_FOUND || says_so, "{path}");
        }
        assert!(index.contains("POST /v1/cache/flush?name="));
        assert_eq!(request(Method::POST, "localhost", "/v1/cache/flush?name=a.example").await.0, StatusCode::OK);
        assert_eq!(get("/v1/cache/flush?name=a.example").await.0, StatusCode::METHOD_NOT_ALLOWED);
    }

    #[tokio::test]
    async fn an_unknown_path_and_a_wrong_method_are_problems() {
        let (status, body) = problem("/v1/chekc").await;
        assert_eq!((status, body["title"].as_str()), (StatusCode::NOT_FOUND, Some("Nothing is served there")));
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
