//! The forms of answers and requests, as tables: a member a line, with its kind and what it says.
//!
//! Kinds: `string`, `time`, `sha256`, `count`, `integer`, `boolean`, `object`, or another form by its name; `[kind]` is a list of
//! it, `kind|null` may be null, and with `?` behind it the member may be absent. Members may be added in later versions, so
//! no form is closed; the tests hold answers against them as if each were.

use serde_json::{Map, Value, json};

use crate::model::Receipt;
use crate::web::problem::Code;

/// A form: its name, what it is, its members.
type Form = (&'static str, &'static str, &'static [(&'static str, &'static str, &'static str)]);

/// All of them.
pub(super) fn all() -> Value {
    let mut schemas = Map::new();
    for (name, about, words) in WORDS {
        schemas.insert((*name).to_owned(), json!({ "type": "string", "description": about, "enum": words }));
    }
    let states = "What became of an order, an item or a notice.";
    schemas.insert("State".to_owned(), json!({ "type": "string", "description": states, "enum": Receipt::STATES }));
    for (name, about, members) in FORMS {
        schemas.insert((*name).to_owned(), form(about, members));
    }
    schemas.insert("Problem".to_owned(), problem());
    schemas.insert("SignedNotice".to_owned(), signed_notice());
    schemas.insert("Decision".to_owned(), decision());
    schemas.into()
}

/// A kind, as the table has it.
pub(super) fn kind(word: &str) -> Value {
    if let Some(inner) = word.strip_suffix("|null") {
        return match kind(inner) {
            Value::Object(mut of) if of.contains_key("type") => {
                of["type"] = json!([of["type"], "null"]);
                of.into()
            }
            other => json!({ "anyOf": [other, { "type": "null" }] }),
        };
    }
    if let Some(inner) = word.strip_prefix('[').and_then(|word| word.strip_suffix(']')) {
        return json!({ "type": "array", "items": kind(inner) });
    }
    match word {
        "string" | "boolean" | "integer" | "object" => json!({ "type": word }),
        "time" => json!({ "type": "string", "format": "date-time" }),
        "sha256" => json!({ "type": "string", "pattern": "^[0-9a-f]{64}$" }),
        "count" => json!({ "type": "integer", "minimum": 0 }),
        _ => json!({ "$ref": format!("#/components/schemas/{word}") }),
    }
}

fn form(about: &str, members: &[(&str, &str, &str)]) -> Value {
    let (mut properties, mut required) = (Map::new(), Vec::new());
    for (name, word, about) in members {
        let mut member = kind(word.trim_end_matches('?'));
        member["description"] = (*about).into();
        properties.insert((*name).to_owned(), member);
        if !word.ends_with('?') {
            required.push(*name);
        }
    }
    json!({ "type": "object", "description": about, "properties": properties, "required": required })
}

/// The members of every problem, and those that some have.
fn problem() -> Value {
    let mut problem = form("An error (RFC 9457).", PROBLEM);
    problem["properties"]["type"]["pattern"] = "^urn:pagar:problem:[a-z0-9-]+$".into();
    problem["properties"]["code"]["examples"] = Code::ALL.map(Code::as_str).to_vec().into();
    problem
}

/// A JWS of one signature, or of several.
fn signed_notice() -> Value {
    const PAYLOAD: (&str, &str, &str) = ("payload", "string", "The notice, base64url.");
    const PROTECTED: (&str, &str, &str) = ("protected", "string", "The protected header, base64url: `alg` and `kid`.");
    const SIGNATURE: (&str, &str, &str) = ("signature", "string", "The signature, base64url.");
    let mut flattened = form("Flattened: one signature.", &[PAYLOAD, PROTECTED, SIGNATURE]);
    flattened["not"] = json!({ "required": ["signatures"] });
    let mut general = form("General: several signatures.", &[PAYLOAD, ("signatures", "[object]", "Each of them.")]);
    general["properties"]["signatures"]["items"] = form("One of them.", &[PROTECTED, SIGNATURE]);
    general["not"] = json!({ "anyOf": [{ "required": ["protected"] }, { "required": ["signature"] }] });
    json!({ "description": "A JWS (RFC 7515) in JSON whose payload is a notice.", "oneOf": [flattened, general] })
}

