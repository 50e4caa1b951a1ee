//! Rows, donors and lives, without any node.

use super::*;

const MEMBERS: usize = 3;

fn mark(hlc: u64) -> Mark {
    Mark { life: 1, hlc }
}

fn told(begins: bool, floor: Option<u64>) -> Told {
    let lives = if floor.is_some() { vec![1; MEMBERS] } else { Vec::new() };
    let hlc = floor.unwrap_or(0);
    Told { begins, sound: floor.is_some(), clock: hlc + 5, floor: Floor { hlc, lives } }
}

/// Member 0 of three, whom all others have shown what they hold.
fn whole() -> Floors {
    let mut floors = Floors::new(NodeId(0), MEMBERS);
    floors.begin_life(1);
    for other in [1, 2].map(NodeId) {
        floors.on_told(other, told(true, None), false);
        assert_eq!(floors.poll_whole(), None);
        floors.on_shown(other);
    }
    assert_eq!(floors.poll_whole(), Some(Some(0)));
    floors
}

fn none_over(_: NodeId, _: u64) -> bool {
    false
}

fn stamp(hlc: u64, life: u64) -> Version {
    Version::stamp(hlc, NodeId(1), life)
}

#[test]
fn the_floor_is_the_least_mark_of_all_rows() {
    let mut floors = whole();
    (0..3).for_each(|origin| floors.on_mark(NodeId(origin), mark(50), None));
    assert_eq!(floors.reach(none_over).hlc, 0, "no row of the others");
    floors.on_row(NodeId(1), 1, vec![mark(70), mark(40), mark(60)]);
    floors.on_row(NodeId(2), 1, vec![mark(45), mark(60), mark(90)]);
    let reach = floors.reach(none_over);
    assert_eq!((reach.hlc, &reach.lives[..]), (40, &[1; 3][..]));
    assert!(floors.raise(reach.clone()) && !floors.raise(reach));
    assert_eq!(floors.slowest(), Some(NodeId(0)));
    assert!(floors.is_dead(stamp(40, 1)) && !floors.is_dead(stamp(41, 1)));
    assert!(!floors.is_dead(stamp(40, 2)), "of a life that promised nothing");
}

#[test]
fn marks_count_when_they_are_durable() {
    let mut floors = whole();
    floors.on_mark(NodeId(1), mark(50), Some(Batch(3)));
    floors.on_mark(NodeId(1), mark(60), Some(Batch(3)));
    floors.on_mark(NodeId(1), mark(70), Some(Batch(4)));
    floors.on_durable(Batch(2));
    assert_eq!(floors.row()[1].hlc, 0);
    floors.on_durable(Batch(3));
    assert_eq!(floors.row()[1].hlc, 60);
    assert_eq!(floors.pending.len(), 1);
}

#[test]
fn a_row_of_an_earlier_life_counts_no_more() {
    let mut floors = whole();
    (0..3).for_each(|origin| floors.on_mark(NodeId(origin), mark(50), None));
    (1..3).for_each(|from| floors.on_row(NodeId(from), 1, vec![mark(50); 3]));
    assert_eq!(floors.reach(none_over).hlc, 50);
    assert_eq!(floors.reach(|member, life| (member.0, life) == (2, 1)).hlc, 0);
    floors.on_life(NodeId(2), 2);
    assert_eq!(floors.reach(none_over).hlc, 0);
    floors.on_row(NodeId(2), 1, vec![mark(50); 3]);
    assert_eq!(floors.reach(none_over).hlc, 0, "it came too late");
    floors.on_row(NodeId(2), 2, vec![mark(50); 3]);
    assert_eq!(floors.reach(none_over).hlc, 50);
}

#[test]
fn a_walk_that_skipped_something_is_none() {
    let mut floors = whole();
    floors.on_told(NodeId(1), told(true, None), false);
    floors.on_skipped(NodeId(1));
    floors.on_shown(NodeId(1));
    floors.on_mark(NodeId(1), mark(50), None);
    assert_eq!(floors.row()[1].hlc, 0);
    floors.on_told(NodeId(1), told(true, None), false);
    floors.on_shown(NodeId(1));
    floors.on_mark(NodeId(1), mark(50), None);
    assert_eq!(floors.row()[1].hlc, 50);
}

