//! What a name may resolve to. Names are looked up by this host; whoever controls the answer (a DNS server, a rebinding
//! attack) must not be able to point an endpoint at this machine, its network, or a cloud's metadata service.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::Pin;
use std::task::{Context, Poll};

use hyper_util::client::legacy::connect::dns::Name;
use tower_service::Service;

/// Looks names up, and gives the addresses that an endpoint may have.
#[derive(Clone, Copy)]
pub(crate) struct Resolver {
    /// Whether the operator allows addresses that are not public.
    pub(crate) allows_private: bool,
}

/// A name all of whose addresses are private, or otherwise not for an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the endpoint's name resolves to no public address")]
pub(crate) struct NotPublic;

type Found = std::vec::IntoIter<SocketAddr>;
type Failure = Box<dyn std::error::Error + Send + Sync>;

impl Service<Name> for Resolver {
    type Response = Found;
    type Error = Failure;
    type Future = Pin<Box<dyn Future<Output = Result<Found, Failure>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let allows_private = self.allows_private;
        Box::pin(async move {
            // The port is put in by whoever dials.
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let found: Vec<SocketAddr> = found
                .filter(|address| allows_private || is_public(address.ip()))
                .collect();
            if found.is_empty() {
                return Err(NotPublic.into());
            }
            Ok(found.into_iter())
        })
    }
}

/// Whether an address is anybody's on the internet: not in a block of IANA's special-purpose registries (RFC 6890), nor
/// an IPv6 address that stands for an IPv4 address which is.
pub(crate) fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    const SPECIAL: [(u32, u32); 15] = [
        (0x0000_0000, 8),  // 0.0.0.0/8, this network
        (0x0a00_0000, 8),  // 10.0.0.0/8, private
        (0x6440_0000, 10), // 100.64.0.0/10, shared
        (0x7f00_0000, 8),  // 127.0.0.0/8, loopback
        (0xa9fe_0000, 16), // 169.254.0.0/16, link-local, metadata of clouds
        (0xac10_0000, 12), // 172.16.0.0/12, private
        (0xc000_0000, 24), // 192.0.0.0/24, protocol assignments
        (0xc000_0200, 24), // 192.0.2.0/24, documentation
        (0xc058_6300, 24), // 192.88.99.0/24, 6to4 relays, withdrawn
        (0xc0a8_0000, 16), // 192.168.0.0/16, private
        (0xc612_0000, 15), // 198.18.0.0/15, benchmarks
        (0xc633_6400, 24), // 198.51.100.0/24, documentation
        (0xcb00_7100, 24), // 203.0.113.0/24, documentation
        (0xe000_0000, 4),  // 224.0.0.0/4, multicast
        (0xf000_0000, 4),  // 240.0.0.0/4, reserved and broadcast
    ];
    let bits = address.to_bits();
    !SPECIAL
        .iter()
        .any(|(block, length)| (bits ^ block) >> (32 - length) == 0)
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let [a, b, c, ..] = address.segments();
    let [.., y, z] = address.segments();
    let low = Ipv4Addr::from_bits(u32::from(y) << 16 | u32::from(z));
    // 64:ff9b::/96 stands for an IPv4 address (RFC 6052).
    let translated = Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, y, z);
    if address == translated {
        return is_public_v4(low);
    }
    // 6to4 (RFC 3056).
    if a == 0x2002 {
        return is_public_v4(Ipv4Addr::from_bits(u32::from(b) << 16 | u32::from(c)));
    }
    let is_special = match a {
        // Protocol assignments and Teredo; documentation.
        0x2001 => b < 0x0200 || b == 0x0db8,
        // Documentation.
        0x3fff => b < 0x1000,
        _ => false,
    };
    // Of all IPv6 only 2000::/3 is given out. That leaves out loopback, mapped, unique local, link-local and multicast.
    a & 0xe000 == 0x2000 && !is_special
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn special_addresses_are_not_public_and_their_neighbours_are() {
        for address in [
            "0.1.2.3",
            "10.0.0.1",
            "10.255.255.255",
            "100.64.0.1",
            "100.127.255.255",
            "127.0.0.1",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.8",
            "192.0.2.1",
            "192.168.1.1",
            "198.19.255.255",
            "198.51.100.7",
            "203.0.113.9",
            "224.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::ffff:8.8.8.8",
            "::ffff:127.0.0.1",
            "::ffff:169.254.169.254",
            "::a9fe:a9fe",
            "64:ff9b::a00:1",
            "64:ff9b::a9fe:a9fe",
            "2002:a9fe:a9fe::",
            "64:ff9b:1::1",
            "100::1",
            "2001::1",
            "2001:db8::1",
            "3fff::1",
            "2002:a00:1::",
            "fc00::1",
            "fd00:ec2::254",
            "fe80::1",
            "ff02::1",
        ] {
            assert!(!is_public(address.parse().unwrap()), "{address}");
        }
        for address in [
            "1.1.1.1",
            "9.255.255.255",
            "11.0.0.1",
            "100.63.255.255",
            "100.128.0.1",
            "126.0.0.1",
            "128.0.0.1",
            "169.253.0.1",
            "172.15.0.1",
            "172.32.0.1",
            "192.0.1.1",
            "192.167.0.1",
            "198.17.0.1",
            "198.20.0.1",
            "223.255.255.255",
            "2606:4700::1111",
            "2001:4860:4860::8888",
            "64:ff9b::808:808",
            "2002:808:808::",
        ] {
            assert!(is_public(address.parse().unwrap()), "{address}");
        }
    }

    #[tokio::test]
    async fn a_name_of_this_machine_resolves_only_if_that_is_allowed() {
        let name = || "localhost".parse::<Name>().unwrap();
        let mut strict = Resolver {
            allows_private: false,
        };
        let error = strict.call(name()).await.unwrap_err();
        assert!(error.is::<NotPublic>(), "{error}");
        let mut lenient = Resolver {
            allows_private: true,
        };
        assert!(lenient.call(name()).await.is_ok());
    }
}
