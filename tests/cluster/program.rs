//! The program as a client of real nodes: `cli` by hand, once and from scripts; `top`, `bench`.

use std::{fs, path::Path, process::Command, time::Duration};

use super::common::{Client, Nodes, PATIENCE, quorate, run_with_input, wait_until};

const PROGRAM: &str = env!("CARGO_BIN_EXE_quorate");

fn cli(port: u16, args: &[&str]) -> super::common::Outcome {
    let port = port.to_string();
    quorate(&[&["cli", "-p", &port], args].concat())
}

#[test]
fn a_command_is_answered_and_the_exit_code_tells_how() {
    let nodes = Nodes::start(1);
    let port = nodes.ports[0];
    for (args, code, stdout, stderr) in [
        (&["SET", "name", "two words"][..], 0, "OK\n", ""),
        (&["GET", "name"], 0, "two words\n", ""),
        (&["--no-raw", "GET", "name"], 0, "\"two words\"\n", ""),
        (&["--json", "MGET", "name", "nobody"], 0, "[\"two words\",null]\n", ""),
        (&["GET", "nobody"], 0, "\n", ""),
        (&["--no-raw", "GET", "nobody"], 0, "(nil)\n", ""),
        (&["--no-raw", "-2", "CONFIG", "GET", "save"], 0, "1) \"save\"\n2) \"\"\n", ""),
        (&["--no-raw", "CONFIG", "GET", "save"], 0, "1# \"save\" => \"\"\n", ""),
        (&["--level", "eventual", "SET", "name", "there"], 0, "OK\n", ""),
        (&["-n", "2", "GET", "name"], 0, "there\n", ""),
        (&["-n", "1", "INCR", "n"], 1, "", "quorate: ERR INCR reads before it writes"),
        (&["NONSENSE", "-x"], 1, "", "quorate: ERR unknown command 'NONSENSE'"),
        (&["--json", "NONSENSE"], 1, "{\"error\":\"ERR unknown command", "quorate: ERR"),
        (&["-n", "7", "PING"], 1, "", "quorate: SELECT 7: ERR"),
        (&["-a", "secret", "PING"], 0, "PONG\n", "quorate: the password was not taken: "),
    ] {
        let outcome = cli(port, args);
        assert_eq!(outcome.code, Some(code), "{args:?}: {}", outcome.stderr);
        assert!(outcome.stdout.starts_with(stdout), "{args:?}: {}", outcome.stdout);
        assert_eq!(outcome.stdout.is_empty(), stdout.is_empty(), "{args:?}: {}", outcome.stdout);
        assert!(outcome.stderr.starts_with(stderr), "{args:?}: {}", outcome.stderr);
        assert_eq!(outcome.stderr.is_empty(), stderr.is_empty(), "{args:?}: {}", outcome.stderr);
        assert!(!outcome.stdout.contains('\x1b'), "no colours into a pipe");
    }
    let nobody = cli(1, &["PING"]);
    assert_eq!(nobody.code, Some(1));
    assert!(nobody.stderr.starts_with("quorate: can't talk to localhost:1: "), "{}", nobody.stderr);
}

#[test]
fn scripts_are_answered_in_order_and_errors_are_counted() {
    let nodes = Nodes::start(1);
    let port = nodes.ports[0].to_string();
    let args = ["cli", "-p", &port];
    let many: String = (0..5000).map(|n| format!("SET key{n} {n}\n\nGET key{n}\n")).collect();
    let expected: String = (0..5000).map(|n| format!("OK\n{n}\n")).collect();
    assert_eq!(run_with_input(PROGRAM, &args, many.as_bytes()), expected);
    // The last line needs no end, quotes are those of redis-cli, and any byte can be said.
    let quoted = b"SELECT eventual\nSET a \"\\x00 \\\"b\\\"\"\nGET a";
    assert_eq!(run_with_input(PROGRAM, &args, quoted), "OK\nOK\n\0 \"b\"\n");
    let binary = [&args[..], &["-x", "SET", "photo"]].concat();
    assert_eq!(run_with_input(PROGRAM, &binary, b"\r\n\xff\x00"), "OK\n");
    assert_eq!(cli(nodes.ports[0], &["STRLEN", "photo"]).stdout, "4\n");
    let script = |input: &str| {
        let folder = tempfile::tempdir().expect("a place for tests");
        let file = folder.path().join("script");
        fs::write(&file, input).expect("it can be written");
        let mut command = Command::new(PROGRAM);
        command.args(args).stdin(fs::File::open(&file).expect("it is there"));
        let output = command.output().expect("the program was built");
        let text = |bytes| String::from_utf8(bytes).expect("it prints text");
        (output.status.code(), text(output.stdout), text(output.stderr))
    };
    let (code, stdout, stderr) = script("SET n x\nINCR n\nGET n\n");
    assert_eq!((code, stderr.as_str()), (Some(1), "quorate: 1 of 3 answers are errors\n"));
    assert_eq!(stdout, "OK\nERR value is not an integer or out of range\nx\n");
    let (code, stdout, stderr) = script("PING\nSET a \"b\nPING\n");
    assert_eq!((code, stdout.as_str()), (Some(2), ""));
    assert!(stderr.starts_with("quorate: line 2: "), "{stderr}");
}

