//! One client's connection: requests in, replies out, and what stands between them.
//!
//! Owns the dialect, the bytes that are no whole request yet (the tail), the replies, the database,
//! and whether there is more to read. It answers what concerns only itself and hands every other
//! command to a closure ([`Request`]), which answers it and says what the reply must wait for, or
//! puts the reply off ([`Done`]). It refuses to know nodes, sockets and time: the owner moves the
//! bytes, says which waits are over, gives deferred replies ([`Connection::reply`]), closes what
//! [`Connection::is_finished`], and watches the total of [`Connection::buffered`].
//!
//! Invariants:
//! - Replies are in the order of their requests, and the same however the input was cut.
//! - While paused nothing is parsed or read: the replies that are not deferred grow by at most one
//!   over the limit, and at most [`Limits::requests_open_max`] are deferred.
//! - Input ends in one of two ways. After QUIT or a broken frame the rest is ignored; at the end of
//!   input every request before it is still answered. Both close only when the last reply is known
//!   and all output has been taken.

use memchr::memchr;

use crate::{
    buffer::OutBuf,
    command::{Called, Command, CommandError},
    limits::Limits,
    probe::{Mutant, planted},
    proto::{
        Args, Dialect, Progress, RequestError, Step, Style, Workspace, next_request,
        reply::ReplyWriter,
    },
    record::Db,
};

mod gate;
mod host;
mod multi;
mod own;
mod replies;
mod view;

use gate::Gate;
pub use gate::Wait;
pub use host::{Host, Note, Words};
use multi::Multi;
pub use multi::{Transaction, Watched};
use own::Voice;
use replies::{Held, Replies};
use view::Last;

/// What a connection cannot answer by itself.
#[derive(Debug)]
pub struct Request<'a> {
    /// The database that the connection has selected.
    pub db: Db,
    /// What is asked.
    pub command: Command<'a>,
    /// Where the reply goes, if it is known now. It has the style of the request.
    pub reply: ReplyWriter<'a>,
    /// Names the reply, if it is not.
    pub ticket: Ticket,
    /// The client lets its reads be answered by this node's copy.
    pub readonly: bool,
    /// An earlier request of the connection is not answered yet.
    pub behind: bool,
    /// What EXEC is to carry out; nothing with other commands.
    pub transaction: Option<&'a Transaction>,
}

/// Names a deferred reply among those of its connection. Of no use unless the request was
/// answered by [`Done::Later`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Done {
    /// Nothing is written; the reply will be given by its ticket. It is expected to hold so many
    /// bytes of values, which count as if they were there: a client that asks for much at once must
    /// not find out how much memory there is.
    Later(usize),
    /// The same, and no further request of the connection is begun before it is given: it speaks of
    /// all keys or of the node, or takes several turns.
    Alone(usize),
    /// The reply is written; it may have to wait before it leaves.
    Now(Option<Wait>),
}

/// One client's state. Methods are of three kinds: input (`handle_*`, [`Connection::resume`],
/// [`Connection::reply`]), output ([`Connection::output`], [`Connection::consume`]), and questions.
#[derive(Clone, Debug, Hash)]
pub struct Connection {
    dialect: Dialect,
    db: Db,
    /// As READONLY and READWRITE have it.
    readonly: bool,
    /// As HELLO has it: replies that are not for people are RESP3.
    resp3: bool,
    /// Its number among all of the node.
    id: u64,
    /// As the client calls it.
    name: Box<[u8]>,
    multi: Multi,
    /// Which library the client uses, and which version of it.
    library: [Box<[u8]>; 2],
    /// Whether requests are answered.
    voice: Voice,
    /// What was last asked.
    last: Last,
    /// Bytes read and not parsed. Empty unless they are unfinished, or had to wait because of a
    /// pause.
    tail: OutBuf,
    /// What is known of the request at the start of the tail.
    progress: Progress,
    /// While the tail is shorter, parsing it says nothing new.
    need: usize,
    /// An overlong line is being dropped.
    dropping: Option<Dropped>,
    replies: Replies,
    paused: Option<Pause>,
    /// No input will follow.
    eof: bool,
    /// No request will be answered any more. Then the tail is empty.
    closing: bool,
}

/// An overlong line, as far as it came.
#[derive(Clone, Copy, Debug, Default, Hash)]
struct Dropped {
    /// The last byte, if any, was a CR: then an LF in the next bytes makes it the end of the line.
    cr: bool,
    /// Bytes so far.
    size: usize,
}

