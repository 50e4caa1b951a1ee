//! Operations and answers: what they do, and that their bytes come back.

use proptest::prelude::{Just, Strategy, any, prop, prop_oneof};

use super::{apply::*, codec::*, *};
use crate::{
    buffer::OutBuf,
    proto::{Style, reply::ReplyWriter},
    record::{Db, KEY_SIZE_MAX, NodeId, VALUE_SIZE_MAX},
};

mod parts;

const DEADLINE: Option<u64> = Some(77);

fn held(value: &[u8]) -> Held<'_> {
    let version = Version::stamp(5 << 16, NodeId(2), 9);
    Held { value, expires_at_ms: DEADLINE, version }
}

fn put(value: &[u8], expires_at_ms: Option<u64>) -> Effect<'_> {
    Effect::Put { value: Cow::Borrowed(value), expires_at_ms }
}

fn error(text: &str) -> Answer<'_> {
    Answer::Error(Cow::Borrowed(text))
}

fn bulk(value: &[u8]) -> Answer<'_> {
    Answer::Bulk(Cow::Borrowed(value))
}

#[track_caller]
fn check(action: Action<'_>, value: Option<&[u8]>, effect: &Effect<'_>, answer: &Answer<'_>) {
    let (did, said) = Op::new(b"k", action).apply(value.map(held), 0);
    assert_eq!((&did, &said), (effect, answer));
}

#[test]
fn increments_keep_the_expiry_and_refuse_what_is_no_number() {
    let by = |by| Action::Increment { by };
    let none = &Effect::None;
    check(by(1), None, &put(b"1", None), &Answer::Integer(1));
    check(by(-3), None, &put(b"-3", None), &Answer::Integer(-3));
    check(by(5), Some(b"-7"), &put(b"-2", DEADLINE), &Answer::Integer(-2));
    for value in ["", "a", "01", " 1", "1.0", "+1", "9223372036854775808"] {
        check(by(1), Some(value.as_bytes()), none, &error(NOT_AN_INTEGER));
    }
    check(by(1), Some(b"9223372036854775807"), none, &error(OVERFLOW));
    check(by(i64::MIN), Some(b"-1"), none, &error(OVERFLOW));
    check(
        by(0),
        Some(b"9223372036854775807"),
        &put(b"9223372036854775807", DEADLINE),
        &Answer::Integer(i64::MAX),
    );
}

#[test]
fn what_is_not_there_is_not_counted() {
    let by = |by| Action::IncrementHeld { by };
    let none = &Effect::None;
    check(by(1), None, none, &Answer::Nil);
    check(by(-3), Some(b"5"), &put(b"2", DEADLINE), &Answer::Integer(2));
    check(by(1), Some(b"x"), none, &error(NOT_AN_INTEGER));
    check(Action::Untracked { idle: true }, None, none, &Answer::Nil);
    let (did, said) = Op::new(b"k", Action::Untracked { idle: false }).apply(Some(held(b"v")), 0);
    assert!(did == Effect::None && matches!(said, Answer::Error(_)), "{said:?}");
}

#[test]
fn appends_keep_the_expiry_and_stop_at_the_longest_value() {
    let append = |value| Action::Append { value };
    check(append(b"ab"), None, &put(b"ab", None), &Answer::Integer(2));
    check(append(b"c"), Some(b"ab"), &put(b"abc", DEADLINE), &Answer::Integer(3));
    let most = vec![b'x'; VALUE_SIZE_MAX];
    check(append(b""), Some(&most), &put(&most, DEADLINE), &Answer::Integer(most.len() as i64));
    check(append(b"y"), Some(&most), &Effect::None, &error(TOO_LONG));
}

