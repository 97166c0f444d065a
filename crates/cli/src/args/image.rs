//! Flags about images and registries that commands share, with the prefixes src- and dest-.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Result, bail};
use skopeo_copy::Retry;
use skopeo_image::Secret;

use super::flag::{Flag, Offers};
use super::handle::{Handle, Prefix};
use super::names;
use super::value::Values;

/// `--authfile`, which covers all images of a command. `from_environment` is `$REGISTRY_AUTH_FILE`.
pub(crate) fn shared(from_environment: Option<String>) -> Flag {
    Flag::new(names::AUTHFILE, AUTHFILE).default(from_environment).offers(Offers::Files)
}

const AUTHFILE: &str =
    "file with the credentials for registries. Default is ${XDG_RUNTIME_DIR}/containers/auth.json";

/// What it takes to reach a registry. `alias` is another name for `--PREFIXcreds`.
pub(crate) fn registry(prefix: Prefix, alias: Option<Handle<String>>) -> Vec<Flag> {
    let mut flags = vec![
        Flag::new(names::CREDS.of(prefix), "log in to the registry as USERNAME with PASSWORD")
            .placeholder("USERNAME[:PASSWORD]"),
        Flag::new(names::USERNAME.of(prefix), "user name for the registry"),
        Flag::new(names::PASSWORD.of(prefix), "password for the registry"),
        Flag::new(names::REGISTRY_TOKEN.of(prefix), "bearer token for the registry, sent as it is"),
        Flag::new(
            names::CERT_DIR.of(prefix),
            "folder of certificates and keys (*.crt, *.cert, *.key) for the registry or daemon",
        )
        .placeholder("PATH")
        .offers(Offers::Folders),
        Flag::new(
            names::TLS_VERIFY.of(prefix),
            "require HTTPS and a valid certificate; =false does not require them",
        ),
        Flag::new(names::NO_CREDS.of(prefix), "access the registry without credentials"),
    ];
    if prefix != Prefix::None {
        flags.push(Flag::new(names::AUTHFILE.of(prefix), AUTHFILE).offers(Offers::Files));
    }
    if let Some(alias) = alias {
        flags.push(
            Flag::new(alias, "log in to the registry as USERNAME with PASSWORD")
                .alias_of(names::CREDS.of(prefix)),
        );
    }
    flags
}

/// What it takes to reach an image.
pub(crate) fn image(prefix: Prefix, alias: Option<Handle<String>>) -> Vec<Flag> {
    let mut flags = registry(prefix, alias);
    flags.push(
        Flag::new(names::SHARED_BLOB_DIR.of(prefix), "folder where OCI layouts share their blobs")
            .placeholder("DIRECTORY")
            .offers(Offers::Folders),
    );
    flags.push(
        Flag::new(
            names::DAEMON_HOST.of(prefix),
            "address of the docker daemon (docker-daemon: only)",
        )
        .placeholder("HOST"),
    );
    flags
}

/// `--retry-times` and `--retry-delay`.
pub(crate) fn retry() -> [Flag; 2] {
    [
        Flag::new(names::RETRY_TIMES, "number of new tries after a temporary failure"),
        Flag::new(
            names::RETRY_DELAY,
            "time to wait before each new try, instead of 1, 2, 4, ... seconds",
        ),
    ]
}

/// What the flags said about one image.
#[derive(Clone, Debug, Default)]
pub(crate) struct Image {
    pub(crate) authfile: Option<PathBuf>,
    pub(crate) identity: Identity,
    pub(crate) registry_token: Option<Secret>,
    pub(crate) cert_dir: Option<PathBuf>,
    pub(crate) tls_verify: Option<bool>,
    pub(crate) shared_blob_dir: Option<PathBuf>,
    pub(crate) daemon_host: Option<String>,
    /// Nothing is to be said that is no failure.
    pub(crate) quiet: bool,
}

/// As whom to talk to the registry.
#[derive(Clone, Debug, Default)]
pub(crate) enum Identity {
    /// As the configuration says.
    #[default]
    Configured,
    /// As nobody.
    Anonymous,
    /// As this user.
    User { name: String, password: Secret },
}

impl Image {
    /// Reads the flags with this prefix; `root` is the deprecated `--tls-verify` before the
    /// command, which any nearer one overrides.
    pub(crate) fn new(
        values: &Values,
        prefix: Prefix,
        from_environment: Option<&str>,
        root: Option<bool>,
    ) -> Result<Self> {
        let path = |flag: Handle<String>| values.text(flag.of(prefix)).map(PathBuf::from);
        let authfile = match values.maybe_text(names::AUTHFILE.of(prefix)) {
            Some(own) => Some(own),
            None => values.maybe_text(names::AUTHFILE).or(from_environment),
        };
        let tls_verify = values
            .maybe_switch(names::TLS_VERIFY.of(prefix))
            .or_else(|| values.maybe_switch(names::TLS_VERIFY))
            .or(root);
        Ok(Self {
            authfile: authfile.map(PathBuf::from),
            identity: identity(values, prefix)?,
            registry_token: values.maybe_text(names::REGISTRY_TOKEN.of(prefix)).map(Secret::from),
            cert_dir: path(names::CERT_DIR),
            tls_verify,
            shared_blob_dir: path(names::SHARED_BLOB_DIR),
            daemon_host: values.text(names::DAEMON_HOST.of(prefix)).map(str::to_owned),
            quiet: values.switch(names::QUIET),
        })
    }
}

fn identity(values: &Values, prefix: Prefix) -> Result<Identity> {
    let creds = values.maybe_text(names::CREDS.of(prefix));
    let username = values.maybe_text(names::USERNAME.of(prefix));
    let password = values.maybe_text(names::PASSWORD.of(prefix));
    let anonymous = values.switch(names::NO_CREDS.of(prefix));
    if creds.is_some() && anonymous {
        bail!("creds and no-creds cannot be specified at the same time");
    }
    if username.is_some() && anonymous {
        bail!("username and no-creds cannot be specified at the same time");
    }
    if creds.is_some() && username.is_some() {
        bail!("creds and username cannot be specified at the same time");
    }
    match (username, password) {
        (Some(_), None) => bail!("password must be specified when username is specified"),
        (None, Some(_)) => bail!("username must be specified when password is specified"),
        (Some(name), Some(password)) => {
            return Ok(Identity::User { name: name.to_owned(), password: password.into() });
        }
        (None, None) => {}
    }
    if let Some(creds) = creds {
        if creds.is_empty() {
            bail!("credentials can't be empty");
        }
        let (name, password) = creds.split_once(':').unwrap_or((creds, ""));
        if name.is_empty() {
            bail!("username can't be empty");
        }
        return Ok(Identity::User { name: name.to_owned(), password: password.into() });
    }
    Ok(if anonymous { Identity::Anonymous } else { Identity::Configured })
}

/// What the flags of [`retry`] say.
pub(crate) fn retries(values: &Values) -> Retry {
    let nanos = values.duration(names::RETRY_DELAY).0;
    let delay = Duration::from_nanos(u64::try_from(nanos).unwrap_or_default());
    Retry {
        times: u64::try_from(values.int(names::RETRY_TIMES).unwrap_or_default())
            .unwrap_or_default(),
        delay: (nanos != 0).then_some(delay),
    }
}
