//! The policy against a model anybody can check by eye: a scan over all targets of all notices.

use std::collections::BTreeSet;
use std::sync::Arc;

use proptest::collection::vec;
use proptest::prelude::*;
use sha2::{Digest, Sha256};

use super::compile::tests::{at, notice};
use super::register::Limits;
use super::verdict::Consider;
use super::*;
use crate::model::name::is_at_or_below;
use crate::model::{AuthorityKind, DnsName, Notice, Scope, Sensitivity, Targets};

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
    let secret = prop_oneof![3 => Just(Sensitivity::Public), 1 => Just(Sensitivity::Secret)];
    (0u32..4, kind, 0u32..3, validity, vec((name(), scope), 0..8), secret).prop_map(
        |(id, kind, order, (from, lasts), targets, sensitivity)| {
            let mut notice =
                notice(&format!("auth-{}", id % 2), &format!("n-{id}"), from, lasts.map(|lasts| from + lasts));
            notice.sensitivity = sensitivity;
            notice.digest = Sha256::digest(format!("{notice:?} {kind:?} {targets:?}")).into();
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

fn entry(listing: &Listing) -> Entry {
    let pages = Pages { default: Page::default(), rules: Vec::new(), ttl: 30 };
    Entry::new(Arc::new(listing.notice.clone()), listing.kind, listing.order, &pages, Slots::default())
}

fn targets(listing: &Listing) -> Targets {
    listing.targets.iter().map(|(name, scope)| (name, *scope)).collect()
}

/// Puts notices in and takes others out.
fn change(register: &mut Register, gone: &[u32], new: &[Listing], now: i64) -> (Vec<u32>, Change) {
    let mut targets: Vec<_> = new.iter().map(targets).collect();
    let new = new.iter().map(entry).zip(&mut targets).collect();
    register.change(gone, new, at(now)).unwrap()
}

/// The targets in force.
fn in_force(listings: &[Listing], now: i64) -> BTreeSet<(DnsName, Scope)> {
    let live = listings.iter().filter(|listing| listing.notice.validity.contains(at(now)));
    live.flat_map(|listing| listing.targets.iter().cloned()).collect()
}

/// What a policy says of a name, in words that do not depend on slots.
fn says(snapshot: &Snapshot, name: &DnsName, consider: Consider) -> Option<(String, String, Vec<u8>, Scope)> {
    let verdict = snapshot.decide(name.as_wire(), consider)?;
    let Notice { authority, id, .. } = &*verdict.entry.notice;
    Some((authority.to_string(), id.to_string(), verdict.target.to_vec(), verdict.scope))
}

/// What the scan says of it, in the same words.
fn scanned(
    listings: &[Listing],
    name: &DnsName,
    consider: Consider,
    now: i64,
) -> Option<(String, String, Vec<u8>, Scope)> {
    let (n, target, scope) = scan(listings, name, consider, now)?;
    let Notice { authority, id, .. } = &listings[n].notice;
    Some((authority.to_string(), id.to_string(), target.as_wire().to_vec(), scope))
}

/// One thing that happens to a register.
#[derive(Clone, Debug)]
enum Event {
    /// Notices come, and some of those that are there go (by their place in the list); time passes, or goes back.
    Change(Vec<Listing>, Vec<prop::sample::Index>, i64),
    /// What has piled up is merged, while these changes go on.
    Merge(Vec<Self>),
}

fn changes() -> impl Strategy<Value = Event> {
    (vec(listing(), 0..3), vec(any::<prop::sample::Index>(), 0..3), 0i64..8)
        .prop_map(|(new, gone, now)| Event::Change(new, gone, now))
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![3 => changes(), 1 => vec(changes(), 0..3).prop_map(Event::Merge)]
}

/// A register, and what it should know.
struct Both {
    register: Register,
    listings: Vec<(u32, Listing)>,
    now: i64,
}

impl Both {
    fn listings(&self) -> Vec<Listing> {
        self.listings.iter().map(|(_, listing)| listing.clone()).collect()
    }

    fn happen(&mut self, event: &Event) {
        match event {
            Event::Change(new, gone, now) => self.change(new, gone, *now),
            Event::Merge(meanwhile) => {
                let merge = self.register.merge();
                meanwhile.iter().for_each(|event| self.happen(event));
                if let Some(merge) = merge {
                    self.register.install(merge.run());
                }
            }
        }
    }

    fn change(&mut self, new: &[Listing], gone: &[prop::sample::Index], now: i64) {
        let before = (self.listings(), self.now, self.register.snapshot(30, 1));
        let mut slots = Vec::new();
        for index in gone {
            if !self.listings.is_empty() {
                slots.push(self.listings.remove(index.index(self.listings.len())).0);
            }
        }
        let (given, change) = change(&mut self.register, &slots, new, now);
        self.listings.extend(given.into_iter().zip(new.iter().cloned()));
        self.now = now;
        let (old, new) = (in_force(&before.0, before.1), in_force(&self.listings(), now));
        let (added, lifted) = (new.difference(&old).count() as u64, old.difference(&new).count() as u64);
        assert_eq!((change.diff.added, change.diff.lifted), (added, lifted), "the targets that changed");
        assert!(change.differs || (added, lifted) == (0, 0), "a change of answers is told");
        for (_, listing) in &self.listings {
            for (name, _) in &listing.targets {
                let said = says(&before.2, name, Consider::All);
                assert_eq!(said, scanned(&before.0, name, Consider::All, before.1), "the old policy stays as it was");
            }
        }
    }

    fn check(&self, asked: &[DnsName]) {
        let (snapshot, listings) = (self.register.snapshot(30, 1), self.listings());
        let listed = listings.iter().flat_map(|listing| listing.targets.iter().map(|(name, _)| name));
        for name in asked.iter().chain(listed) {
            for consider in [Consider::All, Consider::SubtreesOnly] {
                let scanned = scanned(&listings, name, consider, self.now);
                assert_eq!(says(&snapshot, name, consider), scanned, "{name} at {}", self.now);
            }
        }
        let names: BTreeSet<_> = in_force(&listings, self.now).into_iter().map(|(name, _)| name).collect();
        assert_eq!((snapshot.names(), snapshot.notices()), (names.len() as u64, listings.len()));
        let mut anew = Register::default();
        change(&mut anew, &[], &listings, self.now);
        assert_eq!(anew.snapshot(30, 1).digest, snapshot.digest, "the digest is that of the notices, not of the way");
        for (slot, listing) in &self.listings {
            let all =
                |targets: &Targets| targets.iter().map(|(wire, scope)| (wire.to_vec(), scope)).collect::<BTreeSet<_>>();
            assert_eq!(all(&self.register.targets(*slot)), all(&targets(listing)));
        }
    }
}

proptest! {
    /// By all ways: the overlay, layers built at once, merges beside other changes; whatever order they come in.
    #[test]
    fn whatever_happens_the_policy_is_the_scan(
        events in vec(event(), 1..12),
        asked in vec(name(), 1..12),
        large in 0usize..20,
        due in 0usize..8,
        most in 0usize..40,
    ) {
        let register = Register::with_limits(at(0), Limits { large, due, most });
        let mut both = Both { register, listings: Vec::new(), now: 0 };
        for event in &events {
            both.happen(event);
            both.check(&asked);
        }
    }
}
