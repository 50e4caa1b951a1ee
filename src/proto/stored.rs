//! Requests kept for later: the bytes of their arguments, one behind the other.

use std::hash::{Hash, Hasher};

use super::{Args, Span};

/// Requests in the order in which they came.
#[derive(Clone, Debug, Default)]
pub struct Stored {
    bytes: Vec<u8>,
    /// Of all arguments.
    spans: Vec<Span>,
    /// By request: how many arguments there are up to its end.
    ends: Vec<usize>,
}

/// By the bytes and where requests end; that tells all others apart which matter.
impl Hash for Stored {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.bytes.hash(state);
        self.ends.hash(state);
        self.spans.iter().for_each(|span| span.end.hash(state));
    }
}

impl Stored {
    /// Keeps a request.
    pub fn push(&mut self, args: Args<'_>) {
        for arg in args.iter() {
            let start = self.bytes.len();
            self.bytes.extend_from_slice(arg);
            self.spans.push(Span { start, end: self.bytes.len() });
        }
        self.ends.push(self.spans.len());
    }

    /// How many there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Bytes of their arguments.
    #[must_use]
    pub const fn size(&self) -> usize {
        self.bytes.len()
    }

    /// Memory held, in bytes.
    #[must_use]
    pub const fn memory(&self) -> usize {
        let spans = self.spans.capacity() * size_of::<Span>();
        self.bytes.capacity() + spans + self.ends.capacity() * size_of::<usize>()
    }

    /// The requests in order.
    pub fn iter(&self) -> impl Iterator<Item = Args<'_>> {
        let mut start = 0;
        self.ends.iter().map(move |end| {
            let spans = self.spans.get(start..*end).unwrap_or_default();
            start = *end;
            Args { buf: &self.bytes, spans }
        })
    }
}
