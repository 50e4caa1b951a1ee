//! `quorate verify`, `backup` and `restore` on directories of real nodes, running and stopped.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::{Read as _, Write as _},
    net::{Shutdown, TcpListener},
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    thread,
};

use quorate::log::{self, Entry, memory::MemoryDisk};
use xxhash_rust::xxh3::xxh3_64;

use super::{
    common::{Client, Nodes, Outcome, free_ports, quorate, wait_until},
    directory::{expect_refusal, files},
};

/// What a checkpoint of nobody is called in a directory.
const CHECKPOINT: &str = "checkpoint-0000000000000001";
/// Keys of the writer that is backed up while it writes.
const KEYS: u64 = 500;

fn run(args: &[&str]) -> Outcome {
    let outcome = quorate(args);
    assert_eq!(outcome.code, Some(0), "{args:?}: {}{}", outcome.stdout, outcome.stderr);
    outcome
}

/// The numbers in a backup by key, each key once.
fn numbers(backup: &[u8]) -> BTreeMap<u64, u64> {
    let number = |bytes: &[u8]| -> u64 {
        let text = std::str::from_utf8(bytes).expect("text");
        text.trim_start_matches('k').parse().expect("a number")
    };
    let mut disk = MemoryDisk::default();
    disk.put(CHECKPOINT, backup);
    let mut numbers = BTreeMap::new();
    let verified = log::verify(&mut disk, &mut |entry| {
        let Entry::Record(record) = entry else { return };
        let value = number(record.value.expect("nothing was deleted"));
        assert_eq!(numbers.insert(number(record.key), value), None, "a key stands there twice");
    });
    assert_eq!(verified.expect("a disk in memory").findings, []);
    numbers
}

/// Each backup of a node that writes and takes checkpoints is its state after some prefix of its
/// writes, and that prefix has everything acknowledged before the backup began.
#[test]
fn a_backup_of_a_running_node_is_a_moment_of_it() {
    let nodes = Nodes::start(1);
    let directory = nodes.directory(0).display().to_string();
    let (stop, acknowledged) = (AtomicBool::new(false), AtomicU64::new(0));
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut client = nodes.client(0);
            let mut next = 0;
            while !stop.load(Ordering::Relaxed) {
                let set = |n: u64| format!("SET k{} {n}\n", n % KEYS);
                let batch: Vec<String> = (next..next + 20).map(set).collect();
                assert!(client.pipeline(&batch).iter().all(|reply| reply == "OK"));
                next += 20;
                acknowledged.store(next, Ordering::Relaxed);
            }
        });
        scope.spawn(|| {
            let mut client = nodes.client(0);
            while !stop.load(Ordering::Relaxed) {
                assert_eq!(client.ask("SAVE"), "OK");
            }
        });
        for round in 0..10 {
            let file = nodes.data.path().join(format!("{round}.backup"));
            let before = acknowledged.load(Ordering::Relaxed);
            run(&["backup", &directory, &file.display().to_string()]);
            let numbers = numbers(&fs::read(&file).expect("a backup"));
            let written = numbers.values().max().map_or(0, |last| last + 1);
            assert!(written >= before, "{before} were acknowledged, {written} are there");
            let last_of = |key: u64| (written - 1 - key) / KEYS * KEYS + key;
            let expected = (0..KEYS.min(written)).map(|key| (key, last_of(key))).collect();
            assert_eq!(numbers, expected, "the state after {written} writes");
            run(&["verify", &directory]);
        }
        stop.store(true, Ordering::Relaxed);
    });
}

/// A node with keys in all databases, one of them deleted, and a backup of it.
fn backed_up() -> (Nodes, String) {
    let nodes = Nodes::start(1);
    let mut client = nodes.client(0);
    for db in 0..3 {
        assert_eq!(client.ask(&format!("SELECT {db}")), "OK");
        for key in 0..100 {
            assert_eq!(client.ask(&format!("SET k{key} {db}.{key}")), "OK");
        }
        assert_eq!(client.ask("DEL k9"), "1");
    }
    // Tombstones go when all members have them.
    wait_until("removed tombstones", || {
        let info = client.info("keyspace");
        (0..3).all(|db| info.contains(&format!("db{db}:keys=99,expires=0,tombstones=0")))
    });
    let file = nodes.data.path().join("one.backup").display().to_string();
    let made = run(&["backup", &nodes.directory(0).display().to_string(), &file]);
    let told = format!("{file}: 297 records, 0 of them tombstones, ");
    assert!(made.stdout.starts_with(&told), "{}", made.stdout);
    let left = files(nodes.data.path(), ".quorate-backup");
    assert!(left.is_empty(), "{left:?}");
    (nodes, file)
}

