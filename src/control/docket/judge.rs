//! [`judge`]: whether a signed file is an order that may be taken. Pure, but for what it is told of the rest.
//!
//! ```text
//! octets --JWS--> envelope --keys--> whose --notice--> Order --dates, scope, Life--> Good
//!            |               |                   |                       |
//!            '---------------'                   '-----------------------'
//!          nobody is known to have sent it             its sender is known
//! ```

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;

use super::super::life::Life;
use crate::ingest::format::notice;
use crate::ingest::{Problem, Severity};
use crate::ledger::Digest;
use crate::model::{Authority, AuthorityId, ItemId, NoticeId, Order, Sensitivity, Targets};
use crate::verify::check;
use crate::verify::guard::{Guard, Quarantine};
use crate::verify::jose::Envelope;
use crate::verify::keyring::Keyring;

/// Why signed notices are refused, beside [`crate::ingest::CODES`].
pub(in crate::control) const CODES: [&str; 27] = [
    "alg",
    "already-signed",
    "b64",
    "base64url",
    "compact",
    "crit",
    "ended",
    "foreign-authority",
    "issued-at",
    "jws-header",
    "jws-member",
    "key-expired",
    "key-header",
    "key-not-yet",
    "key-revoked",
    "kid",
    "ledger",
    "needs-key",
    "no-authority",
    "no-keys",
    "no-signature",
    "signature",
    "test",
    "test-authority",
    "too-few-signatures",
    "too-many-signatures",
    "unknown-notice",
];

/// How far ahead of our clock an authority's may be.
const AHEAD: Duration = Duration::from_secs(5 * 60);

/// What an order is judged by.
pub(in crate::control) struct Bench<'a> {
    pub(in crate::control) keyring: &'a Keyring,
    pub(in crate::control) authorities: &'a [Authority],
    pub(in crate::control) guard: &'a Guard,
    /// Whether secrets can be stored.
    pub(in crate::control) has_key: bool,
    /// Whether an unsigned document has its id or number.
    pub(in crate::control) is_taken: &'a dyn Fn(&Order) -> bool,
}

impl Bench<'_> {
    /// Whether an authority only rehearses.
    fn rehearses(&self, authority: &AuthorityId) -> bool {
        self.authorities.iter().any(|known| known.id == *authority && known.test)
    }
}

/// What came of it.
#[derive(Debug)]
pub(super) enum Judged {
    /// To be taken.
    Good(Box<Good>),
    /// Taken before.
    Known(Box<Order>),
    /// Not to be taken.
    Refused(Box<Refused>),
}

impl Judged {
    /// Whose order it is, if that is known.
    pub(super) fn by(&self) -> Option<&AuthorityId> {
        match self {
            Self::Good(good) => Some(&good.order.authority),
            Self::Known(order) => Some(&order.authority),
            Self::Refused(why) => why.by.as_ref(),
        }
    }
}

/// An order that may be taken.
#[derive(Debug)]
pub(super) struct Good {
    pub(super) order: Order,
    pub(super) signers: Vec<String>,
    pub(super) secret: bool,
    /// Items that the guard holds.
    pub(super) quarantined: Vec<(ItemId, Quarantine)>,
    /// Its authority only rehearses.
    pub(super) test: bool,
    /// What looked wrong beside that: items that cannot be carried out.
    pub(super) problems: Vec<Problem>,
}

/// Why not.
#[derive(Debug)]
pub(super) struct Refused {
    /// Who is known to have sent it, and the id and number it has.
    pub(super) by: Option<AuthorityId>,
    pub(super) id: Option<(NoticeId, u64)>,
    pub(super) code: &'static str,
    pub(super) reason: String,
    pub(super) hint: Option<String>,
    /// Whether it may be taken later as it is.
    pub(super) later: bool,
    /// Whether names in it may be secret.
    pub(super) secret: bool,
    /// All that is wrong with it, if that is more.
    pub(super) problems: Vec<Problem>,
}

impl Refused {
    pub(super) fn new(code: &'static str, reason: impl ToString) -> Box<Self> {
        let (by, id, hint, problems) = (None, None, None, Vec::new());
        Box::new(Self { by, id, code, reason: reason.to_string(), hint, later: false, secret: true, problems })
    }

    /// For the log and the status of the source.
    pub(super) fn into_problems(self, file: &Path) -> Vec<Problem> {
        if !self.problems.is_empty() {
            return self.problems;
        }
        let message = match &self.id {
            Some((id, _)) => format!("notice {id} is refused: {}", self.reason),
            None => format!("the file is refused: {}", self.reason),
        };
        let (severity, file, hint) = (Severity::Error, file.to_owned(), self.hint);
        vec![Problem { severity, file, line: None, column: None, message, hint, code: self.code }]
    }
}

/// Judges a file; `coming` are orders that are taken before it at the same time.
pub(super) fn judge(
    octets: &[u8],
    file: &Path,
    bench: &Bench<'_>,
    life: &Life,
    coming: &[Good],
    now: Timestamp,
) -> Judged {
    match authentic(octets, file, bench, now) {
        Err(refused) => Judged::Refused(refused),
        Ok((order, _, _)) if life.knows(&order) => Judged::Known(Box::new(order)),
        Ok((order, signers, problems)) => match may(&order, bench, life, coming, now) {
            Ok(secret) => {
                let quarantined = quarantined(&order, bench.guard);
                let test = bench.rehearses(&order.authority);
                Judged::Good(Box::new(Good { order, signers, secret, quarantined, test, problems }))
            }
            Err(mut refused) => {
                refused.by = Some(order.authority.clone());
                refused.secret = is_secret(&order, life, coming);
                refused.id = Some((order.id, order.sequence));
                Judged::Refused(refused)
            }
        },
    }
}

