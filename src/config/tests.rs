//! The configuration as its readers meet it: what is accepted, and the exact place and words of what is not.

use std::time::Duration;

use proptest::{prop_assert, proptest};
use serde::Deserialize;
use serde::de::{Deserializer, Error as _, Visitor};

use super::*;
use crate::dns::{Forwarding, Stale, Strategy};
use crate::ingest::{Kind, ListFormat};
use crate::model::{Action, AuthorityKind, DnsName, Scope, Sensitivity};
use crate::observe::log::Format;
use crate::verify::guard::size::SizeRule;

/// The least that is accepted; tests append to it from line 6 on.
const LEAST: &str = "version = 1\n[dns]\nlisten = [\"127.0.0.1:5300\"]\n[[upstream]]\naddress = \"192.0.2.53\"\n";
/// An authority and the start of a list source, for tests of the notice; its keys start on line 11.
const LIST: &str = "version = 1\ndns.listen = [\"127.0.0.1:5300\"]\nupstream = [{ address = \"192.0.2.53\" }]\n\
                    authority = [{ id = \"mcmc\", categories = [\"scam\"] }]\n[block]\npage_v4 = \"192.0.2.80\"\n\
                    [[source]]\nkind = \"list\"\npath = \"a.hosts\"\nformat = \"hosts\"\n";

fn machine() -> Environment {
    Environment {
        resolv_conf: Ok("nameserver 127.0.0.53\nnameserver 192.0.2.1\n".to_owned()),
        cores: 3,
        is_own_address: |ip| ip == IpAddr::from([192, 0, 2, 7]),
        read_key,
        read_secret: |path| match path.to_str() {
            Some("etc/cookies.secret") => Ok("e5e973e5a6b2a43f48e7dc849e37bfcf\n".into()),
            Some("etc/names.key") => Ok("0123456789abcdef".repeat(4)),
            Some("etc/feed.private.jwk" | "etc/keys/mcmc-feed.private.jwk") => read_key(Path::new("etc/private.jwk")),
            Some("etc/public.jwk") => read_key(Path::new("etc/one.jwk")),
            Some("etc/short.secret") => Ok("# fleet\ne5e9\n".into()),
            _ => Err("No such file".into()),
        },
        read_groups: || Ok("root:x:0:\npagar-ops:x:985:alice,bob\nbroken:x\n".into()),
        read_names: |path| match path.to_str() {
            Some("etc/protected.names") => Ok("*.bank.example # ours\nocsp.example\n".into()),
            Some("etc/bad.names") => Ok("good.example\nhttps://a.example/\n*.\n".into()),
            _ => Err("No such file".into()),
        },
        read_certificate: |files| match (files.certificate.to_str(), files.key.to_str()) {
            (Some("etc/tls/fullchain.pem"), Some("etc/tls/key.pem")) => Ok("2027-01-01T00:00:00Z".parse().unwrap()),
            (Some("etc/tls/old.pem"), _) => Ok("2026-10-01T00:00:00Z".parse().unwrap()),
            (_, Some("etc/tls/open.pem")) => Err(tls::TlsError::Exposed { path: files.key.clone(), mode: 0o644 }),
            _ => Err(tls::TlsError::NoPem { path: files.certificate.clone(), what: "certificate" }),
        },
        try_access: |url, access| {
            http::check_url(url).map_err(|error| error.to_string())?;
            match &access.ca {
                Some(ca) if ca.ends_with("gone.pem") => Err(format!("{}: No such file", ca.display())),
                _ => Ok(()),
            }
        },
        now: "2026-11-01T00:00:00Z".parse().unwrap(),
    }
}