/// Requests wait until at most so much is left of what made them wait.
#[derive(Clone, Copy, Debug, Hash)]
struct Pause {
    /// Bytes of replies.
    size: usize,
    /// Places of deferred replies.
    places: usize,
}

impl Connection {
    /// A connection without any input yet, on the strong database.
    #[must_use]
    pub fn new() -> Self {
        Self::numbered(1, Ticket(0))
    }

    /// The same, with a number and tickets from this one on: where connections come and go, a
    /// ticket must not name a reply of two of them.
    #[must_use]
    pub fn numbered(id: u64, first: Ticket) -> Self {
        Self {
            dialect: Dialect::Detect,
            db: Db::STRONG,
            readonly: false,
            resp3: false,
            id,
            name: Box::default(),
            multi: Multi::default(),
            library: Default::default(),
            voice: Voice::On,
            last: Last(None),
            tail: OutBuf::new(),
            progress: Progress::default(),
            need: 0,
            dropping: None,
            replies: Replies::new(first),
            paused: None,
            eof: false,
            closing: false,
        }
    }

    /// Takes bytes that were read. Executes each request in them, unless paused.
    ///
    /// Only an unfinished request is copied: bytes are added to the tail just until its request is
    /// whole, what follows is parsed where it is.
    pub fn handle_bytes(
        &mut self,
        bytes: &[u8],
        limits: &Limits,
        workspace: &mut Workspace,
        host: &mut impl Host,
    ) {
        debug_assert!(!self.eof, "bytes behind the end of input");
        let mut rest = bytes;
        while !rest.is_empty() && !self.tail.is_empty() && self.parses() {
            let (more, after) = rest.split_at(self.lacking(rest));
            self.tail.extend(more);
            rest = after;
            if self.tail.len() >= self.need {
                self.parse_tail(limits, workspace, host);
            }
        }
        if self.parses() && !rest.is_empty() {
            let consumed = self.parse(rest, limits, workspace, host);
            rest = rest.split_at(consumed).1;
        }
        let is_line = rest.first() != Some(&b'*');
        let lost = is_line && !self.is_paused() && planted(Mutant::PartialLineLost);
        if !self.closing && !lost {
            self.tail.extend(rest);
        }
    }

    /// Goes on with what waited for the output to drain. Does nothing unless
    /// [`Connection::can_resume`].
    pub fn resume(&mut self, limits: &Limits, workspace: &mut Workspace, host: &mut impl Host) {
        if !self.can_resume() {
            return;
        }
        self.paused = None;
        self.parse_tail(limits, workspace, host);
        self.maybe_end();
    }

    /// Takes the end of the input: it ends a line, and makes an unfinished frame worthless.
    pub fn handle_eof(&mut self, limits: &Limits, workspace: &mut Workspace, host: &mut impl Host) {
        self.eof = true;
        if self.parses() {
            self.parse_tail(limits, workspace, host);
        }
        self.maybe_end();
    }

    /// Gives a deferred reply, in the style of its request. Whether it was still awaited; otherwise
    /// nothing happens. It is written into the output if no earlier one is missing.
    /// Then it may be the one that makes further requests wait.
    pub fn reply(
        &mut self,
        ticket: Ticket,
        limits: &Limits,
        write: impl FnOnce(&mut ReplyWriter<'_>),
    ) -> bool {
        let awaited = self.replies.fill(ticket, write);
        if self.replies.size() > limits.output_pause && !self.closing {
            self.maybe_pause(limits);
        }
        awaited
    }

    /// What a WATCH that was put off came to, nothing if it was not carried out; before its reply.
    pub fn on_watched(&mut self, watched: Option<Vec<Watched>>) {
        self.multi.on_watched(watched);
    }

    /// Whether this reply is still awaited.
    #[must_use]
    pub fn awaits(&self, ticket: Ticket) -> bool {
        self.replies.is_open(ticket)
    }

    /// Reply bytes that may be written.
    #[must_use]
    pub fn output(&self) -> &[u8] {
        self.replies.output()
    }

    /// Whether replies wait for something else than the client.
    #[must_use]
    pub fn is_held(&self) -> bool {
        self.replies.is_held()
    }

    /// Lets go of replies whose wait is over. Whether there were any.
    pub fn release(&mut self, is_over: impl Fn(Wait) -> bool) -> bool {
        self.replies.release(is_over)
    }

    /// Forgets `count` bytes of output that were written.
    pub fn consume(&mut self, count: usize) {
        self.replies.consume(count);
    }

    /// How much output has been taken in all: whether it grows tells a slow reader from one that
    /// reads nothing.
    #[must_use]
    pub const fn written(&self) -> u64 {
        self.replies.written()
    }

    /// Takes no more requests; closes when those before have been answered and all output has been
    /// taken.
    pub fn shut(&mut self) {
        self.closing = true;
        self.paused = None;
        self.tail = OutBuf::new();
    }

    /// Says why nothing will be answered, and shuts.
    pub fn turn_away(&mut self, error: &str) {
        self.replies.say(Style::Resp, |reply| reply.error(error));
        self.shut();
    }

    /// Whether requests wait until the client takes its replies, or deferred ones are given.
    #[must_use]
    pub const fn is_paused(&self) -> bool {
        self.paused.is_some()
    }

    /// Whether enough of the replies is gone to go on.
    #[must_use]
    pub fn can_resume(&self) -> bool {
        self.paused.is_some_and(|pause| {
            self.replies.size() <= pause.size && self.replies.places() <= pause.places
        })
    }

    /// Whether all is said; the owner closes the link.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.closing && self.replies.is_empty()
    }

