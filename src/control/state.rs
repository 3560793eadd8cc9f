//! [`State`]: which documents are known, which of them are accepted, and their names on the way into the policy.
//!
//! Pure: no I/O, no clock. A document is accepted or refused as a whole here (its items were looked at when it was read); a
//! refused new version leaves the old one in force (DESIGN §4).

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use jiff::Timestamp;

use super::SIGNED;
use super::recent::RecentDocument;
use super::stored::{Stored, StoredDocument};
use crate::ingest::{Document, DocumentKey, Problem, Severity};
use crate::model::{Authority, AuthorityId, AuthorityKind, Notice, NoticeId, Order, Targets};
use crate::policy::index::Full;
use crate::policy::{Change, Entry, Pages, Register, Slots};
use crate::verify::check::{self, Rejection};

/// Source name and document key.
pub type Place = (String, DocumentKey);

/// What only one notice of an authority may have.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Claim {
    Id(AuthorityId, NoticeId),
    Sequence(AuthorityId, u64),
}

impl Claim {
    /// A standing notice of the configuration has no sequence: 0.
    fn of(notice: &Notice) -> impl Iterator<Item = Self> {
        let sequence = (notice.sequence > 0).then(|| Self::Sequence(notice.authority.clone(), notice.sequence));
        [Self::Id(notice.authority.clone(), notice.id.clone())].into_iter().chain(sequence)
    }

    fn words(&self) -> (&'static str, &'static str) {
        match self {
            Self::Id(..) => ("duplicate-id", "id"),
            Self::Sequence(..) => ("sequence", "sequence"),
        }
    }
}

/// Whether two notices are one: "the same" is the payload's digest (INTERFACES).
fn same(a: &Notice, b: &Notice) -> bool {
    a.digest == b.digest
}

fn text(place: &Place) -> String {
    [place.0.as_str(), place.1.as_str()].iter().filter(|part| !part.is_empty()).copied().collect::<Vec<_>>().join("/")
}

fn problem(place: &Place, notice: &Notice, code: &'static str, why: &str) -> Problem {
    Problem {
        severity: Severity::Error,
        file: PathBuf::from(&place.1), // the caller knows where the source keeps it
        line: None,
        column: None,
        message: format!("notice {} is refused: {why}", notice.id),
        hint: None,
        code,
    }
}

/// See the module's header.
#[derive(Debug, Default)]
pub struct State {
    authorities: Vec<Authority>,
    /// Place of each source in the configuration.
    order: BTreeMap<String, u32>,
    accepted: BTreeMap<Place, Accepted>,
    /// How many names each source lists, in force or not.
    names: BTreeMap<String, u64>,
    /// Which accepted documents have an id or a sequence.
    claims: BTreeMap<Claim, BTreeSet<Place>>,
    /// Refused documents, with their names: a reloaded configuration may allow them.
    refused: BTreeMap<Place, Document>,
    register: Register,
    /// Slots of documents that are accepted no more.
    gone: Vec<u32>,
    /// Accepted documents that are not in the register yet.
    new: BTreeSet<Place>,
}

#[derive(Debug)]
struct Accepted {
    notice: Arc<Notice>,
    kind: AuthorityKind,
    names: u64,
    /// Its slot in the register, once its names are there.
    slot: Option<u32>,
    /// Its names, until they are there.
    pending: Targets,
}

impl Accepted {
    /// Whether it is in the register and says what this document says: the digest is that of its names as well.
    fn says(&self, document: &Document) -> bool {
        self.slot.is_some() && *self.notice == document.notice && self.names == document.targets.len() as u64
    }
}

/// An accepted notice that is in the register.
#[derive(Clone, Copy, Debug)]
pub struct Standing<'a> {
    /// Where it comes from.
    pub place: &'a Place,
    /// The order.
    pub notice: &'a Arc<Notice>,
    /// Its slot.
    pub slot: u32,
    /// How many names it lists.
    pub names: u64,
    /// Whether these stand in layers.
    pub in_layers: bool,
}

