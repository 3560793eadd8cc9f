//! `POST /v1/overrides`: a person lifts a name, takes that back, or approves what is held; `GET /v1/overrides`: what waits
//! for people. The requests are those of the operators' socket, `{"lift":{"name":…,"reason":…}}`,
//! `{"restore":{"name":…,"reason":…}}` and `{"approve":{"id":…,"reason":…}}`.
//!
//! The person is the client, so that two clients are two persons; whoever has shown no credential is nobody in particular
//! and decides nothing. What waits is for readers, without the names of secret notices unless the client may see them.

use std::fmt;

use axum::Json;
use axum::extract::{FromRequest, Request, State};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::routing::{MethodRouter, get};
use serde::Serialize;

use crate::control::command::{Ask, HeldItem, OperatorReply, OperatorRequest};
use crate::model::Caller;
use crate::web::auth::{self, OPERATORS, READERS};
use crate::web::body::Body;
use crate::web::operator::Handler;
use crate::web::problem::{Code, Problem};

/// Octets of a request: a name and a reason are far shorter.
const LONGEST: usize = 64 * 1024;

/// What carries the requests out. It blocks for as long as that takes.
#[derive(Clone)]
pub struct Operators(pub Handler);

impl fmt::Debug for Operators {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Operators")
    }
}

/// What was done.
#[derive(Debug, Serialize)]
struct Done {
    /// In words.
    text: String,
    /// Under which number the ledger has it.
    ledger: Option<u64>,
}

/// What waits for people.
#[derive(Debug, Serialize)]
struct Waiting {
    /// The oldest first.
    held: Vec<HeldItem>,
}

pub(in crate::web) fn route(operators: Operators) -> MethodRouter {
    get(waiting).post(decide).with_state(operators)
}

async fn waiting(State(operators): State<Operators>, caller: Caller) -> Result<Json<Waiting>, Problem> {
    auth::require(&caller, READERS)?;
    match carry_out(operators, OperatorRequest::Held { secret: caller.secret }).await? {
        OperatorReply::List(held) => Ok(Json(Waiting { held })),
        other => Err(not_done(other)),
    }
}

async fn decide(State(operators): State<Operators>, caller: Caller, request: Request) -> Result<Json<Done>, Problem> {
    auth::require(&caller, OPERATORS)?;
    if !caller.is_known {
        return Err(Problem::new(Code::UnknownPerson, "without [[web.client]] nobody knows who asks")
            .hint("use pagar lift and pagar approve on the machine, or configure a client for each person"));
    }
    let ask = read(request).await?;
    match carry_out(operators, ask.by(caller.name).map_err(not_done)?).await? {
        OperatorReply::Ok { text, ledger } => Ok(Json(Done { text, ledger })),
        other => Err(not_done(other)),
    }
}

async fn read(request: Request) -> Result<Ask, Problem> {
    let json = request.headers().get(CONTENT_TYPE).is_some_and(|kind| {
        let essence = kind.as_bytes().split(|octet| *octet == b';').next().unwrap_or_default();
        essence.trim_ascii().eq_ignore_ascii_case(b"application/json")
    });
    if !json {
        return Err(Problem::new(Code::MediaType, "a request is application/json").hint(USAGE));
    }
    let body = Body::from_request(request, &()).await?;
    if body.len() > LONGEST {
        return Err(Problem::new(Code::TooLarge, format!("a request has at most {LONGEST} octets")));
    }
    match serde_json::from_slice(&body) {
        Ok(Ask::Held {}) => Err(Problem::new(Code::Request, "what waits is read with GET /v1/overrides")),
        Ok(ask) => Ok(ask),
        Err(error) => Err(Problem::new(Code::Request, format!("the request is not understood: {error}")).hint(USAGE)),
    }
}

const USAGE: &str = "{\"lift\":{\"name\":\"www.example.com\",\"reason\":\"…\"}}, restore likewise, or {\"approve\":{\"id\":7,\"reason\":\"…\"}}";

/// It waits for the disk: not on the thread that serves everybody else.
async fn carry_out(Operators(handler): Operators, request: OperatorRequest) -> Result<OperatorReply, Problem> {
    let reply = tokio::task::spawn_blocking(move || handler(request)).await;
    reply.map_err(|_| {
        Problem::new(Code::Internal, "the server failed over it").hint("GET /v1/overrides shows what is held")
    })
}

