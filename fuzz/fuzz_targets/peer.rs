//! Frames between nodes: read back as written, and nothing a peer says hurts a node. The body
//! stands in `quorate::fuzzing`, so that `cargo test` runs it on the seeds.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| quorate::fuzzing::peer(data));
