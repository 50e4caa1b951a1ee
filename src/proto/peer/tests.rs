//! Frames read back as they were written, and what nobody writes is refused.

use proptest::prelude::{Strategy, any, prop_assert, prop_assert_eq, prop_oneof, proptest};

use super::*;

const KINDS: u8 = 55;

/// The parts that frames are made of.
type Parts = (u8, u64, u64, u32, u32, Vec<u8>);

fn frame<'a>(kind: u8, parts: &'a Parts) -> Frame<'a> {
    let (db, a, b, first, span, ref bytes) = *parts;
    let db = Db::new(db % 3).expect("below 3");
    let (generation, pos) = (a, b);
    let version = Version::stamp(a, NodeId(first as u16), b);
    match kind {
        0 => Frame::Ack { generation, pos },
        1 => Frame::Begin { generation, pos },
        2 => Frame::Compare { db, flushed: version, first, span, digests: bytes },
        3 => Frame::Copy { record: bytes },
        4 => Frame::Differ { db, flushed: version, bits: bytes },
        5 => Frame::Flush { pos, db, version },
        6 => Frame::Hello(Hello {
            protocol: first as u16,
            cluster: a,
            slots: span,
            from: NodeId(first as u16),
            to: NodeId(span as u16),
            incarnation: b,
            birth: a ^ b,
            formed: span.is_multiple_of(2),
            members: bytes,
        }),
        7 => Frame::Offer { db, entries: bytes },
        8 => Frame::Ping { asked_ms: a },
        9 => Frame::Pong { asked_ms: a, wall_ms: b },
        10 => Frame::Record { pos, record: bytes },
        11 => Frame::Refuse { incarnation: a, reason: bytes },
        12 => {
            let (bits, dead) = bytes.split_at(bytes.len() / 2);
            Frame::Want { bits, dead }
        }
        13 => {
            let (pos, wall_ms, birth, formed) = (u64::from(first), a ^ b, u64::from(span), a > b);
            Frame::Welcome { incarnation: a, generation: b, pos, wall_ms, birth, formed }
        }
        53 => Frame::Farewell,
        other => strong_frame(other, parts),
    }
}

