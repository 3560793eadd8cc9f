//! `POST /v1/preview?[seconds=][&scope=]`: counts what a notice, or a list with a name a line, would block of the
//! queries that come in; `GET` says how far it is, `DELETE` ends it early.
//!
//! Nothing is put in force and no answer changes, but workers count while it runs, so what a browser sends for a page is
//! refused as for the cache. The figures have no name in them.

use std::time::Duration;

use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, QueryRejection};
use axum::extract::{DefaultBodyLimit, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::{MethodRouter, get};
use serde::Deserialize;

use crate::control::Handle;
use crate::control::preview::{self, PreviewError, PreviewReport};
use crate::model::Scope;
use crate::web::guard;
use crate::web::problem::Problem;

pub(in crate::web) fn route(control: Handle) -> MethodRouter {
    get(read).post(start).delete(stop).with_state(control).layer(DefaultBodyLimit::max(preview::MAX_SIZE))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Parameters {
    seconds: Option<u64>,
    scope: Option<String>,
}

async fn read(State(control): State<Handle>) -> Result<Json<PreviewReport>, Problem> {
    control.preview().report().map(Json).ok_or_else(none)
}

async fn stop(State(control): State<Handle>, headers: HeaderMap) -> Result<Json<PreviewReport>, Problem> {
    guard::not_from_a_page(&headers)?;
    control.preview().stop().map(Json).ok_or_else(none)
}

async fn start(
    State(control): State<Handle>,
    headers: HeaderMap,
    parameters: Result<Query<Parameters>, QueryRejection>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<PreviewReport>, Problem> {
    guard::not_from_a_page(&headers)?;
    let Query(Parameters { seconds, scope }) =
        parameters.map_err(|rejection| bad(rejection.body_text()).hint(USAGE))?;
    let time = seconds.map_or(preview::DEFAULT, Duration::from_secs);
    if time.is_zero() || time > preview::LONGEST {
        return Err(bad(format!("seconds: 1 to {}", preview::LONGEST.as_secs())).hint(USAGE));
    }
    let scope = match scope.as_deref() {
        None => Scope::Subtree,
        Some(word) => [Scope::Exact, Scope::Subtree]
            .into_iter()
            .find(|scope| scope.as_str() == word)
            .ok_or_else(|| bad("scope: exact or subtree").hint(USAGE))?,
    };
    let body = body.map_err(|rejection| Problem::new(rejection.status(), rejection.body_text()))?;
    // a long list takes its time: not on the thread that serves everybody else
    let started = tokio::task::spawn_blocking(move || {
        let candidate = preview::candidate(&body, scope).map_err(|error| {
            let problem = Problem::new(StatusCode::UNPROCESSABLE_ENTITY, error.message);
            error.hint.into_iter().fold(problem, Problem::hint)
        })?;
        control.preview().start(&candidate.targets, time).map_err(|error| match error {
            PreviewError::Running => {
                Problem::new(StatusCode::CONFLICT, error.to_string()).hint("DELETE /v1/preview ends it now")
            }
            PreviewError::Thread(_) => Problem::new(StatusCode::SERVICE_UNAVAILABLE, error.to_string()),
        })
    });
    let failed = |_| Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "the preview was not started");
    started.await.map_err(failed)?.map(Json)
}

const USAGE: &str =
    "POST /v1/preview?seconds=60, with a notice or a list of names as the body; &scope=exact for a list";

fn none() -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "there has been no preview").hint(USAGE)
}

fn bad(detail: impl Into<String>) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, detail)
}

#[cfg(test)]
mod tests {
    use axum::body::{Body, to_bytes};
    use axum::http::header::HOST;
    use axum::http::{Method, Request};
    use serde_json::Value;
    use tower::ServiceExt;

    use super::*;
    use crate::web::tests::state;

    async fn ask(control: &Handle, method: Method, query: &str, body: &str) -> (StatusCode, Value) {
        ask_with(control, method, query, body, None).await
    }

    async fn ask_with(
        control: &Handle,
        method: Method,
        query: &str,
        body: &str,
        header: Option<(&str, &str)>,
    ) -> (StatusCode, Value) {
        let mut request = Request::builder().method(method).uri(format!("/{query}")).header(HOST, "localhost");
        if let Some((name, value)) = header {
            request = request.header(name, value);
        }
        let router = axum::Router::new().route("/", route(control.clone()));
        let answer = router.oneshot(request.body(Body::from(body.to_owned())).unwrap()).await.unwrap();
        let (parts, body) = answer.into_parts();
        (parts.status, serde_json::from_slice(&to_bytes(body, 1 << 20).await.unwrap()).unwrap())
    }

    #[tokio::test]
    async fn it_is_started_read_and_ended() {
        let control = state().control;
        assert_eq!(ask(&control, Method::GET, "", "").await.0, StatusCode::NOT_FOUND);
        assert_eq!(ask(&control, Method::DELETE, "", "").await.0, StatusCode::NOT_FOUND);
        let (status, body) = ask(&control, Method::POST, "?seconds=60", "a.example\nb.example\n").await;
        assert_eq!((status, &body["candidate"], &body["running"]), (StatusCode::OK, &2.into(), &true.into()), "{body}");
        assert_eq!(ask(&control, Method::POST, "", "a.example").await.0, StatusCode::CONFLICT);
        assert_eq!(ask(&control, Method::GET, "", "").await.1["running"], true);
        let (status, body) = ask(&control, Method::DELETE, "", "").await;
        assert_eq!((status, &body["running"], &body["queries"]), (StatusCode::OK, &false.into(), &0.into()));
        assert_eq!(ask(&control, Method::GET, "", "").await.1, body);
        assert_eq!(ask(&control, Method::POST, "?scope=exact", "a.example").await.0, StatusCode::OK);
    }

    #[tokio::test]
    async fn nothing_is_guessed_and_names_do_not_come_back() {
        let control = state().control;
        for query in ["?seconds=0", "?seconds=3601", "?seconds=x", "?scope=all", "?second=1"] {
            assert_eq!(ask(&control, Method::POST, query, "a.example").await.0, StatusCode::BAD_REQUEST, "{query}");
        }
        let (status, body) = ask(&control, Method::POST, "", "https://a.example/\n").await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
        assert!(!body.to_string().contains("a.example"), "{body}");
        assert!(control.preview().report().is_none());
    }

    #[tokio::test]
    async fn a_page_in_a_browser_starts_and_ends_nothing() {
        let control = state().control;
        let page = Some(("origin", "http://localhost:8053"));
        for method in [Method::POST, Method::DELETE] {
            assert_eq!(ask_with(&control, method, "", "a.example", page).await.0, StatusCode::FORBIDDEN);
        }
        assert!(control.preview().report().is_none());
    }

    #[tokio::test]
    async fn a_body_may_be_as_long_as_a_notice_and_no_longer() {
        let control = state().control;
        let line = "abcdefgh.example\n";
        let long = line.repeat((3 << 20) / line.len());
        assert_eq!(ask(&control, Method::POST, "", &long).await.0, StatusCode::OK);
        control.preview().stop();
        let longer = "#".repeat(preview::MAX_SIZE + 1);
        assert_eq!(ask(&control, Method::POST, "", &longer).await.0, StatusCode::PAYLOAD_TOO_LARGE);
    }
}
