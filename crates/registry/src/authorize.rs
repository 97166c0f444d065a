//! What goes into `Authorization`: a password, or a token fetched for the purpose.

use std::time::{Instant, SystemTime};

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{Method, StatusCode};
use reqwest::Response;
use skopeo_image::Secret;
use tracing::debug;
use url::Url;
use url::form_urlencoded::Serializer;

use crate::answer::Answer;
use crate::call::{Access, Call, Proof, is_same_origin};
use crate::challenge::{Challenge, challenges};
use crate::error::Error;
use crate::options::Credentials;
use crate::redact::redacted;
use crate::shared::Shared;
use crate::token::{Scope, Token};

/// The most that a token server may say, in bytes.
const MAX_TOKEN_BODY: usize = 1024 * 1024;

/// The client id that token servers know from the original.
const CLIENT_ID: &str = "containers/image";

impl Shared {
    /// What to show for `scopes`, if anything is wanted; a token only if it was fetched `since`
    /// then, when what was shown was not believed, or one that nobody else gets.
    pub(crate) async fn proof(
        &self,
        scopes: &[Scope],
        since: Option<Instant>,
        alone: bool,
    ) -> Result<Option<Proof>, Error> {
        if let Credentials::RegistryToken(token) = &self.options.credentials {
            return Ok(Some(Proof::Bearer(token.clone())));
        }
        let known = self.known().challenges.clone();
        for challenge in known.iter() {
            match (challenge.scheme.as_str(), &self.options.credentials) {
                ("basic", Credentials::Basic { username, password }) => {
                    let (username, password) = (username.clone(), password.clone());
                    return Ok(Some(Proof::Basic { username, password }));
                }
                ("bearer", _) => {
                    let token = self.token(challenge, scopes, since, alone).await?;
                    return Ok(Some(Proof::Bearer(token)));
                }
                ("basic", _) => {}
                (other, _) => debug!("no handler for {other} authentication"),
            }
        }
        Ok(None)
    }

    /// Takes in what a 401 asks for; asks `/v2/` if it does not say. Whether there are more scopes
    /// now.
    pub(crate) async fn learn(
        &self,
        response: &Response,
        scopes: &mut Vec<Scope>,
    ) -> Result<bool, Error> {
        let told = challenges(response.headers());
        if told.is_empty() {
            self.ping().await?;
            return Ok(false);
        }
        let before = scopes.len();
        for challenge in &told {
            if challenge.get("error") == Some("insufficient_scope") {
                for scope in Scope::asked(challenge.get("scope").unwrap_or_default()) {
                    if !scopes.contains(&scope) {
                        scopes.push(scope);
                    }
                }
            }
        }
        self.known().challenges = told.into();
        Ok(scopes.len() > before)
    }

    /// Asks `/v2/` once what the registry wants to see. Whether it wants anything.
    pub(crate) async fn ping(&self) -> Result<bool, Error> {
        let (scheme, pinged) = {
            let known = self.known();
            (known.scheme.unwrap_or("https"), known.pinged)
        };
        if !pinged {
            self.ping_by(scheme).await?;
        }
        Ok(!self.known().challenges.is_empty())
    }

    /// Asks `/v2/` by a scheme. Whether a registry answers, as the original sees it: by 200 or
    /// 401.
    pub(crate) async fn ping_by(&self, scheme: &str) -> Result<bool, Error> {
        let url = self.url(scheme, "/v2/")?;
        let response = self.follow(&Call::to(Method::GET, &url), &url, None).await?;
        let answers = matches!(response.status(), StatusCode::OK | StatusCode::UNAUTHORIZED);
        let trusted = is_same_origin(&url, response.url());
        let mut known = self.known();
        if answers || known.scheme.is_some() {
            known.pinged = true;
            known.is_registry |= answers;
            if trusted {
                known.learn(response.headers());
            }
            if trusted && known.challenges.is_empty() {
                known.challenges = challenges(response.headers()).into();
            }
        }
        Ok(answers)
    }

    /// Whether this is a registry at all, as far as it shows; asks `/v2/` where it has not yet.
    pub(crate) async fn is_registry(&self) -> bool {
        if !self.known().is_registry && !self.known().pinged {
            // Who does not answer that is none.
            let _ = self.ping().await;
        }
        self.known().is_registry
    }

    /// A token for `scopes`: one that is here, or a new one, which is fetched once for all who ask.
    async fn token(
        &self,
        challenge: &Challenge,
        scopes: &[Scope],
        since: Option<Instant>,
        alone: bool,
    ) -> Result<Secret, Error> {
        if alone || self.known().spends_tokens {
            return Ok(self.fetch_token(challenge, scopes).await?.secret);
        }
        if let Some(token) = self.tokens.find(scopes, since) {
            return Ok(token);
        }
        let slot = self.tokens.slot(scopes);
        let mut slot = slot.lock().await;
        if let Some(token) = self.tokens.usable(slot.as_ref(), since) {
            return Ok(token);
        }
        let token = self.fetch_token(challenge, scopes).await?;
        let secret = self.tokens.hand_out(&token);
        *slot = Some(token);
        Ok(secret)
    }

