//! Whose flags a hint means, where a command has some for each side.

use std::sync::OnceLock;

use anyhow::Error;
use skopeo_registry::Error as RegistryError;
use skopeo_transport::{Error as TransportError, ImageName};

use super::links;

/// Flags that commands with two sides have once for each.
const FLAGS: &[&str] = &["--tls-verify=false", "--creds", "--registry-token", "--cert-dir"];

static SIDES: OnceLock<Sides> = OnceLock::new();

/// The two sides of a command.
#[derive(Debug)]
pub(crate) struct Sides {
    source: Side,
    destination: Side,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    /// It is not asked over a network.
    Local,
    /// Any registry may be it.
    Any,
    /// The registry of this name.
    Registry(String),
}

impl Side {
    /// The side that an image is on.
    pub(crate) fn of(image: &ImageName) -> Self {
        match (image.transport(), image.docker_reference()) {
            ("docker", Some(reference)) => Self::Registry(reference.name.domain().to_owned()),
            ("docker-daemon", _) => Self::Any,
            _ => Self::Local,
        }
    }

    fn may_be(&self, host: Option<&str>) -> bool {
        match (self, host) {
            (Self::Local, _) => false,
            (Self::Any, _) | (Self::Registry(_), None) => true,
            (Self::Registry(own), Some(host)) => own == host,
        }
    }
}

/// Remembers the sides of the command that runs.
pub(crate) fn set(source: Side, destination: Side) {
    // A command has its sides once.
    let _ = SIDES.set(Sides { source, destination });
}

/// The hint with the flags that this command has.
pub(super) fn fit(hint: String, error: &Error) -> String {
    let host = links(error).find_map(|link| {
        let registry = link.downcast_ref::<RegistryError>();
        registry.or_else(|| link.downcast_ref::<TransportError>()?.registry())?.host()
    });
    match SIDES.get() {
        Some(sides) => sides.name(hint, host),
        None => hint,
    }
}

impl Sides {
    fn name(&self, hint: String, host: Option<&str>) -> String {
        let prefixes: &[&str] = match (self.source.may_be(host), self.destination.may_be(host)) {
            (true, false) => &["src"],
            (false, true) => &["dest"],
            (true, true) if self.source == Side::Any && host.is_some() => &["dest"],
            // What is neither is a mirror, or a token server.
            (false, false) if self.source != Side::Local => &["src"],
            (false, false) => &["dest"],
            (true, true) => &["src", "dest"],
        };
        FLAGS.iter().fold(hint, |hint, flag| {
            let bare = flag.trim_start_matches('-');
            let named: Vec<_> =
                prefixes.iter().map(|prefix| format!("--{prefix}-{bare}")).collect();
            hint.replace(flag, &named.join(" or "))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_are_those_of_the_side() {
        let at = |host: &str| Side::Registry(host.to_owned());
        let hint = "give --tls-verify=false or --creds U:P";
        for (source, destination, host, expected) in [
            (at("a"), at("b"), Some("a"), "give --src-tls-verify=false or --src-creds U:P"),
            (at("a"), at("b"), Some("b"), "give --dest-tls-verify=false or --dest-creds U:P"),
            (at("a"), at("b"), Some("m"), "give --src-tls-verify=false or --src-creds U:P"),
            (Side::Local, at("b"), Some("t"), "give --dest-tls-verify=false or --dest-creds U:P"),
            (at("a"), Side::Local, None, "give --src-tls-verify=false or --src-creds U:P"),
            (
                at("a"),
                at("a"),
                Some("a"),
                "give --src-tls-verify=false or --dest-tls-verify=false or --src-creds or \
                 --dest-creds U:P",
            ),
        ] {
            let sides = Sides { source, destination };
            assert_eq!(sides.name(hint.to_owned(), host), expected, "{sides:?} {host:?}");
        }
    }
}
