//! `[dns]`, `[[upstream]]` and `[forwarding]`: where we listen, whom we serve, whom we ask, and that we never ask
//! ourselves.

use std::net::SocketAddr;
use std::sync::Arc;

use super::cache::{self, Cache};
use super::values::{self, optional};
use super::{Context, access, exempt, forwarding, identity, local, proxy, tcp, upstream};
use crate::config::diagnostic::Reporter;
use crate::config::spec::{Spanned, Spec};
use crate::dns::{Config, Settings};
use crate::model::{Network, Networks};

/// More threads than any machine we know has cores; a guard against a slip, not a tuning advice.
const MOST_WORKERS: i64 = 1024;
/// What is said of a network of everybody, and the hint.
const OPEN: [&str; 2] =
    ["allows everybody: an open resolver is used to attack others", "write the networks of your subscribers"];

pub(super) fn config(spec: &Spec, web: Option<SocketAddr>, cx: &mut Context<'_, '_>) -> Option<Config> {
    let listen = listen(&spec.dns.listen, web, cx.report);
    let workers = workers(spec.dns.workers.as_ref(), cx);
    let allow = allow(spec.dns.allow.as_ref(), cx.report);
    let tcp = tcp::limits(&spec.dns.tcp, cx);
    let proxy = proxy::from(spec.dns.proxy.as_ref(), cx);
    let upstreams = upstream::all(&spec.upstream, listen.as_deref().unwrap_or_default(), cx);
    let forwarding = forwarding::forwarding(&spec.forwarding, cx.report);
    let cache = cache::cache(&spec.cache, cx.report);
    let access = access::settings(&spec.dns, cx);
    let exempt = exempt::all(&spec.exempt, cx);
    let identity = identity::identity(&spec.dns.identity, cx.report);
    let local = local::config(&spec.dns.local, &spec.local_zone, &spec.upstream, cx);
    let (listen, workers, allow, upstreams) = (listen?, workers?, allow?, upstreams?);
    let (forwarding, access, exempt, tcp, proxy) = (forwarding?, access?, exempt?, tcp?, proxy?);
    let (Cache { size, max_ttl, prefetch, stale }, identity) = (cache?, identity?);
    let settings = Settings {
        allow,
        upstreams,
        forwarding,
        max_ttl,
        access,
        exempt,
        prefetch,
        stale,
        tcp,
        proxy,
        identity,
        local: Arc::default(), // read by whoever starts the data plane
    };
    let mut local = local?;
    local.forward.extend(settings.forwarded_zones().cloned()); // whoever names an upstream for a zone wants it asked
    let pin_workers = spec.dns.pin_workers.unwrap_or(false);
    Some(Config { listen, workers, pin_workers, cache_size: size, local, settings })
}

fn listen(
    written: &Spanned<Vec<Spanned<String>>>,
    web: Option<SocketAddr>,
    report: &mut Reporter<'_>,
) -> Option<Vec<SocketAddr>> {
    if written.as_ref().is_empty() {
        report.error(written.span(), "no address to listen on").hint("write listen = [\"127.0.0.1:53\"]");
        return None;
    }
    let mut all: Vec<SocketAddr> = Vec::with_capacity(written.as_ref().len());
    for one in written.as_ref() {
        let Some(address) = values::socket_address(one, 53, report) else { continue };
        if all.contains(&address) && address.port() != 0 {
            report.error(one.span(), format!("{address} is listed twice")).hint("remove one of the two");
        } else if let Some(other) = all.iter().find(|other| overlap(**other, address)) {
            report
                .error(one.span(), format!("{address} and {other} cannot be bound together"))
                .hint("keep one of them");
        } else if web.is_some_and(|web| web == address && web.port() != 0 || overlap(web, address)) {
            report
                .error(one.span(), format!("{address} is needed twice: [web] listens there too"))
                .hint("give [web] another port");
        }
        all.push(address);
    }
    (all.len() == written.as_ref().len()).then_some(all)
}

/// Whether one of the two is a wildcard that holds the other. Sockets are IPV6_V6ONLY, so families do not meet.
fn overlap(a: SocketAddr, b: SocketAddr) -> bool {
    let wildcard = a.ip().is_unspecified() != b.ip().is_unspecified();
    wildcard && a.is_ipv4() == b.is_ipv4() && a.port() == b.port() && a.port() != 0
}

fn workers(written: Option<&Spanned<i64>>, cx: &mut Context<'_, '_>) -> Option<usize> {
    let number = optional(written, |number| values::number(number, "workers", 0..=MOST_WORKERS, cx.report))?;
    Some(number.filter(|number| *number > 0).unwrap_or_else(|| cx.env.cores.max(1)))
}

fn allow(written: Option<&Spanned<Vec<Spanned<String>>>>, report: &mut Reporter<'_>) -> Option<Networks> {
    let Some(written) = written else { return loopback() };
    if written.as_ref().is_empty() {
        report
            .warning(written.span(), "no client is allowed: every query is answered with REFUSED")
            .hint("write the networks of your subscribers, or leave the key out for this machine only");
    }
    let networks: Vec<Network> = written.as_ref().iter().filter_map(|one| network(one, OPEN, report)).collect();
    (networks.len() == written.as_ref().len()).then(|| networks.into_iter().collect())
}

/// Where `allow` is left out: never an open resolver by default.
fn loopback() -> Option<Networks> {
    ["127.0.0.0/8", "::1/128"].iter().map(|network| network.parse::<Network>().ok()).collect()
}

/// A network; `everybody` is said, with its hint, of one that holds every address of a family.
pub(super) fn network(
    written: &Spanned<String>,
    [everybody, hint]: [&str; 2],
    report: &mut Reporter<'_>,
) -> Option<Network> {
    let network = values::network(written, report)?;
    if values::is_everybody(&network) {
        report.warning(written.span(), format!("{network} {everybody}")).hint(hint);
    }
    Some(network)
}
