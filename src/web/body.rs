//! Bodies of requests: [`Body`], the whole of one, and [`Envelope`], one that holds a signed notice. What they may cost is
//! bounded here; axum's own extractors know a largest size and no more.
//!
//! | bound | answer | why |
//! |---|---|---|
//! | [`LARGEST`] octets of a body | 413 | no notice needs more, and reading it takes several times its size |
//! | [`Limits::silence`] between two pieces, [`Limits::whole`] for all of it | 408 | a slow client holds memory |
//! | [`IN_FLIGHT`] octets of all bodies together | 503 | so that a thousand large ones cost no more than a few |
//!
//! A body counts from its first octet until what was made of it is dropped. It never waits for room: a client that waits
//! holds memory too, and one that is told to come again does not.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{BodyDataStream, Bytes};
use axum::extract::{FromRequest, Request};
use axum::http::HeaderMap;
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use futures_util::StreamExt;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout_at};

use super::auth::{self, SENDERS};
use super::problem::{Code, Problem};

/// Octets of the largest body that is read.
pub(super) const LARGEST: usize = 16 << 20;
/// Octets of all bodies that are read or worked on at a time.
pub(super) const IN_FLIGHT: usize = 48 << 20;
/// After so many seconds a client that found no room is to come again.
const COME_AGAIN: u64 = 2;
/// The kinds of body that a signed notice may have (RFC 7515 §9.2.1).
const ENVELOPES: [&str; 2] = ["application/jose+json", "application/jose"];

/// How long a body may take.
#[derive(Clone, Copy, Debug)]
struct Limits {
    silence: Duration,
    whole: Duration,
}

impl Limits {
    /// A large notice over a line of 2 Mbit/s comes through; none is a setting.
    const DEFAULT: Self = Self { silence: Duration::from_secs(10), whole: Duration::from_secs(60) };
}

/// The room for all bodies of a listener; clones share it. Part of a request's extensions.
#[derive(Clone)]
pub(super) struct Room {
    octets: Arc<Semaphore>,
    limits: Limits,
}

impl Default for Room {
    fn default() -> Self {
        Self { octets: Arc::new(Semaphore::new(IN_FLIGHT)), limits: Limits::DEFAULT }
    }
}

impl fmt::Debug for Room {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Room({} octets free)", self.octets.available_permits())
    }
}

/// The whole body of a request, whatever it is. Where not every caller may send one, the handler takes the request, looks
/// at the caller, and has it read after that: `Body::from_request(request, &())`.
pub(super) struct Body {
    octets: Bytes,
    /// Gives the room back with the value.
    _room: Option<OwnedSemaphorePermit>,
}

/// The body of a request that is said to be a signed notice: `application/jose+json` or `application/jose`. It is read for
/// senders of orders only, so that nobody else takes the room.
pub(super) struct Envelope(Body);

impl Deref for Body {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.octets
    }
}

impl Deref for Envelope {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

/// How much it is, and not what: it may be anybody's.
impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Body({} octets)", self.octets.len())
    }
}

impl fmt::Debug for Envelope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<S: Send + Sync> FromRequest<S> for Body {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        let room = request.extensions().get::<Room>().cloned().unwrap_or_default();
        let declared = declared(request.headers())?;
        read(request.into_body().into_data_stream(), declared, &room).await
    }
}

impl<S: Send + Sync> FromRequest<S> for Envelope {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        auth::require(auth::found(request.extensions())?, SENDERS)?;
        envelope(request.headers())?;
        Body::from_request(request, state).await.map(Self)
    }
}

/// How long the body is said to be; it may not be said at all.
fn declared(headers: &HeaderMap) -> Result<usize, Problem> {
    let length = headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    match usize::try_from(length.unwrap_or_default()) {
        Ok(length) if length <= LARGEST => Ok(length),
        _ => Err(too_large()),
    }
}

