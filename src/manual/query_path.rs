//! What happens to a query.
//!
//! # The same two functions behind every transport
//!
//! [`Core::fast`](crate::dns::core::Core::fast) answers whatever needs no waiting. It takes no lock of the control
//! plane, allocates nothing and reads no clock: `now` comes with the batch.
//! [`Core::miss`](crate::dns::core::Core::miss) asks upstreams. A transport does no more than carry octets to them and
//! back.
//!
//! # In this order
//!
//! ```text
//!   parse --> access --> notices --> never looked up --> cache --hit--------------------> targets --> reply --> RRL
//!     |         |           |               |              |                                 ^
//!     v         v           v               v              +--miss--> upstream --> cache ----+
//!   error    REFUSED   as listed    REFUSED, NOTIMP
//! ```
//!
//! 1. **Parse** ([`query::parse`](crate::dns::query::parse)), in place. What is shorter than a header, and responses
//!    sent to us, are dropped and counted; any other malformed message gets FORMERR, NOTIMP or BADVERS, never silence
//!    (RFC 8906).
//! 2. **Access** ([`dns::access`](crate::dns::access)): the cookie is read ([RFC 7873](crate::dns::access::cookie)); a
//!    length it cannot have is FORMERR. A client outside `[dns] allow` gets REFUSED with EDE 18. One that asks too
//!    often gets TC, or BADCOOKIE if it offers a cookie, or REFUSED if its address is proven, each with EDE 31. A query
//!    without a question but with a cookie is answered with one.
//! 3. **Notices** ([`decide::decide`](crate::dns::decide::decide)). Classes other than IN get REFUSED with EDE 21;
//!    policy is about IN only. [`Snapshot::decide`](crate::policy::Snapshot::decide) walks from the name asked to its
//!    ancestors and applies the precedence table in [`policy::compile`](crate::policy::compile). Listed:
//!    [`reply::blocked`](crate::dns::reply::blocked) writes the answer, with RD=0 and DO=1 as well. DS and DNSKEY
//!    ignore exact targets, or every unlisted name below a signed apex would turn bogus. For an exempt client the name
//!    is not listed, here and in the steps below; only of a listed name it is asked whether the client is exempt.
//! 4. **Never looked up**: AXFR and IXFR (REFUSED), other meta types (NOTIMP), and queries with RD=0 (REFUSED, EDE 20),
//!    since answering those from the cache would show what others asked.
//! 5. **Cache** ([`Cache`](crate::dns::cache::Cache)). Before a kept answer leaves, the names it leads to (CNAME, SVCB
//!    and HTTPS targets) are put to the policy in force: [`decide::on_targets`](crate::dns::decide::on_targets). Of
//!    several listed ones a statutory notice wins. So a change of policy never has to flush the cache, and a lifted
//!    name resolves at once. Only a reload that changes the upstreams empties it.
//! 6. **Upstream** ([`Pool`](crate::dns::upstream::Pool)), if a place is free; if not, the answer is SERVFAIL with EDE
//!    23 and a text. There are (limit of open files - 2,048) / 5 places, at least 16 and at most 4,096; once half are
//!    taken, names of one registered domain hold an eighth of them at most ([`domains`](crate::dns::access::domains)).
//!    When the upstream has answered, the answer is kept first; then the name and its targets are decided again,
//!    because the policy may have changed meanwhile. Identical questions under way are not joined yet.
//! 7. **Response rate limiting** ([`rrl`](crate::dns::access::rrl)), if it is on, for whatever leaves by UDP to a
//!    source without a valid cookie: errors, blocked, cached and forwarded answers.
//!
//! # UDP
//!
//! Every worker owns one socket per listen address; SO_REUSEPORT lets the kernel spread clients over them. (After an
//! upgrade to fewer workers, one owns several; with a single socket from systemd, all read that one.) A batch of
//! up to 64 datagrams comes with one `recvmmsg` and leaves with one `sendmmsg`. A miss leaves the batch as a task that
//! replies by itself from the address that was asked. Answers are at most 1,232 octets, or what the client offers, or
//! 512 without EDNS. What does not fit gives way in this order: an upstream's EDE, the additional section, both without
//! TC; then all sections, with TC and the OPT record kept. The kernel is told not to believe path MTUs
//! (IP_PMTUDISC_OMIT), since a forged one would make it send fragments.
//!
//! A panic over one message is caught, counted as `pagar_dns_dropped_total{reason="panic"}`, and the worker goes on.
//!
//! # TCP
//!
//! Two-octet frames, several queries a connection, answered as they become ready. At most 1,024 connections of clients
//! over all listen addresses, further ones wait; 64 answers under way on each, and ten seconds of idleness. Strangers,
//! whom `[dns] allow` does not name, have 64 connections among them, further ones are closed, and one second
//! ([`listen::stream`](crate::dns::listen::stream)). When the server stops, each has a second for what is on its way.
//!
//! # Forwarding
//!
//! What is not known is passed on: the rcode, all sections, unknown types, DO and CD. Three things are changed.
//!
//! - The OPT record is hop by hop and is written anew.
//! - TTLs count down and are capped at `[cache] max_ttl`.
//! - AD is passed on only from an upstream with `trust_ad`, to a client that set DO or AD.
//!
//! EDE codes of an upstream are kept, their texts are not. Codes 4 and 15 to 18 become code 0 with a text of ours that
//! names the code: an upstream's block must not read as a notice carried out here.
//!
//! A try has its own socket on a random port and a random id (RFC 5452). The next goes out after 600 ms, or as soon as
//! one fails, while earlier ones are still listened to; an upstream gets at most three tries a question, a question at
//! most 2.5 s. An upstream that was asked for 3 s and answered nothing is asked last, never left out, and gets one
//! question in 5 s beside the others until it answers.
//!
//! A message with another id or question is not an answer, and listening goes on; an error that has the id but no
//! question ends the try. TC=1 from an upstream, even if the message is cut within a record: the question is asked
//! again over TCP, on one connection an upstream, with a second to open it and a second for the answer. Without an
//! answer by TCP, a client on UDP gets TC and one on TCP SERVFAIL with EDE 23.
//!
//! # What an answer for a listed name looks like
//!
//! | action | A, AAAA | other types | rcode |
//! |---|---|---|---|
//! | `block-page` | the page's address; NODATA if that family has none | NODATA | NOERROR |
//! | `nodata` | NODATA | NODATA | NOERROR |
//! | `nxdomain` | none | none | NXDOMAIN |
//! | `refused` | none | none | REFUSED |
//!
//! A name that is listed only through a CNAME, SVCB or HTTPS target gets NODATA where the table says NXDOMAIN, which
//! would deny its other types and the names below it as well (RFC 8020).
//!
//! NODATA and NXDOMAIN carry an SOA: owner and MNAME are the listed target (the name asked, if it was listed only
//! through a CNAME or SVCB target), RNAME is `nobody.invalid`, the serial is the policy serial, TTL and MINIMUM are
//! `[block] ttl`. If the query had an OPT record, so has the answer, with EDE 16 (statutory) or 15 (operator), whose
//! text is the id of a public notice and empty otherwise. An answer with a page address has EDE 4 beside it, unless the
//! client signalled structured errors.
