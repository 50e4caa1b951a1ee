//! What a node goes by a majority's holding is held by one, from then on.
//!
//! A leader answers a write when a majority has acknowledged it, a quorum write and a quorum read are
//! answered when one has what they show, and a member reads from its copy what others hold too. In that
//! moment, and whenever a member begins to vote again, so few voters may lack the version that those who
//! are left are a majority with those that are down: a member that is down may have it on its disk, and
//! one that has lost something votes only when it has all again.
//!
//! Of those whose votes made up the majority each one that votes holds it: what was counted is what a
//! member has said in its present life, of the present session. And what a reader takes for accepted is
//! no copy there, unless that member has begun to vote again since it was asked.
//!
//! What a member that may have lost something holds in the strong database when it has recovered, others
//! have shown it; so one of them holds that too, or something newer, unless all those are down that did.
//!
//! Nor does a voter lose a value of that database while it lives, unless a leader has taken out a tombstone
//! that is newer.
//!
//! A key about which somebody holds a tombstone, a value that ends or a flush is let alone: once all have
//! got those they may be gone. So is one that a node has taken out, until it is written again.

use std::collections::BTreeMap;

use quorate::{
    probe::claims::{Claim, Says},
    record::Db,
    store::Store,
};

use super::{DbKey, Failure};

const ORACLE: &str = "held";

/// What nodes have gone by.
#[derive(Debug, Default)]
pub struct Majorities {
    /// The newest version of each key, if it is a value that stays, and who went by it.
    claims: BTreeMap<DbKey, (u128, usize)>,
    /// The newest tombstone of each key of the strong database that a leader has taken out.
    taken_out: BTreeMap<Vec<u8>, u128>,
    /// The values of that database that each voter held at the last look, in its present life, and their
    /// digest.
    values: BTreeMap<usize, (u128, BTreeMap<Vec<u8>, u128>)>,
}

/// Those that vote, of a cluster.
#[derive(Clone, Copy, Debug)]
pub struct Voters<'a> {
    /// What each of them that is up holds, by node.
    pub stores: &'a [(usize, &'a Store)],
    /// How many of them may lack what a majority holds.
    pub lacking_max: usize,
    /// Those of them, a bit each, whose record of the key that is asked about is a copy, and has been since
    /// before anybody asks for it now.
    pub copies: u64,
}

impl Majorities {
    /// So many have lost something at once that a majority need not hold anything any more.
    pub fn forget(&mut self) {
        self.claims.clear();
    }

    /// A node goes by this.
    ///
    /// # Errors
    /// Who lacks it.
    pub fn on_claim(
        &mut self,
        node: usize,
        claim: Claim,
        voters: Voters<'_>,
    ) -> Result<(), Failure> {
        let Claim { db, key, version, says } = claim;
        let name = (db, key);
        if says == Says::AbsentSince {
            let newest = self.taken_out.get(&name.1).filter(|newest| **newest > version);
            return newest.map_or(Ok(()), |newest| {
                let detail = format!(
                    "n{node} went by its absence since {version:x}, and {newest:x} was taken out"
                );
                Err(Failure::of_key(ORACLE, name.0, &name.1, detail))
            });
        }
        if matches!(says, Says::Told | Says::Unlike(_)) {
            return Ok(());
        }
        if says == Says::TakenOut {
            self.claims.remove(&name);
            if db == Db::STRONG.number() {
                let newest = self.taken_out.entry(name.1).or_default();
                *newest = version.max(*newest);
            }
            return Ok(());
        }
        if version == 0 || self.claims.get(&name).is_some_and(|(newest, _)| *newest > version) {
            return Ok(());
        }
        let own = voters.stores.iter().find(|(at, _)| *at == node);
        let own = own.zip(Db::ALL.get(usize::from(name.0)));
        let own = own.and_then(|((_, store), db)| store.get(*db, &name.1));
        // What it was cannot be told any more if something newer has come.
        let stays = own.is_some_and(|record| {
            let lasts = record.value.is_some() && record.expires_at_ms.is_none();
            lasts && record.version.to_bits() <= version
        });
        if !stays {
            self.claims.remove(&name);
            return Ok(());
        }
        if let Says::HeldBy(members) | Says::AcceptedBy(members) = says {
            let copies = if matches!(says, Says::AcceptedBy(_)) { voters.copies } else { 0 };
            return judge_each(&name, (version, node), members, Voters { copies, ..voters });
        }
        let judged = judge(&name, (version, node), voters);
        self.claims.insert(name, (version, node));
        judged
    }