/// A person at a terminal.
struct Person {
    session: rexpect::session::PtySession,
    prompt: String,
}

impl Person {
    fn sit_down(port: u16, history: &Path, colours: bool) -> Self {
        let mut command = Command::new(PROGRAM);
        command.args(["cli", "-p", &port.to_string()]).env("QUORATE_HISTORY", history);
        command.env("TERM", "xterm").env_remove("NO_COLOR");
        if !colours {
            command.env("NO_COLOR", "1");
        }
        let patience = Some(PATIENCE.as_millis() as u64);
        let session = rexpect::session::spawn_command(command, patience).expect("a terminal");
        let mut person = Self { session, prompt: format!("localhost:{port}> ") };
        person.see(&person.prompt.clone());
        person
    }

    fn press(&mut self, keys: &str) {
        self.session.send(keys).expect("it reads");
        self.session.flush().expect("it reads");
    }

    fn see(&mut self, text: &str) {
        self.session.exp_string(text).unwrap_or_else(|error| panic!("{text:?}: {error}"));
    }

    /// Types, sees the answer and the prompt again.
    fn say(&mut self, keys: &str, answer: &str) {
        self.press(keys);
        self.see(answer);
        self.see(&self.prompt.clone());
    }

    fn leave(&mut self, keys: &str) {
        self.press(keys);
        self.session.exp_eof().expect("it ends");
    }
}

#[test]
fn a_session_has_completion_and_a_history() {
    let nodes = Nodes::start(1);
    let port = nodes.ports[0];
    let folder = tempfile::tempdir().expect("a place for tests");
    let history = folder.path().join("history");
    let mut person = Person::sit_down(port, &history, false);
    person.say("set name 'john doe'\r", "OK\r\n");
    person.say("get name\r", "\"john doe\"\r\n");
    person.say("GET nobody\r", "(nil)\r\n");
    // Tab completes the name of a command, and what the table says of its arguments.
    person.say("strl\t name\r", "(integer) 8\r\n");
    person.press("SELECT quo\t\r");
    person.see("OK\r\n");
    person.see("[quorum]> ");
    person.press("INCR n\r");
    person.see("(error) ERR INCR reads");
    person.see("[quorum]> ");
    person.say("SELECT 0\r", "OK\r\n");
    person.say("help strlen\r", "How long a value is.\r\n");
    person.say("GET \"a\r", "unbalanced quotes");
    person.say("AUTH secret\r", "(error)");
    // The line before the last one: secrets are not remembered.
    person.say("\x1b[A\x1b[A\r", "How long a value is.\r\n");
    person.leave("\x04");
    let kept = fs::read_to_string(&history).expect("the history is kept");
    assert!(kept.contains("get name\n") && !kept.contains("secret"), "{kept}");
    // The next session remembers.
    let mut person = Person::sit_down(port, &history, false);
    person.say("\x1b[A\x1b[A\r", "unbalanced quotes");
    person.leave("exit\r");
}

#[test]
fn a_session_has_hints_and_colours_and_outlives_its_node() {
    let mut nodes = Nodes::start(1);
    let folder = tempfile::tempdir().expect("a place for tests");
    let history = folder.path().join("history");
    let mut person = Person::sit_down(nodes.ports[0], &history, true);
    person.press("GET");
    person.see("\x1b[2m key\x1b[0m");
    // Ctrl-U takes back what was typed.
    person.say("\x15nonsense\r", "\x1b[31m(error) ERR unknown command");
    person.say("SET name john\r", "OK\r\n");
    nodes.kill(0);
    person.press("GET name\r");
    person.see("no answer: ");
    person.see("not connected> ");
    nodes.restart(0);
    person.say("GET name\r", "john");
    person.leave("exit\r");
}

