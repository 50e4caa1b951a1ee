//! What a benchmark asks: which requests, in which order, drawn from a seed.

use clap::ValueEnum;
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use rand_distr::{Distribution as _, Zipf};

use crate::cli::resp::append_request;

/// Values are cut from a longer text, at any of so many places.
const VALUE_PLACES: usize = 1024;

/// What all connections ask.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Plan {
    /// How many of 100 requests read.
    pub(super) reads: f64,
    pub(super) write: Write,
    pub(super) keys: u64,
    /// The exponent of Zipf's law; without it all keys are alike.
    pub(super) skew: Option<f64>,
    /// The least and the most bytes of a value.
    pub(super) sizes: (usize, usize),
    pub(super) prefix: String,
    pub(super) seed: u64,
}

/// How it writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Write {
    /// INCR of a counter
    Incr,
    /// SET of a value
    Set,
}

/// Which kind of request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Read,
    Write,
}

/// The requests of one connection.
pub(super) struct Requests<'p> {
    plan: &'p Plan,
    rng: StdRng,
    zipf: Option<Zipf<f64>>,
    text: Vec<u8>,
}

impl<'p> Requests<'p> {
    /// Those of connection number `connection` in round number `round`: the same for everybody who
    /// is measured.
    pub(super) fn new(plan: &'p Plan, round: u64, connection: u64) -> Self {
        let mut seed = [0; 32];
        for (at, part) in [plan.seed, round, connection].into_iter().enumerate() {
            seed[at * 8..][..8].copy_from_slice(&part.to_le_bytes());
        }
        let mut rng = StdRng::from_seed(seed);
        let zipf = plan.skew.and_then(|skew| Zipf::new(plan.keys as f64, skew).ok());
        let letters = (0..plan.sizes.1 + VALUE_PLACES).map(|_| rng.random_range(b'a'..=b'z'));
        let text = letters.collect();
        Self { plan, rng, zipf, text }
    }

    /// Appends the next request.
    pub(super) fn next(&mut self, out: &mut Vec<u8>) -> Kind {
        let reads = self.rng.random_range(0.0..100.0) < self.plan.reads;
        let key = self.key();
        if reads {
            append_request(&[&b"GET"[..], key.as_bytes()], out);
            return Kind::Read;
        }
        match self.plan.write {
            Write::Incr => append_request(&[&b"INCR"[..], key.as_bytes()], out),
            Write::Set => self.set(&key, out),
        }
        Kind::Write
    }

    /// Appends a request that gives key number `number` a first value.
    pub(super) fn fill(&mut self, number: u64, out: &mut Vec<u8>) {
        let key = self.name(number);
        match self.plan.write {
            Write::Incr => append_request(&[&b"SET"[..], key.as_bytes(), b"0"], out),
            Write::Set => self.set(&key, out),
        }
    }

    fn set(&mut self, key: &str, out: &mut Vec<u8>) {
        let (least, most) = self.plan.sizes;
        let size = self.rng.random_range(least..=most);
        let place = self.rng.random_range(0..VALUE_PLACES);
        append_request(&[&b"SET"[..], key.as_bytes(), &self.text[place..place + size]], out);
    }

    fn key(&mut self) -> String {
        let number = match &self.zipf {
            // Ranks count from 1; the first is asked for most.
            Some(zipf) => zipf.sample(&mut self.rng) as u64 - 1,
            None => self.rng.random_range(0..self.plan.keys),
        };
        self.name(number)
    }

    fn name(&self, number: u64) -> String {
        let counter = if self.plan.write == Write::Incr { "n:" } else { "" };
        format!("{}{counter}{number:010}", self.plan.prefix)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn plan() -> Plan {
        Plan {
            reads: 70.0,
            write: Write::Set,
            keys: 50,
            skew: None,
            sizes: (3, 9),
            prefix: "bench:".to_owned(),
            seed: 7,
        }
    }

    fn drawn(plan: &Plan, round: u64, connection: u64, count: usize) -> (Vec<u8>, usize) {
        let mut requests = Requests::new(plan, round, connection);
        let mut out = Vec::new();
        let reads = (0..count).filter(|_| requests.next(&mut out) == Kind::Read).count();
        (out, reads)
    }

    #[test]
    fn a_seed_draws_the_same_again_and_each_connection_its_own() {
        assert_eq!(drawn(&plan(), 1, 2, 100), drawn(&plan(), 1, 2, 100));
        assert_ne!(drawn(&plan(), 1, 2, 100), drawn(&plan(), 1, 3, 100));
        assert_ne!(drawn(&plan(), 1, 2, 100), drawn(&plan(), 2, 2, 100));
        let other = Plan { seed: 8, ..plan() };
        assert_ne!(drawn(&plan(), 1, 2, 100), drawn(&other, 1, 2, 100));
    }

    #[test]
    fn reads_and_keys_are_shared_out_as_asked() {
        let (_, reads) = drawn(&plan(), 1, 1, 10_000);
        assert!((6_800..7_200).contains(&reads), "{reads}");
        let counted = |skew| {
            let plan = Plan { reads: 100.0, skew, ..plan() };
            let mut requests = Requests::new(&plan, 1, 1);
            let mut counts = BTreeMap::new();
            (0..20_000).for_each(|_| *counts.entry(requests.key()).or_insert(0_u32) += 1);
            counts
        };
        let uniform = counted(None);
        assert_eq!(uniform.len(), 50);
        assert!(uniform.values().all(|count| (250..550).contains(count)), "{uniform:?}");
        // With exponent 1 the first of 50 keys gets 1 / (1 + 1/2 + ... + 1/50) = 22 % of all.
        let skewed = counted(Some(1.0));
        assert!((4_100..4_800).contains(&skewed["bench:0000000000"]), "{skewed:?}");
        assert!(skewed.keys().all(|key| uniform.contains_key(key)));
    }

    #[test]
    fn requests_are_whole_and_sized() {
        let plan = Plan { reads: 0.0, ..plan() };
        let mut requests = Requests::new(&plan, 1, 1);
        for _ in 0..1000 {
            let mut out = Vec::new();
            requests.next(&mut out);
            let text = String::from_utf8(out).expect("letters");
            let lines: Vec<&str> = text.split("\r\n").collect();
            assert_eq!((lines[0], lines[2], lines[3]), ("*3", "SET", "$16"));
            assert_eq!(lines[5], format!("${}", lines[6].len()));
            assert!((3..=9).contains(&lines[6].len()), "{text}");
        }
    }
}
