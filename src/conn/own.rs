//! What a connection answers by itself, and what it hands on.

use super::{
    Connection, Done, Host, Request, Transaction,
    multi::{self, NotQueued},
};
use crate::{
    command::{Called, ClientAsk, Command, CommandError, about, facts, help},
    limits::Limits,
    proto::{Args, Style},
    record::Db,
};

/// Whom everybody is, as long as there are no users.
const DEFAULT_USER: &[u8] = b"default";
const NO_PASSWORDS: &str = "ERR AUTH <password> called without any password configured for the default user. \
                            Are you sure your configuration is correct?";
const ABORTED: &str = "EXECABORT Transaction discarded because of previous errors.";
const OTHER_DB: &str = "ERR SELECT of another database is not offered between MULTI and EXEC: a \
    transaction is of one database, and so of one level";
const NO_USER: &str = "WRONGPASS invalid username-password pair or user is disabled.";

/// Whether requests are answered, as CLIENT REPLY has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Voice {
    /// None is.
    Off,
    /// All are.
    On,
    /// The next one is not.
    Skip,
}

impl Voice {
    /// Whether a request that comes now is not answered.
    pub(super) const fn is_silent(self) -> bool {
        matches!(self, Self::Off | Self::Skip)
    }

    /// What holds behind a request, unless it says something else.
    pub(super) const fn next(self) -> Self {
        match self {
            Self::Off => Self::Off,
            Self::On | Self::Skip => Self::On,
        }
    }
}

impl Connection {
    /// Whether a command must not begin before all requests before it are answered: it shows this
    /// node's copy, or what became of them.
    pub(super) const fn waits(&self, command: &Command<'_>) -> bool {
        match command {
            Command::Ask(_)
            | Command::DbSize
            | Command::FlushAll
            | Command::FlushDb
            | Command::Keys { .. }
            | Command::RandomKey
            | Command::Replicas { .. }
            | Command::Scan { .. }
            | Command::Wait { .. } => true,
            Command::Op { op, .. } => self.readonly && op.is_read(),
            Command::Exists { .. } | Command::Lcs { .. } | Command::MGet { .. } => self.readonly,
            // What it watches is not known before.
            Command::Discard
            | Command::Exec
            | Command::Reset
            | Command::Unwatch
            | Command::Watch { .. } => self.multi.is_asking(),
            Command::Auth { .. }
            | Command::Client(_)
            | Command::Command { .. }
            | Command::Copy { .. }
            | Command::Del { .. }
            | Command::Echo { .. }
            | Command::Eval { .. }
            | Command::Fact(_)
            | Command::Hello { .. }
            | Command::Help { .. }
            | Command::Info { .. }
            | Command::LastSave
            | Command::MSet { .. }
            | Command::MSetNx { .. }
            | Command::Multi
            | Command::Ping { .. }
            | Command::Proto { .. }
            | Command::Quit
            | Command::ReadOnly { .. }
            | Command::Save { .. }
            | Command::Script(_)
            | Command::Select { .. }
            | Command::Status
            | Command::Time => false,
        }
    }

    /// Carries out a command, here or by `execute`.
    pub(super) fn carry_out(
        &mut self,
        command: Command<'_>,
        style: Style,
        limits: &Limits,
        host: &mut impl Host,
    ) {
        match command {
            // What reads or writes data, or speaks of the node.
            Command::Ask(_)
            | Command::Copy { .. }
            | Command::DbSize
            | Command::Del { .. }
            | Command::Eval { .. }
            | Command::Exists { .. }
            | Command::FlushAll
            | Command::FlushDb
            | Command::Info { .. }
            | Command::Keys { .. }
            | Command::LastSave
            | Command::Lcs { .. }
            | Command::MGet { .. }
            | Command::MSet { .. }
            | Command::MSetNx { .. }
            | Command::Op { .. }
            | Command::RandomKey
            | Command::Replicas { .. }
            | Command::Save { .. }
            | Command::Scan { .. }
            | Command::Script(_)
            | Command::Status
            | Command::Time
            | Command::Wait { .. } => {
                self.hand_on(command, None, style, host);
            }
            Command::Exec => self.exec(style, host),
            Command::Watch { keys } => self.watch(keys, style, limits, host),
            own => self.answer_own(own, style),
        }
    }

