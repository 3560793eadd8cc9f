//! [`Signals`]: what the operating system asks of a running server.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// What a signal asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    /// SIGHUP: read the configuration again.
    Reload,
    /// SIGTERM or SIGINT: end.
    Stop,
    /// SIGUSR2: hand over to a new process.
    Upgrade,
}

/// Waits for signals.
#[derive(Debug)]
pub struct Signals {
    hangup: Signal,
    terminate: Signal,
    interrupt: Signal,
    user2: Signal,
}

impl Signals {
    /// Takes the signals over from their defaults. To be called within a runtime.
    pub fn new() -> io::Result<Self> {
        Ok(Self {
            hangup: signal(SignalKind::hangup())?,
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            user2: signal(SignalKind::user_defined2())?,
        })
    }

    /// The next request. Cancel-safe: dropped, it loses none.
    pub async fn next(&mut self) -> Request {
        tokio::select! {
            _ = self.hangup.recv() => Request::Reload,
            _ = self.terminate.recv() => Request::Stop,
            _ = self.interrupt.recv() => Request::Stop,
            _ = self.user2.recv() => Request::Upgrade,
        }
    }

    /// Waits for a request to stop; others are not obeyed any more.
    pub async fn stop(&mut self) {
        while self.next().await != Request::Stop {}
    }
}
