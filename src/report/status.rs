//! [`Status`]: several notices counted, with a cut-off: the reply that is owed to the authority within some days.
//!
//! What is counted are the items of restrictions and amendments, each once, by what its newest receipt says:
//!
//! | counter | items |
//! |---|---|
//! | `ordered` | all of them: the sum of the others |
//! | `enforced` | seen to be blocked |
//! | `waiting` | in the policy and not yet seen to work, or scheduled |
//! | `tested` | of an authority that only rehearses: judged, and never blocked |
//! | `quarantined` | held for people to decide |
//! | `refused` | cannot be carried out |
//! | `lifted` | revoked, expired or suspended, or lifted by a person in an emergency |
//! | `replaced` | of a notice that was amended; the amendment has its own |
//!
//! A notice that was refused as a whole has no items here: nobody counted them. What is about earlier notices has none to
//! count either; it stands among the notices with its state.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::Letterhead;
use super::html::{escaped, facts, lines, meaning, page, said};
use super::words::{self, Phrase, phrase};
use crate::model::Receipt;

/// See the module's header.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// What is later than this is not in it.
    pub cut_off: Timestamp,
    /// Notices and orders about notices.
    pub orders: u64,
    /// Those of them that were refused as a whole.
    pub orders_refused: u64,
    /// Those that were enforced after their deadline, or were not by the cut-off.
    pub late: u64,
    /// The items of all.
    pub items: Counts,
    /// Each order.
    pub notices: Vec<Line>,
    /// The items that were not carried out as ordered.
    pub not_carried_out: Vec<NotCarriedOut>,
}

/// One order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// Its id; nothing where it has none that can be believed.
    pub notice: Option<String>,
    /// Whose.
    pub authority: Option<String>,
    /// What it does.
    pub kind: Option<String>,
    /// Its number.
    pub sequence: Option<u64>,
    /// What became of it.
    pub state: String,
    /// Why it is not as ordered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// The same for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// When the node had it.
    pub received_at: Timestamp,
    /// Since when it is seen to be enforced.
    pub enforced_at: Option<Timestamp>,
    /// When it was seen to be lifted.
    pub lifted_at: Option<Timestamp>,
    /// By when it had to be enforced.
    pub deadline_at: Option<Timestamp>,
    /// Whether it missed its deadline, or has by the cut-off.
    pub late: bool,
    /// Its items.
    pub items: Counts,
}

/// An item that was refused, is held, or that a person has lifted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NotCarriedOut {
    /// Of this notice.
    pub notice: Option<String>,
    /// Its number there.
    pub item: String,
    /// What became of it.
    pub state: String,
    /// Why.
    pub code: Option<String>,
}

/// How many items had which fate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// All.
    pub ordered: u64,
    /// See the module's header.
    pub enforced: u64,
    /// See the module's header.
    pub waiting: u64,
    /// See the module's header.
    pub tested: u64,
    /// See the module's header.
    pub quarantined: u64,
    /// See the module's header.
    pub refused: u64,
    /// See the module's header.
    pub lifted: u64,
    /// See the module's header.
    pub replaced: u64,
}

/// What became of an item, as it is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Seen to be blocked.
    Enforced,
    /// Not yet.
    Waiting,
    /// Of a rehearsal.
    Tested,
    /// Held for people.
    Quarantined,
    /// Cannot be carried out.
    Refused,
    /// Not blocked any more, or not now.
    Lifted,
    /// Of a notice that was amended.
    Replaced,
}

impl Fate {
    /// In the order of reports.
    pub const ALL: [Self; 7] =
        [Self::Enforced, Self::Waiting, Self::Tested, Self::Quarantined, Self::Refused, Self::Lifted, Self::Replaced];

    /// Of an item's state.
    pub fn of(state: &str) -> Self {
        match state {
            "enforced" => Self::Enforced,
            "tested" => Self::Tested,
            "quarantined" => Self::Quarantined,
            "refused" => Self::Refused,
            "lifted" | "revoked" | "expired" | "suspended" => Self::Lifted,
            "amended" => Self::Replaced,
            _ => Self::Waiting, // scheduled, published, and what later versions may say: not enforced is not claimed to be
        }
    }