    /// Whether more input is welcome.
    #[must_use]
    pub const fn wants_read(&self) -> bool {
        !self.is_paused() && !self.closing && !self.eof
    }

    /// Memory held, in bytes.
    #[must_use]
    pub fn buffered(&self) -> usize {
        self.tail.capacity() + self.replies.memory() + self.multi.memory()
    }

    /// The style that is meant where a request's own form says RESP.
    const fn spoken(&self, style: Style) -> Style {
        match style {
            Style::Resp if self.resp3 => Style::Resp3,
            Style::Plain | Style::Resp | Style::Resp3 => style,
        }
    }

    const fn parses(&self) -> bool {
        !self.is_paused() && !self.closing
    }

    /// How many bytes of `rest` the request in the tail takes at least; all of them at most, one at
    /// least.
    fn lacking(&self, rest: &[u8]) -> usize {
        let is_frame = self.tail.pending().first() == Some(&b'*');
        let lacking = if is_frame && self.dialect != Dialect::Text {
            self.need.saturating_sub(self.tail.len())
        } else {
            memchr(b'\n', rest).map_or(rest.len(), |at| at + 1)
        };
        lacking.clamp(1, rest.len())
    }

    fn parse_tail(&mut self, limits: &Limits, workspace: &mut Workspace, host: &mut impl Host) {
        let mut tail = std::mem::take(&mut self.tail);
        let consumed = self.parse(tail.pending(), limits, workspace, host);
        tail.consume(consumed);
        self.tail = tail;
        // Only now is the end of an overlong line that never ended known.
        if self.eof && self.parses() && self.dropping.take().is_some() {
            self.refuse_line(limits, false);
        }
    }

    /// Answers requests from the start of `bytes` on; how many bytes are done with.
    fn parse(
        &mut self,
        bytes: &[u8],
        limits: &Limits,
        workspace: &mut Workspace,
        host: &mut impl Host,
    ) -> usize {
        let mut rest = bytes;
        let mut last = None;
        self.need = 0;
        while !rest.is_empty() && self.parses() {
            let consumed = if self.dropping.is_some() {
                self.drop_line(rest, limits)
            } else {
                let (dialect, eof) = (self.dialect, self.eof);
                match next_request(rest, dialect, eof, limits, workspace, &mut self.progress) {
                    Step::Broken { error, style } => {
                        let style = self.spoken(style);
                        self.refuse(error, style);
                        self.closing = true;
                        rest.len()
                    }
                    Step::Complete { args, consumed, style } => {
                        if dialect == Dialect::Detect && rest.first() == Some(&b'*') {
                            self.dialect = Dialect::Resp;
                        }
                        let style = self.spoken(style);
                        if !self.request(args, style, limits, host, &mut last) {
                            break;
                        }
                        consumed
                    }
                    Step::Incomplete { need } => {
                        self.need = need;
                        break;
                    }
                    Step::Overlong => {
                        self.dropping = Some(Dropped::default());
                        0
                    }
                    Step::Reject { error, consumed, style } => {
                        self.refuse(error, self.spoken(style));
                        consumed
                    }
                    Step::Skip { consumed } => consumed,
                }
            };
            rest = rest.split_at(consumed).1;
            self.maybe_pause(limits);
        }
        if self.closing { bytes.len() } else { bytes.len() - rest.len() }
    }

