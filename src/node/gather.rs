//! Requests of several operations, whose answers become one reply. The operations may be apart, or
//! one batch that answers for all of them.

use std::{
    collections::{BTreeMap, VecDeque},
    hash::{Hash, Hasher},
};

use super::{LinkId, strong::request::IN_DOUBT};
use crate::{
    command::{
        Called, batch,
        lcs::{self, LcsAsk},
        op::Answer,
    },
    conn::{Ticket, Watched},
    log::Batch,
    probe::{Mutant, planted},
    proto::{
        Style,
        reply::{ReplyWriter, error_code},
    },
    record::Db,
    time::Instant,
};

/// How the answers of several operations become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Join {
    /// OK, if all are.
    AllOk,
    /// What the two values have in common.
    Lcs(LcsAsk),
    /// All in order: the key's values.
    List,
    /// The only one.
    One,
    /// Their sum.
    Sum,
}

/// What a reply is made of.
#[derive(Clone, Debug, Hash)]
pub(crate) enum Shape {
    /// Of EXEC: a list, whose elements are these.
    Elements(Vec<Element>, Tally),
    /// All answers, joined.
    Joined(Join),
    /// Of WATCH: OK. The answers are the versions of these keys.
    Watch(Vec<Box<[u8]>>),
}

/// An element of the reply to EXEC.
#[derive(Clone, Debug, Hash)]
pub(crate) enum Element {
    /// The next so many answers, joined.
    Joined(Join, usize),
    /// What is known without any.
    Known(Answer<'static>),
}

/// What is known of the requests of a transaction, to count them once they are answered.
#[derive(Clone, Debug)]
pub(crate) struct Tally {
    pub(crate) since: Instant,
    pub(crate) db: Db,
    /// One for each element.
    pub(crate) called: Vec<Called>,
}

/// It is told, and decides nothing.
impl Hash for Tally {
    fn hash<H: Hasher>(&self, _: &mut H) {}
}

/// What is counted of a transaction that was carried out.
pub(crate) struct Counts {
    pub(crate) since: Instant,
    pub(crate) db: Db,
    /// Each request, with the code of its error.
    pub(crate) calls: Vec<(Called, Option<&'static str>)>,
    /// How many of them have keys.
    pub(crate) keyed: u64,
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
    shape: Shape,
    answers: Vec<Answer<'static>>,
    /// What stands for all of them: an error, or that nothing was carried out.
    whole: Option<Answer<'static>>,
}

#[derive(Clone, Debug, Hash)]
struct Gather {
    link: LinkId,
    ticket: Ticket,
    shape: Shape,
    /// The first part, a batch, answers for all.
    together: bool,
    answers: Vec<Option<Answer<'static>>>,
    missing: usize,
}

impl Gathers {
    /// A request of `count` operations, one at least; its number.
    pub(crate) fn begin(&mut self, link: LinkId, ticket: Ticket, join: Join, count: usize) -> u64 {
        self.begin_shaped((link, ticket), Shape::Joined(join), count)
    }

    /// The same with a reply of that shape.
    pub(crate) fn begin_shaped(
        &mut self,
        (link, ticket): (LinkId, Ticket),
        shape: Shape,
        count: usize,
    ) -> u64 {
        let (answers, together) = (vec![None; count], false);
        self.open(Gather { link, ticket, shape, together, answers, missing: count })
    }

    /// A request whose first part is a batch of so many steps; its number.
    pub(crate) fn begin_together(
        &mut self,
        (link, ticket): (LinkId, Ticket),
        shape: Shape,
        count: usize,
    ) -> u64 {
        let (answers, together) = (vec![None; count], true);
        self.open(Gather { link, ticket, shape, together, answers, missing: 1 })
    }

    fn open(&mut self, gather: Gather) -> u64 {
        self.last += 1;
        self.open.insert(self.last, gather);
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
        let Gather { link, ticket, shape, answers, .. } = gather;
        let answers = answers.into_iter().flatten().collect();
        Some(Joined { link, ticket, shape, answers, whole: None })
    }

