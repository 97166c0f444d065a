//! Writes a recipe.

use std::io::Write;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use flate2::Compression;
use flate2::write::GzEncoder;

use crate::contents::error::{Error, Result, shown};
use crate::contents::seen::{SeenPaths, State};

/// How many bytes of a tar a segment has at most, and how many of JSON are packed at once.
const PIECE: usize = 48 << 10;

/// Whether an entry's path was met before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::contents) enum Met {
    First,
    /// What came before had no contents. A second object of that name would not be accepted by
    /// anybody: the entry must be part of a segment.
    Again,
}

/// A recipe that is being written.
pub(in crate::contents) struct Recipe<W: Write> {
    out: GzEncoder<W>,
    /// Bytes of the tar that are not in an object yet.
    segment: Vec<u8>,
    /// Lines that are not packed yet.
    lines: Vec<u8>,
    position: u64,
    seen: SeenPaths,
}

impl<W: Write> Recipe<W> {
    pub(in crate::contents) fn new(out: W) -> Self {
        Self {
            // As the original packs it; better packed it takes longer than the rest together.
            out: GzEncoder::new(out, Compression::new(1)),
            segment: Vec::new(),
            lines: Vec::new(),
            position: 0,
            seen: SeenPaths::default(),
        }
    }

    /// Notes the path of an entry, before its contents.
    pub(in crate::contents) fn meet(
        &mut self,
        path: &[u8],
        has_contents: bool,
        name: &[u8],
    ) -> Result<Met> {
        let state = if has_contents { State::Full } else { State::Empty };
        match self.seen.note(path, state) {
            None | Some(State::Above) => Ok(Met::First),
            Some(State::Empty) => {
                // What it has is in the segments.
                self.seen.note(path, State::Empty);
                Ok(Met::Again)
            }
            Some(State::Full) => Err(Error::Duplicate { name: shown(name) }),
        }
    }

    /// The paths of the entries so far.
    pub(in crate::contents) fn seen(&mut self) -> &mut SeenPaths {
        &mut self.seen
    }

    /// Takes bytes of the tar.
    pub(in crate::contents) fn raw(&mut self, bytes: &[u8]) -> Result<()> {
        for piece in bytes.chunks(PIECE) {
            if self.segment.len().saturating_add(piece.len()) > PIECE {
                self.end_segment()?;
            }
            self.segment.extend_from_slice(piece);
        }
        Ok(())
    }

    /// Says that a file comes next: how long it is, and its CRC, if it has contents.
    pub(in crate::contents) fn file(
        &mut self,
        name: &[u8],
        contents: Option<(u64, [u8; 8])>,
    ) -> Result<()> {
        self.end_segment()?;
        self.lines.extend_from_slice(b"{\"type\":1");
        match str::from_utf8(name) {
            Ok("") => {}
            Ok(name) => {
                self.lines.extend_from_slice(b",\"name\":");
                serde_json::to_writer(&mut self.lines, name)
                    .map_err(|error| Error::Io(error.into()))?;
            }
            Err(_) => {
                self.lines.extend_from_slice(b",\"name_raw\":\"");
                self.encoded(name);
                self.lines.push(b'"');
            }
        }
        match contents {
            None => self.lines.extend_from_slice(b",\"payload\":null"),
            Some((size, crc)) => {
                write!(self.lines, ",\"size\":{size},\"payload\":\"")?;
                self.encoded(&crc);
                self.lines.push(b'"');
            }
        }
        self.end_object()
    }

    /// Packs the rest.
    pub(in crate::contents) fn finish(mut self) -> Result<()> {
        self.end_segment()?;
        self.out.write_all(&self.lines)?;
        self.out.finish()?.flush()?;
        Ok(())
    }

    fn end_segment(&mut self) -> Result<()> {
        if self.segment.is_empty() {
            return Ok(());
        }
        self.lines.extend_from_slice(b"{\"type\":2,\"payload\":\"");
        let segment = std::mem::take(&mut self.segment);
        self.encoded(&segment);
        self.segment = segment;
        self.segment.clear();
        self.lines.push(b'"');
        self.end_object()
    }

    fn end_object(&mut self) -> Result<()> {
        writeln!(self.lines, ",\"position\":{}}}", self.position)?;
        self.position = self.position.saturating_add(1);
        if self.lines.len() >= PIECE {
            self.out.write_all(&self.lines)?;
            self.lines.clear();
        }
        Ok(())
    }

    fn encoded(&mut self, bytes: &[u8]) {
        let start = self.lines.len();
        let length = base64::encoded_len(bytes.len(), true).unwrap_or_default();
        self.lines.resize(start.saturating_add(length), 0);
        let room = self.lines.get_mut(start..).unwrap_or_default();
        let written = STANDARD.encode_slice(bytes, room);
        debug_assert_eq!(written.ok(), Some(length));
    }
}
