//! The strong database's operations on one key, as a [`Model`].
//!
//! A value is known by a [`Text`]: its size, a hash that two texts put together have too, and the
//! number that it spells if it spells one. So a state is small, however long values get.

use std::fmt::{self, Display};

use super::Model;

/// A prime, 2^61 - 1, and a base for polynomials modulo it.
const PRIME: u64 = (1 << 61) - 1;
const BASE: u64 = 0x0123_4567_89ab_cdef;

/// A value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Text {
    hash: u64,
    size: u32,
    number: Option<i64>,
}

impl Text {
    /// Some value that nobody ever sees and nobody asks for.
    pub const UNSEEN: Self = Self { hash: u64::MAX, size: 0, number: None };

    /// What is told of a write.
    pub const OK: Self = Self { hash: hash(b"OK"), size: 2, number: None };

    /// The value with these bytes.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        // As it is told: without a plus, and without zeros before it.
        let is_plain = matches!(bytes, [b'0'] | [b'1'..=b'9', ..] | [b'-', b'1'..=b'9', ..]);
        let number = str::from_utf8(bytes).ok().filter(|_| is_plain);
        let number = number.and_then(|text| text.parse::<i64>().ok());
        Self { hash: hash(bytes), size: bytes.len() as u32, number }
    }

    /// The value that spells a number.
    #[must_use]
    pub fn spelling(number: i64) -> Self {
        let (mut digits, mut first, mut rest) = ([b'-'; 20], 20, number.unsigned_abs());
        loop {
            first -= 1;
            digits[first] = b'0' + (rest % 10) as u8;
            rest /= 10;
            if rest == 0 {
                break;
            }
        }
        let bytes = &digits[first - usize::from(number < 0)..];
        Self { hash: hash(bytes), size: bytes.len() as u32, number: Some(number) }
    }

    /// How many bytes it has.
    #[must_use]
    pub const fn size(self) -> u32 {
        self.size
    }

    /// The number that it spells, if it spells one.
    #[must_use]
    pub const fn number(self) -> Option<i64> {
        self.number
    }

    /// This value with another one behind it, which spells no number.
    fn joined(self, other: Self) -> Self {
        let mut power = 1;
        let (mut base, mut rest) = (BASE, other.size);
        while rest > 0 {
            if rest % 2 == 1 {
                power = times(power, base);
            }
            base = times(base, base);
            rest /= 2;
        }
        let hash = add(times(self.hash, power), other.hash);
        Self { hash, size: self.size + other.size, number: None }
    }
}

const fn hash(bytes: &[u8]) -> u64 {
    let (mut hash, mut rest) = (0, bytes);
    while let [byte, after @ ..] = rest {
        hash = add(times(hash, BASE), *byte as u64 + 1);
        rest = after;
    }
    hash
}

/// The product of two numbers below [`PRIME`]; as that is 2^61 - 1, the bits above the 61st count once
/// more from the first on.
const fn times(a: u64, b: u64) -> u64 {
    let product = a as u128 * b as u128;
    add((product as u64) & PRIME, (product >> 61) as u64)
}

const fn add(a: u64, b: u64) -> u64 {
    (a + b) % PRIME
}

/// A key of the strong database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Strings;

/// What a client may ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StringsOp {
    /// INCR and the like.
    Add(i64),
    /// APPEND; what is appended spells no number.
    Append(Text),
    /// DEL.
    Delete,
    /// Of a script: DEL if the key holds this.
    DeleteIf(Text),
    /// EXISTS.
    Exists,
    /// The time of what was set with the term of this name is over.
    Expire(u32),
    /// Of a script: another term if the key holds this.
    Extend {
        /// What it must hold.
        value: Text,
        /// For how long from now on.
        term: Option<Term>,
    },
    /// A read that finds nothing whose term a clock may take to be over by this time. So it is where
    /// each reader goes by its own clock: what one does not find any more another may find still.
    Lacks(u64),
    /// PTTL, answered so many milliseconds between these times, or that there is no value or no term.
    Left {
        /// As PTTL tells it.
        told: i64,
        /// When it began and ended.
        span: (u64, u64),
    },
    /// GET.
    Read,
    /// GETDEL.
    ReadDelete,
    /// All that sets.
    Set {
        /// What.
        value: Text,
        /// If this holds.
        condition: If,
        /// What the answer tells.
        tell: Tell,
        /// For how long; for ever without. Each has its own, and ends by [`StringsOp::Expire`].
        term: Option<Term>,
    },
    /// Another term for what there is.
    Term {
        /// For how long from now on.
        term: Option<Term>,
        /// What the answer tells.
        tell: Tell,
    },
}

