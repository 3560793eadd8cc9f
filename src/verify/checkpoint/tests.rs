//! Checkpoints and their pages: what is read, what is refused, and with which word.

use proptest::prelude::*;

use super::super::jose::{Alg, Form};
use super::*;
use crate::model::{Authority, AuthorityKind};

fn authority() -> AuthorityId {
    AuthorityId::new("mcmc")
}

fn key(kid: &str) -> PrivateKey {
    PrivateKey::generate(Some(kid), Alg::EdDsa, Default::default()).unwrap()
}

fn ring(key: &PrivateKey) -> Keyring {
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
    ring.add(&id, "feed.jwk", &key.public().to_jwk().to_string()).unwrap();
    ring
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + second).unwrap()
}

fn entry(sequence: u64) -> Entry {
    let payload = Hash::of(&sequence.to_be_bytes());
    Entry { sequence, payload, envelope: Hash::of(&payload.0), size: 100 + sequence % 7 }
}

fn entries(sequences: impl IntoIterator<Item = u64>) -> Vec<Entry> {
    sequences.into_iter().map(entry).collect()
}

fn draft(entries: &[Entry], issued: i64, previous: Option<Hash>) -> Draft {
    Draft::new(&authority(), entries, at(issued), at(issued + 3600), previous).unwrap()
}

fn fault<T: fmt::Debug>(result: Result<T, Finding>) -> Fault {
    result.unwrap_err().fault
}

//------ one checkpoint ---

#[test]
fn what_is_signed_is_read_back() {
    let key = key("feed");
    let all = entries((1..=2000).chain([5000]));
    let draft = draft(&all, 0, Some(Hash([7; 32])));
    let (made, octets) = draft.sign(&key);
    let read = Checkpoint::read(octets.as_bytes(), &ring(&key), &authority(), at(1)).unwrap();
    assert_eq!(read, made);
    assert_eq!((read.says.highest, read.says.count, read.says.pages.len()), (5000, 2001, 4));
    let pages: Vec<_> = read.says.pages.iter().zip(&draft.pages).map(|(page, (_, octets))| page.read(octets)).collect();
    let back: Vec<_> = pages.into_iter().flat_map(Result::unwrap).collect();
    assert_eq!(back, all);
    read.is_over(back.iter()).unwrap();
    assert_eq!(fault(read.is_over(back[1..].iter())), Fault::Format);
}

#[test]
fn an_empty_feed_has_a_checkpoint_too() {
    let key = key("feed");
    let (made, octets) = draft(&[], 0, None).sign(&key);
    assert_eq!(Checkpoint::read(octets.as_bytes(), &ring(&key), &authority(), at(1)).unwrap(), made);
    made.is_over([].iter()).unwrap();
}

#[test]
fn the_digest_is_as_documented() {
    let mut octets = b"pagar-feed-1\nmcmc\n".to_vec();
    for sequence in [3_u64, 258] {
        octets.extend(sequence.to_be_bytes());
        octets.extend(Hash::of(&sequence.to_be_bytes()).0);
    }
    assert_eq!(draft(&entries([3, 258]), 0, None).says.digest, Hash::of(&octets));
}

#[test]
fn only_a_key_of_the_feed_signs_and_only_as_a_checkpoint() {
    let (ours, other) = (key("feed"), key("feed"));
    let draft = draft(&entries([1]), 0, None);
    let read = |octets: &str| Checkpoint::read(octets.as_bytes(), &ring(&ours), &authority(), at(1));
    assert_eq!(fault(read(&draft.sign(&other).1)), Fault::Signature, "the key of somebody else under the same name");
    let payload = serde_json::to_vec(&draft.says).unwrap();
    assert_eq!(fault(read(&jws::flattened(&payload, &ours))), Fault::Signature, "no typ");
    assert_eq!(fault(read(&jws::typed(&payload, "pagar-notice+json", &ours))), Fault::Signature, "another typ");
    let notice = br#"{"version": 1, "id": "N-1", "sequence": 1, "authority": "mcmc", "kind": "restrict"}"#;
    assert_eq!(fault(read(&jws::typed(notice, TYP, &ours))), Fault::Format, "a notice that claims to be one");
    assert_eq!(fault(read("junk")), Fault::Format);
    assert_eq!(fault(read(&"x".repeat(MAX_CHECKPOINT + 1))), Fault::Oversized);
    read(&jws::typed(&payload, TYP, &ours)).unwrap();
}

