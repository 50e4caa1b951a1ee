//! Deferred replies: given in any order, they leave in the order of their requests.
//!
//! The node behind the connection is told by each key what to do: `GET now` is answered at once,
//! `GET wait2` when two checkpoints are complete, `GET later` when the test gives the reply. All
//! replies are the request's number and what it asked for.

use proptest::prelude::{Strategy, prop, prop_oneof};

use super::*;

/// A client that has sent much and reads what it may.
struct Talk {
    connection: Connection,
    workspace: Workspace,
    limits: Limits,
    /// What was asked, in order.
    asked: Vec<Asked>,
    /// So many checkpoints are complete.
    saved: u64,
    received: Vec<u8>,
}

#[derive(Clone, Debug)]
struct Asked {
    ticket: Ticket,
    db: Db,
    readonly: bool,
    behind: bool,
    /// The reply as it will be received.
    reply: Vec<u8>,
    text: String,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum State {
    Given,
    Open,
    Waiting(u64),
}

impl Talk {
    fn new(limits: Limits) -> Self {
        Self {
            connection: Connection::new(),
            workspace: Workspace::new(),
            limits,
            asked: Vec::new(),
            saved: 0,
            received: Vec::new(),
        }
    }

    fn input(&mut self, input: Input<'_>) {
        let Self { connection, workspace, limits, asked, saved, .. } = self;
        let mut execute = |request: Request<'_>| {
            let Request { db, command, mut reply, ticket, readonly, behind, .. } = request;
            let Command::Op { op, .. } = command else { panic!("{command:?}") };
            let key = String::from_utf8_lossy(op.key);
            let text = format!("{} {key}", asked.len());
            let mut out = OutBuf::new();
            ReplyWriter::new(&mut out, reply.style()).bulk(text.as_bytes());
            let (state, done) = match key.strip_prefix("wait") {
                Some(count) => {
                    let count = count.parse().expect("a count of checkpoints");
                    let wait = (count > *saved).then_some(Wait::Saved(count));
                    let state = wait.map_or(State::Given, |_| State::Waiting(count));
                    (state, Done::Now(wait))
                }
                None => match key.strip_prefix("later") {
                    Some(expected) => {
                        (State::Open, Done::Later(expected.parse().unwrap_or_default()))
                    }
                    None => (State::Given, Done::Now(None)),
                },
            };
            if !matches!(done, Done::Later(_)) {
                reply.bulk(text.as_bytes());
            }
            let reply = out.pending().to_vec();
            asked.push(Asked { ticket, db, readonly, behind, reply, text, state });
            done
        };
        match input {
            Input::Bytes(bytes) => {
                connection.handle_bytes(bytes, limits, workspace, &mut execute);
            }
            Input::Eof => connection.handle_eof(limits, workspace, &mut execute),
            Input::Resume => connection.resume(limits, workspace, &mut execute),
        }
        connection.replies.check();
        assert!(connection.replies.places() <= limits.requests_open_max);
    }

    fn send(&mut self, bytes: &[u8]) {
        self.input(Input::Bytes(bytes));
    }

    /// Gives the reply to the request of that number. Whether it was awaited.
    fn give(&mut self, number: usize) -> bool {
        let asked = &mut self.asked[number];
        let text = asked.text.clone();
        let awaited =
            self.connection.reply(asked.ticket, &self.limits, |reply| reply.bulk(text.as_bytes()));
        if awaited {
            assert_eq!(asked.state, State::Open);
            asked.state = State::Given;
        }
        self.connection.replies.check();
        awaited
    }

    /// The numbers of requests that wait for their reply.
    fn open(&self) -> Vec<usize> {
        let open = |number: &usize| self.asked[*number].state == State::Open;
        (0..self.asked.len()).filter(open).collect()
    }

    fn save(&mut self, count: u64) {
        self.saved = self.saved.max(count);
        let saved = self.saved;
        self.connection.release(|wait| matches!(wait, Wait::Saved(count) if count <= saved));
        for asked in &mut self.asked {
            if matches!(asked.state, State::Waiting(count) if count <= saved) {
                asked.state = State::Given;
            }
        }
    }

    /// Reads at most `count` bytes.
    fn read(&mut self, count: usize) -> usize {
        let output = self.connection.output();
        let count = count.min(output.len());
        self.received.extend(&output[..count]);
        self.connection.consume(count);
        self.input(Input::Resume);
        count
    }

    /// Gives and reads until nothing is left to do.
    fn settle(&mut self) {
        while self.connection.is_held() || !self.connection.output().is_empty() {
            self.open().into_iter().rev().for_each(|number| assert!(self.give(number)));
            self.save(u64::MAX);
            self.read_all();
        }
        assert!(!self.connection.is_paused());
    }

