//! Arbitrary bytes as the files of a data directory, and bytes changed in a valid one: opening and
//! verifying never panic, and what was opened once opens again with the same entries.
//!
//! ```text
//!   bit 0 of the first byte: 0   edits of a valid directory, 6 bytes each:
//!                                file, offset (u16), what to do, how much (u16)
//!                            1   files, one after the other:
//!                                name (6 of the last bits), size (u16), bytes
//! ```

use crate::{
    log::{
        Disk, Entry, Home, Imager, Mode, OpenError, Seq,
        memory::{MemoryDisk, Trouble},
        open, verify,
    },
    record::{Ballot, Db, NodeId, Record, Version},
};

/// What a directory of these inputs could hold at the very most; more would be from thin air.
const ENTRIES_MAX: usize = 100_000;

/// Runs the body on one input.
///
/// # Panics
/// If the log breaks a promise.
pub fn log(data: &[u8]) {
    let Some((mode, rest)) = data.split_first() else { return };
    let mut disk = if mode & 1 == 0 { edited(rest) } else { arbitrary(rest) };
    let verified = verify(&mut disk, &mut |_| {}).expect("this disk does not fail");
    let repair = Mode::Repair { suffix: "1".to_owned() };
    let mode = if mode & 2 == 0 { Mode::Normal } else { repair };
    match replay(&mut disk, &mode) {
        Ok(shown) => {
            assert!(shown.len() <= ENTRIES_MAX);
            assert!(mode != Mode::Normal || verified.findings.is_empty(), "{verified:?}");
            let again = replay(&mut disk, &Mode::Normal).expect("it opened before");
            assert_eq!(shown, again);
            let verified = verify(&mut disk, &mut |_| {}).expect("this disk does not fail");
            assert_eq!(verified.findings, []);
        }
        Err(OpenError::Disk(error)) => panic!("this disk does not fail: {error}"),
        Err(error) => {
            assert!(!error.to_string().is_empty());
            disk.set_trouble(Some(Trouble::ReadFails));
            assert!(replay(&mut disk, &mode).is_err());
        }
    }
}

/// Opens, appends nothing, and returns the bytes of all entries.
fn replay(disk: &mut MemoryDisk, mode: &Mode) -> Result<Vec<Vec<u8>>, OpenError> {
    let mut shown = Vec::new();
    let mut show = |entry: Entry<'_>| {
        let mut bytes = Vec::new();
        entry.encode(&mut bytes);
        shown.push(bytes);
    };
    open(disk, &home(), 1, mode, &mut show, &mut |_| {})?;
    Ok(shown)
}

fn home() -> Home {
    Home { cluster: 7, node: NodeId(0), slots: 8, members: vec!["localhost:9000".to_owned()] }
}

/// A directory with two lives, a checkpoint and three segments.
fn valid() -> MemoryDisk {
    let mut disk = MemoryDisk::default();
    for life in 0..2 {
        let opened = open(&mut disk, &home(), 1, &Mode::Normal, &mut |_| {}, &mut |_| {});
        let mut appender = opened.expect("a valid directory").appender;
        for number in 0..5 {
            let batch = entries(life * 5 + number);
            appender.append(&mut disk, &batch, number == 3).expect("a healthy disk");
            if number % 2 == 0 {
                appender.sync(&mut disk).expect("a healthy disk");
            }
        }
        if life == 0 {
            let imager = Imager::begin(&mut disk, home().owner(), Seq(3));
            let mut imager = imager.expect("a healthy disk");
            imager.write(&mut disk, &entries(0)).expect("a healthy disk");
            imager.write(&mut disk, &entries(1)).expect("a healthy disk");
            imager.finish(&mut disk).expect("a healthy disk");
        }
    }
    disk
}

fn entries(number: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    let version = Version::stamp(number + 1, NodeId(0), 1);
    let value = (!number.is_multiple_of(3)).then_some(&b"value"[..]);
    let key = &number.to_le_bytes();
    let record = Record { db: Db::QUORUM, key, version, expires_at_ms: None, value };
    Entry::Record(record).encode(&mut bytes);
    Entry::Bound { hlc: number }.encode(&mut bytes);
    if number % 4 == 1 {
        Entry::Flush { db: Db::EVENTUAL, stamp: version }.encode(&mut bytes);
    }
    if number % 4 == 3 {
        let ballot = Ballot::new(number, NodeId(0));
        let version = Version::accepted(ballot, 1);
        Entry::Promise { ballot, slots: &[0b1010_1010] }.encode(&mut bytes);
        Entry::Copied { slots: &[2], set: number == 3 }.encode(&mut bytes);
        Entry::Drop { db: Db::STRONG, key, version }.encode(&mut bytes);
        Entry::Formed { births: key }.encode(&mut bytes);
    }
    bytes
}

fn edited(edits: &[u8]) -> MemoryDisk {
    let mut disk = valid();
    let names = disk.names().expect("a healthy disk");
    for [file, at0, at1, what, much0, much1] in edits.as_chunks::<6>().0.iter().take(16) {
        let name = &names[usize::from(*file) % names.len()];
        let Some(bytes) = disk.bytes(name) else { continue };
        let mut bytes = bytes.to_vec();
        let at = usize::from(u16::from_le_bytes([*at0, *at1])).min(bytes.len());
        let much = usize::from(u16::from_le_bytes([*much0, *much1]));
        let end = (at + much).min(bytes.len());
        match what % 6 {
            0 => bytes.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= *much0),
            1 => bytes.truncate(at),
            2 => drop(bytes.drain(at..end)),
            3 => bytes.iter_mut().skip(at).take(much).for_each(|byte| *byte = 0),
            4 => bytes.extend_from_within(at..end),
            _ => {
                disk.remove(name).expect("it is there");
                continue;
            }
        }
        disk.put(name, &bytes);
    }
    disk
}

fn arbitrary(mut rest: &[u8]) -> MemoryDisk {
    let mut disk = MemoryDisk::default();
    while let Some(([name, s0, s1], bytes)) = rest.split_first_chunk() {
        let size = usize::from(u16::from_le_bytes([*s0, *s1])).min(bytes.len());
        let (bytes, behind) = bytes.split_at(size);
        let first = u64::from(name >> 2);
        let name = match name % 4 {
            0 => "identity".to_owned(),
            1 => format!("checkpoint-{first:016x}"),
            2 => format!("log-{first:016x}"),
            _ => "checkpoint.tmp".to_owned(),
        };
        disk.put(&name, bytes);
        rest = behind;
    }
    disk
}
