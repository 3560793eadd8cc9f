//! [`Prefixes`]: which addresses are one client, to every limit that asks.

use std::net::IpAddr;

/// How many leading bits of an address tell one client, or network, from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prefixes {
    /// Of an IPv4 address, 32 at most.
    pub v4: u8,
    /// Of an IPv6 address, 128 at most.
    pub v6: u8,
}

impl Prefixes {
    /// What one client is if nobody says otherwise: an IPv4 address, or an IPv6 /56, which is what a subscriber is
    /// delegated (RIPE-690 §4.2). Larger ones are several clients; in a smaller one, neighbours share what one may have.
    pub const CLIENT: Self = Self { v4: 32, v6: 56 };

    /// What one network is to response rate limiting (ISC-TN-2012-1 §2.2).
    pub const NETWORK: Self = Self { v4: 24, v6: 56 };

    /// What all addresses of one client have in common; IPv4 stands in the mapped range ::ffff:0:0/96.
    pub fn of(self, client: IpAddr) -> u128 {
        let (bits, length) = match client.to_canonical() {
            IpAddr::V4(v4) => (v4.to_ipv6_mapped().to_bits(), 96 + u32::from(self.v4.min(32))),
            IpAddr::V6(v6) => (v6.to_bits(), u32::from(self.v6.min(128))),
        };
        bits & u128::MAX.checked_shl(128 - length).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ends_of_a_prefix_are_one_client() {
        let of = |v4, v6, client: &str| Prefixes { v4, v6 }.of(client.parse().unwrap());
        assert_eq!(of(24, 56, "192.0.2.0"), of(24, 56, "::ffff:192.0.2.255"));
        assert_ne!(of(24, 56, "192.0.2.0"), of(24, 56, "192.0.3.0"));
        assert_eq!(of(24, 56, "2001:db8::"), of(24, 56, "2001:db8:0:ff::1"));
        assert_ne!(of(24, 56, "2001:db8::"), of(24, 56, "2001:db8:0:100::"));
        assert_ne!(of(32, 128, "192.0.2.0"), of(32, 128, "192.0.2.1"));
        assert_ne!(of(0, 0, "192.0.2.0"), of(0, 0, "2001:db8::"));
        assert_eq!(of(0, 0, "192.0.2.0"), of(0, 0, "198.51.100.1"));
    }
}
