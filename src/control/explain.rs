//! [`Explanation`]: why a name is answered as it is. One form for `pagar why`, `GET /v1/check` and their JSON.

use std::fmt;
use std::net::IpAddr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::model::{AuthorityKind, Caller, DnsName, Exemptions, Notice, Scope, Sensitivity, name};
use crate::policy::Snapshot;
use crate::policy::verdict::Consider;

/// DS and DNSKEY pass an exact target (INTERFACES).
const PASS_EXACT: [u16; 2] = [43, 48];

/// What the policy says about one name and type, and why.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Explanation {
    /// The name asked, canonical.
    pub name: String,
    /// The type asked, as a number.
    pub qtype: u16,
    /// Whether the policy answers.
    pub listed: bool,
    /// The rule that answers.
    pub rule: Option<Rule>,
    /// Listings that do not answer: outranked, not yet effective, expired, or exact on a name above.
    pub others: Vec<Rule>,
    /// For a name that is not listed: the closest name above it with a listing, in force or not.
    pub nearest_listed_ancestor: Option<String>,
    /// Whether the client asked about is exempt: then a listed name is answered to it as if it were not listed.
    #[serde(default)]
    pub exempt: Option<Exempt>,
    /// Whether a person has lifted it, or a name above it: then no notice answers for it.
    #[serde(default)]
    pub lifted: bool,
    /// Policy serial.
    pub serial: u32,
    /// Policy digest, hexadecimal.
    pub digest: String,
    /// The instant this is about.
    pub at: Timestamp,
}

/// Why a client is not restricted.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Exempt {
    /// The legal reason.
    pub reason: String,
    /// The end.
    pub until: Timestamp,
}

/// A target of a notice, in words.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Rule {
    /// Notice id.
    pub notice: String,
    /// Authority id.
    pub authority: String,
    /// Its kind: EDE 16 for `statutory`, 15 for `operator`.
    pub kind: String,
    /// The provision that allows the order.
    pub power: String,
    /// The offence it is to prevent.
    pub offence: Option<String>,
    /// Category.
    pub category: String,
    /// Sensitivity.
    pub sensitivity: String,
    /// The listed name.
    pub target: String,
    /// `exact` or `subtree`.
    pub scope: String,
    /// What it is answered with.
    pub action: String,
    /// In force since.
    pub since: Timestamp,
    /// In force until.
    pub until: Option<Timestamp>,
    /// `in force`, `scheduled`, `expired`.
    pub state: String,
}

/// Reads the name somebody asks about. People paste URLs and addresses: those get a hint instead of "not listed".
pub fn asked(text: &str) -> Result<DnsName, String> {
    let rest = text.split_once("://").map_or(text, |(_, rest)| rest);
    let host = rest.split(['/', ':', '?', '#']).next().unwrap_or_default();
    if text.parse::<IpAddr>().is_ok() || host.parse::<IpAddr>().is_ok() {
        return Err("an address, not a name: the policy is about names".into());
    }
    if host.len() < text.len() {
        return Err(format!("not a domain name: did you mean {host:?}?"));
    }
    DnsName::from_text(text).map_err(|error| error.to_string())
}

impl Explanation {
    /// Explains what `snapshot` does with a name at `now`. Listed names of the secret class are shown to a caller that may see
    /// them; where nobody is known to ask, they are withheld.
    pub fn of(snapshot: &Snapshot, asked: &DnsName, qtype: u16, now: Timestamp, caller: Option<&Caller>) -> Self {
        let consider = if PASS_EXACT.contains(&qtype) { Consider::SubtreesOnly } else { Consider::All };
        let verdict = snapshot.decide(asked.as_wire(), consider);
        let kind_of = |notice: &Notice| {
            let entry = snapshot.entries().find(|e| e.notice.id == notice.id && e.notice.authority == notice.authority);
            entry.map_or(AuthorityKind::Statutory, |entry| entry.kind)
        };
        let rule = verdict.map(|v| Rule::new(&v.entry.notice, v.entry.kind, (v.scope, v.target), now, caller));
        let answers = |notice: &Notice, scope: Scope, target: &[u8]| {
            verdict.is_some_and(|v| std::ptr::eq(&*v.entry.notice, notice) && v.scope == scope && v.target == target)
        };
        let listings: Vec<_> = snapshot.listings(asked.as_wire()).collect();
        let above = listings.iter().find(|(.., target)| *target != asked.as_wire());
        let nearest = above.map(|(notice, _, target)| shown(notice, target, caller));
        Self {
            name: asked.to_string(),
            qtype,
            listed: verdict.is_some(),
            nearest_listed_ancestor: nearest.filter(|_| verdict.is_none()),
            others: listings
                .iter()
                .filter(|(notice, scope, target)| !answers(notice, *scope, target))
                .map(|(notice, scope, target)| Rule::new(notice, kind_of(notice), (*scope, target), now, caller))
                .collect(),
            rule,
            exempt: None,
            lifted: snapshot.is_lifted(asked.as_wire()),
            serial: snapshot.serial,
            digest: hex(&snapshot.digest),
            at: now,
        }
    }
}

