//! Why a policy is no policy, and why an image is not accepted.

use skopeo_image::ErrorClass;

/// Why policy.json cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid policy in {path:?}: {reason}")]
pub struct PolicyError {
    /// The file.
    pub path: String,
    /// What is wrong, in the original's words.
    pub reason: String,
}

/// Why an image is not accepted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Rejected {
    /// The policy says so.
    #[error("Running image {0} is rejected by policy.")]
    ByPolicy(String),
    /// Signatures are required of every image, and the policy asks for none from this one.
    #[error("No signature verification policy found for image {0}")]
    NoVerification(String),
    /// The policy asks for what cannot be judged here.
    #[error(
        "image {image} is not accepted: the policy requires {requirement:?}, and verifying these \
         signatures is not supported yet"
    )]
    NotSupported {
        /// The image.
        image: String,
        /// The type of the requirement, as in policy.json.
        requirement: &'static str,
    },
    /// The policy asks for what nobody implements.
    #[error("signedBaseLayer not implemented yet!")]
    SignedBaseLayer,
    /// A list without requirements accepts nothing.
    #[error("List of verification policy requirements must not be empty")]
    NoRequirements,
}

impl PolicyError {
    /// What kind of error it is.
    #[must_use]
    pub fn class(&self) -> ErrorClass {
        ErrorClass::Configuration
    }
}

impl Rejected {
    /// What kind of error it is.
    #[must_use]
    pub fn class(&self) -> ErrorClass {
        ErrorClass::RejectedByPolicy
    }
}
