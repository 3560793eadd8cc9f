//! [`Socket`]: the operators' socket, a Unix stream socket in the state directory. A connection is one request and one
//! reply, a line of JSON each ([`Ask`], [`OperatorReply`]).
//!
//! Who may ask is the file system's affair: the socket has mode 0600, so it is for the server's user and root; with
//! `[operators] group` it has mode 0660 and that group, so that two accounts can be two persons. Who asks is the kernel's
//! word (`SO_PEERCRED`, unix(7)), never the request's: the user that the client's process had when it connected. The
//! number tells persons apart, so two names of one user are one person, and root is one wherever the server runs as root;
//! the name is recorded beside it, if the password file knows it.
//!
//! | bound | why |
//! |---|---|
//! | connections at a time | the rest waits in the kernel's backlog |
//! | octets of a request | memory of a connection |
//! | time for a request, and for taking the reply | slow clients cannot hold a place |
//!
//! Carrying out a request has no bound: an approved list takes the time that a list takes. It runs on a thread of its own,
//! since the runtime has one for everything.
//!
//! The socket is bound aside and renamed into its place, so that it is never there with other permissions, and one that a
//! dead process left is replaced. In an upgrade the new process does the same as soon as it answers: the old one has
//! stopped listening by then, and leaves the name alone. A process that ends without a successor takes it away.

use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::net::UnixListener as StdListener;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use socket2::{Domain, SockAddr, Type};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, copy, sink};
use tokio::net::{UnixListener, UnixStream};
use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::{sleep, timeout};

use super::audit::TARGET;
use crate::control::command::{Ask, OperatorReply, OperatorRequest};

/// Carries a request out; it may block.
pub type Handler = Arc<dyn Fn(OperatorRequest) -> OperatorReply + Send + Sync>;

/// Connections the kernel holds until they are accepted.
const BACKLOG: i32 = 16;
/// Who may connect: the owner; or a group as well.
const MODE: u32 = 0o600;
const MODE_WITH_GROUP: u32 = 0o660;
/// Said to a client whose request has no end; so much of the rest is read and thrown away.
const TOO_LONG: &str = "too-long";
const DRAINED: u64 = 1 << 20;
/// Where user names are looked up. Users of other directories are known by their number.
const PASSWD: &str = "/etc/passwd";

/// What a client may take.
#[derive(Clone, Copy, Debug)]
struct Limits {
    connections: usize,
    octets: u64,
    patience: Duration,
    finish: Duration,
}

impl Limits {
    /// Ample for a few persons; none is a setting.
    const DEFAULT: Self =
        Self { connections: 16, octets: 64 * 1024, patience: Duration::from_secs(5), finish: Duration::from_secs(2) };
}

/// See the module's header.
#[derive(Debug)]
pub struct Socket {
    listener: StdListener,
}

/// The socket's name, for whoever has to take it away in the end.
#[derive(Debug)]
pub struct Place {
    path: PathBuf,
    /// Device and number of the file.
    id: (u64, u64),
}

impl Socket {
    /// Binds it, in place of whatever is there, for its owner and, if there is one, this group.
    pub fn bind(path: &Path, group: Option<u32>) -> io::Result<(Self, Place)> {
        // two processes are there during an upgrade
        let aside = path.with_extension(format!("{}.new", std::process::id()));
        let bound = bind_aside(&aside, group).and_then(|listener| {
            let file = fs::symlink_metadata(&aside)?;
            fs::rename(&aside, path)?;
            let place = Place { path: path.to_owned(), id: (file.dev(), file.ino()) };
            Ok((Self { listener }, place))
        });
        bound.inspect_err(|_| {
            let _ = fs::remove_file(&aside); // it may not have come to be
        })
    }

    /// Serves until `shutdown`; returns when the requests under way are answered or the time to finish them is over. To be
    /// called within a runtime.
    pub async fn serve(self, handler: Handler, shutdown: impl Future<Output = ()>) -> io::Result<()> {
        run(UnixListener::from_std(self.listener)?, handler, Limits::DEFAULT, shutdown).await;
        Ok(())
    }
}

impl Place {
    /// From now on for its owner and, if there is one, this group; connections that are open stay.
    pub fn permit(&self, group: Option<u32>) -> io::Result<()> {
        permit(&self.path, group)
    }

    /// Takes the socket away, unless another process has put its own there.
    pub fn remove(&self) {
        let ours = fs::symlink_metadata(&self.path).is_ok_and(|file| (file.dev(), file.ino()) == self.id);
        if ours && let Err(error) = fs::remove_file(&self.path) {
            tracing::warn!(%error, path = %self.path.display(), "the operators' socket cannot be removed");
        }
    }
}

