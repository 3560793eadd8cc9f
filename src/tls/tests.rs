//! Certificates of openssl, read and refused.

use std::process::{Command, Stdio};

use tempfile::TempDir;

use super::*;

/// A directory with `NAME.pem` and `NAME.key` for each name; `None` where openssl is not installed.
pub(crate) fn certificates(names: &[&str]) -> Option<TempDir> {
    let directory = tempfile::tempdir().unwrap();
    for name in names {
        let path = |end: &str| directory.path().join(format!("{name}.{end}"));
        let made = Command::new("openssl")
            .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30"])
            .args(["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"])
            .arg("-keyout")
            .arg(path("key"))
            .arg("-out")
            .arg(path("pem"))
            .stderr(Stdio::null())
            .status();
        let Ok(made) = made else {
            let required = std::env::var("PAGAR_PEERS").is_ok_and(|peers| peers == "required");
            assert!(!required, "openssl is not installed, and PAGAR_PEERS=required");
            println!("skipped: needs openssl");
            return None;
        };
        assert!(made.success());
        fs::set_permissions(path("key"), fs::Permissions::from_mode(0o600)).unwrap();
    }
    Some(directory)
}

/// The files of a name in such a directory.
pub(crate) fn files(directory: &TempDir, name: &str) -> Files {
    let path = |end: &str| directory.path().join(format!("{name}.{end}"));
    Files { certificate: path("pem"), key: path("key") }
}

#[test]
fn a_certificate_is_read_with_its_end() {
    let Some(directory) = certificates(&["a"]) else { return };
    let certificate = Certificate::read(&files(&directory, "a")).unwrap();
    assert!(is_self_issued(&files(&directory, "a").certificate).unwrap());
    let days = (certificate.expires().as_second() - Timestamp::now().as_second()) / 86_400;
    assert!((29..=30).contains(&days), "{certificate:?}");
    let config = server(&certificate, &["http/1.1"], Arc::new(|_| false)).unwrap();
    assert_eq!(config.alpn_protocols, [b"http/1.1"]);
}

#[test]
fn what_cannot_be_served_says_why() {
    let Some(directory) = certificates(&["a", "b"]) else { return };
    let (a, b) = (files(&directory, "a"), files(&directory, "b"));
    let why = |certificate: &Path, key: &Path| {
        let files = Files { certificate: certificate.to_owned(), key: key.to_owned() };
        Certificate::read(&files).unwrap_err()
    };
    assert!(matches!(why(&a.certificate, &b.key), TlsError::Unusable(_)), "{}", why(&a.certificate, &b.key));
    assert!(matches!(why(&a.key, &a.key), TlsError::NoPem { what: "certificate", .. }));
    assert!(matches!(why(&a.certificate, &directory.path().join("none")), TlsError::Unreadable { .. }));
    fs::copy(&a.certificate, &b.key).unwrap();
    fs::set_permissions(&b.key, fs::Permissions::from_mode(0o600)).unwrap();
    assert!(matches!(why(&a.certificate, &b.key), TlsError::NoPem { what: "private key", .. }));
    fs::set_permissions(&a.key, fs::Permissions::from_mode(0o644)).unwrap();
    assert!(why(&a.certificate, &a.key).to_string().ends_with("chmod 640"));
}

#[test]
fn a_change_of_either_file_shows() {
    let Some(directory) = certificates(&["a"]) else { return };
    let files = files(&directory, "a");
    let before = Stamp::of(&files);
    assert_eq!(Stamp::of(&files), before);
    let aside = directory.path().join("aside");
    fs::copy(&files.key, &aside).unwrap();
    fs::rename(&aside, &files.key).unwrap();
    let after = Stamp::of(&files);
    assert_ne!(after, before);
    fs::remove_file(&files.certificate).unwrap();
    assert_ne!(Stamp::of(&files), after);
}