impl Explanation {
    /// Says besides whether this client is exempt at the instant this is about.
    pub fn for_client(mut self, client: IpAddr, exemptions: &Exemptions) -> Self {
        let exempt = exemptions.of(client, || self.at);
        self.exempt = exempt.map(|exempt| Exempt { reason: exempt.reason.clone(), until: exempt.until });
        self
    }
}

impl Rule {
    fn new(
        notice: &Notice,
        kind: AuthorityKind,
        (scope, target): (Scope, &[u8]),
        now: Timestamp,
        caller: Option<&Caller>,
    ) -> Self {
        Self {
            notice: notice.id.to_string(),
            authority: notice.authority.to_string(),
            kind: match kind {
                AuthorityKind::Statutory => "statutory",
                AuthorityKind::Operator => "operator",
            }
            .to_owned(),
            power: notice.legal_basis.power.clone(),
            offence: notice.legal_basis.offence.clone(),
            category: notice.category.to_string(),
            sensitivity: notice.sensitivity.as_str().to_owned(),
            target: shown(notice, target, caller),
            scope: scope.as_str().to_owned(),
            action: notice.action.as_str().to_owned(),
            since: notice.validity.effective_at,
            until: notice.validity.expires_at,
            state: state_at(notice, now).to_owned(),
        }
    }
}

/// A listed name as it may be shown: those of the secret class only to callers that may see such names and what became of
/// this authority's orders.
fn shown(notice: &Notice, target: &[u8], caller: Option<&Caller>) -> String {
    let may_see = caller.is_some_and(|caller| caller.secret && caller.may_read(&notice.authority));
    match notice.sensitivity {
        Sensitivity::Secret if !may_see => "(secret)".into(),
        Sensitivity::Public | Sensitivity::Restricted | Sensitivity::Secret => name::wire_to_text(target),
    }
}

/// The word for a notice's place in time.
pub fn state_at(notice: &Notice, now: Timestamp) -> &'static str {
    if notice.validity.contains(now) {
        "in force"
    } else if now < notice.validity.effective_at {
        "scheduled"
    } else {
        "expired"
    }
}

/// Lower-case hexadecimal.
pub fn hex(octets: &[u8]) -> String {
    octets.iter().map(|octet| format!("{octet:02x}")).collect()
}

impl fmt::Display for Explanation {
    /// The form for people; `pagar why` prints it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.rule {
            Some(rule) => writeln!(f, "{} is listed\n{rule}", self.name)?,
            None if self.lifted => writeln!(f, "{} is not listed: an operator has lifted it", self.name)?,
            None => writeln!(f, "{} is not listed", self.name)?,
        }
        if let Some(Exempt { reason, until }) = &self.exempt {
            let so = if self.listed { ", so it is answered to it as if it were not" } else { "" };
            writeln!(f, "  client:   exempt until {until} ({reason}){so}")?;
        }
        if let Some(ancestor) = &self.nearest_listed_ancestor {
            writeln!(f, "  nearest listed ancestor: {ancestor}")?;
        }
        for other in &self.others {
            let (state, target) = (other.state.as_str(), &other.target);
            let why = match state {
                "in force" if self.listed => "outranked",
                "in force" if self.lifted => "lifted",
                "in force" => "does not reach this name and type",
                _ => state,
            };
            let until = other.until.map(|until| format!(" until {until}")).unwrap_or_default();
            writeln!(
                f,
                "  also: {target} ({}) by {} {}: {why}, from {}{until}",
                other.scope, other.authority, other.notice, other.since
            )?;
        }
        write!(f, "  policy {} ({}) at {}", self.serial, self.digest.get(..12).unwrap_or_default(), self.at)
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "  notice:   {} of {} ({})", self.notice, self.authority, self.kind)?;
        match &self.offence {
            Some(offence) => writeln!(f, "  law:      {}; offence {offence}", self.power)?,
            None => writeln!(f, "  law:      {}", self.power)?,
        }
        writeln!(f, "  category: {} ({})", self.category, self.sensitivity)?;
        writeln!(f, "  target:   {} ({})", self.target, self.scope)?;
        writeln!(f, "  action:   {}", self.action)?;
        match self.until {
            Some(until) => write!(f, "  since:    {}, until {until}", self.since),
            None => write!(f, "  since:    {}", self.since),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::asked;

    #[test]
    fn urls_and_addresses_are_not_taken_for_names() {
        assert_eq!(asked("WWW.Example.").unwrap().to_string(), "www.example.");
        for text in ["https://www.example/", "www.example/path", "www.example:443", "http://www.example"] {
            assert!(asked(text).unwrap_err().contains("did you mean \"www.example\"?"), "{text}");
        }
        for text in ["192.0.2.1", "2001:db8::1", "http://192.0.2.1/x"] {
            assert!(asked(text).unwrap_err().contains("an address"), "{text}");
        }
        assert!(asked("").is_err());
    }
}