/// A refusal as a problem, with the word that says why.
fn not_done(reply: OperatorReply) -> Problem {
    let OperatorReply::Refused { code, reason } = reply else {
        return Problem::new(Code::Internal, "the answer was another than asked for");
    };
    let status = match code.as_str() {
        "name" | "reason" => StatusCode::UNPROCESSABLE_ENTITY,
        "unknown" | "not-listed" | "not-lifted" => StatusCode::NOT_FOUND,
        "read-only" | "ledger" | "late" => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::CONFLICT,
    };
    Problem::refused(status, code, "It is not done", reason)
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use axum::Extension;
    use axum::body::to_bytes;
    use axum::http::Method;
    use serde_json::{Value, json};
    use tower::ServiceExt;

    use super::*;
    use crate::model::Role;

    type Asked = Arc<Mutex<Vec<OperatorRequest>>>;

    /// Does everything, but for what is called `bad`; keeps what it was asked.
    fn operators() -> (Operators, Asked) {
        let asked = Asked::default();
        let keep = asked.clone();
        let handler = move |request: OperatorRequest| {
            let reply = match &request {
                OperatorRequest::Held { .. } => OperatorReply::List(Vec::new()),
                OperatorRequest::Approve { id: 6, .. } => panic!("unlucky"),
                OperatorRequest::Approve { id, .. } if *id > 7 => OperatorReply::refused("unknown", "nothing is held"),
                OperatorRequest::Approve { id: 1, .. } => OperatorReply::refused("same-person", "another must"),
                _ => OperatorReply::Ok { text: "done".into(), ledger: Some(9) },
            };
            keep.lock().unwrap().push(request);
            reply
        };
        (Operators(Arc::new(handler)), asked)
    }

    fn client(role: Role) -> Caller {
        Caller { name: "alice".into(), role, is_known: true, ..Caller::local() }
    }

    async fn ask(caller: Caller, method: Method, body: &str) -> (StatusCode, Value, Vec<OperatorRequest>) {
        let (operators, asked) = operators();
        let request = Request::builder().method(method).uri("/").header(CONTENT_TYPE, "application/json");
        let request = request.body(axum::body::Body::from(body.to_owned())).unwrap();
        let router = axum::Router::new().route("/", route(operators)).layer(Extension(caller));
        let (parts, body) = router.oneshot(request).await.unwrap().into_parts();
        let body = serde_json::from_slice(&to_bytes(body, 1 << 20).await.unwrap()).unwrap();
        let asked = asked.lock().unwrap().clone();
        (parts.status, body, asked)
    }

    #[tokio::test]
    async fn the_person_is_the_client() {
        let approve = json!({ "approve": { "id": 7, "reason": " seen " } }).to_string();
        let (status, body, asked) = ask(client(Role::Operator), Method::POST, &approve).await;
        assert_eq!((status, body), (StatusCode::OK, json!({ "text": "done", "ledger": 9 })));
        assert_eq!(asked, [OperatorRequest::Approve { id: 7, reason: "seen".into(), person: "alice".into() }]);
        let lift = json!({ "lift": { "name": "Bad.Example", "reason": "typo" } }).to_string();
        assert_eq!(ask(client(Role::Operator), Method::POST, &lift).await.0, StatusCode::OK);
    }

    #[tokio::test]
    async fn only_a_known_operator_decides_and_readers_see_what_waits() {
        let approve = r#"{"approve":{"id":7,"reason":"r"}}"#;
        for (caller, code) in
            [(client(Role::Viewer), "role"), (client(Role::Authority), "role"), (Caller::local(), "unknown-person")]
        {
            let (status, body, asked) = ask(caller, Method::POST, approve).await;
            assert_eq!((status, body["code"].as_str(), asked.len()), (StatusCode::FORBIDDEN, Some(code), 0));
            assert!(body["hint"].is_string());
        }
        for (caller, status) in [
            (client(Role::Viewer), StatusCode::OK),
            (client(Role::Operator), StatusCode::OK),
            (Caller::local(), StatusCode::OK),
            (client(Role::Authority), StatusCode::FORBIDDEN),
        ] {
            assert_eq!(ask(caller, Method::GET, "").await.0, status);
        }
        let (_, body, asked) = ask(Caller { secret: true, ..client(Role::Viewer) }, Method::GET, "").await;
        assert_eq!((body, asked), (json!({ "held": [] }), vec![OperatorRequest::Held { secret: true }]));
        assert_eq!(ask(client(Role::Operator), Method::GET, "").await.2, [OperatorRequest::Held { secret: false }]);
    }

    #[tokio::test]
    async fn what_is_not_done_says_why_by_status_and_word() {
        let long = format!(r#"{{"lift":{{"name":"{}","reason":"r"}}}}"#, "a".repeat(LONGEST));
        for (body, status, code) in [
            ("", 422, "request"),
            (r#"{"held":{}}"#, 422, "request"),
            (r#"{"lift":{"name":"a.example","reason":"r","person":"bob"}}"#, 422, "request"),
            (r#"{"lift":{"name":"https://a.example/","reason":"r"}}"#, 422, "name"),
            (r#"{"lift":{"name":"a.example","reason":" "}}"#, 422, "reason"),
            (r#"{"approve":{"id":8,"reason":"r"}}"#, 404, "unknown"),
            (r#"{"approve":{"id":1,"reason":"r"}}"#, 409, "same-person"),
            (r#"{"approve":{"id":6,"reason":"r"}}"#, 500, "internal"),
            (&long, 413, "too-large"),
        ] {
            let (found, answer, _) = ask(client(Role::Operator), Method::POST, body).await;
            assert_eq!((found.as_u16(), answer["code"].as_str()), (status, Some(code)), "{answer}");
            assert_eq!(answer["type"], format!("urn:pagar:problem:{code}"));
        }
    }
}
