//! What the disk does to a node: bytes that change, tails that are missing, no room.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use super::{
    common::{Client, Nodes, Process, quorate, wait_until},
    directory::{expect_refusal, files, killed_node, name},
};

/// The only segment of a node's log.
fn segment(directory: &Path) -> PathBuf {
    let mut segments = files(directory, "log-");
    assert_eq!(segments.len(), 1);
    segments.remove(0)
}

#[test]
fn damage_is_named_and_repaired_from_the_peers() {
    let mut nodes = Nodes::start(3);
    let keys: BTreeSet<String> = (0..50).map(|key| format!("k{key}")).collect();
    let mut client = nodes.client(0);
    for key in &keys {
        assert_eq!(client.ask(&format!("SET {key} of-{key}")), "OK");
    }
    let table = nodes.wait_for_agreement(&keys);
    nodes.kill(0);

    // Far behind the damage there are frames that say it was synced once.
    let damaged = segment(&nodes.directory(0));
    let mut bytes = fs::read(&damaged).expect("a segment");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x40;
    fs::write(&damaged, &bytes).expect("it is there");
    let damaged = name(&damaged);
    let verify = ["verify".to_owned(), nodes.directory(0).display().to_string()];
    let verified = quorate(&verify);
    expect_refusal(&verified, 2, &["is not intact: 1 found"]);
    assert!(verified.stdout.contains(&format!("found       {damaged}, byte ")));
    expect_refusal(&quorate(&nodes.args(0)), 2, &[&damaged, ", byte ", "damaged", "--repair"]);
    let backup = nodes.data.path().join("backup").display().to_string();
    expect_refusal(&quorate(&["backup", &verify[1], &backup]), 2, &["is not intact"]);

    let mut args = nodes.args(0);
    args.push("--repair".to_owned());
    nodes.adopt(0, Process::start(&args));
    let process = nodes.process(0);
    wait_until("its first lines", || process.printed().lines().count() == 4);
    assert!(process.printed().contains("with losses; its peers refill it"));
    let told = format!("damage: {damaged}, byte ");
    wait_until("word of the damage", || process.logged().contains(&told));
    let aside = files(&nodes.directory(0), &format!("{damaged}.damaged-"));
    assert_eq!(fs::read(&aside[0]).expect("set aside, not removed"), bytes);
    assert_eq!(nodes.wait_for_agreement(&keys), table);
    nodes.client(0).wait_for("DBSIZE", "50");
    let process = nodes.process(0);
    let whole = "what was lost is there again";
    wait_until("word that all is there again", || process.logged().contains(whole));

    // Before it is killed, what it said of itself must be on its disk.
    wait_until("a directory without losses", || {
        fs::read_to_string(nodes.directory(0).join("identity"))
            .is_ok_and(|text| text.contains("lost no"))
    });
    nodes.kill(0);
    assert_eq!(quorate(&verify).code, Some(0));
    nodes.restart(0);
    let process = nodes.process(0);
    wait_until("its first lines", || process.printed().lines().count() == 4);
    assert!(!process.printed().contains("with losses"), "{}", process.printed());
    assert_eq!(nodes.client(0).table(&keys), table, "it needs no peer to know them");
}

#[test]
fn a_missing_tail_is_cut_and_told() {
    let mut nodes = killed_node(20);
    let segment = segment(&nodes.directory(0));
    let size = fs::metadata(&segment).expect("it is there").len();
    let file = fs::OpenOptions::new().write(true).open(&segment).expect("it is there");
    file.set_len(size - 3).expect("shorter is possible");
    let verified = quorate(&["verify".as_ref(), nodes.directory(0).as_os_str()]);
    assert_eq!(verified.code, Some(0), "{}", verified.stderr);
    let told = format!("torn end    {}, byte ", name(&segment));
    assert!(verified.stdout.contains(&told), "{}", verified.stdout);
    nodes.restart(0);
    let process = nodes.process(0);
    wait_until("word of it", || process.logged().contains("cut off the end of the log"));
    let mut client = nodes.client(0);
    assert_eq!(client.ask("GET k18"), "18");
    assert_eq!(client.ask("GET k19"), "Not Found");
    assert_eq!(client.ask("SET k19 again"), "OK");
    nodes.kill(0);
    nodes.restart(0);
    assert_eq!(nodes.client(0).ask("GET k19"), "again");
}

/// Writes until the node is gone; how many writes it acknowledged.
fn fill(client: &mut Client) -> usize {
    let value = "v".repeat(10_000);
    for key in 0..10_000 {
        let request = format!("SET k{key} {value}\n");
        let sent = std::io::Write::write_all(&mut client.stream(), request.as_bytes());
        match (sent, client.line()) {
            (Ok(()), Ok(Some(reply))) => assert_eq!(reply, "OK"),
            _ => return key,
        }
    }
    panic!("there was room for everything");
}

/// A node runs out of room, ends, and has everything once there is room.
fn run_out_of_room(nodes: &mut Nodes, words: &str, make_room: impl FnOnce()) {
    let acknowledged = fill(&mut nodes.client(0));
    assert!(acknowledged > 10, "only {acknowledged}");
    let mut process = nodes.take(0);
    assert_eq!(process.wait().code(), Some(3));
    wait_until("its last words", || process.logged().contains("quorate: the disk failed"));
    let logged = process.logged();
    for part in [words, "log-", "make room and start again"] {
        assert!(logged.contains(part), "no {part:?} in {logged}");
    }
    make_room();
    nodes.restart(0);
    let mut client = nodes.client(0);
    let keys: Vec<String> = (0..acknowledged).map(|key| format!("k{key}")).collect();
    assert!(client.table(&keys).iter().all(|value| value.len() == 10_000), "a lost write");
    assert_eq!(client.ask("SET more 1"), "OK");
}

#[test]
fn a_file_that_may_not_grow_ends_the_node_and_loses_nothing() {
    let mut nodes = Nodes::prepare(1, &[]);
    let mut limited = Command::new("sh");
    let script = "trap '' XFSZ; ulimit -f 600; exec \"$0\" \"$@\"";
    limited.args(["-c", script, env!("CARGO_BIN_EXE_quorate")]).args(nodes.args(0));
    nodes.adopt(0, Process::spawn(limited));
    run_out_of_room(&mut nodes, "File too large", || {});
}

/// A file system of a MiB, until it is dropped.
struct Mounted(PathBuf);

impl Mounted {
    fn new(path: PathBuf) -> Option<Self> {
        fs::create_dir_all(&path).expect("a place for tests");
        let mounted = mount(&["-t", "tmpfs", "-o", "size=1m", "none"], &path);
        mounted.then_some(Self(path))
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let unmounted = Command::new("umount").arg("-l").arg(&self.0).status();
        assert!(unmounted.is_ok_and(|status| status.success()), "{} stays", self.0.display());
    }
}

fn mount(args: &[&str], path: &Path) -> bool {
    let output = Command::new("mount").args(args).arg(path).output();
    output.is_ok_and(|output| output.status.success())
}

#[test]
fn a_full_disk_ends_the_node_and_loses_nothing() {
    let mut nodes = Nodes::prepare(1, &[]);
    let Some(mounted) = Mounted::new(nodes.directory(0)) else {
        eprintln!("SKIPPED: no right to mount a small file system");
        return;
    };
    nodes.start_all();
    run_out_of_room(&mut nodes, "No space left on device", || {
        assert!(mount(&["-o", "remount,size=32m"], &mounted.0), "more room");
    });
    nodes.kill(0);
}
