//! The functions and methods of templates.

use gotmpl::{Template, Value as Foreign};

use super::value::{List, Value};
use super::{printf, time};

/// More spaces are not put before or behind a text.
const WIDEST: usize = 1 << 16;

/// Calls a function; the error is Go's sentence about it.
pub(super) fn call(name: &str, arguments: &[Value]) -> Result<Value, String> {
    Ok(match (name, arguments) {
        ("not", [value]) => Value::Bool(!value.is_true()),
        ("len", [value]) => Value::Int(length(value)?),
        ("index", [value, indices @ ..]) => {
            indices.iter().try_fold(value.clone(), |value, index| self::index(&value, index))?
        }
        ("slice", [value, bounds @ ..]) => slice(value, bounds)?,
        ("eq", [first, others @ ..]) if !others.is_empty() => {
            let mut equal = false;
            for other in others {
                equal |= compare(first, other)?.is_eq();
            }
            Value::Bool(equal)
        }
        ("ne", [a, b]) => Value::Bool(compare(a, b)?.is_ne()),
        ("lt", [a, b]) => Value::Bool(compare(a, b)?.is_lt()),
        ("le", [a, b]) => Value::Bool(compare(a, b)?.is_le()),
        ("gt", [a, b]) => Value::Bool(compare(a, b)?.is_gt()),
        ("ge", [a, b]) => Value::Bool(compare(a, b)?.is_ge()),
        ("printf", arguments) => {
            let plain = |verb: &str, value: &Value| {
                let printed = foreign("printf", &[Value::text(verb), value.clone()])?;
                Ok(printed.as_text().unwrap_or_default().to_owned())
            };
            match printf::printf(arguments, plain) {
                Some(printed) => Value::text(&printed?),
                None => foreign(name, arguments)?,
            }
        }
        ("print" | "println" | "html" | "js" | "urlquery", arguments) => foreign(name, arguments)?,
        ("json", [value]) => Value::text(&value.json()),
        ("lower", [value]) => Value::text(&text(value)?.to_lowercase()),
        ("upper", [value]) => Value::text(&text(value)?.to_uppercase()),
        ("title", [value]) => Value::text(&title(text(value)?)),
        ("join", [Value::List(list), separator]) => {
            let texts = list.items.iter().map(text).collect::<Result<Vec<_>, _>>()?;
            Value::text(&texts.join(text(separator)?))
        }
        ("split", [value, separator]) => {
            let (value, separator) = (text(value)?, text(separator)?);
            let parts: Vec<String> = if separator.is_empty() {
                value.chars().map(String::from).collect()
            } else {
                value.split(separator).map(str::to_owned).collect()
            };
            Value::texts(Some(&parts))
        }
        ("pad", [value, before, after]) => {
            let (value, before, after) = (text(value)?, count(before)?, count(after)?);
            if before.max(after) > WIDEST {
                return Err(format!("pad: {} spaces are too many", before.max(after)));
            }
            let padded = format!("{}{value}{}", " ".repeat(before), " ".repeat(after));
            Value::text(if value.is_empty() { value } else { &padded })
        }
        ("truncate", [value, length]) => {
            let (value, length) = (text(value)?, count(length)?);
            // Go would cut the letter in two.
            Value::text(value.get(..value.floor_char_boundary(length)).unwrap_or_default())
        }
        (name, arguments) => {
            let wanted = match name {
                "len" | "not" | "json" | "lower" | "upper" | "title" => 1,
                "pad" => 3,
                _ => 2,
            };
            if let Some(first) = arguments.first().filter(|_| arguments.len() == wanted) {
                return Err(format!("wrong type for value; got {}", first.type_name()));
            }
            return Err(format!(
                "wrong number of args for {name}: want {wanted} got {}",
                arguments.len()
            ));
        }
    })
}

/// The names that [`call`] knows, besides Go's own.
pub(super) const OWN: &[&str] =
    &["join", "json", "lower", "pad", "split", "title", "truncate", "upper"];

