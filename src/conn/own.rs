//! What a connection answers by itself, and what it hands on.

use super::{Connection, Host, Request};
use crate::{
    command::{ClientAsk, Command, about, facts, help},
    proto::Style,
    record::Db,
};

/// Whom everybody is, as long as there are no users.
const DEFAULT_USER: &[u8] = b"default";
const NO_PASSWORDS: &str = "ERR AUTH <password> called without any password configured for the default user. \
                            Are you sure your configuration is correct?";
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
            Command::Exists { .. } | Command::MGet { .. } => self.readonly,
            Command::Auth { .. }
            | Command::Client(_)
            | Command::Command { .. }
            | Command::Del { .. }
            | Command::Echo { .. }
            | Command::Fact(_)
            | Command::Hello { .. }
            | Command::Help { .. }
            | Command::Info { .. }
            | Command::LastSave
            | Command::MSet { .. }
            | Command::Ping { .. }
            | Command::Proto { .. }
            | Command::Quit
            | Command::ReadOnly { .. }
            | Command::Reset
            | Command::Save { .. }
            | Command::Select { .. }
            | Command::Status
            | Command::Time => false,
        }
    }

    /// Carries out a command, here or by `execute`.
    pub(super) fn carry_out(&mut self, command: Command<'_>, style: Style, host: &mut impl Host) {
        match command {
            // What reads or writes data, or speaks of the node.
            Command::Ask(_)
            | Command::DbSize
            | Command::Del { .. }
            | Command::Exists { .. }
            | Command::FlushAll
            | Command::FlushDb
            | Command::Info { .. }
            | Command::Keys { .. }
            | Command::LastSave
            | Command::MGet { .. }
            | Command::MSet { .. }
            | Command::Op { .. }
            | Command::RandomKey
            | Command::Replicas { .. }
            | Command::Save { .. }
            | Command::Scan { .. }
            | Command::Status
            | Command::Time
            | Command::Wait { .. } => {
                let (db, readonly) = (self.db, self.readonly);
                let (ticket, behind) = (self.replies.next(), self.replies.has_open());
                self.replies.answer(style, |reply| {
                    host.execute(Request { db, command, reply, ticket, readonly, behind })
                });
            }
            own => self.answer_own(own, style),
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
