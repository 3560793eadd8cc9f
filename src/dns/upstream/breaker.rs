//! [`Breaker`]: whether an upstream is in use, decided by signs of life alone. A pure machine: time comes in, nothing
//! waits.
//!
//! ```text
//!   Closed --two probes in a row unanswered, nothing else heard--> Open
//!   Open --any answer--> HalfOpen --a probe unanswered--> Open
//!   HalfOpen --enough signs of life, half a second apart--> Closed
//! ```
//!
//! A question that is not answered proves nothing: its zone may be dead, and an idle upstream that one client asks for
//! dead names only must not look dead itself. It makes the upstream suspected, and a suspected one is probed with a
//! question that every resolver answers at once. Response codes never count: an error is a sign of life.
//!
//! An upstream that opens again soon after it closed needs twice as many signs the next time: one that flaps is used
//! less. One that answers probes by TCP and not by UDP is in use, by TCP.

use crate::dns::clock::Millis;

/// Probes in a row that must be unanswered to open.
const MISSES: u32 = 2;
/// How long a question may wait unanswered before the upstream is suspected.
const SUSPECT: Millis = 600;
/// Least time between two probes of a suspected upstream.
const GAP: Millis = 1_000;
/// Time to the next probe after one that was unanswered, and between probes of one that is half open.
const RETRY: Millis = 500;
/// How often a quiet upstream is probed.
const IDLE: Millis = 10_000;
/// Longest time between two probes of an open upstream; the first is due after [`GAP`], each later one after twice as
/// long.
const SLOWEST: Millis = 16_000;
/// Signs of life to close, the first time, and at most.
const SIGNS: (u32, u32) = (2, 16);
/// Opening again within this time of closing is flapping.
const FLAP: Millis = 60_000;

/// Whether an upstream is in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum State {
    /// In use.
    Closed,
    /// Heard again, not trusted yet: asked after those in use.
    HalfOpen,
    /// Silent: asked last.
    Open,
}

/// What a probe found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Probe {
    /// An answer by UDP.
    Datagram,
    /// An answer by TCP and none by UDP.
    Stream,
    /// Nothing.
    Nothing,
}

/// See the module's header.
#[derive(Debug)]
pub(super) struct Breaker {
    state: State,
    /// When it was first asked since it last answered the way it is asked.
    unanswered: Option<Millis>,
    /// When it was last heard, in whatever way, and by UDP.
    heard: (Millis, Millis),
    probed: Option<Millis>,
    /// Probes in a row unanswered.
    missed: u32,
    /// Probes in a row unanswered by UDP.
    deaf: u32,
    /// Signs of life since it was last open, and when the last of them was counted.
    signs: (u32, Millis),
    /// Signs of life it takes to close.
    needed: u32,
    /// When it last closed.
    closed: Option<Millis>,
    /// It answers by TCP and not by UDP.
    stream_only: bool,
}

impl Breaker {
    pub(super) fn new(now: Millis) -> Self {
        Self {
            state: State::Closed,
            unanswered: None,
            heard: (now, now),
            probed: None,
            missed: 0,
            deaf: 0,
            signs: (0, now),
            needed: SIGNS.0,
            closed: None,
            stream_only: false,
        }
    }

    pub(super) fn state(&self) -> State {
        self.state
    }

    /// Whether to ask by TCP at once.
    pub(super) fn is_stream_only(&self) -> bool {
        self.stream_only
    }

    /// Whether the next probe is to try TCP too: UDP alone got no answer.
    pub(super) fn tries_stream(&self) -> bool {
        self.deaf > 0 || self.stream_only
    }

    /// Whether it was heard by UDP at this time or later.
    pub(super) fn is_heard_since(&self, then: Millis) -> bool {
        self.heard.1 >= then
    }

    /// A question goes out by UDP.
    pub(super) fn ask(&mut self, now: Millis) {
        self.unanswered.get_or_insert(now);
    }

    /// A question goes out by TCP; that counts where TCP is all there is.
    pub(super) fn ask_stream(&mut self, now: Millis) {
        if self.stream_only {
            self.ask(now);
        }
    }

    /// It answered by UDP, whatever it said.
    pub(super) fn hear(&mut self, now: Millis) {
        (self.unanswered, self.deaf, self.stream_only) = (None, 0, false);
        self.heard.1 = now;
        self.sign(now);
    }

    /// It answered by TCP, whatever it said.
    pub(super) fn hear_stream(&mut self, now: Millis) {
        if self.stream_only {
            self.unanswered = None;
        }
        self.sign(now);
    }

    fn sign(&mut self, now: Millis) {
        self.missed = 0;
        self.heard.0 = now;
        match self.state {
            State::Closed => {}
            State::Open => (self.state, self.signs) = (State::HalfOpen, (1, now)),
            State::HalfOpen if now.saturating_sub(self.signs.1) >= RETRY => {
                self.signs = (self.signs.0 + 1, now);
                if self.signs.0 >= self.needed {
                    (self.state, self.closed) = (State::Closed, Some(now));
                }
            }
            State::HalfOpen => {}
        }
    }

