//! Keys: the vectors of RFC 8037 appendix A, and everything that is no key here.

use proptest::prelude::{any, proptest};
use proptest::{prop_assert, prop_assert_eq};

use super::*;

/// RFC 8037 A.1.
const PRIVATE: &str = r#"{"kty":"OKP","crv":"Ed25519",
    "d":"nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A",
    "x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#;
/// RFC 8037 A.2.
const PUBLIC: &str = r#"{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#;

fn one(text: &str) -> Result<Jwk, JwkError> {
    Jwk::read(text).map(|mut keys| {
        assert_eq!(keys.len(), 1);
        keys.remove(0)
    })
}

fn private(text: &str) -> PrivateKey {
    match one(text) {
        Ok(Jwk::Private(key)) => *key,
        other => panic!("{other:?}"),
    }
}

/// A.2 with more members.
fn with(members: &str) -> Result<Jwk, JwkError> {
    one(&PUBLIC.replace('}', &format!(",{members}}}")))
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

#[test]
fn the_keys_and_the_thumbprint_of_rfc_8037() {
    let key = one(PUBLIC).unwrap();
    assert!(matches!(key, Jwk::Public(_)));
    let thumbprint = "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"; // A.3
    assert_eq!(key.public().thumbprint().to_string(), thumbprint);
    assert_eq!(key.public().kid(), thumbprint, "a key without a name is called by it");
    assert_eq!(private(PRIVATE).public(), key.public());
}

#[test]
fn the_signature_of_rfc_8037() {
    let input = b"eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc"; // A.4
    let signature = private(PRIVATE).sign(input);
    let expected = "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg";
    assert_eq!(BASE64URL_NOPAD.encode(&signature), expected);
    let key = one(PUBLIC).unwrap(); // A.5
    assert!(key.public().verifies(input, &signature));
    assert!(!key.public().verifies(&input[1..], &signature));
    assert!(!key.public().verifies(input, &signature[..63]));
}

#[test]
fn a_set_has_several_keys() {
    let keys = Jwk::read(&format!("{{\"keys\": [{PUBLIC}, {PRIVATE}], \"extra\": 1}}")).unwrap();
    assert!(matches!(keys[..], [Jwk::Public(_), Jwk::Private(_)]));
    for (text, error) in [
        ("{\"keys\": []}".to_owned(), JwkError::Empty),
        (format!("{{\"keys\": [{}]}}", [PUBLIC; 101].join(",")), JwkError::TooMany),
        ("{\"keys\": {}}".to_owned(), JwkError::Shape { member: "keys", expected: "a list of keys" }),
        ("{}".to_owned(), JwkError::Neither),
        (" ".repeat(MAX_SIZE + 1), JwkError::TooLarge),
    ] {
        assert_eq!(Jwk::read(&text).unwrap_err(), error);
    }
    let error = Jwk::read(&format!("{{\"keys\": [{PUBLIC}, {{\"kty\":\"RSA\"}}]}}")).unwrap_err();
    assert_eq!(error.to_string(), "key 2 of the set: kty \"RSA\" is not accepted");
    assert!(error.hint().contains("Ed25519"));
    assert!(Jwk::read("{\"keys\": [1]}").unwrap_err().to_string().starts_with("key 1 of the set"));
}

#[test]
fn what_is_no_ed25519_key_is_refused_by_name() {
    let x = "\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"";
    for (old, new, message) in [
        ("\"OKP\"", "\"EC\"", "kty \"EC\" is not accepted"),
        ("\"OKP\"", "\"oct\"", "kty \"oct\" is not accepted"),
        ("\"OKP\"", "1", "\"kty\" is not a string"),
        ("\"Ed25519\"", "\"X25519\"", "crv \"X25519\" is not accepted"),
        ("\"Ed25519\"", "\"Ed448\"", "crv \"Ed448\" is not accepted"),
        ("\"crv\":\"Ed25519\",", "", "the key has no \"crv\""),
        ("\"crv\"", "\"kty\"", "the member \"kty\" stands twice (line 1, column 18)"),
        ("\"x\"", "\"y\"", "the key has no \"x\""),
        (x, "1", "\"x\" is not a string"),
        (x, "\"11qY\"", "\"x\" is not 32 octets in base64url without padding (43 characters)"),
        ("HURo", "HURo=", "\"x\" is not 32 octets in base64url without padding (43 characters)"),
        ("HURo", "HURp", "\"x\" is not 32 octets in base64url without padding (43 characters)"), // bits after the end
        ("S_7T", "S/7T", "\"x\" is not 32 octets in base64url without padding (43 characters)"),
    ] {
        assert!(PUBLIC.contains(old), "{old}");
        let error = one(&PUBLIC.replacen(old, new, 1)).unwrap_err();
        assert_eq!(error.to_string(), message, "{new}");
        assert!(!error.hint().is_empty());
    }
}

#[test]
fn what_a_key_is_for_is_minded() {
    for members in [
        "\"use\":\"sig\"",
        "\"key_ops\":[\"verify\"]",
        "\"alg\":\"EdDSA\"",
        "\"alg\":\"Ed25519\"",
        "\"x5t\":5,\"more\":{}",
    ] {
        with(members).unwrap();
    }
    for (members, error) in [
        ("\"use\":\"enc\"", JwkError::Purpose("use")),
        ("\"key_ops\":[\"sign\"]", JwkError::Purpose("key_ops")),
        ("\"key_ops\":[]", JwkError::Purpose("key_ops")),
        ("\"key_ops\":\"verify\"", JwkError::Shape { member: "key_ops", expected: "a list of strings" }),
        ("\"alg\":\"ES256\"", JwkError::NotEd25519 { member: "alg", value: "ES256".into() }),
        ("\"alg\":\"eddsa\"", JwkError::NotEd25519 { member: "alg", value: "eddsa".into() }),
        ("\"kid\":\"\"", JwkError::Kid),
        ("\"kid\":7", JwkError::Shape { member: "kid", expected: "a string" }),
    ] {
        assert_eq!(with(members).unwrap_err(), error, "{members}");
    }
    assert_eq!(with(&format!("\"kid\":\"{}\"", "k".repeat(257))).unwrap_err(), JwkError::Kid);
    private(&PRIVATE.replace('}', ",\"key_ops\":[\"sign\"]}"));
}

#[test]
fn a_window_is_three_dates() {
    let window = |members: &str| *with(members).unwrap().public().window();
    let all = window("\"nbf\":1767225600,\"exp\":1798761600,\"revoked\":{\"revoked_at\":1780272000,\"reason\":\"x\"}");
    let (from, revoked, until) = (at("2026-01-01T00:00:00Z"), at("2026-06-01T00:00:00Z"), at("2027-01-01T00:00:00Z"));
    assert_eq!(all, Window { not_before: Some(from), expires: Some(until), revoked: Some(revoked) });
    assert_eq!(window("\"exp\":1798761600.5").expires, Some(at("2027-01-01T00:00:00.5Z")));

    let second = SignedDuration::from_secs(1);
    let unrevoked = Window { revoked: None, ..all };
    assert_eq!(unrevoked.check(from - second), Err(Outside::NotYet(from)));
    assert_eq!((unrevoked.check(from), unrevoked.check(until - second)), (Ok(()), Ok(())));
    assert_eq!(unrevoked.check(until), Err(Outside::Expired(until)));
    assert_eq!((all.check(revoked - second), all.check(revoked)), (Ok(()), Err(Outside::Revoked(revoked))));
    assert_eq!(Window::default().check(Timestamp::MAX), Ok(()));
    assert_eq!(Outside::Expired(until).to_string(), "expired at 2027-01-01T00:00:00Z");

    for members in [
        "\"exp\":\"2027-01-01T00:00:00Z\"",
        "\"exp\":null",
        "\"nbf\":1e300",
        "\"nbf\":18446744073709551615",
        "\"nbf\":2,\"exp\":2",
        "\"revoked\":true",
        "\"revoked\":{}",
        "\"revoked\":{\"revoked_at\":\"now\"}",
    ] {
        with(members).unwrap_err();
    }
}

#[test]
fn a_private_half_of_another_key_is_refused() {
    let other = PRIVATE.replace("nWGx", "nWGy");
    assert_eq!(one(&other).unwrap_err(), JwkError::Mismatch);
    assert_eq!(one(&PRIVATE.replace("f2A\"", "\"")).unwrap_err(), JwkError::Octets("d"));
}

/// The signature "R = a point of low order, S = 0" is good for every eighth message or so of such a key.
#[test]
fn points_anybody_could_sign_for_are_no_keys() {
    let identity = y_of(1, 0, 0);
    let not_reduced = [0xed, 0xee, 0xf0, 0xff].map(|first| y_of(first, 0xff, 0x7f));
    for mut x in LOW_ORDER.into_iter().chain(not_reduced) {
        for _both_signs in 0..2 {
            let text = PUBLIC.replace("11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo", &BASE64URL_NOPAD.encode(&x));
            assert_eq!(one(&text).unwrap_err(), JwkError::Weak, "{x:02x?}");
            x[31] ^= 0x80;
        }
    }
    let signature: Vec<u8> = identity.into_iter().chain([0; 32]).collect();
    for x in LOW_ORDER {
        let key = PublicKey { kid: "k".into(), x, alg: None, window: Window::default() };
        assert!((0u32..500).any(|n| key.verifies(&n.to_be_bytes(), &signature)), "{x:02x?} is not of low order");
    }
}

#[test]
fn a_new_key_goes_through_both_its_forms() {
    let window = Window { expires: Some(at("2027-01-01T00:00:00Z")), ..Window::default() };
    let key = PrivateKey::generate(Some("mcmc-1"), Alg::Ed25519, window).unwrap();
    let again = private(&key.to_jwk().to_string());
    let public = one(&key.public().to_jwk().to_string()).unwrap();
    assert_eq!((again.public(), public.public()), (key.public(), key.public()));
    assert!(matches!(public, Jwk::Public(_)), "the public form has no private half");
    assert_eq!(again.sign(b"m"), key.sign(b"m"));
    assert!(public.public().verifies(b"m", &key.sign(b"m")));

    let other = PrivateKey::generate(None, Alg::EdDsa, Window::default()).unwrap();
    assert_eq!(other.public().kid(), other.public().thumbprint().to_string());
    assert_ne!(other.public().thumbprint(), key.public().thumbprint());
    assert_eq!(PrivateKey::generate(Some(""), Alg::EdDsa, window).unwrap_err(), JwkError::Kid);
    let early = Window { not_before: window.expires, ..window };
    assert_eq!(PrivateKey::generate(None, Alg::EdDsa, early).unwrap_err(), JwkError::Window);
    let seed = BASE64URL_NOPAD.encode(&key.seed);
    assert!(!format!("{key:?}").contains(&seed) && !format!("{key:?}").contains(&format!("{:?}", key.seed)));
}

proptest! {
    #[test]
    fn no_text_makes_it_panic(text in "\\PC{0,60}", insert in 0usize..90) {
        let _ = Jwk::read(&text);
        let mut spoilt = PUBLIC.to_owned();
        spoilt.insert_str(insert.min(PUBLIC.len()), &text);
        if let Err(error) = Jwk::read(&spoilt) {
            prop_assert!(!error.to_string().is_empty());
        }
    }

    #[test]
    fn whatever_is_signed_is_good_and_nothing_else(message in any::<Vec<u8>>(), at in any::<proptest::sample::Index>(), bit in 0u32..8) {
        let key = private(PRIVATE);
        let mut signature = key.sign(&message);
        prop_assert!(key.public().verifies(&message, &signature));
        signature[at.index(64)] ^= 1u8 << bit;
        prop_assert_eq!(key.public().verifies(&message, &signature), false);
    }
}
