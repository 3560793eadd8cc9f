//! `/v1/notices`: signed orders are handed in and what became of them is read.
//!
//! | call | what |
//! |---|---|
//! | `POST /v1/notices` | takes an order: 201 the first time, 200 when it was taken before, with its receipt |
//! | `POST /v1/notices?dry_run=true` | what it would change; nothing is recorded |
//! | `GET /v1/notices` | the notices, page by page |
//! | `GET /v1/notices/{id}` | one notice, and the orders about it |
//! | `GET /v1/notices/{id}/receipt` | the receipt of an order as it stands, signed by the node |
//!
//! `format=csv` and `format=html` give the receipt to people; several at once are in `receipts`.
//!
//! A client of an authority sends and sees what is that authority's; of others it is not even said that they are there. The
//! signature decides whether an order is believed, whoever brings it.
//!
//! `wait=SECONDS` holds the answer until the receipt says something that stays, `enforced` above all, or the time is over.

use std::collections::BTreeSet;
use std::time::Duration;

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::http::header::{CONTENT_TYPE, LOCATION};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get};
use data_encoding::BASE64URL_NOPAD;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::time::timeout;

use super::receipts::{self, Format};
use crate::control::desk::{self, NoAnswer, Push, Pushed, Refusal, Told};
use crate::control::{Desk, OrderSummary, Selection, Summary};
use crate::model::{AuthorityId, Caller, NoticeId};
use crate::web::auth::{SENDERS, require};
use crate::web::body::Envelope;
use crate::web::problem::{Code, Problem};

/// Seconds that an answer may be held.
pub(in crate::web) const LONGEST_WAIT: u64 = 60;
/// How long the control plane may take over an order: a long list may be compiled before it.
const PATIENCE: Duration = Duration::from_secs(30);
/// Notices of a page, unless it is said, and at most.
const PAGE: usize = 100;
pub(in crate::web) const LARGEST_PAGE: usize = 1_000;
/// The states that a notice can be in.
pub(in crate::web) const STATES: [&str; 7] =
    ["scheduled", "published", "enforced", "tested", "suspended", "revoked", "expired"];
/// What signed receipts are (RFC 7515 §9.2.1).
const JOSE: &str = "application/jose+json";

pub(in crate::web) fn route(desk: Desk) -> MethodRouter {
    get(list).post(push).with_state(desk)
}

pub(in crate::web) fn one(desk: Desk) -> MethodRouter {
    get(show).with_state(desk)
}

