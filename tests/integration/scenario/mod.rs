//! DNS conversations as text: each `tests/scenarios/*.rpl` is carried out on the real core with both clocks injected, a
//! scripted upstream and no sockets. Same family as Unbound's testbound, CZ.NIC's Deckard and NLnet Labs' stelline.
//!
//! ```text
//! file --script (steps, words)--> steps to do --world, check--> core, state, metrics
//!              message: DNS messages, text and octets     `--upstream: the scripted Resolve
//! ```
//!
//! # The format
//!
//! `CONFIG` knows besides: `places=16` (questions that may wait for upstreams), `cookies=off` or `cookies=HEX,HEX`
//! (secrets; without it the core has one of its own), `rate=PER_SECOND/BURST`, `rrl=PER_SECOND` and behind it `slip=
//! all= log_only=`, `exempt=NETWORK@+60s` (until so long after the beginning). The clock begins at second 1.
//!
//! One statement a line, `;` begins a comment. Names are absolute, with or without the last dot, escaped as in a master
//! file (`\.`, `\000`). A file opens with a comment that says which rule it shows.
//!
//! ```text
//! SCENARIO_BEGIN a title
//! CONFIG page_v4=192.0.2.80 page_v6=none block_ttl=30 max_ttl=3600 allow=127.0.0.0/8,::1/128 trust_ad=true
//! CONFIG cache=0 prefetch=true serve_stale=86400
//! CONFIG special_names=true forward=10.in-addr.arpa version="text" server_id="text" nsid="text"
//! ZONE_BEGIN portal.isp.example.          ; a zone of the operator's, its text up to ZONE_END; every line has its owner
//! @ 300 IN SOA ns hostmaster 1 3600 600 604800 60
//! ZONE_END
//! RANGE_BEGIN 0 100                       ; what the upstream answers at the steps 0 to 100
//!     ENTRY_BEGIN
//!     MATCH DO NOCD                       ; only questions with DO and without CD; left out: any
//!     REPLY QR RD RA NOERROR OPT          ; flags, response code, and what a message may have besides: see OPT
//!     SECTION QUESTION
//!     www.open.example. IN A              ; which question is answered
//!     SECTION ANSWER                      ; AUTHORITY, ADDITIONAL
//!     www.open.example. 300 IN A 198.51.100.7
//!     new.example. 300 IN TYPE65280 \# 2 abcd
//!     ENTRY_END                           ; REPLY RAW HEX … sends these octets instead
//! RANGE_END
//! STEP 1 NOTICE authority=mcmc id=N-1 subtree=bad.example exact=www.other.example
//! STEP 2 QUERY wWw.bad.example. IN A RD OPT DO
//! STEP 3 CHECK_ANSWER REPLY QR RD RA NOERROR OPT DO EDE 16 "N-1" EDE 4
//!     SECTION ANSWER
//!     www.bad.example. 30 IN A 192.0.2.80
//! SCENARIO_END
//! ```
//!
//! | step | what it does |
//! |---|---|
//! | `NOTICE key=value …` | an order comes in: `authority id`, any number of `exact= subtree=`, `action`, `category`, `sensitivity`, `kind=statutory\|operator\|unknown` (unknown: not configured), `order=` (place of its source), `from=+5s expires=+60s` (from now), `refused=CODE` (it must be). The same id again is a new version |
//! | `WITHDRAW id` | its file is gone |
//! | `QUERY NAME CLASS TYPE [flags] [OPCODE=n] [UDP\|TCP] [from=ADDRESS] [as=LABEL] [OPT …]` | a client asks; nothing is set that is not written, RD included; queries with labels of their own may be under way together. `QUERY RAW HEX …` sends these octets |
//! | `CHECK_ANSWER [of=LABEL] REPLY flags RCODE [octets=n] [OPT …]`, then sections | the answer to the last query, whole: flags, code, OPT with its options in order, every record with its TTL, in order. What is not written must not be there. `NO_ANSWER`: dropped; `WAITING`: not answered yet |
//! | `TIME_PASSES n [wall]` | the clocks go on, timers included, or the wall clock alone, which may go back; notices take effect and expire |
//! | `FLUSH NAME [subtree] count=n` | the name is forgotten; that many entries it was |
//! | `UPSTREAM answers\|silent\|unreachable\|dead\|holds` | how the upstream behaves from here on; `dead`: silent, and the pool knows it; after `answers` entries may follow, which take the place of the ranges. `holds` keeps questions until it answers again |
//! | `CHECK_UPSTREAM`, then `ASKED NAME CLASS TYPE [DO] [CD]` lines, or `nothing` | what reached the upstream since the last such check, in order |
//! | `CHECK_METRIC SERIES VALUE` | a line of `/metrics`; `none`: it is not there |
//!
//! `OPT [size=n] [version=n] [DO] [option=CODE[:HEX]] [EDE CODE ["TEXT"]] …` stands at the end of `REPLY` and `QUERY`,
//! or, in an ENTRY, on a line of its own among the additional records; the size is 1232 if not written. The question
//! section of an answer is that of the query, byte for byte, unless written out (after `QUERY RAW` it is none unless
//! written out).
//!
//! Held against every answer without being written: the id comes back, nothing follows the last record, it is no longer
//! than the client takes. A query whose answer is never checked, and a question the upstream has no entry for, are
//! failures.

