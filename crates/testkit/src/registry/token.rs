//! A token realm: the other half of Bearer, with tokens that expire when a test wants them to.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, Method, Response, Uri, header};
use serde_json::json;
use skopeo_server::Body;

use super::signer::Signer;
use super::{json_response, query_all};

/// Who gets which tokens, and how long they live.
#[derive(Clone, Debug)]
pub struct TokenAuth {
    users: Vec<(String, String)>,
    identity_tokens: Vec<String>,
    anonymous_pull: bool,
    expires_in: Option<u64>,
    uses: Option<u32>,
    lasts: Option<Duration>,
    only_access_token: bool,
}

impl Default for TokenAuth {
    fn default() -> Self {
        Self {
            users: Vec::new(),
            identity_tokens: Vec::new(),
            anonymous_pull: true,
            expires_in: Some(300),
            uses: None,
            lasts: None,
            only_access_token: false,
        }
    }
}

impl TokenAuth {
    /// Everybody may pull; nobody may push unless [`Self::user`] names somebody.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Returns a user, who may do everything.
    #[must_use]
    pub fn user(mut self, name: &str, password: &str) -> Self {
        self.users.push((name.to_owned(), password.to_owned()));
        self
    }

    /// Returns an identity token (OAuth2's refresh token), which may do everything.
    #[must_use]
    pub fn identity_token(mut self, token: &str) -> Self {
        self.identity_tokens.push(token.to_owned());
        self
    }

    /// Even pulling needs a user.
    #[must_use]
    pub fn private(mut self) -> Self {
        self.anonymous_pull = false;
        self
    }

    /// Returns what `expires_in` says, in seconds; `None` leaves it out.
    #[must_use]
    pub fn expires_in(mut self, seconds: Option<u64>) -> Self {
        self.expires_in = seconds;
        self
    }

    /// Makes a token good for so many requests, whatever `expires_in` says.
    #[must_use]
    pub fn uses(mut self, uses: u32) -> Self {
        self.uses = Some(uses);
        self
    }

    /// Makes a token good for so long, whatever `expires_in` says.
    #[must_use]
    pub fn lasts(mut self, time: Duration) -> Self {
        self.lasts = Some(time);
        self
    }

    /// Answers with `access_token` and without `token`, as some registries do.
    #[must_use]
    pub fn only_access_token(mut self) -> Self {
        self.only_access_token = true;
        self
    }
}

/// The realm at work.
#[derive(Debug)]
pub(super) struct Realm {
    auth: TokenAuth,
    signer: Option<Signer>,
    issued: Mutex<HashMap<String, Issued>>,
}

#[derive(Debug)]
struct Issued {
    scopes: Vec<String>,
    uses: Option<u32>,
    until: Option<Instant>,
}

impl Issued {
    fn is_good(&self) -> bool {
        self.uses != Some(0) && self.until.is_none_or(|until| Instant::now() < until)
    }
}

impl Realm {
    /// Tokens mean something only to this realm, or, with a signer, to whoever trusts it.
    pub(super) fn new(auth: TokenAuth, signer: Option<Signer>) -> Self {
        Self { auth, signer, issued: Mutex::default() }
    }

    /// Answers at the token endpoint.
    pub(super) fn issue(
        &self,
        method: &Method,
        uri: &Uri,
        headers: &HeaderMap,
        body: &[u8],
    ) -> Response<Body> {
        let form = if *method == Method::POST {
            String::from_utf8_lossy(body).into_owned()
        } else {
            uri.query().unwrap_or_default().to_owned()
        };
        let one = |key: &str| query_all(&form, key).into_iter().next();
        let basic = basic(headers);
        let password = one("username").zip(one("password"));
        let known = |(user, password): &(String, String)| {
            self.auth.users.iter().any(|(u, p)| u == user && p == password)
        };
        let identity = one("refresh_token");
        let trusted = match (&identity, basic.as_ref().or(password.as_ref())) {
            (Some(identity), _) => self.auth.identity_tokens.contains(identity),
            (None, Some(credentials)) => known(credentials),
            (None, None) => false,
        };
        if !trusted && (identity.is_some() || basic.is_some() || password.is_some()) {
            let error = json!({"errors": [{"code": "UNAUTHORIZED", "message": "incorrect username or password"}]});
            return json_response(401, &error);
        }
        // One parameter may hold several scopes, separated by spaces.
        let wanted = query_all(&form, "scope");
        let wanted = wanted.iter().flat_map(|scope| scope.split(' ')).filter(|s| !s.is_empty());
        let scopes: Vec<String> = wanted.flat_map(|scope| self.grant(scope, trusted)).collect();
        let mut issued = self.issued();
        let number = issued.len() + 1;
        let token = match &self.signer {
            Some(signer) => signer.token(number, &scopes, self.auth.expires_in),
            None => format!("token-{number}-{:x}", std::process::id()),
        };
        let until = self.auth.lasts.map(|time| Instant::now() + time);
        issued.insert(token.clone(), Issued { scopes, uses: self.auth.uses, until });
        let mut answer = json!({ "access_token": token });
        if !self.auth.only_access_token {
            answer["token"] = token.into();
        }
        if let Some(seconds) = self.auth.expires_in {
            answer["expires_in"] = seconds.into();
        }
        json_response(200, &answer)
    }

