//! What is searched: small bounds for every day, larger ones for when there is time.

use super::setup::{Act, Loss, Pace, Role, Setup};

const L: Role = Role::Leader;
const A: Role = Role::Other(0);
const B: Role = Role::Other(1);
const C: Role = Role::Other(2);
const D: Role = Role::Other(3);

/// Three nodes, one key, one to three operations, two ballots, one fault.
pub const SMALL: &[Setup] = &[
    // A write at a leader that is being replaced, and a read at its successor.
    Setup {
        name: "takeover",
        asks: &[(L, Act::Increment), (B, Act::Get)],
        muters: &[L],
        mutes: 1,
        reconnects: false,
        tickers: &[B],
        ..Setup::PLAIN
    },
    // The same, and the old leader comes back with what it had to send.
    Setup {
        name: "old leader returns",
        asks: &[(L, Act::Increment), (B, Act::Get)],
        in_order: true,
        muters: &[L],
        mutes: 1,
        tickers: &[B],
        ..Setup::PLAIN
    },
    // Two may succeed.
    Setup {
        name: "rivals",
        asks: &[(L, Act::Increment)],
        muters: &[L],
        mutes: 1,
        reconnects: false,
        ..Setup::PLAIN
    },
    // What a leader that may be replaced shows of its own write.
    Setup {
        name: "own write",
        asks: &[(L, Act::Set("a")), (L, Act::SetAbsent("b")), (L, Act::Get)],
        in_order: true,
        muters: &[L],
        mutes: 1,
        reconnects: false,
        tickers: &[B],
        ..Setup::PLAIN
    },
    // A read at a leader that does not know that it has a successor.
    Setup {
        name: "stale read",
        asks: &[(B, Act::Set("a")), (L, Act::Get)],
        in_order: true,
        muters: &[L],
        mutes: 1,
        reconnects: false,
        tickers: &[B],
        ..Setup::PLAIN
    },
    // The same while an older read's confirmation is under way.
    Setup {
        name: "old confirmation",
        asks: &[(L, Act::Get), (B, Act::Set("a")), (L, Act::Get)],
        in_order: true,
        answers: Pace::Free,
        muters: &[L],
        mutes: 1,
        stalled: &[(B, L), (L, B)],
        reconnects: false,
        tickers: &[B],
        ..Setup::PLAIN
    },
    // Reads at followers while a write spreads.
    Setup {
        name: "fast read",
        asks: &[(L, Act::Set("a")), (A, Act::Get), (B, Act::Get)],
        ..Setup::PLAIN
    },
    // The same while a deletion spreads.
    Setup {
        name: "fast read of nothing",
        asks: &[(L, Act::Set("a")), (L, Act::Delete), (B, Act::Get)],
        in_order: true,
        ..Setup::PLAIN
    },
    // A request on its way to the leader, and its link breaks.
    Setup {
        name: "forwarded",
        asks: &[(A, Act::Increment), (L, Act::Increment)],
        brittle: &[(A, L)],
        breaks: 1,
        ..Setup::PLAIN
    },
    // A leader crashes and comes back.
    Setup {
        name: "leader restarts",
        asks: &[(L, Act::Increment), (L, Act::Increment)],
        in_order: true,
        crashers: &[(L, Loss::Undurable)],
        crashes: 1,
        tickers: &[L],
        ..Setup::PLAIN
    },
    // A voter crashes and comes back while the leader is being replaced.
    Setup {
        name: "voter restarts",
        asks: &[(L, Act::Increment)],
        crashers: &[(A, Loss::Undurable)],
        crashes: 1,
        muters: &[L],
        mutes: 1,
        tickers: &[B],
        ..Setup::PLAIN
    },
    // A voter loses all that it had, and recovers.
    Setup {
        name: "data lost",
        asks: &[(L, Act::Increment)],
        crashers: &[(A, Loss::Everything)],
        crashes: 1,
        tickers: &[],
        ..Setup::PLAIN
    },
    // A power failure takes a voter's last word, and it recovers.
    Setup {
        name: "power failure",
        asks: &[(L, Act::Increment)],
        crashers: &[(A, Loss::Batches(1))],
        crashes: 1,
        tickers: &[],
        ..Setup::PLAIN
    },
    // The same while the leader is being replaced.
    Setup {
        name: "promise lost",
        crashers: &[(A, Loss::Batches(1))],
        crashes: 1,
        muters: &[L],
        mutes: 1,
        tickers: &[B],
        ..Setup::PLAIN
    },
    // A tombstone is dropped when all members have it.
    Setup {
        name: "drop",
        before: &[(L, Act::Set("a"))],
        asks: &[(L, Act::Delete)],
        surveys: true,
        tickers: &[L],
        ticks: 3,
        ..Setup::PLAIN
    },
    // A power failure takes back the tombstone and that it was dropped.
    Setup {
        name: "drop and power failure",
        before: &[(L, Act::Set("a"))],
        asks: &[(L, Act::Delete)],
        surveys: true,
        tickers: &[L],
        ticks: 1,
        crashers: &[(A, Loss::Batches(2))],
        crashes: 1,
        ..Setup::PLAIN
    },
    // A leader crashes before its own disk has what others do.
    Setup {
        name: "slow disk",
        asks: &[(L, Act::Set("a")), (A, Act::Get)],
        in_order: true,
        slow_disks: &[L],
        crashers: &[(L, Loss::Undurable)],
        crashes: 1,
        tickers: &[],
        ..Setup::PLAIN
    },
    // A leader comes back while a voter still owes an answer to its earlier life.
    Setup {
        name: "old session",
        asks: &[(L, Act::Increment), (L, Act::Increment)],
        in_order: true,
        slow_disks: &[A],
        crashers: &[(L, Loss::Undurable)],
        crashes: 1,
        tickers: &[L],
        ..Setup::PLAIN
    },
    // Of five, one acknowledges, forgets by a power failure, and recovers from those who never knew.
    Setup {
        name: "acknowledged and forgotten",
        nodes: 5,
        asks: &[(L, Act::Increment)],
        crashers: &[(A, Loss::Batches(1))],
        crashes: 1,
        stalled: &[(L, C), (L, D), (A, L), (C, L), (D, L), (C, D), (D, C), (B, C), (B, D)],
        tickers: &[],
        ..Setup::PLAIN
    },
];

