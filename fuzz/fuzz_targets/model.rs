//! Operations, partitions, cuts and restarts on a cluster, against a map. The body stands in
//! `quorate::fuzzing`, so that `cargo test` runs it on the seeds.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| quorate::fuzzing::model(data));
