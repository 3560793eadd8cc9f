//! What happens to a notice, from a file to an answer.
//!
//! # The stations
//!
//! 1. **A look.** A [`Loader`](crate::ingest::Loader) remembers what it has seen of its source and reports only what
//!    changed, as an [`Update`](crate::ingest::Update). Looks are taken when inotify tells of a change, again while a
//!    file is not yet quiet, and every 30 s whatever happens: an event that is lost costs time and never the change
//!    ([`ingest::watch`](crate::ingest::watch)).
//! 2. **Parsing** ([`ingest::format`](crate::ingest::format)): octets in, a [`Document`](crate::ingest::Document) and
//!    [`Problem`](crate::ingest::Problem)s with line and column out. A URL, an address, a wildcard, the root or a bare
//!    top-level domain is refused as an item, never widened; the rest of the notice proceeds.
//! 3. **Checking** ([`verify::check`](crate::verify::check)): the authority is configured and may order the category,
//!    `nxdomain` stands on subtrees only, the dates leave some time in force.
//!    Then the guard ([`verify::guard`](crate::verify::guard)) looks at every name: one that is a public suffix, our own, an
//!    authority's or protected, or above such a one, waits for two persons; a list that has changed out of proportion to
//!    the names in force ([`size`](crate::verify::guard::size)) waits for one, and its last good content stays. Persons
//!    are heard on the operators' socket ([`web::operator`](crate::web::operator)).
//! 4. **State** ([`State`](crate::control::state::State)), a machine without I/O or clock: a document is accepted or
//!    refused as a whole. A refused new version leaves the old one in force. An id or sequence number of an authority
//!    names one payload, over all sources. What goes is taken out before what comes is checked, documents found
//!    together may change places, and refused ones are tried again after every change: a notice that moves to another
//!    file or directory stays in force.
//! 5. **Registering** ([`policy::register`](crate::policy::register)): each notice gets a slot, each of its names a set
//!    of the slots that list it. One name, or some thousand, go into the overlay of the [`Index`](crate::policy::Index),
//!    and only the rules of the sets that changed are decided anew; so a change costs what it changes, however long
//!    the lists are. A longer list is built into new layers of the index. A notice that takes effect or expires costs the
//!    decision of its sets; one that goes leaves its names behind, in sets without a notice in force, until what has
//!    piled up is merged, on a thread of its own.
//! 6. **Publishing** ([`PolicyWriter::publish`](crate::policy::PolicyWriter::publish)): if an answer differs, the
//!    policy gets the next [`Serial`](crate::control::serial::Serial). One pointer is swapped; every batch that starts
//!    from then on is answered by the new policy.
//!
//! The control task takes all updates at hand before it compiles, so a burst of files is one publication.
//!
//! # When a file is whole
//!
//! A file that is renamed into its place, or closed after writing, is taken at once; one that is left open, when it has
//! rested, a notice for up to 500 ms, a list for 2 s; at start every file is taken as it is. Half a notice is no JSON
//! and is refused. Half a list is a list, and its last line may be half a name. So both are to be written aside and
//! renamed.
//!
//! # Time
//!
//! The control thread sleeps until the next notice takes effect or expires, and never longer than a second, so that a
//! wall clock that is set forward or back is noticed ([`control::clock`](crate::control::clock) says what is believed of it). `effective_at` is the first instant in force, `expires_at` the
//! first instant no longer in force.
//!
//! # What is kept when something is wrong
//!
//! | what happens | what is in force | where it shows |
//! |---|---|---|
//! | a notice file no longer parses, or cannot be read | its last good content | log, `pagar_source_problems` |
//! | a new version of a notice is refused | the old version | log, `pagar_source_problems` |
//! | a notice file is deleted | nothing of it, after 100 ms of absence | `pagar_notice_lift_seconds` |
//! | a notice moves to another file or directory | the notice, without a gap | |
//! | a target of a notice is refused | the other targets | log, `pagar_guard_refused_total` |
//! | a line of a list is bad | the other lines | log, `pagar_guard_refused_total` |
//! | more bad lines than good ones | the list's last good state | `pagar_source_failures_total` |
//! | a list is empty or gone, a directory is gone | its last good state | `pagar_source_failures_total` |
//! | an empty directory stands in the place of one with notices | its last good state | `pagar_source_failures_total` |
//! | two files claim one notice id or sequence number | the one known first | log, `pagar_source_problems` |
//! | compiling fails or panics | the last good policy | log, `pagar_policy_compile_failures_total` |
//! | the state directory cannot be written | the new policy all the same | `pagar_state_write_failures_total` |
//! | a reloaded configuration is bad, or a source that is new in it cannot be read | the old configuration | log, `pagar_config_reload_failures_total` |
//!
//! Every notice file with an error counts in `pagar_notices{state="refused"}`, whatever of it is in force; the bad
//! lines of a list do not.
//!
//! Targets are refused one by one, also those of a new version: a target that was in force and is mistyped in it is
//! lifted.
//!
//! A list is lifted by taking its source out of the configuration, not by emptying the file: an emptied list is more
//! likely an accident than an order, and the two cannot be told apart. The same goes for a directory; deleting its
//! files one by one lifts them.
//!
//! "Last good" lives in memory, and in the state directory as well: long lists compiled
//! ([`control::stored`](crate::control::stored)), and in a file beside them, a second or two after a change, what has not
//! come into the layers of the index yet ([`control::recent`](crate::control::recent)). A start takes from there the
//! lists whose files have the digest they had, and the lists and directories that cannot be read; when such a directory
//! is back, what it has no more is lifted. A directory that can be read is read anew: a file that does not
//! parse then is not in force. Where no source at
//! all can be read and nothing is stored, the program does not start. A source is known by its path as it is written:
//! spelt differently, it is another source, which is read anew, and what was kept for broken files of the old one is
//! gone.
//!
//! # Secret notices
//!
//! Names of a notice with sensitivity `secret` stand in no message of a parser, no log line and no metric label; such a
//! notice has no series of its own in `pagar_dns_notice_hits_total`, only its authority, category and action are
//! counted. EDE carries the id of public notices only. `pagar why` and `GET /v1/check` say that a name is listed by
//! such a notice, but withhold the target.
