//! What signed files would put in force if they came now, for `pagar check` and `pagar why`: without a ledger, so that
//! nothing is recorded, and without what a running server knows beside the files.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::judge::{self, Bench, Judged};
use super::{Shown, Signed, place, quarantine_problem};
use crate::control::life::Life;
use crate::control::state::Place;
use crate::ingest::{Document, Problem};
use crate::model::Restriction;

/// What is put in force, by place.
type Documents = Vec<(Place, Document)>;

/// See the module's header. Problems come with their source.
pub(in crate::control) fn offline(
    mut files: Vec<Signed>,
    bench: &Bench<'_>,
    now: Timestamp,
) -> (Documents, Vec<(String, Problem)>) {
    files.sort_by_cached_key(|signed| judge::order_in(&signed.octets).map(|order| (order.authority, order.sequence)));
    let (mut life, mut problems) = (Life::default(), Vec::new());
    let mut restrictions: BTreeMap<[u8; 32], Restriction> = BTreeMap::new();
    for signed in files {
        let source = || signed.source.clone();
        match judge::judge(&signed.octets, &signed.file, bench, &life, &[], now) {
            Judged::Known(_) => {}
            Judged::Refused(why) => {
                problems.extend(why.into_problems(&signed.file).into_iter().map(|problem| (source(), problem)));
            }
            Judged::Good(good) => {
                problems.extend(good.problems.iter().map(|problem| (source(), problem.clone())));
                let held = |(item, why)| (source(), quarantine_problem(&good.order, item, why, &signed.file));
                problems.extend(good.quarantined.iter().map(|(item, why)| held((item, *why))));
                if let Some(restriction) = good.order.act.restriction() {
                    restrictions.insert(good.order.digest, restriction.clone());
                }
                let quarantined = good.quarantined.iter().map(|(item, _)| item.clone()).collect();
                let _ = life.take(&good.order, quarantined, now);
            }
        }
    }
    let _ = life.at(now);
    let documents = life.cases().filter_map(|(key, case)| {
        let shown = Shown::of(case)?;
        Some((place(key), shown.document(key, restrictions.get(&shown.payload)?)))
    });
    (documents.collect(), problems)
}
