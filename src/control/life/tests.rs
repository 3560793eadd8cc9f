//! What becomes of notices, as a lawyer would tell it; and that it does not matter how finely time passes.

use proptest::prelude::*;

use super::*;
use crate::model::{DnsName, Item, Restriction, Scope, Sensitivity, Validity};
use crate::policy::compile::tests::{at, notice};

/// An order of authority "a", signed and effective at `when`.
fn order(number: u64, when: i64, act: Act) -> Order {
    let mut digest = [0; 32];
    digest[..8].copy_from_slice(&number.to_be_bytes());
    Order {
        id: NoticeId::new(&format!("A-{number}")),
        sequence: number,
        authority: AuthorityId::new("a"),
        issued_at: at(when),
        effective_at: at(when),
        sensitivity: Sensitivity::Public,
        digest,
        act,
    }
}

fn restriction(id: u64, from: i64, until: Option<i64>) -> Restriction {
    let mut notice = notice("a", &format!("A-{id}"), from, until);
    notice.validity = Validity { effective_at: at(from), expires_at: until.map(at) };
    let target = Ok((DnsName::from_text("bad.example").unwrap(), Scope::Exact));
    Restriction { notice: Arc::new(notice), items: vec![Item { id: "1".into(), target }] }
}

fn restrict(number: u64, from: i64, until: Option<i64>) -> Order {
    order(number, from, Act::Restrict(restriction(number, from, until)))
}

fn amend(number: u64, of: u64, from: i64, until: Option<i64>) -> Order {
    let (amends, restriction) = (NoticeId::new(&format!("A-{of}")), restriction(of, from, until));
    order(number, from, Act::Amend { amends, restriction })
}

fn revoke(number: u64, of: u64, when: i64, items: &[&str]) -> Order {
    let items = items.iter().map(|item| ItemId::from(*item)).collect();
    order(number, when, Act::Revoke { notices: vec![NoticeId::new(&format!("A-{of}"))], items })
}

fn suspend(number: u64, of: u64, when: i64) -> Order {
    order(number, when, Act::Suspend(vec![NoticeId::new(&format!("A-{of}"))]))
}

fn resume(number: u64, of: u64, when: i64) -> Order {
    order(number, when, Act::Resume(vec![NoticeId::new(&format!("A-{of}"))]))
}

fn key(number: u64) -> Key {
    (AuthorityId::new("a"), NoticeId::new(&format!("A-{number}")))
}

/// Takes a good order and says what became of which notice.
fn take(life: &mut Life, order: &Order, now: i64) -> Vec<(String, Phase)> {
    let _ = life.at(at(now));
    life.check(order, std::iter::empty()).unwrap();
    told(life.take(order, BTreeSet::new(), at(now)))
}

fn told(steps: Vec<Step>) -> Vec<(String, Phase)> {
    steps.into_iter().map(|step| (step.key.1.to_string(), step.to)).collect()
}

#[test]
fn a_notice_waits_for_its_date_is_in_force_and_expires() {
    let mut life = Life::default();
    assert_eq!(take(&mut life, &restrict(1, 10, Some(20)), 5), [("A-1".into(), Phase::Scheduled)]);
    assert_eq!(life.next_change(), Some(at(10)));
    assert_eq!(told(life.at(at(9))), []);
    assert_eq!(told(life.at(at(10))), [("A-1".into(), Phase::InForce)]);
    assert_eq!(told(life.at(at(30))), [("A-1".into(), Phase::Expired)]);
    assert_eq!(life.next_change(), None);
}

#[test]
fn an_appeal_suspends_and_its_failure_resumes() {
    let mut life = Life::default();
    take(&mut life, &restrict(1, 1, None), 1);
    assert_eq!(take(&mut life, &suspend(2, 1, 5), 5), [("A-1".into(), Phase::Suspended)]);
    assert_eq!(take(&mut life, &resume(3, 1, 9), 6), [], "it says from when");
    assert_eq!(told(life.at(at(9))), [("A-1".into(), Phase::InForce)]);
}

