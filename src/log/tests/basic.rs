//! Without faults: what was written comes back, in order, once; and who may open what.

use super::{
    super::{
        Disk, DiskError, Entry, Fault, Home, Imager, Mode, OpenError, Owner, Seq, backup,
        header::{FORMAT, Header, Kind},
        open, verify,
    },
    MemoryDisk, entry, home, number, put, reopen, replay,
};
use crate::{log::memory::MemoryFile, record::NodeId};

#[test]
fn entries_come_back_across_lives_segments_and_checkpoints() {
    let mut disk = MemoryDisk::default();
    let (mut opened, shown) = reopen(&mut disk);
    assert!(shown.is_empty() && opened.report.fresh);
    for number in 1..=5 {
        put(&mut opened.appender, &mut disk, number, number == 3);
    }
    opened.appender.sync(&mut disk).expect("a healthy disk");
    assert_eq!(opened.appender.synced(), Seq(5));

    let (mut opened, shown) = reopen(&mut disk);
    assert_eq!(shown, (1..=5).map(|number| (number, 1)).collect::<Vec<_>>());
    assert_eq!((opened.next, opened.report.clean), (Seq(6), false));
    put(&mut opened.appender, &mut disk, 6, false);
    let mut imager = Imager::begin(&mut disk, opened.appender.owner(), Seq(7)).expect("healthy");
    put(&mut opened.appender, &mut disk, 7, true);
    for number in 1..=6 {
        imager.write(&mut disk, &entry(number, 1)).expect("healthy");
    }
    assert_eq!(imager.finish(&mut disk).expect("healthy").records, 6);
    opened.appender.close(&mut disk).expect("healthy");

    let (opened, shown) = reopen(&mut disk);
    assert_eq!(shown, (1..=7).map(|number| (number, 1)).collect::<Vec<_>>());
    assert!(opened.report.clean);
    assert_eq!(opened.report.checkpoint, Some(Seq(7)));
    assert_eq!(opened.report.segments, 1);
    let (opened, _) = reopen(&mut disk);
    assert!(!opened.report.clean, "the last life did not end cleanly");
}

#[test]
fn incarnations_rise_even_if_the_clock_goes_back() {
    let mut disk = MemoryDisk::default();
    let mut start = |wall_ms| {
        let opened = open(&mut disk, &home(), wall_ms, &Mode::Normal, &mut |_| {}, &mut |_| {});
        opened.expect("a healthy disk").incarnation
    };
    assert_eq!([start(100), start(100), start(7), start(500)], [100, 101, 102, 500]);
}

/// The message of a start that is refused.
fn refused(disk: &mut MemoryDisk, home: &Home) -> String {
    match open(disk, home, 1, &Mode::Repair { suffix: String::new() }, &mut |_| {}, &mut |_| {}) {
        Err(OpenError::Refused(finding)) => finding.to_string(),
        other => panic!("{other:?} is no refusal"),
    }
}

#[test]
fn what_belongs_to_others_is_refused_by_name() {
    let mut disk = MemoryDisk::default();
    let mut appender = reopen(&mut disk).0.appender;
    put(&mut appender, &mut disk, 1, false);
    appender.sync(&mut disk).expect("healthy");
    let before = format!("{disk:?}");
    let message = refused(&mut disk, &Home { node: NodeId(0), ..home() });
    assert_eq!(message, "identity: of node n1 (localhost:9001); this is n0 (localhost:9000)");
    let message = refused(&mut disk, &Home { slots: 9, ..home() });
    assert_eq!(message, "identity: of a cluster with 8 slots; this one has 9");
    let message = refused(&mut disk, &Home { cluster: 2, members: vec!["a:1".into()], ..home() });
    let theirs = "00000000000000c1 (localhost:9000 localhost:9001)";
    assert_eq!(message, format!("identity: of cluster {theirs}; this is 0000000000000002 (a:1)"));
    assert_eq!(before, format!("{disk:?}"), "nothing was touched");

    let ours = home().owner();
    let name = "log-0000000000000001";
    let cases = [
        (Header::new(Kind::Segment, Owner { node: NodeId(7), ..ours }, Seq(1)), "of node n7"),
        (Header::new(Kind::Segment, Owner { cluster: 9, ..ours }, Seq(1)), "0000000000000009"),
        (Header::new(Kind::Segment, Owner { slots: 5, ..ours }, Seq(1)), "with 5 slots"),
        (Header { version: 3, ..Header::new(Kind::Segment, ours, Seq(1)) }, "in format 3"),
    ];
    for (header, text) in cases {
        let mut disk = disk.clone();
        disk.put(name, &header.encode());
        let message = refused(&mut disk, &home());
        assert!(message.starts_with(name) && message.contains(text), "{message}");
    }
    assert_eq!(FORMAT, 2);
}

#[test]
fn an_entry_of_a_later_version_is_not_skipped() {
    let mut disk = MemoryDisk::default();
    let mut appender = reopen(&mut disk).0.appender;
    appender.append(&mut disk, &[0, 0, 0, 0, 77], false).expect("healthy");
    appender.sync(&mut disk).expect("healthy");
    let message = refused(&mut disk, &home());
    assert!(message.contains("log-0000000000000001, byte 40, frame 1"), "{message}");
    assert!(message.contains("unknown kind 77"), "{message}");
}

