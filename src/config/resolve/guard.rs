//! `[guard]`: the names that are not to be blocked unseen, from everywhere they are written, and how much a list may
//! change unseen.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::sync::Arc;

use super::{Context, path_of};
use crate::config::diagnostic::{Reporter, Span};
use crate::config::spec::{self, OwnGuard, Spanned, Spec};
use crate::model::DnsName;
use crate::verify::guard::names::{self, Protected};
use crate::verify::guard::size::{SizeRule, SizeRules};
use crate::verify::guard::{Guard, Quarantine};

/// The part of a list that must stay.
const SHRINK: RangeInclusive<f64> = 0.0..=1.0;
/// How many times its names a list may have; infinity is written `inf`.
const GROW: RangeInclusive<f64> = 1.0..=f64::INFINITY;
/// More names than any list has; a guard against a slip.
const MOST: i64 = 1_000_000_000;

type Names = Vec<(Protected, Quarantine)>;

/// The guard over the names of the whole file.
pub(super) fn guard(spec: &Spec, cx: &mut Context<'_, '_>) -> Option<Arc<Guard>> {
    let written = &spec.guard;
    let mut all = Vec::new();
    let own = written.own.as_ref();
    let pages = written.block_pages.as_ref();
    let authorities = spec.authority.iter().filter_map(|authority| authority.domains.as_ref());
    let mut good = subtrees(own, Quarantine::OwnName, &mut all, cx.report);
    good &= subtrees(pages, Quarantine::BlockPage, &mut all, cx.report);
    good &= subtrees(authorities, Quarantine::AuthorityName, &mut all, cx.report);
    // a zone that is no name is reported where it is served
    let zones = spec.local_zone.iter().filter_map(|zone| DnsName::from_text(zone.zone.as_ref()).ok());
    let zones = zones.filter(|zone| !zone.is_root());
    all.extend(zones.map(|zone| (Protected::subtree(zone), Quarantine::OwnName)));
    if written.defaults.unwrap_or(true) {
        all.extend(names::shipped().into_iter().map(|name| (name, Quarantine::Protected)));
    }
    for file in written.protected.iter().flat_map(Spanned::as_ref) {
        match read(file, cx) {
            Some(names) => all.extend(names.into_iter().map(|name| (name, Quarantine::Protected))),
            None => good = false,
        }
    }
    good.then(|| Arc::new(Guard::new(all)))
}

/// Adds each of the names with everything below it; returns whether all of them are names.
fn subtrees<'a>(
    written: impl IntoIterator<Item = &'a Spanned<Vec<Spanned<String>>>>,
    why: Quarantine,
    all: &mut Names,
    report: &mut Reporter<'_>,
) -> bool {
    let mut good = true;
    for one in written.into_iter().flat_map(Spanned::as_ref) {
        match name(one, report) {
            Some(name) => all.push((Protected::subtree(name), why)),
            None => good = false,
        }
    }
    good
}

/// A name; what is below it is meant anyway, so it is not written.
fn name(written: &Spanned<String>, report: &mut Reporter<'_>) -> Option<DnsName> {
    let text = written.as_ref().as_str();
    let hint = match text.strip_prefix("*.") {
        Some(rest) => format!("write {rest:?}: everything below it is meant anyway"),
        None => "write a domain name: \"resolver.isp.example\"".to_owned(),
    };
    let odd = text.contains(['*', '/', ':', '@']);
    match DnsName::from_text(text) {
        Ok(name) if !odd && !name.is_root() => return Some(name),
        Ok(_) => report.error(written.span(), format!("{text:?} is not a name to protect")).hint(hint),
        Err(error) => report.error(written.span(), format!("{text:?} is not a name: {error}")).hint(hint),
    }
    None
}

/// The names of a file.
fn read(written: &Spanned<String>, cx: &mut Context<'_, '_>) -> Option<Vec<Protected>> {
    let path = path_of(written, cx)?;
    let text = (cx.env.read_names)(&path);
    let text = text.inspect_err(|error| {
        cx.report
            .error(written.span(), format!("the protected names in {} cannot be read: {error}", path.display()))
            .hint("relative paths are relative to the configuration file");
    });
    let names = names::parse(&text.ok()?);
    let names = names.inspect_err(|mistakes| {
        for mistake in mistakes {
            cx.report.error_in(&path, mistake.line, &mistake.message).hint(mistake.hint);
        }
    });
    names.ok()
}

/// The rules of all lists.
pub(super) fn sizes(written: &spec::Guard, sources: &[spec::Source], report: &mut Reporter<'_>) -> Option<SizeRules> {
    let written = Sizes {
        shrink: written.shrink.as_ref().map(|shrink| (*shrink.as_ref(), shrink.span())),
        grow: written.grow.as_ref().map(|grow| (*grow.as_ref(), grow.span())),
        from: written.from.as_ref().map(|from| (*from.as_ref(), from.span())),
    };
    let default = written.rule(SizeRule::DEFAULT, report)?;
    let mut by_source = BTreeMap::new();
    for source in sources {
        let spec::Source::List(list) = source else { continue };
        let Some(own) = &list.guard else { continue };
        let at = own.span();
        let rule = match own.as_ref() {
            OwnGuard::Switch(true) => Some(default),
            OwnGuard::Switch(false) => None,
            OwnGuard::Table(table) => {
                let own = Sizes {
                    shrink: table.shrink.map(|shrink| (shrink, at.clone())),
                    grow: table.grow.map(|grow| (grow, at.clone())),
                    from: table.from.map(|from| (from, at.clone())),
                };
                Some(own.rule(default, report)?)
            }
        };
        by_source.insert(list.path.as_ref().clone(), rule);
    }
    Some(SizeRules { default, by_source })
}

/// What is written of a rule, with the places.
struct Sizes {
    shrink: Option<(f64, Span)>,
    grow: Option<(f64, Span)>,
    from: Option<(i64, Span)>,
}

impl Sizes {
    /// The rule; what is left out is as in `default`.
    fn rule(self, default: SizeRule, report: &mut Reporter<'_>) -> Option<SizeRule> {
        let hint = "write the part that must stay, from 0.0 to 1.0";
        let shrink = factor(self.shrink, "shrink", &SHRINK, default.shrink, hint, report);
        let hint = "write how many times as long it may be, 1.0 or more, or inf";
        let grow = factor(self.grow, "grow", &GROW, default.grow, hint, report);
        let from = self.from.map_or(Some(default.from), |(from, place)| {
            let fits = (0..=MOST).contains(&from).then_some(from.unsigned_abs());
            if fits.is_none() {
                report.error(place, format!("from is {from}")).hint(format!("write a number from 0 to {MOST}"));
            }
            fits
        });
        Some(SizeRule { shrink: shrink?, grow: grow?, from: from? })
    }
}

fn factor(
    written: Option<(f64, Span)>,
    what: &str,
    range: &RangeInclusive<f64>,
    default: f64,
    hint: &str,
    report: &mut Reporter<'_>,
) -> Option<f64> {
    let Some((factor, place)) = written else { return Some(default) };
    if range.contains(&factor) {
        return Some(factor);
    }
    report.error(place, format!("{what} is {factor}")).hint(hint);
    None
}
