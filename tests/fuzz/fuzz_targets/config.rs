//! The configuration: never a panic, and what is refused says why.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pagar::config::{Environment, parse};

fuzz_target!(|octets: &[u8]| {
    let Ok(text) = std::str::from_utf8(octets) else { return };
    let environment = Environment {
        resolv_conf: Ok("nameserver 192.0.2.53\n".into()),
        cores: 2,
        is_own_address: |address| address.is_loopback(),
        read_key: |_| Ok(r#"{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#.into()),
        read_secret: |_| Ok("000102030405060708090a0b0c0d0e0f\n".into()),
        read_names: |_| Ok("*.bank.example\nocsp.example\n".into()),
        read_groups: || Err(String::new()),
        read_certificate: |_| Ok(Default::default()),
        try_access: |_, _| Ok(()),
        now: Default::default(),
    };
    if let Err(diagnostics) = parse(text, "/etc/pagar.toml".as_ref(), &environment) {
        assert!(diagnostics.has_errors());
        assert!(!diagnostics.to_string().is_empty());
    }
});
