//! Batches read back as they were written, and come to what their steps come to one by one.

use std::collections::BTreeMap;

use proptest::prelude::{any, prop, prop_assert_eq, proptest};

use super::*;
use crate::{
    command::op::{Action, Condition, Expiry, SetReply},
    record::{Ballot, Db, NodeId, Record},
};

/// Keys with their versions, values and ends.
type Held = BTreeMap<Vec<u8>, (Version, Option<Vec<u8>>, Option<u64>)>;

const NOW: u64 = 1000;

fn version(seq: u64) -> Version {
    Version::accepted(Ballot::new(3, NodeId(1)), seq)
}

fn set(value: &[u8]) -> Action<'_> {
    let (condition, reply) = (Condition::Always, SetReply::Outcome);
    Action::Set { value, condition, reply, expiry: Expiry::Never }
}

fn held(entries: &[(&str, u64, Option<&str>, Option<u64>)]) -> Held {
    let entry = |(key, seq, value, end): &(&str, u64, Option<&str>, Option<u64>)| {
        let value = value.map(|value| value.as_bytes().to_vec());
        (key.as_bytes().to_vec(), (version(*seq), value, *end))
    };
    entries.iter().map(entry).collect()
}

/// What a batch comes to, with stamps from 100 on.
fn apply(
    held: &Held,
    watches: &[(&str, Version)],
    steps: &[Step<'_>],
) -> Result<Applied, Answer<'static>> {
    let watches = watches.iter().map(|(key, version)| (key.as_bytes(), *version));
    let mut builder = Builder::new(watches);
    steps.iter().for_each(|step| builder.push(step));
    let bytes = builder.finish();
    let Some(Work::Batch(batch)) = Work::decode(&bytes) else { panic!("{bytes:?}") };
    let look = |key: &[u8]| {
        let (key, (version, value, expires_at_ms)) = held.get_key_value(key)?;
        let (version, expires_at_ms) = (*version, *expires_at_ms);
        Some(Record { db: Db::STRONG, key, version, expires_at_ms, value: value.as_deref() })
    };
    let mut seq = 99;
    let stamps = Stamps { last: version(50), dropped: &|_| 40 };
    batch.apply(look, NOW, stamps, || {
        seq += 1;
        version(seq)
    })
}

