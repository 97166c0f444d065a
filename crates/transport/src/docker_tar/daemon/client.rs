//! What a daemon is asked (Docker Engine API): whether it is there, for images, to take one.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::stream::{self, StreamExt};
use reqwest::{RequestBuilder, Response};
use serde::Deserialize;
use serde_json::value::RawValue;
use skopeo_blob::{ByteStream, StreamError};
use skopeo_image::go_json;
use skopeo_registry::{ProxyRules, Timeouts, WireError, http_client};
use tokio::sync::OnceCell;
use url::Url;

use super::DaemonError;
use super::endpoint::Endpoint;
use crate::docker_tar::DockerTarError;
use crate::{Error, Options, registry};

/// The newest version of the API that is spoken; an older daemon is spoken to in its own.
const NEWEST: (u32, u32) = (1, 44);

/// The longest error that is read, in bytes.
const LONGEST_ERROR: usize = 64 * 1024;

/// The longest message of a report, in bytes.
const LONGEST_MESSAGE: usize = 1024 * 1024;

/// How often a daemon that has nothing to say for the moment is asked whether it is still there:
/// with the usual time between, an hour.
const PATIENCE: u32 = 60;

/// A daemon. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Daemon(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    http: reqwest::Client,
    endpoint: Endpoint,
    idle: Duration,
    /// The version of its API that is spoken.
    version: OnceCell<String>,
}

impl Daemon {
    /// The daemon that the options mean; nothing is asked yet.
    pub(super) fn new(options: &Options) -> Result<Self, Error> {
        let endpoint = Endpoint::new(options)?;
        let timeouts = options.registry.idle_timeout.map(Timeouts::of_idle).unwrap_or_default();
        let proxy = match endpoint.socket {
            Some(_) => ProxyRules::default(),
            None => registry::proxies(options),
        };
        let socket = endpoint.socket.as_deref();
        let http = http_client(&endpoint.tls, endpoint.insecure, proxy, &timeouts, socket)
            .map_err(|error| DockerTarError::Daemon {
                doing: "initializing docker engine client",
                source: DaemonError::Connections(Box::new(error)),
            })?;
        let (idle, version) = (timeouts.idle, OnceCell::new());
        Ok(Self(Arc::new(Shared { http, endpoint, idle, version })))
    }

    /// Its address as it was named.
    pub(super) fn host(&self) -> String {
        self.0.endpoint.shown.clone()
    }

    /// An image as `docker save` writes it.
    pub(super) async fn save(&self, name: &str) -> Result<ByteStream, DaemonError> {
        let mut url = self.url("images/get").await?;
        url.query_pairs_mut().append_pair("names", name);
        let response = self.send(self.0.http.get(url)).await?;
        Ok(self.clone().body(response))
    }

    /// Sends an image as `docker save` writes it, and reads what the daemon makes of it. It is sent
    /// only if `body` ends well.
    pub(super) async fn load(&self, body: reqwest::Body) -> Result<(), DaemonError> {
        let url = self.url("images/load").await?;
        let request = self.0.http.post(url).header("content-type", "application/x-tar").body(body);
        // The whole image is on its way meanwhile, which may take any time; whether the daemon
        // takes it is seen where it is made.
        let response = request.send().await.map_err(|error| self.unsent(&error))?;
        let mut report = self.clone().body(self.accepted(response).await?);
        let mut waiting = BytesMut::new();
        while let Some(piece) = report.next().await {
            let piece = piece.map_err(|error| self.broken(error))?;
            waiting.extend_from_slice(&piece);
            let read = messages(&waiting)?;
            let _ = waiting.split_to(read);
            if waiting.len() > LONGEST_MESSAGE {
                return Err(DaemonError::LongProgress(LONGEST_MESSAGE));
            }
        }
        match waiting.trim_ascii() {
            [] => Ok(()),
            rest => Err(DaemonError::Progress(
                serde_json::from_slice::<&RawValue>(rest)
                    .err()
                    .unwrap_or_else(|| serde::de::Error::custom("unexpected end")),
            )),
        }
    }

    /// Waits for something the daemon has to do, as long as it is there at all.
    pub(super) async fn patiently<T>(
        &self,
        work: impl Future<Output = T>,
    ) -> Result<T, DaemonError> {
        let mut work = std::pin::pin!(work);
        for _ in 0..PATIENCE {
            tokio::select! {
                biased;
                done = &mut work => return Ok(done),
                () = tokio::time::sleep(self.0.idle) => {}
            }
            self.ping().await?;
        }
        Err(DaemonError::Silent { host: self.host() })
    }

    /// Makes sure that somebody is there.
    pub(super) async fn greet(&self) -> Result<&str, DaemonError> {
        let version = self.0.version.get_or_try_init(|| self.ping()).await?;
        Ok(version)
    }

    async fn url(&self, path: &str) -> Result<Url, DaemonError> {
        let version = self.greet().await?;
        Ok(self.path(&format!("v{version}/{path}")))
    }

    fn path(&self, path: &str) -> Url {
        let mut url = self.0.endpoint.base.clone();
        let base = url.path().trim_end_matches('/').to_owned();
        url.set_path(&format!("{base}/{path}"));
        url
    }

    /// Asks whether it is there, and for the version of the API that both speak.
    async fn ping(&self) -> Result<String, DaemonError> {
        let request = self.0.http.get(self.path("_ping")).send();
        let answer = tokio::time::timeout(self.0.idle, request).await;
        let answer = answer.map_err(|_| DaemonError::Silent { host: self.host() })?;
        let answer = answer.map_err(|error| self.unsent(&error))?;
        if !answer.status().is_success() {
            return Err(self.refusal(answer).await);
        }
        let said = answer.headers().get("api-version").and_then(|version| version.to_str().ok());
        let version = said.and_then(|version| {
            let (major, minor) = version.split_once('.')?;
            Some((major.parse().ok()?, minor.parse().ok()?))
        });
        let Some(version) = version else {
            let reason = "it names no version of the API".to_owned();
            return Err(DaemonError::NoDaemon { host: self.host(), reason });
        };
        let (major, minor) = NEWEST.min(version);
        Ok(format!("{major}.{minor}"))
    }