    /// A member has recovered what the strong database holds, and all others are up: `stores` has what each
    /// node holds.
    ///
    /// # Errors
    /// What nobody else holds.
    pub fn on_recovered(node: usize, stores: &[(usize, &Store)]) -> Result<(), Failure> {
        let Some((_, own)) = stores.iter().find(|(at, _)| *at == node) else { return Ok(()) };
        let others = || stores.iter().filter(|(at, _)| *at != node);
        for record in own.records(Db::STRONG).filter(|record| record.value.is_some()) {
            let known = |(_, store): &(usize, &Store)| {
                let held = store.get(Db::STRONG, record.key);
                held.is_some_and(|held| held.version >= record.version)
            };
            if others().count() > 0 && !others().any(known) {
                let version = record.version.to_bits();
                let detail =
                    format!("n{node} has recovered and holds {version:x}, as nobody else does");
                return Err(Failure::of_key(ORACLE, Db::STRONG.number(), record.key, detail));
            }
        }
        Ok(())
    }

    /// Looks at what a voter holds in the strong database.
    ///
    /// # Errors
    /// What it has lost.
    pub fn look(&mut self, node: usize, store: &Store) -> Result<(), Failure> {
        let flushed = store.flushed(Db::STRONG).to_bits();
        let digest = store.digest(Db::STRONG, 0, store.slots());
        let (known, held) = self.values.entry(node).or_default();
        if std::mem::replace(known, digest) == digest {
            return Ok(());
        }
        let (taken_out, mut lost) = (&self.taken_out, None);
        held.retain(|key, version| {
            let record = store.get(Db::STRONG, key);
            let gone = record.is_none() && *version > flushed;
            if gone && taken_out.get(key).is_none_or(|newest| *newest < *version) {
                lost.get_or_insert_with(|| (key.clone(), *version));
            }
            record.is_some_and(|record| record.value.is_some())
        });
        for record in store.records(Db::STRONG).filter(|record| record.value.is_some()) {
            let version = record.version.to_bits();
            match held.get_mut(record.key) {
                Some(before) => *before = version,
                None => {
                    held.insert(record.key.to_vec(), version);
                }
            }
        }
        lost.map_or(Ok(()), |(key, version)| {
            let detail =
                format!("n{node} held {version:x}, and nobody has taken out anything newer");
            Err(Failure::of_key(ORACLE, Db::STRONG.number(), &key, detail))
        })
    }

    /// A node does not vote, or its life is over: what it held may be replaced, or gone.
    pub fn look_away(&mut self, node: usize) {
        self.values.remove(&node);
    }

    /// A member votes that did not.
    ///
    /// # Errors
    /// Who lacks what a majority held.
    pub fn on_voting(&self, voters: Voters<'_>) -> Result<(), Failure> {
        self.claims.iter().try_for_each(|(name, claim)| judge(name, *claim, voters))
    }
}

fn judge(
    (number, key): &DbKey,
    (version, by): (u128, usize),
    voters: Voters<'_>,
) -> Result<(), Failure> {
    let Some(db) = Db::ALL.get(usize::from(*number)).copied() else { return Ok(()) };
    let (mut lacking, mut held, mut may_go) = (Vec::new(), false, false);
    for (node, store) in voters.stores {
        let record = store.get(db, key);
        let newest = record.map_or(0, |record| record.version.to_bits());
        may_go |= store.flushed(db).to_bits() >= version
            || record.is_some_and(|r| r.value.is_none() || r.expires_at_ms.is_some());
        held |= newest >= version;
        if newest < version {
            lacking.push(format!("n{node}"));
        }
    }
    // Where nobody has a trace of it, what deleted it is gone, too.
    if may_go || !held || lacking.len() <= voters.lacking_max {
        return Ok(());
    }
    let detail =
        format!("n{by} went by a majority's holding {version:x}; {} lack it", lacking.join(", "));
    Err(Failure::of_key(ORACLE, *number, key, detail))
}

