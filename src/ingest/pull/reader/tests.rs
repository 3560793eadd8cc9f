//! A reader against a feed that is told what to do: each threat is found and ends nothing, and any order of fetches ends in
//! what the authority has ordered.

use std::cell::RefCell;
use std::rc::Rc;

use proptest::prelude::*;

use super::*;
use crate::model::{Authority, AuthorityKind};
use crate::verify::checkpoint::Draft;
use crate::verify::jose::{Alg, PrivateKey, jws};

fn authority() -> AuthorityId {
    AuthorityId::new("mcmc")
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + second).unwrap()
}

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(60)
}

/// What a server is made to do with some of its parts.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Trick {
    Hide,
    Alter,
    Swell,
    Stall,
    Break,
}

/// An authority that publishes, and a server that may be up to something.
struct Gateway {
    key: PrivateKey,
    notices: BTreeMap<u64, Vec<u8>>,
    parts: BTreeMap<String, Vec<u8>>,
    last: Option<Checkpoint>,
    tricks: BTreeMap<String, Trick>,
    /// How often each part was given in full.
    given: BTreeMap<String, usize>,
    busy: Option<Option<Duration>>,
    /// Requests after which it breaks.
    breaks_after: Option<usize>,
}

impl Gateway {
    fn new() -> Self {
        Self {
            key: PrivateKey::generate(Some("feed"), Alg::EdDsa, Default::default()).unwrap(),
            notices: BTreeMap::new(),
            parts: BTreeMap::new(),
            last: None,
            tricks: BTreeMap::new(),
            given: BTreeMap::new(),
            busy: None,
            breaks_after: None,
        }
    }

    fn reader(&self, seen: Option<Seen>) -> Reader {
        let id = authority();
        let mut ring = Keyring::new(&[Authority {
            id: id.clone(),
            kind: AuthorityKind::Statutory,
            name: "mcmc".into(),
            keys: Vec::new(),
            required_signatures: 1,
            categories: None,
            test: false,
        }]);
        ring.add(&id, "feed.jwk", &self.key.public().to_jwk().to_string()).unwrap();
        Reader::new(id, Arc::new(ring), seen)
    }

    fn order(&mut self, sequence: u64) {
        let payload = format!("{{\"authority\": \"mcmc\", \"sequence\": {sequence}}}");
        self.notices.insert(sequence, jws::compact(payload.as_bytes(), &self.key).into_bytes());
    }

    fn entries(&self) -> Vec<Entry> {
        let entry = |(sequence, octets): (&u64, &Vec<u8>)| {
            let payload = crate::verify::jose::Envelope::parse(octets).unwrap().payload().to_vec();
            let (payload, envelope) = (Hash::of(&payload), Hash::of(octets));
            Entry { sequence: *sequence, payload, envelope, size: octets.len() as u64 }
        };
        self.notices.iter().map(entry).collect()
    }

    fn draft(&self, now: i64) -> Draft {
        let previous = self.last.as_ref().map(|last| last.hash);
        Draft::new(&authority(), &self.entries(), at(now), at(now + 3600), previous).unwrap()
    }

    fn publish(&mut self, now: i64) {
        let draft = self.draft(now);
        self.serve(&draft);
    }

    fn serve(&mut self, draft: &Draft) {
        let (checkpoint, octets) = draft.sign(&self.key);
        self.parts =
            self.notices.iter().map(|(number, octets)| (format!("notices/{number}"), octets.clone())).collect();
        let pages = draft.pages.iter().map(|(sha256, octets)| (format!("pages/{sha256}"), octets.clone()));
        self.parts.extend(pages);
        self.parts.insert("checkpoint".to_owned(), octets.into_bytes());
        self.last = Some(checkpoint);
    }

    fn listing(&mut self, numbers: impl IntoIterator<Item = u64>, now: i64) {
        numbers.into_iter().for_each(|number| self.order(number));
        self.publish(now);
    }
}

