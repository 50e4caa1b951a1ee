//! Probes for simulation: named points that a run may pass, and bugs that can be switched on.
//!
//! A hook tells the simulator that a rare point was reached, so that it can strike just there and
//! can tell a batch that never got anywhere interesting. A mutant is a planted bug: with it on, the
//! simulator's oracles must fail, or they could not be believed when they pass. Both exist only
//! with the features `hooks` and `mutants`; without them each probe is an empty function or a
//! constant `false`, and costs nothing. What is reached or switched on is kept per thread, because
//! one thread runs one simulated cluster.

pub mod claims;

/// Declares an enum whose variants can be listed and named.
macro_rules! named {
    ($(#[$meta:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident => $text:literal,)* }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum $name { $($(#[$doc])* $variant,)* }

        impl $name {
            /// All of them, in order.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The name by which cases and command lines call it.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $text,)* }
            }

            /// The one of that name.
            #[must_use]
            pub fn named(name: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|one| one.name() == name)
            }
        }
    };
}

named! {
    /// A point in the node that a run may pass.
    Hook {
        /// A record was refused because a higher ballot has the promise.
        AcceptRefused => "accept_refused",
        /// An acknowledgement of a stream goes out.
        AckSent => "ack_sent",
        /// A stamp from too far ahead was not taken.
        AheadRefused => "ahead_refused",
        /// A record was refused because its key is known to be deleted.
        BelowFloorRefused => "below_floor_refused",
        /// An outbox went over its limit on a live link.
        Behind => "behind",
        /// A candidate did not get what it needs in time.
        CampaignLost => "campaign_lost",
        /// Another candidate has our promise in slots that we stand for.
        CampaignOvertaken => "campaign_overtaken",
        /// Members would not promise slots, whose leader they hear.
        CanvassDenied => "canvass_denied",
        /// A node asks whether it would be promised slots.
        Canvassed => "canvassed",
        /// A checkpoint asks for its segment.
        CheckpointBegun => "checkpoint_begun",
        /// Requests of a client wait because it does not read.
        ClientPaused => "client_paused",
        /// A majority has a write of a leader.
        Committed => "committed",
        /// A node merges what all disks have, for a cold start.
        ColdStartBegun => "cold_start_begun",
        /// A node votes by a cold start.
        ColdStarted => "cold_started",
        /// A member's copies are called accepted.
        CopyCleaned => "copy_cleaned",
        /// Repair brought a record.
        CopyTaken => "copy_taken",
        /// A node that may lack something dropped what a peer knows to be deleted.
        DeadDropped => "dead_dropped",
        /// Slots were won.
        Elected => "elected",
        /// A leader removes a key for a flush.
        Erased => "erased",
        /// A leader found that a value's time is over.
        ExpiredByLeader => "expired_by_leader",
        /// A value whose time was over went by the floor.
        ExpiredRemoved => "expired_removed",
        /// A peer that stops takes no more requests.
        FarewellHeard => "farewell_heard",
        /// A follower answered a read with a majority of equal copies.
        FastRead => "fast_read",
        /// Copies were not equal, or not in time: the read goes to the leader.
        FastReadUnclear => "fast_read_unclear",
        /// A leader sends a chosen record of an earlier ballot.
        Filled => "filled",
        /// A node without a floor begins to take over another's.
        FloorDonorFound => "floor_donor_found",
        /// A floor went up so that something can be removed.
        FloorRaised => "floor_raised",
        /// A node without a floor has one.
        FloorTaken => "floor_taken",
        /// All slots of the strong database were emptied.
        Flushed => "flushed",
        /// A flush came from a peer.
        FlushTaken => "flush_taken",
        /// The cluster has formed.
        Formed => "formed",
        /// A request goes to the leader.
        Forwarded => "forwarded",
        /// A peer's request came to a node that does not lead.
        ForwardRefused => "forward_refused",
        /// A peer's request came to the leader.
        ForwardTaken => "forward_taken",
        /// A frame between nodes arrived in part.
        FrameHeld => "frame_held",
        /// Nobody can tell whether a write lasts.
        InDoubt => "in_doubt",
        /// A leader begins no more until what is under way has become less.
        LeaderFull => "leader_full",
        /// A leader stamped over what a member had of an earlier ballot.
        LeftoverOverwritten => "leftover_overwritten",
        /// A write found no leader in time.
        NotWritten => "not_written",
        /// A page of a slot is offered.
        OfferSent => "offer_sent",
        /// Our link to a peer's earlier life was closed on word of its new one.
        OutdatedClosed => "outdated_closed",
        /// A request waits for a leader.
        Parked => "parked",
        /// A link was closed because nothing was heard on it.
        PeerSilent => "peer_silent",
        /// A candidate asks for promises.
        PrepareSent => "prepare_sent",
        /// A promise is on its way out.
        PromiseSent => "promise_sent",
        /// A reader asked for a record that it lacks.
        QuorumFetched => "quorum_fetched",
        /// A majority has what an operation of the quorum database shows.
        QuorumLanded => "quorum_landed",
        /// An operation of the quorum database waits, for what others move takes all the room.
        QuorumQueued => "quorum_queued",
        /// A leader without a majority stepped down.
        QuorumLost => "quorum_lost",
        /// A member that showed less is sent what a reader shows.
        QuorumWrittenBack => "quorum_written_back",
        /// A reader is shown a key whose last change is not durable.
        ReadHeld => "read_held",
        /// A read was given up with its leader, for a write behind it may have been carried out.
        ReadOvertaken => "read_overtaken",
        /// A node has again what it may have lost.
        Recovered => "recovered",
        /// A node that may have lost something asks the others.
        RecoveryBegun => "recovery_begun",
        /// A node learns that a member's earlier life is over.
        RecoveryLearnt => "recovery_learnt",
        /// A record that nobody else shows was removed.
        RecoveryRemoved => "recovery_removed",
        /// A member lacks more than its outbox has room for, and is brought up part by part.
        RepairPaused => "repair_paused",
        /// A leader stamped a key anew to settle it.
        Restamped => "restamped",
        /// A batch of several records was stamped.
        StampedTogether => "stamped_together",
        /// A batch was sent again as a whole.
        TogetherAgain => "together_again",
        /// What a batch watches had changed.
        WatchFailed => "watch_failed",
        /// A new session began with a peer.
        SessionBegun => "session_begun",
        /// A session went on over a new connection with frames to send again.
        SessionResumed => "session_resumed",
        /// A leader was deposed.
        SteppedDown => "stepped_down",
        /// A leader asks all members whether they hold what it holds.
        Surveyed => "surveyed",
        /// A tombstone that all members hold is dropped.
        TombstoneDropped => "tombstone_dropped",
        /// A tombstone that the floor covers is removed.
        TombstoneRemoved => "tombstone_removed",
        /// A tombstone was stamped.
        TombstoneStamped => "tombstone_stamped",
        /// A member did not stand when it was asked to.
        TransferFailed => "transfer_failed",
        /// A leader asks another member to stand.
        TransferSent => "transfer_sent",
        /// A slot was won in which members differ.
        Unsettled => "unsettled",
        /// A repair walk was completed.
        WalkCompleted => "walk_completed",
        /// A repair walk ended with its link.
        WalkCut => "walk_cut",
    }
}

