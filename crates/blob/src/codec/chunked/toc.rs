//! The table of contents, and what is needed to make the tar anew.
//!
//! Two JSON documents behind the files, each packed by zstd in a frame that decoders skip, and a
//! footer that says where they are. The first lists the files and where their chunks lie; the
//! second is what `tar-split` writes: everything of the tar but the contents of files.

use std::collections::{BTreeMap, HashSet};
use std::io::{self, Write};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use skopeo_image::number::wide;
use skopeo_image::{Digest, go_json};
use zstd::stream::write::Encoder;

use super::header::File;

/// Readers take no larger table, in bytes.
const LARGEST: u64 = 150 << 20;

/// What a chunk comes to in the table, in bytes, at least.
const CHUNK: u64 = 200;

/// Larger than what any image needs to be made anew, in bytes, not packed.
const LARGEST_SPLIT: u64 = 1 << 30;

/// A frame to be skipped (RFC 8878, section 3.1.2).
const SKIPPABLE: [u8; 4] = [0x50, 0x2a, 0x4d, 0x18];

/// Before the bytes of such a frame: the mark and the length.
const FRAME_HEADER: u64 = 8;

const MAGIC: [u8; 8] = *b"GNUlInUx";

/// The kind of table, the only one there is.
const KIND: u64 = 1;

/// The annotation with the digest of the packed table.
pub(crate) const CHECKSUM: &str = "io.github.containers.zstd-chunked.manifest-checksum";
const POSITION: &str = "io.github.containers.zstd-chunked.manifest-position";
const SPLIT_POSITION: &str = "io.github.containers.zstd-chunked.tarsplit-position";

/// A part of a file, packed for itself.
#[derive(Clone, Debug)]
pub(super) struct Chunk {
    pub(super) offset: u64,
    pub(super) size: u64,
    pub(super) digest: Digest,
    pub(super) is_zeros: bool,
}

/// Why there is no table: it could not be true, or would be too large.
#[derive(Debug)]
pub(super) struct NoTable;

/// The table as it grows.
pub(super) struct Table {
    files: PackedText,
    has_files: bool,
    chunks: Vec<Chunk>,
}

impl Table {
    pub(super) fn new(level: i32) -> io::Result<Self> {
        let mut files = PackedText::new(level)?;
        files.write(b"{\"version\":1,\"entries\":")?;
        Ok(Self { files, has_files: false, chunks: Vec::new() })
    }

    /// A chunk of the file that is added next.
    pub(super) fn chunk(&mut self, chunk: Chunk) -> Result<(), NoTable> {
        self.chunks.push(chunk);
        self.require_room()
    }

    /// The file that the chunks since the last one are of; they end at `end`.
    pub(super) fn file(
        &mut self,
        file: &File,
        digest: Option<&Digest>,
        end: u64,
    ) -> io::Result<Result<(), NoTable>> {
        let Ok(mut entry) = Entry::new(file, digest) else { return Ok(Err(NoTable)) };
        let chunks = std::mem::take(&mut self.chunks);
        if let Some(first) = chunks.first() {
            entry.offset = first.offset;
            entry.end_offset = end;
        }
        if let [first, _, ..] = &chunks[..] {
            entry.place(first);
        }
        self.entry(&entry)?;
        let mut at = 0_u64;
        for (before, chunk) in chunks.iter().zip(chunks.iter().skip(1)) {
            let Some(next) = at.checked_add(before.size) else { return Ok(Err(NoTable)) };
            at = next;
            let mut entry =
                Entry { kind: "chunk", name: &file.name, chunk_offset: at, ..Entry::default() };
            entry.place(chunk);
            self.entry(&entry)?;
        }
        Ok(self.require_room())
    }

    fn entry(&mut self, entry: &Entry<'_>) -> io::Result<()> {
        let is_first = !std::mem::replace(&mut self.has_files, true);
        self.files.write(if is_first { b"[" } else { b"," })?;
        self.files.write(&go_json::to_vec(entry)?)
    }

    fn require_room(&self) -> Result<(), NoTable> {
        let chunks = CHUNK.saturating_mul(wide(self.chunks.len()));
        let size = self.files.size.saturating_add(chunks);
        if size > LARGEST { Err(NoTable) } else { Ok(()) }
    }

