//! DNS over streams: two-octet frames (RFC 7766), many queries a connection, answered as they become ready.
//!
//! Limits: connections in all ([`MAX_CONNECTIONS`]), questions waiting on one connection ([`PIPELINE`]; reading stops there),
//! idle time ([`IDLE`]). A client that does not read its answers stalls its own connection only, until [`IDLE`].

use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::time::timeout;

use crate::dns::core::{Asker, Core, Fast, Size, View};
use crate::dns::wire::HEADER;
use crate::observe::counters::{Counters, Path, Transport};

/// Connections served at a time; further ones wait in the kernel's queue.
const MAX_CONNECTIONS: usize = 1_024;
/// Answers a connection may have under way or unread.
const PIPELINE: usize = 64;
/// How long a connection may be idle, or its client not read (RFC 7766 §6.2.3: a few seconds).
const IDLE: Duration = Duration::from_secs(10);
/// Largest answer: the length has two octets.
const MAX_ANSWER: usize = u16::MAX as usize;
/// Rest after accept() failed, as it does without pause when file descriptors run out.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Accepts connections until `stop` turns true.
pub async fn listen(listener: TcpListener, core: Arc<Core>, counters: Arc<Counters>, mut stop: watch::Receiver<bool>) {
    let slots = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        let Ok(slot) = slots.clone().acquire_owned().await else { return };
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stop.wait_for(|stop| *stop) => return,
        };
        match accepted {
            Ok((stream, peer)) => {
                let _ = stream.set_nodelay(true);
                let (core, counters, stop) = (core.clone(), counters.clone(), stop.clone());
                tokio::spawn(async move {
                    serve(stream, peer.ip(), core, counters, stop).await;
                    drop(slot);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "accepting a TCP connection failed");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Serves one connection until its client closes it, goes idle or breaks the framing, or `stop` turns true; queries read by
/// then are answered.
async fn serve<S>(stream: S, client: IpAddr, core: Arc<Core>, counters: Arc<Counters>, mut stop: watch::Receiver<bool>)
where
    S: AsyncRead + AsyncWrite + Send + 'static,
{
    let (mut reader, writer) = tokio::io::split(stream);
    let (answers, queue) = mpsc::channel(PIPELINE);
    let writing = tokio::spawn(write_frames(writer, queue));
    let (mut frame, mut scratch) = (Vec::new(), vec![0; MAX_ANSWER]);
    loop {
        let Ok(answer) = answers.clone().reserve_owned().await else { break };
        let read = tokio::select! {
            read = timeout(IDLE, read_frame(&mut reader, &mut frame)) => read,
            _ = stop.wait_for(|stop| *stop) => break,
        };
        if !matches!(read, Ok(Ok(()))) {
            break;
        }
        answer_frame(&frame, client, &core, &counters, &mut scratch, answer);
    }
    drop(answers);
    let _ = writing.await; // it ends when the last answer under way is written
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

/// Answers one message, at once into `scratch` or later; `answer` is its place in the connection's queue.
fn answer_frame(
    message: &[u8],
    client: IpAddr,
    core: &Arc<Core>,
    counters: &Arc<Counters>,
    scratch: &mut [u8],
    answer: mpsc::OwnedPermit<Vec<u8>>,
) {
    let started = Instant::now();
    let fast = {
        let (policy, settings) = (core.policy(), core.settings());
        let view = View { policy: &policy, settings: &settings };
        let asker = Asker { client, size: Size::Stream };
        core.fast(message, &asker, core.clock.at(started), &view, counters, scratch)
    };
    if fast != Fast::Drop {
        counters.query(Transport::Tcp);
    }
    match fast {
        Fast::Miss => match core.permit() {
            Some(permit) => {
                let (core, counters, message) = (core.clone(), counters.clone(), message.to_vec());
                tokio::spawn(async move {
                    let mut out = vec![0; MAX_ANSWER];
                    let fast = core.miss(&message, Size::Stream, &counters, &mut out).await;
                    finish(fast, &out, answer, &counters, started);
                    drop(permit);
                });
            }
            None => finish(core.overloaded(message, counters, scratch), scratch, answer, counters, started),
        },
        fast => finish(fast, scratch, answer, counters, started),
    }
}

fn finish(fast: Fast, out: &[u8], answer: mpsc::OwnedPermit<Vec<u8>>, counters: &Counters, started: Instant) {
    if let Fast::Reply(len, path) = fast {
        answer.send([&(len as u16).to_be_bytes(), &out[..len]].concat()); // length and message in one write (RFC 7766 §8)
        counters.took(path.unwrap_or(Path::Forwarded), started.elapsed(), u64::from(path.is_some()));
    }
}
