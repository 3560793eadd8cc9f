//! Signed notices when the ledger's disk is full, may not be written any more, or has changed what was written: nothing
//! new is taken in, what is in force stays, and questions are answered.
//!
//! The state directory is a small file system of its own, which nobody else sees. A child is this test program again,
//! running one of the ignored tests below, which do nothing without the word in the environment.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::process::Command;

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::harness::{Pagar, Site, peer, run, skip, wait_until};
use crate::signed::{Signed, is_blocked};

/// Set for a child: it sees mounts of its own.
const CHILD: &str = "PAGAR_TROUBLE_TEST";
const FAILURES: &str = "pagar_ledger_append_failures_total";

/// Runs one of the ignored tests where it may mount.
fn alone(test: &str) {
    if !rustix::process::geteuid().is_root() {
        return skip("needs root");
    }
    let mut command = Command::new("unshare");
    command.arg("--mount").arg(std::env::current_exe().unwrap());
    command.args(["--exact", &format!("trouble::{test}"), "--ignored", "--nocapture"]).env(CHILD, "1");
    let ended = run(&mut command);
    if ended.err.contains("unshare failed") {
        return skip("needs to mount a file system");
    }
    assert!(ended.code == Some(0) && ended.out.contains("1 passed"), "{}{}", ended.out, ended.err);
    ended.out.lines().filter(|line| line.starts_with("skipped: ")).for_each(|line| println!("{line}"));
}

fn is_child() -> bool {
    std::env::var_os(CHILD).is_some()
}

/// Whether the system mounts this over the state directory.
fn mounted(signed: &Signed, words: &[&str]) -> bool {
    let state = signed.site.path("state");
    fs::create_dir_all(&state).unwrap();
    let done = run(Command::new("mount").args(words).arg(&state)).code == Some(0);
    if !done {
        skip("needs to mount a file system");
    }
    done
}

/// With one notice in force.
fn with_one_notice(signed: &Signed) -> Pagar {
    let pagar = signed.start();
    signed.order("1.jws", &signed.mcmc.restrict(1, &["old.example"]));
    signed.receipt("1.jws", "enforced");
    pagar
}

/// Enough names that the order is a file of its own in the ledger.
fn long_order(signed: &Signed, number: u64) -> Value {
    let names: Vec<_> = (0..2_000).map(|n| format!("n{n}.new-{number}.example")).collect();
    signed.mcmc.restrict(number, &names.iter().map(String::as_str).collect::<Vec<_>>())
}

/// Nothing new is in force, the notice waits, and everything else goes on.
#[track_caller]
fn waits(signed: &Signed, pagar: &Pagar, file: &str) {
    let before = pagar.metrics().get(FAILURES).copied().unwrap_or_default();
    wait_until("it is tried again", || pagar.metric(FAILURES) > before + 1.0);
    assert!(signed.receipt_now(file).is_none(), "nothing is said of what is not recorded");
    assert!(is_blocked(pagar, "www.old.example."), "the policy stays");
    assert!(!is_blocked(pagar, "other.example."), "questions are answered");
    let problems = pagar.json("/v1/policy")["sources"].to_string();
    assert!(problems.contains("the notice waits"), "{problems}");
}

//------ full -------------------------------------------------------------------------------------------------------------

#[test]
fn a_full_disk_keeps_notices_waiting_and_room_is_all_they_need() {
    alone("child_fills_the_state_directory");
}

#[test]
#[ignore = "a child of a_full_disk_keeps_notices_waiting_and_room_is_all_they_need"]
fn child_fills_the_state_directory() {
    if !is_child() {
        return;
    }
    let signed = Signed::new(1);
    if !mounted(&signed, &["-t", "tmpfs", "-o", "size=4m", "none"]) {
        return;
    }
    let pagar = with_one_notice(&signed);
    fill(&signed.site);
    signed.order("2.jws", &long_order(&signed, 2));
    waits(&signed, &pagar, "2.jws");
    assert!(!is_blocked(&pagar, "n7.new-2.example."));
    // another that would fit is behind it in line, and no order is taken in twice
    signed.order("3.jws", &signed.mcmc.notice(3, "revoke", json!({ "revokes": ["N-2"] })));
    waits(&signed, &pagar, "3.jws");
    signed.site.remove("state/filler");
    signed.receipt("3.jws", "carried-out");
    signed.order("4.jws", &long_order(&signed, 4));
    signed.receipt("4.jws", "enforced");
    assert!(is_blocked(&pagar, "n7.new-4.example.") && !is_blocked(&pagar, "n7.new-2.example."));
    assert!(pagar.log().contains("the ledger can be written again"), "{}", pagar.log());
    let policy = pagar.json("/v1/policy")["sources"].to_string();
    assert!(!policy.contains("the notice waits"), "it waits no more: {policy}");
    accepted_once(&signed.site, 4);
}