pub(in crate::web) fn receipt(desk: Desk) -> MethodRouter {
    get(read_receipt).with_state(desk)
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Sending {
    #[serde(default)]
    dry_run: bool,
    wait: Option<u64>,
}

async fn push(
    State(desk): State<Desk>,
    caller: Caller,
    parameters: Result<Query<Sending>, QueryRejection>,
    body: Envelope,
) -> Result<Response, Problem> {
    require(&caller, SENDERS)?;
    let Query(Sending { dry_run, wait }) = parameters.map_err(|rejection| bad(rejection.body_text()))?;
    let wait = waiting(wait)?;
    let push = Push { octets: body.to_vec(), client: caller.name, only: caller.authority };
    if dry_run {
        let rehearsal = within(desk.rehearse(push)).await?;
        return rehearsal.map(|rehearsal| Json(rehearsal).into_response()).map_err(|refusal| refused(*refusal));
    }
    drop(body); // gives its room back: what waits below has none
    let (mut told, is_new) = match within(desk.push(push)).await? {
        Pushed::Taken { told, is_new } => (*told, is_new),
        Pushed::Refused(refusal) => return Err(refused(*refusal)),
        Pushed::Unavailable(why) => return Err(unavailable(&why)),
    };
    if !told.is_final && !wait.is_zero() {
        told = held(&desk, told, wait).await?;
    }
    let status = if is_new { StatusCode::CREATED } else { StatusCode::OK };
    let place = format!("/v1/notices/{}?authority={}", escaped(told.notice.as_str()), escaped(told.authority.as_str()));
    let place = HeaderValue::try_from(place).map_err(|_| Problem::new(Code::Internal, "the order has no address"))?;
    Ok((status, [(LOCATION, place)], signed(told)).into_response())
}

/// The receipt when it is final, or as it stands when the time is over.
async fn held(desk: &Desk, told: Told, wait: Duration) -> Result<Told, Problem> {
    let key = (told.authority.clone(), told.notice.clone());
    match timeout(wait, desk.await_receipt(key.clone())).await {
        Ok(Ok(Some(last))) => Ok(last),
        Ok(Ok(None) | Err(_)) => Ok(told),
        Err(_) => Ok(within(desk.look(move |look| look.receipt(&key))).await?.unwrap_or(told)),
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Which {
    authority: Option<String>,
    state: Option<String>,
    cursor: Option<String>,
    limit: Option<usize>,
}

/// A page of notices.
#[derive(Debug, Serialize)]
struct Page {
    notices: Vec<Summary>,
    /// For `cursor`, if there are more.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

async fn list(
    State(desk): State<Desk>,
    caller: Caller,
    parameters: Result<Query<Which>, QueryRejection>,
) -> Result<Json<Page>, Problem> {
    let Query(Which { authority, state, cursor, limit }) =
        parameters.map_err(|rejection| bad(rejection.body_text()))?;
    let limit = limit.unwrap_or(PAGE);
    if !(1..=LARGEST_PAGE).contains(&limit) {
        return Err(bad(format!("limit: 1 to {LARGEST_PAGE}")));
    }
    let after = cursor.map(|cursor| position(&cursor)).transpose()?;
    let Some(authority) = readable(&caller, authority.as_deref()) else {
        return Ok(Json(Page { notices: Vec::new(), next: None }));
    };
    let selection = Selection { authority, notices: BTreeSet::new(), state: known_state(state)?, after, limit };
    let mut notices = within(desk.look(move |look| look.notices(&selection))).await?;
    let more = notices.len() > limit;
    notices.truncate(limit);
    let last = notices.last().filter(|_| more);
    let next = last.map(|last| BASE64URL_NOPAD.encode(format!("{}\n{}", last.authority, last.notice).as_bytes()));
    Ok(Json(Page { notices, next }))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Whose {
    authority: Option<String>,
}

/// A notice with its history.
#[derive(Debug, Serialize)]
struct History {
    #[serde(flatten)]
    summary: Summary,
    /// Every order about it, its own first.
    orders: Vec<OrderSummary>,
}

async fn show(
    State(desk): State<Desk>,
    caller: Caller,
    Path(id): Path<String>,
    parameters: Result<Query<Whose>, QueryRejection>,
) -> Result<Json<History>, Problem> {
    let Query(Whose { authority }) = parameters.map_err(|rejection| bad(rejection.body_text()))?;
    let key = find(&desk, &caller, &id, authority.as_deref()).await?;
    let found = within(desk.look(move |look| look.notice(&key))).await?;
    let (summary, orders) = found.ok_or_else(|| {
        unknown(&id).hint("an order about other notices has a receipt, at /v1/notices/{id}/receipt, and nothing more")
    })?;
    Ok(Json(History { summary, orders }))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Reading {
    authority: Option<String>,
    wait: Option<u64>,
    format: Option<String>,
}

async fn read_receipt(
    State(desk): State<Desk>,
    caller: Caller,
    Path(id): Path<String>,
    parameters: Result<Query<Reading>, QueryRejection>,
) -> Result<Response, Problem> {
    let Query(Reading { authority, wait, format }) = parameters.map_err(|rejection| bad(rejection.body_text()))?;
    let (wait, format) = (waiting(wait)?, Format::read(format.as_deref())?);
    let key = find(&desk, &caller, &id, authority.as_deref()).await?;
    let told = within(desk.look(move |look| look.receipt(&key))).await?;
    let mut told = told.ok_or_else(|| unknown(&id))?;
    if !told.is_final && !wait.is_zero() {
        told = held(&desk, told, wait).await?;
    }
    Ok(receipts::for_people(&told.receipt, format)?.unwrap_or_else(|| signed(told)))
}

/// Whose order is meant: that of the caller's authority, the one that is named, or the only one with this id.
async fn find(
    desk: &Desk,
    caller: &Caller,
    id: &str,
    authority: Option<&str>,
) -> Result<(AuthorityId, NoticeId), Problem> {
    let id = NoticeId::new(id);
    if let Some(authority) = readable(caller, authority).ok_or_else(|| unknown(id.as_str()))? {
        return Ok((authority, id));
    }
    let wanted = id.clone();
    let mut known = within(desk.look(move |look| look.authorities_of(&wanted))).await?;
    match (known.pop(), known.len()) {
        (None, _) => Err(unknown(id.as_str())),
        (Some(authority), 0) => Ok((authority, id)),
        (Some(_), _) => Err(bad("several authorities have an order with this id").hint("say which: &authority=")),
    }
}

/// Whose orders are read: those of all, of one, or `None` of somebody this caller sees nothing of.
pub(super) fn readable(caller: &Caller, authority: Option<&str>) -> Option<Option<AuthorityId>> {
    let asked = authority.map(AuthorityId::new);
    match (&caller.authority, asked) {
        (None, asked) => Some(asked),
        (Some(own), None) => Some(Some(own.clone())),
        (Some(own), Some(asked)) => (asked == *own).then_some(Some(asked)),
    }
}

fn known_state(state: Option<String>) -> Result<Option<String>, Problem> {
    match state {
        Some(state) if !STATES.contains(&state.as_str()) => {
            Err(bad("state: none that a notice can be in").hint(STATES.join(", ")))
        }
        state => Ok(state),
    }
}

fn position(cursor: &str) -> Result<(AuthorityId, NoticeId), Problem> {
    let octets = BASE64URL_NOPAD.decode(cursor.as_bytes()).ok();
    let text = octets.and_then(|octets| String::from_utf8(octets).ok());
    let (authority, id) = text.as_deref().and_then(|text| text.split_once('\n')).ok_or_else(|| {
        bad("cursor: none that was given out here").hint("give \"next\" of the page before, or leave it out")
    })?;
    Ok((AuthorityId::new(authority), NoticeId::new(id)))
}

fn waiting(seconds: Option<u64>) -> Result<Duration, Problem> {
    let seconds = seconds.unwrap_or(0);
    let longest = || bad(format!("wait: 0 to {LONGEST_WAIT} seconds"));
    (seconds <= LONGEST_WAIT).then(|| Duration::from_secs(seconds)).ok_or_else(longest)
}

/// A receipt as its node signed it.
fn signed(told: Told) -> Response {
    (JoseJson, Json(told.receipt)).into_response()
}

/// Puts the media type in place of that of plain JSON.
struct JoseJson;

impl axum::response::IntoResponseParts for JoseJson {
    type Error = std::convert::Infallible;

    fn into_response_parts(
        self,
        mut parts: axum::response::ResponseParts,
    ) -> Result<axum::response::ResponseParts, Self::Error> {
        parts.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(JOSE));
        Ok(parts)
    }
}

/// The control plane's answer, if it comes in time.
pub(super) async fn within<T>(answer: impl Future<Output = Result<T, NoAnswer>>) -> Result<T, Problem> {
    let busy = |why: &str| {
        let problem = Problem::new(Code::NotReady, format!("the control plane gave no answer: {why}"));
        problem.hint("what was handed in may have been taken: hand the same octets in again").retry_after(5)
    };
    match timeout(PATIENCE, answer).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(NoAnswer)) => Err(busy("it has stopped, or failed over the question")),
        Err(_) => Err(busy("it works on something long")),
    }
}

fn unavailable(why: &str) -> Problem {
    let (status, title) = (StatusCode::SERVICE_UNAVAILABLE, "The order cannot be recorded now");
    Problem::refused(status, "ledger", title, why).hint("nothing was taken: hand it in again").retry_after(5)
}

fn unknown(id: &str) -> Problem {
    Problem::new(Code::NoNotice, format!("no order with the id {id:?} was taken"))
}

pub(super) fn bad(detail: impl Into<String>) -> Problem {
    Problem::new(Code::Parameters, detail)
}

/// An order that was refused, as a problem with all that is known of it.
fn refused(refusal: Refusal) -> Problem {
    let status = status_of(&refusal);
    let Refusal { code, reason, hint, authority, notice, problems, receipt } = refusal;
    let (id, sequence) = notice.unzip();
    let problem = Problem::refused(status, code, "The order is refused", reason)
        .with("authority", authority)
        .with("notice", id)
        .with("sequence", sequence)
        .with("receipt", receipt);
    let problem = hint.into_iter().fold(problem, Problem::hint);
    if problems.is_empty() { problem } else { problem.with("problems", problems.iter().map(cause).collect::<Vec<_>>()) }
}

fn cause(problem: &desk::Problem) -> Value {
    let desk::Problem { severity, line, column, message, hint, code, .. } = problem;
    json!({
        "severity": severity.to_string(), "code": code, "message": message, "hint": hint, "line": line, "column": column,
    })
}

/// What kind of refusal it is, by its code: who sent it is not known or not entitled, it contradicts what was taken before,
/// or it says what cannot be carried out.
fn status_of(refusal: &Refusal) -> StatusCode {
    match refusal.code {
        "foreign-authority" | "authority" | "no-keys" | "compact" | "signature" | "unknown-key" | "key-expired"
        | "key-not-yet" | "key-revoked" | "too-few-signatures" | "category" => StatusCode::FORBIDDEN,
        "sequence" | "duplicate-id" => StatusCode::CONFLICT,
        "size" => StatusCode::PAYLOAD_TOO_LARGE,
        _ if refusal.authority.is_none() => StatusCode::BAD_REQUEST,
        _ => StatusCode::UNPROCESSABLE_ENTITY,
    }
}

/// An id as a piece of a path or a query.
fn escaped(text: &str) -> String {
    use std::fmt::Write;
    let mut escaped = String::with_capacity(text.len());
    for octet in text.bytes() {
        match octet {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => escaped.push(octet.into()),
            _ => drop(write!(escaped, "%{octet:02X}")), // a String takes everything
        }
    }
    escaped
}
