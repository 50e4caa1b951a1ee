//! Times, ranges, bits, fractions and digests.

use proptest::prelude::{Just, Strategy, any, prop, prop_oneof};

use super::*;

const NOW: u64 = 50;

#[track_caller]
fn expect(action: Action<'_>, held: Option<Held<'_>>, effect: &Effect<'_>, answer: &Answer<'_>) {
    let (did, said) = Op::new(b"k", action).apply(held, NOW);
    assert_eq!((&did, &said), (effect, answer));
}

fn ending(value: &[u8], expires_at_ms: Option<u64>) -> Held<'_> {
    Held { expires_at_ms, ..held(value) }
}

#[test]
fn a_time_is_absolute_or_counts_from_now_and_one_that_is_over_deletes() {
    let set = |expiry| {
        let (condition, reply) = (Condition::Always, SetReply::Outcome);
        Action::Set { value: b"v", condition, reply, expiry }
    };
    let some = Some(ending(b"old", Some(70)));
    expect(set(Expiry::In(5)), some, &put(b"v", Some(55)), &Answer::Ok);
    expect(set(Expiry::At(60)), some, &put(b"v", Some(60)), &Answer::Ok);
    expect(set(Expiry::Keep), some, &put(b"v", Some(70)), &Answer::Ok);
    expect(set(Expiry::Keep), None, &put(b"v", None), &Answer::Ok);
    expect(set(Expiry::Never), some, &put(b"v", None), &Answer::Ok);
    expect(set(Expiry::At(50)), some, &Effect::Delete, &Answer::Ok);
    expect(set(Expiry::At(50)), None, &Effect::None, &Answer::Ok);
    expect(set(Expiry::In(i64::MAX)), None, &put(b"v", Some(i64::MAX as u64)), &Answer::Ok);
    assert_eq!(Expiry::In(5).unheld(NOW), Some(Some(55)));
    assert_eq!(Expiry::At(-1).unheld(NOW), None);
}

#[test]
fn expire_heeds_its_conditions() {
    let (one, zero, none) = (Answer::Integer(1), Answer::Integer(0), &Effect::None);
    let expire = |at, when| Action::Expire { expiry: Expiry::At(at), when };
    let always = When::default();
    let (nx, xx) = (When { never: true, ..always }, When { ends: true, ..always });
    let (gt, lt) = (When { later: true, ..always }, When { earlier: true, ..always });
    let (ends, never) = (Some(ending(b"v", Some(70))), Some(ending(b"v", None)));
    expect(expire(60, always), None, none, &zero);
    expect(expire(60, always), never, &put(b"v", Some(60)), &one);
    expect(expire(40, always), never, &Effect::Delete, &one);
    expect(expire(60, nx), ends, none, &zero);
    expect(expire(60, nx), never, &put(b"v", Some(60)), &one);
    expect(expire(60, xx), never, none, &zero);
    expect(expire(60, xx), ends, &put(b"v", Some(60)), &one);
    expect(expire(80, gt), ends, &put(b"v", Some(80)), &one);
    expect(expire(70, gt), ends, none, &zero);
    expect(expire(80, gt), never, none, &zero);
    expect(expire(60, lt), ends, &put(b"v", Some(60)), &one);
    expect(expire(80, lt), ends, none, &zero);
    expect(expire(80, lt), never, &put(b"v", Some(80)), &one);
    expect(expire(-1, lt), ends, &Effect::Delete, &one);
    expect(expire(80, When { ends: true, ..gt }), never, none, &zero);
}

#[test]
fn lock_scripts_extend_what_they_hold() {
    let (one, zero, none) = (Answer::Integer(1), Answer::Integer(0), &Effect::None);
    let extend = |by, add, ends| Action::Extend { value: b"v", by, add, ends };
    let (ending_at, never) = (Some(ending(b"v", Some(70))), Some(ending(b"v", None)));
    for held in [None, Some(ending(b"w", Some(70)))] {
        expect(extend(10, false, false), held, none, &zero);
    }
    expect(extend(10, false, false), never, &put(b"v", Some(60)), &one);
    expect(extend(10, true, true), never, none, &zero);
    expect(extend(10, true, true), ending_at, &put(b"v", Some(80)), &one);
    expect(extend(10, false, true), ending_at, &put(b"v", Some(60)), &one);
    expect(extend(-20, true, true), ending_at, &Effect::Delete, &one);
}

