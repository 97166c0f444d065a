//! A blob for who reads it with the blocking calls of `std`.

use std::fmt;
use std::io::Read;

use tokio::task::spawn_blocking;

use crate::pipe::{self, Stopped};
use crate::{Blob, StreamError};

/// Why a blob was not read through.
#[derive(Debug)]
pub enum ReadError<E> {
    /// The bytes did not come, or were not what they should be.
    Stream(StreamError),
    /// Who read them could do nothing with them.
    Work(E),
}

/// Has `work` read a blob on a blocking thread, and then reads what it left, so that all of it has
/// been verified when this ends well. If the future is dropped, reading fails and `work` ends by
/// itself: what it has made by then is for it to forget.
///
/// # Errors
/// The reading side's fault comes before that of `work`, which it explains.
pub async fn read_through<T, E, W>(blob: Blob, work: W) -> Result<T, ReadError<E>>
where
    T: Send + 'static,
    E: Send + 'static,
    W: FnOnce(&mut dyn Read) -> Result<T, E> + Send + 'static,
{
    let (mut feed, puller) = pipe::pull(blob);
    let mut thread = spawn_blocking(move || {
        let mut reader = puller.reader();
        let worked = work(&mut reader);
        let stopped = match (reader.stopped(), &worked) {
            (Some(stopped), _) => Some(stopped),
            (None, Ok(_)) => reader.drain().err(),
            (None, Err(_)) => None,
        };
        match (stopped, worked) {
            (Some(Stopped::Failed(error)), _) => Err(ReadError::Stream(error)),
            (Some(Stopped::Abandoned), _) => {
                Err(ReadError::Stream(StreamError::broken_thread("the read was abandoned")))
            }
            (None, worked) => worked.map_err(ReadError::Work),
        }
    });
    let mut fed = false;
    loop {
        tokio::select! {
            biased;
            result = &mut thread => return result.map_err(|error| {
                ReadError::Stream(StreamError::broken_thread(error))
            })?,
            () = &mut feed, if !fed => fed = true,
        }
    }
}

impl<E: fmt::Display> fmt::Display for ReadError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stream(error) => error.fmt(f),
            Self::Work(error) => error.fmt(f),
        }
    }
}

impl<E: std::error::Error> std::error::Error for ReadError<E> {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Stream(error) => error.source(),
            Self::Work(error) => error.source(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use bytes::Bytes;
    use futures_util::stream::{self, StreamExt};
    use skopeo_image::Digest;

    use super::*;
    use crate::Unverified;

    fn blob(bytes: &'static [u8], digest: &Digest) -> Blob {
        let pieces = bytes.chunks(3).map(|piece| Ok(Bytes::from_static(piece)));
        Unverified::new(stream::iter(pieces).boxed(), None).expect(digest, None)
    }

    /// Reads so many bytes.
    async fn read(blob: Blob, most: u64) -> Result<Vec<u8>, ReadError<io::Error>> {
        read_through(blob, move |reader| {
            let mut bytes = Vec::new();
            reader.take(most).read_to_end(&mut bytes)?;
            Ok(bytes)
        })
        .await
    }

    #[tokio::test]
    async fn all_is_verified_however_much_is_read() {
        let (good, bad) = (Digest::sha256(b"abcdefgh"), Digest::sha256(b"other"));
        for most in [0, 4, 8, 100] {
            let expected = &b"abcdefgh"[..most.min(8)];
            let got = read(blob(b"abcdefgh", &good), most as u64).await.unwrap();
            assert_eq!(got, expected);
            let error = read(blob(b"abcdefgh", &bad), most as u64).await.unwrap_err();
            assert!(matches!(error, ReadError::Stream(StreamError::Digest { .. })), "{error}");
        }
    }

    #[tokio::test]
    async fn the_first_cause_is_told() {
        let digest = Digest::sha256(b"abcdefgh");
        let refused = |_: &mut dyn Read| Err::<(), _>(io::Error::other("no"));
        let error = read_through(blob(b"abcdefgh", &digest), refused).await.unwrap_err();
        assert!(matches!(&error, ReadError::Work(_)), "{error}");
        let broken =
            stream::iter([Ok(Bytes::from_static(b"abc")), Err(StreamError::broken_thread("x"))]);
        let broken = Unverified::new(broken.boxed(), None).expect(&digest, None);
        let error = read(broken, 100).await.unwrap_err();
        assert!(matches!(error, ReadError::Stream(StreamError::Read { .. })), "{error}");
    }
}
