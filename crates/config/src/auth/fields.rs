//! The names of fields in credential files: others match them without regard to case, as Go does.

use serde_json::{Error, Map, Value};
use skopeo_image::go_json::{self, Budget, Raw};

/// The fields of the whole file.
const ROOT: [&str; 3] = ["auths", "credHelpers", "credsStore"];

/// The fields of one entry.
const ENTRY: [&str; 4] = ["auth", "identitytoken", "username", "password"];

/// Reads a whole file; what is known in it is under its own name. Of maps that are there twice
/// both count.
pub(super) fn root(bytes: &[u8]) -> Result<Map<String, Value>, Error> {
    let mut budget = Budget::default();
    let raw = Raw::parse(bytes.to_vec(), &mut budget)?;
    if !raw.is_object() {
        let nothing: Option<Map<String, Value>> = raw.read()?;
        return Ok(nothing.unwrap_or_default());
    }
    let mut root = Map::new();
    for (key, value) in raw.members(&budget)? {
        let mut value: Value = value.read()?;
        let key = named(&key, &ROOT).unwrap_or(&key);
        if key == "auths" {
            name_of_entries(&mut value);
        }
        put(&mut root, key, value);
    }
    Ok(root)
}

/// Gives the fields of all entries their own names.
pub(super) fn name_of_entries(auths: &mut Value) {
    let entries = auths.as_object_mut().into_iter().flat_map(Map::values_mut);
    for entry in entries.filter_map(Value::as_object_mut) {
        let fields = std::mem::take(entry);
        for (key, value) in fields {
            put(entry, named(&key, &ENTRY).unwrap_or(&key), value);
        }
    }
}

fn named(key: &str, known: &[&'static str]) -> Option<&'static str> {
    known.iter().copied().find(|name| go_json::is_name(name, key))
}

/// A map is read into the one before it, `null` empties it; of other values the last counts.
fn put(fields: &mut Map<String, Value>, key: &str, value: Value) {
    match (fields.get_mut(key), value) {
        (Some(Value::Object(before)), Value::Object(more)) => before.extend(more),
        (Some(Value::String(_)), Value::Null) => {}
        (Some(before), value) => *before = value,
        (None, value) => {
            fields.insert(key.to_owned(), value);
        }
    }
}
