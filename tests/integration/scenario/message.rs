//! [`Message`]: a DNS message as a scenario writes it, to octets and back.
//!
//! hickory-proto reads and writes names and records here, so what Pagar sends is judged by a codec that is not its own. Only
//! the OPT record is taken apart by hand: the order of its options and its place among the records matter to scenarios.

use hickory_proto::rr::rdata::NULL;
use hickory_proto::rr::{DNSClass, Name, RData, Record, RecordType};
use hickory_proto::serialize::binary::{BinDecodable, BinDecoder, BinEncodable, BinEncoder, Restrict};
use pagar::model::name::wire_to_text;
use pagar::model::rtype;

use super::words::{hex, unhex, unquote};

const FLAGS: [(&str, u16); 8] = [
    ("QR", 0x8000),
    ("AA", 0x0400),
    ("TC", 0x0200),
    ("RD", 0x0100),
    ("RA", 0x0080),
    ("Z", 0x0040),
    ("AD", 0x0020),
    ("CD", 0x0010),
];
const RCODES: [(&str, u16); 8] = [
    ("NOERROR", 0),
    ("FORMERR", 1),
    ("SERVFAIL", 2),
    ("NXDOMAIN", 3),
    ("NOTIMP", 4),
    ("REFUSED", 5),
    ("BADVERS", 16),
    ("BADCOOKIE", 23),
];
const CLASSES: [(&str, u16); 4] = [("IN", 1), ("CH", 3), ("HS", 4), ("ANY", 255)];
/// The sections after the question.
pub(super) const SECTIONS: [&str; 3] = ["ANSWER", "AUTHORITY", "ADDITIONAL"];

const OPT: u16 = 41;
const EDE: u16 = 15;

/// See the module's header.
#[derive(Clone, Debug, Default)]
pub(super) struct Message {
    pub(super) flags: u16,
    pub(super) opcode: u16,
    pub(super) rcode: u16,
    pub(super) questions: Vec<Question>,
    pub(super) sections: [Vec<Record>; 3],
    pub(super) opt: Option<Opt>,
    /// Before which record of the additional section the OPT stands; past the end: last.
    pub(super) opt_at: usize,
}

/// A line of the question section, its case kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Question {
    pub(super) name: Vec<u8>,
    pub(super) qtype: u16,
    pub(super) class: u16,
}

/// An OPT record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Opt {
    pub(super) size: u16,
    pub(super) version: u8,
    pub(super) dnssec_ok: bool,
    pub(super) options: Vec<(u16, Vec<u8>)>,
}

impl Default for Opt {
    fn default() -> Self {
        Self { size: 1232, version: 0, dnssec_ok: false, options: Vec::new() }
    }
}

//------ from text ---------------------------------------------------------------------------------------------------------

impl Message {
    /// Takes a flag, a response code or `OPCODE=n`; says whether the word was one of them.
    pub(super) fn word(&mut self, word: &str) -> Result<bool, String> {
        if let Some((_, bit)) = FLAGS.iter().find(|(flag, _)| *flag == word) {
            self.flags |= bit;
        } else if let Some((_, code)) = RCODES.iter().find(|(name, _)| *name == word) {
            self.rcode = *code;
        } else if let Some(code) = word.strip_prefix("RCODE=") {
            self.rcode = number(code)?;
        } else if let Some(code) = word.strip_prefix("OPCODE=") {
            self.opcode = number(code)?;
        } else {
            return Ok(false);
        }
        Ok(true)
    }

    /// Takes what may follow `REPLY`: flags and codes, then the OPT record.
    pub(super) fn reply(&mut self, words: &[String]) -> Result<(), String> {
        for (n, word) in words.iter().enumerate() {
            if word == "OPT" || word == "EDE" {
                self.opt = Some(Opt::from_words(&words[n + usize::from(word == "OPT")..])?);
                self.opt_at = usize::MAX;
                return Ok(());
            }
            if !self.word(word)? {
                return Err(format!("\"{word}\" is neither a flag nor a response code"));
            }
        }
        Ok(())
    }
}

