//! The load: one thread, many connections, an event loop.
//!
//! Closed loop: each connection keeps its pipeline full, so a slow answer delays the requests after
//! it, and latency counts from when a request was handed to the socket. Open loop: request number
//! i is due at i / rate whatever happened before it, and its latency counts from then, also if it
//! could only be sent later. A request that was due and never sent is counted as such.
//!
//! Nothing is asked again. Whoever loses a connection connects again, to the next node, after a
//! while.

use std::{
    collections::VecDeque,
    io::{self, Read as _, Write as _},
    net::SocketAddr,
    time::{Duration, Instant},
};

use mio::{Events, Interest, Poll, Token, event::Event, net::TcpStream};

use super::{
    plan::{Kind, Plan, Requests},
    replies::{self, Said},
    tally::Tally,
};
use crate::cli::resp::{Credentials, append_request};

/// A request without an answer for so long has none.
const PATIENCE: Duration = Duration::from_secs(5);
/// Without any success for so long, what has a number of requests to do ends all the same.
const HOPE: Duration = Duration::from_secs(10);
/// Before a connection is tried again.
const REST: Duration = Duration::from_millis(100);
/// The loop looks up at least so often.
const LOOK: Duration = Duration::from_millis(50);
/// epoll rounds up to milliseconds, so the last one before a request is due is slept in steps.
const STEP: Duration = Duration::from_micros(50);
const EVENTS_MAX: usize = 1024;
const READ_SIZE: usize = 64 * 1024;

/// How hard, and for how long.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pressure {
    pub(super) clients: u64,
    /// Requests of a connection that wait for answers.
    pub(super) pipeline: usize,
    /// Requests a second of all connections together; without it a closed loop.
    pub(super) rate: Option<f64>,
    pub(super) end: End,
}

/// When no more is asked.
#[derive(Clone, Copy, Debug)]
pub(super) enum End {
    After(Duration),
    /// Once each key has its first value.
    Filled,
    Requests(u64),
}

/// Whom to ask, and as who.
#[derive(Clone, Copy)]
pub(super) struct Goal<'p> {
    pub(super) addresses: &'p [SocketAddr],
    pub(super) credentials: &'p Credentials,
    pub(super) db: u16,
}

/// Runs round number `round` against a goal. `look` is told now and then how far it is.
///
/// # Errors
/// If the system has no event queue.
pub(super) fn run(
    plan: &Plan,
    pressure: Pressure,
    round: u64,
    goal: Goal<'_>,
    look: &mut dyn FnMut(&Tally, Duration),
) -> io::Result<Tally> {
    let begin = Instant::now();
    let links = (0..pressure.clients).map(|number| Link {
        number,
        node: number as usize % goal.addresses.len(),
        stream: None,
        dial_at: begin,
        ready: false,
        requests: Requests::new(plan, round, number),
        asked: 0,
        out: Vec::new(),
        input: Vec::new(),
        flying: VecDeque::new(),
    });
    let mut load = Load {
        plan,
        pressure,
        goal,
        poll: Poll::new()?,
        links: links.collect(),
        tally: Tally::new(),
        begin,
        last: begin,
        buffer: vec![0; READ_SIZE],
    };
    load.run(look)?;
    Ok(load.tally)
}

struct Load<'p> {
    plan: &'p Plan,
    pressure: Pressure,
    goal: Goal<'p>,
    poll: Poll,
    links: Vec<Link<'p>>,
    tally: Tally,
    begin: Instant,
    /// The last success.
    last: Instant,
    buffer: Vec<u8>,
}

struct Link<'p> {
    number: u64,
    /// Whom it talks to, or tries to.
    node: usize,
    stream: Option<TcpStream>,
    dial_at: Instant,
    /// Connected, as the first answer shows.
    ready: bool,
    requests: Requests<'p>,
    asked: u64,
    out: Vec<u8>,
    input: Vec<u8>,
    flying: VecDeque<Flying>,
}

#[derive(Clone, Copy)]
struct Flying {
    /// None is the greeting.
    kind: Option<Kind>,
    /// Since when its latency counts.
    since: Instant,
    sent: Instant,
}

