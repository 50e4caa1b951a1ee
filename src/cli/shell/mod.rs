//! `quorate cli`: talk to a node, by hand or from scripts.
//!
//! Three ways to be used, told apart by the arguments and by what stdin is: a command in the
//! arguments is carried out and ends it; lines on a pipe are carried out one after another, many
//! on their way at once; at a terminal lines are edited, completed and remembered. Replies go to
//! stdout, with their types for people and as they are for programs.
//!
//! The exit code says for scripts whether all was answered without an error.

mod assist;
mod editor;
mod render;
mod session;
mod words;

use std::{
    env,
    ffi::OsString,
    io::{self, BufRead, BufReader, IsTerminal as _, Read as _, Write as _},
    os::unix::ffi::OsStringExt as _,
};

use clap::Args;
use quorate::command::help;

use super::{
    Failure,
    level::Level,
    login::Login,
    resp::{BULK_SIZE_MAX, Target},
};
use editor::{LineEditor, Typed};
use render::Look;
use session::{Lost, Session, WINDOW};

const EXAMPLES: &str = "\
Examples:
  quorate cli                                 a session: Tab completes, help lists the commands
  quorate cli -p 9001 GET name                one command
  quorate cli --level eventual SET name john  the same as -n 2
  quorate cli --json MGET a b                 for programs
  cat photo.jpg | quorate cli -x SET photo    the last argument from stdin
  quorate cli < commands.txt                  a command a line, quoted as in a session

At a terminal replies have their types, elsewhere they are bare, a line each (--raw, --no-raw).
Exit code 0: all was answered; 1: an error was, or nobody answered. QUORATE_PASSWORD may hold the
password. Lines are kept in ~/.quorate_history, or where QUORATE_HISTORY says; without colours if
NO_COLOR is set.";

/// Whom to talk to, and how.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES, disable_help_flag = true)]
#[expect(clippy::struct_excessive_bools, reason = "flags are independent of each other")]
pub(crate) struct Cli {
    /// Host of the node
    #[arg(short = 'h', long, default_value = "localhost")]
    host: String,

    /// Port of the node
    #[arg(short, long, default_value_t = 9000, value_parser = clap::value_parser!(u16).range(1..))]
    port: u16,

    /// Database
    #[arg(short = 'n', long, value_name = "DB", default_value_t = 0)]
    db: u16,

    /// Database, by its level
    #[arg(long, value_enum, conflicts_with = "db", hide_possible_values = true)]
    #[arg(value_name = "strong|quorum|eventual")]
    level: Option<Level>,

    #[command(flatten)]
    login: Login,

    /// Speak RESP2
    #[arg(short = '2')]
    resp2: bool,

    /// Show replies as JSON
    #[arg(long, conflicts_with_all = ["raw", "no_raw"])]
    json: bool,

    /// Show replies bare, also at a terminal
    #[arg(long)]
    raw: bool,

    /// Show replies with their types, also to a program
    #[arg(long, conflicts_with = "raw")]
    no_raw: bool,

    /// Take the last argument from stdin
    #[arg(short = 'x', requires = "command")]
    last_from_stdin: bool,

    /// Print help
    #[arg(long, action = clap::ArgAction::Help)]
    help: Option<bool>,

    /// A command and its arguments; without them lines are read
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

impl Cli {
    /// Talks until there is nothing more to say.
    pub(crate) fn run(self) -> Result<(), Failure> {
        let look = self.look();
        let target = Target { host: self.host, port: self.port };
        let credentials = self.login.credentials();
        let database = self.level.map_or(self.db, |level| level.db().number().into());
        let database = database.to_string().into_bytes();
        let mut session = Session::new(target, credentials, database, !self.resp2);
        if !self.command.is_empty() {
            let mut words: Vec<Vec<u8>> =
                self.command.into_iter().map(OsString::into_vec).collect();
            if self.last_from_stdin {
                let mut last = Vec::new();
                io::stdin().lock().take(BULK_SIZE_MAX).read_to_end(&mut last)?;
                words.push(last);
            }
            return once(&mut session, look, &words);
        }
        if io::stdin().is_terminal() {
            return converse(&mut session, look);
        }
        script(&mut session, look, &mut BufReader::new(io::stdin().lock()))
    }

