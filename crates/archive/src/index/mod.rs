//! What is where in a tar: found by reading the headers only. `window` reads, `path` is how names and
//! links are looked up.

mod path;
mod window;

use skopeo_image::number::{narrow, wide};

use crate::error::Fault;
use crate::header::{BLOCK, Block, Header, text};
use crate::pax::{Extensions, Preceding};
use crate::sparse::{Map, OldMap};

pub(crate) use path::clean;
use path::{beside, is_outside};
pub(crate) use window::ReadAt;
use window::Window;

/// How many members an archive may have.
const MAX_MEMBERS: usize = 1 << 20;

/// How many bytes the names of all members and links may have together.
const MAX_NAMES: usize = 64 << 20;

/// The longest name: what Linux allows a path to have.
const MAX_NAME: usize = 4096;

/// The longest extended header or GNU long name, in bytes; Go's limit.
const MAX_EXTENSION: u64 = 1 << 20;

/// How many links are followed from one to the next.
const MAX_LINKS: usize = 8;

/// A regular file in an archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member {
    /// Where its bytes begin.
    pub offset: u64,
    /// Their number.
    pub size: u64,
}

/// The members of an archive by name. A million of them take about 100 MiB.
#[derive(Debug)]
pub(crate) struct Index {
    /// The names of members and the targets of links, one behind the other.
    names: String,
    /// Sorted by name; those of the same name in the order of the archive.
    slots: Vec<Slot>,
}

#[derive(Clone, Copy, Debug)]
struct Slot {
    name: MemberPlace,
    kind: MemberKind,
    /// Of a link, where its target stands in `names`.
    offset: u64,
    size: u64,
}

/// A piece of `names`.
#[derive(Clone, Copy, Debug)]
struct MemberPlace {
    start: u32,
    length: u16,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum MemberKind {
    File,
    Sparse,
    /// Its target is seen from where it is.
    SymbolicLink,
    /// Its target is seen from the archive's root.
    HardLink,
}

impl Index {
    /// Reads the headers of an archive of `length` bytes.
    pub(crate) fn scan(input: &impl ReadAt, length: u64) -> Result<Self, Fault> {
        Self::scan_within(input, length, Limits { members: MAX_MEMBERS, names: MAX_NAMES })
    }

    fn scan_within(input: &impl ReadAt, length: u64, limits: Limits) -> Result<Self, Fault> {
        let mut scan = Scan {
            window: Window { input, length, start: 0, bytes: Vec::new() },
            index: Self { names: String::new(), slots: Vec::new() },
            last: String::new(),
            at: 0,
            limits,
        };
        while scan.member()? {}
        let Self { names, mut slots } = scan.index;
        slots.sort_by_key(|slot| slot.name.of(&names));
        Ok(Self { names, slots })
    }

    /// The file that a clean name leads to; links are followed. Of several members of one name the
    /// last counts, as if the archive were unpacked.
    pub(crate) fn find(&self, name: &str) -> Result<Option<Member>, Fault> {
        let mut wanted = name.to_owned();
        for _ in 0..=MAX_LINKS {
            let end = self.slots.partition_point(|slot| slot.name.of(&self.names) <= &*wanted);
            let slot = end.checked_sub(1).and_then(|at| self.slots.get(at));
            let Some(slot) = slot else { return Ok(None) };
            if slot.name.of(&self.names) != wanted {
                return Ok(None);
            }
            let target = match slot.kind {
                MemberKind::File => return Ok(Some(slot.member())),
                MemberKind::Sparse => return Err(Fault::Sparse(name.to_owned())),
                MemberKind::HardLink => slot.target(&self.names).to_owned(),
                MemberKind::SymbolicLink => beside(&wanted, slot.target(&self.names)),
            };
            if is_outside(&target) {
                return Err(Fault::LinkOut { name: name.to_owned(), target });
            }
            wanted = target;
        }
        Err(Fault::Links(name.to_owned()))
    }

    /// All regular files, by name.
    pub(crate) fn members(&self) -> impl Iterator<Item = (&str, Member)> {
        let files = self.slots.iter().filter(|slot| slot.kind == MemberKind::File);
        files.map(|slot| (slot.name.of(&self.names), slot.member()))
    }

    /// The first name, of whatever member, that leads out of the folder the archive is for.
    pub(crate) fn leading_out(&self) -> Option<&str> {
        let mut names = self.slots.iter().map(|slot| slot.name.of(&self.names));
        names.find(|name| is_outside(name))
    }
}

impl Slot {
    fn member(&self) -> Member {
        Member { offset: self.offset, size: self.size }
    }

