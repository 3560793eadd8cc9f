//! Receipts as files: a [`Receipt`], signed by the node as a flattened JWS (RFC 7515 §7.2.2), and the node's key.
//!
//! The file beside an order has the receipt twice: as the signed payload, and readable in the member `receipt`, which RFC
//! 7515 §7.2.1 lets verifiers ignore. Names stand in none; the sender knows its items by their numbers.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::ingest::RECEIPT;
use crate::model::Receipt;
use crate::verify::jose::jws;
use crate::verify::jose::{Alg, Jwk, PrivateKey};

/// The node's key in the state directory.
const KEY: &str = "node.jwk";
/// Octets of a receipt that is looked at, at most.
const LARGEST: u64 = 64 << 20;
/// Its public half, for those who verify receipts.
const PUBLIC: &str = "node.pub.jwk";

/// A receipt as its node signs it: RFC 7515 §7.2.2, with the receipt readable beside its signed octets.
pub(super) fn signed(receipt: &Receipt, node: &PrivateKey) -> serde_json::Result<Value> {
    let payload = serde_json::to_string(receipt)?;
    let mut envelope: Value = serde_json::from_str(&jws::flattened(payload.as_bytes(), node))?;
    envelope["receipt"] = serde_json::from_str(&payload)?;
    Ok(envelope)
}

/// Writes a receipt beside its order, whole or not at all.
pub(super) fn write(receipt: &Receipt, order: &Path, node: &PrivateKey) -> io::Result<()> {
    let place = place(order);
    let aside = place.with_file_name(format!(".{}", place.file_name().unwrap_or_default().display()));
    // anybody who can drop notices can put a link or a pipe there: it is taken away, never followed
    let _ = fs::remove_file(&aside);
    let mut to = fs::OpenOptions::new().write(true).create_new(true).open(&aside)?;
    writeln!(to, "{}", serde_json::to_string_pretty(&signed(receipt, node)?)?)?;
    fs::rename(&aside, &place)
}

/// Where the receipt of an order stands.
pub(super) fn place(order: &Path) -> PathBuf {
    let whole = order.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("json"));
    // x.jws and x.json have different ones
    let name = if whole { order.file_name() } else { order.file_stem() };
    order.with_file_name(format!("{}{RECEIPT}", name.unwrap_or_default().to_string_lossy()))
}

/// Whether the receipt beside a file says that it is refused.
pub(super) fn is_refusal(order: &Path) -> bool {
    shown(order).is_some_and(|receipt| receipt.state == "refused")
}

/// The receipt beside a file, unverified: it is only looked at to see whether it has to be written.
pub(super) fn shown(order: &Path) -> Option<Receipt> {
    let place = place(order);
    let is_plain = fs::symlink_metadata(&place).is_ok_and(|found| found.is_file() && found.len() < LARGEST);
    let envelope: Value = serde_json::from_slice(&is_plain.then(|| fs::read(&place).ok())??).ok()?;
    serde_json::from_value(envelope.get("receipt")?.clone()).ok()
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
