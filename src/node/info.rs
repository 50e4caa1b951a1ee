//! What INFO tells: counters, and a view of the parts.

use std::{
    fmt::Write as _,
    hash::{Hash, Hasher},
};

use super::{
    checkpoint::Checkpoint,
    eventual::{Replica, hlc_ms},
    formation::Formation,
    gather::Counts,
    load::Load,
    observer::Observer,
    peers::Peers,
    removal::Removal,
    status::{Part, Slots},
    strong::Strong,
};
use crate::{
    command::about::REDIS_VERSION,
    members::Members,
    proto::Args,
    record::Db,
    time::{Instant, Now},
};

/// What a node counts.
#[derive(Clone, Debug)]
pub(super) struct Stats {
    started: Instant,
    /// Connections accepted.
    pub(super) connections: u64,
    /// Connections turned away over the limit.
    pub(super) turned_away: u64,
    /// Requests carried out.
    pub(super) commands: u64,
    /// Clients closed because they did not read.
    pub(super) stalled: u64,
    /// Cold starts of the cluster that this node has taken part in.
    pub(super) cold_starts: u64,
    /// How often a peer went Behind.
    pub(super) behind: u64,
    /// Records and flushes refused because their stamp was too far ahead.
    pub(super) ahead: u64,
    /// How much it is asked, and how soon it answers.
    pub(super) load: Load,
}

/// They are told, and decide nothing.
impl Hash for Stats {
    fn hash<H: Hasher>(&self, _: &mut H) {}
}

impl Stats {
    pub(super) fn new(now: Now) -> Self {
        Self {
            started: now.mono,
            connections: 0,
            turned_away: 0,
            commands: 0,
            stalled: 0,
            cold_starts: 0,
            behind: 0,
            ahead: 0,
            load: Load::default(),
        }
    }

    /// CONFIG RESETSTAT. The number of connections names the next one, and counts on.
    pub(super) const fn reset(&mut self) {
        (self.turned_away, self.commands, self.stalled) = (0, 0, 0);
        (self.behind, self.ahead) = (0, 0);
    }
}

impl Stats {
    /// The requests of a transaction are answered: each is a call of its own, as EXEC is.
    pub(super) fn count_each(&mut self, now: Instant, observer: &mut Observer, counts: &Counts) {
        let Counts { since, db, calls, keyed } = counts;
        let micros = now.as_micros().saturating_sub(since.as_micros());
        calls.iter().for_each(|call| observer.count_queued(*call, micros));
        self.commands += calls.len() as u64;
        // The first of those with keys is counted by EXEC, as an operation that was begun.
        self.load.on_more(now, (*since, *db), keyed.saturating_sub(1));
    }
}

/// Writes the lines of one section.
type Section = fn(&Source<'_>, &mut String);

/// Everything that INFO looks at.
pub(super) struct Source<'a> {
    pub(super) now: Now,
    pub(super) members: &'a Members,
    pub(super) replica: &'a Replica,
    pub(super) peers: &'a Peers,
    pub(super) strong: &'a Strong,
    pub(super) formation: &'a Formation,
    pub(super) stats: &'a Stats,
    pub(super) observer: &'a Observer,
    pub(super) checkpoint: &'a Checkpoint,
    pub(super) removal: &'a Removal,
    pub(super) clients: usize,
    /// Requests that wait by WAIT.
    pub(super) blocked: usize,
    /// Operations, and their bytes.
    pub(super) under_way: (usize, usize),
    /// What is wanted; the usual, if there are none.
    pub(super) sections: Args<'a>,
}

/// The text of INFO: sections of `name:value` lines, CRLF between them as Redis has it.
pub(super) fn render(source: &Source<'_>) -> String {
    let usual: [(&str, Section); 12] = [
        ("Server", server),
        ("Clients", clients),
        ("Memory", memory),
        ("Persistence", persistence),
        ("Stats", stats),
        ("Load", load),
        ("Replication", replication),
        ("CPU", |source, text| source.stats.load.write_processor(text)),
        ("Cluster", cluster),
        ("Strong", strong),
        ("Errorstats", |source, text| source.observer.write_errors(text)),
        ("Keyspace", keyspace),
    ];
    let others: [(&str, Section); 1] =
        [("Commandstats", |source, text| source.observer.write_calls(text))];
    let asked = |word: &str| {
        source.sections.iter().any(|section| section.eq_ignore_ascii_case(word.as_bytes()))
    };
    let all = asked("all") || asked("everything");
    let default = all || asked("default") || source.sections.is_empty();
    let mut text = String::new();
    let usual = usual.into_iter().map(|section| (section, default));
    for ((name, write), told) in usual.chain(others.into_iter().map(|section| (section, all))) {
        if told || asked(name) {
            if !text.is_empty() {
                text.push_str("\r\n");
            }
            line(&mut text, format_args!("# {name}"));
            write(source, &mut text);
        }
    }
    text
}

