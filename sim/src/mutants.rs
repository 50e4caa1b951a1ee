//! The kill table: each planted bug, and how soon which oracle sees it.
//!
//! An oracle that has never failed proves nothing by passing. A bug that survives is a failure of
//! the simulator: of its oracles, its faults or its workload. Some show only in one narrow course of
//! things that seeds hardly ever draw: those have a case written by hand. The table that is kept, `sim/KILLS.md`,
//! is what one run of [`hunt`] found; each bug has a line in it and a kept case that kills it.

use std::{
    fmt::Write as _,
    fs,
    io::{self, Write},
    time::{Duration, Instant},
};

use quorate::probe::Mutant;

use crate::{
    batch::plant,
    case::Case,
    oracle::{Failure, Kind},
    play::{Tier, play},
    shrink::shrink,
};

/// How long a bug may survive.
const PATIENCE: Duration = Duration::from_secs(60);

/// What stands above the kept table.
const HEAD: &str = "\
# Planted bugs and what kills them

Written by `cargo run --release -p sim --features mutants -- --mutants --table sim/KILLS.md`: seeds from 0 on are played
with one bug planted, until an oracle fails. Seconds are those of one core of an ordinary machine; the rest is the same
everywhere. Each kept case passes, and fails with its bug planted; both are tested.

Bugs that show only in one narrow course of things, and that no seed found within a minute, have cases
written \"by hand\": the course was thought out, its times, nodes and chance were searched for, and what
came of it was shrunk like any other.

";

/// How one bug died.
struct Kill {
    failure: Failure,
    small: Case,
}

/// What came of the hunt for one bug.
struct Hunted {
    mutant: Mutant,
    /// Played until one failed; none if only the kept case does.
    seeds: Option<u64>,
    seconds: f64,
    kill: Option<Kill>,
}

/// Plays seeds from `from` on against each planted bug until one fails, and tells about each on
/// `out`: what the process ends with, and the table to keep.
///
/// # Errors
/// If `out` can't be written.
pub fn hunt(tier: Tier, from: u64, out: &mut impl Write) -> io::Result<(u8, String)> {
    let mut survivors = 0;
    let (mut table, columns) = (HEAD.to_owned(), columns());
    table += &columns;
    write!(out, "{columns}")?;
    for mutant in Mutant::ALL {
        let hunted = Hunted::of(*mutant, tier, from);
        survivors += usize::from(hunted.kill.is_none());
        let line = hunted.line();
        write!(out, "{line}")?;
        table += &line;
    }
    plant(None);
    let sum = format!("{} planted bugs, {survivors} survivors", Mutant::ALL.len());
    writeln!(out, "{sum}")?;
    let _ = writeln!(table, "\n{sum}.");
    Ok((if survivors == 0 { 0 } else { Kind::Harness.exit_code() }, table))
}

