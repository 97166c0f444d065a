//! Bytes in motion: verifying, sniffing, recoding and counting streams.
//!
//! Knows nothing of manifests or transports. There is one way from foreign bytes to bytes that may
//! be kept: [`Unverified::expect`]. What another program verifies for itself may be handed on to it
//! by [`Unverified::into_unverified_stream`].
//!
//! - `verify`: digest and size, judged at the end
//! - `sniff`: compression from the first bytes
//! - `codec`: decoding and encoding, on blocking threads
//! - `diff_id`: the digest of what is inside, on the way past
//! - `meter`: counting for progress
//! - `split`: one blob for several readers
//! - `through`: a blob for who reads with blocking calls
//! - `unpacked`: how much may come out of what is packed
//! - `rate`: so many bytes in a second
//! - `file`: from and to files, each by one blocking thread
//! - `file_error`: what the system said about a file, for users
//! - `pipe`: what these threads share: bounded channels that a stream is fed into
//!
//! The network's thread only hands pieces on. Hashing, decoding, encoding and writing happen on
//! tokio's blocking threads; a bounded channel before each holds the memory of one blob to
//! less than 1 MiB, whatever its size. Everything here must be polled inside a tokio runtime.
//!
//! # Example
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use bytes::Bytes;
//! use futures_util::stream::{self, StreamExt, TryStreamExt};
//! use skopeo_blob::Unverified;
//! use skopeo_image::Digest;
//!
//! let pieces = stream::iter([Ok(Bytes::from("lay")), Ok(Bytes::from("er"))]).boxed();
//! let blob = Unverified::new(pieces, None).expect(&Digest::sha256(b"layer"), Some(5));
//! let pieces: Vec<Bytes> = blob.into_stream().try_collect().await?;
//! assert_eq!(pieces.concat(), b"layer");
//!
//! let other = stream::iter([Ok(Bytes::from("other"))]).boxed();
//! let blob = Unverified::new(other, None).expect(&Digest::sha256(b"layer"), Some(5));
//! assert!(blob.into_stream().try_collect::<Vec<Bytes>>().await.is_err());
//! # Ok(())
//! # }
//! ```

// What others wrote must not end the program.
#![cfg_attr(
    not(test),
    warn(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::as_conversions)
)]

mod codec;
#[cfg_attr(not(feature = "encryption"), path = "crypt/absent.rs")]
pub mod crypt;
mod diff_id;
mod error;
pub mod file;
mod file_error;
#[doc(hidden)]
pub mod fuzzing;
mod meter;
mod pipe;
mod rate;
mod sizes;
mod sniff;
mod split;
mod through;
mod unpacked;
mod verify;
mod write_back;

use std::fmt;

use bytes::Bytes;
use futures_util::stream::{self, BoxStream, StreamExt};
use skopeo_image::Digest;
use skopeo_image::number::wide;

pub use codec::{Annotations, Encoder, Recode, recode, recode_annotated, unpack, with_annotations};
pub use diff_id::{DiffId, diff_id};
pub use error::{BoxError, StreamError, WriteError};
pub use file_error::{FileError, in_gos_words};
pub use meter::meter;
pub use rate::{Rate, throttle};
pub use sniff::{sniff, sniff_bytes};
pub use split::{Pump, split};
pub use through::{ReadError, read_through};
pub use unpacked::{MaxUnpacked, TooMuch};
pub use write_back::WriteBack;

use verify::Check;

/// A stream of pieces, 64 KiB to 1 MiB each where we make them.
pub type ByteStream = BoxStream<'static, Result<Bytes, StreamError>>;

/// Bytes from outside that nobody has checked.
pub struct Unverified {
    stream: ByteStream,
    size: Option<u64>,
    kept: u64,
}

impl Unverified {
    /// Returns bytes as a source gives them, and their length where the source says one.
    #[must_use]
    pub fn new(stream: ByteStream, size: Option<u64>) -> Self {
        Self { stream, size, kept: 0 }
    }

    /// Returns the same behind its first `size` bytes, which whoever writes the blob has kept.
    #[must_use]
    pub fn after(self, start: ByteStream, size: u64) -> Self {
        let whole = self.size.and_then(|rest| rest.checked_add(size));
        Self { stream: start.chain(self.stream).boxed(), size: whole, kept: size }
    }

    /// Returns the length that the source announced, in bytes.
    #[must_use]
    pub fn size(&self) -> Option<u64> {
        self.size
    }

