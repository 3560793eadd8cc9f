//! [`Client`]: how this program asks another over HTTP, for the command line and for pulled notices.
//!
//! | rule | why |
//! |---|---|
//! | `https` everywhere, `http` to loopback only | a token or a notice is nobody else's business on the way |
//! | roots are the pinned ones, or the system's; never both, never none | who pins does not want the other 150 |
//! | redirects are not followed | they would carry the token elsewhere |
//! | every request has an end, from the name lookup to the last octet; headers are bounded | a peer that dribbles holds nobody |
//! | a proxy of the environment (`HTTPS_PROXY`, `NO_PROXY`) is used, but not to loopback | that is where the operator's own API is |
//!
//! Bodies are bounded by who reads them: ureq's `with_config().limit(n)`. ring is the cryptography, as everywhere here.

use std::fmt;
use std::fs::File;
use std::io::Read;
use std::net::IpAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustls::RootCertStore;
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use ureq::http::Uri;
use ureq::tls::{ClientCert, PrivateKey, RootCerts, TlsConfig, TlsProvider};
use ureq::typestate::{WithBody, WithoutBody};
use ureq::{Agent, RequestBuilder};

/// Where distributions keep what they trust: Debian, Fedora and RHEL, SUSE, Alpine.
const STORES: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];
/// The variable that names another, as OpenSSL reads it.
const STORE_VARIABLE: &str = "SSL_CERT_FILE";
/// Octets of a file of certificates or a key; the store of Debian has 220 KiB.
const MAX_PEM: u64 = 4 << 20;
/// Octets of a token.
const MAX_TOKEN: usize = 4 << 10;
/// Octets of an answer's header.
const MAX_HEADER: usize = 32 << 10;
/// How long a connection may take to stand.
const CONNECT: Duration = Duration::from_secs(10);

/// Why there is no client.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// The URL is none, or not one that is asked.
    #[error("{0:?} is not a URL to ask: write https://host/, or http:// for this machine")]
    Url(String),
    /// A file cannot be read.
    #[error("{}: {error}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// A file does not hold what it should.
    #[error("{}: {what}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// No system store was found.
    #[error("this system has no certificates at {}; name the server's own, or set {STORE_VARIABLE}", STORES.join(", "))]
    NoStore,
}

impl HttpError {
    fn file(path: &Path, what: impl fmt::Display) -> Self {
        Self::File { path: path.to_owned(), what: what.to_string() }
    }
}

/// How a server is known, and how it knows us, as files. They are read when a [`Client`] is made, so a new client takes up
/// what has been exchanged.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Access {
    /// The certificates that the server's must lead to (PEM); `None` trusts the system's store.
    pub ca: Option<PathBuf>,
    /// Our certificate with its chain, and its key (PEM).
    pub certificate: Option<(PathBuf, PathBuf)>,
    /// A file with the bearer token.
    pub token: Option<PathBuf>,
}

/// Asks one server, with everything that it wants to see.
pub struct Client {
    agent: Agent,
    authorization: Option<String>,
}

impl Client {
    /// `patience` is how long a request may take as a whole.
    pub fn new(url: &str, access: &Access, patience: Duration) -> Result<Self, HttpError> {
        let target = target(url)?;
        let mut config = Agent::config_builder()
            .timeout_global(Some(patience))
            .timeout_connect(Some(CONNECT.min(patience)))
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .max_response_header_size(MAX_HEADER)
            .user_agent(concat!("pagar/", env!("CARGO_PKG_VERSION")));
        if target.is_loopback {
            config = config.proxy(None);
        }
        if target.is_tls {
            config = config.tls_config(tls(access)?);
        }
        let token = access.token.as_deref().map(Token::read).transpose()?;
        Ok(Self {
            agent: Agent::new_with_config(config.build()),
            authorization: token.map(|Token(token)| format!("Bearer {token}")),
        })
    }

    /// A GET of a URL of that server.
    pub fn get(&self, url: &str) -> RequestBuilder<WithoutBody> {
        self.authorized(self.agent.get(url))
    }

    /// A POST to a URL of that server.
    pub fn post(&self, url: &str) -> RequestBuilder<WithBody> {
        self.authorized(self.agent.post(url))
    }

    fn authorized<B>(&self, request: RequestBuilder<B>) -> RequestBuilder<B> {
        match &self.authorization {
            Some(value) => request.header("authorization", value),
            None => request,
        }
    }
}

impl fmt::Debug for Client {
    /// Without the token.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("has_token", &self.authorization.is_some()).finish_non_exhaustive()
    }
}

//------ where ---------------------------------------------------------------------------------------------------------

#[derive(Debug, PartialEq, Eq)]
struct Target {
    is_tls: bool,
    is_loopback: bool,
}

/// Whether a URL is one that is asked at all.
pub fn check_url(url: &str) -> Result<(), HttpError> {
    target(url).map(drop)
}

fn target(url: &str) -> Result<Target, HttpError> {
    let refused = || HttpError::Url(url.to_owned());
    let uri: Uri = url.parse().map_err(|_| refused())?;
    let host = uri.host().filter(|host| !host.is_empty()).ok_or_else(refused)?;
    if uri.authority().is_some_and(|authority| authority.as_str().contains('@')) {
        return Err(refused()); // credentials in a URL end up in logs
    }
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    let is_loopback = address.map_or_else(|_| host.eq_ignore_ascii_case("localhost"), |address| address.is_loopback());
    match uri.scheme_str() {
        Some("https") => Ok(Target { is_tls: true, is_loopback }),
        Some("http") if is_loopback => Ok(Target { is_tls: false, is_loopback }),
        _ => Err(refused()),
    }
}

