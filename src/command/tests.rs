//! What requests parse to, and what those that are no commands are told.

use super::{
    op::{Action, Condition, Expiry, SetReply},
    *,
};
use crate::{
    limits::Limits,
    proto::{Progress, Step, Workspace, next_request},
};

/// What a line parses to: the command, or the error for clients and the error for people.
fn parse(line: &str) -> Result<String, (String, String)> {
    let line = format!("{line}\n");
    let (mut workspace, mut progress) = (Workspace::new(), Progress::default());
    let limits = Limits { line_size_max: usize::MAX, ..Limits::DEFAULT };
    let step = next_request(
        line.as_bytes(),
        Dialect::Detect,
        false,
        &limits,
        &mut workspace,
        &mut progress,
    );
    let Step::Complete { args, .. } = step else { panic!("{step:?}") };
    match Command::parse(args) {
        Ok(command) => Ok(format!("{command:?}")),
        Err(error) => Err((error.to_string(), error.for_people().to_string())),
    }
}

#[track_caller]
fn check_error(line: &str, clients: &str, people: &str) {
    assert_eq!(parse(line), Err((clients.to_owned(), people.to_owned())));
}

#[test]
fn commands() {
    let cases = [
        ("MGET a b", "MGet { keys: [a, b] }"),
        ("MSET a b c d", "MSet { pairs: [a, b, c, d] }"),
        ("READONLY", "ReadOnly { on: true }"),
        ("ReadWrite", "ReadOnly { on: false }"),
        ("REPLICAS a", "Replicas { key: [97] }"),
        ("STATUS", "Status"),
        ("WAIT 2 100", "Wait { replicas: 2, timeout: Some(Millis(100)) }"),
        ("WAIT -1 0", "Wait { replicas: 0, timeout: None }"),
        ("DEL a b c", "Del { keys: [a, b, c] }"),
        ("UNLINK a", "Del { keys: [a] }"),
        ("EXISTS a a", "Exists { keys: [a, a] }"),
        ("PING", "Ping { message: None }"),
        ("PING a", "Ping { message: Some([97]) }"),
        ("QUIT now", "Quit"),
        ("SELECT 2", "Select { db: Db(2) }"),
        ("SELECT Quorum", "Select { db: Db(1) }"),
        ("COMMAND DOCS x", "Command { ask: Docs, names: [x] }"),
        ("CONFIG get save", "Ask(ConfigGet([save]))"),
        (
            "HELLO 3 AUTH default x SETNAME n",
            "Hello { version: Some(3), user: Some([100, 101, 102, 97, 117, 108, 116]), name: Some([110]) }",
        ),
        ("CLIENT id", "Client(Id)"),
        ("CLIENT list", "Ask(ClientList(List { nobody: false, ids: [] }))"),
        ("CLIENT LIST ID 3 4", "Ask(ClientList(List { nobody: false, ids: [3, 4] }))"),
        ("CLIENT LIST TYPE replica", "Ask(ClientList(List { nobody: true, ids: [] }))"),
        (
            "CLIENT KILL a",
            "Ask(ClientKill(Kill { id: None, from: Some([97]), to: None, age: None, nobody: false, \
             me_too: true, one: true }))",
        ),
        (
            "CLIENT KILL ID 7 SKIPME no MAXAGE 2 USER default",
            "Ask(ClientKill(Kill { id: Some(7), from: None, to: None, age: Some(Millis(2000)), \
             nobody: false, me_too: true, one: false }))",
        ),
        ("CLIENT REPLY skip", "Client(ReplySkip)"),
        ("CLUSTER KEYSLOT a", "Fact(ClusterOff)"),
        ("COMMAND", "Command { ask: Info, names: [] }"),
        ("COMMAND LIST FILTERBY aclcat read", "Command { ask: ListOfCategory, names: [read] }"),
        ("DEBUG SLEEP .5", "Ask(Sleep(Millis(500)))"),
        ("SHUTDOWN NOSAVE NOW FORCE", "Ask(Shutdown)"),
        ("SHUTDOWN ABORT", "Fact(NoShutdown)"),
        ("SLOWLOG GET", "Ask(SlowLogGet(Some(10)))"),
        ("SLOWLOG GET -1", "Ask(SlowLogGet(None))"),
        ("OBJECT HELP", "Fact(SubHelp(\"object\"))"),
        ("WAITAOF 1 2 3", "Ask(WaitAof { local: true, replicas: 2, timeout: Some(Millis(3)) })"),
        ("SCAN 7 COUNT 5 TYPE list", "Scan { cursor: 7, pattern: None, count: 5, nothing: true }"),
        ("INFO", "Info { sections: [] }"),
        ("INFO a b", "Info { sections: [a, b] }"),
        ("FLUSHDB", "FlushDb"),
        ("FLUSHDB aSync", "FlushDb"),
        ("SAVE", "Save { background: false }"),
        ("BGSAVE", "Save { background: true }"),
        ("BGSAVE schedule", "Save { background: true }"),
        ("LASTSAVE", "LastSave"),
        ("PROTO text", "Proto { dialect: Text }"),
    ];
    for (line, expected) in cases {
        assert_eq!(parse(line).as_deref(), Ok(expected), "{line}");
    }
}

