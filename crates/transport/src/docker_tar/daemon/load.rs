//! Writing `docker-daemon:`: an archive that is sent while it is made.
//!
//! The request ends well only when the image is committed; whatever happens before, it is cut off,
//! and the daemon, which begins with what stands at the end, forgets what it got.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream;
use skopeo_archive::Writer;
use skopeo_blob::Blob;
use skopeo_image::{MediaType, RawManifest, Signature, Which};
use tokio::runtime::Handle;
use tokio::sync::{Mutex, mpsc};
use tokio::task::JoinHandle;

use super::client::Daemon;
use super::{DaemonError, DaemonName};
use crate::docker_tar::DockerTarError;
use crate::docker_tar::destination::{Rest, SavedDestination, accepts};
use crate::docker_tar::saving::Saving;
use crate::{
    Accepts, Destination, Error, ImageName, LayerForm, Options, Probe, PutManifestError, Role,
    Stored, Wish,
};

/// How many pieces wait to be sent.
const DEPTH: usize = 4;

/// Begins to send an image.
pub(crate) async fn create(
    name: &DaemonName,
    options: &Options,
) -> Result<DaemonDestination, Error> {
    let tag = name.tagged().cloned().ok_or_else(|| {
        let source = DaemonError::Destination(name.to_string());
        DockerTarError::DaemonDestination(source)
    })?;
    let daemon = Daemon::new(options)?;
    // Nothing is read for a daemon that is not there.
    daemon.greet().await.map_err(failure)?;
    let (to, from) = mpsc::channel(DEPTH);
    let refused = Arc::new(AtomicBool::new(false));
    let pipe = Pipe {
        to: to.clone(),
        daemon: daemon.clone(),
        runtime: Handle::current(),
        refused: refused.clone(),
    };
    let loading = daemon.clone();
    let upload = tokio::spawn(async move { loading.load(body(from)).await });
    let writer = Writer::stream(pipe, &options.tmpdir);
    let image = ImageName::DockerDaemon(name.clone());
    // A daemon unpacks layers itself, so that they are sent as short as they come.
    let (accepts, saving) = (accepts(LayerForm::AsIs), Arc::new(Saving::for_one(writer, None)));
    let archive = SavedDestination::new(image, accepts, vec![tag], saving, Rest::Nothing);
    Ok(DaemonDestination { archive, daemon, end: to, refused, upload: Upload::new(upload) })
}

/// What goes through the channel. One that is closed without an end was abandoned.
enum Message {
    Piece(Bytes),
    End,
}

fn body(from: mpsc::Receiver<Message>) -> reqwest::Body {
    let pieces = stream::try_unfold(from, |mut from| async move {
        match from.recv().await {
            Some(Message::Piece(piece)) => Ok(Some((piece, from))),
            Some(Message::End) => Ok(None),
            None => Err(io::Error::other("the image was abandoned")),
        }
    });
    reqwest::Body::wrap_stream(pieces)
}

/// The writing end, for blocking threads.
struct Pipe {
    to: mpsc::Sender<Message>,
    daemon: Daemon,
    runtime: Handle,
    refused: Arc<AtomicBool>,
}

impl Write for Pipe {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let piece = Message::Piece(Bytes::copy_from_slice(bytes));
        let sent = self.runtime.block_on(self.daemon.patiently(self.to.send(piece)));
        match sent {
            Ok(Ok(())) => Ok(bytes.len()),
            Ok(Err(_)) => {
                self.refused.store(true, Ordering::Relaxed);
                Err(io::ErrorKind::BrokenPipe.into())
            }
            Err(error) => Err(io::Error::other(error)),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The request, which ends when it is dropped.
#[derive(Debug)]
struct Upload(Mutex<Option<JoinHandle<Result<(), DaemonError>>>>);

impl Upload {
    fn new(handle: JoinHandle<Result<(), DaemonError>>) -> Self {
        Self(Mutex::new(Some(handle)))
    }

    /// What became of it; once.
    async fn result(&self) -> Option<Result<(), DaemonError>> {
        let handle = self.0.lock().await.take()?;
        let broken = |error| Err(DaemonError::Task(io::Error::other(error)));
        Some(handle.await.unwrap_or_else(broken))
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        if let Some(handle) = self.0.get_mut() {
            handle.abort();
        }
    }
}

/// A daemon that an image is sent to.
#[derive(Debug)]
pub(crate) struct DaemonDestination {
    archive: SavedDestination,
    daemon: Daemon,
    end: mpsc::Sender<Message>,
    /// Whether the daemon does not take any more.
    refused: Arc<AtomicBool>,
    upload: Upload,
}

impl DaemonDestination {
    /// That nothing can be sent any more is not worth telling: why is.
    async fn explained(&self, error: Error) -> Error {
        if !self.refused.load(Ordering::Relaxed) {
            return error;
        }
        let early = || DaemonError::Early(self.daemon.host());
        match self.daemon.patiently(self.upload.result()).await {
            Ok(Some(result)) => failure(result.err().unwrap_or_else(early)),
            Ok(None) => error,
            Err(source) => failure(source),
        }
    }
}

fn failure(source: DaemonError) -> Error {
    DockerTarError::Daemon { doing: "starting a load operation in docker engine", source }.into()
}

impl Probe for DaemonDestination {
    fn name(&self) -> &ImageName {
        self.archive.name()
    }

    fn accepts(&self) -> &Accepts {
        self.archive.accepts()
    }

    fn keeps_manifest(&self, media_type: &MediaType) -> Result<(), PutManifestError> {
        self.archive.keeps_manifest(media_type)
    }
}

#[async_trait]
impl Destination for DaemonDestination {
    async fn reuse(&self, wish: &Wish<'_>) -> Result<Option<Stored>, Error> {
        self.archive.reuse(wish).await
    }

    async fn put_blob(&self, blob: Blob, role: Role) -> Result<Stored, Error> {
        match self.archive.put_blob(blob, role).await {
            Ok(stored) => Ok(stored),
            Err(error) => Err(self.explained(error).await),
        }
    }

    async fn put_manifest(
        &self,
        manifest: &RawManifest,
        which: &Which,
    ) -> Result<(), PutManifestError> {
        self.archive.put_manifest(manifest, which).await
    }

    async fn put_signatures(&self, signatures: &[Signature], which: &Which) -> Result<(), Error> {
        self.archive.put_signatures(signatures, which).await
    }

    async fn commit(self: Box<Self>, top: &RawManifest) -> Result<(), Error> {
        let Self { archive, daemon, end, refused, upload } = *self;
        let written = Box::new(archive).commit(top).await;
        if written.is_err() && !refused.load(Ordering::Relaxed) {
            return written;
        }
        if written.is_ok() {
            // If nobody is there to hear it, the result tells why.
            let _ = end.send(Message::End).await;
        }
        let result = daemon.patiently(upload.result()).await.map_err(failure)?;
        match (written, result.unwrap_or(Ok(()))) {
            (_, Err(error)) => Err(failure(error)),
            (Err(_), Ok(())) => Err(failure(DaemonError::Early(daemon.host()))),
            (Ok(()), Ok(())) => Ok(()),
        }
    }
}
