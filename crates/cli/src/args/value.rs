//! Values of flags, parsed as Go's `strconv` and `time` parse them, with their sentences.

use std::collections::BTreeMap;
use std::fmt;

use skopeo_image::ErrorClass;

use super::duration::{self, GoDuration};
use super::handle::Handle;
use super::kind::Kind;
use crate::exit::Classed;
use crate::go;

/// The value of a flag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Value {
    /// Of a switch.
    Switch(bool),
    /// Of a text or the name of an algorithm.
    Text(String),
    /// Of a signed number.
    Int(i64),
    /// Of a number that is not negative.
    Uint(u64),
    /// Of a duration.
    Duration(GoDuration),
    /// Of a list of texts.
    Texts(Vec<String>),
    /// Of a list of numbers.
    Ints(Vec<i64>),
}

#[cfg(test)]
impl From<bool> for Value {
    fn from(on: bool) -> Self {
        Self::Switch(on)
    }
}

#[cfg(test)]
impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

#[cfg(test)]
impl From<Vec<String>> for Value {
    fn from(texts: Vec<String>) -> Self {
        Self::Texts(texts)
    }
}

impl Value {
    /// Whether it is of a kind.
    pub(crate) fn is_of(&self, kind: Kind) -> bool {
        match self {
            Self::Switch(_) => kind == Kind::Switch,
            Self::Text(_) => matches!(kind, Kind::Text | Kind::Algorithm),
            Self::Int(_) => kind == Kind::Int,
            Self::Uint(_) => kind == Kind::Uint,
            Self::Duration(_) => kind == Kind::Duration,
            Self::Texts(_) => matches!(kind, Kind::Texts | Kind::Array),
            Self::Ints(_) => kind == Kind::Ints,
        }
    }

    /// Parses the value of a flag of this kind.
    pub(crate) fn parse(kind: Kind, text: &str) -> Result<Self, String> {
        Ok(match kind {
            Kind::Switch => Self::Switch(parse_bool(text)?),
            Kind::Text | Kind::Algorithm => Self::Text(text.to_owned()),
            Kind::Int => Self::Int(parse_int(text, "ParseInt")?),
            Kind::Uint => Self::Uint(parse_uint(text)?),
            Kind::Duration => Self::Duration(GoDuration(duration::parse(text)?)),
            Kind::Texts => Self::Texts(parse_list(text)),
            Kind::Array => Self::Texts(vec![text.to_owned()]),
            Kind::Ints => Self::Ints(
                text.split(',').map(|part| parse_int(part, "Atoi")).collect::<Result<_, _>>()?,
            ),
        })
    }

    /// What comes of a value given after this one: lists grow, all else is replaced.
    pub(crate) fn followed_by(self, next: Self) -> Self {
        match (self, next) {
            (Self::Texts(mut all), Self::Texts(more)) => {
                all.extend(more);
                Self::Texts(all)
            }
            (Self::Ints(mut all), Self::Ints(more)) => {
                all.extend(more);
                Self::Ints(all)
            }
            (_, next) => next,
        }
    }
}

/// The flags that were given, by their long name.
#[derive(Clone, Default, PartialEq, Eq)]
pub(crate) struct Values(BTreeMap<String, Value>);

impl fmt::Debug for Values {
    /// Only the names: a value may be a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl Values {
    /// Sets a flag by its name, as it was read.
    pub(crate) fn set_read(&mut self, name: &str, value: Value) {
        let value = match self.0.remove(name) {
            Some(old) => old.followed_by(value),
            None => value,
        };
        self.0.insert(name.to_owned(), value);
    }

    /// Sets a flag.
    #[cfg(test)]
    pub(crate) fn set<T: Into<Value>>(&mut self, flag: Handle<T>, value: T) {
        self.set_read(&flag.name(), value.into());
    }

    /// Whether the flag was given.
    pub(crate) fn has<T>(&self, flag: Handle<T>) -> bool {
        self.get(flag).is_some()
    }

    /// Whether a flag of this name was given, as its row in the table has it.
    pub(crate) fn has_key(&self, key: &str) -> bool {
        self.0.contains_key(key)
    }

    /// The value of a flag, if it was given.
    pub(crate) fn get<T>(&self, flag: Handle<T>) -> Option<&Value> {
        self.0.get(&*flag.name())
    }

