//! Chores: what one client asks for and takes more than a turn should. KEYS, RANDOMKEY where keys are
//! rare, and commands on many keys.
//!
//! A chore is done slice by slice, one slice a turn, so that everybody else is served in between; its
//! client has asked for it and is given nothing else before it is done. Chores take turns. What a
//! KEYS finds it holds until it has found all, and the log has that; so of those only the first goes
//! on.

use std::collections::VecDeque;

use super::{
    LinkId, Node,
    gather::Join,
    here::Way,
    keyspace::{KeySearch, RandomSearch},
};
use crate::{
    command::op::{Action, Condition, Expiry, Op, SetReply},
    conn::Ticket,
    log::Batch,
    probe::{Mutant, planted},
    proto::Args,
    record::Db,
    time::Now,
};

/// Operations of a command on many keys that are begun at once: about a millisecond of work.
pub(super) const OPS_PER_SLICE: usize = 256;

/// What is to be done for clients bit by bit.
#[derive(Clone, Debug, Default, Hash)]
pub(crate) struct Chores {
    queue: VecDeque<Chore>,
}

/// One of them.
#[derive(Clone, Debug, Hash)]
struct Chore {
    link: LinkId,
    ticket: Ticket,
    job: Job,
    /// It is through, and told once this is durable: what a search found may be new.
    settling: Option<Batch>,
}

/// What is to be done.
#[derive(Clone, Debug, Hash)]
pub(crate) enum Job {
    /// KEYS.
    Keys(KeySearch),
    /// A command on many keys.
    Many(Many),
    /// RANDOMKEY.
    Random(Box<RandomSearch>),
}

/// A command on many keys: a gather waits for the answers.
#[derive(Clone, Debug, Hash)]
pub(crate) struct Many {
    db: Db,
    kind: Kind,
    way: Way,
    /// Each word with its size in front.
    words: Box<[u8]>,
    /// Where the next operation stands in them, which one that is, and how many there are.
    at: usize,
    index: u32,
    count: u32,
    /// The gather, once it has begun.
    gather: Option<u64>,
}

/// What is done to each key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    /// DEL.
    Delete,
    /// EXISTS.
    Exists,
    /// MGET.
    Get,
    /// MSET.
    Set,
}

impl Kind {
    /// How many words each operation has.
    const fn words(self) -> usize {
        match self {
            Self::Delete | Self::Exists | Self::Get => 1,
            Self::Set => 2,
        }
    }

    /// The operation on a key.
    pub(crate) const fn op<'a>(self, key: &'a [u8], value: &'a [u8]) -> Op<'a> {
        let action = match self {
            Self::Delete => Action::Delete,
            Self::Exists => Action::Exists,
            Self::Get => Action::Get,
            Self::Set => {
                let (condition, reply) = (Condition::Always, SetReply::Outcome);
                Action::Set { value, condition, reply, expiry: Expiry::Never }
            }
        };
        Op::new(key, action)
    }

    /// The operations on the keys of a request.
    pub(crate) fn ops<'a>(
        self,
        words: Args<'a>,
    ) -> impl ExactSizeIterator<Item = Op<'a>> + Clone + use<'a> {
        let step = self.words();
        (0..words.len() / step).map(move |index| {
            let word = |at| words.get(index * step + at).unwrap_or_default();
            self.op(word(0), if step > 1 { word(1) } else { &[] })
        })
    }

    /// How the answers become one.
    pub(crate) const fn join(self) -> Join {
        match self {
            Self::Delete | Self::Exists => Join::Sum,
            Self::Get => Join::List,
            Self::Set => Join::AllOk,
        }
    }
}

impl Many {
    /// Of the words of a request, without its name.
    pub(crate) fn new(db: Db, kind: Kind, way: Way, words: Args<'_>) -> Self {
        let mut bytes = Vec::with_capacity(words.iter().map(|word| word.len() + 4).sum());
        for word in words.iter() {
            bytes.extend_from_slice(&(word.len() as u32).to_le_bytes());
            bytes.extend_from_slice(word);
        }
        Self {
            db,
            kind,
            way,
            words: bytes.into_boxed_slice(),
            at: 0,
            index: 0,
            count: (words.len() / kind.words()) as u32,
            gather: None,
        }
    }

    /// The next operation.
    fn next(&mut self) -> Option<Op<'_>> {
        let Self { words, at, kind, .. } = self;
        let mut word = || {
            let (size, rest) = words.get(*at..)?.split_first_chunk::<4>()?;
            let size = u32::from_le_bytes(*size) as usize;
            *at += 4 + size;
            rest.get(..size)
        };
        let key = word()?;
        let value = if *kind == Kind::Set { word()? } else { &[] };
        self.index += 1;
        Some(kind.op(key, value))
    }
}

/// What became of a slice.
enum Slice {
    /// The chore is done, or in other hands.
    Done,
    /// There is more.
    More,
    /// Nothing can be done now.
    Waits,
}

impl Chores {
    pub(crate) fn begin(&mut self, (link, ticket): (LinkId, Ticket), job: Job) {
        self.queue.push_back(Chore { link, ticket, job, settling: None });
    }

    /// A connection is gone.
    pub(crate) fn forget(&mut self, link: LinkId) {
        self.queue.retain(|chore| chore.link != link);
    }

    /// Whether there is something to do, and it waits for nothing.
    pub(crate) fn is_ready(&self, is_durable: impl Fn(Batch) -> bool) -> bool {
        let held = self.holds_keys();
        self.queue.iter().any(|chore| match chore.settling {
            Some(batch) => is_durable(batch),
            None => !(held && matches!(chore.job, Job::Keys(_))),
        })
    }

