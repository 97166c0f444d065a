//! What kind of thing went wrong.

use std::error::Error;

/// The kind of an error: the one vocabulary that the errors of all crates are classified in, so
/// that scripts can tell them apart without reading sentences.
///
/// Each error says its class through [`Classify`], where the fact is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ErrorClass {
    /// None of the others.
    Other,
    /// There is no such image, tag, repository, blob or file.
    NotFound,
    /// Credentials are wanted, or these are wrong.
    Unauthorized,
    /// The credentials are good, but do not allow this; or the system does not.
    Denied,
    /// Too many requests.
    RateLimited,
    /// A connection did not come about, or broke.
    Network,
    /// It took too long.
    Timeout,
    /// The other side has no certificate that can be trusted.
    Tls,
    /// Bytes are not what their digest or length says.
    DigestMismatch,
    /// The policy, or registries.conf, forbids it.
    RejectedByPolicy,
    /// What was asked makes no sense: flags, names, arguments.
    InvalidInput,
    /// What was read is no valid image.
    InvalidImage,
    /// A configuration file is missing or wrong.
    Configuration,
    /// This cannot be done, here or there.
    Unsupported,
    /// Something else is in the way: another copy, another state.
    Conflict,
    /// There is no room.
    DiskFull,
    /// A registry answered with an error of another kind.
    Registry,
    /// Some of several things failed, or failed in different ways.
    Partial,
    /// The user ended it.
    Interrupted,
}

impl ErrorClass {
    /// Returns the name by which programs know it: in reports, and in errors that are told as JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Other => "other",
            Self::NotFound => "not-found",
            Self::Unauthorized => "unauthorized",
            Self::Denied => "denied",
            Self::RateLimited => "rate-limited",
            Self::Network => "network",
            Self::Timeout => "timeout",
            Self::Tls => "tls",
            Self::DigestMismatch => "digest-mismatch",
            Self::RejectedByPolicy => "rejected-by-policy",
            Self::InvalidInput => "invalid-input",
            Self::InvalidImage => "invalid-image",
            Self::Configuration => "configuration",
            Self::Unsupported => "unsupported",
            Self::Conflict => "conflict",
            Self::DiskFull => "disk-full",
            Self::Registry => "registry-error",
            Self::Partial => "partial",
            Self::Interrupted => "interrupted",
        }
    }
}

/// An error that says of which class it is.
///
/// `class` has an arm for each variant and none for all others (a test of the program holds that),
/// so that a new variant does not compile until somebody has decided.
pub trait Classify: Error {
    /// Returns the class, or `None` where the cause of the error is asked instead.
    fn class(&self) -> Option<ErrorClass>;

    /// Returns what the user can do about the error, if that is known.
    fn hint(&self) -> Option<String> {
        None
    }
}

/// Returns an error as one that says its class, if it is of one of some types.
///
/// Each crate has a function `classified` of its own types and of those of the crates below it; who
/// has any error asks the one of the highest crate.
#[macro_export]
macro_rules! classified {
    ($error:expr; $($own:ty),+ $(; $($below:path),+)?) => {
        None
            $(.or_else(|| $error.downcast_ref::<$own>().map(|it| it as &dyn $crate::Classify)))+
            $($(.or_else(|| $below($error)))+)?
    };
}

/// Returns the error as what it is, also where it lies in a box: a box is an error of its own.
#[must_use]
pub fn as_a<'a, T: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a T> {
    error.downcast_ref::<T>().or_else(|| error.downcast_ref::<Box<T>>().map(|boxed| &**boxed))
}
