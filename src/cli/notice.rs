//! `pagar notice`: what an authority does with a notice before it sends it, and what anybody does to believe one.
//!
//! A notice is a JSON file, or a JWS around one ([`jws`]). Nothing here prints a target, whatever its sensitivity:
//! counts say enough to know which notice it is.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::json;
use sha2::{Digest, Sha256};

use super::check::{Finding, finding};
use super::{keys, print, print_json};
use crate::config;
use crate::control::explain::hex;
use crate::error::ExitError;
use crate::ingest::format::notice;
use crate::ingest::{Problem, Severity};
use crate::model::{Authority, AuthorityId, AuthorityKind};
use crate::verify::jose::{self, Envelope, jws};
use crate::verify::keyring::{Keyring, SignatureError, Verified};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Check notices, signed or not; exit code 0, or 3 if one has an error
    Lint(Lint),
    /// Sign a notice, or add a signature to a signed one
    Sign(Sign),
    /// Say whether a signed notice is good; exit code 0 good, 1 not good, 3 unreadable
    Verify(Verify),
}

#[derive(Debug, Args)]
pub(super) struct Lint {
    /// Notices: JSON, or JWS in any serialisation
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub(super) struct Sign {
    /// The signer's private key: a JWK
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// Write the compact serialisation, which carries one signature; default: the general one
    #[arg(long)]
    compact: bool,
    /// Write here, where no file is yet; default: standard output
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// The notice as JSON, or as JWS to have another signature
    notice: PathBuf,
}

#[derive(Debug, Args)]
pub(super) struct Verify {
    /// The signed notice: JWS in any serialisation
    file: PathBuf,
    /// Public keys of the authority that the notice names: JWK or JWK sets
    #[arg(long, value_name = "JWK", num_args = 1.., required_unless_present = "config", conflicts_with = "config")]
    keys: Vec<PathBuf>,
    /// How many of these keys have to have signed
    #[arg(long, value_name = "NUMBER", default_value_t = 1, conflicts_with = "config")]
    required: u32,
    /// Take keys and required signatures from this configuration
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Verify as of another time (RFC 3339): keys may have ended since
    #[arg(long, value_name = "TIME")]
    at: Option<Timestamp>,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(command: &Command) -> Result<(), ExitError> {
    match command {
        Command::Lint(options) => lint(options),
        Command::Sign(options) => sign(options),
        Command::Verify(options) => verify(options),
    }
}

//------ what is read --------------------------------------------------------------------------------------------------

/// A notice as a file has it.
enum Input {
    Bare(Vec<u8>),
    Signed(Envelope),
}

impl Input {
    fn read(path: &Path) -> Result<Self, ExitError> {
        let octets = octets(path)?;
        if !jws::is_meant(&octets) {
            return Ok(Self::Bare(octets));
        }
        match Envelope::parse(&octets) {
            Ok(envelope) => Ok(Self::Signed(envelope)),
            Err(error) => Err(ExitError::Data(said(path, &error.to_string(), error.hint()))),
        }
    }

    fn payload(&self) -> &[u8] {
        match self {
            Self::Bare(octets) => octets,
            Self::Signed(envelope) => envelope.payload(),
        }
    }
}

/// A file, and no more of it than is needed to see that it is too large.
fn octets(path: &Path) -> Result<Vec<u8>, ExitError> {
    let mut octets = Vec::new();
    let read = File::open(path).and_then(|file| file.take(jws::MAX_SIZE as u64 + 1).read_to_end(&mut octets));
    read.map(|_| octets).map_err(|error: io::Error| ExitError::Data(format!("{}: {error}", path.display())))
}

fn said(path: &Path, message: &str, hint: &str) -> String {
    format!("{}: error: {message} (hint: {hint})", path.display())
}

fn has_errors(problems: &[Problem]) -> bool {
    problems.iter().any(|problem| problem.severity == Severity::Error)
}

fn lines(problems: &[Problem]) -> String {
    problems.iter().map(|problem| format!("{problem}\n")).collect()
}

/// What a payload says of itself, without its targets.
#[derive(Debug, Deserialize, Serialize)]
struct Summary {
    id: String,
    sequence: u64,
    authority: String,
    kind: String,
    category: Option<String>,
    sensitivity: Option<String>,
    action: Option<String>,
    issued_at: Option<String>,
    effective_at: Option<String>,
    expires_at: Option<String>,
    #[serde(default, deserialize_with = "count")]
    targets: usize,
    #[serde(default)]
    sha256: String,
}

impl Summary {
    /// Of a payload that [`notice::parse`] has read.
    fn of(payload: &[u8]) -> Option<Self> {
        let payload_text = payload.strip_prefix(b"\xef\xbb\xbf").unwrap_or(payload);
        let summary: Self = serde_json::from_slice(payload_text).ok()?;
        Some(Self { sha256: hex(&Sha256::digest(payload)), ..summary })
    }

