//! The index against a map, with the names that real lists have and those that somebody might make up to break it.

use std::collections::{BTreeMap, BTreeSet};

use proptest::collection::vec;
use proptest::prelude::*;

use super::build::build_at_most;
use super::*;
use crate::model::name::MAX_NAME;
use crate::model::{DnsName, Targets};

fn name(text: &str) -> DnsName {
    DnsName::from_text(text).unwrap()
}

fn wire(text: &str) -> Vec<u8> {
    name(text).as_wire().to_vec()
}

fn member(notice: u32, scope: Scope) -> Member {
    Member { notice, scope }
}

fn targets(names: impl IntoIterator<Item = DnsName>) -> Targets {
    names.into_iter().map(|name| (name, Scope::Subtree)).collect::<Vec<_>>().iter().map(|(n, s)| (n, *s)).collect()
}

/// An index with what is counted of it.
fn built(previous: &Built, slots: &[Slot], added: &[(u32, Targets)]) -> Built {
    build(&previous.index, previous.sets.counts(), slots, &mut added.to_vec()).unwrap()
}

fn none() -> Built {
    Built { index: Index::default(), sets: Interner::default(), moves: Moves::default() }
}

fn index_of(names: impl IntoIterator<Item = DnsName>) -> Index {
    built(&none(), &[Slot::Open], &[(0, targets(names))]).index
}

fn found(index: &Index, name: &[u8]) -> Vec<Vec<u8>> {
    let mut found = Vec::new();
    index.walk(name, |_, suffix| {
        found.push(suffix.to_vec());
        ControlFlow::Continue(())
    });
    found
}

/// A name of `labels` labels, all of `len` octets that nothing makes shorter.
fn noise(labels: usize, len: usize, seed: u32) -> DnsName {
    let mut state = u64::from(seed) << 1 | 1;
    let mut wire = Vec::new();
    for _ in 0..labels {
        wire.push(len as u8);
        for _ in 0..len {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            wire.push((state >> 56) as u8);
        }
    }
    wire.push(0);
    DnsName::from_wire(&wire).unwrap()
}

type Model = BTreeMap<Vec<u8>, BTreeSet<Member>>;

/// Everything an index says of its names, which has to hang together.
fn contents(Built { index, sets, .. }: &Built) -> Model {
    let mut model = Model::new();
    let mut counts = vec![0; index.sets()];
    for (name, set) in index.iter() {
        assert_eq!(index.find(&name), Some(set));
        assert_eq!(found(index, &name).first().map(Vec::as_slice), Some(&*name));
        assert!(index.members(set).is_sorted());
        counts[set as usize] += 1;
        assert!(
            model.insert(name.to_vec(), index.members(set).iter().copied().collect()).is_none(),
            "a name stands there twice"
        );
    }
    assert_eq!(index.len(), model.len());
    assert_eq!(counts, sets.counts());
    model
}

#[test]
fn any_octets_can_be_read_ahead() {
    let names: Vec<_> = (0..200).map(|n| noise(1 + n as usize % 4, 1 + n as usize % 63, n)).collect();
    for index in [Index::default(), index_of(names.iter().cloned())] {
        let odd: [&[u8]; 6] = [b"", b"\x00", b"\x01", b"\x01a", b"\xc0\x0c", &[63; 300]];
        index.warm(names.iter().map(DnsName::as_wire).chain(odd));
        index.warm(odd.into_iter());
    }
}

#[test]
fn a_walk_finds_every_listed_ancestor_longest_first() {
    let index = index_of(["b.example", "example", "a.b.example", "other.test"].map(name));
    assert_eq!(found(&index, &wire("x.y.z.a.b.example")), ["a.b.example", "b.example", "example"].map(wire));
    assert_eq!(found(&index, &wire("c.example")), [wire("example")]);
    for unlisted in ["test", "other.testing", "."] {
        assert!(found(&index, &wire(unlisted)).is_empty(), "{unlisted}");
    }
}

