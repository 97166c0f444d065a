//! What is made once and handed to the command: configuration, policy, connections, runtime.

#![cfg_attr(
    not(test),
    warn(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::as_conversions)
)]

use std::future::Future;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result};
use skopeo_blob::MaxUnpacked;
use skopeo_config::{Config, Overrides};
use skopeo_image::{Platform, wanted_platforms};
use skopeo_registry::{Credentials, ProxyRules, Web};
use skopeo_transport::{Connections, Options};
use skopeo_trust::Policy;

use crate::args::global::Global;
use crate::args::handle::Prefix;
use crate::args::image::{Identity, Image};
use crate::args::value::Values;
use crate::exit::{DeadlineExceeded, ExitCodes, Interrupted, Invalid, class};
use crate::logging;
use crate::machine::ThisMachine;
use crate::signals::Signals;

/// How long the threads that write files get to stop when the command was cut short.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// One run of the program.
#[derive(Debug)]
pub(crate) struct App {
    global: Global,
    /// `$REGISTRY_AUTH_FILE`.
    authfile: Option<String>,
    config: Arc<Config>,
    connections: Arc<Connections>,
    begun: AtomicBool,
    doing: Mutex<Option<String>>,
    /// How to go on after an interruption.
    going_on: Mutex<Option<&'static str>>,
}

impl App {
    /// Reads nothing yet.
    pub(crate) fn new(global: Global, authfile: Option<String>) -> Self {
        let config = Config::new(Overrides {
            registries_conf: global.registries_conf.clone(),
            registries_d: global.registries_d.clone(),
            policy: global.policy.clone(),
            tmpdir: global.tmpdir.clone(),
            tls_details: global.tls_details.clone(),
        });
        Self {
            global,
            authfile,
            config: Arc::new(config),
            connections: Connections::new(),
            begun: AtomicBool::new(false),
            doing: Mutex::default(),
            going_on: Mutex::default(),
        }
    }

    /// Whether any work has been begun: what fails before was asked wrongly.
    fn has_begun(&self) -> bool {
        self.begun.load(Ordering::Relaxed)
    }

    /// The same error; marked as what was asked wrongly if that is when it came, and nobody knows
    /// better.
    pub(crate) fn asked_wrongly(&self, error: anyhow::Error) -> anyhow::Error {
        if self.has_begun() || class(&error).is_some() { error } else { Invalid(error).into() }
    }

    /// How the program is to end if it fails.
    pub(crate) fn exit_codes(&self) -> ExitCodes {
        self.global.exit_codes
    }

    /// Says what is being done, in the gerund, for the case that `--command-timeout` ends it.
    pub(crate) fn doing(&self, doing: impl Into<String>) {
        *self.doing.lock().unwrap_or_else(PoisonError::into_inner) = Some(doing.into());
    }

    /// Says how the user goes on if the command is interrupted.
    pub(crate) fn going_on(&self, hint: &'static str) {
        *self.going_on.lock().unwrap_or_else(PoisonError::into_inner) = Some(hint);
    }

    pub(crate) fn config(&self) -> &Config {
        &self.config
    }

    pub(crate) fn connections(&self) -> &Arc<Connections> {
        &self.connections
    }

    /// The root's own `--tls-verify`, deprecated.
    pub(crate) fn tls_verify(&self) -> Option<bool> {
        self.global.tls_verify
    }

    /// What the flags with this prefix say about an image.
    ///
    /// # Errors
    /// If the flags contradict each other, or `--tls-details` names no good file.
    pub(crate) fn image(&self, flags: &Values, prefix: Prefix) -> Result<Image> {
        self.config.tls_details()?;
        Image::new(flags, prefix, self.authfile.as_deref(), self.global.tls_verify)
    }

    /// What a transport must know for that image.
    pub(crate) fn options(&self, image: &Image) -> Options {
        let mut options = Options::new(self.config.clone(), self.connections.clone());
        options.registry.idle_timeout = self.global.idle_timeout.positive();
        options.registry.pace = self.global.pace();
        options.registry.authfile.clone_from(&image.authfile);
        options.registry.cert_dir.clone_from(&image.cert_dir);
        options.registry.tls_verify = image.tls_verify;
        options.registry.looks_at_tags = !image.quiet;
        options.registry.registry_token.clone_from(&image.registry_token);
        options.registry.user_agent = self.user_agent();
        match &image.identity {
            Identity::Configured => {}
            Identity::Anonymous => options.registry.no_creds = true,
            Identity::User { name, password } => {
                options.registry.credentials =
                    Some(Credentials::Basic { username: name.clone(), password: password.clone() });
            }
        }
        options.layout.shared_blob_dir.clone_from(&image.shared_blob_dir);
        options.daemon.host.clone_from(&image.daemon_host);
        options.max_unpacked = self.max_unpacked();
        options.storage.platforms = self.platforms();
        options
    }

