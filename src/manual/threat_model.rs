//! Whom we trust with what, what we defend against, and what we do not.
//!
//! # Trusted
//!
//! - **Whoever can write the configuration**, completely: it says whose keys count. The same goes for a list, and for a
//!   directory with `allow_unsigned = true`: the permissions of those files are the whole protection.
//! - **An authority's signers**, within its `categories`, and only as many together as `required_signatures` says.
//! - **The upstreams**, for what they answer. Pagar does not validate DNSSEC; AD is passed on only from an upstream
//!   with `trust_ad`, by default one on loopback, since on a plain network path anybody can set the bit.
//! - **The server's user and root, the accounts of `[operators] group`, and clients of the API with the role operator**, with
//!   lifting and approving. Two persons are two account numbers, or two clients; an account and a client of one name are
//!   taken for one. Whoever has two of them is two; the ledger has the reasons. Give each person one.
//! - **Accounts on the machine**, with reading, where no `[[web.client]]` is configured; with the figures of `/metrics` always.
//! - **Whoever has a client's token, or the key of its certificate**, with what its role allows. The configuration has only
//!   digests of tokens; they must be random (`openssl rand -hex 32`), for a digest of a word is as good as the word.
//! - **The wall clock**, for when notices begin and end, within an hour. A jump further than that is believed after 15
//!   minutes, and one before the last ledger record when it has reached it ([`control::clock`](crate::control::clock)).
//!
//! # Not trusted
//!
//! | who | may try | what stands against it |
//! |---|---|---|
//! | a client | malformed messages, compression loops, responses | checked reads; a malformed message gets an error or is dropped and counted ([`dns::query`](crate::dns::query), [`dns::wire`](crate::dns::wire)); a panic is caught |
//! | a client | more questions than upstreams answer | 4,096 are under way at the most, and four times as many queries wait for them; further ones get SERVFAIL with EDE 23; listed and cached names do not pass there |
//! | a client | random names below one domain, whose servers are dead by then | once half of the places are taken, one domain holds an eighth of them ([`domains`](crate::dns::access::domains)) |
//! | a client | more questions, or malformed messages, than its share | `[dns.rate_limit]`, if it is on ([`access`](crate::dns::access)) |
//! | anybody who forges addresses | sending our answers to a victim | `[dns.rrl]`, if it is on; no limited answer is larger than its query but for 22 octets |
//! | anybody who forges addresses | using up a client's limit | queries by TCP or with a valid cookie have a limit of their own |
//! | anybody who forges addresses | washing others out of the tables of limits | what is forgotten starts with a full bucket; hashes have a key of this process ([`buckets`](crate::dns::access::buckets)) |
//! | a client | the same question many times at once, so that a forged answer has many ids to meet | one question upstream for all who ask it (RFC 5452 §5), 256 waiters each |
//! | a client | names that fail, over and over | a failure is kept up to a minute, in memory of its own (RFC 9520) |
//! | an upstream | records that answer something else, chains without end | an answer section that is not the question's chain is refused whole |
//! | a client | connections that do nothing, or very little | 64 of one client (IPv6: a /56), 1,024 in all; idle ones give way to new ones, first those of whoever has most; 10 s idle, 5 s a frame ([`places`](crate::dns::listen::stream::places)) |
//! | a client | asking without reading the answers | 64 KiB unwritten stop the reading; of what was asked before, 256 KiB wait, the rest becomes SERVFAIL; 10 s close it |
//! | a stranger | connections that keep clients out | strangers have 64 of their own, 1 s idle |
//! | a stranger | using the resolver to attack others | networks outside `[dns] allow` get REFUSED, for malformed messages too, and no cookie without a question; by default only this machine is allowed; at most 1,232 octets by UDP |
//! | a host off the path | forging an upstream's answer | one of hundreds of random ports and a random id for each try, connected sockets that go after seconds, the question compared (RFC 5452); cookies where the upstream knows them (RFC 7873) |
//! | a host off the path | forging path MTUs, so that answers leave in fragments | the UDP listeners do not believe them (RFC 9715) |
//! | the owner of a dead zone | making the upstream look dead | only unanswered probes make it asked last; a question without an answer makes it probed |
//! | the owner of a listed name | CNAME or HTTPS records that lead there from another name | targets in answers are put to the policy: [`on_targets`](crate::dns::decide::on_targets) |
//! | the owner of a listed name | its addresses beside another name's answer | such an answer leaves without its additional section: [`lists_additional`](crate::dns::decide::lists_additional) |
//! | an upstream | many names in an additional section, to cost look-ups | 16 are looked at; one with more is not kept |
//! | the owner of a listed name | pointing it at somebody else's address | names are never resolved to find more targets |
//! | an authority's mistake | a URL, an address, the root, a top-level domain | refused as an item with a reason ([`verify::guard`](crate::verify::guard)) |
//! | an authority's mistake, or the operator's | a public suffix, a cloud, a CA's OCSP host, the resolver itself | it waits for two persons ([`Guard`](crate::verify::guard::Guard)) |
//! | a broken delivery | a list cut off, or one with somebody else's names | a list that shrinks or grows out of proportion waits for a person ([`size`](crate::verify::guard::size)) |
//! | one operator | approving alone what two must approve | the person is the user the kernel names (`SO_PEERCRED`), never what the request says |
//! | a client of the operators' socket | silence, endless requests | 16 connections, 64 KiB, 5 s ([`web::operator`](crate::web::operator)) |
//! | an authority | ordering what is not its business | `categories` of its `[[authority]]` |
//! | an authority | ending or changing another's notice | orders are about notices of the same authority; a name stays listed until its last notice ends |
//! | whoever can write a notice directory | orders of its own | signatures by keys of the configuration ([`keyring`](crate::verify::keyring)); what is unsigned is refused |
//! | … | lifting by deleting, changing or unmounting | a signed notice does not depend on its file |
//! | … | an old order again | the same payload is known and changes nothing; a number and an id stand for one payload for ever ([`Life`](crate::control::life::Life)) |
//! | … | holding a notice back | seen as a gap once a later number has come (`pagar_notice_sequence_gaps`); the last one held back is seen only by the sender, whom the receipt does not reach |
//! | … | notices in another order | an order about a notice that is not there waits for it; what comes together is taken by number |
//! | … | filling the disk or memory with junk | what nobody is known to have sent is counted, not stored; 64 MiB of files wait; a file has 22 MiB at the most |
//! | … | forged receipts | receipts are signed by the node (`node.jwk`), and the sender has its public half from elsewhere; the readable member is not what is signed |
//! | who has a feed, its line or its key | orders of its own | each notice needs its authority's signatures as if it came as a file; the feed's key puts nothing in force |
//! | … | an older feed, or a rewritten one | the last checkpoint is remembered: `feed-rollback`, `feed-contradiction`; not seen by a node that has never read it |
//! | … | standing still | a checkpoint expires: `feed-frozen`, at the latest after its validity |
//! | … | keeping notices or pages back, or others in their place | all that is listed must come, bound by hashes: `feed-withheld`, `feed-altered`, and a metric of how many are missing; not seen: what the authority does not list, unless it leaves a gap in its numbers |
//! | … | octets without end, or one a minute | every answer has a size and an end, so has a look: `feed-oversized`, `feed-slow` |
//! | … | one feed for this node, another for that one | seen once both come to one node; nodes do not compare ([`ingest::pull`](crate::ingest::pull) has the table of TUF's threats) |
//! | a server that a feed's name leads to | being taken for the feed's, sending the token elsewhere | certificates lead to the pinned authority; redirects are not followed ([`http`](crate::http)) |
//! | one signer, or who has one stolen key | orders in the authority's name | nothing where one signature is required; with `required_signatures = 2` it takes two keys, told apart by thumbprint. Then: `revoked` or `exp` in the key file and a reload, or the key taken out; what it signed before stays in force and is revoked by notices |
//! | a sender of crafted envelopes | another algorithm, an own key in the header, members twice, odd encodings | one algorithm, keys from the configuration only, strict JSON and base64url ([`jws`](crate::verify::jose::jws)) |
//! | whoever can write the state directory | changing the record | each record is hashed with the one before; a start and `pagar ledger verify` name the first that does not fit |
//! | a broken delivery | half a file, an error page in place of a list, an empty list, an unmounted directory | quiet times, more bad lines than good ones, last good content ([`notice_path`](super::notice_path)) |
//! | a slip of the pen | a wrong path in a reloaded configuration | a new source that cannot be read keeps the whole configuration from being taken over |
//! | a second pagar | the same state directory | it is locked; the second one does not start |
//! | another process of the user | reading names from memory, or from a core dump | core dumps and tracing are forbidden unless `process.core_dumps` |
//! | an account on the machine | passing for the self-test, to be answered without being served | the port, and 128 bits that only the process knows ([`Asking`](crate::policy::Asking)); it would gain an answer about the policy on loopback |
//! | whoever watches the upstreams | which names have just been listed or lifted | the self-test asks without RD, so nothing is forwarded |
//! | a web page in a browser on the machine | reading the API by DNS rebinding | `Host` must be a loopback address or `localhost` where nobody is asked who he is; no CORS header ([`web`](crate::web)) |
//! | a web page in a browser, of somebody with a client certificate too | emptying the cache with a form, having queries counted, lifting | a request with `Origin` or `Sec-Fetch-Site` changes nothing |
//! | a stranger who reaches the API | guessing tokens | 20 wrong ones a minute and address, then none is looked at; compared in constant time; `PagarWebGuessing` |
//! | … | holding connections, or sending slowly | 64 of the 256 places an address; 10 s for a handshake, a header, each piece of a body |
//! | … | making us read large bodies | a body is read once it is known who sends it; 16 MiB each, 48 MiB together, then 503 |
//! | somebody on the path to the API | reading or changing what is sent, taking a token | TLS beyond loopback, always; orders are believed for their signatures besides |
//! | an authority's client | reading or sending what is another authority's | its role is bound to one `[[authority]]` |
//! | a client that is no longer one | going on by an open connection, or a resumed session | who it is, is looked up for each request; no session is resumed |
//!
//! # Guaranteed
//!
//! - A name is answered as listed only if a notice in force lists it, or one of the CNAME, SVCB and HTTPS targets in
//!   its answer. Matching compares every octet; no fingerprint decides.
//! - No query name and no client address is logged above debug level, and none stands in a metric label.
//! - A signed notice has no effect before it is on the disk, and a receipt says *enforced* only after the node has asked
//!   its own sockets and recorded what it heard.
//!
//! # Not defended against
//!
//! - Floods that fill the line or the sockets' buffers. Limits of queries and answers are off until they are configured.
//! - A forged PROXY header by UDP: whoever can send from a balancer's address is believed. Filter it at the border.
//! - A list that is written in place: one that its writer closes or leaves alone for 2 s is taken as it is then.
//! - Anybody on the path between client and Pagar, or Pagar and upstream: plain DNS is all there is.
//! - Clients that use another resolver. Queries sent to somebody else are not intercepted, on purpose (SAC127).
//! - Root, and the server's user, on the node. They can replace the program, the ledger as a whole with its head, and the
//!   node's key, and sign any receipt; they can forge answers. What is left are copies elsewhere: receipts that the
//!   authority keeps, each with a head of the chain, and `pagar_ledger_head_info` in somebody else's Prometheus.
//! - The end of the chain: that the last records are cut off, or all are written anew, shows only to who has kept such a
//!   head (`pagar ledger verify --head`).
//! - What a record says is what the node believed. A clock that is wrong gives wrong times; *enforced* is what the node's
//!   own sockets answered, not what clients elsewhere saw.
//! - A stolen key's orders between the theft and its revocation. They are on record, with the thumbprint of the key.
//! - An order against a real site of many that nobody has protected: the guard knows public suffixes and names somebody
//!   has written down, not who uses a site.
