//! What the requests of one seed have in common, and how each is drawn from it.

use super::{
    Condition, Config, Fault, Op, Part, Step, Then, Torn, brief, drama::Drama, mixed::Mixed,
    rolling, value_of,
};
use crate::chance::Chance;

/// Sizes of large values: a line of text must still have room for the request.
const LARGE: (usize, usize) = (10_000, 60_000);

/// What the requests of one seed have in common.
pub(super) struct Style {
    hot_keys: u64,
    cold_keys: u64,
    hot_percent: u64,
    /// Shares of SET and DEL; the rest reads.
    set_percent: u64,
    del_percent: u64,
    /// Flushes in ten thousand requests.
    flushes: u64,
    /// Checkpoints in ten thousand requests.
    saves: u64,
    sizes: &'static [u64],
    /// Values far above all sizes and most limits of the case.
    large_percent: u64,
    depths: &'static [u64],
    /// Clients go to other nodes than their own.
    roam_percent: u64,
    /// Goes on connections of their own.
    churn_percent: u64,
    /// Goes whose bytes leave in two parts, or only in part.
    torn_percent: u64,
    pub(super) storms: bool,
    /// A node that nobody talks to after this time.
    quiet: Option<(usize, u64)>,
    /// The database of all clients, if it is one.
    database: Option<u8>,
    /// So many in a hundred clients of the strong database read one key at a time, here and there.
    readers_percent: u64,
    strong: Strong,
    mixed: Mixed,
}

/// A go whose requests are still to be drawn. Most goes of a large seed are given up, to keep its case
/// small, and what is large takes long to draw.
pub(super) struct Draft {
    pub(super) step: Step,
    pub(super) asks: Vec<Ask>,
}

/// What a request is drawn from.
pub(super) enum Ask {
    /// Of one who only reads: the go.
    Read(u64),
    /// The number of the request.
    Any(u64),
}

/// The database of all clients of a seed, if it is one.
fn database(seed: u64) -> Option<u8> {
    let mut chance = Chance::new(seed, "databases", 0);
    if rolling::is_drawn(seed) {
        return None;
    }
    // What they play is about the strong database.
    if let Some(drama) = Drama::draw(seed) {
        return Some(drama.database());
    }
    chance.pick(&[Some(0), Some(0), Some(0), Some(1), Some(2), None, None, None])
}

/// Whether a seed's clients use the strong database.
pub(super) fn uses_strong(seed: u64) -> bool {
    database(seed).is_none_or(|database| database == 0)
}

/// How the strong database is used.
struct Strong {
    /// No value is larger: what is under way to a peer must find room in its outbox, and must pass
    /// the network while somebody waits for it.
    size_max: usize,
    hot_keys: u64,
    hot_percent: u64,
    /// Keys that hold numbers.
    numbers_percent: u64,
    /// Shares in a hundred requests, beside reads: plain SET, DEL and GETDEL, those that depend on
    /// what they find, those on several keys.
    set_percent: u64,
    del_percent: u64,
    conditional_percent: u64,
    several_percent: u64,
    /// So many in a hundred SET say for how long.
    terms_percent: u64,
    /// INCR of what is no number.
    confused: bool,
    batches: Batches,
}

/// How often several keys of one slot are read and written at one moment.
struct Batches {
    /// In a hundred requests.
    percent: u64,
    /// Pairs of keys that are only written together, and pairs in which a value moves to and fro.
    pairs: u64,
    /// Shares in a hundred of those: of a compare-and-set on a watched key, of renaming.
    swap_percent: u64,
    rename_percent: u64,
    /// And of MSETNX.
    unless_percent: u64,
}

