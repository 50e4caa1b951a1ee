//! Members: who belongs to the cluster, under which name, and which of them is this node.
//!
//! A member is named by the address that others reach it at, in one spelling: `localhost`,
//! `127.0.0.1` and `[::1]` are one host, and so one name. All nodes are told the same members, sort
//! the same names, and so agree on every [`NodeId`] and on the cluster's id without a word between
//! them.
//!
//! Refused here: names that need DNS, and hosts other than this one. Until peers authenticate,
//! whoever reaches a port is believed, so quorate talks on loopback only.
//!
//! Invariants: names are sorted, unique and normal; `me` is one of them; there are at most
//! [`MEMBERS_MAX`].

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use xxhash_rust::xxh3::xxh3_64;

use crate::record::NodeId;

/// The most members of a cluster: each keeps a link to every other and a copy of every key, and a
/// set of members fits one 64-bit word.
pub const MEMBERS_MAX: usize = 64;

/// Stands between names where they are hashed; it can't be part of one.
const SEPARATOR: &str = "\n";

/// The members of a cluster, in order, and which of them is this node.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Members {
    names: Vec<String>,
    addresses: Vec<SocketAddr>,
    me: NodeId,
}

impl Members {
    /// The cluster of this node, which others reach at `advertise`, and its `peers`.
    ///
    /// # Errors
    /// If an address is malformed or not on loopback, if a member is named twice in whatever
    /// spelling, or if there are more than [`MEMBERS_MAX`].
    pub fn form(advertise: &str, peers: &[String]) -> Result<Self, MembersError> {
        let count = peers.len() + 1;
        if count > MEMBERS_MAX {
            return Err(MembersError::TooMany { count });
        }
        let own = parse(advertise)?;
        let mut all = vec![(name_of(own), own)];
        for peer in peers {
            let address = parse(peer)?;
            let name = name_of(address);
            match all.iter().position(|(known, _)| *known == name) {
                Some(0) => return Err(MembersError::SelfAsPeer { peer: peer.clone(), name }),
                Some(_) => return Err(MembersError::Duplicate { peer: peer.clone(), name }),
                None => all.push((name, address)),
            }
        }
        all.sort();
        let me = all.iter().position(|(_, address)| *address == own);
        let me = node_id(me.expect("our own address was put first"));
        let (names, addresses) = all.into_iter().unzip();
        Ok(Self { names, addresses, me })
    }

    /// A node without peers, listening on `port`.
    #[must_use]
    pub fn single(port: u16) -> Self {
        let address = SocketAddr::new(Ipv4Addr::LOCALHOST.into(), port);
        Self { names: vec![name_of(address)], addresses: vec![address], me: NodeId(0) }
    }

    /// This node.
    #[must_use]
    pub const fn me(&self) -> NodeId {
        self.me
    }

    /// All members' names (`host:port`), sorted; the index is the node id.
    #[must_use]
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// The name of a member.
    ///
    /// # Panics
    /// If `node` is none.
    #[must_use]
    pub fn name(&self, node: NodeId) -> &str {
        &self.names[node.index()]
    }

    /// Where to reach a member.
    ///
    /// # Panics
    /// If `node` is none.
    #[must_use]
    pub fn address(&self, node: NodeId) -> SocketAddr {
        self.addresses[node.index()]
    }

    /// How many members there are, this node included.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.names.len()
    }

    /// Never: this node is a member.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// How many members are a majority.
    #[must_use]
    pub const fn quorum(&self) -> usize {
        self.len() / 2 + 1
    }

    /// All members but this node, in order.
    pub fn peers(&self) -> impl Iterator<Item = NodeId> + use<> {
        let me = self.me;
        (0..self.len()).map(node_id).filter(move |node| *node != me)
    }

    /// Tells this cluster from others: nodes that were given different members have different ids.
    #[must_use]
    pub fn cluster_id(&self) -> u64 {
        xxh3_64(self.names.join(SEPARATOR).as_bytes())
    }
}

/// What is wrong with a list of members.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum MembersError {
    /// Not `host:port`.
    BadAddress {
        /// As it was given.
        address: String,
        /// In which way.
        problem: &'static str,
    },
    /// A peer is listed twice, perhaps in different spellings.
    Duplicate {
        /// As it was given the second time.
        peer: String,
        /// Its one spelling.
        name: String,
    },
    /// Another machine, or a name that only DNS could resolve.
    NotLoopback {
        /// As it was given.
        address: String,
    },
    /// This node is listed as its own peer.
    SelfAsPeer {
        /// As it was given.
        peer: String,
        /// Its one spelling.
        name: String,
    },
    /// More than [`MEMBERS_MAX`].
    TooMany {
        /// How many, this node included.
        count: usize,
    },
}

