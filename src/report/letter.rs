//! The reply about one notice: a letter to the authority, which prints to one A4 page for a notice of usual length. What it
//! says is what the signed receipt says; the receipt is the proof, the letter tells how to check it.

use std::collections::BTreeMap;

use super::html::{code, escaped, facts, lines, meaning, page, said};
use super::status::{Counts, Fate};
use super::words::{self, phrase};
use super::{Letterhead, words::Phrase};
use crate::model::Receipt;
use crate::model::receipt::ItemState;

/// The names of a notice by its items, for those who have the notice and want them in the letter.
pub type Names = BTreeMap<String, String>;

const TITLE: Phrase = phrase("Reply on a restriction notice", "Jawapan kepada notis sekatan");
const NO: Phrase = phrase("no", "tidak");
const YES: Phrase = phrase("yes", "ya");

/// The letter, as HTML.
pub fn html(receipt: &Receipt, names: &Names, head: &Letterhead) -> String {
    let heading = |en, ms| format!("<h2>{}</h2>\n", said(head, phrase(en, ms)));
    let mut body = facts(&subject(receipt, head));
    body += &summary(receipt, head);
    body += &heading("Times", "Masa");
    body += &facts(&times(receipt, head));
    if !receipt.items.is_empty() {
        body += &heading("Items", "Butiran");
        body += &items(receipt, names, head);
    }
    if !receipt.notices.is_empty() {
        body += &heading("Earlier notices", "Notis terdahulu");
        body += &earlier(receipt, head);
    }
    body += &heading("Proof", "Bukti");
    body += &facts(&proof(receipt, head));
    body += &heading("How to verify", "Cara mengesahkan");
    body += &how(receipt, head);
    page(head, TITLE, &body)
}

fn row(head: &Letterhead, en: &'static str, ms: &'static str, value: String) -> (String, String) {
    (said(head, phrase(en, ms)), value)
}

fn subject(receipt: &Receipt, head: &Letterhead) -> Vec<(String, String)> {
    let to = head.to.as_ref().or(receipt.authority.as_ref());
    let kind = receipt.kind.as_deref().map(|kind| meaning(head, words::kind(kind), kind));
    let notice = receipt.notice.as_ref().map(|id| format!("<strong>{}</strong>", escaped(id)));
    let number = receipt.sequence.map(|number| format!("{} {number}", said(head, phrase("number", "nombor"))));
    let notice: Vec<_> = [notice, number, kind].into_iter().flatten().collect();
    let rows = [
        to.map(|to| row(head, "To", "Kepada", escaped(to))),
        head.from.as_ref().map(|from| row(head, "From", "Daripada", escaped(from))),
        Some(row(head, "Written", "Ditulis", escaped(&head.time(receipt.written_at)))),
        (!notice.is_empty()).then(|| row(head, "Notice", "Notis", notice.join(", "))),
    ];
    rows.into_iter().flatten().collect()
}

/// What became of it, in a sentence or two.
fn summary(receipt: &Receipt, head: &Letterhead) -> String {
    let state = meaning(head, words::state(&receipt.state), &receipt.state);
    let mut text = format!(
        "<h2>{}</h2>\n<p><strong>{}: {state}.</strong>",
        said(head, phrase("Outcome", "Keputusan")),
        said(head, phrase("The notice as a whole", "Notis secara keseluruhan"))
    );
    if let Some(reason) = reason(receipt, head) {
        text += &format!(" {}: {reason}.", said(head, phrase("Reason", "Sebab")));
    }
    let counts = Counts::of(receipt);
    if counts.ordered > 0 {
        let parts: Vec<_> = Fate::ALL
            .into_iter()
            .map(|fate| (counts.of_fate(fate), fate))
            .filter(|(number, _)| *number > 0)
            .map(|(number, fate)| format!("{number} {}", said(head, fate.phrase())))
            .collect();
        let ordered = said(head, phrase("items ordered", "butiran diarahkan"));
        text += &format!("<br>{} {ordered}: {}.", counts.ordered, parts.join(", "));
    }
    text + "</p>\n"
}

/// Why the whole is not as ordered: what the node says, or what its code means.
fn reason(receipt: &Receipt, head: &Letterhead) -> Option<String> {
    let code = receipt.code.as_deref();
    match (&receipt.reason, code) {
        (Some(reason), Some(code)) => Some(format!("{} ({})", escaped(reason), escaped(code))),
        (Some(reason), None) => Some(escaped(reason)),
        (None, Some(code)) => Some(meaning(head, words::code(code), code)),
        (None, None) => None,
    }
}

