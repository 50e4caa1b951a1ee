//! The program as the user meets it: real processes, their output and their exit codes.
//!
//! What nodes do with requests is tested elsewhere. Nothing here waits for a fixed time: every wait
//! is for a condition, and fails after a bound that only a stuck program reaches. A process that a
//! test starts ends with the test.

use std::{
    io::{BufRead as _, BufReader, Read as _},
    net::{TcpListener, TcpStream},
    process::{Child, Command, ExitStatus, Output, Stdio},
    thread,
    time::{Duration, Instant},
};

use tempfile::TempDir;

const PROGRAM: &str = env!("CARGO_BIN_EXE_quorate");
/// Far longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(20);

#[test]
fn help_shows_examples() {
    let output = quorate(&["--help"]);
    assert_eq!(output.status.code(), Some(0));
    let text = stdout(&output);
    for part in ["Usage:", "demo", "--peers", "Examples:", "nc localhost 9000", "QUORATE_LOG"] {
        assert!(text.contains(part), "no {part:?} in:\n{text}");
    }
    assert!(output.stderr.is_empty());
}

#[test]
fn each_command_has_help_with_examples() {
    for (command, parts) in [
        ("backup", &["DIR", "FILE", "monday.backup"][..]),
        (
            "bench",
            &["--against", "--rate", "--zipf", "coordinated omission", "QUORATE_PASSWORD", "-a"],
        ),
        ("check", &["HOST:PORT,...", "--history", "Exit code 0"]),
        ("cli", &["--level", "--json", "-h, --host", "quorate cli < commands.txt", "NO_COLOR"]),
        ("completions", &["bash", "zsh", "fish"]),
        ("demo", &["--port", "--data"]),
        ("restore", &["--data", "--to", "--db", "monday.backup"]),
        ("status", &["HOST:PORT", "exit code 0"]),
        ("top", &["--once", "--json", "--interval", "Exit code 1", "QUORATE_PASSWORD", "-a"]),
        ("verify", &["DIR", "exit code 0"]),
    ] {
        let output = quorate(&[command, "--help"]);
        assert_eq!(output.status.code(), Some(0));
        let text = stdout(&output);
        assert!(text.contains("Examples:"), "{text}");
        for part in parts {
            assert!(text.contains(part), "no {part:?} in:\n{text}");
        }
    }
}

#[test]
fn shells_get_a_script_that_knows_the_subcommands() {
    for (shell, begin, check) in
        [("bash", "_quorate()", "bash"), ("zsh", "#compdef quorate", "zsh"), ("fish", "#", "fish")]
    {
        let output = quorate(&["completions", shell]);
        assert_eq!(output.status.code(), Some(0));
        let script = stdout(&output);
        assert!(script.starts_with(begin), "{shell}: {script:.80}");
        for part in ["bench", "completions", "against", "cold-start"] {
            assert!(script.contains(part), "{shell}: no {part}");
        }
        // The shell itself reads it, if it is here.
        let folder = tempfile::tempdir().expect("a place for tests");
        let file = folder.path().join("script");
        std::fs::write(&file, script).expect("it can be written");
        match Command::new(check).arg("-n").arg(&file).output() {
            Ok(output) => assert!(output.status.success(), "{shell}: {}", stderr(&output)),
            Err(_) => eprintln!("SKIPPED: {shell} is not installed"),
        }
    }
}

