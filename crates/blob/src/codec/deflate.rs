//! What a deflate stream (RFC 1951) consists of: bits, canonical codes, and their lengths.

/// The mark of an entry of a table that says nothing: the end of the block, or a code longer than
/// the table, which is looked up bit by bit.
pub(super) const SPECIAL: u32 = 1 << 7;

/// The order in which the lengths of the codes for code lengths come (section 3.2.7).
const ORDER: [usize; 19] = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];

/// Bits of a stream, lowest first.
pub(super) struct Bits<'a> {
    data: &'a [u8],
    next: usize,
    pub(super) held: u64,
    /// At most 63.
    count: u32,
}

impl<'a> Bits<'a> {
    /// Begins at a byte.
    pub(super) fn at(data: &'a [u8], next: usize) -> Self {
        Self { data, next, held: 0, count: 0 }
    }

    /// Fetches bits until there are 56 at least.
    #[inline]
    pub(super) fn refill(&mut self) -> Option<()> {
        let word = u64::from_le_bytes(*self.data.get(self.next..)?.first_chunk()?);
        self.held |= word << self.count;
        let room = 63 & !self.count;
        self.next = self.next.checked_add(usize::try_from(room >> 3).ok()?)?;
        self.count |= 56;
        Some(())
    }

    #[inline]
    pub(super) fn peek(&self, bits: u32) -> usize {
        low(self.held, bits)
    }

    /// `bits` must be there.
    #[inline]
    pub(super) fn pass(&mut self, bits: u32) -> Option<()> {
        self.count = self.count.checked_sub(bits)?;
        self.held >>= bits;
        Some(())
    }

    #[inline]
    pub(super) fn take(&mut self, bits: u32) -> Option<usize> {
        let value = self.peek(bits);
        self.pass(bits)?;
        Some(value)
    }

    /// Passes over a stored block, behind the head of it.
    pub(super) fn pass_stored(&mut self) -> Option<()> {
        let at = self.position()?.div_ceil(8);
        let len = u16::from_le_bytes(*self.data.get(at..)?.first_chunk()?);
        *self = Self::at(self.data, at.checked_add(4)?.checked_add(usize::from(len))?);
        Some(())
    }

    pub(super) fn position(&self) -> Option<usize> {
        self.next.checked_mul(8)?.checked_sub(usize::try_from(self.count).ok()?)
    }
}

/// The lowest so many bits.
#[inline]
pub(super) fn low(held: u64, bits: u32) -> usize {
    usize::try_from(held & !(u64::MAX << bits)).unwrap_or(usize::MAX)
}

/// A canonical code: how many codes there are of each length, and their symbols in order.
#[derive(Default)]
pub(super) struct Code {
    counts: [u16; 16],
    symbols: Vec<u16>,
}

impl Code {
    pub(super) fn set(&mut self, lengths: &[u8]) {
        self.counts = [0; 16];
        for len in lengths {
            if let Some(count) = self.counts.get_mut(usize::from(len & 15)) {
                *count = count.saturating_add(1);
            }
        }
        self.counts[0] = 0;
        let mut next = 0_u16;
        let mut starts = self.counts.map(|count| {
            let start = next;
            next = next.saturating_add(count);
            start
        });
        self.symbols.clear();
        self.symbols.resize(lengths.len(), 0);
        for (symbol, len) in (0..).zip(lengths) {
            if *len > 0
                && let Some(start) = starts.get_mut(usize::from(len & 15))
                && let Some(place) = self.symbols.get_mut(usize::from(*start))
            {
                *place = symbol;
                *start = start.saturating_add(1);
            }
        }
    }

    /// The symbol that `bits` begin with, and the length of its code.
    pub(super) fn find(&self, mut bits: u64) -> Option<(u16, u32)> {
        let (mut code, mut first, mut index) = (0_u32, 0_u32, 0_u32);
        let [_, counts @ ..] = &self.counts;
        for (len, count) in (1..).zip(counts) {
            code |= u32::from(bits & 1 == 1);
            bits >>= 1;
            let count = u32::from(*count);
            let behind = first.checked_add(count)?;
            if code < behind {
                let at = index.checked_add(code.checked_sub(first)?)?;
                return Some((*self.symbols.get(usize::try_from(at).ok()?)?, len));
            }
            index = index.checked_add(count)?;
            first = behind << 1;
            code <<= 1;
        }
        None
    }

