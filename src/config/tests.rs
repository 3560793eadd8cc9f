//! The configuration as its readers meet it: what is accepted, and the exact place and words of what is not.

use serde::Deserialize;
use serde::de::{Deserializer, Error as _, Visitor};

use super::*;
use crate::ingest::{Kind, ListFormat};
use crate::model::{Action, AuthorityKind, Scope, Sensitivity};

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
        is_file: |path| path == Path::new("etc/there.jwk"),
    }
}

fn read_text(text: &str) -> Result<Config, Diagnostics> {
    parse(text, Path::new("etc/pagar.toml"), &machine())
}

fn good(text: &str) -> Config {
    read_text(text).unwrap_or_else(|found| panic!("{found}"))
}

/// `line:column message | hint`, one a line, for what [`parse`] found.
fn short(found: &Diagnostics) -> String {
    let one = |found: &Diagnostic| {
        let place = found.line.zip(found.column).map_or_else(|| "-".to_owned(), |(l, c)| format!("{l}:{c}"));
        format!("{place} {} | {}", found.message, found.hint.as_deref().unwrap_or("-"))
    };
    found.iter().map(one).collect::<Vec<_>>().join("\n")
}

fn errors(text: &str) -> String {
    match read_text(text) {
        Ok(_) => "accepted".to_owned(),
        Err(found) => short(&found),
    }
}

/// Every finding must hold the words given for it, in order; so that a table shows them all, failures are collected.
#[track_caller]
fn expect(cases: &[(&str, String, &[&str])]) {
    let mut wrong = String::new();
    for (what, text, expected) in cases {
        let found = errors(text);
        let fits = found.lines().count() == expected.len() && found.lines().zip(*expected).all(|(a, b)| a.contains(b));
        if !fits {
            wrong += &format!("--- {what}\n{found}\n    instead of\n{}\n", expected.join("\n"));
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

//------ what is accepted ---------------------------------------------------------------------------------------------------

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
    assert!(!settings.upstreams[0].trust_ad);
    assert_eq!((config.pages.ttl, config.web, config.ledger), (30, None, PathBuf::from("etc/state")));
    assert_eq!(config.log, Log { format: LogFormat::Auto, level: tracing::Level::INFO });
    assert!(config.authorities.is_empty() && config.sources.is_empty());
    assert!(short(&config.warnings).starts_with("- no block page is set"), "{}", config.warnings);
}

#[test]
fn the_example_is_complete_and_clean() {
    let text = include_str!("../../config/pagar.toml");
    let config = good(text);
    assert_eq!(config.warnings.to_string(), "");
    assert_eq!(config.dns.settings.upstreams[1].address, "[2001:db8:53::1]:5353".parse().unwrap());
    assert_eq!(config.authorities[1].kind, AuthorityKind::Operator);
    assert_eq!(config.sources.len(), 3);
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
            Some(key) if key.split_once('=').is_some_and(|(key, _)| !key.trim().contains(' ')) => key.to_owned(),
            _ => line.to_owned(),
        })
        .collect();
    let found = errors(&uncommented.join("\n"));
    assert!(found.contains("key file etc/keys/mcmc.jwk is not there") && found.lines().count() == 1, "{found}");
}

#[test]
fn line_ends_and_byte_order_marks_of_windows_are_fine() {
    good(&format!("\u{feff}{}", LEAST.replace('\n', "\r\n")));
    let found = errors("\u{feff}version = 1\r\n[dns]\r\nlisten = []\r\n");
    assert!(found.contains("3:10 no address to listen on"), "{found}");
}

