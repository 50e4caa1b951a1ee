//! The exhaustive search.

use quorate::explore::*;

#[test]
fn explore_some() {
    let setup = Setup {
        asks: &[(Role::Leader, Act::Increment), (Role::Other(0), Act::Increment), (Role::Other(1), Act::Get)],
        muters: &[Role::Leader],
        mutes: 1,
        ..Setup::PLAIN
    };
    for n in 1..=3 {
        let s = Setup { asks: &setup.asks[..n], ..setup };
        let t = std::time::Instant::now();
        let found = explore(&s, 100_000);
        println!("{n} {:?} {:?}", Found { violation: None, ..found.clone() }, t.elapsed());
        if let Some(v) = found.violation { println!("{v}"); }
    }
}
