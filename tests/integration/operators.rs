//! The operators' socket, and `pagar lift` and `pagar approve` over it.

use std::fs;
use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::harness::{Ended, Heir, LIMIT, Pagar, Site, config, pagar, wait_until};

/// A site whose upstream nobody asks.
fn site() -> Site {
    Site::new(&config(&["127.0.0.1:9".parse().unwrap()]))
}

fn socket(site: &Site) -> PathBuf {
    site.path("state/control.sock")
}

/// What the server replies to these octets.
fn says(socket: &Path, octets: &[u8]) -> Value {
    let mut stream = UnixStream::connect(socket).unwrap();
    stream.set_read_timeout(Some(LIMIT)).unwrap();
    let _ = stream.write_all(octets); // it may have been cut off
    let mut reply = String::new();
    stream.read_to_string(&mut reply).unwrap();
    serde_json::from_str(&reply).unwrap_or_else(|error| panic!("{error}: {reply:?}"))
}

fn code(reply: &Value) -> &str {
    reply["refused"]["code"].as_str().unwrap_or_else(|| panic!("{reply}"))
}

#[test]
fn persons_are_heard_and_told_why_nothing_is_done() {
    let site = site();
    let pagar = site.start();
    let lifted = site.run(&["lift", "bad.example", "--reason", "wrong name in the order"]);
    assert_eq!(lifted.code, Some(1), "{lifted:?}");
    assert!(lifted.err.starts_with("refused (not-listed): ") && lifted.out.is_empty(), "{lifted:?}");
    let approved = site.run(&["approve", "7", "--reason", "seen", "--json"]);
    assert_eq!(approved.code, Some(1), "{approved:?}");
    assert_eq!(code(&serde_json::from_str(&approved.out).unwrap()), "unknown");
    let held = site.run(&["approve", "--list"]);
    assert!(held.code == Some(0) && held.out.contains("nothing is held"), "{held:?}");
    // what is no name and no reason is refused before anything is done
    let url = site.run(&["lift", "https://bad.example/", "--reason", "r"]);
    assert!(url.code == Some(1) && url.err.contains("did you mean \"bad.example\""), "{url:?}");
    let silent = site.run(&["lift", "bad.example", "--reason", " "]);
    assert!(silent.code == Some(1) && silent.err.starts_with("refused (reason): "), "{silent:?}");
    // the log says who asked for what, and no name
    wait_until("it is logged", || pagar.log().matches("an operator asked").count() == 5);
    let log = pagar.log();
    assert!(log.contains("asked=\"lift\"") && log.contains("outcome=\"not-listed\""), "{log}");
    assert!(log.contains("person=") && !log.contains("bad.example"), "{log}");
}

#[test]
fn commands_need_a_server_a_reason_and_one_way_to_it() {
    let site = site();
    let absent = site.run(&["lift", "bad.example", "--reason", "r"]);
    assert!(absent.code == Some(4) && absent.err.contains("is pagar serve running"), "{absent:?}");
    let path = socket(&site);
    let path = path.to_str().unwrap();
    assert_eq!(pagar(&["approve", "--list", "--socket", path]).code, Some(4));
    for words in [
        &["lift", "bad.example", "--socket", path][..],
        &["lift", "--reason", "r", "--socket", path],
        &["lift", "bad.example", "--reason", "r"],
        &["lift", "bad.example", "--reason", "r", "--socket", path, "--config", "x"],
        &["approve", "--socket", path],
        &["approve", "7", "--socket", path],
        &["approve", "seven", "--reason", "r", "--socket", path],
        &["approve", "7", "--reason", "r", "--list", "--socket", path],
        &["approve", "--reason", "r", "--list", "--socket", path],
    ] {
        let Ended { code, err, .. } = pagar(words);
        assert_eq!(code, Some(2), "{words:?}: {err}");
    }
    // somebody else listens there
    fs::create_dir(site.path("state")).unwrap();
    let listener = UnixListener::bind(path).unwrap();
    let stranger = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.read_to_string(&mut String::new()).unwrap();
        stream.write_all(b"hello\n").unwrap();
    });
    let odd = pagar(&["approve", "--list", "--socket", path]);
    assert!(odd.code == Some(4) && odd.err.contains("not the reply of a pagar"), "{odd:?}");
    stranger.join().unwrap();
}

