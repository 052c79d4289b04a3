//! Which addresses a request may go to.
//!
//! The table follows the IANA registries of special-purpose addresses (RFC 6890 and its updates), and the addresses at which
//! clouds offer metadata and credentials to their machines. Everything that is not known to be public is refused.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What an address is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// An address of the internet.
    Public,
    /// This machine.
    Loopback,
    /// A private network.
    Private,
    /// An address that no request may go to, with the reason: the rest of a sentence about the address.
    Forbidden(&'static str),
}

const LINK_LOCAL: &str = "is link-local, where clouds offer metadata and credentials";
const METADATA: &str = "is where a cloud offers metadata and credentials";
const UNSPECIFIED: &str = "is unspecified, which means this machine";
const MULTICAST: &str = "is a multicast or broadcast address";
const RESERVED: &str = "is reserved";
const DOCUMENTATION: &str = "is for documentation and measurements";
const TRANSITION: &str = "contains an address of IPv4, which a gateway would connect to";

/// Ranges of IPv4 that are not public: address, length of the prefix, class. The first that contains an address counts.
const V4: &[([u8; 4], u32, Class)] = &[
    ([169, 254, 0, 0], 16, Class::Forbidden(LINK_LOCAL)),
    // Alibaba Cloud, in the shared range.
    ([100, 100, 100, 200], 32, Class::Forbidden(METADATA)),
    // Azure's host, in a public range.
    ([168, 63, 129, 16], 32, Class::Forbidden(METADATA)),
    // Oracle Cloud, in the range of IETF protocols.
    ([192, 0, 0, 192], 32, Class::Forbidden(METADATA)),
    ([0, 0, 0, 0], 8, Class::Forbidden(UNSPECIFIED)),
    ([127, 0, 0, 0], 8, Class::Loopback),
    ([10, 0, 0, 0], 8, Class::Private),
    ([172, 16, 0, 0], 12, Class::Private),
    ([192, 168, 0, 0], 16, Class::Private),
    // Shared by the customers of a provider (RFC 6598).
    ([100, 64, 0, 0], 10, Class::Private),
    ([192, 0, 0, 0], 24, Class::Forbidden(RESERVED)),
    ([192, 0, 2, 0], 24, Class::Forbidden(DOCUMENTATION)),
    ([198, 51, 100, 0], 24, Class::Forbidden(DOCUMENTATION)),
    ([203, 0, 113, 0], 24, Class::Forbidden(DOCUMENTATION)),
    ([198, 18, 0, 0], 15, Class::Forbidden(DOCUMENTATION)),
    // Relays of 6to4.
    ([192, 88, 99, 0], 24, Class::Forbidden(RESERVED)),
    ([224, 0, 0, 0], 4, Class::Forbidden(MULTICAST)),
    ([255, 255, 255, 255], 32, Class::Forbidden(MULTICAST)),
    ([240, 0, 0, 0], 4, Class::Forbidden(RESERVED)),
];

/// Ranges of IPv6, likewise. An address in none of them is refused.
const V6: &[([u16; 8], u32, Class)] = &[
    ([0, 0, 0, 0, 0, 0, 0, 1], 128, Class::Loopback),
    ([0, 0, 0, 0, 0, 0, 0, 0], 128, Class::Forbidden(UNSPECIFIED)),
    // The deprecated form of an address of IPv4.
    ([0, 0, 0, 0, 0, 0, 0, 0], 96, Class::Forbidden(TRANSITION)),
    // Of RFC 2765. Mapped addresses are read as those of IPv4 before.
    (
        [0, 0, 0, 0, 0xffff, 0, 0, 0],
        96,
        Class::Forbidden(TRANSITION),
    ),
    // NAT64 with a network's own prefix: where in it the address of IPv4 is depends on the network.
    (
        [0x64, 0xff9b, 1, 0, 0, 0, 0, 0],
        48,
        Class::Forbidden(TRANSITION),
    ),
    // Teredo, which contains the addresses of a server and a client.
    (
        [0x2001, 0, 0, 0, 0, 0, 0, 0],
        32,
        Class::Forbidden(TRANSITION),
    ),
    (
        [0x2001, 0xdb8, 0, 0, 0, 0, 0, 0],
        32,
        Class::Forbidden(DOCUMENTATION),
    ),
    // Protocols of the IETF.
    (
        [0x2001, 0, 0, 0, 0, 0, 0, 0],
        23,
        Class::Forbidden(RESERVED),
    ),
    // 6to4.
    (
        [0x2002, 0, 0, 0, 0, 0, 0, 0],
        16,
        Class::Forbidden(TRANSITION),
    ),
    (
        [0x3fff, 0, 0, 0, 0, 0, 0, 0],
        20,
        Class::Forbidden(DOCUMENTATION),
    ),
    (
        [0xfe80, 0, 0, 0, 0, 0, 0, 0],
        10,
        Class::Forbidden(LINK_LOCAL),
    ),
    // Of a site: deprecated.
    (
        [0xfec0, 0, 0, 0, 0, 0, 0, 0],
        10,
        Class::Forbidden(RESERVED),
    ),
    (
        [0xff00, 0, 0, 0, 0, 0, 0, 0],
        8,
        Class::Forbidden(MULTICAST),
    ),
    // Amazon's machines: metadata, time and names.
    (
        [0xfd00, 0xec2, 0, 0, 0, 0, 0, 0],
        32,
        Class::Forbidden(METADATA),
    ),
    // Google's.
    (
        [0xfd20, 0xce, 0, 0, 0, 0, 0, 0],
        32,
        Class::Forbidden(METADATA),
    ),
    ([0xfc00, 0, 0, 0, 0, 0, 0, 0], 7, Class::Private),
    ([0x2000, 0, 0, 0, 0, 0, 0, 0], 3, Class::Public),
];

