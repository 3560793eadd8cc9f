//! What keeps it from starting: a clear error and the exit code INTERFACES.md promises; and `pagar check` on bad data.

use std::fs;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::process::Command;

use crate::client::{ask_a, is_block};
use crate::harness::{Ended, Site, config, notice, peer, run, skip, wait_until};
use crate::upstream::Scripted;

fn nobody() -> SocketAddr {
    "127.0.0.1:9".parse().unwrap()
}

/// The configuration on this address.
fn on(address: SocketAddr) -> Site {
    Site::new(&config(&[nobody()]).replacen("127.0.0.1:0", &address.to_string(), 1))
}

fn refused(site: &Site, code: i32, words: &[&str]) -> Ended {
    let ended = site.run(&["serve"]);
    assert_eq!(ended.code, Some(code), "{ended:?}");
    assert!(!ended.out.contains("listening"), "{ended:?}");
    for word in words {
        assert!(ended.err.contains(word), "{word}: {ended:?}");
    }
    ended
}

#[test]
fn a_second_pagar_on_the_same_port_is_told_so_and_takes_no_query() {
    let upstream = Scripted::with_address("198.51.100.1");
    let site = Site::with(&[upstream.address]);
    site.put("1.json", &notice(1, "listed.example", "subtree"));
    let first = site.start();
    let second = on(first.address());
    refused(&second, 4, &["cannot listen on", &first.address().to_string(), "another pagar"]);
    assert!(!second.path("state").exists(), "it stopped before it touched anything");
    for _ in 0..20 {
        assert!(is_block(&ask_a(first.address(), "listed.example.")));
    }
}

#[test]
fn a_port_in_use_by_another_program_is_named_with_its_transport() {
    let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
    refused(&on(tcp.local_addr().unwrap()), 4, &["cannot listen on", "(tcp)", "in use"]);
    let udp = UdpSocket::bind("127.0.5.4:0").unwrap(); // where no client takes the TCP port meanwhile
    refused(&on(udp.local_addr().unwrap()), 4, &["cannot listen on", "(udp)", "in use"]);
    let text = config(&[nobody()])
        .replace("[web]\nlisten = \"127.0.0.1:0\"", &format!("[web]\nlisten = \"{}\"", tcp.local_addr().unwrap()));
    refused(&Site::new(&text), 4, &[&tcp.local_addr().unwrap().to_string()]);
    refused(&on("192.0.2.1:0".parse().unwrap()), 4, &["192.0.2.1", "not one of this machine's"]);
}

#[test]
fn a_configuration_that_cannot_be_used_is_a_configuration_error() {
    let good = config(&[nobody()]);
    let upstream = "[[upstream]]\naddress = \"127.0.0.1:9\"\n";
    let cases: [(&str, &str, &[&str]); 8] = [
        (upstream, "", &["no upstream", "[[upstream]]"]),
        ("workers", "wrokers", &["pagar.toml:4:1", "wrokers", "workers"]),
        ("version = 1", "version = 2", &["pagar.toml:1:11", "version 2"]),
        ("127.0.0.1:9", "tls://a@192.0.2.1:853", &["not built yet"]),
        ("127.0.0.1:9", "a.example", &["not an IP address"]),
        ("workers = 2", "workers = 2\n[rpz]", &["rpz", "not built yet"]),
        ("\"127.0.0.1:0\"]", "\"127.0.0.1\"]", &["write the port too"]),
        ("[dns]", "[dns", &["pagar.toml:2:"]),
    ];
    for (old, new, words) in cases {
        assert!(good.contains(old), "{old}");
        let site = Site::new(&good.replacen(old, new, 1));
        let served = refused(&site, 2, words);
        let checked = site.run(&["check"]);
        assert_eq!((checked.code, &checked.err), (Some(2), &served.err), "check says the same");
    }
}

#[test]
fn a_server_that_would_ask_itself_is_a_configuration_error() {
    for (listen, upstream) in [
        ("127.0.0.1:5399", "127.0.0.1:5399"),
        ("0.0.0.0:5399", "127.0.0.7:5399"),
        ("[::1]:5399", "[::1]:5399"),
        ("[::]:5399", "[::1]:5399"),
    ] {
        let text = config(&[upstream.parse().unwrap()]).replacen("127.0.0.1:0", listen, 1);
        refused(&Site::new(&text), 2, &["is this server itself", listen]); // nothing is bound: the port is any
    }
}

#[test]
fn a_configuration_that_cannot_be_read_is_a_configuration_error() {
    let site = Site::new(&config(&[nobody()]));
    fs::write(site.path("pagar.toml"), b"version = 1 # \xff").unwrap();
    refused(&site, 2, &["pagar.toml"]);
    fs::remove_file(site.path("pagar.toml")).unwrap();
    refused(&site, 2, &["pagar.toml", "No such file"]);
    fs::create_dir(site.path("pagar.toml")).unwrap();
    refused(&site, 2, &["pagar.toml", "directory"]);
}

