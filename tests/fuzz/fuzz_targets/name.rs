//! Names: what is read is canonical, and its text is read as the same name.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pagar::model::DnsName;

fuzz_target!(|octets: &[u8]| {
    let text = std::str::from_utf8(octets).ok().and_then(|text| DnsName::from_text(text).ok());
    for name in text.into_iter().chain(DnsName::from_wire(octets)) {
        assert_eq!(DnsName::from_wire(name.as_wire()).as_ref(), Ok(&name));
        assert_eq!(DnsName::from_text(&name.to_string()).as_ref(), Ok(&name));
    }
});