impl Opt {
    /// `size=n version=n DO option=CODE[:HEX] EDE CODE ["TEXT"]`, in any order, options in this one.
    pub(super) fn from_words(words: &[String]) -> Result<Self, String> {
        let mut opt = Self::default();
        let mut words = words.iter().peekable();
        while let Some(word) = words.next() {
            match word.split_once('=').unwrap_or((word, "")) {
                ("DO", _) => opt.dnssec_ok = true,
                ("size", value) => opt.size = number(value)?,
                ("version", value) => opt.version = number(value)?,
                ("option", value) => {
                    let (code, data) = value.split_once(':').unwrap_or((value, ""));
                    opt.options.push((number(code)?, unhex(data)?));
                }
                ("EDE", _) => {
                    let code: u16 = number(words.next().ok_or("EDE needs a code")?)?;
                    let text =
                        words.next_if(|next| next.starts_with('"')).map(|text| unquote(text)).unwrap_or_default();
                    opt.options.push((EDE, [&code.to_be_bytes(), text.as_bytes()].concat()));
                }
                _ => return Err(format!("\"{word}\" does not belong to an OPT record")),
            }
        }
        Ok(opt)
    }
}

impl Question {
    /// `NAME CLASS TYPE`.
    pub(super) fn from_words(words: &[String]) -> Result<Self, String> {
        let [name, class, qtype] = words else { return Err("a question is: NAME CLASS TYPE".into()) };
        Ok(Self {
            name: wire(name)?,
            qtype: rtype::parse(qtype).ok_or_else(|| format!("\"{qtype}\" is no type"))?,
            class: named(&CLASSES, class).map_or_else(|| number(class.trim_start_matches("CLASS")), Ok)?,
        })
    }
}

/// `NAME TTL IN TYPE RDATA`, or with class CH; RDATA as in a master file, or `\# LENGTH HEX` (RFC 3597 §5).
pub(super) fn record(line: &str) -> Result<Record, String> {
    let mut rest = line;
    let mut word = || {
        let (word, tail) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
        rest = tail.trim_start();
        word
    };
    let (name, ttl, class, rtype) = (word(), word(), word(), word());
    let wrong = |what: &dyn std::fmt::Display| format!("not a record ({what}): {line}");
    let class = match class {
        "IN" => DNSClass::IN,
        "CH" => DNSClass::CH,
        _ => return Err(wrong(&"write NAME TTL IN TYPE RDATA")),
    };
    let rtype = RecordType::from(rtype::parse(rtype).ok_or_else(|| wrong(&format!("\"{rtype}\" is no type")))?);
    let data = match rest.strip_prefix("\\#") {
        Some(generic) => {
            let (length, digits) = generic.trim_start().split_once(' ').unwrap_or((generic, ""));
            let octets = unhex(digits)?;
            if number::<usize>(length.trim())? != octets.len() {
                return Err(wrong(&"the length is not that of the octets"));
            }
            match octets.is_empty() {
                true => RData::Update0(rtype), // hickory's word for a record without RDATA
                false => RData::Unknown { code: rtype, rdata: NULL::with(octets) },
            }
        }
        None => RData::try_from_str(rtype, rest).map_err(|error| wrong(&error))?,
    };
    let mut record = Record::from_rdata(to_name(&wire(name)?)?, number(ttl)?, data);
    record.dns_class = class;
    Ok(record)
}

/// A name with its case, escapes resolved (RFC 1035 §5.1); always absolute.
fn wire(text: &str) -> Result<Vec<u8>, String> {
    let mut labels = vec![Vec::new()];
    let mut octets = text.bytes().filter(|_| text != ".");
    while let Some(octet) = octets.next() {
        let label = labels.last_mut().ok_or("no label")?;
        match octet {
            b'.' => labels.push(Vec::new()),
            b'\\' => {
                let first = octets.next().ok_or("a name ends in a backslash")?;
                let digits = first.is_ascii_digit().then(|| [Some(first), octets.next(), octets.next()]);
                label.push(match digits {
                    Some(digits) => number(&String::from_utf8_lossy(&digits.map(Option::unwrap_or_default)))?,
                    None => first,
                });
            }
            octet => label.push(octet),
        }
    }
    if labels.last().is_some_and(|last| !last.is_empty()) {
        labels.push(Vec::new());
    }
    let wire: Vec<u8> = labels.iter().flat_map(|label| [&[label.len() as u8][..], label].concat()).collect();
    let whole = pagar::model::name::wire_len(&wire) == Some(wire.len());
    whole.then_some(wire).ok_or_else(|| format!("\"{text}\" is no name"))
}

fn to_name(wire: &[u8]) -> Result<Name, String> {
    Name::read(&mut BinDecoder::new(wire)).map_err(|error| error.to_string())
}

fn number<N: std::str::FromStr>(text: &str) -> Result<N, String> {
    text.parse().map_err(|_| format!("\"{text}\" is no number of the right size"))
}

fn named(table: &[(&str, u16)], name: &str) -> Option<u16> {
    table.iter().find(|(known, _)| *known == name).map(|(_, value)| *value)
}

//------ to octets ---------------------------------------------------------------------------------------------------------

