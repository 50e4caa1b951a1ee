//! Entries of all kinds: through lives, checkpoints, repairs and backups; and directories that an
//! older version wrote.

use super::{
    super::{Entry, Imager, Mode, OpenError, Opened, Seq, Verified, backup, open, verify},
    MemoryDisk, entry, home, number,
};
use crate::record::{Ballot, Db, NodeId, Version};

/// Entries as bytes, one each.
type Encoded = Vec<Vec<u8>>;

/// What database 0 adds, in an order that means something.
fn strong() -> Encoded {
    let ballot = Ballot::new(7, NodeId(1));
    let version = Version::accepted(ballot, 3);
    let entries = [
        Entry::Formed { births: &[5; 16] },
        Entry::Promise { ballot, slots: &[0b101] },
        Entry::Copied { slots: &[0b100], set: true },
        Entry::Drop { db: Db::STRONG, key: b"name", version },
        Entry::Copied { slots: &[0b100], set: false },
        Entry::Promise { ballot: Ballot::new(9, NodeId(0)), slots: &[0b1] },
    ];
    let encode = |entry: &Entry<'_>| {
        let mut bytes = Vec::new();
        entry.encode(&mut bytes);
        bytes
    };
    entries.iter().map(encode).collect()
}

fn start(disk: &mut MemoryDisk, mode: &Mode) -> Result<(Opened<MemoryDisk>, Encoded), OpenError> {
    let mut shown = Vec::new();
    let mut show = |entry: Entry<'_>| {
        let mut bytes = Vec::new();
        entry.encode(&mut bytes);
        shown.push(bytes);
    };
    let opened = open(disk, &home(), 100, mode, &mut show, &mut |_| {})?;
    Ok((opened, shown))
}

fn healthy(disk: &mut MemoryDisk) -> (Opened<MemoryDisk>, Encoded) {
    start(disk, &Mode::Normal).unwrap_or_else(|error| panic!("this is no damage: {error}"))
}

fn repair() -> Mode {
    Mode::Repair { suffix: "x".to_owned() }
}

fn append(opened: &mut Opened<MemoryDisk>, disk: &mut MemoryDisk, entries: &[Vec<u8>]) {
    for entry in entries {
        opened.appender.append(disk, entry, false).expect("a healthy disk");
        opened.appender.sync(disk).expect("a healthy disk");
    }
}

fn verified(disk: &mut MemoryDisk) -> Verified {
    verify(disk, &mut |_| {}).expect("a healthy disk")
}

#[test]
fn all_kinds_come_back_in_order_across_lives_and_checkpoints() {
    let mut disk = MemoryDisk::default();
    let (mut opened, _) = healthy(&mut disk);
    append(&mut opened, &mut disk, &strong());
    let (mut opened, shown) = healthy(&mut disk);
    assert_eq!(shown, strong());

    opened.appender.append(&mut disk, &strong().concat(), true).expect("a healthy disk");
    opened.appender.sync(&mut disk).expect("a healthy disk");
    let imager = Imager::begin(&mut disk, opened.appender.owner(), opened.next);
    let mut imager = imager.expect("a healthy disk");
    imager.write(&mut disk, &strong().concat()).expect("a healthy disk");
    assert_eq!(imager.finish(&mut disk).expect("a healthy disk").records, 6);
    let (opened, shown) = healthy(&mut disk);
    assert_eq!(opened.report.checkpoint, Some(Seq(7)));
    assert_eq!(shown, [strong(), strong()].concat());

    let verified = verified(&mut disk);
    assert_eq!(verified.findings, []);
    assert_eq!((verified.promises, verified.drops, verified.copied), (4, 2, 4));
    assert_eq!(verified.births, Some(vec![0x0505_0505_0505_0505; 2]));
}

#[test]
fn a_repair_keeps_what_was_promised() {
    let mut disk = MemoryDisk::default();
    let (mut opened, _) = healthy(&mut disk);
    let all = [vec![entry(1, 1)], strong(), vec![entry(2, 1)]].concat();
    append(&mut opened, &mut disk, &all);
    let name = "log-0000000000000001";
    let mut bytes = disk.bytes(name).expect("a segment").to_vec();
    bytes[40 + 28] ^= 1;
    disk.put(name, &bytes);
    assert!(matches!(start(&mut disk, &Mode::Normal), Err(OpenError::Damage(_))));
    let (opened, shown) = start(&mut disk, &repair()).expect("a repair");
    assert_eq!(shown, all[1..], "all but the damaged frame, in order");
    assert!(opened.report.lost());
    assert_eq!(healthy(&mut disk).1, all[1..]);
}

#[test]
fn a_backup_has_data_only() {
    let (record, strong) = (entry(1, 1), strong());
    let mut disk = MemoryDisk::default();
    let encoded = strong.iter().chain([&record]);
    let entries = encoded.map(|bytes| {
        let entry = Entry::split_first(&mut &bytes[..]);
        entry.expect("an entry").expect("not empty")
    });
    assert_eq!(backup(&mut disk, entries).expect("a healthy disk").records, 2);
    assert_eq!(healthy(&mut disk).1, [strong[3].clone(), record]);
}

