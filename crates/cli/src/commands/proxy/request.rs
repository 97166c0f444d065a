//! What a client asks: one packet, one request.

use serde::Deserialize;
use serde_json::Value;
use skopeo_image::{Digest, DigestError, go_json};

/// The largest packet, in bytes, in either direction.
pub(crate) const MAX_PACKET: usize = 32 * 1024;

/// The largest whole number that all JSON readers agree on.
const MAX_NUMBER: u64 = (1 << 53) - 1;

/// How an image is called once it is open; never zero.
pub(crate) type ImageId = u64;

/// What a client asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Request {
    /// The first of all.
    Initialize,
    /// Opens the image of that name.
    OpenImage {
        name: String,
        missing: Missing,
    },
    CloseImage(ImageId),
    GetManifest(ImageId),
    GetFullConfig(ImageId),
    GetConfig(ImageId),
    /// A blob, verified here.
    GetBlob {
        image: ImageId,
        digest: Digest,
        size: u64,
    },
    /// A blob that the client verifies.
    GetRawBlob {
        image: ImageId,
        digest: Digest,
    },
    GetLayerInfo(ImageId),
    GetLayerInfoPiped(ImageId),
    /// Waits until all is written into that pipe.
    FinishPipe(u64),
    /// The last of all.
    Shutdown,
}

/// What it means that an image is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Missing {
    IsAnError,
    IsAnAnswer,
}