/// A listening socket that was never open to others: it listens only after its mode is set.
fn bind_aside(path: &Path, group: Option<u32>) -> io::Result<StdListener> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {} // a process of this number may have died here
    }
    let address = SockAddr::unix(path).map_err(|error| {
        let longest = "a Unix socket's path has at most 107 octets; give [operators] socket a shorter one";
        if error.kind() == io::ErrorKind::InvalidInput { io::Error::new(error.kind(), longest) } else { error }
    })?;
    let socket = socket2::Socket::new(Domain::UNIX, Type::STREAM.nonblocking(), None)?;
    socket.bind(&address)?;
    permit(path, group)?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// The mode is the narrow one while the group changes: nobody gets in who is in neither.
fn permit(path: &Path, group: Option<u32>) -> io::Result<()> {
    fs::set_permissions(path, fs::Permissions::from_mode(MODE))?;
    let Some(group) = group else { return Ok(()) };
    chown(path, None, Some(group)).map_err(|error| {
        let why = format!("group {group}: {error}; the server's user must be a member of it, or root");
        io::Error::new(error.kind(), why)
    })?;
    fs::set_permissions(path, fs::Permissions::from_mode(MODE_WITH_GROUP))
}

async fn run(listener: UnixListener, handler: Handler, limits: Limits, shutdown: impl Future<Output = ()>) {
    let mut shutdown = pin!(shutdown);
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            () = &mut shutdown => break,
            Some(_) = connections.join_next() => {} // a place is free
            accepted = listener.accept(), if connections.len() < limits.connections => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(connection(stream, handler.clone(), limits));
                }
                Err(error) => {
                    tracing::error!(%error, "cannot accept connections on the operators' socket");
                    sleep(Duration::from_secs(1)).await; // no descriptors left: or this would spin
                }
            }
        }
    }
    drop(listener);
    let _ = timeout(limits.finish, async { while connections.join_next().await.is_some() {} }).await;
}

/// Serves one; how it ends is the client's affair.
async fn connection(mut stream: UnixStream, handler: Handler, limits: Limits) {
    let Ok(peer) = stream.peer_cred() else { return }; // it has gone already
    let reply = match timeout(limits.patience, request(&mut stream, limits.octets)).await {
        Ok(Ok(Some(line))) => answer(line, peer.uid(), handler).await,
        Ok(Ok(None)) => {
            OperatorReply::refused(TOO_LONG, format!("a request is a line of at most {} octets", limits.octets))
        }
        Ok(Err(_)) => return, // it said nothing
        Err(_) => OperatorReply::refused("slow", "the request did not come to its end in time: a line ends it"),
    };
    let mut line = serde_json::to_vec(&reply).unwrap_or_default(); // numbers and text: nothing that JSON cannot say
    line.push(b'\n');
    let _ = timeout(limits.patience, async {
        stream.write_all(&line).await?;
        stream.shutdown().await?;
        match reply.word() {
            // what it still sends, within bounds: closed with octets unread, the client may lose the reply
            TOO_LONG => copy(&mut stream.take(DRAINED), &mut sink()).await.map(drop),
            _ => Ok(()),
        }
    })
    .await;
}

/// The client's line, without its end; `None` if it is too long. The error says that there is none.
async fn request(stream: &mut UnixStream, octets: u64) -> io::Result<Option<Vec<u8>>> {
    let mut line = Vec::new();
    BufReader::new(stream.take(octets + 1)).read_until(b'\n', &mut line).await?;
    match line.last() {
        None => Err(io::ErrorKind::UnexpectedEof.into()),
        Some(b'\n') => {
            line.pop();
            Ok(Some(line))
        }
        Some(_) if line.len() as u64 > octets => Ok(None),
        Some(_) => Ok(Some(line)), // its writing end is closed: that ends a line as well
    }
}

async fn answer(line: Vec<u8>, uid: u32, handler: Handler) -> OperatorReply {
    let work = move || {
        let ask: Ask = match serde_json::from_slice(&line) {
            Ok(ask) => ask,
            Err(error) => return OperatorReply::refused("request", format!("the request is not understood: {error}")),
        };
        let (word, person) = (ask.word(), person(uid));
        let reply = ask.by(person.clone()).map_or_else(|refused| refused, |request| handler(request));
        tracing::info!(target: TARGET, person, asked = word, outcome = reply.word(), "an operator asked"); // without names: log.rs
        reply
    };
    spawn_blocking(work).await.unwrap_or_else(|_| {
        OperatorReply::refused(
            "failed",
            "the server failed over it; its log says how, pagar approve --list what is held",
        )
    })
}

