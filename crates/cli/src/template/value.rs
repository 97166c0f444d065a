//! What templates see: values with the names and types that Go's users know.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use skopeo_image::Timestamp;

use super::time;

/// A value in a template.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value {
    /// No value at all.
    Nothing,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(Arc<str>),
    /// A text with the methods of a digest.
    Digest(Arc<str>),
    /// A pointer to a time.
    Time(Option<Timestamp>),
    /// A month, which prints as its name.
    Month(u8),
    List(List),
    /// Entries, the type in Go, and whether it is Go's nil map.
    Map(Arc<BTreeMap<String, Self>>, &'static str, bool),
    Struct(Arc<Struct>),
}

/// A list with its Go type.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct List {
    pub(crate) items: Arc<[Value]>,
    pub(crate) type_name: &'static str,
    /// Whether it is Go's nil slice, which is `null` in JSON.
    pub(crate) is_nil: bool,
}

/// A struct: fields in order, and itself as JSON.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Struct {
    pub(crate) type_name: &'static str,
    pub(crate) fields: Vec<(&'static str, Value)>,
    pub(crate) json: String,
}

impl Struct {
    /// A field, or one of the platform that is embedded in a config.
    pub(super) fn field(&self, name: &str) -> Option<&Value> {
        let find =
            |name| self.fields.iter().find(|(known, _)| *known == name).map(|(_, value)| value);
        find(name).or_else(|| match find("Platform") {
            Some(Value::Struct(platform)) => platform.field(name),
            _ => None,
        })
    }
}

impl Value {
    pub(crate) fn text(text: &str) -> Self {
        Self::Text(text.into())
    }

    pub(crate) fn digest(text: &str) -> Self {
        Self::Digest(text.into())
    }

    pub(crate) fn list(items: impl IntoIterator<Item = Self>, type_name: &'static str) -> Self {
        Self::List(List { items: items.into_iter().collect(), type_name, is_nil: false })
    }

    /// A list, or Go's nil slice.
    pub(crate) fn list_or_nil(
        items: Option<impl IntoIterator<Item = Self>>,
        type_name: &'static str,
    ) -> Self {
        let is_nil = items.is_none();
        Self::List(List { items: items.into_iter().flatten().collect(), type_name, is_nil })
    }

    /// A map, or Go's nil map.
    pub(crate) fn map_or_nil(
        entries: Option<impl IntoIterator<Item = (String, Self)>>,
        type_name: &'static str,
    ) -> Self {
        let is_nil = entries.is_none();
        Self::Map(Arc::new(entries.into_iter().flatten().collect()), type_name, is_nil)
    }

    /// A `[]string`; nothing is Go's nil slice.
    pub(crate) fn texts(texts: Option<&[String]>) -> Self {
        Self::list_or_nil(texts.map(|all| all.iter().map(|text| Self::text(text))), "[]string")
    }

    /// A `map[string]string`; nothing is Go's nil map.
    pub(crate) fn labels(labels: Option<&BTreeMap<String, String>>) -> Self {
        let entry = |(key, value): (&String, &String)| (key.clone(), Self::text(value));
        Self::map_or_nil(labels.map(|all| all.iter().map(entry)), "map[string]string")
    }