fn times(receipt: &Receipt, head: &Letterhead) -> Vec<(String, String)> {
    let yes = |yes: bool| said(head, if yes { YES } else { NO });
    let time = |at| escaped(&head.time(at));
    let rows = [
        Some(row(head, "Received", "Diterima", time(receipt.received_at))),
        receipt.validated_at.map(|at| row(head, "Validated", "Disahkan", time(at))),
        receipt.effective_at.map(|at| row(head, "Effective from", "Berkuat kuasa mulai", time(at))),
        receipt.enforced_at.map(|at| row(head, "Enforced since", "Dikuatkuasakan sejak", time(at))),
        receipt.lifted_at.map(|at| row(head, "Lifted", "Ditarik balik", time(at))),
        receipt.deadline_at.map(|at| row(head, "Deadline", "Tarikh akhir", time(at))),
        receipt.in_time.map(|in_time| row(head, "Enforced in time", "Dalam tempoh", yes(in_time))),
    ];
    rows.into_iter().flatten().collect()
}

fn items(receipt: &Receipt, names: &Names, head: &Letterhead) -> String {
    let column = |en, ms| said(head, phrase(en, ms));
    let zone = head.offset();
    let timed = |en, ms| format!("{} ({zone})", said(head, phrase(en, ms)));
    let received = head.short_time(receipt.received_at);
    let validated = receipt.validated_at.map(|at| head.short_time(at)).unwrap_or_default();
    let since = |item: &ItemState| {
        let at = if item.state == receipt.state { receipt.enforced_at.or(receipt.lifted_at) } else { None };
        at.map(|at| head.short_time(at)).unwrap_or_default()
    };
    let outcome = |item: &ItemState| meaning(head, words::state(&item.state), &item.state);
    let why = |item: &ItemState| {
        let code = item.code.as_deref().unwrap_or_default();
        meaning(head, words::code(code), code)
    };
    let item = |item: &ItemState| match names.get(&item.item) {
        Some(name) => format!("{}<br><strong>{}</strong>", escaped(&item.item), escaped(name)),
        None => escaped(&item.item),
    };
    let columns = [
        (column("Item", "Butiran"), ""),
        (timed("Received", "Diterima"), ""),
        (timed("Validated", "Disahkan"), ""),
        (column("Outcome", "Keputusan"), ""),
        (timed("Since", "Sejak"), ""),
        (column("Reason", "Sebab"), ""),
    ];
    let rows =
        receipt.items.iter().map(|it| [item(it), received.clone(), validated.clone(), outcome(it), since(it), why(it)]);
    lines(&columns, rows)
}

fn earlier(receipt: &Receipt, head: &Letterhead) -> String {
    let columns = [(said(head, phrase("Notice", "Notis")), ""), (said(head, phrase("Now", "Kini")), "")];
    let rows =
        receipt.notices.iter().map(|it| [escaped(&it.notice), meaning(head, words::state(&it.state), &it.state)]);
    lines(&columns, rows)
}

fn proof(receipt: &Receipt, head: &Letterhead) -> Vec<(String, String)> {
    let mut rows = Vec::new();
    if let Some(payload) = &receipt.payload {
        rows.push(row(head, "Notice, SHA-256", "Notis, SHA-256", code(payload)));
    }
    if !receipt.signers.is_empty() {
        let signers: Vec<_> = receipt.signers.iter().map(|signer| code(signer)).collect();
        rows.push(row(head, "Signed by keys", "Ditandatangani kunci", signers.join("<br>")));
    }
    if let Some(policy) = &receipt.policy {
        rows.push(row(
            head,
            "Policy asked",
            "Dasar yang disoal",
            format!("{}, {}", policy.serial, code(&policy.digest)),
        ));
    }
    if let Some(ledger) = &receipt.ledger {
        if let Some(sequence) = ledger.sequence {
            rows.push(row(head, "Ledger record", "Rekod lejar", sequence.to_string()));
        }
        rows.push(row(head, "Ledger head", "Kepala lejar", format!("{}, {}", ledger.head, code(&ledger.hash))));
    }
    rows.push(row(head, "Key of the node", "Kunci nod", code(&receipt.node)));
    rows
}

