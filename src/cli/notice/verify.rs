//! `pagar notice verify`: whether a signed notice is good, or the receipt of one.

use std::path::PathBuf;

use clap::Args;
use jiff::Timestamp;
use serde_json::json;

use super::super::check::finding;
use super::super::screen::Screen;
use super::super::{keys, print, print_json};
use super::input::{Summary, lines, octets, said};
use super::receipt::{self, Signed};
use crate::config;
use crate::error::ExitError;
use crate::ingest::format::notice;
use crate::model::{Authority, AuthorityId, AuthorityKind};
use crate::verify::jose::{self, Envelope, jws};
use crate::verify::keyring::{Keyring, SignatureError, Verified};

/// The node's public key in its state directory.
const PUBLIC: &str = "node.pub.jwk";

#[derive(Debug, Args)]
pub(in crate::cli) struct Options {
    /// The signed notice: JWS in any serialisation; or the receipt of one
    file: PathBuf,
    /// Public keys of the authority that the notice names: JWK or JWK sets
    #[arg(long, value_name = "JWK", num_args = 1.., required_unless_present_any = ["config", "node_key"], conflicts_with = "config")]
    keys: Vec<PathBuf>,
    /// Public keys of nodes: the file is a receipt, and one of them has signed it
    #[arg(long, value_name = "JWK", num_args = 1.., conflicts_with_all = ["config", "keys", "required"])]
    node_key: Vec<PathBuf>,
    /// How many of these keys have to have signed
    #[arg(long, value_name = "NUMBER", default_value_t = 1, conflicts_with = "config")]
    required: u32,
    /// Take keys and required signatures from this configuration; of a receipt, the key from its state directory
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Verify as of another time (RFC 3339): keys may have ended since
    #[arg(long, value_name = "TIME")]
    at: Option<Timestamp>,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(options: &Options, screen: Screen) -> Result<(), ExitError> {
    let octets = octets(&options.file)?;
    let envelope = match Envelope::parse(&octets) {
        Ok(envelope) => envelope,
        Err(error) if error.is_refusal() => {
            return not_good(options, error.code(), &error.to_string(), error.hint());
        }
        Err(_) if !jws::is_meant(&octets) => {
            return Err(ExitError::Data(said(&options.file, "this is not signed", "sign it: pagar notice sign")));
        }
        Err(error) => return Err(ExitError::Data(said(&options.file, &error.to_string(), error.hint()))),
    };
    let at = options.at.unwrap_or_else(Timestamp::now);
    if !options.node_key.is_empty() || receipt::of_payload(envelope.payload()).is_some() {
        return verify_receipt(options, &octets, at, screen);
    }
    match authenticated(options, &envelope, at)? {
        Ok((authority, verified)) => good(options, &envelope, &authority, &verified),
        Err(error) => not_good(options, error.code(), &error.to_string(), error.hint()),
    }
}

/// Of a receipt, the node's key decides, and what people read in it must be what is signed.
fn verify_receipt(options: &Options, octets: &[u8], at: Timestamp, screen: Screen) -> Result<(), ExitError> {
    let signed = Signed::parse(octets).map_err(|error| {
        ExitError::Data(said(&options.file, &error, "a notice is verified with --keys: those of its authority"))
    })?;
    let nodes = match &options.config {
        Some(path) => {
            let config = config::load(path).map_err(|errors| ExitError::Config(errors.to_string()))?;
            receipt::node_keys(&[config.ledger.join(PUBLIC)])?
        }
        None if options.node_key.is_empty() => {
            let hint = "give --node-key: the node's public key, node.pub.jwk of its state directory";
            return Err(ExitError::Config(said(&options.file, "this is a receipt, which a node has signed", hint)));
        }
        None => receipt::node_keys(&options.node_key)?,
    };
    if let Err((code, message)) = signed.verify(&nodes, at) {
        return not_good(options, code, &message, "ask the operator for the node's key, and for the receipt again");
    }
    let Signed { receipt, .. } = &signed;
    if options.json {
        let serialisation = signed.envelope().form().as_str();
        let report = json!({ "good": true, "node": receipt.node, "serialisation": serialisation, "receipt": receipt });
        return print_json(&report);
    }
    print(&format!("good: signed by the node with the key {}\n{}", receipt.node, receipt::text(receipt, screen)))
}

type Authenticated = Result<(AuthorityId, Verified), SignatureError>;

fn authenticated(options: &Options, envelope: &Envelope, at: Timestamp) -> Result<Authenticated, ExitError> {
    if let Some(path) = &options.config {
        let config = config::load(path).map_err(|errors| ExitError::Config(errors.to_string()))?;
        return Ok(config.keyring.authenticate(envelope, at));
    }
    let Some(authority) = jose::claimed_authority(envelope.payload()) else {
        return Ok(Err(SignatureError::NoAuthority));
    };
    let keyring = keyring_of(&authority, options)?;
    Ok(keyring.authenticate(envelope, at))
}

/// The keys of the command line, as those of the authority that the notice names.
fn keyring_of(authority: &AuthorityId, options: &Options) -> Result<Keyring, ExitError> {
    let mut keyring = Keyring::new(&[Authority {
        id: authority.clone(),
        kind: AuthorityKind::default(),
        name: authority.to_string(),
        keys: options.keys.clone(),
        required_signatures: options.required,
        categories: None,
        test: false,
    }]);
    for path in &options.keys {
        let file = path.display().to_string();
        let text = keys::text(path).map_err(|error| ExitError::Config(format!("{file}: {error}")))?;
        keyring
            .add(authority, &file, &text)
            .map_err(|error| ExitError::Config(said(path, &error.to_string(), error.hint())))?;
    }
    Ok(keyring)
}

fn good(options: &Options, envelope: &Envelope, authority: &AuthorityId, verified: &Verified) -> Result<(), ExitError> {
    let parsed = notice::parse(envelope.payload(), &options.file);
    let summary = parsed.order.as_ref().and_then(|_| Summary::of(envelope.payload()));
    let signers = || verified.kids.iter().zip(&verified.signers);
    if options.json {
        let signers: Vec<_> =
            signers().map(|(kid, thumbprint)| json!({ "kid": kid, "thumbprint": thumbprint.to_string() })).collect();
        print_json(&json!({
            "good": true,
            "authority": authority,
            "serialisation": envelope.form().as_str(),
            "signers": signers,
            "notice": summary,
            "problems": parsed.problems.iter().map(finding).collect::<Vec<_>>(),
        }))?;
    } else {
        let signers: String = signers()
            .map(|(kid, thumbprint)| format!("  {}  thumbprint {thumbprint}\n", keys::one_line(kid)))
            .collect();
        let summary = summary.as_ref().map(Summary::text).unwrap_or_default();
        print(&format!("good: signed for {authority} by\n{signers}{summary}{}", lines(&parsed.problems)))?;
    }
    match parsed.order {
        Some(_) => Ok(()),
        None => Err(ExitError::Data("the signatures are good, but what is signed is no notice".to_owned())),
    }
}

fn not_good(options: &Options, code: &str, message: &str, hint: &str) -> Result<(), ExitError> {
    if options.json {
        print_json(&json!({ "good": false, "code": code, "message": message, "hint": hint }))?;
    } else {
        print(&format!("not good: {message} (hint: {hint})\n"))?;
    }
    Err(ExitError::Negative)
}
