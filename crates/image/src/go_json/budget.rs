//! How much of what others wrote is read.

use std::borrow::Cow;

use serde::de::{DeserializeOwned, Error as _};
use serde_json::Error;
use serde_json::value::RawValue;

use super::decode::Node;
use super::syntax;

/// How deep values may lie in each other.
const DEEPEST: usize = 128;

/// What may still be read of some documents that belong together, such as the pages of a list.
///
/// What a few bytes say may take many times as much memory, so both are counted: the bytes, and
/// the values (members of objects, items of lists).
#[derive(Clone, Copy, Debug)]
pub struct Budget {
    bytes: usize,
    values: usize,
}

/// Reads a `T` from JSON text, within [`Budget::default`].
///
/// # Errors
/// As [`Budget::read`].
pub fn from_slice<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Error> {
    Budget::default().read(bytes)
}

impl Default for Budget {
    /// More than any manifest, config or answer of a registry has: 64 MiB, a quarter of a million
    /// values.
    fn default() -> Self {
        Self::new(64 << 20, 1 << 18)
    }
}

impl Budget {
    /// Returns a budget of so many bytes and values in all.
    #[must_use]
    pub const fn new(bytes: usize, values: usize) -> Self {
        Self { bytes, values }
    }

    /// Reads a `T` from JSON text, which has to be one value.
    ///
    /// # Errors
    /// If the text is no JSON, does not fit `T`, lies deeper than 128 levels or is more than may
    /// be read.
    pub fn read<T: DeserializeOwned>(&mut self, bytes: &[u8]) -> Result<T, Error> {
        let text = self.text(bytes)?;
        self.measure(&text)?;
        let whole: &RawValue = serde_json::from_str(&text)
            .map_err(|error| in_gos_words(syntax::of_whole(bytes), error))?;
        T::deserialize(Node::new(whole.get()))
    }

    /// Reads a `T` from the first value of a text. Nobody looks at what is behind it, as Go's
    /// `json.Decoder` does not.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn read_first<T: DeserializeOwned>(&mut self, bytes: &[u8]) -> Result<T, Error> {
        let text = self.text(bytes)?;
        self.measure(&text)?;
        let mut values = serde_json::Deserializer::from_str(&text).into_iter::<&RawValue>();
        let first = values.next().unwrap_or_else(|| serde_json::from_str("")); // there is nothing
        let first = first.map_err(|error| in_gos_words(syntax::of_first(bytes), error))?;
        T::deserialize(Node::new(first.get()))
    }

    /// Takes a document that is kept as text: its bytes count, its values do not.
    pub(super) fn take(&mut self, bytes: Vec<u8>) -> Result<String, Error> {
        match String::from_utf8(bytes) {
            Ok(text) => {
                self.text(text.as_bytes())?;
                Ok(text)
            }
            Err(error) => Ok(self.text(error.as_bytes())?.into_owned()),
        }
    }

    /// The text, each byte that is no UTF-8 replaced by U+FFFD (`String::from_utf8_lossy` replaces
    /// some runs of them by one).
    fn text<'a>(&mut self, bytes: &'a [u8]) -> Result<Cow<'a, str>, Error> {
        let too_long = || Error::custom("it is too long to read");
        self.bytes = self.bytes.checked_sub(bytes.len()).ok_or_else(too_long)?;
        if let Ok(text) = std::str::from_utf8(bytes) {
            return Ok(Cow::Borrowed(text));
        }
        let mut text = String::with_capacity(bytes.len());
        for chunk in bytes.utf8_chunks() {
            text.push_str(chunk.valid());
            for _ in chunk.invalid() {
                // Which makes three bytes of one.
                self.bytes = self.bytes.checked_sub(2).ok_or_else(too_long)?;
                text.push(char::REPLACEMENT_CHARACTER);
            }
        }
        Ok(Cow::Owned(text))
    }

    /// Counts the values of the first document in a text, before anything is made of them.
    pub(super) fn measure(&mut self, text: &str) -> Result<(), Error> {
        self.values = left_after(text, self.values)?;
        Ok(())
    }

    /// How many values may still be read.
    pub(super) fn values(&self) -> usize {
        self.values
    }
}

/// The same error in the words that users of the original know, where there are such.
pub(super) fn in_gos_words(words: Option<String>, error: Error) -> Error {
    words.map_or(error, Error::custom)
}

/// Refuses a document whose values lie too deep in each other, however many they are.
pub(super) fn require_shallow(text: &str) -> Result<(), Error> {
    left_after(text, usize::MAX).map(drop)
}

/// How many of so many values are left after the first document of a text.
fn left_after(text: &str, most: usize) -> Result<usize, Error> {
    let mut left = most;
    let (mut depth, mut in_string, mut escaped) = (0_usize, false, false);
    for byte in text.bytes() {
        if in_string {
            in_string = escaped || byte != b'"';
            escaped = !escaped && byte == b'\\';
            continue;
        }
        match byte {
            b'"' => in_string = true,
            b'[' | b'{' => {
                depth = depth.saturating_add(1);
                if depth > DEEPEST {
                    return Err(Error::custom(format_args!(
                        "its values are nested more than {DEEPEST} levels deep"
                    )));
                }
                left = left.checked_sub(1).ok_or_else(|| too_many(most))?;
            }
            b',' => left = left.checked_sub(1).ok_or_else(|| too_many(most))?,
            b']' | b'}' => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    break;
                }
            }
            _ => {}
        }
    }
    Ok(left)
}

pub(super) fn too_many(most: usize) -> Error {
    Error::custom(format_args!("it has more than {most} entries, which is too many to read"))
}