#[test]
fn everything_arrives_where_it_belongs() {
    let config = good(
        r#"version = 1
[dns]
listen = ["127.0.0.1:0", "[::1]:53"]
workers = 2
allow = ["192.0.2.0/24"]
[[upstream]]
address = "127.0.0.1"
[[upstream]]
address = "192.0.2.53:5301"
trust_ad = true
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
notice = { id = "S-1", authority = "mcmc", category = "scam", power = "CMA", scope = "subtree", action = "nxdomain", sensitivity = "secret", effective_at = "2026-11-01T08:00:00+08:00", expires_at = "2027-11-01T00:00:00Z", review_by = "2027-01-01T00:00:00Z", offence = "s.233" }
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
    assert_eq!(config.dns.settings.upstreams.iter().map(|u| u.trust_ad).collect::<Vec<_>>(), [true, true]);
    assert_eq!(config.pages.rules[0].page.v6, Some("2001:db8::81".parse().unwrap()));
    let mcmc = &config.authorities[0];
    assert_eq!((mcmc.name.as_str(), mcmc.required_signatures), ("MCMC", 2));
    assert_eq!(mcmc.keys, [PathBuf::from("etc/there.jwk")]);
    assert_eq!(config.sources[0].kind, Kind::Directory { path: "/var/notices".into() });
    assert_eq!((config.sources[1].name.as_str(), config.sources[1].order), ("a.domains", 1));
    let Kind::List { path, format, notice, scope } = &config.sources[1].kind else { panic!("not a list") };
    assert_eq!((path.as_path(), *format, *scope), (Path::new("etc/a.domains"), ListFormat::Domains, Scope::Subtree));
    assert_eq!((notice.action, notice.sensitivity), (Action::NxDomain, Sensitivity::Secret));
    assert_eq!(notice.issued_at, "2026-11-01T00:00:00Z".parse().unwrap());
    assert_eq!(notice.legal_basis.offence.as_deref(), Some("s.233"));
    assert_eq!((config.ledger, config.web), ("/var/lib/pagar".into(), Some("[::1]:8053".parse().unwrap())));
    assert_eq!(config.log, Log { format: LogFormat::Json, level: tracing::Level::DEBUG });
}

//------ standing notices -----------------------------------------------------------------------------------------------------

fn standing(notice: &str) -> crate::model::Notice {
    let config = good(&format!("{LIST}notice = {{ {notice} }}\n"));
    let Kind::List { notice, .. } = &config.sources[0].kind else { panic!("not a list") };
    (**notice).clone()
}

const PLAIN: &str = r#"id = "S-1", authority = "mcmc", category = "scam", power = "CMA", scope = "exact""#;

#[test]
fn a_standing_notice_binds_from_the_epoch_on() {
    let notice = standing(PLAIN);
    assert_eq!((notice.issued_at, notice.validity.effective_at), (Default::default(), jiff::Timestamp::UNIX_EPOCH));
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

//------ how it is shown ------------------------------------------------------------------------------------------------------

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
    let found = errors(
        "version = 1\n[dns]\nlisten = [\"127.0.0.1\"]\nworkers = -1\n[[upstream]]\naddress = \"dns.example\"\n[log]\nlevel = \"loud\"\n",
    );
    let places: Vec<_> = found.lines().filter_map(|line| line.split(' ').next()).collect();
    assert_eq!(places, ["-", "3:11", "4:11", "6:11", "8:9"], "{found}");
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

//------ keys ---------------------------------------------------------------------------------------------------------------

#[test]
fn structure_ends_the_reading() {
    expect(&[
        ("empty", String::new(), &["- missing key \"version\" | write at the top: version = 1"]),
        (
            "version 2",
            "version = 2\nnew = 1".into(),
            &["1:11 version 2 of the configuration is not known | pagar 0.1.0 reads version = 1"],
        ),
        ("version text", "version = \"1\"".into(), &["1:11 \"version\" is a number | write version = 1"]),
        ("syntax", format!("{LEAST}x = [\n"), &["6:"]),
        ("twice", format!("{LEAST}address = 1\n"), &["6:1 duplicate key"]),
        (
            "type",
            "version = 1\n[dns]\nlisten = [5300]".into(),
            &["3:11 invalid type: integer `5300`, expected a string"],
        ),
        ("type of a list", "version = 1\n[dns]\nlisten = \"127.0.0.1:53\"".into(), &["3:10 invalid type: string"]),
        ("no dns", "version = 1\n".into(), &["- missing key \"dns\" in the file | write [dns]"]),
        (
            "no listen",
            "version = 1\n[dns]\n".into(),
            &["2:1 missing key \"listen\" in [dns] | write listen = [\"127.0.0.1:53\"]"],
        ),
        (
            "no kind",
            format!("{LEAST}[[source]]\npath = \"a\"\n"),
            &["6:1 missing key \"kind\" in [[source]] | write kind ="],
        ),
        (
            "one bracket",
            "version = 1\n[dns]\nlisten = []\n[upstream]\naddress = \"192.0.2.1\"".into(),
            &["4:1 \"upstream\" is a list of tables | write [[upstream]], with two"],
        ),
        (
            "two brackets",
            "version = 1\n[[dns]]\nlisten = []\n".into(),
            &["2:1 \"dns\" is one table | write [dns] once"],
        ),
        (
            "not a table",
            "version = 1\ndns.listen = []\nupstream = [\"192.0.2.1\"]\n".into(),
            &["3:13 every [[upstream]] is a table | write [[upstream]] above its keys"],
        ),
        ("size", format!("{LEAST}[cache]\nsize = true\n"), &["7:8 expected a size like"]),
    ]);
}

#[test]
fn unknown_keys_are_named_with_the_nearest() {
    expect(&[
        (
            "lisen",
            "version = 1\n[dns]\nlisten = []\nlisen = 1".into(),
            &["4:1 unknown key \"lisen\" in [dns] | did you mean \"listen\"?"],
        ),
        ("dsn", format!("{LEAST}[dsn]\n"), &["6:2 unknown key \"dsn\" in the file | did you mean \"dns\"?"]),
        (
            "upstreams",
            format!("{LEAST}[[upstreams]]\n"),
            &["6:3 unknown key \"upstreams\" in the file | did you mean \"upstream\"?"],
        ),
        (
            "far",
            format!("{LEAST}[log]\ncolour = 1\n"),
            &["7:1 unknown key \"colour\" in [log] | known here: format, level"],
        ),
        (
            "misplaced",
            format!("{LEAST}max_ttl = 1\n"),
            &["6:1 unknown key \"max_ttl\" in [[upstream]] | \"max_ttl\" belongs in [cache]"],
        ),
        (
            "several",
            format!("{LEAST}[log]\nlevl = 1\n[web]\nlisten = \"\"\nport = 1\n"),
            &["7:1", "10:1 unknown key \"port\" in [web] | known here: listen"],
        ),
        (
            "of another kind",
            format!("{LEAST}[[source]]\nkind = \"directory\"\npath = \"a\"\nformat = \"hosts\"\n"),
            &[
                "9:1 unknown key \"format\" in [[source]] of kind \"directory\" | \"format\" belongs in [[source]] of kind \"list\"",
            ],
        ),
        (
            "in a notice",
            format!("{LIST}notice = {{ {PLAIN}, catgory = 1 }}\n"),
            &["11:95 unknown key \"catgory\" in the notice of [[source]] | did you mean \"category\"?"],
        ),
    ]);
}

/// A key that only one of the two knows would be refused by serde in worse words, or be a field nobody can write.
#[test]
fn the_tables_of_keys_and_the_structs_agree() {
    assert_eq!(built_in("the file"), fields::<Spec>(&["source"]));
    assert_eq!(built_in("[dns]"), fields::<spec::Dns>(&[]));
    assert_eq!(built_in("[[upstream]]"), fields::<spec::Upstream>(&[]));
    assert_eq!(built_in("[block]"), fields::<spec::Block>(&[]));
    assert_eq!(built_in("[[block.page]]"), fields::<spec::BlockPage>(&[]));
    assert_eq!(built_in("[[authority]]"), fields::<spec::Authority>(&[]));
    assert_eq!(built_in("[[source]] of kind \"directory\""), fields::<spec::Directory>(&[]));
    assert_eq!(built_in("[[source]] of kind \"list\""), fields::<spec::List>(&[]));
    assert_eq!(built_in("the notice of [[source]]"), fields::<spec::Notice>(&[]));
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
        ("[[exempt]]\n", "\"exempt\" in the file"),
        ("[rpz]\n", "\"rpz\" in the file"),
        ("[[local_zone]]\n", "\"local_zone\" in the file"),
        ("[block_page]\n", "\"block_page\" in the file"),
        ("[dns.cookies]\n", "\"cookies\" in [dns]"),
        ("[dns.local]\n", "\"local\" in [dns]"),
        ("[dns.tls]\n", "\"tls\" in [dns]"),
        ("[dns.https]\n", "\"https\" in [dns]"),
        ("[dns.quic]\n", "\"quic\" in [dns]"),
        ("zones = []\n", "\"zones\" in [[upstream]]"),
        ("[cache]\nserve_stale = true\n", "\"serve_stale\" in [cache]"),
        ("[web]\nlisten = \"127.0.0.1:1\"\n[[web.client]]\n", "\"client\" in [web]"),
        ("[web]\nlisten = \"127.0.0.1:1\"\n[web.tls]\n", "\"tls\" in [web]"),
        ("[[source]]\nkind = \"rpz\"\nzone = \"rpz.example.\"\n", "source kind \"rpz\""),
        ("[[source]]\nkind = \"pull\"\n", "source kind \"pull\""),
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
        let found = errors(&source(format, ""));
        assert!(found.contains(&format!("10:10 list format {format:?} is not built yet")), "{found}");
    }
    for (more, key) in [("url = \"https://lists.example/a\"", "url"), ("csv = {}", "csv")] {
        let found = errors(&source("hosts", more));
        assert!(found.contains(&format!("12:1 {key:?} in [[source]] of kind \"list\" is not built yet")), "{found}");
    }
}

//------ meaning --------------------------------------------------------------------------------------------------------------

fn dns(keys: &str) -> String {
    format!("version = 1\n[dns]\n{keys}\n[[upstream]]\naddress = \"192.0.2.53\"\n[block]\npage_v4 = \"192.0.2.80\"\n")
}

#[test]
fn listening_addresses() {
    expect(&[
        ("none", dns("listen = []"), &["3:10 no address to listen on | write listen = [\"127.0.0.1:53\"]"]),
        (
            "no port",
            dns("listen = [\"127.0.0.1\"]"),
            &["3:11 \"127.0.0.1\" is not an address and port | write the port too: \"127.0.0.1:53\""],
        ),
        ("no port, v6", dns("listen = [\"::1\"]"), &["write the port too: \"[::1]:53\""]),
        (
            "name",
            dns("listen = [\"localhost:53\"]"),
            &["3:11 \"localhost:53\" is not an address and port | write it like"],
        ),
        ("twice", dns("listen = [\"127.0.0.1:53\", \"127.0.0.1:53\"]"), &["3:27 127.0.0.1:53 is listed twice"]),
        (
            "wildcard",
            dns("listen = [\"0.0.0.0:53\", \"127.0.0.1:53\"]"),
            &["3:25 127.0.0.1:53 and 0.0.0.0:53 cannot be bound together"],
        ),
        (
            "families do not meet",
            dns("listen = [\"0.0.0.0:53\", \"[::]:53\", \"127.0.0.1:0\", \"127.0.0.1:0\"]"),
            &["accepted"],
        ),
        (
            "web",
            format!("{}[web]\nlisten = \"127.0.0.1:53\"\n", dns("listen = [\"127.0.0.1:53\"]")),
            &["3:11 127.0.0.1:53 is needed twice: [web] listens there too"],
        ),
        (
            "workers",
            dns("listen = [\"127.0.0.1:53\"]\nworkers = 1025"),
            &["4:11 workers is 1025 | write a number from 0 to 1024"],
        ),
        (
            "allow",
            dns("listen = [\"127.0.0.1:53\"]\nallow = [\"192.0.2.1/24\", \"x\"]"),
            &[
                "4:10 \"192.0.2.1/24\": host bits are set below /24; did you mean 192.0.2.0/24?",
                "4:26 \"x\": not a network",
            ],
        ),
    ]);
}

#[test]
fn upstreams() {
    let with = |listen: &str, upstreams: &[&str]| {
        let tables: String = upstreams.iter().map(|one| format!("[[upstream]]\naddress = \"{one}\"\n")).collect();
        format!("version = 1\ndns.listen = [\"{listen}\"]\nblock.page_v4 = \"192.0.2.80\"\n{tables}")
    };
    let own = "is this server itself: it listens on";
    expect(&[
        ("none", with("127.0.0.1:53", &[]), &["- there is no upstream to forward to | write [[upstream]]"]),
        (
            "own",
            with("127.0.0.1:53", &["127.0.0.1"]),
            &["5:11 upstream 127.0.0.1:53 is this server itself: it listens on 127.0.0.1:53"],
        ),
        ("mapped", with("127.0.0.1:53", &["::ffff:127.0.0.1"]), &[own]),
        ("behind a wildcard", with("0.0.0.0:5300", &["127.0.0.9:5300"]), &[own]),
        ("behind a wildcard, v6", with("[::]:53", &["::1"]), &[own]),
        ("own interface", with("0.0.0.0:53", &["192.0.2.7"]), &[own]),
        ("other port", with("0.0.0.0:53", &["127.0.0.1:5301"]), &["accepted"]),
        ("other family", with("[::]:53", &["127.0.0.1"]), &["accepted"]),
        ("unspecified", with("127.0.0.1:53", &["0.0.0.0"]), &["0.0.0.0:53 is nothing to send a query to"]),
        ("port 0", with("127.0.0.1:53", &["192.0.2.1:0"]), &["192.0.2.1:0 is nothing to send a query to"]),
        (
            "name",
            with("127.0.0.1:53", &["dns.example"]),
            &["5:11 upstream \"dns.example\" is not an IP address | write an IP address"],
        ),
        ("scheme", with("127.0.0.1:53", &["udp://192.0.2.1"]), &["unknown scheme \"udp\" | write an IP address"]),
    ]);
    let config = good(&with("127.0.0.1:53", &["192.0.2.1", "192.0.2.1:53", "[2001:db8::1]:5301", "2001:db8::2"]));
    let addresses: Vec<_> = config.dns.settings.upstreams.iter().map(|one| one.address.to_string()).collect();
    assert_eq!(addresses, ["192.0.2.1:53", "[2001:db8::1]:5301", "[2001:db8::2]:53"]);
    assert_eq!(short(&config.warnings), "7:11 upstream 192.0.2.1:53 is listed twice; the first counts | -");
}

#[test]
fn the_system_upstream_is_resolv_conf_without_ourselves() {
    let text = |listen: &str| {
        format!(
            "version = 1\ndns.listen = [\"{listen}\"]\nblock.page_v4 = \"192.0.2.80\"\nupstream = [{{ address = \"system\" }}]"
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
    assert_eq!(short(&config.warnings), "4:25 127.0.0.53:53 in resolv.conf is this server; left out | -");

    let with = |resolv_conf| parse(&text("0.0.0.0:53"), Path::new("p"), &Environment { resolv_conf, ..machine() });
    let alone = short(&with(Ok("nameserver 127.0.0.53\n".into())).unwrap_err());
    assert!(alone.contains("4:25 resolv.conf names no nameserver but this one"), "{alone}");
    let missing = short(&with(Err("No such file".into())).unwrap_err());
    assert!(missing.contains("4:25 resolv.conf cannot be read: No such file"), "{missing}");
    let odd = with(Ok("nameserver fe80::1%eth0\nnameserver 192.0.2.1\n".into())).unwrap();
    assert!(short(&odd.warnings).contains("left out: \"nameserver fe80::1%eth0\""));
}

#[test]
fn pages_and_authorities() {
    let block = |keys: &str| format!("{LEAST}[[authority]]\nid = \"mcmc\"\n[block]\n{keys}\n");
    let authority = |keys: &str| format!("{LEAST}[block]\npage_v4 = \"192.0.2.80\"\n[[authority]]\n{keys}\n");
    expect(&[
        (
            "v4",
            block("page_v4 = \"2001:db8::80\""),
            &["9:11 \"2001:db8::80\" is not an IPv4 address | write page_v4 ="],
        ),
        ("v6", block("page_v6 = \"192.0.2.80\""), &["9:11 \"192.0.2.80\" is not an IPv6 address | write page_v6 ="]),
        (
            "ttl",
            block("page_v4 = \"192.0.2.80\"\nttl = 61"),
            &["10:7 the TTL of blocked answers is 61 | write a number from 1 to 60"],
        ),
        ("ttl 0", block("page_v4 = \"192.0.2.80\"\nttl = 0"), &["is 0"]),
        (
            "rule for all",
            block("[[block.page]]\nv4 = \"192.0.2.81\""),
            &["9:1 this page is for every notice | write authority"],
        ),
        ("no address", block("[[block.page]]\ncategory = \"scam\""), &["9:1 this page has no address | write v4"]),
        (
            "unknown authority",
            block("[[block.page]]\nauthority = \"mcmd\"\nv4 = \"192.0.2.81\""),
            &["10:13 authority \"mcmd\" is not configured | did you mean \"mcmc\"?"],
        ),
        (
            "same pair",
            block(
                "[[block.page]]\ncategory = \"a\"\nv4 = \"192.0.2.81\"\n[[block.page]]\ncategory = \"a\"\nv4 = \"192.0.2.82\"",
            ),
            &["12:1 a page for the same authority and category stands above"],
        ),
        ("id", authority("id = \"MCMC\""), &["9:6 \"MCMC\" cannot be the id of an authority | write 1 to 63 of a-z"]),
        ("id -", authority("id = \"-a\""), &["9:6 \"-a\" cannot be"]),
        ("id twice", authority("id = \"a\"\n[[authority]]\nid = \"a\""), &["11:6 authority \"a\" is configured twice"]),
        (
            "kind",
            authority("id = \"a\"\nkind = \"statutary\""),
            &["10:8 unknown kind of authority \"statutary\" | did you mean \"statutory\"?"],
        ),
        (
            "keys",
            authority("id = \"a\"\nkeys = [\"there.jwk\", \"gone.jwk\"]"),
            &["10:22 key file etc/gone.jwk is not there"],
        ),
        (
            "signatures",
            authority("id = \"a\"\nrequired_signatures = 0"),
            &["10:23 required_signatures is 0 | write a number from 1"],
        ),
        ("category", authority("id = \"a\"\ncategories = [\"Scam\"]"), &["10:15 \"Scam\" cannot be a category"]),
        ("name", authority("id = \"a\"\nname = \" \""), &["10:8 the name of the authority is empty"]),
        (
            "web",
            format!("{LEAST}block.x = 1\n")
                .replace("block.x = 1", "[block]\npage_v4 = \"192.0.2.80\"\n[web]\nlisten = \"0.0.0.0:8053\""),
            &[
                "9:10 [web] would answer on 0.0.0.0:8053 without asking who calls | listen on loopback, \"127.0.0.1:8053\"",
            ],
        ),
        (
            "cache",
            format!("{LEAST}[block]\npage_v4 = \"192.0.2.80\"\n[cache]\nsize = \"256MB\"\nmax_ttl = 0"),
            &[
                "9:8 the size of the cache is not a size | write \"256MiB\"",
                "10:11 max_ttl is 0 | write a number from 1 to 604800",
            ],
        ),
        (
            "log",
            format!("{LEAST}[block]\npage_v4 = \"192.0.2.80\"\n[log]\nformat = \"jsno\""),
            &["9:10 unknown log format \"jsno\" | did you mean \"json\"?"],
        ),
    ]);
}

#[test]
fn sources_and_standing_notices() {
    let source = |keys: &str| format!("{LEAST}[block]\npage_v4 = \"192.0.2.80\"\n[[source]]\n{keys}\n");
    let notice = |from: &str, to: &str| format!("{LIST}notice = {{ {} }}\n", PLAIN.replace(from, to));
    let also = |more: &str| format!("{LIST}notice = {{ {PLAIN} }}\n").replace(" }\n", &format!("\n{more} }}\n"));
    let second = |path: &str, id: &str| {
        format!(
            "{LIST}notice = {{ {PLAIN} }}\n[[source]]\nkind = \"list\"\npath = \"{path}\"\nformat = \"hosts\"\nnotice = {{ {} }}\n",
            PLAIN.replace("S-1", id)
        )
    };
    let unsigned = "signatures are not built yet: whoever can write into this directory is believed, signed or not | if that is what you want, to try things out, write allow_unsigned = true";
    expect(&[
        ("unsigned", source("kind = \"directory\"\npath = \"notices\""), &[&format!("8:1 {unsigned}")]),
        (
            "unsigned false",
            source("kind = \"directory\"\npath = \"notices\"\nallow_unsigned = false"),
            &[&format!("11:18 {unsigned}")],
        ),
        ("empty path", source("kind = \"directory\"\npath = \"\"\nallow_unsigned = true"), &["10:8 the path is empty"]),
        (
            "kind",
            source("kind = \"directry\""),
            &["9:8 unknown source kind \"directry\" | did you mean \"directory\"?"],
        ),
        (
            "format",
            notice("", "").replace("\"hosts\"", "\"host\""),
            &["10:10 unknown list format \"host\" | did you mean \"hosts\"?"],
        ),
        ("same path", second("./a.hosts", "S-2"), &["14:8 \"./a.hosts\" is a source already"]),
        (
            "same id",
            second("b.hosts", "S-1"),
            &["16:17 notice \"S-1\" of \"mcmc\" has a list already | give every list its own notice id"],
        ),
        ("two lists", second("b.hosts", "S-2"), &["accepted"]),
        (
            "no scope",
            notice(", scope = \"exact\"", ""),
            &[
                "11:10 missing key \"scope\" in the notice of [[source]] | write scope = \"exact\" (the listed names only) or \"subtree\"",
            ],
        ),
        (
            "scope",
            notice("exact", "wildcard"),
            &[
                "unknown scope \"wildcard\" | write \"exact\" (the listed names only) or \"subtree\" (and everything below them)",
            ],
        ),
        ("id", notice("S-1", " "), &["11:17 the id of the notice is empty"]),
        (
            "authority",
            notice("mcmc", "court"),
            &["11:36 authority \"court\" is not configured | add [[authority]] with id = \"court\""],
        ),
        (
            "category",
            notice("\"scam\"", "\"gambling\""),
            &["11:55 authority \"mcmc\" may not order category \"gambling\" | add it"],
        ),
        ("power", notice("CMA", "C\\nA"), &["the legal power holds a line break"]),
        (
            "nxdomain",
            also(", action = \"nxdomain\""),
            &[
                "12:12 action \"nxdomain\" with scope \"exact\" denies the names below it too (RFC 8020) | write scope = \"subtree\"",
            ],
        ),
        (
            "action",
            also(", action = \"drop\""),
            &["12:12 unknown action \"drop\" | known here: block-page, nodata, nxdomain, refused"],
        ),
        (
            "no offset",
            also(", effective_at = \"2027-01-01T00:00:00\""),
            &[
                "12:18 effective_at \"2027-01-01T00:00:00\" is not a time with its offset (RFC 3339) | write it like \"2027-01-01T00:00:00+08:00\"",
            ],
        ),
        (
            "no quotes",
            also(", review_by = 2027-01-01T00:00:00Z"),
            &["12:15 a time is written in quotes | write \"2027-01-01T00:00:00Z\""],
        ),
        (
            "backwards",
            also(", effective_at = \"2027-01-01T00:00:00Z\", expires_at = \"2026-01-01T00:00:00Z\""),
            &["12:55 expires_at is not after effective_at"],
        ),
        (
            "all at once",
            notice("S-1", "").replace("CMA", "").replace("\"exact", "\"x"),
            &["11:17 the id", "11:68 the legal power", "11:80 unknown scope"],
        ),
    ]);
}

#[test]
fn what_is_risky_is_said_and_done() {
    for (text, warning) in [
        (
            dns("listen = [\"127.0.0.1:53\"]\nallow = [\"0.0.0.0/0\"]"),
            "4:10 0.0.0.0/0 allows everybody: an open resolver",
        ),
        (dns("listen = [\"127.0.0.1:53\"]\nallow = [\"::/0\"]"), "4:10 ::/0 allows everybody"),
        (dns("listen = [\"127.0.0.1:53\"]\nallow = []"), "4:9 no client is allowed"),
        (LEAST.to_owned(), "- no block page is set"),
        (
            format!("{LEAST}block.ttl = 5\n")
                .replace("block.ttl = 5", "[block]\npage_v6 = \"::1\"\n[[authority]]\nid = \"a\"\ncategories = []"),
            "10:14 authority \"a\" may order nothing",
        ),
        (
            format!(
                "{LEAST}[[authority]]\nid = \"a\"\ncategories = [\"b\"]\n[[block.page]]\nauthority = \"a\"\ncategory = \"c\"\nv4 = \"192.0.2.1\"\n"
            ),
            "11:12 authority \"a\" may not order category \"c\" | this page is never used",
        ),
    ] {
        let warnings = good(&text).warnings;
        assert!(!warnings.has_errors() && warnings.len() == 1 && short(&warnings).contains(warning), "{warnings}");
    }
}