    /// A switch that is off unless it was given.
    pub(crate) fn switch(&self, flag: Handle<bool>) -> bool {
        self.maybe_switch(flag).unwrap_or_default()
    }

    /// A switch that can be on, off, or not given.
    pub(crate) fn maybe_switch(&self, flag: Handle<bool>) -> Option<bool> {
        match self.get(flag) {
            Some(Value::Switch(on)) => Some(*on),
            _ => None,
        }
    }

    /// A text, if it was given, even if empty.
    pub(crate) fn maybe_text(&self, flag: Handle<String>) -> Option<&str> {
        match self.get(flag) {
            Some(Value::Text(text)) => Some(text),
            _ => None,
        }
    }

    /// A text for which empty is the same as not given.
    pub(crate) fn text(&self, flag: Handle<String>) -> Option<&str> {
        self.maybe_text(flag).filter(|text| !text.is_empty())
    }

    /// All texts of a list; none if it was not given.
    pub(crate) fn texts(&self, flag: Handle<Vec<String>>) -> &[String] {
        match self.get(flag) {
            Some(Value::Texts(texts)) => texts,
            _ => &[],
        }
    }

    pub(crate) fn int(&self, flag: Handle<i64>) -> Option<i64> {
        match self.get(flag) {
            Some(Value::Int(number)) => Some(*number),
            _ => None,
        }
    }

    pub(crate) fn uint(&self, flag: Handle<u64>) -> Option<u64> {
        match self.get(flag) {
            Some(Value::Uint(number)) => Some(*number),
            _ => None,
        }
    }

    /// A list of numbers, empty if it was not given.
    pub(crate) fn ints(&self, flag: Handle<Vec<i64>>) -> &[i64] {
        match self.get(flag) {
            Some(Value::Ints(numbers)) => numbers,
            _ => &[],
        }
    }

    pub(crate) fn duration(&self, flag: Handle<GoDuration>) -> GoDuration {
        match self.get(flag) {
            Some(Value::Duration(duration)) => *duration,
            _ => GoDuration::default(),
        }
    }
}

/// The value of a flag that has to be one of a few words; none if it was not given.
///
/// # Errors
/// If it is another word.
pub(crate) fn choice<'a>(
    values: &Values,
    flag: Handle<String>,
    choices: &[&'a str],
) -> anyhow::Result<Option<&'a str>> {
    let Some(given) = values.maybe_text(flag) else { return Ok(None) };
    if let Some(choice) = choices.iter().find(|choice| **choice == given) {
        return Ok(Some(choice));
    }
    let quoted: Vec<String> = choices.iter().map(|choice| format!("'{choice}'")).collect();
    Err(Classed {
        class: ErrorClass::InvalidInput,
        sentence: format!("unknown value {} of --{flag}", go::quote(given)),
        hint: Some(format!("use one of {}", quoted.join(", "))),
    }
    .into())
}

fn parse_bool(text: &str) -> Result<bool, String> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err(format!("strconv.ParseBool: parsing {}: invalid syntax", go::quote(text))),
    }
}

/// `function` is Go's, as its error names it.
fn parse_int(text: &str, function: &str) -> Result<i64, String> {
    let (negative, digits) = match text.strip_prefix(['-', '+']) {
        Some(digits) => (text.starts_with('-'), digits),
        None => (false, text),
    };
    let range = || format!("strconv.{function}: parsing {}: value out of range", go::quote(text));
    let magnitude = parse_magnitude(digits).map_err(|problem| match problem {
        Magnitude::Syntax => {
            format!("strconv.{function}: parsing {}: invalid syntax", go::quote(text))
        }
        Magnitude::Range => range(),
    })?;
    let signed = i128::from(magnitude);
    i64::try_from(if negative { signed.saturating_neg() } else { signed }).map_err(|_| range())
}

fn parse_uint(text: &str) -> Result<u64, String> {
    parse_magnitude(text).map_err(|problem| {
        let problem = match problem {
            Magnitude::Syntax => "invalid syntax",
            Magnitude::Range => "value out of range",
        };
        format!("strconv.ParseUint: parsing {}: {problem}", go::quote(text))
    })
}

enum Magnitude {
    Syntax,
    Range,
}

