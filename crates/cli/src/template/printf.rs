//! `printf` where a verb is for the items of a list, or for a type.

#![cfg_attr(
    not(test),
    warn(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::as_conversions)
)]

use super::value::Value;

/// What Go prints for lists and maps, item by item, and for `%T`; `None` where all arguments are
/// plain, or the format is one of the rare ones (numbered arguments, widths that are arguments).
/// `plain` prints one value by one verb.
pub(super) fn printf(
    arguments: &[Value],
    plain: impl Fn(&str, &Value) -> Result<String, String>,
) -> Option<Result<String, String>> {
    let (Value::Text(format), arguments) = arguments.split_first()? else { return None };
    let parts = parts(format)?;
    let verbs = parts.iter().filter(|part| matches!(part, Part::Verb(_))).count();
    let is_special = parts
        .iter()
        .filter_map(|part| match part {
            Part::Verb(verb) => Some(verb),
            Part::Text(_) => None,
        })
        .zip(arguments)
        .any(|(verb, value)| verb.ends_with('T') || is_many(value) && !verb.ends_with('v'));
    if verbs != arguments.len() || !is_special {
        return None;
    }
    let mut arguments = arguments.iter();
    let printed = parts.into_iter().map(|part| match part {
        Part::Text(text) => Ok(text.to_owned()),
        Part::Verb(verb) => arguments.next().map_or(Ok(String::new()), |it| one(verb, it, &plain)),
    });
    Some(printed.collect())
}

/// A piece of a format.
enum Part<'a> {
    Text(&'a str),
    Verb(&'a str),
}

fn parts(format: &str) -> Option<Vec<Part<'_>>> {
    let mut parts = Vec::new();
    let mut rest = format;
    while let Some(at) = rest.find('%') {
        let (text, from) = rest.split_at(at);
        parts.push(Part::Text(text));
        let end = from.char_indices().skip(1).find(|(_, c)| c.is_alphabetic() || *c == '%')?;
        let (verb, behind) = from.split_at_checked(end.0.checked_add(end.1.len_utf8())?)?;
        if verb.contains(['*', '[', '#']) {
            return None;
        }
        parts.push(if verb == "%%" { Part::Text("%") } else { Part::Verb(verb) });
        rest = behind;
    }
    parts.push(Part::Text(rest));
    Some(parts)
}

fn is_many(value: &Value) -> bool {
    matches!(value, Value::List(_) | Value::Map(..))
}

fn one(
    verb: &str,
    value: &Value,
    plain: &impl Fn(&str, &Value) -> Result<String, String>,
) -> Result<String, String> {
    let of = |value: &Value| one(verb, value, plain);
    match value {
        Value::Nothing if verb.ends_with('T') => Ok("<nil>".to_owned()),
        _ if verb.ends_with('T') => {
            let name = Value::text(value.type_name());
            plain(&format!("{}s", verb.trim_end_matches('T')), &name)
        }
        Value::List(list) => {
            let items: Vec<String> = list.items.iter().map(of).collect::<Result<_, _>>()?;
            Ok(format!("[{}]", items.join(" ")))
        }
        Value::Map(map, ..) => {
            let entry = |(key, value): (&String, &Value)| {
                Ok(format!("{}:{}", of(&Value::text(key))?, of(value)?))
            };
            let entries: Vec<String> = map.iter().map(entry).collect::<Result<_, String>>()?;
            Ok(format!("map[{}]", entries.join(" ")))
        }
        value => plain(verb, value),
    }
}
