//! Parts, threads, layers, start and stop.
//!
//! # Two planes
//!
//! ```text
//!   notices and lists (files)     operators                clients
//!           |                         |                       |
//!   ingest  read, parse, watch   web::operator       dns::listen  UDP workers, TCP
//!           |  Update                 |                       |
//!   control::task  <------------------'              dns::core::fast  parse, decide
//!     |   docket: judge, append ==> ledger             |           |
//!     |   Life, timers, serials                     listed?     dns::cache
//!     |                                                |           |  miss
//!   policy::compile -> Snapshot                        |        dns::upstream
//!           |                                          |
//!      PolicyWriter ==== one ArcSwap<Snapshot> ==== PolicyReader
//!           |                                          ^
//!        asker  -- questions by the node's own sockets -'  -->  receipts
//!
//!   web: /metrics, /healthz, /readyz, /v1/...  ->  control::Handle and observe
//! ```
//!
//! The *control plane* ([`ingest`](crate::ingest), [`verify`](crate::verify), [`control`](crate::control)) decides what
//! is in force. The *data plane* ([`dns`](crate::dns)) answers. They meet in two places only: the control plane
//! publishes a [`Snapshot`](crate::policy::Snapshot) through [`policy::store`](crate::policy::store), and both count
//! into [`observe`](crate::observe). Beside the snapshot goes the preview of a candidate, and each listener has a place
//! where the self-test sits ([`policy::asking`](crate::policy::asking)): all without a lock. So no query can wait for a disk, a parser or a lock of the control plane.
//! [`serve`](crate::serve) is the only file that sees both.
//!
//! # Threads
//!
//! | thread | how many | does | may block on |
//! |---|---|---|---|
//! | `pagar-udp-N` | `[dns] workers` | a socket per listen address, batches of up to 64 queries ([`Worker`](crate::dns::listen::udp::Worker)) | its own sockets |
//! | `pagar-async` | as many | tokio: TCP connections, questions that wait for upstreams | nothing |
//! | `pagar-control` | 1 | judges and records signed notices, compiles and publishes, minds the timers, writes receipts; nice 19 ([`Control`](crate::control::Control)) | its inbox, the state directory with the ledger, notice directories |
//! | `pagar-merge` | 1 while changes are merged | merges what has piled up in the index; nice 19 | nothing |
//! | `pagar-asker` | 1 | asks the node's own sockets about notices; nice 19 (`control/asker.rs`) | answers, 10 s a notice at most |
//! | `pagar-preview` | 1 while a preview runs | waits for its end, frees it; nice 19 ([`Previewer`](crate::control::preview::Previewer)) | time |
//! | `watch-N` | one a source | watches, reads and parses files ([`ingest::watch`](crate::ingest::watch)) | the disk |
//! | `watch-N` of a feed | 1 | asks it and fetches notices; nice 19 ([`ingest::pull`](crate::ingest::pull)) | the network, a minute a request at most; nobody waits for it after the start |
//! | `feed-ID` and its watch | 1 a `[[feed]]` | lists notices, signs checkpoints; nice 19 ([`feed`](crate::feed)) | the disk |
//! | `pagar-web` | 1 | tokio: HTTP, the operators' socket, words to the service manager, the watchdog | nothing; requests of operators run on threads of their own |
//! | main | 1 | waits for signals; on SIGHUP reads the configuration and sources that are new in it | the disk |
//!
//! A worker loads the snapshot once a batch and drops it before it waits: an idle worker does not keep an old list in
//! memory. While two snapshots are alive, after a publication, the memory of both is in use; the writer frees the old
//! one on the control thread ([`PolicyWriter::sweep`](crate::policy::PolicyWriter::sweep)), never on a query thread.
//!
//! # Layers
//!
//! A layer uses only what stands above it; `tests/integration/layering.rs` checks it.
//!
//! | layer | modules |
//! |---|---|
//! | words, without I/O or clock | [`model`](crate::model) |
//! | rules and records | [`policy`](crate::policy), [`ledger`](crate::ledger), [`observe`](crate::observe) |
//! | data plane | [`dns`](crate::dns) |
//! | control plane, never `dns` | [`verify`](crate::verify), [`ingest`](crate::ingest), [`control`](crate::control) |
//! | faces | [`web`](crate::web) |
//! | assembly | [`config`](crate::config), [`cli`](crate::cli), [`process`](crate::process), [`zones`](crate::zones), [`serve`](crate::serve), [`error`](crate::error) |
//!
//! # Start
//!
//! [`serve::serve`](crate::serve::serve), in this order, each failure with the exit code of its
//! [`ExitError`](crate::error::ExitError):
//!
//! 1. sockets that are open already are taken: systemd's, or those of a process that hands over (below);
//! 2. the configuration is read as a whole, or every mistake in it is reported; core dumps are forbidden, or allowed;
//! 3. missing sockets are bound, TCP first: it is the lock against a second instance on the same address
//!    ([`process::sockets`](crate::process::sockets));
//! 4. signals are taken over: one that comes from here on is obeyed after the start;
//! 5. the local zones are read (one that is broken is answered with SERVFAIL), the state directory is opened and locked, one process each, and the next serials are reserved;
//! 6. the ledger is checked and played, the stored policy is taken, every source is read, the first policy is published;
//! 7. a process that hands over stops reading;
//! 8. the workers start. Until here no query is read; what arrives waits in the sockets' buffers;
//! 9. HTTP and the operators' socket start, the `listening` lines go to standard output, and the service manager hears READY=1.
//!
//! A source that cannot be read does not stop the start: it is reported, its last success stays 0, and the rest serves.
//! If not one of the configured sources can be read, the start fails with exit code 3: to answer then would lift every
//! restriction. A ledger that is damaged keeps the program from starting only with `--strict`, and where no policy is stored either
//! ([`notice_path`](super::notice_path)). Once queries are answered, the node asks itself about what is in force and was
//! not seen so before.
//!
//! # Reload and stop
//!
//! SIGHUP reads the configuration again. A bad one changes nothing, and so does one with a new or changed source that
//! cannot be read, or a local zone that is broken: all are logged and counted in `pagar_config_reload_failures_total`.
//! Networks, upstreams, `[forwarding]`, `[cache]` but for its size, limits, cookie secrets (their file is read again),
//! exemptions, balancers, local zones (read again, too), identity, pages, authorities with their keys (read again), the
//! guard and sources take effect at once;
//! no TCP connection is closed for it. Sources that stay the same are not read again; new and changed ones are read on
//! the main thread, so that the timers of the control thread do not wait. If the upstreams or the local zones differ,
//! the cache is forgotten, with what is under way. The metric series of upstreams and sources that left end.
//! `dns.listen`, `dns.workers`, `cache.size`, `ledger.path`, `web.listen`, `process.core_dumps` and `[log]` need a
//! restart or an upgrade, and the log says so when one of them has changed. The service manager hears RELOADING=1
//! before and READY=1 when the new configuration is in force, or was refused.
//!
//! SIGTERM or SIGINT: `/readyz` says 503 from now on. For `process.stop_delay` queries are answered as before, so that
//! routing can send clients elsewhere; a second signal ends that. Then the workers answer what their sockets hold
//! already, at most 256 batches each, and end; connections get a second for queries that are on their way, and
//! questions under way at most three ([`Dns::stop`](crate::dns::Dns::stop),
//! [`Dns::drained`](crate::dns::Dns::drained)).
//!
//! # Upgrade
//!
//! SIGUSR2 starts the program file anew, with the arguments as they were. The new process gets every listening socket
//! and the lock of the state directory, reads configuration and sources, publishes its policy under a serial of its own
//! block, and says that it is ready. Only then the old one stops reading, tells it to go, and answers what is under
//! way. Meanwhile queries wait in the sockets, which are the same in both: none is lost, and none is answered by the
//! old policy after one was by the new. Until it is relieved the old process goes on answering, publishing and
//! reloading. Only the ledger it lends at once, since that can be open in one process at a time: what is signed waits in
//! its files for whoever goes on, and people are refused. If the new one fails, or takes more than five minutes, the
//! ledger is taken back, and nothing has happened but a count in `pagar_upgrade_failures_total`.
//! [`process::upgrade`](crate::process::upgrade) has the protocol.
//!
//! What does not go over: the cache, connections (the old process serves its own to their end), the counters, and a
//! secret of cookies that no file holds.
//!
//! # Watchdog
//!
//! With `WatchdogSec=` systemd restarts the program unless it hears WATCHDOG=1 in time. It is said only while every
//! worker gives its beat, a task on the runtime of the data plane comes back, and the control thread is there
//! ([`process::watchdog`](crate::process::watchdog)). Compiling a long list is no sign of death, however long it takes.
