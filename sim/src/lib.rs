//! The parts of the simulator that others may use: so far, the checkers of histories.

pub mod check;