#[test]
fn a_backup_becomes_whosoever_opens_it_first() {
    let mut disk = MemoryDisk::default();
    let bytes: Vec<Vec<u8>> = (1..=3).map(|number| entry(number, 1)).collect();
    let entries = bytes
        .iter()
        .map(Vec::as_slice)
        .map(|mut bytes| Entry::split_first(&mut bytes).expect("an entry").expect("not empty"));
    assert_eq!(backup(&mut disk, entries.clone()).expect("healthy").records, 3);
    assert!(backup(&mut disk, entries).is_err(), "there is one already");
    let verified = verify(&mut disk, &mut |_| {}).expect("healthy");
    assert_eq!((verified.records, verified.findings.len()), (3, 0), "nobody's needs no identity");
    for _ in 0..2 {
        let (mut opened, shown) = reopen(&mut disk);
        assert_eq!(shown[..3], [(1, 1), (2, 1), (3, 1)]);
        assert!(!opened.report.fresh && !opened.report.lost());
        let next = shown.len() as u64 + 1;
        put(&mut opened.appender, &mut disk, next, false);
        opened.appender.sync(&mut disk).expect("healthy");
    }
    assert!(refused(&mut disk, &Home { cluster: 2, ..home() }).contains("of cluster"));
}

/// A directory in which a checkpoint completes just after the files were listed.
struct Busy {
    disk: MemoryDisk,
    /// Saves a checkpoint before the open that makes this 0.
    countdown: u32,
}

impl Busy {
    fn save(&mut self) {
        let start = reopen(&mut self.disk.clone()).0.next;
        let mut appender = reopen(&mut self.disk).0.appender;
        put(&mut appender, &mut self.disk, start.0, false);
        let mut imager = Imager::begin(&mut self.disk, home().owner(), start).expect("healthy");
        for number in 1..start.0 {
            imager.write(&mut self.disk, &entry(number, 1)).expect("healthy");
        }
        imager.finish(&mut self.disk).expect("healthy");
    }
}

impl Disk for Busy {
    type File = MemoryFile;

    fn names(&mut self) -> Result<Vec<String>, DiskError> {
        self.disk.names()
    }
    fn open(&mut self, name: &str) -> Result<MemoryFile, DiskError> {
        self.countdown = self.countdown.wrapping_sub(1);
        if self.countdown == 0 {
            self.save();
        }
        self.disk.open(name)
    }
    fn size(&mut self, file: &MemoryFile) -> Result<u64, DiskError> {
        self.disk.size(file)
    }
    fn read(&mut self, file: &MemoryFile, at: u64, into: &mut [u8]) -> Result<usize, DiskError> {
        self.disk.read(file, at, into)
    }
    fn create(&mut self, _: &str) -> Result<MemoryFile, DiskError> {
        unreachable!("verify only reads")
    }
    fn write(&mut self, _: &MemoryFile, _: u64, _: &[u8]) -> Result<(), DiskError> {
        unreachable!("verify only reads")
    }
    fn truncate(&mut self, _: &MemoryFile, _: u64) -> Result<(), DiskError> {
        unreachable!("verify only reads")
    }
    fn sync(&mut self, _: &MemoryFile) -> Result<(), DiskError> {
        unreachable!("verify only reads")
    }
    fn rename(&mut self, _: &str, _: &str) -> Result<(), DiskError> {
        unreachable!("verify only reads")
    }
    fn remove(&mut self, _: &str) -> Result<(), DiskError> {
        unreachable!("verify only reads")
    }
    fn sync_names(&mut self) -> Result<(), DiskError> {
        unreachable!("verify only reads")
    }
}

#[test]
fn a_live_directory_can_be_read_while_checkpoints_complete() {
    for countdown in 0..12 {
        let mut busy = Busy { disk: MemoryDisk::default(), countdown: 0 };
        for _ in 0..3 {
            busy.save();
        }
        busy.countdown = countdown;
        let mut shown = Vec::new();
        let verified = verify(&mut busy, &mut |entry| shown.push(number(&entry).0));
        let verified = verified.expect("stale listings are made again");
        assert_eq!(verified.findings, [], "{countdown}");
        assert!(shown.len() >= 3, "{countdown}: {shown:?}");
        assert_eq!(shown, (1..=shown.len() as u64).collect::<Vec<_>>());
    }
}

/// Heads of large frames at every byte: a search that checksummed them all would never end.
#[test]
fn crafted_bytes_cost_bounded_work() {
    let mut disk = MemoryDisk::default();
    drop(reopen(&mut disk));
    let size: u32 = 1 << 20;
    let mut bytes = Header::new(Kind::Segment, home().owner(), Seq(1)).encode();
    let head = [&[0; 8][..], &size.to_le_bytes(), &2_u64.to_le_bytes(), &[0; 8]].concat();
    while bytes.len() < 4 * size as usize {
        bytes.extend_from_slice(&head);
    }
    disk.put("log-0000000000000001", &bytes);
    let Err(OpenError::Damage(findings)) = replay(&mut disk, &Mode::Normal) else {
        panic!("too much to search is damage")
    };
    assert_eq!(findings.last().map(|finding| &finding.fault), Some(&Fault::TooMuch));
}

#[test]
fn progress_is_told_and_memory_bounded_by_a_frame() {
    let mut disk = MemoryDisk::default();
    let mut appender = reopen(&mut disk).0.appender;
    let batch: Vec<u8> = (0..200).flat_map(|number| entry(number, 1)).collect();
    for _ in 0..60 {
        appender.append(&mut disk, &batch, false).expect("healthy");
    }
    let mut told = Vec::new();
    let mut progress = |progress| told.push(progress);
    let opened = open(&mut disk, &home(), 1, &Mode::Normal, &mut |_| {}, &mut progress);
    assert_eq!(opened.expect("healthy").report.records, 12_000);
    assert!(told.len() > 3, "{told:?}");
    assert!(told.is_sorted_by_key(|progress| progress.bytes));
    let last = told.last().expect("some");
    assert_eq!((last.bytes, last.records), (last.bytes_total, 12_000));
}