/// Why a request is none. Where clients may know a sentence of the original, it is that one.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refusal {
    #[error("invalid request: more than {MAX_PACKET} bytes")]
    TooLong,
    #[error("invalid request: {0}")]
    Json(serde_json::Error),
    #[error("unknown method: {0}")]
    UnknownMethod(String),
    #[error("client error: must invoke Initialize")]
    NotInitialized,
    #[error("already initialized")]
    Initialized,
    #[error("invalid request, expecting zero arguments")]
    NoneExpected,
    #[error("invalid request, expecting {expected}, found {found} arguments")]
    Count { expected: &'static str, found: usize },
    #[error("expecting string {what}, not {found}")]
    NoText { what: &'static str, found: &'static str },
    #[error("expecting numeric, not {0}")]
    NoNumber(&'static str),
    #[error("out of range integer for numeric {0}")]
    OutOfRange(String),
    #[error(transparent)]
    Digest(#[from] DigestError),
    #[error("invalid imageid value of zero")]
    ZeroImage,
}

impl Refusal {
    /// Whether the method is known, has to wait for [`Request::Initialize`], and was only called
    /// wrongly.
    pub(crate) fn is_about_arguments(&self) -> bool {
        !matches!(self, Self::TooLong | Self::Json(_) | Self::UnknownMethod(_) | Self::NoneExpected)
    }
}

/// A packet as Go reads it: keys in any case, what is unknown ignored, `null` as nothing.
#[derive(Deserialize)]
#[serde(default)]
#[derive(Default)]
struct Packet {
    method: String,
    args: Vec<Value>,
}

impl Request {
    /// Reads a packet.
    ///
    /// # Errors
    /// If it is no JSON, names no method, or has not the arguments of its method.
    pub(crate) fn parse(packet: &[u8]) -> Result<Self, Refusal> {
        let Packet { method, args } = go_json::from_slice(packet).map_err(Refusal::Json)?;
        let args = Arguments(&args);
        Ok(match method.as_str() {
            "Initialize" if args.0.is_empty() => Self::Initialize,
            "Initialize" => return Err(Refusal::NoneExpected),
            "OpenImage" => Self::OpenImage { name: args.name()?, missing: Missing::IsAnError },
            "OpenImageOptional" => {
                Self::OpenImage { name: args.name()?, missing: Missing::IsAnAnswer }
            }
            "CloseImage" => Self::CloseImage(args.only_image()?),
            "GetManifest" => Self::GetManifest(args.only_image()?),
            "GetFullConfig" => Self::GetFullConfig(args.only_image()?),
            "GetConfig" => Self::GetConfig(args.only_image()?),
            "GetBlob" => {
                let [id, blob, size] = args.exactly("(imgid, digest, size)")?;
                Self::GetBlob { image: image(id)?, digest: digest(blob)?, size: number(size)? }
            }
            "GetRawBlob" => {
                let [id, blob] = args.exactly("(imgid, digest)")?;
                Self::GetRawBlob { image: image(id)?, digest: digest(blob)? }
            }
            "GetLayerInfo" => Self::GetLayerInfo(args.only_image()?),
            "GetLayerInfoPiped" => Self::GetLayerInfoPiped(args.only_image()?),
            "FinishPipe" => {
                let [pipe] = args.exactly("(pipeid)")?;
                Self::FinishPipe(number(pipe)?)
            }
            // Whoever wants to end is not argued with.
            "Shutdown" => Self::Shutdown,
            _ => return Err(Refusal::UnknownMethod(method)),
        })
    }

    /// Whether it makes sense before [`Self::Initialize`].
    pub(crate) fn may_be_first(&self) -> bool {
        matches!(self, Self::Initialize | Self::FinishPipe(_) | Self::Shutdown)
    }
}

struct Arguments<'a>(&'a [Value]);

impl<'a> Arguments<'a> {
    fn exactly<const N: usize>(&self, expected: &'static str) -> Result<&'a [Value; N], Refusal> {
        self.0.try_into().map_err(|_| Refusal::Count { expected, found: self.0.len() })
    }

    fn name(&self) -> Result<String, Refusal> {
        let [name] = self.exactly("one argument")?;
        Ok(text(name, "imageref")?.to_owned())
    }

    fn only_image(&self) -> Result<ImageId, Refusal> {
        let [id] = self.exactly("(imgid)")?;
        image(id)
    }
}

fn image(value: &Value) -> Result<ImageId, Refusal> {
    match number(value)? {
        0 => Err(Refusal::ZeroImage),
        id => Ok(id),
    }
}

fn digest(value: &Value) -> Result<Digest, Refusal> {
    Ok(text(value, "blobid")?.parse()?)
}

fn text<'a>(value: &'a Value, what: &'static str) -> Result<&'a str, Refusal> {
    value.as_str().ok_or_else(|| Refusal::NoText { what, found: type_of(value) })
}

/// A whole number, however it is written: `1`, `1.0` and `1e0` are the same to JSON.
fn number(value: &Value) -> Result<u64, Refusal> {
    let Value::Number(number) = value else { return Err(Refusal::NoNumber(type_of(value))) };
    let out_of_range = || Refusal::OutOfRange(number.to_string());
    let whole = match (number.as_u64(), number.as_f64()) {
        (Some(whole), _) => whole,
        (None, Some(float)) if float >= 0.0 && float.fract() == 0.0 => {
            // Exact: what is too large for it would have more digits.
            format!("{float:.0}").parse().map_err(|_| out_of_range())?
        }
        _ => return Err(out_of_range()),
    };
    if whole > MAX_NUMBER { Err(out_of_range()) } else { Ok(whole) }
}

/// The type as Go calls it.
fn type_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "<nil>",
        Value::Bool(_) => "bool",
        Value::Number(_) => "float64",
        Value::String(_) => "string",
        Value::Array(_) => "[]interface {}",
        Value::Object(_) => "map[string]interface {}",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(packet: &str) -> Result<Request, String> {
        Request::parse(packet.as_bytes()).map_err(|refusal| refusal.to_string())
    }

    #[test]
    fn every_method_is_read() {
        let digest = Digest::sha256(b"x");
        let call = |method: &str, args: &str| {
            said(&format!(r#"{{"method":"{method}","args":{args}}}"#)).unwrap()
        };
        let name = "docker://x".to_owned();
        for (method, args, request) in [
            ("Initialize", "[]".to_owned(), Request::Initialize),
            ("Initialize", "null".to_owned(), Request::Initialize),
            (
                "OpenImage",
                r#"["docker://x"]"#.to_owned(),
                Request::OpenImage { name: name.clone(), missing: Missing::IsAnError },
            ),
            (
                "OpenImageOptional",
                r#"["docker://x"]"#.to_owned(),
                Request::OpenImage { name, missing: Missing::IsAnAnswer },
            ),
            ("CloseImage", "[1]".to_owned(), Request::CloseImage(1)),
            ("GetManifest", "[1.0]".to_owned(), Request::GetManifest(1)),
            ("GetFullConfig", "[1e2]".to_owned(), Request::GetFullConfig(100)),
            ("GetConfig", "[9007199254740991]".to_owned(), Request::GetConfig(MAX_NUMBER)),
            (
                "GetBlob",
                format!(r#"[3,"{digest}",0]"#),
                Request::GetBlob { image: 3, digest: digest.clone(), size: 0 },
            ),
            ("GetRawBlob", format!(r#"[3,"{digest}"]"#), Request::GetRawBlob { image: 3, digest }),
            ("GetLayerInfo", "[7]".to_owned(), Request::GetLayerInfo(7)),
            ("GetLayerInfoPiped", "[7]".to_owned(), Request::GetLayerInfoPiped(7)),
            ("FinishPipe", "[0]".to_owned(), Request::FinishPipe(0)),
            ("Shutdown", "[]".to_owned(), Request::Shutdown),
            ("Shutdown", "[1,2]".to_owned(), Request::Shutdown),
        ] {
            assert_eq!(call(method, &args), request, "{method} {args}");
        }
        assert_eq!(said(r#"{"METHOD":"Shutdown","more":[{}]}"#), Ok(Request::Shutdown));
    }

    #[test]
    fn what_is_none_is_refused_in_words() {
        let digest = Digest::sha256(b"x");
        for (packet, sentence) in [
            ("", "invalid request: "),
            ("{", "invalid request: "),
            ("[]", "invalid request: "),
            (r#"{"method":7}"#, "invalid request: "),
            (r#"{"method":"Initialize","args":{}}"#, "invalid request: "),
            ("null", "unknown method: "),
            ("{}", "unknown method: "),
            (r#"{"method":"initialize"}"#, "unknown method: initialize"),
            (r#"{"method":"Initialize","args":[1]}"#, "invalid request, expecting zero arguments"),
            (
                r#"{"method":"OpenImage"}"#,
                "invalid request, expecting one argument, found 0 arguments",
            ),
            (r#"{"method":"OpenImage","args":[1]}"#, "expecting string imageref, not float64"),
            (r#"{"method":"OpenImage","args":[null]}"#, "expecting string imageref, not <nil>"),
            (r#"{"method":"CloseImage","args":["1"]}"#, "expecting numeric, not string"),
            (r#"{"method":"CloseImage","args":[[]]}"#, "expecting numeric, not []interface {}"),
            (
                r#"{"method":"CloseImage","args":[{}]}"#,
                "expecting numeric, not map[string]interface {}",
            ),
            (r#"{"method":"CloseImage","args":[true]}"#, "expecting numeric, not bool"),
            (r#"{"method":"CloseImage","args":[0]}"#, "invalid imageid value of zero"),
            (r#"{"method":"CloseImage","args":[-1]}"#, "out of range integer for numeric -1"),
            (r#"{"method":"CloseImage","args":[1.5]}"#, "out of range integer for numeric 1.5"),
            (
                r#"{"method":"CloseImage","args":[9007199254740992]}"#,
                "out of range integer for numeric 9007199254740992",
            ),
            (
                r#"{"method":"CloseImage","args":[1e300]}"#,
                "out of range integer for numeric 1e+300",
            ),
            (
                r#"{"method":"FinishPipe"}"#,
                "invalid request, expecting (pipeid), found 0 arguments",
            ),
            (
                r#"{"method":"GetBlob","args":[1,"sha256:x"]}"#,
                "invalid request, expecting (imgid, digest, size), found 2 arguments",
            ),
            (r#"{"method":"GetBlob","args":[1,2,3]}"#, "expecting string blobid, not float64"),
            (r#"{"method":"GetRawBlob","args":[1,"x"]}"#, "invalid checksum digest format"),
        ] {
            let refused = said(packet).unwrap_err();
            assert!(refused.starts_with(sentence), "{packet}: {refused}");
        }
        let blob = format!(r#"{{"method":"GetBlob","args":[1,"{digest}",-1]}}"#);
        assert_eq!(said(&blob).unwrap_err(), "out of range integer for numeric -1");
    }
}