/// Fills the state directory to the last octet.
fn fill(site: &Site) {
    let mut filler = OpenOptions::new().create(true).append(true).open(site.path("state/filler")).unwrap();
    while filler.write_all(&[b'x'; 512]).is_ok() {}
}

/// The ledger is whole and has each of so many orders once.
fn accepted_once(site: &Site, orders: usize) {
    let verified = site.run(&["ledger", "verify"]);
    assert_eq!(verified.code, Some(0), "{verified:?}");
    let exported = site.run(&["ledger", "export"]).out;
    assert_eq!(exported.matches("\"event\":\"accepted\"").count(), orders, "{exported}");
    for number in 1..=orders {
        assert_eq!(exported.matches(&format!("\"number\":{number},\"payload\"")).count(), 1, "{number}: {exported}");
    }
}

//------ not to be written ------------------------------------------------------------------------------------------------

#[test]
fn a_disk_that_turns_read_only_changes_nothing_and_a_start_on_it_says_why_not() {
    alone("child_has_its_state_directory_made_read_only");
}

#[test]
#[ignore = "a child of a_disk_that_turns_read_only_changes_nothing_and_a_start_on_it_says_why_not"]
fn child_has_its_state_directory_made_read_only() {
    let Some(mkfs) = is_child().then(|| peer("mkfs.ext4")).flatten() else { return };
    let signed = Signed::new(1);
    let image = signed.site.path("image");
    fs::File::create(&image).unwrap().set_len(16 << 20).unwrap();
    assert_eq!(run(Command::new(mkfs).arg("-q").arg(&image)).code, Some(0));
    if !mounted(&signed, &["-o", "loop,errors=remount-ro", image.to_str().unwrap()]) {
        return;
    }
    let mut pagar = with_one_notice(&signed);
    // what the kernel does with a disk that fails: it takes writing away from those who have files open
    remount(&signed.site, "abort");
    signed.order("2.jws", &signed.mcmc.restrict(2, &["new.example"]));
    waits(&signed, &pagar, "2.jws");
    pagar.signal(Signal::TERM);
    assert!(pagar.wait().success(), "{}", pagar.log());

    let refused = signed.site.run(&["serve"]);
    assert_eq!(refused.code, Some(4), "{refused:?}");
    assert!(refused.err.contains("Read-only file system"), "{refused:?}");
    assert_eq!(run(Command::new("umount").arg(signed.site.path("state"))).code, Some(0));
    if let Some(fsck) = peer("fsck.ext4") {
        let mended = run(Command::new(fsck).arg("-y").arg(&image)).code;
        assert!(matches!(mended, Some(0 | 1)), "{mended:?}");
        assert!(mounted(&signed, &["-o", "loop", image.to_str().unwrap()]));
        let pagar = signed.start();
        signed.receipt("2.jws", "enforced");
        assert!(is_blocked(&pagar, "old.example.") && is_blocked(&pagar, "new.example."));
        accepted_once(&signed.site, 2);
    }
}

fn remount(site: &Site, how: &str) {
    let ended = run(Command::new("mount").args(["-o", &format!("remount,{how}")]).arg(site.path("state")));
    assert_eq!(ended.code, Some(0), "{ended:?}");
}

//------ changed ----------------------------------------------------------------------------------------------------------

/// Flips a bit in the record that accepted this notice.
fn flip(state: &Path, number: u64) {
    let file = state.join("ledger.redb");
    let mut octets = fs::read(&file).unwrap();
    let text = format!("\"number\":{number},\"payload\"");
    let places: Vec<_> = octets.windows(text.len()).enumerate().filter(|(_, at)| *at == text.as_bytes()).collect();
    let places: Vec<_> = places.into_iter().map(|(at, _)| at).collect();
    assert!(!places.is_empty(), "no record of notice {number}");
    places.iter().for_each(|at| octets[at + "\"number\":".len()] ^= 2); // copies that are not in use as well
    fs::write(file, octets).unwrap();
}

fn stop(mut pagar: Pagar) {
    pagar.signal(Signal::TERM);
    assert!(pagar.wait().success(), "{}", pagar.log());
}

/// Two notices, of which the first was revoked, and the record of the second changed.
fn damaged() -> Signed {
    let signed = Signed::new(1);
    let pagar = with_one_notice(&signed);
    signed.order("2.jws", &signed.mcmc.restrict(2, &["two.example", "three.example"]));
    signed.receipt("2.jws", "enforced");
    signed.order("3.jws", &signed.mcmc.notice(3, "revoke", json!({ "revokes": ["N-1"] })));
    signed.receipt("3.jws", "carried-out");
    stop(pagar);
    flip(&signed.site.path("state"), 2);
    signed
}