/// Known notices by their place in time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Census {
    /// In force.
    pub in_force: i64,
    /// Not yet effective.
    pub scheduled: i64,
    /// No longer in force.
    pub expired: i64,
    /// Refused as a whole.
    pub refused: i64,
    /// Signed notices that rest.
    pub suspended: i64,
    /// Signed notices that were ended.
    pub revoked: i64,
    /// To be carried out by now, and not: refused, or scheduled for later.
    pub past_deadline: i64,
    /// In force, and its authority was to look at it again by now.
    pub past_review: i64,
}

impl State {
    /// Of a register that is small: see [`Register::small`].
    #[cfg(test)]
    pub(super) fn small(large: usize, due: usize, most: usize) -> Self {
        Self { register: Register::small(large, due, most), ..Self::default() }
    }

    /// Takes over the configured authorities and the order of the sources; what each document may order is decided again.
    pub fn configure(&mut self, authorities: Vec<Authority>, order: BTreeMap<String, u32>) -> Vec<(Place, Problem)> {
        self.authorities = authorities;
        self.order = order;
        // signed notices are of no source of the configuration, and end only by themselves
        let stays = |source: &String| source == SIGNED || self.order.contains_key(source);
        let gone: Vec<_> = self.accepted.keys().filter(|(source, _)| !stays(source)).cloned().collect();
        self.refused.retain(|(source, _), _| stays(source));
        gone.iter().for_each(|place| self.remove(place));
        let places: Vec<_> = self.accepted.keys().cloned().collect();
        for place in places {
            self.recheck(&place);
        }
        self.retry()
    }

    /// Checks an accepted document against new authorities; one that is no longer allowed gives its names back.
    fn recheck(&mut self, place: &Place) {
        let Some(known) = self.accepted.get_mut(place) else { return };
        match admitted(place, &known.notice, &known.pending, &self.authorities) {
            Ok(authority) => known.kind = authority.kind,
            Err(_) => {
                let targets = match known.slot {
                    Some(slot) => self.register.targets(slot),
                    None => std::mem::take(&mut known.pending),
                };
                let document = Document { notice: Notice::clone(&known.notice), targets };
                self.withdraw(place);
                // a newer version may have been refused before: that is what the file says
                self.refused.entry(place.clone()).or_insert(document);
            }
        }
    }

    /// Takes in new or changed documents that were found together; returns which of them are refused, and why.
    ///
    /// Together, because they may change places: a document is in conflict with what stays, not with what another of them
    /// replaces.
    pub fn put(&mut self, documents: Vec<(Place, Document)>) -> Vec<(Place, Problem)> {
        let mut problems = Vec::new();
        let mut candidates = BTreeMap::new();
        for (place, document) in documents {
            if self.accepted.get(&place).is_some_and(|known| known.says(&document)) {
                self.refused.remove(&place); // nothing new
                continue;
            }
            match admitted(&place, &document.notice, &document.targets, &self.authorities) {
                Ok(authority) => {
                    candidates.insert(place, (authority.kind, document));
                }
                Err(rejection) => {
                    problems.push((
                        place.clone(),
                        problem(&place, &document.notice, rejection.code(), &rejection.to_string()),
                    ));
                    self.refused.insert(place, document);
                }
            }
        }
        // a refused candidate leaves its old version in force, which may be in the way of another one: until none is
        while let Some((place, code, message)) = self.conflict(&candidates) {
            let Some((_, document)) = candidates.remove(&place) else { break };
            problems.push((place.clone(), problem(&place, &document.notice, code, &message)));
            self.refused.insert(place, document);
        }
        candidates.keys().for_each(|place| self.withdraw(place));
        for (place, (kind, document)) in candidates {
            self.refused.remove(&place);
            self.accept(place, document, kind);
        }
        problems
    }

