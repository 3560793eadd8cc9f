//! A connection over a stream in memory: the upstream at its other end is the test. Time stands still but for waiting.

use std::collections::HashSet;

use futures_util::future::join_all;
use hickory_proto::op::Message;
use hickory_resolver::net::runtime::iocompat::AsyncIoTokioAsStd;
use proptest::collection::vec;
use proptest::prelude::{BoxedStrategy, Just, Strategy, any, prop_oneof, proptest};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::runtime::Builder;
use tokio::task::JoinHandle;
use tokio::time::{advance, timeout};

use super::*;
use crate::dns::wire::u16_at;

const ADDRESS: ([u8; 4], u16) = ([192, 0, 2, 53], 53);
/// Longest wait for what must happen.
pub(in crate::dns::upstream) const PATIENCE: Duration = Duration::from_secs(60);
/// A type nobody knows.
const TYPE: u16 = 731;
/// Octets of an OPT record without options.
const OPT: usize = 11;

type Asked = JoinHandle<io::Result<Result<Answer, Bad>>>;

/// The upstream's end.
struct Peer {
    stream: DuplexStream,
    mismatches: IntCounter,
}

impl Peer {
    /// The connection to it, of which no more than `buffer` octets are under way.
    fn new(buffer: usize) -> (Arc<Connection>, Self) {
        let (ours, stream) = duplex(buffer);
        let mismatches = IntCounter::new("mismatches", "mismatches").unwrap();
        let connection = Connection::new(AsyncIoTokioAsStd(ours), ADDRESS.into(), false, mismatches.clone());
        (Arc::new(connection), Self { stream, mismatches })
    }

    /// The next query.
    async fn query(&mut self) -> Vec<u8> {
        let len = timeout(PATIENCE, self.stream.read_u16()).await.unwrap().unwrap();
        let mut query = vec![0; len.into()];
        self.stream.read_exact(&mut query).await.unwrap();
        query
    }

    async fn send(&mut self, message: &[u8]) {
        self.stream.write_all(&frame(message)).await.unwrap();
    }

    /// Whether the connection ends, before the patience does.
    async fn ends(&mut self) -> bool {
        matches!(timeout(PATIENCE, self.stream.read(&mut [0; 512])).await, Ok(Ok(0) | Err(_)))
    }
}

pub(in crate::dns::upstream) fn frame(message: &[u8]) -> Vec<u8> {
    let len = u16::try_from(message.len()).unwrap();
    [&len.to_be_bytes(), message].concat()
}

pub(in crate::dns::upstream) fn question(label: &str) -> Question {
    let len = u8::try_from(label.len()).unwrap();
    let section = [&[len], label.as_bytes(), b"\x07example\0", &TYPE.to_be_bytes(), &[0, 1]].concat();
    Question { section, dnssec_ok: true, checking_disabled: false }
}

fn ask(connection: &Arc<Connection>, label: &str) -> Asked {
    let (connection, question) = (connection.clone(), question(label));
    tokio::spawn(async move { connection.ask(&question, Edns::Plain).await })
}

/// The answer to a query with an OPT record: one record of the type asked, without data.
pub(in crate::dns::upstream) fn answer(query: &[u8]) -> Vec<u8> {
    let section = &query[HEADER..query.len() - OPT];
    let record = [&[0xc0, 0x0c], &TYPE.to_be_bytes()[..], &[0, 1, 0, 0, 1, 0, 0, 0]].concat();
    [&query[..2], &[0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0], section, &record].concat()
}

/// Whether this is the answer to the question.
async fn answers(asked: Asked, label: &str) -> bool {
    let answer = timeout(PATIENCE, asked).await.unwrap().unwrap().unwrap().unwrap();
    let section = question(label).section;
    answer.aged(0)[HEADER..].starts_with(&section)
}

async fn error(asked: Asked) -> io::ErrorKind {
    timeout(PATIENCE, asked).await.unwrap().unwrap().unwrap_err().kind()
}