    /// All that can be read now, as text.
    fn read_all(&mut self) -> String {
        let before = self.received.len();
        while self.read(usize::MAX) > 0 {}
        String::from_utf8_lossy(&self.received[before..]).into_owned()
    }
}

#[test]
fn a_deferred_reply_holds_what_comes_behind_it() {
    let mut talk = Talk::new(LIMITS);
    talk.send(b"GET now\nGET later\nPING\nGET now\n");
    assert!(talk.connection.is_held());
    assert_eq!(talk.read_all(), "0 now\n");
    assert!(talk.give(1));
    assert_eq!(talk.read_all(), "1 later\nPONG\n2 now\n");
    assert!(!talk.connection.is_held());
}

#[test]
fn replies_given_in_any_order_leave_in_the_order_of_requests() {
    let mut talk = Talk::new(LIMITS);
    talk.send(b"GET later\nGET later\r\nGET later\nGET later\n");
    assert!(talk.give(2) && talk.give(1));
    assert_eq!(talk.read_all(), "");
    assert!(talk.give(0));
    assert_eq!(talk.read_all(), "0 later\n$7\r\n1 later\r\n2 later\n");
    assert!(talk.give(3));
    assert_eq!(talk.read_all(), "3 later\n");
}

#[test]
fn a_reply_is_given_once_and_to_its_own_request() {
    let mut talk = Talk::new(LIMITS);
    talk.send(b"GET later\nGET later\nGET now\n");
    let unknown = Ticket(99);
    assert!(!talk.connection.reply(unknown, &LIMITS, |_| panic!("nobody asked")));
    assert!(talk.give(1) && !talk.give(1));
    assert!(talk.give(0) && !talk.give(0) && !talk.give(1));
    assert_eq!(talk.read_all(), "0 later\n1 later\n2 now\n");
    talk.send(b"GET later\n");
    assert!(!talk.give(0) && !talk.give(1));
    assert_eq!(talk.read_all(), "");
    assert!(talk.give(3));
    assert_eq!(talk.read_all(), "3 later\n");
}

#[test]
fn a_wait_counts_behind_a_deferred_reply_too() {
    let mut talk = Talk::new(LIMITS);
    talk.send(b"GET later\nGET now\nGET wait1\nGET wait2\nGET now\nGET wait1\n");
    talk.save(1);
    assert!(talk.give(0));
    assert_eq!(talk.read_all(), "0 later\n1 now\n2 wait1\n", "it was over before");
    assert!(talk.connection.is_held());
    talk.save(2);
    assert_eq!(talk.read_all(), "3 wait2\n4 now\n5 wait1\n");
    assert!(!talk.connection.is_held());
}

/// Otherwise a client that reads nothing could have as many large values held for it as it may have
/// requests open.
#[test]
fn what_replies_are_expected_to_hold_counts_as_if_it_were_there() {
    let mut talk = Talk::new(Limits { output_pause: 100, ..LIMITS });
    talk.send(&b"GET later60\n".repeat(5));
    assert_eq!(talk.asked.len(), 2, "120 bytes are expected");
    assert!(talk.connection.is_paused() && !talk.connection.wants_read());
    assert!(talk.give(1));
    talk.input(Input::Resume);
    assert_eq!(talk.asked.len(), 2, "more than half of the limit");
    assert!(talk.give(0));
    assert_eq!(talk.read_all(), "0 later60\n1 later60\n");
    assert_eq!(talk.asked.len(), 4);
    talk.settle();
    assert_eq!(talk.asked.len(), 5);
}

#[test]
fn requests_say_what_they_come_behind() {
    let mut talk = Talk::new(LIMITS);
    talk.send(b"GET now\nGET later\nPING\nGET later\n");
    assert!(talk.give(1));
    talk.send(b"GET now\n");
    assert!(talk.give(2));
    talk.send(b"GET now\n");
    let behind: Vec<bool> = talk.asked.iter().map(|asked| asked.behind).collect();
    assert_eq!(behind, [false, false, true, true, false]);
}

#[test]
fn the_connections_own_commands_keep_the_order() {
    let mut talk = Talk::new(LIMITS);
    talk.send(
        b"GET later\nSELECT 1\nGET later\nPROTO RESP\nPING\nGET later\nnonsense\nPROTO TEXT\n",
    );
    talk.send(b"*1\r\nGET 'a\nGET now\n");
    assert_eq!(talk.read_all(), "");
    assert!(talk.give(2) && talk.give(1) && talk.give(0));
    assert_eq!(
        talk.read_all(),
        "0 later\nOK\n1 later\n+OK\r\n+PONG\r\n$7\r\n2 later\r\n\
         -ERR unknown command 'nonsense', with args beginning with: \r\nOK\n\
         ERR unknown command '*1'; try HELP\n\
         ERR Protocol error: unbalanced quotes in request; close each quote and put a space behind it; \
         \\\" is a quote within quotes\n3 now\n"
    );
    let databases: Vec<u8> = talk.asked.iter().map(|asked| asked.db.number()).collect();
    assert_eq!(databases, [0, 1, 1, 1]);
}