/// What a person decides: one of three.
fn decision() -> Value {
    let name = json!({ "type": "string", "description": "A domain name.", "minLength": 1 });
    let reason = json!({
        "type": "string", "minLength": 1, "maxLength": 1000,
        "description": "Why, for the ledger: a line of text, at most 1000 octets.",
    });
    let id = json!({ "type": "integer", "description": "As `GET /v1/overrides` numbers it.", "minimum": 0, "maximum": u64::MAX });
    let one = |word: &str, about: &str, key: &str, value: &Value| {
        json!({
            "type": "object", "description": about, "required": [word], "additionalProperties": false,
            "properties": { word: {
                "type": "object", "required": [key, "reason"], "additionalProperties": false,
                "properties": { key: value, "reason": reason },
            } },
        })
    };
    json!({
        "description": "What a person decides.",
        "oneOf": [
            one("lift", "Lifts a name at once.", "name", &name),
            one("restore", "Takes a lift back.", "name", &name),
            one("approve", "Approves, or proposes, what is held.", "id", &id),
        ],
    })
}

/// The members of a notice, and more.
macro_rules! notice {
    ($($more:expr)*) => {
        &[
            ("authority", "string", "Whose."),
            ("notice", "string", "Its id."),
            ("sequence", "count", "The highest number of the orders about it."),
            ("said_by", "string", "The order that says what it says now: itself, or an amendment."),
            ("category", "string", "What it is about."),
            ("sensitivity", "Sensitivity", "Who may see its names."),
            ("state", "State", "As in receipts."),
            ("received_at", "time", "When its first order came."),
            ("effective_at", "time", "From when it holds."),
            ("expires_at", "time?", "Until when, if that is known."),
            ("deadline_at", "time?", "By when it had to be enforced."),
            ("enforced_at", "time?", "Since when it is seen to be."),
            $($more,)*
        ]
    };
}

/// Words of which one is said.
const WORDS: &[(&str, &str, &[&str])] = &[
    ("Kind", "What an order does.", &["restrict", "amend", "revoke", "suspend", "resume"]),
    ("Sensitivity", "Who may see the names of a notice.", &["public", "restricted", "secret"]),
    ("Held", "What waits: a list needs one person, an item of a notice two.", &["list", "item"]),
];

