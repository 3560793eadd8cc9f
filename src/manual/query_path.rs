//! What happens to a query.
//!
//! # The same functions behind every transport
//!
//! [`Core::fast`](crate::dns::core::Core::fast) answers whatever needs no waiting. It takes no lock of the control
//! plane and reads no clock: `now` comes with the batch. For what is listed or kept, and for errors, it allocates nothing;
//! for names of local zones it does, since their answers are put together by hickory-server.
//! [`Core::wait`](crate::dns::core::Core::wait) has upstreams asked, [`Core::conclude`](crate::dns::core::Core::conclude)
//! answers with what came of it. A transport does no more than carry octets to them and back.
//!
//! # In this order
//!
//! ```text
//!   parse --> access --> notices --> never looked up --> cache --hit--------------------> targets --> reply --> RRL
//!               |           |               |              |                                 ^
//!               v           v               v              +--miss--> local zones            |
//!        REFUSED, error  as listed  REFUSED, NOTIMP        |               |  |              |
//!                                                          |               |  +-- ours ------+
//!                                                          |               v                 |
//!                                                          |         flight, upstream, cache +
//!                                                          +--failed a moment ago--> SERVFAIL, or a stale answer
//! ```
//!
//! 1. **Parse** ([`query::parse`](crate::dns::query::parse)), in place. What is shorter than a header, and responses
//!    sent to us, are dropped and counted; any other malformed message gets FORMERR, NOTIMP or BADVERS, never silence
//!    (RFC 8906), if step 2 lets its client in.
//! 2. **Access** ([`dns::access`](crate::dns::access)): the cookie is read ([RFC 7873](crate::dns::access::cookie)); a
//!    length it cannot have is FORMERR. A client outside `[dns] allow` gets REFUSED with EDE 18, whatever it sent. One
//!    that asks too often gets TC, or BADCOOKIE if it offers a cookie, or REFUSED if its address is proven, each with
//!    EDE 31; malformed messages count like queries, and get REFUSED then. A query without a question but with a cookie
//!    is answered with one.
//! 3. **Notices** ([`decide::decide`](crate::dns::decide::decide)). Policy is about class IN only: TXT questions of class
//!    CH about this server get what [`Identity`](crate::dns::identity::Identity) is configured to say, all else of other
//!    classes REFUSED with EDE 21. [`Snapshot::decide`](crate::policy::Snapshot::decide) walks from the name asked to its
//!    ancestors and applies the precedence table in [`policy::compile`](crate::policy::compile). Listed:
//!    [`reply::blocked`](crate::dns::reply::blocked) writes the answer, with RD=0 and DO=1 as well. DS and DNSKEY
//!    ignore exact targets, or every unlisted name below a signed apex would turn bogus. For an exempt client the name
//!    is not listed, here and in the steps below; only of a listed name it is asked whether the client is exempt.
//! 4. **Never looked up**: AXFR and IXFR (REFUSED), other meta types (NOTIMP), and queries with RD=0 (REFUSED, EDE 20),
//!    since answering those from the cache would show what others asked. ANY gets a synthesised HINFO (RFC 8482). With RD=0
//!    and for ANY the local zones are asked first: their data are ours.
//! 5. **Cache** ([`Cache`](crate::dns::cache::Cache)). Before a kept answer leaves, the names it leads to (CNAME, SVCB
//!    and HTTPS targets) are put to the policy in force: [`decide::on_targets`](crate::dns::decide::on_targets). Of
//!    several listed ones a statutory notice wins. Then the names its additional section is about or leads to, 16 at
//!    most: if one of them is listed, the answer leaves without that section
//!    ([`lists_additional`](crate::dns::decide::lists_additional)), blocked it is not. So a change of policy never has
//!    to flush the cache, and a lifted name resolves at once. Only a reload that changes the upstreams or the local
//!    zones, or a flush, takes answers out. A UDP worker asks first what it has at hand
//!    ([`Near`](crate::dns::near::Near)): the same answers, found without a lock.
//! 6. **Local zones** ([`Local`](crate::dns::local::Local)), see below. The cache never holds a name of theirs, so they
//!    can stand behind it and cost cached answers nothing.
//! 7. **Upstream** ([`Pool`](crate::dns::upstream::Pool)), once for all who ask the same at a time: "Questions under
//!    way" below. When the upstream has answered, the answer is kept first; then the name and its targets are decided
//!    again for each who waits, because the policy may have changed meanwhile.
//! 8. **Response rate limiting** ([`rrl`](crate::dns::access::rrl)), if it is on, for whatever leaves by UDP to a
//!    source without a valid cookie: errors, blocked, cached and forwarded answers.
//!
//! # Questions of the node's own
//!
//! *Enforced* is said only of what the node's own sockets have answered as ordered: the self-test
//! ([`control::selftest`](crate::control::selftest)) asks them. A UDP worker knows its questions by the address and port
//! they come from, at which somebody sits ([`Asking`](crate::policy::Asking)), and by an option with 128 bits that only
//! this process knows; a port is compared for each datagram, the rest for those few where it is the same. Whoever copies the
//! option, or sends from the port alone, is anybody. Such a question
//! ([`Core::ask_oneself`](crate::dns::core::Core::ask_oneself)) skips step 2 and 8 and a balancer's header, is never
//! exempt, and takes the way of every other query from step 3 on, with the same snapshot. It counts in no metric of
//! queries. It comes without RD, so neither cache nor upstream is asked: who watches the upstreams does not learn which
//! names have just been listed or lifted.
//!
//! # What a candidate would block
//!
//! While a preview runs ([`control::preview`](crate::control::preview)), step 3 also looks up in it each name that it is
//! about to decide, and counts what the candidate lists, the policy does not, and no exemption covers
//! ([`Preview`](crate::policy::Preview)). No answer changes. Without one this costs a look a batch.
//!
//! # What is kept
//!
//! The key is name, type, DO and CD. An answer is kept until the first of its TTLs ends; a negative one for the lower
//! of its SOA's TTL and MINIMUM (RFC 2308 §5), three hours at most, and not at all without an SOA. An NXDOMAIN for the
//! name asked itself is found for every type of that name; behind a CNAME it is about another name and kept for its
//! type, and so is one for DS, which is about the zone above. What may not be kept (TTL 0) goes to those who wait for it and no further, but takes the place of what was
//! known before.
//!
//! **Failures** (RFC 9520): an upstream's error code, silence, or octets that are no answer are kept for 1 s, twice as
//! long each time they come back, up to 60 s, and forgotten at the first success. Meanwhile nobody asks; the answer is
//! the code and EDE of the failure with EDE 13. While no upstream of the name's zone is in use, nothing is kept, since that
//! says nothing about the name, and when one is back, what was kept of their silence is forgotten. An answer that is too
//! long for UDP and cannot be had by TCP is such a failure too; who asks by UDP gets TC.
//!
//! **Fetched ahead** (`[cache] prefetch`): the first query that meets an answer in the last tenth of its time, if that
//! was 10 s or more, has it fetched anew beside it.
//!
//! **Stale answers** (`[cache] serve_stale`, RFC 8767; off by default): a query that meets an answer past its TTL asks
//! upstreams first. If they fail, or after `client_timeout`, the old answer goes out with TTL 30 and EDE 3, or 19 for
//! NXDOMAIN, while the question goes on until its end; after a failure, for 30 s, it goes out at once. Fresh data,
//! NODATA and NXDOMAIN take its place, errors do not. What is listed is blocked, stale or not. What has been flushed
//! while a fresh answer was waited for does not go out, and who waits goes on waiting.
//!
//! `POST /v1/cache/flush` and `pagar cache flush` make it forget a name, or the names below it too: answers of all
//! types, answers of other names that lead there, denials, failures. What is under way then is not kept when it comes.
//!
//! # Questions under way
//!
//! A question is a task of its own ([`Core::wait`](crate::dns::core::Core::wait) joins it or begins it): it goes on
//! when the asker has gone, for as long as the upstreams take. Four bounds: 4,096 questions under way; once half of
//! these places are taken, names of one registered domain hold an eighth of them at most
//! ([`domains`](crate::dns::access::domains)); 256 queries wait for one question, and four times as many as there are
//! places wait in all, shared out among domains alike. Beyond each the answer is SERVFAIL with EDE 23 and a text, or
//! a stale answer if there is one, and is counted (`pagar_dns_shed_total{reason}`).
//!
//! # UDP
//!
//! Every worker owns one socket per listen address; SO_REUSEPORT lets the kernel spread clients over them. (After an
//! upgrade to fewer workers, one owns several; with a single socket from systemd, all read that one.) A batch of up
//! to 64 datagrams comes with one `recvmmsg` and leaves with one `sendmmsg`. Before sixteen of them are answered the
//! policy reads ahead for all of their names, so that they wait for memory together and not one by one. The misses of
//! a batch are handed to the async side together, each as a task that replies from the address that was asked;
//! replies that are ready together leave together (`listen/outbox.rs`). Answers are at most 1,232 octets, or what the
//! client offers, or 512 without EDNS. What does not fit gives way in this order: what the OPT record can do without,
//! the additional section, both without TC; then all sections, with TC and the OPT record kept. The kernel is told
//! not to believe path MTUs (IP_PMTUDISC_OMIT), since a forged one would make it send fragments.
//!
//! A panic over one message is caught, counted as `pagar_dns_dropped_total{reason="panic"}`, and the worker goes on.
//!
//! # TCP
//!
//! Two-octet frames, several queries a connection, answered as they become ready, those that are ready together in one
//! write ([`listen::stream`](crate::dns::listen::stream)). A malformed query gets its error and the connection stays; a
//! frame shorter than a header ends it. After a half-close, what was read is answered. One task and no buffer while
//! idle. When the server stops, each has a second for what is on its way. The bounds, with the defaults of `[dns.tcp]`:
//!
//! | what | bound | then |
//! |---|---|---|
//! | connections of all clients | 1,024, and half of the file descriptors | an idle one of the client with most gives way; none idle: the new one is closed |
//! | of one client (IPv4 address, IPv6 /56) | 64 | its own oldest idle one gives way; none idle: the new one is closed |
//! | of strangers, whom `[dns] allow` does not name | 64 among them | the same among them |
//! | time without an answer | 10 s, less when more than half of the places are taken; strangers 1 s | closed |
//! | a frame, from its first octet | 5 s; strangers 1 s | closed |
//! | questions under way on a connection | 64 | nothing is read |
//! | answers that wait to be written | 64 KiB | nothing is read |
//! | the same, with those that become ready meanwhile | 256 KiB, so 16 MiB of one client | SERVFAIL with EDE 23 in place of each further one |
//! | a write | 10 s; strangers 1 s | closed |
//!
//! # Behind a load balancer
//!
//! From the addresses in `[dns.proxy] from`, every connection and every datagram begins with a PROXY header of version 2
//! ([`listen::proxy`](crate::dns::listen::proxy)), or is closed, or dropped, and counted as
//! `pagar_dns_dropped_total{reason="proxy"}`. The client it names is the one `allow` and the limits are about; the reply
//! goes to the balancer. From elsewhere a header is never looked for. A client whose question the balancer brings by TCP
//! counts as proven, however it came to the balancer: the balancer is then the one to bound what leaves by UDP.
//!
//! # Forwarding
//!
//! What is not known is passed on: the rcode, all sections, unknown types, DO and CD. Four things are changed.
//!
//! - The OPT record is hop by hop and is written anew.
//! - TTLs count down and are capped at `[cache] max_ttl`.
//! - AD is passed on only from an upstream with `trust_ad`, to a client that set DO or AD.
//! - An additional section about more than 16 names, or with a name that cannot be read, is left out.
//!
//! EDE codes of an upstream are kept, their texts are not. Codes 4 and 15 to 18 become code 0 with a text of ours that
//! names the code: an upstream's block must not read as a notice carried out here.
//!
//! **Whom** ([`Pool`](crate::dns::upstream::Pool)): the upstreams of the longest zone that encloses the name; the DS of
//! a zone's apex goes to those of the zone above. If all of a zone are dead, its names get SERVFAIL: they are never
//! asked of anybody else, who has no business to learn them. Among the upstreams of a zone those in use come first, in
//! the order of `[forwarding] strategy`, then those on trial, then the silent ones. Nobody is left out.
//!
//! **When** (`upstream/race.rs`): a try goes out from a random port under a random id (RFC 5452; below). The next goes
//! out as soon as one fails, or after 600 ms, while earlier ones are still listened to. Once a question it goes out
//! earlier, the hedge: when the upstream takes longer than for 95 of 100 answers lately (20 ms at least), for one
//! question in ten at the most. An upstream gets three tries, the last one by TCP if nothing at all has come from
//! it by UDP meanwhile, three datagrams at most with the retries below (RFC 9520 §3.1), and a question 2.5 s.
//!
//! **From where** (`upstream/sockets.rs`, `upstream/socket.rs`): an upstream has 512 places for connected sockets,
//! each on a random port from 1,024 to 65,535. A try draws a place; if that is empty, a socket is opened there. One
//! is used for 64 to 191 questions and 5 to 15 s, both drawn at random, and no longer once it has met an error or
//! left a question unanswered for 600 ms; it is listened to until nobody waits on it any more. All upstreams together
//! have (limit of open files - 1,024 - `[dns.tcp] connections`) sockets, at least 64 and at most 8,192, reckoned when
//! the server starts; when these are out, what is open is used. Ids are random and no socket uses one twice while its
//! answer may still come.
//!
//! **What counts** (`upstream/udp.rs`): a message with another id, question or client cookie is not an answer, and
//! listening goes on (`pagar_upstream_mismatches_total`). One that comes after its asker has gone is not counted.
//!
//! **By TCP** (`upstream/exchange.rs`, `upstream/connection.rs`; RFC 7766) an upstream has one connection, with up to
//! 256 questions on it at a time, each under a random id of its own. Answers come in any order and are held to the same
//! rule; nothing but this rule looks at them, so a record nobody can read is passed on (RFC 3597 §3). A connection the
//! upstream has closed is opened anew once. One that leaves a question unanswered takes no further ones, one that was not
//! used for five to ten seconds is closed (§6.2.3), and so is one that carries what cannot be a message.
//!
//! | the upstream says | then |
//! |---|---|
//! | SERVFAIL, REFUSED, NOTIMP, FORMERR, an extended code | the others are asked once each; if nobody knows better, the answer that gives a reason (EDE), or the last one, is passed on |
//! | the same with EDE 6 to 12 (DNSSEC) or 15 to 17 (its own policy) | passed on at once: a verdict is not asked around |
//! | FORMERR without OPT | once more without OPT; not remembered |
//! | BADCOOKIE | once more with the new cookie, then TCP |
//! | no cookie, though it has shown that it knows them | TCP, which a host off the path cannot forge |
//! | TC, even cut within a record, or a datagram over 4,096 octets | TCP, on one connection an upstream, with a second to open it and a second for the answer; without one the others are asked, and if nobody has the whole, a client on UDP gets TC and one on TCP SERVFAIL with EDE 23 |
//! | an error with the id and no question, or garbage | the try has failed, the next goes out |
//!
//! **Health** (`upstream/breaker.rs`): an upstream that is quiet for 10 s, or leaves a question unanswered for 600 ms
//! while nothing else is heard from it, is asked `. NS`, or the SOA of its zone. Any answer is a sign of life, whatever
//! its code. Two such probes in a row without one, by UDP and then by UDP and TCP: it is asked last, and probed after
//! 1, 2, 4, 8, then every 16 s. It is in use again after two signs of life half a second apart, or 4, 8, 16 of them if
//! it keeps falling silent within a minute. One that answers by TCP only is asked by TCP at once, until UDP works
//! again.
//!
//! An answer is refused as a whole, and counts as a failed try, if its answer section is not the CNAME chain that
//! begins at the question, of at most 16 links and without a loop, with the records of its names and the DNAMEs above
//! them (`dns/chain.rs`); if a record is of another class; if an address has a wrong length. The records of an RRset
//! leave with one TTL, the lowest (RFC 2181 §5.2).
//!
//! # Local zones
//!
//! Special-use names (RFC 6761 and its registry: localhost, test, invalid, onion, local, alt, internal, home.arpa,
//! service.arpa, resolver.arpa, …) and the reverse zones of RFC 6303 and RFC 7793 are answered here with AA and an
//! SOA, so are the operator's `[[local_zone]]`s. The closest entry above a name decides: a zone, or an exception from
//! `[dns.local] forward`, which may stand above a zone (it is out), be one, or stand below one (that part is
//! forwarded). `resolver.arpa` is never forwarded (RFC 9462 §6.4). DS of an operator's zone, of a reverse zone and of
//! `home.arpa` itself is its parent's data and goes upstream (RFC 8375 §4), unless the parent is here: DS of a part that
//! is forwarded is answered by the zone around it. No zone denies a name that is answered elsewhere, or one above it.
//!
//! Wildcards answer by the closest encloser (RFC 4592). CNAMEs are followed through all local zones, eight at most;
//! where one leads out, an upstream is asked for the rest, which is kept under its own name and stands behind the CNAMEs
//! octet by octet, fresh or stale, with the upstream's EDE and without AD. If the rest is an error or was cut off, so is
//! the whole: the CNAMEs alone would say NODATA. If our CNAMEs lead to a listed name, nobody is asked. Ours and theirs are 16 links at the most, else it is SERVFAIL. With RD=0
//! the answer ends there. A zone whose file could not be read at the start is answered with SERVFAIL and EDE 14, never by an
//! upstream.
//!
//! # EDNS
//!
//! One OPT record for one OPT record, DO copied, on errors as well. Unknown options and flags are ignored and not
//! echoed; NSID is answered if configured; keepalive with data is FORMERR over TCP. A query signed with TSIG is treated
//! as unsigned: a forwarder that rewrites could not pass the signature on. Where there is no room, NSID gives way first,
//! then the texts of Extended DNS Errors, then their codes; cookie and keepalive stay, and nothing of these ever causes
//! TC.
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
//! would deny its other types and the names below it as well (RFC 8020). For the latter reason `nxdomain` never stands on
//! an exact target: notice, list and configuration with both are refused ([`verify::check`](crate::verify::check)).
//!
//! NODATA and NXDOMAIN carry an SOA: owner and MNAME are the listed target (the name asked, if it was listed only
//! through a CNAME or SVCB target), RNAME is `nobody.invalid`, the serial is the policy serial, TTL and MINIMUM are
//! `[block] ttl`. If the query had an OPT record, so has the answer, with EDE 16 (statutory) or 15 (operator), whose
//! text is the id of a public notice and empty otherwise. An answer with a page address has EDE 4 beside it, unless the
//! client signalled structured errors.
