//! What the envelope of a bundle says: an in-toto statement about the image.

use serde::Deserialize;
use serde_json::value::RawValue;
use skopeo_image::{Digest, RawManifest};

use super::bundle::Envelope;
use crate::strict::{self, Fields};

/// What cosign's signatures are called; anything else that its key signed (where something was
/// built, what is in it) is about the image, and no signature.
pub(crate) const PREDICATE: &str = "https://sigstore.dev/cosign/sign/v1";

/// The media type of statements.
pub(crate) const PAYLOAD_TYPE: &str = "application/vnd.in-toto+json";

/// What statements call themselves.
pub(crate) const STATEMENT: &str = "https://in-toto.io/Statement/v1";
const OLDER: &str = "https://in-toto.io/Statement/v0.1";

/// More is in no statement.
const MAX_SUBJECTS: usize = 1024;
const MAX_DIGESTS: usize = 32;

/// What an in-toto descriptor may have beside name and digest.
const OTHERS: [&str; 5] = ["uri", "content", "downloadLocation", "mediaType", "annotations"];

/// The bytes that are signed of an envelope (DSSE's "pre-authentication encoding").
pub(crate) fn signed_bytes(payload_type: &str, payload: &[u8]) -> Vec<u8> {
    let head = format!("DSSEv1 {} {payload_type} {} ", payload_type.len(), payload.len());
    [head.as_bytes(), payload].concat()
}

/// The one signature of an envelope.
pub(super) fn signature(envelope: &Envelope) -> Result<&[u8], String> {
    if envelope.payload_type != PAYLOAD_TYPE {
        return Err(format!("its envelope has {:?}", envelope.payload_type));
    }
    match envelope.signatures.as_slice() {
        [one] => Ok(&one.sig.0),
        several => Err(format!("its envelope has {} signatures", several.len())),
    }
}

/// What somebody signed about images.
#[derive(Debug)]
pub(crate) struct Statement {
    pub(crate) predicate_type: String,
    pub(crate) subjects: Vec<Subject>,
}

/// What a statement is about.
#[derive(Debug)]
pub(crate) struct Subject {
    pub(crate) name: Option<String>,
    /// The digests whose algorithms are known here.
    pub(crate) digests: Vec<Digest>,
}

impl Statement {
    /// Reads it strictly: who signed it meant every member.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, String> {
        let mut fields = Fields::parse(strict::document(bytes)?)?;
        let kind = strict::string(fields.require("_type")?)?;
        let predicate_type = strict::string(fields.require("predicateType")?)?;
        let subjects = fields.require("subject")?;
        if let Some(predicate) = fields.take("predicate") {
            strict::value::<serde_json::Value>(predicate)?;
        }
        fields.finish()?;
        if kind != STATEMENT && kind != OLDER {
            return Err(format!("Unrecognized statement type {kind:?}"));
        }
        let subjects: Vec<&RawValue> = Deserialize::deserialize(subjects)
            .map_err(|error: serde_json::Error| error.to_string())?;
        if subjects.len() > MAX_SUBJECTS {
            return Err(format!("it is about more than {MAX_SUBJECTS} things"));
        }
        let subjects = subjects.into_iter().map(Subject::parse).collect::<Result<_, _>>()?;
        Ok(Self { predicate_type, subjects })
    }

    /// What it says about a manifest.
    pub(super) fn about(&self, manifest: &RawManifest) -> Vec<&Subject> {
        let is_it = |digest: &Digest| manifest.has_digest(digest).unwrap_or(false);
        self.subjects.iter().filter(|it| it.digests.iter().any(is_it)).collect()
    }
}

impl Subject {
    fn parse(raw: &RawValue) -> Result<Self, String> {
        let mut fields = Fields::parse(raw)?;
        let name = fields.text("name")?;
        let digests = Fields::parse(fields.require("digest")?)?.into_entries();
        for other in OTHERS {
            if let Some(value) = fields.take(other) {
                strict::value::<serde_json::Value>(value)?;
            }
        }
        fields.finish()?;
        if digests.len() > MAX_DIGESTS {
            return Err(format!("one of its subjects has more than {MAX_DIGESTS} digests"));
        }
        let mut known = Vec::new();
        for (algorithm, hex) in digests {
            let hex = strict::string(hex)?;
            // Others are named, too: a commit, a tree of files.
            if algorithm == "sha256" || algorithm == "sha512" {
                let text = format!("{algorithm}:{hex}");
                known.push(text.parse().map_err(|error| format!("{text:?}: {error}"))?);
            }
        }
        Ok(Self { name, digests: known })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signed_bytes_are_those_of_the_standard() {
        let bytes = signed_bytes("http://example.com/HelloWorld", b"hello world");
        assert_eq!(bytes, b"DSSEv1 29 http://example.com/HelloWorld 11 hello world");
    }

    #[test]
    fn statements_are_read_strictly() {
        let hex = "ab".repeat(32);
        let good = format!(
            r#"{{"_type":"{STATEMENT}","subject":[{{"name":"n","digest":{{"sha256":"{hex}","gitCommit":"x"}}}}],"predicateType":"{PREDICATE}","predicate":{{}}}}"#
        );
        let read = Statement::parse(good.as_bytes()).unwrap();
        assert_eq!(read.predicate_type, PREDICATE);
        assert_eq!(read.subjects[0].name.as_deref(), Some("n"));
        assert_eq!(read.subjects[0].digests.len(), 1);
        for (from, to, sentence) in [
            ("Statement/v1", "Statement/v2", "Unrecognized statement type"),
            ("\"_type\"", "\"x\":1,\"_type\"", "Unknown key \"x\""),
            ("\"name\"", "\"x\":1,\"name\"", "Unknown key \"x\""),
            ("\"name\":\"n\"", "\"name\":\"n\",\"name\":\"m\"", "Duplicate key \"name\""),
            ("\"digest\"", "\"uri\"", "Key \"digest\" missing"),
            (&*hex, "ab", "sha256:ab"),
            (&*hex, &*hex.to_uppercase(), "sha256:AB"),
            ("[{", "[1,{", "JSON object expected, got 1"),
            ("}}", "}}x", "invalid character 'x'"),
        ] {
            let refused = if to == "}}x" {
                Statement::parse(format!("{good}x").as_bytes()).unwrap_err()
            } else {
                Statement::parse(good.replacen(from, to, 1).as_bytes()).unwrap_err()
            };
            assert!(refused.contains(sentence), "{refused}");
        }
        let many = format!(r#"[{}1]"#, "1,".repeat(MAX_SUBJECTS));
        let many = format!(r#"{{"_type":"{STATEMENT}","subject":{many},"predicateType":"x"}}"#);
        assert!(Statement::parse(many.as_bytes()).unwrap_err().contains("more than 1024"));
    }
}