    /// What follows the files, which end at `offset`, and the annotations that lead to it.
    pub(super) fn finish(
        mut self,
        split: Split,
        offset: u64,
    ) -> io::Result<(Vec<u8>, BTreeMap<String, String>)> {
        let split = split.document.finish()?;
        let end = if self.has_files { "]" } else { "null" };
        let end = format!("{end},\"tarSplitDigest\":\"{}\"}}", Digest::sha256(&split.packed));
        self.files.write(end.as_bytes())?;
        let files = self.files.finish()?;
        let (files_len, split_len) = (wide(files.packed.len()), wide(split.packed.len()));
        let files_at = behind(offset, FRAME_HEADER)?;
        let split_at = behind(behind(files_at, files_len)?, FRAME_HEADER)?;
        let annotations = BTreeMap::from([
            (CHECKSUM.to_owned(), Digest::sha256(&files.packed).to_string()),
            (POSITION.to_owned(), format!("{files_at}:{files_len}:{}:{KIND}", files.size)),
            (SPLIT_POSITION.to_owned(), format!("{split_at}:{split_len}:{}", split.size)),
        ]);
        let footer = [files_at, files_len, files.size, KIND, split_at, split_len, split.size];
        let footer: Vec<u8> = footer.iter().flat_map(|number| number.to_le_bytes()).collect();
        let mut out = Vec::new();
        skippable(&mut out, &files.packed)?;
        skippable(&mut out, &split.packed)?;
        skippable(&mut out, &[&footer[..], &MAGIC].concat())?;
        Ok((out, annotations))
    }
}

/// The place so many bytes behind another.
pub(super) fn behind(at: u64, bytes: u64) -> io::Result<u64> {
    at.checked_add(bytes).ok_or_else(|| io::Error::other("the layer is too long"))
}

fn skippable(out: &mut Vec<u8>, bytes: &[u8]) -> io::Result<()> {
    let len = u32::try_from(bytes.len()).map_err(io::Error::other)?;
    out.extend_from_slice(&SKIPPABLE);
    out.extend_from_slice(&len.to_le_bytes());
    out.extend_from_slice(bytes);
    Ok(())
}

/// What `tar-split` would write: a line for each run of bytes that are no file's contents, and one
/// for each file.
pub(super) struct Split {
    document: PackedText,
    names: Names,
    lines: u64,
}

impl Split {
    pub(super) fn new(level: i32) -> io::Result<Self> {
        Ok(Self { document: PackedText::new(level)?, names: Names::default(), lines: 0 })
    }

    /// Bytes that are no file's contents.
    pub(super) fn raw(&mut self, bytes: &[u8]) -> io::Result<Result<(), NoTable>> {
        if bytes.is_empty() {
            return Ok(Ok(()));
        }
        self.line(Line { kind: 2, payload: Some(STANDARD.encode(bytes)), ..Line::default() })
    }

    /// A file with the checksum of its contents.
    pub(super) fn file(&mut self, file: &File, sum: u64) -> io::Result<Result<(), NoTable>> {
        if !self.names.insert(&file.name) {
            return Ok(Err(NoTable));
        }
        let payload = (file.size > 0).then(|| STANDARD.encode(sum.to_be_bytes()));
        self.line(Line { kind: 1, name: &file.name, size: file.size, payload, ..Line::default() })
    }

    fn line(&mut self, mut line: Line<'_>) -> io::Result<Result<(), NoTable>> {
        line.position = self.lines;
        self.lines = self.lines.saturating_add(1);
        let mut text = go_json::to_vec(&line)?;
        text.push(b'\n');
        self.document.write(&text)?;
        Ok(if self.document.size > LARGEST_SPLIT { Err(NoTable) } else { Ok(()) })
    }
}

#[derive(Default, Serialize)]
struct Line<'a> {
    #[serde(rename = "type")]
    kind: u8,
    #[serde(skip_serializing_if = "str::is_empty")]
    name: &'a str,
    #[serde(skip_serializing_if = "is_zero")]
    size: u64,
    payload: Option<String>,
    position: u64,
}

/// The names that were there, to find one that is there twice: such a tar cannot be listed. Of each
/// 64 bits of its digest are kept: of a million names two are taken for one in 40 million tars.
/// That costs 19 MB for a million names.
#[derive(Default)]
struct Names(HashSet<u64>);

