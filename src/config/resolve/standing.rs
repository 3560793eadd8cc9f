//! The standing notice of a list: the order under which an authority hands over names as a plain list.
//!
//! It is an order like any other and meets the same demands: a configured authority that may order the category, a
//! legal power, and a scope, for the list's syntax does not say one. Its digest is over what it orders, not over how
//! the file is written, so that two nodes whose configurations mean the same hold the same notice.

use std::collections::BTreeMap;

use jiff::Timestamp;
use sha2::{Digest, Sha256};

use super::authority;
use super::values::{self, optional};
use crate::config::diagnostic::Reporter;
use crate::config::spec::{self, Spanned};
use crate::model::{Action, Authority, Category, LegalBasis, Notice, NoticeId, Scope, Sensitivity, Validity};

const SCOPES: [(&str, Scope); 2] = [("exact", Scope::Exact), ("subtree", Scope::Subtree)];
const SENSITIVITIES: [(&str, Sensitivity); 3] =
    [("public", Sensitivity::Public), ("restricted", Sensitivity::Restricted), ("secret", Sensitivity::Secret)];

/// The notice and how far each name of the list reaches.
///
/// Without `effective_at` it binds from 1970 on: "now" would differ between two nodes, and after every restart.
pub(super) fn notice(
    written: &spec::Notice,
    authorities: &[Authority],
    report: &mut Reporter<'_>,
) -> Option<(Notice, Scope)> {
    let id = values::text(&written.id, "the id of the notice", report);
    let authority = authority::find(&written.authority, authorities, report);
    let category = category(&written.category, authority, report);
    let power = values::text(&written.power, "the legal power", report);
    let offence = optional(written.offence.as_ref(), |text| values::text(text, "the offence", report));
    let scope = scope(&written.scope, report);
    let action = action(written.action.as_ref(), scope, report);
    let sensitivity =
        values::word_or(written.sensitivity.as_ref(), "sensitivity", &SENSITIVITIES, Sensitivity::Public, report);
    let validity = validity(written, report);
    let review_by = optional(written.review_by.as_ref(), |time| values::time(time, "review_by", report));
    let scope = scope?;
    let validity = validity?;
    let mut notice = Notice {
        id: NoticeId::new(id?),
        sequence: 0,
        authority: authority?.id.clone(),
        legal_basis: LegalBasis { power: power?.to_owned(), offence: offence?.map(str::to_owned) },
        category: category?,
        sensitivity: sensitivity?,
        issued_at: validity.effective_at,
        validity,
        deadline_at: None,
        review_by: review_by?,
        action: action?,
        contact: Vec::new(),
        appeal: None,
        text: BTreeMap::new(),
        digest: [0; 32],
    };
    notice.digest = digest(&notice, scope);
    Some((notice, scope))
}

fn category(written: &Spanned<String>, of: Option<&Authority>, report: &mut Reporter<'_>) -> Option<Category> {
    let category = Category::new(values::short_name(written, "a category", report)?);
    if let Some(of) = of.filter(|of| !of.may_order(&category)) {
        report
            .error(written.span(), format!("authority \"{}\" may not order category \"{category}\"", of.id))
            .hint("add it to the categories of that [[authority]], or correct it here");
        return None;
    }
    Some(category)
}

fn scope(written: &Spanned<String>, report: &mut Reporter<'_>) -> Option<Scope> {
    let scope = SCOPES.iter().find(|(word, _)| word == written.as_ref()).map(|(_, scope)| *scope);
    if scope.is_none() {
        report
            .error(written.span(), format!("unknown scope {:?}", written.as_ref()))
            .hint("write \"exact\" (the listed names only) or \"subtree\" (and everything below them)");
    }
    scope
}

fn action(written: Option<&Spanned<String>>, scope: Option<Scope>, report: &mut Reporter<'_>) -> Option<Action> {
    let choice = Action::ALL.map(|action| (action.as_str(), action));
    let action = values::word_or(written, "action", &choice, Action::default(), report)?;
    if action == Action::NxDomain && scope == Some(Scope::Exact) {
        report
            .error(
                written.map(Spanned::span),
                "action \"nxdomain\" with scope \"exact\" denies the names below it too (RFC 8020)",
            )
            .hint("write scope = \"subtree\", or action = \"nodata\"");
        return None;
    }
    Some(action)
}

fn validity(written: &spec::Notice, report: &mut Reporter<'_>) -> Option<Validity> {
    let start = optional(written.effective_at.as_ref(), |time| values::time(time, "effective_at", report));
    let end = optional(written.expires_at.as_ref(), |time| values::time(time, "expires_at", report));
    let validity = Validity { effective_at: start?.unwrap_or(Timestamp::UNIX_EPOCH), expires_at: end? };
    if validity.expires_at.is_some_and(|end| end <= validity.effective_at) {
        let place = written.expires_at.as_ref().map(Spanned::span);
        report.error(place, "expires_at is not after effective_at").hint("the notice would never be in force");
        return None;
    }
    Some(validity)
}

/// SHA-256 over what the notice orders: each field's name and value with their lengths, in this order, absent ones left
/// out. Nodes compare digests and the ledger keeps them, so fields are only ever added, at the end, and absent by
/// default.
fn digest(notice: &Notice, scope: Scope) -> [u8; 32] {
    let time = |time: Timestamp| time.to_string(); // in UTC, whatever offset was written
    let fields = [
        ("id", Some(notice.id.to_string())),
        ("authority", Some(notice.authority.to_string())),
        ("category", Some(notice.category.to_string())),
        ("power", Some(notice.legal_basis.power.clone())),
        ("offence", notice.legal_basis.offence.clone()),
        ("scope", Some(scope.to_string())),
        ("action", Some(notice.action.to_string())),
        ("sensitivity", Some(notice.sensitivity.as_str().to_owned())),
        ("effective_at", Some(time(notice.validity.effective_at))),
        ("expires_at", notice.validity.expires_at.map(time)),
        ("review_by", notice.review_by.map(time)),
    ];
    let mut hash = Sha256::new_with_prefix(b"pagar standing notice 1\n");
    for (name, value) in fields {
        let Some(value) = value else { continue };
        for part in [name, &value] {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
    }
    hash.finalize().into()
}
