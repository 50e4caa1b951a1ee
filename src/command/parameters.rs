//! CONFIG: parameters by the names that Redis has for them.
//!
//! Three kinds: what can be set while a node runs ([`Settings`]); what Redis could set and a node
//! can't, so that only the value in force is accepted; and what Redis can't set either. A parameter
//! that is not listed has no meaning here, and is unknown.

use std::fmt;

use super::glob;
use crate::{
    limits::Limits,
    proto::{Args, integer, reply::ReplyWriter},
    record::{Db, VALUE_SIZE_MAX},
    time::Millis,
};

/// Slow requests that may be kept: each takes up to 600 bytes.
pub const SLOW_LOG_MAX: usize = 10_000;

/// What can be set while a node runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// slowlog-log-slower-than, in microseconds; below zero nothing is logged.
    pub slower_than_us: i64,
    /// slowlog-max-len.
    pub slow_log_len: usize,
    /// latency-monitor-threshold; zero turns it off.
    pub latency_threshold: Millis,
    /// maxclients.
    pub clients_max: usize,
    /// The most that maxclients may be: for what the node was started with there is memory.
    pub clients_ceiling: usize,
    /// Whether what is acknowledged is on the disk itself.
    pub synced: bool,
}

impl Settings {
    /// As a node begins.
    #[must_use]
    pub const fn new(limits: &Limits, synced: bool) -> Self {
        Self {
            slower_than_us: 10_000,
            slow_log_len: 128,
            latency_threshold: Millis(0),
            clients_max: limits.clients_max,
            clients_ceiling: limits.clients_max,
            synced,
        }
    }

    /// The answer to CONFIG GET.
    pub fn show(&self, patterns: Args<'_>, reply: &mut ReplyWriter<'_>) {
        let wanted = |name: &str| {
            let name = name.as_bytes();
            patterns.iter().any(|pattern| glob::matches(&pattern.to_ascii_lowercase(), name))
        };
        let wanted = || TABLE.iter().filter(|(name, _)| wanted(name));
        reply.map(wanted().count());
        for (name, parameter) in wanted() {
            reply.bulk(name.as_bytes());
            reply.bulk(self.value(*parameter).as_bytes());
        }
    }

    /// CONFIG SET: all of it, or nothing.
    ///
    /// # Errors
    /// What is wrong with one of the values.
    pub fn set<'a>(&mut self, pairs: Args<'a>) -> Result<(), Wrong<'a>> {
        let mut new = *self;
        for (index, (name, value)) in pairs.pairs().enumerate() {
            let (known, parameter) = find(name)?;
            let mut earlier = pairs.pairs().take(index);
            if earlier.any(|(other, _)| other.eq_ignore_ascii_case(name)) {
                return Err(Wrong::Value { name: known, why: Why::Twice });
            }
            let set = new.set_one(parameter, value);
            set.map_err(|why| Wrong::Value { name: known, why })?;
        }
        *self = new;
        Ok(())
    }

    fn set_one(&mut self, parameter: Parameter, value: &[u8]) -> Result<(), Why> {
        let number = |most: i64| {
            let number = integer(value).ok_or(Why::NoInteger)?;
            if (0..=most).contains(&number) { Ok(number as u64) } else { Err(Why::Range(most)) }
        };
        match parameter {
            Parameter::LatencyMonitorThreshold => {
                self.latency_threshold = Millis(number(i64::MAX)?);
            }
            Parameter::MaxClients => {
                let wanted = integer(value).ok_or(Why::NoInteger)?;
                let fits = usize::try_from(wanted).ok().filter(|count| *count > 0);
                let fits = fits.filter(|count| *count <= self.clients_ceiling);
                self.clients_max = fits.ok_or(Why::Clients(self.clients_ceiling))?;
            }
            Parameter::SlowLogLogSlowerThan => {
                self.slower_than_us = integer(value).ok_or(Why::NoInteger)?;
            }
            Parameter::SlowLogMaxLen => {
                self.slow_log_len = number(SLOW_LOG_MAX as i64)? as usize;
            }
            Parameter::ClusterEnabled | Parameter::Databases => return Err(Why::Immutable),
            Parameter::AppendFsync
            | Parameter::AppendOnly
            | Parameter::MaxMemory
            | Parameter::MaxMemoryPolicy
            | Parameter::ProtoMaxBulkLen
            | Parameter::Save
            | Parameter::Timeout => {
                if !value.eq_ignore_ascii_case(self.value(parameter).as_bytes()) {
                    return Err(Why::Fixed);
                }
            }
        }
        Ok(())
    }

    fn value(&self, parameter: Parameter) -> String {
        match parameter {
            Parameter::AppendFsync if self.synced => "always".to_owned(),
            Parameter::AppendFsync => "everysec".to_owned(),
            Parameter::AppendOnly => "yes".to_owned(),
            Parameter::ClusterEnabled => "no".to_owned(),
            Parameter::Databases => Db::COUNT.to_string(),
            Parameter::LatencyMonitorThreshold => self.latency_threshold.0.to_string(),
            Parameter::MaxClients => self.clients_max.to_string(),
            Parameter::MaxMemory | Parameter::Timeout => "0".to_owned(),
            Parameter::MaxMemoryPolicy => "noeviction".to_owned(),
            Parameter::ProtoMaxBulkLen => VALUE_SIZE_MAX.to_string(),
            Parameter::Save => String::new(),
            Parameter::SlowLogLogSlowerThan => self.slower_than_us.to_string(),
            Parameter::SlowLogMaxLen => self.slow_log_len.to_string(),
        }
    }
}

