//! Signatures in the form of sigstore: by a key in a file, or by a new one that Fulcio certifies.

use std::error::Error as StdError;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Error, Result, anyhow, bail};
use async_trait::async_trait;
use bytes::Bytes;
use serde::Deserialize;
use skopeo_image::{RawManifest, Reference, Secret, Signature, SignatureKind};
use skopeo_registry::{Ask, Said, Web};
use skopeo_trust::sign::fulcio::{self, Certificate};
use skopeo_trust::sign::rekor::Version;
use skopeo_trust::sign::{
    Format, Log, PrivateKey, QUERY_TYPE, REPLY_TYPE, SignError, Signer, Sigstore, TimeAuthority,
    cosign_key,
};
use tokio::sync::Mutex;

use super::oidc;
use super::params::{KeySource, Oidc, Params};
use super::passphrase;
use crate::args::report::Output;
use crate::go;

/// The largest file with a private key, in bytes.
const MAX_KEY: usize = 1 << 20;

/// How long a certificate has to be good at least for one more signature: the log has to take it in
/// before it is over.
const MARGIN: Duration = Duration::from_secs(30);

const JSON: &str = "application/json";

/// Signs with the private key in a file.
///
/// # Errors
/// If it cannot be read, or the pass phrase does not open it.
pub(super) fn by_file(path: &Path, passphrase: &Secret) -> Result<Sigstore> {
    let shown = go::quote(&path.to_string_lossy());
    let pem = zeroize::Zeroizing::new(
        go::read_at_most(path, MAX_KEY)
            .with_context(|| format!("reading private key from {shown}"))?,
    );
    let key = cosign_key::read(&pem, passphrase.reveal().as_bytes());
    Ok(Sigstore::new(key.context("initializing private key")?))
}

/// Signs as a file of parameters says.
///
/// # Errors
/// If it cannot be read, or says nothing that can be done.
pub(super) fn by_params(path: &Path, web: &Web, output: Output) -> Result<Arc<dyn Signer>> {
    let params = Params::read(path)?;
    let log = params.rekor.map(|(version, url)| -> Result<Arc<dyn Log>> {
        let url = below("rekorURL", &url, version.path())?;
        Ok(Arc::new(Rekor { web: web.clone(), version, url }))
    });
    let times = params.times.map(|url| -> Result<Arc<dyn TimeAuthority>> {
        require_url("timestampAuthorityURL", &url)?;
        Ok(Arc::new(Times { web: web.clone(), url }))
    });
    let proofs = Proofs { log: log.transpose()?, times: times.transpose()? };
    Ok(match params.key {
        KeySource::File { path, passphrase_file } => {
            let passphrase = match passphrase_file {
                Some(file) => passphrase::of_file(&file)?,
                None => passphrase::ask(&path.to_string_lossy(), output)?,
            };
            Arc::new(proofs.of(by_file(&path, &passphrase)?.in_format(params.format)))
        }
        KeySource::Fulcio { url, oidc } => {
            let url = below("fulcioURL", &url, fulcio::PATH)?;
            let (web, ready) = (web.clone(), Mutex::default());
            Arc::new(Certified { web, url, oidc, output, proofs, format: params.format, ready })
        }
    })
}

/// Who is asked about each signature.
#[derive(Clone, Debug)]
struct Proofs {
    log: Option<Arc<dyn Log>>,
    times: Option<Arc<dyn TimeAuthority>>,
}

impl Proofs {
    /// Returns the signer whose signatures are proven by these.
    fn of(&self, signer: Sigstore) -> Sigstore {
        let signer = match &self.log {
            Some(log) => signer.logged(log.clone()),
            None => signer,
        };
        match &self.times {
            Some(times) => signer.stamped(times.clone()),
            None => signer,
        }
    }
}

fn require_url(name: &str, url: &str) -> Result<()> {
    if !url.starts_with("http://") && !url.starts_with("https://") {
        bail!("parsing {name} {}: it is not an http or https URL", go::quote(url));
    }
    Ok(())
}

/// A path below an address of the file.
fn below(name: &str, url: &str, path: &str) -> Result<String> {
    require_url(name, url)?;
    Ok(format!("{}/{path}", url.trim_end_matches('/')))
}

/// A log that is asked over the network.
#[derive(Debug)]
struct Rekor {
    web: Web,
    version: Version,
    url: String,
}

#[async_trait]
impl Log for Rekor {
    fn version(&self) -> Version {
        self.version
    }

    async fn upload(
        &self,
        entry: Vec<u8>,
    ) -> Result<Option<Vec<u8>>, Box<dyn StdError + Send + Sync>> {
        let answer = self.add(entry.into()).await;
        Ok(answer.context("Error uploading a log entry")?.map(Vec::from))
    }
}

