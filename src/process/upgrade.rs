//! The hand-over to a new process, without losing a query: for a new program file, or a configuration that a reload
//! cannot take over.
//!
//! ```text
//!  old                                         new
//!   | SIGUSR2: starts the program file          |
//!   |------ sockets, lock, over the line ------>| reads configuration and sources, publishes its policy
//!   | goes on answering, publishing             |
//!   |<----------------- ready ------------------|
//!   | tells systemd who is the main process     |
//!   | stops reading                             |
//!   |------------------- go ------------------->| answers: what arrived meanwhile waits in the sockets
//!   | answers what is under way, ends           |
//! ```
//!
//! The *line* is a pair of stream sockets; the new process finds its end as standard input, and the pid of the old one
//! in the environment. An octet on it says what it carries ([`Tag`]), and descriptors travel beside it (SCM_RIGHTS,
//! unix(7)), so that no number has to be agreed upon and none has to be made a value by `unsafe`. The protocol is part
//! of what two releases have to agree upon: a tag that is not known ends the new process, and the old one goes on.
//!
//! The sockets are the same in both processes, queues included, so nothing is bound, hashed or closed anew. They do not
//! answer at the same time: a client never sees an answer of the old policy after one of the new. The lock of the state
//! directory belongs to the open file, which both have.
//!
//! If the new process ends, or is not ready within [`PATIENCE`], the old one says so and goes on as if nothing had
//! been. If the old one dies before its word to go, the new one goes.

use std::env;
use std::fs::File;
use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::mem::MaybeUninit;
use std::net::{TcpListener, UdpSocket};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::{Child, Command};
use std::time::Duration;

use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use rustix::process::{Pid, Signal, kill_process};
use tokio::io::AsyncReadExt;
use tokio::time::{Instant, sleep, timeout_at};

use super::sockets::{Copies, Inherited};

/// How long a new process may take until it is ready. It reads all sources in that time.
const PATIENCE: Duration = Duration::from_secs(300);
/// How long the new process waits for the word to go: the old one answers what its sockets hold first.
const RELIEF: Duration = Duration::from_secs(10);
/// How long the old process may take to pass its descriptors.
const PASSING: Duration = Duration::from_secs(10);
/// How long a new process that gave up may take to say why and end.
const LAST_WORDS: Duration = Duration::from_secs(2);
/// Holds the pid of the process that hands over.
const VARIABLE: &str = "PAGAR_HANDOVER";
/// Descriptors in one message; the kernel takes 253 (SCM_MAX_FD).
const AT_ONCE: usize = 200;

/// What an octet on the line says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum Tag {
    /// UDP sockets for DNS.
    Udp = b'u',
    /// TCP listeners for DNS.
    Tcp = b't',
    /// The HTTP listener.
    Web = b'w',
    /// The state directory, locked.
    State = b's',
    /// That was all.
    End = b'.',
    /// From the new process: ready to answer.
    Ready = b'r',
    /// To the new process: nobody else reads any more.
    Go = b'g',
}

impl Tag {
    fn read(octet: u8) -> io::Result<Self> {
        let known = [Self::Udp, Self::Tcp, Self::Web, Self::State, Self::End, Self::Ready, Self::Go];
        known.into_iter().find(|tag| *tag as u8 == octet).ok_or_else(|| {
            io::Error::other(format!("the old process says {octet:#04x}, which this release does not know: restart"))
        })
    }
}

//------ The old process ------

/// What a new process gets.
#[derive(Debug)]
pub struct Estate {
    /// The listening sockets.
    pub sockets: Copies,
    /// The state directory, locked.
    pub state: OwnedFd,
}

/// A new process that is not ready yet. Dropped, it is killed: the hand-over is called off.
#[derive(Debug)]
pub struct Successor {
    child: Child,
    line: tokio::net::UnixStream,
    deadline: Instant,
    /// Why it did not get everything; usually it has ended, and its exit code says more.
    failure: Option<io::Error>,
    /// It has taken over, and lives on without us.
    relieved: bool,
}

impl Successor {
    /// Starts the program as this process was started, by the same name and in the same directory: a file that was put
    /// in its place is found. To be called within a runtime.
    pub fn start(estate: &Estate) -> io::Result<Self> {
        let (ours, theirs) = UnixStream::pair()?;
        let mut arguments = env::args_os();
        let program = arguments.next().ok_or_else(|| io::Error::other("the program's name is not known"))?;
        let mut command = Command::new(program);
        command.args(arguments).stdin(OwnedFd::from(theirs)).env(VARIABLE, std::process::id().to_string());
        command.env_remove("WATCHDOG_PID"); // names this process, and would make the new one think it is not meant
        let child = command.spawn()?;
        drop(command); // with the other end of the line: if the child ends, the line does
        ours.set_nonblocking(true)?;
        let line = tokio::net::UnixStream::from_std(ours)?;
        let deadline = Instant::now() + PATIENCE;
        let mut successor = Self { child, line, deadline, failure: None, relieved: false };
        successor.failure = successor.pass(estate).err();
        Ok(successor)
    }