    /// How many tokens were given out.
    pub(super) fn count(&self) -> usize {
        self.issued().len()
    }

    /// Makes all tokens given out so far worthless.
    pub(super) fn revoke(&self) {
        for issued in self.issued().values_mut() {
            issued.uses = Some(0);
        }
    }

    /// Whether the request's token allows it; `Err` is the challenge.
    pub(super) fn admit(
        &self,
        method: &Method,
        target: &str,
        headers: &HeaderMap,
        realm: &str,
    ) -> Result<(), String> {
        let needed = needed(method, target);
        let scope = needed
            .first()
            .map(|(resource, actions)| format!(",scope=\"{resource}:{}\"", actions.join(",")));
        let challenge =
            format!("Bearer realm=\"{realm}\",service=\"testkit\"{}", scope.unwrap_or_default());
        let token = headers
            .get(header::AUTHORIZATION)
            .and_then(|value| value.to_str().ok())
            .and_then(|value| value.strip_prefix("Bearer "));
        let Some(token) = token else { return Err(challenge) };
        let mut all = self.issued();
        let Some(issued) = all.get_mut(token).filter(|issued| issued.is_good()) else {
            return Err(format!("{challenge},error=\"invalid_token\""));
        };
        let granted = needed.iter().all(|(resource, actions)| {
            actions.iter().all(|action| issued.scopes.contains(&format!("{resource}:{action}")))
        });
        if !granted {
            return Err(format!("{challenge},error=\"insufficient_scope\""));
        }
        if let Some(uses) = &mut issued.uses {
            *uses -= 1;
        }
        Ok(())
    }

    /// What of a wanted scope is granted, one action each: `repository:a/b:pull`.
    fn grant(&self, scope: &str, trusted: bool) -> Vec<String> {
        let Some((resource, actions)) = scope.rsplit_once(':') else { return Vec::new() };
        let allowed = |action: &&str| trusted || *action == "pull" && self.auth.anonymous_pull;
        actions.split(',').filter(allowed).map(|action| format!("{resource}:{action}")).collect()
    }

    fn issued(&self) -> std::sync::MutexGuard<'_, HashMap<String, Issued>> {
        self.issued.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a request needs: resources, each with actions.
fn needed(method: &Method, target: &str) -> Vec<(String, Vec<&'static str>)> {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let rest = path.strip_prefix("/v2/").unwrap_or_default();
    if rest == "_catalog" {
        return vec![("registry:catalog".into(), vec!["*"])];
    }
    let ends = ["/blobs/", "/manifests/", "/tags/", "/referrers/"];
    let Some(end) = ends.iter().filter_map(|end| rest.rfind(end)).min() else { return Vec::new() };
    let actions = match *method {
        Method::GET | Method::HEAD => vec!["pull"],
        Method::DELETE if !path.contains("/uploads/") => vec!["delete"],
        _ => vec!["pull", "push"],
    };
    let mut needed = vec![(format!("repository:{}", &rest[..end]), actions)];
    let from = query_all(query, "from").into_iter().next();
    if let Some(from) = from.filter(|_| query.contains("mount=")) {
        needed.push((format!("repository:{from}"), vec!["pull"]));
    }
    needed
}

fn basic(headers: &HeaderMap) -> Option<(String, String)> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?.strip_prefix("Basic ")?;
    let decoded = String::from_utf8(STANDARD.decode(value).ok()?).ok()?;
    let (user, password) = decoded.split_once(':')?;
    Some((user.to_owned(), password.to_owned()))
}
