//! Flags of `serve`.

use std::path::PathBuf;

use anyhow::Result;

use super::command::Command;
use super::flag::{Flag, Offers};
use super::limits;
use super::value::Values;

/// Where `serve` listens unless told otherwise: this machine only.
const LISTEN: &str = "127.0.0.1:5000";

pub(crate) fn command() -> Command {
    Command::new("serve", "[command options] FOLDER", "Serve a folder as a registry")
        .long(
            "Serves FOLDER, one OCI layout or a tree of them, as a registry, until it is interrupted.\n\
             What `skopeo copy` and `skopeo sync` wrote there can be pulled as it is.\n\
             A folder of dir: images and an archive (oci-archive, docker-archive) are served too, read-only.",
        )
        .examples(&["skopeo serve ./layout", "skopeo serve --listen :0 --read-only ./layout"])
        .offers(Offers::Folders)
        .flags([
            Flag::switch("create", "make FOLDER if it is missing"),
            Flag::text("max-blob", "refuse blobs of more than SIZE bytes, such as 500MB or 10GiB")
                .placeholder("SIZE"),
            Flag::text(
                "max-storage",
                "refuse what would make blobs and uploads take more than SIZE bytes together",
            )
            .placeholder("SIZE"),
            Flag::text("listen", "ADDRESS:PORT to listen on; port 0 takes a free one")
                .placeholder("ADDRESS")
                .default(Some(LISTEN.to_owned())),
            Flag::switch("read-only", "refuse uploads and deletions"),
            Flag::text("htpasswd", "let in only the users of this file (bcrypt)")
                .placeholder("FILE")
                .offers(Offers::Files),
            Flag::text("tls-cert", "speak HTTPS with this certificate chain (PEM)")
                .placeholder("FILE")
                .offers(Offers::Files),
            Flag::text("tls-key", "the private key of that certificate (PEM)")
                .placeholder("FILE")
                .offers(Offers::Files),
        ])
}

/// What the flags of `serve` said.
#[derive(Clone, Debug)]
pub(crate) struct Serve {
    pub(crate) listen: String,
    pub(crate) create: bool,
    pub(crate) max_blob: Option<u64>,
    pub(crate) max_storage: Option<u64>,
    pub(crate) read_only: bool,
    pub(crate) htpasswd: Option<PathBuf>,
    pub(crate) tls_cert: Option<PathBuf>,
    pub(crate) tls_key: Option<PathBuf>,
}

impl Serve {
    /// # Errors
    /// If a size is none.
    pub(crate) fn new(values: &Values) -> Result<Self> {
        let path = |name| values.text(name).map(PathBuf::from);
        Ok(Self {
            create: values.switch("create"),
            max_blob: limits::size(values, "max-blob")?,
            max_storage: limits::size(values, "max-storage")?,
            listen: values.maybe_text("listen").unwrap_or(LISTEN).to_owned(),
            read_only: values.switch("read-only"),
            htpasswd: path("htpasswd"),
            tls_cert: path("tls-cert"),
            tls_key: path("tls-key"),
        })
    }
}
