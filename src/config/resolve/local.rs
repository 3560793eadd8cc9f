//! `[dns.local]` and `[[local_zone]]`: which names are answered here. The zones' files are read later, by whoever
//! starts the data plane: this layer knows their paths only.

use super::{Context, path_of};
use crate::config::diagnostic::{Reporter, Span};
use crate::config::spec::{self, Spanned};
use crate::dns::local::{Forwardable, LocalConfig, forwardable};
use crate::model::DnsName;

pub(super) fn config(
    written: &spec::Local,
    zones: &[spec::LocalZone],
    upstreams: &[spec::Upstream],
    cx: &mut Context<'_, '_>,
) -> Option<LocalConfig> {
    let special_names = written.special_names.unwrap_or(true);
    let entries: &[Spanned<String>] = written.forward.as_ref().map_or(&[], |forward| forward.as_ref());
    let mut forward: Vec<DnsName> = Vec::with_capacity(entries.len());
    for entry in entries {
        forward.extend(forwarded(entry, cx.report));
    }
    if let Some(place) = written.forward.as_ref().filter(|_| !special_names && !entries.is_empty()) {
        cx.report
            .warning(place.span(), "no special name is answered here, so nothing needs to be forwarded")
            .hint("remove forward, or special_names = false");
    }
    let mut all: Vec<(DnsName, _)> = Vec::with_capacity(zones.len());
    for one in zones {
        let (zone, path) = (zone(&one.zone, cx.report), path_of(&one.path, cx));
        let (Some(zone), Some(path)) = (zone, path) else { continue };
        if all.iter().any(|(other, _)| *other == zone) {
            cx.report.error(one.zone.span(), format!("the zone {zone} stands above")).hint("remove one of the two");
        } else if forward.contains(&zone) {
            cx.report
                .error(one.zone.span(), format!("the zone {zone} is forwarded by [dns.local]"))
                .hint("remove it there or here: a name is answered by one of the two");
        }
        refuse_upstreams(&zone, one.zone.span(), upstreams, cx.report);
        all.push((zone, path));
    }
    Some(LocalConfig { special_names, forward, zones: all })
}

/// Reports the zone and each upstream that is there for the same one.
fn refuse_upstreams(zone: &DnsName, place: Span, upstreams: &[spec::Upstream], report: &mut Reporter<'_>) {
    let asked = upstreams.iter().filter_map(|upstream| upstream.zones.as_ref()).flat_map(Spanned::as_ref);
    let mut same = asked.filter(|asked| asked.as_ref().parse::<DnsName>().is_ok_and(|asked| asked == *zone)).peekable();
    if same.peek().is_some() {
        report
            .error(place, format!("the zone {zone} has an [[upstream]] of its own"))
            .hint("remove it there or here: a name is answered by one of the two");
    }
    for asked in same {
        report.error(asked.span(), format!("the zone {zone} is a [[local_zone]]"));
    }
}

fn forwarded(written: &Spanned<String>, report: &mut Reporter<'_>) -> Option<DnsName> {
    let name = zone(written, report)?;
    match forwardable(&name) {
        Forwardable::Special => return Some(name),
        Forwardable::Never => report
            .error(written.span(), format!("{name} is never forwarded"))
            .hint("remove it: another resolver's designation would not be this one's (RFC 9462 §6.4)"),
        Forwardable::Unknown => report.error(written.span(), format!("no name under {name} is answered here")).hint(
            "remove it, it is forwarded anyway; there are the zones of RFC 6761, RFC 6303 and RFC 7793, such as \
             10.in-addr.arpa",
        ),
    }
    None
}

/// A name that can be a zone: any but the root.
fn zone(written: &Spanned<String>, report: &mut Reporter<'_>) -> Option<DnsName> {
    match DnsName::from_text(written.as_ref()) {
        Ok(name) if !name.is_root() => return Some(name),
        Ok(_) => {
            report.error(written.span(), "the root is not a zone to answer or except").hint("write a name below it")
        }
        Err(error) => report
            .error(written.span(), format!("{:?} is not a name: {error}", written.as_ref()))
            .hint("write a domain name: \"portal.isp.example.\""),
    }
    None
}
