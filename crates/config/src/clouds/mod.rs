//! Object stores: where the environment and the files of each cloud's own tools say they are, and
//! who asks them.
//!
//! What is found is told by the names that the tools' variables have, in lower case. Nothing of it
//! is judged here but what cannot be used at all.

mod aws;
mod azure;
mod google;
mod process;
mod profile;

use std::fmt;
use std::path::PathBuf;

use skopeo_image::Secret;

pub use process::{CredentialProcess, Keys};

use crate::{Environment, Error};

/// What is said about a store and who asks it.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct CloudSettings {
    /// Names, and what is said of each.
    pub pairs: Vec<(&'static str, Secret)>,
    /// A program that says who asks, for some time.
    pub process: Option<CredentialProcess>,
    /// Certificates to trust beside the system's.
    pub roots: Option<PathBuf>,
}

impl CloudSettings {
    /// Of S3 and its kin.
    ///
    /// # Errors
    /// If a file that is named cannot be read, or says what this program cannot do.
    pub(crate) fn aws(environment: &Environment) -> Result<Self, Error> {
        aws::read(environment)?.checked()
    }

    /// Of Google Cloud Storage.
    ///
    /// # Errors
    /// As [`aws`](Self::aws).
    pub(crate) fn google(environment: &Environment) -> Result<Self, Error> {
        google::read(environment)?.checked()
    }

    /// Of a storage account of Azure.
    ///
    /// # Errors
    /// As [`aws`](Self::aws).
    pub(crate) fn azure(environment: &Environment, account: &str) -> Result<Self, Error> {
        azure::read(environment, account)?.checked()
    }

    /// Returns what is said of a name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        let found = self.pairs.iter().find(|(known, _)| *known == name);
        found.map(|(_, value)| value.reveal())
    }

    /// Refuses what cannot be sent. A line break at the end of a secret is easily had, and headers of
    /// requests have none.
    fn checked(self) -> Result<Self, Error> {
        for (name, value) in &self.pairs {
            check(name, value.reveal())?;
        }
        Ok(self)
    }

    /// Says something, unless it is said already.
    fn say(&mut self, name: &'static str, value: Option<String>) {
        if let Some(value) = value.filter(|value| !value.is_empty())
            && self.get(name).is_none()
        {
            self.pairs.push((name, value.into()));
        }
    }
}

/// Refuses a text that no request can have in it. The text is not told: it may be a secret.
fn check(name: &str, text: &str) -> Result<(), Error> {
    if text.chars().any(char::is_control) {
        return Err(Error::Invalid(format!(
            "{name} has a line break or another control character in it"
        )));
    }
    Ok(())
}

/// Names without values, which may be secrets.
impl fmt::Debug for CloudSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CloudSettings")
            .field("names", &self.pairs.iter().map(|(name, _)| name).collect::<Vec<_>>())
            .field("process", &self.process.is_some())
            .field("roots", &self.roots)
            .finish()
    }
}

#[cfg(test)]
mod tests;
