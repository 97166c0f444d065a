//! Headers of a tar's members, as Go's `archive/tar` writes them: ustar (POSIX 1003.1-1988), with a
//! pax header before it (POSIX 1003.1-2001) where a name is too long, and a size beyond 8 GiB in
//! base 256 as GNU has it.
//!
//! A tar is the same whenever and by whomever it is made: no time, no owner.

use skopeo_image::number::wide;

use crate::header;

/// The size of a header, and what all that follows one is filled up to, in bytes.
pub(crate) const BLOCK: u64 = 512;

const NAME: usize = 100;
/// The first size that eleven octal digits cannot say.
const BEYOND_OCTAL: u64 = 1 << 33;

/// What a member is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum UstarKind<'a> {
    /// A file of so many bytes.
    File(u64),
    /// A folder; its name ends in a slash.
    Folder,
    /// A link to that path, from the member's own folder.
    Link(&'a str),
}

/// What precedes the bytes of a member: one block, or more where a name is too long for it. `mode`
/// are the permissions of a file.
pub(crate) fn encode(name: &str, kind: UstarKind<'_>, mode: u64) -> Vec<u8> {
    let target = if let UstarKind::Link(target) = kind { target } else { "" };
    let mut records = Vec::new();
    for (key, value) in [("linkpath", target), ("path", name)] {
        if value.len() > NAME || !value.is_ascii() {
            records.extend(record(key, value.as_bytes()));
        }
    }
    let mut out = Vec::with_capacity(header::BLOCK);
    if !records.is_empty() {
        let file = name.rsplit('/').next().unwrap_or(name);
        let size = wide(records.len());
        out.extend(block(&format!("PaxHeaders.0/{file}"), b'x', 0, size, ""));
        out.extend(&records);
        out.resize(out.len().next_multiple_of(header::BLOCK), 0);
    }
    out.extend(match kind {
        UstarKind::File(size) => block(name, b'0', mode, size, ""),
        UstarKind::Folder => block(name, b'5', 0o755, 0, ""),
        UstarKind::Link(target) => block(name, b'2', 0, 0, target),
    });
    out
}

/// How far a member of so many bytes reaches, its header not counted; none if that is no number.
pub(crate) fn padded(size: u64) -> Option<u64> {
    size.checked_next_multiple_of(BLOCK)
}

/// One record of a pax header, which begins with its own length.
pub(crate) fn record(key: &str, value: &[u8]) -> Vec<u8> {
    let rest = key.len().saturating_add(value.len()).saturating_add(3);
    let with_digits_of = |len: usize| rest.saturating_add(len.to_string().len());
    let mut len = with_digits_of(0);
    while with_digits_of(len) != len {
        len = with_digits_of(len);
    }
    [format!("{len} {key}=").as_bytes(), value, b"\n"].concat()
}

fn block(name: &str, kind: u8, mode: u64, size: u64, target: &str) -> [u8; header::BLOCK] {
    let mut block = [0; header::BLOCK];
    text(&mut block[..NAME], ascii(name));
    octal(&mut block[100..108], mode);
    octal(&mut block[108..116], 0);
    octal(&mut block[116..124], 0);
    if size < BEYOND_OCTAL {
        octal(&mut block[124..136], size);
    } else {
        block[124] = 0x80;
        block[128..136].copy_from_slice(&size.to_be_bytes());
    }
    octal(&mut block[136..148], 0);
    block[156] = kind;
    text(&mut block[157..257], ascii(target));
    block[257..265].copy_from_slice(b"ustar\x0000");
    octal(&mut block[329..337], 0);
    octal(&mut block[337..345], 0);
    seal(&mut block);
    block
}

/// Writes the checksum of a header into it. The sum is made with blanks in its own place.
pub(crate) fn seal(block: &mut [u8; header::BLOCK]) {
    block[148..156].fill(b' ');
    let sum: u64 = block.iter().map(|byte| u64::from(*byte)).sum();
    octal(&mut block[148..155], sum);
}