impl Server for Gateway {
    fn get(&mut self, path: &str, etag: Option<&str>, most: u64) -> Result<Answer, Trouble> {
        if let Some(left) = &mut self.breaks_after {
            *left = left.checked_sub(1).ok_or_else(|| Trouble::Unreachable("broken".to_owned()))?;
        }
        if let Some(wait) = self.busy {
            return Err(Trouble::Busy(wait));
        }
        let mut octets = self.parts.get(path).ok_or(Trouble::Missing(404))?.clone();
        match self.tricks.get(path) {
            Some(Trick::Hide) => return Err(Trouble::Missing(404)),
            Some(Trick::Alter) => octets[0] ^= 1,
            Some(Trick::Swell) => octets.resize(5_000_000, b' '),
            Some(Trick::Stall) => return Err(Trouble::Slow),
            Some(Trick::Break) => return Err(Trouble::Unreachable("reset".to_owned())),
            None => {}
        }
        if octets.len() as u64 > most {
            return Err(Trouble::Oversized);
        }
        let tag = Hash::of(&octets).to_string();
        if etag == Some(tag.as_str()) {
            return Ok(Answer::Same);
        }
        *self.given.entry(path.to_owned()).or_default() += 1;
        Ok(Answer::Body(octets, Some(tag)))
    }
}

fn numbers(look: &Look) -> Vec<u64> {
    let mut all: Vec<u64> = look.fetched.keys().map(|key| key.parse().unwrap()).collect();
    all.sort_unstable();
    all
}

fn faults(look: &Look) -> Vec<Fault> {
    look.findings.iter().map(|finding| finding.fault).collect()
}

//------ what an honest feed gives ---

#[test]
fn all_that_is_listed_comes_once() {
    let mut gateway = Gateway::new();
    gateway.listing([1, 2, 7], 0);
    let mut reader = gateway.reader(None);
    let look = reader.look(&mut gateway, at(1), soon());
    assert_eq!((numbers(&look), faults(&look), look.failure), (vec![1, 2, 7], vec![], None));
    assert_eq!(look.fetched["7"], gateway.notices[&7]);
    let seen = reader.seen().unwrap().clone();
    let look = reader.look(&mut gateway, at(2), soon());
    assert!(look.fetched.is_empty() && look.findings.is_empty() && !look.news);
    assert_eq!(gateway.given["checkpoint"], 1, "the second time it is at hand");
    // a new process remembers what was seen, and its ledger what was taken
    let mut reader = gateway.reader(Some(seen));
    reader.know(gateway.entries()[..2].iter().map(|entry| entry.payload));
    let look = reader.look(&mut gateway, at(3), soon());
    assert_eq!(numbers(&look), [7], "what is not recorded comes again");
    assert_eq!(gateway.given["checkpoint"], 1);
    let state = reader.state().unwrap();
    assert_eq!((state.highest, state.missing, state.expires_at), (7, 0, at(3600)));
}

#[test]
fn a_new_notice_costs_the_checkpoint_its_page_and_itself() {
    let mut gateway = Gateway::new();
    gateway.listing(1..=600, 0);
    let mut reader = gateway.reader(None);
    let first = reader.look(&mut gateway, at(1), soon());
    assert!(first.more && first.fetched.len() == MOST_AT_ONCE);
    assert_eq!(reader.look(&mut gateway, at(1), soon()).fetched.len(), 600 - MOST_AT_ONCE);
    gateway.given.clear();
    gateway.listing([601], 2);
    assert_eq!(numbers(&reader.look(&mut gateway, at(3), soon())), [601]);
    assert_eq!(gateway.given.values().sum::<usize>(), 3, "{:?}", gateway.given);
}

#[test]
fn a_signature_more_is_no_other_notice() {
    let mut gateway = Gateway::new();
    gateway.listing([1], 0);
    let mut reader = gateway.reader(None);
    reader.look(&mut gateway, at(1), soon());
    let payload = crate::verify::jose::Envelope::parse(&gateway.notices[&1]).unwrap().payload().to_vec();
    gateway.notices.insert(1, jws::flattened(&payload, &gateway.key).into_bytes());
    gateway.publish(2);
    let look = reader.look(&mut gateway, at(3), soon());
    assert!(look.findings.is_empty() && look.fetched.is_empty() && look.news);
}

