//! Notices about earlier notices: amend, revoke, suspend, resume; and which keys each kind has.

use std::collections::BTreeSet;

use super::draft::{Draft, DraftTarget};
use super::{Kind, Reader};
use crate::ingest::Severity;
use crate::ingest::format::json::{Object, Text};
use crate::model::{Act, AuthorityId, ItemId, NoticeId, Order, Sensitivity};

/// Most notices that one may end, suspend or resume.
const MOST: usize = 10_000;

impl<'a> Reader<'a> {
    /// Says which keys are there that a notice of this kind has no use for: whoever wrote them meant something by them.
    pub(super) fn keys_fit(&mut self, kind: Kind, draft: &Draft<'a>) -> bool {
        let rest = [Kind::Restrict, Kind::Amend].as_slice();
        let keys = [
            ("amends", draft.amends.is_some(), [Kind::Amend].as_slice()),
            ("revokes", draft.revokes.is_some(), &[Kind::Revoke]),
            ("suspends", draft.suspends.is_some(), &[Kind::Suspend]),
            ("resumes", draft.resumes.is_some(), &[Kind::Resume]),
            ("targets", draft.targets.is_some(), &[Kind::Restrict, Kind::Amend, Kind::Revoke]),
            ("category", draft.category.is_some(), rest),
            ("action", draft.action.is_some(), rest),
            ("sensitivity", draft.sensitivity.as_ref().is_some_and(Option::is_some), rest),
            ("expires_at", draft.expires_at.is_some(), rest),
            ("deadline_at", draft.deadline_at.is_some(), rest),
            ("review_by", draft.review_by.is_some(), rest),
        ];
        let mut fit = true;
        for (key, _, _) in keys.into_iter().filter(|(_, there, of)| *there && !of.contains(&kind)) {
            let place = self.key_place(key);
            let message = format!("a notice of kind \"{}\" has no \"{key}\"", kind.as_str());
            self.push(place, "unknown-key", message, None);
            fit = false;
        }
        fit
    }

    /// Warns of keys that are read past: a notice that only says what becomes of others shows nobody a contact or a text.
    pub(super) fn keys_mean_something(&mut self, kind: Kind, draft: &Draft<'a>) {
        let keys =
            [("contact", draft.contact.is_some()), ("appeal", draft.appeal.is_some()), ("text", draft.text.is_some())];
        for (key, _) in keys.into_iter().filter(|(_, there)| *there && !kind.restricts()) {
            let place = self.key_place(key);
            let message = format!("\"{key}\" means nothing in a notice of kind \"{}\"", kind.as_str());
            let hint = "it is read past; write it in the notice that lists the names, or amend that".to_owned();
            self.say(Severity::Warning, place, "unknown-key", message, Some(hint));
        }
    }

    /// A notice that only says what becomes of earlier ones.
    pub(super) fn about_earlier(&mut self, kind: Kind, draft: Draft<'a>, digest: [u8; 32]) -> Option<Order> {
        let id = self.printable(draft.id.as_ref(), "id", 128);
        let sequence = draft.sequence.or_else(|| self.missing("sequence"));
        let authority = self.word(draft.authority.as_ref(), "authority");
        let basis = self.legal_basis(draft.legal_basis);
        let issued_at = match &draft.issued_at {
            Some(text) => self.time(text, "issued_at"),
            None => self.missing("issued_at"),
        };
        let effective_at = match &draft.effective_at {
            Some(text) => self.time(text, "effective_at"),
            None => issued_at,
        };
        let act = match kind {
            Kind::Revoke => self.revoke(draft.revokes.as_deref(), draft.targets.as_deref()),
            Kind::Suspend => self.all_earlier(draft.suspends.as_deref(), "suspends").map(Act::Suspend),
            Kind::Resume => self.all_earlier(draft.resumes.as_deref(), "resumes").map(Act::Resume),
            Kind::Restrict | Kind::Amend => None, // they list names, see `Reader::read`
        };
        basis?;
        Some(Order {
            id: NoticeId::new(&id?),
            sequence: sequence?,
            authority: AuthorityId::new(&authority?),
            issued_at: issued_at?,
            effective_at: effective_at?,
            sensitivity: Sensitivity::Public,
            digest,
            act: act?,
        })
    }

    /// The id of an earlier notice.
    pub(super) fn earlier(&mut self, text: Option<&Text<'a>>, key: &'static str) -> Option<NoticeId> {
        self.printable(text, key, 128).map(|id| NoticeId::new(&id))
    }

    fn all_earlier(&mut self, texts: Option<&[Text<'a>]>, key: &'static str) -> Option<Vec<NoticeId>> {
        let Some(texts) = texts else { return self.missing(key) };
        if texts.is_empty() || texts.len() > MOST {
            let place = self.key_place(key);
            self.push(place, "id", format!("{key} must name 1 to {MOST} notices"), None);
            return None;
        }
        let all: Vec<_> = texts.iter().map(|text| self.earlier(Some(text), key)).collect();
        let all: Option<BTreeSet<_>> = all.into_iter().collect();
        all.map(|all| all.into_iter().collect())
    }

    fn revoke(&mut self, notices: Option<&[Text<'a>]>, items: Option<&[Object<DraftTarget<'a>>]>) -> Option<Act> {
        let notices = self.all_earlier(notices, "revokes");
        let items = items.map_or(Some(Vec::new()), |items| self.revoked_items(items));
        let (notices, items) = (notices?, items?);
        if notices.len() > 1 && !items.is_empty() {
            let place = self.key_place("targets");
            let hint = "write a notice for each of which only some items are revoked".to_owned();
            self.push(place, "item", "items of several notices cannot be told apart", Some(hint));
            return None;
        }
        Some(Act::Revoke { notices, items })
    }

    /// The items to revoke: their numbers decide; names beside them are for people.
    fn revoked_items(&mut self, targets: &[Object<DraftTarget<'a>>]) -> Option<Vec<ItemId>> {
        if targets.is_empty() {
            let place = self.key_place("targets");
            let hint = "leave \"targets\" out to revoke the whole notice".to_owned();
            self.push(place, "no-targets", "the notice lists no target", Some(hint));
            return None;
        }
        let mut items = BTreeSet::new();
        let mut whole = true;
        for (place, Object(target)) in targets.iter().enumerate() {
            match &target.item {
                Some(item) => {
                    items.insert(ItemId::from(&*item.0));
                }
                None => {
                    let at = self.key_place("targets");
                    self.push(at, "missing-key", format!("target number {} has no \"item\"", place + 1), None);
                    whole = false;
                }
            }
        }
        whole.then(|| items.into_iter().collect())
    }
}
