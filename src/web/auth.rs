//! [`identify`]: who calls. It puts a [`Caller`] into the request, or answers 401, so that no handler behind it meets
//! somebody unknown; what a caller may do is said by the handlers, with [`require`].
//!
//! | configured | shown | who it is |
//! |---|---|---|
//! | no client | nothing is looked at | [`Caller::local`], from a loopback address; nobody else |
//! | clients | `Authorization: Bearer` (RFC 6750) | the client of that token, or nobody |
//! | clients | a certificate in TLS, and no `Authorization` | the client of that certificate, or nobody |
//!
//! Tokens are known by their SHA-256 only, and all are compared with, each in constant time: how long a wrong one takes
//! says nothing about the right ones. An address that has shown too many wrong tokens is not listened to for the rest of
//! the minute, a right token included: else guessing would be as fast as ever. Certificates are not held back, for nobody
//! guesses a private key. Who somebody is, is looked up for each request: a client that a reload has taken out is unknown
//! on the connections it has.

use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use axum::extract::{FromRequestParts, Request, State};
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use axum::http::{Extensions, HeaderMap};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use sha2::{Digest, Sha256};
use subtle::{Choice, ConditionallySelectable, ConstantTimeEq};

use super::guard;
use super::listen::Peer;
use super::places::network;
use super::problem::{Code, Problem};
use crate::model::{Caller, Client, Credential, Role};
use crate::observe::Metrics;
use crate::observe::metrics::AuthFailure;

/// Who may read what is everybody's: figures, previews.
pub(super) const READERS: &[Role] = &[Role::Viewer, Role::Operator];
/// Who may send orders.
pub(super) const SENDERS: &[Role] = &[Role::Authority, Role::Operator];
/// Who may change what the node does.
pub(super) const OPERATORS: &[Role] = &[Role::Operator];

/// Wrong tokens that an address may show in [`WINDOW`].
const GUESSES: u32 = 20;
const WINDOW: Duration = Duration::from_secs(60);
/// Addresses whose wrong tokens are counted; those beyond share one count.
const ADDRESSES: usize = 4_096;
/// Requests a client may send at once, after a rest, and each second.
const BURST: u32 = 500;
const PER_SECOND: u32 = 100;

/// Who may call, replaced as a whole by a reload. Clones share it.
#[derive(Clone)]
pub struct Access(Arc<Inner>);

struct Inner {
    clients: ArcSwap<Vec<Client>>,
    guesses: Mutex<Guesses>,
    rates: Mutex<HashMap<String, Bucket>>,
    metrics: Arc<Metrics>,
}

impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Access({} clients)", self.0.clients.load().len())
    }
}

impl Access {
    /// For these clients; for whoever is on this machine, if there are none.
    pub fn new(clients: Vec<Client>, metrics: Arc<Metrics>) -> Self {
        let clients = ArcSwap::from_pointee(clients);
        Self(Arc::new(Inner { clients, guesses: Mutex::default(), rates: Mutex::default(), metrics }))
    }

    /// From the next request on, on open connections too.
    pub fn set_clients(&self, clients: Vec<Client>) {
        lock(&self.0.rates).retain(|name, _| clients.iter().any(|client| client.caller.name == *name));
        self.0.clients.store(Arc::new(clients));
    }

    /// Whether a certificate of this SHA-256 is a client's.
    pub(super) fn knows_certificate(&self, fingerprint: &[u8; 32]) -> bool {
        by_certificate(&self.0.clients.load(), fingerprint).is_some()
    }

    /// Whether callers are asked who they are.
    pub(super) fn asks(&self) -> bool {
        !self.0.clients.load().is_empty()
    }

