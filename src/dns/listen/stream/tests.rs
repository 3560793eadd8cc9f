//! Connections over streams in memory, with the real core and an upstream that answers when it is told to.

use std::net::IpAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use proptest::collection::vec;
use proptest::prelude::{any, prop_assert_eq, proptest};
use proptest::test_runner::Config as Cases;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, ReadBuf, duplex};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::Limits;
use super::connection::serve;
use super::places::{Class, Place, Places};
use crate::dns::Settings;
use crate::dns::access;
use crate::dns::answer::Answer;
use crate::dns::cache::Cache;
use crate::dns::clock::Clock;
use crate::dns::core::Core;
use crate::dns::resolve::{Failure, Outages, Question, Resolve};
use crate::model::{Exemptions, Networks};
use crate::observe::counters::{Closed, Transport};
use crate::observe::metrics::Metrics;
use crate::policy::Register;
use crate::policy::store::store;

/// Longest wait for what must happen.
const PATIENCE: Duration = Duration::from_secs(20);
/// The first octet of a name decides how the upstream answers it.
const SLOW: u8 = b's';
const BIG: u8 = b'b';
const SLOW_AND_BIG: u8 = b'x';

/// Answers names that begin with `s` or `x` when `gate` has a permit for each, those with `b` or `x` with 60,000 octets.
struct Upstream {
    gate: Arc<Semaphore>,
    asked: AtomicUsize,
}

impl Resolve for Upstream {
    fn resolve<'a>(&'a self, question: &'a Question) -> BoxFuture<'a, Result<Answer, Failure>> {
        self.asked.fetch_add(1, Relaxed);
        let first = question.section[1];
        let data = if matches!(first, BIG | SLOW_AND_BIG) { 60_000_u16 } else { 4 };
        let mut message = vec![0, 0, 0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0];
        message.extend_from_slice(&question.section);
        message.extend_from_slice(b"\xc0\x0c\xff\x00\x00\x01\x00\x00\x01\x00");
        message.extend_from_slice(&data.to_be_bytes());
        message.resize(message.len() + usize::from(data), 7);
        async move {
            if matches!(first, SLOW | SLOW_AND_BIG) {
                self.gate.acquire().await.map_err(|_| Failure::Silence)?.forget();
            }
            Answer::parse(&message, &question.section, false).map_err(|_| Failure::Garbage)
        }
        .boxed()
    }

    fn is_healthy(&self, _question: &Question) -> bool {
        true
    }

    fn outages(&self, _: &Question) -> Arc<Outages> {
        Arc::default()
    }
}

struct World {
    core: Arc<Core>,
    upstream: Arc<Upstream>,
    metrics: Metrics,
    places: Arc<Places>,
}

impl World {
    fn new(tcp: Limits) -> Self {
        let (_, policy) = store(Register::new(jiff::Timestamp::now()).snapshot(30, 1));
        let allow = ["127.0.0.0/8".parse().unwrap()].into_iter().collect();
        let settings = Settings {
            allow,
            upstreams: Vec::new(),
            forwarding: crate::dns::Forwarding::default(),
            max_ttl: 3_600,
            access: access::Settings::default(),
            exempt: Exemptions::default(),
            prefetch: false,
            stale: None,
            tcp,
            proxy: Networks::default(),
            identity: crate::dns::identity::Identity::default(),
            local: Arc::default(),
        };
        let metrics = Metrics::new("0", "test").unwrap();
        let upstream = Arc::new(Upstream { gate: Arc::new(Semaphore::new(0)), asked: AtomicUsize::new(0) });
        let cache = Arc::new(Cache::new(0));
        let clock = Clock::System(Instant::now());
        let core = Core::new(policy, settings, cache, upstream.clone(), 256, clock, tokio::runtime::Handle::current());
        let places = Places::new(1_000, metrics.tcp.clone());
        Self { core: Arc::new(core), upstream, metrics, places }
    }

