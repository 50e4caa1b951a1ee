//! The quorum database of one node of three, with planted answers of the other two.

use super::{task::refused, *};
use crate::{
    command::op::{Action, Condition, Expiry, SetReply},
    conn::Ticket,
    node::{LinkId, eventual::Replica, peers::Peers},
    proto::peer::FrameStep,
    record::Record,
    rng::Rng,
    store::Store,
    time::{Millis, Now},
};

const ME: NodeId = NodeId(0);
const A: NodeId = NodeId(1);
const B: NodeId = NodeId(2);
const NOTHING: Shown = Shown { version: Version::NONE, record: false, floor: 0 };

struct World {
    quorum: Quorum,
    replica: Replica,
    peers: Peers,
    rng: Rng,
    now: Now,
    tickets: u64,
}

/// What a peer was asked.
#[derive(Clone, Debug, PartialEq)]
enum Asked {
    Copy(Option<Vec<u8>>),
    Flushed(Version),
    Query(u64, usize),
    QueryFull(u64),
}

impl World {
    fn new() -> Self {
        let names = ["localhost:9001".to_owned(), "localhost:9002".to_owned()];
        let members = Members::form("localhost:9000", &names).expect("valid");
        let now = Now { mono: Instant::from_micros(0), wall_ms: 1000 };
        let mut peers = Peers::new(&members, &Limits::DEFAULT, now);
        for peer in peers.iter_mut() {
            (peer.live, peer.votes, peer.inbound) = (true, true, Some(LinkId(0)));
            peer.outbox.reset();
        }
        let replica = Replica::new(Store::new(4, 1, 2), (ME, 3), 7, Millis(60_000), 1 << 16);
        let quorum = Quorum::new(&members, Limits::DEFAULT, Timing::DEFAULT);
        let mut world = Self { quorum, replica, peers, rng: Rng::new(1), now, tickets: 0 };
        world.with(Quorum::begin);
        world
    }

    fn with<T>(&mut self, act: impl FnOnce(&mut Quorum, &mut Ctx<'_>) -> T) -> T {
        let Self { quorum, replica, peers, rng, now, .. } = self;
        act(quorum, &mut Ctx { now: *now, replica, peers, rng })
    }

    fn origin(&mut self) -> Origin {
        self.tickets += 1;
        Origin::Client { link: LinkId(9), ticket: Ticket(self.tickets) }
    }

    fn submit(&mut self, action: Action<'_>) {
        let origin = self.origin();
        self.with(|quorum, ctx| quorum.submit(ctx, origin, &Op::new(b"k", action)));
    }

    fn get(&mut self) {
        self.submit(Action::Get);
    }

    fn set(&mut self, value: &str) {
        let (value, condition) = (value.as_bytes(), Condition::Always);
        self.submit(Action::Set {
            value,
            condition,
            reply: SetReply::Outcome,
            expiry: Expiry::Never,
        });
    }

    /// What is newly asked of a peer once the turn ends.
    fn asked(&mut self, peer: NodeId) -> Vec<Asked> {
        self.with(Quorum::end_turn);
        let bytes = std::mem::take(&mut self.peers.get_mut(peer).expect("a peer").asks);
        let (mut at, mut asked) = (0, Vec::new());
        while let FrameStep::Complete { frame, consumed } = Frame::next(&bytes[at..], 1000) {
            at += consumed;
            asked.push(match frame {
                Frame::Copy { record } => {
                    let record = Record::decode(record).expect("a record");
                    Asked::Copy(record.value.map(<[u8]>::to_vec))
                }
                Frame::Flushed { version, .. } => Asked::Flushed(version),
                Frame::Query { id, keys, .. } => Asked::Query(id, peer::keys(keys).count()),
                Frame::QueryFull { id, .. } => Asked::QueryFull(id),
                other => panic!("{other:?} was asked"),
            });
        }
        asked
    }

    /// The id of the one query that a peer is newly asked.
    fn query(&mut self, peer: NodeId) -> u64 {
        match *self.asked(peer) {
            [.., Asked::Query(id, _)] => id,
            ref other => panic!("{other:?} was asked"),
        }
    }

    fn answer(&mut self, from: NodeId, id: u64, shown: &[Shown]) {
        let mut entries = Vec::new();
        shown.iter().for_each(|one| peer::push_state(&mut entries, one.version, one.record));
        self.with(|quorum, ctx| quorum.on_answers(ctx, from, id, (0, &entries)))
            .expect("well formed");
    }

    /// Asks a peer whatever there is to ask, and lets it answer.
    fn hear(&mut self, from: NodeId, shown: Shown) {
        let id = self.query(from);
        self.answer(from, id, &[shown]);
    }

    /// The record of a peer.
    fn send(&mut self, from: NodeId, id: u64, record: &[u8]) {
        let mut records = Vec::new();
        peer::push_record(&mut records, record);
        let heard = self.with(|quorum, ctx| quorum.on_full_answers(ctx, from, id, &records));
        heard.expect("well formed");
    }

    fn durable(&mut self) {
        let (batch, bytes, _) = self.replica.journal.take();
        bytes.clear();
        self.replica.journal.on_durable(batch);
        self.with(|quorum, ctx| quorum.on_durable(ctx, batch));
    }

    /// A peer has all of our stream.
    fn ack(&mut self, from: NodeId) {
        let end = self.peers.get_mut(from).expect("a peer").outbox.take_unsent(1000).len() as u64;
        self.quorum.on_ack(from, end);
    }

    fn answers(&mut self) -> Vec<Answer<'static>> {
        self.quorum.take_outcomes().into_iter().map(|(_, answer)| answer).collect()
    }

