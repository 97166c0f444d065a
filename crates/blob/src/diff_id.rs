//! The digest of what is inside, on the way past.

use futures_util::stream::{self, StreamExt};
use skopeo_image::{Algorithm, Compression, Digest, Hasher};
use tokio::sync::oneshot;

use crate::codec;
use crate::pipe::{self, Pusher, Stopped};
use crate::{Blob, ByteStream, StreamError};

/// Where the digest of the uncompressed bytes will be. It means something only once the blob it
/// was taken from has ended well.
#[derive(Debug)]
pub struct DiffId(oneshot::Receiver<Result<Digest, StreamError>>);

impl DiffId {
    /// Waits for it. The blob must be read to its end meanwhile, or have been.
    ///
    /// # Errors
    /// If the bytes cannot be decompressed, are too many then, or were not read to their end.
    pub async fn get(self) -> Result<Digest, StreamError> {
        self.0
            .await
            .unwrap_or_else(|_| Err(StreamError::broken_thread("the blob was not read to its end")))
    }
}

/// Lets the bytes pass, and computes the sha256 of what they are when decompressed.
#[must_use]
pub fn diff_id(blob: Blob, compression: Compression) -> (Blob, DiffId) {
    let (to, result) = oneshot::channel();
    let most = blob.max_unpacked;
    let blob = blob.map_stream(|stream| {
        stream::once(async move {
            let (pusher, puller) = pipe::branch();
            tokio::task::spawn_blocking(move || {
                let mut hasher = Hasher::new(Algorithm::Sha256);
                let decoded = codec::decode(puller.reader(), compression, most, |bytes| {
                    hasher.update(bytes);
                    Ok(())
                });
                match decoded {
                    Ok(()) => drop(to.send(Ok(hasher.finish()))),
                    Err(Stopped::Failed(error)) => drop(to.send(Err(error))),
                    Err(Stopped::Abandoned) => {}
                }
            });
            fanout(stream, pusher)
        })
        .flatten()
        .boxed()
    });
    (blob, DiffId(result))
}

/// Gives clones of the pieces to `pusher`. That nobody takes them any more concerns only the one
/// who waits for the digest.
fn fanout(stream: ByteStream, pusher: Pusher) -> ByteStream {
    stream::try_unfold((stream, Some(pusher)), |(mut stream, mut pusher)| async move {
        match stream.next().await.transpose()? {
            Some(piece) => {
                if let Some(to) = &mut pusher
                    && !to.push(piece.clone()).await
                {
                    pusher = None;
                }
                Ok(Some((piece, (stream, pusher))))
            }
            None => {
                if let Some(pusher) = pusher {
                    pusher.end().await;
                }
                Ok(None)
            }
        }
    })
    .boxed()
}