mod check;
mod message;
mod script;
mod steps;
mod upstream;
mod words;
mod world;

use std::fs;
use std::path::{Path, PathBuf};

use script::KEYWORDS;

fn files() -> Vec<(String, String)> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios");
    let mut files: Vec<PathBuf> = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "rpl"));
    files.sort();
    let name = |file: &PathBuf| format!("tests/scenarios/{}", file.file_name().unwrap().to_string_lossy());
    files.iter().map(|file| (name(file), fs::read_to_string(file).unwrap())).collect()
}

#[test]
fn every_scenario_holds() {
    let files = files();
    assert!(!files.is_empty(), "there are no scenarios");
    let failures: Vec<_> = files.iter().flat_map(|(name, text)| world::run(name, text)).collect();
    assert!(failures.is_empty(), "{} failures\n\n{}\n", failures.len(), failures.join("\n\n"));
}

#[test]
fn every_file_says_what_it_shows_and_every_step_is_used() {
    let files = files();
    let silent: Vec<_> = files.iter().filter(|(_, text)| !text.starts_with("; ")).map(|(name, _)| name).collect();
    assert!(silent.is_empty(), "no comment says which rule these show: {silent:?}");
    let scripts: Vec<_> = files.iter().filter_map(|(_, text)| script::parse(text).ok()).collect();
    let used = |keyword| scripts.iter().any(|script| script.steps.iter().any(|step| step.keyword == keyword));
    let unused: Vec<_> = KEYWORDS.into_iter().filter(|keyword| !used(*keyword)).collect();
    assert!(unused.is_empty(), "no scenario uses {unused:?}");
    assert!(scripts.iter().all(|script| !script.title.is_empty()), "a scenario has no title");
}

/// A scenario that holds; the tests below break it in one place each.
const GOOD: &str = r#"SCENARIO_BEGIN good
CONFIG allow=127.0.0.0/8
RANGE_BEGIN 0 100
    ENTRY_BEGIN
    REPLY QR RD RA NOERROR OPT EDE 9
    SECTION QUESTION
    open.example. IN MX
    SECTION ANSWER
    open.example. 300 IN MX 10 mx.example.
    open.example. 300 IN MX 20 mx.example.
    SECTION ADDITIONAL
    mx.example. 300 IN A 198.51.100.7
    ENTRY_END
RANGE_END
STEP 1 NOTICE authority=mcmc id=N-1 subtree=bad.example expires=+60s
STEP 2 QUERY bad.example. IN A RD OPT DO
STEP 3 CHECK_ANSWER REPLY QR RD RA NOERROR OPT DO EDE 16 "N-1" EDE 4
    SECTION ANSWER
    bad.example. 30 IN A 192.0.2.80
STEP 4 QUERY bad.example. IN TXT RD
STEP 5 CHECK_ANSWER REPLY QR RD RA NOERROR octets=79
    SECTION AUTHORITY
    bad.example. 30 IN SOA bad.example. nobody.invalid. 1 3600 600 86400 30
STEP 6 QUERY oPEN.example. IN MX RD CD OPT
STEP 7 CHECK_ANSWER REPLY QR RD RA CD NOERROR OPT EDE 9
    SECTION QUESTION
    oPEN.example. IN MX
    SECTION ANSWER
    open.example. 300 IN MX 10 mx.example.
    open.example. 300 IN MX 20 mx.example.
    SECTION ADDITIONAL
    mx.example. 300 IN A 198.51.100.7
STEP 8 CHECK_UPSTREAM
    ASKED open.example. IN MX CD
