//! How much is made of a file system. A block may be named by a million inodes, and a file may be
//! nothing but a hole: a few kilobytes can ask for work without end.

use skopeo_blob::MaxUnpacked;
use skopeo_image::number::wide;

use super::Error;
use crate::region::Region;

/// What has been made of the file system, and what may be.
#[derive(Debug)]
pub(super) struct Budget {
    packed: u64,
    spent: u64,
    most: MaxUnpacked,
}

impl Budget {
    /// For the bytes of the tar.
    pub(super) fn of_output(region: &Region, most: MaxUnpacked) -> Self {
        Self { packed: region.len(), spent: 0, most }
    }

    /// For blocks that are unpacked, some of them more than once.
    pub(super) fn of_work(region: &Region, most: MaxUnpacked) -> Self {
        let most = match most {
            // The user knows the length of the tar, not how its blocks are named.
            MaxUnpacked::Bytes(most) => MaxUnpacked::Bytes(most.max(MaxUnpacked::USUAL)),
            other => other,
        };
        Self::of_output(region, most)
    }

    /// Counts so many bytes, before they are made.
    pub(super) fn spend(&mut self, bytes: u64) -> Result<(), Error> {
        self.spent = self.spent.saturating_add(bytes);
        self.most.check(self.packed, self.spent).map_err(Error::TooMuch)
    }

    /// The same for a length in memory.
    pub(super) fn spend_len(&mut self, bytes: usize) -> Result<(), Error> {
        self.spend(wide(bytes))
    }
}