    fn place(&self) -> Place {
        self.places.take(client(), Class::Client, &self.core.settings().tcp).unwrap()
    }

    /// A connection that is served, and its end, which says why.
    fn connect(&self, buffer: usize) -> (DuplexStream, JoinHandle<Closed>) {
        let (ours, theirs) = duplex(buffer);
        (theirs, self.serve(ours))
    }

    fn serve(&self, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) -> JoinHandle<Closed> {
        tokio::spawn(serve(stream, client(), self.place(), self.core.clone(), self.metrics.worker()))
    }

    fn asked(&self) -> usize {
        self.upstream.asked.load(Relaxed)
    }
}

fn client() -> IpAddr {
    [127, 0, 0, 1].into()
}

/// Short times, so that tests need not wait long; nothing below is true only if the machine is fast.
fn limits() -> Limits {
    let short = Duration::from_millis(300);
    Limits { idle: PATIENCE, frame: PATIENCE, write: short, ..Limits::default() }
}

/// A framed query; without RD it is REFUSED at once, with RD an upstream is asked.
fn query(id: u16, name: &[u8], recurse: bool) -> Vec<u8> {
    let mut message = [&id.to_be_bytes()[..], &[u8::from(recurse), 0, 0, 1, 0, 0, 0, 0, 0, 0]].concat();
    message.push(name.len() as u8);
    message.extend_from_slice(name);
    message.extend_from_slice(b"\0\0\x01\0\x01");
    framed(&message)
}

fn framed(message: &[u8]) -> Vec<u8> {
    [&(message.len() as u16).to_be_bytes(), message].concat()
}

/// The next answer; `None` at the end of the stream.
async fn answer(stream: &mut (impl AsyncRead + Unpin)) -> Option<Vec<u8>> {
    let read = async {
        let len = stream.read_u16().await.ok()?;
        let mut message = vec![0; len.into()];
        stream.read_exact(&mut message).await.ok()?;
        Some(message)
    };
    timeout(PATIENCE, read).await.expect("neither an answer nor an end")
}

/// The id of the next answer.
async fn id(stream: &mut (impl AsyncRead + Unpin)) -> Option<u16> {
    answer(stream).await.map(|message| u16::from_be_bytes([message[0], message[1]]))
}

async fn end(served: JoinHandle<Closed>) -> Closed {
    timeout(PATIENCE, served).await.expect("it ends").unwrap()
}

