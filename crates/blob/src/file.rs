//! From and to files, each by one blocking thread.
//!
//! Nothing here syncs or renames. A file that was written here and is renamed to its place *after*
//! [`write`] has returned is whole under its name whenever the process is killed, since what the
//! kernel has taken it keeps. Who must also survive a loss of power calls `sync_data` before what
//! gives the image its name, best once for all files at commit.

use std::io::{self, Read, Write};

use bytes::Bytes;
use skopeo_image::Digest;
use skopeo_image::number::{narrow, wide};

use crate::pipe::{self, BATCH, PIECE, Stopped};
use crate::{Blob, BoxError, ByteStream, StreamError, WriteError};

/// A blob that is whole in its file.
#[derive(Debug)]
pub struct Written<W> {
    /// The digest of the bytes: the blob's own, or sha256 where it had none.
    pub digest: Digest,
    /// Their number.
    pub size: u64,
    /// The file, at its end, not synced.
    pub file: W,
}

/// Writes all bytes of a blob. They are verified, or hashed if the digest is unknown, by the
/// thread that writes. If the future is dropped the thread ends by itself; what it has written by
/// then is for the caller's temporary file to forget.
///
/// # Errors
/// [`WriteError::Stream`] is the reading side's fault, [`WriteError::Io`] the file's. Then the
/// bytes must not be published.
pub async fn write<W>(blob: Blob, file: W) -> Result<Written<W>, WriteError>
where
    W: Write + Send + 'static,
{
    pour_blob(blob, file, 0).await
}

/// As [`write`], into a file that has the first [kept](Blob::kept) bytes already: they are verified
/// with the others, but not written.
///
/// # Errors
/// As [`write`].
pub async fn write_rest<W>(blob: Blob, file: W) -> Result<Written<W>, WriteError>
where
    W: Write + Send + 'static,
{
    let kept = blob.kept();
    pour_blob(blob, file, kept).await
}

async fn pour_blob<W>(blob: Blob, file: W, kept: u64) -> Result<Written<W>, WriteError>
where
    W: Write + Send + 'static,
{
    let known = blob.digest().cloned();
    let (feed, mut puller) = pipe::pull(blob);
    puller.hash_anyway(known.as_ref());
    let (puller, file) = pour(feed, puller, file, kept).await?;
    let digest = known.or_else(|| puller.digest()).ok_or_else(abandoned)?;
    Ok(Written { digest, size: puller.seen(), file })
}

/// Writes all that comes, which nobody wants to have hashed: what is looked into before it is
/// believed.
///
/// # Errors
/// As [`write`].
pub async fn spool<W>(stream: ByteStream, file: W) -> Result<W, WriteError>
where
    W: Write + Send + 'static,
{
    let (feed, puller) = pipe::pull(Blob::unnamed(stream));
    Ok(pour(feed, puller, file, 0).await?.1)
}

async fn pour<W>(
    mut feed: pipe::Feed,
    mut puller: pipe::Puller,
    mut file: W,
    mut kept: u64,
) -> Result<(pipe::Puller, W), WriteError>
where
    W: Write + Send + 'static,
{
    let mut thread = tokio::task::spawn_blocking(move || {
        loop {
            match puller.next() {
                Ok(Some(pieces)) => {
                    for piece in pieces {
                        let new = piece.get(narrow(kept)..).unwrap_or_default();
                        kept = kept.saturating_sub(wide(piece.len()));
                        file.write_all(new)?;
                    }
                }
                Ok(None) => break,
                Err(Stopped::Failed(error)) => return Err(error.into()),
                Err(Stopped::Abandoned) => return Err(abandoned().into()),
            }
        }
        file.flush()?;
        Ok((puller, file))
    });
    let mut fed = false;
    loop {
        tokio::select! {
            biased;
            result = &mut thread => return result.map_err(StreamError::broken_thread)?,
            () = &mut feed, if !fed => fed = true,
        }
    }
}

/// The next `size` bytes of a file, in pieces of 128 KiB. The file is read by one blocking thread,
/// which starts with the first poll and is at most two pieces ahead.
#[must_use]
pub fn read<R>(mut file: R, size: u64) -> ByteStream
where
    R: Read + Send + 'static,
{
    pipe::produce(None, move |output| {
        let mut left = size;
        while left > 0 {
            let Some(piece) = next_piece(&mut file, left)? else {
                return Err(Stopped::Failed(unreadable(io::ErrorKind::UnexpectedEof.into())));
            };
            left = left.saturating_sub(wide(piece.len()));
            output.put(piece)?;
        }
        Ok(())
    })
}

/// All bytes that come, as of a pipe, whose number nobody knows beforehand; otherwise as [`read`].
#[must_use]
pub fn read_to_end<R>(mut file: R) -> ByteStream
where
    R: Read + Send + 'static,
{
    pipe::produce(None, move |output| {
        while let Some(piece) = next_piece(&mut file, u64::MAX)? {
            output.put(piece)?;
        }
        Ok(())
    })
}