//------ the threats, one by one ---

/// A reader that has seen numbers 1 to 3, published at second 10.
fn settled() -> (Gateway, Reader) {
    let mut gateway = Gateway::new();
    gateway.listing(1..=3, 10);
    let mut reader = gateway.reader(None);
    assert_eq!(numbers(&reader.look(&mut gateway, at(11), soon())), [1, 2, 3]);
    (gateway, reader)
}

#[test]
fn rollback_is_found_and_what_was_listed_is_still_wanted() {
    let (mut gateway, mut reader) = settled();
    let old = gateway.parts.clone();
    gateway.order(4);
    gateway.publish(20);
    gateway.tricks.insert("notices/4".to_owned(), Trick::Break);
    assert!(reader.look(&mut gateway, at(21), soon()).failure.is_some());
    let four = gateway.parts["notices/4"].clone();
    gateway.tricks.clear();
    gateway.parts = old; // the whole server is put back
    gateway.parts.insert("notices/4".to_owned(), four);
    let look = reader.look(&mut gateway, at(22), soon());
    assert_eq!((faults(&look), numbers(&look)), (vec![Fault::Rollback], vec![4]));
    assert_eq!(reader.state().unwrap().highest, 4, "the last good one is kept");
    assert_eq!(faults(&reader.look(&mut gateway, at(23), soon())), [Fault::Rollback], "as long as it lasts");
}

#[test]
fn a_rollback_over_a_restart_is_found() {
    let (mut gateway, _) = settled();
    let old = gateway.parts.clone();
    gateway.listing([4], 20);
    let dir = tempfile::tempdir().unwrap();
    let memory = super::super::Memory::new(dir.path().join("feeds/mcmc"));
    let mut before = gateway.reader(None);
    before.look(&mut gateway, at(21), soon());
    memory.keep("https://feed.example/", before.seen().unwrap()).unwrap();
    gateway.parts = old;
    assert!(memory.recall("https://other.example/").is_none());
    let mut reader = gateway.reader(memory.recall("https://feed.example/"));
    reader.know(gateway.entries().iter().map(|entry| entry.payload));
    assert_eq!(faults(&reader.look(&mut gateway, at(22), soon())), [Fault::Rollback]);
}

#[test]
fn a_feed_that_denies_what_it_said_is_not_believed() {
    let (mut gateway, mut reader) = settled();
    gateway.notices.remove(&2);
    gateway.listing([4], 20);
    let look = reader.look(&mut gateway, at(21), soon());
    assert_eq!((faults(&look), look.news), (vec![Fault::Contradiction], false));
    // another notice under a number that is taken
    let (mut gateway, mut reader) = settled();
    gateway.notices.insert(2, jws::compact(b"{\"authority\": \"mcmc\", \"other\": 2}", &gateway.key).into_bytes());
    gateway.publish(20);
    assert_eq!(faults(&reader.look(&mut gateway, at(21), soon())), [Fault::Contradiction]);
    // two lines of checkpoints, one for each reader
    let (mut gateway, mut reader) = settled();
    let previous = gateway.last.clone();
    gateway.listing([4], 20);
    reader.look(&mut gateway, at(21), soon());
    gateway.last = previous;
    gateway.listing([5], 22);
    assert_eq!(faults(&reader.look(&mut gateway, at(23), soon())), [Fault::Contradiction]);
}

