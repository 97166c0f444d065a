//! All of a file system in the order it is stored in, as members of a tar.

use std::collections::{HashMap, HashSet};
use std::io::Write;

use skopeo_blob::MaxUnpacked;
use skopeo_image::number::{narrow, wide};

use super::Error;
use super::budget::Budget;
use super::data::Data;
use super::inode::{self, Folder, Inode, InodeKind};
use super::member::Member;
use super::metadata::{Metadata, short, word};
use super::superblock::Superblock;
use crate::region::Region;

/// The most names that are read.
const MOST_NAMES: u64 = 4 << 20;
/// The most bytes of memory for the first names of files with several, and what such a name takes
/// besides its own bytes.
const MOST_LINKED: u64 = 128 << 20;
const LINKED: u64 = 96;
/// The longest path, in bytes; the kernel's limit.
const LONGEST_PATH: usize = 4096;

/// A file that is put into the tar before all others but the root, so that one of the same name in
/// the file system wins.
#[derive(Clone, Debug)]
pub struct Extra {
    /// Where, with one folder above it.
    pub path: &'static str,
    /// Its mode; its folder has the same.
    pub mode: u16,
    /// When, in seconds since 1970.
    pub modified: u32,
    /// All of it.
    pub bytes: Vec<u8>,
}

/// Writes the file system as one tar: every name with its mode, owner, time and attributes. Names
/// begin with `./`. Sockets are left out, as a tar has no word for them. The tar has no more bytes
/// than `most` allows.
///
/// # Errors
/// If the file system cannot be read, more comes out of it than may, or `output` fails.
pub fn write_tar(
    region: &Region,
    extra: Option<&Extra>,
    most: MaxUnpacked,
    output: &mut dyn Write,
) -> Result<(), Error> {
    let superblock = Superblock::read(region)?;
    let work = || Budget::of_work(region, most);
    let metadata = Metadata::new(region.clone(), superblock.packing, work());
    let data = Data::new(region.clone(), &superblock, work());
    let mut walk = Walk {
        superblock,
        metadata,
        data,
        output,
        names: 0,
        budget: Budget::of_output(region, most),
        folders: HashSet::new(),
        linked: HashMap::new(),
        remembered: 0,
    };
    walk.all(extra)?;
    // Two blocks of zeros end a tar, and GNU tar fills it up to twenty.
    walk.output.write_all(&[0; 1024])?;
    Ok(())
}

struct Walk<'a> {
    superblock: Superblock,
    metadata: Metadata,
    data: Data,
    output: &'a mut dyn Write,
    names: u64,
    /// What the tar may have.
    budget: Budget,
    /// Folders that were walked, by inode: none may be in two places, or above itself.
    folders: HashSet<u32>,
    /// Files of several names by inode: their first name, and how many are still to come.
    linked: HashMap<u32, (Vec<u8>, u32)>,
    /// What these take, in bytes.
    remembered: u64,
}

/// A folder that is being walked.
struct Open {
    path: Vec<u8>,
    folder: Folder,
    /// How many names of the present run are left, and what they are relative to.
    run: u32,
    inodes: u32,
}

