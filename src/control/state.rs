//! [`State`]: which documents are known, which of them are accepted, and their names on the way into the index.
//!
//! Pure: no I/O, no clock. A document is accepted or refused as a whole here (its items were looked at when it was read); a
//! refused new version leaves the old one in force (DESIGN §4).

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use jiff::Timestamp;

use crate::ingest::{Document, DocumentKey, Problem, Severity};
use crate::model::{Authority, AuthorityKind, DnsName, Notice, Targets};
use crate::policy::index::{Full, Index};
use crate::policy::{Entry, Pages, Slots, compile};
use crate::verify::check;

/// Source name and document key.
type Place = (String, DocumentKey);

/// See the module's header.
#[derive(Debug, Default)]
pub struct State {
    authorities: Vec<Authority>,
    /// Place of each source in the configuration.
    order: BTreeMap<String, u32>,
    accepted: BTreeMap<Place, Accepted>,
    /// Refused documents, with their names: a reloaded configuration may allow them.
    refused: BTreeMap<Place, Document>,
    index: Arc<Index>,
}

#[derive(Debug)]
struct Accepted {
    notice: Arc<Notice>,
    kind: AuthorityKind,
    names: u64,
    /// Its number in the index, once its names are there.
    number: Option<u32>,
    /// Its names, until they are in the index.
    pending: Targets,
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
    /// To be carried out by now, and not: refused, or scheduled for later.
    pub past_deadline: i64,
}

impl State {
    /// Takes over the configured authorities and the order of the sources; what each document may order is decided again.
    pub fn configure(&mut self, authorities: Vec<Authority>, order: BTreeMap<String, u32>) -> Vec<Problem> {
        self.authorities = authorities;
        self.order = order;
        let gone: Vec<_> =
            self.accepted.keys().filter(|(source, _)| !self.order.contains_key(source)).cloned().collect();
        gone.iter().for_each(|place| self.remove(place));
        self.refused.retain(|(source, _), _| self.order.contains_key(source));
        let places: Vec<_> = self.accepted.keys().cloned().collect();
        for place in places {
            self.recheck(&place);
        }
        let refused = std::mem::take(&mut self.refused);
        refused.into_iter().filter_map(|(place, document)| self.put(place, document)).collect()
    }

    /// Checks an accepted document against new authorities; one that is no longer allowed gives its names back.
    fn recheck(&mut self, place: &Place) {
        let Some(known) = self.accepted.get_mut(place) else { return };
        match check::notice(&known.notice, &known.pending, &self.authorities) {
            Ok(authority) => known.kind = authority.kind,
            Err(_) => {
                let targets = names_of(&self.index, known);
                let document = Document { notice: Notice::clone(&known.notice), targets };
                self.accepted.remove(place);
                self.refused.insert(place.clone(), document);
            }
        }
    }

    /// Takes in a new or changed document; the problem says why it was refused, its file is the document's key.
    pub fn put(&mut self, place: Place, document: Document) -> Option<Problem> {
        let refusal = match check::notice(&document.notice, &document.targets, &self.authorities) {
            Ok(authority) => match self.conflict(&place, &document.notice) {
                None => {
                    self.refused.remove(&place);
                    self.accept(place, document, authority.kind);
                    return None;
                }
                Some(conflict) => conflict,
            },
            Err(rejection) => (rejection.code(), rejection.to_string()),
        };
        let (code, message) = refusal;
        let problem = Problem {
            severity: Severity::Error,
            file: PathBuf::from(&place.1), // the caller knows where the source keeps it
            line: None,
            column: None,
            message: format!("notice {} is refused: {message}", document.notice.id),
            hint: None,
            code,
        };
        self.refused.insert(place, document);
        Some(problem)
    }

    fn accept(&mut self, place: Place, document: Document, kind: AuthorityKind) {
        let Document { notice, targets } = document;
        let names = targets.len() as u64;
        self.accepted.insert(place, Accepted { notice: Arc::new(notice), kind, names, number: None, pending: targets });
    }

    /// An id names one payload: another one under it is refused while the first is known (INTERFACES: `sequence`).
    fn conflict(&self, place: &Place, notice: &Notice) -> Option<(&'static str, String)> {
        let (other, _) = self.accepted.iter().find(|(other, known)| {
            *other != place
                && known.notice.authority == notice.authority
                && known.notice.id == notice.id
                && known.notice.digest != notice.digest
        })?;
        Some(("duplicate-id", format!("{} has the same id and says something else", other.0)))
    }

    /// Forgets a document.
    pub fn remove(&mut self, place: &Place) {
        self.accepted.remove(place);
        self.refused.remove(place);
    }

    /// Puts all names together; afterwards the index is the only copy of them.
    pub fn compile(&mut self) -> Result<Arc<Index>, Full> {
        let mut kept =
            vec![None; self.accepted.values().filter_map(|known| known.number).max().map_or(0, |n| n as usize + 1)];
        let mut added = Vec::new();
        for (new, known) in (0u32..).zip(self.accepted.values_mut()) {
            match known.number {
                Some(old) => kept[old as usize] = Some(new),
                None => added.push((new, std::mem::take(&mut known.pending))),
            }
        }
        match compile::index(&self.index, &kept, &added) {
            Ok(index) => {
                for (new, known) in (0u32..).zip(self.accepted.values_mut()) {
                    known.number = Some(new);
                }
                self.index = Arc::new(index);
                Ok(self.index.clone())
            }
            Err(full) => {
                let mut added = added.into_iter();
                for known in self.accepted.values_mut().filter(|known| known.number.is_none()) {
                    known.pending = added.next().map(|(_, targets)| targets).unwrap_or_default();
                }
                Err(full)
            }
        }
    }