#[test]
fn a_flipped_bit_in_the_ledger_is_noticed_and_the_stored_policy_served() {
    let signed = damaged();
    signed.site.remove("notices/2.jws"); // it is not from there
    let pagar = signed.start();
    assert!(is_blocked(&pagar, "two.example.") && is_blocked(&pagar, "three.example."), "as stored");
    assert!(!is_blocked(&pagar, "old.example."), "as revoked, though its file is there");
    assert_eq!(pagar.metric("pagar_ledger_damaged"), 1.0);

    signed.order("4.jws", &signed.mcmc.restrict(4, &["new.example"]));
    wait_until("it is refused", || pagar.json("/v1/policy")["sources"].to_string().contains("4.jws"));
    let policy = pagar.json("/v1/policy")["sources"].to_string();
    assert!(policy.contains("the ledger cannot be used, so nothing is taken in"), "{policy}");
    assert!(pagar.metric("pagar_guard_refused_total{reason=\"ledger\"}") >= 1.0);
    assert!(!is_blocked(&pagar, "new.example.") && signed.receipt_now("4.jws").is_none());
    let lifted = signed.site.run(&["lift", "two.example", "--reason", "hospital"]);
    assert_eq!(lifted.code, Some(1), "{lifted:?}");
    assert!(format!("{}{}", lifted.out, lifted.err).contains("read-only"), "{lifted:?}");
    assert!(is_blocked(&pagar, "two.example."));
    // a reload changes nothing about that
    pagar.signal(Signal::HUP);
    wait_until("it is reloaded", || pagar.log().contains("configuration reloaded"));
    assert!(is_blocked(&pagar, "two.example.") && !is_blocked(&pagar, "old.example."));
    stop(pagar);

    let verified = signed.site.run(&["ledger", "verify"]);
    assert_eq!(verified.code, Some(1), "{verified:?}");
    let record = record_of(&verified.out);
    assert!(record > 1 && verified.out.contains("is not what its hash was made of"), "{verified:?}");
    // the next start is the same: nothing was written over
    let again = signed.start();
    assert!(is_blocked(&again, "two.example.") && !is_blocked(&again, "old.example."));
    assert!(again.log().contains(&format!("record {record} ")), "{}", again.log());
}

/// The number in `record 7 is …`.
fn record_of(text: &str) -> u64 {
    let (_, rest) = text.split_once("record ").unwrap_or_else(|| panic!("no record: {text}"));
    rest.split(' ').next().unwrap().parse().unwrap()
}

#[test]
fn strict_means_not_to_start_on_a_damaged_ledger() {
    let signed = damaged();
    let refused = signed.site.run(&["serve", "--strict"]);
    assert_eq!(refused.code, Some(3), "{refused:?}");
    assert!(refused.err.contains("does not fit those before it"), "{refused:?}");
    assert!(refused.err.contains("pagar ledger verify") && refused.err.contains("without --strict"), "{refused:?}");
    // and nothing else: on a ledger that is whole it starts
    let whole = Signed::new(1);
    stop(with_one_notice(&whole));
    let pagar = Pagar::start(&whole.site.path("pagar.toml"), &["--strict"]);
    assert!(is_blocked(&pagar, "old.example."));
}

#[test]
fn a_damaged_ledger_without_a_stored_policy_is_no_policy() {
    let signed = damaged();
    for file in ["policy", "policy.recent"] {
        let _ = fs::remove_file(signed.site.path("state").join(file)); // short notices have no layers
    }
    let refused = signed.site.run(&["serve"]);
    assert_eq!(refused.code, Some(3), "{refused:?}");
    assert!(refused.err.contains("no policy is stored") && !refused.err.contains("--strict"), "{refused:?}");
}

#[test]
fn a_ledger_that_is_no_database_any_more_is_treated_the_same() {
    let signed = damaged();
    let file = signed.site.path("state/ledger.redb");
    let mut octets = fs::read(&file).unwrap();
    octets[..4096].fill(0);
    fs::write(&file, octets).unwrap();
    let pagar = signed.start();
    assert!(is_blocked(&pagar, "two.example.") && !is_blocked(&pagar, "old.example."));
    assert_eq!(pagar.metric("pagar_ledger_damaged"), 1.0);
    let refused = signed.site.run(&["lift", "two.example", "--reason", "x"]);
    assert_eq!(refused.code, Some(1), "{refused:?}");
}
