//! Flags that a report or a plan keeps, so that another run does its work in the same way.
//!
//! `lowered` is what such a file lowers of what the command line asks for.

mod lowered;

use std::borrow::Cow;

use anyhow::{Result, bail};
use serde_json::Value as Json;
use skopeo_image::ErrorClass;
use skopeo_sync::report::Recorded;

use super::duration::GoDuration;
use super::handle::{Handle, Prefix};
use super::value::{Value, Values};
use super::{names, naming, tags};
use crate::exit::Classed;
use crate::go;

pub(crate) use lowered::Lowered;

/// The flags that a plan keeps, and a report too: they say no secret, and are needed to do the same
/// again. Names, places and platforms are in the plan itself.
const PLANNED: [Handle<()>; 13] = [
    names::CERT_DIR.of(Prefix::Destination).any(),
    names::TLS_VERIFY.of(Prefix::Destination).any(),
    names::FORMAT.any(),
    names::OVERWRITE.any(),
    names::PRESERVE_DIGESTS.any(),
    names::REMOVE_LIST_SIGNATURES.any(),
    names::REMOVE_SIGNATURES.any(),
    names::SIGN_BY.any(),
    names::SIGN_BY_SIGSTORE.any(),
    names::SIGN_BY_SIGSTORE_PRIVATE_KEY.any(),
    names::SIGN_PASSPHRASE_FILE.any(),
    names::CERT_DIR.of(Prefix::Source).any(),
    names::TLS_VERIFY.of(Prefix::Source).any(),
];

/// The flags that only a report keeps.
const REPORTED: [Handle<()>; 12] = [
    names::ALL.any(),
    names::AUTHFILE.any(),
    names::DEST.any(),
    names::AUTHFILE.of(Prefix::Destination).any(),
    names::NO_CREDS.of(Prefix::Destination).any(),
    names::PLATFORM.any(),
    names::REFERRERS.any(),
    names::SRC.any(),
    names::AUTHFILE.of(Prefix::Source).any(),
    names::NO_CREDS.of(Prefix::Source).any(),
    names::TLS_VERIFY.any(),
    names::TO.any(),
];

/// What is taken of the sources, beside the flags that choose tags and make names: no run decides it
/// once more.
const TAKEN: [Handle<()>; 4] =
    [names::ALL.any(), names::PLATFORM.any(), names::REPOS.any(), names::SHARD.any()];

/// Where images come from and go to, and by what digests: all that only a plan says itself.
const PLACED: [Handle<()>; 5] =
    [names::DEST.any(), names::LOCK.any(), names::LOCKED.any(), names::SRC.any(), names::TO.any()];

/// A file that a run takes its flags from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kept {
    /// `--plan`.
    Plan,
    /// `--retry-failed`.
    Report,
}

impl Kept {
    /// The flags that the file may have.
    fn flags(self) -> impl Iterator<Item = Handle<()>> {
        let more = match self {
            Self::Plan => &[][..],
            Self::Report => &REPORTED,
        };
        PLANNED.into_iter().chain(more.iter().copied())
    }

    /// Returns those of the flags that the file is to keep.
    pub(crate) fn record(self, given: &Values) -> Recorded {
        let given = self.flags().filter_map(|flag| Some((flag.to_string(), given.get(flag)?)));
        given.map(|(name, value)| (name, json(value))).collect()
    }

    /// Returns the flags of the command line, and those of the file that it does not have.
    ///
    /// # Errors
    /// If the file has other flags.
    pub(crate) fn recall(self, given: &Values, kept: &Recorded) -> Result<Values> {
        let mut all = given.clone();
        for (name, json) in kept {
            let flag = self.flags().find(|flag| flag.name() == name.as_str());
            match flag.zip(value(json)).filter(|(flag, value)| value.is_of(flag.kind())) {
                Some((flag, value)) if !given.has(flag) => all.set_read(name, value),
                Some(_) => {}
                None => bail!("{} is not an option of a {}", go::quote(name), self.word()),
            }
        }
        Ok(all)
    }

    /// Returns an error if the command line has flags that count for nothing beside the file.
    pub(crate) fn check(self, given: &Values) -> Result<()> {
        let (more, file) = match self {
            Self::Plan => (&PLACED[..], "--plan, which decides this"),
            Self::Report => (&[][..], "--retry-failed, whose report decides this"),
        };
        let (naming, choosing) = (naming::flags(), tags::syncing());
        let rows = naming.iter().chain(&choosing).map(|row| Cow::Borrowed(row.key()));
        let mut keys = rows.chain(TAKEN.iter().chain(more).map(|flag| flag.name()));
        let Some(flag) = keys.find(|key| given.has_key(key)) else { return Ok(()) };
        let sentence = format!("--{flag} cannot be used with {file}");
        Err(Classed { class: ErrorClass::InvalidInput, sentence, hint: None }.into())
    }

    /// What the file is called.
    fn word(self) -> &'static str {
        match self {
            Self::Plan => "plan",
            Self::Report => "report",
        }
    }
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
        let mut values = Values::default();
        values.set(names::ALL, true);
        values.set(names::FORMAT, "oci".to_owned());
        values.set(names::CREDS.of(Prefix::Source), "user:secret".to_owned());
        values.set(names::PLATFORM, vec!["linux/amd64".to_owned()]);
        let recorded = Kept::Report.record(&values);
        let shown = json!({"all": true, "format": "oci", "platform": ["linux/amd64"]});
        assert_eq!(serde_json::to_value(&recorded).unwrap(), shown);
        let mut given = Values::default();
        given.set(names::FORMAT, "v2s2".to_owned());
        let all = Kept::Report.recall(&given, &recorded).unwrap();
        assert!(all.switch(names::ALL));
        assert_eq!(all.text(names::FORMAT), Some("v2s2"));
        assert_eq!(all.texts(names::PLATFORM), ["linux/amd64"]);
        for wrong in [json!({"src-creds": "x"}), json!({"all": "yes"}), json!({"nonsense": true})] {
            let recorded: Recorded = serde_json::from_value(wrong).unwrap();
            assert!(Kept::Report.recall(&given, &recorded).is_err());
        }
    }

    #[test]
    fn a_plan_has_no_secrets_and_no_flags_of_a_report() {
        let mut values = Values::default();
        values.set(names::PRESERVE_DIGESTS, true);
        values.set(names::CREDS.of(Prefix::Destination), "u:secret".to_owned());
        values.set(names::ALL, true);
        let recorded = Kept::Plan.record(&values);
        assert_eq!(serde_json::to_value(&recorded).unwrap(), json!({"preserve-digests": true}));
        let mut given = Values::default();
        given.set(names::PRESERVE_DIGESTS, false);
        assert!(!Kept::Plan.recall(&given, &recorded).unwrap().switch(names::PRESERVE_DIGESTS));
        for wrong in [json!({"dest-creds": "u:p"}), json!({"format": true}), json!({"all": true})] {
            let recorded: Recorded = serde_json::from_value(wrong).unwrap();
            assert!(Kept::Plan.recall(&given, &recorded).is_err());
        }
    }
}
