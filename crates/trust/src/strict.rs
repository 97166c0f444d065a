//! JSON objects in which every key has to be known and may be there only once.

use std::collections::HashSet;
use std::fmt;

use base64::Engine as _;
use serde::de::{DeserializeOwned, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use skopeo_image::go_json;

/// What is wrong with a text, and at which address of it if that is known.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Wrong {
    reason: String,
    at: Option<usize>,
}

impl Wrong {
    fn at(raw: &RawValue, reason: String) -> Self {
        Self { reason, at: Some(raw.get().as_ptr().addr()) }
    }

    /// The same, there if nothing else is known.
    pub(crate) fn within(mut self, raw: &RawValue) -> Self {
        self.at.get_or_insert_with(|| raw.get().as_ptr().addr());
        self
    }

    /// The reason, and in which line of the whole text it is, if that has several.
    pub(crate) fn in_text(self, text: &[u8]) -> String {
        let newlines = |part: &[u8]| part.iter().filter(|byte| **byte == b'\n').count();
        let before = self.at.and_then(|at| text.get(..at.checked_sub(text.as_ptr().addr())?));
        match before {
            Some(before) if newlines(text.trim_ascii()) > 0 => {
                format!("{} (line {})", self.reason, newlines(before).saturating_add(1))
            }
            _ => self.reason,
        }
    }
}

impl From<String> for Wrong {
    fn from(reason: String) -> Self {
        Self { reason, at: None }
    }
}

impl From<&str> for Wrong {
    fn from(reason: &str) -> Self {
        reason.to_owned().into()
    }
}

impl From<Wrong> for String {
    fn from(wrong: Wrong) -> Self {
        wrong.reason
    }
}

/// The fields of one object, in their order, not yet parsed.
pub(crate) struct Fields<'a>(Vec<(String, &'a RawValue)>);

impl<'a> Fields<'a> {
    /// Takes an object apart.
    ///
    /// # Errors
    ///
    /// It is no object, or a key is there twice.
    pub(crate) fn parse(raw: &'a RawValue) -> Result<Self, Wrong> {
        let text = raw.get();
        if !text.starts_with('{') {
            return Err(Wrong::at(raw, format!("JSON object expected, got {}", shape(text))));
        }
        let mut deserializer = serde_json::Deserializer::from_str(text);
        let fields = deserializer.deserialize_map(Collect).map_err(|error| error.to_string())?;
        let mut seen = HashSet::with_capacity(fields.len());
        for (key, value) in &fields {
            if !seen.insert(key.as_str()) {
                return Err(Wrong::at(value, format!("Duplicate key {key:?}")));
            }
        }
        Ok(Self(fields))
    }

    /// Takes a field out, if it is there.
    pub(crate) fn take(&mut self, key: &str) -> Option<&'a RawValue> {
        let at = self.0.iter().position(|(name, _)| name == key)?;
        Some(self.0.remove(at).1)
    }

    /// Takes a field out that has to be there.
    pub(crate) fn require(&mut self, key: &str) -> Result<&'a RawValue, String> {
        self.take(key).ok_or_else(|| format!("Key {key:?} missing in a JSON object"))
    }

    /// Takes a field out and parses it; `null` counts as absent.
    pub(crate) fn optional<T: DeserializeOwned>(&mut self, key: &str) -> Result<Option<T>, String> {
        match self.take(key) {
            Some(raw) => value(raw),
            None => Ok(None),
        }
    }

    /// A text that is not empty, if it is there.
    pub(crate) fn text(&mut self, key: &str) -> Result<Option<String>, String> {
        Ok(self.optional::<String>(key)?.filter(|text| !text.is_empty()))
    }

    /// Base64, if it is there.
    pub(crate) fn data(&mut self, key: &str) -> Result<Option<Vec<u8>>, String> {
        self.take(key).map_or(Ok(None), data)
    }

    /// A list that is not empty, if it is there.
    pub(crate) fn list(&mut self, key: &str) -> Result<Option<Vec<String>>, String> {
        let Some(raw) = self.take(key) else { return Ok(None) };
        let list: Vec<String> = value(raw)?.unwrap_or_default();
        if list.is_empty() {
            return Err(format!("{key:?} contains no entries"));
        }
        Ok(Some(list))
    }

    /// A list of base64 texts that is not empty, if it is there.
    pub(crate) fn data_list(&mut self, key: &str) -> Result<Option<Vec<Vec<u8>>>, String> {
        let list = self.list(key)?;
        list.map(|list| list.iter().map(|text| decode(text)).collect()).transpose()
    }

    /// Refuses what was not taken out.
    pub(crate) fn finish(self) -> Result<(), Wrong> {
        match self.0.first() {
            Some((key, value)) => Err(Wrong::at(value, format!("Unknown key {key:?}"))),
            None => Ok(()),
        }
    }

    /// All fields, for objects whose keys are names.
    pub(crate) fn into_entries(self) -> Vec<(String, &'a RawValue)> {
        self.0
    }
}

