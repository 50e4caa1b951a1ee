//! The exhaustive search.
use quorate::explore::*;
use quorate::probe::*;

const L: Role = Role::Leader;
const A: Role = Role::Other(0);
const B: Role = Role::Other(1);
use Act::*;
const C: Role = Role::Other(2);
const D: Role = Role::Other(3);

fn mine() -> Vec<Setup> {
    vec![
        Setup {
            name: "m1",
            asks: &[(L, Increment), (B, Get)],
            in_order: true,
            muters: &[L],
            mutes: 1,
            tickers: &[B],
            ..Setup::PLAIN
        },
        Setup {
            name: "m2",
            asks: &[(L, Get), (B, Set("a")), (L, Get)],
            in_order: true,
            answers: Pace::Free,
            muters: &[L],
            mutes: 1,
            tickers: &[B],
            ..Setup::PLAIN
        },
        Setup {
            name: "m3",
            asks: &[(L, Increment)],
            crashers: &[(A, Loss::Batches(1))],
            crashes: 1,
            muters: &[L],
            mutes: 1,
            tickers: &[B],
            ..Setup::PLAIN
        },
        Setup {
            name: "m4",
            asks: &[(L, Set("a")), (A, Get)],
            in_order: true,
            slow_disks: &[L],
            crashers: &[(L, Loss::Undurable)],
            crashes: 1,
            tickers: &[],
            ..Setup::PLAIN
        },
        Setup {
            name: "m5",
            asks: &[(L, Increment), (L, Increment)],
            in_order: true,
            slow_disks: &[A],
            crashers: &[(L, Loss::Undurable)],
            crashes: 1,
            tickers: &[L],
            ..Setup::PLAIN
        },
        Setup {
            name: "m6",
            asks: &[],
            in_order: true,
            crashers: &[(A, Loss::Batches(1))],
            crashes: 1,
            muters: &[L],
            mutes: 1,
            tickers: &[B],
            ..Setup::PLAIN
        },
    ]
}

fn all() -> Vec<Setup> {
    let mut v: Vec<Setup> = setups::SMALL.to_vec();
    v.extend(mine());
    if std::env::var("LARGE").is_ok() {
        v.extend(setups::LARGE);
    }
    v
}

fn max() -> usize {
    std::env::var("MAX").ok().and_then(|m| m.parse().ok()).unwrap_or(20000)
}

#[test]
fn explore_some() {
    let only = std::env::var("ONLY").unwrap_or_default();
    let want: Option<Mutant> = std::env::var("MUT").ok().and_then(|m| Mutant::named(&m));
    #[cfg(feature = "mutants")]
    plant(want);
    for s in all() {
        if !s.name.contains(&only) {
            continue;
        }
        let s = Setup {
            ballots: std::env::var("BALLOTS")
                .ok()
                .and_then(|m| m.parse().ok())
                .unwrap_or(s.ballots),
            ..s
        };
        let t = std::time::Instant::now();
        let found = explore(&s, max());
        println!(
            "{:?} {:16} states {:6} steps {:6} depth {:2} told {:5} complete {} {:?}",
            want,
            s.name,
            found.states,
            found.steps,
            found.depth,
            found.told,
            found.complete,
            t.elapsed()
        );
        if let Some(v) = found.violation {
            println!("{v}");
        }
    }
}

#[cfg(feature = "mutants")]
#[test]
fn hunt() {
    let only = std::env::var("ONLY").unwrap_or_default();
    for name in std::env::var("HUNT").unwrap_or_default().split(',').filter(|n| !n.is_empty()) {
        let m = Mutant::named(name).expect(name);
        plant(Some(m));
        let mut caught = false;
        for s in all() {
            if !s.name.contains(&only) {
                continue;
            }
            let found = explore(&s, max());
            if let Some(v) = found.violation {
                println!(
                    "{name}: CAUGHT in {} after {} states, {} steps: {}",
                    s.name,
                    found.states,
                    v.steps.len(),
                    v.reason
                );
                caught = true;
                break;
            }
        }
        if !caught {
            println!("{name}: SURVIVED");
        }
        plant(None);
    }
}