impl Load<'_> {
    fn run(&mut self, look: &mut dyn FnMut(&Tally, Duration)) -> io::Result<()> {
        let mut events = Events::with_capacity(EVENTS_MAX);
        let mut look_at = self.begin;
        loop {
            let now = Instant::now();
            let over = self.is_over(now);
            if over && self.links.iter().all(|link| link.flying.is_empty()) {
                break;
            }
            self.issue(now, over);
            if now >= look_at {
                look(&self.tally, now - self.begin);
                look_at = now + LOOK;
                self.give_up(now);
            }
            self.sleep(&mut events, over)?;
            for event in &events {
                self.on_event(event);
            }
        }
        self.finish();
        Ok(())
    }

    fn is_over(&self, now: Instant) -> bool {
        match self.pressure.end {
            End::After(time) => now >= self.begin + time,
            End::Filled | End::Requests(_) => {
                // With nobody to ask there is no other end.
                self.last + HOPE <= now || self.links.iter().all(|link| self.due(link).is_none())
            }
        }
    }

    /// When the next request of a link is due; `None` if it has asked all.
    fn due(&self, link: &Link<'_>) -> Option<Instant> {
        let clients = self.pressure.clients;
        let number = link.number + link.asked * clients;
        match self.pressure.end {
            End::Filled if number >= self.plan.keys => return None,
            End::Requests(count) if number >= count => return None,
            End::After(_) | End::Filled | End::Requests(_) => {}
        }
        Some(match self.pressure.rate {
            Some(rate) => self.begin + Duration::from_secs_f64(number as f64 / rate),
            None => self.begin,
        })
    }

    /// Sends all that is due and has room.
    fn issue(&mut self, now: Instant, over: bool) {
        for at in 0..self.links.len() {
            if self.links[at].stream.is_none() && now >= self.links[at].dial_at && !over {
                self.dial(at, now);
            }
            let end = match self.pressure.end {
                End::After(time) => self.begin + time,
                End::Filled | End::Requests(_) => now,
            };
            while !over && self.links[at].has_room(self.pressure.pipeline) {
                let Some(due) = self.due(&self.links[at]).filter(|due| *due <= now.min(end)) else {
                    break;
                };
                let open = self.pressure.rate.is_some();
                let link = &mut self.links[at];
                let kind = match self.pressure.end {
                    End::Filled => {
                        let number = link.number + link.asked * self.pressure.clients;
                        link.requests.fill(number, &mut link.out);
                        Kind::Write
                    }
                    End::After(_) | End::Requests(_) => link.requests.next(&mut link.out),
                };
                link.asked += 1;
                let since = if open { due } else { now };
                link.flying.push_back(Flying { kind: Some(kind), since, sent: now });
            }
            self.flush(at);
        }
    }

    fn dial(&mut self, at: usize, now: Instant) {
        let link = &mut self.links[at];
        let address = self.goal.addresses[link.node];
        let stream = TcpStream::connect(address).and_then(|mut stream| {
            let interests = Interest::READABLE | Interest::WRITABLE;
            self.poll.registry().register(&mut stream, Token(at), interests)?;
            Ok(stream)
        });
        match stream {
            Ok(stream) => {
                link.stream = Some(stream);
                let opening = Flying { kind: None, since: now, sent: now };
                if let Some(words) = self.goal.credentials.request() {
                    append_request(&words, &mut link.out);
                    link.flying.push_back(opening);
                }
                append_request(&["SELECT", &self.goal.db.to_string()], &mut link.out);
                link.flying.push_back(opening);
            }
            Err(error) => self.lose(at, &error.to_string()),
        }
    }

    fn flush(&mut self, at: usize) {
        let link = &mut self.links[at];
        let Some(stream) = &mut link.stream else { return };
        while !link.out.is_empty() {
            match stream.write(&link.out) {
                Ok(size) => _ = link.out.drain(..size),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // Full, or not connected yet: an event tells.
                Err(error) if is_for_later(&error) => return,
                Err(error) => return self.lose(at, &error.to_string()),
            }
        }
    }

    fn on_event(&mut self, event: &Event) {
        let at = event.token().0;
        let Some(stream) = self.links.get(at).and_then(|link| link.stream.as_ref()) else { return };
        if event.is_writable() {
            if let Ok(Some(error)) | Err(error) = stream.take_error() {
                return self.lose(at, &error.to_string());
            }
            if !self.links[at].ready {
                // It costs nothing to ask again, and a failure shows elsewhere.
                let _ = stream.set_nodelay(true);
            }
            self.flush(at);
        }
        if event.is_readable() {
            self.read(at);
        }
    }

    fn read(&mut self, at: usize) {
        loop {
            let link = &mut self.links[at];
            let Some(stream) = &mut link.stream else { return };
            match stream.read(&mut self.buffer) {
                Ok(0) => return self.lose(at, "the connection was closed"),
                Ok(size) => {
                    link.input.extend_from_slice(&self.buffer[..size]);
                    if let Err(why) = self.take_replies(at) {
                        return self.lose(at, &why);
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if is_for_later(&error) => return,
                Err(error) => return self.lose(at, &error.to_string()),
            }
        }
    }

    fn take_replies(&mut self, at: usize) -> Result<(), String> {
        let now = Instant::now();
        let mut taken = 0;
        let link = &mut self.links[at];
        let broken = |()| "no Redis protocol".to_owned();
        while let Some((said, size)) = replies::next(&link.input[taken..]).map_err(broken)? {
            taken += size;
            let flying = link.flying.pop_front().ok_or("an answer to nothing")?;
            match (flying.kind, said) {
                (None, Said::Error(error)) => {
                    let asked = if link.is_opening() { "AUTH" } else { "SELECT" };
                    return Err(format!("{asked}: {error}"));
                }
                (None, _) => link.ready = !link.is_opening(),
                (Some(_), Said::Error(error)) => self.tally.fail(&error),
                (Some(kind), said) => {
                    self.tally.misses += u64::from(said == Said::Nothing);
                    self.tally.succeed(kind, now - flying.since);
                    self.tally.pause = self.tally.pause.max(now - self.last);
                    self.last = now;
                }
            }
        }
        link.input.drain(..taken);
        Ok(())
    }

    /// A link's connection is gone, and what it had asked has no answer.
    fn lose(&mut self, at: usize, why: &str) {
        let link = &mut self.links[at];
        let asked = link.flying.iter().filter(|flying| flying.kind.is_some()).count();
        if asked == 0 {
            self.tally.fail(&format!("no connection: {why}"));
        }
        self.tally.fail_times(&format!("no answer: {why}"), asked as u64);
        if let Some(mut stream) = link.stream.take() {
            // Its end closes it; until then the queue would report it.
            let _ = self.poll.registry().deregister(&mut stream);
        }
        link.flying.clear();
        link.out.clear();
        link.input.clear();
        link.ready = false;
        link.node = (link.node + 1) % self.goal.addresses.len();
        link.dial_at = Instant::now() + REST;
    }

    /// Loses links that wait for too long.
    fn give_up(&mut self, now: Instant) {
        for at in 0..self.links.len() {
            let oldest = self.links[at].flying.front().map(|flying| flying.sent);
            if oldest.is_some_and(|sent| sent + PATIENCE <= now) {
                self.lose(at, &format!("none within {} s", PATIENCE.as_secs()));
            }
        }
    }

    /// Waits for something to happen, or until the next request is due.
    fn sleep(&mut self, events: &mut Events, over: bool) -> io::Result<()> {
        let now = Instant::now();
        let mut timeout = LOOK;
        if !over {
            if let End::After(time) = self.pressure.end {
                timeout = timeout.min((self.begin + time).saturating_duration_since(now));
            }
            let room = |link: &&Link<'_>| link.has_room(self.pressure.pipeline);
            let due = self.links.iter().filter(room).filter_map(|link| self.due(link)).min();
            if let Some(due) = due {
                timeout = timeout.min(due.saturating_duration_since(now));
            }
        }
        let whole = Duration::from_millis(timeout.as_millis() as u64);
        if whole.is_zero() && !timeout.is_zero() {
            std::thread::sleep(timeout.min(STEP));
        }
        match self.poll.poll(events, Some(whole)) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => Err(error),
            Ok(()) | Err(_) => Ok(()),
        }
    }

    fn finish(&mut self) {
        let now = Instant::now();
        self.tally.elapsed = match self.pressure.end {
            End::After(time) => time.max(self.last - self.begin),
            End::Filled | End::Requests(_) => now - self.begin,
        };
        let end = self.begin + self.tally.elapsed;
        self.tally.pause = self.tally.pause.max(end.saturating_duration_since(self.last));
        if let (Some(rate), End::After(time)) = (self.pressure.rate, self.pressure.end) {
            let due = (time.as_secs_f64() * rate) as u64;
            let asked: u64 = self.links.iter().map(|link| link.asked).sum();
            self.tally.unsent = due.saturating_sub(asked);
        }
    }
}

impl Link<'_> {
    /// Whether what opens the connection has no answer yet: AUTH goes in front of SELECT.
    fn is_opening(&self) -> bool {
        self.flying.iter().any(|flying| flying.kind.is_none())
    }

    fn has_room(&self, pipeline: usize) -> bool {
        self.stream.is_some() && self.ready && self.flying.len() < pipeline
    }
}

fn is_for_later(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotConnected | io::ErrorKind::WouldBlock)
}
