//! Requests of several keys: each key is an operation of its own, and their answers become one.

use std::collections::{BTreeMap, VecDeque};

use super::{LinkId, strong::request::IN_DOUBT};
use crate::{command::op::Answer, conn::Ticket, log::Batch, proto::reply::ReplyWriter};

/// How the answers of several operations become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Join {
    /// OK, if all are.
    AllOk,
    /// All in order: the key's values.
    List,
    /// Their sum.
    Sum,
}

/// Requests of several keys under way.
#[derive(Clone, Debug, Default, Hash)]
pub(crate) struct Gathers {
    open: BTreeMap<u64, Gather>,
    last: u64,
    /// Parts that are answered once a batch is durable.
    owed: VecDeque<(Batch, u64, u32)>,
}

/// A request of several keys whose last operation is answered.
#[derive(Clone, Debug, Hash)]
pub(crate) struct Joined {
    pub(crate) link: LinkId,
    pub(crate) ticket: Ticket,
    join: Join,
    answers: Vec<Answer<'static>>,
}

#[derive(Clone, Debug, Hash)]
struct Gather {
    link: LinkId,
    ticket: Ticket,
    join: Join,
    answers: Vec<Option<Answer<'static>>>,
    missing: usize,
}

impl Gathers {
    /// A request of `count` operations, one at least; its number.
    pub(crate) fn begin(&mut self, link: LinkId, ticket: Ticket, join: Join, count: usize) -> u64 {
        self.last += 1;
        let answers = vec![None; count];
        self.open.insert(self.last, Gather { link, ticket, join, answers, missing: count });
        self.last
    }

    /// One of its operations is answered once a batch is durable.
    pub(crate) fn owe(&mut self, batch: Batch, number: u64, index: u32) {
        self.owed.push_back((batch, number, index));
    }

    /// The operations that are answered now.
    pub(crate) fn pay(&mut self, is_durable: impl Fn(Batch) -> bool) -> Vec<(u64, u32)> {
        let mut paid = Vec::new();
        while let Some((_, number, index)) =
            self.owed.pop_front_if(|(batch, ..)| is_durable(*batch))
        {
            paid.push((number, index));
        }
        paid
    }

    /// There is nothing more to wait for: the whole, of what was answered.
    pub(crate) fn end(&mut self, number: u64) -> Option<Joined> {
        let gather = self.open.remove(&number)?;
        let answers = gather.answers.into_iter().flatten().collect();
        let Gather { link, ticket, join, .. } = gather;
        Some(Joined { link, ticket, join, answers })
    }

    /// One of its operations is answered. The whole, if it is the last.
    pub(crate) fn on_part(
        &mut self,
        number: u64,
        index: u32,
        answer: Answer<'static>,
    ) -> Option<Joined> {
        let gather = self.open.get_mut(&number)?;
        let place = gather.answers.get_mut(index as usize)?;
        if place.replace(answer).is_none() {
            gather.missing -= 1;
        }
        if gather.missing > 0 {
            return None;
        }
        self.end(number)
    }
}

impl Joined {
    /// Writes the answer.
    pub(crate) fn write(&self, reply: &mut ReplyWriter<'_>) {
        self.join.write(&self.answers, reply);
    }
}

impl Join {
    /// Writes the answers as one. What failed makes the whole fail; that a write is in doubt outweighs that
    /// another was not made.
    pub(crate) fn write(self, answers: &[Answer<'_>], reply: &mut ReplyWriter<'_>) {
        let errors = answers.iter().filter(|answer| matches!(answer, Answer::Error(_)));
        let doubt = |error: &&Answer<'_>| **error == IN_DOUBT;
        if let Some(error) = errors.clone().find(doubt).or_else(|| errors.clone().next()) {
            let partly = self != Self::List && errors.clone().count() < answers.len();
            return if partly { IN_DOUBT.write(reply) } else { error.write(reply) };
        }
        match self {
            Self::AllOk => reply.ok(),
            Self::List => {
                reply.array(answers.len());
                answers.iter().for_each(|answer| answer.write(reply));
            }
            Self::Sum => reply.integer(answers.iter().map(number).sum()),
        }
    }
}

fn number(answer: &Answer<'_>) -> i64 {
    match answer {
        Answer::Integer(number) => *number,
        Answer::Bulk(_)
        | Answer::Error(_)
        | Answer::Nil
        | Answer::NotSet
        | Answer::Ok
        | Answer::Status(_)
        | Answer::Text(_) => 0,
    }
}
