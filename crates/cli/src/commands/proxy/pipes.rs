//! Pipes: this program writes, the client reads, and asks at the end how it went.

use std::collections::HashMap;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use anyhow::{Context as _, Error, Result, bail};
use bytes::Bytes;
use futures_util::StreamExt as _;
use skopeo_blob::{Blob, ByteStream};
use tokio::io::{AsyncWriteExt as _, Interest};
use tokio::net::unix::pipe::Sender;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinHandle;
use tracing::debug;

use super::reply::{ReaderGone, failure};

/// How many pipes may be open at once: each blob that is verified has a thread, and the runtime has
/// 512.
const MOST: usize = 256;

/// The pipes that are open.
#[derive(Debug)]
pub(super) struct Pipes {
    /// The number of the last one. They are never used twice, as numbers of descriptors would be.
    last: u32,
    open: HashMap<u32, JoinHandle<Written>>,
    permits: Arc<Semaphore>,
}

/// How writing ended. While this is there the reader sees no end: it has to ask for the outcome.
#[derive(Debug)]
struct Written {
    outcome: Result<()>,
    _writer: Sender,
    _permit: OwnedSemaphorePermit,
}

impl Default for Pipes {
    fn default() -> Self {
        Self { last: 0, open: HashMap::new(), permits: Arc::new(Semaphore::new(MOST)) }
    }
}

impl Pipes {
    /// Begins to write bytes into a new pipe: its number, and the end to read from.
    pub(super) fn write_bytes(&mut self, bytes: impl Into<Bytes>) -> Result<(u32, OwnedFd)> {
        self.write(Blob::of_bytes(bytes.into()).into_stream())
    }

    /// The same with a stream.
    pub(super) fn write(&mut self, stream: ByteStream) -> Result<(u32, OwnedFd)> {
        let number = self.last.checked_add(1).context("there are too many pipes")?;
        let permit = self.permit()?;
        let (reader, mut writer) = pipe()?;
        self.last = number;
        let writing = async move {
            let outcome = pour(&mut writer, stream).await;
            Written { outcome, _writer: writer, _permit: permit }
        };
        self.open.insert(number, tokio::spawn(writing));
        Ok((number, reader))
    }

    /// Begins to write a stream into a pipe that ends with it, and what goes wrong into another:
    /// the ends to read from, in this order.
    pub(super) fn write_beside_errors(&mut self, stream: ByteStream) -> Result<[OwnedFd; 2]> {
        let permit = self.permit()?;
        let (reader, mut writer) = pipe()?;
        let (errors, mut to_errors) = pipe()?;
        tokio::spawn(async move {
            let outcome = pour(&mut writer, stream).await;
            // The error before the end: who sees the end may look for it at once.
            if let Err(error) = outcome {
                debug!("Writing a blob: {}", crate::exit::sentence(&error));
                // Nobody may be there to read it.
                let _ = to_errors.write_all(&failure(&error)).await;
            }
            drop((writer, to_errors, permit));
        });
        Ok([reader, errors])
    }

    /// Waits until all is written into a pipe, and closes it.
    ///
    /// # Errors
    /// If there is no such pipe; what kept the bytes from coming, or from being what they should.
    pub(super) async fn finish(&mut self, number: u64) -> Result<()> {
        let writing = u32::try_from(number).ok().and_then(|number| self.open.remove(&number));
        let Some(writing) = writing else { bail!("finishpipe: no active pipe {number}") };
        writing.await.context("writing to the client")?.outcome
    }

    fn permit(&self) -> Result<OwnedSemaphorePermit> {
        let permit = self.permits.clone().try_acquire_owned();
        permit.map_err(|_| Error::msg(format!("{MOST} pipes are open; finish one of them first")))
    }
}

/// A pipe: the client's end, which waits, and ours, which does not.
fn pipe() -> Result<(OwnedFd, Sender)> {
    let (reader, writer) = io::pipe().context("making a pipe")?;
    let writer = Sender::from_owned_fd(writer.into()).context("making a pipe")?;
    Ok((reader.into(), writer))
}

