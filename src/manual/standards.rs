//! What the standards require of a forwarder that blocks, where each requirement is met, and which test shows it.
//!
//! A test is named by its file under `tests/scenarios/` (`ttl.rpl`) or by its path: `packets::random_octets_are_survived`
//! stands in `tests/integration/packets.rs`, `dns::wire::tests::pointers_only_go_backwards` in `src/dns/wire.rs`. A test
//! sees to it that every test named here exists. The replies themselves, beside those of unbound and BIND, are in
//! `tests/compliance.md`. Numbers of rows stay when rows are added; the gaps are listed under *Later*.
//!
//! # Messages (RFC 1034, 1035, 2181, 3597, 5452)
//!
//! | | requirement | where | test |
//! |---|---|---|---|
//! | 1.1 | id, opcode, RD and question are echoed, QR and RA set (1035 §4.1.1) | `dns::reply` | `dns::reply::tests::what_is_written_fits_and_says_what_was_asked`, `compliance::pagar_answers_every_probe_as_the_standards_say`, and every scenario: the runner compares them |
//! | 1.2 | the question comes back byte for byte; names compare without ASCII case only (1035 §4.1.2, 4343) | `dns::query`, `dns::reply` | `question_case.rpl`, `strange_labels.rpl` |
//! | 1.3 | a cached answer has the asker's case | `dns::answer` | `question_case.rpl` |
//! | 1.4 | any octet is legal in a label; nothing is matched as text (2181 §11) | `dns::query`, `policy::index` | `strange_labels.rpl`, `packets::any_octet_may_stand_in_a_label` |
//! | 1.5 | names and labels are bounded, label types 01 and 10 refused, pointers lead backwards, loops end | `dns::wire` | `dns::wire::tests::pointers_only_go_backwards`, `dns::wire::tests::a_decompressed_name_is_bounded`, `dns::query::tests::garbled_messages_are_formerr` |
//! | 1.6 | a response sent to the service is never answered | `dns::query` | `malformed.rpl`, `packets::what_is_no_query_gets_no_answer` |
//! | 1.7 | Z, TC, AA and RA of a query are ignored and not echoed (8906 §8.1.3) | `dns::reply` | `edns_options.rpl`, `compliance::pagar_answers_every_probe_as_the_standards_say` |
//! | 1.8 | unknown types and RDATA pass unchanged; no compression is added (3597 §3, §4) | `dns::answer`, `dns::upstream` | `sections_pass.rpl`, `forwarding::all_sections_flags_and_codes_arrive_unchanged`, `upstreams::by_tcp_too_other_answers_are_ignored_and_records_nobody_can_read_are_passed_on` |
//! | 1.9 | one TTL an RRset, the lowest; 31 bits, more is capped (2181 §5.2, §8; 8767 §4) | `dns::answer` | `ttl.rpl`, `dns::answer::tests::a_stale_answer_says_so_and_an_rrset_has_one_ttl` |
//! | 1.10 | TTLs count down; what has expired is not used; TTL 0 is for the question at hand | `dns::cache` | `ttl.rpl` |
//! | 1.11 | an answer that does not fit is cut whole, with TC; additional data may go without (2181 §9) | `dns::answer` | `truncation.rpl`, `dns::answer::tests::additional_data_gives_way_without_tc_and_answers_with_it` |
//! | 1.12 | an upstream's answer must match address, port, id, name, type and class; listening goes on after a mismatch (5452 §9.1) | `dns::upstream::udp`, `dns::answer` | `upstreams::an_answer_with_another_id_is_ignored`, `upstreams::an_answer_to_another_question_is_ignored`, `upstreams::an_answer_from_another_port_or_address_is_ignored`, `upstreams::a_query_sent_back_is_no_answer` |
//! | 1.13 | id and port of every try are unpredictable (5452 §9.2) | `dns::upstream::sockets`, `dns::upstream::socket` | `upstreams::every_try_has_a_fresh_port_and_id`, `dns::upstream::socket::tests::ports_are_drawn_over_the_whole_range`, `dns::upstream::socket::tests::no_two_questions_of_a_socket_have_one_id` |
//! | 1.14 | one question under way for a name, type, class, DO and CD (5452 §5) | `dns::flight` | `joined.rpl`, `dns::flight::tests::of_many_askers_one_asks_the_upstream`, `caching::a_burst_of_one_question_is_one_question` |
//! | 1.15 | a class other than IN is never treated as IN | `dns::decide` | `class_ch.rpl` |
//!
//! # Proxies and forwarders (RFC 5625)
//!
//! | | requirement | where | test |
//! |---|---|---|---|
//! | 2.1 | answers as a full resolver: EDNS ends on both sides, what is not known passes (s3, s4) | `dns::answer` | `sections_pass.rpl`, `rcodes_pass.rpl`, `upstream_opt.rpl` |
//! | 2.2 | UDP and TCP; EDNS; never cut at 512 without TC (s4.4) | `dns::listen` | `truncation.rpl`, `forwarding::a_large_answer_is_truncated_over_udp_and_whole_over_tcp` |
//! | 2.3 | a query with TSIG is not passed on: it is treated as unsigned, our documented choice (s4.5) | `dns::query`, decision 125 | `edns_options.rpl` |
//! | 2.4 | random ports and ids upstream; no listening to everybody by default (s6) | `dns::upstream::sockets`, `dns::upstream::socket`, `config` | `upstreams::every_try_has_a_fresh_port_and_id`, `clients.rpl` |
//!
//! # Failures to communicate (RFC 8906, 9619)
//!
//! | | requirement | where | test |
//! |---|---|---|---|
//! | 3.1 | no well-formed query meets silence (s3) | `dns::query` | `compliance::pagar_answers_every_probe_as_the_standards_say` |
//! | 3.2 | unknown types are answered as the data says (s8.1.2) | `dns::decide` | `compliance::pagar_answers_every_probe_as_the_standards_say` |
//! | 3.3 | unknown opcodes: NOTIMP, the opcode echoed, also for a bare header (s8.1.4) | `dns::query` | `opcodes.rpl`, `compliance::pagar_answers_every_probe_as_the_standards_say` |
//! | 3.4 | EDNS version above 0: BADVERS with an OPT of version 0, no data (s8.2.2) | `dns::query` | `edns_version.rpl`, `compliance::pagar_answers_every_probe_as_the_standards_say` |
//! | 3.5 | unknown EDNS options and flags are ignored, not echoed (s8.2.3, s8.2.4) | `dns::query` | `edns_options.rpl`, `dns::query::tests::options_are_noticed_and_small_sizes_raised`, `compliance::pagar_answers_every_probe_as_the_standards_say` |
//! | 3.6 | garbled, cut or over-long: FORMERR if there is a header, nothing if not | `dns::query` | `malformed.rpl`, `packets::a_broken_query_gets_its_error`, `packets::random_octets_are_survived` |
//! | 3.7 | TCP is answered (s8.1.5); DO comes back, on errors too (3225 s3, 6891 s6.1.3) | `dns::listen::stream`, `dns::query`, `dns::reply` | `dnssec_ok_is_blocked.rpl`, `dnssec_ok_on_errors.rpl`, `dns::query::tests::dnssec_ok_is_read_wherever_the_opt_record_can_be`, `compliance::pagar_answers_every_probe_as_the_standards_say` |
//!
//! # EDNS and sizes (RFC 6891, 9715)
//!
//! | | requirement | where | test |
//! |---|---|---|---|
//! | 4.1 | an OPT in the answer exactly if there was one in the query, on errors too (s6.1.1, s7) | `dns::reply` | `ede.rpl`, `dns::reply::tests::what_is_written_fits_and_says_what_was_asked`, `differential::pagar_and_unbound_answer_alike` |
//! | 4.2 | two OPTs, an owner that is not the root, an option past the end: FORMERR | `dns::query` | `malformed.rpl`, `dns::query::tests::garbled_messages_are_formerr` |
//! | 4.3 | a size below 512 is 512 (s6.2.3); at most 1,232 octets leave by UDP, in no fragments | `dns::query`, `dns::core`, `dns::listen::mmsg` | `truncation.rpl`, `edns_version.rpl` |
//! | 4.4 | the OPT is hop by hop: never cached, nothing copied between the sides (s6.2.6) | `dns::answer`, `dns::upstream::message` | `upstream_opt.rpl`, `upstreams::the_clients_options_never_reach_the_upstream` |
//! | 4.5 | TC from an upstream: asked again over TCP, the whole answer served | `dns::upstream` | `forwarding::what_the_upstream_truncates_is_fetched_over_tcp`, `upstream_truncated.rpl` |
//! | 4.6 | one retry without EDNS on FORMERR, remembered by nobody (s6.2.2, flag day 2019) | `dns::upstream` | `upstreams::formerr_to_edns_is_asked_again_without_it_each_time` |
//!
//! # TCP (RFC 7766, 7828, 9210)
//!
//! | | requirement | where | test |
//! |---|---|---|---|
//! | 5.1 | a full transport: any segmentation, length and message in one write (7766 s5, s8) | `dns::listen::stream` | `dns::listen::stream::tests::any_segmentation_is_read_the_same`, `dns::listen::stream::tests::answers_that_are_ready_leave_in_one_write_with_their_lengths`, `packets::a_query_may_come_octet_by_octet` |
//! | 5.2 | many queries a connection, answers as they become ready (s6.2.1.1, s7) | `dns::listen::stream` | `dns::listen::stream::tests::a_later_answer_overtakes_one_that_waits`, `tcp::a_listed_and_a_quick_name_overtake_a_slow_one_and_a_half_close_loses_nothing`, `packets::two_hundred_queries_in_one_write_are_all_answered` |
//! | 5.3 | idle connections stay some seconds, fewer under pressure; limits by client and in all (9210 s4) | `dns::listen::stream` | `tcp::one_client_cannot_take_the_places_of_others`, `tcp::a_frame_that_trickles_in_and_an_idle_connection_are_closed`, `tcp::thousands_of_idle_connections_do_not_hold_up_udp`, `dns::listen::stream::tests::when_all_places_are_taken_the_client_with_most_gives_way`, `dns::listen::stream::tests::a_client_replaces_its_own_oldest_idle_connection_and_nobody_elses`, `dns::listen::stream::tests::a_client_that_does_not_read_stops_itself_and_is_closed`, `dns::listen::stream::tests::answers_that_come_while_nobody_reads_are_bounded_and_each_question_hears_something` |
//! | 5.4 | after the client's half-close what was read is answered, then FIN | `dns::listen::stream` | `dns::listen::stream::tests::what_was_read_before_a_half_close_is_answered_then_the_connection_ends` |
//! | 5.5 | a query in error gets its error and the connection stays; a frame without room for a header ends it | `dns::listen::stream` | `dns::listen::stream::tests::an_erroneous_query_gets_its_error_and_the_connection_stays`, `packets::a_frame_without_room_for_a_header_ends_the_connection` |
//! | 5.6 | keepalive over TCP only, FORMERR if the query's is not empty (7828 s3.2.1) | `dns::core`, `dns::query` | `tcp_keepalive.rpl`, `edns_options.rpl`, `tcp::keepalive_is_offered_over_tcp_only_and_only_when_asked_for` |
//! | 5.7 | DSO is not offered: NOTIMP (8490) | `dns::query` | `opcodes.rpl` |
//! | 5.8 | towards upstreams: one connection, answers in any order, matched by id and question, closed when idle (7766 s6.2.1, s6.2.3, s7) | `dns::upstream::connection` | `dns::upstream::connection::tests::answers_come_in_any_order`, `dns::upstream::connection::tests::what_is_not_the_answer_is_ignored_and_counted`, `dns::upstream::connection::tests::an_idle_connection_is_closed_and_one_in_use_is_not`, `upstreams::by_tcp_too_other_answers_are_ignored_and_records_nobody_can_read_are_passed_on` |
//!
//! # Cookies (RFC 7873, 9018)
//!
//! | | requirement | where | test |
//! |---|---|---|---|
//! | 10.1 | a COOKIE is 8 or 16 to 40 octets long, else FORMERR (7873 s5.2.2) | `dns::access` | `cookies.rpl`, `dns::access::cookie::tests::lengths_are_those_of_rfc_7873` |
//! | 10.2 | a client cookie alone is answered with a full one; a bad one with a fresh one; TCP always (s5.2.3, s5.2.4) | `dns::access` | `cookies.rpl`, `access::dig_takes_our_cookie_and_finds_the_next_answer_good` |
//! | 10.3 | no question but a cookie: NOERROR, empty (s5.4), for clients and within their limits | `dns::access` | `cookies.rpl`, `rate_limit_errors.rpl`, `dns::query::tests::no_question_is_legal_for_a_cookie_alone` |
//! | 10.4 | version 1: SipHash-2-4, an hour old, five minutes ahead, renewed after half an hour; shared secret with roll-over (9018 s4, s5) | `dns::access::cookie` | `dns::access::cookie::tests::the_vectors_of_rfc_9018_a_1_and_a_2`, `dns::access::cookie::tests::the_vector_of_rfc_9018_a_4_rolls_a_secret_over`, `dns::access::cookie::tests::an_hour_old_is_good_and_five_minutes_ahead`, `access::a_fleet_accepts_each_others_cookies_and_rolls_its_secret_over` |
//! | 10.5 | cookies of our own towards upstreams, by address; never the client's | `dns::upstream::cookie` | `upstreams::cookies_are_learned_and_sent_back`, `upstreams::bind_that_requires_cookies_gets_them`, `dns::upstream::cookie::tests::our_half_is_stable_and_differs_by_address_and_jar`, `upstreams::the_clients_options_never_reach_the_upstream` |
//!
//! # ANY, question counts and other oddities (RFC 8482, 9619)
//!
//! | | requirement | where | test |
//! |---|---|---|---|
//! | 11.1 | ANY: one synthesised HINFO, never forwarded; listed names as listed (8482 s4.2) | `dns::reply` | `any.rpl` |
//! | 11.2 | more than one question: FORMERR; none: FORMERR, but for a cookie (9619 s4) | `dns::query` | `malformed.rpl`, `dns::query::tests::question_counts_other_than_one_are_formerr_without_a_question` |
//! | 11.3 | transfers and meta types are never forwarded | `dns::decide` | `meta_types.rpl` |
//! | 11.4 | RD=0 resolves nothing and shows nothing of the cache; policy applies | `dns::decide` | `recursion_not_desired.rpl` |
//! | 11.5 | version, host name and NSID are told as configured, to nobody by default (4892, 5001) | `dns::identity` | `identity.rpl`, `class_ch.rpl` |
//!
//! # Negative caching (RFC 2308, 8020)
//!
//! | | requirement | where | test |
//! |---|---|---|---|
//! | 12.1 | NXDOMAIN is kept for all types of the name, NODATA for its type (s5); a denied DS is about the zone above | `dns::cache` | `nxdomain_all_types.rpl`, `local_ds.rpl`, `dns::cache::tests::what_is_said_of_ds_counts_for_ds_alone` |
//! | 12.2 | for min(SOA TTL, MINIMUM), counting down, SOA included, at most three hours (s3, s5, s6) | `dns::answer`, `dns::cache` | `negative_cache.rpl`, `negative_cap.rpl` |
//! | 12.3 | nothing negative without an SOA (s5) | `dns::answer` | `negative_cache.rpl` |
//! | 12.4 | the code of a CNAME chain is about its last name (s2.1, 6604 s3) | `dns::cache` | `nxdomain_all_types.rpl`, `negative_cache.rpl` |
//! | 12.5 | what a policy answers denies nothing below it (8020 is about upstream data), and none orders NXDOMAIN for less than a subtree | `dns::cache`, `verify::check` | `cloaking_nxdomain.rpl`, `notice_refused.rpl` |
//! | 12.6 | NXDOMAIN denies all names below it (8020 s2: *should*) | not built: decision 56 | none |
//!
//! # Serve-stale (RFC 8767)
//!
//! | | requirement | where | test |
//! |---|---|---|---|
//! | 13.1 | only after a refresh failed or took 1.8 s; TTL 30; EDE 3 or 19; a recheck every 30 s; at most `max` (s4, s5) | `dns::miss` | `serve_stale.rpl`, `stale_off.rpl`, `caching::stale_answers_go_out_when_the_upstream_has_died_if_they_are_switched_on` |
//! | 13.2 | NXDOMAIN and NODATA replace stale data; SERVFAIL, REFUSED and silence do not | `dns::cache` | `serve_stale.rpl`, `dns::cache::tests::of_an_answer_and_a_denial_past_their_ttl_the_newer_counts` |
//! | 13.3 | a change of policy and a flush act on stale data too, also while a fresh answer is waited for | `dns::core`, `dns::miss` | `stale_policy.rpl`, `flush.rpl`, `dns::flight::tests::what_was_flushed_while_it_was_waited_for_does_not_go_out_stale` |
//! | 13.4 | the same where a CNAME of a local zone leads to the name | `dns::miss`, `dns::local` | `local_stale.rpl` |
//!
//! # Failures (RFC 9520)
//!
//! | | requirement | where | test |
//! |---|---|---|---|
//! | 14.1 | at most three tries a question and server (s3.1) | `dns::upstream` | `dns::upstream::race::tests::the_rounds_go_over_all_upstreams`, `dns::upstream::race::tests::after_a_no_the_others_are_tried_once` |
//! | 14.2 | failures are kept 1 s to 5 min with back-off, and nothing is asked meanwhile (s3.2) | `dns::cache` | `failures.rpl`, `failures_size.rpl`, `upstream_truncated.rpl`, `dns::cache::tests::failures_are_kept_twice_as_long_each_time_up_to_a_minute`, `caching::a_failure_is_not_asked_for_again_at_once_and_says_so` |
//! | 14.3 | none while no upstream is healthy, so that an outage of ours is not remembered as the name's | `dns::flight` | `upstream_down.rpl`, `dns::flight::tests::an_outage_of_one_zones_upstreams_forgets_no_failures_of_others`, `upstreams::when_all_are_silent_listed_names_are_answered_and_the_rest_fails_until_one_returns` |
//!
//! # Extended DNS Errors (RFC 8914)
//!
//! | | requirement | where | test |
//! |---|---|---|---|
//! | 15.1 | only to a query with an OPT; codes 3, 4, 13, 15, 16, 18 to 23 as the registry means them | `dns::reply` | `ede.rpl`, `clients.rpl`, `upstream_down.rpl`, `overload.rpl`, `failures.rpl`, `serve_stale.rpl` |
//! | 15.2 | never the cause of TC (s2) | `dns::answer`, `dns::reply` | `ede_and_size.rpl`, `failures_size.rpl`, `dns::reply::tests::nsid_gives_way_first_then_the_text_then_the_error` |
//! | 15.3 | an upstream's code passes with words of ours, its words never (s3, s6) | `dns::answer` | `upstream_ede.rpl` |
//! | 15.4 | EDE 14 (Not Ready) while lists load is never needed: nothing listens before a policy is in force; a local zone that cannot be read says it | `serve`, `dns::local` | `local_zones::a_broken_zone_is_told_by_check_and_does_not_stop_the_start` |
//!
//! # Special names (RFC 6761, 6303, 7686, 7793, 8375, 9462)
//!
//! | | requirement | where | test |
//! |---|---|---|---|
//! | 20.1 | localhost, test, invalid, onion, local, alt, home.arpa: answered here, never forwarded | `dns::local` | `local_special.rpl`, `local_zones::special_names_are_answered_here_unless_they_are_forwarded` |
//! | 20.2 | DS of home.arpa and of the reverse zones is forwarded (8375 s4) | `dns::local` | `local_special.rpl`, `local_reverse.rpl` |
//! | 20.3 | the reverse zones of private, link-local, test and shared addresses, each of them removable; their neighbours are public | `dns::local` | `local_reverse.rpl`, `local_forward.rpl`, `local_forward_below.rpl`, `local_off.rpl` |
//! | 20.4 | resolver.arpa: NODATA, never forwarded (9462 s6); a designation of ours comes with encrypted transports | `dns::local` | `local_resolver_arpa.rpl` |
//! | 20.5 | ipv4only.arpa passes unchanged (8880 s7.1) | `dns::local` | `nat64_discovery.rpl` |
//! | 20.6 | use-application-dns.net is not touched: switching it is a choice of policy | `dns::local` | `nat64_discovery.rpl` |
//! | 20.7 | zones of the operator's own, with any octet in a name (2181 §11), wildcards as 4592 has them | `dns::local` | `local_zone.rpl`, `dns::local::tests::no_name_below_a_local_zone_is_without_an_answer` |
//! | 20.8 | DS of a part of a local zone that is forwarded is asked of nobody; the part and what lies above it are not denied (4035 §3.1.4.1, 8020 §2) | `dns::local` | `local_forward_ds.rpl`, `dns::local::tests::no_zone_denies_what_is_answered_elsewhere` |
//! | 20.9 | behind a CNAME of a local zone an upstream's answer stands unchanged, unknown data and compression too; an error stays an error (3597 §3, §4; 6604 §3) | `dns::local::join` | `local_rest.rpl`, `dns::local::join::tests::what_is_joined_is_what_hickory_reads_in_both`, `dns::local::join::tests::data_nobody_here_can_read_pass_behind_a_cname_of_ours`, `dns::local::join::tests::a_name_that_moves_out_of_the_reach_of_pointers_is_written_out` |
//! | 20.10 | what becomes local on a reload is asked of nobody from then on | `dns::miss` | `dns::flight::tests::a_zone_that_becomes_local_while_a_miss_is_on_its_way_is_not_asked_upstream` |
//!
//! # DNSSEC passing through (RFC 4035, 6840, 3225)
//!
//! | | requirement | where | test |
//! |---|---|---|---|
//! | 21.1 | DO and CD reach the upstream and come back; DNSSEC records only with DO: the cache is keyed by both (4035 s3.2) | `dns::answer`, `dns::cache` | `dnssec_passes.rpl` |
//! | 21.2 | AD only from a trusted upstream, to a client that set AD or DO (6840 s5.7, s5.8); never on what we write | `dns::answer` | `ad_trusted.rpl`, `ad_untrusted.rpl` |
//! | 21.3 | bogus stays SERVFAIL: EDE 6 to 12 do not fail over | `dns::upstream` | `upstreams::the_verdict_of_validation_and_an_upstreams_own_block_are_not_asked_around` |
//! | 21.4 | DO=1 does not switch blocking off; DS and DNSKEY pass an exact target | `dns::decide` | `dnssec_ok_is_blocked.rpl`, `listed_types_exact.rpl`, `validating::an_unlisted_name_below_an_exact_listed_signed_apex_stays_secure` |
//!
//! # Abuse
//!
//! | | requirement | where | test |
//! |---|---|---|---|
//! | 24.1 | RRL by client network and kind of answer, slip, never for TCP or a valid cookie, log-only | `dns::access::rrl` | `dns::access::tests::a_valid_cookie_without_a_question_is_spared_by_response_rate_limiting`, `rrl.rpl`, `rrl_log_only.rpl`, `access::response_rate_limiting_is_turned_on_by_a_reload_and_spares_tcp` |
//! | 24.2 | only the clients of `allow` are served; the rest hears REFUSED, EDE 18 | `dns::access` | `clients.rpl`, `rate_limit_errors.rpl`, `dns::access::tests::strangers_hear_refused_and_no_more_whatever_they_send`, `addresses::a_stranger_is_refused_also_for_listed_names` |
//! | 24.3 | no amplification: ANY is not expanded, 1,232 octets by UDP | `dns::reply` | `any.rpl`, `truncation.rpl`, `dns::access::tests::what_a_limited_source_gets_is_hardly_larger_than_what_it_sent` |
//! | 24.4 | upstream data off the question's chain is dropped; chains and sizes are bounded | `dns::answer` | `hygiene.rpl`, `dns::answer::tests::an_answer_section_that_is_not_the_chain_is_refused`, `upstreams::records_that_were_not_asked_for_answer_no_other_question` |
//! | 24.5 | private addresses from public names are not filtered: whoever wants it does it upstream | none | none |
//! | 24.6 | a bound on what one domain and all together may have under way, and on how often a client asks; SERVFAIL and EDE 23 beyond | `dns::access`, `dns::flight` | `rate_limit.rpl`, `rate_limit_errors.rpl`, `overload.rpl`, `waiting_share.rpl`, `dns::access::domains::tests::a_flood_of_random_names_leaves_places_for_the_others`, `attacks::random_subdomains_of_a_silent_zone` |
//! | 24.7 | data about a listed name leaves in no additional section; the names looked at for that are bounded (2181 §9, 9460 s4.1) | `dns::answer`, `dns::decide` | `additional_listed.rpl`, `dns::answer::tests::no_more_additional_names_are_looked_at_than_the_bound_says`, `dns::answer::tests::additional_data_with_a_name_that_cannot_be_read_is_left_out`, `allocations::a_listed_a_cached_and_a_failed_query_allocate_nothing` |
//!
//! # Signed notices (RFC 7515, 7517, 7638, 7797, 8037, 9864)
//!
//! | | requirement | where | test |
//! |---|---|---|---|
//! | 25.1 | compact, flattened and general serialisations are read; unknown members and parameters are ignored (7515 §4, §7) | `verify::jose::jws` | `verify::jose::jws::tests::the_three_serialisations_carry_the_same`, `verify::jose::jws::tests::members_that_are_not_known_are_ignored`, `jose::what_jwcrypto_signs_is_good_for_us`, `jose::what_jose_signs_is_good_for_us` |
//! | 25.2 | what we sign is good for others | `verify::jose::jws` | `jose::what_we_sign_is_good_for_jwcrypto`, `jose::what_we_sign_is_good_for_jose` |
//! | 25.3 | repeated names, parameters both protected and not, and loose base64url are refused (7515 §4, §5.2, §7.2.1, App. C) | `verify::jose::json`, `verify::jose::jws` | `verify::jose::jws::tests::headers_are_strict_json_of_bounded_size`, `verify::jose::jws::tests::what_is_no_envelope_says_why`, `verify::jose::jws::tests::what_is_not_protected_is_not_believed` |
//! | 25.4 | `crit` that is not understood is refused, `b64: false` too (7515 §4.1.11, 7797 §6) | `verify::jose::jws` | `verify::jose::jws::tests::nothing_critical_is_understood` |
//! | 25.5 | Ed25519 alone, as `EdDSA` or `Ed25519`; `none` and the rest are refused (8037 §3.1, 9864 §2.2) | `verify::jose::jws` | `verify::jose::jws::tests::other_algorithms_are_refused_by_name`, `verify::jose::jws::tests::the_algorithm_is_what_the_key_says` |
//! | 25.6 | keys and sets; `use`, `key_ops`, `alg` are minded (7517 §4, §5; 8037 §2) | `verify::jose::jwk` | `verify::jose::jwk::tests::what_is_no_ed25519_key_is_refused_by_name`, `verify::jose::jwk::tests::what_a_key_is_for_is_minded`, `verify::jose::jwk::tests::the_signature_of_rfc_8037` |
//! | 25.7 | thumbprints (7638 §3, 8037 App. A.3) tell signers apart | `verify::jose::jwk`, `verify::keyring` | `verify::jose::jwk::tests::the_keys_and_the_thumbprint_of_rfc_8037`, `verify::keyring::tests::one_key_under_two_names_is_one_signer` |
//!
//! # Later
//!
//! Encrypted transports, padding and discovery (STANDARDS 6 to 9, 18), structured DNS errors (16) and error reporting (17), RPZ and zone transfers
//! (22, 23) come with the parts that need them. NSEC-based synthesis (8198) needs validation, which is the upstreams' work.