impl Style {
    pub(super) fn draw(seed: u64, config: &Config) -> Self {
        let mut chance = Chance::new(seed, "workload", 0);
        let quiet_node = chance.below(config.nodes as u64) as usize;
        let quiet_from = chance.between(config.span_ms / 4, config.span_ms);
        // Where they don't go through the eye of a needle, which would take minutes.
        let roomy = config.window_bytes >= LARGE.1
            && config.chop.is_none_or(|chop| chop.read_max >= 200 && chop.write_max >= 500);
        Self {
            hot_keys: chance.between(1, 6),
            cold_keys: chance.between(5, 120),
            hot_percent: chance.pick(&[20, 60, 95]),
            set_percent: chance.pick(&[40, 60, 90]),
            del_percent: chance.pick(&[0, 10, 30]),
            flushes: chance.pick(&[0, 0, 0, 30, 300]),
            saves: chance.pick(&[0, 0, 50, 300]),
            sizes: chance.pick(&[&[0][..], &[0, 0, 30, 200], &[0, 100, 1000, 3000]]),
            depths: chance.pick(&[&[1][..], &[1], &[1, 1, 4], &[1, 2, 16]]),
            roam_percent: chance.pick(&[0, 10, 50]),
            churn_percent: chance.pick(&[0, 0, 20]),
            storms: chance.percent(60) || rolling::is_drawn(seed),
            quiet: chance.percent(50).then_some((quiet_node, quiet_from)),
            database: database(seed),
            large_percent: if chance.percent(50) && roomy { 10 } else { 0 },
            torn_percent: chance.pick(&[0, 0, if rolling::is_pure(seed) { 0 } else { 10 }]),
            readers_percent: chance.pick(&[0, 30, 60]),
            strong: Strong::draw(seed, config),
            mixed: Mixed::draw(seed, config.slots),
        }
    }

    /// The database of a client.
    pub(super) fn database(&self, seed: u64, client: usize) -> u8 {
        let mut chance = Chance::new(seed, "database", client as u64);
        self.database.unwrap_or_else(|| chance.pick(&[0, 0, 1, 2]))
    }

    /// How many goes a client has.
    pub(super) fn goes(&self, seed: u64, client: usize, db: u8) -> u64 {
        let mut chance = Chance::new(seed, "goes", client as u64);
        let most = if self.reads(seed, client, db) { 150 } else { 60 };
        if brief::is_drawn(seed) {
            return brief::goes(&mut chance, most);
        }
        chance.between(10, most)
    }

    /// Whether a client only reads.
    fn reads(&self, seed: u64, client: usize, db: u8) -> bool {
        let mut chance = Chance::new(seed, "reader", client as u64);
        db == 0 && client > 0 && chance.percent(self.readers_percent)
    }

    /// The go with the number `id` of a client whose node and database are these.
    pub(super) fn step(&self, seed: u64, id: u64, config: &Config, at: (usize, u8)) -> Draft {
        let mut chance = Chance::new(seed, "step", id);
        let client = (id >> 32) as usize;
        let (home, db) = at;
        let reads = self.reads(seed, client, db);
        let at_ms = chance.between(config.start_ms, config.span_ms);
        let nodes = config.nodes as u64;
        let mut node = if chance.percent(self.roam_percent.max(if reads { 20 } else { 0 })) {
            chance.below(nodes) as usize
        } else {
            home
        };
        if self.quiet.is_some_and(|(quiet, from)| node == quiet && at_ms >= from) {
            node = (node + 1) % config.nodes;
        }
        let depth = if reads { 1 } else { chance.pick(self.depths) };
        let ask = |nth| if reads { Ask::Read(id) } else { Ask::Any(id << 8 | nth) };
        let asks = (0..depth).map(ask).collect();
        let fresh = chance.percent(self.churn_percent);
        let torn = chance.percent(self.torn_percent).then(|| {
            let permille = chance.between(0, 1000);
            let for_ms = chance.between(1, 2500);
            let then = chance.pick(&[Then::Close, Then::Reset, Then::Stall { for_ms }]);
            Torn { permille, then }
        });
        let step = Step { at_ms, client, node, fresh, ops: Vec::new(), db: None, torn };
        Draft { step, asks }
    }

    /// The go with its requests, in its client's database.
    pub(super) fn fill(&self, seed: u64, draft: Draft, db: u8) -> Step {
        let Draft { mut step, asks } = draft;
        let ask = |ask| match ask {
            Ask::Read(id) => {
                let mut chance = Chance::new(seed, "read", id);
                let number = chance.percent(self.strong.numbers_percent);
                Op::Get { key: self.strong.key(&mut chance, number) }
            }
            Ask::Any(number) => self.asked(seed, (step.client, db), number),
        };
        step.ops = asks.into_iter().map(ask).collect();
        step
    }

    /// A request, as it is or in its place another that fewer seeds have.
    fn asked(&self, seed: u64, by: (usize, u8), number: u64) -> Op {
        let op = self.op(seed, by, number);
        let mut chance = Chance::new(seed, "mixed", number);
        match by.1 {
            0 => self.mixed.strong(&mut chance, op, self.strong.terms_percent > 0),
            _ => {
                let other = self.key(&mut Chance::new(seed, "other key", number));
                self.mixed.others(&mut chance, op, other)
            }
        }
    }