pub(super) fn line(text: &mut String, content: std::fmt::Arguments<'_>) {
    // Writing to a string can't fail.
    let _ = write!(text, "{content}\r\n");
}

fn server(source: &Source<'_>, text: &mut String) {
    let uptime = source.now.mono.since(source.stats.started).0 / 1000;
    line(text, format_args!("redis_version:{REDIS_VERSION}"));
    line(text, format_args!("quorate_version:{}", env!("CARGO_PKG_VERSION")));
    line(text, format_args!("redis_mode:standalone"));
    line(text, format_args!("uptime_in_seconds:{uptime}"));
    line(text, format_args!("node:{}", source.members.name(source.members.me())));
    line(text, format_args!("cluster_id:{:016x}", source.members.cluster_id()));
    line(text, format_args!("incarnation:{}", source.replica.incarnation()));
    line(text, format_args!("loading:0"));
}

fn clients(source: &Source<'_>, text: &mut String) {
    line(text, format_args!("connected_clients:{}", source.clients));
    line(text, format_args!("blocked_clients:{}", source.blocked));
    line(text, format_args!("maxclients:{}", source.observer.settings.clients_max));
}

fn memory(source: &Source<'_>, text: &mut String) {
    let store = &source.replica.store;
    source.stats.load.write_memory(text);
    let bytes: u64 = Db::ALL.into_iter().map(|db| store.bytes(db)).sum();
    // Keys, values and versions; not what tables and buffers add, which nobody counts.
    line(text, format_args!("used_memory_dataset:{bytes}"));
    line(text, format_args!("maxmemory:0"));
    line(text, format_args!("maxmemory_policy:noeviction"));
}

fn cluster(_: &Source<'_>, text: &mut String) {
    line(text, format_args!("cluster_enabled:0"));
}

fn persistence(source: &Source<'_>, text: &mut String) {
    let (checkpoint, journal) = (source.checkpoint, &source.replica.journal);
    let under_way = u8::from(!checkpoint.is_idle());
    let percent = checkpoint.percent(source.replica.store.slots());
    // What clients of Redis look for: the log is its append-only file, a checkpoint its snapshot.
    line(text, format_args!("loading:0"));
    line(text, format_args!("aof_enabled:1"));
    line(text, format_args!("rdb_bgsave_in_progress:{under_way}"));
    line(text, format_args!("rdb_last_save_time:{}", checkpoint.completed_at_ms() / 1000));
    line(text, format_args!("rdb_saves:{}", checkpoint.completed()));
    line(text, format_args!("log_bytes:{}", checkpoint.log_size(journal.logged())));
    line(text, format_args!("log_gathered_bytes:{}", journal.gathered()));
    line(text, format_args!("log_written_bytes:{}", journal.logged()));
    line(text, format_args!("checkpoint_percent:{percent}"));
    line(text, format_args!("checkpoint_bytes:{}", checkpoint.last_size()));
}

fn stats(source: &Source<'_>, text: &mut String) {
    let stats = source.stats;
    line(text, format_args!("total_connections_received:{}", stats.connections));
    line(text, format_args!("total_commands_processed:{}", stats.commands));
    line(text, format_args!("rejected_connections:{}", stats.turned_away));
    line(text, format_args!("stalled_connections:{}", stats.stalled));
    line(text, format_args!("stamps_refused_ahead:{}", stats.ahead));
    line(text, format_args!("total_error_replies:{}", source.observer.errors()));
}

fn load(source: &Source<'_>, text: &mut String) {
    source.stats.load.write(source.now.mono, text);
}

