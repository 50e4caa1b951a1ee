//! What clients asked and were told, and whether that can be true.

use super::setup::{Act, KEY};
use crate::{
    check::{
        Budget, History, Operation, Verdict,
        cell::{Cell, Told},
        search,
    },
    command::op::Answer,
};

/// What became of one operation.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Fate {
    /// Not asked yet.
    Unasked,
    /// Under way.
    Asked { at: u8 },
    /// Nobody can tell.
    Doubt { at: u8 },
    /// It was not carried out, nor will be.
    Refused,
    /// Answered.
    Told { at: u8, end: u8, answer: Answer<'static> },
}

/// All operations, in the order of the setup.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Story {
    pub(super) fates: Vec<Fate>,
    /// Questions and answers so far: a clock.
    events: u8,
}

impl Story {
    pub(super) fn new(asks: usize) -> Self {
        Self { fates: vec![Fate::Unasked; asks], events: 0 }
    }

    /// A client asks.
    pub(super) fn ask(&mut self, index: usize) {
        self.events += 1;
        self.fates[index] = Fate::Asked { at: self.events };
    }

    /// A client's link is gone before the answer came.
    pub(super) fn lose(&mut self, index: usize) {
        if let Fate::Asked { at } = self.fates[index] {
            self.fates[index] = Fate::Doubt { at };
        }
    }

    /// A client hears something. What is not a whole answer is told as an error.
    pub(super) fn hear(&mut self, index: usize, bytes: &[u8]) -> Result<(), String> {
        let Fate::Asked { at } = self.fates[index] else {
            return Err(format!("a second answer: {}", bytes.escape_ascii()));
        };
        self.events += 1;
        let answer =
            parse(bytes).ok_or_else(|| format!("not an answer: {}", bytes.escape_ascii()))?;
        self.fates[index] = match &answer {
            Answer::Error(text) if text.starts_with("INDOUBT") => Fate::Doubt { at },
            Answer::Error(text) if text.starts_with("NOREPLICAS") => Fate::Refused,
            Answer::Bulk(_)
            | Answer::Error(_)
            | Answer::Integer(_)
            | Answer::List(_)
            | Answer::Nil
            | Answer::NilList
            | Answer::NotSet
            | Answer::Ok
            | Answer::Status(_)
            | Answer::Text(_) => Fate::Told { at, end: self.events, answer },
        };
        Ok(())
    }

    /// Whether what clients saw can be true; with `read`, also if one were to see that now.
    pub(super) fn is_legal(&self, acts: &[Act], read: Option<Option<&[u8]>>) -> bool {
        let mut history = History::<Cell>::new();
        for (act, fate) in acts.iter().zip(&self.fates) {
            let (start, end, outcome) = match fate {
                Fate::Unasked | Fate::Refused => continue,
                Fate::Asked { at } | Fate::Doubt { at } => (*at, None, None),
                Fate::Told { at, end, answer } => (*at, Some(*end), Some(Told(answer.clone()))),
            };
            let (start, end) = (start.into(), end.map(u64::from));
            history.push(Operation { start, end, op: act.asked(), outcome, client: None });
        }
        if let Some(value) = read {
            let now = u64::from(self.events) + 1;
            let answer = value.map_or(Answer::Nil, |value| Answer::Bulk(value.to_vec().into()));
            let op = Act::Get.asked();
            let outcome = Some(Told(answer));
            history.push(Operation { start: now, end: Some(now), op, outcome, client: None });
        }
        search::check(&history, &Budget::default()) == Verdict::Linearizable
    }

    /// The story in words.
    pub(super) fn tell(&self, acts: &[Act]) -> String {
        let one = |(act, fate): (&Act, &Fate)| {
            let words = act.words().replace(&format!(" {KEY}"), "");
            match fate {
                Fate::Unasked => None,
                Fate::Asked { .. } => Some(format!("{words} -> ...")),
                Fate::Doubt { .. } => Some(format!("{words} -> in doubt")),
                Fate::Refused => Some(format!("{words} -> refused")),
                Fate::Told { answer, .. } => Some(format!("{words} -> {}", Told(answer.clone()))),
            }
        };
        let all: Vec<String> = acts.iter().zip(&self.fates).filter_map(one).collect();
        all.join("; ")
    }
}

/// One whole reply, in Redis' protocol.
fn parse(bytes: &[u8]) -> Option<Answer<'static>> {
    let line_end = bytes.windows(2).position(|two| two == b"\r\n")?;
    let (kind, line) = bytes[..line_end].split_first()?;
    let line = std::str::from_utf8(line).ok()?;
    let rest = &bytes[line_end + 2..];
    match (kind, line) {
        (b'+', "OK") => Some(Answer::Ok),
        (b'-', text) => Some(Answer::Error(text.to_owned().into())),
        (b':', number) => number.parse().ok().map(Answer::Integer),
        (b'$', "-1") => Some(Answer::Nil),
        (b'$', size) => {
            let size: usize = size.parse().ok()?;
            Some(Answer::Bulk(rest.get(..size)?.to_vec().into()))
        }
        _ => None,
    }
}
