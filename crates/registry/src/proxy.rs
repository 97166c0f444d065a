//! Which requests go through a proxy, by the rules of Go's `ProxyFromEnvironment`.

use std::net::IpAddr;

use url::{Host, Url};

use crate::options::ProxyRules;

impl ProxyRules {
    /// Returns the proxy for a request to `url`, if it goes through one.
    #[must_use]
    pub fn proxy_for(&self, url: &Url) -> Option<&Url> {
        let proxy = match url.scheme() {
            "https" => self.https.as_ref()?,
            "http" => self.http.as_ref()?,
            _ => return None,
        };
        (!self.is_direct(url)).then_some(proxy)
    }

    fn is_direct(&self, url: &Url) -> bool {
        let port = url.port_or_known_default();
        let (name, address) = match url.host() {
            None => return true,
            Some(Host::Domain(name)) => (name.trim_end_matches('.').to_ascii_lowercase(), None),
            Some(Host::Ipv4(address)) => (address.to_string(), Some(IpAddr::V4(address))),
            Some(Host::Ipv6(address)) => (address.to_string(), Some(IpAddr::V6(address))),
        };
        if name == "localhost" || address.is_some_and(|address| address.is_loopback()) {
            return true;
        }
        self.no_proxy.split(',').any(|rule| matches(rule.trim(), &name, address, port))
    }
}

/// Whether one entry of `NO_PROXY` names this host.
fn matches(rule: &str, name: &str, address: Option<IpAddr>, port: Option<u16>) -> bool {
    let rule = rule.to_ascii_lowercase();
    if rule.is_empty() {
        return false;
    }
    if rule == "*" {
        return true;
    }
    if let Some((network, length)) = rule.split_once('/')
        && let (Ok(network), Ok(length)) = (network.parse(), length.parse())
    {
        return address.is_some_and(|address| contains(network, length, address));
    }
    let (host, wanted_port) = split_port(&rule);
    if wanted_port.is_some_and(|wanted| Some(wanted) != port) {
        return false;
    }
    if let Ok(wanted) = host.trim_matches(['[', ']']).parse::<IpAddr>() {
        return address == Some(wanted);
    }
    // `.x.y` and `*.x.y` are the hosts below x.y; `x.y` is itself and those below.
    let below = host.strip_prefix('*').unwrap_or(host);
    match below.strip_prefix('.') {
        Some(_) => name.ends_with(below),
        None => name == host || name.strip_suffix(host).is_some_and(|rest| rest.ends_with('.')),
    }
}

/// `host:port` apart; the port only where there is one.
fn split_port(rule: &str) -> (&str, Option<u16>) {
    if rule.parse::<IpAddr>().is_ok() {
        return (rule, None); // the colons of IPv6
    }
    match rule.rsplit_once(':') {
        Some((host, port)) => match port.parse() {
            Ok(port) => (host, Some(port)),
            Err(_) => (rule, None),
        },
        None => (rule, None),
    }
}

fn contains(network: IpAddr, length: u32, address: IpAddr) -> bool {
    match (network, address) {
        (IpAddr::V4(network), IpAddr::V4(address)) if length <= 32 => {
            let mask = u32::MAX.unbounded_shl(32_u32.saturating_sub(length));
            u32::from(network) & mask == u32::from(address) & mask
        }
        (IpAddr::V6(network), IpAddr::V6(address)) if length <= 128 => {
            let mask = u128::MAX.unbounded_shl(128_u32.saturating_sub(length));
            u128::from(network) & mask == u128::from(address) & mask
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_proxy_is_read_as_go_reads_it() {
        for (no_proxy, url, direct) in [
            ("", "https://r.example/", false),
            ("", "https://localhost:5000/", true),
            ("", "http://127.0.0.1:5000/", true),
            ("", "http://[::1]:5000/", true),
            ("", "http://localhost.example/", false),
            ("*", "https://r.example/", true),
            ("r.example", "https://r.example/", true),
            ("R.Example", "https://r.example/", true),
            ("r.example", "https://sub.r.example/", true),
            ("r.example", "https://xr.example/", false),
            (".r.example", "https://r.example/", false),
            (".r.example", "https://sub.r.example/", true),
            ("*.r.example", "https://sub.r.example/", true),
            ("*.r.example", "https://r.example/", false),
            ("r.example:5000", "https://r.example:5000/", true),
            ("r.example:5000", "https://r.example/", false),
            ("r.example:443", "https://r.example/", true),
            ("a, r.example ,b", "https://r.example/", true),
            ("10.0.0.0/8", "https://10.1.2.3/", true),
            ("10.0.0.0/8", "https://11.1.2.3/", false),
            ("10.0.0.0/8", "https://r.example/", false),
            ("0.0.0.0/0", "https://11.1.2.3/", true),
            ("10.1.2.3", "https://10.1.2.3:5000/", true),
            ("10.1.2.3:443", "https://10.1.2.3:5000/", false),
            ("fd00::/8", "https://[fd00::1]/", true),
            ("fd00::1", "https://[fd00::1]/", true),
            ("[fd00::1]:5000", "https://[fd00::1]:5000/", true),
            ("[fd00::1]:5000", "https://[fd00::1]/", false),
        ] {
            let proxy = Url::parse("http://proxy:3128").unwrap();
            let rules = ProxyRules {
                http: Some(proxy.clone()),
                https: Some(proxy),
                no_proxy: no_proxy.to_owned(),
            };
            let url = Url::parse(url).unwrap();
            assert_eq!(rules.proxy_for(&url).is_none(), direct, "{no_proxy:?} for {url}");
        }
    }

    #[test]
    fn each_scheme_has_its_own_proxy() {
        let rules =
            ProxyRules { http: Some(Url::parse("http://p:1").unwrap()), ..ProxyRules::default() };
        let proxied = |url| rules.proxy_for(&Url::parse(url).unwrap()).is_some();
        assert!(proxied("http://r.example/"));
        assert!(!proxied("https://r.example/"));
        assert!(!proxied("ftp://r.example/"));
    }
}
