//! IPv4, IPv6 and wildcard sockets: the reply comes from the address that was asked, from whichever worker and path.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr, UdpSocket};

use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::RecordType;

use crate::client::{BOTH, Over, addresses, ask, ede_codes, exchange_udp, is_block, query, rcode, udp};
use crate::harness::{Site, config, notice, skip};
use crate::upstream::Scripted;

const PAGE: &str = "192.0.2.80";
const TRUE: &str = "198.51.100.1";

fn site(listen: &str, upstream: &Scripted) -> Site {
    let site = Site::new(&config(&[upstream.address]).replace("\"127.0.0.1:0\"]", &format!("{listen}]")));
    site.put("1.json", &notice(1, "listed.example", "subtree"));
    site
}

fn has_ipv6() -> bool {
    let has = UdpSocket::bind("[::1]:0").is_ok();
    if !has {
        skip("needs IPv6");
    }
    has
}

/// Asks for a listed name, one to be forwarded and one that is kept, over UDP and TCP; `exchange_udp` checks the source.
fn asked_at(server: SocketAddr) {
    let fresh = format!("n{}.example.", server.ip().to_string().replace(['.', ':'], "-"));
    for over in BOTH {
        for (name, address) in [("www.listed.example.", PAGE), (&fresh, TRUE), (&fresh, TRUE)] {
            let answer = ask(server, over, name, RecordType::A);
            assert_eq!(addresses(&answer), [address.parse::<IpAddr>().unwrap()], "{server} {name}");
        }
    }
}

#[test]
fn a_wildcard_socket_answers_from_the_address_asked() {
    let upstream = Scripted::with_address(TRUE);
    let pagar = site("\"0.0.0.0:0\"", &upstream).start();
    for host in ["127.0.0.1", "127.0.0.2", "127.9.8.7"] {
        asked_at(SocketAddr::new(host.parse().unwrap(), pagar.address().port()));
    }
    assert_eq!(pagar.get("/readyz").0, 200);
}

#[test]
fn both_families_are_served_side_by_side() {
    if !has_ipv6() {
        return;
    }
    let upstream = Scripted::with_address(TRUE);
    let pagar = site("\"0.0.0.0:0\", \"[::]:0\", \"[::1]:0\"", &upstream).start();
    let [v4, v6, loopback] = pagar.dns()[..] else { panic!("{:?}", pagar.dns()) };
    asked_at(SocketAddr::new("127.0.0.3".parse().unwrap(), v4.port()));
    asked_at(SocketAddr::new("::1".parse().unwrap(), v6.port()));
    asked_at(loopback);
    let answer = ask(loopback, Over::Udp, "listed.example.", RecordType::AAAA);
    assert_eq!(addresses(&answer), ["2001:db8::80".parse::<IpAddr>().unwrap()]);
    assert_eq!(pagar.get("/readyz").0, 200);
}

#[test]
fn an_upstream_may_be_ipv6() {
    if !has_ipv6() {
        return;
    }
    let upstream = Scripted::start_at("[::1]:0".parse().unwrap(), |asked| vec![asked.address(TRUE)]);
    let pagar = site("\"127.0.0.1:0\"", &upstream).start();
    asked_at(pagar.address());
}

#[test]
fn all_workers_answer_all_clients() {
    let upstream = Scripted::with_address(TRUE);
    let pagar = site("\"127.0.0.1:0\"", &upstream).start();
    let mut clients = BTreeSet::new();
    for n in 0..100 {
        let socket = udp(pagar.address().ip());
        clients.insert(socket.local_addr().unwrap().port());
        let name = if n % 2 == 0 { "listed.example.".to_owned() } else { format!("n{n}.example.") };
        let octets = query(&name, RecordType::A).to_vec().unwrap();
        let answer = exchange_udp(&socket, pagar.address(), &octets).unwrap_or_else(|| panic!("{name}: no answer"));
        assert_eq!(is_block(&Message::from_vec(&answer).unwrap()), n % 2 == 0);
    }
    assert!(clients.len() > 10);
    assert_eq!(pagar.metric("pagar_dns_queries_total{transport=\"udp\"}"), 100.0);
}

#[test]
fn a_stranger_is_refused_also_for_listed_names() {
    let upstream = Scripted::with_address(TRUE);
    let text = config(&[upstream.address]).replace("workers = 2", "workers = 2\nallow = [\"127.0.0.2/32\"]");
    let site = Site::new(&text);
    site.put("1.json", &notice(1, "listed.example", "subtree"));
    let pagar = site.start();
    for over in BOTH {
        for name in ["free.example.", "listed.example."] {
            let answer = ask(pagar.address(), over, name, RecordType::A);
            assert_eq!((rcode(&answer), ede_codes(&answer)), (ResponseCode::Refused, vec![18]));
        }
    }
    let friend = UdpSocket::bind("127.0.0.2:0").unwrap();
    friend.set_read_timeout(Some(crate::client::PATIENCE)).unwrap();
    let answer = exchange_udp(&friend, pagar.address(), &query("listed.example.", RecordType::A).to_vec().unwrap());
    assert!(is_block(&Message::from_vec(&answer.unwrap()).unwrap()));
    assert!(upstream.asked().is_empty());
}

/// The cores each worker may run on, by its number.
fn cores_of_workers(pid: u32) -> Vec<String> {
    let threads = std::fs::read_dir(format!("/proc/{pid}/task")).unwrap().map(|thread| thread.unwrap().path());
    let of = |path: std::path::PathBuf| {
        let name = std::fs::read_to_string(path.join("comm")).unwrap();
        let status = std::fs::read_to_string(path.join("status")).unwrap();
        let cores = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:")).unwrap().trim().to_owned();
        name.trim().strip_prefix("pagar-udp-").map(|number| (number.parse::<u32>().unwrap(), cores))
    };
    let workers: std::collections::BTreeMap<_, _> = threads.filter_map(of).collect();
    workers.into_values().collect()
}

#[test]
fn pinned_workers_have_a_core_each_and_answer_as_the_others_do() {
    let upstream = Scripted::with_address(TRUE);
    let cores = std::thread::available_parallelism().unwrap().get();
    for pinned in [true, false] {
        let workers = format!("workers = {cores}\npin_workers = {pinned}\n");
        let text = config(&[upstream.address]).replacen("workers = 2\n", &workers, 1);
        let site = Site::new(&text);
        site.put("1.json", &notice(1, "listed.example", "subtree"));
        let pagar = site.start();
        (0..20).for_each(|_| asked_at(pagar.address()));
        let distinct: BTreeSet<_> = cores_of_workers(pagar.id()).into_iter().collect();
        assert_eq!(distinct.len(), if pinned { cores } else { 1 }, "{distinct:?}");
    }
}
