//! From received octets to sent octets nothing is allocated, for a listed name, a cached one and one whose failure is
//! kept: counted, with the real sockets' batch around the real core.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

use futures_util::future::{BoxFuture, FutureExt};
use jiff::Timestamp;
use pagar::control::state::State;
use pagar::dns::Forwarding;
use pagar::dns::Settings;
use pagar::dns::access::buckets::Limit;
use pagar::dns::access::prefix::Prefixes;
use pagar::dns::access::{self, Rate, rrl};
use pagar::dns::answer::Answer;
use pagar::dns::cache::Cache;
use pagar::dns::clock::Clock;
use pagar::dns::core::{Asker, Core, Fast, View};
use pagar::dns::identity::Identity;
use pagar::dns::listen::mmsg::Batch;
use pagar::dns::listen::stream::Limits;
use pagar::dns::near::Near;
use pagar::dns::resolve::{Failure, Outages, Question, Resolve};
use pagar::model::*;
use pagar::observe::counters::{Counters, Path};
use pagar::policy::{Page, Pages, Slots, store};

/// Counts the allocations of each thread.
struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

// SAFETY: everything is handed to the system's allocator unchanged; the counter neither allocates nor unwinds
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let _ = ALLOCATIONS.try_with(|count| count.set(count.get() + 1));
        // SAFETY: as the caller promised
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: as the caller promised
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn allocations() -> u64 {
    ALLOCATIONS.with(Cell::get)
}

/// Answers every question with one address, but for those that begin with `dead`; those that begin with `beside` with a
/// listed name's beside it.
struct OneAddress;

impl Resolve for OneAddress {
    fn resolve<'a>(&'a self, question: &'a Question) -> BoxFuture<'a, Result<Answer, Failure>> {
        let mut message = vec![0, 0, 0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0];
        message.extend_from_slice(&question.section);
        message.extend_from_slice(b"\xc0\x0c\x00\x01\x00\x01\x00\x00\x01\x00\x00\x04\xc0\x00\x02\x07");
        if question.section.starts_with(b"\x06beside") {
            message[11] = 1; // and an address of a listed name beside it
            message.extend_from_slice(DnsName::from_text("www.listed.example").unwrap().as_wire());
            message.extend_from_slice(b"\x00\x01\x00\x01\x00\x00\x01\x00\x00\x04\xc0\x00\x02\x09");
        }
        if question.section.starts_with(b"\x04dead") {
            return async { Err(Failure::Silence) }.boxed();
        }
        async move { Answer::parse(&message, &question.section, false).map_err(|_| Failure::Garbage) }.boxed()
    }

    fn is_healthy(&self, _question: &Question) -> bool {
        true
    }

    fn outages(&self, _: &Question) -> Arc<Outages> {
        Arc::default()
    }
}

fn notice() -> Notice {
    Notice {
        id: NoticeId::new("N-1"),
        sequence: 1,
        authority: AuthorityId::new("a"),
        legal_basis: LegalBasis { power: "Act".into(), offence: None },
        category: Category::new("scam"),
        sensitivity: Sensitivity::Public,
        issued_at: Timestamp::UNIX_EPOCH,
        validity: Validity { effective_at: Timestamp::UNIX_EPOCH, expires_at: None },
        deadline_at: None,
        review_by: None,
        action: Action::BlockPage,
        contact: Vec::new(),
        appeal: None,
        text: BTreeMap::new(),
        digest: [1; 32],
    }
}

fn core(runtime: tokio::runtime::Handle) -> Core {
    let authority = Authority {
        id: AuthorityId::new("a"),
        kind: AuthorityKind::Statutory,
        name: "a".into(),
        keys: Vec::new(),
        required_signatures: 1,
        categories: None,
        test: false,
    };
    let pages = Pages { default: Page { v4: Some([192, 0, 2, 80].into()), v6: None }, rules: Vec::new(), ttl: 30 };
    let mut state = State::default();
    state.configure(vec![authority], BTreeMap::from([("list".to_owned(), 0)]));
    let listed = DnsName::from_text("listed.example").unwrap();
    let targets = Targets::from_iter([(&listed, Scope::Subtree)]);
    let document = pagar::ingest::Document { notice: notice(), targets };
    assert_eq!(state.put(vec![(("list".into(), String::new()), document)]), []);
    state.compile(&pages, |_| Slots { blocked: 0, hit: Some(0) }, Timestamp::now()).unwrap();
    let (_, policy) = store::store(state.register().snapshot(pages.ttl, 1));
    let allow = ["127.0.0.0/8".parse().unwrap()].into_iter().collect();
    let settings = Settings {
        allow,
        upstreams: Vec::new(),
        forwarding: Forwarding::default(),
        max_ttl: 3_600,
        access: limits(),
        exempt: Exemptions::default(),
        prefetch: true,
        stale: None,
        tcp: Limits::default(),
        proxy: Networks::default(),
        identity: Identity::default(),
        local: Arc::default(),
    };
    let cache = Arc::new(Cache::new(1 << 20));
    let clock = Clock::Manual(Arc::new(AtomicU64::new(1))); // no failure runs out on a slow machine
    Core::new(policy, settings, cache, Arc::new(OneAddress), 8, clock, runtime)
}

