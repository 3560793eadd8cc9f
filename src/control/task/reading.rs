//! What sources report, on its way into the state: what is taken at once, what waits for other long lists, and what is held
//! for people.

use super::super::docket::{ListVersion, Signed, Way};
use super::super::state::Place;
use super::{Changes, Command, First, LONG, PROBLEMS, Task, Watched};
use crate::ingest::{Document, DocumentKey, Kind, Problem, Severity, Source, Update, Watch, watch};
use crate::ledger::{Digest, Event};
use crate::model::Item;

impl Task {
    /// Takes the first look at a source and watches it from then on.
    pub(super) fn open(
        &mut self,
        source: Source,
        First { mut loader, update }: First,
        changes: &mut Changes,
    ) -> Watched {
        if let Kind::Pull(_) = source.kind {
            self.sources.declare_feed(&source.name);
        }
        if update.failure.is_some() {
            let last_good = self.state.notices_of(&source.name);
            if !last_good.is_empty() {
                tracing::warn!(source = source.name, "what the source gave before the start stays in force");
            }
            loader.hold(last_good); // so that it says which of them are gone when it can be read
        } else {
            // it may have been another kind of source before: what it does not say any more is lifted
            let stays = |key: &DocumentKey| update.put.contains_key(key) || update.settled.contains(key);
            let gone = self.state.keys_of(&source.name).into_iter().filter(|key| !stays(key));
            gone.for_each(|key| self.state.remove(&(source.name.clone(), key)));
        }
        self.take(&source, update, changes);
        loader.recorded(self.docket.payloads());
        self.watches += 1;
        let (number, commands) = (self.watches, self.commands.clone());
        let deliver = move |update| {
            let _ = commands.send(Command::Update(number, Box::new(update))); // the task is gone: so are we, soon
        };
        let watch = watch(loader, deliver);
        let watch = watch.inspect_err(|error| tracing::error!(source = source.name, %error, "cannot watch the source"));
        Watched { source, number, watch: watch.ok() }
    }

    /// Whether an update waits for others: it is long and another source is being read, or one before it waits.
    pub(super) fn waits(&self, number: u64, update: &Update) -> bool {
        let names: usize = update.put.values().map(|document| document.targets.len()).sum();
        self.together.has(|(of, _)| *of == number) || (names > LONG && self.is_reading())
    }

    /// Whether a long update may be about to come.
    pub(super) fn is_reading(&self) -> bool {
        self.watched.iter().filter_map(|watched| watched.watch.as_ref()).any(Watch::is_looking)
    }

    /// Takes the long updates that need not wait any more.
    pub(super) fn update_long(&mut self, reading: bool, changes: &mut Changes) {
        for (number, update) in self.together.take(reading) {
            self.update(number, *update, changes);
        }
    }

    pub(super) fn update(&mut self, number: u64, update: Update, changes: &mut Changes) {
        let watched = self.watched.iter().find(|watched| watched.number == number);
        if let Some(source) = watched.map(|watched| watched.source.clone()) {
            self.take(&source, update, changes);
        }
    }

