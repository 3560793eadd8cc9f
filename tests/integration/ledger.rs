//! The ledger against what it is for: processes that are killed, disks that are full or may not be written, people who
//! change it, and the commands that tell.
//!
//! A child is this test program again, running one of the ignored tests below, which do nothing without the directory in
//! the environment.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use jiff::Timestamp;
use pagar::ledger::database::FILE;
use pagar::ledger::event::OrderKind;
use pagar::ledger::seal::Key;
use pagar::ledger::verify::verify;
use pagar::ledger::{AppendError, Digest, Event, Head, Ledger, LedgerError, Payload};
use pagar::model::{AuthorityId, NoticeId};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::harness::{Ended, Reaped, Site, config, pagar, run, skip};

/// Names the directory for a child.
const DIRECTORY: &str = "PAGAR_LEDGER_TEST";
/// Set for a child that is to rest between its appends, in milliseconds.
const PAUSE: &str = "PAGAR_LEDGER_TEST_PAUSE";
/// How often a child is killed.
const KILLS: u64 = 50;

fn problem(reason: &str) -> Event {
    Event::Problem { code: "test".into(), reason: reason.into() }
}

fn accepted(number: u64, payload: &Payload) -> Event {
    Event::Accepted {
        authority: AuthorityId::new("mcmc"),
        notice: NoticeId::new(&format!("N-{number}")),
        kind: OrderKind::Restrict,
        number,
        payload: payload.digest,
        source: "notices".into(),
        signers: Vec::new(),
        secret: payload.secret,
        received_at: Timestamp::UNIX_EPOCH,
        items: 1,
        quarantined: Vec::new(),
        refused: Vec::new(),
        test: false,
    }
}

/// This program, to run one of its ignored tests.
fn child(test: &str, directory: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", &format!("ledger::{test}"), "--ignored", "--nocapture"]).env(DIRECTORY, directory);
    command
}

fn of_a_child() -> Option<PathBuf> {
    std::env::var_os(DIRECTORY).map(PathBuf::from)
}

//------ killed ------

#[test]
#[ignore = "a child of every_acknowledged_record_outlives_a_kill"]
fn child_appends_until_it_is_killed() {
    let Some(directory) = of_a_child() else { return };
    let mut ledger = Ledger::open(&directory, None).unwrap();
    let mut out = std::io::stdout();
    let pause = std::env::var(PAUSE).map_or(Duration::ZERO, |pause| Duration::from_millis(pause.parse().unwrap()));
    for round in ledger.head().sequence.. {
        // of all sizes, so that the file grows and pages split at different moments
        let events: Vec<_> = (0..round % 7).map(|n| problem(&"x".repeat((round * 131 + n) as usize % 3_000))).collect();
        let length = if round % 11 == 0 { 70_000 } else { 2_000 };
        let payload = Payload::new(round.to_le_bytes().repeat(length / 8), false);
        let events = [events, vec![accepted(round, &payload)]].concat();
        let Head { sequence, hash } = ledger.append(Timestamp::now(), &events, &[payload]).unwrap();
        writeln!(out, "acknowledged {sequence} {hash}").unwrap();
        out.flush().unwrap();
        std::thread::sleep(pause);
    }
}

#[test]
fn every_acknowledged_record_outlives_a_kill() {
    let directory = tempfile::tempdir().unwrap();
    let mut last = Head::origin();
    for kill in 0..KILLS {
        let mut command = child("child_appends_until_it_is_killed", directory.path());
        let watched = kill % 10 == 0;
        if watched {
            command.env(PAUSE, "30"); // a server does not append all the time either
        }
        let mut running = Reaped(command.stdout(Stdio::piped()).spawn().unwrap());
        let lines = BufReader::new(running.0.stdout.take().unwrap()).lines().map_while(Result::ok);
        let mut heads = lines.filter_map(|line| acknowledged(&line));
        last = heads.next().expect("the child appends");
        if watched {
            let ended = pagar(&["ledger", "verify", "--dir", directory.path().to_str().unwrap()]);
            assert!(ended.code == Some(0) && ended.err.is_empty(), "while it is written to: {ended:?}");
        }
        std::thread::sleep(Duration::from_micros(kill * 7_919 % 30_000));
        running.0.kill().unwrap();
        running.0.wait().unwrap();
        last = heads.last().unwrap_or(last);

        let report = verify(directory.path(), None, Some(&last.hash)).unwrap();
        assert_eq!(report.found, Some(last.sequence), "after kill {kill}");
        let ledger = Ledger::open(directory.path(), None).unwrap();
        assert_eq!(ledger.head(), report.head);
    }
    assert!(last.sequence > KILLS, "{last:?}");
}

