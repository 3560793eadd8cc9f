//! What a notice would block, before it is in force: figures that are exact, answers that are the same.

use std::net::SocketAddr;
use std::thread;

use hickory_proto::op::ResponseCode;
use hickory_proto::rr::RecordType;
use serde_json::{Value, json};

use crate::client::{Over, addresses, ask, ask_a, is_block, rcode};
use crate::harness::{LIMIT, Pagar, Site, config, notice, pagar, wait_until};
use crate::upstream::Scripted;

fn post(pagar: &Pagar, query: &str, body: &str) -> (u16, Value) {
    let config = ureq::Agent::config_builder().timeout_global(Some(LIMIT)).http_status_as_error(false).build();
    let url = format!("{}/v1/preview{query}", pagar.url());
    let mut answer = ureq::Agent::new_with_config(config).post(url).send(body).unwrap();
    let body = answer.body_mut().read_to_string().unwrap();
    (answer.status().as_u16(), serde_json::from_str(&body).unwrap())
}

/// Asks and sees that the answer is the upstream's.
fn asked(server: SocketAddr, over: Over, name: &str) {
    let answer = ask(server, over, name, RecordType::A);
    assert_eq!((rcode(&answer), is_block(&answer)), (ResponseCode::NoError, false), "{name}");
    assert_eq!(addresses(&answer)[0].to_string(), "198.51.100.1", "{name}");
}

#[test]
fn queries_and_names_are_counted_exactly_and_answered_as_ever() {
    let upstream = Scripted::with_address("198.51.100.1");
    let site = Site::with(&[upstream.address]);
    site.put("1.json", &notice(1, "listed.example", "subtree"));
    let pagar = site.start();
    let server = pagar.address();
    asked(server, Over::Udp, "a.candidate.example."); // before it counts
    let candidate = "candidate.example\nlisted.example\nunasked.example\n";
    let (status, started) = post(&pagar, "?seconds=60", candidate);
    assert_eq!((status, &started["candidate"]), (200, &json!(3)), "{started}");

    for name in ["a.candidate.example.", "A.Candidate.Example.", "b.candidate.example.", "candidate.example."] {
        asked(server, Over::Udp, name); // from the cache and from the upstream
    }
    asked(server, Over::Tcp, "a.candidate.example.");
    for _ in 0..3 {
        asked(server, Over::Udp, "other.example.");
        asked(server, Over::Udp, "dcandidate.example.");
        assert!(is_block(&ask_a(server, "www.listed.example.")), "blocked already: not for this count");
    }
    let figures = pagar.json("/v1/preview");
    assert_eq!((&figures["queries"], &figures["names"]), (&json!(5), &json!(1)), "{figures}");
    assert_eq!(figures["running"], true);

    // another while it runs is refused, and the first goes on
    assert_eq!(post(&pagar, "", "x.example").0, 409);
    assert!(!pagar.log().contains("candidate.example"), "{}", pagar.log());
}

#[test]
fn a_notice_counts_as_it_would_block() {
    let upstream = Scripted::with_address("198.51.100.1");
    let site = Site::new(
        &(config(&[upstream.address])
            + "[[exempt]]\nnetworks = [\"127.0.0.9/32\"]\nreason = \"test\"\nuntil = \"2099-01-01T00:00:00+08:00\"\n"),
    );
    let pagar = site.start();
    let server = pagar.address();
    let mut order = notice(7, "exact.example", "exact");
    order["sensitivity"] = json!("secret");
    let targets = order["targets"].as_array_mut().unwrap();
    targets.push(json!({ "item": "2", "name": "tree.example", "scope": "subtree" }));
    let (status, started) = post(&pagar, "?seconds=60", &order.to_string());
    assert_eq!((status, &started["candidate"]), (200, &json!(2)), "{started}");
    for name in ["exact.example.", "tree.example.", "www.tree.example.", "www.exact.example."] {
        asked(server, Over::Udp, name);
    }
    let _ = ask(server, Over::Udp, "exact.example.", RecordType::DS); // which an exact target lets through
    let _ = ask(server, Over::Udp, "tree.example.", RecordType::DS);
    // an exempt client would not be restricted
    let exempt = std::net::UdpSocket::bind("127.0.0.9:0").unwrap();
    exempt.set_read_timeout(Some(LIMIT)).unwrap();
    let question = crate::client::query("tree.example.", RecordType::A).to_vec().unwrap();
    assert!(crate::client::exchange_udp(&exempt, server, &question).is_some());
    let figures = pagar.json("/v1/preview");
    assert_eq!((&figures["queries"], &figures["names"]), (&json!(4), &json!(2)), "{figures}");
    assert!(!pagar.log().contains("tree.example"));
}

#[test]
fn the_command_waits_and_says_how_much_it_would_have_been() {
    let upstream = Scripted::with_address("198.51.100.1");
    let site = Site::with(&[upstream.address]);
    site.write("candidate.txt", "a.example\nb.example\nno name here\n");
    let server = site.start();
    let (file, url) = (site.path("candidate.txt").to_str().unwrap().to_owned(), server.url());
    let command = thread::spawn(move || pagar(&["preview", &file, "--api", &url, "--for", "2s"]));
    wait_until("it counts", || {
        let (status, body) = server.get("/v1/preview");
        status == 200 && serde_json::from_str::<Value>(&body).unwrap()["running"] == true
    });
    for name in ["a.example.", "www.a.example.", "b.example.", "c.example."] {
        asked(server.address(), Over::Udp, name);
    }
    let ended = command.join().unwrap();
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(ended.err.contains("1 items or lines would be refused"), "{ended:?}");
    assert_eq!(ended.out, "would have blocked 3 queries under 2 names in the last 2 s\n");
    assert_eq!(server.json("/v1/preview")["running"], false, "it has ended by itself");
    asked(server.address(), Over::Udp, "a.example.");
    assert_eq!(server.json("/v1/preview")["queries"], 3);
}

#[test]
fn what_is_no_candidate_is_refused_by_the_command() {
    let upstream = Scripted::with_address("198.51.100.1");
    let site = Site::with(&[upstream.address]);
    let server = site.start();
    site.write("wrong.txt", "http://www.hidden.example/path\n");
    let file = site.path("wrong.txt");
    let ended = pagar(&["preview", file.to_str().unwrap(), "--api", &server.url()]);
    assert_eq!(ended.code, Some(3), "{ended:?}");
    assert!(ended.err.contains("no list of names") && !ended.err.contains("hidden"), "{ended:?}");
    let ended = pagar(&["preview", site.path("nothing").to_str().unwrap(), "--api", &server.url()]);
    assert_eq!(ended.code, Some(3), "{ended:?}");
    assert_eq!(server.get("/v1/preview").0, 404, "nothing has been started");
}