#[tokio::test(start_paused = true)]
async fn a_record_hickory_refuses_is_passed_on() {
    let (connection, mut peer) = Peer::new(512);
    let asked = ask(&connection, "www");
    let answer = answer(&peer.query().await);
    assert!(Message::from_vec(&answer).is_err(), "or the test shows nothing");
    peer.send(&answer).await;
    let kept = timeout(PATIENCE, asked).await.unwrap().unwrap().unwrap().unwrap();
    assert_eq!(kept.aged(0)[2..], answer[2..]);
}

#[tokio::test(start_paused = true)]
async fn the_octets_are_those_of_udp() {
    let (connection, mut peer) = Peer::new(512);
    for edns in [Edns::Plain, Edns::None] {
        let mut question = question("www");
        question.checking_disabled = edns == Edns::None;
        let (held, sent) = (connection.clone(), question.clone());
        let asked = tokio::spawn(async move { held.ask(&sent, edns).await });
        let query = peer.query().await;
        assert_eq!(query, message::write([query[0], query[1]], &question, edns, None));
        asked.abort();
    }
}

#[tokio::test(start_paused = true)]
async fn pieces_of_any_size_make_messages() {
    for size in [1, 2, 3, 7, 4_096] {
        let (connection, mut peer) = Peer::new(size);
        let (first, second) = (ask(&connection, "first"), ask(&connection, "second"));
        let queries = [peer.query().await, peer.query().await];
        let octets = queries.map(|query| frame(&answer(&query))).concat();
        for piece in octets.chunks(size) {
            peer.stream.write_all(piece).await.unwrap();
            tokio::task::yield_now().await;
        }
        assert!(answers(first, "first").await && answers(second, "second").await);
    }
}

#[tokio::test(start_paused = true)]
async fn answers_come_in_any_order() {
    let (connection, mut peer) = Peer::new(65_536);
    let labels: Vec<_> = (0..100).map(|n| format!("n{n}")).collect();
    let asked: Vec<_> = labels.iter().map(|label| ask(&connection, label)).collect();
    let mut queries = Vec::new();
    for _ in &labels {
        queries.push(peer.query().await);
    }
    for query in queries.iter().rev() {
        peer.send(&answer(query)).await;
    }
    for (asked, label) in asked.into_iter().zip(&labels) {
        assert!(answers(asked, label).await);
    }
    assert_eq!(peer.mismatches.get(), 0);
}

#[tokio::test(start_paused = true)]
async fn what_is_not_the_answer_is_ignored_and_counted() {
    let (connection, mut peer) = Peer::new(4_096);
    let asked = ask(&connection, "www");
    let query = peer.query().await;
    let good = answer(&query);
    let changed = |at: usize, to: u8| {
        let mut lie = good.clone();
        lie[at] ^= to;
        lie
    };
    let tail = HEADER + question("www").section.len() - 4;
    let lies = [
        query.clone(),        // no response
        changed(1, 1),        // another id
        changed(5, 3),        // two questions
        changed(13, 1),       // another name
        changed(tail + 1, 1), // another type
        changed(tail + 3, 2), // another class
    ];
    for lie in &lies {
        peer.send(lie).await;
    }
    peer.send(&changed(13, 0x20)).await; // the name in capitals
    assert!(answers(asked, "Www").await);
    peer.send(&good).await; // once more: nobody has asked
    assert!(answers_next(&connection, &mut peer).await);
    assert_eq!(peer.mismatches.get(), lies.len() as u64 + 1);
}

/// Whether the connection goes on.
async fn answers_next(connection: &Arc<Connection>, peer: &mut Peer) -> bool {
    let asked = ask(connection, "next");
    let query = peer.query().await;
    peer.send(&answer(&query)).await;
    answers(asked, "next").await
}

