//! What `deploy/` tells operators about the program is what the program does: its metrics stand in the man page, and
//! every alert has been seen to fire and not to fire.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use crate::harness::pagar;
use crate::signed::Signed;

fn deployed(file: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy").join(file)).unwrap()
}

/// The metrics the METRICS section of pagar(1) lists.
fn documented() -> BTreeSet<String> {
    let page = deployed("man/pagar.1");
    let (_, section) = page.split_once(".Sh METRICS").unwrap();
    let (list, _) = section.split_once(".El").unwrap();
    let words = list.lines().filter_map(|line| line.strip_prefix(".It Li ")).flat_map(|line| line.split(" , "));
    words.map(|word| word.trim_end_matches([' ', ',']).split('{').next().unwrap().to_owned()).collect()
}

/// A feed that is read, in vain, and one that is published.
const FEEDS: &str = "[[source]]\nkind = \"pull\"\nurl = \"http://127.0.0.1:1/\"\nauthority = \"mcmc\"\n\
    [[feed]]\nauthority = \"mcmc\"\nkey = \"feed.jwk\"\nnotices = \"notices\"\n";

#[test]
fn the_man_page_has_every_metric_and_no_other() {
    // sources, an upstream and a feed, whose series depend on the configuration, and an authority that has numbered a notice
    let signed = Signed::with(1, FEEDS);
    let feed = pagar(&["keys", "generate", "--out", signed.site.path("feed.jwk").to_str().unwrap()]);
    assert_eq!(feed.code, Some(0), "{feed:?}");
    let server = signed.start();
    signed.order("1.jws", &signed.mcmc.restrict(1, &["bad.example"]));
    signed.receipt("1.jws", "enforced");
    let (_, text) = server.get("/metrics");
    let served: BTreeSet<String> =
        text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next().map(str::to_owned)).collect();
    assert!(served.len() > 50, "{served:?}");
    let documented = documented();
    let missing: Vec<_> = served.difference(&documented).collect();
    let gone: Vec<_> = documented.difference(&served).collect();
    assert!(missing.is_empty() && gone.is_empty(), "not in pagar(1): {missing:?}; only there: {gone:?}");
}

#[test]
fn every_alert_is_tested_both_ways_and_asks_for_metrics_there_are() {
    let (rules, tests) = (deployed("prometheus/pagar.rules.yml"), deployed("prometheus/pagar.rules.test.yml"));
    let alerts: Vec<_> = rules.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).collect();
    assert!(alerts.len() > 20, "{alerts:?}");
    for alert in alerts {
        assert!(tests.contains(&format!("{{alertname: {alert}, eval_time:")), "no case in which {alert} does not fire");
        assert!(tests.contains(&format!("- alertname: {alert}\n")), "no case in which {alert} fires");
    }
    let documented = documented();
    for word in rules
        .split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
        .filter(|word| (word.starts_with("pagar_") || word.starts_with("process_")) && !word.ends_with('_'))
    {
        assert!(documented.contains(word), "the rules ask for {word}");
    }
}