STEP 9 CHECK_METRIC pagar_cache_misses_total 1
STEP 10 QUERY RAW 00
STEP 11 CHECK_ANSWER NO_ANSWER
STEP 12 TIME_PASSES 59
STEP 13 WITHDRAW N-1
STEP 14 UPSTREAM holds
STEP 15 QUERY open.example. IN MX RD
STEP 16 CHECK_ANSWER WAITING
STEP 17 UPSTREAM silent
STEP 18 CHECK_ANSWER REPLY QR RD RA SERVFAIL
SCENARIO_END
"#;

#[test]
fn the_good_scenario_holds() {
    assert_eq!(world::run("good", GOOD), Vec::<String>::new());
}

/// Puts `to` in the place of `from` and expects exactly one failure, at the line of `from`'s step, that says `why`.
#[track_caller]
fn fails(from: &str, to: &str, place: &str, why: &str) {
    assert_eq!(GOOD.matches(from).count(), 1, "{from:?} must stand in the good scenario once");
    let failures = world::run("bad", &GOOD.replace(from, to));
    let one = failures.len() == 1 && failures[0].contains(place) && failures[0].contains(why);
    assert!(one, "{from:?} -> {to:?}: expected {place:?} {why:?}, got {failures:#?}");
}

#[test]
fn a_wrong_answer_is_noticed() {
    let page = "NOERROR OPT DO EDE 16 \"N-1\" EDE 4";
    for (from, to, step) in [
        // header
        ("REPLY QR RD RA NOERROR OPT DO", "REPLY QR RD RA NXDOMAIN OPT DO", 3),
        ("REPLY QR RD RA NOERROR OPT DO", "REPLY QR RA NOERROR OPT DO", 3),
        ("REPLY QR RD RA NOERROR OPT DO", "REPLY QR RD RA AA NOERROR OPT DO", 3),
        ("REPLY QR RD RA NOERROR OPT DO", "REPLY QR RD RA AD NOERROR OPT DO", 3),
        ("REPLY QR RD RA NOERROR OPT DO", "REPLY QR TC RD RA NOERROR OPT DO", 3),
        ("REPLY QR RD RA NOERROR OPT DO", "REPLY OPCODE=4 QR RD RA NOERROR OPT DO", 3),
        ("REPLY QR RD RA CD NOERROR", "REPLY QR RD RA NOERROR", 7),
        // OPT
        (page, "NOERROR", 3),
        (page, "NOERROR OPT DO EDE 16 \"N-1\"", 3),
        (page, "NOERROR OPT DO EDE 4 EDE 16 \"N-1\"", 3),
        (page, "NOERROR OPT DO EDE 15 \"N-1\" EDE 4", 3),
        (page, "NOERROR OPT DO EDE 16 \"N-2\" EDE 4", 3),
        (page, "NOERROR OPT DO EDE 16 EDE 4", 3),
        (page, "NOERROR OPT DO EDE 16 \"N-1\" EDE 4 option=3:00", 3),
        (page, "NOERROR OPT EDE 16 \"N-1\" EDE 4", 3),
        (page, "NOERROR OPT size=512 DO EDE 16 \"N-1\" EDE 4", 3),
        ("NOERROR octets=79", "NOERROR octets=79 OPT", 5),
        ("octets=79", "octets=80", 5),
        // question, records
        ("    oPEN.example. IN MX\n", "    open.example. IN MX\n", 7),
        ("    oPEN.example. IN MX\n", "    oPEN.example. IN A\n", 7),
        ("    oPEN.example. IN MX\n", "", 7),
        ("bad.example. 30 IN A 192.0.2.80", "bad.example. 31 IN A 192.0.2.80", 3),
        ("bad.example. 30 IN A 192.0.2.80", "bad.example. 30 IN A 192.0.2.81", 3),
        ("bad.example. 30 IN A 192.0.2.80", "www.bad.example. 30 IN A 192.0.2.80", 3),
        ("    bad.example. 30 IN A 192.0.2.80\n", "", 3),
        ("nobody.invalid. 1 3600", "nobody.invalid. 2 3600", 5),
        ("SECTION AUTHORITY", "SECTION ANSWER", 5),
        // silence
        ("CHECK_ANSWER NO_ANSWER", "CHECK_ANSWER REPLY QR FORMERR", 11),
        ("CHECK_ANSWER WAITING", "CHECK_ANSWER NO_ANSWER", 16),
        ("CHECK_ANSWER REPLY QR RD RA SERVFAIL", "CHECK_ANSWER NO_ANSWER", 18),
    ] {
        fails(from, to, &format!("STEP {step} CHECK_ANSWER"), "the answer");
    }
}

