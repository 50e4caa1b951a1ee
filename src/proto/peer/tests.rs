//! Frames read back as they were written, and what nobody writes is refused.

use proptest::prelude::{Strategy, any, prop_assert_eq, prop_oneof, proptest};

use super::*;

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
            members: bytes,
        }),
        7 => Frame::Offer { db, entries: bytes },
        8 => Frame::Ping { asked_ms: a },
        9 => Frame::Pong { asked_ms: a, wall_ms: b },
        10 => Frame::Record { pos, record: bytes },
        11 => Frame::Refuse { incarnation: a, reason: bytes },
        12 => Frame::Want { bits: bytes },
        _ => {
            let (pos, wall_ms) = (u64::from(first), u64::from(span));
            Frame::Welcome { incarnation: a, generation: b, pos, wall_ms }
        }
    }
}

fn parts() -> impl Strategy<Value = Parts> {
    let bytes = proptest::collection::vec(any::<u8>(), 0..80);
    (any::<u8>(), any::<u64>(), any::<u64>(), any::<u32>(), any::<u32>(), bytes)
}

proptest! {
    #[test]
    fn every_frame_reads_back_at_any_cut(kind in 0..14_u8, parts in parts(), cut in any::<proptest::sample::Index>()) {
        let frame = frame(kind, &parts);
        let mut bytes = Vec::new();
        frame.encode(&mut bytes);
        let whole = FrameStep::Complete { frame, consumed: bytes.len() };
        prop_assert_eq!(Frame::next(&bytes, 1000), whole);
        let cut = cut.index(bytes.len());
        let need = if cut < 4 { FRAME_HEAD } else { bytes.len() };
        prop_assert_eq!(Frame::next(&bytes[..cut], 1000), FrameStep::Incomplete { need });
    }

    #[test]
    fn offers_read_back(
        entries in proptest::collection::vec(
            (any::<u64>(), proptest::collection::vec(any::<u8>(), 0..20)),
            0..20,
        ),
    ) {
        let mut bytes = Vec::new();
        for (hlc, key) in &entries {
            push_offer(&mut bytes, Version::stamp(*hlc, NodeId(1), 2), key);
        }
        let read: Vec<_> = offers(&bytes).map(|entry| entry.expect("well formed")).collect();
        prop_assert_eq!(read.len(), entries.len());
        for ((version, key), (hlc, written)) in read.iter().zip(&entries) {
            prop_assert_eq!((version.hlc(), *key), (*hlc, written.as_slice()));
        }
    }

    #[test]
    fn bits_read_back(set in proptest::collection::btree_set(0..200_usize, 0..30)) {
        let mut bits = Vec::new();
        set.iter().for_each(|index| set_bit(&mut bits, *index));
        let read: Vec<usize> = (0..300).filter(|index| bit(&bits, *index)).collect();
        prop_assert_eq!(read, set.into_iter().collect::<Vec<_>>());
    }

    #[test]
    fn short_or_long_bodies_are_refused(kind in prop_oneof![0..2_u8, 5..6_u8, 8..10_u8, 13..14_u8], parts in parts()) {
        let mut bytes = Vec::new();
        frame(kind, &parts).encode(&mut bytes);
        bytes.push(0);
        bytes[0] += 1;
        let wire_kind = bytes[4];
        let broken = FrameStep::Broken(FrameError::Body { kind: wire_kind });
        prop_assert_eq!(Frame::next(&bytes, 1000), broken);
        bytes.truncate(bytes.len() - 2);
        bytes[0] -= 2;
        let broken = FrameStep::Broken(FrameError::Body { kind: wire_kind });
        prop_assert_eq!(Frame::next(&bytes, 1000), broken);
    }
}

#[test]
fn sizes_and_kinds_are_checked_before_anything_is_kept() {
    let too_long = FrameError::Size { size: 17, limit: 16 };
    assert_eq!(Frame::next(&[17, 0, 0, 0], 16), FrameStep::Broken(too_long));
    for kind in [0, 15, 255] {
        let bytes = [1, 0, 0, 0, kind];
        assert_eq!(Frame::next(&bytes, 16), FrameStep::Broken(FrameError::Kind(kind)));
    }
    assert_eq!(Frame::next(&[0, 0, 0, 0], 16), FrameStep::Broken(FrameError::Kind(0)));
    assert_eq!(offers(&[1, 2, 3]).collect::<Vec<_>>(), [None]);
}
