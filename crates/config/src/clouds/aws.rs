//! S3: variables first, then the profile.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::profile::{self, Section};
use super::{CloudSettings, CredentialProcess, check};
use crate::{Environment, Error};

/// Variables that are told on as they are.
const VARIABLES: &[(&str, &str)] = &[
    ("AWS_REGION", "aws_region"),
    ("AWS_DEFAULT_REGION", "aws_default_region"),
    ("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "aws_container_credentials_relative_uri"),
    ("AWS_CONTAINER_CREDENTIALS_FULL_URI", "aws_container_credentials_full_uri"),
    ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", "aws_container_authorization_token_file"),
    ("AWS_ENDPOINT_URL_STS", "aws_endpoint_url_sts"),
    ("AWS_EC2_METADATA_SERVICE_ENDPOINT", "aws_metadata_endpoint"),
    ("AWS_EC2_METADATA_DISABLED", "aws_ec2_metadata_disabled"),
    ("AWS_REQUEST_PAYER", "aws_request_payer"),
    // What has no variable of AWS's has that of the crate `object_store`.
    ("AWS_SKIP_SIGNATURE", "aws_skip_signature"),
    ("AWS_VIRTUAL_HOSTED_STYLE_REQUEST", "aws_virtual_hosted_style_request"),
    ("AWS_CONDITIONAL_PUT", "aws_conditional_put"),
    ("AWS_SERVER_SIDE_ENCRYPTION", "aws_server_side_encryption"),
    ("AWS_SSE_KMS_KEY_ID", "aws_sse_kms_key_id"),
    ("AWS_SSE_BUCKET_KEY_ENABLED", "aws_sse_bucket_key_enabled"),
];

/// How an expired or odd profile can be used all the same.
const EXPORT: &str = "`aws configure export-credentials --format env` writes variables that can";

pub(super) fn read(environment: &Environment) -> Result<CloudSettings, Error> {
    let mut found = CloudSettings::default();
    for (variable, name) in VARIABLES {
        found.say(name, environment.text(variable));
    }
    found.roots = environment.path("AWS_CA_BUNDLE");
    let files = Files::read(environment)?;
    let profile = files.profile()?;
    let ignored = environment.text("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS");
    found.say("aws_endpoint_url_s3", environment.text("AWS_ENDPOINT_URL_S3"));
    found.say("aws_endpoint_url", environment.text("AWS_ENDPOINT_URL"));
    if !ignored.is_some_and(|it| it.eq_ignore_ascii_case("true")) {
        let services = profile.get("services").and_then(|name| files.services(name));
        let of_s3 = services.and_then(|it| it.get("s3.endpoint_url").cloned());
        // A variable of any kind goes before a file of any kind.
        if found.get("aws_endpoint_url").is_none() {
            found.say("aws_endpoint_url_s3", of_s3);
            found.say("aws_endpoint_url", profile.get("endpoint_url").cloned());
        }
    }
    if found.get("aws_region").is_none() && found.get("aws_default_region").is_none() {
        found.say("aws_region", profile.get("region").cloned());
    }
    if found.roots.is_none() {
        found.roots = profile.get("ca_bundle").map(PathBuf::from);
    }
    match profile.get("s3.addressing_style").map(String::as_str) {
        Some("virtual") => found.say("aws_virtual_hosted_style_request", Some("true".to_owned())),
        _ => found.say("aws_virtual_hosted_style_request", Some("false".to_owned())),
    }
    if found.get("aws_skip_signature") != Some("true") {
        say_who(&mut found, environment, &files, &profile)?;
    }
    Ok(found)
}

/// Who asks: what is said first, in the order of AWS's tools.
fn say_who(
    found: &mut CloudSettings,
    environment: &Environment,
    files: &Files,
    profile: &Section,
) -> Result<(), Error> {
    let text = |name| environment.text(name);
    if let (Some(id), Some(secret)) = (text("AWS_ACCESS_KEY_ID"), text("AWS_SECRET_ACCESS_KEY")) {
        found.say("aws_access_key_id", Some(id));
        found.say("aws_secret_access_key", Some(secret));
        found.say("aws_session_token", text("AWS_SESSION_TOKEN"));
        return Ok(());
    }
    if let (Some(file), Some(role)) = (text("AWS_WEB_IDENTITY_TOKEN_FILE"), text("AWS_ROLE_ARN")) {
        found.say("aws_web_identity_token_file", Some(file));
        found.say("aws_role_arn", Some(role));
        found.say("aws_role_session_name", text("AWS_ROLE_SESSION_NAME"));
        return Ok(());
    }
    let has = |name: &str| profile.get(name).is_some_and(|value| !value.is_empty());
    let said = |name: &str| profile.get(name).cloned();
    if has("web_identity_token_file") && has("role_arn") {
        found.say("aws_web_identity_token_file", said("web_identity_token_file"));
        found.say("aws_role_arn", said("role_arn"));
        found.say("aws_role_session_name", said("role_session_name"));
    } else if has("role_arn") {
        return Err(Error::Invalid(format!(
            "the profile {:?} takes a role of another: that is not supported; {EXPORT}",
            files.name
        )));
    } else if has("aws_access_key_id") && has("aws_secret_access_key") {
        found.say("aws_access_key_id", said("aws_access_key_id"));
        found.say("aws_secret_access_key", said("aws_secret_access_key"));
        found.say("aws_session_token", said("aws_session_token"));
    } else if has("sso_session") || has("sso_start_url") || has("login_session") {
        return Err(Error::Invalid(format!(
            "the profile {:?} signs on at a web page: that is not supported; {EXPORT}",
            files.name
        )));
    } else if let Some(line) = profile.get("credential_process") {
        found.process = Some(CredentialProcess::parse(line).ok_or_else(|| {
            Error::Invalid(format!("the credential_process of {:?} is no command", files.name))
        })?);
    } else {
        check_container(found)?;
    }
    Ok(())
}

/// Refuses what is said of a container's credentials if they cannot be had so.
fn check_container(found: &CloudSettings) -> Result<(), Error> {
    if found.get("aws_container_credentials_full_uri").is_none()
        || found.get("aws_container_credentials_relative_uri").is_some()
    {
        return Ok(());
    }
    let Some(file) = found.get("aws_container_authorization_token_file") else {
        return Err(Error::Invalid(
            "AWS_CONTAINER_CREDENTIALS_FULL_URI is supported only with \
             AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"
                .to_owned(),
        ));
    };
    let path = Path::new(file);
    let token = fs_err::read_to_string(path).map_err(|error| Error::file("read", path, error))?;
    check(&format!("the token in {file}"), &token)
}

/// The two files, and the profile that counts.
struct Files {
    config: BTreeMap<String, Section>,
    credentials: BTreeMap<String, Section>,
    name: String,
    /// Whether somebody has named it.
    named: bool,
}

impl Files {
    fn read(environment: &Environment) -> Result<Self, Error> {
        let path = |variable, name: &str| {
            let named = environment.path(variable);
            named.unwrap_or_else(|| environment.home().join(".aws").join(name))
        };
        let name =
            environment.text("AWS_PROFILE").or_else(|| environment.text("AWS_DEFAULT_PROFILE"));
        Ok(Self {
            config: profile::read(&path("AWS_CONFIG_FILE", "config"))?,
            credentials: profile::read(&path("AWS_SHARED_CREDENTIALS_FILE", "credentials"))?,
            named: name.is_some(),
            name: name.unwrap_or_else(|| "default".to_owned()),
        })
    }

    /// What both files say of it: of what both say, the file of credentials.
    fn profile(&self) -> Result<Section, Error> {
        let name = &self.name;
        let in_config = self.config.get(&format!("profile {name}"));
        let in_config = in_config.or_else(|| self.config.get(name).filter(|_| name == "default"));
        let in_credentials = self.credentials.get(name);
        if in_config.is_none() && in_credentials.is_none() && self.named {
            return Err(Error::Invalid(format!(
                "there is no profile {name:?} in the files of AWS"
            )));
        }
        let mut profile = in_config.cloned().unwrap_or_default();
        profile.extend(in_credentials.cloned().unwrap_or_default());
        Ok(profile)
    }

    fn services(&self, name: &str) -> Option<&Section> {
        self.config.get(&format!("services {name}"))
    }
}