    fn own(&self) -> Shown {
        held(&self.replica, b"k")
    }

    /// Our copy gets a record from elsewhere.
    fn merge(&mut self, hlc: u64, value: &str) -> Shown {
        let bytes = record(hlc, Some(value));
        self.replica.merge(self.now, NodeId(1), &bytes).expect("within the bound");
        self.own()
    }

    fn late(&mut self) {
        self.now.mono = self.now.mono + Timing::DEFAULT.request;
        let refusal = refused("NOREPLICAS as was to be said");
        self.with(|quorum, ctx| quorum.expire(ctx, &refusal));
    }
}

fn version(hlc: u64) -> Version {
    Version::stamp(hlc << 16, A, 3)
}

fn shown(hlc: u64) -> Shown {
    Shown { version: version(hlc), record: true, floor: 0 }
}

fn record(hlc: u64, value: Option<&str>) -> Vec<u8> {
    let (db, version, value) = (Db::QUORUM, version(hlc), value.map(str::as_bytes));
    let mut bytes = Vec::new();
    Record { db, key: b"k", version, expires_at_ms: None, value }.encode(&mut bytes);
    bytes
}

fn bulk(value: &str) -> Answer<'static> {
    Answer::Bulk(value.as_bytes().to_vec().into())
}

fn error(answer: &Answer<'_>) -> String {
    match answer {
        Answer::Error(text) => text.to_string(),
        other => panic!("{other:?} is no error"),
    }
}

#[test]
fn a_write_asks_stamps_above_and_waits_for_a_majority() {
    let mut world = World::new();
    world.set("v");
    assert_eq!(world.own(), NOTHING, "nothing is stamped before a majority was asked");
    assert_eq!(world.asked(A), [Asked::Query(1, 1)]);
    world.answer(A, 1, &[shown(5000)]);
    assert!(world.own().version > version(5000), "above what the other clock gave");
    world.answer(B, 1, &[shown(4000)]);
    world.ack(A);
    assert_eq!(world.answers(), [], "one durable copy");
    world.durable();
    assert_eq!(world.answers(), [Answer::Ok]);
    world.ack(B);
    assert_eq!((world.answers(), world.quorum.load()), (vec![], (0, 0)));
    assert_eq!(world.quorum.questions.len(), 0);
}

#[test]
fn a_read_of_equal_copies_needs_no_more() {
    let mut world = World::new();
    let own = world.merge(10, "v");
    world.durable();
    world.get();
    world.hear(A, own);
    assert_eq!(world.answers(), [bulk("v")]);
    world.get();
    world.hear(B, own);
    assert_eq!(world.answers(), [bulk("v")]);
    assert_eq!(world.asked(A), [Asked::Query(2, 1)], "no copy is sent");
}

#[test]
fn our_own_copy_counts_once_it_is_durable() {
    let mut world = World::new();
    let own = world.merge(10, "v");
    world.get();
    world.hear(A, own);
    assert_eq!(world.answers(), [], "a power failure may take it back");
    world.durable();
    assert_eq!(world.answers(), [bulk("v")]);
    world.merge(20, "w");
    world.get();
    let id = world.query(A);
    world.asked(B);
    world.answer(A, id, &[shown(20)]);
    world.answer(B, id, &[shown(20)]);
    assert_eq!(world.answers(), [bulk("w")], "two others have it");
}

