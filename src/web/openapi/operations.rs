//! What can be asked: a path and method each, with its parameters, its body, its answers, who may ask and what can go wrong.
//!
//! What goes wrong everywhere (no `Host`, nobody known, a slow body) is not repeated: [`Operation::codes`] adds it.

use data_encoding::BASE64URL_NOPAD;
use serde_json::{Value, json};

use super::schemas::kind;
use crate::control::preview;
use crate::model::{Receipt, Role};
use crate::web::api::{ledger, notices};
use crate::web::auth::{OPERATORS, READERS, SENDERS};
use crate::web::body;
use crate::web::problem::Code;

/// A path and method.
#[derive(Debug)]
pub(super) struct Operation {
    pub(super) method: &'static str,
    pub(super) path: &'static str,
    pub(super) id: &'static str,
    pub(super) summary: &'static str,
    /// What the summary leaves out.
    pub(super) more: &'static str,
    pub(super) who: Who,
    pub(super) parameters: Vec<Value>,
    pub(super) body: Option<Value>,
    /// By status.
    pub(super) answers: Vec<(u16, Value)>,
    /// What goes wrong here and not everywhere.
    pub(super) problems: &'static [Code],
    /// Problems whose codes belong to what was handed in.
    pub(super) refusals: &'static [(u16, &'static str)],
}

/// Who may ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Who {
    /// Everybody.
    Open,
    /// A program on the machine, or a reader.
    LocalOrReader,
    /// Every client.
    Client,
    /// Clients with one of these roles.
    Roles(&'static [Role]),
}

impl Who {
    /// What is to be shown where clients are configured.
    pub(super) fn security(self) -> Value {
        match self {
            Self::Open => json!([]),
            Self::LocalOrReader => json!([{}, { "bearer": [] }, { "mutualTLS": [] }]),
            Self::Client | Self::Roles(_) => json!([{ "bearer": [] }, { "mutualTLS": [] }]),
        }
    }
}

impl Operation {
    /// What it is listed under.
    pub(super) fn tag(&self) -> &'static str {
        self.path.strip_prefix("/v1/").and_then(|rest| rest.split('/').next()).unwrap_or("node")
    }

    /// Every problem of it, those that are everywhere included.
    pub(super) fn codes(&self) -> Vec<Code> {
        let mut codes = vec![Code::Host, Code::ForeignHost, Code::Internal];
        if self.who != Who::Open {
            codes.extend([Code::Unauthenticated, Code::Guessing, Code::Rate]);
        }
        if matches!(self.who, Who::LocalOrReader | Who::Roles(_)) {
            codes.push(Code::Role);
        }
        if self.method != "get" {
            codes.push(Code::FromPage);
        }
        if self.parameters.iter().any(|parameter| parameter["in"] == "query") {
            codes.push(Code::Parameters);
        }
        if self.body.is_some() {
            codes.extend([Code::SlowBody, Code::Body, Code::TooLarge, Code::Busy]);
        }
        codes.extend(self.problems);
        codes
    }

    fn new(method: &'static str, path: &'static str, id: &'static str, summary: &'static str) -> Self {
        let (parameters, answers) = (Vec::new(), Vec::new());
        Self {
            method,
            path,
            id,
            summary,
            more: "",
            who: Who::Client,
            parameters,
            body: None,
            answers,
            problems: &[],
            refusals: &[],
        }
    }

    fn more(self, more: &'static str) -> Self {
        Self { more, ..self }
    }

    fn who(self, who: Who) -> Self {
        Self { who, ..self }
    }

    fn problems(self, problems: &'static [Code]) -> Self {
        Self { problems, ..self }
    }

    fn refusals(self, refusals: &'static [(u16, &'static str)]) -> Self {
        Self { refusals, ..self }
    }

    /// With a piece of the path.
    fn piece(mut self, name: &str, about: &str, schema: Value) -> Self {
        let parameter = json!({ "name": name, "in": "path", "required": true, "description": about, "schema": schema });
        self.parameters.push(parameter);
        self
    }

    /// With a parameter that may be left out.
    fn query(mut self, name: &str, about: &str, schema: Value) -> Self {
        self.parameters.push(json!({ "name": name, "in": "query", "description": about, "schema": schema }));
        self
    }

    /// With one that may not.
    fn needs(self, name: &str, about: &str, schema: Value) -> Self {
        let mut told = self.query(name, about, schema);
        if let Some(last) = told.parameters.last_mut() {
            last["required"] = true.into();
        }
        told
    }

    /// With a body: its media types, each with a schema and an example.
    fn body(mut self, about: &str, kinds: &[(&str, Value, Value)]) -> Self {
        let content: serde_json::Map<_, _> = kinds
            .iter()
            .map(|(media, schema, example)| ((*media).to_owned(), json!({ "schema": schema, "example": example })))
            .collect();
        self.body = Some(json!({ "description": about, "required": true, "content": content }));
        self
    }

    /// With an answer of these media types.
    fn answers(mut self, status: u16, about: &str, kinds: &[(&str, Value)]) -> Self {
        let mut answer = json!({ "description": about });
        for (media, schema) in kinds {
            answer["content"][media] = json!({ "schema": schema });
        }
        self.answers.push((status, answer));
        self
    }

    /// With 200 and a form in JSON.
    fn gives(self, form: &str, about: &str) -> Self {
        self.answers(200, about, &[(JSON, kind(form))])
    }

    /// With a header of the answer that was given last.
    fn header(mut self, name: &str, about: &str) -> Self {
        if let Some((_, answer)) = self.answers.last_mut() {
            answer["headers"][name] = json!({ "description": about, "required": true, "schema": { "type": "string" } });
        }
        self
    }
}

