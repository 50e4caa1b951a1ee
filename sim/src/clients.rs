//! Clients: each plays its part of the workload against the cluster and writes down what it was
//! told.
//!
//! A client has one connection at a time. It sends a step's requests in one go, reads the replies,
//! and gives up on a connection that fails or stays silent for too long; then the replies that are
//! missing are unknown outcomes. It never waits for ever, and leaves out steps that it comes to far
//! too late, so a workload always ends.

use std::{
    cell::{Cell, RefCell},
    io,
    rc::Rc,
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::{sleep, timeout},
};
use turmoil::net::TcpStream;

use crate::{
    case::{Case, Step, Then},
    chance::Chance,
    dialect,
    history::{Entry, Outcome},
    tier_b::{PORT, node_name},
    trace::{EventKind, Trace},
};

/// How long a client waits for a connection.
const CONNECT: Duration = Duration::from_millis(1000);
/// How long it waits for replies at the least. A connection that is given up ends in order here, and with
/// it a line: what has left of one would be a request.
const PATIENCE_MIN_MS: u64 = 3000;
/// A step that is this late is left out.
const LATE_MS: u64 = 2000;

/// One client.
pub struct Client {
    /// Its number.
    pub id: usize,
    /// The case it plays in.
    pub case: Rc<Case>,
    /// Where it writes down what happens.
    pub history: Rc<RefCell<Vec<Entry>>>,
    /// All events of the run.
    pub trace: Rc<RefCell<Trace>>,
    /// How many steps of all clients were torn.
    pub torn: Rc<Cell<u64>>,
}

/// A connection to one node.
struct Session {
    node: usize,
    stream: TcpStream,
    /// Bytes that arrived and are not yet taken.
    received: Vec<u8>,
    /// Where its last SCAN has come to.
    cursor: u64,
}

impl Client {
    /// Plays all steps of this client.
    pub async fn run(self) {
        let case = Rc::clone(&self.case);
        let mut chance = Chance::new(case.seed, "client cuts", self.id as u64);
        let mut session = None;
        for step in case.workload.steps.iter().filter(|step| step.client == self.id) {
            let now_ms = now_us() / 1000;
            if now_ms > step.at_ms + LATE_MS {
                continue;
            }
            sleep(Duration::from_millis(step.at_ms.saturating_sub(now_ms))).await;
            let open = match session.take().filter(|open: &Session| open.node == step.node) {
                Some(open) => Ok(open),
                None => self.connect(step.node).await,
            };
            if let Ok(mut open) = open
                && self.play(step, &mut open, &mut chance).await.is_ok()
            {
                session = Some(open);
            }
        }
    }

    async fn connect(&self, node: usize) -> io::Result<Session> {
        let stream = timeout(CONNECT, TcpStream::connect((node_name(node), PORT))).await??;
        let mut session = Session { node, stream, received: Vec::new(), cursor: 0 };
        let (dialect, db) = self.manners();
        if db != 0 {
            let mut request = Vec::new();
            dialect::encode_select(dialect, db, &mut request);
            let selected = async {
                session.stream.write_all(&request).await?;
                loop {
                    if let Some((accepted, size)) =
                        dialect::decode_select(dialect, &session.received)
                    {
                        assert!(accepted, "SELECT was refused: {:?}", session.received);
                        session.received.drain(..size);
                        return Ok::<(), io::Error>(());
                    }
                    session.read().await?;
                }
            };
            timeout(self.patience(), selected).await??;
        }
        Ok(session)
    }