named! {
    /// A planted bug.
    Mutant {
        /// A member acknowledges a leader's record before it is durable.
        AcceptAckedEarly => "accept_acked_early",
        /// A record is taken whatever was promised.
        AcceptIgnoresPromised => "accept_ignores_promised",
        /// What is written is acknowledged, to clients and peers, before it is durable.
        AckBeforeSync => "ack_before_sync",
        /// A cursor moves past a record that was not applied.
        AckSkipsRecord => "ack_skips_record",
        /// A node reads no answers while it has much to say itself.
        AnswersNotRead => "answers_not_read",
        /// A read is begun anew though one that came later was answered.
        AnswersOvertake => "answers_overtake",
        /// Of the records of a batch only the first is logged.
        BatchHalfLogged => "batch_half_logged",
        /// A request of a batch does not see what those before it have done.
        BatchReadsBefore => "batch_reads_before",
        /// A whole frame that landed where another one stood says nothing about what was synced.
        AstrayMarkIgnored => "astray_mark_ignored",
        /// All batches that a member is to be sent again are at once, whether or not there is room.
        BatchesCrowdOut => "batches_crowd_out",
        /// What is newer than a batch goes to a member before the batch that has found no room.
        BatchesOvertaken => "batches_overtaken",
        /// The records of a batch are sent one by one, and the first stands for all.
        BatchSentApart => "batch_sent_apart",
        /// A new session begins without the walk that makes up for what no stream carries.
        BehindFlagLost => "behind_flag_lost",
        /// A node that a power failure took writes from votes at once.
        BootIgnored => "boot_ignored",
        /// No bound is made durable ahead of the stamps that peers are sent.
        BoundNotAhead => "bound_not_ahead",
        /// The buffers of a client that is gone count for ever.
        BuffersKept => "buffers_kept",
        /// A member backs a candidate while another one goes on with the slot.
        CandidatesInterrupt => "candidates_interrupt",
        /// Where a node asks who would vote for it, it overlooks that the leader hands over to it.
        CanvassIgnoresTransfer => "canvass_ignores_transfer",
        /// The mark of a clean shutdown is taken for synced, though that sync may have failed.
        CleanMarkKept => "clean_mark_kept",
        /// A log ends with the mark of a clean shutdown before all is synced.
        CleanMarkUnsynced => "clean_mark_unsynced",
        /// Stamps repeat after a restart: no incarnation in them, and a coarse clock.
        ClockReuse => "clock_reuse",
        /// A cold start leaves promises as low as the disks have them.
        ColdStartKeepsPromises => "cold_start_keeps_promises",
        /// A cold start does without some members.
        ColdStartOfSome => "cold_start_of_some",
        /// A cold start goes on from the highest ballot that a disk has.
        ColdStartReusesBallots => "cold_start_reuses_ballots",
        /// What was copied after a loss counts as accepted.
        CopiesCountAsAccepted => "copies_count_as_accepted",
        /// COPY and RENAMENX take a name that is taken.
        CopyOverwrites => "copy_overwrites",
        /// A bad frame below a mark is taken for the torn end of the log.
        DamageAsTail => "damage_as_tail",
        /// A node whose data was damaged counts as new if it knows of no forming.
        DamagedCountsAsNew => "damaged_counts_as_new",
        /// Deleted keys are left out of digests.
        DigestIgnoresTombstones => "digest_ignores_tombstones",
        /// A slot's digest stays as it is when a key is written again.
        DigestNotUpdated => "digest_not_updated",
        /// A node that goes by the floor of its donor tells nobody of it.
        DonorFloorNotPassedOn => "donor_floor_not_passed_on",
        /// A donor that is gone before it was shown all that a node holds which lost data is waited for.
        DonorKept => "donor_kept",
        /// A dropped tombstone takes with it whatever the key holds by then.
        DropNotExact => "drop_not_exact",
        /// A tombstone is dropped when a majority has it.
        DroppedEarly => "dropped_early",
        /// EXEC of requests one behind the other is answered before they are durable.
        ExecAnsweredEarly => "exec_answered_early",
        /// In an EXEC of requests one behind the other one may overtake another of its key.
        ExecOvertakes => "exec_overtakes",
        /// A value whose time is over by one's own clock goes though another's may be behind.
        ExpiredAtOnce => "expired_at_once",
        /// A node shows of its copy what is past its time.
        ExpiredCopyShown => "expired_copy_shown",
        /// A reader that finds a value past its time takes it out of the copy.
        ExpiredDroppedByReader => "expired_dropped_by_reader",
        /// A leader shows what is past its time.
        ExpiredShown => "expired_shown",
        /// A value whose time is over goes though the floor does not cover it.
        ExpiredAboveFloor => "expired_above_floor",
        /// A failed condition is answered without confirmation.
        FailedConditionUnconfirmed => "failed_condition_unconfirmed",
        /// What is taken back from a node that stops is asked again in the order of its numbers there.
        FarewellReorders => "farewell_reorders",
        /// A node that stops tells peers to take back requests that it carries out.
        FarewellTooEarly => "farewell_too_early",
        /// A fast read takes a tombstone for an absent key.
        FastAbsentIsTombstone => "fast_absent_is_tombstone",
        /// A fast read takes its own clock's word that a value is past its time.
        FastReadExpires => "fast_read_expires",
        /// A fast read answers the newest of unequal copies.
        FastReadNewest => "fast_read_newest",
        /// What the log says of the floor is forgotten at a restart.
        FloorForgotten => "floor_forgotten",
        /// Records below the floor are taken.
        FloorIgnored => "floor_ignored",
        /// The floor is found over a majority of the members.
        FloorMajority => "floor_majority",
        /// The floor is found from what members have of one's own stream.
        FloorOwnOrigin => "floor_own_origin",
        /// What a member's earlier life had applied still counts for the floor.
        FloorRowOutlived => "floor_row_outlived",
        /// FLUSHALL leaves the quorum database as it is.
        FlushAllOfTwo => "flushall_of_two",
        /// A leader forgets the last key of each slot that it flushes.
        FlushMissesKey => "flush_misses_key",
        /// A flush is not written to the log.
        FlushNotLogged => "flush_not_logged",
        /// A flush is not passed on by repair.
        FlushNotRepaired => "flush_not_repaired",
        /// A whole frame of a file is taken for the next one, whatever its number.
        FrameNumberIgnored => "frame_number_ignored",
        /// A leader lets a member lack what it lacks.
        LeaderRepairsNothing => "leader_repairs_nothing",
        /// The last of several records to arrive wins, whatever its version.
        MergeByArrival => "merge_by_arrival",
        /// MSETNX looks only whether its first key is there.
        MSetNxFirstOnly => "msetnx_first_only",
        /// What a member acknowledged before it lost its data still counts.
        NoIncarnationCheck => "no_incarnation_check",
        /// The names of new files are not synced.
        NoNamesSync => "no_names_sync",
        /// A new connection goes on after what was sent, not after what was acknowledged.
        NoResend => "no_resend",
        /// A new leader shows what members do not agree on.
        NoRestamp => "no_restamp",
        /// The mark of a clean shutdown counts though a life came after it.
        OldCleanMarkCounts => "old_clean_mark_counts",
        /// A confirmation asked before a read arrived serves it.
        OldConfirmation => "old_confirmation",
        /// What is owed on a link of an earlier session is taken for the present one's.
        OldSessionAccepted => "old_session_accepted",
        /// An outbox over its limit forgets its frames and goes on as if nothing had happened.
        OutboxDropped => "outbox_dropped",
        /// A line that arrives in two parts loses the first.
        PartialLineLost => "partial_line_lost",
        /// That a backed-up link moves is no sign of life.
        ProgressIsNoSign => "progress_is_no_sign",
        /// A node promises to stamp nothing below a time that its clock has not reached.
        PromiseTooHigh => "promise_too_high",
        /// Promises are not logged.
        PromiseNotDurable => "promise_not_durable",
        /// A candidate ignores what those who promise hold.
        PromisesIgnored => "promises_ignored",
        /// A majority less one is enough.
        QuorumOffByOne => "quorum_off_by_one",
        /// A read is answered with what a majority less one shows.
        QuorumReadOne => "quorum_read_one",
        /// A read is answered before a majority has what it shows.
        QuorumReadNoWriteBack => "quorum_read_no_write_back",
        /// What an operation of the quorum database has moved counts for ever.
        QuorumRoomKept => "quorum_room_kept",
        /// A write is stamped without a word of what others have.
        QuorumStampUnasked => "quorum_stamp_unasked",
        /// A write is acknowledged when a majority less one has it.
        QuorumWriteOneAck => "quorum_write_one_ack",
        /// A reader is shown what is not durable.
        ReadBeforeSync => "read_before_sync",
        /// A read is begun anew though a write behind it may have been carried out.
        ReadBegunAgain => "read_begun_again",
        /// A leader shows what no majority has.
        ReadUncommitted => "read_uncommitted",
        /// A leader reads without being confirmed.
        ReadUnconfirmed => "read_unconfirmed",
        /// A node recovers from one member too few.
        RecoversFromFew => "recovers_from_few",
        /// A recovering node does not take over what others promised.
        RecoveryDropsPromise => "recovery_drops_promise",
        /// A recovering node keeps what only its disk shows.
        RecoveryKeepsDisk => "recovery_keeps_disk",
        /// A node that recovers keeps what it has of a key whose newer tombstone is dropped before it is
        /// fetched.
        RecoveryKeepsDropped => "recovery_keeps_dropped",
        /// A write that was stamped is refused as if it had not been.
        RefusedAfterStamp => "refused_after_stamp",
        /// Refusals are counted for all slots together, so that requests of two that cross refuse each
        /// other.
        RefusalsCross => "refusals_cross",
        /// Another survey takes the room that what members lack would need.
        RepairsNotWaitedFor => "repairs_not_waited_for",
        /// A walk leaves out the last differing slot of each span.
        RepairSkipsSlot => "repair_skips_slot",
        /// Two replies of one pipeline change places.
        RepliesSwapped => "replies_swapped",
        /// A request goes to a new leader while the old one may still refuse those before it.
        RequestsOvertake => "requests_overtake",
        /// What a member was found to hold is not counted for writes that it is to be sent again.
        HeldNotCounted => "held_not_counted",
        /// A node that has enough to do does not read what a new link says first, even of a peer.
        HelloNotRead => "hello_not_read",
        /// A checkpoint says that the cluster has formed only where this node has lost nothing since.
        ImageForgetsForming => "image_forgets_forming",
        /// What a floor covers is not taken out if the life that took the floor ended before.
        LeftoversNotSwept => "leftovers_not_swept",
        /// A new leader sends unsettled records again with their old version.
        RestampOldVersion => "restamp_old_version",
        /// A SCAN goes on at its place though the table has moved its records.
        ScanSkips => "scan_skips",
        /// A script extends a lock whoever holds it.
        ScriptExtendsAny => "script_extends_any",
        /// A script frees a lock whoever holds it.
        ScriptReleasesAny => "script_releases_any",
        /// KEYS and RANDOMKEY tell of what is not durable.
        SearchUnsettled => "search_unsettled",
        /// Segments are removed before the checkpoint that replaces them lasts.
        SegmentRemovedEarly => "segment_removed_early",
        /// A node leads on after a restart under its old ballot, and counts its stamps anew.
        SeqReused => "seq_reused",
        /// A write of several keys is acknowledged when the first is written.
        SeveralAnsweredEarly => "several_answered_early",
        /// What a member showed before it voted counts for who recovers from it.
        ShownBeforeItVoted => "shown_before_it_voted",
        /// A stamp looks at the wall clock alone, not at what was seen.
        StampIgnoresSeen => "stamp_ignores_seen",
        /// A node that stops does not wait until its peers send it no more requests.
        StopsWithoutFarewell => "stops_without_farewell",
        /// A node that stops goes on leading until it is gone.
        StopsWithoutHandover => "stops_without_handover",
        /// Each survey begins with the same slots, and none comes to those that find no room.
        SurveysBeginAlike => "surveys_begin_alike",
        /// Another survey begins though the last one is not answered, and makes its answers void.
        SurveysNotWaitedFor => "surveys_not_waited_for",
        /// The torn end of the log is taken for damage.
        TailAsDamage => "tail_as_damage",
        /// Frames above all marks are replayed as they are read, and not written again.
        TailNotRewritten => "tail_not_rewritten",
        /// A tombstone is not kept.
        TombstoneForgotten => "tombstone_forgotten",
        /// PTTL tells seconds.
        TtlInSeconds => "ttl_in_seconds",
        /// A record is shown to a fast read before it is durable.
        UndurableShown => "undurable_shown",
        /// A write whose fate is unknown is tried again.
        UnknownRetried => "unknown_retried",
        /// What a leader brings a member that differs is put into its outbox without regard to its limit.
        UpkeepCrowdsOut => "upkeep_crowds_out",
        /// What is watched stays so after UNWATCH.
        UnwatchIgnored => "unwatch_ignored",
        /// A node whose data is gone votes at once.
        VotesAtOnce => "votes_at_once",
        /// WAIT counts nodes that were sent what was written.
        WaitCountsSent => "wait_counts_sent",
        /// WAIT counts members that left alone what is too far ahead of their clocks.
        WaitCountsSkipped => "wait_counts_skipped",
        /// WAIT counts nodes that may lack what no stream brings them.
        WaitCountsUnshown => "wait_counts_unshown",
        /// Who recovers counts a member of whose walk it left something alone.
        WalkCountsSkipped => "walk_counts_skipped",
        /// Of the keys that a batch watches only the first counts.
        WatchFirstOnly => "watch_first_only",
        /// A watched key that is absent is taken to have been so all the time.
        WatchForgetsDrops => "watch_forgets_drops",
        /// A batch takes effect whatever became of what it watches.
        WatchIgnored => "watch_ignored",
    }
}

