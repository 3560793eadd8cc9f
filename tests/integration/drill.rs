//! `pagar notice drill`: an authority that rehearses sees a node take what is good and refuse the rest, and nobody else can.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use serde_json::Value;

use crate::harness::{Ended, pagar};
use crate::push::Caller;
use crate::signed::Signed;

/// A site whose authority `mcmc` only rehearses, and whose keys lie beside it.
fn site(signers: usize, rehearses: bool) -> Signed {
    let signed = Signed::new(signers);
    let text = fs::read_to_string(signed.site.path("pagar.toml")).unwrap();
    let test = format!("id = \"mcmc\"\ntest = {rehearses}\n");
    signed.site.write("pagar.toml", &text.replacen("id = \"mcmc\"\n", &test, 1));
    for (number, key) in signed.mcmc.keys.iter().enumerate() {
        let file = format!("{number}.jwk");
        signed.site.write(&file, &key.to_jwk().to_string());
        fs::set_permissions(signed.site.path(&file), fs::Permissions::from_mode(0o600)).unwrap();
    }
    signed
}

fn drill(signed: &Signed, url: &str, keys: usize, more: &[&str]) -> Ended {
    let path = |file: &str| signed.site.path(file).display().to_string();
    let keys: Vec<_> = (0..keys).map(|number| path(&format!("{number}.jwk"))).collect();
    let node = path("state/node.pub.jwk");
    let mut words = vec!["notice", "drill", "--api", url, "--authority", "mcmc", "--node-key", &node, "--sign-with"];
    words.extend(keys.iter().map(String::as_str));
    words.extend(more);
    pagar(&words)
}

#[test]
fn a_node_passes_every_step_and_blocks_nothing() {
    let signed = site(2, true);
    let node = signed.start();
    let ended = drill(&signed, &node.url(), 2, &[]);
    assert_eq!(ended.code, Some(0), "{}{}", ended.out, ended.err);
    assert!(ended.out.contains("20 of 20 steps as expected") && !ended.out.contains('\u{1b}'), "{}", ended.out);
    for said in
        ["one signature where more are needed", "409 sequence", "413 too-large", "2 quarantined (public-suffix)"]
    {
        assert!(ended.out.contains(said), "{said}: {}", ended.out);
    }
    // once more, behind the numbers that are used, and nothing is left that anybody would have to look at
    let again = drill(&signed, &node.url(), 2, &["--json"]);
    assert_eq!(again.code, Some(0), "{again:?}");
    let report: Value = serde_json::from_str(&again.out).unwrap();
    assert!(report["steps"].as_array().unwrap().iter().all(|step| step["ok"] == true), "{report:#}");
    let caller = Caller::new(&node, None);
    let all = caller.get("/v1/notices?authority=mcmc").body["notices"].clone();
    let all = all.as_array().unwrap();
    assert!(all.len() == 10 && all.iter().all(|notice| notice["state"] == "revoked"), "{all:#?}");
    assert_eq!(all.iter().map(|notice| notice["sequence"].as_u64().unwrap()).max(), Some(20));
    assert_eq!(node.metrics().get("pagar_notice_sequence_gaps{authority=\"mcmc\"}").copied().unwrap_or_default(), 0.0);
    assert_eq!(caller.get("/v1/overrides").body["held"].as_array().map(Vec::len), Some(0));
}

#[test]
fn what_is_not_as_expected_is_said_and_the_rest_goes_on() {
    let signed = site(2, true);
    let text = fs::read_to_string(signed.site.path("pagar.toml")).unwrap();
    signed.site.write("pagar.toml", &text.replace("required_signatures = 2", "required_signatures = 1"));
    let node = signed.start();
    let ended = drill(&signed, &node.url(), 2, &[]);
    assert_eq!(ended.code, Some(1), "{}{}", ended.out, ended.err);
    let wrong: Vec<_> = ended.out.lines().filter(|line| line.ends_with("wrong")).collect();
    assert!(matches!(wrong[..], [one] if one.contains("one signature where more are needed")), "{}", ended.out);
    // numbers that are used, and a key that is not known
    let used = drill(&signed, &node.url(), 2, &["--sequence-from", "1"]);
    assert_eq!(used.code, Some(2), "{used:?}");
    signed.site.write("0.jwk", &signed.isp.keys[0].to_jwk().to_string());
    let stranger = drill(&signed, &node.url(), 1, &[]);
    assert_eq!(stranger.code, Some(2), "{stranger:?}");
    assert!(stranger.err.contains("the drill is not begun"), "{stranger:?}");
}

#[test]
fn with_an_authority_that_orders_in_earnest_it_is_not_begun() {
    let signed = site(1, false);
    let node = signed.start();
    let refused = drill(&signed, &node.url(), 1, &[]);
    assert_eq!((refused.code, refused.out.as_str()), (Some(2), ""), "{refused:?}");
    assert!(refused.err.contains("mcmc is no authority that only rehearses") && refused.err.contains("test = true"));
    let all = Caller::new(&node, None).get("/v1/notices").body;
    assert_eq!(all["notices"].as_array().map(Vec::len), Some(0), "{all}");
    let nobody = drill(&signed, "http://127.0.0.1:1", 1, &[]);
    assert_eq!(nobody.code, Some(4), "{nobody:?}");
}