#[tokio::test(start_paused = true)]
async fn an_error_without_a_question_and_garbage_with_one_end_the_question() {
    let (connection, mut peer) = Peer::new(4_096);
    let asked = ask(&connection, "www");
    let query = peer.query().await;
    peer.send(&[&query[..2], &[0x81, 0x81, 0, 0, 0, 0, 0, 0, 0, 0]].concat()).await;
    assert_eq!(asked.await.unwrap().unwrap(), Err(Bad::Error(1)));
    let asked = ask(&connection, "www");
    let query = peer.query().await;
    let cut = answer(&query);
    peer.send(&cut[..cut.len() - 1]).await;
    assert_eq!(asked.await.unwrap().unwrap(), Err(Bad::Malformed));
    assert!(answers_next(&connection, &mut peer).await);
}

#[tokio::test(start_paused = true)]
async fn so_many_at_a_time_each_with_its_own_id() {
    let (connection, mut peer) = Peer::new(65_536);
    let mut asked: Vec<_> = (0..MAX_IN_FLIGHT).map(|n| ask(&connection, &format!("n{n}"))).collect();
    let mut ids = HashSet::new();
    let mut queries = Vec::new();
    for _ in 0..MAX_IN_FLIGHT {
        queries.push(peer.query().await);
        assert!(ids.insert(queries.last().unwrap()[..2].to_vec()));
    }
    let ids: Vec<_> = queries.iter().filter_map(|query| u16_at(query, 0)).collect();
    assert!(ids.windows(2).filter(|pair| pair[1].wrapping_sub(pair[0]) <= 2).count() < 5, "in sequence: {ids:?}");
    assert_eq!(error(ask(&connection, "full")).await, io::ErrorKind::ResourceBusy);
    asked.remove(0).abort(); // one goes,
    tokio::task::yield_now().await;
    let next = ask(&connection, "next");
    let query = peer.query().await;
    peer.send(&answer(&queries[1])).await; // one is answered,
    assert!(answers(asked.remove(0), "n1").await);
    let last = ask(&connection, "last");
    peer.query().await;
    assert_eq!(error(ask(&connection, "full")).await, io::ErrorKind::ResourceBusy);
    peer.send(&answer(&query)).await;
    assert!(answers(next, "next").await);
    peer.send(&answer(&queries[0])).await; // for the one who has gone: late, not forged
    assert!(answers_next(&connection, &mut peer).await);
    assert_eq!(peer.mismatches.get(), 0);
    drop(last);
}

