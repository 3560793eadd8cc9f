//! What clients notice of a flood, a hoard of connections, a silent upstream or a shortage, measured.
//!
//! The attacks are tests (`tests/integration/attacks.rs`); with every run of the tests each lasts a second or two. The
//! table is from the long measure, which anybody can repeat on a machine that does nothing else:
//!
//! ```sh
//! PAGAR_ATTACK_SECONDS=20 cargo test --release attacks -- --nocapture --test-threads 1
//! ```
//!
//! Beside every attack a meter asks 2,000 times a second for a listed name and one that is kept, on a schedule that a
//! late answer does not hold up; a witness opens a TCP connection for a listed name five times a second, another asks as
//! often for a name nobody has asked for yet. An answer that takes longer than a second is lost. *Calm after* is how long
//! after the end of the attack something is lost or the 99th percentile is more than twice what it was before. All is
//! one server with one upstream, and attacker, meter, upstream and Pagar share two cores: what a delay says is that the
//! processor was busy, so losses and the way back are what to read. Delays in milliseconds, other times in seconds.
//!
//! Two cores of an AMD EPYC, Linux 6.18, loopback, two workers, 20 s each, one run, 2026-11-24:
//!
//! | attack | of which | lost before, during, after | p50 / p99 before | p50 / p99 during | calm after | new by TCP: worked, again after | fresh names: worked, again after | MiB before, after |
//! |---|---|---|---|---|---|---|---|---|
//! | upstream silent, then back | 2000 new names a second | 0 of 9803, 0 of 40001, 0 of 10000 | 0.15 / 2.12 | 0.14 / 15.50 | 0.0 | 100 of 100, 0.0 | 0 of 31, 0.0 | 9, 68 |
//! | idle connections, 1,000 addresses | 10000 tried, 0 open at the end | 0 of 9801, 0 of 41092, 0 of 10000 | 0.13 / 0.33 | 0.11 / 0.86 | 4.5 | 103 of 103, 0.1 | 103 of 103, 0.1 | 9, 14 |
//! | idle connections, one address | 10000 tried, 0 open at the end | 0 of 9802, 0 of 41356, 0 of 10000 | 0.11 / 0.32 | 0.11 / 1.23 | 0.0 | 104 of 104, 0.1 | 104 of 104, 0.1 | 9, 10 |
//! | 256 files, idle connections | 600 tried, 0 open at the end | 0 of 9801, 0 of 40083, 0 of 10000 | 0.13 / 2.05 | 0.12 / 0.72 | 0.0 | 101 of 101, 0.2 | 101 of 101, 0.2 | 9, 10 |
//! | random subdomains, upstream silent | 20000 a second, 43180 reached the upstream | 0 of 9801, 0 of 40001, 0 of 10000 | 0.14 / 2.25 | 0.13 / 2.87 | 0.0 | 100 of 100, 0.0 | 100 of 100, 0.0 | 9, 53 |
//! | random subdomains, NXDOMAIN | 20000 a second, 383618 reached the upstream | 0 of 9801, 0 of 40003, 0 of 10000 | 0.12 / 2.62 | 0.15 / 7.31 | 0.0 | 100 of 100, 0.0 | 86 of 86, 0.1 | 9, 193 |
//! | slow readers | 1000 tried, 569910000 octets of questions taken | 0 of 9801, 0 of 40066, 0 of 10001 | 0.11 / 2.55 | 0.14 / 5.00 | 0.0 | 91 of 92, 0.1 | 88 of 89, 0.1 | 9, 54 |
//! | slow writers | 5000 tried, 0 open at the end | 0 of 9801, 0 of 40285, 0 of 10000 | 0.15 / 1.03 | 0.13 / 1.40 | 0.0 | 101 of 101, 0.1 | 101 of 101, 0.1 | 9, 14 |
//! | many sources, kept answers | 20000 a second from 250 addresses, 9.13 octets for each | 0 of 9802, 0 of 40004, 0 of 10000 | 0.16 / 0.84 | 0.15 / 1.66 | 0.0 | 100 of 100, 0.0 | 100 of 100, 0.0 | 9, 10 |
//! | the same with RRL, clients with cookies | 20000 a second from 250 addresses, 0.57 octets for each | 0 of 9801, 0 of 40005, 0 of 10000 | 0.12 / 0.22 | 0.14 / 1.02 | 5.0 | 100 of 100, 0.0 | 100 of 100, 0.0 | 13, 14 |
//!
//! What to read out of it:
//!
//! - Listed and kept names are answered in every attack, and none was lost: they wait for nothing that an attacker can
//!   take (no lock of the control plane, no upstream, no place).
//! - Names nobody has asked for yet suffer where upstreams are what is attacked: with the only upstream silent they
//!   get SERVFAIL with EDE 22; with it back they are answered at once.
//! - A flood of random names below one zone costs its own zone: an eighth of the places is left to it
//!   ([`domains`](crate::dns::access::domains)).
//! - Of 10,000 idle connections 1,024 have a place at a time, which costs 5 MiB; they give way to whoever comes
//!   ([`places`](crate::dns::listen::stream::places)), also where there are not even that many file descriptors.
//! - Of what seems to come from many addresses, as many octets go out as [`rrl`](crate::dns::access::rrl) lets: 0.6 for
//!   each with 5 answers a second, and clients with cookies see nothing of it; without it, kept answers are an amplifier
//!   like any resolver's, bounded by 1,232 octets.
