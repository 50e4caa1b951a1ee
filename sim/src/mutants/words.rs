//! What each planted bug does, in words for the kill table.

use quorate::probe::Mutant;

/// What a planted bug does.
#[must_use]
pub fn what(mutant: Mutant) -> &'static str {
    WORDS.iter().find(|(known, _)| *known == mutant).map_or("", |(_, words)| words)
}

const WORDS: &[(Mutant, &str)] = &[
    (Mutant::AcceptAckedEarly, "a leader's record is acknowledged before it is durable"),
    (Mutant::AcceptIgnoresPromised, "a record is taken whatever was promised"),
    (Mutant::AckBeforeSync, "what is written is acknowledged before it is durable"),
    (Mutant::AckSkipsRecord, "a cursor moves past a record that was not applied"),
    (Mutant::AnswersNotRead, "a node reads no answers while it has much to say itself"),
    (Mutant::AnswersOvertake, "a read is begun anew though one that came later was answered"),
    (
        Mutant::AstrayMarkIgnored,
        "the mark of a frame that landed in a wrong place counts for nothing",
    ),
    (Mutant::BatchHalfLogged, "of the records of a batch only the first is logged"),
    (Mutant::BatchReadsBefore, "a request of a batch does not see what those before it did"),
    (Mutant::BatchSentApart, "a batch's records are sent one by one, the first for all"),
    (Mutant::BatchesCrowdOut, "all batches are sent again at once, whether or not there is room"),
    (Mutant::BatchesOvertaken, "what is newer than a batch that finds no room goes before it"),
    (Mutant::BehindFlagLost, "a new session begins without the walk that makes up for losses"),
    (Mutant::BootIgnored, "a node that a power failure took writes from votes at once"),
    (Mutant::BoundNotAhead, "no bound is durable ahead of the stamps that peers are sent"),
    (Mutant::BuffersKept, "the buffers of a client that is gone count for ever"),
    (Mutant::CandidatesInterrupt, "a member backs a candidate while another one goes on"),
    (
        Mutant::CanvassIgnoresTransfer,
        "who asks for votes overlooks that the leader hands over to it",
    ),
    (
        Mutant::CleanMarkKept,
        "the mark of a stop in order is taken for synced, though that may have failed",
    ),
    (Mutant::CleanMarkUnsynced, "a log is marked as closed in order before all is synced"),
    (Mutant::ClockReuse, "stamps repeat after a restart"),
    (Mutant::ColdStartKeepsPromises, "a cold start leaves promises as the disks have them"),
    (Mutant::ColdStartOfSome, "a cold start does without some members"),
    (
        Mutant::ColdStartReusesBallots,
        "a cold start goes on from the highest ballot that a disk has",
    ),
    (Mutant::CopiesCountAsAccepted, "what was copied after a loss counts as accepted"),
    (Mutant::CopyOverwrites, "COPY and RENAMENX take a name that is taken"),
    (Mutant::DamageAsTail, "a bad frame below a mark is taken for the torn end of the log"),
    (Mutant::DamagedCountsAsNew, "a cluster forms with a node whose data was damaged"),
    (Mutant::DigestIgnoresTombstones, "deleted keys are left out of digests"),
    (Mutant::DigestNotUpdated, "a digest stays as it is when a key is written again"),
    (Mutant::DonorFloorNotPassedOn, "a node that goes by the floor of another tells nobody of it"),
    (Mutant::DonorKept, "a donor of the floor that is gone before all is done is waited for"),
    (Mutant::DropNotExact, "a dropped tombstone takes with it what the key holds by then"),
    (Mutant::DroppedEarly, "a tombstone is dropped when a majority has it"),
    (
        Mutant::ExecAnsweredEarly,
        "EXEC of requests one behind the other is answered before they are durable",
    ),
    (
        Mutant::ExecOvertakes,
        "in an EXEC of requests one behind the other one may overtake another of its key",
    ),
    (Mutant::ExpiredAtOnce, "an expired value goes though another node's clock may be behind"),
    (Mutant::ExpiredCopyShown, "a node shows of its copy what is past its time"),
    (Mutant::ExpiredDroppedByReader, "a reader takes an expired value out of the copy"),
    (Mutant::ExpiredShown, "a leader shows what is past its time"),
    (Mutant::ExpiredAboveFloor, "an expired value goes before the floor covers it"),
    (Mutant::FailedConditionUnconfirmed, "a failed condition is answered unconfirmed"),
    (Mutant::FarewellReorders, "what is taken back from a node that stops changes its order"),
    (Mutant::FarewellTooEarly, "a node that stops has requests taken back that it carries out"),
    (Mutant::FastAbsentIsTombstone, "a fast read takes a tombstone for an absent key"),
    (Mutant::FastReadExpires, "a fast read goes by its own clock for what is past its time"),
    (Mutant::FastReadNewest, "a fast read answers the newest of unequal copies"),
    (Mutant::FloorForgotten, "what the log says of the floor is forgotten at a restart"),
    (Mutant::FloorIgnored, "records below the floor are taken"),
    (Mutant::FloorMajority, "the floor is found over a majority of the members"),
    (Mutant::FloorOwnOrigin, "the floor is found from what members have of one's own stream"),
    (Mutant::FloorRowOutlived, "what a member's earlier life had applied counts for the floor"),
    (Mutant::FlushAllOfTwo, "FLUSHALL leaves the quorum database as it is"),
    (Mutant::FlushMissesKey, "a flush of database 0 forgets the last key of each slot"),
    (Mutant::FlushNotLogged, "a flush is not written to the log"),
    (Mutant::FlushNotRepaired, "a flush is not passed on by repair"),
    (Mutant::FrameNumberIgnored, "a whole frame is taken for the next one, whatever its number"),
    (Mutant::LeaderRepairsNothing, "a leader lets a member lack what it lacks"),
    (Mutant::MergeByArrival, "the last record to arrive wins, whatever its version"),
    (Mutant::MSetNxFirstOnly, "MSETNX looks only whether its first key is there"),
    (Mutant::NoIncarnationCheck, "what a member acknowledged before it lost data counts"),
    (Mutant::NoNamesSync, "the names of new files are not synced"),
    (Mutant::NoResend, "a new connection goes on after what was sent, not acknowledged"),
    (Mutant::NoRestamp, "a new leader shows what members do not agree on"),
    (Mutant::OldCleanMarkCounts, "the mark of a clean shutdown counts for later lives too"),
    (Mutant::OldConfirmation, "a confirmation asked before a read arrived serves it"),
    (Mutant::OldSessionAccepted, "what an earlier session owes counts in the present one"),
    (Mutant::OutboxDropped, "an outbox over its limit forgets its frames in silence"),
    (Mutant::PartialLineLost, "a line that arrives in two parts loses the first"),
    (Mutant::ProgressIsNoSign, "that a backed-up link moves is no sign of life"),
    (Mutant::PromiseNotDurable, "promises are not logged"),
    (Mutant::PromiseTooHigh, "a node promises to stamp nothing below a time to come"),
    (Mutant::PromisesIgnored, "a candidate ignores what those who promise hold"),
    (Mutant::QuorumOffByOne, "a majority less one is enough"),
    (Mutant::QuorumReadNoWriteBack, "a quorum read does not write back what it shows"),
    (Mutant::QuorumReadOne, "a quorum read answers from a majority less one"),
    (
        Mutant::QuorumRoomKept,
        "what an operation of the quorum database has moved takes room for ever",
    ),
    (Mutant::QuorumStampUnasked, "a quorum write does not ask for versions first"),
    (Mutant::QuorumWriteOneAck, "a quorum write is acknowledged by a majority less one"),
    (Mutant::ReadBeforeSync, "a reader is shown what is not durable"),
    (Mutant::ReadBegunAgain, "a read is begun anew though a write behind it may be done"),
    (Mutant::ReadUncommitted, "a leader shows what no majority has"),
    (Mutant::ReadUnconfirmed, "a leader reads without being confirmed"),
    (Mutant::RecoversFromFew, "a node recovers from one member too few"),
    (Mutant::RecoveryDropsPromise, "a recovering node does not take over what others promised"),
    (Mutant::RecoveryKeepsDisk, "a recovering node keeps what only its disk shows"),
    (
        Mutant::RecoveryKeepsDropped,
        "who recovers keeps what a tombstone deleted that is dropped before it comes",
    ),
    (
        Mutant::RefusalsCross,
        "refusals are counted for all slots together, and requests that cross refuse each other",
    ),
    (Mutant::RefusedAfterStamp, "a stamped write is refused as if it had not been"),
    (Mutant::RepairSkipsSlot, "a walk leaves out the last differing slot of each span"),
    (Mutant::RepliesSwapped, "two replies of one pipeline change places"),
    (Mutant::RestampOldVersion, "a new leader sends unsettled records with their old version"),
    (Mutant::ScanSkips, "a SCAN goes on at its place though the table has moved its records"),
    (Mutant::ScriptExtendsAny, "a script extends a lock whoever holds it"),
    (Mutant::ScriptReleasesAny, "a script frees a lock whoever holds it"),
    (Mutant::SearchUnsettled, "KEYS and RANDOMKEY tell of what is not durable"),
    (Mutant::SegmentRemovedEarly, "segments go before the checkpoint that replaces them lasts"),
    (Mutant::SeqReused, "a leader goes on after a restart and counts its stamps anew"),
    (Mutant::SeveralAnsweredEarly, "a write of several keys is acknowledged when one is written"),
    (Mutant::ShownBeforeItVoted, "what a member showed before it voted counts for a recovery"),
    (Mutant::StampIgnoresSeen, "a stamp looks at the wall clock alone, not at what was seen"),
    (Mutant::StopsWithoutFarewell, "a node stops while peers still send it requests"),
    (Mutant::StopsWithoutHandover, "a node that stops goes on leading until it is gone"),
    (
        Mutant::SurveysBeginAlike,
        "each survey begins with the same slots, and has no room for others",
    ),
    (Mutant::SurveysNotWaitedFor, "another survey makes the answers to the last one void"),
    (Mutant::TailAsDamage, "the torn end of the log is taken for damage"),
    (Mutant::TailNotRewritten, "frames above all marks are replayed and not written again"),
    (Mutant::TombstoneForgotten, "a tombstone is not kept"),
    (Mutant::TtlInSeconds, "PTTL tells seconds"),
    (Mutant::UndurableShown, "a fast read is shown what is not durable"),
    (Mutant::RepairsNotWaitedFor, "another survey takes the room that what members lack needs"),
    (
        Mutant::LeftoversNotSwept,
        "what a floor covers stays if the life that took the floor ended before",
    ),
    (
        Mutant::ImageForgetsForming,
        "a checkpoint of a node that recovers does not say that the cluster had formed",
    ),
    (
        Mutant::HeldNotCounted,
        "what a member was found to hold does not count for writes that wait to be sent again",
    ),
    (Mutant::HelloNotRead, "a node that has enough to do does not read what a new link says first"),
    (
        Mutant::RequestsOvertake,
        "a request goes to the new leader before the old one has refused those before it",
    ),
    (Mutant::UnknownRetried, "a write whose fate is unknown is tried again"),
    (
        Mutant::UpkeepCrowdsOut,
        "what a leader brings a member that differs is put into its outbox whatever its limit",
    ),
    (Mutant::UnwatchIgnored, "what is watched stays so after UNWATCH"),
    (Mutant::VotesAtOnce, "a node whose data is gone votes at once"),
    (Mutant::WaitCountsSent, "WAIT counts nodes that were sent what was written"),
    (
        Mutant::WaitCountsSkipped,
        "WAIT counts nodes that left alone what is too far ahead of their clocks",
    ),
    (Mutant::WaitCountsUnshown, "WAIT counts nodes that may lack what no stream brings them"),
    (
        Mutant::WalkCountsSkipped,
        "who recovers counts a member of whose walk it left something alone",
    ),
    (Mutant::WatchFirstOnly, "of the keys that a batch watches only the first counts"),
    (
        Mutant::WatchForgetsDrops,
        "a watched key that is absent is taken to have been so all the time",
    ),
    (Mutant::WatchIgnored, "a batch takes effect whatever became of what it watches"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_bug_has_words() {
        let mute = Mutant::ALL.iter().filter(|mutant| what(**mutant).is_empty());
        assert_eq!(mute.map(|mutant| mutant.name()).collect::<Vec<_>>(), [""; 0]);
        assert_eq!(WORDS.len(), Mutant::ALL.len());
    }
}
