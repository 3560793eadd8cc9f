//! The policy over a restart: what was stored is taken over, if a list is still what it was, or a source cannot be read.

use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::PermissionsExt;

use rustix::process::Signal;

use crate::client::{ask_a, is_block};
use crate::harness::{Pagar, Site, config, notice, wait_until};
use crate::upstream::Scripted;

/// More than go into the policy one by one.
const NAMES: usize = 6_000;

fn list(site: &Site, file: &str, names: impl Iterator<Item = String>) {
    let text = names.fold(String::new(), |mut text, name| {
        let _ = writeln!(text, "{name}");
        text
    });
    site.write(&format!("{file}.new"), &text);
    fs::rename(site.path(&format!("{file}.new")), site.path(file)).unwrap();
}

fn names(prefix: &'static str) -> impl Iterator<Item = String> {
    (0..NAMES).map(move |n| format!("{prefix}-{n}.example"))
}

fn source(file: &str, id: &str, sensitivity: &str) -> String {
    format!(
        "[[source]]\nkind = \"list\"\npath = \"{file}\"\nformat = \"domains\"\n\
         notice = {{ id = \"{id}\", authority = \"mcmc\", category = \"scam\", power = \"CMA\", scope = \"subtree\", \
         sensitivity = \"{sensitivity}\" }}\n"
    )
}

/// A site with a list beside the directory of notices.
fn site(upstream: &Scripted, more: &str) -> Site {
    Site::new(&(config(&[upstream.address]) + &source("a.domains", "LIST-1", "public") + more))
}

fn stop(mut pagar: Pagar) -> String {
    pagar.signal(Signal::TERM);
    assert!(pagar.wait().success());
    pagar.log()
}

fn listed(pagar: &Pagar, name: &str) -> bool {
    is_block(&ask_a(pagar.address(), &format!("www.{name}.")))
}

#[test]
fn a_list_that_is_the_same_is_taken_over_with_what_was_wrong_with_it() {
    let upstream = Scripted::with_address("198.51.100.1");
    let site = site(&upstream, "");
    list(&site, "a.domains", names("a").chain(["no name".into()]));
    let first = site.start();
    assert!(listed(&first, "a-7.example"));
    let digest = first.json("/v1/policy")["digest"].clone();
    let log = stop(first);
    let stored = fs::metadata(site.path("state/policy")).unwrap_or_else(|error| panic!("{error}: {log}"));
    assert_eq!(stored.permissions().mode() & 0o777, 0o600);

    let second = site.start();
    assert!(listed(&second, "a-7.example") && listed(&second, "a-5999.example") && !listed(&second, "b-7.example"));
    let policy = second.json("/v1/policy");
    assert_eq!(policy["digest"], digest);
    assert_eq!(policy["names"], NAMES);
    let problems = policy["sources"][1]["problems"].to_string();
    assert!(problems.contains("a.domains:6001") && problems.contains("more than one word"), "{problems}");
    // and it is watched as any other
    list(&site, "a.domains", names("b"));
    wait_until("the list is changed", || listed(&second, "b-7.example") && !listed(&second, "a-7.example"));
}

#[test]
fn a_list_that_changed_meanwhile_is_read_and_one_that_is_gone_stays_in_force() {
    let upstream = Scripted::with_address("198.51.100.1");
    let site = site(&upstream, "");
    list(&site, "a.domains", names("a"));
    stop(site.start());
    list(&site, "a.domains", names("b"));
    let changed = site.start();
    assert!(listed(&changed, "b-7.example") && !listed(&changed, "a-7.example"));
    stop(changed);
    fs::remove_file(site.path("a.domains")).unwrap();
    let gone = site.start();
    assert!(listed(&gone, "b-7.example"), "{}", gone.log());
    assert!(gone.metric("pagar_source_failures_total{source=\"a.domains\"}") >= 1.0);
    list(&site, "a.domains", names("c"));
    wait_until("it is back", || listed(&gone, "c-7.example") && !listed(&gone, "b-7.example"));
}

#[test]
fn a_source_taken_out_of_the_configuration_is_lifted_and_so_is_one_whose_notice_changed() {
    let upstream = Scripted::with_address("198.51.100.1");
    let both = site(&upstream, &source("b.domains", "LIST-2", "public"));
    list(&both, "a.domains", names("a"));
    list(&both, "b.domains", names("b"));
    let first = both.start();
    assert!(listed(&first, "a-7.example") && listed(&first, "b-7.example"));
    stop(first);
    let text = fs::read_to_string(both.path("pagar.toml")).unwrap();
    let changed = text.replace(&source("b.domains", "LIST-2", "public"), "").replace("LIST-1", "LIST-3");
    fs::write(both.path("pagar.toml"), changed).unwrap();
    let second = both.start();
    assert!(listed(&second, "a-7.example") && !listed(&second, "b-7.example"));
    let why = second.json("/v1/check?name=a-7.example");
    assert_eq!(why["rule"]["notice"], "LIST-3", "{why}");
}