    /// One of its operations is answered. The whole, if it is the last.
    pub(crate) fn on_part(
        &mut self,
        number: u64,
        index: u32,
        answer: Answer<'static>,
    ) -> Option<Joined> {
        let gather = self.open.get_mut(&number)?;
        if gather.together {
            let Gather { link, ticket, shape, answers, .. } = self.open.remove(&number)?;
            let (answers, whole) = match answer {
                Answer::List(all) if all.len() == answers.len() => (all, None),
                whole => (Vec::new(), Some(whole)),
            };
            return Some(Joined { link, ticket, shape, answers, whole });
        }
        let place = gather.answers.get_mut(index as usize)?;
        // A batch of one step is a part like others.
        let answer = match answer {
            Answer::List(mut one) if one.len() == 1 => one.pop()?,
            other => other,
        };
        if place.replace(answer).is_none() {
            gather.missing -= 1;
        }
        let early = planted(Mutant::SeveralAnsweredEarly)
            && matches!(gather.shape, Shape::Joined(Join::AllOk));
        if gather.missing > 0 && !early {
            return None;
        }
        self.end(number)
    }
}

impl Joined {
    /// Writes the answer.
    pub(crate) fn write(&self, reply: &mut ReplyWriter<'_>) {
        match &self.whole {
            Some(whole) => whole.write(reply),
            None => self.shape.write(&self.answers, reply),
        }
    }

    /// If it is an EXEC that was carried out: what is counted of it.
    pub(crate) fn counts(&self) -> Option<Counts> {
        if self.whole.is_some() { None } else { self.shape.counts(&self.answers) }
    }

    /// If it is a WATCH: what is watched now, unless that is not known.
    pub(crate) fn watched(&self) -> Option<Option<Vec<Watched>>> {
        let Shape::Watch(keys) = &self.shape else { return None };
        let versions = self.answers.iter().filter_map(batch::watched);
        let watched = keys.iter().cloned().zip(versions);
        let watched: Vec<_> = watched.map(|(key, version)| Watched { key, version }).collect();
        Some((watched.len() == keys.len()).then_some(watched))
    }
}

impl Shape {
    /// Writes the answers as one.
    pub(crate) fn write(&self, answers: &[Answer<'_>], reply: &mut ReplyWriter<'_>) {
        match self {
            Self::Elements(elements, _) => {
                reply.array(elements.len());
                let mut rest = answers;
                for element in elements {
                    match element {
                        Element::Joined(join, count) => join.write(take(&mut rest, *count), reply),
                        Element::Known(answer) => answer.write(reply),
                    }
                }
            }
            Self::Joined(join) => join.write(answers, reply),
            Self::Watch(_) => reply.ok(),
        }
    }

    /// If it is of EXEC: what is counted of the transaction with these answers.
    pub(crate) fn counts(&self, answers: &[Answer<'_>]) -> Option<Counts> {
        let Self::Elements(elements, Tally { since, db, called }) = self else { return None };
        let (mut rest, mut keyed) = (answers, 0);
        let calls = elements.iter().zip(called).map(|(element, called)| {
            let own = match element {
                Element::Joined(_, count) => {
                    keyed += 1;
                    take(&mut rest, *count)
                }
                Element::Known(answer) => std::slice::from_ref(answer),
            };
            (*called, own.iter().find_map(failure))
        });
        let calls = calls.collect();
        Some(Counts { since: *since, db: *db, calls, keyed })
    }
}

/// The next so many answers.
fn take<'s, 'a>(rest: &mut &'s [Answer<'a>], count: usize) -> &'s [Answer<'a>] {
    let (own, others) = rest.split_at(count.min(rest.len()));
    *rest = others;
    own
}

/// The code of an answer that is an error.
fn failure(answer: &Answer<'_>) -> Option<&'static str> {
    match answer {
        Answer::Error(text) => error_code(text.as_bytes(), Style::Plain),
        _ => None,
    }
}

impl Join {
    /// Writes the answers as one. What failed makes the whole fail; that a write is in doubt outweighs that
    /// another was not made.
    pub(crate) fn write(self, answers: &[Answer<'_>], reply: &mut ReplyWriter<'_>) {
        if self == Self::One {
            return answers.iter().for_each(|answer| answer.write(reply));
        }
        let errors = answers.iter().filter(|answer| matches!(answer, Answer::Error(_)));
        let doubt = |error: &&Answer<'_>| **error == IN_DOUBT;
        if let Some(error) = errors.clone().find(doubt).or_else(|| errors.clone().next()) {
            let writes = matches!(self, Self::AllOk | Self::Sum);
            let partly = writes && errors.clone().count() < answers.len();
            return if partly { IN_DOUBT.write(reply) } else { error.write(reply) };
        }
        match self {
            Self::AllOk => reply.ok(),
            Self::Lcs(ask) => {
                let value = |index| match answers.get(index) {
                    Some(Answer::Bulk(value)) => value.as_ref(),
                    Some(_) | None => &[],
                };
                lcs::write(ask, value(0), value(1), reply);
            }
            Self::List | Self::One => {
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
        | Answer::List(_)
        | Answer::Nil
        | Answer::NilList
        | Answer::NotSet
        | Answer::Ok
        | Answer::Status(_)
        | Answer::Text(_) => 0,
    }
}
