//! What a signature says: the payload of simple signing, and cosign's of the same shape.
//!
//! It is read strictly: whoever signed it meant every member, so one that is not understood, or is
//! there twice, makes the whole payload mean nothing.

use serde_json::value::RawValue;
use skopeo_image::Digest;

use crate::strict::{self, Fields};

/// A statement that a manifest may be used under a name.
///
/// Reading one proves nothing: who signed its bytes does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Payload {
    /// The name, as it was signed: not normalized, and not necessarily a reference at all.
    pub docker_reference: String,
    /// The manifest's digest.
    pub digest: Digest,
    /// The program that signed, if it said.
    pub creator: Option<String>,
    /// When that was, in seconds since 1970, if it said.
    pub timestamp: Option<i64>,
}

/// Why bytes are no payload, in the original's words.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct PayloadError(pub(crate) String);

/// Whose payload is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Simple,
    Cosign,
}

impl Payload {
    /// Reads the payload of a simple signature.
    ///
    /// # Errors
    ///
    /// It is not exactly such a payload.
    pub fn parse_simple(bytes: &[u8]) -> Result<Self, PayloadError> {
        parse(bytes, Form::Simple).map_err(PayloadError)
    }

    /// Reads the payload of a sigstore signature.
    ///
    /// # Errors
    ///
    /// It is not exactly such a payload.
    pub fn parse_cosign(bytes: &[u8]) -> Result<Self, PayloadError> {
        parse(bytes, Form::Cosign).map_err(PayloadError)
    }
}

impl Form {
    fn type_name(self) -> &'static str {
        match self {
            Self::Simple => "atomic container signature",
            Self::Cosign => "cosign container image signature",
        }
    }
}

fn parse(bytes: &[u8], form: Form) -> Result<Payload, String> {
    let mut root = Fields::parse(strict::document(bytes)?)?;
    let critical = root.take("critical");
    let optional = root.take("optional");
    root.finish()?;
    let (critical, optional) = (require(critical, "critical")?, require(optional, "optional")?);

    let (creator, timestamp) = optional_members(optional, form)?;

    let mut fields = Fields::parse(critical)?;
    let name = fields.take("type");
    let image = fields.take("image");
    let identity = fields.take("identity");
    fields.finish()?;
    let name = strict::string(require(name, "type")?)?;
    let (image, identity) = (require(image, "image")?, require(identity, "identity")?);
    if name != form.type_name() {
        return Err(format!("Unrecognized signature type {name}"));
    }
    let text = only_member(image, "docker-manifest-digest")?;
    let digest = text
        .parse()
        .map_err(|error| format!("invalid docker-manifest-digest value {text:?}: {error}"))?;
    let docker_reference = only_member(identity, "docker-reference")?;
    Ok(Payload { docker_reference, digest, creator, timestamp })
}

/// What may stand in `optional` beside anything else.
fn optional_members(
    optional: &RawValue,
    form: Form,
) -> Result<(Option<String>, Option<i64>), String> {
    // cosign writes `null` where it has nothing to say.
    if form == Form::Cosign && optional.get() == "null" {
        return Ok((None, None));
    }
    let mut fields = Fields::parse(optional)?;
    let creator = fields.take("creator").map(strict::string).transpose()?;
    let timestamp = fields.take("timestamp").map(strict::number).transpose()?;
    let timestamp = timestamp.map(whole).transpose()?;
    for (_, other) in fields.into_entries() {
        // Nobody looks at it, but it has to be something: 1e600 is no number.
        strict::value::<serde_json::Value>(other)?;
    }
    Ok((creator, timestamp))
}

/// A number without a fraction, within what a count of seconds can be.
#[expect(
    clippy::as_conversions,
    clippy::cast_possible_truncation,
    reason = "no fraction, and compared with the limits before"
)]
fn whole(number: f64) -> Result<i64, String> {
    // 2^63; all smaller floats without fraction are integers of 64 bits.
    const LIMIT: f64 = 9_223_372_036_854_775_808.0;
    if number.fract() == 0.0 && (-LIMIT..LIMIT).contains(&number) {
        Ok(number as i64)
    } else {
        Err("Field optional.timestamp is not an integer".to_owned())
    }
}

fn only_member(object: &RawValue, key: &str) -> Result<String, String> {
    let mut fields = Fields::parse(object)?;
    let member = fields.take(key);
    fields.finish()?;
    strict::string(require(member, key)?)
}

