//! Why a certificate is not believed: in the words of Go's x509, and what to do about it.

use std::fmt::Write as _;

/// Why a certificate is not believed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refused {
    /// It is none.
    #[error("cannot parse certificate: {0}")]
    Unreadable(String),
    /// Its time is over.
    #[error("certificate has expired or is not yet valid: current time {now} is after {until}")]
    Expired { now: String, until: String },
    /// Its time has not begun.
    #[error("certificate has expired or is not yet valid: current time {now} is before {from}")]
    Early { now: String, from: String },
    /// It is somebody else's.
    #[error("{sentence}")]
    Name { sentence: String, names: Vec<String> },
    /// Nobody who is believed vouches for it; why the one who says so is not, where one does.
    #[error("certificate signed by unknown authority{}", possibly(.because.as_deref()))]
    UnknownAuthority { because: Option<Box<(Self, String)>> },
    /// It is not for servers.
    #[error("certificate specifies an incompatible key usage")]
    Usage { called: Vec<String> },
    /// It says something that must be understood, and is not.
    #[error("unhandled critical extension")]
    Critical { extensions: Vec<String> },
    /// An authority that is none.
    #[error("invalid signature: parent certificate cannot sign this kind of certificate")]
    CannotSign,
    /// The same, in the middle of a chain.
    #[error("certificate is not authorized to sign other certificates")]
    NoAuthority,
    /// A chain longer than an authority allows.
    #[error("too many intermediates for path length constraint")]
    TooLong,
    /// Names that an authority may not vouch for.
    #[error("a root or intermediate certificate is not authorized to sign for this name: {0}")]
    Constraint(String),
    /// A signature of a kind that is not believed.
    #[error("cannot verify signature: {0}")]
    Algorithm(&'static str),
    /// A signature that is none.
    #[error("{0}")]
    Signature(&'static str),
}

fn possibly(because: Option<&(Refused, String)>) -> String {
    let Some((why, name)) = because else { return String::new() };
    let why = match why {
        Refused::Signature(_) => why.to_string(),
        why => format!("x509: {why}"),
    };
    format!(
        " (possibly because of {why:?} while trying to verify candidate authority certificate \
         {name:?})"
    )
}

impl Refused {
    /// What the user may do about it. `server` is `host:port`, `folders` are where an authority's
    /// certificate may be put.
    pub(crate) fn hint(&self, server: &str, host: &str, folders: Option<&str>) -> String {
        let mut hint = format!("the certificate of {server} ");
        let _ = match self {
            Self::Expired { now, until } => write!(
                hint,
                "has expired: it was valid until {until}; this machine's clock says {now}"
            ),
            Self::Early { now, from } => {
                write!(hint, "is valid from {from} on; this machine's clock says {now}")
            }
            Self::Name { names, .. } if names.is_empty() => {
                write!(hint, "names no host, so it is not for {host}")
            }
            Self::Name { names, .. } => {
                write!(hint, "is for {}, not for {host}", names.join(", "))
            }
            Self::Usage { called } if called.is_empty() => write!(hint, "is not for servers"),
            Self::Usage { called } => {
                write!(hint, "or of its authority is for {}, not for servers", called.join(", "))
            }
            Self::Critical { extensions } => write!(
                hint,
                "has an extension that this program must understand and does not: {}",
                extensions.join(", ")
            ),
            Self::UnknownAuthority { because: Some(because) } => {
                return because.0.hint_of_authority(server, &because.1);
            }
            Self::UnknownAuthority { because: None } => match folders {
                Some(folders) => {
                    let _ = write!(
                        hint,
                        "is not trusted; put the certificate of its authority as ca.crt into \
                         {folders}, or give --tls-verify=false to accept any certificate"
                    );
                    return hint;
                }
                None => write!(hint, "is not trusted"),
            },
            _ => write!(hint, "is not trusted"),
        };
        hint.push_str("; --tls-verify=false accepts any certificate");
        hint
    }

    fn hint_of_authority(&self, server: &str, name: &str) -> String {
        let why = match self {
            Self::Expired { now, until } => format!(
                "which has expired: it was valid until {until}; this machine's clock says {now}"
            ),
            Self::Early { now, from } => {
                format!("which is valid from {from} on; this machine's clock says {now}")
            }
            Self::CannotSign | Self::NoAuthority => "which is not an authority".to_owned(),
            Self::Signature(_) => "whose key did not sign it".to_owned(),
            Self::Algorithm(_) => "with a signature that is not believed any more".to_owned(),
            Self::Constraint(_) => "which may not vouch for this name".to_owned(),
            _ => "which may not vouch for it".to_owned(),
        };
        format!(
            "the certificate of {server} was issued by {name:?}, {why}; --tls-verify=false \
             accepts any certificate"
        )
    }
}