/// Calls a method, if the value has one of this name.
pub(super) fn method(
    value: &Value,
    name: &str,
    arguments: &[Value],
) -> Option<Result<Value, String>> {
    let none = |value: Value| {
        Some(if arguments.is_empty() {
            Ok(value)
        } else {
            Err(format!("wrong number of args for {name}: want 0 got {}", arguments.len()))
        })
    };
    match value {
        Value::Digest(digest) => {
            let (algorithm, encoded) = digest.split_once(':').unwrap_or(("", digest));
            match name {
                "Algorithm" => none(Value::text(algorithm)),
                "Encoded" | "Hex" => none(Value::text(encoded)),
                "String" => none(Value::text(digest)),
                _ => None,
            }
        }
        Value::Time(None) => Some(Err(format!("nil pointer evaluating *time.Time.{name}"))),
        Value::Time(Some(time)) => match name {
            "Format" => Some(match arguments {
                [layout] => text(layout).map(|layout| Value::text(&time::format(time, layout))),
                _ => {
                    Err(format!("wrong number of args for Format: want 1 got {}", arguments.len()))
                }
            }),
            "String" => none(Value::text(&time::print(time))),
            "UTC" => none(Value::Time(Some(time::utc(time)))),
            "Unix" => none(Value::Int(time::unix(time))),
            "UnixMilli" => {
                let (seconds, millis) = (time::unix(time), time.nanosecond / 1_000_000);
                none(Value::Int(seconds.saturating_mul(1000).saturating_add(i64::from(millis))))
            }
            // Go's own sum has 64 bits, and wraps.
            "UnixNano" => {
                let seconds = time::unix(time).wrapping_mul(1_000_000_000);
                none(Value::Int(seconds.wrapping_add(i64::from(time.nanosecond))))
            }
            "IsZero" => none(Value::Bool(*time == skopeo_image::Timestamp::default())),
            "Year" => none(Value::Int(time.year.into())),
            "Month" => none(Value::Month(time.month)),
            "Day" => none(Value::Int(time.day.into())),
            "Hour" => none(Value::Int(time.hour.into())),
            "Minute" => none(Value::Int(time.minute.into())),
            "Second" => none(Value::Int(time.second.into())),
            "Nanosecond" => none(Value::Int(time.nanosecond.into())),
            "Weekday" => none(Value::text(time::weekday(time))),
            _ => None,
        },
        _ => None,
    }
}

fn text(value: &Value) -> Result<&str, String> {
    value
        .as_text()
        .ok_or_else(|| format!("wrong type for value; expected string; got {}", value.type_name()))
}

fn count(value: &Value) -> Result<usize, String> {
    match value {
        Value::Int(number) => Ok(usize::try_from(*number).unwrap_or_default()),
        other => Err(format!("wrong type for value; expected int; got {}", other.type_name())),
    }
}

fn length(value: &Value) -> Result<i64, String> {
    let length = match value {
        Value::Text(text) | Value::Digest(text) => text.len(),
        Value::List(list) => list.items.len(),
        Value::Map(map, ..) => map.len(),
        Value::Nothing => return Err("len of nil pointer".to_owned()),
        other => return Err(format!("len of type {}", other.type_name())),
    };
    Ok(i64::try_from(length).unwrap_or(i64::MAX))
}

fn index(value: &Value, at: &Value) -> Result<Value, String> {
    match (value, at) {
        (Value::List(List { items, .. }), Value::Int(at)) => {
            let found = usize::try_from(*at).ok().and_then(|at| items.get(at));
            found.cloned().ok_or_else(|| format!("index out of range: {at}"))
        }
        (Value::Text(text) | Value::Digest(text), Value::Int(at)) => {
            let found = usize::try_from(*at).ok().and_then(|at| text.as_bytes().get(at));
            found
                .map(|byte| Value::Int((*byte).into()))
                .ok_or_else(|| format!("index out of range: {at}"))
        }
        // A key that is not there has the zero value of its map.
        (Value::Map(map, type_name, _), Value::Text(key) | Value::Digest(key)) => {
            Ok(map.get(&**key).cloned().unwrap_or_else(|| match *type_name {
                "map[string]string" => Value::text(""),
                _ => Value::Nothing,
            }))
        }
        (Value::Nothing, _) => Err("index of untyped nil".to_owned()),
        (Value::List(_) | Value::Map(..), at) => {
            Err(format!("cannot index slice/array with type {}", at.type_name()))
        }
        (other, _) => Err(format!("can't index item of type {}", other.type_name())),
    }
}