/// The bounds of PROTOCOL section 13 and more: to be searched with time and memory at hand.
pub const LARGE: &[Setup] = &[
    Setup {
        name: "A1",
        asks: &[(L, Act::Increment), (A, Act::Increment), (B, Act::Get)],
        muters: &[L],
        mutes: 1,
        ..Setup::PLAIN
    },
    Setup {
        name: "A2",
        asks: &[(L, Act::Increment), (A, Act::Increment), (B, Act::Get)],
        muters: &[L, A, B],
        mutes: 2,
        lates: 2,
        ballots: 3,
        ..Setup::PLAIN
    },
    Setup {
        name: "A3",
        asks: &[(L, Act::Set("a")), (B, Act::SetAbsent("b")), (A, Act::Get)],
        crashers: &[(L, Loss::Undurable), (A, Loss::Undurable)],
        crashes: 1,
        ballots: 3,
        lates: 1,
        ..Setup::PLAIN
    },
    Setup {
        name: "A4",
        asks: &[(L, Act::Increment), (L, Act::Get), (A, Act::Get)],
        brittle: &[(L, A), (L, B), (A, L), (B, L)],
        breaks: 1,
        crashers: &[(L, Loss::Undurable)],
        crashes: 1,
        answers: Pace::Free,
        ..Setup::PLAIN
    },
    Setup {
        name: "X4",
        asks: &[(L, Act::Set("a")), (L, Act::Delete), (A, Act::SetAbsent("b")), (B, Act::Get)],
        surveys: true,
        ticks: 4,
        muters: &[L],
        mutes: 1,
        ..Setup::PLAIN
    },
    Setup {
        name: "R1",
        asks: &[(L, Act::Increment), (B, Act::Get)],
        crashers: &[(L, Loss::Batches(1)), (A, Loss::Batches(1)), (A, Loss::Batches(2))],
        crashes: 1,
        muters: &[L],
        mutes: 1,
        ..Setup::PLAIN
    },
    Setup {
        name: "copied",
        asks: &[(L, Act::Set("a")), (A, Act::Get), (B, Act::Get)],
        in_order: true,
        crashers: &[(A, Loss::Batches(1))],
        crashes: 1,
        muters: &[L],
        mutes: 1,
        tickers: &[B],
        ..Setup::PLAIN
    },
    Setup {
        name: "five",
        nodes: 5,
        asks: &[(L, Act::Increment), (B, Act::Get)],
        muters: &[L],
        mutes: 1,
        ..Setup::PLAIN
    },
];

/// The setup of a name.
#[must_use]
pub fn named(name: &str) -> Option<&'static Setup> {
    SMALL.iter().chain(LARGE).find(|setup| setup.name == name)
}
