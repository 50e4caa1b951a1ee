//! What a writer knows of its keys, and what a reader may find there: acknowledged writes and later
//! ones, nothing else.
//!
//! A key belongs to one writer, which counts its values up; so each value names the write that it
//! comes from. A write without a reply is in doubt: it may show, at any time, until a later one is
//! known to have taken effect. What a reader was shown is settled as if it had been acknowledged.
//!
//! ```text
//!   place   0        1       2       3       4
//!           absent   SET 1   SET 2   DEL     SET 3
//!                            ok      -       -        floor 2: may read 2, nothing, or 3
//! ```

use std::fmt;

/// One key's writes, in the order in which they were sent.
#[derive(Debug)]
pub(crate) struct History {
    /// What the key holds after each; place 0 is before the first.
    values: Vec<Option<u64>>,
    /// No earlier place may show again.
    floor: usize,
    /// Places that must never show: the node said that it wrote nothing.
    refused: Vec<usize>,
}

/// A write in [`History`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place(usize);

/// What must not be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Violation {
    /// The value was never sent.
    Invented { read: u64 },
    /// What was acknowledged is gone, or what it had replaced is back.
    Lost { settled: Option<u64>, read: Option<u64> },
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Invented { read } => write!(f, "reads as {read}, which was never sent"),
            Self::Lost { settled, read } => {
                write!(f, "acknowledged as {settled:?}, reads as {read:?}: a lost write")
            }
        }
    }
}

impl History {
    /// A key that was never written.
    pub(crate) fn new() -> Self {
        Self { values: vec![None], floor: 0, refused: Vec::new() }
    }

    /// A write goes out: a value, or none for a deletion.
    pub(crate) fn send(&mut self, value: Option<u64>) -> Place {
        self.values.push(value);
        Place(self.values.len() - 1)
    }

    /// It was acknowledged.
    pub(crate) fn acknowledge(&mut self, place: Place) {
        self.floor = self.floor.max(place.0);
    }

    /// It was refused, and nothing was written.
    pub(crate) fn refuse(&mut self, place: Place) {
        self.refused.push(place.0);
    }

    /// A deletion found nothing: a reader that may have been shown all before it. It wrote nothing.
    pub(crate) fn found_nothing(&mut self, place: Place) -> Result<(), Violation> {
        self.settle(None, place.0)
    }

    /// A reader was shown this, with no write under way.
    pub(crate) fn read(&mut self, read: Option<u64>) -> Result<(), Violation> {
        self.settle(read, self.values.len())
    }

    fn settle(&mut self, read: Option<u64>, end: usize) -> Result<(), Violation> {
        let shows = |place: &usize| self.values[*place] == read && !self.refused.contains(place);
        if let Some(place) = (self.floor..end).find(shows) {
            self.floor = place;
            return Ok(());
        }
        match read {
            Some(read) if !(0..end).any(|place| shows(&place)) => Err(Violation::Invented { read }),
            read => Err(Violation::Lost { settled: self.values[self.floor], read }),
        }
    }
}

mod tests {
    use super::{History, Violation};

    /// 1 acknowledged, then 2 acknowledged.
    fn twice() -> History {
        let mut history = History::new();
        for value in [1, 2] {
            let place = history.send(Some(value));
            history.acknowledge(place);
        }
        history
    }

    #[test]
    fn what_was_acknowledged_is_there_and_nothing_else() {
        assert_eq!(twice().read(Some(2)), Ok(()));
        let lost = |read| Err(Violation::Lost { settled: Some(2), read });
        assert_eq!(twice().read(None), lost(None));
        assert_eq!(twice().read(Some(1)), lost(Some(1)));
        assert_eq!(twice().read(Some(9)), Err(Violation::Invented { read: 9 }));
        assert_eq!(History::new().read(None), Ok(()));
        assert_eq!(History::new().read(Some(1)), Err(Violation::Invented { read: 1 }));
    }

    #[test]
    fn what_is_in_doubt_may_show_and_then_stays() {
        for read in [Some(2), None, Some(3)] {
            let mut history = twice();
            history.send(None);
            history.send(Some(3));
            assert_eq!(history.read(read), Ok(()));
        }
        let mut history = twice();
        history.send(Some(3));
        assert_eq!(history.read(Some(3)), Ok(()));
        assert!(history.read(Some(2)).is_err(), "it was shown");
        let mut history = twice();
        history.send(Some(3));
        assert_eq!(history.read(Some(2)), Ok(()));
        assert_eq!(history.read(Some(3)), Ok(()), "a peer may have had it");
        let place = history.send(Some(4));
        history.acknowledge(place);
        assert!(history.read(Some(3)).is_err(), "it was superseded");
    }

    #[test]
    fn what_was_refused_never_shows() {
        let mut history = twice();
        let place = history.send(Some(3));
        history.refuse(place);
        assert_eq!(history.read(Some(3)), Err(Violation::Invented { read: 3 }));
        assert_eq!(history.read(Some(2)), Ok(()));
        let place = history.send(None);
        history.refuse(place);
        assert!(history.read(None).is_err());
    }

    #[test]
    fn a_deletion_that_finds_nothing_tells_of_a_loss() {
        let mut history = twice();
        let place = history.send(None);
        assert!(history.found_nothing(place).is_err());
        let mut history = History::new();
        history.send(Some(1));
        let place = history.send(None);
        assert_eq!(history.found_nothing(place), Ok(()), "1 was in doubt");
        assert_eq!(history.read(Some(1)), Ok(()), "and still is");
    }
}
