//! Random questions about the zones of `zones/`: names that are there, beside, below and between them, in any case and
//! with any octets; types known and unknown; flags; EDNS of any size with and without options.
//!
//! Names that either server answers by itself (RFC 6303, RFC 6761) are left out: that is a test of its own.

use std::fmt::Write as _;

use crate::client::Over;

/// xorshift64*: the same numbers for the same seed on every machine and with every version.
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        let mut random = Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        (0..8).for_each(|_| _ = random.next());
        random
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 16
    }

    fn below(&mut self, bound: usize) -> usize {
        self.next() as usize % bound
    }

    /// True once in so many times.
    fn once_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }

    fn of<'a, T: ?Sized>(&mut self, choices: &[&'a T]) -> &'a T {
        choices[self.below(choices.len())]
    }
}

/// Names to start from; labels may be put in front of them.
const BASES: &[&str] = &[
    ".",
    "single",
    "a.b.deep",
    "b.deep",
    "anything",
    "x.anything",
    "nowhere", // right below the root
    "example",
    "www.example",
    "mail.example",
    "mixed.example",
    "brief.example",
    "zero.example",
    "only-txt.example",
    "types.example",
    "_sip._tcp.example",
    "_tcp.example",
    "_443._tcp.www.example",
    "svc.example",
    "alias.example",
    "4.100.example",
    "wild.example",
    "not.wild.example",
    "wildcname.example",
    "*.wild.example",
    "c1.example",
    "c2.example",
    "c4.example",
    "to-nodata.example",
    "to-nowhere.example",
    "to-wild.example",
    "circle-1.example",
    "dname.example",
    "host.dname.example",
    "c.dname.example",
    "target.example",
    "a.b.ent.example",
    "b.ent.example",
    "ent.example",
    "sub.example",
    "www.sub.example",
    "w.sub.example",
    "out.sub.example",
    "ns.sub.example",
    "\\000.example",
    "x\\.y.example",
    "x.y.example",
    "\\032.example",
    "\\255\\254\\128.example",
    "\\\\.example",
    "mid.*.star.example",
    "*.star.example",
    "_under_score.example",
    "lllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllll.example",
    "size-450.example",
    "size-480.example",
    "size-500.example",
    "size-1190.example",
    "size-1200.example",
    "size-3000.example",
    "many.example",
    "signed.example",
    "ns.signed.example",
    "kid.signed.example",
    "www.kid.signed.example",
    "nx.kid.signed.example",
];

/// Labels to put in front: few, so that questions come again and are answered from the caches.
const LABELS: &[&str] = &["a", "b", "www", "x", "*", "_tcp", "\\000", "\\.", "\\255", "A\\032b"];

/// A, AAAA, CNAME, TXT and MX come more often than the rest.
const TYPES: &[u16] = &[
    1, 1, 1, 28, 28, 5, 16, 16, 15, 2, 6, 12, 13, 17, 29, 33, 35, 39, 43, 44, 47, 48, 52, 64, 65, 99, 257, 1_000,
    32_769, 65_280, 65_534,
];
/// Types no data has.
pub(super) const META_TYPES: &[u16] = &[0, 41, 249, 250, 251, 252, 253, 254, 255, 200];

/// One question as it goes out.
#[derive(Clone, Debug)]
pub(super) struct Question {
    pub(super) octets: Vec<u8>,
    pub(super) over: Over,
    /// The name as written in zone files.
    name: String,
    pub(super) rtype: u16,
    pub(super) class: u16,
    /// UDP payload size, if there is an OPT record.
    pub(super) edns: Option<u16>,
    pub(super) dnssec_ok: bool,
}

impl Question {
    pub(super) fn random(random: &mut Random) -> Self {
        let mut labels: Vec<Vec<u8>> = Vec::new();
        match random.below(10) {
            0..6 => {}
            6..8 => labels.push(unescaped(random.of(LABELS)).remove(0)),
            8 => (0..2).for_each(|_| labels.push(unescaped(random.of(LABELS)).remove(0))),
            _ => labels.push((0..=random.below(12)).map(|_| random.next() as u8).collect()),
        }
        labels.extend(unescaped(random.of(BASES)));
        if random.once_in(2) {
            labels.iter_mut().flatten().for_each(|octet| {
                if random.once_in(2) {
                    *octet = octet.to_ascii_uppercase();
                }
            });
        }
        if random.once_in(100) {
            fill(&mut labels);
        }
        let rtype = if random.once_in(40) {
            META_TYPES[random.below(META_TYPES.len())]
        } else {
            TYPES[random.below(TYPES.len())]
        };
        let class = if random.once_in(100) { [3, 4, 254, 255, 1_000][random.below(5)] } else { 1 };
        // RD; AD, CD now and then; AA, RA and Z, which mean nothing, rarely
        let mut flags = if random.once_in(50) { 0 } else { 0x100 };
        for (bit, times) in [(0x20, 4), (0x10, 8), (0x400, 50), (0x80, 50), (0x40, 50)] {
            flags |= if random.once_in(times) { bit } else { 0 };
        }
        let edns = [None, Some(512), Some(1_232), Some(1_232), Some(4_096), Some(100), Some(65_535)][random.below(7)];
        let dnssec_ok = edns.is_some() && random.once_in(3);
        let over = if random.once_in(25) { Over::Tcp } else { Over::Udp };
        let mut question = Self { octets: Vec::new(), over, name: text(&labels), rtype, class, edns, dnssec_ok };
        question.write(&labels, flags, random);
        question
    }

