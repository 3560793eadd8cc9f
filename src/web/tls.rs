//! [`Tls`]: the certificate that the listener shows, replaced by a reload or as soon as its files have changed.
//!
//! Whoever renews a certificate need not know that we run: the files are looked at every two seconds, links followed. A
//! certificate and its key are two files, so for a moment they do not belong together: what cannot be used is looked at
//! once more before it is said. What is served stays until there is something better.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use jiff::Timestamp;
use rustls::ServerConfig;
use tokio::task::spawn_blocking;
use tokio::time::sleep;
use tokio_rustls::TlsAcceptor;

use super::auth::Access;
use crate::observe::Metrics;
use crate::tls::{self, Certificate, Files, Stamp, TlsError};

/// How often the files are looked at.
const LOOK: Duration = Duration::from_secs(2);
/// What is spoken within (RFC 7301); HTTP/2 is not.
const PROTOCOLS: [&str; 1] = ["http/1.1"];

/// See the module's header. Clones share it.
#[derive(Clone)]
pub struct Tls(Arc<Inner>);

struct Inner {
    served: ArcSwapOption<ServerConfig>,
    kept: Mutex<Option<Kept>>,
    access: Access,
    metrics: Arc<Metrics>,
}

/// Where the certificate is, and what has been seen of it.
#[derive(Debug)]
struct Kept {
    files: Files,
    /// What is served was read after this.
    stamp: Stamp,
    /// What could not be used, and whether that has been said.
    failed: Option<(Stamp, bool)>,
}

/// What [`Tls::serve`] takes.
#[derive(Debug)]
pub struct Ready(Option<One>);

/// A certificate that can be served.
#[derive(Debug)]
struct One {
    kept: Kept,
    server: Arc<ServerConfig>,
    expires: Timestamp,
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tls({})", if self.0.served.load().is_some() { "on" } else { "off" })
    }
}

impl Tls {
    /// Off. Certificates of clients are asked of `access`.
    pub fn new(access: Access, metrics: Arc<Metrics>) -> Self {
        Self(Arc::new(Inner { served: ArcSwapOption::empty(), kept: Mutex::default(), access, metrics }))
    }

    /// Reads a certificate, or that there is to be none, and serves nothing yet.
    pub fn read(&self, files: Option<Files>) -> Result<Ready, TlsError> {
        files.map(|files| self.one(files)).transpose().map(Ready)
    }

    /// From the next connection on with this certificate, or without TLS.
    pub fn serve(&self, Ready(ready): Ready) {
        let mut kept = self.0.kept.lock().unwrap_or_else(PoisonError::into_inner);
        *kept = match ready {
            Some(one) => Some(self.take(one)),
            None => {
                self.0.served.store(None);
                self.0.metrics.web.certificate_expiry.set(0.0);
                None
            }
        };
    }

    /// Looks at the files for as long as it is polled.
    pub(super) async fn watch(self) {
        loop {
            sleep(LOOK).await;
            let tls = self.clone();
            let _ = spawn_blocking(move || tls.look()).await; // it reads files; a panic ends one look
        }
    }

    /// What connections are accepted with; `None` where they are plain.
    pub(super) fn acceptor(&self) -> Option<TlsAcceptor> {
        self.0.served.load_full().map(TlsAcceptor::from)
    }

    fn look(&self) {
        let mut kept = self.0.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(known) = kept.as_mut() else { return };
        let now = Stamp::of(&known.files);
        if now == known.stamp || known.failed == Some((now, true)) {
            return;
        }
        match self.one(known.files.clone()) {
            Ok(renewed) => *known = self.take(renewed),
            Err(error) if known.failed == Some((now, false)) => {
                tracing::error!(%error, "the certificate has changed and cannot be used; the old one is served on");
                self.0.metrics.web.certificate_failures.inc();
                known.failed = Some((now, true));
            }
            Err(_) => known.failed = Some((now, false)), // the other file may still be on its way
        }
    }

    fn one(&self, files: Files) -> Result<One, TlsError> {
        let stamp = Stamp::of(&files); // before: a change while reading is a change
        let certificate = Certificate::read(&files)?;
        let access = self.0.access.clone();
        let known = Arc::new(move |fingerprint: &[u8; 32]| access.knows_certificate(fingerprint));
        let server = tls::server(&certificate, &PROTOCOLS, known)?;
        Ok(One { kept: Kept { files, stamp, failed: None }, server, expires: certificate.expires() })
    }

    fn take(&self, One { kept, server, expires }: One) -> Kept {
        self.0.served.store(Some(server));
        self.0.metrics.web.certificate_expiry.set(expires.as_second() as f64);
        tracing::info!(%expires, path = %kept.files.certificate.display(), "a certificate of the API is served");
        kept
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;
    use crate::tls::tests::{certificates, files};

    fn tls() -> (Tls, Arc<Metrics>) {
        let metrics = Arc::new(Metrics::new("0", "0").unwrap());
        (Tls::new(Access::new(Vec::new(), metrics.clone()), metrics.clone()), metrics)
    }

    fn rename_over(from: &Path, to: &Path) {
        let aside = to.with_extension("aside");
        fs::copy(from, &aside).unwrap();
        fs::rename(aside, to).unwrap();
    }

    #[test]
    fn a_renewed_certificate_is_served_and_a_broken_one_is_not() {
        let Some(directory) = certificates(&["a", "b"]) else { return };
        let (a, b) = (files(&directory, "a"), files(&directory, "b"));
        let (tls, metrics) = tls();
        assert!(tls.acceptor().is_none());
        tls.serve(tls.read(Some(a.clone())).unwrap());
        let first = tls.0.served.load_full().unwrap();
        let is_first = || Arc::ptr_eq(&tls.0.served.load_full().unwrap(), &first);
        let failures = || metrics.web.certificate_failures.get();
        tls.look();
        assert!(is_first());
        // one file is there before the other
        rename_over(&b.certificate, &a.certificate);
        tls.look();
        assert!(is_first() && failures() == 0);
        rename_over(&b.key, &a.key);
        tls.look();
        assert!(!is_first() && failures() == 0);
        // and one that will never do is said once
        let second = tls.0.served.load_full().unwrap();
        fs::write(&a.certificate, "half a certificate").unwrap();
        for _ in 0..4 {
            tls.look();
        }
        assert!(Arc::ptr_eq(&tls.0.served.load_full().unwrap(), &second));
        assert_eq!(failures(), 1);
        fs::remove_file(&a.certificate).unwrap();
        for _ in 0..4 {
            tls.look();
        }
        assert_eq!(failures(), 2);
        rename_over(&b.certificate, &a.certificate);
        tls.look();
        assert!(!Arc::ptr_eq(&tls.0.served.load_full().unwrap(), &second));
    }

    #[test]
    fn what_cannot_be_served_changes_nothing() {
        let Some(directory) = certificates(&["a"]) else { return };
        let (tls, metrics) = tls();
        tls.serve(tls.read(Some(files(&directory, "a"))).unwrap());
        assert!(metrics.web.certificate_expiry.get() > 1.7e9);
        assert!(tls.read(Some(files(&directory, "none"))).is_err());
        assert!(tls.acceptor().is_some());
        tls.serve(tls.read(None).unwrap());
        assert!(tls.acceptor().is_none());
        assert_eq!(metrics.web.certificate_expiry.get(), 0.0);
    }
}
