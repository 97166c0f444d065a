//! Tables: blocks of 8 KiB, packed each on its own, that are read as if they were one text.

use std::collections::HashMap;
use std::sync::Arc;

use skopeo_image::number::wide;

use super::budget::Budget;
use super::{Error, Packing, part};
use crate::region::Region;

/// The length of a block, unpacked, in bytes.
const BLOCK: usize = 1 << BLOCK_BITS;
const BLOCK_BITS: u32 = 13;
const OFFSET: u64 = (1 << BLOCK_BITS) - 1;

/// How many unpacked blocks are kept: 1 MiB.
const KEPT: usize = 128;

/// The bit of a block's length that says that it is not packed.
const PLAIN: u16 = 1 << 15;

/// All metadata of an image, by place.
#[derive(Debug)]
pub(super) struct Metadata {
    region: Region,
    packing: Packing,
    kept: HashMap<u64, Block>,
    /// What blocks that are not kept may cost.
    budget: Budget,
}

#[derive(Clone, Debug)]
struct Block {
    bytes: Arc<Vec<u8>>,
    next: u64,
}

/// A place to read on from.
#[derive(Clone, Debug)]
pub(super) struct Cursor {
    /// The block, from the beginning of the image.
    block: u64,
    /// The place in the block, unpacked.
    offset: usize,
}

impl Cursor {
    /// A place `offset` bytes into the block that begins `block` bytes behind the start of `table`.
    pub(super) fn new(table: u64, block: u64, offset: u16) -> Result<Self, Error> {
        let block = table.checked_add(block).ok_or(Error::Corrupt("a position in a table"))?;
        Ok(Self { block, offset: usize::from(offset) })
    }

    /// The same from a reference: the block in the upper 48 bits, the offset in the lower 16.
    pub(super) fn from_reference(table: u64, reference: u64) -> Result<Self, Error> {
        Self::new(table, reference >> 16, u16::try_from(reference & 0xffff).unwrap_or_default())
    }
}

impl Metadata {
    pub(super) fn new(region: Region, packing: Packing, budget: Budget) -> Self {
        Self { region, packing, kept: HashMap::new(), budget }
    }

    /// The `N` bytes at a place of the image itself.
    pub(super) fn raw<const N: usize>(&self, at: u64) -> Result<[u8; N], Error> {
        Ok(self.region.array(at)?)
    }

    /// The next `N` bytes, after which the cursor is behind them.
    pub(super) fn array<const N: usize>(&mut self, cursor: &mut Cursor) -> Result<[u8; N], Error> {
        let mut bytes = [0; N];
        self.fill(cursor, &mut bytes)?;
        Ok(bytes)
    }

    /// The next `len` bytes, which the caller holds to a limit.
    pub(super) fn bytes(&mut self, cursor: &mut Cursor, len: usize) -> Result<Vec<u8>, Error> {
        let mut bytes = vec![0; len];
        self.fill(cursor, &mut bytes)?;
        Ok(bytes)
    }

    fn fill(&mut self, cursor: &mut Cursor, mut bytes: &mut [u8]) -> Result<(), Error> {
        while !bytes.is_empty() {
            let block = self.block(cursor.block)?;
            let available = block.bytes.get(cursor.offset..).unwrap_or_default();
            if available.is_empty() {
                // Only a full block goes on in the next one.
                if cursor.offset != BLOCK {
                    return Err(Error::Corrupt("a table ends too soon"));
                }
                *cursor = Cursor { block: block.next, offset: 0 };
                continue;
            }
            let len = available.len().min(bytes.len());
            let (now, later) = bytes.split_at_mut(len);
            for (to, from) in now.iter_mut().zip(available) {
                *to = *from;
            }
            bytes = later;
            cursor.offset = cursor.offset.saturating_add(len);
        }
        Ok(())
    }

    fn block(&mut self, at: u64) -> Result<Block, Error> {
        if let Some(block) = self.kept.get(&at) {
            return Ok(block.clone());
        }
        let header = u16::from_le_bytes(self.region.array(at)?);
        let len = usize::from(header & !PLAIN);
        if len == 0 || len > BLOCK {
            return Err(Error::Corrupt("the length of a table's block"));
        }
        self.budget.spend_len(BLOCK)?;
        // Both sums are within the file, or reading fails.
        let start = at.saturating_add(2);
        let stored = self.region.bytes(start, len)?;
        let next = start.saturating_add(wide(len));
        let bytes = match header & PLAIN {
            0 => self.packing.unpack(&stored, BLOCK)?,
            _ => stored,
        };
        let block = Block { bytes: Arc::new(bytes), next };
        if self.kept.len() >= KEPT {
            self.kept.clear();
        }
        self.kept.insert(at, block.clone());
        Ok(block)
    }

    /// The entry at `index` of a table that is found through a list of its blocks, `N` bytes each.
    pub(super) fn entry<const N: usize>(
        &mut self,
        list: u64,
        index: u64,
    ) -> Result<[u8; N], Error> {
        let at = index.saturating_mul(wide(N));
        let (block, offset) = (at >> BLOCK_BITS, at & OFFSET);
        let block = block.checked_mul(8).and_then(|at| list.checked_add(at));
        let block = block.ok_or(Error::Corrupt("the position of a table"))?;
        let block = u64::from_le_bytes(self.region.array(block)?);
        let offset = u16::try_from(offset).unwrap_or_default();
        self.array(&mut Cursor::new(0, block, offset)?)
    }
}

/// Numbers of an array, little-endian, by place.
pub(super) fn short(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes(part(bytes, at))
}

/// As [`short`].
pub(super) fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(part(bytes, at))
}

/// As [`short`].
pub(super) fn long(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(part(bytes, at))
}
