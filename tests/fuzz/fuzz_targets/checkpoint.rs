//! The checkpoint of a feed and its pages: never a panic; what is read can be written, and reads the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pagar::verify::checkpoint::{Checkpoint, Hash, MAX_ENTRIES, PageRef};

fuzz_target!(|octets: &[u8]| {
    match Checkpoint::of_payload(octets) {
        Ok(checkpoint) => {
            assert!(checkpoint.says.pages.iter().map(|page| page.count).sum::<u64>() == checkpoint.says.count);
            assert!(checkpoint.follows(&checkpoint).is_ok());
            let again = Checkpoint::of_payload(&serde_json::to_vec(&checkpoint.says).unwrap()).unwrap();
            assert!(again.says == checkpoint.says);
        }
        Err(finding) => assert!(!finding.to_string().is_empty()),
    }
    // a page is only read after its hash was compared, so it is given the right one
    let page = |first, last, count| PageRef { first, last, count, size: octets.len() as u64, sha256: Hash::of(octets) };
    for page in [page(0, 0, 1), page(1, 2, 2)] {
        if let Ok(entries) = page.read(octets) {
            assert!(entries.len() <= MAX_ENTRIES && entries[0].sequence == page.first);
        }
    }
});
