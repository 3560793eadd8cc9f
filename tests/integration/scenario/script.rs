//! [`Script`]: a scenario file, read and checked before anything of it is run. The format is in [`super`].

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use jiff::Timestamp;
use pagar::dns::access::buckets::Limit;
use pagar::dns::access::cookie::Secrets;
use pagar::dns::access::prefix::Prefixes;
use pagar::dns::access::{self, Rate, rrl};
use pagar::dns::identity::Identity;
use pagar::model::{Action, AuthorityKind, DnsName, Exemption, Exemptions, Network, Scope, Sensitivity};

use super::message::{Message, Question, SECTIONS, record};
use super::steps;
use super::words::{seconds, unhex, unquote, without_comment, words};

/// Monotonic seconds at which a scenario begins; its time of day is the same number.
pub(super) const BEGIN: i64 = 1;

/// A mistake in the file itself.
pub(super) type Mistake = (usize, String);

/// See the module's header.
#[derive(Debug, Default)]
pub(super) struct Script {
    pub(super) title: String,
    pub(super) config: Config,
    pub(super) ranges: Vec<(u32, u32, Vec<Entry>)>,
    pub(super) steps: Vec<Step>,
}

/// `CONFIG key=value …`, with the quick start's values.
#[derive(Clone, Debug)]
pub(super) struct Config {
    pub(super) page_v4: Option<Ipv4Addr>,
    pub(super) page_v6: Option<Ipv6Addr>,
    pub(super) block_ttl: u32,
    pub(super) max_ttl: u32,
    pub(super) cache: u64,
    /// Off unless written: without it, every question the upstream gets is one a client asked just then.
    pub(super) prefetch: bool,
    /// Seconds an expired answer may be used; `None` for not at all.
    pub(super) serve_stale: Option<u64>,
    pub(super) allow: Vec<String>,
    pub(super) trust_ad: bool,
    pub(super) access: access::Settings,
    pub(super) exempt: Exemptions,
    /// Questions that may wait for upstreams.
    pub(super) places: u32,
    pub(super) special_names: bool,
    pub(super) forward: Vec<DnsName>,
    pub(super) identity: Identity,
    /// Names and texts of the operator's zones.
    pub(super) zones: Vec<(DnsName, String)>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            page_v4: Some(Ipv4Addr::new(192, 0, 2, 80)),
            page_v6: Some(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0x80)),
            block_ttl: 30,
            max_ttl: 3_600,
            cache: 1 << 20,
            prefetch: false,
            serve_stale: None,
            allow: vec!["127.0.0.0/8".into(), "::1/128".into()],
            trust_ad: false,
            access: access::Settings::default(),
            exempt: Exemptions::default(),
            places: 16,
            special_names: true,
            forward: Vec::new(),
            identity: Identity::default(),
            zones: Vec::new(),
        }
    }
}

/// One answer of the scripted upstream.
#[derive(Clone, Debug, Default)]
pub(super) struct Entry {
    /// Only for questions with (without) DO; `None` for both.
    pub(super) dnssec_ok: Option<bool>,
    /// The same for CD.
    pub(super) checking_disabled: Option<bool>,
    pub(super) reply: Message,
    /// Sent instead of `reply`.
    pub(super) raw: Option<Vec<u8>>,
}

/// One `STEP`.
#[derive(Debug)]
pub(super) struct Step {
    pub(super) line: usize,
    pub(super) number: u32,
    pub(super) keyword: &'static str,
    pub(super) act: Act,
}

/// What a step does.
#[derive(Debug)]
pub(super) enum Act {
    Notice(Box<Order>),
    Withdraw(String),
    Query(Box<Ask>),
    CheckAnswer(Box<Expected>),
    TimePasses { wall: i64, monotonic: i64 },
    Upstream(Mood, Vec<Entry>),
    Flush { name: DnsName, subtree: bool, count: u64 },
    CheckUpstream(Vec<String>),
    CheckMetric { series: String, value: String },
}

/// Every keyword a step may have.
pub(super) const KEYWORDS: [&str; 9] = [
    "NOTICE",
    "WITHDRAW",
    "QUERY",
    "CHECK_ANSWER",
    "TIME_PASSES",
    "UPSTREAM",
    "FLUSH",
    "CHECK_UPSTREAM",
    "CHECK_METRIC",
];