/// What is ASCII of a text.
fn ascii(text: &str) -> impl Iterator<Item = u8> {
    text.bytes().filter(u8::is_ascii)
}

/// Fills a field, as far as it goes, with bytes.
pub(crate) fn text(field: &mut [u8], bytes: impl Iterator<Item = u8>) {
    for (to, from) in field.iter_mut().zip(bytes) {
        *to = from;
    }
}

/// Fills a field but for its last byte, which stays 0, with octal digits.
pub(crate) fn octal(field: &mut [u8], mut value: u64) {
    let Some((end, digits)) = field.split_last_mut() else { return };
    *end = 0;
    for digit in digits.iter_mut().rev() {
        *digit = b'0' | u8::try_from(value & 7).unwrap_or_default();
        value >>= 3;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Archive, Scratch};

    #[test]
    fn writes_the_fields_where_they_belong() {
        let header = encode("a/b", UstarKind::File(0o1234), 0o444);
        assert_eq!(header.len(), 512);
        assert_eq!(&header[..4], b"a/b\0");
        assert_eq!(&header[100..108], b"0000444\0");
        assert_eq!(&header[124..136], b"00000001234\0");
        assert_eq!(&header[136..148], b"00000000000\0");
        assert_eq!(header[156], b'0');
        assert_eq!(&header[257..265], b"ustar\x0000");
        let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
        let own: u32 = header[148..156].iter().map(|byte| u32::from(*byte)).sum();
        let expected = format!("{:06o}\0 ", sum - own + 8 * u32::from(b' '));
        assert_eq!(&header[148..156], expected.as_bytes());

        let link = encode("a/layer.tar", UstarKind::Link("../b.tar"), 0o444);
        assert_eq!((&link[157..166], link[156]), (&b"../b.tar\0"[..], b'2'));
        assert_eq!(&link[100..108], b"0000000\0");
    }

    #[test]
    fn says_what_is_too_large_for_the_fields() {
        let huge = encode("a", UstarKind::File(BEYOND_OCTAL), 0o444);
        assert_eq!(huge.len(), 512);
        assert_eq!(&huge[124..136], b"\x80\0\0\0\0\0\0\x02\0\0\0\0");

        let name = format!("blobs/sha512/{}", "a".repeat(128));
        let long = encode(&name, UstarKind::File(7), 0o444);
        assert_eq!(long.len(), 3 * 512);
        assert_eq!(long[156], b'x');
        let record = format!("151 path={name}\n");
        assert_eq!(record.len(), 151);
        assert_eq!(&long[512..512 + 151], record.as_bytes());
        assert_eq!(&long[1024..1124], &name.as_bytes()[..100]);
    }

    #[test]
    fn counts_the_digits_of_a_records_own_length() {
        for len in 1..1200 {
            let record = record("path", "x".repeat(len).as_bytes());
            let said = record.split(|byte| *byte == b' ').next().unwrap();
            assert_eq!(String::from_utf8_lossy(said), record.len().to_string());
        }
    }

    #[test]
    fn is_read_back() {
        let name = "n".repeat(300);
        let mut bytes = encode(&name, UstarKind::File(3), 0o444);
        bytes.extend(b"abc");
        bytes.resize(bytes.len().next_multiple_of(512), 0);
        bytes.extend(encode("link", UstarKind::Link(&name), 0o444));
        bytes.extend([0; 1024]);
        let file = tempfile::NamedTempFile::new().unwrap();
        fs_err::write(file.path(), &bytes).unwrap();
        let archive = Archive::open(file.path(), &Scratch::at(file.path())).unwrap();
        let members: Vec<_> = archive.members().collect();
        assert_eq!(members.len(), 1);
        assert_eq!((members[0].0, members[0].1.size), (name.as_str(), 3));
        assert_eq!(archive.find("link").unwrap(), Some(members[0].1));
    }
}
