//! [`Receipt`]: what became of an order, for who sent it: JSON, signed by the node as a flattened JWS (RFC 7515 §7.2.2).
//!
//! The file beside an order has the receipt twice: as the signed payload, and readable in the member `receipt`, which RFC
//! 7515 §7.2.1 lets verifiers ignore. Names stand in none; the sender knows its items by their numbers.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;

use crate::ingest::RECEIPT;
use crate::ledger::Digest;
use crate::verify::jose::jws;
use crate::verify::jose::{Alg, Jwk, PrivateKey};

/// The node's key in the state directory.
const KEY: &str = "node.jwk";
/// Octets of a receipt that is looked at, at most.
const LARGEST: u64 = 64 << 20;
/// Its public half, for those who verify receipts.
const PUBLIC: &str = "node.pub.jwk";

/// See the module's header.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Receipt {
    pub(super) version: u32,
    /// Thumbprint of the node's key.
    pub(super) node: String,
    pub(super) authority: Option<String>,
    pub(super) notice: Option<String>,
    pub(super) kind: Option<&'static str>,
    pub(super) sequence: Option<u64>,
    /// SHA-256 of the signed payload.
    pub(super) payload: Option<String>,
    /// What became of it as a whole.
    pub(super) state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) code: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) reason: Option<String>,
    pub(super) received_at: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) validated_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) effective_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) enforced_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) lifted_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) deadline_at: Option<Timestamp>,
    /// Whether it was enforced by its deadline.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) in_time: Option<bool>,
    /// Questions that the node asked itself about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) asked: Option<u64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) signers: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) items: Vec<ItemState>,
    /// The earlier notices it is about.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) notices: Vec<NoticeState>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) policy: Option<PolicyRef>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) ledger: Option<LedgerRef>,
    pub(super) written_at: Timestamp,
}

/// What became of an item.
#[derive(Clone, Debug, Serialize)]
pub(super) struct ItemState {
    pub(super) item: String,
    pub(super) state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) code: Option<String>,
    /// What `pagar approve` knows it by.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) held: Option<u64>,
}

/// Where an earlier notice stands.
#[derive(Clone, Debug, Serialize)]
pub(super) struct NoticeState {
    pub(super) notice: String,
    pub(super) state: &'static str,
}

/// The policy that enforces it.
#[derive(Clone, Debug, Serialize)]
pub(super) struct PolicyRef {
    pub(super) serial: u32,
    pub(super) digest: String,
}

/// Where it stands in the ledger, and where that ends.
#[derive(Clone, Debug, Serialize)]
pub(super) struct LedgerRef {
    /// Of the record that accepted or refused it.
    pub(super) sequence: Option<u64>,
    /// The last record.
    pub(super) head: u64,
    pub(super) hash: String,
}

impl Receipt {
    /// One that says no more than this.
    pub(super) fn new(node: &PrivateKey, state: &'static str, received_at: Timestamp, written_at: Timestamp) -> Self {
        Self {
            version: 1,
            node: node.public().thumbprint().to_string(),
            authority: None,
            notice: None,
            kind: None,
            sequence: None,
            payload: None,
            state,
            code: None,
            reason: None,
            received_at,
            validated_at: None,
            effective_at: None,
            enforced_at: None,
            lifted_at: None,
            deadline_at: None,
            in_time: None,
            asked: None,
            signers: Vec::new(),
            items: Vec::new(),
            notices: Vec::new(),
            policy: None,
            ledger: None,
            written_at,
        }
    }

    /// Writes it beside its order, whole or not at all.
    pub(super) fn write(&self, order: &Path, node: &PrivateKey) -> io::Result<()> {
        let payload = serde_json::to_string(self)?;
        let mut envelope: Value = serde_json::from_str(&jws::flattened(payload.as_bytes(), node))?;
        envelope["receipt"] = serde_json::from_str(&payload)?;
        let place = place(order);
        let aside = place.with_file_name(format!(".{}", place.file_name().unwrap_or_default().display()));
        // anybody who can drop notices can put a link or a pipe there: it is taken away, never followed
        let _ = fs::remove_file(&aside);
        let mut to = fs::OpenOptions::new().write(true).create_new(true).open(&aside)?;
        writeln!(to, "{}", serde_json::to_string_pretty(&envelope)?)?;
        fs::rename(&aside, &place)
    }
}

/// Where the receipt of an order stands.
pub(super) fn place(order: &Path) -> PathBuf {
    let whole = order.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("json"));
    // x.jws and x.json have different ones
    let name = if whole { order.file_name() } else { order.file_stem() };
    order.with_file_name(format!("{}{RECEIPT}", name.unwrap_or_default().to_string_lossy()))
}

/// Whether the receipt beside a file is one of the order with this payload.
pub(super) fn is_of(order: &Path, payload: &Digest) -> bool {
    shown(order).is_some_and(|receipt| receipt["payload"] == payload.to_string())
}

/// Whether the receipt beside a file says that it is refused.
pub(super) fn is_refusal(order: &Path) -> bool {
    shown(order).is_some_and(|receipt| receipt["state"] == "refused")
}

/// The receipt beside a file, unverified: it is only looked at to see whether it has to be written.
fn shown(order: &Path) -> Option<Value> {
    let place = place(order);
    let is_plain = fs::symlink_metadata(&place).is_ok_and(|found| found.is_file() && found.len() < LARGEST);
    let envelope: Value = serde_json::from_slice(&is_plain.then(|| fs::read(&place).ok())??).ok()?;
    envelope.get("receipt").cloned()
}

/// The node's key; made at the first start.
pub(super) fn node_key(state: &Path) -> io::Result<PrivateKey> {
    let file = state.join(KEY);
    let wrong = |error: &dyn std::fmt::Display| io::Error::other(format!("{}: {error}", file.display()));
    let key = match fs::read_to_string(&file) {
        Ok(text) => match Jwk::read(&text).map_err(|error| wrong(&error))?.pop() {
            Some(Jwk::Private(key)) => *key,
            _ => return Err(wrong(&"this is no private key")),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let key = PrivateKey::generate(None, Alg::EdDsa, Default::default()).map_err(|error| wrong(&error))?;
            write_private(&file, &key.to_jwk().to_string())?;
            key
        }
        Err(error) => return Err(wrong(&error)),
    };
    let public = state.join(PUBLIC);
    if let Err(error) = show_public(&public, &format!("{}\n", key.public().to_jwk())) {
        tracing::error!(file = %public.display(), %error, "the node's public key cannot be written");
    }
    Ok(key)
}

/// Writes the public half unless it stands there: a first start may have been killed between the two.
fn show_public(file: &Path, text: &str) -> io::Result<()> {
    if fs::read_to_string(file).is_ok_and(|there| there == text) {
        return Ok(());
    }
    let aside = file.with_extension("new");
    fs::write(&aside, text)?;
    fs::rename(&aside, file)
}

/// Writes a file that only we may read, whole or not at all.
fn write_private(file: &Path, text: &str) -> io::Result<()> {
    use std::os::unix::fs::OpenOptionsExt;
    let aside = file.with_extension("new");
    let _ = fs::remove_file(&aside); // of a crash
    let mut to = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&aside)?;
    to.write_all(text.as_bytes())?;
    to.sync_all()?;
    fs::rename(&aside, file)
}
