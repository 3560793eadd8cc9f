//! Questions that are joined: many askers at a time, panics, bounds, and a cache that is emptied meanwhile.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use futures_util::future::{BoxFuture, FutureExt, join_all};
use rand::RngExt;
use tokio::sync::Semaphore;

use super::*;
use crate::dns::answer::Answer;
use crate::dns::core::{Asker, Core, Fast};
use crate::dns::query::{Parsed, parse};
use crate::dns::{Settings, Stale, UpstreamConfig};
use crate::model::DnsName;
use crate::observe::counters::Counters;
use crate::policy::compile::tests::snapshot;
use crate::policy::store::store;

/// Answers every question with an address of this TTL, after a while, and keeps books.
struct Upstream {
    ttl: u8,
    asked: Mutex<BTreeMap<Vec<u8>, usize>>,
    under_way: Mutex<BTreeSet<Vec<u8>>>,
    twice: AtomicBool,
    /// Each question takes a permit, or waits for one.
    gate: Semaphore,
    panics: AtomicBool,
}

impl Upstream {
    fn new(ttl: u8, gate: usize) -> Arc<Self> {
        Arc::new(Self {
            ttl,
            asked: Mutex::default(),
            under_way: Mutex::default(),
            twice: AtomicBool::new(false),
            gate: Semaphore::new(gate),
            panics: AtomicBool::new(false),
        })
    }

    fn asked(&self) -> usize {
        self.asked.lock().unwrap().values().sum()
    }
}

impl Resolve for Upstream {
    fn resolve<'a>(&'a self, question: &'a Question) -> BoxFuture<'a, Result<Answer, Failure>> {
        let mut message = vec![0, 0, 0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0];
        message.extend_from_slice(&question.section);
        message.extend_from_slice(b"\xc0\x0c\x00\x01\x00\x01\x00\x00\x00");
        message.extend_from_slice(&[self.ttl, 0, 4, 192, 0, 2, 7]);
        async move {
            *self.asked.lock().unwrap().entry(question.section.clone()).or_default() += 1;
            if !self.under_way.lock().unwrap().insert(question.section.clone()) {
                self.twice.store(true, Relaxed);
            }
            self.gate.acquire().await.unwrap().forget();
            rest(2_000).await;
            self.under_way.lock().unwrap().remove(&question.section);
            assert!(!self.panics.load(Relaxed), "as the test wants it");
            Answer::parse(&message, &question.section, false).map_err(|_| Failure::Garbage)
        }
        .boxed()
    }

    fn is_healthy(&self, _: &Question) -> bool {
        true
    }

    fn outages(&self, _: &Question) -> Arc<Outages> {
        Arc::default()
    }
}

async fn rest(most_us: u64) {
    let us = rand::rng().random_range(0..most_us);
    tokio::time::sleep(Duration::from_micros(us)).await;
}

