//! A TCP connection and the PROXY header: octets in arbitrary pieces into the real connection over the real core. Every
//! query that came whole is answered once, with its id; the connection always ends.
#![no_main]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::{BoxFuture, FutureExt};
use libfuzzer_sys::fuzz_target;
use pagar::dns::Settings;
use pagar::dns::access;
use pagar::dns::answer::Answer;
use pagar::dns::cache::Cache;
use pagar::dns::clock::Clock;
use pagar::dns::core::Core;
use pagar::dns::listen::proxy;
use pagar::dns::listen::stream::Limits;
use pagar::dns::listen::stream::connection::serve;
use pagar::dns::listen::stream::places::{Class, Places};
use pagar::dns::query::{Parsed, parse};
use pagar::dns::resolve::{Failure, Outages, Question, Resolve};
use pagar::model::{Exemptions, Networks};
use pagar::observe::metrics::Metrics;
use pagar::policy::{Register, store};
use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

/// Answers every question with one address.
struct OneAddress;

impl Resolve for OneAddress {
    fn resolve<'a>(&'a self, question: &'a Question) -> BoxFuture<'a, Result<Answer, Failure>> {
        let mut message = vec![0, 0, 0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0];
        message.extend_from_slice(&question.section);
        message.extend_from_slice(b"\xc0\x0c\x00\x01\x00\x01\x00\x00\x01\x00\x00\x04\xc0\x00\x02\x07");
        async move { Answer::parse(&message, &question.section, false).map_err(|_| Failure::Garbage) }.boxed()
    }

    fn is_healthy(&self, _question: &Question) -> bool {
        true
    }

    fn outages(&self, _: &Question) -> Arc<Outages> {
        Arc::default()
    }
}

/// How often each id is to be answered, up to the frame that cannot be one.
fn expected(mut octets: &[u8]) -> BTreeMap<[u8; 2], usize> {
    let mut ids = BTreeMap::new();
    while let Some((len, rest)) = octets.split_first_chunk::<2>() {
        let len = usize::from(u16::from_be_bytes(*len));
        let Some((message, after)) = rest.split_at_checked(len).filter(|_| len >= 12) else { break };
        if !matches!(parse(message), Parsed::Drop(_)) {
            *ids.entry([message[0], message[1]]).or_default() += 1;
        }
        octets = after;
    }
    ids
}

fuzz_target!(|input: (Vec<u8>, Vec<u8>)| {
    let (octets, pieces) = input;
    if let Ok(header) = proxy::parse(&octets) {
        assert!(header.len <= octets.len());
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let metrics = Metrics::new("0", "fuzz").unwrap();
        let (_, policy) = store::store(Register::new(jiff::Timestamp::now()).snapshot(30, 1));
        let allow = ["127.0.0.0/8".parse().unwrap()].into_iter().collect();
        let tcp = Limits::default();
        let settings = Settings {
            allow,
            upstreams: Vec::new(),
            forwarding: pagar::dns::Forwarding::default(),
            max_ttl: 3_600,
            access: access::Settings::default(),
            exempt: Exemptions::default(),
            prefetch: false,
            stale: None,
            tcp,
            proxy: Networks::default(),
            identity: pagar::dns::identity::Identity::default(),
            local: Arc::default(),
        };
        let cache = Arc::new(Cache::new(1 << 20));
        let clock = Clock::System(Instant::now());
        let core = Core::new(policy, settings, cache, Arc::new(OneAddress), 256, clock, tokio::runtime::Handle::current());
        let client = [127, 0, 0, 1].into();
        let places = Places::new(1_000, metrics.tcp.clone());
        let place = places.take(client, Class::Client, &tcp).unwrap();
        let (ours, theirs) = duplex(512);
        let served = tokio::spawn(serve(ours, client, place, Arc::new(core), metrics.worker()));
        let (mut reader, mut writer) = tokio::io::split(theirs);
        let mut missing = expected(&octets);
        tokio::spawn(async move {
            let mut rest = &octets[..];
            let mut lengths = pieces.iter().map(|len| usize::from(*len) + 1).chain(std::iter::repeat(4_096));
            while !rest.is_empty() {
                let (piece, after) = rest.split_at(lengths.next().unwrap_or(1).min(rest.len()));
                if writer.write_all(piece).await.is_err() {
                    return; // it closed over a frame that cannot be one
                }
                rest = after;
                tokio::task::yield_now().await;
            }
            let _ = writer.shutdown().await;
        });
        let mut answers = Vec::new();
        let read = tokio::time::timeout(Duration::from_secs(20), reader.read_to_end(&mut answers)).await;
        assert!(read.is_ok(), "the connection does not end");
        let mut rest = &answers[..];
        while let Some((len, after)) = rest.split_first_chunk::<2>() {
            let (message, after) = after.split_at(usize::from(u16::from_be_bytes(*len)));
            let id = [message[0], message[1]];
            let count = missing.get_mut(&id).expect("an answer to a query that came");
            *count = count.checked_sub(1).expect("one answer a query");
            rest = after;
        }
        assert!(missing.values().all(|count| *count == 0), "{missing:?}");
        served.await.unwrap();
    });
});
