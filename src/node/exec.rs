//! Transactions and other requests whose operations belong together: EXEC, WATCH, MSETNX, COPY,
//! RENAME, and scripts.
//!
//! A transaction whose keys are all of one slot of the strong database is one batch, which takes
//! effect at one moment or not at all. Any other is an ordered one: its requests are carried out one
//! behind the other as if they had been sent like that, each at the level of its database, and the
//! reply waits for all of them. What must take effect at one moment and can't is refused.

use super::{
    client::{Executor, Place},
    gather::{Counts, Element, Join, Shape, Tally},
    moves,
    strong::request::Origin,
};
use crate::{
    command::{
        Called, Command, Script, ScriptAsk,
        batch::{self, BATCH_SIZE_MAX, Builder, How, Step},
        op::{Action, Answer, Condition, Expiry, Op, SetReply},
        script::{self, Shape as Lock},
    },
    conn::{Done, Transaction, Wait, Watched},
    probe::{Mutant, planted},
    proto::{Args, Style, reply::ReplyWriter},
    record::Db,
    slot::Slot,
};

const CROSS_SLOT: &str = "CROSSSLOT Keys in request don't hash to the same slot; put the part that \
    they share in braces, as in {user1}:name and {user1}:mail: then only that part counts";
const WATCHED_ELSEWHERE: &str = "CROSSSLOT what is watched and what is queued must be of one slot of \
    database 0; put the part that the keys share in braces, as in {user1}:name";
const TOO_LARGE: &str = "ERR a batch of one slot can't be that large; nothing written";

/// A transaction understood: what its reply is made of, and what is to be done for it.
#[derive(Default)]
struct Plan<'a> {
    elements: Vec<Element>,
    parts: Vec<Part<'a>>,
}

/// One thing to be done.
#[derive(Clone, Copy)]
enum Part<'a> {
    SetAll(Args<'a>),
    Step(Step<'a>),
}

impl<'a> Part<'a> {
    fn op(key: &'a [u8], action: Action<'a>) -> Self {
        Self::Step(Step::Op(Op::new(key, action)))
    }

    /// The one slot of its keys, if it is one.
    fn slot(&self, slots: u32) -> Option<u32> {
        match self {
            Self::SetAll(pairs) => one_slot(pairs.pairs().map(|(key, _)| key), slots),
            Self::Step(step) => one_slot(step.keys(), slots),
        }
    }

    fn push(&self, builder: &mut Builder) {
        match self {
            Self::SetAll(all) => {
                let mut pairs = Vec::new();
                all.pairs().for_each(|(key, value)| batch::push_pair(&mut pairs, key, value));
                builder.push(&Step::SetAll { pairs: &pairs });
            }
            Self::Step(step) => builder.push(step),
        }
    }

    const fn is_read(&self) -> bool {
        match self {
            Self::SetAll(_) => false,
            Self::Step(step) => step.is_read(),
        }
    }
}

impl<'a> Plan<'a> {
    fn known(&mut self, answer: Answer<'static>) {
        self.elements.push(Element::Known(answer));
    }

    fn error(&mut self, error: impl ToString) {
        self.known(Answer::Error(error.to_string().into()));
    }

    fn join(&mut self, join: Join, parts: impl Iterator<Item = Part<'a>>) {
        let before = self.parts.len();
        self.parts.extend(parts);
        self.elements.push(Element::Joined(join, self.parts.len() - before));
    }
}

/// The slot of all these keys, if there are any and it is one.
fn one_slot<'k>(mut keys: impl Iterator<Item = &'k [u8]>, slots: u32) -> Option<u32> {
    let first = Slot::of(keys.next()?, slots);
    keys.all(|key| Slot::of(key, slots) == first).then_some(first.0)
}

