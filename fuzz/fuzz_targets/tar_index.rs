//! Whatever lies in a tar, what is found in it is in it, and under a clean name.
#![no_main]

use std::io;

use libfuzzer_sys::fuzz_target;

// Not public in the crate, and no reason to be.
#[path = "../../crates/transport/src/tar"]
#[allow(dead_code, unreachable_pub)]
mod tar {
    pub mod error;
    mod header;
    mod index;
    mod pax;

    use super::{Bytes, io};

    impl index::ReadAt for Bytes {
        fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
            let rest = usize::try_from(offset).ok().and_then(|offset| self.0.get(offset..));
            let rest = rest.unwrap_or_default();
            let size = rest.len().min(buffer.len());
            buffer[..size].copy_from_slice(&rest[..size]);
            Ok(size)
        }
    }

    pub fn check(bytes: &Bytes) {
        let length = bytes.0.len() as u64;
        let Ok(index) = index::Index::scan(bytes, length) else { return };
        let _ = index.leading_out();
        for (name, member) in index.members() {
            let end = member.offset.checked_add(member.size).expect("no overflow");
            assert!(end <= length, "{name} is beyond the end");
            assert_eq!(index::clean(name.as_bytes()), name.as_bytes());
            if let Ok(found) = index.find(name) {
                let found = found.expect("what has a name is found");
                assert!(index.members().any(|(_, member)| member == found));
            }
        }
    }
}

struct Bytes(Vec<u8>);

fuzz_target!(|data: &[u8]| {
    let mut bytes = data.to_vec();
    // Nobody guesses checksums.
    for block in bytes.as_chunks_mut::<512>().0 {
        if &block[257..262] == b"ustar" {
            block[148..156].fill(b' ');
            let sum: u32 = block.iter().copied().map(u32::from).sum();
            block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        }
    }
    tar::check(&Bytes(bytes));
});
