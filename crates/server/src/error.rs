//! What can go wrong: [`Error`] before the first request, [`ApiError`] in an answer.

use std::io;

use http::StatusCode;
use serde_json::{Map, Value, json};
use skopeo_blob::FileError;
use skopeo_image::{Classify, ErrorClass};

use crate::progress::TooSlow;
use crate::refusal::Refusal;

/// Why a registry cannot be opened or served.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The folder, or a file given beside it, cannot be used.
    #[error(transparent)]
    Io(FileError),
    /// The htpasswd file has a line that is no user with a bcrypt hash.
    #[error(
        "parsing htpasswd file {path}: line {line} is not \"user:<bcrypt hash>\" with a cost of 4 to 16"
    )]
    Htpasswd {
        /// The file.
        path: String,
        /// Counted from 1.
        line: usize,
    },
    /// The htpasswd file lets nobody in.
    #[error("htpasswd file {path} has no users")]
    NoUsers {
        /// The file.
        path: String,
    },
    /// The certificate or the key cannot be used.
    #[error("loading TLS certificate and key")]
    Tls(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The address cannot be listened on.
    #[error("listening on {address}")]
    Listen {
        /// As it was given.
        address: String,
        /// What the system said.
        #[source]
        source: FileError,
    },
}

impl From<io::Error> for Error {
    fn from(error: io::Error) -> Self {
        Self::Io(error.into())
    }
}

/// What an object store said, as the errors of a disk travel.
pub(crate) fn of_store(error: skopeo_objects::Error) -> io::Error {
    use io::ErrorKind as Kind;
    let kind = match &error {
        skopeo_objects::Error::TooLarge { .. } => Kind::FileTooLarge,
        error if error.is_not_found() => Kind::NotFound,
        _ => Kind::Other,
    };
    io::Error::new(kind, error)
}

/// The error codes of the distribution specification, with those of distribution itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Code {
    BlobTooLarge,
    BlobUnknown,
    BlobUploadInvalid,
    BlobUploadUnknown,
    Busy,
    Denied,
    DigestInvalid,
    ManifestBlobUnknown,
    ManifestInvalid,
    ManifestTooLarge,
    ManifestUnknown,
    NameInvalid,
    NameUnknown,
    NoRoom,
    PaginationNumberInvalid,
    RangeInvalid,
    SizeInvalid,
    TagInvalid,
    TooLarge,
    TooManyRequests,
    Unauthorized,
    Unsupported,
    Timeout,
    NotFound,
    Unknown,
}

impl Code {
    fn parts(self) -> (StatusCode, &'static str, &'static str) {
        use StatusCode as S;
        match self {
            Self::BlobTooLarge => {
                (S::PAYLOAD_TOO_LARGE, "BLOB_UPLOAD_INVALID", "blob upload invalid")
            }
            Self::BlobUnknown => (S::NOT_FOUND, "BLOB_UNKNOWN", "blob unknown to registry"),
            Self::BlobUploadInvalid => {
                (S::BAD_REQUEST, "BLOB_UPLOAD_INVALID", "blob upload invalid")
            }
            Self::BlobUploadUnknown => {
                (S::NOT_FOUND, "BLOB_UPLOAD_UNKNOWN", "blob upload unknown to registry")
            }
            Self::Busy => (S::SERVICE_UNAVAILABLE, "UNAVAILABLE", "service unavailable"),
            Self::Denied => (S::FORBIDDEN, "DENIED", "requested access to the resource is denied"),
            Self::DigestInvalid => {
                (S::BAD_REQUEST, "DIGEST_INVALID", "provided digest did not match uploaded content")
            }
            Self::ManifestBlobUnknown => {
                (S::BAD_REQUEST, "MANIFEST_BLOB_UNKNOWN", "blob unknown to registry")
            }
            Self::ManifestInvalid => (S::BAD_REQUEST, "MANIFEST_INVALID", "manifest invalid"),
            Self::ManifestTooLarge => {
                (S::PAYLOAD_TOO_LARGE, "MANIFEST_INVALID", "manifest too large")
            }
            Self::ManifestUnknown => (S::NOT_FOUND, "MANIFEST_UNKNOWN", "manifest unknown"),
            Self::NameInvalid => (S::BAD_REQUEST, "NAME_INVALID", "invalid repository name"),
            Self::NameUnknown => {
                (S::NOT_FOUND, "NAME_UNKNOWN", "repository name not known to registry")
            }
            Self::NoRoom => (S::INSUFFICIENT_STORAGE, "DENIED", "there is no room"),
            Self::PaginationNumberInvalid => {
                (S::BAD_REQUEST, "PAGINATION_NUMBER_INVALID", "invalid number of results requested")
            }
            Self::RangeInvalid => {
                (S::RANGE_NOT_SATISFIABLE, "RANGE_INVALID", "invalid content range")
            }
            Self::SizeInvalid => {
                (S::BAD_REQUEST, "SIZE_INVALID", "provided length did not match content length")
            }
            Self::TagInvalid => (S::BAD_REQUEST, "TAG_INVALID", "manifest tag did not match URI"),
            // No other one says that it is not the client's fault and will not pass soon.
            Self::TooLarge => (S::SERVICE_UNAVAILABLE, "UNAVAILABLE", "service unavailable"),
            Self::TooManyRequests => (S::TOO_MANY_REQUESTS, "TOOMANYREQUESTS", "too many requests"),
            Self::Unauthorized => (S::UNAUTHORIZED, "UNAUTHORIZED", "authentication required"),
            Self::Unsupported => {
                (S::METHOD_NOT_ALLOWED, "UNSUPPORTED", "The operation is unsupported.")
            }
            Self::Timeout => (S::REQUEST_TIMEOUT, "UNKNOWN", "request body timed out"),
            Self::NotFound => (S::NOT_FOUND, "NOT_FOUND", "page not found"),
            Self::Unknown => (S::INTERNAL_SERVER_ERROR, "UNKNOWN", "unknown error"),
        }
    }
}

