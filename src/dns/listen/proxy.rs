//! [`parse`]: the header of the PROXY protocol, version 2, by which a balancer says who its client is.
//!
//! Source: *The PROXY protocol*, versions 1 and 2 (HAProxy, 2020), §2.2. Pure and without allocation. Only the client's
//! address is used; what else the header holds is measured and passed over. Version 1, a line of text, is refused: it
//! has no datagrams, and two forms would be two parsers to trust.
//!
//! Who may send one is `[dns.proxy] from`: from there every connection and every datagram must begin with it, from
//! elsewhere it is never looked for. So nobody can give himself another address by writing one.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Octets every header begins with: signature, version and command, family and protocol, length of the rest.
pub const PREFIX: usize = 16;
/// Longest rest taken: addresses and TLVs. Balancers write some hundred octets; the length field allows 65,535.
pub const MAX_REST: usize = 2_048;

const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
const LOCAL: u8 = 0x20;
const PROXY: u8 = 0x21;
/// TCP and UDP, for IPv4 and IPv6. A balancer may ask by the one what its client asked by the other.
const V4: [u8; 2] = [0x11, 0x12];
const V6: [u8; 2] = [0x21, 0x22];

/// A header that was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Whose message follows; `None`: the balancer's own, as its health checks are (command LOCAL).
    pub client: Option<IpAddr>,
    /// Octets of the header: the message begins behind them.
    pub len: usize,
}

/// Why octets are no header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// They end within it.
    #[error("the header is cut off")]
    Short,
    /// They begin with something else: no header, or one of version 1.
    #[error("no PROXY header of version 2")]
    Signature,
    /// A version or command this program does not know; the specification asks for closing.
    #[error("unknown version or command")]
    Command,
    /// Neither IPv4 nor IPv6, or not over TCP or UDP: nothing to hold against `[dns] allow`.
    #[error("a client without an IP address")]
    Family,
    /// More than [`MAX_REST`], or too little for the addresses.
    #[error("a length that cannot be")]
    Length,
}

/// The whole header's length, told by its first [`PREFIX`] octets.
pub fn length(prefix: &[u8; PREFIX]) -> Result<usize, Fault> {
    let rest = usize::from(u16::from_be_bytes([prefix[14], prefix[15]]));
    if !prefix.starts_with(SIGNATURE) {
        return Err(Fault::Signature);
    }
    if prefix[12] != LOCAL && prefix[12] != PROXY {
        return Err(Fault::Command);
    }
    if rest > MAX_REST { Err(Fault::Length) } else { Ok(PREFIX + rest) }
}

/// Reads the header at the start of `octets`.
pub fn parse(octets: &[u8]) -> Result<Header, Fault> {
    let Some(prefix) = octets.first_chunk::<PREFIX>() else {
        let looks_right = SIGNATURE.starts_with(octets) || octets.starts_with(SIGNATURE);
        return Err(if looks_right { Fault::Short } else { Fault::Signature });
    };
    let len = length(prefix)?;
    let rest = octets.get(PREFIX..len).ok_or(Fault::Short)?;
    if prefix[12] == LOCAL {
        return Ok(Header { client: None, len }); // whatever addresses stand there mean nothing
    }
    let client: IpAddr = match prefix[13] {
        family if V4.contains(&family) => Ipv4Addr::from(source(rest, 12)?).into(),
        family if V6.contains(&family) => Ipv6Addr::from(source(rest, 36)?).into(),
        _ => return Err(Fault::Family),
    };
    Ok(Header { client: Some(client.to_canonical()), len })
}

