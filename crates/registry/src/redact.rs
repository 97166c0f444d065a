//! URLs as they may be shown: no passwords, no signed queries.

use url::Url;

/// Query parameters of the distribution protocol that tell nothing secret.
const HARMLESS: &[&str] = &[
    "n",
    "last",
    "mount",
    "from",
    "digest",
    "service",
    "scope",
    "account",
    "artifactType",
    "ns",
    "tag",
];

/// `url` with its password and every value that is not known to be harmless crossed out.
pub(crate) fn redacted(url: &Url) -> String {
    let mut shown = url.clone();
    if shown.password().is_some() {
        // Only URLs without a host refuse this, and those have no password.
        let _ = shown.set_password(Some("xxxxx"));
    }
    if let Some(query) = url.query() {
        let parts: Vec<String> = query
            .split('&')
            .map(|part| match part.split_once('=') {
                Some((key, _)) if !HARMLESS.contains(&key) => format!("{key}=xxxxx"),
                _ => part.to_owned(),
            })
            .collect();
        shown.set_query(Some(&parts.join("&")));
    }
    shown.set_fragment(None);
    shown.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_crossed_out() {
        for (url, expected) in [
            ("https://r.example/v2/", "https://r.example/v2/"),
            ("https://u:p@r.example/v2/", "https://u:xxxxx@r.example/v2/"),
            ("https://u@r.example/v2/", "https://u@r.example/v2/"),
            ("https://r/t?service=a&scope=b", "https://r/t?service=a&scope=b"),
            ("https://s3/b?X-Amz-Signature=abc&n=1", "https://s3/b?X-Amz-Signature=xxxxx&n=1"),
            ("https://r/u?_state=abc&digest=sha256:1", "https://r/u?_state=xxxxx&digest=sha256:1"),
            ("https://r/u?token=a=b#c", "https://r/u?token=xxxxx"),
            ("https://r/u?flag", "https://r/u?flag"),
        ] {
            assert_eq!(redacted(&Url::parse(url).unwrap()), expected);
        }
    }
}