#[test]
fn requests_say_whether_a_copy_may_answer() {
    let mut talk = Talk::new(LIMITS);
    talk.send(b"GET now\nREADONLY\nGET later\nSELECT 1\nGET now\nREADWRITE\nGET now\n");
    let readonly: Vec<bool> = talk.asked.iter().map(|asked| asked.readonly).collect();
    // What shows this node's copy waits for all before it.
    assert_eq!(readonly, [false, true]);
    assert!(talk.give(1));
    talk.input(Input::Resume);
    let readonly: Vec<bool> = talk.asked.iter().map(|asked| asked.readonly).collect();
    assert_eq!(readonly, [false, true, true, false]);
    assert_eq!(talk.read_all(), "0 now\nOK\n1 later\nOK\n2 now\nOK\n3 now\n");
}

#[test]
fn all_ends_wait_for_deferred_replies() {
    let ends: [fn(&mut Talk); 4] = [
        |talk| talk.input(Input::Eof),
        |talk| talk.send(b"QUIT\nGET now\n"),
        |talk| talk.send(b"POST / HTTP/1.1\n"),
        |talk| talk.connection.shut(),
    ];
    let last_words = ["", "OK\n", "ERR Protocol error: this looks like an HTTP request\n", ""];
    for (end, last) in ends.into_iter().zip(last_words) {
        let mut talk = Talk::new(LIMITS);
        talk.send(b"GET later\nGET later\nGET now\n");
        end(&mut talk);
        assert!(!talk.connection.wants_read());
        assert!(talk.give(1));
        assert_eq!(talk.read_all(), "");
        assert!(!talk.connection.is_finished() && talk.connection.is_held());
        assert!(talk.give(0));
        assert!(!talk.connection.is_finished());
        assert_eq!(talk.read_all(), format!("0 later\n1 later\n2 now\n{last}"));
        assert!(talk.connection.is_finished());
    }
}

#[test]
fn a_request_that_ends_with_the_input_may_be_deferred() {
    let mut talk = Talk::new(Limits { requests_open_max: 1, ..LIMITS });
    talk.send(b"GET later\nGET later\nGET later");
    talk.input(Input::Eof);
    for number in 0..3 {
        assert_eq!((talk.read_all(), talk.open()), (String::new(), vec![number]));
        assert!(talk.give(number) && !talk.connection.is_finished());
        assert_eq!(talk.read_all(), format!("{number} later\n"));
    }
    assert!(talk.connection.is_finished());
}

#[test]
fn too_many_deferred_replies_pause_the_requests() {
    let mut talk = Talk::new(Limits { requests_open_max: 4, ..LIMITS });
    talk.send(&b"GET later\n".repeat(20));
    assert_eq!(talk.asked.len(), 4);
    assert!(talk.connection.is_paused() && !talk.connection.wants_read());
    assert!(talk.give(0));
    assert_eq!(talk.read_all(), "0 later\n");
    assert_eq!(talk.asked.len(), 4, "half of them are not given yet");
    assert!(talk.give(1));
    assert!(talk.connection.can_resume());
    assert_eq!(talk.read_all(), "1 later\n");
    assert_eq!(talk.asked.len(), 6);
    assert!(talk.give(3) && talk.give(4) && talk.give(5));
    assert!(!talk.connection.can_resume(), "they stand behind an open place still");
    assert!(talk.give(2));
    assert_eq!(talk.read_all(), "2 later\n3 later\n4 later\n5 later\n");
    assert_eq!(talk.asked.len(), 10);
}

#[test]
fn what_stands_behind_a_deferred_reply_counts_as_output() {
    let mut talk = Talk::new(Limits { output_pause: 20, ..LIMITS });
    talk.send(&[&b"GET later\n"[..], &b"PING\n".repeat(100)].concat());
    assert!(talk.connection.is_paused());
    assert_eq!(talk.connection.output(), b"");
    let value = "v".repeat(10_000);
    let mut talk = Talk::new(LIMITS);
    talk.send(b"GET later\nGET later\n");
    let before = talk.connection.buffered();
    let second = talk.asked[1].ticket;
    assert!(talk.connection.reply(second, &LIMITS, |reply| reply.bulk(value.as_bytes())));
    assert!(talk.connection.buffered() >= before + 10_000);
    assert!(talk.give(0));
    assert_eq!(talk.read_all(), format!("0 later\n{value}\n"));
    assert!(talk.connection.buffered() <= 40 * 1024);
}

