//! Who may do what: everybody, or users of an htpasswd file.

mod htpasswd;
mod throttle;
mod users;

use std::net::IpAddr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::header::{AUTHORIZATION, HeaderMap};

use crate::error::Code;

pub use htpasswd::Htpasswd;

/// Who may use the registry.
#[derive(Clone, Debug, Default)]
pub enum Access {
    /// Everybody.
    #[default]
    Anonymous,
    /// Whoever names a user and the password in HTTP's Basic scheme.
    Basic(Htpasswd),
}

impl Access {
    /// Lets somebody in, by name where a name is asked for.
    ///
    /// # Errors
    ///
    /// If these headers let nobody in, or too many are trying to get in.
    pub(crate) async fn admit(
        &self,
        headers: &HeaderMap,
        client: Option<IpAddr>,
    ) -> Result<Option<String>, Code> {
        let Self::Basic(users) = self else { return Ok(None) };
        let credentials = basic(headers).ok_or(Code::Unauthorized)?;
        users.verify(credentials, client).await.map(Some)
    }

    /// The challenge that goes with a 401.
    pub(crate) fn challenge(&self) -> Option<&'static str> {
        match self {
            Self::Anonymous => None,
            Self::Basic(_) => Some("Basic realm=\"skopeo\""),
        }
    }
}

/// A user and a password, as they were sent.
struct Credentials {
    user: String,
    password: String,
}

fn basic(headers: &HeaderMap) -> Option<Credentials> {
    let value = headers.get(AUTHORIZATION)?.to_str().ok()?;
    let (scheme, encoded) = value.split_once(' ')?;
    let decoded = scheme.eq_ignore_ascii_case("basic").then(|| STANDARD.decode(encoded.trim()))?;
    let text = String::from_utf8(decoded.ok()?).ok()?;
    let (user, password) = text.split_once(':')?;
    Some(Credentials { user: user.to_owned(), password: password.to_owned() })
}
