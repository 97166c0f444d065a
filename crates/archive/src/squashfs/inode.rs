//! Inodes: what a name stands for, and its owner, mode, time and attributes.

use skopeo_image::number::narrow;

use super::Error;
use super::metadata::{Cursor, Metadata, long, short, word};
use super::superblock::Superblock;

/// What stands for "none" where a fragment or attributes are named.
const NONE: u32 = u32::MAX;

/// The longest target of a link, in bytes: the kernel's limit.
const LONGEST_TARGET: u32 = 65_535;

/// The most attributes of one inode, and the most bytes in their names and values together.
const MOST_ATTRIBUTES: u32 = 4096;
const LONGEST_ATTRIBUTES: usize = 256 * 1024;

/// The longest name of an attribute and the longest value, in bytes: the kernel's limits.
const LONGEST_NAME: usize = 255;
const LONGEST_VALUE: usize = 64 * 1024;

/// Where the value of an attribute lies elsewhere.
const ELSEWHERE: u16 = 0x100;

/// An inode.
#[derive(Debug)]
pub(super) struct Inode {
    /// The lower twelve bits.
    pub(super) mode: u16,
    pub(super) user: u32,
    pub(super) group: u32,
    /// Seconds since 1970.
    pub(super) modified: u32,
    pub(super) number: u32,
    /// How many names it has; only files may have more than one.
    pub(super) links: u32,
    pub(super) kind: InodeKind,
    /// The number of its extended attributes, where it has any.
    pub(super) attributes: Option<u32>,
}

/// What an inode is.
#[derive(Debug)]
pub(super) enum InodeKind {
    Folder(Folder),
    File(File),
    Link(Vec<u8>),
    Block(u32),
    Character(u32),
    Pipe,
    Socket,
}

/// Where the names in a folder stand.
#[derive(Debug)]
pub(super) struct Folder {
    pub(super) cursor: Cursor,
    /// How many bytes they take.
    pub(super) len: u32,
}

/// Where the contents of a file are.
#[derive(Debug)]
pub(super) struct File {
    pub(super) size: u64,
    /// The first block, from the beginning of the image.
    pub(super) start: u64,
    /// The fragment that the end of the file is in, and where.
    pub(super) tail: Option<(u32, u32)>,
    /// Where the lengths of the packed blocks stand.
    pub(super) blocks: Cursor,
}

/// Reads the inode at a reference.
pub(super) fn read(
    metadata: &mut Metadata,
    superblock: &Superblock,
    reference: u64,
) -> Result<Inode, Error> {
    let mut cursor = Cursor::from_reference(superblock.inode_table, reference)?;
    let header: [u8; 16] = metadata.array(&mut cursor)?;
    let mut inode = Inode {
        mode: short(&header, 2) & 0o7777,
        user: id(metadata, superblock, short(&header, 4))?,
        group: id(metadata, superblock, short(&header, 6))?,
        modified: word(&header, 8),
        number: word(&header, 12),
        links: 1,
        kind: InodeKind::Socket,
        attributes: None,
    };
    let is_extended = short(&header, 0) > 7;
    inode.kind = match short(&header, 0) {
        1 => {
            let body: [u8; 16] = metadata.array(&mut cursor)?;
            let len = u32::from(short(&body, 8));
            folder(superblock, word(&body, 0), short(&body, 10), len)?
        }
        8 => {
            let body: [u8; 24] = metadata.array(&mut cursor)?;
            inode.attributes = attributes(word(&body, 20));
            folder(superblock, word(&body, 8), short(&body, 18), word(&body, 4))?
        }
        2 => {
            let body: [u8; 16] = metadata.array(&mut cursor)?;
            InodeKind::File(File {
                size: u64::from(word(&body, 12)),
                start: u64::from(word(&body, 0)),
                tail: tail(word(&body, 4), word(&body, 8)),
                blocks: cursor,
            })
        }
        9 => {
            let body: [u8; 40] = metadata.array(&mut cursor)?;
            inode.links = word(&body, 24);
            inode.attributes = attributes(word(&body, 36));
            InodeKind::File(File {
                size: long(&body, 8),
                start: long(&body, 0),
                tail: tail(word(&body, 28), word(&body, 32)),
                blocks: cursor,
            })
        }
        3 | 10 => {
            let body: [u8; 8] = metadata.array(&mut cursor)?;
            let len = word(&body, 4);
            if len == 0 || len > LONGEST_TARGET {
                return Err(Error::Corrupt("the length of a link"));
            }
            let target = metadata.bytes(&mut cursor, narrow(len.into()))?;
            if is_extended {
                inode.attributes = attributes(word(&metadata.array::<4>(&mut cursor)?, 0));
            }
            InodeKind::Link(target)
        }
        kind @ (4 | 5 | 11 | 12) => {
            let body: [u8; 8] = metadata.array(&mut cursor)?;
            if is_extended {
                inode.attributes = attributes(word(&metadata.array::<4>(&mut cursor)?, 0));
            }
            let device = word(&body, 4);
            if matches!(kind, 4 | 11) {
                InodeKind::Block(device)
            } else {
                InodeKind::Character(device)
            }
        }
        kind @ (6 | 7 | 13 | 14) => {
            metadata.array::<4>(&mut cursor)?;
            if is_extended {
                inode.attributes = attributes(word(&metadata.array::<4>(&mut cursor)?, 0));
            }
            if matches!(kind, 6 | 13) { InodeKind::Pipe } else { InodeKind::Socket }
        }
        _ => return Err(Error::Corrupt("the type of an inode")),
    };
    Ok(inode)
}