/// A notice as a scenario gives it.
#[derive(Clone, Debug)]
pub(super) struct Order {
    pub(super) authority: String,
    pub(super) id: String,
    /// `None`: an authority that is not configured.
    pub(super) kind: Option<AuthorityKind>,
    pub(super) order: u32,
    pub(super) action: Action,
    pub(super) category: String,
    pub(super) sensitivity: Sensitivity,
    pub(super) from: i64,
    pub(super) expires: Option<i64>,
    pub(super) targets: Vec<(DnsName, Scope)>,
    /// The code it must be refused with.
    pub(super) refused: Option<String>,
    /// The words it was written with; its digest is over them.
    pub(super) text: String,
}

/// A message a client sends.
#[derive(Clone, Debug)]
pub(super) struct Ask {
    pub(super) message: Message,
    /// Sent instead of `message`.
    pub(super) raw: Option<Vec<u8>>,
    pub(super) tcp: bool,
    pub(super) client: IpAddr,
    /// What an answer's check calls it by, where several are under way.
    pub(super) label: String,
}

/// What a client must get.
#[derive(Clone, Debug, Default)]
pub(super) struct Expected {
    pub(super) message: Message,
    /// Whether the file names the question section; otherwise it is that of the query.
    pub(super) has_question: bool,
    pub(super) octets: Option<usize>,
    pub(super) no_answer: bool,
    pub(super) waiting: bool,
    /// Of which query.
    pub(super) label: String,
}

/// How the scripted upstream behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mood {
    Answers,
    Silent,
    Unreachable,
    /// Silent, and known to be.
    Dead,
    Holds,
}

/// Reads a file.
pub(super) fn parse(text: &str) -> Result<Script, Mistake> {
    let mut parser = Parser::default();
    for (n, line) in text.lines().enumerate() {
        let line = without_comment(line);
        if !line.is_empty() {
            parser.line(n + 1, line).map_err(|mistake| (n + 1, mistake))?;
        }
    }
    let end = text.lines().count();
    if !parser.ended {
        return Err((end, "the file ends without SCENARIO_END".into()));
    }
    Ok(parser.script)
}

#[derive(Default)]
struct Parser {
    script: Script,
    begun: bool,
    ended: bool,
    in_range: bool,
    in_zone: bool,
    entry: Option<Entry>,
    section: Option<usize>,
}

/// Index of the question among the sections; the others are those of [`SECTIONS`].
const QUESTION: usize = 3;

impl Parser {
    fn line(&mut self, number: usize, line: &str) -> Result<(), String> {
        let all = words(line);
        let (keyword, rest) = (all[0].as_str(), &all[1..]);
        match keyword {
            _ if self.ended => return Err("something stands behind SCENARIO_END".into()),
            "SCENARIO_BEGIN" if !self.begun => {
                self.begun = true;
                self.script.title = rest.join(" ");
            }
            _ if !self.begun => return Err("the file begins with SCENARIO_BEGIN and a title".into()),
            "SCENARIO_END" if !self.in_range && self.entry.is_none() => self.ended = true,
            "ZONE_END" if self.in_zone => self.in_zone = false,
            _ if self.in_zone => {
                let (_, text) = self.script.config.zones.last_mut().ok_or("ZONE_END without ZONE_BEGIN")?;
                *text += &format!("{line}\n");
            }
            "ZONE_BEGIN" if self.script.steps.is_empty() => {
                let name = rest.first().and_then(|name| DnsName::from_text(name).ok());
                self.script.config.zones.push((name.ok_or("ZONE_BEGIN NAME")?, String::new()));
                self.in_zone = true;
            }
            "CONFIG" if self.script.steps.is_empty() => self.config(rest)?,
            "RANGE_BEGIN" if !self.in_range => {
                let [first, last] = rest else { return Err("RANGE_BEGIN FIRST LAST, numbers of steps".into()) };
                let number = |text: &String| text.parse().map_err(|_| format!("\"{text}\" is no step number"));
                self.script.ranges.push((number(first)?, number(last)?, Vec::new()));
                self.in_range = true;
            }
            "RANGE_END" if self.in_range && self.entry.is_none() => self.in_range = false,
            "ENTRY_BEGIN" if self.entry.is_none() => self.entry = Some(Entry::default()),
            "ENTRY_END" => self.end_entry()?,
            "STEP" if !self.in_range && self.entry.is_none() => self.step(number, line, rest)?,
            _ => self.inside(keyword, rest, line)?,
        }
        if !matches!(keyword, "SECTION") && (keyword.ends_with("_BEGIN") || keyword == "STEP") {
            self.section = None;
        }
        Ok(())
    }

