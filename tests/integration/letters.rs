//! Letters as a browser prints them: one A4 page for a usual notice, and a long table that goes on over pages.
//! Chromium is no peer of ours; where it is not installed, these are skipped.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use jiff::Timestamp;
use pagar::model::Receipt;
use pagar::model::receipt::{ItemState, LedgerRef, PolicyRef};
use pagar::report::letter::{self, Names};
use pagar::report::{Letterhead, Status};

use crate::harness::{run, skip};

/// The browser, wherever it is called what.
fn chromium() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let names = ["chromium", "chromium-browser", "google-chrome"];
    let found =
        std::env::split_paths(&path).flat_map(|dir| names.map(|name| dir.join(name))).find(|file| file.is_file());
    if found.is_none() {
        skip("needs chromium");
    }
    found
}

/// A receipt of a notice with so many items, one of them refused and one held.
fn receipt(items: usize) -> Receipt {
    let at: Timestamp = "2026-11-01T01:00:00Z".parse().unwrap();
    let thumb = |letter: &str| letter.repeat(43);
    let mut receipt = Receipt::new(thumb("N"), "enforced", at, at);
    receipt.authority = Some("mcmc".into());
    receipt.notice = Some("MCMC-2026-000123".into());
    receipt.kind = Some("restrict".into());
    receipt.sequence = Some(123);
    receipt.payload = Some("ab".repeat(32));
    (receipt.validated_at, receipt.effective_at, receipt.enforced_at) = (Some(at), Some(at), Some(at));
    (receipt.deadline_at, receipt.in_time) = (Some(at), Some(true));
    receipt.signers = vec![thumb("A"), thumb("B")];
    let item = |number: usize| {
        let (state, code) = match number {
            2 => ("quarantined", Some("public-suffix")),
            3 => ("refused", Some("url")),
            _ => ("enforced", None),
        };
        let (item, code) = (number.to_string(), code.map(str::to_owned));
        ItemState { item, state: state.into(), code, held: None, since: None }
    };
    receipt.items = (1..=items).map(item).collect();
    receipt.policy = Some(PolicyRef { serial: 4_711, digest: "cd".repeat(32) });
    receipt.ledger = Some(LedgerRef { sequence: Some(9_001), head: 9_003, hash: "ef".repeat(32) });
    receipt
}

/// Prints a page and counts the sheets.
fn sheets(chromium: &PathBuf, html: &str) -> usize {
    let desk = tempfile::tempdir().unwrap();
    let (page, pdf) = (desk.path().join("letter.html"), desk.path().join("letter.pdf"));
    fs::write(&page, html).unwrap();
    let mut command = Command::new(chromium);
    command.args(["--headless", "--no-sandbox", "--disable-gpu", "--no-pdf-header-footer"]);
    command.arg(format!("--user-data-dir={}", desk.path().join("profile").display()));
    command.arg(format!("--print-to-pdf={}", pdf.display())).arg(format!("file://{}", page.display()));
    let ended = run(&mut command);
    let pdf = fs::read(&pdf).unwrap_or_else(|error| panic!("{error}: {ended:?}"));
    let text = String::from_utf8_lossy(&pdf);
    // A4 in points; chromium writes the tree of pages in the open
    assert!(text.contains("/MediaBox [0 0 594.95996 841.91998]"), "not A4: {:?}", text.split("/MediaBox").nth(1));
    text.matches("/Type /Page\n").count()
}

#[test]
fn a_usual_notice_prints_to_one_page_and_a_long_one_to_several() {
    let Some(chromium) = chromium() else { return };
    let letter = |items| letter::html(&receipt(items), &Names::new(), &Letterhead::default());
    assert_eq!(sheets(&chromium, &letter(8)), 1);
    assert!(sheets(&chromium, &letter(300)) > 3);
}

#[test]
fn twenty_notices_are_answered_for_on_one_page() {
    let Some(chromium) = chromium() else { return };
    let receipts: Vec<_> = (0..12).map(|_| Receipt { items: Vec::new(), ..receipt(0) }).chain([receipt(4)]).collect();
    let status = Status::of(&receipts, receipts[0].written_at);
    assert_eq!(sheets(&chromium, &status.html(&Letterhead::default())), 1);
}