    fn look(&self) -> Look {
        let terminal = io::stdout().is_terminal();
        if self.json {
            Look::Json
        } else if self.no_raw || terminal && !self.raw {
            Look::Typed { colours: terminal && colours() }
        } else {
            Look::Raw
        }
    }
}

/// Whether whoever looks wants colours.
fn colours() -> bool {
    let is_set = |name| env::var_os(name).is_some_and(|value| !value.is_empty());
    !is_set("NO_COLOR") && env::var_os("TERM").is_none_or(|term| term != "dumb")
}

/// Prints; false if nobody reads any more.
fn print(bytes: &[u8]) -> bool {
    let mut out = io::stdout().lock();
    out.write_all(bytes).and_then(|()| out.flush()).is_ok()
}

fn connect(session: &mut Session) -> Result<(), Failure> {
    if let Some(refusal) = session.connect().map_err(Failure::Remote)? {
        // What needs a password will say so; the rest works.
        let _ = writeln!(io::stderr(), "quorate: the password was not taken: {refusal}");
    }
    Ok(())
}

/// One command.
fn once(session: &mut Session, look: Look, words: &[Vec<u8>]) -> Result<(), Failure> {
    connect(session)?;
    let answer = session.ask(words).map_err(|lost| Failure::Remote(lost.to_string()))?;
    let refused = answer.error().map(str::to_owned);
    // Who reads JSON finds the error there too.
    if (refused.is_none() || look == Look::Json) && !print(&look.render(&answer)) {
        return Ok(());
    }
    match refused {
        Some(error) => Err(Failure::Remote(error)),
        None if goes_on(words) => listen(session, look),
        None => Ok(()),
    }
}

/// Whether more follows the answer to such a command, until somebody ends it.
fn goes_on(words: &[Vec<u8>]) -> bool {
    words.first().is_some_and(|name| name.eq_ignore_ascii_case(b"monitor"))
}

/// Shows what comes, until the node or whoever reads has enough.
fn listen(session: &mut Session, look: Look) -> Result<(), Failure> {
    while let Some(next) = session.next() {
        let value = next.map_err(|error| Failure::Remote(error.to_string()))?;
        if !print(&look.render(&value)) {
            break;
        }
    }
    Ok(())
}

/// Lines that a program sends: those that are there already are on their way together.
fn script(
    session: &mut Session,
    look: Look,
    input: &mut BufReader<impl io::Read>,
) -> Result<(), Failure> {
    connect(session)?;
    let (mut asked, mut refused, mut number) = (0_u64, 0_u64, 0_u64);
    let mut ended = false;
    while !ended {
        let mut requests = Vec::new();
        while requests.len() < WINDOW {
            let mut line = Vec::new();
            if input.read_until(b'\n', &mut line)? == 0 {
                ended = true;
                break;
            }
            number += 1;
            let words = words::split(&line)
                .map_err(|error| Failure::Refused(format!("line {number}: {error}")))?;
            let endless = goes_on(&words);
            if !words.is_empty() {
                requests.push(words);
            }
            // Who writes a line and waits for its answer has nothing more in the pipe yet.
            if endless || !input.buffer().contains(&b'\n') {
                break;
            }
        }
        if requests.is_empty() {
            continue;
        }
        asked += requests.len() as u64;
        let lost = |lost: Lost| Failure::Remote(lost.to_string());
        for answer in session.ask_all(&requests).map_err(lost)? {
            let answer = answer.map_err(lost)?;
            refused += u64::from(answer.error().is_some());
            if !print(&look.render(&answer)) {
                return Ok(());
            }
        }
        if requests.last().is_some_and(|words| goes_on(words)) {
            return listen(session, look);
        }
    }
    if refused > 0 {
        return Err(Failure::Remote(format!("{refused} of {asked} answers are errors")));
    }
    Ok(())
}

/// Lines that a person types.
fn converse(session: &mut Session, look: Look) -> Result<(), Failure> {
    let colours = matches!(look, Look::Typed { colours: true });
    let failed = |error: rustyline::error::ReadlineError| {
        Failure::Refused(format!("can't read from this terminal: {error}"))
    };
    let mut editor = LineEditor::new(colours).map_err(failed)?;
    loop {
        match session.connect() {
            Ok(None) => {}
            Ok(Some(refusal)) => complain(&format!("the password was not taken: {refusal}")),
            Err(error) => complain(&error),
        }
        match editor.read(&session.prompt()).map_err(failed)? {
            Typed::End => break,
            Typed::Interrupted => {}
            Typed::Line(line) => match words::split(line.as_bytes()) {
                Err(error) => complain(&error),
                Ok(words) if words.is_empty() => {}
                Ok(words) => match own(&words) {
                    Some(Own::Clear) => editor.clear().map_err(failed)?,
                    Some(Own::Exit) => break,
                    Some(Own::Say(text)) => _ = print(text.as_bytes()),
                    Some(Own::TurnTo(target)) => session.turn_to(target),
                    None => answer(session, look, &words),
                },
            },
        }
        editor.save();
    }
    editor.save();
    Ok(())
}

fn complain(error: &str) {
    print(format!("{error}\n").as_bytes());
}

fn answer(session: &mut Session, look: Look, words: &[Vec<u8>]) {
    match session.ask(words) {
        Ok(answer) => {
            print(&look.render(&answer));
            if goes_on(words)
                && answer.error().is_none()
                && let Err(error) = listen(session, look)
            {
                complain(&error.to_string());
            }
        }
        Err(lost) => complain(&lost.to_string()),
    }
}

/// What the program does by itself.
enum Own {
    Clear,
    Exit,
    Say(String),
    TurnTo(Target),
}

fn own(words: &[Vec<u8>]) -> Option<Own> {
    let words: Vec<String> =
        words.iter().map(|word| String::from_utf8_lossy(word).into_owned()).collect();
    let (name, arguments) = words.split_first()?;
    match (name.to_ascii_lowercase().as_str(), arguments) {
        ("clear", []) => Some(Own::Clear),
        ("exit" | "quit", []) => Some(Own::Exit),
        ("connect", [address]) => Some(match Target::parse(address) {
            Ok(target) => Own::TurnTo(target),
            Err(error) => Own::Say(format!("{error}\n")),
        }),
        ("connect", _) => Some(Own::Say("connect HOST:PORT\n".to_owned())),
        ("help" | "?", []) => {
            let text = help::text(None).unwrap_or_default();
            Some(Own::Say(format!(
                "{text}This program's own: help [command], connect HOST:PORT, clear, exit\n"
            )))
        }
        ("help" | "?", [command]) => Some(Own::Say(
            help::text(Some(command.as_bytes()))
                .unwrap_or_else(|| format!("no command is called {command}; try help\n")),
        )),
        _ => None,
    }
}
