//! The log on a disk in memory.

use super::{Appender, Entry, Home, Mode, OpenError, Opened, memory::MemoryDisk, open};
use crate::record::{Db, NodeId, Record, Version};

mod astray;
mod basic;
mod boot;
mod crash;
mod kinds;
mod rot;
mod world;

/// Whose directory it is, in all tests.
fn home() -> Home {
    let members = vec!["localhost:9000".to_owned(), "localhost:9001".to_owned()];
    Home { cluster: 0xc1, node: NodeId(1), slots: 8, members }
}

/// The bytes of entry `number`, as the life `life` writes it.
fn entry(number: u64, life: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    let (key, value) = (number.to_le_bytes(), life.to_le_bytes());
    let value = value.repeat(1 + (number % 7) as usize * 20);
    let version = Version::stamp(number, NodeId(1), life);
    let value = Some(&value[..]);
    let record = Record { db: Db::QUORUM, key: &key, version, expires_at_ms: None, value };
    Entry::Record(record).encode(&mut bytes);
    bytes
}

/// A number and a life, as read back.
fn number(entry: &Entry<'_>) -> (u64, u64) {
    let Entry::Record(record) = entry else { panic!("{entry:?} was never written") };
    let life = record.value.expect("a value").first_chunk().expect("a life");
    let key = record.key.try_into().expect("eight bytes");
    (u64::from_le_bytes(key), u64::from_le_bytes(*life))
}

type Replayed = Vec<(u64, u64)>;

/// Opens and returns what was shown.
fn replay(disk: &mut MemoryDisk, mode: &Mode) -> Result<(Opened<MemoryDisk>, Replayed), OpenError> {
    let mut shown = Vec::new();
    let mut show = |entry: Entry<'_>| shown.push(number(&entry));
    let opened = open(disk, &home(), 5, mode, &mut show, &mut |_| {})?;
    Ok((opened, shown))
}

fn reopen(disk: &mut MemoryDisk) -> (Opened<MemoryDisk>, Replayed) {
    replay(disk, &Mode::Normal).unwrap_or_else(|error| panic!("this is no damage: {error}"))
}

/// Appends entry `number` of life 1.
fn put(appender: &mut Appender<MemoryDisk>, disk: &mut MemoryDisk, number: u64, rotate: bool) {
    appender.append(disk, &entry(number, 1), rotate).expect("a healthy disk");
}
