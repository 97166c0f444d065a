//! The part of `OpenShift`'s API that is spoken: streams, images of streams, signatures.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use skopeo_config::KubeApi;
use skopeo_image::{Classify, Digest, ErrorClass, go_json};
use skopeo_registry::{Ask, ClientPair, TlsOptions, Web, WebError};
use url::Url;

use super::AtomicName;
use crate::{Error, Options, files, registry};

/// The media type of all that is sent.
const JSON: &str = "application/json";

/// What servers of Kubernetes say of an address that none of them knows.
const UNKNOWN_ADDRESS: &str = "the server could not find the requested resource";

/// The longest that is told of an answer that makes no sense, in bytes.
const MAX_TOLD: usize = 1024;

/// A simple signature.
const ATOMIC: &str = "atomic";

/// Why the API of `OpenShift` was of no use.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AtomicError {
    /// There is no answer.
    #[error(transparent)]
    Web(#[from] WebError),
    /// The server refuses.
    #[error("{message}")]
    Refused {
        /// What it says, or that it says nothing of use.
        message: String,
        /// The status of the answer.
        status: u16,
        /// The name that does without the API, if that is what the server does not have.
        instead: Option<String>,
    },
    /// What comes is not what was asked for.
    #[error("reading the answer of OpenShift's API to {path}")]
    Answer {
        /// What was asked for.
        path: String,
        /// What is wrong with it.
        #[source]
        source: skopeo_blob::BoxError,
    },
    /// The stream has no such tag.
    #[error("No matching tag found")]
    NoTag,
    /// The stream says where its image is, in words that make no sense.
    #[error("Invalid format of docker reference {0:?}: missing '/'")]
    NoSlash(String),
    /// The digest of an image is none.
    #[error("unexpected digest reference {text}")]
    BadDigest {
        /// What stands there.
        text: String,
        /// What is wrong with it.
        #[source]
        source: skopeo_image::DigestError,
    },
}

impl AtomicError {
    /// Returns whether the same call may do better in a moment.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Web(WebError::Wire { source, .. }) => source.is_transient(),
            Self::Refused { status, .. } => matches!(status, 429 | 500..),
            _ => false,
        }
    }
}

impl Classify for AtomicError {
    #[deny(clippy::wildcard_enum_match_arm)]
    fn class(&self) -> Option<ErrorClass> {
        Some(match self {
            Self::Web(error) => return error.class(),
            Self::Refused { instead: Some(_), .. } => ErrorClass::Unsupported,
            Self::Refused { status, .. } => match status {
                401 => ErrorClass::Unauthorized,
                403 => ErrorClass::Denied,
                404 => ErrorClass::NotFound,
                409 => ErrorClass::Conflict,
                429 => ErrorClass::RateLimited,
                _ => ErrorClass::Registry,
            },
            Self::NoTag => ErrorClass::NotFound,
            Self::Answer { .. } | Self::NoSlash(_) => ErrorClass::Registry,
            Self::BadDigest { .. } => ErrorClass::InvalidImage,
        })
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Refused { instead: Some(name), .. } => Some(format!(
                "OpenShift 4 no longer has this API; use its registry like any other: {name}"
            )),
            Self::Refused { status: 401 | 403, .. } => Some(
                "the token or certificate is the one of the current context in kubeconfig; use oc login to get a new token"
                    .to_owned(),
            ),
            Self::Web(WebError::Wire { source, .. }) => {
                let usual = "the address of OpenShift's API comes from the current context in $KUBECONFIG or ~/.kube/config; without this API use docker://";
                Some(source.hint().unwrap_or_else(|| usual.to_owned()))
            }
            _ => None,
        }
    }
}

/// The API, as the user of the kubeconfig sees it.
#[derive(Debug)]
pub(super) struct Api {
    name: AtomicName,
    web: Web,
    server: Url,
    ask: Ask,
}

impl Api {
    /// Reads the kubeconfig. No request is sent.
    pub(super) async fn new(name: &AtomicName, options: &Options) -> Result<Self, Error> {
        let config = options.config.clone();
        let kube = files::blocking(move || Ok(config.kube_api()?)).await?;
        let KubeApi { server, token, basic, roots_pem, client_pair, insecure } = kube;
        let pair = client_pair.map(|(certificate_pem, key_pem)| ClientPair {
            name: "of the kubeconfig".to_owned(),
            certificate_pem,
            key_pem,
        });
        let tls = TlsOptions {
            only_extra_roots: roots_pem.is_some(),
            extra_roots_pem: roots_pem.into_iter().collect(),
            client_pairs: pair.into_iter().collect(),
            details: registry::tls_details(options)?,
            searched: Vec::new(),
        };
        let agent = match options.registry.user_agent.as_str() {
            "" => concat!("skopeo/", env!("CARGO_PKG_VERSION")).to_owned(),
            agent => agent.to_owned(),
        };
        let proxies = registry::proxies(options);
        let web = Web::with_tls(agent, proxies, &tls, insecure).map_err(AtomicError::Web)?;
        let ask = Ask { bearer: token, basic, accept: Some("application/json, */*"), body: None };
        Ok(Self { name: name.clone(), web, server, ask })
    }

