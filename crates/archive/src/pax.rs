//! The records of a pax extended header (POSIX.1-2024, `pax`, "pax Extended Header"; GNU tar's
//! manual, "Storing Sparse Files"), read as Go's `archive/tar` reads them.

use crate::header::{Header, Time};

/// What extended headers say about the entry behind them. An empty value says nothing.
#[derive(Debug, Default)]
pub struct Extensions {
    pub(crate) name: Option<Vec<u8>>,
    pub(crate) link: Option<Vec<u8>>,
    pub(crate) size: Option<i64>,
    pub(crate) uid: Option<i64>,
    pub(crate) gid: Option<i64>,
    pub(crate) modified: Option<Time>,
    pub(crate) accessed: Option<Time>,
    /// Extended attributes, as far as they are written as `SCHILY.xattr.`; here an empty value is
    /// one.
    pub(crate) attributes: Vec<(Vec<u8>, Vec<u8>)>,
    pub(crate) sparse: Sparse,
}

/// What the records say of a sparse file.
#[derive(Debug, Default)]
pub struct Sparse {
    pub(crate) major: Vec<u8>,
    pub(crate) minor: Vec<u8>,
    /// The name of the file, where the entry has another.
    pub name: Vec<u8>,
    pub(crate) size: Vec<u8>,
    pub(crate) real_size: Vec<u8>,
    pub(crate) count: Vec<u8>,
    /// Offsets and lengths in turn, with commas between them.
    pub(crate) map: Vec<u8>,
}

impl Extensions {
    /// Reads the records of a header: each its own length in decimal digits, a space, a key, `=`,
    /// a value and a newline. `None` if it is malformed.
    #[must_use]
    pub fn parse(mut records: &[u8]) -> Option<Self> {
        let mut all = Self::default();
        let mut offsets: Vec<&[u8]> = Vec::new();
        while !records.is_empty() {
            let space = records.iter().position(|byte| *byte == b' ')?;
            let (digits, _) = records.split_at_checked(space)?;
            let length = usize::try_from(decimal(digits)?).ok().filter(|length| *length >= 5)?;
            let (record, rest) = records.split_at_checked(length)?;
            records = rest;
            let record = record.get(space..)?.strip_prefix(b" ")?.strip_suffix(b"\n")?;
            let equals = record.iter().position(|byte| *byte == b'=').filter(|at| *at > 0)?;
            let (key, value) = record.split_at_checked(equals)?;
            let value = value.strip_prefix(b"=")?;
            if key.contains(&0) {
                return None;
            }
            match key {
                b"GNU.sparse.offset" | b"GNU.sparse.numbytes" => {
                    let is_offset = key == b"GNU.sparse.offset";
                    if offsets.len().is_multiple_of(2) != is_offset || value.contains(&b',') {
                        return None;
                    }
                    offsets.push(value);
                }
                _ => all.add(key, value)?,
            }
        }
        if !offsets.is_empty() {
            all.sparse.map = offsets.join(&b',');
        }
        Some(all)
    }

    fn add(&mut self, key: &[u8], value: &[u8]) -> Option<()> {
        let bytes = || (!value.is_empty()).then(|| value.to_vec());
        let whole = || if value.is_empty() { Some(None) } else { decimal(value).map(Some) };
        let moment = || if value.is_empty() { Some(None) } else { time(value).map(Some) };
        match key {
            b"path" | b"linkpath" | b"uname" | b"gname" if value.contains(&0) => return None,
            b"path" => self.name = bytes(),
            b"linkpath" => self.link = bytes(),
            b"size" => self.size = whole()?,
            b"uid" => self.uid = whole()?,
            b"gid" => self.gid = whole()?,
            b"mtime" => self.modified = moment()?,
            b"atime" => self.accessed = moment()?,
            b"ctime" => _ = moment()?,
            b"GNU.sparse.major" => self.sparse.major = value.to_vec(),
            b"GNU.sparse.minor" => self.sparse.minor = value.to_vec(),
            b"GNU.sparse.name" => self.sparse.name = value.to_vec(),
            b"GNU.sparse.size" => self.sparse.size = value.to_vec(),
            b"GNU.sparse.realsize" => self.sparse.real_size = value.to_vec(),
            b"GNU.sparse.numblocks" => self.sparse.count = value.to_vec(),
            b"GNU.sparse.map" => self.sparse.map = value.to_vec(),
            _ => {
                if let Some(name) = key.strip_prefix(b"SCHILY.xattr.") {
                    self.attributes.push((name.to_vec(), value.to_vec()));
                }
            }
        }
        Some(())
    }
}

/// What stands before the header of an entry and is about it.
#[derive(Debug, Default)]
pub struct Preceding {
    /// The last extended header.
    pub said: Extensions,
    /// A name in an entry of its own, as GNU writes it, or nothing. It wins.
    pub long_name: Vec<u8>,
    /// What a link leads to, the same way.
    pub long_link: Vec<u8>,
}

