//! `POST /v1/preview?[seconds=][&scope=]`: counts what a notice, or a list with a name a line, would block of the
//! queries that come in; `GET` says how far it is, `DELETE` ends it early.
//!
//! Nothing is put in force and no answer changes, but workers count while it runs, so only operators start and end one.
//! The figures have no name in them, and are for viewers too.

use std::time::Duration;

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{FromRequest, Query, Request, State};
use axum::routing::{MethodRouter, get};
use serde::Deserialize;

use crate::control::Handle;
use crate::control::preview::{self, PreviewError, PreviewReport};
use crate::model::{Caller, Scope};
use crate::web::auth::{self, OPERATORS, READERS};
use crate::web::body::Body;
use crate::web::problem::{Code, Problem};

pub(in crate::web) fn route(control: Handle) -> MethodRouter {
    get(read).post(start).delete(stop).with_state(control)
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Parameters {
    seconds: Option<u64>,
    scope: Option<String>,
}

async fn read(State(control): State<Handle>, caller: Caller) -> Result<Json<PreviewReport>, Problem> {
    auth::require(&caller, READERS)?;
    control.preview().report().map(Json).ok_or_else(none)
}

async fn stop(State(control): State<Handle>, caller: Caller) -> Result<Json<PreviewReport>, Problem> {
    auth::require(&caller, OPERATORS)?;
    control.preview().stop().map(Json).ok_or_else(none)
}

async fn start(
    State(control): State<Handle>,
    caller: Caller,
    parameters: Result<Query<Parameters>, QueryRejection>,
    request: Request,
) -> Result<Json<PreviewReport>, Problem> {
    auth::require(&caller, OPERATORS)?;
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
    let body = Body::from_request(request, &()).await?; // last: nobody else has it read
    // a long list takes its time: not on the thread that serves everybody else
    let started = tokio::task::spawn_blocking(move || {
        let candidate = preview::candidate(&body, scope).map_err(|error| {
            let problem = Problem::new(Code::Candidate, error.message);
            error.hint.into_iter().fold(problem, Problem::hint)
        })?;
        control.preview().start(&candidate.targets, time).map_err(|error| match error {
            PreviewError::Running => {
                Problem::new(Code::PreviewRunning, error.to_string()).hint("DELETE /v1/preview ends it now")
            }
            PreviewError::Thread(_) => Problem::new(Code::PreviewFailed, error.to_string()),
        })
    });
    let failed = |_| Problem::new(Code::Internal, "the preview was not started");
    started.await.map_err(failed)?.map(Json)
}

const USAGE: &str =
    "POST /v1/preview?seconds=60, with a notice or a list of names as the body; &scope=exact for a list";

fn none() -> Problem {
    Problem::new(Code::NoPreview, "there has been no preview").hint(USAGE)
}

fn bad(detail: impl Into<String>) -> Problem {
    Problem::new(Code::Parameters, detail)
}

#[cfg(test)]
mod tests {
    use axum::Extension;
    use axum::body::{Body, to_bytes};
    use axum::http::{Method, Request, StatusCode};
    use serde_json::Value;
    use tower::ServiceExt;

    use super::{Caller, Handle, preview, route};
    use crate::model::Role;
    use crate::web::tests::state;

    async fn ask(control: &Handle, method: Method, query: &str, body: &str) -> (StatusCode, Value) {
        ask_as(Caller::local(), control, method, query, body).await
    }

    async fn ask_as(caller: Caller, control: &Handle, method: Method, query: &str, body: &str) -> (StatusCode, Value) {
        let request = Request::builder().method(method).uri(format!("/{query}")).body(Body::from(body.to_owned()));
        let router = axum::Router::new().route("/", route(control.clone())).layer(Extension(caller));
        let (parts, body) = router.oneshot(request.unwrap()).await.unwrap().into_parts();
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
    async fn viewers_read_what_operators_start_and_end() {
        let control = state().control;
        let of = |role| Caller { role, ..Caller::local() };
        for role in [Role::Viewer, Role::Authority] {
            for method in [Method::POST, Method::DELETE] {
                let (status, body) = ask_as(of(role), &control, method, "", "a.example").await;
                assert_eq!((status, &body["code"]), (StatusCode::FORBIDDEN, &"role".into()));
            }
        }
        assert!(control.preview().report().is_none());
        assert_eq!(ask(&control, Method::POST, "", "a.example").await.0, StatusCode::OK);
        assert_eq!(ask_as(of(Role::Viewer), &control, Method::GET, "", "").await.0, StatusCode::OK);
        assert_eq!(ask_as(of(Role::Authority), &control, Method::GET, "", "").await.0, StatusCode::FORBIDDEN);
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