    /// For people.
    pub const fn phrase(self) -> Phrase {
        match self {
            Self::Enforced => phrase("enforced", "dikuatkuasakan"),
            Self::Waiting => phrase("waiting", "menunggu"),
            Self::Tested => phrase("tested", "diuji"),
            Self::Quarantined => phrase("held for people to decide", "ditahan untuk keputusan manusia"),
            Self::Refused => phrase("refused", "ditolak"),
            Self::Lifted => phrase("lifted", "ditarik balik"),
            Self::Replaced => phrase("replaced", "diganti"),
        }
    }
}

impl Counts {
    /// The items of one receipt; none if it is about earlier notices.
    pub fn of(receipt: &Receipt) -> Self {
        let mut counts = Self::default();
        if receipt.kind.as_deref().is_none_or(|kind| ["restrict", "amend"].contains(&kind)) {
            receipt.items.iter().for_each(|item| counts.count(Fate::of(&item.state), 1));
        }
        counts
    }

    /// How many had this fate.
    pub fn of_fate(&self, fate: Fate) -> u64 {
        match fate {
            Fate::Enforced => self.enforced,
            Fate::Waiting => self.waiting,
            Fate::Tested => self.tested,
            Fate::Quarantined => self.quarantined,
            Fate::Refused => self.refused,
            Fate::Lifted => self.lifted,
            Fate::Replaced => self.replaced,
        }
    }

    fn count(&mut self, fate: Fate, number: u64) {
        self.ordered += number;
        *match fate {
            Fate::Enforced => &mut self.enforced,
            Fate::Waiting => &mut self.waiting,
            Fate::Tested => &mut self.tested,
            Fate::Quarantined => &mut self.quarantined,
            Fate::Refused => &mut self.refused,
            Fate::Lifted => &mut self.lifted,
            Fate::Replaced => &mut self.replaced,
        } += number;
    }

    fn add(&mut self, other: &Self) {
        Fate::ALL.into_iter().for_each(|fate| self.count(fate, other.of_fate(fate)));
    }
}

impl Line {
    fn of(receipt: &Receipt, cut_off: Timestamp) -> Self {
        Self {
            notice: receipt.notice.clone(),
            authority: receipt.authority.clone(),
            kind: receipt.kind.as_deref().map(str::to_owned),
            sequence: receipt.sequence,
            state: receipt.state.to_string(),
            code: receipt.code.clone(),
            reason: receipt.reason.clone(),
            received_at: receipt.received_at,
            enforced_at: receipt.enforced_at,
            lifted_at: receipt.lifted_at,
            deadline_at: receipt.deadline_at,
            late: is_late(receipt, cut_off),
            items: Counts::of(receipt),
        }
    }
}

/// Enforced too late, or not yet though the deadline is over. What is lifted or refused is late no more.
fn is_late(receipt: &Receipt, cut_off: Timestamp) -> bool {
    match receipt.in_time {
        Some(in_time) => !in_time,
        None => {
            let waits = ["published", "scheduled"].contains(&&*receipt.state);
            waits && receipt.deadline_at.is_some_and(|deadline| deadline < cut_off)
        }
    }
}

const TITLE: Phrase = phrase("Status of restriction notices", "Status notis sekatan");

