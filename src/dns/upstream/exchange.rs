//! TCP to one upstream, by hickory-resolver's connection provider: one connection, kept open, many questions at a time.
//!
//! Used after TC=1. `DnsExchange` gives back the upstream's exact octets; `Resolver::lookup` would lose half of them.

use std::net::SocketAddr;
use std::sync::Mutex;
use std::time::Duration;

use hickory_resolver::config::{ConnectionConfig, ResolverOpts};
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::xfer::{DnsExchange, DnsHandle, FirstAnswer};
use hickory_resolver::proto::op::{DnsRequest, DnsRequestOptions, Query};
use hickory_resolver::proto::serialize::binary::{BinDecodable, BinDecoder};
use hickory_resolver::{ConnectionProvider, PoolContext, TlsConfig};

use crate::dns::core::Question;

/// How long connecting and one answer may take; the race has its own, shorter deadline.
const TIMEOUT: Duration = Duration::from_millis(2_500);
/// Questions in flight on the connection.
const MAX_IN_FLIGHT: usize = 256;

type Exchange = DnsExchange<TokioRuntimeProvider>;

/// The connection to an upstream, opened when it is first needed.
pub(super) struct Stream {
    address: SocketAddr,
    provider: TokioRuntimeProvider, // owns the connection's task: dropped last
    open: Mutex<Option<Exchange>>,
}

impl Stream {
    pub(super) fn new(address: SocketAddr) -> Self {
        Self { address, provider: TokioRuntimeProvider::default(), open: Mutex::new(None) }
    }

    /// The upstream's message in answer to the question. A connection the upstream has closed meanwhile is opened anew once.
    pub(super) async fn ask(&self, question: &Question) -> Result<Vec<u8>, NetError> {
        if let Some(exchange) = self.current() {
            if let Ok(message) = send(&exchange, question).await {
                return Ok(message);
            }
            self.set(None);
        }
        let exchange = self.connect().await?;
        self.set(Some(exchange.clone()));
        send(&exchange, question).await.inspect_err(|_| self.set(None))
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

    fn current(&self) -> Option<Exchange> {
        self.open.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }

    fn set(&self, exchange: Option<Exchange>) {
        *self.open.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = exchange;
    }
}

async fn send(exchange: &Exchange, question: &Question) -> Result<Vec<u8>, NetError> {
    let query = Query::read(&mut BinDecoder::new(&question.section))?;
    let mut options = DnsRequestOptions::default();
    options.edns_set_dnssec_ok = question.dnssec_ok;
    let (mut message, options) = DnsRequest::from_query(query, options).into_parts();
    message.metadata.checking_disabled = question.checking_disabled;
    message.metadata.authentic_data = true; // RFC 6840 §5.7
    let answer = exchange.send(DnsRequest::new(message, options)).first_answer().await?;
    Ok(answer.into_buffer())
}
