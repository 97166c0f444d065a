//! Flags of `serve`.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};

use super::command::Command;
use super::flag::{Flag, Offers};
use super::handle::Handle;
use super::limits;
use super::names;
use super::value::Values;

/// How much memory clients may take unless told otherwise.
const MEMORY: &str = "256MiB";

/// The least that `--max-memory` takes, in bytes.
const LEAST_MEMORY: u64 = 16 << 20;

/// Where `serve` listens unless told otherwise: this machine only.
const LISTEN: &str = "127.0.0.1:5000";

pub(crate) fn command() -> Command {
    Command::new("serve", "[command options] FOLDER", "Serve a folder as a registry")
        .long(
            "Serves FOLDER as a registry until it is interrupted. FOLDER is an OCI layout or a tree of layouts.\n\
             Clients can pull everything that `skopeo copy` and `skopeo sync` wrote there.\n\
             A folder of dir: images or an archive (oci-archive, docker-archive) is served read-only.\n\
             A layout in an object store is served, too, and nothing is kept on disk: s3://BUCKET/PREFIX,\n\
             gs://BUCKET/PREFIX or az://ACCOUNT/CONTAINER/PREFIX. Any number of servers can serve one bucket.\n\
             Each request is a line on stderr. GET /healthz is answered for everybody.",
        )
        .examples(&[
            "skopeo serve ./layout",
            "skopeo serve --listen :0 --read-only ./layout",
            "skopeo serve --create s3://bucket/mirror",
        ])
        .offers(Offers::Folders)
        .flags([
            Flag::new(names::CREATE,  "create FOLDER if it does not exist, or a layout in the bucket"),
            Flag::new(names::MAX_BLOB,  "refuse blobs of more than SIZE bytes, such as 500MB or 10GiB")
                .placeholder("SIZE"),
            Flag::new(names::MAX_STORAGE,
                "refuse uploads if blobs, uploads and repositories together would have more than SIZE bytes (a repository counts 16KiB, and 4KiB for each component of its name)",
            )
            .placeholder("SIZE"),
            Flag::new(names::LISTEN,  "ADDRESS:PORT to listen on; port 0 takes a free one")
                .placeholder("ADDRESS")
                .default(Some(LISTEN.to_owned())),
            Flag::new(names::READ_ONLY,  "refuse uploads and deletions"),
            Flag::new(names::HTPASSWD,
                "accept only the users of this file (bcrypt); the file is read again when it changes",
            )
            .placeholder("FILE")
            .offers(Offers::Files),
            Flag::new(names::TLS_CERT,  "use HTTPS with this certificate chain (PEM)")
                .placeholder("FILE")
                .offers(Offers::Files),
            Flag::new(names::TLS_KEY,  "private key of the certificate of --tls-cert (PEM)")
                .placeholder("FILE")
                .offers(Offers::Files),
            Flag::new(names::ALLOWED_HOST,
                "also answer to this host name, and allow pushes from its pages (repeatable); if the address is not loopback, answer to no other name",
            )
            .placeholder("NAME"),
            Flag::new(names::MAX_MEMORY,  "allow clients to use up to SIZE bytes of memory")
                .placeholder("SIZE")
                .default(Some(MEMORY.to_owned())),
            Flag::new(names::MAX_CLIENTS,
                "serve up to N connections at once; fewer if memory or open files are not enough",
            )
            .placeholder("N")
            .default(Some("1024".to_owned())),
            Flag::new(names::MAX_CLIENTS_PER_ADDRESS,
                "allow N connections of one address (default: half of all; for this machine all)",
            )
            .placeholder("N"),
            Flag::new(names::LOG,
                "append a line for each request to FILE; \"-\" is stderr, \"none\" writes no lines",
            )
            .placeholder("FILE")
            .default(Some("-".to_owned()))
            .offers(Offers::Files),
            Flag::new(names::LOG_FORMAT,  "write the lines of --log as text or json")
                .placeholder("FORMAT")
                .default(Some("text".to_owned()))
                .offers(Offers::Words(&["text", "json"])),
        ])
}

/// Where a line for each request goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Log {
    Nowhere,
    Stderr,
    File(PathBuf),
}

/// How a line for each request looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LogFormat {
    Text,
    Json,
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
    pub(crate) allowed_hosts: Vec<String>,
    /// In bytes.
    pub(crate) max_memory: Option<u64>,
    pub(crate) max_clients: Option<NonZeroUsize>,
    pub(crate) max_clients_per_address: Option<NonZeroUsize>,
    pub(crate) log: Log,
    pub(crate) log_format: LogFormat,
}

impl Serve {
    /// # Errors
    /// If a value is not what its flag wants.
    pub(crate) fn new(values: &Values) -> Result<Self> {
        let path = |name| values.text(name).map(PathBuf::from);
        Ok(Self {
            create: values.switch(names::CREATE),
            max_blob: limits::size(values, names::MAX_BLOB)?,
            max_storage: limits::size(values, names::MAX_STORAGE)?,
            listen: values.maybe_text(names::LISTEN).unwrap_or(LISTEN).to_owned(),
            read_only: values.switch(names::READ_ONLY),
            htpasswd: path(names::HTPASSWD),
            tls_cert: path(names::TLS_CERT),
            tls_key: path(names::TLS_KEY),
            allowed_hosts: allowed_hosts(values)?,
            max_memory: max_memory(values)?,
            max_clients: count(values, names::MAX_CLIENTS)?,
            max_clients_per_address: count(values, names::MAX_CLIENTS_PER_ADDRESS)?,
            log: match values.maybe_text(names::LOG) {
                None | Some("-") => Log::Stderr,
                Some("none" | "") => Log::Nowhere,
                Some(file) => Log::File(file.into()),
            },
            log_format: match values.maybe_text(names::LOG_FORMAT) {
                None | Some("text") => LogFormat::Text,
                Some("json") => LogFormat::Json,
                Some(other) => bail!("invalid --log-format {other:?}: want text or json"),
            },
        })
    }
}

fn allowed_hosts(values: &Values) -> Result<Vec<String>> {
    let hosts = values.texts(names::ALLOWED_HOST);
    for host in hosts {
        if host.is_empty() || host.contains(['/', ' ', '*']) {
            bail!(
                "invalid --allowed-host {host:?}: want the name of a host, such as registry.example"
            );
        }
    }
    Ok(hosts.to_vec())
}

fn max_memory(values: &Values) -> Result<Option<u64>> {
    let size = limits::size(values, names::MAX_MEMORY)?;
    if size.is_some_and(|size| size < LEAST_MEMORY) {
        bail!("invalid --max-memory: want at least 16MiB");
    }
    Ok(size)
}

fn count(values: &Values, flag: Handle<u64>) -> Result<Option<NonZeroUsize>> {
    let Some(number) = values.uint(flag) else { return Ok(None) };
    let number = usize::try_from(number).ok().and_then(NonZeroUsize::new);
    number.with_context(|| format!("invalid --{flag}: want at least 1")).map(Some)
}
