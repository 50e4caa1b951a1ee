//! The fuzz targets' bodies on their seed corpus, and on bytes drawn at random.

use std::{fs, path::PathBuf};

use proptest::prelude::{any, proptest};
use quorate::fuzzing;

fn run(target: &str, body: fn(&[u8])) {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds").join(target);
    let entries = fs::read_dir(&folder).expect("the folder of seeds");
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.expect("readable").path()).collect();
    paths.sort();
    assert!(paths.len() >= 3, "{target} has no seeds");
    for path in &paths {
        println!("{}", path.display());
        body(&fs::read(path).expect("a readable seed"));
    }
}

#[test]
fn resp() {
    run("resp", fuzzing::resp);
}

#[test]
fn text() {
    run("text", fuzzing::text);
}

#[test]
fn peer() {
    run("peer", fuzzing::peer);
}

#[test]
fn log() {
    run("log", fuzzing::log);
}

#[test]
fn model() {
    run("model", fuzzing::model);
}

proptest! {
    #[test]
    fn random_clients(data in proptest::collection::vec(any::<u8>(), 0..300)) {
        fuzzing::resp(&data);
        fuzzing::text(&data);
    }

    #[test]
    fn random_peers(data in proptest::collection::vec(any::<u8>(), 0..300)) {
        fuzzing::peer(&data);
    }

    #[test]
    fn random_files(data in proptest::collection::vec(any::<u8>(), 1..300)) {
        fuzzing::log(&data);
    }

    #[test]
    fn random_histories(data in proptest::collection::vec(any::<u8>(), 6..250)) {
        fuzzing::model(&data);
    }
}