    fn op(&self, seed: u64, by: (usize, u8), number: u64) -> Op {
        let mut chance = Chance::new(seed, "op", number);
        let (client, db) = by;
        if chance.below(10_000) < self.flushes {
            return if chance.percent(20) { Op::FlushAll } else { Op::FlushDb };
        }
        if chance.below(10_000) < self.saves {
            return Op::Save;
        }
        let size = if chance.percent(self.large_percent) {
            chance.between(LARGE.0 as u64, LARGE.1 as u64) as usize
        } else {
            chance.pick(self.sizes) as usize
        };
        let size = if db == 0 { size.min(self.strong.size_max) } else { size };
        let value = value_of(client, number & 0xffff_ffff_ffff, size);
        let mut batch = Chance::new(seed, "batch", number);
        if db == 0 && batch.percent(self.strong.batches.percent) {
            return self.strong.batch(&mut batch, value);
        }
        if db == 0 {
            return self.strong.op(&mut chance, value);
        }
        let key = self.key(&mut chance);
        let dice = chance.below(100);
        if dice < self.set_percent {
            Op::Set { key, value }
        } else if dice < self.set_percent + self.del_percent {
            Op::Del { key }
        } else if chance.percent(10) {
            Op::Exists { keys: vec![key] }
        } else {
            Op::Get { key }
        }
    }

    fn key(&self, chance: &mut Chance) -> String {
        if chance.percent(self.hot_percent) {
            format!("hot{}", chance.below(self.hot_keys))
        } else {
            format!("cold{}", chance.below(self.cold_keys))
        }
    }

    /// Requests around a fault, on the nodes that it strikes and one more.
    pub(super) fn storm(
        &self,
        seed: u64,
        number: u64,
        config: &Config,
        fault: &Fault,
    ) -> Vec<Draft> {
        let mut chance = Chance::new(seed, "storm", number);
        let mut nodes = fault.kind.nodes();
        nodes.push(chance.below(config.nodes as u64) as usize);
        let mut goes = Vec::new();
        let drawn_ms = chance.between(config.start_ms, config.span_ms);
        for go in 0..chance.between(2, 12) {
            let client = chance.below(config.clients as u64) as usize;
            let node = chance.pick(&nodes);
            let early = chance.below(60);
            let spread = if chance.percent(60) { 120 } else { fault.for_ms + 60 };
            let at_ms = fault.at_ms().unwrap_or(drawn_ms).saturating_sub(early);
            let at_ms = at_ms + chance.below(spread);
            let depth = chance.pick(&[1, 1, 3, 10]);
            // Above the numbers of all clients' own requests.
            let id = 1 << 47 | number << 16 | go << 8;
            let asks = (0..depth).map(|nth| Ask::Any(id | nth)).collect();
            let fresh = chance.percent(self.churn_percent);
            let ops = Vec::new();
            let step = Step { at_ms, client, node, fresh, ops, db: None, torn: None };
            goes.push(Draft { step, asks });
        }
        goes
    }
}

impl Batches {
    fn draw(seed: u64) -> Self {
        let mut chance = Chance::new(seed, "batches", 0);
        Self {
            percent: chance.pick(&[0, 0, 20, 50, 90]),
            pairs: chance.pick(&[1, 1, 3]),
            swap_percent: chance.pick(&[0, 30, 60]),
            rename_percent: chance.pick(&[0, 0, 30]),
            unless_percent: chance.pick(&[0, 30, 60]),
        }
    }
}

/// MSETNX of a pair of keys, or what lets it come to something or not.
fn unless(chance: &mut Chance, keys: Vec<String>, value: String) -> Op {
    let one = || keys[0].clone();
    match chance.below(10) {
        0 => Op::Set { key: one(), value },
        1 => Op::Del { key: one() },
        2 | 3 => {
            let parts = keys.into_iter().map(|key| Part::Del { key }).collect();
            Op::Transact { watched: false, parts }
        }
        4 | 5 => Op::GetBoth { keys },
        _ => Op::MSetNx { keys, value },
    }
}

