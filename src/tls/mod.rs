//! TLS as a server: the certificate and key of a listener ([`Certificate`]), and the settings made of them ([`server`]).
//!
//! One provider of cryptography, ring. TLS 1.3, and 1.2 for authorities with older systems; rustls offers no cipher suite
//! in either that is known to be weak. No session is resumed and no early data taken: a handshake shows who is there
//! each time, and a replayed request would be one that somebody else has sent.
//!
//! Clients may show a certificate. There is no authority to sign them: each is known by the SHA-256 of itself (`pinned`), so
//! its names, dates and issuer mean nothing, and it ends when it is taken out of the configuration.

mod pinned;
mod validity;

use std::fmt;
use std::fs;
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use jiff::Timestamp;
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::version::{TLS12, TLS13};
use rustls::{ConfigBuilder, Error, ServerConfig, WantsVerifier};

pub use pinned::{Known, fingerprint};

/// Octets of a PEM file that are read: more than any chain has.
const LARGEST: u64 = 1 << 20;

/// Where a certificate and its key are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Files {
    /// The chain in PEM, the server's own certificate first.
    pub certificate: PathBuf,
    /// Its private key in PEM: PKCS#8, SEC1 or PKCS#1.
    pub key: PathBuf,
}

/// A certificate cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("{} cannot be read: {error}", .path.display())]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// The key is not as secret as a key has to be.
    #[error("{} has mode {mode:03o}: others could read it, or its group write it; chmod 640", .path.display())]
    Exposed {
        /// Which.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// A file holds something else.
    #[error("{} holds no {what} in PEM", .path.display())]
    NoPem {
        /// Which.
        path: PathBuf,
        /// What it should hold.
        what: &'static str,
    },
    /// They are not for each other, or of a kind that is not known.
    #[error("certificate and key cannot be used: {0}")]
    Unusable(Error),
}

/// A certificate with its key, read and seen to belong together.
pub struct Certificate {
    chain: Arc<CertifiedKey>,
    expires: Timestamp,
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Certificate(until {})", self.expires)
    }
}

impl Certificate {
    /// Reads both files.
    pub fn read(files: &Files) -> Result<Self, TlsError> {
        let pem = read(&files.certificate, false)?;
        let no_chain = || TlsError::NoPem { path: files.certificate.clone(), what: "certificate" };
        let chain: Vec<CertificateDer<'static>> =
            CertificateDer::pem_slice_iter(&pem).collect::<Result<_, _>>().map_err(|_| no_chain())?;
        let expires = validity::not_after(chain.first().ok_or_else(no_chain)?).ok_or_else(no_chain)?;
        let pem = read(&files.key, true)?;
        let key = PrivateKeyDer::from_pem_slice(&pem);
        let key = key.map_err(|_| TlsError::NoPem { path: files.key.clone(), what: "private key" })?;
        let chain = CertifiedKey::from_der(chain, key, &ring::default_provider()).map_err(TlsError::Unusable)?;
        Ok(Self { chain: Arc::new(chain), expires })
    }

    /// Until when clients believe it.
    pub fn expires(&self) -> Timestamp {
        self.expires
    }
}

/// Whether a certificate is its own issuer, so that whoever is to believe it needs the file itself.
pub fn is_self_issued(certificate: &Path) -> Result<bool, TlsError> {
    let pem = read(certificate, false)?;
    let own = CertificateDer::from_pem_slice(&pem);
    let own = own.map_err(|_| TlsError::NoPem { path: certificate.to_owned(), what: "certificate" })?;
    Ok(validity::is_self_issued(&own))
}

/// What a listener is served with: this certificate, these protocols (RFC 7301), and clients that are `known`, or show
/// nothing.
pub fn server(certificate: &Certificate, protocols: &[&str], known: Known) -> Result<Arc<ServerConfig>, TlsError> {
    let provider = Arc::new(ring::default_provider());
    let algorithms = provider.signature_verification_algorithms;
    let mut config = versions(provider)
        .map_err(TlsError::Unusable)?
        .with_client_cert_verifier(Arc::new(pinned::Pinned::new(known, algorithms)))
        .with_cert_resolver(Arc::new(Always(certificate.chain.clone())));
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(Arc::new(config))
}

type Builder = ConfigBuilder<ServerConfig, WantsVerifier>;

fn versions(provider: Arc<CryptoProvider>) -> Result<Builder, Error> {
    ServerConfig::builder_with_provider(provider).with_protocol_versions(&[&TLS13, &TLS12])
}

/// One certificate, whatever name the client asks for.
#[derive(Debug)]
struct Always(Arc<CertifiedKey>);

impl ResolvesServerCert for Always {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.clone())
    }
}

/// The permissions are looked at on the open file, so that it cannot be another one by then.
fn read(path: &Path, is_secret: bool) -> Result<Vec<u8>, TlsError> {
    let unreadable = |error| TlsError::Unreadable { path: path.to_owned(), error };
    let file = fs::File::open(path).map_err(unreadable)?;
    let mode = file.metadata().map_err(unreadable)?.permissions().mode() & 0o777;
    if is_secret && mode & 0o027 != 0 {
        return Err(TlsError::Exposed { path: path.to_owned(), mode });
    }
    let mut octets = Vec::new();
    file.take(LARGEST).read_to_end(&mut octets).map_err(unreadable)?;
    Ok(octets)
}

/// What tells that the files have changed; links are followed, for renewed certificates often are links.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp([Option<Seen>; 2]);

/// A file: device and number, octets, time of its last change.
type Seen = (u64, u64, u64, Option<SystemTime>);

impl Stamp {
    /// As they are now; a file that is not there is one state of many.
    pub fn of(files: &Files) -> Self {
        Self([&files.certificate, &files.key].map(|path| {
            let file = fs::metadata(path).ok()?;
            Some((file.dev(), file.ino(), file.len(), file.modified().ok()))
        }))
    }
}

#[cfg(test)]
pub(crate) mod tests;