#[tokio::test(start_paused = true)]
async fn the_end_of_the_connection_is_heard_at_once_by_all() {
    let ends: [&[u8]; 5] = [&[], &[0], &[0, 200, 1, 2, 3], &[0, 0, 1], &[0, 11, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]];
    for (at, end) in ends.into_iter().enumerate() {
        let (connection, mut peer) = Peer::new(4_096);
        let asked = [ask(&connection, "first"), ask(&connection, "second")];
        peer.query().await;
        peer.query().await;
        peer.stream.write_all(end).await.unwrap();
        let is_whole = at >= 3; // it need not be closed by the upstream
        if is_whole {
            assert!(peer.ends().await);
        } else {
            peer.stream.shutdown().await.unwrap();
        }
        let started = Instant::now();
        for error in join_all(asked.map(error)).await {
            assert_eq!(error, io::ErrorKind::ConnectionAborted, "{end:?}");
        }
        assert_eq!(error(ask(&connection, "next")).await, io::ErrorKind::ConnectionAborted);
        assert_eq!(started.elapsed(), Duration::ZERO);
    }
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_never_reads_holds_nobody_and_costs_a_bounded_queue() {
    let (connection, peer) = Peer::new(16);
    let mut refused = 0;
    for n in 0..2 * MAX_IN_FLIGHT {
        let asked = ask(&connection, &format!("n{n}"));
        tokio::task::yield_now().await;
        if asked.is_finished() {
            refused += 1;
            assert_eq!(error(asked).await, io::ErrorKind::ConnectionAborted, "the queue is full");
        } else {
            asked.abort();
        }
    }
    tokio::task::yield_now().await;
    assert!((MAX_IN_FLIGHT - 5..=MAX_IN_FLIGHT).contains(&refused), "{refused}");
    assert!(lock(&connection.table).waiting.is_empty());
    drop(peer);
}

#[tokio::test(start_paused = true)]
async fn an_idle_connection_is_closed_and_one_in_use_is_not() {
    let (connection, mut peer) = Peer::new(512);
    for pause in [1, 4, 5] {
        advance(Duration::from_secs(pause)).await;
        assert!(answers_next(&connection, &mut peer).await);
    }
    let asked = ask(&connection, "slow");
    let query = peer.query().await;
    tokio::time::sleep(10 * IDLE).await;
    peer.send(&answer(&query)).await;
    assert!(answers(asked, "slow").await);
    let since = Instant::now();
    assert!(peer.ends().await);
    assert!((IDLE..=2 * IDLE).contains(&since.elapsed()), "{:?}", since.elapsed());
    assert_eq!(error(ask(&connection, "next")).await, io::ErrorKind::ConnectionAborted);
}

#[tokio::test(start_paused = true)]
async fn who_talks_unasked_is_idle() {
    let (connection, mut peer) = Peer::new(512);
    let junk = frame(&[7; 100]);
    let since = Instant::now();
    while peer.stream.write_all(&junk).await.is_ok() {
        tokio::time::sleep(Duration::from_millis(500)).await;
        assert!(since.elapsed() < PATIENCE);
    }
    assert!(peer.mismatches.get() >= 10);
    assert_eq!(error(ask(&connection, "next")).await, io::ErrorKind::ConnectionAborted);
}

#[tokio::test(start_paused = true)]
async fn it_is_closed_when_nobody_holds_it() {
    let (connection, mut peer) = Peer::new(512);
    let asked = ask(&connection, "www");
    let query = peer.query().await;
    drop(connection);
    peer.send(&answer(&query)).await;
    assert!(answers(asked, "www").await, "the asker held it");
    let since = Instant::now();
    assert!(peer.ends().await && since.elapsed() < IDLE);
}

/// What an upstream may send: octets, frames of them, and answers with octets changed.
fn sent() -> BoxedStrategy<Vec<(Kind, Vec<u8>)>> {
    let kind = prop_oneof![Just(Kind::Octets), Just(Kind::Frame), Just(Kind::Answer)];
    vec((kind, vec(any::<u8>(), 0..60)), 0..12).boxed()
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    Octets,
    Frame,
    Answer,
}

proptest! {
    /// Whatever comes, the question ends, at the latest with the connection, and no place in the table is lost.
    #[test]
    fn any_octets_are_survived(sent in sent(), sizes in vec(1_usize..50, 1..20)) {
        let runtime = Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let (connection, mut peer) = Peer::new(64);
            let asked = ask(&connection, "www");
            let good = answer(&peer.query().await);
            let octets: Vec<_> = sent.into_iter().flat_map(|(kind, octets)| match kind {
                Kind::Octets => octets,
                Kind::Frame => frame(&octets),
                Kind::Answer => {
                    let mut changed = good.clone();
                    for pair in octets.chunks_exact(2) {
                        let at = 2 + usize::from(pair[0]) % (changed.len() - 2); // the id stays
                        changed[at] ^= pair[1];
                    }
                    frame(&changed)
                }
            }).collect();
            let mut rest = &octets[..];
            for size in sizes.into_iter().cycle() {
                let (piece, after) = rest.split_at(size.min(rest.len()));
                if rest.is_empty() || peer.stream.write_all(piece).await.is_err() {
                    break;
                }
                rest = after;
            }
            let _ = peer.stream.shutdown().await;
            let outcome = timeout(PATIENCE, asked).await.unwrap().unwrap();
            assert!(outcome.is_ok() || outcome.is_err_and(|error| error.kind() == io::ErrorKind::ConnectionAborted));
            assert!(peer.ends().await);
            assert!(lock(&connection.table).waiting.is_empty());
        });
    }
}