    /// Puts the refused documents again, after something changed that may have been in their way.
    pub fn retry(&mut self) -> Vec<(Place, Problem)> {
        let refused = std::mem::take(&mut self.refused);
        self.put(refused.into_iter().collect())
    }

    /// The first of the candidates that cannot be accepted beside what stays and the candidates before it.
    fn conflict(
        &self,
        candidates: &BTreeMap<Place, (AuthorityKind, Document)>,
    ) -> Option<(Place, &'static str, String)> {
        let mut claims: BTreeMap<Claim, (&Place, &Notice)> = BTreeMap::new();
        for (place, (_, document)) in candidates {
            for claim in Claim::of(&document.notice) {
                let kept =
                    self.claims.get(&claim).into_iter().flatten().filter(|other| !candidates.contains_key(*other));
                let mut standing = kept.filter_map(|other| Some((other, &*self.accepted.get(other)?.notice)));
                let before = claims.get(&claim).copied();
                let other = standing.find(|(_, notice)| !same(notice, &document.notice));
                if let Some((other, _)) = other.or_else(|| before.filter(|(_, notice)| !same(notice, &document.notice)))
                {
                    let (code, what) = claim.words();
                    return Some((
                        place.clone(),
                        code,
                        format!("{} has the same {what} and says something else", text(other)),
                    ));
                }
                claims.insert(claim, (place, &document.notice));
            }
        }
        None
    }

    fn accept(&mut self, place: Place, document: Document, kind: AuthorityKind) {
        let names = document.targets.len() as u64;
        self.accept_of(place, document, kind, names);
    }

    /// The same for a document of which is known how many names it lists.
    fn accept_of(&mut self, place: Place, document: Document, kind: AuthorityKind, names: u64) {
        let Document { notice, targets } = document;
        for claim in Claim::of(&notice) {
            self.claims.entry(claim).or_default().insert(place.clone());
        }
        *self.names.entry(place.0.clone()).or_default() += names;
        self.new.insert(place.clone());
        self.accepted.insert(place, Accepted { notice: Arc::new(notice), kind, names, slot: None, pending: targets });
    }

    /// Takes an accepted document out.
    fn withdraw(&mut self, place: &Place) {
        let Some(known) = self.accepted.remove(place) else { return };
        if let Some(names) = self.names.get_mut(&place.0) {
            *names -= known.names;
        }
        self.gone.extend(known.slot);
        self.new.remove(place);
        for claim in Claim::of(&known.notice) {
            if let Some(places) = self.claims.get_mut(&claim) {
                places.remove(place);
                if places.is_empty() {
                    self.claims.remove(&claim);
                }
            }
        }
    }

    /// Forgets a document.
    pub fn remove(&mut self, place: &Place) {
        self.withdraw(place);
        self.refused.remove(place);
    }

    /// The accepted notice at a place.
    pub fn notice(&self, place: &Place) -> Option<&Arc<Notice>> {
        self.accepted.get(place).map(|known| &known.notice)
    }

    /// Whether an unsigned document has the id or the number of this order.
    pub fn is_taken(&self, order: &Order) -> bool {
        let authority = || order.authority.clone();
        let claims = [Claim::Id(authority(), order.id.clone()), Claim::Sequence(authority(), order.sequence)];
        let places = claims.iter().filter_map(|claim| self.claims.get(claim)).flatten();
        places.into_iter().any(|(source, _)| source != SIGNED)
    }

    /// The keys of a source's documents.
    pub fn keys_of(&self, source: &str) -> Vec<DocumentKey> {
        let places = self.accepted.keys().chain(self.refused.keys());
        places.filter(|(of, _)| of == source).map(|(_, key)| key.clone()).collect()
    }