/// For how long a value is set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Term {
    /// Its name.
    pub name: u32,
    /// No clock says earlier that it is over.
    pub over_from: u64,
    /// All clocks say by then that it is over.
    pub over_by: u64,
    /// By no clock it is longer, in microseconds as all of these.
    pub most: u64,
}

impl Term {
    /// Whether so many milliseconds may be left of it at a time in that span.
    const fn leaves(self, told: u64, (start, end): (u64, u64)) -> bool {
        let left = told * 1000;
        left <= self.most
            && start.saturating_add(left) <= self.over_by
            && end.saturating_add(left) >= self.over_from
    }
}

/// When a value is set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum If {
    /// There is none.
    Absent,
    /// Always.
    Always,
    /// There is none, or another one.
    Different(Text),
    /// It is this one.
    Equal(Text),
    /// There is one.
    Present,
}

/// What is told of a value that was set, or was not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tell {
    /// What there was before.
    Before,
    /// Whether it was set.
    Whether,
}

/// What a client may be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StringsOutcome {
    /// A number: of keys, of bytes, or a sum.
    Count(i64),
    /// The value that there was.
    Found(Option<Text>),
    /// What there is is no number.
    NotNumber,
    /// Whether the value was set.
    Was(bool),
}

/// What a key holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Held {
    text: Text,
    term: Option<Term>,
}

/// Whether PTTL may tell this of what a key holds.
fn may_tell(held: Option<Held>, told: i64, span: (u64, u64)) -> bool {
    match (held, u64::try_from(told)) {
        (None, _) => told == -2,
        (Some(Held { term: None, .. }), _) => told == -1,
        (Some(Held { term: Some(term), .. }), Ok(told)) => term.leaves(told, span),
        (Some(_), Err(_)) => false,
    }
}

impl Model for Strings {
    type State = Option<Held>;
    type Op = StringsOp;
    type Outcome = StringsOutcome;

    fn initial() -> Self::State {
        None
    }

    fn step(state: &Self::State, op: &Self::Op) -> (Self::State, Self::Outcome) {
        let (held, state) = (*state, state.map(|held| held.text));
        let term = held.and_then(|held| held.term);
        let kept = |text| Some(Held { text, term });
        let there = i64::from(held.is_some());
        match *op {
            StringsOp::Add(by) => {
                let Some(before) = state.map_or(Some(0), |text| text.number) else {
                    return (held, StringsOutcome::NotNumber);
                };
                let sum = before.wrapping_add(by);
                (kept(Text::spelling(sum)), StringsOutcome::Count(sum))
            }
            StringsOp::Append(more) => {
                let whole = state.map_or(more, |text| text.joined(more));
                (kept(whole), StringsOutcome::Count(i64::from(whole.size)))
            }
            StringsOp::Delete => (None, StringsOutcome::Count(there)),
            StringsOp::DeleteIf(value) => {
                let met = state == Some(value);
                (held.filter(|_| !met), StringsOutcome::Count(i64::from(met)))
            }
            StringsOp::Exists => (held, StringsOutcome::Count(there)),
            StringsOp::Expire(over) => {
                let stays = term.is_none_or(|term| term.name != over);
                (held.filter(|_| stays), StringsOutcome::Count(there))
            }
            StringsOp::Extend { value, term } => {
                let met = state == Some(value);
                let extended = held.map(|held| if met { Held { term, ..held } } else { held });
                (extended, StringsOutcome::Was(met))
            }
            StringsOp::Lacks(at) => {
                let over = term.is_some_and(|term| term.over_from <= at);
                (held, StringsOutcome::Found(state.filter(|_| !over)))
            }
            StringsOp::Left { told, span } => {
                (held, StringsOutcome::Was(may_tell(held, told, span)))
            }
            StringsOp::Read => (held, StringsOutcome::Found(state)),
            StringsOp::ReadDelete => (None, StringsOutcome::Found(state)),
            StringsOp::Set { value, condition, tell, term } => {
                let met = match condition {
                    If::Absent => state.is_none(),
                    If::Always => true,
                    If::Different(other) => state != Some(other),
                    If::Equal(other) => state == Some(other),
                    If::Present => state.is_some(),
                };
                let told = match tell {
                    Tell::Before => StringsOutcome::Found(state),
                    Tell::Whether => StringsOutcome::Was(met),
                };
                (if met { Some(Held { text: value, term }) } else { held }, told)
            }
            StringsOp::Term { term: next, tell } => {
                let told = match tell {
                    Tell::Before => StringsOutcome::Found(state),
                    // PERSIST has done something only if there was a term.
                    Tell::Whether if next.is_none() => StringsOutcome::Was(term.is_some()),
                    Tell::Whether => StringsOutcome::Was(held.is_some()),
                };
                (held.map(|held| Held { term: next, ..held }), told)
            }
        }
    }
}

