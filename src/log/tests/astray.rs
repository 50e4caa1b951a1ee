//! Writes that land in another place than they were meant for: never a hole in what is shown, never a
//! shorter log below a mark that is left.

use super::{
    super::{
        Disk, Entry, Mode, OpenError, Seq,
        frame::{FRAME_HEAD_SIZE, FrameHead},
        header::{HEADER_SIZE, Header, Kind},
        memory::{Fate, MemoryDisk, Stray},
    },
    Replayed, number, reopen, replay,
    world::{Loss, SCRIPTS, Step, World},
};

const SEGMENT_SIZE: u64 = 1500;

/// Frames of one size in one segment: one that lands on another leaves those behind it whole.
const EVEN: &[Step] = &[Step::Append(7), Step::Append(7), Step::Sync, Step::Append(7)];

fn names(disk: &MemoryDisk) -> Vec<String> {
    let mut names = disk.clone().names().expect("healthy");
    names.retain(|name| Kind::of(name).is_some());
    names
}

/// Where frames begin in a file, and places where none does.
fn places(bytes: &[u8]) -> Vec<u64> {
    let mut places = vec![0, 512, 777];
    let mut at = HEADER_SIZE;
    while let Some(head) = bytes.get(at..).and_then(FrameHead::decode) {
        places.push(at as u64);
        at += head.frame_size();
    }
    places
}

/// The highest mark of any whole frame of the last segment, wherever it stands.
fn mark(disk: &MemoryDisk) -> Seq {
    let names = names(disk);
    let last = names.iter().rfind(|name| name.starts_with("log-")).expect("a segment");
    let (kind, first) = Kind::of(last).expect("one of ours");
    let seed = Header::new(kind, super::home().owner(), first).seed();
    let bytes = disk.bytes(last).expect("listed");
    let whole = (HEADER_SIZE..bytes.len()).filter_map(|at| {
        let head = FrameHead::decode(&bytes[at..]).filter(|head| head.size < bytes.len())?;
        let frame = bytes.get(at..at + FRAME_HEAD_SIZE + head.size)?;
        head.is_intact(frame, seed).then_some(head.mark)
    });
    whole.max().unwrap_or_default().max(first.previous())
}

/// The entries of all frames of segments that stand where they should, and that a mark covers.
fn intact(sound: &MemoryDisk, spoilt: &MemoryDisk) -> Replayed {
    let (mut entries, mark) = (Vec::new(), mark(spoilt));
    for name in names(spoilt).iter().filter(|name| name.starts_with("log-")) {
        let [sound, spoilt] = [sound, spoilt].map(|disk| disk.bytes(name).unwrap_or_default());
        let mut at = HEADER_SIZE;
        while let Some(head) = sound.get(at..).and_then(FrameHead::decode) {
            let frame = at..at + FRAME_HEAD_SIZE + head.size;
            at = frame.end;
            let mut payload = &sound[frame.start + FRAME_HEAD_SIZE..frame.end];
            let is_there = sound.get(frame.clone()) == spoilt.get(frame) && head.seq <= mark;
            while let (true, Ok(Some(entry))) = (is_there, Entry::split_first(&mut payload)) {
                entries.push(number(&entry));
            }
        }
    }
    entries
}

/// Lets a write of each step go astray to each place, and ends the life after each later step.
/// How often that was damage, and how often it was taken for a torn end or did no harm.
fn lead_astray(script: &[Step], segment_size: u64) -> (u64, u64) {
    let (mut damaged, mut other) = (0, 0);
    for (nth, _) in script.iter().enumerate() {
        let mut before = World::play(MemoryDisk::default(), &script[..nth], segment_size);
        let disk = std::mem::take(&mut before.disk);
        for name in names(&disk) {
            for to in places(disk.bytes(&name).expect("listed")) {
                let rest = script[nth..].split(|step| matches!(step, Step::Reopen)).next();
                for end in nth + 1..=nth + rest.map_or(0, <[Step]>::len) {
                    let to = (name.clone(), to);
                    let world = World::play_astray(&script[..end], segment_size, (nth, &to));
                    match check(&world, &format!("step {nth} to {to:?}, until {end}")) {
                        Some(true) => damaged += 1,
                        Some(false) => other += 1,
                        None => {}
                    }
                }
            }
        }
    }
    (damaged, other)
}