    /// Puts what was accepted and withdrawn since the last time into the register; what is not possible is tried again
    /// the next time.
    pub fn compile(&mut self, pages: &Pages, slots: impl Fn(&Notice) -> Slots, now: Timestamp) -> Result<Change, Full> {
        let Self { new, accepted, order, gone, register, .. } = self;
        let added = accepted
            .iter_mut()
            .filter(|(place, _)| new.contains(*place))
            .map(|(place, known)| (entry(place, known, order, pages, slots(&known.notice)), &mut known.pending));
        let (given, change) = register.change(gone, added.collect(), now)?;
        for (place, slot) in std::mem::take(new).iter().zip(given) {
            if let Some(known) = accepted.get_mut(place) {
                (known.slot, known.pending) = (Some(slot), Targets::default());
            }
        }
        gone.clear();
        Ok(change)
    }

    /// Prepares all notices anew, after pages or the order of the sources have changed.
    pub fn update(&mut self, pages: &Pages, slots: impl Fn(&Notice) -> Slots) -> Change {
        let Self { accepted, order, register, .. } = self;
        let entries = accepted
            .iter()
            .filter_map(|(place, known)| Some((known.slot?, entry(place, known, order, pages, slots(&known.notice)))));
        register.update(entries)
    }

    /// Takes over notices whose names a file had, before anything else is known; what they may order is decided with the
    /// next configuration.
    pub fn restore(&mut self, stored: Stored, pages: &Pages, now: Timestamp) {
        let Stored { documents, layers } = stored;
        let mut notices = Vec::new();
        for StoredDocument { source, key, slot, names, notice, .. } in documents {
            let place = (source, key);
            let document = Document { notice, targets: Targets::default() };
            self.accept_of(place.clone(), document, AuthorityKind::default(), names);
            self.new.remove(&place);
            if let Some(known) = self.accepted.get_mut(&place) {
                known.slot = Some(slot);
                notices.push((slot, entry(&place, known, &self.order, pages, Slots::default())));
            }
        }
        self.register.restore(layers, notices, now);
    }

    /// The same for notices that came after those, with their names; they come into the register with the next
    /// [`Self::compile`]. What stands in their place, or has their id or sequence and says something else, is of a time
    /// before them and goes.
    pub fn restore_recent(&mut self, documents: Vec<RecentDocument>) {
        for RecentDocument { document: StoredDocument { source, key, names, notice, .. }, targets } in documents {
            let place = (source, key);
            let claimed = Claim::of(&notice).filter_map(|claim| self.claims.get(&claim)).flatten();
            let is_other =
                |other: &&Place| self.accepted.get(*other).is_some_and(|known| !same(&known.notice, &notice));
            let past: Vec<_> = claimed.filter(is_other).chain([&place]).cloned().collect();
            past.iter().for_each(|place| self.withdraw(place));
            let document = Document { notice, targets: Targets::clone(&targets) };
            self.accept_of(place, document, AuthorityKind::default(), names);
        }
    }

