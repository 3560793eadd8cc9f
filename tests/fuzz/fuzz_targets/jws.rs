//! A signed notice: never a panic; what cannot be read says why; what is believed was signed by the key on the ring.
#![no_main]

use std::sync::LazyLock;

use jiff::Timestamp;
use libfuzzer_sys::fuzz_target;
use pagar::model::{Authority, AuthorityId, AuthorityKind};
use pagar::verify::jose::{Envelope, Jwk, jws};
use pagar::verify::keyring::Keyring;

/// RFC 8037 appendix A, whose private half everybody knows.
const KEY: &str = r#"{"kty":"OKP","crv":"Ed25519","kid":"a","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#;

static KEYRING: LazyLock<Keyring> = LazyLock::new(|| {
    let mcmc = AuthorityId::new("mcmc");
    let mut keyring = Keyring::new(&[Authority {
        id: mcmc.clone(),
        kind: AuthorityKind::Statutory,
        name: "mcmc".into(),
        keys: Vec::new(),
        required_signatures: 1,
        categories: None,
        test: false,
    }]);
    keyring.add(&mcmc, "a.jwk", KEY).unwrap();
    keyring
});

fuzz_target!(|octets: &[u8]| {
    if let Ok(text) = std::str::from_utf8(octets)
        && let Err(error) = Jwk::read(text)
    {
        assert!(!error.to_string().is_empty());
    }
    let _ = jws::is_meant(octets);
    let envelope = match Envelope::parse(octets) {
        Ok(envelope) => envelope,
        Err(error) => return assert!(!error.to_string().is_empty() && !error.code().is_empty()),
    };
    assert!((1..=jws::MAX_SIGNATURES).contains(&envelope.signatures().len()));
    match KEYRING.authenticate(&envelope, Timestamp::UNIX_EPOCH) {
        Ok((authority, verified)) => assert!(authority.as_str() == "mcmc" && verified.kids == ["a"]),
        Err(error) => assert!(!error.to_string().is_empty() && !error.code().is_empty()),
    }
});
