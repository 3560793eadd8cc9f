//! The configuration file: TOML in, the settings of the other layers out.
//!
//! ```text
//!  text --toml--> document --structure--> document --spec--> what was written --resolve--> Config
//!        syntax             unknown, missing,       types     every value has    ranges, ids, dates,
//!                           not built (keys)                  its place          what contradicts what
//! ```
//!
//! An error up to and including `spec` ends the reading, since what follows would be guesswork; everything `resolve`
//! finds is reported together. Nothing is ignored silently: a key that is documented but does nothing yet is refused,
//! because an operator who wrote `[dns.tls]` must not believe that queries are encrypted; one that does
//! nothing because of another is a warning. Warnings do not stop the start; they come with the [`Config`].
//!
//! The file says `version = 1`. Relative paths are relative to its directory, not to where the program was started. No
//! secret stands in it. What the machine contributes ([`Environment`]) is an argument, so [`parse`] is a pure function
//! and its tests are the same everywhere.

mod diagnostic;
mod keys;
mod resolve;
mod spec;
mod structure;
mod suggest;

use std::fs;
use std::io::Read;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use crate::dns;
use crate::feed;
use crate::http;
use crate::ingest;
use crate::ledger::seal::Key;
use crate::model::{Authority, Client};
use crate::observe::log::Format;
use crate::policy::pages::Pages;
use crate::tls;
use crate::verify::guard::Guard;
use crate::verify::guard::size::SizeRules;
use crate::verify::jose::jwk;
use crate::verify::keyring::Keyring;

use diagnostic::Reporter;
pub use diagnostic::{Diagnostic, Diagnostics, Severity};
use spec::Spec;

/// Octets of a file of secrets that are read; more than any has.
const LONGEST_SECRET: u64 = 65_536;
/// Octets of a file of names that are read: a few million names.
const LONGEST_NAMES: u64 = 64 << 20;

/// Everything the file says, in the types of the layers it is for.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// `[dns]`, `[[upstream]]`, `[forwarding]`, `[cache]`, `[[exempt]]`, `[[local_zone]]`.
    pub dns: dns::Config,
    /// `[block]`.
    pub pages: Pages,
    /// `[[authority]]`, ids unique.
    pub authorities: Vec<Authority>,
    /// Their keys, from the files that `keys` names.
    pub keyring: Arc<Keyring>,
    /// `[[source]]`, in the order of the file.
    pub sources: Vec<ingest::Source>,
    /// `[[feed]]`: what is published of signed notices, an authority each.
    pub feeds: Vec<feed::Config>,
    /// `[guard]`, `[[authority]] domains` and the `[[local_zone]]`s: names that are not to be blocked unseen.
    pub guard: Arc<Guard>,
    /// `[guard]` and the lists' own: how much a list may shrink and grow unseen.
    pub sizes: SizeRules,
    /// `[ledger] path`: the directory of what outlives the process.
    pub ledger: PathBuf,
    /// `[ledger] key_file`: what secret names are sealed with there.
    pub ledger_key: Option<Key>,
    /// `[web]`; `None` serves no HTTP.
    pub web: Option<Web>,
    /// `[operators]`.
    pub operators: Operators,
    /// `[log]`.
    pub log: Log,
    /// `[process]`.
    pub process: Process,
    /// The file this was read from.
    pub path: PathBuf,
    /// What looks wrong but keeps nothing from working as written.
    pub warnings: Diagnostics,
}

/// `[web]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Web {
    /// Where the API, the metrics and the health of the node are served.
    pub listen: SocketAddr,
    /// Who may call, names and credentials unique; nobody is asked who he is where this is empty, and `listen` is loopback.
    pub clients: Vec<Client>,
    /// `[web.tls]`: what it is served with; without it, in plain text to this machine only.
    pub tls: Option<tls::Files>,
}

/// `[operators]`: the socket on which persons lift and approve.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operators {
    /// Where it is.
    pub socket: PathBuf,
    /// The number of the group that may use it beside the server's user; without one, nobody else.
    pub group: Option<u32>,
}

/// `[log]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Log {
    /// Who reads it.
    pub format: Format,
    /// The least that is logged.
    pub level: tracing::Level,
}

/// `[process]`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Process {
    /// How long it goes on answering after the word to stop, while it says that it is not ready.
    pub stop_delay: Duration,
    /// Whether the system may write its memory to disk when it crashes.
    pub core_dumps: bool,
}

/// What the machine contributes to the meaning of a configuration.
pub struct Environment {
    /// The text of resolv.conf, or why it could not be read; for the upstream `"system"`.
    pub resolv_conf: Result<String, String>,
    /// Cores the process may use; for `workers = 0`.
    pub cores: usize,
    /// Whether an address is one of this machine's; finds an upstream that is ourselves behind a wildcard.
    pub is_own_address: fn(IpAddr) -> bool,
    /// The text of a file of public keys, or why it cannot be read.
    pub read_key: fn(&Path) -> Result<String, String>,
    /// The text of a file that nobody else may read, or what is wrong with it.
    pub read_secret: fn(&Path) -> Result<String, String>,
    /// The text of the file of groups, group(5), or why it cannot be read.
    pub read_groups: fn() -> Result<String, String>,
    /// The text of a file of names, or what is wrong with it.
    pub read_names: fn(&Path) -> Result<String, String>,
    /// Until when a certificate is good that can be served, or what is wrong with it.
    pub read_certificate: fn(&tls::Files) -> Result<Timestamp, tls::TlsError>,
    /// Whether a server can be asked with these files, or what is wrong with one of them.
    pub try_access: fn(&str, &http::Access) -> Result<(), String>,
    /// The time; finds exemptions that have ended.
    pub now: Timestamp,
}

