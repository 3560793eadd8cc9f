//! Who is believed: the rules of the keyring one by one, and what an attacker may try.

use proptest::prelude::{any, proptest};
use proptest::{prop_assert, prop_assert_eq};

use super::*;
use crate::model::AuthorityKind;
use crate::verify::jose::jws::{add_signature, compact, flattened, sign};
use crate::verify::jose::{Alg, PrivateKey, Window};

const PAYLOAD: &[u8] = br#"{"authority":"mcmc"}"#;

fn authority(id: &str, required_signatures: u32) -> Authority {
    Authority {
        id: AuthorityId::new(id),
        kind: AuthorityKind::Statutory,
        name: id.to_owned(),
        keys: Vec::new(),
        required_signatures,
        categories: None,
        test: false,
    }
}

fn key(kid: &str) -> PrivateKey {
    within(kid, Window::default())
}

fn within(kid: &str, window: Window) -> PrivateKey {
    PrivateKey::generate(Some(kid), Alg::EdDsa, window).unwrap()
}

/// mcmc with these keys, and another authority with a key of its own.
fn keyring(required: u32, keys: &[&PrivateKey]) -> Keyring {
    let mut keyring = Keyring::new(&[authority("mcmc", required), authority("court", 1)]);
    for key in keys {
        keyring.add(&mcmc(), "mcmc.jwk", &key.public().to_jwk().to_string()).unwrap();
    }
    keyring
}

fn mcmc() -> AuthorityId {
    AuthorityId::new("mcmc")
}

