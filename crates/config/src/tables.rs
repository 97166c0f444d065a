//! What all files in TOML have in common: keys in any case, unknown ones, the words of errors.

use std::path::Path;

use tracing::debug;

use crate::Error;

/// The table with its keys in lower case, as the original matches them in any case.
pub(crate) fn lower(table: toml::Table) -> toml::Table {
    let mut result = toml::Table::new();
    let (exact, other): (Vec<_>, Vec<_>) =
        table.into_iter().partition(|(key, _)| *key == key.to_lowercase());
    result.extend(exact);
    for (key, value) in other {
        result.entry(key.to_lowercase()).or_insert(value);
    }
    result
}

/// Mentions the unknown keys in the debug log.
pub(crate) fn report(table: &toml::Table, known: &[&str], within: &str, path: &Path) {
    for key in table.keys().filter(|key| !known.contains(&key.as_str())) {
        debug!("ignoring the unknown key {within}{key} in {}", path.display());
    }
}

/// What is wrong with a text that is no TOML.
pub(crate) fn toml_error(error: &toml::de::Error, text: &str) -> Error {
    let before = error.span().and_then(|span| text.get(..span.start));
    let message = error.message();
    Error::Toml(match before {
        Some(before) => format!("toml: line {}: {message}", before.split('\n').count()),
        None => format!("toml: {message}"),
    })
}