fn message(name: &str) -> Vec<u8> {
    let mut message = vec![0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    message.extend_from_slice(DnsName::from_text(name).unwrap().as_wire());
    message.extend_from_slice(&[0, 1, 0, 1]);
    message
}

fn with_query<T>(name: &str, then: impl FnOnce(&Query) -> T) -> T {
    let message = message(name);
    let Parsed::Query(query) = parse(&message) else { panic!() };
    then(&query)
}

fn flights(upstream: &Arc<Upstream>, most: u32) -> (Arc<Flights>, Arc<Cache>) {
    let cache = Arc::new(Cache::new(1 << 20));
    let clock = Clock::Manual(Arc::new(AtomicU64::new(1_000)));
    let places = Arc::new(Domains::new(most, rand::random()));
    (Flights::new(places, Handle::current(), upstream.clone(), cache.clone(), clock), cache)
}

fn join(flights: &Arc<Flights>, name: &str) -> Joined {
    with_query(name, |query| flights.join(Wanted::of(query, flights.cache.epoch()), 3_600))
}

fn wait(joined: Joined) -> Waiter {
    match joined {
        Joined::Wait(waiter, _) => waiter,
        other => panic!("{other:?}"),
    }
}

fn is_cached(cache: &Cache, name: &str) -> bool {
    with_query(name, |query| matches!(cache.find(query.key(), 1_000), Found::Fresh(_)))
}

/// Askers in a random order at random times, over as many threads as a server has.
async fn ask_at_random(upstream: &Arc<Upstream>, names: usize, askers: usize) {
    let (flights, _) = flights(upstream, 64);
    let ask = |_| {
        let flights = flights.clone();
        tokio::spawn(async move {
            rest(20_000).await;
            let name = format!("n{}.example.", rand::rng().random_range(0..names));
            let outcome = match join(&flights, &name) {
                Joined::Wait(waiter, _) => waiter.outcome().await,
                Joined::Known(outcome) => outcome,
                Joined::Full(bound) => panic!("{bound:?}"),
            };
            let Outcome::Answer(kept) = outcome else { panic!("{outcome:?}") };
            let (message, mut out) = (message(&name), [0; 512]);
            let Parsed::Query(query) = parse(&message) else { panic!() };
            let shown = (crate::dns::answer::Shown::After(0), crate::dns::answer::Sections::All);
            let (len, code) = kept.answer.render(&query, shown, 3_600, 512, &mut out);
            assert_eq!((code, len), (0, message.len() + 16), "{name}");
        })
    };
    for asker in join_all((0..askers).map(ask)).await {
        asker.unwrap();
    }
    assert!(!upstream.twice.load(Relaxed), "a question was under way twice");
    assert!(flights.lock().is_empty());
    let places = (0..64).map(|n| flights.places.enter(&[1, b'a' + n % 26, 1, b'a' + n / 26, 0]));
    assert!(places.collect::<Vec<_>>().iter().all(Result::is_ok), "every place has been given back");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_many_askers_one_asks_the_upstream() {
    for round in 0..5 {
        let upstream = Upstream::new(200, 100_000);
        let names = 1 + round * 15;
        ask_at_random(&upstream, names, (names * 200).min(2_000)).await; // fewer than may wait for one
        let asked = upstream.asked.lock().unwrap();
        assert!(asked.values().all(|count| *count == 1), "round {round}: {asked:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_may_not_be_kept_is_asked_again_but_never_twice_at_a_time() {
    let upstream = Upstream::new(0, 100_000);
    ask_at_random(&upstream, 8, 1_000).await;
    assert!((8..1_000).contains(&upstream.asked()), "{}", upstream.asked());
}

#[tokio::test]
async fn a_flight_survives_the_asker_who_began_it() {
    let upstream = Upstream::new(200, 0);
    let (flights, cache) = flights(&upstream, 2);
    drop(join(&flights, "a.example."));
    let second = wait(join(&flights, "a.example."));
    upstream.gate.add_permits(1);
    assert!(matches!(second.outcome().await, Outcome::Answer(_)));
    assert!(is_cached(&cache, "a.example.") && upstream.asked() == 1);
}

#[tokio::test]
async fn a_panic_is_a_failure_for_all_who_wait_and_ends_there() {
    let upstream = Upstream::new(200, 2);
    upstream.panics.store(true, Relaxed);
    let (flights, _) = flights(&upstream, 1);
    let waiters = [join(&flights, "a.example."), join(&flights, "a.example.")].map(wait);
    for waiter in waiters {
        assert!(matches!(waiter.outcome().await, Outcome::Failed(Failure::Broken)));
    }
    upstream.panics.store(false, Relaxed);
    assert!(matches!(wait(join(&flights, "a.example.")).outcome().await, Outcome::Answer(_)));
}

#[test]
fn a_runtime_that_has_ended_is_a_failure_for_who_still_asks() {
    let upstream = Upstream::new(200, 1);
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let (flights, _) = runtime.block_on(async { flights(&upstream, 1) });
    drop(runtime);
    for _ in 0..2 {
        let outcome = wait(join(&flights, "a.example.")).outcome().now_or_never();
        assert!(matches!(outcome, Some(Outcome::Failed(Failure::Broken))), "{outcome:?}");
    }
}

#[tokio::test]
async fn flights_and_the_waiters_of_one_are_bounded() {
    let upstream = Upstream::new(200, 0);
    let (flights, _) = flights(&upstream, 1);
    let waiters: Vec<_> = (0..MAX_JOINED).map(|_| wait(join(&flights, "a.example."))).collect();
    assert!(matches!(join(&flights, "a.example."), Joined::Full(Shed::Joined)));
    assert!(matches!(join(&flights, "b.example."), Joined::Full(Shed::Queue)));
    assert!(with_query("a.example.", |query| flights.prefetch(query, 0, 60)), "it is under way");
    assert!(!with_query("b.example.", |query| flights.prefetch(query, 0, 60)), "there is no place");
    upstream.gate.add_permits(1);
    for outcome in join_all(waiters.into_iter().map(Waiter::outcome)).await {
        assert!(matches!(outcome, Outcome::Answer(_)));
    }
    upstream.gate.add_permits(1);
    assert!(matches!(wait(join(&flights, "b.example.")).outcome().await, Outcome::Answer(_)));
}

#[tokio::test]
async fn what_was_decided_before_the_cache_was_emptied_is_not_kept() {
    let upstream = Upstream::new(200, 2);
    let (flights, cache) = flights(&upstream, 2);
    let epoch = cache.epoch();
    cache.clear(); // a reload, say, that makes the name one of ours
    let joined = with_query("a.example.", |query| flights.join(Wanted::of(query, epoch), 60));
    assert!(matches!(wait(joined).outcome().await, Outcome::Answer(_)));
    assert!(!is_cached(&cache, "a.example."));
    assert!(with_query("a.example.", |query| flights.prefetch(query, epoch, 60)));
    while !flights.lock().is_empty() {
        rest(1_000).await;
    }
    assert!(!is_cached(&cache, "a.example.") && upstream.asked() == 2);
}

/// A core over this upstream, and its parts.
fn core(upstream: &Arc<Upstream>, stale: Option<Stale>) -> (Core, Arc<Cache>, Settings, Arc<AtomicU64>) {
    let cache = Arc::new(Cache::new(1 << 20));
    let (_, policy) = store(snapshot(&[], 100));
    let allow = ["127.0.0.0/8".parse().unwrap()].into_iter().collect();
    let settings = Settings {
        allow,
        upstreams: Vec::new(),
        forwarding: crate::dns::Forwarding::default(),
        max_ttl: 3_600,
        access: crate::dns::access::Settings::default(),
        exempt: crate::model::Exemptions::default(),
        prefetch: true,
        stale,
        tcp: Default::default(),
        proxy: Default::default(),
        identity: crate::dns::identity::Identity::default(),
        local: Arc::default(),
    };
    let time = Arc::new(AtomicU64::new(1_000));
    let clock = Clock::Manual(time.clone());
    let core = Core::new(policy, settings.clone(), cache.clone(), upstream.clone(), 4, clock, Handle::current());
    (core, cache, settings, time)
}

#[tokio::test]
async fn who_finds_no_place_gets_servfail_or_what_is_stale() {
    let stale = Stale { client_timeout: Duration::from_secs(5), max: Duration::from_secs(60) };
    let upstream = Upstream::new(200, 1);
    let (core, _, _, time) = core(&upstream, Some(stale));
    let (counters, asker, question) =
        (Counters::default(), Asker::datagram([127, 0, 0, 1].into()), message("a.example."));
    let mut out = [0; 512];
    assert!(core.wait(&question, &counters).await.is_some());
    let permits =
        |name: fn(usize) -> String| -> Vec<_> { (0..17).map_while(|n| core.permit(&message(&name(n))).ok()).collect() };
    let of_one = permits(|n| format!("{n}.a.example."));
    assert_eq!(of_one.len(), 8, "half, and no more: it has more than an eighth");
    let places = permits(|n| format!("{n}.b{n}.example."));
    assert_eq!(of_one.len() + places.len(), 16, "four for each question");
    for (at, code, answers) in [(201_000, 0, 1), (261_001, 2, 0)] {
        time.store(at, Relaxed);
        assert!(matches!(core.overloaded(&question, &asker, Shed::Waiting, &counters, &mut out), Fast::Reply(..)));
        assert_eq!((out[3] & 0x0f, out[7]), (code, answers), "at {at}");
    }
    assert_eq!((counters.shed[Shed::Waiting as usize].get(), counters.cache_stale.get()), (2, 1));
    drop((of_one, places));
    assert!(core.drained().now_or_never().is_some());
}

#[tokio::test]
async fn who_finds_no_place_gets_what_is_stale_behind_a_cname_of_ours() {
    let stale = Stale { client_timeout: Duration::from_secs(5), max: Duration::from_secs(60) };
    let upstream = Upstream::new(200, 1);
    let (core, _, settings, time) = core(&upstream, Some(stale));
    let text = b"@ 300 SOA ns hostmaster 1 3600 600 604800 60\n@ NS ns\nns A 192.0.2.53\nout CNAME a.example.\n";
    let zone = crate::dns::local::parse(&DnsName::from_text("portal.example").unwrap(), text).unwrap();
    let local = Arc::new(crate::dns::local::Local::new(false, &[], vec![zone], &[]));
    core.reconfigure(Settings { local, ..settings });
    let (counters, asker) = (Counters::default(), Asker::datagram([127, 0, 0, 1].into()));
    let (question, mut out) = (message("out.portal.example."), [0; 512]);
    assert!(core.wait(&question, &counters).await.is_some());
    time.store(201_000, Relaxed);
    core.overloaded(&question, &asker, Shed::Waiting, &counters, &mut out);
    assert_eq!((out[3] & 0x0f, out[7], counters.cache_stale.get()), (0, 2, 1));
}

#[tokio::test]
async fn what_new_upstreams_or_a_flush_overtake_is_neither_kept_nor_joined() {
    let upstream = Upstream::new(200, 0);
    let (core, cache, settings, _) = core(&upstream, None);
    let (counters, question) = (Counters::default(), message("a.example."));
    let overtake: [&dyn Fn(); 2] = [
        &|| {
            let other = UpstreamConfig { address: ([192, 0, 2, 1], 53).into(), trust_ad: false, zones: Vec::new() };
            core.reconfigure(Settings { upstreams: vec![other], ..settings.clone() });
        },
        &|| assert_eq!(core.flush(b"\x01b\x00", false), 0),
    ];
    for (round, overtake) in overtake.into_iter().enumerate() {
        let mut old = std::pin::pin!(core.wait(&question, &counters));
        assert!(old.as_mut().now_or_never().is_none());
        overtake();
        tokio::task::yield_now().await;
        let mut new = std::pin::pin!(core.wait(&question, &counters));
        assert!(new.as_mut().now_or_never().is_none());
        tokio::task::yield_now().await;
        assert_eq!(upstream.asked(), 2 * (round + 1), "the new one does not join the old one");
        upstream.gate.add_permits(1);
        old.await;
        assert!(!is_cached(&cache, "a.example."), "the old one's answer is not kept");
        upstream.gate.add_permits(1);
        new.await;
        assert!(is_cached(&cache, "a.example."));
        core.flush(b"\x01a\x07example\x00", false);
    }
}

/// One group of upstreams is dead, the other is well, and does not answer everything.
#[derive(Default)]
struct TwoGroups(Arc<Outages>, Arc<Outages>);

impl TwoGroups {
    fn is_dead(question: &Question) -> bool {
        question.section.starts_with(b"\x04dead")
    }
}

impl Resolve for TwoGroups {
    fn resolve<'a>(&'a self, question: &'a Question) -> BoxFuture<'a, Result<Answer, Failure>> {
        let mut message = vec![0, 0, 0x81, 0x80, 0, 1, 0, 0, 0, 0, 0, 0];
        message.extend_from_slice(&question.section);
        async move {
            match question.section.starts_with(b"\x02ok") {
                true => Answer::parse(&message, &question.section, false).map_err(|_| Failure::Garbage),
                false => Err(Failure::Silence),
            }
        }
        .boxed()
    }

    fn is_healthy(&self, question: &Question) -> bool {
        !Self::is_dead(question)
    }

    fn outages(&self, question: &Question) -> Arc<Outages> {
        if Self::is_dead(question) { self.0.clone() } else { self.1.clone() }
    }
}

#[tokio::test]
async fn an_outage_of_one_zones_upstreams_forgets_no_failures_of_others() {
    let cache = Arc::new(Cache::new(1 << 20));
    let clock = Clock::Manual(Arc::new(AtomicU64::new(1_000)));
    let places = Arc::new(Domains::new(8, rand::random()));
    let flights = Flights::new(places, Handle::current(), Arc::new(TwoGroups::default()), cache.clone(), clock);
    wait(join(&flights, "silent.example.")).outcome().await;
    let is_kept = || with_query("silent.example.", |query| cache.failed(query.key(), 1_000).is_some());
    assert!(is_kept());
    wait(join(&flights, "dead.corp.")).outcome().await;
    wait(join(&flights, "ok.example.")).outcome().await;
    assert!(is_kept(), "after corp.'s death and an answer of the others");
}

#[tokio::test]
async fn nothing_stays_longer_than_a_reload_allows() {
    let upstream = Upstream::new(200, 1);
    let (core, cache, settings, _) = core(&upstream, None);
    assert!(core.wait(&message("a.example."), &Counters::default()).await.is_some());
    core.reconfigure(Settings { max_ttl: settings.max_ttl + 1, ..settings.clone() });
    assert!(is_cached(&cache, "a.example."));
    core.reconfigure(Settings { max_ttl: settings.max_ttl - 1, ..settings });
    assert!(!is_cached(&cache, "a.example."));
}

fn fast(core: &Core, question: &[u8], out: &mut [u8]) -> Fast {
    let (policy, settings, counters) = (core.policy(), core.settings(), Counters::default());
    let now = core.clock.now();
    let view = crate::dns::core::View {
        policy: &policy,
        settings: &settings,
        counters: &counters,
        now,
        near: None,
        preview: None,
    };
    core.fast(question, &Asker::datagram([127, 0, 0, 1].into()), &view, out)
}

#[tokio::test]
async fn a_zone_that_becomes_local_while_a_miss_is_on_its_way_is_not_asked_upstream() {
    let upstream = Upstream::new(200, 8);
    let (core, cache, settings, _) = core(&upstream, None);
    let local = Arc::new(crate::dns::local::Local::new(true, &[], Vec::new(), &[]));
    let (counters, asker, question) = (Counters::default(), Asker::datagram([127, 0, 0, 1].into()), message("a.test."));
    let mut out = [0; 512];
    assert_eq!(fast(&core, &question, &mut out), Fast::Miss);
    core.reconfigure(Settings { local: local.clone(), ..settings.clone() });
    let awaited = core.wait(&question, &counters).await;
    core.reconfigure(settings);
    assert!(matches!(core.conclude(&question, &asker, awaited, &counters, &mut out), Fast::Reply(..)));
    assert_eq!((out[2] & 0x04, out[3] & 0x0f, upstream.asked()), (4, 3, 0), "NXDOMAIN with AA, as when it waited");
    // nor when there is no permit to wait
    assert_eq!(fast(&core, &question, &mut out), Fast::Miss);
    core.reconfigure(Settings { local, ..core.settings().as_ref().clone() });
    core.overloaded(&question, &asker, Shed::Waiting, &counters, &mut out);
    assert_eq!((out[2] & 0x04, out[3] & 0x0f, upstream.asked()), (4, 3, 0));
    assert!(!is_cached(&cache, "a.test."));
}

#[tokio::test]
async fn what_was_flushed_while_it_was_waited_for_does_not_go_out_stale() {
    let stale = Stale { client_timeout: Duration::from_millis(50), max: Duration::from_secs(60) };
    let upstream = Upstream::new(200, 1);
    let (core, _, settings, time) = core(&upstream, Some(stale));
    let (counters, asker, question) =
        (Counters::default(), Asker::datagram([127, 0, 0, 1].into()), message("a.example."));
    let mut out = [0; 512];
    assert!(core.wait(&question, &counters).await.is_some());
    // nothing is gained by giving up: who waits goes on waiting
    time.store(202_000, Relaxed);
    let mut late = std::pin::pin!(core.wait(&question, &counters));
    assert!(late.as_mut().now_or_never().is_none());
    assert_eq!(core.flush(b"\x01a\x07example\x00", false), 1);
    assert!(tokio::time::timeout(Duration::from_millis(200), late.as_mut()).await.is_err());
    upstream.gate.add_permits(1);
    let awaited = late.await;
    core.conclude(&question, &asker, awaited, &counters, &mut out);
    assert_eq!((out[3] & 0x0f, out[7], counters.cache_stale.get()), (0, 1, 0), "a fresh answer");
    // flushed, or switched off by a reload, between the end of the wait and the answer
    let flush = || assert_eq!(core.flush(b"\x01a\x07example\x00", false), 1);
    let switch_off = || core.reconfigure(Settings { stale: None, ..settings.clone() });
    let overtake: [&dyn Fn(); 2] = [&flush, &switch_off];
    for overtake in overtake {
        upstream.gate.add_permits(1);
        assert!(core.wait(&question, &counters).await.is_some());
        time.fetch_add(202_000, Relaxed);
        let awaited = core.wait(&question, &counters).await;
        overtake();
        core.conclude(&question, &asker, awaited, &counters, &mut out);
        assert_eq!((out[3] & 0x0f, out[7], counters.cache_stale.get()), (2, 0, 0));
        upstream.gate.add_permits(1); // for the question nobody waits for any more
    }
}
