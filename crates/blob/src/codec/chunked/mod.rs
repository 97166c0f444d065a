//! `zstd:chunked`: zstd that can be read in parts.
//!
//! A tar is cut where its files begin and end, and larger files where [`split`] says. Each piece
//! is a zstd frame of its own, so that together they are the whole tar to any decoder. Behind them,
//! in frames that decoders skip, is a table of where which chunk of which file lies, and what is
//! needed to make the tar anew from the files: see [`toc`]. The format is that of
//! containers/storage, `pkg/chunked`.
//!
//! What cannot be listed (no tar, a file that is there twice, headers that are doubtful) becomes
//! plain zstd: frames without a table.

mod frames;
mod header;
mod split;
mod toc;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::io;

use bytes::Bytes;
use crc::{CRC_64_GO_ISO, Crc, Table as Tables};
use skopeo_image::number::{narrow, wide};
use skopeo_image::{Algorithm, Compression, Digest, Hasher};

use super::crew::{Crew, MOST, Pool};
use super::decoder::Decoder;
use crate::StreamError;
use crate::pipe::{Output, Stopped};
use crate::sizes::{BATCH, PIECE};

use frames::{Part, Sheaf};
use header::{BLOCK, File, Header, More};
use split::{Chunks, Splitter};
use toc::{Chunk, NoTable, Split, Table};

pub(crate) use toc::CHECKSUM;

/// Such layers are packed once and read often.
const DEFAULT_LEVEL: i32 = 9;

/// No piece is longer, in bytes: each is packed at once, and natural ones are 64 KiB on average.
const LONGEST: usize = 1 << 20;

/// Headers together are packed when they are so many bytes.
const HEADERS: usize = 256 * 1024;

/// No file has so many bytes of headers.
const MOST_HEADERS: usize = 8 << 20;

/// Above this level each thread needs tens of MiB.
const GREEDY_LEVEL: i32 = 15;

/// The checksum of tar-split.
static CHECKSUMS: Crc<u64, Tables<16>> = Crc::<u64, Tables<16>>::new(&CRC_64_GO_ISO);

static POOL: Pool<Sheaf> = Pool::new();

/// Gives the annotations that lead to the table; none if there is none.
pub(super) fn encode(
    input: &mut Decoder,
    level: Option<i32>,
    output: &Output,
) -> Result<BTreeMap<String, String>, Stopped> {
    let level = super::zstd::level(level, DEFAULT_LEVEL);
    let mut plain = Plain { input, block: Vec::new(), at: 0 };
    let most = if level > GREEDY_LEVEL { 2 } else { MOST };
    let mut writer = Writer {
        output,
        level,
        crew: Crew::new(&POOL, Sheaf::default, most),
        sheaf: None,
        is_raw: true,
        offset: 0,
        table: Some(Table::new(level).map_err(failed)?),
    };
    let split = scan(&mut plain, &mut writer)?;
    if split.is_none() {
        writer.table = None;
    }
    while let Some(bytes) = plain.some()? {
        let len = bytes.len();
        writer.raw(bytes)?;
        plain.pass(len);
    }
    writer.finish(split)
}

fn failed(source: io::Error) -> Stopped {
    Stopped::Failed(StreamError::Encode { compression: Compression::ZstdChunked, source })
}

/// Reads a tar as far as it is understood, which should be to its end: else there is no `Split`.
fn scan(plain: &mut Plain<'_>, writer: &mut Writer<'_>) -> Result<Option<Split>, Stopped> {
    let mut split = Split::new(writer.level).map_err(failed)?;
    let mut headers = Vec::new();
    let mut filling = 0;
    loop {
        headers.clear();
        let next = next(plain, filling, &mut headers)?;
        writer.raw(&headers)?;
        if matches!(next, Next::Unknown) || split.raw(&headers).map_err(failed)?.is_err() {
            return Ok(None);
        }
        let Next::File(file) = next else { break };
        let mut digest = None;
        let mut sum = 0;
        if file.size > 0 {
            let Some(contents) = contents(plain, writer, file.size)? else { return Ok(None) };
            digest = Some(contents.digest);
            sum = contents.sum;
        }
        if split.file(&file, sum).map_err(failed)?.is_err() {
            return Ok(None);
        }
        filling = file.filling();
        writer.file(file, digest)?;
    }
    while let Some(bytes) = plain.some()? {
        let len = bytes.len();
        writer.raw(bytes)?;
        let room = split.raw(bytes).map_err(failed)?;
        plain.pass(len);
        if room.is_err() {
            return Ok(None);
        }
    }
    Ok(Some(split))
}

/// What comes in a tar.
enum Next {
    File(Box<File>),
    End,
    /// Nothing that is understood for certain.
    Unknown,
}

