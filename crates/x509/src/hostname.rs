//! Whether a certificate is one of a host, and if not, of whom: as Go's `VerifyHostname`.

use std::net::IpAddr;

use super::certificate::Certificate;
use super::refused::Refused;

/// More names than this are counted, not told.
const TOLD: usize = 100;

/// Returns an error if a certificate is not one of `host`, a name or an address.
pub fn check(certificate: &Certificate<'_>, host: &str) -> Result<(), Refused> {
    let names = &certificate.names;
    let address = host.parse::<IpAddr>().ok();
    let is_one = match address {
        Some(address) => {
            names.addresses.iter().any(|known| known.to_canonical() == address.to_canonical())
        }
        None => names.dns.iter().any(|name| is_name_of(name, host)),
    };
    if is_one {
        return Ok(());
    }
    let old = certificate.common_name.as_deref();
    let told: Vec<String> = match address {
        Some(_) => names.addresses.iter().map(ToString::to_string).collect(),
        None => names.dns.iter().map(|name| (*name).to_owned()).collect(),
    };
    let sentence = if !names.given && old.is_some_and(|name| matches(name, host)) {
        "certificate relies on legacy Common Name field, use SANs instead".to_owned()
    } else if address.is_some() && told.is_empty() {
        format!("cannot validate certificate for {host} because it doesn't contain any IP SANs")
    } else if told.is_empty() {
        format!("certificate is not valid for any names, but wanted to match {host}")
    } else if told.len() >= TOLD {
        let kind = if address.is_some() { "IP SANs" } else { "names" };
        format!("certificate is valid for {} {kind}, but none matched {host}", told.len())
    } else {
        format!("certificate is valid for {}, not {host}", told.join(", "))
    };
    let all = names.dns.iter().map(|name| (*name).to_owned());
    let all = all.chain(names.addresses.iter().map(ToString::to_string)).take(TOLD).collect();
    Err(Refused::Name { sentence, names: all })
}

fn is_name_of(name: &str, host: &str) -> bool {
    if is_hostname(host.strip_suffix('.').unwrap_or(host), false) && is_hostname(name, true) {
        matches(name, host)
    } else {
        !name.is_empty() && name.eq_ignore_ascii_case(host)
    }
}

/// Whether a text may be a host's name, or with a first label `*` those of many.
fn is_hostname(text: &str, pattern: bool) -> bool {
    text != "*"
        && text.split('.').enumerate().all(|(at, label)| {
            let word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
            (pattern && at == 0 && label == "*")
                || !label.is_empty() && !label.starts_with('-') && label.chars().all(word)
        })
}

fn matches(pattern: &str, host: &str) -> bool {
    let host = host.strip_suffix('.').unwrap_or(host);
    let (patterns, labels) = (pattern.split('.'), host.split('.'));
    !pattern.is_empty()
        && !host.is_empty()
        && patterns.clone().count() == labels.clone().count()
        && patterns.zip(labels).enumerate().all(|(at, (pattern, label))| {
            at == 0 && pattern == "*" || pattern.eq_ignore_ascii_case(label)
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_match_as_in_go() {
        for (name, host, expected) in [
            ("r.example", "r.example", true),
            ("R.Example", "r.example", true),
            ("r.example", "r.example.", true),
            ("*.example", "r.example", true),
            ("*.local", "r.local", true),
            ("*.example", "a.r.example", false),
            ("*.example", "example", false),
            ("r*.example", "rr.example", false),
            ("*", "r", false),
            ("r.*.example", "r.a.example", false),
            ("a_b.example", "a_b.example", true),
            ("-a.example", "-a.example", true), // exactly
            ("", "r", false),
            ("r.example.", "r.example.", true),
        ] {
            assert_eq!(is_name_of(name, host), expected, "{name} {host}");
        }
    }
}
