//! Reading squashfs 4.0, the read-only file system of the Linux kernel
//! (`Documentation/filesystems/squashfs.rst`), as one tar.
//!
//! Own code: the libraries there are read all tables into memory, know no extended attributes, hide
//! which files are hard links, and panic at what is no squashfs. Here memory is that of a few
//! blocks and of what has to be remembered (hard links, visited folders), each with a limit; so has
//! what is unpacked and written.
//!
//! - `superblock`: where the tables are
//! - `metadata`: tables and inodes, in packed blocks of 8 KiB
//! - `inode`: what a name stands for
//! - `data`: the contents of files
//! - `codec`: how blocks are packed
//! - `walk`: all of it in order, as members of a tar
//! - `member`: a member's header
//! - `budget`: how much is made of all that

mod budget;
mod codec;
mod data;
mod inode;
mod member;
mod metadata;
mod superblock;
mod walk;

use std::io;

use codec::Packing;
use skopeo_blob::TooMuch;
pub use walk::{Extra, write_tar};

use crate::region::Region;
use superblock::Superblock;

/// Why a squashfs cannot be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Reading, or writing what was read.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// It begins with something else.
    #[error("not a squashfs")]
    Magic,
    /// Another version than 4.0.
    #[error("version {0}.{1} is not supported")]
    Version(u16, u16),
    /// A way of packing that is not built in.
    #[error("{0} compression is not supported")]
    Compression(&'static str),
    /// A number in it cannot be right.
    #[error("corrupt: {0}")]
    Corrupt(&'static str),
    /// A packed block that cannot be unpacked.
    #[error("corrupt: a block cannot be decompressed")]
    Block(#[source] io::Error),
    /// More comes out of it than may.
    #[error("unpacking it")]
    TooMuch(#[source] TooMuch),
    /// More of something than any real image has.
    #[error("more than {0} {1}")]
    TooMany(u64, &'static str),
}

/// Reads the beginning.
///
/// # Errors
/// If it is no squashfs, or one of a kind that cannot be read.
pub fn check(region: &Region) -> Result<(), Error> {
    Superblock::read(region).map(drop)
}

/// The `N` bytes at `at`, which the caller knows to be there; zeros else.
fn part<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    let mut part = [0; N];
    for (to, from) in part.iter_mut().zip(bytes.iter().skip(at)) {
        *to = *from;
    }
    part
}

#[cfg(test)]
mod tests;