impl Walk<'_> {
    fn all(&mut self, extra: Option<&Extra>) -> Result<(), Error> {
        let root = inode::read(&mut self.metadata, &self.superblock, self.superblock.root)?;
        let mut stack = Vec::new();
        stack.extend(self.name(b"./".to_vec(), root)?);
        if stack.is_empty() {
            return Err(Error::Corrupt("the root is not a folder"));
        }
        if let Some(extra) = extra {
            self.extra(extra)?;
        }
        while let Some(open) = stack.last_mut() {
            let Some((name, reference)) = self.next(open)? else {
                stack.pop();
                continue;
            };
            let path = [open.path.as_slice(), &name].concat();
            if path.len() > LONGEST_PATH {
                return Err(Error::Corrupt("a path is too long"));
            }
            let inode = inode::read(&mut self.metadata, &self.superblock, reference)?;
            stack.extend(self.name(path, inode)?);
        }
        Ok(())
    }

    /// The next name in a folder, and its inode.
    fn next(&mut self, open: &mut Open) -> Result<Option<(Vec<u8>, u64)>, Error> {
        let Folder { cursor, len } = &mut open.folder;
        let mut take = |bytes: u32| {
            *len = len.checked_sub(bytes).ok_or(Error::Corrupt("the length of a folder"))?;
            Ok::<_, Error>(())
        };
        if open.run == 0 {
            if take(12).is_err() {
                return Ok(None);
            }
            let head: [u8; 12] = self.metadata.array(cursor)?;
            let run = word(&head, 0).checked_add(1).filter(|run| *run <= 256);
            open.run = run.ok_or(Error::Corrupt("the number of a folder's names"))?;
            open.inodes = word(&head, 4);
        }
        take(8)?;
        let head: [u8; 8] = self.metadata.array(cursor)?;
        let name_len = short(&head, 6).checked_add(1).filter(|len| *len <= 256);
        let name_len = name_len.ok_or(Error::Corrupt("the length of a name"))?;
        take(u32::from(name_len))?;
        let name = self.metadata.bytes(cursor, usize::from(name_len))?;
        if name == b"." || name == b".." || name.iter().any(|byte| matches!(byte, b'/' | 0)) {
            return Err(Error::Corrupt("a name"));
        }
        open.run = open.run.saturating_sub(1);
        let reference = u64::from(open.inodes) << 16 | u64::from(short(&head, 0));
        Ok(Some((name, reference)))
    }

    /// Writes what a name stands for. A folder is given back, to be walked.
    fn name(&mut self, mut path: Vec<u8>, inode: Inode) -> Result<Option<Open>, Error> {
        self.names = self.names.saturating_add(1);
        if self.names > MOST_NAMES {
            return Err(Error::TooMany(MOST_NAMES, "names"));
        }
        let attributes = match inode.attributes {
            Some(index) => inode::read_attributes(&mut self.metadata, &self.superblock, index)?,
            None => Vec::new(),
        };
        let member = Member {
            name: &[],
            kind: b'0',
            mode: inode.mode,
            user: inode.user,
            group: inode.group,
            size: 0,
            modified: inode.modified,
            target: &[],
            device: 0,
            attributes: &attributes,
        };
        match inode.kind {
            InodeKind::Folder(folder) => {
                if !self.folders.insert(inode.number) {
                    return Err(Error::Corrupt("a folder is in two places"));
                }
                if !path.ends_with(b"/") {
                    path.push(b'/');
                }
                self.header(&Member { name: &path, kind: b'5', ..member })?;
                return Ok(Some(Open { path, folder, run: 0, inodes: 0 }));
            }
            InodeKind::File(file) => {
                if inode.links > 1
                    && let Some(first) = self.first_name(inode.number, inode.links, &path)?
                {
                    // The attributes are the first name's.
                    let target = first.as_slice();
                    let same =
                        Member { name: &path, kind: b'1', target, attributes: &[], ..member };
                    return self.header(&same).map(|()| None);
                }
                self.budget.spend(file.size)?;
                self.header(&Member { name: &path, size: file.size, ..member })?;
                self.data.copy(&mut self.metadata, &self.superblock, &file, self.output)?;
                self.fill_up(file.size)?;
            }
            InodeKind::Link(target) => {
                self.header(&Member { name: &path, kind: b'2', target: &target, ..member })?;
            }
            InodeKind::Block(device) => {
                self.header(&Member { name: &path, kind: b'4', device, ..member })?;
            }
            InodeKind::Character(device) => {
                self.header(&Member { name: &path, kind: b'3', device, ..member })?;
            }
            InodeKind::Pipe => {
                self.header(&Member { name: &path, kind: b'6', ..member })?;
            }
            InodeKind::Socket => {}
        }
        Ok(None)
    }

    /// The first name of a file that has several. `None` if this is it, which is remembered until
    /// all others have come.
    fn first_name(
        &mut self,
        inode: u32,
        links: u32,
        path: &[u8],
    ) -> Result<Option<Vec<u8>>, Error> {
        let Some((first, left)) = self.linked.get_mut(&inode) else {
            self.remembered = self.remembered.saturating_add(cost(path));
            if self.remembered > MOST_LINKED {
                return Err(Error::TooMany(MOST_LINKED, "bytes for names of files with several"));
            }
            self.linked.insert(inode, (path.to_vec(), links.saturating_sub(1)));
            return Ok(None);
        };
        let first = first.clone();
        *left = left.saturating_sub(1);
        if *left == 0 {
            self.linked.remove(&inode);
            self.remembered = self.remembered.saturating_sub(cost(&first));
        }
        Ok(Some(first))
    }

    fn extra(&mut self, extra: &Extra) -> Result<(), Error> {
        let path = format!("./{}", extra.path);
        let folder = path.rfind('/').and_then(|slash| path.get(..=slash)).unwrap_or_default();
        let file = Member {
            name: path.as_bytes(),
            kind: b'0',
            mode: extra.mode,
            user: 0,
            group: 0,
            size: wide(extra.bytes.len()),
            modified: extra.modified,
            target: &[],
            device: 0,
            attributes: &[],
        };
        self.header(&Member { name: folder.as_bytes(), kind: b'5', size: 0, ..file })?;
        self.header(&file)?;
        self.output.write_all(&extra.bytes)?;
        self.fill_up(file.size)
    }

    fn header(&mut self, member: &Member<'_>) -> Result<(), Error> {
        let blocks = member.encode();
        self.budget.spend_len(blocks.len())?;
        self.output.write_all(&blocks)?;
        Ok(())
    }

    /// Contents are filled up to whole blocks.
    fn fill_up(&mut self, size: u64) -> Result<(), Error> {
        let len = narrow(size.wrapping_neg() & 511);
        self.output.write_all([0; 512].get(..len).unwrap_or_default())?;
        Ok(())
    }
}

/// What remembering a name takes, in bytes.
fn cost(path: &[u8]) -> u64 {
    wide(path.len()).saturating_add(LINKED)
}