const FORMS: &[Form] = &[
    (
        "Explanation",
        "What the policy says about one name and type, and why.",
        &[
            ("name", "string", "The name asked, canonical."),
            ("qtype", "count", "The type asked, as a number."),
            ("listed", "boolean", "Whether the policy answers."),
            ("rule", "Rule|null", "The rule that answers."),
            (
                "others",
                "[Rule]",
                "Listings that do not answer: outranked, not yet effective, expired, or exact on a name above.",
            ),
            (
                "nearest_listed_ancestor",
                "string|null",
                "For a name that is not listed: the closest name above it with a listing.",
            ),
            ("exempt", "Exempt|null", "Why the client asked about is not restricted, if it is not."),
            ("lifted", "boolean", "Whether a person has lifted it, or a name above it."),
            ("serial", "count", "Serial of the policy."),
            ("digest", "sha256", "Digest of the policy."),
            ("at", "time", "The instant this is about."),
        ],
    ),
    (
        "Exempt",
        "Why a client is not restricted.",
        &[("reason", "string", "The legal reason."), ("until", "time", "The end.")],
    ),
    (
        "Rule",
        "A target of a notice.",
        &[
            ("notice", "string", "The notice's id."),
            ("authority", "string", "Whose."),
            ("kind", "string", "Of the authority: `statutory` (EDE 16) or `operator` (EDE 15)."),
            ("power", "string", "The provision that allows the order."),
            ("offence", "string|null", "The offence it is to prevent."),
            ("category", "string", "What it is about."),
            ("sensitivity", "Sensitivity", "Who may see its names."),
            ("target", "string", "The listed name."),
            ("scope", "string", "`exact` or `subtree`."),
            ("action", "string", "What it is answered with."),
            ("since", "time", "In force since."),
            ("until", "time|null", "In force until."),
            ("state", "string", "`in force`, `scheduled` or `expired`."),
        ],
    ),
    (
        "Policy",
        "The policy in force.",
        &[
            ("serial", "count", "Serial of the publication."),
            ("digest", "sha256", "Digest over the notices in force."),
            ("names", "count", "Names in force."),
            ("notices", "count", "Notices known, in force or not."),
            ("built_at", "time", "When it was compiled."),
            ("sources", "[Source]", "The sources, in the order of the configuration."),
        ],
    ),
    (
        "Source",
        "How a source is doing.",
        &[
            ("name", "string", "Its label."),
            ("entries", "count", "Names it lists, those not in force included."),
            ("last_success", "time|null", "When it was last read without failure."),
            ("age_seconds", "integer|null", "Seconds since then."),
            ("last_error", "string|null", "Why it cannot be read now; its last good content stays in force."),
            ("problems", "[string]", "Problems found in its files when they last changed."),
        ],
    ),
    (
        "Flushed",
        "What the cache has forgotten.",
        &[
            ("name", "string", "The name, canonical."),
            ("subtree", "boolean", "Whether the names below it were meant too."),
            ("flushed", "count", "How many entries it was."),
        ],
    ),
    (
        "Preview",
        "Figures of a preview.",
        &[
            ("queries", "count", "Queries that the candidate would have blocked and the policy in force did not."),
            ("names", "count", "Names of the candidate that they were for, or below."),
            ("seconds", "count", "Seconds it has counted."),
            ("candidate", "count", "Names the candidate has."),
            ("running", "boolean", "Whether it goes on counting."),
        ],
    ),
    (
        "Notices",
        "A page of notices.",
        &[("notices", "[Notice]", "Where each stands."), ("next", "string?", "For `cursor`, if there are more.")],
    ),
    ("Notice", "Where a notice stands.", NOTICE),
    (
        "Order",
        "An order about a notice.",
        &[
            ("notice", "string", "Its id."),
            ("kind", "Kind", "What it does."),
            ("sequence", "count", "Its number among the authority's orders."),
            ("received_at", "time", "When it came."),
            ("effective_at", "time", "From when it holds."),
            ("ledger", "count", "The record that accepted it."),
        ],
    ),
    (
        "Rehearsal",
        "What an order would change.",
        &[
            ("authority", "string", "Whose order."),
            ("notice", "string", "Its id."),
            ("kind", "Kind", "What it does."),
            ("sequence", "count", "Its number."),
            ("known", "boolean", "It was taken before: sending it again changes nothing."),
            ("test", "boolean?", "Its authority only rehearses: nothing of it would be in force."),
            ("effective_at", "time", "When it would take effect."),
            ("adds", "count", "Names it would newly restrict."),
            ("already_listed", "count", "How many of these other notices list already."),
            ("removes", "count", "Names it would take out."),
            ("still_listed", "count", "How many of these other notices go on listing."),
            ("unchanged", "count", "Names that stay as they are."),
            ("items", "[RehearsedItem]", "Items that would not come into force."),
            ("text", "string", "All that in a line."),
        ],
    ),
    (
        "RehearsedItem",
        "An item that would not come into force.",
        &[
            ("item", "string", "Its number in the order."),
            ("state", "State", "`quarantined` or `refused`."),
            ("code", "string", "Why."),
        ],
    ),
    (
        "SignedReceipt",
        "A flattened JWS of the node over the receipt, with the receipt itself for people. What is signed is `payload`.",
        &[
            ("payload", "string", "The receipt, base64url."),
            ("protected", "string", "The protected header, base64url."),
            ("signature", "string", "The signature, base64url."),
            ("receipt", "Receipt", "What the payload says."),
        ],
    ),
    ("Receipt", "What became of an order. Names stand in none.", RECEIPT),
    (
        "ItemState",
        "What became of an item.",
        &[
            ("item", "string", "Its number in the order."),
            ("state", "State", "What became of it."),
            ("code", "string?", "Why it is not as ordered: a stable word."),
            ("held", "count?", "What `approve` knows it by."),
            ("since", "time?", "When a person lifted its name, or one below it."),
        ],
    ),
    (
        "NoticeState",
        "Where an earlier notice stands.",
        &[("notice", "string", "Its id."), ("state", "State", "What became of it.")],
    ),
    (
        "PolicyRef",
        "The policy that enforces it.",
        &[("serial", "count", "Serial of the publication."), ("digest", "sha256", "Digest over the notices in force.")],
    ),
    (
        "LedgerRef",
        "Where it stands in the ledger, and where that ends.",
        &[
            ("sequence", "count|null", "Of the record that accepted or refused it."),
            ("head", "count", "The last record."),
            ("hash", "sha256", "The last record's hash."),
        ],
    ),
    (
        "Status",
        "What became of several orders, counted.",
        &[
            ("cut_off", "time", "What is later than this is not in it."),
            ("orders", "count", "Notices and orders about notices."),
            ("orders_refused", "count", "Those of them that were refused as a whole."),
            ("late", "count", "Those that were enforced after their deadline, or were not by the cut-off."),
            ("items", "Counts", "The items of all."),
            ("notices", "[Line]", "Each order."),
            ("not_carried_out", "[NotCarriedOut]", "The items that were not carried out as ordered."),
        ],
    ),
    (
        "Line",
        "One order.",
        &[
            ("notice", "string|null", "Its id."),
            ("authority", "string|null", "Whose."),
            ("kind", "Kind|null", "What it does."),
            ("sequence", "count|null", "Its number."),
            ("state", "State", "What became of it."),
            ("code", "string?", "Why it is not as ordered."),
            ("reason", "string?", "The same for people."),
            ("received_at", "time", "When the node had it."),
            ("enforced_at", "time|null", "Since when it is seen to be enforced."),
            ("lifted_at", "time|null", "When it was seen to be lifted."),
            ("deadline_at", "time|null", "By when it had to be enforced."),
            ("late", "boolean", "Whether it missed its deadline, or has by the cut-off."),
            ("items", "Counts", "Its items."),
        ],
    ),
    (
        "NotCarriedOut",
        "An item that was refused or is held.",
        &[
            ("notice", "string|null", "Of this notice."),
            ("item", "string", "Its number there."),
            ("state", "State", "What became of it."),
            ("code", "string|null", "Why."),
        ],
    ),
    (
        "Counts",
        "How many items had which fate.",
        &[
            ("ordered", "count", "All."),
            ("enforced", "count", "Seen to be blocked."),
            ("waiting", "count", "Not yet."),
            ("tested", "count", "Of an authority that only rehearses."),
            ("quarantined", "count", "Held for people."),
            ("refused", "count", "Not taken."),
            ("lifted", "count", "Lifted by a person, or ended."),
            ("replaced", "count", "Said anew by a later order."),
        ],
    ),
    (
        "Records",
        "Records of the ledger.",
        &[("records", "[Record]", "By their number."), ("head", "Head", "Where the chain ends.")],
    ),
    (
        "Head",
        "Where the chain ends.",
        &[("sequence", "count", "Number of the last record."), ("hash", "sha256", "Its hash.")],
    ),
    (
        "Record",
        "A record as it was written, so that its hash can be computed.",
        &[
            ("sequence", "count", "Its number."),
            ("hash", "sha256", "Its hash."),
            ("prev", "sha256", "The hash of the record before."),
            ("record", "object", "What it says."),
        ],
    ),
    ("Waiting", "What waits for people.", &[("held", "[HeldItem]", "The oldest first.")]),
    (
        "HeldItem",
        "Something that waits for a person.",
        &[
            ("id", "count", "Its number, for `approve`."),
            ("what", "Held", "What it is."),
            ("authority", "string", "Whose order it is about."),
            ("notice", "string", "The notice."),
            ("item", "string", "The item of the notice, or what is odd about the list."),
            ("source", "string", "The source it came from."),
            ("code", "string", "Why it is held."),
            ("name", "string|null", "The name; withheld where it is secret, and nothing for a list."),
            ("since", "time", "Since when."),
            ("proposed_by", "string|null", "Who has approved it so far."),
        ],
    ),
    (
        "Done",
        "What was done.",
        &[("text", "string", "In words."), ("ledger", "count|null", "Under which number the ledger has it.")],
    ),
    (
        "Cause",
        "Something wrong with an order.",
        &[
            ("severity", "string", "`error` or `warning`."),
            ("code", "string|null", "A stable word."),
            ("message", "string", "What is wrong."),
            ("hint", "string|null", "What to write instead."),
            ("line", "count|null", "Where in the payload."),
            ("column", "count|null", "Likewise."),
        ],
    ),
    (
        "SignedCheckpoint",
        "A JWS with `typ` `pagar-checkpoint+json`: what a feed says it has.",
        &[
            ("payload", "string", "The checkpoint, base64url."),
            ("protected", "string", "The protected header, base64url."),
            ("signature", "string", "The signature, base64url."),
        ],
    ),
    (
        "FeedPage",
        "A page of a feed's index.",
        &[("version", "count", "1."), ("entries", "[FeedEntry]", "By their number.")],
    ),
    (
        "FeedEntry",
        "A notice of a feed.",
        &[
            ("sequence", "count", "The authority's number."),
            ("payload", "sha256", "SHA-256 of what is signed: what the notice is known by."),
            ("envelope", "sha256", "SHA-256 of what is served."),
            ("size", "count", "Octets of that."),
        ],
    ),
    ("History", "Where a notice stands, and the orders about it.", HISTORY),
];

