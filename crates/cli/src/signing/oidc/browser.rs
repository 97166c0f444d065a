//! The user logs in with a browser on this machine, which comes back to a port of ours: RFC 8252.

use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, anyhow, bail};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value as Json;
use skopeo_image::{Algorithm, Digest, Secret};
use skopeo_registry::Web;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use url::Url;

use super::{Answer, Proof, Provider, SCOPE, bytes_of, post, random};
use crate::args::report::Output;
use crate::prompt::{ask_unseen, can_ask};
use crate::report::say;
use crate::signing::params::Issuer;

/// How long the user has.
const PATIENCE: Duration = Duration::from_secs(120);

/// The longest request that a browser comes back with, in bytes.
const MAX_REQUEST: usize = 16 << 10;

const PATH: &str = "/auth/callback";

/// Where a provider sends a browser that is to show the code.
const OUT_OF_BAND: &str = "urn:ietf:wg:oauth:2.0:oob";

pub(super) async fn token(
    web: &Web,
    issuer: &Issuer,
    provider: &Provider,
    output: Output,
) -> Result<Secret> {
    if provider.authorization_endpoint.is_empty() {
        bail!("the provider {} does not support authorization with a browser", issuer.url);
    }
    let (state, nonce, proof) = (random()?, random()?, Proof::new()?);
    let listener = TcpListener::bind("127.0.0.1:0").await.context("listening for the browser")?;
    let port = listener.local_addr().context("listening for the browser")?.port();
    let page = |back: &str| -> Result<Url> {
        let mut page = Url::parse(&provider.authorization_endpoint)
            .with_context(|| format!("parsing {}", provider.authorization_endpoint))?;
        page.query_pairs_mut().extend_pairs([
            ("access_type", "online"),
            ("client_id", &issuer.client),
            ("code_challenge", &proof.challenge),
            ("code_challenge_method", "S256"),
            ("nonce", &nonce),
            ("redirect_uri", back),
            ("response_type", "code"),
            ("scope", SCOPE),
            ("state", &state),
        ]);
        Ok(page)
    };
    let mut back = format!("http://localhost:{port}{PATH}");
    let own = page(&back)?;
    say(output, &format!("Your browser will now be opened to:\n{own}\n"))?;
    let code = if open(own.as_str()) || !can_ask() {
        let code = tokio::time::timeout(PATIENCE, come_back(&listener, &state)).await;
        code.context("the browser did not answer in time")??
    } else {
        // The browser of another machine cannot come back here, but can show a code.
        OUT_OF_BAND.clone_into(&mut back);
        typed(&page(&back)?, output)?
    };
    let mut form = vec![
        ("grant_type", "authorization_code"),
        ("client_id", &issuer.client),
        ("code", code.reveal()),
        ("redirect_uri", &back),
        ("code_verifier", &proof.verifier),
    ];
    if let Some(secret) = &issuer.secret {
        form.push(("client_secret", secret.reveal()));
    }
    let answer: Answer = post(web, &provider.token_endpoint, &form).await?;
    let access = answer.access_token.clone().map(Secret::from);
    let token = answer.token()?;
    check(token.reveal(), issuer, &nonce)?;
    check_access(token.reveal(), access.as_ref())?;
    Ok(token)
}

/// Asks for the code that a page shows in whatever browser.
fn typed(page: &Url, output: Output) -> Result<Secret> {
    let question = format!(
        "No browser could be opened. Open this page in a browser:\n{page}\nEnter verification code: "
    );
    let code = ask_unseen(|| say(output, &question))?;
    say(output, "\n")?;
    let code = Secret::from(code.reveal().trim());
    if code.reveal().is_empty() {
        bail!("no verification code was entered");
    }
    Ok(code)
}

/// Starts the user's browser. Whether there is one; the address was shown.
fn open(page: &str) -> bool {
    for program in ["xdg-open", "open"] {
        let mut command = Command::new(program);
        command.arg(page).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        if command.spawn().is_ok() {
            return true;
        }
    }
    false
}

/// Waits for the request that has our state in it, and gives the code in it.
async fn come_back(listener: &TcpListener, state: &str) -> Result<Secret> {
    loop {
        let (mut stream, _) = listener.accept().await.context("listening for the browser")?;
        let Some(url) = asked(&mut stream).await else { continue };
        let of = |name: &str| {
            url.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
        };
        // Whoever else comes knows no state, and is nobody.
        if url.path() != PATH || of("state").as_deref() != Some(state) {
            answer(&mut stream, "404 Not Found", "Nothing is here.").await;
            continue;
        }
        if let Some(error) = of("error") {
            answer(&mut stream, "200 OK", "The login has failed. You may close this page.").await;
            bail!("{error}: {}", of("error_description").unwrap_or_default());
        }
        answer(&mut stream, "200 OK", "You are logged in. You may close this page.").await;
        return of("code").map(Secret::from).context("the browser answered without a code");
    }
}

