//! Peers, and the networks that they are part of.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A sender, as far as its address tells: an IPv4 address or an IPv6 /64.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Peer(IpAddr);

/// A network: its first address, and the length of its prefix in bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Network {
    address: IpAddr,
    prefix: u8,
}

/// The prefixes of networks that share what is scarce, the widest first. The last is a peer's.
const V4_PREFIXES: &[u8] = &[24, 32];
const V6_PREFIXES: &[u8] = &[48, 56, 64];

fn widest_prefix(address: IpAddr) -> u8 {
    if address.is_ipv4() { 24 } else { 48 }
}

impl Peer {
    /// Returns the peer at `address`.
    #[must_use]
    pub fn of(address: IpAddr) -> Peer {
        match address.to_canonical() {
            v6 @ IpAddr::V6(_) => Peer(Network::of(v6, 64).address),
            v4 => Peer(v4),
        }
    }

    /// Returns the networks that the peer is part of, the widest first: /24 and the address itself for
    /// IPv4; /48, /56 and the /64 itself for IPv6.
    pub fn networks(self) -> impl Iterator<Item = Network> {
        let prefixes = if self.0.is_ipv4() { V4_PREFIXES } else { V6_PREFIXES };
        prefixes.iter().map(move |prefix| Network::of(self.0, *prefix))
    }

    /// Returns the widest of [`networks`](Self::networks).
    #[must_use]
    pub fn widest_network(self) -> Network {
        Network::of(self.0, widest_prefix(self.0))
    }
}

impl Network {
    /// Returns whether it is the widest of its peers' networks.
    pub(super) fn is_widest(self) -> bool {
        self.prefix == widest_prefix(self.address)
    }

    fn of(address: IpAddr, prefix: u8) -> Network {
        let address = match address {
            IpAddr::V4(v4) => {
                let mask = u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0);
                IpAddr::V4(Ipv4Addr::from_bits(v4.to_bits() & mask))
            }
            IpAddr::V6(v6) => {
                let mask = u128::MAX.checked_shl(128 - u32::from(prefix)).unwrap_or(0);
                IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & mask))
            }
        };
        Network { address, prefix }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(text: &str) -> Peer {
        Peer::of(text.parse().unwrap())
    }

    #[test]
    fn a_peer_is_a_v4_address_or_a_v6_network() {
        assert_eq!(peer("::ffff:10.0.0.1"), peer("10.0.0.1"));
        assert_ne!(peer("10.0.0.1"), peer("10.0.0.2"));
        assert_eq!(peer("2001:db8::1"), peer("2001:db8::ffff:1"));
        assert_ne!(peer("2001:db8::1"), peer("2001:db8:0:1::1"));
    }

    #[test]
    fn networks_are_a_24_or_a_48_and_a_56() {
        let networks = |text| {
            let networks = peer(text).networks();
            networks.map(|n| format!("{}/{}", n.address, n.prefix)).collect::<Vec<_>>()
        };
        assert_eq!(networks("::ffff:192.0.2.77"), ["192.0.2.0/24", "192.0.2.77/32"]);
        let v6 = ["2001:db8:1::/48", "2001:db8:1:2200::/56", "2001:db8:1:2233::/64"];
        assert_eq!(networks("2001:db8:1:2233:4455::6"), v6);
        for text in ["192.0.2.77", "2001:db8:1:2233:4455::6"] {
            assert_eq!(Some(peer(text).widest_network()), peer(text).networks().next());
        }
    }
}
