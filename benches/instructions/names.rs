//! The names: listed ones with the shapes of real lists (2 to 5 labels, 70 % exact, 30 % subtree), those around them,
//! others that are in the cache; and questions for them as packets.
//!
//! No two questions share a name with more than one label: what the hash of that one makes of it would count for all.

use pagar::model::{DnsName, Scope, Targets};

/// Names on the list: enough that a look-up takes all its steps.
const LISTED: u32 = 100_000;

/// Spreads consecutive numbers over all 32 bits (a step of the Murmur3 finaliser).
pub(crate) fn mix(n: u32) -> u32 {
    let n = (n ^ n >> 16).wrapping_mul(0x85eb_ca6b);
    (n ^ n >> 13).wrapping_mul(0xc2b2_ae35)
}

/// The name with this number on the list.
fn on_list(n: u32) -> String {
    let word = mix(n);
    let suffix = ["com", "net", "info", "my", "org"][word as usize % 5];
    match word % 10 {
        0..=4 => format!("shop-{word:x}.{suffix}"),
        5..=7 => format!("www.site{word}.{suffix}"),
        8 => format!("a.b.user{word}.{suffix}"),
        _ => format!("{word:x}.pages{}.{suffix}", word % 997),
    }
}

/// One of them, in an order the processor cannot foresee.
pub(crate) fn listed(n: u32) -> String {
    on_list(mix(n) % LISTED)
}

/// A name that is not listed and not below one that is.
pub(crate) fn unlisted(n: u32) -> String {
    format!("www.other{n:05}.zone{:05}.org", mix(n) % 100_000)
}

/// The whole list.
pub(crate) fn list() -> Targets {
    let mut targets = Targets::default();
    for n in 0..LISTED {
        let scope = if mix(n) % 10 < 7 { Scope::Exact } else { Scope::Subtree };
        targets.push(&wire(&on_list(n)), scope);
    }
    targets
}

/// A name of ours as the program has it.
pub(crate) fn wire(name: &str) -> DnsName {
    DnsName::from_text(name).expect("a name that is made here is valid")
}

/// What a client says in its OPT record, if it has one.
#[derive(Clone, Copy)]
pub(crate) enum Opt {
    No,
    DnssecOk,
    /// With DO, and half of a cookie.
    Cookie,
}

/// The octets of a question for the address of a name, with RD.
pub(crate) fn question(name: &str, opt: Opt) -> Vec<u8> {
    let mut message = vec![0x12, 0x34, 0x01, 0, 0, 1, 0, 0, 0, 0, 0, u8::from(!matches!(opt, Opt::No))];
    message.extend_from_slice(wire(name).as_wire());
    message.extend_from_slice(b"\x00\x01\x00\x01");
    message.extend_from_slice(match opt {
        Opt::No => b"",
        Opt::DnssecOk => b"\x00\x00\x29\x04\xd0\x00\x00\x80\x00\x00\x00",
        Opt::Cookie => b"\x00\x00\x29\x04\xd0\x00\x00\x80\x00\x00\x0c\x00\x0a\x00\x08clientck",
    });
    message
}