/// This point was reached.
#[cfg(not(feature = "hooks"))]
#[inline]
pub const fn reached(_hook: Hook) {}

/// Whether this planted bug is switched on.
#[cfg(not(feature = "mutants"))]
#[inline]
#[must_use]
pub const fn planted(_mutant: Mutant) -> bool {
    false
}

#[cfg(feature = "hooks")]
pub use hooks::{Passed, reached, take_reached};

#[cfg(feature = "mutants")]
pub use mutants::{plant, planted};

#[cfg(feature = "hooks")]
mod hooks {
    use super::Hook;
    use std::cell::Cell;

    /// Hooks that were passed, and how often, in the order of [`Hook::ALL`].
    pub type Passed = Vec<(Hook, u32)>;

    const WORDS: usize = Hook::ALL.len().div_ceil(64);

    thread_local! {
        static PASSED: [Cell<u32>; Hook::ALL.len()] = const { [const { Cell::new(0) }; Hook::ALL.len()] };
        /// Which were, since they were taken, a bit each: most turns pass none or few.
        static WHICH: [Cell<u64>; WORDS] = const { [const { Cell::new(0) }; WORDS] };
    }

    /// This point was reached.
    pub fn reached(hook: Hook) {
        let place = hook as usize;
        PASSED.with(|passed| passed[place].set(passed[place].get().wrapping_add(1)));
        WHICH.with(|which| {
            let word = &which[place / 64];
            word.set(word.get() | 1 << (place % 64));
        });
    }