    /// The accepted notices that are in the register.
    pub fn standing(&self) -> impl Iterator<Item = Standing<'_>> {
        let mut layered = Vec::new();
        for slot in self.register.slots_in_layers() {
            layered.resize(layered.len().max(slot as usize + 1), false);
            layered[slot as usize] = true;
        }
        self.accepted.iter().filter_map(move |(place, Accepted { notice, slot, names, .. })| {
            let slot = (*slot)?;
            let in_layers = layered.get(slot as usize).copied().unwrap_or(false);
            Some(Standing { place, notice, slot, names: *names, in_layers })
        })
    }

    /// What the notices of these slots list, for those whose names do not stand in layers.
    pub fn recent(&self, slots: &BTreeSet<u32>) -> BTreeMap<u32, Targets> {
        self.register.recent(slots)
    }

    /// The notices of a source, accepted or refused, by key.
    pub fn notices_of(&self, source: &str) -> BTreeMap<DocumentKey, &Notice> {
        let accepted = self.accepted.iter().map(|(place, known)| (place, &*known.notice));
        let refused = self.refused.iter().map(|(place, document)| (place, &document.notice));
        let all = refused.chain(accepted).filter(|((of, _), _)| of == source);
        all.map(|((_, key), notice)| (key.clone(), notice)).collect()
    }

    /// Whether no notice is accepted.
    pub fn is_empty(&self) -> bool {
        self.accepted.is_empty()
    }

    /// What is known, for the policy.
    pub fn register(&mut self) -> &mut Register {
        &mut self.register
    }

    /// Names a source lists, in force or not.
    pub fn names_of(&self, source: &str) -> u64 {
        self.names.get(source).copied().unwrap_or(0)
    }

    /// The refused documents.
    pub fn refused(&self) -> Vec<Place> {
        self.refused.keys().cloned().collect()
    }

    /// Place of a source in the configuration.
    pub fn order_of(&self, source: &str) -> Option<u32> {
        self.order.get(source).copied()
    }

    /// Counts the known notices.
    pub fn census(&self, now: Timestamp) -> Census {
        let late = |notice: &Notice| i64::from(notice.deadline_at.is_some_and(|deadline| deadline < now));
        let mut census = Census { refused: self.refused.len() as i64, ..Census::default() };
        for Document { notice, .. } in self.refused.values() {
            census.past_deadline += late(notice);
        }
        for (place, Accepted { notice, .. }) in &self.accepted {
            if notice.validity.contains(now) {
                census.in_force += 1;
                census.past_review += i64::from(notice.review_by.is_some_and(|review| review < now));
            } else if now < notice.validity.effective_at {
                census.scheduled += 1;
                // of signed notices the docket knows whether they are enforced
                census.past_deadline += if place.0 == SIGNED { 0 } else { late(notice) };
            } else {
                census.expired += 1;
            }
        }
        census
    }
}

/// An accepted notice prepared for the policy.
fn entry(place: &Place, known: &Accepted, order: &BTreeMap<String, u32>, pages: &Pages, slots: Slots) -> Entry {
    let order = order.get(&place.0).copied().unwrap_or(0);
    Entry::new(known.notice.clone(), known.kind, order, pages, slots)
}

