//! As much DER as keys, certificates and PKCS#7 envelopes need: definite lengths, tags of one byte.
//!
//! Go's PKCS#7 writes a SEQUENCE with the tag of a primitive, and an OCTET STRING in pieces inside
//! `[0]`: strict DER readers refuse both, so this one only walks.

pub(super) const INTEGER: u8 = 0x02;
pub(super) const BIT_STRING: u8 = 0x03;
pub(super) const OCTET_STRING: u8 = 0x04;
pub(super) const OID: u8 = 0x06;
pub(super) const SEQUENCE: u8 = 0x30;
pub(super) const SET: u8 = 0x31;
/// `[0]`, constructed.
pub(super) const CONTEXT_0: u8 = 0xa0;
/// `[0]`, primitive.
pub(super) const CONTEXT_0_PRIMITIVE: u8 = 0x80;

pub(super) const NULL: &[u8] = &[0x05, 0x00];

/// One element.
#[derive(Clone, Copy, Debug)]
pub(super) struct Element<'a> {
    pub(super) tag: u8,
    pub(super) value: &'a [u8],
    /// With its tag and length.
    pub(super) whole: &'a [u8],
}

impl<'a> Element<'a> {
    pub(super) fn reader(self) -> Reader<'a> {
        Reader(self.value)
    }
}

/// Elements one after the other.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reader<'a>(pub(super) &'a [u8]);

impl<'a> Reader<'a> {
    /// The next element; `None` at the end, or where there is none.
    pub(super) fn next(&mut self) -> Option<Element<'a>> {
        let input = self.0;
        let (&tag, rest) = input.split_first()?;
        if tag & 0x1f == 0x1f {
            return None;
        }
        let (&first, rest) = rest.split_first()?;
        let (length, rest) = match first {
            0..=0x7f => (usize::from(first), rest),
            0x81..=0x84 => {
                let (bytes, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
                let length = bytes.iter().fold(0usize, |sum, &byte| sum << 8 | usize::from(byte));
                (length, rest)
            }
            _ => return None,
        };
        let (value, rest) = rest.split_at_checked(length)?;
        self.0 = rest;
        let whole = input.get(..input.len().checked_sub(rest.len())?)?;
        Some(Element { tag, value, whole })
    }

    /// The next element, which must have this tag.
    pub(super) fn expect(&mut self, tag: u8) -> Option<Element<'a>> {
        self.next().filter(|element| element.tag == tag)
    }

    /// The next element if it has this tag.
    pub(super) fn optional(&mut self, tag: u8) -> Option<Element<'a>> {
        let mut ahead = *self;
        let element = ahead.expect(tag)?;
        *self = ahead;
        Some(element)
    }

    /// What the next INTEGER says if it is small and not negative.
    pub(super) fn small(&mut self) -> Option<u32> {
        let value = self.expect(INTEGER)?.value;
        let value = value.strip_prefix(&[0]).unwrap_or(value);
        (value.len() <= 4 && value.first().is_none_or(|first| *first < 0x80 || value.len() < 4))
            .then(|| value.iter().fold(0, |sum, &byte| sum << 8 | u32::from(byte)))
    }
}

/// An element of these parts.
pub(super) fn element(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    let mut out = Vec::with_capacity(length.saturating_add(6));
    out.push(tag);
    match u8::try_from(length) {
        Ok(short @ 0..0x80) => out.push(short),
        _ => {
            let bytes = length.to_be_bytes();
            let bytes = without_zeros(&bytes);
            out.push(0x80 | u8::try_from(bytes.len()).unwrap_or_default());
            out.extend_from_slice(bytes);
        }
    }
    for part in parts {
        out.extend_from_slice(part);
    }
    out
}

/// Big-endian bytes without the zeros that they begin with.
fn without_zeros(bytes: &[u8]) -> &[u8] {
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
    bytes.get(zeros..).unwrap_or_default()
}

/// An INTEGER of these big-endian bytes, which are never negative.
pub(super) fn unsigned(bytes: &[u8]) -> Vec<u8> {
    let bytes = without_zeros(bytes);
    let sign: &[u8] = if bytes.first().is_none_or(|first| *first >= 0x80) { &[0] } else { &[] };
    element(INTEGER, &[sign, bytes])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_writes() {
        for length in [0, 1, 127, 128, 255, 256, 70_000] {
            let value = vec![7; length];
            let bytes = element(OCTET_STRING, &[&value, b"!"]);
            let mut reader = Reader(&bytes);
            let read = reader.expect(OCTET_STRING).unwrap();
            assert_eq!(read.value.len(), length + 1);
            assert_eq!(read.whole, bytes);
            assert!(reader.next().is_none());
        }
        assert_eq!(unsigned(&[0, 0, 0x80]), [INTEGER, 2, 0, 0x80]);
        assert_eq!(unsigned(&[0]), [INTEGER, 1, 0]);
        assert_eq!(Reader(&unsigned(&[1, 0])).small(), Some(256));
    }

    #[test]
    fn refuses_what_does_not_fit() {
        for bytes in [
            &[][..],
            &[0x30],
            &[0x30, 0x01],
            &[0x30, 0x80, 0, 0],               // no length
            &[0x1f, 0x01, 0],                  // a tag of several bytes
            &[0x04, 0x84, 255, 255, 255, 255], // longer than all there is
            &[0x04, 0x85, 0, 0, 0, 0, 1, 0],
        ] {
            assert!(Reader(bytes).next().is_none(), "{bytes:x?}");
        }
        assert!(Reader(&[INTEGER, 5, 1, 2, 3, 4, 5]).small().is_none());
    }
}
