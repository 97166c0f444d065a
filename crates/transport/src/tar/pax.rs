//! The records of a pax extended header (POSIX.1-2024, `pax`, "pax Extended Header").

/// What extensions say about the member behind them.
#[derive(Debug, Default)]
pub(super) struct Extensions {
    pub(super) name: Option<Vec<u8>>,
    pub(super) link: Option<Vec<u8>>,
    pub(super) size: Option<u64>,
    /// Whether the bytes of the member are not its content but pieces of it and a map.
    pub(super) sparse: bool,
    /// From members of their own, ended by a NUL; they win.
    pub(super) gnu_name: Option<Vec<u8>>,
    pub(super) gnu_link: Option<Vec<u8>>,
}

impl Extensions {
    /// Adds the records of a header: each its own length in decimal digits, a space, a key, `=`, a
    /// value and a newline. `None` if it is malformed.
    pub(super) fn add(&mut self, mut records: &[u8]) -> Option<()> {
        let mut real_name = None;
        while !records.is_empty() {
            let space = records.iter().take(20).position(|byte| *byte == b' ')?;
            let (digits, _) = records.split_at_checked(space)?;
            let length: usize = str::from_utf8(digits).ok()?.parse().ok()?;
            let (record, rest) = records.split_at_checked(length)?;
            records = rest;
            let record = record.get(space..)?.strip_prefix(b" ")?.strip_suffix(b"\n")?;
            let equals = record.iter().position(|byte| *byte == b'=')?;
            let (key, value) = record.split_at_checked(equals)?;
            let value = value.strip_prefix(b"=")?;
            match key {
                b"path" | b"linkpath" | b"GNU.sparse.name" if value.contains(&0) => return None,
                // An empty value takes back what was said before.
                b"path" => self.name = (!value.is_empty()).then(|| value.to_vec()),
                b"linkpath" => self.link = (!value.is_empty()).then(|| value.to_vec()),
                b"size" if value.is_empty() => self.size = None,
                b"size" => self.size = Some(decimal(value)?),
                b"GNU.sparse.name" => real_name = Some(value.to_vec()),
                _ => {}
            }
            self.sparse |= key.starts_with(b"GNU.sparse.");
        }
        self.name = real_name.or_else(|| self.name.take());
        Some(())
    }
}

/// A length that a file can have.
fn decimal(value: &[u8]) -> Option<u64> {
    let is_number = value.iter().all(u8::is_ascii_digit);
    let value: i64 = is_number.then(|| str::from_utf8(value).ok()?.parse().ok())??;
    u64::try_from(value).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_records() {
        let mut extensions = Extensions::default();
        // The length counts all of a record, a newline inside its value too.
        let records = "14 path=a/b\nc\n15 uname=a=b\nc\n13 size=1000\n18 linkpath=x y z\n";
        extensions.add(records.as_bytes()).unwrap();
        assert_eq!(extensions.name.as_deref(), Some(&b"a/b\nc"[..]));
        assert_eq!((extensions.size, extensions.sparse), (Some(1000), false));
        extensions.add(b"8 path=\n8 size=\n").unwrap();
        assert_eq!((extensions.name, extensions.size), (None, None));

        let mut sparse = Extensions::default();
        sparse.add(b"22 GNU.sparse.major=1\n28 GNU.sparse.name=dir/file\n14 path=other\n").unwrap();
        assert!(sparse.sparse);
        assert_eq!(sparse.name.as_deref(), Some(&b"dir/file"[..]));
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
            b"9 path=\0\n",
            b"10 size=-1\n",
            b"10 size=1x\n",
            b"28 size=9223372036854775808\n",
            b"\0\0\0",
        ] {
            assert!(Extensions::default().add(records).is_none(), "{records:?}");
        }
    }
}