    /// Has a command carried out by the owner. Whether it is answered already.
    fn hand_on(
        &mut self,
        command: Command<'_>,
        transaction: Option<&Transaction>,
        style: Style,
        host: &mut impl Host,
    ) -> bool {
        let (db, readonly) = (self.db, self.readonly);
        let (ticket, behind) = (self.replies.next(), self.replies.has_open());
        let mut answered = true;
        self.replies.answer(style, |reply| {
            let request = Request { db, command, reply, ticket, readonly, behind, transaction };
            let done = host.execute(request);
            answered = matches!(done, Done::Now(_));
            done
        });
        answered
    }

    /// A request between MULTI and EXEC.
    pub(super) fn queue(
        &mut self,
        args: Args<'_>,
        command: Result<Command<'_>, CommandError<'_>>,
        style: Style,
        limits: &Limits,
        host: &mut impl Host,
    ) {
        self.replies.set_silent(self.voice.is_silent());
        self.voice = self.voice.next();
        if let Some(error) = command.err().filter(|error| multi::is_early(error, args.len())) {
            if matches!(error, CommandError::Arity { spec } if spec.name == "exec") {
                self.multi.clear();
            }
            self.multi.spoil();
            self.say_error(error, style);
            return host.refuse(error.called(), self.replies.last().failed);
        }
        let queued = self.multi.queue(args, command.ok().as_ref(), self.db, limits);
        self.replies.say(style, |reply| match queued {
            Ok(()) => reply.simple("QUEUED"),
            Err(NotQueued::Forbidden) => {
                reply.error("ERR Command not allowed inside a transaction");
            }
            Err(NotQueued::Full) => {
                let (most, bytes) = (limits.queue_max, limits.queue_size_max);
                reply.error(format_args!(
                    "ERR a transaction has at most {most} requests and {bytes} bytes"
                ));
            }
            Err(NotQueued::NotOffered) => {
                let name = String::from_utf8_lossy(args.get(0).unwrap_or_default());
                let name = name.to_ascii_uppercase();
                reply.error(format_args!("ERR {name} is not offered between MULTI and EXEC"));
            }
            Err(NotQueued::OtherDb) => reply.error(OTHER_DB),
        });
        if queued.is_err() {
            host.refuse(Called::of(args).ok(), self.replies.last().failed);
        }
    }

    /// Shows what EXEC is about to have carried out, if it has.
    pub(super) fn show_queued(&self, host: &mut impl Host) {
        for args in self.multi.requests().into_iter().flat_map(|requests| requests.iter()) {
            if let Ok(called) = Called::of(args) {
                host.begin(called, args, self.db);
            }
        }
    }

    fn exec(&mut self, style: Style, host: &mut impl Host) {
        if !self.multi.is_open() {
            return self.replies.say(style, |reply| reply.error("ERR EXEC without MULTI"));
        }
        match self.multi.take() {
            Some(transaction) => {
                self.hand_on(Command::Exec, Some(&transaction), style, host);
            }
            None => self.replies.say(style, |reply| reply.error(ABORTED)),
        }
    }

    fn watch(&mut self, keys: Args<'_>, style: Style, limits: &Limits, host: &mut impl Host) {
        if self.multi.is_open() {
            let error = "ERR WATCH inside MULTI is not allowed";
            return self.replies.say(style, |reply| reply.error(error));
        }
        if !self.multi.may_watch(keys.len(), limits) {
            self.multi.on_refused();
            let error = format!("ERR at most {} keys are watched at a time", limits.watched_max);
            return self.replies.say(style, |reply| reply.error(error));
        }
        if self.hand_on(Command::Watch { keys }, None, style, host) {
            // It is never carried out at once.
            self.multi.on_refused();
        } else {
            self.multi.on_asked();
        }
    }

