//! What a store said, in words for users.

use std::error::Error as StdError;

use object_store::client::{HttpError, HttpErrorKind};
use skopeo_image::{Classify, ErrorClass};

use crate::http::Unanswered;
use crate::url::Cloud;

/// An error of an object store.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The store refused, or was not reached.
    #[error("{doing}: {}", .said.words)]
    Store {
        /// What was asked of it, and of which object.
        doing: String,
        /// What came back.
        said: Said,
    },
    /// What is set up for the store is wrong.
    #[error("opening {place}: {words}")]
    Settings {
        /// The place that was to be opened.
        place: String,
        /// What is wrong.
        words: String,
    },
    /// An object is longer than anything of its kind should be.
    #[error("reading {name}: {size} bytes, more than the {limit} that are accepted")]
    TooLarge {
        /// The object.
        name: String,
        /// Its length in bytes.
        size: u64,
        /// The longest that is read.
        limit: u64,
    },
    /// More than a store keeps in one object.
    #[error("writing {name}: more than {parts} parts of {part} bytes")]
    TooManyParts {
        /// The object.
        name: String,
        /// The most parts.
        parts: usize,
        /// The length of each in bytes.
        part: u64,
    },
    /// Others have written for so long that we never got our turn.
    #[error("writing {0}: other programs change it all the time")]
    Crowded(String),
    /// Who held the lock was so slow that others may have taken it for dead.
    #[error("writing {0}: the lock expired before the store answered")]
    LostLock(String),
}

/// The answer of a store, or that there was none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    words: String,
    class: ErrorClass,
    transient: bool,
    status: Option<u16>,
    hint: Option<&'static str>,
}

impl Error {
    /// Returns whether the object is not there.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        self.class() == Some(ErrorClass::NotFound)
    }

    /// Returns whether the same may succeed later.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Store { said, .. } => said.transient,
            Self::Crowded(_) | Self::LostLock(_) => true,
            _ => false,
        }
    }

    /// The status of the answer.
    pub(crate) fn status(&self) -> Option<u16> {
        match self {
            Self::Store { said, .. } => said.status,
            _ => None,
        }
    }

    pub(crate) fn of(doing: impl Into<String>, cloud: Cloud, error: &object_store::Error) -> Self {
        Self::Store { doing: doing.into(), said: Said::of(cloud, error) }
    }
}

impl Classify for Error {
    #[deny(clippy::wildcard_enum_match_arm)]
    fn class(&self) -> Option<ErrorClass> {
        Some(match self {
            Self::Store { said, .. } => said.class,
            Self::Settings { .. } => ErrorClass::Configuration,
            Self::TooLarge { .. } => ErrorClass::InvalidImage,
            Self::TooManyParts { .. } => ErrorClass::Unsupported,
            Self::Crowded(_) | Self::LostLock(_) => ErrorClass::Conflict,
        })
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Store { said, .. } => said.hint.map(str::to_owned),
            _ => None,
        }
    }
}

