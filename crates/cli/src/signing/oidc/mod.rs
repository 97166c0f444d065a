//! ID tokens of an OpenID provider, for whoever signs by their name instead of a key.

mod browser;

use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use skopeo_image::{Digest, Secret};
use skopeo_registry::{Ask, Web};
use url::form_urlencoded;

use super::params::{Issuer, Mode};
use crate::args::report::Output;
use crate::report::say;

const SCOPE: &str = "openid email";
const FORM: &str = "application/x-www-form-urlencoded";

/// What a provider says of itself.
#[derive(Debug, Deserialize)]
struct Provider {
    #[serde(default)]
    authorization_endpoint: String,
    token_endpoint: String,
    #[serde(default)]
    device_authorization_endpoint: String,
    #[serde(default)]
    code_challenge_methods_supported: Vec<String>,
}

/// What a provider says instead of, or with, a token.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Answer {
    id_token: Option<String>,
    access_token: Option<String>,
    error: Option<String>,
    error_description: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Device {
    device_code: String,
    user_code: String,
    verification_uri: String,
    #[serde(default)]
    verification_uri_complete: String,
    #[serde(default)]
    interval: u64,
    expires_in: u64,
}

/// The secret of one question, and what may be seen of it: RFC 7636.
struct Proof {
    verifier: String,
    challenge: String,
}

impl Proof {
    fn new() -> Result<Self> {
        let verifier = random()?;
        let challenge = URL_SAFE_NO_PAD.encode(bytes_of(&Digest::sha256(verifier.as_bytes())));
        Ok(Self { verifier, challenge })
    }
}

/// The bytes that a digest is.
fn bytes_of(digest: &Digest) -> Vec<u8> {
    let hex = digest.hex();
    (0..hex.len())
        .step_by(2)
        .filter_map(|at| u8::from_str_radix(hex.get(at..at.saturating_add(2))?, 16).ok())
        .collect()
}

/// A text that nobody guesses.
fn random() -> Result<String> {
    let mut bytes = [0_u8; 32];
    getrandom::fill(&mut bytes).map_err(|error| anyhow!("reading random bytes: {error}"))?;
    Ok(URL_SAFE_NO_PAD.encode(bytes))
}

/// Asks the user for a token, by way of the provider.
///
/// # Errors
/// If the provider or the user gives none.
pub(super) async fn token(web: &Web, issuer: &Issuer, output: Output) -> Result<Secret> {
    let base = issuer.url.trim_end_matches('/');
    let said =
        web.ask(&format!("{base}/.well-known/openid-configuration"), &Ask::default()).await?;
    if said.status != 200 {
        bail!("the provider {base} says {}", said.status_line);
    }
    let provider: Provider = skopeo_image::go_json::from_slice(&said.body)
        .with_context(|| format!("parsing the configuration of the provider {base}"))?;
    if !provider.code_challenge_methods_supported.iter().any(|method| method == "S256") {
        bail!("PKCE is not supported by OIDC provider '{}'", issuer.url);
    }
    match issuer.mode {
        Mode::DeviceGrant => on_a_device(web, issuer, &provider, output).await,
        Mode::Interactive => browser::token(web, issuer, &provider, output).await,
    }
}

/// RFC 8628: the user goes to a page with a code, on whatever machine has a browser.
async fn on_a_device(
    web: &Web,
    issuer: &Issuer,
    provider: &Provider,
    output: Output,
) -> Result<Secret> {
    if provider.device_authorization_endpoint.is_empty() {
        bail!("the provider {} does not support device authorization", issuer.url);
    }
    let proof = Proof::new()?;
    let device: Device = post(
        web,
        &provider.device_authorization_endpoint,
        &[
            ("client_id", &issuer.client),
            ("scope", SCOPE),
            ("code_challenge_method", "S256"),
            ("code_challenge", &proof.challenge),
        ],
    )
    .await?;
    let page = match device.verification_uri_complete.as_str() {
        "" => &device.verification_uri,
        complete => complete,
    };
    say(
        output,
        &format!(
            "Enter the verification code {} in your browser at: {page}\nCode will be valid for {} seconds\n",
            device.user_code, device.expires_in
        ),
    )?;
    let mut pause = Duration::from_secs(device.interval.max(1));
    let waits = async {
        loop {
            tokio::time::sleep(pause).await;
            let answer: Answer = post(
                web,
                &provider.token_endpoint,
                &[
                    ("grant_type", "urn:ietf:params:oauth:grant-type:device_code"),
                    ("client_id", &issuer.client),
                    ("device_code", &device.device_code),
                    ("scope", SCOPE),
                    ("code_verifier", &proof.verifier),
                ],
            )
            .await?;
            match answer.error.as_deref() {
                Some("authorization_pending") => {}
                Some("slow_down") => pause = pause.saturating_add(Duration::from_secs(5)),
                _ => return answer.token(),
            }
        }
    };
    let valid = Duration::from_secs(device.expires_in);
    let token = tokio::time::timeout(valid, waits).await;
    let token = token.context("the code was not entered in time")??;
    say(output, "Token received!\n")?;
    Ok(token)
}

impl Answer {
    fn token(self) -> Result<Secret> {
        match (self.id_token, self.error) {
            (Some(token), None) => Ok(token.into()),
            (_, Some(error)) => match self.error_description {
                Some(said) => bail!("error obtaining token: {error}: {said}"),
                None => bail!("error obtaining token: {error}"),
            },
            (None, None) => bail!("error obtaining token: the answer has no token"),
        }
    }
}

/// Asks with a form. Providers say what is wrong as JSON too, under whatever status.
async fn post<T: DeserializeOwned>(web: &Web, url: &str, form: &[(&str, &str)]) -> Result<T> {
    let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
    let ask = Ask { body: Some((FORM, Bytes::from(body))), ..Ask::default() };
    let said = web.ask(url, &ask).await?;
    skopeo_image::go_json::from_slice(&said.body)
        .with_context(|| format!("{url} says {}", said.status_line))
}
