//! Bearer tokens, by scope, until they expire.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use serde::Deserialize;
use serde_json::Value;
use skopeo_image::{Secret, go_json};

/// The shortest life a token is taken to have, as in the original: some servers say less than
/// they mean.
const SHORTEST_LIFE: Duration = Duration::from_secs(60);

/// How long it is remembered how often a token was handed out.
const LATELY: Duration = Duration::from_secs(30);

/// What a request is about to do, as token servers spell it: `repository:library/x:pull,push`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Scope(String);

impl Scope {
    pub(crate) fn repository(path: &str, actions: &str) -> Self {
        Self(format!("repository:{path}:{actions}"))
    }

    pub(crate) fn catalog() -> Self {
        Self("registry:catalog:*".to_owned())
    }

    /// The scopes that a challenge asks for.
    pub(crate) fn asked(text: &str) -> Vec<Self> {
        text.split_whitespace()
            .filter(|scope| scope.matches(':').count() >= 2)
            .map(|scope| Self(scope.to_owned()))
            .collect()
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// The wider scope whose token serves as well.
    fn wider(&self) -> Option<Self> {
        self.0.strip_suffix(":pull").map(|rest| Self(format!("{rest}:pull,push")))
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A token, and when it is of no more use.
#[derive(Clone, Debug)]
pub(crate) struct Token {
    pub(crate) secret: Secret,
    fetched: Instant,
    expires: Instant,
}

impl Token {
    /// Reads the answer of a token server, received at `now`.
    pub(crate) fn parse(body: &[u8], now: SystemTime) -> Result<Self, serde_json::Error> {
        #[derive(Deserialize)]
        struct Body {
            #[serde(default)]
            token: Option<String>,
            #[serde(default)]
            access_token: Option<String>,
            // Servers write these as they like, and a token is a token whatever they say of it.
            #[serde(default)]
            expires_in: Value,
            #[serde(default)]
            issued_at: Value,
        }
        // What is wrong with a value would be told with the value, which may be the token.
        let body: Body = go_json::from_slice(body).map_err(|_| {
            let none = || "its JSON is not a token".to_owned();
            serde::de::Error::custom(go_json::syntax_error(body).unwrap_or_else(none))
        })?;
        let secret = [body.token, body.access_token]
            .into_iter()
            .flatten()
            .find(|token| !token.is_empty())
            .ok_or_else(|| serde::de::Error::custom("it has no token"))?;
        let life = seconds(&body.expires_in);
        // A token may come out of a cache: then part of its life is over.
        let issued = body.issued_at.as_str();
        let age = issued
            .and_then(|text| text.parse::<jiff::Timestamp>().ok())
            .and_then(|issued| now.duration_since(SystemTime::from(issued)).ok())
            .unwrap_or_default();
        let left = life.max(SHORTEST_LIFE).saturating_sub(age).max(SHORTEST_LIFE.min(life));
        let fetched = Instant::now();
        let longest = Duration::from_secs(u32::MAX.into());
        let expires = fetched.checked_add(left.min(longest)).unwrap_or(fetched);
        Ok(Self { secret: secret.into(), fetched, expires })
    }

    /// Who shows a token and is not believed does not believe any that is older than that: where
    /// one ended before its time, those for other scopes have, too.
    fn is_usable(&self, since: Option<Instant>) -> bool {
        Instant::now() < self.expires && since.is_none_or(|since| self.fetched >= since)
    }
}

/// How long a token lives: a number, also with a fraction or in quotes. What is neither is not said.
fn seconds(said: &Value) -> Duration {
    let number = said.as_f64().or_else(|| said.as_str()?.trim().parse().ok()).unwrap_or(0.0);
    let longest = f64::from(u32::MAX);
    // Below zero, or not a number, is as good as nothing.
    Duration::try_from_secs_f64(number.floor().clamp(-1.0, longest)).unwrap_or_default()
}

/// One place in the cache. Whoever holds the lock fetches; the others wait for what comes.
pub(crate) type Slot = Arc<tokio::sync::Mutex<Option<Token>>>;

/// All tokens of one identity at one registry.
#[derive(Debug, Default)]
pub(crate) struct Tokens {
    slots: Mutex<HashMap<Vec<Scope>, Slot>>,
    given: Mutex<Vec<Given>>,
}

/// How often a token was handed out lately.
#[derive(Debug)]
struct Given {
    secret: Secret,
    fetched: Instant,
    times: u32,
}

impl Tokens {
    /// A token that is here, serves for all of `scopes`, and was fetched `since` then.
    pub(crate) fn find(&self, scopes: &[Scope], since: Option<Instant>) -> Option<Secret> {
        let slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        let serves = |granted: &[Scope]| match scopes {
            [] => granted.is_empty(),
            scopes => scopes.iter().all(|scope| {
                granted.contains(scope)
                    || scope.wider().is_some_and(|wider| granted.contains(&wider))
            }),
        };
        slots
            .iter()
            .filter(|(granted, _)| serves(granted))
            .find_map(|(_, slot)| self.usable(slot.try_lock().ok()?.as_ref(), since))
    }

    /// The place of the token for `scopes`.
    pub(crate) fn slot(&self, scopes: &[Scope]) -> Slot {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(slots.entry(scopes.to_vec()).or_default())
    }

    /// What lies in a place, if it is of use.
    pub(crate) fn usable(&self, token: Option<&Token>, since: Option<Instant>) -> Option<Secret> {
        token.filter(|token| token.is_usable(since)).map(|token| self.hand_out(token))
    }

    /// A token for one more request.
    pub(crate) fn hand_out(&self, token: &Token) -> Secret {
        let mut given = self.given.lock().unwrap_or_else(PoisonError::into_inner);
        given.retain(|given| given.fetched.elapsed() < LATELY);
        match given.iter_mut().find(|given| given.secret == token.secret) {
            Some(given) => given.times = given.times.saturating_add(1),
            None => {
                given.push(Given {
                    secret: token.secret.clone(),
                    fetched: token.fetched,
                    times: 1,
                });
            }
        }
        token.secret.clone()
    }

    /// Whether a token is new and has been handed out more than once.
    pub(crate) fn is_shared(&self, secret: &Secret) -> bool {
        let given = self.given.lock().unwrap_or_else(PoisonError::into_inner);
        given.iter().any(|given| {
            given.secret == *secret && given.times > 1 && given.fetched.elapsed() < LATELY
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn life(body: &str, now: &str) -> Option<u64> {
        let now = now.parse::<jiff::Timestamp>().unwrap().into();
        let token = Token::parse(body.as_bytes(), now).ok()?;
        let left = token.expires.saturating_duration_since(Instant::now());
        Some(left.as_secs_f64().round() as u64)
    }

    #[test]
    fn tokens_live_as_long_as_they_say() {
        let now = "2026-01-01T00:10:00Z";
        for (body, expected) in [
            (r#"{"token":"a","expires_in":300}"#, Some(300)),
            (r#"{"access_token":"a","expires_in":300}"#, Some(300)),
            (r#"{"token":"a"}"#, Some(60)),
            (r#"{"token":"a","expires_in":-5}"#, Some(60)),
            (r#"{"token":"a","expires_in":300.7}"#, Some(300)),
            (r#"{"token":"a","expires_in":3e2}"#, Some(300)),
            (r#"{"token":"a","expires_in":"300"}"#, Some(300)),
            (r#"{"token":"a","expires_in":" 300.5 "}"#, Some(300)),
            (r#"{"token":"a","expires_in":""}"#, Some(60)),
            (r#"{"token":"a","expires_in":"soon"}"#, Some(60)),
            (r#"{"token":"a","expires_in":"NaN"}"#, Some(60)),
            (r#"{"token":"a","expires_in":false}"#, Some(60)),
            (r#"{"token":"a","expires_in":[300]}"#, Some(60)),
            (r#"{"token":"a","expires_in":99999999999999999999}"#, Some(u32::MAX.into())),
            (r#"{"token":"a","expires_in":300,"issued_at":1700000000}"#, Some(300)),
            (r#"{"token":"a","expires_in":300,"issued_at":"1700000000"}"#, Some(300)),
            (r#"{"token":"a","expires_in":300,"issued_at":{}}"#, Some(300)),
            (r#"{"token":"a","expires_in":300,"issued_at":null}"#, Some(300)),
            (r#"{"token":"a","expires_in":300,"issued_at":"2026-01-01T00:08:00Z"}"#, Some(180)),
            (r#"{"token":"a","expires_in":300,"issued_at":"2025-01-01T00:08:00Z"}"#, Some(60)),
            (r#"{"token":"a","expires_in":300,"issued_at":"2027-01-01T00:08:00Z"}"#, Some(300)),
            (r#"{"token":"a","expires_in":300,"issued_at":"yesterday"}"#, Some(300)),
            (r#"{"token":null,"access_token":"b","expires_in":null}"#, Some(60)),
            (r#"{"Token":"a"}"#, Some(60)),
            (
                r#"{"ACCESS_TOKEN":"a","Expires_In":300,"ISSUED_AT":"2026-01-01T00:08:00Z"}"#,
                Some(180),
            ),
            (r#"{"token":"a","token":"b","expires_in":1,"expires_in":300}"#, Some(300)),
            (r#"{"token":""}"#, None),
            (r#"{}"#, None),
            ("<html>", None),
        ] {
            assert_eq!(life(body, now), expected, "{body}");
        }
    }

    #[test]
    fn errors_do_not_tell_tokens() {
        for body in [
            r#""hush""#,
            r#"{"token":{"hush":1}}"#,
            r#"{"expires_in":"hush"}"#,
            r#"{"token":["hush"]}"#,
            "hush",
        ] {
            let error = Token::parse(body.as_bytes(), SystemTime::now()).unwrap_err();
            assert!(!error.to_string().contains("hush"), "{error}");
        }
    }

    #[tokio::test]
    async fn a_token_to_push_serves_to_pull() {
        let tokens = Tokens::default();
        let push = [Scope::repository("a/b", "pull,push")];
        let pull = [Scope::repository("a/b", "pull")];
        let body = br#"{"token":"t","expires_in":300}"#;
        *tokens.slot(&push).lock().await = Token::parse(body, SystemTime::now()).ok();
        let token: Secret = "t".into();
        assert_eq!(tokens.find(&push, None), Some(token.clone()));
        assert_eq!(tokens.find(&pull, None), Some(token.clone()));
        // What was fetched before something was refused is of no use after that.
        let refused = Instant::now();
        assert_eq!(tokens.find(&pull, Some(refused)), None);
        *tokens.slot(&push).lock().await = Token::parse(body, SystemTime::now()).ok();
        assert_eq!(tokens.find(&pull, Some(refused)), Some(token.clone()));
        assert_eq!(tokens.find(&[Scope::repository("a/c", "pull")], None), None);
        assert_eq!(tokens.find(&[], None), None);
        let both = [Scope::repository("a/b", "pull"), Scope::repository("a/c", "pull")];
        assert_eq!(tokens.find(&both, None), None);
        *tokens.slot(&both).lock().await = Token::parse(body, SystemTime::now()).ok();
        assert_eq!(tokens.find(&both[1..], None), Some(token));
    }

    #[test]
    fn scopes_of_challenges() {
        let asked: Vec<_> = Scope::asked("repository:a:pull repository:b:* nothing")
            .iter()
            .map(ToString::to_string)
            .collect();
        assert_eq!(asked, ["repository:a:pull", "repository:b:*"]);
    }
}
