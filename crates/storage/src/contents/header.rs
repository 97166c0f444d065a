//! One block that describes an entry (POSIX.1-2024, `pax`, "ustar Interchange Format"; GNU tar's
//! manual, "Basic Tar Format"), read as Go's `archive/tar` reads it: what the original accepts is
//! what is in registries.
//!
//! Own code and not the crate `tar`, which keeps to itself the extension headers, the padding and
//! what follows the end, all of which the recipe must have.

/// The unit of a tar, in bytes.
pub(super) const BLOCK: usize = 512;

/// A unit of a tar.
pub(super) type Block = [u8; BLOCK];

/// Whose the fields are that not all tars have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    Old,
    Ustar,
    Star,
    Gnu,
}

/// A moment, in seconds since 1970 and nanoseconds behind them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Time {
    pub(super) seconds: i64,
    pub(super) nanoseconds: u32,
}

/// What one block says.
#[derive(Debug)]
pub(super) struct Header {
    pub(super) format: Format,
    pub(super) kind: u8,
    pub(super) name: Vec<u8>,
    pub(super) link: Vec<u8>,
    pub(super) size: i64,
    pub(super) mode: i64,
    pub(super) uid: i64,
    pub(super) gid: i64,
    pub(super) modified: Time,
    pub(super) accessed: Option<Time>,
    pub(super) major: i64,
    pub(super) minor: i64,
}

impl Header {
    /// `None` if the checksum is another, or a number is none.
    pub(super) fn parse(block: &Block) -> Option<Self> {
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
    pub(super) fn new(seconds: i64) -> Self {
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

/// A number, in octal digits or, if the first bit is set, as a signed binary one. `None` for what
/// is none or does not fit.
pub(super) fn number(field: &[u8]) -> Option<i64> {
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

/// The bytes before the first NUL.
pub(super) fn text(field: &[u8]) -> &[u8] {
    field.split(|byte| *byte == 0).next().unwrap_or_default()
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
