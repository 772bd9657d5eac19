//! Which addresses may be dialled, once a name was resolved.
//!
//! Public unicast addresses may. All others belong to somebody's own network, and may only where
//! the deployment's configuration has them: a network that it names (`--allow-network`), or one of
//! the kind that its seeds are in. The services that hand out credentials to virtual machines are
//! never allowed by kind, only by name.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

/// What an address is, as far as it matters here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddressKind {
    /// Anybody's on the internet.
    Public,
    /// This machine's own.
    Loopback,
    /// RFC 1918, RFC 6598 (carriers' NAT) and RFC 4193 (unique local).
    Private,
    /// Only on one link.
    LinkLocal,
    /// Where clouds hand out credentials.
    Metadata,
    /// Unspecified, multicast, broadcast, reserved, documentation.
    Unusable,
}

impl AddressKind {
    /// What `address` is, or what the IPv4 address is that it stands for.
    pub fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(address) => Self::of_v4(address),
            IpAddr::V6(address) => match embedded(address) {
                Some(address) => Self::of_v4(address),
                None => Self::of_v6(address),
            },
        }
    }

    fn of_v4(address: Ipv4Addr) -> Self {
        let [a, b, c, _] = address.octets();
        match (a, b, c) {
            _ if METADATA_V4.contains(&address) => Self::Metadata,
            (127, ..) => Self::Loopback,
            (10, ..) | (172, 16..=31, _) | (192, 168, _) | (100, 64..=127, _) => Self::Private,
            (169, 254, _) => Self::LinkLocal,
            // This network; protocols, documentation, benchmarks; multicast and reserved.
            (0 | 224..=255, ..)
            | (192, 0, 0 | 2)
            | (192, 88, 99)
            | (198, 18..=19, _)
            | (198, 51, 100)
            | (203, 0, 113) => Self::Unusable,
            _ => Self::Public,
        }
    }

    fn of_v6(address: Ipv6Addr) -> Self {
        let [a, b, ..] = address.segments();
        if METADATA_V6.contains(&address) {
            Self::Metadata
        } else if address.is_loopback() {
            Self::Loopback
        } else if a & 0xfe00 == 0xfc00 || a & 0xffc0 == 0xfec0 {
            Self::Private
        } else if a & 0xffc0 == 0xfe80 {
            Self::LinkLocal
        } else if a & 0xe000 == 0x2000 && !(a == 0x2001 && (b == 0xdb8 || b < 0x200)) {
            Self::Public
        } else {
            // Global unicast is 2000::/3, but for documentation and protocols (Teredo among them).
            Self::Unusable
        }
    }

    /// Its bit in a set; `None` for kinds that are never allowed as a whole.
    fn bit(self) -> Option<u8> {
        match self {
            Self::Loopback => Some(1),
            Self::Private => Some(2),
            Self::LinkLocal => Some(4),
            Self::Public | Self::Metadata | Self::Unusable => None,
        }
    }

    /// For people.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Public => "public",
            Self::Loopback => "loopback",
            Self::Private => "private",
            Self::LinkLocal => "link-local",
            Self::Metadata => "cloud metadata",
            Self::Unusable => "unusable",
        }
    }
}

/// Amazon, Google, Azure, Oracle and most others; Amazon's tasks and time; Alibaba; Azure's wire.
const METADATA_V4: [Ipv4Addr; 6] = [
    Ipv4Addr::new(169, 254, 169, 254),
    Ipv4Addr::new(169, 254, 170, 2),
    Ipv4Addr::new(169, 254, 170, 23),
    Ipv4Addr::new(169, 254, 169, 123),
    Ipv4Addr::new(100, 100, 100, 200),
    Ipv4Addr::new(168, 63, 129, 16),
];
/// Amazon's over IPv6, of machines and of tasks; Google's.
const METADATA_V6: [Ipv6Addr; 3] = [
    Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254),
    Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x23),
    Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254),
];

/// The IPv4 address that packets to `address` reach in the end: mapped, compatible, NAT64 and 6to4.
fn embedded(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let [a, b, c, d, e, f, g, h] = address.segments();
    let of = |high: u16, low: u16| Some(Ipv4Addr::from(u32::from(high) << 16 | u32::from(low)));
    match (a, b, c, d, e, f) {
        (0, 0, 0, 0, 0, 0xffff) | (0x64, 0xff9b, 0, 0, 0, 0) => of(g, h),
        (0, 0, 0, 0, 0, 0) if g != 0 => of(g, h),
        (0x2002, high, low, ..) => of(high, low),
        _ => None,
    }
}

/// A network: an address and how many of its first bits count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    bits: u8,
}

impl Network {
    /// Whether `address` is in it.
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(network), IpAddr::V4(address)) => {
                let mask = u32::MAX.checked_shl(32 - u32::from(self.bits)).unwrap_or(0);
                (u32::from(network) ^ u32::from(address)) & mask == 0
            }
            (IpAddr::V6(network), IpAddr::V6(address)) => {
                let mask = u128::MAX.checked_shl(128 - u32::from(self.bits)).unwrap_or(0);
                (u128::from(network) ^ u128::from(address)) & mask == 0
            }
            _ => false,
        }
    }
}

impl FromStr for Network {
    type Err = String;