impl fmt::Display for MembersError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BadAddress { address, problem } => {
                write!(f, "bad address {address:?}: {problem}; expected host:port, like ")?;
                write!(f, "localhost:9001, 127.0.0.1:9001 or [::1]:9001")
            }
            Self::Duplicate { peer, name } => {
                write!(f, "peer {peer:?} is listed twice (as {name}); list each node once")
            }
            Self::NotLoopback { address } => {
                write!(f, "address {address:?} is not on loopback: until peers authenticate, ")?;
                write!(f, "quorate talks on loopback only; use localhost, 127.0.0.1 or [::1]")
            }
            Self::SelfAsPeer { peer, name } => {
                write!(f, "peer {peer:?} is this node itself ({name}); list only the other nodes")
            }
            Self::TooMany { count } => {
                write!(f, "{count} members are too many; a cluster has at most {MEMBERS_MAX}")
            }
        }
    }
}

impl std::error::Error for MembersError {}

/// A node's one name.
fn name_of(address: SocketAddr) -> String {
    if address.ip() == IpAddr::V4(Ipv4Addr::LOCALHOST) {
        format!("localhost:{}", address.port())
    } else {
        address.to_string()
    }
}

/// Reads `host:port`. All spellings of this host become 127.0.0.1; other loopback addresses stay
/// what they are.
fn parse(text: &str) -> Result<SocketAddr, MembersError> {
    let bad = |problem| MembersError::BadAddress { address: text.to_owned(), problem };
    let (host, port) = text.rsplit_once(':').ok_or_else(|| bad("there is no port"))?;
    let ip = match host.strip_prefix('[') {
        Some(inside) => {
            let inside = inside.strip_suffix(']').ok_or_else(|| bad("a bracket is missing"))?;
            let ip: Ipv6Addr = inside.parse().map_err(|_| bad("not an IPv6 address"))?;
            Some(ip.to_canonical())
        }
        None if host.is_empty() => return Err(bad("there is no host")),
        None if host.contains(':') => return Err(bad("an IPv6 address stands in brackets")),
        None if host.eq_ignore_ascii_case("localhost") => Some(Ipv4Addr::LOCALHOST.into()),
        None => host.parse().ok().map(IpAddr::V4),
    };
    let port = match port.parse() {
        // Parsing would take a leading plus sign too.
        Ok(number @ 1..) if port.bytes().all(|byte| byte.is_ascii_digit()) => number,
        _ => return Err(bad("the port is not a number from 1 to 65535")),
    };
    match ip {
        Some(IpAddr::V6(Ipv6Addr::LOCALHOST)) => {
            Ok(SocketAddr::new(Ipv4Addr::LOCALHOST.into(), port))
        }
        Some(ip) if ip.is_loopback() => Ok(SocketAddr::new(ip, port)),
        Some(_) | None => Err(MembersError::NotLoopback { address: text.to_owned() }),
    }
}

