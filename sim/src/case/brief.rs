//! Brief cases: few nodes, few requests and faults, and soon over. Most bugs need no more: of the kept
//! cases, each as small as it could be made, half have three requests at the most, and half one fault.
//!
//! What is drawn for the others is what needs its time: rolling restarts, nights, plays.

use super::{dark, drama::Drama, rolling};
use crate::chance::Chance;

/// So many in a hundred of the seeds that may be brief.
const PERCENT: u64 = 90;
/// So many in a hundred have more than three nodes.
const MANY_PERCENT: u64 = 7;

/// Whether a seed is.
pub(super) fn is_drawn(seed: u64) -> bool {
    let long = dark::is_drawn(seed) || rolling::is_drawn(seed) || Drama::draw(seed).is_some();
    !long && Chance::new(seed, "brief", 0).percent(PERCENT)
}

/// How many nodes it has.
pub(super) fn nodes(seed: u64) -> usize {
    let mut chance = Chance::new(seed, "brief", 1);
    let many = chance.percent(MANY_PERCENT);
    if many { chance.pick(&[4, 5]) } else { chance.pick(&[1, 1, 2, 2, 2, 3, 3, 3, 3, 3]) }
}

/// How long requests and faults begin.
pub(super) fn span_ms(seed: u64) -> u64 {
    Chance::new(seed, "brief", 2).between(200, 2000)
}

/// How many goes a client has that would have up to `most` otherwise.
pub(super) fn goes(chance: &mut Chance, most: u64) -> u64 {
    chance.between(1, most / 5)
}

/// How many faults.
pub(super) fn faults(seed: u64) -> u64 {
    Chance::new(seed, "brief", 3).pick(&[1, 2, 3, 5])
}

#[cfg(test)]
mod tests {
    use super::is_drawn;
    use crate::case::Case;

    #[test]
    fn it_is_brief() {
        let brief: Vec<Case> = (0..200).filter(|seed| is_drawn(*seed)).map(Case::draw).collect();
        assert!((100..=160).contains(&brief.len()), "{} of 200", brief.len());
        for case in brief {
            assert!(case.config.nodes <= 5 && case.faults.len() <= 5);
            assert!(case.config.span_ms <= case.config.start_ms + 2000);
        }
    }
}