/// What people are told when they give SET what it does not take.
const SET_ADVICE: &str = "; SET takes one value: put it in quotes if it has spaces; \
    behind it one of NX, XX, IFEQ v, IFNE v, then GET, EX seconds";

/// The action that a line on the key `k` parses to, with the command's name.
#[track_caller]
fn check_action(line: &str, title: &str, expected: Action<'_>) {
    let expected =
        format!("{:?}", Command::Op { name: title_of(title), op: Op::new(b"k", expected) });
    assert_eq!(parse(line), Ok(expected), "{line}");
}

fn title_of(name: &str) -> &'static str {
    table::lookup(name.as_bytes()).expect("a command").title()
}

#[test]
fn commands_on_one_key_are_operations() {
    let set =
        |condition, reply| Action::Set { value: b"v", condition, reply, expiry: Expiry::Never };
    let (always, outcome, held) = (Condition::Always, SetReply::Outcome, SetReply::Held);
    for (line, title, expected) in [
        ("get k", "GET", Action::Get),
        ("Strlen k", "STRLEN", Action::Strlen),
        ("VERSION k", "VERSION", Action::Version),
        ("GETDEL k", "GETDEL", Action::GetDelete),
        ("APPEND k v", "APPEND", Action::Append { value: b"v" }),
        ("incr k", "INCR", Action::Increment { by: 1 }),
        ("DECR k", "DECR", Action::Increment { by: -1 }),
        ("INCRBY k -5", "INCRBY", Action::Increment { by: -5 }),
        ("INCRBY k -9223372036854775808", "INCRBY", Action::Increment { by: i64::MIN }),
        ("DECRBY k -9223372036854775807", "DECRBY", Action::Increment { by: i64::MAX }),
        ("GETSET k v", "GETSET", set(always, held)),
        ("SETNX k v", "SETNX", set(Condition::Absent, SetReply::Flag)),
        ("SeT k v", "SET", set(always, outcome)),
        ("SET k v gEt", "SET", set(always, held)),
        ("SET k v NX", "SET", set(Condition::Absent, outcome)),
        ("SET k v nx GET nx", "SET", set(Condition::Absent, held)),
        ("SET k v XX", "SET", set(Condition::Present, outcome)),
        ("SET k v IFEQ nx", "SET", set(Condition::Equal(b"nx"), outcome)),
        ("SET k v GET IFNE \"\"", "SET", set(Condition::Different(b""), held)),
    ] {
        check_action(line, title, expected);
    }
}

#[test]
fn options_of_set_exclude_each_other() {
    let conditions = ["NX", "XX", "IFEQ a", "IFNE a"];
    for (first, second) in conditions.iter().flat_map(|a| conditions.map(|b| (a, b))) {
        let line = format!("SET k v {first} {second}");
        let refused = Err(("ERR syntax error".to_owned(), format!("ERR syntax error{SET_ADVICE}")));
        if *first == second {
            assert!(parse(&line).is_ok(), "{line}");
        } else {
            assert_eq!(parse(&line), refused, "{line}");
        }
    }
    for rest in [
        "IFEQ",
        "NX IFNE",
        "IFEQ a IFEQ b",
        "EX 10 PX 10",
        "EX 0 KEEPTTL",
        "EX",
        "NXX",
        "GET GET x",
        "''",
    ] {
        let (clients, people) = parse(&format!("SET k v {rest}")).expect_err(rest);
        assert_eq!((&clients[..], people), ("ERR syntax error", format!("{clients}{SET_ADVICE}")));
    }
}

#[test]
fn numbers_are_read_as_in_redis() {
    let not_an_integer = "ERR value is not an integer or out of range";
    for number in ["x", "1.5", "+1", "01", "''", "9223372036854775808"] {
        check_error(&format!("INCRBY k {number}"), not_an_integer, not_an_integer);
        check_error(&format!("DECRBY k {number}"), not_an_integer, not_an_integer);
        check_error(&format!("WAIT {number} 0"), not_an_integer, not_an_integer);
        let words = "ERR timeout is not an integer or out of range";
        check_error(&format!("WAIT 1 {number}"), words, words);
    }
    let words = "ERR decrement would overflow";
    check_error("DECRBY k -9223372036854775808", words, words);
    check_error("WAIT 1 -1", "ERR timeout is negative", "ERR timeout is negative");
}

#[test]
fn pairs_are_complete() {
    let arity = "ERR wrong number of arguments for 'mset' command";
    let people = format!("{arity}; usage: MSET key value [key value ...]");
    for line in ["MSET", "MSET a", "MSET a b c"] {
        check_error(line, arity, &people);
    }
}

