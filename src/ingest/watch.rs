//! Watching a source: a named thread that turns what `notify` tells into looks of the [`Loader`] and delivers what they
//! found.
//!
//! - `pending` holds the patience: which events act at once, which wait until a file is quiet, and for how long. Pure.
//! - `layout` says which directories must be watched, symbolic links included, and holds the armed watcher.
//! - This file is the loop. Events only make it look sooner and at files younger than it would look at by itself: every
//!   look compares the whole tree, and one is taken every `Timing::compare` whatever happens. So an event that is lost,
//!   for an overflow, a network file system, a directory replaced under the watch, costs time and never the change.
//!
//! Watching does not end before the [`Watch`] does. A source that cannot be read is reported as [`Update::failure`],
//! one that cannot be watched as [`Update::unwatched`]; both are tried again, every other second at least.

mod layout;
mod pending;

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use jiff::Timestamp;

use self::layout::{Armed, Layout};
use self::pending::Pending;
use super::{Kind, Loader, Mode, Problem, Severity, Update, low_priority, pull};

/// Watches the loader's source from now on and hands every change to `deliver`, on a thread of its own.
///
/// Delivered is what changed or has to be said, a failure when it begins or changes, its end, and one update at every
/// regular comparison even if it is empty, as a sign of life. The first look is taken at once. The only error is that
/// the thread cannot be started.
pub fn watch(loader: Loader, deliver: impl FnMut(Update) + Send + 'static) -> io::Result<Watch> {
    watch_with(loader, Timing::default(), deliver)
}

/// A watched source; dropping it stops and joins its thread. That of a feed is not waited for: it may be in the middle of
/// a request.
#[derive(Debug)]
pub struct Watch {
    messages: Sender<Message>,
    looking: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Watch {
    /// Whether it is looking at its source now, or delivering what it found.
    pub fn is_looking(&self) -> bool {
        self.looking.load(Ordering::Acquire)
    }

    /// Ends the watch and waits until nothing more will be delivered.
    pub fn stop(self) {}
}

impl Drop for Watch {
    fn drop(&mut self) {
        let _ = self.messages.send(Message::Stop);
        // `deliver` may own the watch and drop it; a thread cannot wait for itself.
        if let Some(thread) = self.thread.take().filter(|thread| thread.thread().id() != thread::current().id()) {
            let _ = thread.join();
        }
    }
}

#[derive(Debug)]
pub(super) enum Message {
    Event(notify::Result<notify::Event>),
    Stop,
}

/// The clocks of the loop.
#[derive(Clone, Copy, Debug)]
struct Timing {
    /// From one look to the next at least, and at least this many times what a look took: so a burst is taken in few
    /// looks, and looking at many files does not take a core.
    coalesce: (Duration, u32),
    /// From one comparison to the next at most.
    compare: Duration,
    /// First and longest wait before a source that cannot be watched is tried again.
    retry: (Duration, Duration),
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            coalesce: (Duration::from_millis(2), 4),
            compare: Duration::from_secs(30),
            retry: (Duration::from_millis(100), Duration::from_secs(2)),
        }
    }
}

fn watch_with(loader: Loader, timing: Timing, deliver: impl FnMut(Update) + Send + 'static) -> io::Result<Watch> {
    let (messages, inbox) = mpsc::channel();
    let name = format!("watch-{}", loader.source().order);
    let now = Instant::now();
    let looking = Arc::new(AtomicBool::new(false));
    let loader = match loader.into_pull() {
        Ok(pull) => {
            pull::spawn(*pull, name, inbox, deliver)?;
            return Ok(Watch { messages, looking, thread: None }); // no list waits for a feed
        }
        Err(loader) => *loader,
    };
    let watcher = Watcher {
        timing,
        pending: Pending::new(Layout::of(&loader.source().kind).quiet()),
        armed: None,
        events: messages.clone(),
        loader,
        deliver,
        looking: looking.clone(),
        failure: None,
        unwatched: None,
        retry: timing.retry.0,
        last_look: None,
        next_compare: now,
        next_try: Some(now),
    };
    let is_list = matches!(watcher.loader.source().kind, Kind::List { .. });
    let thread = thread::Builder::new().name(name).spawn(move || {
        if is_list {
            low_priority(); // it takes long; a notice does not, and should not wait for others
        }
        watcher.run(&inbox);
    })?;
    Ok(Watch { messages, looking, thread: Some(thread) })
}

struct Watcher<D> {
    timing: Timing,
    loader: Loader,
    deliver: D,
    looking: Arc<AtomicBool>,
    events: Sender<Message>,
    armed: Option<Armed>,
    pending: Pending,
    failure: Option<Problem>, // those last delivered
    unwatched: Option<Problem>,
    retry: Duration,
    last_look: Option<(Instant, Duration)>, // when it ended, and how long it took
    next_compare: Instant,
    next_try: Option<Instant>, // a look that no event asked for
}

impl<D: FnMut(Update)> Watcher<D> {
    fn run(mut self, inbox: &Receiver<Message>) {
        while self.wait(inbox) {
            self.looking.store(true, Ordering::Release);
            self.look();
            self.looking.store(false, Ordering::Release); // what it found has been delivered
        }
    }

