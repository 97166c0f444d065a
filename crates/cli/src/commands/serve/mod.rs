//! `serve FOLDER`.

mod bucket;
mod images;
mod log;
mod served;
mod words;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use skopeo_server::{Access, Hosts, Htpasswd, Memory, Registry, ServerOptions, Tls};
use tokio::task::spawn_blocking;
use tracing::{debug, warn};

use crate::app::App;
use crate::args::serve::Serve;
use crate::args::value::Values;
use crate::defect;
use crate::exit::print;
use crate::logging;
use crate::signals::Signals;

use images::Images;
use served::Served;

/// The port of registries, where none is given.
const PORT: u16 = 5000;

pub(crate) fn run(app: &App, flags: &Values, arguments: &[String]) -> Result<()> {
    let [folder] = arguments else { bail!("Exactly one argument expected: the folder to serve") };
    let flags = Serve::new(flags)?;
    if flags.create && flags.read_only {
        bail!("--create and --read-only cannot be used together: a new folder would stay empty");
    }
    // Whoever reads stderr slowly, or not at all, must not hold up clients.
    let _apart = logging::apart().context("starting a thread for the log")?;
    let options = options(folder, &flags)?;
    let scheme = if options.tls.is_some() { "https" } else { "http" };
    let listen = address_of(&flags.listen);
    allow_files();
    defect::outlive_panics();
    app.run_uninterrupted(async {
        // Before anybody can know that there is something to end.
        let signals = Signals::listen()?;
        let served = Served::of(folder, flags.create)?;
        let (registry, is_writable) = open(app, folder, &served, options).await?;
        let serving = registry.listen(&listen).await?;
        let address = serving.address();
        print(format!("Serving {folder} on {scheme}://{address}\n"))?;
        warn_of_strangers(&flags, folder, address, is_writable);
        announce(&registry).await?;
        // That the user ends it is how it ends.
        let _ = signals.wait().await;
        serving.stop().await;
        registry.settle().await;
        Ok(())
    })
}

fn options(folder: &str, flags: &Serve) -> Result<ServerOptions> {
    let mut options = ServerOptions::new(folder);
    options.create = flags.create;
    options.read_only = flags.read_only;
    options.storage.max_blob = flags.max_blob;
    options.storage.max_storage = flags.max_storage;
    options.hosts = Hosts::Known(flags.allowed_hosts.clone());
    options.log = log::open(&flags.log, flags.log_format)?;
    if let Some(file) = &flags.htpasswd {
        options.access = Access::Basic(Htpasswd::read(file)?);
    }
    options.tls = match (&flags.tls_cert, &flags.tls_key) {
        (Some(certificate), Some(key)) => Some(Tls::read(certificate, key)?),
        (None, None) => None,
        _ => bail!("--tls-cert and --tls-key must be given together"),
    };
    let limits = &mut options.limits;
    if let Some(bytes) = flags.max_memory {
        limits.memory = Memory::new(bytes);
    }
    if let Some(clients) = flags.max_clients {
        limits.connections = clients.get();
    }
    limits.connections_per_address = flags.max_clients_per_address.map(Into::into);
    Ok(options)
}

/// Opens what is served; whether it can be written to beside it.
async fn open(
    app: &App,
    folder: &str,
    served: &Served,
    mut options: ServerOptions,
) -> Result<(Registry, bool)> {
    if let Served::Images { kinds, path } = served {
        let images = Images::read(kinds, path, app.plain_options()).await;
        let images = images.with_context(|| format!("reading {folder}"))?;
        options.root = path.into();
        options.content = Some(Arc::new(images));
        return Ok((Registry::open(options)?, false));
    }
    let is_writable = !options.read_only;
    if let Served::Bucket(url) = served {
        return Ok((bucket::open(app, url, options).await?, is_writable));
    }
    Ok((spawn_blocking(move || Registry::open(options)).await??, is_writable))
}

/// Says what is served, and what is not.
async fn announce(registry: &Registry) -> Result<()> {
    let registry = registry.clone();
    let contents = match spawn_blocking(move || registry.contents()).await? {
        Ok(contents) => contents,
        Err(error) => {
            warn!("Reading the served folder: {error}");
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

/// The address to listen on: an empty host means all of them, as in Go, and the port may be left out.
fn address_of(listen: &str) -> String {
    let bare = listen.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(listen);
    if let Ok(address) = bare.parse::<IpAddr>() {
        return SocketAddr::new(address, PORT).to_string();
    }
    match listen.rsplit_once(':') {
        Some(("", port)) => format!("0.0.0.0:{port}"),
        Some(_) => listen.to_owned(),
        None => format!("{listen}:{PORT}"),
    }
}

/// Says what whoever reaches the address can do.
fn warn_of_strangers(flags: &Serve, folder: &str, address: SocketAddr, is_writable: bool) {
    if address.ip().to_canonical().is_loopback() {
        return;
    }
    match (&flags.htpasswd, is_writable) {
        (None, true) => warn!(
            "Everybody who can reach {address} may change {folder}: use --htpasswd, --read-only, or \
             listen on 127.0.0.1"
        ),
        (None, false) => warn!(
            "Everybody who can reach {address} may read {folder}: use --htpasswd, or listen on 127.0.0.1"
        ),
        (Some(_), _) if flags.tls_cert.is_none() => warn!(
            "Passwords reach {address} unencrypted: use --tls-cert and --tls-key, or listen on \
             127.0.0.1 behind a proxy with HTTPS"
        ),
        (Some(_), _) => {}
    }
}

/// As many open files as the system lets us have: each client takes two.
fn allow_files() {
    let limit = getrlimit(Resource::Nofile);
    let most = Rlimit { current: limit.maximum, maximum: limit.maximum };
    if let Err(error) = setrlimit(Resource::Nofile, most) {
        debug!("allowing more open files: {error}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        for (listen, address) in [
            ("127.0.0.1:5000", "127.0.0.1:5000"),
            (":0", "0.0.0.0:0"),
            (":5000", "0.0.0.0:5000"),
            ("0.0.0.0", "0.0.0.0:5000"),
            ("::", "[::]:5000"),
            ("[::]", "[::]:5000"),
            ("[::1]:80", "[::1]:80"),
            ("localhost", "localhost:5000"),
            ("localhost:80", "localhost:80"),
        ] {
            assert_eq!(address_of(listen), address, "{listen}");
        }
    }
}
