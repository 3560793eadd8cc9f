//! [`List`]: the names that are listed, and how servers want them written.
//!
//! The names have the shapes of real lists: 2 to 5 labels, 70 % exact, 30 % subtree. They are made from numbers, so
//! that a list need not be kept; lists of different halves have no name in common. They never leave the machine.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::net::Ipv4Addr;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use jiff::Timestamp;

/// The address a listed name is answered with.
pub(crate) const BLOCKED: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 80);
/// The address every other name has.
pub(crate) const TRUE: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 7);

/// What stands before the serial of a response policy zone.
const RPZ_HEAD: &str = "$ORIGIN rpz.\n$TTL 30\n@ SOA localhost. root.localhost.";

/// What an entry covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scope {
    /// The name only.
    Exact,
    /// The name and everything below it.
    Subtree,
}

/// Which of two lists without a common name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Half {
    A,
    B,
}

impl Half {
    /// Its directory, and a label in its markers.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::A => "a",
            Self::B => "b",
        }
    }
}

/// So many names, and two markers that tell which list is in force.
#[derive(Clone, Copy, Debug)]
pub(crate) struct List {
    pub(crate) half: Half,
    pub(crate) names: u32,
}

/// Spreads consecutive numbers over all 32 bits, each to another one (the Murmur3 finaliser).
pub(crate) fn mix(n: u32) -> u32 {
    let n = (n ^ n >> 16).wrapping_mul(0x85eb_ca6b);
    let n = (n ^ n >> 13).wrapping_mul(0xc2b2_ae35);
    n ^ n >> 16
}

impl List {
    fn word(self, n: u32) -> u32 {
        let base = if self.half == Half::A { 0 } else { 1 << 31 };
        mix(base + n)
    }

    /// Name `n`, without a dot at its end.
    pub(crate) fn name(self, n: u32) -> String {
        let word = self.word(n);
        let suffix = ["com", "net", "org", "my", "info"][word as usize % 5];
        match word / 5 % 10 {
            0..=3 => format!("shop-{word:x}.{suffix}"),
            4..=6 => format!("www.site{word}.{suffix}"),
            7..=8 => format!("login.user{word}.pages.{suffix}"),
            _ => format!("a.b.user{word}.sites.{suffix}"),
        }
    }

    /// What name `n` covers.
    pub(crate) fn scope(self, n: u32) -> Scope {
        if self.word(n) / 50 % 10 < 7 { Scope::Exact } else { Scope::Subtree }
    }

    /// An entry of this list only, for these and everything below: asked for under ever new labels, no cache knows it.
    pub(crate) fn subtree_marker(self) -> String {
        format!("subtree.in-{}.marker.org", self.half.label())
    }

    /// The same for the names that are listed exactly.
    pub(crate) fn exact_marker(self) -> String {
        format!("exact.in-{}.marker.org", self.half.label())
    }

    fn entries(self) -> impl Iterator<Item = (String, Scope)> {
        let names = (0..self.names).map(move |n| (self.name(n), self.scope(n)));
        names.chain([(self.subtree_marker(), Scope::Subtree), (self.exact_marker(), Scope::Exact)])
    }

    fn names_of(self, wanted: Scope) -> impl Iterator<Item = String> {
        self.entries().filter_map(move |(name, scope)| (scope == wanted).then_some(name))
    }
}

/// Writes a list in some syntax.
pub(crate) type Syntax = fn(List, &mut dyn Write) -> io::Result<()>;

/// The exact names, one a line.
pub(crate) fn exact_names(list: List, to: &mut dyn Write) -> io::Result<()> {
    list.names_of(Scope::Exact).try_for_each(|name| writeln!(to, "{name}"))
}

/// The names that stand for their subtrees, one a line.
pub(crate) fn subtree_names(list: List, to: &mut dyn Write) -> io::Result<()> {
    list.names_of(Scope::Subtree).try_for_each(|name| writeln!(to, "{name}"))
}

/// The exact names as a hosts file.
pub(crate) fn exact_hosts(list: List, to: &mut dyn Write) -> io::Result<()> {
    list.names_of(Scope::Exact).try_for_each(|name| writeln!(to, "{BLOCKED} {name}"))
}

/// The subtrees as lines of dnsmasq's configuration.
pub(crate) fn subtree_addresses(list: List, to: &mut dyn Write) -> io::Result<()> {
    list.names_of(Scope::Subtree).try_for_each(|name| writeln!(to, "address=/{name}/{BLOCKED}"))
}

/// A response policy zone, `rpz.`, whose rules are the blocked address.
pub(crate) fn rpz_addresses(list: List, to: &mut dyn Write) -> io::Result<()> {
    rpz(list, &format!("A {BLOCKED}"), to)
}

/// A response policy zone, `rpz.`, whose rules are `CNAME .`, for servers that can be told what else this is to mean.
pub(crate) fn rpz_defaults(list: List, to: &mut dyn Write) -> io::Result<()> {
    rpz(list, "CNAME .", to)
}

fn rpz(list: List, rule: &str, to: &mut dyn Write) -> io::Result<()> {
    writeln!(to, "{RPZ_HEAD} {:010} 3600 600 86400 30\n@ NS localhost.", 1)?;
    for (name, scope) in list.entries() {
        writeln!(to, "{name} {rule}")?;
        if scope == Scope::Subtree {
            writeln!(to, "*.{name} {rule}")?;
        }
    }
    Ok(())
}

/// Gives the zone in a file the seconds since 1970 for a serial, which is more than it had.
pub(crate) fn set_serial(zone: &Path) -> io::Result<()> {
    let seconds = Timestamp::now().as_second();
    let file = OpenOptions::new().write(true).open(zone)?;
    file.write_all_at(format!("{seconds:010}").as_bytes(), RPZ_HEAD.len() as u64 + 1)
}
