//! Whose a data directory is, and what is in it: one process at a time, one node for ever, one
//! format; checkpoints replace segments.

use std::{
    fs,
    path::{Path, PathBuf},
};

use xxhash_rust::xxh3::xxh3_64;

use super::common::{Client, Nodes, Outcome, free_ports, quorate, serve_args, wait_until};

/// The files of a directory whose names begin so, in order.
pub(crate) fn files(directory: &Path, prefix: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).expect("a directory");
    let paths = entries.map(|entry| entry.expect("an entry").path());
    let named = |path: &PathBuf| {
        let name = path.file_name().expect("a file has a name").to_string_lossy();
        name.starts_with(prefix)
    };
    let mut files: Vec<PathBuf> = paths.filter(named).collect();
    files.sort();
    files
}

/// The last part of a path.
pub(crate) fn name(path: &Path) -> String {
    path.file_name().expect("a file has a name").to_string_lossy().into_owned()
}

/// A node with some keys, killed.
pub(crate) fn killed_node(keys: usize) -> Nodes {
    let mut nodes = Nodes::start(1);
    let mut client = nodes.client(0);
    for key in 0..keys {
        assert_eq!(client.ask(&format!("SET k{key} {key}")), "OK");
    }
    nodes.kill(0);
    nodes
}

pub(crate) fn expect_refusal(outcome: &Outcome, code: i32, parts: &[&str]) {
    let Outcome { code: got, stdout, stderr } = outcome;
    assert_eq!(*got, Some(code), "{stdout}{stderr}");
    assert!(stderr.contains("quorate: "), "{stderr}");
    for part in parts {
        assert!(stderr.contains(part), "no {part:?} in: {stderr}");
    }
}

#[test]
fn a_second_process_is_kept_out_of_a_directory() {
    let nodes = Nodes::start(1);
    let [other] = free_ports(1)[..] else { unreachable!("one port") };
    let data = nodes.directory(0).display().to_string();
    let refused = quorate(&[&other.to_string(), "--data", &data]);
    expect_refusal(&refused, 3, &["another process uses this data directory", &data]);
    assert_eq!(nodes.client(0).ask("SET a 1"), "OK");
}

#[test]
fn a_directory_of_another_node_or_cluster_is_refused() {
    let nodes = killed_node(3);
    let own = nodes.ports[0];
    let [second, third] = free_ports(2)[..] else { unreachable!("two ports") };
    let with = |port: u16, peers: &[u16]| {
        let mut args = serve_args(port, peers, nodes.data.path());
        args[2] = nodes.directory(0).display().to_string();
        quorate(&args)
    };
    expect_refusal(&with(second, &[]), 2, &["identity: of cluster", &format!("localhost:{own}")]);
    expect_refusal(&with(own, &[second, third]), 2, &["identity: of cluster", "this is"]);

    let mut nodes = Nodes::start(2);
    nodes.kill_all(&[0, 1]);
    let mut args = serve_args(nodes.ports[0], &[nodes.ports[1]], nodes.data.path());
    args[2] = nodes.directory(1).display().to_string();
    expect_refusal(&quorate(&args), 2, &["identity: of node n1", "this is n0"]);
}

#[test]
fn a_newer_format_is_refused() {
    let nodes = killed_node(3);
    let identity = nodes.directory(0).join("identity");
    let text = fs::read_to_string(&identity).expect("an identity");
    let (lines, _) = text.rsplit_once("checksum").expect("a checksum");
    let newer = lines.replacen("identity 2", "identity 3", 1);
    let newer = format!("{newer}checksum {:016x}\n", xxh3_64(newer.as_bytes()));
    fs::write(&identity, newer).expect("it is there");
    let parts = ["identity: in format 3; this version of quorate reads formats 1 to 2"];
    expect_refusal(&quorate(&nodes.args(0)), 2, &parts);
    fs::write(&identity, text).expect("it is there");

    let [log] = &files(&nodes.directory(0), "log-")[..] else { panic!("one segment") };
    let mut bytes = fs::read(log).expect("a segment");
    bytes[8] = 3;
    let checksum = xxh3_64(&bytes[..32]).to_le_bytes();
    bytes[32..40].copy_from_slice(&checksum);
    fs::write(log, bytes).expect("it is there");
    let parts = [&name(log), "in format 3"];
    expect_refusal(&quorate(&nodes.args(0)), 2, &parts);
    let verified = quorate(&["verify".as_ref(), nodes.directory(0).as_os_str()]);
    assert_eq!(verified.code, Some(2), "{}", verified.stderr);
    assert!(verified.stdout.contains("in format 3"), "{}", verified.stdout);
}

#[test]
fn a_checkpoint_replaces_segments_and_is_what_a_restart_reads() {
    let mut nodes = Nodes::start(1);
    let mut client = nodes.client(0);
    for key in 0..200 {
        assert_eq!(client.ask(&format!("SET k{key} {key}")), "OK");
    }
    let before: u64 = client.ask("LASTSAVE").parse().expect("a time");
    let info = client.info("persistence");
    assert!(info.contains("rdb_saves:0\r\n") && info.contains("aof_enabled:1\r\n"), "{info}");
    let old = files(&nodes.directory(0), "log-");
    assert_eq!(client.ask("SAVE"), "OK");
    let checkpoints = files(&nodes.directory(0), "checkpoint-");
    assert_eq!(checkpoints.len(), 1);
    assert!(old.iter().all(|segment| !segment.exists()), "{old:?} count no more");
    assert!(client.ask("LASTSAVE").parse::<u64>().expect("a time") >= before);
    let info = client.info("persistence");
    assert!(info.contains("rdb_saves:1\r\n"), "{info}");
    assert!(info.contains("rdb_bgsave_in_progress:0\r\n"), "{info}");

    assert_eq!(client.ask("SET after 1"), "OK");
    assert!(client.ask("BGSAVE").contains("started"));
    wait_until("a second checkpoint", || client.info("persistence").contains("rdb_saves:2\r\n"));
    assert_ne!(files(&nodes.directory(0), "checkpoint-"), checkpoints);
    assert_eq!(client.ask("DEL k7"), "1");
    nodes.kill(0);
    nodes.restart(0);
    let process = nodes.process(0);
    wait_until("word of it", || process.printed().contains(": recovered "));
    let mut client = nodes.client(0);
    assert_eq!(client.ask("DBSIZE"), "200");
    assert_eq!(client.ask("GET k7"), "Not Found");
    assert_eq!(client.ask("GET k8"), "8");
    // A large checkpoint must not be written anew because of a restart.
    let info = client.info("persistence");
    let size = fs::metadata(&files(&nodes.directory(0), "checkpoint-")[0]).expect("it is there");
    assert!(info.contains(&format!("checkpoint_bytes:{}\r\n", size.len())), "{info}");
}

#[test]
fn a_node_that_stopped_in_order_says_so_to_the_next() {
    let mut nodes = Nodes::start(1);
    assert_eq!(nodes.client(0).ask("SET a 1"), "OK");
    let mut process = nodes.take(0);
    process.signal("TERM");
    assert_eq!(process.wait().code(), Some(0));
    let verified = quorate(&["verify".as_ref(), nodes.directory(0).as_os_str()]);
    assert_eq!(verified.code, Some(0), "{}", verified.stderr);
    for part in ["closed in order", "records     1, 0 of them", "result      intact"] {
        assert!(verified.stdout.contains(part), "no {part:?} in {}", verified.stdout);
    }
    nodes.restart(0);
    assert_eq!(Client::connect(nodes.ports[0]).ask("GET a"), "1");
}