#[test]
fn a_notice_that_rests_expires_all_the_same() {
    let mut life = Life::default();
    take(&mut life, &restrict(1, 1, Some(20)), 1);
    take(&mut life, &suspend(2, 1, 5), 5);
    assert_eq!(told(life.at(at(20))), [("A-1".into(), Phase::Expired)]);
    assert_eq!(life.check(&resume(3, 1, 21), std::iter::empty()), Err(Refusal::Ended(NoticeId::new("A-1"))));
}

#[test]
fn a_hundred_and_seventy_nine_notices_are_revoked_at_once() {
    let mut life = Life::default();
    (1..=179).for_each(|number| drop(take(&mut life, &restrict(number, 1, None), 1)));
    let notices = (1..=179).map(|number| key(number).1).collect();
    let steps = take(&mut life, &order(180, 2, Act::Revoke { notices, items: Vec::new() }), 2);
    assert_eq!(steps.len(), 179);
    assert!(steps.iter().all(|(_, phase)| *phase == Phase::Revoked));
}

#[test]
fn items_are_revoked_alone_and_an_amendment_says_all_anew() {
    let mut life = Life::default();
    take(&mut life, &restrict(1, 1, None), 1);
    assert_eq!(take(&mut life, &revoke(2, 1, 2, &["1"]), 2), [("A-1".into(), Phase::InForce)]);
    assert_eq!(life.case(&key(1)).unwrap().revoked_items, ["1".into()].into());
    assert_eq!(take(&mut life, &amend(3, 1, 5, Some(8)), 3), []);
    assert_eq!(told(life.at(at(5))), [("A-1".into(), Phase::InForce)]);
    let case = life.case(&key(1)).unwrap();
    assert_eq!((case.content.said_by.as_str(), case.revoked_items.len()), ("A-3", 0));
    assert_eq!(told(life.at(at(8))), [("A-1".into(), Phase::Expired)], "by the dates of the amendment");
}

#[test]
fn a_number_and_an_id_name_one_payload_for_ever() {
    let mut life = Life::default();
    let first = restrict(1, 1, None);
    take(&mut life, &first, 1);
    assert!(life.knows(&first));
    assert_eq!(life.check(&first, std::iter::empty()), Ok(()), "the same again is the same");
    assert_eq!(life.take(&first, BTreeSet::new(), at(2)), []);
    let other = Order { digest: [9; 32], ..first.clone() };
    assert_eq!(life.check(&other, std::iter::empty()), Err(Refusal::Sequence(1)));
    let other = Order { sequence: 2, ..other };
    assert_eq!(life.check(&other, std::iter::empty()), Err(Refusal::Id(first.id.clone())));
    let foreign = Order { authority: AuthorityId::new("b"), ..first };
    assert_eq!(life.check(&foreign, std::iter::empty()), Ok(()), "another authority has its own numbers");
}

#[test]
fn a_late_number_fills_its_gap() {
    let mut life = Life::default();
    take(&mut life, &restrict(3, 1, None), 1);
    take(&mut life, &restrict(7, 1, None), 1);
    let gaps = |life: &Life| life.gaps().map(|(_, missing, gaps)| (missing, gaps)).next().unwrap();
    assert_eq!(gaps(&life), (3, vec![(4, 6)]));
    take(&mut life, &restrict(5, 1, None), 1);
    assert_eq!(gaps(&life), (2, vec![(4, 4), (6, 6)]));
    take(&mut life, &restrict(4, 1, None), 1);
    take(&mut life, &restrict(6, 1, None), 1);
    assert_eq!(gaps(&life), (0, vec![]));
}

#[test]
fn an_order_about_an_unknown_notice_is_refused_until_that_one_comes() {
    let life = Life::default();
    let (first, second) = (restrict(1, 1, None), revoke(2, 1, 1, &[]));
    assert_eq!(life.check(&second, std::iter::empty()), Err(Refusal::Unknown(first.id.clone())));
    assert_eq!(life.check(&second, [&first].into_iter()), Ok(()), "both came at one time");
    let foreign = Order { authority: AuthorityId::new("b"), ..second };
    assert_eq!(life.check(&foreign, [&first].into_iter()), Err(Refusal::Unknown(first.id)), "only one's own");
}

