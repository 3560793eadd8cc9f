//! The message a question is sent in, by UDP and by TCP: RD, AD (RFC 6840 §5.7), CD as asked, an OPT record of ours and
//! nothing of the client's.

use super::cookie::Cookie;
use crate::dns::reply::UDP_SIZE;
use crate::dns::resolve::Question;
use crate::dns::wire::{HEADER, option, rtype};

/// What is sent in the OPT record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Edns {
    /// An OPT with a cookie.
    Cookie,
    /// An OPT.
    Plain,
    /// No OPT record.
    None,
}

/// The message with this id; `cookie` only where `edns` asks for one.
pub(super) fn write(id: [u8; 2], question: &Question, edns: Edns, cookie: Option<&Cookie>) -> Vec<u8> {
    let mut message = Vec::with_capacity(HEADER + question.section.len() + 55);
    message.extend_from_slice(&id);
    message.extend_from_slice(&[0x01, 0x20 | u8::from(question.checking_disabled) << 4]);
    for count in [1, 0, 0, u16::from(edns != Edns::None)] {
        message.extend_from_slice(&count.to_be_bytes());
    }
    message.extend_from_slice(&question.section);
    if edns == Edns::None {
        return message;
    }
    message.push(0);
    message.extend_from_slice(&rtype::OPT.to_be_bytes());
    message.extend_from_slice(&(UDP_SIZE as u16).to_be_bytes());
    message.extend_from_slice(&[0, 0, u8::from(question.dnssec_ok) << 7, 0]);
    let cookie = cookie.map_or(&[][..], Cookie::octets);
    if cookie.is_empty() {
        message.extend_from_slice(&[0, 0]);
        return message;
    }
    let len = cookie.len() as u16; // 40 at the most
    for field in [len + 4, option::COOKIE, len] {
        message.extend_from_slice(&field.to_be_bytes());
    }
    message.extend_from_slice(cookie);
    message
}

#[cfg(test)]
mod tests {
    use hickory_proto::op::Message;

    use super::*;
    use crate::dns::upstream::cookie::Jar;

    #[test]
    fn the_message_is_well_formed_in_each_form() {
        let section = b"\x03www\x07example\x00\x00\x01\x00\x01".to_vec();
        let question = Question { section, dnssec_ok: true, checking_disabled: true };
        let local = [192, 0, 2, 1].into();
        let mut jar = Jar::new(0);
        let short = jar.cookie(local, local, 0);
        jar.learn(&short, &[5; 32]);
        let long = jar.cookie(local, local, 0);
        for (edns, cookie) in
            [(Edns::Cookie, Some(&short)), (Edns::Cookie, Some(&long)), (Edns::Plain, None), (Edns::None, None)]
        {
            let octets = write([1, 2], &question, edns, cookie);
            let parsed = Message::from_vec(&octets).unwrap();
            assert!(parsed.metadata.recursion_desired && parsed.metadata.checking_disabled);
            assert_eq!(parsed.edns.is_some(), edns != Edns::None);
            if let Some(edns) = &parsed.edns {
                assert!(edns.flags().dnssec_ok && edns.max_payload() == 1232);
                assert_eq!(edns.options().options.len(), usize::from(cookie.is_some()));
            }
            let found = crate::dns::upstream::udp::opt(&octets, question.section.len());
            assert_eq!(found, (edns != Edns::None).then(|| cookie.map(Cookie::octets)));
        }
    }
}
