//! Doors for the fuzz targets; nobody else goes through them.

use http::HeaderMap;

use crate::challenge::challenges;

/// Returns the scheme, realm and scope of each challenge in these headers.
#[must_use]
pub fn challenges_in(headers: &HeaderMap) -> Vec<(String, Option<String>, Option<String>)> {
    let text = |text: Option<&str>| text.map(str::to_owned);
    let parts = challenges(headers).into_iter().map(|challenge| {
        (challenge.scheme.clone(), text(challenge.get("realm")), text(challenge.get("scope")))
    });
    parts.collect()
}
