//! Opening buckets: each once for all images that are asked for with the same options.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use skopeo_config::{CloudSettings, certs};
use skopeo_objects::{BucketUrl, Cloud, Credentials, Keys, Settings, Store, StoreOptions};
use skopeo_registry::{Timeouts, TlsOptions, http_client};
use tokio::sync::OnceCell;

use super::contents::Bucket;
use crate::registry::{proxies, tls_details};
use crate::{BucketError, Error, Options, files};

/// How long one waits for what tells a machine in a cloud who it is.
const METADATA: Duration = Duration::from_secs(2);

/// How often a request is sent again that a store cannot answer now.
const RETRIES: usize = 6;

/// How long a lock may go without a word of who holds it.
const DEAD_AFTER: Duration = Duration::from_secs(120);

/// The buckets that have been opened with the same [`Options`].
#[derive(Default)]
pub(crate) struct Buckets(Mutex<HashMap<BucketUrl, Arc<OnceCell<Arc<Bucket>>>>>);

impl fmt::Debug for Buckets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Buckets").finish_non_exhaustive()
    }
}

/// The bucket at that place.
pub(super) async fn bucket(url: &BucketUrl, options: &Options) -> Result<Arc<Bucket>, Error> {
    if options.layout.shared_blob_dir.is_some() {
        return Err(BucketError::SharedBlobs(url.to_string()).into());
    }
    let cell = {
        let mut there = options.read_cache.buckets.0.lock().unwrap_or_else(PoisonError::into_inner);
        there.entry(url.clone()).or_default().clone()
    };
    let opened = cell.get_or_try_init(|| async {
        let store = store(url, options).await?;
        Ok::<_, Error>(Arc::new(Bucket::new(store)))
    });
    opened.await.cloned()
}

/// Opens the store of a place, with what the configuration says about it.
pub(crate) async fn store(url: &BucketUrl, options: &Options) -> Result<Store, Error> {
    let (config, account) = (options.config.clone(), url.account().map(str::to_owned));
    let cloud = url.cloud();
    let found = files::blocking(move || {
        Ok(match cloud {
            Cloud::S3 => config.aws()?,
            Cloud::Google => config.google()?,
            Cloud::Azure => config.azure(account.as_deref().unwrap_or_default())?,
        })
    })
    .await?;
    let timeouts = options.registry.idle_timeout.map_or_else(Timeouts::default, Timeouts::of_idle);
    let insecure = options.registry.tls_verify == Some(false);
    let http = http_client(&tls(&found, options)?, insecure, proxies(options), &timeouts, None)?;
    let short = Timeouts { connect: METADATA, ..timeouts };
    let none = skopeo_registry::ProxyRules::default();
    let metadata = http_client(&TlsOptions::default(), false, none, &short, None)?;
    let user_agent = match options.registry.user_agent.as_str() {
        "" => concat!("skopeo/", env!("CARGO_PKG_VERSION")).to_owned(),
        given => given.to_owned(),
    };
    let store = StoreOptions {
        settings: settings(&found, cloud, options.registry.no_creds),
        credentials: credentials(&found),
        http,
        metadata,
        idle: timeouts.idle,
        user_agent,
        retries: RETRIES,
        dead_after: DEAD_AFTER,
    };
    Ok(Store::open(url, &store).await?)
}

/// What is said, and whether nobody in particular asks.
fn settings(found: &CloudSettings, cloud: Cloud, as_nobody: bool) -> Settings {
    let mut settings = Settings::new();
    for (name, value) in &found.pairs {
        settings.set(name, value.clone());
    }
    if as_nobody {
        settings.set(
            match cloud {
                Cloud::S3 => "aws_skip_signature",
                Cloud::Google => "google_skip_signature",
                Cloud::Azure => "azure_skip_signature",
            },
            "true",
        );
    }
    settings
}

/// The program that says who asks, where one is named.
fn credentials(found: &CloudSettings) -> Option<Credentials> {
    let process = found.process.clone()?;
    Some(Credentials::new(move || {
        let keys = process.run().map_err(|error| error.to_string())?;
        let skopeo_config::Keys { id, secret, token, expires } = keys;
        Ok(Keys { id, secret, token, expires })
    }))
}

fn tls(found: &CloudSettings, options: &Options) -> Result<TlsOptions, Error> {
    let mut roots = Vec::new();
    if let Some(path) = &found.roots {
        roots.push(files::read(path, None, files::MAX_MANIFEST)?);
    }
    if let Some(folder) = &options.registry.cert_dir {
        roots.extend(certs::load(&options.config, Some(folder), "")?.roots_pem);
    }
    Ok(TlsOptions {
        extra_roots_pem: roots,
        details: tls_details(options)?,
        ..TlsOptions::default()
    })
}
