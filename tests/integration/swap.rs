//! Hot swap over files: notices and lists that come, change, break and go while queries run, none of which is lost.

use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::symlink;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread::JoinHandle;

use hickory_proto::op::Message;
use hickory_proto::rr::RecordType;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::client::{Over, addresses, ask_a, ede, exchange, is_block, query};
use crate::harness::{Pagar, Site, config, notice, peer, run, skip, wait_until};
use crate::upstream::Scripted;

const TRUE: &str = "198.51.100.1";

/// Asks all the while for a name that is always listed and one that never is, on UDP and TCP.
pub(crate) struct Witness {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<u32>>,
}

impl Witness {
    pub(crate) fn start(server: SocketAddr) -> Self {
        let stop = Arc::<AtomicBool>::default();
        let until = stop.clone();
        let thread = std::thread::spawn(move || {
            let mut asked = 0;
            while !until.load(Relaxed) {
                for (name, listed) in [("www.always.example.", true), ("never.example.", false)] {
                    let over = if asked % 8 < 2 { Over::Tcp } else { Over::Udp };
                    let octets = query(name, RecordType::A).to_vec().unwrap();
                    let answer = exchange(server, over, &octets).unwrap_or_else(|| panic!("{name}: an answer is lost"));
                    let answer = Message::from_vec(&answer).unwrap();
                    assert_eq!((is_block(&answer), addresses(&answer).len()), (listed, 1), "{name}: {answer:?}");
                    asked += 1;
                }
            }
            asked
        });
        Self { stop, thread: Some(thread) }
    }
}

impl Drop for Witness {
    fn drop(&mut self) {
        self.stop.store(true, Relaxed);
        let asked = self.thread.take().unwrap().join();
        if !std::thread::panicking() {
            assert!(asked.expect("the witness has nothing to complain of") > 0);
        }
    }
}

struct Swap {
    witness: Option<Witness>,
    pagar: Pagar,
    site: Site,
    _upstream: Scripted,
}

impl Swap {
    fn start(prepare: impl FnOnce(&Site)) -> Self {
        Self::with("", prepare)
    }

    fn with(more: &str, prepare: impl FnOnce(&Site)) -> Self {
        let upstream = Scripted::with_address(TRUE);
        let site = Site::new(&(config(&[upstream.address]) + more));
        site.put("always.json", &notice(1, "always.example", "subtree"));
        prepare(&site);
        let pagar = site.start();
        Self { witness: Some(Witness::start(pagar.address())), pagar, site, _upstream: upstream }
    }

    fn is_listed(&self, name: &str) -> bool {
        let answer = ask_a(self.pagar.address(), name);
        assert_eq!(addresses(&answer).len(), 1, "{answer:?}");
        is_block(&answer)
    }

    fn until_listed(&self, name: &str) {
        wait_until(&format!("{name} is listed"), || self.is_listed(name));
    }

    fn until_lifted(&self, name: &str) {
        wait_until(&format!("{name} is lifted"), || !self.is_listed(name));
    }

    /// What `/v1/policy` says about a source.
    fn source(&self, name: &str) -> Value {
        let policy = self.pagar.json("/v1/policy");
        let sources = policy["sources"].as_array().unwrap();
        sources.iter().find(|source| source["name"] == name).unwrap_or_else(|| panic!("{policy}")).clone()
    }

    fn metric_of(&self, family: &str, source: &str) -> f64 {
        self.pagar.metric(&format!("pagar_source_{family}{{source=\"{source}\"}}"))
    }
}

impl Drop for Swap {
    fn drop(&mut self) {
        drop(self.witness.take()); // before the server goes
    }
}

#[test]
fn a_notice_comes_changes_and_goes() {
    let swap = Swap::start(|_| ());
    assert!(!swap.is_listed("a.example."));
    let first = swap.pagar.metric("pagar_policy_serial");
    swap.site.put("2.json", &notice(2, "a.example", "exact"));
    swap.until_listed("a.example.");
    assert!(!swap.is_listed("www.a.example."), "exact");
    assert_eq!(swap.pagar.metric("pagar_policy_names"), 2.0);
    assert!(swap.pagar.metric("pagar_policy_serial") > first);

    let mut edited = notice(2, "b.example", "subtree");
    edited["targets"].as_array_mut().unwrap().push(json!({ "item": "2", "name": "c.example", "scope": "exact" }));
    swap.site.put("2.json", &edited);
    swap.until_listed("www.b.example.");
    assert!(swap.is_listed("c.example.") && !swap.is_listed("a.example."), "one notice is taken as a whole");

    swap.site.remove("notices/2.json");
    swap.until_lifted("b.example.");
    assert!(!swap.is_listed("c.example."));
    assert_eq!(swap.pagar.metric("pagar_policy_names"), 1.0);
    assert!(swap.pagar.metric("pagar_notice_enforce_seconds_count") >= 2.0);
    // observed when the answers have changed already
    wait_until("the lift is counted", || swap.pagar.metric("pagar_notice_lift_seconds_count") >= 1.0);
}

