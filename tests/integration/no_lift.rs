//! What must not lift a name: no notice has ended, only files and configurations were handled. A witness asks for the name
//! all the while.

use std::fs;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::client::{ask_a, is_block};
use crate::harness::{Site, config, notice, wait_until};
use crate::swap::Witness;
use crate::upstream::Scripted;

/// The notice that lists what the witness asks for; the same id and sequence with other octets for each `version`.
fn always(version: u32) -> Value {
    let mut notice = notice(1, "always.example", "subtree");
    notice["review_by"] = json!(format!("2027-01-{version:02}T00:00:00+08:00"));
    notice
}

/// Long enough for every wait of the watcher to pass (its longest for a closed file is a tenth of a second).
fn settle() {
    std::thread::sleep(Duration::from_millis(700));
}

#[test]
fn a_notice_that_moves_to_a_file_of_another_name() {
    let upstream = Scripted::with_address("198.51.100.1");
    let site = Site::with(&[upstream.address]);
    site.put("a.json", &always(1));
    let pagar = site.start();
    let witness = Witness::start(pagar.address());
    site.put("b.json", &always(2));
    wait_until("the second file is refused", || pagar.log().contains("b.json"));
    site.remove("notices/a.json");
    settle();
    site.put("c.json", &always(3));
    site.remove("notices/b.json");
    settle();
    drop(witness);
    assert_eq!(pagar.json("/v1/policy")["sources"][0]["problems"], json!([]));
}

#[test]
fn a_notice_that_moves_to_another_directory() {
    let upstream = Scripted::with_address("198.51.100.1");
    let second = "[[source]]\nkind = \"directory\"\npath = \"more\"\nallow_unsigned = true\n";
    let site = Site::new(&(config(&[upstream.address]) + second));
    fs::create_dir(site.path("more")).unwrap();
    site.put("a.json", &always(1));
    let pagar = site.start();
    let witness = Witness::start(pagar.address());
    site.write("more/a.json", &always(2).to_string());
    wait_until("it is refused while the first stands", || pagar.log().contains("refused"));
    site.remove("notices/a.json");
    settle();
    drop(witness);
    assert_eq!(pagar.metric("pagar_notices{state=\"refused\"}"), 0.0, "{}", pagar.log());
}

#[test]
fn an_empty_directory_in_the_place_of_the_one_with_notices() {
    let upstream = Scripted::with_address("198.51.100.1");
    let site = Site::with(&[upstream.address]);
    site.put("a.json", &always(1));
    let pagar = site.start();
    let witness = Witness::start(pagar.address());
    fs::rename(site.path("notices"), site.path("aside")).unwrap();
    fs::create_dir(site.path("notices")).unwrap();
    wait_until("it is a failure", || pagar.metric("pagar_source_failures_total{source=\"notices\"}") > 0.0);
    settle();
    drop(witness);
    site.put("other.json", &notice(2, "other.example", "exact"));
    wait_until("a filled one is followed", || is_block(&ask_a(pagar.address(), "other.example.")));
}

#[test]
fn a_slip_of_the_pen_in_a_path() {
    let upstream = Scripted::with_address("198.51.100.1");
    let text = config(&[upstream.address]);
    let site = Site::new(&text);
    site.put("a.json", &always(1));
    let pagar = site.start();
    let witness = Witness::start(pagar.address());
    site.write(
        "pagar.toml",
        &text.replace("path = \"notices\"", "path = \"notice\"").replace("192.0.2.80", "192.0.2.90"),
    );
    pagar.signal(Signal::HUP);
    wait_until("it is not taken over", || pagar.log().contains("configuration not reloaded"));
    settle();
    drop(witness);
    assert_eq!(pagar.metric("pagar_config_reload_failures_total"), 1.0);
    assert!(pagar.log().contains("notice: error: the directory cannot be read"), "{}", pagar.log());
}

#[test]
fn but_a_source_that_becomes_another_at_the_same_path_lifts_what_it_does_not_list() {
    let upstream = Scripted::with_address("198.51.100.1");
    let text = config(&[upstream.address]);
    let site = Site::new(&text);
    site.put("a.json", &notice(1, "one.example", "exact"));
    let pagar = site.start();
    assert!(is_block(&ask_a(pagar.address(), "one.example.")));
    fs::rename(site.path("notices"), site.path("aside")).unwrap();
    site.write("notices", "two.example\n");
    let list = "kind = \"list\"\npath = \"notices\"\nformat = \"domains\"\nnotice = { id = \"L-1\", authority = \"isp\", \
                category = \"scam\", power = \"s.7\", scope = \"exact\" }\n";
    let directory = "kind = \"directory\"\npath = \"notices\"\nallow_unsigned = true\n";
    site.write("pagar.toml", &text.replace(directory, list));
    pagar.signal(Signal::HUP);
    wait_until("the list is in force", || is_block(&ask_a(pagar.address(), "two.example.")));
    wait_until("what it does not list is lifted", || !is_block(&ask_a(pagar.address(), "one.example.")));
}