fn strong_frame<'a>(kind: u8, parts: &'a Parts) -> Frame<'a> {
    let (db, a, b, slot, span, ref bytes) = *parts;
    let db = Db::new(db % 3).expect("below 3");
    let (id, pos, ballot) = (a, a, Ballot::from_bits(b));
    let version = Version::accepted(ballot, a);
    match kind {
        14 => Frame::Answer { id, answer: bytes },
        15 => Frame::Answers { id, db, floor: b, entries: bytes },
        16 => Frame::Backing { id, slots: bytes },
        17 => Frame::Canvass { id, slots: bytes },
        18 => Frame::Confirm { id, entries: bytes },
        19 => Frame::Confirmed { id, bits: bytes },
        20 => Frame::Drop { pos, version, key: bytes },
        21 => Frame::Fetch { ballot, slot, keys: bytes },
        22 => Frame::Fill { pos, ballot, record: bytes },
        23 => Frame::Formation { births: bytes },
        24 => Frame::Formed { birth: a, formed: a > b },
        25 => Frame::Forward { id, op: bytes },
        26 => Frame::FullAnswers { id, db, records: bytes },
        27 => Frame::Lead { entries: bytes },
        28 => Frame::Nack { ballot, promised: Ballot::from_bits(a), slot },
        29 => Frame::Prepare { id, ballot, slots: bytes },
        30 => {
            let (granted, rest) = bytes.split_at(bytes.len() / 3);
            let (copied, digests) = rest.split_at(rest.len() / 2);
            Frame::Promise { id, ballot, highest: Ballot::from_bits(a), granted, copied, digests }
        }
        31 => Frame::Pull { ballot, slot, cursor: (a, b) },
        32 => Frame::Query { id, db, keys: bytes },
        33 => Frame::QueryFull { id, db, keys: bytes },
        34 => Frame::Records { ballot, slot, records: bytes },
        35 => Frame::SlotClean { pos, ballot, slot, digest: u128::from(a) << 64 | u128::from(b) },
        36 => Frame::Transfer { ballot, slots: bytes },
        37 => {
            let (slots, digests) = bytes.split_at(bytes.len() / 2);
            Frame::Survey { pos, id: b, slots, digests }
        }
        39 => Frame::Known { member: NodeId(slot as u16), incarnation: a },
        40 => Frame::Recover { nonce: a },
        41 => {
            let (ballots, digests) = bytes.split_at(bytes.len() / 2);
            Frame::State { nonce: a, first: slot, ballots, digests }
        }
        38 => {
            let (same, copied) = bytes.split_at(bytes.len() / 2);
            Frame::Surveyed { id, same, copied }
        }
        42 => Frame::Flushed { db, version },
        43 => Frame::FlushSlots { id, slots: bytes },
        44 => {
            let (done, failed) = bytes.split_at(bytes.len() / 2);
            Frame::SlotsFlushed { id, done, failed }
        }
        45 => Frame::Locate { id, db, key: bytes },
        46 => Frame::Located { id, version, flags: span as u8 },
        47 => {
            let (begins, (lives, row)) = (a > b, bytes.split_at(bytes.len() / 3));
            Frame::Floor { begins, sound: !begins, clock: a, promised: b, hlc: a ^ b, lives, row }
        }
        48 => Frame::ColdStart { nonce: a, births: bytes },
        49 => Frame::ColdStarting { nonce: a, birth: b, merged: a > b },
        50 => Frame::Gather { nonce: a },
        51 => Frame::Waiting { why: span as u8 },
        52 => Frame::Together { pos, records: bytes },
        _ => {
            let next = (!span.is_multiple_of(3)).then_some((u64::from(span), a));
            Frame::Versions { ballot, slot, from: (a, b), next, entries: bytes }
        }
    }
}

/// Frames of all fixed fields, which no byte may follow.
fn fixed() -> impl Strategy<Value = u8> {
    prop_oneof![
        0..2_u8,
        5..6_u8,
        8..10_u8,
        13..14_u8,
        24..25_u8,
        28..29_u8,
        31..32_u8,
        35..36_u8,
        39..41_u8,
        42..43_u8,
        46..47_u8,
        49..52_u8,
        53..54_u8
    ]
}

fn parts() -> impl Strategy<Value = Parts> {
    let bytes = proptest::collection::vec(any::<u8>(), 0..80);
    (any::<u8>(), any::<u64>(), any::<u64>(), any::<u32>(), any::<u32>(), bytes)
}

type Push<'a> = &'a dyn Fn(&mut Vec<u8>, u64, u32, &[u8]);

