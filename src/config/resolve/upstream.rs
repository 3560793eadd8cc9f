//! `[[upstream]]`: whom we ask, and for which zones. A forwarder that asks itself answers nothing and eats the machine, so an upstream that
//! is one of our own listening addresses is refused, also behind a wildcard and also where it comes from resolv.conf.

use std::net::{IpAddr, SocketAddr};

use super::{Context, resolv_conf};
use crate::config::diagnostic::{Reporter, Span};
use crate::config::spec::{self, Spanned};
use crate::config::structure::refuse_not_built;
use crate::dns::UpstreamConfig;
use crate::model::DnsName;

/// Every upstream in order of preference; `None` if none is usable.
pub(super) fn all(
    written: &[spec::Upstream],
    listen: &[SocketAddr],
    cx: &mut Context<'_, '_>,
) -> Option<Vec<UpstreamConfig>> {
    if written.is_empty() {
        cx.report.error(None, "there is no upstream to forward to").hint(
            "write [[upstream]] and below it address = \"192.0.2.53\", or \"system\" for the servers in resolv.conf",
        );
    }
    let mut all: Vec<UpstreamConfig> = Vec::with_capacity(written.len());
    for one in written {
        let zones = zones(one.zones.as_ref(), cx.report);
        for address in addresses(&one.address, listen, cx) {
            let trust_ad = one.trust_ad.unwrap_or_else(|| address.ip().is_loopback());
            let this = UpstreamConfig { address, trust_ad, zones: zones.clone() };
            match all.iter().find(|other| other.address == address) {
                None => all.push(this),
                Some(other) if other.zones == this.zones => {
                    let twice = format!("upstream {address} is listed twice; the first counts");
                    cx.report.warning(one.address.span(), twice);
                }
                Some(_) => cx
                    .report
                    .error(one.address.span(), format!("upstream {address} is listed twice, for different zones"))
                    .hint("write all its zones in one table; \".\" is everything that is in no other zone"),
            }
        }
    }
    if !all.is_empty() && !all.iter().flat_map(|one| &one.zones).any(DnsName::is_root) {
        cx.report
            .error(None, "there is no upstream for names outside the zones")
            .hint("write an [[upstream]] without zones, or with zones = [\".\"]");
    }
    (!all.is_empty()).then_some(all)
}

/// What an upstream is asked for; everything, if nothing is said.
fn zones(written: Option<&Spanned<Vec<Spanned<String>>>>, report: &mut Reporter<'_>) -> Vec<DnsName> {
    let Some(written) = written else { return vec![DnsName::root()] };
    if written.as_ref().is_empty() {
        report
            .error(written.span(), "this upstream is asked for no zone at all")
            .hint("write zones = [\"corp.example\"], or leave the key out for everything");
    }
    let mut zones = Vec::with_capacity(written.as_ref().len());
    for one in written.as_ref() {
        match one.as_ref().parse::<DnsName>() {
            Ok(zone) if zones.contains(&zone) => {
                report.warning(one.span(), format!("the zone {zone} is listed twice"));
            }
            Ok(zone) => zones.push(zone),
            Err(error) => report
                .error(one.span(), format!("{:?} is not a zone: {error}", one.as_ref()))
                .hint("write a domain name: \"corp.example\", \"10.in-addr.arpa\""),
        }
    }
    zones
}

fn addresses(written: &Spanned<String>, listen: &[SocketAddr], cx: &mut Context<'_, '_>) -> Vec<SocketAddr> {
    if written.as_ref() == "system" {
        return system(written.span(), listen, cx);
    }
    let Some(address) = address(written, cx.report) else { return Vec::new() };
    if let Some(own) = own(address, listen, cx) {
        cx.report
            .error(written.span(), format!("upstream {address} is this server itself: it listens on {own}"))
            .hint("forward to another server, or listen on another port");
    }
    vec![address]
}

fn system(place: Span, listen: &[SocketAddr], cx: &mut Context<'_, '_>) -> Vec<SocketAddr> {
    let env = cx.env;
    let text = match &env.resolv_conf {
        Ok(text) => text,
        Err(error) => {
            cx.report
                .error(place, format!("resolv.conf cannot be read: {error}"))
                .hint("write the address of a resolver instead of \"system\"");
            return Vec::new();
        }
    };
    let (servers, odd) = resolv_conf::nameservers(text);
    for line in odd {
        cx.report.warning(place.clone(), format!("this line of resolv.conf is left out: {line:?}"));
    }
    let mut kept = Vec::with_capacity(servers.len());
    for address in servers.into_iter().map(|ip| SocketAddr::new(ip.to_canonical(), 53)) {
        if own(address, listen, cx).is_some() {
            cx.report.warning(place.clone(), format!("{address} in resolv.conf is this server; left out"));
        } else if is_nowhere(address) {
            cx.report.warning(place.clone(), format!("{address} in resolv.conf is no server; left out"));
        } else {
            kept.push(address);
        }
    }
    if kept.is_empty() {
        cx.report
            .error(place, "resolv.conf names no nameserver but this one")
            .hint("write the address of a resolver instead of \"system\"");
    }
    kept
}

/// The listening address at which a query to `upstream` would arrive.
fn own<'a>(upstream: SocketAddr, listen: &'a [SocketAddr], cx: &Context<'_, '_>) -> Option<&'a SocketAddr> {
    let ip = upstream.ip().to_canonical();
    let here = || ip.is_loopback() || (cx.env.is_own_address)(ip);
    listen.iter().filter(|own| own.port() == upstream.port()).find(|own| match own.ip() {
        wildcard if wildcard.is_unspecified() => wildcard.is_ipv4() == ip.is_ipv4() && here(),
        one => one.to_canonical() == ip,
    })
}

fn address(written: &Spanned<String>, report: &mut Reporter<'_>) -> Option<SocketAddr> {
    let text = written.as_ref().as_str();
    let place = written.span();
    let written = text.parse().or_else(|_| text.parse().map(|ip: IpAddr| SocketAddr::new(ip, 53)));
    let Ok(address) = written else {
        not_an_address(text, place, report);
        return None;
    };
    // IPv4 written as IPv6 becomes IPv4; any other address stays whole, the zone of a link-local one included.
    let address = match address.ip().to_canonical() {
        ip if ip == address.ip() => address,
        ip => SocketAddr::new(ip, address.port()),
    };
    if is_nowhere(address) {
        report.error(place, format!("{address} is nothing to send a query to")).hint("write the address of a resolver");
        return None;
    }
    Some(address)
}

/// Whether nothing can answer there.
fn is_nowhere(address: SocketAddr) -> bool {
    address.ip().is_unspecified() || address.ip().is_multicast() || address.port() == 0
}

fn not_an_address(text: &str, place: Span, report: &mut Reporter<'_>) {
    let plain =
        "write an IP address, with a port if it is not 53: \"192.0.2.53\", \"192.0.2.53:5301\", \"[2001:db8::53]:53\"";
    match text.split_once("://") {
        Some((scheme @ ("tls" | "https" | "quic"), _)) => {
            refuse_not_built(report, place, &format!("an upstream by {scheme}"))
        }
        Some((scheme, _)) => report.error(place, format!("unknown scheme {scheme:?}")).hint(plain),
        None => report.error(place, format!("upstream {text:?} is not an IP address")).hint(plain),
    }
}
