//! Google Cloud Storage.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::CloudSettings;
use crate::{Environment, Error};

pub(super) fn read(environment: &Environment) -> Result<CloudSettings, Error> {
    let mut found = CloudSettings::default();
    if let Some(host) = environment.text("STORAGE_EMULATOR_HOST") {
        let address = if host.contains("://") { host } else { format!("http://{host}") };
        found.say("google_base_url", Some(address));
        found.say("google_skip_signature", Some("true".to_owned()));
        return Ok(found);
    }
    if environment.text("GOOGLE_SKIP_SIGNATURE").as_deref() == Some("true") {
        found.say("google_skip_signature", Some("true".to_owned()));
        return Ok(found);
    }
    let path = environment.path("GOOGLE_APPLICATION_CREDENTIALS").or_else(|| usual(environment));
    if let Some(path) = path {
        check(&path)?;
        found.say("google_application_credentials", path.to_str().map(str::to_owned));
    }
    Ok(found)
}

/// Where `gcloud auth application-default login` writes, if it did.
fn usual(environment: &Environment) -> Option<PathBuf> {
    let folder = environment.path("CLOUDSDK_CONFIG");
    let folder = folder.unwrap_or_else(|| environment.home().join(".config/gcloud"));
    Some(folder.join("application_default_credentials.json")).filter(|path| path.is_file())
}

fn check(path: &Path) -> Result<(), Error> {
    #[derive(Deserialize)]
    struct Credentials {
        r#type: String,
    }
    let text = crate::paths::read(path)?;
    let read: Result<Credentials, _> = serde_json::from_slice(&text);
    let read = read.map_err(|error| Error::Json { path: path.to_owned(), source: error.into() })?;
    match read.r#type.as_str() {
        "service_account" | "authorized_user" => Ok(()),
        other => Err(Error::Invalid(format!(
            "{} has credentials of the type {other:?}, which are not supported: \
             service_account and authorized_user are, and the account of the machine",
            path.display()
        ))),
    }
}
