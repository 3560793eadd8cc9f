//! `[dns.proxy]`: the balancers that say who their clients are.

use super::{Context, values};
use crate::config::spec;
use crate::model::{Network, Networks};

/// The balancers' networks; none where the table is left out.
pub(super) fn from(written: Option<&spec::Proxy>, cx: &mut Context<'_, '_>) -> Option<Networks> {
    let Some(written) = written else { return Some(Networks::default()) };
    let mut all: Vec<Network> = Vec::new();
    for one in written.from.as_ref() {
        let Some(network) = values::network(one, cx.report) else { continue };
        if values::is_everybody(&network) {
            cx.report
                .error(one.span(), format!("with {network} everybody could say he is somebody else"))
                .hint("write the addresses of your balancers: what does not come through them would get no answer");
            continue;
        }
        all.push(network);
    }
    (all.len() == written.from.as_ref().len()).then(|| all.into_iter().collect())
}