    fn config(&mut self, words: &[String]) -> Result<(), String> {
        let config = &mut self.script.config;
        for word in words {
            let (key, value) = word.split_once('=').ok_or_else(|| format!("\"{word}\": write key=value"))?;
            let wrong = |_| format!("\"{value}\" is no value for {key}");
            match key {
                "page_v4" if value == "none" => config.page_v4 = None,
                "page_v6" if value == "none" => config.page_v6 = None,
                "page_v4" => config.page_v4 = Some(value.parse().map_err(|_| wrong(()))?),
                "page_v6" => config.page_v6 = Some(value.parse().map_err(|_| wrong(()))?),
                "block_ttl" => config.block_ttl = value.parse().map_err(|_| wrong(()))?,
                "max_ttl" => config.max_ttl = value.parse().map_err(|_| wrong(()))?,
                "cache" => config.cache = value.parse().map_err(|_| wrong(()))?,
                "prefetch" => config.prefetch = value.parse().map_err(|_| wrong(()))?,
                "serve_stale" => config.serve_stale = Some(value.parse().map_err(|_| wrong(()))?),
                "allow" => config.allow = value.split(',').map(str::to_owned).collect(),
                "special_names" => config.special_names = value.parse().map_err(|_| wrong(()))?,
                "forward" => {
                    let names = value.split(',').map(|name| DnsName::from_text(name).map_err(|_| wrong(())));
                    config.forward = names.collect::<Result<_, _>>()?;
                }
                "version" => config.identity.version = Some(unquote(value)),
                "server_id" => config.identity.server_id = Some(unquote(value)),
                "nsid" => config.identity.nsid = Some(unquote(value)),
                "trust_ad" => config.trust_ad = value.parse().map_err(|_| wrong(()))?,
                "places" => config.places = value.parse().map_err(|_| wrong(()))?,
                "cookies" if value == "off" => config.access.cookies = None,
                "cookies" => {
                    let secrets = Secrets::from_text(&value.replace(',', "\n"));
                    config.access.cookies = Some(secrets.map_err(|error| error.to_string())?);
                }
                "rate" => {
                    let (per_second, burst) = value.split_once('/').ok_or_else(|| wrong(()))?;
                    let [per_second, burst] = [per_second, burst].map(str::parse);
                    let limit = Limit::new(per_second.map_err(|_| wrong(()))?, burst.map_err(|_| wrong(()))?);
                    config.access.rate = Some(Rate { limit, prefixes: Prefixes::CLIENT });
                }
                "rrl" => config.access.rrl = Some(rrl::Settings::new(value.parse().map_err(|_| wrong(()))?)),
                "slip" | "all" | "log_only" => {
                    let rrl = config.access.rrl.as_mut().ok_or("rrl= comes first")?;
                    match key {
                        "slip" => rrl.slip = value.parse().map_err(|_| wrong(()))?,
                        "all" => rrl.all_per_second = value.parse().map_err(|_| wrong(()))?,
                        _ => rrl.log_only = value.parse().map_err(|_| wrong(()))?,
                    }
                }
                "exempt" => {
                    let (network, end) = value.rsplit_once('@').ok_or_else(|| wrong(()))?;
                    let networks = [network.parse::<Network>().map_err(|_| wrong(()))?].into_iter().collect();
                    let until = Timestamp::from_second(BEGIN + seconds(end)?).map_err(|_| wrong(()))?;
                    config.exempt = [Exemption { networks, reason: "order 7".into(), until }].into_iter().collect();
                }
                _ => return Err(format!("CONFIG knows no \"{key}\"")),
            }
        }
        Ok(())
    }