const NOTICE: &[(&str, &str, &str)] = notice!();
const HISTORY: &[(&str, &str, &str)] = notice!(("orders", "[Order]", "Every order about it, its own first."));

const RECEIPT: &[(&str, &str, &str)] = &[
    ("version", "count", "Of this form: 1."),
    ("node", "string", "Thumbprint of the node's key."),
    ("authority", "string|null", "Whose order; null where nobody is known to have sent it."),
    ("notice", "string|null", "The order's id."),
    ("kind", "Kind|null", "What it does."),
    ("sequence", "count|null", "Its number among the authority's orders."),
    ("payload", "sha256|null", "SHA-256 of the signed payload."),
    ("state", "State", "What became of it as a whole."),
    ("code", "string?", "Why it is not as ordered: a stable word."),
    ("reason", "string?", "The same for people."),
    ("received_at", "time", "When the node had it."),
    ("validated_at", "time?", "When its signatures and content had been checked."),
    ("effective_at", "time?", "From when on it holds."),
    ("enforced_at", "time?", "Since when its names are seen to be blocked, without a break."),
    ("lifted_at", "time?", "When its names were seen to resolve again."),
    ("deadline_at", "time?", "By when it had to be enforced."),
    ("in_time", "boolean?", "Whether it was enforced by its deadline."),
    ("asked", "count?", "Questions that the node asked itself about it."),
    ("signers", "[string]?", "Thumbprints of the keys it is signed with."),
    ("items", "[ItemState]?", "Each of its items."),
    ("notices", "[NoticeState]?", "The earlier notices it is about."),
    ("policy", "PolicyRef?", "The policy that was asked."),
    ("test", "boolean?", "It is of an authority that only rehearses: nothing of it is in force."),
    ("ledger", "LedgerRef?", "Where it is recorded."),
    ("written_at", "time", "When this was written."),
];

const PROBLEM: &[(&str, &str, &str)] = &[
    ("type", "string", "`urn:pagar:problem:` and the code."),
    ("title", "string", "What kind of error it is; it belongs to the code."),
    ("status", "count", "The status of the answer."),
    ("detail", "string", "What went wrong here, for people."),
    ("hint", "string?", "What to do instead."),
    ("code", "string", "A stable word: programs go by it."),
    ("causes", "[string]?", "Why the node is not ready."),
    ("authority", "string?", "Of a refused order: whose it is."),
    ("notice", "string?", "Its id."),
    ("sequence", "count?", "Its number."),
    ("problems", "[Cause]?", "All that is wrong with it, where that is more."),
    ("receipt", "SignedReceipt?", "The refusal as the node signs it, if the sender is known."),
];
