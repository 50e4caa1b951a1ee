//! `quorate status HOST:PORT`: what a node says of its cluster, and an exit code for scripts.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpStream,
    time::Duration,
};

use clap::Args;
use quorate::{config::ConfigError, members::Members};

use super::{Failure, say};

/// How long a node may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// A longer answer is not the status of a node.
const SIZE_MAX: u64 = 64 * 1024;
/// How the line begins that says whether a majority votes.
const REACHED: &str = "majority   reached";

const EXAMPLES: &str = "\
Examples:
  quorate status                     the node at localhost:9000
  quorate status localhost:9001      exit code 0: a majority is in its reach; 1: none, or no answer";

/// Whom to ask.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Status {
    /// A node of the cluster
    #[arg(value_name = "HOST:PORT", default_value = "localhost:9000")]
    node: String,
}

impl Status {
    /// Prints what the node says; fails if it has no majority.
    pub(crate) fn run(self) -> Result<(), Failure> {
        let members = Members::form(&self.node, &[]).map_err(ConfigError::Members)?;
        let address = members.address(members.me());
        let failed = |error| Failure::Remote(format!("no status of {}: {error}", self.node));
        let text = ask(&mut connect(address).map_err(failed)?).map_err(failed)?;
        say(format_args!("{text}"));
        if text.lines().any(|line| line.starts_with(REACHED)) {
            return Ok(());
        }
        Err(Failure::Remote(format!("no majority is in reach of {}", self.node)))
    }
}

fn connect(address: std::net::SocketAddr) -> std::io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    Ok(stream)
}

/// The lines of the answer, without the one that ends it.
fn ask(stream: &mut TcpStream) -> std::io::Result<String> {
    stream.write_all(b"STATUS\n")?;
    let mut text = String::new();
    let mut lines = BufReader::new(stream.take(SIZE_MAX));
    loop {
        let start = text.len();
        if lines.read_line(&mut text)? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        match text.get(start..) {
            Some("END\n") => {
                text.truncate(start);
                return Ok(text);
            }
            Some(line) if line.starts_with("ERR ") => {
                return Err(std::io::Error::other(line.trim_end().to_owned()));
            }
            Some(_) | None => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{net::TcpListener, thread};

    use super::*;

    fn asked(answer: &'static [u8]) -> std::io::Result<String> {
        let listener = TcpListener::bind("127.0.0.1:0").expect("some port is free");
        let address = listener.local_addr().expect("it is bound");
        let node = thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("a client");
            let mut request = [0; 7];
            stream.read_exact(&mut request).expect("a request");
            stream.write_all(answer).expect("it reads");
            request
        });
        let text = connect(address).and_then(|mut stream| ask(&mut stream));
        assert_eq!(&node.join().expect("it ends"), b"STATUS\n");
        text
    }

    #[test]
    fn the_answer_is_shown_without_its_end() {
        let text = asked(b"node       n0\nmajority   reached: 3 of 3\nEND\n").expect("a status");
        assert_eq!(text, "node       n0\nmajority   reached: 3 of 3\n");
        asked(b"node").expect_err("cut off");
        asked(b"ERR unknown command\n").expect_err("no node of this version");
    }
}
