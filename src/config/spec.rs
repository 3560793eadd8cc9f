//! What was written: one struct per table of the file, every value with its place and nothing decided yet.
//!
//! Keys are checked before (`structure`), meaning after (`resolve`); here only types can be wrong. Numbers are `i64`,
//! TOML's own, and words are text, so that ranges and choices are refused by `resolve`, in its words.

use serde::Deserialize;
use toml::de::{DeTable, DeValue, Error, ValueDeserializer};

pub(super) use toml::Spanned;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Spec {
    #[serde(rename = "version")]
    _version: i64,
    pub(super) dns: Dns,
    #[serde(default)]
    pub(super) upstream: Vec<Upstream>,
    #[serde(default)]
    pub(super) forwarding: Forwarding,
    #[serde(default)]
    pub(super) block: Block,
    #[serde(default)]
    pub(super) authority: Vec<Authority>,
    /// Filled by [`Spec::read`]: serde's tagged enums would lose the places.
    #[serde(skip)]
    pub(super) source: Vec<Source>,
    #[serde(default)]
    pub(super) feed: Vec<Feed>,
    #[serde(default)]
    pub(super) local_zone: Vec<LocalZone>,
    #[serde(default)]
    pub(super) guard: Guard,
    #[serde(default)]
    pub(super) cache: Cache,
    #[serde(default)]
    pub(super) ledger: Ledger,
    pub(super) web: Option<Web>,
    #[serde(default)]
    pub(super) operators: Operators,
    #[serde(default)]
    pub(super) log: Log,
    #[serde(default)]
    pub(super) exempt: Vec<Exempt>,
    #[serde(default)]
    pub(super) process: Process,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Dns {
    pub(super) listen: Spanned<Vec<Spanned<String>>>,
    pub(super) workers: Option<Spanned<i64>>,
    pub(super) pin_workers: Option<bool>,
    pub(super) allow: Option<Spanned<Vec<Spanned<String>>>>,
    #[serde(default)]
    pub(super) cookies: Cookies,
    #[serde(default)]
    pub(super) rate_limit: RateLimit,
    #[serde(default)]
    pub(super) rrl: Rrl,
    #[serde(default)]
    pub(super) tcp: Tcp,
    pub(super) proxy: Option<Proxy>,
    #[serde(default)]
    pub(super) identity: Identity,
    #[serde(default)]
    pub(super) local: Local,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Cookies {
    pub(super) enabled: Option<bool>,
    pub(super) secret_file: Option<Spanned<String>>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RateLimit {
    pub(super) queries_per_second: Option<Spanned<i64>>,
    pub(super) burst: Option<Spanned<i64>>,
    pub(super) ipv4_prefix: Option<Spanned<i64>>,
    pub(super) ipv6_prefix: Option<Spanned<i64>>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Rrl {
    pub(super) responses_per_second: Option<Spanned<i64>>,
    pub(super) all_per_second: Option<Spanned<i64>>,
    pub(super) slip: Option<Spanned<i64>>,
    pub(super) ipv4_prefix: Option<Spanned<i64>>,
    pub(super) ipv6_prefix: Option<Spanned<i64>>,
    pub(super) log_only: Option<Spanned<bool>>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Tcp {
    pub(super) connections: Option<Spanned<i64>>,
    pub(super) per_client: Option<Spanned<i64>>,
    pub(super) idle: Option<Spanned<String>>,
    pub(super) pipeline: Option<Spanned<i64>>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Identity {
    pub(super) version: Option<Spanned<Version>>,
    pub(super) server_id: Option<Spanned<String>>,
    pub(super) nsid: Option<Spanned<String>>,
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "expected true for the release's own version, or text")]
pub(super) enum Version {
    Release(bool),
    Text(String),
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Local {
    pub(super) special_names: Option<bool>,
    pub(super) forward: Option<Spanned<Vec<Spanned<String>>>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LocalZone {
    pub(super) zone: Spanned<String>,
    pub(super) path: Spanned<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Exempt {
    pub(super) networks: Spanned<Vec<Spanned<String>>>,
    pub(super) reason: Spanned<String>,
    pub(super) until: Spanned<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Proxy {
    pub(super) from: Spanned<Vec<Spanned<String>>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Upstream {
    pub(super) address: Spanned<String>,
    pub(super) trust_ad: Option<bool>,
    pub(super) zones: Option<Spanned<Vec<Spanned<String>>>>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Forwarding {
    pub(super) strategy: Option<Spanned<String>>,
    pub(super) hedge: Option<bool>,
    pub(super) cookies: Option<bool>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Block {
    pub(super) page_v4: Option<Spanned<String>>,
    pub(super) page_v6: Option<Spanned<String>>,
    pub(super) ttl: Option<Spanned<i64>>,
    #[serde(default)]
    pub(super) page: Vec<Spanned<BlockPage>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct BlockPage {
    pub(super) authority: Option<Spanned<String>>,
    pub(super) category: Option<Spanned<String>>,
    pub(super) v4: Option<Spanned<String>>,
    pub(super) v6: Option<Spanned<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Authority {
    pub(super) id: Spanned<String>,
    pub(super) kind: Option<Spanned<String>>,
    pub(super) name: Option<Spanned<String>>,
    pub(super) keys: Option<Spanned<Vec<Spanned<String>>>>,
    pub(super) required_signatures: Option<Spanned<i64>>,
    pub(super) categories: Option<Spanned<Vec<Spanned<String>>>>,
    pub(super) domains: Option<Spanned<Vec<Spanned<String>>>>,
    pub(super) test: Option<bool>,
}

pub(super) enum Source {
    Directory(Spanned<Directory>),
    List(Box<List>),
    Pull(Box<Pull>),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Directory {
    #[serde(rename = "kind")]
    _kind: String,
    pub(super) path: Spanned<String>,
    pub(super) allow_unsigned: Option<Spanned<bool>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct List {
    #[serde(rename = "kind")]
    _kind: String,
    pub(super) path: Spanned<String>,
    pub(super) format: Spanned<String>,
    pub(super) notice: Notice,
    pub(super) guard: Option<Spanned<OwnGuard>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Pull {
    #[serde(rename = "kind")]
    _kind: String,
    pub(super) url: Spanned<String>,
    pub(super) authority: Spanned<String>,
    pub(super) keys: Option<Spanned<Vec<Spanned<String>>>>,
    pub(super) ca: Option<Spanned<String>>,
    pub(super) system_ca: Option<Spanned<bool>>,
    pub(super) certificate: Option<Spanned<String>>,
    pub(super) certificate_key: Option<Spanned<String>>,
    pub(super) token_file: Option<Spanned<String>>,
    pub(super) interval: Option<Spanned<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Feed {
    pub(super) authority: Spanned<String>,
    pub(super) key: Spanned<String>,
    pub(super) notices: Spanned<String>,
    pub(super) validity: Option<Spanned<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Notice {
    pub(super) id: Spanned<String>,
    pub(super) authority: Spanned<String>,
    pub(super) category: Spanned<String>,
    pub(super) power: Spanned<String>,
    pub(super) scope: Spanned<String>,
    pub(super) offence: Option<Spanned<String>>,
    pub(super) action: Option<Spanned<String>>,
    pub(super) sensitivity: Option<Spanned<String>>,
    pub(super) effective_at: Option<Spanned<String>>,
    pub(super) expires_at: Option<Spanned<String>>,
    pub(super) review_by: Option<Spanned<String>>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Guard {
    pub(super) own: Option<Spanned<Vec<Spanned<String>>>>,
    pub(super) block_pages: Option<Spanned<Vec<Spanned<String>>>>,
    pub(super) protected: Option<Spanned<Vec<Spanned<String>>>>,
    pub(super) defaults: Option<bool>,
    pub(super) shrink: Option<Spanned<f64>>,
    pub(super) grow: Option<Spanned<f64>>,
    pub(super) from: Option<Spanned<i64>>,
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "expected true, false, or { shrink = 0.5, grow = 2.0, from = 100 }")]
pub(super) enum OwnGuard {
    Switch(bool),
    Table(SizeTable),
}

/// Without places, as [`StaleTable`].
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SizeTable {
    pub(super) shrink: Option<f64>,
    pub(super) grow: Option<f64>,
    pub(super) from: Option<i64>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Cache {
    pub(super) size: Option<Spanned<Size>>,
    pub(super) max_ttl: Option<Spanned<i64>>,
    pub(super) serve_stale: Option<Spanned<ServeStale>>,
    pub(super) prefetch: Option<Spanned<bool>>,
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "expected true, false, or { client_timeout = \"1.8s\", max = \"1d\" }")]
pub(super) enum ServeStale {
    Switch(bool),
    Table(StaleTable),
}

/// Without places: serde's untagged enums lose them.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct StaleTable {
    pub(super) client_timeout: Option<String>,
    pub(super) max: Option<String>,
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "expected a size like \"256MiB\", or a number of bytes")]
pub(super) enum Size {
    Bytes(i64),
    Text(String),
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Ledger {
    pub(super) path: Option<Spanned<String>>,
    pub(super) key_file: Option<Spanned<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Web {
    pub(super) listen: Spanned<String>,
    #[serde(default)]
    pub(super) client: Vec<Spanned<WebClient>>,
    pub(super) tls: Option<WebTls>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WebTls {
    pub(super) certificate: Spanned<String>,
    pub(super) key: Spanned<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WebClient {
    pub(super) name: Spanned<String>,
    pub(super) role: Spanned<String>,
    pub(super) authority: Option<Spanned<String>>,
    pub(super) token_sha256: Option<Spanned<String>>,
    pub(super) certificate_sha256: Option<Spanned<String>>,
    pub(super) secret: Option<bool>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Operators {
    pub(super) socket: Option<Spanned<String>>,
    pub(super) group: Option<Spanned<String>>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Log {
    pub(super) format: Option<Spanned<String>>,
    pub(super) level: Option<Spanned<String>>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Process {
    pub(super) stop_delay: Option<Spanned<String>>,
    pub(super) core_dumps: Option<bool>,
}

impl Spec {
    /// Reads a document whose keys have been checked.
    pub(super) fn read(mut document: Spanned<DeTable<'_>>) -> Result<Self, Error> {
        let source = match document.get_mut().remove("source").map(Spanned::into_inner) {
            Some(DeValue::Array(written)) => written.into_iter().map(Source::read).collect::<Result<_, _>>()?,
            _ => Vec::new(),
        };
        let spec = Self::deserialize(toml::de::Deserializer::from(document))?;
        Ok(Self { source, ..spec })
    }
}

impl Source {
    /// What it reads, as written.
    pub(super) fn path(&self) -> &Spanned<String> {
        match self {
            Self::Directory(directory) => &directory.as_ref().path,
            Self::List(list) => &list.path,
            Self::Pull(pull) => &pull.url,
        }
    }

    fn read(written: Spanned<DeValue<'_>>) -> Result<Self, Error> {
        let kind = written.as_ref().get("kind").and_then(|kind| kind.as_ref().as_str()).map(str::to_owned);
        let reader = ValueDeserializer::from(written);
        match kind.as_deref() {
            Some("list") => List::deserialize(reader).map(|list| Self::List(Box::new(list))),
            Some("pull") => Pull::deserialize(reader).map(|pull| Self::Pull(Box::new(pull))),
            _ => Spanned::deserialize(reader).map(Self::Directory),
        }
    }
}
