//! The shapes in which a node's bounds and timing stand in a case's file.
//!
//! The node's own types know nothing of files; these mirror them field by field, and the compiler
//! sees to it that none is forgotten.

use quorate::{
    limits::{Limits, Timing},
    time::Millis,
};
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
#[serde(remote = "Millis")]
struct MillisShape(u64);

#[derive(Serialize, Deserialize)]
#[serde(remote = "Limits")]
pub(super) struct LimitsShape {
    args_max: usize,
    line_size_max: usize,
    /// Cases don't vary it.
    #[serde(skip, default = "line_dropped_max")]
    line_dropped_max: usize,
    request_size_max: usize,
    output_pause: usize,
    #[serde(default = "requests_open_max")]
    requests_open_max: usize,
    /// Cases don't vary it, nor the three behind it.
    #[serde(skip, default = "queue_max")]
    queue_max: usize,
    #[serde(skip, default = "queue_size_max")]
    queue_size_max: usize,
    #[serde(skip, default = "watched_max")]
    watched_max: usize,
    #[serde(skip, default = "scripts_max")]
    scripts_max: usize,
    #[serde(default = "requests_max")]
    requests_max: usize,
    #[serde(default = "requests_size_max")]
    requests_size_max: usize,
    #[serde(with = "MillisShape")]
    output_stall: Millis,
    buffers_total: usize,
    clients_max: usize,
    outbox_size_max: usize,
    link_output: usize,
    offer_size: usize,
    repair_span: u32,
    #[serde(default = "log_gathered_max")]
    log_gathered_max: usize,
    /// Cases don't vary it.
    #[serde(skip, default = "batch_keys_bits")]
    batch_keys_bits: usize,
    #[serde(default = "checkpoint_log_min")]
    checkpoint_log_min: u64,
    #[serde(default = "checkpoint_slice")]
    checkpoint_slice: usize,
}

// Cases that were written before there were disks have none of these.

const fn batch_keys_bits() -> usize {
    Limits::DEFAULT.batch_keys_bits
}

const fn line_dropped_max() -> usize {
    Limits::DEFAULT.line_dropped_max
}

const fn log_gathered_max() -> usize {
    Limits::DEFAULT.log_gathered_max
}

const fn checkpoint_log_min() -> u64 {
    Limits::DEFAULT.checkpoint_log_min
}

const fn checkpoint_slice() -> usize {
    Limits::DEFAULT.checkpoint_slice
}

const fn queue_max() -> usize {
    Limits::DEFAULT.queue_max
}

const fn queue_size_max() -> usize {
    Limits::DEFAULT.queue_size_max
}

const fn watched_max() -> usize {
    Limits::DEFAULT.watched_max
}

const fn scripts_max() -> usize {
    Limits::DEFAULT.scripts_max
}

// Cases that were written before replies could be deferred do not have it.
const fn requests_open_max() -> usize {
    Limits::DEFAULT.requests_open_max
}

// Cases that were written before operations could wait do not have it.
const fn request() -> Millis {
    Timing::DEFAULT.request
}

// Cases that were written before the quorum database have neither.
const fn requests_max() -> usize {
    Limits::DEFAULT.requests_max
}

const fn requests_size_max() -> usize {
    Limits::DEFAULT.requests_size_max
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Timing")]
pub(super) struct TimingShape {
    #[serde(with = "MillisShape")]
    heartbeat: Millis,
    #[serde(with = "MillisShape")]
    silence: Millis,
    #[serde(with = "MillisShape")]
    dial: Millis,
    #[serde(with = "MillisShape")]
    redial_min: Millis,
    #[serde(with = "MillisShape")]
    redial_max: Millis,
    #[serde(with = "MillisShape")]
    repair: Millis,
    #[serde(with = "MillisShape")]
    skew_max: Millis,
    #[serde(with = "MillisShape", default = "request")]
    request: Millis,
    #[serde(with = "MillisShape")]
    drain: Millis,
}