impl Display for StringsOp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?}")
    }
}

impl Display for StringsOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(ops: &[StringsOp]) -> (Option<Held>, Vec<StringsOutcome>) {
        let mut state = Strings::initial();
        let mut told = Vec::new();
        for op in ops {
            let (next, outcome) = Strings::step(&state, op);
            state = next;
            told.push(outcome);
        }
        (state, told)
    }

    #[test]
    fn texts_are_known_by_their_bytes() {
        assert_ne!(Text::of(b"ab"), Text::of(b"ba"));
        assert_ne!(Text::of(b""), Text::of(b"\0"));
        for (a, b) in [("v1.2", "v3.4-abc"), ("17", "v1"), ("", "v1")] {
            let whole = [a.as_bytes(), b.as_bytes()].concat();
            assert_eq!(Text::of(a.as_bytes()).joined(Text::of(b.as_bytes())), Text::of(&whole));
        }
        assert_eq!(Text::of(b"-12").number, Some(-12));
        assert_eq!(Text::OK, Text::of(b"OK"));
        for number in [0, 7, -12, 1200, i64::MAX, i64::MIN] {
            assert_eq!(Text::spelling(number), Text::of(number.to_string().as_bytes()));
            assert_eq!(Text::spelling(number).number, Some(number));
        }
        for text in [&b"012"[..], b"+1", b" 1", b"v1", b"", b"9223372036854775808"] {
            assert_eq!(Text::of(text).number, None);
        }
    }

    #[test]
    fn operations_do_what_the_commands_do() {
        let (a, b) = (Text::of(b"a"), Text::of(b"b"));
        let set = |value, condition, tell| StringsOp::Set { value, condition, tell, term: None };
        let (state, told) = run(&[
            StringsOp::Exists,
            set(a, If::Absent, Tell::Whether),
            set(b, If::Absent, Tell::Before),
            set(b, If::Equal(b), Tell::Whether),
            set(b, If::Different(b), Tell::Before),
            StringsOp::Add(1),
            StringsOp::Append(a),
            StringsOp::ReadDelete,
            set(a, If::Present, Tell::Whether),
            StringsOp::Add(5),
            StringsOp::Add(-7),
            StringsOp::Delete,
            StringsOp::Read,
        ]);
        use StringsOutcome::{Count, Found, NotNumber, Was};
        assert_eq!(
            told,
            [
                Count(0),
                Was(true),
                Found(Some(a)),
                Was(false),
                Found(Some(a)),
                NotNumber,
                Count(2),
                Found(Some(Text::of(b"ba"))),
                Was(false),
                Count(5),
                Count(-2),
                Count(1),
                Found(None),
            ]
        );
        assert_eq!(state, None);
    }

    fn named(name: u32) -> Term {
        Term { name, over_from: 100_000, over_by: 200_000, most: 150_000 }
    }

    fn set(value: Text, term: Option<u32>) -> StringsOp {
        let term = term.map(named);
        StringsOp::Set { value, condition: If::Always, tell: Tell::Whether, term }
    }

    #[test]
    fn a_term_ends_what_was_set_for_it_and_what_became_of_that() {
        let (a, b) = (Text::of(b"a"), Text::of(b"b"));
        let left = |ops: &[StringsOp]| run(ops).0.map(|held| held.text);
        let (over, other) = (StringsOp::Expire(7), StringsOp::Expire(8));
        assert_eq!(left(&[set(a, Some(7)), over]), None);
        assert_eq!(left(&[set(a, Some(7)), other]), Some(a));
        assert_eq!(left(&[set(a, Some(7)), StringsOp::Append(b), over]), None);
        assert_eq!(left(&[set(a, Some(7)), set(b, None), over]), Some(b));
        assert_eq!(left(&[set(a, Some(7)), set(b, Some(8)), over]), Some(b));
    }

    #[test]
    fn a_term_may_be_set_anew_or_taken_away() {
        let a = Text::of(b"a");
        let tell = Tell::Whether;
        let again = |name| StringsOp::Term { term: Some(named(name)), tell };
        let (over, persist) = (StringsOp::Expire(7), StringsOp::Term { term: None, tell });
        let was = |told: bool| StringsOutcome::Was(told);
        assert_eq!(run(&[again(7), set(a, None), over]).1[0], was(false));
        let (left, told) = run(&[set(a, Some(7)), again(8), over, persist, persist]);
        assert_eq!(left.map(|held| held.text), Some(a));
        assert_eq!((&told[1], &told[3..]), (&was(true), &[was(true), was(false)][..]));
        assert_eq!(run(&[set(a, None), again(7), over]).0, None);
    }

    #[test]
    fn a_lock_is_freed_and_extended_only_by_who_holds_it() {
        let (a, b) = (Text::of(b"a"), Text::of(b"b"));
        let extend = |value, name| StringsOp::Extend { value, term: Some(named(name)) };
        use StringsOutcome::{Count, Was};
        let free = StringsOp::DeleteIf;
        let (left, told) = run(&[free(a), extend(a, 7), set(a, None), free(b), extend(b, 7)]);
        assert_eq!(
            (&told[..2], &told[3..]),
            (&[Count(0), Was(false)][..], &[Count(0), Was(false)][..])
        );
        assert_eq!(left.map(|held| (held.text, held.term)), Some((a, None)));
        let (left, told) = run(&[set(a, None), extend(a, 7), StringsOp::Expire(7)]);
        assert_eq!((left, told[1]), (None, Was(true)));
        let (left, told) = run(&[set(a, Some(7)), extend(a, 8), StringsOp::Expire(7), free(a)]);
        assert_eq!((left, told[3]), (None, Count(1)));
    }

    #[test]
    fn what_is_left_of_a_term_lies_between_what_clocks_may_say() {
        let fits = |first, told, span| {
            run(&[first, StringsOp::Left { told, span }]).1[1] == StringsOutcome::Was(true)
        };
        let a = Text::of(b"a");
        let now = (50_000, 60_000);
        for (first, fit) in [(StringsOp::Delete, -2), (set(a, None), -1), (set(a, Some(7)), 70)] {
            assert!([-2, -1, 70].into_iter().all(|told| fits(first, told, now) == (told == fit)));
        }
        let left = |told, span| fits(set(a, Some(7)), told, span);
        assert!(!left(39, now) && left(40, now) && left(150, now) && !left(151, now));
        assert!(left(1, (99_000, 199_000)) && !left(101, (100_000, 110_000)));
    }

    #[test]
    fn a_reader_may_lack_what_its_clock_takes_to_be_over() {
        let a = Text::of(b"a");
        let told = |term, at| run(&[set(a, term), StringsOp::Lacks(at), StringsOp::Read]).1;
        let found = |value| StringsOutcome::Found(value);
        assert_eq!(told(Some(7), 99_999)[1], found(Some(a)));
        assert_eq!(told(Some(7), 100_000)[1..], [found(None), found(Some(a))]);
        assert_eq!(told(None, 100_000)[1], found(Some(a)));
        assert_eq!(run(&[StringsOp::Lacks(0)]).1, [found(None)]);
    }
}
