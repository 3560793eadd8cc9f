//! The policy against a model anybody can check by eye: a scan over all targets of all notices.

use std::sync::Arc;

use proptest::collection::vec;
use proptest::prelude::*;

use super::compile::tests::{at, notice};
use super::verdict::Consider;
use super::*;
use crate::model::name::is_at_or_below;
use crate::model::{AuthorityKind, DnsName, Notice, Scope, Targets};

/// A notice with its targets, as the model sees it.
#[derive(Clone, Debug)]
struct Listing {
    notice: Notice,
    kind: AuthorityKind,
    order: u32,
    targets: Vec<(DnsName, Scope)>,
}

/// Names of up to five labels from a small alphabet, so that they meet; odd octets included.
fn name() -> impl Strategy<Value = DnsName> {
    let label = prop_oneof![Just("a"), Just("b"), Just("ab"), Just("\\000"), Just("\\."), Just("\\255x")];
    vec(label, 1..6).prop_map(|labels| DnsName::from_text(&labels.join(".")).unwrap())
}

fn listing() -> impl Strategy<Value = Listing> {
    let scope = prop_oneof![Just(Scope::Exact), Just(Scope::Subtree)];
    let kind = prop_oneof![Just(AuthorityKind::Statutory), Just(AuthorityKind::Operator)];
    let validity = (0i64..6, prop_oneof![Just(None), (1i64..5).prop_map(Some)]);
    (0u32..4, kind, 0u32..3, validity, vec((name(), scope), 0..8)).prop_map(
        |(id, kind, order, (from, lasts), targets)| {
            let notice = notice(&format!("auth-{}", id % 2), &format!("n-{id}"), from, lasts.map(|lasts| from + lasts));
            Listing { notice, kind, order, targets }
        },
    )
}

/// The table of [`super::compile`], line by line, over a scan.
fn scan<'a>(
    listings: &'a [Listing],
    name: &DnsName,
    consider: Consider,
    now: i64,
) -> Option<(usize, &'a DnsName, Scope)> {
    let mut hits = Vec::new();
    for (n, listing) in listings.iter().enumerate() {
        for (target, scope) in &listing.targets {
            let reached = match scope {
                Scope::Exact => consider == Consider::All && target == name,
                Scope::Subtree => is_at_or_below(name.as_wire(), target.as_wire()),
            };
            if reached && listing.notice.validity.contains(at(now)) {
                hits.push((n, target, *scope));
            }
        }
    }
    hits.into_iter().min_by_key(|(n, target, scope)| {
        let Listing { notice, kind, order, .. } = &listings[*n];
        let operator = *kind == AuthorityKind::Operator;
        let place = if operator { *order } else { 0 };
        let length = std::cmp::Reverse(target.label_count());
        (operator, place, length, *scope, notice.validity.effective_at, notice.authority.clone(), notice.id.clone())
    })
}

fn entries(listings: &[Listing]) -> Arc<[Entry]> {
    let pages = Pages { default: Page::default(), rules: Vec::new(), ttl: 30 };
    let entry = |l: &Listing| Entry::new(Arc::new(l.notice.clone()), l.kind, l.order, &pages, Slots::default());
    listings.iter().map(entry).collect()
}

fn targets(listing: &Listing) -> Targets {
    listing.targets.iter().map(|(name, scope)| (name, *scope)).collect()
}

fn added(listings: &[Listing]) -> Vec<(u32, Targets)> {
    (0u32..).zip(listings).map(|(n, listing)| (n, targets(listing))).collect()
}

/// Index contents in an order that does not depend on how they came there.
fn contents(index: &Index) -> Vec<(Vec<u8>, Vec<index::Member>)> {
    let mut contents: Vec<_> = index.iter().map(|(wire, set)| (wire.to_vec(), index.members(set).collect())).collect();
    contents.sort();
    contents
}

proptest! {
    #[test]
    fn a_look_up_is_the_scan(listings in vec(listing(), 0..6), asked in vec(name(), 1..20), now in 0i64..8) {
        let index = compile::index(&Index::default(), &[], &mut added(&listings)).unwrap();
        let snapshot = compile::resolve(Arc::new(index), entries(&listings), 30, at(now), 1);
        for name in &asked {
            for consider in [Consider::All, Consider::SubtreesOnly] {
                let found = snapshot.decide(name.as_wire(), consider);
                let expected = scan(&listings, name, consider, now);
                // two notices that agree in every line of the table are the same notice
                let said = |n: usize, target: &[u8], scope| {
                    let notice = &listings[n].notice;
                    (notice.authority.clone(), notice.id.clone(), target.to_vec(), scope)
                };
                prop_assert_eq!(
                    found.map(|v| (v.entry.notice.authority.clone(), v.entry.notice.id.clone(), v.target.to_vec(), v.scope)),
                    expected.map(|(n, target, scope)| said(n, target.as_wire(), scope)),
                    "{} at {}", name, now
                );
            }
        }
    }

    #[test]
    fn a_change_gives_the_index_a_rebuild_would(
        listings in vec(listing(), 1..6),
        new in vec(listing(), 0..3),
        keep in vec(any::<bool>(), 6),
    ) {
        let before = compile::index(&Index::default(), &[], &mut added(&listings)).unwrap();
        let survivors: Vec<_> = listings.iter().zip(&keep).filter(|(_, keep)| **keep).map(|(l, _)| l.clone()).collect();
        let mut next = 0u32;
        let kept: Vec<_> = listings.iter().zip(&keep).map(|(_, keep)| keep.then(|| { next += 1; next - 1 })).collect();
        let mut fresh: Vec<_> = (next..).zip(&new).map(|(n, listing)| (n, targets(listing))).collect();
        let changed = compile::index(&before, &kept, &mut fresh).unwrap();
        let all: Vec<_> = survivors.into_iter().chain(new).collect();
        let rebuilt = compile::index(&Index::default(), &[], &mut added(&all)).unwrap();
        prop_assert_eq!(contents(&changed), contents(&rebuilt));
    }

    #[test]
    fn names_in_force_are_those_the_scan_finds_live(listings in vec(listing(), 0..6), now in 0i64..8) {
        let index = compile::index(&Index::default(), &[], &mut added(&listings)).unwrap();
        let snapshot = compile::resolve(Arc::new(index), entries(&listings), 30, at(now), 1);
        let live: std::collections::BTreeSet<_> = listings.iter()
            .filter(|listing| listing.notice.validity.contains(at(now)))
            .flat_map(|listing| listing.targets.iter().map(|(name, _)| name))
            .collect();
        prop_assert_eq!(snapshot.names(), live.len() as u64);
    }
}
