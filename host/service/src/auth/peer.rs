//! Where a request comes from.

use std::net::IpAddr;

use axum::http::HeaderMap;
use cairn::config::Network;

/// The other end of a connection, or who is behind it when it is a trusted proxy.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Peer {
    /// The address; `None` of a Unix socket.
    pub(crate) address: Option<IpAddr>,
    /// Whether nobody between the client and this machine can read along: TLS, loopback, a Unix socket, or a trusted proxy.
    pub(crate) is_private: bool,
    /// Whether the client speaks TLS, with this server or with a trusted proxy.
    pub(crate) is_tls: bool,
}

impl Peer {
    /// Returns the peer of a connection.
    pub(crate) fn of_connection(address: Option<IpAddr>, is_tls: bool) -> Self {
        Self {
            address,
            is_private: is_tls
                || address.is_none_or(|address| address.to_canonical().is_loopback()),
            is_tls,
        }
    }

    /// Returns who is behind a connection, by the headers of a proxy that is trusted.
    pub(crate) fn behind(&self, headers: &HeaderMap, trusted: &[Network]) -> Self {
        let is_trusted = |address: IpAddr| trusted.iter().any(|network| network.contains(address));
        if !self.address.is_some_and(is_trusted) {
            return self.clone();
        }
        let lists = headers.get_all("x-forwarded-for").iter();
        let addresses = lists.flat_map(|list| list.to_str().unwrap_or_default().split(','));
        let addresses: Vec<Option<IpAddr>> = addresses
            .map(|address| address.trim().parse().ok())
            .collect();
        // The last one that is no proxy of ours: those before it are the client's own words.
        let client = addresses
            .into_iter()
            .rev()
            .find(|address| !address.is_some_and(is_trusted));
        let proto = headers.get("x-forwarded-proto");
        Self {
            address: client.flatten().or(self.address),
            is_private: true,
            is_tls: self.is_tls || proto.is_some_and(|proto| proto.as_bytes() == b"https"),
        }
    }

    /// Returns what failures are counted by: the address, of IPv6 the network that one customer has.
    pub(crate) fn key(&self) -> Option<IpAddr> {
        match self.address?.to_canonical() {
            IpAddr::V4(address) => Some(address.into()),
            IpAddr::V6(address) => {
                let network = address.to_bits() & !u128::from(u64::MAX);
                Some(std::net::Ipv6Addr::from_bits(network).into())
            }
        }
    }

    /// Returns where a change was asked for, for the audit.
    pub(crate) fn source(&self) -> String {
        match self.address {
            Some(address) => format!("http, {}", address.to_canonical()),
            None => "http, unix socket".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn behind(forwarded: &str) -> Peer {
        let mut headers = HeaderMap::new();
        headers.insert("x-forwarded-for", forwarded.parse().unwrap());
        headers.insert("x-forwarded-proto", "https".parse().unwrap());
        let trusted = ["10.0.0.0/8".parse().unwrap()];
        Peer::of_connection(Some([10, 0, 0, 1].into()), false).behind(&headers, &trusted)
    }

    #[test]
    fn a_trusted_proxy_says_who_is_behind_it() {
        assert_eq!(behind("1.2.3.4").address, Some([1, 2, 3, 4].into()));
        assert_eq!(
            behind("9.9.9.9, 1.2.3.4, 10.0.0.7").address,
            Some([1, 2, 3, 4].into())
        );
        assert_eq!(behind("nonsense").address, Some([10, 0, 0, 1].into()));
        assert!(behind("1.2.3.4").is_tls);
    }

    #[test]
    fn other_peers_are_not_believed() {
        let mut headers = HeaderMap::new();
        headers.insert("x-forwarded-for", "127.0.0.1".parse().unwrap());
        headers.insert("x-forwarded-proto", "https".parse().unwrap());
        let peer = Peer::of_connection(Some([1, 2, 3, 4].into()), false);
        assert_eq!(
            peer.behind(&headers, &["10.0.0.0/8".parse().unwrap()]),
            peer
        );
        assert!(!peer.is_private);
    }
}