/// The keys of RFC 8032 §7.1; the third has expired by the time of [`machine`].
fn read_key(path: &Path) -> Result<String, String> {
    let key =
        |kid: &str, x: &str, more: &str| format!(r#"{{"kty":"OKP","crv":"Ed25519","kid":"{kid}","x":"{x}"{more}}}"#);
    let first = key("a", "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo", "");
    let second = key("b", "PUAXw-hDiVqStwqnTRt-vJyYLM8uxJaMwM1V8Sr0Zgw", "");
    match path.to_str() {
        Some("etc/there.jwk") => Ok(format!("{{\"keys\":[{first},{second}]}}")),
        Some("etc/one.jwk" | "etc/keys/mcmc.jwk") => Ok(first),
        Some("etc/keys/mcmc-feed.jwk") => Ok(second),
        Some("etc/old.jwk") => Ok(key("c", "_FHNjmIYoaONpH7QAjDwWAgW7RO6MwOsXeuRFUiQgCU", ",\"exp\":1767225600")),
        Some("etc/private.jwk") => {
            let private = ",\"d\":\"nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A\"";
            Ok(first.replace('}', &format!("{private}}}")))
        }
        Some("etc/rsa.jwk") => Ok("{\"kty\":\"RSA\"}".into()),
        _ => Err("No such file".into()),
    }
}

fn read_text(text: &str) -> Result<Config, Diagnostics> {
    parse(text, Path::new("etc/pagar.toml"), &machine())
}

fn good(text: &str) -> Config {
    read_text(text).unwrap_or_else(|found| panic!("{found}"))
}

/// What was found, as the files of cases write it.
fn short(found: &Diagnostics) -> String {
    let one = |found: &Diagnostic| {
        let place = match (found.line, found.column) {
            (Some(line), Some(column)) => format!("{line}:{column}"),
            (Some(line), None) => format!("{line}:-"), // of another file
            _ => "-".to_owned(),
        };
        let severity = if found.severity == Severity::Error { "error" } else { "warning" };
        let hint = found.hint.as_ref().map(|hint| format!("\n    {hint}")).unwrap_or_default();
        format!("{place} {severity}: {}{hint}", found.message)
    };
    found.iter().map(one).collect::<Vec<_>>().join("\n")
}

fn outcome(text: &str) -> String {
    match read_text(text) {
        Ok(config) if config.warnings.is_empty() => "accepted".to_owned(),
        Ok(config) => short(&config.warnings),
        Err(found) => short(&found),
    }
}

/// Runs a file of cases; what differs is shown in the form the file has.
#[track_caller]
fn run(cases: &str) {
    let mut wrong = String::new();
    for case in cases.split("\n=== ").skip(1) {
        let (title, rest) = case.split_once('\n').expect("a title");
        let (text, expected) = rest.split_once("\n---\n").expect("---");
        let found = outcome(text);
        if found != expected.trim_end() {
            wrong += &format!("=== {title}\n{text}\n---\n{found}\n--- instead of\n{expected}\n");
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

//------ files of cases ------------------------------------------------------------------------------------------------

#[test]
fn structure() {
    run(include_str!("tests/structure.txt"));
}

#[test]
fn listening_addresses_and_upstreams() {
    run(include_str!("tests/dns.txt"));
}

#[test]
fn local_zones_and_identity() {
    run(include_str!("tests/local.txt"));
}

#[test]
fn pages_and_authorities() {
    run(include_str!("tests/authorities.txt"));
}

#[test]
fn sources_and_standing_notices() {
    run(include_str!("tests/sources.txt"));
}

#[test]
fn feeds_that_are_read_and_published() {
    run(include_str!("tests/feeds.txt"));
}

#[test]
fn cookies_limits_and_exempt_clients() {
    run(include_str!("tests/access.txt"));
}

#[test]
fn guard() {
    run(include_str!("tests/guard.txt"));
}

#[test]
fn who_may_call() {
    run(include_str!("tests/web.txt"));
}

#[test]
fn process() {
    run(include_str!("tests/process.txt"));
}

#[test]
fn warnings() {
    run(include_str!("tests/warnings.txt"));
}

//------ what is accepted ----------------------------------------------------------------------------------------------

#[test]
fn the_least_has_safe_defaults() {
    let config = good(LEAST);
    assert_eq!(config.dns.listen, ["127.0.0.1:5300".parse().unwrap()]);
    assert_eq!(config.dns.workers, 3);
    assert_eq!(config.dns.cache_size, 256 << 20);
    let settings = &config.dns.settings;
    assert_eq!(settings.max_ttl, 3600);
    assert!(settings.allow.contains("127.9.9.9".parse().unwrap()) && settings.allow.contains("::1".parse().unwrap()));
    assert!(!settings.allow.contains("192.0.2.1".parse().unwrap()));
    assert_eq!(settings.upstreams[0].address, "192.0.2.53:53".parse().unwrap());
    assert!(!settings.upstreams[0].trust_ad && settings.upstreams[0].zones == [DnsName::root()]);
    assert_eq!(settings.forwarding, Forwarding { strategy: Strategy::Ordered, hedge: true, cookies: true });
    assert_eq!(settings.access, dns::access::Settings::default(), "cookies, no limits");
    assert_eq!((config.pages.ttl, config.web, config.ledger), (30, None, PathBuf::from("etc/state")));
    assert_eq!(config.log, Log { format: Format::Auto, level: tracing::Level::INFO });
    assert_eq!(config.process, Process { stop_delay: Duration::ZERO, core_dumps: false });
    assert_eq!(config.operators, Operators { socket: "etc/state/control.sock".into(), group: None });
    assert!(config.authorities.is_empty() && config.sources.is_empty());
    assert!(config.dns.local.special_names && config.dns.local.forward.is_empty());
    assert_eq!(config.dns.settings.identity, dns::identity::Identity::default(), "nothing is said unasked");
    assert!(short(&config.warnings).starts_with("- warning: no block page is set"), "{}", config.warnings);
}

#[test]
fn the_example_is_complete_and_clean() {
    let text = include_str!("../../config/pagar.toml");
    let config = good(text);
    assert_eq!(config.warnings.to_string(), "");
    assert_eq!(config.dns.settings.upstreams[1].address, "[2001:db8:53::1]:5353".parse().unwrap());
    assert_eq!(config.authorities[1].kind, AuthorityKind::Operator);
    assert_eq!(config.sources.len(), 3);
    assert_eq!(config.dns.local.zones[0].1, PathBuf::from("etc/zones/portal.zone"));
    for key in keys::ALL.into_iter().flat_map(keys::Table::built) {
        assert!(text.contains(key), "{key} is missing in the example");
    }
}

#[test]
fn commented_out_keys_of_the_example_are_accepted_too() {
    let text = include_str!("../../config/pagar.toml");
    let uncommented: Vec<String> = text
        .lines()
        .filter(|line| !line.starts_with("address = \"[")) // the alternative to it follows
        .map(|line| match line.strip_prefix("# ") {
            Some(key) if key.starts_with("[[") => key.to_owned(),
            Some(key) if key.split_once('=').is_some_and(|(key, _)| !key.trim().contains(' ')) => key.to_owned(),
            _ => line.to_owned(),
        })
        .collect();
    let found = outcome(&uncommented.join("\n"));
    let errors: Vec<_> = found.lines().filter(|line| line.contains(" error: ")).collect();
    assert!(errors.is_empty(), "{found}");
}

#[test]
fn line_ends_and_byte_order_marks_of_windows_are_fine() {
    good(&format!("\u{feff}{}", LEAST.replace('\n', "\r\n")));
    let found = outcome("\u{feff}version = 1\r\n[dns]\r\nlisten = []\r\n");
    assert!(found.contains("3:10 error: no address to listen on"), "{found}");
}

#[test]
fn everything_arrives_where_it_belongs() {
    let config = good(
        r#"version = 1
[dns]
listen = ["127.0.0.1:0", "[::1]:53"]
workers = 2
pin_workers = true
allow = ["192.0.2.0/24"]
[[upstream]]
address = "127.0.0.1"
[[upstream]]
address = "192.0.2.53:5301"
trust_ad = true
zones = ["Corp.example", "10.in-addr.arpa"]
[forwarding]
strategy = "fastest"
hedge = false
cookies = false
[block]
page_v4 = "192.0.2.80"
ttl = 60
[[block.page]]
category = "scam"
v6 = "2001:db8::81"
[[authority]]
id = "mcmc"
name = " MCMC "
keys = ["there.jwk"]
required_signatures = 2
[[source]]
kind = "directory"
path = "/var/notices"
allow_unsigned = true
[[source]]
kind = "list"
path = "a.domains"
format = "domains"
[source.notice]
id = "S-1"
authority = "mcmc"
category = "scam"
power = "CMA"
scope = "subtree"
action = "nxdomain"
sensitivity = "secret"
effective_at = "2026-11-01T08:00:00+08:00"
expires_at = "2027-11-01T00:00:00Z"
review_by = "2027-01-01T00:00:00Z"
offence = "s.233"
[cache]
size = "64 KiB"
max_ttl = 60
[ledger]
path = "/var/lib/pagar"
[web]
listen = "[::1]:8053"
[log]
format = "json"
level = "debug"
"#,
    );
    assert_eq!(config.warnings.to_string(), "");
    assert_eq!((config.dns.workers, config.dns.cache_size, config.dns.settings.max_ttl), (2, 65_536, 60));
    assert!(config.dns.pin_workers);
    assert_eq!(config.dns.settings.upstreams.iter().map(|u| u.trust_ad).collect::<Vec<_>>(), [true, true]);
    let zones: Vec<_> = config.dns.settings.forwarded_zones().map(ToString::to_string).collect();
    assert_eq!(zones, ["corp.example.", "10.in-addr.arpa."]);
    let forwarding = Forwarding { strategy: Strategy::Fastest, hedge: false, cookies: false };
    assert_eq!(config.dns.settings.forwarding, forwarding);
    assert_eq!(config.pages.rules[0].page.v6, Some("2001:db8::81".parse().unwrap()));
    let mcmc = &config.authorities[0];
    assert_eq!((mcmc.name.as_str(), mcmc.required_signatures), ("MCMC", 2));
    assert_eq!(mcmc.keys, [PathBuf::from("etc/there.jwk")]);
    let keys: Vec<_> = config.keyring.keys(&mcmc.id).map(|(key, file)| (key.kid(), file)).collect();
    assert_eq!(keys, [("a", "etc/there.jwk"), ("b", "etc/there.jwk")]);
    assert_eq!(config.sources[0].kind, Kind::Directory { path: "/var/notices".into(), allow_unsigned: true });
    assert_eq!((config.sources[1].name.as_str(), config.sources[1].order), ("a.domains", 1));
    let Kind::List { path, format, notice, scope } = &config.sources[1].kind else { panic!("not a list") };
    assert_eq!((path.as_path(), *format, *scope), (Path::new("etc/a.domains"), ListFormat::Domains, Scope::Subtree));
    assert_eq!((notice.action, notice.sensitivity), (Action::NxDomain, Sensitivity::Secret));
    assert_eq!(notice.issued_at, "2026-11-01T00:00:00Z".parse().unwrap());
    assert_eq!(notice.legal_basis.offence.as_deref(), Some("s.233"));
    let web = Web { listen: "[::1]:8053".parse().unwrap(), clients: Vec::new(), tls: None };
    assert_eq!((config.ledger, config.web), ("/var/lib/pagar".into(), Some(web)));
    assert_eq!(config.log, Log { format: Format::Json, level: tracing::Level::DEBUG });
}

#[test]
fn a_feed_arrives_where_it_belongs() {
    let config = good(&format!(
        "{LEAST}{}",
        r#"[block]
page_v4 = "192.0.2.80"
[[authority]]
id = "mcmc"
keys = ["there.jwk"]
required_signatures = 2
[[source]]
kind = "pull"
url = "https://feed.example/v1/feed/mcmc"
authority = "mcmc"
keys = ["one.jwk"]
ca = "ca.pem"
certificate = "node.pem"
certificate_key = "node.key"
token_file = "token"
interval = "2m"
[[source]]
kind = "pull"
url = "http://127.0.0.1:8053/v1/feed/mcmc/"
authority = "mcmc"
[web]
listen = "127.0.0.1:8053"
[[feed]]
authority = "mcmc"
key = "feed.private.jwk"
notices = "outbox"
validity = "2h"
"#
    ));
    let [first, second] = &config.sources[..] else { panic!("{:?}", config.sources) };
    let (Kind::Pull(pinned), Kind::Pull(plain)) = (&first.kind, &second.kind) else { panic!() };
    assert_eq!(
        (first.name.as_str(), pinned.url.as_str()),
        ("https://feed.example/v1/feed/mcmc", "https://feed.example/v1/feed/mcmc/")
    );
    assert_eq!(pinned.interval, Duration::from_secs(120));
    assert_eq!(pinned.access.ca, Some("etc/ca.pem".into()));
    assert_eq!(pinned.access.certificate, Some(("etc/node.pem".into(), "etc/node.key".into())));
    assert_eq!(pinned.access.token, Some("etc/token".into()));
    assert!(pinned.memory.starts_with("etc/state/feeds") && pinned.memory != plain.memory);
    let signers = |feed: &ingest::pull::Feed| feed.keyring.signers(&feed.authority);
    assert_eq!((signers(pinned), signers(plain)), (1, 2), "its own keys, or the authority's");
    assert_eq!((plain.interval, &plain.access), (Duration::from_secs(60), &http::Access::default()));
    let feed = &config.feeds[0];
    assert_eq!((feed.notices.to_str(), feed.validity), (Some("etc/outbox"), Duration::from_secs(7200)));
    assert_eq!((feed.key.public().kid(), feed.state.to_str()), ("a", Some("etc/state/published/mcmc")));
}

#[test]
fn names_are_guarded_from_everywhere_they_are_written() {
    let guarded = |more: &str, target: &str| {
        let config = good(&format!("{LEAST}{more}"));
        let target = DnsName::from_text(target).unwrap();
        config.guard.judge(target.as_wire(), Scope::Exact).map(crate::verify::guard::Quarantine::code)
    };
    for (more, target, code) in [
        ("", "www.plain.example", None),
        ("", "ocsp.digicert.com", Some("protected")),
        ("[guard]\ndefaults = false", "ocsp.digicert.com", None),
        ("[guard]\ndefaults = false", "resolver.arpa", Some("own-name")),
        ("[guard]\nown = [\"isp.example\"]", "dns.isp.example", Some("own-name")),
        ("[guard]\nblock_pages = [\"isp.example\"]", "isp.example", Some("block-page")),
        ("[[authority]]\nid = \"a\"\ndomains = [\"a.example\"]", "www.a.example", Some("authority-name")),
        ("[[local_zone]]\nzone = \"portal.example\"\npath = \"z\"", "a.portal.example", Some("own-name")),
        ("[guard]\nprotected = [\"protected.names\"]", "www.bank.example", Some("protected")),
        ("[guard]\nprotected = [\"protected.names\"]", "a.ocsp.example", None),
        ("[guard]\ndefaults = false", "com.my", Some("public-suffix")),
    ] {
        assert_eq!(guarded(more, target), code, "{more}: {target}");
    }
}

#[test]
fn a_list_may_change_as_its_own_rule_says() {
    let sizes = |more: &str| good(&format!("{LIST}notice = {{ {PLAIN} }}\n{more}")).sizes;
    let default = SizeRule::DEFAULT;
    assert_eq!(sizes("").of("a.hosts"), Some(&default));
    assert_eq!(sizes("guard = false").of("a.hosts"), None);
    assert_eq!(sizes("guard = false").of("another"), Some(&default));
    assert_eq!(sizes("guard = true").of("a.hosts"), Some(&default));
    let all = "[guard]\nshrink = 0.9\ngrow = 3";
    let common = SizeRule { shrink: 0.9, grow: 3.0, ..default };
    assert_eq!(sizes(&format!("guard = true\n{all}")).of("a.hosts"), Some(&common));
    let own = SizeRule { from: 7, ..common };
    assert_eq!(sizes(&format!("guard = {{ from = 7 }}\n{all}")).of("a.hosts"), Some(&own));
}

//------ standing notices ----------------------------------------------------------------------------------------------

fn standing(notice: &str) -> crate::model::Notice {
    let config = good(&format!("{LIST}notice = {{ {notice} }}\n"));
    let Kind::List { notice, .. } = &config.sources[0].kind else { panic!("not a list") };
    (**notice).clone()
}

const PLAIN: &str = r#"id = "S-1", authority = "mcmc", category = "scam", power = "CMA", scope = "exact""#;

#[test]
fn a_standing_notice_binds_from_the_epoch_on() {
    let notice = standing(PLAIN);
    assert_eq!((notice.issued_at, notice.validity.effective_at), (Default::default(), Timestamp::UNIX_EPOCH));
    assert_eq!((notice.sequence, notice.validity.expires_at), (0, None));
}

#[test]
fn the_digest_is_that_of_the_meaning() {
    let digest = |text: &str| standing(text).digest;
    let hex: String = digest(PLAIN).iter().map(|octet| format!("{octet:02x}")).collect();
    assert_eq!(
        hex, "4fd3e875a8a3363e6db7fd99a6b743ed4f502b84c4cd757bd110bf7c9eda3928",
        "nodes compare it: never change how it is made"
    );
    assert_eq!(digest(PLAIN), digest(&format!("{PLAIN}, action = \"block-page\", sensitivity = \"public\"")));
    assert_eq!(
        digest(&format!("{PLAIN}, effective_at = \"2026-11-01T08:00:00+08:00\"")),
        digest(&format!("{PLAIN}, effective_at = \"2026-11-01T00:00:00Z\""))
    );
    for other in [
        PLAIN.replace("S-1", "S-2"),
        PLAIN.replace("exact", "subtree"),
        PLAIN.replace("CMA", "CMB"),
        format!("{PLAIN}, expires_at = \"2027-01-01T00:00:00Z\""),
        format!("{PLAIN}, review_by = \"2027-01-01T00:00:00Z\""),
        format!("{PLAIN}, offence = \"s.233\""),
        format!("{PLAIN}, action = \"refused\""),
        format!("{PLAIN}, sensitivity = \"secret\""),
    ] {
        assert_ne!(digest(PLAIN), digest(&other), "{other}");
    }
}

//------ how it is shown -----------------------------------------------------------------------------------------------

#[test]
fn a_diagnostic_reads_like_a_compilers() {
    let found = read_text("version = 1\n[dns]\nlisten = [\"127.0.0.1:53\"]\n  lisen = 1\n").unwrap_err();
    assert_eq!(
        found.to_string(),
        "etc/pagar.toml:4:3: error: unknown key \"lisen\" in [dns]\n      lisen = 1\n      ^^^^^\n  \
         hint: did you mean \"listen\"?"
    );
}

#[test]
fn everything_wrong_with_the_meaning_is_reported_together() {
    let text = "version = 1\n[dns]\nlisten = [\"127.0.0.1\"]\nworkers = -1\n[[upstream]]\naddress = \"dns.example\"\n\
                [log]\nlevel = \"loud\"\n";
    let found = read_text(text).unwrap_err();
    let lines: Vec<_> = found.iter().map(|found| found.line).collect();
    assert_eq!(lines, [None, Some(3), Some(4), Some(6), Some(8)]);
}

#[test]
fn files_that_cannot_be_read_say_why() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("pagar.toml");
    let message = |path: &Path| load(path).unwrap_err().iter().next().unwrap().message.clone();
    assert!(message(&path).starts_with("the configuration cannot be read: "));
    fs::write(&path, b"version = 1\n# \xff\n").unwrap();
    assert_eq!(message(&path), "the configuration is not UTF-8 text");
    fs::write(&path, LEAST).unwrap();
    assert_eq!(load(&path).unwrap().ledger, directory.path().join("state"));
}

#[test]
fn this_machine_knows_its_own_addresses() {
    assert!(is_own_address([127, 0, 0, 1].into()));
    assert!(!is_own_address([192, 0, 2, 1].into()));
}

//------ keys ----------------------------------------------------------------------------------------------------------

/// A key that only one of the two knows would be refused by serde in worse words, or be a field nobody can write.
#[test]
fn the_tables_of_keys_and_the_structs_agree() {
    assert_eq!(built_in("the file"), fields::<Spec>(&["source"]));
    assert_eq!(built_in("[dns]"), fields::<spec::Dns>(&[]));
    assert_eq!(built_in("[dns.cookies]"), fields::<spec::Cookies>(&[]));
    assert_eq!(built_in("[dns.rate_limit]"), fields::<spec::RateLimit>(&[]));
    assert_eq!(built_in("[dns.rrl]"), fields::<spec::Rrl>(&[]));
    assert_eq!(built_in("[[exempt]]"), fields::<spec::Exempt>(&[]));
    assert_eq!(built_in("[dns.tcp]"), fields::<spec::Tcp>(&[]));
    assert_eq!(built_in("[dns.proxy]"), fields::<spec::Proxy>(&[]));
    assert_eq!(built_in("[[upstream]]"), fields::<spec::Upstream>(&[]));
    assert_eq!(built_in("[block]"), fields::<spec::Block>(&[]));
    assert_eq!(built_in("[[block.page]]"), fields::<spec::BlockPage>(&[]));
    assert_eq!(built_in("[[authority]]"), fields::<spec::Authority>(&[]));
    assert_eq!(built_in("[[source]] of kind \"directory\""), fields::<spec::Directory>(&[]));
    assert_eq!(built_in("[[source]] of kind \"list\""), fields::<spec::List>(&[]));
    assert_eq!(built_in("[[source]] of kind \"pull\""), fields::<spec::Pull>(&[]));
    assert_eq!(built_in("[[feed]]"), fields::<spec::Feed>(&[]));
    assert_eq!(built_in("the notice of [[source]]"), fields::<spec::Notice>(&[]));
    assert_eq!(built_in("[guard]"), fields::<spec::Guard>(&[]));
    assert_eq!(built_in("[cache]"), fields::<spec::Cache>(&[]));
    assert_eq!(built_in("[ledger]"), fields::<spec::Ledger>(&[]));
    assert_eq!(built_in("[web]"), fields::<spec::Web>(&[]));
    assert_eq!(built_in("[log]"), fields::<spec::Log>(&[]));
}

/// The keys of the table of that name, sorted.
fn built_in(name: &str) -> Vec<&'static str> {
    let mut names: Vec<_> =
        keys::ALL.iter().filter(|table| table.name == name).flat_map(|table| table.built()).collect();
    names.sort_unstable();
    names
}

/// The keys serde reads into `T`, sorted, and `more`.
fn fields<'de, T: Deserialize<'de>>(more: &[&'static str]) -> Vec<&'static str> {
    let mut names = more.to_vec();
    let _ = T::deserialize(Fields(&mut names)); // stops with an error once it has the names
    names.sort_unstable();
    names
}

/// A deserializer that only notes which fields it is asked for.
struct Fields<'a>(&'a mut Vec<&'static str>);

impl<'de> Deserializer<'de> for Fields<'_> {
    type Error = serde::de::value::Error;

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Self::Error> {
        Err(Self::Error::custom("not a struct"))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        _: V,
    ) -> Result<V::Value, Self::Error> {
        self.0.extend(fields);
        Err(Self::Error::custom("noted"))
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}

#[test]
fn what_is_not_built_is_refused_never_ignored() {
    for (text, what) in [
        ("[rpz]\n", "\"rpz\" in the file"),
        ("[block_page]\n", "\"block_page\" in the file"),
        ("[dns.tls]\n", "\"tls\" in [dns]"),
        ("[dns.https]\n", "\"https\" in [dns]"),
        ("[dns.quic]\n", "\"quic\" in [dns]"),
        ("[[source]]\nkind = \"rpz\"\nzone = \"rpz.example.\"\n", "source kind \"rpz\""),
        ("[[upstream]]\naddress = \"tls://dns.example@192.0.2.1:853\"\n", "an upstream by tls"),
        ("[[upstream]]\naddress = \"https://dns.example/dns-query\"\n", "an upstream by https"),
        ("[[upstream]]\naddress = \"quic://dns.example@192.0.2.1:853\"\n", "an upstream by quic"),
    ] {
        let found = read_text(&format!("{LEAST}{text}")).unwrap_err();
        let refusal = found.iter().find(|found| found.message == format!("{what} is not built yet"));
        assert!(refusal.is_some_and(|found| found.line >= Some(6)), "{text}{found}");
    }
    let source = |format: &str, more: &str| {
        format!("{LIST}notice = {{ {PLAIN} }}\n{more}\n").replace("hosts\"\nno", &format!("{format}\"\nno"))
    };
    for format in ["adblock", "dnsmasq", "csv"] {
        let found = outcome(&source(format, ""));
        assert!(found.contains(&format!("10:10 error: list format {format:?} is not built yet")), "{found}");
    }
    for (more, key) in [("url = \"https://lists.example/a\"", "url"), ("csv = {}", "csv")] {
        let found = outcome(&source("hosts", more));
        assert!(
            found.contains(&format!("12:1 error: {key:?} in [[source]] of kind \"list\" is not built yet")),
            "{found}"
        );
    }
}

//------ meaning -------------------------------------------------------------------------------------------------------

#[test]
fn upstreams_keep_their_order_and_are_asked_once() {
    let more = "[[upstream]]\naddress = \"192.0.2.53:53\"\n[[upstream]]\naddress = \"[2001:db8::1]:5301\"\n\
                [[upstream]]\naddress = \"2001:db8::2\"\n\
                [[upstream]]\naddress = \"[fe80::1%2]:53\"\n[block]\npage_v4 = \"192.0.2.80\"";
    let config = good(&format!("{LEAST}{more}"));
    let addresses: Vec<_> = config.dns.settings.upstreams.iter().map(|one| one.address.to_string()).collect();
    assert_eq!(addresses, ["192.0.2.53:53", "[2001:db8::1]:5301", "[2001:db8::2]:53", "[fe80::1%2]:53"]);
    assert_eq!(short(&config.warnings), "7:11 warning: upstream 192.0.2.53:53 is listed twice; the first counts");
}

#[test]
fn stale_answers_are_off_unless_switched_on_and_prefetch_on_unless_switched_off() {
    let settings = |cache: &str| good(&format!("{LEAST}[block]\npage_v4 = \"192.0.2.80\"\n{cache}")).dns.settings;
    let stale = |client_timeout, max| {
        let (client_timeout, max) = (Duration::from_millis(client_timeout), Duration::from_secs(max));
        Some(Stale { client_timeout, max })
    };
    assert_eq!((settings("").stale, settings("").prefetch), (None, true));
    assert_eq!(settings("[cache]\nserve_stale = false").stale, None);
    assert_eq!(settings("[cache]\nserve_stale = true").stale, stale(1_800, 86_400));
    assert_eq!(settings("[cache]\nserve_stale = { max = \"12h\" }").stale, stale(1_800, 43_200));
    assert_eq!(settings("[cache.serve_stale]\nclient_timeout = \"0s\"").stale, stale(0, 86_400));
    assert!(!settings("[cache]\nprefetch = false").prefetch);
}

#[test]
fn the_system_upstream_is_resolv_conf_without_ourselves() {
    let text = |listen: &str| {
        format!(
            "version = 1\ndns.listen = [\"{listen}\"]\nblock.page_v4 = \"192.0.2.80\"\n\
             upstream = [{{ address = \"system\" }}]"
        )
    };
    let config = good(&text("127.0.0.1:53"));
    let upstreams = &config.dns.settings.upstreams;
    assert_eq!(
        upstreams.iter().map(|one| one.address.to_string()).collect::<Vec<_>>(),
        ["127.0.0.53:53", "192.0.2.1:53"]
    );
    assert_eq!(upstreams.iter().map(|one| one.trust_ad).collect::<Vec<_>>(), [true, false]);
    assert!(config.warnings.is_empty());

    let config = good(&text("0.0.0.0:53"));
    assert_eq!(config.dns.settings.upstreams.len(), 1);
    assert_eq!(short(&config.warnings), "4:25 warning: 127.0.0.53:53 in resolv.conf is this server; left out");

    let with = |resolv_conf| parse(&text("0.0.0.0:53"), Path::new("p"), &Environment { resolv_conf, ..machine() });
    let alone = short(&with(Ok("nameserver 127.0.0.53\n".into())).unwrap_err());
    assert!(alone.contains("4:25 error: resolv.conf names no nameserver but this one"), "{alone}");
    let missing = short(&with(Err("No such file".into())).unwrap_err());
    assert!(missing.contains("4:25 error: resolv.conf cannot be read: No such file"), "{missing}");
    let odd = with(Ok("nameserver fe80::1%eth0\nnameserver 192.0.2.1\n".into())).unwrap();
    assert!(short(&odd.warnings).contains("left out: \"nameserver fe80::1%eth0\""));
}

//------ anything ------------------------------------------------------------------------------------------------------

proptest! {
    /// Whatever an editor, a template or a half-written file makes of the example: an answer, with a place in the file.
    #[test]
    fn no_text_makes_it_panic(
        cut in 0usize..5000,
        length in 0usize..40,
        insert in "\\PC{0,8}|[\\[\\]{}=\",.0-9\n\u{0}\r]{0,8}",
    ) {
        let example = include_str!("../../config/pagar.toml");
        let at = |index: usize| (0..=index.min(example.len())).rev().find(|at| example.is_char_boundary(*at)).unwrap();
        let text = format!("{}{insert}{}", &example[..at(cut)], &example[at(cut + length)..]);
        if let Err(found) = read_text(&text) {
            prop_assert!(found.has_errors() && !found.to_string().is_empty());
            let lines = text.lines().count() + 1;
            prop_assert!(found.iter().all(|found| found.line.is_none_or(|line| (1..=lines).contains(&line))));
        }
    }
}