fn any_order(number: u64) -> impl Strategy<Value = (Order, i64)> {
    let until = prop::option::of(0..40_i64);
    (0..5_u8, 1..6_u64, 0..40_i64, until, 0..40_i64).prop_map(move |(kind, of, from, until, come)| {
        let until = until.map(|until| from + 1 + until);
        let order = match kind {
            0 => amend(number, of, from, until),
            1 => revoke(number, of, from, &[]),
            2 => revoke(number, of, from, &["1"]),
            3 => suspend(number, of, from),
            _ => resume(number, of, from),
        };
        (order, come)
    })
}

/// Orders by the instants they come at: five notices, and what is said about them.
fn story() -> impl Strategy<Value = Vec<(Order, i64)>> {
    let first = (1..6_u64).map(|number| (0..40_i64, prop::option::of(1..40_i64), 0..40_i64, Just(number)));
    let first = first.map(|each| {
        each.prop_map(|(from, until, come, number)| (restrict(number, from, until.map(|until| from + until)), come))
    });
    let later = (6..16_u64).map(any_order);
    (first.collect::<Vec<_>>(), later.collect::<Vec<_>>()).prop_map(|(first, later)| {
        let mut all: Vec<_> = first.into_iter().chain(later).collect();
        all.sort_by_key(|(order, come)| (*come, order.sequence));
        all
    })
}

/// Plays a story; time also passes at all the `looks`.
fn play(story: &[(Order, i64)], looks: &[i64], end: i64) -> Life {
    let mut life = Life::default();
    for (order, come) in story {
        looks.iter().filter(|look| **look < *come).for_each(|look| drop(life.at(at(*look))));
        let _ = life.at(at(*come));
        if life.check(order, std::iter::empty()).is_ok() {
            let _ = life.take(order, BTreeSet::new(), at(*come));
        }
    }
    let _ = life.at(at(end));
    life
}

/// Where a notice stands, from nothing but the orders that were taken: the model.
fn model(life: &Life, story: &[(Order, i64)], number: u64, end: i64) -> Option<Phase> {
    let taken = |order: &Order| life.knows(order);
    let (first, _) = story.iter().find(|(order, _)| order.sequence == number && taken(order))?;
    let mut validity = first.act.restriction()?.notice.validity;
    let about = |order: &Order| order.act.about().contains(&first.id) && taken(order);
    let mut changes: Vec<_> = story.iter().filter(|(order, _)| about(order)).collect();
    changes.sort_by_key(|(order, come)| (order.effective_at.max(at(*come)), *come, order.sequence));
    let mut suspended = false;
    let expired = |validity: &Validity, now| validity.expires_at.is_some_and(|expiry| expiry <= now);
    for (order, come) in changes {
        let now = order.effective_at.max(at(*come));
        if now > at(end) || expired(&validity, now) {
            break;
        }
        match &order.act {
            Act::Amend { restriction, .. } => validity = restriction.notice.validity,
            Act::Revoke { items, .. } if items.is_empty() => return Some(Phase::Revoked),
            Act::Suspend(_) => suspended = true,
            Act::Resume(_) => suspended = false,
            Act::Revoke { .. } | Act::Restrict(_) => {}
        }
    }
    Some(if expired(&validity, at(end)) {
        Phase::Expired
    } else if suspended {
        Phase::Suspended
    } else if at(end) < validity.effective_at {
        Phase::Scheduled
    } else {
        Phase::InForce
    })
}

proptest! {
    #[test]
    fn any_story_ends_as_the_model_says_however_finely_time_passes(
        story in story(), looks in prop::collection::vec(0..90_i64, 0..20), end in 40..90_i64,
    ) {
        let coarse = play(&story, &[], end);
        for number in 1..6 {
            prop_assert_eq!(coarse.case(&key(number)).map(Case::phase), model(&coarse, &story, number, end));
        }
        let mut looks = looks;
        looks.sort_unstable();
        let fine = play(&story, &looks, end);
        let phases = |life: &Life| life.cases().map(|(key, case)| (key.clone(), case.clone())).collect::<Vec<_>>();
        prop_assert_eq!(phases(&coarse), phases(&fine));
    }
}
