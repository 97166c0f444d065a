//! Why a certificate is not believed, in the words of Go's x509.

/// Why a certificate is not believed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refused {
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
    /// It is not for what it is shown for.
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
