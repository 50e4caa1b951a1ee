//! A conversation with one node: which database, whether a batch is open, and what to do when the
//! connection breaks.
//!
//! It connects when it is first needed and again after a failure, but never repeats a request by
//! itself: the first may have taken effect.

use std::io;

use crate::cli::resp::{Connection, Credentials, Target, Value, append_request};

/// How many requests may be on their way: enough to be fast, few enough for both sides' buffers.
pub(super) const WINDOW: usize = 128;

/// The name of the server in its answer to HELLO.
const OURS: &str = "quorate";

/// One conversation.
pub(super) struct Session {
    pub(super) target: Target,
    credentials: Credentials,
    resp3: bool,
    /// As SELECT takes it.
    database: Vec<u8>,
    connection: Option<Connection>,
    /// MULTI was answered, EXEC or DISCARD not yet.
    batch: bool,
}

/// Why there is no answer.
#[derive(Debug)]
pub(super) enum Lost {
    /// Nobody was asked.
    Unasked(String),
    /// The request was sent.
    Unanswered(String),
}

impl std::fmt::Display for Lost {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unasked(why) => f.write_str(why),
            Self::Unanswered(why) => {
                write!(f, "no answer: {why}; whether it took effect is unknown")
            }
        }
    }
}

impl Session {
    pub(super) fn new(
        target: Target,
        credentials: Credentials,
        database: Vec<u8>,
        resp3: bool,
    ) -> Self {
        Self { target, credentials, resp3, database, connection: None, batch: false }
    }

    /// Talks to somebody else from now on.
    pub(super) fn turn_to(&mut self, target: Target) {
        self.target = target;
        self.forget();
    }

    /// Connects if there is no connection; why the password was not taken, if it was not.
    ///
    /// # Errors
    /// If nobody answers, or the database can't be selected.
    pub(super) fn connect(&mut self) -> Result<Option<String>, String> {
        if self.connection.is_some() {
            return Ok(None);
        }
        let failed = |error: io::Error| format!("can't talk to {}: {error}", self.target);
        let open = Connection::open(&self.target, &self.credentials, self.resp3, None);
        let mut connection = open.map_err(failed)?;
        if self.database != b"0" {
            let answer = connection.ask(&[b"SELECT", &self.database[..]]).map_err(failed)?;
            if let Some(error) = answer.error() {
                return Err(format!("SELECT {}: {error}", self.database.escape_ascii()));
            }
        }
        let refusal = connection.refusal.take();
        self.connection = Some(connection);
        Ok(refusal)
    }

    fn forget(&mut self) {
        self.connection = None;
        self.batch = false;
    }

    /// Asks one thing.
    pub(super) fn ask(&mut self, words: &[Vec<u8>]) -> Result<Value, Lost> {
        let mut answers = self.ask_all(std::slice::from_ref(&words))?;
        answers.pop().unwrap_or_else(|| Err(Lost::Unasked("nothing was asked".to_owned())))
    }

    /// Asks several things at once, at most [`WINDOW`] of them; their answers, in order, as far as
    /// there are any.
    pub(super) fn ask_all<W: AsRef<[Vec<u8>]>>(
        &mut self,
        requests: &[W],
    ) -> Result<Vec<Result<Value, Lost>>, Lost> {
        self.connect().map_err(Lost::Unasked)?;
        let Some(connection) = &mut self.connection else { return Ok(Vec::new()) };
        let mut bytes = Vec::new();
        requests.iter().for_each(|words| append_request(words.as_ref(), &mut bytes));
        if let Err(error) = connection.send(&bytes) {
            self.forget();
            return Err(Lost::Unanswered(error.to_string()));
        }
        let mut answers = Vec::new();
        for words in requests {
            let Some(connection) = &mut self.connection else {
                answers.push(Err(Lost::Unanswered("the connection was lost".to_owned())));
                continue;
            };
            match connection.answer() {
                Ok(answer) => {
                    self.note(words.as_ref(), &answer);
                    answers.push(Ok(answer));
                }
                Err(error) => {
                    self.forget();
                    answers.push(Err(Lost::Unanswered(error.to_string())));
                }
            }
        }
        Ok(answers)
    }

    /// Whatever comes next on the connection.
    pub(super) fn next(&mut self) -> Option<io::Result<Value>> {
        self.connection.as_mut().map(Connection::next)
    }

