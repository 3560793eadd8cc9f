//! From notices to rules: who wins among those that list a name.
//!
//! # Who wins, and who owns the hit
//!
//! Several notices may list a name, by the same target or by targets above it. Exactly one answers; it owns the hit. The
//! first line that tells two of them apart decides:
//!
//! | | the two differ in | winner |
//! |---|---|---|
//! | 1 | being in force now | the one in force; a scheduled or expired notice never answers |
//! | 2 | kind of authority | statutory before operator, whatever the targets |
//! | 3 | (both operator) place of their source in the config | the earlier source, whatever the targets: RPZ's rule, zone order beats specificity |
//! | 4 | length of the target | the more specific, i.e. longer, target |
//! | 5 | scope on the same name | exact before subtree, for the name itself |
//! | 6 | (same target) when they took effect | the earlier: a later notice does not change the answer while the first stands |
//! | 7 | (same target, same time) authority id, then notice id | the smaller, so that all nodes agree |
//!
//! A name stays listed until the last notice that lists it ends: the next one in this order takes over.
//! For DS and DNSKEY exact targets are left out before the table is applied (INTERFACES: "an `exact` target forwards DS and
//! DNSKEY").
//!
//! Each line has its test below.

use std::sync::Arc;

use super::index::Member;
use super::pages::{Page, Pages};
use crate::model::{AuthorityKind, Notice, Scope, Sensitivity};

/// Where hits of a notice are counted; numbers given out by the control plane, meaningless here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Slots {
    /// Counter of its authority, category and action.
    pub blocked: u16,
    /// Counter of the notice itself; none for the secret class.
    pub hit: Option<u16>,
}

/// A notice as the policy knows it.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The order.
    pub notice: Arc<Notice>,
    /// Of the authority that issued it.
    pub kind: AuthorityKind,
    /// Lines 2 and 3 of the table: 0 for statutory, 1 + source order for the operator's own.
    pub rank: u32,
    /// The block page of its authority and category.
    pub page: Page,
    /// EXTRA-TEXT of the EDE option: the notice id, nothing for other than public notices.
    pub extra_text: Box<[u8]>,
    /// Where its hits are counted.
    pub slots: Slots,
}

impl Entry {
    /// Prepares a notice that came from the source at `order`.
    pub fn new(notice: Arc<Notice>, kind: AuthorityKind, order: u32, pages: &Pages, slots: Slots) -> Self {
        let public = notice.sensitivity == Sensitivity::Public;
        Self {
            kind,
            rank: match kind {
                AuthorityKind::Statutory => 0,
                AuthorityKind::Operator => order.saturating_add(1),
            },
            page: pages.page(&notice.authority, &notice.category),
            extra_text: if public { notice.id.as_str().as_bytes().into() } else { Box::default() },
            slots,
            notice,
        }
    }
}

/// The winners of one set of listings; numbers of slots.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Rule {
    /// For the name itself.
    pub(super) exact: Option<u32>,
    /// For the name and everything below it.
    pub(super) subtree: Option<u32>,
}

impl Rule {
    pub(super) fn is_live(self) -> bool {
        self.exact.is_some() || self.subtree.is_some()
    }
}

/// Decides who wins among the members of a set; `entry` gives the notice of a slot, if it is in force.
pub(super) fn rule<'e>(members: &[Member], entry: impl Fn(u32) -> Option<&'e Entry>) -> Rule {
    let winner = |scope: Scope| {
        let these = members.iter().filter(|member| member.scope == scope);
        these
            .filter_map(|member| Some((member.notice, entry(member.notice)?)))
            .min_by(|(_, a), (_, b)| precedence(a).cmp(&precedence(b)))
            .map(|(slot, _)| slot)
    };
    Rule { exact: winner(Scope::Exact), subtree: winner(Scope::Subtree) }
}

