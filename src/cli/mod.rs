//! The command line: flags to settings, settings to a running command, trouble to one line for the
//! user.
//!
//! One file per command. A port in place of a command means `serve`. Logs go to stderr from a
//! thread of their own, which drops lines rather than make a node wait; what the user asked to see
//! goes to stdout.

mod backup;
mod backup_file;
mod bench;
mod check;
mod completions;
mod demo;
mod level;
mod login;
mod pipeline;
mod resp;
mod restore;
mod serve;
mod shell;
mod status;
mod top;
mod verify;

use std::fmt;
use std::io::{self, IsTerminal as _, Write as _};
use std::process::ExitCode;

use clap::{Parser, Subcommand, error::ErrorKind};
use quorate::{
    config::{Config, ConfigError},
    log::{DiskError, OpenError},
    os::{Listeners, NodeError},
};
use tracing_appender::non_blocking::{NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::EnvFilter;

/// Says which log lines to write, as in `QUORATE_LOG=debug`.
const LOG_VARIABLE: &str = "QUORATE_LOG";

const EXAMPLES: &str = "\
Examples:
  quorate 9000                                             one node
  quorate 9000 --peers localhost:9001,localhost:9002       one node of three
  quorate 9000 --data /var/lib/quorate --fsync everysec    data elsewhere, synced once a second
  quorate demo                                             three nodes on ports 9000-9002
  quorate status localhost:9000                            the cluster as that node sees it
  quorate verify ./quorate-9000                            look for damage; changes nothing
  quorate backup ./quorate-9000 monday.backup              copy a node's data while it runs
  nc localhost 9000                                        talk to it: SET name john, GET name
  quorate cli -p 9000                                      the same with history and completion

Logs go to stderr; QUORATE_LOG=debug (or info, warn, error, off) says how much.";

/// A replicated key-value store: as easy as netcat, as familiar as Redis.
#[derive(Debug, Parser)]
#[command(
    version,
    after_help = EXAMPLES,
    arg_required_else_help = true,
    args_conflicts_with_subcommands = true,
    disable_help_subcommand = true
)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,

    #[command(flatten)]
    serve: Option<serve::Serve>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Copies a node's data into one file, while the node runs or not
    Backup(backup::Backup),
    /// Measures a running cluster, also beside another server
    Bench(bench::Bench),
    /// Works a running cluster and checks that its strong database is linearizable
    Check(check::Check),
    /// Talks to a node: a session, one command, or a script
    Cli(shell::Cli),
    /// Prints a script that completes this program's arguments in a shell
    Completions(completions::Completions),
    /// Runs three nodes in this terminal, to try things out
    Demo(demo::Demo),
    /// Makes a data directory of a backup, or writes it into a running cluster
    Restore(restore::Restore),
    /// Shows the cluster as one of its nodes sees it
    Status(status::Status),
    /// Shows all nodes of a cluster: load, latencies, lag, memory
    Top(top::Top),
    /// Checks a data directory without changing it
    Verify(verify::Verify),
}

/// Runs the command that the arguments name.
pub(crate) fn run() -> Result<(), Failure> {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(answer) if !answer.use_stderr() => {
            say(format_args!("{}", answer.render()));
            return Ok(());
        }
        Err(error) => return Err(Failure::Usage(error)),
    };
    // What to try would be lost among what three nodes say when all is well.
    let level = if matches!(cli.command, Some(Command::Demo(_))) { "warn" } else { "info" };
    let _flushes_logs_when_dropped = start_logs(level)?;
    match (cli.command, cli.serve) {
        (Some(Command::Backup(backup)), _) => backup.run(),
        (Some(Command::Bench(bench)), _) => bench.run(),
        (Some(Command::Check(check)), _) => check.run(),
        (Some(Command::Cli(shell)), _) => shell.run(),
        (Some(Command::Completions(completions)), _) => {
            completions.run();
            Ok(())
        }
        (Some(Command::Demo(demo)), _) => demo.run(),
        (Some(Command::Restore(restore)), _) => restore.run(),
        (Some(Command::Status(status)), _) => status.run(),
        (Some(Command::Top(top)), _) => top.run(),
        (Some(Command::Verify(verify)), _) => verify.run(),
        (None, Some(serve)) => serve.run(),
        (None, None) => unreachable!("without arguments there is only help"),
    }
}

