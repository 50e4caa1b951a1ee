//! Crashes at every change of the disk, with everything that may then be lost; and again during the
//! start that follows.

use super::{
    super::{
        Mode, OpenError,
        memory::{Fate, MemoryDisk, Trouble},
    },
    entry, reopen, replay,
    world::{Loss, SCRIPTS, Step, World},
};

/// Small enough that scripts leave segments because they are full, too.
const SEGMENT_SIZE: u64 = 1500;

#[derive(Debug, Default)]
struct Tally {
    points: u64,
    losses: u64,
    inner: u64,
    opens: u64,
}

/// Crashes one script everywhere.
fn exhaust(script: &[Step], tally: &mut Tally) {
    let whole = World::play(MemoryDisk::default(), script, SEGMENT_SIZE);
    for at in 1..=whole.disk.changes() + 1 {
        let mut disk = MemoryDisk::default();
        disk.set_trouble(Some(Trouble::Crash(at)));
        let world = World::play(disk, script, SEGMENT_SIZE);
        tally.points += 1;
        for loss in Loss::all(&world.disk) {
            let mut disk = world.disk.clone();
            loss.befall(&mut disk);
            tally.losses += 1;
            check(&world, disk.clone(), tally);
            if Loss::FEW.map(|few| format!("{few:?}")).contains(&format!("{loss:?}")) {
                crash_in_open(&world, &disk, tally);
            }
        }
    }
}

/// Opens with a crash at each change that opening makes.
fn crash_in_open(world: &World, disk: &MemoryDisk, tally: &mut Tally) {
    for at in disk.changes() + 1.. {
        let mut crashed = disk.clone();
        crashed.set_trouble(Some(Trouble::Crash(at)));
        let done = match replay(&mut crashed, &Mode::Normal) {
            Ok(_) => true,
            Err(OpenError::Disk(_)) => false,
            Err(error) => panic!("a crash in a start is no damage: {error}"),
        };
        for loss in Loss::FEW {
            let mut disk = crashed.clone();
            loss.befall(&mut disk);
            tally.inner += 1;
            check(world, disk, tally);
        }
        // A sync that fails in a start: the next start sees in the cache what was not made to last.
        let mut failed = disk.clone();
        failed.set_trouble(Some(Trouble::SyncFails(at)));
        if replay(&mut failed, &Mode::Normal).is_err() {
            check(world, failed, tally);
        }
        if done {
            return;
        }
    }
}

/// Opens for good: what came back is right, lasts, and the log goes on behind it.
fn check(world: &World, mut disk: MemoryDisk, tally: &mut Tally) {
    let (opened, shown) = reopen(&mut disk);
    world.expect(&shown);
    assert!(!opened.report.lost());
    Loss::All(Fate::Lost, 0).befall(&mut disk);
    let (mut opened, again) = reopen(&mut disk);
    assert_eq!(shown, again, "what was shown once is shown again");
    opened.appender.append(&mut disk, &entry(999, 9), false).expect("healthy");
    opened.appender.sync(&mut disk).expect("healthy");
    Loss::All(Fate::Lost, 0).befall(&mut disk);
    let (_, mut after) = reopen(&mut disk);
    assert_eq!(after.pop(), Some((999, 9)), "what is synced comes back");
    assert_eq!(shown, after);
    tally.opens += 3;
}

fn exhaust_script(index: usize) {
    let mut tally = Tally::default();
    exhaust(SCRIPTS[index], &mut tally);
    assert!(tally.points > 30 && tally.losses > 500 && tally.inner > 2000, "{tally:?}");
}

#[test]
fn no_crash_loses_what_was_synced() {
    exhaust_script(0);
}

#[test]
fn no_crash_around_a_checkpoint_loses_what_was_synced() {
    exhaust_script(1);
}

#[test]
fn no_crash_far_from_syncs_loses_what_was_synced() {
    exhaust_script(2);
}

#[test]
fn no_crash_in_restarts_loses_what_was_synced() {
    exhaust_script(3);
}

/// A sync fails, the process ends and starts again, and what it finds in the system's cache is not
/// on the disk. What that start replays must survive a power failure.
#[test]
fn a_failed_sync_fools_no_start() {
    for script in SCRIPTS {
        let whole = World::play(MemoryDisk::default(), script, SEGMENT_SIZE);
        for at in 1..=whole.disk.changes() {
            let mut disk = MemoryDisk::default();
            disk.set_trouble(Some(Trouble::SyncFails(at)));
            let world = World::play(disk, script, SEGMENT_SIZE);
            let mut tally = Tally::default();
            let mut disk = world.disk.clone();
            Loss::Kill.befall(&mut disk);
            check(&world, disk.clone(), &mut tally);
            crash_in_open(&world, &disk, &mut tally);
        }
    }
}

