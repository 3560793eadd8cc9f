//! `pagar keys`: makes Ed25519 keys as JWK, and shows what a key file holds without its secrets.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::{print, print_json};
use crate::error::ExitError;
use crate::verify::jose::{Alg, Jwk, PrivateKey, PublicKey, Window, jwk};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Make a key: the private half into a file, the public half beside it
    Generate(Generate),
    /// Print the public half of the keys in a file, what they are called, and how long they count
    Show(Show),
}

#[derive(Debug, Args)]
pub(super) struct Generate {
    /// Write the private key here, readable by its owner only; the public one with the extension .pub.jwk beside it
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// What signatures call the key; default: its thumbprint (RFC 7638)
    #[arg(long)]
    kid: Option<String>,
    /// When it ends (RFC 3339); default: never
    #[arg(long, value_name = "TIME")]
    expires: Option<Timestamp>,
    /// The name of the algorithm in its signatures: EdDSA, which every library knows, or Ed25519 (RFC 9864)
    #[arg(long, value_name = "NAME", default_value = Alg::EdDsa.as_str(), value_parser = parse_alg)]
    alg: Alg,
}

#[derive(Debug, Args)]
pub(super) struct Show {
    /// A JWK or a JWK set, private or public
    file: PathBuf,
    /// Print a JWK set of the public halves, with their thumbprints
    #[arg(long)]
    json: bool,
}

fn parse_alg(text: &str) -> Result<Alg, String> {
    Alg::of(text).ok_or_else(|| "write EdDSA or Ed25519".to_owned())
}

pub(super) fn run(command: &Command) -> Result<(), ExitError> {
    match command {
        Command::Generate(options) => generate(options),
        Command::Show(options) => show(options),
    }
}

fn generate(options: &Generate) -> Result<(), ExitError> {
    if options.expires.is_some_and(|at| at <= Timestamp::now()) {
        return Err(ExitError::Config("--expires is in the past: the key could sign nothing".to_owned()));
    }
    let window = Window { expires: options.expires, ..Window::default() };
    let key = PrivateKey::generate(options.kid.as_deref(), options.alg, window)
        .map_err(|error| ExitError::Config(error.to_string()))?;
    let (private, public) = (&options.out, options.out.with_extension("pub.jwk"));
    write_new(private, &format!("{:#}\n", key.to_jwk()), 0o600)?;
    write_new(&public, &format!("{:#}\n", key.public().to_jwk()), 0o644).inspect_err(|_| {
        let _ = fs::remove_file(private); // made just now, and of no use without the other half
    })?;
    print(&format!(
        "{}private     {}  (keep it secret)\npublic      {}  (give it to those who verify)\n",
        described(key.public()),
        private.display(),
        public.display()
    ))
}

fn show(options: &Show) -> Result<(), ExitError> {
    let keys = read(&options.file)?;
    if options.json {
        let all: Vec<Value> = keys.iter().map(|key| with_thumbprint(key.public())).collect();
        return print_json(&json!({ "keys": all }));
    }
    let one = |key: &Jwk| format!("{}{}\n", described(key.public()), key.public().to_jwk());
    print(&keys.iter().map(one).collect::<Vec<_>>().join("\n"))
}

/// Members that are not known are ignored (RFC 7517 §4), so what is printed can be used as a key file.
fn with_thumbprint(key: &PublicKey) -> Value {
    let mut jwk = key.to_jwk();
    jwk["thumbprint"] = key.thumbprint().to_string().into();
    jwk
}

fn described(key: &PublicKey) -> String {
    let Window { not_before, expires, revoked } = key.window();
    let dates = [("from", not_before), ("until", expires), ("revoked", revoked)];
    let dates: Vec<_> = dates.iter().filter_map(|(word, at)| Some(format!("{word} {}", at.as_ref()?))).collect();
    let valid = if dates.is_empty() { "without end".to_owned() } else { dates.join(", ") };
    format!("kid         {}\nthumbprint  {}\nvalid       {valid}\n", one_line(key.kid()), key.thumbprint())
}

/// A `kid` as it is, or with escapes if it holds what a terminal would obey.
pub(super) fn one_line(kid: &str) -> String {
    if kid.chars().any(char::is_control) { format!("{kid:?}") } else { kid.to_owned() }
}

/// The keys in a file.
pub(super) fn read(path: &Path) -> Result<Vec<Jwk>, ExitError> {
    let bad = |error: &str, hint: &str| ExitError::Data(format!("{}: {error}{hint}", path.display()));
    let text = text(path).map_err(|error| bad(&error.to_string(), ""))?;
    Jwk::read(&text).map_err(|error| bad(&error.to_string(), &format!(" (hint: {})", error.hint())))
}

/// The text of a key file, and no more of it than is needed to see that it is too large.
pub(super) fn text(path: &Path) -> io::Result<String> {
    io::read_to_string(File::open(path)?.take(jwk::MAX_SIZE as u64 + 1))
}

/// The one private key in a file, for signing at that time.
pub(super) fn signer(path: &Path, now: Timestamp) -> Result<Box<PrivateKey>, ExitError> {
    let mut keys = read(path)?;
    let key = match (keys.pop(), keys.is_empty()) {
        (Some(Jwk::Private(key)), true) => key,
        (Some(Jwk::Public(_)), true) => {
            let hint = "its owner has the private half";
            return Err(ExitError::Config(format!("{}: the key is public; {hint}", path.display())));
        }
        _ => return Err(ExitError::Config(format!("{}: give a file with one key", path.display()))),
    };
    if let Err(outside) = key.public().window().check(now) {
        return Err(ExitError::Config(format!("{}: the key {:?} {outside}", path.display(), key.public().kid())));
    }
    let mode = fs::metadata(path).map(|metadata| metadata.permissions().mode()).unwrap_or_default();
    if mode & 0o077 != 0 {
        eprintln!("{}: warning: others can reach the private key; chmod 600", path.display());
    }
    Ok(key)
}

/// Writes a file that is not there yet.
pub(super) fn write_new(path: &Path, text: &str, mode: u32) -> Result<(), ExitError> {
    let write = || {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()
    };
    write().map_err(|error: io::Error| match error.kind() {
        io::ErrorKind::AlreadyExists => {
            ExitError::Config(format!("{} is there already, and nothing is overwritten", path.display()))
        }
        _ => ExitError::Runtime(format!("{} cannot be written: {error}", path.display())),
    })
}