proptest! {
    #[test]
    fn every_frame_reads_back_at_any_cut(kind in 0..KINDS, parts in parts(), cut in any::<proptest::sample::Index>()) {
        let frame = frame(kind, &parts);
        let mut bytes = Vec::new();
        frame.encode(&mut bytes);
        let whole = FrameStep::Complete { frame, consumed: bytes.len() };
        prop_assert_eq!(Frame::next(&bytes, 1000), whole);
        let cut = cut.index(bytes.len());
        let need = if cut < 4 { FRAME_HEAD } else { bytes.len() };
        prop_assert_eq!(Frame::next(&bytes[..cut], 1000), FrameStep::Incomplete { need });
    }

    /// Cut anywhere within its head, a body is refused; within its variable part it is another.
    #[test]
    fn cut_bodies_never_read_as_the_whole(kind in 0..KINDS, parts in parts()) {
        let frame = frame(kind, &parts);
        let mut bytes = Vec::new();
        frame.encode(&mut bytes);
        for size in 0..bytes.len() - FRAME_HEAD {
            let mut cut = bytes[..FRAME_HEAD + size].to_vec();
            cut[..4].copy_from_slice(&(size as u32 + 1).to_le_bytes());
            match Frame::next(&cut, 1000) {
                FrameStep::Complete { frame: read, consumed } => {
                    prop_assert_eq!(consumed, cut.len());
                    prop_assert!(read != frame);
                    let mut again = Vec::new();
                    read.encode(&mut again);
                    prop_assert_eq!(again, cut);
                }
                FrameStep::Broken(error) => {
                    prop_assert_eq!(error, FrameError::Body { kind: bytes[4] });
                }
                FrameStep::Incomplete { .. } => prop_assert!(false, "its size is declared"),
            }
        }
    }

    #[test]
    fn lists_read_back(
        entries in proptest::collection::vec(
            (any::<u64>(), any::<u32>(), proptest::collection::vec(any::<u8>(), 0..20)),
            0..20,
        ),
    ) {
        let with = |push: Push<'_>| {
            let mut list = Vec::new();
            entries.iter().for_each(|(a, b, bytes)| push(&mut list, *a, *b, bytes));
            list
        };
        let ballot = Ballot::from_bits;
        let version = |a| Version::accepted(ballot(a), a);
        let rows = || entries.iter().map(|(a, b, bytes)| (*a, *b, bytes.as_slice()));

        let list = with(&|list, a, _, _| push_birth(list, a));
        prop_assert!(births(&list).eq(rows().map(|(a, ..)| Some(a))));
        let list = with(&|list, a, _, _| push_life(list, a));
        prop_assert!(lives(&list).eq(rows().map(|(a, ..)| Some(a))));
        let list = with(&|list, a, b, _| push_mark(list, a, u64::from(b)));
        prop_assert!(marks(&list).eq(rows().map(|(a, b, _)| Some((a, u64::from(b))))));
        let list = with(&|list, a, b, _| push_confirm(list, b, ballot(a)));
        prop_assert!(confirms(&list).eq(rows().map(|(a, b, _)| Some((b, ballot(a))))));
        let list = with(&|list, a, _, _| push_digest(list, version(a).to_bits()));
        prop_assert!(digests(&list).eq(rows().map(|(a, ..)| Some(version(a).to_bits()))));
        let list = with(&|list, _, _, bytes| push_key(list, bytes));
        prop_assert!(keys(&list).eq(rows().map(|(.., bytes)| Some(bytes))));
        let list = with(&|list, a, _, bytes| push_lead(list, ballot(a), bytes));
        prop_assert!(leads(&list).eq(rows().map(|(a, _, bytes)| Some((ballot(a), bytes)))));
        let list = with(&|list, a, _, bytes| push_offer(list, version(a), bytes));
        prop_assert!(offers(&list).eq(rows().map(|(a, _, bytes)| Some((version(a), bytes)))));
        let list = with(&|list, _, _, bytes| push_record(list, bytes));
        prop_assert!(records(&list).eq(rows().map(|(.., bytes)| Some(bytes))));
        let list = with(&|list, a, b, _| push_state(list, version(a), b > 9));
        prop_assert!(states(&list).eq(rows().map(|(a, b, _)| Some((version(a), b > 9)))));
    }

    /// However a list is malformed, one `None` says so and nothing comes behind it.
    #[test]
    fn malformed_lists_end_once(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
        fn ends<T>(mut list: impl Iterator<Item = Option<T>>) -> bool {
            !list.any(|entry| entry.is_none()) || list.next().is_none()
        }
        prop_assert!(ends(births(&bytes)) && ends(confirms(&bytes)) && ends(digests(&bytes)));
        prop_assert!(ends(keys(&bytes)) && ends(leads(&bytes)) && ends(offers(&bytes)));
        prop_assert!(ends(records(&bytes)) && ends(states(&bytes)));
    }

    #[test]
    fn bits_read_back(set in proptest::collection::btree_set(0..200_usize, 0..30)) {
        let mut bits = Vec::new();
        set.iter().for_each(|index| set_bit(&mut bits, *index));
        let read: Vec<usize> = (0..300).filter(|index| bit(&bits, *index)).collect();
        prop_assert_eq!(read, set.into_iter().collect::<Vec<_>>());
    }

    #[test]
    fn short_or_long_bodies_are_refused(kind in fixed(), parts in parts()) {
        let mut bytes = Vec::new();
        frame(kind, &parts).encode(&mut bytes);
        bytes.push(0);
        bytes[0] += 1;
        let wire_kind = bytes[4];
        let broken = FrameStep::Broken(FrameError::Body { kind: wire_kind });
        prop_assert_eq!(Frame::next(&bytes, 1000), broken);
        bytes.truncate(bytes.len() - 2);
        bytes[0] -= 2;
        // Without a body it was the kind that went.
        let of_kind = FrameError::Kind(0);
        let of_body = FrameError::Body { kind: wire_kind };
        let broken = FrameStep::Broken(if bytes[0] == 0 { of_kind } else { of_body });
        prop_assert_eq!(Frame::next(&bytes, 1000), broken);
    }
}

