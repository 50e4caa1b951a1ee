//! A client that writes many requests before it reads their replies, but never more than a window
//! of them: neither side's buffers can fill up while both sides wait.
//!
//! Knows as much of RESP as it needs: every request it sends has one line for a reply.

use std::{
    collections::VecDeque,
    io::{self, BufRead as _, BufReader, Write as _},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use quorate::record::Db;

/// Requests that may wait for their replies.
const WINDOW: usize = 1024;
/// Bytes gathered before they are sent.
const SEND_SIZE: usize = 64 * 1024;
/// How long a node may take to answer or to read. It may be busy; it may not be gone.
const PATIENCE: Duration = Duration::from_secs(30);
/// A longer line is no reply to anything that is asked here.
const LINE_MAX: u64 = 64 * 1024;
/// Refusals beyond this many are only counted.
const REFUSALS_MAX: usize = 10;
/// Bytes of a key that are shown.
const KEY_SHOWN_MAX: usize = 100;

/// A connection to a node.
pub(super) struct Pipeline {
    reader: BufReader<TcpStream>,
    out: Vec<u8>,
    waiting: VecDeque<Asked>,
    db: Db,
    /// SETs that were acknowledged.
    pub(super) written: u64,
    /// What was answered with an error.
    pub(super) refused: u64,
    /// The first of those, for people.
    pub(super) refusals: Vec<String>,
}

enum Asked {
    Select(Db),
    Set { db: Db, key: Vec<u8> },
}

impl Pipeline {
    pub(super) fn connect(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect_timeout(&address, PATIENCE)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        stream.set_nodelay(true)?;
        Ok(Self {
            reader: BufReader::new(stream),
            out: Vec::new(),
            waiting: VecDeque::new(),
            db: Db::STRONG,
            written: 0,
            refused: 0,
            refusals: Vec::new(),
        })
    }

    /// Sets a key, at once or soon.
    pub(super) fn set(
        &mut self,
        db: Db,
        key: &[u8],
        value: &[u8],
        expires_at_ms: Option<u64>,
    ) -> io::Result<()> {
        if db != self.db {
            self.db = db;
            self.ask(&[b"SELECT", db.number().to_string().as_bytes()], Asked::Select(db))?;
        }
        let asked = Asked::Set { db, key: key.to_vec() };
        match expires_at_ms {
            Some(deadline) => {
                let deadline = deadline.to_string();
                self.ask(&[b"SET", key, value, b"PXAT", deadline.as_bytes()], asked)
            }
            None => self.ask(&[b"SET", key, value], asked),
        }
    }

    /// Waits for every reply that is still due.
    pub(super) fn finish(&mut self) -> io::Result<()> {
        self.send()?;
        while !self.waiting.is_empty() {
            self.read_reply()?;
        }
        Ok(())
    }

    /// Requests without a reply so far.
    pub(super) fn unanswered(&self) -> usize {
        self.waiting.iter().filter(|asked| matches!(asked, Asked::Set { .. })).count()
    }

    fn ask(&mut self, args: &[&[u8]], asked: Asked) -> io::Result<()> {
        self.out.extend_from_slice(format!("*{}\r\n", args.len()).as_bytes());
        for arg in args {
            self.out.extend_from_slice(format!("${}\r\n", arg.len()).as_bytes());
            self.out.extend_from_slice(arg);
            self.out.extend_from_slice(b"\r\n");
        }
        self.waiting.push_back(asked);
        if self.out.len() >= SEND_SIZE {
            self.send()?;
        }
        if self.waiting.len() >= WINDOW {
            self.send()?;
            // Half of it, so that the node always has something to do.
            while self.waiting.len() > WINDOW / 2 {
                self.read_reply()?;
            }
        }
        Ok(())
    }

    fn send(&mut self) -> io::Result<()> {
        self.reader.get_ref().write_all(&self.out)?;
        self.out.clear();
        Ok(())
    }

    fn read_reply(&mut self) -> io::Result<()> {
        let mut line = Vec::new();
        io::Read::take(&mut self.reader, LINE_MAX).read_until(b'\n', &mut line)?;
        let Some(line) = line.strip_suffix(b"\r\n") else {
            return Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                "the node closed the connection, or is none",
            ));
        };
        let ok = line == b"+OK";
        match self.waiting.pop_front() {
            Some(Asked::Set { .. }) if ok => self.written += 1,
            Some(Asked::Select(_)) if ok => {}
            // Whatever came next would go to a wrong database.
            Some(Asked::Select(db)) => {
                let reply = line.escape_ascii();
                return Err(io::Error::other(format!("SELECT {}: {reply}", db.number())));
            }
            Some(Asked::Set { db, key }) => self.refuse(db, &key, line),
            None => return Err(io::Error::other("a reply to nothing")),
        }
        Ok(())
    }

    fn refuse(&mut self, db: Db, key: &[u8], reply: &[u8]) {
        self.refused += 1;
        if self.refusals.len() < REFUSALS_MAX {
            let shown = key.get(..KEY_SHOWN_MAX).unwrap_or(key).escape_ascii();
            let more = if key.len() > KEY_SHOWN_MAX { "..." } else { "" };
            let (db, reply) = (db.number(), reply.strip_prefix(b"-").unwrap_or(reply));
            self.refusals
                .push(format!("database {db}, key {shown}{more}: {}", reply.escape_ascii()));
        }
    }
}
