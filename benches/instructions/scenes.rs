//! The scenes: look-ups in the index, and whole answers of [`Core::fast`], from the octets of a question to those of
//! its answer in the buffer they are sent from.
//!
//! The world is that of a plain configuration: a list of 100,000 names, cookies on, limits off, special-use names served
//! here. Time stands still, so nothing expires.

use std::collections::BTreeMap;
use std::hint::black_box;
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use futures_util::future::{BoxFuture, FutureExt};
use jiff::Timestamp;
use pagar::dns::access;
use pagar::dns::answer::Answer;
use pagar::dns::cache::{Cache, Kept};
use pagar::dns::clock::Clock;
use pagar::dns::core::{Asker, Core, Fast, View};
use pagar::dns::identity::Identity;
use pagar::dns::listen::stream::Limits;
use pagar::dns::local::Local;
use pagar::dns::near::{AHEAD, Near};
use pagar::dns::query::{Parsed, parse};
use pagar::dns::resolve::{Failure, Outages, Question, Resolve};
use pagar::dns::{Forwarding, Settings};
use pagar::model::*;
use pagar::observe::counters::{Counters, Path};
use pagar::policy::compile::Entry;
use pagar::policy::{Index, Page, Pages, Register, Slots, Snapshot, store};

use crate::names::{Opt, list, listed, question, unlisted, wire};

/// Operations a scene; a power of two.
const TIMES: usize = 8_192;
/// The client.
const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
/// Somebody who is not served.
const STRANGER: IpAddr = IpAddr::V4(Ipv4Addr::new(198, 51, 100, 1));

/// Runs all scenes, and says of each how often it did what.
pub(crate) fn run() -> io::Result<()> {
    let policy = policy()?;
    lookups(policy.index());
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    let (cache, counters) = (Arc::new(Cache::new(64 << 20)), Counters::default());
    fill(&cache);
    answers(&core(policy, cache, runtime.handle().clone()), &counters);
    Ok(())
}

/// All that happens in here is counted; nothing else is.
#[inline(never)]
fn counted(operation: &mut dyn FnMut(usize)) {
    for n in 0..TIMES {
        operation(n);
    }
}

/// Has one scene counted, after what happens once is over: answers become hot on their third time.
fn scene(name: &str, times: usize, mut operation: impl FnMut(usize)) {
    for n in 0..2 * TIMES {
        operation(n % TIMES);
    }
    counted(&mut operation);
    println!("{} {name}", TIMES * times);
}

//------ look-ups ---------------------------------------------------------------------------------------------------------

fn lookups(index: &Index) {
    let kinds: [(&str, &dyn Fn(u32) -> String); 4] = [
        ("look-up, listed", &listed),
        ("look-up, below listed", &|n| format!("x.y.{}", listed(n))),
        ("look-up, sibling", &|n| format!("z{}", listed(n))),
        ("look-up, unlisted", &unlisted),
    ];
    let names = |make: &dyn Fn(u32) -> String| (0..TIMES as u32).map(|n| wire(&make(n))).collect::<Vec<_>>();
    for (scene_name, make) in kinds {
        let names = names(make);
        scene(scene_name, 1, |n| {
            let mut found = None;
            index.walk(black_box(names[n].as_wire()), |set, _| {
                found = Some(set);
                ControlFlow::Break(())
            });
            black_box(found);
        });
    }
    let names = names(&unlisted);
    scene("read ahead, unlisted", AHEAD, |n| {
        index.warm((0..AHEAD).map(|more| black_box(names[(n + more) % TIMES].as_wire())));
    });
}

//------ answers ----------------------------------------------------------------------------------------------------------

/// Makes the name with a number.
type Make = fn(u32) -> String;

