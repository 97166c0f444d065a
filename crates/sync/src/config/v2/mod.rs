//! Version 2: pairs of what to copy and where to, with defaults for all of them.

mod entry;
mod environment;
#[cfg(test)]
mod tests;

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::path::PathBuf;

use serde::Deserialize;
use serde_saphyr::Spanned;
use skopeo_image::{Named, Reference, Secret};

use super::v1::Credentials;
pub use super::values::Platforms;
use super::{Malformed, OrderedMap, World, nullable, read};
use crate::destination::{NamedTarget, Target};
use crate::naming::Naming;
use crate::select::Choice;

use entry::{RawDefaults, RawEntry};

/// What a file asks for.
#[derive(Debug)]
pub struct File {
    /// How to reach registries, by host, whichever side they are on.
    pub registries: OrderedMap<Access>,
    /// What to copy, in the order of the file.
    pub entries: Vec<Entry>,
}

/// How to reach a registry.
#[derive(Debug, Default)]
pub struct Access {
    /// As whom to ask.
    pub credentials: Credentials,
    /// The variables of the environment that `credentials` were filled from, set or not.
    pub variables: BTreeSet<String>,
    /// Whether certificates must be good; as on the command line where the file does not say.
    pub tls_verify: Option<bool>,
    /// The folder of certificates; as on the command line where the file does not say.
    pub cert_dir: Option<PathBuf>,
}

/// One thing to copy, with all defaults in it.
#[derive(Debug)]
pub struct Entry {
    /// Where it stands: `images[0]`.
    pub key: String,
    /// The line of its source, from 1.
    pub line: u64,
    /// What to copy.
    pub from: From,
    /// Which of its tags.
    pub tags: Tags,
    /// Which images of lists; as on the command line where the file does not say.
    pub platforms: Option<Platforms>,
    /// How its images are named where nothing else says so.
    pub naming: Naming,
    /// Where to. If there is nothing, it is for the command line to say.
    pub targets: Vec<NamedTarget>,
}

/// What to copy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum From {
    /// Tags of a repository.
    Repository(Reference),
    /// One image of a registry.
    Image(Reference),
    /// Tags of the repositories of a registry, by its host, in whose names the expression matches
    /// somewhere, if there is one.
    Registry {
        /// The host.
        host: String,
        /// The expression, as it was checked.
        repositories: Option<String>,
    },
    /// What a folder, layout or archive holds.
    Held(Target),
}

/// Which tags of a repository.
#[derive(Clone, Debug)]
pub enum Tags {
    /// These, which may be digests too.
    These(Vec<String>),
    /// Those that are chosen.
    Chosen(Choice),
}

/// The keys of a file.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
struct RawFile {
    /// Looked at before.
    #[serde(rename = "version")]
    _version: u64,
    #[serde(deserialize_with = "nullable")]
    defaults: RawDefaults,
    #[serde(deserialize_with = "nullable")]
    registries: OrderedMap<Spanned<RawAccess>>,
    #[serde(deserialize_with = "nullable")]
    images: Vec<RawEntry>,
}

/// The keys of a registry.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
struct RawAccess {
    #[serde(deserialize_with = "nullable")]
    credentials: RawCredentials,
    tls_verify: Option<bool>,
    cert_dir: Option<PathBuf>,
}

/// The keys of credentials.
#[derive(Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
struct RawCredentials {
    username: Option<Spanned<String>>,
    password: Option<Spanned<String>>,
    identity_token: Option<Spanned<String>>,
}

impl std::fmt::Debug for RawCredentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("RawCredentials")
    }
}

impl File {
    /// Reads the text of a file.
    ///
    /// # Errors
    /// If it is no YAML, has a key that is unknown, or what a key says cannot be meant.
    pub fn parse(text: &str, world: World<'_>) -> Result<Self, Malformed> {
        let raw: RawFile = read(text)?;
        let access = |(host, raw): (String, Spanned<RawAccess>)| {
            // What is written for something else would be looked up never.
            let domain = Named::parse_normalized(&format!("{host}/x"));
            if !domain.is_ok_and(|name| name.domain() == host) {
                let key = format!("registries.{host}");
                let problem = "this is no host of a registry, with its port if it has one";
                return Err(Malformed::at(raw.referenced, &key, problem));
            }
            let raw = raw.value;
            let (credentials, variables) = raw.credentials.filled(&host, world)?;
            let (tls_verify, cert_dir) = (raw.tls_verify, raw.cert_dir);
            Ok((host, Access { credentials, variables, tls_verify, cert_dir }))
        };
        let registries = raw.registries.0.into_iter().map(access).collect::<Result<_, _>>()?;
        let entries = raw.images.into_iter().enumerate();
        let entries = entries.map(|(at, entry)| entry.resolved(at, &raw.defaults, world));
        Ok(Self { registries: OrderedMap(registries), entries: entries.collect::<Result<_, _>>()? })
    }
}

impl RawCredentials {
    /// The credentials, and the variables that were asked for.
    fn filled(
        self,
        host: &str,
        world: World<'_>,
    ) -> Result<(Credentials, BTreeSet<String>), Malformed> {
        let asked = RefCell::default();
        let variable = |name: &str| {
            let asked: &RefCell<BTreeSet<String>> = &asked;
            asked.borrow_mut().insert(name.to_owned());
            (world.variable)(name)
        };
        let fill = |key: &str, text: Option<Spanned<String>>| match text {
            Some(text) => environment::filled(&text.value, &variable).map_err(|problem| {
                let key = format!("registries.{host}.credentials.{key}");
                Malformed::at(text.referenced, &key, problem)
            }),
            None => Ok(String::new()),
        };
        let secret = |text: String| Some(text).filter(|text| !text.is_empty()).map(Secret::from);
        let credentials = Credentials {
            username: fill("username", self.username)?,
            password: secret(fill("password", self.password)?),
            identitytoken: secret(fill("identity-token", self.identity_token)?),
        };
        Ok((credentials, asked.into_inner()))
    }
}
