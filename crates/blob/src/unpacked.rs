//! How much may come out of what is packed. A few kilobytes can be made to unpack to terabytes.

use std::error::Error;
use std::io::{self, BufRead, Read};

/// How much may come out of one packed file or layer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MaxUnpacked {
    /// [`USUAL`](Self::USUAL) bytes, and beyond that [`RATIO`](Self::RATIO) times what is packed:
    /// real layers come to 20 times at most.
    #[default]
    Usual,
    /// So many bytes.
    Bytes(u64),
    /// As much as there is.
    Unlimited,
}

impl MaxUnpacked {
    /// Below this many bytes the ratio does not matter: 10 GiB.
    pub const USUAL: u64 = 10 << 30;
    /// How many times the length of what is packed may come out of it.
    pub const RATIO: u64 = 100;

    /// Returns whether so many bytes may have come out of so many.
    #[must_use]
    pub fn allows(self, packed: u64, unpacked: u64) -> bool {
        match self {
            Self::Usual => {
                unpacked <= Self::USUAL || unpacked <= packed.saturating_mul(Self::RATIO)
            }
            Self::Bytes(most) => unpacked <= most,
            Self::Unlimited => true,
        }
    }

    /// Returns an error if so many bytes may not have come out of so many.
    ///
    /// # Errors
    /// If there are too many.
    pub fn check(self, packed: u64, unpacked: u64) -> Result<(), TooMuch> {
        if self.allows(packed, unpacked) { Ok(()) } else { Err(TooMuch { limit: self, packed }) }
    }
}

/// More came out of what is packed than may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooMuch {
    limit: MaxUnpacked,
    packed: u64,
}

impl TooMuch {
    /// Returns the error in a link of a chain, where it is one: `io::Error` hides what it is made
    /// of.
    #[must_use]
    pub fn of<'a>(link: &'a (dyn Error + 'static)) -> Option<&'a Self> {
        let inside = || link.downcast_ref::<io::Error>()?.get_ref()?.downcast_ref();
        link.downcast_ref().or_else(inside)
    }
}

impl std::fmt::Display for TooMuch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { limit, packed } = self;
        match limit {
            MaxUnpacked::Bytes(most) => write!(f, "it decompresses to more than {most} bytes"),
            MaxUnpacked::Usual | MaxUnpacked::Unlimited => write!(
                f,
                "{packed} bytes decompress to more than {} bytes, and to more than {} times their size",
                MaxUnpacked::USUAL,
                MaxUnpacked::RATIO
            ),
        }
    }
}

impl Error for TooMuch {}

impl From<TooMuch> for io::Error {
    fn from(error: TooMuch) -> Self {
        Self::other(error)
    }
}

/// A decoder's input, which counts what the decoder has taken.
pub(crate) struct Counted<R> {
    pub(crate) inner: R,
    pub(crate) taken: u64,
}

impl<R> Counted<R> {
    pub(crate) fn new(inner: R) -> Self {
        Self { inner, taken: 0 }
    }
}

impl<R: BufRead> Read for Counted<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buf)?;
        self.taken = self.taken.saturating_add(u64::try_from(read).unwrap_or(u64::MAX));
        Ok(read)
    }
}

impl<R: BufRead> BufRead for Counted<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.inner.fill_buf()
    }

    fn consume(&mut self, n: usize) {
        self.taken = self.taken.saturating_add(u64::try_from(n).unwrap_or(u64::MAX));
        self.inner.consume(n);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_the_length_and_the_ratio_ask() {
        const GIB: u64 = 1 << 30;
        for (limit, packed, unpacked, allowed) in [
            (MaxUnpacked::Usual, 0, 10 * GIB, true),
            (MaxUnpacked::Usual, 0, 10 * GIB + 1, false),
            (MaxUnpacked::Usual, GIB, 100 * GIB, true),
            (MaxUnpacked::Usual, GIB, 100 * GIB + 1, false),
            (MaxUnpacked::Usual, u64::MAX, u64::MAX, true),
            (MaxUnpacked::Bytes(5), 5, 5, true),
            (MaxUnpacked::Bytes(5), 5, 6, false),
            (MaxUnpacked::Bytes(20 * GIB), 1, 20 * GIB, true),
            (MaxUnpacked::Unlimited, 0, u64::MAX, true),
        ] {
            assert_eq!(limit.check(packed, unpacked).is_ok(), allowed, "{limit:?} {unpacked}");
        }
    }

    #[test]
    fn it_is_found_in_what_wraps_it() {
        let error = MaxUnpacked::Bytes(1).check(0, 2).unwrap_err();
        assert_eq!(TooMuch::of(&io::Error::from(error)), Some(&error));
        assert_eq!(TooMuch::of(&error), Some(&error));
        assert_eq!(TooMuch::of(&io::Error::other("no")), None);
        assert_eq!(error.to_string(), "it decompresses to more than 1 bytes");
    }
}