/// Every limit is on, and high enough for the test.
fn limits() -> access::Settings {
    let rate = Rate { limit: Limit::new(1_000, 1_000), prefixes: Prefixes::CLIENT };
    let rrl = rrl::Settings { all_per_second: 10_000, ..rrl::Settings::new(1_000) };
    access::Settings { rate: Some(rate), rrl: Some(rrl), ..access::Settings::default() }
}

fn query(name: &str) -> Vec<u8> {
    let mut message = vec![0x12, 0x34, 0x01, 0, 0, 1, 0, 0, 0, 0, 0, 1];
    message.extend_from_slice(DnsName::from_text(name).unwrap().as_wire());
    message.extend_from_slice(b"\x00\x01\x00\x01\x00\x00\x29\x04\xd0\x00\x00\x80\x00\x00\x0c\x00\x0a\x00\x08clientck");
    message
}

/// One batch, as the worker does it; returns the paths its answers took.
fn answer_batch(core: &Core, socket: &UdpSocket, batch: &mut Batch, near: &Near, counters: &Counters) -> [u64; 4] {
    let mut paths = [0; 4];
    let count = batch.receive(socket).unwrap();
    let started = Instant::now();
    let (policy, settings) = (core.policy(), core.settings());
    let view = View {
        policy: &policy,
        settings: &settings,
        counters,
        now: core.clock.at(started),
        near: Some(near),
        preview: None,
    };
    for n in 0..count {
        let asker = Asker::datagram(batch.route(n).unwrap().peer.ip());
        let (message, out) = batch.exchange(n);
        if let Fast::Reply(len, Some(path)) = core.fast(message, &asker, &view, out) {
            paths[path as usize] += 1;
            batch.queue(n, len);
        }
    }
    assert_eq!(batch.send(socket), 0);
    for (path, _) in Path::ALL {
        counters.took(path, started.elapsed(), paths[path as usize]);
    }
    paths
}

#[test]
fn a_listed_a_cached_and_a_failed_query_allocate_nothing() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let core = core(runtime.handle().clone());
    let counters = Counters::default();
    let cached = query("www.cached.example");
    let failed = query("dead.example");
    let beside = query("beside.example");
    for message in [&cached, &failed, &beside] {
        let asker = Asker::datagram(Ipv4Addr::LOCALHOST.into());
        let awaited = runtime.block_on(core.wait(message, &counters));
        let fast = core.conclude(message, &asker, awaited, &counters, &mut [0; 1232]);
        assert!(matches!(fast, Fast::Reply(_, Some(Path::Forwarded))), "{fast:?}");
    }

    let (server, client) = (UdpSocket::bind("127.0.0.1:0").unwrap(), UdpSocket::bind("127.0.0.1:0").unwrap());
    client.connect(server.local_addr().unwrap()).unwrap();
    client.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    let (mut batch, near) = (Batch::default(), Near::default());
    for round in 0..3 {
        for _ in 0..10 {
            client.send(&query("www.listed.example")).unwrap();
            client.send(&cached).unwrap();
            client.send(&failed).unwrap();
            client.send(&beside).unwrap();
        }
        let before = allocations();
        let paths = answer_batch(&core, &server, &mut batch, &near, &counters);
        let allocated = allocations() - before;
        assert_eq!(paths, [10, 30, 0, 0]);
        // the first look of a thread at an ArcSwap makes the thread's debt node: once in its life
        assert!(round == 0 || allocated == 0, "{allocated} allocations for 40 answers");
        for _ in 0..40 {
            let mut answer = [0; 1232];
            client.recv(&mut answer).unwrap();
            assert_eq!(answer[10..12], [0, 1], "nothing beside the OPT record");
        }
    }
    let before = allocations();
    drop(std::hint::black_box(Box::new(1)));
    assert_eq!(allocations(), before + 1, "the counter counts");
}