#[test]
fn orders_may_leave_when_the_feed_says_so_and_who_was_away_is_told() {
    let (mut gateway, mut reader) = settled();
    gateway.notices.remove(&2);
    gateway.order(4);
    let draft = gateway.draft(20).ended_before(at(5));
    gateway.serve(&draft);
    let look = reader.look(&mut gateway, at(21), soon());
    assert_eq!((faults(&look), numbers(&look)), (vec![], vec![4]));
    let (mut gateway, mut reader) = settled();
    gateway.notices.remove(&2);
    gateway.order(4);
    let draft = gateway.draft(20).ended_before(at(15));
    gateway.serve(&draft);
    let look = reader.look(&mut gateway, at(21), soon());
    assert_eq!((faults(&look), numbers(&look)), (vec![Fault::Missed], vec![4]));
    assert!(reader.look(&mut gateway, at(22), soon()).findings.is_empty(), "said once");
}

#[test]
fn a_feed_that_stands_still_is_found_when_its_checkpoint_ends() {
    let (mut gateway, mut reader) = settled();
    assert!(reader.look(&mut gateway, at(3609), soon()).findings.is_empty());
    assert_eq!(faults(&reader.look(&mut gateway, at(3610), soon())), [Fault::Frozen], "it says: not modified");
    gateway.tricks.insert("checkpoint".to_owned(), Trick::Break);
    let look = reader.look(&mut gateway, at(3611), soon());
    assert!(faults(&look) == [Fault::Frozen] && look.failure.is_some(), "nobody answers");
    gateway.tricks.clear();
    gateway.listing([4], 3620);
    let look = reader.look(&mut gateway, at(3621), soon());
    assert_eq!((faults(&look), numbers(&look)), (vec![], vec![4]));
    // an expired checkpoint that is news is taken for its notices, and said to be what it is
    gateway.listing([5], 3630);
    let look = reader.look(&mut gateway, at(9999), soon());
    assert_eq!((faults(&look), numbers(&look)), (vec![Fault::Frozen], vec![5]));
}

#[test]
fn a_checkpoint_from_the_future_does_not_make_the_next_ones_old() {
    let (mut gateway, mut reader) = settled();
    gateway.listing([4], 9999);
    assert_eq!(faults(&reader.look(&mut gateway, at(20), soon())), [Fault::Ahead]);
    gateway.publish(30);
    assert_eq!(numbers(&reader.look(&mut gateway, at(31), soon())), [4]);
}

#[test]
fn what_is_withheld_is_found_and_the_rest_comes() {
    for (trick, fault) in [
        (Trick::Hide, Fault::Withheld),
        (Trick::Alter, Fault::Altered),
        (Trick::Swell, Fault::Oversized),
        (Trick::Stall, Fault::Slow),
    ] {
        let (mut gateway, mut reader) = settled();
        gateway.tricks.insert("notices/5".to_owned(), trick);
        gateway.listing([4, 5, 6], 20);
        let look = reader.look(&mut gateway, at(21), soon());
        assert_eq!((faults(&look), numbers(&look)), (vec![fault], vec![4, 6]), "{trick:?}");
        assert_eq!(reader.state().unwrap().missing, 1);
        assert_eq!(faults(&reader.look(&mut gateway, at(22), soon())), [fault], "{trick:?}");
        gateway.tricks.clear();
        let look = reader.look(&mut gateway, at(23), soon());
        assert_eq!((faults(&look), numbers(&look)), (vec![], vec![5]), "{trick:?}");
    }
}

#[test]
fn a_page_that_is_withheld_or_another_keeps_the_last_good_checkpoint() {
    for (trick, fault) in
        [(Trick::Hide, Fault::Withheld), (Trick::Alter, Fault::Altered), (Trick::Swell, Fault::Oversized)]
    {
        let (mut gateway, mut reader) = settled();
        gateway.listing([4], 20);
        let page = gateway.parts.keys().find(|path| path.starts_with("pages/")).unwrap().clone();
        gateway.tricks.insert(page, trick);
        let look = reader.look(&mut gateway, at(21), soon());
        assert_eq!((faults(&look), reader.state().unwrap().highest), (vec![fault], 3), "{trick:?}");
    }
}

