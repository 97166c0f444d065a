//! `serve FOLDER`.

use anyhow::{Result, bail};
use skopeo_server::{Access, Htpasswd, Registry, ServerOptions, Tls};
use tracing::warn;

use crate::app::{App, Signals};
use crate::args::serve::Serve;
use crate::args::value::Values;
use crate::defect;
use crate::exit::print;

pub(crate) fn run(app: &App, flags: &Values, arguments: &[String]) -> Result<()> {
    let [folder] = arguments else { bail!("Exactly one argument expected: the folder to serve") };
    let flags = Serve::new(flags)?;
    if flags.create && flags.read_only {
        bail!("--create and --read-only exclude each other: a folder that is made stays empty");
    }
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
    let scheme = if options.tls.is_some() { "https" } else { "http" };
    // An empty host means all of them, as in Go.
    let listen = match flags.listen.strip_prefix(':') {
        Some(port) => format!("0.0.0.0:{port}"),
        None => flags.listen.clone(),
    };
    let writable_by_anyone = !flags.read_only && flags.htpasswd.is_none();
    defect::outlive_panics();
    let registry = Registry::open(options)?;
    app.run_uninterrupted(async {
        // Before anybody can know that there is something to end.
        let signals = Signals::listen()?;
        let serving = registry.listen(&listen).await?;
        let address = serving.address();
        print(format!("Serving {folder} on {scheme}://{address}\n"))?;
        if writable_by_anyone && !address.ip().is_loopback() {
            warn!(
                "Anyone who reaches {address} may change {folder}: use --htpasswd, --read-only, or \
                 listen on 127.0.0.1"
            );
        }
        // That the user ends it is how it ends.
        let _ = signals.wait().await;
        serving.stop().await;
        Ok(())
    })
}
