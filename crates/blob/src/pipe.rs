//! Bounded channels between streams and the blocking threads that read or make them.

use std::future::Future;
use std::io::{self, BufRead, Read};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use futures_util::stream::{self, Stream, StreamExt};
use skopeo_image::number::wide;
use skopeo_image::{Algorithm, Digest, Hasher};
use tokio::sync::{mpsc, oneshot};

use crate::sizes::{BATCH, DEPTH};
use crate::verify::Check;
use crate::{Blob, ByteStream, StreamError};

/// What goes through a channel. A channel that closes without `End` or `Failed` was abandoned:
/// silence is never taken for the end.
pub(crate) enum Message {
    Pieces(Vec<Bytes>),
    End,
    Failed(StreamError),
}

/// Why a thread gets no more pieces.
pub(crate) enum Stopped {
    Failed(StreamError),
    /// Nobody waits for the result any more.
    Abandoned,
}

/// The reading end of a blob, for a blocking thread. The bytes are verified here, if they have not
/// been before: they are hashed by the thread that uses them.
pub(crate) struct Puller {
    from: mpsc::Receiver<Message>,
    check: Option<Check>,
    hashing: Hashing,
    seen: u64,
    ended: bool,
}

/// Who hashes what passes.
enum Hashing {
    Nobody,
    /// The thread that reads.
    Here(Hasher),
    /// A thread beside it.
    Beside(Beside),
    Done(Digest),
}

/// A thread that hashes, for one that has enough to do.
struct Beside {
    to: mpsc::Sender<Vec<Bytes>>,
    digest: oneshot::Receiver<Digest>,
}

impl Beside {
    /// A thread of its own, not one of the runtime's: these may all be taken by those that wait for
    /// it. `None` if there is none to be had.
    fn start(mut hasher: Hasher) -> Option<Self> {
        let (to, mut from) = mpsc::channel::<Vec<Bytes>>(DEPTH);
        let (done, digest) = oneshot::channel();
        let hash = move || {
            while let Some(pieces) = from.blocking_recv() {
                pieces.iter().for_each(|piece| hasher.update(piece));
            }
            // Who gave up the reading waits for nothing.
            let _ = done.send(hasher.finish());
        };
        let thread = std::thread::Builder::new().name("hashing".into()).stack_size(64 << 10);
        thread.spawn(hash).ok().map(|_| Self { to, digest })
    }
}

impl Puller {
    /// The next pieces; `None` when all have come and were what they should be.
    pub(crate) fn next(&mut self) -> Result<Option<Vec<Bytes>>, Stopped> {
        if self.ended {
            return Ok(None);
        }
        match self.from.blocking_recv() {
            Some(Message::Pieces(pieces)) => {
                for piece in &pieces {
                    self.seen = self.seen.saturating_add(wide(piece.len()));
                    if let Some(check) = &self.check {
                        check.so_far(self.seen).map_err(Stopped::Failed)?;
                    }
                    if let Hashing::Here(hasher) = &mut self.hashing {
                        hasher.update(piece);
                    }
                }
                if let Hashing::Beside(beside) = &self.hashing {
                    beside.to.blocking_send(pieces.clone()).map_err(|_| broken())?;
                }
                Ok(Some(pieces))
            }
            Some(Message::End) => {
                self.ended = true;
                self.hashing = match std::mem::replace(&mut self.hashing, Hashing::Nobody) {
                    Hashing::Here(hasher) => Hashing::Done(hasher.finish()),
                    Hashing::Beside(Beside { to, digest }) => {
                        drop(to);
                        Hashing::Done(digest.blocking_recv().map_err(|_| broken())?)
                    }
                    other => other,
                };
                if let (Some(check), Hashing::Done(digest)) = (&self.check, &self.hashing) {
                    check.at_end(self.seen, digest.clone()).map_err(Stopped::Failed)?;
                }
                Ok(None)
            }
            Some(Message::Failed(error)) => Err(Stopped::Failed(error)),
            None => Err(Stopped::Abandoned),
        }
    }

    /// How many bytes have come.
    pub(crate) fn seen(&self) -> u64 {
        self.seen
    }

    /// Makes sure that there is a digest at the end even where none was announced.
    pub(crate) fn hash_anyway(&mut self, known: Option<&Digest>) {
        if known.is_none() && matches!(self.hashing, Hashing::Nobody) {
            self.hashing = Hashing::Here(Hasher::new(Algorithm::Sha256));
        }
    }

    /// Has a thread beside hash what is to be hashed: for who unpacks, which takes as long as six
    /// times the hash.
    pub(crate) fn hash_beside(mut self) -> Self {
        if let Hashing::Here(hasher) = &self.hashing
            && let Some(beside) = Beside::start(hasher.clone())
        {
            self.hashing = Hashing::Beside(beside);
        }
        self
    }

    /// The digest of all bytes, if they were hashed and have ended.
    pub(crate) fn digest(&self) -> Option<Digest> {
        match &self.hashing {
            Hashing::Done(digest) => Some(digest.clone()),
            _ => None,
        }
    }

    /// As a reader. The reason of its failures is kept beside, since `io::Error` cannot say it.
    pub(crate) fn reader(self) -> Reader {
        Reader {
            puller: self,
            pieces: Vec::new().into_iter(),
            current: Bytes::new(),
            stopped: None,
        }
    }
}

/// The pieces of a [`Puller`] as one run of bytes.
pub(crate) struct Reader {
    puller: Puller,
    pieces: std::vec::IntoIter<Bytes>,
    current: Bytes,
    stopped: Option<Stopped>,
}

impl Reader {
    /// Why reading failed, if it did: then what a decoder says about it is only a consequence.
    pub(crate) fn stopped(&mut self) -> Option<Stopped> {
        self.stopped.take()
    }

