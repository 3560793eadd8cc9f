//! The targets of a notice, item by item: what cannot be carried out is refused alone, what is wrong in its shape makes
//! the whole notice wrong.

use std::collections::{BTreeSet, HashSet};

use super::Reader;
use super::draft::DraftTarget;
use crate::ingest::Severity;
use crate::ingest::format::json::{Object, Text};
use crate::ingest::format::target;
use crate::model::{Action, Item, Scope, Targets};

impl<'a> Reader<'a> {
    pub(super) fn targets(
        &mut self,
        drafts: Option<&[Object<DraftTarget<'a>>]>,
        action: Option<Action>,
    ) -> Option<(Targets, Vec<Item>)> {
        let Some(drafts) = drafts else { return self.missing("targets") };
        if drafts.is_empty() {
            let place = self.key_place("targets");
            self.push(place, "no-targets", "the notice lists no target", None);
            return None;
        }
        let mut list = TargetList::default();
        let mut whole = true; // no target is wrong in its shape
        for (place, Object(draft)) in drafts.iter().enumerate() {
            whole &= self.target(place + 1, draft, action, &mut list).is_some();
        }
        if whole && list.targets.is_empty() {
            let place = self.key_place("targets");
            self.push(place, "no-targets", "every target was refused; nothing of the notice is carried out", None);
        }
        (whole && !list.targets.is_empty()).then_some((list.targets, list.all))
    }

    /// Reads one target; `None` if it makes the whole notice wrong, not if the item alone is refused.
    fn target(
        &mut self,
        number: usize,
        draft: &DraftTarget<'a>,
        action: Option<Action>,
        list: &mut TargetList,
    ) -> Option<()> {
        let (Some(item), Some(name), Some(scope)) = (&draft.item, &draft.name, &draft.scope) else {
            let key = [("item", &draft.item), ("name", &draft.name), ("scope", &draft.scope)]
                .into_iter()
                .find_map(|(key, text)| text.is_none().then_some(key))?;
            let place =
                [&draft.item, &draft.name, &draft.scope].into_iter().flatten().find_map(|text| self.place(text));
            self.push(place, "missing-key", format!("target number {number} has no \"{key}\""), None);
            return None;
        };
        let scope_text = scope;
        let scope = self.one_of(scope, "scope", [Scope::Exact, Scope::Subtree], Scope::as_str)?;
        if action == Some(Action::NxDomain) && scope == Scope::Exact {
            let message = "action \"nxdomain\" needs scope \"subtree\" on every target (RFC 8020)";
            return self.refuse(scope_text, "scope", "nxdomain-exact", message, None);
        }
        self.item(number, item, name, scope, list);
        Some(())
    }

    fn item(&mut self, number: usize, item: &Text<'a>, name: &Text<'a>, scope: Scope, list: &mut TargetList) {
        let label = self.item_label(number, &item.0);
        if !(1..=64).contains(&item.0.len()) || !item.0.bytes().all(|octet| octet.is_ascii_graphic()) {
            let message = format!("{label}: the item must be 1 to 64 printable ASCII characters without spaces");
            let place = self.place(item).or_else(|| self.place(name));
            list.refused(&format!("#{number}"), "item");
            return self.push(place, "item", message, None);
        }
        if !list.items.insert(item.0.to_string()) {
            let message = format!("{label}: another target has the same item number; this one is not carried out");
            let place = self.place(item).or_else(|| self.place(name));
            list.refused(&format!("#{number}"), "duplicate-item");
            return self.push(place, "duplicate-item", message, None);
        }
        let shown = self.names_may_be_shown.then_some(&*name.0);
        match target::read(&name.0) {
            Err(refused) => {
                let message = format!("{label}: {}", refused.message(shown));
                let place = self.place(name).or_else(|| self.place(item));
                self.push(place, refused.code, message, refused.hint(self.names_may_be_shown));
                list.refused(&item.0, refused.code);
            }
            Ok(read) if list.names.insert((read.as_wire().into(), scope)) => {
                list.targets.push(&read, scope);
                list.all.push(Item { id: (*item.0).into(), target: Ok((read, scope)) });
            }
            Ok(read) => {
                list.all.push(Item { id: (*item.0).into(), target: Ok((read, scope)) });
                let what = shown.map_or_else(|| "the name".to_owned(), target::shown);
                let message = format!("{label}: {what} is listed before with the same scope");
                let place = self.place(name).or_else(|| self.place(item));
                self.push(place, "duplicate", message, None);
                self.problems.last_mut().expect("just pushed").severity = Severity::Warning;
            }
        }
    }

    /// What to call an item. A careless secret notice may have the name as its item.
    fn item_label(&self, number: usize, item: &str) -> String {
        if self.names_may_be_shown || (item.len() <= 10 && item.bytes().all(|octet| octet.is_ascii_digit())) {
            format!("item {}", target::shown(item).trim_matches('"'))
        } else {
            format!("target number {number}")
        }
    }
}

/// The targets taken so far, and what must not come twice.
#[derive(Default)]
struct TargetList {
    targets: Targets,
    items: BTreeSet<String>,
    names: HashSet<(Box<[u8]>, Scope)>,
    /// Every item, refused ones included.
    all: Vec<Item>,
}

impl TargetList {
    fn refused(&mut self, item: &str, code: &'static str) {
        self.all.push(Item { id: item.into(), target: Err(code) });
    }
}
