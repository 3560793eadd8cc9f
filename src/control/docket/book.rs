//! [`Book`]: the ledger as the control plane writes it. What cannot be written now is kept where nothing is lost by that, and
//! the control plane takes nothing in until it can be.

use jiff::Timestamp;

use crate::ledger::{Digest, Event, Head, Ledger, LedgerError, Payload};
use crate::observe::metrics::LedgerMetrics;

/// Events that may wait to be written; more of them are dropped, so that a full disk does not fill memory: they follow from
/// others.
const MOST: usize = 100_000;

/// See the module's header.
#[derive(Debug)]
pub(super) struct Book {
    ledger: Option<Ledger>,
    /// What follows from records that are written: it can wait.
    pending: Vec<Event>,
    /// Why nothing can be written.
    trouble: Option<String>,
    metrics: LedgerMetrics,
}

impl Book {
    /// Without a ledger nothing is taken in: it is damaged, or another process has it.
    pub(super) fn new(ledger: Option<Ledger>, metrics: LedgerMetrics) -> Self {
        let book = Self { ledger, pending: Vec::new(), trouble: None, metrics };
        book.show();
        book
    }

    /// Whether something can be recorded at all.
    pub(super) fn is_open(&self) -> bool {
        self.ledger.is_some()
    }

    /// Gives the ledger up, after writing what waits.
    pub(super) fn close(&mut self, now: Timestamp) {
        self.flush(now);
        self.ledger = None;
    }

    /// Where the chain ends.
    pub(super) fn head(&self) -> Head {
        self.ledger.as_ref().map_or_else(Head::origin, Ledger::head)
    }

    /// The number of the record that will be written after all that wait and `more`.
    pub(super) fn next(&self, more: usize) -> u64 {
        self.head().sequence + (self.pending.len() + more) as u64 + 1
    }

    /// Records something that follows from what is recorded, with the next append.
    pub(super) fn later(&mut self, event: Event) {
        if self.ledger.is_some() && self.pending.len() < MOST {
            self.pending.push(event);
        }
    }

    /// Whether something waits to be written.
    pub(super) fn has_pending(&self) -> bool {
        !self.pending.is_empty()
    }

    /// Records these events behind those that wait: when it returns well, all are on the disk. Otherwise none of the
    /// `events` is, and the reason is given.
    pub(super) fn append(&mut self, events: Vec<Event>, payloads: &[Payload], now: Timestamp) -> Result<Head, String> {
        let Some(ledger) = &mut self.ledger else { return Err("the ledger cannot be used".to_owned()) };
        let waiting = self.pending.len();
        self.pending.extend(events);
        match ledger.append(now, &self.pending, payloads) {
            Ok(head) => {
                if self.trouble.take().is_some() {
                    tracing::info!("the ledger can be written again");
                }
                self.metrics.records.inc_by(self.pending.len() as u64);
                self.pending.clear();
                self.show();
                Ok(head)
            }
            Err(error) => {
                self.pending.truncate(waiting);
                self.metrics.append_failures.inc();
                let error = error.to_string();
                if self.trouble.as_ref() != Some(&error) {
                    tracing::error!("{error}; nothing new is taken in until it can be recorded");
                }
                self.trouble = Some(error.clone());
                Err(error)
            }
        }
    }

    /// Writes what waits.
    pub(super) fn flush(&mut self, now: Timestamp) {
        if self.has_pending() && self.is_open() {
            let _ = self.append(Vec::new(), &[], now); // said and counted there; it goes on waiting
        }
    }

    /// A payload as received.
    pub(super) fn payload(&self, digest: &Digest) -> Result<Option<Vec<u8>>, LedgerError> {
        self.ledger.as_ref().map_or(Ok(None), |ledger| ledger.payload(digest))
    }

    /// The ledger, to be read from its beginning.
    pub(super) fn ledger(&self) -> Option<&Ledger> {
        self.ledger.as_ref()
    }

    fn show(&self) {
        if let Some(ledger) = &self.ledger {
            self.metrics.head(ledger.head().sequence, &ledger.head().hash.to_string());
        }
    }
}
