//! One piece of hot work on bytes that are always the same, for `cargo xtask check --bench`, which
//! counts the instructions that it takes.

use std::env::args;

use bytes::Bytes;
use futures_util::StreamExt;
use skopeo_blob::{Blob, BoxError, Encoder, Recode, file, recode};
use skopeo_image::{Compression, Digest};

/// How much there is to do, in bytes.
const SIZE: usize = 8 << 20;

fn main() -> Result<(), BoxError> {
    let work = args().nth(1).ok_or("which work?")?;
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    runtime.block_on(async {
        let plain = Bytes::from(sample());
        match &*work {
            // What all others do before.
            "nothing" => Ok(()),
            "hash" => {
                let _ = Digest::sha256(&plain);
                Ok(())
            }
            "gzip" => drain(packed(plain, None)).await,
            "gzip-1" => drain(packed(plain, Some(1))).await,
            "gzip-6" => drain(packed(plain, Some(6))).await,
            // Less what "gzip" takes.
            "inflate" => {
                let from = Compression::Gzip;
                let mut whole = Vec::new();
                let mut stream = packed(plain, None).into_stream();
                while let Some(piece) = stream.next().await {
                    whole.extend_from_slice(&piece?);
                }
                let blob = Blob::of_bytes(whole.into());
                drain(recode(blob, Recode::Decompress { from })).await
            }
            "write" => {
                file::write(Blob::of_bytes(plain), std::io::sink()).await?;
                Ok(())
            }
            other => Err(format!("there is no work {other}").into()),
        }
    })
}

fn packed(plain: Bytes, level: Option<i32>) -> Blob {
    recode(Blob::of_bytes(plain), Recode::Compress { to: Encoder::Gzip { level } })
}

async fn drain(blob: Blob) -> Result<(), BoxError> {
    let mut stream = blob.into_stream();
    while let Some(piece) = stream.next().await {
        piece?;
    }
    Ok(())
}

/// Words of a programmer's day and bytes of his programs, in changing order.
fn sample() -> Vec<u8> {
    const WORDS: [&[u8]; 8] = [
        b"usr/share/doc/",
        b"package",
        b"\x48\x89\xe5\x41",
        b"\0\0\0\0\0\0\0",
        b"changelog.gz\n",
        b"\xff\x15\x2a\x8b",
        b"the quick ",
        b"return ",
    ];
    let mut state = 1_u32;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state
    };
    let mut bytes = Vec::with_capacity(SIZE + 16);
    while bytes.len() < SIZE {
        let number = next();
        let word = WORDS.iter().cycle().nth((number % 8) as usize);
        bytes.extend_from_slice(word.copied().unwrap_or_default());
        if number & 0x700 == 0 {
            bytes.extend_from_slice(&number.to_le_bytes());
        }
    }
    bytes.truncate(SIZE);
    bytes
}
