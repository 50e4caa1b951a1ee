//! Transactions: replies are those of Redis, on one connection and with another one that writes in
//! between; and on three nodes, of which one is killed, what happens at one moment is seen so.
//!
//! Not drawn, because they differ on purpose: SELECT of another database, HELLO and the like between
//! MULTI and EXEC, which are refused here; MSETNX, RENAMENX and COPY across slots; and what `differential` explains.

use std::{
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use quorate::rng::Rng;

use super::{
    common::{Client, Nodes, installed, wait_until},
    differential::{Drawing, Server, both, request},
};

/// Requests of a run.
const REQUESTS: usize = 12_000;
/// Sent at once.
const PIPELINE: usize = 40;
/// All of one slot.
const TOGETHER: [&str; 4] = ["a", "{a}x", "{a}y", "{a}z"];
/// How long three nodes are worked.
const SPAN: Duration = Duration::from_secs(4);

fn words(line: &str) -> Vec<Vec<u8>> {
    line.split(' ').map(|word| word.as_bytes().to_vec()).collect()
}

/// Which keys a command may be about.
#[derive(Clone, Copy, PartialEq)]
enum Keys {
    /// Any, in requests that stand alone: then RENAME may go across slots.
    Alone,
    /// Any, in a transaction.
    Apart,
    /// Those of one slot.
    Together,
}

/// Something that can stand alone or in a transaction.
fn command(drawing: &mut Drawing, keys: Keys) -> Vec<Vec<u8>> {
    let any = |drawing: &mut Drawing| match keys {
        Keys::Alone | Keys::Apart => drawing.key(),
        Keys::Together => drawing.of(&TOGETHER).into(),
    };
    let (key, other) = (drawing.of(&TOGETHER).into(), drawing.of(&TOGETHER).into());
    match drawing.0.below(14) {
        0 | 1 => vec![b"SET".to_vec(), any(drawing), drawing.value()],
        2 => vec![drawing.of(&["GET", "GETDEL", "INCR", "STRLEN", "TYPE"]).into(), any(drawing)],
        3 if keys == Keys::Together => vec![b"MGET".to_vec(), key, other],
        3 => drawing.several(),
        4 => vec![b"APPEND".to_vec(), key, drawing.value()],
        5 => vec![b"SETRANGE".to_vec(), key, drawing.small(), drawing.value()],
        6 => vec![b"MSETNX".to_vec(), key, drawing.value(), other, drawing.value()],
        7 => vec![drawing.of(&["RENAME", "RENAMENX"]).into(), key, other],
        8 if keys == Keys::Alone => vec![b"RENAME".to_vec(), drawing.key(), drawing.key()],
        8 => vec![b"COPY".to_vec(), key, other, b"REPLACE".to_vec()],
        9 => vec![b"COPY".to_vec(), key, other],
        10 => {
            let mut lcs = vec![b"LCS".to_vec(), key, other];
            while drawing.chance(40) {
                lcs.push(drawing.of(&["IDX", "len", "WITHMATCHLEN", "MINMATCHLEN", "2"]).into());
            }
            lcs
        }
        11 => vec![b"SET".to_vec(), key, drawing.value(), drawing.of(&["NX", "XX", "BAD"]).into()],
        12 => vec![b"PING".to_vec()],
        _ => vec![b"ECHO".to_vec(), drawing.value()],
    }
}

/// Something of a session with transactions: mostly in order, now and then not.
fn session(drawing: &mut Drawing) -> Vec<Vec<Vec<u8>>> {
    let mut requests = Vec::new();
    let keys = match drawing.0.below(10) {
        0 => Keys::Alone,
        1..=5 => Keys::Together,
        _ => Keys::Apart,
    };
    if keys == Keys::Together && drawing.chance(60) {
        requests.push(vec![b"WATCH".to_vec(), drawing.of(&TOGETHER).into()]);
    }
    if keys != Keys::Alone {
        requests.push(words("MULTI"));
    }
    for _ in 0..drawing.0.below(6) {
        requests.push(match drawing.0.below(40) {
            0 if keys != Keys::Alone => words("MULTI"),
            1 if keys != Keys::Alone => words("WATCH a"),
            2 => words("NONSENSE"),
            3 => words("GET"),
            4 => words("UNWATCH"),
            5 => words("MSET a"),
            6 => words("MSET a b c"),
            7 => words("CLIENT nonsense"),
            _ => command(drawing, keys),
        });
    }
    requests.push(match drawing.0.below(20) {
        0 => words("DISCARD"),
        1 => words("EXEC now"),
        2 => words("RESET"),
        _ => words("EXEC"),
    });
    requests
}

/// Sends the same to both; what differs.
fn compare(servers: &mut [Server; 2], requests: &[Vec<Vec<u8>>]) -> Vec<String> {
    let bytes = requests.iter().flat_map(|words| request(words)).collect::<Vec<u8>>();
    servers.iter_mut().for_each(|server| server.send(&bytes));
    let differ = requests.iter().filter_map(|words| {
        let [ours, theirs] = servers.each_mut().map(Server::reply);
        let words: Vec<String> = words.iter().map(|w| w.escape_ascii().to_string()).collect();
        let (a, b) = (ours.escape_ascii(), theirs.escape_ascii());
        (ours != theirs).then(|| format!("{words:?}\n    ours  {a}\n    Redis {b}"))
    });
    differ.collect()
}

#[test]
fn transactions_are_those_of_redis() {
    if !installed("redis-server") {
        return;
    }
    let (nodes, port, _redis) = both();
    let (mut differ, mut asked) = (Vec::new(), 0);
    for (seed, version) in [(5, "2"), (6, "3")] {
        let mut servers = [Server::connect(nodes.ports[0]), Server::connect(port)];
        for server in &mut servers {
            server.send(&request(&[b"HELLO".to_vec(), version.into()]));
            server.reply();
        }
        let mut drawing = Drawing(Rng::new(seed));
        while asked < REQUESTS / 2 * (seed as usize - 4) {
            let mut requests = Vec::new();
            while requests.len() < PIPELINE {
                requests.extend(session(&mut drawing));
            }
            asked += requests.len();
            differ.extend(compare(&mut servers, &requests));
        }
    }
    let shown = differ.iter().take(20).cloned().collect::<Vec<String>>().join("\n");
    assert!(differ.is_empty(), "{} of {asked} replies differ:\n{shown}", differ.len());
}

#[test]
fn what_others_write_meanwhile_counts_as_in_redis() {
    if !installed("redis-server") {
        return;
    }
    let (nodes, port, _redis) = both();
    let mut first = [Server::connect(nodes.ports[0]), Server::connect(port)];
    let mut second = [Server::connect(nodes.ports[0]), Server::connect(port)];
    let mut drawing = Drawing(Rng::new(9));
    let (mut differ, mut failed) = (Vec::new(), 0);
    for _ in 0..600 {
        let mut watch = vec![b"WATCH".to_vec()];
        for _ in 0..1 + drawing.0.below(2) {
            watch.push(drawing.of(&TOGETHER).into());
        }
        differ.extend(compare(&mut first, &[watch]));
        for _ in 0..drawing.0.below(3) {
            let other = command(&mut drawing, Keys::Alone);
            let by = if drawing.chance(30) { &mut first } else { &mut second };
            differ.extend(compare(by, &[other]));
        }
        differ.extend(compare(&mut first, &[words("MULTI")]));
        for _ in 0..drawing.0.below(3) {
            let key: Vec<u8> = drawing.of(&TOGETHER).into();
            let queued = vec![b"SET".to_vec(), key, drawing.value()];
            differ.extend(compare(&mut first, &[queued]));
        }
        if drawing.chance(20) {
            let other = command(&mut drawing, Keys::Alone);
            differ.extend(compare(&mut second, &[other]));
        }
        first.iter_mut().for_each(|server| server.send(&request(&words("EXEC"))));
        let [ours, theirs] = first.each_mut().map(Server::reply);
        failed += usize::from(theirs == b"*-1\r\n");
        if ours != theirs {
            let (ours, theirs) = (ours.escape_ascii(), theirs.escape_ascii());
            differ.push(format!("EXEC\n    ours  {ours}\n    Redis {theirs}"));
        }
    }
    let shown = differ.iter().take(20).cloned().collect::<Vec<String>>().join("\n");
    assert!(differ.is_empty(), "{} replies differ:\n{shown}", differ.len());
    assert!(failed > 50, "only {failed} of them failed");
}

/// Sessions, whose requests have an empty line between those of one and the next.
const COUNTED: &str = "\
SET n 1
SET s text
MULTI
INCR n
INCR s
GET n
MGET n s
PING
EXEC

MULTI
SET n 2 NONSENSE
SET n 2
EXEC

MULTI
GET
NONSENSE
INCR n
EXEC

MULTI
SAVE
EXEC

MULTI
SELECT 0
ECHO a
EXEC

MULTI
EXEC

MULTI
INCR n
DISCARD

EXEC
WATCH n
SET n 5
MULTI
INCR n
GET n
EXEC";

/// Calls, refusals and failures of each command, and errors of each kind.
fn counted(server: &mut Server) -> Vec<String> {
    let mut lines = Vec::new();
    for section in ["commandstats", "errorstats"] {
        server.send(&request(&words(&format!("INFO {section}"))));
        let text = String::from_utf8(server.reply()).expect("text");
        let kept = text.lines().filter(|line| !line.contains("cmdstat_info"));
        let kept =
            kept.filter_map(|line| line.split_once(':').filter(|(name, _)| name.contains("stat_")));
        lines.extend(kept.map(|(name, figures)| {
            let figures = figures.split(',').filter(|figure| !figure.starts_with("usec"));
            format!("{name}:{}", figures.collect::<Vec<_>>().join(","))
        }));
    }
    lines.sort();
    lines
}

/// A request that was queued is a call when it is carried out, and its failure is its own.
#[test]
fn requests_of_transactions_are_counted_as_in_redis() {
    if !installed("redis-server") {
        return;
    }
    let (nodes, port, _redis) = both();
    let mut servers = [Server::connect(nodes.ports[0]), Server::connect(port)];
    for session in COUNTED.split("\n\n") {
        let requests: Vec<_> = session.lines().map(words).collect();
        let reset = [words("CONFIG RESETSTAT")];
        assert_eq!(compare(&mut servers, &reset), [""; 0]);
        assert_eq!(compare(&mut servers, &requests), [""; 0]);
        let [ours, theirs] = servers.each_mut().map(counted);
        assert_eq!(ours, theirs, "{session}");
        assert!(ours.iter().any(|line| line.contains("_exec:") || line.contains("_discard:")));
    }
    // Each is an operation too, and has a latency.
    let mut client = nodes.client(0);
    let begun = |client: &mut Client| {
        let info = client.info("load");
        let line = |name: &str| {
            let line = info.lines().find_map(|line| line.strip_prefix(name)).expect("a line");
            let digits = line.split(|c: char| !c.is_ascii_digit()).next().expect("a number");
            digits.parse::<u64>().expect("a number")
        };
        (line("requests_strong:"), line("latency_us_strong:count="))
    };
    let (requests, latencies) = begun(&mut client);
    let (_, begin) = (servers[0].send(&request(&words("MULTI"))), servers[0].reply());
    assert_eq!(begin, b"+OK\r\n");
    let both = [words("SET n 1"), words("PING"), words("MGET n s"), words("INCR n"), words("EXEC")];
    let bytes: Vec<u8> = both.iter().flat_map(|words| request(words)).collect();
    servers[0].send(&bytes);
    both.iter().for_each(|_| drop(servers[0].reply()));
    assert_eq!(begun(&mut client), (requests + 3, latencies + 3));
}

/// The replies to requests, or nothing if the connection breaks.
fn ask(server: &mut Option<Server>, port: u16, requests: &[Vec<Vec<u8>>]) -> Option<Vec<String>> {
    if server.is_none() {
        *server = Some(Server::try_connect(port).ok()?);
    }
    let open = server.as_mut()?;
    let bytes = requests.iter().flat_map(|words| request(words)).collect::<Vec<u8>>();
    let replies = open.try_send(&bytes).and_then(|()| {
        requests.iter().map(|_| open.try_reply()).collect::<std::io::Result<Vec<Vec<u8>>>>()
    });
    match replies {
        Ok(replies) => {
            Some(replies.into_iter().map(|reply| reply.escape_ascii().to_string()).collect())
        }
        Err(_) => {
            *server = None;
            None
        }
    }
}

/// What clients of three nodes count.
#[derive(Default)]
struct Counted {
    /// Of the increments of a watched number.
    sure: AtomicU64,
    doubtful: AtomicU64,
    conflicts: AtomicU64,
    /// Reads of pairs, and those that found two values.
    pairs: AtomicU64,
    unequal: Mutex<Vec<[String; 2]>>,
    /// Values whose batch is in doubt.
    in_doubt: Mutex<Vec<String>>,
    over: AtomicBool,
}

/// Adds one to a number by WATCH, as often as there is time.
fn count_up(port: u16, counted: &Counted) {
    let mut server = None;
    while !counted.over.load(Ordering::Relaxed) {
        let first = [words("UNWATCH"), words("WATCH {n}"), words("GET {n}")];
        let Some(replies) = ask(&mut server, port, &first) else { continue };
        let Some(number) = replies[2].split("\\r\\n").nth(1).map(str::parse::<u64>) else {
            continue;
        };
        let next = if replies[2] == "$-1\\r\\n" { 1 } else { number.unwrap_or(0) + 1 };
        let then = [words("MULTI"), words(&format!("SET {{n}} {next}")), words("EXEC")];
        match ask(&mut server, port, &then).as_deref() {
            Some([.., done]) if done == "*1\\r\\n+OK\\r\\n" => &counted.sure,
            Some([.., done]) if done == "*-1\\r\\n" => &counted.conflicts,
            Some([.., done])
                if done.starts_with("-NOREPLICAS") || done.starts_with("-EXECABORT") =>
            {
                continue;
            }
            Some(_) | None => &counted.doubtful,
        }
        .fetch_add(1, Ordering::Relaxed);
    }
}

/// Writes both keys of a pair, or reads them.
fn write_and_read(port: u16, client: usize, counted: &Counted) {
    let (mut server, mut number) = (None, 0);
    while !counted.over.load(Ordering::Relaxed) {
        number += 1;
        let value = format!("v{client}.{number}");
        let set = |key: &str| words(&format!("SET {{p}}{key} {value}"));
        let writes = [words("MULTI"), set("a"), set("b"), words("EXEC")];
        counted.in_doubt.lock().expect("no panics").push(value.clone());
        let done = ask(&mut server, port, &writes);
        let sure = done.is_some_and(|replies| replies[3] == "*2\\r\\n+OK\\r\\n+OK\\r\\n");
        if sure {
            counted.in_doubt.lock().expect("no panics").retain(|other| *other != value);
        }
        let reads = [words("MULTI"), words("GET {p}a"), words("GET {p}b"), words("EXEC")];
        let Some(replies) = ask(&mut server, port, &reads) else { continue };
        let values: Vec<&str> =
            replies[3].split("\\r\\n").filter(|part| part.starts_with('v')).collect();
        if let [a, b] = values[..] {
            counted.pairs.fetch_add(1, Ordering::Relaxed);
            if a != b {
                let pair = [a.to_owned(), b.to_owned()];
                counted.unequal.lock().expect("no panics").push(pair);
            }
        }
    }
}

#[test]
fn three_nodes_do_at_one_moment_what_belongs_together() {
    let mut nodes = Nodes::start(3);
    let ports = nodes.ports.clone();
    let counted = Counted::default();
    thread::scope(|scope| {
        for (client, port) in ports.iter().copied().enumerate() {
            let counted = &counted;
            scope.spawn(move || count_up(port, counted));
            scope.spawn(move || write_and_read(port, client, counted));
        }
        thread::sleep(SPAN / 4);
        for victim in [0, 1] {
            nodes.kill(victim);
            thread::sleep(SPAN / 4);
            nodes.restart(victim);
            thread::sleep(SPAN / 8);
        }
        counted.over.store(true, Ordering::Relaxed);
    });
    let [sure, doubtful, conflicts, pairs] =
        [&counted.sure, &counted.doubtful, &counted.conflicts, &counted.pairs]
            .map(|count| count.load(Ordering::Relaxed));
    // Only a batch in doubt may be there in part.
    let doubt = counted.in_doubt.into_inner().expect("no panics");
    let mut wrong = counted.unequal.into_inner().expect("no panics");
    wrong.retain(|pair| !pair.iter().any(|value| doubt.contains(value)));
    let mut total = 0;
    wait_until("the number", || {
        let told = nodes.client(2).ask("GET {n}");
        told.parse().map(|number| total = number).is_ok()
    });
    let told = format!("{sure} sure, {doubtful} in doubt, {conflicts} conflicts, {pairs} reads");
    eprintln!("{told}; the number is {total}");
    assert!(wrong.is_empty(), "{told}; {wrong:?}");
    assert!((sure..=sure + doubtful).contains(&total), "{told}; the number is {total}");
    assert!(sure > 20 && conflicts > 0 && pairs > 20, "{told}");
}
