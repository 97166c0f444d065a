//! Where a file is cut into chunks: where its contents say so, so that the same contents are cut
//! at the same places, whatever stands before them; and around long rows of zeros.
//!
//! The places are those of the original, since only equal chunks of two layers can be shared.

use skopeo_image::number::wide;

/// Shorter rows of zeros are data.
const HOLE: u64 = 1024;

/// The longest hole that is told as one, in bytes: a thread works at each.
const LONGEST_HOLE: u64 = 64 << 20;

/// A chunk ends where so many of the sum's lowest bits are set: after 64 KiB on average.
const MASK: u32 = (1 << 16) - 1;

/// Takes the contents of files, cut into chunks.
pub(super) trait Chunks {
    type Error;
    fn data(&mut self, bytes: &[u8]) -> Result<(), Self::Error>;
    /// The data since the last cut are a chunk, if there are any.
    fn cut(&mut self) -> Result<(), Self::Error>;
    /// So many zeros are a chunk. There are no data before it that are not cut.
    fn hole(&mut self, zeros: u64) -> Result<(), Self::Error>;
}

/// Cuts one file.
#[derive(Default)]
pub(super) struct Splitter {
    sum: RollingSum,
    /// Zeros that may be data or the begin of a hole; in a hole, those not told yet.
    zeros: u64,
    in_hole: bool,
}

impl Splitter {
    /// The next bytes of the file.
    pub(super) fn feed<C: Chunks>(&mut self, bytes: &[u8], to: &mut C) -> Result<(), C::Error> {
        // What has not been told yet, and how many bytes of it are known to be data.
        let mut rest = bytes;
        let mut data = 0_usize;
        while let Some(&byte) = rest.get(data) {
            if byte == 0 {
                let (before, zeros) = split_at(rest, data);
                let row = zeros.iter().take_while(|byte| **byte == 0).count();
                let is_last = row == zeros.len();
                if self.in_hole || is_last || self.zeros.saturating_add(wide(row)) >= HOLE {
                    to.data(before)?;
                    self.put_off(wide(row), to)?;
                    (rest, data) = (split_at(zeros, row).1, 0);
                } else {
                    self.flush(to)?;
                    for _ in 0..row {
                        data = data.saturating_add(1);
                        if self.sum.roll(0) {
                            (rest, data) = (cut_behind(rest, data, to)?, 0);
                        }
                    }
                }
                continue;
            }
            self.flush(to)?;
            data = data.saturating_add(1);
            if self.sum.roll(byte) {
                (rest, data) = (cut_behind(rest, data, to)?, 0);
            }
        }
        to.data(rest)
    }

    /// The file has ended.
    pub(super) fn end<C: Chunks>(mut self, to: &mut C) -> Result<(), C::Error> {
        self.flush(to)?;
        to.cut()
    }

    /// Zeros of which the next bytes will tell what they are.
    fn put_off<C: Chunks>(&mut self, row: u64, to: &mut C) -> Result<(), C::Error> {
        self.zeros = self.zeros.saturating_add(row);
        if !self.in_hole && self.zeros >= HOLE {
            self.in_hole = true;
            to.cut()?;
        }
        while self.in_hole
            && let Some(left) = self.zeros.checked_sub(LONGEST_HOLE)
        {
            to.hole(LONGEST_HOLE)?;
            self.zeros = left;
        }
        Ok(())
    }

    /// Tells what was put off.
    fn flush<C: Chunks>(&mut self, to: &mut C) -> Result<(), C::Error> {
        let zeros = std::mem::take(&mut self.zeros);
        if std::mem::take(&mut self.in_hole) {
            // After so many zeros the sum is as it was at the begin.
            self.sum = RollingSum::default();
            return if zeros > 0 { to.hole(zeros) } else { Ok(()) };
        }
        for _ in 0..zeros {
            to.data(&[0])?;
            if self.sum.roll(0) {
                to.cut()?;
            }
        }
        Ok(())
    }
}

/// The first bytes, and those behind them; never fewer than there are.
fn split_at(bytes: &[u8], at: usize) -> (&[u8], &[u8]) {
    bytes.split_at(at.min(bytes.len()))
}

/// Tells the first bytes, behind which a chunk ends, and gives those behind them.
fn cut_behind<'a, C: Chunks>(bytes: &'a [u8], at: usize, to: &mut C) -> Result<&'a [u8], C::Error> {
    let (chunk, rest) = split_at(bytes, at);
    to.data(chunk)?;
    to.cut()?;
    Ok(rest)
}

const WINDOW: usize = 64;
const OFFSET: u32 = 31;

/// The window's length as a factor.
const SIZE: u32 = 64;

