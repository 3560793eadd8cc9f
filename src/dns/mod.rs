//! data plane
use std::net::SocketAddr;

use crate::model::Networks;

/// The whole of `[dns]`, `[[upstream]]` and `[cache]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Addresses to answer on, each by UDP and TCP. Port 0 takes a free port, the same for both.
    pub listen: Vec<SocketAddr>,
    /// UDP worker threads, at least one.
    pub workers: usize,
    /// Bound of the answer cache in bytes; 0 turns it off.
    pub cache_size: u64,
    /// What a reload may change.
    pub settings: Settings,
}

/// What the data plane takes over on a reload without a restart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Client networks that are served; others get REFUSED.
    pub allow: Networks,
    /// In order of preference; never empty.
    pub upstreams: Vec<UpstreamConfig>,
    /// Longest TTL in seconds that leaves to a client, and longest stay in the cache.
    pub max_ttl: u32,
}

/// One upstream server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpstreamConfig {
    /// Where it answers plain DNS over UDP and TCP.
    pub address: SocketAddr,
    /// Whether its AD bit is passed on.
    pub trust_ad: bool,
}