/// What an extended header says that no field of a header is for.
#[derive(Debug)]
pub struct Rest {
    /// The names and values of extended attributes.
    pub attributes: Vec<(Vec<u8>, Vec<u8>)>,
    /// What the records say of a sparse file.
    pub sparse: Sparse,
}

impl Preceding {
    /// Puts into the header what is said about its fields, and returns the rest.
    pub fn merge(self, header: &mut Header) -> Rest {
        let Self { said, long_name, long_link } = self;
        let or = |long: Vec<u8>, said| Some(long).filter(|long| !long.is_empty()).or(said);
        if let Some(name) = or(long_name, said.name) {
            header.name = name;
        }
        if let Some(link) = or(long_link, said.link) {
            header.link = link;
        }
        header.size = said.size.unwrap_or(header.size);
        header.uid = said.uid.unwrap_or(header.uid);
        header.gid = said.gid.unwrap_or(header.gid);
        header.modified = said.modified.unwrap_or(header.modified);
        header.accessed = said.accessed.or(header.accessed);
        Rest { attributes: said.attributes, sparse: said.sparse }
    }
}

/// A whole number, with or without a sign.
pub(crate) fn decimal(value: &[u8]) -> Option<i64> {
    str::from_utf8(value).ok()?.parse().ok()
}

/// Seconds and, behind a point, a part of one; digits beyond nanoseconds are cut off.
fn time(value: &[u8]) -> Option<Time> {
    let point = value.iter().position(|byte| *byte == b'.').unwrap_or(value.len());
    let (whole, part) = value.split_at_checked(point)?;
    let seconds = decimal(whole)?;
    let digits = part.strip_prefix(b".").unwrap_or_default();
    if !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let nanoseconds =
        digits.iter().chain(std::iter::repeat(&b'0')).take(9).try_fold(0_u32, |value, byte| {
            value.checked_mul(10)?.checked_add(u32::from(byte & 15))
        })?;
    if nanoseconds > 0 && whole.starts_with(b"-") {
        // Before 1970 the part counts backwards too.
        return Some(Time {
            seconds: seconds.checked_sub(1)?,
            nanoseconds: 1_000_000_000_u32.checked_sub(nanoseconds)?,
        });
    }
    Some(Time { seconds, nanoseconds })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_records() {
        // The length counts all of a record, a newline inside its value too.
        let records = "14 path=a/b\nc\n15 uname=a=b\nc\n13 size=1000\n18 linkpath=x y z\n\
            24 SCHILY.xattr.user.a=\n";
        let read = Extensions::parse(records.as_bytes()).unwrap();
        assert_eq!(read.name.as_deref(), Some(&b"a/b\nc"[..]));
        assert_eq!((read.size, read.link.as_deref()), (Some(1000), Some(&b"x y z"[..])));
        assert_eq!(read.attributes, [(b"user.a".to_vec(), Vec::new())]);
        let read = Extensions::parse(b"10 path=a\n8 path=\n10 uid=-2\n").unwrap();
        assert_eq!((read.name, read.uid), (None, Some(-2)));
        let read = Extensions::parse(
            b"23 GNU.sparse.offset=5\n25 GNU.sparse.numbytes=7\n24 GNU.sparse.offset=20\n\
              25 GNU.sparse.numbytes=1\n",
        );
        assert_eq!(read.unwrap().sparse.map, b"5,7,20,1");
    }

    #[test]
    fn reads_times() {
        for (text, seconds, nanoseconds) in [
            ("1", 1, 0),
            ("1.5", 1, 500_000_000),
            ("1.", 1, 0),
            ("1350244992.023960108", 1_350_244_992, 23_960_108),
            ("1.1234567899", 1, 123_456_789),
            ("-1.5", -2, 500_000_000),
            ("-0.5", -1, 500_000_000),
            ("-1", -1, 0),
        ] {
            assert_eq!(time(text.as_bytes()), Some(Time { seconds, nanoseconds }), "{text}");
        }
        for text in ["", ".5", "x", "1.-5", "1.x", "99999999999999999999"] {
            assert_eq!(time(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn refuses_what_is_malformed() {
        for records in [
            &b"x"[..],
            b"11 path=a/b", // no newline
            b"99 path=a/b\n",
            b"3 path=a/b\n",
            b"0 path=a/b\n",
            b"-1 path=a/b\n",
            b"99999999999999999999999 a=b\n",
            b"8 pathab\n",
            b"6 =ab\n",
            b"9 path=\0\n",
            b"11 size=1x\n",
            b"28 size=9223372036854775808\n",
            b"8 a\0=b\n",
            b"25 GNU.sparse.numbytes=7\n",
            b"\0\0\0",
        ] {
            assert!(Extensions::parse(records).is_none(), "{records:?}");
        }
    }
}
