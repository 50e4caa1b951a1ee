//! The slow log: the last requests that were under way for long.

use std::{borrow::Cow, collections::VecDeque};

use super::observer::Asker;
use crate::{
    command::{Called, admin, parameters::Settings},
    conn::Words,
    proto::{Args, reply::ReplyWriter},
    time::Now,
};

/// Words of a request that are kept, as in Redis.
const WORDS_MAX: usize = 32;
/// Bytes of a word that are kept, as in Redis.
const WORD_SIZE_MAX: usize = 128;
/// Bytes of all words after which no more are kept: every request that waits keeps so many.
const SIZE_MAX: usize = 512;
/// In place of a word's size: a word of the greatest size that is kept, which was longer. How many
/// bytes more follows in 4 bytes, then the word.
const CUT: u8 = 254;
/// In place of a word's size: how many arguments more there were follows in 4 bytes.
const MORE: u8 = 255;
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
        words: &Words,
        asker: impl FnOnce() -> Asker,
    ) {
        let slow = u64::try_from(settings.slower_than_us).is_ok_and(|least| micros >= least);
        if slow && settings.slow_log_len > 0 && !words.bytes().is_empty() {
            let (id, at) = (self.next_id, now.wall_ms / 1000);
            self.next_id += 1;
            let (words, asker) = (words.bytes().into(), asker());
            self.entries.push_front(Entry { id, at, micros, words, asker });
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
            let words: Vec<Cow<'_, [u8]>> = unpack(&entry.words).collect();
            reply.array(words.len());
            words.iter().for_each(|word| reply.bulk(word));
            reply.bulk(entry.asker.address.as_bytes());
            reply.bulk(&entry.asker.name);
        }
    }
}

/// Whether slow requests are kept at all.
pub(crate) const fn is_on(settings: &Settings) -> bool {
    settings.slower_than_us >= 0 && settings.slow_log_len > 0
}

/// The words of a request, as far as they are kept. Of nearly all requests nobody will ask for them:
/// they are made fit for people when somebody does.
pub(crate) fn pack(called: Called, args: Args<'_>) -> Words {
    let secret = admin::secret_from(called.spec, args);
    let shown = |index: usize, word| if index >= secret { SECRET } else { word };
    let size_of = |(index, word)| {
        let size = shown(index, word).len();
        if size > WORD_SIZE_MAX { WORD_SIZE_MAX + 5 } else { size + 1 }
    };
    let most = args.iter().enumerate().take(WORDS_MAX).map(size_of).sum::<usize>();
    let mut words = Words::with_room(most.min(SIZE_MAX + WORD_SIZE_MAX + 10));
    let mut size = 0;
    for (index, word) in args.iter().enumerate() {
        let left = args.len() - index;
        if (index + 1 == WORDS_MAX && left > 1) || size >= SIZE_MAX {
            words.push(&[MORE]);
            words.push(&(left as u32).to_le_bytes());
            break;
        }
        let word = shown(index, word);
        let kept = word.get(..WORD_SIZE_MAX).filter(|kept| kept.len() < word.len());
        if let Some(kept) = kept {
            words.push(&[CUT]);
            words.push(&((word.len() - kept.len()) as u32).to_le_bytes());
        } else {
            words.push(&[word.len() as u8]);
        }
        words.push(kept.unwrap_or(word));
        size += kept.unwrap_or(word).len();
    }
    words
}

fn unpack(mut packed: &[u8]) -> impl Iterator<Item = Cow<'_, [u8]>> {
    std::iter::from_fn(move || {
        let (&size, rest) = packed.split_first()?;
        if size < CUT {
            let (word, rest) = rest.split_at_checked(usize::from(size))?;
            packed = rest;
            return Some(Cow::Borrowed(word));
        }
        let (count, rest) = rest.split_first_chunk::<4>()?;
        let count = u32::from_le_bytes(*count);
        if size == MORE {
            packed = rest;
            return Some(Cow::Owned(format!("... ({count} more arguments)").into_bytes()));
        }
        let (word, rest) = rest.split_at_checked(WORD_SIZE_MAX)?;
        packed = rest;
        let more = format!("... ({count} more bytes)");
        Some(Cow::Owned([word, more.as_bytes()].concat()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        limits::Limits,
        proto::{Dialect, Progress, Step, Workspace, next_request},
    };

    #[test]
    fn words_come_back_few_or_many() {
        // The longest that is kept whole, the shortest that is not, none, and all at once.
        let sizes = [vec![0, 3, 40], vec![128], vec![129, 1], vec![9; 40], vec![200; 6], vec![]];
        for sizes in sizes {
            let mut given = vec!["mget".to_owned(), "k".to_owned()];
            given.extend(sizes.iter().map(|size| "a".repeat(*size)));
            let words: Vec<String> =
                given.iter().map(|word| format!("${}\r\n{word}\r\n", word.len())).collect();
            let request = format!("*{}\r\n{}", words.len(), words.concat());
            let (limits, mut workspace) = (Limits::DEFAULT, Workspace::default());
            let (dialect, mut progress) = (Dialect::Resp, Progress::default());
            let bytes = request.as_bytes();
            let step = next_request(bytes, dialect, false, &limits, &mut workspace, &mut progress);
            let Step::Complete { args, .. } = step else { panic!("{step:?}") };
            let packed = pack(Called::of(args).expect("a command"), args);
            let unpacked: Vec<String> = unpack(packed.bytes())
                .map(|word| String::from_utf8_lossy(&word).into_owned())
                .collect();
            assert_eq!(unpacked, shown(&given), "{sizes:?}");
        }
        assert_eq!(unpack(Words::new().bytes()).count(), 0);
    }

    /// As SLOWLOG shows them.
    fn shown(given: &[String]) -> Vec<String> {
        let (mut shown, mut size) = (Vec::new(), 0);
        for (index, word) in given.iter().enumerate() {
            let left = given.len() - index;
            if (index == 31 && left > 1) || size >= 512 {
                shown.push(format!("... ({left} more arguments)"));
                break;
            }
            size += word.len().min(128);
            shown.push(match word.len() {
                0..=128 => word.clone(),
                long => format!("{}... ({} more bytes)", &word[..128], long - 128),
            });
        }
        shown
    }
}