/// What it answers and writes, in one line.
fn told(held: &Held, watches: &[(&str, Version)], steps: &[Step<'_>]) -> String {
    let Applied { answer, written } = apply(held, watches, steps).expect("within the limits");
    let written = written.iter().map(|written| {
        let value = written.value.as_deref().map(String::from_utf8_lossy);
        let (key, seq) = (String::from_utf8_lossy(&written.key), written.version.seq());
        format!(
            " {key}={}@{seq}{}",
            value.as_deref().unwrap_or("-"),
            match written.expires_at_ms {
                Some(end) => format!(" until {end}"),
                None => String::new(),
            }
        )
    });
    let answers = match answer {
        Answer::List(answers) => answers.iter().map(|answer| format!("{answer:?} ")).collect(),
        other => format!("{other:?} "),
    };
    format!("{answers}|{}", written.collect::<String>())
}

fn op<'a>(key: &'a str, action: Action<'a>) -> Step<'a> {
    Step::Op(Op::new(key.as_bytes(), action))
}

#[test]
fn later_steps_see_what_earlier_ones_did() {
    let held = held(&[("n", 1, Some("4"), Some(2000)), ("gone", 2, Some("x"), Some(NOW))]);
    let incr = || op("n", Action::Increment { by: 1 });
    let steps = [incr(), incr(), op("n", Action::Get), op("gone", Action::Exists)];
    assert_eq!(
        told(&held, &[], &steps),
        "Integer(5) Integer(6) Bulk([54]) Integer(0) | n=6@101 until 2000"
    );
    let steps = [op("a", set(b"v")), op("a", Action::Delete), op("a", Action::Delete)];
    assert_eq!(told(&held, &[], &steps), "Ok Integer(1) Integer(0) | a=-@101");
    // What fails leaves the others alone.
    let steps = [op("a", set(b"v")), op("a", Action::Increment { by: 1 }), op("b", set(b"w"))];
    let wrong = "Error(\"ERR value is not an integer or out of range\")";
    assert_eq!(told(&held, &[], &steps), format!("Ok {wrong} Ok | a=v@100 b=w@101"));
}

#[test]
fn what_is_watched_is_compared_by_version_a_tombstones_too() {
    let held = held(&[("k", 1, Some("v"), None), ("t", 2, None, None)]);
    let steps = [op("k", set(b"new"))];
    let done = "Ok | k=new@100";
    let absent = |since: Version| Version::from_bits(since.to_bits() | 1 << 63);
    let other = Version::accepted(Ballot::new(2, NodeId(2)), 60);
    for (watches, wanted) in [
        (&[("k", version(1)), ("t", absent(version(50))), ("none", absent(version(50)))][..], done),
        // It was one when it was watched, or a little before.
        (&[("t", absent(version(2)))], done),
        (&[("none", absent(version(40)))], done),
        // A tombstone was stamped and dropped since.
        (&[("none", absent(version(39)))], "NilList |"),
        // Another leader may have dropped one.
        (&[("none", absent(other))], "NilList |"),
        (&[("t", absent(other))], "NilList |"),
        (&[("t", absent(version(1)))], "NilList |"),
        (&[("k", absent(version(50)))], "NilList |"),
        (&[("t", version(2))], "NilList |"),
        (&[("k", version(2))], "NilList |"),
        (&[("none", version(1))], "NilList |"),
    ] {
        assert_eq!(told(&held, watches, &steps), wanted, "{watches:?}");
    }
    let steps = [Step::Watch { key: b"t" }, Step::Watch { key: b"none" }];
    let Ok(Applied { answer: Answer::List(answers), .. }) = apply(&held, &[], &steps) else {
        panic!("a list")
    };
    let versions: Vec<_> = answers.iter().map(watched).collect();
    assert_eq!(versions, [Some(absent(version(50))); 2]);
    assert_eq!(watched(&Answer::Ok), None);
}

#[test]
fn values_get_other_names() {
    let held = held(&[("a", 1, Some("v"), Some(5000)), ("b", 2, Some("w"), None)]);
    let copy = |from: &'static str, to: &'static str, how| {
        let (from, to) = (from.as_bytes(), to.as_bytes());
        told(&held, &[], &[Step::Copy { from, to, how }])
    };
    assert_eq!(copy("a", "c", How::Copy), "Integer(1) | c=v@100 until 5000");
    assert_eq!(copy("a", "b", How::Copy), "Integer(0) |");
    assert_eq!(copy("a", "b", How::Replace), "Integer(1) | b=v@100 until 5000");
    assert_eq!(copy("none", "b", How::Replace), "Integer(0) |");
    assert_eq!(copy("b", "a", How::Move), "Ok | a=w@100 b=-@101");
    assert_eq!(copy("a", "a", How::Move), "Ok |");
    assert_eq!(copy("a", "a", How::MoveUnlessTaken), "Integer(0) |");
    assert_eq!(copy("a", "b", How::MoveUnlessTaken), "Integer(0) |");
    assert_eq!(copy("a", "c", How::MoveUnlessTaken), "Integer(1) | a=-@101 c=v@100 until 5000");
    for how in [How::Move, How::MoveUnlessTaken] {
        assert_eq!(copy("none", "b", how), "Error(\"ERR no such key\") |");
    }
    let mut pairs = Vec::new();
    push_pair(&mut pairs, b"c", b"1");
    push_pair(&mut pairs, b"d", b"2");
    let all = Step::SetAll { pairs: &pairs };
    assert_eq!(told(&held, &[], &[all]), "Integer(1) | c=1@100 d=2@101");
    assert_eq!(told(&held, &[], &[op("d", set(b"x")), all]), "Ok Integer(0) | d=x@100");
}

#[test]
fn what_takes_too_much_writes_nothing() {
    let large = "x".repeat(VALUE_SIZE_MAX);
    let held = held(&[("a", 1, Some(&large), None)]);
    let refused = |steps: &[Step<'_>]| match apply(&held, &[], steps) {
        Err(Answer::Error(error)) => error.into_owned(),
        other => panic!("{:?}", other.map(|applied| applied.written.len())),
    };
    let get = op("a", Action::Get);
    assert!(apply(&held, &[], &[get]).is_ok());
    assert!(refused(&[get, get]).contains("answer"));
    let copy = |to| Step::Copy { from: b"a", to, how: How::Copy };
    assert!(apply(&held, &[], &[copy(b"b")]).is_ok());
    assert!(refused(&[copy(b"b"), copy(b"c")]).contains("write"));
    assert!(refused(&[op("a", Action::Digest); 17]).contains("look at"));
    let moved = Step::Copy { from: b"a", to: b"b", how: How::Move };
    assert!(apply(&held, &[], &[moved]).is_ok(), "the largest value can be renamed");
}

#[test]
fn what_no_batch_says_is_refused() {
    let mut builder = Builder::new([(&b"w"[..], version(7))].into_iter());
    builder.push(&Step::Copy { from: b"a", to: b"b", how: How::Move });
    builder.push(&op("k", Action::Get));
    builder.push(&Step::SetAll { pairs: &[] });
    builder.push(&Step::Watch { key: b"k" });
    let bytes = builder.finish();
    let Some(work @ Work::Batch(batch)) = Work::decode(&bytes) else { panic!("{bytes:?}") };
    assert_eq!(batch.keys().collect::<Vec<_>>(), [&b"w"[..], b"a", b"b", b"k", b"k"]);
    assert!(!work.is_read());
    for cut in 1..bytes.len() {
        let whole = Work::decode(&bytes[..cut]);
        // Cut between two steps it is a shorter batch.
        assert!(
            whole.is_none_or(|work| matches!(work, Work::Batch(_)) && work != Work::Batch(batch))
        );
    }
    let mut wrong = bytes.to_vec();
    wrong[5 + 16 + 3 + 4] = 9;
    assert_eq!(Work::decode(&wrong), None, "a kind of step that there is not");
    assert_eq!(Work::decode(&[]), None);
}

proptest! {
    #[test]
    fn any_bytes_are_a_batch_that_can_be_walked_or_none(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
        let bytes = [&[0][..], &bytes].concat();
        if let Some(Work::Batch(batch)) = Work::decode(&bytes) {
            let mut builder = Builder::new(batch.watches());
            batch.steps().for_each(|step| builder.push(&step));
            prop_assert_eq!(&builder.finish()[..], &bytes[..]);
        }
    }

    /// As a store that carries out one operation after the other.
    #[test]
    fn a_batch_comes_to_what_its_operations_come_to(
        ops in prop::collection::vec((0..3_u8, 0..6_u8, any::<u8>()), 0..20),
        first in prop::option::of(any::<u8>()),
    ) {
        let keys = ["a", "b", "c"];
        let values: Vec<String> = ops.iter().map(|(.., value)| value.to_string()).collect();
        let steps: Vec<Op<'_>> = ops.iter().zip(&values).map(|((key, kind, by), value)| {
            let action = match kind {
                0 => Action::Get,
                1 => set(value.as_bytes()),
                2 => Action::Delete,
                3 => Action::Increment { by: i64::from(*by) },
                4 => Action::Append { value: value.as_bytes() },
                _ => Action::GetDelete,
            };
            Op::new(keys[usize::from(*key)].as_bytes(), action)
        }).collect();
        let first = first.map(|value| value.to_string());
        let mut state: BTreeMap<&[u8], Vec<u8>> = BTreeMap::new();
        let start = held(&first.iter().map(|value| ("a", 1, Some(&value[..]), None)).collect::<Vec<_>>());
        first.iter().for_each(|value| {
            state.insert(b"a", value.as_bytes().to_vec());
        });
        let mut wanted = Vec::new();
        for step in &steps {
            let before = state.get(step.key).cloned();
            let seen = before.as_deref().map(|value| {
                crate::command::op::Held { value, expires_at_ms: None, version: version(1) }
            });
            let (effect, answer) = step.apply(seen, NOW);
            wanted.push(answer.into_owned());
            match effect {
                crate::command::op::Effect::Delete => {
                    state.remove(step.key);
                }
                crate::command::op::Effect::None => {}
                crate::command::op::Effect::Put { value, .. } => {
                    state.insert(step.key, value.into_owned());
                }
            }
        }
        let steps: Vec<Step<'_>> = steps.into_iter().map(Step::Op).collect();
        let applied = apply(&start, &[], &steps).expect("within the limits");
        prop_assert_eq!(applied.answer, Answer::List(wanted));
        for written in &applied.written {
            prop_assert_eq!(written.value.as_ref(), state.get(&written.key[..]));
        }
        let left: Vec<_> = start.keys().filter(|key| {
            applied.written.iter().all(|written| written.key[..] != key[..])
        }).collect();
        for key in left {
            prop_assert_eq!(start.get(key).and_then(|held| held.1.as_ref()), state.get(&key[..]));
        }
        prop_assert_eq!(
            state.keys().all(|key| start.contains_key(*key) || applied.written.iter().any(|w| w.key[..] == **key)),
            true
        );
    }
}
