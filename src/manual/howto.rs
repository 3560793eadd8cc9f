//! What to touch, file by file. Each recipe ends with the test that would fail if something were forgotten.
//!
//! # A list syntax
//!
//! 1. `ingest/format/<x>.rs`: a pure `parse` with the signature of
//!    [`format::hosts::parse`](crate::ingest::format::hosts::parse), on the scanner of
//!    [`format::lines`](crate::ingest::format::lines); `pub mod` in `ingest/format/mod.rs`.
//! 2. A variant of [`ListFormat`](crate::ingest::ListFormat); the compiler then points to `take` in `ingest/list.rs`.
//! 3. `config/resolve/source.rs`: the word in `FORMATS` (and out of the "not built yet" line, if it stands there).
//! 4. `config/pagar.toml` and `deploy/man/pagar.toml.5`.
//!
//! Its own tests are those of its siblings: good lines, bad lines with their place, arbitrary octets.
//!
//! # A source
//!
//! 1. `ingest/<x>.rs`: what to remember between looks, and a `scan` that fills an [`Update`](crate::ingest::Update). A
//!    failure fills `failure` and nothing else, so that the last good content stays.
//! 2. A variant of [`Kind`](crate::ingest::Kind); the compiler then points to `ingest/loader.rs`, to
//!    `ingest/watch/layout.rs` (what to watch) and to `config/resolve/source.rs`.
//! 3. Its keys: a table in `config/keys.rs`, there also in `ALL` and `SOURCE_KINDS`; its dispatch in
//!    `config/structure.rs`; a struct in `config/spec.rs`; its meaning in `config/resolve/source.rs`.
//! 4. `config/pagar.toml` and `deploy/man/pagar.toml.5`. The tests of `config` compare keys, structs and the example.
//!
//! # An action
//!
//! 1. A variant of [`Action`](crate::model::Action), in `ALL` and `as_str`. The compiler then points to
//!    [`reply::blocked`](crate::dns::reply::blocked), the only `match` on it in the data plane. Never write `_ =>`
//!    there.
//! 2. What scopes or notices may carry it: [`verify::check`](crate::verify::check), and `config/resolve/standing.rs`
//!    for standing notices.
//! 3. `config/pagar.toml`, `deploy/man/pagar.toml.5`, the table in [`query_path`](super::query_path).
//!
//! # A transport
//!
//! 1. `dns/listen/<x>.rs`: carries messages to [`Core::fast`](crate::dns::core::Core::fast) and, for what that calls a
//!    miss, [`Core::wait`](crate::dns::core::Core::wait) and [`Core::conclude`](crate::dns::core::Core::conclude), with its own bounds on clients, size and time. Frames on
//!    any stream are served by [`connection::serve`](crate::dns::listen::stream::connection::serve).
//! 2. A variant of [`Transport`](crate::observe::counters::Transport) and of its `ALL`: the metric label.
//! 3. Its socket: [`Sockets`](crate::dns::listen::Sockets), [`process::sockets`](crate::process::sockets); started
//!    and drained in `dns/mod.rs`.
//! 4. Its keys, as below.
//!
//! # A metric
//!
//! Written by the control plane or an upstream: a field with its `opts` line in `observe/metrics.rs`. Written by query
//! threads: a field in [`Counters`](crate::observe::counters::Counters), a `Family` in `observe/metrics.rs` and its
//! line in `SUMMED`, the sum in `observe/sum.rs`. No label may hold a domain name or a client address, and every label
//! needs a bound. A series that names a part of the configuration ends with it: a `forget` beside `declare`, called on
//! reload. Then `deploy/man/pagar.1` and, if somebody should be called for it, a rule in `deploy/prometheus` with its
//! test. `promtool check metrics` runs in the tests.
//!
//! # A reason to refuse something
//!
//! A [`Problem::code`](crate::ingest::Problem::code) is a label of `pagar_guard_refused_total` and stays as it is: a
//! new one goes into [`CODES`](crate::ingest::CODES), from which its series start at 0, and under *Reason codes* of
//! `deploy/man/pagar.1`. An `Error` says that something
//! ordered is not in force, and its file counts as refused; everything else is a `Warning`.
//!
//! # A name that is to be protected
//!
//! A line in `config/protected.names`, in the group whose comment gives its reason, or a new group with one; `*.` only if
//! nobody else's corner of it could be what an order is about. A test reads the file.
//!
//! # A configuration key
//!
//! 1. `config/keys.rs`: a line in its table (and out of `not_built`, if it stands there).
//! 2. `config/spec.rs`: the field, with its place (`Spanned`).
//! 3. `config/resolve/<table>.rs`: its range, its default, what contradicts it; a message says what to write instead.
//! 4. Where it goes: [`dns::Settings`](crate::dns::Settings) if a reload may change it; otherwise a line in
//!    `needs_restart` of `serve.rs`.
//! 5. `config/pagar.toml` and `deploy/man/pagar.toml.5`.
//!
//! # A command
//!
//! `cli/<x>.rs` with its `Options`, a variant in `cli/mod.rs`, `deploy/man/pagar.1`. It ends with an
//! [`ExitError`](crate::error::ExitError); parsing does no I/O.
//!
//! # An endpoint
//!
//! `web/api/<x>.rs`, a line in `router` and one in `INDEX` of `web/mod.rs`; a test compares the two.
//!
//! # A shorter packet path
//!
//! 1. `cargo bench --bench instructions` says what look-ups and answers take, beside `benches/instructions/baseline.txt`.
//!    A quiet machine is not needed. Valgrind's `callgrind_annotate` says where: run the bench's program by hand with the
//!    arguments of `benches/instructions/callgrind.rs`.
//! 2. Whether fewer instructions are less time is another question, above all where memory, locks or the kernel are
//!    waited for: `cargo bench --bench compare -- run --part cpu`, with `--beside` and the program as it was before.
//! 3. `cargo bench --bench instructions -- --save` in the same commit: CI fails if a scene takes over 3 % more than the
//!    baseline. A new path that is asked often is a scene in `benches/instructions/scenes.rs`.
//!
//! # A test
//!
//! - Of one part: in its file, or in `tests.rs` beside it.
//! - Of a rule about answers: `tests/scenarios/<x>.rpl`, the conversation as text; every file there is run. The format
//!   stands in `tests/integration/scenario/mod.rs`.
//! - Of the program: `tests/integration/<x>.rs` and a line in the table of its `main.rs`. `harness.rs` starts pagar on
//!   free ports, `client.rs` asks it, `upstream.rs` answers it, `peers.rs` starts nsd, unbound and named.
//! - Of what a standard wants said to a client: a line in `tests/compliance.txt`, then
//!   `PAGAR_BLESS=1 cargo test compliance`, which writes `tests/compliance.md`. Read its diff before you commit it.
//! - Of what an answer may hold: names in `tests/integration/zones/`, and in `questions.rs` of the differential test,
//!   which compares us with unbound. A difference that is right is an entry with its reason in `compare.rs` there.
//! - A parser of octets from outside: `tests/fuzz/fuzz_targets/<x>.rs` and a `[[bin]]` in `tests/fuzz/Cargo.toml`, a
//!   package of its own, which says how to run it.