/// Classifies an address.
pub fn class(address: IpAddr) -> Class {
    match address.to_canonical() {
        IpAddr::V4(address) => class_v4(address),
        IpAddr::V6(address) => class_v6(address),
    }
}

fn class_v4(address: Ipv4Addr) -> Class {
    let found = V4.iter().find(|(start, length, _)| {
        let mask = u32::MAX << (32 - length);
        u32::from(address) & mask == u32::from(Ipv4Addr::from(*start))
    });
    found.map_or(Class::Public, |(_, _, class)| *class)
}

fn class_v6(address: Ipv6Addr) -> Class {
    // The well-known prefix of NAT64, which networks without IPv4 use to reach public addresses of it.
    if let [0x64, 0xff9b, 0, 0, 0, 0, high, low] = address.segments() {
        let embedded = Ipv4Addr::from(u32::from(high) << 16 | u32::from(low));
        return match class_v4(embedded) {
            Class::Public => Class::Public,
            Class::Loopback | Class::Private => Class::Forbidden(TRANSITION),
            forbidden @ Class::Forbidden(_) => forbidden,
        };
    }
    // ISATAP, in any network: the last 32 bits are an address of IPv4.
    if let [.., 0 | 0x200, 0x5efe, _, _] = address.segments() {
        return Class::Forbidden(TRANSITION);
    }
    let found = V6.iter().find(|(start, length, _)| {
        let mask = u128::MAX << (128 - length);
        u128::from(address) & mask == u128::from(Ipv6Addr::from(*start))
    });
    found.map_or(Class::Forbidden(RESERVED), |(_, _, class)| *class)
}

