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
