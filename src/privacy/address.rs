//! Networks of addresses, for `truncate`.
//!
//! IPv4 is cut to /24, IPv6 to /48. An IPv6 address that is made of one of IPv4, by a fixed rule, is
//! taken for that one: the first 48 bits of a 6to4 address are its host's IPv4 address, whole.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::table::Revision;

/// Returns the network of an address.
pub(super) fn network(address: IpAddr, revision: Revision) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(v4) => IpAddr::V4(network_v4(v4)),
        IpAddr::V6(v6) => match embedded(v6).filter(|_| revision >= Revision::Fourth) {
            Some(v4) => IpAddr::V4(network_v4(v4)),
            None => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & (u128::MAX << 80))),
        },
    }
}

fn network_v4(address: Ipv4Addr) -> Ipv4Addr {
    Ipv4Addr::from_bits(address.to_bits() & 0xffff_ff00)
}

/// Returns the IPv4 address of the host that a tunnel or a translator made an IPv6 address for.
/// `::ffff:0:0/96` is none of them here: it is IPv4 already.
fn embedded(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let from = |high: u16, low: u16| Ipv4Addr::from_bits((u32::from(high) << 16) | u32::from(low));
    match address.segments() {
        // 6to4, RFC 3056.
        [0x2002, high, low, ..] => Some(from(high, low)),
        // Teredo, RFC 4380: the client's address has its bits turned; the one before is the server's.
        [0x2001, 0, .., high, low] => Some(from(!high, !low)),
        // NAT64, RFC 6052.
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => Some(from(high, low)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(address: &str, revision: Revision) -> String {
        network(address.parse().unwrap(), revision).to_string()
    }

    #[test]
    fn an_address_that_holds_one_of_ipv4_is_cut_as_that_one() {
        for (address, network) in [
            ("192.0.2.4", "192.0.2.0"),
            ("::ffff:192.0.2.4", "192.0.2.0"),
            ("2002:c000:204::", "192.0.2.0"),
            ("2002:c000:204:1::5", "192.0.2.0"),
            // The example of RFC 4380: the client 192.0.2.45 behind the server 65.54.227.120.
            ("2001:0:4136:e378:8000:63bf:3fff:fdd2", "192.0.2.0"),
            ("64:ff9b::192.0.2.4", "192.0.2.0"),
            // These are others: the rest of 2001::/23, a translator's own prefix, one bit beside.
            ("2001:db8:1:2:3::4", "2001:db8:1::"),
            ("2001:1:4136:e378:8000:63bf:3fff:fdd2", "2001:1:4136::"),
            ("64:ff9b:1::192.0.2.4", "64:ff9b:1::"),
            ("64:ff9b::1:c000:204", "64:ff9b::"),
            ("2003:c000:204::1", "2003:c000:204::"),
        ] {
            assert_eq!(cut(address, Revision::LATEST), network, "{address}");
        }
    }

    #[test]
    fn a_roll_that_an_earlier_build_has_sealed_is_cut_as_it_was() {
        assert_eq!(cut("2002:c000:204::1", Revision::Third), "2002:c000:204::");
        assert_eq!(cut("64:ff9b::192.0.2.4", Revision::First), "64:ff9b::");
        assert_eq!(cut("::ffff:192.0.2.4", Revision::First), "192.0.2.0");
    }
}