/// Who has this user number: [`may_be_same`](crate::control::command::may_be_same) goes by it.
fn person(uid: u32) -> String {
    let users = fs::read_to_string(PASSWD).unwrap_or_default();
    format!("{} (uid {uid})", name_of(&users, uid).unwrap_or("unnamed"))
}

/// The first user of this number in a password file (passwd(5)).
fn name_of(users: &str, uid: u32) -> Option<&str> {
    let of = |line: &'_ str| -> Option<u32> { line.split(':').nth(2)?.parse().ok() };
    let line = users.lines().find(|line| of(line) == Some(uid))?;
    line.split(':').next().filter(|name| !name.is_empty())
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use tempfile::TempDir;
    use tokio::sync::oneshot;
    use tokio::task::JoinHandle;

    use super::*;

    /// A server on a socket of its own, and what it was asked.
    struct Served {
        directory: TempDir,
        asked: Arc<Mutex<Vec<OperatorRequest>>>,
        stop: Option<oneshot::Sender<()>>,
        task: JoinHandle<()>,
    }

    impl Served {
        fn start(limits: Limits, takes: Duration) -> Self {
            let directory = tempfile::tempdir().unwrap();
            let (socket, _) = Socket::bind(&directory.path().join("s"), None).unwrap();
            let asked = Arc::<Mutex<Vec<_>>>::default();
            let keep = asked.clone();
            let handler: Handler = Arc::new(move |request| {
                std::thread::sleep(takes);
                assert!(!matches!(request, OperatorRequest::Approve { id: 13, .. }), "unlucky");
                keep.lock().unwrap().push(request);
                OperatorReply::Ok { text: "done".into(), ledger: None }
            });
            let (stop, stopped) = oneshot::channel();
            let listener = UnixListener::from_std(socket.listener).unwrap();
            let task = tokio::spawn(run(listener, handler, limits, async { drop(stopped.await) }));
            Self { directory, asked, stop: Some(stop), task }
        }

        async fn connect(&self) -> UnixStream {
            UnixStream::connect(self.directory.path().join("s")).await.unwrap()
        }

        async fn says(&self, octets: &[u8]) -> OperatorReply {
            let mut client = self.connect().await;
            let _ = client.write_all(octets).await; // it may have been cut off
            reply(&mut client).await
        }
    }

    async fn reply(client: &mut UnixStream) -> OperatorReply {
        let mut line = String::new();
        client.read_to_string(&mut line).await.unwrap();
        assert!(line.ends_with('\n') && line.lines().count() == 1, "{line:?}");
        serde_json::from_str(&line).unwrap()
    }

    fn quick() -> Limits {
        Limits { patience: Duration::from_millis(200), ..Limits::DEFAULT }
    }

    #[tokio::test]
    async fn a_line_is_asked_in_the_name_of_the_peer() {
        let served = Served::start(Limits::DEFAULT, Duration::ZERO);
        let done = OperatorReply::Ok { text: "done".into(), ledger: None };
        assert_eq!(served.says(b"{\"approve\":{\"id\":7,\"reason\":\"seen\"}}\n").await, done);
        let me = person(rustix::process::getuid().as_raw());
        let expected = OperatorRequest::Approve { id: 7, reason: "seen".into(), person: me };
        assert_eq!(*served.asked.lock().unwrap(), [expected]);
        // the end of what is written ends a line as well
        let mut client = served.connect().await;
        client.write_all(b"{\"held\":{}}").await.unwrap();
        client.shutdown().await.unwrap();
        assert_eq!(reply(&mut client).await, done);
        assert_eq!(served.asked.lock().unwrap()[1], OperatorRequest::Held { secret: false });
    }

    #[tokio::test]
    async fn what_is_no_request_is_refused_and_asks_nothing() {
        let served = Served::start(quick(), Duration::ZERO);
        let long = format!("{{\"lift\":{{\"name\":\"{}\",\"reason\":\"r\"}}}}\n", "a".repeat(70_000));
        for (octets, code) in [
            (&b"hello\n"[..], "request"),
            (b"\n", "request"),
            (b"\xff\xfe\n", "request"),
            (b"{\"lift\":{\"name\":\"a.example\",\"reason\":\"\"}}\n", "reason"),
            (b"{\"lift\":{\"name\":\"192.0.2.1\",\"reason\":\"r\"}}\n", "name"),
            (b"{\"held\":{}}\n{\"held\":{}}\n", "done"), // one request a connection: the second is not read
            (long.as_bytes(), "too-long"),
            (b"{\"held\":", "slow"),
            (b"", "slow"),
        ] {
            assert_eq!(
                served.says(octets).await.word(),
                code,
                "{:?}",
                String::from_utf8_lossy(&octets[..octets.len().min(50)])
            );
        }
        assert_eq!(served.asked.lock().unwrap().len(), 1);
    }

    #[tokio::test]
    async fn the_longest_line_that_is_read_has_its_limit() {
        let served = Served::start(Limits { octets: 11, ..quick() }, Duration::ZERO);
        assert_eq!(served.says(b"{\"held\":{}}\n").await.word(), "done");
        assert_eq!(served.says(b"{\"held\": {}}\n").await.word(), "too-long");
    }

    #[tokio::test]
    async fn a_handler_that_panics_fails_one_request() {
        let served = Served::start(Limits::DEFAULT, Duration::ZERO);
        assert_eq!(served.says(b"{\"approve\":{\"id\":13,\"reason\":\"r\"}}\n").await.word(), "failed");
        assert_eq!(served.says(b"{\"held\":{}}\n").await.word(), "done");
    }

    #[tokio::test]
    async fn silent_clients_give_their_places_back() {
        let served = Served::start(Limits { connections: 2, ..quick() }, Duration::ZERO);
        let _silent = (served.connect().await, served.connect().await);
        assert_eq!(served.says(b"{\"held\":{}}\n").await.word(), "done");
        assert_eq!(served.connect().await.write(b"").await.unwrap(), 0); // one that goes without a word
        assert_eq!(served.says(b"{\"held\":{}}\n").await.word(), "done");
    }

    #[tokio::test]
    async fn a_request_under_way_is_answered_before_the_end() {
        let mut served = Served::start(Limits::DEFAULT, Duration::from_millis(300));
        let mut client = served.connect().await;
        client.write_all(b"{\"held\":{}}\n").await.unwrap();
        sleep(Duration::from_millis(100)).await;
        served.stop.take().unwrap().send(()).unwrap();
        assert_eq!(reply(&mut client).await.word(), "done");
        served.task.await.unwrap();
        assert!(UnixStream::connect(served.directory.path().join("s")).await.is_err());
    }

    #[tokio::test]
    async fn what_is_in_its_place_is_replaced_and_only_its_own_is_removed() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("s");
        fs::write(&path, "left by somebody").unwrap();
        let (_first, first_place) = Socket::bind(&path, None).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, MODE);
        let (second, second_place) = Socket::bind(&path, None).unwrap();
        first_place.remove();
        assert!(UnixStream::connect(&path).await.is_ok(), "the second one's is there");
        drop(second);
        assert!(UnixStream::connect(&path).await.is_err(), "stale");
        let (_third, third_place) = Socket::bind(&path, None).unwrap();
        assert!(UnixStream::connect(&path).await.is_ok());
        second_place.remove();
        third_place.remove();
        third_place.remove(); // it is gone: nothing happens
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0, "nothing is left aside");
    }

    #[tokio::test]
    async fn a_group_may_be_let_in_and_shut_out() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("s");
        let mode = || fs::metadata(&path).unwrap().mode() & 0o7777;
        let own = rustix::process::getgid().as_raw();
        let (_socket, place) = Socket::bind(&path, Some(own)).unwrap();
        assert_eq!((mode(), fs::metadata(&path).unwrap().gid()), (MODE_WITH_GROUP, own));
        place.permit(None).unwrap();
        assert_eq!(mode(), MODE);
        if !rustix::process::geteuid().is_root() {
            let error = place.permit(Some(0)).unwrap_err();
            assert!(error.to_string().contains("must be a member"), "{error}");
            assert_eq!(mode(), MODE, "nobody is let in by half");
        }
    }

    #[test]
    fn a_path_that_is_too_long_says_what_to_do() {
        let directory = tempfile::tempdir().unwrap();
        let deep = directory.path().join("x".repeat(100));
        fs::create_dir(&deep).unwrap();
        let error = Socket::bind(&deep.join("control.sock"), None).unwrap_err();
        assert!(error.to_string().contains("[operators] socket"), "{error}");
        assert!(Socket::bind(Path::new("/nowhere/at/all/s"), None).is_err());
    }

    #[test]
    fn users_are_known_by_the_first_line_with_their_number() {
        let users = "root:x:0:0:root:/root:/bin/sh\n# a comment\n:x:5:5::/:\nalice:x:1000:1000:A,,,:/home/alice:/bin/sh\n\
                     bob:x:1000:1000::/:\nbroken:x:many:1::/:\n+::::::\n";
        assert_eq!(name_of(users, 0), Some("root"));
        assert_eq!(name_of(users, 1000), Some("alice"));
        assert_eq!(name_of(users, 1001), None);
        assert_eq!(name_of(users, 5), None);
        assert_eq!(person(u32::MAX - 7), "unnamed (uid 4294967288)");
    }
}
