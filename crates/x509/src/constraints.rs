//! Which names an authority may vouch for (RFC 5280, 4.2.1.10), as Go's x509 reads it.

use std::net::IpAddr;

use url::Url;
use x509_parser::extensions::{GeneralName, GeneralSubtree, NameConstraints};

use super::certificate::Names;

/// Says what is wrong, if the names are not among those that an authority may vouch for.
pub(super) fn check(constraints: &NameConstraints<'_>, names: &Names<'_>) -> Result<(), String> {
    let all = (names.dns.iter().map(|name| Name::Dns(name)))
        .chain(names.addresses.iter().map(|address| Name::Address(*address)))
        .chain(names.mail.iter().map(|name| Name::Mail(name)))
        .chain(names.uris.iter().map(|name| Name::Uri(name)));
    for name in all {
        let mut excluded = trees(&constraints.excluded_subtrees);
        if let Some(rule) = excluded.find(|rule| name.matches(rule, true).unwrap_or(false)) {
            return Err(format!("{name} is excluded by constraint {}", told(rule)));
        }
        let mut permitted =
            trees(&constraints.permitted_subtrees).filter_map(|rule| name.matches(rule, false));
        let Some(first) = permitted.next() else { continue };
        if !(first || permitted.any(|matches| matches)) {
            return Err(format!("{name} is not permitted by any constraint"));
        }
    }
    Ok(())
}

fn trees<'a>(
    list: &'a Option<Vec<GeneralSubtree<'a>>>,
) -> impl Iterator<Item = &'a GeneralName<'a>> {
    list.iter().flatten().map(|tree| &tree.base)
}

enum Name<'a> {
    Dns(&'a str),
    Address(IpAddr),
    Mail(&'a str),
    Uri(&'a str),
}

impl Name<'_> {
    /// Whether the rule is about this name; none if it is about another kind of names. What cannot
    /// be read is within every rule that excludes, and in none that permits.
    fn matches(&self, rule: &GeneralName<'_>, excluding: bool) -> Option<bool> {
        match (self, rule) {
            (Self::Dns(name), GeneralName::DNSName(rule)) => {
                // `*.a.example` is also a name of what lies below `*.a.example`.
                let wild = name.strip_prefix("*.").filter(|_| excluding);
                let inside = wild.is_some_and(|rest| {
                    rule.split_once('.').is_some_and(|(_, above)| above.eq_ignore_ascii_case(rest))
                });
                Some(inside || is_below(name, rule).unwrap_or(excluding))
            }
            (Self::Address(address), GeneralName::IPAddress(rule)) => {
                Some(contains(rule, *address).unwrap_or(excluding))
            }
            (Self::Mail(name), GeneralName::RFC822Name(rule)) => {
                let Some((user, host)) = name.rsplit_once('@') else { return Some(excluding) };
                Some(match rule.rsplit_once('@') {
                    Some((wanted, at)) => wanted == user && at.eq_ignore_ascii_case(host),
                    None => is_below(host, rule).unwrap_or(excluding),
                })
            }
            (Self::Uri(name), GeneralName::URI(rule)) => {
                let url = Url::parse(name).ok();
                let host = url.as_ref().and_then(Url::domain);
                Some(host.and_then(|host| is_below(host, rule)).unwrap_or(excluding))
            }
            _ => None,
        }
    }
}

impl std::fmt::Display for Name<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Dns(name) => write!(f, "DNS name {name:?}"),
            Self::Address(address) => write!(f, "IP address \"{address}\""),
            Self::Mail(name) => write!(f, "email address {name:?}"),
            Self::Uri(name) => write!(f, "URI {name:?}"),
        }
    }
}

fn told(rule: &GeneralName<'_>) -> String {
    match rule {
        GeneralName::DNSName(rule) | GeneralName::RFC822Name(rule) | GeneralName::URI(rule) => {
            format!("{rule:?}")
        }
        GeneralName::IPAddress(rule) => {
            let (address, mask) = rule.split_at(rule.len() / 2);
            let length: u32 = mask.iter().map(|byte| byte.count_ones()).sum();
            match address_of(address) {
                Some(address) => format!("\"{address}/{length}\""),
                None => "of an invalid address".to_owned(),
            }
        }
        _ => "of another kind".to_owned(),
    }
}

fn address_of(bytes: &[u8]) -> Option<IpAddr> {
    let short = <[u8; 4]>::try_from(bytes).map(IpAddr::from);
    short.or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from)).ok()
}

