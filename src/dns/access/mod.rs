//! Who gets an answer, how often, and what is sent to whom nobody has shown to be there.
//!
//! ```text
//!  query --> judge: what its cookie says --> admit: network, rate of the client --> (policy, cache, upstream)
//!                                                                                            |
//!  client <-- leave: rate of like answers by UDP to unproven sources <-----------------------+
//! ```
//!
//! What is no query, or has no question, goes the same way and gets nothing but an error or a cookie.
//!
//! Everything turns on whether the source of a query is *proven*: by TCP, or by a cookie of ours (RFC 7873). What
//! forgers do under somebody's address must not be charged to him: proven and unproven queries of an address have a
//! bucket each, and whoever is limited is shown the way to prove himself: TC=1, so that he comes by TCP, or BADCOOKIE
//! with a cookie if he offers one. Neither is larger than what a forger sent, but for a few octets.
//!
//! - [`buckets`]: the table behind both limits.
//! - [`cookie`]: server cookies.
//! - [`domains`]: places for questions that wait for upstreams.
//! - [`prefix`]: which addresses are one client.
//! - [`rrl`]: what leaves.
//! - [`wall`]: the time of day.
//!
//! What is off costs a comparison, and its table is made when it is turned on first. No client address is ever logged.

pub mod buckets;
pub mod cookie;
pub mod domains;
pub mod prefix;
pub mod rrl;
pub mod wall;

use std::hash::Hasher;
use std::net::IpAddr;
use std::sync::{Arc, OnceLock};

use super::clock::Clock;
use super::core::{Asker, Fast, Size, View};
use super::query::{Malformed, NoQuestion, Query};
use super::reply::{self, Ede};
use super::wire::rcode;
use crate::observe::counters::{CookieResult, Dropped};

use buckets::{Buckets, Limit};
use cookie::{Cookie, Cookies, Secrets};
use domains::Domains;
use prefix::Prefixes;
use rrl::{Judgement, Responses};
use wall::Wall;

/// Sets of eight buckets in each table: half a million clients or kinds of answers, 4 MiB.
const SETS: usize = 1 << 16;

/// `[dns.cookies]`, `[dns.rate_limit]`, `[dns.rrl]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The secrets cookies are made with; `None`: cookies are off and the option is ignored.
    pub cookies: Option<Secrets>,
    /// How often a client may ask; `None`: as often as it likes.
    pub rate: Option<Rate>,
    /// What leaves to unproven sources; `None`: everything.
    pub rrl: Option<rrl::Settings>,
}

impl Default for Settings {
    /// Cookies with secrets of the process's own, no limits.
    fn default() -> Self {
        Self { cookies: Some(Secrets::default()), rate: None, rrl: None }
    }
}

/// `[dns.rate_limit]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rate {
    /// What a client may have.
    pub limit: Limit,
    /// What a client is.
    pub prefixes: Prefixes,
}

/// What is known about where a message came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// A datagram: anybody may have sent it.
    Unproven,
    /// The same, of somebody who would take a cookie.
    WantsCookie,
    /// Somebody who receives what is sent to this address: TCP, or a cookie of ours.
    Proven,
}

/// See the module's header.
#[derive(Debug)]
pub struct Access {
    cookies: Cookies,
    wall: Wall,
    clients: OnceLock<Buckets>,
    responses: OnceLock<Responses>,
    /// The places of questions that wait for upstreams.
    pub domains: Arc<Domains>,
}

impl Access {
    /// With tables for what is on, and `places` for questions that wait.
    pub fn new(settings: &Settings, places: u32, clock: Clock) -> Self {
        let access = Self {
            cookies: Cookies::new(rand::random()),
            wall: Wall::new(clock),
            clients: OnceLock::new(),
            responses: OnceLock::new(),
            domains: Arc::new(Domains::new(places, rand::random())),
        };
        access.prepare(settings);
        access
    }