#[test]
fn a_directory_is_born_once() {
    let mut disk = MemoryDisk::default();
    let mut births = [300, 200, 400].map(|wall_ms| {
        let opened = open(&mut disk, &home(), wall_ms, &Mode::Normal, &mut |_| {}, &mut |_| {});
        let opened = opened.expect("a healthy disk");
        (opened.incarnation, opened.birth)
    });
    assert_eq!(births, [(300, 300), (301, 300), (400, 300)]);
    assert_eq!(verified(&mut disk).birth, 300);
    births[0] = {
        let opened = healthy(&mut MemoryDisk::default()).0;
        (opened.incarnation, opened.birth)
    };
    assert_eq!(births[0], (100, 100), "one that was deleted and made again is another");

    // Whose identity is gone may be anybody.
    let mut bytes = disk.bytes("identity").expect("an identity").to_vec();
    bytes[30] ^= 1;
    disk.put("identity", &bytes);
    let (opened, _) = start(&mut disk, &repair()).expect("a repair");
    assert_eq!((opened.incarnation, opened.birth, opened.report.lost()), (100, 100, true));
}

/// What format 1 was: entry 7 in a checkpoint, entries 14 and 21 in frames 2 and 3 of the log, all
/// of life 1 and written by the last version that knew no other format.
const OLD: [(&str, &str); 3] = [
    (
        "checkpoint-0000000000000002",
        "71756f726163686b0100010008000000c1000000000000000200000000000000f42cbdf8e78a38db\
         b6f16dc2974e98922c00000001000000000000000000000000000000270000000110080008000000\
         0100000000000100070000000000000007000000000000000100000000000000ed3de993de930033\
         100000000200000000000000ffffffffffffffff01000000000000000100000000000000",
    ),
    (
        "identity",
        "71756f72617465206964656e7469747920310a636c75737465722030303030303030303030303030\
         3063310a6e6f646520310a736c6f747320380a696e6361726e6174696f6e20350a6c6f7374206e6f\
         0a626567756e20310a6d656d62657273206c6f63616c686f73743a39303030206c6f63616c686f73\
         743a393030310a636865636b73756d20373561656565656365393063353836640a",
    ),
    (
        "log-0000000000000002",
        "71756f72616c6f670100010008000000c100000000000000020000000000000013ce289cd0f85946\
         730bd28e2243680e2c00000002000000000000000100000000000000270000000110080008000000\
         01000000000001000e000000000000000e0000000000000001000000000000008804b9bf5b3dcb14\
         2c000000030000000000000002000000000000002700000001100800080000000100000000000100\
         150000000000000015000000000000000100000000000000",
    ),
];

fn old() -> MemoryDisk {
    let mut disk = MemoryDisk::default();
    for (name, hex) in OLD {
        let digits = hex.as_bytes().as_chunks::<2>().0;
        let byte = |pair: &[u8; 2]| {
            let pair = std::str::from_utf8(pair).expect("digits");
            u8::from_str_radix(pair, 16).expect("digits")
        };
        let bytes: Vec<u8> = digits.iter().map(byte).collect();
        disk.put(name, &bytes);
    }
    disk
}

fn numbers(shown: &Encoded) -> Vec<u64> {
    let entry = |bytes: &Vec<u8>| {
        let entry = Entry::split_first(&mut &bytes[..]).expect("an entry").expect("not empty");
        number(&entry).0
    };
    shown.iter().map(entry).collect()
}

#[test]
fn a_directory_of_the_older_format_is_read_and_goes_on_in_the_newer() {
    let mut disk = old();
    assert_eq!((verified(&mut disk).findings, verified(&mut disk).birth), (vec![], 5));
    let (mut opened, shown) = healthy(&mut disk);
    assert_eq!(numbers(&shown), [7, 14, 21]);
    assert_eq!((opened.incarnation, opened.birth), (100, 5));
    assert!(opened.report.rewritten > 0, "no mark covers frame 3");
    let identity = disk.bytes("identity").expect("an identity");
    assert!(identity.starts_with(b"quorate identity 2\n"));
    assert!(String::from_utf8_lossy(identity).contains("\nbirth 5\n"));
    append(&mut opened, &mut disk, &[entry(28, 1)]);
    for life in 101..104 {
        let (opened, shown) = healthy(&mut disk);
        assert_eq!((opened.incarnation, opened.birth), (life, 5));
        assert_eq!(numbers(&shown), [7, 14, 21, 28]);
    }
    assert_eq!(verified(&mut disk).findings, []);
}

/// The header is written again with what no mark covers: as it was.
#[test]
fn a_segment_of_the_older_format_stays_one() {
    let mut disk = old();
    let name = "log-0000000000000002";
    let first_frame = 40 + 28 + 5 + 39;
    let bytes = disk.bytes(name).expect("a segment")[..first_frame].to_vec();
    disk.put(name, &bytes);
    let (opened, shown) = healthy(&mut disk);
    assert_eq!(opened.report.rewritten, bytes.len() as u64);
    assert_eq!(numbers(&shown), [7, 14]);
    assert_eq!(disk.bytes(name), Some(&bytes[..]));
    assert_eq!(numbers(&healthy(&mut disk).1), [7, 14]);
}

#[test]
fn a_repair_knows_frames_of_the_older_format() {
    for name in ["checkpoint-0000000000000002", "log-0000000000000002"] {
        let mut disk = old();
        let mut bytes = disk.bytes(name).expect("a file").to_vec();
        // Neither the header nor the seed that it held.
        bytes[..40].fill(0xee);
        disk.put(name, &bytes);
        assert!(matches!(start(&mut disk, &Mode::Normal), Err(OpenError::Damage(_))), "{name}");
        let (opened, shown) = start(&mut disk, &repair()).expect("a repair");
        assert_eq!(numbers(&shown), [7, 14, 21], "{name}");
        assert_eq!(opened.birth, 5);
    }
}