    /// Who it is, if it has shown so and does not ask too often.
    fn caller(&self, peer: Option<&Peer>, headers: &HeaderMap, now: Instant) -> Result<Caller, Problem> {
        let address = peer.map(|peer| peer.address.ip().to_canonical());
        let clients = self.0.clients.load();
        if clients.is_empty() {
            return match address {
                Some(address) if address.is_loopback() => Ok(Caller::local()),
                _ => Err(self
                    .unknown(AuthFailure::Missing, "this listener serves its own machine only", BEARER)
                    .hint("configure [[web.client]], or ask from the machine itself")),
            };
        }
        let client = match (bearer(headers), peer.and_then(|peer| peer.certificate)) {
            (Some(token), _) => {
                let address = address.map(network);
                if let Some(seconds) = lock(&self.0.guesses).wait(address, now) {
                    self.count(AuthFailure::Limited);
                    return Err(Problem::new(Code::Guessing, "too many wrong tokens have come from this address")
                        .retry_after(seconds));
                }
                let token = token.map_err(|problem| self.unknown(AuthFailure::Malformed, problem, BEARER))?;
                by_token(&clients, token).ok_or_else(|| {
                    lock(&self.0.guesses).wrong(address, now);
                    self.unknown(AuthFailure::Wrong, "the token is of no client", WRONG_TOKEN)
                        .hint("token_sha256 is of the token alone: printf %s \"$TOKEN\" | sha256sum")
                })?
            }
            (None, Some(certificate)) => by_certificate(&clients, &certificate)
                .ok_or_else(|| self.unknown(AuthFailure::Wrong, "the certificate is of no client", BEARER))?,
            (None, None) => {
                return Err(self
                    .unknown(AuthFailure::Missing, "the request says not who sends it", BEARER)
                    .hint("send Authorization: Bearer TOKEN, or a client certificate"));
            }
        };
        self.rate(&client.caller.name, now)?;
        Ok(client.caller.clone())
    }

    fn unknown(&self, why: AuthFailure, detail: &str, challenge: &'static str) -> Problem {
        self.count(why);
        Problem::new(Code::Unauthenticated, detail).challenge(challenge)
    }

    fn count(&self, why: AuthFailure) {
        self.0.metrics.web.refused(why);
    }

    fn rate(&self, name: &str, now: Instant) -> Result<(), Problem> {
        let mut rates = lock(&self.0.rates);
        let bucket = rates.entry(name.to_owned()).or_insert_with(|| Bucket { tokens: f64::from(BURST), at: now });
        bucket.take(now).map_err(|wait| {
            let detail = format!("a client sends at most {PER_SECOND} requests a second");
            Problem::new(Code::Rate, detail).retry_after(wait)
        })
    }
}

/// How to show who one is, and that what was shown will not do (RFC 6750 §3).
const BEARER: &str = "Bearer";
const WRONG_TOKEN: &str = "Bearer error=\"invalid_token\"";

/// Goes on with who calls, or answers that nobody knows.
pub(super) async fn identify(State(access): State<Access>, mut request: Request, next: Next) -> Response {
    match access.caller(request.extensions().get(), request.headers(), Instant::now()) {
        Ok(caller) => {
            request.extensions_mut().insert(caller);
            next.run(request).await
        }
        Err(problem) => problem.into_response(),
    }
}

/// Goes on for a program on this machine, which need not say who it is, and for readers. A page in a browser on this
/// machine may come here under a name of its own, hence the look at `Host`.
pub(super) async fn local_or_reader(State(access): State<Access>, request: Request, next: Next) -> Response {
    let peer: Option<&Peer> = request.extensions().get();
    let here = peer.is_some_and(|peer| peer.address.ip().to_canonical().is_loopback());
    if here && guard::host(request.uri(), request.headers()).is_ok() {
        return next.run(request).await;
    }
    let caller = access.caller(peer, request.headers(), Instant::now());
    match caller.and_then(|caller| require(&caller, READERS)) {
        Ok(()) => next.run(request).await,
        Err(problem) => problem.into_response(),
    }
}

/// Refuses a caller whose role is none of these.
pub(super) fn require(caller: &Caller, roles: &[Role]) -> Result<(), Problem> {
    if roles.contains(&caller.role) {
        return Ok(());
    }
    let allowed: Vec<_> = roles.iter().map(|role| role.as_str()).collect();
    let detail =
        format!("{:?} has the role {:?}; this is for {}", caller.name, caller.role.as_str(), allowed.join(", "));
    Err(Problem::new(Code::Role, detail).hint("the node's operator sets roles, in [[web.client]]"))
}