#[test]
fn pages_of_another_checkpoint_do_not_mix() {
    let (mut gateway, mut reader) = settled();
    let old = gateway.parts.clone();
    gateway.listing([4], 20);
    let checkpoint = gateway.parts["checkpoint"].clone();
    gateway.parts = old;
    gateway.parts.insert("checkpoint".to_owned(), checkpoint);
    assert_eq!(faults(&reader.look(&mut gateway, at(21), soon())), [Fault::Withheld]);
}

#[test]
fn somebody_elses_feed_is_not_believed() {
    let (mut gateway, mut reader) = settled();
    gateway.key = PrivateKey::generate(Some("feed"), Alg::EdDsa, Default::default()).unwrap();
    gateway.listing([4], 20);
    let look = reader.look(&mut gateway, at(21), soon());
    assert_eq!((faults(&look), look.fetched.len(), reader.state().unwrap().highest), (vec![Fault::Signature], 0, 3));
    gateway.parts.insert("checkpoint".to_owned(), gateway.notices[&4].clone());
    assert_eq!(faults(&reader.look(&mut gateway, at(22), soon())), [Fault::Signature], "a notice is no checkpoint");
    gateway.parts.insert("checkpoint".to_owned(), b"<html>".to_vec());
    assert_eq!(faults(&reader.look(&mut gateway, at(22), soon())), [Fault::Format]);
    gateway.tricks.insert("checkpoint".to_owned(), Trick::Swell);
    assert_eq!(faults(&reader.look(&mut gateway, at(23), soon())), [Fault::Oversized]);
}

#[test]
fn a_server_that_is_busy_or_away_is_a_failure_and_no_fault() {
    let (mut gateway, mut reader) = settled();
    gateway.busy = Some(Some(Duration::from_secs(77)));
    let look = reader.look(&mut gateway, at(20), soon());
    assert_eq!((faults(&look), look.wait, look.failure.is_some()), (vec![], Some(Duration::from_secs(77)), true));
    gateway.busy = None;
    gateway.parts.clear();
    let look = reader.look(&mut gateway, at(20), soon());
    assert_eq!((faults(&look), look.failure.is_some()), (vec![], true));
}

#[test]
fn many_that_are_withheld_do_not_keep_the_others_from_coming() {
    let (mut gateway, mut reader) = settled();
    gateway.listing(4..=60, 20);
    for number in 4..=50 {
        gateway.tricks.insert(format!("notices/{number}"), Trick::Stall);
    }
    let mut came = Vec::new();
    for n in 0..4 {
        came.extend(numbers(&reader.look(&mut gateway, at(21 + n), soon())));
    }
    came.sort_unstable();
    assert_eq!(came, (51..=60).collect::<Vec<_>>());
}

#[test]
fn a_look_ends_when_its_time_is_over() {
    let (mut gateway, mut reader) = settled();
    gateway.listing(4..=60, 20);
    let look = reader.look(&mut gateway, at(21), Instant::now());
    assert!(look.fetched.is_empty() && !look.more && reader.state().unwrap().missing == 57);
}

#[test]
fn a_feed_that_moves_while_it_is_read_is_read_again() {
    /// Publishes the next edition after the checkpoint has been given.
    struct Moving(Gateway, Rc<RefCell<bool>>);
    impl Server for Moving {
        fn get(&mut self, path: &str, etag: Option<&str>, most: u64) -> Result<Answer, Trouble> {
            let answer = self.0.get(path, etag, most);
            if path == "checkpoint" && !self.1.replace(true) {
                self.0.listing([5], 30);
            }
            answer
        }
    }
    let (mut gateway, mut reader) = settled();
    gateway.listing([4], 20);
    let look = reader.look(&mut Moving(gateway, Rc::default()), at(31), soon());
    assert_eq!((faults(&look), numbers(&look)), (vec![], vec![4, 5]));
}

//------ the model ---

/// What happens between two looks.
#[derive(Clone, Debug)]
enum Step {
    /// The authority orders.
    Order(u64),
    /// The gateway does something to a notice or to a page.
    Trick(u64, Option<Trick>),
    TrickPage(Option<Trick>),
    /// It breaks after so many requests.
    Break(usize),
    /// The node ends before what it fetched is recorded, or after; and remembers the feed or does not.
    Restart {
        recorded: bool,
        remembers: bool,
    },
    Look,
}