#[test]
fn who_lost_its_data_takes_table_and_floor_of_one_donor() {
    let mut floors = Floors::new(NodeId(0), MEMBERS);
    assert!(floors.is_clean(), "nobody has a floor");
    assert_eq!(floors.on_told(NodeId(1), told(false, Some(80)), false), News::None);
    assert!(!floors.is_clean());
    assert_eq!(floors.on_told(NodeId(1), told(true, Some(80)), false), News::Donor);
    assert!(floors.refuses(stamp(80, 1), NodeId(2)), "others may be behind");
    assert!(!floors.refuses(stamp(80, 1), NodeId(1)) && !floors.is_dead(stamp(80, 1)));
    floors.on_told(NodeId(2), told(true, Some(90)), false);
    floors.on_shown(NodeId(2));
    floors.on_shown(NodeId(1));
    assert!(floors.refuses(stamp(80, 1), NodeId(1)));
    assert!(!floors.is_clean() && floors.row().is_empty());
    floors.on_cleansed(NodeId(2));
    assert_eq!(floors.poll_whole(), None, "that is not the donor");
    assert!(floors.known().lives.is_empty());
    floors.on_cleansed(NodeId(1));
    assert_eq!((floors.known().hlc, floors.floor().hlc), (80, 0), "the donor's is passed on");
    assert_eq!(floors.poll_whole(), Some(Some(85)));
    assert_eq!(floors.floor().hlc, 80);
    assert_eq!(floors.on_told(NodeId(2), told(false, Some(90)), false), News::Higher);
    assert_eq!(floors.on_told(NodeId(2), told(false, Some(70)), false), News::None);
    assert_eq!(floors.floor().hlc, 90);
}

#[test]
fn with_its_donor_a_bare_node_loses_what_others_showed() {
    let mut floors = Floors::new(NodeId(0), MEMBERS);
    floors.on_told(NodeId(1), told(true, Some(80)), false);
    floors.on_told(NodeId(2), told(true, Some(70)), false);
    floors.on_shown(NodeId(2));
    floors.on_link_lost(NodeId(1));
    assert_eq!(floors.on_told(NodeId(2), told(true, Some(70)), false), News::Donor);
    floors.on_shown(NodeId(2));
    floors.on_cleansed(NodeId(2));
    assert!(floors.is_clean());
    assert_eq!(floors.poll_whole(), None, "member 1 has not shown all");
}

#[test]
fn a_donor_that_goes_before_it_has_heard_all_is_replaced() {
    let mut floors = Floors::new(NodeId(0), MEMBERS);
    floors.on_told(NodeId(1), told(true, Some(80)), false);
    floors.on_shown(NodeId(1));
    floors.on_link_lost(NodeId(1));
    floors.on_cleansed(NodeId(1));
    assert_eq!(floors.on_told(NodeId(2), told(true, Some(70)), false), News::Donor);
    floors.on_shown(NodeId(2));
    floors.on_cleansed(NodeId(2));
    assert!(floors.is_clean());
    floors.on_link_lost(NodeId(2));
    assert!(floors.is_clean(), "all that it was for is done");
}

#[test]
fn a_new_life_promises_when_all_have_shown_what_they_hold() {
    let mut floors = Floors::new(NodeId(0), MEMBERS);
    floors.recover(Floor { hlc: 30, lives: vec![1; MEMBERS] });
    assert!(floors.is_sound() && floors.is_dead(stamp(30, 1)) && !floors.is_whole());
    for other in [1, 2].map(NodeId) {
        floors.on_told(other, told(true, Some(10)), false);
        floors.on_shown(other);
    }
    assert_eq!(floors.poll_whole(), Some(None));
    assert_eq!(floors.floor().hlc, 30, "it never goes down");
    floors.lose();
    assert!(!floors.is_sound() && !floors.is_dead(stamp(30, 1)));
}

#[test]
fn a_floor_that_was_passed_on_raises_others_but_makes_no_donor() {
    let passed_on = |hlc| Told { sound: false, ..told(true, Some(hlc)) };
    let mut floors = whole();
    assert_eq!(floors.on_told(NodeId(1), passed_on(80), false), News::Higher);
    assert_eq!(floors.floor().hlc, 80);
    let mut bare = Floors::new(NodeId(0), MEMBERS);
    assert_eq!(bare.on_told(NodeId(1), passed_on(80), false), News::None);
    assert!(bare.floor().lives.is_empty() && bare.is_clean());
}
