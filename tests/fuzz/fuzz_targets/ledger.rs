//! Records of the ledger: never a panic, and what is understood is understood the same when it is written again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pagar::ledger::Record;

fuzz_target!(|octets: &[u8]| {
    if let Ok(record) = Record::decode(octets) {
        let again = record.encode().expect("what was read can be written");
        assert_eq!(Record::decode(&again).expect("what was written can be read"), record);
    }
});
