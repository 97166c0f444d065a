//! What the headers of a tar say of a file, as the field's readers understand them.
//!
//! Who reads `zstd:chunked` compares the table of contents with the headers, and refuses a layer
//! in which they differ. So what is rare or doubtful is not guessed at: such a tar gets no table.

use std::collections::BTreeMap;

use skopeo_image::number::narrow;

/// The size of a header, and what files are filled up to.
pub(super) const BLOCK: usize = 512;

/// The same, as sizes in headers are.
const WIDE_BLOCK: u64 = 512;

/// The longest name or set of pax records that is read, in bytes.
pub(super) const MOST_SPECIAL: u64 = 1 << 20;

const XATTR: &str = "SCHILY.xattr.";

/// One header block.
#[derive(Debug)]
pub(super) enum Header {
    /// Nothing but zeros.
    Zeros,
    /// The next so many bytes say more about the file that follows.
    Special { kind: Special, size: u64 },
    /// A file.
    File(Box<File>),
}

/// What says more about the file that follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Special {
    Pax,
    LongName,
    LongLink,
}

/// What is known of a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct File {
    pub(super) kind: &'static str,
    pub(super) name: String,
    pub(super) link: String,
    pub(super) mode: i64,
    pub(super) size: u64,
    pub(super) uid: i64,
    pub(super) gid: i64,
    /// Seconds and nanoseconds since 1970.
    pub(super) modified: (i64, i32),
    pub(super) accessed: Option<(i64, i32)>,
    pub(super) changed: Option<(i64, i32)>,
    pub(super) device: (i64, i64),
    pub(super) xattrs: BTreeMap<String, Vec<u8>>,
    type_flag: u8,
}

impl File {
    /// How many bytes follow its contents, to fill up their last block.
    pub(super) fn filling(&self) -> usize {
        narrow(self.size.wrapping_neg() % WIDE_BLOCK)
    }
}

/// Reads a header block; `None` if it is none, or one that is not understood for certain.
pub(super) fn parse(block: &[u8; BLOCK]) -> Option<Header> {
    if block.iter().all(|byte| *byte == 0) {
        return Some(Header::Zeros);
    }
    if !has_right_sum(block) {
        return None;
    }
    let size = u64::try_from(number(&block[124..136])?).ok()?;
    let type_flag = block[156];
    let kind = match type_flag {
        b'x' => Some(Special::Pax),
        b'L' => Some(Special::LongName),
        b'K' => Some(Special::LongLink),
        _ => None,
    };
    if let Some(kind) = kind {
        return (size <= MOST_SPECIAL).then_some(Header::Special { kind, size });
    }
    let mut file = File {
        name: text(&block[..100])?.to_owned(),
        link: text(&block[157..257])?.to_owned(),
        mode: number(&block[100..108])?,
        size,
        uid: number(&block[108..116])?,
        gid: number(&block[116..124])?,
        modified: (number(&block[136..148])?, 0),
        type_flag,
        ..File::default()
    };
    let magic = &block[257..265];
    if magic.starts_with(b"ustar\0") {
        if block[508..] == *b"tar\0" {
            return None; // star's own format
        }
        let prefix = text(&block[345..500])?;
        if !prefix.is_empty() {
            file.name = format!("{prefix}/{}", file.name);
        }
    } else if magic == b"ustar  \0" {
        if block[345] != 0 {
            file.accessed = Some((number(&block[345..357])?, 0));
        }
        if block[357] != 0 {
            file.changed = Some((number(&block[357..369])?, 0));
        }
    }
    if magic.starts_with(b"ustar\0") || magic == b"ustar  \0" {
        file.device = (number(&block[329..337])?, number(&block[337..345])?);
    }
    Some(Header::File(Box::new(file)))
}

/// What stood before a file's header.
#[derive(Debug, Default)]
pub(super) struct More {
    pax: BTreeMap<String, Vec<u8>>,
    name: Option<String>,
    link: Option<String>,
}

impl More {
    /// Takes what one of these says; `None` if it is not understood.
    pub(super) fn add(&mut self, kind: Special, bytes: &[u8]) -> Option<()> {
        match kind {
            Special::Pax => self.pax = records(bytes)?,
            Special::LongName => self.name = Some(text(bytes)?.to_owned()),
            Special::LongLink => self.link = Some(text(bytes)?.to_owned()),
        }
        Some(())
    }