#[test]
fn a_set_drops_the_expiry_and_says_what_it_is_asked_to() {
    let set =
        |condition, reply| Action::Set { value: b"v", condition, reply, expiry: Expiry::Never };
    let (ok, no) = (&put(b"v", None), &Effect::None);
    let conditions = [
        (Condition::Always, true, true, true),
        (Condition::Absent, true, false, false),
        (Condition::Present, false, true, true),
        (Condition::Equal(b"a"), false, true, false),
        (Condition::Different(b"a"), true, false, true),
    ];
    for (condition, on_absent, on_a, on_b) in conditions {
        for (value, met) in [(None, on_absent), (Some(&b"a"[..]), on_a), (Some(b"b"), on_b)] {
            let effect = if met { ok } else { no };
            let outcome = if met { Answer::Ok } else { Answer::NotSet };
            check(set(condition, SetReply::Outcome), value, effect, &outcome);
            let before = value.map_or(Answer::Nil, bulk);
            check(set(condition, SetReply::Held), value, effect, &before);
            let number = Answer::Integer(i64::from(met));
            check(set(condition, SetReply::Flag), value, effect, &number);
        }
    }
}

#[test]
fn what_is_absent_is_not_deleted_again() {
    let (some, none) = (Some(&b"v"[..]), &Effect::None);
    check(Action::Delete, some, &Effect::Delete, &Answer::Integer(1));
    check(Action::Delete, None, none, &Answer::Integer(0));
    check(Action::GetDelete, some, &Effect::Delete, &bulk(b"v"));
    check(Action::GetDelete, None, none, &Answer::Nil);
}

#[test]
fn reads_write_nothing() {
    let (some, none) = (Some(&b"four"[..]), &Effect::None);
    check(Action::Exists, some, none, &Answer::Integer(1));
    check(Action::Exists, None, none, &Answer::Integer(0));
    check(Action::Get, some, none, &bulk(b"four"));
    check(Action::Get, None, none, &Answer::Nil);
    check(Action::Strlen, some, none, &Answer::Integer(4));
    check(Action::Strlen, None, none, &Answer::Integer(0));
    check(Action::Version, some, none, &bulk(b"00000000000500000002000000000009"));
    check(Action::Version, None, none, &Answer::Nil);
}

#[test]
fn versions_as_text_have_the_order_of_versions() {
    let text = |version| {
        let (_, answer) =
            Op::new(b"k", Action::Version).apply(Some(Held { version, ..held(b"") }), 0);
        answer
    };
    let Answer::Bulk(low) = text(Version::from_bits(9)) else { panic!("a text") };
    let Answer::Bulk(high) = text(Version::from_bits(u128::MAX / 3)) else { panic!("a text") };
    assert!(low < high);
    assert_eq!((low.len(), high.len()), (32, 32));
}

#[test]
fn only_plain_set_and_del_write_without_looking() {
    let set =
        |condition, reply| Action::Set { value: b"v", condition, reply, expiry: Expiry::Never };
    let reads = [Action::Exists, Action::Get, Action::Strlen, Action::Version];
    let blind = [Action::Delete, set(Condition::Always, SetReply::Outcome)];
    let looking = [
        Action::Append { value: b"v" },
        Action::GetDelete,
        Action::Increment { by: 1 },
        set(Condition::Always, SetReply::Held),
        set(Condition::Absent, SetReply::Flag),
        set(Condition::Equal(b"a"), SetReply::Outcome),
    ];
    let kinds = |actions: &[Action<'static>]| {
        let kind =
            |&action| (Op::new(b"k", action).is_read(), Op::new(b"k", action).is_conditional());
        actions.iter().map(kind).collect::<Vec<_>>()
    };
    assert_eq!(kinds(&reads), [(true, false); 4]);
    assert_eq!(kinds(&blind), [(false, false); 2]);
    assert_eq!(kinds(&looking), [(false, true); 6]);
}