    /// What an answer changes about the conversation.
    fn note(&mut self, words: &[Vec<u8>], answer: &Value) {
        let Some(name) = words.first().map(|name| name.to_ascii_lowercase()) else { return };
        if answer.error().is_some() {
            // A batch that can't be carried out is over.
            self.batch &= name != b"exec";
            return;
        }
        match (name.as_slice(), words.get(1)) {
            // Within a batch it is only queued.
            (b"select", Some(database)) if answer.text() == Some(b"OK") => {
                self.database.clone_from(database);
            }
            (b"reset", _) => {
                self.database = b"0".to_vec();
                self.batch = false;
            }
            (b"multi", _) => self.batch = true,
            (b"exec" | b"discard", _) => self.batch = false,
            (b"quit", _) => self.forget(),
            _ => {}
        }
    }

    /// What stands in front of the line that is typed: who listens, the database if it is not the
    /// first, and whether a batch is open.
    pub(super) fn prompt(&self) -> String {
        let Some(connection) = &self.connection else { return "not connected> ".to_owned() };
        let ours = connection.server.as_deref() == Some(OURS);
        let database = String::from_utf8_lossy(&self.database).to_ascii_lowercase();
        let level = match database.as_str() {
            "0" | "strong" => String::new(),
            "1" if ours => "[quorum]".to_owned(),
            "2" if ours => "[eventual]".to_owned(),
            other => format!("[{other}]"),
        };
        let batch = if self.batch { "(TX)" } else { "" };
        format!("{}{level}{batch}> ", self.target)
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io::{Read as _, Write as _},
        net::TcpListener,
        thread,
    };

    use super::*;

    /// Somebody who gives these answers, one for each request, and hangs up.
    fn session(answers: &'static [&'static str]) -> Session {
        let listener = TcpListener::bind("127.0.0.1:0").expect("some port is free");
        let port = listener.local_addr().expect("it is bound").port();
        thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("a client");
            for answer in answers {
                assert!(stream.read(&mut [0; 4096]).expect("a request") > 0);
                stream.write_all(answer.as_bytes()).expect("it reads");
            }
        });
        let target = Target { host: "127.0.0.1".to_owned(), port };
        Session::new(target, Credentials::default(), b"0".to_vec(), true)
    }

    fn asked(session: &mut Session, line: &str) -> Result<Value, Lost> {
        let words: Vec<Vec<u8>> = line.split(' ').map(|word| word.as_bytes().to_vec()).collect();
        session.ask(&words)
    }

    #[test]
    fn the_prompt_follows_databases_and_batches() {
        let mut session = session(&[
            "%1\r\n+server\r\n+quorate\r\n",
            "+OK\r\n",
            "-ERR no such database\r\n",
            "+OK\r\n",
            "+QUEUED\r\n",
            "*1\r\n+OK\r\n",
            "+OK\r\n",
            "-EXECABORT no\r\n",
            "+RESET\r\n",
        ]);
        assert_eq!(session.prompt(), "not connected> ");
        for (line, prompt) in [
            ("SELECT 1", "[quorum]> "),
            ("SELECT 9", "[quorum]> "),
            ("MULTI", "[quorum](TX)> "),
            ("SELECT 2", "[quorum](TX)> "),
            ("EXEC", "[quorum]> "),
            ("multi", "[quorum](TX)> "),
            ("exec", "[quorum]> "),
            ("RESET", "> "),
        ] {
            asked(&mut session, line).expect(line);
            let expected = format!("127.0.0.1:{}{prompt}", session.target.port);
            assert_eq!(session.prompt(), expected, "{line}");
        }
    }

    #[test]
    fn a_request_without_an_answer_is_told_from_one_that_was_not_sent() {
        let mut session = session(&["+OK\r\n"]);
        session.connect().expect("it answers");
        let lost = asked(&mut session, "INCR n").expect_err("it has hung up");
        assert!(matches!(lost, Lost::Unanswered(_)), "{lost:?}");
        assert!(lost.to_string().contains("whether it took effect is unknown"), "{lost}");
        assert_eq!(session.prompt(), "not connected> ");
        let lost = asked(&mut session, "INCR n").expect_err("nobody listens");
        assert!(matches!(lost, Lost::Unasked(_)), "{lost:?}");
    }
}