/// Reads up to the contents of the next file. All that is read is added to `headers`, whatever
/// comes of it.
fn next(plain: &mut Plain<'_>, filling: usize, headers: &mut Vec<u8>) -> Result<Next, Stopped> {
    if plain.read(filling, headers)? < filling {
        return Ok(Next::Unknown);
    }
    let mut more = None::<More>;
    while headers.len() < MOST_HEADERS {
        let header = match plain.block(headers)? {
            Ok(header) => header,
            Err(0) if more.is_none() => return Ok(Next::End),
            Err(_) => break,
        };
        match header::parse(&header) {
            Some(Header::Zeros) if more.is_none() => {
                return Ok(match plain.block(headers)? {
                    Err(0) => Next::End,
                    Ok(second) if second == [0; BLOCK] => Next::End,
                    _ => Next::Unknown,
                });
            }
            Some(Header::Special { kind, size }) => {
                let Ok(size) = usize::try_from(size) else { break };
                let start = headers.len();
                let Some(whole) = size.checked_next_multiple_of(BLOCK) else { break };
                if plain.read(whole, headers)? < whole {
                    break;
                }
                let Some(special) = headers.get(start..).and_then(|read| read.get(..size)) else {
                    break;
                };
                if more.get_or_insert_default().add(kind, special).is_none() {
                    break;
                }
            }
            Some(Header::File(file)) => {
                let Some(file) = more.unwrap_or_default().apply(*file) else { break };
                return Ok(Next::File(Box::new(file)));
            }
            Some(Header::Zeros) | None => break,
        }
    }
    Ok(Next::Unknown)
}

struct Contents {
    digest: Digest,
    sum: u64,
}

/// Passes the contents of a file on; `None` if the input ends before them.
fn contents(
    plain: &mut Plain<'_>,
    writer: &mut Writer<'_>,
    size: u64,
) -> Result<Option<Contents>, Stopped> {
    let mut splitter = Splitter::default();
    let mut hasher = Hasher::new(Algorithm::Sha256);
    let mut sum = CHECKSUMS.digest();
    let mut left = size;
    while left > 0 {
        let Some(bytes) = plain.some()? else { break };
        let bytes = bytes.get(..narrow(left)).unwrap_or(bytes);
        splitter.feed(bytes, writer)?;
        hasher.update(bytes);
        sum.update(bytes);
        let len = bytes.len();
        plain.pass(len);
        left = left.saturating_sub(wide(len));
    }
    splitter.end(writer)?;
    Ok((left == 0).then(|| Contents { digest: hasher.finish(), sum: sum.finalize() }))
}

/// The tar.
struct Plain<'a> {
    input: &'a mut Decoder,
    block: Vec<u8>,
    /// How much of the block has been used.
    at: usize,
}

impl Plain<'_> {
    /// Some bytes that are not used yet; `None` at the end.
    fn some(&mut self) -> Result<Option<&[u8]>, Stopped> {
        if self.at >= self.block.len() {
            self.at = 0;
            if !self.input.refill(&mut self.block, BATCH)? {
                return Ok(None);
            }
        }
        Ok(self.block.get(self.at..))
    }

    /// So many of them have been used now.
    fn pass(&mut self, bytes: usize) {
        self.at = self.at.saturating_add(bytes);
    }

    /// Adds so many bytes, or as many as there are, and says how many.
    fn read(&mut self, wanted: usize, to: &mut Vec<u8>) -> Result<usize, Stopped> {
        let mut left = wanted;
        while left > 0 {
            let Some(bytes) = self.some()? else { break };
            let bytes = bytes.get(..left).unwrap_or(bytes);
            to.extend_from_slice(bytes);
            let len = bytes.len();
            self.pass(len);
            left = left.saturating_sub(len);
        }
        Ok(wanted.saturating_sub(left))
    }

    /// Adds a block, and gives it; if there is no whole one, how many bytes there were.
    fn block(&mut self, to: &mut Vec<u8>) -> Result<Result<[u8; BLOCK], usize>, Stopped> {
        let start = to.len();
        let read = self.read(BLOCK, to)?;
        Ok(to.get(start..).unwrap_or_default().try_into().map_err(|_| read))
    }
}

/// Packs pieces on many threads, and writes them and the table.
struct Writer<'a> {
    output: &'a Output,
    level: i32,
    crew: Crew<Sheaf>,
    /// What is being filled.
    sheaf: Option<Sheaf>,
    /// Whether the piece that is not closed is of headers, not of contents.
    is_raw: bool,
    /// How many bytes have been written.
    offset: u64,
    table: Option<Table>,
}