#[test]
fn what_is_expired_is_not_held() {
    let version = Version::from_bits(3);
    let value = Some(&b"v"[..]);
    let record = Record { db: Db::STRONG, key: b"k", version, expires_at_ms: Some(100), value };
    let seen = Held { value: b"v", expires_at_ms: Some(100), version };
    assert_eq!(Held::of(&record, 99), Some(seen));
    assert_eq!(Held::of(&record, 100), None);
    assert_eq!(Held::of(&Record { value: None, ..record }, 0), None);
}

#[test]
fn sizes_over_the_limit_are_refused() {
    let long = vec![b'x'; VALUE_SIZE_MAX + 1];
    let (most, _) = long.split_at(VALUE_SIZE_MAX);
    let set = |condition, value| Action::Set {
        value,
        condition,
        reply: SetReply::Outcome,
        expiry: Expiry::Never,
    };
    let bytes = |head: &[u8], operand: &[u8], value: &[u8]| [head, operand, value].concat();
    let operation = |bytes: &[u8], action| {
        assert_eq!(Op::decode(bytes), Some(Op::new(b"k", action)));
    };
    operation(&bytes(&[APPEND, 1, 0, b'k'], b"", most), Action::Append { value: most });
    assert_eq!(Op::decode(&bytes(&[APPEND, 1, 0, b'k'], b"", &long)), None);
    operation(&bytes(&[SET, 1, 0, b'k', 0], b"", most), set(Condition::Always, most));
    assert_eq!(Op::decode(&bytes(&[SET, 1, 0, b'k', 0], b"", &long)), None);
    let head = |size: usize| [&[SET, 1, 0, b'k', 3], &(size as u32).to_le_bytes()[..]].concat();
    let full = bytes(&head(most.len()), most, most);
    operation(&full, set(Condition::Equal(most), most));
    // A time would come on top.
    assert_eq!(full.len() + 8, OP_SIZE_MAX - KEY_SIZE_MAX + 1);
    assert_eq!(Op::decode(&bytes(&head(long.len()), &long, b"")), None);
    let answer = bytes(&[1], b"", most);
    assert!(answer.len() < ANSWER_SIZE_MAX);
    assert_eq!(Answer::decode(&answer), Some(bulk(most)));
    assert_eq!(Answer::decode(&bytes(&[1], b"", &long)), None);
}

#[test]
fn answers_have_the_style_of_the_connection() {
    let text = |answer: &Answer<'_>, style| {
        let mut out = OutBuf::new();
        answer.write(&mut ReplyWriter::new(&mut out, style));
        String::from_utf8(out.pending().to_vec()).expect("the test writes text")
    };
    let cases = [
        (bulk(b"OK"), "$2\r\nOK\r\n", "\"OK\"\n"),
        (error("ERR a"), "-ERR a\r\n", "ERR a\n"),
        (Answer::Integer(-4), ":-4\r\n", "-4\n"),
        (Answer::Nil, "$-1\r\n", "Not Found\n"),
        (Answer::List(vec![Answer::Ok, Answer::Integer(1)]), "*2\r\n+OK\r\n:1\r\n", "OK\n1\nEND\n"),
        (Answer::NilList, "*-1\r\n", "Not Set\n"),
        (Answer::NotSet, "$-1\r\n", "Not Set\n"),
        (Answer::Ok, "+OK\r\n", "OK\n"),
        (Answer::Status(Cow::Borrowed("string")), "+string\r\n", "string\n"),
        (Answer::Text(Cow::Borrowed("a\nb\n")), "$4\r\na\nb\n\r\n", "a\nb\nEND\n"),
    ];
    for (answer, clients, people) in cases {
        assert_eq!(text(&answer, Style::Resp), clients);
        assert_eq!(text(&answer, Style::Plain), people);
    }
}

/// An operation with bytes of its own.
#[derive(Clone, Debug)]
struct Drawn {
    key: Vec<u8>,
    kind: u8,
    value: Vec<u8>,
    operand: Vec<u8>,
    condition: u8,
    reply: SetReply,
    by: i64,
}

