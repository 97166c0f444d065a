//! `Warning` headers: what a registry wants users to know (RFC 7234, as the distribution
//! specification narrows it).

use std::sync::PoisonError;

use http::HeaderMap;
use http::header::WARNING;
use tracing::{debug, warn};

use crate::shared::Shared;

/// Logs the warnings of one answer; each text once for a client.
pub(crate) fn log(client: &Shared, headers: &HeaderMap, url: &str) {
    for value in headers.get_all(WARNING) {
        let Some(text) = parse(value.as_bytes()) else {
            debug!("Ignored Warning: header from registry: {value:?}");
            continue;
        };
        let mut warned = client.warned.lock().unwrap_or_else(PoisonError::into_inner);
        if warned.insert(text.clone()) {
            warn!("Warning from registry (first encountered at {url:?}): {text:?}");
        } else {
            debug!("Repeated warning from registry at {url:?}: {text:?}");
        }
    }
}

/// The text of `299 - "text"`; nothing else is a warning.
fn parse(value: &[u8]) -> Option<String> {
    let quoted = value.strip_prefix(b"299 - \"")?.strip_suffix(b"\"")?;
    let mut text = Vec::with_capacity(quoted.len());
    let mut bytes = quoted.iter();
    while let Some(&byte) = bytes.next() {
        match byte {
            b'"' => return None,
            b'\\' => text.push(*bytes.next()?),
            b'\t' => text.push(byte),
            0..b' ' | 0x7f => return None,
            _ => text.push(byte),
        }
    }
    Some(String::from_utf8_lossy(&text).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_the_specification_allows() {
        for (value, expected) in [
            (r#"299 - "be warned""#, Some("be warned")),
            (r#"299 - "a \"b\" \\ c""#, Some(r#"a "b" \ c"#)),
            (r#"299 - """#, Some("")),
            (r#"199 - "no""#, None),
            (r#"299 - "no" "date""#, None),
            (r#"299 - "no\""#, None),
            (r#"299 - no"#, None),
            (r#"299 agent "no""#, None),
            ("299 - \"no\x07\"", None),
        ] {
            assert_eq!(parse(value.as_bytes()).as_deref(), expected, "{value}");
        }
    }
}