/// Whether a document may be in force. What is signed was judged before; of a test authority none of it comes here.
fn admitted<'a>(
    (source, _): &Place,
    notice: &Notice,
    targets: &Targets,
    authorities: &'a [Authority],
) -> Result<&'a Authority, Rejection> {
    let authority = check::notice(notice, targets, authorities)?;
    match authority.test && source != SIGNED {
        true => Err(Rejection::Test(authority.id.clone())),
        false => Ok(authority),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::DnsName;
    use crate::model::Scope;
    use crate::policy::Index;
    use crate::policy::Page;
    use crate::policy::compile::tests::{at, notice};
    use crate::policy::verdict::Consider;

    fn authority(id: &str) -> Authority {
        Authority {
            id: AuthorityId::new(id),
            kind: AuthorityKind::Statutory,
            name: id.into(),
            keys: Vec::new(),
            required_signatures: 1,
            categories: None,
            test: false,
        }
    }

    fn state(authorities: &[&str]) -> State {
        let mut state = State::default();
        state.configure(authorities.iter().map(|id| authority(id)).collect(), BTreeMap::from([("dir".into(), 0)]));
        state
    }

    fn document(authority: &str, id: &str, names: &[&str]) -> Document {
        let names: Vec<_> = names.iter().map(|name| DnsName::from_text(name).unwrap()).collect();
        let targets = names.iter().map(|name| (name, Scope::Exact)).collect();
        Document { notice: notice(authority, id, 1, None), targets }
    }

    fn place(key: &str) -> Place {
        ("dir".into(), key.into())
    }

    /// Puts one document; the code of its refusal.
    fn put(state: &mut State, key: &str, document: Document) -> Option<&'static str> {
        state.put(vec![(place(key), document)]).pop().map(|(_, problem)| problem.code)
    }

    /// The same id and sequence with other octets.
    fn edited(mut document: Document) -> Document {
        document.notice.digest[0] ^= 1;
        document
    }

    fn numbered(sequence: u64, mut document: Document) -> Document {
        document.notice.sequence = sequence;
        document
    }

    fn pages() -> Pages {
        Pages { default: Page::default(), rules: Vec::new(), ttl: 30 }
    }

    /// The names in force after all that has been put and removed.
    fn names(state: &mut State) -> Vec<String> {
        state.compile(&pages(), |_| Slots::default(), at(5)).unwrap();
        let snapshot = state.register().snapshot(30, 1);
        let index: &Index = snapshot.index();
        let listed = index.iter().filter(|(wire, _)| snapshot.decide(wire, Consider::All).is_some());
        let mut names: Vec<_> = listed.map(|(wire, _)| crate::model::name::wire_to_text(&wire)).collect();
        names.sort();
        names
    }

    #[test]
    fn an_authority_for_tests_restricts_nothing_and_what_is_signed_was_judged_before() {
        let mut state = state(&["mcmc"]);
        assert_eq!(put(&mut state, "a", document("mcmc", "N-1", &["a.example"])), None);
        let signed = (SIGNED.to_owned(), "mcmc/N-2".to_owned());
        let put_signed = state.put(vec![(signed, numbered(2, document("mcmc", "N-2", &["b.example"])))]);
        assert!(put_signed.is_empty());
        let test = Authority { test: true, ..authority("mcmc") };
        let refused = state.configure(vec![test], BTreeMap::from([("dir".into(), 0)]));
        assert_eq!(refused.iter().map(|(_, problem)| problem.code).collect::<Vec<_>>(), ["test-authority"]);
        assert_eq!(put(&mut state, "c", numbered(3, document("mcmc", "N-3", &["c.example"]))), Some("test-authority"));
        assert_eq!(names(&mut state), ["b.example."]);
    }

    #[test]
    fn notices_come_and_go_and_share_names() {
        let mut state = state(&["a"]);
        put(&mut state, "2", document("a", "2", &["x.example", "both.example"]));
        assert_eq!(names(&mut state), ["both.example.", "x.example."]);
        put(&mut state, "1", numbered(2, document("a", "1", &["y.example", "both.example"])));
        assert_eq!(names(&mut state), ["both.example.", "x.example.", "y.example."]);
        state.remove(&place("2"));
        assert_eq!(names(&mut state), ["both.example.", "y.example."]);
    }

    #[test]
    fn a_refused_new_version_leaves_the_old_one_in_force() {
        let mut state = state(&["a"]);
        assert_eq!(put(&mut state, "1", document("a", "1", &["x.example"])), None);
        assert_eq!(put(&mut state, "1", document("b", "1", &["y.example"])), Some("authority"));
        assert_eq!(names(&mut state), ["x.example."]);
        assert_eq!(state.census(at(5)), Census { in_force: 1, refused: 1, ..Census::default() });
    }

    #[test]
    fn one_id_and_one_sequence_name_one_payload() {
        let mut state = state(&["a"]);
        let first = document("a", "1", &["x.example"]);
        assert_eq!(put(&mut state, "first", first.clone()), None);
        assert_eq!(put(&mut state, "copy", first.clone()), None, "the same payload again is the same notice");
        assert_eq!(put(&mut state, "other", edited(first)), Some("duplicate-id"));
        assert_eq!(put(&mut state, "used", document("a", "2", &["z.example"])), Some("sequence"));
        assert_eq!(names(&mut state), ["x.example."]);
    }

    #[test]
    fn a_notice_refused_for_another_takes_over_when_that_goes() {
        let mut state = state(&["a"]);
        let first = document("a", "1", &["x.example"]);
        put(&mut state, "old", first.clone());
        assert_eq!(put(&mut state, "new", edited(first)), Some("duplicate-id"));
        state.remove(&place("old"));
        assert!(state.retry().is_empty());
        assert_eq!(names(&mut state), ["x.example."]);
    }

    #[test]
    fn documents_found_together_may_change_places() {
        let mut state = state(&["a"]);
        let one = numbered(1, document("a", "1", &["x.example"]));
        let two = numbered(2, document("a", "2", &["y.example"]));
        assert!(state.put(vec![(place("p"), one.clone()), (place("q"), two.clone())]).is_empty());
        assert!(state.put(vec![(place("p"), edited(two.clone())), (place("q"), edited(one.clone()))]).is_empty());
        assert_eq!(names(&mut state), ["x.example.", "y.example."]);
        // one of them is refused: its old version stays, and stands in the way of the other
        let stranger = document("z", "9", &["z.example"]);
        let refused = state.put(vec![(place("p"), stranger), (place("q"), two)]);
        let codes: Vec<_> = refused.iter().map(|(place, problem)| (place.1.as_str(), problem.code)).collect();
        assert_eq!(codes, [("p", "authority"), ("q", "duplicate-id")]);
        assert_eq!(names(&mut state), ["x.example.", "y.example."]);
    }

    #[test]
    fn an_authority_taken_out_of_the_configuration_and_put_back_keeps_its_names() {
        let mut state = state(&["a", "b"]);
        put(&mut state, "1", document("a", "1", &["x.example"]));
        put(&mut state, "2", document("b", "2", &["y.example"]));
        let _ = names(&mut state);
        let order = BTreeMap::from([("dir".to_string(), 0)]);
        assert_eq!(state.configure(vec![authority("b")], order.clone()).len(), 1);
        assert_eq!(names(&mut state), ["y.example."]);
        assert!(state.configure(vec![authority("a"), authority("b")], order).is_empty());
        assert_eq!(names(&mut state), ["x.example.", "y.example."]);
        assert!(state.configure(vec![authority("a")], BTreeMap::new()).is_empty());
        assert!(names(&mut state).is_empty(), "a source taken out of the configuration is lifted");
    }

    #[test]
    fn signed_notices_depend_on_no_source() {
        let mut state = state(&["a"]);
        let place = (SIGNED.to_string(), "a/1".to_string());
        assert!(state.put(vec![(place, document("a", "1", &["x.example"]))]).is_empty());
        assert_eq!(names(&mut state), ["x.example."]);
        state.configure(vec![authority("a")], BTreeMap::new());
        assert_eq!(names(&mut state), ["x.example."]);
        state.configure(Vec::new(), BTreeMap::new());
        assert!(names(&mut state).is_empty(), "their authority may order no more");
        state.configure(vec![authority("a")], BTreeMap::new());
        assert_eq!(names(&mut state), ["x.example."]);
    }

    #[test]
    fn a_newer_version_refused_before_is_what_comes_back_with_the_authority() {
        let mut state = state(&["a"]);
        put(&mut state, "1", document("a", "1", &["old.example"]));
        put(&mut state, "1", document("b", "1", &["new.example"]));
        let order = BTreeMap::from([("dir".to_string(), 0)]);
        state.configure(Vec::new(), order.clone());
        state.configure(vec![authority("a"), authority("b")], order);
        assert_eq!(names(&mut state), ["new.example."]);
    }

    #[test]
    fn signed_notices_stay_whatever_the_sources_are() {
        let mut state = state(&["a", "b"]);
        let signed = |key: &str| (SIGNED.to_owned(), key.to_owned());
        assert!(state.put(vec![(signed("1"), document("a", "1", &["x.example"]))]).is_empty());
        assert_eq!(names(&mut state), ["x.example."]);
        assert!(state.configure(vec![authority("a")], BTreeMap::from([("other".into(), 0)])).is_empty());
        assert_eq!(names(&mut state), ["x.example."]);
        assert_eq!(state.configure(vec![authority("b")], BTreeMap::new()).len(), 1, "its authority is gone");
        assert!(names(&mut state).is_empty());
        assert!(state.configure(vec![authority("a")], BTreeMap::new()).is_empty());
        assert_eq!(names(&mut state), ["x.example."], "and its names were kept");
    }
}
