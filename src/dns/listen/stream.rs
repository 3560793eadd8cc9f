//! DNS over streams: two-octet frames (RFC 7766), many queries a connection, answered as they become ready.
//!
//! [`Limits`]: connections in all, questions waiting on one connection (reading stops there), idle time. A client that does
//! not read its answers stalls its own connection only. Strangers, whom `allow` does not name, have few connections of their
//! own and little time on them: they are to hear REFUSED, not to keep clients out.

use std::io;
use std::net::IpAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio::time::{timeout, timeout_at};

use crate::dns::core::{Asker, Core, Fast, View};
use crate::dns::wire::HEADER;
use crate::observe::counters::{Counters, Path, Transport};

/// Connections of clients served at a time; further ones wait in the kernel's queue.
const MAX_CONNECTIONS: usize = 1_024;
/// Connections of strangers served at a time; further ones are closed.
const MAX_STRANGERS: usize = 64;
/// Answers a connection may have under way or unread.
const PIPELINE: usize = 64;
/// How long a connection may be idle, or its client not read (RFC 7766 §6.2.3: a few seconds).
const IDLE: Duration = Duration::from_secs(10);
/// The same for strangers.
const STRANGER_IDLE: Duration = Duration::from_secs(1);
/// How long connections are read from once the server stops. Clients ask again what was lost with a connection (RFC
/// 7766 §6.2.4), but those that have just connected, or have a query on its way, should not have to.
const LAST_READS: Duration = Duration::from_secs(1);
/// Largest answer: the length has two octets.
const MAX_ANSWER: usize = u16::MAX as usize;
/// Rest after accept() failed, as it does without pause when file descriptors run out.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How many connections may be served at a time, over all listeners.
#[derive(Clone, Debug)]
pub struct Limits {
    clients: Arc<Semaphore>,
    strangers: Arc<Semaphore>,
}

impl Default for Limits {
    fn default() -> Self {
        let slots = |count| Arc::new(Semaphore::new(count));
        Self { clients: slots(MAX_CONNECTIONS), strangers: slots(MAX_STRANGERS) }
    }
}

impl Limits {
    /// A place for a connection and how long it may be idle; `None` if it is to be closed.
    async fn place(&self, is_client: bool) -> Option<(OwnedSemaphorePermit, Duration)> {
        if is_client {
            return Some((self.clients.clone().acquire_owned().await.ok()?, IDLE));
        }
        Some((self.strangers.clone().try_acquire_owned().ok()?, STRANGER_IDLE))
    }
}

