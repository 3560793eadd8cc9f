//! What the two files give back, after any sequence of changes, merges and stores that end well, fail half-way or are cut
//! off by a crash.

use std::collections::BTreeMap;

use proptest::collection::vec;
use proptest::prelude::*;
use sha2::{Digest, Sha256};

use super::*;
use crate::control::recent;
use crate::control::state::State;
use crate::control::store::{Job, Layers, STEPS};
use crate::control::stored::{self, Stored};
use crate::ingest::Document;
use crate::ledger::seal::Key;
use crate::model::{Authority, AuthorityId, AuthorityKind, DnsName, Notice, Scope, Sensitivity};
use crate::policy::compile::tests::{at, notice};
use crate::policy::register::Merge;
use crate::policy::verdict::Consider;
use crate::policy::{Page, Pages, Slots};

/// One thing that happens.
#[derive(Clone, Debug)]
enum Event {
    /// A notice comes, or another version of it: under this key, with this id and these names.
    Put(u8, u8, Vec<(u8, bool)>, bool),
    Remove(u8),
    /// What has piled up is merged aside.
    Merge,
    /// What was merged is taken over.
    Install,
    /// The policy is stored; the layers only if it is `whole` and they differ. So many steps of it are done.
    Store {
        whole: bool,
        steps: usize,
    },
    /// The process ends, and another one starts.
    Restart,
}

fn event() -> impl Strategy<Value = Event> {
    let names = vec((0u8..12, any::<bool>()), 0..6);
    prop_oneof![
        6 => (0u8..5, 0u8..5, names, any::<bool>())
            .prop_map(|(key, id, names, is_secret)| Event::Put(key, id, names, is_secret)),
        2 => (0u8..5).prop_map(Event::Remove),
        1 => Just(Event::Merge),
        1 => Just(Event::Install),
        2 => any::<bool>().prop_map(|whole| Event::Store { whole, steps: STEPS.len() }),
        2 => (any::<bool>(), 0..STEPS.len()).prop_map(|(whole, steps)| Event::Store { whole, steps }),
        1 => Just(Event::Restart),
    ]
}

fn document(id: u8, names: &[(u8, bool)], is_secret: bool) -> Document {
    let name = |(n, subtree): &(u8, bool)| {
        (DnsName::from_text(&format!("n{n}.example")).unwrap(), if *subtree { Scope::Subtree } else { Scope::Exact })
    };
    let names: Vec<_> = names.iter().map(name).collect();
    let mut notice = notice("a", &format!("id-{id}"), 1, None);
    notice.sequence = u64::from(id) + 1;
    notice.sensitivity = if is_secret { Sensitivity::Secret } else { Sensitivity::Public };
    notice.digest = Sha256::digest(format!("{notice:?} {names:?}")).into();
    Document { notice, targets: names.iter().map(|(name, scope)| (name, *scope)).collect() }
}

/// What stands: the place and digest of a notice, and what it lists.
type Stands = BTreeMap<(Place, [u8; 32]), BTreeSet<(Vec<u8>, Scope)>>;

fn stands(state: &mut State) -> Stands {
    let found: Vec<_> = state.standing().map(|one| (one.place.clone(), one.notice.digest, one.slot)).collect();
    let register = state.register();
    let targets = |slot| register.targets(slot).iter().map(|(wire, scope)| (wire.to_vec(), scope)).collect();
    let stands: Stands = found.into_iter().map(|(place, digest, slot)| ((place, digest), targets(slot))).collect();
    let listed: BTreeSet<_> = stands.values().flatten().map(|(wire, _)| wire).collect();
    let snapshot = register.snapshot(30, 1);
    assert_eq!(snapshot.names(), listed.len() as u64);
    assert!(listed.into_iter().all(|wire| snapshot.decide(wire, Consider::All).is_some()));
    stands
}

fn both(a: &Stands, b: &Stands) -> Stands {
    a.iter().filter(|(key, _)| b.contains_key(*key)).map(|(key, targets)| (key.clone(), targets.clone())).collect()
}

fn has(all: &Stands, some: &Stands) -> bool {
    some.iter().all(|(key, targets)| all.get(key) == Some(targets))
}

