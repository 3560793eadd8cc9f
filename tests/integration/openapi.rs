//! `/openapi.json` of a real node: its references resolve, its paths answer, and every answer is what it says, member by
//! member. [`schemathesis`] (PyPI) tries what else there is; it takes minutes, so it is told to run:
//! `cargo test --test integration -- --ignored --nocapture schemathesis`.

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::harness::{Pagar, peer};
use crate::push::{Caller, Said};
use crate::signed::Signed;

/// An operator with the token `alice-token`.
fn client() -> String {
    let digest: String = Sha256::digest("alice-token").iter().map(|octet| format!("{octet:02x}")).collect();
    format!("[[web.client]]\nname = \"alice\"\nrole = \"operator\"\ntoken_sha256 = \"{digest}\"\n")
}

const FEED: &str =
    "[[feed]]\nauthority = \"mcmc\"\nkey = \"keys/feed.private.jwk\"\nnotices = \"outbox\"\nvalidity = \"1h\"\n";

/// A site that publishes a feed, and has clients if it is to.
fn site(clients: bool) -> Signed {
    let signed = Signed::with(1, &(FEED.to_owned() + &if clients { client() } else { String::new() }));
    let key = signed.site.path("keys/feed.private.jwk");
    let made = crate::harness::pagar(&["keys", "generate", "--out", key.to_str().unwrap()]);
    assert_eq!(made.code, Some(0), "{made:?}");
    std::fs::create_dir(signed.site.path("outbox")).unwrap();
    let order = signed.mcmc.sign(&signed.mcmc.restrict(1, &["bad.example", "com"]));
    signed.site.write("outbox/n-1.jws", &order);
    signed
}

//------ the document --------------------------------------------------------------------------------------------------

/// The description, to hold answers against.
struct Description(Value);

impl Description {
    fn of(node: &Pagar) -> Self {
        Self(node.json("/openapi.json"))
    }

    /// An answer to this is one that is described, and fits.
    #[track_caller]
    fn expects(&self, method: &str, path: &str, said: &Said) {
        let answer = &self.0["paths"][path][method]["responses"][said.status.to_string()];
        let media = said.kind.split(';').next().unwrap();
        let schema = &answer["content"][media]["schema"];
        assert!(schema.is_object(), "{method} {path}: {} {media} is not described", said.status);
        if let Err(why) = self.fits(schema, &said.body) {
            panic!("{method} {path} {}: {why}\n{:#}", said.status, said.body);
        }
    }

    /// A schema as far as this document goes. A member that is not described is an error: it says too little.
    fn fits(&self, schema: &Value, value: &Value) -> Result<(), String> {
        if let Some(place) = schema["$ref"].as_str() {
            let form = self.0.pointer(place.trim_start_matches('#')).ok_or_else(|| format!("{place} is nowhere"))?;
            return self.fits(form, value).map_err(|why| format!("{place}: {why}"));
        }
        for choice in ["anyOf", "oneOf"] {
            if let Some(choices) = schema[choice].as_array() {
                let fits = choices.iter().any(|choice| self.fits(choice, value).is_ok());
                return if fits { Ok(()) } else { Err(format!("{value} is none of {choice}")) };
            }
        }
        if !types(schema).contains(&kind(value)) {
            return Err(format!("{value} is {}, not {:?}", kind(value), types(schema)));
        }
        if schema["enum"].as_array().is_some_and(|words| !words.contains(value)) {
            return Err(format!("{value} is none of {}", schema["enum"]));
        }
        if schema["minimum"].as_i64().zip(value.as_i64()).is_some_and(|(least, value)| value < least) {
            return Err(format!("{value} is less than {}", schema["minimum"]));
        }
        for item in value.as_array().into_iter().flatten() {
            self.fits(&schema["items"], item)?;
        }
        self.members(schema, value)
    }

    fn members(&self, schema: &Value, value: &Value) -> Result<(), String> {
        let (Some(described), Some(members)) = (schema["properties"].as_object(), value.as_object()) else {
            return Ok(());
        };
        for name in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            members.get(name).ok_or_else(|| format!("{name} is missing"))?;
        }
        for (name, value) in members {
            let schema = described.get(name).ok_or_else(|| format!("{name} is not described"))?;
            self.fits(schema, value).map_err(|why| format!("{name}: {why}"))?;
        }
        Ok(())
    }
}