#[test]
fn a_wrong_order_or_number_of_records_is_noticed() {
    let records = "    open.example. 300 IN MX 10 mx.example.\n    open.example. 300 IN MX 20 mx.example.\n";
    let lines: Vec<_> = records.lines().collect();
    let (head, tail) = GOOD.rsplit_once(records).unwrap();
    for wrong in [lines[0].to_owned(), [lines[1], lines[0]].join("\n"), [lines[0], lines[1], lines[1]].join("\n")] {
        let failures = world::run("bad", &format!("{head}{wrong}\n{tail}"));
        assert!(failures.len() == 1 && failures[0].contains("STEP 7 CHECK_ANSWER"), "{wrong}: {failures:#?}");
    }
}

#[test]
fn the_other_checks_fail_when_they_should() {
    for (from, to, place, why) in [
        ("ASKED open.example. IN MX CD", "ASKED open.example. IN MX", "STEP 8", "the upstream was asked"),
        ("ASKED open.example. IN MX CD", "ASKED open.example. IN MX DO CD", "STEP 8", "the upstream was asked"),
        ("    ASKED open.example. IN MX CD\n", "", "STEP 8", "the upstream was asked"),
        ("misses_total 1", "misses_total 2", "STEP 9", "expected:\n        2\n    got:\n        1"),
        ("misses_total 1", "nothing_total 1", "STEP 9", "none"),
        ("WITHDRAW N-1", "WITHDRAW N-2", "STEP 13", "no notice N-2"),
        ("TIME_PASSES 59", "NOTICE authority=mcmc id=N-2 exact=a.example refused=authority", "STEP 12", "refused"),
        ("TIME_PASSES 59", "NOTICE authority=x id=N-2 kind=unknown exact=a.example", "STEP 12", "refused"),
        ("STEP 18 CHECK_ANSWER REPLY QR RD RA SERVFAIL\n", "", "", "the answer to STEP 15 is never checked"),
        ("STEP 11 CHECK_ANSWER NO_ANSWER\n", "", "STEP 15", "the answer to STEP 10 is never checked"),
        ("CHECK_ANSWER REPLY QR RD RA SERVFAIL", "CHECK_ANSWER WAITING", "STEP 18", "the answer"),
        ("RANGE_BEGIN 0 100", "RANGE_BEGIN 0 5", "STEP 6", "no ENTRY"),
    ] {
        let failures = world::run("bad", &GOOD.replace(from, to));
        let noticed = failures.iter().any(|failure| failure.contains(place) && failure.contains(why));
        assert!(noticed, "{from:?} -> {to:?}: expected {place:?} {why:?}, got {failures:#?}");
    }
}

#[test]
fn a_file_that_is_none_is_refused_with_its_line() {
    for (from, to, place, why) in [
        ("SCENARIO_BEGIN good\n", "", "bad:1:", "begins with SCENARIO_BEGIN"),
        ("SCENARIO_END\n", "", "bad:", "ends without SCENARIO_END"),
        ("SCENARIO_END\n", "SCENARIO_END\nSTEP 99 WITHDRAW N-1\n", "bad:", "behind SCENARIO_END"),
        ("STEP 14 UPSTREAM holds", "STEP 14 UPSTREAM", "bad:40:", "UPSTREAM answers"),
        ("STEP 12 TIME", "STEP 11 TIME", "bad:38:", "ascend"),
        ("TIME_PASSES 59", "TIME_FLIES 59", "bad:38:", "no such step"),
        ("TIME_PASSES 59", "TIME_PASSES soon", "bad:38:", "seconds"),
        ("TIME_PASSES 59", "TIME_PASSES -1", "bad:38:", "wall"),
        ("REPLY QR RD RA SERVFAIL", "REPLY QR RD RA SURVFAIL", "bad:44:", "SURVFAIL"),
        ("SECTION AUTHORITY", "SECTION AUTHORITIES", "bad:", "no such section"),
        ("bad.example. 30 IN A 192.0.2.80", "bad.example. 30 IN A 192.0.2.800", "bad:19:", "not a record"),
        ("bad.example. 30 IN A 192.0.2.80", "bad.example. IN A 192.0.2.80", "bad:19:", "not a record"),
        ("CONFIG allow", "CONFIG permit", "bad:2:", "permit"),
        ("    ENTRY_END\n", "", "bad:13:", "RANGE_END"),
        ("    ASKED open.example. IN MX CD\n", "    open.example. IN MX CD\n", "bad:34:", "no place here"),
        ("subtree=bad.example", "name=bad.example", "bad:15:", "name"),
        ("QUERY RAW 00", "QUERY RAW 0", "bad:36:", "hexadecimal"),
    ] {
        fails(from, to, place, why);
    }
}
