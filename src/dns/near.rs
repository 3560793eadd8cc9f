//! [`Near`]: answers that a worker has given lately, at hand for it alone.
//!
//! The cache is shared: a look-up writes to a lock and to the count of who holds the answer, both of which other
//! workers write to, and a processor lets nothing overtake such a write. Here nothing is written, so a worker can have
//! the answers to a batch of queries read together ([`Near::warm`]).
//!
//! The cache stays in charge. What leaves it for something newer, or for want of room, is marked ([`Kept::is_good`]);
//! what was taken before it was emptied or flushed is not used any more; and every [`THROUGH`]th time it is asked after
//! all, so that it knows what is in use. Answers are shared with it, not copied. Those it has dropped are freed when their
//! place is needed: short answers only, so that they hold 20 MiB a worker at the most.

use std::cell::{Cell, Ref, RefCell};
use std::hint::black_box;
use std::sync::Arc;

use super::cache::Kept;
use super::clock::Millis;
use super::query::{KEY_TAIL, Query};

/// Places, a power of two: each for one question of all that fall there.
const PLACES: usize = 1 << 15;
/// Octets of the longest answer that is kept here.
const LONGEST: usize = 512;
/// One in so many uses goes to the cache.
const THROUGH: u8 = 32;
/// Queries of a batch that are looked at together before the first of them is answered.
pub const AHEAD: usize = 16;

/// See the module's header.
#[derive(Debug)]
pub struct Near {
    places: RefCell<Box<[Option<Place>]>>,
    generation: Cell<u64>,
}

#[derive(Debug)]
struct Place {
    kept: Arc<Kept>,
    print: u32,
    /// The cache's when it was taken, as far as it goes into two octets.
    generation: u16,
    /// DO and CD of the question.
    flags: u8,
    uses: Cell<u8>,
}

impl Default for Near {
    fn default() -> Self {
        Self { places: RefCell::new((0..PLACES).map(|_| None).collect()), generation: Cell::new(0) }
    }
}

/// Which place a question has, and its print there. Whoever finds questions that meet gains that they are looked up in
/// the cache.
#[inline]
pub fn hash(name: &[u8], qtype: u16) -> u64 {
    const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;
    let (words, rest) = name.as_chunks();
    let rest = rest.iter().fold(u64::from(qtype), |rest, octet| rest << 8 | u64::from(*octet));
    let words = words.iter().map(|word| u64::from_ne_bytes(*word)).chain([rest]);
    words.fold(0, |hash, word| {
        let hash = (hash ^ word).wrapping_mul(SPREAD);
        hash ^ hash >> 32
    })
}

fn place(hash: u64) -> (usize, u32) {
    ((hash >> 32) as usize % PLACES, hash as u32)
}

impl Near {
    /// Uses nothing any more that was taken before the cache was emptied or flushed; `generation` is the cache's. It is
    /// freed later: all at once would keep a batch waiting.
    pub fn follow(&self, generation: u64) {
        let before = self.generation.replace(generation);
        if before >> u16::BITS != generation >> u16::BITS {
            self.places.borrow_mut().fill_with(|| None); // what the places know of it begins anew
        }
    }

    /// What a place knows of the generation.
    fn generation(&self) -> u16 {
        self.generation.get() as u16
    }

    /// The answer to a question, if it is here and within its TTL.
    #[inline]
    pub(super) fn get(&self, query: &Query, now: Millis) -> Option<Ref<'_, Kept>> {
        let (at, print) = place(hash(query.name(), query.qtype));
        let found = Ref::filter_map(self.places.borrow(), |places| {
            let place = places.get(at)?.as_ref()?;
            let uses = place.uses.get().wrapping_add(1);
            place.uses.set(uses);
            let is_it = place.print == print
                && place.generation == self.generation()
                && Some(&place.flags) == query.key().last()
                && uses % THROUGH != 0
                && place.kept.is_good(now)
                && place.kept.answer.is_for(query);
            is_it.then_some(&*place.kept)
        });
        found.ok()
    }

    /// Takes an answer that has been found in the cache.
    pub(super) fn put(&self, query: &Query, kept: Arc<Kept>) {
        let Some(&flags) = query.key().last() else { return };
        if kept.answer.size() > LONGEST || !kept.answer.is_for(query) {
            return;
        }
        let (at, print) = place(hash(query.name(), query.qtype));
        if let Some(place) = self.places.borrow_mut().get_mut(at) {
            *place = Some(Place { kept, print, generation: self.generation(), flags, uses: Cell::new(0) });
        }
    }

    /// Reads the answers to the questions with these hashes, [`AHEAD`] at the most, so that they are waited for
    /// together.
    pub fn warm(&self, hashes: impl Iterator<Item = u64>) {
        let places = self.places.borrow();
        let mut found = [const { None }; AHEAD];
        for (found, hash) in found.iter_mut().zip(hashes) {
            let (at, print) = place(hash);
            *found = places.get(at).and_then(Option::as_ref).filter(|place| place.print == print);
        }
        let octets = found.iter().flatten().map(|place| place.kept.answer.some_octets());
        black_box(octets.fold(0, |all, octets| all ^ octets));
    }
}

const _: () = assert!(KEY_TAIL == 3, "the last octet of a key is DO and CD");
const _: () = assert!(size_of::<Option<Place>>() == 16, "a place is a quarter of a cache line");

#[cfg(test)]
mod tests {
    use super::super::answer::Answer;
    use super::super::cache::{Cache, Found};
    use super::super::query::{Parsed, parse};
    use super::*;

    const OPT: &[u8] = b"\x00\x00\x29\x04\xd0\x00\x00\x80\x00\x00\x00";