fn envelope(headers: &HeaderMap) -> Result<(), Problem> {
    let mut types = headers.get_all(CONTENT_TYPE).iter();
    let essence = |value: &str| value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let written = match (types.next(), types.next()) {
        (Some(one), None) => one.to_str().map(essence).unwrap_or_default(),
        _ => String::new(),
    };
    if ENVELOPES.contains(&written.as_str()) {
        return Ok(());
    }
    Err(Problem::new(Code::MediaType, "a signed notice is application/jose+json (JSON) or application/jose (compact)")
        .hint("send the JWS with Content-Type: application/jose+json"))
}

async fn read(mut stream: BodyDataStream, declared: usize, room: &Room) -> Result<Body, Problem> {
    let started = Instant::now();
    let mut octets = Vec::with_capacity(declared);
    let mut taken: Option<OwnedSemaphorePermit> = None;
    loop {
        let patience = (started + room.limits.whole).min(Instant::now() + room.limits.silence);
        let piece = match timeout_at(patience, stream.next()).await {
            Ok(Some(piece)) => piece.map_err(|_| Problem::new(Code::Body, "the body broke off"))?,
            Ok(None) => return Ok(Body { octets: octets.into(), _room: taken }),
            Err(_) => {
                let detail = format!("{} octets of the body came, then not enough more in time", octets.len());
                return Err(Problem::new(Code::SlowBody, detail));
            }
        };
        if octets.len() + piece.len() > LARGEST {
            return Err(too_large());
        }
        let more = take(room, piece.len())?;
        match &mut taken {
            Some(taken) => taken.merge(more),
            None => taken = Some(more),
        }
        octets.extend_from_slice(&piece);
    }
}

fn take(room: &Room, octets: usize) -> Result<OwnedSemaphorePermit, Problem> {
    let octets = u32::try_from(octets).unwrap_or(u32::MAX); // at most LARGEST
    room.octets
        .clone()
        .try_acquire_many_owned(octets)
        .map_err(|_| Problem::new(Code::Busy, "other bodies take all the room there is").retry_after(COME_AGAIN))
}

fn too_large() -> Problem {
    Problem::new(Code::TooLarge, format!("a body has at most {LARGEST} octets")).hint("divide it into several notices")
}

#[cfg(test)]
mod tests {
    use futures_util::stream;

    use super::*;
    use crate::model::{Caller, Role};

    type Piece = Result<Vec<u8>, std::io::Error>;

    fn quick() -> Room {
        let limits = Limits { silence: Duration::from_millis(50), whole: Duration::from_millis(200) };
        Room { limits, ..Room::default() }
    }

    fn request(content_type: Option<&str>, room: &Room, body: axum::body::Body) -> Request {
        let mut request = Request::builder().method("POST").uri("/").extension(room.clone());
        if let Some(content_type) = content_type {
            request = request.header(CONTENT_TYPE, content_type);
        }
        request.body(body).unwrap()
    }

    async fn body(room: &Room, body: impl Into<axum::body::Body>) -> Result<Body, String> {
        let read = Body::from_request(request(None, room, body.into()), &()).await;
        read.map_err(|problem| problem.code().to_owned())
    }

    fn pieces(pieces: Vec<Piece>) -> axum::body::Body {
        axum::body::Body::from_stream(stream::iter(pieces))
    }

    #[tokio::test]
    async fn a_body_comes_whole_and_gives_its_room_back() {
        let room = Room::default();
        let whole = body(&room, pieces(vec![Ok(b"ab".into()), Ok(vec![]), Ok(b"c".into())])).await.unwrap();
        assert_eq!((&*whole, format!("{whole:?}").as_str()), (&b"abc"[..], "Body(3 octets)"));
        assert_eq!(room.octets.available_permits(), IN_FLIGHT - 3);
        drop(whole);
        assert_eq!(room.octets.available_permits(), IN_FLIGHT);
        assert_eq!(&*body(&room, "").await.unwrap(), b"");
    }