/// The address that a browser asks for.
async fn asked(stream: &mut TcpStream) -> Option<Url> {
    let mut bytes = Vec::new();
    let read = async {
        let mut piece = [0; 1024];
        while !bytes.windows(4).any(|it| it == b"\r\n\r\n") && bytes.len() < MAX_REQUEST {
            match stream.read(&mut piece).await {
                Ok(0) | Err(_) => break,
                Ok(length) => bytes.extend(piece.iter().take(length)),
            }
        }
    };
    // Who connects and says nothing must not keep the user's browser waiting.
    let _ = tokio::time::timeout(Duration::from_secs(5), read).await;
    let text = String::from_utf8_lossy(&bytes);
    let path = text.lines().next()?.strip_prefix("GET ")?.split(' ').next()?;
    Url::parse("http://localhost").ok()?.join(path).ok()
}

async fn answer(stream: &mut TcpStream, status: &str, text: &str) {
    let answer = format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/plain\r\nContent-Length: {}\r\n\
         Connection: close\r\n\r\n{text}",
        text.len()
    );
    let _ = stream.write_all(answer.as_bytes()).await;
    let _ = stream.shutdown().await;
}

/// Whether the other token of an answer is the one that this token speaks of, if it does: the first
/// half of its hash, by the hash of the token's own signature (OpenID Connect Core, 3.1.3.6).
fn check_access(token: &str, access: Option<&Secret>) -> Result<()> {
    let part = |at: usize| -> Result<Json> {
        let part = token.split('.').nth(at).context("the token is not a JWT")?;
        let part = URL_SAFE_NO_PAD.decode(part.trim_end_matches('='))?;
        serde_json::from_slice(&part).context("parsing the token")
    };
    let (header, claims) = (part(0)?, part(1)?);
    let Some(expected) = claims.get("at_hash").and_then(Json::as_str) else { return Ok(()) };
    let access = access.context("the token needs an access token, which is missing")?;
    let name = header.get("alg").and_then(Json::as_str).unwrap_or_default();
    let algorithm = match name {
        _ if name.ends_with("256") => Algorithm::Sha256,
        _ if name.ends_with("384") => Algorithm::Sha384,
        _ if name.ends_with("512") || name == "EdDSA" => Algorithm::Sha512,
        _ => bail!("the token is signed with the unknown key {name:?}"),
    };
    let hash = bytes_of(&Digest::of(algorithm, access.reveal().as_bytes()));
    let half = hash.get(..hash.len() / 2).unwrap_or_default();
    if URL_SAFE_NO_PAD.encode(half) != expected.trim_end_matches('=') {
        bail!("access token hash does not match value in ID token");
    }
    Ok(())
}

/// Whether a token answers this question. That it is the provider's shows in where it comes from:
/// over TLS, from the address that the provider named.
fn check(token: &str, issuer: &Issuer, nonce: &str) -> Result<()> {
    let claims = token.split('.').nth(1).context("the token is not a JWT")?;
    let claims = URL_SAFE_NO_PAD.decode(claims.trim_end_matches('='))?;
    let claims: Json = serde_json::from_slice(&claims).context("parsing the token")?;
    let claim = |name: &str| claims.get(name).unwrap_or(&Json::Null);
    if claim("nonce") != nonce {
        bail!("nonce does not match value sent");
    }
    let audience = claim("aud");
    let is_ours = |it: &Json| *it == issuer.client.as_str();
    if !is_ours(audience) && !audience.as_array().is_some_and(|all| all.iter().any(is_ours)) {
        bail!("the token is for {audience}, not for {}", issuer.client);
    }
    let named = claim("iss").as_str().unwrap_or_default();
    if named.trim_end_matches('/') != issuer.url.trim_end_matches('/') {
        bail!("the token is by {named}, not by {}", issuer.url);
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    match claim("exp").as_f64() {
        #[expect(
            clippy::cast_precision_loss,
            clippy::as_conversions,
            reason = "seconds, for some millennia"
        )]
        Some(end) if end > now as f64 => Ok(()),
        _ => Err(anyhow!("the token has expired")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn access_tokens_are_those_that_are_spoken_of() {
        let token = |alg: &str, claims: &str| {
            let part = |text: &str| URL_SAFE_NO_PAD.encode(text);
            format!("{}.{}.x", part(&format!("{{\"alg\":\"{alg}\"}}")), part(claims))
        };
        // The example of OpenID Connect Core, appendix A.3.
        let hash = r#"{"at_hash":"77QmUPtjPfzWtF2AnpK9RQ"}"#;
        let access = Secret::from("jHkWEdUXMU1BwAsC4vtUsZwnNvTIxEl0z9K3vx5KF0Y");
        let other = Secret::from("other");
        for (token, access, is_good) in [
            (token("RS256", hash), Some(&access), true),
            (token("ES256", hash), Some(&access), true),
            (token("RS512", hash), Some(&access), false),
            (token("RS256", hash), Some(&other), false),
            (token("RS256", hash), None, false),
            (token("none", hash), Some(&access), false),
            (token("RS256", "{}"), Some(&access), true),
            (token("RS256", "{}"), None, true),
            ("x".to_owned(), None, false),
        ] {
            assert_eq!(check_access(&token, access).is_ok(), is_good, "{token}");
        }
    }
}
