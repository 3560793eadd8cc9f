//! `GET /metrics`: the counts, in the Prometheus text exposition 0.0.4.

use std::sync::Arc;

use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use axum::routing::{MethodRouter, get};

use crate::observe::Metrics;

pub(super) fn route(metrics: Arc<Metrics>) -> MethodRouter {
    get(text).with_state(metrics)
}

async fn text(State(metrics): State<Arc<Metrics>>) -> impl IntoResponse {
    ([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], metrics.text())
}

#[cfg(test)]
mod tests {
    use super::super::tests::get;
    use super::*;

    #[tokio::test]
    async fn the_text_has_its_content_type() {
        let (_, headers, body) = get("/metrics").await;
        assert_eq!(headers[CONTENT_TYPE], "text/plain; version=0.0.4; charset=utf-8");
        assert!(body.contains("\npagar_build_info{"));
    }
}