fn expect_all(port: u16, databases: &[u8]) {
    let mut client = Client::connect(port);
    for db in databases {
        assert_eq!(client.ask(&format!("SELECT {db}")), "OK");
        client.wait_for("DBSIZE", "99");
        assert_eq!(client.ask("GET k42"), format!("{db}.42"));
        assert_eq!(client.ask("GET k9"), "Not Found");
    }
}

#[test]
fn a_fresh_cluster_begins_from_a_backup() {
    let (_from, file) = backed_up();
    let mut nodes = Nodes::prepare(3, &[]);
    // In each of them: what one alone has in the strong database, a majority has not accepted.
    let directories = [0, 1, 2].map(|node| nodes.directory(node).display().to_string());
    for directory in &directories {
        let restored = run(&["restore", &file, "--data", directory]);
        assert!(restored.stdout.contains("297 records"), "{}", restored.stdout);
        run(&["verify", directory]);
    }
    let [directory, ..] = directories;
    nodes.start_all();
    nodes.ports.iter().for_each(|port| expect_all(*port, &[0, 1, 2]));
    // New writes are above the restored ones, on every node.
    assert_eq!(nodes.client(2).ask("SET k42 new"), "OK");
    nodes.wait_for_value("k42", "new");
    nodes.kill(0);
    nodes.restart(0);
    assert_eq!(nodes.client(0).ask("GET k43"), "0.43");
    let again = quorate(&["restore", &file, "--data", &directory]);
    expect_refusal(&again, 3, &["another process uses this data directory"]);
    nodes.kill(0);
    let again = quorate(&["restore", &file, "--data", &directory]);
    expect_refusal(&again, 2, &["is not empty"]);
}

#[test]
fn a_running_cluster_takes_a_backup_as_writes() {
    let (_from, file) = backed_up();
    let nodes = Nodes::start(2);
    let to = format!("localhost:{}", nodes.ports[0]);
    assert_eq!(nodes.client(1).ask("SET k42 mine"), "OK");
    nodes.wait_for_value("k42", "mine");
    let restored = run(&["restore", &file, "--to", &to, "--db", "0,2"]);
    assert!(restored.stdout.contains("198 records written; left out 0"), "{}", restored.stdout);
    nodes.ports.iter().for_each(|port| expect_all(*port, &[0, 2]));
    let mut client = nodes.client(0);
    assert_eq!(client.ask("SELECT 1"), "OK");
    assert_eq!(client.ask("DBSIZE"), "0");
    run(&["restore", &file, "--to", &to]);
    nodes.ports.iter().for_each(|port| expect_all(*port, &[0, 1, 2]));
}

/// Values of a MiB, and more requests than a window has.
#[test]
fn much_fits_through_a_restore_into_a_running_cluster() {
    let from = Nodes::start(1);
    let mut client = from.client(0);
    let small: Vec<String> = (0..5000).map(|key| format!("SET s{key} {key}\n")).collect();
    assert!(client.pipeline(&small).iter().all(|reply| reply == "OK"));
    let value = "v".repeat(1 << 20);
    for key in 0..20 {
        client.send(format!("*3\r\n$3\r\nSET\r\n$3\r\nb{key:02}\r\n$1048576\r\n").as_bytes());
        client.send(format!("{value}\r\n").as_bytes());
        assert_eq!(client.line().expect("a reply").as_deref(), Some("+OK\r"));
    }
    let file = from.data.path().join("backup").display().to_string();
    run(&["backup", &from.directory(0).display().to_string(), &file]);
    let to = Nodes::start(1);
    run(&["restore", &file, "--to", &format!("localhost:{}", to.ports[0])]);
    let mut client = to.client(0);
    assert_eq!(client.ask("DBSIZE"), "5020");
    let keys: BTreeSet<String> = ["b00", "b19"].map(str::to_owned).into();
    assert!(client.table(&keys).iter().all(|held| *held == value));
}