#[test]
fn secret_names_are_stored_sealed_or_not_at_all() {
    let upstream = Scripted::with_address("198.51.100.1");
    let site = site(&upstream, &source("s.domains", "SECRET-1", "secret"));
    list(&site, "a.domains", names("a"));
    list(&site, "s.domains", names("zqxj").chain(["a-7.example".into()]));
    let log = stop(site.start());
    assert!(!site.path("state/policy").exists());
    assert!(log.contains("no [ledger] key_file"), "{log}");

    site.write("names.key", &"0123456789abcdef".repeat(4));
    fs::set_permissions(site.path("names.key"), PermissionsExt::from_mode(0o600)).unwrap();
    let text = fs::read_to_string(site.path("pagar.toml")).unwrap();
    let table = text.find("[ledger]").map_or_else(
        || format!("{text}[ledger]\nkey_file = \"names.key\"\n"),
        |_| text.replace("[ledger]", "[ledger]\nkey_file = \"names.key\""),
    );
    fs::write(site.path("pagar.toml"), table).unwrap();
    stop(site.start());
    let stored = fs::read(site.path("state/policy")).unwrap();
    assert!(!stored.windows(4).any(|octets| octets == b"zqxj"));
    fs::remove_file(site.path("s.domains")).unwrap();
    fs::remove_file(site.path("a.domains")).unwrap();
    let last = site.start();
    for name in ["zqxj-7.example", "a-7.example", "a-8.example"] {
        assert!(listed(&last, name), "{name}");
    }
    assert!(!last.log().contains("zqxj"));
}

#[test]
fn a_damaged_file_is_said_to_be_and_the_lists_are_read() {
    let upstream = Scripted::with_address("198.51.100.1");
    let site = site(&upstream, "");
    list(&site, "a.domains", names("a"));
    stop(site.start());
    let mut octets = fs::read(site.path("state/policy")).unwrap();
    let middle = octets.len() / 2;
    octets[middle] ^= 1;
    fs::write(site.path("state/policy"), octets).unwrap();
    let pagar = site.start();
    assert!(listed(&pagar, "a-7.example"));
    let log = pagar.log();
    assert!(log.contains("the stored policy is not used") && log.contains("state/policy"), "{log}");
    assert_eq!(pagar.metric("pagar_state_read_failures_total"), 1.0);
}

/// Whether the file of single notices has these octets.
fn is_stored(site: &Site, octets: &str) -> bool {
    let stored = fs::read(site.path("state/policy.recent")).unwrap_or_default();
    stored.windows(octets.len()).any(|part| part == octets.as_bytes())
}

fn kill(mut pagar: Pagar) {
    pagar.signal(Signal::KILL);
    pagar.wait();
}

