//! `GET /v1/feed/{authority}/…`: what [`feed`](crate::feed) publishes.
//!
//! | path | what | may be kept |
//! |---|---|---|
//! | `checkpoint` | the signed checkpoint | to be asked about each time: it is what tells news |
//! | `pages/{sha256}` | a page of its index | for ever: it is known by its hash |
//! | `notices/{sequence}` | a signed notice | to be asked about: a signature may be added |
//!
//! Each has a strong `ETag` (RFC 9110 §8.8), the SHA-256 of its octets, and is answered 304 where that is at hand. Nothing is
//! compressed: notices are short, and a reader bounds what it takes by the sizes that are listed.
//!
//! A caller reads the feed of an authority whose orders it may read ([`Caller::may_read`]). Notices of the secret class are
//! for callers who may see secrets; others get 403 for them, and can do no more with the rest of such a feed than know that
//! there is something they lack.

use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use super::problem::{Code, Problem};
use crate::feed::{Edition, Feeds, Part};
use crate::model::{AuthorityId, Caller};

/// To be asked about before each use.
const REVALIDATE: &str = "private, no-cache";
/// Known by its hash: it never changes.
const FOREVER: &str = "private, max-age=31536000, immutable";
/// Before there is anything to give: seconds.
const SOON: u64 = 5;

/// Its routes.
pub(super) fn route(feeds: Feeds) -> Router {
    Router::new()
        .route("/v1/feed/{authority}/checkpoint", get(checkpoint))
        .route("/v1/feed/{authority}/pages/{sha256}", get(page))
        .route("/v1/feed/{authority}/notices/{sequence}", get(notice))
        .with_state(feeds)
}

async fn checkpoint(
    State(feeds): State<Feeds>,
    Path(authority): Path<String>,
    caller: Caller,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let edition = edition(&feeds, &authority, &caller)?;
    Ok(serve(edition.checkpoint(), "application/jose+json", REVALIDATE, &headers))
}

async fn page(
    State(feeds): State<Feeds>,
    Path((authority, sha256)): Path<(String, String)>,
    caller: Caller,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let edition = edition(&feeds, &authority, &caller)?;
    let page = edition.page(&sha256).ok_or_else(|| {
        let problem = Problem::new(Code::NotFound, "the feed has no such page, or none any more");
        problem.hint("read the checkpoint again")
    })?;
    Ok(serve(page, "application/json", FOREVER, &headers))
}

async fn notice(
    State(feeds): State<Feeds>,
    Path((authority, sequence)): Path<(String, String)>,
    caller: Caller,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let edition = edition(&feeds, &authority, &caller)?;
    let listed = sequence.parse().ok().and_then(|number| edition.notice(number)).cloned();
    let listed = listed.ok_or_else(|| Problem::new(Code::NotFound, "the feed has no such notice"))?;
    if listed.secret && !caller.secret {
        let problem = Problem::new(Code::Secret, "the notice is secret, and this caller may not see secrets");
        return Err(problem.hint("secret = true of its [[web.client]] allows it"));
    }
    // a file may be on a slow disk: other requests do not wait for it
    let read = tokio::task::spawn_blocking(move || listed.read()).await;
    let read = read.map_err(|error| error.to_string()).and_then(|read| read.map_err(|error| error.to_string()));
    let part = read.map_err(|error| {
        tracing::error!(feed = authority, sequence, "a published notice cannot be given: {error}");
        later("the notice cannot be read now")
    })?;
    let kind =
        if part.octets.trim_ascii_start().starts_with(b"{") { "application/jose+json" } else { "application/jose" };
    Ok(serve(&part, kind, REVALIDATE, &headers))
}

fn edition(feeds: &Feeds, authority: &str, caller: &Caller) -> Result<Arc<Edition>, Problem> {
    let edition = feeds.edition(authority).ok_or_else(|| {
        let problem = Problem::new(Code::NotFound, "nothing is published of this authority here");
        problem.hint("a [[feed]] of the configuration publishes it")
    })?;
    if !caller.may_read(&AuthorityId::new(authority)) {
        return Err(Problem::new(Code::OtherAuthority, "this caller reads another authority's orders"));
    }
    edition.ok_or_else(|| later("nothing has been published yet"))
}

fn later(why: &str) -> Problem {
    Problem::new(Code::Unpublished, why).retry_after(SOON)
}

/// A part, or that it is at hand.
fn serve(part: &Part, kind: &'static str, keep: &'static str, headers: &HeaderMap) -> Response {
    let tag = format!("\"{}\"", part.hash);
    let head = [(ETAG, tag.clone()), (CACHE_CONTROL, keep.to_owned())];
    if is_at_hand(headers, &tag) {
        return (StatusCode::NOT_MODIFIED, head).into_response();
    }
    (head, [(CONTENT_TYPE, kind)], Bytes::copy_from_slice(&part.octets)).into_response()
}

/// Whether `If-None-Match` names the tag, by the weak comparison (RFC 9110 §13.1.2).
fn is_at_hand(headers: &HeaderMap, tag: &str) -> bool {
    let values = headers.get_all(IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    let mut tags = values.flat_map(|value| value.split(',')).map(str::trim);
    tags.any(|other| other == "*" || other.strip_prefix("W/").unwrap_or(other) == tag)
}

#[cfg(test)]
mod tests;