//------ TLS -----------------------------------------------------------------------------------------------------------

fn tls(access: &Access) -> Result<TlsConfig, HttpError> {
    let provider = Arc::new(ring::default_provider());
    let roots = roots(access.ca.as_deref())?;
    let identity = access.certificate.as_ref();
    let identity = identity.map(|(certificate, key)| identity_of(certificate, key, &provider)).transpose()?;
    Ok(TlsConfig::builder()
        .provider(TlsProvider::Rustls)
        .unversioned_rustls_crypto_provider(provider)
        .root_certs(RootCerts::new_with_certs(&certificates(&roots)))
        .client_cert(identity)
        .build())
}

/// The pinned certificates, or the system's.
fn roots(pinned: Option<&Path>) -> Result<Vec<CertificateDer<'static>>, HttpError> {
    let path = match pinned {
        Some(path) => path.to_owned(),
        None => {
            let named = std::env::var_os(STORE_VARIABLE).map(PathBuf::from);
            let known = STORES.iter().map(PathBuf::from);
            named.into_iter().chain(known).find(|path| path.exists()).ok_or(HttpError::NoStore)?
        }
    };
    let roots = chain(&path)?;
    // a store holds one or another that nobody can read; a pinned file must not
    let (usable, useless) = RootCertStore::empty().add_parsable_certificates(roots.iter().cloned());
    if usable == 0 || (pinned.is_some() && useless > 0) {
        return Err(HttpError::file(&path, "it holds a certificate that is none"));
    }
    Ok(roots)
}

/// Our certificate and its key, which belong together: ureq would panic over them otherwise.
fn identity_of(certificate: &Path, key: &Path, provider: &CryptoProvider) -> Result<ClientCert, HttpError> {
    let chain = chain(certificate)?;
    let pem = read_secret(key)?;
    let no_key = || HttpError::file(key, "it holds no private key in PEM");
    let secret = PrivateKeyDer::from_pem_slice(&pem).map_err(|_| no_key())?;
    let pair = CertifiedKey::from_der(chain.clone(), secret, provider);
    pair.map_err(|error| HttpError::file(key, format!("it cannot be used with {}: {error}", certificate.display())))?;
    let key = PrivateKey::from_pem(&pem).map_err(|_| no_key())?;
    Ok(ClientCert::new_with_certs(&certificates(&chain), key))
}

fn chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, HttpError> {
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&read(path, MAX_PEM)?).collect();
    match chain {
        Ok(chain) if !chain.is_empty() => Ok(chain),
        Ok(_) => Err(HttpError::file(path, "it holds no certificate in PEM")),
        Err(error) => Err(HttpError::file(path, format!("it is not PEM: {error}"))),
    }
}

fn certificates(chain: &[CertificateDer<'static>]) -> Vec<ureq::tls::Certificate<'static>> {
    chain.iter().map(|der| ureq::tls::Certificate::from_der(der).to_owned()).collect()
}

//------ secrets -------------------------------------------------------------------------------------------------------

/// A bearer token (RFC 6750).
struct Token(String);

impl Token {
    fn read(path: &Path) -> Result<Self, HttpError> {
        let octets = read_secret(path)?;
        let text = std::str::from_utf8(&octets).ok().map(str::trim);
        let fits = |text: &&str| {
            let is_token = |octet: &u8| octet.is_ascii_alphanumeric() || b"-._~+/=".contains(octet);
            (1..=MAX_TOKEN).contains(&text.len()) && text.as_bytes().iter().all(is_token)
        };
        let token = text.filter(fits).ok_or_else(|| {
            HttpError::file(path, "it is not one line with a token of letters, digits and -._~+/= (RFC 6750)")
        })?;
        Ok(Self(token.to_owned()))
    }
}

fn read(path: &Path, most: u64) -> Result<Vec<u8>, HttpError> {
    let open = || File::open(path).map(|file| file.take(most + 1));
    contents(path, most, open)
}

/// The permissions are looked at on the open file, so that it cannot be another one by then.
fn read_secret(path: &Path) -> Result<Vec<u8>, HttpError> {
    let failed = |error| HttpError::Io { path: path.to_owned(), error };
    let file = File::open(path).map_err(failed)?;
    let mode = file.metadata().map_err(failed)?.permissions().mode();
    if mode & 0o027 != 0 {
        let what = format!("its mode is {:03o}: others could read it, or its group write it; chmod 640", mode & 0o777);
        return Err(HttpError::file(path, what));
    }
    contents(path, MAX_PEM, || Ok(file.take(MAX_PEM + 1)))
}

fn contents<R: Read>(path: &Path, most: u64, open: impl FnOnce() -> std::io::Result<R>) -> Result<Vec<u8>, HttpError> {
    let mut octets = Vec::new();
    let length = open().and_then(|mut reader| reader.read_to_end(&mut octets));
    match length {
        Ok(length) if length as u64 <= most => Ok(octets),
        Ok(_) => Err(HttpError::file(path, format!("it has more than {} KiB", most >> 10))),
        Err(error) => Err(HttpError::Io { path: path.to_owned(), error }),
    }
}

#[cfg(test)]
mod tests;
