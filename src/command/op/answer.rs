//! Answers: what an operation comes to, before it has the style of a connection.
//!
//! ```text
//!  0  kind  u8
//!  1  by kind: nothing; an i64, little-endian; bytes, up to the end; or answers, each behind its
//!     size u32, little-endian
//! ```

#![deny(clippy::indexing_slicing)]

use std::borrow::Cow;

use crate::{
    proto::reply::{ReplyWriter, starts_with_code},
    record::VALUE_SIZE_MAX,
};

/// The longest encoded answer, in bytes: a value, and something to say of it.
pub const ANSWER_SIZE_MAX: usize = VALUE_SIZE_MAX + 1024;

const BULK: u8 = 1;
const ERROR: u8 = 2;
const INTEGER: u8 = 3;
const NIL: u8 = 4;
const NOT_SET: u8 = 5;
const OK: u8 = 6;
const TEXT: u8 = 7;
const STATUS: u8 = 8;
const LIST: u8 = 9;
const NIL_LIST: u8 = 10;

/// What a client hears.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Answer<'a> {
    /// A value.
    Bulk(Cow<'a, [u8]>),
    /// A text that starts with an error's code, such as `ERR`.
    Error(Cow<'a, str>),
    /// A number.
    Integer(i64),
    /// Several, none of them a list itself where it is encoded.
    List(Vec<Self>),
    /// There is no value.
    Nil,
    /// A list was wanted and there is none: nothing was carried out.
    NilList,
    /// A condition failed and nothing was written.
    NotSet,
    /// It was carried out.
    Ok,
    /// A word of ours, such as a type.
    Status(Cow<'a, str>),
    /// Several lines.
    Text(Cow<'a, str>),
}

impl<'a> Answer<'a> {
    /// Writes the answer in a connection's style.
    pub fn write(&self, reply: &mut ReplyWriter<'_>) {
        match self {
            Self::Bulk(value) => reply.bulk(value),
            Self::Error(error) => reply.error(error),
            Self::Integer(number) => reply.integer(*number),
            Self::List(answers) => {
                reply.array(answers.len());
                answers.iter().for_each(|answer| answer.write(reply));
            }
            Self::Nil => reply.null(),
            Self::NilList => reply.null_list(),
            Self::NotSet => reply.not_set(),
            Self::Ok => reply.ok(),
            Self::Status(word) => reply.simple(word),
            Self::Text(text) => reply.lines(text),
        }
    }

    /// How many bytes [`Answer::encode`] writes.
    #[must_use]
    pub fn size(&self) -> usize {
        1 + match self {
            Self::Bulk(value) => value.len(),
            Self::Error(text) | Self::Status(text) | Self::Text(text) => text.len(),
            Self::Integer(_) => 8,
            Self::List(answers) => answers.iter().map(|answer| 4 + answer.size()).sum(),
            Self::Nil | Self::NilList | Self::NotSet | Self::Ok => 0,
        }
    }

    /// Appends the answer's bytes to `out`.
    pub fn encode(&self, out: &mut Vec<u8>) {
        debug_assert!(self.size() <= ANSWER_SIZE_MAX);
        match self {
            Self::Bulk(value) => {
                out.push(BULK);
                out.extend_from_slice(value);
            }
            Self::Error(error) => {
                out.push(ERROR);
                out.extend_from_slice(error.as_bytes());
            }
            Self::Integer(number) => {
                out.push(INTEGER);
                out.extend_from_slice(&number.to_le_bytes());
            }
            Self::List(answers) => {
                out.push(LIST);
                for answer in answers {
                    out.extend_from_slice(&(answer.size() as u32).to_le_bytes());
                    answer.encode(out);
                }
            }
            Self::Nil => out.push(NIL),
            Self::NilList => out.push(NIL_LIST),
            Self::NotSet => out.push(NOT_SET),
            Self::Ok => out.push(OK),
            Self::Status(word) => {
                out.push(STATUS);
                out.extend_from_slice(word.as_bytes());
            }
            Self::Text(text) => {
                out.push(TEXT);
                out.extend_from_slice(text.as_bytes());
            }
        }
    }

    /// Reads the answer that fills `bytes` exactly. `None` if no [`Answer::encode`] writes them.
    #[must_use]
    pub fn decode(bytes: &'a [u8]) -> Option<Self> {
        if bytes.len() > ANSWER_SIZE_MAX {
            return None;
        }
        let (kind, body) = bytes.split_first()?;
        let bare = |answer| body.is_empty().then_some(answer);
        match *kind {
            BULK if body.len() <= VALUE_SIZE_MAX => Some(Self::Bulk(Cow::Borrowed(body))),
            // Clients tell errors by their codes.
            ERROR if starts_with_code(body) => Some(Self::Error(text(body)?)),
            INTEGER => Some(Self::Integer(i64::from_le_bytes(body.try_into().ok()?))),
            LIST => list(body),
            NIL_LIST => bare(Self::NilList),
            NIL => bare(Self::Nil),
            NOT_SET => bare(Self::NotSet),
            OK => bare(Self::Ok),
            STATUS if !body.iter().any(u8::is_ascii_control) => Some(Self::Status(text(body)?)),
            TEXT => Some(Self::Text(text(body)?)),
            _ => None,
        }
    }

    /// The answer with bytes of its own.
    #[must_use]
    pub fn into_owned(self) -> Answer<'static> {
        match self {
            Self::Bulk(value) => Answer::Bulk(Cow::Owned(value.into_owned())),
            Self::Error(error) => Answer::Error(Cow::Owned(error.into_owned())),
            Self::Integer(number) => Answer::Integer(number),
            Self::List(answers) => {
                Answer::List(answers.into_iter().map(Answer::into_owned).collect())
            }
            Self::NilList => Answer::NilList,
            Self::Nil => Answer::Nil,
            Self::NotSet => Answer::NotSet,
            Self::Ok => Answer::Ok,
            Self::Status(word) => Answer::Status(Cow::Owned(word.into_owned())),
            Self::Text(text) => Answer::Text(Cow::Owned(text.into_owned())),
        }
    }
}

/// Answers that are no lists: a peer must not make us recurse.
fn list(mut bytes: &[u8]) -> Option<Answer<'_>> {
    let mut answers = Vec::new();
    while !bytes.is_empty() {
        let (size, rest) = bytes.split_first_chunk::<4>()?;
        let (answer, rest) = rest.split_at_checked(u32::from_le_bytes(*size) as usize)?;
        if answer.first() == Some(&LIST) {
            return None;
        }
        answers.push(Answer::decode(answer)?);
        bytes = rest;
    }
    Some(Answer::List(answers))
}

fn text(bytes: &[u8]) -> Option<Cow<'_, str>> {
    str::from_utf8(bytes).ok().map(Cow::Borrowed)
}
