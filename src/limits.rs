//! Every queue, buffer and input has a limit; here they stand with their reasons.
//!
//! Sizes of keys, values and records are part of the format and stand in [`crate::record`].

use crate::{
    record::{RECORD_SIZE_MAX, VALUE_SIZE_MAX},
    time::Millis,
};

/// What a node lets others make it hold or do. Simulations draw small ones, so that every limit is
/// met.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Limits {
    /// Arguments of one request. Redis allows 2^20; a DEL of this many keys already takes
    /// milliseconds.
    pub args_max: usize,
    /// Bytes of one text line: Redis' limit for inline requests.
    pub line_size_max: usize,
    /// Bytes of a line over that limit that are dropped while its end is looked for. Whoever sends more
    /// without one speaks no protocol of ours and is closed, as Redis does at once.
    pub line_dropped_max: usize,
    /// Bytes of one RESP request: the largest value twice over, for requests with several.
    pub request_size_max: usize,
    /// Replies waiting for a slow reader before its requests wait too. One reply may overshoot.
    pub output_pause: usize,
    /// Requests of one client that are under way at a time, with those answered behind them, before
    /// its next ones wait: more than any pipeline in use has, few enough to be remembered in a few
    /// hundred KiB.
    pub requests_open_max: usize,
    /// Requests between MULTI and EXEC: more than clients put into one pipeline by themselves. One
    /// more, and the transaction will not be carried out.
    pub queue_max: usize,
    /// Bytes of these requests: with what they write they must find room in one message.
    pub queue_size_max: usize,
    /// Keys that a connection watches.
    pub watched_max: usize,
    /// Scripts that are known by their hashes: a client has a handful.
    pub scripts_max: usize,
    /// Operations of the strong and the quorum database under way, before no client is read any
    /// more: each takes some hundred bytes here and a line in a message to each member.
    pub requests_max: usize,
    /// Bytes that these operations and their answers hold, before no client is read any more; and
    /// bytes of records that reads of the quorum database move at a time besides the streams.
    pub requests_size_max: usize,
    /// How long a reader may take nothing at all while its requests wait. Then it is closed.
    pub output_stall: Millis,
    /// Bytes in the buffers of all clients together; whoever asks for more beyond it is closed.
    /// Bounds what many clients with a large request or reply each can make the node hold.
    pub buffers_total: usize,
    /// Open client connections: Redis' default.
    pub clients_max: usize,
    /// Unacknowledged replication bytes a peer may cost us. Over it the peer is Behind and repair
    /// takes over.
    pub outbox_size_max: usize,
    /// Bytes moved into a peer link's output at a time: several socket buffers.
    pub link_output: usize,
    /// Bytes of keys and versions in one repair offer: a page that takes far less than a
    /// millisecond to compare.
    pub offer_size: usize,
    /// Slots whose digests go into one repair message: 4 KiB.
    pub repair_span: u32,
    /// Bytes gathered for the log while the disk is busy, before nothing more is read from anybody
    /// and no requests that waited go on. What one read brought may overshoot, within what a batch
    /// may have.
    pub log_gathered_max: usize,
    /// Bits of the set of keys that a batch for the log touches: 8 KiB, so that a batch of a
    /// thousand keys makes one reader of others in sixty wait needlessly.
    pub batch_keys_bits: usize,
    /// Bytes logged since the last checkpoint that make another one worth while, however small the
    /// data: what a restart replays in a fraction of a second. Of larger data a checkpoint is taken
    /// when as much has been logged as the last one was long, so that checkpoints write at most as
    /// much as the log.
    pub checkpoint_log_min: u64,
    /// Bytes of a checkpoint put together at a time: some 50 microseconds of work.
    pub checkpoint_slice: usize,
}

impl Limits {
    /// The limits of a production node.
    pub const DEFAULT: Self = Self {
        args_max: 65_536,
        line_size_max: 64 * 1024,
        line_dropped_max: 1024 * 1024,
        request_size_max: 2 * VALUE_SIZE_MAX,
        output_pause: 1024 * 1024,
        requests_open_max: 1024,
        queue_max: 16_384,
        queue_size_max: VALUE_SIZE_MAX / 2,
        watched_max: 1024,
        scripts_max: 1024,
        requests_max: 65_536,
        requests_size_max: 64 * 1024 * 1024,
        output_stall: Millis(60_000),
        buffers_total: 512 * 1024 * 1024,
        clients_max: 10_000,
        outbox_size_max: 4 * RECORD_SIZE_MAX,
        link_output: 256 * 1024,
        offer_size: 64 * 1024,
        repair_span: 256,
        log_gathered_max: 64 * 1024 * 1024,
        batch_keys_bits: 1 << 16,
        checkpoint_log_min: 64 * 1024 * 1024,
        checkpoint_slice: 32 * 1024,
    };
}

impl Default for Limits {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// The spans of time by which nodes watch each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Timing {
    /// A sign of life on each link at least this often.
    pub heartbeat: Millis,
    /// A link silent for this long is dead: a partition leaves no other trace.
    pub silence: Millis,
    /// How long a dial may take.
    pub dial: Millis,
    /// First pause before dialing again; it doubles up to `redial_max`, with jitter.
    pub redial_min: Millis,
    /// Longest pause before dialing again.
    pub redial_max: Millis,
    /// Slot digests are compared with each peer at least this often. It finds what no stream
    /// carries: records whose sender died before they reached everyone.
    pub repair: Millis,
    /// A stamp this far ahead of our clock is refused, so that one broken clock can't drag all
    /// others along.
    pub skew_max: Millis,
    /// How long an operation of the strong or the quorum database may take. Then it is answered
    /// with what is certain: that nothing was written, or that nobody knows.
    pub request: Millis,
    /// How long a stopping node waits for its peers and clients to take what it owes them.
    pub drain: Millis,
}

impl Timing {
    /// The timing of a production node.
    pub const DEFAULT: Self = Self {
        heartbeat: Millis(100),
        silence: Millis(500),
        dial: Millis(1000),
        redial_min: Millis(25),
        redial_max: Millis(1000),
        repair: Millis(10_000),
        skew_max: Millis(60_000),
        request: Millis(3000),
        drain: Millis(5000),
    };
}

impl Timing {
    /// The shortest silence that may make a member suspect: shorter pauses are everyday life.
    pub const SILENCE_MIN: Millis = Millis(100);
    /// The longest.
    pub const SILENCE_MAX: Millis = Millis(60_000);
    /// Heartbeats that fit into the silence which makes a member suspect.
    const HEARTBEATS: u64 = 5;

    /// The timing of a production node whose members are suspect after such a silence; none if
    /// that is out of bounds.
    #[must_use]
    pub fn with_silence(silence: Millis) -> Option<Self> {
        let heartbeat = Millis(silence.0 / Self::HEARTBEATS);
        let fits = (Self::SILENCE_MIN..=Self::SILENCE_MAX).contains(&silence);
        fits.then_some(Self { heartbeat, silence, ..Self::DEFAULT })
    }
}

impl Default for Timing {
    fn default() -> Self {
        Self::DEFAULT
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_has_bounds_and_sets_the_heartbeat() {
        let heartbeat = |ms| Timing::with_silence(Millis(ms)).map(|timing| timing.heartbeat.0);
        assert_eq!(Timing::with_silence(Timing::DEFAULT.silence), Some(Timing::DEFAULT));
        assert_eq!([100, 60_000].map(heartbeat), [Some(20), Some(12_000)]);
        assert_eq!([0, 99, 60_001].map(heartbeat), [None; 3]);
    }
}
