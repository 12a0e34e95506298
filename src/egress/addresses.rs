//! Which addresses may be dialled.
//!
//! Sources: the IANA special-purpose address registries for IPv4 and IPv6 (RFC 6890 and its updates), and the metadata
//! addresses that AWS, Azure, Google, Alibaba and Oracle document.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

const fn v4(a: u8, b: u8, c: u8, d: u8, prefix: u8) -> IpNet {
    IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), prefix))
}

const fn v6(first: u16, second: u16, third: u16, prefix: u8) -> IpNet {
    IpNet::V6(Ipv6Net::new_assert(Ipv6Addr::new(first, second, third, 0, 0, 0, 0, 0), prefix))
}

const fn v6_host(segments: [u16; 8]) -> IpNet {
    let [a, b, c, d, e, f, g, h] = segments;
    IpNet::V6(Ipv6Net::new_assert(Ipv6Addr::new(a, b, c, d, e, f, g, h), 128))
}

/// Never dialled, whatever the operator allows: they hand out credentials, are nobody's or everybody's address, or hide
/// another address inside.
const NEVER: &[IpNet] = &[
    v4(0, 0, 0, 0, 8),                             // "this network"; Linux takes 0.0.0.0 for loopback
    v4(169, 254, 0, 0, 16),                        // link-local; metadata of AWS, Azure, Google and others
    v4(168, 63, 129, 16, 32),                      // Azure's platform address
    v4(100, 100, 100, 200, 32),                    // Alibaba's metadata
    v4(192, 0, 0, 192, 32),                        // Oracle's metadata
    v4(224, 0, 0, 0, 4),                           // multicast
    v4(255, 255, 255, 255, 32),                    // broadcast
    v6_host([0; 8]),                               // unspecified
    v6(0xfe80, 0, 0, 10),                          // link-local
    v6(0xff00, 0, 0, 8),                           // multicast
    v6(0xfd00, 0xec2, 0, 32),                      // AWS: metadata, time, DNS and credentials of pods
    v6_host([0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254]), // Google's metadata
    v6(0x64, 0xff9b, 1, 48),                       // local NAT64: IPv4 inside (RFC 8215)
    v6(0x2001, 0, 0, 32),                          // Teredo: IPv4 inside (RFC 4380)
    v6(0x2002, 0, 0, 16),                          // 6to4: IPv4 inside, deprecated (RFC 7526)
];

/// Dialled only where the operator allows the network: the special-purpose rest of IPv4.
const NOT_PUBLIC_V4: &[IpNet] = &[
    v4(10, 0, 0, 0, 8),      // private
    v4(100, 64, 0, 0, 10),   // carrier-grade NAT
    v4(127, 0, 0, 0, 8),     // loopback
    v4(172, 16, 0, 0, 12),   // private
    v4(192, 0, 0, 0, 24),    // IETF protocol assignments
    v4(192, 0, 2, 0, 24),    // documentation
    v4(192, 88, 99, 0, 24),  // 6to4 relays, deprecated
    v4(192, 168, 0, 0, 16),  // private
    v4(198, 18, 0, 0, 15),   // benchmarks
    v4(198, 51, 100, 0, 24), // documentation
    v4(203, 0, 113, 0, 24),  // documentation
    v4(240, 0, 0, 0, 4),     // reserved
];

/// All that IANA gives out as global unicast. Everything else is special or unassigned, so this one line keeps out
/// loopback, unique local, site-local, discard-only and what will be invented later.
const GLOBAL_V6: IpNet = v6(0x2000, 0, 0, 3);

/// Special purposes inside of [`GLOBAL_V6`].
const NOT_PUBLIC_V6: &[IpNet] = &[
    v6(0x2001, 0, 0, 23),     // IETF protocol assignments: benchmarks, ORCHID and others
    v6(0x2001, 0xdb8, 0, 32), // documentation
    v6(0x3fff, 0, 0, 20),     // documentation
];

/// True when `address` is public, or in one of the `private` networks and not one of those that are never dialled.
pub(super) fn permits(private: &[IpNet], address: IpAddr) -> bool {
    let address = plain(address);
    if within(NEVER, address) || is_compatible(address) {
        return false;
    }
    within(private, address) || is_public(address)
}

fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(_) => !within(NOT_PUBLIC_V4, address),
        IpAddr::V6(_) => GLOBAL_V6.contains(&address) && !within(NOT_PUBLIC_V6, address),
    }
}

fn within(networks: &[IpNet], address: IpAddr) -> bool {
    networks.iter().any(|network| network.contains(&address))
}

/// The IPv4 address that dialling `address` would really reach: of `::ffff:a.b.c.d`, and of `64:ff9b::a.b.c.d`, by which a
/// host without IPv4 reaches the public rest of it (NAT64, RFC 6052).
fn plain(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) if v6.segments()[..6] == [0x64, 0xff9b, 0, 0, 0, 0] => IpAddr::V4(last_32_bits(v6)),
        canonical => canonical,
    }
}

/// `::a.b.c.d`, deprecated by RFC 4291; some stacks still take it for the IPv4 address. `::1` is loopback instead.
fn is_compatible(address: IpAddr) -> bool {
    matches!(address, IpAddr::V6(v6) if v6.segments()[..6] == [0; 6] && v6 != Ipv6Addr::LOCALHOST)
}

fn last_32_bits(address: Ipv6Addr) -> Ipv4Addr {
    let [.., a, b, c, d] = address.octets();
    Ipv4Addr::new(a, b, c, d)
}
