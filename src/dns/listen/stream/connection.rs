//! [`serve`]: one connection, in one task, over any stream.
//!
//! The task goes round: answer the frames that are whole, take answers that have become ready, write, read. It reads
//! only while there is room for answers, so that a client that asks without reading stalls nobody but itself. What it
//! asked before that may still come: [`Unwritten`] bounds the octets of that, and answers beyond it become SERVFAIL.
//! Answers leave in the order in which they become ready (RFC 7766 §7), each with its length before it, and all that
//! are ready in one write (§8).
//!
//! It ends when the client closes, after what was read has been answered; when a frame cannot be one; and when one of
//! the [`Limits`]' times is over or [`Places`](super::places::Places) says so. What counts as activity is an answer:
//! octets that trickle in, and messages nobody answers, hold no connection open.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::mem::MaybeUninit;
use std::net::IpAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::{Sleep, sleep, timeout};

use super::Limits;
use super::places::Place;
use crate::dns::core::{Asker, Core, Fast, View};
use crate::dns::miss::Permit;
use crate::dns::wire::HEADER;
use crate::observe::counters::{Closed, Counters, Dropped, Path, Transport};

/// Largest answer: the length has two octets.
const MAX_ANSWER: usize = u16::MAX as usize;
/// Octets read at a time, into the stack.
const READ: usize = 4_096;
/// Octets of answers that are ready and not written from which on nothing is read or answered.
const ENOUGH: usize = 64 << 10;
/// Most of them, but for errors: four of the largest answers, or 64 (the default pipeline) of 4,000 octets, more
/// than any that is not made to be large.
const MOST: usize = 256 << 10;
/// Rounds before other tasks get their turn.
const ROUNDS: usize = 32;
/// How long, and for how many octets, a client is listened to after our end of the connection was closed: closing both
/// ends with octets unread would make the kernel take back answers that are on their way.
const LINGER: (Duration, u64) = (Duration::from_millis(500), 64 << 10);

thread_local! {
    /// Where answers are written first.
    static SCRATCH: RefCell<Box<[u8]>> = RefCell::new(vec![0; MAX_ANSWER].into());
}

/// Serves a client until its connection ends; returns why it did.
pub async fn serve<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    client: IpAddr,
    place: Place,
    core: Arc<Core>,
    counters: Arc<Counters>,
) -> Closed {
    let mut connection = Connection {
        stream,
        client,
        place,
        core,
        counters,
        input: Vec::new(),
        output: Vec::new(),
        written: 0,
        sent: 0,
        unwritten: Unwritten::default(),
        ready: None,
        under_way: 0,
        ending: None,
        times: Times { idle_since: Instant::now(), frame_since: None, write_until: None },
        marked: true,
        timer: Box::pin(sleep(Duration::ZERO)),
    };
    let why = poll_fn(|cx| connection.poll(cx)).await;
    connection.close(why).await;
    why
}

struct Connection<S> {
    stream: S,
    client: IpAddr,
    place: Place,
    core: Arc<Core>,
    counters: Arc<Counters>,
    /// What was read and is not a whole frame yet, or waits for room.
    input: Vec<u8>,
    /// Answers with their lengths; of them this many octets are written.
    output: Vec<u8>,
    written: usize,
    /// Octets written in all.
    sent: u64,
    /// What is in the output and on its way there.
    unwritten: Unwritten,
    /// How answers of questions under way come back; there while there are any.
    ready: Option<Answers>,
    under_way: usize,
    /// Set: nothing is read any more.
    ending: Option<Closed>,
    times: Times,
    /// Whether the place is marked idle since [`Times::idle_since`].
    marked: bool,
    timer: Pin<Box<Sleep>>,
}

/// How many octets of answers are ready and not written; seen by the tasks that answer.
#[derive(Clone, Debug, Default)]
struct Unwritten(Arc<AtomicUsize>);

impl Unwritten {
    fn octets(&self) -> usize {
        self.0.load(Relaxed)
    }

    fn add(&self, octets: usize) {
        self.0.fetch_add(octets, Relaxed);
    }

    /// Adds an answer if there is room for it.
    fn add_within(&self, octets: usize) -> bool {
        let more = |held: usize| held.checked_add(octets).filter(|sum| *sum <= MOST);
        self.0.fetch_update(Relaxed, Relaxed, more).is_ok()
    }

