//! Bits rot in files that were synced long ago: never a wrong entry, never a shorter log below a
//! mark; and what a repair can save.

use super::{
    super::{
        Fault, Mode, OpenError, Seq,
        memory::{Fate, MemoryDisk, Trouble},
        recovered, verify,
    },
    Replayed, number, reopen, replay,
    world::{Loss, SCRIPTS, World},
};

const SEGMENT_SIZE: u64 = 1500;

/// The end of a script's life, all of it on the disk.
fn cold(script: usize) -> (World, MemoryDisk) {
    let mut world = World::play(MemoryDisk::default(), SCRIPTS[script], SEGMENT_SIZE);
    let mut disk = std::mem::take(&mut world.disk);
    Loss::All(Fate::Kept, usize::MAX).befall(&mut disk);
    (world, disk)
}

fn files(disk: &MemoryDisk) -> Vec<(String, Vec<u8>)> {
    let mut names = super::super::Disk::names(&mut disk.clone()).expect("healthy");
    names.retain(|name| name != "identity.tmp");
    let bytes = |name: String| {
        let bytes = disk.bytes(&name).expect("listed").to_vec();
        (name, bytes)
    };
    names.into_iter().map(bytes).collect()
}

/// How many entries are at or below the highest mark.
fn marked(world: &World, disk: &MemoryDisk) -> usize {
    let synced = verify(&mut disk.clone(), &mut |_| {}).expect("healthy").synced;
    world.count_up_to(synced)
}

fn repair() -> Mode {
    Mode::Repair { suffix: "7".to_owned() }
}

/// Each flipped byte is damage, or a cut above all marks, or nothing.
fn flip_everything(script: usize) {
    let (world, disk) = cold(script);
    let (_, whole) = reopen(&mut disk.clone());
    world.expect(&whole);
    let marked = marked(&world, &disk);
    let (mut damaged, mut cut) = (0, 0);
    for (name, bytes) in files(&disk) {
        for at in 0..bytes.len() {
            let mut rotten = bytes.clone();
            rotten[at] ^= 1 << (at % 8);
            let mut disk = disk.clone();
            disk.put(&name, &rotten);
            match replay(&mut disk, &Mode::Normal) {
                Ok((_, shown)) => {
                    assert!(name.starts_with("log-"), "{name} at {at} is not believed");
                    assert!(shown.len() >= marked, "{name} at {at}: a log below its mark");
                    assert_eq!(shown, whole[..shown.len()], "{name} at {at}");
                    cut += 1;
                }
                Err(OpenError::Damage(findings)) => {
                    assert_eq!(findings[0].file, name, "{name} at {at}");
                    damaged += 1;
                }
                Err(OpenError::Disk(error)) => panic!("{error}"),
                Err(OpenError::Empty) => panic!("nobody wants a cold start"),
                Err(OpenError::Refused(finding)) => panic!("{name} at {at}: {finding}"),
            }
        }
    }
    assert!(damaged > 500 && cut > 20, "{damaged} bytes are damage, {cut} are a cut");
}

#[test]
fn no_flipped_byte_is_believed() {
    flip_everything(0);
}

#[test]
fn no_flipped_byte_around_a_checkpoint_is_believed() {
    flip_everything(1);
}

#[test]
fn no_flipped_byte_far_from_syncs_is_believed() {
    flip_everything(2);
}

/// Whole sectors of zeros, and files that end too early.
#[test]
fn lost_sectors_and_short_files_are_damage() {
    for script in 0..SCRIPTS.len() {
        let (_, disk) = cold(script);
        let (_, whole) = reopen(&mut disk.clone());
        let last = files(&disk).pop().expect("a log").0;
        for (name, bytes) in files(&disk) {
            for at in (0..bytes.len()).step_by(3) {
                let mut zeros = bytes.clone();
                zeros[at..].iter_mut().take(512).for_each(|byte| *byte = 0);
                let mut holed = disk.clone();
                holed.put(&name, &zeros);
                let changed = zeros != bytes;
                if let Ok((_, shown)) = replay(&mut holed, &Mode::Normal) {
                    // There a hole may swallow a frame and the mark on it.
                    assert!(!changed || name == last, "hole in {name} at {at}");
                    assert_eq!(shown, whole[..shown.len()]);
                }
                let mut short = disk.clone();
                short.put(&name, &bytes[..at]);
                if let Ok((_, shown)) = replay(&mut short, &Mode::Normal) {
                    assert_eq!(name, last, "cut at {at}");
                    assert_eq!(shown, whole[..shown.len()]);
                }
            }
        }
    }
}

/// Damages one file at several places and repairs it; then crashes the repair everywhere.
#[test]
fn a_repair_keeps_what_is_intact_wherever_it_is_interrupted() {
    for script in 0..SCRIPTS.len() {
        let (_, disk) = cold(script);
        let (_, whole) = reopen(&mut disk.clone());
        for (name, bytes) in files(&disk) {
            for at in (0..bytes.len()).step_by(211) {
                let mut rotten = bytes.clone();
                rotten[at] ^= 0x10;
                let mut disk = disk.clone();
                disk.put(&name, &rotten);
                if replay(&mut disk.clone(), &Mode::Normal).is_err() {
                    repair_and_crash(&disk, &whole, &name);
                }
            }
        }
    }
}

