//! What the state directory has of the policy, and what goes there.

use super::super::state::Standing;
use super::super::store::Versions;
use super::super::stored::{Stored, StoredDocument, Unusable};
use super::super::{SIGNED, recent, stored};
use super::{Judges, Task};
use crate::ingest::{Kind, Known, Source};
use crate::model::Notice;

impl Task {
    /// Takes over the policy of an earlier run, if there is one: the layers, then what came after them; says what is known
    /// of each source.
    pub(super) fn restore(&mut self, sources: &[Source]) -> Vec<Option<Known>> {
        let read = self.store.read();
        let mut stored = self.usable(stored::FILE, read);
        let read = self.store.read_recent();
        let mut recent = self.usable(recent::FILE, read).unwrap_or_default();
        if recent.left_out > 0 {
            let notices = recent.left_out;
            tracing::warn!(
                notices,
                "stored secret notices are not used: [ledger] key_file is missing or has another key"
            );
            self.metrics.policy.state_read_failures.inc();
        }
        let count = |stored: &Option<Stored>| stored.as_ref().map_or(0, |stored| stored.documents.len());
        let before = count(&stored);
        // an order that the configuration has no more must not come back, whether its source can be read or not
        let judges = &self.bench;
        let stays = |document: &StoredDocument| {
            is_signed(document) || sources.iter().any(|source| is_of(document, source, judges))
        };
        stored.iter_mut().for_each(|stored| stored.documents.retain(stays));
        recent.documents.retain(|recent| stays(&recent.document));
        recent.leave_out(stored.as_ref().map_or(&[], |stored| &stored.documents));
        let recents = recent.documents.iter().map(|recent| &recent.document);
        let documents: Vec<_> = recents.chain(stored.iter().flat_map(|stored| &stored.documents)).collect();
        let known = sources.iter().map(|source| {
            let document = documents.iter().find(|document| is_of(document, source, judges))?;
            self.found.insert(source.name.clone(), document.problems.clone());
            Some(Known { digest: document.notice.digest, problems: document.problems.clone() })
        });
        let known = known.collect();
        self.store.take_over(&recent.documents, count(&stored) == before);
        if let Some(stored) = stored {
            let now = self.now();
            self.state.restore(stored, &self.pages, now);
        }
        self.state.restore_recent(recent.documents);
        known
    }

    /// What was stored, if it can be used.
    pub(super) fn usable<T>(&self, file: &str, read: Result<Option<T>, Unusable>) -> Option<T> {
        read.unwrap_or_else(|error| {
            let file = self.store.file(file);
            let file = file.display();
            tracing::warn!(%file, %error, "the stored policy is not used: all lists are read, and it is written anew");
            self.metrics.policy.state_read_failures.inc();
            None
        })
    }

    /// Has the policy written to the state directory if it has changed and it is time, or in any case at the `end`.
    pub(super) fn store(&mut self, end: bool) {
        let register = self.state.register();
        let versions = Versions { layers: register.version(), recent: Some(register.moves()) };
        let Some(has_layers) = self.store.due(versions, end) else { return };
        let layers = has_layers.then(|| register.layers());
        let Self { state, watched, found, store, .. } = self;
        let reading = |source: &str| {
            let watched = watched.iter().find(|watched| watched.source.name == source);
            watched.map_or_else(String::new, |watched| self.bench.reading(&watched.source))
        };
        let document = |standing: &Standing<'_>| StoredDocument {
            source: standing.place.0.clone(),
            key: standing.place.1.clone(),
            reading: reading(&standing.place.0),
            slot: standing.slot,
            names: standing.names,
            notice: Notice::clone(standing.notice),
            problems: found.get(&standing.place.0).cloned().unwrap_or_default(),
        };
        store.held().update(state.standing(), document, |slots| state.recent(slots));
        let in_layers = || state.standing().filter(|standing| standing.in_layers).map(|standing| document(&standing));
        let stored = layers.map(|layers| Stored { documents: in_layers().collect(), layers });
        store.write(stored, versions, end);
    }
}

/// Whether a stored document is a signed notice, which is of no source.
fn is_signed(document: &StoredDocument) -> bool {
    document.source == SIGNED && document.reading.is_empty()
}

/// Whether a stored document is one that this source may still give.
fn is_of(document: &StoredDocument, source: &Source, judges: &Judges) -> bool {
    let same_order = match &source.kind {
        Kind::List { notice, .. } => document.notice == Notice { digest: document.notice.digest, ..(**notice).clone() },
        Kind::Directory { allow_unsigned, .. } => *allow_unsigned,
        Kind::Pull(_) => false, // what it gives is signed
    };
    document.source == source.name && document.reading == judges.reading(source) && same_order
}