    /// Takes the documents of an update into the state and reports the rest of it.
    pub(super) fn take(&mut self, source: &Source, mut update: Update, changes: &mut Changes) {
        let keys = update.put.keys().chain(update.signed.keys()).chain(&update.removed).chain(&update.settled);
        let keys: Vec<_> = keys.cloned().collect();
        self.sources.changed(&source.name, &keys);
        let (put, removed) = (std::mem::take(&mut update.put), std::mem::take(&mut update.removed));
        let signed = std::mem::take(&mut update.signed).into_iter();
        changes.signed.extend(signed.map(|(key, octets)| Signed {
            source: source.name.clone(),
            file: source.file(&key),
            octets,
            received_at: update.at,
            way: if let Kind::Pull(_) = source.kind { Way::Feed } else { Way::File },
            again: false,
        }));
        let mut documents: Vec<_> =
            put.into_iter().map(|(key, document)| ((source.name.clone(), key), document)).collect();
        if let Kind::List { .. } = source.kind {
            documents.retain(|(_, document)| !self.is_held(source, document, &mut update.problems));
        }
        let before = documents.len();
        // what goes makes room for what comes: a notice may move to a file of another name
        update.settled.iter().for_each(|key| self.docket.forget(&source.file(key)));
        removed.into_iter().for_each(|key| {
            let place = (source.name.clone(), key);
            if let Some(notice) = self.state.notice(&place) {
                self.docket.ask_no_more(&(notice.authority.clone(), notice.id.clone()));
            }
            self.state.remove(&place);
            changes.removed.push(update.at);
        });
        if let Kind::List { .. } = source.kind
            && !documents.is_empty()
        {
            self.found.insert(source.name.clone(), update.problems.iter().take(PROBLEMS).cloned().collect());
        }
        let places: Vec<_> = documents.iter().map(|(place, _)| place.clone()).collect();
        let refused = self.state.put(documents);
        changes.put.extend(std::iter::repeat_n(update.at, before - refused.len()));
        let taken = places.into_iter().filter(|place| !refused.iter().any(|(other, _)| other == place));
        taken.for_each(|place| self.taken(source, &place, &mut update));
        for ((_, key), problem) in refused {
            update.problems.push(Problem { file: source.file(&key), ..problem });
        }
        if let Some(problem) = update.failure.as_ref().filter(|_| !self.sources.is_failing(&source.name)) {
            let (source, reason) = (source.name.clone(), problem.message.clone());
            self.docket.later(Event::SourceFailed { source, reason });
        }
        self.sources.report(update);
        if changes.any() {
            self.retry();
        }
        self.show_sources();
    }

    /// A document was taken over: it is recorded if it is a list, and asked for if it is in force.
    pub(super) fn taken(&mut self, source: &Source, place: &Place, update: &mut Update) {
        let Some(notice) = self.state.notice(place).cloned() else { return };
        let (authority, id) = (notice.authority.clone(), notice.id.clone());
        if let Kind::List { .. } = source.kind {
            let (digest, names) = (Digest::new(notice.digest), self.state.names_of(&source.name));
            let (source, authority, notice) = (source.name.clone(), authority.clone(), id.clone());
            self.docket.later(Event::ListRead { source, authority, notice, digest, names });
        }
        let sample = update.samples.remove(&place.1).unwrap_or_default();
        if notice.validity.contains(self.time) && !sample.is_empty() {
            let item = |(n, target): (usize, _)| Item { id: n.to_string().into(), target: Ok(target) };
            self.docket.ask_about((authority, id), sample.into_iter().enumerate().map(item).collect());
        }
    }

    /// Gives refused documents another chance: what was in their way may be gone.
    pub(super) fn retry(&mut self) {
        let before = self.state.refused();
        let still: Vec<_> = self.state.retry().into_iter().map(|(place, _)| place).collect();
        for (source, key) in before.into_iter().filter(|place| !still.contains(place)) {
            tracing::info!(source, file = key, "a notice refused before is accepted now");
            self.sources.changed(&source, &[key]);
        }
    }

    /// Reports documents that a new configuration does not allow any more.
    pub(super) fn report_refused(&mut self, refused: Vec<(Place, Problem)>) {
        for ((name, key), problem) in refused {
            let source = self.watched.iter().find(|watched| watched.source.name == name);
            let file = source.map_or_else(|| problem.file.clone(), |watched| watched.source.file(&key));
            self.sources.add_problem(&name, Problem { file, ..problem });
        }
    }

    /// Whether a new version of a list has to wait for people; then it does.
    pub(super) fn is_held(&mut self, source: &Source, document: &Document, problems: &mut Vec<Problem>) -> bool {
        let (before, after) = (self.state.names_of(&source.name), document.targets.len() as u64);
        let Some(hold) = self.bench.sizes.judge(&source.name, before, after) else {
            self.held.remove(&source.name);
            self.docket.list_taken(&source.name);
            return false;
        };
        let key = (document.notice.authority.clone(), document.notice.id.clone());
        let digest = Some(Digest::new(document.notice.digest));
        let version = ListVersion { source: source.name.clone(), digest, before, after };
        if !self.docket.holds_list(&key, version.clone(), &hold, self.time) {
            self.held.remove(&source.name);
            return false;
        }
        self.held.insert(source.name.clone(), (version, document.clone()));
        problems.push(Problem {
            severity: Severity::Error,
            file: source.file(&String::new()),
            line: None,
            column: None,
            message: format!("the list is held, and its last good version stays in force: {hold}"),
            hint: Some("pagar approve --list shows its number; one person may approve it".to_owned()),
            code: hold.code(),
        });
        true
    }
}
