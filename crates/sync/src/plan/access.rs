//! How registries are reached, and what is asked of an index, as a plan says it.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use skopeo_copy::{Lists, Others};
use skopeo_transport::Options;

use crate::Result;

/// How a registry is reached, where that is not as the flags say.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Access {
    /// Whether its certificate is verified.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls_verify: Option<bool>,
    /// The folder with its certificates.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cert_dir: Option<PathBuf>,
}

impl Access {
    /// Returns what `options` say of it that `flagged` do not.
    #[must_use]
    pub fn new(options: &Options, flagged: &Options) -> Self {
        let (own, flagged) = (&options.registry, &flagged.registry);
        let verify = own.tls_verify.filter(|it| flagged.tls_verify != Some(*it));
        let folder = own.cert_dir.clone().filter(|it| flagged.cert_dir.as_ref() != Some(it));
        Self { tls_verify: verify, cert_dir: folder }
    }

    /// Returns these options with what a plan says.
    pub(super) fn over(&self, options: &Options) -> Options {
        let mut options = options.clone();
        options.registry.tls_verify = self.tls_verify.or(options.registry.tls_verify);
        if let Some(folder) = &self.cert_dir {
            options.registry.cert_dir = Some(folder.clone());
        }
        options
    }
}

/// Returns what is asked of an index, in one word or as platforms.
pub(super) fn lists_as_text(lists: &Lists) -> String {
    match lists {
        Lists::System => "system".to_owned(),
        Lists::All => "all".to_owned(),
        Lists::IndexOnly => "index-only".to_owned(),
        Lists::Platforms { wanted, .. } => {
            wanted.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
        }
    }
}

/// Returns what a word of a plan asks of an index.
pub(super) fn lists_of_text(text: &str) -> Result<Lists> {
    Ok(match text {
        "system" => Lists::System,
        "all" => Lists::All,
        "index-only" => Lists::IndexOnly,
        platforms => {
            let wanted = platforms.split(',').map(str::parse).collect::<Result<_, _>>()?;
            Lists::Platforms { wanted, others: Others::Remove }
        }
    })
}
