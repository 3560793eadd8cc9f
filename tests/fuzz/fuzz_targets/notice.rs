//! A notice: never a panic; what is taken lists no name the guard refuses; what is refused says why.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pagar::ingest::format::notice;
use pagar::verify::guard;

fuzz_target!(|octets: &[u8]| {
    let parsed = notice::parse(octets, "n.json".as_ref());
    match parsed.document {
        Some(document) => {
            assert!(!document.targets.is_empty());
            document.targets.iter().for_each(|(name, _)| assert_eq!(guard::check(&name), Ok(())));
        }
        None => assert!(!parsed.problems.is_empty()),
    }
});
