//! Metrics of the HTTP face: who calls, and what comes of it. Labels hold neither clients nor what they ask for.

use prometheus::{Error, IntCounter, IntCounterVec, Registry};

use super::{opts, registered};

/// Written by the HTTP face.
#[derive(Clone, Debug)]
pub struct WebMetrics {
    /// `pagar_web_auth_failures_total{reason}`, in the order of [`AuthFailure::ALL`].
    failures: [IntCounter; AuthFailure::ALL.len()],
}

/// Why nobody knows who calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuthFailure {
    /// No credential was shown.
    Missing,
    /// `Authorization` is not a bearer token.
    Malformed,
    /// The credential is of no client.
    Wrong,
    /// Too many wrong ones came from the address: it is not looked at.
    Limited,
}

impl AuthFailure {
    /// Each with its word, in the order of the variants.
    const ALL: [(Self, &'static str); 4] = [
        (Self::Missing, "missing"),
        (Self::Malformed, "malformed"),
        (Self::Wrong, "wrong"),
        (Self::Limited, "limited"),
    ];
}

impl WebMetrics {
    pub(super) fn new(registry: &Registry) -> Result<Self, Error> {
        let failures = opts("web_auth_failures_total", "Requests to the API of which nobody knows who sent them.");
        let failures = registered(registry, IntCounterVec::new(failures, &["reason"]))?;
        Ok(Self { failures: AuthFailure::ALL.map(|(_, reason)| failures.with_label_values(&[reason])) })
    }

    /// A request of which nobody knows who sent it.
    pub fn refused(&self, why: AuthFailure) {
        self.failures[why as usize].inc();
    }
}