/// Whether each of these members that votes holds it.
fn judge_each(
    (number, key): &DbKey,
    (version, by): (u128, usize),
    members: u64,
    voters: Voters<'_>,
) -> Result<(), Failure> {
    let Some(db) = Db::ALL.get(usize::from(*number)).copied() else { return Ok(()) };
    let mut wrong = Vec::new();
    for (node, store) in voters.stores.iter().filter(|(node, _)| members >> node & 1 == 1) {
        let record = store.get(db, key);
        let newest = record.map_or(0, |record| record.version.to_bits());
        if store.flushed(db).to_bits() >= version
            || record.is_some_and(|r| r.value.is_none() || r.expires_at_ms.is_some())
        {
            return Ok(());
        }
        if newest < version {
            wrong.push(format!("n{node} holds {newest:x}"));
        } else if newest == version && voters.copies >> node & 1 == 1 {
            wrong.push(format!("n{node} has a copy of it"));
        }
    }
    if wrong.is_empty() {
        return Ok(());
    }
    let detail = format!("n{by} counted votes for {version:x}, and {}", wrong.join(", "));
    Err(Failure::of_key(ORACLE, *number, key, detail))
}

#[cfg(test)]
mod tests {
    use quorate::record::{Record, Version};

    use super::*;

    fn holding(db: Db, version: u128, value: Option<&[u8]>) -> Store {
        let mut store = Store::new(1, 0, 0);
        let version = Version::from_bits(version);
        let record = Record { db, key: b"k", version, expires_at_ms: None, value };
        if version != Version::NONE {
            assert!(store.merge(&record));
        }
        store
    }

    fn store(version: u128, value: Option<&[u8]>) -> Store {
        holding(Db::QUORUM, version, value)
    }

    fn strong(version: u128, value: Option<&[u8]>) -> Store {
        holding(Db::STRONG, version, value)
    }

    fn claim(version: u128) -> Claim {
        Claim { db: 1, key: b"k".to_vec(), version, says: Says::HeldByMajority }
    }