#[test]
fn ends_can_be_read_taken_away_and_moved() {
    let (ends, never) = (Some(ending(b"v", Some(1570))), Some(ending(b"v", None)));
    let ttl = |millis, absolute| Action::Ttl { form: TimeForm { millis, absolute } };
    for (action, number) in [
        (ttl(true, false), 1520),
        (ttl(false, false), 2),
        (ttl(true, true), 1570),
        (ttl(false, true), 2),
    ] {
        expect(action, ends, &Effect::None, &Answer::Integer(number));
        expect(action, never, &Effect::None, &Answer::Integer(-1));
        expect(action, None, &Effect::None, &Answer::Integer(-2));
    }
    expect(Action::Persist, ends, &put(b"v", None), &Answer::Integer(1));
    expect(Action::Persist, never, &Effect::None, &Answer::Integer(0));
    expect(Action::Persist, None, &Effect::None, &Answer::Integer(0));
    let get = |expiry| Action::GetExpire { expiry };
    expect(get(Expiry::Never), ends, &put(b"v", None), &bulk(b"v"));
    expect(get(Expiry::Never), never, &Effect::None, &bulk(b"v"));
    expect(get(Expiry::In(9)), never, &put(b"v", Some(59)), &bulk(b"v"));
    expect(get(Expiry::At(9)), never, &Effect::Delete, &bulk(b"v"));
    expect(get(Expiry::In(9)), None, &Effect::None, &Answer::Nil);
}

#[test]
fn fractions_are_added_exactly_and_shown_short() {
    let sum = |value: Option<&[u8]>, by: &[u8]| match Op::new(b"k", Action::IncrementFloat { by })
        .apply(value.map(held), NOW)
    {
        (Effect::Put { value, expires_at_ms }, Answer::Bulk(told)) => {
            assert_eq!((&value, expires_at_ms), (&told, DEADLINE));
            String::from_utf8(told.into_owned()).expect("a number")
        }
        (effect, Answer::Error(text)) => {
            assert_eq!(effect, Effect::None);
            text.into_owned()
        }
        other => panic!("{other:?}"),
    };
    let sums = [
        ("10.5", "0.1", "10.6"),
        ("0.1", "0.2", "0.3"),
        ("5.0e3", "2.0e2", "5200"),
        ("3", "-3", "0"),
        ("-1.5", "0.25", "-1.25"),
        ("1e-17", "0", "0.00000000000000001"),
        ("1e40", "1", "10000000000000000000000000000000000000000"),
        ("a", "1", NOT_A_FLOAT),
        ("1", "nan", NOT_A_FLOAT),
        (" 1", "1", NOT_A_FLOAT),
        ("1", "inf", "ERR increment would produce NaN or Infinity"),
    ];
    for (value, by, wanted) in sums {
        assert_eq!(sum(Some(value.as_bytes()), by.as_bytes()), wanted, "{value} + {by}");
    }
}

#[test]
fn deletions_and_writes_can_ask_for_a_digest() {
    let hash = xxh3_64(b"v");
    expect(
        Action::Digest,
        Some(held(b"v")),
        &Effect::None,
        &bulk(format!("{hash:016x}").as_bytes()),
    );
    expect(Action::Digest, None, &Effect::None, &Answer::Nil);
    let delete = |condition| Action::DeleteIf { condition };
    let (one, zero) = (Answer::Integer(1), Answer::Integer(0));
    for (condition, met) in [
        (Condition::DigestEqual(hash), true),
        (Condition::DigestEqual(hash + 1), false),
        (Condition::DigestDifferent(hash), false),
        (Condition::DigestDifferent(hash + 1), true),
        (Condition::Equal(b"v"), true),
        (Condition::Different(b"v"), false),
    ] {
        let (effect, answer) = if met { (Effect::Delete, &one) } else { (Effect::None, &zero) };
        expect(delete(condition), Some(held(b"v")), &effect, answer);
        expect(delete(condition), None, &Effect::None, &zero);
    }
}

/// The bytes of a range as Redis' documentation has it, one index after another.
fn slow_range(size: usize, start: i64, end: i64) -> Vec<usize> {
    let size = size as i64;
    let from_end = |place: i64| if place < 0 { (size + place).max(0) } else { place };
    if start < 0 && end < 0 && start > end {
        return Vec::new();
    }
    let (start, end) = (from_end(start), from_end(end));
    (0..size).filter(|at| (start..=end).contains(at)).map(|at| at as usize).collect()
}

fn whole(action: Action<'_>, value: &[u8]) -> Vec<u8> {
    match Op::new(b"k", action).apply(Some(held(value)), NOW).0 {
        Effect::Put { value, .. } => value.into_owned(),
        Effect::Delete | Effect::None => value.to_vec(),
    }
}