    async fn send(&self, request: RequestBuilder) -> Result<Response, DaemonError> {
        let answer = self.patiently(request.send()).await?;
        let answer = answer.map_err(|error| self.unsent(&error))?;
        self.accepted(answer).await
    }

    async fn accepted(&self, answer: Response) -> Result<Response, DaemonError> {
        if answer.status().is_success() { Ok(answer) } else { Err(self.refusal(answer).await) }
    }

    /// Why it refused, in its own words.
    async fn refusal(&self, answer: Response) -> DaemonError {
        #[derive(Deserialize)]
        struct Said {
            message: String,
        }
        let status = answer.status();
        let mut body = self.clone().body(answer);
        let mut text = BytesMut::new();
        while let Some(Ok(piece)) = body.next().await {
            text.extend_from_slice(&piece);
            if text.len() > LONGEST_ERROR {
                break;
            }
        }
        let message = match go_json::from_slice(&text) {
            Ok(Said { message }) => message,
            Err(_) => {
                let text = String::from_utf8_lossy(text.get(..200).unwrap_or(&text)).into_owned();
                format!("{status}: {}", text.trim())
            }
        };
        DaemonError::Refused { status: status.as_u16(), message }
    }

    /// The body of an answer.
    fn body(self, answer: Response) -> ByteStream {
        let url = answer.url().clone();
        let pieces = answer.bytes_stream();
        stream::try_unfold((self, pieces), move |(daemon, mut pieces)| {
            let url = url.clone();
            async move {
                let broken = |source: skopeo_blob::BoxError| StreamError::Read {
                    source,
                    transient: false,
                    tried: 1,
                };
                let piece = daemon.patiently(pieces.next()).await;
                let piece = piece.map_err(|error| broken(error.into()))?.transpose();
                let piece: Option<Bytes> = piece.map_err(|error| {
                    broken(daemon.line(WireError::new(&error, &url, &[])).into())
                })?;
                Ok(piece.map(|piece| (piece, (daemon, pieces))))
            }
        })
        .boxed()
    }

    fn unsent(&self, error: &reqwest::Error) -> DaemonError {
        let Endpoint { base, socket, tls, .. } = &self.0.endpoint;
        let socket =
            socket.as_ref().and_then(|path| Url::parse(&format!("unix://{}", path.display())).ok());
        let source = WireError::new(error, socket.as_ref().unwrap_or(base), &tls.searched);
        if error.is_connect() {
            return DaemonError::Unreachable { host: self.host(), source };
        }
        self.line(source)
    }

    fn line(&self, source: WireError) -> DaemonError {
        DaemonError::Broken { host: self.host(), source }
    }

    /// A stream of ours fails with an error of ours.
    fn broken(&self, error: StreamError) -> DaemonError {
        let StreamError::Read { source, .. } = error else {
            return DaemonError::Silent { host: self.host() };
        };
        match source.downcast::<DaemonError>() {
            Ok(error) => *error,
            Err(_) => DaemonError::Silent { host: self.host() },
        }
    }
}

/// Reads the messages of a report that are whole, and tells how many bytes they were.
fn messages(report: &[u8]) -> Result<usize, DaemonError> {
    #[derive(Deserialize)]
    struct Message {
        #[serde(default, rename = "errorDetail")]
        detail: Option<Detail>,
        #[serde(default)]
        error: Option<String>,
    }
    #[derive(Deserialize)]
    struct Detail {
        #[serde(default)]
        message: String,
    }
    let mut read = serde_json::Deserializer::from_slice(report).into_iter::<&RawValue>();
    let mut whole = 0;
    loop {
        let message = read.next().map(|raw| go_json::from_slice::<Message>(raw?.get().as_bytes()));
        match message {
            Some(Ok(Message { detail: Some(detail), .. })) => {
                return Err(DaemonError::Reported(detail.message));
            }
            Some(Ok(Message { error: Some(error), .. })) => {
                return Err(DaemonError::Reported(error));
            }
            Some(Ok(_)) => whole = read.byte_offset(),
            Some(Err(error)) if error.is_eof() => return Ok(whole),
            Some(Err(error)) => return Err(DaemonError::Progress(error)),
            None => return Ok(whole),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_reports_as_they_come() {
        let message = "{\"stream\":\"Loaded image: a:b\\n\"}\r\n";
        for (report, expected) in [
            ("", Ok(0)),
            (message, Ok(message.len() - 2)),
            ("{\"status\":\"x\"}{\"progressDetail\":{}}", Ok(35)),
            ("{\"status\":\"x\"}\n{\"stat", Ok(14)),
            ("{\"errorDetail\":{\"message\":\"no space\"},\"error\":\"x\"}", Err("no space")),
            ("{\"status\":\"x\"}\n{\"error\":\"old\"}", Err("old")),
        ] {
            let got = messages(report.as_bytes());
            match (got, expected) {
                (Ok(got), Ok(expected)) => assert_eq!(got, expected, "{report}"),
                (Err(DaemonError::Reported(got)), Err(expected)) => assert_eq!(got, expected),
                (got, _) => panic!("{report}: {got:?}"),
            }
        }
        assert!(matches!(messages(b"<html>"), Err(DaemonError::Progress(_))));
    }
}