#[test]
fn who_showed_less_is_sent_what_is_read_before_the_reply() {
    let mut world = World::new();
    let own = world.merge(10, "v");
    world.durable();
    world.get();
    world.hear(A, shown(9));
    assert_eq!(world.answers(), []);
    let asked = world.asked(A);
    assert_eq!(asked, [Asked::Copy(Some(b"v".to_vec())), Asked::Query(2, 1)]);
    world.answer(A, 2, &[own]);
    assert_eq!(world.answers(), [bulk("v")]);
}

/// The one that was sent it may be gone: then the other's late answer is as good.
#[test]
fn a_late_answer_helps_a_read_that_has_to_land() {
    let mut world = World::new();
    let own = world.merge(10, "v");
    world.durable();
    world.get();
    let id = world.query(A);
    world.answer(A, id, &[NOTHING]);
    world.with(|quorum, ctx| quorum.on_lost(ctx, A));
    assert_eq!(world.answers(), []);
    world.answer(B, id, &[own]);
    assert_eq!(world.answers(), [bulk("v")]);
}

#[test]
fn a_newer_record_is_fetched_and_kept_before_it_is_shown() {
    let mut world = World::new();
    world.get();
    world.hear(A, shown(10));
    let asked = world.asked(A);
    let [Asked::QueryFull(id)] = asked[..] else { panic!("{asked:?}") };
    world.send(A, id, &record(10, Some("v")));
    assert_eq!(world.answers(), [], "ours is not durable");
    world.durable();
    assert_eq!(world.answers(), [bulk("v")]);
}

#[test]
fn what_nobody_in_reach_has_is_given_up() {
    let mut world = World::new();
    world.get();
    world.hear(A, shown(10));
    world.asked(A);
    world.peers.get_mut(A).expect("a peer").live = false;
    world.with(|quorum, ctx| quorum.on_lost(ctx, A));
    world.hear(B, NOTHING);
    assert_eq!(world.answers(), [Answer::Nil], "no majority ever had it");
}

#[test]
fn a_flush_that_was_shown_kills_our_copy_and_is_written_back() {
    let mut world = World::new();
    world.merge(10, "v");
    world.durable();
    world.get();
    let flush = Shown { version: version(11), record: false, floor: 0 };
    let id = world.query(B);
    world.asked(A);
    world.answer(A, id, &[shown(10)]);
    world.get();
    let id = world.query(B);
    world.answer(B, id, &[flush]);
    assert_eq!(world.answers(), [bulk("v")], "the first read had a majority before");
    assert_eq!((world.own(), world.replica.store.live(Db::QUORUM)), (flush, 0));
    world.answer(A, id, &[shown(10)]);
    assert_eq!(world.asked(A).split_off(1)[0], Asked::Flushed(flush.version));
    world.durable();
    assert_eq!(world.answers(), [Answer::Nil]);
}

#[test]
fn a_flush_is_stamped_above_the_clocks_of_a_majority() {
    let mut world = World::new();
    world.merge(10, "v");
    world.durable();
    let origin = world.origin();
    world.with(|quorum, ctx| quorum.flush(ctx, origin));
    world.get();
    let asked = world.asked(A);
    assert_eq!(asked.len(), 2, "{asked:?}");
    let [Asked::Query(flush, 0), Asked::Query(key, 1)] = asked[..] else { panic!("{asked:?}") };
    world.answer(A, key, &[shown(10)]);
    assert_eq!(world.answers(), [], "the read came behind the flush");
    let clock = Shown { version: version(7000), record: false, floor: 0 };
    world.answer(A, flush, &[clock, NOTHING]);
    assert!(world.replica.store.flushed(Db::QUORUM) > clock.version);
    assert_eq!(world.answers(), []);
    world.ack(A);
    world.durable();
    assert_eq!(world.answers(), [Answer::Ok]);
}

#[test]
fn what_was_certain_is_said_when_time_is_over() {
    let mut world = World::new();
    world.get();
    world.set("never");
    world.late();
    let answers = world.answers();
    assert!(answers.iter().all(|answer| error(answer).starts_with("NOREPLICAS")), "{answers:?}");
    world.set("perhaps");
    world.hear(A, NOTHING);
    world.late();
    assert_eq!(world.answers(), [IN_DOUBT]);
    world.durable();
    world.ack(A);
    assert_eq!((world.answers(), world.quorum.load()), (vec![], (0, 0)));
}

/// Positions of the old stream mean nothing any more, so the write is asked about.
#[test]
fn a_new_stream_is_asked_about_writes_on_their_way() {
    let mut world = World::new();
    world.set("v");
    world.hear(A, NOTHING);
    world.durable();
    world.with(|quorum, ctx| quorum.on_lost(ctx, B));
    world.with(|quorum, ctx| quorum.on_live(ctx, B, false));
    let asked = world.asked(B);
    let [Asked::Query(..), Asked::Copy(Some(_)), Asked::Query(id, 1)] = asked[..] else {
        panic!("{asked:?}")
    };
    let own = world.own();
    world.answer(B, id, &[own]);
    assert_eq!(world.answers(), [Answer::Ok]);
}

