//! What one node told at one moment: its INFO and its STATUS, read into figures.
//!
//! A figure that a node does not tell is not there; none is made up.

use std::{collections::BTreeMap, io, time::Instant};

use crate::cli::resp::{Connection, Value};

/// Databases, which are levels.
pub(super) const LEVELS: [&str; 3] = ["strong", "quorum", "eventual"];

/// One node's figures.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Sample {
    pub(super) at: Instant,
    fields: BTreeMap<String, String>,
    status: Status,
}

/// What STATUS says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Status {
    name: Option<String>,
    own: Option<String>,
    stuck: Option<String>,
    members: Vec<Member>,
}

/// One member, as a node sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Member {
    pub(super) name: String,
    /// "up, voting", "suspect, voting", "unreachable".
    pub(super) state: String,
    /// Bytes that it has not acknowledged; nothing of the node itself.
    pub(super) lacks: Option<u64>,
    /// It misses more than that, and is repaired.
    pub(super) behind: bool,
}

impl Member {
    /// Whether the node that says so does not count on this member.
    pub(super) fn is_suspect(&self) -> bool {
        self.state.starts_with("suspect") || self.state.starts_with("unreachable")
    }
}

impl Sample {
    /// Asks a node.
    pub(super) fn take(connection: &mut Connection) -> io::Result<Self> {
        let info = text(connection.ask(&["INFO"])?)?;
        let status = text(connection.ask(&["STATUS"])?)?;
        Ok(Self::read(Instant::now(), &info, &status))
    }

    fn read(at: Instant, info: &str, status: &str) -> Self {
        let fields = info.lines().filter_map(|line| line.split_once(':'));
        let fields = fields.map(|(name, value)| (name.to_owned(), value.trim().to_owned()));
        Self { at, fields: fields.collect(), status: read_status(status) }
    }

    /// A number of INFO.
    pub(super) fn number(&self, name: &str) -> Option<u64> {
        self.fields.get(name)?.parse().ok()
    }

    /// A number within a line of INFO, as `count=3,p50=17`.
    pub(super) fn part(&self, name: &str, part: &str) -> Option<u64> {
        let parts = self.fields.get(name)?.split(',');
        let value = parts.filter_map(|field| field.split_once('=')).find(|(key, _)| *key == part);
        value?.1.parse().ok()
    }

    /// How fast a counter of INFO has risen since an earlier sample, a second; `None` if the node
    /// has started anew meanwhile.
    pub(super) fn rate(&self, earlier: &Self, name: &str) -> Option<f64> {
        let risen = self.risen(earlier, name)?;
        let seconds = (self.at - earlier.at).as_secs_f64();
        (seconds > 0.0).then(|| risen as f64 / seconds)
    }

    /// By how much a counter has risen.
    pub(super) fn risen(&self, earlier: &Self, name: &str) -> Option<u64> {
        let life = |sample: &Self| sample.fields.get("incarnation").cloned();
        if life(self) != life(earlier) {
            return None;
        }
        self.number(name)?.checked_sub(earlier.number(name)?)
    }

    /// Keys of all databases.
    pub(super) fn keys(&self) -> u64 {
        let databases = 0..LEVELS.len();
        databases.filter_map(|db| self.part(&format!("db{db}"), "keys")).sum()
    }

    /// What the node is called by all.
    pub(super) fn name(&self) -> Option<&str> {
        self.status.name.as_deref()
    }

    /// The state that the node says it is in.
    pub(super) fn state(&self) -> Option<&str> {
        self.status.own.as_deref()
    }

    /// What keeps it from voting.
    pub(super) fn stuck(&self) -> Option<&str> {
        self.status.stuck.as_deref()
    }

    /// All members, as this one sees them.
    pub(super) fn members(&self) -> &[Member] {
        &self.status.members
    }
}

fn text(value: Value) -> io::Result<String> {
    if let Some(error) = value.error() {
        return Err(io::Error::other(error.to_owned()));
    }
    let bytes = value.text().ok_or_else(|| io::Error::other("no text"))?;
    Ok(String::from_utf8_lossy(bytes).into_owned())
}