proptest::proptest! {
    #[test]
    fn ranges_and_bits_are_what_a_slow_look_finds(
        value in prop::collection::vec(any::<u8>(), 0..20),
        start in -25..25_i64,
        end in -25..25_i64,
        (offset, on) in (0..200_u32, any::<bool>()),
        part in prop::collection::vec(any::<u8>(), 0..5),
    ) {
        let bits: Vec<bool> =
            value.iter().flat_map(|byte| (0..8).map(move |bit| byte & (0x80 >> bit) != 0)).collect();
        let range: Vec<u8> = slow_range(value.len(), start, end).iter().map(|at| value[*at]).collect();
        expect(Action::GetRange { start, end }, Some(held(&value)), &Effect::None, &bulk(&range));
        let ones: u32 = range.iter().map(|byte| byte.count_ones()).sum();
        let count = |unit| Action::BitCount { range: Some((start, end)), unit };
        let answer = Answer::Integer(i64::from(ones));
        expect(count(Unit::Byte), Some(held(&value)), &Effect::None, &answer);
        let ones = slow_range(bits.len(), start, end).iter().filter(|at| bits[**at]).count();
        let answer = Answer::Integer(ones as i64);
        expect(count(Unit::Bit), Some(held(&value)), &Effect::None, &answer);
        let all = Answer::Integer(bits.iter().filter(|bit| **bit).count() as i64);
        let action = Action::BitCount { range: None, unit: Unit::Byte };
        expect(action, Some(held(&value)), &Effect::None, &all);

        let bit = bits.get(offset as usize).copied().unwrap_or(false);
        let answer = Answer::Integer(i64::from(bit));
        expect(Action::GetBit { offset }, Some(held(&value)), &Effect::None, &answer);
        let mut after = value.clone();
        after.resize(after.len().max(offset as usize / 8 + 1), 0);
        for at in 0..8 {
            let place = offset as usize / 8 * 8 + at;
            let old = bits.get(place).copied().unwrap_or(false);
            let new = if place == offset as usize { on } else { old };
            after[offset as usize / 8] = after[offset as usize / 8] << 1 | u8::from(new);
        }
        let set = Action::SetBit { offset, on };
        assert_eq!(whole(set, &value), after);
        assert_eq!(Op::new(b"k", set).apply(Some(held(&value)), NOW).1, answer);

        let write = Action::SetRange { offset: offset / 8, value: &part };
        let after: Vec<u8> = if part.is_empty() { value.clone() } else {
            let at = (offset / 8) as usize;
            let size = value.len().max(at + part.len());
            let byte = |i: usize| {
                let new = i.checked_sub(at).and_then(|i| part.get(i));
                new.or_else(|| value.get(i)).copied().unwrap_or(0)
            };
            (0..size).map(byte).collect()
        };
        assert_eq!(whole(write, &value), after);
    }

    #[test]
    fn all_operations_come_back(op in drawn()) {
        let mut bytes = Vec::new();
        let op = Op::new(b"key", op.action());
        op.encode(&mut bytes);
        assert_eq!(bytes.len(), op.size());
        assert_eq!(Op::decode(&bytes), Some(op));
        // One byte less or more is another operation, or none.
        bytes.push(b'0');
        assert_ne!(Op::decode(&bytes), Some(op));
        bytes.truncate(op.size() - 1);
        assert_ne!(Op::decode(&bytes), Some(op));
    }
}

/// An operation of those that the other tests do not draw.
#[derive(Clone, Debug)]
struct Part {
    kind: u8,
    numbers: (i64, i64),
    expiry: Expiry,
    flags: u8,
    value: Vec<u8>,
}

impl Part {
    fn action(&self) -> Action<'_> {
        let (start, end) = self.numbers;
        let offset = start.unsigned_abs() as u32 & BIT_OFFSET_MAX;
        let flag = |bit: u8| self.flags & 1 << bit != 0;
        let timed = match self.expiry {
            Expiry::Keep | Expiry::Never => Expiry::At(start),
            other => other,
        };
        let unit = if flag(0) { Unit::Bit } else { Unit::Byte };
        let condition = match self.flags % 3 {
            0 => Condition::DigestEqual(start as u64),
            1 => Condition::DigestDifferent(end as u64),
            _ => Condition::Equal(&self.value),
        };
        let reply = if flag(1) { SetReply::Held } else { SetReply::Outcome };
        match self.kind {
            0 => Action::BitCount { range: flag(1).then_some(self.numbers), unit },
            1 => Action::DeleteIf { condition },
            2 => Action::Digest,
            3 => Action::Encoding,
            4 => {
                let (never, ends, later, earlier) = (flag(0), flag(1), flag(2), flag(3));
                Action::Expire { expiry: timed, when: When { never, ends, later, earlier } }
            }
            5 => Action::GetBit { offset },
            6 => Action::GetExpire { expiry: timed },
            7 => Action::GetRange { start, end },
            8 => Action::IncrementFloat { by: b"-0.5e3" },
            9 => Action::Persist,
            10 => Action::SetBit { offset, on: flag(0) },
            11 => Action::SetRange { offset, value: &self.value },
            12 => Action::Ttl { form: TimeForm { millis: flag(0), absolute: flag(1) } },
            13 => Action::Type,
            14 => Action::Untracked { idle: flag(0) },
            15 => Action::IncrementHeld { by: start },
            16 => Action::Extend { value: &self.value, by: start, add: flag(0), ends: flag(1) },
            _ => Action::Set { value: &self.value, condition, reply, expiry: self.expiry },
        }
    }
}

fn drawn() -> impl Strategy<Value = Part> {
    let expiry = prop_oneof![
        Just(Expiry::Keep),
        Just(Expiry::Never),
        any::<i64>().prop_map(Expiry::At),
        any::<i64>().prop_map(Expiry::In),
    ];
    let numbers = (any::<i64>(), any::<i64>());
    (0..18_u8, numbers, expiry, 0..16_u8, values()).prop_map(
        |(kind, numbers, expiry, flags, value)| Part { kind, numbers, expiry, flags, value },
    )
}
