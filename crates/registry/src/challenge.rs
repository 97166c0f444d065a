//! `WWW-Authenticate`: what the registry wants to see (RFC 7235).

use http::HeaderMap;
use http::header::WWW_AUTHENTICATE;

/// One challenge. Names are in lower case, values as sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Challenge {
    pub(crate) scheme: String,
    parameters: Vec<(String, String)>,
}

impl Challenge {
    /// A parameter's value; the last one counts where a name is repeated.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.parameters.iter().rev().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

/// The challenges of all `WWW-Authenticate` headers, in order.
pub(crate) fn challenges(headers: &HeaderMap) -> Vec<Challenge> {
    headers
        .get_all(WWW_AUTHENTICATE)
        .iter()
        .flat_map(|value| parse(&String::from_utf8_lossy(value.as_bytes())))
        .collect()
}

/// The challenges of one header value.
///
/// As tolerant as the original: what does not parse ends the list, and what came before it counts.
/// Beyond it, several challenges in one header are told apart.
pub(crate) fn parse(header: &str) -> Vec<Challenge> {
    let mut found = Vec::new();
    let mut rest = header.trim_start_matches(is_space);
    while let Some((scheme, after)) = token(rest) {
        let mut challenge =
            Challenge { scheme: scheme.to_ascii_lowercase(), parameters: Vec::new() };
        rest = after.trim_start_matches(is_space);
        let more = loop {
            let Some((key, after)) = token(rest) else { break false };
            let Some(value) = after.strip_prefix('=') else {
                // A word without a value: the next challenge begins, if this one had its own.
                break !challenge.parameters.is_empty() && after.starts_with(is_space);
            };
            let Some((value, after)) = token_or_quoted(value) else { break false };
            if value.is_empty() {
                break false;
            }
            challenge.parameters.push((key.to_ascii_lowercase(), value));
            rest = after.trim_start_matches(is_space);
            let Some(after) = rest.strip_prefix(',') else { break false };
            rest = after.trim_start_matches(is_space);
        };
        found.push(challenge);
        if !more {
            break;
        }
    }
    found
}

fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\r' | '\n')
}

fn is_token(c: char) -> bool {
    c.is_ascii_graphic() && !"\"(),/:;<=>?@[]\\{}".contains(c)
}

fn token(text: &str) -> Option<(&str, &str)> {
    let end = text.find(|c| !is_token(c)).unwrap_or(text.len());
    (end > 0).then(|| text.split_at(end))
}

fn token_or_quoted(text: &str) -> Option<(String, &str)> {
    let Some(quoted) = text.strip_prefix('"') else {
        return token(text).map(|(value, rest)| (value.to_owned(), rest));
    };
    let mut value = String::new();
    let mut chars = quoted.chars();
    while let Some(c) = chars.next() {
        match c {
            '"' => return Some((value, chars.as_str())),
            '\\' => value.push(chars.next()?),
            _ => value.push(c),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn printed(header: &str) -> Vec<String> {
        parse(header)
            .into_iter()
            .map(|c| {
                let parameters: Vec<_> =
                    c.parameters.iter().map(|(k, v)| format!("{k}={v}")).collect();
                format!("{} {}", c.scheme, parameters.join("|")).trim_end().to_owned()
            })
            .collect()
    }

    #[test]
    fn parses_what_registries_send() {
        for (header, expected) in [
            (
                r#"Bearer realm="https://auth.docker.io/token",service="registry.docker.io""#,
                &["bearer realm=https://auth.docker.io/token|service=registry.docker.io"][..],
            ),
            (r#"Basic realm="basic-realm""#, &["basic realm=basic-realm"]),
            (r#"BASIC"#, &["basic"]),
            (r#"  Bearer   realm=x"#, &["bearer realm=x"]),
            (
                r#"Bearer Realm="x" , SCOPE="a:b:pull,push""#,
                &["bearer realm=x|scope=a:b:pull,push"],
            ),
            (r#"Bearer realm="a\"b\\c""#, &[r#"bearer realm=a"b\c"#]),
            (r#"Bearer realm="unfinished"#, &["bearer"]),
            (r#"Bearer realm="x",broken"#, &["bearer realm=x"]),
            (r#"Bearer realm="x",empty="""#, &["bearer realm=x"]),
            (r#"Bearer realm="x",=y"#, &["bearer realm=x"]),
            (
                r#"Basic realm="x", Bearer realm="y",service=z"#,
                &["basic realm=x", "bearer realm=y|service=z"],
            ),
            (r#"Negotiate, Basic realm="x""#, &["negotiate"]), // as the original
            ("", &[]),
            ("\"", &[]),
            (", Basic", &[]),
        ] {
            assert_eq!(printed(header), expected, "{header}");
        }
    }

    #[test]
    fn the_last_of_repeated_names_counts() {
        let challenge = &parse(r#"Bearer realm="x",realm="y""#)[0];
        assert_eq!((challenge.get("realm"), challenge.get("scope")), (Some("y"), None));
    }

    proptest! {
        #[test]
        fn never_fails(header in "\\PC*") {
            parse(&header);
        }

        #[test]
        fn what_is_quoted_comes_back(value in "[ -~]{1,20}") {
            let quoted = value.replace('\\', "\\\\").replace('"', "\\\"");
            let parsed = parse(&format!("Bearer a=\"{quoted}\",b=c"));
            prop_assert_eq!(parsed[0].get("a"), Some(value.as_str()));
            prop_assert_eq!(parsed[0].get("b"), Some("c"));
        }
    }
}