    /// The newest image under the tag of the name.
    pub(super) async fn tagged(&self) -> Result<Tagged, Error> {
        let AtomicName { namespace, stream, .. } = &self.name;
        let path = format!("/oapi/v1/namespaces/{namespace}/imagestreams/{stream}");
        let stream: Stream = self.get(path).await?;
        let mut tags = stream.status.tags.unwrap_or_default().into_iter();
        let found = tags.find_map(|it| match it.tag == self.name.tag() {
            true => it.items.unwrap_or_default().into_iter().next(),
            false => None,
        });
        Ok(found.ok_or(AtomicError::NoTag)?)
    }

    /// The simple signatures of an image of the stream.
    pub(super) async fn signatures(&self, digest: &Digest) -> Result<Vec<Kept>, Error> {
        let AtomicName { namespace, stream, .. } = &self.name;
        let path = format!("/oapi/v1/namespaces/{namespace}/imagestreamimages/{stream}@{digest}");
        let found: StreamImage = self.get(path.clone()).await?;
        let signatures = found.image.signatures.unwrap_or_default().into_iter();
        let content = |it: ImageSignature| {
            let text: String = it.content.chars().filter(|it| !matches!(it, '\r' | '\n')).collect();
            let content = STANDARD.decode(text).map_err(|source| AtomicError::Answer {
                path: path.clone(),
                source: source.into(),
            })?;
            let simple = it.kind == ATOMIC;
            Ok(Kept { name: it.metadata.name, content: content.into(), simple })
        };
        signatures.map(content).collect()
    }

    /// Adds a signature; its name begins with the digest of what it is of.
    pub(super) async fn sign(&self, name: String, content: &Bytes) -> Result<(), Error> {
        let signature = NewSignature {
            kind: "ImageSignature",
            version: "v1",
            metadata: Metadata { name },
            of: ATOMIC,
            content: STANDARD.encode(content),
        };
        let body = go_json::to_vec(&signature)?;
        let ask = Ask { body: Some((JSON, body.into())), ..self.ask.clone() };
        self.ask("/oapi/v1/imagesignatures", &ask).await?;
        Ok(())
    }

    async fn get<T: serde::de::DeserializeOwned>(&self, path: String) -> Result<T, Error> {
        let body = self.ask(&path, &self.ask).await?;
        let read = go_json::from_slice(&body);
        Ok(read.map_err(|source| AtomicError::Answer { path, source: source.into() })?)
    }

    async fn ask(&self, path: &str, ask: &Ask) -> Result<Bytes, AtomicError> {
        let mut url = self.server.clone();
        url.set_path(path);
        let said = self.web.ask(url.as_str(), ask).await?;
        if matches!(said.status, 200..=206) {
            return Ok(said.body);
        }
        let status: Option<Status> = go_json::from_slice(&said.body).ok();
        let message = status.filter(|it| !it.status.is_empty()).map(|it| it.message);
        // A stream that is not there is told by its name.
        let no_api = said.status == 404
            && message.as_deref().is_none_or(|message| message.trim_end() == UNKNOWN_ADDRESS);
        let message = message.unwrap_or_else(|| {
            let (code, text) = said.status_line.split_once(' ').unwrap_or((&said.status_line, ""));
            let body = String::from_utf8_lossy(&said.body);
            format!("HTTP error: status code: {code} ({text}), body: {}", body.trim_end())
        });
        Err(AtomicError::Refused {
            message: told(&message),
            status: said.status,
            instead: no_api.then(|| self.name.docker()),
        })
    }
}

/// What a server said, as it may be shown.
fn told(text: &str) -> String {
    let end = text.floor_char_boundary(MAX_TOLD);
    let (head, rest) = text.split_at(end);
    let more = if rest.is_empty() { "" } else { "..." };
    let head = head.chars().map(|it| if it.is_control() { ' ' } else { it });
    head.chain(more.chars()).collect()
}

/// A signature that the API keeps.
#[derive(Debug)]
pub(super) struct Kept {
    pub(super) name: String,
    pub(super) content: Bytes,
    /// Whether it is one of OpenPGP; no other kind is known.
    pub(super) simple: bool,
}

/// What a tag leads to.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Tagged {
    /// Where the image is, by a name of the registry that only the cluster may know.
    pub(super) docker_image_reference: String,
    /// Its digest.
    pub(super) image: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Stream {
    status: StreamStatus,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct StreamStatus {
    tags: Option<Vec<TagEvents>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct TagEvents {
    tag: String,
    /// Newest first.
    items: Option<Vec<Tagged>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct StreamImage {
    image: Image,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Image {
    signatures: Option<Vec<ImageSignature>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ImageSignature {
    metadata: Metadata,
    #[serde(rename = "type")]
    kind: String,
    content: String,
}

#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
struct Metadata {
    name: String,
}

#[derive(Serialize)]
struct NewSignature {
    kind: &'static str,
    #[serde(rename = "apiVersion")]
    version: &'static str,
    metadata: Metadata,
    #[serde(rename = "type")]
    of: &'static str,
    content: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Status {
    status: String,
    message: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_server_says_cannot_move_the_cursor_nor_fill_the_screen() {
        assert_eq!(told("a\u{1b}[2J\nb"), "a [2J b");
        let long = told(&"\u{e4}".repeat(100_000));
        assert_eq!(long.len(), MAX_TOLD + 3);
        assert!(long.ends_with("\u{e4}..."));
    }
}
