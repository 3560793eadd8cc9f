//! The guides of `deploy/` as a reader follows them: every command that stands in a block `sh` is executed, in order, in
//! one shell each. Nothing in them is replaced; what the text names as variables (`$PAGAR_API`, `$DESK`) comes from the
//! environment.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::harness::{Ended, Pagar, Site, config, peer, run};
use crate::signed::is_blocked;
use crate::upstream::Scripted;

/// The blocks of a guide.
fn blocks(guide: &str) -> Vec<String> {
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy").join(guide)).unwrap();
    text.split("```sh\n").skip(1).map(|rest| rest.split("```").next().unwrap().to_owned()).collect()
}

/// A reader at a desk: a directory of their own, and what the provider told them.
struct Reader {
    desk: tempfile::TempDir,
    api: String,
}

impl Reader {
    /// Types a block, from the directory where the block before ended.
    #[track_caller]
    fn types(&self, block: &str) -> Ended {
        let program = Path::new(env!("CARGO_BIN_EXE_pagar")).parent().unwrap();
        let path = format!("{}:{}", program.display(), std::env::var("PATH").unwrap_or_default());
        let mut shell = Command::new("sh");
        shell.args(["-e", "-c", block]).current_dir(self.desk.path());
        shell.env("PATH", path).env("DESK", self.desk.path()).env("PAGAR_API", &self.api);
        let ended = run(&mut shell);
        assert_eq!(ended.code, Some(0), "{block}{}{}", ended.out, ended.err);
        ended
    }

    fn text(&self, file: &str) -> String {
        fs::read_to_string(self.desk.path().join(file)).unwrap()
    }

    fn has(&self, file: &str) -> bool {
        self.desk.path().join(file).exists()
    }
}

/// A node whose provider has been told this key, if there is one yet.
fn node(site: &Site, desk: &Path) -> Pagar {
    fs::create_dir_all(site.path("keys")).unwrap();
    fs::copy(desk.join("mcmc.pub.jwk"), site.path("keys/mcmc.jwk")).unwrap();
    let pagar = site.start();
    fs::copy(site.path("state/node.pub.jwk"), desk.join("node.pub.jwk")).unwrap();
    pagar
}

#[test]
fn a_regulator_gets_from_a_key_to_a_receipt_by_the_guide() {
    let upstream = Scripted::with_address(crate::signed::TRUE);
    let text = config(&[upstream.address])
        .replace("allow_unsigned = true\n", "")
        .replace("id = \"mcmc\"\n", "id = \"mcmc\"\nkeys = [\"keys/mcmc.jwk\"]\n")
        + "[[authority]]\nid = \"mcmc-test\"\nname = \"Rehearsals\"\nkeys = [\"keys/mcmc.jwk\"]\ntest = true\n";
    let site = Site::new(&text);
    let blocks = blocks("regulator.md");
    let [cd, key, drill, list, notice, sign, rehearse, push, verify, print, status, revoke] = &blocks[..] else {
        panic!("the guide has other blocks than this test knows: {blocks:#?}");
    };
    let mut reader = Reader { desk: tempfile::tempdir().unwrap(), api: String::new() };
    reader.types(cd);
    reader.types(key);
    assert_eq!(fs::metadata(reader.desk.path().join("mcmc.jwk")).unwrap().permissions().mode() & 0o777, 0o600);
    let pagar = node(&site, reader.desk.path()); // the provider has written the key into the configuration
    reader.api = pagar.url();

    let drilled = reader.types(drill);
    assert!(drilled.out.contains("steps as expected") && !drilled.out.contains("wrong"), "{drilled:?}");

    reader.types(list);
    let written = reader.types(notice);
    assert!(written.err.contains("names.csv:3: warning:") && written.err.contains("3 targets"), "{written:?}");
    assert!(reader.types(sign).err.contains("signed by mcmc-2026"));
    let rehearsed = reader.types(rehearse);
    assert!(rehearsed.out.starts_with("000001.jws: ") && rehearsed.out.contains('3'), "{rehearsed:?}");
    assert!(!is_blocked(&pagar, "casino-slot.example."), "a dry run does nothing");

    let pushed = reader.types(push);
    assert_eq!(pushed.out.matches("enforced").count(), 5, "the whole, its time, each item: {pushed:?}");
    assert!(is_blocked(&pagar, "a.casino-slot.example.") && is_blocked(&pagar, "www.loan-scam.example."));
    assert!(!is_blocked(&pagar, "loan-scam.example."), "exact is this name alone");
    let receipt: Value = serde_json::from_str(&reader.text("000001.receipt.json")).unwrap();
    assert_eq!((&receipt["receipt"]["state"], &receipt["receipt"]["in_time"]), (&"enforced".into(), &true.into()));
    assert!(reader.types(push).out.contains("it was known already"), "nothing happens twice");

    assert!(reader.types(verify).out.contains("good: signed by the node"));
    reader.types(print);
    assert!(reader.text("000001.html").contains("casino-slot.example"));
    assert_eq!(reader.text("000001.csv").lines().count(), 4);
    assert!(reader.types(status).out.contains("MCMC-2026-000001 of mcmc, number 1: enforced"));

    let revoked = reader.types(revoke);
    assert!(revoked.out.contains("MCMC-2026-000002 of mcmc, number 2: carried-out"), "{revoked:?}");
    assert!(
        revoked.out.lines().any(|line| line.split_whitespace().collect::<Vec<_>>()[..2] == ["2", "revoked"]),
        "{revoked:?}"
    );
    assert!(!is_blocked(&pagar, "www.loan-scam.example.") && is_blocked(&pagar, "casino-slot.example."));
    assert!(reader.has("000002.receipt.json"));
}

