//! From and to files, on blocking threads.
//!
//! Nothing here syncs or renames. A file that was written here and is renamed to its place *after*
//! [`write`] has returned is whole under its name whenever the process is killed, since what the
//! kernel has taken it keeps. Who must also survive a loss of power calls `sync_data` before what
//! gives the image its name, best once for all files at commit.

use std::io::{self, Read, Write};

use bytes::Bytes;
use futures_util::stream::{self, StreamExt};
use skopeo_image::Digest;
use skopeo_image::number::{narrow, wide};
use tokio::task::{JoinHandle, spawn_blocking};

use crate::pipe::{self, Stopped};
use crate::sizes::{BATCH, PIECE};
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
    let mut thread = spawn_blocking(move || {
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

/// Returns the next `size` bytes of a file, in pieces of 128 KiB. Each is read on a blocking thread
/// while the one before is on its way, from the first poll on; whoever takes no more pieces holds
/// no thread.
#[must_use]
pub fn read<R>(file: R, size: u64) -> ByteStream
where
    R: Read + Send + 'static,
{
    let begun = Reading { next: Next::Waiting(file), left: size };
    stream::try_unfold(begun, Reading::next).boxed()
}

/// A file that is read piece by piece.
struct Reading<R> {
    next: Next<R>,
    /// Bytes that have not been asked for.
    left: u64,
}

/// A piece that is being read, with the file behind it.
type Piece<R> = JoinHandle<(R, Result<Bytes, StreamError>)>;

enum Next<R> {
    Waiting(R),
    Begun(Piece<R>),
}

impl<R: Read + Send + 'static> Reading<R> {
    async fn next(self) -> Result<Option<(Bytes, Self)>, StreamError> {
        let Self { next, left } = self;
        let (begun, left) = match next {
            Next::Waiting(_) if left == 0 => return Ok(None),
            Next::Waiting(file) => Self::begin(file, left),
            Next::Begun(begun) => (begun, left),
        };
        let (file, piece) = begun.await.map_err(StreamError::broken_thread)?;
        let piece = piece?;
        if left == 0 {
            return Ok(Some((piece, Self { next: Next::Waiting(file), left })));
        }
        let (begun, left) = Self::begin(file, left);
        Ok(Some((piece, Self { next: Next::Begun(begun), left })))
    }

    /// Has the next piece read; what is left behind it.
    fn begin(mut file: R, left: u64) -> (Piece<R>, u64) {
        let size = left.min(wide(BATCH));
        let begun = spawn_blocking(move || {
            let piece = match read_piece(&mut file, size) {
                Ok(piece) if wide(piece.len()) == size => Ok(piece),
                Ok(_) => Err(unreadable(io::ErrorKind::UnexpectedEof.into())),
                Err(error) => Err(unreadable(error)),
            };
            (file, piece)
        });
        (begun, left.saturating_sub(size))
    }
}

/// Returns all bytes that come, as of a pipe, whose number nobody knows beforehand; otherwise as
/// [`read`].
#[must_use]
pub fn read_to_end<R>(mut file: R) -> ByteStream
where
    R: Read + Send + 'static,
{
    pipe::produce(None, move |output| {
        loop {
            let piece = read_piece(&mut file, wide(BATCH));
            let piece = piece.map_err(|source| Stopped::Failed(unreadable(source)))?;
            if piece.is_empty() {
                return Ok(());
            }
            output.put(piece)?;
        }
    })
}

/// Returns what `work` writes, in pieces of 64 KiB. It runs on one blocking thread, which starts
/// with the first poll and is at most two pieces ahead; when nobody reads any more, its writing
/// fails.
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

/// So many bytes, fewer only at the end.
fn read_piece(file: &mut impl Read, size: u64) -> io::Result<Bytes> {
    let mut piece = Vec::with_capacity(narrow(size).min(BATCH));
    file.take(size).read_to_end(&mut piece)?;
    Ok(piece.into())
}

fn unreadable(source: io::Error) -> StreamError {
    StreamError::Read { source: source.into(), transient: false, tried: 1 }
}

/// Nobody sees it: the future that would is gone.
fn abandoned() -> StreamError {
    StreamError::broken_thread("the write was abandoned")
}

#[cfg(test)]
mod tests {
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

    /// A server whose clients stop reading must have threads for the others.
    #[test]
    fn who_takes_no_more_holds_no_thread() {
        let mut builder = tokio::runtime::Builder::new_current_thread();
        let runtime = builder.enable_time().max_blocking_threads(1).build().unwrap();
        let bytes = sample(10 * BATCH);
        let all = async {
            let mut stalled = Vec::new();
            for _ in 0..5 {
                let mut stream = read(io::Cursor::new(bytes.clone()), bytes.len() as u64);
                assert_eq!(stream.next().await.unwrap().unwrap(), bytes[..BATCH]);
                stalled.push(stream);
            }
            spawn_blocking(|| ()).await.unwrap();
            let mut stream = stalled.remove(0);
            assert_eq!(stream.next().await.unwrap().unwrap(), bytes[BATCH..2 * BATCH]);
        };
        let limit = std::time::Duration::from_secs(60);
        runtime.block_on(async { tokio::time::timeout(limit, all).await }).unwrap();
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
