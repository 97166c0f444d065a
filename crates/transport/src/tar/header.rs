//! One block that describes a member (POSIX.1-2024, `pax`, "ustar Interchange Format"; GNU tar's
//! manual, "Basic Tar Format").
//!
//! Own code, since the `tar` crate's values cannot be trusted here: it drops the upper bytes of a
//! binary number, ends a pax record at the first newline in its value, and reads extensions of any
//! length into memory.

/// The unit of an archive, in bytes.
pub(super) const BLOCK: usize = 512;

/// A header whose checksum is right.
pub(super) struct Header<'a>(&'a [u8; BLOCK]);

impl<'a> Header<'a> {
    /// `None` if the checksum is another.
    pub(super) fn checked(block: &'a [u8; BLOCK]) -> Option<Self> {
        // Some old programs took the bytes for signed.
        let others = || block[..148].iter().chain([b' '; 8].iter()).chain(&block[156..]).copied();
        let unsigned: u64 = others().map(u64::from).sum();
        let signed: i64 = others().map(|byte| i64::from(byte.cast_signed())).sum();
        let stored = number(&block[148..156])?;
        (stored == unsigned || i64::try_from(stored) == Ok(signed)).then_some(Self(block))
    }

    /// The letter or digit that says what the member is.
    pub(super) fn type_flag(&self) -> u8 {
        self.0[156]
    }

    /// How many bytes follow, without what fills the last block.
    pub(super) fn size(&self) -> Option<u64> {
        number(&self.0[124..136])
    }

    /// The name, as far as it has room here.
    pub(super) fn name(&self) -> Vec<u8> {
        let name = text(&self.0[..100]);
        // GNU's own format has times where the prefix is, star's has them behind a shorter one.
        let prefix = match (&self.0[257..263], &self.0[508..512]) {
            (b"ustar\0", b"tar\0") => text(&self.0[345..476]),
            (b"ustar\0", _) => text(&self.0[345..500]),
            _ => b"",
        };
        if prefix.is_empty() { name.to_vec() } else { [prefix, b"/", name].concat() }
    }

    /// What a link leads to, as far as it has room here.
    pub(super) fn link(&self) -> &[u8] {
        text(&self.0[157..257])
    }

    /// Whether an old GNU sparse member has more of its map in the next block.
    pub(super) fn is_extended(&self) -> bool {
        self.0[482] != 0
    }
}

/// A number, in octal digits or, if the first bit is set, as a signed binary one. `None` for what
/// is none, is negative or does not fit.
fn number(field: &[u8]) -> Option<u64> {
    let first = *field.first()?;
    if first & 0x80 != 0 {
        let positive = (first & 0x40 == 0).then_some(u64::from(first & 0x3f))?;
        return field.iter().skip(1).try_fold(positive, |value, byte| {
            let value = value.checked_mul(256)? | u64::from(*byte);
            i64::try_from(value).is_ok().then_some(value)
        });
    }
    let digits = field.trim_ascii_start();
    let zeros = digits.iter().take_while(|byte| **byte == 0).count();
    let digits = text(digits.get(zeros..)?).trim_ascii();
    digits.iter().try_fold(0_u64, |value, byte| match byte {
        b'0'..=b'7' => value.checked_mul(8)?.checked_add(u64::from(byte & 7)),
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
            (b"777777777777", Some(0o777_777_777_777)),
            (b"0000000175x\0", None),
            (b"-1\0", None),
            (b"\x80\0\0\0\0\0\0\x02\0\0\0\0", Some(2 << 32)),
            (b"\x80\0\0\0\x7f\xff\xff\xff\xff\xff\xff\xff", Some(i64::MAX as u64)),
            (b"\x80\0\0\0\x80\0\0\0\0\0\0\0", None), // beyond any file
            (b"\x80\0\0\x01\0\0\0\0\0\0\0\x01", None), // would be 1, cut to 64 bits
            (b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", None), // -1
            (b"", None),
        ] {
            assert_eq!(number(field), value, "{field:?}");
        }
    }
}
