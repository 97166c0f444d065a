//! Bodies of uploads on their way to the disk.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::BodyExt;
use tokio::task::spawn_blocking;

use crate::body::request::RequestBody;
use crate::error::{ApiError, Code};
use crate::memory::Use;
use crate::store::Held;
use crate::{Inner, Limits};

/// How many pieces may wait while others are written.
const WAITING_PIECES: usize = 4;

/// An upload that is held still, and how its body ended.
pub(crate) type Received = (Held, Result<(), ApiError>);

/// Appends a body to an upload.
///
/// An upload has a place among those that are written only while it writes: a client that is slow
/// takes neither that nor a thread from others.
pub(crate) async fn receive(
    inner: &Arc<Inner>,
    mut held: Held,
    body: &mut RequestBody,
) -> Result<Received, ApiError> {
    let Limits { memory, patience, .. } = &inner.limits;
    loop {
        let first = match next(body).await {
            Some(Ok(piece)) => piece,
            Some(Err(error)) => return Ok((held, Err(error))),
            None => return Ok((held, Ok(()))),
        };
        let Some(_place) = memory.room(Use::Upload, 0, *patience).await else {
            let busy = ApiError::new(Code::Busy, "too many uploads are being written");
            return Ok((held, Err(busy)));
        };
        let mut pieces = vec![first];
        let mut ended = None;
        while !pieces.is_empty() && ended.is_none() {
            let batch = write(inner, held, pieces, body).await?;
            let Batch { held: back, written, coming, end } = batch;
            (held, pieces, ended) = (back, coming, end);
            if let Err(error) = written {
                return Ok((held, Err(error)));
            }
        }
        let Some(end) = ended else { continue };
        if pieces.is_empty() {
            return Ok((held, end));
        }
        // What came before the body broke counts.
        let Batch { held, written, .. } = append(inner, held, pieces).await?;
        return Ok((held, written.and(end)));
    }
}

/// Some pieces are written, others came meanwhile.
struct Batch {
    held: Held,
    written: Result<(), ApiError>,
    coming: Vec<Bytes>,
    end: Option<Result<(), ApiError>>,
}

/// Writes pieces, and takes what comes meanwhile.
async fn write(
    inner: &Arc<Inner>,
    held: Held,
    pieces: Vec<Bytes>,
    body: &mut RequestBody,
) -> Result<Batch, ApiError> {
    let mut writing = std::pin::pin!(append(inner, held, pieces));
    let (mut coming, mut end) = (Vec::new(), None);
    loop {
        tokio::select! {
            biased;
            batch = writing.as_mut() => return batch.map(|batch| Batch { coming, end, ..batch }),
            piece = next(body), if end.is_none() && coming.len() < WAITING_PIECES => match piece {
                Some(Ok(piece)) => coming.push(piece),
                Some(Err(error)) => end = Some(Err(error)),
                None => end = Some(Ok(())),
            },
        }
    }
}

/// The thread that writes has the upload: what is known of it stays true even if the client goes,
/// and this future with it.
async fn append(inner: &Arc<Inner>, mut held: Held, pieces: Vec<Bytes>) -> Result<Batch, ApiError> {
    let inner = inner.clone();
    let appended = spawn_blocking(move || {
        let written = pieces.iter().try_for_each(|piece| held.append(&inner.store.uploads, piece));
        (held, written)
    });
    let (held, written) = appended.await.map_err(io::Error::other)?;
    let written = written.map_err(ApiError::from);
    Ok(Batch { held, written, coming: Vec::new(), end: None })
}

async fn next(body: &mut RequestBody) -> Option<Result<Bytes, ApiError>> {
    loop {
        match body.frame().await? {
            Ok(frame) => match frame.into_data() {
                Ok(piece) => return Some(Ok(piece)),
                Err(_trailers) => {}
            },
            Err(error) => return Some(Err(ApiError::of_body(Code::BlobUploadInvalid, &*error))),
        }
    }
}
