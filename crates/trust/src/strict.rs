//! JSON objects in which every key has to be known and may be there only once.

use std::collections::HashSet;
use std::fmt;

use base64::Engine as _;
use serde::de::{DeserializeOwned, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

/// The fields of one object, in their order, not yet parsed.
pub(crate) struct Fields<'a>(Vec<(String, &'a RawValue)>);

impl<'a> Fields<'a> {
    /// Takes an object apart.
    ///
    /// # Errors
    ///
    /// It is no object, or a key is there twice.
    pub(crate) fn parse(raw: &'a RawValue) -> Result<Self, String> {
        let text = raw.get();
        if !text.starts_with('{') {
            return Err(format!("JSON object expected, got {}", shape(text)));
        }
        let mut deserializer = serde_json::Deserializer::from_str(text);
        let fields = deserializer.deserialize_map(Collect).map_err(|error| error.to_string())?;
        let mut seen = HashSet::with_capacity(fields.len());
        for (key, _) in &fields {
            if !seen.insert(key.as_str()) {
                return Err(format!("Duplicate key {key:?}"));
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
    pub(crate) fn finish(self) -> Result<(), String> {
        match self.0.first() {
            Some((key, _)) => Err(format!("Unknown key {key:?}")),
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
    let mut values = serde_json::Deserializer::from_slice(bytes).into_iter::<&RawValue>();
    let first = values.next();
    let value = match first {
        None => return Err("unexpected end of JSON input".to_owned()),
        Some(Err(error)) if error.is_eof() => return Err("unexpected end of JSON input".to_owned()),
        Some(Err(error)) => return Err(not_json(bytes, &error)),
        Some(Ok(value)) => value,
    };
    let rest = bytes.get(values.byte_offset()..).unwrap_or_default();
    match rest.iter().find(|byte| !matches!(byte, b' ' | b'\t' | b'\r' | b'\n')) {
        Some(byte) => {
            Err(format!("invalid character {:?} after top-level value", char::from(*byte)))
        }
        None => Ok(value),
    }
}

/// What Go says of a text that does not even begin as JSON; else what is known.
fn not_json(bytes: &[u8], error: &serde_json::Error) -> String {
    let first = bytes.iter().find(|byte| !byte.is_ascii_whitespace());
    match first {
        Some(b'{' | b'[' | b'"' | b'-' | b'0'..=b'9' | b't' | b'f' | b'n') | None => {
            error.to_string()
        }
        Some(other) => {
            format!("invalid character {:?} looking for beginning of value", char::from(*other))
        }
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
pub(crate) fn type_of(raw: &RawValue) -> Result<String, String> {
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
