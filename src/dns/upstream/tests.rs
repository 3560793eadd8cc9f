//! Which upstreams a question goes to.

use std::sync::atomic::AtomicU64;

use super::*;
use crate::dns::Strategy;

fn name(text: &str) -> DnsName {
    DnsName::from_text(text).unwrap()
}

fn question(text: &str, qtype: u16) -> Question {
    let section = [name(text).as_wire(), &qtype.to_be_bytes(), &[0, 1]].concat();
    Question { section, dnssec_ok: false, checking_disabled: false }
}

fn upstream(last: u8, zones: &[&str]) -> UpstreamConfig {
    let zones = zones.iter().map(|zone| name(zone)).collect();
    UpstreamConfig { address: ([127, 0, 0, last], 9).into(), trust_ad: false, zones }
}

fn settings(upstreams: Vec<UpstreamConfig>) -> Settings {
    Settings {
        allow: [].into_iter().collect(),
        upstreams,
        forwarding: Forwarding::default(),
        max_ttl: 60,
        access: crate::dns::access::Settings::default(),
        exempt: crate::model::Exemptions::default(),
        prefetch: false,
        stale: None,
        tcp: Default::default(),
        proxy: Default::default(),
        identity: crate::dns::identity::Identity::default(),
        local: Arc::default(),
    }
}

fn pool(settings: &Settings) -> Pool {
    let metrics = Arc::new(Metrics::new("0", "0").unwrap());
    Pool::new(settings, metrics, Clock::Manual(Arc::new(AtomicU64::new(0))), 64)
}

/// The last octets of those who are asked, in order.
fn asked(pool: &Pool, text: &str, qtype: u16, strategy: Strategy) -> Vec<u8> {
    let table = pool.table.load();
    let ranked = table.group(&question(text, qtype)).unwrap().ranked(strategy);
    let last = |server: Arc<Server>| server.address().to_string().split(['.', ':']).nth(3).unwrap().parse().unwrap();
    ranked.into_iter().map(last).collect()
}

#[tokio::test]
async fn the_longest_zone_that_encloses_the_name_wins() {
    let settings = settings(vec![
        upstream(1, &["."]),
        upstream(2, &["corp.example", "10.in-addr.arpa"]),
        upstream(3, &["lab.corp.example"]),
        upstream(4, &["corp.example", r"odd\.la\255bel.example"]),
    ]);
    let pool = pool(&settings);
    for (text, expected) in [
        (".", vec![1]),
        ("example", vec![1]),
        ("corp.example", vec![2, 4]),
        ("www.corp.example", vec![2, 4]),
        ("notcorp.example", vec![1]),
        ("corp.example.test", vec![1]),
        ("1.2.3.10.in-addr.arpa", vec![2]),
        ("110.in-addr.arpa", vec![1]),
        ("a.b.lab.corp.example", vec![3]),
        (r"www.odd\.la\255bel.example", vec![4]),
        ("odd.label.example", vec![1]),
    ] {
        assert_eq!(asked(&pool, text, rtype::A, Strategy::Ordered), expected, "{text}");
    }
    let zones: Vec<_> = settings.forwarded_zones().map(ToString::to_string).collect();
    assert_eq!(zones.len(), 5, "with its repetitions, without the root: {zones:?}");
}

#[tokio::test]
async fn the_ds_of_an_apex_belongs_to_the_zone_above() {
    let pool = pool(&settings(vec![upstream(1, &["."]), upstream(2, &["corp.example"])]));
    let ds = |text| asked(&pool, text, rtype::DS, Strategy::Ordered);
    assert_eq!((ds("corp.example"), ds("www.corp.example"), ds(".")), (vec![1], vec![2], vec![1]));
}

#[tokio::test]
async fn spread_takes_turns_and_fastest_tries_the_unknown() {
    let pool = pool(&settings((1..4).map(|n| upstream(n, &["."])).collect()));
    let first = |strategy| asked(&pool, "www.example", rtype::A, strategy)[0];
    let turns: Vec<_> = (0..6).map(|_| first(Strategy::Spread)).collect();
    assert_eq!(turns, [1, 2, 3, 1, 2, 3]);
    let explored = (0..1_000).filter(|_| first(Strategy::Fastest) != 1).count();
    assert!((5..200).contains(&explored), "about one in twenty: {explored}");
    assert_eq!(first(Strategy::Ordered), 1);
}

#[tokio::test]
async fn a_reload_keeps_what_stays() {
    let before = settings(vec![upstream(1, &["."]), upstream(2, &["."])]);
    let pool = pool(&before);
    let server = |at: usize| Arc::as_ptr(&pool.table.load().minded[at].server);
    let (first, second) = (server(0), server(1));
    pool.reconfigure(&settings(vec![upstream(2, &["corp.example", "."])]));
    assert_eq!(server(0), second, "other zones, the same server");
    assert!(!pool.metrics.text().contains("127.0.0.1:9"), "its series have ended");
    let trusting = UpstreamConfig { trust_ad: true, ..upstream(2, &["."]) };
    pool.reconfigure(&settings(vec![trusting]));
    assert!(server(0) != second && first != second);
    assert!(pool.is_healthy(&question("www.example", rtype::A)), "until it is found not to be");
}
