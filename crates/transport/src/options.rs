//! What can be asked of a transport, one struct for each; read by exactly one folder.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use skopeo_archive::Scratch;
use skopeo_blob::MaxUnpacked;
use skopeo_config::Config;
use skopeo_image::{Platform, Reference, Secret, wanted_platforms};
use skopeo_registry::{Credentials, PaceOptions};

use crate::{Connections, ReadCache};

/// The options of one side of a copy.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Options {
    /// Of `docker:`.
    pub registry: RegistryOptions,
    /// Of `oci:`.
    pub layout: LayoutOptions,
    /// Of `dir:`.
    pub dir: DirOptions,
    /// Of `docker-archive:`.
    pub docker_archive: DockerArchiveOptions,
    /// Of `docker-daemon:`, besides the certificates of [`RegistryOptions`].
    pub daemon: DaemonOptions,
    /// Of `containers-storage:`.
    pub storage: StorageOptions,
    /// What this machine is configured to do.
    pub config: Arc<Config>,
    /// The connections of the process.
    pub connections: Arc<Connections>,
    /// What images have been read from with these.
    pub read_cache: Arc<ReadCache>,
    /// Where big temporary files go.
    pub tmpdir: PathBuf,
    /// How much may come out of an archive, or of a layer in one, that has to be unpacked.
    pub max_unpacked: MaxUnpacked,
}

impl Options {
    /// Returns options under which everything is as the configuration says.
    #[must_use]
    pub fn new(config: Arc<Config>, connections: Arc<Connections>) -> Self {
        Self {
            registry: RegistryOptions::default(),
            layout: LayoutOptions::default(),
            dir: DirOptions::default(),
            daemon: DaemonOptions::default(),
            docker_archive: DockerArchiveOptions::default(),
            storage: StorageOptions::default(),
            tmpdir: config.tmpdir().to_owned(),
            max_unpacked: MaxUnpacked::default(),
            read_cache: Arc::default(),
            config,
            connections,
        }
    }

    /// Where archives are unpacked, and how far.
    pub(crate) fn scratch(&self) -> Scratch {
        Scratch { folder: self.tmpdir.clone(), most: self.max_unpacked }
    }
}

/// Options of registries.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct RegistryOptions {
    /// The only file that credentials are looked up in.
    pub authfile: Option<PathBuf>,
    /// Credentials given by flags; they are for the registry that was named, not for its mirrors.
    pub credentials: Option<Credentials>,
    /// Ask as nobody in particular, whatever credentials there are.
    pub no_creds: bool,
    /// A bearer token that is sent as it is; it wins over all credentials.
    pub registry_token: Option<Secret>,
    /// The folder of certificates, instead of those that are searched.
    pub cert_dir: Option<PathBuf>,
    /// Whether certificates must be good and http is not spoken; otherwise registries.conf says so.
    pub tls_verify: Option<bool>,
    /// Whether to say if the tag of a name that has a digest, too, leads elsewhere by now: one
    /// request for such a name.
    pub looks_at_tags: bool,
    /// How long a connection may be silent before another one is tried; `None` for the usual time.
    pub idle_timeout: Option<Duration>,
    /// How much is asked of a registry at once.
    pub pace: PaceOptions,
    /// Over how many connections a large blob is read; `None` for one.
    pub blob_connections: Option<NonZeroUsize>,
    /// Whether a destination's tags are believed to lead where the
    /// [ledger](crate::Ledger) says, without a request.
    pub trusts_ledger: bool,
    /// The `User-Agent`; empty for the usual one.
    pub user_agent: String,
    /// Whether blobs of unknown digest are written to a temporary file, so that those the registry
    /// has need not be sent.
    pub precompute_digests: bool,
}

/// Options of layouts.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct LayoutOptions {
    /// Where blobs lie instead of in the layout's own `blobs` folder.
    pub shared_blob_dir: Option<PathBuf>,
    /// Whether plain tars may stay plain; otherwise they are compressed.
    pub accept_uncompressed_layers: bool,
}

/// Options of `docker-archive:` destinations.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct DockerArchiveOptions {
    /// Tags that the image gets beside the one in its name.
    pub additional_tags: Vec<Reference>,
    /// Layers stay packed, and plain tars become gzip; otherwise all become plain tars.
    pub compress: bool,
}

/// Options of `docker-daemon:`.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct DaemonOptions {
    /// Where the daemon is, such as `unix:///run/docker.sock`; otherwise `$DOCKER_HOST` says so.
    pub host: Option<String>,
}

/// Options of `containers-storage:`.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct StorageOptions {
    /// The platforms that serve, best first: of several images that came by one list, which is
    /// meant.
    pub platforms: Vec<Platform>,
}

impl Default for StorageOptions {
    fn default() -> Self {
        Self { platforms: wanted_platforms(None, None, None, &Platform::host()) }
    }
}

/// Options of `dir:` destinations. To compress and to decompress at once is refused.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct DirOptions {
    /// Plain tars become gzip.
    pub compress: bool,
    /// Layers become plain tars.
    pub decompress: bool,
    /// What becomes of images that are there already, in a [collection](crate::Collection).
    pub overwrite: Overwrite,
}

/// What becomes of an image that is there already.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Overwrite {
    /// It is an error.
    Never,
    /// It is written if it is another one, or not whole.
    #[default]
    Changed,
    /// It is written in any case, and no byte of what was there before is trusted.
    Always,
}

impl Overwrite {
    /// Returns the value that the flag calls so.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "never" => Some(Self::Never),
            "changed" => Some(Self::Changed),
            "always" => Some(Self::Always),
            _ => None,
        }
    }
}