/// An answer that is an error.
#[derive(Debug)]
pub(crate) struct ApiError {
    pub(crate) code: Code,
    pub(crate) detail: Value,
}

impl ApiError {
    /// The code with something about this very case.
    pub(crate) fn new(code: Code, detail: impl Into<Value>) -> Self {
        Self { code, detail: detail.into() }
    }

    /// A body that broke, with the code for what it was to be, or that was too slow.
    pub(crate) fn of_body(
        code: Code,
        error: &(dyn std::error::Error + Send + Sync + 'static),
    ) -> Self {
        if error.is::<TooSlow>() {
            Code::Timeout.into()
        } else {
            Self::new(code, error.to_string())
        }
    }

    /// The status it is answered with.
    pub(crate) fn status(&self) -> StatusCode {
        self.code.parts().0
    }

    /// The body, as the specification's "Error Codes" has it.
    pub(crate) fn body(&self) -> Vec<u8> {
        let (_, code, message) = self.code.parts();
        let mut error = Map::new();
        error.insert("code".to_owned(), code.into());
        error.insert("message".to_owned(), message.into());
        // What distribution's registry sends even if it is null, clients may look for.
        if !self.detail.is_null() || self.code == Code::Unauthorized {
            error.insert("detail".to_owned(), self.detail.clone());
        }
        json!({"errors": [error]}).to_string().into_bytes()
    }
}

impl From<Code> for ApiError {
    fn from(code: Code) -> Self {
        Self { code, detail: Value::Null }
    }
}

impl From<Refusal> for ApiError {
    fn from(refusal: Refusal) -> Self {
        let code = match refusal {
            Refusal::Blob(_) => Code::BlobTooLarge,
            Refusal::Storage(_) | Refusal::Manifests(_) | Refusal::Index(_) => Code::NoRoom,
            Refusal::LongIndex(_) | Refusal::ManyManifests(_) | Refusal::Memory(_) => {
                Code::TooLarge
            }
            Refusal::Busy | Refusal::Crowded | Refusal::Uploads => Code::Busy,
        };
        Self::new(code, refusal.to_string())
    }
}

impl From<io::Error> for ApiError {
    fn from(error: io::Error) -> Self {
        if let Some(refusal) = Refusal::of(&error) {
            return refusal.into();
        }
        // The path stays in our log: clients need not know where the folder lies.
        tracing::error!("answering: {error}");
        if let Some(said) = error.get_ref().and_then(|it| it.downcast_ref()) {
            return of_class(said);
        }
        use io::ErrorKind as Kind;
        match error.kind() {
            Kind::StorageFull | Kind::QuotaExceeded | Kind::FileTooLarge => {
                Self::new(Code::NoRoom, "the disk of this registry is full")
            }
            Kind::ReadOnlyFilesystem => {
                Self::new(Code::Denied, "the folder of this registry is on a read-only file system")
            }
            Kind::PermissionDenied => {
                Self::new(Code::Denied, "this registry has no permission for a file of its folder")
            }
            kind => Self::new(Code::Unknown, kind.to_string()),
        }
    }
}

/// The answer where an object store did not do what was asked.
fn of_class(said: &skopeo_objects::Error) -> ApiError {
    use ErrorClass as Class;
    match said.class() {
        Some(Class::Denied | Class::Unauthorized) => {
            ApiError::new(Code::Denied, "this registry has no permission for that in its bucket")
        }
        Some(Class::RateLimited | Class::Timeout | Class::Network | Class::Conflict) => {
            ApiError::new(Code::Busy, "the object store of this registry cannot answer now")
        }
        _ if said.is_transient() => {
            ApiError::new(Code::Busy, "the object store of this registry cannot answer now")
        }
        _ => ApiError::new(Code::Unknown, "the object store of this registry refused"),
    }
}