    /// Makes the tables of what is on now. One that is turned off keeps its table, or a thread that still answers by
    /// the old settings would lose it.
    pub fn prepare(&self, settings: &Settings) {
        if settings.rate.is_some() {
            self.clients.get_or_init(|| Buckets::new(SETS, rand::random()));
        }
        if settings.rrl.is_some() {
            self.responses.get_or_init(|| Responses::new(SETS, rand::random()));
        }
    }

    /// Reads the COOKIE option of a query, counts it and writes ours into its options; what is known about the source
    /// then.
    #[inline]
    pub fn judge(&self, query: &mut Query, from: &Asker, view: &View) -> Result<Source, Malformed> {
        let cookie = query.edns.and_then(|edns| edns.cookie).and_then(|option| self.counted(option, from.client, view));
        self.source(query, from, cookie)
    }

    /// The same for a query that has been counted already.
    pub fn judge_again(&self, query: &mut Query, from: &Asker, view: &View) -> Result<Source, Malformed> {
        let cookie = query.edns.and_then(|edns| edns.cookie).and_then(|option| self.cookie(option, from.client, view));
        self.source(query, from, cookie)
    }

    fn source(&self, query: &mut Query, from: &Asker, cookie: Option<Cookie>) -> Result<Source, Malformed> {
        match cookie {
            None => Ok(from.source()),
            Some(Cookie::Valid(cookie)) => {
                query.options.cookie = Some(cookie);
                Ok(Source::Proven)
            }
            Some(Cookie::Fresh(cookie)) => {
                query.options.cookie = Some(cookie);
                Ok(from.with_cookie())
            }
            Some(Cookie::BadLength) => Err(Malformed {
                rcode: rcode::FORMERR,
                question: query.question().len(),
                edns: true,
                dnssec_ok: query.dnssec_ok(),
            }),
        }
    }

    /// `None` if cookies are off.
    fn cookie(&self, option: &[u8], client: IpAddr, view: &View) -> Option<Cookie> {
        let secrets = view.settings.access.cookies.as_ref()?;
        Some(self.cookies.judge(option, client, secrets, self.wall.seconds(view.now), view.now))
    }

    fn counted(&self, option: &[u8], client: IpAddr, view: &View) -> Option<Cookie> {
        let cookie = self.cookie(option, client, view)?;
        view.counters.cookie(match cookie {
            Cookie::Valid(_) => CookieResult::Valid,
            Cookie::Fresh(_) => CookieResult::Fresh,
            Cookie::BadLength => CookieResult::Malformed,
        });
        Some(cookie)
    }

    /// Whether the client is exempt from restrictions at this time.
    pub fn is_exempt(&self, client: IpAddr, view: &View) -> bool {
        view.settings.exempt.of(client, || self.wall.timestamp(view.now)).is_some()
    }

    /// Refuses strangers and clients that ask too often; `None` for all others.
    #[inline]
    pub fn admit(&self, query: &Query, source: Source, from: &Asker, view: &View, out: &mut [u8]) -> Option<Fast> {
        let error = |code, ede, out: &mut [u8]| {
            view.counters.response(code);
            Some(Fast::Reply(reply::error(query, code, ede, out), None))
        };
        match (self.turned_away(source, from.client, view)?, source) {
            (Ede::RATE_LIMITED, Source::WantsCookie) => error(rcode::BADCOOKIE, Ede::RATE_LIMITED, out),
            (Ede::RATE_LIMITED, Source::Unproven) => {
                view.counters.response(rcode::NOERROR);
                Some(Fast::Reply(reply::truncated(query, Ede::RATE_LIMITED, out), None))
            }
            (why, _) => error(rcode::REFUSED, why, out),
        }
    }

    /// Why a message is not looked at, whatever it says: its client is a stranger, or asks too often. `None`: it is.
    #[inline]
    fn turned_away(&self, source: Source, client: IpAddr, view: &View) -> Option<Ede> {
        if !view.settings.allow.contains(client) {
            return Some(Ede::PROHIBITED);
        }
        if self.within(source, client, view) {
            return None;
        }
        view.counters.rate_limited.inc();
        Some(Ede::RATE_LIMITED)
    }