    /// The code of `symbol`, and its length.
    pub(super) fn code_of(&self, symbol: u16) -> Option<(u32, u32)> {
        let mut symbols = self.symbols.iter();
        let mut code = 0_u32;
        let [_, counts @ ..] = &self.counts;
        for (len, count) in (1..).zip(counts) {
            let mut these = symbols.by_ref().take(usize::from(*count));
            if let Some(at) = these.position(|this| *this == symbol) {
                return Some((code.checked_add(u32::try_from(at).ok()?)?, len));
            }
            code = code.checked_add(u32::from(*count))? << 1;
        }
        None
    }

    /// Fills a table with what `entry` makes of each symbol and its code's length. The table has an
    /// entry for each value of so many `bits`.
    pub(super) fn fill(&self, table: &mut [u32], bits: u32, entry: impl Fn(u16, u32) -> u32) {
        table.fill(SPECIAL);
        let mut symbols = self.symbols.iter();
        let mut code = 0_u32;
        let [_, counts @ ..] = &self.counts;
        for (len, count) in (1..=bits).zip(counts) {
            for symbol in symbols.by_ref().take(usize::from(*count)) {
                let reversed = code.reverse_bits() >> 32_u32.saturating_sub(len);
                let entry = entry(*symbol, len);
                let first = usize::try_from(reversed).unwrap_or(usize::MAX);
                for place in table.iter_mut().skip(first).step_by(1 << len) {
                    *place = entry;
                }
                code = code.wrapping_add(1);
            }
            code <<= 1;
        }
    }
}

/// The lengths of a block's codes.
pub(super) struct Lengths {
    /// Of literals and lengths, then of distances.
    pub(super) all: [u8; 320],
    pub(super) literals: usize,
    pub(super) whole: usize,
}

impl Lengths {
    /// Reads them (section 3.2.7).
    pub(super) fn read(bits: &mut Bits<'_>) -> Option<Self> {
        let literals = bits.take(5)?.checked_add(257)?;
        let whole = bits.take(5)?.checked_add(1)?.checked_add(literals)?;
        let lengths = bits.take(4)?.checked_add(4)?;
        let mut code_lengths = [0; 19];
        for at in ORDER.into_iter().take(lengths) {
            bits.refill()?;
            *code_lengths.get_mut(at)? = u8::try_from(bits.take(3)?).ok()?;
        }
        let mut code = Code::default();
        code.set(&code_lengths);
        let mut all = [0; 320];
        let mut filled = 0;
        while filled < whole {
            bits.refill()?;
            let (symbol, len) = code.find(bits.held)?;
            bits.pass(len)?;
            let (value, least, more) = match symbol {
                0..16 => (u8::try_from(symbol).ok()?, 1, 0),
                16 => (*all.get(filled.checked_sub(1)?)?, 3, bits.take(2)?),
                17 => (0, 3, bits.take(3)?),
                _ => (0, 11, bits.take(7)?),
            };
            let end = filled.checked_add(least)?.checked_add(more)?;
            all.get_mut(filled..end)?.fill(value);
            filled = end;
        }
        (filled == whole).then_some(Self { all, literals, whole })
    }
}

/// The bits behind a length's code (section 3.2.5).
pub(super) fn length_extra(symbol: u16) -> Option<u32> {
    match symbol {
        257..=264 | 285 => Some(0),
        265..=284 => Some(u32::from(symbol.checked_sub(261)?) / 4),
        _ => None,
    }
}

/// The bits behind a distance's code.
pub(super) fn distance_extra(symbol: u16) -> Option<u32> {
    match symbol {
        0..=29 => Some((u32::from(symbol) / 2).saturating_sub(1)),
        _ => None,
    }
}
