//! Faults at work: brought on by time or by a hook, and ended in time.

use quorate::{probe::Hook, record::Ballot};

use super::{
    World,
    host::Host,
    net::{Event, Net, Owner},
};
use crate::{
    case::{FaultClass, FaultKind, Way, When},
    chance::Chance,
    oracle::held::Majorities,
    trace::EventKind,
};

impl World<'_> {
    /// A node passes a hook: faults may wait for just that.
    pub(super) fn pass(&mut self, node: usize, hook: Hook) {
        let count = &mut self.passed[node][hook as usize];
        *count += 1;
        let count = *count;
        if hook == Hook::ColdStarted || (hook == Hook::Formed && self.forms_anew(node)) {
            self.cold_lost.on_cold_start(self.net.now_us);
            self.majorities.forget();
        }
        self.look_at_cold_start(node, hook);
        if hook == Hook::Recovered {
            self.look_at_recovery(node);
        }
        if hook == Hook::Recovered && self.hosts.iter().all(|host| host.node.is_some()) {
            let judged = Majorities::on_recovered(node, &self.stores(|_| true));
            self.note_unheld(judged);
        }
        for (index, fault) in self.case.faults.iter().enumerate() {
            let When::OnNth { node: at, hook: name, nth } = &fault.when else { continue };
            if *at == node && *nth == count && name == hook.name() && !self.quiet {
                // At once, or when what the node said of it has just arrived.
                let mut chance = Chance::new(self.case.seed, "trigger", (node as u64) << 32 | nth);
                let (least, most) = self.case.config.latency_ms;
                let soon_ms = chance.between(least, 2 * most);
                let later_ms = chance.pick(&[0, soon_ms]);
                self.net.schedule(self.net.now_us + later_ms * 1000, Event::Begin(index));
            }
        }
    }

    /// A cold start goes on above all that voters had promised. A node alone may have lost that with its
    /// disk, and nobody else knows of it.
    fn look_at_cold_start(&mut self, node: usize, hook: Hook) {
        let votes = |host: &Host| host.node.as_ref().is_some_and(|node| node.votes());
        if hook == Hook::ColdStartBegun && !self.hosts.iter().any(votes) {
            self.growth.on_cold_start();
        }
        if hook == Hook::ColdStarted && self.hosts.len() > 1 {
            let least = self.promised(node).min().unwrap_or(Ballot::NONE);
            self.growth.on_cold_started(node, least);
        }
    }

    /// Whether the first member has just decided alone that the cluster has formed, though data was lost
    /// before: if all have forgotten that it had, it forms anew, which is a cold start by another name.
    fn forms_anew(&self, node: usize) -> bool {
        let mut others = self.hosts.iter().skip(1).filter_map(|host| host.node.as_ref());
        node == 0 && self.lost && !others.any(|other| other.votes())
    }

    pub(super) fn begin_fault(&mut self, index: usize) {
        let fault = &self.case.faults[index];
        if self.quiet {
            return;
        }
        self.record(0, EventKind::FaultBegins, index as u32, &[]);
        self.on_tape(|tape, now_us| tape.on_fault(now_us, index));
        self.fired[fault.kind.class() as usize] += 1;
        self.faults_on += 1;
        self.net.schedule(self.net.now_us + fault.for_ms * 1000, Event::End(index));
        match fault.kind {
            FaultKind::BitRot { node } => self.rot(node),
            FaultKind::Blackout => {
                (0..self.hosts.len()).for_each(|node| self.go_down(node, false));
            }
            FaultKind::ClockJump { node, by_ms } => {
                let host = &mut self.hosts[node];
                host.offset_ms = host.base_offset_ms + by_ms;
            }
            FaultKind::ColdRestart { node } => {
                self.hosts[node].told = true;
                self.go_down(node, true);
            }
            FaultKind::DiskFull { node } => self.hosts[node].drive.full += 1,
            FaultKind::HalfOpen { node, other } => self.cut(node, other, true),
            FaultKind::Isolation { node, way } => self.isolate(node, way, Net::block),
            FaultKind::Kill { node } => self.go_down(node, true),
            FaultKind::Misdirected { node, twin } => self.misdirect(node, twin),
            FaultKind::OneWay { from, to } => self.net.block(from, to),
            FaultKind::Partition { a, b } => {
                self.net.block(a, b);
                self.net.block(b, a);
            }
            FaultKind::Pause { node } => {
                let host = &mut self.hosts[node];
                if !std::mem::replace(&mut host.paused, true) {
                    host.drive.catch_up(self.net.now_us);
                    host.paused_us = self.net.now_us;
                }
            }
            FaultKind::PowerLoss { node } => self.go_down(node, false),
            FaultKind::Reset { a, b } => self.cut(a, b, false),
            FaultKind::SlowDisk { node, by_ms } => {
                self.hosts[node].drive.slower_us += by_ms * 1000;
            }
            FaultKind::SlowLink { a, b, by_ms } => self.net.slow_down(a, b, by_ms as i64 * 1000),
            FaultKind::SlowReader { client } => self.players[client].mute = true,
            FaultKind::Stop { node } => self.stop(node),
            FaultKind::SyncFails { node } => self.hosts[node].drive.fail_next_sync(),
            FaultKind::Unreadable { node } => self.hosts[node].drive.unreadable += 1,
            FaultKind::Wipe { node } => self.wipe(node),
        }
        fault.kind.nodes().into_iter().for_each(|node| self.plan_trouble(node, fault.kind));
    }

    pub(super) fn end_fault(&mut self, index: usize) {
        self.record(0, EventKind::FaultEnds, index as u32, &[]);
        self.on_tape(|tape, now_us| tape.on_fault_over(now_us, index));
        self.faults_on -= 1;
        match self.case.faults[index].kind {
            FaultKind::Blackout => (0..self.hosts.len()).for_each(|node| self.come_up(node)),
            FaultKind::ClockJump { node, .. } => {
                let host = &mut self.hosts[node];
                host.offset_ms = host.base_offset_ms;
            }
            FaultKind::BitRot { .. }
            | FaultKind::HalfOpen { .. }
            | FaultKind::Reset { .. }
            | FaultKind::SyncFails { .. } => {}
            FaultKind::DiskFull { node } => self.hosts[node].drive.full -= 1,
            FaultKind::Isolation { node, way } => self.isolate(node, way, Net::unblock),
            FaultKind::Misdirected { node, .. } => self.look_for_damage(node),
            FaultKind::ColdRestart { node }
            | FaultKind::Kill { node }
            | FaultKind::PowerLoss { node }
            | FaultKind::Stop { node }
            | FaultKind::Wipe { node } => self.come_up(node),
            FaultKind::OneWay { from, to } => self.net.unblock(from, to),
            FaultKind::Partition { a, b } => {
                self.net.unblock(a, b);
                self.net.unblock(b, a);
            }
            FaultKind::Pause { node } => self.wake_node(node),
            FaultKind::SlowDisk { node, by_ms } => {
                self.hosts[node].drive.slower_us -= by_ms * 1000;
            }
            FaultKind::SlowLink { a, b, by_ms } => {
                self.net.slow_down(a, b, -(by_ms as i64 * 1000));
            }
            FaultKind::SlowReader { client } => {
                self.players[client].mute = false;
                if let Some(end) = self.players[client].end() {
                    self.net.schedule(self.net.now_us, Event::Pump(end));
                }
            }
            FaultKind::Unreadable { node } => self.hosts[node].drive.unreadable -= 1,
        }
        let kind = self.case.faults[index].kind;
        kind.nodes().into_iter().for_each(|node| self.plan_trouble(node, kind));
    }

    /// Changes what passes between a node and all others.
    fn isolate(&mut self, node: usize, way: Way, change: fn(&mut Net, usize, usize)) {
        let (out, into) = way.blocks();
        for other in (0..self.hosts.len()).filter(|other| *other != node) {
            if out {
                change(&mut self.net, node, other);
            }
            if into {
                change(&mut self.net, other, node);
            }
        }
    }

    /// What is wrong with a disk has changed.
    fn plan_trouble(&mut self, node: usize, kind: FaultKind) {
        if matches!(kind, FaultKind::DiskFull { .. } | FaultKind::Unreadable { .. }) {
            self.hosts[node].drive.plan_trouble();
        }
    }

    /// A bit flips on a disk. The fault atlas: only one disk at a time, until its node has found
    /// out; what the others have, it gets back from them.
    fn rot(&mut self, node: usize) {
        let mut chance = self.disk_chance(node);
        if !self.may_harm(node) || !self.hosts[node].drive.rot(&mut chance) {
            self.fired[FaultClass::BitRot as usize] -= 1;
        }
    }

    /// The next write of a disk lands where it does not belong, under the same atlas.
    fn misdirect(&mut self, node: usize, twin: bool) {
        let mut chance = self.disk_chance(node);
        let up = self.hosts[node].node.is_some();
        if up && self.may_harm(node) {
            self.hosts[node].drive.misdirect(&mut chance, twin);
        }
        // It counts when a start must find out.
        self.fired[FaultClass::MisdirectedWrite as usize] -= 1;
    }

    /// A process whose write went astray ends, so that a start finds out.
    pub(super) fn look_for_damage(&mut self, node: usize) {
        let host = &self.hosts[node];
        if host.node.is_some() && !host.paused && host.drive.is_harmed() {
            self.end_life(node, true);
            self.start(node);
        }
    }

    /// Whether this disk may be harmed now: no other one is, and with it fewer than a majority lack
    /// something.
    /// Of a single node it may always be; nobody promises then what it will have.
    fn may_harm(&self, node: usize) -> bool {
        let harmed = self.hosts.iter().any(|host| host.drive.may_be_harmed());
        let lacks = |id: &usize| *id == node || self.hosts[*id].lacks;
        let lacking = (0..self.hosts.len()).filter(lacks).count();
        !harmed && (self.hosts.len() == 1 || lacking <= self.hosts.len() / 2)
    }

    /// A machine gets an empty disk. The fault atlas: fewer than a majority may miss what they had,
    /// and who is down or does not vote may.
    fn wipe(&mut self, node: usize) {
        let votes = |id: &usize| self.hosts[*id].node.as_ref().is_some_and(|node| node.votes());
        let whole = (0..self.hosts.len()).filter(|id| *id != node && votes(id)).count();
        let may_lose = self.hosts.len() - whole <= self.hosts.len() / 2;
        self.go_down(node, false);
        if may_lose {
            self.hosts[node].drive.wipe();
            self.hosts[node].lose();
            self.note_loss(true, self.net.now_us);
        } else {
            self.fired[FaultClass::Wipe as usize] -= 1;
        }
    }

    /// A node that several faults keep down comes up after the last of them.
    fn go_down(&mut self, node: usize, told: bool) {
        self.down[node] += 1;
        if !self.hosts[node].paused {
            self.hosts[node].drive.catch_up(self.net.now_us);
        }
        self.end_life(node, told);
        if !told {
            let mut chance = self.disk_chance(node);
            self.hosts[node].drive.lose_power(&mut chance);
            // What was closed in order is synced.
            let died_us = self.hosts[node].died_us;
            let lost = self.case.config.disks.everysec && !self.hosts[node].drive.is_closed();
            if lost {
                self.hosts[node].lose();
            }
            self.note_loss(lost, died_us);
        }
        self.net.dark[node] |= !told;
    }

    fn come_up(&mut self, node: usize) {
        self.down[node] -= 1;
        if self.down[node] == 0 {
            self.net.dark[node] = false;
            let told = std::mem::take(&mut self.hosts[node].told);
            if self.hosts[node].node.is_none() {
                if told { self.start_cold(node) } else { self.start(node) }
            }
        }
    }

    /// What was written, and acknowledged perhaps, may be gone from a disk: what a process that ended
    /// before the power failed had not synced is synced by nobody.
    fn note_loss(&mut self, lost: bool, since_us: u64) {
        if lost {
            self.lost = true;
            self.cold_lost.on_loss(since_us);
            self.forget_majorities();
        }
    }

    /// A node finds that something is gone from its disk.
    pub(super) fn note_damage(&mut self, node: usize) {
        self.lost = true;
        self.hosts[node].lose();
        self.forget_majorities();
    }

    /// Where so many lack something at once that they may have been a majority's last copies, nothing
    /// need be held by one any more.
    fn forget_majorities(&mut self) {
        let lacking = self.hosts.iter().filter(|host| host.lacks).count();
        if lacking > self.hosts.len() - self.quorum() {
            self.majorities.forget();
        }
    }

    /// Breaks all links between two nodes: for both, or so that the second is not told.
    fn cut(&mut self, a: usize, b: usize, half: bool) {
        for end in self.hosts[a].ends() {
            let other = self.net.ends[end].other;
            let joins = matches!(self.net.ends[other].owner, Owner::Node { node, .. } if node == b);
            if !joins {
                continue;
            }
            self.net.vanish(end, true);
            self.net.schedule(self.net.now_us, Event::Pump(end));
            if !half {
                self.net.vanish(other, true);
                self.net.schedule(self.net.now_us, Event::Pump(other));
            }
        }
    }
}