fn how(receipt: &Receipt, head: &Letterhead) -> String {
    const EN: &str = "The receipt behind this letter is signed by the node (RFC 7515). Its thumbprint (RFC 7638) stands above. \
                      With the receipt and the node's public key:";
    const MS: &str = "Resit di sebalik surat ini ditandatangani oleh nod (RFC 7515). Cap jari kuncinya (RFC 7638) tertera di \
                      atas. Dengan resit dan kunci awam nod:";
    let command = "pagar notice verify RECEIPT.json --node-key node.pub.jwk";
    let head_kept = receipt.ledger.as_ref().map(|_| {
        let text = said(
            head,
            phrase(
                "Keep the ledger head: it shows later that no record was taken away.",
                "Simpan kepala lejar: ia menunjukkan kelak bahawa tiada rekod dibuang.",
            ),
        );
        format!("<p class=\"small\">{text}</p>\n")
    });
    format!(
        "<p class=\"small\">{}<br>{}</p>\n{}",
        said(head, phrase(EN, MS)),
        code(command),
        head_kept.unwrap_or_default()
    )
}

#[cfg(test)]
mod tests {
    use super::super::testing::{enforced, refused, revocation};
    use super::super::{Language, parse_offset};
    use super::*;

    fn english() -> Letterhead {
        Letterhead { language: Language::En, offset: parse_offset("+08:00").unwrap(), ..Letterhead::default() }
    }

    #[test]
    fn every_item_has_its_outcome_times_and_reason() {
        let letter = html(&enforced(), &Names::new(), &english());
        for part in [
            "<strong>The notice as a whole: enforced.</strong>",
            "3 items ordered: 1 enforced, 1 held for people to decide, 1 refused.",
            "<th>Enforced since</th><td>2026-11-01 09:00:01 +08:00</td>",
            "<th>Enforced in time</th><td>yes</td>",
            "<tr><td>1</td><td>2026-11-01 09:00:00</td><td>2026-11-01 09:00:00</td><td>enforced</td><td>2026-11-01 09:00:01</td><td></td></tr>",
            "<td>held for people to decide</td><td></td><td>names of many owners stand below it; two persons decide</td>",
            "<td>refused</td><td></td><td>a URL; the DNS can only block whole names</td>",
            "<th scope=\"col\">Received (+08:00)</th>",
            "<code>node-thumb</code>",
            "pagar notice verify",
        ] {
            assert!(letter.contains(part), "{part}: {letter}");
        }
        for never in ["<script", "http://", "https://", " src=", "url(", "@import", "lang=\"ms\""] {
            assert!(!letter.contains(never), "{never}");
        }
    }

    #[test]
    fn it_is_written_in_either_language_or_both() {
        let malay = html(&enforced(), &Names::new(), &Letterhead { language: Language::Ms, ..english() });
        assert!(malay.contains("<html lang=\"ms\">") && malay.contains("<th>Diterima</th>"), "{malay}");
        assert!(!malay.contains("Received"));
        let both = html(&enforced(), &Names::new(), &Letterhead::default());
        assert!(both.contains("<th>Received <span class=\"ms\" lang=\"ms\">/ Diterima</span></th>"), "{both}");
    }

    #[test]
    fn a_refusal_says_why_and_a_revocation_what_it_ended() {
        let letter = html(&refused(), &Names::new(), &english());
        assert!(
            letter.contains("refused.</strong> Reason: number 2 is used, by &quot;another&quot; notice (sequence).")
        );
        assert!(!letter.contains("<h2>Items</h2>"));
        let letter = html(&revocation(), &Names::new(), &english());
        assert!(letter.contains("<tr><td>MCMC-1</td><td>revoked</td></tr>"), "{letter}");
    }

    #[test]
    fn nothing_from_outside_is_markup_and_names_come_only_from_the_caller() {
        let mut receipt = enforced();
        receipt.authority = Some("<script>alert(1)</script>".into());
        receipt.items[0].item = "<img>".into();
        receipt.items[1].code = Some("<b>".into());
        let names = Names::from([("3".to_owned(), "bad.example\"<i>".to_owned())]);
        let head = Letterhead { from: Some("ISP & Co".into()), ..english() };
        let letter = html(&receipt, &names, &head);
        for wrong in ["<script", "<img", "<b>", "<i>"] {
            assert!(!letter.contains(wrong), "{wrong}");
        }
        assert!(letter.contains("<td>ISP &amp; Co</td>"));
        assert!(letter.contains("3<br><strong>bad.example&quot;&lt;i&gt;</strong>"));
        assert!(!html(&receipt, &Names::new(), &head).contains("bad.example"));
    }
}
