//! `[[exempt]]`: clients that are not restricted, with the reason and an end.

use super::values;
use super::{Context, dns};
use crate::config::spec;
use crate::model::{Exemption, Exemptions, Network, Networks};

/// What is said of an exemption for everybody, and the hint.
const EVERYBODY: [&str; 2] =
    ["exempts everybody: no notice restricts anybody", "write the networks the legal reason is about"];

pub(super) fn all(written: &[spec::Exempt], cx: &mut Context<'_, '_>) -> Option<Exemptions> {
    let exemptions: Vec<_> = written.iter().filter_map(|one| exemption(one, cx)).collect();
    (exemptions.len() == written.len()).then(|| exemptions.into_iter().collect())
}

fn exemption(written: &spec::Exempt, cx: &mut Context<'_, '_>) -> Option<Exemption> {
    let networks = networks(&written.networks, cx);
    let reason = values::text(&written.reason, "the reason of the exemption", cx.report);
    let until = values::time(&written.until, "until", cx.report);
    if until.is_some_and(|until| until <= cx.env.now) {
        cx.report
            .warning(written.until.span(), "the exemption has ended: these clients are restricted like all others")
            .hint("remove it, or write the end of the new order");
    }
    Some(Exemption { networks: networks?, reason: reason?.to_owned(), until: until? })
}

fn networks(written: &spec::Spanned<Vec<spec::Spanned<String>>>, cx: &mut Context<'_, '_>) -> Option<Networks> {
    if written.as_ref().is_empty() {
        cx.report.error(written.span(), "the exemption is for nobody").hint("write the networks of the clients");
        return None;
    }
    let network = |one| dns::network(one, EVERYBODY, cx.report);
    let networks: Vec<Network> = written.as_ref().iter().filter_map(network).collect();
    (networks.len() == written.as_ref().len()).then(|| networks.into_iter().collect())
}