#[test]
fn a_name_stays_listed_until_its_last_notice_ends() {
    let swap = Swap::start(|site| {
        site.put("2.json", &notice(2, "twice.example", "subtree"));
        site.put("3.json", &notice(3, "twice.example", "subtree"));
    });
    let owner = || ede(&ask_a(swap.pagar.address(), "twice.example."))[0].1.clone();
    let (first, other) = if owner() == "N-2" { ("2", "N-3") } else { ("3", "N-2") };
    swap.site.remove(&format!("notices/{first}.json"));
    wait_until("the other owns it", || owner() == other);
    assert!(swap.is_listed("twice.example."));
}

#[test]
fn a_burst_is_taken_whole() {
    let swap = Swap::start(|_| ());
    for n in 2..102 {
        swap.site.put(&format!("{n}.json"), &notice(n, &format!("burst{n}.example"), "exact"));
    }
    wait_until("all are in force", || swap.pagar.metric("pagar_policy_names") == 101.0);
    for n in [2, 50, 101] {
        assert!(swap.is_listed(&format!("burst{n}.example.")));
    }
    (2..102).for_each(|n| swap.site.remove(&format!("notices/{n}.json")));
    wait_until("all are lifted", || swap.pagar.metric("pagar_policy_names") == 1.0);
}

#[test]
fn a_symlink_swaps_the_whole_directory() {
    let swap = Swap::start(|site| {
        fs::remove_dir_all(site.path("notices")).unwrap();
        for (release, name) in [("r1", "old.example"), ("r2", "new.example")] {
            fs::create_dir(site.path(release)).unwrap();
            site.write(&format!("{release}/always.json"), &notice(1, "always.example", "subtree").to_string());
            site.write(&format!("{release}/2.json"), &notice(2, name, "exact").to_string());
        }
        symlink("r1", site.path("notices")).unwrap();
    });
    assert!(swap.is_listed("old.example.") && !swap.is_listed("new.example."));
    for (release, comes, goes) in [("r2", "new.example.", "old.example."), ("r1", "old.example.", "new.example.")] {
        symlink(release, swap.site.path("next")).unwrap();
        fs::rename(swap.site.path("next"), swap.site.path("notices")).unwrap();
        swap.until_listed(comes);
        swap.until_lifted(goes);
    }
}

#[test]
fn a_broken_notice_keeps_its_last_good_content_and_is_reported() {
    let swap = Swap::start(|site| site.put("2.json", &notice(2, "kept.example", "exact")));
    let text = fs::read_to_string(swap.site.path("notices/2.json")).unwrap();
    let broken = text.replace("\"category\":", "\n\"categry\":");
    assert_ne!(broken, text);
    swap.site.write("notices/2.json", &broken);
    wait_until("it is reported", || swap.metric_of("problems", "notices") > 0.0);
    assert!(swap.is_listed("kept.example."), "its last good content stays in force");
    wait_until("the API says so", || swap.source("notices")["problems"] != json!([]));
    let problems = swap.source("notices")["problems"].to_string();
    for word in ["2.json:2:", "categry", "category"] {
        assert!(problems.contains(word), "{word}: {problems}");
        wait_until("it is logged", || swap.pagar.log().contains(word));
    }
    // the rest goes on
    swap.site.put("3.json", &notice(3, "other.example", "exact"));
    swap.until_listed("other.example.");
    swap.site.put("2.json", &notice(2, "repaired.example", "exact"));
    swap.until_listed("repaired.example.");
    assert!(!swap.is_listed("kept.example."));
    wait_until("nothing is wrong any more", || swap.metric_of("problems", "notices") == 0.0);
    wait_until("the API says so", || swap.source("notices")["problems"] == json!([]));
    // more than are kept as text are counted
    let mut many = notice(3, "other.example", "exact");
    for item in 0..60 {
        let target = json!({ "item": format!("u{item}"), "name": "http://a.example/", "scope": "exact" });
        many["targets"].as_array_mut().unwrap().push(target);
    }
    (many["id"], many["sequence"]) = (json!("N-4"), json!(4));
    swap.site.put("4.json", &many);
    wait_until("all are counted", || swap.metric_of("problems", "notices") == 60.0);
    swap.site.remove("notices/4.json");
    wait_until("nothing is wrong any more", || swap.metric_of("problems", "notices") == 0.0);
    // what is half written is not half believed
    fs::write(swap.site.path("notices/2.json"), &text[..text.len() / 2]).unwrap();
    wait_until("it is reported", || swap.metric_of("problems", "notices") > 0.0);
    assert!(swap.is_listed("repaired.example."));
}