impl Names {
    /// `false` if it was there.
    fn insert(&mut self, name: &str) -> bool {
        let mut parts: Vec<&str> = Vec::new();
        for part in name.split('/') {
            match part {
                "" | "." => {}
                ".." if parts.last().is_some_and(|last| *last != "..") => drop(parts.pop()),
                ".." if name.starts_with('/') => {}
                _ => parts.push(part),
            }
        }
        let root = if name.starts_with('/') { "/" } else { "" };
        let digest = Digest::sha256(format!("{root}{}", parts.join("/")).as_bytes());
        // The digest is ours, and has 64 digits.
        let key = digest.hex().get(..16).and_then(|digits| u64::from_str_radix(digits, 16).ok());
        key.is_some_and(|key| self.0.insert(key))
    }
}

#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Entry<'a> {
    #[serde(rename = "type")]
    kind: &'a str,
    name: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    link_name: &'a str,
    #[serde(skip_serializing_if = "is_zero")]
    mode: i64,
    #[serde(skip_serializing_if = "is_zero")]
    size: u64,
    #[serde(skip_serializing_if = "is_zero")]
    uid: i64,
    #[serde(skip_serializing_if = "is_zero")]
    gid: i64,
    #[serde(rename = "modtime", skip_serializing_if = "Option::is_none")]
    modified: Option<String>,
    #[serde(rename = "accesstime", skip_serializing_if = "Option::is_none")]
    accessed: Option<String>,
    #[serde(rename = "changetime", skip_serializing_if = "Option::is_none")]
    changed: Option<String>,
    #[serde(skip_serializing_if = "is_zero")]
    dev_major: i64,
    #[serde(skip_serializing_if = "is_zero")]
    dev_minor: i64,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    xattrs: BTreeMap<&'a str, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    digest: Option<&'a str>,
    #[serde(skip_serializing_if = "is_zero")]
    offset: u64,
    #[serde(skip_serializing_if = "is_zero")]
    end_offset: u64,
    #[serde(skip_serializing_if = "is_zero")]
    chunk_size: u64,
    #[serde(skip_serializing_if = "is_zero")]
    chunk_offset: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    chunk_digest: Option<String>,
    #[serde(skip_serializing_if = "str::is_empty")]
    chunk_type: &'a str,
}

impl<'a> Entry<'a> {
    fn new(file: &'a File, digest: Option<&'a Digest>) -> Result<Self, NoTable> {
        let xattrs = file.xattrs.iter().map(|(key, value)| (&**key, STANDARD.encode(value)));
        Ok(Self {
            kind: file.kind,
            name: &file.name,
            link_name: &file.link,
            mode: file.mode,
            size: file.size,
            uid: file.uid,
            gid: file.gid,
            modified: Some(time(file.modified)?),
            accessed: file.accessed.map(time).transpose()?,
            changed: file.changed.map(time).transpose()?,
            dev_major: file.device.0,
            dev_minor: file.device.1,
            xattrs: xattrs.collect(),
            digest: digest.map(Digest::as_str),
            ..Self::default()
        })
    }

    fn place(&mut self, chunk: &Chunk) {
        self.offset = chunk.offset;
        self.chunk_size = chunk.size;
        self.chunk_digest = Some(chunk.digest.to_string());
        self.chunk_type = if chunk.is_zeros { "zeros" } else { "" };
    }
}

/// As RFC 3339 has it, which knows the years 0 to 9999 only.
fn time((seconds, nanos): (i64, i32)) -> Result<String, NoTable> {
    let time = jiff::Timestamp::new(seconds, nanos).map_err(|_| NoTable)?.to_string();
    if time.starts_with('-') { Err(NoTable) } else { Ok(time) }
}

fn is_zero<T: Default + PartialEq>(number: &T) -> bool {
    *number == T::default()
}

/// Text that is packed as it grows.
struct PackedText {
    encoder: Encoder<'static, Vec<u8>>,
    size: u64,
}

struct Finished {
    packed: Vec<u8>,
    size: u64,
}

impl PackedText {
    fn new(level: i32) -> io::Result<Self> {
        let mut encoder = Encoder::new(Vec::new(), level)?;
        encoder.include_checksum(true)?;
        Ok(Self { encoder, size: 0 })
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.size = self.size.saturating_add(wide(bytes.len()));
        self.encoder.write_all(bytes)
    }

    fn finish(self) -> io::Result<Finished> {
        Ok(Finished { packed: self.encoder.finish()?, size: self.size })
    }
}