    /// `10.1.0.0/16`, or one address.
    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("\"{text}\" is no network; write it as 10.1.0.0/16 or fd00:1::/32");
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits.parse::<u8>().map_err(|_| wrong())?)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| wrong())?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        match bits.unwrap_or(most) {
            bits if bits <= most => Ok(Self { address, bits }),
            _ => Err(wrong()),
        }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.bits)
    }
}

/// The networks beyond the public ones that a deployment's members may be in. Clones share what
/// they learn.
#[derive(Clone, Debug, Default)]
pub struct Networks {
    named: Vec<Network>,
    kinds: Arc<AtomicU8>,
}

impl Networks {
    /// These, and public addresses.
    pub fn named(named: Vec<Network>) -> Self {
        Self { named, kinds: Arc::default() }
    }

    /// Allows the kind of `seed`, an address that the configuration names.
    pub fn learn(&self, seed: IpAddr) {
        if let Some(bit) = AddressKind::of(seed).bit() {
            self.kinds.fetch_or(bit, Ordering::Relaxed);
        }
    }

    /// Whether `address` may be dialled.
    pub fn allows(&self, address: IpAddr) -> bool {
        let kind = AddressKind::of(address);
        let by_kind = kind.bit().is_some_and(|bit| self.kinds.load(Ordering::Relaxed) & bit != 0);
        kind == AddressKind::Public
            || by_kind
            || self.named.iter().any(|network| network.contains(address))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(text: &str) -> AddressKind {
        AddressKind::of(text.parse().unwrap())
    }

    #[test]
    fn only_public_addresses_are_public() {
        use AddressKind::{Private, Public};
        for text in ["8.8.8.8", "172.15.0.1", "172.32.0.1", "100.63.0.1", "2600::1", "2a00::1"] {
            assert_eq!(kind(text), Public, "{text}");
        }
        for text in ["10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1", "100.64.0.1"] {
            assert_eq!(kind(text), Private, "{text}");
        }
        for text in ["fc00::1", "fdff::1", "fec0::1"] {
            assert_eq!(kind(text), Private, "{text}");
        }
    }

    #[test]
    fn everything_special_is_known_by_what_it_is() {
        use AddressKind::{LinkLocal, Loopback, Metadata, Unusable};
        for (text, expected) in [
            ("127.0.0.1", Loopback),
            ("127.255.0.9", Loopback),
            ("::1", Loopback),
            ("169.254.1.1", LinkLocal),
            ("fe80::1", LinkLocal),
            ("169.254.169.254", Metadata),
            ("169.254.170.2", Metadata),
            ("100.100.100.200", Metadata),
            ("168.63.129.16", Metadata),
            ("fd00:ec2::254", Metadata),
            ("0.0.0.0", Unusable),
            ("0.1.2.3", Unusable),
            ("::", Unusable),
            ("224.0.0.1", Unusable),
            ("255.255.255.255", Unusable),
            ("240.0.0.1", Unusable),
            ("192.0.2.1", Unusable),
            ("198.18.0.1", Unusable),
            ("ff02::1", Unusable),
            ("2001:db8::1", Unusable),
            ("2001::1", Unusable),
            ("4000::1", Unusable),
        ] {
            assert_eq!(kind(text), expected, "{text}");
        }
    }

    #[test]
    fn an_address_in_disguise_is_what_it_stands_for() {
        for text in ["::ffff:127.0.0.1", "::127.0.0.1", "64:ff9b::127.0.0.1", "2002:7f00:1::"] {
            assert_eq!(kind(text), AddressKind::Loopback, "{text}");
        }
        assert_eq!(kind("::ffff:169.254.169.254"), AddressKind::Metadata);
        assert_eq!(kind("::ffff:8.8.8.8"), AddressKind::Public);
    }

    #[test]
    fn networks_contain_what_their_bits_say() {
        let network: Network = "10.1.0.0/16".parse().unwrap();
        assert!(network.contains([10, 1, 255, 1].into()));
        assert!(network.contains("::ffff:10.1.0.1".parse().unwrap()));
        assert!(!network.contains([10, 2, 0, 1].into()));
        assert!("0.0.0.0/0".parse::<Network>().unwrap().contains([1, 2, 3, 4].into()));
        assert!("fd00::/8".parse::<Network>().unwrap().contains("fd12::1".parse().unwrap()));
        let one: Network = "10.0.0.1".parse().unwrap();
        assert!(one.contains([10, 0, 0, 1].into()) && !one.contains([10, 0, 0, 2].into()));
        for bad in ["", "10.0.0.0/33", "10/8", "a/8", "fd00::/129", "10.0.0.0/x"] {
            assert!(bad.parse::<Network>().is_err(), "{bad}");
        }
    }

    #[test]
    fn seeds_allow_their_kind_but_never_metadata() {
        let networks = Networks::named(vec!["169.254.170.2".parse().unwrap()]);
        let allows = |text: &str| networks.allows(text.parse().unwrap());
        assert!(allows("8.8.8.8") && !allows("10.0.0.1") && !allows("127.0.0.1"));
        networks.learn([10, 9, 9, 9].into());
        assert!(allows("10.0.0.1") && !allows("127.0.0.1"));
        networks.learn([169, 254, 169, 254].into());
        networks.learn([169, 254, 1, 1].into());
        assert!(allows("169.254.2.2") && !allows("169.254.169.254") && !allows("224.0.0.1"));
        assert!(allows("169.254.170.2"), "named");
    }
}