    fn written(&self, octets: usize) {
        self.0.fetch_sub(octets, Relaxed);
    }
}

/// Framed answers, or nothing where a message gets none.
type Answers = (UnboundedSender<Vec<u8>>, UnboundedReceiver<Vec<u8>>);

struct Times {
    /// Since the last answer.
    idle_since: Instant,
    /// Since the first octet of a frame came of which the last is missing.
    frame_since: Option<Instant>,
    /// When as many octets as this must have been sent.
    write_until: Option<(u64, Instant)>,
}

/// The start of a stream of frames.
#[derive(Debug, PartialEq, Eq)]
enum Frame<'a> {
    /// A message and what follows it.
    Whole(&'a [u8], &'a [u8]),
    /// Not all of it is there.
    Part,
    /// Without room for a header: nothing behind it can be trusted.
    Broken,
}

impl<'a> Frame<'a> {
    fn read(octets: &'a [u8]) -> Self {
        let Some((len, rest)) = octets.split_first_chunk::<2>() else { return Self::Part };
        let len = usize::from(u16::from_be_bytes(*len));
        if len < HEADER {
            return Self::Broken;
        }
        rest.split_at_checked(len).map_or(Self::Part, |(message, after)| Self::Whole(message, after))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<S> {
    /// Does what can be done without waiting.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Closed> {
        let limits = self.place.limits(&self.core.settings().tcp);
        for _ in 0..ROUNDS {
            self.answer_frames(&limits);
            self.collect(cx); // after it: what was just asked must be able to wake us
            if self.write(cx, &limits).is_err() {
                return Poll::Ready(Closed::Client);
            }
            if self.has_room(&limits) && !matches!(Frame::read(&self.input), Frame::Part) {
                continue; // writing made room
            }
            match self.ending {
                Some(why) if !self.is_busy() => return Poll::Ready(why),
                Some(_) => {}
                None => match self.listen(cx, &limits) {
                    Poll::Ready(Ok(None)) => continue,
                    Poll::Ready(Ok(Some(why))) => {
                        self.ending = Some(why);
                        continue;
                    }
                    Poll::Ready(Err(_)) => return Poll::Ready(Closed::Client),
                    Poll::Pending => {}
                },
            }
            match self.late(cx, &limits) {
                Poll::Ready(Late::Writing) => return Poll::Ready(Closed::Slow),
                Poll::Ready(Late::Reading(why)) => self.ending = Some(why),
                Poll::Pending => {
                    self.mark();
                    return Poll::Pending;
                }
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn is_busy(&self) -> bool {
        self.under_way > 0 || self.written < self.output.len()
    }

    fn has_room(&self, limits: &Limits) -> bool {
        self.under_way < limits.pipeline && self.unwritten.octets() < ENOUGH
    }

    /// Takes the answers that have become ready.
    fn collect(&mut self, cx: &mut Context<'_>) {
        while let Some((_, receiver)) = &mut self.ready
            && let Poll::Ready(Some(answer)) = receiver.poll_recv(cx)
        {
            self.output.extend_from_slice(&answer);
            self.times.idle_since = Instant::now();
            self.marked = false;
            self.under_way -= 1;
            if self.under_way == 0 {
                self.ready = None;
            }
        }
    }

    /// Answers frames that are whole while there is room for their answers.
    fn answer_frames(&mut self, limits: &Limits) {
        if !matches!(Frame::read(&self.input), Frame::Part) && self.has_room(limits) {
            let input = std::mem::take(&mut self.input);
            let left = SCRATCH.with_borrow_mut(|scratch| self.answer_all(&input, limits, scratch));
            self.input = input[input.len() - left..].to_vec(); // nothing, mostly, and then nothing is held
            self.times.frame_since = None;
        }
        let is_within = !self.input.is_empty() && self.has_room(limits);
        self.times.frame_since = self.times.frame_since.or_else(|| Some(Instant::now())).filter(|_| is_within);
    }

    /// Returns how many octets are left over.
    fn answer_all(&mut self, mut input: &[u8], limits: &Limits, scratch: &mut [u8]) -> usize {
        let core = self.core.clone();
        let (policy, settings, counters) = (core.policy(), core.settings(), self.counters.clone());
        let preview = core.preview();
        let asker = Asker::stream(self.client, self.place.offered(limits, self.ending.is_some()));
        let started = Instant::now();
        let view = View {
            policy: &policy,
            settings: &settings,
            counters: &counters,
            now: core.clock.at(started),
            near: None,
            preview: preview.as_deref(),
        };
        while self.has_room(limits) {
            match Frame::read(input) {
                Frame::Whole(message, after) => {
                    self.answer(message, asker, &view, started, scratch);
                    input = after;
                }
                Frame::Part => break,
                Frame::Broken => {
                    self.ending = Some(Closed::Framing);
                    return 0;
                }
            }
        }
        input.len()
    }

    /// Answers one message, at once or later.
    fn answer(&mut self, message: &[u8], asker: Asker, view: &View<'_>, started: Instant, scratch: &mut [u8]) {
        let core = &*self.core;
        let mut permit = None; // to wait for an upstream
        let answer = || {
            let fast = core.fast(message, &asker, view, scratch);
            if fast != Fast::Miss {
                return fast;
            }
            match core.permit(message) {
                Ok(given) => permit = Some(given),
                Err(shed) => return core.overloaded(message, &asker, shed, view.counters, scratch),
            }
            fast
        };
        // the answer is written from scratch and counters are atomic: a panic leaves nothing half done
        let fast = catch_unwind(AssertUnwindSafe(answer)).unwrap_or_else(|_| {
            view.counters.dropped(Dropped::Panic);
            Fast::Drop
        });
        if fast == Fast::Drop {
            return;
        }
        view.counters.query(Transport::Tcp);
        self.times.idle_since = started;
        self.marked = false;
        match (fast, permit) {
            (Fast::Reply(len, path), _) => {
                self.unwritten.add(2 + len);
                self.output.extend_from_slice(&(len as u16).to_be_bytes());
                self.output.extend_from_slice(&scratch[..len]);
                took(path, started, view.counters);
            }
            (Fast::Miss, Some(permit)) => self.ask(message.into(), asker, started, permit),
            (Fast::Miss | Fast::Held | Fast::Drop, _) => {}
        }
    }

    /// Has an upstream asked. The question is a task of its own: it goes on when the client leaves, and its answer is
    /// kept.
    fn ask(&mut self, message: Box<[u8]>, asker: Asker, started: Instant, permit: Permit) {
        let sender = self.ready.get_or_insert_with(unbounded_channel).0.clone();
        let (core, counters, unwritten) = (self.core.clone(), self.counters.clone(), self.unwritten.clone());
        self.under_way += 1;
        tokio::spawn(async move {
            let answer = async {
                let awaited = core.wait(&message, &counters).await;
                SCRATCH.with_borrow_mut(|out| {
                    let fast = core.conclude(&message, &asker, awaited, &counters, out);
                    let Some((mut len, mut path)) = reply(fast) else { return Vec::new() };
                    if !unwritten.add_within(2 + len) {
                        let Some(error) = reply(core.unread(&message, &asker, &counters, out)) else {
                            return Vec::new();
                        };
                        (len, path) = error;
                        unwritten.add(2 + len);
                    }
                    took(path, started, &counters);
                    [&(len as u16).to_be_bytes(), &out[..len]].concat()
                })
            };
            let framed = AssertUnwindSafe(answer).catch_unwind().await.unwrap_or_else(|_| {
                counters.dropped(Dropped::Panic);
                Vec::new()
            });
            drop(permit);
            let _ = sender.send(framed); // the client may be gone
        });
    }

    /// Writes as much as the kernel takes.
    fn write(&mut self, cx: &mut Context<'_>, limits: &Limits) -> io::Result<()> {
        while self.written < self.output.len() {
            match Pin::new(&mut self.stream).poll_write(cx, &self.output[self.written..]) {
                Poll::Ready(Ok(0)) => return Err(io::ErrorKind::WriteZero.into()),
                Poll::Ready(Ok(octets)) => {
                    self.written += octets;
                    self.sent += octets as u64;
                    self.unwritten.written(octets);
                }
                Poll::Ready(Err(error)) => return Err(error),
                Poll::Pending => break,
            }
        }
        if self.written == self.output.len() {
            if self.written > 0 {
                self.times.idle_since = Instant::now();
                self.marked = false;
            }
            self.output = Vec::new();
            (self.written, self.times.write_until) = (0, None);
            return Ok(());
        }
        if self.written > self.output.len() / 2 {
            self.output.drain(..self.written);
            self.written = 0;
        }
        if self.times.write_until.is_none_or(|(octets, _)| self.sent >= octets) {
            let queued = self.sent + (self.output.len() - self.written) as u64;
            self.times.write_until = Some((queued, Instant::now() + limits.write));
        }
        Ok(())
    }

    /// Waits for octets, or to be told to end; `Some` when nothing is to be read any more.
    fn listen(&mut self, cx: &mut Context<'_>, limits: &Limits) -> Poll<io::Result<Option<Closed>>> {
        if let Poll::Ready(why) = self.place.told(cx) {
            return Poll::Ready(Ok(Some(why)));
        }
        if !self.has_room(limits) {
            return Poll::Pending; // an answer or the writer will wake us
        }
        let mut octets = [const { MaybeUninit::uninit() }; READ];
        let mut octets = ReadBuf::uninit(&mut octets);
        ready!(Pin::new(&mut self.stream).poll_read(cx, &mut octets))?;
        self.input.extend_from_slice(octets.filled());
        Poll::Ready(Ok(octets.filled().is_empty().then_some(Closed::Client)))
    }

    /// Waits until one of the times is over.
    fn late(&mut self, cx: &mut Context<'_>, limits: &Limits) -> Poll<Late> {
        let writing = self.times.write_until.map(|(_, until)| (until, Late::Writing));
        let frame = self.times.frame_since.map(|since| (since + limits.frame, Late::Reading(Closed::Slow)));
        // a frame that has begun may still become whole, but frames nobody answers prolong nothing
        let grace = if frame.is_some() { limits.frame } else { Duration::ZERO };
        let idle = self.times.idle_since + self.place.idle(limits) + grace;
        let idle = (!self.is_busy()).then_some((idle, Late::Reading(Closed::Idle)));
        let reading = frame.into_iter().chain(idle).filter(|_| self.ending.is_none());
        let Some((until, late)) = writing.into_iter().chain(reading).min_by_key(|(until, _)| *until) else {
            return Poll::Pending; // questions under way: they have their own time
        };
        if self.timer.deadline() != until.into() {
            self.timer.as_mut().reset(until.into());
        }
        self.timer.as_mut().poll(cx).map(|()| late)
    }

    /// Lets [`Places`](super::places::Places) know whether this connection may give way to another.
    fn mark(&mut self) {
        if !self.marked {
            self.place.mark((!self.is_busy()).then_some(self.times.idle_since));
            self.marked = true;
        }
    }

    /// Closes our end, and the client's when it had a moment to read the answers.
    async fn close(mut self, why: Closed) {
        let _ = timeout(LINGER.0, self.stream.shutdown()).await; // it may be gone
        let mut rest = self.stream.take(LINGER.1);
        let linger = async { timeout(LINGER.0, tokio::io::copy(&mut rest, &mut tokio::io::sink())).await };
        match why {
            Closed::Framing => {
                self.place.mark(Some(Instant::now())); // it may give way
                tokio::select! {
                    _ = linger => {}
                    _ = poll_fn(|cx| self.place.told(cx)) => {}
                }
            }
            Closed::Shutdown => {
                drop(self.place); // nobody waits for this
                let _ = linger.await;
            }
            Closed::Client | Closed::Idle | Closed::Evicted | Closed::Limit | Closed::Slow => {}
        }
    }
}

/// A time is over.
#[derive(Clone, Copy)]
enum Late {
    /// The client does not read: what it was to get is given up.
    Writing,
    /// The client sends nothing, or not fast enough.
    Reading(Closed),
}

/// Length and path of an answer that leaves.
fn reply(fast: Fast) -> Option<(usize, Option<Path>)> {
    match fast {
        Fast::Reply(len, path) => Some((len, path)),
        Fast::Drop | Fast::Held | Fast::Miss => None,
    }
}

fn took(path: Option<Path>, started: Instant, counters: &Counters) {
    counters.took(path.unwrap_or(Path::Forwarded), started.elapsed(), u64::from(path.is_some()));
}