    fn text(&self) -> String {
        let words = [Some(&self.kind), self.category.as_ref(), self.sensitivity.as_ref(), self.action.as_ref()];
        let words: Vec<_> = words.into_iter().flatten().map(String::as_str).collect();
        let dates = [("issued", &self.issued_at), ("effective", &self.effective_at), ("expires", &self.expires_at)];
        let dates: Vec<_> = dates.iter().filter_map(|(word, at)| Some(format!("{word} {}", at.as_ref()?))).collect();
        format!(
            "{}, number {} of {}: {}, {} targets\n{}\nsha256 {}\n",
            self.id,
            self.sequence,
            self.authority,
            words.join(", "),
            self.targets,
            dates.join(", "),
            self.sha256
        )
    }
}

fn count<'de, D: serde::Deserializer<'de>>(targets: D) -> Result<usize, D::Error> {
    Ok(Option::<Vec<serde::de::IgnoredAny>>::deserialize(targets)?.map_or(0, |targets| targets.len()))
}

//------ lint ----------------------------------------------------------------------------------------------------------

#[derive(Serialize)]
struct Linted<'a> {
    file: String,
    signed: bool,
    problems: Vec<Finding<'a>>,
}

fn lint(options: &Lint) -> Result<(), ExitError> {
    let mut bad = 0;
    let mut reports = Vec::new();
    for path in &options.files {
        let (signed, problems) = linted(path);
        bad += usize::from(has_errors(&problems));
        if options.json {
            let problems: Vec<_> = problems.iter().map(finding).collect();
            reports.push(json!(Linted { file: path.display().to_string(), signed, problems }));
        } else if problems.is_empty() {
            print(&format!("{}: in order\n", path.display()))?;
        } else {
            print(&lines(&problems))?;
        }
    }
    if options.json {
        print_json(&reports)?;
    }
    match (bad, options.files.len()) {
        (0, _) => Ok(()),
        (bad, all) => Err(ExitError::Data(format!("{bad} of {all} notices with errors"))),
    }
}

/// Whether a file is signed, and what is wrong with it. The places are those in the payload.
fn linted(path: &Path) -> (bool, Vec<Problem>) {
    let problem = |code, message, hint: Option<&str>| Problem {
        severity: Severity::Error,
        file: path.to_owned(),
        line: None,
        column: None,
        message,
        hint: hint.map(str::to_owned),
        code,
    };
    let octets = match octets(path) {
        Ok(octets) => octets,
        Err(error) => return (false, vec![problem("io", error.to_string(), None)]),
    };
    if !jws::is_meant(&octets) {
        return (false, notice::parse(&octets, path).problems);
    }
    match Envelope::parse(&octets) {
        Ok(envelope) => (true, notice::parse(envelope.payload(), path).problems),
        Err(error) => (true, vec![problem(error.code(), error.to_string(), Some(error.hint()))]),
    }
}

//------ sign ----------------------------------------------------------------------------------------------------------

fn sign(options: &Sign) -> Result<(), ExitError> {
    let key = keys::signer(&options.key, Timestamp::now())?;
    let input = Input::read(&options.notice)?;
    let parsed = notice::parse(input.payload(), &options.notice);
    if has_errors(&parsed.problems) {
        let refused = "a notice with errors is not signed: correct it first";
        return Err(ExitError::Data(format!("{}{refused}", lines(&parsed.problems))));
    }
    let signed = match (&input, options.compact) {
        (Input::Bare(payload), false) => jws::sign(payload, &[&*key]),
        (Input::Bare(payload), true) => jws::compact(payload, &key),
        (Input::Signed(envelope), false) => jws::add_signature(envelope, &key)
            .map_err(|error| ExitError::Config(said(&options.notice, &error.to_string(), error.hint())))?,
        (Input::Signed(_), true) => {
            let message = "the compact serialisation carries one signature, and this notice is signed already";
            return Err(ExitError::Config(said(&options.notice, message, "leave out --compact")));
        }
    };
    // To where it does not mix with the output: whoever signs is to see what.
    let summary = Summary::of(input.payload()).map(|summary| summary.text()).unwrap_or_default();
    eprintln!("{}{summary}signed by {}", lines(&parsed.problems), keys::one_line(key.public().kid()));
    match &options.out {
        Some(path) => keys::write_new(path, &format!("{signed}\n"), 0o644),
        None => print(&format!("{signed}\n")),
    }
}

//------ verify --------------------------------------------------------------------------------------------------------

fn verify(options: &Verify) -> Result<(), ExitError> {
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
    match authenticated(options, &envelope, at)? {
        Ok((authority, verified)) => good(options, &envelope, &authority, &verified),
        Err(error) => not_good(options, error.code(), &error.to_string(), error.hint()),
    }
}

type Authenticated = Result<(AuthorityId, Verified), SignatureError>;

fn authenticated(options: &Verify, envelope: &Envelope, at: Timestamp) -> Result<Authenticated, ExitError> {
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
fn keyring_of(authority: &AuthorityId, options: &Verify) -> Result<Keyring, ExitError> {
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

fn good(options: &Verify, envelope: &Envelope, authority: &AuthorityId, verified: &Verified) -> Result<(), ExitError> {
    let parsed = notice::parse(envelope.payload(), &options.file);
    let summary = parsed.document.as_ref().and_then(|_| Summary::of(envelope.payload()));
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
    match parsed.document {
        Some(_) => Ok(()),
        None => Err(ExitError::Data("the signatures are good, but what is signed is no notice".to_owned())),
    }
}

fn not_good(options: &Verify, code: &str, message: &str, hint: &str) -> Result<(), ExitError> {
    if options.json {
        print_json(&json!({ "good": false, "code": code, "message": message, "hint": hint }))?;
    } else {
        print(&format!("not good: {message} (hint: {hint})\n"))?;
    }
    Err(ExitError::Negative)
}