/// The order that is signed, by whom, and what looked wrong in it.
fn authentic(
    octets: &[u8],
    file: &Path,
    bench: &Bench<'_>,
    now: Timestamp,
) -> Result<(Order, Vec<String>, Vec<Problem>), Box<Refused>> {
    let envelope = Envelope::parse(octets).map_err(|error| {
        Box::new(Refused { hint: Some(error.hint().to_owned()), ..*Refused::new(error.code(), &error) })
    })?;
    let (authority, verified) = bench.keyring.authenticate(&envelope, now).map_err(|error| {
        let hint = Some(error.hint().to_owned());
        // keys may come with the next configuration, or with time
        Box::new(Refused { hint, later: true, ..*Refused::new(error.code(), &error) })
    })?;
    let parsed = notice::parse(envelope.payload(), file);
    match parsed.order {
        Some(order) => Ok((order, verified.signers.iter().map(ToString::to_string).collect(), parsed.problems)),
        None => {
            let first = parsed.problems.iter().find(|problem| problem.severity == Severity::Error);
            let (code, reason) =
                first.map_or(("syntax", String::new()), |problem| (problem.code, problem.message.clone()));
            Err(Box::new(Refused { by: Some(authority), problems: parsed.problems, ..*Refused::new(code, reason) }))
        }
    }
}

/// Whether an authentic order may be taken; returns whether it is secret.
fn may(order: &Order, bench: &Bench<'_>, life: &Life, coming: &[Good], now: Timestamp) -> Result<bool, Box<Refused>> {
    if now.duration_until(order.issued_at) > jiff::SignedDuration::try_from(AHEAD).unwrap_or_default() {
        let reason = format!("it was issued at {}, which is more than five minutes ahead", order.issued_at);
        return Err(Box::new(Refused { later: true, ..*Refused::new("issued-at", reason) }));
    }
    if let Some(restriction) = order.act.restriction() {
        let targets = restriction.items.iter().filter_map(|item| item.target.as_ref().ok());
        let targets: Targets = targets.map(|(name, scope)| (name, *scope)).collect();
        check::notice(&restriction.notice, &targets, bench.authorities)
            .map_err(|rejection| Box::new(Refused { later: true, ..*Refused::new(rejection.code(), &rejection) }))?;
        if (bench.is_taken)(order) {
            let reason = "an unsigned notice with this id or number is in force";
            return Err(Box::new(Refused { later: true, ..*Refused::new("duplicate-id", reason) }));
        }
    }
    let before = coming.iter().map(|good| &good.order);
    life.check(order, before).map_err(|refusal| {
        // what it is about may still come
        let later = matches!(refusal, super::super::life::Refusal::Unknown(_));
        Box::new(Refused { later, ..*Refused::new(refusal.code(), &refusal) })
    })?;
    let secret = is_secret(order, life, coming);
    if secret && order.act.restriction().is_some() && order.sensitivity != Sensitivity::Secret {
        let reason = "it amends a secret notice and is not secret itself; revoke that one to make its names known";
        return Err(Refused::new("sensitivity", reason));
    }
    if secret && !bench.has_key {
        let reason = "it is secret, and there is no [ledger] key_file to store it with";
        return Err(Box::new(Refused { later: true, ..*Refused::new("needs-key", reason) }));
    }
    Ok(secret)
}

/// Whether the order, or one it is about, is secret.
fn is_secret(order: &Order, life: &Life, coming: &[Good]) -> bool {
    let about = |id: &NoticeId| {
        let known = life.case(&(order.authority.clone(), id.clone()));
        let is_it = |good: &&Good| good.order.authority == order.authority && good.order.id == *id;
        known.is_some_and(|case| case.content.notice.sensitivity == Sensitivity::Secret)
            || coming.iter().find(is_it).is_some_and(|good| good.secret)
    };
    order.sensitivity == Sensitivity::Secret || order.act.about().iter().any(about)
}

/// The items that wait for people.
fn quarantined(order: &Order, guard: &Guard) -> Vec<(ItemId, Quarantine)> {
    let items = order.act.restriction().into_iter().flat_map(|restriction| &restriction.items);
    let mut seen = BTreeSet::new();
    let judged = items.filter_map(|item| {
        let (name, scope) = item.target.as_ref().ok()?;
        Some((item.id.clone(), guard.judge(name.as_wire(), *scope)?))
    });
    judged.filter(|(item, _)| seen.insert(item.clone())).collect()
}

/// The digest of what an envelope carries and the order in it, without asking who signed: for envelopes that were
/// accepted before.
pub(super) fn order_in(envelope: &[u8]) -> Option<Order> {
    let envelope = Envelope::parse(envelope).ok()?;
    notice::parse(envelope.payload(), Path::new("ledger")).order
}

/// The digest of what an envelope carries, whatever is around it; of the octets, if it is none.
pub(super) fn content(octets: &[u8]) -> Digest {
    Envelope::parse(octets).map_or_else(|_| digest(octets), |envelope| digest(envelope.payload()))
}

/// The digest of a file's octets.
pub(super) fn digest(octets: &[u8]) -> Digest {
    Digest::of(octets)
}
