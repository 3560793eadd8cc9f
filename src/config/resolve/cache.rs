//! `[cache]`: how much is kept, how long it may leave, and what an expired answer is good for.

use std::time::Duration;

use super::values::{self, optional};
use crate::config::diagnostic::Reporter;
use crate::config::spec;
use crate::config::spec::{ServeStale, Spanned, StaleTable};
use crate::dns::Stale;

const DEFAULT_SIZE: u64 = 256 << 20;
const DEFAULT_MAX_TTL: u32 = 3600;
/// A week, RFC 8767 §4's bound for a TTL.
const LONGEST_MAX_TTL: i64 = 604_800;
/// RFC 8767 §5's recommendation, and the lower of its two for the longest use.
const DEFAULT_STALE: Stale = Stale { client_timeout: Duration::from_millis(1_800), max: Duration::from_secs(86_400) };
/// A stub's patience is five seconds; waiting longer answers nobody.
const LONGEST_CLIENT_TIMEOUT: Duration = Duration::from_secs(5);
const LONGEST_STALE: Duration = Duration::from_secs(604_800);

/// What `[cache]` says.
pub(super) struct Cache {
    pub(super) size: u64,
    pub(super) max_ttl: u32,
    pub(super) prefetch: bool,
    pub(super) stale: Option<Stale>,
}

pub(super) fn cache(written: &spec::Cache, report: &mut Reporter<'_>) -> Option<Cache> {
    let size = optional(written.size.as_ref(), |size| values::size(size, "the size of the cache", report));
    let max_ttl = optional(written.max_ttl.as_ref(), |ttl| values::number(ttl, "max_ttl", 1..=LONGEST_MAX_TTL, report));
    let stale = optional(written.serve_stale.as_ref(), |stale| serve_stale(stale, report));
    if let (Some(Some(0)), Some(Some(Some(_))), Some(written)) = (size, stale, &written.serve_stale) {
        report
            .warning(written.span(), "serve_stale does nothing without a cache: size is 0")
            .hint("remove it, or give the cache a size");
    }
    let prefetch = written.prefetch.as_ref();
    if let (Some(Some(0)), Some(prefetch)) = (size, prefetch.filter(|on| *on.as_ref())) {
        report
            .warning(prefetch.span(), "prefetch does nothing without a cache: size is 0")
            .hint("remove it, or give the cache a size");
    }
    Some(Cache {
        size: size?.unwrap_or(DEFAULT_SIZE),
        max_ttl: max_ttl?.unwrap_or(DEFAULT_MAX_TTL),
        prefetch: prefetch.is_none_or(|on| *on.as_ref()),
        stale: stale?.flatten(),
    })
}

/// The outer `None` is a mistake, the inner one "off".
fn serve_stale(written: &Spanned<ServeStale>, report: &mut Reporter<'_>) -> Option<Option<Stale>> {
    let StaleTable { client_timeout, max } = match written.as_ref() {
        ServeStale::Switch(on) => return Some(on.then_some(DEFAULT_STALE)),
        ServeStale::Table(table) => table,
    };
    let mut duration = |text: &Option<String>, what, default, range| {
        text.as_ref().map_or(Some(default), |text| values::duration_at(text, written.span(), what, range, report))
    };
    let wait = Duration::ZERO..=LONGEST_CLIENT_TIMEOUT;
    let client_timeout = duration(client_timeout, "client_timeout", DEFAULT_STALE.client_timeout, wait);
    let max = duration(max, "max", DEFAULT_STALE.max, Duration::from_secs(1)..=LONGEST_STALE);
    Some(Some(Stale { client_timeout: client_timeout?, max: max? }))
}
