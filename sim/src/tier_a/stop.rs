//! A stop in order, as SIGTERM asks for it: the reactor's course, step by step.
//!
//! ```text
//!   told      nobody can connect any more; the node hands over and answers what came in
//!   drained   or out of patience, or told once more: nothing is taken in, the log is closed
//!   closed    connections end with the process
//! ```
//!
//! A process that dies before its end does so in the midst of whatever it is at.

use super::{World, net::Event};
use crate::{
    oracle::handover::{Away, Stops},
    trace::EventKind,
};

/// How far a process is with its stop.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Phase {
    /// It owes nothing any more; its log is being closed.
    Closing,
    /// Told to stop; it still owes something.
    Draining,
    /// The normal state.
    #[default]
    Serving,
}

impl World<'_> {
    /// Tells a node to stop, and keeps it down until the fault ends.
    pub(super) fn stop(&mut self, id: usize) {
        self.down[id] += 1;
        self.away.push(Away { node: id, from_us: self.net.now_us, until_us: None });
        self.signal(id);
    }

    /// The node lives again, and serves once it is connected.
    pub(super) fn back(&mut self, id: usize) {
        let until_us = self.net.now_us + self.case.config.join_ms() * 1000;
        let open = self.away.iter_mut().filter(|away| away.node == id && away.until_us.is_none());
        open.for_each(|away| away.until_us = Some(until_us));
    }

    /// What the oracle must know of it.
    pub(super) fn stops(&self) -> Stops {
        let (away, config) = (self.away.clone(), &self.case.config);
        Stops { away, clients: config.clients, patience_us: config.patience_ms() * 1000 }
    }

    fn signal(&mut self, id: usize) {
        let now = self.now(id);
        let host = &mut self.hosts[id];
        let Some(node) = host.node.as_mut() else { return };
        match host.phase {
            // It hears of it when it goes on.
            _ if host.paused => host.signalled = true,
            Phase::Closing => {}
            // Told twice it ends at once.
            Phase::Draining => self.begin_to_close(id),
            Phase::Serving => {
                host.phase = Phase::Draining;
                node.handle_shutdown(now);
                self.turn(id);
            }
        }
    }

    /// A node that stood still goes on: whether it serves, after what it was told meanwhile.
    pub(super) fn wake_to_stop(&mut self, id: usize) -> bool {
        let host = &mut self.hosts[id];
        if host.phase == Phase::Closing {
            self.net.schedule(self.net.now_us, Event::Closed(id, host.life));
            return false;
        }
        if std::mem::take(&mut host.signalled) {
            self.signal(id);
        }
        self.hosts[id].phase != Phase::Closing
    }

    /// After a turn: a node that was told to stop may owe nothing any more.
    pub(super) fn maybe_close(&mut self, id: usize) {
        let host = &self.hosts[id];
        let drained = host.node.as_ref().is_some_and(|node| node.is_drained());
        if drained && host.phase == Phase::Draining {
            self.begin_to_close(id);
        }
    }

    fn begin_to_close(&mut self, id: usize) {
        self.hosts[id].phase = Phase::Closing;
        let at_us = self.net.now_us + self.disk_time(id);
        self.net.schedule(at_us, Event::Closed(id, self.hosts[id].life));
    }

    /// The log is closed, and the process ends. If it took longer than the fault, it is started again
    /// when somebody sees to it.
    pub(super) fn closed(&mut self, id: usize, life: u64) {
        let host = &mut self.hosts[id];
        let closes = host.node.is_some() && host.life == life && host.phase == Phase::Closing;
        if !closes || host.paused {
            return;
        }
        match host.drive.close(self.net.now_us) {
            Ok(()) => {
                host.phase = Phase::Serving;
                self.record(id, EventKind::DiskDone, 2, &[]);
                self.end_life(id, true);
                self.try_again(id);
            }
            Err(error) => self.disk_failed(id, &error),
        }
    }
}