/// Why the program ends other than by a clean stop.
#[derive(Debug)]
pub(crate) enum Failure {
    /// A port can't be listened on.
    Bind(u16, io::Error),
    /// Settings that don't fit together.
    Config(ConfigError),
    /// `QUORATE_LOG` makes no sense.
    LogFilter(String),
    /// The node can't start, or ended.
    Node(NodeError),
    /// Something that the user named is not what the command needs: a file, a directory.
    Refused(String),
    /// A node did not do what was asked of it.
    Remote(String),
    /// Flags that make no sense.
    Usage(clap::Error),
}

impl Failure {
    /// Tells the user, on stderr.
    pub(crate) fn report(&self) {
        // With stderr closed there is nobody to tell; the exit code still speaks.
        let _ = match self {
            Self::Usage(error) if shows_help(error) => {
                write!(io::stderr(), "{}", error.render())
            }
            other => writeln!(io::stderr(), "quorate: {other}"),
        };
    }

    /// What the program ends with.
    pub(crate) fn exit_code(&self) -> ExitCode {
        match self {
            Self::Bind(..)
            | Self::Config(_)
            | Self::LogFilter(_)
            | Self::Refused(_)
            | Self::Usage(_) => 2.into(),
            Self::Node(NodeError::Data { error: OpenError::Disk(_), .. } | NodeError::Disk(_)) => {
                3.into()
            }
            Self::Node(NodeError::Data { .. }) => 2.into(),
            Self::Node(NodeError::System(_)) | Self::Remote(_) => 1.into(),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bind(port, error) => match error.kind() {
                io::ErrorKind::AddrInUse => {
                    write!(f, "port {port} is in use; stop the program that listens on it or ")?;
                    write!(f, "choose another port")
                }
                io::ErrorKind::PermissionDenied => {
                    write!(f, "no permission to listen on port {port}; choose one above 1023")
                }
                _ => write!(f, "can't listen on port {port}: {error}"),
            },
            Self::Config(error) => error.fmt(f),
            Self::LogFilter(error) => {
                write!(f, "{LOG_VARIABLE} makes no sense: {error}; try info or quorate=debug")
            }
            Self::Node(error) => error.fmt(f),
            Self::Refused(text) | Self::Remote(text) => f.write_str(text),
            Self::Usage(error) => {
                let text = error.render().to_string();
                let text = text.strip_prefix("error: ").unwrap_or(&text);
                f.write_str(text.trim_end())
            }
        }
    }
}

impl From<NodeError> for Failure {
    fn from(error: NodeError) -> Self {
        Self::Node(error)
    }
}

impl From<DiskError> for Failure {
    fn from(error: DiskError) -> Self {
        Self::Node(NodeError::Disk(error))
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Node(NodeError::System(error))
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        Self::Config(error)
    }
}

fn shows_help(error: &clap::Error) -> bool {
    error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand
}

/// Listens where `config` says.
fn listen(config: &Config) -> Result<Listeners, Failure> {
    let port = config.port();
    Listeners::bind(port, config.advertised_ip()).map_err(|error| Failure::Bind(port, error))
}

/// Prints what the user should see now. With stdout closed nobody looks, and a node has better
/// things to do than to fail.
fn say(text: fmt::Arguments<'_>) {
    let mut out = io::stdout().lock();
    let _ = out.write_fmt(text).and_then(|()| out.flush());
}

fn start_logs(level: &str) -> Result<WorkerGuard, Failure> {
    let wanted = std::env::var(LOG_VARIABLE).unwrap_or_else(|_| level.to_owned());
    let filter = EnvFilter::try_new(wanted).map_err(|e| Failure::LogFilter(e.to_string()))?;
    let (writer, guard) = NonBlockingBuilder::default().lossy(true).finish(io::stderr());
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(io::stderr().is_terminal())
        .with_writer(writer)
        .init();
    Ok(guard)
}