fn id(metadata: &mut Metadata, superblock: &Superblock, index: u16) -> Result<u32, Error> {
    if index >= superblock.ids {
        return Err(Error::Corrupt("an owner"));
    }
    let entry = metadata.entry::<4>(superblock.id_table, u64::from(index))?;
    Ok(u32::from_le_bytes(entry))
}

fn attributes(index: u32) -> Option<u32> {
    (index != NONE).then_some(index)
}

fn tail(fragment: u32, offset: u32) -> Option<(u32, u32)> {
    (fragment != NONE).then_some((fragment, offset))
}

fn folder(superblock: &Superblock, block: u32, offset: u16, len: u32) -> Result<InodeKind, Error> {
    let cursor = Cursor::new(superblock.folder_table, u64::from(block), offset)?;
    // Three bytes are said to be there for "." and "..", which are not.
    Ok(InodeKind::Folder(Folder { cursor, len: len.saturating_sub(3) }))
}

/// The extended attributes of that number: names and values.
pub(super) fn read_attributes(
    metadata: &mut Metadata,
    superblock: &Superblock,
    index: u32,
) -> Result<Vec<(String, Vec<u8>)>, Error> {
    let Some(table) = superblock.attribute_table else { return Ok(Vec::new()) };
    let header: [u8; 16] = metadata.raw(table)?;
    let (pairs, count) = (long(&header, 0), word(&header, 8));
    let list = table.checked_add(16).filter(|_| index < count);
    let list = list.ok_or(Error::Corrupt("the number of attributes"))?;
    let entry: [u8; 16] = metadata.entry(list, u64::from(index))?;
    let count = word(&entry, 8);
    if count > MOST_ATTRIBUTES {
        return Err(Error::TooMany(MOST_ATTRIBUTES.into(), "attributes"));
    }
    let mut cursor = Cursor::from_reference(pairs, long(&entry, 0))?;
    let mut left = LONGEST_ATTRIBUTES;
    let mut found = Vec::new();
    for _ in 0..count {
        let head: [u8; 4] = metadata.array(&mut cursor)?;
        let name_len = usize::from(short(&head, 2));
        take(&mut left, name_len, LONGEST_NAME)?;
        let name = metadata.bytes(&mut cursor, name_len)?;
        let prefix = match short(&head, 0) & 0xff {
            0 => "user.",
            1 => "trusted.",
            2 => "security.",
            _ => return Err(Error::Corrupt("the type of an attribute")),
        };
        let name = String::from_utf8(name).map_err(|_| Error::Corrupt("an attribute's name"))?;
        let value = if short(&head, 0) & ELSEWHERE == 0 {
            value(metadata, &mut cursor, &mut left)?
        } else {
            let head: [u8; 12] = metadata.array(&mut cursor)?;
            value(metadata, &mut Cursor::from_reference(pairs, long(&head, 4))?, &mut left)?
        };
        found.push((format!("{prefix}{name}"), value));
    }
    Ok(found)
}

fn value(metadata: &mut Metadata, cursor: &mut Cursor, left: &mut usize) -> Result<Vec<u8>, Error> {
    let len = narrow(word(&metadata.array::<4>(cursor)?, 0).into());
    take(left, len, LONGEST_VALUE)?;
    metadata.bytes(cursor, len)
}

/// Takes so many bytes of what is left for the attributes of an inode.
fn take(left: &mut usize, bytes: usize, longest: usize) -> Result<(), Error> {
    let rest = left.checked_sub(bytes).filter(|_| bytes <= longest);
    *left = rest.ok_or(Error::Corrupt("the length of attributes"))?;
    Ok(())
}
