//! Who stops in order hands over first: nobody else notices.
//!
//! While one node after the other is told to stop, and nothing else goes wrong, no request to
//! another node is refused, in doubt or without a reply in the strong database. In the two others
//! nobody has to hand over anything; what they lose, their own oracles see.

use super::{Failure, Kind, Observed};
use crate::{
    case::Op,
    history::{Entry, Outcome},
    story,
};

const ORACLE: &str = "handover";

/// Nodes that are told to stop while nothing else goes wrong.
#[derive(Clone, Debug, Default)]
pub struct Stops {
    /// When they could not serve.
    pub away: Vec<Away>,
    /// How many clients the workload has; those behind them ask in the end.
    pub clients: usize,
    /// After so long a client waits no more.
    pub patience_us: u64,
}

/// A node that can't serve, since it was told to stop and until it is back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Away {
    /// Which.
    pub node: usize,
    /// Since when.
    pub from_us: u64,
    /// Until when; none if it never was back.
    pub until_us: Option<u64>,
}

/// Checks it.
///
/// # Errors
/// The first request that failed.
pub fn check(observed: &Observed) -> Result<(), Failure> {
    let Some(stops) = &observed.stops else { return Ok(()) };
    let Some(first) = stops.away.iter().map(|away| away.from_us).min() else { return Ok(()) };
    let mut asked = observed.history.iter().filter(|entry| {
        // Before the first of them, the cluster may still have had to form.
        let strong = entry.db == 0 && !matches!(entry.op, Op::FlushAll | Op::Save);
        strong && entry.client < stops.clients && entry.start_us >= first
    });
    let Some(entry) = asked.find(|entry| failed(entry) && !stops.concern(entry)) else {
        return Ok(());
    };
    let detail = format!("{}, when only other nodes had been told to stop", told(entry));
    Err(Failure::new(Kind::Liveness, ORACLE, &detail))
}

/// A request and what became of it, as a failure names them.
pub(crate) fn told(entry: &Entry) -> String {
    let Entry { client, node, op, outcome, start_us, .. } = entry;
    let (asked, became) = (story::asked(op), story::became(outcome));
    format!("c{client} asked n{node} at {start_us} us for {asked} -> {became}")
}

/// Whether a request was not carried out, or nobody knows.
fn failed(entry: &Entry) -> bool {
    let fails = |outcome: &Outcome| {
        matches!(outcome, Outcome::InDoubt | Outcome::Refused | Outcome::Unknown)
    };
    match &entry.outcome {
        Outcome::Each(each) => each.iter().any(fails),
        outcome => fails(outcome),
    }
}

impl Stops {
    /// Whether the node of a request was away while the request was under way.
    fn concern(&self, entry: &Entry) -> bool {
        let end_us = entry.end_us.unwrap_or(entry.start_us + self.patience_us);
        self.away.iter().any(|away| {
            let back = away.until_us.is_some_and(|until_us| until_us < entry.start_us);
            away.node == entry.node && away.from_us <= end_us && !back
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oracle::doctor;

    /// What it says of a read at a time in a run in which node 1 was away from 100 to 200.
    fn told(node: usize, span: (u64, u64), outcome: Outcome) -> Option<String> {
        let entry = Entry { db: 0, ..doctor::get("k", node, span, outcome) };
        let away = vec![Away { node: 1, from_us: 100, until_us: Some(200) }];
        let stops = Some(Stops { away, clients: 3, patience_us: 50 });
        let observed = Observed { history: vec![entry], stops, ..Observed::default() };
        check(&observed).err().map(|failure| failure.detail)
    }

    #[test]
    fn others_answer_all_that_they_are_asked() {
        assert_eq!(told(0, (110, 120), Outcome::Missing), None);
        for outcome in [Outcome::Refused, Outcome::InDoubt, Outcome::Unknown] {
            let why = told(0, (110, 120), outcome);
            assert!(why.is_some_and(|why| why.contains("asked n0 at 110 us for GET k")));
        }
    }

    #[test]
    fn who_stops_may_refuse_until_it_is_back() {
        assert_eq!(told(1, (90, 105), Outcome::Unknown), None);
        assert_eq!(told(1, (190, 230), Outcome::Refused), None);
        assert!(told(1, (210, 230), Outcome::Refused).is_some());
    }

    #[test]
    fn before_the_first_stop_nothing_is_promised() {
        assert_eq!(told(0, (90, 99), Outcome::Refused), None);
    }

    #[test]
    fn a_run_in_which_anything_else_goes_wrong_promises_nothing() {
        let entry = doctor::get("k", 0, (110, 120), Outcome::Refused);
        let entry = Entry { db: 0, ..entry };
        let observed = Observed { history: vec![entry], ..Observed::default() };
        assert_eq!(check(&observed), Ok(()));
    }
}
