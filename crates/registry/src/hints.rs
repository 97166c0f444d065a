//! What to do where a registry wants to know who asks, does not let him, or is none.
//!
//! Flags are named without a prefix; who knows the command puts it there.

use crate::options::Credentials;

/// Against a page for people where a registry should answer.
pub(crate) fn page(host: &str) -> String {
    format!("{host} answers with a web page: is a registry there, and not a proxy or a login?")
}

/// Against "authentication required".
pub(crate) fn unauthorized(host: &str, credentials: &Credentials) -> String {
    match credentials {
        Credentials::Anonymous => format!(
            "nobody is logged in to {host}: `skopeo login {host}` logs in, --creds USER:PASSWORD \
             does for this command alone; some registries say so of what does not exist, too"
        ),
        Credentials::Basic { username, .. } => format!(
            "{host} was asked as {username:?}: is the password right, and may that user do this? \
             `skopeo login {host}` logs in anew, --creds USER:PASSWORD for this command alone"
        ),
        Credentials::IdentityToken(_) => format!(
            "the token that is kept for {host} is not accepted, or not for this: `skopeo logout \
             {host}` and `skopeo login {host}` get another"
        ),
        Credentials::RegistryToken(_) => format!(
            "{host} does not accept the token of --registry-token, or not for this: it may have \
             expired, or be for another repository"
        ),
    }
}

/// Against "denied".
pub(crate) fn denied(host: &str, credentials: &Credentials) -> String {
    match credentials {
        Credentials::Basic { username, .. } => format!(
            "{host} knows the user {username:?}, who may not do this here; `skopeo login {host}` \
             logs in as another, --creds USER:PASSWORD for this command alone"
        ),
        Credentials::Anonymous => unauthorized(host, credentials),
        Credentials::IdentityToken(_) | Credentials::RegistryToken(_) => {
            format!("{host} does not allow this with the token that it was shown")
        }
    }
}
