//! Flags that a report or a plan keeps, so that another run does its work in the same way.

use anyhow::{Result, bail};
use serde_json::Value as Json;
use skopeo_sync::report::Recorded;

use super::command::Command;
use super::value::{GoDuration, Value, Values};
use crate::go;

/// Those of `names` that were given.
pub(crate) fn record(values: &Values, names: &[&str]) -> Recorded {
    let given = names.iter().filter_map(|name| Some(((*name).to_owned(), values.get(name)?)));
    given.map(|(name, value)| (name, json(value))).collect()
}

/// The flags that were given, and those that were recorded of others, in a file of this `kind`.
///
/// # Errors
/// If what was recorded are no such flags of the command.
pub(crate) fn recall<'a>(
    values: &Values,
    recorded: impl Iterator<Item = (&'a String, &'a Json)>,
    names: &[&str],
    command: &Command,
    kind: &str,
) -> Result<Values> {
    let mut all = values.clone();
    for (name, json) in recorded {
        let flag = command.flags.iter().find(|flag| flag.name == *name);
        let value = flag.filter(|_| names.contains(&name.as_str())).and_then(|flag| {
            let value = value(json)?;
            // What the flag makes of its own words must be of the same kind.
            let same = |other| std::mem::discriminant(&value) == std::mem::discriminant(&other);
            let of_kind = ["true", "1", "1s", "a"].iter().find_map(|it| flag.parse(it).ok());
            of_kind.is_some_and(same).then_some(value)
        });
        match value {
            Some(value) if !values.has(name) => all.set(name, value),
            Some(_) => {}
            None => bail!("{} is no option that a {kind} has", go::quote(name)),
        }
    }
    Ok(all)
}

fn json(value: &Value) -> Json {
    match value {
        Value::Switch(on) => (*on).into(),
        Value::Text(text) => text.as_str().into(),
        Value::Int(number) | Value::Duration(GoDuration(number)) => (*number).into(),
        Value::Uint(number) => (*number).into(),
        Value::Texts(texts) => texts.as_slice().into(),
        Value::Ints(numbers) => numbers.as_slice().into(),
    }
}

/// Of switches, texts and lists of texts, which are all that is recorded.
fn value(json: &Json) -> Option<Value> {
    match json {
        Json::Bool(on) => Some(Value::Switch(*on)),
        Json::String(text) => Some(Value::Text(text.clone())),
        Json::Array(texts) => {
            let texts = texts.iter().map(|text| text.as_str().map(str::to_owned));
            Some(Value::Texts(texts.collect::<Option<_>>()?))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn flags_come_back_unless_they_are_given_again() {
        let tree = super::super::tree(None);
        let command = tree.find("sync").unwrap();
        let names = ["all", "format", "platform", "src-tls-verify"];
        let mut values = Values::default();
        values.set("all", Value::Switch(true));
        values.set("format", Value::Text("oci".to_owned()));
        values.set("src-creds", Value::Text("user:secret".to_owned()));
        values.set("platform", Value::Texts(vec!["linux/amd64".to_owned()]));
        let recorded = record(&values, &names);
        let shown = json!({"all": true, "format": "oci", "platform": ["linux/amd64"]});
        assert_eq!(serde_json::to_value(&recorded).unwrap(), shown);
        let mut given = Values::default();
        given.set("format", Value::Text("v2s2".to_owned()));
        let all = recall(&given, recorded.iter(), &names, command, "report").unwrap();
        assert!(all.switch("all"));
        assert_eq!(all.text("format"), Some("v2s2"));
        assert_eq!(all.texts("platform"), ["linux/amd64"]);
        for wrong in [json!({"src-creds": "x"}), json!({"all": "yes"}), json!({"nonsense": true})] {
            let recorded: Recorded = serde_json::from_value(wrong).unwrap();
            assert!(recall(&given, recorded.iter(), &names, command, "report").is_err());
        }
    }
}