#[test]
fn sizes_and_kinds_are_checked_before_anything_is_kept() {
    let too_long = FrameError::Size { size: 17, limit: 16 };
    assert_eq!(Frame::next(&[17, 0, 0, 0], 16), FrameStep::Broken(too_long));
    for kind in [0, KINDS + 1, 255] {
        let bytes = [1, 0, 0, 0, kind];
        assert_eq!(Frame::next(&bytes, 16), FrameStep::Broken(FrameError::Kind(kind)));
    }
    assert_eq!(Frame::next(&[0, 0, 0, 0], 16), FrameStep::Broken(FrameError::Kind(0)));
    assert_eq!(offers(&[1, 2, 3]).collect::<Vec<_>>(), [None]);
    assert_eq!(births(&[1, 2, 3]).collect::<Vec<_>>(), [None]);
    let mut held = Vec::new();
    push_state(&mut held, Version::NONE, true);
    held.push(0);
    assert_eq!(states(&held).collect::<Vec<_>>(), [Some((Version::NONE, true)), None]);
    held[16] = 2;
    assert_eq!(states(&held).collect::<Vec<_>>(), [None], "a flag of a later format");
}

#[test]
fn every_kind_is_written_by_one_frame() {
    let parts = (1, 2, 3, 4, 5, vec![6]);
    let mut written: Vec<u8> = (0..KINDS)
        .map(|kind| {
            let mut bytes = Vec::new();
            frame(kind, &parts).encode(&mut bytes);
            bytes[4]
        })
        .collect();
    written.sort_unstable();
    assert_eq!(written, (1..=KINDS).collect::<Vec<_>>());
}

#[test]
fn stream_frames_are_as_long_as_their_constants_say() {
    let (pos, ballot, version) = (1, Ballot::from_bits(2), Version::from_bits(3));
    let size = |frame: Frame<'_>| {
        let mut bytes = Vec::new();
        frame.encode(&mut bytes);
        bytes.len()
    };
    assert_eq!(size(Frame::Drop { pos, version, key: b"key" }), DROP_OVERHEAD + 3);
    assert_eq!(size(Frame::Fill { pos, ballot, record: b"record" }), FILL_OVERHEAD + 6);
    assert_eq!(size(Frame::Flush { pos, db: Db::QUORUM, version }), FLUSH_SIZE);
    assert_eq!(size(Frame::Record { pos, record: b"record" }), STREAM_OVERHEAD + 6);
    assert_eq!(size(Frame::Together { pos, records: b"records" }), STREAM_OVERHEAD + 7);
    assert_eq!(size(Frame::SlotClean { pos, ballot, slot: 4, digest: 5 }), SLOT_CLEAN_SIZE);
}

#[test]
fn flags_are_zero_or_one() {
    let mut bytes = Vec::new();
    Frame::Formed { birth: 1, formed: true }.encode(&mut bytes);
    *bytes.last_mut().expect("not empty") = 2;
    let broken = FrameStep::Broken(FrameError::Body { kind: bytes[4] });
    assert_eq!(Frame::next(&bytes, 100), broken);
}
