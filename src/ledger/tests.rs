//! The ledger as a whole, within one process: what is appended comes back, what is changed is found, what fails leaves
//! nothing. Crashes and full disks are in `tests/integration/ledger.rs`.

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::Path;

use jiff::Timestamp;
use proptest::prelude::*;
use redb::{Database, ReadableTable};
use tempfile::TempDir;

use super::database::{FILE, RECORDS};
use super::event::{Action, Held, ItemRef, OrderKind, Secretable};
use super::verify::{Break, Flaw, VerifyError, verify};
use super::*;
use crate::model::{AuthorityId, NoticeId};

/// So many seconds after the beginning of 2026.
pub(super) fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_767_225_600 + second).unwrap()
}

fn digest(text: &str) -> Digest {
    Digest::of(text.as_bytes())
}

/// In the order of [`Event::WORDS`].
pub(super) fn an_event_of_each_kind() -> Vec<Event> {
    let (authority, notice) = (AuthorityId::new("mcmc"), NoticeId::new("N-1"));
    let text = |text: &str| text.to_owned();
    let refs = |code: &str| vec![ItemRef { item: text("1"), code: text(code) }];
    vec![
        Event::Started { program: text("pagar"), version: text("0.1.0"), policy: Some(digest("policy")) },
        Event::Stopped {},
        accepted(1, &Payload::new(b"{}".to_vec(), false)),
        Event::Refused {
            authority: authority.clone(),
            notice: None,
            payload: digest("other"),
            kept: false,
            source: text("notices"),
            code: text("sequence"),
            reason: text("the number 7 was used for \"N-7\"\n"),
        },
        Event::Transition {
            authority: authority.clone(),
            notice: notice.clone(),
            from: text("scheduled"),
            to: text("in force"),
            cause: Some(text("time")),
        },
        Event::Published { serial: 7, digest: digest("policy"), names: 3, added: 2, lifted: 1 },
        Event::Enforced { authority: authority.clone(), notice: notice.clone(), serial: 7, asked: 3, at: at(9) },
        Event::EnforceFailed {
            authority: authority.clone(),
            notice: notice.clone(),
            serial: 7,
            code: text("unanswered"),
        },
        Event::LiftSeen { authority: authority.clone(), notice: notice.clone(), serial: 8 },
        Event::Held {
            digest: None,
            what: Held::List,
            authority: None,
            notice: None,
            item: None,
            source: Some(text("lists/scam.hosts")),
            code: text("shrunk"),
            before: Some(1_000),
            after: Some(0),
        },
        Event::Operator {
            action: Action::Lift,
            person: text("siti"),
            reason: text("hospital"),
            held: Some(10),
            name: Some(Secretable::Plain(text("clinic.example"))),
        },
        Event::LiftEnded {
            name: Secretable::Plain("lifted.example.".into()),
            authority: Some(authority.clone()),
            notice: Some(notice.clone()),
        },
        Event::ListRead { source: text("lists/scam.hosts"), authority, notice, digest: digest("list"), names: 4 },
        Event::SourceFailed { source: text("lists/scam.hosts"), reason: text("no such file") },
        Event::ClockHeld { wall: at(0), last: at(7) },
        Event::ClockSane {},
        Event::Problem { code: text("compile"), reason: refs("full")[0].code.clone() },
    ]
}

fn accepted(number: u64, payload: &Payload) -> Event {
    Event::Accepted {
        authority: AuthorityId::new("mcmc"),
        notice: NoticeId::new(&format!("N-{number}")),
        kind: OrderKind::Restrict,
        number,
        payload: payload.digest,
        source: "notices".into(),
        signers: vec!["thumb".into()],
        secret: payload.secret,
        received_at: at(number as i64),
        items: 2,
        quarantined: vec![ItemRef { item: "1".into(), code: "tld".into() }],
        refused: Vec::new(),
        test: false,
    }
}

fn problem(reason: &str) -> Event {
    Event::Problem { code: "test".into(), reason: reason.into() }
}

fn key(digit: &str) -> Key {
    Key::from_text(&digit.repeat(64)).unwrap()
}

fn ledger(directory: &TempDir) -> Ledger {
    Ledger::open(directory.path(), None).unwrap()
}

fn stored(ledger: &Ledger) -> Vec<Stored> {
    ledger.records(1).collect::<Result<_, _>>().unwrap()
}

