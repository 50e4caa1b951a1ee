//! The slow log: the last requests that were under way for long.

use std::collections::VecDeque;

use super::observer::Asker;
use crate::{
    command::{Called, admin, parameters::Settings},
    proto::{Args, reply::ReplyWriter},
    time::Now,
};

/// Words of a request that are kept, as in Redis.
const WORDS_MAX: usize = 32;
/// Bytes of a word that are kept, as in Redis.
const WORD_SIZE_MAX: usize = 128;
/// Bytes of all words that are kept: every request that waits keeps so many.
const SIZE_MAX: usize = 512;
const SECRET: &[u8] = b"(redacted)";

/// See the module.
#[derive(Clone, Debug, Default)]
pub(crate) struct SlowLog {
    /// The newest first.
    entries: VecDeque<Entry>,
    next_id: u64,
}

#[derive(Clone, Debug)]
struct Entry {
    id: u64,
    /// Unix seconds.
    at: u64,
    micros: u64,
    words: Box<[u8]>,
    asker: Asker,
}

impl SlowLog {
    /// A request was under way for so long.
    pub(crate) fn note(
        &mut self,
        now: Now,
        micros: u64,
        settings: &Settings,
        words: Box<[u8]>,
        asker: impl FnOnce() -> Asker,
    ) {
        let slow = u64::try_from(settings.slower_than_us).is_ok_and(|least| micros >= least);
        if slow && settings.slow_log_len > 0 && !words.is_empty() {
            let (id, at) = (self.next_id, now.wall_ms / 1000);
            self.next_id += 1;
            self.entries.push_front(Entry { id, at, micros, words, asker: asker() });
        }
        self.trim(settings);
    }

    /// Forgets what is too much.
    pub(crate) fn trim(&mut self, settings: &Settings) {
        self.entries.truncate(settings.slow_log_len);
    }

    /// SLOWLOG RESET.
    pub(crate) fn reset(&mut self) {
        self.entries.clear();
    }

    /// SLOWLOG LEN.
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// SLOWLOG GET.
    pub(crate) fn show(&self, count: Option<usize>, reply: &mut ReplyWriter<'_>) {
        let count = count.unwrap_or(usize::MAX).min(self.entries.len());
        reply.array(count);
        for entry in self.entries.iter().take(count) {
            reply.array(6);
            reply.integer(entry.id as i64);
            reply.integer(entry.at as i64);
            reply.integer(entry.micros as i64);
            let words: Vec<&[u8]> = unpack(&entry.words).collect();
            reply.array(words.len());
            words.into_iter().for_each(|word| reply.bulk(word));
            reply.bulk(entry.asker.address.as_bytes());
            reply.bulk(&entry.asker.name);
        }
    }
}

/// Whether slow requests are kept at all.
pub(crate) const fn is_on(settings: &Settings) -> bool {
    settings.slower_than_us >= 0 && settings.slow_log_len > 0
}

/// The words of a request, as far as they are kept: each with its size in front.
pub(crate) fn pack(called: Called, args: Args<'_>) -> Box<[u8]> {
    // Most often just as much: then it is allocated once.
    let size = |word: &[u8]| 1 + word.len().min(WORD_SIZE_MAX);
    let size = args.iter().take(WORDS_MAX).map(size).sum::<usize>();
    let mut packed = Vec::with_capacity(size.min(SIZE_MAX));
    let secret = admin::secret_from(called.spec, args);
    for (index, word) in args.iter().enumerate() {
        let left = args.len() - index;
        if (index + 1 == WORDS_MAX && left > 1) || packed.len() >= SIZE_MAX {
            push(&mut packed, format!("... ({left} more arguments)").as_bytes());
            break;
        }
        match word.get(..WORD_SIZE_MAX) {
            _ if index >= secret => push(&mut packed, SECRET),
            Some(start) if word.len() > WORD_SIZE_MAX => {
                let more = format!("... ({} more bytes)", word.len() - WORD_SIZE_MAX);
                push(&mut packed, &[start, more.as_bytes()].concat());
            }
            Some(_) | None => push(&mut packed, word),
        }
    }
    packed.into_boxed_slice()
}

fn push(packed: &mut Vec<u8>, word: &[u8]) {
    packed.push(word.len() as u8);
    packed.extend_from_slice(word);
}

fn unpack(mut packed: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let (size, rest) = packed.split_first()?;
        let (word, rest) = rest.split_at_checked(usize::from(*size))?;
        packed = rest;
        Some(word)
    })
}