/// A control plane with its state directory.
struct World {
    directory: tempfile::TempDir,
    limits: [usize; 3],
    state: State,
    held: Held,
    /// The version of the layers that are stored.
    layers: u64,
    merge: Option<Merge>,
}

impl World {
    fn new(limits: [usize; 3]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let (state, held) = (State::default(), Held::default());
        let mut world = Self { directory, limits, state, held, layers: 0, merge: None };
        world.restart();
        world
    }

    fn key() -> Key {
        Key::from_text(&"7".repeat(64)).unwrap()
    }

    /// What another process finds.
    fn restored(&self) -> (State, Held, u64) {
        let [large, due, most] = self.limits;
        let mut state = State::small(large, due, most);
        let directory = self.directory.path();
        let stored = stored::read(directory, Some(&Self::key())).unwrap();
        let mut recent = recent::read(directory, Some(&Self::key())).unwrap().unwrap_or_default();
        recent.leave_out(stored.as_ref().map_or(&[], |stored| &stored.documents));
        let (held, version) = (Held::of(&recent.documents), u64::from(stored.is_some()));
        if let Some(stored) = stored {
            state.restore(stored, &pages(), at(5));
        }
        state.restore_recent(recent.documents);
        let authority = Authority {
            id: AuthorityId::new("a"),
            kind: AuthorityKind::Statutory,
            name: "a".into(),
            keys: Vec::new(),
            required_signatures: 1,
            categories: None,
            test: false,
        };
        assert!(state.configure(vec![authority], BTreeMap::from([("dir".into(), 0)])).is_empty());
        compile(&mut state);
        (state, held, version)
    }

    /// What the file of the layers has.
    fn layers_alone(&self) -> Stands {
        let [large, due, most] = self.limits;
        let mut state = State::small(large, due, most);
        if let Some(stored) = stored::read(self.directory.path(), Some(&Self::key())).unwrap() {
            state.restore(stored, &pages(), at(5));
            compile(&mut state);
        }
        stands(&mut state)
    }

    fn restart(&mut self) {
        (self.state, self.held, self.layers) = self.restored();
        self.merge = None;
    }

    fn happen(&mut self, event: &Event) {
        match event {
            Event::Put(key, id, names, is_secret) => {
                self.state.put(vec![(place(*key), document(*id, names, *is_secret))]); // or it is refused
                compile(&mut self.state);
            }
            Event::Remove(key) => {
                self.state.remove(&place(*key));
                self.state.retry();
                compile(&mut self.state);
            }
            Event::Merge => {
                if let Some(merge) = self.state.register().merge() {
                    self.merge = Some(merge);
                }
            }
            Event::Install => {
                if let Some(merge) = self.merge.take() {
                    self.state.register().install(merge.run());
                }
            }
            Event::Store { whole, steps } => self.store(*whole, *steps),
            Event::Restart => self.restart(),
        }
    }

    fn store(&mut self, whole: bool, steps: usize) {
        let before = stands(&mut self.restored().0);
        let layers = self.layers_alone();
        let now = stands(&mut self.state);
        let version = self.state.register().version();
        let differs = version != self.layers;
        let job = self.job(whole && differs, version);
        assert!(STEPS.iter().take(steps).all(|step| step(&job).is_ok()));
        let done = steps == STEPS.len();
        match (job.layers.is_some(), done) {
            (true, true) => {
                self.held.layers_are_stored();
                self.layers = version;
            }
            (true, false) => self.layers = 0,
            (false, _) => {}
        }
        let found = stands(&mut self.restored().0);
        if done && (whole || !differs) {
            assert_eq!(found, now, "what is stored is what stands");
            return;
        }
        assert!(has(&found, &both(&before, &now)), "nothing that stands and was stored is lost");
        let mut known = before.clone();
        known.extend(now.clone());
        known.extend(layers); // they are not written each time
        assert!(has(&known, &found), "nothing comes back that had gone by the time of the store before");
        if steps > 0 {
            let recent = self.state.standing().filter(|one| !one.in_layers);
            let recent: Vec<_> = recent.map(|one| (one.place.clone(), one.notice.digest)).collect();
            assert!(recent.iter().all(|one| found.contains_key(one)), "what is new is stored by the first step");
        }
    }