/// Changes what is in the file, as an intruder would who can write to it.
fn tamper(directory: &Path, change: impl FnOnce(&mut redb::Table<'_, u64, &'static [u8]>)) {
    let database = Database::open(directory.join(FILE)).unwrap();
    let transaction = database.begin_write().unwrap();
    change(&mut transaction.open_table(RECORDS).unwrap());
    transaction.commit().unwrap();
}

#[track_caller]
fn broken(directory: &Path) -> Break {
    match verify(directory, None, None) {
        Err(VerifyError::Break(found)) => found,
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_is_appended_comes_back_after_opening_it_again() {
    let directory = tempfile::tempdir().unwrap();
    let payload = Payload::new(b"{}".to_vec(), false);
    let events = an_event_of_each_kind();
    let mut first = ledger(&directory);
    assert_eq!(first.head(), Head::origin());
    assert_eq!(first.append(at(1), &[], &[]).unwrap(), Head::origin());
    let head = first.append(at(1), &events, std::slice::from_ref(&payload)).unwrap();
    assert_eq!(head.sequence, events.len() as u64);
    drop(first);

    let mut again = ledger(&directory);
    assert_eq!(again.head(), head);
    let records: Vec<_> = again.records(1).map(|stored| stored.unwrap().record().unwrap()).collect();
    assert!(records.iter().all(|record| record.at == at(1)));
    assert_eq!(records.into_iter().map(|record| record.event).collect::<Vec<_>>(), events);
    assert_eq!(again.records(head.sequence).count(), 1);
    assert_eq!(again.records(head.sequence + 1).count(), 0);
    assert_eq!(again.payload(&payload.digest).unwrap().unwrap(), payload.bytes);
    assert_eq!(again.payload(&digest("none")).unwrap(), None);
    let next = again.append(at(2), &[problem("later")], &[]).unwrap();
    assert_eq!(next.sequence, head.sequence + 1);
    let report = verify(directory.path(), None, Some(&head.hash)).unwrap();
    assert_eq!((report.head, report.payloads, report.found), (next, 1, Some(head.sequence)));
    assert_eq!(verify(directory.path(), None, Some(&digest("x"))).unwrap().found, None);
}

#[test]
fn only_one_process_writes_and_others_may_look() {
    let directory = tempfile::tempdir().unwrap();
    let mut writer = ledger(&directory);
    assert!(matches!(Ledger::open(directory.path(), None), Err(LedgerError::InUse(_))));
    let mut reader = Ledger::inspect(directory.path(), None).unwrap();
    for n in 1..=50 {
        let head = writer.append(at(n), &[problem("one"), problem("two")], &[]).unwrap();
        assert_eq!(reader.head().unwrap(), head);
        assert_eq!(reader.records(1).unwrap().map(Result::unwrap).count() as u64, head.sequence);
    }
    assert_eq!(verify(directory.path(), None, None).unwrap().head, writer.head());
}

#[test]
fn a_reader_sees_a_whole_chain_however_much_is_written() {
    let directory = tempfile::tempdir().unwrap();
    let mut writer = ledger(&directory);
    writer.append(at(0), &[problem("first")], &[]).unwrap();
    let (path, done) = (directory.path().to_owned(), std::sync::atomic::AtomicBool::new(false));
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut walks = 0;
            while !done.load(std::sync::atomic::Ordering::Relaxed) {
                verify(&path, None, None).unwrap();
                walks += 1;
            }
            walks
        });
        for n in 0..100 {
            let events = vec![problem(&"x".repeat(n * 40)); 20];
            let payload = Payload::new(vec![n as u8; n * 600], false);
            writer.append(at(1), &events, &[payload]).unwrap();
            std::thread::sleep(std::time::Duration::from_millis(3)); // readers give up if it never rests
        }
        done.store(true, std::sync::atomic::Ordering::Relaxed);
        assert!(reader.join().unwrap() > 0);
    });
}