    /// When the next probe is due.
    pub(super) fn due(&self) -> Millis {
        let Some(probed) = self.probed else { return 0 };
        let idle = if self.stream_only { probed + IDLE } else { probed.max(self.heard.1) + IDLE };
        let in_doubt = self.missed > 0 || self.deaf > 0 && !self.stream_only;
        match (self.state, self.unanswered) {
            (State::Closed, _) if in_doubt => probed + RETRY,
            (State::Closed, Some(since)) => idle.min((since + SUSPECT).max(probed + GAP)),
            (State::Closed, None) => idle,
            (State::HalfOpen, _) => probed + RETRY,
            (State::Open, _) => probed + SLOWEST.min(GAP << self.missed.saturating_sub(MISSES).min(8)),
        }
    }

    /// A probe goes out.
    pub(super) fn probe(&mut self, now: Millis) {
        self.probed = Some(now);
    }

    /// What became of the probe that went out at `sent`.
    pub(super) fn probed(&mut self, found: Probe, sent: Millis, now: Millis) {
        let (heard, heard_by_udp) = (self.heard.0 > sent, self.heard.1 > sent);
        if found != Probe::Datagram && !heard_by_udp {
            self.deaf += 1;
        }
        match found {
            Probe::Datagram => self.hear(now),
            Probe::Stream => {
                self.stream_only |= !heard_by_udp; // or else UDP lost the probe, not everything
                self.hear_stream(now);
            }
            Probe::Nothing if heard => {}
            Probe::Nothing => self.miss(now),
        }
    }