/// What `work` writes, in pieces of 64 KiB. It runs on one blocking thread, which starts with the
/// first poll and is at most two pieces ahead; when nobody reads any more, its writing fails.
#[must_use]
pub fn generate<W>(work: W) -> ByteStream
where
    W: FnOnce(&mut dyn Write) -> Result<(), BoxError> + Send + 'static,
{
    pipe::produce(None, move |output| {
        let mut pieces = Pieces { output, piece: Vec::with_capacity(PIECE), stopped: None };
        let result = work(&mut pieces).and_then(|()| Ok(pieces.flush()?));
        match (pieces.stopped, result) {
            (Some(stopped), _) => Err(stopped),
            (None, result) => result.map_err(|source| {
                Stopped::Failed(StreamError::Read { source, transient: false, tried: 1 })
            }),
        }
    })
}

struct Pieces<'a> {
    output: &'a pipe::Output,
    piece: Vec<u8>,
    /// Why writing failed, which `io::Error` cannot say.
    stopped: Option<Stopped>,
}

impl Write for Pieces<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let room = PIECE.saturating_sub(self.piece.len());
        let now = bytes.get(..room).unwrap_or(bytes);
        self.piece.extend_from_slice(now);
        if self.piece.len() >= PIECE {
            self.flush()?;
        }
        Ok(now.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        let piece = std::mem::replace(&mut self.piece, Vec::with_capacity(PIECE));
        if piece.is_empty() {
            return Ok(());
        }
        self.output.put(piece.into()).map_err(|stopped| {
            self.stopped = Some(stopped);
            io::ErrorKind::BrokenPipe.into()
        })
    }
}

/// A batch of bytes, fewer only at the end; `None` behind it.
fn next_piece(file: &mut impl Read, left: u64) -> Result<Option<Bytes>, Stopped> {
    let wanted = narrow(left).min(BATCH);
    let mut piece = Vec::with_capacity(wanted);
    let got = file.take(wide(wanted)).read_to_end(&mut piece);
    let got = got.map_err(|source| Stopped::Failed(unreadable(source)))?;
    Ok((got > 0).then(|| piece.into()))
}

fn unreadable(source: io::Error) -> StreamError {
    StreamError::Read { source: source.into(), transient: false, tried: 1 }
}

/// Nobody sees it: the future that would is gone.
fn abandoned() -> StreamError {
    StreamError::broken_thread("the writing was abandoned")
}

#[cfg(test)]
mod tests {
    use futures_util::stream::{self, StreamExt};
    use skopeo_image::Algorithm;

    use super::*;
    use crate::Unverified;

    fn sample(len: usize) -> Vec<u8> {
        (0..len).map(|i| (i * i % 251) as u8).collect()
    }

    #[tokio::test]
    async fn reads_what_it_wrote() {
        for len in [0, 1, BATCH - 1, BATCH, BATCH + 1, 5 * BATCH + 17] {
            let bytes = sample(len);
            let file = || io::Cursor::new(bytes.clone());
            let digest = Digest::of(Algorithm::Sha512, &bytes);
            let all = bytes.clone();
            let generated = generate(move |output| Ok(output.write_all(&all)?));
            for source in [read(file(), len as u64), read_to_end(file()), generated] {
                let blob = Unverified::new(source, None).expect(&digest, Some(len as u64));
                let written = write(blob, Vec::new()).await.unwrap();
                assert_eq!((written.digest, written.size), (digest.clone(), len as u64));
                assert_eq!(written.file, bytes);
            }
        }
    }

    #[tokio::test]
    async fn names_what_had_no_name() {
        let bytes = sample(400_000);
        let blob = Blob::unnamed(read(io::Cursor::new(bytes.clone()), 400_000));
        assert_eq!(write(blob, io::sink()).await.unwrap().digest, Digest::sha256(&bytes));
    }

    #[tokio::test]
    async fn tells_the_two_sides_apart() {
        struct Full;
        impl Write for Full {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(io::ErrorKind::StorageFull.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let bytes = sample(1_000_000);
        let digest = Digest::sha256(b"other");
        let source = || Unverified::new(read(io::Cursor::new(bytes.clone()), 1_000_000), None);
        let result = write(source().expect(&digest, None), Full).await;
        assert!(matches!(result, Err(WriteError::Io(_))));
        let result = write(source().expect(&digest, None), io::sink()).await;
        assert!(matches!(result, Err(WriteError::Stream(StreamError::Digest { .. }))));
        let short = read(io::Cursor::new(bytes.clone()), 1_000_001);
        let result = write(Blob::unnamed(short), io::sink()).await;
        assert!(matches!(result, Err(WriteError::Stream(StreamError::Read { .. }))));
    }

    #[tokio::test]
    async fn ends_when_the_writer_fails_although_the_source_is_silent() {
        struct Full;
        impl Write for Full {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(io::ErrorKind::StorageFull.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let piece = Ok(Bytes::from(vec![0; BATCH]));
        let silent = stream::iter([piece]).chain(stream::pending()).boxed();
        let result = write(Blob::unnamed(silent), Full).await;
        assert!(matches!(result, Err(WriteError::Io(_))));
    }
}