/// The sums of a window of zeros.
const FIRST: u32 = SIZE * OFFSET;
const SECOND: u32 = SIZE * (SIZE - 1) * OFFSET;

/// The sum of the last 64 bytes that bup and rsync use.
struct RollingSum {
    first: u32,
    second: u32,
    window: [u8; WINDOW],
    at: usize,
}

impl Default for RollingSum {
    fn default() -> Self {
        Self { first: FIRST, second: SECOND, window: [0; WINDOW], at: 0 }
    }
}

impl RollingSum {
    /// Whether a chunk ends behind this byte.
    #[inline]
    fn roll(&mut self, byte: u8) -> bool {
        let oldest = self.window.get_mut(self.at % WINDOW);
        let dropped = u32::from(oldest.map_or(0, |oldest| std::mem::replace(oldest, byte)));
        self.at = self.at.wrapping_add(1);
        self.first = self.first.wrapping_add(u32::from(byte)).wrapping_sub(dropped);
        let gone = SIZE.wrapping_mul(dropped.wrapping_add(OFFSET));
        self.second = self.second.wrapping_add(self.first).wrapping_sub(gone);
        self.second & MASK == MASK
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use proptest::prelude::*;

    use super::*;

    /// Lengths of chunks; those of zeros are negative.
    #[derive(Default)]
    struct Lengths(Vec<i64>, i64);

    impl Chunks for Lengths {
        type Error = Infallible;
        fn data(&mut self, bytes: &[u8]) -> Result<(), Infallible> {
            self.1 += bytes.len() as i64;
            Ok(())
        }
        fn cut(&mut self) -> Result<(), Infallible> {
            self.0.extend((self.1 > 0).then_some(self.1));
            self.1 = 0;
            Ok(())
        }
        fn hole(&mut self, zeros: u64) -> Result<(), Infallible> {
            assert_eq!(self.1, 0);
            self.0.push(-(zeros as i64));
            Ok(())
        }
    }

    fn chunks(bytes: &[u8], step: usize) -> Vec<i64> {
        let mut lengths = Lengths::default();
        let mut splitter = Splitter::default();
        for piece in bytes.chunks(step) {
            let Ok(()) = splitter.feed(piece, &mut lengths);
        }
        let Ok(()) = splitter.end(&mut lengths);
        lengths.0
    }

    fn noise(len: usize, mut state: u32) -> Vec<u8> {
        std::iter::repeat_with(|| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        })
        .take(len)
        .collect()
    }

    #[test]
    fn cuts_around_holes() {
        let data = |len| vec![7; len];
        for (bytes, expected) in [
            (vec![], vec![]),
            (data(5), vec![5]),
            (vec![0; 1023], vec![1023]),
            (vec![0; 1024], vec![-1024]),
            ([data(3), vec![0; 1023], data(2)].concat(), vec![1028]),
            ([data(3), vec![0; 1024], data(2)].concat(), vec![3, -1024, 2]),
            ([vec![0; 5000], data(2), vec![0; 9]].concat(), vec![-5000, 11]),
            ([data(1), vec![0; 2000]].concat(), vec![1, -2000]),
        ] {
            for step in [1, 7, 1000, 1_000_000] {
                assert_eq!(chunks(&bytes, step), expected, "{} by {step}", bytes.len());
            }
        }
        let long = vec![0; (2 * LONGEST_HOLE + 5) as usize];
        let longest = -(LONGEST_HOLE as i64);
        assert_eq!(chunks(&long, 100_000), [longest, longest, -5]);
        assert_eq!(chunks(&long[..LONGEST_HOLE as usize], 100_000), [longest]);
    }

    #[test]
    fn cuts_the_same_contents_at_the_same_places() {
        let bytes = noise(3_000_000, 1);
        let all = chunks(&bytes, 4096);
        assert!((20..120).contains(&all.len()), "{all:?}");
        let shifted = chunks(&[&noise(1000, 2), &bytes[..]].concat(), 4096);
        assert_eq!(all[2..], shifted[shifted.len() - all.len() + 2..]);
    }

    proptest! {
        #[test]
        fn does_not_depend_on_how_the_bytes_come(
            rows in prop::collection::vec((1_usize..3000, any::<u32>(), any::<bool>()), 0..40),
            step in 1_usize..5000,
        ) {
            let rows = rows.into_iter().map(|(len, seed, zeros)| {
                if zeros { vec![0; len] } else { noise(len, seed) }
            });
            let bytes: Vec<u8> = rows.flatten().collect();
            let expected = chunks(&bytes, usize::MAX);
            assert_eq!(chunks(&bytes, step), expected);
            assert_eq!(expected.iter().map(|len| len.unsigned_abs()).sum::<u64>(), bytes.len() as u64);
        }
    }
}