#[test]
fn a_state_path_that_is_no_directory_is_named() {
    let site = Site::new(&config(&[nobody()]));
    fs::write(site.path("state"), "").unwrap();
    refused(&site, 4, &["state directory", "state"]);
    fs::remove_file(site.path("state")).unwrap();
    fs::create_dir(site.path("state")).unwrap();
    fs::write(site.path("state/serial"), "many\n").unwrap();
    refused(&site, 4, &["state directory", "serial", "not a policy serial"]);
}

#[test]
fn a_full_disk_is_named() {
    let Some(unshare) = peer("unshare") else { return };
    let site = Site::new(&config(&[nobody()]));
    fs::create_dir(site.path("state")).unwrap();
    // a file system of one page in a name space of its own, and something on it: gone with the process
    let script = "mount -t tmpfs -o size=4k none \"$1\" && head -c 4096 /dev/zero > \"$1/full\" || exit 77; \
                  exec \"$2\" serve --config \"$3\"";
    let mut command = Command::new(unshare);
    command.args(["--map-root-user", "--mount", "sh", "-c", script, "sh"]);
    command.arg(site.path("state")).arg(env!("CARGO_BIN_EXE_pagar")).arg(site.path("pagar.toml"));
    let ended = run(&mut command);
    if ended.code == Some(77) || ended.err.contains("unshare") {
        return skip("needs mount");
    }
    assert_eq!(ended.code, Some(4), "{ended:?}");
    assert!(ended.err.contains("state directory") && ended.err.contains("No space left"), "{ended:?}");
}

#[test]
fn bad_data_is_reported_with_its_place_and_the_rest_is_counted() {
    let site = Site::new(&config(&[nobody()]));
    site.put("1.json", &notice(1, "good.example", "subtree"));
    let target = |name: &str| notice(2, name, "subtree").to_string();
    let unknown_key = target("a.example").replace("\"category\":", "\n\n\"categry\":");
    let cases: [(&str, String, &[&str]); 9] = [
        ("an unknown key", unknown_key, &["2.json:3:", "categry", "category"]),
        ("no JSON", "{ \"version\": 1,\n".into(), &["2.json:2:"]),
        ("an empty name", target(""), &["2.json:1:", "empty"]),
        ("the root", target("."), &["2.json:1:"]),
        ("a top-level domain", target("com"), &["2.json:1:"]),
        ("a URL", target("https://a.example/x"), &["2.json:1:", "URL"]),
        ("an address", target("192.0.2.1"), &["2.json:1:", "address"]),
        ("a label of 64 octets", target(&format!("{}.example", "a".repeat(64))), &["2.json:1:", "63"]),
        ("an unknown authority", target("a.example").replace("mcmc", "mcnc"), &["2.json", "mcnc"]),
    ];
    for (what, text, words) in cases {
        site.write("notices/2.json", &text);
        let ended = site.run(&["check"]);
        assert_eq!(ended.code, Some(3), "{what}: {ended:?}");
        for word in words {
            assert!(ended.out.contains(word), "{what}: {word}: {ended:?}");
        }
        assert!(ended.out.contains("1 names in force"), "{what}: {ended:?}");
        let json = site.run(&["check", "--json"]);
        let json: serde_json::Value = serde_json::from_str(&json.out).unwrap();
        assert!(json["problems"][0]["line"].is_number() || what == "an unknown authority", "{what}: {json}");
    }
    site.put("2.json", &notice(1, "twice.example", "exact"));
    let twice = site.run(&["check"]);
    assert_eq!(twice.code, Some(3), "one id in two files: {twice:?}");
    assert!(twice.out.contains("is in 1.json and, with other content, in 2.json"), "{twice:?}");
    site.remove("notices/2.json");
    assert_eq!(site.run(&["check"]).code, Some(0));
    fs::rename(site.path("notices"), site.path("away")).unwrap();
    assert_eq!(site.run(&["check"]).code, Some(3), "a source that is not there");
}

#[test]
fn bad_data_does_not_keep_it_from_serving_the_rest() {
    let upstream = Scripted::with_address("198.51.100.1");
    let site = Site::with(&[upstream.address]);
    site.put("1.json", &notice(1, "good.example", "subtree"));
    site.write("notices/2.json", "{");
    site.write("notices/3.json", &format!("\u{feff}{}\r\n", notice(3, "crlf.example", "exact")));
    let pagar = site.start();
    assert!(is_block(&ask_a(pagar.address(), "www.good.example.")));
    wait_until("it is logged", || pagar.log().contains("2.json"));
    assert_eq!(pagar.get("/readyz").0, 200);
    // a byte order mark is either read over or refused aloud
    wait_until("it is listed or named", || {
        is_block(&ask_a(pagar.address(), "crlf.example.")) || pagar.log().contains("3.json")
    });
}