fn acknowledged(line: &str) -> Option<Head> {
    let (_, head) = line.split_once("acknowledged ")?;
    let (sequence, hash) = head.split_once(' ')?;
    Some(Head { sequence: sequence.parse().ok()?, hash: Digest::from_text(hash)? })
}

//------ full, read-only ------

#[test]
fn a_full_disk_fails_the_append_and_room_is_all_it_needs() {
    on_a_small_disk("child_fills_its_disk");
}

#[test]
fn what_may_only_be_read_is_not_opened_for_writing_but_verified() {
    on_a_small_disk("child_has_its_disk_made_read_only");
}

/// Runs a child on a file system of 4 MiB that nobody else sees.
fn on_a_small_disk(test: &str) {
    if !rustix::process::geteuid().is_root() {
        return skip("needs root");
    }
    let directory = tempfile::tempdir().unwrap();
    let inner = child(test, directory.path());
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", "mount -t tmpfs -o size=4m none \"$0\" || exit 99; exec \"$@\""]);
    command.arg(directory.path()).arg(inner.get_program()).args(inner.get_args()).env(DIRECTORY, directory.path());
    let ended = run(&mut command);
    if ended.code == Some(99) || ended.err.contains("unshare failed") {
        return skip("needs to mount a file system");
    }
    assert!(ended.code == Some(0) && ended.out.contains("1 passed"), "{}{}", ended.out, ended.err);
}

#[test]
#[ignore = "a child of a_full_disk_fails_the_append_and_room_is_all_it_needs"]
fn child_fills_its_disk() {
    let Some(directory) = of_a_child() else { return };
    let filler = directory.join("filler");
    let mut ledger = Ledger::open(&directory, None).unwrap();
    for round in 0..5 {
        let _ = fs::write(&filler, vec![b'x'; 1_500_000 + round * 10_007]); // as much as there is room for
        let (head, failed) = append_until_it_fails(&mut ledger);
        assert!(matches!(failed, AppendError::Ledger(LedgerError::Io { .. })), "{failed:?}");
        for _ in 0..3 {
            let batch = vec![problem(&"y".repeat(10_000)); 50];
            ledger.append(Timestamp::now(), &batch, &[]).unwrap_err();
            assert_eq!(ledger.head(), head);
            assert_eq!(verify(&directory, None, None).unwrap().head, head, "something of the batch is there");
        }
        let long = Payload::new(vec![b'z'; 2_000_000], false);
        ledger.append(Timestamp::now(), &[accepted(1, &long)], std::slice::from_ref(&long)).unwrap_err();
        assert!(
            fs::read_dir(directory.join("payloads")).map_or(0, Iterator::count) == 0,
            "a part of a payload is left"
        );
        assert!(ledger.records(1).all(|stored| stored.is_ok()), "reading goes on");

        fs::remove_file(&filler).unwrap();
        let next = ledger.append(Timestamp::now(), &[problem("room")], &[]).unwrap();
        assert_eq!(next.sequence, head.sequence + 1);
        drop(ledger);
        ledger = Ledger::open(&directory, None).unwrap();
        assert_eq!(ledger.head(), next);
        let report = verify(&directory, None, Some(&head.hash)).unwrap();
        assert_eq!((report.head, report.found), (next, Some(head.sequence)));
    }
}

fn append_until_it_fails(ledger: &mut Ledger) -> (Head, AppendError) {
    loop {
        let head = ledger.head();
        if let Err(error) = ledger.append(Timestamp::now(), &vec![problem(&"x".repeat(3_000)); 4], &[]) {
            return (head, error);
        }
    }
}

#[test]
#[ignore = "a child of what_may_only_be_read_is_not_opened_for_writing_but_verified"]
fn child_has_its_disk_made_read_only() {
    let Some(directory) = of_a_child() else { return };
    let mut ledger = Ledger::open(&directory, None).unwrap();
    let head = ledger.append(Timestamp::now(), &[problem("one")], &[]).unwrap();
    drop(ledger);
    let remounted = Command::new("mount").args(["-o", "remount,ro"]).arg(&directory).status().unwrap();
    assert!(remounted.success());
    let refused = Ledger::open(&directory, None).unwrap_err();
    assert!(matches!(refused, LedgerError::Io { .. }), "{refused:?}");
    assert!(refused.to_string().contains("Read-only file system"), "{refused}");
    Ledger::open(&directory.join("new"), None).unwrap_err();
    assert_eq!(verify(&directory, None, None).unwrap().head, head);
}

//------ commands ------

