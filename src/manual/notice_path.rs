//! What happens to a notice, from a file to an answer and a receipt.
//!
//! ```text
//!  file --look--> unsigned, list: parsed here          signed: as it is
//!                      |                                   |
//!                 check, guard                   judge: signatures, dates, scope, number
//!                      |                                   |          refused: recorded if its sender is known
//!                      |                        ledger: Accepted, on the disk before anything else
//!                      |                                   |
//!                      |                        Life: scheduled, in force, suspended, revoked, expired
//!                      |                                   |
//!                      '---> State --> Register --> Snapshot, published --> queries
//!                                                          |
//!                                    asker: the node's own sockets are asked
//!                                                          |
//!                        ledger: Transition, Published, Enforced --> receipt beside the file
//! ```
//!
//! A signed notice that is handed in over HTTP ([`Desk`](crate::control::Desk)) takes the way of a signed file from *judge* on,
//! in the same append as the files at hand. Who hands it in is answered when it is recorded, and its receipt is made for
//! whoever asks; a refusal is said at once, and what cannot be recorded is not kept: whoever hears that tries again. One of
//! an authority that rehearses (`[[authority]] test`) takes the whole way but for *State*.
//!
//! # The stations
//!
//! 1. **A look.** A [`Loader`](crate::ingest::Loader) remembers what it has seen of its source and reports only what
//!    changed, as an [`Update`](crate::ingest::Update). Looks are taken when inotify tells of a change, again while a
//!    file is not yet quiet, and every 30 s whatever happens: an event that is lost costs time and never the change
//!    ([`ingest::watch`](crate::ingest::watch)). A signed notice, by its name (`*.jws`) or its form, is handed on with
//!    every octet; the rest of this list up to *State* is about the others, unless it says so.
//! 2. **Parsing** ([`ingest::format`](crate::ingest::format)): octets in, a [`Document`](crate::ingest::Document) and
//!    [`Problem`](crate::ingest::Problem)s with line and column out. A URL, an address, a wildcard, the root or a bare
//!    top-level domain is refused as an item, never widened; the rest of the notice proceeds.
//! 3. **Checking** ([`verify::check`](crate::verify::check)): the authority is configured and may order the category,
//!    `nxdomain` stands on subtrees only, the dates leave some time in force. Names that the guard holds are left out, in
//!    lists and unsigned notices for good: only items of signed notices can be approved. A list that has changed out of
//!    proportion to the names in force ([`size`](crate::verify::guard::size)) waits for one person, and its last good
//!    content stays.
//! 4. **Judging** signed notices (`control/docket/judge.rs`), in this order: the envelope is a JWS that we accept; enough
//!    keys of the authority that the payload names have signed ([`verify::keyring`](crate::verify::keyring)); the payload
//!    is an order; it was not issued more than five minutes ahead; *Checking*; no unsigned notice has its id;
//!    [`Life::check`](crate::control::life::Life::check): number and id are not used by another payload, what it is about
//!    is known and not over; there is a key to seal it with if it is secret. Then the guard
//!    ([`verify::guard`](crate::verify::guard)) looks at every item: a public suffix, a name of our own, of an authority
//!    or a protected one, or one above such a name, waits for two persons, while the others proceed. What comes together
//!    is judged in the order of its numbers, whatever the files are called.
//! 5. **Recording** ([`ledger`](crate::ledger)): the envelope as it was received, and a record `accepted`, with one
//!    `held` for each item that waits, in one transaction for all files at hand. Nothing has an effect before that is on
//!    the disk; if it cannot be, the files wait and are tried again each second. Refusals of known senders are recorded
//!    with their envelopes; what nobody is known to have sent is counted only.
//! 6. **Life** ([`Life`](crate::control::life::Life)): a machine without I/O or clock. A notice is a case from its first
//!    order on; amendments, suspensions and revocations change it at the instants when they take effect.
//! 7. **State** ([`State`](crate::control::state::State)), a machine of the same kind: a document is accepted or
//!    refused as a whole. A refused new version leaves the old one in force. An id or sequence number of an authority
//!    names one payload, over all sources. What goes is taken out before what comes is checked, documents found
//!    together may change places, and refused ones are tried again after every change: a notice that moves to another
//!    file or directory stays in force. Of a signed notice it has what the case says now, without the items that are held
//!    or revoked, and no file.
//! 8. **Registering** ([`policy::register`](crate::policy::register)): each notice gets a slot, each of its names a set
//!    of the slots that list it. One name, or some thousand, go into the overlay of the [`Index`](crate::policy::Index),
//!    and only the rules of the sets that changed are decided anew; so a change costs what it changes, however long
//!    the lists are. A longer list is built into new layers of the index. A notice that takes effect or expires costs the
//!    decision of its sets; one that goes leaves its names behind, in sets without a notice in force, until what has
//!    piled up is merged, on a thread of its own.
//! 9. **Publishing** ([`PolicyWriter::publish`](crate::policy::PolicyWriter::publish)): if an answer differs, the
//!    policy gets the next [`Serial`](crate::control::serial::Serial). One pointer is swapped; every batch that starts
//!    from then on is answered by the new policy. Names that people have lifted
//!    ([`Lifts`](crate::policy::lifts::Lifts)) stand beside the index and come first.
//! 10. **Asking** (`control/asker.rs`, [`control::selftest`](crate::control::selftest)): on a thread of its own, every UDP
//!     listener is asked for the names of the case, all of them up to 1,000 and a sample of 1,000 beyond, within 10 s. Of
//!     what was taken out it is seen that it is blocked no more, unless another notice lists it. Lists and unsigned notices
//!     are asked for as well, a sample of up to 1,000 names when they are put in force. What fails is asked again every
//!     10 s and with the next change.
//! 11. **Recording** again: `transition`, `published` and `enforced` (or `enforce-failed`, `lift-seen`) in one
//!     transaction. They follow from what is recorded already, so a crash before it loses nothing.
//!     Lists leave a `list-read` with the digest of their names here.
//! 12. **The receipt** (`control/docket/receipt.rs`), beside the file of each order about the case, new at every change.
//!     It says *enforced* after station 11 and not before. `pagar.1` has its members.
//!
//! The control task takes all updates at hand before it compiles, so a burst of files is one publication.
//!
//! # From a feed
//!
//! A notice that is fetched ([`ingest::pull`](crate::ingest::pull)) enters at the same place as a file that was dropped, with
//! its number in place of a file name, and is judged, recorded and put in force by the same code. What is special happens
//! before: a feed's [`Checkpoint`](crate::verify::checkpoint), which is where its format is written down, says what there is;
//! what the ledger does not have is fetched. A checkpoint is compared with the one before, which the state directory
//! remembers (`feeds/AUTHORITY-…/`), before anything follows from it. After a restart the ledger says what need not be
//! fetched; a notice that was fetched and not recorded is fetched again.
//!
//! [`feed`](crate::feed) is the other end: it lists the signed notices of a directory, signs, and serves them by
//! `web/feed.rs`.
//!
//! # What ends a signed notice
//!
//! A notice, its expiry, or a person. Its file does not matter once it is accepted: it may be deleted, changed or lost
//! with its directory, and whether its source is still configured does not matter either. A lift by a person ends
//! when an order that was accepted after it is in force with this name, one below it, or a subtree around it: not while
//! the order is to take effect later, rests, or has the item held or revoked. What is in force by then and lists the name
//! is asked for anew; the ledger says `lift-ended` and, of each such notice, a `transition` that leaves it in force.
//!
//! An authority that is taken out of the configuration cannot order any more, and what it has ordered is not in force until
//! it is configured again; the cases go on in [`Life`](crate::control::life::Life) meanwhile.
//!
//! # Start, upgrade, damage
//!
//! A start reads the whole ledger, checks each record against the chain, and plays it again
//! (`control/docket/replay.rs`): orders go through `Life` at the instants they came at, then time passes until now. Then
//! the first policy is published, and what was not seen enforced in an earlier run is asked for as soon as queries are
//! answered. Records of a later release are passed over with a warning.
//!
//! Over an upgrade the ledger is lent: the old process closes it while the new one plays it, and takes in nothing signed
//! meanwhile; files wait, queries and unsigned sources go on. If the new one fails, the old one opens and plays it again.
//!
//! A ledger that is damaged, or that another process has, makes the control plane **read-only**: what is stored of the
//! policy is served, lists and unsigned notices are followed, signed notices wait, people are refused (`read-only`), and
//! `pagar_ledger_damaged` is 1. If nothing is stored either, or with `serve --strict`, the program does not start (exit code 3), since it would lift
//! everything. `pagar ledger verify` names the first record that is not as it was written.
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
//! | the file of an unsigned notice is deleted | nothing of it, after 100 ms of absence | `pagar_notice_lift_seconds` |
//! | a notice moves to another file or directory | the notice, without a gap | |
//! | the file of a signed notice is deleted, or its directory is gone | the notice | for the directory: `pagar_source_failures_total` |
//! | a signed notice is refused | what was in force before | its receipt, log, `pagar_guard_refused_total` |
//! | it is about a notice that has not come yet, or its key is not configured yet | as before; it is tried again | likewise |
//! | the ledger cannot be written | as before; signed notices wait, people are refused | log, `pagar_ledger_append_failures_total` |
//! | the ledger is damaged | what is stored | `pagar_ledger_damaged` |
//! | the node's own question is not answered as ordered | the policy; the receipt says *published* and why | log, `pagar_selftest_failures_total` |
//! | a receipt cannot be written | the notice | log |
//! | a target of a notice is refused | the other targets | log, `pagar_guard_refused_total` |
//! | a line of a list is bad | the other lines | log, `pagar_guard_refused_total` |
//! | more bad lines than good ones | the list's last good state | `pagar_source_failures_total` |
//! | a list is empty or gone, a directory is gone | its last good state | `pagar_source_failures_total` |
//! | an empty directory stands in the place of one with notices | its last good state | `pagar_source_failures_total` |
//! | a feed cannot be asked | as before | `pagar_source_failures_total` |
//! | a feed lies, stands still or withholds | as before, and what of it can be believed | `pagar_source_feed_faults_total`, ledger, log |
//! | two files claim one notice id or sequence number | the one known first | log, `pagar_source_problems` |
//! | compiling fails or panics | the last good policy | log, `pagar_policy_compile_failures_total` |
//! | the state directory cannot be written | the new policy all the same | `pagar_state_write_failures_total` |
//! | a reloaded configuration is bad, or a source that is new in it cannot be read | the old configuration | log, `pagar_config_reload_failures_total` |
//!
//! Every notice file with an error counts in `pagar_notices{state="refused"}`, whatever of it is in force; the bad
//! lines of a list do not. Signed notices are cases and no files: they count in the other states, and their names in no
//! `pagar_source_entries`.
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
//! such a notice, but withhold the target. A signed one is sealed in the ledger, as is the record of a lift of one of its
//! names; without `[ledger] key_file` it is refused (`needs-key`). Receipts name items by their numbers, whatever the class.