#[test]
fn errors_in_both_wordings() {
    let arity = "ERR wrong number of arguments for";
    check_error(
        "GET",
        &format!("{arity} 'get' command"),
        &format!("{arity} 'get' command; usage: GET key"),
    );
    check_error(
        "PING a b",
        &format!("{arity} 'ping' command"),
        &format!("{arity} 'ping' command; usage: PING [message]"),
    );
    let subcommand = format!("{arity} 'config|get' command");
    let people = format!("{subcommand}; usage: CONFIG GET pattern [pattern ...]");
    check_error("CONFIG GET", &subcommand, &people);
    for (line, words) in [
        ("CLIENT KILL ID x", "ERR client-id should be greater than 0"),
        ("CLIENT KILL ID 0", "ERR client-id should be greater than 0"),
        ("CLIENT KILL TYPE foo", "ERR Unknown client type 'foo'"),
        ("CLIENT KILL USER nobody", "ERR No such user 'nobody'"),
        ("CLIENT LIST ID x", "ERR Invalid client ID"),
        ("SLOWLOG GET -2", "ERR count should be greater than or equal to -1"),
        ("SLOWLOG GET x", "ERR count should be greater than or equal to -1"),
        ("WAITAOF 2 0 0", "ERR value is out of range, value must between 0 and 1"),
        ("WAITAOF 1 -1 0", "ERR value is out of range, must be positive"),
        ("DEBUG SLEEP 60.001", "ERR DEBUG SLEEP takes at most 60 seconds"),
        ("DEBUG SLEEP nan", "ERR value is not a valid float"),
    ] {
        check_error(line, words, words);
    }
    for line in [
        "CLIENT KILL SKIPME maybe",
        "CLIENT KILL ID 5 FOO",
        "CLIENT KILL a b",
        "CLIENT LIST FOO",
        "CLIENT LIST TYPE",
        "CLIENT REPLY maybe",
        "CONFIG SET a b c",
        "COMMAND LIST FILTERBY",
        "SHUTDOWN FOO",
        "SHUTDOWN NOSAVE SAVE",
        "SHUTDOWN ABORT NOW",
        "MEMORY USAGE k SAMPLES",
    ] {
        check_error(line, "ERR syntax error", "ERR syntax error; try HELP");
    }
    check_error("SET k two words", "ERR syntax error", &format!("ERR syntax error{SET_ADVICE}"));
    check_error("FLUSHDB now", "ERR syntax error", "ERR syntax error; try HELP");
    check_error(
        "CONFIG frob",
        "ERR unknown subcommand 'frob'. Try CONFIG HELP.",
        "ERR unknown subcommand 'frob'; try HELP",
    );
    let databases = "databases are 0 (strong), 1 (quorum), 2 (eventual)";
    for (line, words) in [
        ("SELECT weak", "ERR invalid DB index"),
        ("SELECT 01", "ERR invalid DB index"),
        ("SELECT 3", "ERR DB index is out of range"),
        ("SELECT -1", "ERR DB index is out of range"),
        ("SELECT 258", "ERR DB index is out of range"),
    ] {
        check_error(line, words, &format!("{words}; {databases}"));
    }
}

#[test]
fn unknown_commands_are_repeated_as_in_redis() {
    let words = "', with args beginning with: ";
    let people = "ERR unknown command 'FOO'; try HELP";
    check_error("FOO", &format!("ERR unknown command 'FOO{words}"), people);
    check_error("FOO a \"b c\"", &format!("ERR unknown command 'FOO{words}'a' 'b c' "), people);
    // The first argument leaves room for 128 - 103 bytes of the second and none for the third.
    let (a, b) = ("a".repeat(100), "b".repeat(100));
    let clients = format!("ERR unknown command 'FOO{words}'{a}' '{}' ", "b".repeat(25));
    check_error(&format!("FOO {a} {b} c"), &clients, people);
    let long = "x".repeat(200);
    let clients = format!("ERR unknown command '{}{words}", "x".repeat(128));
    assert_eq!(parse(&long).map_err(|error| error.0), Err(clients));
}

#[test]
fn sizes_have_limits_and_errors_say_both_numbers() {
    let key = "k".repeat(KEY_SIZE_MAX);
    assert!(parse(&format!("GET {key}")).is_ok());
    let words = "ERR key of 65536 bytes is over the limit of 65535";
    check_error(&format!("GET {key}k"), words, words);
    check_error(&format!("DEL a {key}k"), words, words);
    check_error(&format!("SET {key}k v"), words, words);
    check_error(&format!("INCR {key}k"), words, words);
    check_error(&format!("MGET a {key}k"), words, words);
    check_error(&format!("MSET a b {key}k v"), words, words);
    check_error(&format!("REPLICAS {key}k"), words, words);
    let value = "v".repeat(VALUE_SIZE_MAX);
    assert!(parse(&format!("SET k {value}")).is_ok());
    let words = "ERR value of 16777217 bytes is over the limit of 16777216";
    check_error(&format!("SET k {value}v"), words, words);
    check_error(&format!("SET k v IFEQ {value}v"), words, words);
    check_error(&format!("APPEND k {value}v"), words, words);
    check_error(&format!("GETSET k {value}v"), words, words);
    check_error(&format!("SETNX k {value}v"), words, words);
    check_error(&format!("MSET a b k {value}v"), words, words);
}
