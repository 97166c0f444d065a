//! How Go prints things, where its users see it.

#![cfg_attr(
    not(test),
    warn(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::as_conversions)
)]

use std::io::{self, Read as _};
use std::path::Path;

use skopeo_blob::FileError;
use skopeo_image::number::wide;

pub(crate) use skopeo_image::go::{duration, quote};

/// Reads a file of at most `limit` bytes.
pub(crate) fn read_at_most(path: &Path, limit: usize) -> Result<Vec<u8>, FileError> {
    let mut bytes = Vec::new();
    let file = fs_err::File::open(path).map_err(FileError::from)?;
    file.take(wide(limit).saturating_add(1)).read_to_end(&mut bytes).map_err(FileError::from)?;
    if bytes.len() > limit {
        return Err(io::Error::other(format!("longer than {limit} bytes")).into());
    }
    Ok(bytes)
}

/// The text as `%#q` prints it: between back quotes where that is possible.
pub(crate) fn quote_raw(text: &str) -> String {
    let raw = text.chars().all(|c| (c == '\t' || !c.is_control()) && c != '`' && c != '\u{feff}');
    if raw { format!("`{text}`") } else { quote(text) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_raw_where_that_is_possible() {
        assert_eq!(quote_raw("cop"), "`cop`");
        assert_eq!(quote_raw("a`b"), "\"a`b\"");
    }
}
