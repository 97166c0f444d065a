//! Flags that a report or a plan keeps, so that another run does its work in the same way.

use anyhow::{Result, bail};
use serde_json::Value as Json;
use skopeo_sync::report::Recorded;

use super::duration::GoDuration;
use super::handle::Handle;
use super::value::{Value, Values};
use crate::go;

/// Those of these flags that were given.
pub(crate) fn record(values: &Values, flags: &[Handle<()>]) -> Recorded {
    let given = flags.iter().filter_map(|flag| Some((flag.to_string(), values.get(*flag)?)));
    given.map(|(name, value)| (name, json(value))).collect()
}

/// The flags that were given, and those that were recorded of others, in a file of this `kind`.
///
/// # Errors
/// If what was recorded are none of these flags.
pub(crate) fn recall<'a>(
    values: &Values,
    recorded: impl Iterator<Item = (&'a String, &'a Json)>,
    flags: &[Handle<()>],
    kind: &str,
) -> Result<Values> {
    let mut all = values.clone();
    for (name, json) in recorded {
        let flag = flags.iter().find(|flag| flag.name() == name.as_str());
        match flag.zip(value(json)).filter(|(flag, value)| value.is_of(flag.kind())) {
            Some((flag, value)) if !values.has(*flag) => all.set_read(name, value),
            Some(_) => {}
            None => bail!("{} is not an option of a {kind}", go::quote(name)),
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
    use crate::args::handle::Prefix;
    use crate::args::names;

    #[test]
    fn flags_come_back_unless_they_are_given_again() {
        let verify = names::TLS_VERIFY.of(Prefix::Source);
        let flags = [names::ALL.any(), names::FORMAT.any(), names::PLATFORM.any(), verify.any()];
        let mut values = Values::default();
        values.set(names::ALL, true);
        values.set(names::FORMAT, "oci".to_owned());
        values.set(names::CREDS.of(Prefix::Source), "user:secret".to_owned());
        values.set(names::PLATFORM, vec!["linux/amd64".to_owned()]);
        let recorded = record(&values, &flags);
        let shown = json!({"all": true, "format": "oci", "platform": ["linux/amd64"]});
        assert_eq!(serde_json::to_value(&recorded).unwrap(), shown);
        let mut given = Values::default();
        given.set(names::FORMAT, "v2s2".to_owned());
        let all = recall(&given, recorded.iter(), &flags, "report").unwrap();
        assert!(all.switch(names::ALL));
        assert_eq!(all.text(names::FORMAT), Some("v2s2"));
        assert_eq!(all.texts(names::PLATFORM), ["linux/amd64"]);
        for wrong in [json!({"src-creds": "x"}), json!({"all": "yes"}), json!({"nonsense": true})] {
            let recorded: Recorded = serde_json::from_value(wrong).unwrap();
            assert!(recall(&given, recorded.iter(), &flags, "report").is_err());
        }
    }
}
