//! The keys of the configuration as data: which there are, which must be there, and which are documented but not built
//! yet.
//!
//! A new key is a line in its table here, a field in `spec`, its meaning in `resolve` and a line in
//! `config/pagar.toml`; tests compare all but the third.

/// A table and its keys.
pub(super) struct Table {
    /// As errors name it: `[dns]`.
    pub(super) name: &'static str,
    pub(super) keys: &'static [Key],
}

/// A key of a table.
pub(super) struct Key {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    /// The line to write where the key is missing and must not be.
    pub(super) required: Option<&'static str>,
}

/// What a key holds.
pub(super) enum Kind {
    /// A number, text, or a list of such; spec says which.
    Value,
    /// `[name]`, or inline.
    Table(&'static Table),
    /// `[[name]]`.
    Tables(&'static Table),
    /// `[[source]]`, whose `kind` decides its keys.
    Sources,
    /// Documented, refused until it does something.
    NotBuilt,
}

const fn value(name: &'static str) -> Key {
    Key { name, kind: Kind::Value, required: None }
}

const fn table(table: &'static Table, name: &'static str) -> Key {
    Key { name, kind: Kind::Table(table), required: None }
}

const fn tables(table: &'static Table, name: &'static str) -> Key {
    Key { name, kind: Kind::Tables(table), required: None }
}

const fn not_built(name: &'static str) -> Key {
    Key { name, kind: Kind::NotBuilt, required: None }
}

impl Table {
    /// The keys that do something in this release.
    pub(super) fn built(&self) -> impl Iterator<Item = &'static str> + Clone {
        self.keys.iter().filter(|key| !matches!(key.kind, Kind::NotBuilt)).map(|key| key.name)
    }
}

impl Key {
    const fn or_write(self, example: &'static str) -> Self {
        Self { required: Some(example), ..self }
    }
}

pub(super) static ROOT: Table = Table {
    name: "the file",
    keys: &[
        value("version"),
        table(&DNS, "dns").or_write("[dns] and below it listen = [\"127.0.0.1:53\"]"),
        tables(&UPSTREAM, "upstream"),
        table(&FORWARDING, "forwarding"),
        table(&BLOCK, "block"),
        tables(&AUTHORITY, "authority"),
        Key { name: "source", kind: Kind::Sources, required: None },
        tables(&FEED, "feed"),
        tables(&LOCAL_ZONE, "local_zone"),
        table(&GUARD, "guard"),
        table(&CACHE, "cache"),
        table(&LEDGER, "ledger"),
        table(&WEB, "web"),
        table(&OPERATORS, "operators"),
        table(&LOG, "log"),
        tables(&EXEMPT, "exempt"),
        table(&PROCESS, "process"),
        not_built("rpz"),
        not_built("block_page"),
    ],
};

static DNS: Table = Table {
    name: "[dns]",
    keys: &[
        value("listen").or_write("listen = [\"127.0.0.1:53\"]"),
        value("workers"),
        value("pin_workers"),
        value("allow"),
        table(&COOKIES, "cookies"),
        table(&RATE_LIMIT, "rate_limit"),
        table(&RRL, "rrl"),
        table(&TCP, "tcp"),
        table(&PROXY, "proxy"),
        table(&IDENTITY, "identity"),
        table(&LOCAL, "local"),
        not_built("tls"),
        not_built("https"),
        not_built("quic"),
    ],
};

static COOKIES: Table = Table { name: "[dns.cookies]", keys: &[value("enabled"), value("secret_file")] };

static RATE_LIMIT: Table = Table {
    name: "[dns.rate_limit]",
    keys: &[value("queries_per_second"), value("burst"), value("ipv4_prefix"), value("ipv6_prefix")],
};

static RRL: Table = Table {
    name: "[dns.rrl]",
    keys: &[
        value("responses_per_second"),
        value("all_per_second"),
        value("slip"),
        value("ipv4_prefix"),
        value("ipv6_prefix"),
        value("log_only"),
    ],
};

static EXEMPT: Table = Table {
    name: "[[exempt]]",
    keys: &[
        value("networks").or_write("networks = [\"192.0.2.0/28\"]"),
        value("reason").or_write("reason = \"police, order 7/2026\": the legal reason"),
        value("until").or_write("until = \"2027-01-01T00:00:00+08:00\": an exemption has an end"),
    ],
};

static TCP: Table =
    Table { name: "[dns.tcp]", keys: &[value("connections"), value("per_client"), value("idle"), value("pipeline")] };

static PROXY: Table =
    Table { name: "[dns.proxy]", keys: &[value("from").or_write("from = [\"192.0.2.10/32\"], your balancers")] };

static IDENTITY: Table = Table { name: "[dns.identity]", keys: &[value("version"), value("server_id"), value("nsid")] };

static LOCAL: Table = Table { name: "[dns.local]", keys: &[value("special_names"), value("forward")] };

static LOCAL_ZONE: Table = Table {
    name: "[[local_zone]]",
    keys: &[
        value("zone").or_write("zone = \"portal.isp.example.\""),
        value("path").or_write("path = \"zones/portal.zone\""),
    ],
};

static UPSTREAM: Table = Table {
    name: "[[upstream]]",
    keys: &[
        value("address").or_write("address = \"192.0.2.53\", or \"system\" for the servers in resolv.conf"),
        value("trust_ad"),
        value("zones"),
    ],
};

static FORWARDING: Table = Table { name: "[forwarding]", keys: &[value("strategy"), value("hedge"), value("cookies")] };

static BLOCK: Table =
    Table { name: "[block]", keys: &[value("page_v4"), value("page_v6"), value("ttl"), tables(&BLOCK_PAGE, "page")] };

static BLOCK_PAGE: Table =
    Table { name: "[[block.page]]", keys: &[value("authority"), value("category"), value("v4"), value("v6")] };

static AUTHORITY: Table = Table {
    name: "[[authority]]",
    keys: &[
        value("id").or_write("id = \"mcmc\""),
        value("kind"),
        value("name"),
        value("keys"),
        value("required_signatures"),
        value("test"),
        value("categories"),
        value("domains"),
    ],
};

pub(super) static DIRECTORY: Table = Table {
    name: "[[source]] of kind \"directory\"",
    keys: &[value("kind"), value("path").or_write("path = \"notices\""), value("allow_unsigned")],
};

pub(super) static LIST: Table = Table {
    name: "[[source]] of kind \"list\"",
    keys: &[
        value("kind"),
        value("path").or_write("path = \"lists/scam.hosts\""),
        value("format").or_write("format = \"hosts\", or \"domains\""),
        table(&NOTICE, "notice")
            .or_write("notice = { id = \"…\", authority = \"…\", category = \"…\", power = \"…\", scope = \"…\" }"),
        value("guard"),
        not_built("url"),
        not_built("csv"),
    ],
};

pub(super) static PULL: Table = Table {
    name: "[[source]] of kind \"pull\"",
    keys: &[
        value("kind"),
        value("url").or_write("url = \"https://feed.authority.example/v1/feed/mcmc/\""),
        value("authority").or_write("authority = \"mcmc\""),
        value("keys"),
        value("ca"),
        value("system_ca"),
        value("certificate"),
        value("certificate_key"),
        value("token_file"),
        value("interval"),
    ],
};

static FEED: Table = Table {
    name: "[[feed]]",
    keys: &[
        value("authority").or_write("authority = \"mcmc\""),
        value("key").or_write("key = \"keys/mcmc-feed.jwk\", the private key of the feed"),
        value("notices").or_write("notices = \"notices\", the directory of its signed notices"),
        value("validity"),
    ],
};

static NOTICE: Table = Table {
    name: "the notice of [[source]]",
    keys: &[
        value("id").or_write("id = \"MCMC-STANDING-1\""),
        value("authority").or_write("authority = \"mcmc\""),
        value("category").or_write("category = \"scam\""),
        value("power").or_write("power = \"CMA 1998 s.263(2)\""),
        value("scope").or_write(
            "scope = \"exact\" (the listed names only) or \"subtree\" (and everything below them); \
             list formats mean one or the other, so it is never guessed",
        ),
        value("offence"),
        value("action"),
        value("sensitivity"),
        value("effective_at"),
        value("expires_at"),
        value("review_by"),
    ],
};

static GUARD: Table = Table {
    name: "[guard]",
    keys: &[
        value("own"),
        value("block_pages"),
        value("protected"),
        value("defaults"),
        value("shrink"),
        value("grow"),
        value("from"),
    ],
};

static CACHE: Table =
    Table { name: "[cache]", keys: &[value("size"), value("max_ttl"), value("serve_stale"), value("prefetch")] };

static LEDGER: Table = Table { name: "[ledger]", keys: &[value("path"), value("key_file")] };

static WEB: Table = Table {
    name: "[web]",
    keys: &[
        value("listen").or_write("listen = \"127.0.0.1:8053\""),
        tables(&WEB_CLIENT, "client"),
        table(&WEB_TLS, "tls"),
    ],
};

static WEB_TLS: Table = Table {
    name: "[web.tls]",
    keys: &[
        value("certificate").or_write("certificate = \"tls/fullchain.pem\""),
        value("key").or_write("key = \"tls/key.pem\""),
    ],
};

static WEB_CLIENT: Table = Table {
    name: "[[web.client]]",
    keys: &[
        value("name").or_write("name = \"mcmc-gateway\""),
        value("role").or_write("role = \"viewer\", or \"authority\" or \"operator\""),
        value("authority"),
        value("token_sha256"),
        value("certificate_sha256"),
        value("secret"),
    ],
};

static OPERATORS: Table = Table { name: "[operators]", keys: &[value("socket"), value("group")] };

static PROCESS: Table = Table { name: "[process]", keys: &[value("stop_delay"), value("core_dumps")] };

static LOG: Table = Table { name: "[log]", keys: &[value("format"), value("level")] };

/// Every table, to find where a misplaced key belongs.
#[rustfmt::skip] // in rows
pub(super) static ALL: [&Table; 30] = [
    &ROOT, &DNS, &COOKIES, &RATE_LIMIT, &RRL, &TCP, &PROXY, &IDENTITY, &LOCAL, &LOCAL_ZONE, &UPSTREAM, &BLOCK,
    &BLOCK_PAGE, &AUTHORITY, &DIRECTORY, &LIST, &NOTICE, &CACHE, &LEDGER, &WEB, &LOG, &EXEMPT, &FORWARDING, &PROCESS,
    &GUARD, &WEB_CLIENT, &WEB_TLS, &OPERATORS, &PULL, &FEED,
];

/// Kinds of source that are read.
pub(super) const SOURCE_KINDS: [&str; 3] = ["directory", "list", "pull"];
/// Kinds of source that are documented.
pub(super) const SOURCE_KINDS_LATER: [&str; 1] = ["rpz"];
