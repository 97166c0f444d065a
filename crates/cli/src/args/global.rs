//! Flags of every command.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use anyhow::Context as _;
use skopeo_blob::MaxUnpacked;
use skopeo_registry::PaceOptions;

use super::flag::{Flag, Offers};
use super::kind::Kind;
use super::size;
use super::value::{self, GoDuration, Value, Values};
use crate::exit::{ErrorFormat, ExitCodes, Manner};
use crate::go;

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
        Flag::text("error-format", "how to tell on stderr why the command failed (text or json)")
            .offers(Offers::Words(&ERROR_FORMATS)),
        Flag::text(
            "exit-codes",
            "original: 1, and 2 for what does not exist; detailed: a code for each kind of error",
        )
        .offers(Offers::Words(&EXIT_CODES)),
        Flag::new(
            "max-connections",
            Kind::Uint,
            "how many requests may be under way at each registry; 0 is as many as there are",
        ),
        Flag::text(
            "max-requests-per-second",
            "how many requests may be sent to each registry in a second, such as 10 or 0.5",
        )
        .placeholder("NUMBER"),
        Flag::text(
            "max-unpacked",
            "how much may come out of one packed archive or layer, such as 50GiB; 0 is no limit. \
             Default is 10 GiB, and 100 times what is packed where that is more",
        )
        .placeholder("SIZE"),
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

/// The values of `--error-format`.
const ERROR_FORMATS: [&str; 2] = ["text", "json"];

/// The values of `--exit-codes`.
const EXIT_CODES: [&str; 2] = ["original", "detailed"];

/// In which manner failures are to be told.
///
/// # Errors
/// If a value is none of those there are.
pub(crate) fn manner(values: &Values) -> anyhow::Result<Manner> {
    let errors = match value::choice(values, "error-format", &ERROR_FORMATS)? {
        Some("json") => ErrorFormat::Json,
        _ => ErrorFormat::Text,
    };
    let exit_codes = match value::choice(values, "exit-codes", &EXIT_CODES)? {
        Some("detailed") => ExitCodes::Detailed,
        _ => ExitCodes::Original,
    };
    Ok(Manner { errors, exit_codes })
}

/// The same from words that make no command, as far as it can be seen.
pub(crate) fn manner_of_words(words: &[String]) -> Manner {
    let mut values = Values::default();
    for (at, word) in words.iter().enumerate().take_while(|(_, word)| *word != "--") {
        for name in ["error-format", "exit-codes"] {
            let rest = word.strip_prefix("--").and_then(|word| word.strip_prefix(name));
            let value = match rest {
                Some("") => words.get(at.saturating_add(1)).map(String::as_str),
                Some(rest) => rest.strip_prefix('='),
                None => None,
            };
            if let Some(value) = value {
                values.set(name, Value::Text(value.to_owned()));
            }
        }
    }
    manner(&values).unwrap_or_default()
}

/// What those flags said.
#[derive(Clone, Debug, Default)]
pub(crate) struct Global {
    pub(crate) debug: bool,
    pub(crate) exit_codes: ExitCodes,
    pub(crate) timeout: GoDuration,
    /// How long a connection may be silent.
    pub(crate) idle_timeout: GoDuration,
    /// How many requests may be in flight at a registry.
    pub(crate) max_connections: Option<NonZeroUsize>,
    pub(crate) max_requests_per_second: Option<String>,
    pub(crate) max_unpacked: Option<String>,
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
            exit_codes: manner(values).map(|manner| manner.exit_codes).unwrap_or_default(),
            timeout: values.duration("command-timeout"),
            idle_timeout: values.duration("idle-timeout"),
            max_connections: values
                .uint("max-connections")
                .and_then(|most| NonZeroUsize::new(usize::try_from(most).unwrap_or(usize::MAX))),
            max_requests_per_second: text("max-requests-per-second"),
            max_unpacked: values.maybe_text("max-unpacked").map(str::to_owned),
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
        self.per_second()?;
        self.try_max_unpacked()?;
        Ok(())
    }

    /// How much may come out of what is packed.
    pub(crate) fn max_unpacked(&self) -> MaxUnpacked {
        // The flag has been checked.
        self.try_max_unpacked().unwrap_or_default()
    }

    fn try_max_unpacked(&self) -> anyhow::Result<MaxUnpacked> {
        self.max_unpacked.as_deref().map_or(Ok(MaxUnpacked::Usual), size::max_unpacked)
    }

    /// How much is asked of a registry at once.
    pub(crate) fn pace(&self) -> PaceOptions {
        // The flag has been checked.
        let per_second = self.per_second().unwrap_or_default();
        PaceOptions { in_flight: self.max_connections, per_second }
    }

    fn per_second(&self) -> anyhow::Result<Option<f64>> {
        let Some(text) = &self.max_requests_per_second else { return Ok(None) };
        let number = text.parse().ok().filter(|number| (0.001..=1e6).contains(number));
        number.map(Some).with_context(|| {
            let quoted = go::quote(text);
            format!("--max-requests-per-second {quoted}: want a number, such as 10 or 0.5")
        })
    }
}
