//! Receipts for spreadsheets: RFC 4180, a line an item, in UTF-8 with a heading.
//!
//! A receipt without items has one line; one about earlier notices has a line for each of them, with its id under `about`
//! and what has become of it under `state`. A cell that a spreadsheet would take for a formula begins with an apostrophe,
//! since ids and reasons are what others wrote.

use csv::{Terminator, WriterBuilder};
use jiff::Timestamp;

use super::words;
use crate::model::Receipt;
use crate::model::receipt::ItemState;

/// What the columns are called. Columns are added at the end.
pub const COLUMNS: [&str; 22] = [
    "notice",
    "authority",
    "kind",
    "sequence",
    "item",
    "state",
    "code",
    "received",
    "validated",
    "effective",
    "enforced",
    "lifted",
    "deadline",
    "in_time",
    "policy_serial",
    "policy_digest",
    "ledger_sequence",
    "ledger_head",
    "ledger_hash",
    "node",
    "about",
    "reason",
];

/// The table.
pub fn receipts<'a>(receipts: impl IntoIterator<Item = &'a Receipt>) -> String {
    let mut writer = WriterBuilder::new().terminator(Terminator::CRLF).from_writer(Vec::new());
    let _ = writer.write_record(COLUMNS); // into memory: nothing can go wrong
    for receipt in receipts {
        for line in lines(receipt) {
            let _ = writer.write_record(line.iter().map(|cell| defused(cell)));
        }
    }
    String::from_utf8(writer.into_inner().unwrap_or_default()).unwrap_or_default()
}

type Line = [String; COLUMNS.len()];

fn lines(receipt: &Receipt) -> Vec<Line> {
    let about = receipt.notices.iter().map(|about| line(receipt, None, &about.state, &about.notice));
    let items = receipt.items.iter().map(|item| line(receipt, Some(item), &item.state, ""));
    let lines: Vec<_> = about.chain(items).collect();
    if lines.is_empty() { vec![line(receipt, None, &receipt.state, "")] } else { lines }
}

fn line(receipt: &Receipt, item: Option<&ItemState>, state: &str, about: &str) -> Line {
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    let time = |at: Option<Timestamp>| at.map(|at| at.to_string()).unwrap_or_default();
    let number = |number: Option<u64>| number.map(|number| number.to_string()).unwrap_or_default();
    let (policy, ledger) = (receipt.policy.as_ref(), receipt.ledger.as_ref());
    let is_enforced = item.is_none_or(|item| item.state == receipt.state); // not what was refused or revoked by itself
    let code = item.map_or_else(|| text(&receipt.code), |item| text(&item.code));
    let reason = match item {
        Some(item) => words::why(item).unwrap_or_default().to_owned(),
        None => text(&receipt.reason),
    };
    [
        text(&receipt.notice),
        text(&receipt.authority),
        receipt.kind.as_deref().unwrap_or_default().to_owned(),
        number(receipt.sequence),
        item.map(|item| item.item.clone()).unwrap_or_default(),
        state.to_owned(),
        code,
        receipt.received_at.to_string(),
        time(receipt.validated_at),
        time(receipt.effective_at),
        time(receipt.enforced_at.filter(|_| is_enforced)),
        time(receipt.lifted_at),
        time(receipt.deadline_at),
        receipt.in_time.filter(|_| is_enforced).map(|in_time| in_time.to_string()).unwrap_or_default(),
        policy.map(|policy| policy.serial.to_string()).unwrap_or_default(),
        policy.map(|policy| policy.digest.clone()).unwrap_or_default(),
        number(ledger.and_then(|ledger| ledger.sequence)),
        number(ledger.map(|ledger| ledger.head)),
        ledger.map(|ledger| ledger.hash.clone()).unwrap_or_default(),
        receipt.node.clone(),
        about.to_owned(),
        reason,
    ]
}

/// With an apostrophe before what a spreadsheet would compute.
fn defused(cell: &str) -> String {
    match cell.starts_with(['=', '+', '-', '@', '\t', '\r']) {
        true => format!("'{cell}"),
        false => cell.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{enforced, refused, revocation};
    use super::*;

    #[test]
    fn a_line_an_item_with_what_holds_for_it() {
        let table = receipts(&[enforced()]);
        let lines: Vec<_> = table.split("\r\n").collect();
        assert_eq!(lines[0], COLUMNS.join(","));
        let hash = "ab".repeat(32);
        assert_eq!(
            lines[1],
            format!(
                "MCMC-1,mcmc,restrict,1,1,enforced,,2026-11-01T01:00:00Z,2026-11-01T01:00:00Z,2026-11-01T01:00:00Z,\
                 2026-11-01T01:00:01Z,,2026-11-01T07:00:00Z,true,7,{hash},12,14,{hash},node-thumb,,"
            )
        );
        assert!(lines[2].starts_with("MCMC-1,mcmc,restrict,1,2,quarantined,public-suffix,"), "{}", lines[2]);
        assert!(lines[2].contains(",,,2026-11-01T07:00:00Z,,7,"), "it is not enforced: {}", lines[2]);
        assert!(lines[3].ends_with(",,a URL; the DNS can only block whole names"), "{}", lines[3]);
        assert_eq!((lines.len(), lines[4]), (5, ""), "every line ends");
    }

    #[test]
    fn what_has_no_items_has_a_line_and_what_is_about_notices_one_for_each() {
        let table = receipts(&[refused(), revocation()]);
        let lines: Vec<_> = table.split("\r\n").collect();
        assert!(lines[1].starts_with("MCMC-2,mcmc,,2,,refused,sequence,2026-"), "{}", lines[1]);
        assert!(lines[1].ends_with(",\"number 2 is used, by \"\"another\"\" notice\""), "{}", lines[1]);
        assert!(lines[2].starts_with("MCMC-3,mcmc,revoke,3,,revoked,,"), "{}", lines[2]);
        assert!(lines[2].ends_with(",MCMC-1,"), "{}", lines[2]);
        assert_eq!(lines.len(), 4);
    }

    #[test]
    fn nothing_in_it_is_computed() {
        let formula = Receipt { notice: Some("=HYPERLINK(\"http://a\")".into()), ..refused() };
        assert!(receipts(&[formula]).contains("\r\n\"'=HYPERLINK(\"\"http://a\"\")\",mcmc,"));
    }
}