fn step() -> impl Strategy<Value = Step> {
    let trick = || {
        prop::option::of(prop_oneof![
            Just(Trick::Hide),
            Just(Trick::Alter),
            Just(Trick::Swell),
            Just(Trick::Stall),
            Just(Trick::Break)
        ])
    };
    prop_oneof![
        4 => (1_u64..40).prop_map(Step::Order),
        2 => (1_u64..40, trick()).prop_map(|(number, trick)| Step::Trick(number, trick)),
        1 => trick().prop_map(Step::TrickPage),
        2 => (0_usize..12).prop_map(Step::Break),
        1 => (any::<bool>(), any::<bool>()).prop_map(|(recorded, remembers)| Step::Restart { recorded, remembers }),
        5 => Just(Step::Look),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// Whatever the order of orders, tricks, breaks and restarts, nothing comes that was not ordered, and when the tricks
    /// end the node has the authority's set.
    #[test]
    fn any_order_of_fetches_ends_in_the_set_of_the_authority(steps in prop::collection::vec(step(), 0..40)) {
        let mut gateway = Gateway::new();
        gateway.publish(0);
        let (mut now, mut reader, mut seen) = (1, gateway.reader(None), None::<Seen>);
        let (mut ledger, mut in_hand) = (BTreeSet::new(), BTreeSet::new());
        let look = |reader: &mut Reader, gateway: &mut Gateway, now: i64| {
            let look = reader.look(gateway, at(now), soon());
            for (key, octets) in &look.fetched {
                let number: u64 = key.parse().unwrap();
                assert_eq!(octets, &gateway.notices[&number]);
            }
            look
        };
        let payload = |gateway: &Gateway, number: u64| {
            gateway.entries().into_iter().find(|entry| entry.sequence == number).unwrap().payload
        };
        for step in steps {
            now += 1;
            match step {
                Step::Order(number) => gateway.listing([number], now),
                Step::Trick(number, Some(trick)) => drop(gateway.tricks.insert(format!("notices/{number}"), trick)),
                Step::Trick(number, None) => drop(gateway.tricks.remove(&format!("notices/{number}"))),
                Step::TrickPage(trick) => {
                    gateway.tricks.retain(|path, _| !path.starts_with("pages/"));
                    let page = gateway.parts.keys().find(|path| path.starts_with("pages/")).cloned();
                    gateway.tricks.extend(page.zip(trick));
                }
                Step::Break(after) => gateway.breaks_after = Some(after),
                Step::Restart { recorded, remembers } => {
                    let taken = std::mem::take(&mut in_hand);
                    ledger.extend(taken.into_iter().filter(|_| recorded));
                    reader = gateway.reader(seen.clone().filter(|_| remembers));
                    reader.know(ledger.iter().map(|number| payload(&gateway, *number)));
                }
                Step::Look => {
                    let look = look(&mut reader, &mut gateway, now);
                    in_hand.extend(numbers(&look));
                    seen = reader.seen().cloned();
                    gateway.breaks_after = None;
                    prop_assert!(!look.findings.iter().any(|finding| matches!(
                        finding.fault,
                        Fault::Rollback | Fault::Contradiction | Fault::Signature | Fault::Format
                    )), "an honest authority is not accused: {:?}", look.findings);
                }
            }
        }
        gateway.tricks.clear();
        gateway.breaks_after = None;
        for _ in 0..2 {
            now += 1;
            let look = look(&mut reader, &mut gateway, now);
            in_hand.extend(numbers(&look));
        }
        ledger.extend(in_hand);
        prop_assert_eq!(ledger.into_iter().collect::<Vec<_>>(), gateway.notices.keys().copied().collect::<Vec<_>>());
        prop_assert_eq!(reader.state().unwrap().missing, 0);
    }
}
