//! Flags about images and registries that commands share, with the prefixes src- and dest-.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Result, bail};
use skopeo_copy::Retry;
use skopeo_image::Secret;

use super::flag::{Flag, Offers};
use super::kind::Kind;
use super::value::Values;

/// `--authfile`, which covers all images of a command. `from_environment` is `$REGISTRY_AUTH_FILE`.
pub(crate) fn shared(from_environment: Option<String>) -> Flag {
    Flag::text("authfile", AUTHFILE).default(from_environment).offers(Offers::Files)
}

const AUTHFILE: &str =
    "file with the credentials for registries. Default is ${XDG_RUNTIME_DIR}/containers/auth.json";

/// What it takes to reach a registry. `alias` is another name for `--PREFIXcreds`.
pub(crate) fn registry(prefix: &str, alias: Option<&str>) -> Vec<Flag> {
    let name = |name: &str| format!("{prefix}{name}");
    let mut flags = vec![
        Flag::text(name("creds"), "log in to the registry as USERNAME with PASSWORD")
            .placeholder("USERNAME[:PASSWORD]"),
        Flag::text(name("username"), "user to log in to the registry as"),
        Flag::text(name("password"), "password to log in to the registry with"),
        Flag::text(name("registry-token"), "bearer token to show to the registry as it is"),
        Flag::text(
            name("cert-dir"),
            "folder of certificates and keys (*.crt, *.cert, *.key) for the registry or daemon",
        )
        .placeholder("PATH")
        .offers(Offers::Folders),
        Flag::switch(
            name("tls-verify"),
            "insist on HTTPS with a certificate that can be verified; =false does without",
        ),
        Flag::switch(name("no-creds"), "talk to the registry without credentials"),
    ];
    if !prefix.is_empty() {
        flags.push(Flag::text(name("authfile"), AUTHFILE).offers(Offers::Files));
    }
    if let Some(alias) = alias {
        flags.push(
            Flag::text(alias, "log in to the registry as USERNAME with PASSWORD")
                .alias_of(name("creds")),
        );
    }
    flags
}

/// What it takes to reach an image.
pub(crate) fn image(prefix: &str, alias: Option<&str>) -> Vec<Flag> {
    let mut flags = registry(prefix, alias);
    flags.push(
        Flag::text(
            format!("{prefix}shared-blob-dir"),
            "folder where OCI layouts share their blobs",
        )
        .placeholder("DIRECTORY")
        .offers(Offers::Folders),
    );
    flags.push(
        Flag::text(
            format!("{prefix}daemon-host"),
            "docker daemon to talk to (docker-daemon: only)",
        )
        .placeholder("HOST"),
    );
    flags
}

/// `--retry-times` and `--retry-delay`.
pub(crate) fn retry() -> [Flag; 2] {
    [
        Flag::new("retry-times", Kind::Int, "how often to try again after a passing failure"),
        Flag::new(
            "retry-delay",
            Kind::Duration,
            "how long to wait before each new try, instead of 1, 2, 4, ... seconds",
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
        prefix: &str,
        from_environment: Option<&str>,
        root: Option<bool>,
    ) -> Result<Self> {
        let name = |name: &str| format!("{prefix}{name}");
        let path = |name: &str| values.text(name).map(PathBuf::from);
        let authfile = match values.maybe_text(&name("authfile")) {
            Some(own) => Some(own),
            None => values.maybe_text("authfile").or(from_environment),
        };
        let tls_verify = values
            .maybe_switch(&name("tls-verify"))
            .or_else(|| values.maybe_switch("tls-verify"))
            .or(root);
        Ok(Self {
            authfile: authfile.map(PathBuf::from),
            identity: identity(values, prefix)?,
            registry_token: values.maybe_text(&name("registry-token")).map(Secret::from),
            cert_dir: path(&name("cert-dir")),
            tls_verify,
            shared_blob_dir: path(&name("shared-blob-dir")),
            daemon_host: values.text(&name("daemon-host")).map(str::to_owned),
            quiet: values.switch("quiet"),
        })
    }
}

fn identity(values: &Values, prefix: &str) -> Result<Identity> {
    let creds = values.maybe_text(&format!("{prefix}creds"));
    let username = values.maybe_text(&format!("{prefix}username"));
    let password = values.maybe_text(&format!("{prefix}password"));
    let anonymous = values.switch(&format!("{prefix}no-creds"));
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
    let nanos = values.duration("retry-delay").0;
    let delay = Duration::from_nanos(u64::try_from(nanos).unwrap_or_default());
    Retry {
        times: u64::try_from(values.int("retry-times").unwrap_or_default()).unwrap_or_default(),
        delay: (nanos != 0).then_some(delay),
    }
}
