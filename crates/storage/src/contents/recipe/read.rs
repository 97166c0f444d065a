//! Reads a recipe.

use std::borrow::Cow;
use std::io::{BufRead, BufReader, Read};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use flate2::read::MultiGzDecoder;
use serde::Deserialize;
use skopeo_image::number::wide;

use crate::contents::error::{Error, Result};

/// How long a line may be, in bytes. Old writers put all that follows the end of a tar into one.
const LONGEST_LINE: usize = 64 << 20;

/// An object of a recipe.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::contents) enum Object {
    /// Bytes of the tar; see [`Objects::segment`].
    Segment,
    /// The contents of a file come next, if it has any.
    File {
        name: Vec<u8>,
        /// How long it is, and its CRC.
        contents: Option<(u64, [u8; 8])>,
    },
}

/// The objects of a recipe, in turn.
pub(in crate::contents) struct Objects<R> {
    lines: BufReader<MultiGzDecoder<R>>,
    line: Vec<u8>,
    segment: Vec<u8>,
}

#[derive(Deserialize)]
struct Line<'a> {
    r#type: u8,
    #[serde(borrow, default)]
    name: Cow<'a, str>,
    #[serde(borrow, default)]
    name_raw: Option<Cow<'a, str>>,
    #[serde(default)]
    size: i64,
    #[serde(borrow, default)]
    payload: Option<Cow<'a, str>>,
}

impl<R: Read> Objects<R> {
    pub(in crate::contents) fn new(split: R) -> Self {
        let lines = BufReader::with_capacity(64 << 10, MultiGzDecoder::new(split));
        Self { lines, line: Vec::new(), segment: Vec::new() }
    }

    /// The next object; none at the end.
    pub(in crate::contents) fn next(&mut self) -> Result<Option<Object>> {
        self.line.clear();
        let mut limited = self.lines.by_ref().take(wide(LONGEST_LINE));
        let read = limited.read_until(b'\n', &mut self.line).map_err(|error| recipe(&error))?;
        if read == 0 {
            return Ok(None);
        }
        if read >= LONGEST_LINE {
            return Err(Error::Recipe("a line is too long".into()));
        }
        let line: Line<'_> = serde_json::from_slice(&self.line).map_err(|error| recipe(&error))?;
        let payload = line.payload.as_deref().unwrap_or_default();
        match line.r#type {
            2 => {
                self.segment.clear();
                STANDARD.decode_vec(payload, &mut self.segment).map_err(|error| recipe(&error))?;
                Ok(Some(Object::Segment))
            }
            1 => {
                let name = match line.name_raw {
                    Some(raw) if !raw.is_empty() => {
                        STANDARD.decode(&*raw).map_err(|error| recipe(&error))?
                    }
                    _ => line.name.as_bytes().to_vec(),
                };
                let size = u64::try_from(line.size).map_err(|error| recipe(&error))?;
                let contents = match size {
                    0 => None,
                    _ => {
                        let sum = STANDARD.decode(payload).map_err(|error| recipe(&error))?;
                        let sum = <[u8; 8]>::try_from(sum);
                        Some((
                            size,
                            sum.map_err(|_| Error::Recipe("a sum has eight bytes".into()))?,
                        ))
                    }
                };
                Ok(Some(Object::File { name, contents }))
            }
            kind => Err(Error::Recipe(format!("an object of type {kind}"))),
        }
    }

    /// The bytes of the segment that [`Self::next`] met.
    pub(in crate::contents) fn segment(&self) -> &[u8] {
        &self.segment
    }
}

fn recipe(error: &dyn std::error::Error) -> Error {
    Error::Recipe(error.to_string())
}