    fn pass(&self, estate: &Estate) -> io::Result<()> {
        let Copies { udp, tcp, web } = &estate.sockets;
        let state = std::slice::from_ref(&estate.state);
        for (tag, descriptors) in [(Tag::Udp, &udp[..]), (Tag::Tcp, tcp), (Tag::Web, web), (Tag::State, state)] {
            for portion in descriptors.chunks(AT_ONCE) {
                send(&self.line, tag, &portion.iter().map(AsFd::as_fd).collect::<Vec<_>>())?;
            }
        }
        send(&self.line, Tag::End, &[])
    }

    /// Its pid.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits until it is ready to answer; the error says why it never will be. Cancel-safe.
    pub async fn ready(&mut self) -> Result<(), String> {
        if let Some(failure) = self.failure.as_ref().map(ToString::to_string) {
            return Err(format!("{} ({failure})", self.last_words().await));
        }
        let mut word = [0];
        match timeout_at(self.deadline, self.line.read(&mut word)).await {
            Ok(Ok(1)) if word == [Tag::Ready as u8] => Ok(()),
            Ok(_) => Err(self.last_words().await),
            Err(_) => Err(format!("it was not ready within {} s", PATIENCE.as_secs())),
        }
    }

    async fn last_words(&mut self) -> String {
        let until = Instant::now() + LAST_WORDS;
        while Instant::now() < until {
            if let Ok(Some(status)) = self.child.try_wait() {
                return format!("it ended with {status}");
            }
            sleep(Duration::from_millis(10)).await;
        }
        "it gave up".to_owned()
    }

    /// Has it read the configuration again as soon as it answers. It must be ready: then it does not die of the signal.
    pub fn reload(&self) {
        if let Err(error) = kill_process(Pid::from_child(&self.child), Signal::HUP) {
            tracing::warn!(%error, "the new process cannot be told to read its configuration again");
        }
    }

    /// Tells it that nobody reads from the sockets any more. The error says that it is gone.
    pub fn go(mut self) -> io::Result<()> {
        self.relieved = true;
        send(&self.line, Tag::Go, &[])
    }
}

impl Drop for Successor {
    fn drop(&mut self) {
        if !self.relieved {
            let _ = self.child.kill(); // it may have ended by itself
            let _ = self.child.wait();
        }
    }
}

/// The next word of a successor, if there is one; without one it waits for ever.
pub async fn readiness(successor: &mut Option<Successor>) -> Result<(), String> {
    match successor {
        Some(successor) => successor.ready().await,
        None => std::future::pending().await,
    }
}

fn send(line: impl AsFd, tag: Tag, descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(AT_ONCE))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !descriptors.is_empty() && !control.push(SendAncillaryMessage::ScmRights(descriptors)) {
        return Err(io::Error::other("too many descriptors in one message"));
    }
    sendmsg(line, &[IoSlice::new(&[tag as u8])], &mut control, SendFlags::NOSIGNAL)?;
    Ok(())
}

//------ The new process ------

/// The process that hands over to this one, as long as it has not been relieved.
#[derive(Debug)]
pub struct Predecessor {
    line: UnixStream,
}

/// What this process got from the one before.
#[derive(Debug)]
pub struct Heritage {
    /// The listening sockets.
    pub sockets: Inherited,
    /// The state directory, locked.
    pub state: Option<OwnedFd>,
    /// Who gave it.
    pub predecessor: Predecessor,
}

impl Heritage {
    /// Takes over from the process that started this one to be relieved; `None` if nobody did.
    pub fn take() -> io::Result<Option<Self>> {
        let parent = rustix::process::getppid().map(|pid| pid.as_raw_nonzero().to_string());
        if env::var(VARIABLE).ok() != parent || parent.is_none() {
            return Ok(None); // a variable that was left in somebody's environment names somebody else
        }
        let line = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
        rustix::stdio::dup2_stdin(File::open("/dev/null")?)?;
        Self::receive(line).map(Some)
    }