/// A site with a ledger of three notices, one of them secret, and its last head.
fn site() -> (Site, Head) {
    let with_key = config(&["127.0.0.1:9".parse().unwrap()]).replace("[ledger]", "[ledger]\nkey_file = \"key\"");
    let site = Site::new(&with_key);
    site.write("key", &"a".repeat(64));
    fs::set_permissions(site.path("key"), std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let mut ledger = Ledger::open(&site.path("state"), Key::from_text(&"a".repeat(64))).unwrap();
    for number in 1..=3 {
        let payload = Payload::new(format!("casino-{number}.example").into_bytes(), number == 3);
        ledger.append(Timestamp::now(), &[accepted(number, &payload)], &[payload]).unwrap();
    }
    let head = ledger.head();
    (site, head)
}

fn in_directory(site: &Site, words: &[&str]) -> Ended {
    let directory = site.path("state");
    pagar(&[words, &["--dir", directory.to_str().unwrap()]].concat())
}

#[test]
fn verify_says_what_is_whole_and_what_is_not() {
    let (site, head) = site();
    let hash = head.hash.to_string();
    let ended = site.run(&["ledger", "verify", "--head", &hash]);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let text = "3 records are as they were written, 3 payloads with them\n";
    assert_eq!(ended.out, format!("{text}head {hash}\nrecord 3 has the head {hash}\n"));
    let sealed = in_directory(&site, &["ledger", "verify"]);
    assert!(sealed.code == Some(0) && sealed.out.contains("1 more are sealed"), "{sealed:?}");
    let json: Value = serde_json::from_str(&site.run(&["ledger", "verify", "--json"]).out).unwrap();
    assert_eq!((&json["whole"], &json["report"]["hash"]), (&true.into(), &hash.clone().into()));

    let other = in_directory(&site, &["ledger", "verify", "--head", &"0".repeat(64)]);
    assert!(other.code == Some(1) && other.out.contains("no record has the head 0000"), "{other:?}");
    assert_eq!(in_directory(&site, &["ledger", "verify", "--head", "0"]).code, Some(2));
    assert_eq!(pagar(&["ledger", "verify"]).code, Some(2), "of which ledger?");

    let database = redb::Database::open(site.path("state").join(FILE)).unwrap();
    let transaction = database.begin_write().unwrap();
    let records = redb::TableDefinition::<u64, &[u8]>::new("records");
    transaction.open_table(records).unwrap().insert(2, &[0; 64][..]).unwrap();
    transaction.commit().unwrap();
    drop(database);
    let changed = site.run(&["ledger", "verify"]);
    assert_eq!(changed.code, Some(1), "{changed:?}");
    assert!(changed.out.starts_with("record 2 is not what its hash was made of"), "{changed:?}");
    let json: Value = serde_json::from_str(&site.run(&["ledger", "verify", "--json"]).out).unwrap();
    assert_eq!(
        (&json["whole"], &json["break"]["sequence"], &json["break"]["what"]),
        (&false.into(), &2.into(), &"hash".into())
    );

    fs::write(site.path("state").join(FILE), "something else").unwrap();
    for command in ["verify", "export"] {
        let ended = in_directory(&site, &["ledger", command]);
        assert!(ended.code == Some(3) && ended.err.contains(FILE), "{ended:?}");
    }
    fs::remove_file(site.path("state").join(FILE)).unwrap();
    let ended = site.run(&["ledger", "verify"]);
    assert!(ended.code == Some(3) && ended.err.contains("No such file"), "{ended:?}");
    assert!(!site.path("state").join(FILE).exists());
}

#[test]
fn an_export_can_be_verified_by_somebody_else_and_names_nothing_secret() {
    let (site, head) = site();
    let ended = site.run(&["ledger", "export"]);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(!ended.out.contains("casino"));
    let mut hash = hex(&Sha256::digest(b"pagar ledger 1"));
    for (line, number) in ended.out.lines().zip(1..) {
        let (_, record) = line.strip_suffix('}').unwrap().split_once("\"record\":").unwrap();
        let json: Value = serde_json::from_str(line).unwrap();
        assert_eq!(json["prev"], *hash);
        let before = hash.as_bytes().chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16));
        let mut text: Vec<u8> = before.map(Result::unwrap).collect();
        text.extend((record.len() as u64).to_le_bytes());
        text.extend(record.as_bytes());
        hash = hex(&Sha256::digest(&text));
        assert_eq!((json["sequence"].as_u64(), &json["hash"]), (Some(number), &hash.clone().into()));
        assert_eq!((&json["record"]["event"], &json["record"]["number"]), (&"accepted".into(), &number.into()));
    }
    assert_eq!(hash, head.hash.to_string());
    let rest = in_directory(&site, &["ledger", "export", "--from", "3"]);
    assert_eq!(rest.out, ended.out.lines().last().unwrap().to_owned() + "\n");
    assert_eq!(in_directory(&site, &["ledger", "export", "--from", "4"]).out, "");
    assert_eq!(in_directory(&site, &["ledger", "export", "--from", "0"]).code, Some(2));
}

fn hex(octets: &[u8]) -> String {
    octets.iter().map(|octet| format!("{octet:02x}")).collect()
}
