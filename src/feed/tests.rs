//! A feed as it is published: signed, kept, renewed; what is wrong with its files; what stays listed.

use std::fs;

use serde_json::json;

use super::*;
use crate::model::{Authority, AuthorityKind};
use crate::observe::metrics::Metrics;
use crate::verify::checkpoint::Checkpoint;
use crate::verify::jose::{Alg, jws};

struct Fixture {
    dir: tempfile::TempDir,
    config: Config,
    /// Signs notices.
    signer: PrivateKey,
    metrics: Metrics,
}

fn key(kid: &str) -> PrivateKey {
    PrivateKey::generate(Some(kid), Alg::EdDsa, Default::default()).unwrap()
}

fn ring(key: &PrivateKey) -> Arc<Keyring> {
    let id = AuthorityId::new("mcmc");
    let mut ring = Keyring::new(&[Authority {
        id: id.clone(),
        kind: AuthorityKind::Statutory,
        name: "mcmc".into(),
        keys: Vec::new(),
        required_signatures: 1,
        categories: None,
        test: false,
    }]);
    ring.add(&id, "x.jwk", &key.public().to_jwk().to_string()).unwrap();
    Arc::new(ring)
}

impl Fixture {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (signer, notices) = (key("mcmc"), dir.path().join("notices"));
        fs::create_dir(&notices).unwrap();
        let config = Config {
            authority: AuthorityId::new("mcmc"),
            key: Arc::new(key("feed")),
            keyring: ring(&signer),
            notices,
            validity: Duration::from_secs(3600),
            state: dir.path().join("state"),
        };
        Self { dir, config, signer, metrics: Metrics::new("0", "0").unwrap() }
    }

    fn publisher(&self) -> Publisher {
        let metrics = self.metrics.feeds.clone();
        Publisher::new(self.config.clone(), Arc::new(ArcSwapOption::empty()), metrics)
    }

    fn notice(&self, sequence: u64, name: &str) -> String {
        let notice = json!({
            "version": 1, "id": format!("N-{sequence}"), "sequence": sequence, "authority": "mcmc", "kind": "restrict",
            "legal_basis": { "power": "CMA 1998 s.263(2)" }, "category": "scam", "action": "nodata",
            "issued_at": "2026-11-01T09:00:00+08:00",
            "targets": [{ "item": "1", "name": name, "scope": "exact" }],
        });
        jws::compact(notice.to_string().as_bytes(), &self.signer)
    }

    /// As the directory would be read, with the file there.
    fn drop_in(&self, publisher: &mut Publisher, name: &str, octets: &str) {
        fs::write(self.dir.path().join("notices").join(name), octets).unwrap();
        let mut update = Update::empty("notices", Timestamp::now());
        update.signed.insert(name.to_owned(), octets.as_bytes().to_vec());
        publisher.take(update);
    }

    fn remove(&self, publisher: &mut Publisher, name: &str) {
        fs::remove_file(self.dir.path().join("notices").join(name)).unwrap();
        let mut update = Update::empty("notices", Timestamp::now());
        update.settled.push(name.to_owned());
        publisher.take(update);
    }

    fn read(&self, publisher: &Publisher) -> Checkpoint {
        let edition = publisher.edition.load_full().unwrap();
        let (ring, now) = (ring(&self.config.key), Timestamp::now());
        Checkpoint::read(&edition.checkpoint().octets, &ring, &self.config.authority, now).unwrap()
    }
}

#[test]
fn what_lies_there_is_listed_and_given() {
    let fixture = Fixture::new();
    let mut publisher = fixture.publisher();
    fixture.drop_in(&mut publisher, "1.jws", &fixture.notice(1, "bad.example"));
    fixture.drop_in(&mut publisher, "2.jws", &fixture.notice(2, "worse.example"));
    publisher.publish(Timestamp::now());
    let checkpoint = fixture.read(&publisher);
    assert_eq!((checkpoint.says.count, checkpoint.says.highest, checkpoint.says.previous), (2, 2, None));
    let edition = publisher.edition.load_full().unwrap();
    let page = &checkpoint.says.pages[0];
    let entries = page.read(&edition.page(&page.sha256.to_string()).unwrap().octets).unwrap();
    checkpoint.is_over(entries.iter()).unwrap();
    let given = edition.notice(2).unwrap().read().unwrap();
    assert_eq!((&*given.octets, given.hash), (fixture.notice(2, "worse.example").as_bytes(), entries[1].envelope));
    assert!(edition.notice(3).is_none() && edition.page("x").is_none());
}

