//! One client per registry and identity, for the whole process.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use skopeo_config::auth::{self, AuthOptions, Stored};
use skopeo_config::{Endpoint, certs};
use skopeo_image::Reference;
use skopeo_registry::{
    Client, ClientOptions, ClientPair, Credentials, ProxyRules, Repository, Timeouts, TlsDetails,
    TlsOptions,
};

use super::DockerError;
use super::ledger::Ledger;
use super::untag::Habits;
use crate::{Error, Options, files};

/// The connections, tokens and credentials of this process, and which blobs its registries are
/// known to have. Shared by all options of a run.
#[derive(Debug, Default)]
pub struct Connections {
    clients: Mutex<Vec<(Identity, Client)>>,
    found: Mutex<HashMap<(String, Option<PathBuf>), Credentials>>,
    ledger: Ledger,
    habits: Habits,
}

/// What makes two clients one.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Identity {
    host: String,
    credentials: Credentials,
    insecure: bool,
    cert_dir: Option<PathBuf>,
}

impl Connections {
    /// Returns a set without connections.
    #[must_use]
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// Returns what is known of the blobs and uploads in registries.
    #[must_use]
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// What registries were seen to do when tags are deleted.
    pub(super) fn habits(&self) -> &Habits {
        &self.habits
    }

    /// Returns the client of a registry for a repository, or a namespace, of it: for who speaks to
    /// the registry itself and not to an image in it.
    ///
    /// # Errors
    /// If credentials or certificates cannot be read.
    pub async fn client(
        &self,
        options: &Options,
        host: &str,
        insecure: bool,
    ) -> Result<Client, Error> {
        let credentials = self.credentials(options, host.to_owned(), true).await?;
        self.client_for(options, host, credentials, insecure)
    }

    /// The client of a host that nobody is known to.
    pub(super) fn anonymous(
        &self,
        options: &Options,
        host: &str,
        insecure: bool,
    ) -> Result<Client, Error> {
        self.client_for(options, host, Credentials::Anonymous, insecure)
    }

    /// Returns how many requests have been sent to all registries so far.
    #[must_use]
    pub fn requests(&self) -> u64 {
        lock(&self.clients).iter().map(|(_, client)| client.requests()).sum()
    }

    /// The repository of an endpoint. `asked` is what the user named: what the flags say about
    /// credentials is meant for its registry, and no mirror elsewhere gets to see it.
    pub(super) async fn repository(
        &self,
        options: &Options,
        endpoint: &Endpoint,
        asked: &Reference,
    ) -> Result<Repository, Error> {
        let name = &endpoint.reference.name;
        let meant = name.domain() == asked.name.domain();
        let credentials = self.credentials(options, name.to_string(), meant).await?;
        let client = self.client_for(options, name.domain(), credentials, endpoint.insecure)?;
        Ok(client.repository(name.path()))
    }

    async fn credentials(
        &self,
        options: &Options,
        name: String,
        flags: bool,
    ) -> Result<Credentials, Error> {
        let flagged = &options.registry;
        if flags {
            if let Some(token) = &flagged.registry_token {
                return Ok(Credentials::RegistryToken(token.clone()));
            }
            if let Some(credentials) = &flagged.credentials {
                return Ok(credentials.clone());
            }
        }
        // Who wants to be nobody wants to be nobody to the mirrors, too.
        if flagged.no_creds {
            return Ok(Credentials::Anonymous);
        }
        let key = (name, flagged.authfile.clone());
        if let Some(found) = lock(&self.found).get(&key) {
            return Ok(found.clone());
        }
        let config = options.config.clone();
        let (name, authfile) = key.clone();
        // A helper is a program that may take its time.
        let found = files::blocking(move || {
            let options = AuthOptions { authfile, ..AuthOptions::default() };
            auth::find(&config, &options, &name)
                .map_err(|source| DockerError::Credentials { source }.into())
        })
        .await?;
        let found = match found {
            Stored::None => Credentials::Anonymous,
            Stored::Basic { username, password } => Credentials::Basic { username, password },
            Stored::IdentityToken { token, .. } => Credentials::IdentityToken(token),
        };
        lock(&self.found).insert(key, found.clone());
        Ok(found)
    }

    fn client_for(
        &self,
        options: &Options,
        host: &str,
        credentials: Credentials,
        insecure: bool,
    ) -> Result<Client, Error> {
        let flagged = &options.registry;
        let identity = Identity {
            host: host.to_owned(),
            credentials,
            insecure: flagged.tls_verify.map_or(insecure, |verify| !verify),
            cert_dir: flagged.cert_dir.clone(),
        };
        let mut clients = lock(&self.clients);
        if let Some((_, client)) = clients.iter().find(|(known, _)| *known == identity) {
            return Ok(client.clone());
        }
        let mut client = ClientOptions::new(host);
        client.credentials = identity.credentials.clone();
        client.insecure = identity.insecure;
        client.tls = tls(options, host)?;
        client.pace = flagged.pace;
        if let Some(connections) = flagged.blob_connections {
            client.ranges.connections = connections;
        }
        if !flagged.user_agent.is_empty() {
            client.user_agent.clone_from(&flagged.user_agent);
        }
        if let Some(idle) = flagged.idle_timeout {
            client.timeouts = Timeouts::of_idle(idle);
        }
        client.proxy = proxies(options);
        let client = Client::new(client)?;
        clients.push((identity, client.clone()));
        Ok(client)
    }
}

fn tls(options: &Options, host: &str) -> Result<TlsOptions, Error> {
    let found = certs::load(&options.config, options.registry.cert_dir.as_deref(), host)?;
    let pairs = found.client_pairs.into_iter().map(|pair| ClientPair {
        name: format!("for {host}"),
        certificate_pem: pair.certificate_pem,
        key_pem: pair.key_pem,
    });
    Ok(TlsOptions {
        extra_roots_pem: found.roots_pem,
        only_extra_roots: false,
        client_pairs: pairs.collect(),
        details: tls_details(options)?,
        searched: found.usual,
    })
}

/// The proxies of the environment.
pub(crate) fn proxies(options: &Options) -> ProxyRules {
    let proxies = options.config.proxies();
    ProxyRules {
        http: proxies.http,
        https: proxies.https,
        no_proxy: proxies.no_proxy.unwrap_or_default(),
    }
}

/// What `--tls-details` says.
pub(crate) fn tls_details(options: &Options) -> Result<TlsDetails, Error> {
    let details = options.config.tls_details()?;
    Ok(TlsDetails {
        min_version: details.min_version.map(|version| version.as_str().to_owned()),
        cipher_suites: details.cipher_suites,
        named_groups: details.named_groups,
    })
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