#[test]
fn a_list_is_replaced_as_a_whole() {
    let more = r#"
[[source]]
kind = "list"
path = "scam.hosts"
format = "hosts"
notice = { id = "S-1", authority = "isp", category = "scam", power = "terms s.7", scope = "subtree" }
"#;
    let swap = Swap::with(more, |site| site.write("scam.hosts", "0.0.0.0 one.example\n0.0.0.0 two.example\n"));
    assert!(swap.is_listed("www.one.example."));
    swap.site.write("scam.hosts", "0.0.0.0 two.example\n0.0.0.0 three.example\n");
    swap.until_listed("three.example.");
    assert!(swap.is_listed("two.example.") && !swap.is_listed("one.example."));
    assert_eq!(swap.metric_of("entries", "scam.hosts"), 2.0);
    // a list that is gone is a failure, not an empty list
    swap.site.remove("scam.hosts");
    wait_until("it is missed", || swap.metric_of("failures_total", "scam.hosts") > 0.0);
    assert!(swap.is_listed("three.example."));
    wait_until("the API says so", || swap.source("scam.hosts")["last_error"].is_string());
    wait_until("it is logged", || swap.pagar.log().contains("scam.hosts"));
    swap.site.write("scam.hosts", "0.0.0.0 four.example\n");
    swap.until_listed("four.example.");
    wait_until("it has recovered", || swap.source("scam.hosts")["last_error"].is_null());
    assert!(!swap.is_listed("three.example."));
}

#[test]
fn a_directory_that_vanishes_keeps_its_notices_in_force() {
    let swap = Swap::start(|site| site.put("2.json", &notice(2, "kept.example", "exact")));
    fs::rename(swap.site.path("notices"), swap.site.path("away")).unwrap();
    wait_until("it is missed", || swap.metric_of("failures_total", "notices") > 0.0);
    assert!(swap.is_listed("kept.example."));
    wait_until("the API says so", || swap.source("notices")["last_error"].to_string().contains("notices"));
    assert_eq!(swap.pagar.metric("pagar_policy_names"), 2.0);
    swap.site.write("away/3.json", &notice(3, "returned.example", "exact").to_string());
    fs::rename(swap.site.path("away"), swap.site.path("notices")).unwrap();
    swap.until_listed("returned.example.");
    assert!(swap.is_listed("kept.example."));
    wait_until("it has recovered", || swap.source("notices")["last_error"].is_null());
    // and it is watched again
    swap.site.put("4.json", &notice(4, "watched.example", "exact"));
    swap.until_listed("watched.example.");
}

#[test]
fn a_notice_takes_effect_and_expires_by_the_clock() {
    let swap = Swap::start(|_| ());
    let now = Timestamp::now();
    let (effective, expires) = (now + SignedDuration::from_secs(3), now + SignedDuration::from_secs(6));
    let mut timed = notice(2, "timed.example", "exact");
    timed["effective_at"] = effective.to_string().into();
    timed["expires_at"] = expires.to_string().into();
    swap.site.put("2.json", &timed);
    let check = || swap.pagar.json("/v1/check?name=timed.example");
    wait_until("it is known", || check().to_string().contains("N-2"));
    swap.until_listed("timed.example.");
    assert!(Timestamp::now() >= effective, "not before its time");
    wait_until("the figures follow", || swap.pagar.metric("pagar_policy_names") == 2.0);
    swap.until_lifted("timed.example.");
    assert!(Timestamp::now() >= expires, "not before its time");
    wait_until("the figures follow", || swap.pagar.metric("pagar_notices{state=\"expired\"}") == 1.0);
    assert_eq!(check()["others"][0]["state"], "expired");
    assert_eq!(addresses(&ask_a(swap.pagar.address(), "timed.example.")), [TRUE.parse::<IpAddr>().unwrap()]);
}

#[test]
fn a_source_that_cannot_be_watched_is_followed_all_the_same_and_is_no_failure() {
    let (Some(unshare), text) = (peer("unshare"), config(&["127.0.0.1:9".parse().unwrap()])) else { return };
    let site = Site::new(&text);
    let limit = "echo 0 > /proc/sys/user/max_inotify_watches || exit 77; exec \"$0\" \"$@\"";
    let probe = run(Command::new(&unshare).args(["--map-root-user", "sh", "-c", limit, "true"]));
    if probe.code != Some(0) {
        return skip("needs a user namespace with a limit of its own");
    }
    let mut command = Command::new(unshare);
    command.args(["--map-root-user", "sh", "-c", limit, env!("CARGO_BIN_EXE_pagar")]);
    let pagar = Pagar::launch(&mut command, &site.path("pagar.toml"), &[]);
    let source = || pagar.json("/v1/policy")["sources"][0].clone();
    wait_until("it is said", || source()["problems"][0].to_string().contains("cannot be watched"));
    assert!(pagar.log().contains("WARN") && !pagar.log().contains("ERROR"), "{}", pagar.log());
    site.put("1.json", &notice(1, "later.example", "exact"));
    wait_until("it is followed", || is_block(&ask_a(pagar.address(), "later.example.")));
    assert_eq!((source()["last_error"].clone(), source()["problems"].as_array().unwrap().len()), (json!(null), 1));
    assert_eq!(pagar.metric("pagar_source_failures_total{source=\"notices\"}"), 0.0);
    assert_eq!(pagar.metric("pagar_source_problems{source=\"notices\"}"), 1.0);
    assert!(pagar.metric("pagar_source_last_success_timestamp_seconds{source=\"notices\"}") > 0.0);
}