    /// Sends a step's requests and takes the replies.
    async fn play(&self, step: &Step, open: &mut Session, chance: &mut Chance) -> io::Result<()> {
        let (dialect, db) = self.manners();
        let first = self.history.borrow().len();
        let mut step = step.clone();
        step.ops.iter_mut().for_each(|op| op.go_on(open.cursor));
        let (mut requests, whole) = dialect::encode_step(dialect, &step);
        let mut rest = Vec::new();
        if let Some(torn) = step.torn {
            rest = requests.split_off(torn.cut(requests.len()));
            self.torn.set(self.torn.get() + 1);
        }
        // Of what leaves only in part nobody may ever see anything, so it is no entry.
        for op in &step.ops[..whole] {
            self.history.borrow_mut().push(Entry {
                client: self.id,
                node: step.node,
                db,
                op: op.clone(),
                start_us: self.not_after_us(),
                end_us: None,
                outcome: Outcome::Unknown,
            });
        }
        self.record(EventKind::Request, step.node, &requests);
        // Other clients write into the same history meanwhile, but never between these entries.
        let exchange = async {
            let cut = chance.below(requests.len() as u64 + 1) as usize;
            let cut = if self.case.config.chop.is_some() { cut } else { 0 };
            let (head, tail) = requests.split_at(cut);
            open.stream.write_all(head).await?;
            open.stream.write_all(tail).await?;
            match step.torn.map(|torn| torn.then) {
                None => {}
                // Whoever sees the error drops the connection.
                Some(Then::Close | Then::Reset) => return Err(io::ErrorKind::Interrupted.into()),
                Some(Then::Stall { for_ms }) => {
                    sleep(Duration::from_millis(for_ms)).await;
                    open.stream.write_all(&rest).await?;
                }
            }
            for (nth, op) in step.ops.iter().enumerate() {
                let outcome = loop {
                    if let Some((outcome, size)) = dialect::decode(dialect, op, &open.received) {
                        self.record(EventKind::Reply, step.node, &open.received[..size]);
                        open.received.drain(..size);
                        break outcome;
                    }
                    open.read().await?;
                };
                if let (Outcome::Page { next, .. }, true) = (&outcome, op.is_scan()) {
                    open.cursor = *next;
                }
                let entry = &mut self.history.borrow_mut()[first + nth];
                (entry.end_us, entry.outcome) = (Some(self.not_before_us()), outcome);
            }
            Ok(())
        };
        timeout(self.patience(), exchange).await?
    }

    /// A time that is surely not after now, on any host.
    fn not_after_us(&self) -> u64 {
        tick_of(now_us(), self.case.config.tick_ms).0
    }

    /// A time that is surely not before now, on any host.
    fn not_before_us(&self) -> u64 {
        tick_of(now_us(), self.case.config.tick_ms).1
    }

    /// How long it waits for all replies of a step.
    fn patience(&self) -> Duration {
        Duration::from_millis(self.case.config.patience_ms().max(PATIENCE_MIN_MS))
    }

    fn manners(&self) -> (crate::case::Dialect, u8) {
        let workload = &self.case.workload;
        (workload.dialects[self.id], workload.databases[self.id])
    }

    fn record(&self, kind: EventKind, node: usize, bytes: &[u8]) {
        let host = self.case.config.nodes + self.id;
        self.trace.borrow_mut().record(now_us(), host, kind, node as u32, bytes);
    }
}

impl Session {
    async fn read(&mut self) -> io::Result<()> {
        match self.stream.read_buf(&mut self.received).await? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }
}

/// The least and the most that other hosts' clocks may show meanwhile.
///
/// turmoil runs hosts one after the other, each through a whole tick, and delivers between them
/// within a tick: what one host does at its end may reach another one at its beginning. So times
/// of two hosts can be compared by ticks only. The moment between two ticks may belong to either.
const fn tick_of(now_us: u64, tick_ms: u64) -> (u64, u64) {
    let tick_us = tick_ms * 1000;
    (now_us.saturating_sub(1) / tick_us * tick_us, (now_us / tick_us + 1) * tick_us)
}

/// Simulated time; only a running simulation has any.
pub(crate) fn now_us() -> u64 {
    turmoil::sim_elapsed().map_or(0, |elapsed| elapsed.as_micros() as u64)
}

#[cfg(test)]
mod tests {
    use super::tick_of;

    /// Tier B, seed 5065: a SET that was answered at 8130 ms by its client's clock was carried out
    /// after another one that had been sent at 8134 ms by another client's.
    #[test]
    fn within_a_tick_nothing_comes_before_anything() {
        let (_, answered) = tick_of(8_130_000, 10);
        let (sent, _) = tick_of(8_134_000, 10);
        assert!(answered >= sent);
        assert_eq!(tick_of(8_134_000, 10), (8_130_000, 8_140_000));
        assert_eq!(tick_of(8_140_000, 10), (8_130_000, 8_150_000));
        assert_eq!(tick_of(0, 10), (0, 10_000));
        let (later, _) = tick_of(8_161_000, 10);
        assert!(tick_of(8_140_000, 10).1 < later, "two ticks apart are in order");
    }
}