#[test]
fn a_walk_ends_when_it_is_told_to() {
    let index = index_of(["b.example", "example"].map(name));
    let mut calls = 0;
    index.walk(&wire("a.b.example"), |_, suffix| {
        calls += 1;
        assert_eq!(suffix, wire("b.example"));
        ControlFlow::Break(())
    });
    assert_eq!(calls, 1);
}

#[test]
fn equal_reasons_share_a_set_and_repeats_change_nothing() {
    use Scope::{Exact, Subtree};
    let (a, b) = (name("a.x"), name("b.x"));
    let listed = |names: &[(&DnsName, Scope)]| names.iter().copied().collect::<Targets>();
    let added = [
        (0, listed(&[(&a, Exact), (&b, Exact), (&a, Exact), (&b, Subtree)])),
        (2, listed(&[(&b, Subtree), (&b, Subtree)])),
    ];
    let built = built(&none(), &[Slot::Open; 3], &added);
    let index = &built.index;
    let reasons = |name: &DnsName| index.members(index.find(name.as_wire()).unwrap()).to_vec();
    assert_eq!(reasons(&a), [member(0, Exact)]);
    assert_eq!(reasons(&b), [member(0, Exact), member(0, Subtree), member(2, Subtree)]);
    assert_eq!(contents(&built).len(), 2);
}

#[test]
fn no_names_is_an_index_too() {
    for built in [none(), built(&none(), &[Slot::Open], &[(0, Targets::default())])] {
        let index = &built.index;
        assert!(index.is_empty());
        assert!(contents(&built).is_empty());
        assert_eq!(index.find(&wire("a.example")), None);
        assert_eq!(index.find(b"\0"), None);
        assert!(index.members(0).is_empty());
    }
}

#[test]
fn the_root_can_be_listed() {
    let index = index_of([DnsName::root()]);
    assert_eq!(found(&index, &wire("a.example")), [b"\0"]);
    assert_eq!(found(&index, b"\0"), [b"\0"]);
}

#[test]
fn what_is_no_name_is_not_found() {
    let index = index_of(["a.example", "."].map(name));
    let long = [1; 300];
    for octets in [&b""[..], b"\x01a", b"\x01a\x07example", b"\x01a\x00\x00", b"\xff", &long] {
        assert_eq!(index.find(octets), None, "{octets:?}");
        assert!(found(&index, octets).is_empty(), "{octets:?}");
    }
}

#[test]
fn the_longest_and_the_deepest_names_are_found() {
    let deepest: Vec<_> = (0..300).map(|seed| noise(127, 1, seed)).collect();
    let longest: Vec<_> =
        (0..300).map(|seed| noise(3, 63, seed)).chain((0..300).map(|seed| noise(5, 49, seed))).collect();
    let ancestors = deepest.iter().take(20).flat_map(|name| std::iter::successors(name.parent(), DnsName::parent));
    let names = targets(deepest.iter().chain(&longest).cloned().chain(ancestors));
    let built = built(&none(), &[Slot::Open], &[(0, names)]);
    contents(&built);
    let index = built.index;
    for name in deepest.iter().take(20) {
        assert_eq!(found(&index, name.as_wire()).len(), 128, "each of its suffixes, the root too");
    }
    for name in &longest {
        let mut other = name.as_wire().to_vec();
        other[1] ^= 1;
        if let Ok(other) = DnsName::from_wire(&other) {
            assert_eq!(found(&index, other.as_wire()), [b"\0"]);
        }
    }
}

#[test]
fn names_that_differ_in_one_octet_are_told_apart() {
    let listed = (0..=255u8).filter(|octet| octet.to_ascii_lowercase() == *octet && octet % 2 == 0);
    let of = |octet: u8| DnsName::from_wire(&[3, b'x', octet, b'y', 2, octet, 0, 0]).unwrap();
    let index = index_of(listed.clone().map(of));
    for octet in (0..=255u8).filter(|octet| octet.to_ascii_lowercase() == *octet) {
        assert_eq!(index.find(of(octet).as_wire()).is_some(), listed.clone().any(|other| other == octet), "{octet}");
    }
}

