//! [`one`]: one name is added, and lifted again, by the quickest way the server has: how long until its answer changes?

use std::io;
use std::time::{Duration, Instant};

use crate::probe::{Answer, Probe};
use crate::running::Running;

/// How long an answer may stay as it was.
const LIMIT: Duration = Duration::from_secs(60);
/// Between two questions.
const PAUSE: Duration = Duration::from_micros(500);

/// How long it took, each time.
pub(crate) struct Changes {
    pub(crate) added: Vec<Duration>,
    pub(crate) lifted: Vec<Duration>,
}

/// Does it so many times; `None` if the server has no way but a new list.
pub(crate) fn one(running: &Running, times: u32) -> Option<io::Result<Changes>> {
    let mut changes = Changes { added: Vec::new(), lifted: Vec::new() };
    for n in 0..times {
        let name = format!("one{}.added.org", n + 1);
        let begun = Instant::now();
        let done = running.server.add(&running.site, &name)?;
        let took = done.and_then(|()| until(running, &name, "a", Answer::Blocked, begun)).and_then(|added| {
            let begun = Instant::now();
            running.server.lift(&running.site, &name)?;
            Ok((added, until(running, &name, "l", Answer::True, begun)?))
        });
        match took {
            Ok((added, lifted)) => {
                changes.added.push(added);
                changes.lifted.push(lifted);
            }
            Err(error) => return Some(Err(error)),
        }
    }
    Some(Ok(changes))
}

/// Asks below the name, for another one each time, until the answer is as wanted.
fn until(running: &Running, name: &str, prefix: &str, wanted: Answer, begun: Instant) -> io::Result<Duration> {
    let mut probe = Probe::new(running.site.dns, Duration::from_millis(50))?;
    for n in 0.. {
        if probe.name(&format!("{prefix}{n}.{name}")) == wanted {
            return Ok(begun.elapsed());
        }
        if begun.elapsed() > LIMIT {
            break;
        }
        std::thread::sleep(PAUSE);
    }
    Err(io::Error::other(format!("{name} is not answered {wanted:?}")))
}