#[test]
fn a_checkpoint_is_no_notice() {
    let (_, octets) = draft(&entries([1]), 0, None).sign(&key("feed"));
    let envelope = Envelope::parse(octets.as_bytes()).unwrap();
    assert_eq!(envelope.form(), Form::Flattened);
    let parsed = crate::ingest::format::notice::parse(envelope.payload(), std::path::Path::new("x"));
    assert!(parsed.order.is_none() && parsed.document.is_none());
}

#[test]
fn the_checkpoint_of_another_authority_is_not_taken() {
    let key = key("feed");
    let other = AuthorityId::new("court");
    let (_, octets) = Draft::new(&other, &[], at(0), at(60), None).unwrap().sign(&key);
    assert_eq!(fault(Checkpoint::read(octets.as_bytes(), &ring(&key), &authority(), at(1))), Fault::Format);
}

#[test]
fn time_is_looked_at() {
    let key = key("feed");
    let (checkpoint, octets) = draft(&[], 0, None).sign(&key);
    assert!(checkpoint.is_fresh(at(3599)) && !checkpoint.is_fresh(at(3600)));
    let read = |now| Checkpoint::read(octets.as_bytes(), &ring(&key), &authority(), now);
    assert!(read(at(-300)).is_ok() && read(at(9999)).is_ok());
    assert_eq!(fault(read(at(-301))), Fault::Ahead);
}

#[test]
fn what_cannot_be_is_refused() {
    let says = draft(&entries(1..=600), 0, None).says;
    let with = |change: &dyn Fn(&mut Says)| {
        let mut says = says.clone();
        change(&mut says);
        fault(Checkpoint::of_payload(&serde_json::to_vec(&says).unwrap()))
    };
    assert_eq!(with(&|says| says.version = 2), Fault::Format);
    assert_eq!(with(&|says| says.count += 1), Fault::Format);
    assert_eq!(with(&|says| says.highest += 1), Fault::Format);
    assert_eq!(with(&|says| says.expires_at = says.issued_at), Fault::Format);
    assert_eq!(with(&|says| says.expires_at = at(32 * 86_400)), Fault::Format, "good for ever is never frozen");
    assert_eq!(with(&|says| says.pages.reverse()), Fault::Format);
    assert_eq!(with(&|says| says.pages[0].count = 513), Fault::Format);
    assert_eq!(with(&|says| says.pages[0].last = 1), Fault::Format, "512 numbers between 1 and 1");
    assert_eq!(with(&|says| says.pages[0].size = 1 << 40), Fault::Oversized);
    let page = says.pages[0].clone();
    assert_eq!(with(&|says| says.pages = vec![page.clone(); MAX_PAGES + 1]), Fault::Oversized);
    for text in ["{}", "[]", "{\"version\": 1}", "{\"version\": 1, \"version\": 1}", "\u{ff}"] {
        assert_eq!(fault(Checkpoint::of_payload(text.as_bytes())), Fault::Format, "{text}");
    }
    let unknown = serde_json::to_string(&says).unwrap().replacen('{', "{\"more\": 1, ", 1);
    assert_eq!(fault(Checkpoint::of_payload(unknown.as_bytes())), Fault::Format);
}

#[test]
fn a_page_is_what_is_listed_or_nothing() {
    let draft = draft(&entries(1..=10), 0, None);
    let (page, octets) = (&draft.says.pages[0], &draft.pages[0].1);
    assert_eq!(page.read(octets).unwrap().len(), 10);
    assert_eq!(fault(page.read(&octets[1..])), Fault::Altered);
    let made = |entries: Vec<Entry>| {
        let octets = serde_json::to_vec(&Page { version: 1, entries }).unwrap();
        let page = PageRef { first: 1, last: 3, count: 3, size: octets.len() as u64, sha256: Hash::of(&octets) };
        page.read(&octets)
    };
    made(entries([1, 2, 3])).unwrap();
    assert_eq!(fault(made(entries([1, 3]))), Fault::Format, "fewer");
    assert_eq!(fault(made(entries([1, 1, 3]))), Fault::Format, "twice");
    assert_eq!(fault(made(entries([1, 2, 4]))), Fault::Format, "beyond the last");
    let huge = Entry { size: MAX_SIZE as u64 + 1, ..entry(2) };
    assert_eq!(fault(made(vec![entry(1), huge, entry(3)])), Fault::Oversized);
}