#[test]
fn many_names_below_one_parent_spread_like_any_others() {
    let of = |n: u32| name(&format!("{n:x}.one.parent.example"));
    let index = index_of((0..100_000).map(of));
    assert_eq!(index.len(), 100_000);
    assert!((0..100_000).all(|n| index.find(of(n).as_wire()).is_some()));
    assert!((100_000..200_000).all(|n| found(&index, of(n).as_wire()).is_empty()));
    assert!(index.bytes() < 16 * 100_000, "{}", index.bytes());
}

/// More names than are sorted at once, over several notices and rebuilds.
#[test]
fn parts_and_merges_lose_nothing() {
    let of = |n: u32| name(&format!("host-{n}.{}.example", n % 1000));
    let notice = |from: u32, to: u32| targets((from..to).map(of));
    let first = built(&none(), &[Slot::Open; 2], &[(0, notice(0, 60_000)), (1, notice(50_000, 90_000))]);
    assert_eq!(first.index.len(), 90_000);
    let slots = [Slot::Gone, Slot::Open, Slot::Gone, Slot::Open, Slot::Open];
    let second = built(&first, &slots, &[(3, notice(80_000, 200_000)), (4, notice(0, 10))]);
    let contents = contents(&second);
    assert_eq!(contents.len(), 150_010);
    for n in [0, 9, 10, 49_999, 50_000, 79_999, 80_000, 89_999, 90_000, 199_999, 200_000] {
        let notices = [(1, 50_000..90_000), (3, 80_000..200_000), (4, 0..10)];
        let listed = notices.iter().filter(|(_, range)| range.contains(&n));
        let expected: BTreeSet<_> = listed.map(|(notice, _)| member(*notice, Scope::Subtree)).collect();
        assert_eq!(contents.get(of(n).as_wire()).cloned().unwrap_or_default(), expected, "{n}");
    }
}

/// What was taken out of the targets is in them again when the build stops, wherever it stops.
#[test]
fn a_build_that_fails_gives_the_names_back() {
    let of = |n: u32| name(&format!("host-{n}.{}.example", n % 1000));
    let mut slots = vec![Slot::Open; 8];
    slots[7] = Slot::Secret;
    let first = built(&none(), &slots, &[(0, targets((0..5_000).map(of)))]);
    let listed = |added: &[(u32, Targets)]| -> BTreeSet<_> {
        let of = |(notice, targets): &(u32, Targets)| {
            targets.iter().map(|(name, scope)| (*notice, name.to_vec(), scope)).collect::<Vec<_>>()
        };
        added.iter().flat_map(of).collect()
    };
    let fresh = || [(3, targets((2_000..14_000).map(of))), (7, targets((9_000..9_003).map(of)))];
    let expected = listed(&fresh());
    for limit in [0, 1, 6_000, 13_996] {
        let mut added = fresh();
        assert!(build_at_most(&first.index, first.sets.counts(), &slots, &mut added, limit).is_err());
        assert_eq!(listed(&added), expected, "stopped at {limit}");
        let whole = build(&first.index, first.sets.counts(), &slots, &mut added).unwrap();
        assert_eq!(whole.index.len(), 14_000);
        assert!(added.iter().all(|(_, targets)| targets.is_empty()));
    }
}

#[test]
fn set_numbers_of_any_length_come_back() {
    let added: Vec<_> = (0..20_000).map(|n| (n, targets([name(&format!("n{n}.example"))]))).collect();
    let index = built(&none(), &[Slot::Open; 20_000], &added).index;
    assert_eq!(index.sets(), 20_000);
    for n in (0..20_000).step_by(7) {
        let set = index.find(&wire(&format!("n{n}.example"))).unwrap();
        assert_eq!(index.members(set), [member(n, Scope::Subtree)]);
    }
}