impl Message {
    /// The message on the wire, names compressed as servers do.
    pub(super) fn encode(&self, id: u16) -> Result<Vec<u8>, String> {
        let mut octets = Vec::new();
        self.emit(id, &mut BinEncoder::new(&mut octets)).map_err(|error| error.to_string())?;
        Ok(octets)
    }

    fn emit(&self, id: u16, encoder: &mut BinEncoder<'_>) -> Result<(), hickory_proto::ProtoError> {
        encoder.emit_u16(id)?;
        encoder.emit_u16(self.flags | (self.opcode & 15) << 11 | self.rcode & 15)?;
        encoder.emit_u16(self.questions.len() as u16)?;
        for (n, section) in self.sections.iter().enumerate() {
            encoder.emit_u16(section.len() as u16 + u16::from(n == 2 && self.opt.is_some()))?;
        }
        for question in &self.questions {
            Name::read(&mut BinDecoder::new(&question.name)).expect("checked when read").emit(encoder)?;
            encoder.emit_u16(question.qtype)?;
            encoder.emit_u16(question.class)?;
        }
        for (n, section) in self.sections.iter().enumerate() {
            let before_opt = if n == 2 { self.opt_at.min(section.len()) } else { section.len() };
            section[..before_opt].iter().try_for_each(|record| record.emit(encoder))?;
            if let Some(opt) = self.opt.as_ref().filter(|_| n == 2) {
                encoder.emit_vec(&opt.encode(self.rcode))?;
            }
            section[before_opt..].iter().try_for_each(|record| record.emit(encoder))?;
        }
        Ok(())
    }
}

impl Opt {
    fn encode(&self, rcode: u16) -> Vec<u8> {
        let data: Vec<u8> = self
            .options
            .iter()
            .flat_map(|(code, data)| [&code.to_be_bytes()[..], &(data.len() as u16).to_be_bytes(), data].concat())
            .collect();
        let mut octets = vec![0, 0, OPT as u8];
        octets.extend(self.size.to_be_bytes());
        octets.extend([(rcode >> 4) as u8, self.version, u8::from(self.dnssec_ok) << 7, 0]);
        octets.extend((data.len() as u16).to_be_bytes());
        octets.extend(data);
        octets
    }
}

//------ from octets -------------------------------------------------------------------------------------------------------

impl Message {
    /// Reads a whole message; octets left over are an error.
    pub(super) fn decode(octets: &[u8]) -> Result<Self, String> {
        let u16_at = |at: usize| octets.get(at..at + 2).map(|two| u16::from_be_bytes([two[0], two[1]]));
        let header: Vec<u16> = [2, 4, 6, 8, 10].into_iter().filter_map(u16_at).collect();
        let [flags, counts @ ..] = &header[..] else { return Err("shorter than a header".into()) };
        let mut message =
            Self { flags: flags & 0x87f0, opcode: flags >> 11 & 15, rcode: flags & 15, ..Self::default() };
        let mut at = 12;
        for _ in 0..counts[0] {
            message.questions.push(read_question(octets, &mut at)?);
        }
        for (n, count) in counts[1..].iter().enumerate() {
            for _ in 0..*count {
                message.read_record(n, octets, &mut at)?;
            }
        }
        if at == octets.len() { Ok(message) } else { Err(format!("{} octets left over", octets.len() - at)) }
    }

    fn read_record(&mut self, section: usize, octets: &[u8], at: &mut usize) -> Result<(), String> {
        if octets.get(*at..*at + 3) == Some(&[0, 0, OPT as u8]) {
            if section != 2 || self.opt.is_some() {
                return Err("an OPT record too many, or in the wrong section".into());
            }
            let (opt, rcode) = Opt::read(octets, at).ok_or("the OPT record breaks off")?;
            self.rcode |= rcode << 4;
            self.opt = Some(opt);
            self.opt_at = self.sections[2].len();
            return Ok(());
        }
        let mut decoder = BinDecoder::new(octets).clone(*at as u16);
        let record = Record::<RData>::read(&mut decoder).map_err(|error| error.to_string())?;
        *at = decoder.index();
        self.sections[section].push(record);
        Ok(())
    }