/// Checks that a request may go to an address. `is_named` tells whether the grant names it: by this address in a pattern, or, for
/// this machine, as `localhost`.
///
/// # Errors
/// The rest of a sentence about the address, such as `is private`.
pub fn check(address: IpAddr, is_named: bool) -> Result<(), &'static str> {
    match (class(address), is_named) {
        (Class::Public, _) | (Class::Loopback | Class::Private, true) => Ok(()),
        (Class::Loopback, false) => Err("is this machine"),
        (Class::Private, false) => Err("is private"),
        (Class::Forbidden(why), _) => Err(why),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(address: &str) -> IpAddr {
        address
            .parse()
            .unwrap_or_else(|_| panic!("{address} is no address"))
    }

    #[test]
    fn public_addresses_are_allowed_named_or_not() {
        for address in [
            "1.1.1.1",
            "9.255.255.255",
            "11.0.0.0",
            "93.184.216.34",
            "100.63.255.255",
            "100.128.0.0",
            "126.255.255.255",
            "128.0.0.0",
            "168.63.129.15",
            "169.253.255.255",
            "169.255.0.0",
            "172.15.255.255",
            "172.32.0.0",
            "192.0.1.0",
            "192.167.255.255",
            "192.169.0.0",
            "198.17.255.255",
            "198.20.0.0",
            "223.255.255.255",
            "2001:200::1",
            "2606:4700:4700::1111",
            "2a00:1450:4001::1",
            "3ffe::1",
            "::ffff:1.1.1.1",
            "64:ff9b::1.1.1.1",
        ] {
            assert_eq!(class(parse(address)), Class::Public, "{address}");
            assert_eq!(check(parse(address), false), Ok(()), "{address}");
            assert_eq!(check(parse(address), true), Ok(()), "{address}");
        }
    }

    #[test]
    fn this_machine_and_private_networks_are_allowed_if_they_are_named() {
        for (address, expected) in [
            ("127.0.0.1", Class::Loopback),
            ("127.0.0.53", Class::Loopback),
            ("127.255.255.255", Class::Loopback),
            ("::1", Class::Loopback),
            ("::ffff:127.0.0.1", Class::Loopback),
            ("10.0.0.0", Class::Private),
            ("10.255.255.255", Class::Private),
            ("172.16.0.1", Class::Private),
            ("172.31.255.255", Class::Private),
            ("192.168.0.1", Class::Private),
            ("192.168.255.255", Class::Private),
            ("100.64.0.1", Class::Private),
            ("100.127.255.255", Class::Private),
            ("fc00::1", Class::Private),
            ("fd12:3456:789a::1", Class::Private),
            ("::ffff:10.0.0.1", Class::Private),
        ] {
            assert_eq!(class(parse(address)), expected, "{address}");
            assert!(check(parse(address), false).is_err(), "{address}");
            assert_eq!(check(parse(address), true), Ok(()), "{address}");
        }
    }

    #[test]
    fn forbidden_addresses_are_refused_even_if_they_are_named() {
        for (address, expected) in [
            ("169.254.0.0", LINK_LOCAL),
            ("169.254.169.254", LINK_LOCAL),
            ("169.254.170.2", LINK_LOCAL),
            ("169.254.255.255", LINK_LOCAL),
            ("::ffff:169.254.169.254", LINK_LOCAL),
            ("64:ff9b::169.254.169.254", LINK_LOCAL),
            ("fe80::1", LINK_LOCAL),
            ("fe80::a9fe:a9fe", LINK_LOCAL),
            ("febf::1", LINK_LOCAL),
            ("100.100.100.200", METADATA),
            ("168.63.129.16", METADATA),
            ("192.0.0.192", METADATA),
            ("fd00:ec2::254", METADATA),
            ("fd00:ec2::23", METADATA),
            ("fd20:ce::254", METADATA),
            ("64:ff9b::100.100.100.200", METADATA),
            ("0.0.0.0", UNSPECIFIED),
            ("0.1.2.3", UNSPECIFIED),
            ("::", UNSPECIFIED),
            ("::ffff:0.0.0.0", UNSPECIFIED),
            ("224.0.0.1", MULTICAST),
            ("239.255.255.255", MULTICAST),
            ("255.255.255.255", MULTICAST),
            ("ff02::1", MULTICAST),
            ("240.0.0.1", RESERVED),
            ("192.0.0.1", RESERVED),
            ("192.88.99.1", RESERVED),
            ("fec0::1", RESERVED),
            ("2001:2::1", RESERVED),
            ("2001:1ff::1", RESERVED),
            ("100::1", RESERVED),
            ("4000::1", RESERVED),
            ("5f00::1", RESERVED),
            ("192.0.2.1", DOCUMENTATION),
            ("198.51.100.1", DOCUMENTATION),
            ("203.0.113.1", DOCUMENTATION),
            ("198.18.0.1", DOCUMENTATION),
            ("198.19.255.255", DOCUMENTATION),
            ("2001:db8::1", DOCUMENTATION),
            ("3fff::1", DOCUMENTATION),
            ("::127.0.0.1", TRANSITION),
            ("::169.254.169.254", TRANSITION),
            ("::ffff:0:127.0.0.1", TRANSITION),
            ("64:ff9b::127.0.0.1", TRANSITION),
            ("64:ff9b::10.0.0.1", TRANSITION),
            ("64:ff9b:1::10.0.0.1", TRANSITION),
            ("2002:7f00:1::", TRANSITION),
            ("2002:a9fe:a9fe::1", TRANSITION),
            ("2002:101:101::1", TRANSITION),
            ("2001:0:7f00:1::1", TRANSITION),
            ("2001:200::5efe:10.0.0.1", TRANSITION),
            ("2001:200::200:5efe:169.254.169.254", TRANSITION),
        ] {
            let address = parse(address);
            assert_eq!(class(address), Class::Forbidden(expected), "{address}");
            assert_eq!(check(address, false), Err(expected), "{address}");
            assert_eq!(check(address, true), Err(expected), "{address}");
        }
    }
}