    /// The accepted notices in the order of their numbers, prepared for the policy.
    pub fn entries(&self, pages: &Pages, slots: impl Fn(&Notice) -> Slots) -> Arc<[Entry]> {
        self.accepted
            .iter()
            .map(|((source, _), known)| {
                let order = self.order.get(source).copied().unwrap_or(0);
                Entry::new(known.notice.clone(), known.kind, order, pages, slots(&known.notice))
            })
            .collect()
    }

    /// Names a source lists, in force or not.
    pub fn names_of(&self, source: &str) -> u64 {
        self.accepted.iter().filter(|((of, _), _)| of == source).map(|(_, known)| known.names).sum()
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
        for Accepted { notice, .. } in self.accepted.values() {
            if notice.validity.contains(now) {
                census.in_force += 1;
            } else if now < notice.validity.effective_at {
                census.scheduled += 1;
                census.past_deadline += late(notice);
            } else {
                census.expired += 1;
            }
        }
        census
    }
}

/// The names of an accepted notice, wherever they are.
fn names_of(index: &Index, known: &mut Accepted) -> Targets {
    let Some(number) = known.number else { return std::mem::take(&mut known.pending) };
    let mut targets = Targets::default();
    for (wire, set) in index.iter() {
        for member in index.members(set).iter().filter(|member| member.notice == number) {
            if let Ok(name) = DnsName::from_wire(wire) {
                targets.push(&name, member.scope);
            }
        }
    }
    targets
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{AuthorityId, Scope};
    use crate::policy::compile::tests::{at, notice};
    use crate::policy::index::Member;

    fn authority(id: &str) -> Authority {
        Authority {
            id: AuthorityId::new(id),
            kind: AuthorityKind::Statutory,
            name: id.into(),
            keys: Vec::new(),
            required_signatures: 1,
            categories: None,
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

    fn names(index: &Index) -> Vec<String> {
        let mut names: Vec<_> = index.iter().map(|(wire, _)| crate::model::name::wire_to_text(wire)).collect();
        names.sort();
        names
    }

    #[test]
    fn unchanged_names_come_from_the_index_under_new_numbers() {
        let mut state = state(&["a"]);
        state.put(place("2"), document("a", "2", &["x.example", "both.example"]));
        let _ = state.compile().unwrap();
        state.put(place("1"), document("a", "1", &["y.example", "both.example"]));
        let index = state.compile().unwrap();
        assert_eq!(names(&index), ["both.example.", "x.example.", "y.example."]);
        let both = index.find(DnsName::from_text("both.example").unwrap().as_wire()).unwrap();
        let member = |notice| Member { notice, scope: Scope::Exact };
        assert_eq!(index.members(both), [member(0), member(1)]);
        state.remove(&place("2"));
        assert_eq!(names(&state.compile().unwrap()), ["both.example.", "y.example."]);
    }

    #[test]
    fn a_refused_new_version_leaves_the_old_one_in_force() {
        let mut state = state(&["a"]);
        assert_eq!(state.put(place("1"), document("a", "1", &["x.example"])), None);
        let problem = state.put(place("1"), document("b", "1", &["y.example"])).unwrap();
        assert_eq!(problem.code, "authority");
        assert_eq!(names(&state.compile().unwrap()), ["x.example."]);
        assert_eq!(state.census(at(5)), Census { in_force: 1, refused: 1, ..Census::default() });
    }

    #[test]
    fn one_id_names_one_payload() {
        let mut state = state(&["a"]);
        let first = document("a", "1", &["x.example"]);
        let mut other = document("a", "1", &["y.example"]);
        other.notice.digest = [7; 32];
        assert_eq!(state.put(place("first"), first.clone()), None);
        assert_eq!(state.put(place("copy"), first), None, "the same payload again is the same notice");
        assert_eq!(state.put(place("other"), other).unwrap().code, "duplicate-id");
        assert_eq!(names(&state.compile().unwrap()), ["x.example."]);
    }

    #[test]
    fn an_authority_taken_out_of_the_configuration_and_put_back_keeps_its_names() {
        let mut state = state(&["a", "b"]);
        state.put(place("1"), document("a", "1", &["x.example"]));
        state.put(place("2"), document("b", "2", &["y.example"]));
        let _ = state.compile().unwrap();
        let order = BTreeMap::from([("dir".to_string(), 0)]);
        assert_eq!(state.configure(vec![authority("b")], order.clone()).len(), 1);
        assert_eq!(names(&state.compile().unwrap()), ["y.example."]);
        assert!(state.configure(vec![authority("a"), authority("b")], order).is_empty());
        assert_eq!(names(&state.compile().unwrap()), ["x.example.", "y.example."]);
        assert!(state.configure(vec![authority("a")], BTreeMap::new()).is_empty());
        assert!(names(&state.compile().unwrap()).is_empty(), "a source taken out of the configuration is lifted");
    }
}
