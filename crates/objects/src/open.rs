//! Making a store of what is said about it.

use std::sync::Arc;
use std::time::Duration;

use ::http::{Method, Request};
use object_store::aws::{AmazonS3, AmazonS3Builder, S3ConditionalPut};
use object_store::azure::MicrosoftAzureBuilder;
use object_store::client::HttpRequestBody;
use object_store::gcp::{GcpCredential, GoogleCloudStorage, GoogleCloudStorageBuilder};
use object_store::{
    BackoffConfig, ClientOptions, ObjectStore, RetryConfig, StaticCredentialProvider,
};
use tracing::debug;

use crate::credentials::Renewed;
use crate::error::Error;
use crate::http::Connector;
use crate::options::{Settings, StoreOptions};
use crate::url::{BucketUrl, Cloud};

/// No request is tried for longer.
const LONGEST: Duration = Duration::from_secs(170);

/// The ways into one bucket.
#[derive(Clone, Debug)]
pub(crate) struct Ways {
    /// The usual one.
    pub(crate) usual: Arc<dyn ObjectStore>,
    /// For parts of large objects, whose bytes TLS looks after.
    pub(crate) parts: Arc<dyn ObjectStore>,
    /// Sends nothing twice.
    pub(crate) once: Arc<dyn ObjectStore>,
    /// Deletes one object with a request, for stores that do not know the other way.
    pub(crate) single: Arc<dyn ObjectStore>,
    /// What else the store can be asked.
    pub(crate) own: Own,
    /// Whether it is said that the store knows no conditional writes.
    pub(crate) unconditional: bool,
    /// Whether nobody in particular asks.
    pub(crate) anonymous: bool,
    /// Whether the bytes of parts are hashed to sign them.
    pub(crate) hashes_parts: bool,
}

/// The stores as they are, for what `object_store` does not ask them.
#[derive(Clone, Debug)]
pub(crate) enum Own {
    /// With the address of the bucket, and the region.
    S3(Arc<AmazonS3>, String, String),
    /// With the address of the bucket.
    Google(Arc<GoogleCloudStorage>, String),
    Azure,
}

pub(crate) async fn open(
    place: &BucketUrl,
    options: &StoreOptions,
    connector: &Connector,
) -> Result<Ways, Error> {
    match place.cloud() {
        Cloud::S3 => s3(place, options, connector).await,
        Cloud::Google => google(place, options, connector),
        Cloud::Azure => azure(place, options, connector),
    }
}

fn wrong(place: &BucketUrl) -> impl Fn(object_store::Error) -> Error + '_ {
    |error| Error::Settings { place: place.to_string(), words: innermost(&error) }
}

/// What an error is about in the end.
fn innermost(error: &dyn std::error::Error) -> String {
    let sources = std::iter::successors(Some(error), |error| error.source());
    sources.last().map(ToString::to_string).unwrap_or_default()
}

fn retry(retries: usize) -> RetryConfig {
    let backoff = BackoffConfig {
        init_backoff: Duration::from_millis(200),
        max_backoff: Duration::from_secs(15),
        base: 2.,
    };
    RetryConfig { backoff, max_retries: retries, retry_timeout: LONGEST }
}

async fn s3(
    place: &BucketUrl,
    options: &StoreOptions,
    connector: &Connector,
) -> Result<Ways, Error> {
    let settings = &options.settings;
    let endpoint = settings.get("aws_endpoint_url_s3").or_else(|| settings.get("aws_endpoint_url"));
    let region = settings.get("aws_region").or_else(|| settings.get("aws_default_region"));
    let region = match (region, endpoint) {
        (Some(region), _) => region.to_owned(),
        (None, Some(_)) => "us-east-1".to_owned(),
        (None, None) => region_of(place, connector).await?,
    };
    let bucket = place.bucket();
    let address = match endpoint {
        None if bucket.contains('.') => format!("https://s3.{region}.amazonaws.com/{bucket}"),
        None => format!("https://{bucket}.s3.{region}.amazonaws.com"),
        Some(endpoint) => {
            let endpoint = endpoint.trim_end_matches('/');
            let Some((scheme, host)) = endpoint.split_once("://") else {
                let words = format!("the endpoint {endpoint:?} is no http:// or https:// address");
                return Err(Error::Settings { place: place.to_string(), words });
            };
            if settings.get("aws_virtual_hosted_style_request") == Some("true") {
                format!("{scheme}://{bucket}.{host}")
            } else {
                format!("{endpoint}/{bucket}")
            }
        }
    };
    let tls = address.starts_with("https://");
    let mut builder = AmazonS3Builder::new()
        .with_http_connector(connector.clone())
        .with_client_options(ClientOptions::new().with_allow_http(true))
        .with_retry(retry(options.retries));
    builder = set(settings, builder, |builder, key, value| builder.with_config(key, value));
    builder = builder
        .with_region(region.clone())
        .with_bucket_name(bucket)
        .with_virtual_hosted_style_request(true)
        .with_endpoint(&address)
        .with_config(object_store::aws::AmazonS3ConfigKey::S3Endpoint, &address);
    if let Some(credentials) = &options.credentials {
        builder = builder.with_credentials(Arc::new(Renewed::new(credentials.clone())));
    } else if settings.get("aws_ec2_metadata_disabled") == Some("true") && !says_who(settings) {
        let words = "there are no credentials for it".to_owned();
        return Err(Error::Settings { place: place.to_string(), words });
    }
    let usual = builder.clone().build().map_err(wrong(place))?;
    let credentials = usual.credentials().clone();
    let builder = builder.with_credentials(credentials);
    let build = |builder: AmazonS3Builder| builder.build().map(Arc::new).map_err(wrong(place));
    let parts = build(builder.clone().with_unsigned_payload(tls))?;
    let once = build(builder.clone().with_retry(retry(0)))?;
    let single = build(builder.with_disable_bulk_delete(true))?;
    let usual = Arc::new(usual);
    let unconditional =
        settings.get("aws_conditional_put") == Some(&*S3ConditionalPut::Disabled.to_string());
    let own = Own::S3(usual.clone(), address, region);
    let anonymous = settings.get("aws_skip_signature") == Some("true");
    Ok(Ways { usual, parts, once, single, own, unconditional, anonymous, hashes_parts: !tls })
}

