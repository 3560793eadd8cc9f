//! [`Connection`]: many questions on one TCP connection to an upstream, answers in any order (RFC 7766 §6.2.1.1, §7).
//!
//! hickory puts messages into frames and takes them out again. What answers what is decided here, by the rule of `udp`:
//! our id, drawn anew for each question, and our question. hickory's own `DnsExchange` reads every message first and
//! loses one with a record it refuses; RFC 3597 §3 wants unknown data passed on.
//!
//! ```text
//!   ask --> Table --octets--> TcpStream --> upstream
//!    ^        |                   |
//!    +-answer-+<---- Reader <-----+
//! ```
//!
//! The reader is a task, which ends when the upstream closes the connection or sends what cannot be a message, when the
//! connection is idle, and when it is dropped. Whoever waits then hears at once.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::StreamExt as _;
use hickory_resolver::net::runtime::DnsTcpStream;
use hickory_resolver::net::tcp::TcpStream;
use hickory_resolver::net::xfer::{BufDnsStreamHandle, DnsStreamHandle};
use hickory_resolver::proto::op::SerialMessage;
use prometheus::IntCounter;
use tokio::sync::oneshot;
use tokio::task::AbortHandle;
use tokio::time::{Instant, interval_at};

use super::message::{self, Edns};
use crate::dns::answer::{Answer, Bad};
use crate::dns::resolve::Question;
use crate::dns::wire::HEADER;

/// Questions in flight on the connection.
const MAX_IN_FLIGHT: usize = 256;
/// A connection that no question has used from one look at it to the next is closed, so after five to ten seconds: a
/// client is to keep idle ones short (RFC 7766 §6.2.3), and most servers wait longer, so it is seldom they who close.
const IDLE: Duration = Duration::from_secs(5);

/// See the module's header. Dropped, it is closed.
pub(super) struct Connection {
    table: Arc<Mutex<Table>>,
    reader: AbortHandle,
}

impl Connection {
    /// On a socket that is connected to this address; `mismatches` counts the messages that answer no question. To be
    /// called within the runtime that carries it.
    pub(super) fn new(socket: impl DnsTcpStream, address: SocketAddr, trust_ad: bool, mismatches: IntCounter) -> Self {
        let (frames, outbound) = TcpStream::from_stream_with_buffer_size(socket, address, MAX_IN_FLIGHT);
        let table = Table { outbound, address, waiting: HashMap::new(), used: true, forgone: 0 };
        let table = Arc::new(Mutex::new(table));
        let reader = Reader { table: table.clone(), trust_ad, mismatches };
        Self { table, reader: tokio::spawn(reader.run(frames)).abort_handle() }
    }

    /// Sends the question and waits for its answer for as long as the caller does, or until the connection ends.
    pub(super) async fn ask(&self, question: &Question, edns: Edns) -> io::Result<Result<Answer, Bad>> {
        let (sender, receiver) = oneshot::channel();
        let id = lock(&self.table).ask(question, edns, sender)?;
        let _slot = Slot { table: &self.table, id };
        receiver.await.map_err(|_| ended())
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

/// Who waits for what.
struct Table {
    /// The queue of what is to be sent; the other end goes with the connection.
    outbound: BufDnsStreamHandle,
    address: SocketAddr,
    /// By the id of the message.
    waiting: HashMap<[u8; 2], Asker>,
    /// A question has come since the reader last looked.
    used: bool,
    /// Questions whose askers have gone: their answers may still come.
    forgone: usize,
}

struct Asker {
    section: Vec<u8>,
    /// None once the answer has come: the id stays taken until the asker has it.
    answer: Option<oneshot::Sender<Result<Answer, Bad>>>,
}

impl Table {
    /// Sends the question under an id of its own and returns that.
    fn ask(
        &mut self,
        question: &Question,
        edns: Edns,
        answer: oneshot::Sender<Result<Answer, Bad>>,
    ) -> io::Result<[u8; 2]> {
        if self.waiting.len() >= MAX_IN_FLIGHT {
            return Err(io::ErrorKind::ResourceBusy.into()); // see is_busy
        }
        let mut id = rand::random();
        while self.waiting.contains_key(&id) {
            id = rand::random(); // most are free
        }
        let message = message::write(id, question, edns, None);
        // an error: the connection has ended, or the queue is full since the upstream does not read
        self.outbound.send(SerialMessage::new(message, self.address)).map_err(|_| ended())?;
        self.waiting.insert(id, Asker { section: question.section.clone(), answer: Some(answer) });
        self.used = true;
        Ok(id)
    }

    /// Whether nobody waits, and nobody has since this was last asked.
    fn is_idle(&mut self) -> bool {
        self.waiting.is_empty() && !std::mem::take(&mut self.used)
    }
}

/// A place in the table, given back when the asker has his answer or goes.
struct Slot<'a> {
    table: &'a Mutex<Table>,
    id: [u8; 2],
}

impl Drop for Slot<'_> {
    fn drop(&mut self) {
        let mut table = lock(self.table);
        let asker = table.waiting.remove(&self.id);
        table.forgone += usize::from(asker.is_some_and(|asker| asker.answer.is_some()));
    }
}

/// Hands out what comes. Dropped, for whatever reason, it leaves nobody waiting; its end of the queue has gone before
/// it, so nobody begins to wait any more.
struct Reader {
    table: Arc<Mutex<Table>>,
    trust_ad: bool,
    mismatches: IntCounter,
}

impl Reader {
    async fn run<S: DnsTcpStream>(self, mut frames: TcpStream<S>) {
        let mut looks = interval_at(Instant::now() + IDLE, IDLE);
        loop {
            tokio::select! {
                frame = frames.next() => match frame {
                    Some(Ok(frame)) if self.hand_out(frame.bytes()) => {}
                    _ => return,
                },
                _ = looks.tick() => if lock(&self.table).is_idle() { return },
            }
        }
    }

    /// Gives the message to whom it answers, if to anybody; false if it cannot be one, and nothing behind it either.
    fn hand_out(&self, message: &[u8]) -> bool {
        let Some(id) = message.get(..HEADER).and_then(|header| header.first_chunk::<2>()) else { return false };
        let mut table = lock(&self.table);
        match table.waiting.get_mut(id) {
            Some(asker) => match Answer::parse(message, &asker.section, self.trust_ad) {
                Err(Bad::Mismatch) => self.mismatches.inc(),
                outcome => match asker.answer.take() {
                    Some(answer) => drop(answer.send(outcome)), // he may be about to go
                    None => self.mismatches.inc(),
                },
            },
            None => match table.forgone.checked_sub(1) {
                Some(rest) => table.forgone = rest,
                None => self.mismatches.inc(),
            },
        }
        true
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        lock(&self.table).waiting.clear();
    }
}

/// Whether it only says that as many questions are under way as may be.
pub(super) fn is_busy(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::ResourceBusy
}

fn ended() -> io::Error {
    io::ErrorKind::ConnectionAborted.into()
}

fn lock(table: &Mutex<Table>) -> MutexGuard<'_, Table> {
    table.lock().unwrap_or_else(PoisonError::into_inner) // every change is one step: a panic leaves it whole
}

#[cfg(test)]
pub(super) mod tests;
