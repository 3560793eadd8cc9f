//! DNS over streams (RFC 7766, RFC 9210): two-octet frames, many queries a connection, answered as they become ready.
//!
//! ```text
//!   accept --[proxy header]--> places --no--> closed (limit)
//!                                | yes
//!                                v
//!   connection   read -> frames -> core.fast -> answers -> one write
//!   (one task)                        | miss              ^
//!                                     v                   |
//!                              a task: core.wait ---------+
//! ```
//!
//! | file | owns |
//! |---|---|
//! | [`accept`] | taking connections from the kernel, and what happens when it has none to give |
//! | [`places`] | how many connections, of whom, and which one gives way |
//! | [`connection`] | one connection from its first octet to its end |
//!
//! What bounds a client that means harm: [`Limits`]. A connection that waits for its client holds a task of about a
//! kilobyte and no buffer: octets are read into the stack and kept only until their frame is whole, answers are written
//! by way of a buffer a thread, and only what the kernel does not take at once is kept.

pub mod accept;
pub mod connection;
pub mod places;
#[cfg(test)]
mod tests;

use std::time::Duration;

/// What connections may cost; `[dns.tcp]`, but for the last two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Connections of clients at a time, over all listeners.
    pub connections: usize,
    /// Of them, of one client: an IPv4 address or an IPv6 /56.
    pub per_client: usize,
    /// How long a connection without a question may stay (RFC 7766 §6.2.3: a few seconds).
    pub idle: Duration,
    /// Questions of one connection that may wait for upstreams at a time; nothing is read meanwhile.
    pub pipeline: usize,
    /// How long a frame may take from its first octet to its last.
    pub frame: Duration,
    /// How long an answer may take until the kernel has all of it, and the one before it.
    pub write: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 1_024,
            per_client: 64,
            idle: Duration::from_secs(10),
            pipeline: 64,
            frame: Duration::from_secs(5),
            write: Duration::from_secs(10),
        }
    }
}

impl Limits {
    /// For those whom `[dns] allow` does not name: enough to hear REFUSED.
    const STRANGERS: Self = Self {
        connections: 64,
        per_client: 64,
        idle: Duration::from_secs(1),
        pipeline: 1, // they are never asked for
        frame: Duration::from_secs(1),
        write: Duration::from_secs(1),
    };
}