#[test]
fn a_layer_comes_back_as_it_was() {
    let index = index_of((0..5_000).map(|n| name(&format!("host-{n}.example"))));
    let image = index.layers()[0].as_bytes();
    let read = |image: &[u8]| Layer::read(&mut &*image, image.len() as u64).unwrap();
    let again = read(image).unwrap();
    assert_eq!(again.as_bytes(), image);
    let names = |layer: &Layer| layer.names(index.key).map(|(_, name, set)| (name.to_vec(), set)).collect::<Vec<_>>();
    assert_eq!(names(&again), names(&index.layers()[0]));
    for len in (0..image.len()).step_by(101) {
        assert!(read(&image[..len]).is_none(), "{len} octets of it");
    }
    assert!(read(&[image, &[0]].concat()).is_none());
}

/// No trace of a secret name is where names are stored as they are, not even in the symbols.
#[test]
fn secret_names_have_a_layer_of_their_own() {
    let open = targets((0..3_000).map(|n| name(&format!("host-{n}.example"))));
    let secret = targets((0..3_000).map(|n| name(&format!("zqxj{n}.zqxj"))).chain([name("host-7.example")]));
    let slots = [Slot::Open, Slot::Secret];
    let first = built(&none(), &slots, &[(0, open), (1, secret)]);
    let second = built(&first, &slots, &[(2, Targets::default())]);
    for built in [&first, &second] {
        let [secret, open] = built.index.layers() else { panic!("two layers") };
        assert_eq!((secret.len(), open.len()), (3_001, 2_999));
        assert!(!open.as_bytes().windows(4).any(|octets| octets == b"zqxj"));
        contents(built);
    }
    let third = built(&second, &[Slot::Open, Slot::Gone], &[]);
    assert_eq!((third.index.layers().len(), third.index.len()), (1, 3_000));
}

/// However badly the numbers of a layer are guessed: of one secret name beside lists full of repeats, and of many.
#[test]
fn few_secret_names_beside_many_repeats_are_found() {
    let host = |n: u32| name(&format!("host-{n}.example"));
    for secrets in [1, 600] {
        let mut added = vec![(0, targets((0..6_000).map(host).chain((0..50).map(host))))];
        added.extend((1..200).map(|slot| (slot, targets((0..50).map(host)))));
        added.push((200, targets((0..secrets).map(|n| name(&format!("hidden-{n}.example"))))));
        let mut slots = vec![Slot::Open; 201];
        slots[200] = Slot::Secret;
        let built = built(&none(), &slots, &added);
        contents(&built);
        assert_eq!(built.index.len(), 6_000 + secrets as usize);
        assert!((0..secrets).all(|n| built.index.find(&wire(&format!("hidden-{n}.example"))).is_some()));
    }
}

#[test]
fn what_changed_has_the_say_over_the_layers() {
    let built = built(&none(), &[Slot::Open], &[(0, targets((0..1_000).map(|n| name(&format!("h{n}.example")))))]);
    let mut index = built.index.clone();
    for n in 500..1_500 {
        index.put(&wire(&format!("h{n}.example")), n, 1);
    }
    index.put(&wire("h600.example"), 7, 2);
    assert_eq!((index.len(), index.changed(), index.changed_since(1).count()), (1_500, 1_000, 1));
    let find = |n: u32| index.find(&wire(&format!("h{n}.example")));
    assert_eq!([0, 499, 500, 600, 1_499, 1_500].map(find), [Some(0), Some(0), Some(500), Some(7), Some(1_499), None]);
    let all: Vec<_> = index.iter().map(|(name, set)| (name.to_vec(), set)).collect();
    assert_eq!(all.len(), 1_500);
    assert!(all.iter().all(|(name, set)| index.find(name) == Some(*set)));
    assert_eq!(built.index.len(), 1_000, "a copy stays as it was");
}

