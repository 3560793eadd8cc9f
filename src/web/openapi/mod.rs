//! `GET /openapi.json`: the API's description (OpenAPI 3.1), put together from what the code has.
//!
//! | part | from |
//! |---|---|
//! | paths, parameters, bodies, answers | `operations`, a line a fact; bounds are the handlers' own constants |
//! | forms of answers | `schemas` |
//! | problems | [`Code`]: its table is copied, status and title included |
//! | who may call | the roles that handlers demand ([`auth`](super::auth)), and whether this node has clients |
//!
//! A derive on every type would put a description into layers that know nothing of HTTP, and describe the type, not what
//! an endpoint does. What keeps this table true instead: a test here compares it with the router, path by path and method
//! by method; `tests/integration/openapi.rs` holds answers of a real node against the schemas, member by member, and has
//! schemathesis try the rest.
//!
//! It is open: whoever writes a client needs it before there is a credential. Nothing in it is of this node, but for
//! whether callers have to show one.

mod operations;
mod schemas;

use std::collections::BTreeMap;
use std::fmt::Write as _;

use axum::body::Bytes;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use axum::routing::{MethodRouter, get};
use serde_json::{Map, Value, json};

use self::operations::{Operation, Who, operations};
use super::auth::Access;
use super::problem::Code;

/// Serves it.
pub(super) fn route(access: Access) -> MethodRouter {
    let [open, restricted] = [false, true].map(|asks| Bytes::from(document(asks).to_string()));
    get(read).with_state(Documents { access, open, restricted })
}

/// As it is where nobody is asked who he is, and where everybody is.
#[derive(Clone)]
struct Documents {
    access: Access,
    open: Bytes,
    restricted: Bytes,
}

async fn read(State(documents): State<Documents>) -> impl IntoResponse {
    let Documents { access, open, restricted } = documents;
    ([(CONTENT_TYPE, "application/json")], if access.asks() { restricted } else { open })
}

/// The whole, for a node that asks callers who they are, or for one that does not.
fn document(asks: bool) -> Value {
    let mut paths = BTreeMap::<&str, Map<String, Value>>::new();
    for operation in operations() {
        paths.entry(operation.path).or_default().insert(operation.method.to_owned(), describe(&operation, asks));
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Pagar",
            "version": env!("CARGO_PKG_VERSION"),
            "summary": "Statutory restriction notices, handed in, carried out and accounted for",
            "description": introduction(),
            "license": { "name": "BSD-3-Clause", "identifier": "BSD-3-Clause" },
        },
        "servers": [{ "url": "/" }],
        "paths": paths,
        "components": {
            "schemas": schemas::all(),
            "securitySchemes": {
                "bearer": {
                    "type": "http", "scheme": "bearer",
                    "description": "A token of a `[[web.client]]`. The node knows its SHA-256 only.",
                },
                "mutualTLS": {
                    "type": "mutualTLS",
                    "description": "A TLS certificate of a `[[web.client]]`, known by its SHA-256.",
                },
            },
        },
    })
}

/// What holds everywhere, and the table of problems.
fn introduction() -> String {
    let mut text = INTRODUCTION.to_owned();
    for code in Code::ALL {
        let _ = writeln!(text, "| `{}` | {} | {} |", code.as_str(), code.status().as_u16(), code.title()); // a String takes everything
    }
    text
}

const INTRODUCTION: &str = "\
Where the node has no `[[web.client]]` it serves its own machine only and asks nobody who he is; where it has, each call \
shows a bearer token or a TLS client certificate, and the client's role decides what it may do.\n\n\
A parameter that is not known is refused. What takes GET takes HEAD too. Answers are not to be stored, except those of \
feeds.\n\n\
Every error is a problem (RFC 9457). Programs go by `code`, which is the last word of `type`; what is refused for its content \
(an order, a decision) has a code of its own, which stands in the answer.\n\n\
| code | status | what |\n|---|---|---|\n";

fn describe(operation: &Operation, asks: bool) -> Value {
    let mut told = json!({
        "operationId": operation.id,
        "tags": [operation.tag()],
        "summary": operation.summary,
        "description": description(operation),
        "security": if asks { operation.who.security() } else { json!([]) },
        "responses": responses(operation),
    });
    if !operation.parameters.is_empty() {
        told["parameters"] = operation.parameters.clone().into();
    }
    if let Some(body) = &operation.body {
        told["requestBody"] = body.clone();
    }
    told
}

fn description(operation: &Operation) -> String {
    let who = match operation.who {
        Who::Open => "Open to everybody.".to_owned(),
        Who::LocalOrReader => "Open to programs on the node's machine, else for viewers and operators.".to_owned(),
        Who::Client => "For every client.".to_owned(),
        Who::Roles(roles) => {
            let words: Vec<_> = roles.iter().map(|role| format!("`{}`", role.as_str())).collect();
            format!("For clients with the role {}.", words.join(" or "))
        }
    };
    if operation.more.is_empty() { who } else { format!("{} {who}", operation.more) }
}

/// Its answers, and its problems by their status.
fn responses(operation: &Operation) -> Value {
    let mut told = Map::new();
    for (status, answer) in &operation.answers {
        told.insert(status.to_string(), answer.clone());
    }
    let mut problems = BTreeMap::<u16, String>::new();
    for code in operation.codes() {
        let line = format!("- `{}`: {}\n", code.as_str(), code.title());
        problems.entry(code.status().as_u16()).or_default().push_str(&line);
    }
    for (status, why) in operation.refusals {
        problems.entry(*status).or_default().push_str(&format!("- {why}\n"));
    }
    for (status, why) in problems {
        told.insert(status.to_string(), problem(status, &why));
    }
    told.into()
}

fn problem(status: u16, why: &str) -> Value {
    let mut answer = json!({
        "description": why.trim_end(),
        "content": { "application/problem+json": { "schema": { "$ref": "#/components/schemas/Problem" } } },
    });
    let header = match status {
        401 => ("WWW-Authenticate", json!({ "description": "RFC 6750.", "schema": { "type": "string" } })),
        429 | 503 => {
            ("Retry-After", json!({ "description": "Seconds.", "schema": { "type": "integer", "minimum": 0 } }))
        }
        _ => return answer,
    };
    answer["headers"] = json!({ header.0: header.1 });
    answer
}

#[cfg(test)]
mod tests;