#[test]
fn payloads_are_kept_short_and_long_open_and_sealed() {
    let directory = tempfile::tempdir().unwrap();
    let text = |digit: &str, len: usize| format!("zqxj{}", digit.repeat(len)).into_bytes();
    let payloads = [
        Payload::new(text("1", 10), false),
        Payload::new(text("2", 100_000), false),
        Payload::new(text("3", 10), true),
        Payload::new(text("4", 100_000), true),
        Payload::new(Vec::new(), false),
    ];
    let events: Vec<_> = payloads.iter().zip(1..).map(|(payload, n)| accepted(n, payload)).collect();
    let mut open = ledger(&directory);
    let refused = open.append(at(1), &events, &payloads).unwrap_err();
    assert!(matches!(refused, AppendError::NeedsKey(digest) if digest == payloads[2].digest), "{refused}");
    assert_eq!((open.head(), stored(&open).len()), (Head::origin(), 0));
    drop(open);

    let mut sealed = Ledger::open(directory.path(), Some(key("a"))).unwrap();
    let head = sealed.append(at(1), &events, &payloads).unwrap();
    assert_eq!(sealed.append(at(1), &[problem("again")], &payloads).unwrap().sequence, head.sequence + 1);
    for payload in &payloads {
        assert_eq!(sealed.payload(&payload.digest).unwrap().unwrap(), payload.bytes);
    }
    drop(sealed);
    let mut files: Vec<_> =
        fs::read_dir(directory.path().join(payload::DIRECTORY)).unwrap().map(Result::unwrap).collect();
    files.sort_by_key(std::fs::DirEntry::path);
    let mut names: Vec<_> = [1, 3].map(|n: usize| payloads[n].digest.to_string()).to_vec();
    names.sort();
    assert_eq!(files.iter().map(|file| file.file_name().into_string().unwrap()).collect::<Vec<_>>(), names);
    for file in files.iter().map(std::fs::DirEntry::path).chain([directory.path().join(FILE)]) {
        let octets = fs::read(&file).unwrap();
        for word in ["zqxj333", "zqxj444"] {
            assert!(!octets.windows(7).any(|seen| seen == word.as_bytes()), "{word} is in {}", file.display());
        }
    }

    let without = ledger(&directory);
    assert_eq!(without.payload(&payloads[1].digest).unwrap().unwrap(), payloads[1].bytes);
    let fault = |ledger: &Ledger, n: usize| match ledger.payload(&payloads[n].digest) {
        Err(LedgerError::Payload { fault, .. }) => fault,
        other => panic!("{other:?}"),
    };
    assert_eq!(fault(&without, 2), Fault::NeedsKey);
    drop(without);
    assert_eq!(fault(&Ledger::open(directory.path(), Some(key("b"))).unwrap(), 3), Fault::WrongKey);
    let report = verify(directory.path(), None, None).unwrap();
    assert_eq!((report.payloads, report.sealed), (3, 2));
    let report = verify(directory.path(), Some(key("a")), None).unwrap();
    assert_eq!((report.payloads, report.sealed), (5, 0));
    assert!(matches!(
        verify(directory.path(), Some(key("b")), None),
        Err(VerifyError::Break(Break { sequence: 3, what: Flaw::PayloadDiffers(_) }))
    ));

    let long = directory.path().join(payload::DIRECTORY).join(payloads[1].digest.to_string());
    let mut octets = fs::read(&long).unwrap();
    octets[77] ^= 1;
    fs::write(&long, octets).unwrap();
    assert_eq!(broken(directory.path()), Break { sequence: 2, what: Flaw::PayloadDiffers(payloads[1].digest) });
    fs::remove_file(&long).unwrap();
    assert_eq!(broken(directory.path()), Break { sequence: 2, what: Flaw::PayloadMissing(payloads[1].digest) });
}

#[test]
fn a_payload_that_turns_out_to_be_secret_is_sealed_from_then_on() {
    let directory = tempfile::tempdir().unwrap();
    let mut ledger = Ledger::open(directory.path(), Some(key("a"))).unwrap();
    for len in [10, 100_000] {
        let open = Payload::new(vec![b'z'; len], false);
        let secret = Payload { secret: true, ..open.clone() };
        ledger.append(at(1), &[accepted(1, &open)], std::slice::from_ref(&open)).unwrap();
        for payload in [&secret, &open] {
            ledger.append(at(1), &[accepted(1, payload)], std::slice::from_ref(payload)).unwrap();
            assert_eq!(ledger.payload(&open.digest).unwrap().unwrap(), open.bytes);
        }
    }
    drop(ledger);
    assert_eq!(verify(directory.path(), None, None).unwrap().sealed, 2);
}

#[test]
fn a_record_without_its_payload_or_with_another_one_is_not_taken() {
    let directory = tempfile::tempdir().unwrap();
    let mut ledger = ledger(&directory);
    let payload = Payload::new(b"one".to_vec(), false);
    let wrong = Payload { bytes: b"two".to_vec(), ..payload.clone() };
    assert!(matches!(ledger.append(at(1), &[problem("x")], &[wrong]), Err(AppendError::WrongDigest(_))));
    let events = [problem("x"), accepted(1, &payload)];
    assert!(matches!(ledger.append(at(1), &events, &[]), Err(AppendError::NoPayload(_))));
    assert_eq!((ledger.head(), stored(&ledger).len()), (Head::origin(), 0));
    ledger.append(at(1), &events, &[payload]).unwrap();
}

