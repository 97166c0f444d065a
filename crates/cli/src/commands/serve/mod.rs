//! `serve FOLDER`.

mod images;
mod place;
mod words;

use std::sync::Arc;

use anyhow::{Context, Result, bail};
use skopeo_server::{Access, Htpasswd, Registry, ServerOptions, Tls};
use tokio::task::spawn_blocking;
use tracing::warn;

use crate::app::{App, Signals};
use crate::args::serve::Serve;
use crate::args::value::Values;
use crate::defect;
use crate::exit::print;

use images::Images;
use place::Place;

pub(crate) fn run(app: &App, flags: &Values, arguments: &[String]) -> Result<()> {
    let [folder] = arguments else { bail!("Exactly one argument expected: the folder to serve") };
    let flags = Serve::new(flags)?;
    if flags.create && flags.read_only {
        bail!("--create and --read-only exclude each other: a folder that is made stays empty");
    }
    let options = options(folder, &flags)?;
    let scheme = if options.tls.is_some() { "https" } else { "http" };
    // An empty host means all of them, as in Go.
    let listen = match flags.listen.strip_prefix(':') {
        Some(port) => format!("0.0.0.0:{port}"),
        None => flags.listen.clone(),
    };
    defect::outlive_panics();
    app.run_uninterrupted(async {
        // Before anybody can know that there is something to end.
        let signals = Signals::listen()?;
        let place = Place::of(folder, flags.create)?;
        let (registry, is_writable) = open(app, folder, &place, options).await?;
        let serving = registry.listen(&listen).await?;
        let address = serving.address();
        print(format!("Serving {folder} on {scheme}://{address}\n"))?;
        if is_writable && flags.htpasswd.is_none() && !address.ip().is_loopback() {
            warn!(
                "Anyone who reaches {address} may change {folder}: use --htpasswd, --read-only, or \
                 listen on 127.0.0.1"
            );
        }
        tell(&registry).await?;
        // That the user ends it is how it ends.
        let _ = signals.wait().await;
        serving.stop().await;
        Ok(())
    })
}

fn options(folder: &str, flags: &Serve) -> Result<ServerOptions> {
    let mut options = ServerOptions::new(folder);
    options.create = flags.create;
    options.read_only = flags.read_only;
    options.storage.max_blob = flags.max_blob;
    options.storage.max_storage = flags.max_storage;
    if let Some(file) = &flags.htpasswd {
        options.access = Access::Basic(Htpasswd::read(file)?);
    }
    options.tls = match (&flags.tls_cert, &flags.tls_key) {
        (Some(certificate), Some(key)) => Some(Tls::read(certificate, key)?),
        (None, None) => None,
        _ => bail!("--tls-cert and --tls-key must be given together"),
    };
    Ok(options)
}

/// Opens what is served; whether it can be written to beside it.
async fn open(
    app: &App,
    folder: &str,
    place: &Place,
    mut options: ServerOptions,
) -> Result<(Registry, bool)> {
    if let Place::Images { kinds, path } = place {
        let images = Images::read(kinds, path, app.plain_options()).await;
        let images = images.with_context(|| format!("reading {folder}"))?;
        options.root = path.into();
        options.content = Some(Arc::new(images));
        return Ok((Registry::open(options)?, false));
    }
    let is_writable = !options.read_only;
    Ok((spawn_blocking(move || Registry::open(options)).await??, is_writable))
}

/// Says what is served, and what is not.
async fn tell(registry: &Registry) -> Result<()> {
    let registry = registry.clone();
    let contents = match spawn_blocking(move || registry.contents()).await? {
        Ok(contents) => contents,
        Err(error) => {
            warn!("Looking at what there is to serve: {error}");
            return Ok(());
        }
    };
    // Who started it may have read as far as the address and no further.
    let _ = print(format!("{}\n", words::contents(&contents)));
    if !contents.places.is_empty() {
        warn!("Not served: {}", words::named(&contents.places));
    }
    Ok(())
}
