//! TCP to one upstream (RFC 7766): one [`Connection`], kept open, for all questions.
//!
//! Used after TC=1, and where UDP gives no answer. A connection lives as long as somebody holds it: the [`Stream`] until
//! it is in doubt, each asker until his question is over.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hickory_resolver::net::runtime::{RuntimeProvider, TokioRuntimeProvider};
use prometheus::IntCounter;
use tokio::time::timeout;

use super::connection::{Connection, is_busy};
use super::message::Edns;
use crate::dns::answer::{Answer, Bad};
use crate::dns::resolve::Question;

/// How long connecting may take, and then an answer; shorter than the race, so that a dead connection is found out.
const TIMEOUT: Duration = Duration::from_secs(1);

/// The connection to an upstream, opened when it is first needed.
pub(super) struct Stream {
    address: SocketAddr,
    trust_ad: bool,
    mismatches: IntCounter,
    open: Mutex<Option<Arc<Connection>>>,
    /// Held while connecting: questions that come meanwhile wait for the one connection.
    connecting: tokio::sync::Mutex<()>,
}

impl Stream {
    /// `mismatches` counts the messages that answer no question.
    pub(super) fn new(address: SocketAddr, trust_ad: bool, mismatches: IntCounter) -> Self {
        Self { address, trust_ad, mismatches, open: Mutex::default(), connecting: tokio::sync::Mutex::default() }
    }

    /// What the upstream answers to the question, sent with an OPT record or without (`edns`). A connection the upstream
    /// has closed meanwhile is opened anew once.
    pub(super) async fn ask(&self, question: &Question, edns: bool) -> io::Result<Result<Answer, Bad>> {
        let edns = if edns { Edns::Plain } else { Edns::None };
        if let Some(connection) = self.current() {
            match self.send(&connection, question, edns).await {
                Err(error) if !is_busy(&error) => {}
                outcome => return outcome,
            }
        }
        let connection = self.connected().await?;
        self.send(&connection, question, edns).await
    }

    /// Sends the question over a connection that is given up unless it answers: on an error, on time-out, and also when
    /// nobody waits for the answer any more. Questions under way on it are not disturbed.
    async fn send(
        &self,
        connection: &Arc<Connection>,
        question: &Question,
        edns: Edns,
    ) -> io::Result<Result<Answer, Bad>> {
        let mut doubt = Doubt { stream: self, connection, answered: false };
        let outcome = timeout(TIMEOUT, connection.ask(question, edns)).await;
        let outcome = outcome.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
        doubt.answered = outcome.as_ref().err().is_none_or(is_busy);
        outcome
    }

    /// The open connection, or a new one.
    async fn connected(&self) -> io::Result<Arc<Connection>> {
        let _alone = self.connecting.lock().await;
        if let Some(connection) = self.current() {
            return Ok(connection); // somebody else has connected while we waited
        }
        let socket = TokioRuntimeProvider::new().connect_tcp(self.address, None, Some(TIMEOUT)).await?;
        let connection = Connection::new(socket, self.address, self.trust_ad, self.mismatches.clone());
        let connection = Arc::new(connection);
        *self.lock() = Some(connection.clone());
        Ok(connection)
    }

    fn current(&self) -> Option<Arc<Connection>> {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, Option<Arc<Connection>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner) // a plain value: a panic leaves it whole
    }
}

/// A question under way on a connection; dropped without its answer, the connection is used no more.
struct Doubt<'a> {
    stream: &'a Stream,
    connection: &'a Arc<Connection>,
    answered: bool,
}