/// Writes a stream into a pipe, as fast as it is read.
async fn pour(writer: &mut Sender, mut stream: ByteStream) -> Result<()> {
    loop {
        let piece = tokio::select! {
            biased;
            piece = stream.next() => piece,
            // Nothing may come for a long time, and be of no use then.
            _ = writer.ready(Interest::ERROR) => return Err(ReaderGone.into()),
        };
        let Some(piece) = piece else { return Ok(()) };
        writer.write_all(&piece?).await.map_err(|error| match error.kind() {
            io::ErrorKind::BrokenPipe => Error::from(ReaderGone),
            _ => Error::from(error).context("writing to the client"),
        })?;
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::Read as _;
    use std::time::Duration;

    use futures_util::stream;
    use skopeo_blob::StreamError;

    use super::*;

    async fn read(reader: OwnedFd) -> Vec<u8> {
        let reading = tokio::task::spawn_blocking(move || {
            let mut bytes = Vec::new();
            File::from(reader).read_to_end(&mut bytes).unwrap();
            bytes
        });
        reading.await.unwrap()
    }

    fn failing() -> ByteStream {
        let error = StreamError::Size { expected: 4, actual: 3 };
        stream::iter([Ok(Bytes::from_static(b"abc")), Err(error)]).boxed()
    }

    #[tokio::test]
    async fn a_pipe_ends_when_it_is_finished() {
        let mut pipes = Pipes::default();
        let large = vec![7; 1 << 20];
        let (first, reader) = pipes.write_bytes(large.clone()).unwrap();
        let (got, finished) = tokio::join!(read(reader), pipes.finish(first.into()));
        finished.unwrap();
        assert_eq!(got, large);

        let (second, reader) = pipes.write_bytes(&b"small"[..]).unwrap();
        assert!(second > first);
        let reading = tokio::spawn(read(reader));
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert!(!reading.is_finished());
        pipes.finish(second.into()).await.unwrap();
        assert_eq!(reading.await.unwrap(), b"small");
        for number in [0, u64::from(second), 1 << 40] {
            let error = pipes.finish(number).await.unwrap_err().to_string();
            assert_eq!(error, format!("finishpipe: no active pipe {number}"));
        }
    }

    #[tokio::test]
    async fn finishing_tells_what_went_wrong() {
        let mut pipes = Pipes::default();
        let (number, reader) = pipes.write(failing()).unwrap();
        let (got, finished) = tokio::join!(read(reader), pipes.finish(number.into()));
        assert_eq!(got, b"abc");
        assert_eq!(finished.unwrap_err().to_string(), "expected 4 bytes, got 3");
        // Who closes its end is told so, also where nothing comes.
        for stream in
            [stream::pending().boxed(), Blob::of_bytes(vec![0; 1 << 20].into()).into_stream()]
        {
            let (number, reader) = pipes.write(stream).unwrap();
            drop(reader);
            assert!(pipes.finish(number.into()).await.unwrap_err().is::<ReaderGone>());
        }
    }

    #[tokio::test]
    async fn a_raw_blob_has_its_errors_beside() {
        let mut pipes = Pipes::default();
        let [data, errors] = pipes.write_beside_errors(failing()).unwrap();
        let (data, errors) = tokio::join!(read(data), read(errors));
        assert_eq!(data, b"abc");
        assert_eq!(errors, br#"{"code":"other","message":"expected 4 bytes, got 3"}"#);
        let [data, errors] =
            pipes.write_beside_errors(Blob::of_bytes("all".into()).into_stream()).unwrap();
        let (data, errors) = tokio::join!(read(data), read(errors));
        assert_eq!((&data[..], &errors[..]), (&b"all"[..], &b""[..]));
        let [data, errors] = pipes.write_beside_errors(stream::pending().boxed()).unwrap();
        drop(data);
        let errors = String::from_utf8(read(errors).await).unwrap();
        assert!(errors.starts_with(r#"{"code":"EPIPE","#), "{errors}");
    }

    #[tokio::test]
    async fn so_many_pipes_and_no_more() {
        let mut pipes = Pipes::default();
        let open: Vec<_> = (0..MOST).map(|_| pipes.write_bytes(&b"x"[..]).unwrap()).collect();
        let error = pipes.write_bytes(&b"x"[..]).unwrap_err().to_string();
        assert_eq!(error, "256 pipes are open; finish one of them first");
        assert_eq!(pipes.write_beside_errors(failing()).unwrap_err().to_string(), error);
        pipes.finish(open[0].0.into()).await.unwrap();
        pipes.write_bytes(&b"x"[..]).unwrap();
    }
}