impl Drawn {
    fn op(&self) -> Op<'_> {
        let condition = match self.condition {
            0 => Condition::Absent,
            1 => Condition::Always,
            2 => Condition::Different(&self.operand),
            3 => Condition::Equal(&self.operand),
            _ => Condition::Present,
        };
        let action = match self.kind {
            0 => Action::Append { value: &self.value },
            1 => Action::Delete,
            2 => Action::Exists,
            3 => Action::Get,
            4 => Action::GetDelete,
            5 => Action::Increment { by: self.by },
            6 => Action::Strlen,
            7 => Action::Version,
            _ => Action::Set {
                value: &self.value,
                condition,
                reply: self.reply,
                expiry: Expiry::Never,
            },
        };
        Op::new(&self.key, action)
    }
}

/// Values that are often numbers, and often the same.
fn values() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        prop::sample::select(&["", "a", "1", "-5", "9223372036854775807"][..])
            .prop_map(|text| text.as_bytes().to_vec()),
        prop::collection::vec(any::<u8>(), 0..40),
    ]
}

fn ops() -> impl Strategy<Value = Drawn> {
    let replies = prop_oneof![Just(SetReply::Flag), Just(SetReply::Held), Just(SetReply::Outcome)];
    let by = prop_oneof![any::<i64>(), -3..3_i64];
    let key = prop::collection::vec(any::<u8>(), 0..20);
    (key, 0..14_u8, values(), values(), 0..5_u8, replies, by).prop_map(
        |(key, kind, value, operand, condition, reply, by)| Drawn {
            key,
            kind,
            value,
            operand,
            condition,
            reply,
            by,
        },
    )
}

fn answers() -> impl Strategy<Value = Answer<'static>> {
    let list = prop::collection::vec(plain_answers(), 0..5).prop_map(Answer::List);
    prop_oneof![7 => plain_answers(), 1 => list, 1 => Just(Answer::NilList)]
}

fn plain_answers() -> impl Strategy<Value = Answer<'static>> {
    let text = || prop::collection::vec(any::<char>(), 0..20).prop_map(String::from_iter);
    prop_oneof![
        values().prop_map(|value| Answer::Bulk(Cow::Owned(value))),
        text().prop_map(|text| Answer::Error(Cow::Owned(format!("INDOUBT {text}")))),
        any::<i64>().prop_map(Answer::Integer),
        Just(Answer::Nil),
        Just(Answer::NotSet),
        Just(Answer::Ok),
        text().prop_map(|text| Answer::Text(Cow::Owned(text))),
    ]
}

/// What Redis' documentation says of each command, in the plainest words. No value is near the
/// longest, and texts of numbers go through the standard library.
fn model(op: &Op<'_>, value: Option<&[u8]>) -> (Option<Vec<u8>>, Answer<'static>) {
    let old = value.map(<[u8]>::to_vec);
    let shown = old.clone().map_or(Answer::Nil, |value| Answer::Bulk(Cow::Owned(value)));
    let length = |value: &Option<Vec<u8>>| value.as_ref().map_or(0, Vec::len) as i64;
    let there = Answer::Integer(i64::from(old.is_some()));
    match op.action {
        Action::Append { value } => {
            let new = Some([old.unwrap_or_default(), value.to_vec()].concat());
            let length = length(&new);
            (new, Answer::Integer(length))
        }
        Action::Delete => (None, there),
        Action::Exists => (old, there),
        Action::Get => (old, shown),
        Action::GetDelete => (None, shown),
        Action::Increment { by } => {
            let text = String::from_utf8(old.clone().unwrap_or_else(|| b"0".to_vec()));
            let text = text.unwrap_or_default();
            match text.parse::<i64>().ok().filter(|number| number.to_string() == text) {
                None => (old, error(NOT_AN_INTEGER)),
                Some(number) => match number.checked_add(by) {
                    None => (old, error(OVERFLOW)),
                    Some(sum) => (Some(sum.to_string().into_bytes()), Answer::Integer(sum)),
                },
            }
        }
        Action::Set { value: new, condition, reply, .. } => {
            let met = match condition {
                Condition::Absent => old.is_none(),
                Condition::Always => true,
                Condition::Different(operand) => value != Some(operand),
                Condition::Equal(operand) => value == Some(operand),
                Condition::Present => old.is_some(),
                Condition::DigestDifferent(_) | Condition::DigestEqual(_) => {
                    unreachable!("not drawn")
                }
            };
            let answer = match (reply, met) {
                (SetReply::Flag, _) => Answer::Integer(i64::from(met)),
                (SetReply::Held, _) => shown,
                (SetReply::Outcome, true) => Answer::Ok,
                (SetReply::Outcome, false) => Answer::NotSet,
            };
            (if met { Some(new.to_vec()) } else { old }, answer)
        }
        Action::Strlen => {
            let length = length(&old);
            (old, Answer::Integer(length))
        }
        Action::Version => {
            let digits = old.as_ref().map(|_| b"00000000000500000002000000000009".to_vec());
            (old, digits.map_or(Answer::Nil, |digits| Answer::Bulk(Cow::Owned(digits))))
        }
        _ => unreachable!("not drawn: see `parts`"),
    }
}

