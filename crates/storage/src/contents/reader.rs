//! The entries of a tar, in turn, and the recipe on the way past.

use std::io::{Read, Write};

use skopeo_archive::header::{BLOCK, Block, Format, Header, Time, padding, text};
use skopeo_archive::pax::{Extensions, Preceding, Rest};
use skopeo_archive::sparse::{self, AheadMap, Map, OldMap, Piece};
use skopeo_image::Digest;
use skopeo_image::number::wide;

use super::recipe::{Crc, Met, Recipe};
use super::seen::SeenPaths;
use super::{Error, Result, error::shown};

/// How long an extended header, or a long name, may be: as Go and libarchive have it.
const LONGEST_EXTENSION: u64 = 1 << 20;

/// An entry of a tar, all of its headers merged.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) kind: u8,
    /// As it is in the tar.
    pub(super) name: Vec<u8>,
    pub(super) link: Vec<u8>,
    /// The lower twelve bits.
    pub(super) mode: u32,
    pub(super) uid: i64,
    pub(super) gid: i64,
    pub(super) modified: Time,
    pub(super) accessed: Option<Time>,
    pub(super) major: i64,
    pub(super) minor: i64,
    pub(super) attributes: Vec<(Vec<u8>, Vec<u8>)>,
    /// How many bytes of contents follow.
    pub(super) stored: u64,
    /// How long the file is.
    pub(super) length: u64,
    /// Where they lie in it, if it is a sparse one.
    pub(super) pieces: Option<Vec<Piece>>,
}

/// The entries of a tar.
pub(super) struct Reader<R, W: Write> {
    stream: super::stream::Stream<R>,
    recipe: Recipe<W>,
    /// How many bytes fill the last block of the entry before.
    padding: u64,
    /// The entry before, for messages.
    last: String,
}

impl<R: Read, W: Write> Reader<R, W> {
    pub(super) fn new(tar: R, split: W) -> Self {
        Self {
            stream: super::stream::Stream::new(tar),
            recipe: Recipe::new(split),
            padding: 0,
            last: "its start".into(),
        }
    }

    /// The next entry; its contents must then be taken. None at the end.
    pub(super) fn next(&mut self) -> Result<Option<Entry>> {
        let mut preceding = Preceding::default();
        loop {
            // Go takes a tar that ends within what fills a block for a whole one.
            let padding = std::mem::take(&mut self.padding);
            if !self.pass(padding)? {
                return Ok(None);
            }
            let Some((header, block)) = self.header()? else { return Ok(None) };
            let size = u64::try_from(header.size).ok();
            match header.kind {
                b'x' => {
                    let records = self.extension(size)?;
                    preceding.said = Extensions::parse(&records)
                        .ok_or_else(|| self.malformed("invalid records"))?;
                }
                b'g' => {
                    let records = self.extension(size)?;
                    Extensions::parse(&records).ok_or_else(|| self.malformed("invalid records"))?;
                    let padding = std::mem::take(&mut self.padding);
                    self.pass(padding)?;
                    let mut entry = Entry::new(header);
                    (entry.uid, entry.gid) = (0, 0);
                    self.last = shown(&entry.name);
                    return Ok(Some(entry));
                }
                b'L' => preceding.long_name = text(&self.extension(size)?).to_vec(),
                b'K' => preceding.long_link = text(&self.extension(size)?).to_vec(),
                _ => {
                    let entry = self.entry(header, &block, preceding)?;
                    self.last = shown(&entry.name);
                    return Ok(Some(entry));
                }
            }
        }
    }

    /// Takes the contents of the entry, which are to be found by its name later if `is_kept`.
    /// `path` is its name without what says nothing.
    pub(super) fn contents(
        &mut self,
        entry: &Entry,
        path: &[u8],
        is_kept: bool,
        mut sink: impl FnMut(&[u8]) -> Result<()>,
    ) -> Result<()> {
        let is_kept = is_kept && entry.stored > 0 && entry.pieces.is_none();
        let met = self.recipe.meet(path, is_kept, &entry.name)?;
        let mut crc = (is_kept && met == Met::First).then(Crc::new);
        if crc.is_none() && met == Met::First {
            self.recipe.file(&entry.name, None)?;
        }
        let mut left = entry.stored;
        while left > 0 {
            let piece = self.stream.piece(left)?;
            if piece.is_empty() {
                return Err(self.malformed("unexpected EOF"));
            }
            left = left.saturating_sub(wide(piece.len()));
            match &mut crc {
                Some(crc) => crc.update(piece),
                None => self.recipe.raw(piece)?,
            }
            sink(piece)?;
        }
        if let Some(crc) = crc {
            self.recipe.file(&entry.name, Some((entry.stored, crc.finish())))?;
        }
        Ok(())
    }

    /// The paths of the entries so far.
    pub(super) fn seen(&mut self) -> &mut SeenPaths {
        self.recipe.seen()
    }

    /// Reads what is behind the last entry. The digest and the length of all.
    pub(super) fn finish(mut self) -> Result<(Digest, u64)> {
        self.pass(u64::MAX)?;
        self.recipe.finish()?;
        Ok(self.stream.finish())
    }

    pub(super) fn malformed(&self, what: &'static str) -> Error {
        Error::Malformed { what, after: self.last.clone() }
    }