    #[tokio::test]
    async fn one_that_is_too_large_is_refused_before_or_while_it_is_read() {
        let room = Room::default();
        let mut declared = request(None, &room, "".into());
        declared.headers_mut().insert(CONTENT_LENGTH, (LARGEST as u64 + 1).into());
        assert_eq!(Body::from_request(declared, &()).await.unwrap_err().code(), "too-large");
        let half = || Ok(vec![b'x'; LARGEST / 2]);
        assert_eq!(body(&room, pieces(vec![half(), half()])).await.unwrap().len(), LARGEST);
        assert_eq!(body(&room, pieces(vec![half(), half(), Ok(b"x".into())])).await.unwrap_err(), "too-large");
        assert_eq!(room.octets.available_permits(), IN_FLIGHT);
    }

    #[tokio::test]
    async fn all_together_take_no_more_than_the_room_there_is() {
        let room = Room::default();
        let mut all = Vec::new();
        let full = loop {
            match body(&room, vec![b'x'; LARGEST]).await {
                Ok(one) => all.push(one),
                Err(code) => break code,
            }
        };
        assert_eq!((full.as_str(), all.len()), ("busy", IN_FLIGHT / LARGEST));
        all.pop();
        assert!(body(&room, "x").await.is_ok());
    }

    #[tokio::test]
    async fn one_that_is_slow_or_breaks_off_is_given_up() {
        let room = quick();
        let silent = axum::body::Body::from_stream(stream::pending::<Piece>());
        assert_eq!(body(&room, silent).await.unwrap_err(), "slow-body");
        // never silent for long, and never done
        let trickle = stream::unfold((), |()| async {
            tokio::time::sleep(Duration::from_millis(20)).await;
            Some((Piece::Ok(b"x".into()), ()))
        });
        assert_eq!(body(&room, axum::body::Body::from_stream(trickle)).await.unwrap_err(), "slow-body");
        let broken = pieces(vec![Ok(b"x".into()), Err(std::io::ErrorKind::UnexpectedEof.into())]);
        assert_eq!(body(&room, broken).await.unwrap_err(), "body");
        assert_eq!(room.octets.available_permits(), IN_FLIGHT);
    }

    #[tokio::test]
    async fn an_envelope_says_that_it_is_one() {
        let room = Room::default();
        for (content_type, taken) in [
            (Some("application/jose+json"), true),
            (Some("application/jose"), true),
            (Some("Application/JOSE+JSON; charset=utf-8"), true),
            (Some("application/json"), false),
            (Some("text/plain"), false),
            (Some("application/jose+jsonx"), false),
            (None, false),
        ] {
            let mut request = request(content_type, &room, "{}".into());
            request.extensions_mut().insert(Caller::local());
            let read = Envelope::from_request(request, &()).await;
            assert_eq!(read.is_ok(), taken, "{content_type:?}");
            assert!(read.map_or_else(|problem| problem.code() == "media-type", |envelope| &*envelope == b"{}"));
        }
        let mut two = request(Some("application/jose"), &room, "".into());
        two.extensions_mut().insert(Caller::local());
        two.headers_mut().append(CONTENT_TYPE, "application/jose".parse().unwrap());
        assert_eq!(Envelope::from_request(two, &()).await.unwrap_err().code(), "media-type");
    }

    #[tokio::test]
    async fn an_envelope_is_read_for_senders_only() {
        let room = Room::default();
        let silent = || axum::body::Body::from_stream(stream::pending::<Piece>());
        let mut viewers = request(Some("application/jose"), &room, silent());
        viewers.extensions_mut().insert(Caller { role: Role::Viewer, ..Caller::local() });
        assert_eq!(Envelope::from_request(viewers, &()).await.unwrap_err().code(), "role");
        let nobodys = request(Some("application/jose"), &room, silent());
        assert_eq!(Envelope::from_request(nobodys, &()).await.unwrap_err().code(), "unauthenticated");
    }
}