fn now() -> Timestamp {
    at("2026-11-01T00:00:00Z")
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn verify(keyring: &Keyring, text: &str) -> Result<Vec<String>, SignatureError> {
    let envelope = Envelope::parse(text.as_bytes()).unwrap();
    keyring.authenticate(&envelope, now()).map(|(authority, verified)| {
        assert_eq!(authority, mcmc());
        assert_eq!(verified.kids.len(), verified.signers.len());
        verified.kids
    })
}

#[test]
fn one_good_signature_is_enough_where_one_is_required() {
    let (a, b) = (key("a"), key("b"));
    let keyring = keyring(1, &[&a, &b]);
    for text in [compact(PAYLOAD, &a), flattened(PAYLOAD, &a), sign(PAYLOAD, &[&a])] {
        assert_eq!(verify(&keyring, &text).unwrap(), ["a"]);
    }
    let envelope = Envelope::parse(sign(PAYLOAD, &[&b, &a]).as_bytes()).unwrap();
    let verified = keyring.verify(&envelope, &mcmc(), now()).unwrap();
    assert_eq!(verified.signers, [b.public().thumbprint(), a.public().thumbprint()]);
}

#[test]
fn two_signers_are_two_keys() {
    let (a, b) = (key("a"), key("b"));
    let keyring = keyring(2, &[&a, &b]);
    assert_eq!(verify(&keyring, &sign(PAYLOAD, &[&a, &b])).unwrap(), ["a", "b"]);
    let error = verify(&keyring, &sign(PAYLOAD, &[&a])).unwrap_err();
    assert_eq!(error, SignatureError::TooFew { signers: 1, required: 2, signatures: 1, unknown: 0 });
    assert_eq!(error.code(), "too-few-signatures");
    assert_eq!(error.to_string(), "1 of 2 required signers: 1 signatures, 0 of them by unknown keys");
    let twice = verify(&keyring, &sign(PAYLOAD, &[&a, &a])).unwrap_err();
    assert_eq!(twice, SignatureError::TooFew { signers: 1, required: 2, signatures: 2, unknown: 0 });
    let stranger = verify(&keyring, &sign(PAYLOAD, &[&a, &key("c")])).unwrap_err();
    assert_eq!(stranger, SignatureError::TooFew { signers: 1, required: 2, signatures: 2, unknown: 1 });
    let error = verify(&keyring, &compact(PAYLOAD, &a)).unwrap_err();
    assert_eq!(error, SignatureError::Compact { authority: mcmc(), required: 2 });
}

#[test]
fn one_key_under_two_names_is_one_signer() {
    let a = key("a");
    let mut other = a.to_jwk();
    other["kid"] = "b".into();
    let Some(Jwk::Private(b)) = Jwk::read(&other.to_string()).unwrap().pop() else { panic!("not private") };
    let keyring = keyring(2, &[&a, &b]);
    assert_eq!(keyring.signers(&mcmc()), 1);
    let error = verify(&keyring, &sign(PAYLOAD, &[&a, &b])).unwrap_err();
    assert_eq!(error, SignatureError::TooFew { signers: 1, required: 2, signatures: 2, unknown: 0 });
}

#[test]
fn keys_are_looked_up_among_the_authoritys_own() {
    let (ours, theirs) = (key("ours"), key("theirs"));
    let mut keyring = keyring(1, &[&ours]);
    let court = AuthorityId::new("court");
    keyring.add(&court, "court.jwk", &theirs.public().to_jwk().to_string()).unwrap();
    let error = verify(&keyring, &sign(PAYLOAD, &[&theirs])).unwrap_err();
    assert_eq!(error, SignatureError::UnknownKey { authority: mcmc(), kid: "theirs".into() });
    assert_eq!(error.code(), "unknown-key");
    // the same name for another key
    let error = verify(&keyring, &sign(PAYLOAD, &[&key("ours")])).unwrap_err();
    assert_eq!((error.code(), error), ("signature", SignatureError::Invalid { kid: "ours".into() }));
    // whoever signs well for himself signs not for another
    let envelope = Envelope::parse(sign(PAYLOAD, &[&ours]).as_bytes()).unwrap();
    assert_eq!(keyring.verify(&envelope, &court, now()).unwrap_err().code(), "unknown-key");
}

#[test]
fn a_wrong_signature_of_a_known_key_refuses_all() {
    let (a, b) = (key("a"), key("b"));
    let keyring = keyring(1, &[&a, &b]);
    let good = Envelope::parse(sign(PAYLOAD, &[&a]).as_bytes()).unwrap();
    let forged = add_signature(&good, &key("b")).unwrap();
    assert_eq!(verify(&keyring, &forged), Err(SignatureError::Invalid { kid: "b".into() }));
    let stranger = add_signature(&good, &key("c")).unwrap();
    assert_eq!(verify(&keyring, &stranger).unwrap(), ["a"], "a signature by nobody we know harms nothing");
}

#[test]
fn keys_count_within_their_window() {
    let (from, until) = (at("2026-01-01T00:00:00Z"), at("2026-12-01T00:00:00Z"));
    let window = |not_before, expires, revoked| Window { not_before, expires, revoked };
    for (window, code, said) in [
        (window(None, Some(from), None), "key-expired", "the key \"a\" expired at 2026-01-01T00:00:00Z"),
        (window(Some(until), None, None), "key-not-yet", "the key \"a\" is not valid before 2026-12-01T00:00:00Z"),
        (window(None, None, Some(from)), "key-revoked", "the key \"a\" was revoked at 2026-01-01T00:00:00Z"),
    ] {
        let (a, b) = (within("a", window), key("b"));
        let keyring = keyring(1, &[&a, &b]);
        let error = verify(&keyring, &sign(PAYLOAD, &[&a])).unwrap_err();
        assert_eq!((error.code(), error.to_string().as_str()), (code, said));
        assert_eq!(verify(&keyring, &sign(PAYLOAD, &[&a, &b])).unwrap(), ["b"], "while keys are changed, both sign");
        let forged = within("a", Window::default());
        assert_eq!(verify(&keyring, &sign(PAYLOAD, &[&forged, &b])).unwrap_err().code(), "signature");
    }
    let a = within("a", window(Some(from), Some(until), None));
    assert_eq!(verify(&keyring(1, &[&a]), &compact(PAYLOAD, &a)).unwrap(), ["a"]);
}

#[test]
fn whose_it_is_must_be_known() {
    let a = key("a");
    let keyring = keyring(1, &[&a]);
    for (payload, code) in [
        ("{}", "no-authority"),
        (r#"{"authority":"mcmc","authority":"mcmc"}"#, "no-authority"),
        (r#"{"authority":"other"}"#, "authority"),
        (r#"{"authority":"court"}"#, "no-keys"),
    ] {
        let error = verify(&keyring, &compact(payload.as_bytes(), &a)).unwrap_err();
        assert_eq!(error.code(), code, "{payload}");
        assert!(!error.hint().is_empty() && !error.to_string().is_empty());
    }
}

#[test]
fn key_files_are_taken_whole_or_not_at_all() {
    let (a, b) = (key("a"), key("b"));
    let mut ring = keyring(1, &[]);
    let set = |keys: &[serde_json::Value]| serde_json::json!({ "keys": keys }).to_string();
    let error = ring.add(&mcmc(), "f", &set(&[a.public().to_jwk(), b.to_jwk()])).unwrap_err();
    assert_eq!(error, KeyFileError::Private { kid: "b".into() });
    assert!(error.hint().contains("public half"));
    assert_eq!(ring.keys(&mcmc()).count(), 0);
    ring.add(&mcmc(), "both", &set(&[a.public().to_jwk(), b.public().to_jwk()])).unwrap();
    assert_eq!(
        ring.keys(&mcmc()).map(|(key, file)| (key.kid(), file)).collect::<Vec<_>>(),
        [("a", "both"), ("b", "both")]
    );
    for again in [&a, &key("a")] {
        let error = ring.add(&mcmc(), "again", &again.public().to_jwk().to_string()).unwrap_err();
        assert_eq!(error, KeyFileError::SameKid { kid: "a".into(), file: "both".into() });
    }
    let nobody = AuthorityId::new("nobody");
    assert_eq!(ring.add(&nobody, "f", "{}"), Err(KeyFileError::UnknownAuthority(nobody.clone())));
    assert!(matches!(ring.add(&mcmc(), "f", "{}"), Err(KeyFileError::Jwk(JwkError::Neither))));
    assert_eq!(ring.keys(&nobody).count() + ring.signers(&nobody), 0);
}

proptest! {
    /// Any change of an envelope that required two signatures: refused, or the same payload by two signers.
    #[test]
    fn no_change_passes(at in any::<proptest::sample::Index>(), octet in any::<u8>()) {
        let (a, b) = (key("a"), key("b"));
        let keyring = keyring(2, &[&a, &b]);
        let mut text = sign(PAYLOAD, &[&a, &b]).into_bytes();
        let at = at.index(text.len());
        text[at] = octet;
        if let Ok(envelope) = Envelope::parse(&text)
            && let Ok((_, verified)) = keyring.authenticate(&envelope, now())
        {
            prop_assert_eq!(envelope.payload(), PAYLOAD);
            prop_assert!(verified.signers.len() == 2);
        }
    }
}
