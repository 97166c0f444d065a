//! The superblock: what the tables are and where they lie.

use super::{Error, Packing, part};
use crate::region::Region;

/// What a table that is not there has for its place.
const NOWHERE: u64 = u64::MAX;

/// The first 96 bytes, checked.
#[derive(Clone, Debug)]
pub(super) struct Superblock {
    pub(super) block_size: u32,
    pub(super) packing: Packing,
    /// The block of the root's inode, from the inode table, and its place in there.
    pub(super) root: u64,
    pub(super) ids: u16,
    pub(super) fragments: u32,
    pub(super) id_table: u64,
    pub(super) inode_table: u64,
    pub(super) folder_table: u64,
    pub(super) fragment_table: Option<u64>,
    pub(super) attribute_table: Option<u64>,
}

impl Superblock {
    pub(super) fn read(region: &Region) -> Result<Self, Error> {
        let bytes: [u8; 96] = region.array(0).map_err(|_| Error::Magic)?;
        let short = |at: usize| u16::from_le_bytes(part(&bytes, at));
        let word = |at: usize| u32::from_le_bytes(part(&bytes, at));
        let long = |at: usize| u64::from_le_bytes(part(&bytes, at));
        let place = |at: usize| Some(long(at)).filter(|place| *place != NOWHERE);
        if !bytes.starts_with(b"hsqs") {
            return Err(Error::Magic);
        }
        if (short(28), short(30)) != (4, 0) {
            return Err(Error::Version(short(28), short(30)));
        }
        let block_size = word(12);
        let is_possible = (4096..=1 << 20).contains(&block_size) && block_size.is_power_of_two();
        if !is_possible || block_size.ilog2() != u32::from(short(22)) {
            return Err(Error::Corrupt("the size of blocks"));
        }
        Ok(Self {
            block_size,
            packing: Packing::new(short(20))?,
            root: long(32),
            ids: short(26),
            fragments: word(16),
            id_table: long(48),
            inode_table: long(64),
            folder_table: long(72),
            fragment_table: place(80),
            attribute_table: place(56),
        })
    }
}
