//! [`Asked`]: a query and what came of it, held against what the scenario expects, line by line.

use tokio::task::JoinHandle;

use super::message::Message;
use super::script::{Ask, Expected};
use super::words::hex;

/// Largest datagram the UDP workers send.
pub(super) const DATAGRAM: usize = 1_232;

/// A query under way, or its answer.
pub(super) struct Asked {
    pub(super) number: u32,
    pub(super) ask: Ask,
    pub(super) sent: Vec<u8>,
    pub(super) got: Got,
    pub(super) checked: bool,
}

pub(super) enum Got {
    Nothing,
    Answer(Vec<u8>),
    Waiting(JoinHandle<Option<Vec<u8>>>),
}

impl Asked {
    pub(super) fn check(&self, expected: &Expected) -> Result<(), String> {
        let got = match &self.got {
            Got::Nothing if expected.no_answer => return Ok(()),
            Got::Waiting(_) if expected.waiting => return Ok(()),
            Got::Nothing => vec!["NO_ANSWER".to_owned()],
            Got::Waiting(_) => vec!["WAITING".to_owned()],
            Got::Answer(octets) => self.read(octets, expected)?,
        };
        same("the answer", &self.lines(expected), &got)
    }

    fn lines(&self, expected: &Expected) -> Vec<String> {
        match expected {
            Expected { no_answer: true, .. } => vec!["NO_ANSWER".to_owned()],
            Expected { waiting: true, .. } => vec!["WAITING".to_owned()],
            Expected { message, has_question, octets, .. } => {
                let mut message = message.clone();
                if !has_question {
                    message.questions.clone_from(&self.ask.message.questions);
                }
                let mut lines = message.lines();
                lines.extend(octets.map(|octets| format!("octets={octets}")));
                lines
            }
        }
    }

    /// The answer as text, after what holds for every answer: the id comes back, and it fits the client.
    fn read(&self, octets: &[u8], expected: &Expected) -> Result<Vec<String>, String> {
        let message = Message::decode(octets).map_err(|error| format!("{error}: {}", hex(octets)))?;
        if octets[..2] != self.sent[..2] {
            return Err(differs("the id", &hex(&self.sent[..2]), &hex(&octets[..2])));
        }
        let offered = self.ask.message.opt.as_ref().map_or(512, |opt| usize::from(opt.size).clamp(512, DATAGRAM));
        if !self.ask.tcp && octets.len() > offered {
            return Err(differs("octets of the answer", &format!("at most {offered}"), &octets.len().to_string()));
        }
        let mut lines = message.lines();
        lines.extend(expected.octets.map(|_| format!("octets={}", octets.len())));
        Ok(lines)
    }
}

pub(super) fn same(what: &str, expected: &[String], got: &[String]) -> Result<(), String> {
    if expected == got { Ok(()) } else { Err(differs(what, &expected.join("\n"), &got.join("\n"))) }
}

pub(super) fn differs(what: &str, expected: &str, got: &str) -> String {
    let indent = |text: &str| text.lines().map(|line| format!("\n        {line}")).collect::<String>();
    format!("{what}\n    expected:{}\n    got:{}", indent(expected), indent(got))
}