/// What a planted bug does.
#[must_use]
pub const fn what(mutant: Mutant) -> &'static str {
    match mutant {
        Mutant::AcceptAckedEarly => "a leader's record is acknowledged before it is durable",
        Mutant::AcceptIgnoresPromised => "a record is taken whatever was promised",
        Mutant::AckBeforeSync => "what is written is acknowledged before it is durable",
        Mutant::AckSkipsRecord => "a cursor moves past a record that was not applied",
        Mutant::AnswersNotRead => "a node reads no answers while it has much to say itself",
        Mutant::BatchHalfLogged => "of the records of a batch only the first is logged",
        Mutant::BatchSentApart => "a batch's records are sent one by one, the first for all",
        Mutant::BehindFlagLost => "a new session begins without the walk that makes up for losses",
        Mutant::BootIgnored => "a node that a power failure took writes from votes at once",
        Mutant::BoundNotAhead => "no bound is durable ahead of the stamps that peers are sent",
        Mutant::ClockReuse => "stamps repeat after a restart",
        Mutant::ColdStartKeepsPromises => "a cold start leaves promises as the disks have them",
        Mutant::ColdStartOfSome => "a cold start does without some members",
        Mutant::CopiesCountAsAccepted => "what was copied after a loss counts as accepted",
        Mutant::DamageAsTail => "a bad frame below a mark is taken for the torn end of the log",
        Mutant::DigestIgnoresTombstones => "deleted keys are left out of digests",
        Mutant::DigestNotUpdated => "a digest stays as it is when a key is written again",
        Mutant::DropNotExact => "a dropped tombstone takes with it what the key holds by then",
        Mutant::DroppedEarly => "a tombstone is dropped when a majority has it",
        Mutant::ExpiredShown => "a leader shows what is past its time",
        Mutant::ExpiredAboveFloor => "an expired value goes before the floor covers it",
        Mutant::FailedConditionUnconfirmed => "a failed condition is answered unconfirmed",
        Mutant::FastAbsentIsTombstone => "a fast read takes a tombstone for an absent key",
        Mutant::FastReadExpires => "a fast read goes by its own clock for what is past its time",
        Mutant::FastReadNewest => "a fast read answers the newest of unequal copies",
        Mutant::FloorForgotten => "what the log says of the floor is forgotten at a restart",
        Mutant::FloorIgnored => "records below the floor are taken",
        Mutant::FloorMajority => "the floor is found over a majority of the members",
        Mutant::FloorOwnOrigin => "the floor is found from what members have of one's own stream",
        Mutant::FloorRowOutlived => "what a member's earlier life had applied counts for the floor",
        Mutant::FlushMissesKey => "a flush of database 0 forgets the last key of each slot",
        Mutant::FlushNotLogged => "a flush is not written to the log",
        Mutant::FlushNotRepaired => "a flush is not passed on by repair",
        Mutant::MergeByArrival => "the last record to arrive wins, whatever its version",
        Mutant::NoIncarnationCheck => "what a member acknowledged before it lost data counts",
        Mutant::NoNamesSync => "the names of new files are not synced",
        Mutant::NoResend => "a new connection goes on after what was sent, not acknowledged",
        Mutant::NoRestamp => "a new leader shows what members do not agree on",
        Mutant::OldConfirmation => "a confirmation asked before a read arrived serves it",
        Mutant::OldSessionAccepted => "what an earlier session owes counts in the present one",
        Mutant::OutboxDropped => "an outbox over its limit forgets its frames in silence",
        Mutant::PartialLineLost => "a line that arrives in two parts loses the first",
        Mutant::ProgressIsNoSign => "that a backed-up link moves is no sign of life",
        Mutant::PromiseNotDurable => "promises are not logged",
        Mutant::PromiseTooHigh => "a node promises to stamp nothing below a time to come",
        Mutant::PromisesIgnored => "a candidate ignores what those who promise hold",
        Mutant::QuorumOffByOne => "a majority less one is enough",
        Mutant::QuorumReadNoWriteBack => "a quorum read does not write back what it shows",
        Mutant::QuorumReadOne => "a quorum read answers from a majority less one",
        Mutant::QuorumStampUnasked => "a quorum write does not ask for versions first",
        Mutant::QuorumWriteOneAck => "a quorum write is acknowledged by a majority less one",
        Mutant::ReadBeforeSync => "a reader is shown what is not durable",
        Mutant::ReadUncommitted => "a leader shows what no majority has",
        Mutant::ReadUnconfirmed => "a leader reads without being confirmed",
        Mutant::RecoversFromFew => "a node recovers from one member too few",
        Mutant::RecoveryDropsPromise => "a recovering node does not take over what others promised",
        Mutant::RecoveryKeepsDisk => "a recovering node keeps what only its disk shows",
        Mutant::RefusedAfterStamp => "a stamped write is refused as if it had not been",
        Mutant::RepairSkipsSlot => "a walk leaves out the last differing slot of each span",
        Mutant::RepliesSwapped => "two replies of one pipeline change places",
        Mutant::RestampOldVersion => "a new leader sends unsettled records with their old version",
        Mutant::SegmentRemovedEarly => "segments go before the checkpoint that replaces them lasts",
        Mutant::SeqReused => "a leader goes on after a restart and counts its stamps anew",
        Mutant::ShownBeforeItVoted => "what a member showed before it voted counts for a recovery",
        Mutant::StampIgnoresSeen => "a stamp looks at the wall clock alone, not at what was seen",
        Mutant::TailAsDamage => "the torn end of the log is taken for damage",
        Mutant::TailNotRewritten => "frames above all marks are replayed and not written again",
        Mutant::TombstoneForgotten => "a tombstone is not kept",
        Mutant::UndurableShown => "a fast read is shown what is not durable",
        Mutant::UnknownRetried => "a write whose fate is unknown is tried again",
        Mutant::VotesAtOnce => "a node whose data is gone votes at once",
        Mutant::WatchIgnored => "a batch takes effect whatever became of what it watches",
    }
}