impl Said {
    fn of(cloud: Cloud, error: &object_store::Error) -> Self {
        let mut last: &(dyn StdError + 'static) = error;
        let mut text = error.to_string();
        let mut unanswered = None;
        while let Some(source) = last.source() {
            if let Some(found) = source.downcast_ref::<HttpError>() {
                unanswered = Some(found.kind());
            }
            if source.downcast_ref::<Unanswered>().is_some() {
                return Self::unanswered(cloud, source.to_string(), unanswered, &text);
            }
            text = source.to_string();
            last = source;
        }
        let status = status_in(&text);
        let words = words_in(&text).unwrap_or(text);
        let class = match (error, status) {
            (object_store::Error::NotFound { .. }, _) => ErrorClass::NotFound,
            (object_store::Error::PermissionDenied { .. }, _) => ErrorClass::Denied,
            (object_store::Error::Unauthenticated { .. }, _) => ErrorClass::Unauthorized,
            (
                object_store::Error::AlreadyExists { .. }
                | object_store::Error::Precondition { .. }
                | object_store::Error::NotModified { .. },
                _,
            ) => ErrorClass::Conflict,
            (
                object_store::Error::NotSupported { .. }
                | object_store::Error::NotImplemented { .. },
                _,
            ) => ErrorClass::Unsupported,
            (_, Some(429 | 503)) => ErrorClass::RateLimited,
            (_, Some(400)) => ErrorClass::InvalidInput,
            (_, Some(401)) => ErrorClass::Unauthorized,
            (_, Some(403)) => ErrorClass::Denied,
            (_, Some(404)) => ErrorClass::NotFound,
            (_, Some(409 | 412)) => ErrorClass::Conflict,
            (_, Some(408 | 504)) => ErrorClass::Timeout,
            (_, Some(501)) => ErrorClass::Unsupported,
            (_, Some(500..)) => ErrorClass::Registry,
            _ => ErrorClass::Other,
        };
        let transient = status.is_some_and(|it| [408, 429, 500, 502, 503, 504].contains(&it));
        let hint = match class {
            ErrorClass::Denied | ErrorClass::Unauthorized => Some(who(cloud)),
            ErrorClass::InvalidInput if cloud == Cloud::S3 => Some(
                "the region or the endpoint may be another: set AWS_REGION or AWS_ENDPOINT_URL",
            ),
            _ => None,
        };
        Self { words, class, transient, status, hint }
    }

    fn unanswered(cloud: Cloud, words: String, kind: Option<HttpErrorKind>, above: &str) -> Self {
        let class = match kind {
            Some(HttpErrorKind::Timeout) => ErrorClass::Timeout,
            _ if words.contains("certificate") => ErrorClass::Tls,
            _ => ErrorClass::Network,
        };
        // Nobody has said who asks, and no machine of the cloud is there to tell.
        let asked = ["169.254.", "metadata.google.internal", "169.254.169.254"];
        if asked.iter().any(|place| above.contains(place)) {
            return Self {
                words: "there are no credentials for it".to_owned(),
                class: ErrorClass::Unauthorized,
                transient: false,
                status: None,
                hint: Some(who(cloud)),
            };
        }
        Self { words, class, transient: class != ErrorClass::Tls, status: None, hint: None }
    }
}

/// Where credentials are looked for.
fn who(cloud: Cloud) -> &'static str {
    match cloud {
        Cloud::S3 => {
            "credentials are read from AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, the profile in \
             AWS_PROFILE, a web identity, or the instance; AWS_SKIP_SIGNATURE=true asks as nobody"
        }
        Cloud::Google => {
            "credentials are read from GOOGLE_APPLICATION_CREDENTIALS, what `gcloud auth \
             application-default login` has written, or the instance; GOOGLE_SKIP_SIGNATURE=true \
             asks as nobody"
        }
        Cloud::Azure => {
            "credentials are read from AZURE_STORAGE_KEY, AZURE_STORAGE_SAS_TOKEN, \
             AZURE_CLIENT_ID with AZURE_TENANT_ID, or the instance; AZURE_SKIP_SIGNATURE=true asks \
             as nobody"
        }
    }
}

/// The status that `object_store` words: its own type for it is not public.
fn status_in(text: &str) -> Option<u16> {
    let (_, rest) = text.split_once("status code: ")?;
    rest.get(..3)?.parse().ok()
}

/// What the document says that a store sends with a refusal, on one line.
fn words_in(text: &str) -> Option<String> {
    let (_, rest) = text.split_once("status code: ")?;
    let (status, body) = rest.split_once(": ").unwrap_or((rest, ""));
    let element = |name: &str| {
        let (_, rest) = body.split_once(&format!("<{name}>"))?;
        Some(rest.split_once(&format!("</{name}>"))?.0.trim())
    };
    let mut words = status.to_owned();
    let told = [element("Code"), element("Message").and_then(|it| it.lines().next())];
    for part in told.into_iter().flatten().filter(|part| !part.is_empty()) {
        words.push_str(": ");
        // What comes from outside is not given to terminals as it is.
        words.extend(part.chars().filter(|c| !c.is_control()).take(300));
    }
    Some(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_told_in_one_line() {
        let text = "Server returned non-2xx status code: 403 Forbidden: <?xml version=\"1.0\"?>\n\
                    <Error><Code>AccessDenied</Code><Message>Access\u{1b} Denied\nmore</Message>\
                    <Key>x</Key></Error>";
        assert_eq!(status_in(text), Some(403));
        assert_eq!(words_in(text).unwrap(), "403 Forbidden: AccessDenied: Access Denied");
        let bare = "Server returned non-2xx status code: 500 Internal Server Error: ";
        assert_eq!(words_in(bare).unwrap(), "500 Internal Server Error");
        assert_eq!(words_in("something else"), None);
    }
}