const JSON: &str = "application/json";
const JOSE_JSON: &str = "application/jose+json";
const JOSE: &str = "application/jose";
const TEXT: &str = "text/plain";

/// All of them.
pub(super) fn operations() -> Vec<Operation> {
    [node(), policy(), orders(), receipts(), people(), feed()].into_iter().flatten().collect()
}

fn get(path: &'static str, id: &'static str, summary: &'static str) -> Operation {
    Operation::new("get", path, id, summary)
}

fn post(path: &'static str, id: &'static str, summary: &'static str) -> Operation {
    Operation::new("post", path, id, summary)
}

/// About the program.
fn node() -> Vec<Operation> {
    let text = || kind("string");
    vec![
        get("/", "index", "What is served here, for people").who(Who::Open).answers(200, "A list.", &[(TEXT, text())]),
        get("/healthz", "alive", "Whether the process runs").who(Who::Open).answers(200, "It does.", &[(TEXT, text())]),
        get("/readyz", "ready", "Whether the node can do its work")
            .who(Who::Open)
            .answers(200, "A policy is in force and the DNS sockets answer.", &[(TEXT, text())])
            .problems(&[Code::NotReady]),
        get("/metrics", "metrics", "The counts, for Prometheus").who(Who::LocalOrReader).answers(
            200,
            "Text exposition 0.0.4.",
            &[(TEXT, text())],
        ),
        get("/openapi.json", "description", "This document").who(Who::Open).answers(
            200,
            "OpenAPI 3.1.",
            &[(JSON, kind("object"))],
        ),
    ]
}

/// About the policy and the cache.
fn policy() -> Vec<Operation> {
    let seconds = json!({
        "type": "integer", "minimum": 1, "maximum": preview::LONGEST.as_secs(), "default": preview::DEFAULT.as_secs(),
    });
    let scope = json!({ "type": "string", "enum": ["exact", "subtree"], "default": "subtree" });
    let preview = "/v1/preview";
    vec![
        get("/v1/check", "check", "What a name is answered with, and why")
            .more("It asks the policy, not the DNS. Names of secret notices are shown to clients that may see them.")
            .needs("name", "A domain name.", domain())
            .query(
                "type",
                "A record type: a mnemonic or a number.",
                json!({ "type": "string", "minLength": 1, "default": "A", "examples": ["HTTPS", "TYPE65"] }),
            )
            .query(
                "client",
                "The address of a DNS client: is it exempt?",
                json!({ "type": "string", "anyOf": [{ "format": "ipv4" }, { "format": "ipv6" }], "examples": ["192.0.2.1"] }),
            )
            .gives("Explanation", "What the policy does with it."),
        get("/v1/policy", "policy", "The policy in force and its sources").gives("Policy", "What is in force."),
        post("/v1/cache/flush", "flush", "The cache forgets a name")
            .who(Who::Roles(OPERATORS))
            .needs("name", "A domain name.", domain())
            .query("subtree", "The names below it too.", json!({ "type": "boolean", "default": false }))
            .gives("Flushed", "What was forgotten."),
        get(preview, "read_preview", "What a preview has counted")
            .who(Who::Roles(READERS))
            .gives("Preview", "Of the one that runs, or the last one.")
            .problems(&[Code::NoPreview]),
        post(preview, "start_preview", "Counts what a notice would block, before it is in force")
            .who(Who::Roles(OPERATORS))
            .query("seconds", "How long it counts.", seconds)
            .query("scope", "Of the names of a list.", scope)
            .body(
                "A list with a name a line, or a notice in JSON without its signature. Its media type is not looked at.",
                &[(TEXT, json!({ "type": "string", "maxLength": body::LARGEST }), json!("bad.example\n"))],
            )
            .gives("Preview", "It has begun.")
            .problems(&[Code::Candidate, Code::PreviewRunning, Code::PreviewFailed]),
        Operation::new("delete", preview, "end_preview", "Ends a preview early")
            .who(Who::Roles(OPERATORS))
            .gives("Preview", "What it has counted.")
            .problems(&[Code::NoPreview]),
    ]
}