    fn write(&mut self, labels: &[Vec<u8>], flags: u16, random: &mut Random) {
        let out = &mut self.octets;
        for word in [random.next() as u16, flags, 1, 0, 0, u16::from(self.edns.is_some())] {
            out.extend(word.to_be_bytes());
        }
        for label in labels {
            out.push(label.len() as u8);
            out.extend_from_slice(label);
        }
        out.push(0);
        out.extend(self.rtype.to_be_bytes());
        out.extend(self.class.to_be_bytes());
        let Some(size) = self.edns else { return };
        let mut options = Vec::new();
        if random.once_in(4) {
            for _ in 0..=random.below(3) {
                // unknown ones, and subnet, padding: nobody here answers them
                let (code, len) = ([100_u16, 65_001, 65_534][random.below(3)], random.below(20));
                options.extend(code.to_be_bytes());
                options.extend((len as u16).to_be_bytes());
                options.extend((0..len).map(|_| random.next() as u8));
            }
        }
        let unknown_flags = if random.once_in(20) { 0x2aaa } else { 0 };
        out.extend([0, 0, 41]);
        out.extend(size.to_be_bytes());
        out.extend((u32::from(self.dnssec_ok) << 15 | unknown_flags).to_be_bytes());
        out.extend((options.len() as u16).to_be_bytes());
        out.extend(options);
    }

    /// The question section.
    pub(super) fn section(&self) -> &[u8] {
        let mut end = 12;
        while self.octets[end] != 0 {
            end += 1 + usize::from(self.octets[end]);
        }
        &self.octets[12..end + 5]
    }

    /// Largest reply that may come.
    pub(super) fn limit(&self) -> usize {
        match (self.over, self.edns) {
            (Over::Tcp, _) => 65_535,
            (Over::Udp, None) => 512,
            (Over::Udp, Some(size)) => usize::from(size).clamp(512, 1_232),
        }
    }
}

impl std::fmt::Display for Question {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        let Self { over, name, rtype, class, edns, dnssec_ok, octets, .. } = self;
        write!(f, "{over:?} {name} TYPE{rtype} CLASS{class} flags {:02x}{:02x}", octets[2], octets[3])?;
        edns.map_or(Ok(()), |size| write!(f, " EDNS {size}{}", if *dnssec_ok { " DO" } else { "" }))?;
        let hex: String = octets.iter().map(|octet| format!("{octet:02x}")).collect();
        write!(f, "\n  {hex}")
    }
}

/// Puts labels of `f` in front until the name is as long as a name may be, give or take a few octets.
fn fill(labels: &mut Vec<Vec<u8>>) {
    loop {
        let len: usize = 1 + labels.iter().map(|label| 1 + label.len()).sum::<usize>();
        if len > 253 {
            return;
        }
        labels.insert(0, vec![b'f'; (254 - len).min(63)]);
    }
}

/// The labels of a name as zone files write it (RFC 1035 §5.1).
fn unescaped(name: &str) -> Vec<Vec<u8>> {
    let mut labels = vec![Vec::new()];
    let mut octets = name.bytes();
    while let Some(octet) = octets.next() {
        let octet = match octet {
            b'.' => {
                labels.push(Vec::new());
                continue;
            }
            b'\\' => match octets.next().unwrap() {
                digit @ b'0'..=b'9' => {
                    let decimal = |value: u32, digit: u8| value * 10 + u32::from(digit - b'0');
                    [digit, octets.next().unwrap(), octets.next().unwrap()].into_iter().fold(0, decimal) as u8
                }
                other => other,
            },
            other => other,
        };
        labels.last_mut().unwrap().push(octet);
    }
    labels.retain(|label| !label.is_empty());
    labels
}

fn text(labels: &[Vec<u8>]) -> String {
    let mut text = String::new();
    for label in labels {
        for octet in label {
            match octet {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'*' => text.push(char::from(*octet)),
                _ => write!(text, "\\{octet:03}").unwrap(),
            }
        }
        text.push('.');
    }
    if text.is_empty() { ".".to_owned() } else { text }
}