    /// The form in which answers are compared and shown: that of the scenarios themselves.
    pub(super) fn lines(&self) -> Vec<String> {
        let flags = FLAGS.iter().filter(|(_, bit)| self.flags & bit != 0).map(|(flag, _)| format!(" {flag}"));
        let opcode = if self.opcode == 0 { String::new() } else { format!(" OPCODE={}", self.opcode) };
        let rcode = RCODES.iter().find(|(_, code)| *code == self.rcode);
        let rcode = rcode.map_or_else(|| format!("RCODE={}", self.rcode), |(name, _)| (*name).to_owned());
        let mut lines = vec![format!("REPLY{opcode}{} {rcode}", flags.collect::<String>())];
        lines.extend(self.opt.as_ref().map(Opt::line));
        lines.push("SECTION QUESTION".into());
        lines.extend(self.questions.iter().map(Question::line));
        for (section, records) in SECTIONS.iter().zip(&self.sections).filter(|(_, records)| !records.is_empty()) {
            lines.push(format!("SECTION {section}"));
            lines.extend(records.iter().map(line));
        }
        lines
    }
}

fn read_question(octets: &[u8], at: &mut usize) -> Result<Question, String> {
    let mut decoder = BinDecoder::new(octets).clone(*at as u16);
    let name = Name::read(&mut decoder).map_err(|error| error.to_string())?;
    let mut word = || decoder.read_u16().map(Restrict::unverified).map_err(|error| error.to_string());
    let question = Question { name: octets_of(&name), qtype: word()?, class: word()? };
    *at = decoder.index();
    Ok(question)
}

impl Opt {
    /// The record at `at`, and the upper bits of the response code in it.
    fn read(octets: &[u8], at: &mut usize) -> Option<(Self, u16)> {
        let [_, _, _, s0, s1, rcode, version, flags, _, l0, l1] = *octets.get(*at..)?.first_chunk()?;
        let end = *at + 11 + usize::from(u16::from_be_bytes([l0, l1]));
        let mut rest = octets.get(*at + 11..end)?;
        let mut options = Vec::new();
        while let Some(([c0, c1, n0, n1], tail)) = rest.split_first_chunk() {
            let (data, tail) = tail.split_at_checked(usize::from(u16::from_be_bytes([*n0, *n1])))?;
            options.push((u16::from_be_bytes([*c0, *c1]), data.to_vec()));
            rest = tail;
        }
        *at = end;
        let opt = Self { size: u16::from_be_bytes([s0, s1]), version, dnssec_ok: flags & 0x80 != 0, options };
        rest.is_empty().then_some((opt, u16::from(rcode)))
    }

    fn line(&self) -> String {
        let mut line = format!("OPT size={}", self.size);
        if self.version != 0 {
            line += &format!(" version={}", self.version);
        }
        if self.dnssec_ok {
            line += " DO";
        }
        for (code, data) in &self.options {
            line += &match (*code, &data[..]) {
                (EDE, [c0, c1]) => format!(" EDE {}", u16::from_be_bytes([*c0, *c1])),
                (EDE, [c0, c1, text @ ..]) => {
                    format!(" EDE {} {:?}", u16::from_be_bytes([*c0, *c1]), String::from_utf8_lossy(text))
                }
                (code, data) => format!(" option={code}:{}", hex(data)),
            };
        }
        line
    }
}

impl Question {
    pub(super) fn line(&self) -> String {
        let class = CLASSES.iter().find(|(_, class)| *class == self.class);
        let class = class.map_or_else(|| format!("CLASS{}", self.class), |(name, _)| (*name).to_owned());
        format!("{} {class} {}", wire_to_text(&self.name), type_name(RecordType::from(self.qtype)))
    }
}

/// One record as text; owner names, and names in the RDATA of types that may be compressed, in lower case, since an answer
/// may point to the question for them.
fn line(record: &Record) -> String {
    let class = if record.dns_class == DNSClass::IN { "IN".to_owned() } else { record.dns_class.to_string() };
    let data = match &record.data {
        RData::Unknown { rdata, .. } => format!("\\# {} {}", rdata.anything.len(), hex(&rdata.anything)),
        RData::Update0(_) => "\\# 0".to_owned(),
        RData::CNAME(_) | RData::MX(_) | RData::NS(_) | RData::PTR(_) | RData::SOA(_) => {
            record.data.to_string().to_ascii_lowercase()
        }
        data => data.to_string(),
    };
    let owner = wire_to_text(&octets_of(&record.name)).to_ascii_lowercase();
    format!("{owner} {} {class} {} {data}", record.ttl, type_name(record.record_type()))
}

fn type_name(rtype: RecordType) -> String {
    match rtype {
        RecordType::Unknown(code) => format!("TYPE{code}"),
        known => known.to_string(),
    }
}

fn octets_of(name: &Name) -> Vec<u8> {
    let mut wire: Vec<u8> = name.iter().flat_map(|label| [&[label.len() as u8][..], label].concat()).collect();
    wire.push(0);
    wire
}