#[test]
fn records_of_an_append_that_failed_after_all_was_written_are_taken_out() {
    let directory = tempfile::tempdir().unwrap();
    let mut first = ledger(&directory);
    let known = first.append(at(1), &[problem("known")], &[]).unwrap();
    first.append(at(1), &[problem("never"), problem("told")], &[]).unwrap();
    first.head = known; // as if that had been an error
    first.close();
    let head = first.append(at(1), &[problem("again")], &[]).unwrap();
    assert_eq!(head.sequence, 2);
    assert_eq!(stored(&first).len(), 2);
    drop(first);
    assert_eq!(verify(directory.path(), None, None).unwrap().head, head);
}

#[test]
fn a_file_that_is_not_the_one_it_was_is_not_appended_to() {
    let directory = tempfile::tempdir().unwrap();
    let mut ledger = ledger(&directory);
    ledger.append(at(1), &[problem("one")], &[]).unwrap();
    ledger.close();
    let path = directory.path().join(FILE);
    fs::rename(&path, directory.path().join("elsewhere")).unwrap();
    assert!(matches!(ledger.append(at(1), &[problem("x")], &[]), Err(AppendError::Ledger(LedgerError::Io { .. }))));
    assert!(!path.exists(), "a new one in its place");
    drop(Ledger::open(directory.path(), None).unwrap());
    assert!(matches!(
        ledger.append(at(1), &[problem("x")], &[]),
        Err(AppendError::Ledger(LedgerError::Damaged { .. }))
    ));
    fs::rename(directory.path().join("elsewhere"), &path).unwrap();
    assert_eq!(ledger.append(at(1), &[problem("x")], &[]).unwrap().sequence, 2);
}

#[test]
fn what_is_no_ledger_is_said_to_be_none() {
    let directory = tempfile::tempdir().unwrap();
    assert!(matches!(Ledger::inspect(directory.path(), None), Err(LedgerError::Io { .. })));
    for text in [String::new(), "no database".repeat(10), "x".repeat(100_000)] {
        fs::write(directory.path().join(FILE), &text).unwrap();
        for error in
            [Ledger::open(directory.path(), None).unwrap_err(), Ledger::inspect(directory.path(), None).unwrap_err()]
        {
            assert!(matches!(error, LedgerError::Damaged { .. } | LedgerError::Io { .. }), "{error:?}");
        }
        assert_eq!(fs::read(directory.path().join(FILE)).unwrap(), text.as_bytes(), "it was written to");
    }
    let file = directory.path().join("file");
    fs::write(&file, "").unwrap();
    assert!(matches!(Ledger::open(&file, None), Err(LedgerError::Io { .. })));
}

