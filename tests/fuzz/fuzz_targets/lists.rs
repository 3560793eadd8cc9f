//! List files: never a panic, no name the guard refuses, every line accounted for.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pagar::ingest::format::{domains, hosts};
use pagar::model::{Scope, Sensitivity};
use pagar::verify::guard;

fuzz_target!(|octets: &[u8]| {
    for parse in [hosts::parse, domains::parse] {
        let listed = parse(octets, "list".as_ref(), Scope::Subtree, Sensitivity::Public);
        listed.targets.iter().for_each(|(name, _)| assert_eq!(guard::check(&name), Ok(())));
        assert_eq!(listed.bad == 0, listed.problems.is_empty());
    }
});