    /// Which hooks this thread has passed since the last call, and how often.
    #[must_use]
    pub fn take_reached() -> Passed {
        let mut taken = Vec::new();
        WHICH.with(|which| {
            for (word, bits) in which.iter().enumerate() {
                let mut bits = bits.take();
                while bits > 0 {
                    let hook = Hook::ALL[word * 64 + bits.trailing_zeros() as usize];
                    let count = PASSED.with(|passed| passed[hook as usize].take());
                    taken.push((hook, count));
                    bits &= bits - 1;
                }
            }
        });
        taken
    }
}

#[cfg(feature = "mutants")]
mod mutants {
    use super::Mutant;
    use std::cell::Cell;

    thread_local! {
        static PLANTED: Cell<Option<Mutant>> = const { Cell::new(None) };
    }

    /// Whether this planted bug is switched on.
    #[must_use]
    pub fn planted(mutant: Mutant) -> bool {
        PLANTED.get() == Some(mutant)
    }

    /// Switches one planted bug on for this thread, and any other off.
    pub fn plant(mutant: Option<Mutant>) {
        PLANTED.set(mutant);
    }
}

#[cfg(test)]
mod tests {
    use super::{Hook, Mutant};

    #[test]
    fn names_name_one_each() {
        for hook in Hook::ALL {
            assert_eq!(Hook::named(hook.name()), Some(*hook));
        }
        for mutant in Mutant::ALL {
            assert_eq!(Mutant::named(mutant.name()), Some(*mutant));
        }
        assert_eq!(Hook::named("nowhere"), None);
    }
}