/// A scene's name, who asks, how, for which names, and by which path he is answered.
type Asked = (&'static str, IpAddr, Opt, Make, Option<Path>);

/// Names in the cache, each as another answer: an address, a CNAME and an address, none of its type, none at all.
const KEPT: [Make; 4] = [
    unlisted,
    |n| format!("alias.{}", unlisted(n)),
    |n| format!("v6.{}", unlisted(n)),
    |n| format!("no.{}", unlisted(n)),
];

fn answers(core: &Core, counters: &Counters) {
    let [address, alias, no_data, no_name] = KEPT;
    let kept = Some(Path::Cached);
    let blocked = Some(Path::Blocked);
    let kinds: [Asked; 11] = [
        ("listed", CLIENT, Opt::No, listed, blocked),
        ("listed, EDNS", CLIENT, Opt::DnssecOk, listed, blocked),
        ("cached", CLIENT, Opt::No, address, kept),
        ("at hand", CLIENT, Opt::No, address, kept),
        ("cached, EDNS and DO", CLIENT, Opt::DnssecOk, address, kept),
        ("cached, cookie", CLIENT, Opt::Cookie, address, kept),
        ("cached, CNAME", CLIENT, Opt::No, alias, kept),
        ("cached, no data", CLIENT, Opt::No, no_data, kept),
        ("cached, NXDOMAIN", CLIENT, Opt::No, no_name, kept),
        ("missed", CLIENT, Opt::No, |n| format!("missed{n:05}.tld{n:05}"), None),
        ("refused", STRANGER, Opt::No, address, None),
    ];
    let at_hand = Near::default();
    for (name, client, opt, make, expected) in kinds {
        let near = name.starts_with("at hand").then_some(&at_hand);
        let (policy, settings) = (core.policy(), core.settings());
        let view = View { policy: &policy, settings: &settings, counters, now: core.clock.now(), near, preview: None };
        let questions: Vec<_> = (0..TIMES as u32).map(|n| question(&make(n), opt)).collect();
        let (asker, mut out) = (Asker::datagram(client), [0; 1232]);
        scene(name, 1, |n| match core.fast(black_box(&questions[n]), &asker, &view, &mut out) {
            Fast::Reply(_, path) => assert_eq!(path, expected, "{name}"),
            fast => assert_eq!((fast, name), (Fast::Miss, "missed")),
        });
        black_box(&out);
    }
}

/// Puts the answers of [`KEPT`] into the cache, for questions with and without DO.
fn fill(cache: &Cache) {
    for n in 0..TIMES as u32 {
        for (kind, make) in KEPT.iter().enumerate() {
            for opt in [Opt::No, Opt::DnssecOk] {
                let asked = question(&make(n), opt);
                let Parsed::Query(query) = parse(&asked) else { unreachable!("it is one") };
                let message = message(kind, n, query.question());
                let answer = Answer::parse(&message, query.question(), false).expect("an answer to it");
                cache.keep(query.key(), &Arc::new(Kept::new(answer, 1, 3_600)), cache.epoch());
            }
        }
    }
}

/// An upstream's answer of this kind.
fn message(kind: usize, n: u32, question: &[u8]) -> Vec<u8> {
    const TTL: &[u8] = b"\x00\x01\x00\x00\x0e\x10"; // class IN, an hour
    let (answers, authorities, rcode) = [(1, 0, 0), (2, 0, 0), (0, 1, 0), (0, 1, 3)][kind];
    let mut message = vec![0, 0, 0x81, 0x80 | rcode, 0, 1, 0, answers, 0, authorities, 0, 0];
    message.extend_from_slice(question);
    match kind {
        0 => message.extend_from_slice(&[b"\xc0\x0c\x00\x01", TTL, b"\x00\x04\xc0\x00\x02\x07"].concat()),
        1 => {
            let target = wire(&format!("edge.cdn{n:05}.net"));
            let len = [0, target.as_wire().len() as u8];
            message.extend_from_slice(&[b"\xc0\x0c\x00\x05", TTL, &len, target.as_wire()].concat());
            message.extend_from_slice(&[target.as_wire(), b"\x00\x01", TTL, b"\x00\x04\xc0\x00\x02\x07"].concat());
        }
        _ => message.extend_from_slice(
            &[b"\x00\x00\x06\x00\x01\x00\x00\x0e\x10\x00\x16\x00\x00", &[0, 0, 0x0e, 0x10].repeat(5)[..]].concat(),
        ),
    }
    message
}

//------ the world --------------------------------------------------------------------------------------------------------

/// Never asked.
struct Nobody;

impl Resolve for Nobody {
    fn resolve<'a>(&'a self, _: &'a Question) -> BoxFuture<'a, Result<Answer, Failure>> {
        std::future::pending().boxed()
    }

    fn is_healthy(&self, _: &Question) -> bool {
        true
    }

    fn outages(&self, _: &Question) -> Arc<Outages> {
        Arc::default()
    }
}

fn notice() -> Notice {
    Notice {
        id: NoticeId::new("MCMC-2026-000101"),
        sequence: 1,
        authority: AuthorityId::new("mcmc"),
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

fn policy() -> io::Result<Snapshot> {
    let pages = Pages { default: Page { v4: Some([192, 0, 2, 80].into()), v6: None }, rules: Vec::new(), ttl: 30 };
    let slots = Slots { blocked: 0, hit: Some(0) };
    let entry = Entry::new(Arc::new(notice()), AuthorityKind::Statutory, 0, &pages, slots);
    let mut register = Register::default();
    register.change(&[], vec![(entry, &mut list())], Timestamp::UNIX_EPOCH).map_err(io::Error::other)?;
    Ok(register.snapshot(pages.ttl, 1))
}

fn core(policy: Snapshot, cache: Arc<Cache>, runtime: tokio::runtime::Handle) -> Core {
    let (_, policy) = store::store(policy);
    let settings = Settings {
        allow: ["127.0.0.0/8", "::1/128", "10.0.0.0/8"]
            .map(|net| net.parse().expect("a network"))
            .into_iter()
            .collect(),
        upstreams: Vec::new(),
        forwarding: Forwarding::default(),
        max_ttl: 86_400,
        access: access::Settings::default(),
        exempt: Exemptions::default(),
        prefetch: true,
        stale: None,
        tcp: Limits::default(),
        proxy: Networks::default(),
        identity: Identity::default(),
        local: Arc::new(Local::new(true, &[], Vec::new(), &[])),
    };
    let clock = Clock::Manual(Arc::new(AtomicU64::new(1)));
    Core::new(policy, settings, cache, Arc::new(Nobody), 8, clock, runtime)
}