    /// Options of a command that has no flags about an image.
    pub(crate) fn plain_options(&self) -> Options {
        let mut options = Options::new(self.config.clone(), self.connections.clone());
        options.registry.idle_timeout = self.global.idle_timeout.positive();
        options.registry.pace = self.global.pace();
        options.registry.user_agent = self.user_agent();
        options.max_unpacked = self.max_unpacked();
        options.storage.platforms = self.platforms();
        options
    }

    /// How much may be under way at a registry, as far as the flags say so.
    pub(crate) fn max_connections(&self) -> Option<NonZeroUsize> {
        self.global.max_connections
    }

    /// How much may come out of what is packed.
    pub(crate) fn max_unpacked(&self) -> MaxUnpacked {
        self.global.max_unpacked()
    }

    /// Requests to servers that are no registries.
    ///
    /// # Errors
    /// If TLS does not work here.
    pub(crate) fn web(&self) -> Result<Web> {
        let proxies = self.config.proxies();
        let (http, https) = (proxies.http, proxies.https);
        let proxy = ProxyRules { http, https, no_proxy: proxies.no_proxy.unwrap_or_default() };
        Ok(Web::new(self.user_agent(), proxy)?)
    }

    fn user_agent(&self) -> String {
        let own = concat!("skopeo/", env!("CARGO_PKG_VERSION"));
        match &self.global.user_agent_prefix {
            Some(prefix) => format!("{prefix} {own}"),
            None => own.to_owned(),
        }
    }

    /// The trust policy.
    pub(crate) fn policy(&self) -> Result<Policy> {
        let policy = if self.global.insecure_policy {
            Policy::insecure()
        } else {
            let load = || -> Result<Policy> {
                let file = self.config.policy()?;
                Ok(Policy::parse(&file.bytes, &file.path.to_string_lossy())?)
            };
            load().context("Error loading trust policy")?
        };
        let policy = policy.on(Arc::new(ThisMachine));
        Ok(if self.global.require_signed { policy.require_signed() } else { policy })
    }

    /// The platforms that serve, best first.
    pub(crate) fn platforms(&self) -> Vec<Platform> {
        wanted_platforms(
            self.global.os.as_deref(),
            self.global.architecture.as_deref(),
            self.global.variant.as_deref(),
            &Platform::host(),
        )
    }

    /// Does the work, unless `--command-timeout` or a signal ends it: then its future is dropped,
    /// which takes temporary files with it.
    pub(crate) fn run<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        self.run_or(work, true)
    }

    /// The same for work that sees to signals itself, or may be cut off anywhere.
    pub(crate) fn run_uninterrupted<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        self.run_or(work, false)
    }

    fn run_or<T>(&self, work: impl Future<Output = Result<T>>, listens: bool) -> Result<T> {
        self.begun.store(true, Ordering::Relaxed);
        let runtime = runtime()?;
        let timeout = self.global.timeout.positive();
        let done = runtime.block_on(async {
            // Before there can be anything that a signal would leave behind.
            let signals = listens.then(Signals::listen).transpose()?;
            let interrupted = async {
                match signals {
                    Some(signals) => signals.wait().await.into(),
                    None => std::future::pending::<anyhow::Error>().await,
                }
            };
            let deadline = async {
                match timeout {
                    Some(timeout) => {
                        tokio::time::sleep(timeout).await;
                        self.late(timeout)
                    }
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                done = work => done,
                late = deadline => Err(late),
                interrupted = interrupted => Err(self.interrupted(interrupted)),
            }
        });
        if done.is_ok() {
            runtime.shutdown_background();
        } else {
            logging::close_bars();
            runtime.shutdown_timeout(LAST_WORDS);
        }
        done
    }

    /// The error of what a signal ended.
    fn interrupted(&self, mut error: anyhow::Error) -> anyhow::Error {
        if let Some(Interrupted { hint, .. }) = error.downcast_mut() {
            let going_on = self.going_on.lock().unwrap_or_else(PoisonError::into_inner).take();
            *hint = going_on.map(str::to_owned);
        }
        error
    }

    /// The error of what `--command-timeout` ended.
    fn late(&self, after: Duration) -> anyhow::Error {
        let late = anyhow::Error::from(DeadlineExceeded { after });
        match self.doing.lock().unwrap_or_else(PoisonError::into_inner).take() {
            Some(doing) => late.context(doing),
            None => late,
        }
    }
}

/// The network has one thread; files and codecs have theirs.
fn runtime() -> Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("starting the runtime")
}
