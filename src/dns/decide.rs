//! What happens to a question that [`access`](super::access) let in: a pure function of the question and the policy.
//!
//! Order (DESIGN §3): notices, then what is never looked up, then cache, local zones and upstream. Policy comes before the
//! cache, so a newly listed name is blocked at once and a lifted one resolves at once.

use crate::policy::verdict::Consider;
use crate::policy::{Snapshot, Verdict};

use super::query::Query;
use super::reply::Ede;
use super::wire::{CH, IN, names, rcode, rtype};

/// What to do with a question.
#[derive(Debug)]
pub enum Decision<'a> {
    /// Answer as listed.
    Block(Verdict<'a>),
    /// Answer with this error and its reason.
    Error(u16, Ede),
    /// Say who we are, if we are to.
    Identity,
    /// Look into the local zones and nowhere else.
    LocalOnly,
    /// Look into the local zones, and else say that there is nothing to say (RFC 8482).
    Any,
    /// Look in the cache and the local zones, then ask an upstream.
    Resolve,
}

/// Decides about a question before anything is looked up. Whether the client is `exempt` is asked of listed names only.
#[inline]
pub fn decide<'a>(query: &'a Query, policy: &'a Snapshot, exempt: impl Fn() -> bool) -> Decision<'a> {
    match query.qclass {
        IN => {}
        CH => return Decision::Identity,
        _ => return Decision::Error(rcode::REFUSED, Ede::NOT_SUPPORTED), // never treated as IN; policy is about IN only
    }
    if let Some(verdict) = policy.decide(query.name(), consider(query.qtype))
        && !exempt()
    {
        return Decision::Block(verdict);
    }
    match query.qtype {
        // zone transfers and the other meta types are between servers (RFC 5936, RFC 6895 §3.1)
        rtype::AXFR | rtype::IXFR => Decision::Error(rcode::REFUSED, Ede::NOT_SUPPORTED),
        0 | rtype::OPT | 128..=254 => Decision::Error(rcode::NOTIMP, Ede::NOT_SUPPORTED),
        // answering from the cache would show what others asked
        _ if !query.recursion_desired() => Decision::LocalOnly,
        rtype::ANY => Decision::Any,
        _ => Decision::Resolve,
    }
}

/// Whether the policy lists one of the names an answer leads to (CNAME, SVCB and HTTPS targets, canonical wire names end to
/// end): then the name asked is answered as listed. A statutory notice wins over the operator's own here as well, the
/// earlier name over the later. Names are never resolved to find more targets (REGULATION, 7).
pub fn on_targets<'a>(targets: &'a [u8], qtype: u16, policy: &'a Snapshot) -> Option<Verdict<'a>> {
    let mut best: Option<Verdict<'a>> = None;
    for name in names(targets) {
        if let Some(verdict) = policy.decide(name, consider(qtype))
            && best.is_none_or(|best| verdict.entry.rank < best.entry.rank)
        {
            best = Some(verdict);
        }
    }
    best
}

/// Whether the policy lists one of the names an answer's additional section is about, or leads to: then the answer leaves
/// without that section. Whatever the type asked, an address of a listed name may stand there.
pub fn lists_additional(additional: &[u8], policy: &Snapshot) -> bool {
    names(additional).any(|name| policy.decide(name, Consider::All).is_some())
}

/// An exact target lets DS and DNSKEY through, or every unlisted name below a signed apex would turn bogus: wider than the
/// notice (INTERFACES).
pub(super) fn consider(qtype: u16) -> Consider {
    match qtype {
        rtype::DS | rtype::DNSKEY => Consider::SubtreesOnly,
        _ => Consider::All,
    }
}
