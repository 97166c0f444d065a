//! The joiner of deflate streams makes of one another that says the same and has no end, or refuses
//! it.
#![no_main]

use std::io::{ErrorKind, Read};

use flate2::read::DeflateDecoder;
use libfuzzer_sys::fuzz_target;

// Not public in the crate, and no reason to be.
#[path = "../../crates/blob/src/codec/join.rs"]
#[allow(dead_code, unreachable_pub)]
mod join;

/// As long as what is joined: one block of input, at most.
const LONGEST: u64 = 1 << 20;

fn inflate(deflated: &[u8]) -> Option<Vec<u8>> {
    let mut plain = Vec::new();
    let read = DeflateDecoder::new(deflated).take(LONGEST).read_to_end(&mut plain);
    match read {
        Ok(_) => Some(plain),
        Err(error) if error.kind() == ErrorKind::OutOfMemory => panic!("{error}"),
        Err(_) => None,
    }
}

fuzz_target!(|data: &[u8]| {
    let mut bytes = data.to_vec();
    bytes.resize(data.len() + join::Joiner::ROOM, 0xaa);
    let mut joiner = join::Joiner::default();
    let Some(len) = joiner.open_end(&mut bytes, data.len()) else { return };
    assert!(len <= bytes.len());
    // The joiner does not look at what the codes mean: only what libdeflate made is promised.
    let Some(plain) = inflate(data) else { return };
    let joined = [&bytes[..len], &[0x03, 0x00]].concat();
    assert_eq!(inflate(&joined), Some(plain));
});
