//! The file `identity`: whose directory this is, and how often it has lived.
//!
//! ```text
//! quorate identity 2
//! cluster 6f1c0e6f2f1d3a77
//! node 0
//! slots 16384
//! incarnation 1764000000000
//! birth 1763000000000
//! lost no
//! begun 4711
//! fsync everysec
//! boot 0c3a51de-8a0b-4a5c-9f6e-5b8b5c1f2a10
//! members localhost:9000 localhost:9001 localhost:9002
//! checksum 83f7c1a2b4d5e6f7
//! ```
//!
//! `birth` is the incarnation of the directory's first life, and stays: a directory that was deleted
//! and made again has another. Format 1 did not have it: the birth of such a directory is the
//! incarnation that stands in it. The checksum is the xxh3 of the lines before it. The file is
//! replaced whole: written under another name, synced, renamed. `lost` stays `yes` from a repair
//! until the node has again what it lost; it is `tail` where that is at most what a power failure
//! took from behind the last sync, or where an operator wants a cold start. `begun` is the first
//! frame of this life: the mark of a clean shutdown counts only if the last life wrote it. `fsync`
//! says what made a write count as durable in this life, and `boot` which boot of the machine it
//! began in, or `unknown`: a life that vouched for what the disk did not have yet has lost some of it
//! when the machine went down. A file without the two is of a life that did not. Members stand here
//! only for messages.

use xxhash_rust::xxh3::xxh3_64;

use super::{
    disk::{Disk, DiskError},
    frame::Seq,
    header::{FORMAT, FORMAT_OLDEST, Owner},
    survey::Fault,
};
use crate::{
    probe::{Mutant, planted},
    record::NodeId,
};

pub(super) const IDENTITY: &str = "identity";
pub(super) const UNFINISHED_IDENTITY: &str = "identity.tmp";
/// Far more than the names of all members take; a larger file is something else.
const SIZE_MAX: u64 = 64 * 1024;
/// The first format that has a birth.
const WITH_BIRTH: u16 = 2;
const TITLE: &str = "quorate identity";
const LAX: &str = "everysec";
const STRICT: &str = "always";
const NO_BOOT: &str = "unknown";

/// Who opens a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Home {
    /// The cluster's id.
    pub cluster: u64,
    /// This node.
    pub node: NodeId,
    /// How many slots the cluster has.
    pub slots: u32,
    /// The names of all members, in order.
    pub members: Vec<String>,
}

/// What a life vouches for, and when.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Habit {
    /// It vouches for what the system has and the disk may not have yet.
    pub lax: bool,
    /// The boot of the machine that it begins in; empty if nobody can tell.
    pub boot: String,
    /// An operator wants a cold start: however much this life has, it does not vote before that.
    pub cold: bool,
}

impl Habit {
    /// Whether a life that did not end cleanly, followed by one of this habit, may have lost what
    /// it vouched for.
    pub(super) fn may_have_lost(&self, next: &Self) -> bool {
        let other_boot = self.boot.is_empty() || self.boot != next.boot;
        self.lax && other_boot && !planted(Mutant::BootIgnored)
    }
}

impl Home {
    /// What stands in the headers of files.
    #[must_use]
    pub const fn owner(&self) -> Owner {
        Owner { cluster: self.cluster, node: self.node, slots: self.slots }
    }
}

/// What a directory may lack of what its node vouched for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Loss {
    /// Nothing.
    #[default]
    None,
    /// What was written behind the last sync of a life.
    Tail,
    /// Anything.
    More,
}

impl Loss {
    const fn name(self) -> &'static str {
        match self {
            Self::None => "no",
            Self::Tail => "tail",
            Self::More => "yes",
        }
    }

    fn named(name: &str) -> Self {
        let named = [Self::Tail, Self::More].into_iter().find(|loss| loss.name() == name);
        named.unwrap_or_default()
    }
}