#[test]
fn top_finds_all_nodes_by_one_and_shows_who_is_gone() {
    let mut nodes = Nodes::start(3);
    let one = format!("127.0.0.1:{}", nodes.ports[1]);
    let outcome = quorate(&["top", &one, "--once", "--interval", "0.2"]);
    assert_eq!(outcome.code, Some(0), "{}", outcome.stderr);
    for port in &nodes.ports {
        let name = format!("localhost:{port} ");
        let row = outcome.stdout.lines().find(|line| line.starts_with(&name));
        let row: Vec<&str> = row.expect("a row for each").split_whitespace().collect();
        assert_eq!((row.len() >= 13, row[1]), (true, "voting"), "{}", outcome.stdout);
        assert!(row.contains(&"MiB"), "{}", outcome.stdout);
    }
    assert!(!outcome.stdout.contains('\x1b') && !outcome.stdout.contains("127.0.0.1"));
    // Work of a level shows in its column, with its latencies.
    let asked = format!("localhost:{}", nodes.ports[0]);
    let bench =
        ["bench", &asked, "-c", "4", "--seconds", "30", "--keys", "50", "--level", "quorum"];
    let mut command = Command::new(PROGRAM);
    let mut busy =
        command.args(bench).stdout(std::process::Stdio::null()).spawn().expect("it runs");
    let look = || {
        let outcome = quorate(&["top", &one, "--once", "--json", "--interval", "0.3"]);
        assert_eq!(outcome.code, Some(0), "{}", outcome.stderr);
        serde_json::from_str::<serde_json::Value>(&outcome.stdout).expect("JSON")
    };
    wait_until("load to show", || {
        let told = look();
        let node = &told["nodes"][0];
        node["node"] == asked.as_str()
            && node["ops_per_second"]["quorum"].as_f64().is_some_and(|rate| rate > 10.0)
            && node["ops_per_second"]["strong"] == 0.0
            && node["latency_us"]["quorum"]["p99"].as_u64().is_some_and(|micros| micros > 0)
            && node["sync_ms"].as_f64().is_some_and(|took| took > 0.0)
            && node["keys"].as_u64().is_some_and(|keys| keys >= 50)
    });
    busy.kill().expect("it is our child");
    busy.wait().expect("it is our child");
    nodes.kill(2);
    let gone = format!("localhost:{}", nodes.ports[2]);
    wait_until("the node that is gone to show", || {
        // Found by the others: it can't tell anything itself.
        let told = look();
        let node = &told["nodes"][2];
        node["node"] == gone.as_str() && node["error"].is_string() && node["suspected_by"] == 2
    });
    // One that has no passwords refuses them, unless it is told whose they are.
    let login = |flags: &[&str]| quorate(&[&["top", &one, "--once", "-i", "0.1"], flags].concat());
    let refused = login(&["-a", "secret"]);
    assert_eq!(refused.code, Some(1));
    assert!(refused.stderr.contains("the password was not taken: ERR AUTH"), "{}", refused.stderr);
    assert_eq!(login(&["-a", "secret", "--user", "default"]).code, Some(0));
    let outcome = quorate(&["top", "localhost:1", "--once"]);
    assert_eq!(outcome.code, Some(1));
    assert!(outcome.stderr.starts_with("quorate: no node answers: localhost:1: "));
}

