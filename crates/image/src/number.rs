//! Lengths as files and manifests have them and as memory has them. Numbers from outside are never
//! cut by `as`.

/// Returns a length in memory as one of a file.
#[must_use]
#[expect(clippy::as_conversions, reason = "no `usize` is longer, or this is not compiled")]
pub const fn wide(length: usize) -> u64 {
    const { assert!(usize::BITS <= u64::BITS) };
    length as u64
}

/// Returns a length of a file as one in memory; what does not fit is as large as can be, so that no
/// buffer of it can be made.
#[must_use]
pub fn narrow(length: u64) -> usize {
    usize::try_from(length).unwrap_or(usize::MAX)
}
