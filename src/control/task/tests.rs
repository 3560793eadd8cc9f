//! A start from what is stored, where no source says anything.

use super::*;
use crate::control::recent::RecentDocument;
use crate::control::stored::StoredDocument;
use crate::control::{SIGNED, recent};
use crate::model::{AuthorityId, AuthorityKind, DnsName, Scope, Targets};
use crate::policy::Page;
use crate::policy::compile::tests::notice;
use crate::policy::verdict::Consider;

fn config(state: PathBuf) -> Config {
    let authority = Authority {
        id: AuthorityId::new("a"),
        kind: AuthorityKind::Statutory,
        name: "a".into(),
        keys: Vec::new(),
        required_signatures: 1,
        categories: None,
        test: false,
    };
    Config {
        strict: false,
        asking: None,
        authorities: vec![authority],
        keyring: Arc::default(),
        pages: Pages { default: Page::default(), rules: Vec::new(), ttl: 30 },
        sources: Vec::new(),
        state,
        key: None,
        exempt: Exemptions::default(),
        guard: Arc::default(),
        sizes: SizeRules::default(),
    }
}

/// A notice that lists this name, as it is stored.
fn stored(source: &str, reading: &str, id: &str, name: &str) -> RecentDocument {
    let name = DnsName::from_text(name).unwrap();
    let targets = Arc::new(Targets::from_iter([(&name, Scope::Exact)]));
    let (source, key, reading) = (source.into(), id.into(), reading.into());
    let notice = Notice { sequence: id.len() as u64, ..notice("a", id, 1, None) };
    let document = StoredDocument { source, key, reading, slot: 0, names: 1, notice, problems: Vec::new() };
    RecentDocument { document, targets }
}

#[test]
fn without_a_ledger_stored_signed_notices_stay_and_those_of_no_source_do_not() {
    let state = tempfile::tempdir().unwrap();
    let documents = [stored(SIGNED, "", "1", "signed.example"), stored("gone", "notices", "22", "gone.example")];
    recent::write(state.path(), documents.iter(), None).unwrap();
    std::fs::write(state.path().join("ledger.redb"), "no ledger").unwrap();
    let metrics = Arc::new(Metrics::new("0", "0").unwrap());
    for _ in 0..2 {
        let (mut control, reader, _) = start(config(state.path().into()), None, metrics.clone()).unwrap();
        for _ in 0..2 {
            let listed =
                |name: &str| reader.load().decide(DnsName::from_text(name).unwrap().as_wire(), Consider::All).is_some();
            assert!(listed("signed.example") && !listed("gone.example"));
            control.reload(config(state.path().into())).unwrap();
        }
        drop(control); // it stores at its end
        let again = recent::read(state.path(), None).unwrap().unwrap().documents;
        let sources: Vec<_> = again.iter().map(|recent| recent.document.source.as_str()).collect();
        assert_eq!(sources, [SIGNED]);
    }
}

#[test]
fn what_is_stored_of_signed_notices_gives_way_to_what_the_ledger_says() {
    let state = tempfile::tempdir().unwrap();
    recent::write(state.path(), [stored(SIGNED, "", "1", "signed.example")].iter(), None).unwrap();
    let metrics = Arc::new(Metrics::new("0", "0").unwrap());
    let (_control, reader, _) = start(config(state.path().into()), None, metrics).unwrap();
    assert_eq!(reader.load().names(), 0, "the ledger knows of no such notice");
}

#[test]
fn a_damaged_ledger_without_a_stored_policy_and_strictness_are_reasons_not_to_start() {
    let state = tempfile::tempdir().unwrap();
    std::fs::write(state.path().join("ledger.redb"), "no ledger").unwrap();
    let metrics = Arc::new(Metrics::new("0", "0").unwrap());
    let refused = start(config(state.path().into()), None, metrics.clone()).map(|_| ());
    assert!(matches!(refused, Err(StartError::NoLedger(_))), "{refused:?}");
    recent::write(state.path(), [stored(SIGNED, "", "1", "signed.example")].iter(), None).unwrap();
    let strict = Config { strict: true, ..config(state.path().into()) };
    assert!(matches!(start(strict, None, metrics.clone()).map(|_| ()), Err(StartError::Ledger(_))));
    assert!(start(config(state.path().into()), None, metrics).is_ok());
}