/// Bugs without a line in a table, and lines of bugs that there are not.
#[must_use]
pub fn strangers(table: &str) -> Vec<String> {
    let named = |line: &str| {
        let cell = line.strip_prefix("| ")?.split(" |").next()?;
        (cell != "planted bug").then(|| cell.to_owned())
    };
    let lines: Vec<String> = table.lines().filter_map(named).collect();
    let missing = Mutant::ALL.iter().map(|mutant| mutant.name());
    let missing = missing.filter(|name| !lines.iter().any(|line| line == name));
    let unknown = lines.iter().filter(|line| Mutant::named(line).is_none());
    missing.map(str::to_owned).chain(unknown.cloned()).collect()
}

fn columns() -> String {
    "| planted bug | what it does | seeds | seconds | oracle | shrunk to | kept case |\n\
     |---|---|---|---|---|---|---|\n"
        .to_owned()
}

impl Hunted {
    fn of(mutant: Mutant, tier: Tier, from: u64) -> Self {
        plant(Some(mutant));
        let started = Instant::now();
        let (mut killed, mut seeds) = (None, 0);
        while killed.is_none() && started.elapsed() < PATIENCE {
            let case = tier.case(Case::draw(from + seeds));
            seeds += 1;
            killed = play(&case, tier, false).failure.map(|failure| (case, failure));
        }
        let seconds = started.elapsed().as_secs_f64();
        let kill =
            killed.map(|(case, failure)| Kill { small: shrink(&case, tier, &failure).0, failure });
        match kill {
            Some(_) => Self { mutant, seeds: Some(seeds), seconds, kill },
            None => Self { mutant, seeds: None, seconds, kill: by_hand(mutant, tier) },
        }
    }

    fn line(&self) -> String {
        let Self { mutant, seeds, seconds, kill } = self;
        let (oracle, shrunk) = match kill {
            Some(Kill { failure, small }) => {
                let (nodes, clients) = (small.config.nodes, small.config.clients);
                let (requests, faults) = (small.workload.len(), small.faults.len());
                let cluster = format!("{nodes} nodes, {clients} clients");
                (failure.oracle, format!("{cluster}, {requests} requests, {faults} faults"))
            }
            None => ("SURVIVED", String::new()),
        };
        let (name, what) = (mutant.name(), what(*mutant));
        let case = format!("`tests/cases/{name}.json`");
        let (seeds, seconds) = match seeds {
            Some(seeds) => (seeds.to_string(), format!("{seconds:.2}")),
            None => ("by hand".to_owned(), "-".to_owned()),
        };
        format!("| {name} | {what} | {seeds} | {seconds} | {oracle} | {shrunk} | {case} |\n")
    }
}

/// What the kept case of a bug shows.
fn by_hand(mutant: Mutant, tier: Tier) -> Option<Kill> {
    let path = format!("{}/../tests/cases/{}.json", env!("CARGO_MANIFEST_DIR"), mutant.name());
    let small = Case::from_json(&fs::read_to_string(path).ok()?).ok()?;
    let failure = play(&small, tier, false).failure?;
    Some(Kill { failure, small })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bugs_without_a_line_and_lines_without_a_bug_are_strangers() {
        let line = |mutant: &Mutant| {
            Hunted { mutant: *mutant, seeds: Some(1), seconds: 0.5, kill: None }.line()
        };
        let whole = columns() + &Mutant::ALL.iter().map(line).collect::<String>();
        assert_eq!(strangers(&whole), [""; 0]);
        assert_eq!(
            strangers(&whole.replace("| no_resend |", "| no_such |")),
            ["no_resend", "no_such"]
        );
        assert_eq!(strangers("").len(), Mutant::ALL.len());
    }
}
