//! Without faults: what was written comes back, in order, once.

use super::{
    super::{Imager, Seq},
    MemoryDisk, put, reopen,
};

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
        imager.write(&mut disk, &super::entry(number, 1)).expect("healthy");
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