/// Orders handed in, and notices.
fn orders() -> Vec<Operation> {
    let limit = |most: usize| json!({ "type": "integer", "minimum": 1, "maximum": most, "default": 100 });
    let state = json!({ "type": "string", "enum": notices::STATES });
    let signed = || [(JOSE_JSON, kind("SignedReceipt"))];
    let compact = json!({ "type": "string", "pattern": "^[A-Za-z0-9_-]+\\.[A-Za-z0-9_-]+\\.[A-Za-z0-9_-]+$" });
    let [header, payload, signature] = example();
    let place = "The notice, `/v1/notices/{id}?authority=…`.";
    vec![
        post("/v1/notices", "push", "Hands a signed order in")
            .more(
                "The same payload again changes nothing and gets its receipt as it stands. The signatures decide whether an order \
                 is believed, whoever brings it; the example is well formed and signed by nobody.",
            )
            .who(Who::Roles(SENDERS))
            .query(
                "dry_run",
                "Says what it would change; nothing is recorded.",
                json!({ "type": "boolean", "default": false }),
            )
            .query("wait", "Seconds until the answer, at most, while the order is not yet carried out.", wait())
            .body(
                "A JWS over the order: in JSON, flattened or general, or compact.",
                &[
                    (JOSE_JSON, kind("SignedNotice"), json!({ "payload": payload, "protected": header, "signature": signature })),
                    (JOSE, compact, format!("{header}.{payload}.{signature}").into()),
                ],
            )
            .answers(201, "It was taken. The receipt as it stands.", &signed())
            .header("Location", place)
            .answers(
                200,
                "It was taken before: the receipt as it stands. Or what it would change, of a dry run.",
                &[(JOSE_JSON, kind("SignedReceipt")), (JSON, kind("Rehearsal"))],
            )
            .problems(&[Code::MediaType, Code::NotReady])
            .refusals(&[
                (400, "no order can be read from it"),
                (403, "the signatures, the keys or what the authority may order"),
                (409, "its number or id belongs to another order"),
                (413, "it is larger than any order"),
                (422, "what it says cannot be carried out"),
                (503, "the ledger cannot be written: nothing was taken"),
            ]),
        get("/v1/notices", "notices", "The notices, page by page")
            .query("state", "Only those in this state.", state)
            .query("authority", "Only those of this authority.", id_of("mcmc"))
            .query("cursor", "`next` of the page before.", json!({ "type": "string" }))
            .query("limit", "How many, at most.", limit(notices::LARGEST_PAGE))
            .gives("Notices", "A page.")
            .problems(&[Code::NotReady]),
        get("/v1/notices/{id}", "notice", "One notice, and the orders about it")
            .piece("id", "The notice's id.", id_of("N-1"))
            .query("authority", "Whose, where several have one with this id.", id_of("mcmc"))
            .gives("History", "Where it stands.")
            .problems(&[Code::NoNotice, Code::NotFound, Code::NotReady]),
        get("/v1/ledger", "ledger", "Records of the ledger, and where the chain ends")
            .more("Names of the secret class are sealed in it.")
            .who(Who::Roles(READERS))
            .query(
                "from",
                "Number of the first.",
                json!({ "type": "integer", "minimum": 1, "maximum": u64::MAX, "default": 1 }),
            )
            .query("limit", "How many, at most.", limit(ledger::LARGEST_PAGE))
            .gives("Records", "As `pagar ledger export` has them.")
            .problems(&[Code::NotReady])
            .refusals(&[(503, "the ledger cannot be read")]),
    ]
}