/// Whether it was damage; nothing if no write went astray.
fn check(world: &World, what: &str) -> Option<bool> {
    let mut disk = world.disk.clone();
    Loss::All(Fate::Kept, usize::MAX).befall(&mut disk);
    let mut sound = disk.clone();
    if !sound.mend() {
        return None;
    }
    let (_, whole) = reopen(&mut sound);
    world.expect(&whole);
    let left = mark(&disk);
    match replay(&mut disk.clone(), &Mode::Normal) {
        Ok((_, shown)) => {
            assert_eq!(shown, whole[..shown.len().min(whole.len())], "a hole: {what}");
            let lost = (1..1000).map(Seq).find(|seq| world.count_up_to(*seq) > shown.len());
            let vouched = lost.is_some_and(|lost| shown.len() < whole.len() && lost <= left);
            assert!(!vouched, "a log below its mark: {what}");
            Some(false)
        }
        Err(OpenError::Damage(_)) => {
            let spoilt = disk.clone();
            let repair = Mode::Repair { suffix: "7".to_owned() };
            let (opened, saved) = replay(&mut disk, &repair).expect("a repair");
            assert!(opened.report.lost(), "{what}");
            assert!(saved.iter().all(|entry| whole.contains(entry)), "{what}");
            let lost = intact(&sound, &spoilt).into_iter().find(|entry| !saved.contains(entry));
            assert_eq!(lost, None, "intact, and lost: {what}");
            let (opened, again) = reopen(&mut disk);
            assert!(opened.report.lost() && again == saved, "{what}");
            Some(true)
        }
        Err(error) => panic!("{error}: {what}"),
    }
}

#[test]
fn no_write_that_went_astray_is_believed() {
    let (mut damaged, mut other) = (0, 0);
    for script in SCRIPTS {
        let (more, others) = lead_astray(script, SEGMENT_SIZE);
        (damaged, other) = (damaged + more, other + others);
    }
    assert!(lead_astray(EVEN, 10 * SEGMENT_SIZE).0 > 0);
    assert!(damaged > 300 && other > 50, "{damaged} are damage, {other} are not");
}

/// The planted bug that takes any whole frame for the next one.
#[cfg(feature = "mutants")]
#[test]
#[should_panic(expected = "a hole")]
fn frame_number_ignored() {
    use crate::probe::{Mutant, plant};
    plant(Some(Mutant::FrameNumberIgnored));
    no_write_that_went_astray_is_believed();
}

/// The planted bug that goes by the length of a frame that landed in a wrong place, not by its mark.
#[cfg(feature = "mutants")]
#[test]
#[should_panic(expected = "a log below its mark")]
fn astray_mark_ignored() {
    use crate::probe::{Mutant, plant};
    plant(Some(Mutant::AstrayMarkIgnored));
    no_write_that_went_astray_is_believed();
}

/// Writes of these lengths, 0 for a sync, into a file of which a write shall land on a twin. Where it
/// landed, if it did.
fn landed(lengths: &[usize]) -> Option<usize> {
    let mut disk = MemoryDisk::default();
    let file = disk.create("log-1").expect("a file");
    disk.misdirect(Some(Stray { file: "log-1".to_owned(), offset: 0, twins: 9 }));
    let mut end = 0;
    for (number, length) in (1..).zip(lengths) {
        match length {
            0 => disk.sync(&file).expect("healthy"),
            length => disk.write(&file, end as u64, &vec![number; *length]).expect("healthy"),
        }
        if disk.is_astray() {
            assert!(disk.take_twin() && !disk.take_twin());
            let bytes = disk.bytes("log-1").expect("the file");
            assert!(disk.clone().mend() && bytes.len() == end, "nothing stands in its own place");
            return bytes.iter().position(|byte| *byte == number);
        }
        end += length;
    }
    None
}

#[test]
fn a_twin_is_as_long_and_was_synced_together_with_a_later_write() {
    assert_eq!(landed(&[5, 7, 5, 0, 7]), Some(5));
    assert_eq!(landed(&[7, 5, 0, 7, 7, 0, 7]), Some(0), "the first after a sync");
    for none in [&[5, 7, 0, 7][..], &[5, 7, 0, 8], &[5, 0, 7, 0, 5], &[5, 7, 5], &[5, 7, 0, 1, 5]] {
        assert_eq!(landed(none), None, "{none:?}");
    }
}