/// Forgets that the directory has lost data: the node has it again from its peers.
///
/// # Errors
/// If the disk fails.
pub fn recovered<D: Disk>(disk: &mut D) -> Result<(), DiskError> {
    match Identity::load(disk)? {
        Ok(identity) => Identity { loss: Loss::None, ..identity }.store(disk),
        Err(fault) => Err(DiskError {
            action: "read",
            file: IDENTITY.to_owned(),
            reason: fault.to_string(),
            full: false,
        }),
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    pub(super) home: Home,
    pub(super) incarnation: u64,
    pub(super) birth: u64,
    pub(super) loss: Loss,
    pub(super) begun: Seq,
    pub(super) habit: Habit,
}

impl Identity {
    /// Reads the file, which is there.
    pub(super) fn load<D: Disk>(disk: &mut D) -> Result<Result<Self, Fault>, DiskError> {
        let file = disk.open(IDENTITY)?;
        let size = disk.size(&file)?;
        if size > SIZE_MAX {
            return Ok(Err(Fault::Identity));
        }
        let mut bytes = vec![0; size as usize];
        let mut filled = 0;
        while let Some(space) = bytes.get_mut(filled..).filter(|space| !space.is_empty()) {
            let read = disk.read(&file, filled as u64, space)?;
            if read == 0 {
                break;
            }
            filled += read;
        }
        bytes.truncate(filled);
        let text = std::str::from_utf8(&bytes).ok();
        Ok(text.and_then(checked).map_or(Err(Fault::Identity), Self::parse))
    }

    /// Replaces the file, durably.
    pub(super) fn store<D: Disk>(&self, disk: &mut D) -> Result<(), DiskError> {
        if disk.names()?.iter().any(|name| name == UNFINISHED_IDENTITY) {
            disk.remove(UNFINISHED_IDENTITY)?;
        }
        let file = disk.create(UNFINISHED_IDENTITY)?;
        disk.write(&file, 0, self.text().as_bytes())?;
        disk.sync(&file)?;
        disk.rename(UNFINISHED_IDENTITY, IDENTITY)?;
        if planted(Mutant::NoNamesSync) { Ok(()) } else { disk.sync_names() }
    }

    /// What keeps `home` from using what is in the directory, if anything does.
    pub(super) fn refusal(&self, home: &Home) -> Option<Fault> {
        let name = |of: &Home, at: NodeId| {
            let name = of.members.get(at.index()).map_or("unknown", String::as_str);
            format!("{at} ({name})")
        };
        let own = &self.home;
        if own.cluster != home.cluster {
            let (found, ours) = (own.members.join(" "), home.members.join(" "));
            let found = format!("{:016x} ({found})", own.cluster);
            return Some(Fault::Cluster { found, ours: format!("{:016x} ({ours})", home.cluster) });
        }
        if own.node != home.node {
            let (found, ours) = (name(own, own.node), name(home, home.node));
            return Some(Fault::Node { found, ours });
        }
        let (found, ours) = (own.slots, home.slots);
        (found != ours).then_some(Fault::Slots { found, ours })
    }

    fn text(&self) -> String {
        let Home { cluster, node, slots, members } = &self.home;
        let (incarnation, birth) = (self.incarnation, self.birth);
        let members = members.join(" ");
        let lost = self.loss.name();
        let fsync = if self.habit.lax { LAX } else { STRICT };
        let boot = if self.habit.boot.is_empty() { NO_BOOT } else { &self.habit.boot };
        let text = format!(
            "{TITLE} {FORMAT}\ncluster {cluster:016x}\nnode {}\nslots {slots}\n\
             incarnation {incarnation}\nbirth {birth}\nlost {lost}\nbegun {}\nfsync {fsync}\n\
             boot {boot}\nmembers {members}\n",
            node.0, self.begun
        );
        let checksum = xxh3_64(text.as_bytes());
        format!("{text}checksum {checksum:016x}\n")
    }

    fn parse(text: &str) -> Result<Self, Fault> {
        let mut lines = text.lines().peekable();
        let mut value = |name: &str| {
            let named = |line: &&str| line.strip_prefix(name).is_some_and(|l| l.starts_with(' '));
            lines.next_if(named)?.strip_prefix(name)?.strip_prefix(' ')
        };
        let title = value(TITLE).and_then(|format| format.parse::<u16>().ok());
        let format = match title {
            Some(format) if (FORMAT_OLDEST..=FORMAT).contains(&format) => format,
            Some(found) => return Err(Fault::Format { found, known: FORMAT }),
            None => return Err(Fault::Identity),
        };
        let mut read = || {
            let cluster = u64::from_str_radix(value("cluster")?, 16).ok()?;
            let node = NodeId(value("node")?.parse().ok()?);
            let slots = value("slots")?.parse().ok()?;
            let incarnation = value("incarnation")?.parse().ok()?;
            let birth =
                if format < WITH_BIRTH { incarnation } else { value("birth")?.parse().ok()? };
            let loss = Loss::named(value("lost")?);
            let begun = Seq(value("begun")?.parse().ok()?);
            let lax = value("fsync").is_some_and(|fsync| fsync == LAX);
            let boot = value("boot").filter(|boot| *boot != NO_BOOT).unwrap_or_default();
            let habit = Habit { lax, boot: boot.to_owned(), cold: false };
            let members = value("members")?.split_whitespace().map(str::to_owned).collect();
            let home = Home { cluster, node, slots, members };
            Some(Self { home, incarnation, birth, loss, begun, habit })
        };
        read().ok_or(Fault::Identity)
    }
}

/// The text before the checksum, if that is right.
fn checked(text: &str) -> Option<&str> {
    let end = text.rfind("checksum ")?;
    let (text, line) = text.split_at_checked(end)?;
    (line == format!("checksum {:016x}\n", xxh3_64(text.as_bytes()))).then_some(text)
}
