//! What to do where a registry wants to know who asks, does not let him, or is none.
//!
//! Flags are named without a prefix; who knows the command puts it there.

use crate::options::Credentials;

/// Against a page for people where a registry should answer.
pub(crate) fn page(host: &str) -> String {
    format!("{host} answers with a web page: is it a registry, or a proxy or a login page?")
}

/// Against "authentication required".
pub(crate) fn unauthorized(host: &str, credentials: &Credentials) -> String {
    match credentials {
        Credentials::Anonymous => format!(
            "you are not logged in to {host}: use `skopeo login {host}`, or --creds USER:PASSWORD for this command only; some registries also answer so if the image does not exist"
        ),
        Credentials::Basic { username, .. } => format!(
            "the user for {host} was {username:?}: is the password right, and may this user do this? To log in again, use `skopeo login {host}`, or --creds USER:PASSWORD for this command only"
        ),
        Credentials::IdentityToken(_) => format!(
            "{host} does not accept the stored token, or not for this: `skopeo logout {host}` and `skopeo login {host}` get a new token"
        ),
        Credentials::RegistryToken(_) => format!(
            "{host} does not accept the token of --registry-token, or not for this: the token may have expired, or it is for another repository"
        ),
    }
}

/// Against "denied".
pub(crate) fn denied(host: &str, credentials: &Credentials) -> String {
    match credentials {
        Credentials::Basic { username, .. } => format!(
            "{host} knows the user {username:?}, but this user may not do this; to log in as another user, use `skopeo login {host}`, or --creds USER:PASSWORD for this command only"
        ),
        Credentials::Anonymous => unauthorized(host, credentials),
        Credentials::IdentityToken(_) | Credentials::RegistryToken(_) => {
            format!("{host} does not allow this with the given token")
        }
    }
}