fn read_status(text: &str) -> Status {
    let mut status = Status::default();
    for line in text.lines() {
        let Some((word, rest)) = line.split_once(' ') else { continue };
        let rest = rest.trim();
        match word {
            "node" => {
                if let Some((who, state)) = rest.split_once(", ") {
                    status.name = who.split_whitespace().nth(1).map(str::to_owned);
                    status.own = Some(state.to_owned());
                }
            }
            "stuck" => status.stuck = Some(rest.to_owned()),
            "member" => status.members.extend(read_member(rest)),
            _ => {}
        }
    }
    status
}

/// From `n1 localhost:9001: up, voting, leads 5461, lacks 0 bytes`.
fn read_member(line: &str) -> Option<Member> {
    let (who, what) = line.split_once(": ")?;
    let name = who.split_whitespace().nth(1)?.to_owned();
    let (state, rest) = what.split_once(", leads ")?;
    let lacks = rest.split_once("lacks ").and_then(|(_, lacks)| {
        let digits = lacks.split_whitespace().next()?;
        digits.parse().ok()
    });
    Some(Member { name, state: state.to_owned(), lacks, behind: rest.ends_with("is Behind") })
}

#[cfg(test)]
pub(super) mod tests {
    use std::time::Duration;

    use super::*;

    pub(in crate::cli::top) const STATUS: &str = "\
node       n0 localhost:9000, voting
majority   reached: 2 of 3 vote, 2 needed
stuck      something is in the way
slots      16384, 0 without a leader; highest ballot 3.1
under way  0 operations of 0 bytes, 0 of them wait for a leader
member     n0 localhost:9000: this node, voting, leads 10000
member     n1 localhost:9001: suspect, voting, leads 6384, lacks 512 bytes, is Behind
member     n2 localhost:9002: up, recovering, leads 0, lacks 0 bytes
";

    pub(in crate::cli::top) fn sample(at: Instant, operations: u64, life: u64) -> Sample {
        let info = format!(
            "# Server\r\nincarnation:{life}\r\n\r\n# Load\r\nrequests_strong:{operations}\r\n\
             requests_quorum:0\r\nrequests_eventual:5\r\n\
             latency_us_strong:count=9,p50=400,p99=2500,p999=9000,max=9100\r\nlog_syncs:{operations}\r\n\
             log_sync_us:{}\r\nused_memory_rss:52428800\r\nslots_led:10000\r\n\
             db0:keys=7,expires=0,tombstones=1\r\ndb2:keys=3,expires=0,tombstones=0\r\n",
            operations * 1500
        );
        Sample::read(at, &info, STATUS)
    }

    #[test]
    fn figures_are_read_and_none_is_made_up() {
        let now = Instant::now();
        let (first, second) = (sample(now, 100, 1), sample(now + Duration::from_secs(2), 500, 1));
        assert_eq!(second.rate(&first, "requests_strong"), Some(200.0));
        assert_eq!(second.risen(&first, "log_sync_us"), Some(600_000));
        assert_eq!(second.part("latency_us_strong", "p99"), Some(2500));
        assert_eq!(second.keys(), 10);
        for name in ["requests_none", "role"] {
            assert_eq!(second.rate(&first, name), None);
        }
        assert_eq!(second.part("latency_us_quorum", "p99"), None);
        let restarted = sample(now + Duration::from_secs(4), 900, 2);
        assert_eq!(restarted.rate(&second, "requests_strong"), None, "it counts from zero again");
    }

    #[test]
    fn members_are_read_from_status() {
        let sample = sample(Instant::now(), 1, 1);
        assert_eq!(sample.name(), Some("localhost:9000"));
        assert_eq!(
            (sample.state(), sample.stuck()),
            (Some("voting"), Some("something is in the way"))
        );
        let seen: Vec<_> =
            sample.members().iter().map(|m| (m.name.as_str(), m.is_suspect())).collect();
        let expected =
            [("localhost:9000", false), ("localhost:9001", true), ("localhost:9002", false)];
        assert_eq!(seen, expected);
        let lacks: Vec<_> = sample.members().iter().map(|m| (m.lacks, m.behind)).collect();
        assert_eq!(lacks, [(None, false), (Some(512), true), (Some(0), false)]);
    }
}
