//! What can go wrong with a Docker daemon.

use std::io;
use std::path::PathBuf;

use skopeo_blob::FileError;
use skopeo_image::{Classify, ErrorClass};
use skopeo_registry::WireError;

/// An error of a daemon, or on the way to it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DaemonError {
    /// An address without a protocol, or none at all.
    #[error("unable to parse docker host `{0}`")]
    Host(String),
    /// A protocol that nothing here speaks.
    #[error("unable to parse docker host `{host}`: {protocol}:// is not supported")]
    Protocol {
        /// The address.
        host: String,
        /// What stands before `://`.
        protocol: String,
    },
    /// The authorities to trust cannot be read.
    #[error("reading CA file {path:?}")]
    CaFile {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: FileError,
    },
    /// The file of authorities has none.
    #[error("no certificate found in {0:?}")]
    NoCertificate(PathBuf),
    /// The certificate to show, or its key, cannot be read.
    #[error("loading X509 key pair")]
    KeyPair(#[source] FileError),
    /// Certificates or TLS details are of no use.
    #[error("preparing connections")]
    Connections(#[source] Box<skopeo_registry::Error>),
    /// Nobody is there.
    #[error("Cannot connect to the Docker daemon at {host}. Is the docker daemon running?")]
    Unreachable {
        /// Its address.
        host: String,
        /// Why.
        #[source]
        source: WireError,
    },
    /// Somebody is there who is no daemon.
    #[error("the server at {host} is not a Docker daemon: {reason}")]
    NoDaemon {
        /// Its address.
        host: String,
        /// How that shows.
        reason: String,
    },
    /// It does not go on.
    #[error("the Docker daemon at {host} no longer answers")]
    Silent {
        /// Its address.
        host: String,
    },
    /// A connection broke.
    #[error("talking to the Docker daemon at {host}")]
    Broken {
        /// Its address.
        host: String,
        /// How.
        #[source]
        source: WireError,
    },
    /// It refused.
    #[error("Error response from daemon: {message}")]
    Refused {
        /// The HTTP status.
        status: u16,
        /// Its words.
        message: String,
    },
    /// It began and could not go on.
    #[error("docker engine reported: {0:?}")]
    Reported(String),
    /// Its report is none.
    #[error("parsing docker load progress")]
    Progress(#[source] serde_json::Error),
    /// Its report does not end.
    #[error("parsing docker load progress: a message of more than {0} bytes")]
    LongProgress(usize),
    /// It said that all is well before it had everything.
    #[error("the Docker daemon at {0} did not wait for the end of the image")]
    Early(String),
    /// Only a name with a tag can be given.
    #[error("Invalid destination docker-daemon:{0}: a destination must be a name:tag")]
    Destination(String),
    /// The task that talks to the daemon died.
    #[error("talking to the Docker daemon")]
    Task(#[source] io::Error),
}

impl Classify for DaemonError {
    #[deny(clippy::wildcard_enum_match_arm)]
    fn class(&self) -> Option<ErrorClass> {
        Some(match self {
            Self::Host(_) | Self::Protocol { .. } | Self::Destination(_) => {
                ErrorClass::InvalidInput
            }
            Self::CaFile { .. } | Self::NoCertificate(_) | Self::KeyPair(_) => {
                ErrorClass::Configuration
            }
            Self::Connections(source) => return source.class(),
            Self::Unreachable { source, .. } | Self::Broken { source, .. } => {
                return source.class();
            }
            Self::Silent { .. } => ErrorClass::Timeout,
            Self::Refused { status: 404, .. } => ErrorClass::NotFound,
            Self::Refused { status: 401 | 403, .. } => ErrorClass::Denied,
            Self::NoDaemon { .. }
            | Self::Refused { .. }
            | Self::Reported(_)
            | Self::Progress(_)
            | Self::LongProgress(_)
            | Self::Early(_)
            | Self::Task(_) => ErrorClass::Other,
        })
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Unreachable { host, source } if host.starts_with("unix:") => {
                Some(if source.to_string().contains("permission denied") {
                    format!("the socket {host} belongs to root and its group, usually docker")
                } else {
                    "--daemon-host (--src-daemon-host, --dest-daemon-host) or $DOCKER_HOST names \
                     another socket or address"
                        .to_owned()
                })
            }
            Self::Unreachable { host, source }
                if host.starts_with("tcp:") && source.class() != Some(ErrorClass::Tls) =>
            {
                Some("tcp:// uses TLS with --cert-dir; http:// uses no TLS".to_owned())
            }
            Self::Unreachable { source, .. } | Self::Broken { source, .. } => source.hint(),
            Self::Protocol { .. } if cfg!(windows) => Some(
                "have the daemon listen at tcp:// or http://, and name that by --daemon-host \
                 (--src-daemon-host, --dest-daemon-host) or $DOCKER_HOST"
                    .to_owned(),
            ),
            _ => None,
        }
    }
}