/// A number with Go's prefixes (0x, 0o, 0b, a leading 0) and underscores between digits.
fn parse_magnitude(text: &str) -> Result<u64, Magnitude> {
    let lower = text.to_ascii_lowercase();
    let (radix, digits) = if let Some(rest) = lower.strip_prefix("0x") {
        (16, rest)
    } else if let Some(rest) = lower.strip_prefix("0b") {
        (2, rest)
    } else if let Some(rest) = lower.strip_prefix("0o") {
        (8, rest)
    } else if lower.len() > 1 && lower.starts_with('0') {
        (8, &lower[1..])
    } else {
        (10, lower.as_str())
    };
    if digits.is_empty() || digits.ends_with('_') || digits.contains("__") {
        return Err(Magnitude::Syntax);
    }
    if digits.contains('_') && radix == 10 {
        return Err(Magnitude::Syntax); // Go allows them only after a base prefix
    }
    let mut number: u64 = 0;
    for digit in digits.chars().filter(|digit| *digit != '_') {
        let digit = digit.to_digit(radix).ok_or(Magnitude::Syntax)?;
        number = number
            .checked_mul(u64::from(radix))
            .and_then(|number| number.checked_add(u64::from(digit)))
            .ok_or(Magnitude::Range)?;
    }
    Ok(number)
}

/// One line of comma-separated values; double quotes may hold commas.
fn parse_list(text: &str) -> Vec<String> {
    let mut parts = Vec::new();
    let mut part = String::new();
    let mut quoted = false;
    for c in text.chars() {
        match c {
            '"' => quoted = !quoted,
            ',' if !quoted => parts.push(std::mem::take(&mut part)),
            c => part.push(c),
        }
    }
    if !text.is_empty() {
        parts.push(part);
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::names;

    #[test]
    fn values_are_parsed_as_go_parses_them() {
        let good = [
            (Kind::Switch, "T", Value::Switch(true)),
            (Kind::Switch, "False", Value::Switch(false)),
            (Kind::Int, "-0x10", Value::Int(-16)),
            (Kind::Int, "010", Value::Int(8)),
            (Kind::Uint, "0", Value::Uint(0)),
            (Kind::Duration, "1h1m1.5s", Value::Duration(GoDuration(3_661_500_000_000))),
            (Kind::Duration, "-.5ms", Value::Duration(GoDuration(-500_000))),
            (Kind::Duration, "0", Value::Duration(GoDuration(0))),
            (Kind::Texts, "a,\"b,c\"", Value::Texts(vec!["a".into(), "b,c".into()])),
            (Kind::Array, "a{1,2}", Value::Texts(vec!["a{1,2}".into()])),
            (Kind::Ints, "0,-1", Value::Ints(vec![0, -1])),
        ];
        for (kind, text, value) in good {
            assert_eq!(Value::parse(kind, text), Ok(value), "{text}");
        }
        let bad = [
            (Kind::Switch, "yes", "strconv.ParseBool: parsing \"yes\": invalid syntax"),
            (Kind::Int, "x", "strconv.ParseInt: parsing \"x\": invalid syntax"),
            (
                Kind::Int,
                "9223372036854775808",
                "strconv.ParseInt: parsing \"9223372036854775808\": value out of range",
            ),
            (Kind::Uint, "-1", "strconv.ParseUint: parsing \"-1\": invalid syntax"),
            (Kind::Ints, "1,x", "strconv.Atoi: parsing \"x\": invalid syntax"),
            (Kind::Duration, "3", "time: missing unit in duration \"3\""),
            (Kind::Duration, "3x", "time: unknown unit \"x\" in duration \"3x\""),
            (Kind::Duration, "", "time: invalid duration \"\""),
            (
                Kind::Duration,
                "47261439850130342147690917.999999h",
                "time: invalid duration \"47261439850130342147690917.999999h\"",
            ),
        ];
        for (kind, text, sentence) in bad {
            assert_eq!(Value::parse(kind, text), Err(sentence.to_owned()), "{text}");
        }
    }

    #[test]
    fn lists_grow_and_the_last_of_anything_else_wins() {
        let mut values = Values::default();
        values.set(names::PLATFORM, vec!["a".to_owned()]);
        values.set(names::PLATFORM, vec!["b".to_owned()]);
        values.set(names::ALL, true);
        values.set(names::ALL, false);
        assert_eq!(values.texts(names::PLATFORM), ["a", "b"]);
        assert!(!values.switch(names::ALL));
        values.set(names::CREDS, "user:secret".to_owned());
        assert_eq!(format!("{values:?}"), "{\"all\", \"creds\", \"platform\"}");
    }
}