#[test]
fn a_peer_that_comes_back_is_asked_what_it_did_not_answer() {
    let mut world = World::new();
    world.get();
    for peer in [A, B] {
        world.asked(peer);
        world.with(|quorum, ctx| quorum.on_lost(ctx, peer));
    }
    assert_eq!(world.quorum.questions.len(), 0);
    world.with(|quorum, ctx| quorum.on_live(ctx, B, true));
    world.hear(B, NOTHING);
    assert_eq!(world.answers(), [Answer::Nil]);
}

#[test]
fn a_pipeline_on_one_key_keeps_its_order() {
    let mut world = World::new();
    world.merge(10, "old");
    world.durable();
    world.get();
    world.set("new");
    world.get();
    world.submit(Action::Delete);
    world.get();
    let id = world.query(A);
    let own = world.own();
    world.answer(A, id, &[own; 5]);
    world.ack(A);
    world.durable();
    let asked = world.asked(A);
    let [Asked::Copy(Some(_)), Asked::Copy(None), Asked::Query(id, 2)] = asked[..] else {
        panic!("{asked:?}")
    };
    let own = world.own();
    world.answer(A, id, &[own; 2]);
    let mut answers = world.quorum.take_outcomes();
    answers.sort_by_key(|(origin, _)| match origin {
        Origin::Client { ticket, .. } => *ticket,
        other => panic!("{other:?}"),
    });
    let answers: Vec<_> = answers.into_iter().map(|(_, answer)| answer).collect();
    let expected = [bulk("old"), Answer::Ok, bulk("new"), Answer::Integer(1), Answer::Nil];
    assert_eq!(answers, expected);
}

/// A SET behind a GET that has to fetch waits with it.
#[test]
fn nothing_overtakes_a_read_that_fetches() {
    let mut world = World::new();
    world.get();
    world.set("new");
    let id = world.query(A);
    world.answer(A, id, &[shown(10), shown(10)]);
    let asked = world.asked(A);
    let [Asked::QueryFull(id)] = asked[..] else { panic!("{asked:?}") };
    assert_eq!(world.own(), NOTHING);
    world.send(A, id, &record(10, Some("v")));
    assert!(world.own().version > version(10), "stamped right behind it");
    world.ack(A);
    world.durable();
    let mut answers = world.answers();
    answers.sort_by_key(|answer| *answer == Answer::Ok);
    assert_eq!(answers, [bulk("v"), Answer::Ok]);
}

#[test]
fn a_deletion_counts_what_the_newest_record_holds() {
    let mut world = World::new();
    world.submit(Action::Delete);
    world.hear(A, shown(10));
    let asked = world.asked(A);
    let [Asked::QueryFull(id)] = asked[..] else { panic!("{asked:?}") };
    world.send(A, id, &record(10, None));
    world.durable();
    assert_eq!(world.answers(), [Answer::Integer(0)], "deleted before");
    assert_eq!(world.own(), shown(10), "nothing was stamped");
}

#[test]
fn stamps_that_our_clock_does_not_allow_are_errors() {
    let mut world = World::new();
    world.set("v");
    world.hear(A, shown(90_000));
    assert!(error(&world.answers()[0]).starts_with("ERR this key was stamped 89000 ms ahead"));
    assert_eq!(world.own(), NOTHING);
    world.peers.iter_mut().for_each(|peer| peer.finds_us_ahead = true);
    world.set("v");
    world.hear(A, NOTHING);
    assert!(error(&world.answers()[0]).starts_with("ERR the clock of this node is ahead"));
    assert_eq!(world.own(), NOTHING);
}

#[test]
fn reads_that_move_records_wait_for_room() {
    let mut world = World::new();
    world.quorum.limits.requests_size_max = 10;
    for key in [b"a", b"b"] {
        let origin = world.origin();
        world.with(|quorum, ctx| quorum.submit(ctx, origin, &Op::new(key, Action::Get)));
    }
    let id = world.query(A);
    world.answer(A, id, &[shown(10), shown(11)]);
    let fetched = |asked: Vec<Asked>| asked.len();
    assert_eq!(fetched(world.asked(A)), 1, "one at a time");
    assert_eq!(fetched(world.asked(A)), 0);
    world.late();
    assert_eq!((world.answers().len(), world.quorum.charged), (2, 0));
}