/// Something that takes one connection, answers whatever comes first with these bytes, and closes
/// once the other side has nothing more to say or does not go on for a while.
fn answering(replies: &'static [u8]) -> (u16, thread::JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("some port is free");
    let port = listener.local_addr().expect("it is bound").port();
    let answer = thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a client");
        let _ = stream.read(&mut [0; 4096]).expect("a request");
        stream.write_all(replies).expect("it reads");
        stream.shutdown(Shutdown::Write).expect("it is open");
        let _ = stream.read_to_end(&mut Vec::new());
    });
    (port, answer)
}

#[test]
fn a_restore_says_what_was_not_written() {
    let nodes = Nodes::start(1);
    let requests = ["SET a 1\n", "SET b 2\n", "SET c 3\n"].map(str::to_owned);
    nodes.client(0).pipeline(&requests);
    let file = nodes.data.path().join("backup").display().to_string();
    run(&["backup", &nodes.directory(0).display().to_string(), &file]);
    for (replies, printed, parts) in [
        (
            &b"+OK\r\n-OOM no room\r\n+OK\r\n"[..],
            "2 records written",
            ["1 records were refused", "database 0, key ", ": OOM no room"],
        ),
        (b"+OK\r\n", "1 records written", ["closed the connection", "2 more may or may not", ""]),
        (b"+OK\r\n+", "1 records written", ["closed the connection", "2 more may or may not", ""]),
    ] {
        let (port, answer) = answering(replies);
        let outcome = quorate(&["restore", &file, "--to", &format!("localhost:{port}")]);
        expect_refusal(&outcome, 1, &parts);
        assert!(outcome.stdout.contains(printed), "{}", outcome.stdout);
        answer.join().expect("it answers");
    }
}

#[test]
fn what_is_no_data_and_no_backup_is_refused() {
    let (nodes, file) = backed_up();
    let place = nodes.data.path();
    let path = |name: &str| place.join(name).display().to_string();
    let directory = nodes.directory(0).display().to_string();
    fs::create_dir(place.join("empty")).expect("a place for tests");
    let refused = |args: &[&str], code, part: &str| expect_refusal(&quorate(args), code, &[part]);
    refused(&["verify", &path("none")], 2, "No such file or directory");
    refused(&["verify", &path("empty")], 2, "is no data directory");
    refused(&["verify", &file], 2, "Not a directory");
    refused(&["backup", &path("none"), &path("new")], 2, "No such file or directory");
    refused(&["backup", &path("empty"), &path("new")], 2, "is no data directory");
    refused(&["backup", &directory, &file], 2, "exists; choose another name");
    refused(&["backup", &directory, &path("none/new")], 2, "can't write");
    refused(&["restore", &path("none"), "--data", &path("new")], 2, "No such file");
    refused(&["restore", &directory, "--data", &path("new")], 2, "it is no file");
    let [port] = free_ports(1)[..] else { unreachable!("one port") };
    refused(&["restore", &file, "--to", &format!("localhost:{port}")], 1, "refused");

    let good = fs::read(&file).expect("a backup");
    let write = |name: &str, bytes: &[u8]| {
        fs::write(place.join(name), bytes).expect("room");
        path(name)
    };
    let text = write("text", b"this is nothing that quorate wrote, but long enough for a header");
    refused(&["restore", &text, "--data", &path("new")], 2, "is no backup");
    refused(&["restore", &write("nothing", b""), "--data", &path("new")], 2, "is no backup");
    let cut = write("cut", &good[..good.len() - 9]);
    refused(&["restore", &cut, "--data", &path("new")], 2, "byte");
    let to = format!("localhost:{}", nodes.ports[0]);
    refused(&["restore", &cut, "--to", &to], 2, "byte");
    let mut flipped = good.clone();
    flipped[good.len() / 2] ^= 1;
    refused(&["restore", &write("flip", &flipped), "--data", &path("new")], 2, "damaged");
    let mut newer = good;
    newer[8] = 9;
    let checksum = xxh3_64(&newer[..32]).to_le_bytes();
    newer[32..40].copy_from_slice(&checksum);
    refused(&["restore", &write("newer", &newer), "--data", &path("new")], 2, "in format 9");
    // A node's own checkpoint is not all of its data.
    assert_eq!(nodes.client(0).ask("SAVE"), "OK");
    let checkpoint = files(&nodes.directory(0), "checkpoint-").remove(0).display().to_string();
    refused(&["restore", &checkpoint, "--data", &path("new")], 2, "is no backup");
    assert!(!place.join("new").exists(), "nothing was made of what was refused");
}