fn require<'a>(member: Option<&'a RawValue>, key: &str) -> Result<&'a RawValue, String> {
    member.ok_or_else(|| format!("Key {key:?} missing in a JSON object"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGEST: &str = "sha256:20bf21ed457b390829cdbeec8795a7bea1626991fda603e0d01b4e7f60427e55";
    const VALID: &str = r#"{"critical":{"identity":{"docker-reference":"testing/manifest"},"image":{"docker-manifest-digest":"DIGEST"},"type":"TYPE"},"optional":{"creator":"atomic 1","timestamp":1458239713}}"#;

    fn valid(form: Form) -> String {
        VALID.replace("DIGEST", DIGEST).replace("TYPE", form.type_name())
    }

    #[test]
    fn both_forms_are_read() {
        for (form, parse) in [
            (Form::Simple, Payload::parse_simple as fn(&[u8]) -> _),
            (Form::Cosign, Payload::parse_cosign),
        ] {
            let payload = parse(valid(form).as_bytes()).unwrap();
            assert_eq!(payload.docker_reference, "testing/manifest");
            assert_eq!(payload.digest.as_str(), DIGEST);
            assert_eq!(payload.creator.as_deref(), Some("atomic 1"));
            assert_eq!(payload.timestamp, Some(1_458_239_713));
        }
        assert!(Payload::parse_simple(valid(Form::Cosign).as_bytes()).is_err());
        assert!(Payload::parse_cosign(valid(Form::Simple).as_bytes()).is_err());
    }

    #[test]
    fn what_is_not_exactly_a_payload_is_refused() {
        let optional = r#"{"creator":"atomic 1","timestamp":1458239713}"#;
        for (from, to, expected) in [
            // The frame
            (r#"{"critical""#, r#"{"x":1,"critical""#, r#"Unknown key "x""#),
            (r#"{"critical""#, r#"{"critical":{},"critical""#, r#"Duplicate key "critical""#),
            (r#""optional""#, r#""Optional""#, r#"Unknown key "Optional""#),
            // The members
            (r#""type""#, r#""Type""#, r#"Unknown key "Type""#),
            (r#""type""#, r#""extra":null,"type""#, r#"Unknown key "extra""#),
            (
                r#""atomic container signature""#,
                "1",
                "json: cannot unmarshal number into Go value of type string",
            ),
            ("atomic container signature", "other", "Unrecognized signature type other"),
            (
                r#"{"docker-manifest-digest""#,
                r#"{"x":"","docker-manifest-digest""#,
                r#"Unknown key "x""#,
            ),
            (
                DIGEST,
                "sha256:x",
                r#"invalid docker-manifest-digest value "sha256:x": invalid checksum digest length"#,
            ),
            (
                r#""testing/manifest""#,
                "[]",
                "json: cannot unmarshal array into Go value of type string",
            ),
            (
                r#"{"docker-reference":"testing/manifest"}"#,
                "[]",
                r#"JSON object expected, got "[""#,
            ),
            (
                r#"{"docker-reference":"testing/manifest"}"#,
                "{}",
                r#"Key "docker-reference" missing in a JSON object"#,
            ),
            // What may be there
            (optional, "null", "JSON object expected, got <nil>"),
            (optional, "1", "JSON object expected, got 1"),
            (optional, r#"{"x":1,"x":1}"#, r#"Duplicate key "x""#),
            (r#""atomic 1""#, "true", "json: cannot unmarshal bool into Go value of type string"),
            ("1458239713", r#""1""#, "json: cannot unmarshal string into Go value of type float64"),
            ("1458239713", "1.5", "Field optional.timestamp is not an integer"),
            ("1458239713", "1e300", "Field optional.timestamp is not an integer"),
            (
                r#""timestamp""#,
                r#""x":1e600,"timestamp""#,
                "number out of range at line 1 column 5",
            ),
        ] {
            let text = valid(Form::Simple).replacen(from, to, 1);
            let error = Payload::parse_simple(text.as_bytes()).unwrap_err();
            assert_eq!(error.to_string(), expected, "{text}");
        }
        for (text, expected) in [
            ("", "unexpected end of JSON input"),
            ("{", "unexpected end of JSON input"),
            ("null", "JSON object expected, got <nil>"),
            ("{}", r#"Key "critical" missing in a JSON object"#),
            ("{}{}", "invalid character '{' after top-level value"),
        ] {
            let error = Payload::parse_simple(text.as_bytes()).unwrap_err();
            assert_eq!(error.to_string(), expected, "{text}");
        }
    }

    #[test]
    fn what_is_optional_may_be_anything_else() {
        for (optional, creator, timestamp) in [
            ("{}", None, None),
            (r#"{"x":{"y":1,"y":1}}"#, None, None),
            (r#"{"creator":null,"timestamp":null}"#, Some(""), Some(0)),
            (r#"{"timestamp":1e0}"#, None, Some(1)),
            (r#"{"timestamp":-1}"#, None, Some(-1)),
        ] {
            let text = valid(Form::Simple)
                .replace(r#"{"creator":"atomic 1","timestamp":1458239713}"#, optional);
            let payload = Payload::parse_simple(text.as_bytes()).unwrap();
            assert_eq!(payload.creator.as_deref(), creator, "{optional}");
            assert_eq!(payload.timestamp, timestamp, "{optional}");
        }
        let text =
            valid(Form::Cosign).replace(r#"{"creator":"atomic 1","timestamp":1458239713}"#, "null");
        assert_eq!(Payload::parse_cosign(text.as_bytes()).unwrap().creator, None);
    }
}
