//! MONITOR: every request, as it is about to be carried out, shown to whoever asked for it.
//!
//! What is to be shown is written once and then put into the output of each monitor. One that does
//! not read as fast as others ask is closed: it must not make the node hold more and more.

use super::{LinkId, Node, links::End};
use crate::{
    command::{Called, admin},
    proto::{Args, Style},
    record::Db,
    time::Now,
};

/// Bytes that a monitor may have left unread: some seconds of a busy node for a reader that is slow
/// for once, little beside what all clients together may hold.
const UNREAD_MAX: usize = 1 << 20;
/// Words of a request that are shown, and bytes of each: a line is read by people.
const WORDS_MAX: usize = 64;
const WORD_SIZE_MAX: usize = 1024;
/// Monitors at a time: each of them makes every request cost more.
pub(super) const MONITORS_MAX: usize = 16;

/// Who is shown what.
#[derive(Clone, Debug, Default)]
pub(crate) struct Feed {
    monitors: Vec<(LinkId, Style)>,
    /// Lines of this turn that nobody was shown yet.
    lines: Vec<u8>,
}

impl Feed {
    /// Whether anybody is shown anything.
    pub(crate) const fn is_on(&self) -> bool {
        !self.monitors.is_empty()
    }

    /// A connection wants to be shown all. Whether there is room for it.
    pub(crate) fn add(&mut self, link: LinkId, style: Style) -> bool {
        let known = self.is_monitor(link);
        let room = known || self.monitors.len() < MONITORS_MAX;
        if room && !known {
            self.monitors.push((link, style));
        }
        room
    }

    /// Whether a connection is shown all.
    pub(crate) fn is_monitor(&self, link: LinkId) -> bool {
        self.monitors.iter().any(|(monitor, _)| *monitor == link)
    }

    /// A connection is gone, or does not want it any more.
    pub(crate) fn forget(&mut self, link: LinkId) {
        self.monitors.retain(|(monitor, _)| *monitor != link);
    }

    /// A request is about to be carried out.
    pub(crate) fn note(
        &mut self,
        now: Now,
        (db, address): (Db, &str),
        called: Called,
        args: Args<'_>,
    ) {
        if called.spec.is_admin() {
            return;
        }
        let (seconds, micros) = (now.wall_ms / 1000, now.wall_ms % 1000 * 1000);
        let head = format!("+{seconds}.{micros:06} [{} {address}]", db.number());
        self.lines.extend(head.as_bytes());
        let secret = admin::secret_from(called.spec, args);
        for (index, word) in args.iter().take(WORDS_MAX).enumerate() {
            self.lines.extend(b" \"");
            let word = if index >= secret { b"(redacted)" } else { word };
            quote(word.get(..WORD_SIZE_MAX).unwrap_or(word), &mut self.lines);
            self.lines.push(b'"');
            if word.len() > WORD_SIZE_MAX {
                let more = format!("... ({} more bytes)", word.len() - WORD_SIZE_MAX);
                self.lines.extend(more.as_bytes());
            }
        }
        if args.len() > WORDS_MAX {
            let more = format!(" ... ({} more arguments)", args.len() - WORDS_MAX);
            self.lines.extend(more.as_bytes());
        }
        self.lines.extend(b"\r\n");
    }
}

/// As Redis writes it: printable as it is, the rest escaped.
fn quote(word: &[u8], out: &mut Vec<u8>) {
    for byte in word {
        match byte {
            b'"' | b'\\' => out.extend([b'\\', *byte]),
            b'\n' => out.extend(b"\\n"),
            b'\r' => out.extend(b"\\r"),
            b'\t' => out.extend(b"\\t"),
            b' '..=b'~' => out.push(*byte),
            _ => out.extend(format!("\\x{byte:02x}").as_bytes()),
        }
    }
}

impl Node {
    /// Shows monitors what was noted.
    pub(super) fn feed_monitors(&mut self, now: Now) {
        if self.observer.feed.lines.is_empty() {
            return;
        }
        let lines = std::mem::take(&mut self.observer.feed.lines);
        let mut slow = Vec::new();
        for (link, style) in &self.observer.feed.monitors {
            let Some(End::Client { connection, .. }) = self.links.end_mut(*link) else { continue };
            let before = connection.buffered();
            if *style == Style::Plain {
                let plain = lines.split_inclusive(|byte| *byte == b'\n');
                let plain = plain.flat_map(|line| [line.get(1..line.len() - 2), Some(b"\n")]);
                connection.interject(&plain.flatten().collect::<Vec<_>>().concat());
            } else {
                connection.interject(&lines);
            }
            self.buffered = self.buffered + connection.buffered() - before;
            self.links.touch(*link);
            let Some(End::Client { connection, .. }) = self.links.end(*link) else { continue };
            if connection.unwritten() > UNREAD_MAX {
                slow.push(*link);
            }
        }
        for link in slow {
            tracing::warn!(link = link.0, "closed a monitor that does not read fast enough");
            self.stats.stalled += 1;
            self.close(now, link);
        }
    }
}