fn repair_and_crash(disk: &MemoryDisk, whole: &Replayed, name: &str) {
    let mut repaired = disk.clone();
    let (opened, saved) = replay(&mut repaired, &repair()).expect("a repair");
    assert!(opened.report.lost());
    let salvaged = opened.report.salvaged.expect("a report");
    assert_eq!(salvaged.aside, [format!("{name}.damaged-7")]);
    assert!(saved.iter().all(|entry| whole.contains(entry)));
    // One frame of a script has three entries, one of a checkpoint all of them.
    assert!(saved.len() + 3 >= whole.len() || name.starts_with("checkpoint"));
    let (opened, again) = reopen(&mut repaired);
    assert!(opened.report.lost() && again == saved);
    recovered(&mut repaired).expect("healthy");
    assert!(!reopen(&mut repaired).0.report.lost());

    for at in disk.changes() + 1.. {
        let mut crashed = disk.clone();
        crashed.set_trouble(Some(Trouble::Crash(at)));
        let done = replay(&mut crashed, &repair()).is_ok();
        for loss in Loss::FEW {
            let mut disk = crashed.clone();
            loss.befall(&mut disk);
            match replay(&mut disk.clone(), &Mode::Normal) {
                Ok((opened, shown)) => assert!(opened.report.lost() && shown == saved),
                Err(OpenError::Damage(_)) => {}
                Err(error) => panic!("{error}"),
            }
            let (opened, shown) = replay(&mut disk, &repair()).expect("a second repair");
            assert!(opened.report.lost());
            assert_eq!(shown, saved);
        }
        if done {
            return;
        }
    }
}

#[test]
fn a_repair_without_damage_changes_nothing() {
    let (world, mut disk) = cold(1);
    let (opened, shown) = replay(&mut disk, &repair()).expect("healthy");
    world.expect(&shown);
    assert!(opened.report.salvaged.is_none() && !opened.report.lost());
}

#[test]
fn a_lost_identity_can_be_repaired() {
    use super::super::Disk;
    let (world, mut disk) = cold(1);
    disk.remove("identity").expect("healthy");
    let Err(OpenError::Damage(findings)) = replay(&mut disk, &Mode::Normal) else {
        panic!("files of nobody")
    };
    assert_eq!(findings[0].fault, Fault::NoIdentity);
    let verified = verify(&mut disk, &mut |_| {}).expect("healthy");
    assert_eq!(verified.findings[0].fault, Fault::NoIdentity);
    let (opened, shown) = replay(&mut disk, &repair()).expect("a repair");
    world.expect(&shown);
    assert!(opened.report.lost());
}

#[test]
fn missing_segments_are_damage() {
    use super::super::Disk;
    for script in [0, 2] {
        let (_, disk) = cold(script);
        let names = files(&disk).into_iter().map(|(name, _)| name);
        let names: Vec<String> = names.filter(|name| name != "identity").collect();
        // Nobody can know that the last one is missing.
        for name in &names[..names.len() - 1] {
            let mut disk = disk.clone();
            disk.remove(name).expect("healthy");
            let error = replay(&mut disk, &Mode::Normal).map(|_| ()).expect_err("a gap");
            assert!(matches!(error, OpenError::Damage(_)), "{name}: {error}");
        }
    }
}

#[test]
fn verify_finds_all_damage_and_counts_the_rest() {
    let (_, mut disk) = cold(0);
    let before = format!("{disk:?}");
    let mut shown = Vec::new();
    let good = verify(&mut disk, &mut |entry| shown.push(number(&entry))).expect("healthy");
    assert_eq!(before, format!("{disk:?}"));
    assert_eq!((good.records, good.findings.len()), (shown.len() as u64, 0));
    assert_eq!(good.versions.map(|(low, high)| high.hlc() - low.hlc() + 1), Some(good.records));
    for (name, mut bytes) in files(&disk).into_iter().filter(|(name, _)| name != "identity") {
        bytes[50] ^= 1;
        disk.put(&name, &bytes);
    }
    let bad = verify(&mut disk, &mut |_| {}).expect("healthy");
    let segments = good.segments as usize;
    assert!(bad.findings.len() + usize::from(bad.cut.is_some()) >= segments, "{bad:?}");
    assert!(bad.records < good.records);
    assert!(bad.last <= good.last && bad.synced > Seq(0));
}

/// A torn end that was cut off, and came back because the disk did not keep its word, lies behind
/// the frame at which the next segment begins.
#[test]
fn what_was_cut_off_may_come_back() {
    let (world, disk) = cold(0);
    let names: Vec<String> = files(&disk).into_iter().map(|(name, _)| name).collect();
    let name = names.iter().find(|name| name.starts_with("log-")).expect("a segment");
    for junk in [&[0; 7][..], &[0xff; 900]] {
        let mut disk = disk.clone();
        let bytes = disk.bytes(name).expect("listed").to_vec();
        disk.put(name, &[&bytes[..], junk].concat());
        let (opened, shown) = reopen(&mut disk);
        world.expect(&shown);
        assert_eq!(opened.report.cut, None);
    }
}

/// The planted bug that takes damage for a torn end is caught above.
#[cfg(feature = "mutants")]
#[test]
#[should_panic(expected = "a log below its mark")]
fn damage_as_tail() {
    use crate::probe::{Mutant, plant};
    plant(Some(Mutant::DamageAsTail));
    no_flipped_byte_is_believed();
}