/// Whoever [`identify`] found; an endpoint that it does not stand before has no caller, and answers nobody.
impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Response> {
        found(&parts.extensions).cloned().map_err(IntoResponse::into_response)
    }
}

/// Whoever [`identify`] found.
pub(super) fn found(extensions: &Extensions) -> Result<&Caller, Problem> {
    let nobody = || Problem::new(Code::Unauthenticated, "nobody has asked who calls").challenge(BEARER);
    extensions.get().ok_or_else(nobody)
}

/// The token of the request; `None` if there is no `Authorization`.
fn bearer(headers: &HeaderMap) -> Option<Result<&[u8], &'static str>> {
    let mut all = headers.get_all(AUTHORIZATION).iter();
    let first = all.next()?.as_bytes();
    let (scheme, token) = first.split_at(first.iter().position(|octet| *octet == b' ').unwrap_or(first.len()));
    let token = token.trim_ascii();
    Some(if all.next().is_some() {
        Err("there are two Authorization headers")
    } else if !scheme.eq_ignore_ascii_case(b"bearer") || token.is_empty() {
        Err("Authorization is not: Bearer TOKEN")
    } else {
        Ok(token)
    })
}

/// Looks at all of them, found or not.
fn by_token<'a>(clients: &'a [Client], token: &[u8]) -> Option<&'a Client> {
    let digest: [u8; 32] = Sha256::digest(token).into();
    let mut found = u64::MAX;
    for (at, client) in (0..).zip(clients) {
        let is_it = match &client.credential {
            Credential::Token(expected) => expected[..].ct_eq(&digest),
            Credential::Certificate(_) => Choice::from(0),
        };
        found.conditional_assign(&at, is_it);
    }
    clients.get(usize::try_from(found).ok()?)
}

/// A certificate is no secret: nothing is given away by how long this takes.
fn by_certificate<'a>(clients: &'a [Client], digest: &[u8; 32]) -> Option<&'a Client> {
    clients.iter().find(|client| client.credential == Credential::Certificate(*digest))
}

/// A panic elsewhere leaves nothing half done here.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Wrong tokens by the address they came from; `None` stands for those the table has no place for.
#[derive(Default)]
struct Guesses(HashMap<Option<IpAddr>, (u32, Instant)>);

impl Guesses {
    /// Seconds until the address is listened to again.
    fn wait(&self, address: Option<IpAddr>, now: Instant) -> Option<u64> {
        let address = if self.0.contains_key(&address) || self.0.len() < ADDRESSES { address } else { None };
        let (count, since) = self.0.get(&address)?;
        let left = (*since + WINDOW).checked_duration_since(now).filter(|left| !left.is_zero())?;
        (*count >= GUESSES).then(|| left.as_secs() + 1)
    }

    fn wrong(&mut self, address: Option<IpAddr>, now: Instant) {
        if self.0.len() >= ADDRESSES && !self.0.contains_key(&address) {
            self.0.retain(|_, (_, since)| now < *since + WINDOW);
        }
        let has_place = self.0.len() < ADDRESSES || self.0.contains_key(&address);
        let entry = self.0.entry(if has_place { address } else { None }).or_insert((0, now));
        *entry = if now < entry.1 + WINDOW { (entry.0.saturating_add(1), entry.1) } else { (1, now) };
    }
}

/// What a client may still send.
struct Bucket {
    tokens: f64,
    at: Instant,
}

impl Bucket {
    /// Takes one; the error is after how many seconds there is one.
    fn take(&mut self, now: Instant) -> Result<(), u64> {
        let grown = now.saturating_duration_since(self.at).as_secs_f64() * f64::from(PER_SECOND);
        self.tokens = (self.tokens + grown).min(f64::from(BURST));
        self.at = now;
        if self.tokens < 1.0 {
            return Err(1);
        }
        self.tokens -= 1.0;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