/// The source address, which stands first among addresses and ports that take `all` octets.
fn source<const N: usize>(rest: &[u8], all: usize) -> Result<[u8; N], Fault> {
    rest.get(..all).and_then(|addresses| addresses.first_chunk()).copied().ok_or(Fault::Length)
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::{any, prop_assert, prop_assert_eq, proptest};

    use super::*;

    fn header(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
        let len = u16::try_from(rest.len()).unwrap().to_be_bytes();
        [&SIGNATURE[..], &[command, family], &len, rest].concat()
    }

    fn client(text: &str, len: usize) -> Result<Header, Fault> {
        Ok(Header { client: Some(text.parse().unwrap()), len })
    }

    #[test]
    fn clients_of_both_families_and_transports() {
        let v4 = [192, 0, 2, 1, 198, 51, 100, 1, 0x30, 0x39, 0, 53];
        let v6 = [&"2001:db8::1".parse::<Ipv6Addr>().unwrap().octets()[..], &[9; 20]].concat();
        for transport in [1, 2] {
            assert_eq!(parse(&header(PROXY, 0x10 | transport, &v4)), client("192.0.2.1", 28));
            assert_eq!(parse(&header(PROXY, 0x20 | transport, &v6)), client("2001:db8::1", 52));
        }
        let mapped = [&Ipv4Addr::new(192, 0, 2, 7).to_ipv6_mapped().octets()[..], &[0; 20]].concat();
        assert_eq!(parse(&header(PROXY, 0x21, &mapped)), client("192.0.2.7", 52), "one client, one spelling");
    }

    #[test]
    fn what_follows_the_addresses_is_passed_over() {
        let rest = [&[192, 0, 2, 1, 0, 0, 0, 0, 0, 0, 0, 0][..], b"\x04\x00\x03\0\0\0\x03\xff\xff"].concat();
        let octets = [header(PROXY, 0x11, &rest), b"message".to_vec()].concat();
        assert_eq!(parse(&octets), client("192.0.2.1", 16 + rest.len()));
    }

    #[test]
    fn the_balancer_speaks_for_itself() {
        let local = |family, rest: &[u8]| parse(&header(LOCAL, family, rest));
        assert_eq!(local(0, &[]), Ok(Header { client: None, len: 16 }));
        assert_eq!(local(0x11, &[192, 0, 2, 1]), Ok(Header { client: None, len: 20 }), "addresses are discarded");
    }

    #[test]
    fn what_is_no_header_is_refused() {
        let v4 = [0; 12];
        for (octets, fault) in [
            (b"PROXY TCP4 192.0.2.1 192.0.2.2 12345 53\r\n".to_vec(), Fault::Signature),
            (b"\x12\x34\x01\0\0\x01\0\0\0\0\0\0\x03www\0\0\x01\0\x01".to_vec(), Fault::Signature),
            (Vec::new(), Fault::Short),
            (SIGNATURE.to_vec(), Fault::Short),
            (header(PROXY, 0x11, &v4)[..27].to_vec(), Fault::Short),
            (header(0x11, 0x11, &v4), Fault::Command),
            (header(0x22, 0x11, &v4), Fault::Command),
            (header(0x31, 0x11, &v4), Fault::Command),
            (header(PROXY, 0x00, &v4), Fault::Family),
            (header(PROXY, 0x10, &v4), Fault::Family),
            (header(PROXY, 0x13, &v4), Fault::Family),
            (header(PROXY, 0x31, &[0; 216]), Fault::Family),
            (header(PROXY, 0x11, &v4[..11]), Fault::Length),
            (header(PROXY, 0x21, &[0; 35]), Fault::Length),
            (header(PROXY, 0x11, &[0; MAX_REST + 1]), Fault::Length),
        ] {
            assert_eq!(parse(&octets), Err(fault), "{octets:02x?}");
        }
        assert!(parse(&header(PROXY, 0x11, &[0; MAX_REST])).is_ok());
    }

    proptest! {
        #[test]
        fn any_octets_are_survived(octets in vec(any::<u8>(), 0..100), signed in any::<bool>()) {
            let octets = if signed { [&SIGNATURE[..], &octets].concat() } else { octets };
            if let Ok(header) = parse(&octets) {
                prop_assert!(header.len <= octets.len() && header.len >= PREFIX);
            }
        }

        #[test]
        fn a_cut_header_is_short_and_nothing_else(rest in vec(any::<u8>(), 12..80), cut in 0..12usize, own: bool) {
            let whole = header(if own { LOCAL } else { PROXY }, 0x11, &rest);
            prop_assert!(parse(&whole).is_ok());
            prop_assert_eq!(parse(&whole[..whole.len() - 1 - cut]), Err(Fault::Short));
        }

        #[test]
        fn the_address_comes_back(address in any::<u128>(), tail in vec(any::<u8>(), 20..60)) {
            let octets = header(PROXY, 0x22, &[&address.to_be_bytes()[..], &tail].concat());
            let expected = IpAddr::from(Ipv6Addr::from_bits(address)).to_canonical();
            prop_assert_eq!(parse(&octets), Ok(Header { client: Some(expected), len: octets.len() }));
        }
    }
}
