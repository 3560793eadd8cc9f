//! [`Signed`]: a receipt as a node signs it: read, verified, shown, kept.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde_json::Value;

use super::super::keys;
use super::super::screen::{Screen, plain};
use super::input::said;
use crate::error::ExitError;
use crate::ingest::RECEIPT;
use crate::model::Receipt;
use crate::report::words;
use crate::verify::jose::{Envelope, Jwk, PublicKey};

/// A receipt with the signature around it.
pub(super) struct Signed {
    envelope: Envelope,
    /// What it says.
    pub(super) receipt: Receipt,
    /// As it came.
    pub(super) json: Value,
}

/// Why a receipt is not believed: a stable word, and the same for people.
pub(super) type Doubt = (&'static str, String);

impl Signed {
    /// Reads one; the signature is not looked at yet.
    pub(super) fn parse(octets: &[u8]) -> Result<Self, String> {
        let envelope = Envelope::parse(octets).map_err(|error| error.to_string())?;
        let receipt = of_payload(envelope.payload()).ok_or("what is signed is no receipt")?;
        let json = serde_json::from_slice(octets).unwrap_or_default(); // the compact form is no JSON
        Ok(Self { envelope, receipt, json })
    }

    /// Reads a file.
    pub(super) fn read(path: &Path) -> Result<Self, ExitError> {
        Self::parse(&super::input::octets(path)?)
            .map_err(|error| ExitError::Data(said(path, &error, "give the file as the node wrote it")))
    }

    /// The envelope around it.
    pub(super) fn envelope(&self) -> &Envelope {
        &self.envelope
    }

    /// Whether one of these keys has signed it, is the one it names, and what people read in it is what is signed.
    pub(super) fn verify(&self, nodes: &[PublicKey], at: Timestamp) -> Result<(), Doubt> {
        let is_named = |key: &&PublicKey| key.thumbprint().to_string() == self.receipt.node;
        let Some(key) = nodes.iter().find(is_named) else {
            let node = plain(&self.receipt.node);
            return Err(("unknown-key", format!("it is of the node with the key {node}, which is not given")));
        };
        if let Err(outside) = key.window().check(at) {
            return Err(("key-window", format!("the key of the node {outside}")));
        }
        let signatures = self.envelope.signatures();
        if signatures.is_empty() || !signatures.iter().all(|signature| self.envelope.verifies(signature, key)) {
            return Err(("signature", "the signature is not the node's".to_owned()));
        }
        match self.json.get("receipt") {
            Some(shown) if *shown != serde_json::from_slice::<Value>(self.envelope.payload()).unwrap_or_default() => {
                Err(("shown", "what is readable beside the signature is not what is signed".to_owned()))
            }
            _ => Ok(()),
        }
    }

    /// Writes it, in place of an older one.
    pub(super) fn keep(&self, path: &Path) -> Result<(), ExitError> {
        let failed =
            |error: std::io::Error| ExitError::Runtime(format!("{} cannot be written: {error}", path.display()));
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let aside = path.with_file_name(format!(".{name}.new"));
        let text = serde_json::to_string_pretty(&self.json).unwrap_or_default();
        let write = || {
            let mut file = fs::File::create(&aside)?;
            writeln!(file, "{text}")?;
            file.sync_all()?;
            fs::rename(&aside, path)
        };
        write().map_err(failed)
    }
}

/// The receipt that a payload is, if it is one.
pub(super) fn of_payload(payload: &[u8]) -> Option<Receipt> {
    serde_json::from_slice(payload).ok()
}

/// The public keys of nodes in files.
pub(super) fn node_keys(paths: &[PathBuf]) -> Result<Vec<PublicKey>, ExitError> {
    let mut keys = Vec::new();
    for path in paths {
        keys.extend(keys::read(path)?.iter().map(|key: &Jwk| key.public().clone()));
    }
    Ok(keys)
}

/// Where the receipt of a notice is kept: beside it or in `directory`, under the name that a node would give it.
pub(super) fn place(notice: &Path, directory: Option<&Path>) -> PathBuf {
    let is_json = notice.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("json"));
    let name = if is_json { notice.file_name() } else { notice.file_stem() };
    let name = format!("{}{RECEIPT}", name.unwrap_or_default().to_string_lossy());
    match directory {
        Some(directory) => directory.join(name),
        None => notice.with_file_name(name),
    }
}

/// Whether it is as ordered: nothing refused, held, lifted by a person or not yet seen to work.
pub(super) fn is_done(receipt: &Receipt) -> bool {
    let is_good = |state: &str| !["refused", "quarantined", "lifted", "published", "accepted"].contains(&state);
    is_good(&receipt.state) && receipt.items.iter().all(|item| is_good(&item.state))
}

/// Whether more may be heard of it without anybody doing anything.
pub(super) fn is_open(receipt: &Receipt) -> bool {
    ["published", "accepted"].contains(&&*receipt.state)
}

/// For people: what became of the whole, and each item.
pub(super) fn text(receipt: &Receipt, screen: Screen) -> String {
    let word = |text: &Option<String>| text.as_deref().map_or_else(|| "?".to_owned(), plain);
    let number = receipt.sequence.map(|number| format!(", number {number}")).unwrap_or_default();
    let of = format!("{} of {}{number}", word(&receipt.notice), word(&receipt.authority));
    let mut text = format!("{of}: {}", screen.state(&receipt.state));
    match (&receipt.reason, receipt.code.as_deref()) {
        (Some(reason), Some(code)) => text += &format!(": {} ({})", plain(reason), plain(code)),
        (None, Some(code)) => text += &format!(": {}", meaning(code)),
        _ => {}
    }
    text += "\n";
    let times = [
        ("received", Some(receipt.received_at)),
        ("enforced", receipt.enforced_at),
        ("lifted", receipt.lifted_at),
        ("deadline", receipt.deadline_at),
    ];
    let times: Vec<_> = times.iter().filter_map(|(word, at)| Some(format!("{word} {:.0}", at.as_ref()?))).collect();
    text += &format!("  {}\n", times.join(", "));
    let items: Vec<_> = receipt
        .items
        .iter()
        .map(|item| {
            let why = item.code.as_deref().map(meaning).unwrap_or_default();
            let held = item.held.map(|held| format!("; held as {held}")).unwrap_or_default();
            [item.item.clone(), item.state.to_string(), why + &held]
        })
        .collect();
    if !items.is_empty() {
        text += &screen.table(["ITEM", "STATE", "REASON"], 1, &items);
    }
    let notices: Vec<_> = receipt.notices.iter().map(|it| [it.notice.clone(), it.state.to_string()]).collect();
    if !notices.is_empty() {
        text += &screen.table(["NOTICE", "STATE"], 1, &notices);
    }
    text
}

/// A code with what it means.
fn meaning(code: &str) -> String {
    match words::code(code) {
        Some(phrase) => format!("{}: {}", plain(code), phrase.en),
        None => plain(code),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn receipts_have_the_names_that_nodes_give_them() {
        let place = |notice: &str, directory: Option<&str>| place(Path::new(notice), directory.map(Path::new));
        assert_eq!(place("a/x.jws", None), Path::new("a/x.receipt.json"));
        assert_eq!(place("a/x.json", None), Path::new("a/x.json.receipt.json"));
        assert_eq!(place("a/x.jws", Some("b")), Path::new("b/x.receipt.json"));
    }
}
