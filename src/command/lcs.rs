//! LCS: the longest common subsequence of two values.
//!
//! The textbook table of lengths over all pairs of prefixes, as in Redis, so that among subsequences
//! of one length the same one is told. It takes time and memory with the product of the sizes, and
//! so is refused above [`CELLS_MAX`].

#![deny(clippy::indexing_slicing)]

use crate::proto::reply::ReplyWriter;

/// Cells of the table: 16 MiB of memory and some ten milliseconds of work, for which everybody else
/// waits.
pub const CELLS_MAX: usize = 4 * 1024 * 1024;

/// What LCS asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LcsAsk {
    /// LEN: how long it is.
    Length,
    /// IDX: where it is in both values.
    Places {
        /// MINMATCHLEN: shorter pieces are left out.
        least: usize,
        /// WITHMATCHLEN: how long each piece is, too.
        with_length: bool,
    },
    /// What it is.
    Text,
}

/// A piece of it: where it begins and ends in both values, and how long it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Piece {
    first: (usize, usize),
    second: (usize, usize),
    length: usize,
}

/// Answers LCS of two values.
pub fn write(ask: LcsAsk, first: &[u8], second: &[u8], reply: &mut ReplyWriter<'_>) {
    let Some(table) = Table::of(first, second) else {
        let (a, b) = (first.len(), second.len());
        return reply.error(format_args!(
            "ERR LCS of {a} and {b} bytes is too much work: at most {CELLS_MAX} pairs of them"
        ));
    };
    match ask {
        LcsAsk::Length => reply.integer(table.length(first.len(), second.len()) as i64),
        LcsAsk::Text => reply.bulk(&table.walk(first, second).0),
        LcsAsk::Places { least, with_length } => {
            let (text, mut pieces) = table.walk(first, second);
            pieces.retain(|piece| piece.length >= least);
            reply.map(2);
            reply.bulk(b"matches");
            reply.array(pieces.len());
            for Piece { first, second, length } in pieces {
                reply.array(if with_length { 3 } else { 2 });
                for (start, end) in [first, second] {
                    reply.array(2);
                    reply.integer(start as i64);
                    reply.integer(end as i64);
                }
                if with_length {
                    reply.integer(length as i64);
                }
            }
            reply.bulk(b"len");
            reply.integer(text.len() as i64);
        }
    }
}

/// The lengths for all pairs of prefixes.
struct Table {
    cells: Vec<u32>,
    width: usize,
}

impl Table {
    fn of(first: &[u8], second: &[u8]) -> Option<Self> {
        let width = second.len() + 1;
        let size = (first.len() + 1).checked_mul(width).filter(|size| *size <= CELLS_MAX)?;
        let mut cells = Vec::with_capacity(size);
        cells.resize(width, 0);
        for a in first {
            // The row before this one begins a row before the end.
            let above = cells.len() - width;
            cells.push(0);
            for (index, b) in second.iter().enumerate() {
                let at = |place: usize| cells.get(place).copied().unwrap_or_default();
                let (diagonal, up) = (at(above + index), at(above + index + 1));
                let left = at(cells.len() - 1);
                cells.push(if a == b { diagonal + 1 } else { up.max(left) });
            }
        }
        Some(Self { cells, width })
    }

    fn length(&self, first: usize, second: usize) -> u32 {
        self.cells.get(first * self.width + second).copied().unwrap_or_default()
    }

    /// From the ends to the beginnings: the subsequence, and its pieces from the last one on.
    fn walk(&self, first: &[u8], second: &[u8]) -> (Vec<u8>, Vec<Piece>) {
        let (mut a, mut b) = (first.len(), second.len());
        let (mut text, mut pieces) = (Vec::new(), Vec::<Piece>::new());
        while a > 0 && b > 0 {
            let (last, other) = (first.get(a - 1), second.get(b - 1));
            if last == other {
                text.extend(last);
                match pieces.last_mut() {
                    Some(piece) if piece.first.0 == a && piece.second.0 == b => {
                        (piece.first.0, piece.second.0) = (a - 1, b - 1);
                        piece.length += 1;
                    }
                    Some(_) | None => {
                        let (first, second) = ((a - 1, a - 1), (b - 1, b - 1));
                        pieces.push(Piece { first, second, length: 1 });
                    }
                }
                (a, b) = (a - 1, b - 1);
            } else if self.length(a - 1, b) > self.length(a, b - 1) {
                a -= 1;
            } else {
                b -= 1;
            }
        }
        text.reverse();
        (text, pieces)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{buffer::OutBuf, proto::Style};

    fn told(ask: LcsAsk, first: &str, second: &str) -> String {
        let mut out = OutBuf::new();
        write(
            ask,
            first.as_bytes(),
            second.as_bytes(),
            &mut ReplyWriter::new(&mut out, Style::Resp),
        );
        String::from_utf8_lossy(out.pending()).replace("\r\n", " ")
    }

    #[test]
    fn the_example_of_redis() {
        let (a, b) = ("ohmytext", "mynewtext");
        assert_eq!(told(LcsAsk::Text, a, b), "$6 mytext ");
        assert_eq!(told(LcsAsk::Length, a, b), ":6 ");
        let places = |least, with_length| told(LcsAsk::Places { least, with_length }, a, b);
        let both = "*4 $7 matches *2 *2 *2 :4 :7 *2 :5 :8 *2 *2 :2 :3 *2 :0 :1 $3 len :6 ";
        assert_eq!(places(0, false), both);
        let long = "*4 $7 matches *1 *3 *2 :4 :7 *2 :5 :8 :4 $3 len :6 ";
        assert_eq!(places(4, true), long);
        assert_eq!(told(LcsAsk::Text, "", b), "$0  ");
    }

    #[test]
    fn too_much_work_is_refused() {
        let (small, large) = ("a".repeat(2047), "b".repeat(2047));
        assert_eq!(told(LcsAsk::Length, &small, &large), ":0 ");
        let refused = told(LcsAsk::Length, &small, &"b".repeat(2048));
        assert!(refused.starts_with("-ERR LCS of 2047 and 2048 bytes"), "{refused}");
    }
}
