//! The contents of files: blocks, packed each on its own, and a tail that lies with those of other
//! files in a fragment.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::sync::Arc;

use skopeo_image::number::{narrow, wide};

use super::budget::Budget;
use super::inode::File;
use super::metadata::{Metadata, long, word};
use super::superblock::Superblock;
use super::{Error, Packing};
use crate::region::Region;

/// The bit of a block's length that says that it is not packed.
const PLAIN: u32 = 1 << 24;

/// How many fragments are kept, unpacked: names that are next to each other share some.
const KEPT: usize = 3;

/// What reads the contents of files.
#[derive(Debug)]
pub(super) struct Data {
    region: Region,
    packing: Packing,
    block_size: u32,
    fragments: VecDeque<(u32, Arc<Vec<u8>>)>,
    budget: Budget,
}

impl Data {
    pub(super) fn new(region: Region, superblock: &Superblock, budget: Budget) -> Self {
        let Superblock { packing, block_size, .. } = *superblock;
        Self { region, packing, block_size, fragments: VecDeque::new(), budget }
    }

    /// Writes all bytes of a file.
    pub(super) fn copy(
        &mut self,
        metadata: &mut Metadata,
        superblock: &Superblock,
        file: &File,
        output: &mut dyn Write,
    ) -> Result<(), Error> {
        let block_size = u64::from(self.block_size);
        let (mut left, mut at) = (file.size, file.start);
        let mut blocks = file.blocks.clone();
        while left > 0 && (left >= block_size || file.tail.is_none()) {
            let wanted = left.min(block_size);
            let stored = word(&metadata.array::<4>(&mut blocks)?, 0);
            let len = stored & !PLAIN;
            if len == 0 {
                io::copy(&mut io::repeat(0).take(wanted), output)?;
            } else {
                let bytes = self.block(at, stored)?;
                if wide(bytes.len()) != wanted {
                    return Err(Error::Corrupt("the length of a file's block"));
                }
                output.write_all(&bytes)?;
                // Within the file, or reading it would have failed.
                at = at.saturating_add(u64::from(len));
            }
            left = left.saturating_sub(wanted);
        }
        let Some((fragment, offset)) = file.tail.filter(|_| left > 0) else { return Ok(()) };
        let bytes = self.fragment(metadata, superblock, fragment)?;
        let start = u64::from(offset);
        let tail = bytes.get(narrow(start)..narrow(start.saturating_add(left)));
        output.write_all(tail.ok_or(Error::Corrupt("the end of a file"))?)?;
        Ok(())
    }

    fn fragment(
        &mut self,
        metadata: &mut Metadata,
        superblock: &Superblock,
        number: u32,
    ) -> Result<Arc<Vec<u8>>, Error> {
        if let Some((_, bytes)) = self.fragments.iter().find(|(kept, _)| *kept == number) {
            return Ok(bytes.clone());
        }
        let table = superblock.fragment_table.filter(|_| number < superblock.fragments);
        let table = table.ok_or(Error::Corrupt("the number of a fragment"))?;
        let entry: [u8; 16] = metadata.entry(table, u64::from(number))?;
        let bytes = Arc::new(self.block(long(&entry, 0), word(&entry, 8))?);
        self.fragments.truncate(KEPT - 1);
        self.fragments.push_front((number, bytes.clone()));
        Ok(bytes)
    }

    /// The block at a place; its length says whether it is packed.
    fn block(&mut self, at: u64, stored: u32) -> Result<Vec<u8>, Error> {
        let len = stored & !PLAIN;
        if len > self.block_size {
            return Err(Error::Corrupt("the length of a block"));
        }
        self.budget.spend(self.block_size.into())?;
        let bytes = self.region.bytes(at, narrow(len.into()))?;
        match stored & PLAIN {
            0 => self.packing.unpack(&bytes, narrow(self.block_size.into())),
            _ => Ok(bytes),
        }
    }
}
