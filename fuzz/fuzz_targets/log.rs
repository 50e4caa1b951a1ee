//! Arbitrary and edited data directories: opening them never panics, and is repeatable. The body
//! stands in `quorate::fuzzing`, so that `cargo test` runs it on the seeds.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| quorate::fuzzing::log(data));
