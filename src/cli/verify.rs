//! `quorate verify DIR`: says what is in a data directory and whether all of it is as it was
//! written.
//!
//! Reads identity, checkpoint and log from end to end and changes nothing. The node may run: what
//! it appends meanwhile is not seen, or seen as a torn end, which is no damage.

use std::{fmt::Write as _, path::PathBuf};

use clap::Args;
use quorate::{
    log::{self, Entry, Verified},
    os::Directory,
    record::Version,
};

use super::{Failure, say};

const EXAMPLES: &str = "\
Examples:
  quorate verify ./quorate-9000    exit code 0: intact; 2: damaged, or no data directory

The node may run meanwhile. Damage is named by file and byte; what to do about it stands in
the message of a node that refuses to start with it.";

/// What to look at.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Verify {
    /// The data directory of a node
    dir: PathBuf,
}

impl Verify {
    /// Prints what there is; fails if it is not intact.
    pub(crate) fn run(self) -> Result<(), Failure> {
        let shown = self.dir.display().to_string();
        let mut directory = look(&self.dir)?;
        let mut flushes = 0;
        let verified = log::verify(&mut directory, &mut |entry| {
            // A checkpoint has an entry for a database that was never flushed, too.
            let flushed = matches!(entry, Entry::Flush { stamp, .. } if stamp > Version::NONE);
            flushes += u64::from(flushed);
        })?;
        check_is_data(&shown, &verified)?;
        say(format_args!("directory   {shown}\n{}", describe(&verified, flushes)));
        let faults = faults(&verified);
        if faults > 0 {
            return Err(Failure::Refused(format!("{shown} is not intact: {faults} found")));
        }
        say(format_args!("result      intact\n"));
        Ok(())
    }
}

/// Opens a data directory to look at, whoever uses it.
pub(super) fn look(path: &std::path::Path) -> Result<Directory, Failure> {
    Directory::look(path).map_err(|error| Failure::Refused(error.to_string()))
}

/// Refuses a directory without data: it is more likely a wrong name than an empty node.
pub(super) fn check_is_data(shown: &str, verified: &Verified) -> Result<(), Failure> {
    let files = verified.checkpoint.is_some() || verified.segments > 0;
    if files || verified.home.is_some() || faults(verified) > 0 {
        return Ok(());
    }
    Err(Failure::Refused(format!(
        "{shown} is no data directory: there is no identity, checkpoint or log in it"
    )))
}

/// How many things are wrong.
pub(super) fn faults(verified: &Verified) -> u64 {
    verified.findings.len() as u64 + verified.findings_more
}

fn describe(verified: &Verified, flushes: u64) -> String {
    let mut text = String::new();
    let mut line = |name: &str, content: String| {
        // Writing to a string can't fail.
        let _ = writeln!(text, "{name:<11} {content}");
    };
    if let Some(home) = &verified.home {
        let name = home.members.get(home.node.index()).map_or("unknown", String::as_str);
        let (node, cluster, life) = (home.node, home.cluster, verified.incarnation);
        let birth = verified.birth;
        let lives = format!("life {life}, the first {birth}");
        line("owner", format!("{node} {name} of cluster {cluster:016x}, {lives}"));
    }
    if verified.lost {
        line("lost", "a repair lost data; the node gets from its peers what they have".to_owned());
    }
    let checkpoint = match verified.checkpoint {
        Some(start) => format!("1, of everything before frame {start}"),
        None => "0".to_owned(),
    };
    line("checkpoints", checkpoint);
    let (last, synced) = (verified.last, verified.synced);
    let end = if verified.clean { "closed in order" } else { "not closed" };
    let segments = verified.segments;
    line("segments", format!("{segments}, to frame {last}, synced to {synced} or more; {end}"));
    line("frames", format!("{} whole, {} bytes", verified.frames, verified.bytes));
    let (records, tombstones) = (verified.records, verified.tombstones);
    line("records", format!("{records}, {tombstones} of them tombstones; a key may have several"));
    line("flushes", flushes.to_string());
    let (promises, drops, copied) = (verified.promises, verified.drops, verified.copied);
    if promises + drops + copied > 0 {
        let counts =
            format!("{promises} promises, {drops} drops, {copied} changes of copied slots");
        line("strong", counts);
    }
    if let Some(births) = &verified.births {
        line("formed", format!("a cluster of {}", births.len()));
    }
    if let Some((low, high)) = verified.versions {
        line("versions", format!("{low} to {high}"));
    }
    if let Some(cut) = &verified.cut {
        let (file, offset, bytes, seq) = (&cut.file, cut.offset, cut.bytes, cut.seq);
        let what = "no reply vouched for it; no damage";
        line("torn end", format!("{file}, byte {offset}, frame {seq}: {bytes} bytes; {what}"));
    }
    for finding in &verified.findings {
        line("found", finding.to_string());
    }
    if verified.findings_more > 0 {
        line("found", format!("{} more", verified.findings_more));
    }
    text
}
