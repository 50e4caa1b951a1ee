//! `quorate PORT`: one node, until it is told to stop.
//!
//! Prints four lines once the node can be reached: where it listens, who its peers are, what becomes of its data, and
//! what to try.

use clap::Args;
use quorate::{
    config::Config,
    members::Members,
    os::{Listeners, Reactor, links_max},
};

use super::{Failure, listen, say};

/// Settings of one node.
#[derive(Debug, Args)]
pub(crate) struct Serve {
    /// Port to listen on, on loopback; 0 lets the system pick one
    port: u16,

    /// The other nodes of the cluster; every node lists all others
    #[arg(long, value_name = "HOST:PORT,...", value_delimiter = ',')]
    peers: Vec<String>,

    /// Address by which the other nodes list this one [default: localhost:PORT]
    #[arg(long, value_name = "HOST:PORT")]
    advertise: Option<String>,
}

impl Serve {
    /// Serves until told to stop.
    pub(crate) fn run(self) -> Result<(), Failure> {
        let config = Config::new(self.port, self.advertise.as_deref(), &self.peers)?;
        let listeners = listen(&config)?;
        let members = config.into_members(listeners.port());
        let start_lines = start_lines(&listeners, &members);
        let mut reactor =
            Reactor::new(listeners, members, links_max(1)).map_err(Failure::Runtime)?;
        reactor.catch_signals().map_err(Failure::Runtime)?;
        say(format_args!("{start_lines}"));
        reactor.run().map_err(Failure::Runtime)
    }
}

fn start_lines(listeners: &Listeners, members: &Members) -> String {
    let port = listeners.port();
    let listening: Vec<String> = listeners.addresses().map(|at| at.to_string()).collect();
    let listening = listening.join(" and ");
    let me = members.me();
    let mut peers: Vec<String> =
        members.peers().map(|peer| format!("{peer} {}", members.name(peer))).collect();
    if peers.is_empty() {
        peers.push("none".to_owned());
    }
    let peers = peers.join(", ");
    let own_name = members.name(me);
    format!(
        "listening  {listening}\n\
         peers      {peers}; this node is {me} {own_name}\n\
         data       in memory only; nothing is kept across a restart; every database is eventual \
         in this version\n\
         try        nc localhost {port}    then type: SET name john\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn four_lines_say_what_there_is_to_know() {
        let listeners = Listeners::bind(0, None).expect("some port is free");
        let port = listeners.port();
        let text = start_lines(&listeners, &Members::single(port));
        assert_eq!(text.lines().count(), 4);
        assert!(text.contains(&format!("127.0.0.1:{port}")));
        assert!(text.contains(&format!("peers      none; this node is n0 localhost:{port}\n")));

        let peers = ["localhost:2".to_owned(), "localhost:3".to_owned()];
        let members = Members::form("localhost:1", &peers).expect("valid");
        let text = start_lines(&listeners, &members);
        assert!(text.contains("n1 localhost:2, n2 localhost:3; this node is n0 localhost:1\n"));
    }
}
