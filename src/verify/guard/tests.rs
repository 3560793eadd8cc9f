//! Every reason, and every way a target can touch a name: equal, within, around.

use std::time::Instant;

use proptest::prelude::*;

use super::names::{parse, shipped};
use super::*;

fn wire(name: &str) -> Vec<u8> {
    DnsName::from_text(name).unwrap().as_wire().to_vec()
}

fn guard(names: &[(&str, Quarantine)]) -> Guard {
    Guard::new(names.iter().map(|(name, why)| (parse(name).unwrap().remove(0), *why)))
}

fn with_defaults() -> Guard {
    Guard::new(shipped().into_iter().map(|name| (name, Quarantine::Protected)))
}

/// The codes for an exact target and for a subtree.
#[track_caller]
fn codes(guard: &Guard, name: &str) -> [Option<&'static str>; 2] {
    [Scope::Exact, Scope::Subtree].map(|scope| guard.judge(&wire(name), scope).map(Quarantine::code))
}

#[test]
fn the_root_and_single_labels_are_refused() {
    assert_eq!(check(b"\x00"), Err(Refusal::Root));
    assert_eq!(check(b"\x02my\x00"), Err(Refusal::TopLevel));
    assert_eq!(check(b"\x01a\x02my\x00"), Ok(()));
}

#[test]
fn a_listed_public_suffix_waits_whatever_its_scope() {
    let guard = Guard::new([]);
    let both = [Some("public-suffix"); 2];
    for (name, expected) in [
        ("com.my", both),
        ("gov.my", both),
        ("co.uk", both),
        ("github.io", both), // the private section
        ("pages.dev", both),
        ("s3.amazonaws.com", both), // three labels
        ("xn--55qx5d.cn", both),    // as an A-label
        ("foo.ck", both),           // *.ck
        ("foo.kawasaki.jp", both),  // *.kawasaki.jp
        ("www.ck", [None; 2]),      // !www.ck
        ("a.www.ck", [None; 2]),
        ("city.kawasaki.jp", [None; 2]), // !city.kawasaki.jp
        ("example.com.my", [None; 2]),
        ("somebody.github.io", [None; 2]),
        ("a.foo.ck", [None; 2]),
        // itself no suffix, but every name right below it is one
        ("kawasaki.jp", [None, Some("public-suffix")]),
    ] {
        assert_eq!(codes(&guard, name), expected, "{name}");
    }
}

#[test]
fn a_top_level_domain_the_list_does_not_know_makes_no_suffix() {
    let guard = Guard::new([]);
    for name in ["a.example", "a.b.example", "shop.lan", "nothing.invalid"] {
        assert_eq!(codes(&guard, name), [None; 2], "{name}");
    }
}

#[test]
fn labels_are_octets_and_a_dot_in_one_is_no_border() {
    let guard = guard(&[("*.a.example", Quarantine::OwnName)]);
    assert_eq!(guard.judge(b"\x06com.my\x07example\x00", Scope::Subtree), None);
    assert_eq!(guard.judge(b"\x03x.a\x07example\x00", Scope::Subtree), None);
    assert_eq!(guard.judge(b"\x02co\x03u.k\x00", Scope::Exact), None);
    assert!(guard.judge(b"\x01.\x01a\x07example\x00", Scope::Exact).is_some());
}

#[test]
fn a_name_protects_itself_and_a_subtree_what_is_below_it() {
    let guard = guard(&[("apex.example", Quarantine::Protected), ("*.whole.example.net", Quarantine::Protected)]);
    let held = Some("protected");
    for (name, expected) in [
        ("apex.example", [held, held]),
        ("www.apex.example", [None, None]),
        ("pex.example", [None, None]),
        ("whole.example.net", [held, held]),
        ("www.whole.example.net", [held, held]),
        ("a.b.c.whole.example.net", [held, held]),
        ("ole.example.net", [None, None]),
        ("other.example.net", [None, None]),
        // around it: only a subtree reaches down
        ("example.net", [None, held]),
    ] {
        assert_eq!(codes(&guard, name), expected, "{name}");
    }
}

#[test]
fn each_reason_has_its_code_and_the_first_of_several_counts() {
    let guard = guard(&[
        ("*.resolver.example.org", Quarantine::OwnName),
        ("*.blocked.example.org", Quarantine::BlockPage),
        ("*.mcmc.gov.my", Quarantine::AuthorityName),
        ("ocsp.ca.example", Quarantine::Protected),
        ("github.io", Quarantine::Protected),
        ("mcmc.gov.my", Quarantine::Protected),
        ("*.both.example.com", Quarantine::Protected),
        ("page.both.example.com", Quarantine::BlockPage),
    ]);
    for (name, expected) in [
        ("dns.resolver.example.org", [Some("own-name"); 2]),
        ("blocked.example.org", [Some("block-page"); 2]),
        ("www.mcmc.gov.my", [Some("authority-name"); 2]),
        ("mcmc.gov.my", [Some("authority-name"); 2]),
        ("ocsp.ca.example", [Some("protected"); 2]),
        ("github.io", [Some("public-suffix"); 2]),
        ("example.org", [None, Some("own-name")]),
        ("page.both.example.com", [Some("block-page"); 2]),
        ("x.both.example.com", [Some("protected"); 2]),
        ("both.example.com", [Some("protected"), Some("block-page")]),
    ] {
        assert_eq!(codes(&guard, name), expected, "{name}");
    }
    let all: std::collections::BTreeSet<_> = Quarantine::ALL.iter().map(|why| why.code()).collect();
    assert_eq!(all.len(), Quarantine::ALL.len());
    assert!(Quarantine::ALL.is_sorted());
}

