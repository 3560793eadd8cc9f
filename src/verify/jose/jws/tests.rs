//! Envelopes: what is made is read again, what is changed in any bit is no longer good, and every refusal.

use proptest::prelude::{Just, any, prop_oneof, proptest};
use proptest::{prop_assert, prop_assert_eq};

use super::*;
use crate::verify::jose::Window;

const PAYLOAD: &[u8] = br#"{"authority":"mcmc","n":1}"#;

fn key(kid: &str) -> PrivateKey {
    PrivateKey::generate(Some(kid), Alg::EdDsa, Window::default()).unwrap()
}

fn encode(text: &str) -> String {
    BASE64URL_NOPAD.encode(text.as_bytes())
}

fn parse(text: &str) -> Result<Envelope, JwsError> {
    Envelope::parse(text.as_bytes())
}

/// A compact envelope with this protected header, signed by `key`.
fn with_header(key: &PrivateKey, header: &str) -> String {
    let protected = encode(header);
    let signature = key.sign(signing_input(&protected, PAYLOAD).as_bytes());
    format!("{}.{}", signing_input(&protected, PAYLOAD), BASE64URL_NOPAD.encode(&signature))
}

fn refused(header: &str) -> JwsError {
    parse(&with_header(&key("k"), header)).unwrap_err()
}

fn good(envelope: &Envelope, key: &PrivateKey) -> bool {
    envelope.signatures().iter().all(|signature| envelope.verifies(signature, key.public()))
}

/// A flattened envelope whose members a test changes.
fn flat(key: &PrivateKey) -> Map<String, Value> {
    serde_json::from_str(&flattened(PAYLOAD, key)).unwrap()
}

fn written(members: &Map<String, Value>) -> String {
    serde_json::to_string(members).unwrap()
}

#[test]
fn the_three_serialisations_carry_the_same() {
    let (a, b) = (key("a"), key("b"));
    for (text, form) in [
        (compact(PAYLOAD, &a), Form::Compact),
        (flattened(PAYLOAD, &a), Form::Flattened),
        (sign(PAYLOAD, &[&a]), Form::General),
    ] {
        assert!(is_meant(text.as_bytes()), "{text}");
        for text in [text.clone(), format!("\r\n {text} \n"), format!("\u{feff}{text}")] {
            let envelope = parse(&text).unwrap();
            assert_eq!((envelope.form(), envelope.payload()), (form, PAYLOAD), "{}", form.as_str());
            assert_eq!((envelope.signatures()[0].kid(), envelope.signatures()[0].alg()), ("a", Alg::EdDsa));
            assert!(good(&envelope, &a) && !good(&envelope, &b), "{text}");
        }
    }
}

#[test]
fn two_people_sign_one_after_the_other_or_at_once() {
    let (a, b) = (key("a"), key("b"));
    for first in [compact(PAYLOAD, &a), flattened(PAYLOAD, &a), sign(PAYLOAD, &[&a])] {
        let both = add_signature(&parse(&first).unwrap(), &b).unwrap();
        assert_eq!(both, sign(PAYLOAD, &[&a, &b]));
        let envelope = parse(&both).unwrap();
        let [by_a, by_b] = envelope.signatures() else { panic!("{both}") };
        assert!(envelope.verifies(by_a, a.public()) && envelope.verifies(by_b, b.public()));
        assert!(!envelope.verifies(by_a, b.public()));
        assert_eq!(add_signature(&envelope, &a), Err(JwsError::AlreadySigned("a".into())));
    }
    let keys: Vec<_> = (0..=MAX_SIGNATURES).map(|n| key(&format!("k{n}"))).collect();
    let all: Vec<_> = keys.iter().collect();
    let most = parse(&sign(PAYLOAD, &all[..MAX_SIGNATURES])).unwrap();
    assert_eq!(add_signature(&most, all[MAX_SIGNATURES]), Err(JwsError::TooManySignatures));
    assert_eq!(parse(&sign(PAYLOAD, &all)), Err(JwsError::TooManySignatures));
    assert_eq!(parse(&sign(PAYLOAD, &[])), Err(JwsError::NoSignature));
}