#[derive(Clone, Copy, Debug)]
enum Parameter {
    AppendFsync,
    AppendOnly,
    ClusterEnabled,
    Databases,
    LatencyMonitorThreshold,
    MaxClients,
    MaxMemory,
    MaxMemoryPolicy,
    ProtoMaxBulkLen,
    Save,
    SlowLogLogSlowerThan,
    SlowLogMaxLen,
    Timeout,
}

static TABLE: [(&str, Parameter); 13] = [
    ("appendfsync", Parameter::AppendFsync),
    ("appendonly", Parameter::AppendOnly),
    ("cluster-enabled", Parameter::ClusterEnabled),
    ("databases", Parameter::Databases),
    ("latency-monitor-threshold", Parameter::LatencyMonitorThreshold),
    ("maxclients", Parameter::MaxClients),
    ("maxmemory", Parameter::MaxMemory),
    ("maxmemory-policy", Parameter::MaxMemoryPolicy),
    ("proto-max-bulk-len", Parameter::ProtoMaxBulkLen),
    ("save", Parameter::Save),
    ("slowlog-log-slower-than", Parameter::SlowLogLogSlowerThan),
    ("slowlog-max-len", Parameter::SlowLogMaxLen),
    ("timeout", Parameter::Timeout),
];

/// Names of all parameters, and what each may be set to while a node runs.
pub fn parameters() -> impl Iterator<Item = (&'static str, &'static str)> {
    TABLE.iter().map(|(name, parameter)| {
        let settable = match parameter {
            Parameter::LatencyMonitorThreshold
            | Parameter::MaxClients
            | Parameter::SlowLogLogSlowerThan
            | Parameter::SlowLogMaxLen => "any value",
            Parameter::AppendFsync
            | Parameter::AppendOnly
            | Parameter::MaxMemory
            | Parameter::MaxMemoryPolicy
            | Parameter::ProtoMaxBulkLen
            | Parameter::Save
            | Parameter::Timeout => "the value in force",
            Parameter::ClusterEnabled | Parameter::Databases => "nothing, as in Redis",
        };
        (*name, settable)
    })
}

fn find(name: &[u8]) -> Result<(&'static str, Parameter), Wrong<'_>> {
    let found = TABLE.iter().find(|(known, _)| name.eq_ignore_ascii_case(known.as_bytes()));
    found.copied().ok_or(Wrong::Unknown(name))
}

/// Why nothing was set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wrong<'a> {
    /// There is no such parameter.
    Unknown(&'a [u8]),
    /// It does not take that value.
    Value {
        /// Which.
        name: &'static str,
        /// Why.
        why: Why,
    },
}

/// What is wrong with the value of a parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// More clients than that.
    Clients(usize),
    /// A node has it as it is.
    Fixed,
    /// Nor could Redis.
    Immutable,
    /// It is no number.
    NoInteger,
    /// It is below zero or above this.
    Range(i64),
    /// It is named twice.
    Twice,
}

impl fmt::Display for Wrong<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, why) = match self {
            Self::Unknown(name) => {
                let name = String::from_utf8_lossy(name);
                let text = "ERR Unknown option or number of arguments for CONFIG SET";
                return write!(f, "{text} - '{name}'");
            }
            Self::Value { name, why } => (name, why),
        };
        write!(f, "ERR CONFIG SET failed (possibly related to argument '{name}') - ")?;
        match why {
            Why::Clients(most) => write!(f, "a node that was started so takes 1 to {most} clients"),
            Why::Fixed => f.write_str("a node can't change this while it runs"),
            Why::Immutable => f.write_str("can't set immutable config"),
            Why::NoInteger => f.write_str("argument couldn't be parsed into an integer"),
            Why::Range(most) => write!(f, "argument must be between 0 and {most} inclusive"),
            Why::Twice => f.write_str("duplicate parameter"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_checked_before_anything_is_set() {
        let mut settings = Settings::new(&Limits::DEFAULT, true);
        let mut set = |name: &str, value: &str| {
            let (_, parameter) = find(name.as_bytes()).expect("a parameter");
            settings.set_one(parameter, value.as_bytes())
        };
        assert_eq!(set("slowlog-max-len", "0"), Ok(()));
        assert_eq!(set("SLOWLOG-max-len", "10001"), Err(Why::Range(10_000)));
        assert_eq!(set("slowlog-log-slower-than", "-1"), Ok(()));
        assert_eq!(set("latency-monitor-threshold", "1.5"), Err(Why::NoInteger));
        assert_eq!(set("maxclients", "0"), Err(Why::Clients(10_000)));
        assert_eq!(set("maxclients", "10001"), Err(Why::Clients(10_000)));
        assert_eq!(set("maxclients", "7"), Ok(()));
        assert_eq!((set("save", ""), set("save", "60 1")), (Ok(()), Err(Why::Fixed)));
        assert_eq!(
            (set("appendfsync", "Always"), set("appendonly", "no")),
            (Ok(()), Err(Why::Fixed))
        );
        assert_eq!(set("databases", "3"), Err(Why::Immutable));
        assert_eq!((settings.slow_log_len, settings.clients_max), (0, 7));
        assert_eq!(find(b"hz").map(|_| ()), Err(Wrong::Unknown(b"hz")));
    }

    #[test]
    fn parameters_stand_in_order() {
        assert!(TABLE.is_sorted_by_key(|(name, _)| *name));
    }
}