    /// Whether the client may ask once more.
    fn within(&self, source: Source, client: IpAddr, view: &View) -> bool {
        let (Some(rate), Some(clients)) = (&view.settings.access.rate, self.clients.get()) else { return true };
        let mut hash = clients.hasher();
        hash.write_u128(rate.prefixes.of(client));
        hash.write_u8(u8::from(source == Source::Proven));
        clients.take(&hash, &rate.limit, view.now)
    }

    /// Answers a query without a question, which is for a cookie (RFC 7873 §5.4). Where cookies are off it is
    /// malformed.
    pub fn no_question(&self, message: &[u8], asked: NoQuestion, from: &Asker, view: &View, out: &mut [u8]) -> Fast {
        let (code, cookie, source) = match self.counted(asked.cookie, from.client, view) {
            Some(Cookie::Valid(cookie)) => (rcode::NOERROR, Some(cookie), Source::Proven),
            // a server's half that is not ours is named, or the client would go on believing in it
            Some(Cookie::Fresh(cookie)) if asked.cookie.len() > 8 => {
                (rcode::BADCOOKIE, Some(cookie), from.with_cookie())
            }
            Some(Cookie::Fresh(cookie)) => (rcode::NOERROR, Some(cookie), from.with_cookie()),
            Some(Cookie::BadLength) | None => (rcode::FORMERR, None, from.source()),
        };
        let away = self.turned_away(source, from.client, view);
        let (code, cookie) = match away {
            None => (code, cookie),
            Some(Ede::RATE_LIMITED) if source == Source::WantsCookie => (rcode::BADCOOKIE, cookie),
            Some(Ede::RATE_LIMITED) => (rcode::REFUSED, cookie),
            Some(_) => (rcode::REFUSED, None), // a stranger has no use for one
        };
        view.counters.response(code);
        let len = reply::no_question(message, asked, code, cookie, away, out);
        self.leave_bare(source, len, from, view, out)
    }

    /// Answers a message that is no query. Who is turned away is not told what is wrong with it.
    pub fn malformed(&self, message: &[u8], error: Malformed, from: &Asker, view: &View, out: &mut [u8]) -> Fast {
        let away = self.turned_away(from.source(), from.client, view);
        let error = if away.is_some() { Malformed { rcode: rcode::REFUSED, ..error } } else { error };
        view.counters.response(error.rcode);
        let len = reply::malformed(message, error, away, out);
        self.leave_bare(from.source(), len, from, view, out)
    }

    /// The last word on an answer: it leaves, leaves empty with TC, or does not leave.
    #[inline]
    pub fn leave(&self, query: &Query, source: Source, fast: Fast, from: &Asker, view: &View, out: &mut [u8]) -> Fast {
        let Fast::Reply(len, path) = fast else { return fast };
        match self.limit(source, len, from, view, out) {
            Judgement::Within => fast,
            Judgement::Hold => Fast::Held,
            Judgement::Slip if source == Source::WantsCookie => {
                Fast::Reply(reply::error(query, rcode::BADCOOKIE, Ede::RATE_LIMITED, out), path)
            }
            Judgement::Slip => Fast::Reply(reply::truncated(query, Ede::RATE_LIMITED, out), path),
        }
    }

    /// The same for what has no data: it slips as it is.
    fn leave_bare(&self, source: Source, len: usize, from: &Asker, view: &View, out: &[u8]) -> Fast {
        match self.limit(source, len, from, view, out) {
            Judgement::Within | Judgement::Slip => Fast::Reply(len, None),
            Judgement::Hold => Fast::Held,
        }
    }

    #[inline]
    fn limit(&self, source: Source, len: usize, from: &Asker, view: &View, out: &[u8]) -> Judgement {
        let (Some(rrl), Some(responses)) = (&view.settings.access.rrl, self.responses.get()) else {
            return Judgement::Within;
        };
        if source == Source::Proven {
            return Judgement::Within;
        }
        let judgement = responses.judge(out.get(..len).unwrap_or_default(), from.client, rrl, view.now);
        if judgement != Judgement::Within {
            view.counters.rrl_excess.inc();
        }
        match judgement {
            _ if rrl.log_only => return Judgement::Within,
            Judgement::Within => {}
            Judgement::Slip => view.counters.rrl_slipped.inc(),
            Judgement::Hold => view.counters.dropped(Dropped::Rrl),
        }
        judgement
    }
}

