//! Metrics of the HTTP face: who calls, and what comes of it. Labels hold neither clients nor what they ask for.

use prometheus::{Error, Gauge, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, Registry};

use super::{full, opts, registered};

/// A read from memory to a long poll.
const DURATION: [f64; 10] = [0.000_5, 0.002, 0.01, 0.05, 0.2, 1.0, 5.0, 15.0, 30.0, 61.0];

/// Written by the HTTP face.
#[derive(Clone, Debug)]
pub struct WebMetrics {
    /// `pagar_web_auth_failures_total{reason}`, in the order of [`AuthFailure::ALL`].
    failures: [IntCounter; AuthFailure::ALL.len()],
    /// `pagar_web_requests_total{route,method,status}`
    requests: IntCounterVec,
    /// `pagar_web_request_duration_seconds{route}`
    duration: HistogramVec,
    /// `pagar_web_certificate_expiry_timestamp_seconds`
    pub certificate_expiry: Gauge,
    /// `pagar_web_certificate_failures_total`
    pub certificate_failures: IntCounter,
    /// `pagar_web_connections`
    pub connections: IntGauge,
    /// `pagar_web_connections_refused_total{reason}`, in the order of [`Refused::ALL`].
    refused: [IntCounter; Refused::ALL.len()],
}

/// Why a connection came to nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// Its address has too many.
    Places,
    /// It comes from elsewhere, and there is no TLS.
    Plain,
    /// It speaks HTTP where TLS is spoken.
    NotTls,
    /// Its certificate is of no client.
    Certificate,
    /// The handshake failed otherwise.
    Handshake,
    /// The handshake did not come to its end in time.
    Slow,
}

impl Refused {
    /// Each with its word, in the order of the variants.
    const ALL: [(Self, &'static str); 6] = [
        (Self::Places, "places"),
        (Self::Plain, "plain"),
        (Self::NotTls, "not-tls"),
        (Self::Certificate, "certificate"),
        (Self::Handshake, "handshake"),
        (Self::Slow, "slow"),
    ];
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
        let requests =
            opts("web_requests_total", "Requests to the HTTP face; route: the pattern of the path, or other.");
        let duration = HistogramOpts::new(
            full("web_request_duration_seconds"),
            "From a request's header to the answer's, time that a client has chosen to wait included.",
        );
        let expiry = opts(
            "web_certificate_expiry_timestamp_seconds",
            "When the certificate that the API is served with ends; 0 without TLS.",
        );
        let broken =
            opts("web_certificate_failures_total", "Changed certificates that cannot be used; the old one is served.");
        let connections = opts("web_connections", "Connections to the API that are open.");
        let refused = opts("web_connections_refused_total", "Connections to the API that came to nothing, by reason.");
        let refused = registered(registry, IntCounterVec::new(refused, &["reason"]))?;
        let requests = registered(registry, IntCounterVec::new(requests, &["route", "method", "status"]))?;
        let duration = registered(registry, HistogramVec::new(duration.buckets(DURATION.to_vec()), &["route"]))?;
        requests.with_label_values(&["/metrics", "GET", "200"]); // what is asked first
        duration.with_label_values(&["/metrics"]);
        Ok(Self {
            failures: AuthFailure::ALL.map(|(_, reason)| failures.with_label_values(&[reason])),
            requests,
            duration,
            certificate_expiry: registered(registry, Gauge::with_opts(expiry))?,
            certificate_failures: registered(registry, IntCounter::with_opts(broken))?,
            connections: registered(registry, IntGauge::with_opts(connections))?,
            refused: Refused::ALL.map(|(_, reason)| refused.with_label_values(&[reason])),
        })
    }

    /// A request that has been answered. The words must be of a bounded set.
    pub fn answered(&self, route: &str, method: &str, status: &str, seconds: f64) {
        self.requests.with_label_values(&[route, method, status]).inc();
        self.duration.with_label_values(&[route]).observe(seconds);
    }

    /// A connection that comes to nothing.
    pub fn closed(&self, why: Refused) {
        self.refused[why as usize].inc();
    }

    /// A request of which nobody knows who sent it.
    pub fn refused(&self, why: AuthFailure) {
        self.failures[why as usize].inc();
    }
}
