//! The fields that frames and their lists are made of. Integers are little-endian.

use super::{Hello, MAGIC};
use crate::record::{Db, NodeId, Version};

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

    pub(super) fn kind(self, kind: u8) -> Self {
        self.bytes(&[kind])
    }

    pub(super) fn db(self, db: Db) -> Self {
        self.bytes(&[db.number()])
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

    pub(super) fn version(self, version: Version) -> Self {
        self.bytes(&version.to_bits().to_le_bytes())
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

    pub(super) fn db(&mut self) -> Option<Db> {
        Db::new(self.take::<1>()?[0])
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

    pub(super) fn version(&mut self) -> Option<Version> {
        self.take().map(|bits| Version::from_bits(u128::from_le_bytes(bits)))
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
            members: self.rest(),
        })
    }

    pub(super) fn offer(&mut self) -> Option<(Version, &'a [u8])> {
        let version = self.version()?;
        let size = usize::from(self.u16()?);
        let (key, rest) = self.0.split_at_checked(size)?;
        self.0 = rest;
        Some((version, key))
    }
}
