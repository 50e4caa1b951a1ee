//! Operations on this node's copy: all of the eventual database, and reads that READONLY allows.

use super::{Node, client::CLOCK_REFUSED, eventual::Replica, peers::Peers};
use crate::{
    command::op::{Action, Answer, Held, Op},
    node::strong::{Ctx, request::Origin},
    probe::{Mutant, planted},
    record::Db,
    time::Now,
};

/// What an operation comes to on this node's copy. What it changes the peers are told.
pub(super) fn carry_out(
    now: Now,
    (replica, peers): (&mut Replica, &mut Peers),
    clock_refused: bool,
    db: Db,
    op: &Op<'_>,
) -> Answer<'static> {
    if !op.is_read() && clock_refused {
        return Answer::Error(CLOCK_REFUSED.into());
    }
    match op.action {
        Action::Set { value, expiry, .. } => {
            if let Some(expires_at_ms) = expiry.unheld(now.wall_ms) {
                let record = replica.set(now, db, op.key, value, expires_at_ms);
                peers.iter_mut().for_each(|peer| {
                    peer.outbox.push_record(record);
                });
            } else {
                delete(now, (replica, peers), db, op.key);
            }
            Answer::Ok
        }
        Action::Delete => Answer::Integer(i64::from(delete(now, (replica, peers), db, op.key))),
        _ => {
            debug_assert!(op.is_read(), "others are for the strong database");
            let record = replica.store.get(db, op.key);
            let wall_ms = if planted(Mutant::ExpiredCopyShown) { 0 } else { now.wall_ms };
            let held = record.and_then(|record| Held::of(&record, wall_ms));
            let answer = op.apply(held, now.wall_ms).1.into_owned();
            if planted(Mutant::ExpiredDroppedByReader) {
                drop_expired(now, replica, db, op.key);
            }
            answer
        }
    }
}

/// Deletes a key of this node's copy, and tells the peers. Whether it was there.
fn delete(now: Now, (replica, peers): (&mut Replica, &mut Peers), db: Db, key: &[u8]) -> bool {
    let Some(record) = replica.delete(now, db, key) else { return false };
    peers.iter_mut().for_each(|peer| {
        peer.outbox.push_record(record);
    });
    true
}

/// The planted bug: what a reader does not see any more is gone.
fn drop_expired(now: Now, replica: &mut Replica, db: Db, key: &[u8]) {
    let held = replica.store.get(db, key).filter(|record| record.value.is_some());
    let over = held.filter(|record| record.visible(now.wall_ms).is_none());
    if let Some(version) = over.map(|record| record.version) {
        replica.remove(db, key, version);
    }
}

/// How a part of a command on many keys is carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Way {
    /// By this node's copy.
    Copy,
    /// By whoever may; `fast` as [`crate::node::strong::Strong::submit`] has it.
    Majority { fast: bool },
}

impl Node {
    /// Begins one part of a command on many keys.
    pub(super) fn begin_part(
        &mut self,
        now: Now,
        (db, way): (Db, Way),
        (gather, index): (u64, u32),
        op: &Op<'_>,
    ) {
        let origin = Origin::Part { gather, index };
        let clock_refused = way == Way::Copy && self.peers.find_us_ahead();
        let Self { strong, quorum, replica, peers, rng, gathers, .. } = self;
        match way {
            Way::Copy => {
                let answer = carry_out(now, (replica, peers), clock_refused, db, op);
                // Its last part is the end of all of them.
                let joined = gathers.on_part(gather, index, answer);
                debug_assert!(joined.is_none(), "answered when the log has all of it");
            }
            Way::Majority { fast } if db == Db::STRONG => {
                strong.submit(&mut Ctx { now, replica, peers, rng }, origin, op, fast);
            }
            Way::Majority { .. } => {
                quorum.submit(&mut Ctx { now, replica, peers, rng }, origin, op);
            }
        }
    }
}