    /// Takes in events until it is time to look. Returns `false` when the watch is over.
    fn wait(&mut self, inbox: &Receiver<Message>) -> bool {
        loop {
            // All that has come is taken in first: it may say that a file due now is being written again.
            let now = Instant::now();
            let timeout = self.next_look().saturating_duration_since(now);
            match inbox.recv_timeout(timeout) {
                Ok(Message::Event(event)) => self.take_in(event),
                Ok(Message::Stop) | Err(RecvTimeoutError::Disconnected) => return false,
                Err(RecvTimeoutError::Timeout) => return true,
            }
        }
    }

    fn next_look(&self) -> Instant {
        let wanted = [self.pending.next(), self.next_try].into_iter().flatten().fold(self.next_compare, Instant::min);
        match self.last_look {
            Some((last, took)) => wanted.max(last + self.timing.coalesce.0.max(took * self.timing.coalesce.1)),
            None => wanted,
        }
    }

    fn take_in(&mut self, event: notify::Result<notify::Event>) {
        let now = Instant::now();
        match (event, &self.armed) {
            (Ok(event), _) if event.need_rescan() => self.pending.compare_at(now),
            (Ok(event), Some(armed)) => {
                if self.pending.note(&event, armed.layout(), now) {
                    self.armed = None;
                    self.next_try = Some(now + pending::ABSENT);
                }
            }
            (Ok(_), None) => {} // from a watch given up; the look to come sees it
            (Err(_), _) => {
                self.armed = None;
                self.pending.compare_at(now);
            }
        }
    }

    fn look(&mut self) {
        let now = Instant::now();
        let is_comparison = now >= self.next_compare;
        if is_comparison {
            self.next_compare = now + self.timing.compare;
        }
        let is_try = self.next_try.is_some_and(|at| at <= now);
        let asked = is_comparison || is_try || self.pending.compares(now);
        // what a file was left alone for is still to be looked at then
        let soon = self.next_try.take().filter(|_| !is_try);
        let (moved, trouble) = self.arm(); // before the look, so that nothing falls between the two
        let (mut ready, held) = self.pending.take(now);
        ready.extend(moved.into_iter().filter(|name| !held.contains(name)));
        let mode = Mode::Watched { ready: &ready, held: &held, only: !asked };
        let loader = &mut self.loader;
        let mut update =
            catch_unwind(AssertUnwindSafe(|| loader.scan(Timestamp::now(), mode))).unwrap_or_else(|_| self.panicked());
        update.unwatched = trouble;
        self.schedule();
        self.next_try = self.next_try.into_iter().chain(soon).min();
        self.last_look = Some((Instant::now(), now.elapsed()));
        let trouble_changed = update.failure != self.failure || update.unwatched != self.unwatched;
        let changes_something = update.is_news();
        if is_comparison || trouble_changed || changes_something {
            self.failure.clone_from(&update.failure);
            self.unwatched.clone_from(&update.unwatched);
            (self.deliver)(update);
        }
    }

    /// Watches the directories the source lies in now. Returns the files whose links were moved since, and what is
    /// wrong if the directories cannot be watched.
    fn arm(&mut self) -> (BTreeSet<OsString>, Option<Problem>) {
        let layout = Layout::of(&self.loader.source().kind);
        if self.armed.as_ref().is_some_and(|armed| *armed.layout() == layout) {
            return (BTreeSet::new(), None);
        }
        // The old watches go first: their number is limited.
        let moved = self.armed.take().map(|armed| layout.moved_since(armed.layout())).unwrap_or_default();
        match Armed::new(layout, self.events.clone()) {
            Ok(armed) => {
                self.armed = Some(armed);
                (moved, None)
            }
            Err(error) => {
                let message = format!("the source cannot be watched, only looked at now and then: {error}");
                let hint = "see fs.inotify.max_user_watches and fs.inotify.max_user_instances";
                (moved, Some(Problem { severity: Severity::Warning, ..self.problem("watch", message, hint) }))
            }
        }
    }

    /// When to look again without being asked.
    fn schedule(&mut self) {
        let now = Instant::now();
        self.next_try = self.loader.again().map(|soon| now + soon);
        if self.armed.as_ref().is_some_and(Armed::is_complete) {
            self.retry = self.timing.retry.0;
            return;
        }
        let retry = now + self.retry;
        self.next_try = Some(self.next_try.map_or(retry, |soon| soon.min(retry)));
        self.retry = (self.retry * 2).min(self.timing.retry.1);
    }

    fn panicked(&self) -> Update {
        let message = "reading the source failed in an unforeseen way".to_owned();
        let mut update = Update::empty(&self.loader.source().name, Timestamp::now());
        update.failure = Some(self.problem("internal", message, "please report this with the file"));
        update
    }

    fn problem(&self, code: &'static str, message: String, hint: &str) -> Problem {
        let file = layout::root(&self.loader.source().kind).to_owned();
        let hint = Some(hint.to_owned());
        Problem { severity: Severity::Error, file, line: None, column: None, message, hint, code }
    }
}

#[cfg(test)]
mod tests;