    /// Whether a KEYS has found all and is not told yet.
    fn holds_keys(&self) -> bool {
        let holds = |chore: &Chore| chore.settling.is_some() && matches!(chore.job, Job::Keys(_));
        self.queue.iter().any(holds)
    }

    /// How many there are, and how many bytes they hold.
    pub(crate) fn load(&self) -> (usize, usize) {
        let size = |chore: &Chore| match &chore.job {
            Job::Keys(search) => search.size(),
            Job::Many(many) => many.words.len(),
            Job::Random(_) => 0,
        };
        (self.queue.len(), self.queue.iter().map(size).sum())
    }
}

impl Node {
    /// Whether a chore could go on without waiting for anything.
    pub(super) fn can_do_chores(&self) -> bool {
        let journal = &self.replica.journal;
        let ready = self.chores.is_ready(|batch| journal.is_durable(batch));
        ready && !self.is_log_full() && !self.is_crowded()
    }

    /// Does a slice of the first chore that can go on.
    pub(super) fn do_chores(&mut self, now: Now) {
        if self.is_log_full() || self.is_crowded() {
            return;
        }
        let mut searched = self.chores.holds_keys();
        for _ in 0..self.chores.queue.len() {
            let Some(mut chore) = self.chores.queue.pop_front() else { return };
            let journal = &self.replica.journal;
            let settles = chore.settling.is_some_and(|batch| !journal.is_durable(batch));
            let slice = match &mut chore.job {
                _ if settles => Slice::Waits,
                Job::Keys(_) if searched && chore.settling.is_none() => Slice::Waits,
                Job::Keys(_) => {
                    searched = true;
                    self.search(now, &mut chore)
                }
                Job::Random(_) => self.search(now, &mut chore),
                Job::Many(_) => self.do_many(now, &mut chore),
            };
            match slice {
                Slice::Done => return,
                // The first search stays the first: it is the one that holds something.
                Slice::More if matches!(chore.job, Job::Keys(_)) => {
                    return self.chores.queue.push_front(chore);
                }
                Slice::More => return self.chores.queue.push_back(chore),
                Slice::Waits => self.chores.queue.push_back(chore),
            }
        }
    }

    fn search(&mut self, now: Now, chore: &mut Chore) -> Slice {
        if chore.settling.is_none() {
            let store = &self.replica.store;
            let through = match &mut chore.job {
                Job::Keys(search) => search.step(store, now.wall_ms),
                Job::Random(search) => search.step(store, now.wall_ms),
                Job::Many(_) => return Slice::Done,
            };
            if !through {
                return Slice::More;
            }
            let settling = self.replica.journal.wait_for_all();
            chore.settling = settling.filter(|_| !planted(Mutant::SearchUnsettled));
            if chore.settling.is_some() {
                return Slice::Waits;
            }
        }
        self.reply(chore.link, chore.ticket, |writer| match &chore.job {
            Job::Keys(search) => search.write(writer),
            Job::Random(search) => search.write(writer),
            Job::Many(_) => {}
        });
        Slice::Done
    }

    fn do_many(&mut self, now: Now, chore: &mut Chore) -> Slice {
        let (link, ticket) = (chore.link, chore.ticket);
        let Job::Many(many) = &mut chore.job else { return Slice::Done };
        let gather = *many.gather.get_or_insert_with(|| {
            // What is carried out here is over only when the log has it: one part more.
            let count = many.count as usize + usize::from(many.way == Way::Copy);
            self.gathers.begin(link, ticket, many.kind.join(), count)
        });
        if chore.settling.is_some() {
            return self.end_many(gather);
        }
        let (db, way) = (many.db, many.way);
        for _ in 0..OPS_PER_SLICE {
            let index = many.index;
            let Some(op) = many.next() else { break };
            self.begin_part(now, (db, way), (gather, index), &op);
        }
        if many.index < many.count {
            return Slice::More;
        }
        if way != Way::Copy {
            return Slice::Done;
        }
        match self.replica.journal.wait_for_all() {
            Some(batch) => {
                chore.settling = Some(batch);
                Slice::More
            }
            None => self.end_many(gather),
        }
    }

    /// All parts have been carried out here, and the log has them.
    fn end_many(&mut self, gather: u64) -> Slice {
        if let Some(joined) = self.gathers.end(gather) {
            self.reply(joined.link, joined.ticket, |writer| joined.write(writer));
        }
        Slice::Done
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::Style;

    #[test]
    fn a_search_that_waits_for_the_log_keeps_others_from_beginning() {
        let keys = || Job::Keys(KeySearch::new(Db::EVENTUAL, b"*", Style::Resp));
        let mut chores = Chores::default();
        chores.begin((LinkId(1), Ticket(1)), keys());
        chores.begin((LinkId(2), Ticket(1)), keys());
        assert!(chores.is_ready(|_| false), "the first can begin");
        chores.queue[0].settling = Some(Batch(7));
        assert!(!chores.is_ready(|_| false), "one holds what it found, the other must not begin");
        assert!(chores.is_ready(|batch| batch == Batch(7)), "the first can be told");
        let (db, kind, way) = (Db::EVENTUAL, Kind::Get, Way::Copy);
        let none =
            Many { db, kind, way, words: Box::default(), at: 0, index: 0, count: 0, gather: None };
        chores.begin((LinkId(3), Ticket(1)), Job::Many(none));
        assert!(chores.is_ready(|_| false), "what holds nothing waits for nobody");
    }
}
