//! RENAME from one slot to another: no leader sees both, so it goes in three steps.
//!
//! The value is read with its end and version, written under the new name, and then deleted under
//! the old one, unless that was written meanwhile. Others may see both names for a while. Once the
//! second step was asked for, only its refusal is a refusal: whatever else keeps the name from being
//! moved leaves the client in doubt, for the new name may hold the value by then.

use std::collections::BTreeMap;

use super::{
    LinkId, Node,
    strong::{
        Ctx, Strong,
        request::{IN_DOUBT, Origin},
    },
};
use crate::{
    command::{
        batch::{self, Builder, Step},
        op::{Action, Answer, Condition, Expiry, Op, SetReply, TimeForm},
    },
    conn::Ticket,
    record::Version,
    slot::Slot,
    time::Now,
};

const NO_SUCH_KEY: &str = "ERR no such key";
/// Somebody has written the old name after it was read.
const CHANGED: &str = "INDOUBT the key was written while it was renamed: the new name has what it \
    held before, and it still exists; names that share a part in braces are renamed at one moment";

/// Renamings under way.
#[derive(Clone, Debug, Default, Hash)]
pub(crate) struct Moves {
    open: BTreeMap<u64, Move>,
    last: u64,
}

#[derive(Clone, Debug, Hash)]
struct Move {
    link: LinkId,
    ticket: Ticket,
    from: Box<[u8]>,
    to: Box<[u8]>,
    stage: Stage,
}

/// What the next answer is to.
#[derive(Clone, Copy, Debug, Hash)]
enum Stage {
    Deleting,
    Reading,
    Writing { version: Version },
}

impl Moves {
    /// A renaming that begins with [`read`]; its number.
    pub(crate) fn begin(
        &mut self,
        (link, ticket): (LinkId, Ticket),
        from: &[u8],
        to: &[u8],
    ) -> u64 {
        self.last += 1;
        let (from, to) = (from.into(), to.into());
        self.open.insert(self.last, Move { link, ticket, from, to, stage: Stage::Reading });
        self.last
    }
}

/// The batch that reads what is to have another name.
pub(super) fn read(from: &[u8]) -> Builder {
    let mut builder = Builder::new(std::iter::empty());
    let form = TimeForm { millis: true, absolute: true };
    builder.push(&Step::Watch { key: from });
    builder.push(&Step::Op(Op::new(from, Action::Get)));
    builder.push(&Step::Op(Op::new(from, Action::Ttl { form })));
    builder
}

impl Node {
    /// What a step came to: on with the next one, or the reply.
    pub(super) fn on_move(&mut self, now: Now, number: u64, answer: Answer<'static>) {
        let Some(mut open) = self.moves.open.remove(&number) else { return };
        let origin = Origin::Move { number };
        let slots = self.slots;
        let (strong, mut ctx) = self.strong(now);
        let outcome = match open.stage {
            Stage::Reading => write(strong, &mut ctx, origin, &open, &answer).map(|version| {
                open.stage = Stage::Writing { version };
            }),
            Stage::Writing { version } if answer == Answer::Ok => {
                let mut builder = Builder::new(std::iter::once((&open.from[..], version)));
                builder.push(&Step::Op(Op::new(&open.from, Action::Delete)));
                let slot = Slot::of(&open.from, slots).0;
                strong.submit_batch(&mut ctx, origin, builder.finish(), slot);
                open.stage = Stage::Deleting;
                Ok(())
            }
            Stage::Writing { .. } => Err(answer),
            Stage::Deleting => Err(match answer {
                Answer::List(_) => Answer::Ok,
                Answer::NilList => Answer::Error(CHANGED.into()),
                _ => IN_DOUBT,
            }),
        };
        match outcome {
            Ok(()) => {
                self.moves.open.insert(number, open);
            }
            Err(answer) => {
                self.time(now, open.link, open.ticket);
                self.reply(open.link, open.ticket, |reply| answer.write(reply));
            }
        }
    }
}

/// Gives what was read its other name; the version that was read. Otherwise the reply.
fn write(
    strong: &mut Strong,
    ctx: &mut Ctx<'_>,
    origin: Origin,
    open: &Move,
    read: &Answer<'_>,
) -> Result<Version, Answer<'static>> {
    let Answer::List(parts) = read else { return Err(read.clone().into_owned()) };
    let (version, value, end) = match &parts[..] {
        [version, Answer::Bulk(value), Answer::Integer(end)] => (version, value, *end),
        _ => return Err(Answer::Error(NO_SUCH_KEY.into())),
    };
    let version = batch::watched(version).ok_or(IN_DOUBT)?;
    let expiry = if end < 0 { Expiry::Never } else { Expiry::At(end) };
    let (condition, reply) = (Condition::Always, SetReply::Outcome);
    let set = Action::Set { value, condition, reply, expiry };
    strong.submit(ctx, origin, &Op::new(&open.to, set), false);
    Ok(version)
}