#[test]
fn an_operator_gets_from_the_package_to_an_enforced_notice_by_the_guide() {
    if peer("openssl").is_none() {
        return;
    }
    let upstream = Scripted::with_address(crate::signed::TRUE);
    let blocks = blocks("operator.md");
    let [keys, configure, clients, first, held, lift, letter] = &blocks[..] else {
        panic!("the guide has other blocks than this test knows: {blocks:#?}");
    };
    let mut reader = Reader { desk: tempfile::tempdir().unwrap(), api: String::new() };
    let etc = reader.desk.path().to_owned();
    let authority = etc.join("authority.jwk"); // theirs; the public half came by mail
    reader.types(&format!("pagar keys generate --out {} && mv authority.pub.jwk mcmc.pub.jwk", authority.display()));
    let with = |reader: &Reader, block: &str| {
        // as a shell that goes on: its directory, its mask, its variables
        let at = format!("umask 077\ncd {0} && export ETC={0} DNS=127.0.0.1:0 WEB=127.0.0.1:0", etc.display());
        reader.types(&format!("{at} UPSTREAM={}\n{block}", upstream.address))
    };
    assert!(with(&reader, keys).out.contains("thumbprint"));
    with(&reader, configure);
    let checked = with(&reader, clients);
    assert!(checked.out.contains("0 errors, 0 warnings"), "{checked:?}");
    let pagar = Pagar::start(&etc.join("pagar.toml"), &[]);
    reader.api = pagar.url();

    let enforced = with(&reader, first);
    for said in ["ISP-1 of isp, number 1: enforced", "first.pagar-exercise.example. is listed"] {
        assert!(enforced.out.contains(said), "{said}: {enforced:?}");
    }
    assert!(is_blocked(&pagar, "first.pagar-exercise.example."));
    assert_eq!(with(&reader, held).out, "nothing is held\n");
    let lifted = with(&reader, lift);
    assert!(lifted.out.contains("(ledger ") && lifted.out.contains("as they were written"), "{lifted:?}");
    assert!(!is_blocked(&pagar, "first.pagar-exercise.example."));
    with(&reader, letter);
    assert!(reader.text("isp-1.html").contains("Example ISP"));
}

#[test]
fn the_operators_guide_knows_what_to_do_at_every_alert() {
    let deploy = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy");
    let rules = fs::read_to_string(deploy.join("prometheus/pagar.rules.yml")).unwrap();
    let guide = fs::read_to_string(deploy.join("operator.md")).unwrap();
    let alerts = rules.lines().filter_map(|line| line.trim().strip_prefix("- alert: "));
    let missing: Vec<_> = alerts.filter(|alert| !guide.contains(&format!("`{alert}`"))).collect();
    assert!(missing.is_empty(), "{missing:?}");
}