/// The one value that a text is.
///
/// # Errors
///
/// It is no JSON, or something follows. The words are Go's.
pub(crate) fn document(bytes: &[u8]) -> Result<&RawValue, String> {
    match go_json::syntax_error(bytes) {
        Some(wrong) => Err(wrong),
        None => serde_json::from_slice(bytes).map_err(|error| error.to_string()),
    }
}

/// A text; `null` leaves it empty. The words of the error are Go's.
pub(crate) fn string(raw: &RawValue) -> Result<String, String> {
    match raw.get().as_bytes().first() {
        Some(b'"' | b'n') => Ok(value::<String>(raw)?.unwrap_or_default()),
        _ => {
            Err(format!("json: cannot unmarshal {} into Go value of type string", kind(raw.get())))
        }
    }
}

/// A number; `null` leaves it zero. The words of the error are Go's.
pub(crate) fn number(raw: &RawValue) -> Result<f64, String> {
    match raw.get().as_bytes().first() {
        Some(b'-' | b'0'..=b'9' | b'n') => Ok(value::<f64>(raw)?.unwrap_or_default()),
        _ => {
            Err(format!("json: cannot unmarshal {} into Go value of type float64", kind(raw.get())))
        }
    }
}

/// What Go calls a value of this text.
pub(crate) fn kind(text: &str) -> &'static str {
    match text.as_bytes().first() {
        Some(b'"') => "string",
        Some(b'[') => "array",
        Some(b'{') => "object",
        Some(b't' | b'f') => "bool",
        Some(b'n') => "null",
        _ => "number",
    }
}

/// The `type` of an object, before its other keys are looked at.
pub(crate) fn type_of(raw: &RawValue) -> Result<String, Wrong> {
    let mut fields = Fields::parse(raw)?;
    Ok(fields.optional::<String>("type")?.unwrap_or_default())
}

/// A value of a given type; `null` counts as absent.
pub(crate) fn value<T: DeserializeOwned>(raw: &RawValue) -> Result<Option<T>, String> {
    serde_json::from_str(raw.get()).map_err(|error| error.to_string())
}

/// Base64; `null` counts as absent.
pub(crate) fn data(raw: &RawValue) -> Result<Option<Vec<u8>>, String> {
    value::<String>(raw)?.map(|text| decode(&text)).transpose()
}

fn decode(text: &str) -> Result<Vec<u8>, String> {
    // Line breaks are allowed within, as Go allows them.
    let text = text.replace(['\r', '\n'], "");
    base64::engine::general_purpose::STANDARD
        .decode(text)
        .map_err(|error| format!("illegal base64 data: {error}"))
}

/// A value that is no object, in the words of Go's tokens.
fn shape(text: &str) -> &str {
    match text.as_bytes().first() {
        Some(b'[') => "\"[\"",
        Some(b'n') => "<nil>",
        _ => text,
    }
}

struct Collect;

impl<'de> Visitor<'de> for Collect {
    type Value = Vec<(String, &'de RawValue)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut fields = Vec::new();
        while let Some(field) = map.next_entry()? {
            fields.push(field);
        }
        Ok(fields)
    }
}