fn types(schema: &Value) -> Vec<&str> {
    match &schema["type"] {
        Value::Array(types) => types.iter().filter_map(Value::as_str).collect(),
        one => one.as_str().into_iter().collect(),
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

#[test]
fn every_answer_is_as_described() {
    let signed = site(true);
    let node = signed.start();
    let (described, alice) = (Description::of(&node), Caller::new(&node, Some("alice-token")));
    let order = signed.mcmc.sign(&signed.mcmc.restrict(1, &["bad.example", "com"]));
    let push = |query: &str, order: &str| described.expects("post", "/v1/notices", &alice.push(query, order));
    push("?dry_run=true", &order);
    push("?wait=10", &order);
    push("", &order);
    push("", &signed.mcmc.sign(&signed.mcmc.restrict(1, &["worse.example"])));
    push("", &signed.mcmc.sign(&signed.mcmc.restrict(2, &[])));
    push("", "{}");
    push("?dry_run=perhaps", &order);
    described.expects("post", "/v1/notices", &alice.post("/v1/notices", "text/plain", &order));
    let lift = json!({ "lift": { "name": "bad.example", "reason": "it is ours" } }).to_string();
    let decide = |body: &str| alice.post("/v1/overrides", "application/json", body);
    for body in [lift.as_str(), r#"{"approve":{"id":99,"reason":"x"}}"#, r#"{"lift":{"name":"..","reason":"x"}}"#, "{}"]
    {
        described.expects("post", "/v1/overrides", &decide(body));
    }
    described.expects("post", "/v1/preview", &alice.post("/v1/preview?seconds=1", "text/plain", "a.example\n"));
    let flush = alice.post("/v1/cache/flush?name=a.example", "text/plain", "");
    described.expects("post", "/v1/cache/flush", &flush);
    for (path, asked) in [
        ("/", "/"),
        ("/healthz", "/healthz"),
        ("/readyz", "/readyz"),
        ("/metrics", "/metrics"),
        ("/openapi.json", "/openapi.json"),
        ("/v1/check", "/v1/check?name=bad.example&client=192.0.2.1"),
        ("/v1/check", "/v1/check?name=www.bad.example"),
        ("/v1/check", "/v1/check?name=not.listed.example"),
        ("/v1/check", "/v1/check?name=.."),
        ("/v1/policy", "/v1/policy"),
        ("/v1/preview", "/v1/preview"),
        ("/v1/notices", "/v1/notices?limit=1"),
        ("/v1/notices", "/v1/notices?limit=0"),
        ("/v1/notices/{id}", "/v1/notices/N-1"),
        ("/v1/notices/{id}", "/v1/notices/N-0"),
        ("/v1/notices/{id}/receipt", "/v1/notices/N-1/receipt"),
        ("/v1/notices/{id}/receipt", "/v1/notices/N-1/receipt?format=csv"),
        ("/v1/notices/{id}/receipt", "/v1/notices/N-1/receipt?format=html"),
        ("/v1/receipts", "/v1/receipts"),
        ("/v1/receipts", "/v1/receipts?format=csv"),
        ("/v1/receipts", "/v1/receipts?state=forgotten"),
        ("/v1/ledger", "/v1/ledger"),
        ("/v1/overrides", "/v1/overrides"),
        ("/v1/feed/{authority}/checkpoint", "/v1/feed/mcmc/checkpoint"),
        ("/v1/feed/{authority}/checkpoint", "/v1/feed/nobody/checkpoint"),
        ("/v1/feed/{authority}/notices/{sequence}", "/v1/feed/mcmc/notices/1"),
        ("/v1/feed/{authority}/pages/{sha256}", "/v1/feed/mcmc/pages/0"),
    ] {
        described.expects("get", path, &alice.get(asked));
    }
    described.expects("get", "/v1/policy", &Caller::new(&node, None).get("/v1/policy"));
}

#[test]
fn the_document_is_sound() {
    let signed = site(false);
    let document = signed.start().json("/openapi.json");
    assert_eq!(document["openapi"], "3.1.0");
    for place in document.to_string().split("\"$ref\":\"#").skip(1).map(|rest| rest.split('"').next().unwrap()) {
        assert!(document.pointer(place).is_some(), "{place} is nowhere");
    }
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            let place = format!("{method} {path}");
            assert!(operation["responses"]["200"].is_object(), "{place}");
            assert!(operation["summary"].is_string() && operation["operationId"].is_string(), "{place}");
            for parameter in operation["parameters"].as_array().into_iter().flatten() {
                assert!(parameter["schema"].is_object() && parameter["description"].is_string(), "{place}");
            }
        }
    }
}

//------ schemathesis --------------------------------------------------------------------------------------------------

#[test]
#[ignore = "takes minutes; see the header"]
fn schemathesis() {
    let Some(program) = peer("schemathesis") else { return };
    for clients in [false, true] {
        let signed = site(clients);
        let node = signed.start();
        let token = clients.then_some("alice-token");
        let caller = Caller::new(&node, token);
        let order = signed.mcmc.sign(&signed.mcmc.restrict(1, &["bad.example", "com"]));
        assert_eq!(caller.push("?wait=10", &order).status, 201);
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/integration/schemathesis");
        let mut command = Command::new(&program);
        command.current_dir(signed.site.path(".")).env("SCHEMATHESIS_HOOKS", directory.join("hooks.py"));
        command.arg("--config-file").arg(directory.join("schemathesis.toml")).arg("run");
        // the node takes 100 requests a second of a client
        command.args(["--max-examples", "50", "--max-time", "180", "--continue-on-failure", "--rate-limit", "90/s"]);
        command.args(["--checks", "all", "--no-color", "--generation-database", "none"]);
        if let Some(token) = token {
            command.args(["--header", &format!("Authorization: Bearer {token}")]);
        }
        let ended = command.arg(format!("{}/openapi.json", node.url())).status().unwrap();
        assert!(ended.success(), "schemathesis found something, with clients: {clients}");
    }
}
