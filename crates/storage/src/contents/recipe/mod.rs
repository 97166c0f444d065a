//! The recipe of a tar ("tar-split"): gzip of JSON objects, one a line. A *segment* is bytes of the
//! tar; a *file* says that the contents of the file of that name come next.
//!
//! `{"type":2,"payload":"BASE64","position":0}` is a segment,
//! `{"type":1,"name":"a","size":5,"payload":"BASE64","position":1}` a file: its payload is the CRC
//! of the contents, and null where there are none. Each entry of a tar has such an object.

mod read;
mod write;

pub(super) use read::{Object, Objects};
pub(super) use write::{Met, Recipe};

/// CRC-64 as Go's `hash/crc64` has it for ISO 3309.
static CRC: crc::Crc<u64, crc::Table<16>> =
    crc::Crc::<u64, crc::Table<16>>::new(&crc::CRC_64_GO_ISO);

/// The sum of a file's contents.
pub(super) struct Crc(crc::Digest<'static, u64, crc::Table<16>>);

impl Crc {
    pub(super) fn new() -> Self {
        Self(CRC.digest())
    }

    pub(super) fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    pub(super) fn finish(self) -> [u8; 8] {
        self.0.finalize().to_be_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_are_those_of_go() {
        // From Go's hash/crc64/crc64_test.go.
        for (text, sum) in [
            ("", 0),
            ("a", 0x3420_0000_0000_0000),
            ("ab", 0x36c4_2000_0000_0000),
            ("abc", 0x3776_c420_0000_0000),
        ] {
            let mut crc = Crc::new();
            crc.update(text.as_bytes());
            assert_eq!(u64::from_be_bytes(crc.finish()), sum, "{text}");
        }
    }
}