proptest::proptest! {
    #[test]
    fn operations_come_back(drawn in ops(), cut in any::<prop::sample::Index>()) {
        let op = drawn.op();
        let mut bytes = Vec::new();
        op.encode(&mut bytes);
        assert_eq!(bytes.len(), op.size());
        assert_eq!(Op::decode(&bytes), Some(op));
        // A cut one is refused, or is another one that has just these bytes.
        let cut = &bytes[..cut.index(bytes.len())];
        if let Some(other) = Op::decode(cut) {
            let mut again = Vec::new();
            other.encode(&mut again);
            assert_eq!(again, cut);
            assert_ne!(other, op);
        }
    }

    #[test]
    fn answers_come_back(answer in answers()) {
        let mut bytes = Vec::new();
        answer.encode(&mut bytes);
        assert_eq!(bytes.len(), answer.size());
        assert_eq!(Answer::decode(&bytes), Some(answer.clone()));
        assert_eq!(answer.clone().into_owned(), answer);
    }

    /// Whatever arrives: it is refused, or it is what encoding writes.
    #[test]
    fn decoding_is_total(
        kind in 0..12_u8,
        key_size in 0..4_u8,
        body in prop::collection::vec(prop_oneof![0..6_u8, any::<u8>()], 0..24),
    ) {
        for bytes in [[&[kind, key_size, 0], &body[..]].concat(), [&[kind], &body[..]].concat()] {
            let mut again = Vec::new();
            if let Some(op) = Op::decode(&bytes) {
                op.encode(&mut again);
                assert_eq!(again, bytes);
            }
            again.clear();
            if let Some(answer) = Answer::decode(&bytes) {
                answer.encode(&mut again);
                assert_eq!(again, bytes);
                answer.write(&mut ReplyWriter::new(&mut OutBuf::new(), Style::Plain));
            }
        }
    }

    #[test]
    fn apply_does_what_the_model_does(drawn in ops(), value in prop::option::of(values())) {
        let op = drawn.op();
        let held = value.as_deref().map(held);
        let (effect, answer) = op.apply(held, 0);
        let after = match &effect {
            Effect::Delete => None,
            Effect::None => value.clone(),
            Effect::Put { value, .. } => Some(value.to_vec()),
        };
        assert_eq!((after, answer), model(&op, value.as_deref()));
        assert!(!(op.is_read() && effect.writes()));
        assert!(!(effect == Effect::Delete && held.is_none()));
        let keeps = matches!(op.action, Action::Append { .. } | Action::Increment { .. });
        if let Effect::Put { expires_at_ms, .. } = effect {
            assert_eq!(expires_at_ms, if keeps && held.is_some() { DEADLINE } else { None });
        }
    }
}
