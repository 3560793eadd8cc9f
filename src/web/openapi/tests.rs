//! The description against the router and the table of problems.

use std::collections::{BTreeMap, BTreeSet};

use axum::body::Body;
use axum::http::header::ALLOW;
use axum::http::{Method, Request, StatusCode};
use serde_json::Value;

use super::*;
use crate::web::router;
use crate::web::tests::{clients, get, request, send_from, state};

/// What the router serves: axum keeps its paths to itself, but for what `Debug` says: `RouteId(3): "/v1/check", …`.
fn routes() -> BTreeSet<String> {
    let told = format!("{:?}", router(state()));
    let (_, paths) = told.split_once("node: Node { paths: {").expect("axum says it in other words now");
    let path = |piece: &str| Some(piece.split_once("): \"")?.1.split_once('"')?.0.to_owned());
    paths
        .split("RouteId(")
        .skip(1)
        .map_while(path)
        .filter(|path| path.starts_with("/") && !path.contains("__"))
        .collect()
}

fn described() -> BTreeMap<&'static str, BTreeSet<String>> {
    let mut described = BTreeMap::<_, BTreeSet<_>>::new();
    for operation in operations() {
        assert!(described.entry(operation.path).or_default().insert(operation.method.to_uppercase()));
    }
    described
}

#[tokio::test]
async fn every_route_and_method_is_described_and_nothing_else() {
    let described = described();
    assert_eq!(routes(), described.keys().map(ToString::to_string).collect());
    for (path, methods) in described {
        let (status, headers, _) = request(Method::from_bytes(b"BREW").unwrap(), "localhost", path).await;
        assert_eq!(status, StatusCode::METHOD_NOT_ALLOWED, "{path}");
        let allowed = headers[ALLOW].to_str().unwrap().split(',').filter(|method| *method != "HEAD");
        assert_eq!(allowed.map(str::to_owned).collect::<BTreeSet<_>>(), methods, "{path}");
    }
}

#[test]
fn every_problem_is_described() {
    let everywhere = [Code::NotFound, Code::Method];
    let told: Vec<_> = operations().iter().flat_map(Operation::codes).chain(everywhere).collect();
    let text = introduction();
    for code in Code::ALL {
        assert!(told.contains(&code), "no operation has {code:?}");
        assert!(text.contains(&format!("| `{}` | {} | {} |", code.as_str(), code.status().as_u16(), code.title())));
    }
}

#[test]
fn references_resolve_and_every_form_is_used() {
    let document = document(true);
    let text = document.to_string();
    let referred: BTreeSet<_> =
        text.split("#/components/schemas/").skip(1).map(|rest| rest.split('"').next().unwrap().to_owned()).collect();
    let forms: BTreeSet<_> = document["components"]["schemas"].as_object().unwrap().keys().cloned().collect();
    assert_eq!(referred, forms);
    let ids: BTreeSet<_> = operations().iter().map(|operation| operation.id).collect();
    assert_eq!(ids.len(), operations().len());
}

#[test]
fn a_parameter_of_the_path_is_described_and_no_other() {
    for operation in operations() {
        let pieces = operation.parameters.iter().filter(|parameter| parameter["in"] == "path");
        let told: BTreeSet<_> =
            pieces.map(|parameter| format!("{{{}}}", parameter["name"].as_str().unwrap())).collect();
        let written: BTreeSet<_> =
            operation.path.split('/').filter(|piece| piece.starts_with('{')).map(str::to_owned).collect();
        assert_eq!(told, written, "{}", operation.path);
    }
}

#[tokio::test]
async fn it_is_open_and_says_whether_callers_are_asked() {
    let (status, headers, body) = get("/openapi.json").await;
    assert_eq!((status, &headers["content-type"]), (StatusCode::OK, &"application/json".parse().unwrap()));
    let open: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(open["paths"]["/v1/policy"]["get"]["security"], json!([]));
    let stranger = Request::get("/openapi.json").body(Body::empty()).unwrap();
    let (status, _, body) = send_from("192.0.2.1:9", clients(), stranger).await;
    assert_eq!(status, StatusCode::OK);
    let restricted: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(restricted["paths"]["/v1/policy"]["get"]["security"], json!([{ "bearer": [] }, { "mutualTLS": [] }]));
    assert_eq!(restricted["paths"]["/healthz"]["get"]["security"], json!([]));
}
