//! TCP to one upstream, by hickory-resolver's connection provider: one connection, kept open, many questions at a time.
//!
//! Used after TC=1, and where UDP gives no answer. `DnsExchange` gives back the upstream's exact octets;
//! `Resolver::lookup` would lose half of them.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hickory_resolver::config::{ConnectionConfig, ResolverOpts};
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::xfer::{DnsExchange, DnsHandle, FirstAnswer};
use hickory_resolver::proto::op::{DnsRequest, DnsRequestOptions, Query};
use hickory_resolver::proto::serialize::binary::{BinDecodable, BinDecoder};
use hickory_resolver::{ConnectionProvider, PoolContext, TlsConfig};

use tokio::time::timeout;

use crate::dns::resolve::Question;

/// How long connecting may take, and then an answer; shorter than the race, so that a dead connection is found out.
const TIMEOUT: Duration = Duration::from_secs(1);
/// Questions in flight on the connection.
const MAX_IN_FLIGHT: usize = 256;

type Exchange = DnsExchange<TokioRuntimeProvider>;

/// The connection to an upstream, opened when it is first needed.
pub(super) struct Stream {
    address: SocketAddr,
    provider: TokioRuntimeProvider, // owns the connection's task: dropped last
    open: Mutex<Option<Arc<Exchange>>>,
    /// Held while connecting: questions that come meanwhile wait for the one connection.
    connecting: tokio::sync::Mutex<()>,
}

impl Stream {
    pub(super) fn new(address: SocketAddr) -> Self {
        let provider = TokioRuntimeProvider::default();
        Self { address, provider, open: Mutex::new(None), connecting: tokio::sync::Mutex::new(()) }
    }

    /// The upstream's message in answer to the question, sent with an OPT record or without (`edns`). A connection the
    /// upstream has closed meanwhile is opened anew once.
    pub(super) async fn ask(&self, question: &Question, edns: bool) -> Result<Vec<u8>, NetError> {
        if let Some(exchange) = self.current()
            && let Ok(message) = self.send(&exchange, question, edns).await
        {
            return Ok(message);
        }
        let exchange = self.connected().await?;
        self.send(&exchange, question, edns).await
    }

    /// Sends the question over a connection that is given up unless it answers: on an error, on time-out, and also when
    /// nobody waits for the answer any more. Questions under way on it are not disturbed.
    async fn send(&self, exchange: &Arc<Exchange>, question: &Question, edns: bool) -> Result<Vec<u8>, NetError> {
        let mut doubt = Doubt { stream: self, exchange, answered: false };
        let outcome = timeout(TIMEOUT, send(exchange, question, edns)).await.unwrap_or(Err(NetError::Timeout));
        doubt.answered = matches!(outcome, Ok(_) | Err(NetError::Busy));
        outcome
    }

    /// The open connection, or a new one.
    async fn connected(&self) -> Result<Arc<Exchange>, NetError> {
        let _alone = self.connecting.lock().await;
        if let Some(exchange) = self.current() {
            return Ok(exchange); // somebody else has connected while we waited
        }
        let exchange = Arc::new(timeout(TIMEOUT, self.connect()).await.unwrap_or(Err(NetError::Timeout))?);
        *self.lock() = Some(exchange.clone());
        Ok(exchange)
    }

    async fn connect(&self) -> Result<Exchange, NetError> {
        let mut options = ResolverOpts::default();
        options.timeout = TIMEOUT;
        options.max_active_requests = MAX_IN_FLIGHT;
        let mut config = ConnectionConfig::tcp();
        config.port = self.address.port();
        let context = PoolContext::new(options, TlsConfig::new()?);
        self.provider.new_connection(self.address.ip(), &config, &context)?.await
    }

    fn current(&self) -> Option<Arc<Exchange>> {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, Option<Arc<Exchange>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner) // a plain value: a panic leaves it whole
    }
}

/// A question under way on a connection; dropped without its answer, the connection is used no more.
struct Doubt<'a> {
    stream: &'a Stream,
    exchange: &'a Arc<Exchange>,
    answered: bool,
}

impl Drop for Doubt<'_> {
    fn drop(&mut self) {
        let mut open = self.stream.lock();
        if !self.answered && open.as_ref().is_some_and(|open| Arc::ptr_eq(open, self.exchange)) {
            *open = None;
        }
    }
}

async fn send(exchange: &Exchange, question: &Question, edns: bool) -> Result<Vec<u8>, NetError> {
    let query = Query::read(&mut BinDecoder::new(&question.section))?;
    let mut options = DnsRequestOptions::default();
    options.use_edns = edns;
    options.edns_set_dnssec_ok = question.dnssec_ok;
    let (mut message, options) = DnsRequest::from_query(query, options).into_parts();
    message.metadata.checking_disabled = question.checking_disabled;
    message.metadata.authentic_data = true; // RFC 6840 §5.7
    let answer = exchange.send(DnsRequest::new(message, options)).first_answer().await?;
    Ok(answer.into_buffer())
}