impl Status {
    /// Of these receipts, each of which is the newest of its order.
    pub fn of<'a>(receipts: impl IntoIterator<Item = &'a Receipt>, cut_off: Timestamp) -> Self {
        let (notices, not_carried_out) = (Vec::new(), Vec::new());
        let items = Counts::default();
        let mut status = Self { cut_off, orders: 0, orders_refused: 0, late: 0, items, notices, not_carried_out };
        for receipt in receipts {
            status.add(receipt);
        }
        status
    }

    fn add(&mut self, receipt: &Receipt) {
        let line = Line::of(receipt, self.cut_off);
        self.orders += 1;
        self.orders_refused += u64::from(line.state == "refused");
        self.late += u64::from(line.late);
        self.items.add(&line.items);
        self.notices.push(line);
        let failed = receipt.items.iter().filter(|item| ["refused", "quarantined", "lifted"].contains(&&*item.state));
        self.not_carried_out.extend(failed.map(|item| NotCarriedOut {
            notice: receipt.notice.clone(),
            item: item.item.clone(),
            state: item.state.to_string(),
            code: item.code.clone(),
        }));
    }

    /// As a page to be printed.
    pub fn html(&self, head: &Letterhead) -> String {
        let heading = |en, ms| format!("<h2>{}</h2>\n", said(head, phrase(en, ms)));
        let mut body = facts(&self.summary(head));
        body += &heading("Items by outcome", "Butiran mengikut keputusan");
        body += &self.totals(head);
        body += &heading("Notices", "Notis");
        body += &self.table(head);
        if !self.not_carried_out.is_empty() {
            body += &heading("Items not carried out", "Butiran yang tidak dilaksanakan");
            body += &self.exceptions(head);
        }
        let note = phrase(
            "Every notice has a signed receipt of its own, which is the proof; this page counts what they say.",
            "Setiap notis mempunyai resit bertandatangan sendiri sebagai bukti; halaman ini mengira kandungannya.",
        );
        body += &format!("<p class=\"small\">{}</p>\n", said(head, note));
        page(head, TITLE, &body)
    }

    fn summary(&self, head: &Letterhead) -> Vec<(String, String)> {
        let row = |en, ms, value: String| (said(head, phrase(en, ms)), value);
        let mut rows = Vec::new();
        rows.extend(head.to.as_ref().map(|to| row("To", "Kepada", escaped(to))));
        rows.extend(head.from.as_ref().map(|from| row("From", "Daripada", escaped(from))));
        rows.push(row("As of", "Setakat", escaped(&head.time(self.cut_off))));
        rows.push(row("Notices", "Notis", self.orders.to_string()));
        rows.push(row("Refused as a whole", "Ditolak sepenuhnya", self.orders_refused.to_string()));
        rows.push(row("Deadline missed", "Melepasi tarikh akhir", self.late.to_string()));
        rows
    }

    fn totals(&self, head: &Letterhead) -> String {
        let ordered = (said(head, phrase("ordered", "diarahkan")), self.items.ordered);
        let [enforced, waiting, tested, quarantined, refused, lifted, replaced] =
            Fate::ALL.map(|fate| (said(head, fate.phrase()), self.items.of_fate(fate)));
        let all = [ordered, enforced, waiting, tested, quarantined, refused, lifted, replaced];
        let columns = all.clone().map(|(heading, _)| (heading, "number"));
        lines(&columns, std::iter::once(all.map(|(_, number)| number.to_string())))
    }

    fn table(&self, head: &Letterhead) -> String {
        let (zone, text) = (head.offset(), |en, ms| (said(head, phrase(en, ms)), ""));
        let timed = |en, ms| (format!("{} ({zone})", said(head, phrase(en, ms))), "");
        let number = |en, ms| (said(head, phrase(en, ms)), "number");
        let time = |at: Option<Timestamp>| at.map(|at| head.short_time(at)).unwrap_or_default();
        let columns = [
            (said(head, phrase("Notice", "Notis")), "id"),
            text("Outcome", "Keputusan"),
            timed("Received", "Diterima"),
            timed("Enforced", "Dikuatkuasakan"),
            timed("Lifted", "Ditarik balik"),
            number("Items", "Butiran"),
            number("Enforced", "Dikuatkuasakan"),
            number("Refused, held", "Ditolak, ditahan"),
        ];
        let rows = self.notices.iter().map(|line| {
            let Counts { ordered, enforced, quarantined, refused, .. } = line.items;
            [
                escaped(line.notice.as_deref().unwrap_or("?")),
                line.outcome(head),
                time(Some(line.received_at)),
                time(line.enforced_at),
                time(line.lifted_at),
                ordered.to_string(),
                enforced.to_string(),
                (quarantined + refused).to_string(),
            ]
        });
        lines(&columns, rows)
    }

    fn exceptions(&self, head: &Letterhead) -> String {
        let text = |en, ms| (said(head, phrase(en, ms)), "");
        let columns =
            [text("Notice", "Notis"), text("Item", "Butiran"), text("Outcome", "Keputusan"), text("Reason", "Sebab")];
        let rows = self.not_carried_out.iter().map(|it| {
            let code = it.code.as_deref().unwrap_or_default();
            let notice = escaped(it.notice.as_deref().unwrap_or("?"));
            let outcome = meaning(head, words::state(&it.state), &it.state);
            [notice, escaped(&it.item), outcome, meaning(head, words::code(code), code)]
        });
        lines(&columns, rows)
    }
}

