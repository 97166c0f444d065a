//! One block that describes an entry (POSIX.1-2024, `pax`, "ustar Interchange Format"; GNU tar's
//! manual, "Basic Tar Format"), read as Go's `archive/tar` reads it: what the original accepts is
//! what is in registries.
//!
//! Own code and not the crate `tar`, whose values cannot be trusted here: it drops the upper bytes
//! of a binary number, ends a pax record at the first newline in its value, and reads extensions of
//! any length into memory. It also keeps to itself the extension headers, the padding and what
//! follows the end, all of which the recipe of a layer must have.

/// The unit of a tar, in bytes.
pub const BLOCK: usize = 512;

/// A unit of a tar.
pub type Block = [u8; BLOCK];

/// Whose the fields are that not all tars have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Before POSIX.
    Old,
    /// POSIX.
    Ustar,
    /// That of `star`.
    Star,
    /// GNU's own.
    Gnu,
}

/// A moment, in seconds since 1970 and nanoseconds behind them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Time {
    /// Seconds since 1970.
    pub seconds: i64,
    /// Nanoseconds behind them.
    pub nanoseconds: u32,
}

/// What one block says.
#[derive(Debug)]
pub struct Header {
    /// Whose fields it has.
    pub format: Format,
    /// The letter or digit that says what the entry is.
    pub kind: u8,
    /// The name, as far as it has room.
    pub name: Vec<u8>,
    /// What a link leads to, as far as it has room.
    pub link: Vec<u8>,
    /// How many bytes follow, without what fills the last block.
    pub size: i64,
    /// The permissions, and what else the system has in them.
    pub mode: i64,
    /// The user that owns it.
    pub uid: i64,
    /// The group that owns it.
    pub gid: i64,
    /// When it was written.
    pub modified: Time,
    /// When it was read, if that is said.
    pub accessed: Option<Time>,
    /// The major number of a device.
    pub major: i64,
    /// The minor number of a device.
    pub minor: i64,
}

impl Header {
    /// Reads a block. `None` if its checksum is another, or a number in it is none.
    #[must_use]
    pub fn parse(block: &Block) -> Option<Self> {
        let format = format(block)?;
        let mut header = Self {
            format,
            kind: block[156],
            name: text(&block[..100]).to_vec(),
            link: text(&block[157..257]).to_vec(),
            size: number(&block[124..136])?,
            mode: number(&block[100..108])?,
            uid: number(&block[108..116])?,
            gid: number(&block[116..124])?,
            modified: Time::new(number(&block[136..148])?),
            accessed: None,
            major: 0,
            minor: 0,
        };
        if format != Format::Old {
            header.major = number(&block[329..337])?;
            header.minor = number(&block[337..345])?;
        }
        let prefix = match format {
            Format::Old => b"",
            Format::Ustar => text(&block[345..500]),
            Format::Star => {
                header.accessed = Some(Time::new(number(&block[476..488])?));
                number(&block[488..500])?;
                text(&block[345..476])
            }
            Format::Gnu => {
                let times = [&block[345..357], &block[357..369]];
                match times.map(|field| (field.first() == Some(&0)) || number(field).is_some()) {
                    [true, true] => {
                        header.accessed = (block[345] != 0)
                            .then(|| number(&block[345..357]).map(Time::new))
                            .flatten();
                        b""
                    }
                    // Go's own writer took these bytes for a name once.
                    _ => Some(text(&block[345..500]))
                        .filter(|text| text.is_ascii())
                        .unwrap_or_default(),
                }
            }
        };
        if !prefix.is_empty() {
            header.name = [prefix, b"/", &header.name].concat();
        }
        Some(header)
    }
}

impl Time {
    /// Returns a moment that is a whole second.
    #[must_use]
    pub fn new(seconds: i64) -> Self {
        Self { seconds, nanoseconds: 0 }
    }
}

/// Whose the block is; `None` if its checksum is another.
fn format(block: &Block) -> Option<Format> {
    // Some old programs took the bytes for signed.
    let others = || block[..148].iter().chain(&[b' '; 8]).chain(&block[156..]);
    let unsigned: i64 = others().map(|byte| i64::from(*byte)).sum();
    let signed: i64 = others().map(|byte| i64::from(byte.cast_signed())).sum();
    let stored = octal(&block[148..156])?;
    if stored != unsigned && stored != signed {
        return None;
    }
    Some(match (&block[257..263], &block[263..265], &block[508..]) {
        (b"ustar\0", _, b"tar\0") => Format::Star,
        (b"ustar\0", ..) => Format::Ustar,
        (b"ustar ", b" \0", _) => Format::Gnu,
        _ => Format::Old,
    })
}

/// Returns a number that stands in octal digits or, if the first bit is set, as a signed binary
/// one. `None` for what is none or does not fit.
#[must_use]
pub fn number(field: &[u8]) -> Option<i64> {
    let first = field.first().copied().unwrap_or_default();
    if first & 0x80 == 0 {
        return octal(field);
    }
    let inverted = if first & 0x40 == 0 { 0 } else { 0xff };
    let mut value = u64::from((first ^ inverted) & 0x7f);
    for byte in field.iter().skip(1) {
        value = value.checked_mul(256)? | u64::from(byte ^ inverted);
    }
    let value = i64::try_from(value).ok()?;
    Some(if inverted == 0 { value } else { !value })
}

fn octal(field: &[u8]) -> Option<i64> {
    let is_blank = |byte: &u8| matches!(byte, 0 | b' ');
    let first = field.iter().position(|byte| !is_blank(byte)).unwrap_or(field.len());
    let last =
        field.iter().rposition(|byte| !is_blank(byte)).map_or(first, |it| it.saturating_add(1));
    let digits = text(field.get(first..last).unwrap_or_default());
    digits.iter().try_fold(0_i64, |value, byte| match byte {
        b'0'..=b'7' => value.checked_mul(8)?.checked_add(i64::from(byte & 7)),
        _ => None,
    })
}

/// Returns the bytes before the first NUL.
#[must_use]
pub fn text(field: &[u8]) -> &[u8] {
    field.split(|byte| *byte == 0).next().unwrap_or_default()
}

/// Returns how many bytes fill the last block of so many.
#[must_use]
pub fn padding(length: u64) -> u64 {
    length.wrapping_neg() & 511
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_numbers_as_they_come() {
        for (field, value) in [
            (&b"00000001750\0"[..], Some(1000)),
            (b"1750", Some(1000)),
            (b"   1750 \0", Some(1000)),
            (b"\0\0\0\x001750", Some(1000)),
            (b"\0\0\0\0", Some(0)),
            (b"", Some(0)),
            (b"777777777777", Some(0o777_777_777_777)),
            (b"17\x0050", Some(0o17)),
            (b"0000000175x\0", None),
            (b"17 50", None),
            (b"-1\0", None),
            (b"\x80\0\0\0\0\0\0\x02\0\0\0\0", Some(2 << 32)),
            (b"\x80\0\0\0\x7f\xff\xff\xff\xff\xff\xff\xff", Some(i64::MAX)),
            (b"\x80\0\0\0\x80\0\0\0\0\0\0\0", None),
            (b"\x80\0\0\x01\0\0\0\0\0\0\0\x01", None), // would be 1, cut to 64 bits
            (b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", Some(-1)),
            (b"\xff\xff\xff\xff\xff\xff\xff\xfe", Some(-2)),
        ] {
            assert_eq!(number(field), value, "{field:?}");
        }
    }
}