/// Whether a host is `rule` or below it; with a dot in front, only below it. None if the host is
/// none.
fn is_below(host: &str, rule: &str) -> Option<bool> {
    if rule.is_empty() {
        return Some(true);
    }
    let labels: Vec<&str> = host.split('.').collect();
    if labels.iter().any(|label| label.is_empty()) {
        return None;
    }
    let (rule, only_below) = match rule.strip_prefix('.') {
        Some(rule) => (rule, true),
        None => (rule, false),
    };
    let rules: Vec<&str> = rule.split('.').collect();
    let more = labels.len().checked_sub(rules.len());
    Some(more.is_some_and(|more| {
        (more > 0 || !only_below)
            && labels.iter().skip(more).zip(&rules).all(|(a, b)| a.eq_ignore_ascii_case(b))
    }))
}

/// Whether an address lies in `ADDRESS MASK`; none if that is no network.
fn contains(rule: &[u8], address: IpAddr) -> Option<bool> {
    let bytes: Vec<u8> = match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    };
    if !matches!(rule.len(), 8 | 32) {
        return None;
    }
    let (network, mask) = rule.split_at(rule.len() / 2);
    Some(
        network.len() == bytes.len()
            && bytes.iter().zip(network).zip(mask).all(|((a, b), mask)| a & mask == b & mask),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules<'a>(names: &[GeneralName<'a>]) -> Option<Vec<GeneralSubtree<'a>>> {
        Some(names.iter().map(|name| GeneralSubtree { base: name.clone() }).collect())
    }

    #[test]
    fn hosts_are_below_their_domains() {
        for (host, rule, expected) in [
            ("a.example", "", Some(true)),
            ("a.example", "example", Some(true)),
            ("A.Example", "a.eXample", Some(true)),
            ("a.example", ".a.example", Some(false)),
            ("b.a.example", ".a.example", Some(true)),
            ("ba.example", "a.example", Some(false)),
            ("example", "a.example", Some(false)),
            ("a..example", "example", None),
        ] {
            assert_eq!(is_below(host, rule), expected, "{host} {rule}");
        }
    }

    #[test]
    fn names_have_to_be_permitted_and_not_excluded() {
        let dns = Names { given: true, dns: vec!["r.a.example"], ..Names::default() };
        let wild = Names { given: true, dns: vec!["*.a.example"], ..Names::default() };
        let address =
            Names { given: true, addresses: vec![[10, 1, 2, 3].into()], ..Names::default() };
        let permitted = |names: &[GeneralName<'static>]| NameConstraints {
            permitted_subtrees: rules(names),
            excluded_subtrees: None,
        };
        let excluded = |names: &[GeneralName<'static>]| NameConstraints {
            permitted_subtrees: None,
            excluded_subtrees: rules(names),
        };
        let ten = GeneralName::IPAddress(&[10, 0, 0, 0, 255, 0, 0, 0]);
        let eleven = GeneralName::IPAddress(&[11, 0, 0, 0, 255, 0, 0, 0]);
        let host = GeneralName::DNSName;
        for (rules, names, expected) in [
            (permitted(&[host("a.example")]), &dns, Ok(())),
            (permitted(&[host("x"), host("example")]), &dns, Ok(())),
            (
                permitted(&[host("b.example")]),
                &dns,
                Err("DNS name \"r.a.example\" is not permitted by any constraint"),
            ),
            (
                excluded(&[host("a.example")]),
                &dns,
                Err("DNS name \"r.a.example\" is excluded by constraint \"a.example\""),
            ),
            (excluded(&[host("b.example")]), &dns, Ok(())),
            (
                excluded(&[host("secret.a.example")]),
                &wild,
                Err("DNS name \"*.a.example\" is excluded by constraint \"secret.a.example\""),
            ),
            // Rules about other kinds of names say nothing of this one.
            (permitted(std::slice::from_ref(&ten)), &dns, Ok(())),
            (permitted(std::slice::from_ref(&ten)), &address, Ok(())),
            (
                permitted(&[eleven]),
                &address,
                Err("IP address \"10.1.2.3\" is not permitted by any constraint"),
            ),
            (
                excluded(&[ten]),
                &address,
                Err("IP address \"10.1.2.3\" is excluded by constraint \"10.0.0.0/8\""),
            ),
        ] {
            assert_eq!(check(&rules, names), expected.map_err(str::to_owned));
        }
    }
}
