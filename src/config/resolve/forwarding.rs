//! `[forwarding]`: how the upstreams are asked.

use super::values;
use crate::config::diagnostic::Reporter;
use crate::config::spec;
use crate::dns::{Forwarding, Strategy};

const STRATEGIES: [(&str, Strategy); 3] =
    [("ordered", Strategy::Ordered), ("fastest", Strategy::Fastest), ("spread", Strategy::Spread)];

pub(super) fn forwarding(written: &spec::Forwarding, report: &mut Reporter<'_>) -> Option<Forwarding> {
    let default = Forwarding::default();
    let strategy = values::word_or(written.strategy.as_ref(), "strategy", &STRATEGIES, default.strategy, report);
    Some(Forwarding {
        strategy: strategy?,
        hedge: written.hedge.unwrap_or(default.hedge),
        cookies: written.cookies.unwrap_or(default.cookies),
    })
}