impl Environment {
    /// The machine the program runs on.
    pub fn of_this_machine() -> Self {
        Self {
            resolv_conf: fs::read_to_string("/etc/resolv.conf").map_err(|error| error.to_string()),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            is_own_address,
            read_key,
            read_secret,
            read_groups: || fs::read_to_string("/etc/group").map_err(|error| error.to_string()),
            read_names,
            read_certificate: |files| tls::Certificate::read(files).map(|certificate| certificate.expires()),
            try_access,
            now: Timestamp::now(),
        }
    }
}

/// One octet more than a key file may have is enough to see that it is too large.
fn read_key(path: &Path) -> Result<String, String> {
    let file = fs::File::open(path).map_err(|error| error.to_string())?;
    std::io::read_to_string(file.take(jwk::MAX_SIZE as u64 + 1)).map_err(|error| error.to_string())
}

/// The permissions are looked at on the open file, so that it cannot be another one by then.
fn read_secret(path: &Path) -> Result<String, String> {
    let read = || {
        let file = fs::File::open(path)?;
        let mode = file.metadata()?.permissions().mode();
        std::io::read_to_string(file.take(LONGEST_SECRET)).map(|text| (text, mode))
    };
    match read() {
        Ok((_, mode)) if mode & 0o027 != 0 => {
            Err(format!("its mode is {:03o}: others could read it, or its group write it; chmod 640", mode & 0o777))
        }
        Ok((text, _)) => Ok(text),
        Err(error) => Err(error.to_string()),
    }
}

/// Reads the files; asks nobody.
fn try_access(url: &str, access: &http::Access) -> Result<(), String> {
    http::Client::new(url, access, Duration::from_secs(1)).map(drop).map_err(|error| error.to_string())
}

fn read_names(path: &Path) -> Result<String, String> {
    let read = || {
        let file = fs::File::open(path)?;
        let size = file.metadata()?.len();
        std::io::read_to_string(file.take(LONGEST_NAMES)).map(|text| (text, size))
    };
    match read() {
        Ok((_, size)) if size > LONGEST_NAMES => Err(format!("it has more than {} MiB", LONGEST_NAMES >> 20)),
        Ok((text, _)) => Ok(text),
        Err(error) => Err(error.to_string()),
    }
}

/// Asks the routing table: towards its own address a machine sends from that address. Connecting a UDP socket sends
/// nothing. Trying to bind would be misled by `ip_nonlocal_bind`, which anycast and VRRP hosts set.
fn is_own_address(address: IpAddr) -> bool {
    let any: IpAddr = if address.is_ipv4() { [0; 4].into() } else { [0; 16].into() };
    let source = || {
        let socket = UdpSocket::bind((any, 0))?;
        socket.connect((address, 53))?;
        socket.local_addr()
    };
    source().is_ok_and(|source| source.ip() == address)
}

/// Reads and resolves the file.
pub fn load(path: &Path) -> Result<Config, Diagnostics> {
    let octets = fs::read(path).map_err(|error| {
        let mut unreadable = Diagnostic::of_file(path, format!("the configuration cannot be read: {error}"));
        unreadable.hint("name it with --config FILE");
        unreadable
    })?;
    let text = String::from_utf8(octets).map_err(|error| not_utf8(path, &error))?;
    parse(&text, path, &Environment::of_this_machine())
}

fn not_utf8(path: &Path, error: &std::string::FromUtf8Error) -> Diagnostic {
    let good = &error.as_bytes()[..error.utf8_error().valid_up_to()];
    let line = good.iter().filter(|octet| **octet == b'\n').count() + 1;
    let mut diagnostic = Diagnostic::of_file(path, "the configuration is not UTF-8 text");
    diagnostic.line = Some(line);
    diagnostic.hint("save it as UTF-8");
    diagnostic
}

/// Resolves `text` as the configuration at `path`; reads no file and no clock itself.
pub fn parse(text: &str, path: &Path, env: &Environment) -> Result<Config, Diagnostics> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text); // editors on Windows write it; columns do not count it
    let mut report = Reporter::new(text, path);
    let Some(spec) = read(text, &mut report) else { return Err(report.finish()) };
    match resolve::config(spec, path, env, &mut report) {
        Some(config) if !report.has_errors() => Ok(Config { warnings: report.finish(), ..config }),
        _ => Err(report.finish()),
    }
}

fn read(text: &str, report: &mut Reporter<'_>) -> Option<Spec> {
    let structural = |error: toml::de::Error, report: &mut Reporter<'_>| {
        report.error(error.span(), error.message().replace("expected a sequence", "expected a list"));
    };
    let document = toml::de::DeTable::parse(text).map_err(|error| structural(error, report)).ok()?;
    structure::check(document.as_ref(), report);
    if report.has_errors() {
        return None;
    }
    Spec::read(document).map_err(|error| structural(error, report)).ok()
}

#[cfg(test)]
mod tests;
