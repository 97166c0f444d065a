//! Short names: aliases and how they are to be resolved. Parsed and kept; the `docker:` transport
//! itself never resolves short names, as in the original.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use skopeo_image::{Named, Reference};

use crate::Error;

/// Aliases by short name.
pub(super) type Aliases = BTreeMap<String, Alias>;

/// What a short name stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alias {
    /// The repository. None takes back an alias of an earlier file.
    pub name: Option<Named>,
    /// The file that says so.
    pub origin: PathBuf,
}

/// What happens to a name without a registry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ShortNameMode {
    /// All search registries are tried.
    Disabled,
    /// The user is asked; without a terminal it is an error.
    Enforcing,
    /// The user is asked; without a terminal all search registries are tried.
    #[default]
    Permissive,
}

impl ShortNameMode {
    pub(super) fn parse(text: &str) -> Result<Self, Error> {
        match text {
            "disabled" => Ok(Self::Disabled),
            "enforcing" => Ok(Self::Enforcing),
            "permissive" => Ok(Self::Permissive),
            _ => Err(Error::Invalid(format!("invalid short-name mode: {text:?}"))),
        }
    }
}

/// Checks the `[aliases]` of one file; all that is wrong is reported at once.
pub(super) fn parse(raw: &BTreeMap<String, String>, path: &Path) -> Result<Aliases, Error> {
    let mut aliases = Aliases::new();
    let mut wrong = Vec::new();
    for (short, value) in raw {
        if let Err(text) = check_short(short) {
            wrong.push(text);
        }
        let name = match value.as_str() {
            "" => None,
            value => match parse_value(value) {
                Ok(name) => Some(name),
                Err(text) => {
                    wrong.push(text);
                    continue;
                }
            },
        };
        aliases.insert(short.clone(), Alias { name, origin: path.to_owned() });
    }
    if wrong.is_empty() {
        return Ok(aliases);
    }
    Err(Error::Invalid(wrong.join("\n")).during("validating short-name aliases"))
}

fn check_short(short: &str) -> Result<(), String> {
    let reference = Reference::parse_normalized(short)
        .map_err(|error| format!("cannot parse short name: {short:?}: {error}"))?;
    if reference.digest.is_some() {
        return Err(format!("invalid short name {short:?}: must not contain digest"));
    }
    if reference.tag.is_some() {
        return Err(format!("invalid short name {short:?}: must not contain tag"));
    }
    if has_registry(short) {
        return Err(format!("invalid short name {short:?}: must not contain registry"));
    }
    Ok(())
}

fn parse_value(value: &str) -> Result<Named, String> {
    let reference = Reference::parse_normalized(value)
        .map_err(|error| format!("parsing alias {value:?}: {error}"))?;
    if reference.digest.is_some() {
        return Err(format!("invalid alias {value:?}: must not contain digest"));
    }
    if reference.tag.is_some() {
        return Err(format!("invalid alias {value:?}: must not contain tag"));
    }
    if !has_registry(value) {
        return Err(format!("invalid alias {value:?}: must contain registry and repository"));
    }
    Ok(reference.name)
}

/// Whether the text before the first slash can only be a registry.
fn has_registry(text: &str) -> bool {
    text.split_once('/').is_some_and(|(host, _)| host.contains(['.', ':']) || host == "localhost")
}

/// Whether `text` is `host[:port]` of the reference grammar and nothing else.
pub(super) fn is_domain(text: &str) -> bool {
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, Some(port)),
        _ => (text, None),
    };
    if port.is_some_and(|port| port.is_empty() || !port.bytes().all(|b| b.is_ascii_digit())) {
        return false;
    }
    if let Some(address) = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        return !address.is_empty() && address.bytes().all(|b| b.is_ascii_hexdigit() || b == b':');
    }
    host.split('.').all(|label| {
        label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
            && !label.is_empty()
    })
}
