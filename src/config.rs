//! Configuration: what the user asked for, checked once, so that nothing behind it has to ask
//! again.
//!
//! It owns the checks that need more than one setting. What a single address may look like is for
//! [`crate::members`] to say; how flags are spelled is for the command line. It reads no
//! environment and no file.
//!
//! Invariant: a node with peers has a port that they were told.

use std::fmt;
use std::net::IpAddr;

use crate::members::{Members, MembersError};

/// When a write counts as durable.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fsync {
    /// Once the disk has it (`fdatasync`): it survives a power failure.
    #[default]
    Always,
    /// Once the system has it (`write`): it survives the end of the process. The disk gets it
    /// within about a second.
    EverySec,
}

/// A node's settings, known to fit together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    port: u16,
    /// None while the only member's name hangs on the port that the system will pick.
    members: Option<Members>,
}

impl Config {
    /// Settings of a node that listens on `port`, is reached by others at `advertise` (by default
    /// localhost and that port) and has these `peers`. Port 0 lets the system pick one.
    ///
    /// # Errors
    /// If the members are not a cluster, or if peers couldn't know this node's port.
    pub fn new(port: u16, advertise: Option<&str>, peers: &[String]) -> Result<Self, ConfigError> {
        if port == 0 && !peers.is_empty() {
            return Err(ConfigError::PortUnknownToPeers);
        }
        let members = match advertise {
            Some(address) => Some(Members::form(address, peers)?),
            None if port == 0 => None,
            None => Some(Members::form(&format!("localhost:{port}"), peers)?),
        };
        Ok(Self { port, members })
    }

    /// Where to listen; 0 lets the system pick.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// The address that others are told, if it is known before the node listens.
    #[must_use]
    pub fn advertised_ip(&self) -> Option<IpAddr> {
        self.members.as_ref().map(|members| members.address(members.me()).ip())
    }

    /// The cluster, now that the node listens on `port`.
    #[must_use]
    pub fn into_members(self, port: u16) -> Members {
        self.members.unwrap_or_else(|| Members::single(port))
    }
}

/// Why settings don't fit together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConfigError {
    /// The members are not a cluster.
    Members(MembersError),
    /// Peers are to reach a node whose port is picked at its start.
    PortUnknownToPeers,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Members(error) => error.fmt(f),
            Self::PortUnknownToPeers => {
                write!(f, "port 0 lets the system pick a port, which peers can't know; ")?;
                write!(f, "give this node a port of its own, like 9000")
            }
        }
    }
}

impl std::error::Error for ConfigError {}

impl From<MembersError> for ConfigError {
    fn from(error: MembersError) -> Self {
        Self::Members(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peers() -> Vec<String> {
        vec!["localhost:9001".to_owned()]
    }

    #[test]
    fn a_node_is_localhost_unless_told_otherwise() {
        let config = Config::new(9000, None, &peers()).expect("valid");
        let members = config.into_members(9000);
        assert_eq!(members.names(), ["localhost:9000", "localhost:9001"]);
        assert_eq!(members.name(members.me()), "localhost:9000");

        let config = Config::new(9000, Some("127.0.0.5:9100"), &peers()).expect("valid");
        assert_eq!(config.advertised_ip().map(|ip| ip.to_string()), Some("127.0.0.5".to_owned()));
        let members = config.into_members(9000);
        assert_eq!(members.name(members.me()), "127.0.0.5:9100");
    }

    #[test]
    fn a_lone_node_takes_the_port_it_gets() {
        let config = Config::new(0, None, &[]).expect("valid");
        assert_eq!((config.port(), config.advertised_ip()), (0, None));
        assert_eq!(config.into_members(4321).names(), ["localhost:4321"]);
    }

    #[test]
    fn peers_must_know_the_port() {
        let error = Config::new(0, None, &peers());
        assert_eq!(error, Err(ConfigError::PortUnknownToPeers));
        let error = Config::new(0, Some("localhost:9000"), &peers());
        assert_eq!(error, Err(ConfigError::PortUnknownToPeers));
    }

    #[test]
    fn trouble_with_members_is_told_as_it_is() {
        let error = Config::new(9001, None, &peers()).expect_err("its own peer");
        assert!(error.to_string().contains("this node itself"), "{error}");
    }
}
