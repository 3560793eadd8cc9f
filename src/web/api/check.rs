//! `GET /v1/check?name=&type=&client=`: what the policy does with a name and type, and why.
//!
//! It asks the policy, not the DNS: no query is sent and nothing is counted. With `client` the answer says whether that
//! client is exempt; the rule it is exempt from is shown all the same. For every caller; which names of the secret class it
//! is shown depends on who it is.

use std::net::IpAddr;

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::routing::{MethodRouter, get};
use serde::Deserialize;

use crate::control::explain;
use crate::control::{Explanation, Handle};
use crate::model::{Caller, rtype};
use crate::web::problem::{Code, Problem};

pub(in crate::web) fn route(control: Handle) -> MethodRouter {
    get(check).with_state(control)
}

/// A key that is not known is refused: a misspelt `tpye` must not be answered as A.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Parameters {
    name: String,
    #[serde(rename = "type")]
    record_type: Option<String>,
    client: Option<String>,
}

async fn check(
    State(control): State<Handle>,
    caller: Caller,
    parameters: Result<Query<Parameters>, QueryRejection>,
) -> Result<Json<Explanation>, Problem> {
    let Query(parameters) = parameters.map_err(|rejection| bad(rejection.body_text()).hint(USAGE))?;
    let name = explain::asked(&parameters.name)
        .map_err(|error| bad(format!("name: {error}")).hint("write a domain name, such as name=www.example.com"))?;
    let qtype = rtype::parse(parameters.record_type.as_deref().unwrap_or("A"))
        .ok_or_else(|| bad("type: not a record type").hint("write a mnemonic or a number: A, HTTPS, TYPE65, 65"))?;
    let client = parameters.client.map(|client| client.parse::<IpAddr>()).transpose();
    let client =
        client.map_err(|_| bad("client: not an IP address").hint("write an IPv4 or IPv6 address without a port"))?;
    Ok(Json(control.check(&name, qtype, client, Some(&caller))))
}

const USAGE: &str = "GET /v1/check?name=www.example.com&type=A";

fn bad(detail: impl Into<String>) -> Problem {
    Problem::new(Code::Parameters, detail)
}

#[cfg(test)]
mod tests {
    use axum::http::StatusCode;
    use serde_json::Value;

    use crate::web::tests::{get, problem};

    async fn answer(path: &str) -> Value {
        let (status, _, body) = get(path).await;
        assert_eq!(status, StatusCode::OK, "{body}");
        serde_json::from_str(&body).unwrap()
    }

    #[tokio::test]
    async fn a_listed_name_comes_with_its_rule() {
        let body = answer("/v1/check?name=WWW.bad.example.&type=https&client=192.0.2.1").await;
        assert_eq!(
            (&body["listed"], &body["name"], &body["qtype"]),
            (&true.into(), &"www.bad.example.".into(), &65.into())
        );
        let rule = &body["rule"];
        assert_eq!(
            (&rule["notice"], &rule["target"], &rule["scope"]),
            (&"N-1".into(), &"bad.example.".into(), &"subtree".into())
        );
    }

    #[tokio::test]
    async fn an_exempt_client_is_said_to_be_one() {
        let body = answer("/v1/check?name=bad.example&client=192.0.2.1").await;
        assert_eq!((&body["listed"], &body["exempt"]["reason"]), (&true.into(), &"order 7".into()));
        for other in ["&client=192.0.2.16", ""] {
            assert!(answer(&format!("/v1/check?name=bad.example{other}")).await["exempt"].is_null());
        }
    }

    #[tokio::test]
    async fn a_name_that_is_not_listed_is_said_not_to_be() {
        let body = answer("/v1/check?name=later.example").await;
        assert_eq!((&body["listed"], &body["rule"], &body["qtype"]), (&false.into(), &Value::Null, &1.into()));
        assert_eq!(body["others"][0]["state"], "scheduled");
    }

    #[tokio::test]
    async fn bad_parameters_are_problems_with_a_hint() {
        for (query, word) in [
            ("", "name"),
            ("?type=A", "name"),
            ("?name=", "empty"),
            ("?name=a..b", "empty label"),
            ("?name=a%20b", "white space"),
            ("?name=a.example&type=", "type"),
            ("?name=a.example&type=TYPE65536", "type"),
            ("?name=a.example&type=AAAAA", "type"),
            ("?name=a.example&tpye=A", "tpye"),
            ("?name=a.example&name=b.example", "duplicate"),
            ("?name=a.example&client=a.example", "client"),
            ("?name=a.example&client=192.0.2.1:53", "client"),
        ] {
            let (status, body) = problem(&format!("/v1/check{query}")).await;
            assert_eq!(status, StatusCode::BAD_REQUEST, "{query}");
            assert!(body["detail"].as_str().unwrap().contains(word), "{query}: {body}");
            assert!(body["hint"].is_string(), "{query}");
        }
    }
}