#[test]
fn the_algorithm_is_what_the_key_says() {
    let modern = PrivateKey::generate(Some("k"), Alg::Ed25519, Window::default()).unwrap();
    let envelope = parse(&compact(PAYLOAD, &modern)).unwrap();
    assert_eq!(envelope.signatures()[0].alg(), Alg::Ed25519);
    assert!(good(&envelope, &modern));
}

#[test]
fn other_algorithms_are_refused_by_name() {
    for alg in ["none", "HS256", "HS512", "ES256", "RS256", "PS256", "Ed448", "eddsa", "ed25519", ""] {
        let error = refused(&json!({ "alg": alg, "kid": "k" }).to_string());
        assert_eq!(error, JwsError::Alg(alg.into()));
        assert_eq!(error.to_string(), format!("the algorithm {alg:?} is not accepted"));
    }
    assert_eq!(refused(r#"{"alg":null,"kid":"k"}"#), JwsError::Alg("null".into()));
    assert_eq!(parse(&format!("{}.{}.", encode(r#"{"alg":"none"}"#), encode("x"))), Err(JwsError::Alg("none".into())));
    // one good signature does not carry one that is not
    let mut envelope: Value = serde_json::from_str(&sign(PAYLOAD, &[&key("a"), &key("b")])).unwrap();
    envelope["signatures"][1]["protected"] = encode(r#"{"alg":"ES256","kid":"b"}"#).into();
    assert_eq!(parse(&envelope.to_string()), Err(JwsError::Alg("ES256".into())));
}

#[test]
fn what_is_not_protected_is_not_believed() {
    let key = key("k");
    assert_eq!(refused(r#"{"kid":"k"}"#), JwsError::NoAlg);
    assert_eq!(refused(r#"{"alg":"EdDSA"}"#), JwsError::NoKid);
    let moved = |protected: &str, unprotected: Value| {
        let mut members = flat(&key);
        members.insert("protected".into(), encode(protected).into());
        members.insert("header".into(), unprotected);
        parse(&written(&members))
    };
    assert_eq!(moved(r#"{"kid":"k"}"#, json!({ "alg": "EdDSA" })), Err(JwsError::NoAlg));
    assert_eq!(moved(r#"{"alg":"EdDSA"}"#, json!({ "kid": "k" })), Err(JwsError::NoKid));
    assert_eq!(moved(r#"{"alg":"EdDSA","kid":"k"}"#, json!({ "kid": "k" })), Err(JwsError::Twice("kid".into())));
    assert_eq!(moved("", json!({ "alg": "EdDSA", "kid": "k" })), Err(JwsError::NoAlg));
    let mut none = flat(&key);
    none.remove("protected");
    none.insert("header".into(), json!({ "alg": "EdDSA", "kid": "k" }));
    assert_eq!(parse(&written(&none)), Err(JwsError::NoAlg));
    let mut more = flat(&key);
    more.insert("header".into(), json!({ "typ": "x", "deep": [[{}]] }));
    assert!(good(&parse(&written(&more)).unwrap(), &key), "what else stands there is ignored");
}

#[test]
fn kids_are_short_strings() {
    for kid in [json!(""), json!(5), json!(null), json!(["k"]), json!("k".repeat(MAX_KID + 1))] {
        assert_eq!(refused(&json!({ "alg": "EdDSA", "kid": kid }).to_string()), JwsError::Kid, "{kid}");
    }
}

#[test]
fn nothing_critical_is_understood() {
    for (crit, said) in [
        (json!(["exp"]), "\"exp\""),
        (json!(["a", "b", "c", "d"]), "\"a\", \"b\", \"c\""),
        (json!([]), "\"crit\""),
        (json!("exp"), "\"crit\""),
        (json!(["b64"]), "\"b64\""),
    ] {
        let header = json!({ "alg": "EdDSA", "kid": "k", "crit": crit, "exp": 1, "b64": false });
        assert_eq!(refused(&header.to_string()), JwsError::Crit(said.into()));
    }
    assert_eq!(refused(r#"{"alg":"EdDSA","kid":"k","b64":false}"#), JwsError::Unencoded);
    assert_eq!(refused(r#"{"alg":"EdDSA","kid":"k","b64":"no"}"#), JwsError::Unencoded);
    let key = key("k");
    let fine = with_header(&key, r#"{"alg":"EdDSA","kid":"k","b64":true,"typ":"JOSE","cty":"json","x":{}}"#);
    assert!(good(&parse(&fine).unwrap(), &key));
    for (name, error) in [
        ("crit", JwsError::Crit("\"crit\"".into())),
        ("b64", JwsError::Unencoded),
        ("jwk", JwsError::ForeignKey("jwk")),
    ] {
        let mut members = flat(&key);
        members.insert("header".into(), json!({ name: [] }));
        assert_eq!(parse(&written(&members)), Err(error), "{name} unprotected");
    }
}

#[test]
fn a_key_that_the_sender_brings_is_refused() {
    let thief = key("k");
    let header = json!({ "alg": "EdDSA", "kid": "k", "jwk": thief.public().to_jwk() });
    assert_eq!(parse(&with_header(&thief, &header.to_string())), Err(JwsError::ForeignKey("jwk")));
    for name in ["jku", "x5u", "x5c"] {
        let header = json!({ "alg": "EdDSA", "kid": "k", name: "https://thief.example/keys" });
        assert_eq!(refused(&header.to_string()), JwsError::ForeignKey(name));
    }
}

#[test]
fn headers_are_strict_json_of_bounded_size() {
    for header in [r#"{"alg":"EdDSA","alg":"none","kid":"k"}"#, "[]", "{", "\"x\"", r#"{"alg":"EdDSA","kid":"k"} x"#] {
        assert!(matches!(refused(header), JwsError::Header(_)), "{header}");
    }
    let key = key("k");
    let protected = BASE64URL_NOPAD.encode(b"{\"alg\":\"EdDSA\",\"kid\":\"\xff\"}");
    let text = format!("{protected}.{}.{}", encode("x"), BASE64URL_NOPAD.encode(&[0; 64]));
    assert!(matches!(parse(&text), Err(JwsError::Header(complaint)) if complaint.column == 23));
    let padded = |length: usize| {
        let start = r#"{"alg":"EdDSA","kid":"k""#;
        with_header(&key, &format!("{start}{}}}", " ".repeat(length - start.len() - 1)))
    };
    assert!(good(&parse(&padded(MAX_HEADER)).unwrap(), &key));
    assert_eq!(parse(&padded(MAX_HEADER + 1)), Err(JwsError::HeaderTooLarge));
}

#[test]
fn what_is_no_envelope_says_why() {
    let key = key("k");
    let whole = compact(PAYLOAD, &key);
    let [protected, payload, signature]: [&str; 3] = whole.split('.').collect::<Vec<_>>().try_into().unwrap();
    for (text, error) in [
        (String::new(), JwsError::NotJws),
        ("a.b".into(), JwsError::NotJws),
        ("[]".into(), JwsError::NotJws),
        ("a.b.c.d".into(), JwsError::NotJws),
        ("a.b.c.d.e".into(), JwsError::Encrypted),
        ("a.b.c.d.e.f".into(), JwsError::NotJws),
        (format!("{protected}=.{payload}.{signature}"), JwsError::Base64("protected header")),
        (format!("{protected}.{payload}=.{signature}"), JwsError::Base64("payload")),
        (format!("{protected}.{payload}\n.{signature}"), JwsError::Base64("payload")),
        (format!("{protected}.+/+/.{signature}"), JwsError::Base64("payload")),
        (format!("{protected}.eB.{signature}"), JwsError::Base64("payload")), // bits after the end
        (format!("{protected}.{payload}.{signature}=="), JwsError::Base64("signature")),
        (format!("{protected}.{payload}."), JwsError::SignatureLength(0)),
        (format!("{protected}.{payload}.AAAA"), JwsError::SignatureLength(3)),
        (json!({ "signature": "" }).to_string(), JwsError::Missing("payload")),
        (json!({ "payload": "" }).to_string(), JwsError::Missing("signature")),
        (json!({ "payload": "", "protected": "" }).to_string(), JwsError::Missing("signature")),
        (json!({ "payload": "", "signatures": [{}] }).to_string(), JwsError::Missing("signature")),
        (json!({ "payload": "", "signatures": [], "signature": "" }).to_string(), JwsError::TwoForms("signature")),
        (json!({ "payload": "", "signatures": [], "protected": "" }).to_string(), JwsError::TwoForms("protected")),
        (json!({ "payload": "", "signatures": [], "header": {} }).to_string(), JwsError::TwoForms("header")),
    ] {
        assert_eq!(parse(&text), Err(error), "{text}");
    }
    assert_eq!(Envelope::parse(b"\xff"), Err(JwsError::NotJws));
    for text in [
        "{",
        r#"{"payload": 1}"#,
        r#"{"payload": "", "payload": ""}"#,
        r#"{"payload": "", "signatures": {}}"#,
        r#"{"payload": "", "signatures": ["c2VjcmV0"]}"#,
        r#"{"payload": "", "signatures": [{"header": {"a": 1, "a": 2}}]}"#,
        r#"{"payload": "", "signatures": [{"signature": "", "signature": ""}]}"#,
        r#"{"payload": "", "signature": "", "header": []}"#,
        r#"{"payload": "", "x": 1, "x": 2}"#,
        r#"{"payload": ""} {}"#,
    ] {
        let error = parse(text).unwrap_err();
        assert!(matches!(error, JwsError::Json(_)) && !error.to_string().contains("c2VjcmV0"), "{text}: {error}");
    }
}

#[test]
fn members_that_are_not_known_are_ignored() {
    let key = key("k");
    let mut members = flat(&key);
    members.insert("receivedAt".into(), json!([{ "a": {} }]));
    assert!(good(&parse(&written(&members)).unwrap(), &key));
    let mut general: Value = serde_json::from_str(&sign(PAYLOAD, &[&key])).unwrap();
    general["signatures"][0]["note"] = json!("x");
    assert!(good(&parse(&general.to_string()).unwrap(), &key));
}

#[test]
fn size_is_bounded_by_the_payload() {
    assert_eq!(MAX_PAYLOAD, crate::ingest::format::notice::MAX_SIZE, "the largest notice can be signed");
    let small = compact(b"", &key("k"));
    let (protected, signature) = small.split_once("..").unwrap();
    let of = |length: usize| {
        let payload = "A".repeat(BASE64URL_NOPAD.encode_len(length)); // zeros
        format!("{protected}.{payload}.{signature}")
    };
    assert_eq!(parse(&of(MAX_PAYLOAD)).unwrap().payload().len(), MAX_PAYLOAD);
    assert_eq!(parse(&of(MAX_PAYLOAD + 1)), Err(JwsError::TooLarge));
    assert_eq!(Envelope::parse(&vec![b' '; MAX_SIZE + 1]), Err(JwsError::TooLarge));
}

/// Deep, many and long: nothing takes memory out of proportion or the stack.
#[test]
fn hostile_json_is_read_in_bounds() {
    let deep = format!(r#"{{"payload": "", "x": {}"#, "[".repeat(1 << 20));
    assert!(matches!(parse(&deep), Err(JwsError::Json(_))));
    let many = format!(r#"{{"payload": "", "signatures": [{}{{}}]}}"#, "{},".repeat(1 << 20));
    assert_eq!(parse(&many), Err(JwsError::TooManySignatures));
    let members: String = (0..1 << 16).map(|n| format!("\"{n}\":0,")).collect();
    assert!(matches!(parse(&format!("{{{members}\"payload\":\"\"}}")), Err(JwsError::Json(_))));
}

#[test]
fn an_envelope_is_told_from_a_bare_notice() {
    for text in ["{\"payload\": 1", " {\"a\": [1], \"payload\":", "a.b.c", "\n..\n", "\u{feff}{\"payload\":\"\"}"] {
        assert!(is_meant(text.as_bytes()), "{text}");
    }
    for text in ["", "{}", "{\"version\": 1}", "{\"a\": {\"payload\": 1}}", "a.b", "a.b.c.d", "a b.c.d", "[1.2.3]"] {
        assert!(!is_meant(text.as_bytes()), "{text}");
    }
    assert!(!is_meant(b"\xff.a.b"));
}

#[test]
fn refusals_have_codes_and_hints_and_are_told_from_what_cannot_be_read() {
    for (error, code, refusal) in [
        (JwsError::Alg("none".into()), "alg", true),
        (JwsError::NoKid, "kid", true),
        (JwsError::Crit("exp".into()), "crit", true),
        (JwsError::ForeignKey("jku"), "key-header", true),
        (JwsError::NotJws, "syntax", false),
        (JwsError::Base64("payload"), "base64url", false),
        (JwsError::TooLarge, "size", false),
    ] {
        assert_eq!((error.code(), error.is_refusal()), (code, refusal));
        assert!(!error.hint().is_empty());
    }
}

proptest! {
    #[test]
    fn whatever_is_signed_is_read_again(payload in any::<Vec<u8>>(), kid in "\\PC{1,60}", modern in any::<bool>()) {
        let alg = if modern { Alg::Ed25519 } else { Alg::EdDsa };
        let key = PrivateKey::generate(Some(&kid), alg, Window::default()).unwrap();
        for text in [compact(&payload, &key), flattened(&payload, &key), sign(&payload, &[&key])] {
            let envelope = parse(&text).unwrap();
            prop_assert_eq!(envelope.payload(), &payload[..]);
            prop_assert_eq!(envelope.signatures()[0].kid(), &kid[..]);
            prop_assert!(good(&envelope, &key));
            let text = add_signature(&envelope, &self::key("another\u{0}")).unwrap();
            prop_assert!(envelope.verifies(&parse(&text).unwrap().signatures()[0], key.public()));
        }
    }

    /// In the octets behind the base64url, so that each flip makes an envelope that can be read or is refused.
    #[test]
    fn one_bit_more_or_less_is_not_good(
        payload in any::<Vec<u8>>(),
        part in 0usize..3,
        at in any::<proptest::sample::Index>(),
        bit in 0u32..8,
    ) {
        let key = key("k");
        let whole = compact(&payload, &key);
        let mut parts: Vec<Vec<u8>> =
            whole.split('.').map(|part| BASE64URL_NOPAD.decode(part.as_bytes()).unwrap()).collect();
        let part = if parts[part].is_empty() { 2 } else { part };
        let at = at.index(parts[part].len());
        parts[part][at] ^= 1u8 << bit;
        let parts: Vec<_> = parts.iter().map(|part| BASE64URL_NOPAD.encode(part)).collect();
        prop_assert!(parse(&parts.join(".")).is_err() || !good(&parse(&parts.join(".")).unwrap(), &key));
    }

    /// In the text: since octets have one spelling, no other text is the same envelope.
    #[test]
    fn one_bit_of_the_text_more_or_less_is_not_good(at in any::<proptest::sample::Index>(), bit in 0u32..8) {
        let key = key("k");
        let mut text = compact(PAYLOAD, &key).into_bytes();
        let at = at.index(text.len());
        text[at] ^= 1u8 << bit;
        if let Ok(envelope) = Envelope::parse(&text) {
            prop_assert!(!good(&envelope, &key));
        }
    }

    #[test]
    fn no_octets_make_it_panic(octets in any::<Vec<u8>>()) {
        let _ = Envelope::parse(&octets);
        let _ = is_meant(&octets);
    }

    #[test]
    fn no_text_makes_it_panic(
        start in prop_oneof![Just(flattened(PAYLOAD, &key("k"))), Just(sign(PAYLOAD, &[&key("a"), &key("b")]))],
        cut in any::<proptest::sample::Index>(),
        length in 0usize..30,
        insert in "\\PC{0,8}|[\\[\\]{}\",:]{0,8}",
    ) {
        let at = cut.index(start.len());
        let text = format!("{}{insert}{}", &start[..at], &start[(at + length).min(start.len())..]);
        if let Err(error) = parse(&text) {
            prop_assert!(!error.to_string().is_empty());
        }
    }
}