fn replication(source: &Source<'_>, text: &mut String) {
    line(text, format_args!("role:master"));
    // As ROLE says it: no replica follows one node only.
    line(text, format_args!("connected_slaves:0"));
    line(text, format_args!("master_repl_offset:0"));
    line(text, format_args!("members:{}", source.members.len()));
    line(text, format_args!("peers_went_behind:{}", source.stats.behind));
    removal(source, text);
    for peer in source.peers.iter() {
        let name = source.members.name(peer.id);
        let link = if peer.link().is_some() { "up" } else { "down" };
        let behind = u8::from(peer.outbox.is_behind());
        let (lag, copied) = (peer.outbox.len(), peer.repair.copied());
        line(
            text,
            format_args!(
                "peer{}:name={name},link={link},unacknowledged_bytes={lag},behind={behind},copied={copied}",
                peer.id.0
            ),
        );
    }
}

/// Whether deletions of databases 1 and 2 get as far as being forgotten. The floor rests when nobody
/// writes; one that is older than the oldest tombstone for long has a member to blame.
fn removal(source: &Source<'_>, text: &mut String) {
    let Source { now, members, replica, removal, .. } = source;
    let (reach, removed) = (removal.reach(), removal.removed());
    let floors = &replica.floors;
    let state = match (floors.is_sound(), floors.is_whole()) {
        (_, true) => "promising",
        (true, false) => "waiting_for_members",
        (false, false) => "without_floor",
    };
    line(text, format_args!("tombstone_floor_state:{state}"));
    if reach > 0 {
        let age_ms = now.wall_ms.saturating_sub(hlc_ms(reach));
        line(text, format_args!("tombstone_floor_age_ms:{age_ms}"));
    }
    let oldest = Db::ALL.into_iter().filter(|db| *db != Db::STRONG);
    let oldest = oldest.map(|db| replica.store.oldest_dead(db)).min();
    if let Some(oldest) = oldest.filter(|oldest| *oldest < u64::MAX) {
        let age_ms = now.wall_ms.saturating_sub(hlc_ms(oldest));
        line(text, format_args!("tombstone_oldest_age_ms:{age_ms}"));
    }
    if let Some(slowest) = floors.slowest() {
        line(text, format_args!("tombstone_floor_held_by:{}", members.name(slowest)));
    }
    line(text, format_args!("tombstones_removed:{}", removed.tombstones));
    line(text, format_args!("expired_removed:{}", removed.expired));
}

fn strong(source: &Source<'_>, text: &mut String) {
    let Source { members, peers, strong, formation, replica, .. } = source;
    let part = Part::own(strong, formation);
    let voters = peers.voters() + usize::from(part == Part::Voting);
    let slots = Slots::count(strong, members.len(), replica.store.slots());
    let (under_way, size) = source.under_way;
    line(text, format_args!("state:{}", part.name().replace(' ', "_")));
    line(text, format_args!("cold_starts:{}", source.stats.cold_starts));
    if let Some(obstacle) = strong.obstacle(peers) {
        line(text, format_args!("obstacle:{obstacle}"));
    }
    line(text, format_args!("majority_reached:{}", u8::from(voters >= members.quorum())));
    line(text, format_args!("voters:{voters}"));
    line(text, format_args!("voters_needed:{}", members.quorum()));
    line(text, format_args!("slots:{}", replica.store.slots()));
    line(text, format_args!("slots_led:{}", slots.led_by(members.me())));
    line(text, format_args!("slots_vacant:{}", slots.vacant));
    for (index, led) in slots.led.iter().enumerate() {
        line(text, format_args!("slots_led_by_n{index}:{led}"));
    }
    line(text, format_args!("highest_ballot:{}", strong.highest()));
    line(text, format_args!("operations:{under_way}"));
    line(text, format_args!("operations_bytes:{size}"));
    line(text, format_args!("operations_parked:{}", strong.parked()));
}

fn keyspace(source: &Source<'_>, text: &mut String) {
    for db in Db::ALL {
        let store = &source.replica.store;
        let (live, dead, ends) = (store.live(db), store.tombstones(db), store.expiring(db));
        if live + dead > 0 {
            line(
                text,
                format_args!("db{}:keys={live},expires={ends},tombstones={dead}", db.number()),
            );
        }
    }
}