/// Whether something but the metadata of a machine says who asks.
fn says_who(settings: &Settings) -> bool {
    let names = [
        "aws_access_key_id",
        "aws_web_identity_token_file",
        "aws_container_credentials_relative_uri",
        "aws_container_credentials_full_uri",
    ];
    names.iter().any(|name| settings.get(name).is_some())
        || settings.get("aws_skip_signature") == Some("true")
}

/// Gives a builder all that is said and that it knows.
fn set<B, K: std::str::FromStr>(
    settings: &Settings,
    mut builder: B,
    with: impl Fn(B, K, &str) -> B,
) -> B {
    for (name, value) in settings.all() {
        match name.parse() {
            Ok(key) => builder = with(builder, key, value),
            Err(_) => debug!("{name} says nothing to this store"),
        }
    }
    builder
}

/// The region of a bucket of Amazon's, which tells it to everybody.
async fn region_of(place: &BucketUrl, connector: &Connector) -> Result<String, Error> {
    let bucket = place.bucket();
    let address = if bucket.contains('.') {
        format!("https://s3.amazonaws.com/{bucket}")
    } else {
        format!("https://{bucket}.s3.amazonaws.com/")
    };
    let settings = |words: String| Error::Settings { place: place.to_string(), words };
    let request = Request::builder().method(Method::HEAD).uri(&address);
    let request = request.body(HttpRequestBody::empty());
    let request = request.map_err(|error| settings(error.to_string()))?;
    let answer = connector.client().execute(request).await.map_err(|error| {
        let words = format!("asking in which region it is: {}", innermost(&error));
        settings(format!("{words}; AWS_REGION or AWS_ENDPOINT_URL can say where it is"))
    })?;
    let region = answer.headers().get("x-amz-bucket-region").and_then(|it| it.to_str().ok());
    match region {
        Some(region) => Ok(region.to_owned()),
        None if answer.status().as_u16() == 404 => Err(settings("there is no such bucket".into())),
        None => Ok("us-east-1".to_owned()),
    }
}

fn google(place: &BucketUrl, options: &StoreOptions, connector: &Connector) -> Result<Ways, Error> {
    let settings = &options.settings;
    let mut builder = GoogleCloudStorageBuilder::new()
        .with_http_connector(connector.clone())
        .with_client_options(ClientOptions::new().with_allow_http(true))
        .with_retry(retry(options.retries));
    builder = set(settings, builder, |builder, key, value| builder.with_config(key, value));
    let anonymous = settings.get("google_skip_signature") == Some("true");
    if anonymous {
        // Who writes is asked for a token in any case.
        let nobody = GcpCredential { bearer: String::new() };
        builder = builder.with_credentials(Arc::new(StaticCredentialProvider::new(nobody)));
    }
    let base = settings.get("google_base_url").unwrap_or("https://storage.googleapis.com");
    let address = format!("{}/{}", base.trim_end_matches('/'), place.bucket());
    let usual = builder.with_bucket_name(place.bucket()).build().map_err(wrong(place))?;
    let usual = Arc::new(usual);
    let own = Own::Google(usual.clone(), address);
    Ok(Ways { anonymous, ..of_one(usual, own) })
}

fn azure(place: &BucketUrl, options: &StoreOptions, connector: &Connector) -> Result<Ways, Error> {
    let mut builder = MicrosoftAzureBuilder::new()
        .with_http_connector(connector.clone())
        .with_client_options(ClientOptions::new().with_allow_http(true))
        .with_retry(retry(options.retries));
    builder =
        set(&options.settings, builder, |builder, key, value| builder.with_config(key, value));
    builder = builder.with_container_name(place.bucket());
    if let Some(account) = place.account() {
        builder = builder.with_account(account);
    }
    let usual = Arc::new(builder.build().map_err(wrong(place))?);
    Ok(of_one(usual, Own::Azure))
}

/// A store with one way into it.
fn of_one(usual: Arc<dyn ObjectStore>, own: Own) -> Ways {
    Ways {
        parts: usual.clone(),
        once: usual.clone(),
        single: usual.clone(),
        usual,
        own,
        unconditional: false,
        anonymous: false,
        hashes_parts: false,
    }
}