    /// Answers what concerns this connection alone.
    fn answer_own(&mut self, command: Command<'_>, style: Style) {
        match command {
            Command::Auth { user } => self.replies.say(style, |reply| match user {
                None => reply.error(NO_PASSWORDS),
                Some(user) if user == DEFAULT_USER => reply.ok(),
                Some(_) => reply.error(NO_USER),
            }),
            Command::Client(ask) => self.client(ask, style),
            Command::Command { ask, names } => {
                self.replies.say(style, |reply| about::commands(ask, names, reply));
            }
            Command::Echo { message } | Command::Ping { message: Some(message) } => {
                self.replies.say(style, |reply| reply.bulk(message));
            }
            Command::Fact(fact) => self.replies.say(style, |reply| facts::answer(fact, reply)),
            Command::Hello { version, user, name } => self.hello(version, user, name, style),
            Command::Help { topic } => self.replies.say(style, |reply| match help::text(topic) {
                Some(text) => reply.lines(&text),
                None => reply.error("ERR no help for that; HELP lists the commands"),
            }),
            Command::Discard | Command::Multi | Command::Unwatch => {
                let done = self.begin_or_end(&command);
                self.replies.say(style, |reply| match done {
                    Ok(()) => reply.ok(),
                    Err(error) => reply.error(error),
                });
            }
            Command::Ping { message: None } => {
                self.replies.say(style, |reply| reply.simple("PONG"));
            }
            // Answered in the new protocol already, as HELLO is.
            Command::Proto { dialect } => {
                self.dialect = dialect;
                self.replies.ok(self.spoken(Style::of_line(dialect, false)));
            }
            Command::Quit => {
                self.closing = true;
                self.replies.ok(style);
            }
            Command::ReadOnly { on } => {
                self.readonly = on;
                self.replies.ok(style);
            }
            Command::Reset => {
                (self.db, self.readonly, self.resp3) = (Db::STRONG, false, false);
                self.voice = Voice::On;
                self.replies.set_silent(false);
                self.name = Box::default();
                self.multi.clear();
                let style = if style == Style::Plain { style } else { Style::Resp };
                self.replies.say(style, |reply| reply.simple("RESET"));
            }
            Command::Select { db } => {
                self.db = db;
                self.replies.ok(style);
            }
            _ => unreachable!("carried out by the owner"),
        }
    }

    /// MULTI, DISCARD and UNWATCH.
    fn begin_or_end(&mut self, command: &Command<'_>) -> Result<(), &'static str> {
        match (command, self.multi.is_open()) {
            (Command::Discard, true) => self.multi.clear(),
            (Command::Discard, false) => return Err("ERR DISCARD without MULTI"),
            (Command::Multi, true) => return Err("ERR MULTI calls can not be nested"),
            (Command::Multi, false) => self.multi.open(),
            _ => self.multi.unwatch(),
        }
        Ok(())
    }

    /// Chooses the version of RESP, and says who answers.
    fn hello(
        &mut self,
        version: Option<u8>,
        user: Option<&[u8]>,
        name: Option<&[u8]>,
        style: Style,
    ) {
        if user.is_some_and(|user| user != DEFAULT_USER) {
            return self.replies.say(style, |reply| reply.error(NO_USER));
        }
        if let Some(version) = version {
            self.resp3 = version == 3;
        }
        if let Some(name) = name {
            self.name = name.into();
        }
        // Answered in the new version already.
        let style = if style == Style::Plain { style } else { self.spoken(Style::Resp) };
        let (version, id) = (if self.resp3 { 3 } else { 2 }, self.id as i64);
        self.replies.say(style, |reply| about::hello(version, id, reply));
    }

    /// Answers CLIENT.
    fn client(&mut self, ask: ClientAsk<'_>, style: Style) {
        let Self { id, name, .. } = self;
        match ask {
            ClientAsk::GetName if name.is_empty() => self.replies.say(style, |reply| reply.null()),
            ClientAsk::GetName => self.replies.say(style, |reply| reply.bulk(name)),
            ClientAsk::Id => self.replies.say(style, |reply| reply.integer(*id as i64)),
            ClientAsk::Library(text) => {
                self.library[0] = text.into();
                self.replies.ok(style);
            }
            ClientAsk::LibraryVersion(text) => {
                self.library[1] = text.into();
                self.replies.ok(style);
            }
            ClientAsk::Noted => self.replies.ok(style),
            ClientAsk::ReplyOff => self.fall_silent(Voice::Off, style),
            ClientAsk::ReplyOn => {
                self.voice = Voice::On;
                self.replies.set_silent(false);
                self.replies.ok(style);
            }
            // Whoever has turned replies off has done so for good.
            ClientAsk::ReplySkip if self.voice == Voice::Off => self.replies.ok(style),
            ClientAsk::ReplySkip => self.fall_silent(Voice::Skip, style),
            ClientAsk::SetName(new) => {
                *name = new.into();
                self.replies.ok(style);
            }
        }
    }

    /// The request that says so is not answered either.
    fn fall_silent(&mut self, voice: Voice, style: Style) {
        self.voice = voice;
        self.replies.set_silent(true);
        self.replies.ok(style);
    }
}
