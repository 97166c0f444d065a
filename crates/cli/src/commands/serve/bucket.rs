//! A layout in a bucket: a registry that keeps nothing on this machine.

use std::io::ErrorKind;
use std::path::PathBuf;

use anyhow::{Context, Result};
use skopeo_blob::FileError;
use skopeo_image::ErrorClass;
use skopeo_server::{BucketOptions, Error, Memory, Registry, ServerOptions};
use tokio::task::spawn_blocking;

use crate::app::App;
use crate::exit::Classed;

/// Opens the layout in a bucket. Three eighths of the memory are for what clients upload, on its way
/// to the store.
///
/// # Errors
/// If it cannot be read, or holds no layout and is not to be made.
pub(super) async fn open(app: &App, url: &str, mut server: ServerOptions) -> Result<Registry> {
    let serving = || format!("serving {url}");
    let options = app.plain_options();
    let store = skopeo_transport::bucket_store(url, &options).await.with_context(serving)?;
    let memory = server.limits.memory.bytes();
    let upload_memory = (memory / 8).saturating_mul(3);
    let rest = memory.saturating_sub(upload_memory);
    server.limits.memory = Memory::new(u64::try_from(rest).unwrap_or(u64::MAX));
    server.bucket = Some(BucketOptions { store, upload_memory });
    // Nothing is in a folder here, and none is looked into.
    server.root = PathBuf::from("/");
    let create = server.create;
    match spawn_blocking(move || Registry::open(server)).await? {
        Err(Error::Io(error)) if error.kind() == ErrorKind::NotFound && !create => {
            Err(missing(url, &error).into())
        }
        opened => opened.with_context(serving),
    }
}

fn missing(url: &str, error: &FileError) -> Classed {
    Classed {
        class: ErrorClass::NotFound,
        sentence: format!("serving {url}: {error}"),
        hint: Some("use --create to make a layout there".to_owned()),
    }
}