impl Rekor {
    async fn add(&self, entry: Bytes) -> Result<Option<Bytes>> {
        let ask = Ask { accept: Some(JSON), body: Some((JSON, entry)), ..Ask::default() };
        let said = self.web.ask(&self.url, &ask).await?;
        match (said.status, self.version, &said.location) {
            (201, ..) => Ok(Some(said.body)),
            // Whatever host the answer names, it is this log's entry.
            (409, Version::V1, Some(location)) => {
                let id = location.rsplit('/').next().unwrap_or_default();
                let url = format!("{}/{id}", self.url);
                let ask = Ask { accept: Some(JSON), ..Ask::default() };
                let said = self.web.ask(&url, &ask).await?;
                if said.status == 200 { Ok(Some(said.body)) } else { Err(self.refused(&said)) }
            }
            (409, Version::V2, _) => Ok(None),
            _ => Err(self.refused(&said)),
        }
    }

    fn refused(&self, said: &Said) -> Error {
        let Refusal { code, message } =
            skopeo_image::go_json::from_slice(&said.body).unwrap_or_default();
        let failed = format!("Rekor /{} failed", self.version.path());
        let status = said.status;
        match status {
            400 => anyhow!("{failed}: bad request ({status}), {{Code:{code} Message:{message}}}"),
            _ => anyhow!(
                "{failed} with unexpected status {status}: {{Code:{code} Message:{message}}}"
            ),
        }
    }
}

/// An authority for times that is asked over the network.
#[derive(Debug)]
struct Times {
    web: Web,
    url: String,
}

#[async_trait]
impl TimeAuthority for Times {
    async fn stamp(&self, query: Vec<u8>) -> Result<Vec<u8>, Box<dyn StdError + Send + Sync>> {
        let body = Some((QUERY_TYPE, query.into()));
        let ask = Ask { accept: Some(REPLY_TYPE), body, ..Ask::default() };
        let said = self.web.ask(&self.url, &ask).await;
        let said = said.context("obtaining a time from the time-stamping authority")?;
        match said.status {
            200 | 201 => Ok(said.body.to_vec()),
            _ => Err(anyhow!(
                "obtaining a time from the time-stamping authority: POST {} returned {}",
                self.url,
                said.status_line
            )
            .into()),
        }
    }
}

/// What a log says instead of an entry.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Refusal {
    code: i64,
    message: String,
}

/// Signs with a new key, which is certified before the first image is copied.
#[derive(Debug)]
struct Certified {
    web: Web,
    url: String,
    oidc: Oidc,
    /// What stdout is for.
    output: Output,
    proofs: Proofs,
    format: Format,
    ready: Mutex<Option<Ready>>,
}

/// A key that is certified, for now.
#[derive(Clone, Debug)]
struct Ready {
    signer: Arc<Sigstore>,
    /// Until when, in seconds since 1970, if that is known.
    not_after: Option<i64>,
}

impl Ready {
    fn is_good(&self) -> bool {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let soon = i64::try_from(now.saturating_add(MARGIN).as_secs()).unwrap_or(i64::MAX);
        self.not_after.is_none_or(|end| soon < end)
    }
}

impl Certified {
    /// Who signs now: with a new key and certificate if those of before are over, as happens while
    /// many images are copied.
    async fn signer(&self) -> Result<Arc<Sigstore>> {
        let mut ready = self.ready.lock().await;
        if let Some(ready) = ready.as_ref().filter(|it| it.is_good()) {
            return Ok(ready.signer.clone());
        }
        let (key, _) = PrivateKey::generate()?;
        let certificate = self.certify(&key).await.context("Error using --sign-by-sigstore")?;
        let not_after = certificate.not_after();
        let signer = Sigstore::new(key).certified(certificate).in_format(self.format);
        let signer = Arc::new(self.proofs.of(signer));
        *ready = Some(Ready { signer: signer.clone(), not_after });
        Ok(signer)
    }

    async fn certify(&self, key: &PrivateKey) -> Result<Certificate> {
        let token = match &self.oidc {
            Oidc::Token(token) => token.clone(),
            Oidc::Issuer(issuer) => {
                let token = oidc::token(&self.web, issuer, self.output).await;
                token.context("Error authenticating with OIDC")?
            }
        };
        let body = Bytes::from(fulcio::request(key, &fulcio::subject(token.reveal())?)?);
        let ask = Ask { bearer: Some(token), body: Some((JSON, body)), ..Ask::default() };
        let said = self.web.ask(&self.url, &ask).await;
        let said = said.context("obtaining certificate from Fulcio")?;
        if said.status != 201 {
            let text = String::from_utf8_lossy(&said.body);
            bail!(
                "obtaining certificate from Fulcio: POST {} returned {}: {}",
                self.url,
                said.status_line,
                go::quote(&text)
            );
        }
        fulcio::certificate(&said.body).context("obtaining certificate from Fulcio")
    }
}

#[async_trait]
impl Signer for Certified {
    fn kind(&self) -> SignatureKind {
        self.format.kind()
    }

    fn doing(&self) -> &'static str {
        self.format.doing()
    }

    async fn prepare(&self) -> Result<(), SignError> {
        self.signer().await.map(drop).map_err(|error| SignError::Refused(error.into()))
    }

    async fn sign(
        &self,
        manifest: &RawManifest,
        reference: &Reference,
    ) -> Result<Signature, SignError> {
        let signer = self.signer().await.map_err(|error| SignError::Refused(error.into()))?;
        signer.sign(manifest, reference).await
    }
}
