//! [`check`]: no figure for a server that does not answer rightly. It also fills the cache.

use std::time::Duration;

use crate::args::Args;
use crate::names::{Half, List, Scope, mix};
use crate::probe::{Answer, Probe};
use crate::questions::{Workload, unlisted};
use crate::running::Running;

/// Listed names, and names around them, that are asked for; cached ones are asked for all.
const SAMPLE: usize = 2_000;
/// Attempts at a question; a loaded machine is slow, not wrong.
const ATTEMPTS: usize = 3;

/// What the server gets wrong, if anything.
pub(crate) fn check(running: &Running, args: &Args, listed: &Workload, cached: &Workload) -> Result<(), String> {
    let mut probe = Probe::new(running.site.dns, Duration::from_secs(1)).map_err(|error| error.to_string())?;
    if running.server.is_reflector() {
        let echoed = listed.packets().take(SAMPLE).all(|packet| probe.is_echoed(packet));
        return if echoed { Ok(()) } else { Err("something does not come back".to_owned()) };
    }
    let mut expect = |packet: &[u8], wanted: Answer| {
        let right = (0..ATTEMPTS).any(|_| probe.packet(packet) == wanted);
        if right { Ok(()) } else { Err(format!("{} is not answered {wanted:?}", name(packet))) }
    };
    for packet in listed.packets().take(SAMPLE) {
        expect(packet, Answer::Blocked)?;
    }
    for packet in cached.packets() {
        expect(packet, Answer::True)?;
    }
    let list = List { half: Half::A, names: args.names() };
    for n in (0..SAMPLE as u32).map(|n| mix(n) % list.names) {
        let below = if list.scope(n) == Scope::Subtree { Answer::Blocked } else { Answer::True };
        expect(&question(&format!("below.{}", list.name(n)), args), below)?;
        expect(&question(&format!("beside-{}", list.name(n)), args), Answer::True)?;
    }
    expect(&question(&format!("new.{}", unlisted(0)), args), Answer::True)
}

fn question(name: &str, args: &Args) -> Vec<u8> {
    crate::questions::packet(name, args.edns)
}

/// The name of a question of ours, for people.
fn name(packet: &[u8]) -> String {
    let mut rest = &packet[crate::questions::HEADER..];
    let mut labels = Vec::new();
    while let Some((length, more)) = rest.split_first().filter(|(length, _)| **length > 0) {
        let (label, after) = more.split_at(usize::from(*length).min(more.len()));
        labels.push(String::from_utf8_lossy(label).into_owned());
        rest = after;
    }
    labels.join(".")
}