    fn receive(line: UnixStream) -> io::Result<Self> {
        line.set_read_timeout(Some(PASSING))?;
        let (mut sockets, mut state) = (Inherited::default(), None);
        loop {
            let (tag, descriptors) = receive(&line)?;
            match tag {
                Tag::Udp => sockets.udp.extend(descriptors.into_iter().map(UdpSocket::from)),
                Tag::Tcp => sockets.tcp.extend(descriptors.into_iter().map(TcpListener::from)),
                Tag::Web => sockets.web.extend(descriptors.into_iter().map(TcpListener::from)),
                Tag::State => state = descriptors.into_iter().next(),
                Tag::End => return Ok(Self { sockets, state, predecessor: Predecessor { line } }),
                Tag::Ready | Tag::Go => return Err(io::Error::other("the old process speaks out of turn")),
            }
        }
    }
}

impl Predecessor {
    /// Says that this process is ready, and waits until the old one reads no more.
    pub fn relieve(mut self) -> io::Result<()> {
        self.line.set_read_timeout(Some(RELIEF))?;
        self.line.write_all(&[Tag::Ready as u8])?;
        match self.line.read(&mut [0]) {
            Ok(0) => tracing::warn!("the old process has ended without a word"),
            Ok(_) => {}
            // both answering is better than neither
            Err(error) => tracing::warn!(%error, "the old process does not say that it has stopped reading"),
        }
        Ok(())
    }
}

/// The next octet on the line and what came with it. Octets are read one by one: each was sent with descriptors of its
/// own.
fn receive(line: &UnixStream) -> io::Result<(Tag, Vec<OwnedFd>)> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(AT_ONCE))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut octet = [0];
    let received = recvmsg(line, &mut [IoSliceMut::new(&mut octet)], &mut control, RecvFlags::CMSG_CLOEXEC)?;
    if received.bytes == 0 {
        return Err(io::Error::other("the old process has called the hand-over off"));
    }
    let mut descriptors = Vec::new();
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(rights) = message {
            descriptors.extend(rights);
        }
    }
    Ok((Tag::read(octet[0])?, descriptors))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_passed_arrives_by_kind_and_is_the_same_socket() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let udp: Vec<_> = (0..AT_ONCE + 3).map(|_| UdpSocket::bind("127.0.0.1:0").unwrap()).collect();
        let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
        let directory = tempfile::tempdir().unwrap();
        let state = File::open(directory.path()).unwrap();
        let addresses: Vec<_> = udp.iter().map(|socket| socket.local_addr().unwrap()).collect();
        for portion in udp.chunks(AT_ONCE) {
            send(&ours, Tag::Udp, &portion.iter().map(AsFd::as_fd).collect::<Vec<_>>()).unwrap();
        }
        send(&ours, Tag::Web, &[tcp.as_fd()]).unwrap();
        send(&ours, Tag::State, &[state.as_fd()]).unwrap();
        send(&ours, Tag::End, &[]).unwrap();
        // a query that came before the hand-over is still there after it
        UdpSocket::bind("127.0.0.1:0").unwrap().send_to(b"early", addresses[0]).unwrap();
        drop(udp);
        let heritage = Heritage::receive(theirs).unwrap();
        let arrived: Vec<_> = heritage.sockets.udp.iter().map(|socket| socket.local_addr().unwrap()).collect();
        assert_eq!(arrived, addresses);
        assert_eq!(heritage.sockets.web[0].local_addr().unwrap(), tcp.local_addr().unwrap());
        assert!(heritage.sockets.tcp.is_empty() && heritage.state.is_some());
        let mut query = [0; 16];
        assert_eq!(heritage.sockets.udp[0].recv(&mut query).unwrap(), 5);
    }

    #[test]
    fn a_line_that_ends_or_speaks_another_language_is_an_error() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        drop(ours);
        assert!(Heritage::receive(theirs).unwrap_err().to_string().contains("called the hand-over off"));
        let (mut ours, theirs) = UnixStream::pair().unwrap();
        ours.write_all(b"?").unwrap();
        assert!(Heritage::receive(theirs).unwrap_err().to_string().contains("0x3f"));
    }

    #[test]
    fn the_new_process_goes_when_it_is_told_or_the_old_one_is_gone() {
        let (mut ours, theirs) = UnixStream::pair().unwrap();
        let relieving = std::thread::spawn(|| Predecessor { line: theirs }.relieve());
        let mut word = [0];
        ours.read_exact(&mut word).unwrap();
        assert_eq!(word, [Tag::Ready as u8]);
        assert!(!relieving.is_finished(), "it waits");
        send(&ours, Tag::Go, &[]).unwrap();
        relieving.join().unwrap().unwrap();
        let (ours, theirs) = UnixStream::pair().unwrap();
        let relieving = std::thread::spawn(|| Predecessor { line: theirs }.relieve());
        let _ = (&ours).read_exact(&mut word);
        drop(ours);
        relieving.join().unwrap().unwrap();
    }

    #[test]
    fn nobody_hands_over_to_a_process_that_was_just_started() {
        assert!(Heritage::take().unwrap().is_none());
    }
}