/// Accepts connections until `stop` turns true.
pub async fn listen(
    listener: TcpListener,
    core: Arc<Core>,
    limits: Limits,
    counters: Arc<Counters>,
    mut stop: watch::Receiver<bool>,
) {
    loop {
        let next = async {
            let (stream, peer) = listener.accept().await?;
            let is_client = core.settings().allow.contains(peer.ip());
            io::Result::Ok((stream, peer.ip(), limits.place(is_client).await))
        };
        let accepted = tokio::select! {
            accepted = next => accepted,
            _ = stop.wait_for(|stop| *stop) => return,
        };
        match accepted {
            Ok((stream, client, Some((place, idle)))) => {
                let _ = stream.set_nodelay(true);
                let connection = Connection { client, idle, core: core.clone(), counters: counters.clone() };
                let stop = stop.clone();
                tokio::spawn(async move {
                    connection.serve(stream, stop).await;
                    drop(place);
                });
            }
            Ok((.., None)) => {}
            Err(error) => {
                tracing::warn!(%error, "accepting a TCP connection failed");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// One connection.
struct Connection {
    client: IpAddr,
    idle: Duration,
    core: Arc<Core>,
    counters: Arc<Counters>,
}

impl Connection {
    /// Serves until the client closes, goes idle or breaks the framing, or `stop` has been true for a while; queries
    /// read by then are answered.
    async fn serve(self, stream: impl AsyncRead + AsyncWrite + Send + 'static, mut stop: watch::Receiver<bool>) {
        let (mut reader, writer) = tokio::io::split(stream);
        let (answers, queue) = mpsc::channel(PIPELINE);
        let writing = tokio::spawn(write_frames(writer, queue));
        let (mut frame, mut scratch, mut end) = (Vec::new(), vec![0; MAX_ANSWER], None);
        while let Ok(place) = answers.clone().reserve_owned().await {
            let read = read_frame(&mut reader, &mut frame);
            if !matches!(before_the_end(read, self.idle, &mut stop, &mut end).await, Some(Ok(()))) {
                break;
            }
            self.answer(&frame, &mut scratch, place);
        }
        drop(answers);
        let _ = writing.await; // it ends when the last answer under way is written
    }

    /// Answers one message, at once or later; `place` is its place in the connection's queue.
    fn answer(&self, message: &[u8], scratch: &mut [u8], place: mpsc::OwnedPermit<Vec<u8>>) {
        let Self { core, counters, .. } = self;
        let started = Instant::now();
        let asker = Asker::stream(self.client, self.idle);
        let fast = {
            let (policy, settings) = (core.policy(), core.settings());
            let now = core.clock.at(started);
            let view = View { policy: &policy, settings: &settings, counters, now };
            core.fast(message, &asker, &view, scratch)
        };
        if fast != Fast::Drop {
            counters.query(Transport::Tcp);
        }
        match fast {
            Fast::Miss => match core.permit(message) {
                Ok(permit) => {
                    let (core, counters, message) = (core.clone(), counters.clone(), message.to_vec());
                    tokio::spawn(async move {
                        let mut out = vec![0; MAX_ANSWER];
                        let fast = core.miss(&message, &asker, &counters, &mut out).await;
                        finish(fast, &out, place, &counters, started);
                        drop(permit);
                    });
                }
                Err(shed) => {
                    let fast = core.overloaded(message, &asker, shed, counters, scratch);
                    finish(fast, scratch, place, counters, started);
                }
            },
            fast => finish(fast, scratch, place, counters, started),
        }
    }
}

/// What comes within `idle`; once `stop` is true, for [`LAST_READS`] in all: queries on their way are not lost. `end`
/// is when that is over.
async fn before_the_end<T>(
    read: impl Future<Output = T>,
    idle: Duration,
    stop: &mut watch::Receiver<bool>,
    end: &mut Option<Instant>,
) -> Option<T> {
    let mut read = pin!(read);
    tokio::select! {
        read = timeout(idle, &mut read) => return read.ok(),
        _ = stop.wait_for(|stop| *stop) => {}
    }
    let end = *end.get_or_insert_with(|| Instant::now() + LAST_READS.min(idle));
    timeout_at(end.into(), read).await.ok()
}

/// Reads a length and that many octets. A frame without room for a header is an error: nothing behind it can be trusted.
async fn read_frame(reader: &mut (impl AsyncRead + Unpin), frame: &mut Vec<u8>) -> io::Result<()> {
    let len = usize::from(reader.read_u16().await?);
    if len < HEADER {
        return Err(io::ErrorKind::InvalidData.into());
    }
    frame.resize(len, 0);
    reader.read_exact(frame).await?;
    Ok(())
}

async fn write_frames(mut writer: impl AsyncWrite + Unpin, mut queue: mpsc::Receiver<Vec<u8>>) {
    while let Some(frame) = queue.recv().await {
        if !matches!(timeout(IDLE, writer.write_all(&frame)).await, Ok(Ok(()))) {
            return; // the reader notices when it wants to queue the next answer
        }
    }
    let _ = writer.shutdown().await;
}

/// Queues an answer with its length before it, to be written at once (RFC 7766 §8).
fn finish(fast: Fast, out: &[u8], place: mpsc::OwnedPermit<Vec<u8>>, counters: &Counters, started: Instant) {
    if let Fast::Reply(len, path) = fast {
        place.send([&(len as u16).to_be_bytes(), &out[..len]].concat());
        counters.took(path.unwrap_or(Path::Forwarded), started.elapsed(), u64::from(path.is_some()));
    }
}
