//! Flags of every command.

use std::path::PathBuf;

use super::flag::{Flag, Kind, Offers};
use super::value::{GoDuration, Values};

/// The flags that every command takes.
pub(crate) fn flags() -> Vec<Flag> {
    vec![
        Flag::new(
            "command-timeout",
            Kind::Duration,
            "end the command with an error after this time",
        ),
        Flag::new(
            "idle-timeout",
            Kind::Duration,
            "go on over another connection after this time without a byte; 0 is one minute",
        ),
        Flag::switch("debug", "log on stderr what is done and why"),
        Flag::switch("insecure-policy", "accept every image: read no trust policy"),
        Flag::text(
            "override-arch",
            "choose images for ARCH instead of this machine's architecture",
        )
        .placeholder("ARCH"),
        Flag::text("override-os", "choose images for OS instead of the running one")
            .placeholder("OS"),
        Flag::text("override-variant", "choose images for VARIANT of the architecture")
            .placeholder("VARIANT"),
        Flag::text("policy", "trust policy file to use").offers(Offers::Files),
        Flag::text("registries-conf", "registries.conf file to use").hidden().offers(Offers::Files),
        Flag::text("registries.d", "folder of files that say where registries keep signatures")
            .placeholder("DIR")
            .offers(Offers::Folders),
        Flag::switch("require-signed", "accept only images of which some signature was verified"),
        Flag::text("tls-details", "file with details of TLS: containers-tls-details.yaml(5)")
            .offers(Offers::Files),
        Flag::text("tmpdir", "folder for big temporary files").offers(Offers::Folders),
        Flag::text("user-agent-prefix", "text to put before our name in the User-Agent header"),
    ]
}

/// What those flags said.
#[derive(Clone, Debug, Default)]
pub(crate) struct Global {
    pub(crate) debug: bool,
    pub(crate) timeout: GoDuration,
    /// How long a connection may be silent.
    pub(crate) idle_timeout: GoDuration,
    pub(crate) insecure_policy: bool,
    pub(crate) require_signed: bool,
    pub(crate) policy: Option<PathBuf>,
    pub(crate) registries_conf: Option<PathBuf>,
    pub(crate) registries_d: Option<PathBuf>,
    pub(crate) tls_details: Option<PathBuf>,
    pub(crate) tmpdir: Option<PathBuf>,
    pub(crate) os: Option<String>,
    pub(crate) architecture: Option<String>,
    pub(crate) variant: Option<String>,
    pub(crate) user_agent_prefix: Option<String>,
    /// The root's own `--tls-verify`, which is deprecated.
    pub(crate) tls_verify: Option<bool>,
}

impl Global {
    pub(crate) fn new(values: &Values, root: &Values) -> Self {
        let path = |name| values.text(name).map(PathBuf::from);
        let text = |name| values.text(name).map(str::to_owned);
        Self {
            debug: values.switch("debug"),
            timeout: values.duration("command-timeout"),
            idle_timeout: values.duration("idle-timeout"),
            insecure_policy: values.switch("insecure-policy"),
            require_signed: values.switch("require-signed"),
            policy: path("policy"),
            registries_conf: path("registries-conf"),
            registries_d: path("registries.d"),
            tls_details: path("tls-details"),
            tmpdir: path("tmpdir"),
            os: text("override-os"),
            architecture: text("override-arch"),
            variant: text("override-variant"),
            user_agent_prefix: text("user-agent-prefix"),
            tls_verify: root.maybe_switch("tls-verify"),
        }
    }
}

impl Global {
    /// What holds for every command before it runs.
    pub(crate) fn check(&self) -> anyhow::Result<()> {
        if self.tls_verify.is_some() {
            tracing::warn!(
                "'--tls-verify' is deprecated, please set this on the specific subcommand"
            );
        }
        if self.insecure_policy && self.require_signed {
            anyhow::bail!("--insecure-policy and --require-signed are mutually exclusive");
        }
        Ok(())
    }
}