    /// Reads what a decoder left, so that all bytes are verified.
    pub(crate) fn drain(&mut self) -> Result<(), Stopped> {
        while self.puller.next()?.is_some() {}
        Ok(())
    }
}

impl BufRead for Reader {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        while self.current.is_empty() {
            if let Some(piece) = self.pieces.next() {
                self.current = piece;
                continue;
            }
            match self.puller.next() {
                Ok(Some(pieces)) => self.pieces = pieces.into_iter(),
                Ok(None) => return Ok(&[]),
                Err(stopped) => {
                    self.stopped = Some(stopped);
                    return Err(io::Error::other("the input ended too early"));
                }
            }
        }
        Ok(&self.current)
    }

    fn consume(&mut self, n: usize) {
        self.current.advance(n);
    }
}

impl Read for Reader {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let n = self.fill_buf()?.read(buf)?;
        self.consume(n);
        Ok(n)
    }
}

fn broken() -> Stopped {
    Stopped::Failed(StreamError::broken_thread("the thread that hashes ended before its work"))
}

/// A future that moves a stream's pieces to a thread. Whoever waits for the thread polls it too.
pub(crate) type Feed = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Splits a blob into what a blocking thread reads and what keeps it fed.
pub(crate) fn pull(blob: Blob) -> (Feed, Puller) {
    let (to, from) = mpsc::channel(DEPTH);
    let hashing = blob
        .check
        .as_ref()
        .map_or(Hashing::Nobody, |check| Hashing::Here(Hasher::new(check.digest.algorithm())));
    let puller = Puller { from, check: blob.check, hashing, seen: 0, ended: false };
    (Box::pin(feed(blob.stream, Pusher::new(to))), puller)
}

async fn feed(mut stream: ByteStream, mut pusher: Pusher) {
    while let Some(piece) = stream.next().await {
        match piece {
            Ok(piece) => {
                if !pusher.push(piece).await {
                    return;
                }
            }
            Err(error) => {
                let _ = pusher.to.send(Message::Failed(error)).await;
                return;
            }
        }
    }
    pusher.end().await;
}

/// The writing end of a channel: joins small pieces to batches, without copying.
pub(crate) struct Pusher {
    to: mpsc::Sender<Message>,
    batch: Vec<Bytes>,
    len: usize,
}

impl Pusher {
    pub(crate) fn new(to: mpsc::Sender<Message>) -> Self {
        Self { to, batch: Vec::new(), len: 0 }
    }

    /// Hands a piece on. `false` once nobody reads.
    pub(crate) async fn push(&mut self, piece: Bytes) -> bool {
        if piece.is_empty() {
            return true;
        }
        self.len = self.len.saturating_add(piece.len());
        self.batch.push(piece);
        if self.len < BATCH {
            return true;
        }
        self.len = 0;
        self.to.send(Message::Pieces(std::mem::take(&mut self.batch))).await.is_ok()
    }

    /// Says that all pieces have been handed on.
    pub(crate) async fn end(mut self) {
        let rest = std::mem::take(&mut self.batch);
        if rest.is_empty() || self.to.send(Message::Pieces(rest)).await.is_ok() {
            let _ = self.to.send(Message::End).await;
        }
    }

    /// Says that no more will come, and why.
    pub(crate) async fn fail(self, error: StreamError) {
        let _ = self.to.send(Message::Failed(error)).await;
    }
}

/// A pair of ends for one more reader of a stream's bytes, unverified.
pub(crate) fn branch() -> (Pusher, Puller) {
    let (to, from) = mpsc::channel(DEPTH);
    let puller = Puller { from, check: None, hashing: Hashing::Nobody, seen: 0, ended: false };
    (Pusher::new(to), puller)
}

/// Where a blocking thread puts the pieces it makes.
pub(crate) struct Output(mpsc::Sender<Message>);

impl Output {
    /// Hands a piece on; waits while the reader is behind.
    pub(crate) fn put(&self, piece: Bytes) -> Result<(), Stopped> {
        let message = Message::Pieces(vec![piece]);
        self.0.blocking_send(message).map_err(|_| Stopped::Abandoned)
    }
}

/// The stream of what `work` puts out, on a blocking thread that starts with the first poll.
pub(crate) fn produce<W>(feed: Option<Feed>, work: W) -> ByteStream
where
    W: FnOnce(&Output) -> Result<(), Stopped> + Send + 'static,
{
    stream::once(async move {
        let (to, from) = mpsc::channel(DEPTH);
        tokio::task::spawn_blocking(move || {
            let output = Output(to);
            let last = match work(&output) {
                Ok(()) => Message::End,
                Err(Stopped::Failed(error)) => Message::Failed(error),
                Err(Stopped::Abandoned) => return,
            };
            // Nobody may be there to read it, which is no loss.
            let _ = output.0.blocking_send(last);
        });
        Produced { feed, from, ended: false }
    })
    .flatten()
    .boxed()
}

struct Produced {
    feed: Option<Feed>,
    from: mpsc::Receiver<Message>,
    ended: bool,
}

impl Stream for Produced {
    type Item = Result<Bytes, StreamError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.ended {
            return Poll::Ready(None);
        }
        if let Some(feed) = &mut self.feed
            && feed.as_mut().poll(cx).is_ready()
        {
            self.feed = None;
        }
        let message = ready!(self.from.poll_recv(cx));
        self.ended = !matches!(message, Some(Message::Pieces(_)));
        Poll::Ready(match message {
            Some(Message::Pieces(mut pieces)) => pieces.pop().map(Ok),
            Some(Message::End) => None,
            Some(Message::Failed(error)) => Some(Err(error)),
            None => Some(Err(StreamError::broken_thread("the thread ended before its work"))),
        })
    }
}