impl Line {
    fn outcome(&self, head: &Letterhead) -> String {
        let mut outcome = meaning(head, words::state(&self.state), &self.state);
        match (&self.reason, self.code.as_deref()) {
            (Some(reason), _) => outcome += &format!(": {}", escaped(reason)),
            (None, Some(code)) => outcome += &format!(": {}", meaning(head, words::code(code), code)),
            (None, None) => {}
        }
        if self.late {
            outcome += &format!("; {}", said(head, phrase("deadline missed", "melepasi tarikh akhir")));
        }
        outcome
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{at, enforced, refused, revocation};
    use super::*;

    #[test]
    fn items_are_counted_once_and_add_up() {
        let mut lifted = enforced();
        lifted.notice = Some("MCMC-9".into());
        lifted.state = "revoked".into();
        lifted.items[0].state = "revoked".into();
        let status = Status::of(&[enforced(), refused(), revocation(), lifted], at(9_000));
        let Status { orders, orders_refused, late, items, .. } = status;
        assert_eq!((orders, orders_refused, late), (4, 1, 0));
        let Counts { ordered, enforced, waiting, tested, quarantined, refused, lifted, replaced } = items;
        assert_eq!((ordered, enforced, waiting, tested, quarantined), (6, 1, 0, 0, 2));
        assert_eq!((refused, lifted, replaced), (2, 1, 0));
        assert_eq!(ordered, Fate::ALL.map(|fate| items.of_fate(fate)).iter().sum::<u64>());
        assert_eq!(status.not_carried_out.len(), 4);
        let json = serde_json::to_string(&status).unwrap();
        assert_eq!(serde_json::from_str::<Status>(&json).unwrap(), status);
    }

    #[test]
    fn a_deadline_is_missed_by_what_came_late_and_by_what_has_not_come() {
        let with = |state: &'static str, in_time| Receipt { state: state.into(), in_time, ..enforced() };
        let deadline = enforced().deadline_at.unwrap();
        let late = |receipt: Receipt, cut_off| Status::of(&[receipt], cut_off).late;
        assert_eq!(late(with("enforced", Some(true)), at(1_000_000)), 0);
        assert_eq!(late(with("enforced", Some(false)), at(0)), 1);
        assert_eq!(late(with("published", None), deadline), 0);
        assert_eq!(late(with("published", None), deadline + jiff::SignedDuration::from_secs(1)), 1);
        assert_eq!(late(with("revoked", None), at(1_000_000)), 0);
    }

    #[test]
    fn the_page_has_totals_each_notice_and_what_was_not_done() {
        let head = Letterhead { language: words::Language::En, ..Letterhead::default() };
        let page = Status::of(&[enforced(), refused(), revocation()], at(9_000)).html(&head);
        for part in [
            "<th>As of</th><td>2026-11-01 03:30:00 +00:00</td>",
            "<tr><td class=\"number\">3</td><td class=\"number\">1</td><td class=\"number\">0</td><td class=\"number\">0</td><td class=\"number\">1</td>",
            "<tr><td class=\"id\">MCMC-1</td><td>enforced</td><td>2026-11-01 01:00:00</td>",
            "<td>refused: number 2 is used, by &quot;another&quot; notice</td>",
            "<tr><td>MCMC-1</td><td>3</td><td>refused</td><td>a URL; the DNS can only block whole names</td></tr>",
            "<thead>",
        ] {
            assert!(page.contains(part), "{part}: {page}");
        }
    }
}