    /// The file with all that is said of it; `None` if that is not understood.
    pub(super) fn apply(self, mut file: File) -> Option<File> {
        for (key, value) in self.pax {
            if let Some(name) = key.strip_prefix(XATTR) {
                file.xattrs.insert(name.to_owned(), value);
                continue;
            }
            if key.starts_with("GNU.sparse.") {
                return None;
            }
            if value.is_empty() {
                continue;
            }
            let value = std::str::from_utf8(&value);
            match &*key {
                "path" => file.name = value.ok()?.to_owned(),
                "linkpath" => file.link = value.ok()?.to_owned(),
                "uid" => file.uid = value.ok()?.parse().ok()?,
                "gid" => file.gid = value.ok()?.parse().ok()?,
                "size" => file.size = u64::try_from(value.ok()?.parse::<i64>().ok()?).ok()?,
                "mtime" => file.modified = time(value.ok()?)?,
                "atime" => file.accessed = Some(time(value.ok()?)?),
                "ctime" => file.changed = Some(time(value.ok()?)?),
                _ => {}
            }
        }
        if let Some(name) = self.name.filter(|name| !name.is_empty()) {
            file.name = name;
        }
        if let Some(link) = self.link.filter(|link| !link.is_empty()) {
            file.link = link;
        }
        file.kind = match file.type_flag {
            0 if file.name.ends_with('/') => "dir",
            0 | b'0' => "reg",
            b'1' => "hardlink",
            b'2' => "symlink",
            b'3' => "char",
            b'4' => "block",
            b'5' => "dir",
            b'6' => "fifo",
            _ => return None,
        };
        // Some readers take the size for that of bytes which follow, others do not.
        (file.kind == "reg" || file.size == 0).then_some(file)
    }
}

/// The sum of all bytes, with the field of the sum itself as spaces; some took the bytes as signed.
fn has_right_sum(block: &[u8; BLOCK]) -> bool {
    let bytes = || {
        let field = 148..156;
        block
            .iter()
            .enumerate()
            .map(move |(at, byte)| if field.contains(&at) { b' ' } else { *byte })
    };
    let unsigned: i64 = bytes().map(i64::from).sum();
    let signed: i64 = bytes().map(|byte| i64::from(byte.cast_signed())).sum();
    octal(&block[148..156]).is_some_and(|sum| sum == unsigned || sum == signed)
}

/// Up to the first NUL.
fn text(field: &[u8]) -> Option<&str> {
    let end = field.iter().position(|byte| *byte == 0).unwrap_or(field.len());
    std::str::from_utf8(field.get(..end)?).ok()
}

/// Octal digits, or, if the first bit is set, the bits themselves.
fn number(field: &[u8]) -> Option<i64> {
    let (first, rest) = field.split_first()?;
    if first & 0x80 == 0 {
        return octal(field);
    }
    // The bit after the first is the sign.
    let mut value = i64::from((first << 1).cast_signed() >> 1);
    for byte in rest {
        value = value.checked_mul(256)?.checked_add(i64::from(*byte))?;
    }
    Some(value)
}

fn octal(field: &[u8]) -> Option<i64> {
    let is_filler = |byte: &u8| *byte == b' ' || *byte == 0;
    let Some(start) = field.iter().position(|byte| !is_filler(byte)) else { return Some(0) };
    let last = field.iter().rposition(|byte| !is_filler(byte))?;
    let digits = text(field.get(start..=last)?)?;
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    i64::from_str_radix(digits, 8).ok()
}

/// The records of a pax header: `LENGTH KEY=VALUE\n`, the length that of the whole record.
fn records(mut bytes: &[u8]) -> Option<BTreeMap<String, Vec<u8>>> {
    let mut records = BTreeMap::new();
    while !bytes.is_empty() {
        let space = bytes.iter().position(|byte| *byte == b' ')?;
        let digits = std::str::from_utf8(bytes.get(..space)?).ok()?;
        let len: usize = digits.parse().ok()?;
        let (record, rest) = bytes.split_at_checked(len)?;
        bytes = rest;
        let record = record.get(space..)?.strip_prefix(b" ")?.strip_suffix(b"\n")?;
        let equals = record.iter().position(|byte| *byte == b'=')?;
        let (key, value) = record.split_at_checked(equals)?;
        let key = std::str::from_utf8(key).ok()?;
        let value = value.strip_prefix(b"=")?;
        let of_text = ["path", "linkpath", "uname", "gname"].contains(&key);
        if key.is_empty() || if of_text { value.contains(&0) } else { key.contains('\0') } {
            return None;
        }
        records.insert(key.to_owned(), value.to_vec());
    }
    Some(records)
}