#[test]
fn what_no_reader_would_take_is_not_listed() {
    let fixture = Fixture::new();
    let mut publisher = fixture.publisher();
    let good = fixture.notice(1, "bad.example");
    fixture.drop_in(&mut publisher, "1.jws", &good);
    fixture.drop_in(&mut publisher, "again.jws", &fixture.notice(1, "other.example"));
    fixture.drop_in(&mut publisher, "junk.jws", "junk");
    let forged = Fixture { signer: key("mcmc"), ..Fixture::new() }.notice(2, "bad.example");
    fixture.drop_in(&mut publisher, "forged.jws", &forged);
    let other = jws::compact(br#"{"version": 1, "authority": "court"}"#, &fixture.signer);
    fixture.drop_in(&mut publisher, "other.jws", &other);
    publisher.publish(Timestamp::now());
    assert_eq!(fixture.read(&publisher).says.count, 1);
    let shown = |metric: &str| {
        let text = fixture.metrics.text();
        text.lines().find_map(|line| line.strip_prefix(metric)?.trim().parse::<f64>().ok()).unwrap()
    };
    assert_eq!(shown("pagar_feed_problems{authority=\"mcmc\"}"), 4.0);
    assert_eq!(shown("pagar_feed_notices{authority=\"mcmc\"}"), 1.0);
    fixture.drop_in(&mut publisher, "forged.jws", &fixture.notice(2, "bad.example"));
    assert_eq!(shown("pagar_feed_problems{authority=\"mcmc\"}"), 3.0, "put right");
}

#[test]
fn what_was_listed_stays_listed_over_restarts_and_deletions() {
    let fixture = Fixture::new();
    let mut publisher = fixture.publisher();
    fixture.drop_in(&mut publisher, "1.jws", &fixture.notice(1, "bad.example"));
    fixture.drop_in(&mut publisher, "2.jws", &fixture.notice(2, "worse.example"));
    publisher.publish(Timestamp::now());
    let first = fixture.read(&publisher);
    fixture.remove(&mut publisher, "2.jws");
    assert_eq!(publisher.shelf.missing(), 1);
    drop(publisher);
    // the key of the first two has ended meanwhile: what is published stays so
    let fixture = Fixture { config: Config { keyring: ring(&key("other")), ..fixture.config.clone() }, ..fixture };
    let mut publisher = fixture.publisher();
    fixture.drop_in(&mut publisher, "1.jws", &fixture.notice(1, "bad.example"));
    publisher.publish(Timestamp::now());
    let second = fixture.read(&publisher);
    assert_eq!((second.says.count, second.says.previous), (2, Some(first.hash)));
    second.follows(&first).unwrap();
    let edition = publisher.edition.load_full().unwrap();
    assert!(edition.notice(1).unwrap().read().is_ok() && edition.notice(2).unwrap().read().is_err());
}

#[test]
fn a_clock_that_is_put_back_makes_no_older_checkpoint() {
    let fixture = Fixture::new();
    let mut publisher = fixture.publisher();
    publisher.publish(Timestamp::now());
    let first = fixture.read(&publisher);
    publisher.publish("2020-01-01T00:00:00Z".parse().unwrap());
    fixture.read(&publisher).follows(&first).unwrap();
}

#[test]
fn what_cannot_be_written_down_is_not_shown() {
    let fixture = Fixture::new();
    let mut publisher = fixture.publisher();
    publisher.publish(Timestamp::now());
    let first = fixture.read(&publisher);
    fs::remove_dir_all(&fixture.config.state).unwrap();
    fs::write(&fixture.config.state, "in the way").unwrap();
    fixture.drop_in(&mut publisher, "1.jws", &fixture.notice(1, "bad.example"));
    publisher.publish(Timestamp::now());
    assert_eq!(fixture.read(&publisher), first);
    assert!(fixture.metrics.text().contains("pagar_feed_failures_total{authority=\"mcmc\"} 1"));
    fs::remove_file(&fixture.config.state).unwrap();
    publisher.publish(Timestamp::now());
    assert_eq!(fixture.read(&publisher).says.count, 1);
}

#[test]
fn a_file_that_is_changed_is_not_given_as_what_is_listed() {
    let fixture = Fixture::new();
    let mut publisher = fixture.publisher();
    fixture.drop_in(&mut publisher, "1.jws", &fixture.notice(1, "bad.example"));
    publisher.publish(Timestamp::now());
    fs::write(fixture.config.notices.join("1.jws"), "something else").unwrap();
    assert!(publisher.edition.load_full().unwrap().notice(1).unwrap().read().is_err());
}
