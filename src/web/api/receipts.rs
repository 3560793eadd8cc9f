//! `GET /v1/receipts`: what became of several orders, counted, with a cut-off: the reply that is owed to an authority. And the
//! forms in which receipts are given to people.
//!
//! `authority=`, `notice=` (again and again) and `state=` select; without any, every order that the caller may see.

use std::collections::BTreeSet;

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::header::CONTENT_TYPE;
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{MethodRouter, get};
use jiff::Timestamp;

use super::notices::{bad, readable, within};
use crate::control::{Desk, Selection};
use crate::model::{Caller, Receipt};
use crate::report::{Letterhead, Status, csv, letter};
use crate::web::problem::{Code, Problem};

/// Orders of an answer, at most.
const MOST: usize = 5_000;
/// Receipts that are made at a time: what else is asked need not wait for all.
const AT_A_TIME: usize = 20;

/// The form of an answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Format {
    /// For programs.
    #[default]
    Json,
    /// For spreadsheets.
    Csv,
    /// To be printed.
    Html,
}

impl Format {
    pub(super) fn read(word: Option<&str>) -> Result<Self, Problem> {
        match word {
            None | Some("json") => Ok(Self::Json),
            Some("csv") => Ok(Self::Csv),
            Some("html") => Ok(Self::Html),
            Some(_) => Err(bad("format: none that is written here").hint("json, csv, html")),
        }
    }
}

pub(in crate::web) fn route(desk: Desk) -> MethodRouter {
    get(read).with_state(desk)
}

async fn read(
    State(desk): State<Desk>,
    caller: Caller,
    parameters: Result<Query<Vec<(String, String)>>, QueryRejection>,
) -> Result<Response, Problem> {
    let Query(parameters) = parameters.map_err(|rejection| bad(rejection.body_text()))?;
    let (mut authority, mut state, mut format, mut notices) = (None, None, None, BTreeSet::new());
    for (name, value) in parameters {
        let place = match name.as_str() {
            "notice" => {
                notices.insert(value);
                continue;
            }
            "authority" => &mut authority,
            "state" => &mut state,
            "format" => &mut format,
            _ => return Err(bad(format!("{name}: no parameter of this")).hint(USAGE)),
        };
        if place.replace(value).is_some() {
            return Err(bad(format!("{name}: it stands there twice")).hint(USAGE));
        }
    }
    let format = Format::read(format.as_deref())?;
    if state.as_deref().is_some_and(|state| !Receipt::STATES.contains(&state)) {
        return Err(bad("state: none that an order can be in").hint(Receipt::STATES.join(", ")));
    }
    let receipts = match readable(&caller, authority.as_deref()) {
        Some(authority) => {
            collect(&desk, Selection { authority, notices, limit: MOST, ..Selection::default() }).await?
        }
        None => Vec::new(),
    };
    let wanted = receipts.iter().filter(|receipt| state.as_ref().is_none_or(|state| receipt.state == *state));
    let status = |receipts| Status::of(receipts, Timestamp::now());
    Ok(match format {
        Format::Json => Json(status(wanted.collect::<Vec<_>>())).into_response(),
        Format::Csv => as_csv(wanted),
        Format::Html => Html(status(wanted.collect::<Vec<_>>()).html(&Letterhead::default())).into_response(),
    })
}

const USAGE: &str = "GET /v1/receipts?authority=mcmc&notice=N-1&notice=N-2&state=enforced&format=csv";

async fn collect(desk: &Desk, selection: Selection) -> Result<Vec<Receipt>, Problem> {
    let keys = within(desk.look(move |look| look.orders(&selection))).await?;
    if keys.len() > MOST {
        return Err(bad(format!("there are more than {MOST} such orders")).hint("select by authority= or notice="));
    }
    let mut receipts = Vec::with_capacity(keys.len());
    for keys in keys.chunks(AT_A_TIME) {
        let keys = keys.to_vec();
        let told = desk.look(move |look| keys.iter().filter_map(|key| look.receipt(key)).collect::<Vec<_>>());
        for told in within(told).await? {
            receipts.push(readable_part(&told.receipt)?);
        }
    }
    Ok(receipts)
}

/// One receipt for people; that for programs is given as its node signed it.
pub(super) fn for_people(signed: &serde_json::Value, format: Format) -> Result<Option<Response>, Problem> {
    let receipt = readable_part(signed)?;
    Ok(match format {
        Format::Json => None,
        Format::Csv => Some(as_csv([&receipt].into_iter())),
        Format::Html => Some(Html(letter::html(&receipt, &Default::default(), &Letterhead::default())).into_response()),
    })
}

fn as_csv<'a>(receipts: impl Iterator<Item = &'a Receipt>) -> Response {
    ([(CONTENT_TYPE, "text/csv; charset=utf-8; header=present")], csv::receipts(receipts)).into_response()
}

fn readable_part(signed: &serde_json::Value) -> Result<Receipt, Problem> {
    let receipt = serde_json::from_value(signed["receipt"].clone());
    receipt.map_err(|error| Problem::new(Code::Internal, format!("the receipt cannot be read: {error}")))
}