#[test]
fn the_socket_is_its_owners_replaces_a_stale_one_and_goes_with_the_process() {
    let site = site();
    let path = socket(&site);
    let mut pagar = site.start();
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    pagar.signal(Signal::KILL);
    pagar.wait();
    assert!(path.exists() && UnixStream::connect(&path).is_err(), "stale");
    let mut pagar = site.start();
    assert_eq!(says(&path, b"{\"held\":{}}\n"), json!({ "list": [] }));
    pagar.signal(Signal::TERM);
    assert_eq!(pagar.wait().code(), Some(0), "{}", pagar.log());
    assert!(!path.exists());
    let left: Vec<_> = fs::read_dir(site.path("state")).unwrap().map(|file| file.unwrap().file_name()).collect();
    assert!(left.iter().all(|file| !file.to_string_lossy().contains(".new")), "{left:?}");
}

#[test]
fn no_client_can_hold_it_up() {
    let site = site();
    let pagar = site.start();
    let path = socket(&site);
    // more silent clients than there are places, and one that sends half a line
    let silent: Vec<_> = (0..20).map(|_| UnixStream::connect(&path).unwrap()).collect();
    let mut slow = UnixStream::connect(&path).unwrap();
    slow.write_all(b"{\"held\":").unwrap();
    for (octets, expected) in [
        (b"what is held?\n".to_vec(), "request"),
        (
            json!({ "lift": { "name": "a.example", "reason": "r", "person": "root" } }).to_string().into_bytes(),
            "request",
        ),
        (vec![b'x'; 70_000], "too-long"),
        (b"{\"approve\":{\"id\":7,\"reason\":\"r\"}}\n".to_vec(), "unknown"),
    ] {
        let mut stream = UnixStream::connect(&path).unwrap();
        stream.set_read_timeout(Some(LIMIT)).unwrap();
        let _ = stream.write_all(&octets).and_then(|()| stream.shutdown(Shutdown::Write)); // it may have been cut off
        let mut reply = String::new();
        stream.read_to_string(&mut reply).unwrap();
        assert_eq!(code(&serde_json::from_str(&reply).unwrap()), expected);
    }
    drop(silent);
    let mut cut_off = String::new();
    slow.set_read_timeout(Some(LIMIT)).unwrap();
    slow.read_to_string(&mut cut_off).unwrap();
    assert_eq!(code(&serde_json::from_str(&cut_off).unwrap()), "slow");
    assert_eq!(pagar.get("/healthz").0, 200, "HTTP shares the runtime");
}

#[test]
fn after_an_upgrade_the_new_process_is_asked() {
    let site = site();
    let path = socket(&site);
    let mut old: Pagar = site.start();
    assert_eq!(says(&path, b"{\"held\":{}}\n"), json!({ "list": [] }));
    old.signal(Signal::USR2);
    assert_eq!(old.wait().code(), Some(0), "{}", old.log());
    let log = old.log();
    let (_, rest) = log.rsplit_once("the new process answers").unwrap();
    let (_, pid) = rest.split_once("process=").unwrap();
    let heir = Heir(pid.split(|c: char| !c.is_ascii_digit()).next().unwrap().parse().unwrap());
    wait_until("the new one listens", || UnixStream::connect(&path).is_ok());
    assert_eq!(says(&path, b"{\"held\":{}}\n"), json!({ "list": [] }));
    heir.signal(Signal::TERM);
    wait_until("it has ended", || heir.has_ended());
    assert!(!path.exists());
}

#[test]
fn without_its_socket_the_server_answers_and_says_so() {
    let text = config(&["127.0.0.1:9".parse().unwrap()]);
    let deep = "d".repeat(120);
    let site = Site::new(&text.replace("path = \"state\"", &format!("path = \"{deep}\"")));
    let pagar = site.start();
    assert_eq!(pagar.get("/readyz").0, 200, "{}", pagar.get("/readyz").1);
    assert!(pagar.log().contains("no operators' socket"), "{}", pagar.log());
    assert!(!site.path(&deep).join("control.sock").exists());
}
