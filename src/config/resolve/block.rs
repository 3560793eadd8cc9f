//! `[block]` and `[[block.page]]`: which page a listed name is answered with.

use super::values::{self, optional};
use super::{Context, authority};
use crate::config::diagnostic::Reporter;
use crate::config::spec::{self, Spanned};
use crate::model::{Authority, Category};
use crate::policy::pages::{Page, PageRule, Pages};

/// Seconds where `ttl` is left out.
const DEFAULT_TTL: u32 = 30;
/// DESIGN §3: lifting is as fast as blocking.
const LONGEST_TTL: i64 = 60;

pub(super) fn pages(written: &spec::Block, authorities: &[Authority], cx: &mut Context<'_, '_>) -> Option<Pages> {
    let default = page("page_", written.page_v4.as_ref(), written.page_v6.as_ref(), cx.report);
    let ttl = optional(written.ttl.as_ref(), |ttl| {
        values::number(ttl, "the TTL of blocked answers", 1..=LONGEST_TTL, cx.report)
    });
    let mut rules: Vec<PageRule> = Vec::with_capacity(written.page.len());
    for one in &written.page {
        let Some(rule) = rule(one, authorities, cx.report) else { continue };
        if rules.iter().any(|other| other.authority == rule.authority && other.category == rule.category) {
            cx.report
                .error(one.span(), "a page for the same authority and category stands above")
                .hint("remove one of the two");
            continue;
        }
        rules.push(rule);
    }
    if written.page_v4.is_none() && written.page_v6.is_none() && written.page.is_empty() {
        cx.report
            .warning(None, "no block page is set: notices with action \"block-page\" are answered with NODATA")
            .hint("write [block] and below it page_v4 = \"192.0.2.80\"");
    }
    Some(Pages { default: default?, rules, ttl: ttl?.unwrap_or(DEFAULT_TTL) })
}

fn rule(written: &Spanned<spec::BlockPage>, authorities: &[Authority], report: &mut Reporter<'_>) -> Option<PageRule> {
    let place = written.span();
    let written = written.as_ref();
    if written.authority.is_none() && written.category.is_none() {
        report
            .error(place, "this page is for every notice")
            .hint("write authority, category or both, or set page_v4 and page_v6 in [block]");
        return None;
    }
    if written.v4.is_none() && written.v6.is_none() {
        report
            .error(place, "this page has no address")
            .hint("write v4 = \"192.0.2.81\", v6 = \"2001:db8::81\" or both");
        return None;
    }
    let page = page("", written.v4.as_ref(), written.v6.as_ref(), report);
    let authority = optional(written.authority.as_ref(), |id| authority::find(id, authorities, report));
    let category = optional(written.category.as_ref(), |word| category(word, authority.flatten(), report));
    Some(PageRule { authority: authority?.map(|known| known.id.clone()), category: category?, page: page? })
}

fn category(written: &Spanned<String>, of: Option<&Authority>, report: &mut Reporter<'_>) -> Option<Category> {
    let category = Category::new(values::short_name(written, "a category", report)?);
    if let Some(of) = of.filter(|of| !of.may_order(&category)) {
        report
            .warning(written.span(), format!("authority \"{}\" may not order category \"{category}\"", of.id))
            .hint("this page is never used; the authority's categories are in its [[authority]]");
    }
    Some(category)
}

/// The two addresses, whose keys are `{prefix}v4` and `{prefix}v6`.
fn page(
    prefix: &str,
    v4: Option<&Spanned<String>>,
    v6: Option<&Spanned<String>>,
    report: &mut Reporter<'_>,
) -> Option<Page> {
    let v4 = optional(v4, |text| address(text, "an IPv4", &format!("{prefix}v4 = \"192.0.2.80\""), report));
    let v6 = optional(v6, |text| address(text, "an IPv6", &format!("{prefix}v6 = \"2001:db8::80\""), report));
    Some(Page { v4: v4?, v6: v6? })
}

fn address<T: std::str::FromStr>(
    written: &Spanned<String>,
    family: &str,
    example: &str,
    report: &mut Reporter<'_>,
) -> Option<T> {
    let address = written.as_ref().parse().ok();
    if address.is_none() {
        report
            .error(written.span(), format!("{:?} is not {family} address", written.as_ref()))
            .hint(format!("write {example}"));
    }
    address
}
