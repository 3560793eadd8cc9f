//! `GET /v1/policy`: the policy in force, and how its sources are doing. For every caller.

use axum::Json;
use axum::extract::State;
use axum::routing::{MethodRouter, get};

use crate::control::{Handle, Status};

pub(in crate::web) fn route(control: Handle) -> MethodRouter {
    get(status).with_state(control)
}

async fn status(State(control): State<Handle>) -> Json<Status> {
    Json(control.status())
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use crate::web::tests::get;

    #[tokio::test]
    async fn the_policy_says_what_is_in_force() {
        let (_, headers, body) = get("/v1/policy").await;
        assert_eq!(headers["content-type"], "application/json");
        let body: Value = serde_json::from_str(&body).unwrap();
        assert_eq!((&body["serial"], &body["notices"], &body["names"]), (&1.into(), &2.into(), &1.into()));
        assert_eq!(body["digest"].as_str().unwrap().len(), 64);
    }
}
