//! A connection to a node, or to anything that speaks RESP.
//!
//! It blocks. It speaks RESP3 where the other side does, and says who it is before the first
//! request. Nothing is sent twice: whoever lost a connection can't know what became of a request.

use std::{
    io::{self, BufReader, Write as _},
    net::{TcpStream, ToSocketAddrs as _},
    time::Duration,
};

use super::Value;

/// How long somebody may take to accept a connection.
const DIAL: Duration = Duration::from_secs(5);

/// Whom to talk to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::cli) struct Target {
    pub(in crate::cli) host: String,
    pub(in crate::cli) port: u16,
}

impl Target {
    /// From `host:port`, `[host]:port` or `host`, which means port 9000.
    pub(in crate::cli) fn parse(text: &str) -> Result<Self, String> {
        let (host, port) = match text.rsplit_once(':') {
            Some((host, port)) if !host.contains(':') || host.starts_with('[') => (host, port),
            Some(_) => return Err(format!("{text:?}: put an IPv6 address in brackets")),
            None => (text, "9000"),
        };
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let port = port.parse().ok().filter(|port| *port > 0);
        match port {
            Some(port) if !host.is_empty() => Ok(Self { host: host.to_owned(), port }),
            Some(_) => Err(format!("{text:?}: there is no host")),
            None => Err(format!("{text:?}: the port is not a number from 1 to 65535")),
        }
    }

    /// Connects to the first of its addresses that accepts.
    pub(in crate::cli) fn dial(&self) -> io::Result<TcpStream> {
        let mut last = io::Error::new(io::ErrorKind::NotFound, "the host has no address");
        for address in (self.host.as_str(), self.port).to_socket_addrs()? {
            match TcpStream::connect_timeout(&address, DIAL) {
                Ok(stream) => {
                    stream.set_nodelay(true)?;
                    return Ok(stream);
                }
                Err(error) => last = error,
            }
        }
        Err(last)
    }
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.host.contains(':') {
            return write!(f, "[{}]:{}", self.host, self.port);
        }
        write!(f, "{}:{}", self.host, self.port)
    }
}

/// Who asks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::cli) struct Credentials {
    pub(in crate::cli) user: Option<String>,
    pub(in crate::cli) password: Option<String>,
}

impl Credentials {
    /// The request that shows them, if there is a password.
    pub(in crate::cli) fn request(&self) -> Option<Vec<&str>> {
        let password = self.password.as_deref()?;
        Some(["AUTH"].into_iter().chain(self.user.as_deref()).chain([password]).collect())
    }
}

/// An open connection.
pub(in crate::cli) struct Connection {
    reader: BufReader<TcpStream>,
    /// What the other side says it is, if it answers HELLO.
    pub(in crate::cli) server: Option<String>,
    /// Why it did not take the password, if it did not.
    pub(in crate::cli) refusal: Option<String>,
}

impl Connection {
    /// Connects and says hello. `patience` bounds each read and write from then on.
    ///
    /// # Errors
    /// If nobody answers, or not in RESP.
    pub(in crate::cli) fn open(
        target: &Target,
        credentials: &Credentials,
        resp3: bool,
        patience: Option<Duration>,
    ) -> io::Result<Self> {
        let stream = target.dial()?;
        stream.set_read_timeout(patience)?;
        stream.set_write_timeout(patience)?;
        let mut connection = Self { reader: BufReader::new(stream), server: None, refusal: None };
        connection.introduce(credentials, resp3)?;
        Ok(connection)
    }

    fn introduce(&mut self, credentials: &Credentials, resp3: bool) -> io::Result<()> {
        if let Some(words) = credentials.request() {
            self.refusal = self.ask(&words)?.error().map(str::to_owned);
        }
        let version: &[u8] = if resp3 { b"3" } else { b"2" };
        // Old servers know no HELLO; they are talked to all the same.
        let hello = self.ask(&[b"HELLO", version])?;
        let server = hello.field("server").and_then(Value::text);
        self.server = server.map(|name| String::from_utf8_lossy(name).into_owned());
        Ok(())
    }