    /// Takes one request; false if it must wait. `last` is where the last reply began.
    fn request(
        &mut self,
        args: Args<'_>,
        style: Style,
        limits: &Limits,
        host: &mut impl Host,
        last: &mut Option<usize>,
    ) -> bool {
        let called = Called::of(args);
        let command = called.and_then(|called| Command::of(called, args));
        if self.multi.is_open() && !command.is_ok_and(|command| multi::is_immediate(&command)) {
            self.queue(args, command, style, limits, host);
            return true;
        }
        if self.replies.has_open() && command.is_ok_and(|command| self.waits(&command)) {
            // It is carried out when all before it is answered.
            self.pause_until_answered();
            return false;
        }
        let before = self.replies.size();
        self.answer((called.ok(), args), command, style, limits, host);
        self.replies.swap(last, before);
        true
    }

    /// Drops an overlong line's bytes; answers when its end shows the style, or when it is so long that
    /// it can't be meant as a line.
    fn drop_line(&mut self, bytes: &[u8], limits: &Limits) -> usize {
        let before = self.dropping.unwrap_or_default();
        let end = memchr(b'\n', bytes);
        let line = bytes.split_at(end.unwrap_or(bytes.len())).0;
        let cr = line.last().map_or(before.cr, |&last| last == b'\r');
        let size = before.size + line.len();
        match end {
            _ if size > limits.line_dropped_max => {
                self.dropping = None;
                self.refuse_line(limits, true);
                self.closing = true;
                bytes.len()
            }
            Some(end) => {
                self.dropping = None;
                self.refuse_line(limits, cr);
                end + 1
            }
            None => {
                self.dropping = Some(Dropped { cr, size });
                bytes.len()
            }
        }
    }

    fn refuse_line(&mut self, limits: &Limits, crlf: bool) {
        let error = RequestError::LineSize { max: limits.line_size_max };
        self.refuse(error, self.spoken(Style::of_line(self.dialect, crlf)));
    }

    fn refuse(&mut self, error: RequestError, style: Style) {
        self.multi.spoil();
        self.replies.set_silent(self.voice.is_silent());
        self.replies.say(style, |reply| match error.hint() {
            Some(hint) => reply.error_with_hint(error, hint),
            None => reply.error(error),
        });
    }

    /// Answers one request.
    fn answer(
        &mut self,
        (called, args): (Option<Called>, Args<'_>),
        command: Result<Command<'_>, CommandError<'_>>,
        style: Style,
        limits: &Limits,
        host: &mut impl Host,
    ) {
        self.replies.set_silent(self.voice.is_silent());
        self.voice = self.voice.next();
        if let Some(called) = called {
            self.last = Last(Some(called));
            if matches!(command, Ok(Command::Exec)) && host.is_watched() {
                self.show_queued(host);
            }
            host.begin(called, args, self.db);
        }
        match command {
            Ok(command) => self.carry_out(command, style, limits, host),
            Err(error) => self.say_error(error, style),
        }
        let answered = self.replies.last();
        match called {
            // As Redis counts, arguments that make no sense are a call that failed.
            Some(called) if answered.held == Held::No => {
                host.end(called, args, answered.failed);
            }
            Some(called) => {
                if let Some(note) = host.note(called, args) {
                    self.replies.remember(note);
                }
            }
            None => {
                host.refuse(command.err().and_then(CommandError::called), answered.failed);
            }
        }
        if answered.alone {
            self.pause_until_answered();
        }
    }

    fn say_error(&mut self, error: CommandError<'_>, style: Style) {
        self.replies.say(style, |reply| match style {
            Style::Plain => reply.error(error.for_people()),
            Style::Resp | Style::Resp3 => reply.error(error),
        });
    }

    const fn pause_until_answered(&mut self) {
        self.paused = Some(Pause { size: usize::MAX, places: 0 });
    }

    fn maybe_pause(&mut self, limits: &Limits) {
        if self.is_paused() {
            return;
        }
        let (size, places) = (limits.output_pause, limits.requests_open_max);
        if self.replies.size() > size || self.replies.places() >= places {
            self.paused = Some(Pause { size: size / 2, places: places / 2 });
        }
    }

    /// Closes when the input has ended and is answered; an unfinished frame goes with it.
    fn maybe_end(&mut self) {
        if self.eof && !self.is_paused() {
            self.closing = true;
            self.tail = OutBuf::new();
        }
    }
}

impl Default for Connection {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests;
