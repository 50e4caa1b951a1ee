//! Text lines, whole and cut into pieces: the same replies, no panic. The body stands in
//! `quorate::fuzzing`, so that `cargo test` runs it on the seeds.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| quorate::fuzzing::text(data));
