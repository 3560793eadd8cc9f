//! `/readyz` under attack: forged queries to the service address must not take the node out of service.
//!
//! It needs an address that is not loopback, so it has a network namespace of its own.

use std::fs;
use std::process::Command;

use crate::harness::{Site, peer, run, skip};

/// A service that response rate limiting makes silent towards its own network. Loopback is a stranger to it.
const CONFIG: &str = r#"version = 1
[dns]
listen = ["192.0.2.53:5353", "[2001:db8::53]:5353"]
workers = 2
allow = ["192.0.2.0/24", "2001:db8::/32"]
[dns.rrl]
responses_per_second = 1
slip = 0
[[upstream]]
address = "127.0.0.1:9"
[block]
page_v4 = "192.0.2.80"
[ledger]
path = "state"
[web]
listen = "127.0.0.1:8053"
"#;

/// Asks for what is not implemented as if from the service's network, and then, while that goes on, for `/readyz`.
/// Prints whether the last answers were held back, and the codes of `/readyz`.
const ATTACK: &str = r#"
import socket, sys, threading, time, urllib.error, urllib.request
stop, late = threading.Event(), threading.Event()
held = []
def flood(family, source, server):
    s = socket.socket(family, socket.SOCK_DGRAM)
    s.bind((source, 0)); s.settimeout(0.001)
    answered = 0
    while not stop.is_set():
        s.sendto(b"\0\1\x10\0" + bytes(8), (server, 5353))
        try: s.recv(512); answered += late.is_set()
        except TimeoutError: pass
    held.append(answered == 0)
def ready():
    try: return urllib.request.urlopen("http://127.0.0.1:8053/readyz", timeout=10).status
    except urllib.error.HTTPError as error: print(error.read(), file=sys.stderr); return error.code
floods = [(socket.AF_INET, "192.0.2.7", "192.0.2.53"), (socket.AF_INET6, "2001:db8::7", "2001:db8::53")]
jobs = [threading.Thread(target=flood, args=one) for one in floods]
for job in jobs: job.start()
time.sleep(2)
late.set()
codes = set()
for _ in range(4):
    codes.add(ready()); time.sleep(1.1)
stop.set()
for job in jobs: job.join()
print(held, sorted(codes))
"#;

const SCRIPT: &str = r#"
ip link set lo up || exit 77
for n in 53 7; do
    ip address add 192.0.2.$n/24 dev lo && ip address add 2001:db8::$n/64 dev lo nodad || exit 77
done
"$1" serve --config pagar.toml >out 2>log & server=$!
for _ in $(seq 300); do grep -q 'try an unlisted' out && break; sleep 0.1; done
python3 attack.py; code=$?
kill $server; wait $server; cat log >&2; exit $code
"#;

#[test]
fn a_flood_of_forged_queries_does_not_make_it_unready() {
    let (Some(unshare), Some(_), Some(_)) = (peer("unshare"), peer("python3"), peer("ip")) else { return };
    let site = Site::new(CONFIG);
    fs::write(site.path("attack.py"), ATTACK).unwrap();
    let mut command = Command::new(unshare);
    command.args(["--map-root-user", "--net", "sh", "-c", SCRIPT, "sh", env!("CARGO_BIN_EXE_pagar")]);
    let ended = run(command.current_dir(site.path("")));
    if ended.code == Some(77) || ended.err.contains("unshare") {
        return skip("needs a network namespace");
    }
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert_eq!(ended.out, "[True, True] [200]\n", "{}", ended.err);
}
