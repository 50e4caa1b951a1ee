//! The fields that frames and their lists are made of. Integers are little-endian.

use super::{Hello, MAGIC};
use crate::record::{Ballot, Db, NodeId, Version};

/// Writes a body field by field.
pub(super) struct Body<'v>(&'v mut Vec<u8>);

impl<'v> Body<'v> {
    pub(super) const fn of(out: &'v mut Vec<u8>) -> Self {
        Self(out)
    }

    pub(super) fn bytes(self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(bytes);
        self
    }

    /// Bytes with their size in 16 bits before them.
    pub(super) fn sized(self, bytes: &[u8]) -> Self {
        debug_assert!(bytes.len() <= usize::from(u16::MAX));
        self.u16(bytes.len() as u16).bytes(bytes)
    }

    pub(super) fn u8(self, n: u8) -> Self {
        self.bytes(&[n])
    }

    pub(super) fn flag(self, flag: bool) -> Self {
        self.u8(u8::from(flag))
    }

    pub(super) fn db(self, db: Db) -> Self {
        self.u8(db.number())
    }

    pub(super) fn u16(self, n: u16) -> Self {
        self.bytes(&n.to_le_bytes())
    }

    pub(super) fn u32(self, n: u32) -> Self {
        self.bytes(&n.to_le_bytes())
    }

    pub(super) fn u64(self, n: u64) -> Self {
        self.bytes(&n.to_le_bytes())
    }

    pub(super) fn u128(self, n: u128) -> Self {
        self.bytes(&n.to_le_bytes())
    }

    pub(super) fn pair(self, (a, b): (u64, u64)) -> Self {
        self.u64(a).u64(b)
    }

    /// A flag, then the pair if there is one.
    pub(super) fn maybe_pair(self, pair: Option<(u64, u64)>) -> Self {
        let body = self.flag(pair.is_some());
        match pair {
            Some(pair) => body.pair(pair),
            None => body,
        }
    }

    pub(super) fn ballot(self, ballot: Ballot) -> Self {
        self.u64(ballot.to_bits())
    }

    pub(super) fn version(self, version: Version) -> Self {
        self.u128(version.to_bits())
    }

    pub(super) fn hello(self, hello: &Hello<'_>) -> Self {
        let body = self.bytes(&MAGIC).u16(hello.protocol).u64(hello.cluster).u32(hello.slots);
        let body = body.u16(hello.from.0).u16(hello.to.0).u64(hello.incarnation);
        body.u64(hello.birth).flag(hello.formed).bytes(hello.members)
    }
}

/// Reads a body field by field.
pub(super) struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    pub(super) const fn of(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*head)
    }

    pub(super) fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.0)
    }

    /// The next `size` bytes.
    pub(super) fn bytes(&mut self, size: usize) -> Option<&'a [u8]> {
        let (bytes, rest) = self.0.split_at_checked(size)?;
        self.0 = rest;
        Some(bytes)
    }

    /// Bytes with their size in 16 bits before them.
    pub(super) fn sized(&mut self) -> Option<&'a [u8]> {
        let size = self.u16()?;
        self.bytes(usize::from(size))
    }

    pub(super) fn u8(&mut self) -> Option<u8> {
        self.take().map(u8::from_le_bytes)
    }

    /// A byte that is 0 or 1.
    pub(super) fn flag(&mut self) -> Option<bool> {
        match self.u8()? {
            0 => Some(false),
            1 => Some(true),
            _ => None,
        }
    }

    pub(super) fn db(&mut self) -> Option<Db> {
        Db::new(self.u8()?)
    }

    pub(super) fn u16(&mut self) -> Option<u16> {
        self.take().map(u16::from_le_bytes)
    }

    pub(super) fn u32(&mut self) -> Option<u32> {
        self.take().map(u32::from_le_bytes)
    }

    pub(super) fn u64(&mut self) -> Option<u64> {
        self.take().map(u64::from_le_bytes)
    }

    pub(super) fn u128(&mut self) -> Option<u128> {
        self.take().map(u128::from_le_bytes)
    }

    pub(super) fn pair(&mut self) -> Option<(u64, u64)> {
        Some((self.u64()?, self.u64()?))
    }

    /// A flag, then the pair if there is one. The outer `None` is a malformed one.
    pub(super) fn maybe_pair(&mut self) -> Option<Option<(u64, u64)>> {
        if self.flag()? { self.pair().map(Some) } else { Some(None) }
    }

    pub(super) fn ballot(&mut self) -> Option<Ballot> {
        self.u64().map(Ballot::from_bits)
    }

    pub(super) fn version(&mut self) -> Option<Version> {
        self.u128().map(Version::from_bits)
    }

    pub(super) fn hello(&mut self) -> Option<Hello<'a>> {
        if self.take::<8>()? != MAGIC {
            return None;
        }
        Some(Hello {
            protocol: self.u16()?,
            cluster: self.u64()?,
            slots: self.u32()?,
            from: NodeId(self.u16()?),
            to: NodeId(self.u16()?),
            incarnation: self.u64()?,
            birth: self.u64()?,
            formed: self.flag()?,
            members: self.rest(),
        })
    }
}