/// Names from a small alphabet, so that they meet; octets that mean something elsewhere among them.
fn small_name() -> impl Strategy<Value = DnsName> {
    let label = prop_oneof![Just("a"), Just("b"), Just("ab"), Just("www"), Just("\\000"), Just("\\."), Just("\\255x")];
    vec(label, 1..6).prop_map(|labels| name(&labels.join(".")))
}

/// Any octets, any lengths.
fn any_name() -> impl Strategy<Value = DnsName> {
    vec(vec(any::<u8>(), 1..64), 0..9).prop_map(|labels| {
        let mut wire = Vec::new();
        for label in labels {
            if wire.len() + label.len() + 2 <= MAX_NAME {
                wire.push(label.len() as u8);
                wire.extend(label);
            }
        }
        wire.push(0);
        DnsName::from_wire(&wire).unwrap()
    })
}

fn listing() -> impl Strategy<Value = Vec<(DnsName, Scope)>> {
    let scope = prop_oneof![Just(Scope::Exact), Just(Scope::Subtree)];
    vec((prop_oneof![small_name(), any_name()], scope), 0..60)
}

proptest! {
    #[test]
    fn it_says_what_the_map_says(
        listings in vec(listing(), 0..5),
        more in vec(listing(), 0..3),
        keep in vec(any::<bool>(), 5),
        secret in vec(any::<bool>(), 5),
        asked in vec(prop_oneof![small_name(), any_name()], 0..20),
    ) {
        let numbered = |from: u32, listings: &[Vec<(DnsName, Scope)>]| -> Vec<(u32, Targets)> {
            (from..).zip(listings).map(|(n, l)| (n, l.iter().map(|(name, scope)| (name, *scope)).collect())).collect()
        };
        let kinds: Vec<_> = (0..20 + more.len()).map(|n| if secret[n % 5] { Slot::Secret } else { Slot::Open }).collect();
        let before = built(&none(), &kinds, &numbered(0, &listings));
        let mut slots = kinds;
        for (n, slot) in slots.iter_mut().enumerate().take(listings.len()) {
            *slot = if keep[n] { *slot } else { Slot::Gone };
        }
        let Built { index, sets, .. } = built(&before, &slots, &numbered(20, &more));
        let index = Built { index, sets, moves: Moves::default() };
        let mut model = Model::new();
        let old = (0..).zip(&listings).filter(|(n, _)| keep[*n as usize]);
        for (number, listing) in old.chain((20..).zip(&more)) {
            for (name, scope) in listing {
                model.entry(name.as_wire().to_vec()).or_default().insert(member(number, *scope));
            }
        }
        prop_assert_eq!(&contents(&index), &model);
        let index = index.index;
        for name in asked.iter().chain(listings.iter().flatten().map(|(name, _)| name)) {
            let suffixes = std::iter::successors(Some(name.clone()), DnsName::parent);
            let listed: Vec<_> = suffixes.map(|n| n.as_wire().to_vec()).filter(|n| model.contains_key(n)).collect();
            prop_assert_eq!(found(&index, name.as_wire()), listed);
        }
    }

    #[test]
    fn a_damaged_image_does_no_harm(at in any::<prop::sample::Index>(), octet in any::<u8>(), asked in small_name()) {
        let names = (0..300).map(|n| name(&format!("www.{n}.example")));
        let index = index_of(names.chain([asked.clone(), name("a.b.a.b")]));
        let mut image = index.layers()[0].as_bytes().to_vec();
        let at = at.index(image.len());
        image[at] ^= octet;
        if let Some(layer) = Layer::read(&mut &*image, image.len() as u64).unwrap() {
            let index = Index::new(index.secret, vec![layer.into()], index.sets.clone());
            found(&index, asked.as_wire());
            for (name, set) in index.iter() {
                let _ = (index.find(&name), index.members(set));
            }
        }
    }
}