#[test]
fn bench_measures_levels_side_by_side_and_hides_no_error() {
    let nodes = Nodes::start(3);
    let addresses: Vec<String> =
        nodes.ports.iter().map(|port| format!("localhost:{port}")).collect();
    let (all, first) = (addresses.join(","), addresses[0].as_str());
    let base = ["bench", &all, "--json", "-c", "6", "--keys", "100"];
    let run = |args: &[&str]| {
        let outcome = quorate(&[&base[..], args].concat());
        let told = serde_json::from_str(&outcome.stdout).unwrap_or(serde_json::Value::Null);
        (outcome, told)
    };
    let args = ["--level", "strong,eventual", "--against", first, "--against-db", "1"];
    let (outcome, told) =
        run(&[&args[..], &["-N", "600", "--rounds", "2", "--reads", "25"]].concat());
    assert_eq!(outcome.code, Some(0), "{}", outcome.stderr);
    assert!(outcome.stderr.is_empty(), "no line of progress into a pipe: {}", outcome.stderr);
    for (index, name) in ["strong", "eventual", first].into_iter().enumerate() {
        let one = &told[index];
        assert_eq!(one["name"], name);
        let count = |kind: &str| one[kind]["count"].as_u64().expect("a count");
        // A machine that stands still can cost the cluster a leader; then operations fail, and say so.
        let errors = one["errors"].as_object().expect("errors by kind");
        let honest =
            |kind: &String| kind.starts_with("INDOUBT ") || kind.starts_with("NOREPLICAS ");
        assert!(errors.keys().all(honest), "{one}");
        let failed: u64 = errors.values().filter_map(serde_json::Value::as_u64).sum();
        assert_eq!(count("reads") + count("writes") + failed, 1200, "{one}");
        assert!(failed < 120, "{one}");
        if failed == 0 && told[0]["errors"] == one["errors"] {
            assert_eq!(count("reads"), told[0]["reads"]["count"], "the same is asked of all");
        }
        assert!(one["writes"]["p99_ms"].as_f64().is_some_and(|took| took > 0.0), "{one}");
    }
    assert!(told[0]["ratio"]["ops"]["median"].as_f64().is_some_and(|ratio| ratio > 0.0));
    assert_eq!(told[0]["ratio"]["to"], first);
    // Errors are counted by what they say; where nothing but errors comes, it is a failure.
    let incr = ["--level", "quorum", "--write", "incr", "-N", "60", "--reads"];
    let (outcome, told) = run(&[&incr[..], &["50"]].concat());
    assert_eq!(outcome.code, Some(0), "{}", outcome.stderr);
    let errors = told[0]["errors"].as_object().expect("errors by kind");
    let (kind, times) = errors.iter().next().expect("one kind");
    assert!(kind.starts_with("ERR INCR reads before it writes"), "{kind}");
    assert_eq!(times.as_u64(), told[0]["reads"]["count"].as_u64().map(|reads| 60 - reads));
    let (outcome, _) = run(&[&incr[..], &["0"]].concat());
    assert_eq!(outcome.code, Some(1));
    assert!(
        outcome.stderr.contains("nothing succeeded with quorum: ERR INCR"),
        "{}",
        outcome.stderr
    );
    // Who is not let in has nothing measured, and the other one is not shown the password.
    let few = ["--level", "eventual", "-N", "60", "-a", "secret"];
    let (outcome, _) = run(&[&few[..], &["--no-fill", "--against", first]].concat());
    assert_eq!(outcome.code, Some(1));
    assert!(outcome.stderr.contains("did not take the password: ERR AUTH"), "{}", outcome.stderr);
    let (outcome, told) = run(&[&few[..], &["--user", "default", "--against", first]].concat());
    assert_eq!(outcome.code, Some(0), "{}", outcome.stderr);
    assert_eq!(told[1]["errors"], serde_json::json!({}), "{told}");
    let (outcome, _) =
        run(&["--level", "eventual", "-N", "60", "--against", first, "--against-password", "x"]);
    let failure = format!("{first} did not take the password: ERR AUTH");
    assert!(outcome.stderr.contains(&failure), "{}", outcome.stderr);
    let nobody = quorate(&["bench", "localhost:1"]);
    assert_eq!(nobody.code, Some(1));
    assert!(nobody.stderr.starts_with("quorate: can't talk to localhost:1: "), "{}", nobody.stderr);
}

#[test]
fn bench_keeps_a_rate_and_says_what_it_could_not_send() {
    let mut nodes = Nodes::start(1);
    let node = format!("localhost:{}", nodes.ports[0]);
    let bench = |args: &[&str]| {
        let base = ["bench", &node, "--json", "-c", "4", "--keys", "20", "--level", "eventual"];
        let outcome = quorate(&[&base[..], args].concat());
        let told = serde_json::from_str(&outcome.stdout).unwrap_or(serde_json::Value::Null);
        (outcome, told)
    };
    let (outcome, told) = bench(&["--rate", "200", "--seconds", "1", "--zipf", "-d", "10-20"]);
    assert_eq!(outcome.code, Some(0), "{}", outcome.stderr);
    let told: &serde_json::Value = &told[0];
    let count = |kind: &str| told[kind]["count"].as_u64().expect("a count");
    let (done, unsent) = (count("reads") + count("writes"), &told["not_sent"]);
    assert_eq!(unsent.as_u64().map(|unsent| unsent + done), Some(200), "{told}");
    // A node that stops in the middle: requests go on being due, and are late or missing.
    let mut process = nodes.take(0);
    let mut command = Command::new(PROGRAM);
    command.args(["bench", &node, "--json", "-c", "2", "--keys", "20", "--no-fill"]);
    command.args(["--level", "eventual", "--rate", "500", "--seconds", "2"]);
    command.stdout(std::process::Stdio::piped());
    let child = command.spawn().expect("it runs");
    let mut client = Client::connect(nodes.ports[0]);
    let begun = |client: &mut Client| {
        let info = client.info("load");
        let line = info.lines().find_map(|line| line.strip_prefix("requests_eventual:"));
        line.and_then(|count| count.trim().parse::<u64>().ok()).expect("a count")
    };
    let before = begun(&mut client);
    wait_until("requests on their way", || begun(&mut client) > before + 50);
    process.signal("STOP");
    std::thread::sleep(Duration::from_millis(500));
    process.signal("CONT");
    let output = child.wait_with_output().expect("it ends");
    let told: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let told = &told[0];
    assert!(told["longest_pause_ms"].as_u64().is_some_and(|pause| pause >= 400), "{told}");
    // A fourth of all requests fell into the pause, and waited for its rest on average.
    let late = ["reads", "writes"]
        .iter()
        .any(|kind| told[kind]["p90_ms"].as_f64().is_some_and(|took| took > 100.0));
    assert!(late, "the pause shows in the percentiles: {told}");
    assert!(process.is_running());
}