    /// Puts the next bytes into the recipe. Whether all were there.
    fn pass(&mut self, mut length: u64) -> Result<bool> {
        while length > 0 {
            let piece = self.stream.piece(length)?;
            if piece.is_empty() {
                return Ok(false);
            }
            self.recipe.raw(piece)?;
            length = length.saturating_sub(wide(piece.len()));
        }
        Ok(true)
    }

    /// The next block; `None` if nothing more comes.
    fn block(&mut self) -> Result<Option<Block>> {
        let (block, length) = self.stream.block()?;
        self.recipe.raw(block.get(..length).unwrap_or_default())?;
        match length {
            0 => Ok(None),
            BLOCK => Ok(Some(block)),
            _ => Err(self.malformed("unexpected EOF")),
        }
    }

    /// A block that must come.
    fn next_block(&mut self) -> Result<Block> {
        self.block()?.ok_or_else(|| self.malformed("unexpected EOF"))
    }

    /// Two blocks of zeros are the end, and so is the end.
    fn header(&mut self) -> Result<Option<(Header, Block)>> {
        let Some(block) = self.block()? else { return Ok(None) };
        if block == [0; BLOCK] {
            return match self.block()? {
                None => Ok(None),
                Some(block) if block == [0; BLOCK] => Ok(None),
                Some(_) => Err(self.malformed("invalid tar header")),
            };
        }
        let header = Header::parse(&block).ok_or_else(|| self.malformed("invalid tar header"))?;
        Ok(Some((header, block)))
    }

    /// The bytes of an extension.
    fn extension(&mut self, size: Option<u64>) -> Result<Vec<u8>> {
        let size = size.ok_or_else(|| self.malformed("invalid tar header"))?;
        if size > LONGEST_EXTENSION {
            return Err(self.malformed("header field too long"));
        }
        let mut bytes = Vec::new();
        let mut left = size;
        while left > 0 {
            let piece = self.stream.piece(left)?;
            if piece.is_empty() {
                return Err(self.malformed("unexpected EOF"));
            }
            bytes.extend_from_slice(piece);
            left = left.saturating_sub(wide(piece.len()));
        }
        self.recipe.raw(&bytes)?;
        self.padding = padding(size);
        Ok(bytes)
    }

    fn entry(&mut self, mut header: Header, block: &Block, preceding: Preceding) -> Result<Entry> {
        let format = header.format;
        let Rest { attributes, sparse: said } = preceding.merge(&mut header);
        if header.kind == 0 {
            header.kind = if header.name.ends_with(b"/") { b'5' } else { b'0' };
        }
        let is_bare = matches!(header.kind, b'1'..=b'6');
        let mut entry = Entry::new(header);
        entry.attributes = attributes;
        if is_bare {
            entry.length = 0;
        } else if entry.length > i64::MAX.unsigned_abs() {
            return Err(self.malformed("invalid tar header"));
        }
        entry.stored = entry.length;
        self.padding = padding(entry.stored);
        let old = match entry.kind {
            b'S' => self.old_map(format, block)?,
            _ => None,
        };
        let (pieces, length) = match old {
            Some(found) => found,
            None => {
                let wrong =
                    || Error::Malformed { what: "invalid sparse file", after: self.last.clone() };
                let map = said.map().ok_or_else(wrong)?;
                if map == Map::None {
                    return Ok(entry);
                }
                let length = said.length().ok_or_else(wrong)?;
                if !said.name.is_empty() {
                    entry.name = said.name;
                }
                let length = length.unwrap_or_else(|| entry.length.cast_signed());
                match map {
                    Map::Here(pieces) => (pieces, length),
                    _ => (self.map_ahead(&mut entry)?, length),
                }
            }
        };
        let length = u64::try_from(length).ok().filter(|_| !is_bare);
        match length {
            Some(length) if sparse::fits(&pieces, length, entry.stored) => {
                (entry.length, entry.pieces) = (length, Some(pieces));
                Ok(entry)
            }
            _ => Err(self.malformed("invalid sparse file")),
        }
    }

    fn old_map(&mut self, format: Format, block: &Block) -> Result<Option<(Vec<Piece>, i64)>> {
        let wrong = |this: &Self| this.malformed("invalid sparse file");
        let mut map = OldMap::default();
        let (length, mut more) = map.begin(format, block).ok_or_else(|| wrong(self))?;
        while more {
            let block = self.next_block()?;
            more = map.go_on(&block).ok_or_else(|| wrong(self))?;
        }
        Ok(Some((map.pieces, length)))
    }

    fn map_ahead(&mut self, entry: &mut Entry) -> Result<Vec<Piece>> {
        let mut map = AheadMap::default();
        loop {
            let left = entry.stored.checked_sub(wide(BLOCK));
            entry.stored = left.ok_or_else(|| self.malformed("unexpected EOF"))?;
            let block = self.next_block()?;
            let found = map.add(&block).ok_or_else(|| self.malformed("invalid sparse file"))?;
            if let Some(pieces) = found {
                return Ok(pieces);
            }
        }
    }
}

impl Entry {
    fn new(header: Header) -> Self {
        Self {
            kind: header.kind,
            name: header.name,
            link: header.link,
            mode: u32::try_from(header.mode & 0o7777).unwrap_or_default(),
            uid: header.uid,
            gid: header.gid,
            modified: header.modified,
            accessed: header.accessed,
            major: header.major,
            minor: header.minor,
            attributes: Vec::new(),
            stored: 0,
            length: header.size.cast_unsigned(),
            pieces: None,
        }
    }
}