    fn target<'a>(&self, names: &'a str) -> &'a str {
        let start = usize::try_from(self.offset).unwrap_or(usize::MAX);
        let length = usize::try_from(self.size).unwrap_or(usize::MAX);
        names.get(start..start.saturating_add(length)).unwrap_or_default()
    }
}

impl MemberPlace {
    fn of(self, names: &str) -> &str {
        let start = narrow(self.start.into());
        names.get(start..start.saturating_add(self.length.into())).unwrap_or_default()
    }
}

/// The walk from header to header.
struct Scan<'a, R> {
    window: Window<'a, R>,
    index: Index,
    /// The member before, for errors.
    last: String,
    at: u64,
    limits: Limits,
}

/// What an index may grow to.
struct Limits {
    members: usize,
    names: usize,
}

impl<R: ReadAt> Scan<'_, R> {
    /// Reads one member, with what extends its header. `false` at the end of the archive.
    fn member(&mut self) -> Result<bool, Fault> {
        let mut preceding = Preceding::default();
        loop {
            let header_at = self.at;
            let Some(block) = self.block()? else { return Ok(false) };
            if block == [0; BLOCK] {
                // Two of them end an archive, and what is behind does not count.
                return match self.block()? {
                    Some(block) if block != [0; BLOCK] => {
                        Err(self.no_header(header_at.saturating_add(wide(BLOCK))))
                    }
                    _ => Ok(false),
                };
            }
            let header = Header::parse(&block).ok_or_else(|| self.no_header(header_at))?;
            let size = u64::try_from(header.size).map_err(|_| self.no_header(header_at))?;
            match header.kind {
                b'x' => {
                    let records = self.extension(header_at, size)?;
                    preceding.said =
                        Extensions::parse(&records).ok_or_else(|| malformed(header_at))?;
                }
                // What it says of all that follow does not count, as in Go.
                b'g' => {
                    let records = self.extension(header_at, size)?;
                    Extensions::parse(&records).ok_or_else(|| malformed(header_at))?;
                }
                b'L' => preceding.long_name = text(&self.extension(header_at, size)?).to_vec(),
                b'K' => preceding.long_link = text(&self.extension(header_at, size)?).to_vec(),
                _ => return self.real(header_at, header, &block, preceding).map(|()| true),
            }
        }
    }

    /// A member that is one: notes it and goes to what is behind its bytes.
    fn real(
        &mut self,
        header_at: u64,
        mut header: Header,
        block: &Block,
        preceding: Preceding,
    ) -> Result<(), Fault> {
        let sparse = preceding.merge(&mut header).sparse;
        let map = if header.kind == b'S' {
            self.skip_sparse_map(&header, block, header_at)?;
            Map::None
        } else {
            sparse.map().ok_or_else(|| malformed_map(header_at))?
        };
        // Links, devices, folders and pipes have no bytes, whatever their size says.
        let has_bytes = !matches!(header.kind, b'1'..=b'6');
        if map != Map::None && !has_bytes {
            return Err(malformed_map(header_at));
        }
        if map != Map::None && !sparse.name.is_empty() {
            header.name = sparse.name;
        }
        let is_folder = header.name.ends_with(b"/");
        let name = clean(&header.name);
        if name.len() > MAX_NAME {
            return Err(Fault::LongName { offset: header_at, length: name.len() });
        }
        let kind = match header.kind {
            b'0' | b'\0' | b'7' if is_folder => None,
            b'0' | b'\0' | b'7' if map != Map::None => Some(MemberKind::Sparse),
            b'0' | b'\0' | b'7' => Some(MemberKind::File),
            b'S' => Some(MemberKind::Sparse),
            b'1' => Some(MemberKind::HardLink),
            b'2' => Some(MemberKind::SymbolicLink),
            _ => None,
        };
        let size = if has_bytes { header.size } else { 0 };
        let size = u64::try_from(size).map_err(|_| malformed(header_at))?;
        let shown = String::from_utf8_lossy(&name).into_owned();
        let there = self.window.length.saturating_sub(self.at);
        if size > there {
            return Err(Fault::MemberCutOff { name: shown, size, there });
        }
        self.last = shown;
        if let Some(kind) = kind {
            self.note(kind, name, &header.link, size)?;
        }
        self.at = self.at.saturating_add(padded(size));
        Ok(())
    }

    fn note(
        &mut self,
        kind: MemberKind,
        name: Vec<u8>,
        link: &[u8],
        size: u64,
    ) -> Result<(), Fault> {
        // A name in another encoding cannot be asked for; the root has no bytes.
        let Ok(name) = String::from_utf8(name) else { return Ok(()) };
        if name.is_empty() {
            return Ok(());
        }
        let limit = self.limits.members;
        if self.index.slots.len() == limit {
            return Err(Fault::TooMuch { what: "members", limit });
        }
        let start = self.remember(&name)?;
        let length = u16::try_from(name.len()).unwrap_or(u16::MAX);
        let (offset, size) = match kind {
            MemberKind::File | MemberKind::Sparse => (self.at, size),
            MemberKind::SymbolicLink | MemberKind::HardLink => {
                let is_hard = kind == MemberKind::HardLink;
                let link = if is_hard { clean(link) } else { link.to_vec() };
                let Ok(link) = String::from_utf8(link) else { return Ok(()) };
                (u64::from(self.remember(&link)?), wide(link.len()))
            }
        };
        self.index.slots.push(Slot { name: MemberPlace { start, length }, kind, offset, size });
        Ok(())
    }

    fn remember(&mut self, name: &str) -> Result<u32, Fault> {
        let (names, limit) = (&mut self.index.names, self.limits.names);
        if names.len().saturating_add(name.len()) > limit {
            return Err(Fault::TooMuch { what: "bytes of names", limit });
        }
        let start = u32::try_from(names.len()).unwrap_or(u32::MAX);
        names.push_str(name);
        Ok(start)
    }

    /// The next block; `None` at the end of the archive, if that is between two blocks.
    fn block(&mut self) -> Result<Option<[u8; BLOCK]>, Fault> {
        let mut block = [0; BLOCK];
        match self.window.fill(&mut block, self.at)? {
            0 => return Ok(None),
            BLOCK => {}
            _ => {
                let length = self.window.length;
                return Err(Fault::CutOff { length, after: self.last.clone() });
            }
        }
        self.at = self.at.saturating_add(wide(BLOCK));
        Ok(Some(block))
    }

    /// The bytes of an extended header.
    fn extension(&mut self, header_at: u64, size: u64) -> Result<Vec<u8>, Fault> {
        if size > MAX_EXTENSION {
            return Err(Fault::Extension { offset: header_at, reason: "is too long" });
        }
        let mut bytes = vec![0; usize::try_from(size).unwrap_or_default()];
        if self.window.fill(&mut bytes, self.at)? < bytes.len() {
            return Err(Fault::Extension { offset: header_at, reason: "is truncated" });
        }
        self.at = self.at.saturating_add(padded(size));
        Ok(bytes)
    }

    /// Reads the map of an old GNU sparse member, whose rest its size does not count.
    fn skip_sparse_map(
        &mut self,
        header: &Header,
        block: &Block,
        header_at: u64,
    ) -> Result<(), Fault> {
        let mut map = OldMap::default();
        let begun = map.begin(header.format, block);
        let (_, mut more) = begun.ok_or_else(|| malformed_map(header_at))?;
        while more {
            let Some(block) = self.block()? else { break };
            more = map.go_on(&block).ok_or_else(|| malformed_map(header_at))?;
        }
        Ok(())
    }

    fn no_header(&self, offset: u64) -> Fault {
        if offset == 0 {
            return Fault::NoTar;
        }
        Fault::NoHeader { offset, after: self.last.clone() }
    }
}

/// What extends a header is none of its kind.
fn malformed(offset: u64) -> Fault {
    Fault::Extension { offset, reason: "is malformed" }
}

/// What says which bytes of a sparse file there are is none of its kind.
fn malformed_map(offset: u64) -> Fault {
    Fault::Extension { offset, reason: "has a malformed map of a sparse file" }
}

/// A length with what fills its last block.
fn padded(size: u64) -> u64 {
    size.div_ceil(wide(BLOCK)).saturating_mul(wide(BLOCK))
}

/// Looks for what must not be in the index of any tar; panics if it is there. For the fuzzer.
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) fn check(bytes: &[u8]) {
    let length = wide(bytes.len());
    let Ok(index) = Index::scan(&bytes, length) else { return };
    let _ = index.leading_out();
    for (name, member) in index.members() {
        let end = member.offset.checked_add(member.size);
        assert!(end.is_some_and(|end| end <= length), "{name} is beyond the end");
        assert_eq!(clean(name.as_bytes()), name.as_bytes());
        if let Ok(found) = index.find(name) {
            assert!(found.is_some(), "{name} is not found");
            assert!(index.members().any(|(_, member)| Some(member) == found), "{name} is none");
        }
    }
}

#[cfg(test)]
mod tests;
