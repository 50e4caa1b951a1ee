//! What a leader remembers of its members, and when it asks them.

use super::*;

#[test]
fn graves_are_bounded_and_end_with_the_reign() {
    let mut upkeep = Upkeep::default();
    let version = Version::accepted(Ballot::new(1, NodeId(0)), 1);
    for n in 0..=GRAVES_MAX {
        upkeep.on_tombstone(3, &n.to_le_bytes(), version);
    }
    assert_eq!(upkeep.graves.get(&3).map(BTreeMap::len), Some(GRAVES_MAX));
    assert_eq!(upkeep.searches, [3], "the others are found by a search");
    let mut lost = SlotSet::new(8);
    lost.insert(3);
    upkeep.on_lost(&lost);
    assert!(upkeep.graves.is_empty() && upkeep.searches.is_empty());
}

#[test]
fn the_next_survey_waits_for_the_answers_to_the_last_one_but_not_for_ever() {
    let [due, until] = [1, 9].map(|ms| Instant::ZERO + Millis(ms));
    let slow = NodeId(1);
    let waiting = BTreeMap::from([(slow, 1)]);
    let (messages, same) = (Vec::new(), BTreeMap::new());
    let round = Round { first_id: 1, messages, same, seq: 0, own: None, waiting, until };
    let mut upkeep = Upkeep { next_at: Some(due), ..Upkeep::default() };
    assert_eq!(upkeep.next_timer(), Some(due));
    upkeep.round = Some(round);
    assert_eq!(upkeep.next_timer(), Some(until));
    upkeep.on_peer_lost(slow);
    assert_eq!(upkeep.next_timer(), Some(due));
}