#[test]
fn the_metric_has_every_code() {
    let codes = Quarantine::ALL.map(Quarantine::code).into_iter().chain(size::Change::ALL.map(size::Change::as_str));
    assert_eq!(codes.collect::<Vec<_>>(), crate::observe::metrics::QUARANTINE_REASONS);
}

#[test]
fn names_of_every_resolver_are_its_own_without_any_configuration() {
    let guard = Guard::default();
    assert!(guard.is_empty());
    let guard = Guard::new([]);
    for name in ["resolver.arpa", "_dns.resolver.arpa", "ipv4only.arpa", "www.localhost"] {
        assert_eq!(codes(&guard, name), [Some("own-name"); 2], "{name}");
    }
    assert_eq!(codes(&guard, "example.arpa"), [None; 2]);
}

#[test]
fn what_a_target_touches_can_be_named() {
    let guard = guard(&[
        ("*.portal.example", Quarantine::OwnName),
        ("b.example", Quarantine::Protected),
        ("a.example", Quarantine::Protected),
    ]);
    let touched = |name: &str, scope| guard.touched(&wire(name), scope).map(|name| name.to_string());
    assert_eq!(touched("www.portal.example", Scope::Exact).unwrap(), "portal.example.");
    assert_eq!(touched("b.example", Scope::Exact).unwrap(), "b.example.");
    assert_eq!(touched("example", Scope::Subtree).unwrap(), "a.example.");
    assert_eq!(touched("example", Scope::Exact), None);
    assert_eq!(touched("www.b.example", Scope::Subtree), None);
    assert_eq!(touched("com.my", Scope::Subtree), None);
    assert_eq!(guard.len(), Guard::new([]).len() + 3);
}

#[test]
fn the_shipped_list_covers_what_it_says() {
    let guard = with_defaults();
    for name in [
        "ocsp.digicert.com",
        "crl.sectigo.com",
        "cloudflare.com",
        "akamaiedge.net",
        "amazonaws.com",
        "pool.ntp.org",
        "0.my.pool.ntp.org",
        "connectivitycheck.gstatic.com",
        "captive.apple.com",
        "windowsupdate.microsoft.com",
        "a.root-servers.net",
        "example.arpa",
        "play.googleapis.com",
    ] {
        assert!(codes(&guard, name)[1].is_some(), "{name}");
    }
    // a customer of a cloud may be listed; so may a site whose name only looks like one
    for name in ["bad.cloudflare.com.example", "scam-shop.s3.amazonaws.com", "mydigicert.com", "xn--80ak6aa92e.com"] {
        assert_eq!(codes(&guard, name), [None; 2], "{name}");
    }
}

proptest! {
    /// The look-up from the top says what a comparison with every protected name says.
    #[test]
    fn it_agrees_with_a_naive_search(
        names in prop::collection::vec(("(\\*\\.)?([ab]\\.){0,3}[ab]\\.zz", 0_usize..5), 0..12),
        target in "([ab]\\.){0,4}[ab]\\.zz",
        subtree in any::<bool>(),
    ) {
        let names: Vec<_> = names.iter().map(|(text, why)| (parse(text).unwrap().remove(0), Quarantine::ALL[*why])).collect();
        let guard = Guard::new(names.clone());
        let target = DnsName::from_text(&target).unwrap();
        let touches = |protected: &Protected| {
            let within = protected.reach == Reach::Subtree && target.is_at_or_below(&protected.name);
            let around = subtree && protected.name.is_at_or_below(&target);
            protected.name == target || within || around
        };
        let naive = names.iter().filter(|(name, _)| touches(name)).map(|(_, why)| *why).min();
        let scope = if subtree { Scope::Subtree } else { Scope::Exact };
        prop_assert_eq!(guard.judge(target.as_wire(), scope), naive);
        let touched = guard.touched(target.as_wire(), scope);
        prop_assert_eq!(touched.is_some(), naive.is_some());
        prop_assert!(touched.is_none_or(|touched| names.iter().any(|(name, _)| name.name == touched && touches(name))));
    }

    #[test]
    fn any_octets_are_judged_without_a_panic(octets in prop::collection::vec(any::<u8>(), 0..300), subtree in any::<bool>()) {
        let scope = if subtree { Scope::Subtree } else { Scope::Exact };
        let _ = with_defaults().judge(&octets, scope);
    }

    #[test]
    fn long_names_are_judged_to_their_first_label(labels in 1_usize..=124) {
        let name = format!("{}zz", "a.".repeat(labels));
        let guard = guard(&[(&name, Quarantine::Protected)]);
        prop_assert_eq!(codes(&guard, &name), [Some("protected"); 2]);
        prop_assert_eq!(codes(&guard, "zz")[1], Some("protected"));
        prop_assert_eq!(codes(&guard, &format!("b.{name}")[..]).iter().flatten().count() > 0, false);
    }
}

/// `cargo test --release --lib verify::guard -- --ignored --nocapture`
#[test]
#[ignore = "prints how long a name takes"]
fn how_long_a_name_takes() {
    let guard = with_defaults();
    let suffixes = ["com", "net", "com.my", "example", "co.uk", "s3.amazonaws.com", "cloudfront.net", "xyz"];
    let names: Vec<_> = (0..200_000_u32)
        .map(|n| wire(&format!("shop-{:x}.{}", n.wrapping_mul(0x9e37_79b1), suffixes[n as usize % suffixes.len()])))
        .collect();
    for scope in [Scope::Exact, Scope::Subtree] {
        let started = Instant::now();
        let held = names.iter().filter(|name| guard.judge(name, scope).is_some()).count();
        println!("{scope}: {} ns a name, {held} held", started.elapsed().as_nanos() / names.len() as u128);
    }
}