    /// Returns the pieces as they come, for whoever hands them on to a program that verifies them
    /// for itself, or verifies them later. Nothing of it may be kept.
    #[must_use]
    pub fn into_unverified_stream(self) -> ByteStream {
        self.stream
    }

    /// Binds the bytes to what they must be. The stream then fails with [`StreamError::Digest`] or
    /// [`StreamError::Size`] before its last piece is given out if they are anything else, and at
    /// once when more bytes come than `size` (or, where that is unknown, than the source
    /// announced).
    #[must_use]
    pub fn expect(self, digest: &Digest, size: Option<u64>) -> Blob {
        let check = Check { digest: digest.clone(), size: size.or(self.size) };
        let stream = match (size, self.size) {
            (Some(expected), Some(actual)) if expected != actual => {
                stream::once(async move { Err(StreamError::Size { expected, actual }) }).boxed()
            }
            _ => self.stream,
        };
        let (digest, size) = (Some(digest.clone()), check.size);
        Blob {
            stream,
            digest,
            size,
            announced: self.size.is_some(),
            check: Some(check),
            kept: self.kept,
            max_unpacked: MaxUnpacked::default(),
        }
    }
}

/// Bytes that are verified as they pass: the stream fails at its end, before its last piece is
/// given out, if they were not what they should be. Who writes them publishes nothing until the
/// stream has ended well.
pub struct Blob {
    /// Not verified yet if there is a check.
    stream: ByteStream,
    /// Made by whoever reads the stream last, so that the bytes are hashed where they are warm.
    check: Option<Check>,
    digest: Option<Digest>,
    size: Option<u64>,
    /// Whether the source itself has said that size.
    announced: bool,
    kept: u64,
    max_unpacked: MaxUnpacked,
}

impl Blob {
    /// Returns a blob of bytes in memory, named by their sha256.
    #[must_use]
    pub fn of_bytes(bytes: Bytes) -> Self {
        let digest = Digest::sha256(&bytes);
        Self::in_memory(bytes, digest)
    }

    /// Bytes in memory, under a digest that the caller has just computed of them.
    fn in_memory(bytes: Bytes, digest: Digest) -> Self {
        let size = wide(bytes.len());
        Self {
            stream: stream::iter((size > 0).then_some(Ok(bytes))).boxed(),
            check: None,
            digest: Some(digest),
            size: Some(size),
            announced: true,
            kept: 0,
            max_unpacked: MaxUnpacked::default(),
        }
    }

    /// Returns a blob of bytes made by this program, whose digest is known only when the last has
    /// come. Foreign bytes go through [`Unverified::expect`].
    #[must_use]
    pub fn unnamed(stream: ByteStream) -> Self {
        Self {
            stream,
            check: None,
            digest: None,
            size: None,
            announced: false,
            kept: 0,
            max_unpacked: MaxUnpacked::default(),
        }
    }

    /// Returns the same with another limit on what may come out of it where it is unpacked.
    #[must_use]
    pub fn unpacked_within(self, max_unpacked: MaxUnpacked) -> Self {
        Self { max_unpacked, ..self }
    }

    /// Returns the digest the bytes will have when the stream has ended well; none after a
    /// recoding.
    #[must_use]
    pub fn digest(&self) -> Option<&Digest> {
        self.digest.as_ref()
    }

    /// Returns the length in bytes, where it is known beforehand.
    #[must_use]
    pub fn size(&self) -> Option<u64> {
        self.size
    }

    /// Returns whether the source has announced the [size](Self::size) with the bytes. If not it is
    /// known from hearsay, as a manifest's word: nothing should be reserved for it.
    #[must_use]
    pub fn is_announced(&self) -> bool {
        self.announced
    }

    /// Returns how many of its first bytes whoever writes it gave out himself, and need not write.
    #[must_use]
    pub fn kept(&self) -> u64 {
        self.kept
    }

    /// Returns the pieces, hashed on a thread beside the one that polls them.
    #[must_use]
    pub fn into_stream(self) -> ByteStream {
        match self.check {
            Some(check) => verify::verified(self.stream, check),
            None => self.stream,
        }
    }

    /// The same blob with another stream of the same bytes.
    fn map_stream(self, map: impl FnOnce(ByteStream) -> ByteStream) -> Self {
        Self { stream: map(self.stream), ..self }
    }
}

impl fmt::Debug for Unverified {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Unverified").field("size", &self.size).finish_non_exhaustive()
    }
}

impl fmt::Debug for Blob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Blob")
            .field("digest", &self.digest)
            .field("size", &self.size)
            .finish_non_exhaustive()
    }
}