#[test]
fn single_notices_of_a_directory_that_is_gone_stay_in_force() {
    let upstream = Scripted::with_address("198.51.100.1");
    let site = Site::with(&[upstream.address]);
    site.put("1.json", &notice(1, "stays.example", "subtree"));
    let first = site.start();
    site.put("2.json", &notice(2, "leaves.example", "subtree"));
    wait_until("it is stored", || is_stored(&site, "stays") && is_stored(&site, "leaves"));
    let mode = fs::metadata(site.path("state/policy.recent")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let digest = first.json("/v1/policy")["digest"].clone();
    kill(first);

    fs::rename(site.path("notices"), site.path("elsewhere")).unwrap();
    let second = site.start();
    assert!(listed(&second, "stays.example") && listed(&second, "leaves.example"), "{}", second.log());
    let policy = second.json("/v1/policy");
    assert_eq!((&policy["digest"], &policy["sources"][0]["entries"]), (&digest, &serde_json::json!(2)));
    assert!(policy["sources"][0]["last_error"].to_string().contains("cannot be read"), "{policy}");
    assert!(second.metric("pagar_source_failures_total{source=\"notices\"}") >= 1.0);
    assert_eq!(second.metric("pagar_source_last_success_timestamp_seconds{source=\"notices\"}"), 0.0);
    kill(second);

    // a further start still knows them; when the directory is back, what it has no more is lifted
    let third = site.start();
    assert!(listed(&third, "stays.example") && listed(&third, "leaves.example"));
    fs::remove_file(site.path("elsewhere/2.json")).unwrap();
    fs::write(site.path("elsewhere/3.json"), notice(3, "new.example", "subtree").to_string()).unwrap();
    fs::rename(site.path("elsewhere"), site.path("notices")).unwrap();
    wait_until("the directory is back", || listed(&third, "new.example") && !listed(&third, "leaves.example"));
    assert!(listed(&third, "stays.example"));
    wait_until("what is lifted is stored no more", || is_stored(&site, "new") && !is_stored(&site, "leaves"));
}

#[test]
fn a_notice_deleted_while_it_was_stopped_does_not_come_back() {
    let upstream = Scripted::with_address("198.51.100.1");
    let site = Site::with(&[upstream.address]);
    site.put("1.json", &notice(1, "stays.example", "subtree"));
    site.put("2.json", &notice(2, "leaves.example", "subtree"));
    stop(site.start());
    assert!(is_stored(&site, "leaves"));
    site.remove("notices/2.json");
    let second = site.start();
    assert!(listed(&second, "stays.example") && !listed(&second, "leaves.example"));
    wait_until("it is stored no more", || !is_stored(&site, "leaves"));
    stop(second);
    // nor does one whose source the configuration has no more, or does not believe any more
    fs::rename(site.path("notices"), site.path("elsewhere")).unwrap();
    let text = fs::read_to_string(site.path("pagar.toml")).unwrap();
    fs::write(site.path("pagar.toml"), text.replace("allow_unsigned = true", "allow_unsigned = false")).unwrap();
    assert_eq!(site.run(&["serve"]).code, Some(3), "there is no policy left");
}

#[test]
fn single_secret_notices_are_stored_sealed_or_not_at_all() {
    let upstream = Scripted::with_address("198.51.100.1");
    let site = Site::with(&[upstream.address]);
    let mut secret = notice(1, "zqxj.example", "subtree");
    secret["sensitivity"] = serde_json::json!("secret");
    site.put("1.json", &secret);
    site.put("2.json", &notice(2, "open.example", "subtree"));
    let log = stop(site.start());
    assert!(is_stored(&site, "open") && !is_stored(&site, "zqxj") && !is_stored(&site, "N-1"));
    assert_eq!(log.matches("no [ledger] key_file").count(), 1, "{log}");

    site.write("names.key", &"0123456789abcdef".repeat(4));
    fs::set_permissions(site.path("names.key"), PermissionsExt::from_mode(0o600)).unwrap();
    let text = fs::read_to_string(site.path("pagar.toml")).unwrap();
    fs::write(site.path("pagar.toml"), text.replace("[ledger]", "[ledger]\nkey_file = \"names.key\"")).unwrap();
    stop(site.start());
    assert!(is_stored(&site, "N-1") && !is_stored(&site, "zqxj"));
    fs::rename(site.path("notices"), site.path("elsewhere")).unwrap();
    let last = site.start();
    assert!(listed(&last, "zqxj.example") && listed(&last, "open.example"));
    assert!(!last.log().contains("zqxj"));
}

#[test]
fn a_short_list_that_is_gone_stays_in_force() {
    let upstream = Scripted::with_address("198.51.100.1");
    let site = site(&upstream, "");
    list(&site, "a.domains", names("a").take(100).chain(["no name".into()]));
    stop(site.start());
    let second = site.start();
    assert!(listed(&second, "a-7.example"));
    let problems = second.json("/v1/policy")["sources"][1]["problems"].to_string();
    assert!(problems.contains("a.domains:101"), "it is taken over with what was wrong with it: {problems}");
    stop(second);
    fs::remove_file(site.path("a.domains")).unwrap();
    let third = site.start();
    assert!(listed(&third, "a-7.example") && !listed(&third, "a-100.example"));
    list(&site, "a.domains", names("b").take(100));
    wait_until("it is back", || listed(&third, "b-7.example") && !listed(&third, "a-7.example"));
}

#[test]
fn what_was_lifted_from_a_list_stays_lifted() {
    let upstream = Scripted::with_address("198.51.100.1");
    let site = Site::new(&(config(&[upstream.address]) + &source("a.domains", "LIST-1", "public") + "guard = false\n"));
    list(&site, "a.domains", names("a"));
    let first = site.start();
    wait_until("it is stored", || site.path("state/policy").exists());
    list(&site, "a.domains", names("a").take(100)); // so few that they are changed one by one
    wait_until("most are lifted", || !listed(&first, "a-5999.example"));
    stop(first);
    fs::remove_file(site.path("a.domains")).unwrap();
    let second = site.start();
    assert!(!listed(&second, "a-5999.example"), "it was lifted; that the list cannot be read is another matter");
}

#[test]
fn an_order_that_changed_does_not_come_back_with_a_list_that_is_gone() {
    let upstream = Scripted::with_address("198.51.100.1");
    let site = site(&upstream, "");
    list(&site, "a.domains", names("a"));
    stop(site.start());
    fs::remove_file(site.path("a.domains")).unwrap();
    let text = fs::read_to_string(site.path("pagar.toml")).unwrap();
    fs::write(site.path("pagar.toml"), text.replace("scope = \"subtree\"", "scope = \"exact\"")).unwrap();
    let pagar = site.start();
    assert!(!listed(&pagar, "a-7.example"), "only as it was ordered then, and that is no order any more");
}

#[test]
fn names_that_became_secret_are_not_left_as_they_are() {
    let upstream = Scripted::with_address("198.51.100.1");
    let site = site(&upstream, "");
    list(&site, "a.domains", names("a"));
    stop(site.start());
    assert!(site.path("state/policy").exists());
    let text = fs::read_to_string(site.path("pagar.toml")).unwrap();
    fs::write(site.path("pagar.toml"), text.replace("sensitivity = \"public\"", "sensitivity = \"secret\"")).unwrap();
    let pagar = site.start();
    assert!(listed(&pagar, "a-7.example"));
    stop(pagar);
    assert!(!site.path("state/policy").exists());
}
