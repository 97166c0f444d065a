//! `@INDEX` in the name of an image: which one of those in an archive or a layout is meant.

/// Why a text is not an index.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SourceIndexError {
    /// The text behind `@` is not a number.
    #[error("Invalid source index @{text}: not an integer")]
    NotInteger {
        /// The text.
        text: String,
        /// What is wrong with it.
        #[source]
        source: std::num::ParseIntError,
    },
    /// The number is negative. Counting begins at 0.
    #[error("Invalid source index @{0}: must not be negative")]
    Negative(i64),
}

/// Parses what stands behind `@`.
pub(crate) fn parse(text: &str) -> Result<usize, SourceIndexError> {
    let index: i64 = text
        .parse()
        .map_err(|source| SourceIndexError::NotInteger { text: text.to_owned(), source })?;
    usize::try_from(index).map_err(|_| SourceIndexError::Negative(index))
}
