//! [`Holds`]: what waits for people: items that the guard holds, and lists that changed too much.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::judge::Good;
use crate::control::SIGNED;
use crate::control::command::{HeldItem, HeldKind};
use crate::control::life::Key;
use crate::ledger::event::Held as What;
use crate::ledger::{Digest, Event};
use crate::model::{Act, ItemId, Order};

/// See the module's header.
#[derive(Debug, Default)]
pub(super) struct Holds {
    held: BTreeMap<u64, Held>,
}

/// Something that waits, by the number of the record that says so.
#[derive(Clone, Debug)]
pub(super) struct Held {
    pub(super) what: Waits,
    pub(super) code: String,
    pub(super) since: Timestamp,
    pub(super) proposed_by: Option<String>,
}

/// What waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Waits {
    /// An item of a notice, as this payload has it.
    Item(Key, ItemId, [u8; 32]),
    /// A new version of a list.
    List(Key, ListVersion),
}

/// A version of a list.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::control) struct ListVersion {
    pub(in crate::control) source: String,
    /// Of its notice and names.
    pub(in crate::control) digest: Option<Digest>,
    pub(in crate::control) before: u64,
    pub(in crate::control) after: u64,
}

impl Holds {
    /// The items of an order that was recorded under `record`: the guard's holds were recorded right behind it.
    pub(super) fn accept(&mut self, good: &Good, record: u64, now: Timestamp) {
        for (id, (item, why)) in (record + 1..).zip(&good.quarantined) {
            let what = Waits::Item(case_of(&good.order), item.clone(), good.order.digest);
            self.insert(id, Held { what, code: why.code().to_owned(), since: now, proposed_by: None });
        }
    }

    /// Something waits.
    pub(super) fn insert(&mut self, id: u64, held: Held) {
        self.held.insert(id, held);
    }

    /// What waits under a number.
    pub(super) fn get(&self, id: u64) -> Option<&Held> {
        self.held.get(&id)
    }

    /// The first of two persons approves.
    pub(super) fn propose(&mut self, id: u64, person: &str) {
        if let Some(held) = self.held.get_mut(&id) {
            held.proposed_by = Some(person.to_owned());
        }
    }

    /// It waits no more.
    pub(super) fn remove(&mut self, id: u64) -> Option<Held> {
        self.held.remove(&id)
    }

    /// Forgets the versions of a list: another one has come.
    pub(super) fn forget_list(&mut self, source: &str) {
        self.held.retain(|_, held| !matches!(&held.what, Waits::List(_, version) if version.source == source));
    }

    /// The number and the code under which an item waits.
    pub(super) fn of_item(&self, key: &Key, item: &ItemId, payload: &[u8; 32]) -> Option<(u64, String)> {
        let wanted = Waits::Item(key.clone(), item.clone(), *payload);
        let is_it = |held: &Held| held.what == wanted;
        self.held.iter().rev().find(|(_, held)| is_it(held)).map(|(id, held)| (*id, held.code.clone()))
    }

    /// The number under which a version of a list waits.
    pub(super) fn of_list(&self, version: &ListVersion) -> Option<u64> {
        let is_it = |held: &Held| matches!(&held.what, Waits::List(_, it) if it == version);
        self.held.iter().find(|(_, held)| is_it(held)).map(|(id, _)| *id)
    }

    /// What still matters of it, for people; `name` says what an item of a payload is called if they may know.
    pub(super) fn list(
        &self,
        matters: impl Fn(&Key, &[u8; 32]) -> bool,
        name: impl Fn(&ItemId, &[u8; 32]) -> Option<String>,
    ) -> Vec<HeldItem> {
        let shown = |(id, held): (&u64, &Held)| {
            let ((authority, notice), what, item, source, name) = match &held.what {
                Waits::Item(key, item, payload) => {
                    (key, HeldKind::Item, item.to_string(), SIGNED.to_owned(), name(item, payload))
                }
                Waits::List(key, ListVersion { source, before, after, .. }) => {
                    (key, HeldKind::List, format!("{after} names, {before} in force"), source.clone(), None)
                }
            };
            HeldItem {
                id: *id,
                what,
                authority: authority.to_string(),
                notice: notice.to_string(),
                item,
                source,
                code: held.code.clone(),
                name,
                since: held.since,
                proposed_by: held.proposed_by.clone(),
            }
        };
        let is_past = |held: &Held| matches!(&held.what, Waits::Item(key, _, payload) if !matters(key, payload));
        self.held.iter().filter(|(_, held)| !is_past(held)).map(shown).collect()
    }
}

/// The case an order restricts: its own, or the one it amends.
pub(super) fn case_of(order: &Order) -> Key {
    let id = if let Act::Amend { amends, .. } = &order.act { amends } else { &order.id };
    (order.authority.clone(), id.clone())
}

/// The record of an item that is held.
pub(super) fn held_item(order: &Order, item: &ItemId, code: &str) -> Event {
    let (authority, notice) = case_of(order);
    Event::Held {
        what: What::Item,
        authority: Some(authority),
        notice: Some(notice),
        item: Some(item.to_string()),
        source: None,
        digest: None,
        code: code.to_owned(),
        before: None,
        after: None,
    }
}

/// The record of a list that is held.
pub(super) fn held_list((authority, notice): &Key, version: &ListVersion, code: &str) -> Event {
    Event::Held {
        what: What::List,
        authority: Some(authority.clone()),
        notice: Some(notice.clone()),
        item: None,
        source: Some(version.source.clone()),
        code: code.to_owned(),
        digest: version.digest,
        before: Some(version.before),
        after: Some(version.after),
    }
}