    fn job(&mut self, has_layers: bool, version: u64) -> Job {
        let describe = |one: &Standing<'_>| StoredDocument {
            source: one.place.0.clone(),
            key: one.place.1.clone(),
            reading: "notices".into(),
            slot: one.slot,
            names: one.names,
            notice: Notice::clone(one.notice),
            problems: Vec::new(),
        };
        self.held.update(self.state.standing(), describe, |slots| self.state.recent(slots));
        let documents = self.state.standing().filter(|one| one.in_layers).map(|one| describe(&one)).collect();
        let layers = self.state.register().layers();
        assert!(version == 0 || !layers.layers.is_empty());
        let layers = has_layers.then(|| (Layers::Write(Stored { documents, layers }), self.held.staying()));
        let directory = self.directory.path().to_owned();
        Job { directory, key: Some(Self::key()), recent: self.held.all(), layers }
    }
}

fn pages() -> Pages {
    Pages { default: Page::default(), rules: Vec::new(), ttl: 30 }
}

fn place(key: u8) -> Place {
    ("dir".into(), format!("{key}.json"))
}

fn compile(state: &mut State) {
    state.compile(&pages(), |_| Slots::default(), at(5)).unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn nothing_is_lost_and_nothing_comes_back(
        events in vec(event(), 1..30),
        large in 1usize..8,
        due in 1usize..8,
        most in 4usize..20,
    ) {
        let mut world = World::new([large, due, most]);
        for event in &events {
            world.happen(event);
        }
        world.happen(&Event::Store { whole: true, steps: STEPS.len() });
    }
}

#[test]
fn what_moves_into_the_layers_is_held_until_they_are_stored() {
    let mut world = World::new([100, 1, 100]);
    world.happen(&Event::Put(1, 1, vec![(1, true)], false));
    world.happen(&Event::Store { whole: false, steps: STEPS.len() });
    world.happen(&Event::Merge);
    world.happen(&Event::Install);
    world.happen(&Event::Store { whole: false, steps: STEPS.len() });
    assert_eq!((world.held.all().len(), world.held.staying().len()), (1, 0));
    assert_eq!(stands(&mut world.restored().0).len(), 1);
    world.happen(&Event::Store { whole: true, steps: 2 });
    assert_eq!(world.held.all().len(), 1, "the layers are there, but the last step was not made");
    world.happen(&Event::Store { whole: true, steps: STEPS.len() });
    assert!(world.held.all().is_empty());
    assert_eq!(stands(&mut world.restored().0).len(), 1);
}

#[test]
fn a_notice_of_the_layers_that_got_another_version_is_what_it_is_now() {
    let mut world = World::new([2, 100, 100]);
    let names = (0..6).map(|n| (n, true)).collect();
    world.happen(&Event::Put(1, 1, names, false));
    world.happen(&Event::Store { whole: true, steps: STEPS.len() });
    world.happen(&Event::Put(1, 1, vec![(9, true)], false));
    for steps in 1..=STEPS.len() {
        world.happen(&Event::Store { whole: true, steps });
        let found = stands(&mut world.restored().0);
        assert_eq!(found.values().map(BTreeSet::len).collect::<Vec<_>>(), [1], "after step {steps}");
    }
}

#[test]
fn a_notice_that_moved_to_another_file_does_not_stand_twice() {
    let mut world = World::new([2, 100, 100]);
    let names = (0..6).map(|n| (n, true)).collect();
    world.happen(&Event::Put(1, 1, names, false));
    world.happen(&Event::Store { whole: true, steps: STEPS.len() });
    world.happen(&Event::Remove(1));
    world.happen(&Event::Put(2, 1, vec![(9, true)], false));
    world.happen(&Event::Store { whole: false, steps: STEPS.len() });
    let found = stands(&mut world.restored().0);
    assert_eq!(found.keys().map(|(place, _)| place.1.as_str()).collect::<Vec<_>>(), ["2.json"]);
}