    fn miss(&mut self, now: Millis) {
        self.missed += 1;
        let opens = match self.state {
            State::Closed => self.missed >= MISSES,
            State::HalfOpen => true,
            State::Open => false,
        };
        if !opens {
            return;
        }
        let flaps = self.closed.is_some_and(|closed| now.saturating_sub(closed) < FLAP);
        match self.state {
            State::Closed if flaps => self.needed = SIGNS.1.min(self.needed * 2),
            State::Closed => self.needed = SIGNS.0,
            _ => {}
        }
        (self.state, self.stream_only) = (State::Open, false); // both ways are tried
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A breaker with its own clock.
    struct Bench {
        breaker: Breaker,
        now: Millis,
    }

    impl Bench {
        fn new() -> Self {
            let mut bench = Self { breaker: Breaker::new(0), now: 0 };
            bench.answered(); // the first probe goes out at once
            bench
        }

        /// Waits until a probe is due and sends it; how long that took.
        fn wait(&mut self) -> Millis {
            let waited = self.breaker.due().saturating_sub(self.now);
            self.now += waited;
            self.breaker.probe(self.now);
            waited
        }

        fn found(&mut self, found: Probe, after: Millis) {
            let sent = self.now;
            self.now += after;
            self.breaker.probed(found, sent, self.now);
        }

        fn answered(&mut self) -> Millis {
            let waited = self.wait();
            self.found(Probe::Datagram, 10);
            waited
        }

        fn missed(&mut self) -> Millis {
            let waited = self.wait();
            self.found(Probe::Nothing, 1);
            waited
        }

        fn open(&mut self) {
            self.missed();
            self.missed();
            assert_eq!(self.breaker.state(), State::Open);
        }

        fn opened() -> Self {
            let mut bench = Self::new();
            bench.open();
            bench
        }

        /// Answers probes until it is closed; how many that took.
        fn close(&mut self) -> u32 {
            (1..100)
                .find(|_| {
                    self.answered();
                    self.breaker.state() == State::Closed
                })
                .unwrap()
        }
    }

    #[test]
    fn a_quiet_upstream_is_probed_now_and_then_and_a_busy_one_is_not() {
        let mut bench = Bench::new();
        assert_eq!(bench.answered(), IDLE);
        for _ in 0..100 {
            bench.now += 1_000;
            bench.breaker.ask(bench.now);
            bench.breaker.hear(bench.now);
        }
        assert_eq!(bench.breaker.due(), bench.now + IDLE);
    }

    #[test]
    fn questions_for_a_dead_zone_do_not_open_it() {
        let mut bench = Bench::new();
        bench.now += 5_000;
        for _ in 0..50 {
            bench.breaker.ask(bench.now); // never answered
            assert_eq!(bench.breaker.due(), bench.now + SUSPECT, "the last probe was longer ago than the gap");
            bench.answered();
            assert_eq!(bench.breaker.state(), State::Closed);
            bench.now += 2_000;
        }
    }

    #[test]
    fn two_unanswered_probes_open_it_and_probing_slows_down() {
        let mut bench = Bench::new();
        bench.missed();
        assert_eq!(bench.breaker.state(), State::Closed, "one datagram may be lost");
        assert_eq!(bench.missed(), RETRY - 1);
        assert_eq!(bench.breaker.state(), State::Open);
        let waits: Vec<_> = (0..7).map(|_| bench.missed() + 1).collect();
        assert_eq!(waits, [1_000, 2_000, 4_000, 8_000, 16_000, 16_000, 16_000]);
    }

    #[test]
    fn what_was_heard_meanwhile_outweighs_a_lost_probe() {
        let mut bench = Bench::new();
        for _ in 0..5 {
            let sent = bench.breaker.due();
            bench.breaker.probe(sent);
            bench.breaker.hear(sent + 1);
            bench.breaker.probed(Probe::Nothing, sent, sent + 1_500);
        }
        assert_eq!((bench.breaker.state(), bench.breaker.missed), (State::Closed, 0));
    }

    #[test]
    fn it_closes_after_two_signs_of_life_that_are_apart() {
        let mut bench = Bench::opened();
        for _ in 0..10 {
            bench.breaker.hear(bench.now); // a burst is one sign
        }
        assert_eq!(bench.breaker.state(), State::HalfOpen);
        bench.breaker.hear(bench.now + RETRY);
        assert_eq!(bench.breaker.state(), State::Closed);
    }

    #[test]
    fn half_open_and_silent_is_open() {
        let mut bench = Bench::opened();
        bench.answered();
        assert_eq!(bench.breaker.state(), State::HalfOpen);
        bench.missed();
        assert_eq!(bench.breaker.state(), State::Open);
    }

    #[test]
    fn one_that_flaps_needs_ever_more_signs_and_a_quiet_minute_forgives() {
        let mut bench = Bench::opened();
        let mut needed = vec![bench.close()];
        for _ in 0..5 {
            bench.open();
            needed.push(bench.close());
        }
        assert_eq!(needed, [2, 4, 8, 16, 16, 16]);
        bench.now += FLAP;
        bench.open();
        assert_eq!(bench.close(), 2);
    }

    #[test]
    fn one_that_lost_udp_is_asked_by_tcp_until_udp_is_back() {
        let mut bench = Bench::new();
        assert!(!bench.breaker.tries_stream());
        bench.missed();
        assert!(bench.breaker.tries_stream());
        bench.wait();
        bench.found(Probe::Stream, 5);
        assert_eq!((bench.breaker.state(), bench.breaker.is_stream_only()), (State::Closed, true));
        for _ in 0..20 {
            bench.now += 1_000;
            bench.breaker.ask(bench.now);
            bench.breaker.hear_stream(bench.now); // busy
        }
        assert!(bench.breaker.due() < bench.now, "UDP is tried again although it is busy");
        bench.answered();
        assert!(!bench.breaker.is_stream_only());
    }

    #[test]
    fn answers_by_tcp_do_not_hide_that_udp_is_lost() {
        let mut bench = Bench::new();
        bench.breaker.ask(bench.now);
        bench.now += 1_200;
        bench.breaker.hear_stream(bench.now); // the last resort
        assert!(bench.breaker.due() <= bench.now, "the datagrams were not answered");
        for found in [Probe::Nothing, Probe::Stream] {
            bench.wait();
            let sent = bench.now;
            bench.breaker.hear_stream(sent + 1);
            bench.breaker.probed(found, sent, sent + 5);
        }
        assert_eq!((bench.breaker.state(), bench.breaker.is_stream_only()), (State::Closed, true));
    }

    #[test]
    fn one_lost_probe_does_not_turn_a_busy_upstream_to_tcp() {
        let mut bench = Bench::new();
        bench.missed();
        bench.wait();
        let sent = bench.now;
        bench.breaker.hear(sent + 1);
        bench.breaker.probed(Probe::Stream, sent, sent + 5);
        assert!(!bench.breaker.is_stream_only());
    }

    proptest! {
        /// Whatever happens, a probe is due soon, and enough answered ones close it.
        #[test]
        fn it_never_stays_open_for_one_that_answers(
            events in proptest::collection::vec((0u8..6, 0u64..20_000), 0..60),
        ) {
            let mut bench = Bench::new();
            for (event, wait) in events {
                bench.now += wait;
                match event {
                    0 => bench.breaker.ask(bench.now),
                    1 => bench.breaker.hear(bench.now),
                    5 => bench.breaker.hear_stream(bench.now),
                    2 => { bench.missed(); }
                    3 => { bench.answered(); }
                    _ => { bench.wait(); bench.found(Probe::Stream, 3) }
                }
                prop_assert!(bench.breaker.due() <= bench.now + SLOWEST);
            }
            let before = bench.now;
            for _ in 0..=SIGNS.1 {
                bench.answered();
            }
            prop_assert_eq!(bench.breaker.state(), State::Closed);
            prop_assert!(bench.now >= before);
        }
    }
}
