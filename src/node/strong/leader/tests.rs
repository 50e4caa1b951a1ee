//! What a leader knows of its slots.

use super::*;
use crate::log::Batch;

/// Only of such a slot may a member be told that its copies are as good as accepted.
#[test]
fn a_slot_is_settled_when_no_key_of_it_is_in_doubt_or_in_flight() {
    let mut leader = Leader::new(NodeId(0), 3, 2, 3);
    let doubt = Unsettled::new([(b"key"[..].into(), None)].into(), false);
    for (slot, unsettled) in
        [doubt, Unsettled::default(), Unsettled::default()].into_iter().enumerate()
    {
        leader.win(slot as u32, unsettled);
    }
    let (version, origin) = (Version::accepted(Ballot::new(1, NodeId(0)), 1), Origin::Nobody);
    let (key, answer, deadline) = (b"key"[..].into(), Answer::Ok, Instant::ZERO);
    let write =
        Write { slot: 2, key_hash: 0, key, version, origin, answer, deadline, together: None };
    leader.flights.launch(write, Batch(1));
    assert_eq!([0, 1, 2].map(|slot| leader.is_settled(slot)), [false, true, false]);
    // Absent keys in doubt are settled by that, not before it.
    leader.win(1, Unsettled::new(BTreeMap::new(), true));
    assert!(leader.is_settled(1));
}
