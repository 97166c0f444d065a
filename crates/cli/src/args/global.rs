//! Flags of every command.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use anyhow::Context as _;
use skopeo_blob::MaxUnpacked;
use skopeo_registry::PaceOptions;

use super::duration::GoDuration;
use super::flag::{Flag, Offers};
use super::names;
use super::size;
use super::value::{self, Value, Values};
use crate::exit::{ErrorFormat, ExitCodes, Manner};
use crate::go;

/// The flags that every command takes.
pub(crate) fn flags() -> Vec<Flag> {
    vec![
        Flag::new(names::COMMAND_TIMEOUT, "end the command with an error after this time"),
        Flag::new(
            names::IDLE_TIMEOUT,
            "use another connection after this time without a byte; 0 is one minute",
        ),
        Flag::new(names::DEBUG, "log on stderr what the program does and why"),
        Flag::new(
            names::ERROR_FORMAT,
            "format of the final error on stderr (text or json)",
        )
        .offers(Offers::Words(&ERROR_FORMATS)),
        Flag::new(
            names::EXIT_CODES,
            "original: 1, and 2 if the image does not exist; detailed: a code for each kind of error",
        )
        .offers(Offers::Words(&EXIT_CODES)),
        Flag::new(
            names::MAX_CONNECTIONS,
            "maximum number of requests at once to each registry; 0 is no limit",
        ),
        Flag::new(
            names::MAX_REQUESTS_PER_SECOND,
            "maximum number of requests a second to each registry, such as 10 or 0.5",
        )
        .placeholder("NUMBER"),
        Flag::new(
            names::MAX_UNPACKED,
            "maximum size of one decompressed archive or layer, such as 50GiB; 0 is no limit. Default is 10 GiB, or 100 times the compressed size if that is more",
        )
        .placeholder("SIZE"),
        Flag::new(names::INSECURE_POLICY, "accept every image and read no trust policy"),
        Flag::new(
            names::OVERRIDE_ARCH,
            "choose images for ARCH instead of this machine's architecture",
        )
        .placeholder("ARCH"),
        Flag::new(names::OVERRIDE_OS, "choose images for OS instead of the running one")
            .placeholder("OS"),
        Flag::new(names::OVERRIDE_VARIANT, "choose images for VARIANT of the architecture")
            .placeholder("VARIANT"),
        Flag::new(names::POLICY, "trust policy file to use").offers(Offers::Files),
        Flag::new(names::REGISTRIES_CONF, "registries.conf file to use")
            .hidden()
            .offers(Offers::Files),
        Flag::new(names::REGISTRIES_D, "folder of files that say where the signatures of registries are stored")
            .placeholder("DIR")
            .offers(Offers::Folders),
        Flag::new(names::REQUIRE_SIGNED, "accept only images with at least one verified signature"),
        Flag::new(names::TLS_DETAILS, "file with TLS settings: containers-tls-details.yaml(5)")
            .offers(Offers::Files),
        Flag::new(names::TMPDIR, "folder for big temporary files").offers(Offers::Folders),
        Flag::new(names::USER_AGENT_PREFIX, "text before the program's name in the User-Agent header"),
    ]
}

/// The values of `--error-format`.
const ERROR_FORMATS: [&str; 2] = ["text", "json"];

/// The values of `--exit-codes`.
const EXIT_CODES: [&str; 2] = ["original", "detailed"];

/// In which manner failures are to be told.
///
/// # Errors
/// If a value is not one of those that are allowed.
pub(crate) fn manner(values: &Values) -> anyhow::Result<Manner> {
    let errors = match value::choice(values, names::ERROR_FORMAT, &ERROR_FORMATS)? {
        Some("json") => ErrorFormat::Json,
        _ => ErrorFormat::Text,
    };
    let exit_codes = match value::choice(values, names::EXIT_CODES, &EXIT_CODES)? {
        Some("detailed") => ExitCodes::Detailed,
        _ => ExitCodes::Original,
    };
    Ok(Manner { errors, exit_codes })
}

/// The same from words that make no command, as far as it can be seen.
pub(crate) fn manner_of_words(words: &[String]) -> Manner {
    let mut values = Values::default();
    for (at, word) in words.iter().enumerate().take_while(|(_, word)| *word != "--") {
        for flag in [names::ERROR_FORMAT, names::EXIT_CODES] {
            let rest = word.strip_prefix("--").and_then(|word| word.strip_prefix(&*flag.name()));
            let value = match rest {
                Some("") => words.get(at.saturating_add(1)).map(String::as_str),
                Some(rest) => rest.strip_prefix('='),
                None => None,
            };
            if let Some(value) = value {
                values.set_read(&flag.name(), Value::Text(value.to_owned()));
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
            debug: values.switch(names::DEBUG),
            exit_codes: manner(values).map(|manner| manner.exit_codes).unwrap_or_default(),
            timeout: values.duration(names::COMMAND_TIMEOUT),
            idle_timeout: values.duration(names::IDLE_TIMEOUT),
            max_connections: values
                .uint(names::MAX_CONNECTIONS)
                .and_then(|most| NonZeroUsize::new(usize::try_from(most).unwrap_or(usize::MAX))),
            max_requests_per_second: text(names::MAX_REQUESTS_PER_SECOND),
            max_unpacked: values.maybe_text(names::MAX_UNPACKED).map(str::to_owned),
            insecure_policy: values.switch(names::INSECURE_POLICY),
            require_signed: values.switch(names::REQUIRE_SIGNED),
            policy: path(names::POLICY),
            registries_conf: path(names::REGISTRIES_CONF),
            registries_d: path(names::REGISTRIES_D),
            tls_details: path(names::TLS_DETAILS),
            tmpdir: path(names::TMPDIR),
            os: text(names::OVERRIDE_OS),
            architecture: text(names::OVERRIDE_ARCH),
            variant: text(names::OVERRIDE_VARIANT),
            user_agent_prefix: text(names::USER_AGENT_PREFIX),
            tls_verify: root.maybe_switch(names::TLS_VERIFY),
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
