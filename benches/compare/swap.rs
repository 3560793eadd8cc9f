//! [`swap`]: the whole list is swapped for another, again and again, while cached questions come at a steady rate.

use std::io;
use std::time::{Duration, Instant};

use crate::args::Args;
use crate::names::{Half, List};
use crate::open::{self, Delays, Schedule};
use crate::probe::{Answer, Probe};
use crate::questions::Workload;
use crate::running::Running;

/// From one swap to the next; more if that takes longer.
const PERIOD: Duration = Duration::from_secs(2);
/// How long a swap may take, beyond the time of the questions.
const LIMIT: Duration = Duration::from_secs(120);
/// How long an answer about the marker is waited for.
const PATIENCE: Duration = Duration::from_millis(50);
/// Between two looks at the marker.
const PAUSE: Duration = Duration::from_millis(2);

/// What came of it.
pub(crate) struct Swapped {
    pub(crate) delays: Delays,
    /// Of each swap that has come into force: from the first file's rename until all of it is seen.
    pub(crate) took: Vec<Duration>,
    /// Resident memory after each, in octets.
    pub(crate) resident: Vec<u64>,
    /// Swaps that were not seen in force at all.
    pub(crate) failed: usize,
}

/// Swaps between the two halves and leaves the first in force.
pub(crate) fn swap(running: &Running, args: &Args, workload: &mut Workload) -> io::Result<Swapped> {
    let lists = [Half::B, Half::A].map(|half| List { half, names: args.names() });
    running.site.prepare(lists[0], running.server.lists())?;
    let schedule = Schedule {
        server: running.site.dns,
        expect: running.expect(),
        rate: args.rate,
        time: args.swapping(),
        from: 0,
    };
    std::thread::scope(|scope| {
        let changer = scope.spawn(|| change(running, lists, args.swapping()));
        let delays = open::ask(&schedule, workload);
        let changes = changer.join().map_err(|_| io::Error::other("the thread that swaps has panicked"))?;
        Ok(Swapped { delays: delays?, ..changes? })
    })
}

fn change(running: &Running, lists: [List; 2], time: Duration) -> io::Result<Swapped> {
    let started = Instant::now();
    let mut swapped = Swapped { delays: Delays::default(), took: Vec::new(), resident: Vec::new(), failed: 0 };
    let mut probe = Probe::new(running.site.dns, PATIENCE)?;
    let mut count = 0;
    // an even number, so that the first list is in force again
    while started.elapsed() + PERIOD < time || count % 2 == 1 {
        std::thread::sleep((PERIOD * (count as u32 + 1)).saturating_sub(started.elapsed()));
        let list = lists[count % 2];
        count += 1;
        let begun = Instant::now();
        running.site.place(list, running.server.lists())?;
        running.server.reread(&running.site, running.pid())?;
        if until_in_force(running, list, count, &mut probe, begun) {
            swapped.took.push(begun.elapsed());
        } else {
            swapped.failed += 1;
        }
        swapped.resident.push(running.resident()?);
    }
    Ok(swapped)
}

/// Waits until all of the list is seen; returns whether it was.
fn until_in_force(running: &Running, list: List, count: usize, probe: &mut Probe, begun: Instant) -> bool {
    for n in 0.. {
        // each name is asked for once, or a cache would know it
        let subtree = !running.server.rereads_subtrees()
            || probe.name(&format!("s{count}-{n}.{}", list.subtree_marker())) == Answer::Blocked;
        if subtree && probe.name(&list.exact_marker()) == Answer::Blocked {
            return true;
        }
        if begun.elapsed() > LIMIT {
            return false;
        }
        std::thread::sleep(PAUSE);
    }
    false
}
