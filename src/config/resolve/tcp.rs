//! `[dns.tcp]`: what the TCP connections of clients may cost.

use std::time::Duration;

use super::Context;
use super::values::{self, optional};
use crate::config::spec;
use crate::dns::listen::stream::Limits;

/// A guard against a slip: what an address has ports for, several times over.
const MOST_CONNECTIONS: i64 = 1_000_000;
/// Questions one connection may have under way; there are 4,096 of all clients.
const MOST_PIPELINE: i64 = 1_024;
/// Shorter is no reuse, longer is forgetting (RFC 7766 §6.2.3: a few seconds).
const IDLE: std::ops::RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(600);

pub(super) fn limits(written: &spec::Tcp, cx: &mut Context<'_, '_>) -> Option<Limits> {
    let default = Limits::default();
    let connections = optional(written.connections.as_ref(), |number| {
        values::number(number, "the number of connections", 1..=MOST_CONNECTIONS, cx.report)
    });
    let idle = optional(written.idle.as_ref(), |idle| values::duration(idle, "the idle time", IDLE, cx.report));
    let pipeline =
        optional(written.pipeline.as_ref(), |number| values::number(number, "pipeline", 1..=MOST_PIPELINE, cx.report));
    let connections = connections.map(|number| number.unwrap_or(default.connections));
    let per_client = optional(written.per_client.as_ref(), |number| {
        let most = connections.and_then(|most| i64::try_from(most).ok()).unwrap_or(MOST_CONNECTIONS);
        values::number(number, "the number of connections of one client", 1..=most, cx.report)
    });
    Some(Limits {
        connections: connections?,
        per_client: per_client?.unwrap_or(default.per_client.min(connections?)),
        idle: idle?.unwrap_or(default.idle),
        pipeline: pipeline?.unwrap_or(default.pipeline),
        ..default
    })
}
