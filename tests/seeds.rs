//! The fuzz targets' bodies on their seed corpus, and on bytes drawn at random.

use std::{collections::BTreeSet, fs, path::PathBuf};

use proptest::prelude::{any, proptest};
use quorate::{
    fuzzing,
    proto::peer::{FRAME_SIZE_MAX, Frame, FrameStep},
};

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

/// Each kind of frame stands in a seed and reads there, but for begin and welcome: those are of the
/// greeting that the body itself writes.
#[test]
fn peer_seeds_know_every_kind() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds/peer");
    let mut kinds = BTreeSet::new();
    for entry in fs::read_dir(&folder).expect("the folder of seeds") {
        let bytes = fs::read(entry.expect("readable").path()).expect("a readable seed");
        let mut rest = bytes.get(1..).unwrap_or_default();
        while let FrameStep::Complete { consumed, .. } = Frame::next(rest, FRAME_SIZE_MAX) {
            kinds.insert(rest[4]);
            rest = &rest[consumed..];
        }
    }
    kinds.extend([2, 14]);
    assert_eq!(kinds, (1..=38).collect());
}