#[test]
fn the_first_break_is_named() {
    let directory = tempfile::tempdir().unwrap();
    ledger(&directory).append(at(1), &vec![problem("x"); 9], &[]).unwrap();
    tamper(directory.path(), |records| drop(records.insert(7, &b"short"[..]).unwrap()));
    assert_eq!(broken(directory.path()), Break { sequence: 7, what: Flaw::Undecodable });
    tamper(directory.path(), |records| drop(records.remove(5).unwrap()));
    assert_eq!(broken(directory.path()), Break { sequence: 5, what: Flaw::Gap });
    tamper(directory.path(), |records| {
        let third = records.get(3).unwrap().unwrap().value().to_vec();
        records.insert(2, &*third).unwrap();
    });
    assert_eq!(broken(directory.path()), Break { sequence: 2, what: Flaw::Hash });
    // hashed properly, but no record: by somebody who can write a chain
    let forge = |octets: &[u8]| {
        let head = Head::origin().next(octets);
        tamper(directory.path(), |records| {
            records.insert(1, &*[head.hash.as_octets(), octets].concat()).unwrap();
        });
        broken(directory.path())
    };
    assert_eq!(forge(b"{\"v\":1}"), Break { sequence: 1, what: Flaw::Undecodable });
    assert_eq!(forge(b"{\"sequence\":2}"), Break { sequence: 1, what: Flaw::Misnumbered });
    let missing = digest("x");
    let what = Flaw::PayloadMissing(missing);
    assert_eq!(forge(format!(r#"{{"sequence":1,"payload":"{missing}"}}"#).as_bytes()), Break { sequence: 1, what });
    // an event nobody knows yet
    assert_eq!(forge(br#"{"v":9,"sequence":1,"event":"new","payload":[7]}"#), Break { sequence: 2, what: Flaw::Hash });
}

#[test]
fn a_last_record_that_does_not_hang_together_is_seen_at_the_start() {
    let directory = tempfile::tempdir().unwrap();
    ledger(&directory).append(at(1), &vec![problem("x"); 3], &[]).unwrap();
    tamper(directory.path(), |records| {
        let mut last = records.get(3).unwrap().unwrap().value().to_vec();
        *last.last_mut().unwrap() ^= 1;
        records.insert(3, &*last).unwrap();
    });
    assert!(matches!(Ledger::open(directory.path(), None), Err(LedgerError::Damaged { .. })));
}

#[test]
fn a_tail_that_was_cut_off_is_seen_by_who_kept_its_head() {
    let directory = tempfile::tempdir().unwrap();
    let head = ledger(&directory).append(at(1), &vec![problem("x"); 9], &[]).unwrap();
    tamper(directory.path(), |records| drop(records.pop_last().unwrap()));
    let report = verify(directory.path(), None, Some(&head.hash)).unwrap();
    assert_eq!((report.head.sequence, report.found), (8, None));
    let origin = Head::origin().hash;
    assert_eq!(verify(directory.path(), None, Some(&origin)).unwrap().found, Some(0));
}

#[test]
fn octets_of_the_file_that_turn_over_are_found_or_do_not_matter() {
    let directory = tempfile::tempdir().unwrap();
    let events: Vec<_> = (0..200).map(|n| problem(&format!("number {n}"))).collect();
    let head = ledger(&directory).append(at(1), &events, &[]).unwrap();
    let path = directory.path().join(FILE);
    let file = fs::OpenOptions::new().read(true).write(true).open(&path).unwrap();
    let len = file.metadata().unwrap().len();
    let mut found = 0;
    for n in 0..300 {
        let (offset, mut octet) = (n * 7_919 % len, [0]);
        file.read_exact_at(&mut octet, offset).unwrap();
        file.write_all_at(&[octet[0] ^ 0x10], offset).unwrap();
        match verify(directory.path(), None, None) {
            Ok(report) => assert_eq!(report.head, head, "{offset}"),
            Err(_) => found += 1,
        }
        file.write_all_at(&octet, offset).unwrap();
    }
    assert!(found > 0);
    assert_eq!(verify(directory.path(), None, None).unwrap().head, head);
}

fn any_event() -> impl Strategy<Value = Event> {
    let one = (0..an_event_of_each_kind().len()).prop_map(|n| an_event_of_each_kind()[n].clone());
    prop_oneof![one, ".{0,200}".prop_map(|reason| problem(&reason))]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn any_batches_come_back_and_hang_together(
        batches in proptest::collection::vec((proptest::collection::vec(any_event(), 0..8), any::<bool>()), 1..8),
    ) {
        let directory = tempfile::tempdir().unwrap();
        let payload = [Payload::new(b"{}".to_vec(), false)];
        let mut open = ledger(&directory);
        let (mut head, mut all) = (Head::origin(), Vec::new());
        for (events, reopen) in batches {
            head = open.append(at(1), &events, &payload).unwrap();
            all.extend(events);
            prop_assert_eq!(head.sequence, all.len() as u64);
            if reopen {
                drop(open);
                open = ledger(&directory);
                prop_assert_eq!(open.head(), head);
            }
        }
        let mut chain = Head::origin();
        for (stored, event) in stored(&open).iter().zip(&all) {
            chain = chain.next(&stored.octets);
            prop_assert_eq!(stored.head, chain);
            prop_assert_eq!(&stored.record().unwrap().event, event);
        }
        prop_assert_eq!(chain, head);
        prop_assert_eq!(verify(directory.path(), None, None).unwrap().head, head);
    }

    #[test]
    fn any_octet_of_any_record_or_hash_that_turns_over_is_found_where_it_is(
        (records, record) in (1u64..30).prop_flat_map(|records| (Just(records), 1..=records)),
        place in any::<prop::sample::Index>(),
        bits in 1u8..,
    ) {
        let directory = tempfile::tempdir().unwrap();
        let events: Vec<_> = (0..records).map(|n| problem(&format!("number {n}"))).collect();
        ledger(&directory).append(at(1), &events, &[]).unwrap();
        tamper(directory.path(), |table| {
            let mut value = table.get(record).unwrap().unwrap().value().to_vec();
            let place = place.index(value.len());
            value[place] ^= bits;
            table.insert(record, &*value).unwrap();
        });
        prop_assert_eq!(broken(directory.path()), Break { sequence: record, what: Flaw::Hash });
    }
}
