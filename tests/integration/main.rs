//! Everything that is tested from outside, in one binary so that it links once. A table of contents:
//!
//! | module | what |
//! |---|---|
//! | [`allocations`] | the fast path allocates nothing |
//! | [`layering`] | who may use whom in `src/` (the crate's map in `lib.rs`) |
//! | [`manual`] | the tests that the tables of requirements name exist |
//! | [`scenario`] | DNS conversations as text (`tests/scenarios/*.rpl`) against the real core, without sockets |
//! | [`quickstart`] | the repository's first configuration, served, asked, explained |
//! | [`forwarding`] | what is not listed: passed on, kept, over TCP; what leads to a listed name |
//! | [`local_zones`] | zones that are answered here: the operator's and special-use names |
//! | [`caching`] | bursts of one question, stale answers, failures, a cache that is told to forget |
//! | [`upstreams`] | liars, silence, death and return of upstreams |
//! | [`access`] | cookies, limits, exempt clients |
//! | [`addresses`] | IPv4, IPv6, wildcards, workers, strangers |
//! | [`packets`] | what no client should send |
//! | [`tcp`] | TCP as a full transport, its limits, the PROXY protocol |
//! | [`swap`] | notices and lists that come, change, break and go under queries |
//! | [`no_lift`] | handling of files and configurations that ends no notice |
//! | [`stored`] | long lists over a restart: compiled, sealed, unreadable, changed meanwhile |
//! | [`signed`] | signed notices from the file to the receipt, and what people decide |
//! | [`push`] | signed orders handed in over HTTP, and what became of them |
//! | [`pull`] | notices fetched from a feed, that of a node and one that lies |
//! | [`secrecy`] | names of secret notices are in nothing that a run leaves behind or says |
//! | [`selftest`] | the node asks itself whether it does what notices order |
//! | [`preview`] | what a notice would block, counted before it is in force |
//! | [`letters`] | receipts for people, as a browser prints them |
//! | [`ledger`] | the ledger under kills, full disks and changes, and the commands that verify and export it |
//! | [`kills`] | signed notices while the program is killed at any moment: what a receipt said holds |
//! | [`trouble`] | signed notices and a ledger whose disk is full, read-only or changed |
//! | [`under_load`] | a whole list swapped again and again while questions come in |
//! | [`memory`] | what a list costs in memory, and at most while it is swapped |
//! | [`attacks`] | floods, hoards of connections, silence, shortage: what clients notice, and how long |
//! | [`readiness`] | `/readyz` while the service address is attacked |
//! | [`regulator_walk`] | the guides of `deploy/`, every command of theirs executed |
//! | [`reload`] | SIGHUP |
//! | [`shutdown`] | SIGTERM with questions under way, and a delay before the end |
//! | [`upgrade`] | SIGUSR2: a new process takes over under load, or fails to |
//! | [`systemd`] | what the service manager is told, and sockets it opened |
//! | [`operators`] | the operators' socket: lifting and approving, strangers and slow clients, an upgrade |
//! | [`web_access`] | who may call the API: clients, roles, TLS, limits; persons who decide over HTTP |
//! | [`openapi`] | the API's description, held against what the API answers; schemathesis |
//! | [`abuse`] | whoever pushes too much, too slowly, again and again or without right; queries go on |
//! | [`regulators`] | an authority's own programs in Python and JavaScript against the API |
//! | [`people`] | the command line from a list of names to the receipt and the letter |
//! | [`operations`] | the man page has every metric, the rules of alerts are tested both ways |
//! | [`startup`] | what keeps it from starting, and what `pagar check` says of it |
//! | [`logging`] | what the log holds, and what it must not |
//! | [`jose`] | signed notices: the commands, and two other libraries both ways |
//! | [`validating`] | a validating resolver behind us |
//! | [`compliance`] | what the standards want, as a table; unbound and named beside us |
//! | [`differential`] | random questions to Pagar and to unbound: the same replies |
//!
//! All but the first three start the real program on free ports ([`harness`]), ask it as others would ([`client`]) and
//! let it ask servers inside the test ([`upstream`]) or other people's ([`peers`]). Nothing leaves the machine.

mod abuse;
mod access;
mod addresses;
mod allocations;
mod attacks;
mod caching;
mod client;
mod compliance;
mod differential;
mod forwarding;
mod harness;
mod jose;
mod kills;
mod layering;
mod ledger;
mod letters;
mod local_zones;
mod logging;
mod manual;
mod memory;
mod no_lift;
mod openapi;
mod operations;
mod operators;
mod packets;
mod peers;
mod people;
mod preview;
mod pull;
mod push;
mod quickstart;
mod readiness;
mod regulator_walk;
mod regulators;
mod reload;
mod scenario;
mod secrecy;
mod selftest;
mod shutdown;
mod signed;
mod startup;
mod stored;
mod swap;
mod systemd;
mod tcp;
mod trouble;
mod under_load;
mod upgrade;
mod upstream;
mod upstreams;
mod validating;
mod web_access;
