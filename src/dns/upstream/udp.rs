//! One question to one upstream over UDP, and what counts as its answer.
//!
//! The question goes out on one of the upstream's [`Sockets`](super::sockets::Sockets), drawn at random, under a random
//! id (RFC 5452 §9.2). What does not carry our id, our question and, if it has one, our cookie is ignored and listening
//! goes on (RFC 5452 §9.1, RFC 7873 §5.3).

use std::io;
use std::net::IpAddr;

use super::cookie::{Cookie, Returned};
use super::message::Edns;
use super::server::Server;
use crate::dns::answer::{Answer, Bad};
use crate::dns::listen::mmsg::RECEIVE;
use crate::dns::resolve::Question;
use crate::dns::wire::{HEADER, option, options, record, rtype, u16_at};

/// A message that answers the question.
#[derive(Debug)]
pub(super) struct Received {
    pub(super) outcome: Result<Answer, Bad>,
    /// It had an OPT record.
    pub(super) has_opt: bool,
    /// It should have had a cookie.
    pub(super) misses_cookie: bool,
    /// It is longer than the buffer: the kernel has cut it.
    pub(super) cut: bool,
    /// The upstream's half of our cookie.
    theirs: Option<Box<[u8]>>,
}

impl Received {
    /// The response code, as far as it can be told.
    pub(super) fn rcode(&self) -> Option<u16> {
        match &self.outcome {
            Ok(answer) => Some(answer.rcode()),
            Err(Bad::Error(code)) => Some(u16::from(*code)),
            Err(Bad::Malformed | Bad::Mismatch) => None,
        }
    }
}

/// Sends the question and waits for its answer for as long as the caller does.
pub(super) async fn exchange(server: &Server, question: &Question, edns: Edns) -> io::Result<Received> {
    let cookie = |own: IpAddr| (edns == Edns::Cookie).then(|| server.cookie(own));
    let mut waiting = server.sockets().ask(question, edns, cookie)?;
    let received = waiting.answer().await?;
    if let (Some(theirs), Some(cookie)) = (&received.theirs, waiting.cookie()) {
        server.learn(cookie, theirs);
    }
    Ok(received)
}

/// What a message with our id says, if it is the answer to the question with this section and cookie.
pub(super) fn received(message: &[u8], section: &[u8], cookie: Option<&Cookie>, trust_ad: bool) -> Option<Received> {
    let outcome = Answer::parse(message, section, trust_ad);
    if outcome == Err(Bad::Mismatch) {
        return None;
    }
    let opt = opt(message, section.len());
    let returned = cookie.map_or(Returned::None, |cookie| cookie.judge(opt.flatten()));
    let theirs = match returned {
        Returned::Foreign => return None,
        Returned::Ours(theirs) => theirs.map(Box::from),
        Returned::None | Returned::Missing => None,
    };
    let cut = outcome == Err(Bad::Malformed) && message.len() == RECEIVE;
    Some(Received { outcome, has_opt: opt.is_some(), misses_cookie: returned == Returned::Missing, cut, theirs })
}

/// The OPT record of a message with our question or none, and the COOKIE option in it.
pub(super) fn opt(message: &[u8], question: usize) -> Option<Option<&[u8]>> {
    let mut at = HEADER + if u16_at(message, 4)? == 0 { 0 } else { question };
    let records = [6, 8, 10].map(|place| u16_at(message, place).unwrap_or(0)).map(u32::from).iter().sum();
    for _ in 0..records {
        let record = record(message, at)?; // at least 11 octets each, so the message bounds the loop
        if record.rtype == rtype::OPT {
            let mut all = options(&message[record.rdata..record.end]);
            return Some(all.find_map(|each| each.filter(|(code, _)| *code == option::COOKIE)).map(|(_, data)| data));
        }
        at = record.end;
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::dns::upstream::message;

    fn question() -> Question {
        let section = b"\x03www\x07example\x00\x00\x01\x00\x01".to_vec();
        Question { section, dnssec_ok: true, checking_disabled: true }
    }

    proptest! {
        #[test]
        fn no_message_panics(octets in proptest::collection::vec(any::<u8>(), 0..200), counts in any::<[u8; 8]>()) {
            let asked = message::write([1, 2], &question(), Edns::Plain, None);
            let mut forged = asked[..HEADER + question().section.len()].to_vec();
            forged[4..12].copy_from_slice(&counts.map(|count| count & 1));
            forged.extend(octets);
            let _ = opt(&forged, question().section.len());
        }
    }
}