/// Seconds with decimals; beyond nanoseconds they are cut off.
fn time(value: &str) -> Option<(i64, i32)> {
    let (seconds, decimals) = value.split_once('.').unwrap_or((value, ""));
    let whole: i64 = seconds.parse().ok()?;
    if !decimals.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let nanos = decimals.bytes().chain(std::iter::repeat(b'0')).take(9);
    // Nine digits are less than 2^31.
    let nanos = nanos
        .fold(0_i32, |nanos, digit| nanos.wrapping_mul(10).wrapping_add(i32::from(digit & 15)));
    Some((whole, if seconds.starts_with('-') { nanos.wrapping_neg() } else { nanos }))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn block(kind: u8, edit: impl FnOnce(&mut tar::Header)) -> [u8; BLOCK] {
        let mut header = tar::Header::new_ustar();
        header.set_path("a/b").unwrap();
        header.set_mode(0o644);
        // Not by its type, which knows only one of the two that regular files have.
        header.as_old_mut().linkflag = [kind];
        header.set_size(0);
        edit(&mut header);
        header.set_cksum();
        *header.as_bytes()
    }

    fn file(block: &[u8; BLOCK], pax: &[u8]) -> Option<File> {
        let Some(Header::File(file)) = parse(block) else { return None };
        let mut more = More::default();
        more.add(Special::Pax, pax)?;
        more.apply(*file)
    }

    #[test]
    fn reads_what_headers_say() {
        let plain = block(b'0', |header| {
            header.set_uid(1_000_000_000); // does not fit in octal
            header.set_mtime(0o7777);
            header.set_size(77);
        });
        let read = file(&plain, b"").unwrap();
        assert_eq!((read.kind, &*read.name, read.mode), ("reg", "a/b", 0o644));
        assert_eq!((read.uid, read.gid, read.size), (1_000_000_000, 0, 77));
        assert_eq!((read.modified, read.accessed), ((0o7777, 0), None));
        let pax = b"17 path=new/name\n19 mtime=1234567.5\n23 atime=-1.0000000019\n\
                    26 SCHILY.xattr.user.a=b\0\n11 size=99\n";
        let read = file(&plain, pax);
        let read = read.unwrap();
        assert_eq!((&*read.name, read.size), ("new/name", 99));
        assert_eq!(read.modified, (1_234_567, 500_000_000));
        assert_eq!(read.accessed, Some((-1, -1)));
        assert_eq!(read.xattrs["user.a"], b"b\0");
        for (kind, expected) in [
            (b'1', Some("hardlink")),
            (b'2', Some("symlink")),
            (b'3', Some("char")),
            (b'4', Some("block")),
            (b'5', Some("dir")),
            (b'6', Some("fifo")),
            (0, Some("reg")),
            (b'7', None), // contiguous: nobody makes these
            (b'S', None), // sparse
            (b'g', None), // for all files that follow
            (b'V', None),
        ] {
            let read = file(&block(kind, |_| {}), b"");
            assert_eq!(read.map(|file| file.kind), expected, "{}", kind as char);
        }
        let folder = block(0, |header| header.as_old_mut().name[..5].copy_from_slice(b"old/\0"));
        assert_eq!(file(&folder, b"").unwrap().kind, "dir");
    }

    #[test]
    fn refuses_what_is_not_understood() {
        let good = block(b'0', |_| {});
        let mut spoiled = good;
        spoiled[3] ^= 1;
        assert!(parse(&spoiled).is_none());
        assert!(parse(&[1; BLOCK]).is_none());
        assert!(matches!(parse(&[0; BLOCK]), Some(Header::Zeros)));
        let large = block(b'x', |header| header.set_size(MOST_SPECIAL + 1));
        assert!(parse(&large).is_none());
        let link = block(b'1', |header| header.set_size(5));
        assert!(file(&link, b"").is_none());
        let name = block(b'0', |header| header.as_old_mut().name[0] = 0xff);
        assert!(parse(&name).is_none());
        for pax in [
            &b"x"[..],
            b"5 a=b\n",
            b"99 a=b\n",
            b"6 a=b\n7 c=d\n",
            b"6 a=bc",
            b"4 ab\n",
            b"5 =b\n",
            b"9 path=\0\n",
            b"13 mtime=1.x\n",
            b"9 uid=1 \n",
            b"11 size=-5\n",
            b"22 GNU.sparse.major=1\n",
            b"18446744073709551615 a=b\n",
        ] {
            assert!(file(&good, pax).is_none(), "{pax:?}");
        }
        assert!(file(&good, b"6 a=b\n8 path=\n").is_some());
    }

    proptest! {
        #[test]
        fn never_panics(bytes in prop::collection::vec(any::<u8>(), BLOCK), pax: Vec<u8>) {
            let mut block: [u8; BLOCK] = bytes.try_into().unwrap();
            let sum: u32 = block.iter().enumerate()
                .map(|(at, byte)| u32::from(if (148..156).contains(&at) { b' ' } else { *byte }))
                .sum();
            block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
            let _ = file(&block, &pax);
        }
    }
}