impl Writer<'_> {
    /// Bytes that are no file's contents.
    fn raw(&mut self, mut bytes: &[u8]) -> Result<(), Stopped> {
        while !bytes.is_empty() {
            self.is_raw = true;
            let sheaf = self.sheaf()?;
            bytes = sheaf.push_up_to(HEADERS, bytes);
            if sheaf.pushed() >= HEADERS {
                self.close_raw()?;
            }
        }
        Ok(())
    }

    fn close_raw(&mut self) -> Result<(), Stopped> {
        if std::mem::take(&mut self.is_raw) {
            self.sheaf()?.close(|plain| Part::Raw { plain, packed: 0 });
            self.pass_on()?;
        }
        Ok(())
    }

    /// The file that the contents so far are of.
    fn file(&mut self, file: Box<File>, digest: Option<Digest>) -> Result<(), Stopped> {
        if self.table.is_some() {
            let sheaf = self.sheaf()?;
            sheaf.parts.push(Part::File(file, digest));
            if sheaf.is_full() {
                self.close_raw()?;
                self.pass_on()?;
            }
        }
        Ok(())
    }

    fn sheaf(&mut self) -> Result<&mut Sheaf, Stopped> {
        while self.sheaf.is_none() {
            match self.crew.free() {
                Some(mut sheaf) => {
                    sheaf.clear(self.level);
                    self.sheaf = Some(sheaf);
                }
                None => drop(self.write_first()?),
            }
        }
        Ok(self.sheaf.as_mut().expect("the loop ends when there is one"))
    }

    /// Has a full sheaf packed. No piece in it may be open.
    fn pass_on(&mut self) -> Result<(), Stopped> {
        if let Some(sheaf) = self.sheaf.take_if(|sheaf| sheaf.is_full()) {
            self.crew.start(sheaf);
        }
        Ok(())
    }

    /// Writes what is packed and comes first; `false` if nothing is left.
    fn write_first(&mut self) -> Result<bool, Stopped> {
        let Some(mut done) = self.crew.first().map_err(failed)? else { return Ok(false) };
        for piece in done.packed.chunks(PIECE) {
            self.output.put(Bytes::copy_from_slice(piece))?;
        }
        for part in done.parts.drain(..) {
            if self.list(part).map_err(failed)?.is_err() {
                self.table = None;
            }
        }
        self.crew.give_back(done);
        Ok(true)
    }

    /// Lists a part that has been written.
    fn list(&mut self, part: Part) -> io::Result<Result<(), NoTable>> {
        let offset = self.offset;
        let (size, packed, digest, is_zeros) = match part {
            Part::Raw { packed, .. } => {
                self.offset = toc::behind(offset, wide(packed))?;
                return Ok(Ok(()));
            }
            Part::Chunk { plain, packed, digest } => (wide(plain.len()), packed, digest, false),
            Part::Hole { zeros, packed, digest } => (zeros, packed, digest, true),
            Part::File(file, digest) => {
                return match &mut self.table {
                    Some(table) => table.file(&file, digest.as_ref(), offset),
                    None => Ok(Ok(())),
                };
            }
        };
        self.offset = toc::behind(offset, wide(packed))?;
        let (Some(table), Some(digest)) = (&mut self.table, digest) else { return Ok(Ok(())) };
        Ok(table.chunk(Chunk { offset, size, digest, is_zeros }))
    }

    /// Writes all that is left, then the table.
    fn finish(mut self, split: Option<Split>) -> Result<BTreeMap<String, String>, Stopped> {
        self.close_raw()?;
        if let Some(sheaf) = self.sheaf.take() {
            if sheaf.is_empty() {
                self.crew.give_back(sheaf);
            } else {
                self.crew.start(sheaf);
            }
        }
        while self.write_first()? {}
        let (Some(table), Some(split)) = (self.table, split) else { return Ok(BTreeMap::new()) };
        let (bytes, annotations) = table.finish(split, self.offset).map_err(failed)?;
        for piece in bytes.chunks(PIECE) {
            self.output.put(Bytes::copy_from_slice(piece))?;
        }
        Ok(annotations)
    }
}

impl Chunks for Writer<'_> {
    type Error = Stopped;

    fn data(&mut self, mut bytes: &[u8]) -> Result<(), Stopped> {
        while !bytes.is_empty() {
            self.close_raw()?;
            let sheaf = self.sheaf()?;
            bytes = sheaf.push_up_to(LONGEST, bytes);
            if sheaf.pushed() >= LONGEST {
                self.cut()?;
            }
        }
        Ok(())
    }

    fn cut(&mut self) -> Result<(), Stopped> {
        if self.is_raw || self.sheaf.is_none() {
            return Ok(());
        }
        self.sheaf()?.close(|plain| Part::Chunk { plain, packed: 0, digest: None });
        self.pass_on()
    }

    fn hole(&mut self, zeros: u64) -> Result<(), Stopped> {
        self.close_raw()?;
        self.sheaf()?.parts.push(Part::Hole { zeros, packed: 0, digest: None });
        self.pass_on()
    }
}