#[test]
fn a_deferred_reply_makes_further_requests_wait_as_it_comes() {
    let mut talk = Talk::new(Limits { output_pause: 1000, ..LIMITS });
    talk.send(b"GET later\nGET later\n");
    assert!(!talk.connection.is_paused());
    let second = talk.asked[1].ticket;
    let value = "v".repeat(2000);
    let limits = talk.limits;
    assert!(talk.connection.reply(second, &limits, |reply| reply.bulk(value.as_bytes())));
    assert!(talk.connection.is_paused() && !talk.connection.can_resume());
    talk.send(b"GET now\n");
    assert_eq!(talk.asked.len(), 2);
    assert!(talk.give(0));
    // Who reads goes on.
    assert_eq!(talk.read_all(), format!("0 later\n{value}\n2 now\n"));
}

#[test]
fn replies_given_in_order_take_no_memory_of_their_own() {
    let mut talk = Talk::new(Limits { requests_open_max: 1000, ..Limits::DEFAULT });
    talk.send(&b"GET later\n".repeat(1000));
    let before = talk.connection.buffered();
    for number in 0..900 {
        assert!(talk.give(number));
        talk.read(usize::MAX);
    }
    assert!(talk.connection.buffered() <= before + 64);
    (900..1000).for_each(|number| assert!(talk.give(number)));
    talk.read_all();
    assert!(talk.connection.buffered() <= 8 * 1024, "{}", talk.connection.buffered());
}

#[derive(Clone, Debug)]
enum Move {
    /// Send so many bytes more.
    Send(usize),
    /// Give one of the open replies.
    Give(prop::sample::Index),
    Read(usize),
    Save(u64),
}

/// Few checkpoints, so that much is given while replies still wait for one.
fn moves() -> impl Strategy<Value = Move> {
    prop_oneof![
        6 => (1..40_usize).prop_map(Move::Send),
        6 => proptest::prelude::any::<prop::sample::Index>().prop_map(Move::Give),
        3 => (1..30_usize).prop_map(Move::Read),
        1 => (0..4_u64).prop_map(Move::Save),
    ]
}

/// What may have left: the replies before the first that is still awaited or waits.
fn allowed(asked: &[Asked]) -> Vec<u8> {
    let given = asked.iter().take_while(|asked| asked.state == State::Given);
    given.flat_map(|asked| asked.reply.clone()).collect()
}

proptest::proptest! {
    #[test]
    fn any_order_gives_the_replies_in_the_order_of_requests(
        requests in prop::collection::vec(prop::sample::select(vec![
            "GET now\n", "GET now\r\n", "GET later\n", "GET later-too\r\n", "GET wait1\n", "GET wait3\n",
            "GET wait2\r\n", "*2\r\n$3\r\nGET\r\n$5\r\nlater\r\n", "*2\r\n$3\r\nGET\r\n$3\r\nnow\r\n",
        ]), 0..30),
        moves in prop::collection::vec(moves(), 0..80),
        output_pause in 0..60_usize,
        requests_open_max in 1..7_usize,
    ) {
        let limits = Limits { output_pause, requests_open_max, ..LIMITS };
        let mut talk = Talk::new(limits);
        let input = requests.concat().into_bytes();
        let mut sent = 0;
        for step in moves {
            match step {
                Move::Send(count) if talk.connection.wants_read() => {
                    let end = input.len().min(sent + count);
                    talk.send(&input[sent..end]);
                    sent = end;
                }
                Move::Send(_) => {}
                Move::Give(which) => {
                    let open = talk.open();
                    if !open.is_empty() {
                        assert!(talk.give(*which.get(&open)));
                    }
                }
                Move::Read(count) => {
                    talk.read(count);
                }
                Move::Save(count) => talk.save(count),
            }
            let out = [&talk.received, talk.connection.output()].concat();
            assert_eq!(out, allowed(&talk.asked), "all that may leave, and no more");
        }
        talk.settle();
        talk.send(&input[sent..]);
        talk.input(Input::Eof);
        talk.settle();
        assert!(talk.connection.is_finished());
        assert_eq!(talk.asked.len(), requests.len());
        let all: Vec<u8> = talk.asked.iter().flat_map(|asked| asked.reply.clone()).collect();
        assert_eq!(talk.received, all);
        assert!(talk.asked.windows(2).all(|two| two[0].ticket <= two[1].ticket));
    }
}