fn slice(value: &Value, bounds: &[Value]) -> Result<Value, String> {
    let length = usize::try_from(length(value)?).unwrap_or_default();
    let bounds = bounds.iter().map(count).collect::<Result<Vec<_>, _>>()?;
    let from = bounds.first().copied().unwrap_or(0);
    let to = bounds.get(1).copied().unwrap_or(length);
    if to > length {
        return Err(format!("index out of range: {to}"));
    }
    if from > to {
        return Err(format!("invalid slice index: {from} > {to}"));
    }
    match value {
        Value::List(list) => {
            let items = list.items.get(from..to).unwrap_or_default();
            Ok(Value::list(items.iter().cloned(), list.type_name))
        }
        Value::Text(text) | Value::Digest(text) => {
            text.get(from..to).map(Value::text).ok_or_else(|| "index inside a letter".to_owned())
        }
        other => Err(format!("can't slice item of type {}", other.type_name())),
    }
}

fn compare(a: &Value, b: &Value) -> Result<std::cmp::Ordering, String> {
    match (a, b) {
        (Value::Bool(a), Value::Bool(b)) => Ok(a.cmp(b)),
        (Value::Int(a), Value::Int(b)) => Ok(a.cmp(b)),
        (Value::Float(a), Value::Float(b)) => Ok(a.total_cmp(b)),
        (Value::Month(a), Value::Int(b)) => Ok(i64::from(*a).cmp(b)),
        (Value::Nothing, Value::Nothing) => Ok(std::cmp::Ordering::Equal),
        _ => match (a.as_text(), b.as_text()) {
            (Some(a), Some(b)) => Ok(a.cmp(b)),
            _ if matches!(a, Value::List(_) | Value::Map(..)) => {
                Err(format!("non-comparable type {}: {}", a.print(), a.type_name()))
            }
            _ => Err("incompatible types for comparison".to_owned()),
        },
    }
}

/// Each word with its first letter in upper case.
fn title(text: &str) -> String {
    let mut inside = false;
    text.chars()
        .flat_map(|c| {
            let begins = !inside;
            inside = c.is_alphanumeric() || c == '_' || c == '\'';
            if begins { c.to_uppercase().collect::<Vec<_>>() } else { vec![c] }
        })
        .collect()
}

/// Calls one of the functions of gotmpl, which knows Go's verbs.
fn foreign(name: &str, arguments: &[Value]) -> Result<Value, String> {
    let data: Vec<Foreign> = arguments.iter().map(to_foreign).collect();
    let indices: String = (0..data.len()).map(|at| format!(" (index . {at})")).collect();
    let source = format!("{{{{{name}{indices}}}}}");
    let template = Template::new(name).parse(&source).map_err(|error| error.to_string())?;
    let made = template.execute_to_string(&Foreign::List(data.into()));
    made.map(|made| Value::text(&made)).map_err(|error| error.to_string())
}

fn to_foreign(value: &Value) -> Foreign {
    match value {
        Value::Nothing => Foreign::Nil,
        Value::Bool(truth) => Foreign::Bool(*truth),
        Value::Int(number) => Foreign::Int(*number),
        Value::Month(_) | Value::Time(_) | Value::Struct(_) => {
            Foreign::String(value.print().into())
        }
        Value::Float(number) => Foreign::Float(*number),
        Value::Text(text) | Value::Digest(text) => Foreign::String(text.clone()),
        Value::List(list) => Foreign::List(list.items.iter().map(to_foreign).collect()),
        Value::Map(map, ..) => Foreign::Map(std::sync::Arc::new(
            map.iter().map(|(key, value)| (key.as_str().into(), to_foreign(value))).collect(),
        )),
    }
}
