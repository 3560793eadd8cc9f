//! Client networks: which addresses a rule is about, and which clients are exempt from restrictions.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;

use jiff::Timestamp;

/// An IPv4 or IPv6 network in CIDR notation, host bits zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Network {
    bits: u128, // IPv4 stands in the mapped range ::ffff:0:0/96
    mask: u128,
    v4: bool,
}

/// Why a text is not a network.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NetworkError {
    /// Not `address/length` with a length the family has.
    #[error("not a network")]
    Syntax,
    /// RFC 4632 §3.1: a prefix has no host bits; the likely one is named.
    #[error("host bits are set below /{length}")]
    HostBits {
        /// The length as written.
        length: u8,
        /// The network with its host bits cleared.
        network: String,
    },
}

impl Network {
    /// Whether the address lies in the network; an IPv4-mapped IPv6 address counts as IPv4.
    pub fn contains(&self, address: IpAddr) -> bool {
        self.has(to_bits(address))
    }

    fn has(&self, (bits, v4): (u128, bool)) -> bool {
        v4 == self.v4 && bits & self.mask == self.bits
    }
}

fn to_bits(address: IpAddr) -> (u128, bool) {
    match address.to_canonical() {
        IpAddr::V4(v4) => (v4.to_ipv6_mapped().to_bits(), true),
        IpAddr::V6(v6) => (v6.to_bits(), false),
    }
}

impl FromStr for Network {
    type Err = NetworkError;

    /// Reads `address/length`, or a bare address as a network of one.
    fn from_str(text: &str) -> Result<Self, NetworkError> {
        let (address, length) = match text.split_once('/') {
            Some((address, length)) => (address, Some(length.parse::<u8>().map_err(|_| NetworkError::Syntax)?)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| NetworkError::Syntax)?;
        let (bits, v4) = to_bits(address);
        let width = if v4 { 32 } else { 128 };
        let length = length.unwrap_or(width);
        if length > width {
            return Err(NetworkError::Syntax);
        }
        let mask = u128::MAX.checked_shl(u32::from(width - length)).unwrap_or(0);
        let network = Self { bits: bits & mask, mask, v4 };
        if network.bits != bits {
            return Err(NetworkError::HostBits { length, network: network.to_string() });
        }
        Ok(network)
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let address = Ipv6Addr::from_bits(self.bits);
        let length = self.mask.leading_ones();
        match address.to_ipv4_mapped().filter(|_| self.v4) {
            Some(v4) => write!(f, "{v4}/{}", length.saturating_sub(96)),
            None => write!(f, "{address}/{length}"),
        }
    }
}

/// A set of networks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Networks(Vec<Network>);

impl Networks {
    /// Whether any of them contains the address.
    pub fn contains(&self, address: IpAddr) -> bool {
        let bits = to_bits(address);
        self.0.iter().any(|network| network.has(bits))
    }
}

impl FromIterator<Network> for Networks {
    fn from_iter<I: IntoIterator<Item = Network>>(networks: I) -> Self {
        Self(networks.into_iter().collect())
    }
}

/// Clients that are not restricted: for these a listed name is answered as if it were not listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exemption {
    /// Whose clients.
    pub networks: Networks,
    /// The legal reason, for people.
    pub reason: String,
    /// When it ends; from this instant on the clients are restricted like all others.
    pub until: Timestamp,
}

/// All exemptions of the configuration, in its order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Exemptions(Vec<Exemption>);

impl Exemptions {
    /// The first exemption that holds for the client. The time is asked for only if one names the client at all.
    pub fn of(&self, client: IpAddr, now: impl Fn() -> Timestamp) -> Option<&Exemption> {
        self.0.iter().find(|exemption| exemption.networks.contains(client) && now() < exemption.until)
    }
}

impl FromIterator<Exemption> for Exemptions {
    fn from_iter<I: IntoIterator<Item = Exemption>>(exemptions: I) -> Self {
        Self(exemptions.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exemption_ends_and_asks_the_time_of_its_own_clients_only() {
        let second = |second| Timestamp::from_second(second).unwrap();
        let exemption = |network: &str, until| Exemption {
            networks: [net(network)].into_iter().collect(),
            reason: network.into(),
            until: second(until),
        };
        let all = Exemptions::from_iter([exemption("192.0.2.0/28", 100), exemption("192.0.2.0/24", 200)]);
        let reason = |client: &str, at| all.of(client.parse().unwrap(), || second(at)).map(|one| one.reason.as_str());
        assert_eq!(reason("192.0.2.1", 99), Some("192.0.2.0/28"));
        assert_eq!(reason("192.0.2.1", 100), Some("192.0.2.0/24"), "the next one holds still");
        assert_eq!(reason("::ffff:192.0.2.1", 199), Some("192.0.2.0/24"));
        assert_eq!(reason("192.0.2.1", 200), None);
        assert!(all.of("192.0.3.1".parse().unwrap(), || panic!("no clock is read for others")).is_none());
    }

    fn net(text: &str) -> Network {
        text.parse().unwrap()
    }

    #[test]
    fn families_do_not_mix_except_mapped_addresses() {
        let v4 = net("192.0.2.0/24");
        assert!(v4.contains("192.0.2.255".parse().unwrap()));
        assert!(v4.contains("::ffff:192.0.2.1".parse().unwrap()));
        assert!(!v4.contains("192.0.3.0".parse().unwrap()));
        assert!(!net("0.0.0.0/0").contains("2001:db8::1".parse().unwrap()));
        assert!(!net("::/0").contains("192.0.2.1".parse().unwrap()));
        assert!(net("0.0.0.0/0").contains("255.255.255.255".parse().unwrap()));
        assert!(net("::/0").contains("2001:db8::1".parse().unwrap()));
        assert!(net("::1").contains("::1".parse().unwrap()));
    }

    #[test]
    fn mistakes_are_named() {
        assert_eq!("192.0.2.0/33".parse::<Network>(), Err(NetworkError::Syntax));
        assert_eq!("example".parse::<Network>(), Err(NetworkError::Syntax));
        let error = "192.0.2.1/24".parse::<Network>().unwrap_err();
        assert_eq!(error, NetworkError::HostBits { length: 24, network: "192.0.2.0/24".into() });
    }

    #[test]
    fn text_comes_back() {
        for text in ["192.0.2.0/24", "0.0.0.0/0", "2001:db8::/32", "::/0", "::1/128"] {
            assert_eq!(net(text).to_string(), text);
        }
    }
}