    /// Asks one thing and waits for the answer.
    ///
    /// # Errors
    /// If the connection fails; what became of the request is unknown then.
    pub(in crate::cli) fn ask<W: AsRef<[u8]>>(&mut self, words: &[W]) -> io::Result<Value> {
        let mut request = Vec::new();
        append_request(words, &mut request);
        self.send(&request)?;
        self.answer()
    }

    /// Sends requests as they are.
    pub(in crate::cli) fn send(&mut self, requests: &[u8]) -> io::Result<()> {
        self.reader.get_ref().write_all(requests)
    }

    /// The next answer to a request.
    pub(in crate::cli) fn answer(&mut self) -> io::Result<Value> {
        loop {
            match Value::read(&mut self.reader)? {
                Value::Push(_) => {}
                value => return Ok(value),
            }
        }
    }

    /// Whatever comes next.
    pub(in crate::cli) fn next(&mut self) -> io::Result<Value> {
        Value::read(&mut self.reader)
    }
}

/// Appends a request as RESP.
pub(in crate::cli) fn append_request<W: AsRef<[u8]>>(words: &[W], out: &mut Vec<u8>) {
    out.extend_from_slice(format!("*{}\r\n", words.len()).as_bytes());
    for word in words {
        let word = word.as_ref();
        out.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
        out.extend_from_slice(word);
        out.extend_from_slice(b"\r\n");
    }
}

#[cfg(test)]
mod tests {
    use std::{io::Read as _, net::TcpListener, thread};

    use super::*;

    #[test]
    fn targets_in_every_spelling() {
        for (text, shown) in [
            ("localhost:7000", "localhost:7000"),
            ("db1", "db1:9000"),
            ("[::1]:7000", "[::1]:7000"),
            ("10.0.0.1:1", "10.0.0.1:1"),
        ] {
            assert_eq!(Target::parse(text).expect(text).to_string(), shown);
        }
        for text in ["localhost:", "localhost:0", "localhost:65536", ":9000", "::1:9000", ""] {
            assert!(Target::parse(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn it_says_who_it_is_and_tells_pushes_from_answers() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("some port is free");
        let port = listener.local_addr().expect("it is bound").port();
        let server = thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("a client");
            let mut asked = Vec::new();
            let answers: [&[u8]; 3] = [
                b"-ERR no password is set\r\n",
                b"%1\r\n$6\r\nserver\r\n$7\r\nquorate\r\n",
                b">1\r\n+news\r\n+PONG\r\n",
            ];
            let sizes = [b"*3\r\n$4\r\nAUTH\r\n$1\r\nu\r\n$1\r\np\r\n".len(), 22, 14];
            for (answer, size) in answers.into_iter().zip(sizes) {
                let mut request = vec![0; size];
                stream.read_exact(&mut request).expect("a request");
                asked.extend(request);
                stream.write_all(answer).expect("it reads");
            }
            String::from_utf8(asked).expect("requests are text here")
        });
        let target = Target { host: "127.0.0.1".to_owned(), port };
        let credentials =
            Credentials { user: Some("u".to_owned()), password: Some("p".to_owned()) };
        let patience = Some(Duration::from_secs(20));
        let mut connection =
            Connection::open(&target, &credentials, true, patience).expect("it answers");
        assert_eq!(connection.server.as_deref(), Some("quorate"));
        assert_eq!(connection.refusal.as_deref(), Some("ERR no password is set"));
        assert_eq!(connection.ask(&["PING"]).expect("an answer"), Value::Simple("PONG".to_owned()));
        let asked = server.join().expect("it ends");
        assert!(asked.ends_with("$5\r\nHELLO\r\n$1\r\n3\r\n*1\r\n$4\r\nPING\r\n"), "{asked}");
        connection.ask(&["PING"]).expect_err("it has gone");
    }
}
