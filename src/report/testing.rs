//! Receipts for the tests of this layer.

use jiff::{SignedDuration, Timestamp};

use crate::model::Receipt;
use crate::model::receipt::{ItemState, LedgerRef, NoticeState, PolicyRef};

/// So many seconds after an hour of November.
pub(super) fn at(second: i64) -> Timestamp {
    let start: Timestamp = "2026-11-01T01:00:00Z".parse().unwrap();
    start + SignedDuration::from_secs(second)
}

/// A notice of three items: one enforced, one held, one refused.
pub(super) fn enforced() -> Receipt {
    let item = |item: &str, state: &'static str, code: Option<&str>| ItemState {
        item: item.to_owned(),
        state: state.into(),
        code: code.map(str::to_owned),
        held: code.filter(|_| state == "quarantined").map(|_| 7),
        since: None,
    };
    let mut receipt = Receipt::new("node-thumb".into(), "enforced", at(0), at(120));
    receipt.authority = Some("mcmc".into());
    receipt.notice = Some("MCMC-1".into());
    receipt.kind = Some("restrict".into());
    receipt.sequence = Some(1);
    receipt.payload = Some("cd".repeat(32));
    receipt.validated_at = Some(at(0));
    receipt.effective_at = Some(at(0));
    receipt.enforced_at = Some(at(1));
    receipt.deadline_at = Some(at(6 * 3_600));
    receipt.in_time = Some(true);
    receipt.signers = vec!["signer-thumb".into()];
    receipt.items = vec![
        item("1", "enforced", None),
        item("2", "quarantined", Some("public-suffix")),
        item("3", "refused", Some("url")),
    ];
    receipt.policy = Some(PolicyRef { serial: 7, digest: "ab".repeat(32) });
    receipt.ledger = Some(LedgerRef { sequence: Some(12), head: 14, hash: "ab".repeat(32) });
    receipt
}

/// A notice that was refused as a whole.
pub(super) fn refused() -> Receipt {
    let mut receipt = Receipt::new("node-thumb".into(), "refused", at(0), at(0));
    receipt.authority = Some("mcmc".into());
    receipt.notice = Some("MCMC-2".into());
    receipt.sequence = Some(2);
    receipt.code = Some("sequence".into());
    receipt.reason = Some("number 2 is used, by \"another\" notice".into());
    receipt
}

/// A revocation of the first.
pub(super) fn revocation() -> Receipt {
    let mut receipt = Receipt::new("node-thumb".into(), "carried-out", at(3_600), at(3_602));
    receipt.authority = Some("mcmc".into());
    receipt.notice = Some("MCMC-3".into());
    receipt.kind = Some("revoke".into());
    receipt.sequence = Some(3);
    receipt.lifted_at = Some(at(3_601));
    receipt.notices = vec![NoticeState { notice: "MCMC-1".into(), state: "revoked".into() }];
    receipt
}