#[test]
fn version_is_that_of_the_package() {
    let output = quorate(&["--version"]);
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(stdout(&output), format!("quorate {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn without_arguments_there_is_help_and_code_2() {
    let output = quorate(&[]);
    assert_eq!(output.status.code(), Some(2));
    assert!(output.stdout.is_empty());
    assert!(stderr(&output).contains("Usage:"));
}

#[test]
fn usage_errors_are_told_once_with_code_2() {
    let cases: &[(&[&str], &str)] = &[
        (&["port"], "invalid value 'port'"),
        (&["65536"], "65536 is not in 0..=65535"),
        (&["9000", "--no-such-flag"], "unexpected argument '--no-such-flag'"),
        (&["--peers", "localhost:9001"], "<PORT>"),
        (&["9000", "--peers", "localhost"], "bad address \"localhost\": there is no port"),
        (&["9000", "--peers", "localhost:9001,"], "bad address \"\": there is no port"),
        (&["9000", "--peers", "db1:9001"], "loopback only"),
        (&["9000", "--peers", "127.0.0.1:9000"], "\"127.0.0.1:9000\" is this node itself"),
        (&["9000", "--peers", "localhost:9001,[::1]:9001"], "\"[::1]:9001\" is listed twice"),
        (&["9000", "--advertise", "localhost:x"], "the port is not a number from 1 to 65535"),
        (&["0", "--peers", "localhost:9001"], "peers can't know"),
        (&["verify"], "<DIR>"),
        (&["backup", "data"], "<FILE>"),
        (&["restore", "file"], "--data"),
        (&["restore", "file", "--data", "a", "--to", "localhost:1"], "cannot be used with"),
        (&["restore", "file", "--data", "a", "--db", "1"], "cannot be used with"),
        (&["restore", "file", "--to", "localhost:1", "--db", "3"], "invalid value '3'"),
        (&["restore", "file", "--to", "db1:9000"], "loopback only"),
        (&["demo", "--port", "65534"], "65534 is not in 1..=65533"),
        (&["cli", "-p", "0"], "0 is not in 1.."),
        (&["cli", "--level", "weak"], "invalid value 'weak'"),
        (&["cli", "--level", "strong", "-n", "1"], "cannot be used with"),
        (&["cli", "--json", "--raw", "PING"], "cannot be used with"),
        (&["cli", "-x"], "<COMMAND>"),
        (&["completions"], "<SHELL>"),
        (&["completions", "csh"], "invalid value 'csh'"),
        (&["bench", "localhost:x"], "the port is not a number from 1 to 65535"),
        (&["bench", "--clients", "0"], "0 is not in 1..=10000"),
        (&["bench", "--reads", "101"], "not a number from 0 to 100"),
        (&["bench", "--value-size", "9-8"], "invalid value '9-8'"),
        (&["bench", "--requests", "5", "--rate", "5"], "cannot be used with"),
        (&["top", "::1:9000"], "put an IPv6 address in brackets"),
        (&["top", "--interval", "0"], "the interval must be 0.05 to 3600 seconds"),
    ];
    for (arguments, expected) in cases {
        let output = quorate(arguments);
        let text = stderr(&output);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {text}");
        assert!(text.starts_with("quorate: "), "{arguments:?}: {text}");
        assert_eq!(text.matches("quorate: ").count(), 1, "{arguments:?}: {text}");
        assert!(text.contains(expected), "{arguments:?}: {text}");
        assert!(output.stdout.is_empty());
    }
}

#[test]
fn a_port_in_use_is_named_with_code_2() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("some port is free");
    let port = taken.local_addr().expect("it is bound").port().to_string();
    for arguments in [&[port.as_str()][..], &["demo", "--port", &port]] {
        let output = quorate(arguments);
        assert_eq!(output.status.code(), Some(2));
        let expected = format!("quorate: port {port} is in use; ");
        assert!(stderr(&output).starts_with(&expected), "{}", stderr(&output));
    }
}

#[test]
fn log_filters_are_checked() {
    let mut command = Command::new(PROGRAM);
    let output = command.arg("0").env("QUORATE_LOG", "quorate=loud").output().expect("it runs");
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).starts_with("quorate: QUORATE_LOG makes no sense: "));
}

#[test]
fn a_node_starts_with_four_lines_and_stops_on_sigterm_with_code_0() {
    let mut node = Running::start(&["0"]);
    let text = node.lines(4);
    assert!(text[1].starts_with("peers      none; this node is n0 localhost:"), "{text:?}");
    assert!(text[1].ends_with("a majority is this node alone"), "{text:?}");
    let port = port_in(&text[0]);
    let data = format!("data       ./quorate-{port}: new; a reply to a write means");
    assert!(text[2].starts_with(&data), "{text:?}");
    assert!(text[3].contains(&format!("nc localhost {port}")), "{text:?}");
    let _client = TcpStream::connect(("127.0.0.1", port)).expect("it listens");
    node.signal("TERM");
    assert_eq!(node.wait().code(), Some(0));
    let logs = node.stderr();
    assert!(logs.contains("got SIGTERM"), "{logs}");
    assert!(logs.trim_end().ends_with("stopped"), "the last lines of the log are written: {logs}");
    assert!(!logs.contains('\x1b'), "no colours into a file: {logs}");
}

#[test]
fn a_node_stops_on_sigint_too() {
    let mut node = Running::start(&["0"]);
    node.lines(4);
    node.signal("INT");
    assert_eq!(node.wait().code(), Some(0));
}

fn quorate(arguments: &[&str]) -> Output {
    let mut command = Command::new(PROGRAM);
    command.args(arguments).env_remove("QUORATE_LOG").stdin(Stdio::null());
    command.output().expect("the program was built")
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The port in the line that says where a node listens.
fn port_in(line: &str) -> u16 {
    let address = line.split_whitespace().nth(1).expect("an address follows the word");
    let (_, port) = address.rsplit_once(':').expect("an address has a port");
    port.parse().expect("a port is a number")
}

/// A node that ends with the test, however that ends. It runs in a folder of its own.
struct Running {
    child: Child,
    _folder: TempDir,
    stdout: BufReader<std::process::ChildStdout>,
}

impl Running {
    fn start(arguments: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("a place for tests");
        let mut command = Command::new(PROGRAM);
        command.args(arguments).env_remove("QUORATE_LOG").stdin(Stdio::null());
        command.current_dir(folder.path());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the program was built");
        let stdout = child.stdout.take().expect("it is piped");
        Self { child, _folder: folder, stdout: BufReader::new(stdout) }
    }

    /// The next lines of output; fewer if the program ends.
    fn lines(&mut self, count: usize) -> Vec<String> {
        let lines = (&mut self.stdout).lines().take(count);
        lines.map(|line| line.expect("it prints text")).collect()
    }

    fn signal(&self, name: &str) {
        let signal = format!("-{name}");
        let id = self.child.id().to_string();
        let status = Command::new("kill").args([signal, id]).status();
        assert!(status.expect("there is a kill").success());
    }

    fn wait(&mut self) -> ExitStatus {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().expect("it is our child") {
                return status;
            }
            assert!(Instant::now() < deadline, "it has not ended in {PATIENCE:?}");
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// All it has written to stderr, once it has ended.
    fn stderr(&mut self) -> String {
        let mut text = String::new();
        let mut stderr = self.child.stderr.take().expect("it is piped");
        stderr.read_to_string(&mut text).expect("it logs text");
        text
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // An error means that it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
