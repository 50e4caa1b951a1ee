//! The exhaustive search from the command line: each setup, the states that it has, and what is
//! wrong with the node if anything is.

use std::{
    io::{self, Write},
    time::Instant,
};

use quorate::explore::{explore, setups};

/// States of one setup at which a search ends: what fits into some GiB.
const STATES_MAX: usize = 4_000_000;

/// Searches the small setups, or the large ones, and says whether all is well.
///
/// # Errors
/// When `out` takes no more.
pub fn search(large: bool, states_max: Option<usize>, out: &mut impl Write) -> io::Result<bool> {
    let (setups, mut states, mut good) =
        (if large { setups::LARGE } else { setups::SMALL }, 0, true);
    for setup in setups {
        let began = Instant::now();
        let found = explore(setup, states_max.unwrap_or(STATES_MAX));
        states += found.states;
        writeln!(
            out,
            "{:28} {:8} states, {:8} steps, {:3} deep, {}, {:.1} s",
            setup.name,
            found.states,
            found.steps,
            found.depth,
            if found.complete { "complete" } else { "cut" },
            began.elapsed().as_secs_f64(),
        )?;
        if let Some(violation) = found.violation {
            good = false;
            writeln!(out, "{violation}")?;
        }
    }
    writeln!(out, "{states} states in all")?;
    Ok(good)
}