    /// A struct; `of` is what its JSON is made of.
    pub(crate) fn structure(
        type_name: &'static str,
        of: &impl serde::Serialize,
        fields: Vec<(&'static str, Self)>,
    ) -> Self {
        let json = serde_json::to_string(of).unwrap_or_default();
        Self::Struct(Arc::new(Struct { type_name, fields, json }))
    }

    /// What Go makes of JSON that it has no struct for.
    pub(crate) fn of_json(json: &serde_json::Value) -> Self {
        use serde_json::Value as Json;
        match json {
            Json::Null => Self::Nothing,
            Json::Bool(truth) => Self::Bool(*truth),
            Json::Number(number) => match number.as_i64() {
                Some(number) => Self::Int(number),
                None => Self::Float(number.as_f64().unwrap_or_default()),
            },
            Json::String(text) => Self::text(text),
            Json::Array(items) => Self::list(items.iter().map(Self::of_json), "[]interface {}"),
            Json::Object(fields) => {
                let fields = fields.iter().map(|(key, value)| (key.clone(), Self::of_json(value)));
                Self::map_or_nil(Some(fields), "map[string]interface {}")
            }
        }
    }

    /// Go's truth: not zero, not empty.
    pub(crate) fn is_true(&self) -> bool {
        match self {
            Self::Nothing => false,
            Self::Bool(truth) => *truth,
            Self::Int(number) => *number != 0,
            Self::Month(number) => *number != 0,
            Self::Float(number) => *number != 0.0,
            Self::Text(text) | Self::Digest(text) => !text.is_empty(),
            Self::Time(time) => time.is_some(),
            Self::List(list) => !list.items.is_empty(),
            Self::Map(map, ..) => !map.is_empty(),
            Self::Struct(_) => true,
        }
    }

    /// The name of its type in Go.
    pub(crate) fn type_name(&self) -> &'static str {
        match self {
            Self::Nothing => "nil",
            Self::Bool(_) => "bool",
            Self::Int(_) => "int",
            Self::Float(_) => "float64",
            Self::Text(_) => "string",
            Self::Digest(_) => "digest.Digest",
            Self::Time(_) => "*time.Time",
            Self::Month(_) => "time.Month",
            Self::List(list) => list.type_name,
            Self::Map(_, type_name, _) => type_name,
            Self::Struct(structure) => structure.type_name,
        }
    }

    /// The text of a text or digest.
    pub(crate) fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) | Self::Digest(text) => Some(text),
            _ => None,
        }
    }

    /// As `{{.}}` prints it.
    pub(crate) fn print(&self) -> String {
        match self {
            Self::Nothing => "<no value>".to_owned(),
            other => other.print_inner(),
        }
    }

    fn print_inner(&self) -> String {
        match self {
            Self::Nothing => "<nil>".to_owned(),
            Self::Bool(truth) => truth.to_string(),
            Self::Int(number) => number.to_string(),
            Self::Float(number) => number.to_string(),
            Self::Text(text) | Self::Digest(text) => text.to_string(),
            Self::Time(None) => "<nil>".to_owned(),
            Self::Time(Some(time)) => time::print(time),
            Self::Month(month) => time::month_name(*month).to_owned(),
            Self::List(list) => format!("[{}]", join(list.items.iter())),
            Self::Map(map, ..) => {
                let mut text = String::new();
                for (key, value) in map.iter() {
                    let gap = if text.is_empty() { "" } else { " " };
                    let _ = write!(text, "{gap}{key}:{}", value.print_inner());
                }
                format!("map[{text}]")
            }
            Self::Struct(structure) => {
                format!("{{{}}}", join(structure.fields.iter().map(|(_, value)| value)))
            }
        }
    }

    /// As the function `json` prints it.
    pub(crate) fn json(&self) -> String {
        let text = |text: &str| serde_json::to_string(text).unwrap_or_default();
        match self {
            Self::Nothing
            | Self::Time(None)
            | Self::List(List { is_nil: true, .. })
            | Self::Map(_, _, true) => "null".to_owned(),
            Self::Bool(_) | Self::Int(_) | Self::Float(_) => self.print_inner(),
            Self::Month(number) => number.to_string(),
            Self::Text(value) | Self::Digest(value) => text(value),
            Self::Time(Some(time)) => text(&time.to_string()),
            Self::List(list) => {
                let items: Vec<String> = list.items.iter().map(Self::json).collect();
                format!("[{}]", items.join(","))
            }
            Self::Map(map, ..) => {
                let entries: Vec<String> = map
                    .iter()
                    .map(|(key, value)| format!("{}:{}", text(key), value.json()))
                    .collect();
                format!("{{{}}}", entries.join(","))
            }
            Self::Struct(structure) => structure.json.clone(),
        }
    }
}

fn join<'a>(values: impl Iterator<Item = &'a Value>) -> String {
    values.map(Value::print_inner).collect::<Vec<_>>().join(" ")
}
