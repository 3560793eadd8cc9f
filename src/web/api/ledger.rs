//! `GET /v1/ledger?from=SEQ&limit=N`: records of the ledger with their hashes, as `pagar ledger export` has them, and where
//! the chain ends. Names of the secret class are sealed in it.

use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get};
use serde::Deserialize;

use super::notices::within;
use crate::control::Desk;
use crate::model::Caller;
use crate::web::auth::{READERS, require};
use crate::web::problem::{Code, Problem};

/// Records of an answer, unless it is said, and at most.
const PAGE: usize = 100;
pub(in crate::web) const LARGEST_PAGE: usize = 1_000;

pub(in crate::web) fn route(desk: Desk) -> MethodRouter {
    get(read).with_state(desk)
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Parameters {
    from: Option<u64>,
    limit: Option<usize>,
}

async fn read(
    State(desk): State<Desk>,
    caller: Caller,
    parameters: Result<Query<Parameters>, QueryRejection>,
) -> Result<Response, Problem> {
    require(&caller, READERS)?;
    let bad = |detail: String| Problem::new(Code::Parameters, detail).hint("GET /v1/ledger?from=1&limit=100");
    let Query(Parameters { from, limit }) = parameters.map_err(|rejection| bad(rejection.body_text()))?;
    let (from, limit) = (from.unwrap_or(1), limit.unwrap_or(PAGE));
    if from == 0 || !(1..=LARGEST_PAGE).contains(&limit) {
        return Err(bad(format!("from: 1 or more; limit: 1 to {LARGEST_PAGE}")));
    }
    let (records, head) = within(desk.look(move |look| look.records(from, limit))).await?.map_err(|why| {
        let (status, title) = (StatusCode::SERVICE_UNAVAILABLE, "The ledger cannot be read");
        Problem::refused(status, "ledger", title, why).hint("pagar ledger verify says more").retry_after(5)
    })?;
    let lines: Result<Vec<_>, _> = records.iter().map(|(before, stored)| stored.as_json(before)).collect();
    let lines = lines.map_err(|error| Problem::new(Code::Internal, error))?;
    let (sequence, hash) = (head.sequence, &head.hash);
    // each record stands there as it was written, so that its hash can be computed
    let body =
        format!("{{\"records\":[{}],\"head\":{{\"sequence\":{sequence},\"hash\":\"{hash}\"}}}}", lines.join(","));
    Ok(([(CONTENT_TYPE, "application/json")], body).into_response())
}