impl Drop for Doubt<'_> {
    fn drop(&mut self) {
        let mut open = self.stream.lock();
        if !self.answered && open.as_ref().is_some_and(|open| Arc::ptr_eq(open, self.connection)) {
            *open = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

    use futures_util::future::join_all;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};
    use tokio::time::Instant;

    use super::*;
    use crate::dns::upstream::connection::tests::{PATIENCE, answer, frame, question};

    /// What an upstream does with a query: answers with these octets, closes the connection, or lets it lie.
    enum Does {
        Says(Vec<u8>),
        Closes,
        Waits,
    }

    type Script = fn(connection: usize, query: &[u8]) -> Does;

    /// An upstream that plays by the script, and how many connections it has had.
    async fn upstream(script: Script) -> (Stream, Arc<AtomicUsize>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mismatches = IntCounter::new("mismatches", "mismatches").unwrap();
        let stream = Stream::new(listener.local_addr().unwrap(), false, mismatches);
        let connections = Arc::new(AtomicUsize::new(0));
        let count = connections.clone();
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                tokio::spawn(play(socket, count.fetch_add(1, Relaxed), script));
            }
        });
        (stream, connections)
    }

    async fn play(mut socket: TcpStream, connection: usize, script: Script) {
        while let Ok(len) = socket.read_u16().await {
            let mut query = vec![0; len.into()];
            socket.read_exact(&mut query).await.unwrap();
            match script(connection, &query) {
                Does::Says(message) => socket.write_all(&frame(&message)).await.unwrap(),
                Does::Closes => return,
                Does::Waits => {}
            }
        }
    }

    /// Whether the query is for a name that begins with this label.
    fn is(query: &[u8], label: &str) -> bool {
        query[13..].starts_with(label.as_bytes())
    }

    async fn ask(stream: &Stream, label: &str) -> io::Result<Result<Answer, Bad>> {
        timeout(PATIENCE, stream.ask(&question(label), true)).await.unwrap()
    }

    #[tokio::test]
    async fn one_connection_serves_all() {
        let (stream, connections) = upstream(|_, query| Does::Says(answer(query))).await;
        let labels: Vec<_> = (0..100).map(|n| format!("n{n}")).collect();
        let outcomes = join_all(labels.iter().map(|label| ask(&stream, label))).await;
        assert!(outcomes.iter().all(|outcome| matches!(outcome, Ok(Ok(_)))));
        assert!(ask(&stream, "later").await.is_ok());
        assert_eq!(connections.load(Relaxed), 1);
    }

    #[tokio::test]
    async fn a_connection_that_was_closed_is_opened_anew_once() {
        let (stream, connections) = upstream(|connection, query| match connection {
            0 if is(query, "second") => Does::Closes,
            0 | 1 => Does::Says(answer(query)),
            _ => Does::Closes,
        })
        .await;
        for label in ["first", "second", "third"] {
            assert!(ask(&stream, label).await.is_ok());
        }
        assert_eq!(connections.load(Relaxed), 2);
        let (stream, connections) = upstream(|_, query| match is(query, "first") {
            true => Does::Says(answer(query)),
            false => Does::Closes,
        })
        .await;
        assert!(ask(&stream, "first").await.is_ok());
        assert_eq!(ask(&stream, "second").await.unwrap_err().kind(), io::ErrorKind::ConnectionAborted);
        assert_eq!(connections.load(Relaxed), 2, "and then no more");
        assert!(ask(&stream, "first").await.is_ok());
    }

    #[tokio::test]
    async fn silence_and_an_asker_who_goes_put_it_in_doubt_and_disturb_nobody() {
        let (stream, connections) = upstream(|connection, query| match connection {
            0 if is(query, "silence") => Does::Waits,
            _ if is(query, "gone") => Does::Waits,
            _ => Does::Says(answer(query)),
        })
        .await;
        let other = stream.connected().await.unwrap();
        let started = Instant::now();
        assert!(ask(&stream, "silence").await.is_ok(), "by another one");
        assert!(started.elapsed() >= TIMEOUT);
        assert_eq!(connections.load(Relaxed), 2);
        assert!(other.ask(&question("under way"), Edns::Plain).await.is_ok());
        let second = stream.current().unwrap();
        assert!(timeout(Duration::from_millis(10), ask(&stream, "gone")).await.is_err(), "he goes");
        assert!(stream.current().is_none());
        assert!(second.ask(&question("under way"), Edns::Plain).await.is_ok());
        assert!(ask(&stream, "next").await.is_ok());
        assert_eq!(connections.load(Relaxed), 3);
        drop(Doubt { stream: &stream, connection: &other, answered: false });
        assert!(stream.current().is_some(), "doubt is about one connection");
    }

    #[tokio::test]
    async fn nobody_there_is_an_error_and_silence_another() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let stream = Stream::new(address, false, IntCounter::new("mismatches", "mismatches").unwrap());
        assert_eq!(ask(&stream, "www").await.unwrap_err().kind(), io::ErrorKind::TimedOut, "accepted by the kernel");
        drop(listener);
        assert_eq!(ask(&stream, "www").await.unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
    }
}