    fn end_entry(&mut self) -> Result<(), String> {
        let entry = self.entry.take().ok_or("ENTRY_END without ENTRY_BEGIN")?;
        if entry.reply.questions.len() != 1 {
            return Err("an ENTRY answers one question: SECTION QUESTION".into());
        }
        let entries = match self.script.steps.last_mut().map(|step| &mut step.act) {
            _ if self.in_range => self.script.ranges.last_mut().map(|(.., entries)| entries),
            Some(Act::Upstream(Mood::Answers, entries)) => Some(entries),
            _ => None,
        };
        entries.ok_or("an ENTRY stands in a RANGE or after UPSTREAM answers")?.push(entry);
        Ok(())
    }

    /// A line within an entry or after a step.
    fn inside(&mut self, keyword: &str, rest: &[String], line: &str) -> Result<(), String> {
        if let Some(entry) = &mut self.entry {
            match (keyword, rest) {
                ("MATCH", words) => return words.iter().try_for_each(|word| entry.narrow(word)),
                ("REPLY", [raw, digits @ ..]) if raw == "RAW" => {
                    entry.raw = Some(unhex(&digits.concat())?);
                    return Ok(());
                }
                _ => return body(&mut entry.reply, &mut self.section, keyword, rest, line),
            }
        }
        match self.script.steps.last_mut().map(|step| &mut step.act) {
            Some(Act::CheckAnswer(expected)) if !expected.no_answer && !expected.waiting => {
                expected.has_question |= line == "SECTION QUESTION";
                body(&mut expected.message, &mut self.section, keyword, rest, line)
            }
            Some(Act::CheckUpstream(asked)) if keyword == "ASKED" && rest.len() >= 3 => {
                let flags: String = rest[3..].iter().map(|flag| format!(" {flag}")).collect();
                asked.push(Question::from_words(&rest[..3])?.line() + &flags);
                Ok(())
            }
            _ => Err(format!("{keyword} has no place here")),
        }
    }

    fn step(&mut self, line: usize, text: &str, rest: &[String]) -> Result<(), String> {
        let [number, keyword, rest @ ..] = rest else { return Err("STEP NUMBER KEYWORD …".into()) };
        let number = number.parse().map_err(|_| format!("\"{number}\" is no step number"))?;
        if self.script.steps.last().is_some_and(|last| last.number >= number) {
            return Err("step numbers ascend".into());
        }
        let keyword = KEYWORDS.into_iter().find(|known| known == keyword);
        let keyword = keyword.ok_or_else(|| format!("no such step; there are {}", KEYWORDS.join(", ")))?;
        self.script.steps.push(Step { line, number, keyword, act: steps::act(keyword, rest, text)? });
        Ok(())
    }
}

impl Entry {
    fn narrow(&mut self, word: &str) -> Result<(), String> {
        let (field, value) = match word {
            "DO" => (&mut self.dnssec_ok, true),
            "NODO" => (&mut self.dnssec_ok, false),
            "CD" => (&mut self.checking_disabled, true),
            "NOCD" => (&mut self.checking_disabled, false),
            _ => return Err(format!("MATCH knows DO, NODO, CD, NOCD, not \"{word}\"")),
        };
        *field = Some(value);
        Ok(())
    }
}

/// A line of a message: `REPLY …`, `OPT …`, `SECTION …`, or a record of the section begun last.
fn body(
    message: &mut Message,
    section: &mut Option<usize>,
    keyword: &str,
    rest: &[String],
    line: &str,
) -> Result<(), String> {
    match (keyword, *section) {
        ("REPLY", None) => return message.reply(rest),
        ("OPT", _) => {
            message.reply(&words(line))?;
            message.opt_at = message.sections[2].len();
        }
        ("SECTION", _) => {
            let name = rest.first().map_or("", String::as_str);
            let place = SECTIONS.into_iter().position(|section| section == name);
            *section = Some(if name == "QUESTION" { QUESTION } else { place.ok_or("no such section")? });
        }
        (_, Some(QUESTION)) => message.questions.push(Question::from_words(&words(line))?),
        (_, Some(section)) => message.sections[section].push(record(line)?),
        (_, None) => return Err(format!("{keyword} has no place here")),
    }
    Ok(())
}