impl Executor<'_> {
    /// Carries out what is one of those; `transaction` belongs to EXEC.
    pub(super) fn carry_out_together(
        &mut self,
        place: Place,
        command: Command<'_>,
        transaction: Option<&Transaction>,
        reply: &mut ReplyWriter<'_>,
    ) -> Done {
        match (command, transaction) {
            (Command::Copy { name, from, to, how }, _) => {
                self.copy(place, (name, how), (from, to), reply)
            }
            (Command::Eval { script, keys, operands }, _) => {
                self.eval(place, script, (keys, operands), reply)
            }
            (Command::Exec, Some(transaction)) => self.exec(place, transaction, reply),
            (Command::Lcs { keys, ask }, _) => {
                let mut plan = Plan::default();
                let gets = keys.iter().map(|key| Part::op(key, Action::Get));
                plan.join(Join::Lcs(ask), gets);
                self.one_by_one(place, Shape::Joined(Join::Lcs(ask)), &plan.parts, reply)
            }
            (Command::MSetNx { pairs }, _) => {
                self.alone(place, "MSETNX", Part::SetAll(pairs), reply)
            }
            (Command::Script(ask), _) => {
                self.script(ask, reply);
                Done::Now(None)
            }
            (Command::Watch { keys }, _) => self.watch(place, keys, reply),
            (other, _) => unreachable!("{other:?} is no such command"),
        }
    }

    /// EXEC.
    fn exec(
        &mut self,
        place: Place,
        transaction: &Transaction,
        reply: &mut ReplyWriter<'_>,
    ) -> Done {
        let mut plan = Plan::default();
        let mut called = Vec::with_capacity(transaction.requests.len());
        for args in transaction.requests.iter() {
            called.extend(Called::of(args));
            match Command::parse(args) {
                Ok(command) => self.plan(place, command, &mut plan),
                Err(error) if reply.style() == Style::Plain => plan.error(error.for_people()),
                Err(error) => plan.error(error),
            }
        }
        debug_assert_eq!(called.len(), plan.elements.len(), "only commands are queued");
        let tally = Tally { since: self.now.mono, db: place.db, called };
        let shape = Shape::Elements(plan.elements, tally);
        let watched = &transaction.watched;
        let watched_keys = watched.iter().map(|watched| &watched.key[..]);
        let slots = self.replica.store.slots();
        let same = if place.db == Db::STRONG {
            let steps = plan.parts.iter().map(|part| part.slot(slots));
            let keys = watched_keys.map(|key| Some(Slot::of(key, slots).0));
            let mut all = steps.chain(keys);
            let first = all.next().flatten();
            first.filter(|_| all.all(|slot| slot == first))
        } else {
            None
        };
        if let Some(slot) = same {
            return self.together(place, (slot, watched), shape, &plan.parts, reply);
        }
        if !watched.is_empty() {
            reply.error(WATCHED_ELSEWHERE);
            return Done::Now(None);
        }
        self.one_by_one(place, shape, &plan.parts, reply)
    }

    /// Adds what a request of a transaction comes to.
    fn plan<'a>(&mut self, place: Place, command: Command<'a>, plan: &mut Plan<'a>) {
        let strong = place.db == Db::STRONG;
        let ops = |keys: Args<'a>, action| keys.iter().map(move |key| Part::op(key, action));
        let set = |(key, value)| Part::op(key, plain_set(value));
        match command {
            Command::Copy { name, from, to, how } if strong => {
                let part = Part::Step(Step::Copy { from, to, how });
                if part.slot(self.replica.store.slots()).is_none() {
                    return plan.error(CROSS_SLOT);
                }
                debug_assert!(!name.is_empty());
                plan.join(Join::One, std::iter::once(part));
            }
            Command::MSetNx { pairs } if strong => {
                let part = Part::SetAll(pairs);
                if part.slot(self.replica.store.slots()).is_none() {
                    return plan.error(CROSS_SLOT);
                }
                plan.join(Join::One, std::iter::once(part));
            }
            Command::Copy { name, .. } => plan.error(needs_strong(name)),
            Command::MSetNx { .. } => plan.error(needs_strong("MSETNX")),
            Command::Op { name, op } if op.is_conditional() && !strong => {
                plan.error(needs_strong(name));
            }
            Command::Op { op, .. } => {
                plan.join(Join::One, std::iter::once(Part::Step(Step::Op(op))))
            }
            Command::Del { keys } => plan.join(Join::Sum, ops(keys, Action::Delete)),
            Command::Exists { keys } => plan.join(Join::Sum, ops(keys, Action::Exists)),
            Command::MGet { keys } => plan.join(Join::List, ops(keys, Action::Get)),
            Command::MSet { pairs } => plan.join(Join::AllOk, pairs.pairs().map(set)),
            Command::Lcs { keys, ask } => plan.join(Join::Lcs(ask), ops(keys, Action::Get)),
            Command::Eval { script, keys, operands } => {
                match self.lock_op(place, script, keys, operands) {
                    Ok(op) => plan.join(Join::One, std::iter::once(Part::Step(Step::Op(op)))),
                    Err(error) => plan.error(error),
                }
            }
            Command::Echo { message } | Command::Ping { message: Some(message) } => {
                plan.known(Answer::Bulk(message.to_vec().into()));
            }
            Command::Ping { message: None } => plan.known(Answer::Status("PONG".into())),
            Command::Time => plan.known(self.time()),
            // Of the database that is selected already; others are not queued.
            Command::Select { .. } | Command::Unwatch => plan.known(Answer::Ok),
            _ => plan.error("ERR this is not offered between MULTI and EXEC"),
        }
    }

    /// Has parts on keys of one slot of the strong database carried out as one batch.
    fn together(
        &mut self,
        place: Place,
        (slot, watched): (u32, &[Watched]),
        shape: Shape,
        parts: &[Part<'_>],
        reply: &mut ReplyWriter<'_>,
    ) -> Done {
        let watches = watched.iter().map(|watched| (&watched.key[..], watched.version));
        let mut builder = Builder::new(watches);
        for part in parts {
            part.push(&mut builder);
            if builder.size() > BATCH_SIZE_MAX {
                reply.error(TOO_LARGE);
                return Done::Now(None);
            }
        }
        if !parts.iter().all(Part::is_read) {
            self.ever.note(place.db);
        }
        self.stats.load.on_begun(place.db);
        self.asked.on_begun(self.now.mono, place.ticket, place.db);
        let expected = parts.iter().map(|part| self.expected_of(place.db, part)).sum();
        let gather = self.gathers.begin_together((self.link, place.ticket), shape, parts.len());
        let origin = Origin::Part { gather, index: 0 };
        self.submit_batch(origin, builder, slot);
        Done::Later(expected)
    }

    /// Has the parts of a transaction carried out one behind the other.
    fn one_by_one(
        &mut self,
        place: Place,
        shape: Shape,
        parts: &[Part<'_>],
        reply: &mut ReplyWriter<'_>,
    ) -> Done {
        if parts.is_empty() {
            shape.write(&[], reply);
            self.count(shape.counts(&[]));
            return Done::Now(None);
        }
        if !parts.iter().all(Part::is_read) {
            self.ever.note(place.db);
        }
        self.stats.load.on_begun(place.db);
        if place.db == Db::EVENTUAL {
            let (mut answers, mut batch) = (Vec::new(), None);
            for part in parts {
                let Part::Step(Step::Op(op)) = part else { continue };
                answers.push(self.local(place.db, op));
                batch = batch.max(self.replica.journal.wait_for_key(place.db, op.key));
            }
            shape.write(&answers, reply);
            self.count(shape.counts(&answers));
            let batch = batch.filter(|_| !planted(Mutant::ExecAnsweredEarly));
            return Done::Now(batch.map(Wait::Durable));
        }
        self.asked.on_begun(self.now.mono, place.ticket, place.db);
        // None of them may overtake another one of its key.
        let mut place = place;
        place.behind = !planted(Mutant::ExecOvertakes);
        let gather = self.gathers.begin_shaped((self.link, place.ticket), shape, parts.len());
        let mut expected = 0;
        for (index, part) in parts.iter().enumerate() {
            let origin = Origin::Part { gather, index: index as u32 };
            expected += self.expected_of(place.db, part);
            match part {
                Part::Step(Step::Op(op)) => self.submit(place, origin, op),
                Part::SetAll(_) | Part::Step(_) => {
                    // Those of several slots were refused when the plan was made.
                    let slot = part.slot(self.replica.store.slots()).unwrap_or_default();
                    let mut builder = Builder::new(std::iter::empty());
                    part.push(&mut builder);
                    self.submit_batch(origin, builder, slot);
                }
            }
        }
        Done::Later(expected)
    }

    /// Counts the requests of a transaction that is answered at once.
    fn count(&mut self, counts: Option<Counts>) {
        if let Some(counts) = counts {
            self.stats.count_each(self.now.mono, self.observer, &counts);
        }
    }

    /// WATCH: the versions that its keys have.
    fn watch(&mut self, place: Place, keys: Args<'_>, reply: &mut ReplyWriter<'_>) -> Done {
        let parts: Vec<Part<'_>> = keys.iter().map(|key| Part::Step(Step::Watch { key })).collect();
        let slot = one_slot(keys.iter(), self.replica.store.slots());
        match slot {
            _ if place.db != Db::STRONG => reply.error(needs_strong("WATCH")),
            Some(slot) => {
                let shape = Shape::Watch(keys.iter().map(Into::into).collect());
                return self.together(place, (slot, &[]), shape, &parts, reply);
            }
            None => reply.error(CROSS_SLOT),
        }
        Done::Now(None)
    }

    /// COPY, RENAME, RENAMENX.
    fn copy(
        &mut self,
        place: Place,
        (name, how): (&str, How),
        (from, to): (&[u8], &[u8]),
        reply: &mut ReplyWriter<'_>,
    ) -> Done {
        let part = Part::Step(Step::Copy { from, to, how });
        let crosses = part.slot(self.replica.store.slots()).is_none();
        if crosses && how == How::Move && place.db == Db::STRONG {
            self.ever.note(place.db);
            self.stats.load.on_begun(place.db);
            self.asked.on_begun(self.now.mono, place.ticket, place.db);
            let number = self.moves.begin((self.link, place.ticket), from, to);
            let slot = Slot::of(from, self.replica.store.slots()).0;
            self.submit_batch(Origin::Move { number }, moves::read(from), slot);
            // What follows must see all of it.
            return Done::Alone(0);
        }
        self.alone(place, name, part, reply)
    }

    /// One part that must take effect at one moment.
    fn alone(
        &mut self,
        place: Place,
        name: &str,
        part: Part<'_>,
        reply: &mut ReplyWriter<'_>,
    ) -> Done {
        match part.slot(self.replica.store.slots()) {
            _ if place.db != Db::STRONG => reply.error(needs_strong(name)),
            Some(slot) => {
                let shape = Shape::Joined(Join::One);
                return self.together(place, (slot, &[]), shape, &[part], reply);
            }
            None => reply.error(CROSS_SLOT),
        }
        Done::Now(None)
    }

    /// EVAL and EVALSHA.
    fn eval(
        &mut self,
        place: Place,
        script: Script<'_>,
        (keys, operands): (Args<'_>, Args<'_>),
        reply: &mut ReplyWriter<'_>,
    ) -> Done {
        match self.lock_op(place, script, keys, operands) {
            Ok(op) => self.op(place, "EVAL", &op, reply),
            Err(error) => {
                reply.error(error);
                Done::Now(None)
            }
        }
    }

    /// The operation that a script comes to.
    fn lock_op<'a>(
        &mut self,
        place: Place,
        script: Script<'_>,
        keys: Args<'a>,
        operands: Args<'a>,
    ) -> Result<Op<'a>, String> {
        let lock: Lock = match script {
            Script::Hash(digits) => {
                self.scripts.of(digits).ok_or_else(|| script::NO_SCRIPT.to_owned())?
            }
            Script::Text(text) => self.scripts.learn(text, self.scripts_max)?.0,
        };
        if place.db != Db::STRONG {
            return Err(needs_strong("EVAL"));
        }
        let action = lock.action(keys, operands).map_err(|unfit| unfit.error().to_owned())?;
        Ok(Op::new(keys.get(0).unwrap_or_default(), action))
    }

    /// SCRIPT.
    fn script(&mut self, ask: ScriptAsk<'_>, reply: &mut ReplyWriter<'_>) {
        match ask {
            ScriptAsk::Exists { hashes } => {
                reply.array(hashes.len());
                for digits in hashes.iter() {
                    reply.integer(i64::from(self.scripts.of(digits).is_some()));
                }
            }
            ScriptAsk::Flush => {
                self.scripts.clear();
                reply.ok();
            }
            ScriptAsk::Load { text } => match self.scripts.learn(text, self.scripts_max) {
                Ok((_, hash)) => {
                    let digits: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
                    reply.bulk(digits.as_bytes());
                }
                Err(error) => reply.error(error),
            },
        }
    }

    /// Bytes that the answers to a part will have, as far as this node's copy tells.
    fn expected_of(&self, db: Db, part: &Part<'_>) -> usize {
        match part {
            Part::Step(Step::Op(op)) => self.expected(db, op),
            Part::SetAll(_) | Part::Step(_) => 0,
        }
    }
}

/// SET as MSET does it.
pub(super) const fn plain_set(value: &[u8]) -> Action<'_> {
    let (condition, reply) = (Condition::Always, SetReply::Outcome);
    Action::Set { value, condition, reply, expiry: Expiry::Never }
}

/// Why a command is not for databases 1 and 2.
pub(super) fn needs_strong(name: &str) -> String {
    format!("ERR {name} reads before it writes and needs the strong database (SELECT 0)")
}
