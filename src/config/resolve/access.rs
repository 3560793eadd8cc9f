//! `[dns.cookies]`, `[dns.rate_limit]`, `[dns.rrl]`: what stands between clients and answers.

use super::values::{self, optional};
use super::{Context, path_of};
use crate::config::diagnostic::Reporter;
use crate::config::spec::{self, Spanned};
use crate::dns::access::buckets::Limit;
use crate::dns::access::cookie::Secrets;
use crate::dns::access::prefix::Prefixes;
use crate::dns::access::{Rate, Settings, rrl};

/// Most queries or answers a second a limit can say; `buckets` counts in microseconds.
const MOST_PER_SECOND: i64 = 100_000;
/// A slip beyond this would be none.
const MOST_SLIP: i64 = 10;

pub(super) fn settings(written: &spec::Dns, cx: &mut Context<'_, '_>) -> Option<Settings> {
    let cookies = cookies(&written.cookies, cx);
    let rate = rate(&written.rate_limit, cx.report);
    let rrl = rrl(&written.rrl, cx.report);
    Some(Settings { cookies: cookies?, rate: rate?, rrl: rrl? })
}

fn cookies(written: &spec::Cookies, cx: &mut Context<'_, '_>) -> Option<Option<Secrets>> {
    let secrets = optional(written.secret_file.as_ref(), |file| secret_file(file, cx))?;
    let enabled = written.enabled.unwrap_or(true);
    if let (false, Some(file)) = (enabled, &written.secret_file) {
        cx.report.warning(file.span(), "the secrets are not used: cookies are off").hint("write enabled = true");
    }
    Some(enabled.then(|| secrets.unwrap_or_default()))
}

/// The secrets of a fleet; read here, so that a reload reads them again.
fn secret_file(written: &Spanned<String>, cx: &mut Context<'_, '_>) -> Option<Secrets> {
    let path = path_of(written, cx)?;
    let text = match (cx.env.read_secret)(&path) {
        Ok(text) => text,
        Err(error) => {
            cx.report
                .error(written.span(), format!("the cookie secrets in {} cannot be used: {error}", path.display()))
                .hint("make it with: openssl rand -hex 16 | install -m 640 -g pagar /dev/stdin FILE");
            return None;
        }
    };
    match Secrets::from_text(&text) {
        Ok(secrets) => Some(secrets),
        Err(error) => {
            cx.report
                .error(written.span(), format!("the cookie secrets in {} cannot be used: {error}", path.display()))
                .hint("write one secret a line, 32 hexadecimal digits each, the current one first");
            None
        }
    }
}

fn rate(written: &spec::RateLimit, report: &mut Reporter<'_>) -> Option<Option<Rate>> {
    let per_second = per_second(written.queries_per_second.as_ref(), "queries_per_second", report);
    let burst = optional(written.burst.as_ref(), |burst| values::number(burst, "burst", 1..=MOST_PER_SECOND, report));
    let prefixes = prefixes([&written.ipv4_prefix, &written.ipv6_prefix], Prefixes::CLIENT, report);
    let (per_second, burst, prefixes) = (per_second?, burst?, prefixes?);
    if per_second == 0 {
        let [v4, v6] = [&written.ipv4_prefix, &written.ipv6_prefix].map(place);
        let keys = [("burst", place(&written.burst)), ("ipv4_prefix", v4), ("ipv6_prefix", v6)];
        values::unused(&keys, "without queries_per_second", "write queries_per_second as well, or remove it", report);
    }
    Some((per_second > 0).then(|| Rate { limit: Limit::new(per_second, burst.unwrap_or(per_second)), prefixes }))
}

fn rrl(written: &spec::Rrl, report: &mut Reporter<'_>) -> Option<Option<rrl::Settings>> {
    let responses = per_second(written.responses_per_second.as_ref(), "responses_per_second", report);
    let all = per_second(written.all_per_second.as_ref(), "all_per_second", report);
    let slip = optional(written.slip.as_ref(), |slip| values::number(slip, "slip", 0..=MOST_SLIP, report));
    let responses = responses?;
    let defaults = rrl::Settings::new(responses);
    let prefixes = prefixes([&written.ipv4_prefix, &written.ipv6_prefix], defaults.prefixes, report);
    let settings = rrl::Settings {
        all_per_second: all?,
        slip: slip?.unwrap_or(defaults.slip),
        prefixes: prefixes?,
        log_only: written.log_only.as_ref().is_some_and(|log_only| *log_only.as_ref()),
        ..defaults
    };
    if let (0, Some(all)) = (responses, written.all_per_second.as_ref().filter(|_| settings.all_per_second > 0)) {
        report
            .error(all.span(), "all_per_second without responses_per_second limits nothing")
            .hint("write responses_per_second as well");
        return None;
    }
    if responses == 0 {
        let [slip, v4, v6] = [&written.slip, &written.ipv4_prefix, &written.ipv6_prefix].map(place);
        let keys = [("slip", slip), ("ipv4_prefix", v4), ("ipv6_prefix", v6), ("log_only", place(&written.log_only))];
        values::unused(
            &keys,
            "without responses_per_second",
            "write responses_per_second as well, or remove it",
            report,
        );
    }
    Some((responses > 0).then_some(settings))
}

fn place<T>(written: &Option<Spanned<T>>) -> Option<std::ops::Range<usize>> {
    written.as_ref().map(Spanned::span)
}

/// 0, also where it is left out, is no limit.
fn per_second(written: Option<&Spanned<i64>>, what: &str, report: &mut Reporter<'_>) -> Option<u32> {
    let number = optional(written, |number| values::number(number, what, 0..=MOST_PER_SECOND, report));
    number.map(Option::unwrap_or_default)
}

fn prefixes([v4, v6]: [&Option<Spanned<i64>>; 2], default: Prefixes, report: &mut Reporter<'_>) -> Option<Prefixes> {
    let v4 = optional(v4.as_ref(), |length| values::number(length, "ipv4_prefix", 1..=32, report));
    let v6 = optional(v6.as_ref(), |length| values::number(length, "ipv6_prefix", 1..=128, report));
    Some(Prefixes { v4: v4?.unwrap_or(default.v4), v6: v6?.unwrap_or(default.v6) })
}