impl Asker {
    /// What the transport alone says of the source.
    fn source(&self) -> Source {
        match self.size {
            Size::Stream => Source::Proven,
            Size::Datagram => Source::Unproven,
        }
    }

    /// The same of one that has offered a cookie which proves nothing.
    fn with_cookie(&self) -> Source {
        match self.source() {
            Source::Unproven => Source::WantsCookie,
            source => source,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;
    use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

    use futures_util::future::{BoxFuture, FutureExt};

    use super::*;
    use crate::dns::cache::Cache;
    use crate::dns::core::Core;
    use crate::dns::flight::Joined;
    use crate::dns::query::{Parsed, parse};
    use crate::dns::resolve::{Failure, Outages, Question, Resolve};
    use crate::model::{DnsName, Exemptions};
    use crate::observe::counters::{Counters, Shed};
    use crate::observe::metrics::Metrics;
    use crate::policy::compile::tests::snapshot;
    use crate::policy::store::store;

    const CLIENT: Asker =
        Asker { client: IpAddr::V4(Ipv4Addr::LOCALHOST), size: Size::Datagram, idle: std::time::Duration::ZERO };

    /// Never answers.
    struct Nobody;

    impl Resolve for Nobody {
        fn resolve<'a>(&'a self, _: &'a Question) -> BoxFuture<'a, Result<crate::dns::answer::Answer, Failure>> {
            std::future::pending().boxed()
        }

        fn is_healthy(&self, _: &Question) -> bool {
            true
        }

        fn outages(&self, _: &Question) -> Arc<Outages> {
            Arc::default()
        }
    }

    struct World {
        core: Core,
        runtime: tokio::runtime::Runtime,
        counters: Arc<Counters>,
        now: Arc<AtomicU64>,
    }

    fn settings(access: Settings) -> crate::dns::Settings {
        let allow = ["127.0.0.0/8".parse::<crate::model::Network>().unwrap()].into_iter().collect();
        crate::dns::Settings {
            allow,
            upstreams: Vec::new(),
            forwarding: crate::dns::Forwarding::default(),
            max_ttl: 60,
            access,
            exempt: Exemptions::default(),
            prefetch: false,
            stale: None,
            tcp: Default::default(),
            proxy: Default::default(),
            identity: crate::dns::identity::Identity::default(),
            local: Arc::default(),
        }
    }

    fn world(access: Settings, places: u32) -> World {
        let metrics = Metrics::new("0", "0").unwrap();
        let now = Arc::new(AtomicU64::new(5_000));
        let cache = Arc::new(Cache::new(0));
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let (_, policy) = store(snapshot(&[], 100));
        let clock = Clock::Manual(now.clone());
        World {
            core: Core::new(policy, settings(access), cache, Arc::new(Nobody), places, clock, runtime.handle().clone()),
            runtime,
            counters: metrics.worker(),
            now,
        }
    }

    impl World {
        fn ask(&self, message: &[u8], from: &Asker, out: &mut [u8]) -> Fast {
            let (policy, settings) = (self.core.policy(), self.core.settings());
            let now = self.now.load(Relaxed);
            self.core.fast(
                message,
                from,
                &View {
                    policy: &policy,
                    settings: &settings,
                    counters: &self.counters,
                    now,
                    near: None,
                    preview: None,
                },
                out,
            )
        }
    }

    /// A question without RD, which is refused at once; with an OPT record that holds these octets.
    fn question(name: &str, options: Option<&[u8]>) -> Vec<u8> {
        let mut message = vec![0, 7, 0, 0, 0, 1, 0, 0, 0, 0, 0, u8::from(options.is_some())];
        message.extend_from_slice(DnsName::from_text(name).unwrap().as_wire());
        message.extend_from_slice(b"\x00\x01\x00\x01");
        if let Some(options) = options {
            message.extend_from_slice(b"\x00\x00\x29\x04\xd0\x00\x00\x00\x00");
            message.extend_from_slice(&(options.len() as u16).to_be_bytes());
            message.extend_from_slice(options);
        }
        message
    }

    fn one_a_second() -> Settings {
        Settings {
            rate: Some(Rate { limit: Limit::new(1, 1), prefixes: Prefixes::CLIENT }),
            rrl: Some(rrl::Settings { slip: 1, ..rrl::Settings::new(1) }),
            ..Settings::default()
        }
    }

    #[test]
    fn what_a_limited_source_gets_is_hardly_larger_than_what_it_sent() {
        let cookie = b"\x00\x0a\x00\x08clientck";
        let cases = [(None, 0), (Some(&b""[..]), 6), (Some(&cookie[..]), 6 + 16)];
        for (options, more) in cases {
            let world = world(one_a_second(), 4);
            let (message, mut out) = (question("www.example.com", options), [0; 1232]);
            for n in 0..50 {
                let Fast::Reply(len, _) = world.ask(&message, &CLIENT, &mut out) else {
                    panic!("slip 1: all answered")
                };
                assert!(n == 0 || len <= message.len() + more, "{len} for {}", message.len());
                assert_eq!(out[..2], message[..2]);
            }
            assert_eq!(world.counters.rate_limited.get(), 49);
        }
    }

    /// A query without a question, with this COOKIE option.
    fn bare(cookie: &[u8]) -> Vec<u8> {
        let mut message =
            b"\x00\x07\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\x29\x04\xd0\x00\x00\x00\x00".to_vec();
        for octets in [cookie.len() as u16 + 4, 10, cookie.len() as u16] {
            message.extend_from_slice(&octets.to_be_bytes());
        }
        message.extend_from_slice(cookie);
        message
    }

    #[test]
    fn a_valid_cookie_without_a_question_is_spared_by_response_rate_limiting() {
        let world = world(Settings { rrl: Some(rrl::Settings::new(1)), ..Settings::default() }, 4);
        let mut out = [0; 1232];
        let Fast::Reply(len, _) = world.ask(&bare(b"clientck"), &CLIENT, &mut out) else { panic!() };
        let valid = bare(&out[len - 24..len]);
        let mut held = |message: &[u8]| (0..20).filter(|_| world.ask(message, &CLIENT, &mut out) == Fast::Held).count();
        assert_eq!(held(&valid), 0);
        assert!(held(&bare(b"clientck")) > 0, "half of one proves nothing");
    }

    #[test]
    fn strangers_hear_refused_and_no_more_whatever_they_send() {
        let world = world(Settings::default(), 4);
        let stranger = Asker::datagram(IpAddr::from([198, 51, 100, 1]));
        let mut out = [0; 1232];
        let mut version_1 = question("www.example.com", Some(b""));
        version_1[12 + 17 + 4 + 6] = 1;
        let mut status = question("www.example.com", None);
        status[2] = 2 << 3;
        let bad_cookie = question("www.example.com", Some(b"\x00\x0a\x00\x01x"));
        let two = [0, 7, 1, 0, 0, 2, 0, 0, 0, 0, 0, 0].to_vec();
        for message in [bare(b"clientck"), bare(b"x"), version_1, status, bad_cookie, two] {
            let Fast::Reply(len, _) = world.ask(&message, &stranger, &mut out) else { panic!("{message:02x?}") };
            assert_eq!((out[2] & 0x78, out[3] & 15), (message[2] & 0x78, 5), "REFUSED, the opcode echoed");
            let more = if message[11] == 1 { 6 } else { 0 };
            assert!(len <= message.len() + more, "{len} octets for {}", message.len());
            assert_eq!(out[..len].ends_with(b"\x00\x0f\x00\x02\x00\x12"), message[11] == 1, "EDE 18, no cookie");
        }
    }

    #[test]
    fn limits_are_turned_on_and_off_by_a_reload() {
        let world = world(Settings::default(), 4);
        let message = question("www.example.com", None);
        let truncated = || {
            let mut out = [0; 1232];
            (0..20).filter(|_| world.ask(&message, &CLIENT, &mut out) != Fast::Held && out[2] & 0x02 != 0).count()
        };
        assert!(world.core.access.clients.get().is_none() && world.core.access.responses.get().is_none(), "no memory");
        assert_eq!(truncated(), 0);
        world.core.reconfigure(settings(one_a_second()));
        assert_eq!(truncated(), 19);
        world.core.reconfigure(settings(Settings::default()));
        assert_eq!(truncated(), 0);
    }

    #[test]
    fn a_forged_flood_does_not_use_up_what_a_client_has_by_tcp_or_with_a_cookie() {
        let world = world(one_a_second(), 4);
        let mut out = [0; 1232];
        let plain = question("www.example.com", None);
        (0..10_000).for_each(|_| assert_ne!(world.ask(&plain, &CLIENT, &mut out), Fast::Drop));
        let ede = |out: &[u8]| out.windows(6).any(|octets| octets == b"\x00\x0f\x00\x02\x00\x1f");
        let opt = question("www.example.com", Some(b""));
        let stream = Asker::stream(CLIENT.client, std::time::Duration::from_secs(1));
        let Fast::Reply(len, _) = world.ask(&opt, &stream, &mut out) else { panic!() };
        assert!(!ede(&out[..len]), "by TCP it is answered");
        // the client's half, then the whole cookie that came back
        world.now.fetch_add(60_000, Relaxed);
        (0..100).for_each(|_| assert_ne!(world.ask(&plain, &CLIENT, &mut out), Fast::Drop));
        let half = question("www.example.com", Some(b"\x00\x0a\x00\x08clientck"));
        let Fast::Reply(len, _) = world.ask(&half, &CLIENT, &mut out) else { panic!() };
        assert!(ede(&out[..len]) && out[3] & 0x0f == 7, "BADCOOKIE");
        let whole = [b"\x00\x0a\x00\x18", &out[len - 24..len]].concat();
        let whole = question("www.example.com", Some(&whole));
        let Fast::Reply(len, _) = world.ask(&whole, &CLIENT, &mut out) else { panic!() };
        assert!(!ede(&out[..len]), "with the cookie it is answered");
    }

    #[test]
    fn a_flood_of_one_domain_is_shed_with_a_reason() {
        let world = world(Settings::default(), 16);
        let ask = |name: &str| {
            let message = question(name, Some(b""));
            let Parsed::Query(query) = parse(&message) else { panic!() };
            match world.core.flights.join(crate::dns::flight::Wanted::of(&query, 0), 60) {
                Joined::Full(shed) => Some(shed),
                Joined::Wait(..) | Joined::Known(_) => None,
            }
        };
        assert!((0..8).all(|n| ask(&format!("www.d{n}.com")).is_none()));
        let shed: Vec<_> = (0..50).filter_map(|n| ask(&format!("r{n}.victim.com"))).collect();
        assert_eq!((shed.len(), shed[0]), (48, Shed::Domain), "an eighth of the places");
        assert_eq!(ask("r0.victim.com"), None, "to join what is under way takes no place");
        let (mut out, message) = ([0; 1232], question("x.victim.com", Some(b"")));
        let awaited = world.runtime.block_on(world.core.wait(&message, &world.counters));
        let fast = world.core.conclude(&message, &CLIENT, awaited, &world.counters, &mut out);
        let Fast::Reply(len, _) = fast else { panic!("{fast:?}") };
        assert_eq!(out[3] & 0x0f, 2);
        assert!(out[..len].ends_with(b"\x00\x17too many questions about this domain wait for answers"));
        assert_eq!(world.counters.shed[Shed::Domain as usize].get(), 1);
        assert_eq!(ask("www.victim.org"), None);
        let World { core, runtime, .. } = world;
        drop(runtime); // ends what is under way
        let places: Vec<_> =
            (0..16).map(|n| core.access.domains.enter(&[2, b'd', b'a' + n, 3, b'c', b'o', b'm', 0])).collect();
        assert!(places.iter().all(Result::is_ok), "every place has been given back");
    }
}