//------ one after another ---

#[test]
fn what_came_before_is_not_gone_back_on() {
    let key = key("feed");
    let sign = |draft: &Draft| draft.sign(&key).0;
    let old = sign(&draft(&entries(1..=5), 100, None));
    old.follows(&old).unwrap();
    sign(&draft(&entries(1..=5), 200, Some(old.hash))).follows(&old).unwrap();
    sign(&draft(&entries(1..=6), 200, Some(Hash([1; 32])))).follows(&old).unwrap();
    sign(&draft(&entries(1..=6), 200, None)).follows(&old).unwrap();
    let check = |draft: &Draft| fault(sign(draft).follows(&old));
    assert_eq!(check(&draft(&entries(1..=6), 99, None)), Fault::Rollback, "older");
    assert_eq!(check(&draft(&entries(1..=4), 200, Some(old.hash))), Fault::Rollback, "lower");
    assert_eq!(check(&draft(&entries(1..=6), 100, None)), Fault::Contradiction, "two of one time");
    let second = sign(&draft(&entries(1..=5), 200, Some(old.hash)));
    let twin = sign(&draft(&entries(1..=6), 201, Some(old.hash)));
    assert_eq!(fault(twin.follows(&second)), Fault::Contradiction, "two after the same one");
    let pruned = |before: i64| draft(&entries([3, 6]), 200, None).ended_before(at(before));
    sign(&pruned(100)).follows(&old).unwrap();
    assert_eq!(check(&pruned(101)), Fault::Missed);
}

#[test]
fn entries_stay_what_they_were() {
    let check = |before: &[Entry], after: &[Entry], may_leave| contradiction(before.iter(), after.iter(), may_leave);
    check(&entries([1, 3]), &entries([1, 2, 3, 4]), false).unwrap();
    check(&[], &entries([1]), false).unwrap();
    assert_eq!(fault(check(&entries([1, 3]), &entries([1, 4]), false)), Fault::Contradiction);
    check(&entries([1, 3]), &entries([1, 4]), true).unwrap();
    let other = Entry { payload: Hash([9; 32]), ..entry(3) };
    assert_eq!(fault(check(&entries([1, 3]), &[entry(1), other], true)), Fault::Contradiction);
    let signed_again = Entry { envelope: Hash([9; 32]), ..entry(3) };
    check(&entries([1, 3]), &[entry(1), signed_again], false).unwrap();
}

#[test]
fn codes_are_told_apart_and_say_what_to_do() {
    let mut words: Vec<_> = Fault::ALL.iter().map(|fault| fault.as_str()).collect();
    assert!(Fault::ALL.iter().all(|fault| !fault.hint().is_empty()));
    words.sort_unstable();
    words.dedup();
    assert_eq!(words.len(), Fault::ALL.len());
}

proptest! {
    #[test]
    fn a_contradiction_is_what_a_naive_look_finds(
        before in prop::collection::btree_map(0_u64..30, 0_u8..2, 0..20),
        after in prop::collection::btree_map(0_u64..30, 0_u8..2, 0..20),
        may_leave: bool,
    ) {
        let made = |map: &std::collections::BTreeMap<u64, u8>| -> Vec<Entry> {
            map.iter().map(|(number, what)| Entry { payload: Hash([*what; 32]), ..entry(*number) }).collect()
        };
        let denied = before.iter().any(|(number, what)| match after.get(number) {
            Some(other) => other != what,
            None => !may_leave,
        });
        prop_assert_eq!(contradiction(made(&before).iter(), made(&after).iter(), may_leave).is_err(), denied);
    }

    #[test]
    fn one_changed_octet_of_a_page_is_found(flip in 1_u8..=255, place: prop::sample::Index) {
        let draft = draft(&entries(1..=3), 0, None);
        let mut octets = draft.pages[0].1.clone();
        let place = place.index(octets.len());
        octets[place] ^= flip;
        prop_assert!(draft.says.pages[0].read(&octets).is_err());
    }
}