fn node_id(index: usize) -> NodeId {
    NodeId(u16::try_from(index).expect("there are at most MEMBERS_MAX members"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn form(advertise: &str, peers: &[&str]) -> Result<Members, MembersError> {
        let peers: Vec<String> = peers.iter().map(|peer| (*peer).to_owned()).collect();
        Members::form(advertise, &peers)
    }

    #[test]
    fn all_nodes_agree_on_ids_and_on_the_cluster() {
        let a = form("localhost:9000", &["localhost:9001", "127.0.0.1:9002"]).expect("valid");
        let b = form("[::1]:9001", &["LOCALHOST:9002", "localhost:9000"]).expect("valid");
        assert_eq!(a.names(), ["localhost:9000", "localhost:9001", "localhost:9002"]);
        assert_eq!(a.names(), b.names());
        assert_eq!(a.cluster_id(), b.cluster_id());
        assert_eq!((a.me(), b.me()), (NodeId(0), NodeId(1)));
        assert_eq!(a.peers().collect::<Vec<_>>(), [NodeId(1), NodeId(2)]);
        assert_eq!(b.peers().collect::<Vec<_>>(), [NodeId(0), NodeId(2)]);
        assert_eq!(b.name(NodeId(2)), "localhost:9002");
        assert_eq!(b.address(NodeId(1)).to_string(), "127.0.0.1:9001");
        assert_eq!((a.len(), a.quorum(), a.is_empty()), (3, 2, false));
    }

    #[test]
    fn ids_follow_the_names_even_where_ports_differ_in_length() {
        let members = form("localhost:9999", &["localhost:10000", "127.0.0.9:1"]).expect("valid");
        assert_eq!(members.names(), ["127.0.0.9:1", "localhost:10000", "localhost:9999"]);
        assert_eq!(members.me(), NodeId(2));
        assert_eq!(members.address(NodeId(0)).to_string(), "127.0.0.9:1");
        assert_eq!(members.address(NodeId(1)).to_string(), "127.0.0.1:10000");
    }

    #[test]
    fn majorities() {
        let quorum_of = |count: u16| {
            let peers: Vec<String> =
                (1..count).map(|n| format!("localhost:{}", 9000 + n)).collect();
            Members::form("localhost:9000", &peers).expect("valid").quorum()
        };
        assert_eq!([1, 2, 3, 4, 5].map(quorum_of), [1, 2, 2, 3, 3]);
        assert_eq!(quorum_of(64), 33);
    }

    #[test]
    fn other_members_make_another_cluster() {
        let ids = [
            Members::single(9000).cluster_id(),
            form("localhost:9000", &["localhost:9001"]).expect("valid").cluster_id(),
            form("localhost:9000", &["localhost:9002"]).expect("valid").cluster_id(),
        ];
        assert!(ids[0] != ids[1] && ids[1] != ids[2] && ids[0] != ids[2]);
        assert_eq!(form("127.0.0.1:9000", &[]), Ok(Members::single(9000)));
    }

    #[test]
    fn a_node_is_named_once_in_whatever_spelling() {
        for spelling in ["localhost:9000", "127.0.0.1:9000", "[::1]:9000", "[::ffff:7f00:1]:09000"]
        {
            let error = form("localhost:9000", &["localhost:9001", spelling]);
            let peer = spelling.to_owned();
            let name = "localhost:9000".to_owned();
            assert_eq!(error, Err(MembersError::SelfAsPeer { peer, name }));
        }
        let error = form("localhost:9000", &["localhost:9001", "127.0.0.1:9001"]);
        let text = error.map_err(|error| error.to_string());
        let expected =
            r#"peer "127.0.0.1:9001" is listed twice (as localhost:9001); list each node once"#;
        assert_eq!(text, Err(expected.to_owned()));
    }

    #[test]
    fn malformed_addresses_say_what_is_wrong() {
        for (address, problem) in [
            ("", "there is no port"),
            ("localhost", "there is no port"),
            (":9000", "there is no host"),
            ("::1:9000", "an IPv6 address stands in brackets"),
            ("[::1:9000", "a bracket is missing"),
            ("[localhost]:9000", "not an IPv6 address"),
            ("localhost:", "the port is not a number from 1 to 65535"),
            ("localhost:0", "the port is not a number from 1 to 65535"),
            ("localhost:+9000", "the port is not a number from 1 to 65535"),
            ("localhost:65536", "the port is not a number from 1 to 65535"),
            ("localhost:9000 ", "the port is not a number from 1 to 65535"),
        ] {
            let expected = MembersError::BadAddress { address: address.to_owned(), problem };
            assert_eq!(form(address, &[]), Err(expected.clone()));
            assert!(expected.to_string().contains("expected host:port"));
        }
    }

    #[test]
    fn only_loopback_is_accepted() {
        for outside in
            ["0.0.0.0:9000", "192.168.0.1:9000", "[::]:9000", "db1:9000", " localhost:9000"]
        {
            let expected = MembersError::NotLoopback { address: outside.to_owned() };
            assert_eq!(form("localhost:1", &[outside]), Err(expected));
        }
    }

    #[test]
    fn the_number_of_members_has_a_limit() {
        let peers: Vec<String> = (0..64).map(|n| format!("localhost:{}", 9001 + n)).collect();
        assert_eq!(
            Members::form("localhost:9000", &peers),
            Err(MembersError::TooMany { count: 65 })
        );
        assert_eq!(Members::form("localhost:9000", &peers[1..]).map(|all| all.len()), Ok(64));
    }
}
