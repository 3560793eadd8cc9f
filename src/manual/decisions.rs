//! Decisions the code has taken: what, why, and what would change our mind. New ones go to the end; a decision that
//! falls keeps its number and says what took its place.
//!
//! # Answers
//!
//! 1. **UDP and TCP listeners are ours.** *Why:* hickory-server spends a task and more than twenty allocations on a
//!    datagram, handles a stream's queries one after another and has no limits. *Change:* a server library with batched
//!    sockets, a synchronous handler and limits. hickory-server is used in tests only, until local zones come.
//! 2. **mio for the workers' epoll**, edge-triggered, one `recvmmsg` and one `sendmmsg` a batch; all `unsafe` stands in
//!    [`mmsg`](crate::dns::listen::mmsg). *Why:* a worker needs to wait for a few sockets and a waker, not an executor.
//!    *Change:* a measured gain from io_uring or AF_XDP.
//! 3. **TCP is bound first and without SO_REUSEPORT.** *Why:* the UDP sockets share their port, so a second instance
//!    would silently take half of the queries; the TCP port is the lock. Sockets that systemd opened, and those of a
//!    process that hands over, are taken as they are. *Change:* nothing we know of.
//! 4. **Policy before cache, decided on every hit; answers are never removed from the cache when the policy changes.**
//!    *Why:* a new listing must act at once and a lift too; a flush would make every swap a storm of misses. *Change:*
//!    nothing.
//! 5. **The cache holds wire format in quick_cache, bounded in octets; the key is name, type, DO and CD.** *Why:* that
//!    is what an upstream's answer depends on, and copying octets is cheaper than building a message. A look-up takes
//!    one shard's lock for reading. *Change:* a map with cheaper look-ups under the same bound.
//! 6. **The SOA of a blocked answer has the listed target as owner and MNAME, RNAME `nobody.invalid`, and the policy
//!    serial.** *Why:* the owner must enclose the name asked; MNAME must not send anybody anywhere else; nobody reads
//!    mail for it; the serial lets a client or a test see which policy answered. *Change:* an authority that wants its
//!    contact there.
//! 7. **EDE 16 for statutory notices, 15 for the operator's own; the text is the id of a public notice, else empty.**
//!    *Why:* the id is what a user needs to complain; anything longer is for the page. An id of a secret notice would
//!    say that there is one. *Change:* structured DNS errors as an RFC.
//! 8. **An upstream's EDE 4, 15, 16, 17 and 18 pass as 0 with a text that names the code; its texts never pass.**
//!    *Why:* such a code would read as a restriction carried out here, and EDE texts are anybody's words (RFC 8914 §6).
//!    *Change:* a way in EDE to say who speaks.
//! 9. **RD=0 is blocked if listed and REFUSED with EDE 20 if not.** *Why:* a notice does not depend on a flag;
//!    answering the rest from the cache would show what others asked. *Change:* nothing.
//! 10. **DS and DNSKEY pass an exact target.** *Why:* without them every unlisted name below a signed apex turns bogus,
//!     which is wider than the notice. *Change:* nothing.
//! 11. **The most specific page wins: authority and category, authority, category, default.** *Why:* an authority's own
//!     page knows its law; a category's page is the next best guess. A page without an address in a family means NODATA
//!     there, not the next page's address: a mixture of two pages is nobody's. *Change:* an authority that orders
//!     otherwise.
//! 12. **Limits: 4,096 questions waiting for upstreams, then SERVFAIL with EDE 23; 1,024 TCP connections of clients,
//!     64 answers under way on each, 10 s idle.** *Why:* every wait needs a bound, and a client is told rather than
//!     left to time out. That a question held up to five sockets, and descriptors bounded them, has fallen: *The miss
//!     path*, below. *Change:* measurements on an ISP's traffic; they become settings when two operators need
//!     different values. Those of TCP have become settings, and further connections no longer wait: decision 102.
//!
//! # Upstreams
//!
//! 13. **A fresh UDP socket for every try.** *Why:* the simplest way to a random port, with the kernel checking the
//!     address; it costs several system calls a miss. Fallen: *The miss path*, below,
//!     took its place. *Change:* nothing.
//! 14. **Tries 600 ms apart, three an upstream and question, 2.5 s in all.** *Why:* a stub gives up after five seconds,
//!     usually less; earlier tries are still listened to, so patience costs nothing. That three silent tries in a row
//!     demote an upstream for 5 s has fallen: decision 37 took its place. *Change:* measured round-trip times.
//! 15. **TCP after TC by hickory-resolver's connection provider.** *Why:* it gives back the exact octets and will carry
//!     encrypted transports; its `Resolver` would lose rcode, EDE, DO and CD. Decision 38 says for how long. Fallen but
//!     for connecting and framing: *TCP to upstreams*, below. *Change:* nothing we know of.
//! 16. **AD only from an upstream with `trust_ad`, by default one on loopback.** *Why:* on an unprotected path it is
//!     anybody's claim. *Change:* authenticated transports, where it will be the default too.
//!
//! # Policy
//!
//! 17. **The index was a hash table over whole names: hashbrown's `HashTable` of offsets into one arena.** Fallen for
//!     its 37 octets a name: *The index*, below. What stays of it: a probe for every suffix of the question, every octet
//!     compared. *Why:* a fingerprint without comparison would one day block an innocent site.
//! 18. **The index holds names with sets of members, nothing about time or precedence; rules are resolved per instant
//!     and set.** *Why:* a million names of one list share one set, so a timer resolves some sets and rebuilds no
//!     index. *Change:* notices so many that resolving all sets is slow.
//! 19. **The index is the only copy of the names.** Unchanged names of a rebuild come from the old index; refused
//!     documents keep theirs, since a reload may allow them. *Why:* memory at 20 M names. *Change:* the incremental
//!     index.
//! 20. **Statutory notices before operator lists, whatever the targets; then the table in
//!     [`policy::compile`](crate::policy::compile).** *Why:* the duty of law does not depend on how specific an
//!     operator's own list is. *Change:* a court.
//! 21. **The policy serial is reserved in blocks of 1,000 in the state directory**
//!     ([`Serial`](crate::control::serial::Serial)). *Why:* never used twice, also after a crash, with one write a
//!     start and one in a thousand publications; a restart skips the rest of its block. *Change:* the ledger, which has
//!     a number for every publication.
//! 22. **A write that fails does not stop a publication.** *Why:* a lift must not wait for a full disk. For signed notices
//!     it does, *Signed notices* below says why; a person's lift needs its record, too. *Change:* nothing.
//!
//! # Notices and lists
//!
//! 23. **A notice that is refused as a new version leaves the old one in force.** *Why:* a typing mistake is no lift.
//!     *Change:* nothing.
//! 24. **A deleted notice file lifts after 100 ms; an emptied or deleted list, or a directory that is gone, is a
//!     failure and lifts nothing.** *Why:* deleting one file is a deliberate act, losing a mount or a download is not.
//!     Decision 47 adds the empty directory. Signed notices do not end by this. *Change:* nothing.
//! 25. **A list with more bad lines than good ones is no list; otherwise bad lines are left out one by one.** *Why:* an
//!     error page in the list's place must not become the list, and one bad line must not cost the rest. *Change:*
//!     lists with a checksum.
//! 26. **Of two files with one notice id or sequence number, the one known first stays**, and the other is tried again
//!     (decision 45). *Why:* nobody can replace an order by adding a file. *Change:* nothing.
//! 27. **A list needs a standing notice with a scope in the configuration.** *Why:* the same list means exact names in
//!     one tool and subtrees in another; a name without an order behind it is not blocked. *Change:* nothing.
//! 28. **Secret notices have no series and no EDE text; their names stand in no message.** *Why:* such a list is a
//!     catalogue of what it forbids. They count by authority, category and action. *Change:* nothing.
//!
//! # Around it
//!
//! 29. **Without `[[web.client]]`, `[web]` listens on loopback only and checks `Host`.** *Why:* nobody is asked who he is,
//!     and a browser on the machine can be made to ask. *Change:* nothing.
//! 30. **Keys that are documented but not built are refused, never ignored.** *Why:* an operator who wrote
//!     `[dns.tls]` must not believe that queries are encrypted. *Change:* nothing.
//! 31. **rustix for priority, limits and locks.** *Why:* no `unsafe` outside [`mmsg`](crate::dns::listen::mmsg).
//!     *Change:* nothing.
//! 32. **The control plane is a thread with an inbox, not a task.** *Why:* compiling takes long and runs at nice 19,
//!     which is a thread's on Linux. *Change:* nothing.
//! 33. **Panics unwind; a panic in a worker or in the control thread is caught and counted or logged.** *Why:* one bad
//!     message must not take the resolver down. *Change:* nothing.
//! 34. **systemd `Type=exec`** has fallen: `Type=notify` with a watchdog took its place, see *Running as a service*.
//! 35. **If not one configured source can be read at start, the program does not start (exit code 3).** *Why:*
//!     answering then would lift every restriction there is; one source that is missing must not take the resolver
//!     down. What is stored counts as read. *Change:* nothing.
//! 36. **Names of secret notices are withheld from `pagar why`, and in the API from all but clients with `secret = true`.**
//!     *Why:* who asks on the machine is not known. *Change:* nothing.
//!
//! # After the first review
//!
//! 37. **An upstream that was asked for 3 s and answered nothing at all is asked last; every 5 s one question goes to
//!     it beside the others, until it answers.** Fallen: decision 91 took its place. *Why:* three silent tries may be one dead zone, three seconds without a word to anybody are not.
//! 38. **TCP to an upstream: one connection, a second to open it and a second for an answer, given up on doubt.**
//!     *Why:* a connection that died without a word (a restarted firewall) must be found out within the 2.5 s of a
//!     question. Doubt is an error, a time-out, or that nobody waits for the answer any more; questions already under
//!     way on it go on. Those that need a new one wait for the same one. *Change:* measurements.
//! 39. **Strangers have 64 TCP connections among them and a second of idleness on each; further ones are closed.**
//!     Its end has fallen: decision 105. *Why:* they are to hear REFUSED, not to keep clients out. *Change:* a limit for
//!     each client.
//! 40. **A name that is listed only through a CNAME, SVCB or HTTPS target is never answered NXDOMAIN, but NODATA.**
//!     This departs from a literal reading of "answered as listed". *Why:* the name asked is not listed, and NXDOMAIN
//!     would deny its other types and all names below it (RFC 8020): wider than the notice. *Change:* nothing.
//! 41. **Of several listed targets in one answer the statutory one wins, then the earlier source, then the earlier
//!     name.** *Why:* decision 20, whichever way the name is reached. *Change:* a court.
//! 42. **What does not fit gives way in this order: upstream's EDE, additional data, then everything, with TC.** *Why:*
//!     neither of the first two may make an answer truncated (RFC 8914 §2, RFC 2181 §9). *Change:* nothing.
//! 43. **An answer with TC that is cut within a record is asked again over TCP; an error that carries our id but no
//!     question ends the try.** *Why:* servers and load balancers send both, and waiting for something better is
//!     waiting in vain. Neither is kept or passed on. *Change:* nothing.
//! 44. **The cache is forgotten when a reload changes the upstreams.** *Why:* who takes one out may do so because of
//!     its answers, and what AD was worth may have changed. It is rare, so the misses are bearable; decision 4 is about
//!     the policy and stands. *Change:* a cache by upstream.
//! 45. **Refused documents are tried again after every change; removals come before additions; documents found together
//!     may change places.** *Why:* a notice that moves to another file or directory stays in force, and what stood in
//!     the way of another holds it up no longer than it stands there. *Change:* nothing.
//! 46. **A sequence number of an authority names one payload, over all sources.** Standing notices of the configuration
//!     have none. *Why:* of two orders under one number one is a mistake, wherever it lies. *Change:* nothing.
//! 47. **An empty directory in the place of one with notices is a failure and lifts nothing.** *Why:* a file system was
//!     unmounted, or the directory made anew; nobody deleted the files one by one. *Change:* signed notices.
//! 48. **A reload with a new or changed source that cannot be read changes nothing at all.** *Why:* a slip of the pen
//!     in a path must not lift what the source of the old path lists, and half a configuration is nobody's. *Change:*
//!     the ledger.
//! 49. **A notice file of which an item is refused counts in `pagar_notices{state="refused"}`.** *Why:* something that
//!     was ordered is not in force, and one number must say so. Bad lines of a list do not count there: lists are never
//!     clean. *Change:* nothing.
//! 50. **The state directory is locked (flock): one pagar each.** *Why:* two would use the same serials. The TCP port
//!     is no lock between two that listen on different addresses. *Change:* nothing.
//! 51. **Signals are taken over before the sources are read.** *Why:* by default SIGHUP ends a process, and reading a
//!     long list takes time; what is asked meanwhile is done afterwards. During an upgrade it is why the old process
//!     may pass on a SIGHUP as soon as the new one is ready. *Change:* nothing.
//! 52. **What the UDP sockets hold when the word to stop comes is still answered**, up to 256 batches of 64 from each.
//!     *Why:* a restart should cost the queries that come after it only. The bound is there because a flood must not
//!     keep the process alive. *Change:* nothing.
//! 53. **IP_PMTUDISC_OMIT on the UDP listeners.** *Why:* a forged message about the path's MTU would make the kernel
//!     send fragments, which can be forged in turn (RFC 9715 §3). *Change:* nothing.
//! 54. **`pagar why` takes no URL and no address for a name, and exits with 3 if it cannot know.** *Why:* helpdesks
//!     paste what the customer sent, and "not listed" would be a wrong answer; so would it be where a source cannot be
//!     read. *Change:* nothing.
//!
//! # The cache
//!
//! 55. **An NXDOMAIN is kept under type 0 of its name, and a look-up that finds no fresh answer of its type looks
//!     there.** *Why:* it denies all types (RFC 2308 §5); type 0 is never looked up, so the key is free; a hit on data
//!     still takes one lock. Data of another type that is within its TTL is not thrown away, what is past it gives way
//!     to the newer of the two. *Change:* nothing.
//! 56. **NXDOMAIN is not extended to the names below it (RFC 8020), not even from a validating upstream.** *Why:* the
//!     kept octets have the denied name in their question and pointers into it, so each answer would be a message built
//!     anew, for what upstreams that validate do themselves (RFC 8198). *Change:* measured floods below names that do
//!     not exist which the bounds on questions do not hold.
//! 57. **A negative answer is believed for three hours at most.** *Why:* RFC 2308 §5 calls one to three hours
//!     reasonable, and a name that was registered should not stay denied for a day. `max_ttl` bounds it further.
//!     *Change:* nothing.
//! 58. **Failures are kept from 1 s, doubling, to 60 s; the RFC allows 5 minutes.** *Why:* at a minute a broken name
//!     costs the upstream next to nothing, and one that was repaired is back within a minute. Any success forgets it.
//!     *Change:* upstreams that suffer.
//! 59. **No failure is kept while no upstream of the zone is in use, and silence is forgotten when one is back.** *Why:* an uplink
//!     that broke says nothing about names, and must not leave them dead when it returns. An upstream's own error code
//!     was heard and stays. *Change:* nothing.
//! 60. **Failures have a map of their own, 8 MiB, and are kept with `size = 0` as well.** *Why:* a flood of failing
//!     names must not push out answers, and RFC 9520 §3.2 does not ask whether one likes caches. *Change:* nothing.
//! 61. **`serve_stale` is off by default.** *Why:* an expired address may be somebody else's by now, and an operator
//!     should have decided that old answers are better than none. The sample in the interfaces shows the key, not a
//!     default. *Change:* a fleet that has run with it.
//! 62. **Of RFC 8767's timers, client response (1.8 s) and longest use (1 day) are keys, failure recheck (30 s) and the
//!     TTL (30 s) are not, and query resolution is the upstreams' 2.5 s.** *Why:* nobody tunes the others, and a
//!     forwarder waits for a resolver, not for the Internet. *Change:* an operator with a reason.
//! 63. **Prefetch is on: in the last tenth of a life of 10 s or more, once an answer.** *Why:* names that are asked for
//!     all the time never expire in front of a client; what nobody asks for costs nothing. It takes a place among the
//!     questions under way, and is left out when there is none. *Change:* upstreams that count queries.
//! 64. **Questions are joined in a table under one mutex, looked at only when the cache has nothing.** *Why:* what it
//!     guards is a look-up and perhaps the start of a task, against milliseconds for the upstream. The cache is looked
//!     at again under it, so that one question is one question. *Change:* that mutex in a profile.
//! 65. **256 queries wait for one question, four queries in all for each question that may be under way, and once half
//!     of those places are taken, an eighth of them for one domain.** *Why:* a waiter costs a task, a question sockets;
//!     and neither a dead popular name nor many of one domain may take all places. *Change:* measured bursts.
//! 66. **An answer with a record that does not belong is refused whole, not cleaned.** *Why:* upstreams are resolvers,
//!     which clean their answers; one that does not is broken or lying, and the next one is asked. Cleaning would mean
//!     to write the message anew. *Change:* a resolver in use that sends such answers for good names.
//! 67. **An empty or flushed cache has a number, and what began under another number is not kept.** *Why:* otherwise
//!     the answer of an upstream that was just taken out comes in behind the clearing. *Change:* nothing.
//! 68. **`POST /v1/cache/flush` refuses whatever carries `Origin` or a `Sec-Fetch-Site` other than `none`.** *Why:*
//!     browsers let any page POST to 127.0.0.1, with a client certificate if there is one, and pages cannot take these
//!     headers off. It holds for whatever changes something. *Change:* a console of our own.
//!
//! # Running as a service
//!
//! 69. **The watchdog is fed only if every worker gave a beat within 3 s, a task on the data plane's runtime comes
//!     back, and the control thread exists.** *Why:* a process can be there and answer nobody. The control thread has
//!     no time limit, because a restart would only begin the same long compilation again. *Change:* a control plane
//!     that compiles in steps.
//! 70. **READY=1 after a reload comes when the configuration is in force**; the main thread waits for the control
//!     thread. *Why:* `systemctl reload` of systemd 253 (`Type=notify-reload`) returns then, and scripts go on with the
//!     new state. *Change:* nothing.
//! 71. **An upgrade starts a child and passes descriptors over a socket pair (SCM_RIGHTS), not by inheritance with
//!     `LISTEN_FDS`.** *Why:* inherited numbers have to be arranged between fork and exec and made values by `unsafe`;
//!     a message says what it carries, and the line that carries it tells at once if the other side dies. *Change:*
//!     nothing.
//! 72. **The new process reads nothing before the old one has stopped reading.** *Why:* if both answered, a client
//!     could see an answer of the old policy after one of the new. The sockets' buffers bridge the milliseconds
//!     between. *Change:* nothing.
//! 73. **The old process publishes until it is relieved**, from its own block of serials. *Why:* the new one may read
//!     for a minute, and a notice or a lift must not wait for it. Its block lies below the new one's; only more than
//!     1,000 publications in that time would take a later block. *Change:* the ledger, which has one writer.
//! 74. **Fewer workers after an upgrade keep all UDP sockets and share them out.** *Why:* closing one loses what the
//!     kernel puts into it until the last moment. *Change:* a way to take a socket out of its SO_REUSEPORT group first.
//! 75. **NotifyAccess=main; the old process says MAINPID= before the new one speaks.** *Why:* whatever else runs in the
//!     service's group cannot feed its watchdog. *Change:* nothing.
//! 76. **A socket of systemd that the configuration does not ask for is an error.** *Why:* its queries would wait until
//!     they time out, and nobody would know. An address that an upgrade gives up is closed and logged: that was asked
//!     for. *Change:* nothing.
//! 77. **`stop_delay`: not ready, but answering.** *Why:* a route must be withdrawn before the node is silent. Dead
//!     upstreams do not make a node unready: all nodes would leave at once, and listed names are answered without them.
//!     *Change:* an operator whose nodes have upstreams of their own; `deploy/anycast.md` says how.
//! 78. **Core dumps are forbidden unless `process.core_dumps`, by limit and by PR_SET_DUMPABLE.** *Why:* memory holds
//!     what clients ask and the names of secret notices, and the limit does not bind a kernel that pipes dumps to a
//!     program. *Change:* nothing.
//! 79. **A panic is logged with its place; its message only if it is static text.** *Why:* a message that was put
//!     together may quote a name; below info it is shown. *Change:* nothing.
//! 80. **listenfd for systemd's sockets.** *Why:* `sd-notify` gives numbers, and making them values is `unsafe`.
//!     *Change:* owned descriptors from the standard library or `sd-notify`.
//!
//! # Where the tree differs from the first plan
//!
//! - [`model::rtype`](crate::model::rtype): record types by name, needed by both `why` and the API, which share no
//!   other layer.
//! - [`control::serial`](crate::control::serial): decision 21; the plan had the ledger's sequence only.
//! - [`control::explain`](crate::control::explain): one explanation behind `pagar why` and `GET /v1/check`, so that the
//!   two cannot differ.
//! - [`policy::pages`](crate::policy::pages): decision 11 as data, prepared into each [`Entry`](crate::policy::Entry)
//!   so that the data plane looks nothing up.
//! - [`dns::answer`](crate::dns::answer), [`dns::clock`](crate::dns::clock), [`dns::wire`](crate::dns::wire): an
//!   upstream's message, the injected time and the reading of octets each turned out to be a file of their own.
//! - `dns/access.rs` is a directory, [`dns::access`](crate::dns::access).
//! - The plan's `control/task` became four files: `task` (the inbox), `publish` (compare, publish, mind the time),
//!   `sources` (how each is doing) and `once` ([`compile_once`](crate::control::compile_once) for `check` and `why`).
//!   `control/schedule` and `control/restore` will come with deadlines and the ledger.
//! - `ingest/directory.rs` and `ingest/list.rs` stand on a common [`Loader`](crate::ingest::Loader) and on
//!   `ingest/watch`: finding out that a file changed, and whether it is whole, is most of the work of both.
//! - `tests/layering.rs` is `tests/integration/layering.rs`: one test binary links once.
//! - [`ExitError`](crate::error::ExitError) has no variant for usage, which the command-line parser ends with exit code
//!   2 itself, and has one for a negative answer.
//!
//! # Access, limits, cookies
//!
//! 81. **Everything turns on whether a source is proven**, by TCP or by a cookie of ours; a client's limit is counted
//!     for proven and unproven queries apart. *Why:* who forges an address must not be able to use up what its owner
//!     may have. *Change:* nothing.
//! 82. **Beyond its limit a client gets TC, BADCOOKIE (if it offered a cookie) or REFUSED (if proven), with EDE 31.**
//!     *Why:* silence is a failure (RFC 8906 §3) and REFUSED to a forged address is final for its owner; TC and
//!     BADCOOKIE show him a way in and are no larger than the query but for 22 octets. EDE 31, Rate Limited, is in the
//!     IANA registry (draft-muks-dns-ede-rate-limited). *Change:* nothing.
//! 83. **Cookies are on by default; BADCOOKIE is only sent beyond a limit and to queries without a question.** *Why:*
//!     RFC 7873 §5.2.4 allows to answer, and a client whose cookie a fleet does not share would otherwise need two
//!     queries for each. There is no key that requires cookies: most stubs have none. *Change:* stubs that have.
//! 84. **A process's own secret is derived from a random one and the day; a fleet's comes from a file, first line
//!     current.** *Why:* no timer, nothing to keep, and yesterday's is accepted; RFC 9018 §5 asks for a roll-over in
//!     steps. *Change:* nothing.
//! 85. **A bucket is one atomic number in a table of fixed size, and every error is to the client's favour.** *Why:* no
//!     lock and no allocation for a packet; a table that grows is what an attacker wants. *Change:* measurements: sets
//!     by core.
//! 86. **Response rate limiting reads the answer that is about to leave.** *Why:* one rule for listed, cached and
//!     forwarded names and for errors, and nothing can forget to call it. `pagar_dns_responses_total` counts what was
//!     made, `pagar_dns_dropped_total{reason="rrl"}` what did not leave. *Change:* nothing.
//! 87. **RRL and the limit of clients are off by default.** *Why:* the right numbers depend on who is behind an
//!     address; a resolver that serves its own networks only, behind a border that drops forged sources, cannot be used
//!     against others. *Change:* numbers from an ISP's traffic.
//! 88. **One domain gets an eighth of the places among waiting questions, once half are taken; domains are counted by
//!     the ICANN part of the public suffix list.** *Why:* a popular domain with many slow names is not to be hurt while
//!     there is room. Below a private suffix it is one operator's servers that are slow. The table has 65,536 counters
//!     by keyed hash; two domains that share one share the bound. *Change:* measurements.
//! 89. **An exemption hides the rule from the answer, not from `pagar why`, whose exit code stays 0 for a listed
//!     name.** *Why:* the name is listed; scripts that ask so must not depend on a client. *Change:* nothing.
//! 90. **An exemption without an end is refused; one whose end has passed is a warning, not an error.** *Why:* it ends
//!     by itself while the server runs, and must not keep it from starting the next day. *Change:* nothing.
//!
//! # Upstreams, strategies and health
//!
//! 91. **An upstream's health comes from probes (`. NS`) alone; an unanswered question only makes it probed.** Takes
//!     the place of decision 37, which called it dead after 3 s of silence. *Why:* an upstream that one client asks for
//!     a dead zone is silent and well. Every resolver answers `. NS` at once, everything else refuses it at once, and
//!     any answer counts; an upstream with zones of its own, perhaps cut off from the root, is asked for the SOA of the
//!     first. A probe that waits while other answers come is no sign of death. *Change:* nothing.
//! 92. **The breaker opens after two unanswered probes, closes after two signs of life half a second apart, and asks
//!     for twice as many, up to 16, of one that fell silent within a minute of closing.** *Why:* one datagram may be
//!     lost; one answer may be luck; flapping must cost the flapper its place, not the clients their time. Asked last
//!     is never left out, so an error here costs order only. *Change:* measurements.
//! 93. **An upstream that answers by TCP and not by UDP is asked by TCP at once, and its UDP probed every 10 s.**
//!     *Why:* a filter that drops UDP is common, and 1.2 s of waiting for each question is no service. *Change:*
//!     nothing.
//! 94. **SERVFAIL, REFUSED, NOTIMP, FORMERR and extended codes are asked elsewhere, once for each other upstream; EDE 6
//!     to 12 and 15 to 17 are not.** *Why:* one broken resolver must not fail its clients. But a bogus name must not
//!     become valid by asking one that does not validate, and an upstream's own block is its operator's will. If all
//!     say no, an answer with an EDE is worth more than one without. *Change:* nothing.
//! 95. **FORMERR without OPT is asked again without EDNS, and that is not remembered.** *Why:* RFC 6891 §6.2.2 allows
//!     the retry; what is remembered would let one forged or odd answer take DNSSEC, EDE and cookies from everybody,
//!     and since the flag day of 2019 such servers are the exception that pays for itself. *Change:* nothing.
//! 96. **The hedge goes out after the upstream's own 95th percentile, between 20 and 600 ms, once a question, for one
//!     question in ten with ten saved up.** *Why:* it is worth most against rare loss; on a day when everything is slow
//!     it would double the load that makes it slow. The histogram is coarse (steps of 1.5) and fades after 256 answers.
//!     *Change:* measurements on an ISP's traffic.
//! 97. **`fastest` sends one question in twenty to another upstream.** *Why:* probes are answered from memory and say
//!     nothing about how fast real questions are; a hedge bounds what exploring costs. *Change:* nothing.
//! 98. **A zone's upstreams are the only ones for its names, the root must have some, and DS of an apex belongs
//!     above.** *Why:* private names must not leak to the public resolver when the private one is dead; without a root
//!     every other name would fail for a reason nobody sees; the parent has the DS (RFC 4035 §3.1.4.1). *Change:*
//!     nothing.
//! 99. **Cookies towards upstreams: a secret for each upstream and day, our half made from both addresses. An answer
//!     with another half is ignored; one without, from an upstream that has shown cookies, is asked again by TCP, and
//!     the cookie forgotten.** *Why:* RFC 7873 §5.3 allows to drop it, but anycast sites and load balancers do differ
//!     in that, and TCP tells a forgery from them. A retry has no cookie unless the upstream has shown that it knows
//!     them: some filters drop what they do not know. TCP itself carries none: it needs no protection against
//!     forgeries. *Change:* upstreams that require them by TCP.
//! 100. **At most five tries of a question are listened to at a time.** *Why:* decision 12 counts five sockets for
//!      each. *Change:* the multiplexer of decision 13.
//!
//! # TCP and the PROXY protocol
//!
//! 101. **One task a connection, which holds no buffer while its client is silent.** It reads into the stack, answers
//!      by way of one buffer a thread, and keeps only what the kernel did not take; questions that wait for upstreams
//!      are tasks of their own. *Why:* ten thousand idle connections must cost megabytes, not gigabytes; it was 64 KiB
//!      and two tasks each. *Change:* nothing.
//! 102. **When places run out, an idle connection gives way: of the client with most, the one idle for longest. None
//!      idle: the new one is closed.** This takes the place of the second half of decision 12, where further ones
//!      waited. *Why:* waiting lets whoever holds the places decide for how long, and a client that is told can use
//!      another server. A connection in use is never taken away, so the worst that happens to a busy office is a new
//!      connection. *Change:* an attack that keeps its connections busy: the limit for each client is there for it.
//! 103. **A client at its own limit loses its own oldest idle connection.** *Why:* an office behind one address opens
//!      new ones because its devices forget old ones (they sleep, they move); the newest is the one most likely alive.
//!      *Change:* nothing.
//! 104. **One client is an IPv4 address or an IPv6 /64.** Fallen: it is a /56, see 150.
//! 105. **Strangers are bounded like clients, 64 among them.** This takes the place of decision 39, which closed the
//!      newcomer. *Why:* one rule, and a stranger that asks at once is refused at once. *Change:* nothing.
//! 106. **Only an answer is activity.** *Why:* octets that trickle in, and responses sent to us, would hold a place for
//!      ever. *Change:* nothing.
//! 107. **Never more connections than half of the file descriptors; accept(2) without any evicts, rests for 10 ms to 1
//!      s, and logs once a minute.** No descriptor is held in reserve to accept and close with. *Why:* closing what
//!      waits tells its clients less than the kernel's queue does, which holds them until an idle one has gone.
//!      *Change:* nothing.
//! 108. **No TCP Fast Open.** *Why:* data in a SYN may be replayed and comes before the address is proven, every server
//!      of an anycast address would need the same key, and clients that care keep their connection open. *Change:*
//!      stubs that use it.
//! 109. **No TCP_DEFER_ACCEPT.** *Why:* it moves silent connections into the kernel's queue of half-open ones, where
//!      there is no limit for each client and no metric, and drops them without a word. *Change:* nothing.
//! 110. **TCP_USER_TIMEOUT of 15 s, no keepalives.** *Why:* what we closed must not stay in the kernel for a quarter of
//!      an hour because its client went away; keepalives would come long after the idle time. *Change:* nothing.
//! 111. **PROXY protocol version 2 only, addresses only, from named networks only; an unknown family is refused.**
//!      *Why:* version 1 has no datagrams; a client without an address cannot be held against `allow`; a header from
//!      anybody is anybody's claim. Networks may overlap `allow` or loopback: a balancer on the same machine is usual.
//!      *Change:* a balancer that passes something on in TLVs that we must know.
//!
//! # Peers
//!
//! 112. **The compliance sheet judges us by the standards and shows others beside us.** *Why:* what unbound or named do
//!      is no rule, and differs between versions; where they differ from the text the sheet says so, and a reader can
//!      weigh it. *Change:* a standard.
//! 113. **The differential test has nsd as the upstream of both sides, with its rate limit off.** *Why:* an
//!      authoritative server's answers have all sections filled, more to carry wrong than a resolver's; Debian's nsd
//!      drops what exceeds 200 answers a second, and neither side is to be blamed for that. *Change:* nothing.
//! 114. **A difference from unbound is allowed for a reason that is written down, never for the echo, the OPT record or
//!      the size.** *Why:* a tolerance without a reason hides the next fault. *Change:* nothing.
//! 115. **Attacks come from the same machine, by real sockets on many loopback addresses.** *Why:* it can be repeated
//!      anywhere without privileges. Their delays say less than those of a network would, since attacker and attacked
//!      share the processors; losses and recovery are what is checked. *Change:* a laboratory with two machines.
//!
//! # Local names and what a bare message gets
//!
//! 116. **hickory-server's `Catalog` finds the zone and builds the answer; the zones behind it are ours
//!      ([`Zone`](crate::dns::local::Zone)).** *Why:* its in-memory handler answers a name from a wildcard above
//!      another existing name (against RFC 4592 §3.3.1), takes a wildcard's data for a type the existing name lacks,
//!      says NXDOMAIN where a wildcard matches without the type, and NOERROR where a CNAME ends at no name (RFC 6604);
//!      a look-up scans all records to tell NODATA from NXDOMAIN. *Change:* a release in which the scenarios
//!      `local_zone.rpl` hold with its handler.
//! 117. **Its futures are polled once.** *Why:* in-memory handlers are ready at once, and the fast path must not wait.
//!      One that is not ready is answered with SERVFAIL and logged. *Change:* handlers that wait, which would belong on
//!      the async side.
//! 118. **Local zones stand behind the cache.** *Why:* their names never get into it, so cached answers pay nothing for
//!      them; a reload that changes the zones empties the cache. *Change:* nothing.
//! 119. **An entry of `forward` reaches up and down: it takes out every special zone at or below it, and its own names
//!      of a zone above it.** *Why:* who writes `in-addr.arpa` means all reverse zones, who writes
//!      `1.168.192.in-addr.arpa` means that network. An entry that would do nothing is an error, since somebody relies
//!      on it. `resolver.arpa` is no operator's choice (RFC 9462 §6.4). *Change:* nothing.
//! 120. **DS of a reverse zone, of `home.arpa` and its like and of an operator's zone is forwarded.** *Why:* it is the
//!      parent's data; without the parent's proof that there is none, a validating client behind us would take our
//!      unsigned answers for bogus. For names no public zone holds (test, onion, …) it is answered here, as it must not
//!      leave. *Change:* nothing.
//! 121. **An operator's zone has no delegations, no DNAME and no signatures; they are refused.** *Why:* a stub cannot
//!      follow a referral, and half of DNSSEC is worse than none. *Change:* an operator who needs it, and a name server
//!      that is not enough.
//! 122. **A CNAME that leaves the local zones is followed by asking an upstream for the rest.** *Why:* stubs do not
//!      chase, so the bare CNAME of an authoritative server would not resolve. AA is set: it is about the name asked
//!      (RFC 1035 §4.1.1). The rest loses AD. *Change:* nothing.
//! 123. **A local zone that cannot be read does not stop the start: its names get SERVFAIL with EDE 14.** *Why:* a slip
//!      in the portal's zone must not take everybody's resolver down after a restart; asking an upstream instead would
//!      show the world names that are never to be forwarded. A reload with it is refused as a whole, and `pagar check`
//!      exits with 3. *Change:* nothing.
//! 124. **ANY is never forwarded: HINFO "RFC8482" over every transport.** *Why:* nobody needs the whole set, and it is
//!      what amplification asks for; over TCP as well, since one answer for all transports is what caches expect.
//!      Listed names answer as listed, local zones give theirs. *Change:* nothing.
//! 125. **TSIG is ignored: the query is treated as unsigned.** *Why:* RFC 5625 §4.5 leaves a rewriting forwarder that
//!      or a refusal, and who signs by mistake is still served. *Change:* TSIG for transfers of policy zones, which are
//!      not queries.
//! 126. **NSID, then texts of errors, then errors give way before anything else does; an error of code 0 goes with its
//!      text.** *Why:* RFC 8914 §2; the others are what the protocol needs. *Change:* nothing.
//! 127. **170 and 171.0.0.192.in-addr.arpa, `use-application-dns.net` and example names are forwarded.** *Why:* RFC
//!      8880 asks for nothing without DNS64; the second is a policy an operator can write as a `[[local_zone]]`; RFC
//!      6761 §6.5. *Change:* DNS64.
//!
//! # TCP to upstreams
//!
//! 128. **hickory connects and frames; which answer belongs to which question is decided here.** This takes the place
//!      of decision 15. *Why:* hickory's `DnsExchange` hands out exact octets, but only of messages that hickory-proto
//!      could read in full: a record without data or an odd SVCB lost the whole answer, against RFC 3597 §3. Its
//!      `TcpStream` never looks into a frame, and takes any stream, encrypted ones too. *Change:* a hickory that
//!      matches answers by id and question alone.
//! 129. **By TCP as by UDP: a random id, our octets, the same check; what fails it is counted and ignored.** *Why:*
//!      one writer and one rule cannot differ. The connection goes on: a stray message says nothing about the others.
//!      A frame too short for a header ends it, for behind it nothing can be trusted to be a length. An answer that
//!      comes when its asker has gone is late, not forged, and not counted. *Change:* nothing.
//! 130. **A connection that no question has used for 5 s is closed, within 5 s more, and no keepalive is asked for
//!      (RFC 7828).** *Why:* a client is to keep idle connections short (RFC 7766 §6.2.3); TC comes in bursts, which
//!      that spans, and most servers wait longer, so it is seldom they who close and a question seldom meets a
//!      connection on its way out. A keepalive would hold their resources for a connect that costs us one round trip.
//!      *Change:* upstreams reached by TLS, where a connect costs more.
//! 131. **The 257th question on a connection is refused, not kept waiting.** *Why:* the race asks another upstream at
//!      once, and a queue would only hide that this one is too slow. *Change:* measurements.
//!
//! # Operations
//!
//! 132. **`/readyz` asks the sockets from loopback.** *Why:* from the service address the probe shares the response
//!      rate limit of that network, which anybody uses up who forges queries from there; the node would withdraw its
//!      route. Nobody elsewhere can send from loopback. *Change:* nothing.
//! 133. **The unit starts again after exit code 2.** *Why:* at boot resolv.conf or a file of secrets may come after
//!      us, and an attempt a second costs nothing; DNS that stays down costs much. *Change:* nothing.
//! 134. **A refused reload is a state (`pagar_config_last_reload_successful`), not an event.** *Why:* until somebody
//!      mends the file, the next restart fails. The counter stays for those who graph it. *Change:* nothing.
//! 135. **What needs a restart is compared with what runs, at every reload.** *Why:* an operator who reloads twice
//!      must not believe that it has been taken over. *Change:* nothing.
//! 136. **A source that cannot be watched is a problem, not a failure.** *Why:* it is looked at every other second, so
//!      what it says is in force; nobody is to be called at night for inotify's limits. *Change:* nothing.
//! 137. **Panics are logged once a second for each place.** *Why:* whoever finds a packet that makes a worker panic
//!      sends it again; one limit for all would let that flood hide another panic. *Change:* nothing.
//! 138. **Only the soft limit of core files is lowered.** *Why:* the process of an upgrade inherits the hard one and
//!      may have another configuration. *Change:* nothing.
//! 139. **Where stderr is the journal, lines begin with their priority and have no time.** *Why:* `journalctl -p`
//!      works without another format, and the journal has the time. No crate: it is a prefix. *Change:* fields in the
//!      journal that somebody needs, which takes its own protocol.
//!
//! # What stands behind a CNAME of ours
//!
//! 140. **An upstream's answer goes behind our CNAMEs as octets, not through hickory.** *Why:* a forwarder passes on
//!      what it does not know (RFC 3597), and hickory refuses a message for one record it cannot read: data that
//!      passed for the name itself were SERVFAIL behind our CNAME. Names are copied with their pointers re-aimed, so
//!      answers stay as short as they came. *Change:* nothing.
//! 141. **An error, or an answer that was cut off, is passed on bare, without our CNAMEs.** *Why:* NOERROR with a
//!      CNAME and nothing behind it says NODATA; an extended code is lost with the OPT record it needs. *Change:*
//!      nothing.
//! 142. **Ours and theirs are 16 links at the most; more, or a loop through both, is SERVFAIL.** *Why:* the bound is
//!      about what a client is given to follow; who made which link is nothing to it. Resolvers give up earlier:
//!      unbound and BIND after 11 or so. *Change:* a real chain that long.
//! 143. **A stale rest gives the whole answer TTL 30, our CNAMEs as well.** *Why:* the EDE is about the whole, and a
//!      client that asks again asks for the first name. *Change:* nothing.
//! 144. **A CNAME chain that leads out is looked up in the cache by its last name, with all that goes with it: fresh,
//!      stale, kept failure.** *Why:* one rule for a name, however a client comes to it. *Change:* nothing.
//! 145. **A local zone denies nothing that is answered elsewhere.** *Why:* NXDOMAIN at or above a forwarded part
//!      would, in the client's cache, deny that part (RFC 2308 §5, RFC 8020 §2); so the part, and what lies between,
//!      exist without data. *Change:* nothing.
//! 146. **What is stale is looked up when it is needed, not when the wait begins; if it has been flushed by then, the
//!      client goes on waiting.** *Why:* a flush is somebody's word that the data are wrong, and giving up early was
//!      only right as long as there was something to give. *Change:* nothing.
//!
//! # After the second review
//!
//! 147. **An answer whose additional section is about a listed name, or leads to one (CNAME, SVCB, HTTPS), leaves
//!      without that section; it is not blocked. A section about more than 16 names is left out from the start.**
//!      *Why:* such data would carry a client to the listed host; but neither the name asked nor where its answer
//!      leads is listed, and additional data may be missing without TC (RFC 2181 §9). The whole section goes, not the
//!      record: kept octets are compressed into each other. A cached answer may cost 16 look-ups more, an answer
//!      without additional records none; the root's 13 name servers fit. *Change:* clients that suffer from asking
//!      again.
//! 148. **A stranger hears REFUSED whatever it sends; what is malformed, or has no question, counts against its
//!      client's limit, and gets REFUSED with EDE 31 beyond it (BADCOOKIE, if it offers a cookie).** *Why:* `allow`
//!      and the limits are about clients, not about well-formed clients; a FORMERR costs as much as any answer.
//!      unbound 1.17 refuses strangers before it looks at the message, too. RFC 8906 asks for no silence, and REFUSED
//!      is none. Who is refused gets no cookie without a question: it would be 28 octets for nothing. *Change:*
//!      somebody who must test us for RFC 8906 from outside.
//! 149. **Of one connection 256 KiB of answers wait to be written; a further one becomes SERVFAIL with EDE 23, and the
//!      connection stays.** *Why:* reading stops at 64 KiB, but what was asked before that comes all the same: 64
//!      answers of 64 KiB on each of 64 connections were 256 MiB for one client. Ending the connection would cost its
//!      client all questions under way, a SERVFAIL one, and says why; who reads never meets either, since 64 answers
//!      of 4,000 octets fit. Letting answers wait in their tasks would hold the same octets elsewhere. *Change:* a
//!      client that fills its pipeline with large answers by right.
//! 150. **To every limit one client is an IPv4 address or an IPv6 /56 (`Prefixes::CLIENT`).** Takes the place of
//!      decision 104, where it was a /64 to TCP and a /56 to the rest. *Why:* a /56 is what subscribers are delegated
//!      (RIPE-690 §4.2); by /64 one of them was 256 clients with 64 connections each. Where less is delegated,
//!      neighbours share 64 connections, of which the oldest idle one gives way. `[dns.rate_limit] ipv6_prefix` says
//!      otherwise for the rate alone. *Change:* an operator that delegates /64s and sees connections refused: then
//!      `[dns.tcp]` gets the key.
//!
//! # Compared with other servers
//!
//! - **A bench of ours, in Rust, with its own generator, drives all servers (`benches/compare`).** *Why:* dnsperf on
//!   one core is slower than the fast servers, so it measures itself; a closed loop over `sendmmsg` saturates them,
//!   and an open loop by schedule counts a delay from when the question was due, so that a stall is not hidden.
//!   *Change:* a generator that others use and that does both.
//! - **Costs are CPU time of a server's threads an answer, and their ratio to a reflector of the same round.** *Why:*
//!   machines and their neighbours differ from minute to minute; the reflector is what the kernel's sockets cost then.
//!   The busy time of the core stands beside it, for what the kernel does outside of the threads. *Change:* answers
//!   that are made in the kernel.
//! - **The reflector and the generator share no code with `mmsg.rs`: nix for `recvmmsg`, rustix for `sendmmsg`.**
//!   *Why:* a floor that moves with what is measured is none, and there is no `unsafe` in the bench. *Change:* rustix
//!   with both.
//! - **A listed name is answered with an address by all of them.** *Why:* that is what a block page takes; NXDOMAIN
//!   would be cheaper for servers that keep a record for each rule of an RPZ. knot-resolver gets one action for all
//!   rules, dnsdist a set and a tree, dnsmasq hosts and `address=`: each what is fastest with it. *Change:* nothing.
//!
//! # The index
//!
//! - **Names stand coded in buckets by hash, behind a filter word for each bucket; all of it is one block of octets**
//!   ([`policy::index`](crate::policy::index)). *Why:* four forms were built and measured, a million names and twenty
//!   million with the shapes of real lists, look-ups interleaved in one process, medians, on two busy virtual cores.
//!   Nanoseconds are comparable within a row only.
//!
//!   | 1 M / 20 M names | octets a name | build, s | listed | below listed | sibling | unlisted |
//!   |---|---|---|---|---|---|---|
//!   | offsets into an arena (until now) | 36.6 / 34.5 | 0.13 / 4.8 | 223 / 333 | 284 / 429 | 111 / 212 | 134 / 294 |
//!   | buckets of coded names (taken) | 14.6 / 14.5 | 0.40 / 13.5 | 330 / 494 | 381 / 608 | 70 / 182 | 74 / 208 |
//!   | sorted by labels from the right, front-coded by 16 | 11.6 / 10.5 | 0.73 / 25 | 577 / 1449 | 702 / 1892 | 131 / 324 | 100 / 233 |
//!   | the crate `fst` over the same order | 6.5 / 5.6 | 1.4 / 36 | 512 / 795 | 528 / 828 | 223 / 345 | 46 / 45 |
//!
//!   Real lists, taken and until now: 190,000 phishing names 18.9 and 33.8 octets, 211 and 107 ns listed, 48 and 90 ns
//!   unlisted; 17,000 names of an RPZ 16.3 and 31.7 octets, 76 and 22 ns, 37 and 31 ns. What is asked most is not
//!   listed, and that became twice as fast while memory fell to two fifths. A listed name costs half as much again as
//!   before: that is the price. The sorted forms are smaller, but a listed name costs them a search or a step an octet,
//!   each with its wait for memory, and their build needs all names sorted in memory. `fst` stops early at names
//!   whose last labels no list has, which the unlisted names of the bench are. *Change:* a workload of listed names
//!   only; a lack of memory.
//! - **The hash is a keyed polynomial over 2^61 - 1, not SipHash and not foldhash.** *Why:* one pass over the question
//!   gives the hashes of all its suffixes; the bound on collisions is proved for whoever does not know the key; and it
//!   is defined here, so an image can be read by another version or machine. SipHash-1-3 was tried first, with its
//!   four rounds to finish for each suffix: an unlisted name took 1.3 times what it took the old table, with the
//!   polynomial 0.85 times. *Change:* nothing we know of.
//! - **`fsst-rs` chooses the symbols; coding and comparing are ours, without unsafe.** *Why:* the choice is off the
//!   path of queries and cannot make an answer wrong: a name is coded with the symbols at hand, whatever they are. Names
//!   in 7.8 to 12 octets instead of 18 to 23. *Change:* a list that it makes no shorter.
//! - **A filter word of 64 bits for seven names, three bits each, apart from the directory.** Tried and dropped: filter
//!   and offset in one entry of 16 octets; prints of one octet in the entry instead of a filter, which made what is read
//!   for an unlisted name twice as long and its look-up nearly as slow as before; tables within the buckets, a wait for
//!   memory more. *Why:* the filter of a million names stays in the second cache. *Change:* measurements.
//! - **The longest part of a look-up is kept free of branches on what comes from memory, and long images lie in huge
//!   pages** (`memmap2`, which can ask for them without unsafe). *Why:* walks through page tables cost more than the
//!   accesses, in virtual machines above all: 8 MiB at random took 70 ns an access in small pages, 17 in huge ones.
//!   *Change:* nothing; a kernel without them works the same.
//! - **A worker has the policy read ahead for sixteen queries of a batch at a time**
//!   ([`Index::warm`](crate::policy::Index::warm)). *Why:* a listed name costs four reads from memory, each of which
//!   needs the one before; those of sixteen queries wait together. Names are hashed twice for it, which costs less than
//!   one such read. A listed answer went from 4.16 to 3.78 microseconds, 1.30 to 1.19 times what the kernel takes to
//!   pass a packet on (medians of five interleaved rounds, a million names, one worker on a virtual core); a cached one
//!   stayed as it was. Ordinary reads do it: a processor goes on past a read whose result nothing needs yet, so that no
//!   prefetch instruction, which would be unsafe code, is wanted. *Change:* a kernel path so short that hashing shows.
//! - **Names are added in the order of their hashes, a part of the new ones at a time, and the old index is read as a
//!   stream.** *Why:* a rebuild needs the new index beside the old one and little else; how little is said under *Names
//!   on their way into the index*. *Change:* the incremental index.
//! - **[`Index::walk`](crate::policy::Index::walk) calls back, [`Index::iter`](crate::policy::Index::iter) goes by hash
//!   and gives names by value.** *Why:* an iterator over a question would be moved, 300 octets each time; names are
//!   decoded one by one. Nothing may rely on their order, which differs with each key. *Change:* nothing.
//! - **Bounds: 4 GiB of coded names, some 300 million; 255 names a bucket.** What exceeds them is refused
//!   ([`Full`](crate::policy::index::Full)) and the last good policy stays. *Why:* offsets of 32 bits; with a keyed
//!   hash a bucket of seven does not reach 255. *Change:* longer lists.
//!
//! # Changes of a name
//!
//! - **An overlay over the layers, copied whole for each change; a name in it stands there with its whole set.** *Why:* a
//!   snapshot must not change under its readers, and some thousand names are copied in microseconds; "who has the name
//!   last has the say" needs no negative entries and no order of changes. Layers and overlay share the key of the hash, so
//!   a question is hashed once, whatever there is to look through. *Change:* feeds of many thousand single changes an
//!   hour, each in a notice of its own.
//! - **Notices have slots whose numbers stay; a notice that goes leaves its names where they are.** *Why:* to lift a list
//!   of a million names then costs one rule: no set of it has a notice in force. Its names are left out of the next layers.
//!   A slot is given to another notice only when no layer and no overlay mentions it. *Change:* nothing.
//! - **What has piled up (4,096 names, slots or sets) is merged by a thread of its own, and changes go on meanwhile.**
//!   *Why:* a merge takes as long as the list is long. Names that change while it runs are told by the number of their
//!   change and put on top of what it made. A change of more than 4,096 names builds the layers itself. *Change:* lists of
//!   some ten thousand names that come beside tens of millions: a layer of their own.
//! - **What a change did is counted while it is made, in sets, not by comparing two policies.** *Why:* a comparison reads
//!   all names twice, and took longer than the build. *Change:* nothing.
//! - **The policy's digest is a tree of two levels over the digests of the notices.** *Why:* hashing all of them took
//!   time by their number; now it is one of 256 parts and the top. *Change:* nothing.
//!
//! # The compiled policy in a file
//!
//! - **A list is taken from the file if its text has the digest it had; otherwise it is read.** *Why:* the file is then
//!   only a quicker way to the same policy, and cannot be out of date. Hashing costs a tenth of parsing. A time stamp
//!   would be quicker still, and is wrong after a restore from a backup. *Change:* nothing.
//! - **Layers are stored ten seconds apart and at the end, when they are built and when a notice goes whose names they
//!   have; what lies in the overlay, in a file beside them, a second apart, whenever a notice comes or goes.** *Why:*
//!   together they are the whole policy, for a start at which sources or the ledger cannot be read; and what was lifted must
//!   not come back. The overlay is some thousand names, and is written as a whole. A notice that moves into the layers
//!   stays in the small file until theirs is written, so the order is: small, large, small without it
//!   (`control/held.rs`). What is newer is in the small file, and wins. A notice is taken over only if the configuration
//!   has its order as it was. *Change:* many thousand single changes a minute.
//! - **A directory that cannot be read at a start keeps its stored notices; one that can be read lifts those it does not
//!   confirm.** *Why:* the first is a failure of the source, as at run time; in the other whoever deleted a file while the
//!   program was stopped has lifted its notice. *Change:* signed notices only.
//! - **Secret names have a layer of their own, sealed with ChaCha20-Poly1305 by a key from a file; without a key no layer
//!   is stored.** *Why:* a name that a secret and a public notice list stands in the secret layer, so the other alone would
//!   lift it, and what was stored before the names were secret is removed. No key is made for the operator: beside the
//!   file it would protect nothing. *Change:* nothing.
//! - **Another version of the program does not use the file.** *Why:* it may read lists otherwise, and a start from text
//!   takes a second a million names. *Change:* nothing.
//!
//! # The wall clock
//!
//! - **A jump of more than an hour, either way, is believed after 15 minutes, and time never goes back.** *Why and what
//!   that means:* [`control::clock`](crate::control::clock). *Change:* a source of time that is signed.
//!
//! # Instructions, counted
//!
//! - **A bench of ours runs itself under callgrind** (`benches/instructions`), not `gungraun` or `iai-callgrind`. *Why:*
//!   callgrind can itself count the calls of one function and write a sum after each, so nothing is linked in, no
//!   runner of the same version has to be built (a minute or more of every CI run), and what is left is fifty lines.
//!   *Change:* a need for cache simulation or history.
//! - **Every scene goes over 8,192 names, and no two names share a suffix of more than one label.** *Why:* the hashes
//!   are keyed at random, and a suffix that a filter lets through by chance costs a hundred instructions in every
//!   question that has it: a run in twenty would have been 15 % off. Now two runs differ by 0.2 %, a miss by up to 1 %.
//! - **Over 3 % more fails the run, but only where compiler, target, valgrind and C library are those of the baseline.**
//!   *Why:* what only is shown is not looked at; what fails for no reason is turned off. Elsewhere the differences are
//!   shown. The profile is the one that ships: without its LTO other code would be counted. *Change:* scenes that
//!   differ by more from run to run.
//! - **A UDP worker has up to 32,768 answers that it gave lately at hand** ([`near`](crate::dns::near)). *Why:* a cached
//!   answer takes no more instructions than a listed one, but cost 0.15 of the kernel's part more: a look-up in the
//!   shared cache is five reads from memory, each of which needs the one before, between six writes with a lock prefix
//!   that let nothing overtake. At hand it is two reads, for sixteen queries together, and no such write. Microseconds
//!   an answer and ratio to the reflector, medians of six interleaved rounds of 2 s, 20,000 names asked at random (three
//!   in four are found at hand) on two virtual cores that compiled beside it:
//!
//!   | | listed | cached | mixed |
//!   |---|---|---|---|
//!   | before | 4.59, 1.16 | 5.00, 1.30 | 8.18, 2.32 |
//!   | fewer instructions | 4.69, 1.21 | 5.01, 1.37 | 7.68, 2.20 |
//!   | and answers at hand (taken) | 4.64, 1.18 | 4.61, 1.17 | 7.80, 2.05 |
//!
//!   Differences below 0.05 mean nothing there. It takes a hundred instructions more than the cache, so it is no gain
//!   where everything fits a processor's caches. 512 KiB a worker for the places; answers are shared with the cache.
//!   *Change:* a cache whose look-ups take no lock and can be read ahead.
//! - **What it has is checked on each use, not kept in step.** A mark on the answer says that it has left the cache for
//!   something newer or for want of room, a number that the cache was emptied or flushed. *Why:* one flag that is read
//!   beside the answer, instead of messages to each worker. What may not be used any more holds its memory until its
//!   place is needed, at most 20 MiB a worker: to free 32,768 answers at once keeps a batch waiting. *Change:* nothing.
//! - **A query is built where it is used, and its name put into lower case eight octets at a time.** *Why:* it is 350
//!   octets; moving it twice and lowering octet by octet took 230 of 2,276 instructions. Inlining what has one caller,
//!   checking a client's network without converting the address for each, and walking the question once took 130 more:
//!   16 % of a cached answer, 13 % of a listed one, 32 % of a refusal. *Change:* nothing.
//! - **Counters of a worker stay atomic additions.** A worker is their only writer, but the blocks of the asynchronous
//!   side have many, and one type serves both. What can be added once a batch is; adding nothing does nothing. *Change:*
//!   a measurement that shows the two additions an answer has left.
//! - **Buffers of a batch lie a page and a line apart.** *Why:* at exactly a page all their first lines share one set of
//!   the first cache, which has room for eight of 64. *Change:* nothing.
//! - **No SO_BUSY_POLL, no SO_INCOMING_CPU, no pinning of workers.** *Why:* not measured: the loopback interface has no
//!   queue to poll, and two cores of which one makes the questions leave no choice of a core. *Change:* figures from a
//!   machine with a network card and more cores.
//!
//! # The miss path
//!
//! - **An upstream is asked from 512 places for sockets, drawn at random for each try; a socket stays open for some
//!   hundred questions or some seconds** (`upstream/sockets.rs`). Takes the place of decision 13. *Why:* opening,
//!   connecting, watching and closing a socket, and zeroing its buffer, were more than a third of a miss. The CPU of
//!   the server a missed query, misses only, two interleaved rounds on two busy virtual cores: 52 and 67 microseconds
//!   with a socket for each try, 34 and 34 with this. Whoever forges has to guess which of hundreds of ports a
//!   question left from, and its id; places are filled as they are drawn, so an upstream that is seldom asked gets a
//!   new port nearly every time. What is weaker than with a socket for each try: whoever has found an open port out
//!   can forge answers to all questions under way on it, any of whose ids will do, and to those that follow within
//!   seconds. Bounds on questions and age are there for that, and cookies; and after eight messages that answer no
//!   question a port gets no new one, while those who wait go on. *Change:* a way to find ports out within seconds.
//! - **A socket serves no more once it has met an error or left a question unanswered for 600 ms.** *Why:* its
//!   address may be one that nothing comes back to, after a change of routes; a refused port ends all its questions,
//!   since whose the error was cannot be told. Any other failure of a send is that question's alone. A failed send is
//!   tried once more from another socket. *Change:* nothing.
//! - **Sixteen sockets an upstream need no leave**; those beyond are bounded for all upstreams together. *Why:* otherwise
//!   one that is asked often takes all descriptors, and one that comes later is asked from a single port. *Change:* some
//!   hundred upstreams.
//! - **Ports are drawn from 1024 to 65535, without those in `ip_local_reserved_ports`, read once.** *Why:* the kernel minds
//!   these, and its own range, only where it chooses the port, and it chooses from less. The unit hides the file
//!   (`ProcSubset=pid`); few need it, and who does can open it. *Change:* nothing.
//! - **Answers are read by a task for each socket, on the runtime that asks, and with `recvmmsg`.** *Why:* a call
//!   that brings fewer than it may has emptied the queue, which saves the second read that would say so. A thread
//!   that only reads would be one more to wake on the core the others share. *Change:* upstreams on fewer sockets.
//! - **A late answer is no mismatch; its id stays taken as long as its socket.** *Why:* hedges and retries leave late
//!   answers every minute, and the counter is there to tell of forgers. *Change:* nothing.
//! - **4,096 questions may be under way however few descriptors there are; these bound the sockets towards
//!   upstreams.** *Why:* many questions share a socket. *Change:* decision 12's.
//! - **The misses of a batch go to the runtime in one piece, and replies that are ready together leave with one
//!   `sendmmsg`.** *Why:* on one core each hand-over could be a change of threads, three in a batch of the mixed
//!   workload, and each reply woke its reader. Misses only, two interleaved rounds: 61 and 63 microseconds with
//!   neither this nor the sockets above, 28 and 36 with both; in a mix with 5 % misses, beside cached answers of the
//!   same round, 44 and 49, and 29 and 27. A third of what is left is the two packets through the kernel. *Change:*
//!   measurements.
//! - **No 0x20** (random case in the question). *Why:* hundreds of ports and cookies are there; some servers answer
//!   in another case, and need exceptions. *Change:* upstreams over networks where forging is easy.
//!
//! # Names on their way into the index
//!
//! Measured on the running server, over what it takes without a list (`tests/integration/memory.rs`): a million names
//! replaced by a million others every two seconds, before and now, in octets a name. Resident at the start 38 and 17,
//! after some swaps 75 and 20 to 22; at most during a swap 109 and 38, which is 1.9 times what is resident. Processor
//! time from the start to the first answer 1.0 and 0.7 to 0.8 s, of a swap 1.5 and 1.2 s. Twenty million: in force 17
//! to 24 s after the start, 14.5 resident, 15 at most until then; a swap of all of them 32 s and 29.3, 2.0 times.
//!
//! - **A list is read in blocks and parsed as it comes**, its digest taken on the way. A file that changes meanwhile is
//!   read anew, as before; what was parsed of it is dropped. One with as many octets as last time is first asked for its
//!   digest only. *Why:* the text, 20 octets a name, lay beside the names. *Change:* nothing.
//! - **[`Targets`](crate::model::Targets) of a long list are coded like the names of the index, by symbols of their
//!   own**, and chosen anew where they become an eighth worse. *Why:* 12 octets a name instead of 25. Symbols from the
//!   first names alone did badly for lists in the order of the alphabet: 2.8 times what is resident instead of 1.8.
//!   Coding costs 60 ns a name and is paid for by names that are parsed without an allocation. *Change:* nothing.
//! - **They lie in anonymous mappings, which the build gives back as it reads them.** It deals the names out to as many
//!   as 256 parts by hash, still coded, and drops each part as it goes into the new index. *Why:* at no time are there
//!   more than two indexes and what is left of the names; and an allocator keeps what it is given back. Dealing at once,
//!   while a list is parsed, would need the index's key there and save little. *Change:* nothing.
//! - **A build that fails puts the names back where they came from**: those that are in the new index already, and those
//!   that are not. *Why:* they stand nowhere else, and the next build must not go without them. *Change:* the ledger.
//! - **Symbols are chosen on a thread that ends with it.** *Why:* it takes two megabytes for a moment, which the
//!   allocator then keeps for each thread that ever did it; that of an ended thread it gives to the next. *Change:*
//!   another allocator.
//!
//! # The guard
//!
//! - **It holds items of operators' lists as it does those of statutory notices.** *Why:* the harm is the same, and so
//!   is the slip. *Change:* nothing.
//! - **The program brings a list of protected names, in a file with a reason for each group, and `defaults = false`
//!   leaves it out.** *Why:* the names whose loss hurts most (OCSP hosts, clocks, probes of captive portals) are not
//!   the ones that an operator thinks of; what is held is delayed by two persons, not refused, so a name too many costs
//!   little. Sites that rent corners of themselves are protected at the apex only: the corner is what orders are about.
//!   *Change:* a public list that somebody keeps for this purpose.
//! - **Only a rule that the Public Suffix List spells out makes a suffix, of either section.** *Why:* its default rule
//!   makes one of every top-level domain it does not know, and those are refused anyway. Below a private suffix others
//!   rent as below a registry's. For a subtree, `kawasaki.jp` is held for its rule `*.kawasaki.jp`; that
//!   `amazonaws.com` has suffixes below it, the list as the crate compiles it cannot be asked, so such names are
//!   protected by the file. *Change:* a crate that can say what is below a name.
//! - **One table of names and of all names above them, looked up from the top-level domain down.** *Why:* nearly every
//!   name of a list ends at its second label; lists of a million names are judged one by one. 75 ns a name with the
//!   names of the program, 110 to 170 with a million more, on a busy virtual core. *Change:* nothing.
//! - **A list is held by its size alone, and only against the names in force.** *Why:* it is to find a list that was
//!   cut off or joined with another, and two numbers are understood by whoever has to approve at night. *Change:* lists
//!   that by right change faster: `guard` of their source.
//! - **Persons come by a Unix socket, and are who the kernel says, or by HTTP, and are the client.** *Why:* the socket works
//!   without any configuration, and where the network does not. A token that two persons share is one person. In an upgrade the socket is bound anew and
//!   renamed over the old one instead of being handed over: a request that meets the moment between is refused by the
//!   kernel and can be asked again, while two processes on one listener would share out requests, and one of them no
//!   longer decides. The kernel resolves the name when it connects, so nobody meets half a socket. *Change:* nothing.
//! - **That the socket cannot be made does not keep the server down.** *Why:* queries are answered without it, and the
//!   log says so loudly. *Change:* nothing.
//!
//! # Signatures
//!
//! - **One algorithm: Ed25519, called `EdDSA` or `Ed25519`.** Both names mean the same here, since the key's curve is
//!   fixed; a JWK's `alg` may be either, whichever its signatures say. We sign as `EdDSA` unless the key says
//!   otherwise. *Why:* RFC 9864 deprecates that name, and the libraries of today's Debian (jwcrypto 1.1, jose 4.11) know
//!   no other. jwcrypto 1.6 and jose 6.2 were tried as well. *Change:* when those releases are gone.
//! - **One odd signature refuses the envelope, and so does one wrong signature of a known key; one by an unknown key
//!   counts for nothing.** *Why:* the order of signatures, or who adds one, must not decide whom we believe, while an
//!   authority may have more signers than a node knows. *Change:* nothing.
//! - **A signature by a key outside its window counts for nothing, and refuses only what then has too few.** *Why:* while
//!   keys change, both sign; what they signed must stay good when the old one ends. *Change:* nothing.
//! - **`jwk`, `jku`, `x5c` and `x5u` are refused, not ignored.** *Why:* a sender who relies on them believes in a check
//!   that is not made. A rule like this can be dropped later; its opposite could not be made later. *Change:* an
//!   authority whose tools cannot leave them out.
//! - **A key set with a key that cannot be used is refused whole**, where RFC 7517 §5 would have that key ignored.
//!   *Why:* whoever gives three keys must not believe that three count. *Change:* nothing.
//! - **One key may have several names, no name several keys; signers are counted by thumbprint.** *Why:* a key that is
//!   renamed has to be found by both names for a while, and must not become two people. *Change:* nothing.
//! - **Public keys of low order, or written otherwise than RFC 8032 says, are refused.** *Why:* for these anybody can
//!   make a signature, or one key would have two thumbprints. *Change:* nothing.
//! - **The payload is kept decoded and encoded again to be verified.** *Why:* base64url is read strictly, so octets have
//!   one spelling, and 22 MiB of text need not be kept beside 16 MiB of payload. *Change:* nothing.
//! - **The other libraries in the tests are Debian's `python3-jwcrypto` and `node-jose`** (which is jose by Filip
//!   Skokan). *Why:* npm would bring the network and another release each time. *Change:* nothing.
//!
//! # Asking oneself, and asking beforehand
//!
//! - **The self-test asks the real listening socket, and what it finds decides whether something is enforced.** *Why:* a
//!   policy that is compiled and published says nothing about what leaves the socket. *Change:* nothing.
//! - **The workers know its questions by port and address, then by a token; the answer takes the way of every other
//!   query from the decision on.** Access, limits and exemptions are left out, and it counts in no metric of queries.
//!   *Why:* `allow` need not have loopback in it, and figures of notices must be about subscribers. One comparison of a
//!   port a datagram is what everybody else pays. *Change:* nothing.
//! - **It asks without RD.** *Why:* what is not listed is REFUSED at once, where a forwarded question would tell the
//!   upstreams of a secret name that was lifted, and a silent upstream would look like a failure. *Change:* nothing.
//! - **A block is known by its EDE, 16 where the notice is statutory, and by what a notice can order at all; not by the
//!   action.** *Why:* another notice may list the name and win; a statutory one always wins over an operator's. *Change:*
//!   nothing.
//! - **Every listener is asked, one worker each.** *Why:* the kernel gives all of one socket to one worker; workers share
//!   the policy, so that another would say the same. *Change:* a policy per worker.
//! - **A preview counts queries as they come, in place of keeping them to be counted later.** *Why:* a log of names and
//!   clients is what this program does not have. So it takes a minute, and is about that minute. *Change:* nothing.
//! - **A preview looks up the name asked before the policy is asked, and only while there is one.** *Why:* with the
//!   policy asked again for the few names it finds, the way of other queries has one look at an empty pointer more.
//!   *Change:* nothing.
//!
//! # The ledger
//!
//! Measured with `benches/ledger.rs` on a machine with other work, in ms, p50 and p99: one record a batch 8 and 18, a
//! hundred 12 and 20; the same octets written to a file with one fdatasync 4 and 11, 4 and 12; in a table of redb
//! without quick repair 4 and 9, 4 and 12. 50,000 records of 176 octets take 17.8 MB.
//!
//! - **Quick repair is on.** It costs a second wait for the disk with each commit, 4 ms there. *Why:* after a crash redb
//!   otherwise walks through the whole file before the first policy can be published, and a ledger only grows. A batch is
//!   one commit, so the wait does not add up. *Change:* a disk so slow that batches queue.
//! - **redb 4.6, which needs Rust 1.90.** *Why:* a full disk or a failed fsync could leave earlier releases with a file
//!   that does not open. *Change:* nothing.
//! - **A record is stored as the octets that were hashed**, JSON that people can read, and verified without being
//!   understood. *Why:* a later release adds events; what was written by this one, or by that, must stay provable. A
//!   hash over fields would need one way to write them for ever. *Change:* nothing.
//! - **A failed append takes nothing with it**: its events stay with the caller. If the records are in the file all the
//!   same, the next append takes them out. *Why:* nobody was told of them, and the caller tries again; twice would be a
//!   lie. *Change:* nothing.
//! - **`verify` and `export` need no lock and no stopped server**: [`ledger::inspect`](crate::ledger::inspect) reads below
//!   redb. *Why:* redb's own reader is refused beside a writer, and a copy of the file needs a moment without commits
//!   that is as long as the copying. A part that changed is read again; where commits follow each other faster than it
//!   can be opened, it gives up after a hundred tries and says so. *Change:*
//!   redb's mode for one writer and many readers, once it is old enough.
//! - **The salt of a sealed name is sealed with it.** *Why:* beside the digest it would not keep anybody from trying
//!   every name there is. *Change:* nothing.
//!
//! # Signed notices
//!
//! - **The envelope is stored as it was received, and is the evidence.** What a notice says is read from it again, at a
//!   start and for each receipt, without looking at its signatures: they were good when the record was written, and keys
//!   end. *Why:* a copy of ours would prove nothing. *Change:* nothing.
//! - **The record comes first, in one append for all files at hand; `transition`, `published` and `enforced` follow
//!   together in another.** So an order costs two waits for the disk, and nothing waits for the second but its receipt.
//!   *Why:* only the order cannot be computed again; what follows from it can, and a crash between the two loses nothing.
//!   Serial and digest cannot be known before the policy is built. *Change:* an authority that wants the second before
//!   the effect.
//! - **What is only published is recorded once a second at most.** *Why:* a list that changes all the time must not make the
//!   control thread wait for the disk each time. A second's worth is lost in a crash, and follows from the rest. *Change:*
//!   nothing.
//! - **A refused order uses up neither its number nor its id.** *Why:* the sender corrects it and sends it again; a number
//!   that a mistake takes away would be a gap for ever. *Change:* nothing.
//! - **A gap of numbers is shown and refuses nothing.** *Why:* a lift may be what has come, and a restriction what is
//!   missing; to wait would make everything late because one is. *Change:* an authority that numbers its notices to be
//!   carried out in order only.
//! - **What nobody is known to have sent is counted, answered and not stored.** *Why:* whoever can write a directory could
//!   fill the ledger. A refusal of a known sender is stored with its envelope. *Change:* nothing.
//! - **The file of a signed notice does not matter once it is accepted**, nor does its source. *Why:* a notice ends by
//!   notice, by time or by a person, not because somebody tidied up. So nothing but the ledger says what is in force.
//!   *Change:* nothing.
//! - **An order about a notice that is not known is refused, kept, and tried again.** The same goes for keys and
//!   authorities that are not configured yet, for an `issued_at` that lies ahead, and for what the ledger cannot take.
//!   Up to 64 MiB; after a restart files are looked at anew. *Why:* files come in any order, and a sender that is told
//!   *refused* can act on it at once. *Change:* nothing.
//! - **Items of signed notices that the guard holds can be approved; held names of lists and of unsigned notices are left
//!   out, and cannot.** *Why:* an approval is about one item of one payload, which stays what it is. A line of a file is
//!   another the next day. *Change:* lists that are signed.
//! - **A list that is held needs one person, an item two.** *Why:* the list has been ordered, and its size alone is odd; an
//!   item would block what somebody wrote down as not to be blocked. The list waits as one version: with the numbers of
//!   names before and after it. *Change:* nothing.
//! - **A lift covers the name and all below it, takes one person and one record, and ends when an order that was accepted
//!   after it is in force and lists the name.** *Why:* harm must be ended faster than it was done, and by name, since that
//!   is what the caller knows. An authority that lists it again has had a second look; but an order for next week, or an
//!   item that the guard holds, restricts nothing yet, and must not bring back what older orders do. What was accepted
//!   before and is resumed is no second look. *Change:* nothing.
//! - **A receipt is a flattened JWS with the same text, readable, in its member `receipt`.** *Why:* people read receipts,
//!   and base64url is none; RFC 7515 §7.2.1 has verifiers ignore members they do not know. What is signed is the payload:
//!   who verifies reads that. *Change:* nothing.
//! - **A receipt stands beside the file of its order and is written anew at every change; a refusal has one too.** *Why:* as
//!   long as files are the only way in, they are the way out. It can be written again at any time from the ledger, so it
//!   is neither synced nor kept there. *Change:* the push API.
//! - **The node makes its own key at the first start, `node.jwk` in the state directory.** *Why:* receipts from the first
//!   minute on, without a step that can be forgotten. Who verifies them takes `node.pub.jwk` once, by another way.
//!   *Change:* keys in hardware.
//! - **Up to 1,000 names of a notice are asked for, of a longer one a sample of 1,000, each time another.** *Why:* all names
//!   go through one look-up; what the sample is to find is a policy that is not there. *Change:* nothing.
//! - **An authority that is taken out of the configuration keeps its cases, and none is in force until it is back.** *Why:*
//!   who may order is the operator's word; what was ordered is on record. Time goes on for them: what expires meanwhile
//!   does not come back. *Change:* nothing.
//! - **A damaged ledger makes the control plane read-only and does not stop the queries.** *Why:* available comes before
//!   orderly records, and the alarm is loud; but without a stored policy nothing would be restricted, so then it does not
//!   start. *Change:* nothing.
//! - **`pagar check` and `pagar why --config` judge signed files as if they came now**, without the ledger. *Why:* they must
//!   not write, and are asked on other machines too. What a running node has accepted is asked with `--api`. *Change:*
//!   nothing.
//!
//! # Who may call the API
//!
//! - **Tokens are kept as plain SHA-256, without salt or stretching.** *Why:* they are random octets, which nobody guesses
//!   from a digest, and each request is to cost a microsecond. *Change:* passwords of people, which there are not.
//! - **Client certificates are known by their fingerprint; there is no authority for them.** *Why:* a few gateways are few
//!   lines of configuration, and a certificate authority of one's own is one more key to lose. Its dates do not count, since
//!   whoever takes a client out takes it out here. *Change:* dozens of clients.
//! - **An address that has guessed too often is not listened to with a right token either.** *Why:* otherwise guessing goes on
//!   at full speed, and the one right answer shows among the refusals. Clients behind one address share its fate for a
//!   minute; those with a certificate do not. *Change:* nothing.
//! - **A changed certificate is found by looking at the files every two seconds, not by notification.** *Why:* renewed
//!   certificates are links to links to files, and two of them belong together; a look sees what is there now. *Change:*
//!   nothing.
//! - **No session is resumed, no early data is taken.** *Why:* what a handshake costs does not matter for a few clients; that it
//!   shows who is there does, and that nothing can be replayed. *Change:* nothing.
//! - **Bodies never wait for room: 503 at once.** *Why:* who waits holds a place and memory, and the client that comes again
//!   costs nothing meanwhile. *Change:* nothing.
//! - **A connection is read on for five seconds after the last answer.** *Why:* closed with octets unread it is reset, and the
//!   client that sent too much never reads why it was refused. *Change:* nothing.
//! - **A client and an account of one name are one person.** *Why:* they are more likely one human than two. *Change:* nothing.
//!
//! # Feeds
//!
//! - **A checkpoint lists everything that there is, by pages, rather than what has changed.** *Why:* a reader that has missed any
//!   number of checkpoints compares two sets and is done; a chain of changes would have to be kept, fetched and walked. A
//!   new notice changes the last page, so a look costs the checkpoint, a page and the notice. *Change:* more than two
//!   million notices of one authority.
//! - **One key of the feed is enough for a checkpoint, whatever `required_signatures` says, and it may be one that signs no
//!   notices.** *Why:* it lies on a machine that the network reaches and signs without a person. It can hide notices and make
//!   none, which is what TUF's timestamp role is for. *Change:* nothing.
//! - **`typ` tells a checkpoint from a notice, and is required.** *Why:* both may be signed by one key. A notice needs none:
//!   nothing but a notice reads as one. *Change:* nothing.
//! - **A checkpoint that has expired is read all the same, with an alarm.** TUF refuses it. *Why:* the notices in it are
//!   authentic by themselves, and an order that waits for a gateway's clock is an order not carried out. *Change:* nothing.
//! - **What is wrong with a feed ends nothing, and what it lists beside that is fetched.** *Why:* restrictions end by notice.
//!   Of what is found the authority's people have to be told by another way. *Change:* nothing.
//! - **A node that has never seen its feed asks it before it answers anybody; one that has, does not.** *Why:* the first would
//!   answer as if nothing were restricted; the second has its ledger. *Change:* nothing.
//! - **Who vouches for the server must be written, `ca` or `system_ca = true`.** *Why:* a regulator's feed has one authority, and
//!   a default of 150 would go unnoticed. The notices are signed anyway: TLS keeps the token and secret names to
//!   those two. *Change:* nothing.
//! - **What a published feed has listed it lists for ever, even if the file is deleted.** The format lets orders leave that
//!   have ended (`ended_before`); `[[feed]]` does not do it yet. *Why:* what leaves too early is missed by a node that was away,
//!   and a list of some thousand numbers costs nothing. *Change:* a feed so long that new nodes take hours.
//! - **The label of a pull source is its URL.** It has the name of the authority's server in it, which is no listed name.
//!   *Why:* sources are known by what is written in the configuration. *Change:* nothing.
//! - **What is fetched is not kept but in the ledger.** A mirror on disk would spare a fetch after a crash. *Why:* secret names
//!   would lie there unsealed. *Change:* nothing.
//! - **`ureq` with rustls on ring asks, for the command line as well.** The system's store is read as a file. *Why:* one
//!   provider of cryptography, no roots compiled in, two crates fewer than `rustls-native-certs`. *Change:* systems
//!   that keep their certificates elsewhere.
//!
//! # Orders handed in
//!
//! - **What is handed in over HTTP takes the way of a file, from the judge on.** *Why:* one place decides what is believed, and
//!   what comes together is recorded with one wait for the disk, whichever way it came. *Change:* nothing.
//! - **What cannot be recorded is not kept: 503.** A file waits until the ledger can be written. *Why:* a file lies there
//!   anyway; whoever hands something in hears that it was not taken, and the same octets again are always safe. *Change:*
//!   nothing.
//! - **An answer waits only if it is asked to (`wait=`), and for one minute at most.** *Why:* recorded and enforced are two
//!   statements with two times, and a connection that is held is a place. Events (SSE) would need a client that reads them;
//!   a receipt that is asked for again does not. *Change:* regulators that follow thousands of orders at once.
//! - **Receipts that are asked for are made then.** Those of files are written when something happens. *Why:* where an order
//!   stands follows from the ledger; a store of receipts would be a second truth. *Change:* nothing.
//! - **Rehearsal is a property of an authority, and stays with what it ordered.** *Why:* a flag in the notice would be one slip
//!   from an order that everybody believes is in force, or from a restriction that nobody ordered. *Change:* nothing.
//! - **The node asks itself at the priority of its workers.** All other work of the control plane is at nice 19. *Why:* beside
//!   busy processes receipts said `published` for ten seconds and more. A list is asked for a thousand names, which is
//!   milliseconds. *Change:* nothing.
//! - **The API is described by tables beside its router, not by derives.** *Why:* derives would stand in `model`, `control` and
//!   `report`; a test holds tables and router against each other, another the answers of a real node. *Change:* nothing.