    /// Whether a token that was not believed is new and others have shown it: then it may have been
    /// good for fewer requests.
    pub(crate) fn may_be_spent(&self, proof: Option<&Proof>) -> bool {
        matches!(proof, Some(Proof::Bearer(token)) if self.tokens.is_shared(token))
    }

    /// From now on each request gets a token of its own.
    pub(crate) fn spends_tokens(&self) {
        if !std::mem::replace(&mut self.known().spends_tokens, true) {
            debug!("Tokens are good for few requests: each gets its own from now on");
        }
    }

    /// Credentials for a registry that is reached over https do not become readable on their way
    /// to its token server.
    fn secure(&self, realm: &mut Url) -> Result<(), Error> {
        if realm.scheme() != "http" || self.options.insecure || self.is_anonymous() {
            return Ok(());
        }
        // A registry behind a proxy that does TLS for it often does not know of that.
        let ours = self.url("https", "/")?;
        let is_behind =
            realm.host() == ours.host() && (realm.port().is_none() || realm.port() == ours.port());
        if is_behind && realm.set_scheme("https").is_ok() && realm.set_port(ours.port()).is_ok() {
            return Ok(());
        }
        Err(Error::Protocol(format!(
            "refusing to send credentials to the token server {} over plain http",
            redacted(realm)
        )))
    }

    async fn fetch_token(&self, challenge: &Challenge, scopes: &[Scope]) -> Result<Token, Error> {
        let realm = challenge
            .get("realm")
            .ok_or_else(|| Error::Protocol("missing realm in bearer auth challenge".to_owned()))?;
        let mut realm = Url::parse(realm)
            .ok()
            .filter(|url| matches!(url.scheme(), "http" | "https"))
            .ok_or_else(|| {
                Error::Protocol(format!("invalid realm {realm:?} in bearer auth challenge"))
            })?;
        self.secure(&mut realm)?;
        let service = challenge.get("service").filter(|service| !service.is_empty());
        let (call, access, doing) = match &self.options.credentials {
            Credentials::IdentityToken(token) => {
                let mut form = Serializer::new(String::new());
                form.append_pair("client_id", CLIENT_ID);
                form.append_pair("grant_type", "refresh_token");
                form.append_pair("refresh_token", token.reveal());
                form.extend_pairs(scopes.iter().map(|scope| ("scope", scope.as_str())));
                form.extend_pairs(service.map(|service| ("service", service)));
                let call = Call::to(Method::POST, &realm)
                    .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
                    .body(Bytes::from(form.finish()));
                (call, Access::InBody, "Trying to obtain access token")
            }
            credentials => {
                let proof = match credentials {
                    Credentials::Basic { username, password } => {
                        realm.query_pairs_mut().append_pair("account", username);
                        let (username, password) = (username.clone(), password.clone());
                        (!password.is_empty()).then_some(Proof::Basic { username, password })
                    }
                    _ => None,
                };
                if !scopes.is_empty() {
                    let pairs = scopes.iter().map(|scope| ("scope", scope.as_str()));
                    realm.query_pairs_mut().extend_pairs(pairs);
                }
                if let Some(service) = service {
                    realm.query_pairs_mut().append_pair("service", service);
                }
                let call = Call::to(Method::GET, &realm);
                (call, Access::Shown(proof), "Requesting bearer token")
            }
        };
        let call = Call { access, ..call };
        let (status, headers, body) =
            Box::pin(self.fetch(&call, MAX_TOKEN_BODY)).await.map_err(|error| {
                match (error.status(), error.tried()) {
                    (Some(429), tried) => Error::Answer(Answer::too_many()).after(tried),
                    _ => error.doing(doing),
                }
            })?;
        match status {
            StatusCode::OK => {
                Token::parse(&body, SystemTime::now()).map_err(|source| Error::Json {
                    doing: format!("decoding bearer token (last URL {:?})", redacted(&realm)),
                    source,
                })
            }
            StatusCode::UNAUTHORIZED => {
                let source = Box::new(self.refusal_of(status, &headers, &body));
                Err(Error::BadCredentials { source })
            }
            StatusCode::TOO_MANY_REQUESTS => Err(Error::Answer(Answer::too_many())),
            _ => Err(Error::Answer(Answer::unexpected(status)).doing(doing)),
        }
    }
}