    /// A question for `www.example.` of this type; with DO if `opt` is so.
    fn asked(name: &[u8], qtype: u8, opt: &[u8]) -> Vec<u8> {
        let mut message = vec![0, 7, 1, 0, 0, 1, 0, 0, 0, 0, 0, u8::from(!opt.is_empty())];
        message.extend_from_slice(name);
        message.extend_from_slice(&[0, qtype, 0, 1]);
        message.extend_from_slice(opt);
        message
    }

    fn with<T>(message: &[u8], then: impl FnOnce(&Query) -> T) -> T {
        let Parsed::Query(query) = parse(message) else { panic!() };
        then(&query)
    }

    /// Has the cache keep an answer for 100 s.
    fn keep(cache: &Cache, message: &[u8], now: Millis) {
        with(message, |query| {
            let mut answer = vec![0, 0, 0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0];
            answer.extend_from_slice(query.question());
            answer.extend_from_slice(b"\xc0\x0c\x00\x01\x00\x01\x00\x00\x00\x64\x00\x04\xc0\x00\x02\x07");
            let answer = Answer::parse(&answer, query.question(), false).unwrap();
            cache.keep(query.key(), &Arc::new(Kept::new(answer, now, 3_600)), cache.epoch());
        });
    }

    /// Has it taken from the cache.
    fn take(near: &Near, cache: &Cache, message: &[u8]) {
        with(message, |query| match cache.find(query.key(), 1) {
            Found::Fresh(kept) => near.put(query, kept),
            other => panic!("{other:?}"),
        });
    }

    fn has(near: &Near, message: &[u8], now: Millis) -> bool {
        with(message, |query| near.get(query, now).is_some())
    }

    const NAME: &[u8] = b"\x03www\x07example\x00";

    #[test]
    fn an_answer_is_for_its_question_alone_within_its_ttl() {
        let (near, cache, question) = (Near::default(), Cache::new(1 << 20), asked(NAME, 1, b""));
        keep(&cache, &question, 0);
        take(&near, &cache, &question);
        assert!(has(&near, &asked(b"\x03wWw\x07EXAMPLE\x00", 1, b""), 99_999));
        assert!(!has(&near, &question, 100_000), "its TTL is over");
        let mut checking_disabled = question.clone();
        checking_disabled[3] |= 0x10;
        for other in
            [asked(NAME, 28, b""), asked(NAME, 1, OPT), asked(b"\x03www\x07exampla\x00", 1, b""), checking_disabled]
        {
            // even where they meet
            let (from, to) = with(&other, |query| (hash(query.name(), query.qtype), place(hash(NAME, 1))));
            let mut places = near.places.borrow_mut();
            if let Some(taken) = places[to.0].take() {
                places[place(from).0] = Some(Place { print: place(from).1, ..taken });
            }
            drop(places);
            assert!(!has(&near, &other, 1), "{other:02x?}");
            take(&near, &cache, &question);
        }
    }

    #[test]
    fn what_the_cache_gives_up_is_not_used_any_more() {
        let (near, cache, question) = (Near::default(), Cache::new(1 << 20), asked(NAME, 1, b""));
        keep(&cache, &question, 0);
        take(&near, &cache, &question);
        assert!(has(&near, &question, 1));
        keep(&cache, &question, 0);
        assert!(!has(&near, &question, 1), "something newer");
        take(&near, &cache, &question);
        near.follow(cache.generation());
        assert!(has(&near, &question, 1));
        assert_eq!(cache.flush(NAME, false), 1);
        near.follow(cache.generation());
        assert!(!has(&near, &question, 1), "flushed");
        keep(&cache, &question, 0);
        take(&near, &cache, &question);
        cache.clear();
        near.follow(cache.generation());
        assert!(!has(&near, &question, 1), "emptied");
    }

    #[test]
    fn generations_that_look_alike_are_told_apart() {
        let (near, cache, question) = (Near::default(), Cache::new(1 << 20), asked(NAME, 1, b""));
        keep(&cache, &question, 0);
        take(&near, &cache, &question);
        near.follow(1);
        assert!(!has(&near, &question, 1));
        near.follow(1 << 16);
        assert!(!has(&near, &question, 1), "as many as a place can tell");
        take(&near, &cache, &question);
        near.follow(1 << 16);
        assert!(has(&near, &question, 1));
    }

    #[test]
    fn what_made_room_in_the_cache_is_not_used_any_more() {
        let (near, cache) = (Near::default(), Cache::new(1 << 20));
        let name = |n: u32| asked(&[b"\x07", format!("{n:07}").as_bytes(), b"\0"].concat(), 1, b"");
        let questions: Vec<_> = (0..20_000).map(name).collect();
        for question in &questions {
            keep(&cache, question, 0);
            take(&near, &cache, question);
        }
        let is_there = |question| with(question, |query| matches!(cache.find(query.key(), 1), Found::Fresh(_)));
        let (kept, gone): (Vec<_>, Vec<_>) = questions.iter().partition(|question| is_there(question));
        assert!(kept.iter().any(|question| has(&near, question, 1)));
        assert!(gone.len() > 10_000 && !gone.iter().any(|question| has(&near, question, 1)));
    }

    #[test]
    fn the_cache_hears_of_what_is_in_use() {
        let (near, cache, question) = (Near::default(), Cache::new(1 << 20), asked(NAME, 1, b""));
        keep(&cache, &question, 0);
        take(&near, &cache, &question);
        let uses = (0..1_024).filter(|_| has(&near, &question, 1)).count();
        assert_eq!(uses, 1_024 - 1_024 / usize::from(THROUGH));
    }
}
