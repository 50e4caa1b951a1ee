//! A client's bytes, whole and in pieces: the same replies in the same order, whatever the cuts.

use std::collections::BTreeMap;

use crate::{
    command::{
        Command,
        op::{Effect, Held},
    },
    conn::{Connection, Done, Request},
    limits::Limits,
    proto::{Workspace, reply::ReplyWriter},
    record::{Db, Version},
};

/// Small limits, so that a fuzzer's short inputs meet them.
const LIMITS: Limits = Limits {
    args_max: 16,
    line_size_max: 64,
    line_dropped_max: 128,
    request_size_max: 256,
    output_pause: 64,
    ..Limits::DEFAULT
};

/// Runs a dialogue on one input: its first byte chooses the cuts.
///
/// # Panics
/// If cuts change the replies.
pub fn resp(data: &[u8]) {
    let Some((cut, bytes)) = data.split_first() else { return };
    let whole = talk(bytes, bytes.len().max(1));
    assert_eq!(whole, talk(bytes, usize::from(*cut) + 1));
    assert_eq!(whole, talk(bytes, 1));
}

/// As [`resp`], with the dialect pinned to text, where `*` has no meaning.
///
/// # Panics
/// If cuts change the replies, or a plain reply is no line of text.
pub fn text(data: &[u8]) {
    let Some((cut, bytes)) = data.split_first() else { return };
    let pinned = [b"PROTO TEXT\n", bytes].concat();
    let whole = talk(&pinned, pinned.len());
    assert_eq!(whole, talk(&pinned, usize::from(*cut) + 1));
    assert_eq!(whole, talk(&pinned, 1));
    assert!(whole.ends_with(b"\n"), "replies end with a line's end");
    // Unless the input itself asks for RESP.
    let stays = !whole.windows(6).any(|bytes| bytes == b"\n+OK\r\n");
    assert!(!stays || std::str::from_utf8(&whole).is_ok(), "plain replies are text");
    assert!(!stays || !whole.contains(&b'\r'), "plain replies are lines that end with LF");
}

/// All replies to `input`, sent in pieces of `piece` bytes by a client that reads in pieces too.
fn talk(input: &[u8], piece: usize) -> Vec<u8> {
    let mut connection = Connection::new();
    let mut workspace = Workspace::default();
    let mut map: BTreeMap<(Db, Vec<u8>), Vec<u8>> = BTreeMap::new();
    let mut execute = |request: Request<'_>| {
        let Request { db, command, mut reply, .. } = request;
        run(&mut map, db, command, &mut reply);
        Done::Now(None)
    };
    let mut replies = Vec::new();
    for bytes in input.chunks(piece) {
        while connection.is_paused() {
            take(&mut connection, piece, &mut replies);
            connection.resume(&LIMITS, &mut workspace, &mut execute);
        }
        if !connection.wants_read() {
            break;
        }
        connection.handle_bytes(bytes, &LIMITS, &mut workspace, &mut execute);
    }
    connection.handle_eof(&LIMITS, &mut workspace, &mut execute);
    while !connection.is_finished() {
        assert!(!connection.output().is_empty(), "an ended connection owes replies or is finished");
        take(&mut connection, piece, &mut replies);
        connection.resume(&LIMITS, &mut workspace, &mut execute);
    }
    replies
}

fn take(connection: &mut Connection, piece: usize, replies: &mut Vec<u8>) {
    let taken = connection.output().len().min(piece);
    replies.extend_from_slice(&connection.output()[..taken]);
    connection.consume(taken);
}

fn run(
    map: &mut BTreeMap<(Db, Vec<u8>), Vec<u8>>,
    db: Db,
    command: Command<'_>,
    reply: &mut ReplyWriter<'_>,
) {
    match command {
        Command::Op { op, .. } => {
            let place = (db, op.key.to_vec());
            let value = map.get(&place).cloned();
            let held = |value| Held { value, expires_at_ms: None, version: Version::NONE };
            let (effect, answer) = op.apply(value.as_deref().map(held), 0);
            answer.write(reply);
            match effect {
                Effect::Delete => drop(map.remove(&place)),
                Effect::None => {}
                Effect::Put { value, .. } => drop(map.insert(place, value.into_owned())),
            }
        }
        Command::Del { keys } => {
            let deleted = keys.iter().filter(|key| map.remove(&(db, key.to_vec())).is_some());
            reply.integer(deleted.count() as i64);
        }
        Command::Exists { keys } => {
            let held = keys.iter().filter(|key| map.contains_key(&(db, key.to_vec())));
            reply.integer(held.count() as i64);
        }
        Command::DbSize => reply.integer(map.len() as i64),
        _ => reply.ok(),
    }
}
