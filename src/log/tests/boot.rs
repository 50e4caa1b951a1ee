//! What a life that vouched for more than the disk had may have lost.

use super::{entry, home};
use crate::log::{Habit, Loss, Mode, OpenError, memory::MemoryDisk, open_with, recovered};

/// A life of this habit, which writes something. Whether its start says that data was lost.
fn live(disk: &mut MemoryDisk, lax: bool, boot: &str, clean: bool) -> bool {
    let habit = Habit { lax, boot: boot.to_owned(), cold: false };
    let who = (&home(), &habit);
    let opened = open_with(disk, who, 5, &Mode::Normal, &mut |_| {}, &mut |_| {});
    let mut opened = opened.expect("a healthy disk");
    opened.appender.append(disk, &entry(1, 1), false).expect("a healthy disk");
    if clean {
        opened.appender.close(disk).expect("a healthy disk");
    }
    opened.report.lost()
}

#[test]
fn a_machine_that_went_down_takes_what_only_the_system_had() {
    // The last life, the next one, and whether that has lost something.
    let cases = [
        ((true, "a", false), "b", true),
        ((true, "a", false), "a", false),
        ((true, "a", true), "b", false),
        ((false, "a", false), "b", false),
        ((true, "", false), "", true),
        ((true, "", false), "b", true),
        ((true, "a", false), "", true),
    ];
    for ((lax, boot, clean), next, lost) in cases {
        for next_lax in [false, true] {
            let mut disk = MemoryDisk::default();
            assert!(!live(&mut disk, lax, boot, clean), "a new directory has lost nothing");
            let found = live(&mut disk, next_lax, next, false);
            assert_eq!(found, lost, "{lax} {boot:?} {clean}, then {next_lax} {next:?}");
        }
    }
}

#[test]
fn a_cold_start_is_remembered_until_the_node_has_recovered() {
    let mut disk = MemoryDisk::default();
    let habit = Habit { cold: true, ..Habit::default() };
    let open = |disk: &mut MemoryDisk, habit: &Habit| {
        open_with(disk, (&home(), habit), 5, &Mode::Normal, &mut |_| {}, &mut |_| {})
            .map(|opened| opened.report.loss)
    };
    assert_eq!(open(&mut disk, &habit), Err(OpenError::Empty), "there is nothing to start from");
    assert_eq!(open(&mut disk, &Habit::default()), Ok(Loss::None));
    assert_eq!(open(&mut disk, &habit), Ok(Loss::Tail));
    assert_eq!(open(&mut disk, &Habit::default()), Ok(Loss::Tail), "it must not vote meanwhile");
    recovered(&mut disk).expect("a healthy disk");
    assert_eq!(open(&mut disk, &Habit::default()), Ok(Loss::None));
}

#[test]
fn a_loss_is_remembered_until_the_node_has_recovered() {
    let mut disk = MemoryDisk::default();
    live(&mut disk, true, "a", false);
    assert!(live(&mut disk, false, "b", true));
    assert!(live(&mut disk, false, "b", true), "it ended before it had recovered");
    recovered(&mut disk).expect("a healthy disk");
    assert!(!live(&mut disk, true, "b", false));
    assert!(!live(&mut disk, true, "b", false), "the boot is remembered over it");
    assert!(live(&mut disk, true, "c", false));
}