/// What became of orders.
fn receipts() -> Vec<Operation> {
    let format = || json!({ "type": "string", "enum": ["json", "csv", "html"], "default": "json" });
    let state = json!({ "type": "string", "enum": Receipt::STATES });
    let several = json!({ "type": "array", "items": id_of("N-1") });
    let text = || kind("string");
    vec![
        get("/v1/notices/{id}/receipt", "receipt", "The receipt of an order as it stands, signed by the node")
            .piece("id", "The order's id.", id_of("N-1"))
            .query("authority", "Whose, where several have one with this id.", id_of("mcmc"))
            .query("wait", "Seconds until the answer, at most, while the order is not yet carried out.", wait())
            .query("format", "For programs, for spreadsheets, or to be printed.", format())
            .answers(
                200,
                "The receipt. Only JSON is signed.",
                &[(JOSE_JSON, kind("SignedReceipt")), ("text/csv", text()), ("text/html", text())],
            )
            .problems(&[Code::NoNotice, Code::NotFound, Code::NotReady]),
        get("/v1/receipts", "status", "What became of several orders, counted")
            .query("authority", "Only those of this authority.", id_of("mcmc"))
            .query("notice", "Only this one; again and again, these.", several)
            .query("state", "Only those in this state.", state)
            .query("format", "For programs, for spreadsheets, or to be printed.", format())
            .answers(
                200,
                "At most 5000 orders, with a cut-off.",
                &[(JSON, kind("Status")), ("text/csv", text()), ("text/html", text())],
            )
            .problems(&[Code::NotReady]),
    ]
}

/// What waits for people, and what they decide.
fn people() -> Vec<Operation> {
    let example = json!({ "lift": { "name": "www.example.com", "reason": "court order 7 of 2026" } });
    vec![
        get("/v1/overrides", "waiting", "What waits for people")
            .who(Who::Roles(READERS))
            .gives("Waiting", "Names of secret notices for clients that may see them."),
        post("/v1/overrides", "decide", "Lifts a name, takes a lift back, or approves what is held")
            .more("The client is the person: what needs two persons needs two clients.")
            .who(Who::Roles(OPERATORS))
            .body("What is decided.", &[(JSON, kind("Decision"), example)])
            .gives("Done", "It is done, or proposed.")
            .problems(&[Code::UnknownPerson, Code::MediaType, Code::Request])
            .refusals(&[
                (404, "`unknown`, `not-listed`: there is nothing to decide"),
                (409, "`same-person` and others: not by this person, or not now"),
                (422, "`name`, `reason`: what is written cannot be recorded"),
                (503, "`read-only`, `ledger`, `late`: the node cannot record it now"),
            ]),
    ]
}

/// What is published for other nodes.
fn feed() -> Vec<Operation> {
    let part = |path, id, summary| {
        get(path, id, summary).piece("authority", "Whose.", id_of("mcmc")).problems(&[
            Code::NotFound,
            Code::OtherAuthority,
            Code::Unpublished,
        ])
    };
    let given = |operation: Operation, kinds: &[(&str, Value)]| {
        let given = operation.answers(200, "The part.", kinds).header("ETag", "SHA-256 of its octets.");
        given.answers(304, "The part that `If-None-Match` names is the one.", &[]).header("ETag", "The same.")
    };
    let checkpoint = part("/v1/feed/{authority}/checkpoint", "checkpoint", "The signed checkpoint of a feed");
    let page = part("/v1/feed/{authority}/pages/{sha256}", "page", "A page of its index").piece(
        "sha256",
        "Its hash, from the checkpoint.",
        kind("string"),
    );
    let notice = part("/v1/feed/{authority}/notices/{sequence}", "published", "A signed notice")
        .piece("sequence", "The authority's number.", id_of("1"))
        .problems(&[Code::NotFound, Code::OtherAuthority, Code::Unpublished, Code::Secret]);
    vec![
        given(checkpoint, &[(JOSE_JSON, kind("SignedCheckpoint"))]),
        given(page, &[(JSON, kind("FeedPage"))]),
        given(notice, &[(JOSE_JSON, kind("SignedNotice")), (JOSE, kind("string"))]),
    ]
}

fn domain() -> Value {
    json!({ "type": "string", "minLength": 1, "examples": ["www.example.com"] })
}

fn id_of(example: &str) -> Value {
    json!({ "type": "string", "examples": [example] })
}

fn wait() -> Value {
    json!({ "type": "integer", "minimum": 0, "maximum": notices::LONGEST_WAIT, "default": 0 })
}

/// An order as it is signed, but for the signature: header, payload, and 64 octets in its place.
fn example() -> [String; 3] {
    let header = json!({ "alg": "EdDSA", "kid": "mcmc-1" });
    let payload = json!({
        "version": 1, "id": "N-1", "sequence": 1, "authority": "mcmc", "kind": "restrict",
        "legal_basis": { "power": "CMA 1998 s.263(2)" }, "category": "scam",
        "issued_at": "2026-01-01T00:00:00+08:00", "action": "block-page",
        "targets": [{ "item": "1", "name": "bad.example", "scope": "subtree" }],
    });
    let encoded = |octets: &[u8]| BASE64URL_NOPAD.encode(octets);
    [encoded(header.to_string().as_bytes()), encoded(payload.to_string().as_bytes()), encoded(&[0; 64])]
}