async fn until(what: &str, holds: impl Fn() -> bool) {
    let started = Instant::now();
    while !holds() {
        assert!(started.elapsed() < PATIENCE, "waited in vain until {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

//------ RFC 7766: framing, pipelining, order --------------------------------------------------------------------------

#[tokio::test]
async fn a_later_answer_overtakes_one_that_waits() {
    let world = World::new(limits());
    let (mut stream, _served) = world.connect(4_096);
    let octets = [query(1, b"slow", true), query(2, b"fast", true), query(3, b"x", false)].concat();
    stream.write_all(&octets).await.unwrap();
    let mut first = [id(&mut stream).await, id(&mut stream).await];
    first.sort_unstable();
    assert_eq!(first, [Some(2), Some(3)]);
    world.upstream.gate.add_permits(1);
    assert_eq!(id(&mut stream).await, Some(1));
}

#[tokio::test]
async fn answers_that_are_ready_leave_in_one_write_with_their_lengths() {
    let world = World::new(limits());
    let (ours, mut stream) = duplex(16_384);
    let writes = Arc::<Mutex<Vec<usize>>>::default();
    let _served = world.serve(Recorded { stream: ours, writes: writes.clone() });
    let octets: Vec<u8> = (0..20).flat_map(|n| query(n, b"x", false)).collect();
    stream.write_all(&octets).await.unwrap();
    let mut len = 0;
    for n in 0..20 {
        let answer = answer(&mut stream).await.unwrap();
        assert_eq!(answer[..2], n_octets(n));
        len += 2 + answer.len();
    }
    assert_eq!(*writes.lock().unwrap(), [len]);
}

fn n_octets(n: u16) -> [u8; 2] {
    n.to_be_bytes()
}

/// Notes how many octets each write had.
struct Recorded {
    stream: DuplexStream,
    writes: Arc<Mutex<Vec<usize>>>,
}

impl AsyncRead for Recorded {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, to: &mut ReadBuf<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, to)
    }
}

impl AsyncWrite for Recorded {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, octets: &[u8]) -> Poll<std::io::Result<usize>> {
        self.writes.lock().unwrap().push(octets.len());
        Pin::new(&mut self.stream).poll_write(cx, octets)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

proptest! {
    #![proptest_config(Cases { cases: 64, ..Cases::default() })]
    #[test]
    fn any_segmentation_is_read_the_same(
        pieces in vec((1..60usize, any::<bool>()), 1..40),
        queries in 1..30u16,
        buffer in 1..300usize,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let ids = runtime.block_on(async {
            let world = World::new(limits());
            let (stream, served) = world.connect(buffer);
            let (mut reader, mut writer) = tokio::io::split(stream);
            let sent: Vec<u8> = (0..queries).flat_map(|n| query(n, b"name", n % 2 == 0)).collect();
            let writing = tokio::spawn(async move {
                let mut rest = &sent[..];
                for (len, pause) in pieces.into_iter().cycle() {
                    let (piece, after) = rest.split_at(len.min(rest.len()));
                    writer.write_all(piece).await.unwrap();
                    rest = after;
                    if rest.is_empty() {
                        break;
                    }
                    if pause {
                        tokio::task::yield_now().await;
                    }
                }
                writer.shutdown().await.unwrap();
            });
            let mut ids = Vec::new();
            while let Some(id) = id(&mut reader).await {
                ids.push(id);
            }
            writing.await.unwrap();
            assert_eq!(end(served).await, Closed::Client);
            ids
        });
        let mut sorted = ids;
        sorted.sort_unstable();
        prop_assert_eq!(sorted, (0..queries).collect::<Vec<_>>());
    }
}

#[tokio::test]
async fn what_was_read_before_a_half_close_is_answered_then_the_connection_ends() {
    let world = World::new(limits());
    let (mut stream, served) = world.connect(4_096);
    stream.write_all(&[query(1, b"slow", true), query(2, b"x", false)].concat()).await.unwrap();
    stream.write_all(&query(3, b"cut", false)[..7]).await.unwrap();
    stream.shutdown().await.unwrap();
    assert_eq!(id(&mut stream).await, Some(2));
    world.upstream.gate.add_permits(1);
    assert_eq!(id(&mut stream).await, Some(1));
    assert_eq!(answer(&mut stream).await, None);
    assert_eq!(end(served).await, Closed::Client);
}

#[tokio::test]
async fn an_erroneous_query_gets_its_error_and_the_connection_stays() {
    let world = World::new(limits());
    let (mut stream, _served) = world.connect(4_096);
    for (message, rcode) in [
        (b"\0\x01\x78\0\0\0\0\0\0\0\0\0".to_vec(), 4),   // opcode 15, no question
        (b"\0\x01\x01\0\0\x02\0\0\0\0\0\0".to_vec(), 1), // two questions, none there
        (b"\0\x01\x01\0\0\x01\0\0\0\0\0\0\xff\xff".to_vec(), 1), // no name
        ([&query(1, b"x", false)[2..], &[0; 30_000]].concat(), 1), // octets behind the message
    ] {
        stream.write_all(&framed(&message)).await.unwrap();
        let answer = answer(&mut stream).await.unwrap();
        assert_eq!((answer[1], answer[3] & 15), (1, rcode), "{:02x?}", &message[..12]);
    }
}

#[tokio::test]
async fn a_frame_without_room_for_a_header_ends_it_after_the_answers() {
    for len in [0, 1, 11] {
        let world = World::new(limits());
        let (mut stream, served) = world.connect(4_096);
        let octets = [query(1, b"slow", true), query(2, b"x", false), framed(&vec![0; len]), query(3, b"x", false)];
        stream.write_all(&octets.concat()).await.unwrap();
        assert_eq!(id(&mut stream).await, Some(2));
        world.upstream.gate.add_permits(1);
        assert_eq!(id(&mut stream).await, Some(1));
        assert_eq!(answer(&mut stream).await, None, "what follows cannot be trusted");
        assert_eq!(end(served).await, Closed::Framing);
    }
}

#[tokio::test]
async fn a_response_is_not_answered_and_a_query_behind_it_is() {
    let world = World::new(limits());
    let (mut stream, _served) = world.connect(4_096);
    let mut response = query(1, b"x", false);
    response[4] |= 0x80;
    stream.write_all(&[response, query(2, b"x", false)].concat()).await.unwrap();
    assert_eq!(id(&mut stream).await, Some(2));
}

//------ RFC 9210, RFC 7766 §6.2.3: bounds -----------------------------------------------------------------------------

#[tokio::test]
async fn as_many_questions_are_under_way_as_the_pipeline_holds() {
    let world = World::new(Limits { pipeline: 2, ..limits() });
    let (mut stream, _served) = world.connect(4_096);
    let octets: Vec<u8> = (0..5).flat_map(|n| query(n, format!("slow{n}").as_bytes(), true)).collect();
    stream.write_all(&octets).await.unwrap();
    until("two are asked", || world.asked() == 2).await;
    for answered in 1..=5 {
        world.upstream.gate.add_permits(1);
        assert!(id(&mut stream).await.is_some());
        until("the next is asked", || world.asked() == (2 + answered).min(5)).await;
    }
}

#[tokio::test]
async fn a_client_that_does_not_read_stops_itself_and_is_closed() {
    let world = World::new(Limits { pipeline: 4, ..limits() });
    let (mut stream, served) = world.connect(2_048);
    let writing = async {
        // more than half a gigabyte of answers, if they were made
        for n in 0..10_000 {
            if stream.write_all(&query(n, b"big", true)).await.is_err() {
                break;
            }
        }
    };
    let (_, why) = tokio::join!(timeout(PATIENCE, writing), end(served));
    assert_eq!(why, Closed::Slow);
    assert!(world.asked() <= 6, "{} answers of 60,000 octets were made for nobody", world.asked());
}

#[tokio::test]
async fn answers_that_come_while_nobody_reads_are_bounded_and_each_question_hears_something() {
    let world = World::new(Limits { write: PATIENCE, ..limits() });
    let (mut stream, _served) = world.connect(4_096);
    let octets: Vec<u8> = (0..64).flat_map(|n| query(n, format!("x{n}").as_bytes(), true)).collect();
    stream.write_all(&octets).await.unwrap();
    until("all are asked", || world.asked() == 64).await;
    world.upstream.gate.add_permits(64);
    // nothing is read before all answers have come: 3.8 MB
    let made = |rcode| format!("pagar_dns_responses_total{{rcode=\"{rcode}\"}} ");
    let count = |rcode| {
        let text = world.metrics.text();
        text.lines().find_map(|line| line.strip_prefix(&made(rcode))).map_or(0, |n| n.parse().unwrap_or(0))
    };
    until("all have come", || count("NOERROR") == 64).await;
    let (mut whole, mut ids) = (0, Vec::new());
    for _ in 0..64 {
        let answer = answer(&mut stream).await.unwrap();
        ids.push(u16::from_be_bytes([answer[0], answer[1]]));
        match answer[3] & 15 {
            0 => whole += answer.len(),
            2 => assert!(answer.len() < 512),
            code => panic!("{code}"),
        }
    }
    ids.sort_unstable();
    assert_eq!(ids, (0..64).collect::<Vec<_>>());
    assert!((200_000..=(256 << 10) + 4_096).contains(&whole), "{whole}");
    // read again, it is served again
    stream.write_all(&query(99, b"big", true)).await.unwrap();
    let answer = answer(&mut stream).await.unwrap();
    assert_eq!((answer[1], answer[3] & 15, answer.len() > 60_000), (99, 0, true));
}

#[tokio::test]
async fn a_reader_that_is_slow_but_reads_is_served() {
    let world = World::new(Limits { pipeline: 1, write: Duration::from_secs(5), ..limits() });
    let (mut stream, served) = world.connect(1_000);
    stream.write_all(&[query(1, b"big", true), query(2, b"big", true)].concat()).await.unwrap();
    stream.shutdown().await.unwrap();
    let (mut octets, mut piece) = (0, [0; 1_000]);
    while let Ok(len @ 1..) = stream.read(&mut piece).await {
        octets += len;
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    assert!(octets > 120_000, "{octets}");
    assert_eq!(end(served).await, Closed::Client);
}

#[tokio::test]
async fn a_frame_must_become_whole_in_its_time() {
    let world = World::new(Limits { frame: Duration::from_millis(200), ..limits() });
    let (mut stream, served) = world.connect(4_096);
    for octet in query(1, b"name", false).into_iter().cycle() {
        tokio::time::sleep(Duration::from_millis(30)).await;
        if stream.write_all(&[octet]).await.is_err() {
            break;
        }
    }
    assert_eq!(end(served).await, Closed::Slow);
    assert_eq!(world.metrics.worker().queries[Transport::Tcp as usize].get(), 0);
}

#[tokio::test]
async fn an_idle_connection_is_closed_and_unanswered_messages_do_not_keep_it() {
    let short = Duration::from_millis(200);
    let world = World::new(Limits { idle: short, frame: short, ..limits() });
    let (mut stream, served) = world.connect(4_096);
    stream.write_all(&query(1, b"x", false)).await.unwrap();
    assert_eq!(id(&mut stream).await, Some(1));
    assert_eq!(end(served).await, Closed::Idle);

    let (mut stream, served) = world.connect(4_096);
    let mut response = query(1, b"x", false);
    response[4] |= 0x80;
    stream.write_all(&response[..5]).await.unwrap();
    let shifted = [&response[5..], &response[..5]].concat(); // there is always a frame that has begun
    while stream.write_all(&shifted).await.is_ok() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(end(served).await, Closed::Idle);
}

#[tokio::test]
async fn a_question_under_way_is_no_idleness() {
    let world = World::new(Limits { idle: Duration::from_millis(50), ..limits() });
    let (mut stream, _served) = world.connect(4_096);
    stream.write_all(&query(1, b"slow", true)).await.unwrap();
    tokio::time::sleep(Duration::from_millis(300)).await;
    world.upstream.gate.add_permits(1);
    assert_eq!(id(&mut stream).await, Some(1));
}

#[tokio::test]
async fn stopping_answers_what_was_read_and_nothing_more() {
    let world = World::new(limits());
    let (mut stream, served) = world.connect(4_096);
    let (mut idle, idle_served) = world.connect(4_096);
    stream.write_all(&query(1, b"slow", true)).await.unwrap();
    until("it is asked", || world.asked() == 1).await;
    world.places.shut_down();
    assert_eq!(answer(&mut idle).await, None);
    let _ = stream.write_all(&query(2, b"x", false)).await;
    world.upstream.gate.add_permits(1);
    assert_eq!(id(&mut stream).await, Some(1));
    assert_eq!(answer(&mut stream).await, None);
    timeout(PATIENCE, world.places.emptied()).await.expect("no place is taken");
    assert_eq!((end(served).await, end(idle_served).await), (Closed::Shutdown, Closed::Shutdown));
    assert!(world.places.take(client(), Class::Client, &limits()).is_none());
}

#[tokio::test]
async fn keepalive_says_how_long_a_connection_may_be_idle_and_zero_when_places_are_out() {
    let with_option = |id| {
        let mut message = query(id, b"x", false)[2..].to_vec();
        message[11] = 1;
        message.extend_from_slice(b"\0\0\x29\x04\xd0\0\0\0\0\0\x04\0\x0b\0\0");
        framed(&message)
    };
    let told = |answer: &[u8]| {
        let at = answer.windows(4).position(|octets| octets == b"\0\x0b\0\x02").expect("the option") + 4;
        u16::from_be_bytes([answer[at], answer[at + 1]])
    };
    let world = World::new(Limits { connections: 4, idle: Duration::from_secs(8), ..limits() });
    let (mut stream, _served) = world.connect(4_096);
    let mut others = Vec::new();
    for expected in [80, 80, 40, 0] {
        stream.write_all(&with_option(1)).await.unwrap();
        assert_eq!(told(&answer(&mut stream).await.unwrap()), expected, "with {} others", others.len());
        others.push(world.place());
    }
}

//------ Places --------------------------------------------------------------------------------------------------------

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// Takes a place that is idle since so many seconds after `start`, or in use.
fn take(world: &World, client: &str, limits: &Limits, idle: Option<Instant>) -> Option<Place> {
    let place = world.places.take(address(client), Class::Client, limits)?;
    place.mark(idle);
    Some(place)
}

/// Whether the connection of this place was told to give way.
fn evicted(place: &mut Place) -> bool {
    match place.told(&mut Context::from_waker(std::task::Waker::noop())) {
        Poll::Ready(why) => why == Closed::Evicted,
        Poll::Pending => false,
    }
}

#[tokio::test]
async fn a_client_replaces_its_own_oldest_idle_connection_and_nobody_elses() {
    let world = World::new(limits());
    let limits = Limits { per_client: 2, ..limits() };
    let start = Instant::now();
    let at = |seconds| Some(start + Duration::from_secs(seconds));
    let mut other = take(&world, "192.0.2.9", &limits, at(0)).unwrap();
    let mut younger = take(&world, "192.0.2.1", &limits, at(2)).unwrap();
    let mut older = take(&world, "192.0.2.1", &limits, at(1)).unwrap();
    let third = take(&world, "::ffff:192.0.2.1", &limits, None).expect("the same client in other clothes");
    assert_eq!([&mut other, &mut younger, &mut older].map(evicted), [false, false, true]);
    younger.mark(None);
    assert!(take(&world, "192.0.2.1", &limits, None).is_none(), "all its connections are in use");
    drop(third);
    assert!(take(&world, "192.0.2.1", &limits, None).is_some());

    let first = take(&world, "2001:db8:0:100::1", &limits, None).unwrap();
    let second = take(&world, "2001:db8:0:1ff:ffff::", &limits, None).unwrap();
    assert!(take(&world, "2001:db8:0:180::2", &limits, None).is_none(), "a /56 is one client");
    assert!(take(&world, "2001:db8:0:200::1", &limits, None).is_some());
    drop((first, second));
}

#[tokio::test]
async fn when_all_places_are_taken_the_client_with_most_gives_way() {
    let world = World::new(limits());
    let limits = Limits { connections: 4, ..limits() };
    let start = Instant::now();
    let at = |seconds| Some(start + Duration::from_secs(seconds));
    let mut small = take(&world, "192.0.2.1", &limits, at(0)).unwrap();
    let mut large = [3, 2, 1].map(|seconds| take(&world, "192.0.2.2", &limits, at(seconds)).unwrap());
    let mut new = take(&world, "192.0.2.3", &limits, None).unwrap();
    assert_eq!(large.each_mut().map(evicted), [false, false, true]);
    let _another = take(&world, "192.0.2.4", &limits, None).unwrap();
    assert_eq!(large.each_mut().map(evicted), [false, true, false]);
    assert!(!evicted(&mut small), "it has been idle for longest, but is its client's only one");
    // now one of each, and only two of them idle
    let _last = take(&world, "192.0.2.5", &limits, None).unwrap();
    assert!(evicted(&mut small), "of equals the one that has been idle for longest");
    large[0].mark(None);
    assert!(take(&world, "192.0.2.6", &limits, None).is_none(), "a connection in use is never taken away");
    assert!(!evicted(&mut new));
}

#[tokio::test]
async fn strangers_have_places_of_their_own() {
    let world = World::new(limits());
    let limits = Limits { connections: 1, ..limits() };
    let mut client = take(&world, "192.0.2.1", &limits, Some(Instant::now())).unwrap();
    let strangers: Vec<_> = (0..64).map(|n| stranger(&world, n, &limits)).collect();
    strangers.iter().flatten().for_each(|place| place.mark(None));
    assert!(strangers.iter().all(Option::is_some));
    assert!(stranger(&world, 64, &limits).is_none());
    assert!(!evicted(&mut client));
    assert_eq!(world.metrics.tcp.connections.get(), 65);
    drop(strangers);
    assert_eq!(world.metrics.tcp.connections.get(), 1);
}

fn stranger(world: &World, n: u8, limits: &Limits) -> Option<Place> {
    world.places.take([198, 51, 100, n].into(), Class::Stranger, limits)
}

#[tokio::test]
async fn half_of_the_file_descriptors_is_the_most() {
    let metrics = Metrics::new("0", "test").unwrap();
    let places = Places::new(100, metrics.tcp.clone());
    assert_eq!(places.most(), 50);
    let mut taken: Vec<_> =
        (0..50).map(|n| places.take([192, 0, 2, n].into(), Class::Client, &limits()).unwrap()).collect();
    taken.iter().for_each(|place| place.mark(None));
    assert!(places.take([192, 0, 2, 200].into(), Class::Client, &limits()).is_none());
    assert!(!places.evict(), "nobody is idle");
    taken[7].mark(Some(Instant::now()));
    assert!(places.evict() && evicted(&mut taken[7]));
    assert!(places.take([192, 0, 2, 200].into(), Class::Client, &limits()).is_some());
}

proptest! {
    #![proptest_config(Cases { cases: 64, ..Cases::default() })]
    #[test]
    fn places_are_never_lost_and_never_too_many(steps in vec((0..4u8, 0..6u8, any::<bool>()), 1..200)) {
        let metrics = Metrics::new("0", "test").unwrap();
        let places = Places::new(1_000, metrics.tcp.clone());
        let limits = Limits { connections: 8, per_client: 3, ..limits() };
        let mut taken: Vec<(u8, Place)> = Vec::new();
        for (what, client, flag) in steps {
            let nth = usize::from(client) % taken.len().max(1);
            match what {
                0 | 1 => taken.extend(
                    places.take([192, 0, 2, client].into(), Class::Client, &limits).map(|place| (client, place)),
                ),
                2 if !taken.is_empty() => taken[nth].1.mark(flag.then(Instant::now)),
                3 if !taken.is_empty() => drop(taken.swap_remove(nth)),
                _ => {}
            }
            taken.retain_mut(|(_, place)| !evicted(place)); // they leave
            prop_assert_eq!(metrics.tcp.connections.get(), taken.len() as i64);
            prop_assert_eq!(taken.len() <= 8, true);
            for one in 0..6 {
                prop_assert_eq!(taken.iter().filter(|(client, _)| *client == one).count() <= 3, true);
            }
        }
        // whoever is left in use keeps exactly that many places from others
        taken.iter().for_each(|(_, place)| place.mark(None));
        let others: Vec<_> =
            (100..120).filter_map(|n| places.take([192, 0, 2, n].into(), Class::Client, &limits)).collect();
        others.iter().for_each(|place| place.mark(None));
        prop_assert_eq!(others.len() >= 8 - taken.len(), true);
    }
}