/// Lines 2, 3, 6 and 7 of the table; 4 and 5 come from the walk over the targets.
fn precedence(entry: &Entry) -> impl Ord + '_ {
    let Notice { authority, id, validity, .. } = &*entry.notice;
    (entry.rank, validity.effective_at, authority, id)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::model::*;
    use crate::policy::Register;
    use crate::policy::verdict::{Consider, Snapshot};
    use jiff::Timestamp;
    use sha2::{Digest, Sha256};
    use std::collections::BTreeMap;

    pub(crate) fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    /// A notice with nothing in it but what decides.
    pub(crate) fn notice(authority: &str, id: &str, from: i64, until: Option<i64>) -> Notice {
        Notice {
            id: NoticeId::new(id),
            sequence: 1,
            authority: AuthorityId::new(authority),
            legal_basis: LegalBasis { power: "Act s.1".into(), offence: None },
            category: Category::new("scam"),
            sensitivity: Sensitivity::Public,
            issued_at: at(from),
            validity: Validity { effective_at: at(from), expires_at: until.map(at) },
            deadline_at: None,
            review_by: None,
            action: Action::BlockPage,
            contact: Vec::new(),
            appeal: None,
            text: BTreeMap::new(),
            digest: Sha256::digest(format!("{authority} {id}")).into(),
        }
    }

    fn pages() -> Pages {
        Pages { default: Page::default(), rules: Vec::new(), ttl: 30 }
    }

    use AuthorityKind::{Operator, Statutory};
    use Scope::{Exact, Subtree};

    pub(crate) type Listing<'a> = (Notice, AuthorityKind, u32, &'a [(&'a str, Scope)]);

    /// The notice with its names, prepared.
    pub(crate) fn prepared((notice, kind, order, targets): &Listing) -> (Entry, Targets) {
        let names: Vec<_> = targets.iter().map(|(t, s)| (DnsName::from_text(t).unwrap(), *s)).collect();
        let entry = Entry::new(Arc::new(notice.clone()), *kind, *order, &pages(), Slots::default());
        (entry, names.iter().map(|(name, scope)| (name, *scope)).collect())
    }

    pub(crate) fn snapshot(listings: &[Listing], now: i64) -> Snapshot {
        let mut register = Register::default();
        let mut prepared: Vec<_> = listings.iter().map(prepared).collect();
        let new = prepared.iter_mut().map(|(entry, targets)| (entry.clone(), targets)).collect();
        register.change(&[], new, at(now)).unwrap();
        register.snapshot(30, 1)
    }

    fn winner(snapshot: &Snapshot, name: &str, consider: Consider) -> Option<(String, String, Scope)> {
        let name = DnsName::from_text(name).unwrap();
        let verdict = snapshot.decide(name.as_wire(), consider)?;
        let target = name::wire_to_text(verdict.target);
        Some((verdict.entry.notice.id.to_string(), target, verdict.scope))
    }

    #[track_caller]
    fn wins(listings: &[Listing], name: &str, id: &str) {
        let reversed: Vec<_> = listings.iter().rev().cloned().collect();
        for listings in [listings, &reversed] {
            assert_eq!(winner(&snapshot(listings, 100), name, Consider::All).unwrap().0, id);
        }
    }

    #[test]
    fn line_1_only_a_notice_in_force_answers() {
        let target: &[_] = &[("a.example", Exact)];
        let scheduled = (notice("a", "scheduled", 200, None), Statutory, 0, target);
        let expired = (notice("a", "expired", 1, Some(100)), Statutory, 0, target);
        let live = (notice("z", "live", 99, Some(101)), Operator, 9, target);
        wins(&[scheduled.clone(), expired.clone(), live], "a.example", "live");
        assert!(winner(&snapshot(&[scheduled.clone(), expired.clone()], 100), "a.example", Consider::All).is_none());
        assert_eq!(winner(&snapshot(&[scheduled, expired], 200), "a.example", Consider::All).unwrap().0, "scheduled");
    }

    #[test]
    fn line_2_statutory_before_operator_even_with_a_shorter_target() {
        wins(
            &[
                (notice("isp", "own", 1, None), Operator, 0, &[("www.a.example", Exact)]),
                (notice("mcmc", "order", 50, None), Statutory, 1, &[("a.example", Subtree)]),
            ],
            "www.a.example",
            "order",
        );
    }

    #[test]
    fn line_3_the_earlier_operator_source_wins_even_with_a_shorter_target() {
        wins(
            &[
                (notice("isp", "first", 50, None), Operator, 0, &[("a.example", Subtree)]),
                (notice("isp", "second", 1, None), Operator, 1, &[("www.a.example", Exact)]),
            ],
            "www.a.example",
            "first",
        );
    }

    #[test]
    fn line_4_the_more_specific_target_wins() {
        let listings: &[Listing] = &[
            (notice("a", "short", 1, None), Statutory, 0, &[("example.test", Subtree)]),
            (notice("b", "long", 50, None), Statutory, 1, &[("a.example.test", Subtree)]),
        ];
        wins(listings, "x.a.example.test", "long");
        wins(listings, "x.b.example.test", "short");
    }

    #[test]
    fn line_5_exact_before_subtree_on_the_name_itself() {
        let listings: &[Listing] = &[
            (notice("a", "subtree", 1, None), Statutory, 0, &[("a.example", Subtree)]),
            (notice("b", "exact", 50, None), Statutory, 1, &[("a.example", Exact)]),
        ];
        wins(listings, "a.example", "exact");
        wins(listings, "b.a.example", "subtree");
        let snapshot = snapshot(listings, 100);
        assert_eq!(winner(&snapshot, "a.example", Consider::SubtreesOnly).unwrap().0, "subtree");
    }

    #[test]
    fn line_6_the_notice_that_took_effect_first_keeps_the_answer() {
        let target: &[_] = &[("a.example", Exact)];
        wins(
            &[
                (notice("a", "later", 50, None), Statutory, 0, target),
                (notice("b", "first", 1, None), Statutory, 1, target),
            ],
            "a.example",
            "first",
        );
    }

    #[test]
    fn line_7_then_the_smaller_authority_and_id() {
        let target: &[_] = &[("a.example", Exact)];
        wins(
            &[(notice("b", "1", 1, None), Statutory, 0, target), (notice("a", "2", 1, None), Statutory, 1, target)],
            "a.example",
            "2",
        );
        wins(
            &[(notice("a", "2", 1, None), Statutory, 0, target), (notice("a", "1", 1, None), Statutory, 1, target)],
            "a.example",
            "1",
        );
    }

    #[test]
    fn a_name_stays_listed_until_the_last_notice_ends() {
        let target: &[_] = &[("a.example", Subtree)];
        let listings: &[Listing] = &[
            (notice("a", "first", 1, Some(10)), Statutory, 0, target),
            (notice("b", "second", 2, Some(20)), Statutory, 0, target),
        ];
        let of = |now| winner(&snapshot(listings, now), "www.a.example", Consider::All).map(|(id, ..)| id);
        assert_eq!(of(9).as_deref(), Some("first"));
        assert_eq!(of(10).as_deref(), Some("second"));
        assert_eq!(of(20), None);
    }

    #[test]
    fn exact_reaches_neither_up_nor_down_nor_sideways() {
        let snapshot = snapshot(&[(notice("a", "1", 1, None), Statutory, 0, &[("b.a.example", Exact)])], 100);
        assert!(winner(&snapshot, "b.a.example", Consider::All).is_some());
        for name in ["c.b.a.example", "a.example", "bb.a.example", "c.a.example", "example"] {
            assert!(winner(&snapshot, name, Consider::All).is_none(), "{name}");
        }
        assert!(winner(&snapshot, "b.a.example", Consider::SubtreesOnly).is_none());
    }

    #[test]
    fn the_digest_is_that_of_the_notices_in_force() {
        let target: &[_] = &[("a.example", Exact)];
        let (a, b) = (notice("a", "1", 1, None), notice("b", "2", 50, None));
        let both: &[Listing] = &[(a.clone(), Statutory, 0, target), (b.clone(), Statutory, 0, target)];
        let swapped: &[Listing] = &[(b, Statutory, 0, target), (a.clone(), Statutory, 0, target)];
        let alone: &[Listing] = &[(a, Statutory, 0, target)];
        assert_eq!(snapshot(both, 100).digest, snapshot(swapped, 100).digest);
        assert_eq!(snapshot(both, 49).digest, snapshot(alone, 49).digest);
        assert_ne!(snapshot(both, 50).digest, snapshot(both, 49).digest);
    }
}