    fn of_three<'a>(stores: &'a [(usize, &'a Store)]) -> Voters<'a> {
        Voters { stores, lacking_max: 1, copies: 0 }
    }

    #[test]
    fn a_minority_may_lack_it_and_who_is_down_or_does_not_vote() {
        let (old, new, newer) = (store(4, Some(b"a")), store(5, Some(b"b")), store(6, Some(b"c")));
        let mut majorities = Majorities::default();
        for stores in [&[(0, &new), (1, &old), (2, &newer)][..], &[(0, &new), (2, &old)]] {
            assert_eq!(majorities.on_claim(0, claim(5), of_three(stores)), Ok(()));
        }
        let nothing = store(0, None);
        for other in [&old, &nothing] {
            let stores = [(0, &new), (1, &old), (2, other)];
            let failure = majorities.on_claim(0, claim(5), of_three(&stores)).expect_err("too few");
            assert!(failure.detail.contains("n1, n2 lack it"), "{}", failure.detail);
        }
    }

    #[test]
    fn whose_vote_is_counted_holds_it() {
        let (old, new, newer) = (store(4, Some(b"a")), store(5, Some(b"b")), store(6, Some(b"c")));
        let stores = [(0, &new), (1, &newer), (2, &old)];
        let mut majorities = Majorities::default();
        let mut judge = |says, copies| {
            let voters = Voters { copies, ..of_three(&stores) };
            majorities.on_claim(0, Claim { says, ..claim(5) }, voters).map_err(|f| f.detail)
        };
        for good in [Says::HeldBy(0b0011), Says::HeldBy(0b1001), Says::AcceptedBy(0b0011)] {
            assert_eq!(judge(good, 0b0010), Ok(()), "n1 holds something newer, n3 does not vote");
        }
        let wrong = judge(Says::HeldBy(0b0111), 0).expect_err("n2 does not hold it");
        assert!(wrong.contains("n2 holds 4"), "{wrong}");
        assert_eq!(judge(Says::HeldBy(0b0001), 0b0001), Ok(()), "a copy counts as held");
        let wrong = judge(Says::AcceptedBy(0b0001), 0b0001).expect_err("n0 has a copy");
        assert!(wrong.contains("n0 has a copy"), "{wrong}");
    }

    #[test]
    fn it_must_still_be_so_when_a_member_votes_again() {
        let (old, new) = (store(4, Some(b"a")), store(5, Some(b"b")));
        let mut majorities = Majorities::default();
        let before = [(0, &new), (2, &old)];
        assert_eq!(majorities.on_claim(0, claim(5), of_three(&before)), Ok(()));
        let after = [(0, &new), (1, &old), (2, &old)];
        assert!(majorities.on_voting(of_three(&after)).is_err());
        let claimed = majorities.on_claim(1, claim(4), of_three(&after));
        assert_eq!(claimed, Ok(()), "an older one tells nothing new");
        assert!(majorities.on_voting(of_three(&after)).is_err());
        majorities.forget();
        assert_eq!(majorities.on_voting(of_three(&after)), Ok(()));
    }

    #[test]
    fn a_value_goes_only_after_a_newer_tombstone() {
        let taken_out = |version| Claim { db: 0, says: Says::TakenOut, ..claim(version) };
        let (value, dead, nothing) = (strong(5, Some(b"v")), strong(6, None), store(0, None));
        let mut majorities = Majorities::default();
        for held in [&value, &dead, &nothing, &value] {
            assert_eq!(majorities.look(1, held), Ok(()));
        }
        let stale = majorities.on_claim(0, taken_out(4), of_three(&[]));
        assert_eq!((stale, majorities.look(1, &nothing).is_err()), (Ok(()), true));
        assert_eq!(majorities.look(1, &value), Ok(()));
        assert_eq!(majorities.on_claim(0, taken_out(6), of_three(&[])), Ok(()));
        assert_eq!(majorities.look(1, &nothing), Ok(()));
        assert_eq!(majorities.look(2, &strong(7, Some(b"v"))), Ok(()));
        majorities.look_away(2);
        assert_eq!(majorities.look(2, &nothing), Ok(()));
    }

    #[test]
    fn what_a_member_recovers_another_one_has() {
        let value = |version| strong(version, Some(b"v"));
        let (mine, same, older, nothing) = (value(5), value(5), value(4), store(0, None));
        let recovered = |other| Majorities::on_recovered(0, &[(0, &mine), (1, other), (2, &older)]);
        assert_eq!(recovered(&same), Ok(()));
        assert!(recovered(&nothing).is_err_and(|failure| failure.detail.contains("nobody else")));
        assert_eq!(Majorities::on_recovered(0, &[(0, &mine)]), Ok(()), "there is nobody else");
    }

    #[test]
    fn what_was_deleted_may_be_gone() {
        let (new, dead, nothing) = (store(5, Some(b"b")), store(6, None), store(0, None));
        let mut majorities = Majorities::default();
        let all = [(0, &new), (1, &new), (2, &new)];
        assert_eq!(majorities.on_claim(0, claim(5), of_three(&all)), Ok(()));
        let removing = [(0, &nothing), (1, &dead), (2, &dead)];
        let taken_out = Claim { says: Says::TakenOut, ..claim(6) };
        assert_eq!(majorities.on_claim(0, taken_out, of_three(&removing)), Ok(()));
        let again = [(0, &store(7, Some(b"c"))), (1, &nothing), (2, &nothing)];
        assert_eq!(
            majorities.on_voting(of_three(&again)),
            Ok(()),
            "the tombstone was known to all"
        );
        let deleted = [(0, &new), (1, &nothing), (2, &dead)];
        let gone = [(0, &nothing), (1, &nothing), (2, &nothing)];
        for stores in [deleted, gone] {
            assert_eq!(majorities.on_claim(0, claim(5), of_three(&stores)), Ok(()));
        }
    }
}