/// What the next life writes vouches for all that is before it: so that must last too, though the
/// sync of an earlier life failed, and be it that of its last frame.
#[test]
fn a_failed_sync_leaves_no_hole() {
    for script in SCRIPTS {
        let whole = World::play(MemoryDisk::default(), script, SEGMENT_SIZE);
        for at in 1..=whole.disk.changes() {
            let mut disk = MemoryDisk::default();
            disk.set_trouble(Some(Trouble::SyncFails(at)));
            let mut disk = World::play(disk, script, SEGMENT_SIZE).disk;
            Loss::Kill.befall(&mut disk);
            disk.set_trouble(None);
            let (mut opened, mut shown) = replay(&mut disk, &Mode::Normal).expect("no damage");
            let appender = &mut opened.appender;
            appender.append(&mut disk, &entry(1000, 9), false).expect("no trouble");
            appender.sync(&mut disk).expect("no trouble");
            Loss::All(Fate::Lost, 0).befall(&mut disk);
            shown.push((1000, 9));
            let (_, found) = replay(&mut disk, &Mode::Normal).expect("no damage");
            assert_eq!(found, shown, "sync {at} fails");
        }
    }
}

#[test]
fn a_full_disk_is_an_error_and_with_room_again_nothing_is_missing() {
    for script in SCRIPTS {
        let whole = World::play(MemoryDisk::default(), script, SEGMENT_SIZE);
        for at in 1..=whole.disk.changes() {
            let mut disk = MemoryDisk::default();
            disk.set_trouble(Some(Trouble::Full(at)));
            let mut world = World::play(disk, script, SEGMENT_SIZE);
            let mut disk = std::mem::take(&mut world.disk);
            // Starts fail as long as there is no room, and change nothing for the worse.
            disk.set_trouble(Some(Trouble::Full(0)));
            match replay(&mut disk, &Mode::Normal) {
                Ok(_) => {}
                Err(OpenError::Disk(error)) => assert!(error.full, "{error}"),
                Err(error) => panic!("{error}"),
            }
            disk.set_trouble(None);
            check(&world, disk.clone(), &mut Tally::default());
            Loss::All(Fate::Lost, 0).befall(&mut disk);
            check(&world, disk, &mut Tally::default());
        }
    }
}

#[test]
fn what_cannot_be_read_is_no_damage() {
    let mut world = World::play(MemoryDisk::default(), SCRIPTS[1], SEGMENT_SIZE);
    world.disk.set_trouble(Some(Trouble::ReadFails));
    let error = replay(&mut world.disk, &Mode::Normal).map(|_| ()).expect_err("unreadable");
    assert!(matches!(error, OpenError::Disk(_)), "{error}");
    world.disk.set_trouble(None);
    check(&world, world.disk.clone(), &mut Tally::default());
}

/// Each planted bug of the disk makes a test above fail.
#[cfg(feature = "mutants")]
mod planted {
    use super::*;
    use crate::probe::{Mutant, plant};

    #[test]
    #[should_panic(expected = "what is synced comes back")]
    fn no_names_sync() {
        plant(Some(Mutant::NoNamesSync));
        no_crash_loses_what_was_synced();
    }

    #[test]
    #[should_panic(expected = "no damage")]
    fn clean_mark_kept() {
        plant(Some(Mutant::CleanMarkKept));
        a_failed_sync_leaves_no_hole();
    }

    #[test]
    #[should_panic(expected = "no damage")]
    fn segment_removed_early() {
        plant(Some(Mutant::SegmentRemovedEarly));
        no_crash_around_a_checkpoint_loses_what_was_synced();
    }

    #[test]
    #[should_panic(expected = "no damage")]
    fn tail_as_damage() {
        plant(Some(Mutant::TailAsDamage));
        no_crash_loses_what_was_synced();
    }

    #[test]
    #[should_panic(expected = "is shown again")]
    fn tail_not_rewritten() {
        plant(Some(Mutant::TailNotRewritten));
        a_failed_sync_fools_no_start();
    }
}