impl Strong {
    fn draw(seed: u64, config: &Config) -> Self {
        let mut chance = Chance::new(seed, "strong", 0);
        Self {
            size_max: (config.limits.outbox_size_max / 16).min(config.window_bytes / 4),
            hot_keys: chance.pick(&[1, 1, 2, 4]),
            hot_percent: chance.pick(&[80, 95, 100]),
            numbers_percent: chance.pick(&[0, 30, 60]),
            set_percent: chance.pick(&[10, 30, 50]),
            del_percent: chance.pick(&[0, 5, 20]),
            conditional_percent: chance.pick(&[0, 10, 30]),
            several_percent: chance.pick(&[0, 3, 10]),
            confused: chance.percent(5),
            batches: Batches::draw(seed),
            terms_percent: match chance.pick(&[0, 0, 0, 10, 50]) {
                _ if Drama::draw(seed).is_some_and(Drama::ends) => 50,
                drawn => drawn,
            },
        }
    }

    /// A request on several keys at one moment, or on one that is watched.
    fn batch(&self, chance: &mut Chance, value: String) -> Op {
        let Batches { pairs, swap_percent, rename_percent, unless_percent, .. } = self.batches;
        let pair = chance.below(pairs);
        let keys = |tag: &str| ["a", "b"].map(|name| format!("{{{tag}{pair}}}{name}")).to_vec();
        if chance.percent(swap_percent) {
            let key = self.key(chance, false);
            let unwatched = chance.percent(20);
            return if unwatched { Op::Unwatched { key, value } } else { Op::Swap { key, value } };
        }
        if chance.percent(rename_percent) {
            let mut keys = keys("move");
            if chance.percent(50) {
                keys.reverse();
            }
            let [from, to] = [keys.remove(0), keys.remove(0)];
            return match chance.below(12) {
                0 | 1 => Op::Set { key: from, value },
                2..=5 => Op::GetBoth { keys: vec![from, to] },
                6 => Op::Copy { from, to },
                7 | 8 => Op::RenameNx { from, to },
                _ => Op::Rename { from, to },
            };
        }
        if chance.percent(unless_percent) {
            let mut keys = keys("nx");
            if chance.percent(50) {
                keys.reverse();
            }
            return unless(chance, keys, value);
        }
        let keys = keys("pair");
        if chance.percent(50) { Op::Both { keys, value } } else { Op::GetBoth { keys } }
    }

    fn op(&self, chance: &mut Chance, value: String) -> Op {
        let number = chance.percent(self.numbers_percent);
        let key = self.key(chance, number);
        if chance.percent(self.several_percent) {
            let more = chance.between(1, 2);
            let others = (0..more).map(|_| self.key(chance, number)).filter(|other| *other != key);
            let mut keys: Vec<String> = others.collect();
            keys.dedup();
            keys.push(key);
            return match chance.below(4) {
                0 => Op::MDel { keys },
                1 => Op::Exists { keys },
                _ => Op::MGet { keys },
            };
        }
        let writes = self.set_percent + self.del_percent + self.conditional_percent;
        let dice = chance.below(100);
        if dice < self.del_percent {
            return if chance.percent(30) { Op::GetDel { key } } else { Op::Del { key } };
        }
        if number && dice < writes {
            // Sums tell which of them were added, now and then.
            let by = chance.pick(&[1, 1, 1, -1, 1 << 20, 1 << 30, -(1 << 25)]);
            return Op::Add { key, by };
        }
        if dice < self.del_percent + self.set_percent {
            return match chance.percent(self.terms_percent) {
                true => Op::SetFor { key, value, for_ms: chance.pick(&[1, 30, 300, 2000]) },
                false => Op::Set { key, value },
            };
        }
        if dice < writes {
            return self.conditional(chance, key, value);
        }
        if self.confused && dice > 97 {
            return Op::Add { key, by: 1 };
        }
        if chance.percent(5) { Op::Exists { keys: vec![key] } } else { Op::Get { key } }
    }

    fn conditional(&self, chance: &mut Chance, key: String, value: String) -> Op {
        let get = chance.percent(30);
        // What is compared with is chosen when all writes are known.
        let condition = match chance.below(8) {
            0 => return Op::Append { key, value },
            1 => return Op::GetSet { key, value },
            2 => return Op::SetNx { key, value },
            3 => Condition::Absent,
            4 => Condition::Present,
            5 => Condition::Different("none".to_owned()),
            _ => Condition::Equal("none".to_owned()),
        };
        Op::SetIf { key, value, condition, get }
    }

    fn key(&self, chance: &mut Chance, number: bool) -> String {
        let kind = if number { "num" } else { "hot" };
        if chance.percent(self.hot_percent) {
            format!("{kind}{}", chance.below(self.hot_keys))
        } else {
            format!("{kind}{}", 10 + chance.below(30))
        }
    }
}
